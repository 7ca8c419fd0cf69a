/* Building graphs: values, constants, nodes, attributes.
 * In: what importers and passes say. Out: a wa_graph. Called by import, opt and tests. */
#include "graph/graph_int.h"
#include "base/checked.h"
#include <stdio.h>

wa_status wa__graph_create(wa_graph **out, wa_error *err)
{
    wa_graph *g = wa__alloc(1, sizeof *g);
    wa_arena *a = wa__alloc(1, sizeof *a);
    if (!g || !a) {
        wa__free(g);
        wa__free(a);
        return wa__no_memory(err, "a graph");
    }
    wa__arena_init(a, WA_LIMIT_COMPILE_ARENA_BYTES);
    g->arena = a;
    *out = g;
    return WA_OK;
}

void wa__graph_free(wa_graph *g)
{
    if (!g) return;
    for (uint32_t i = 0; i < g->child_count; i++) wa__graph_free(g->children[i]);
    wa__arena_done(g->arena);
    wa__free(g->arena);
    wa__free(g->values);
    wa__free(g->nodes);
    wa__free(g);
}

bool wa__graph_push(wa_graph *g, void *array_ptr, uint32_t *count, const void *element, size_t element_bytes, uint32_t max)
{
    void *array;
    uint32_t n = *count;
    memcpy(&array, array_ptr, sizeof array);
    if (n >= max) return false;
    if ((n & (n - 1)) == 0) {
        void *grown = wa__arena_alloc(g->arena, n ? (size_t)n * 2 : 1, element_bytes);
        if (!grown) return false;
        if (n) memcpy(grown, array, n * element_bytes);
        array = grown;
        memcpy(array_ptr, &array, sizeof array);
    }
    memcpy((char *)array + n * element_bytes, element, element_bytes);
    *count = n + 1;
    return true;
}

bool wa__graph_copy_str(wa_graph *g, wa_str s, wa_str *out)
{
    if (s.len == 0) {
        *out = (wa_str){NULL, 0};
        return true;
    }
    if (s.len > WA_LIMIT_NAME_BYTES) return false;
    char *p = wa__arena_strndup(g->arena, s.ptr, s.len);
    if (!p) return false;
    *out = (wa_str){p, s.len};
    return true;
}

const char *wa__node_text(const wa_graph *g, uint32_t node, char *out, size_t n)
{
    const wa_node *d = &g->nodes[node];
    const char *op = wa__op_info(d->op)->name;
    snprintf(out, n, d->name.len ? "%s node %u (%.*s)" : "%s node %u%.*s", op ? op : "unknown", node, WA_STR_ARG(d->name));
    return out;
}

uint32_t wa__graph_symbol(wa_graph *g, wa_str name)
{
    for (uint32_t i = 0; i < g->symbol_count; i++)
        if (wa__str_eq(g->symbols[i], name)) return i;
    wa_str copy;
    if (!wa__graph_copy_str(g, name, &copy)) return WA_NONE;
    return wa__graph_push(g, &g->symbols, &g->symbol_count, &copy, sizeof copy, 65536) ? g->symbol_count - 1 : WA_NONE;
}

uint32_t wa__graph_source(wa_graph *g, wa_str name, const void *data, uint64_t size)
{
    wa_source s = {.data = data, .size = size};
    if (!wa__graph_copy_str(g, name, &s.name)) return WA_NONE;
    return wa__graph_push(g, &g->sources, &g->source_count, &s, sizeof s, 65536) ? g->source_count - 1 : WA_NONE;
}

static uint32_t add_value(wa_graph *g, wa_str name, wa_value_kind kind, const wa_tensor_type *type)
{
    wa_value v = {.kind = kind, .producer = WA_NONE, .source = -1};
    void *values = g->values;
    if (g->value_count >= WA_LIMIT_VALUES || !wa__graph_copy_str(g, name, &v.name) ||
        !wa__array_reserve(&values, &g->value_cap, (size_t)g->value_count + 1, sizeof v))
        return WA_NONE;
    g->values = values;
    if (type) v.type = *type;
    else v.type.rank = WA_RANK_UNKNOWN;
    g->values[g->value_count] = v;
    return g->value_count++;
}

uint32_t wa__graph_value(wa_graph *g, wa_str name) { return add_value(g, name, WA_VALUE_NODE, NULL); }

uint32_t wa__graph_input(wa_graph *g, wa_str name, const wa_tensor_type *type)
{
    uint32_t v = add_value(g, name, WA_VALUE_INPUT, type);
    if (v == WA_NONE || !wa__graph_push(g, &g->inputs, &g->input_count, &v, sizeof v, WA_LIMIT_VALUES)) return WA_NONE;
    return v;
}

/* Copies or borrows a constant's bytes; false when they do not fit the source, or memory ran out. */
static bool place_const(wa_graph *g, wa_value *v, const void *data, int32_t source)
{
    uint64_t bytes;
    if (!wa__type_bytes(&v->type, &bytes)) return false;
    v->source = source;
    if (source >= 0) {
        if ((uint32_t)source >= g->source_count) return false;
        const wa_source *s = &g->sources[source];
        uintptr_t at = (uintptr_t)data, base = (uintptr_t)s->data;
        if (at < base || at - base > s->size || s->size - (at - base) < bytes) return false;
        v->data = data;
        v->offset = at - base;
        return true;
    }
    uint8_t *copy = bytes <= SIZE_MAX ? wa__arena_alloc(g->arena, 1, (size_t)bytes) : NULL;
    if (!copy) return false;
    if (bytes) memcpy(copy, data, (size_t)bytes);
    v->data = copy;
    v->offset = 0;
    return true;
}

uint32_t wa__graph_const(wa_graph *g, wa_str name, const wa_tensor_type *type, const void *data, int32_t source)
{
    wa_value v = {.type = *type};
    if (!place_const(g, &v, data, source)) return WA_NONE;
    uint32_t id = add_value(g, name, WA_VALUE_CONST, type);
    if (id == WA_NONE) return WA_NONE;
    g->values[id].data = v.data;
    g->values[id].source = v.source;
    g->values[id].offset = v.offset;
    return id;
}

uint32_t wa__graph_const_i64(wa_graph *g, const int64_t *values, uint32_t count)
{
    wa_tensor_type t = {WA_I64, 1, {count}};
    return wa__graph_const(g, WA_STR(""), &t, values, -1);
}

uint32_t wa__graph_const_f32(wa_graph *g, float value)
{
    wa_tensor_type t = {WA_F32, 0, {0}};
    return wa__graph_const(g, WA_STR(""), &t, &value, -1);
}

bool wa__graph_make_const(wa_graph *g, uint32_t value, const wa_tensor_type *type, const void *data)
{
    wa_value c = {.type = *type};
    if (!place_const(g, &c, data, -1)) return false;
    uint32_t producer = g->values[value].producer;
    if (producer != WA_NONE) {
        wa_node *n = &g->nodes[producer];
        if (n->output_count == 1) n->dead = true;
        else
            for (uint32_t i = 0; i < n->output_count; i++) {
                if (n->outputs[i] != value) continue;
                uint32_t stub = add_value(g, WA_STR(""), WA_VALUE_NODE, type); /* nobody uses it */
                if (stub == WA_NONE) return false;
                g->values[stub].producer = producer;
                n->outputs[i] = stub;
            }
    }
    wa_value *v = &g->values[value];
    v->kind = WA_VALUE_CONST;
    v->producer = WA_NONE;
    v->type = *type;
    v->data = c.data;
    v->source = -1;
    v->offset = 0;
    return true;
}

static bool new_node(wa_graph *g, wa_op op, wa_str name, const uint32_t *inputs, uint32_t input_count, uint32_t output_count, wa_node *n)
{
    *n = (wa_node){.op = op, .input_count = input_count, .output_count = output_count};
    if (g->node_count >= WA_LIMIT_NODES || input_count > WA_LIMIT_VALUES || output_count > WA_LIMIT_VALUES) return false;
    n->inputs = WA_ARENA_NEW(g->arena, uint32_t, input_count);
    n->outputs = WA_ARENA_NEW(g->arena, uint32_t, output_count);
    if (!n->inputs || !n->outputs || !wa__graph_copy_str(g, name, &n->name)) return false;
    if (input_count) memcpy(n->inputs, inputs, input_count * sizeof *inputs);
    void *nodes = g->nodes;
    if (!wa__array_reserve(&nodes, &g->node_cap, (size_t)g->node_count + 1, sizeof *n)) return false;
    g->nodes = nodes;
    return true;
}

uint32_t wa__graph_node(wa_graph *g, wa_op op, wa_str name, const uint32_t *inputs, uint32_t input_count, uint32_t output_count)
{
    wa_node n;
    if (!new_node(g, op, name, inputs, input_count, output_count, &n)) return WA_NONE;
    for (uint32_t i = 0; i < output_count; i++) {
        n.outputs[i] = add_value(g, WA_STR(""), WA_VALUE_NODE, NULL);
        if (n.outputs[i] == WA_NONE) return WA_NONE;
        g->values[n.outputs[i]].producer = g->node_count;
    }
    g->nodes[g->node_count] = n;
    return g->node_count++;
}

uint32_t wa__graph_add(wa_graph *g, wa_op op, const uint32_t *inputs, uint32_t input_count)
{
    uint32_t n = wa__graph_node(g, op, WA_STR(""), inputs, input_count, 1);
    return n == WA_NONE ? WA_NONE : g->nodes[n].outputs[0];
}

bool wa__graph_subgraph(wa_graph *g, uint32_t node, wa_str name, wa_graph *child, uint32_t capture_first, uint32_t capture_count)
{
    wa_node *n = &g->nodes[node];
    wa_subgraph s = {.graph = child, .capture_first = capture_first, .capture_count = capture_count};
    if (!wa__graph_copy_str(g, name, &s.name) || !wa__graph_push(g, &n->subgraphs, &n->subgraph_count, &s, sizeof s, WA_LIMIT_ATTRS)) return false;
    if (wa__graph_push(g, &g->children, &g->child_count, &child, sizeof child, WA_LIMIT_NODES)) return true;
    n->subgraph_count--;
    return false;
}

const wa_subgraph *wa__node_subgraph(const wa_node *n, const char *name)
{
    for (uint32_t i = 0; i < n->subgraph_count; i++)
        if (wa__str_is(n->subgraphs[i].name, name)) return &n->subgraphs[i];
    return NULL;
}

bool wa__graph_output(wa_graph *g, uint32_t value)
{
    return value < g->value_count &&
           wa__graph_push(g, &g->outputs, &g->output_count, &value, sizeof value, WA_LIMIT_VALUES);
}

uint32_t wa__graph_find(const wa_graph *g, wa_str value_name)
{
    for (uint32_t i = 0; i < g->value_count; i++)
        if (value_name.len && wa__str_eq(g->values[i].name, value_name)) return i;
    return WA_NONE;
}

/* --- attributes -------------------------------------------------------------------------------- */

/* Adds, or replaces one of the same name; a->name is a literal or the importer's and is copied. */
static bool set_attr(wa_graph *g, uint32_t node, const char *name, wa_attr a)
{
    wa_node *n = &g->nodes[node];
    for (uint32_t i = 0; i < n->attr_count; i++) {
        if (!wa__str_is(n->attrs[i].name, name)) continue;
        a.name = n->attrs[i].name;
        n->attrs[i] = a;
        return true;
    }
    return wa__graph_copy_str(g, wa__str(name), &a.name) &&
           wa__graph_push(g, &n->attrs, &n->attr_count, &a, sizeof a, WA_LIMIT_ATTRS);
}

bool wa__node_set_int(wa_graph *g, uint32_t node, const char *name, int64_t v)
{
    return set_attr(g, node, name, (wa_attr){.kind = WA_ATTR_KIND_INT, .i = v});
}

bool wa__node_set_float(wa_graph *g, uint32_t node, const char *name, float v)
{
    return set_attr(g, node, name, (wa_attr){.kind = WA_ATTR_KIND_FLOAT, .f = v});
}

bool wa__node_set_ints(wa_graph *g, uint32_t node, const char *name, const int64_t *v, uint32_t count)
{
    int64_t *copy = WA_ARENA_NEW(g->arena, int64_t, count);
    if (!copy) return false;
    if (count) memcpy(copy, v, count * sizeof *v);
    return set_attr(g, node, name, (wa_attr){.kind = WA_ATTR_KIND_INTS, .count = count, .ints = copy});
}

bool wa__node_set_floats(wa_graph *g, uint32_t node, const char *name, const float *v, uint32_t count)
{
    float *copy = WA_ARENA_NEW(g->arena, float, count);
    if (!copy) return false;
    if (count) memcpy(copy, v, count * sizeof *v);
    return set_attr(g, node, name, (wa_attr){.kind = WA_ATTR_KIND_FLOATS, .count = count, .floats = copy});
}

bool wa__node_set_str(wa_graph *g, uint32_t node, const char *name, wa_str v)
{
    char *copy = wa__arena_strndup(g->arena, v.ptr, v.len);
    if (!copy) return false;
    return set_attr(g, node, name, (wa_attr){.kind = WA_ATTR_KIND_STRING, .s = {copy, v.len}});
}

int64_t wa__node_int(const wa_node *n, const char *name, int64_t fallback)
{
    return wa__attr_int(n->attrs, n->attr_count, name, fallback);
}

float wa__node_float(const wa_node *n, const char *name, float fallback)
{
    return wa__attr_float(n->attrs, n->attr_count, name, fallback);
}

/* --- reading constants --------------------------------------------------------------------------- */

bool wa__graph_const_ints(const wa_graph *g, uint32_t value, int64_t *out, uint32_t max, uint32_t *count)
{
    if (value >= g->value_count || g->values[value].kind != WA_VALUE_CONST) return false;
    const wa_value *v = &g->values[value];
    int64_t n;
    if (wa__dtype_is_float(v->type.dtype) || wa__dtype_size(v->type.dtype) == 0 || v->type.rank > 1 ||
        !wa__type_count(&v->type, &n) || n > max)
        return false;
    union { const uint8_t *in; void *view; } p = {.in = v->data};
    wa_view view = {v->type, p.view};
    for (int64_t i = 0; i < n; i++) out[i] = wa__get_i64(&view, i);
    *count = (uint32_t)n;
    return true;
}

bool wa__graph_const_scalar(const wa_graph *g, uint32_t value, double *out)
{
    if (value >= g->value_count || g->values[value].kind != WA_VALUE_CONST) return false;
    const wa_value *v = &g->values[value];
    int64_t n;
    if (wa__dtype_size(v->type.dtype) == 0 || !wa__type_count(&v->type, &n) || n != 1) return false;
    union { const uint8_t *in; void *view; } p = {.in = v->data};
    wa_view view = {v->type, p.view};
    *out = wa__get_f64(&view, 0);
    return true;
}
