/* Body of gemm8_any.c, gemm8_avx2.c and gemm8_avx512vnni.c. See gemm8.h. */
#include "kernels/gemm8.h"
#include "kernels/gemm_finish.h"

/* Codes of one row: rounded to the nearest, ties to even. */
static void quantize(const float *x, int64_t n, uint8_t *out, float *scale, int32_t *zero)
{
    vf top = v_set(0.0f), low = v_set(0.0f);
    for (int64_t i = 0; i < n; i += V_LANES) {
        vf v = v_load_some(x + i, n - i);
        top = v_max(top, v);
        low = v_min(low, v);
    }
    float range = v_top(top) + v_top(-low), inverse = range > 0 && range <= 3.4028235e38f ? 255.0f / range : 0.0f;
    *scale = range / 255.0f; /* not a number or infinite: so will the row's results be */
    if (inverse > 3.4028235e38f) inverse = 0, *scale = 0; /* nothing that 255 steps can hold */
    *zero = inverse > 0 ? (int32_t)((v_top(-low) * inverse + 12582912.0f) - 12582912.0f) : 0; /* 1.5 * 2^23: rounds */
    int64_t i = 0;
#if defined(__AVX512F__)
    for (; inverse > 0 && i + 16 <= n; i += 16) {
        __m512i q = _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + i), _mm512_set1_ps(inverse))), _mm512_set1_epi32(*zero));
        _mm_storeu_si128((__m128i *)(void *)(out + i), _mm512_cvtusepi32_epi8(_mm512_max_epi32(q, _mm512_setzero_si512())));
    }
#endif
    for (; i < n; i++) {
        float t = inverse > 0 ? x[i] * inverse + 12582912.0f : 12582912.0f;
        int code = *zero + (int)(t - 12582912.0f);
        out[i] = (uint8_t)(code < 0 ? 0 : code > 255 ? 255 : code);
    }
    for (; i % 4; i++) out[i] = (uint8_t)*zero;
}

/* Sums of one row and V_LANES columns as numbers. `ends`: the panel's scales from there on; its sums follow. */
V_INLINE vf numbers(const wa_gemm8_tile *t, int row, vi sums, const uint8_t *ends)
{
    vi codes;
    memcpy(&codes, ends + WA_PANEL * 4, sizeof codes);
    return __builtin_convertvector(sums - codes * t->a_zero[row], vf) * (v_load((const float *)(const void *)ends) * t->a_scale[row]);
}

#if defined(__AVX512VNNI__)
enum { ROWS = V_ROWS, PANELS = 2 };

/* The intrinsic would do, but gcc 12 copies and stores every sum around it: three times the instructions. */
V_INLINE __m512i add_products(__m512i sum, __m512i a, __m512i b)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}

V_INLINE void tile_rows(const wa_gemm8_tile *t, const int rows, const int wide)
{
    __m512i s[V_ROWS][2];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < wide; j++) s[i][j] = _mm512_setzero_si512();
    const int64_t a_row = t->a_row;
    const uint8_t *b = t->b, *a[4] = {t->a, t->a + 3 * a_row, t->a + 6 * a_row, t->a + 9 * a_row};
    for (int64_t k = t->steps; k > 0; k--) {
        __m512i b0 = _mm512_loadu_si512(b), b1 = wide > 1 ? _mm512_loadu_si512(b + t->b_panel) : b0;
        for (int i = 0; i < rows; i++) {
            int32_t four;
            memcpy(&four, a[i / 3] + i % 3 * a_row, sizeof four);
            __m512i x = _mm512_set1_epi32(four);
            s[i][0] = add_products(s[i][0], x, b0);
            if (wide > 1) s[i][1] = add_products(s[i][1], x, b1);
        }
        b += 64;
        for (int i = 0; i < 4; i++) a[i] += 4;
    }
    vf r[V_ROWS][2];
    for (int i = 0; i < rows; i++) /* two short loops: see gemm_finish.h */
        for (int j = 0; j < wide; j++) r[i][j] = numbers(t, i, (vi)s[i][j], b + j * t->b_panel);
    finish(&t->after, rows, wide, r);
}

#define CASE(rows) case rows: if (t->after.columns > WA_PANEL) tile_rows(t, rows, 2); else tile_rows(t, rows, 1); break
static void tile(const wa_gemm8_tile *t)
{
    switch (t->after.rows) {
    CASE(1);
    CASE(2);
    CASE(3);
    CASE(4);
    CASE(5);
    CASE(6);
    CASE(7);
    CASE(8);
    CASE(9);
    CASE(10);
    CASE(11);
    CASE(12);
    default: break;
    }
}
#undef CASE
#elif defined(__AVX2__)
enum { ROWS = 2, PANELS = 1 };

/* Codes widened to 16 bits: a register holds the four products of four columns as two sums each. */
V_INLINE void tile_rows(const wa_gemm8_tile *t, const int rows)
{
    __m256i s[2][4];
    for (int i = 0; i < rows * 4; i++) s[i / 4][i % 4] = _mm256_setzero_si256();
    const uint8_t *b = t->b;
    for (int64_t k = 0; k < t->steps; k++, b += 64) {
        __m256i w[4];
        for (int j = 0; j < 4; j++) w[j] = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(b + 16 * j)));
        for (int i = 0; i < rows; i++) {
            int32_t four;
            memcpy(&four, t->a + i * t->a_row + k * 4, sizeof four);
            __m256i x = _mm256_cvtepu8_epi16(_mm_set1_epi32(four));
            for (int j = 0; j < 4; j++) s[i][j] = _mm256_add_epi32(s[i][j], _mm256_madd_epi16(x, w[j]));
        }
    }
    vf r[2][2];
    for (int i = 0; i < rows; i++)
        for (int h = 0; h < 2; h++) r[i][h] = numbers(t, i, (vi)_mm256_permute4x64_epi64(_mm256_hadd_epi32(s[i][2 * h], s[i][2 * h + 1]), 0xd8), b + h * 32);
    finish(&t->after, rows, 2, r);
}

static void tile(const wa_gemm8_tile *t)
{
    if (t->after.rows == 1) tile_rows(t, 1);
    else tile_rows(t, 2);
}
#else
enum { ROWS = 2, PANELS = 1 };

static void tile(const wa_gemm8_tile *t)
{
    vf r[2][2];
    for (int i = 0; i < t->after.rows; i++) {
        int32_t s[WA_PANEL] = {0};
        const uint8_t *a = t->a + i * t->a_row, *b = t->b;
        for (int64_t k = 0; k < t->steps; k++, b += 64)
            for (int j = 0; j < 64; j++) s[j / 4] += (int32_t)a[k * 4 + j % 4] * (int8_t)b[j];
        for (int h = 0; h < 2; h++) {
            vi v;
            memcpy(&v, s + h * V_LANES, sizeof v);
            r[i][h] = numbers(t, i, v, b + h * V_LANES * 4);
        }
    }
    if (t->after.rows == 1) finish(&t->after, 1, 2, r);
    else finish(&t->after, 2, 2, r);
}
#endif

const wa_gemm8_isa WA_ISA(wa__gemm8) = {ROWS, PANELS, tile, quantize};
