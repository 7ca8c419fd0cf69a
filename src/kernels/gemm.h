/* The register-tile matrix product that MatMul, Gemm, FusedMatMul, attention and convolutions share.
 *
 * Packed B ("panels"): ceil(n/16) panels, each [k][16] floats, columns past n are 0. They are the
 * same on every machine, so that a plan's sizes are; a tile takes as many rows and panels as this
 * processor's registers hold. A is read in place.
 * One call computes rows x columns of C over k [k_from, k_to): the caller blocks k so that a panel's
 * block stays in cache. Sums run along k in order in one register each, whatever the blocking, so that
 * results do not depend on tiles or threads. */
#ifndef WA_GEMM_H
#define WA_GEMM_H
#include "kernels/matmul.h"

#define WA_PANEL    16
#define WA_ROWS_MAX 12 /* of a tile in any form, each of which divides it */
#define WA_BLOCK_K  1536 /* two panels of it stay in the second-level cache; 384, for the first, was 4 % slower at K = 1536 */
#define WA_TILE_MAX 32 /* columns of a tile in any form */

/* Element i of B, which may lie unaligned. */
static inline float wa__gemm_element(const void *b, wa_dtype dtype, int64_t i)
{
    uint16_t h;
    float f;
    if (dtype == WA_F32) {
        memcpy(&f, (const uint8_t *)b + i * 4, 4);
        return f;
    }
    memcpy(&h, (const uint8_t *)b + i * 2, 2);
    return dtype == WA_BF16 ? wa__bf16_to_f32(h) : wa__f16_to_f32(h);
}

typedef struct wa_gemm_tile { /* at most isa->rows x (isa->panels panels) of C */
    const float *a;
    int64_t a_row, a_k; /* floats between rows of A, and between its columns */
    const float *b;
    int64_t b_row;   /* floats between rows of B: WA_PANEL when packed */
    int64_t b_panel; /* floats from a panel to the next */
    int64_t k;
    const int32_t *taps; /* of tile_taps: row k of B is at b + k / tap_count * b_row + taps[k % tap_count] */
    int tap_count;
    float *c;
    int64_t c_row;
    int rows, columns;
    bool add;  /* start from C's values */
    bool last; /* apply what follows, else store plain sums */
    float alpha;
    const float *addend; /* like C, addend_row apart (0: the same row for all); NULL: none */
    int64_t addend_row;
    const float *row_addend; /* one number a row, or NULL */
    const float *residual;   /* like C, or NULL */
    int64_t residual_row;
    bool residual_first; /* before act, as convolutions have it; else after */
    uint32_t act;        /* WA_CONV_ACT_*, of which wa_act is the first part */
    float act_a, act_b;
} wa_gemm_tile;

typedef struct wa_gemm_isa {
    int rows, panels; /* of a tile */
    void (*tile)(const wa_gemm_tile *t), (*tile_taps)(const wa_gemm_tile *t);
    /* Packs columns [j, j+16) of k rows from k_from on: B is [k,n] (stride n) or, transposed, [n,k]. */
    void (*pack)(const void *b, wa_dtype dtype, bool transposed, int64_t n, int64_t k_all, int64_t j, int64_t k_from, int64_t k, float *out);
} wa_gemm_isa;
extern const wa_gemm_isa wa__gemm_cpu, wa__gemm_avx2, wa__gemm_avx512;
const wa_gemm_isa *wa__gemm(void); /* for this processor */

/* MatMul, Gemm, FusedMatMul in f32 with B in f32, f16 or bf16. */
wa_status wa__matmul_fast(const wa_kernel_args *a, wa_error *err);
bool wa__matmul_has_fast(const wa_kernel_args *a);
size_t wa__matmul_scratch(const wa_kernel_args *a); /* bytes */
/* What a product adds to rows x columns of C, by pointer where it lies so, else copied to `room` (a tile); NULL: nothing. */
const float *wa__matmul_addend(const wa_kernel_args *a, const wa_matmul *m, int64_t row, int64_t column, int rows, int columns, float *room, int64_t *stride);

#endif
