/* Scan unrolled: the body once for each place of the scanned axis. Part of control.
 * Opset 8 has a batch axis and lengths; from 9 on axes and directions are attributes. */
#include "opt/opt_int.h"

typedef struct scan {
    uint32_t node, body, own, first; /* first: input of the first state */
    const wa_graph *graph;
    uint32_t states, sequences, scans;
    int64_t trips, batch; /* batch: 0 from opset 9 on */
    const wa_attr *in_axes, *in_back, *out_axes, *out_back;
    uint32_t *formal, *outputs, *scanned;
} scan;

static int64_t entry(const wa_attr *a, uint32_t i) { return a && a->kind == WA_ATTR_KIND_INTS && i < a->count ? a->ints[i] : 0; }

/* x without `axis`, of which place `at` is taken. A rank-0 index takes the axis away. */
static uint32_t take(wa_rw *r, uint32_t x, int64_t at, int64_t axis)
{
    wa_tensor_type t = {WA_I64, 0, {0}};
    uint32_t index = r->status == WA_OK ? wa__graph_const(r->g, WA_STR(""), &t, &at, -1) : WA_NONE;
    if (r->status != WA_OK || !wa__rw_need(r, index != WA_NONE) || !wa__rw_grow(r)) return WA_NONE;
    uint32_t n = wa__rw_node(r, WA_OP_Gather, (uint32_t[]){x, index}, 2);
    if (n == WA_NONE || !wa__rw_need(r, wa__node_set_int(r->g, n, "axis", axis))) return WA_NONE;
    return r->g->nodes[n].outputs[0];
}

/* A place of a sequence that has none: zeros, for the types of results that are empty too. */
static uint32_t nothing(wa_rw *r, uint32_t x, int64_t axis)
{
    wa_tensor_type t = *wa__rw_t(r, x);
    uint64_t bytes;
    for (int64_t i = axis; i + 1 < (int64_t)t.rank; i++) t.dims[i] = t.dims[i + 1];
    t.rank--;
    if (!wa__type_bytes(&t, &bytes) || bytes > WA_LIMIT_FOLD_BYTES) {
        wa__rw_fail(r, wa__fail(r->err, WA_LIMIT, "Scan: an empty sequence of too large elements"));
        return WA_NONE;
    }
    void *zeros = wa__alloc((size_t)bytes + 1, 1);
    uint32_t c = zeros ? wa__graph_const(r->g, WA_STR(""), &t, zeros, -1) : WA_NONE;
    wa__free(zeros);
    return wa__rw_need(r, c != WA_NONE) && wa__rw_grow(r) ? c : WA_NONE;
}

static int64_t axis_in(const wa_rw *r, const scan *s, uint32_t k)
{
    int64_t axis = entry(s->in_axes, k);
    return axis < 0 ? axis + wa__rw_t(r, wa__rw_in(r, s->node, s->first + s->states + k))->rank : axis;
}

/* The length that all sequences share, from their types; false while one is not known. */
static bool lengths(wa_rw *r, scan *s)
{
    for (uint32_t k = 0; k < s->sequences; k++) {
        uint32_t x = wa__rw_in(r, s->node, s->first + s->states + k);
        const wa_tensor_type *t = x == WA_NONE ? NULL : wa__rw_t(r, x);
        if (!t || t->rank > WA_RANK_MAX || !t->dtype) return false;
        int64_t axis = s->batch ? 1 : axis_in(r, s, k), have;
        bool ok = axis >= 0 && axis < (int64_t)t->rank && t->dims[axis] >= 0;
        if (ok && s->batch) {
            ok = k == 0 || t->dims[0] == s->batch;
            s->batch = t->dims[0];
        }
        have = ok ? t->dims[axis] : 0;
        if (!ok || (k && have != s->trips)) {
            wa__rw_fail(r, wa__fail(r->err, WA_CORRUPT, "Scan node %u (%.*s): its scanned inputs do not have one length, or lack the axis", s->node,
                                    WA_STR_ARG(r->g->nodes[s->node].name)));
            return false;
        }
        s->trips = have;
    }
    return s->sequences > 0;
}

/* Opset 8: no lengths, or all of them whole. */
static bool whole(const wa_rw *r, const scan *s)
{
    int64_t given[256];
    uint32_t count, lens = wa__rw_in(r, s->node, 0);
    if (lens == WA_NONE) return true;
    if (!wa__graph_const_ints(r->g, lens, given, 256, &count)) return false;
    for (uint32_t i = 0; i < count; i++)
        if (given[i] != s->trips) return false;
    return true;
}

/* The body over one sequence: inputs[] are states, then sequences; results[] states, then scans. */
static void run_sequence(wa_rw *r, const scan *s, const uint32_t *inputs, uint32_t *results)
{
    bool empty = s->trips == 0;
    int64_t trips = empty ? 1 : s->trips;
    memcpy(s->formal, inputs, s->states * sizeof *inputs);
    for (int64_t t = 0; t < trips && r->status == WA_OK; t++) {
        for (uint32_t k = 0; k < s->sequences; k++) {
            uint32_t x = inputs[s->states + k];
            int64_t axis = s->batch ? 0 : axis_in(r, s, k), at = entry(s->in_back, k) ? trips - 1 - t : t;
            s->formal[s->states + k] = empty ? nothing(r, x, axis) : take(r, x, at, axis);
        }
        if (!wa__control_inline(r, s->node, s->body, s->formal, s->states + s->sequences, s->outputs)) return;
        for (uint32_t k = 0; k < s->scans; k++) {
            int64_t at = entry(s->out_back, k) ? trips - 1 - t : t;
            s->scanned[k * trips + at] = wa__control_unsqueeze(r, s->outputs[s->states + k], entry(s->out_axes, k));
        }
        if (!empty) memcpy(s->formal, s->outputs, s->states * sizeof *inputs);
    }
    for (uint32_t i = 0; i < s->states; i++) results[i] = s->formal[i];
    for (uint32_t k = 0; k < s->scans && r->status == WA_OK; k++) {
        results[s->states + k] = wa__control_concat(r, s->scanned + k * trips, (uint32_t)trips, entry(s->out_axes, k));
        if (empty) results[s->states + k] = wa__control_empty(r, results[s->states + k], entry(s->out_axes, k));
    }
}

static void unroll(wa_rw *r, scan *s)
{
    uint32_t ins = s->states + s->sequences, outs = s->states + s->scans, batch = (uint32_t)(s->batch ? s->batch : 1);
    uint32_t *inputs = wa__alloc((size_t)ins + 1, sizeof *inputs), *all = wa__alloc((size_t)outs * batch + 1, sizeof *all);
    uint32_t *results = wa__alloc((size_t)outs + 1, sizeof *results);
    bool ok = wa__rw_need(r, inputs && all && results);
    for (uint32_t b = 0; ok && b < batch && r->status == WA_OK; b++) {
        for (uint32_t i = 0; i < ins; i++) {
            inputs[i] = wa__rw_in(r, s->node, s->first + i);
            if (s->batch) inputs[i] = take(r, inputs[i], b, 0);
        }
        run_sequence(r, s, inputs, results);
        for (uint32_t i = 0; i < outs && r->status == WA_OK; i++) all[i * batch + b] = s->batch ? wa__control_unsqueeze(r, results[i], 0) : results[i];
    }
    for (uint32_t i = 0; ok && i < r->g->nodes[s->node].output_count && r->status == WA_OK; i++)
        wa__control_result(r, s->node, i, s->batch ? wa__control_concat(r, all + (size_t)i * batch, batch, 0) : all[i]);
    wa__free(inputs);
    wa__free(all);
    wa__free(results);
}

/* False: it stays, or the session failed. */
static bool read_scan(wa_rw *r, scan *s)
{
    const wa_node *n = &r->g->nodes[s->node];
    bool old = n->opset > 0 && n->opset < 9;
    int64_t sequences = wa__node_int(n, "num_scan_inputs", -1);
    s->graph = n->subgraphs[s->body].graph;
    s->own = wa__node_own_inputs(n);
    s->first = old ? 1 : 0;
    if (sequences < 0 || sequences > (int64_t)s->own - s->first) {
        wa__rw_fail(r, wa__fail(r->err, WA_CORRUPT, "Scan node %u (%.*s): num_scan_inputs is missing or wrong", s->node, WA_STR_ARG(n->name)));
        return false;
    }
    s->sequences = (uint32_t)sequences;
    s->states = s->own - s->first - s->sequences;
    s->scans = s->graph->output_count - s->states;
    s->batch = old ? 1 : 0;
    s->in_axes = wa__attr_find(n->attrs, n->attr_count, "scan_input_axes");
    s->in_back = wa__attr_find(n->attrs, n->attr_count, old ? "directions" : "scan_input_directions");
    s->out_axes = wa__attr_find(n->attrs, n->attr_count, "scan_output_axes");
    s->out_back = wa__attr_find(n->attrs, n->attr_count, "scan_output_directions");
    if (!lengths(r, s) || (old && (s->batch == 0 || !whole(r, s)))) return false;
    return s->trips <= WA_UNROLL_NODES_MAX && s->batch <= WA_UNROLL_NODES_MAX &&
           wa__control_room(r, (s->trips ? s->trips : 1) * (s->batch ? s->batch : 1), wa__control_nodes(s->graph) + s->sequences + s->scans);
}

void wa__control_scan(wa_rw *r, uint32_t node)
{
    scan s = {.node = node};
    const wa_node *n = &r->g->nodes[node];
    while (s.body < n->subgraph_count && !wa__str_is(n->subgraphs[s.body].name, "body")) s.body++;
    if (s.body == n->subgraph_count || !read_scan(r, &s)) return;
    s.formal = wa__alloc(s.graph->input_count + 1u, sizeof *s.formal);
    s.outputs = wa__alloc(s.graph->output_count + 1u, sizeof *s.outputs);
    s.scanned = wa__alloc((size_t)s.scans * (size_t)(s.trips ? s.trips : 1) + 1, sizeof *s.scanned);
    if (wa__rw_need(r, s.formal && s.outputs && s.scanned)) unroll(r, &s);
    wa__free(s.formal);
    wa__free(s.outputs);
    wa__free(s.scanned);
}
