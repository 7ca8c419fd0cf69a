/* The graph's rules, checked after import and after each pass. In: a graph. Out: WA_OK, or WA_VERIFY
 * with the node or value and the rule that it breaks. Called by import, opt, api, tests. */
#include "graph/graph_int.h"

static wa_status verify(const wa_graph *g, uint32_t depth, wa_error *err);

static wa_status check_type(const wa_graph *g, const wa_value *v, uint32_t id, wa_error *err)
{
    const wa_tensor_type *t = &v->type;
    if (t->rank == WA_RANK_UNKNOWN && v->kind != WA_VALUE_CONST) return WA_OK; /* inputs: given by wa__graph_set_input_type */
    if (t->rank > WA_RANK_MAX)
        return wa__fail(err, WA_VERIFY, "value %u (%.*s): rank %u is over %d", id, WA_STR_ARG(v->name), t->rank, WA_RANK_MAX);
    if (wa__dtype_info(t->dtype)->bits == 0)
        return wa__fail(err, WA_VERIFY, "value %u (%.*s) has no element type", id, WA_STR_ARG(v->name));
    for (uint32_t i = 0; i < t->rank; i++)
        if (t->dims[i] > WA_LIMIT_ELEMENTS || (t->dims[i] < 0 && -1 - t->dims[i] >= g->symbol_count))
            return wa__fail(err, WA_VERIFY, "value %u (%.*s): dimension %u is %lld, neither a size nor a symbol", id, WA_STR_ARG(v->name), i, (long long)t->dims[i]);
    return WA_OK;
}

static wa_status check_const(const wa_graph *g, const wa_value *v, uint32_t id, wa_error *err)
{
    uint64_t bytes;
    if (!wa__type_bytes(&v->type, &bytes))
        return wa__fail(err, WA_VERIFY, "constant %u (%.*s) has an open or too large shape", id, WA_STR_ARG(v->name));
    if (!v->data && bytes) return wa__fail(err, WA_VERIFY, "constant %u (%.*s) has no bytes", id, WA_STR_ARG(v->name));
    if (v->source < 0) return WA_OK;
    if ((uint32_t)v->source >= g->source_count)
        return wa__fail(err, WA_VERIFY, "constant %u (%.*s) names source %d of %u", id, WA_STR_ARG(v->name), (int)v->source, g->source_count);
    const wa_source *s = &g->sources[v->source];
    if (v->offset > s->size || s->size - v->offset < bytes || v->data != s->data + v->offset)
        return wa__fail(err, WA_VERIFY, "constant %u (%.*s) lies outside its file", id, WA_STR_ARG(v->name));
    return WA_OK;
}

static wa_status check_value(const wa_graph *g, uint32_t id, wa_error *err)
{
    const wa_value *v = &g->values[id];
    if (v->kind != WA_VALUE_INPUT && v->kind != WA_VALUE_CONST && v->kind != WA_VALUE_NODE)
        return wa__fail(err, WA_VERIFY, "value %u has no kind", id);
    if (v->kind != WA_VALUE_NODE && v->producer != WA_NONE)
        return wa__fail(err, WA_VERIFY, "value %u (%.*s) is an input or constant yet has a producer", id, WA_STR_ARG(v->name));
    WA_TRY(check_type(g, v, id, err));
    return v->kind == WA_VALUE_CONST ? check_const(g, v, id, err) : WA_OK;
}

/* Optional inputs that stand before required ones; all others follow them. */
bool wa__op_may_omit(wa_op op, uint32_t input)
{
    if (op == WA_OP_EmbedLayerNorm) return input == 1 || input == 4 || input == 7;
    if (op == WA_OP_Loop || op == WA_OP_Scan) return true; /* Loop's count and condition, old Scan's lengths */
    switch (op) { /* zero points and biases before what is required */
    case WA_OP_QLinearAdd: case WA_OP_QLinearMul: case WA_OP_QGemm:
        if (input == 2 || input == 5) return true;
        break;
    case WA_OP_QLinearSigmoid: case WA_OP_QLinearLeakyRelu: case WA_OP_QLinearSoftmax: case WA_OP_QLinearAveragePool:
    case WA_OP_QLinearGlobalAveragePool:
        if (input == 2) return true;
        break;
    case WA_OP_QLinearConcat:
        if (input % 3 == 1) return true;
        break;
    case WA_OP_MoE: if (input == 3) return true; break;
    case WA_OP_QMoE: if (input == 4) return true; break;
    default: break;
    }
    return (int)input >= wa__op_info(op)->inputs_min;
}

static wa_status check_counts(const wa_graph *g, uint32_t node, wa_error *err)
{
    char text[256];
    const wa_node *n = &g->nodes[node];
    const wa_op_info *t = wa__op_info(n->op);
    if (!t->name) return wa__fail(err, WA_VERIFY, "node %u (%.*s): operator %d is not in the table", node, WA_STR_ARG(n->name), (int)n->op);
    wa__node_text(g, node, text, sizeof text);
    if ((int64_t)n->input_count < t->inputs_min || (t->inputs_max >= 0 && (int64_t)n->input_count > t->inputs_max))
        return wa__fail(err, WA_VERIFY, "%s has %u inputs; it takes %d to %d", text, n->input_count, t->inputs_min, t->inputs_max);
    if (n->output_count == 0 || (t->outputs >= 0 && (int64_t)n->output_count != t->outputs))
        return wa__fail(err, WA_VERIFY, "%s has %u outputs; it makes %d", text, n->output_count, t->outputs);
    for (uint32_t i = 0; i < n->input_count; i++)
        if (n->inputs[i] == WA_NONE && !wa__op_may_omit(n->op, i))
            return wa__fail(err, WA_VERIFY, "%s: input %u is required", text, i);
    return WA_OK;
}

/* What the operator's children must have: formal inputs and outputs by the node's own. */
static bool child_fits(const wa_node *n, const wa_subgraph *s)
{
    uint32_t own = wa__node_own_inputs(n), formal = s->graph->input_count - s->capture_count, outputs = s->graph->output_count;
    int64_t sequences = wa__node_int(n, "num_scan_inputs", -1);
    switch (n->op) {
    case WA_OP_If: return own == 1 && formal == 0 && outputs >= n->output_count;
    case WA_OP_Loop: return own >= 2 && formal == own && outputs >= own - 1 && outputs - 1 >= n->output_count;
    case WA_OP_Scan:
        own -= n->opset > 0 && n->opset < 9 && own > 0;
        return formal == own && sequences >= 0 && sequences <= (int64_t)own && outputs >= own - (uint32_t)sequences && outputs >= n->output_count;
    case WA_OP_FlexAttention: return own == 3 && formal == 1 && outputs == 1;
    default: return false;
    }
}

/* Whether it has the children of its operator, and no others. */
static bool children_whole(const wa_node *n)
{
    uint32_t mods = (wa__node_subgraph(n, "score_mod") ? 1u : 0u) + (wa__node_subgraph(n, "prob_mod") ? 1u : 0u);
    switch (n->op) {
    case WA_OP_If: return n->subgraph_count == 2 && wa__node_subgraph(n, "then_branch") && wa__node_subgraph(n, "else_branch");
    case WA_OP_Loop: case WA_OP_Scan: return n->subgraph_count == 1 && wa__node_subgraph(n, "body");
    case WA_OP_FlexAttention: return n->subgraph_count == mods;
    default: return false;
    }
}

static wa_status check_children(const wa_graph *g, uint32_t node, uint32_t depth, wa_error *err)
{
    char text[256];
    const wa_node *n = &g->nodes[node];
    bool control = n->op == WA_OP_If || n->op == WA_OP_Loop || n->op == WA_OP_Scan;
    if (!control && !n->subgraph_count) return WA_OK;
    wa__node_text(g, node, text, sizeof text);
    if (depth >= WA_LIMIT_GRAPH_DEPTH) return wa__fail(err, WA_VERIFY, "%s: sub-graphs lie deeper than %u", text, WA_LIMIT_GRAPH_DEPTH);
    if (!children_whole(n))
        return wa__fail(err, WA_VERIFY, "%s has %u sub-graphs that are not those of its operator", text, n->subgraph_count);
    for (uint32_t i = 0; i < n->subgraph_count; i++) {
        const wa_subgraph *s = &n->subgraphs[i];
        bool ok = s->capture_first <= n->input_count && s->capture_count <= n->input_count - s->capture_first && s->capture_count <= s->graph->input_count;
        for (uint32_t k = 0; ok && k < s->capture_count; k++) ok = n->inputs[s->capture_first + k] != WA_NONE;
        if (!ok) return wa__fail(err, WA_VERIFY, "%s: the captured values of %.*s are not its last inputs", text, WA_STR_ARG(s->name));
        if (!child_fits(n, s))
            return wa__fail(err, WA_VERIFY, "%s: %.*s has %u inputs and %u outputs, which do not fit the node's %u and %u", text, WA_STR_ARG(s->name),
                            s->graph->input_count - s->capture_count, s->graph->output_count, wa__node_own_inputs(n), n->output_count);
        wa_status status = verify(s->graph, depth + 1, err);
        if (status != WA_OK) return wa__fail_in(err, status, "%s, %.*s", text, WA_STR_ARG(s->name));
    }
    return WA_OK;
}

/* Single assignment and order: made[v] is set once v may be used. */
static wa_status check_node(const wa_graph *g, uint32_t node, bool *made, uint32_t depth, wa_error *err)
{
    char text[256];
    const wa_node *n = &g->nodes[node];
    WA_TRY(check_counts(g, node, err));
    WA_TRY(check_children(g, node, depth, err));
    wa__node_text(g, node, text, sizeof text);
    for (uint32_t i = 0; i < n->input_count; i++) {
        uint32_t v = n->inputs[i];
        if (v == WA_NONE) continue;
        if (v >= g->value_count) return wa__fail(err, WA_VERIFY, "%s: input %u names value %u of %u", text, i, v, g->value_count);
        if (!made[v])
            return wa__fail(err, WA_VERIFY, "%s: input %u (%.*s) is not made before it is used", text, i, WA_STR_ARG(g->values[v].name));
    }
    for (uint32_t i = 0; i < n->output_count; i++) {
        uint32_t v = n->outputs[i];
        if (v >= g->value_count) return wa__fail(err, WA_VERIFY, "%s: output %u names value %u of %u", text, i, v, g->value_count);
        if (made[v]) return wa__fail(err, WA_VERIFY, "%s: output %u (%.*s) is made twice", text, i, WA_STR_ARG(g->values[v].name));
        if (g->values[v].kind != WA_VALUE_NODE || g->values[v].producer != node)
            return wa__fail(err, WA_VERIFY, "%s: output %u does not name this node as its producer", text, i);
        made[v] = true;
    }
    return WA_OK;
}

static wa_status check_names(const wa_graph *g, wa_error *err)
{
    size_t slots = 16;
    while (slots < (size_t)g->value_count * 2) slots *= 2;
    uint32_t *table = wa__alloc(slots, sizeof *table); /* value + 1 */
    if (!table) return wa__no_memory(err, "verifying a graph");
    wa_status s = WA_OK;
    for (uint32_t v = 0; v < g->value_count && s == WA_OK; v++) {
        wa_str name = g->values[v].name;
        if (name.len == 0) continue;
        size_t at = (size_t)wa__hash_bytes(name.ptr, name.len) & (slots - 1);
        while (table[at] && !wa__str_eq(g->values[table[at] - 1].name, name)) at = (at + 1) & (slots - 1);
        if (table[at]) s = wa__fail(err, WA_VERIFY, "two values are named %.*s", WA_STR_ARG(name));
        else table[at] = v + 1;
    }
    wa__free(table);
    return s;
}

static wa_status check_ends(const wa_graph *g, bool *made, wa_error *err)
{
    for (uint32_t i = 0; i < g->output_count; i++) {
        uint32_t v = g->outputs[i];
        if (v >= g->value_count) return wa__fail(err, WA_VERIFY, "output %u names value %u of %u", i, v, g->value_count);
        if (!made[v]) return wa__fail(err, WA_VERIFY, "output %u (%.*s) is made by no node", i, WA_STR_ARG(g->values[v].name));
    }
    return WA_OK;
}

static wa_status check_inputs(const wa_graph *g, bool *made, wa_error *err)
{
    for (uint32_t i = 0; i < g->input_count; i++) {
        uint32_t v = g->inputs[i];
        if (v >= g->value_count || g->values[v].kind != WA_VALUE_INPUT || made[v])
            return wa__fail(err, WA_VERIFY, "input %u names value %u, which is no input or is listed twice", i, v);
        made[v] = true;
    }
    for (uint32_t v = 0; v < g->value_count; v++) {
        if (g->values[v].kind == WA_VALUE_INPUT && !made[v])
            return wa__fail(err, WA_VERIFY, "value %u (%.*s) is an input that the graph's list lacks", v, WA_STR_ARG(g->values[v].name));
        if (g->values[v].kind == WA_VALUE_CONST) made[v] = true;
    }
    return WA_OK;
}

static wa_status verify(const wa_graph *g, uint32_t depth, wa_error *err)
{
    bool *made = wa__alloc(g->value_count, sizeof *made);
    if (!made) return wa__no_memory(err, "verifying a graph");
    wa_status s = WA_OK;
    for (uint32_t v = 0; v < g->value_count && s == WA_OK; v++) s = check_value(g, v, err);
    if (s == WA_OK) s = check_inputs(g, made, err);
    for (uint32_t i = 0; i < g->node_count && s == WA_OK; i++)
        if (!g->nodes[i].dead) s = check_node(g, i, made, depth, err);
    if (s == WA_OK) s = check_ends(g, made, err);
    if (s == WA_OK) s = check_names(g, err);
    wa__free(made);
    return s;
}

wa_status wa__graph_verify(const wa_graph *g, wa_error *err) { return verify(g, 0, err); }
