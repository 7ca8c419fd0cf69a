/* See fused.h. */
#include "kernels/fused.h"

static wa_status bias(const wa_kernel_args *a, uint32_t i, wa_attention *t, wa_error *err)
{
    t->bias = WA_NO_INPUT;
    if (!wa__kernel_has(a, i)) return WA_OK;
    wa_tensor_type scores = {WA_F32, 4, {t->batch, t->heads, t->queries, t->keys}};
    if (!wa__dtype_is_float(a->in[i].type.dtype) || !wa__broadcast_strides(&a->in[i].type, &scores, t->bias_stride))
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "the bias does not broadcast to [%lld,%lld,%lld,%lld]", (long long)t->batch, (long long)t->heads, (long long)t->queries, (long long)t->keys);
    t->bias = i;
    return WA_OK;
}

static wa_status floats(const wa_kernel_args *a, uint32_t count, wa_error *err)
{
    for (uint32_t i = 0; i < count; i++)
        if (!wa__dtype_is_float(a->in[i].type.dtype)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "input %u must be floats", i);
    return WA_OK;
}

wa_status wa__attention_describe(const wa_kernel_args *a, wa_attention *out, wa_error *err)
{
    const wa_tensor_type *q = &a->in[0].type;
    int64_t heads = wa__kernel_int(a, "num_heads", 0);
    bool packed = a->op == WA_OP_QkvAttention;
    WA_TRY(floats(a, packed ? 1 : 3, err));
    if (q->rank != 3 || heads < 1) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "queries must be [batch, tokens, heads*size] and num_heads positive");
    *out = (wa_attention){.batch = q->dims[0], .heads = heads, .queries = q->dims[1], .keys = q->dims[1]};
    out->scale = wa__kernel_float(a, "scale", 1.0f);
    int64_t width = packed ? q->dims[2] / 3 : q->dims[2], value_width = width;
    out->q_row = out->k_row = out->v_row = q->dims[2];
    if (packed) {
        if (q->dims[2] % 3 != 0) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "width %lld is no multiple of 3", (long long)q->dims[2]);
        out->k_at = width;
        out->v_at = 2 * width;
    } else {
        const wa_tensor_type *k = &a->in[1].type, *v = &a->in[2].type;
        if (k->rank != 3 || v->rank != 3 || k->dims[0] != out->batch || v->dims[0] != out->batch || k->dims[1] != v->dims[1] || k->dims[2] != width)
            return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "keys and values do not fit the queries");
        out->keys = k->dims[1];
        value_width = out->v_row = v->dims[2];
        out->k = 1;
        out->v = 2;
    }
    if (width % heads != 0 || value_width % heads != 0) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "width %lld does not divide into %lld heads", (long long)width, (long long)heads);
    out->size = width / heads;
    out->value_size = value_width / heads;
    WA_TRY(wa__kernel_want(a, 0, &(wa_tensor_type){q->dtype, 3, {out->batch, out->queries, value_width}}, err));
    return bias(a, packed ? 1 : 3, out, err);
}

static wa_status vector(const wa_kernel_args *a, uint32_t i, int64_t width, wa_error *err)
{
    if (wa__dtype_is_float(a->in[i].type.dtype) && wa__count(&a->in[i].type) == width) return WA_OK;
    return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "input %u has not %lld floats", i, (long long)width);
}

static wa_status table(const wa_kernel_args *a, uint32_t i, int64_t width, wa_error *err)
{
    const wa_tensor_type *t = &a->in[i].type;
    if (t->rank == 2 && t->dims[1] == width && wa__dtype_is_float(t->dtype)) return WA_OK;
    return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "input %u is no table of %lld columns", i, (long long)width);
}

static wa_status ids(const wa_kernel_args *a, uint32_t i, int64_t count, wa_error *err)
{
    if (!wa__kernel_has(a, i)) return WA_OK;
    if (!wa__dtype_is_float(a->in[i].type.dtype) && wa__count(&a->in[i].type) == count) return WA_OK;
    return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "input %u has not %lld integers", i, (long long)count);
}

static wa_status embed(const wa_kernel_args *a, wa_rows *r, wa_error *err)
{
    const wa_tensor_type *tokens = &a->in[0].type;
    if (a->in_count < 7 || a->in[5].type.dtype == WA_DTYPE_NONE || a->in[6].type.dtype == WA_DTYPE_NONE) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "gamma or beta is missing");
    if (tokens->rank != 2 || a->in[2].type.rank != 2) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "input_ids must be [batch, tokens]");
    r->width = a->in[2].type.dims[1];
    r->rows = wa__count(tokens);
    WA_TRY(ids(a, 0, r->rows, err));
    WA_TRY(ids(a, 1, r->rows, err));
    WA_TRY(table(a, 2, r->width, err));
    WA_TRY(table(a, 3, r->width, err));
    if (wa__kernel_has(a, 4)) WA_TRY(table(a, 4, r->width, err));
    WA_TRY(vector(a, 5, r->width, err));
    WA_TRY(vector(a, 6, r->width, err));
    if (wa__kernel_has(a, 7)) {
        int64_t n = wa__count(&a->in[7].type);
        WA_TRY(ids(a, 7, n == tokens->dims[1] ? n : r->rows, err));
    }
    return wa__kernel_want(a, 0, &(wa_tensor_type){a->in[2].type.dtype, 3, {tokens->dims[0], tokens->dims[1], r->width}}, err);
}

wa_status wa__rows_describe(const wa_kernel_args *a, wa_rows *out, wa_error *err)
{
    const wa_tensor_type *x = &a->in[0].type;
    if (a->op == WA_OP_EmbedLayerNorm) return embed(a, out, err);
    WA_TRY(floats(a, 1, err));
    if (x->rank == 0) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its input must have an axis");
    out->width = x->dims[x->rank - 1];
    if (a->op == WA_OP_L2Normalize || a->op == WA_OP_SkipLayerNorm) {
        out->rows = wa__dims_product(x, 0, x->rank - 1);
        if (a->op == WA_OP_SkipLayerNorm) {
            if (wa__count(&a->in[1].type) != wa__count(x) || !wa__dtype_is_float(a->in[1].type.dtype)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "the skip input has not the input's shape");
            WA_TRY(vector(a, 2, out->width, err));
            WA_TRY(vector(a, 3, out->width, err));
        }
        return wa__kernel_want(a, 0, x, err);
    }
    if (x->rank != 3) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its input must be [batch, tokens, width]");
    out->rows = x->dims[0];
    if (a->op != WA_OP_ClsPool && wa__count(&a->in[1].type) != x->dims[0] * x->dims[1]) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "the mask has not [batch, tokens]");
    if (a->op == WA_OP_ClsPool && x->dims[1] < 1) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "there is no first token");
    return wa__kernel_want(a, 0, &(wa_tensor_type){x->dtype, 2, {x->dims[0], out->width}}, err);
}

static wa_status in_table(const wa_kernel_args *a, const char *what, int64_t *id, int64_t limit, wa_error *err)
{
    if (*id < -limit || *id >= limit) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "%s %lld is out of range: the table has %lld rows", what, (long long)*id, (long long)limit);
    if (*id < 0) *id += limit;
    return WA_OK;
}

wa_status wa__embed_places(const wa_kernel_args *a, int64_t r, int64_t *word, int64_t *position, int64_t *type, wa_error *err)
{
    int64_t tokens = a->in[0].type.dims[1];
    *word = wa__get_i64(&a->in[0], r);
    WA_TRY(in_table(a, "token id", word, a->in[2].type.dims[0], err));
    *position = r % tokens;
    if (wa__kernel_has(a, 7)) *position = wa__get_i64(&a->in[7], wa__count(&a->in[7].type) == tokens ? r % tokens : r);
    WA_TRY(in_table(a, "position", position, a->in[3].type.dims[0], err));
    *type = -1;
    if (!wa__kernel_has(a, 4)) return WA_OK;
    *type = wa__kernel_has(a, 1) ? wa__get_i64(&a->in[1], r) : 0;
    return in_table(a, "token type", type, a->in[4].type.dims[0], err);
}
