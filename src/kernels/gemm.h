/* The register-tile matrix product that MatMul, Gemm, FusedMatMul and attention share.
 *
 * Packed B ("panels"): ceil(n/16) panels, each [k][16] floats, columns past n are 0.
 * A is read in place. One call computes rows x columns of C over k [k_from, k_to): the caller
 * blocks k so that a panel's block stays in L1. Sums run along k in order in one register each,
 * whatever the blocking, so that results do not depend on tiles or threads. */
#ifndef WA_GEMM_H
#define WA_GEMM_H
#include "kernels/matmul.h"

#define WA_PANEL   16
#define WA_BLOCK_K 384

typedef struct wa_gemm_tile { /* at most V_ROWS x 16 of C */
    const float *a;
    int64_t a_row; /* floats between rows of A; columns are adjacent */
    const float *b;
    int64_t b_row; /* WA_PANEL for packed B */
    int64_t k;
    float *c;
    int64_t c_row;
    int rows, columns;
    bool add;  /* start from C's values */
    bool last; /* apply what follows, else store plain sums */
    float alpha;
    const float *addend; /* 16 floats a row, addend_row apart (0: the same for all); NULL: none */
    int64_t addend_row;
    const float *residual; /* like C, or NULL */
    int64_t residual_row;
    wa_act act;
} wa_gemm_tile;

typedef struct wa_gemm_isa {
    int rows; /* of a tile */
    void (*tile)(const wa_gemm_tile *t);
    /* Packs columns [j, j+16) of k rows from k_from on: B is [k,n] (stride n) or, transposed, [n,k]. */
    void (*pack)(const void *b, wa_dtype dtype, bool transposed, int64_t n, int64_t k_all, int64_t j, int64_t k_from, int64_t k, float *out);
} wa_gemm_isa;
extern const wa_gemm_isa wa__gemm_cpu, wa__gemm_avx2;
const wa_gemm_isa *wa__gemm(void); /* for this processor */

/* MatMul, Gemm, FusedMatMul in f32 with B in f32, f16 or bf16. */
wa_status wa__matmul_fast(const wa_kernel_args *a, wa_error *err);
bool wa__matmul_has_fast(const wa_kernel_args *a);

#endif
