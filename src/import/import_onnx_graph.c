/* GraphProto to graphs, the model's own and those in attributes of If, Loop and Scan. In: a scope with the
 * message. Out: values and nodes of its graph. Called by import_onnx.c and import_onnx_attr.c.
 *
 * GraphProto { 1 node*, 2 name, 5 initializer*, 11 input*, 12 output*, 15 sparse_initializer* }
 */
#include "import/import_onnx_int.h"

enum { G_NODE = 1, G_NAME = 2, G_INIT = 5, G_INPUT = 11, G_OUTPUT = 12, G_SPARSE = 15 };

uint32_t wa__onnx_source(const wa_onnx *o, const wa_model_file *file)
{
    uint32_t source = wa__import_source(o->m->g, file);
    for (uint32_t i = o->g->source_count; source != WA_NONE && i <= source; i++) {
        const wa_source *s = &o->m->g->sources[i];
        if (wa__graph_source(o->g, s->name, s->data, s->size) != i) return WA_NONE;
    }
    return source;
}

/* --- names ------------------------------------------------------------------------------------------ */

static bool is_captured(const wa_onnx *o, uint32_t value)
{
    uint32_t first = o->g->input_count - o->captured_count;
    for (uint32_t i = 0; o->outer && i < o->captured_count; i++)
        if (o->g->inputs[first + i] == value) return true;
    return false;
}

wa_status wa__onnx_name(wa_onnx *o, wa_str name, uint32_t value, const char *kind, size_t offset, wa_error *err)
{
    uint32_t old;
    if (wa__names_find(&o->names, name, &old)) {
        if (old == WA_NONE || !is_captured(o, old))
            return wa__fail(err, WA_CORRUPT,
                            "%s: %s at byte %zu is named \"%.*s\", which is taken: every value is made once",
                            o->what, kind, offset, WA_STR_ARG(name));
        o->g->values[old].name = WA_STR(""); /* the outer value of that name is shadowed from here on */
    }
    if (!o->function) { /* in the arena, as every builder's names: they end with a NUL there */
        char *own = wa__arena_strndup(o->g->arena, name.ptr, name.len);
        if (!own) return wa__no_memory(err, "a name");
        o->g->values[value].name = (wa_str){own, name.len};
    }
    return wa__names_put(&o->names, name, value) ? WA_OK : wa__no_memory(err, "names");
}

/* An outer value for this scope's graph: constants are shared, all else comes in through the node. */
static uint32_t capture(wa_onnx *o, wa_str name, uint32_t outer)
{
    const wa_value *v = &o->outer->g->values[outer];
    wa_str own = o->function ? WA_STR("") : name;
    if (v->kind == WA_VALUE_CONST) {
        uint32_t c = wa__graph_value(o->g, own);
        if (c == WA_NONE) return WA_NONE;
        wa_value copy = *v;
        copy.name = o->g->values[c].name;
        o->g->values[c] = copy;
        for (uint32_t i = o->g->source_count; v->source >= 0 && i <= (uint32_t)v->source; i++) {
            const wa_source *s = &o->m->g->sources[i];
            if (wa__graph_source(o->g, s->name, s->data, s->size) != i) return WA_NONE;
        }
        return c;
    }
    void *captured = o->captured;
    if (!wa__array_reserve(&captured, &o->captured_cap, (size_t)o->captured_count + 1, sizeof outer)) return WA_NONE;
    o->captured = captured;
    wa_tensor_type type = {.dtype = v->type.dtype, .rank = WA_RANK_UNKNOWN};
    uint32_t in = wa__graph_input(o->g, own, &type);
    if (in != WA_NONE) o->captured[o->captured_count++] = outer;
    return in;
}

wa_status wa__onnx_find(wa_onnx *o, wa_str name, uint32_t *value, bool *found, wa_error *err)
{
    *value = WA_NONE;
    *found = wa__names_find(&o->names, name, value);
    if (*found || !o->outer) return WA_OK;
    uint32_t outer;
    WA_TRY(wa__onnx_find(o->outer, name, &outer, found, err));
    if (!*found || outer == WA_NONE) return WA_OK;
    *value = capture(o, name, outer);
    return *value != WA_NONE && wa__names_put(&o->names, name, *value) ? WA_OK : wa__no_memory(err, "a captured value");
}

/* --- the fields --------------------------------------------------------------------------------------- */

static wa_status add_input(wa_onnx *o, const wa_pb_field *f, wa_error *err)
{
    wa_onnx_info v;
    wa_tensor_type type;
    uint32_t old;
    WA_TRY(wa__onnx_info_read(o, f, &v, err));
    if (wa__names_find(&o->names, v.name, &old) && old != WA_NONE && o->g->values[old].kind == WA_VALUE_CONST && !o->outer)
        return WA_OK; /* an initialiser's default */
    WA_TRY(wa__onnx_info_type(o, &v, &type, err));
    uint32_t value = wa__graph_input(o->g, WA_STR(""), &type);
    if (value == WA_NONE) return wa__no_memory(err, "an input");
    return wa__onnx_name(o, v.name, value, "an input", v.offset, err);
}

static wa_status add_initializer(wa_onnx *o, const wa_pb_field *f, wa_error *err)
{
    wa_onnx_tensor t;
    uint32_t value = WA_NONE;
    WA_TRY(wa__onnx_tensor_read(o, f, &t, err));
    if (!t.name.len)
        return wa__fail(err, WA_CORRUPT, "%s: the initializer at byte %zu has no name", o->what, f->offset);
    WA_TRY(wa__onnx_tensor_const(o, &t, WA_STR(""), &value, err));
    return wa__onnx_name(o, t.name, value, "an initializer", f->offset, err);
}

static wa_status add_sparse(wa_onnx *o, const wa_pb_field *f, wa_error *err)
{
    wa_str name;
    uint32_t value = WA_NONE;
    WA_TRY(wa__onnx_sparse(o, f, &name, &value, err));
    if (!name.len)
        return wa__fail(err, WA_CORRUPT, "%s: the sparse initializer at byte %zu has no name", o->what, f->offset);
    return wa__onnx_name(o, name, value, "an initializer", f->offset, err);
}

static wa_status add_node(wa_onnx *o, const wa_pb_field *f, wa_error *err)
{
    wa_onnx_node n;
    WA_TRY(wa__onnx_node_read(o, f, &n, err));
    return wa__onnx_node_add(o, &n, err);
}

static bool is_output(const wa_graph *g, uint32_t value)
{
    for (uint32_t i = 0; i < g->output_count; i++)
        if (g->outputs[i] == value) return true;
    return false;
}

/* What a sub-graph says of a result's element type helps where no trip of a loop makes one. */
static wa_status note_type(wa_onnx *o, const wa_onnx_info *v, uint32_t value, wa_error *err)
{
    wa_tensor_type type;
    if (!o->outer || o->g->values[value].kind != WA_VALUE_NODE) return WA_OK;
    WA_TRY(wa__onnx_info_type(o, v, &type, err));
    o->g->values[value].type.dtype = type.dtype;
    return WA_OK;
}

static wa_status add_output(wa_onnx *o, const wa_pb_field *f, wa_error *err)
{
    wa_onnx_info v;
    uint32_t value;
    bool found;
    WA_TRY(wa__onnx_info_read(o, f, &v, err));
    WA_TRY(wa__onnx_find(o, v.name, &value, &found, err));
    if (!found || value == WA_NONE)
        return wa__fail(err, WA_CORRUPT, "%s: the graph's output \"%.*s\" at byte %zu is made by no node",
                        o->what, WA_STR_ARG(v.name), v.offset);
    if (o->g->output_count >= WA_LIMIT_ATTRS)
        return wa__fail(err, WA_LIMIT, "%s: the graph has more than %u outputs", o->what, WA_LIMIT_ATTRS);
    if (is_output(o->g, value)) {
        if (!o->outer)
            return wa__fail(err, WA_CORRUPT, "%s: the graph's output \"%.*s\" at byte %zu is listed twice",
                            o->what, WA_STR_ARG(v.name), v.offset);
        value = wa__graph_add(o->g, WA_OP_Identity, &value, 1); /* two results of a body may be one value */
    }
    if (value == WA_NONE || !wa__graph_output(o->g, value)) return wa__no_memory(err, "an output");
    return note_type(o, &v, value, err);
}

static wa_status add_name(wa_onnx *o, const wa_pb_field *f, wa_error *err)
{
    WA_TRY(wa__pb_want(f, WA_PB_BYTES, "the graph's name", o->what, err));
    if (wa__import_name_ok(f->bytes)) o->g->name = f->bytes;
    return WA_OK;
}

/* Fields come in any order, so each kind has its own walk; a walk skips the bytes of the others. */
static wa_status each(wa_onnx *o, uint32_t number,
                      wa_status (*add)(wa_onnx *, const wa_pb_field *, wa_error *), wa_error *err)
{
    wa_reader r = o->graph;
    wa_pb_field f;
    bool more = false;
    for (;;) {
        WA_TRY(wa__pb_next(&r, &f, &more, err));
        if (!more) return WA_OK;
        if (f.number == number) WA_TRY(add(o, &f, err));
    }
}

wa_status wa__onnx_graph(wa_onnx *o, wa_error *err)
{
    WA_TRY(each(o, G_NAME, add_name, err));
    WA_TRY(each(o, G_INIT, add_initializer, err));
    WA_TRY(each(o, G_SPARSE, add_sparse, err));
    WA_TRY(each(o, G_INPUT, add_input, err));
    WA_TRY(each(o, G_NODE, add_node, err));
    return each(o, G_OUTPUT, add_output, err);
}

/* --- sub-graphs ----------------------------------------------------------------------------------------- */

/* The captured values become the node's last inputs. */
static bool append_inputs(wa_graph *g, uint32_t node, const uint32_t *more, uint32_t count)
{
    wa_node *n = &g->nodes[node];
    if (!count) return true;
    uint32_t *inputs = WA_ARENA_NEW(g->arena, uint32_t, (size_t)n->input_count + count);
    if (!inputs) return false;
    if (n->input_count) memcpy(inputs, n->inputs, n->input_count * sizeof *inputs);
    memcpy(inputs + n->input_count, more, count * sizeof *inputs);
    n->inputs = inputs;
    n->input_count += count;
    return true;
}

wa_status wa__onnx_child(wa_onnx *o, const wa_onnx_node *n, uint32_t node, const char *name, wa_reader body, wa_error *err)
{
    wa_onnx child = {.m = o->m, .what = o->what, .outer = o, .opsets = o->opsets, .call = o->call, .graph = body, .depth = o->depth + 1};
    if (child.depth >= WA_LIMIT_GRAPH_DEPTH)
        return wa__fail(err, WA_LIMIT, WA_ONNX_NODE_FMT ": sub-graphs and functions lie deeper than %u", WA_ONNX_NODE_ARG(o, n), WA_LIMIT_GRAPH_DEPTH);
    WA_TRY(wa__graph_create(&child.g, err));
    wa_status s = wa__onnx_graph(&child, err);
    uint32_t first = o->g->nodes[node].input_count;
    if (s == WA_OK && !append_inputs(o->g, node, child.captured, child.captured_count)) s = wa__no_memory(err, "a sub-graph");
    if (s == WA_OK && !wa__graph_subgraph(o->g, node, wa__str(name), child.g, first, child.captured_count)) s = wa__no_memory(err, "a sub-graph");
    if (s != WA_OK) wa__graph_free(child.g);
    wa__names_done(&child.names);
    wa__free(child.captured);
    return s;
}
