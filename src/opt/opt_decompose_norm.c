/* Decompositions of normalisations: each becomes LayerNormalization or RMSNormalization of rows, or a
 * scale and a shift. Small floats are widened first, so that every target computes in 32 bits. See
 * decompose.h. */
#include "opt/decompose.h"

static uint32_t input(const wa_node *n, uint32_t i) { return i < n->input_count ? n->inputs[i] : WA_NONE; }
static bool used(const wa_rw *r, const wa_node *n, uint32_t i) { return i < n->output_count && r->uses[n->outputs[i]] > 0; }
static uint32_t wide(wa_rw *r, uint32_t x)
{
    if (r->status != WA_OK) return WA_NONE;
    wa_dtype d = wa__rw_t(r, x)->dtype;
    return d == WA_F16 || d == WA_BF16 ? wa__dc_cast(r, x, WA_F32) : x;
}

/* 1 / sqrt(x + epsilon) */
static uint32_t inverse(wa_rw *r, uint32_t x, float epsilon)
{
    if (r->status != WA_OK) return WA_NONE;
    uint32_t e = wa__dc_scalar(r, wa__rw_t(r, x)->dtype, (double)epsilon);
    return wa__dc1(r, WA_OP_Reciprocal, wa__dc1(r, WA_OP_Sqrt, wa__dc2(r, WA_OP_Add, x, e)));
}

/* A vector of channels as it broadcasts to x: [C, 1, 1...]. */
static uint32_t channels(wa_rw *r, uint32_t v, uint32_t rank, wa_dtype dtype)
{
    int64_t dims[WA_RANK_MAX];
    if (r->status != WA_OK) return WA_NONE;
    dims[0] = wa__count(wa__rw_t(r, v));
    for (uint32_t i = 1; i < WA_RANK_MAX; i++) dims[i] = 1;
    return wa__dc_reshape(r, wa__dc_cast(r, v, dtype), dims, rank > 1 ? rank - 1 : 1);
}

static uint32_t affine(wa_rw *r, uint32_t x, uint32_t scale, uint32_t bias)
{
    if (scale != WA_NONE) x = wa__dc2(r, WA_OP_Mul, x, scale);
    return bias != WA_NONE ? wa__dc2(r, WA_OP_Add, x, bias) : x;
}

/* LayerNormalization or RMSNormalization node over the axes from `axis` on; WA_NONE on failure. */
static uint32_t norm_node(wa_rw *r, wa_op op, uint32_t x, uint32_t scale, uint32_t bias, int64_t axis, float epsilon, uint32_t outputs)
{
    if (r->status != WA_OK) return WA_NONE;
    if (scale == WA_NONE) scale = wa__dc_scalar(r, wa__rw_t(r, x)->dtype, 1);
    uint32_t n = wa__dc_node(r, op, (uint32_t[]){x, scale, bias}, bias == WA_NONE ? 2 : 3, outputs);
    if (n == WA_NONE) return WA_NONE;
    return wa__rw_need(r, wa__node_set_int(r->g, n, "axis", axis) && wa__node_set_float(r->g, n, "epsilon", epsilon)) ? n : WA_NONE;
}

/* x as [rows, the rest], each row brought to mean 0 and deviation 1. */
static uint32_t rows(wa_rw *r, uint32_t x, int64_t count, float epsilon)
{
    if (r->status != WA_OK) return WA_NONE;
    int64_t dims[2] = {count, wa__count(wa__rw_t(r, x)) / count};
    return wa__dc_out(r, norm_node(r, WA_OP_LayerNormalization, wa__dc_reshape(r, x, dims, 2), WA_NONE, WA_NONE, -1, epsilon, 1), 0);
}

static void finish(wa_rw *r, uint32_t node, uint32_t output, uint32_t value, wa_dtype dtype)
{
    wa__dc_result(r, node, output, wa__dc_cast(r, value, dtype));
}

/* --- batch norm ------------------------------------------------------------------------------------ */
static void batch_norm_training(wa_rw *r, uint32_t node, const wa_node *n, uint32_t x, uint32_t rank, wa_dtype dtype)
{
    int64_t axes[WA_RANK_MAX], c[1] = {wa__count(wa__rw_t(r, n->inputs[1]))};
    uint32_t count = 0, running[2];
    float momentum = wa__node_float(n, "momentum", 0.9f);
    wa_dtype work = wa__rw_t(r, x)->dtype;
    for (uint32_t i = 0; i < rank; i++)
        if (i != 1) axes[count++] = i;
    uint32_t mean = wa__dc_reduce(r, WA_OP_ReduceMean, x, axes, count, true), d = wa__dc2(r, WA_OP_Sub, x, mean);
    uint32_t variance = wa__dc_reduce(r, WA_OP_ReduceMean, wa__dc2(r, WA_OP_Mul, d, d), axes, count, true);
    uint32_t y = wa__dc2(r, WA_OP_Mul, d, inverse(r, variance, wa__node_float(n, "epsilon", 1e-5f)));
    y = affine(r, y, channels(r, n->inputs[1], rank, work), channels(r, n->inputs[2], rank, work));
    for (uint32_t i = 0; i < 2; i++) {
        running[i] = WA_NONE;
        if (!used(r, n, 1 + i)) continue;
        uint32_t now = wa__dc2(r, WA_OP_Mul, wa__dc_reshape(r, i ? variance : mean, c, 1), wa__dc_scalar(r, work, 1.0 - (double)momentum));
        uint32_t old = wa__dc2(r, WA_OP_Mul, wa__dc_cast(r, n->inputs[3 + i], work), wa__dc_scalar(r, work, (double)momentum));
        running[i] = wa__dc2(r, WA_OP_Add, old, now);
    }
    finish(r, node, 0, y, dtype);
    for (uint32_t i = 0; i < 2; i++)
        if (running[i] != WA_NONE) finish(r, node, 1 + i, running[i], wa__rw_t(r, n->inputs[3 + i])->dtype);
}

/* A scale and a shift of each channel; in training the statistics come from x. */
static bool batch_norm(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    const wa_tensor_type *t = wa__rw_t(r, n.inputs[0]);
    uint32_t rank = t->rank;
    wa_dtype dtype = t->dtype;
    if (!wa__node_int(&n, "spatial", 1) || rank < 1) return false;
    uint32_t x = wide(r, n.inputs[0]);
    if (r->status != WA_OK) return true;
    wa_dtype work = wa__rw_t(r, x)->dtype;
    if (wa__node_int(&n, "training_mode", 0)) {
        batch_norm_training(r, node, &n, x, rank, dtype);
        return true;
    }
    uint32_t v[4];
    for (uint32_t i = 0; i < 4; i++) v[i] = wa__dc_cast(r, n.inputs[1 + i], work); /* scale, bias, mean, variance */
    uint32_t factor = wa__dc2(r, WA_OP_Mul, v[0], inverse(r, v[3], wa__node_float(&n, "epsilon", 1e-5f)));
    uint32_t shift = wa__dc2(r, WA_OP_Sub, v[1], wa__dc2(r, WA_OP_Mul, v[2], factor));
    uint32_t y = affine(r, x, channels(r, factor, rank, work), channels(r, shift, rank, work));
    finish(r, node, 0, y, dtype);
    for (uint32_t i = 1; i < 3; i++)
        if (used(r, &n, i)) wa__dc_result(r, node, i, n.inputs[2 + i]);
    return true;
}

/* --- instances and groups ---------------------------------------------------------------------------- */
static bool instance_norm(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    wa_tensor_type t = *wa__rw_t(r, n.inputs[0]);
    if (t.rank < 2 || wa__count(&t) == 0) return false;
    uint32_t x = wide(r, n.inputs[0]);
    if (r->status != WA_OK) return true;
    wa_dtype work = wa__rw_t(r, x)->dtype;
    uint32_t y = wa__dc_reshape(r, rows(r, x, t.dims[0] * t.dims[1], wa__node_float(&n, "epsilon", 1e-5f)), t.dims, t.rank);
    finish(r, node, 0, affine(r, y, channels(r, n.inputs[1], t.rank, work), channels(r, n.inputs[2], t.rank, work)), t.dtype);
    return true;
}

/* NCHW. Scale and bias of one number a group (opset 18) or a channel (21). */
static uint32_t group_norm_planes(wa_rw *r, uint32_t x, uint32_t scale, uint32_t bias, int64_t groups, float epsilon)
{
    if (r->status != WA_OK) return WA_NONE;
    wa_tensor_type t = *wa__rw_t(r, x);
    bool grouped = wa__count(wa__rw_t(r, scale)) == groups && groups != t.dims[1];
    int64_t blocks[3] = {t.dims[0], groups, wa__count(&t) / (t.dims[0] * groups)};
    uint32_t y = rows(r, x, t.dims[0] * groups, epsilon);
    if (!grouped) return affine(r, wa__dc_reshape(r, y, t.dims, t.rank), channels(r, scale, t.rank, t.dtype), channels(r, bias, t.rank, t.dtype));
    y = affine(r, wa__dc_reshape(r, y, blocks, 3), channels(r, scale, 3, t.dtype), channels(r, bias, 3, t.dtype));
    return wa__dc_reshape(r, y, t.dims, t.rank);
}

static bool group_norm(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    wa_tensor_type t = *wa__rw_t(r, n.inputs[0]);
    int64_t groups = wa__node_int(&n, "num_groups", 0);
    if (t.rank < 2 || groups < 1 || t.dims[1] % groups || wa__count(&t) == 0) return false;
    uint32_t y = group_norm_planes(r, wide(r, n.inputs[0]), n.inputs[1], n.inputs[2], groups, wa__node_float(&n, "epsilon", 1e-5f));
    finish(r, node, 0, y, t.dtype);
    return true;
}

/* NHWC: statistics over places and the channels of a group. */
static uint32_t group_norm_places(wa_rw *r, uint32_t x, uint32_t scale, uint32_t bias, int64_t groups, float epsilon)
{
    if (r->status != WA_OK) return WA_NONE;
    wa_tensor_type t = *wa__rw_t(r, x);
    int64_t c = t.dims[t.rank - 1], split[4] = {t.dims[0], wa__count(&t) / (t.dims[0] * c), groups, c / groups}, axes[2] = {1, 3};
    uint32_t parts = wa__dc_reshape(r, x, split, 4), mean = wa__dc_reduce(r, WA_OP_ReduceMean, parts, axes, 2, true);
    uint32_t d = wa__dc2(r, WA_OP_Sub, parts, mean), variance = wa__dc_reduce(r, WA_OP_ReduceMean, wa__dc2(r, WA_OP_Mul, d, d), axes, 2, true);
    uint32_t y = wa__dc2(r, WA_OP_Mul, d, inverse(r, variance, epsilon));
    return affine(r, wa__dc_reshape(r, y, t.dims, t.rank), wa__dc_cast(r, scale, t.dtype), wa__dc_cast(r, bias, t.dtype));
}

/* com.microsoft GroupNorm and SkipGroupNorm {x, gamma, beta, skip, bias}. */
static bool ms_group_norm(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    wa_tensor_type t = *wa__rw_t(r, n.inputs[0]);
    int64_t groups = wa__node_int(&n, "groups", 0);
    bool last = wa__node_int(&n, "channels_last", 1) != 0;
    if (t.rank < 2 || groups < 1 || t.dims[last ? t.rank - 1 : 1] % groups || wa__count(&t) == 0) return false;
    uint32_t x = wide(r, n.inputs[0]), skip = input(&n, 3), bias = input(&n, 4);
    if (r->status != WA_OK) return true;
    wa_dtype work = wa__rw_t(r, x)->dtype;
    if (skip != WA_NONE) {
        wa_tensor_type s = *wa__rw_t(r, skip);
        if (s.rank == 2 && t.rank == 4) skip = wa__dc_reshape(r, skip, (int64_t[]){s.dims[0], 1, 1, s.dims[1]}, 4);
        x = wa__dc2(r, WA_OP_Add, x, wa__dc_cast(r, skip, work));
        if (bias != WA_NONE) x = wa__dc2(r, WA_OP_Add, x, wa__dc_cast(r, bias, work));
    }
    float epsilon = wa__node_float(&n, "epsilon", 1e-5f);
    uint32_t y = last ? group_norm_places(r, x, n.inputs[1], n.inputs[2], groups, epsilon) : group_norm_planes(r, x, n.inputs[1], n.inputs[2], groups, epsilon);
    if (wa__node_int(&n, "activation", 0) == 1) y = wa__dc2(r, WA_OP_Mul, y, wa__dc1(r, WA_OP_Sigmoid, y));
    finish(r, node, 0, y, t.dtype);
    if (used(r, &n, 1)) finish(r, node, 1, x, t.dtype);
    return true;
}

/* --- layer norms --------------------------------------------------------------------------------------- */
/* Whether a scale or bias runs along the normalised axes, as kernels want it; a lone scale may be one number. */
static bool fits_rows(const wa_rw *r, const wa_node *n, uint32_t axis)
{
    const wa_tensor_type *t = wa__rw_t(r, n->inputs[0]);
    int64_t width = 1, scale = wa__count(wa__rw_t(r, n->inputs[1]));
    for (uint32_t i = axis; i < t->rank; i++) width *= t->dims[i];
    if (input(n, 2) != WA_NONE) return scale == width && wa__count(wa__rw_t(r, n->inputs[2])) == width;
    return scale == width || scale == 1;
}

/* A scale that broadcasts in another way is multiplied afterwards. */
static bool layer_norm(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    const wa_tensor_type *t = wa__rw_t(r, n.inputs[0]);
    int64_t axis = wa__node_int(&n, "axis", -1);
    if (axis < 0) axis += t->rank;
    if (axis < 0 || axis >= (int64_t)t->rank || wa__count(t) == 0 || fits_rows(r, &n, (uint32_t)axis)) return false;
    uint32_t plain = norm_node(r, n.op, n.inputs[0], WA_NONE, WA_NONE, axis, wa__node_float(&n, "epsilon", 1e-5f), n.output_count);
    uint32_t y = affine(r, wa__dc_out(r, plain, 0), n.inputs[1], input(&n, 2));
    for (uint32_t i = 1; i < n.output_count; i++)
        if (used(r, &n, i)) wa__dc_result(r, node, i, wa__dc_out(r, plain, i));
    wa__dc_result(r, node, 0, y);
    return true;
}

/* Over the axes from `axis` on; *inverse_out (may be NULL) gets 1/rms. */
static uint32_t rms(wa_rw *r, uint32_t x, uint32_t scale, int64_t axis, float epsilon, uint32_t *inverse_out)
{
    if (r->status != WA_OK) return WA_NONE;
    wa_tensor_type t = *wa__rw_t(r, x);
    int64_t axes[WA_RANK_MAX];
    uint32_t count = 0;
    if (!inverse_out) return wa__dc_out(r, norm_node(r, WA_OP_RMSNormalization, x, wa__dc_cast(r, scale, t.dtype), WA_NONE, axis, epsilon, 1), 0);
    for (int64_t i = axis < 0 ? axis + t.rank : axis; i >= 0 && i < (int64_t)t.rank; i++) axes[count++] = i;
    *inverse_out = inverse(r, wa__dc_reduce(r, WA_OP_ReduceMean, wa__dc2(r, WA_OP_Mul, x, x), axes, count, true), epsilon);
    return wa__dc2(r, WA_OP_Mul, wa__dc2(r, WA_OP_Mul, x, *inverse_out), wa__dc_cast(r, scale, t.dtype));
}

static bool simplified(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    wa_dtype dtype = wa__rw_t(r, n.inputs[0])->dtype;
    uint32_t inv = WA_NONE, x = used(r, &n, 1) ? wide(r, n.inputs[0]) : n.inputs[0];
    uint32_t y = rms(r, x, n.inputs[1], wa__node_int(&n, "axis", -1), wa__node_float(&n, "epsilon", 1e-5f), used(r, &n, 1) ? &inv : NULL);
    finish(r, node, 0, y, dtype);
    if (inv != WA_NONE) finish(r, node, 1, inv, WA_F32);
    return true;
}

/* com.microsoft: {x, skip, gamma, beta?, bias?} and {x, skip, gamma, bias?}; outputs y, mean, 1/deviation, sum. */
static bool skip_norm(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    bool simple = n.op == WA_OP_SkipSimplifiedLayerNormalization;
    uint32_t beta = simple ? WA_NONE : input(&n, 3), bias = input(&n, simple ? 3 : 4), inv = WA_NONE, mean = WA_NONE, y;
    float epsilon = wa__node_float(&n, "epsilon", 1e-12f);
    wa_dtype dtype = wa__rw_t(r, n.inputs[0])->dtype;
    uint32_t sum = wa__dc2(r, WA_OP_Add, n.inputs[0], n.inputs[1]);
    if (bias != WA_NONE) sum = wa__dc2(r, WA_OP_Add, sum, bias);
    if (simple) {
        y = rms(r, used(r, &n, 2) ? wide(r, sum) : sum, n.inputs[2], -1, epsilon, used(r, &n, 2) ? &inv : NULL);
    } else {
        uint32_t norm = norm_node(r, WA_OP_LayerNormalization, sum, n.inputs[2], beta, -1, epsilon, used(r, &n, 1) || used(r, &n, 2) ? 3 : 1);
        y = wa__dc_out(r, norm, 0);
        if (used(r, &n, 1)) mean = wa__dc_out(r, norm, 1);
        if (used(r, &n, 2)) inv = wa__dc_out(r, norm, 2);
    }
    finish(r, node, 0, y, dtype);
    if (mean != WA_NONE) wa__dc_result(r, node, 1, mean);
    if (inv != WA_NONE) finish(r, node, 2, inv, WA_F32);
    if (used(r, &n, 3)) wa__dc_result(r, node, 3, sum);
    return true;
}

/* --- others ---------------------------------------------------------------------------------------------- */
static bool mean_variance(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    const wa_attr *a = wa__attr_find(n.attrs, n.attr_count, "axes");
    int64_t usual[3] = {0, 2, 3};
    const int64_t *axes = a && a->kind == WA_ATTR_KIND_INTS ? a->ints : usual;
    uint32_t count = a && a->kind == WA_ATTR_KIND_INTS ? a->count : 3;
    wa_dtype dtype = wa__rw_t(r, n.inputs[0])->dtype;
    uint32_t x = wide(r, n.inputs[0]), d = wa__dc2(r, WA_OP_Sub, x, wa__dc_reduce(r, WA_OP_ReduceMean, x, axes, count, true));
    uint32_t variance = wa__dc_reduce(r, WA_OP_ReduceMean, wa__dc2(r, WA_OP_Mul, d, d), axes, count, true);
    if (r->status != WA_OK) return true;
    uint32_t tiny = wa__dc_scalar(r, wa__rw_t(r, x)->dtype, 1e-9);
    finish(r, node, 0, wa__dc2(r, WA_OP_Div, d, wa__dc2(r, WA_OP_Add, wa__dc1(r, WA_OP_Sqrt, variance), tiny)), dtype);
    return true;
}

/* x / |x|, 0 where that is 0. */
static bool lp_norm(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    int64_t axis = wa__node_int(&n, "axis", -1), p = wa__node_int(&n, "p", 2);
    wa_dtype dtype = wa__rw_t(r, n.inputs[0])->dtype;
    if (p != 1 && p != 2) return false;
    uint32_t x = wide(r, n.inputs[0]), norm = wa__dc_reduce(r, p == 1 ? WA_OP_ReduceL1 : WA_OP_ReduceL2, x, &axis, 1, true);
    if (r->status != WA_OK) return true;
    wa_dtype work = wa__rw_t(r, x)->dtype;
    uint32_t zero = wa__dc2(r, WA_OP_Equal, norm, wa__dc_scalar(r, work, 0));
    finish(r, node, 0, wa__dc2(r, WA_OP_Div, x, wa__dc3(r, WA_OP_Where, zero, wa__dc_scalar(r, work, 1), norm)), dtype);
    return true;
}

#define LRN_CHANNELS_MAX 2048

/* The sum over neighbouring channels is a product with a band of ones. */
static bool lrn(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    wa_tensor_type t = *wa__rw_t(r, n.inputs[0]);
    int64_t size = wa__node_int(&n, "size", 0), c = t.rank > 1 ? t.dims[1] : 0;
    if (t.rank < 2 || size < 1 || c > LRN_CHANNELS_MAX || wa__count(&t) == 0) return false;
    wa_tensor_type square = {WA_F32, 2, {c, c}};
    float *band = WA_ARENA_NEW(r->g->arena, float, (size_t)(c * c));
    if (!wa__rw_need(r, band != NULL)) return true;
    for (int64_t i = 0; i < c; i++)
        for (int64_t k = 0; k < c; k++) band[i * c + k] = k >= i - (size - 1) / 2 && k <= i + size / 2 ? 1.0f : 0.0f;
    uint32_t b = wa__graph_const(r->g, WA_STR(""), &square, band, -1), x = wa__dc_cast(r, n.inputs[0], WA_F32);
    if (!wa__rw_need(r, b != WA_NONE) || !wa__rw_grow(r)) return true;
    int64_t flat[3] = {t.dims[0], c, wa__count(&t) / (t.dims[0] * c)};
    uint32_t sum = wa__dc_reshape(r, wa__dc2(r, WA_OP_MatMul, b, wa__dc_reshape(r, wa__dc2(r, WA_OP_Mul, x, x), flat, 3)), t.dims, t.rank);
    double alpha = (double)wa__node_float(&n, "alpha", 1e-4f) / (double)size;
    uint32_t base = wa__dc2(r, WA_OP_Add, wa__dc2(r, WA_OP_Mul, sum, wa__dc_scalar(r, WA_F32, alpha)), wa__dc_scalar(r, WA_F32, (double)wa__node_float(&n, "bias", 1)));
    uint32_t power = wa__dc2(r, WA_OP_Pow, base, wa__dc_scalar(r, WA_F32, (double)wa__node_float(&n, "beta", 0.75f)));
    finish(r, node, 0, wa__dc2(r, WA_OP_Div, x, power), t.dtype);
    return true;
}

const wa_decompose_row wa__decompose_norm[] = {
    {WA_OP_BatchNormalization, batch_norm},
    {WA_OP_InstanceNormalization, instance_norm},
    {WA_OP_GroupNormalization, group_norm},
    {WA_OP_GroupNorm, ms_group_norm},
    {WA_OP_SkipGroupNorm, ms_group_norm},
    {WA_OP_LayerNormalization, layer_norm},
    {WA_OP_RMSNormalization, layer_norm},
    {WA_OP_SimplifiedLayerNormalization, simplified},
    {WA_OP_SkipLayerNormalization, skip_norm},
    {WA_OP_SkipSimplifiedLayerNormalization, skip_norm},
    {WA_OP_MeanVarianceNormalization, mean_variance},
    {WA_OP_LpNormalization, lp_norm},
    {WA_OP_LRN, lrn},
    {WA_OP_NONE, NULL},
};
