/* Brings nodes of old opsets to today's form, so that folding, patterns and kernels know one: lists
 * that were attributes become constant inputs, Softmax gets the axis it means. Part of fold. */
#include "opt/opt_int.h"

#define MODERN_OPSET 21

static void remove_attr(wa_node *n, const char *name)
{
    for (uint32_t i = 0; i < n->attr_count; i++)
        if (wa__str_is(n->attrs[i].name, name)) {
            n->attrs[i] = n->attrs[n->attr_count - 1];
            n->attr_count--;
            return;
        }
}

/* Puts `value` at input i, with omitted inputs before it. */
static bool put_input(wa_rw *r, uint32_t node, uint32_t i, uint32_t value)
{
    wa_node *n = &r->g->nodes[node];
    if (n->input_count <= i) {
        uint32_t *inputs = WA_ARENA_NEW(r->g->arena, uint32_t, i + 1);
        if (!wa__rw_need(r, inputs != NULL)) return false;
        memcpy(inputs, n->inputs, n->input_count * sizeof *inputs);
        for (uint32_t k = n->input_count; k <= i; k++) inputs[k] = WA_NONE;
        n->inputs = inputs;
        n->input_count = i + 1;
    }
    wa__rw_set_input(r, node, i, value);
    return r->status == WA_OK;
}

/* Attribute INTS `name` becomes input i, unless that is given. */
static void list_to_input(wa_rw *r, uint32_t node, const char *name, uint32_t i)
{
    wa_node *n = &r->g->nodes[node];
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, name);
    if (!a || a->kind != WA_ATTR_KIND_INTS) return;
    if (wa__rw_in(r, node, i) == WA_NONE) {
        uint32_t c = wa__rw_const_ints(r, a->ints, a->count);
        if (c == WA_NONE || !put_input(r, node, i, c)) return;
    }
    remove_attr(&r->g->nodes[node], name);
}

/* Attribute FLOAT `name` becomes a scalar input i of the first input's type. */
static void float_to_input(wa_rw *r, uint32_t node, const char *name, uint32_t i)
{
    wa_node *n = &r->g->nodes[node];
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, name);
    if (!a || a->kind != WA_ATTR_KIND_FLOAT) return;
    if (wa__rw_in(r, node, i) == WA_NONE) {
        uint8_t bytes[8] = {0};
        wa_view v = {{wa__rw_t(r, n->inputs[0])->dtype, 0, {0}}, bytes};
        if (wa__dtype_size(v.type.dtype) == 0) return;
        wa__set_f64(&v, 0, (double)a->f);
        uint32_t c = wa__graph_const(r->g, WA_STR(""), &v.type, bytes, -1);
        if (!wa__rw_need(r, c != WA_NONE) || !wa__rw_grow(r) || !put_input(r, node, i, c)) return;
    }
    remove_attr(&r->g->nodes[node], name);
}

/* Attribute "axis" becomes a scalar input i; `fallback` when it is absent. */
static void axis_to_input(wa_rw *r, uint32_t node, uint32_t i, int64_t fallback)
{
    uint32_t c = wa__rw_const_ints(r, (int64_t[]){wa__node_int(&r->g->nodes[node], "axis", fallback)}, 1);
    if (c != WA_NONE && put_input(r, node, i, c)) remove_attr(&r->g->nodes[node], "axis");
}

/* Before opset 13 softmax ran over all axes from `axis` on, as one. */
static void old_softmax(wa_rw *r, uint32_t node)
{
    wa_node *n = &r->g->nodes[node];
    wa_tensor_type t = *wa__rw_t(r, n->inputs[0]);
    int64_t axis = wa__node_int(n, "axis", 1), flat[2] = {1, 1}, count;
    if (!wa__type_count(&t, &count) || count == 0 || axis < -(int64_t)t.rank || axis >= (int64_t)t.rank) return; /* shape inference reports it */
    if (axis < 0) axis += t.rank;
    wa_op op = n->op;
    if (axis + 1 == t.rank) {
        wa__rw_need(r, wa__node_set_int(r->g, node, "axis", axis));
        return;
    }
    for (uint32_t i = 0; i < t.rank; i++) flat[i >= axis] *= t.dims[i];
    uint32_t back = wa__rw_const_ints(r, t.dims, t.rank), shape = wa__rw_const_ints(r, flat, 2);
    if (back == WA_NONE || shape == WA_NONE) return;
    uint32_t a = wa__rw_node(r, WA_OP_Reshape, (uint32_t[]){wa__rw_in(r, node, 0), shape}, 2);
    if (a == WA_NONE || !wa__rw_type(r, a)) return;
    uint32_t b = wa__rw_node(r, op, r->g->nodes[a].outputs, 1);
    if (b == WA_NONE || !wa__rw_need(r, wa__node_set_int(r->g, b, "axis", -1)) || !wa__rw_type(r, b)) return;
    if (wa__rw_become(r, node, WA_OP_Reshape, (uint32_t[]){r->g->nodes[b].outputs[0], back}, 2)) wa__rw_type(r, node);
}

void wa__opt_modernize(wa_rw *r, uint32_t node)
{
    wa_node *n = &r->g->nodes[node];
    int32_t opset = n->opset;
    switch (n->op) {
    case WA_OP_Squeeze: case WA_OP_Unsqueeze: case WA_OP_ReduceSum: case WA_OP_ReduceMean: case WA_OP_ReduceMax:
    case WA_OP_ReduceMin: case WA_OP_ReduceProd: case WA_OP_ReduceL2: case WA_OP_ReduceL1: case WA_OP_ReduceSumSquare:
    case WA_OP_ReduceLogSum: case WA_OP_ReduceLogSumExp:
        list_to_input(r, node, "axes", 1);
        break;
    case WA_OP_Reshape: list_to_input(r, node, "shape", 1); break;
    case WA_OP_Split: list_to_input(r, node, "split", 1); break;
    case WA_OP_Slice:
        list_to_input(r, node, "starts", 1);
        list_to_input(r, node, "ends", 2);
        list_to_input(r, node, "axes", 3);
        break;
    case WA_OP_Clip:
        float_to_input(r, node, "min", 1);
        float_to_input(r, node, "max", 2);
        break;
    case WA_OP_Pad:
        list_to_input(r, node, "pads", 1);
        float_to_input(r, node, "value", 2);
        break;
    case WA_OP_DFT:
        if (opset > 0 && opset < 20) axis_to_input(r, node, 2, 1);
        break;
    case WA_OP_Softmax: case WA_OP_LogSoftmax:
        if (opset > 0 && opset < 13) old_softmax(r, node);
        break;
    default: break;
    }
    if (opset > 0 && opset < MODERN_OPSET && r->g->nodes[node].op != WA_OP_NONE) r->g->nodes[node].opset = MODERN_OPSET;
}
