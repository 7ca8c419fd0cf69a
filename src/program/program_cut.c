/* Cuts a bound graph into what runs now (plan, trims, control steps) and what is left (next stage).
 * In: a variant with its graph bound. Out: its lists filled, its plan made. Called by program_stage.c. */
#include "program/program_int.h"
#include "base/checked.h"
#include <stdio.h>

enum { LEFT = 0, NOW, BOUNDED, STEP }; /* what becomes of a node */

typedef struct cut {
    wa_program *p;
    program_stage *s;
    program_variant *v;
    wa_graph *g;
    uint8_t *fate;      /* per node */
    bool *wanted;       /* per value: comes to the host */
    uint32_t *twin;     /* per node: its bounded form */
    uint32_t nodes;     /* before bounded forms were added */
    wa_error *err;
} cut;

wa_op program_bounded(wa_op op)
{
    switch (op) {
    case WA_OP_NonZero: return WA_OP_NonZeroBounded;
    case WA_OP_Compress: return WA_OP_CompressBounded;
    case WA_OP_Unique: return WA_OP_UniqueBounded;
    case WA_OP_NonMaxSuppression: return WA_OP_NonMaxSuppressionBounded;
    default: return WA_OP_NONE;
    }
}

static bool typed(const wa_graph *g, uint32_t v) { return v == WA_NONE || g->values[v].type.rank != WA_RANK_UNKNOWN; }

static bool all_typed(const wa_graph *g, const uint32_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!typed(g, ids[i])) return false;
    return true;
}

static void decide(cut *c)
{
    for (uint32_t i = 0; i < c->nodes; i++) {
        const wa_node *n = &c->g->nodes[i];
        if (!all_typed(c->g, n->inputs, n->input_count)) continue;
        if (program_is_control(n->op)) c->fate[i] = STEP;
        else if (all_typed(c->g, n->outputs, n->output_count)) c->fate[i] = NOW;
        else if (program_bounded(n->op) != WA_OP_NONE) c->fate[i] = BOUNDED;
    }
}

/* The bounded form beside each data-dependent node. */
static wa_status add_twins(cut *c)
{
    for (uint32_t i = 0; i < c->nodes; i++) {
        if (c->fate[i] != BOUNDED) continue;
        wa_node n = c->g->nodes[i];
        wa_op op = program_bounded(n.op);
        uint32_t twin = wa__graph_node(c->g, op, n.name, n.inputs, n.input_count, (uint32_t)wa__op_info(op)->outputs);
        if (twin == WA_NONE) return wa__no_memory(c->err, "a stage");
        c->g->nodes[twin].attrs = n.attrs;
        c->g->nodes[twin].attr_count = n.attr_count;
        c->g->nodes[twin].opset = n.opset;
        c->twin[i] = twin;
        WA_TRY(wa__graph_infer_node(c->g, twin, c->err));
    }
    return WA_OK;
}

/* --- a part of a graph as a graph of its own ------------------------------------------------------- */

/* A copy of g with the nodes for which take() holds; their inputs made elsewhere become inputs.
 * inputs[k] is g's value of the new graph's input k. outs: values of g. */
static wa_status extract(const wa_graph *g, const bool *take, const uint32_t *outs, uint32_t out_count, wa_graph **out, uint32_t **inputs, wa_error *err)
{
    wa_graph *c = NULL;
    bool *used = wa__alloc(g->value_count + 1u, sizeof *used);
    uint32_t *list = wa__alloc(g->value_count + 1u, sizeof *list), count = 0;
    wa_status s = used && list ? wa__graph_clone(g, &c, err) : wa__no_memory(err, "a part of a graph");
    if (s == WA_OK) {
        for (uint32_t i = 0; i < c->node_count; i++) {
            c->nodes[i].dead = !take[i];
            for (uint32_t k = 0; take[i] && k < c->nodes[i].input_count; k++)
                if (c->nodes[i].inputs[k] != WA_NONE) used[c->nodes[i].inputs[k]] = true;
        }
        for (uint32_t i = 0; i < out_count; i++) used[outs[i]] = true;
        for (uint32_t i = 0; i < g->input_count; i++)
            if (used[g->inputs[i]]) list[count++] = g->inputs[i];
        for (uint32_t v = 0; v < c->value_count; v++) {
            wa_value *x = &c->values[v];
            if (!used[v] || x->kind != WA_VALUE_NODE || take[x->producer]) continue;
            x->kind = WA_VALUE_INPUT;
            x->producer = WA_NONE;
            list[count++] = v;
        }
        c->inputs = WA_ARENA_NEW(c->arena, uint32_t, count + 1u);
        c->outputs = WA_ARENA_NEW(c->arena, uint32_t, out_count + 1u);
        if (!c->inputs || !c->outputs) s = wa__no_memory(err, "a part of a graph");
    }
    if (s == WA_OK) {
        memcpy(c->inputs, list, count * sizeof *list);
        c->input_count = count;
        if (out_count) memcpy(c->outputs, outs, out_count * sizeof *outs);
        c->output_count = out_count;
        s = wa__graph_compact(c, err);
    }
    wa__free(used);
    if (s != WA_OK) {
        wa__free(list);
        wa__graph_free(c);
        return s;
    }
    *out = c;
    *inputs = list;
    return WA_OK;
}

/* --- slots ------------------------------------------------------------------------------------------- */

static uint32_t slot_new(cut *c, uint32_t value) { return c->v->slot[value] = c->v->slot_count++; }

/* The slot of a value that is there without computing: an input or a constant. */
static wa_status slot_of(cut *c, uint32_t value, uint32_t *out)
{
    if (c->v->slot[value] == WA_NONE) {
        if (c->g->values[value].kind != WA_VALUE_CONST) return wa__fail(c->err, WA_INTERNAL, "a stage lost value %u", value);
        c->v->constants[c->v->constant_count++] = value;
        slot_new(c, value);
    }
    *out = c->v->slot[value];
    return WA_OK;
}

static wa_status slots_begin(cut *c)
{
    program_variant *v = c->v;
    v->slot = wa__alloc(c->g->value_count + 1u, sizeof *v->slot);
    v->constants = wa__alloc(c->g->value_count + 1u, sizeof *v->constants);
    if (!v->slot || !v->constants) return wa__no_memory(c->err, "a stage");
    for (uint32_t i = 0; i < c->g->value_count; i++) v->slot[i] = WA_NONE;
    for (uint32_t i = 0; i < c->g->input_count; i++) v->slot[c->g->inputs[i]] = v->kept[i];
    v->slot_count = c->s->graph->input_count;
    return WA_OK;
}

/* --- the plan ------------------------------------------------------------------------------------------ */

static void want(cut *c, uint32_t value)
{
    const wa_value *v = value == WA_NONE ? NULL : &c->g->values[value];
    if (v && v->kind == WA_VALUE_NODE && (v->producer >= c->nodes || c->fate[v->producer] == NOW)) c->wanted[value] = true;
}

static void want_all(cut *c)
{
    for (uint32_t i = 0; i < c->g->output_count; i++) want(c, c->g->outputs[i]);
    for (uint32_t i = 0; i < c->nodes; i++) {
        const wa_node *n = &c->g->nodes[i];
        for (uint32_t k = 0; (c->fate[i] == STEP || c->fate[i] == LEFT) && k < n->input_count; k++) want(c, n->inputs[k]);
        for (uint32_t k = 0; c->fate[i] == BOUNDED && k < c->g->nodes[c->twin[i]].output_count; k++) want(c, c->g->nodes[c->twin[i]].outputs[k]);
    }
}

static void count_nodes(program_variant *v, wa_program *p)
{
    const wa_plan *plan = v->plan;
    p->bytes += wa__plan_bytes(plan, plan->info.target);
    for (uint32_t i = 0; i < plan->segment_count; i++) {
        const wa_plan_segment *s = &plan->segments[i];
        const char *why = wa__plan_text(plan, s->reason);
        if (s->target == plan->info.target || strcmp(why, "an output is a constant") == 0) {
            v->nodes_on_target += s->count;
            v->flops_on_target += s->flops;
            continue;
        }
        v->nodes_elsewhere += s->count;
        if (s->count && !p->stats.elsewhere[0]) snprintf(p->stats.elsewhere, sizeof p->stats.elsewhere, "%s", why);
    }
    v->flops = plan->info.flops;
}

static wa_status make_plan(cut *c)
{
    program_variant *v = c->v;
    wa_graph *part = NULL;
    uint32_t *outs = wa__alloc(c->g->value_count + 1u, sizeof *outs), count = 0, *from = NULL;
    bool *take = wa__alloc(c->g->node_count + 1u, sizeof *take);
    wa_status s = outs && take ? WA_OK : wa__no_memory(c->err, "a stage");
    for (uint32_t i = 0; s == WA_OK && i < c->g->value_count; i++)
        if (c->wanted[i]) outs[count++] = i;
    for (uint32_t i = 0; s == WA_OK && i < c->g->node_count; i++) take[i] = i >= c->nodes || c->fate[i] == NOW;
    if (s == WA_OK && count) {
        wa_opt_options oo = {.eval = wa__kernel_eval};
        s = extract(c->g, take, outs, count, &part, &from, c->err);
        v->plan_inputs = part ? part->input_count : 0;
        if (s == WA_OK) s = wa__opt_run(part, &oo, c->err);
        if (s == WA_OK) s = wa__plan_build(part, &c->p->o.plan, &v->plan, c->err);
    }
    if (s == WA_OK && count) {
        for (uint32_t i = 0; i < v->plan_inputs; i++) from[i] = v->slot[from[i]];
        v->plan_from = from;
        from = NULL;
        v->plan_to = outs;
        v->plan_outputs = count;
        for (uint32_t i = 0; i < count; i++) outs[i] = slot_new(c, outs[i]);
        outs = NULL;
        count_nodes(v, c->p);
    }
    wa__graph_free(part);
    wa__free(from);
    wa__free(outs);
    wa__free(take);
    return s;
}

/* --- trims and steps -------------------------------------------------------------------------------------- */

static wa_status make_trim(cut *c, uint32_t node)
{
    const wa_node *n = &c->g->nodes[node], *twin = &c->g->nodes[c->twin[node]];
    program_trim *t = &c->v->trims[c->v->trim_count++];
    *t = (program_trim){.node = node, .count = n->output_count};
    if (n->output_count > 4 || n->output_count >= twin->output_count) return wa__fail(c->err, WA_CORRUPT, "%s has %u outputs", wa__op_info(n->op)->name, n->output_count);
    t->found = c->v->slot[twin->outputs[twin->output_count - 1]];
    for (uint32_t k = 0; k < n->output_count; k++) {
        t->from[k] = c->v->slot[twin->outputs[k]];
        t->to[k] = slot_new(c, n->outputs[k]);
    }
    return WA_OK;
}

static wa_status child_stage(cut *c, const wa_node *n, const char *name, program_stage **out)
{
    const wa_subgraph *sub = wa__node_subgraph(n, name);
    wa_graph *copy;
    if (!sub) return wa__fail(c->err, WA_CORRUPT, "%s node \"%.*s\" has no %s", wa__op_info(n->op)->name, WA_STR_ARG(n->name), name);
    WA_TRY(wa__graph_clone(sub->graph, &copy, c->err));
    return program_stage_new(c->p, copy, out, c->err);
}

static wa_status make_step(cut *c, uint32_t node)
{
    const wa_node *n = &c->g->nodes[node];
    program_step *s = &c->v->steps[c->v->step_count++];
    s->node = node;
    s->from = wa__alloc(n->input_count + 1u, sizeof *s->from);
    s->to = wa__alloc(n->output_count + 1u, sizeof *s->to);
    if (!s->from || !s->to) return wa__no_memory(c->err, "a stage");
    for (uint32_t k = 0; k < n->input_count; k++) {
        s->from[k] = WA_NONE;
        if (n->inputs[k] != WA_NONE) WA_TRY(slot_of(c, n->inputs[k], &s->from[k]));
    }
    for (uint32_t k = 0; k < n->output_count; k++) s->to[k] = slot_new(c, n->outputs[k]);
    if (n->op != WA_OP_If) return child_stage(c, n, "body", &s->child[0]);
    WA_TRY(child_stage(c, n, "then_branch", &s->child[0]));
    return child_stage(c, n, "else_branch", &s->child[1]);
}

static wa_status make_host_parts(cut *c)
{
    uint32_t trims = 0, steps = 0;
    for (uint32_t i = 0; i < c->nodes; i++) trims += c->fate[i] == BOUNDED, steps += c->fate[i] == STEP;
    c->v->trims = wa__alloc(trims + 1u, sizeof *c->v->trims);
    c->v->steps = wa__alloc(steps + 1u, sizeof *c->v->steps);
    if (!c->v->trims || !c->v->steps) return wa__no_memory(c->err, "a stage");
    for (uint32_t i = 0; i < c->nodes; i++) {
        if (c->fate[i] == BOUNDED) WA_TRY(make_trim(c, i));
        if (c->fate[i] == STEP) WA_TRY(make_step(c, i));
    }
    return WA_OK;
}

/* --- what is left ------------------------------------------------------------------------------------------ */

/* Nothing can run: the first node that is left says why. */
static wa_status stuck(cut *c, uint32_t node)
{
    wa_status s = wa__graph_infer_node(c->g, node, c->err);
    return s == WA_OK ? wa__fail(c->err, WA_INTERNAL, "node %u of a stage has shapes yet does not run", node) : s;
}

static wa_status make_next(cut *c)
{
    program_variant *v = c->v;
    wa_graph *rest = NULL;
    uint32_t *outs = wa__alloc(c->g->output_count + 1u, sizeof *outs), count = 0, left = 0, first = WA_NONE, done = 0;
    bool *take = wa__alloc(c->g->node_count + 1u, sizeof *take);
    v->outputs = wa__alloc(c->g->output_count + 1u, sizeof *v->outputs);
    wa_status s = outs && take && v->outputs ? WA_OK : wa__no_memory(c->err, "a stage");
    for (uint32_t i = 0; s == WA_OK && i < c->nodes; i++) {
        take[i] = c->fate[i] == LEFT;
        left += take[i];
        done += c->fate[i] != LEFT;
        if (take[i] && first == WA_NONE) first = i;
    }
    for (uint32_t i = 0; s == WA_OK && i < c->g->output_count; i++) {
        const wa_value *x = &c->g->values[c->g->outputs[i]];
        v->outputs[i] = WA_NONE;
        if (x->kind == WA_VALUE_NODE && x->producer < c->nodes && c->fate[x->producer] == LEFT) outs[count++] = c->g->outputs[i];
        else s = slot_of(c, c->g->outputs[i], &v->outputs[i]);
    }
    if (s == WA_OK && count) {
        s = done ? extract(c->g, take, outs, count, &rest, &v->next_from, c->err) : stuck(c, first);
        for (uint32_t i = 0; s == WA_OK && i < rest->input_count; i++) s = slot_of(c, v->next_from[i], &v->next_from[i]);
        if (s == WA_OK) s = program_stage_new(c->p, rest, &v->next, c->err);
        else wa__graph_free(rest);
    }
    wa__free(outs);
    wa__free(take);
    return s;
}

static wa_status cut_all(cut *c)
{
    decide(c);
    WA_TRY(add_twins(c));
    c->wanted = wa__alloc(c->g->value_count + 1u, sizeof *c->wanted);
    if (!c->wanted) return wa__no_memory(c->err, "a stage");
    WA_TRY(slots_begin(c));
    want_all(c);
    WA_TRY(make_plan(c));
    WA_TRY(make_host_parts(c));
    return make_next(c);
}

wa_status program_cut(wa_program *p, program_stage *s, program_variant *v, wa_error *err)
{
    wa_opt_options oo = {.eval = wa__kernel_eval};
    WA_TRY(wa__opt_resolve(v->graph, &oo, err));
    cut c = {.p = p, .s = s, .v = v, .g = v->graph, .nodes = v->graph->node_count, .err = err};
    c.fate = wa__alloc(c.nodes + 1u, sizeof *c.fate);
    c.twin = wa__alloc(c.nodes + 1u, sizeof *c.twin);
    wa_status st = c.fate && c.twin ? cut_all(&c) : wa__no_memory(err, "a stage");
    wa__free(c.fate);
    wa__free(c.twin);
    wa__free(c.wanted);
    return st;
}
