/* Rows in two halves: texts of a batch, tokens, images of a batch go as two chains of graphs, lane 0 and lane 1,
 * that meet where attention reads the keys and values of all tokens or something is summed over all rows. LiteRT
 * may run graphs that share no tensor at the same time, and takes less for the halves even one after the other
 * (plan_build.c has the figures).
 *
 * In: an optimised graph. Every node becomes one item a lane, with the rows of its half, or one item for all. An
 * item's stage is the number of meetings before it; part = 1 + 2 * stage + lane, and the new graph's nodes stand
 * by part. Expressions of constants (what weights are made of) keep part 0: both lanes share them.
 * Out: a graph and its parts. Called by wa__plan_build. */
#include "plan/plan_lanes_int.h"

#define FLOPS_A_STAGE  40000000u /* that halving must win more than a meeting costs: 0.15 ms of 100 Gflop/s is 15e6 */
#define FLOPS_TO_SHARE 1000000u  /* a whole node this large runs once, a smaller one in each lane that wants it */

static const lanes_ref nothing = {NO_ITEM, WA_NONE};
static bool has(lanes_ref r) { return r.item != NO_ITEM || r.output != WA_NONE; }
static const wa_node *node_of(const lanes *l, uint32_t i) { return &l->g->nodes[i]; }
static uint32_t maker(const lanes *l, uint32_t v) { return v != WA_NONE && l->g->values[v].kind == WA_VALUE_NODE ? l->g->values[v].producer : WA_NONE; }
static int64_t rows_of(const lanes *l, uint32_t v, uint32_t axis) { return l->g->values[v].type.dims[axis]; }

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
        l->has_rule[i] = !l->shared[i] && wa__lanes_rule(l->g, n, l->axis, &l->rule[i]);
        if (!l->has_rule[i]) continue;
        l->axis[n->outputs[0]] = (uint8_t)l->rule[i].axis;
        l->flops += wa__plan_node_flops(l->g, n);
    }
}

static void want(lanes *l, uint32_t value, uint32_t bits)
{
    uint32_t p = maker(l, value);
    if (p == WA_NONE) return;
    if (l->axis[value] != LANES_WHOLE) bits = 4;
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
static lanes_ref add(lanes *l, uint32_t node, wa_op op, lanes_kind kind, const lanes_ref *in, uint32_t count, uint32_t lane)
{
    lanes_item *m = l->status == WA_OK ? wa__plan_vec_push(&l->items, sizeof *m) : NULL;
    lanes_ref *more = m && count > 8 ? wa__alloc(count, sizeof *more) : NULL;
    if (!m || (count > 8 && !more)) {
        if (m) l->items.count--;
        if (l->status == WA_OK) l->status = wa__no_memory(l->err, "halves of a graph");
        return nothing;
    }
    m->node = node, m->op = op, m->kind = kind, m->in_count = count, m->more = more, m->lane = lane;
    m->out_count = 1;
    memcpy(more ? more : m->in, in, count * sizeof *in);
    for (uint32_t i = 0; i < count; i++) {
        if (in[i].item == NO_ITEM) continue;
        const lanes_item *from = wa__lanes_item(l, in[i].item);
        uint32_t stage = l->shared[from->node] ? 0 : from->stage + (from->lane != lane);
        if (stage > m->stage) m->stage = stage;
    }
    if (m->stage + 1 > l->stages) l->stages = m->stage + 1;
    return (lanes_ref){(int32_t)l->items.count - 1, 0};
}

/* What a kind has beside its inputs; nothing is done once adding has failed. */
static lanes_ref with(lanes *l, lanes_ref r, uint32_t axis, int64_t from, int64_t to)
{
    if (r.item == NO_ITEM) return r;
    lanes_item *m = wa__lanes_item(l, r.item);
    m->axis = axis, m->from = from, m->to = to;
    return r;
}

static lanes_ref sliced(lanes *l, uint32_t node, lanes_ref x, uint32_t axis, int64_t from, int64_t to, uint32_t lane)
{
    return with(l, add(l, node, WA_OP_Slice, LANES_SLICE, &x, 1, lane), axis, from, to);
}

static lanes_ref joined(lanes *l, uint32_t node, const lanes_ref x[LANES], uint32_t axis, uint32_t lane)
{
    return with(l, add(l, node, WA_OP_Concat, LANES_JOIN, x, LANES, lane), axis, 0, 0);
}

/* All of a value, for an item of this lane. */
static lanes_ref whole(lanes *l, uint32_t node, uint32_t v, uint32_t lane)
{
    if (maker(l, v) == WA_NONE) return (lanes_ref){NO_ITEM, v};
    if (!has(l->whole[v][lane])) {
        if (l->axis[v] == LANES_WHOLE) return l->whole[v][0]; /* made once */
        l->whole[v][lane] = joined(l, node, l->half[v], l->axis[v], lane);
    }
    return l->whole[v][lane];
}

/* Rows [from, to) of a value for a lane. What the other lane has of them, it cuts out itself. */
static lanes_ref rows(lanes *l, uint32_t node, uint32_t v, uint32_t axis, int64_t from, int64_t to, uint32_t lane)
{
    int64_t all = rows_of(l, v, axis), cut = wa__lanes_cut(all);
    lanes_ref part[LANES];
    uint32_t count = 0;
    if (l->axis[v] == LANES_WHOLE) {
        lanes_ref x = whole(l, node, v, lane);
        return from == 0 && to == all ? x : sliced(l, node, x, axis, from, to, lane);
    }
    for (uint32_t z = 0; z < LANES; z++) {
        int64_t first = z ? cut : 0, end = z ? all : cut, a = from > first ? from : first, e = to < end ? to : end;
        if (a >= e) continue;
        lanes_ref x = l->half[v][z];
        part[count++] = a == first && e == end ? x : sliced(l, node, x, axis, a - first, e - first, z);
    }
    return count == LANES ? joined(l, node, part, axis, lane) : part[0];
}

/* A lane's rows of an input, where the result's are halved. */
static lanes_ref half(lanes *l, uint32_t node, uint32_t v, uint32_t axis, int64_t count, uint32_t lane)
{
    int64_t cut = wa__lanes_cut(count);
    return l->axis[v] != LANES_WHOLE ? l->half[v][lane] : rows(l, node, v, axis, lane ? cut : 0, lane ? count : cut, lane);
}

/* --- nodes in halves ------------------------------------------------------------------------------------------- */
/* Keys and values of both halves; the lane that has them cuts them out of what it made of all three. */
static void attend(lanes *l, uint32_t i)
{
    const wa_node *n = node_of(l, i);
    const wa_tensor_type *t = &l->g->values[n->inputs[0]].type;
    bool packed = n->op == WA_OP_QkvAttention;
    int64_t width = packed ? t->dims[2] / 3 : 0, count = rows_of(l, n->outputs[0], 1);
    uint32_t bias = packed ? 1 : 3, has_bias = bias < n->input_count && n->inputs[bias] != WA_NONE;
    lanes_ref q[LANES], kv[2][LANES];
    for (uint32_t z = 0; z < LANES; z++) {
        lanes_ref x = half(l, i, n->inputs[0], 1, count, z);
        q[z] = packed ? sliced(l, i, x, 2, 0, width, z) : x;
        for (int64_t k = 0; packed && k < 2; k++) kv[k][z] = sliced(l, i, x, 2, (k + 1) * width, (k + 2) * width, z);
    }
    for (uint32_t z = 0; z < LANES; z++) {
        lanes_ref in[4] = {q[z], nothing, nothing, nothing};
        for (uint32_t k = 0; k < 2; k++) in[1 + k] = packed ? joined(l, i, kv[k], 1, z) : whole(l, i, n->inputs[1 + k], z);
        if (has_bias) {
            uint32_t a = wa__lanes_input(l->g, n, &l->rule[i], bias);
            in[3] = a == LANES_WHOLE ? whole(l, i, n->inputs[bias], z) : half(l, i, n->inputs[bias], a, count, z);
        }
        l->half[n->outputs[0]][z] = add(l, i, WA_OP_Attention, LANES_COPY, in, 3 + has_bias, z);
    }
}

/* Input 0 of a Gather along the rows: places [first, end) of its constant, counted from `low`. */
static lanes_ref reached(lanes *l, uint32_t i, uint32_t lane, int64_t place[2], int64_t *low)
{
    const wa_node *n = node_of(l, i);
    const lanes_rule *r = &l->rule[i];
    int64_t count = rows_of(l, n->outputs[0], r->axis), cut = wa__lanes_cut(count);
    wa_view v = {l->g->values[n->inputs[1]].type, (void *)(uintptr_t)l->g->values[n->inputs[1]].data};
    place[0] = lane ? cut : 0, place[1] = lane ? count : cut;
    int64_t from = wa__get_i64(&v, place[0]), to = from + 1;
    for (int64_t k = place[0]; k < place[1]; k++) {
        int64_t at = wa__get_i64(&v, k);
        if (at < from) from = at;
        if (at >= to) to = at + 1;
    }
    *low = from;
    return rows(l, i, n->inputs[0], r->axis, from, to, lane);
}

/* One item: the node with its whole inputs (r NULL), or with a lane's rows. */
static lanes_ref copy(lanes *l, uint32_t i, const lanes_rule *r, uint32_t lane)
{
    const wa_node *n = node_of(l, i);
    lanes_ref *in = wa__alloc(n->input_count + 1u, sizeof *in), made = nothing;
    bool takes = r && r->how == LANES_TAKE;
    int64_t place[2] = {0}, low = 0;
    if (!in) l->status = wa__no_memory(l->err, "halves of a graph");
    for (uint32_t k = 0; in && k < n->input_count; k++) {
        uint32_t a = r && n->inputs[k] != WA_NONE ? wa__lanes_input(l->g, n, r, k) : LANES_WHOLE;
        if (n->inputs[k] == WA_NONE) in[k] = nothing;
        else if (takes && k == 0) in[k] = reached(l, i, lane, place, &low);
        else if (a == LANES_WHOLE) in[k] = whole(l, i, n->inputs[k], lane);
        else in[k] = half(l, i, n->inputs[k], a, rows_of(l, n->outputs[0], r->axis), lane);
    }
    if (in) made = with(l, add(l, i, n->op, takes ? LANES_PLACES : LANES_COPY, in, n->input_count, lane), 0, place[0], place[1]);
    wa__free(in);
    if (made.item == NO_ITEM) return made;
    wa__lanes_item(l, made.item)->out_count = n->output_count;
    wa__lanes_item(l, made.item)->low = low;
    return made;
}

/* Each lane sums its rows; a lane that wants the result adds both sums. */
static void sum(lanes *l, uint32_t i)
{
    const wa_node *n = node_of(l, i);
    uint32_t v = n->outputs[0];
    lanes_ref part[LANES];
    for (uint32_t z = 0; z < LANES; z++) {
        const lanes_ref in[2] = {l->half[n->inputs[0]][z], {NO_ITEM, n->inputs[1]}};
        part[z] = add(l, i, WA_OP_ReduceSum, LANES_PART, in, 2, z);
    }
    for (uint32_t z = 0; z < LANES; z++) {
        if (!(l->need[i] >> z & 1)) continue;
        l->whole[v][z] = add(l, i, WA_OP_Add, LANES_ADD, part, LANES, z);
        if (n->op == WA_OP_ReduceSum) continue;
        l->whole[v][z] = add(l, i, WA_OP_Mul, LANES_SCALE, &l->whole[v][z], 1, z);
        if (l->whole[v][z].item != NO_ITEM)
            wa__lanes_item(l, l->whole[v][z].item)->times = (double)wa__count(&l->g->values[v].type) / (double)wa__count(&l->g->values[n->inputs[0]].type);
    }
}

static void itemize(lanes *l)
{
    for (uint32_t i = 0; i < l->nodes && l->status == WA_OK; i++) {
        const wa_node *n = node_of(l, i);
        const lanes_rule *r = l->has_rule[i] ? &l->rule[i] : NULL;
        if (!l->need[i]) continue;
        if (r && (r->how == LANES_TOKENS || r->how == LANES_SUM)) {
            (r->how == LANES_TOKENS ? attend : sum)(l, i);
            continue;
        }
        for (uint32_t z = 0; z < LANES; z++) {
            if (!r && !(l->need[i] >> z & 1)) continue;
            lanes_ref m = copy(l, i, r, z);
            for (uint32_t k = 0; has(m) && k < (r ? 1 : n->output_count); k++)
                if (n->outputs[k] != WA_NONE) (r ? l->half : l->whole)[n->outputs[k]][z] = (lanes_ref){m.item, k};
        }
    }
}

static void finish(lanes *l)
{
    lanes_ref *out = wa__alloc(l->g->output_count + 1u, sizeof *out);
    if (!out) l->status = wa__no_memory(l->err, "halves of a graph");
    for (uint32_t i = 0; out && i < l->g->output_count; i++) out[i] = whole(l, maker(l, l->g->outputs[i]), l->g->outputs[i], 0);
    if (l->status == WA_OK) wa__lanes_make(l, out);
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
    l->has_rule = wa__alloc(g->node_count + 1u, sizeof *l->has_rule);
    l->shared = wa__alloc(g->node_count + 1u, sizeof *l->shared);
    if (l->status == WA_OK && !(l->axis && l->half && l->whole && l->need && l->rule && l->has_rule && l->shared)) l->status = wa__no_memory(l->err, "halves of a graph");
    if (l->status != WA_OK) return false;
    memset(l->axis, LANES_WHOLE, g->value_count + 1u);
    for (uint32_t v = 0; v < g->value_count; v++)
        for (uint32_t z = 0; z < LANES; z++) l->half[v][z] = l->whole[v][z] = nothing;
    return true;
}

static void done(lanes *l)
{
    for (size_t i = 0; i < l->items.count; i++) wa__free(wa__lanes_item(l, (int32_t)i)->more);
    wa__free(l->items.ptr);
    wa__free(l->axis);
    wa__free(l->half);
    wa__free(l->whole);
    wa__free(l->need);
    wa__free(l->rule);
    wa__free(l->has_rule);
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
            finish(&l);
            if (l.status == WA_OK) *out = l.g, *part = l.part;
        }
    }
    done(&l);
    if (*out) return WA_OK;
    wa__graph_free(l.g);
    wa__free(l.part);
    return l.status;
}
