/* Rows in two halves. LiteRT gives a graph half of the cores, (cores + 1) / 2 threads and four at most, and runs
 * graphs that share no tensor at the same time; so a transformer's rows go as two chains of graphs, lane 0 and
 * lane 1, that meet where attention reads the keys and values of all tokens.
 *
 * In: an optimised graph. Every node becomes one item a lane, with the rows of its half, or one item for all. An
 * item's stage is the number of meetings before it; part = 1 + 2 * stage + lane, and the new graph's nodes stand
 * by part. Expressions of constants (what weights are made of) keep part 0: both lanes share them.
 * Out: a graph and its parts. Called by wa__plan_build. */
#include "plan/plan_lanes_int.h"

enum { LANES = 2, NO_ITEM = -1 };
#define FLOPS_A_STAGE  40000000u /* that halving must win more than a meeting costs: 0.15 ms of 100 Gflop/s is 15e6 */
#define FLOPS_TO_SHARE 1000000u  /* a whole node this large runs once, a smaller one in each lane that wants it */

typedef struct ref { /* a value of the new graph, before it is made */
    int32_t item;    /* NO_ITEM: value `output` of the old graph itself */
    uint32_t output;
} ref;

typedef struct item {
    uint32_t node; /* of the old graph: its name, and unless op says else its operator and attributes */
    wa_op op;
    bool glue;     /* ours: a Slice [from, to) or Concat along axis */
    ref in[8];
    ref *more;     /* in place of `in` where there are more */
    uint32_t in_count, out_count, first_out;
    uint32_t lane, stage;
    uint32_t axis;
    int64_t from, to;
} item;

typedef struct lanes {
    wa_graph *g;       /* a copy: the new nodes are appended, the old ones go */
    uint32_t nodes;    /* old ones */
    uint8_t *axis;     /* per value */
    ref (*half)[LANES], (*whole)[LANES]; /* per value: made so far, see has() */
    uint8_t *need;     /* per node: bit z: lane z wants its whole result; 4: its halves are wanted */
    lanes_rule *rule;  /* per node: axis LANES_WHOLE when done whole */
    bool *shared;      /* per node: an expression of constants */
    wa_plan_vec items; /* item */
    uint32_t stages;
    uint64_t flops;    /* done in halves */
    uint32_t *part;
    wa_error *err;
    wa_status status;
} lanes;

static const ref nothing = {NO_ITEM, WA_NONE};
static bool has(ref r) { return r.item != NO_ITEM || r.output != WA_NONE; }
static item *at(const lanes *l, int32_t i) { return (item *)l->items.ptr + i; }
static const wa_node *node_of(const lanes *l, uint32_t i) { return &l->g->nodes[i]; }
static uint32_t maker(const lanes *l, uint32_t v) { return v != WA_NONE && l->g->values[v].kind == WA_VALUE_NODE ? l->g->values[v].producer : WA_NONE; }

/* --- what is wanted ---------------------------------------------------------------------------------------- */
static void decide(lanes *l)
{
    for (uint32_t i = 0; i < l->nodes; i++)
        if (node_of(l, i)->subgraph_count) return; /* control flow stays as it is */
    for (uint32_t i = 0; i < l->nodes; i++) {
        const wa_node *n = node_of(l, i);
        l->shared[i] = n->input_count > 0;
        for (uint32_t k = 0; k < n->input_count; k++) {
            uint32_t p = maker(l, n->inputs[k]);
            l->shared[i] &= n->inputs[k] == WA_NONE || l->g->values[n->inputs[k]].kind == WA_VALUE_CONST || (p != WA_NONE && l->shared[p]);
        }
        if (l->shared[i] || !wa__lanes_rule(l->g, n, l->axis, &l->rule[i])) {
            l->rule[i] = (lanes_rule){.axis = LANES_WHOLE};
            continue;
        }
        l->axis[n->outputs[0]] = (uint8_t)l->rule[i].axis;
        l->flops += wa__plan_node_flops(l->g, n);
    }
}

static void want(lanes *l, uint32_t value, uint32_t bits)
{
    uint32_t p = maker(l, value);
    if (p == WA_NONE) return;
    if (l->rule[p].axis != LANES_WHOLE) bits = 4;
    else if (l->shared[p] || wa__plan_node_flops(l->g, node_of(l, p)) > FLOPS_TO_SHARE) bits = 1;
    l->need[p] |= (uint8_t)bits;
}

static void wants(lanes *l)
{
    for (uint32_t i = 0; i < l->g->output_count; i++) want(l, l->g->outputs[i], 1);
    for (uint32_t i = l->nodes; i-- > 0;) {
        uint32_t bits = l->need[i] & 4 ? 3 : l->need[i];
        for (uint32_t k = 0; bits && k < node_of(l, i)->input_count; k++) want(l, node_of(l, i)->inputs[k], bits);
    }
}

/* --- items --------------------------------------------------------------------------------------------------- */
static int32_t add(lanes *l, uint32_t node, wa_op op, const ref *in, uint32_t count, uint32_t lane)
{
    item *m = l->status == WA_OK ? wa__plan_vec_push(&l->items, sizeof *m) : NULL;
    ref *more = m && count > 8 ? wa__alloc(count, sizeof *more) : NULL;
    if (!m || (count > 8 && !more)) {
        l->status = wa__no_memory(l->err, "halves of a graph");
        return NO_ITEM;
    }
    m->node = node, m->op = op, m->in_count = count, m->more = more, m->lane = lane;
    m->out_count = 1;
    memcpy(more ? more : m->in, in, count * sizeof *in);
    for (uint32_t i = 0; i < count; i++) {
        if (in[i].item == NO_ITEM) continue;
        const item *from = at(l, in[i].item);
        uint32_t stage = l->shared[from->node] ? 0 : from->stage + (from->lane != lane);
        if (stage > m->stage) m->stage = stage;
    }
    if (m->stage + 1 > l->stages) l->stages = m->stage + 1;
    return (int32_t)l->items.count - 1;
}

static ref sliced(lanes *l, uint32_t node, ref x, uint32_t axis, int64_t from, int64_t to, uint32_t lane)
{
    int32_t i = add(l, node, WA_OP_Slice, &x, 1, lane);
    if (i == NO_ITEM) return nothing;
    at(l, i)->glue = true, at(l, i)->axis = axis, at(l, i)->from = from, at(l, i)->to = to;
    return (ref){i, 0};
}

static ref joined(lanes *l, uint32_t node, const ref x[LANES], uint32_t axis, uint32_t lane)
{
    int32_t i = add(l, node, WA_OP_Concat, x, LANES, lane);
    if (i == NO_ITEM) return nothing;
    at(l, i)->glue = true, at(l, i)->axis = axis;
    return (ref){i, 0};
}

/* All of a value, for an item of this lane. */
static ref whole(lanes *l, uint32_t node, uint32_t v, uint32_t lane)
{
    uint32_t p = maker(l, v);
    if (p == WA_NONE) return (ref){NO_ITEM, v};
    if (!has(l->whole[v][lane])) {
        if (l->axis[v] == LANES_WHOLE) return l->whole[v][0]; /* made once */
        l->whole[v][lane] = joined(l, node, l->half[v], l->axis[v], lane);
    }
    return l->whole[v][lane];
}

/* Rows of a lane: the value's own half, or cut out of all of it. `rows` of them are halved. */
static ref half(lanes *l, uint32_t node, uint32_t v, uint32_t axis, int64_t rows, uint32_t lane)
{
    int64_t cut = wa__lanes_cut(rows);
    if (l->axis[v] != LANES_WHOLE) return l->half[v][lane];
    return sliced(l, node, whole(l, node, v, lane), axis, lane ? cut : 0, lane ? rows : cut, lane);
}

/* Keys and values of both halves; the lane that has them cuts them out of what it made of all three. */
static void attend(lanes *l, uint32_t i)
{
    const wa_node *n = node_of(l, i);
    const lanes_rule *r = &l->rule[i];
    const wa_tensor_type *t = &l->g->values[n->inputs[0]].type, *o = &l->g->values[n->outputs[0]].type;
    bool packed = n->op == WA_OP_QkvAttention;
    int64_t width = packed ? t->dims[2] / 3 : 0, rows = o->dims[1];
    uint32_t bias = packed ? 1 : 3, has_bias = bias < n->input_count && n->inputs[bias] != WA_NONE;
    ref q[LANES], kv[2][LANES];
    for (uint32_t z = 0; z < LANES; z++) {
        ref x = half(l, i, n->inputs[0], 1, rows, z);
        q[z] = packed ? sliced(l, i, x, 2, 0, width, z) : x;
        for (int64_t k = 0; packed && k < 2; k++) kv[k][z] = sliced(l, i, x, 2, (k + 1) * width, (k + 2) * width, z);
    }
    for (uint32_t z = 0; z < LANES; z++) {
        ref in[4] = {q[z], nothing, nothing, nothing};
        for (uint32_t k = 0; k < 2; k++) in[1 + k] = packed ? joined(l, i, kv[k], 1, z) : whole(l, i, n->inputs[1 + k], z);
        if (has_bias) {
            uint32_t a = wa__lanes_input(l->g, n, r, bias);
            in[3] = a == LANES_WHOLE ? whole(l, i, n->inputs[bias], z) : half(l, i, n->inputs[bias], a, rows, z);
        }
        l->half[n->outputs[0]][z] = (ref){add(l, i, WA_OP_Attention, in, 3 + has_bias, z), 0};
    }
}

/* One item: the node with its whole inputs (rule NULL), or with a lane's rows. */
static int32_t copy(lanes *l, uint32_t i, const lanes_rule *r, uint32_t lane)
{
    const wa_node *n = node_of(l, i);
    ref *in = wa__alloc(n->input_count + 1u, sizeof *in);
    if (!in) l->status = wa__no_memory(l->err, "halves of a graph");
    for (uint32_t k = 0; in && k < n->input_count; k++) {
        uint32_t a = r && n->inputs[k] != WA_NONE ? wa__lanes_input(l->g, n, r, k) : LANES_WHOLE;
        if (n->inputs[k] == WA_NONE) in[k] = nothing;
        else if (a == LANES_WHOLE) in[k] = whole(l, i, n->inputs[k], lane);
        else in[k] = half(l, i, n->inputs[k], a, l->g->values[n->outputs[0]].type.dims[r->axis], lane);
    }
    int32_t made = in ? add(l, i, n->op, in, n->input_count, lane) : NO_ITEM;
    if (made != NO_ITEM) at(l, made)->out_count = n->output_count;
    wa__free(in);
    return made;
}

static void itemize(lanes *l)
{
    for (uint32_t i = 0; i < l->nodes && l->status == WA_OK; i++) {
        const wa_node *n = node_of(l, i);
        const lanes_rule *r = l->rule[i].axis == LANES_WHOLE ? NULL : &l->rule[i];
        if (!l->need[i]) continue;
        if (r && r->tokens) {
            attend(l, i);
            continue;
        }
        for (uint32_t z = 0; z < LANES; z++) {
            if (!r && !(l->need[i] >> z & 1)) continue;
            int32_t m = copy(l, i, r, z);
            for (uint32_t k = 0; m != NO_ITEM && k < (r ? 1 : n->output_count); k++)
                if (n->outputs[k] != WA_NONE) (r ? l->half : l->whole)[n->outputs[k]][z] = (ref){m, k};
        }
    }
}

/* --- the new graph ------------------------------------------------------------------------------------------- */
static uint32_t value_of(const lanes *l, ref r)
{
    if (r.item == NO_ITEM) return r.output;
    const item *m = at(l, r.item);
    return r.output < m->out_count ? m->first_out + r.output : WA_NONE;
}

static bool make(lanes *l, item *m)
{
    enum { SLICE_INPUTS = 4 };
    const ref *in = m->more ? m->more : m->in;
    uint32_t *values = wa__alloc(m->in_count + SLICE_INPUTS, sizeof *values), count = m->in_count;
    if (!values) return false;
    for (uint32_t i = 0; i < m->in_count; i++) values[i] = value_of(l, in[i]);
    const int64_t numbers[3] = {m->from, m->to, m->axis};
    for (uint32_t i = 0; m->glue && m->op == WA_OP_Slice && i < 3; i++) values[count++] = wa__graph_const_i64(l->g, &numbers[i], 1);
    wa_node old = *node_of(l, m->node); /* the list grows */
    uint32_t made = wa__graph_node(l->g, m->op, old.name, values, count, m->out_count);
    wa__free(values);
    if (made == WA_NONE) return false;
    wa_node *n = &l->g->nodes[made];
    n->opset = m->glue ? 13 : old.opset;
    m->first_out = n->outputs[0];
    if (!m->glue) n->attrs = old.attrs, n->attr_count = old.attr_count; /* an Attention has those of its QkvAttention */
    if (m->glue && m->op == WA_OP_Concat && !wa__node_set_int(l->g, made, "axis", m->axis)) return false;
    l->status = wa__graph_infer_node(l->g, made, l->err);
    return l->status == WA_OK;
}

/* The copy's outputs become the new nodes', under their names. */
static void outputs(lanes *l, const ref *out)
{
    for (uint32_t i = 0; i < l->g->output_count; i++) {
        uint32_t old = l->g->outputs[i], v = value_of(l, out[i]);
        if (v == old) continue;
        l->g->values[v].name = l->g->values[old].name.len ? l->g->values[old].name : l->g->values[v].name;
        l->g->values[old].name = (wa_str){NULL, 0};
        l->g->outputs[i] = v;
    }
}

static uint32_t part_of(const lanes *l, const item *m) { return l->shared[m->node] ? 0 : 1 + LANES * m->stage + m->lane; }

static void emit(lanes *l)
{
    uint32_t count = 0;
    ref *out = wa__alloc(l->g->output_count + 1u, sizeof *out);
    for (uint32_t i = 0; out && i < l->g->output_count; i++) out[i] = whole(l, maker(l, l->g->outputs[i]), l->g->outputs[i], 0);
    l->part = wa__alloc(l->items.count + 1u, sizeof *l->part);
    if (l->status == WA_OK && (!out || !l->part)) l->status = wa__no_memory(l->err, "halves of a graph");
    for (uint32_t part = 0; part <= LANES * l->stages && l->status == WA_OK; part++)
        for (uint32_t i = 0; i < l->items.count && l->status == WA_OK; i++) {
            item *m = at(l, (int32_t)i);
            if (part_of(l, m) != part) continue;
            if (!make(l, m) && l->status == WA_OK) l->status = wa__no_memory(l->err, "halves of a graph");
            l->part[count++] = part;
        }
    if (l->status == WA_OK) outputs(l, out);
    for (uint32_t i = 0; i < l->nodes; i++) l->g->nodes[i].dead = true;
    if (l->status == WA_OK) l->status = wa__graph_compact(l->g, l->err);
    if (l->status == WA_OK) l->status = wa__graph_verify(l->g, l->err);
    wa__free(out);
}

static bool init(lanes *l, const wa_graph *g)
{
    l->nodes = g->node_count;
    l->status = wa__graph_clone(g, &l->g, l->err);
    l->axis = wa__alloc(g->value_count + 1u, 1);
    l->half = wa__alloc(g->value_count + 1u, sizeof *l->half);
    l->whole = wa__alloc(g->value_count + 1u, sizeof *l->whole);
    l->need = wa__alloc(g->node_count + 1u, 1);
    l->rule = wa__alloc(g->node_count + 1u, sizeof *l->rule);
    l->shared = wa__alloc(g->node_count + 1u, sizeof *l->shared);
    if (l->status == WA_OK && !(l->axis && l->half && l->whole && l->need && l->rule && l->shared)) l->status = wa__no_memory(l->err, "halves of a graph");
    if (l->status != WA_OK) return false;
    memset(l->axis, LANES_WHOLE, g->value_count + 1u);
    for (uint32_t v = 0; v < g->value_count; v++)
        for (uint32_t z = 0; z < LANES; z++) l->half[v][z] = l->whole[v][z] = nothing;
    return true;
}

static void done(lanes *l)
{
    for (size_t i = 0; i < l->items.count; i++) wa__free(at(l, (int32_t)i)->more);
    wa__free(l->items.ptr);
    wa__free(l->axis);
    wa__free(l->half);
    wa__free(l->whole);
    wa__free(l->need);
    wa__free(l->rule);
    wa__free(l->shared);
}

wa_status wa__plan_lanes(const wa_graph *g, wa_graph **out, uint32_t **part, wa_error *err)
{
    lanes l = {.err = err, .stages = 1};
    *out = NULL;
    if (init(&l, g)) {
        decide(&l);
        if (l.flops >= FLOPS_A_STAGE) {
            wants(&l);
            itemize(&l);
        }
        if (l.status == WA_OK && l.items.count && l.flops / l.stages >= FLOPS_A_STAGE) {
            emit(&l);
            if (l.status == WA_OK) *out = l.g, *part = l.part;
        }
    }
    done(&l);
    if (*out) return WA_OK;
    wa__graph_free(l.g);
    wa__free(l.part);
    return l.status;
}
