/* ValueInfoProto: names and types of inputs and outputs. In: its message. Out: a name and a tensor type,
 * sizes that are open as symbols of the graph. Called by import_onnx_graph.c.
 *
 * TypeProto { 1 tensor { 1 elem_type, 2 shape { 1 dim* } }, 4 sequence, 5 map, 7 opaque, 8 sparse, 9 optional } */
#include "import/import_onnx_int.h"

wa_status wa__onnx_info_read(const wa_onnx *o, const wa_pb_field *field, wa_onnx_info *out, wa_error *err)
{
    wa_reader r = field->body;
    wa_pb_field f;
    bool more = false;
    WA_TRY(wa__pb_want(field, WA_PB_BYTES, "an input or output", o->what, err));
    *out = (wa_onnx_info){.offset = field->offset};
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

/* One Dimension: a size, a name, or neither, which becomes a symbol of the input's own; so does "?", which
 * PaddlePaddle's exporter writes for every size that it does not know. */
static wa_status read_dim(wa_onnx *o, const wa_onnx_info *v, wa_reader r, uint32_t axis, int64_t *dim,
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
    if (wa__str_is(name, "?")) name.len = 0; /* Paddle's exporter writes it for any dim that is open */
    if (*dim >= 0 && !name.len) return WA_OK;
    if (!name.len || wa__str_is(name, "?")) {
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

static wa_status read_shape(wa_onnx *o, const wa_onnx_info *v, wa_reader r, wa_tensor_type *type, wa_error *err)
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

/* A sub-graph need not say its inputs' types, nor what rank they have. */
static wa_status untyped(const wa_onnx *o, const wa_onnx_info *v, const char *kind, wa_error *err)
{
    if (!kind && o->outer) return WA_OK;
    return wa__fail(err, WA_UNSUPPORTED,
                    "%s: input \"%.*s\" at byte %zu is %s: only tensors are supported, no sequences, maps or optionals",
                    o->what, WA_STR_ARG(v->name), v->offset, kind ? kind : "given no type");
}

static wa_status read_tensor_type(wa_onnx *o, const wa_onnx_info *v, wa_reader r, wa_tensor_type *type, int64_t *element,
                                  wa_error *err)
{
    wa_pb_field x;
    for (bool more = false;;) {
        WA_TRY(wa__pb_next(&r, &x, &more, err));
        if (!more) return WA_OK;
        if (x.number == 1) {
            WA_TRY(wa__pb_want(&x, WA_PB_VARINT, "an element type", o->what, err));
            *element = wa__pb_int(x.value);
        } else if (x.number == 2) {
            WA_TRY(wa__pb_want(&x, WA_PB_BYTES, "a shape", o->what, err));
            WA_TRY(read_shape(o, v, x.body, type, err));
        }
    }
}

wa_status wa__onnx_info_type(wa_onnx *o, const wa_onnx_info *v, wa_tensor_type *type, wa_error *err)
{
    static const char *const kinds[] = {NULL, NULL, NULL, NULL, "a sequence", "a map", NULL, "opaque", "a sparse tensor", "an optional"};
    wa_reader r = v->type;
    wa_pb_field f;
    bool more = false, tensor = false;
    const char *kind = NULL;
    int64_t element = 0;
    *type = (wa_tensor_type){.rank = WA_RANK_UNKNOWN};
    for (; v->has_type;) {
        WA_TRY(wa__pb_next(&r, &f, &more, err));
        if (!more) break;
        if (f.number < sizeof kinds / sizeof *kinds && kinds[f.number]) kind = kinds[f.number];
        if (f.number != 1) continue;
        WA_TRY(wa__pb_want(&f, WA_PB_BYTES, "a tensor type", o->what, err));
        tensor = true;
        WA_TRY(read_tensor_type(o, v, f.body, type, &element, err));
    }
    if (!tensor) return untyped(o, v, kind, err);
    type->dtype = wa__dtype_from_onnx(element);
    if (type->dtype) return WA_OK;
    if (element == 0 && o->outer) {
        *type = (wa_tensor_type){.rank = WA_RANK_UNKNOWN};
        return WA_OK;
    }
    return wa__fail(err, WA_UNSUPPORTED,
                    "%s: input \"%.*s\" at byte %zu has element type %s (%lld of ONNX), which is not supported", o->what,
                    WA_STR_ARG(v->name), v->offset, element == 8 ? "string" : element == 14 || element == 15 ? "complex" : "unknown",
                    (long long)element);
}
