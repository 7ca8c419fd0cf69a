/* AttributeProto to attributes, and Constant nodes to constants. In: a node's message. Out: wa_attr
 * on the graph's node. Tensor-valued attributes follow the rules in import.h. Called by
 * import_onnx_node.c. */
#include "import/import_onnx_int.h"

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
enum {
    KIND_FLOAT = 1,
    KIND_INT,
    KIND_STRING,
    KIND_TENSOR,
    KIND_GRAPH,
    KIND_FLOATS,
    KIND_INTS,
    KIND_STRINGS,
    KIND_TENSORS,
    KIND_GRAPHS,
    KIND_SPARSE,
    KIND_LAST = 14
};
#define ATTR_NAME_MAX 127

typedef struct attr {
    wa_reader body;
    size_t offset;
    char name[ATTR_NAME_MAX + 1];
    int64_t kind;
    float f;
    int64_t i;
    wa_str s;
    wa_pb_field tensor;
    bool has_tensor;
} attr;

static const char *const kind_names[KIND_LAST + 1] = {
    "none",    "float",   "int",        "string",        "tensor",         "sub-graph", "floats", "ints",
    "strings", "tensors", "sub-graphs", "sparse tensor", "sparse tensors", "type",      "types"};

static wa_status bad(const wa_onnx *o, const wa_onnx_node *n, const attr *a, wa_status s, const char *why,
                     wa_error *err)
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
    case A_FLOAT: return KIND_FLOAT;
    case A_INT: return KIND_INT;
    case A_STRING: return KIND_STRING;
    case A_TENSOR: return KIND_TENSOR;
    case A_GRAPH: return KIND_GRAPH;
    case A_FLOATS: return KIND_FLOATS;
    case A_INTS: return KIND_INTS;
    case A_STRINGS: return KIND_STRINGS;
    case A_TENSORS: return KIND_TENSORS;
    case A_GRAPHS: return KIND_GRAPHS;
    case A_SPARSE: return KIND_SPARSE;
    default: return 0;
    }
}

static void take(attr *a, const wa_pb_field *f)
{
    if (f->number == A_FLOAT)
        a->f = wa__pb_float(f->value);
    else if (f->number == A_INT)
        a->i = wa__pb_int(f->value);
    else if (f->number == A_STRING)
        a->s = f->bytes;
    else if (f->number == A_KIND)
        a->kind = wa__pb_int(f->value);
    else if (f->number == A_TENSOR) {
        a->tensor = *f;
        a->has_tensor = true;
    }
}

static wa_status read_attr(const wa_onnx *o, const wa_onnx_node *n, const wa_pb_field *field, attr *a,
                           wa_error *err)
{
    WA_TRY(wa__pb_want(field, WA_PB_BYTES, "an attribute", o->what, err));
    *a = (attr){.body = field->body, .offset = field->offset};
    wa_reader r = field->body;
    wa_pb_field f;
    bool more = false;
    int64_t seen = 0;
    for (;;) {
        WA_TRY(wa__pb_next(&r, &f, &more, err));
        if (!more) break;
        int wire = wire_of(f.number);
        if (wire >= 0) WA_TRY(wa__pb_want(&f, (unsigned)wire, "an attribute's field", o->what, err));
        if (f.number == A_REF)
            return bad(o, n, a, WA_UNSUPPORTED, "refers to a function's attribute, which is not supported",
                       err);
        if (f.number == A_NAME) {
            if (f.bytes.len > ATTR_NAME_MAX || !wa__import_name_ok(f.bytes))
                return bad(o, n, a, WA_CORRUPT, "has no usable name", err);
            memcpy(a->name, f.bytes.ptr, f.bytes.len);
            a->name[f.bytes.len] = 0;
        }
        take(a, &f);
        if (kind_of(f.number)) seen = kind_of(f.number);
    }
    if (!a->name[0]) return bad(o, n, a, WA_CORRUPT, "has no name", err);
    if (!a->kind) a->kind = seen;
    if (a->kind <= 0 || a->kind > KIND_LAST)
        return bad(o, n, a, WA_CORRUPT, "has no kind that ONNX knows", err);
    return WA_OK;
}

static void put_int(void *user, uint64_t i, uint64_t raw) { ((int64_t *)user)[i] = wa__pb_int(raw); }
static void put_float(void *user, uint64_t i, uint64_t raw) { ((float *)user)[i] = wa__pb_float(raw); }

/* The list in a block of its own (wa__free it). */
static wa_status read_list(const attr *a, void **out, uint32_t *count, wa_error *err)
{
    bool ints = a->kind == KIND_INTS;
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

static wa_status set_list(wa_onnx *o, const attr *a, uint32_t node, wa_error *err)
{
    void *p = NULL;
    uint32_t n = 0;
    WA_TRY(read_list(a, &p, &n, err));
    bool ok = a->kind == KIND_INTS ? wa__node_set_ints(o->g, node, a->name, p, n)
                                   : wa__node_set_floats(o->g, node, a->name, p, n);
    wa__free(p);
    return ok ? WA_OK : wa__no_memory(err, "an attribute");
}

/* ConstantOfShape's one-element tensor: value_i or value_f, and dtype. */
static wa_status set_fill(wa_onnx *o, const wa_onnx_node *n, const attr *a, uint32_t node, wa_error *err)
{
    wa_onnx_tensor t;
    uint32_t value = WA_NONE;
    double f = 0;
    if (!a->has_tensor) return bad(o, n, a, WA_CORRUPT, "holds no tensor", err);
    WA_TRY(wa__onnx_tensor_read(o, &a->tensor, &t, err));
    WA_TRY(wa__onnx_tensor_const(o, &t, WA_STR(""), &value, err));
    if (!wa__graph_const_scalar(o->g, value, &f))
        return bad(o, n, a, WA_CORRUPT, "must hold one element", err);
    const wa_value *v = &o->g->values[value];
    bool ok;
    if (wa__dtype_is_float(v->type.dtype)) {
        ok = wa__node_set_float(o->g, node, "value_f", (float)f);
    } else {
        union {
            const uint8_t *in;
            void *view;
        } p = {.in = v->data};
        wa_view view = {v->type, p.view};
        ok = wa__node_set_int(o->g, node, "value_i", wa__get_i64(&view, 0));
    }
    ok = ok && wa__node_set_int(o->g, node, "dtype", v->type.dtype);
    return ok ? WA_OK : wa__no_memory(err, "an attribute");
}

/* Cast's `to` becomes our id. */
static wa_status set_cast(wa_onnx *o, const wa_onnx_node *n, const attr *a, uint32_t node, wa_error *err)
{
    wa_dtype d = wa__dtype_from_onnx(a->i);
    if (d == WA_DTYPE_NONE)
        return bad(o, n, a, WA_UNSUPPORTED, "names an element type that is not supported", err);
    return wa__node_set_int(o->g, node, a->name, d) ? WA_OK : wa__no_memory(err, "an attribute");
}

/* A list of strings becomes one, joined by commas. */
static wa_status set_strings(wa_onnx *o, const attr *a, uint32_t node, wa_error *err)
{
    wa_reader r = a->body;
    wa_pb_field f;
    wa_buf text;
    bool more = true, first = true;
    wa__buf_init(&text, 1 << 20);
    wa_status s = WA_OK;
    while (s == WA_OK && more) {
        s = wa__pb_next(&r, &f, &more, err);
        if (s != WA_OK || !more || f.number != A_STRINGS) continue;
        s = wa__pb_want(&f, WA_PB_BYTES, "a string", o->what, err);
        if (s == WA_OK && !first) s = wa__buf_append(&text, ",", 1, err);
        if (s == WA_OK) s = wa__buf_append(&text, f.bytes.ptr, f.bytes.len, err);
        first = false;
    }
    if (s == WA_OK && !wa__node_set_str(o->g, node, a->name, (wa_str){text.ptr ? text.ptr : "", (uint32_t)text.len})) s = wa__no_memory(err, "an attribute");
    wa__buf_done(&text);
    return s;
}

static wa_status set_attr(wa_onnx *o, const wa_onnx_node *n, const attr *a, uint32_t node, wa_error *err)
{
    const wa_node *d = &o->g->nodes[node];
    char why[96];
    bool ok = true;
    if (wa__attr_find(d->attrs, d->attr_count, a->name))
        return bad(o, n, a, WA_CORRUPT, "is there twice", err);
    if (d->op == WA_OP_ConstantOfShape && strcmp(a->name, "value") == 0) return set_fill(o, n, a, node, err);
    if (a->kind == KIND_INT && (((d->op == WA_OP_Cast || d->op == WA_OP_BitCast) && strcmp(a->name, "to") == 0) ||
                               (d->op == WA_OP_EyeLike && strcmp(a->name, "dtype") == 0)))
        return set_cast(o, n, a, node, err);
    switch (a->kind) {
    case KIND_FLOAT: ok = wa__node_set_float(o->g, node, a->name, a->f); break;
    case KIND_INT: ok = wa__node_set_int(o->g, node, a->name, a->i); break;
    case KIND_STRING: ok = wa__node_set_str(o->g, node, a->name, a->s); break;
    case KIND_FLOATS:
    case KIND_INTS: return set_list(o, a, node, err);
    case KIND_STRINGS: return set_strings(o, a, node, err);
    default:
        snprintf(why, sizeof why, "is of kind %s, which is not supported", kind_names[a->kind]);
        return bad(o, n, a, WA_UNSUPPORTED, why, err);
    }
    return ok ? WA_OK : wa__no_memory(err, "an attribute");
}

/* The next attribute of a node. */
static wa_status next_attr(const wa_onnx *o, const wa_onnx_node *n, wa_reader *r, attr *a, bool *more,
                           wa_error *err)
{
    wa_pb_field f;
    do {
        WA_TRY(wa__pb_next(r, &f, more, err));
    } while (*more && f.number != 5);
    return *more ? read_attr(o, n, &f, a, err) : WA_OK;
}

wa_status wa__onnx_attrs(wa_onnx *o, const wa_onnx_node *n, uint32_t node, wa_error *err)
{
    wa_reader r = n->body;
    attr a;
    bool more = false;
    for (;;) {
        WA_TRY(next_attr(o, n, &r, &a, &more, err));
        if (!more) break;
        WA_TRY(set_attr(o, n, &a, node, err));
    }
    if (o->g->nodes[node].op == WA_OP_ConstantOfShape && !wa__node_int(&o->g->nodes[node], "dtype", 0) &&
        (!wa__node_set_float(o->g, node, "value_f", 0) || !wa__node_set_int(o->g, node, "dtype", WA_F32)))
        return wa__no_memory(err, "an attribute");
    return WA_OK;
}

/* --- Constant nodes -------------------------------------------------------------------------------- */

static wa_status list_constant(wa_onnx *o, const attr *a, wa_str name, uint32_t *value, wa_error *err)
{
    void *p = NULL;
    uint32_t n = 0;
    WA_TRY(read_list(a, &p, &n, err));
    wa_tensor_type t = {a->kind == KIND_INTS ? WA_I64 : WA_F32, 1, {n}};
    *value = wa__graph_const(o->g, name, &t, p, -1);
    wa__free(p);
    return *value == WA_NONE ? wa__no_memory(err, "a constant") : WA_OK;
}

static wa_status scalar_constant(wa_onnx *o, const attr *a, wa_str name, uint32_t *value, wa_error *err)
{
    wa_tensor_type t = {a->kind == KIND_INT ? WA_I64 : WA_F32, 0, {0}};
    *value =
        wa__graph_const(o->g, name, &t, a->kind == KIND_INT ? (const void *)&a->i : (const void *)&a->f, -1);
    return *value == WA_NONE ? wa__no_memory(err, "a constant") : WA_OK;
}

wa_status wa__onnx_constant(wa_onnx *o, const wa_onnx_node *n, wa_str name, uint32_t *value, wa_error *err)
{
    static const struct {
        const char *name;
        int64_t kind;
    } forms[] = {{"value", KIND_TENSOR},
                 {"value_int", KIND_INT},
                 {"value_ints", KIND_INTS},
                 {"value_float", KIND_FLOAT},
                 {"value_floats", KIND_FLOATS}};
    wa_reader r = n->body;
    attr a, extra;
    bool more = false, ok = false;
    WA_TRY(next_attr(o, n, &r, &a, &more, err));
    if (!more) return wa__fail(err, WA_CORRUPT, WA_ONNX_NODE_FMT " has no value", WA_ONNX_NODE_ARG(o, n));
    WA_TRY(next_attr(o, n, &r, &extra, &more, err));
    if (more)
        return wa__fail(err, WA_CORRUPT, WA_ONNX_NODE_FMT " has several values", WA_ONNX_NODE_ARG(o, n));
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        ok |= a.kind == forms[i].kind && strcmp(a.name, forms[i].name) == 0;
    if (!ok)
        return bad(o, n, &a, WA_UNSUPPORTED,
                   "is a form of constant that is not supported (strings, sparse tensors)", err);
    if (a.kind == KIND_INTS || a.kind == KIND_FLOATS) return list_constant(o, &a, name, value, err);
    if (a.kind != KIND_TENSOR) return scalar_constant(o, &a, name, value, err);
    if (!a.has_tensor) return bad(o, n, &a, WA_CORRUPT, "holds no tensor", err);
    wa_onnx_tensor t;
    WA_TRY(wa__onnx_tensor_read(o, &a.tensor, &t, err));
    return wa__onnx_tensor_const(o, &t, name, value, err);
}
