/* See tensor.h. */
#include "base/tensor.h"
#include "base/checked.h"
#include "base/limits.h"
#include <math.h>
#include <stdio.h>

bool wa__type_count(const wa_tensor_type *t, int64_t *out)
{
    int64_t n = 1;
    if (t->rank > WA_RANK_MAX) return false;
    for (uint32_t i = 0; i < t->rank; i++)
        if (t->dims[i] < 0 || t->dims[i] > WA_LIMIT_ELEMENTS) return false;
    for (uint32_t i = 0; i < t->rank; i++)
        if (t->dims[i] == 0) {
            *out = 0;
            return true;
        }
    for (uint32_t i = 0; i < t->rank; i++)
        if (!wa__mul_i64(n, t->dims[i], &n) || n > WA_LIMIT_ELEMENTS) return false;
    *out = n;
    return true;
}

bool wa__type_bytes(const wa_tensor_type *t, uint64_t *out)
{
    int64_t n;
    unsigned bits = wa__dtype_info(t->dtype)->bits;
    if (bits == 0 || !wa__type_count(t, &n)) return false;
    *out = ((uint64_t)n * bits + 7) / 8; /* n <= 2^40, bits <= 64: no overflow */
    return true;
}

bool wa__type_eq(const wa_tensor_type *a, const wa_tensor_type *b)
{
    if (a->dtype != b->dtype || a->rank != b->rank) return false;
    for (uint32_t i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i]) return false;
    return true;
}

int64_t wa__count(const wa_tensor_type *t)
{
    int64_t n = 0;
    return wa__type_count(t, &n) ? n : 0;
}

uint64_t wa__bytes(const wa_tensor_type *t)
{
    uint64_t n = 0;
    return wa__type_bytes(t, &n) ? n : 0;
}

unsigned wa__dtype_size(wa_dtype d)
{
    unsigned bits = wa__dtype_info(d)->bits;
    return bits < 8 ? 0 : bits / 8;
}

bool wa__dtype_is_float(wa_dtype d) { return d == WA_F32 || d == WA_F16 || d == WA_BF16 || d == WA_F64 || wa__small_float(d); }

bool wa__dtype_is_packed(wa_dtype d)
{
    unsigned bits = wa__dtype_info(d)->bits;
    return bits > 0 && bits < 8;
}

void wa__type_text(const wa_tensor_type *t, char *out, size_t n)
{
    size_t at = (size_t)snprintf(out, n, "%s[", wa__dtype_info(t->dtype)->name);
    for (uint32_t i = 0; i < t->rank && i < WA_RANK_MAX && at < n; i++)
        at += (size_t)snprintf(out + at, n - at, i ? ",%lld" : "%lld", (long long)t->dims[i]);
    if (at < n) snprintf(out + at, n - at, "]");
}

float wa__f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, e = (h >> 10) & 31u, m = h & 0x3ffu, u;
    if (e == 31) u = sign | 0x7f800000u | m << 13;
    else if (e) u = sign | (e + 112) << 23 | m << 13;
    else {
        float f = (float)m * 0x1p-24f;
        return sign ? -f : f;
    }
    float f;
    memcpy(&f, &u, 4);
    return f;
}

uint16_t wa__f32_to_f16(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    uint32_t sign = u >> 16 & 0x8000u;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
    if (u >= 0x47800000u) return (uint16_t)(sign | 0x7c00u);
    if (u < 0x38800000u) { /* subnormal: let the FPU round */
        float a;
        memcpy(&a, &u, 4);
        a += 0.5f;
        uint32_t r;
        memcpy(&r, &a, 4);
        return (uint16_t)(sign | (r - 0x3f000000u));
    }
    u += 0xc8000fffu + (u >> 13 & 1);
    return (uint16_t)(sign | (u >> 13 & 0x7fffu));
}

#define LOAD(type)                                                                                 \
    type x;                                                                                        \
    memcpy(&x, (const char *)v->data + (size_t)i * sizeof x, sizeof x)

double wa__get_f64(const wa_view *v, int64_t i)
{
    switch (v->type.dtype) {
    case WA_F32: { LOAD(float); return (double)x; }
    case WA_F64: { LOAD(double); return x; }
    case WA_F16: { LOAD(uint16_t); return (double)wa__f16_to_f32(x); }
    case WA_BF16: { LOAD(uint16_t); return (double)wa__bf16_to_f32(x); }
    case WA_U64: { LOAD(uint64_t); return (double)x; }
    case WA_F8E4M3FN: case WA_F8E4M3FNUZ: case WA_F8E5M2: case WA_F8E5M2FNUZ: case WA_F8E8M0: {
        LOAD(uint8_t);
        return (double)wa__small_to_f32(wa__small_float(v->type.dtype), x);
    }
    case WA_F4E2M1: return (double)wa__small_to_f32(wa__small_float(WA_F4E2M1), (uint8_t)wa__packed_get(WA_F4E2M1, v->data, i));
    default: return (double)wa__get_i64(v, i);
    }
}

int64_t wa__get_i64(const wa_view *v, int64_t i)
{
    switch (v->type.dtype) {
    case WA_I64: { LOAD(int64_t); return x; }
    case WA_U64: { LOAD(uint64_t); return (int64_t)x; }
    case WA_I32: { LOAD(int32_t); return x; }
    case WA_U32: { LOAD(uint32_t); return x; }
    case WA_I16: { LOAD(int16_t); return x; }
    case WA_U16: { LOAD(uint16_t); return x; }
    case WA_I8: { LOAD(int8_t); return x; }
    case WA_U8: { LOAD(uint8_t); return x; }
    case WA_BOOL: { LOAD(uint8_t); return x != 0; }
    case WA_U4: case WA_U2: return wa__packed_get(v->type.dtype, v->data, i);
    case WA_I4: return (int64_t)(wa__packed_get(WA_I4, v->data, i) ^ 8u) - 8;
    case WA_I2: return (int64_t)(wa__packed_get(WA_I2, v->data, i) ^ 2u) - 2;
    case WA_F32: case WA_F64: case WA_F16: case WA_BF16: case WA_F8E4M3FN: case WA_F8E4M3FNUZ: case WA_F8E5M2: case WA_F8E5M2FNUZ:
    case WA_F8E8M0: case WA_F4E2M1: {
        double d = wa__get_f64(v, i);
        if (isnan(d)) return 0;
        return d >= 0x1p63 ? INT64_MAX : d < -0x1p63 ? INT64_MIN : (int64_t)d;
    }
    default: return 0;
    }
}

#define STORE(type, value)                                                                         \
    do {                                                                                           \
        type y = (type)(value);                                                                    \
        memcpy((char *)v->data + (size_t)i * sizeof y, &y, sizeof y);                              \
    } while (0)

void wa__set_i64(const wa_view *v, int64_t i, int64_t x)
{
    switch (v->type.dtype) {
    case WA_I64: case WA_U64: STORE(int64_t, x); break;
    case WA_I32: case WA_U32: STORE(uint32_t, (uint64_t)x); break;
    case WA_I16: case WA_U16: STORE(uint16_t, (uint64_t)x); break;
    case WA_I8: case WA_U8: STORE(uint8_t, (uint64_t)x); break;
    case WA_BOOL: STORE(uint8_t, x != 0); break;
    case WA_I4: case WA_U4: case WA_I2: case WA_U2: wa__packed_set(v->type.dtype, v->data, i, (unsigned)x & 15u); break;
    case WA_F32: case WA_F64: case WA_F16: case WA_BF16: case WA_F8E4M3FN: case WA_F8E4M3FNUZ: case WA_F8E5M2: case WA_F8E5M2FNUZ:
    case WA_F8E8M0: case WA_F4E2M1: wa__set_f64(v, i, (double)x); break;
    default: break;
    }
}

void wa__set_f64(const wa_view *v, int64_t i, double x)
{
    switch (v->type.dtype) {
    case WA_F32: STORE(float, x); break;
    case WA_F64: STORE(double, x); break;
    case WA_F16: STORE(uint16_t, wa__f32_to_f16((float)x)); break;
    case WA_BF16: {
        float f = (float)x;
        uint32_t u;
        memcpy(&u, &f, 4);
        if (!isnan(f)) u += 0x7fffu + (u >> 16 & 1);
        STORE(uint16_t, u >> 16 | (isnan(f) ? 0x40u : 0));
        break;
    }
    case WA_BOOL: STORE(uint8_t, x != 0); break;
    case WA_F8E4M3FN: case WA_F8E4M3FNUZ: case WA_F8E5M2: case WA_F8E5M2FNUZ: case WA_F8E8M0:
        STORE(uint8_t, wa__f64_to_small(wa__small_float(v->type.dtype), x, true, WA_ROUND_UP));
        break;
    case WA_F4E2M1: wa__packed_set(WA_F4E2M1, v->data, i, wa__f64_to_small(wa__small_float(WA_F4E2M1), x, true, WA_ROUND_UP)); break;
    default: {
        int64_t n = isnan(x) ? 0 : x >= 0x1p63 ? INT64_MAX : x < -0x1p63 ? INT64_MIN : (int64_t)x;
        wa__set_i64(v, i, n);
        break;
    }
    }
}

const wa_attr *wa__attr_find(const wa_attr *attrs, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (wa__str_is(attrs[i].name, name)) return &attrs[i];
    return NULL;
}

int64_t wa__attr_int(const wa_attr *attrs, uint32_t count, const char *name, int64_t fallback)
{
    const wa_attr *a = wa__attr_find(attrs, count, name);
    return a && a->kind == WA_ATTR_KIND_INT ? a->i : fallback;
}

float wa__attr_float(const wa_attr *attrs, uint32_t count, const char *name, float fallback)
{
    const wa_attr *a = wa__attr_find(attrs, count, name);
    return a && a->kind == WA_ATTR_KIND_FLOAT ? a->f : fallback;
}

bool wa__broadcast(const wa_tensor_type *a, const wa_tensor_type *b, wa_tensor_type *out)
{
    wa_tensor_type r = {a->dtype, a->rank > b->rank ? a->rank : b->rank, {0}};
    for (uint32_t i = 0; i < r.rank; i++) {
        int64_t x = i < r.rank - a->rank ? 1 : a->dims[i - (r.rank - a->rank)];
        int64_t y = i < r.rank - b->rank ? 1 : b->dims[i - (r.rank - b->rank)];
        if (x != y && x != 1 && y != 1) return false;
        r.dims[i] = x == 1 ? y : x;
    }
    *out = r;
    return true;
}
