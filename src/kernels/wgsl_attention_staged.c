/* ATTENTION_STAGED: softmax(scale * q.kT + bias).v for many queries on hardware. A workgroup of 8 x TY lanes
 * owns 4*TY queries of a head and walks over blocks of 8*KJ keys: keys, then values are staged in one piece
 * of workgroup memory; a lane scores 4 queries x KJ keys, the eight lanes of its queries meet in memory for
 * the running maximum, and each lane sums D/8 columns of the result. Scores are never in storage.
 * Finite masks only: the running maximum starts at the lowest float, so that nothing is NaN.
 * spec: 0 head size D (a multiple of 4), 1 heads, 2 flags (1 packed qkv, 2 bias), 3 TY, 4 KJ.
 * bindings: qkv | q, k, v; bias?; o. params: {s, t, batch, scale bits} {bias strides b, h, i, j}.
 * Grid: x over queries, y heads, z batch. Compare "FlashAttention" (Dao et al., 2022). */
#include "kernels/wgsl_int.h"

#define put wa__wgsl_put
enum { PACKED = 1, BIAS = 2, FLAGS = 3, TX = 8, ROWS = 4 };

typedef struct form {
    uint32_t d4, ty, kj, keys, lanes, pitch; /* pitch: vec4s of a staged row, odd so that lanes meet other banks */
    uint32_t columns, stage;                 /* vec4 columns of the result a lane has; vec4s it stages */
    uint32_t row4, k_at, v_at;               /* vec4s of a token in storage; where keys and values begin in it */
    bool packed, bias, tail, column_tail;
} form;

static form form_of(const uint32_t *s)
{
    form f = {.d4 = s[0] / 4, .ty = s[3], .kj = s[4], .keys = TX * s[4], .lanes = TX * s[3], .packed = s[2] & PACKED, .bias = s[2] & BIAS};
    f.pitch = f.d4 | 1;
    f.columns = (f.d4 + TX - 1) / TX;
    f.column_tail = f.d4 % TX != 0;
    f.stage = (f.keys * f.d4 + f.lanes - 1) / f.lanes;
    f.tail = f.keys * f.d4 % f.lanes != 0;
    f.row4 = s[1] * f.d4 * (f.packed ? 3 : 1);
    f.k_at = f.packed ? s[1] * f.d4 : 0;
    f.v_at = f.packed ? 2 * s[1] * f.d4 : 0;
    return f;
}

static wa_status check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || !s[0] || s[0] > 256 || s[0] % 4 || !s[1] || s[1] > 4096 || s[2] & ~(uint32_t)FLAGS || !s[3] || s[3] > 32 || !s[4] || s[4] > 8)
        return wa__fail(err, WA_VERIFY, "attention_staged: head size %u, heads %u, flags %u, %u groups of queries, %u keys a lane", s[0], s[1], s[2], s[3], s[4]);
    form f = form_of(s);
    info->binding_count = (f.packed ? 2u : 4u) + (f.bias ? 1u : 0u);
    info->write_mask = 1u << (info->binding_count - 1);
    info->workgroup_bytes = (f.keys * f.pitch + f.keys * f.ty + f.lanes) * 16;
    return WA_OK;
}

static void bindings(const form *f, wa_wgsl_emit *e)
{
    uint32_t b = 0;
    if (f->packed) wa__wgsl_storage(e, b++, "qkv", "vec4f", false);
    else for (; b < 3; b++) wa__wgsl_storage(e, b, b == 0 ? "q" : b == 1 ? "k" : "v", "vec4f", false);
    if (f->bias) wa__wgsl_storage(e, b++, "bias", "f32", false);
    wa__wgsl_storage(e, b++, "o", "vec4f", true);
    wa__wgsl_params(e, b, 2);
    put(e, "const LOW = -3.4e38f;\nvar<workgroup> kv: array<array<vec4f, %u>, %u>;\nvar<workgroup> part: array<array<vec4f, %u>, %u>;\nvar<workgroup> red: array<vec4f, %u>;\n", f->pitch, f->keys,
        f->ty, f->keys, f->lanes);
}

static void start(const form *f, wa_wgsl_emit *e)
{
    put(e, "@compute @workgroup_size(%u)\nfn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) li: u32) {\n", f->lanes);
    put(e, "  let sq = p.a[0].x; let t = p.a[0].y; let scale = bitcast<f32>(p.a[0].w); let tx = li %% %uu; let ty = li / %uu; let h = wg.y; let z = wg.z;\n", TX, TX);
    put(e, "  let r0 = (wg.x * %uu + ty) * %uu; var top = vec4f(LOW); var sum = vec4f();\n", f->ty, ROWS);
    for (uint32_t i = 0; i < ROWS; i++) {
        put(e, "  let i%u = min(r0 + %uu, sq - 1u); let q%u = (z * sq + i%u) * %uu + h * %uu;\n", i, i, i, i, f->row4, f->d4);
        if (f->bias) put(e, "  let b%u = z * p.a[1].x + h * p.a[1].y + i%u * p.a[1].z;\n", i, i);
        for (uint32_t c = 0; c < f->columns; c++) put(e, "  var o%u_%u = vec4f();\n", i, c);
    }
    for (uint32_t n = 0; n < f->stage; n++) /* what this lane stages: a place in a block */
        put(e, "  let g%u = li + %uu; let gk%u = g%u / %uu; let gd%u = g%u %% %uu;\n", n, n * f->lanes, n, n, f->d4, n, n, f->d4);
    put(e, "  let kv0 = z * t * %uu + h * %uu;\n", f->row4, f->d4);
}

/* Loads a block of keys or values into registers s{n}; keys past the end repeat the last. */
static void load(const form *f, const char *from, uint32_t at, const char *first, wa_wgsl_emit *e)
{
    for (uint32_t n = 0; n < f->stage; n++)
        put(e, "    let s%u = vec4f(%s[kv0 + min(%s + gk%u, t - 1u) * %uu + %uu + gd%u]);\n", n, f->packed ? "qkv" : from, first, n, f->row4, at, n);
}

static void store(const form *f, wa_wgsl_emit *e)
{
    for (uint32_t n = 0; n < f->stage; n++) {
        put(e, "    ");
        if (f->tail && n + 1 == f->stage) put(e, "if (g%u < %uu) ", n, f->keys * f->d4);
        put(e, "{ kv[gk%u][gd%u] = s%u; }\n", n, n, n);
    }
}

/* x{j}: scores of this lane's four queries (a vec4) with its key j0 + tx + 8j. */
static void scores(const form *f, wa_wgsl_emit *e)
{
    for (uint32_t j = 0; j < f->kj; j++) put(e, "    var x%u = vec4f();\n", j);
    put(e, "    for (var d = 0u; d < %uu; d++) {\n", f->d4);
    for (uint32_t i = 0; i < ROWS; i++) put(e, "      let y%u = vec4f(%s[q%u + d]);\n", i, f->packed ? "qkv" : "q", i);
    for (uint32_t j = 0; j < f->kj; j++)
        put(e, "      { let k = kv[tx + %uu][d]; x%u += vec4f(dot(y0, k), dot(y1, k), dot(y2, k), dot(y3, k)); }\n", j * TX, j);
    put(e, "    }\n");
    for (uint32_t j = 0; j < f->kj; j++) {
        put(e, "    let at%u = j0 + tx + %uu; x%u *= scale;\n", j, j * TX, j);
        if (f->bias) { /* a mask of keys alone is one read for four queries */
            put(e, "    { let k = min(at%u, t - 1u) * p.a[1].w; let first = bias[b0 + k];\n      if (p.a[1].z == 0u) { x%u += first; }\n", j, j);
            put(e, "      else { x%u += vec4f(first, bias[b1 + k], bias[b2 + k], bias[b3 + k]); } }\n", j);
        }
        put(e, "    x%u = select(vec4f(LOW), max(x%u, vec4f(LOW)), at%u < t);\n", j, j, j);
    }
}

/* The running maximum over all lanes of a query, then weights to `part` and this lane's share of their sum. */
static void weights(const form *f, wa_wgsl_emit *e)
{
    put(e, "    var n = x0;\n");
    for (uint32_t j = 1; j < f->kj; j++) put(e, "    n = max(n, x%u);\n", j);
    put(e, "    red[li] = n;\n    workgroupBarrier();\n    n = top;\n");
    put(e, "    for (var l = 0u; l < %uu; l++) { n = max(n, red[ty * %uu + l]); }\n    let old = exp(top - n); top = n; sum *= old;\n", TX, TX);
    for (uint32_t j = 0; j < f->kj; j++) {
        put(e, "    { let w = select(vec4f(), exp(x%u - n), at%u < t); sum += w; part[tx + %uu][ty] = w; }\n", j, j, j * TX);
    }
    for (uint32_t i = 0; i < ROWS; i++)
        for (uint32_t c = 0; c < f->columns; c++) put(e, "    o%u_%u *= old.%c;\n", i, c, "xyzw"[i]);
}

static void add_values(const form *f, wa_wgsl_emit *e)
{
    put(e, "    for (var k = 0u; k < %uu; k++) {\n      let w = part[k][ty];\n", f->keys);
    for (uint32_t c = 0; c < f->columns; c++) {
        if (f->column_tail && c + 1 == f->columns) put(e, "      { let v = kv[k][min(tx + %uu, %uu)];", c * TX, f->d4 - 1);
        else put(e, "      { let v = kv[k][tx + %uu];", c * TX);
        for (uint32_t i = 0; i < ROWS; i++) put(e, " o%u_%u = fma(vec4f(w.%c), v, o%u_%u);", i, c, "xyzw"[i], i, c);
        put(e, " }\n");
    }
    put(e, "    }\n");
}

static void generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    form f = form_of(s);
    bindings(&f, e);
    start(&f, e);
    put(e, "  for (var j0 = 0u; j0 < t; j0 += %uu) {\n    {\n", f.keys);
    load(&f, "k", f.k_at, "j0", e);
    put(e, "    workgroupBarrier();\n"); /* the block before has been used */
    store(&f, e);
    put(e, "    }\n    workgroupBarrier();\n");
    if (f.stage <= 8) load(&f, "v", f.v_at, "j0", e); /* in flight while the scores are made */
    scores(&f, e);
    weights(&f, e); /* its barrier: all have read the keys */
    if (f.stage > 8) load(&f, "v", f.v_at, "j0", e);
    store(&f, e);
    put(e, "    workgroupBarrier();\n");
    add_values(&f, e);
    put(e, "  }\n  workgroupBarrier();\n  red[li] = sum;\n  workgroupBarrier();\n  var all = vec4f();\n  for (var l = 0u; l < %uu; l++) { all += red[ty * %uu + l]; }\n", TX, TX);
    put(e, "  let inv = 1.0 / max(all, vec4f(1e-30));\n");
    const char *held = wa__wgsl_held(e, (f.packed ? 1u : 3u) + (f.bias ? 1u : 0u), "vec4f");
    for (uint32_t i = 0; i < ROWS; i++) {
        put(e, "  if (r0 + %uu < sq) {\n    let to = (z * sq + i%u) * %uu + h * %uu + tx;\n", i, i, s[1] * f.d4, f.d4);
        for (uint32_t c = 0; c < f.columns; c++) {
            if (f.column_tail && c + 1 == f.columns) put(e, "    if (tx + %uu < %uu) ", c * TX, f.d4);
            put(e, "    { o[to + %uu] = %s(o%u_%u * inv.%c); }\n", c * TX, held, i, c, "xyzw"[i]);
        }
        put(e, "  }\n");
    }
    put(e, "}\n");
}

/* All but the bias. */
static uint32_t halves(const uint32_t *s, const uint32_t *code, const wa_wgsl_info *info)
{
    (void)code;
    uint32_t all = (1u << info->binding_count) - 1;
    return s[2] & BIAS ? all & ~(1u << (info->binding_count - 2)) : all;
}
const wa_wgsl_row wa__wgsl_attention_staged = {"attention_staged", check, generate, halves};
