/* Attention on subgroup matrices over 16x16 f16 tiles: softmax(scale * q.kT + bias).v. A workgroup is
 * one subgroup with 16 queries of one head. Scores of a block of keys lie in workgroup memory as f16
 * and become probabilities in place (maximum, exponential and sum in f32); the products with v sum in
 * f16, as what is summed is an average (gpu/KERNELS.md: the occupancy of 4 KiB a workgroup is worth
 * more than f32 scores). More keys than a block are walked twice: first for each query's maximum and
 * sum, then for the product, since sums in a matrix register cannot be rescaled.
 * A sequence's rows must start a tile: rows a sequence are a multiple of 16, or the batch is 1. Rows
 * past the last one hold finite numbers (whoever writes tiles sees to it).
 * spec: 0 head size D (multiple of 16), 1 heads, 2 flags (1 packed qkv, 2 bias, 4 the bias differs by
 *       query), 3 key tiles a block (2, 4, 8), 4 more than one block.
 * bindings: qkv | q, k, v; bias?; o. params: {s, t, batch, scale bits} {bias strides b, h, i, j}.
 * Grid: x ceil(s/16), y heads, z batch. */
#include "kernels/wgsl_int.h"
#include "kernels/wgsl_tiles.h"

#define put wa__wgsl_put
enum { PACKED = 1, BIAS = 2, PER_QUERY = 4, FLAGS = 7 };

static wa_status check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || !s[0] || s[0] > 256 || s[0] % 16 || !s[1] || s[1] > 4096 || (s[2] & ~(uint32_t)FLAGS) || (s[3] != 2 && s[3] != 4 && s[3] != 8) || s[4] > 1)
        return wa__fail(err, WA_VERIFY, "attention_tiles: head size %u, heads %u, flags %u, blocks of %u, %u", s[0], s[1], s[2], s[3], s[4]);
    info->binding_count = (s[2] & PACKED ? 2u : 4u) + (s[2] & BIAS ? 1u : 0u);
    info->write_mask = 1u << (info->binding_count - 1);
    info->workgroup_bytes = 16 * (s[3] * 16 + 8) * 2;
    info->features = WA_FEATURE_F16 | WA_FEATURE_SUBGROUPS | WA_FEATURE_SUBGROUP_MATRIX | WA_FEATURE_MATRIX_F16;
    return WA_OK;
}

/* Scores of the block that starts at key tile `first`, into p_s. */
static void scores(const uint32_t *s, wa_wgsl_emit *e)
{
    uint32_t d = s[0] / 16, stride = s[3] * 16 + 8, width = s[1] * d * (s[2] & PACKED ? 3 : 1), from = s[2] & PACKED ? s[1] * d : 0;
    for (uint32_t j = 0; j < s[3]; j++) {
        put(e, "  { let at = (k0 + min(first + %uu, last)) * %uu + %uu + h; var c = subgroup_matrix_result<f16, 16, 16>();\n", j, width, from);
        for (uint32_t i = 0; i < d; i++)
            put(e, "    c = subgroupMatrixMultiplyAccumulate(q%u, subgroupMatrixLoad<Right>(&%s[at + %uu], 0u, true, 16u), c);\n", i, s[2] & PACKED ? "qkv" : "k", i);
        put(e, "    subgroupMatrixStore(&p_s, %uu, c, false, %uu); }\n", j * 16, stride);
    }
    put(e, "  workgroupBarrier();\n");
}

/* What is added to a lane's scores of the block: the bias, and nothing for keys past the end. */
static void addends(const uint32_t *s, wa_wgsl_emit *e)
{
    for (uint32_t i = 0; i < s[3] / 2; i++) {
        put(e, "  let j%u = first * 16u + l + %uu; let ok%u = j%u < p.a[0].y;\n", i, i * 32, i, i);
        if (s[2] & BIAS && !(s[2] & PER_QUERY)) put(e, "  let b%u = bias[base + min(j%u, p.a[0].y - 1u) * p.a[1].w];\n", i, i);
    }
}

static void row_values(const uint32_t *s, uint32_t r, wa_wgsl_emit *e)
{
    uint32_t stride = s[3] * 16 + 8;
    for (uint32_t i = 0; i < s[3] / 2; i++) {
        put(e, "    let v%u = select(LOW, max(f32(p_s[l + %uu]) * scale", i, r * stride + i * 32);
        if (s[2] & BIAS && s[2] & PER_QUERY) put(e, " + bias[base + min(wg.x * 16u + %uu, p.a[0].x - 1u) * p.a[1].z + min(j%u, p.a[0].y - 1u) * p.a[1].w]", r, i);
        else if (s[2] & BIAS) put(e, " + b%u", i);
        put(e, ", LOW), ok%u);\n", i);
    }
}

static void list(const char *join, uint32_t n, wa_wgsl_emit *e, const char *format)
{
    for (uint32_t i = 0; i < n; i++) {
        if (i) put(e, "%s", join);
        put(e, format, i);
    }
}

static void row_max(const uint32_t *s, wa_wgsl_emit *e)
{
    put(e, "    let n = subgroupMax(max(v0, ");
    if (s[3] == 2) put(e, "v0");
    else if (s[3] == 4) put(e, "v1");
    else put(e, "max(v1, max(v2, v3))");
    put(e, "));\n");
}

/* Probabilities over p_s. known: maximum and sum of each row are in top and sum already. */
static void probabilities(const uint32_t *s, bool known, wa_wgsl_emit *e)
{
    uint32_t stride = s[3] * 16 + 8, n = s[3] / 2;
    for (uint32_t r = 0; r < 16; r++) {
        put(e, "  {\n");
        row_values(s, r, e);
        if (known) put(e, "    let n = top%u; let f = inv%u;\n", r, r);
        else row_max(s, e);
        for (uint32_t i = 0; i < n; i++) put(e, "    let x%u = exp(v%u - n);\n", i, i);
        if (!known) {
            put(e, "    let f = 1.0 / subgroupAdd(");
            list(" + ", n, e, "x%u");
            put(e, ");\n");
        }
        for (uint32_t i = 0; i < n; i++) put(e, "    p_s[l + %uu] = f16(x%u * f);\n", r * stride + i * 32, i);
        put(e, "  }\n");
    }
    put(e, "  workgroupBarrier();\n");
}

static void weigh(const uint32_t *s, wa_wgsl_emit *e)
{
    uint32_t d = s[0] / 16, stride = s[3] * 16 + 8, width = s[1] * d * (s[2] & PACKED ? 3 : 1), from = s[2] & PACKED ? 2 * s[1] * d : 0;
    for (uint32_t j = 0; j < s[3]; j++) {
        put(e, "  { let x = subgroupMatrixLoad<Left>(&p_s, %uu, false, %uu); let at = (k0 + min(first + %uu, last)) * %uu + %uu + h;\n", j * 16, stride, j, width, from);
        for (uint32_t i = 0; i < d; i++)
            put(e, "    o%u = subgroupMatrixMultiplyAccumulate(x, subgroupMatrixLoad<Right>(&%s[at + %uu], 0u, false, 16u), o%u);\n", i, s[2] & PACKED ? "qkv" : "v", i, i);
        put(e, "  }\n");
    }
}

/* First walk over many blocks: each row's maximum and sum. */
static void survey(const uint32_t *s, wa_wgsl_emit *e)
{
    for (uint32_t r = 0; r < 16; r++) put(e, "  var top%u = LOW; var inv%u = 0f;\n", r, r);
    put(e, "  for (var first = 0u; first <= last; first += %uu) {\n", s[3]);
    scores(s, e);
    addends(s, e);
    for (uint32_t r = 0; r < 16; r++) {
        put(e, "  {\n");
        row_values(s, r, e);
        row_max(s, e);
        put(e, "    let m = max(top%u, n); inv%u = inv%u * exp(top%u - m) + subgroupAdd(", r, r, r, r);
        list(" + ", s[3] / 2, e, "exp(v%u - m)");
        put(e, "); top%u = m;\n  }\n", r);
    }
    put(e, "  workgroupBarrier();\n  }\n");
    for (uint32_t r = 0; r < 16; r++) put(e, "  inv%u = 1.0 / inv%u;\n", r, r);
}

static void generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    uint32_t b = 0, d = s[0] / 16, width = s[1] * d * (s[2] & PACKED ? 3 : 1);
    put(e, WA_WGSL_TILES_HEAD);
    if (s[2] & PACKED) wa__wgsl_storage(e, b++, "qkv", "array<f16, 256>", false);
    else for (; b < 3; b++) wa__wgsl_storage(e, b, b == 0 ? "q" : b == 1 ? "k" : "v", "array<f16, 256>", false);
    if (s[2] & BIAS) wa__wgsl_storage(e, b++, "bias", "f32", false);
    wa__wgsl_storage(e, b++, "o", "array<f16, 256>", true);
    wa__wgsl_params(e, b, 2);
    put(e, "const LOW = -3.4e38f;\nalias Left = subgroup_matrix_left<f16, 16, 16>;\nalias Right = subgroup_matrix_right<f16, 16, 16>;\n"
           "var<workgroup> p_s: array<f16, %u>;\n@compute @workgroup_size(32)\nfn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) l: u32) {\n", 16 * (s[3] * 16 + 8));
    put(e, "  let scale = bitcast<f32>(p.a[0].w); let h = wg.y * %uu; let last = (p.a[0].y - 1u) / 16u;\n"
           "  let row = wg.z * ((p.a[0].x + 15u) / 16u) + wg.x; let k0 = wg.z * (last + 1u);\n", d);
    if (s[2] & BIAS) put(e, "  let base = wg.z * p.a[1].x + wg.y * p.a[1].y;\n");
    for (uint32_t i = 0; i < d; i++)
        put(e, "  let q%u = subgroupMatrixLoad<Left>(&%s[row * %uu + h + %uu], 0u, false, 16u); var o%u: subgroup_matrix_result<f16, 16, 16>;\n", i,
            s[2] & PACKED ? "qkv" : "q", width, i, i);
    if (s[4]) {
        survey(s, e);
        put(e, "  for (var first = 0u; first <= last; first += %uu) {\n", s[3]);
    } else {
        put(e, "  let first = 0u;\n");
    }
    scores(s, e);
    addends(s, e);
    probabilities(s, s[4], e);
    weigh(s, e);
    if (s[4]) put(e, "  workgroupBarrier();\n  }\n");
    for (uint32_t i = 0; i < d; i++) put(e, "  subgroupMatrixStore(&o[row * %uu + h + %uu], 0u, o%u, false, 16u);\n", s[1] * d, i, i);
    put(e, "}\n");
}
/* Every binding has its layout by the spec: what lies in 16 bits is no matter of declaration. */
static uint32_t halves(const uint32_t *s, const uint32_t *code, const wa_wgsl_info *info)
{
    (void)s, (void)code;
    return (1u << info->binding_count) - 1;
}
const wa_wgsl_row wa__wgsl_attention_tiles = {"attention_tiles", check, generate, halves};
