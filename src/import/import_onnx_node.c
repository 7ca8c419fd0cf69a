/* NodeProto to nodes. In: a node's message and the names made so far. Out: a node of the graph.
 * Called by import_onnx.c and import_onnx_check.c. */
#include "import/import_onnx_int.h"

enum { N_INPUT = 1, N_OUTPUT = 2, N_NAME = 3, N_TYPE = 4, N_ATTR = 5, N_DOMAIN = 7, N_OVERLOAD = 8 };

wa_status wa__onnx_node_read(const wa_onnx *o, const wa_pb_field *f, wa_onnx_node *out, wa_error *err)
{
    WA_TRY(wa__pb_want(f, WA_PB_BYTES, "a node", o->what, err));
    *out = (wa_onnx_node){.body = f->body, .offset = f->offset};
    wa_reader r = f->body;
    wa_pb_field x;
    bool more = false;
    uint32_t inputs = 0, outputs = 0;
    for (;;) {
        WA_TRY(wa__pb_next(&r, &x, &more, err));
        if (!more) break;
        if (x.number > N_OVERLOAD || x.number == 6) continue;
        WA_TRY(wa__pb_want(&x, WA_PB_BYTES, "a node's field", o->what, err));
        if (x.number != N_ATTR && !wa__import_name_ok(x.bytes))
            return wa__fail(
                err, WA_CORRUPT,
                "%s: the node at byte %zu has a name at byte %zu that is no UTF-8 text of at most %u bytes",
                o->what, f->offset, x.offset, WA_LIMIT_NAME_BYTES);
        if (x.number == N_INPUT && ++inputs && x.bytes.len)
            out->inputs = inputs;
        else if (x.number == N_OUTPUT && ++outputs && x.bytes.len)
            out->outputs = outputs;
        else if (x.number == N_NAME)
            out->name = x.bytes;
        else if (x.number == N_TYPE)
            out->type = x.bytes;
        else if (x.number == N_DOMAIN)
            out->domain = x.bytes;
        else if (x.number == N_OVERLOAD)
            out->overload = x.bytes;
        else if (x.number == N_ATTR)
            out->attrs++;
    }
    if (wa__str_is(out->domain, "ai.onnx")) out->domain = WA_STR("");
    if (!out->type.len)
        return wa__fail(err, WA_CORRUPT, "%s: the node \"%.*s\" at byte %zu names no operator", o->what,
                        WA_STR_ARG(out->name), out->offset);
    if (out->attrs > WA_ONNX_ATTRS_MAX)
        return wa__fail(err, WA_LIMIT, WA_ONNX_NODE_FMT " has more than %u attributes",
                        WA_ONNX_NODE_ARG(o, out), WA_ONNX_ATTRS_MAX);
    return WA_OK;
}

/* Whether some node of the scope makes `name`, for a better message. */
static bool made_later(const wa_onnx *o, wa_str name)
{
    wa_reader r = o->graph;
    wa_pb_field f, x;
    wa_error ignored;
    bool more = false;
    while (wa__pb_next(&r, &f, &more, &ignored) == WA_OK && more) {
        if (f.number != (o->function ? 7u : 1u) || f.wire != WA_PB_BYTES) continue;
        bool fields = false;
        while (wa__pb_next(&f.body, &x, &fields, &ignored) == WA_OK && fields)
            if (x.number == N_OUTPUT && x.wire == WA_PB_BYTES && wa__str_eq(x.bytes, name)) return true;
    }
    return false;
}

static wa_status find_inputs(wa_onnx *o, const wa_onnx_node *n, uint32_t *inputs, wa_error *err)
{
    wa_reader r = n->body;
    wa_pb_field x;
    bool more = false, found;
    for (uint32_t i = 0; i < n->inputs;) {
        WA_TRY(wa__pb_next(&r, &x, &more, err));
        if (!more) break;
        if (x.number != N_INPUT) continue;
        inputs[i++] = WA_NONE;
        if (!x.bytes.len) continue;
        WA_TRY(wa__onnx_find(o, x.bytes, &inputs[i - 1], &found, err));
        if (!found)
            return wa__fail(
                err, WA_CORRUPT, WA_ONNX_NODE_FMT ": its input \"%.*s\" %s", WA_ONNX_NODE_ARG(o, n),
                WA_STR_ARG(x.bytes),
                made_later(o, x.bytes)
                    ? "is made by a later node or by itself: the nodes are not sorted or form a cycle"
                    : "is made by nothing in the graph");
    }
    return WA_OK;
}

static wa_status name_outputs(wa_onnx *o, const wa_onnx_node *n, uint32_t node, wa_error *err)
{
    wa_reader r = n->body;
    wa_pb_field x;
    bool more = false;
    for (uint32_t i = 0; i < n->outputs;) {
        WA_TRY(wa__pb_next(&r, &x, &more, err));
        if (!more) break;
        if (x.number != N_OUTPUT) continue;
        uint32_t value = o->g->nodes[node].outputs[i++];
        if (x.bytes.len) WA_TRY(wa__onnx_name(o, x.bytes, value, "an output", x.offset, err));
    }
    return WA_OK;
}

static wa_status add_constant(wa_onnx *o, const wa_onnx_node *n, wa_error *err)
{
    wa_reader r = n->body;
    wa_pb_field x;
    bool more = true;
    uint32_t value = WA_NONE;
    if (n->outputs != 1 || n->inputs)
        return wa__fail(err, WA_CORRUPT, WA_ONNX_NODE_FMT " must have one output and no inputs",
                        WA_ONNX_NODE_ARG(o, n));
    do {
        WA_TRY(wa__pb_next(&r, &x, &more, err));
    } while (more && x.number != N_OUTPUT);
    WA_TRY(wa__onnx_constant(o, n, WA_STR(""), &value, err));
    return wa__onnx_name(o, x.bytes, value, "an output", x.offset, err);
}

/* Counts by the operator table, here so that the message names the file's offset. */
static wa_status check_counts(const wa_onnx *o, const wa_onnx_node *n, wa_op op, wa_error *err)
{
    const wa_op_info *info = wa__op_info(op);
    int64_t least = op == WA_OP_Loop ? 0 : op == WA_OP_Reshape ? 1 : info->inputs_min;
    if (!info->name) return wa__fail(err, WA_UNSUPPORTED, WA_ONNX_NODE_FMT ": this build lacks the operator", WA_ONNX_NODE_ARG(o, n));
    if ((int64_t)n->inputs < least || (info->inputs_max >= 0 && (int64_t)n->inputs > info->inputs_max))
        return wa__fail(err, WA_CORRUPT, WA_ONNX_NODE_FMT " has %u inputs; the operator takes %d to %d",
                        WA_ONNX_NODE_ARG(o, n), n->inputs, info->inputs_min, info->inputs_max);
    if (n->outputs == 0 || (info->outputs >= 0 && (int64_t)n->outputs > info->outputs))
        return wa__fail(err, n->outputs ? WA_UNSUPPORTED : WA_CORRUPT,
                        WA_ONNX_NODE_FMT " has %u outputs; %d are supported", WA_ONNX_NODE_ARG(o, n),
                        n->outputs, info->outputs);
    return WA_OK;
}

/* How many inputs and outputs the graph's node has: Loop's count and condition are there when omitted, so is
 * Reshape's shape, and so are the last results of an operator that always makes them. */
static uint32_t input_count(const wa_onnx_node *n, wa_op op)
{
    return (op == WA_OP_Loop || op == WA_OP_Reshape) && n->inputs < 2 ? 2 : n->inputs;
}

static uint32_t output_count(const wa_onnx_node *n, wa_op op)
{
    int made = wa__op_info(op)->outputs;
    return made > 0 && (uint32_t)made > n->outputs ? (uint32_t)made : n->outputs;
}

/* Reshape-1 has its shape in an attribute. */
static wa_status old_reshape(wa_onnx *o, const wa_onnx_node *n, uint32_t node, wa_error *err)
{
    const wa_node *d = &o->g->nodes[node];
    const wa_attr *a = wa__attr_find(d->attrs, d->attr_count, "shape");
    if (!a || a->kind != WA_ATTR_KIND_INTS)
        return wa__fail(err, WA_CORRUPT, WA_ONNX_NODE_FMT " has %u inputs; the operator takes 2", WA_ONNX_NODE_ARG(o, n), n->inputs);
    uint32_t shape = wa__graph_const_i64(o->g, a->ints, a->count);
    if (shape == WA_NONE) return wa__no_memory(err, "a shape");
    o->g->nodes[node].inputs[1] = shape;
    return WA_OK;
}

static wa_status add_plain(wa_onnx *o, const wa_onnx_node *n, wa_op op, const uint32_t *inputs, wa_error *err)
{
    for (uint32_t i = 0; i < n->inputs; i++)
        if (inputs[i] == WA_NONE && !wa__op_may_omit(op, i))
            return wa__fail(err, WA_CORRUPT, WA_ONNX_NODE_FMT ": input %u is required",
                            WA_ONNX_NODE_ARG(o, n), i);
    uint32_t node = wa__graph_node(o->g, op, n->name, inputs, input_count(n, op), output_count(n, op));
    if (node == WA_NONE)
        return wa__fail(err, WA_LIMIT, WA_ONNX_NODE_FMT ": the graph has too many nodes, or memory ran out",
                        WA_ONNX_NODE_ARG(o, n));
    int64_t opset = wa__onnx_opset(o, n->domain);
    o->g->nodes[node].opset = opset > 0 ? (int32_t)opset : 1;
    WA_TRY(wa__onnx_attrs(o, n, node, err));
    if (op == WA_OP_Reshape && n->inputs == 1) WA_TRY(old_reshape(o, n, node, err));
    return name_outputs(o, n, node, err);
}

wa_status wa__onnx_node_add(wa_onnx *o, const wa_onnx_node *n, wa_error *err)
{
    uint32_t some[16], *inputs = some;
    wa_op op = wa__onnx_op(n);
    wa_onnx_function *f = op ? NULL : wa__onnx_function(o, n);
    if (op == WA_OP_Constant) return add_constant(o, n, err);
    if (!f) WA_TRY(check_counts(o, n, op, err));
    if (n->inputs + 2 > sizeof some / sizeof *some) inputs = WA_ARENA_NEW(o->g->arena, uint32_t, (size_t)n->inputs + 2);
    if (!inputs) return wa__no_memory(err, "a node");
    WA_TRY(find_inputs(o, n, inputs, err));
    for (uint32_t i = n->inputs; i < n->inputs + 2; i++) inputs[i] = WA_NONE;
    return f ? wa__onnx_function_call(o, n, f, inputs, err) : add_plain(o, n, op, inputs, err);
}
