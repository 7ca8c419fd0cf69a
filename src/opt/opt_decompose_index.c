/* Decompositions of com.microsoft's forms of operators that index, and of Compress with a constant
 * condition. See decompose.h. */
#include "opt/decompose.h"

/* The same inputs and, where named, integer and string attributes under another operator. */
static bool renamed(wa_rw *r, uint32_t node, wa_op op, uint32_t count, const char *whole, const char *text)
{
    uint32_t c = wa__dc_node(r, op, r->g->nodes[node].inputs, count, 1);
    if (c == WA_NONE) return true;
    const wa_node *n = &r->g->nodes[node];
    const wa_attr *w = whole ? wa__attr_find(n->attrs, n->attr_count, whole) : NULL, *t = text ? wa__attr_find(n->attrs, n->attr_count, text) : NULL;
    bool ok = (!w || wa__node_set_int(r->g, c, whole, w->i)) && (!t || wa__node_set_str(r->g, c, text, t->s));
    if (wa__rw_need(r, ok)) wa__dc_result(r, node, 0, wa__dc_out(r, c, 0));
    return true;
}

static bool trilu(wa_rw *r, uint32_t node) { return renamed(r, node, WA_OP_Trilu, r->g->nodes[node].input_count, "upper", NULL); }
static bool gather_nd(wa_rw *r, uint32_t node) { return renamed(r, node, WA_OP_GatherND, 2, NULL, NULL); }

static bool expand_dims(wa_rw *r, uint32_t node)
{
    int64_t axis;
    uint32_t count;
    const wa_node *n = &r->g->nodes[node];
    if (!wa__graph_const_ints(r->g, n->inputs[1], &axis, 1, &count) || count != 1) return false;
    uint32_t x = n->inputs[0], axes = wa__rw_const_ints(r, &axis, 1);
    if (axes != WA_NONE) wa__dc_result(r, node, 0, wa__dc2(r, WA_OP_Unsqueeze, x, axes));
    return true;
}

/* Pads may be a row of a matrix. */
static bool pad(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    const wa_tensor_type *t = wa__rw_t(r, n->inputs[1]);
    if (t->rank != 1) {
        if (!wa__rw_is_const(r, n->inputs[1])) return false;
        int64_t count = wa__count(t);
        uint32_t list = wa__dc_reshape(r, n->inputs[1], &count, 1);
        if (list == WA_NONE) return true;
        wa__rw_set_input(r, node, 1, list);
    }
    return renamed(r, node, WA_OP_Pad, r->g->nodes[node].input_count, NULL, "mode");
}

static bool range(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    uint32_t first = n->inputs[0], end = n->inputs[1], step = wa__rw_in(r, node, 2);
    if (step == WA_NONE) step = wa__dc_scalar(r, wa__rw_t(r, first)->dtype, 1);
    if (r->status == WA_OK) wa__dc_result(r, node, 0, wa__dc3(r, WA_OP_Range, first, end, step));
    return true;
}

/* Distances of each row of a [M,D] from each of b [N,D]. */
static bool c_dist(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    const wa_attr *metric = wa__attr_find(n->attrs, n->attr_count, "metric");
    uint32_t a = n->inputs[0], b = n->inputs[1];
    wa_tensor_type s = *wa__rw_t(r, a), t = *wa__rw_t(r, b);
    bool root = metric && wa__str_is(metric->s, "euclidean");
    if (s.rank != 2 || t.rank != 2 || s.dims[1] != t.dims[1] || (metric && !root && !wa__str_is(metric->s, "sqeuclidean"))) return false;
    uint32_t rows = wa__dc_reshape(r, a, (int64_t[]){s.dims[0], 1, s.dims[1]}, 3), columns = wa__dc_reshape(r, b, (int64_t[]){1, t.dims[0], t.dims[1]}, 3);
    uint32_t d = wa__dc2(r, WA_OP_Sub, rows, columns), sum = wa__dc_reduce(r, WA_OP_ReduceSum, wa__dc2(r, WA_OP_Mul, d, d), (int64_t[]){2}, 1, false);
    wa__dc_result(r, node, 0, root ? wa__dc1(r, WA_OP_Sqrt, sum) : sum);
    return true;
}

#define TAKEN_MAX 65536 /* slices that a constant condition may keep here */

static bool compress(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    const wa_attr *axis = wa__attr_find(n->attrs, n->attr_count, "axis");
    uint32_t x = n->inputs[0];
    const wa_tensor_type *t = wa__rw_t(r, x);
    if (!wa__rw_is_const(r, n->inputs[1]) || wa__rw_is_const(r, x)) return false;
    int64_t all = wa__count(t), rank = t->rank, at = axis ? axis->i : 0, count = 0;
    if (axis && (at < -rank || at >= rank)) return false;
    const wa_value *v = &r->g->values[n->inputs[1]];
    union { const uint8_t *in; void *data; } u = {.in = v->data};
    wa_view when = {v->type, u.data};
    int64_t size = axis ? t->dims[at < 0 ? at + rank : at] : all, asked = wa__count(&v->type);
    if (asked > size) asked = size;
    if (asked > TAKEN_MAX) return false;
    int64_t *taken = wa__alloc((size_t)asked + 1, sizeof *taken);
    if (!wa__rw_need(r, taken != NULL)) return true;
    for (int64_t i = 0; i < asked; i++)
        if (wa__get_i64(&when, i)) taken[count++] = i;
    uint32_t list = wa__rw_const_ints(r, taken, (uint32_t)count);
    wa__free(taken);
    uint32_t from = axis ? x : wa__dc_reshape(r, x, &all, 1), g = wa__dc_node(r, WA_OP_Gather, (uint32_t[]){from, list}, 2, 1);
    if (g != WA_NONE && wa__rw_need(r, wa__node_set_int(r->g, g, "axis", at))) wa__dc_result(r, node, 0, wa__dc_out(r, g, 0));
    return true;
}

const wa_decompose_row wa__decompose_index[] = {
    {WA_OP_MsTrilu, trilu}, {WA_OP_GatherNDMs, gather_nd}, {WA_OP_ExpandDims, expand_dims}, {WA_OP_MsPad, pad},
    {WA_OP_MsRange, range}, {WA_OP_CDist, c_dist}, {WA_OP_Compress, compress}, {WA_OP_NONE, NULL},
};
