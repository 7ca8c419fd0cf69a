/* MATMUL_STAGED: product of many rows with a packed constant on hardware. A step stages BM x BK of A,
 * turned round in blocks of 4x4, and BK x BN of B in workgroup memory; the next step's loads are in
 * flight meanwhile, and a lane multiplies RM x RN in named registers (gpu/KERNELS.md: f32 products).
 * S > 1: slices of the workgroup share the tile along K, each with its own stage.
 * spec: wgsl_product.h's, 11 BK. */
#include "kernels/wgsl_product.h"

#define put wa__wgsl_put

typedef struct stage { /* a slice's part of `mem`, in vec4s: BK rows of A's columns, a gap, B's columns */
    uint32_t bk, a_row, row, size, a_blocks, a_each, b_each, steps;
    bool a_tail, b_tail, k_tail;
} stage;

static stage stage_of(const wgsl_product *p)
{
    stage s = {.bk = p->own, .a_row = p->bm / 4 + 1};
    s.row = s.a_row + p->bn / 4;
    s.size = s.bk * s.row;
    s.a_blocks = p->bm / 4 * (s.bk / 4);
    s.a_each = (s.a_blocks + p->lanes - 1) / p->lanes;
    s.a_tail = s.a_blocks % p->lanes;
    s.b_each = (s.bk * (p->bn / 4) + p->lanes - 1) / p->lanes;
    s.b_tail = s.bk * (p->bn / 4) % p->lanes;
    uint32_t all = (p->k4 * 4 + s.bk - 1) / s.bk;
    s.steps = (all + p->slices - 1) / p->slices;
    s.k_tail = s.steps * p->slices * s.bk != p->k4 * 4;
    return s;
}

static uint32_t mem_of(const wgsl_product *p, const stage *s)
{
    uint32_t stages = s->size * p->slices, rest = wa__wgsl_product_mem(p);
    return stages > rest ? stages : (rest + s->size - 1) / s->size * s->size;
}

static wa_status check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    uint32_t each = s[7] * s[8] / 4;
    bool ok = !code_count && wa__wgsl_product_check(s, info) && s[7] % 4 == 0 && s[11] && s[11] % 4 == 0 && s[11] <= 32 && (s[9] == 1 || s[9] > each || each % s[9] == 0) &&
              (s[9] == 1 || s[5] * s[6] * 4 <= WGSL_PRODUCT_SUM_BYTES);
    if (!ok) return wa__fail(err, WA_VERIFY, "matmul_staged: K %u, N %u, ldb %u, flags %u, act %u, tile %ux%ux%u, lane %ux%u, %u slices", s[0], s[1], s[2], s[3], s[4], s[5], s[6],
                             s[11], s[7], s[8], s[9]);
    wgsl_product p = wa__wgsl_product_of(s, true);
    stage g = stage_of(&p);
    info->workgroup_bytes = mem_of(&p, &g) * 16 + wa__wgsl_product_extra(&p);
    return WA_OK;
}

/* Where a lane's blocks of A and vec4s of B come from and go to; columns do not change with the step. */
static void places(const wgsl_product *p, const stage *s, wa_wgsl_emit *e)
{
    uint32_t quads = s->bk / 4, w4 = p->bn / 4;
    for (uint32_t i = 0; i < s->a_each; i++) {
        put(e, "  let ab%u = lane + %uu; let ar%u = ab%u / %uu; let ak%u = ab%u %% %uu;\n", i, i * p->lanes, i, i, quads, i, i, quads);
        for (uint32_t r = 0; r < 4; r++) {
            put(e, "  let a%u_%u = min(r0 + ar%u * 4u + %uu, m - 1u) * %uu;\n", i, r, i, r, p->k4);
            if (p->flags & WA_WGSL_PRODUCT_NORM) put(e, "  let n%u_%u = row_norm[min(ar%u * 4u + %uu, %uu)];\n", i, r, i, r, p->bm - 1);
        }
    }
    for (uint32_t i = 0; i < s->b_each; i++)
        put(e, "  let bb%u = lane + %uu; let br%u = bb%u / %uu; let bt%u = bb%u %% %uu; let bc%u = min(c0 + bt%u, %uu);\n", i, i * p->lanes, i, i, w4, i, i, w4, i, i, p->ld4 - 1);
}

/* Loads of the step whose first quad is `kq`. */
static void load(const wgsl_product *p, const stage *s, bool declare, wa_wgsl_emit *e)
{
    const char *var = declare ? "var " : "";
    bool norm = p->flags & WA_WGSL_PRODUCT_NORM;
    for (uint32_t i = 0; i < s->a_each; i++) {
        put(e, "  %ska%u = min(kq + ak%u, %uu);\n", var, i, i, p->k4 - 1);
        for (uint32_t r = 0; r < 4; r++) put(e, "  %sxa%u_%u = vec4f(a[a%u_%u + ka%u]);\n", var, i, r, i, r, i);
        if (norm) put(e, "  %sga%u = vec4f(gamma[ka%u]);\n", var, i, i);
        if (p->flags & WA_WGSL_PRODUCT_BETA) put(e, "  %sbe%u = vec4f(beta[ka%u]);\n", var, i, i);
        if (s->k_tail) put(e, "  %slive%u = select(0.0, 1.0, kq + ak%u < %uu);\n", var, i, i, p->k4);
    }
    for (uint32_t i = 0; i < s->b_each; i++) put(e, "  %sxb%u = vec4f(b[min(kq * 4u + br%u, %uu) * %uu + bc%u]);\n", var, i, i, p->k4 * 4 - 1, p->ld4, i);
}

static void store(const wgsl_product *p, const stage *s, wa_wgsl_emit *e)
{
    bool norm = p->flags & WA_WGSL_PRODUCT_NORM;
    for (uint32_t i = 0; i < s->a_each; i++) {
        put(e, "    ");
        if (s->a_tail && i + 1 == s->a_each) put(e, "if (ab%u < %uu) ", i, s->a_blocks);
        put(e, "{\n");
        for (uint32_t r = 0; r < 4; r++) {
            put(e, "      let y%u = ", r);
            if (norm) put(e, "((xa%u_%u * n%u_%u.x + n%u_%u.y) * ga%u%s", i, r, i, r, i, r, i, p->flags & WA_WGSL_PRODUCT_BETA ? " + be" : ")");
            else put(e, "xa%u_%u", i, r);
            if (p->flags & WA_WGSL_PRODUCT_BETA) put(e, "%u)", i);
            if (s->k_tail) put(e, " * live%u", i);
            put(e, ";\n");
        }
        for (uint32_t q = 0; q < 4; q++)
            put(e, "      mem[slice][ak%u * 4u + %uu][ar%u] = vec4f(y0.%c, y1.%c, y2.%c, y3.%c);\n", i, q, i, "xyzw"[q], "xyzw"[q], "xyzw"[q], "xyzw"[q]);
        put(e, "    }\n");
    }
    for (uint32_t i = 0; i < s->b_each; i++) {
        put(e, "    ");
        if (s->b_tail && i + 1 == s->b_each) put(e, "if (bb%u < %uu) ", i, s->bk * (p->bn / 4));
        put(e, "{ mem[slice][br%u][%uu + bt%u] = xb%u; }\n", i, s->a_row, i, i);
    }
}

static void multiply(const wgsl_product *p, const stage *s, wa_wgsl_emit *e)
{
    for (uint32_t k = 0; k < s->bk; k++) {
        put(e, "    {\n");
        for (uint32_t i = 0; i < p->rm / 4; i++) put(e, "      let x%u = mem[slice][%u][a_at + %uu];\n", i, k, i);
        for (uint32_t j = 0; j < p->rn / 4; j++) put(e, "      let y%u = mem[slice][%u][b_at + %uu];\n", j, k, j * p->tx);
        for (uint32_t i = 0; i < p->rm; i++)
            for (uint32_t j = 0; j < p->rn / 4; j++) put(e, "      c%u_%u = fma(vec4f(x%u.%c), y%u, c%u_%u);\n", i, j, i / 4, "xyzw"[i % 4], j, i, j);
        put(e, "    }\n");
    }
}

static void generate(const uint32_t *spec, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    wgsl_product p = wa__wgsl_product_of(spec, true);
    stage s = stage_of(&p);
    wa__wgsl_product_head(&p, mem_of(&p, &s), s.row, s.bk, e);
    wa__wgsl_product_begin(&p, e);
    if (p.flags & WA_WGSL_PRODUCT_NORM) put(e, "  workgroupBarrier();\n"); /* mem held the norm's partials */
    places(&p, &s, e);
    for (uint32_t i = 0; i < p.rm; i++)
        for (uint32_t j = 0; j < p.rn / 4; j++) put(e, "  var c%u_%u = vec4f();\n", i, j);
    put(e, "  let a_at = ty * %uu; let b_at = %uu + tx;\n  var kq = slice * %uu;\n", p.rm / 4, s.a_row, s.steps * s.bk / 4);
    load(&p, &s, true, e);
    put(e, "  for (var step = 0u; step < %uu; step++) {\n", s.steps);
    store(&p, &s, e);
    put(e, "    workgroupBarrier();\n    kq += %uu;\n", s.bk / 4);
    load(&p, &s, false, e);
    multiply(&p, &s, e);
    put(e, "    workgroupBarrier();\n  }\n");
    wa__wgsl_product_end(&p, e);
}
const wa_wgsl_row wa__wgsl_matmul_staged = {"matmul_staged", check, generate, wa__wgsl_product_halves};
