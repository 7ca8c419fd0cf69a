/* Rows of the WebGPU table: reductions over any axes, indices of extremes, running sums. Axes are
 * merged where an input walks through them as one. */
#include "plan/plan_int.h"

#define DIMS 6u

typedef struct part { /* some axes of the input: sizes and strides, merged */
    uint32_t rank;
    int64_t dims[WA_RANK_MAX], strides[WA_RANK_MAX];
    uint64_t count;
} part;

static void part_add(part *p, int64_t dim, int64_t stride)
{
    p->count *= (uint64_t)dim;
    if (dim == 1) return;
    if (p->rank && p->strides[p->rank - 1] == stride * dim) {
        p->dims[p->rank - 1] *= dim;
        p->strides[p->rank - 1] = stride;
        return;
    }
    p->dims[p->rank] = dim;
    p->strides[p->rank++] = stride;
}

static void parts_of(const wa_tensor_type *x, uint32_t mask, part *kept, part *run)
{
    int64_t stride[WA_RANK_MAX], s = 1;
    *kept = *run = (part){.count = 1};
    for (uint32_t i = x->rank; i-- > 0; s *= x->dims[i]) stride[i] = s;
    for (uint32_t i = 0; i < x->rank; i++) part_add(mask >> i & 1 ? run : kept, x->dims[i], stride[i]);
}

/* Axes as bits; false when they are not constant or not there. */
static bool axes_of(const wa_plan_builder *b, const wa_node *n, uint32_t *mask)
{
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    int64_t axes[WA_RANK_MAX];
    uint32_t count = 0;
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, "axes");
    *mask = 0;
    if (n->op == WA_OP_ArgMax || n->op == WA_OP_ArgMin) {
        axes[count++] = wa__node_int(n, "axis", 0);
    } else if (n->input_count > 1 && n->inputs[1] != WA_NONE) {
        if (!wa__graph_const_ints(b->g, n->inputs[1], axes, WA_RANK_MAX, &count)) return false;
    } else if (a && a->kind == WA_ATTR_KIND_INTS) {
        if (a->count > WA_RANK_MAX) return false;
        for (count = 0; count < a->count; count++) axes[count] = a->ints[count];
    }
    if (count == 0 && !wa__node_int(n, "noop_with_empty_axes", 0)) *mask = (1u << x->rank) - 1;
    for (uint32_t i = 0; i < count; i++) {
        int64_t k = axes[i] < 0 ? axes[i] + x->rank : axes[i];
        if (k < 0 || k >= (int64_t)x->rank) return false;
        *mask |= 1u << k;
    }
    return true;
}

static const char *reduce_refuses(wa_plan_builder *b, const wa_node *n)
{
    uint32_t mask;
    part kept, run;
    if (!axes_of(b, n, &mask)) return "a reduction over axes that are not constant has no WebGPU kernel";
    parts_of(wa__gpu_type(b, n->inputs[0]), mask, &kept, &run);
    return kept.rank <= DIMS && run.rank <= DIMS ? NULL : "a reduction over so many axes has no WebGPU kernel";
}

static void words(uint32_t *to, const int64_t *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) to[i] = (uint32_t)from[i];
}

static wa_status reduce_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    uint32_t mask;
    part kept, run;
    if (!axes_of(b, n, &mask)) return wa__fail(b->err, WA_INTERNAL, "a reduction changed its mind");
    parts_of(x, mask, &kept, &run);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_REDUCE);
    uint32_t *s = d.spec.spec, *p = d.params;
    bool small = x->dtype == WA_I8 || x->dtype == WA_I16 || x->dtype == WA_U8 || x->dtype == WA_U16;
    s[0] = n->op;
    s[1] = small ? (uint32_t)x->dtype : (uint32_t)wa__plan_device_dtype(x->dtype);
    s[2] = b->t.software || run.count < 32 || kept.count * run.count < 4096 ? 1 : run.count < 256 ? 32 : run.count < 4096 ? 64 : 256;
    s[3] = kept.rank;
    s[4] = run.rank;
    s[5] = wa__node_int(n, "select_last_index", 0) != 0;
    WA_TRY(wa__gpu_read(b, &d, n->inputs[0]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    p[0] = (uint32_t)kept.count;
    p[1] = (uint32_t)run.count;
    words(p + 4, kept.dims, kept.rank);
    words(p + 12, kept.strides, kept.rank);
    words(p + 20, run.dims, run.rank);
    words(p + 28, run.strides, run.rank);
    d.params_count = 36;
    wa__gpu_cover(&d, kept.count, s[2] == 1 ? 64 : 1);
    return wa__gpu_end(b, &d, node, NULL);
}

/* --- running sums --------------------------------------------------------------------------------- */
static bool line_axis(const wa_plan_builder *b, const wa_node *n, uint32_t *axis)
{
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    int64_t a;
    uint32_t count;
    if (!wa__graph_const_ints(b->g, n->inputs[1], &a, 1, &count) || count != 1) return false;
    if (a < 0) a += x->rank;
    *axis = (uint32_t)a;
    return a >= 0 && a < (int64_t)x->rank;
}

static const char *cumulate_refuses(wa_plan_builder *b, const wa_node *n)
{
    uint32_t axis;
    return line_axis(b, n, &axis) ? NULL : "a running sum along an axis that is not constant has no WebGPU kernel";
}

static wa_status cumulate_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    uint32_t axis;
    if (!line_axis(b, n, &axis)) return wa__fail(b->err, WA_INTERNAL, "a running sum changed its mind");
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_CUMULATE);
    bool small = x->dtype == WA_I8 || x->dtype == WA_I16 || x->dtype == WA_U8 || x->dtype == WA_U16;
    uint64_t inner = 1, length = (uint64_t)x->dims[axis];
    for (uint32_t i = axis + 1; i < x->rank; i++) inner *= (uint64_t)x->dims[i];
    d.spec.spec[0] = n->op;
    d.spec.spec[1] = small ? (uint32_t)x->dtype : (uint32_t)wa__plan_device_dtype(x->dtype);
    d.spec.spec[2] = (wa__node_int(n, "exclusive", 0) ? 1u : 0u) | (wa__node_int(n, "reverse", 0) ? 2u : 0u);
    WA_TRY(wa__gpu_read(b, &d, n->inputs[0]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    d.params[0] = (uint32_t)((uint64_t)wa__count(x) / length);
    d.params[1] = (uint32_t)length;
    d.params[2] = (uint32_t)inner;
    d.params_count = 4;
    wa__gpu_cover(&d, d.params[0], 64);
    return wa__gpu_end(b, &d, node, NULL);
}

const wa_gpu_row wa__gpu_reduce_rows[] = {
    {WA_OP_ReduceSum, reduce_refuses, reduce_lower},
    {WA_OP_ReduceMean, reduce_refuses, reduce_lower},
    {WA_OP_ReduceMax, reduce_refuses, reduce_lower},
    {WA_OP_ReduceMin, reduce_refuses, reduce_lower},
    {WA_OP_ReduceProd, reduce_refuses, reduce_lower},
    {WA_OP_ReduceL2, reduce_refuses, reduce_lower},
    {WA_OP_ReduceL1, reduce_refuses, reduce_lower},
    {WA_OP_ReduceSumSquare, reduce_refuses, reduce_lower},
    {WA_OP_ReduceLogSum, reduce_refuses, reduce_lower},
    {WA_OP_ReduceLogSumExp, reduce_refuses, reduce_lower},
    {WA_OP_ArgMax, reduce_refuses, reduce_lower},
    {WA_OP_ArgMin, reduce_refuses, reduce_lower},
    {WA_OP_CumSum, cumulate_refuses, cumulate_lower},
    {WA_OP_CumProd, cumulate_refuses, cumulate_lower},
    {WA_OP_NONE, NULL, NULL},
};
