/* MATMUL_STRAIGHT: product of few rows with a packed constant on hardware. A lane owns RM rows x RN
 * columns and reads both operands as vec4 straight from storage; S slices of a workgroup share a tile
 * along K and add up in workgroup memory, and all lanes take part in what comes after. U quads of K are
 * unrolled, so that their loads are in flight together (gpu/KERNELS.md: one sentence).
 * spec: wgsl_product.h's, 11 U. */
#include "kernels/wgsl_product.h"

#define put wa__wgsl_put

static wa_status check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    uint32_t each = s[7] * s[8] / 4;
    bool ok = !code_count && wa__wgsl_product_check(s, info) && s[11] && s[11] <= 8 && (s[9] > each || each % s[9] == 0) && s[5] * s[6] * 4 <= WGSL_PRODUCT_SUM_BYTES;
    if (!ok) return wa__fail(err, WA_VERIFY, "matmul_straight: K %u, N %u, ldb %u, flags %u, act %u, tile %ux%u, lane %ux%u, %u slices, unroll %u", s[0], s[1], s[2], s[3], s[4], s[5],
                             s[6], s[7], s[8], s[9], s[11]);
    wgsl_product p = wa__wgsl_product_of(s, false);
    info->workgroup_bytes = wa__wgsl_product_mem(&p) * 16 + wa__wgsl_product_extra(&p);
    return WA_OK;
}

/* Quads k .. k + count - 1: all loads, then all products. */
static void quads(const wgsl_product *p, uint32_t count, wa_wgsl_emit *e)
{
    bool norm = p->flags & WA_WGSL_PRODUCT_NORM;
    for (uint32_t u = 0; u < count; u++) {
        for (uint32_t i = 0; i < p->rm; i++) {
            if (norm) put(e, "    let x%u_%u = normal(vec4f(a[a%u + k + %uu]), k + %uu, n%u);\n", i, u, i, u, u, i);
            else put(e, "    let x%u_%u = vec4f(a[a%u + k + %uu]);\n", i, u, i, u);
        }
        for (uint32_t q = 0; q < 4; q++)
            for (uint32_t j = 0; j < p->rn / 4; j++) put(e, "    let b%u_%u_%u = vec4f(b[((k + %uu) * 4u + %uu) * %uu + b%u]);\n", q, j, u, u, q, p->ld4, j);
    }
    for (uint32_t u = 0; u < count; u++)
        for (uint32_t q = 0; q < 4; q++)
            for (uint32_t i = 0; i < p->rm; i++)
                for (uint32_t j = 0; j < p->rn / 4; j++) put(e, "    c%u_%u = fma(vec4f(x%u_%u.%c), b%u_%u_%u, c%u_%u);\n", i, j, i, u, "xyzw"[q], q, j, u, i, j);
}

static void generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    wgsl_product p = wa__wgsl_product_of(s, false);
    uint32_t share = (p.k4 + p.slices - 1) / p.slices, last = p.k4 - share * ((p.k4 - 1) / share), unroll = p.own < share ? p.own : share;
    wa__wgsl_product_head(&p, wa__wgsl_product_mem(&p), 0, 0, e);
    wa__wgsl_product_begin(&p, e);
    for (uint32_t i = 0; i < p.rm; i++) {
        put(e, "  let a%u = min(r0 + ty * %uu + %uu, m - 1u) * %uu;\n", i, p.rm, i, p.k4);
        if (p.flags & WA_WGSL_PRODUCT_NORM) put(e, "  let n%u = row_norm[ty * %uu + %uu];\n", i, p.rm, i);
    }
    for (uint32_t j = 0; j < p.rn / 4; j++) put(e, "  let b%u = min(c0 + %uu + tx, %uu);\n", j, j * p.tx, p.ld4 - 1);
    for (uint32_t i = 0; i < p.rm; i++)
        for (uint32_t j = 0; j < p.rn / 4; j++) put(e, "  var c%u_%u = vec4f();\n", i, j);
    put(e, "  let k1 = min((slice + 1u) * %uu, %uu);\n  var k = slice * %uu;\n", share, p.k4, share);
    put(e, "  for (; k + %uu <= k1; k += %uu) {\n", unroll, unroll);
    quads(&p, unroll, e);
    put(e, "  }\n");
    if (share % unroll || last % unroll) {
        put(e, "  for (; k < k1; k++) {\n");
        quads(&p, 1, e);
        put(e, "  }\n");
    }
    if (p.flags & WA_WGSL_PRODUCT_NORM) put(e, "  workgroupBarrier();\n"); /* mem held the norm's partials */
    wa__wgsl_product_end(&p, e);
}
const wa_wgsl_row wa__wgsl_matmul_straight = {"matmul_straight", check, generate, wa__wgsl_product_halves};
