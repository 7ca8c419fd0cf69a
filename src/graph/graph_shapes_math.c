/* Shape rules of products, reductions, softmax and norms. See graph_shapes.h. */
#include "graph/graph_shapes.h"

/* NumPy's matmul: rank-1 operands get a dimension that the result loses again. */
static wa_status matmul(wa_infer *f)
{
    wa_tensor_type a = *wa__infer_in(f, 0), b = *wa__infer_in(f, 1), *o = &f->out[0];
    if (a.rank == 0 || b.rank == 0 || a.dtype != b.dtype) return wa__infer_bad(f, "its operands do not fit");
    bool row = a.rank == 1, column = b.rank == 1;
    if (row) a = (wa_tensor_type){a.dtype, 2, {1, a.dims[0]}};
    if (column) b = (wa_tensor_type){b.dtype, 2, {b.dims[0], 1}};
    if (a.dims[a.rank - 1] != b.dims[b.rank - 2]) return wa__infer_bad(f, "the inner dimensions differ");
    int64_t m = a.dims[a.rank - 2], n = b.dims[b.rank - 1];
    a.rank -= 2;
    b.rank -= 2;
    WA_TRY(wa__infer_broadcast(f, &a, &b, o));
    if (!row) o->dims[o->rank++] = m;
    if (!column) o->dims[o->rank++] = n;
    return WA_OK;
}

static wa_status gemm(wa_infer *f)
{
    const wa_tensor_type *a = wa__infer_in(f, 0), *b = wa__infer_in(f, 1), *c = wa__infer_in(f, 2);
    if (a->rank != 2 || b->rank != 2 || a->dtype != b->dtype) return wa__infer_bad(f, "its operands are no matrices of one type");
    bool ta = wa__node_int(f->n, "transA", 0) != 0, tb = wa__node_int(f->n, "transB", 0) != 0;
    if (a->dims[ta ? 0 : 1] != b->dims[tb ? 1 : 0]) return wa__infer_bad(f, "the inner dimensions differ");
    wa_tensor_type t = {a->dtype, 2, {a->dims[ta ? 1 : 0], b->dims[tb ? 0 : 1]}}, sum = t;
    if (c) WA_TRY(wa__infer_broadcast(f, &t, c, &sum));
    sum.dtype = t.dtype;
    if (!wa__type_eq(&sum, &t)) return wa__infer_bad(f, "the addend is larger than the product");
    f->out[0] = t;
    return WA_OK;
}

static wa_status softmax(wa_infer *f)
{
    uint32_t axis;
    f->out[0] = *wa__infer_in(f, 0);
    return wa__infer_axis(f, wa__node_int(f->n, "axis", f->n->opset && f->n->opset < 13 ? 1 : -1), f->out[0].rank, &axis);
}

static wa_status layer_norm(wa_infer *f)
{
    const wa_tensor_type *x = wa__infer_in(f, 0);
    uint32_t axis;
    WA_TRY(wa__infer_axis(f, wa__node_int(f->n, "axis", -1), x->rank, &axis));
    for (uint32_t i = 1; i < 3; i++) {
        wa_tensor_type sum;
        const wa_tensor_type *t = wa__infer_in(f, i);
        if (!t) continue;
        if (!wa__broadcast(x, t, &sum) || sum.rank != x->rank || wa__count(&sum) != wa__count(x))
            return wa__infer_bad(f, "its scale or bias does not fit");
    }
    if (f->n->output_count > (f->n->op == WA_OP_RMSNormalization ? 1u : 3u)) return wa__infer_bad(f, "it has more than three outputs");
    for (uint32_t o = 0; o < f->n->output_count; o++) {
        f->out[o] = *x;
        for (uint32_t i = axis; o && i < x->rank; i++) f->out[o].dims[i] = 1; /* mean, 1/deviation */
        if (o) f->out[o].dtype = WA_F32;
    }
    return WA_OK;
}

static wa_status reduce(wa_infer *f)
{
    const wa_tensor_type *x = wa__infer_in(f, 0);
    bool flags[WA_RANK_MAX], given, keep = wa__node_int(f->n, "keepdims", 1) != 0, any = false;
    WA_TRY(wa__infer_axes(f, 1, x->rank, flags, &given));
    for (uint32_t i = 0; i < x->rank; i++) any = any || flags[i];
    if (!any && wa__node_int(f->n, "noop_with_empty_axes", 0) != 0) {
        f->out[0] = *x;
        return WA_OK;
    }
    f->out[0].dtype = x->dtype;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (any && !flags[i]) f->out[0].dims[f->out[0].rank++] = x->dims[i];
        else if (keep) f->out[0].dims[f->out[0].rank++] = 1;
    }
    return WA_OK;
}

static wa_status arg(wa_infer *f)
{
    const wa_tensor_type *x = wa__infer_in(f, 0);
    bool keep = wa__node_int(f->n, "keepdims", 1) != 0;
    uint32_t axis;
    WA_TRY(wa__infer_axis(f, wa__node_int(f->n, "axis", 0), x->rank, &axis));
    f->out[0].dtype = WA_I64;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (i != axis) f->out[0].dims[f->out[0].rank++] = x->dims[i];
        else if (keep) f->out[0].dims[f->out[0].rank++] = 1;
    }
    return WA_OK;
}

const wa_shape_entry wa__shapes_math[] = {
    {WA_OP_MatMul, matmul}, {WA_OP_Gemm, gemm}, {WA_OP_Softmax, softmax}, {WA_OP_LogSoftmax, softmax}, {WA_OP_Hardmax, softmax},
    {WA_OP_LayerNormalization, layer_norm}, {WA_OP_RMSNormalization, layer_norm}, {WA_OP_ReduceSum, reduce}, {WA_OP_ReduceMean, reduce}, {WA_OP_ReduceMax, reduce},
    {WA_OP_ReduceMin, reduce}, {WA_OP_ReduceProd, reduce}, {WA_OP_ReduceL2, reduce}, {WA_OP_ReduceL1, reduce},
    {WA_OP_ReduceSumSquare, reduce}, {WA_OP_ReduceLogSum, reduce}, {WA_OP_ReduceLogSumExp, reduce}, {WA_OP_ArgMax, arg}, {WA_OP_ArgMin, arg},
    {WA_OP_NONE, NULL},
};
