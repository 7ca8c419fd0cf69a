/* Model-local functions, inlined where they are called. In: FunctionProto messages and calls. Out: their
 * bodies' nodes in the caller's graph. Called by import_onnx.c, import_onnx_node.c, import_onnx_check.c.
 *
 * FunctionProto { 1 name, 4 input*, 5 output*, 6 attribute*, 7 node*, 9 opset_import*, 10 domain,
 *                 11 attribute_proto*, 13 overload }
 * A function of an operator that we have is not used: ours is what it describes, and faster. */
#include "import/import_onnx_int.h"

enum { F_NAME = 1, F_INPUT = 4, F_OUTPUT = 5, F_NODE = 7, F_OPSET = 9, F_DOMAIN = 10, F_OVERLOAD = 13 };

wa_status wa__onnx_opset_read(const wa_onnx *o, const wa_pb_field *field, wa_onnx_opsets *sets, wa_error *err)
{
    wa_onnx_opset set = {0};
    wa_reader r = field->body;
    wa_pb_field f;
    bool more = false;
    WA_TRY(wa__pb_want(field, WA_PB_BYTES, "an opset import", o->what, err));
    for (;;) {
        WA_TRY(wa__pb_next(&r, &f, &more, err));
        if (!more) break;
        if (f.number == 1) {
            WA_TRY(wa__pb_want(&f, WA_PB_BYTES, "an opset's domain", o->what, err));
            set.domain = f.bytes;
        } else if (f.number == 2) {
            WA_TRY(wa__pb_want(&f, WA_PB_VARINT, "an opset's version", o->what, err));
            set.version = wa__pb_int(f.value);
        }
    }
    if (wa__str_is(set.domain, "ai.onnx")) set.domain = WA_STR("");
    if (!wa__import_name_ok(set.domain) || set.version < 0 || set.version > 10000)
        return wa__fail(err, WA_CORRUPT, "%s: the opset import at byte %zu is no domain and version", o->what,
                        field->offset);
    if (sets->count == WA_ONNX_DOMAINS_MAX)
        return wa__fail(err, WA_LIMIT, "%s imports more than %u operator domains", o->what,
                        WA_ONNX_DOMAINS_MAX);
    sets->list[sets->count++] = set;
    return WA_OK;
}

wa_status wa__onnx_function_read(wa_onnx *o, const wa_pb_field *field, wa_error *err)
{
    wa_onnx_model *m = o->m;
    wa_onnx_function fn = {.body = field->body, .offset = field->offset};
    wa_reader r = field->body;
    wa_pb_field f;
    bool more = false;
    WA_TRY(wa__pb_want(field, WA_PB_BYTES, "a function", o->what, err));
    for (;;) {
        WA_TRY(wa__pb_next(&r, &f, &more, err));
        if (!more) break;
        if (f.number != F_NAME && f.number != F_DOMAIN && f.number != F_OVERLOAD) continue;
        WA_TRY(wa__pb_want(&f, WA_PB_BYTES, "a function's name", o->what, err));
        if (f.number == F_NAME) fn.name = f.bytes;
        else if (f.number == F_DOMAIN) fn.domain = f.bytes;
        else fn.overload = f.bytes;
    }
    if (wa__str_is(fn.domain, "ai.onnx")) fn.domain = WA_STR("");
    if (!fn.name.len || !wa__import_name_ok(fn.name) || !wa__import_name_ok(fn.domain))
        return wa__fail(err, WA_CORRUPT, "%s: the function at byte %zu has no usable name", o->what, field->offset);
    void *functions = m->functions;
    if (m->function_count == WA_ONNX_FUNCTIONS_MAX)
        return wa__fail(err, WA_LIMIT, "%s has more than %u functions", o->what, WA_ONNX_FUNCTIONS_MAX);
    if (!wa__array_reserve(&functions, &m->function_cap, (size_t)m->function_count + 1, sizeof fn)) return wa__no_memory(err, "a function");
    m->functions = functions;
    m->functions[m->function_count++] = fn;
    return WA_OK;
}

wa_onnx_function *wa__onnx_function(const wa_onnx *o, const wa_onnx_node *n)
{
    for (uint32_t i = 0; i < o->m->function_count; i++) {
        wa_onnx_function *f = &o->m->functions[i];
        if (wa__str_eq(f->name, n->type) && wa__str_eq(f->domain, n->domain) && wa__str_eq(f->overload, n->overload)) return f;
    }
    return NULL;
}

/* The versions that the body is written for: its own, then the model's. */
wa_status wa__onnx_function_opsets(const wa_onnx *o, const wa_onnx_function *fn, wa_onnx_opsets *out, wa_error *err)
{
    wa_reader r = fn->body;
    wa_pb_field f;
    bool more = false;
    out->count = 0;
    for (;;) {
        WA_TRY(wa__pb_next(&r, &f, &more, err));
        if (!more) break;
        if (f.number == F_OPSET) WA_TRY(wa__onnx_opset_read(o, &f, out, err));
    }
    for (uint32_t i = 0; i < o->m->opsets.count && out->count < WA_ONNX_DOMAINS_MAX; i++) out->list[out->count++] = o->m->opsets.list[i];
    return WA_OK;
}

/* Formal inputs stand for the node's; those that the call leaves out for nothing. */
static wa_status name_inputs(wa_onnx *body, const wa_onnx_node *n, const uint32_t *inputs, wa_error *err)
{
    wa_reader r = body->graph;
    wa_pb_field f;
    uint32_t at = 0;
    for (bool more = false;;) {
        WA_TRY(wa__pb_next(&r, &f, &more, err));
        if (!more) break;
        if (f.number != F_INPUT) continue;
        WA_TRY(wa__pb_want(&f, WA_PB_BYTES, "a function's input", body->what, err));
        if (!f.bytes.len || !wa__import_name_ok(f.bytes))
            return wa__fail(err, WA_CORRUPT, "%s: the function's input at byte %zu has no usable name", body->what, f.offset);
        if (!wa__names_put(&body->names, f.bytes, at < n->inputs ? inputs[at] : WA_NONE)) return wa__no_memory(err, "names");
        at++;
    }
    if (at >= n->inputs) return WA_OK;
    return wa__fail(err, WA_CORRUPT, WA_ONNX_NODE_FMT " has %u inputs, its function takes %u", WA_ONNX_NODE_ARG(body, n), n->inputs, at);
}

/* The caller's name for a result. A value that has a name, or is no node's, gets a second one by Identity. */
static wa_status name_result(wa_onnx *o, wa_str name, uint32_t value, size_t offset, wa_error *err)
{
    const wa_value *v = &o->g->values[value];
    if (!o->function && (v->kind != WA_VALUE_NODE || v->name.len)) {
        value = wa__graph_add(o->g, WA_OP_Identity, &value, 1);
        if (value == WA_NONE) return wa__no_memory(err, "a function's result");
    }
    return wa__onnx_name(o, name, value, "an output", offset, err);
}

/* The i-th output of the function and the i-th of the node, side by side. */
static wa_status name_results(wa_onnx *o, wa_onnx *body, const wa_onnx_node *n, wa_error *err)
{
    wa_reader r = n->body, q = body->graph;
    wa_pb_field to, from;
    bool more = false, found;
    for (uint32_t i = 0; i < n->outputs; i++) {
        uint32_t value;
        do WA_TRY(wa__pb_next(&r, &to, &more, err));
        while (more && to.number != 2);
        do WA_TRY(wa__pb_next(&q, &from, &more, err));
        while (more && from.number != F_OUTPUT);
        if (!more) return wa__fail(err, WA_CORRUPT, WA_ONNX_NODE_FMT " has more outputs than its function", WA_ONNX_NODE_ARG(o, n));
        WA_TRY(wa__pb_want(&from, WA_PB_BYTES, "a function's output", o->what, err));
        if (!to.bytes.len) continue;
        WA_TRY(wa__onnx_find(body, from.bytes, &value, &found, err));
        if (!found || value == WA_NONE)
            return wa__fail(err, WA_CORRUPT, WA_ONNX_NODE_FMT ": its function makes no \"%.*s\"", WA_ONNX_NODE_ARG(o, n), WA_STR_ARG(from.bytes));
        WA_TRY(name_result(o, to.bytes, value, to.offset, err));
    }
    return WA_OK;
}

static wa_status add_body(wa_onnx *body, wa_error *err)
{
    wa_reader r = body->graph;
    wa_pb_field f;
    wa_onnx_node n;
    for (bool more = false;;) {
        WA_TRY(wa__pb_next(&r, &f, &more, err));
        if (!more) return WA_OK;
        if (f.number != F_NODE) continue;
        WA_TRY(wa__onnx_node_read(body, &f, &n, err));
        WA_TRY(wa__onnx_node_add(body, &n, err));
    }
}

/* What a call needs beside its stack: kept off it, as calls lie in calls. */
typedef struct frame {
    wa_onnx_opsets opsets;
    wa_onnx_call call;
} frame;

wa_status wa__onnx_function_call(wa_onnx *o, const wa_onnx_node *n, wa_onnx_function *fn, const uint32_t *inputs, wa_error *err)
{
    wa_onnx body = {.m = o->m, .what = o->what, .g = o->g, .graph = fn->body, .function = true, .depth = o->depth + 1};
    if (fn->open) return wa__fail(err, WA_CORRUPT, WA_ONNX_NODE_FMT ": the function calls itself", WA_ONNX_NODE_ARG(o, n));
    if (body.depth >= WA_LIMIT_GRAPH_DEPTH)
        return wa__fail(err, WA_LIMIT, WA_ONNX_NODE_FMT ": sub-graphs and functions lie deeper than %u", WA_ONNX_NODE_ARG(o, n), WA_LIMIT_GRAPH_DEPTH);
    if (++o->m->calls > WA_ONNX_CALLS_MAX)
        return wa__fail(err, WA_LIMIT, "%s calls functions more than %u times", o->what, WA_ONNX_CALLS_MAX);
    frame *f = wa__alloc(1, sizeof *f);
    if (!f) return wa__no_memory(err, "a function");
    body.opsets = &f->opsets;
    body.call = &f->call;
    fn->open = true;
    wa_status s = wa__onnx_function_opsets(o, fn, &f->opsets, err);
    if (s == WA_OK) s = wa__onnx_arguments(o, n, fn, &f->call, err);
    if (s == WA_OK) s = name_inputs(&body, n, inputs, err);
    if (s == WA_OK) s = add_body(&body, err);
    if (s == WA_OK) s = name_results(o, &body, n, err);
    fn->open = false;
    wa__names_done(&body.names);
    wa__free(f);
    return s;
}
