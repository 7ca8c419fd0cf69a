/* Eight or sixteen floats at a time (V_LANES), by the compiler's vector extensions, so that one text
 * serves every processor: a kernel's body (<group>_body.h) is compiled once plainly in <group>_any.c,
 * once with AVX2 and FMA in <group>_avx2.c, once with AVX-512 in <group>_avx512.c, its functions named
 * by WA_ISA.
 * Errors against exact: exp 2 ulp; erf, tanh, sigmoid 3e-7 absolute. */
#ifndef WA_VEC_H
#define WA_VEC_H
#include <math.h>
#include <stdint.h>
#include <string.h>
#pragma GCC diagnostic ignored "-Wpsabi" /* every function below is inlined: no ABI is involved */

#if defined(__AVX512F__)
#include <immintrin.h>
#define WA_ISA(name) name##_avx512
#define V_LANES 16
#define V_ROWS 12 /* rows of a product's register tile: 24 of 32 registers hold sums */
#elif defined(__AVX2__)
#include <immintrin.h>
#define WA_ISA(name) name##_avx2
#define V_LANES 8
#define V_ROWS 6 /* 12 of 16 registers */
#else
#define WA_ISA(name) name##_cpu
#define V_LANES 8
#define V_ROWS 2
#endif

typedef float vf __attribute__((vector_size(4 * V_LANES)));
typedef int32_t vi __attribute__((vector_size(4 * V_LANES)));
#define V_INLINE static inline __attribute__((always_inline, unused))

#if defined(__AVX512F__)
V_INLINE __mmask16 v_mask(int64_t n) { return (__mmask16)(n <= 0 ? 0 : n >= 16 ? 0xffff : (1 << n) - 1); }
#endif
V_INLINE vf v_load(const float *p)
{
    vf r;
    memcpy(&r, p, sizeof r);
    return r;
}
V_INLINE void v_store(float *p, vf v) { memcpy(p, &v, sizeof v); }
V_INLINE vf v_set(float f)
{
#if defined(__AVX512F__)
    return (vf)_mm512_set1_ps(f);
#else
    return (vf){f, f, f, f, f, f, f, f};
#endif
}
V_INLINE vf v_fma(vf a, vf b, vf c)
{
#if defined(__AVX512F__)
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}
V_INLINE vf v_pick(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }
/* NaN in either gives NaN. */
V_INLINE vf v_max(vf a, vf b) { return v_pick((vi)(a > b) | (vi)(a != a), a, b); }
V_INLINE vf v_min(vf a, vf b) { return v_pick((vi)(a < b) | (vi)(a != a), a, b); }
V_INLINE vf v_abs(vf a) { return (vf)((vi)a & 0x7fffffff); }
V_INLINE vf v_sqrt(vf a)
{
#if defined(__AVX512F__)
    return (vf)_mm512_sqrt_ps((__m512)a);
#elif defined(__AVX2__)
    return (vf)_mm256_sqrt_ps((__m256)a);
#else
    for (int i = 0; i < V_LANES; i++) a[i] = sqrtf(a[i]);
    return a;
#endif
}
/* The first n (at most V_LANES) floats; the rest are `fill`. What lies past them is not touched. */
V_INLINE vf v_load_part(const float *p, int64_t n, float fill)
{
#if defined(__AVX512F__)
    return (vf)_mm512_mask_loadu_ps((__m512)v_set(fill), v_mask(n), p);
#else
    vf r = v_set(fill);
    if (n > 0) memcpy(&r, p, (size_t)n * sizeof *p);
    return r;
#endif
}
V_INLINE void v_store_part(float *p, int64_t n, vf v)
{
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, v_mask(n), (__m512)v);
#else
    if (n > 0) memcpy(p, &v, (size_t)n * sizeof *p);
#endif
}
/* The same where n may be more than V_LANES. */
V_INLINE vf v_load_some(const float *p, int64_t n) { return n >= V_LANES ? v_load(p) : v_load_part(p, n, 0.0f); }
V_INLINE void v_store_some(float *p, int64_t n, vf v)
{
    if (n >= V_LANES) v_store(p, v);
    else v_store_part(p, n, v);
}
typedef float vq __attribute__((vector_size(32))); /* eight, whatever V_LANES */
V_INLINE vq v_half(vf a, int high)
{
    vq r;
    memcpy(&r, (const char *)&a + (V_LANES == 16 && high ? 32 : 0), sizeof r);
    return r;
}
V_INLINE float v_sum(vf a)
{
    vq s = V_LANES == 16 ? v_half(a, 0) + v_half(a, 1) : v_half(a, 0);
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}
V_INLINE vq vq_max(vq a, vq b)
{
    typedef int32_t mask __attribute__((vector_size(32)));
    mask m = (mask)(a > b) | (mask)(a != a);
    return (vq)((m & (mask)a) | (~m & (mask)b));
}
/* The largest lane, NaN if there is one. */
V_INLINE float v_top(vf a)
{
    vq h = V_LANES == 16 ? vq_max(v_half(a, 0), v_half(a, 1)) : v_half(a, 0);
    h = vq_max(h, __builtin_shufflevector(h, h, 4, 5, 6, 7, 4, 5, 6, 7));
    h = vq_max(h, __builtin_shufflevector(h, h, 2, 3, 2, 3, 2, 3, 2, 3));
    return vq_max(h, __builtin_shufflevector(h, h, 1, 1, 1, 1, 1, 1, 1, 1))[0];
}

/* e^r for |r| <= ln 2 / 2. */
V_INLINE vf v_exp_series(vf r)
{
    vf p = v_fma(r, v_set(1.0f / 5040), v_set(1.0f / 720));
    p = v_fma(p, r, v_set(1.0f / 120));
    p = v_fma(p, r, v_set(1.0f / 24));
    p = v_fma(p, r, v_set(1.0f / 6));
    p = v_fma(p, r, v_set(0.5f));
    p = v_fma(p, r, v_set(1.0f));
    return v_fma(p, r, v_set(1.0f));
}

/* 2^n * e^r with |r| <= ln 2 / 2; 0 below -87.3, infinity above 88.7, NaN stays. */
V_INLINE vf v_exp(vf x)
{
    vi low = (vi)(x < -87.33f), high = (vi)(x > 88.72f), nan = (vi)(x != x);
    vf c = v_pick(low | high | nan, v_set(0.0f), x);
    vf n = v_fma(c, v_set(1.44269504f), v_set(12582912.0f)) - 12582912.0f; /* rounds: 1.5 * 2^23 */
    vf r = v_fma(n, v_set(-0.693359375f), c);
    r = v_fma(n, v_set(2.12194440e-4f), r);
    vf p = v_exp_series(r);
    vi e = __builtin_convertvector(n, vi), half = e >> 1; /* in two steps: 2^128 is no float */
    vf y = p * (vf)((half + 127) << 23) * (vf)((e - half + 127) << 23);
    y = v_pick(low, v_set(0.0f), y);
    y = v_pick(high, v_set(INFINITY), y);
    return v_pick(nan, x, y);
}

/* The same for x <= 0 (or NaN) and without its care for the rest: 0 below -88.02. */
V_INLINE vf v_exp_down(vf x)
{
    vf c = v_pick((vi)(x < -88.3f), v_set(-88.3f), x); /* 2^-127 is written as 0 */
    vf t = v_fma(c, v_set(1.44269504f), v_set(12582912.0f)), n = t - 12582912.0f;
    vf r = v_fma(n, v_set(2.12194440e-4f), v_fma(n, v_set(-0.693359375f), c));
    vf p = v_exp_series(r);
    return p * (vf)(((vi)t << 23) + 0x3f800000); /* t's low bits are n */
}

/* 1 / x for finite x >= 1. */
V_INLINE vf v_inverse(vf x)
{
#if defined(__AVX512F__)
    vf y = (vf)_mm512_rcp14_ps((__m512)x); /* 14 bits; a division takes as long as 20 products */
    return y * v_fma(-x, y, v_set(2.0f));
#else
    return 1.0f / x;
#endif
}

/* Abramowitz and Stegun 7.1.26; past 10 it is 1 in any case. */
V_INLINE vf v_erf(vf x)
{
    vf a = v_abs(x);
    a = v_pick((vi)(a > 10.0f), v_set(10.0f), a);
    vf t = v_inverse(v_fma(a, v_set(0.3275911f), v_set(1.0f)));
    vf p = v_fma(t, v_set(1.061405429f), v_set(-1.453152027f));
    p = v_fma(p, t, v_set(1.421413741f));
    p = v_fma(p, t, v_set(-0.284496736f));
    p = v_fma(p, t, v_set(0.254829592f));
    vf y = 1.0f - p * t * v_exp_down(-a * a);
    return v_pick((vi)(x != x), x, (vf)((vi)y | ((vi)x & INT32_MIN)));
}
V_INLINE vf v_sigmoid(vf x) { return 1.0f / (1.0f + v_exp(-x)); }
V_INLINE vf v_tanh(vf x)
{
    vf a = v_abs(x), y = 1.0f - 2.0f / (v_exp(a + a) + 1.0f), u = x * x;
    vf small = v_fma(u, v_set(2.0f / 15), v_set(-1.0f / 3)); /* keeps relative accuracy near 0 */
    small = v_fma(small * u, x, x);
    y = (vf)((vi)y | ((vi)x & INT32_MIN));
    return v_pick((vi)(a < 0.06f), small, v_pick((vi)(x != x), x, y));
}
V_INLINE vf v_gelu(vf x) { return 0.5f * x * (1.0f + v_erf(x * 0.70710678f)); }
V_INLINE vf v_gelu_tanh(vf x) { return 0.5f * x * (1.0f + v_tanh(0.79788456f * v_fma(x * x * x, v_set(0.044715f), x))); }

#endif
