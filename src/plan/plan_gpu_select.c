/* Rows of the WebGPU table that order and select, and small square matrices. The kernels are
 * kernels/wgsl_select.c's and wgsl_square.c's; those of one workgroup are bounded by what it can do in
 * a fraction of a second. */
#include "plan/plan_int.h"

#define TOPK_MAX    ((int64_t)1 << 17) /* elements of an axis: their square is compared */
#define UNIQUE_MAX  ((int64_t)1 << 13) /* slices: likewise, by one workgroup */
#define COMPACT_MAX ((int64_t)1 << 24)

static int64_t product(const wa_tensor_type *t, uint32_t from, uint32_t to)
{
    int64_t n = 1;
    for (uint32_t i = from; i < to; i++) n *= t->dims[i];
    return n;
}
static uint32_t device(const wa_plan_builder *b, uint32_t value) { return wa__plan_device_dtype(wa__gpu_type(b, value)->dtype); }
static wa_status bad(wa_plan_builder *b) { return wa__fail(b->err, WA_INVALID_ARGUMENT, "an axis is out of range"); }

/* Sizes before, at and after the axis; without the attribute: 1, all, 1. */
static bool axis_sizes(const wa_node *n, const wa_tensor_type *x, bool optional, int64_t fallback, int64_t out[3])
{
    int64_t axis = wa__node_int(n, "axis", fallback);
    if (optional && !wa__attr_find(n->attrs, n->attr_count, "axis")) {
        out[0] = out[2] = 1;
        out[1] = wa__count(x);
        return true;
    }
    if (axis < 0) axis += x->rank;
    if (axis < 0 || axis >= (int64_t)x->rank) return false;
    out[0] = product(x, 0, (uint32_t)axis);
    out[1] = x->dims[axis];
    out[2] = product(x, (uint32_t)axis + 1, x->rank);
    return true;
}

/* --- top k ----------------------------------------------------------------------------------------- */
static const char *topk_refuses(wa_plan_builder *b, const wa_node *n)
{
    int64_t size[3];
    if (!axis_sizes(n, wa__gpu_type(b, n->inputs[0]), false, -1, size)) return "an axis that is out of range";
    return size[1] > TOPK_MAX ? "an axis of more than 131072 elements" : NULL;
}

static wa_status topk_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]), *o = wa__gpu_type(b, n->outputs[0]);
    int64_t size[3], kept[3];
    if (!axis_sizes(n, x, false, -1, size) || !axis_sizes(n, o, false, -1, kept)) return bad(b);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_TOPK);
    WA_TRY(wa__gpu_read(b, &d, n->inputs[0]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[1]));
    d.spec.spec[0] = device(b, n->inputs[0]);
    d.spec.spec[1] = wa__node_int(n, "largest", 1) != 0;
    memcpy(d.params, (uint32_t[]){(uint32_t)wa__count(x), (uint32_t)size[1], (uint32_t)size[2], (uint32_t)kept[1]}, 16);
    d.params_count = 4;
    wa__gpu_cover(&d, d.params[0], 64);
    return wa__gpu_end(b, &d, node, NULL);
}

/* --- what has as many results as it finds ------------------------------------------------------------ */
static const char *compact_refuses(wa_plan_builder *b, const wa_node *n)
{
    return wa__count(wa__gpu_type(b, n->inputs[0])) > COMPACT_MAX ? "more than 16 million elements for one workgroup" : NULL;
}

static wa_status non_zero_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_COMPACT);
    WA_TRY(wa__gpu_read(b, &d, n->inputs[0]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[1]));
    d.spec.spec[1] = device(b, n->inputs[0]) == WA_F32;
    d.params[0] = (uint32_t)wa__count(x);
    d.params[1] = x->rank ? x->rank : 1;
    for (uint32_t i = 0; i < WA_RANK_MAX; i++) {
        d.params[4 + i] = i < x->rank ? (uint32_t)x->dims[i] : 1;
        d.params[12 + i] = i < x->rank ? (uint32_t)product(x, i + 1, x->rank) : 1;
    }
    d.params_count = 20;
    return wa__gpu_end(b, &d, node, NULL);
}

static wa_status compress_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]), *c = wa__gpu_type(b, n->inputs[1]);
    int64_t size[3], asked = wa__count(c);
    if (!axis_sizes(n, x, true, 0, size)) return bad(b);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_COMPACT);
    WA_TRY(wa__gpu_read(b, &d, n->inputs[1]));
    WA_TRY(wa__gpu_read(b, &d, n->inputs[0]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[1]));
    d.spec.spec[0] = 1;
    if (asked > size[1]) asked = size[1];
    memcpy(d.params, (uint32_t[]){(uint32_t)asked, (uint32_t)size[1], (uint32_t)size[0], (uint32_t)size[2]}, 16);
    d.params_count = 4;
    return wa__gpu_end(b, &d, node, NULL);
}

static const char *unique_refuses(wa_plan_builder *b, const wa_node *n)
{
    int64_t size[3];
    if (!axis_sizes(n, wa__gpu_type(b, n->inputs[0]), true, 0, size)) return "an axis that is out of range";
    return size[1] > UNIQUE_MAX ? "more than 8192 elements for one workgroup" : NULL;
}

static wa_status unique_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    int64_t size[3];
    if (!axis_sizes(n, wa__gpu_type(b, n->inputs[0]), true, 0, size)) return bad(b);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_UNIQUE);
    WA_TRY(wa__gpu_read(b, &d, n->inputs[0]));
    for (uint32_t i = 0; i < 5; i++) WA_TRY(wa__gpu_write(b, &d, n->outputs[i]));
    d.spec.spec[0] = device(b, n->inputs[0]);
    d.spec.spec[1] = wa__node_int(n, "sorted", 1) != 0;
    memcpy(d.params, (uint32_t[]){(uint32_t)size[1], (uint32_t)size[0], (uint32_t)size[2]}, 12);
    d.params_count = 4;
    return wa__gpu_end(b, &d, node, NULL);
}

static bool given(const wa_node *n, uint32_t i) { return i < n->input_count && n->inputs[i] != WA_NONE; }

static wa_status nms_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *s = wa__gpu_type(b, n->inputs[1]);
    if (s->rank != 3) return bad(b);
    int64_t lists = s->dims[0] * s->dims[1], room = wa__gpu_type(b, n->outputs[0])->dims[0];
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_NMS);
    for (uint32_t i = 0; i < 5; i++)
        if (i != 2 && given(n, i)) WA_TRY(wa__gpu_read(b, &d, n->inputs[i]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[1]));
    d.spec.spec[0] = given(n, 3);
    d.spec.spec[1] = given(n, 4);
    d.spec.spec[2] = wa__node_int(n, "center_point_box", 0) != 0;
    memcpy(d.params, (uint32_t[]){(uint32_t)s->dims[0], (uint32_t)s->dims[1], (uint32_t)s->dims[2], lists ? (uint32_t)(room / lists) : 0}, 16);
    d.params_count = 4;
    return wa__gpu_end(b, &d, node, NULL);
}

/* --- square matrices --------------------------------------------------------------------------------- */
static const char *square_refuses(wa_plan_builder *b, const wa_node *n)
{
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    if (x->rank < 2) return "no matrix";
    return x->dims[x->rank - 1] > (int64_t)WA_WGSL_SQUARE_MAX ? "a square matrix of an order above 32" : NULL;
}

static wa_status square_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_SQUARE);
    WA_TRY(wa__gpu_read(b, &d, n->inputs[0]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    d.spec.spec[0] = n->op == WA_OP_Inverse;
    d.spec.spec[1] = (uint32_t)x->dims[x->rank - 1];
    d.params[0] = (uint32_t)product(x, 0, x->rank - 2);
    d.params_count = 4;
    wa__gpu_cover(&d, d.params[0], 64);
    return wa__gpu_end(b, &d, node, NULL);
}

const wa_gpu_row wa__gpu_select_rows[] = {
    {WA_OP_TopK, topk_refuses, topk_lower},
    {WA_OP_NonZeroBounded, compact_refuses, non_zero_lower},
    {WA_OP_CompressBounded, compact_refuses, compress_lower},
    {WA_OP_UniqueBounded, unique_refuses, unique_lower},
    {WA_OP_NonMaxSuppressionBounded, NULL, nms_lower},
    {WA_OP_Det, square_refuses, square_lower},
    {WA_OP_Inverse, square_refuses, square_lower},
    {WA_OP_NONE, NULL, NULL},
};
