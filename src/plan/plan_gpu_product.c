/* Rows of the WebGPU table: products. In: MatMul, Gemm, FusedMatMul. Out: a tile of plan_gpu_tiles.c
 * with what stands before and after the product; MATMUL_BATCHED or, for a few rows or columns, MATMUL_ANY. */
#include "plan/plan_gpu_product.h"

enum { BIAS = 1, RESIDUAL = 2, ALPHA = 4 }; /* in all three kernels of packed products */

static bool vector_of(const wa_plan_builder *b, uint32_t value, uint64_t n)
{
    return value == WA_NONE || ((uint64_t)wa__count(wa__gpu_type(b, value)) == n);
}

bool wa__gpu_packed_product(const wa_plan_builder *b, const wa_node *n, wa_gpu_product *p)
{
    wa_plan_pieces e;
    const wa_tensor_type *a = wa__gpu_type(b, n->inputs[0]), *w = wa__gpu_type(b, n->inputs[1]), *o = wa__gpu_type(b, n->outputs[0]);
    bool gemm = n->op == WA_OP_Gemm, fused = n->op == WA_OP_FusedMatMul;
    *p = (wa_gpu_product){n->inputs[0], n->inputs[1], n->input_count > 2 ? n->inputs[2] : WA_NONE, n->input_count > 3 ? n->inputs[3] : WA_NONE,
                   gemm && wa__node_int(n, "transA", 0), (gemm || fused) && wa__node_int(n, "transB", 0),
                   gemm || fused ? wa__node_float(n, "alpha", 1) : 1, gemm ? wa__node_float(n, "beta", 1) : 1,
                   fused ? (uint32_t)wa__node_int(n, "act", 0) : 0, 0, 0, 0};
    if (p->trans_a || w->rank != 2 || a->rank < 1 || !wa__plan_pieces(b->g, b->root[p->b], &e) || wa__plan_device_dtype(e.dtype) != WA_F32) return false;
    p->k = p->trans_b ? e.cols : e.rows;
    p->n = p->trans_b ? e.rows : e.cols;
    if ((uint64_t)a->dims[a->rank - 1] != p->k) return false;
    p->m = (uint64_t)wa__count(a) / p->k;
    uint64_t ld = wa__align_up(p->n, 4);
    if (p->k > 1u << 24 || p->n > 1u << 24 || ld * p->k * 4 + WA_PLAN_ALIGN_GPU > b->t.limit_binding || p->m * p->n != (uint64_t)wa__count(o)) return false;
    if (p->bias != WA_NONE && (p->beta != 1 || !vector_of(b, p->bias, p->n))) return false;
    return p->residual == WA_NONE || wa__count(wa__gpu_type(b, p->residual)) == wa__count(o);
}

/* The layer norm before the product, the one after it: what they add to a dispatch. */
static wa_status norm_reads(wa_plan_builder *b, wa_gpu_dispatch *d, const wa_gpu_norm *before)
{
    const wa_node *n = &b->g->nodes[before->node];
    d->spec.spec[3] |= WA_WGSL_PRODUCT_NORM | (before->beta != WA_NONE ? WA_WGSL_PRODUCT_BETA : 0u) | (before->rms ? WA_WGSL_PRODUCT_RMS : 0u);
    d->spec.spec[12] = before->part_cols;
    d->spec.spec[13] = wa__gpu_bits(wa__node_float(n, "epsilon", 1e-5f));
    WA_TRY(wa__gpu_bind_block(b, d, before->block, before->bytes, false));
    WA_TRY(wa__gpu_read(b, d, n->inputs[1]));
    return before->beta != WA_NONE ? wa__gpu_read(b, d, before->beta) : WA_OK;
}

static wa_status norm_writes(wa_plan_builder *b, wa_gpu_dispatch *d, wa_gpu_norm *before, wa_gpu_norm *after, const wa_gpu_tile *tile, const wa_gpu_product *p)
{
    if (before && before->keep) {
        before->keep = false; /* the first product alone */
        d->spec.spec[3] |= WA_WGSL_PRODUCT_KEEP;
        WA_TRY(wa__gpu_write(b, d, b->g->nodes[before->node].outputs[0]));
    }
    if (!after) return WA_OK;
    d->spec.spec[3] |= WA_WGSL_PRODUCT_STATS | (after->rms ? WA_WGSL_PRODUCT_RMS : 0u);
    after->part_cols = tile->cols;
    after->bytes = p->m * ((p->n + tile->cols - 1) / tile->cols) * 8;
    WA_TRY(wa__plan_block_add(b, WA_MEM_GPU, after->bytes, &after->block));
    return wa__gpu_bind_block(b, d, after->block, after->bytes, true);
}

/* The weight as blocks of codes; the activation in 8 bits too where the adapter multiplies packed ones. */
static wa_status blocks_lower(wa_plan_builder *b, uint32_t node, const wa_gpu_product *p)
{
    bool narrow = b->t.features & WA_FEATURE_DOT8;
    uint32_t block = 0;
    uint64_t bytes = 0;
    if (narrow) WA_TRY(wa__gpu_narrowed(b, node, p->a, p->m, (uint32_t)p->k, &block, &bytes));
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_MATMUL_QUANT);
    uint32_t *s = d.spec.spec;
    s[0] = (uint32_t)p->k, s[1] = (uint32_t)p->n, s[2] = (uint32_t)wa__align_up(p->n, 8);
    s[3] = (p->bias != WA_NONE ? BIAS : 0u) | (p->residual != WA_NONE ? RESIDUAL : 0u) | (p->alpha != 1 ? ALPHA : 0u);
    s[4] = p->act, s[6] = wa__plan_weight_bits(b, node), s[11] = narrow;
    if (p->alpha != 1) s[10] = wa__gpu_bits(p->alpha);
    wa__gpu_blocks_tile(b, p->m, p->n, p->k, s);
    WA_TRY(narrow ? wa__gpu_bind_block(b, &d, block, bytes, false) : wa__gpu_read(b, &d, p->a));
    WA_TRY(wa__gpu_read_blocks(b, &d, p->b, p->trans_b, s[6]));
    if (p->bias != WA_NONE) WA_TRY(wa__gpu_read(b, &d, p->bias));
    if (p->residual != WA_NONE) WA_TRY(wa__gpu_read(b, &d, p->residual));
    WA_TRY(wa__gpu_write(b, &d, b->g->nodes[node].outputs[0]));
    d.params[0] = (uint32_t)p->m;
    d.params_count = 4;
    d.grid[0] = (s[2] / 4 + s[7] - 1) / s[7];
    d.grid[1] = (uint32_t)((p->m + s[5] * s[8] - 1) / (s[5] * s[8]));
    d.flops = 2 * p->m * p->n * p->k;
    return wa__gpu_end(b, &d, node, NULL);
}

static wa_status packed_lower(wa_plan_builder *b, uint32_t node, const wa_gpu_product *p)
{
    const wa_node *n = &b->g->nodes[node];
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_MATMUL);
    uint32_t *s = d.spec.spec, ld = (uint32_t)wa__align_up(p->n, 4);
    wa_gpu_norm *before = wa__gpu_norm_before(b, node), *after = wa__gpu_norm_after(b, node);
    wa_gpu_tile tile;
    WA_TRY(wa__gpu_tile_choose(b, p->m, p->n, p->k, &tile));
    wa__gpu_tile_spec(&tile, p->n, p->k, ld, &d.spec);
    s[3] = (p->bias != WA_NONE ? BIAS : 0u) | (p->residual != WA_NONE ? RESIDUAL : 0u) | (p->alpha != 1 ? ALPHA : 0u);
    s[4] = p->act;
    if (p->alpha != 1) s[10] = wa__gpu_bits(p->alpha);
    WA_TRY(wa__gpu_read(b, &d, before ? b->g->nodes[before->node].inputs[0] : p->a));
    WA_TRY(wa__gpu_read_matrix(b, &d, p->b, p->trans_b, ld));
    if (p->bias != WA_NONE) WA_TRY(wa__gpu_read(b, &d, p->bias));
    if (p->residual != WA_NONE) WA_TRY(wa__gpu_read(b, &d, p->residual));
    if (before) WA_TRY(norm_reads(b, &d, before));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    WA_TRY(norm_writes(b, &d, before, after, &tile, p));
    d.params[0] = (uint32_t)p->m;
    d.params_count = 4;
    wa__gpu_tile_grid(&tile, p->m, p->n, d.grid);
    d.flops = 2 * p->m * p->n * p->k;
    return wa__gpu_end(b, &d, node, NULL);
}

/* --- any two matrices ------------------------------------------------------------------------------- */
typedef struct any_matrices { /* o[batch,m,n] of strided operands */
    uint32_t m, n, k, batch;
    uint32_t a_m, a_k, b_k, b_n, c_m, c_n;
    uint32_t axes, size[WA_RANK_MAX], a[WA_RANK_MAX], b[WA_RANK_MAX]; /* of batch, inner first: sizes and strides */
    uint32_t alpha, beta;                                              /* bits */
} any_matrices;
#define BATCH_AXES_MAX 3u /* what MATMUL_BATCHED has */

/* An operand's axes of batch: all but its matrix. */
static uint32_t batch_rank(const wa_tensor_type *t) { return t->rank > 2 ? t->rank - 2 : 0; }

/* Its stride along axis `from_end` of batch, 1 the innermost, 0 where it repeats; *step: elements so far. */
static uint32_t batch_stride(const wa_tensor_type *t, uint32_t from_end, uint64_t *step)
{
    int64_t dim = from_end <= batch_rank(t) ? t->dims[batch_rank(t) - from_end] : 1;
    uint32_t stride = dim > 1 ? (uint32_t)*step : 0;
    *step *= (uint64_t)dim;
    return stride;
}

/* Axes of batch that both operands walk alike become one. False when too many are left. */
static bool batch_axes(const wa_tensor_type *a, const wa_tensor_type *x, const wa_tensor_type *o, uint32_t rank, any_matrices *y)
{
    uint64_t a_step = (uint64_t)y->m * y->k, b_step = (uint64_t)y->k * y->n;
    for (uint32_t axis = rank; axis-- > 0;) {
        uint32_t as = batch_stride(a, rank - axis, &a_step), bs = batch_stride(x, rank - axis, &b_step), size = (uint32_t)o->dims[axis], last = y->axes - 1;
        if (size == 1) continue;
        if (y->axes && as == y->a[last] * y->size[last] && bs == y->b[last] * y->size[last]) {
            y->size[last] *= size;
            continue;
        }
        y->size[y->axes] = size, y->a[y->axes] = as, y->b[y->axes] = bs;
        y->axes++;
    }
    for (uint32_t i = y->axes; i < BATCH_AXES_MAX; i++) y->size[i] = 1;
    return y->axes <= BATCH_AXES_MAX;
}

static bool any_product(const wa_plan_builder *b, const wa_node *n, any_matrices *y)
{
    const wa_tensor_type *a = wa__gpu_type(b, n->inputs[0]), *x = wa__gpu_type(b, n->inputs[1]), *o = wa__gpu_type(b, n->outputs[0]);
    bool gemm = n->op == WA_OP_Gemm, fused = n->op == WA_OP_FusedMatMul;
    bool ta = gemm && wa__node_int(n, "transA", 0), tb = (gemm || fused) && wa__node_int(n, "transB", 0);
    *y = (any_matrices){0};
    uint32_t sides = (a->rank > 1 ? 1u : 0u) + (x->rank > 1 ? 1u : 0u); /* a vector is a matrix of one row, or column, that the result lacks */
    if (!a->rank || !x->rank || o->rank < sides || ((ta || tb) && sides < 2)) return false;
    y->m = a->rank > 1 ? (uint32_t)a->dims[a->rank - (ta ? 1 : 2)] : 1;
    y->n = x->rank > 1 ? (uint32_t)x->dims[x->rank - (tb ? 2 : 1)] : 1;
    y->k = (uint32_t)a->dims[a->rank - (ta ? 2 : 1)];
    y->batch = (uint32_t)((uint64_t)wa__count(o) / ((uint64_t)y->m * y->n));
    if (!batch_axes(a, x, o, o->rank - sides, y)) return false;
    y->a_m = ta ? 1 : y->k, y->a_k = ta ? y->m : 1;
    y->b_k = tb ? 1 : y->n, y->b_n = tb ? y->k : 1;
    y->alpha = wa__gpu_bits(gemm || fused ? wa__node_float(n, "alpha", 1) : 1);
    y->beta = wa__gpu_bits(gemm ? wa__node_float(n, "beta", 1) : 1);
    if (n->input_count < 3 || n->inputs[2] == WA_NONE) return true;
    const wa_tensor_type *bias = wa__gpu_type(b, n->inputs[2]);
    uint64_t cn = bias->rank ? (uint64_t)bias->dims[bias->rank - 1] : 1, cm = bias->rank > 1 ? (uint64_t)bias->dims[bias->rank - 2] : 1;
    y->c_m = cm > 1 ? (uint32_t)cn : 0;
    y->c_n = cn > 1 ? 1 : 0;
    return bias->rank <= 2;
}

/* A lane of MATMUL_BATCHED makes 4x4 elements, a workgroup of its staged form 32x32: with fewer rows or columns than
 * this most of that is wasted. */
enum { BLOCKS_MIN = 4, STAGED_MIN = 16 };

static void batched_params(const any_matrices *y, wa_gpu_dispatch *d)
{
    const uint32_t words[24] = {y->m, y->n, y->k, y->batch, y->a_m, y->a_k, y->b_k, y->b_n, y->c_m, y->c_n, y->size[0], y->size[1],
                                y->a[0], y->a[1], y->a[2], 0, y->b[0], y->b[1], y->b[2], 0, y->alpha, y->beta, 0, 0};
    memcpy(d->params, words, sizeof words);
    d->params_count = 24;
    d->spec.kernel = WA_WGSL_MATMUL_BATCHED;
    if (d->spec.spec[3]) {
        d->grid[0] = (y->n + 31) / 32;
        d->grid[1] = (y->m + 31) / 32;
        d->grid[2] = y->batch;
    } else {
        wa__gpu_cover(d, (uint64_t)((y->n + 3) / 4) * ((y->m + 3) / 4) * y->batch, 16);
    }
}

static void element_params(const any_matrices *y, wa_gpu_dispatch *d)
{
    const uint32_t words[20] = {y->m, y->n, y->k, y->batch, y->a[0], y->a_m, y->a_k, 0, y->b[0], y->b_k, y->b_n, 0, 0, y->c_m, y->c_n, 0, y->alpha, y->beta, 0, 0};
    memcpy(d->params, words, sizeof words);
    d->params_count = 20;
    wa__gpu_cover(d, (uint64_t)y->m * y->n * y->batch, 64);
}

static void any_form(const wa_plan_builder *b, const any_matrices *y, wa_gpu_dispatch *d)
{
    bool blocks = y->axes > 1 || (y->m >= BLOCKS_MIN && y->n >= BLOCKS_MIN);
    bool staged = !b->t.software && y->m >= STAGED_MIN && y->n >= STAGED_MIN && y->k >= STAGED_MIN && y->batch <= WA_PLAN_GRID_MAX && (y->m + 31) / 32 <= WA_PLAN_GRID_MAX;
    d->spec.spec[3] = blocks && staged;
    if (blocks) batched_params(y, d);
    else element_params(y, d);
}

static const char *product_refuses(wa_plan_builder *b, const wa_node *n)
{
    wa_gpu_product p;
    any_matrices any;
    wa_dtype type = wa__gpu_type(b, n->outputs[0])->dtype, device = wa__plan_device_dtype(type);
    for (uint32_t i = 0; i < n->input_count; i++)
        if (n->inputs[i] != WA_NONE && wa__plan_device_dtype(wa__gpu_type(b, n->inputs[i])->dtype) != device) return "a product of several types has no WebGPU kernel";
    if (device != WA_F32 && (wa__dtype_size(type) < 4 || n->op == WA_OP_FusedMatMul || wa__node_float(n, "alpha", 1) != 1 || wa__node_float(n, "beta", 1) != 1))
        return "this form of integer product has no WebGPU kernel";
    if (wa__gpu_packed_product(b, n, &p)) {
        uint64_t rows = (p.m + 7) / 4;
        return rows > WA_PLAN_GRID_MAX || p.n / 32 > WA_PLAN_GRID_MAX ? "the product's grid passes WebGPU's limit" : NULL;
    }
    return any_product(b, n, &any) ? NULL : "this form of product has no WebGPU kernel";
}

static wa_status product_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    wa_gpu_product p;
    any_matrices any;
    if (wa__gpu_product_tiles(b, n)) return wa__gpu_product_tiles_lower(b, node, node);
    if (wa__gpu_packed_product(b, n, &p)) return wa__gpu_has_blocks(b, node, p.b, p.trans_b) ? blocks_lower(b, node, &p) : packed_lower(b, node, &p);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_MATMUL_ANY);
    if (!any_product(b, n, &any)) return wa__fail(b->err, WA_INTERNAL, "a product changed its mind");
    bool fused = n->op == WA_OP_FusedMatMul, addend = n->input_count > 2 && n->inputs[2] != WA_NONE, residual = fused && n->input_count > 3 && n->inputs[3] != WA_NONE;
    d.spec.spec[0] = (addend ? 1u : 0u) | (residual ? 2u : 0u);
    if (fused) d.spec.spec[2] = (uint32_t)wa__node_int(n, "act", 0);
    wa_dtype device = wa__plan_device_dtype(wa__gpu_type(b, n->outputs[0])->dtype);
    d.spec.spec[1] = device == WA_F32 ? 0 : device;
    any_form(b, &any, &d);
    WA_TRY(wa__gpu_read(b, &d, n->inputs[0]));
    WA_TRY(wa__gpu_read(b, &d, n->inputs[1]));
    if (addend) WA_TRY(wa__gpu_read(b, &d, n->inputs[2]));
    if (residual) WA_TRY(wa__gpu_read(b, &d, n->inputs[3]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    d.flops = 2 * (uint64_t)any.m * any.n * any.batch * any.k;
    return wa__gpu_end(b, &d, node, NULL);
}

static uint32_t product_forms(wa_plan_builder *b, const wa_node *n, bool output, uint32_t index)
{
    return wa__gpu_dense(b, n, output, index) | wa__gpu_product_tile_forms(b, n, output, index);
}

const wa_gpu_row wa__gpu_product_rows[] = {
    {WA_OP_MatMul, product_refuses, product_lower, product_forms, wa__gpu_product_tiles},
    {WA_OP_Gemm, product_refuses, product_lower, product_forms, wa__gpu_product_tiles},
    {WA_OP_FusedMatMul, product_refuses, product_lower, product_forms, wa__gpu_product_tiles},
    {WA_OP_NONE, NULL, NULL, NULL},
};
