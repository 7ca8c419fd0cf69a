/* Fast MatMul of 32-bit integers, which wrap as the reference's do: what integer products of quantised models become. */
#ifndef WA_MATMUL_INT_H
#define WA_MATMUL_INT_H
#include "kernels/matmul.h"

#define WA_INT_ROWS 4

typedef struct wa_int_tile { /* rows x columns of C = A . B, all row-major */
    const uint32_t *a, *b;
    uint32_t *c;
    int64_t a_row, b_row, c_row, k, columns;
    int rows; /* at most WA_INT_ROWS */
} wa_int_tile;
void wa__int_tile_cpu(const wa_int_tile *t);
void wa__int_tile_avx2(const wa_int_tile *t);
void wa__int_tile_avx512(const wa_int_tile *t);

bool wa__matmul_int_has_fast(const wa_kernel_args *a);
wa_status wa__matmul_int_fast(const wa_kernel_args *a, wa_error *err);

#endif
