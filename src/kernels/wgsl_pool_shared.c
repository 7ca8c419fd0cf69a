/* POOL_SHARED: tokens x [b,s,D] to [b,D] as POOL does (mean over a mask, first token, maximum over a mask), D a
 * multiple of 4, with L2 normalisation of the result in the same dispatch. A workgroup takes a sentence: W lanes
 * run over its vec4 columns, P shares of them over its tokens.
 * spec: 0 mode (0 mean, 1 first, 2 max), 1 mask dtype, 2 D, 3 flags (1 normalise), 4 epsilon's bits, 5 W, 6 P.
 * bindings: x, mask (unless first), o. params: {b, s, D, 0}. Grid: x sentences, in rows of y. */
#include "kernels/wgsl_int.h"

#define put wa__wgsl_put
enum { MEAN = 0, FIRST = 1, MAX = 2, NORMALISE = 1, GROUPS_MAX = 16 };

static uint32_t groups_of(const uint32_t *s) { return (s[2] / 4 + s[5] - 1) / s[5]; }

static wa_status check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    bool ok = !code_count && s[0] <= MAX && (s[0] == FIRST || s[1] == WA_I32 || s[1] == WA_U32 || s[1] == WA_F32) && s[2] && s[2] % 4 == 0 && s[2] <= 1u << 16 && s[3] <= NORMALISE;
    if (!ok || !s[5] || s[5] > 256 || !s[6] || s[6] > 64 || s[5] * s[6] > 256 || groups_of(s) > GROUPS_MAX)
        return wa__fail(err, WA_VERIFY, "pool_shared: mode %u, mask dtype %u, D %u, flags %u, %ux%u lanes", s[0], s[1], s[2], s[3], s[5], s[6]);
    info->binding_count = s[0] == FIRST ? 2 : 3;
    info->write_mask = 1u << (info->binding_count - 1);
    info->workgroup_bytes = s[5] * s[6] * 20 + s[6] * 4;
    return WA_OK;
}

/* v{g}: vec4 column g*W + tx of the sentence, in every lane of share 0. */
static void column(const uint32_t *s, uint32_t g, wa_wgsl_emit *e)
{
    uint32_t w = s[5], lanes = w * s[6];
    put(e, "  let c%u = min(tx + %uu, %uu);\n", g, g * w, s[2] / 4 - 1);
    if (s[0] == FIRST) {
        put(e, "  var v%u = vec4f(x[at + c%u]);\n", g, g);
        return;
    }
    put(e, "  var v%u = vec4f(%s);\n  for (var t = share; t < d.y; t += %uu) {\n    let m = f32(mask[z * d.y + t]); let y = vec4f(x[at + t * %uu + c%u]);\n", g, s[0] == MEAN ? "0.0" : "LOW", s[6],
        s[2] / 4, g);
    if (s[0] == MEAN) put(e, "    v%u += y * m;\n", g);
    else put(e, "    if (m != 0.0) { v%u = max(v%u, y); }\n", g, g);
    if (g == 0) put(e, "    n += %s;\n", s[0] == MEAN ? "m" : "select(0.0, 1.0, m != 0.0)");
    put(e, "  }\n  part[li] = v%u;\n", g);
    if (g == 0) put(e, "  if (tx == 0u) { counts[share] = n; }\n");
    put(e, "  workgroupBarrier();\n");
    if (g == 0) put(e, "  n = 0.0;\n  for (var k = 0u; k < %uu; k++) { n += counts[k]; }\n", s[6]);
    put(e, "  v%u = part[tx];\n  for (var k = %uu; k < %uu; k += %uu) { ", g, w, lanes, w);
    if (s[0] == MEAN) put(e, "v%u += part[k + tx]; }\n  v%u /= max(n, 1e-9);\n", g, g);
    else put(e, "v%u = max(v%u, part[k + tx]); }\n  if (n == 0.0) { v%u = vec4f(-1e9); }\n", g, g, g);
    put(e, "  workgroupBarrier();\n");
}

static void generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    uint32_t b = 0, groups = groups_of(s), w = s[5];
    wa__wgsl_storage(e, b++, "x", "vec4f", false);
    if (s[0] != FIRST) wa__wgsl_storage(e, b++, "mask", s[1] == WA_I32 ? "i32" : s[1] == WA_U32 ? "u32" : "f32", false);
    wa__wgsl_storage(e, b++, "o", "vec4f", true);
    wa__wgsl_params(e, b, 1);
    const char *held = wa__wgsl_held(e, b - 1, "vec4f");
    put(e, "const LOW = -3.4e38f;\nvar<workgroup> part: array<vec4f, %u>;\nvar<workgroup> red: array<f32, %u>;\nvar<workgroup> counts: array<f32, %u>;\n", w * s[6], w * s[6], s[6]);
    put(e, "@compute @workgroup_size(%u)\nfn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nw: vec3u, @builtin(local_invocation_index) li: u32) {\n", w * s[6]);
    put(e, "  let d = p.a[0]; let wanted = wg.y * nw.x + wg.x; let z = min(wanted, d.x - 1u); let tx = li %% %uu; let share = li / %uu; let at = z * d.y * %uu; var n = 0.0;\n", w, w, s[2] / 4);
    for (uint32_t g = 0; g < groups; g++) column(s, g, e);
    if (s[3] & NORMALISE) {
        put(e, "  var sum = 0.0;\n");
        for (uint32_t g = 0; g < groups; g++) put(e, "  if (tx + %uu < %uu) { sum += dot(v%u, v%u); }\n", g * w, s[2] / 4, g, g);
        put(e, "  red[li] = sum;\n  workgroupBarrier();\n  sum = 0.0;\n  for (var k = 0u; k < %uu; k++) { sum += red[k]; }\n  let scale = 1.0 / max(sqrt(sum), bitcast<f32>(%uu));\n", w, s[4]);
    } else put(e, "  let scale = 1.0;\n");
    put(e, "  if (share > 0u || wanted >= d.x) { return; }\n");
    for (uint32_t g = 0; g < groups; g++) put(e, "  if (tx + %uu < %uu) { o[z * %uu + c%u] = %s(v%u * scale); }\n", g * w, s[2] / 4, s[2] / 4, g, held, g);
    put(e, "}\n");
}

/* All but the mask. */
static uint32_t halves(const uint32_t *s, const uint32_t *code, const wa_wgsl_info *info)
{
    (void)code, (void)info;
    return s[0] == FIRST ? 3u : 5u;
}
const wa_wgsl_row wa__wgsl_pool_shared = {"pool_shared", check, generate, halves};
