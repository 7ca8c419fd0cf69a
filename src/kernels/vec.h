/* Eight floats at a time, by the compiler's vector extensions, so that one text serves every
 * processor: a kernel's body (<group>_body.h) is compiled once plainly in <group>_any.c and once
 * with AVX2 and FMA in <group>_avx2.c, its functions named by WA_ISA.
 * Errors against exact: exp 2 ulp; erf, tanh, sigmoid 3e-7 absolute. */
#ifndef WA_VEC_H
#define WA_VEC_H
#include <math.h>
#include <stdint.h>
#include <string.h>
#pragma GCC diagnostic ignored "-Wpsabi" /* every function below is inlined: no ABI is involved */

#if defined(__AVX2__)
#include <immintrin.h>
#define WA_ISA(name) name##_avx2
#define V_ROWS 6 /* rows of a product's register tile: 12 of 16 registers hold sums */
#else
#define WA_ISA(name) name##_cpu
#define V_ROWS 2
#endif

typedef float v8 __attribute__((vector_size(32)));
typedef int32_t v8i __attribute__((vector_size(32)));
#define V_INLINE static inline __attribute__((always_inline, unused))

V_INLINE v8 v_load(const float *p)
{
    v8 r;
    memcpy(&r, p, sizeof r);
    return r;
}
V_INLINE void v_store(float *p, v8 v) { memcpy(p, &v, sizeof v); }
V_INLINE v8 v_set(float f) { return (v8){f, f, f, f, f, f, f, f}; }
V_INLINE v8 v_fma(v8 a, v8 b, v8 c)
{
#if defined(__AVX2__)
    return (v8)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}
V_INLINE v8 v_pick(v8i mask, v8 yes, v8 no) { return (v8)((mask & (v8i)yes) | (~mask & (v8i)no)); }
/* NaN in either gives NaN. */
V_INLINE v8 v_max(v8 a, v8 b) { return v_pick((v8i)(a > b) | (v8i)(a != a), a, b); }
V_INLINE v8 v_min(v8 a, v8 b) { return v_pick((v8i)(a < b) | (v8i)(a != a), a, b); }
V_INLINE v8 v_abs(v8 a) { return (v8)((v8i)a & 0x7fffffff); }
V_INLINE v8 v_sqrt(v8 a)
{
#if defined(__AVX2__)
    return (v8)_mm256_sqrt_ps((__m256)a);
#else
    for (int i = 0; i < 8; i++) a[i] = sqrtf(a[i]);
    return a;
#endif
}
/* The first n (0..8) floats; the rest are `fill`. */
V_INLINE v8 v_load_part(const float *p, int64_t n, float fill)
{
    v8 r = v_set(fill);
    if (n > 0) memcpy(&r, p, (size_t)n * sizeof *p);
    return r;
}
V_INLINE void v_store_part(float *p, int64_t n, v8 v) { if (n > 0) memcpy(p, &v, (size_t)n * sizeof *p); }
V_INLINE float v_sum(v8 a) { return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7])); }
V_INLINE float v_top(v8 a)
{
    float r = a[0];
    for (int i = 1; i < 8; i++) r = a[i] > r || a[i] != a[i] ? a[i] : r;
    return r;
}

/* 2^n * e^r with |r| <= ln 2 / 2; 0 below -87.3, infinity above 88.7, NaN stays. */
V_INLINE v8 v_exp(v8 x)
{
    v8i low = (v8i)(x < -87.33f), high = (v8i)(x > 88.72f), nan = (v8i)(x != x);
    v8 c = v_pick(low | high | nan, v_set(0.0f), x);
    v8 n = v_fma(c, v_set(1.44269504f), v_set(12582912.0f)) - 12582912.0f; /* rounds: 1.5 * 2^23 */
    v8 r = v_fma(n, v_set(-0.693359375f), c);
    r = v_fma(n, v_set(2.12194440e-4f), r);
    v8 p = v_fma(r, v_set(1.0f / 5040), v_set(1.0f / 720));
    p = v_fma(p, r, v_set(1.0f / 120));
    p = v_fma(p, r, v_set(1.0f / 24));
    p = v_fma(p, r, v_set(1.0f / 6));
    p = v_fma(p, r, v_set(0.5f));
    p = v_fma(p, r, v_set(1.0f));
    p = v_fma(p, r, v_set(1.0f));
    v8i e = __builtin_convertvector(n, v8i), half = e >> 1; /* in two steps: 2^128 is no float */
    v8 y = p * (v8)((half + 127) << 23) * (v8)((e - half + 127) << 23);
    y = v_pick(low, v_set(0.0f), y);
    y = v_pick(high, v_set(INFINITY), y);
    return v_pick(nan, x, y);
}

/* Abramowitz and Stegun 7.1.26. */
V_INLINE v8 v_erf(v8 x)
{
    v8 a = v_abs(x), t = 1.0f / v_fma(a, v_set(0.3275911f), v_set(1.0f));
    v8 p = v_fma(t, v_set(1.061405429f), v_set(-1.453152027f));
    p = v_fma(p, t, v_set(1.421413741f));
    p = v_fma(p, t, v_set(-0.284496736f));
    p = v_fma(p, t, v_set(0.254829592f));
    v8 y = 1.0f - p * t * v_exp(-a * a);
    return v_pick((v8i)(x != x), x, (v8)((v8i)y | ((v8i)x & INT32_MIN)));
}
V_INLINE v8 v_sigmoid(v8 x) { return 1.0f / (1.0f + v_exp(-x)); }
V_INLINE v8 v_tanh(v8 x)
{
    v8 a = v_abs(x), y = 1.0f - 2.0f / (v_exp(a + a) + 1.0f), u = x * x;
    v8 small = v_fma(u, v_set(2.0f / 15), v_set(-1.0f / 3)); /* keeps relative accuracy near 0 */
    small = v_fma(small * u, x, x);
    y = (v8)((v8i)y | ((v8i)x & INT32_MIN));
    return v_pick((v8i)(a < 0.06f), small, v_pick((v8i)(x != x), x, y));
}
V_INLINE v8 v_gelu(v8 x) { return 0.5f * x * (1.0f + v_erf(x * 0.70710678f)); }
V_INLINE v8 v_gelu_tanh(v8 x) { return 0.5f * x * (1.0f + v_tanh(0.79788456f * v_fma(x * x * x, v_set(0.044715f), x))); }

#endif
