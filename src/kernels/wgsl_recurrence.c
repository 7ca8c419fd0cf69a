/* Kernels that walk through time inside one dispatch.
 * RECURRENCE: a workgroup a batch row (grid x) and direction (grid y); the hidden state in workgroup memory,
 * weights [D,H,G*H] from storage, so that neighbours read neighbours.
 * spec: 0 kind, 1 flags, 2 direction, 3.. six times {function, alpha, beta bits}, 21 clip's bits, 22 H,
 * 23 workgroup size. bindings: xw, r, extra?, lens?, state?; y, last. params: {steps, batch, D, 0}.
 * LINEAR_SCAN: an invocation a column of a head's state, which it keeps in the output of last states.
 * spec: 0 flags. bindings: q, k, v, state?, decay?, beta?; o, last. params: {batch, steps, q heads, heads}
 * {size, value size, scale's bits, 0}. See recurrence.h. */
#include "kernels/recurrence.h"
#include "kernels/wgsl_int.h"

#define put wa__wgsl_put
enum { EXTRA = 1, LENS = 2, STATE = 4, LINEAR_RESET = 8, INPUT_FORGET = 16, CLIP = 32, FLAGS = 63 };
enum { ACTS_AT = 3, CLIP_AT = 21, HIDDEN_AT = 22, SIZE_AT = 23, HIDDEN_MAX = 1365 };

static uint32_t gates_of(uint32_t kind) { return kind == WA_CELL_RNN ? 1 : kind == WA_CELL_GRU ? 3 : 4; }

static wa_status check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    bool bad = code_count || s[0] > 2 || (s[1] & ~(uint32_t)FLAGS) || s[2] > 2 || !s[HIDDEN_AT] || s[HIDDEN_AT] > HIDDEN_MAX || !s[SIZE_AT] || s[SIZE_AT] > 256;
    for (uint32_t i = 0; i < 6; i++) bad = bad || s[ACTS_AT + 3 * i] >= WA_RNN_COUNT;
    if (bad) return wa__fail(err, WA_VERIFY, "recurrence: kind %u, flags %u, direction %u, H %u, %u lanes", s[0], s[1], s[2], s[HIDDEN_AT], s[SIZE_AT]);
    info->binding_count = 4 + (s[1] & EXTRA ? 1u : 0u) + (s[1] & LENS ? 1u : 0u) + (s[1] & STATE ? 1u : 0u);
    info->write_mask = 3u << (info->binding_count - 2);
    info->workgroup_bytes = s[HIDDEN_AT] * 4 * (s[0] == WA_CELL_RNN ? 2 : 3);
    return WA_OK;
}

static const char *function_text(uint32_t fn)
{
    static const char *const text[WA_RNN_COUNT] = {
        [WA_RNN_RELU] = "max(x, 0.0)", [WA_RNN_TANH] = "tanh_(x)", [WA_RNN_SIGMOID] = "logistic(x)", [WA_RNN_AFFINE] = "A * x + B",
        [WA_RNN_LEAKY_RELU] = "select(x, A * x, x < 0.0)", [WA_RNN_THRESHOLDED_RELU] = "select(0.0, x, x > A)", [WA_RNN_SCALED_TANH] = "A * tanh_(B * x)",
        [WA_RNN_HARD_SIGMOID] = "clamp(A * x + B, 0.0, 1.0)", [WA_RNN_ELU] = "select(x, A * (exp(min(x, 0.0)) - 1.0), x < 0.0)",
        [WA_RNN_SOFTSIGN] = "x / (1.0 + abs(x))", [WA_RNN_SOFTPLUS] = "max(x, 0.0) + log(1.0 + exp(-abs(x)))"};
    return text[fn];
}

/* fn f0..f2(x, d): the direction's activations. */
static void functions(const uint32_t *s, wa_wgsl_emit *e)
{
    uint32_t each = s[0] == WA_CELL_RNN ? 1 : s[0] == WA_CELL_GRU ? 2 : 3, dirs = s[2] == 2 ? 2 : 1;
    put(e, "fn logistic(x: f32) -> f32 { return 1.0 / (1.0 + exp(clamp(-x, -88.0, 88.0))); }\n"
           "fn tanh_(x: f32) -> f32 {\n  let a = min(abs(x), 20.0); let u = x * x; let y = 1.0 - 2.0 / (exp(2.0 * a) + 1.0);\n"
           "  return select(select(y, -y, x < 0.0), x + x * u * (u * 0.13333333 - 0.33333333), a < 0.06);\n}\n");
    for (uint32_t f = 0; f < each; f++) {
        put(e, "fn f%u(raw: f32, d: u32) -> f32 {\n", f);
        if (s[1] & CLIP) put(e, "  let x = clamp(raw, -bitcast<f32>(%uu), bitcast<f32>(%uu));\n", s[CLIP_AT], s[CLIP_AT]);
        else put(e, "  let x = raw;\n");
        for (uint32_t d = dirs; d-- > 0;) {
            const uint32_t *act = s + ACTS_AT + 3 * (d * each + f);
            put(e, "  %s{ let A = bitcast<f32>(%uu); let B = bitcast<f32>(%uu); return %s; }\n", d ? "if (d == 1u) " : "", act[1], act[2], function_text(act[0]));
        }
        put(e, "}\n");
    }
}

/* var g<first>..: the projection plus vector . weights, gates [first, end) of unit j. */
static void products(wa_wgsl_emit *e, const char *vector, uint32_t first, uint32_t end, uint32_t projected)
{
    for (uint32_t g = first; g < end; g++) put(e, g < projected ? "        var g%u = xw[at + %uu * H + j];\n" : "        var g%u = 0.0;\n", g, g);
    put(e, "        var k = d * H * GH + j;\n        for (var i = 0u; i < H; i++) {\n          let v = %s[i];\n", vector);
    for (uint32_t g = first; g < end; g++) put(e, "          g%u += v * r[k + %uu * H];\n", g, g);
    put(e, "          k += GH;\n        }\n");
}

static void lstm(const uint32_t *s, wa_wgsl_emit *e)
{
    products(e, "h", 0, 4, 4);
    if (s[1] & EXTRA) put(e, "        g0 += extra[d * 3u * H + j] * c[j]; g2 += extra[d * 3u * H + 2u * H + j] * c[j];\n");
    put(e, "        let i = f0(g0, d); let f = %s;\n        let cell = f * c[j] + i * f1(g3, d); c[j] = cell;\n", s[1] & INPUT_FORGET ? "1.0 - i" : "f0(g2, d)");
    if (s[1] & EXTRA) put(e, "        g1 += extra[d * 3u * H + H + j] * cell;\n");
    put(e, "        n[j] = f0(g1, d) * f2(cell, d);\n");
}

static void gru(const uint32_t *s, wa_wgsl_emit *e)
{
    if (s[1] & LINEAR_RESET) {
        products(e, "h", 0, 3, 2);
        if (s[1] & EXTRA) put(e, "        g2 += extra[d * H + j];\n");
        put(e, "        let z = f0(g0, d);\n        n[j] = (1.0 - z) * f1(xw[at + 2u * H + j] + f0(g1, d) * g2, d) + z * h[j];\n");
        return;
    }
    products(e, "h", 0, 2, 2);
    put(e, "        c[j] = f0(g0, d); n[j] = f0(g1, d) * h[j];\n      }\n    }\n    workgroupBarrier();\n"
           "    if (live) {\n      for (var j = l.x; j < H; j += L) {\n");
    products(e, "n", 2, 3, 3);
    put(e, "        h[j] = (1.0 - c[j]) * f1(g2, d) + c[j] * h[j];\n");
}

static void step(const uint32_t *s, wa_wgsl_emit *e)
{
    bool own = s[0] == WA_CELL_GRU && !(s[1] & LINEAR_RESET); /* leaves h itself, not n */
    put(e, "    workgroupBarrier();\n    let live = s < len; let t = select(s, len - 1u - s, live && back);\n    let at = ((t * p.a[0].y + b) * p.a[0].z + d) * GH;\n"
           "    if (live) {\n      for (var j = l.x; j < H; j += L) {\n");
    if (s[0] == WA_CELL_LSTM) lstm(s, e);
    else if (s[0] == WA_CELL_GRU) gru(s, e);
    else {
        products(e, "h", 0, 1, 1);
        put(e, "        n[j] = f0(g0, d);\n");
    }
    put(e, "      }\n    }\n    workgroupBarrier();\n    for (var j = l.x; j < H; j += L) {\n");
    if (!own) put(e, "      if (live) { h[j] = n[j]; }\n");
    put(e, "      y[((t * p.a[0].z + d) * p.a[0].y + b) * H + j] = select(0.0, h[j], live);\n    }\n");
}

static void generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    uint32_t b = 0;
    bool cell = s[0] == WA_CELL_LSTM;
    const char *width = cell ? "2u * H" : "H";
    (void)code;
    wa__wgsl_storage(e, b++, "xw", "f32", false);
    wa__wgsl_storage(e, b++, "r", "f32", false);
    if (s[1] & EXTRA) wa__wgsl_storage(e, b++, "extra", "f32", false);
    if (s[1] & LENS) wa__wgsl_storage(e, b++, "lens", "i32", false);
    if (s[1] & STATE) wa__wgsl_storage(e, b++, "state", "f32", false);
    wa__wgsl_storage(e, b++, "y", "f32", true);
    wa__wgsl_storage(e, b++, "last", "f32", true);
    wa__wgsl_params(e, b, 1);
    put(e, "const H = %uu;\nconst GH = %uu;\nconst L = %uu;\nvar<workgroup> h: array<f32, %u>;\nvar<workgroup> n: array<f32, %u>;\n", s[HIDDEN_AT], s[HIDDEN_AT] * gates_of(s[0]), s[SIZE_AT],
        s[HIDDEN_AT], s[HIDDEN_AT]);
    if (s[0] != WA_CELL_RNN) put(e, "var<workgroup> c: array<f32, %u>;\n", s[HIDDEN_AT]);
    functions(s, e);
    put(e, "@compute @workgroup_size(%u)\nfn main(@builtin(workgroup_id) w: vec3u, @builtin(local_invocation_id) l: vec3u) {\n  let b = w.x; let d = w.y; let back = %s;\n", s[SIZE_AT],
        s[2] == 0 ? "false" : s[2] == 1 ? "true" : "d == 1u");
    if (s[1] & LENS) put(e, "  let len = u32(clamp(lens[b], 0, i32(p.a[0].x)));\n");
    else put(e, "  let len = p.a[0].x;\n");
    put(e, "  let base = (d * p.a[0].y + b) * %s;\n  for (var j = l.x; j < H; j += L) {\n    h[j] = %s;\n", width, s[1] & STATE ? "state[base + j]" : "0.0");
    if (s[0] != WA_CELL_RNN) put(e, "    c[j] = %s;\n", cell && s[1] & STATE ? "state[base + H + j]" : "0.0");
    put(e, "  }\n  for (var s = 0u; s < p.a[0].x; s++) {\n");
    step(s, e);
    put(e, "  }\n  for (var j = l.x; j < H; j += L) {\n    last[base + j] = h[j];\n%s  }\n}\n", cell ? "    last[base + H + j] = c[j];\n" : "");
}
const wa_wgsl_row wa__wgsl_recurrence = {"recurrence", check, generate};

/* --- LINEAR_SCAN -------------------------------------------------------------------------------------------- */
enum { S_STATE = 1, S_DECAY = 2, S_DECAY_EACH = 4, S_BETA = 8, S_BETA_HEADS = 16, S_DELTA = 32, S_FLAGS = 63 };

static wa_status scan_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || (s[0] & ~(uint32_t)S_FLAGS) || (s[0] & S_DELTA && !(s[0] & S_BETA))) return wa__fail(err, WA_VERIFY, "linear scan: flags %u", s[0]);
    info->binding_count = 5 + (s[0] & S_STATE ? 1u : 0u) + (s[0] & S_DECAY ? 1u : 0u) + (s[0] & S_BETA ? 1u : 0u);
    info->write_mask = 3u << (info->binding_count - 2);
    return WA_OK;
}

static void scan_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    uint32_t b = 0;
    (void)code;
    wa__wgsl_storage(e, b++, "q", "f32", false);
    wa__wgsl_storage(e, b++, "k", "f32", false);
    wa__wgsl_storage(e, b++, "v", "f32", false);
    if (s[0] & S_STATE) wa__wgsl_storage(e, b++, "state", "f32", false);
    if (s[0] & S_DECAY) wa__wgsl_storage(e, b++, "decay", "f32", false);
    if (s[0] & S_BETA) wa__wgsl_storage(e, b++, "beta", "f32", false);
    wa__wgsl_storage(e, b++, "o", "f32", true);
    wa__wgsl_storage(e, b++, "last", "f32", true);
    wa__wgsl_params(e, b, 2);
    put(e, "@compute @workgroup_size(32)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let n = g.y * (nw.x * 32u) + g.x; let steps = p.a[0].y; let heads = p.a[0].w; let size = p.a[1].x; let wide = p.a[1].y;\n"
           "  if (n >= p.a[0].x * heads * wide) { return; }\n  let j = n %% wide; let h = n / wide %% heads; let b = n / (wide * heads);\n"
           "  let at = (b * heads + h) * size * wide + j; let group = p.a[0].z / heads;\n");
    put(e, "  for (var i = 0u; i < size; i++) { last[at + i * wide] = %s; }\n", s[0] & S_STATE ? "state[at + i * wide]" : "0.0");
    put(e, "  for (var t = 0u; t < steps; t++) {\n    let row = b * steps + t; let head = row * heads + h; var seen = 0.0; var add = v[head * wide + j];\n");
    if (s[0] & S_DECAY && !(s[0] & S_DECAY_EACH)) put(e, "    let fade = exp(decay[head]);\n");
    put(e, "    for (var i = 0u; i < size; i++) {\n      var x = last[at + i * wide];\n");
    if (s[0] & S_DECAY) put(e, "      x *= %s; last[at + i * wide] = x;\n", s[0] & S_DECAY_EACH ? "exp(decay[head * size + i])" : "fade");
    put(e, "      seen += x * k[head * size + i];\n    }\n");
    if (s[0] & S_DELTA) put(e, "    add = (add - seen) * beta[%s];\n", s[0] & S_BETA_HEADS ? "head" : "row");
    put(e, "    for (var i = 0u; i < size; i++) { last[at + i * wide] += k[head * size + i] * add; }\n"
           "    for (var m = 0u; m < group; m++) {\n      let head_at = row * p.a[0].z + h * group + m; var sum = 0.0;\n"
           "      for (var i = 0u; i < size; i++) { sum += last[at + i * wide] * q[head_at * size + i]; }\n"
           "      o[head_at * wide + j] = sum * bitcast<f32>(p.a[1].z);\n    }\n  }\n}\n");
}
const wa_wgsl_row wa__wgsl_linear_scan = {"linear_scan", scan_check, scan_generate};
