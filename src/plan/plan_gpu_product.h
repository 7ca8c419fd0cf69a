/* Products with a packed constant, and the layer norms that they take in: what plan_gpu_product.c and
 * plan_gpu_norms.c share. */
#ifndef WA_PLAN_GPU_PRODUCT_H
#define WA_PLAN_GPU_PRODUCT_H
#include "plan/plan_int.h"

typedef struct wa_gpu_product { /* what MatMul, Gemm and FusedMatMul have in common */
    uint32_t a, b, bias, residual;
    bool trans_a, trans_b;
    float alpha, beta;
    uint32_t act;
    uint64_t m, n, k;
} wa_gpu_product;
/* False when the node is not one [M,K] x constant [K,N]. */
bool wa__gpu_packed_product(const wa_plan_builder *b, const wa_node *n, wa_gpu_product *p);

typedef struct wa_gpu_norm { /* a norm without a dispatch of its own */
    uint32_t node;      /* the norm; its input 0 is the result of `after` */
    uint32_t after;     /* the product that leaves its rows' statistics */
    uint32_t beta;      /* value, or WA_NONE */
    bool rms, keep;     /* keep: the first product that reads it writes the normalised rows */
    uint32_t block, part_cols; /* statistics, and columns that each covers: once `after` is lowered */
    uint64_t bytes;
} wa_gpu_norm;
/* The norm whose result is the node's A, and the one of the node's result; NULL: none that is taken in. */
wa_gpu_norm *wa__gpu_norm_before(const wa_plan_builder *b, uint32_t node);
wa_gpu_norm *wa__gpu_norm_after(const wa_plan_builder *b, uint32_t node);

#endif
