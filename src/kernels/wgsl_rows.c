/* Kernels that work on rows: layer norm (plain, of a sum, of embeddings) and RMS norm, L2 norm, softmax.
 * W lanes share a row and add up in workgroup memory; W = 1 has no barrier (software adapters).
 * spec: 0 mode, 1 D (0: from params, scalars), 2 W, 3 rows a workgroup, 4 flags, 5 epsilon's bits.
 * params: {rows, D, tokens a row of ids or distance of a row's elements, position ids}. */
#include "kernels/wgsl_int.h"

#define put wa__wgsl_put
/* TABLE without TYPES: every token has type 0. SCALAR: gamma is one number. RMS: no mean is taken away.
 * CODES: the word table is one of 8 bit codes (base/quant_block.h). MEAN, INVERSE: they are outputs. STRIDED (softmax, L2): rows run along an inner axis.
 * _TILES: that tensor lies in 16x16 f16 tiles (WA_FORM_TILES); rows up to a tile's end repeat the last. */
enum { BETA = 1, TYPES = 2, POSITIONS = 4, TABLE = 8, SCALAR = 16, RMS = 32, MEAN = 64, INVERSE = 128, STRIDED = 256, CODES = 512,
       X_TILES = 1024, SKIP_TILES = 2048, O_TILES = 4096, FLAGS = 8191 };

static uint32_t read_count(const uint32_t *s)
{
    switch (s[0]) {
    case WA_WGSL_LAYERNORM: return 2u + (s[4] & BETA ? 1u : 0u);
    case WA_WGSL_SKIP_LAYERNORM: return 3u + (s[4] & BETA ? 1u : 0u);
    case WA_WGSL_EMBED_LAYERNORM: return 5u + (s[4] & TYPES ? 1u : 0u) + (s[4] & TABLE ? 1u : 0u) + (s[4] & POSITIONS ? 1u : 0u);
    default: return 1;
    }
}

static wa_status check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    bool norm = s[0] <= WA_WGSL_EMBED_LAYERNORM;
    if (code_count || s[0] > WA_WGSL_LOGSOFTMAX || s[1] > 1u << 20 || (norm && !s[1]) || (!norm && s[1]) || !s[2] || s[2] > 256 || !s[3] || s[3] > 64 ||
        s[2] * s[3] > 256 || (s[2] & (s[2] - 1)) || (s[4] & ~(uint32_t)FLAGS) || (s[4] & TYPES && !(s[4] & TABLE)))
        return wa__fail(err, WA_VERIFY, "rows: mode %u, D %u, %u lanes, %u rows, flags %u", s[0], s[1], s[2], s[3], s[4]);
    uint32_t plain_only = SCALAR | RMS | MEAN | INVERSE;
    if ((s[0] != WA_WGSL_LAYERNORM && s[4] & plain_only) || (norm && s[4] & STRIDED) || (s[4] & RMS && s[4] & MEAN) ||
        (s[4] & CODES && (s[0] != WA_WGSL_EMBED_LAYERNORM || s[1] % 64)))
        return wa__fail(err, WA_VERIFY, "rows: mode %u with flags %u", s[0], s[4]);
    uint32_t tiles = s[4] & (X_TILES | SKIP_TILES | O_TILES);
    if (tiles && (!norm || s[1] % 16 || (s[4] & X_TILES && s[0] == WA_WGSL_EMBED_LAYERNORM) || (s[4] & SKIP_TILES && s[0] != WA_WGSL_SKIP_LAYERNORM)))
        return wa__fail(err, WA_VERIFY, "rows: mode %u, D %u with tiles, flags %u", s[0], s[1], s[4]);
    if (tiles) info->features |= WA_FEATURE_F16;
    uint32_t written = 1u + (s[4] & MEAN ? 1u : 0u) + (s[4] & INVERSE ? 1u : 0u);
    info->binding_count = read_count(s) + written;
    if (info->binding_count > 8) return wa__fail(err, WA_VERIFY, "rows: %u bindings", info->binding_count);
    info->write_mask = ((1u << written) - 1) << read_count(s);
    info->workgroup_bytes = s[2] > 1 ? s[2] * s[3] * 4 : 0;
    return WA_OK;
}

/* fn total(v): the sum (or maximum) over a row's lanes, the same in all of them. */
static void reducer(const uint32_t *s, const char *name, const char *join, wa_wgsl_emit *e)
{
    if (s[2] == 1) {
        put(e, "fn %s(v: f32, l: vec3u) -> f32 { return v; }\n", name);
        return;
    }
    put(e, "fn %s(v: f32, l: vec3u) -> f32 {\n  let at = l.y * %uu + l.x;\n  workgroupBarrier(); red[at] = v; workgroupBarrier();\n", name, s[2]);
    for (uint32_t step = s[2] / 2; step; step /= 2)
        put(e, "  if (l.x < %uu) { let y = red[at + %uu]; let x = red[at]; red[at] = %s; }\n  workgroupBarrier();\n", step, step, join);
    put(e, "  return red[l.y * %uu];\n}\n", s[2]);
}

static void bindings(const uint32_t *s, const char *type, wa_wgsl_emit *e)
{
    uint32_t b = 0;
    if (s[0] == WA_WGSL_EMBED_LAYERNORM) {
        wa__wgsl_storage(e, b++, "ids", "i32", false);
        if (s[4] & TYPES) wa__wgsl_storage(e, b++, "type_ids", "i32", false);
        if (s[4] & POSITIONS) wa__wgsl_storage(e, b++, "position_ids", "i32", false);
        wa__wgsl_storage(e, b++, "word", s[4] & CODES ? "u32" : type, false);
        wa__wgsl_storage(e, b++, "position", type, false);
        if (s[4] & TABLE) wa__wgsl_storage(e, b++, "kind", type, false);
    } else {
        wa__wgsl_storage(e, b++, "x", type, false);
    }
    if (s[0] == WA_WGSL_SKIP_LAYERNORM) wa__wgsl_storage(e, b++, "skip", type, false);
    if (s[0] <= WA_WGSL_EMBED_LAYERNORM) wa__wgsl_storage(e, b++, "gamma", s[4] & SCALAR ? "f32" : type, false);
    if (s[0] == WA_WGSL_EMBED_LAYERNORM || (s[0] < WA_WGSL_EMBED_LAYERNORM && s[4] & BETA)) wa__wgsl_storage(e, b++, "beta", type, false);
    wa__wgsl_storage(e, b++, "o", type, true);
    if (s[4] & MEAN) wa__wgsl_storage(e, b++, "means", "f32", true);
    if (s[4] & INVERSE) wa__wgsl_storage(e, b++, "inverses", "f32", true);
    wa__wgsl_params(e, b, 1);
}

/* Names of the functions that place element i of a row (in units of the row's type). */
static const char *place(uint32_t tiles) { return tiles ? "tiled" : "dense"; }

static void places(const uint32_t *s, uint32_t d, wa_wgsl_emit *e)
{
    put(e, "fn dense(row: u32, i: u32) -> u32 { return row * %uu + i; }\n", d);
    if (s[4] & (X_TILES | SKIP_TILES | O_TILES))
        put(e, "fn tiled(row: u32, i: u32) -> u32 { return ((row >> 4u) * %uu + (i >> 2u)) * 64u + (row & 15u) * 4u + (i & 3u); }\n", d / 4);
}

/* fn at(row, i): element i of the row that is normalised. */
static void element(const uint32_t *s, const char *type, uint32_t d, wa_wgsl_emit *e)
{
    if (s[0] == WA_WGSL_SKIP_LAYERNORM) {
        put(e, "fn load(row: u32, i: u32) -> %s { return %s(x[%s(row, i)]) + %s(skip[%s(row, i)]); }\n", type, type, place(s[4] & X_TILES), type, place(s[4] & SKIP_TILES));
    } else if (s[0] == WA_WGSL_EMBED_LAYERNORM) {
        if (s[4] & CODES) wa__wgsl_table_row(e, "word", s[1]);
        put(e, "fn load(row: u32, i: u32) -> %s {\n", type);
        if (s[4] & CODES) put(e, "  return table(u32(ids[row]), i) + %s(position[", type);
        else put(e, "  return %s(word[u32(ids[row]) * %uu + i]) + %s(position[", type, d, type);
        if (s[4] & POSITIONS) put(e, "u32(position_ids[row %% p.a[0].w])");
        else put(e, "(row %% p.a[0].z)");
        put(e, " * %uu + i])", d);
        if (s[4] & TYPES) put(e, " + %s(kind[u32(type_ids[row]) * %uu + i])", type, d);
        else if (s[4] & TABLE) put(e, " + %s(kind[i])", type);
        put(e, ";\n}\n");
    } else if (d) {
        put(e, "fn load(row: u32, i: u32) -> %s { return %s(x[%s(row, i)]); }\n", type, type, place(s[4] & X_TILES));
    } else {
        put(e, s[4] & STRIDED ? "fn at(row: u32, i: u32) -> u32 { let s = p.a[0].z; return ((row / s) * p.a[0].y + i) * s + row %% s; }\n"
                              : "fn at(row: u32, i: u32) -> u32 { return row * p.a[0].y + i; }\n");
        put(e, "fn load(row: u32, i: u32) -> f32 { return f32(x[at(row, i)]); }\n");
    }
}

static void norm_body(const uint32_t *s, const char *type, wa_wgsl_emit *e)
{
    bool v4 = s[1] % 4 == 0, beta = s[0] == WA_WGSL_EMBED_LAYERNORM || s[4] & BETA;
    put(e, "  var v = %s();\n", type);
    if (s[4] & RMS) {
        put(e, "  let mean = 0.0;\n");
    } else {
        put(e, "  for (var i = l.x; i < D; i += %uu) { v += load(row, i); }\n", s[2]);
        put(e, "  let mean = total(%s, l) / %u.0;\n  v = %s();\n", v4 ? "v.x + v.y + v.z + v.w" : "v", s[1], type);
    }
    put(e, "  for (var i = l.x; i < D; i += %uu) { let d = load(row, i) - mean; v += d * d; }\n", s[2]);
    put(e, "  let scale = inverseSqrt(total(%s, l) / %u.0 + bitcast<f32>(%uu));\n  if (!live) { return; }\n", v4 ? "v.x + v.y + v.z + v.w" : "v", s[1], s[5]);
    put(e, "  for (var i = l.x; i < D; i += %uu) { o[%s] = %s((load(row, i) - mean) * scale * %s(gamma[%s])%s%s%s); }\n", s[2],
        s[4] & O_TILES ? "tiled(wanted, i)" : "dense(row, i)",
        wa__wgsl_held(e, read_count(s), type), s[4] & SCALAR ? "f32" : type, s[4] & SCALAR ? "0" : "i", beta ? " + " : "", beta ? type : "", beta ? "(beta[i])" : "");
    if (s[4] & (MEAN | INVERSE))
        put(e, "  if (l.x == 0u) {%s%s }\n", s[4] & MEAN ? " means[row] = mean;" : "", s[4] & INVERSE ? " inverses[row] = scale;" : "");
}

static void other_body(const uint32_t *s, wa_wgsl_emit *e)
{
    uint32_t w = s[2];
    const char *held = wa__wgsl_held(e, 1, "f32");
    if (s[0] == WA_WGSL_L2) {
        put(e, "  var v = 0f;\n  for (var i = l.x; i < D; i += %uu) { let d = load(row, i); v += d * d; }\n"
               "  let scale = 1.0 / max(sqrt(total(v, l)), bitcast<f32>(%uu));\n  if (!live) { return; }\n"
               "  for (var i = l.x; i < D; i += %uu) { o[at(row, i)] = %s(load(row, i) * scale); }\n", w, s[5], w, held);
        return;
    }
    put(e, "  var v = -0x1.fffffep+127f;\n  for (var i = l.x; i < D; i += %uu) { v = max(v, load(row, i)); }\n  let top = most(v, l);\n  v = 0f;\n"
           "  for (var i = l.x; i < D; i += %uu) { v += exp(load(row, i) - top); }\n  let sum = total(v, l);\n  if (!live) { return; }\n", w, w);
    put(e, s[0] == WA_WGSL_SOFTMAX ? "  let f = 1.0 / sum;\n" : "  let f = log(sum);\n");
    put(e, "  for (var i = l.x; i < D; i += %uu) { o[at(row, i)] = %s(", w, held);
    put(e, s[0] == WA_WGSL_SOFTMAX ? "exp(load(row, i) - top) * f); }\n" : "load(row, i) - top - f); }\n");
}

static void generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    bool norm = s[0] <= WA_WGSL_EMBED_LAYERNORM, v4 = norm && s[1] % 4 == 0;
    const char *type = v4 ? "vec4f" : "f32";
    uint32_t d = v4 ? s[1] / 4 : s[1];
    bindings(s, type, e);
    if (s[2] > 1) put(e, "var<workgroup> red: array<f32, %u>;\n", s[2] * s[3]);
    if (norm) places(s, d, e);
    element(s, type, d, e);
    reducer(s, "total", "x + y", e);
    if (s[0] >= WA_WGSL_SOFTMAX) reducer(s, "most", "max(x, y)", e);
    if (norm) put(e, "const D = %uu;\n", d);
    put(e, "@compute @workgroup_size(%u, %u)\nfn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) nw: vec3u, @builtin(local_invocation_id) l: vec3u) {\n", s[2], s[3]);
    put(e, "  let wanted = (w.y * nw.x + w.x) * %uu + l.y; let live = wanted < %s; let row = min(wanted, p.a[0].x - 1u);\n", s[3],
        s[4] & O_TILES ? "((p.a[0].x + 15u) & 0xfffffff0u)" : "p.a[0].x");
    if (!norm) put(e, "  let D = p.a[0].y;\n");
    if (norm) norm_body(s, type, e);
    else other_body(s, e);
    put(e, "}\n");
}

/* Everything but ids, means and inverse deviations. */
static uint32_t halves(const uint32_t *s, const uint32_t *code, const wa_wgsl_info *info)
{
    (void)code, (void)info;
    uint32_t ids = s[0] != WA_WGSL_EMBED_LAYERNORM ? 0 : 1u + (s[4] & TYPES ? 1u : 0u) + (s[4] & POSITIONS ? 1u : 0u);
    return ((2u << read_count(s)) - 1) & ~((1u << ids) - 1) & ~(s[4] & CODES ? 1u << ids : 0u);
}
const wa_wgsl_row wa__wgsl_rows = {"rows", check, generate, halves};
