/* Inlining: the nodes of a child graph copied into the graph around it.
 * In: a node with sub-graphs and the values that its child's formal inputs stand for. Out: the child's
 * nodes in the parent. Called by opt (control flow known at compile time), program, tests. */
#include "graph/graph_int.h"

typedef struct inliner {
    wa_graph *g;
    const wa_graph *child;
    uint32_t *map; /* child value -> value of g, WA_NONE while not copied */
    wa_error *err;
} inliner;

uint32_t wa__node_own_inputs(const wa_node *n)
{
    uint32_t own = n->input_count;
    for (uint32_t i = 0; i < n->subgraph_count; i++)
        if (n->subgraphs[i].capture_first < own) own = n->subgraphs[i].capture_first;
    return own;
}

/* The value of g that stands for a child's; constants are copied at their first use. */
static wa_status value_of(inliner *in, uint32_t v, uint32_t *out)
{
    const wa_value *c = &in->child->values[v];
    *out = in->map[v];
    if (*out != WA_NONE || c->kind == WA_VALUE_INPUT) return WA_OK; /* an omitted formal input stays so */
    if (c->kind != WA_VALUE_CONST)
        return wa__fail(in->err, WA_VERIFY, "value %u (%.*s) of a sub-graph is used before it is made", v, WA_STR_ARG(c->name));
    if (c->source >= 0 && (uint32_t)c->source >= in->g->source_count)
        return wa__fail(in->err, WA_VERIFY, "constant %u (%.*s) of a sub-graph lies in a file that the graph lacks", v, WA_STR_ARG(c->name));
    *out = wa__graph_value(in->g, WA_STR(""));
    if (*out == WA_NONE) return wa__no_memory(in->err, "inlining a sub-graph");
    wa_value copy = *c;
    copy.name = WA_STR("");
    in->g->values[*out] = copy;
    in->map[v] = *out;
    return WA_OK;
}

static bool copy_attrs(wa_graph *g, uint32_t node, const wa_node *from)
{
    size_t cap = 1; /* wa__graph_push counts on powers of two */
    while (cap < from->attr_count) cap *= 2;
    wa_attr *attrs = WA_ARENA_NEW(g->arena, wa_attr, cap);
    if (!attrs) return false;
    for (uint32_t i = 0; i < from->attr_count; i++)
        if (!wa__graph_clone_attr(g, &from->attrs[i], &attrs[i])) return false;
    g->nodes[node].attrs = attrs;
    g->nodes[node].attr_count = from->attr_count;
    return true;
}

static wa_status copy_node(inliner *in, const wa_node *n)
{
    uint32_t some[16], *inputs = some;
    wa_status s = WA_OK;
    if (n->input_count > sizeof some / sizeof *some) inputs = wa__alloc(n->input_count, sizeof *inputs);
    if (!inputs) return wa__no_memory(in->err, "inlining a sub-graph");
    for (uint32_t i = 0; i < n->input_count && s == WA_OK; i++) {
        inputs[i] = WA_NONE;
        if (n->inputs[i] != WA_NONE) s = value_of(in, n->inputs[i], &inputs[i]);
    }
    uint32_t node = s == WA_OK ? wa__graph_node(in->g, n->op, n->name, inputs, n->input_count, n->output_count) : WA_NONE;
    if (inputs != some) wa__free(inputs);
    if (s != WA_OK) return s;
    if (node == WA_NONE || !copy_attrs(in->g, node, n) || !wa__graph_clone_children(in->g, node, n))
        return wa__no_memory(in->err, "inlining a sub-graph");
    in->g->nodes[node].opset = n->opset;
    for (uint32_t i = 0; i < n->output_count; i++) in->map[n->outputs[i]] = in->g->nodes[node].outputs[i];
    return WA_OK;
}

wa_status wa__graph_copy_nodes(wa_graph *g, const wa_graph *child, const uint32_t *inputs, uint32_t *outputs, wa_error *err)
{
    inliner in = {.g = g, .child = child, .err = err};
    in.map = wa__alloc(child->value_count, sizeof *in.map);
    if (!in.map) return wa__no_memory(err, "inlining a sub-graph");
    memset(in.map, 0xff, child->value_count * sizeof *in.map);
    for (uint32_t i = 0; i < child->input_count; i++) in.map[child->inputs[i]] = inputs[i];
    wa_status s = WA_OK;
    for (uint32_t i = 0; i < child->node_count && s == WA_OK; i++)
        if (!child->nodes[i].dead) s = copy_node(&in, &child->nodes[i]);
    for (uint32_t i = 0; i < child->output_count && s == WA_OK; i++) s = value_of(&in, child->outputs[i], &outputs[i]);
    wa__free(in.map);
    return s;
}

wa_status wa__graph_inline(wa_graph *g, uint32_t node, uint32_t subgraph, const uint32_t *formal, uint32_t formal_count, uint32_t *outputs, wa_error *err)
{
    char text[256];
    const wa_subgraph s = g->nodes[node].subgraphs[subgraph];
    const wa_node *n = &g->nodes[node];
    if (s.graph->input_count != formal_count + s.capture_count || s.capture_first + s.capture_count > n->input_count)
        return wa__fail(err, WA_CORRUPT, "%s: its %.*s takes %u inputs, %u are given", wa__node_text(g, node, text, sizeof text), WA_STR_ARG(s.name),
                        s.graph->input_count - s.capture_count, formal_count);
    uint32_t *inputs = wa__alloc(s.graph->input_count, sizeof *inputs);
    if (!inputs) return wa__no_memory(err, "inlining a sub-graph");
    for (uint32_t i = 0; i < s.graph->input_count; i++) inputs[i] = i < formal_count ? formal[i] : n->inputs[s.capture_first + i - formal_count];
    wa_status status = wa__graph_copy_nodes(g, s.graph, inputs, outputs, err);
    wa__free(inputs);
    return status;
}
