/* Changing graphs: replace, count uses, compact, bind symbols, clone.
 * In: a graph that importers or passes made. Out: the same graph changed, or a copy. Called by opt, api, tests. */
#include "graph/graph_int.h"

void wa__graph_replace(wa_graph *g, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < g->node_count; i++) {
        const wa_node *n = &g->nodes[i];
        for (uint32_t k = 0; !n->dead && k < n->input_count; k++)
            if (n->inputs[k] == from) n->inputs[k] = to;
    }
    for (uint32_t i = 0; i < g->output_count; i++)
        if (g->outputs[i] == from) g->outputs[i] = to;
}

uint32_t wa__graph_uses(const wa_graph *g, uint32_t value)
{
    uint32_t uses = 0;
    for (uint32_t i = 0; i < g->node_count; i++) {
        const wa_node *n = &g->nodes[i];
        for (uint32_t k = 0; !n->dead && k < n->input_count; k++) uses += n->inputs[k] == value;
    }
    for (uint32_t i = 0; i < g->output_count; i++) uses += g->outputs[i] == value;
    return uses;
}

/* --- compact -------------------------------------------------------------------------------------- */

typedef struct compaction {
    uint32_t *order; /* new position -> old node */
    uint32_t *place; /* old node -> new position, WA_NONE while not placed */
    uint32_t *value; /* old value -> new value */
    uint32_t *stack, *next; /* depth-first walk: nodes being visited, next input of each node */
    uint32_t count;
} compaction;

static void compaction_done(compaction *c)
{
    wa__free(c->order);
    wa__free(c->place);
    wa__free(c->value);
    wa__free(c->stack);
    wa__free(c->next);
}

static bool compaction_init(compaction *c, const wa_graph *g)
{
    *c = (compaction){0};
    c->order = wa__alloc(g->node_count, sizeof *c->order);
    c->place = wa__alloc(g->node_count, sizeof *c->place);
    c->value = wa__alloc(g->value_count, sizeof *c->value);
    c->stack = wa__alloc(g->node_count, sizeof *c->stack);
    c->next = wa__alloc(g->node_count, sizeof *c->next);
    if (!c->order || !c->place || !c->value || !c->stack || !c->next) return false;
    memset(c->place, 0xff, g->node_count * sizeof *c->place);
    memset(c->value, 0xff, g->value_count * sizeof *c->value);
    return true;
}

/* Places `root` after all that it needs. A node in `next` with count > 0 and no place is on the stack. */
static wa_status place_node(const wa_graph *g, compaction *c, uint32_t root, wa_error *err)
{
    uint32_t depth = 0;
    char text[256];
    if (g->nodes[root].dead || c->place[root] != WA_NONE) return WA_OK;
    c->stack[depth++] = root;
    while (depth) {
        uint32_t at = c->stack[depth - 1];
        const wa_node *n = &g->nodes[at];
        if (c->next[at] == n->input_count) {
            c->place[at] = c->count;
            c->order[c->count++] = at;
            depth--;
            continue;
        }
        uint32_t v = n->inputs[c->next[at]++];
        if (v == WA_NONE) continue;
        if (v >= g->value_count)
            return wa__fail(err, WA_VERIFY, "%s: input %u names no value", wa__node_text(g, at, text, sizeof text), c->next[at] - 1);
        uint32_t p = g->values[v].kind == WA_VALUE_NODE ? g->values[v].producer : WA_NONE;
        if (p == WA_NONE || c->place[p] != WA_NONE) continue;
        if (g->nodes[p].dead)
            return wa__fail(err, WA_VERIFY, "%s: input %u is made by a removed node", wa__node_text(g, at, text, sizeof text), c->next[at] - 1);
        if (c->next[p] || p == at)
            return wa__fail(err, WA_VERIFY, "%s lies on a cycle: a graph must have none", wa__node_text(g, p, text, sizeof text));
        c->stack[depth++] = p;
    }
    return WA_OK;
}

static void keep_value(compaction *c, uint32_t v)
{
    if (v != WA_NONE) c->value[v] = 0;
}

/* Moves the kept values to the front and gives every reference its new number. */
static void renumber(wa_graph *g, compaction *c)
{
    uint32_t n = 0;
    for (uint32_t v = 0; v < g->value_count; v++) {
        if (c->value[v] == WA_NONE) continue;
        wa_value *x = &g->values[v];
        if (x->producer != WA_NONE) x->producer = c->place[x->producer];
        c->value[v] = n;
        g->values[n++] = *x;
    }
    g->value_count = n;
    for (uint32_t i = 0; i < g->node_count; i++) {
        wa_node *d = &g->nodes[i];
        for (uint32_t k = 0; k < d->input_count; k++)
            if (d->inputs[k] != WA_NONE) d->inputs[k] = c->value[d->inputs[k]];
        for (uint32_t k = 0; k < d->output_count; k++) d->outputs[k] = c->value[d->outputs[k]];
    }
    for (uint32_t i = 0; i < g->input_count; i++) g->inputs[i] = c->value[g->inputs[i]];
    for (uint32_t i = 0; i < g->output_count; i++) g->outputs[i] = c->value[g->outputs[i]];
}

wa_status wa__graph_compact(wa_graph *g, wa_error *err)
{
    compaction c;
    wa_node *nodes = NULL;
    wa_status s = WA_OK;
    if (!compaction_init(&c, g)) {
        s = wa__no_memory(err, "compacting a graph");
        goto done;
    }
    for (uint32_t i = 0; i < g->node_count && s == WA_OK; i++) s = place_node(g, &c, i, err);
    if (s != WA_OK) goto done;
    nodes = wa__alloc(c.count, sizeof *nodes);
    if (!nodes) {
        s = wa__no_memory(err, "compacting a graph");
        goto done;
    }
    for (uint32_t i = 0; i < c.count; i++) {
        const wa_node *n = &g->nodes[c.order[i]];
        nodes[i] = *n;
        for (uint32_t k = 0; k < n->input_count; k++) keep_value(&c, n->inputs[k]);
        for (uint32_t k = 0; k < n->output_count; k++) keep_value(&c, n->outputs[k]);
    }
    for (uint32_t i = 0; i < g->input_count; i++) keep_value(&c, g->inputs[i]);
    for (uint32_t i = 0; i < g->output_count; i++) keep_value(&c, g->outputs[i]);
    if (c.count) memcpy(g->nodes, nodes, c.count * sizeof *nodes);
    g->node_count = c.count;
    /* a value that an output names although its node is dead keeps no producer: the verifier says so */
    for (uint32_t v = 0; v < g->value_count; v++)
        if (g->values[v].producer != WA_NONE && c.place[g->values[v].producer] == WA_NONE) g->values[v].producer = WA_NONE;
    renumber(g, &c);
done:
    wa__free(nodes);
    compaction_done(&c);
    return s;
}

/* --- bind ------------------------------------------------------------------------------------------ */

static bool binding_of(const wa_graph *g, int64_t dim, const wa_binding_dim *dims, uint32_t count, int64_t *out)
{
    int64_t symbol = -1 - dim;
    for (uint32_t i = 0; symbol < g->symbol_count && i < count; i++)
        if (wa__str_eq(g->symbols[symbol], dims[i].symbol)) {
            *out = dims[i].value;
            return true;
        }
    return false;
}

/* Symbols of the inputs that no binding names, each once, into err. */
static wa_status name_unbound(const wa_graph *g, const wa_binding_dim *dims, uint32_t count, wa_error *err)
{
    wa_status s = WA_OK;
    int64_t value;
    for (uint32_t k = 0; k < g->symbol_count; k++) {
        int64_t dim = -1 - (int64_t)k;
        bool used = false;
        for (uint32_t i = 0; i < g->input_count; i++) {
            const wa_tensor_type *t = &g->values[g->inputs[i]].type;
            for (uint32_t d = 0; t->rank <= WA_RANK_MAX && d < t->rank; d++) used = used || t->dims[d] == dim;
        }
        if (!used || binding_of(g, dim, dims, count, &value)) continue;
        if (s == WA_OK) s = wa__fail(err, WA_INVALID_ARGUMENT, "no size was given for the model's open dimensions:");
        wa__error_append(err, " %.*s", WA_STR_ARG(g->symbols[k]));
    }
    return s;
}

wa_status wa__graph_set_input_type(wa_graph *g, uint32_t input, const wa_tensor_type *type, wa_error *err)
{
    int64_t count;
    if (input >= g->input_count) return wa__fail(err, WA_INVALID_ARGUMENT, "the model has no input %u", input);
    wa_value *v = &g->values[g->inputs[input]];
    bool open = v->type.rank == WA_RANK_UNKNOWN, fits = open || v->type.rank == type->rank;
    for (uint32_t d = 0; !open && fits && d < type->rank; d++) fits = v->type.dims[d] < 0 || v->type.dims[d] == type->dims[d];
    if ((v->type.dtype && v->type.dtype != type->dtype) || !fits || !wa__type_count(type, &count)) {
        char text[256];
        wa__type_text(type, text, sizeof text);
        return wa__fail(err, WA_INVALID_ARGUMENT, "input %.*s: %s does not fit the model's own type", WA_STR_ARG(v->name), text);
    }
    v->type = *type;
    return WA_OK;
}

/* Sizes of all values, and of those of the graphs inside. */
static void bind_values(wa_graph *g, const wa_binding_dim *dims, uint32_t count)
{
    for (uint32_t v = 0; v < g->value_count; v++) {
        wa_tensor_type *t = &g->values[v].type;
        bool open = false;
        for (uint32_t d = 0; t->rank <= WA_RANK_MAX && d < t->rank; d++)
            if (t->dims[d] < 0 && !binding_of(g, t->dims[d], dims, count, &t->dims[d])) open = true;
        if (open) t->rank = WA_RANK_UNKNOWN; /* an output's own name for a size: inferred later */
    }
    for (uint32_t i = 0; i < g->child_count; i++) bind_values(g->children[i], dims, count);
}

wa_status wa__graph_bind(wa_graph *g, const wa_binding_dim *dims, uint32_t count, wa_error *err)
{
    for (uint32_t i = 0; i < count; i++)
        if (dims[i].value < 0 || dims[i].value > WA_LIMIT_ELEMENTS)
            return wa__fail(err, WA_INVALID_ARGUMENT, "dimension %.*s: %lld is out of range", WA_STR_ARG(dims[i].symbol), (long long)dims[i].value);
    WA_TRY(name_unbound(g, dims, count, err));
    for (uint32_t i = 0; i < g->input_count; i++) {
        const wa_value *v = &g->values[g->inputs[i]];
        if (v->type.rank > WA_RANK_MAX || !v->type.dtype)
            return wa__fail(err, WA_INVALID_ARGUMENT, "input %.*s: the model gives it no shape, so each run must", WA_STR_ARG(v->name));
    }
    bind_values(g, dims, count);
    return WA_OK;
}

/* --- clone ----------------------------------------------------------------------------------------- */

bool wa__graph_clone_attr(wa_graph *g, const wa_attr *in, wa_attr *out)
{
    *out = *in;
    if (!wa__graph_copy_str(g, in->name, &out->name)) return false;
    if (in->kind == WA_ATTR_KIND_INTS) {
        int64_t *p = WA_ARENA_NEW(g->arena, int64_t, in->count);
        if (!p) return false;
        if (in->count) memcpy(p, in->ints, in->count * sizeof *p);
        out->ints = p;
    }
    if (in->kind == WA_ATTR_KIND_FLOATS) {
        float *p = WA_ARENA_NEW(g->arena, float, in->count);
        if (!p) return false;
        if (in->count) memcpy(p, in->floats, in->count * sizeof *p);
        out->floats = p;
    }
    if (in->kind == WA_ATTR_KIND_STRING) {
        out->s.ptr = wa__arena_strndup(g->arena, in->s.ptr, in->s.len);
        if (!out->s.ptr) return false;
    }
    return true;
}

static uint32_t *clone_ids(wa_graph *g, const uint32_t *ids, uint32_t count)
{
    /* room up to the next power of two, which wa__graph_push counts on */
    size_t cap = 1;
    while (cap < count) cap *= 2;
    uint32_t *p = WA_ARENA_NEW(g->arena, uint32_t, cap);
    if (p && count) memcpy(p, ids, count * sizeof *ids);
    return p;
}

static bool clone_node(wa_graph *g, const wa_node *in, wa_node *out)
{
    size_t cap = 1;
    while (cap < in->attr_count) cap *= 2;
    *out = *in;
    out->inputs = clone_ids(g, in->inputs, in->input_count);
    out->outputs = clone_ids(g, in->outputs, in->output_count);
    out->attrs = WA_ARENA_NEW(g->arena, wa_attr, cap);
    if (!out->inputs || !out->outputs || !out->attrs || !wa__graph_copy_str(g, in->name, &out->name)) return false;
    for (uint32_t i = 0; i < in->attr_count; i++)
        if (!wa__graph_clone_attr(g, &in->attrs[i], &out->attrs[i])) return false;
    return true;
}

bool wa__graph_clone_children(wa_graph *g, uint32_t node, const wa_node *in)
{
    g->nodes[node].subgraphs = NULL;
    g->nodes[node].subgraph_count = 0;
    for (uint32_t i = 0; i < in->subgraph_count; i++) {
        const wa_subgraph *s = &in->subgraphs[i];
        wa_graph *child;
        if (wa__graph_clone(s->graph, &child, NULL) != WA_OK) return false;
        if (wa__graph_subgraph(g, node, s->name, child, s->capture_first, s->capture_count)) continue;
        wa__graph_free(child);
        return false;
    }
    return true;
}

static bool clone_value(wa_graph *g, const wa_value *in, wa_value *out)
{
    *out = *in;
    if (!wa__graph_copy_str(g, in->name, &out->name)) return false;
    if (in->kind != WA_VALUE_CONST || in->source >= 0) return true;
    uint64_t bytes;
    uint8_t *p = wa__type_bytes(&in->type, &bytes) && bytes <= SIZE_MAX ? wa__arena_alloc(g->arena, 1, (size_t)bytes) : NULL;
    if (!p) return false;
    if (bytes) memcpy(p, in->data, (size_t)bytes);
    out->data = p;
    return true;
}

static bool clone_into(const wa_graph *g, wa_graph *c)
{
    c->values = wa__alloc(g->value_count, sizeof *c->values);
    c->nodes = wa__alloc(g->node_count, sizeof *c->nodes);
    c->inputs = clone_ids(c, g->inputs, g->input_count);
    c->outputs = clone_ids(c, g->outputs, g->output_count);
    if (!c->values || !c->nodes || !c->inputs || !c->outputs) return false;
    c->input_count = g->input_count;
    c->output_count = g->output_count;
    c->value_cap = g->value_count;
    c->node_cap = g->node_count;
    if (!wa__graph_copy_str(c, g->name, &c->name) || !wa__graph_copy_str(c, g->model_type, &c->model_type)) return false;
    for (uint32_t i = 0; i < g->symbol_count; i++)
        if (wa__graph_symbol(c, g->symbols[i]) != i) return false;
    for (uint32_t i = 0; i < g->source_count; i++)
        if (wa__graph_source(c, g->sources[i].name, g->sources[i].data, g->sources[i].size) != i) return false;
    for (uint32_t i = 0; i < g->value_count; i++, c->value_count++)
        if (!clone_value(c, &g->values[i], &c->values[i])) return false;
    for (uint32_t i = 0; i < g->node_count; i++, c->node_count++)
        if (!clone_node(c, &g->nodes[i], &c->nodes[i]) || !wa__graph_clone_children(c, i, &g->nodes[i])) return false;
    return true;
}

wa_status wa__graph_clone(const wa_graph *g, wa_graph **out, wa_error *err)
{
    wa_graph *c;
    WA_TRY(wa__graph_create(&c, err));
    if (!clone_into(g, c)) {
        wa__graph_free(c);
        return wa__no_memory(err, "a copy of a graph");
    }
    *out = c;
    return WA_OK;
}
