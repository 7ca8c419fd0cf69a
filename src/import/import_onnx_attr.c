/* AttributeProto to attributes. In: a node's message. Out: wa_attr on the graph's node, sub-graphs as its
 * children. Tensor-valued attributes follow the rules in import.h. Inside a function an attribute may stand
 * for one that the function was called with. Called by import_onnx_node.c, import_onnx_function.c. */
#include "import/import_onnx_int.h"
#include <stdio.h>

enum {
    A_NAME = 1,
    A_FLOAT = 2,
    A_INT = 3,
    A_STRING = 4,
    A_TENSOR = 5,
    A_GRAPH = 6,
    A_FLOATS = 7,
    A_INTS = 8,
    A_STRINGS = 9,
    A_TENSORS = 10,
    A_GRAPHS = 11,
    A_KIND = 20,
    A_REF = 21,
    A_SPARSE = 22
};
#define N_ATTR      5
#define F_DEFAULT   11
#define STRINGS_MAX 4096u /* bytes of a list of names: activations of a recurrent layer */

static const char *const kind_names[WA_ONNX_KIND_LAST + 1] = {
    "none",    "float",   "int",        "string",        "tensor",         "sub-graph", "floats", "ints",
    "strings", "tensors", "sub-graphs", "sparse tensor", "sparse tensors", "type",      "types"};

wa_status wa__onnx_attr_bad(const wa_onnx *o, const wa_onnx_node *n, const wa_onnx_attr *a, wa_status s, const char *why, wa_error *err)
{
    return wa__fail(err, s, WA_ONNX_NODE_FMT ": attribute \"%s\" at byte %zu %s", WA_ONNX_NODE_ARG(o, n),
                    a->name, a->offset, why);
}

/* Wire type that a field of the message must have; -1 for lists (checked by wa__pb_list). */
static int wire_of(uint32_t number)
{
    switch (number) {
    case A_NAME:
    case A_STRING:
    case A_TENSOR:
    case A_GRAPH:
    case A_SPARSE:
    case A_REF: return WA_PB_BYTES;
    case A_FLOAT: return WA_PB_FIXED32;
    case A_INT:
    case A_KIND: return WA_PB_VARINT;
    default: return -1;
    }
}

/* IR versions before 2 did not store the kind: the field that is there tells. */
static int64_t kind_of(uint32_t number)
{
    switch (number) {
    case A_FLOAT: return WA_ONNX_FLOAT;
    case A_INT: return WA_ONNX_INT;
    case A_STRING: return WA_ONNX_STRING;
    case A_TENSOR: return WA_ONNX_TENSOR;
    case A_GRAPH: return WA_ONNX_GRAPH;
    case A_FLOATS: return WA_ONNX_FLOATS;
    case A_INTS: return WA_ONNX_INTS;
    case A_STRINGS: return WA_ONNX_STRINGS;
    case A_TENSORS: return WA_ONNX_TENSORS;
    case A_GRAPHS: return WA_ONNX_GRAPHS;
    case A_SPARSE: return WA_ONNX_SPARSE;
    default: return 0;
    }
}

static void take(wa_onnx_attr *a, const wa_pb_field *f)
{
    if (f->number == A_FLOAT)
        a->f = wa__pb_float(f->value);
    else if (f->number == A_INT)
        a->i = wa__pb_int(f->value);
    else if (f->number == A_STRING)
        a->s = f->bytes;
    else if (f->number == A_KIND)
        a->kind = wa__pb_int(f->value);
    else if (f->number == A_REF)
        a->ref = f->bytes;
    else if (f->number == A_TENSOR || f->number == A_GRAPH || f->number == A_SPARSE) {
        a->message = *f;
        a->has_message = true;
    }
}

static wa_status read_fields(const wa_onnx *o, const wa_onnx_node *n, const wa_pb_field *field, wa_onnx_attr *a, wa_error *err)
{
    WA_TRY(wa__pb_want(field, WA_PB_BYTES, "an attribute", o->what, err));
    *a = (wa_onnx_attr){.body = field->body, .offset = field->offset};
    wa_reader r = field->body;
    wa_pb_field f;
    bool more = false;
    int64_t seen = 0;
    for (;;) {
        WA_TRY(wa__pb_next(&r, &f, &more, err));
        if (!more) break;
        int wire = wire_of(f.number);
        if (wire >= 0) WA_TRY(wa__pb_want(&f, (unsigned)wire, "an attribute's field", o->what, err));
        if (f.number == A_NAME) {
            if (f.bytes.len > WA_ONNX_ATTR_NAME_MAX || !wa__import_name_ok(f.bytes))
                return wa__onnx_attr_bad(o, n, a, WA_CORRUPT, "has no usable name", err);
            memcpy(a->name, f.bytes.ptr, f.bytes.len);
            a->name[f.bytes.len] = 0;
        }
        take(a, &f);
        if (kind_of(f.number)) seen = kind_of(f.number);
    }
    if (!a->name[0]) return wa__onnx_attr_bad(o, n, a, WA_CORRUPT, "has no name", err);
    if (!a->kind) a->kind = seen;
    if (a->ref.len == 0 && (a->kind <= 0 || a->kind > WA_ONNX_KIND_LAST))
        return wa__onnx_attr_bad(o, n, a, WA_CORRUPT, "has no kind that ONNX knows", err);
    return WA_OK;
}

static const wa_onnx_argument *argument_of(const wa_onnx *o, wa_str name)
{
    for (uint32_t i = 0; o->call && i < o->call->count; i++)
        if (wa__str_eq(o->call->list[i].name, name)) return &o->call->list[i];
    return NULL;
}

/* An attribute with what it stands for in place of a reference. */
static wa_status read_attr(const wa_onnx *o, const wa_onnx_node *n, const wa_pb_field *field, wa_onnx_attr *a, wa_error *err)
{
    WA_TRY(read_fields(o, n, field, a, err));
    if (a->ref.len == 0) return WA_OK;
    if (!o->call) return wa__onnx_attr_bad(o, n, a, WA_CORRUPT, "refers to a function's attribute, outside of any function", err);
    const wa_onnx_argument *given = argument_of(o, a->ref);
    if (!given) {
        a->absent = true;
        return WA_OK;
    }
    wa_onnx_attr to;
    WA_TRY(read_fields(o, n, &given->attr, &to, err));
    if (to.ref.len) return wa__onnx_attr_bad(o, n, a, WA_CORRUPT, "stands for a default that is a reference itself", err);
    memcpy(to.name, a->name, sizeof to.name);
    *a = to;
    a->passed = true;
    return WA_OK;
}

wa_status wa__onnx_attr_next(const wa_onnx *o, const wa_onnx_node *n, wa_reader *r, wa_onnx_attr *a, bool *more, wa_error *err)
{
    wa_pb_field f;
    do {
        do {
            WA_TRY(wa__pb_next(r, &f, more, err));
        } while (*more && f.number != N_ATTR);
        if (!*more) return WA_OK;
        WA_TRY(read_attr(o, n, &f, a, err));
    } while (a->absent);
    return WA_OK;
}

static wa_status add_argument(const wa_onnx *o, const wa_onnx_node *n, wa_onnx_call *out, const char *name, const wa_pb_field *attr, wa_error *err)
{
    if (out->count == sizeof out->list / sizeof *out->list)
        return wa__fail(err, WA_LIMIT, WA_ONNX_NODE_FMT ": its function has too many attributes", WA_ONNX_NODE_ARG(o, n));
    char *copy = wa__arena_strndup(o->g->arena, name, strlen(name));
    if (!copy) return wa__no_memory(err, "an attribute");
    out->list[out->count++] = (wa_onnx_argument){wa__str(copy), *attr};
    return WA_OK;
}

wa_status wa__onnx_arguments(const wa_onnx *o, const wa_onnx_node *n, const wa_onnx_function *fn, wa_onnx_call *out, wa_error *err)
{
    wa_reader r = n->body, defaults = fn->body;
    wa_pb_field f;
    wa_onnx_attr a;
    out->count = 0;
    for (bool more = false;;) {
        WA_TRY(wa__pb_next(&r, &f, &more, err));
        if (!more) break;
        if (f.number != N_ATTR) continue;
        WA_TRY(read_fields(o, n, &f, &a, err));
        const wa_onnx_argument *given = a.ref.len ? argument_of(o, a.ref) : NULL;
        if (a.ref.len == 0 || given) WA_TRY(add_argument(o, n, out, a.name, given ? &given->attr : &f, err));
    }
    for (bool more = false;;) {
        WA_TRY(wa__pb_next(&defaults, &f, &more, err));
        if (!more) return WA_OK;
        if (f.number != F_DEFAULT) continue;
        WA_TRY(read_fields(o, n, &f, &a, err));
        WA_TRY(add_argument(o, n, out, a.name, &f, err));
    }
}

/* --- values ------------------------------------------------------------------------------------------ */

static void put_int(void *user, uint64_t i, uint64_t raw) { ((int64_t *)user)[i] = wa__pb_int(raw); }
static void put_float(void *user, uint64_t i, uint64_t raw) { ((float *)user)[i] = wa__pb_float(raw); }

wa_status wa__onnx_attr_list(const wa_onnx_attr *a, void **out, uint32_t *count, wa_error *err)
{
    bool ints = a->kind == WA_ONNX_INTS;
    uint32_t field = ints ? A_INTS : A_FLOATS;
    unsigned wire = ints ? WA_PB_VARINT : WA_PB_FIXED32;
    uint64_t n = 0;
    WA_TRY(wa__pb_list(a->body, field, wire, NULL, NULL, &n, err));
    if (n > UINT32_MAX)
        return wa__fail(err, WA_LIMIT, "%s: attribute \"%s\" at byte %zu has too many elements", a->body.what,
                        a->name, a->offset);
    void *p = wa__alloc((size_t)n, ints ? sizeof(int64_t) : sizeof(float));
    if (!p) return wa__no_memory(err, "an attribute");
    wa_status s = wa__pb_list(a->body, field, wire, ints ? put_int : put_float, p, NULL, err);
    if (s != WA_OK) {
        wa__free(p);
        return s;
    }
    *out = p;
    *count = (uint32_t)n;
    return WA_OK;
}

static wa_status set_list(wa_onnx *o, const wa_onnx_attr *a, uint32_t node, wa_error *err)
{
    void *p = NULL;
    uint32_t n = 0;
    if (a->kind == WA_ONNX_INTS && strcmp(a->name, "consumed_inputs") == 0) return WA_OK; /* a hint of opsets before 6 */
    WA_TRY(wa__onnx_attr_list(a, &p, &n, err));
    bool ok = a->kind == WA_ONNX_INTS ? wa__node_set_ints(o->g, node, a->name, p, n)
                                      : wa__node_set_floats(o->g, node, a->name, p, n);
    wa__free(p);
    return ok ? WA_OK : wa__no_memory(err, "an attribute");
}

/* ONNX's strings are UTF-8, and a plan's text is too. */
static wa_status set_text(wa_onnx *o, const wa_onnx_node *n, const wa_onnx_attr *a, uint32_t node, wa_str text, wa_error *err)
{
    size_t at;
    if (text.len && !wa__utf8_valid(text.ptr, text.len, &at)) return wa__onnx_attr_bad(o, n, a, WA_CORRUPT, "is no UTF-8 text", err);
    return wa__node_set_str(o->g, node, a->name, text) ? WA_OK : wa__no_memory(err, "an attribute");
}

/* A list of names becomes one string, commas between them. */
static wa_status set_strings(wa_onnx *o, const wa_onnx_node *n, const wa_onnx_attr *a, uint32_t node, wa_error *err)
{
    wa_reader r = a->body;
    wa_pb_field f;
    wa_buf b;
    bool first = true;
    wa_status s = WA_OK;
    wa__buf_init(&b, STRINGS_MAX);
    for (bool more = false; s == WA_OK;) {
        s = wa__pb_next(&r, &f, &more, err);
        if (s != WA_OK || !more) break;
        if (f.number != A_STRINGS) continue;
        s = wa__pb_want(&f, WA_PB_BYTES, "a string", o->what, err);
        if (s == WA_OK && !first) s = wa__buf_append(&b, ",", 1, err);
        if (s == WA_OK) s = wa__buf_append(&b, f.bytes.ptr, f.bytes.len, err);
        first = false;
    }
    if (s == WA_LIMIT) s = wa__onnx_attr_bad(o, n, a, WA_LIMIT, "is too long", err);
    if (s == WA_OK) s = set_text(o, n, a, node, (wa_str){b.ptr ? b.ptr : "", b.len}, err);
    wa__buf_done(&b);
    return s;
}

/* An element type by number, or by name as before opset 6, becomes our id. */
static wa_status set_dtype(wa_onnx *o, const wa_onnx_node *n, const wa_onnx_attr *a, uint32_t node, wa_error *err)
{
    static const char *const names[] = {"UNDEFINED", "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64",
                                        "STRING", "BOOL", "FLOAT16", "DOUBLE", "UINT32", "UINT64"};
    int64_t type = a->kind == WA_ONNX_INT ? a->i : 0;
    for (size_t i = 0; a->kind == WA_ONNX_STRING && i < sizeof names / sizeof *names; i++)
        if (wa__str_is(a->s, names[i])) type = (int64_t)i;
    wa_dtype d = wa__dtype_from_onnx(type);
    if (d == WA_DTYPE_NONE)
        return wa__onnx_attr_bad(o, n, a, WA_UNSUPPORTED, type == 8 ? "names the element type string, which is not supported" : "names an element type that is not supported", err);
    return wa__node_set_int(o->g, node, a->name, d) ? WA_OK : wa__no_memory(err, "an attribute");
}

static wa_status set_graph(wa_onnx *o, const wa_onnx_node *n, const wa_onnx_attr *a, uint32_t node, wa_error *err)
{
    const wa_node *d = &o->g->nodes[node];
    if (d->op != WA_OP_If && d->op != WA_OP_Loop && d->op != WA_OP_Scan && d->op != WA_OP_FlexAttention)
        return wa__onnx_attr_bad(o, n, a, WA_UNSUPPORTED, "is a sub-graph, which only If, Loop, Scan and FlexAttention have", err);
    if (wa__node_subgraph(d, a->name)) return wa__onnx_attr_bad(o, n, a, WA_CORRUPT, "is there twice", err);
    if (!a->has_message) return wa__onnx_attr_bad(o, n, a, WA_CORRUPT, "holds no graph", err);
    if (a->passed) return wa__onnx_attr_bad(o, n, a, WA_UNSUPPORTED, "is a sub-graph passed to a function, which is not supported", err);
    return wa__onnx_child(o, n, node, a->name, a->message.body, err);
}

static wa_status set_attr(wa_onnx *o, const wa_onnx_node *n, const wa_onnx_attr *a, uint32_t node, wa_error *err)
{
    const wa_node *d = &o->g->nodes[node];
    char why[96];
    bool ok = true;
    if (wa__attr_find(d->attrs, d->attr_count, a->name))
        return wa__onnx_attr_bad(o, n, a, WA_CORRUPT, "is there twice", err);
    if (d->op == WA_OP_ConstantOfShape && strcmp(a->name, "value") == 0) return wa__onnx_fill(o, n, a, node, err);
    bool to = (d->op == WA_OP_Cast || d->op == WA_OP_BitCast) && strcmp(a->name, "to") == 0;
    if (to || (d->op == WA_OP_EyeLike && strcmp(a->name, "dtype") == 0)) return set_dtype(o, n, a, node, err);
    switch (a->kind) {
    case WA_ONNX_FLOAT: ok = wa__node_set_float(o->g, node, a->name, a->f); break;
    case WA_ONNX_INT: ok = wa__node_set_int(o->g, node, a->name, a->i); break;
    case WA_ONNX_STRING: return set_text(o, n, a, node, a->s, err);
    case WA_ONNX_FLOATS:
    case WA_ONNX_INTS: return set_list(o, a, node, err);
    case WA_ONNX_STRINGS: return set_strings(o, n, a, node, err);
    case WA_ONNX_GRAPH: return set_graph(o, n, a, node, err);
    default:
        snprintf(why, sizeof why, "is of kind %s, which is not supported", kind_names[a->kind]);
        return wa__onnx_attr_bad(o, n, a, WA_UNSUPPORTED, why, err);
    }
    return ok ? WA_OK : wa__no_memory(err, "an attribute");
}

wa_status wa__onnx_attrs(wa_onnx *o, const wa_onnx_node *n, uint32_t node, wa_error *err)
{
    wa_reader r = n->body;
    wa_onnx_attr a;
    bool more = false;
    for (;;) {
        WA_TRY(wa__onnx_attr_next(o, n, &r, &a, &more, err));
        if (!more) break;
        WA_TRY(set_attr(o, n, &a, node, err));
    }
    if (o->g->nodes[node].op == WA_OP_ConstantOfShape && !wa__node_int(&o->g->nodes[node], "dtype", 0) &&
        (!wa__node_set_float(o->g, node, "value_f", 0) || !wa__node_set_int(o->g, node, "dtype", WA_F32)))
        return wa__no_memory(err, "an attribute");
    return WA_OK;
}
