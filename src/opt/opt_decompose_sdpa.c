/* Scaled dot product attention out of products, softmax and masks, or as our fused Attention where
 * that computes the same. Shared by every attention operator. See decompose_parts.h. */
#include "opt/decompose_parts.h"
#include "base/checked.h"
#include <math.h>

#define FUSED_SIZE_MAX 128 /* of a head: what the fast kernels take */

uint32_t wa__dp_heads(wa_rw *r, uint32_t x, int64_t heads)
{
    if (r->status != WA_OK) return WA_NONE;
    wa_tensor_type t = *wa__rw_t(r, x);
    uint32_t y = wa__dc_reshape(r, x, (int64_t[]){t.dims[0], t.dims[1], heads, t.dims[2] / heads}, 4);
    return wa__dc_transpose(r, y, (int64_t[]){0, 2, 1, 3}, 4);
}

uint32_t wa__dp_flat(wa_rw *r, uint32_t x)
{
    if (r->status != WA_OK) return WA_NONE;
    wa_tensor_type t = *wa__rw_t(r, x);
    uint32_t y = wa__dc_transpose(r, x, (int64_t[]){0, 2, 1, 3}, 4);
    return wa__dc_reshape(r, y, (int64_t[]){t.dims[0], t.dims[2], t.dims[1] * t.dims[3]}, 3);
}

uint32_t wa__dp_and(wa_rw *r, uint32_t a, uint32_t b)
{
    return a == WA_NONE ? b : b == WA_NONE ? a : wa__dc2(r, WA_OP_And, a, b);
}

/* A constant [s,t] made of the distance j - i. */
static uint32_t table(wa_rw *r, wa_dtype dtype, int64_t s, int64_t t, int64_t low, int64_t high)
{
    wa_tensor_type type = {dtype, 2, {s, t}};
    uint64_t bytes;
    if (r->status != WA_OK) return WA_NONE;
    if (!wa__type_bytes(&type, &bytes) || bytes > WA_LIMIT_FOLD_BYTES) {
        wa__rw_fail(r, wa__fail(r->err, WA_LIMIT, "a mask of %lld x %lld is too large", (long long)s, (long long)t));
        return WA_NONE;
    }
    uint8_t *data = wa__alloc((size_t)bytes + 1, 1);
    if (!wa__rw_need(r, data != NULL)) return WA_NONE;
    wa_view v = {type, data};
    for (int64_t i = 0; i < s; i++)
        for (int64_t j = 0; j < t; j++)
            wa__set_i64(&v, i * t + j, dtype == WA_BOOL ? j - i >= low && j - i <= high : j - i);
    uint32_t c = wa__dp_const(r, &type, data);
    wa__free(data);
    return c;
}

uint32_t wa__dp_band(wa_rw *r, int64_t s, int64_t t, int64_t low, int64_t high) { return table(r, WA_BOOL, s, t, low, high); }
uint32_t wa__dp_distance(wa_rw *r, int64_t s, int64_t t) { return table(r, WA_I64, s, t, 0, 0); }

/* --- the fused form ---------------------------------------------------------------------------------- */
static bool fits_fused(const wa_rw *r, const wa_sdpa *a)
{
    const wa_tensor_type *q = wa__rw_t(r, a->q), *k = wa__rw_t(r, a->k), *v = wa__rw_t(r, a->v);
    int64_t d = a->q_flat ? q->dims[2] / a->heads : q->dims[3], dv = a->kv_flat ? v->dims[2] / a->kv_heads : v->dims[3];
    return q->dtype == WA_F32 && a->heads == a->kv_heads && d == dv && d <= FUSED_SIZE_MAX && a->softcap == 0 && a->sink == WA_NONE && !a->smooth &&
           a->scores_mode < 0 && wa__count(q) > 0 && wa__count(k) > 0;
}

/* Axes of size 1 before its own, up to [b,h,s,t]. */
static uint32_t four_axes(wa_rw *r, uint32_t x)
{
    if (r->status != WA_OK) return WA_NONE;
    wa_tensor_type t = *wa__rw_t(r, x);
    int64_t dims[4] = {1, 1, 1, 1};
    for (uint32_t i = 0; i < t.rank; i++) dims[4 - t.rank + i] = t.dims[i];
    return wa__dc_reshape(r, x, dims, 4);
}

/* 1 where a row has a key, 0 where it has none, as [b|1,s|1,h|1,1]. */
static uint32_t alive_rows(wa_rw *r, uint32_t allowed)
{
    uint32_t x = wa__dc_reduce(r, WA_OP_ReduceMax, four_axes(r, wa__dc_cast(r, allowed, WA_F32)), (int64_t[]){3}, 1, true);
    return wa__dc_transpose(r, x, (int64_t[]){0, 2, 1, 3}, 4);
}

static uint32_t fused(wa_rw *r, const wa_sdpa *a)
{
    uint32_t q = a->q_flat ? a->q : wa__dp_flat(r, a->q), k = a->kv_flat ? a->k : wa__dp_flat(r, a->k), v = a->kv_flat ? a->v : wa__dp_flat(r, a->v), bias = a->bias;
    if (a->allowed != WA_NONE) {
        uint32_t zero = bias == WA_NONE ? wa__dc_scalar(r, WA_F32, 0) : bias;
        bias = wa__dc3(r, WA_OP_Where, a->allowed, zero, wa__dc_scalar(r, WA_F32, WA_MASK_LOW));
    }
    if (bias != WA_NONE) bias = four_axes(r, bias);
    uint32_t n = wa__dc_node(r, WA_OP_Attention, (uint32_t[]){q, k, v, bias}, bias == WA_NONE ? 3 : 4, 1);
    if (n == WA_NONE) return WA_NONE;
    bool ok = wa__node_set_int(r->g, n, "num_heads", a->heads) && wa__node_set_float(r->g, n, "scale", (float)a->scale);
    uint32_t y = wa__rw_need(r, ok) ? wa__dc_out(r, n, 0) : WA_NONE;
    if (r->status != WA_OK) return WA_NONE;
    wa_tensor_type t = *wa__rw_t(r, y);
    if (a->allowed != WA_NONE && a->may_be_empty) {
        y = wa__dc_reshape(r, y, (int64_t[]){t.dims[0], t.dims[1], a->heads, t.dims[2] / a->heads}, 4);
        y = wa__dc2(r, WA_OP_Mul, y, alive_rows(r, a->allowed));
        return a->out_flat ? wa__dc_reshape(r, y, t.dims, 3) : wa__dc_transpose(r, y, (int64_t[]){0, 2, 1, 3}, 4);
    }
    return a->out_flat ? y : wa__dp_heads(r, y, a->heads);
}

/* --- step by step -------------------------------------------------------------------------------------- */
static uint32_t capped(wa_rw *r, uint32_t x, double cap)
{
    return cap == 0 ? x : wa__dp_scaled(r, wa__dc1(r, WA_OP_Tanh, wa__dp_scaled(r, x, 1 / cap)), cap);
}

/* Softmax with one more score a head. */
static uint32_t with_sink(wa_rw *r, const wa_sdpa *a, uint32_t x)
{
    if (r->status != WA_OK) return WA_NONE;
    wa_tensor_type t = *wa__rw_t(r, x);
    int64_t dims[4] = {t.dims[0], t.dims[1], t.dims[2], 1};
    uint32_t s = a->sink == WA_NONE ? wa__dp_zeros(r, t.dtype, (int64_t[]){1, 1, 1, 1}, 4)
                                    : wa__dc_reshape(r, wa__dc_cast(r, a->sink, t.dtype), (int64_t[]){1, t.dims[1], 1, 1}, 4);
    uint32_t all = wa__dc_concat(r, (uint32_t[]){x, wa__dp_expand(r, s, dims, 4)}, 2, 3);
    return wa__dc_slice(r, wa__dp_softmax(r, all), 3, 0, t.dims[3]);
}

static uint32_t masked(wa_rw *r, const wa_sdpa *a, uint32_t x, double other)
{
    if (r->status != WA_OK) return WA_NONE;
    return a->allowed == WA_NONE ? x : wa__dc3(r, WA_OP_Where, a->allowed, x, wa__dc_scalar(r, wa__rw_t(r, x)->dtype, other));
}

static void keep(wa_sdpa *a, int mode, uint32_t x)
{
    if (a->scores_mode == mode) a->scores = x;
}

uint32_t wa__dp_attend(wa_rw *r, wa_sdpa *a)
{
    if (r->status != WA_OK) return WA_NONE;
    a->scores = WA_NONE;
    if (fits_fused(r, a)) return fused(r, a);
    uint32_t q = a->q_flat ? wa__dp_heads(r, a->q, a->heads) : a->q, k = a->kv_flat ? wa__dp_heads(r, a->k, a->kv_heads) : a->k;
    uint32_t v = a->kv_flat ? wa__dp_heads(r, a->v, a->kv_heads) : a->v;
    if (r->status != WA_OK) return WA_NONE;
    wa_tensor_type qt = *wa__rw_t(r, q), kt = *wa__rw_t(r, k), vt = *wa__rw_t(r, v);
    int64_t b = qt.dims[0], s = qt.dims[2], t = kt.dims[2], n = b * a->kv_heads, rows = a->heads / a->kv_heads * s;
    uint32_t kx = wa__dc_reshape(r, wa__dc_transpose(r, k, (int64_t[]){0, 1, 3, 2}, 4), (int64_t[]){n, kt.dims[3], t}, 3);
    uint32_t x = wa__dc2(r, WA_OP_MatMul, wa__dc_reshape(r, q, (int64_t[]){n, rows, qt.dims[3]}, 3), kx);
    x = wa__dp_scaled(r, wa__dc_reshape(r, x, (int64_t[]){b, a->heads, s, t}, 4), a->scale);
    keep(a, 0, x);
    if (a->mask_first && a->bias != WA_NONE) x = wa__dc2(r, WA_OP_Add, x, a->bias);
    x = capped(r, x, a->softcap);
    keep(a, 1, x);
    if (!a->mask_first && a->bias != WA_NONE) x = wa__dc2(r, WA_OP_Add, x, a->bias);
    if (a->scores_mode == 2) keep(a, 2, masked(r, a, x, -HUGE_VAL));
    x = masked(r, a, x, WA_MASK_LOW);
    x = a->sink != WA_NONE || a->smooth ? with_sink(r, a, x) : wa__dp_softmax(r, x);
    if (a->may_be_empty) x = masked(r, a, x, 0);
    keep(a, 3, x);
    uint32_t y = wa__dc2(r, WA_OP_MatMul, wa__dc_reshape(r, x, (int64_t[]){n, rows, t}, 3), wa__dc_reshape(r, v, (int64_t[]){n, t, vt.dims[3]}, 3));
    y = wa__dc_reshape(r, y, (int64_t[]){b, a->heads, s, vt.dims[3]}, 4);
    return a->out_flat ? wa__dp_flat(r, y) : y;
}

/* --- rotary positions ------------------------------------------------------------------------------------ */
uint32_t wa__dp_rotate(wa_rw *r, uint32_t x, uint32_t cos, uint32_t sin, int64_t rotary, bool interleaved)
{
    if (r->status != WA_OK) return WA_NONE;
    wa_tensor_type t = *wa__rw_t(r, x), c = *wa__rw_t(r, cos);
    int64_t d = t.dims[3], half, by_head[4] = {c.dims[0], c.dims[1], 1, c.dims[2]};
    if (rotary <= 0) rotary = d;
    half = rotary / 2;
    uint32_t part = rotary == d ? x : wa__dc_slice(r, x, 3, 0, rotary), a, b;
    cos = wa__dc_reshape(r, cos, by_head, 4);
    sin = wa__dc_reshape(r, sin, by_head, 4);
    if (interleaved) {
        a = wa__dp_slice_step(r, part, 3, 0, rotary, 2);
        b = wa__dp_slice_step(r, part, 3, 1, rotary, 2);
    } else {
        a = wa__dc_slice(r, part, 3, 0, half);
        b = wa__dc_slice(r, part, 3, half, rotary);
    }
    uint32_t real = wa__dc2(r, WA_OP_Sub, wa__dc2(r, WA_OP_Mul, cos, a), wa__dc2(r, WA_OP_Mul, sin, b));
    uint32_t imag = wa__dc2(r, WA_OP_Add, wa__dc2(r, WA_OP_Mul, sin, a), wa__dc2(r, WA_OP_Mul, cos, b));
    int64_t pair[5] = {t.dims[0], t.dims[1], t.dims[2], half, 1}, whole[4] = {t.dims[0], t.dims[1], t.dims[2], rotary};
    if (interleaved) {
        part = wa__dc_concat(r, (uint32_t[]){wa__dc_reshape(r, real, pair, 5), wa__dc_reshape(r, imag, pair, 5)}, 2, 4);
        part = wa__dc_reshape(r, part, whole, 4);
        return rotary == d ? part : wa__dc_concat(r, (uint32_t[]){part, wa__dc_slice(r, x, 3, rotary, d)}, 2, 3);
    }
    if (rotary == d) return wa__dc_concat(r, (uint32_t[]){real, imag}, 2, 3);
    return wa__dc_concat(r, (uint32_t[]){real, imag, wa__dc_slice(r, x, 3, rotary, d)}, 3, 3);
}
