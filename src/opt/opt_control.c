/* control: If with a constant condition becomes its branch; Loop whose trips are known when compiling, and
 * Scan, become their bodies, one after the other. What depends on data stays for src/program.
 * In: a graph that fold has been over. Out: the same with fewer sub-graphs, new nodes not typed yet.
 *
 * Loop's trips are known when its count, its condition and each next condition are: the next one is often
 * the constant true or the condition passed on; else what it is made of (the trip's number, constants) is
 * folded for each trip in a graph of its own. */
#include "opt/opt_int.h"

#define UNROLL_TOTAL_MAX 65536 /* nodes of a graph: loops in loops multiply */
#define TRIALS_MAX       256   /* trips whose next condition is folded one by one */

bool wa__opt_is_control(const wa_node *n) { return n->op == WA_OP_If || n->op == WA_OP_Loop || n->op == WA_OP_Scan; }

uint32_t wa__control_nodes(const wa_graph *g)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < g->node_count; i++) {
        const wa_node *n = &g->nodes[i];
        if (n->dead) continue;
        count++;
        for (uint32_t k = 0; k < n->subgraph_count; k++) count += wa__control_nodes(n->subgraphs[k].graph);
    }
    return count;
}

bool wa__control_room(const wa_rw *r, int64_t trips, uint32_t nodes)
{
    return trips <= WA_UNROLL_NODES_MAX / (nodes ? nodes : 1) && r->g->node_count + trips * ((int64_t)nodes + 1) <= UNROLL_TOTAL_MAX;
}

bool wa__control_inline(wa_rw *r, uint32_t node, uint32_t subgraph, const uint32_t *formal, uint32_t count, uint32_t *outputs)
{
    uint32_t before = r->g->node_count;
    if (r->status != WA_OK) return false;
    wa__rw_fail(r, wa__graph_inline(r->g, node, subgraph, formal, count, outputs, r->err));
    return r->status == WA_OK && wa__rw_adopt(r, before);
}

void wa__control_result(wa_rw *r, uint32_t node, uint32_t output, uint32_t value)
{
    if (r->status != WA_OK) return;
    uint32_t from = r->g->nodes[node].outputs[output];
    if (value == WA_NONE) {
        wa__rw_fail(r, wa__fail(r->err, WA_CORRUPT, "%s node %u: output %u is an input that is omitted", wa__op_info(r->g->nodes[node].op)->name, node, output));
        return;
    }
    if (wa__rw_replace(r, from, value)) return;
    uint32_t copy = wa__rw_node(r, WA_OP_Identity, &value, 1); /* both names are the graph's own */
    if (copy != WA_NONE && !wa__rw_replace(r, from, r->g->nodes[copy].outputs[0]))
        wa__rw_fail(r, wa__fail(r->err, WA_INTERNAL, "the result of a sub-graph could not be put in place"));
}

static uint32_t output_of(wa_rw *r, wa_op op, const uint32_t *inputs, uint32_t count, const int64_t *axis)
{
    uint32_t n = r->status == WA_OK ? wa__rw_node(r, op, inputs, count) : WA_NONE;
    if (n == WA_NONE || (axis && !wa__rw_need(r, wa__node_set_int(r->g, n, "axis", *axis)))) return WA_NONE;
    return r->g->nodes[n].outputs[0];
}

uint32_t wa__control_unsqueeze(wa_rw *r, uint32_t x, int64_t axis)
{
    uint32_t axes = r->status == WA_OK ? wa__rw_const_ints(r, &axis, 1) : WA_NONE;
    return axes == WA_NONE ? WA_NONE : output_of(r, WA_OP_Unsqueeze, (uint32_t[]){x, axes}, 2, NULL);
}

uint32_t wa__control_concat(wa_rw *r, const uint32_t *parts, uint32_t count, int64_t axis)
{
    return count == 1 ? parts[0] : output_of(r, WA_OP_Concat, parts, count, &axis);
}

uint32_t wa__control_empty(wa_rw *r, uint32_t x, int64_t axis)
{
    uint32_t zero = r->status == WA_OK ? wa__rw_const_ints(r, &(int64_t){0}, 1) : WA_NONE;
    uint32_t axes = r->status == WA_OK ? wa__rw_const_ints(r, &axis, 1) : WA_NONE;
    return axes == WA_NONE ? WA_NONE : output_of(r, WA_OP_Slice, (uint32_t[]){x, zero, zero, axes}, 4, NULL);
}

/* --- If -------------------------------------------------------------------------------------------- */

static uint32_t subgraph_index(wa_rw *r, uint32_t node, const char *name)
{
    const wa_node *n = &r->g->nodes[node];
    for (uint32_t i = 0; i < n->subgraph_count; i++)
        if (wa__str_is(n->subgraphs[i].name, name)) return i;
    wa__rw_fail(r, wa__fail(r->err, WA_CORRUPT, "%s node %u (%.*s) has no %s", wa__op_info(n->op)->name, node, WA_STR_ARG(n->name), name));
    return WA_NONE;
}

static void resolve_if(wa_rw *r, uint32_t node)
{
    double condition;
    if (!wa__graph_const_scalar(r->g, wa__rw_in(r, node, 0), &condition)) return;
    uint32_t s = subgraph_index(r, node, condition != 0 ? "then_branch" : "else_branch");
    if (s == WA_NONE) return;
    const wa_graph *branch = r->g->nodes[node].subgraphs[s].graph;
    uint32_t *outputs = wa__alloc(branch->output_count, sizeof *outputs), count = r->g->nodes[node].output_count;
    if (!wa__rw_need(r, outputs != NULL)) return;
    if (wa__control_inline(r, node, s, NULL, 0, outputs))
        for (uint32_t i = 0; i < count; i++) wa__control_result(r, node, i, outputs[i]);
    wa__free(outputs);
}

/* --- Loop ------------------------------------------------------------------------------------------ */

typedef struct loop {
    uint32_t node, body; /* body: index of the sub-graph */
    const wa_graph *graph;
    uint32_t states, scans;
    int64_t trips;
    uint32_t *formal;  /* number, condition, states */
    uint32_t *outputs; /* of the body */
    uint32_t *scanned; /* scan k of trip t: [k * trips + t] */
} loop;

static uint32_t trip_number(wa_graph *g, const wa_graph *body, int64_t t)
{
    const wa_tensor_type *declared = &body->values[body->inputs[0]].type;
    wa_tensor_type type = {WA_I64, declared->rank == 1 ? 1 : 0, {1}};
    return wa__graph_const(g, WA_STR(""), &type, &t, -1);
}

static uint32_t truth(wa_graph *g, const wa_graph *body)
{
    const wa_tensor_type *declared = &body->values[body->inputs[1]].type;
    wa_tensor_type type = {WA_BOOL, declared->rank == 1 ? 1 : 0, {1}};
    return wa__graph_const(g, WA_STR(""), &type, &(uint8_t){1}, -1);
}

/* A condition that needs no folding: 1 or 0; -1: it does. */
static int plain_condition(const wa_rw *r, const loop *l)
{
    const wa_graph *b = l->graph;
    const wa_node *n = &r->g->nodes[l->node];
    const wa_subgraph *s = &n->subgraphs[l->body];
    uint32_t v = b->outputs[0], first = b->input_count - s->capture_count;
    double x;
    while (b->values[v].kind == WA_VALUE_NODE && b->nodes[b->values[v].producer].op == WA_OP_Identity) v = b->nodes[b->values[v].producer].inputs[0];
    if (v == b->inputs[1]) return 1;
    if (wa__graph_const_scalar(b, v, &x)) return x != 0;
    for (uint32_t i = 0; i < s->capture_count; i++)
        if (b->inputs[first + i] == v && wa__graph_const_scalar(r->g, n->inputs[s->capture_first + i], &x)) return x != 0;
    return -1;
}

/* The body's inputs in a graph of its own: numbers and constants as they are, all else without a type. */
static wa_status trial_inputs(const wa_rw *r, const loop *l, wa_graph *g, int64_t trip, uint32_t *inputs)
{
    const wa_node *n = &r->g->nodes[l->node];
    const wa_subgraph *s = &n->subgraphs[l->body];
    uint32_t count = l->graph->input_count, first = count - s->capture_count;
    const wa_tensor_type none = {.rank = WA_RANK_UNKNOWN};
    for (uint32_t i = 0; i < r->g->source_count; i++)
        if (wa__graph_source(g, r->g->sources[i].name, r->g->sources[i].data, r->g->sources[i].size) != i) return wa__no_memory(r->err, "a trial");
    for (uint32_t i = 0; i < count; i++) {
        uint32_t outer = i < first ? WA_NONE : n->inputs[s->capture_first + i - first];
        if (i == 0) inputs[i] = trip_number(g, l->graph, trip);
        else if (i == 1) inputs[i] = truth(g, l->graph);
        else if (wa__rw_is_const(r, outer)) {
            const wa_value *v = &r->g->values[outer];
            inputs[i] = wa__graph_const(g, WA_STR(""), &v->type, v->data, v->source);
        } else inputs[i] = wa__graph_input(g, WA_STR(""), outer == WA_NONE ? &none : &r->g->values[outer].type);
        if (inputs[i] == WA_NONE) return wa__no_memory(r->err, "a trial");
    }
    return WA_OK;
}

/* Whether the condition after this trip is known, and what it is. */
static bool condition_after(wa_rw *r, const loop *l, int64_t trip, bool *known)
{
    wa_graph *g = NULL;
    double x = 0;
    *known = false;
    wa_status s = wa__graph_create(&g, r->err);
    if (s == WA_OK) s = trial_inputs(r, l, g, trip, l->formal);
    if (s == WA_OK) s = wa__graph_copy_nodes(g, l->graph, l->formal, l->outputs, r->err);
    if (s == WA_OK && !wa__graph_output(g, l->outputs[0])) s = wa__no_memory(r->err, "a trial");
    wa_opt_options fold = *r->options;
    fold.only = "fold"; /* control flow inside the condition is not looked into: no trials in trials */
    fold.dynamic = true;
    if (s == WA_OK) s = wa__opt_run(g, &fold, r->err);
    if (s == WA_OK) *known = wa__graph_const_scalar(g, g->outputs[0], &x);
    wa__graph_free(g);
    if (s == WA_NO_MEMORY) wa__rw_fail(r, s); /* other errors show where the body really runs */
    return x != 0;
}

static bool count_trips(wa_rw *r, loop *l)
{
    uint32_t m = wa__rw_in(r, l->node, 0), c = wa__rw_in(r, l->node, 1), size = wa__control_nodes(l->graph);
    int64_t most = INT64_MAX;
    uint32_t count = 0;
    double start = 1;
    if (m != WA_NONE && (!wa__graph_const_ints(r->g, m, &most, 1, &count) || count != 1)) most = INT64_MAX;
    bool bounded = m == WA_NONE || count == 1;
    bool begins = c == WA_NONE || wa__graph_const_scalar(r->g, c, &start);
    l->trips = 0;
    if ((begins && start == 0) || most <= 0) return true;
    if (!bounded || !begins) return false;
    int plain = plain_condition(r, l);
    if (plain >= 0) {
        l->trips = plain ? most : 1;
        return wa__control_room(r, l->trips, size);
    }
    for (bool known = true, on = true; on && l->trips < most; l->trips++) {
        if (l->trips == TRIALS_MAX || !wa__control_room(r, l->trips + 1, size)) return false;
        on = condition_after(r, l, l->trips, &known);
        if (!known) return false;
    }
    return wa__control_room(r, l->trips, size);
}

static void unroll(wa_rw *r, loop *l)
{
    bool empty = l->trips == 0;
    uint32_t *scanned = l->scanned, trips = (uint32_t)(empty ? 1 : l->trips);
    for (uint32_t i = 0; i < l->states; i++) l->formal[2 + i] = wa__rw_in(r, l->node, 2 + i);
    for (uint32_t t = 0; t < trips && r->status == WA_OK && (!empty || l->scans); t++) {
        l->formal[0] = trip_number(r->g, l->graph, t);
        l->formal[1] = truth(r->g, l->graph);
        if (!wa__rw_need(r, l->formal[0] != WA_NONE && l->formal[1] != WA_NONE)) return;
        if (!wa__control_inline(r, l->node, l->body, l->formal, 2 + l->states, l->outputs)) return;
        for (uint32_t k = 0; k < l->scans; k++) scanned[k * trips + t] = wa__control_unsqueeze(r, l->outputs[1 + l->states + k], 0);
        for (uint32_t i = 0; i < l->states && !empty; i++) l->formal[2 + i] = l->outputs[1 + i];
    }
    uint32_t outputs = r->g->nodes[l->node].output_count;
    for (uint32_t i = 0; i < outputs && r->status == WA_OK; i++) {
        if (i < l->states) {
            wa__control_result(r, l->node, i, l->formal[2 + i]);
            continue;
        }
        uint32_t all = wa__control_concat(r, scanned + (i - l->states) * trips, trips, 0);
        if (empty && r->status == WA_OK) all = wa__control_empty(r, all, 0);
        wa__control_result(r, l->node, i, all);
    }
}

static void resolve_loop(wa_rw *r, uint32_t node)
{
    loop l = {.node = node, .body = subgraph_index(r, node, "body")};
    if (l.body == WA_NONE) return;
    const wa_node *n = &r->g->nodes[node];
    l.graph = n->subgraphs[l.body].graph;
    l.states = wa__node_own_inputs(n) - 2;
    l.scans = l.graph->output_count - 1 - l.states;
    l.formal = wa__alloc(l.graph->input_count, sizeof *l.formal);
    l.outputs = wa__alloc(l.graph->output_count, sizeof *l.outputs);
    if (wa__rw_need(r, l.formal && l.outputs) && count_trips(r, &l) && r->status == WA_OK) {
        l.scanned = wa__alloc((size_t)l.scans * (size_t)(l.trips ? l.trips : 1), sizeof *l.scanned);
        if (wa__rw_need(r, l.scanned != NULL)) unroll(r, &l);
        wa__free(l.scanned);
    }
    wa__free(l.formal);
    wa__free(l.outputs);
}

void wa__opt_control(wa_rw *r)
{
    uint32_t count = r->g->node_count;
    for (uint32_t i = 0; i < count && r->status == WA_OK; i++) {
        if (!wa__opt_is_control(&r->g->nodes[i]) || !wa__rw_visit(r, i)) continue;
        switch (r->g->nodes[i].op) {
        case WA_OP_If: resolve_if(r, i); break;
        case WA_OP_Loop: resolve_loop(r, i); break;
        default: wa__control_scan(r, i); break;
        }
    }
}
