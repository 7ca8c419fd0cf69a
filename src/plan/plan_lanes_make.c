/* Halves of a graph as a graph: items become nodes, part after part. In: items whose inputs are known. Out: l->g,
 * l->part. Called by plan_lanes.c. */
#include "plan/plan_lanes_int.h"

static uint32_t value_of(const lanes *l, lanes_ref r)
{
    if (r.item == NO_ITEM) return r.output;
    const lanes_item *m = wa__lanes_item(l, r.item);
    return r.output < m->out_count ? m->first_out + r.output : WA_NONE;
}

/* The places that a half takes, as a new constant. */
static uint32_t places_of(lanes *l, const lanes_item *m)
{
    const wa_value *v = &l->g->values[l->g->nodes[m->node].inputs[1]];
    wa_view view = {v->type, (void *)(uintptr_t)v->data};
    int64_t *places = wa__alloc((size_t)(m->to - m->from), sizeof *places);
    for (int64_t i = m->from; places && i < m->to; i++) places[i - m->from] = wa__get_i64(&view, i) - m->low;
    uint32_t made = places ? wa__graph_const_i64(l->g, places, (uint32_t)(m->to - m->from)) : WA_NONE;
    wa__free(places);
    return made;
}

/* Constants that the kind adds to the inputs or puts in place of one. */
static bool constants(lanes *l, const lanes_item *m, uint32_t *values, uint32_t *count)
{
    const int64_t numbers[3] = {m->from, m->to, m->axis};
    uint32_t first = *count;
    for (uint32_t i = 0; m->kind == LANES_SLICE && i < 3; i++) values[(*count)++] = wa__graph_const_i64(l->g, &numbers[i], 1);
    if (m->kind == LANES_SCALE) values[(*count)++] = wa__graph_const_f32(l->g, (float)m->times);
    if (m->kind == LANES_PLACES) values[1] = places_of(l, m);
    for (uint32_t i = first; i < *count; i++)
        if (values[i] == WA_NONE) return false;
    return m->kind != LANES_PLACES || values[1] != WA_NONE;
}

static bool attributes(lanes *l, const lanes_item *m, uint32_t made)
{
    const wa_node old = l->g->nodes[m->node];
    wa_node *n = &l->g->nodes[made];
    n->opset = m->kind <= LANES_PLACES ? old.opset : 18;
    if (m->kind <= LANES_PLACES) n->attrs = old.attrs, n->attr_count = old.attr_count;
    if (m->kind == LANES_JOIN) return wa__node_set_int(l->g, made, "axis", m->axis);
    return m->kind != LANES_PART || wa__node_set_int(l->g, made, "keepdims", wa__node_int(&old, "keepdims", 1));
}

static bool make(lanes *l, lanes_item *m)
{
    enum { MORE_INPUTS = 3 };
    const lanes_ref *in = m->more ? m->more : m->in;
    uint32_t *values = wa__alloc(m->in_count + MORE_INPUTS, sizeof *values), count = m->in_count;
    if (!values) return false;
    for (uint32_t i = 0; i < m->in_count; i++) values[i] = value_of(l, in[i]);
    bool ok = constants(l, m, values, &count);
    uint32_t made = ok ? wa__graph_node(l->g, m->op, l->g->nodes[m->node].name, values, count, m->out_count) : WA_NONE;
    wa__free(values);
    if (made == WA_NONE || !attributes(l, m, made)) return false;
    m->first_out = l->g->nodes[made].outputs[0];
    l->status = wa__graph_infer_node(l->g, made, l->err);
    return l->status == WA_OK;
}

/* The copy's outputs become the new nodes', under their names. */
static void outputs(lanes *l, const lanes_ref *out)
{
    for (uint32_t i = 0; i < l->g->output_count; i++) {
        uint32_t old = l->g->outputs[i], v = value_of(l, out[i]);
        if (v == old) continue;
        if (l->g->values[old].name.len) l->g->values[v].name = l->g->values[old].name;
        l->g->values[old].name = (wa_str){NULL, 0};
        l->g->outputs[i] = v;
    }
}

static uint32_t part_of(const lanes *l, const lanes_item *m) { return l->shared[m->node] ? 0 : 1 + LANES * m->stage + m->lane; }

void wa__lanes_make(lanes *l, const lanes_ref *out)
{
    uint32_t count = 0;
    l->part = wa__alloc(l->items.count + 1u, sizeof *l->part);
    if (!l->part) l->status = wa__no_memory(l->err, "halves of a graph");
    for (uint32_t part = 0; part <= LANES * l->stages && l->status == WA_OK; part++)
        for (uint32_t i = 0; i < l->items.count && l->status == WA_OK; i++) {
            lanes_item *m = wa__lanes_item(l, (int32_t)i);
            if (part_of(l, m) != part) continue;
            if (!make(l, m) && l->status == WA_OK) l->status = wa__no_memory(l->err, "halves of a graph");
            l->part[count++] = part;
        }
    if (l->status == WA_OK) outputs(l, out);
    for (uint32_t i = 0; i < l->nodes; i++) l->g->nodes[i].dead = true;
    if (l->status == WA_OK) l->status = wa__graph_compact(l->g, l->err);
    if (l->status == WA_OK) l->status = wa__graph_verify(l->g, l->err);
}
