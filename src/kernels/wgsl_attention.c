/* Attention: softmax(scale * q.kT + bias).v in one pass with a running maximum, no scores in memory.
 * A workgroup holds Q queries x P shares of the keys; shares are merged in workgroup memory.
 * Finite masks only: the running maximum starts at the lowest float, so that nothing is NaN.
 * spec: 0 head size D, 1 heads, 2 flags (1 packed qkv, 2 bias), 3 Q, 4 P.
 * bindings: qkv | q, k, v; bias?; o. params: {s, t, batch, scale bits} {bias strides b, h, i, j}. */
#include "kernels/wgsl_int.h"

#define put wa__wgsl_put
enum { PACKED = 1, BIAS = 2, FLAGS = 3 };

static wa_status check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || !s[0] || s[0] > 256 || !s[1] || s[1] > 4096 || (s[2] & ~(uint32_t)FLAGS) || !s[3] || !s[4] || s[3] > 256 || s[4] > 256 ||
        s[3] * s[4] > 256)
        return wa__fail(err, WA_VERIFY, "attention: head size %u, heads %u, flags %u, %ux%u", s[0], s[1], s[2], s[3], s[4]);
    info->binding_count = (s[2] & PACKED ? 2u : 4u) + (s[2] & BIAS ? 1u : 0u);
    info->write_mask = 1u << (info->binding_count - 1);
    uint32_t width = s[0] % 4 == 0 ? s[0] / 4 : s[0];
    info->workgroup_bytes = s[4] > 1 ? s[3] * s[4] * (width * (s[0] % 4 == 0 ? 16 : 4) + 8) : 0;
    if (info->workgroup_bytes > 16384) return wa__fail(err, WA_VERIFY, "attention: %u bytes of workgroup memory", info->workgroup_bytes);
    return WA_OK;
}

static void keys(const uint32_t *s, uint32_t w, bool v4, wa_wgsl_emit *e)
{
    const char *k = s[2] & PACKED ? "qkv" : "k", *v = s[2] & PACKED ? "qkv" : "v";
    uint32_t row = s[1] * w * (s[2] & PACKED ? 3 : 1), kc = s[2] & PACKED ? s[1] * w : 0, vc = s[2] & PACKED ? 2 * s[1] * w : 0;
    put(e, "  for (var j = share; j < t; j += %uu) {\n    let at = (z * t + j) * %uu + h * %uu;\n    var x = ", s[4], row, w);
    for (uint32_t i = 0; i < w; i++) {
        if (v4) put(e, "%sdot(q%u, vec4f(%s[at + %uu]))", i ? " + " : "", i, k, kc + i);
        else put(e, "%sq%u * f32(%s[at + %uu])", i ? " + " : "", i, k, kc + i);
    }
    put(e, ";\n    x *= scale;\n");
    if (s[2] & BIAS) put(e, "    x += bias[base + j * p.a[1].w];\n");
    put(e, "    x = max(x, LOW);\n    let n = max(top, x); let old = exp(top - n); let f = exp(x - n);\n    top = n; sum = sum * old + f;\n");
    for (uint32_t i = 0; i < w; i++) put(e, "    c%u = c%u * old + f * %s(%s[at + %uu]);\n", i, i, v4 ? "vec4f" : "f32", v, vc + i);
    put(e, "  }\n");
}

/* Shares 1.. leave top, sum and vector; share 0 merges them in order. */
static void merge(const uint32_t *s, uint32_t w, wa_wgsl_emit *e)
{
    uint32_t lanes = s[3] * s[4];
    put(e, "  let lane = share * %uu + l.x;\n  tops[lane] = top; sums[lane] = sum;\n", s[3]);
    for (uint32_t i = 0; i < w; i++) put(e, "  part[%uu + lane] = c%u;\n", i * lanes, i);
    put(e, "  workgroupBarrier();\n  if (share > 0u) { return; }\n  for (var o1 = 1u; o1 < %uu; o1++) {\n    let at = o1 * %uu + l.x;\n"
           "    let n = max(top, tops[at]); let old = exp(top - n); let f = exp(tops[at] - n);\n    top = n; sum = sum * old + f * sums[at];\n", s[4], s[3]);
    for (uint32_t i = 0; i < w; i++) put(e, "    c%u = c%u * old + f * part[%uu + at];\n", i, i, i * lanes);
    put(e, "  }\n");
}

static void generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    bool v4 = s[0] % 4 == 0;
    uint32_t w = v4 ? s[0] / 4 : s[0], b = 0;
    const char *type = v4 ? "vec4f" : "f32";
    if (s[2] & PACKED) wa__wgsl_storage(e, b++, "qkv", type, false);
    else for (; b < 3; b++) wa__wgsl_storage(e, b, b == 0 ? "q" : b == 1 ? "k" : "v", type, false);
    if (s[2] & BIAS) wa__wgsl_storage(e, b++, "bias", "f32", false);
    wa__wgsl_storage(e, b++, "o", type, true);
    wa__wgsl_params(e, b, 2);
    put(e, "const LOW = -3.4e38f;\n");
    if (s[4] > 1)
        put(e, "var<workgroup> part: array<%s, %u>;\nvar<workgroup> tops: array<f32, %u>;\nvar<workgroup> sums: array<f32, %u>;\n", type,
            s[3] * s[4] * w, s[3] * s[4], s[3] * s[4]);
    put(e, "@compute @workgroup_size(%u, %u)\nfn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_id) l: vec3u) {\n", s[3], s[4]);
    put(e, "  let sq = p.a[0].x; let t = p.a[0].y; let scale = bitcast<f32>(p.a[0].w); let share = l.y;\n"
           "  let i = min(wg.x * %uu + l.x, sq - 1u); let h = wg.y; let z = wg.z;\n", s[3]);
    if (s[2] & BIAS) put(e, "  let base = z * p.a[1].x + h * p.a[1].y + i * p.a[1].z;\n");
    uint32_t row = s[1] * w * (s[2] & PACKED ? 3 : 1);
    put(e, "  let qa = (z * sq + i) * %uu + h * %uu;\n  var top = LOW; var sum = 0f;\n", row, w);
    for (uint32_t i = 0; i < w; i++) put(e, "  let q%u = %s(%s[qa + %uu]); var c%u = %s();\n", i, type, s[2] & PACKED ? "qkv" : "q", i, i, type);
    keys(s, w, v4, e);
    if (s[4] > 1) merge(s, w, e);
    put(e, "  if (wg.x * %uu + l.x >= sq) { return; }\n  let to = (z * sq + i) * %uu + h * %uu; let inv = 1.0 / max(sum, 1e-30);\n", s[3], s[1] * w, w);
    for (uint32_t i = 0; i < w; i++) put(e, "  o[to + %uu] = %s(c%u * inv);\n", i, wa__wgsl_held(e, b - 1, type), i);
    put(e, "}\n");
}

/* All but the bias, whose masks may be as low as floats go. */
static uint32_t halves(const uint32_t *s, const uint32_t *code, const wa_wgsl_info *info)
{
    (void)code;
    return ((1u << info->binding_count) - 1) & ~(s[2] & BIAS ? 1u << (info->binding_count - 2) : 0u);
}
const wa_wgsl_row wa__wgsl_attention = {"attention", check, generate, halves};
