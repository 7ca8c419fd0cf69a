/* Stages and their variants: made, found again by key, freed. In: an open graph and host tensors.
 * Out: a variant with its plan loaded. Called by program_run.c. */
#include "program/program_int.h"
#include "base/checked.h"

enum { VARIANTS_MAX = 32 }; /* of one stage; the one used longest ago goes */
#define BOUND_ELEMENTS_MAX 64 /* a longer list is data, not a shape */

static bool may_bind(wa_dtype d) { return d != WA_DTYPE_NONE && wa__dtype_size(d) > 0; }

/* Marks inputs that stand where a plan needs a value. */
static void bind_direct(const wa_graph *g, bool *needed)
{
    for (uint32_t i = 0; i < g->node_count; i++) {
        const wa_node *n = &g->nodes[i];
        uint32_t mask = wa__op_info(n->op)->shape_inputs;
        for (uint32_t k = 0; k < n->input_count && k < 32; k++)
            if ((mask >> k & 1) && n->inputs[k] != WA_NONE) needed[n->inputs[k]] = true;
    }
}

/* And those that reach such a place through foldable operators. Nodes are in topological order. */
static void bind_through(const wa_graph *g, bool *needed)
{
    for (uint32_t i = g->node_count; i-- > 0;) {
        const wa_node *n = &g->nodes[i];
        bool wanted = false;
        for (uint32_t k = 0; k < n->output_count; k++) wanted = wanted || needed[n->outputs[k]];
        if (!wanted || !wa__op_info(n->op)->foldable || n->op == WA_OP_Shape || n->op == WA_OP_Size) continue;
        for (uint32_t k = 0; k < n->input_count; k++)
            if (n->inputs[k] != WA_NONE) needed[n->inputs[k]] = true;
    }
}

wa_status program_stage_new(wa_program *p, wa_graph *g, program_stage **out, wa_error *err)
{
    program_stage *s = wa__alloc(1, sizeof *s);
    bool *direct = wa__alloc(g->value_count + 1u, sizeof *direct), *through = wa__alloc(g->value_count + 1u, sizeof *through);
    if (s) s->bound = wa__alloc(g->input_count + 1u, sizeof *s->bound);
    wa_status st = s && direct && through && s->bound ? wa__graph_compact(g, err) : wa__no_memory(err, "a stage");
    if (st == WA_OK) {
        bind_direct(g, direct);
        memcpy(through, direct, g->value_count * sizeof *direct);
        if (p->o.bind_values) bind_through(g, through);
        for (uint32_t i = 0; i < g->input_count; i++) s->bound[i] = direct[g->inputs[i]] || through[g->inputs[i]];
    }
    wa__free(direct);
    wa__free(through);
    if (st != WA_OK) {
        if (s) wa__free(s->bound);
        wa__free(s);
        wa__graph_free(g);
        return st;
    }
    s->graph = g;
    *out = s;
    return WA_OK;
}

static void variant_free(wa_program *p, program_variant *v)
{
    if (!v) return;
    if (v->loaded) (void)p->o.runner->ops->unload(p->o.runner, v->handle, NULL);
    if (v->plan) p->bytes -= wa__plan_bytes(v->plan, v->plan->info.target);
    wa__plan_free(v->plan);
    for (uint32_t i = 0; i < v->step_count; i++) {
        wa__free(v->steps[i].from);
        wa__free(v->steps[i].to);
        program_stage_free(p, v->steps[i].child[0]);
        program_stage_free(p, v->steps[i].child[1]);
    }
    program_stage_free(p, v->next);
    wa__graph_free(v->graph);
    wa__free(v->key);
    wa__free(v->kept);
    wa__free(v->plan_from);
    wa__free(v->plan_to);
    wa__free(v->slot);
    wa__free(v->constants);
    wa__free(v->trims);
    wa__free(v->steps);
    wa__free(v->next_from);
    wa__free(v->outputs);
    wa__free(v);
}

void program_stage_free(wa_program *p, program_stage *s)
{
    if (!s) return;
    for (program_variant *v = s->variants, *older; v; v = older) {
        older = v->older;
        variant_free(p, v);
    }
    wa__graph_free(s->graph);
    wa__free(s->bound);
    wa__free(s);
}

/* Whether input i of these types is bound by value. */
static bool binds(const program_stage *s, uint32_t i, const wa_view *in)
{
    int64_t count;
    if (!s->bound[i] || !may_bind(in->type.dtype) || !wa__type_count(&in->type, &count)) return false;
    return count <= BOUND_ELEMENTS_MAX;
}

static wa_status make_key(const program_stage *s, const wa_view *inputs, wa_buf *key, wa_error *err)
{
    for (uint32_t i = 0; i < s->graph->input_count; i++) {
        wa_tensor_type t = {inputs[i].type.dtype, inputs[i].type.rank, {0}};
        memcpy(t.dims, inputs[i].type.dims, t.rank * sizeof *t.dims);
        WA_TRY(wa__buf_append(key, &t, sizeof t, err));
        if (binds(s, i, &inputs[i])) WA_TRY(wa__buf_append(key, inputs[i].data, (size_t)wa__bytes(&inputs[i].type), err));
    }
    return WA_OK;
}

/* Input types from the tensors; bound ones become constants and leave
 * the graph's list. */
static wa_status bind_graph(const program_stage *s, const wa_view *inputs, program_variant *variant, wa_error *err)
{
    uint32_t kept = 0;
    wa_graph *g = variant->graph;
    variant->kept = wa__alloc(g->input_count + 1u, sizeof *variant->kept);
    if (!variant->kept) return wa__no_memory(err, "a stage");
    for (uint32_t i = 0; i < g->input_count; i++) {
        wa_value *v = &g->values[g->inputs[i]];
        v->type = inputs[i].type;
        if (binds(s, i, &inputs[i])) {
            if (!wa__graph_make_const(g, g->inputs[i], &inputs[i].type, inputs[i].data)) return wa__no_memory(err, "an input bound by value");
            continue;
        }
        variant->kept[kept] = i;
        g->inputs[kept++] = g->inputs[i];
    }
    g->input_count = kept;
    return wa__graph_bind(g, NULL, 0, err);
}

/* Takes the key. */
static wa_status variant_new(wa_program *p, program_stage *s, const wa_view *inputs, wa_buf *key, program_variant **out, wa_error *err)
{
    program_variant *v = wa__alloc(1, sizeof *v);
    if (!v) return wa__no_memory(err, "a stage");
    v->key = wa__alloc(1, key->len + 1);
    if (!v->key) {
        variant_free(p, v);
        return wa__no_memory(err, "a stage");
    }
    if (key->len) memcpy(v->key, key->ptr, key->len); /* a stage without inputs has an empty key */
    v->key_bytes = key->len;
    wa_status st = wa__graph_clone(s->graph, &v->graph, err);
    if (st == WA_OK) st = bind_graph(s, inputs, v, err);
    if (st == WA_OK) st = program_cut(p, s, v, err);
    if (st == WA_OK && v->plan) {
        st = p->o.runner->ops->load(p->o.runner, v->plan, p->o.sources, p->o.source_count, p->control, &v->handle, err);
        v->loaded = st == WA_OK;
    }
    if (st != WA_OK) {
        variant_free(p, v);
        return st;
    }
    *out = v;
    return WA_OK;
}

static void forget_oldest(wa_program *p, program_stage *s)
{
    program_variant **at = &s->variants;
    while ((*at)->older) at = &(*at)->older;
    variant_free(p, *at);
    *at = NULL;
    s->variant_count--;
}

wa_status program_variant_of(wa_program *p, program_stage *s, const wa_view *inputs, program_variant **out, wa_error *err)
{
    wa_buf key;
    wa__buf_init(&key, 1 << 24);
    wa_status st = make_key(s, inputs, &key, err);
    for (program_variant **at = &s->variants; st == WA_OK && *at; at = &(*at)->older) {
        program_variant *v = *at;
        if (v->key_bytes != key.len || (key.len && memcmp(v->key, key.ptr, key.len) != 0)) continue;
        *at = v->older; /* to the front */
        v->older = s->variants;
        s->variants = v;
        *out = v;
        wa__buf_done(&key);
        return WA_OK;
    }
    if (st == WA_OK) {
        if (s->variant_count == VARIANTS_MAX) forget_oldest(p, s);
        st = variant_new(p, s, inputs, &key, out, err);
    }
    if (st == WA_OK) {
        (*out)->older = s->variants;
        s->variants = *out;
        s->variant_count++;
        p->stats.planned++;
    }
    wa__buf_done(&key);
    return st;
}
