/* Sparse tensors to dense constants. In: a SparseTensorProto. Out: a constant of the graph, zeros where the
 * file has no element. Called by import_onnx_graph.c and import_onnx_constant.c.
 *
 * SparseTensorProto { 1 values (its name is the tensor's), 2 indices, 3 dims* }: indices are i64, one place in
 * the flattened tensor or one a dimension for each value. */
#include "import/import_onnx_int.h"

enum { S_VALUES = 1, S_INDICES = 2, S_DIMS = 3 };

typedef struct sparse {
    wa_onnx_tensor values, indices;
    bool has_values, has_indices, negative;
    wa_tensor_type type;
    uint64_t rank;
    size_t offset;
} sparse;

static void put_dim(void *user, uint64_t i, uint64_t raw)
{
    sparse *s = user;
    if (wa__pb_int(raw) < 0) s->negative = true;
    if (i < WA_RANK_MAX) s->type.dims[i] = wa__pb_int(raw);
}

static wa_status bad(const wa_onnx *o, const sparse *s, wa_status status, const char *why, wa_error *err)
{
    return wa__fail(err, status, "%s: the sparse tensor \"%.*s\" at byte %zu %s", o->what, WA_STR_ARG(s->values.name), s->offset, why);
}

static wa_status read_sparse(const wa_onnx *o, const wa_pb_field *f, sparse *s, wa_error *err)
{
    wa_reader r = f->body;
    wa_pb_field x;
    *s = (sparse){.offset = f->offset};
    for (bool more = false;;) {
        WA_TRY(wa__pb_next(&r, &x, &more, err));
        if (!more) break;
        if (x.number == S_VALUES) {
            WA_TRY(wa__onnx_tensor_read(o, &x, &s->values, err));
            s->has_values = true;
        } else if (x.number == S_INDICES) {
            WA_TRY(wa__onnx_tensor_read(o, &x, &s->indices, err));
            s->has_indices = true;
        }
    }
    WA_TRY(wa__pb_list(f->body, S_DIMS, WA_PB_VARINT, put_dim, s, &s->rank, err));
    if (!s->has_values) return bad(o, s, WA_CORRUPT, "has no values", err);
    if (s->rank > WA_RANK_MAX) return bad(o, s, WA_UNSUPPORTED, "has too many dimensions", err);
    s->type.rank = (uint32_t)s->rank;
    s->type.dtype = s->values.type.dtype;
    uint64_t bytes;
    if (s->negative || !wa__type_bytes(&s->type, &bytes)) return bad(o, s, WA_CORRUPT, "has an impossible size", err);
    if (bytes > WA_LIMIT_FOLD_BYTES) return bad(o, s, WA_LIMIT, "is too large to be made dense", err);
    if (!wa__dtype_size(s->type.dtype)) return bad(o, s, WA_UNSUPPORTED, "has elements smaller than a byte", err);
    if (s->values.type.rank != 1) return bad(o, s, WA_CORRUPT, "has values that are no list", err);
    return WA_OK;
}

/* The place of value i in the dense tensor; false when it lies outside. */
static bool place(const sparse *s, const wa_view *indices, int64_t i, int64_t *out)
{
    int64_t at = 0;
    if (indices->type.rank == 1) at = wa__get_i64(indices, i);
    else
        for (uint32_t d = 0; d < s->type.rank; d++) {
            int64_t k = wa__get_i64(indices, i * s->type.rank + d);
            if (k < 0 || k >= s->type.dims[d]) return false;
            at = at * s->type.dims[d] + k;
        }
    *out = at;
    return at >= 0 && at < wa__count(&s->type);
}

static wa_status fill(const wa_onnx *o, const sparse *s, const uint8_t *values, const wa_view *indices, uint8_t *dense, wa_error *err)
{
    size_t size = wa__dtype_size(s->type.dtype);
    int64_t count = wa__count(&s->values.type), at;
    const wa_tensor_type *t = &indices->type;
    bool fits = t->dtype == WA_I64 && ((t->rank == 1 && t->dims[0] == count) || (t->rank == 2 && t->dims[0] == count && t->dims[1] == s->type.rank));
    if (count && (!s->has_indices || !fits)) return bad(o, s, WA_CORRUPT, "has indices that do not fit its values", err);
    for (int64_t i = 0; i < count; i++) {
        if (!place(s, indices, i, &at)) return bad(o, s, WA_CORRUPT, "has an index out of range", err);
        memcpy(dense + (size_t)at * size, values + (size_t)i * size, size);
    }
    return WA_OK;
}

wa_status wa__onnx_sparse(wa_onnx *o, const wa_pb_field *f, wa_str *name, uint32_t *value, wa_error *err)
{
    sparse s;
    const wa_model_file *file;
    const uint8_t *values = NULL, *indices = NULL;
    void *owned_values = NULL, *owned_indices = NULL;
    WA_TRY(wa__pb_want(f, WA_PB_BYTES, "a sparse tensor", o->what, err));
    WA_TRY(read_sparse(o, f, &s, err));
    uint8_t *dense = wa__alloc((size_t)wa__bytes(&s.type) + 1, 1);
    wa_status st = dense ? WA_OK : wa__no_memory(err, "a sparse tensor");
    if (st == WA_OK) st = wa__onnx_tensor_data(o, &s.values, &file, &values, &owned_values, err);
    if (st == WA_OK && s.has_indices) st = wa__onnx_tensor_data(o, &s.indices, &file, &indices, &owned_indices, err);
    if (st == WA_OK) {
        union { const uint8_t *in; void *data; } u = {.in = indices};
        st = fill(o, &s, values, &(wa_view){s.indices.type, u.data}, dense, err);
    }
    *value = WA_NONE;
    if (st == WA_OK) {
        *value = wa__graph_const(o->g, WA_STR(""), &s.type, dense, -1);
        if (*value == WA_NONE) st = wa__no_memory(err, "a sparse tensor");
    }
    *name = s.values.name;
    wa__free(owned_values);
    wa__free(owned_indices);
    wa__free(dense);
    return st;
}
