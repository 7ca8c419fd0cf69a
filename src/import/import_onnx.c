/* ONNX files to graphs. In: the mapped file and the folder's other files (external data). Out: a
 * verified graph whose large constants point into the mapping. Called by import.c, tests, fuzzers.
 *
 * ModelProto { 1 ir_version, 7 graph, 8 opset_import { 1 domain, 2 version }, 25 functions }
 * GraphProto { 1 node*, 2 name, 5 initializer*, 11 input*, 12 output*, 15 sparse_initializer* }
 */
#include "import/import_onnx_int.h"

enum { M_IR = 1, M_GRAPH = 7, M_OPSET = 8 };
enum { G_NODE = 1, G_NAME = 2, G_INIT = 5, G_INPUT = 11, G_OUTPUT = 12, G_SPARSE = 15 };

wa_status wa__onnx_name(wa_onnx *o, uint32_t value, const char *kind, size_t offset, wa_error *err)
{
    wa_str name = o->g->values[value].name;
    if (wa__names_find(&o->names, name) != WA_NONE)
        return wa__fail(err, WA_CORRUPT,
                        "%s: %s at byte %zu is named \"%.*s\", which is taken: every value is made once",
                        o->what, kind, offset, WA_STR_ARG(name));
    return wa__names_add(&o->names, value) ? WA_OK : wa__no_memory(err, "names");
}

static wa_status read_opset(wa_onnx *o, const wa_pb_field *field, wa_error *err)
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
    if (o->opset_count == WA_ONNX_DOMAINS_MAX)
        return wa__fail(err, WA_LIMIT, "%s imports more than %u operator domains", o->what,
                        WA_ONNX_DOMAINS_MAX);
    o->opsets[o->opset_count++] = set;
    return WA_OK;
}

static wa_status read_model(wa_onnx *o, wa_error *err)
{
    wa_reader r = wa__reader(o->file->data, (size_t)o->file->size, o->what);
    wa_pb_field f;
    bool more = false;
    for (;;) {
        WA_TRY(wa__pb_next(&r, &f, &more, err));
        if (!more) break;
        if (f.number == M_IR) {
            WA_TRY(wa__pb_want(&f, WA_PB_VARINT, "ir_version", o->what, err));
            o->ir_version = f.value;
        } else if (f.number == M_OPSET) {
            WA_TRY(read_opset(o, &f, err));
        } else if (f.number == M_GRAPH) {
            WA_TRY(wa__pb_want(&f, WA_PB_BYTES, "the graph", o->what, err));
            if (o->has_graph)
                return wa__fail(err, WA_CORRUPT, "%s has a second graph at byte %zu", o->what, f.offset);
            o->graph = f.body;
            o->has_graph = true;
        }
    }
    if (!o->has_graph)
        return wa__fail(err, WA_CORRUPT, "%s (%llu bytes) holds no graph; is it an ONNX file?", o->what,
                        (unsigned long long)o->file->size);
    return WA_OK;
}

/* --- inputs ---------------------------------------------------------------------------------------- */

typedef struct value_info {
    wa_str name;
    wa_reader type;
    bool has_type;
    size_t offset;
} value_info;

static wa_status read_info(const wa_onnx *o, const wa_pb_field *field, value_info *out, wa_error *err)
{
    wa_reader r = field->body;
    wa_pb_field f;
    bool more = false;
    WA_TRY(wa__pb_want(field, WA_PB_BYTES, "an input or output", o->what, err));
    *out = (value_info){.offset = field->offset};
    for (;;) {
        WA_TRY(wa__pb_next(&r, &f, &more, err));
        if (!more) break;
        if (f.number == 1 || f.number == 2)
            WA_TRY(wa__pb_want(&f, WA_PB_BYTES, "an input's field", o->what, err));
        if (f.number == 1) out->name = f.bytes;
        if (f.number == 2) {
            out->type = f.body;
            out->has_type = true;
        }
    }
    if (!out->name.len || !wa__import_name_ok(out->name))
        return wa__fail(err, WA_CORRUPT, "%s: the input or output at byte %zu has no usable name", o->what,
                        field->offset);
    return WA_OK;
}

/* One Dimension: a size, a name, or neither, which becomes a symbol of the input's own. */
static wa_status read_dim(wa_onnx *o, const value_info *v, wa_reader r, uint32_t axis, int64_t *dim,
                          wa_error *err)
{
    wa_pb_field f;
    bool more = false;
    wa_str name = {0};
    char *own;
    *dim = -1;
    for (;;) {
        WA_TRY(wa__pb_next(&r, &f, &more, err));
        if (!more) break;
        if (f.number == 1) {
            WA_TRY(wa__pb_want(&f, WA_PB_VARINT, "a dimension", o->what, err));
            *dim = wa__pb_int(f.value);
        } else if (f.number == 2) {
            WA_TRY(wa__pb_want(&f, WA_PB_BYTES, "a dimension's name", o->what, err));
            name = f.bytes;
        }
    }
    if (*dim >= 0 && !name.len) return WA_OK;
    if (!name.len) {
        own = wa__arena_format(o->g->arena, "%.*s.%u", WA_STR_ARG(v->name), axis);
        if (!own) return wa__no_memory(err, "a symbol");
        name = wa__str(own);
    }
    if (!wa__import_name_ok(name))
        return wa__fail(err, WA_CORRUPT, "%s: dimension %u of input \"%.*s\" has no usable name", o->what,
                        axis, WA_STR_ARG(v->name));
    uint32_t symbol = o->g->symbol_count < WA_IMPORT_SYMBOLS_MAX ? wa__graph_symbol(o->g, name) : WA_NONE;
    if (symbol == WA_NONE)
        return wa__fail(err, WA_LIMIT, "%s: the inputs have more than %u open dimensions", o->what,
                        WA_IMPORT_SYMBOLS_MAX);
    *dim = -1 - (int64_t)symbol;
    return WA_OK;
}

static wa_status read_shape(wa_onnx *o, const value_info *v, wa_reader r, wa_tensor_type *type, wa_error *err)
{
    wa_pb_field f;
    bool more = false;
    type->rank = 0;
    for (;;) {
        WA_TRY(wa__pb_next(&r, &f, &more, err));
        if (!more) break;
        if (f.number != 1) continue;
        WA_TRY(wa__pb_want(&f, WA_PB_BYTES, "a dimension", o->what, err));
        if (type->rank == WA_RANK_MAX)
            return wa__fail(err, WA_UNSUPPORTED, "%s: input \"%.*s\" has more than %d dimensions", o->what,
                            WA_STR_ARG(v->name), WA_RANK_MAX);
        WA_TRY(read_dim(o, v, f.body, type->rank, &type->dims[type->rank], err));
        if (type->dims[type->rank] > WA_LIMIT_ELEMENTS)
            return wa__fail(err, WA_LIMIT, "%s: dimension %u of input \"%.*s\" is too large", o->what,
                            type->rank, WA_STR_ARG(v->name));
        type->rank++;
    }
    return WA_OK;
}

/* TypeProto { 1 tensor_type { 1 elem_type, 2 shape { 1 dim* } }, other kinds } */
static wa_status read_type(wa_onnx *o, const value_info *v, wa_tensor_type *type, wa_error *err)
{
    wa_reader r = v->type;
    wa_pb_field f, x;
    bool more = false, tensor = false;
    int64_t element = 0;
    *type = (wa_tensor_type){.rank = WA_RANK_UNKNOWN};
    for (; v->has_type;) {
        WA_TRY(wa__pb_next(&r, &f, &more, err));
        if (!more) break;
        if (f.number != 1) continue;
        WA_TRY(wa__pb_want(&f, WA_PB_BYTES, "a tensor type", o->what, err));
        tensor = true;
        for (bool fields = false;;) {
            WA_TRY(wa__pb_next(&f.body, &x, &fields, err));
            if (!fields) break;
            if (x.number == 1) {
                WA_TRY(wa__pb_want(&x, WA_PB_VARINT, "an element type", o->what, err));
                element = wa__pb_int(x.value);
            } else if (x.number == 2) {
                WA_TRY(wa__pb_want(&x, WA_PB_BYTES, "a shape", o->what, err));
                WA_TRY(read_shape(o, v, x.body, type, err));
            }
        }
    }
    if (!tensor)
        return wa__fail(
            err, WA_UNSUPPORTED,
            "%s: input \"%.*s\" at byte %zu is no tensor; sequences, maps and optionals are not supported",
            o->what, WA_STR_ARG(v->name), v->offset);
    type->dtype = wa__dtype_from_onnx(element);
    if (type->dtype == WA_DTYPE_NONE)
        return wa__fail(
            err, WA_UNSUPPORTED,
            "%s: input \"%.*s\" at byte %zu has element type %lld of ONNX, which is not supported", o->what,
            WA_STR_ARG(v->name), v->offset, (long long)element);
    if (type->rank == WA_RANK_UNKNOWN)
        return wa__fail(err, WA_UNSUPPORTED,
                        "%s: input \"%.*s\" at byte %zu has no shape; export the model with shapes", o->what,
                        WA_STR_ARG(v->name), v->offset);
    return WA_OK;
}

static wa_status add_input(wa_onnx *o, const wa_pb_field *f, wa_error *err)
{
    value_info v;
    wa_tensor_type type;
    WA_TRY(read_info(o, f, &v, err));
    uint32_t old = wa__names_find(&o->names, v.name);
    if (old != WA_NONE && o->g->values[old].kind == WA_VALUE_CONST)
        return WA_OK; /* an initialiser's default */
    WA_TRY(read_type(o, &v, &type, err));
    uint32_t value = wa__graph_input(o->g, v.name, &type);
    if (value == WA_NONE) return wa__no_memory(err, "an input");
    return wa__onnx_name(o, value, "an input", v.offset, err);
}

static wa_status add_initializer(wa_onnx *o, const wa_pb_field *f, wa_error *err)
{
    wa_onnx_tensor t;
    uint32_t value = WA_NONE;
    WA_TRY(wa__onnx_tensor_read(o, f, &t, err));
    if (!t.name.len)
        return wa__fail(err, WA_CORRUPT, "%s: the initializer at byte %zu has no name", o->what, f->offset);
    WA_TRY(wa__onnx_tensor_const(o, &t, t.name, &value, err));
    return wa__onnx_name(o, value, "an initializer", f->offset, err);
}

static wa_status add_node(wa_onnx *o, const wa_pb_field *f, wa_error *err)
{
    wa_onnx_node n;
    WA_TRY(wa__onnx_node_read(o, f, &n, err));
    return wa__onnx_node_add(o, &n, err);
}

static wa_status add_output(wa_onnx *o, const wa_pb_field *f, wa_error *err)
{
    value_info v;
    WA_TRY(read_info(o, f, &v, err));
    uint32_t value = wa__names_find(&o->names, v.name);
    if (value == WA_NONE)
        return wa__fail(err, WA_CORRUPT, "%s: the graph's output \"%.*s\" at byte %zu is made by no node",
                        o->what, WA_STR_ARG(v.name), v.offset);
    for (uint32_t i = 0; i < o->g->output_count; i++)
        if (o->g->outputs[i] == value)
            return wa__fail(err, WA_CORRUPT, "%s: the graph's output \"%.*s\" at byte %zu is listed twice",
                            o->what, WA_STR_ARG(v.name), v.offset);
    if (o->g->output_count >= WA_LIMIT_ATTRS)
        return wa__fail(err, WA_LIMIT, "%s: the graph has more than %u outputs", o->what, WA_LIMIT_ATTRS);
    return wa__graph_output(o->g, value) ? WA_OK : wa__no_memory(err, "an output");
}

static wa_status refuse_sparse(wa_onnx *o, const wa_pb_field *f, wa_error *err)
{
    return wa__fail(err, WA_UNSUPPORTED, "%s: the initializer at byte %zu is sparse, which is not supported",
                    o->what, f->offset);
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

static wa_status build(wa_onnx *o, wa_error *err)
{
    o->what = wa__arena_strndup(o->g->arena, o->file->name.ptr, o->file->name.len);
    if (!o->what) return wa__no_memory(err, "a name");
    if (o->file->size > SIZE_MAX) return wa__fail(err, WA_LIMIT, "%s is too large for this machine", o->what);
    WA_TRY(read_model(o, err));
    WA_TRY(wa__onnx_check_ops(o, o->graph, err));
    if (wa__import_source(o->g, o->file) == WA_NONE) return wa__no_memory(err, "a source");
    WA_TRY(each(o, G_SPARSE, refuse_sparse, err));
    WA_TRY(each(o, G_NAME, add_name, err));
    WA_TRY(each(o, G_INIT, add_initializer, err));
    WA_TRY(each(o, G_INPUT, add_input, err));
    WA_TRY(each(o, G_NODE, add_node, err));
    WA_TRY(each(o, G_OUTPUT, add_output, err));
    if (o->g->output_count == 0) return wa__fail(err, WA_CORRUPT, "%s: the graph has no outputs", o->what);
    return wa__graph_verify(o->g, err);
}

wa_status wa__import_onnx(const wa_model_files *m, const wa_model_file *file, wa_graph **out, wa_error *err)
{
    wa_onnx o = {.files = m, .file = file};
    WA_TRY(wa__graph_create(&o.g, err));
    wa__names_init(&o.names, o.g);
    wa_status s = build(&o, err);
    wa__names_done(&o.names);
    if (s != WA_OK) {
        wa__graph_free(o.g);
        return s;
    }
    *out = o.g;
    return WA_OK;
}
