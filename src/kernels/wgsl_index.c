/* Kernels that pick or place words by index, one invocation an output element (scatter: a lane). Dims
 * and strides are in words, at most 8 of them, two vec4 each; right-aligned unless said otherwise. An
 * index below 0 counts from the end; one out of range is brought to an end, or dropped by scatters.
 * PICK: x, ids, o. spec: 0 GatherElements, 1 GatherND. params, 0: {count, axis dim, axis stride, 0}
 *   dims, strides (of the data; 0 at the axis); 1: {count, inner, depth, tuples a batch} {batch stride,
 *   0, 0, 0} dims, strides (left-aligned, depth of them).
 * SCATTER: ids, updates, o (the data is there already). spec: {0 ScatterElements or 1 ScatterND, dtype,
 *   reduction}. params, 0: {lanes, updates a lane, axis dim, axis stride in o} {axis stride in ids, 0, 0, 0}
 *   dims, strides in ids, strides in o; a lane is a line of ids along the axis, taken in order. 1: {lanes,
 *   inner, depth, tuples a lane} dims, strides (left-aligned); one lane an inner element takes all tuples
 *   in order, or, where no two tuples are equal, one lane a tuple and inner element.
 * PAD: x, value where spec[1], o. spec[0]: 0 constant, 1 reflect, 2 edge, 3 wrap. params: {count, 0, 0, 0}
 *   dims of o, dims of x, begins, strides of x.
 * GENERATE: o. spec: 0 fill {count, word}, 1 f32 range {count, start, step}, 2 integer range likewise,
 *   3 unit matrix {count, columns, diagonal, word of one}.
 * PLACE: spec: 0 Trilu: x, o {count, rows, columns, k} {upper}; 1 OneHot: ids of dtype spec[1], values, o
 *   {count, depth, inner}; 2 ReverseSequence: x, lengths, o {count, dim 0, dim 1, inner} {time is dim 0};
 *   3 TensorScatter: past, update, first places where spec[1], o {count, places, updated, inner}
 *   {a batch, circular}. */
#include "kernels/wgsl_int.h"

#define put wa__wgsl_put
#define HEAD                                                                                                                    \
    "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"    \
    "  let i = g.y * (nw.x * 64u) + g.x;\n  if (i >= p.a[0].x) { return; }\n"

static const char *type_name(uint32_t d) { return d == WA_F32 ? "f32" : d == WA_I32 ? "i32" : "u32"; }
static bool device_dtype(uint32_t d) { return d == WA_F32 || d == WA_I32 || d == WA_U32; }

static wa_status bindings(wa_wgsl_info *info, uint32_t n)
{
    info->binding_count = n;
    info->write_mask = 1u << (n - 1);
    return WA_OK;
}

/* --- pick ------------------------------------------------------------------------------------------ */
static wa_status pick_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || s[0] > 1) return wa__fail(err, WA_VERIFY, "a gather has form %u", s[0]);
    return bindings(info, 3);
}

static void pick_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    wa__wgsl_storage(e, 0, "x", "u32", false);
    wa__wgsl_storage(e, 1, "ids", "i32", false);
    wa__wgsl_storage(e, 2, "o", "u32", true);
    wa__wgsl_params(e, 3, s[0] ? 6 : 5);
    put(e, "fn resolve(k: i32, n: u32) -> u32 { return u32(clamp(select(k, k + i32(n), k < 0), 0, i32(n) - 1)); }\n" HEAD);
    if (s[0])
        put(e, "  let q = p.a[0]; let t = i / q.y;\n  var at = t / q.w * p.a[1].x;\n"
               "  for (var d = 0u; d < q.z; d++) { at += resolve(ids[t * q.z + d], p.a[2u + d / 4u][d %% 4u]) * p.a[4u + d / 4u][d %% 4u]; }\n"
               "  o[i] = x[at + i %% q.y];\n}\n");
    else
        put(e, "  var r = i; var at = resolve(ids[i], p.a[0].y) * p.a[0].z;\n"
               "  for (var k = 8u; k > 0u; k--) { let d = k - 1u; let n = p.a[1u + d / 4u][d %% 4u]; at += r %% n * p.a[3u + d / 4u][d %% 4u]; r /= n; }\n"
               "  o[i] = x[at];\n}\n");
}
const wa_wgsl_row wa__wgsl_pick = {"gather elements", pick_check, pick_generate};

/* --- scatter --------------------------------------------------------------------------------------- */
static wa_status scatter_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || s[0] > 1 || !device_dtype(s[1]) || s[2] > 4) return wa__fail(err, WA_VERIFY, "a scatter has form %u, dtype %u, reduction %u", s[0], s[1], s[2]);
    return bindings(info, 3);
}

static void scatter_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    static const char *const combine[] = {"b", "a + b", "a * b", "select(a, b, b > a)", "select(a, b, b < a)"};
    const char *type = s[2] ? type_name(s[1]) : "u32";
    (void)code;
    wa__wgsl_storage(e, 0, "ids", "i32", false);
    wa__wgsl_storage(e, 1, "u", type, false);
    wa__wgsl_storage(e, 2, "o", type, true);
    wa__wgsl_params(e, 3, s[0] ? 5 : 8);
    put(e, "fn combine(a: %s, b: %s) -> %s { return %s; }\n" HEAD, type, type, type, combine[s[2]]);
    if (s[0])
        put(e, "  let q = p.a[0]; let j = i %% q.y; let first = i / q.y * q.w;\n"
               "  for (var t = first; t < first + q.w; t++) {\n    var at = j; var inside = true;\n    for (var d = 0u; d < q.z; d++) {\n"
               "      let n = i32(p.a[1u + d / 4u][d %% 4u]); var k = ids[t * q.z + d];\n      k = select(k, k + n, k < 0);\n"
               "      inside = inside && k >= 0 && k < n;\n      at += u32(k) * p.a[3u + d / 4u][d %% 4u];\n    }\n"
               "    if (inside) { o[at] = combine(o[at], u[t * q.y + j]); }\n  }\n}\n");
    else
        put(e, "  var r = i; var src = 0u; var dst = 0u;\n"
               "  for (var m = 8u; m > 0u; m--) {\n    let d = m - 1u; let n = r %% p.a[2u + d / 4u][d %% 4u]; r /= p.a[2u + d / 4u][d %% 4u];\n"
               "    src += n * p.a[4u + d / 4u][d %% 4u]; dst += n * p.a[6u + d / 4u][d %% 4u];\n  }\n"
               "  let n = i32(p.a[0].z);\n  for (var t = 0u; t < p.a[0].y; t++) {\n    let src_t = src + t * p.a[1].x; var k = ids[src_t];\n"
               "    k = select(k, k + n, k < 0);\n    if (k < 0 || k >= n) { continue; }\n    let at = dst + u32(k) * p.a[0].w;\n"
               "    o[at] = combine(o[at], u[src_t]);\n  }\n}\n");
}
const wa_wgsl_row wa__wgsl_scatter = {"scatter", scatter_check, scatter_generate};

/* --- pad ------------------------------------------------------------------------------------------- */
static wa_status pad_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || s[0] > 3 || s[1] > 1) return wa__fail(err, WA_VERIFY, "a pad has mode %u", s[0]);
    return bindings(info, 2 + s[1]);
}

static void pad_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    static const char *const mode[] = {
        "inside = inside && n >= 0 && n < d; n = clamp(n, 0, max(d - 1, 0));",
        "let w = max(2 * (d - 1), 1); n = (n % w + w) % w; n = select(n, w - n, n >= d); n = select(n, 0, d < 2);",
        "n = clamp(n, 0, d - 1);", "n = (n % d + d) % d;"};
    (void)code;
    wa__wgsl_storage(e, 0, "x", "u32", false);
    if (s[1]) wa__wgsl_storage(e, 1, "value", "u32", false);
    wa__wgsl_storage(e, 1 + s[1], "o", "u32", true);
    wa__wgsl_params(e, 2 + s[1], 9);
    put(e, HEAD "  var r = i; var at = 0u; var inside = true;\n  for (var m = 8u; m > 0u; m--) {\n    let k = m - 1u; let b = k / 4u; let c = k %% 4u;\n"
                "    var n = i32(r %% p.a[1u + b][c]) - i32(p.a[5u + b][c]); r /= p.a[1u + b][c]; let d = i32(p.a[3u + b][c]);\n    ");
    put(e, "%s", mode[s[0]]);
    put(e, "\n    at += u32(n) * p.a[7u + b][c];\n  }\n  if (inside) { o[i] = x[at]; } else { o[i] = %s; }\n}\n", s[1] ? "value[0]" : "0u");
}
const wa_wgsl_row wa__wgsl_pad = {"pad", pad_check, pad_generate};

/* --- generate -------------------------------------------------------------------------------------- */
static wa_status generate_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || s[0] > 3) return wa__fail(err, WA_VERIFY, "a generator has form %u", s[0]);
    return bindings(info, 1);
}

static void generate_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    static const char *const form[] = {"q.y", "bitcast<u32>(bitcast<f32>(q.y) + f32(i) * bitcast<f32>(q.z))", "q.y + i * q.z",
                                       "select(0u, q.w, i32(i % q.y) - i32(i / q.y) == i32(q.z))"};
    (void)code;
    wa__wgsl_storage(e, 0, "o", "u32", true);
    wa__wgsl_params(e, 1, 1);
    put(e, HEAD "  let q = p.a[0];\n  o[i] = ");
    put(e, "%s", form[s[0]]);
    put(e, ";\n}\n");
}
const wa_wgsl_row wa__wgsl_generate_row = {"generate", generate_check, generate_generate};

/* --- place ----------------------------------------------------------------------------------------- */
static wa_status place_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    static const uint32_t counts[] = {2, 3, 3, 3};
    (void)code;
    if (code_count || s[0] > 3 || (s[0] == 1 && !device_dtype(s[1])) || (s[0] == 3 && s[1] > 1))
        return wa__fail(err, WA_VERIFY, "a placement has form %u, %u", s[0], s[1]);
    return bindings(info, counts[s[0]] + (s[0] == 3 ? s[1] : 0));
}

static void place_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    if (s[0] == 0) {
        wa__wgsl_storage(e, 0, "x", "u32", false);
        wa__wgsl_storage(e, 1, "o", "u32", true);
        wa__wgsl_params(e, 2, 2);
        put(e, HEAD "  let q = p.a[0]; let k = i32(i %% q.z) - i32(i / q.z %% q.y);\n"
                    "  let keep = select(k <= i32(q.w), k >= i32(q.w), p.a[1].x != 0u);\n  if (keep) { o[i] = x[i]; } else { o[i] = 0u; }\n}\n");
    } else if (s[0] == 1) {
        wa__wgsl_storage(e, 0, "ids", type_name(s[1]), false);
        wa__wgsl_storage(e, 1, "values", "u32", false);
        wa__wgsl_storage(e, 2, "o", "u32", true);
        wa__wgsl_params(e, 3, 1);
        put(e, HEAD "  let q = p.a[0]; let k = i32(i / q.z %% q.y);\n  var hot = i32(ids[i / (q.z * q.y) * q.z + i %% q.z]);\n"
                    "  hot = select(hot, hot + i32(q.y), hot < 0);\n  o[i] = values[select(0u, 1u, k == hot)];\n}\n");
    } else if (s[0] == 2) {
        wa__wgsl_storage(e, 0, "x", "u32", false);
        wa__wgsl_storage(e, 1, "lengths", "i32", false);
        wa__wgsl_storage(e, 2, "o", "u32", true);
        wa__wgsl_params(e, 3, 2);
        put(e, HEAD "  let q = p.a[0]; let first = p.a[1].x != 0u; let a = i / q.w / q.z; let c = i / q.w %% q.z;\n"
                    "  let time = select(c, a, first); let batch = select(a, c, first); let n = u32(max(lengths[batch], 0));\n"
                    "  let source = select(time, n - 1u - time, time < n);\n"
                    "  o[i] = x[(select(a, source, first) * q.z + select(source, c, first)) * q.w + i %% q.w];\n}\n");
    } else {
        wa__wgsl_storage(e, 0, "past", "u32", false);
        wa__wgsl_storage(e, 1, "u", "u32", false);
        if (s[1]) wa__wgsl_storage(e, 2, "firsts", "i32", false);
        wa__wgsl_storage(e, 2 + s[1], "o", "u32", true);
        wa__wgsl_params(e, 3 + s[1], 2);
        put(e, HEAD "  let q = p.a[0]; let n = i32(q.y); var k = i32(i / q.w %% q.y) - %s;\n", s[1] ? "firsts[i / p.a[1].x]" : "0");
        put(e, "  if (p.a[1].y != 0u) { k = (k %% n + n) %% n; }\n"
               "  if (k >= 0 && k < i32(q.z)) { o[i] = u[(i / (q.w * q.y) * q.z + u32(k)) * q.w + i %% q.w]; } else { o[i] = past[i]; }\n}\n");
    }
}
const wa_wgsl_row wa__wgsl_place = {"place", place_check, place_generate};
