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

/* Attribute INT `name` becomes input i, a list of one. */
static void int_to_input(wa_rw *r, uint32_t node, const char *name, uint32_t i)
{
    const wa_node *n = &r->g->nodes[node];
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, name);
    if (!a || a->kind != WA_ATTR_KIND_INT) return;
    if (wa__rw_in(r, node, i) == WA_NONE) {
        uint32_t c = wa__rw_const_ints(r, &a->i, 1);
        if (c == WA_NONE || !put_input(r, node, i, c)) return;
    }
    remove_attr(&r->g->nodes[node], name);
}

/* Tile-1: how often along which axis, for constants of any number type. */
static void old_tile(wa_rw *r, uint32_t node)
{
    double times, axis;
    wa_node *n = &r->g->nodes[node];
    int64_t repeats[WA_RANK_MAX], rank = wa__rw_t(r, n->inputs[0])->rank;
    if (!wa__graph_const_scalar(r->g, n->inputs[1], &times) || !wa__graph_const_scalar(r->g, wa__rw_in(r, node, 2), &axis)) return;
    if (!(axis >= 0 && axis < (double)rank) || !(times >= 0 && times <= (double)WA_LIMIT_ELEMENTS)) return;
    for (int64_t i = 0; i < rank; i++) repeats[i] = i == (int64_t)axis ? (int64_t)times : 1;
    uint32_t c = wa__rw_const_ints(r, repeats, (uint32_t)rank);
    if (c != WA_NONE) wa__rw_become(r, node, WA_OP_Tile, (uint32_t[]){n->inputs[0], c}, 2);
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

/* Before opset 7 the second operand broadcast only when told to, from an axis on. */
static void old_broadcast(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    const wa_attr *axis = wa__attr_find(n->attrs, n->attr_count, "axis");
    int64_t at = axis && axis->kind == WA_ATTR_KIND_INT ? axis->i : 0, dims[WA_RANK_MAX];
    uint32_t a = wa__rw_in(r, node, 0), b = wa__rw_in(r, node, 1);
    if (a == WA_NONE || b == WA_NONE) return;
    wa_tensor_type x = *wa__rw_t(r, a), y = *wa__rw_t(r, b);
    bool slope = n->op == WA_OP_PRelu && y.rank == 1 && wa__count(&y) > 1;
    if (slope) at = 1;
    if (x.rank > WA_RANK_MAX || y.rank > WA_RANK_MAX || (!slope && (!axis || !wa__node_int(n, "broadcast", 0)))) return;
    if (at < 0) at += x.rank;
    if (at < 0 || at + y.rank > (int64_t)x.rank) return; /* shape inference reports it */
    uint32_t rank = x.rank - (uint32_t)at;
    for (uint32_t i = 0; i < rank; i++) dims[i] = i < y.rank ? y.dims[i] : 1;
    remove_attr(&r->g->nodes[node], "axis");
    remove_attr(&r->g->nodes[node], "broadcast");
    if (rank == y.rank) return;
    uint32_t shape = wa__rw_const_ints(r, dims, rank);
    uint32_t view = shape == WA_NONE ? WA_NONE : wa__rw_node(r, WA_OP_Reshape, (uint32_t[]){b, shape}, 2);
    if (view != WA_NONE && wa__rw_type(r, view)) wa__rw_set_input(r, node, 1, r->g->nodes[view].outputs[0]);
}

/* Before opset 6 Cast named its type in words, and Selu had rounder defaults. */
static void old_words(wa_rw *r, uint32_t node)
{
    static const char *const names[] = {"", "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "STRING", "BOOL", "FLOAT16", "DOUBLE", "UINT32", "UINT64"};
    wa_node *n = &r->g->nodes[node];
    const wa_attr *to = wa__attr_find(n->attrs, n->attr_count, "to");
    if (n->op == WA_OP_Selu) {
        if (!wa__attr_find(n->attrs, n->attr_count, "alpha")) wa__rw_need(r, wa__node_set_float(r->g, node, "alpha", 1.6732f));
        if (!wa__attr_find(n->attrs, n->attr_count, "gamma")) wa__rw_need(r, wa__node_set_float(r->g, node, "gamma", 1.0507f));
        return;
    }
    if (!to || to->kind != WA_ATTR_KIND_STRING) return;
    for (uint32_t i = 1; i < sizeof names / sizeof *names; i++) {
        if (!wa__str_is(to->s, names[i])) continue;
        remove_attr(n, "to");
        wa__rw_need(r, wa__node_set_int(r->g, node, "to", wa__dtype_from_onnx(i)));
        return;
    }
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
        list_to_input(r, node, "paddings", 1);
        float_to_input(r, node, "value", 2);
        break;
    case WA_OP_DFT:
        if (opset > 0 && opset < 20) axis_to_input(r, node, 2, 1);
        break;
    case WA_OP_Softmax: case WA_OP_LogSoftmax: case WA_OP_Hardmax:
        if (opset > 0 && opset < 13) old_softmax(r, node);
        break;
    case WA_OP_Add: case WA_OP_Sub: case WA_OP_Mul: case WA_OP_Div: case WA_OP_Pow: case WA_OP_And: case WA_OP_Or: case WA_OP_Xor:
    case WA_OP_Equal: case WA_OP_Less: case WA_OP_Greater: case WA_OP_PRelu:
        if (opset > 0 && opset < 7) old_broadcast(r, node);
        break;
    case WA_OP_Cast: case WA_OP_Selu:
        if (opset > 0 && opset < 6) old_words(r, node);
        break;
    case WA_OP_RoiAlign: /* before 16 coordinates had no shift of half a pixel */
        if (opset > 0 && opset < 16) wa__rw_need(r, wa__node_set_str(r->g, node, "coordinate_transformation_mode", WA_STR("output_half_pixel")));
        break;
    case WA_OP_Resize: /* 10 had two inputs and no modes */
        if (opset == 10)
            wa__rw_need(r, wa__node_set_str(r->g, node, "coordinate_transformation_mode", WA_STR("asymmetric")) && wa__node_set_str(r->g, node, "nearest_mode", WA_STR("floor")));
        break;
    case WA_OP_TopK: int_to_input(r, node, "k", 1); break;
    case WA_OP_Tile:
        if (n->input_count > 2) old_tile(r, node);
        break;
    case WA_OP_Concat: /* its axis was optional */
        if (opset > 0 && opset < 4 && !wa__attr_find(n->attrs, n->attr_count, "axis")) wa__rw_need(r, wa__node_set_int(r->g, node, "axis", 1));
        break;
    default: break;
    }
    if (opset > 0 && opset < MODERN_OPSET && r->g->nodes[node].op != WA_OP_NONE) r->g->nodes[node].opset = MODERN_OPSET;
}
