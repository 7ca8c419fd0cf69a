/* Element types of 8 bits and fewer: small floats (float8 of five kinds, float4) and integers of 4 and
 * 2 bits, packed low bits first. In: codes. Out: numbers, and back by ONNX's rules of Cast. Called by
 * tensor.c, kernels and the planner's transforms. See tensor.h. */
#include "base/tensor.h"
#include <math.h>

static const wa_small_float formats[] = {
    {WA_F8E4M3FN, 4, 3, 7, WA_SMALL_ALL_ONES_NAN},
    {WA_F8E4M3FNUZ, 4, 3, 8, WA_SMALL_SIGN_NAN},
    {WA_F8E5M2, 5, 2, 15, WA_SMALL_INFINITE},
    {WA_F8E5M2FNUZ, 5, 2, 16, WA_SMALL_SIGN_NAN},
    {WA_F4E2M1, 2, 1, 1, WA_SMALL_FINITE},
    {WA_F8E8M0, 8, 0, 127, WA_SMALL_SCALE},
};

const wa_small_float *wa__small_float(wa_dtype d)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (formats[i].dtype == d) return &formats[i];
    return NULL;
}

float wa__small_to_f32(const wa_small_float *s, uint8_t code)
{
    unsigned m = s->mantissa_bits, top = (1u << s->exponent_bits) - 1;
    if (s->kind == WA_SMALL_SCALE) return code == 0xff ? NAN : ldexpf(1.0f, code - s->bias);
    unsigned bits = code, mantissa = bits & ((1u << m) - 1), e = bits >> m & top, sign = bits >> (m + s->exponent_bits) & 1;
    if (s->kind == WA_SMALL_SIGN_NAN && sign && !e && !mantissa) return NAN;
    if (s->kind == WA_SMALL_ALL_ONES_NAN && e == top && mantissa == (1u << m) - 1) return NAN;
    if (s->kind == WA_SMALL_INFINITE && e == top) return mantissa ? NAN : sign ? -INFINITY : INFINITY;
    float f = e ? ldexpf((float)(mantissa | 1u << m), (int)e - s->bias - (int)m) : ldexpf((float)mantissa, 1 - s->bias - (int)m);
    return sign ? -f : f;
}

/* The code of the largest finite number. */
static unsigned code_max(const wa_small_float *s)
{
    unsigned all = (1u << (s->exponent_bits + s->mantissa_bits)) - 1;
    if (s->kind == WA_SMALL_ALL_ONES_NAN) return all - 1;
    return s->kind == WA_SMALL_INFINITE ? all - (1u << s->mantissa_bits) : all;
}

/* Exponents of two: negative numbers have no meaning and give the code of their size. */
static uint8_t to_scale(double x, bool saturate, wa_round_mode mode)
{
    int e;
    if (isnan(x)) return 0xff;
    if (isinf(x)) return saturate ? 0xfe : 0xff;
    if (x == 0) return saturate ? 0 : 0xff;
    double f = frexp(fabs(x), &e) * 2; /* 1 <= f < 2 */
    e--;
    if (f > 1 && (mode == WA_ROUND_UP || (mode == WA_ROUND_NEAREST && f >= 1.5))) e++;
    if (e < -127) return saturate ? 0 : 0xff;
    if (e > 127) return saturate ? 0xfe : 0xff;
    return (uint8_t)(e + 127);
}

uint8_t wa__f64_to_small(const wa_small_float *s, double x, bool saturate, wa_round_mode mode)
{
    unsigned m = s->mantissa_bits, sign = signbit(x) ? 1u << (m + s->exponent_bits) : 0, nan;
    int e = 0, least = 1 - s->bias; /* exponent of the smallest normal number */
    if (s->kind == WA_SMALL_SCALE) return to_scale(x, saturate, mode);
    nan = s->kind == WA_SMALL_SIGN_NAN ? 1u << (m + s->exponent_bits) : s->kind == WA_SMALL_ALL_ONES_NAN ? sign | (code_max(s) + 1)
        : s->kind == WA_SMALL_INFINITE ? sign | (code_max(s) + 1) | 1u << (m - 1) : 1u << (m + s->exponent_bits); /* float4 has none */
    if (isnan(x)) return (uint8_t)nan;
    unsigned most = code_max(s), code = most + 1;
    if (fabs(x) <= 1e6) {
        (void)frexp(x, &e);
        if (x == 0) e = least;
        int unit = (e - 1 < least ? least : e - 1) - (int)m; /* a unit in the last place is 2^unit */
        unsigned steps = (unsigned)nearbyint(ldexp(fabs(x), -unit));
        code = steps + ((unsigned)(unit + (int)m - least) << m); /* a carry out of the mantissa is right */
    }
    if (code > most) {
        if (!saturate && s->kind != WA_SMALL_FINITE) return (uint8_t)(s->kind == WA_SMALL_INFINITE ? sign | (most + 1) : nan);
        code = most;
    }
    return (uint8_t)(s->kind == WA_SMALL_SIGN_NAN && code == 0 ? 0 : sign | code);
}

/* --- packed elements ------------------------------------------------------------------------------ */
unsigned wa__packed_get(wa_dtype d, const void *data, int64_t i)
{
    unsigned bits = wa__dtype_info(d)->bits, per = 8 / bits;
    return (unsigned)((const uint8_t *)data)[(uint64_t)i / per] >> ((uint64_t)i % per * bits) & ((1u << bits) - 1);
}

void wa__packed_set(wa_dtype d, void *data, int64_t i, unsigned code)
{
    unsigned bits = wa__dtype_info(d)->bits, per = 8 / bits, shift = (unsigned)((uint64_t)i % per) * bits, mask = ((1u << bits) - 1) << shift;
    uint8_t *at = (uint8_t *)data + (uint64_t)i / per;
    *at = (uint8_t)((*at & ~mask) | (code << shift & mask));
}
