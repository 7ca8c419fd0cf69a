/* Decompositions of losses, of Hardmax, and of forms that no kernel takes as they are: many operands,
 * Dropout with a mask. See decompose.h. */
#include "opt/decompose.h"

static bool used(const wa_rw *r, const wa_node *n, uint32_t i) { return i < n->output_count && r->uses[n->outputs[i]] > 0; }

/* 0, 1, 2... along the first of `rank` axes. */
static uint32_t counting(wa_rw *r, wa_dtype dtype, int64_t count, uint32_t rank)
{
    wa_tensor_type t = {dtype, rank, {count, 1, 1, 1, 1, 1, 1, 1}};
    if (r->status != WA_OK) return WA_NONE;
    wa_view v = {t, wa__arena_alloc(r->g->arena, (size_t)count + 1, 8)};
    if (!wa__rw_need(r, v.data != NULL)) return WA_NONE;
    for (int64_t i = 0; i < count; i++) wa__set_i64(&v, i, i);
    uint32_t c = wa__graph_const(r->g, WA_STR(""), &t, v.data, -1);
    return wa__rw_need(r, c != WA_NONE) && wa__rw_grow(r) ? c : WA_NONE;
}

/* One of the first of the largest along the axis. */
static bool hardmax(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    wa_tensor_type t = *wa__rw_t(r, n.inputs[0]);
    int64_t axis = wa__node_int(&n, "axis", -1);
    if (axis < 0) axis += t.rank;
    if (axis < 0 || axis >= (int64_t)t.rank || wa__count(&t) == 0) return false;
    uint32_t arg = wa__dc_node(r, WA_OP_ArgMax, n.inputs, 1, 1);
    if (arg == WA_NONE || !wa__rw_need(r, wa__node_set_int(r->g, arg, "axis", axis))) return true;
    uint32_t at = wa__dc_out(r, arg, 0);
    uint32_t hit = wa__dc2(r, WA_OP_Equal, counting(r, WA_I64, t.dims[axis], t.rank - (uint32_t)axis), at);
    wa__dc_result(r, node, 0, wa__dc_cast(r, hit, t.dtype));
    return true;
}

/* Minus the chosen logarithms of probability. Classes are compared with the target, so that no index
 * is followed; ignored targets meet none. logs [N, C, ...], target [N, ...], weight [C] or WA_NONE. */
static uint32_t likelihood(wa_rw *r, const wa_node *n, uint32_t logs, uint32_t target, uint32_t weight)
{
    if (r->status != WA_OK) return WA_NONE;
    wa_tensor_type t = *wa__rw_t(r, logs), g = *wa__rw_t(r, target);
    int64_t dims[WA_RANK_MAX], all[WA_RANK_MAX], one[1] = {1};
    const wa_attr *ignore = wa__attr_find(n->attrs, n->attr_count, "ignore_index"), *how = wa__attr_find(n->attrs, n->attr_count, "reduction");
    memcpy(dims, t.dims, sizeof dims);
    dims[1] = 1;
    uint32_t to = wa__dc_reshape(r, target, dims, t.rank), zero = wa__dc_scalar(r, t.dtype, 0);
    uint32_t hit = wa__dc2(r, WA_OP_Equal, counting(r, g.dtype, t.dims[1], t.rank - 1), to), scale = WA_NONE;
    if (ignore) {
        uint32_t skipped = wa__dc2(r, WA_OP_Equal, to, wa__dc_scalar(r, g.dtype, (double)ignore->i));
        hit = wa__dc2(r, WA_OP_And, hit, wa__dc1(r, WA_OP_Not, skipped));
    }
    uint32_t loss = wa__dc1(r, WA_OP_Neg, wa__dc_reduce(r, WA_OP_ReduceSum, wa__dc3(r, WA_OP_Where, hit, logs, zero), one, 1, false));
    if (weight != WA_NONE || ignore) {
        for (uint32_t i = 0; i < WA_RANK_MAX; i++) dims[i] = i ? 1 : t.dims[1];
        uint32_t w = weight == WA_NONE ? wa__dc_scalar(r, t.dtype, 1) : wa__dc_reshape(r, wa__dc_cast(r, weight, t.dtype), dims, t.rank - 1);
        scale = wa__dc_reduce(r, WA_OP_ReduceSum, wa__dc3(r, WA_OP_Where, hit, w, zero), one, 1, false);
        loss = wa__dc2(r, WA_OP_Mul, loss, scale);
    }
    if (how && how->kind == WA_ATTR_KIND_STRING && wa__str_is(how->s, "none")) return loss;
    bool sum = how && how->kind == WA_ATTR_KIND_STRING && wa__str_is(how->s, "sum");
    for (uint32_t i = 0; i + 1 < t.rank; i++) all[i] = i;
    if (!sum && scale == WA_NONE) return wa__dc_reduce(r, WA_OP_ReduceMean, loss, all, t.rank - 1, false);
    loss = wa__dc_reduce(r, WA_OP_ReduceSum, loss, all, t.rank - 1, false);
    return sum ? loss : wa__dc2(r, WA_OP_Div, loss, wa__dc_reduce(r, WA_OP_ReduceSum, scale, all, t.rank - 1, false));
}

static bool fits(const wa_rw *r, const wa_node *n)
{
    const wa_tensor_type *t = wa__rw_t(r, n->inputs[0]), *g = wa__rw_t(r, n->inputs[1]);
    return t->rank >= 2 && g->rank == t->rank - 1 && wa__count(t) > 0 && wa__count(g) == wa__count(t) / t->dims[1];
}

static bool nll_loss(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    if (!fits(r, &n)) return false;
    wa_dtype dtype = wa__rw_t(r, n.inputs[0])->dtype;
    bool small = dtype == WA_F16 || dtype == WA_BF16;
    uint32_t x = small ? wa__dc_cast(r, n.inputs[0], WA_F32) : n.inputs[0];
    uint32_t loss = likelihood(r, &n, x, n.inputs[1], n.input_count > 2 ? n.inputs[2] : WA_NONE);
    wa__dc_result(r, node, 0, wa__dc_cast(r, loss, dtype));
    return true;
}

static bool cross_entropy(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    if (!fits(r, &n)) return false;
    wa_dtype dtype = wa__rw_t(r, n.inputs[0])->dtype;
    bool small = dtype == WA_F16 || dtype == WA_BF16;
    uint32_t x = small ? wa__dc_cast(r, n.inputs[0], WA_F32) : n.inputs[0], soft = wa__dc_node(r, WA_OP_LogSoftmax, &x, 1, 1);
    if (soft == WA_NONE || !wa__rw_need(r, wa__node_set_int(r->g, soft, "axis", 1))) return true;
    uint32_t logs = wa__dc_out(r, soft, 0);
    uint32_t loss = likelihood(r, &n, logs, n.inputs[1], n.input_count > 2 ? n.inputs[2] : WA_NONE);
    wa__dc_result(r, node, 0, wa__dc_cast(r, loss, dtype));
    if (used(r, &n, 1)) wa__dc_result(r, node, 1, wa__dc_cast(r, logs, dtype));
    return true;
}

/* y = a * sigmoid(alpha * a) * b; ONNX SwiGLU-28. */
static bool swiglu(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    float alpha = wa__node_float(&n, "alpha", 1);
    uint32_t a = n.inputs[0], scaled = alpha == 1 ? a : wa__dc2(r, WA_OP_Mul, a, wa__dc_scalar(r, wa__rw_t(r, a)->dtype, (double)alpha));
    wa__dc_result(r, node, 0, wa__dc2(r, WA_OP_Mul, wa__dc2(r, WA_OP_Mul, a, wa__dc1(r, WA_OP_Sigmoid, scaled)), n.inputs[1]));
    return true;
}

#define OPERANDS_MAX 7 /* of one elementwise kernel */

static bool many_operands(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    if (n.input_count <= OPERANDS_MAX) return false;
    wa_op op = n.op == WA_OP_Mean || n.op == WA_OP_Sum ? WA_OP_Add : n.op;
    uint32_t all = n.inputs[0];
    for (uint32_t i = 1; i < n.input_count; i++) all = wa__dc2(r, op, all, n.inputs[i]);
    if (n.op == WA_OP_Mean && r->status == WA_OK) all = wa__dc2(r, WA_OP_Div, all, wa__dc_scalar(r, wa__rw_t(r, all)->dtype, n.input_count));
    wa__dc_result(r, node, 0, all);
    return true;
}

/* Nothing is dropped when the model runs, or when the ratio is 0; the mask is then all true. */
static bool dropout(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    double training = 0, ratio = 0.5;
    uint32_t mode = n.input_count > 2 ? n.inputs[2] : WA_NONE, share = n.input_count > 1 ? n.inputs[1] : WA_NONE;
    if (mode != WA_NONE && !wa__rw_scalar(r, mode, &training)) return false;
    if (share != WA_NONE && !wa__rw_scalar(r, share, &ratio)) return false;
    if (training != 0 && ratio != 0) {
        wa__rw_fail(r, wa__fail(r->err, WA_UNSUPPORTED, "Dropout node %u (%.*s) drops elements at random: it is in training mode", node, WA_STR_ARG(n.name)));
        return true;
    }
    if (!used(r, &n, 1) && training == 0) return false;
    wa_tensor_type t = *wa__rw_t(r, n.inputs[0]);
    wa__dc_result(r, node, 0, n.inputs[0]);
    if (!used(r, &n, 1) || r->status != WA_OK) return true;
    uint32_t shape = wa__rw_const_ints(r, t.dims, t.rank);
    if (shape != WA_NONE) wa__dc_result(r, node, 1, wa__dc2(r, WA_OP_Expand, wa__dc_scalar(r, WA_BOOL, 1), shape));
    return true;
}

const wa_decompose_row wa__decompose_loss[] = {
    {WA_OP_Hardmax, hardmax},
    {WA_OP_NegativeLogLikelihoodLoss, nll_loss},
    {WA_OP_SoftmaxCrossEntropyLoss, cross_entropy},
    {WA_OP_SwiGLU, swiglu},
    {WA_OP_Min, many_operands},
    {WA_OP_Max, many_operands},
    {WA_OP_Sum, many_operands},
    {WA_OP_Mean, many_operands},
    {WA_OP_Dropout, dropout},
    {WA_OP_NONE, NULL},
};
