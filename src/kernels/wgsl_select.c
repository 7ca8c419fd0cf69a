/* Kernels that order and select. Words are compared by a key that is whole: floats by their bits, so that
 * NaN is above all and equal to itself, and both zeros are equal.
 * TOPK: x, values, places. spec: {dtype, largest}. params: {count, dim, inner, k}. An invocation an
 *   element counts those before it: ties by the lower place.
 * COMPACT (one workgroup): spec: {0 NonZero or 1 Compress, x is f32}. 0: x, o, found; {count, rank, 0, 0} dims,
 *   strides (two vec4 each, left-aligned). 1: condition, x, o, found; {length of the condition, dim, outer, inner}.
 * UNIQUE (one workgroup): x, y, firsts, inverse, counts, found. spec: {dtype, sorted}. params: {n, outer,
 *   inner, 0}: n slices of outer * inner elements, element (a, slice, j) at (a * n + slice) * inner + j.
 * NMS (one workgroup): boxes, scores, IoU limit where spec[0], score limit where spec[1], o, found.
 *   spec[2]: boxes are centre and size. params: {batches, classes, boxes, at most a class}. Takes the best
 *   box after the last one looked at, and keeps it unless one kept before covers it. */
#include "kernels/wgsl_int.h"

#define put wa__wgsl_put

static bool device_dtype(uint32_t d) { return d == WA_F32 || d == WA_I32 || d == WA_U32; }

static void key(uint32_t dtype, wa_wgsl_emit *e)
{
    if (dtype == WA_F32)
        put(e, "fn key(w: u32) -> u32 {\n  let m = w & 0x7fffffffu; if (m > 0x7f800000u) { return 0xffffffffu; } if (m == 0u) { return 0x80000000u; }\n"
               "  return select(w | 0x80000000u, ~w, (w & 0x80000000u) != 0u);\n}\n");
    else
        put(e, "fn key(w: u32) -> u32 { return w%s; }\n", dtype == WA_I32 ? " ^ 0x80000000u" : "");
}

/* --- top k ----------------------------------------------------------------------------------------- */
static wa_status topk_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || !device_dtype(s[0]) || s[1] > 1) return wa__fail(err, WA_VERIFY, "top k of dtype %u, order %u", s[0], s[1]);
    info->binding_count = 3;
    info->write_mask = 6;
    return WA_OK;
}

static void topk_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    wa__wgsl_storage(e, 0, "x", "u32", false);
    wa__wgsl_storage(e, 1, "values", "u32", true);
    wa__wgsl_storage(e, 2, "places", "i32", true);
    wa__wgsl_params(e, 3, 1);
    key(s[0], e);
    put(e, "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let q = p.a[0]; let i = g.y * (nw.x * 64u) + g.x;\n  if (i >= q.x) { return; }\n"
           "  let j = i %% q.z; let me = i / q.z %% q.y; let row = i / (q.z * q.y); let mine = key(x[i]); var rank = 0u;\n"
           "  for (var n = 0u; n < q.y; n++) {\n    let other = key(x[(row * q.y + n) * q.z + j]);\n"
           "    rank += select(0u, 1u, other %s mine || (other == mine && n < me));\n  }\n", s[1] ? ">" : "<");
    put(e, "  if (rank < q.w) { let at = (row * q.w + rank) * q.z + j; values[at] = x[i]; places[at] = i32(me); }\n}\n");
}
const wa_wgsl_row wa__wgsl_topk = {"top k", topk_check, topk_generate};

/* --- one workgroup --------------------------------------------------------------------------------- */
#define GROUP "@compute @workgroup_size(256)\nfn main(@builtin(local_invocation_index) me: u32) {\n"

static wa_status compact_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || s[0] > 1 || s[1] > 1) return wa__fail(err, WA_VERIFY, "a compaction has form %u, %u", s[0], s[1]);
    info->binding_count = 3 + s[0];
    info->write_mask = s[0] ? 12 : 6;
    info->workgroup_bytes = 1024;
    return WA_OK;
}

static void compact_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    if (s[0]) wa__wgsl_storage(e, 0, "c", "u32", false);
    wa__wgsl_storage(e, s[0], "x", "u32", false);
    wa__wgsl_storage(e, 1 + s[0], "o", "u32", true);
    wa__wgsl_storage(e, 2 + s[0], "found", "i32", true);
    wa__wgsl_params(e, 3 + s[0], s[0] ? 1 : 5);
    put(e, "var<workgroup> sums: array<u32, 256>;\nfn takes(i: u32) -> bool { return %s != 0u; }\n" GROUP,
        s[0] ? "c[i]" : s[1] ? "(x[i] & 0x7fffffffu)" : "x[i]");
    put(e, "  let q = p.a[0]; let chunk = (q.x + 255u) / 256u; let first = min(me * chunk, q.x); let last = min(first + chunk, q.x);\n"
           "  var count = 0u;\n  for (var i = first; i < last; i++) { count += select(0u, 1u, takes(i)); }\n"
           "  sums[me] = count;\n  workgroupBarrier();\n  var at = 0u; var total = 0u;\n"
           "  for (var k = 0u; k < 256u; k++) { at += select(0u, sums[k], k < me); total += sums[k]; }\n"
           "  if (me == 0u) { found[0] = i32(total); }\n");
    if (s[0])
        put(e, "  for (var k = first; k < last; k++) {\n    if (!takes(k)) { continue; }\n    for (var a = 0u; a < q.z; a++) {\n"
               "      for (var j = 0u; j < q.w; j++) { o[(a * q.y + at) * q.w + j] = x[(a * q.y + k) * q.w + j]; }\n    }\n    at++;\n  }\n"
               "  for (var k = total + me; k < q.y; k += 256u) {\n"
               "    for (var a = 0u; a < q.z; a++) { for (var j = 0u; j < q.w; j++) { o[(a * q.y + k) * q.w + j] = 0u; } }\n  }\n}\n");
    else
        put(e, "  for (var i = first; i < last; i++) {\n    if (!takes(i)) { continue; }\n"
               "    for (var d = 0u; d < q.y; d++) { o[d * q.x + at] = i / p.a[3u + d / 4u][d %% 4u] %% p.a[1u + d / 4u][d %% 4u]; }\n    at++;\n  }\n"
               "  for (var k = total + me; k < q.x; k += 256u) { for (var d = 0u; d < q.y; d++) { o[d * q.x + k] = 0u; } }\n}\n");
}
const wa_wgsl_row wa__wgsl_compact = {"compact", compact_check, compact_generate};

static wa_status unique_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || !device_dtype(s[0]) || s[1] > 1) return wa__fail(err, WA_VERIFY, "unique of dtype %u, order %u", s[0], s[1]);
    info->binding_count = 6;
    info->write_mask = 62;
    info->workgroup_bytes = 4;
    return WA_OK;
}

/* inverse first holds each slice's first equal, counts each first's rank; then what they are for. */
static void unique_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    static const char *const names[] = {"firsts", "inverse", "counts", "found"};
    (void)code;
    wa__wgsl_storage(e, 0, "x", "u32", false);
    wa__wgsl_storage(e, 1, "y", "u32", true);
    for (uint32_t i = 0; i < 4; i++) wa__wgsl_storage(e, 2 + i, names[i], "i32", true);
    wa__wgsl_params(e, 6, 1);
    key(s[0], e);
    put(e, "var<workgroup> total: atomic<u32>;\n"
           "fn order(a: u32, b: u32) -> i32 {\n  let q = p.a[0];\n  for (var k = 0u; k < q.y; k++) {\n    for (var j = 0u; j < q.z; j++) {\n"
           "      let u = key(x[(k * q.x + a) * q.z + j]); let v = key(x[(k * q.x + b) * q.z + j]);\n"
           "      if (u != v) { return select(1, -1, u < v); }\n    }\n  }\n  return 0;\n}\n" GROUP
           "  let q = p.a[0];\n  for (var i = me; i < q.x; i += 256u) {\n    var f = 0u;\n    while (f < i && order(f, i) != 0) { f++; }\n"
           "    inverse[i] = i32(f); firsts[i] = 0; if (f == i) { atomicAdd(&total, 1u); }\n  }\n  storageBarrier(); workgroupBarrier();\n"
           "  for (var i = me; i < q.x; i += 256u) {\n    if (inverse[i] != i32(i)) { continue; }\n    var rank = 0u;\n"
           "    for (var j = 0u; j < q.x; j++) { if (inverse[j] == i32(j) && %s) { rank++; } }\n", s[1] ? "order(j, i) < 0" : "j < i");
    put(e, "    counts[i] = i32(rank); firsts[rank] = i32(i);\n  }\n  storageBarrier(); workgroupBarrier();\n"
           "  for (var i = me; i < q.x; i += 256u) { inverse[i] = counts[inverse[i]]; }\n  storageBarrier(); workgroupBarrier();\n"
           "  let n = atomicLoad(&total);\n  if (me == 0u) { found[0] = i32(n); }\n"
           "  for (var i = me; i < q.x; i += 256u) {\n    var c = 0;\n    for (var j = 0u; j < q.x; j++) { c += select(0, 1, inverse[j] == i32(i)); }\n"
           "    counts[i] = c;\n    for (var k = 0u; k < q.y; k++) {\n      for (var j = 0u; j < q.z; j++) {\n"
           "        let v = x[(k * q.x + u32(firsts[i])) * q.z + j]; y[(k * q.x + i) * q.z + j] = select(0u, v, i < n);\n      }\n    }\n  }\n}\n");
}
const wa_wgsl_row wa__wgsl_unique = {"unique", unique_check, unique_generate};

/* --- non-maximum suppression ----------------------------------------------------------------------- */
static wa_status nms_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || s[0] > 1 || s[1] > 1 || s[2] > 1) return wa__fail(err, WA_VERIFY, "a suppression has form %u, %u, %u", s[0], s[1], s[2]);
    info->binding_count = 4 + s[0] + s[1];
    info->write_mask = 3u << (2 + s[0] + s[1]);
    info->workgroup_bytes = 2064;
    return WA_OK;
}

static void nms_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    uint32_t at = 2;
    (void)code;
    wa__wgsl_storage(e, 0, "boxes", "vec4f", false);
    wa__wgsl_storage(e, 1, "scores", "u32", false);
    if (s[0]) wa__wgsl_storage(e, at++, "cover", "f32", false);
    if (s[1]) wa__wgsl_storage(e, at++, "low", "u32", false);
    wa__wgsl_storage(e, at, "o", "i32", true);
    wa__wgsl_storage(e, at + 1, "found", "i32", true);
    wa__wgsl_params(e, at + 2, 1);
    key(WA_F32, e);
    put(e, "var<workgroup> keys: array<u32, 256>;\nvar<workgroup> ids: array<u32, 256>;\nvar<workgroup> covered: atomic<u32>;\nvar<workgroup> flag: u32;\n"
           "fn corners(b: vec4f) -> vec4f { %s }\n"
           "fn iou(u: vec4f, v: vec4f) -> f32 {\n  let a = corners(u); let b = corners(v); let d = max(min(a.zw, b.zw) - max(a.xy, b.xy), vec2f(0.0));\n"
           "  let both = d.x * d.y; let area = (a.z - a.x) * (a.w - a.y) + (b.z - b.x) * (b.w - b.y) - both;\n"
           "  return select(0.0, both / area, area > 0.0);\n}\n" GROUP,
        s[2] ? "return vec4f(b.xy - b.zw * 0.5, b.xy + b.zw * 0.5);" : "return vec4f(min(b.xy, b.zw), max(b.xy, b.zw));");
    put(e, "  let q = p.a[0]; let limit = %s; var n = 0u;\n", s[0] ? "cover[0]" : "0.0");
    put(e, "  for (var bc = 0u; bc < q.x * q.y; bc++) {\n    let batch = bc / q.y; let begin = n; var last = 0u; var after = 0u; var some = false;\n"
           "    while (n - begin < q.w) {\n      var best = 0u; var id = q.z;\n" /* the best of this invocation's boxes that comes after the last one */
           "      for (var i = me; i < q.z; i += 256u) {\n        let k = key(scores[bc * q.z + i]);\n");
    put(e, "        if (%s) { continue; }\n", s[1] ? "k <= key(low[0])" : "false");
    put(e, "        if (some && (k > last || (k == last && i <= after))) { continue; }\n        if (id == q.z || k > best) { best = k; id = i; }\n      }\n"
           "      keys[me] = best; ids[me] = id; if (me == 0u) { atomicStore(&covered, 0u); }\n      workgroupBarrier();\n"
           "      for (var h = 128u; h > 0u; h /= 2u) {\n        if (me < h && ids[me + h] < q.z) {\n          let o2 = keys[me + h];\n"
           "          if (ids[me] == q.z || o2 > keys[me] || (o2 == keys[me] && ids[me + h] < ids[me])) { keys[me] = o2; ids[me] = ids[me + h]; }\n"
           "        }\n        workgroupBarrier();\n      }\n"
           "      let pick = workgroupUniformLoad(&ids[0]);\n      if (pick == q.z) { break; }\n      last = workgroupUniformLoad(&keys[0]); after = pick; some = true;\n"
           "      let box = boxes[batch * q.z + pick];\n"
           "      for (var k = begin + me; k < n; k += 256u) { if (iou(box, boxes[batch * q.z + u32(o[k * 3u + 2u])]) > limit) { atomicStore(&covered, 1u); } }\n"
           "      workgroupBarrier();\n      if (me == 0u) { flag = atomicLoad(&covered); }\n      let hidden = workgroupUniformLoad(&flag);\n      if (hidden == 0u) {\n"
           "        if (me == 0u) { o[n * 3u] = i32(batch); o[n * 3u + 1u] = i32(bc %% q.y); o[n * 3u + 2u] = i32(pick); }\n        n++;\n      }\n"
           "      storageBarrier(); workgroupBarrier();\n    }\n  }\n"
           "  if (me == 0u) { found[0] = i32(n); }\n  for (var k = n * 3u + me; k < q.x * q.y * q.w * 3u; k += 256u) { o[k] = 0; }\n}\n");
}
const wa_wgsl_row wa__wgsl_nms = {"non-maximum suppression", nms_check, nms_generate};
