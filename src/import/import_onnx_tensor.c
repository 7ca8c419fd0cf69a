/* TensorProto to constants. In: a tensor's message. Out: a constant of the graph, its bytes borrowed
 * from the mapped file wherever they are stored raw. Called by import_onnx.c and import_onnx_attr.c. */
#include "import/import_onnx_int.h"

enum {
    T_DIMS = 1,
    T_TYPE = 2,
    T_SEGMENT = 3,
    T_FLOAT = 4,
    T_INT32 = 5,
    T_INT64 = 7,
    T_NAME = 8,
    T_RAW = 9,
    T_DOUBLE = 10,
    T_UINT64 = 11,
    T_EXTERNAL = 13,
    T_LOCATION = 14
};

static const char *type_name(int64_t onnx)
{
    static const char *const names[] = {
        "undefined",      "float",      "uint8",          "int8",       "uint16",   "int16",
        "int32",          "int64",      "string",         "bool",       "float16",  "double",
        "uint32",         "uint64",     "complex64",      "complex128", "bfloat16", "float8e4m3fn",
        "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "uint4",      "int4",     "float4e2m1",
        "float8e8m0",     "uint2",      "int2"};
    return onnx >= 0 && onnx < (int64_t)(sizeof names / sizeof *names) ? names[onnx] : "unknown";
}

typedef struct dims_to {
    wa_tensor_type *type;
    bool negative;
} dims_to;

static void put_dim(void *user, uint64_t i, uint64_t raw)
{
    dims_to *d = user;
    if (wa__pb_int(raw) < 0) d->negative = true;
    if (i < WA_RANK_MAX) d->type->dims[i] = wa__pb_int(raw);
}

static wa_status read_dims(const wa_onnx *o, wa_onnx_tensor *t, wa_error *err)
{
    uint64_t rank = 0;
    dims_to d = {&t->type, false};
    WA_TRY(wa__pb_list(t->body, T_DIMS, WA_PB_VARINT, put_dim, &d, &rank, err));
    if (d.negative)
        return wa__fail(err, WA_CORRUPT, "%s: tensor \"%.*s\" at byte %zu has a negative dimension", o->what,
                        WA_STR_ARG(t->name), t->offset);
    if (rank > WA_RANK_MAX)
        return wa__fail(err, WA_UNSUPPORTED,
                        "%s: tensor \"%.*s\" at byte %zu has %llu dimensions; at most %d are supported",
                        o->what, WA_STR_ARG(t->name), t->offset, (unsigned long long)rank, WA_RANK_MAX);
    t->type.rank = (uint32_t)rank;
    t->type.dtype = wa__dtype_from_onnx(t->onnx_type);
    if (wa__dtype_info(t->type.dtype)->bits == 0)
        return wa__fail(err, WA_UNSUPPORTED,
                        "%s: tensor \"%.*s\" at byte %zu has element type %s (%lld), which is not supported",
                        o->what, WA_STR_ARG(t->name), t->offset, type_name(t->onnx_type),
                        (long long)t->onnx_type);
    return WA_OK;
}

wa_status wa__onnx_tensor_read(const wa_onnx *o, const wa_pb_field *f, wa_onnx_tensor *out, wa_error *err)
{
    WA_TRY(wa__pb_want(f, WA_PB_BYTES, "a tensor", o->what, err));
    *out = (wa_onnx_tensor){.body = f->body, .offset = f->offset};
    wa_reader r = f->body;
    wa_pb_field t;
    bool more = false;
    for (;;) {
        WA_TRY(wa__pb_next(&r, &t, &more, err));
        if (!more) break;
        if (t.number == T_TYPE || t.number == T_LOCATION)
            WA_TRY(wa__pb_want(&t, WA_PB_VARINT, "a tensor's type", o->what, err));
        if (t.number == T_NAME || t.number == T_RAW || t.number == T_EXTERNAL || t.number == T_SEGMENT)
            WA_TRY(wa__pb_want(&t, WA_PB_BYTES, "a tensor's field", o->what, err));
        if (t.number == T_TYPE)
            out->onnx_type = wa__pb_int(t.value);
        else if (t.number == T_NAME)
            out->name = t.bytes;
        else if (t.number == T_RAW) {
            out->raw = t.bytes;
            out->has_raw = true;
        } else if (t.number == T_LOCATION)
            out->external = t.value == 1;
        else if (t.number == T_SEGMENT)
            return wa__fail(err, WA_UNSUPPORTED,
                            "%s: the tensor at byte %zu comes in segments, which are not supported", o->what,
                            f->offset);
    }
    if (!wa__import_name_ok(out->name))
        return wa__fail(err, WA_CORRUPT,
                        "%s: the tensor at byte %zu has a name that is no UTF-8 text of at most %u bytes",
                        o->what, f->offset, WA_LIMIT_NAME_BYTES);
    return read_dims(o, out, err);
}

/* --- external data --------------------------------------------------------------------------------- */

typedef struct external {
    wa_str location;
    uint64_t offset, length;
    bool has_length;
} external;

static wa_status read_entry(const wa_onnx *o, const wa_onnx_tensor *t, wa_reader r, external *x,
                            wa_error *err)
{
    wa_str key = {0}, value = {0};
    wa_pb_field f;
    bool more = false;
    for (;;) {
        WA_TRY(wa__pb_next(&r, &f, &more, err));
        if (!more) break;
        if (f.number != 1 && f.number != 2) continue;
        WA_TRY(wa__pb_want(&f, WA_PB_BYTES, "an external_data entry", o->what, err));
        if (f.number == 1)
            key = f.bytes;
        else
            value = f.bytes;
    }
    bool ok = true;
    if (wa__str_is(key, "location"))
        x->location = value;
    else if (wa__str_is(key, "offset"))
        ok = wa__parse_u64(value, &x->offset);
    else if (wa__str_is(key, "length"))
        ok = x->has_length = wa__parse_u64(value, &x->length);
    if (ok) return WA_OK;
    return wa__fail(err, WA_CORRUPT, "%s: tensor \"%.*s\" at byte %zu: external %.*s is no number", o->what,
                    WA_STR_ARG(t->name), t->offset, WA_STR_ARG(key));
}

static wa_status find_external(const wa_onnx *o, const wa_onnx_tensor *t, const wa_model_file **file,
                               const uint8_t **data, uint64_t *size, wa_error *err)
{
    external x = {0};
    wa_reader r = t->body;
    wa_pb_field f;
    bool more = false;
    for (;;) {
        WA_TRY(wa__pb_next(&r, &f, &more, err));
        if (!more) break;
        if (f.number == T_EXTERNAL) WA_TRY(read_entry(o, t, f.body, &x, err));
    }
    const wa_model_file *found = NULL;
    wa_status s = wa__model_file_beside(o->m->files, o->m->file->name, x.location, &found, err);
    if (s != WA_OK) return wa__fail_in(err, s, "tensor \"%.*s\" at byte %zu", WA_STR_ARG(t->name), t->offset);
    uint64_t left = x.offset <= found->size ? found->size - x.offset : 0;
    if (x.offset > found->size || (x.has_length && x.length > left))
        return wa__fail(err, WA_CORRUPT,
                        "%s: tensor \"%.*s\" at byte %zu lies at %llu in %.*s, which has %llu bytes", o->what,
                        WA_STR_ARG(t->name), t->offset, (unsigned long long)x.offset, WA_STR_ARG(x.location),
                        (unsigned long long)found->size);
    *file = found;
    *data = found->data ? found->data + x.offset : NULL;
    *size = x.has_length ? x.length : left;
    /* without a length the rest of the file is allowed, so only the need counts */
    if (!x.has_length && *size > wa__bytes(&t->type)) *size = wa__bytes(&t->type);
    return WA_OK;
}

/* --- typed data ------------------------------------------------------------------------------------ */

typedef struct typed_to {
    uint8_t *data;
    unsigned size; /* bytes of an element */
} typed_to;

/* Little-endian: the low bytes of the raw value are the element, whatever list it came from. */
static void put_typed(void *user, uint64_t i, uint64_t raw)
{
    typed_to *t = user;
    memcpy(t->data + i * t->size, &raw, t->size);
}

static uint32_t typed_field(wa_dtype d, unsigned *wire)
{
    *wire = WA_PB_VARINT;
    if (d == WA_F32) {
        *wire = WA_PB_FIXED32;
        return T_FLOAT;
    }
    if (d == WA_F64) {
        *wire = WA_PB_FIXED64;
        return T_DOUBLE;
    }
    if (d == WA_I64) return T_INT64;
    if (d == WA_U32 || d == WA_U64) return T_UINT64;
    return T_INT32;
}

/* int32_data holds one element a number; of the types below a byte, one byte of them. */
static wa_status typed_data(const wa_onnx *o, const wa_onnx_tensor *t, void **owned, wa_error *err)
{
    unsigned wire = 0, size = wa__dtype_size(t->type.dtype);
    uint32_t field = typed_field(t->type.dtype, &wire);
    uint64_t count = 0, want = size ? (uint64_t)wa__count(&t->type) : wa__bytes(&t->type);
    if (!size) size = 1;
    WA_TRY(wa__pb_list(t->body, field, wire, NULL, NULL, &count, err));
    if (count != want)
        return wa__fail(err, WA_CORRUPT,
                        "%s: tensor \"%.*s\" at byte %zu has %llu elements, its shape says %llu", o->what,
                        WA_STR_ARG(t->name), t->offset, (unsigned long long)count, (unsigned long long)want);
    typed_to to = {wa__alloc((size_t)count, size), size};
    if (!to.data) return wa__no_memory(err, "a tensor");
    *owned = to.data;
    return wa__pb_list(t->body, field, wire, put_typed, &to, NULL, err);
}

wa_status wa__onnx_tensor_data(const wa_onnx *o, const wa_onnx_tensor *t, const wa_model_file **file, const uint8_t **data, void **owned,
                               wa_error *err)
{
    uint64_t bytes = 0, size = t->raw.len;
    *file = o->m->file;
    *data = (const uint8_t *)t->raw.ptr;
    *owned = NULL;
    if (!wa__type_bytes(&t->type, &bytes))
        return wa__fail(err, WA_CORRUPT, "%s: tensor \"%.*s\" at byte %zu has an impossible size", o->what,
                        WA_STR_ARG(t->name), t->offset);
    if (t->external)
        WA_TRY(find_external(o, t, file, data, &size, err));
    else if (!t->has_raw) {
        WA_TRY(typed_data(o, t, owned, err));
        *data = *owned;
        return WA_OK;
    }
    if (size != bytes)
        return wa__fail(
            err, WA_CORRUPT, "%s: tensor \"%.*s\" at byte %zu has %llu bytes of data, its shape needs %llu",
            o->what, WA_STR_ARG(t->name), t->offset, (unsigned long long)size, (unsigned long long)bytes);
    return WA_OK;
}

wa_status wa__onnx_tensor_const(wa_onnx *o, const wa_onnx_tensor *t, wa_str name, uint32_t *value,
                                wa_error *err)
{
    const wa_model_file *file = NULL;
    const uint8_t *data = NULL;
    void *owned = NULL;
    wa_status s = wa__onnx_tensor_data(o, t, &file, &data, &owned, err);
    uint32_t source = 0;
    *value = WA_NONE;
    if (s == WA_OK) {
        bool borrow = !owned && wa__bytes(&t->type) > 0;
        if (borrow) source = wa__onnx_source(o, file);
        if (source != WA_NONE) *value = wa__graph_const(o->g, name, &t->type, owned || borrow ? (const void *)data : "", borrow ? (int32_t)source : -1);
        if (*value == WA_NONE) s = wa__no_memory(err, "a constant");
    }
    wa__free(owned);
    return s;
}
