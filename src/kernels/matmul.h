/* What MatMul, Gemm and FusedMatMul ask for, in one form: out = act(alpha * A.B + beta * C) + residual
 * over a batch. The reference and the fast form both start here. */
#ifndef WA_MATMUL_H
#define WA_MATMUL_H
#include "kernels/kernels_int.h"

typedef enum wa_act { WA_ACT_NONE = 0, WA_ACT_GELU, WA_ACT_GELU_TANH, WA_ACT_RELU, WA_ACT_TANH, WA_ACT_SIGMOID, WA_ACT_SILU, WA_ACT_COUNT } wa_act;

typedef struct wa_matmul {
    int64_t m, n, k;
    int64_t batch; /* products; matrices of A and B for one follow from the strides below */
    uint32_t batch_rank;
    int64_t batch_dims[WA_RANK_MAX], a_stride[WA_RANK_MAX], b_stride[WA_RANK_MAX]; /* elements */
    bool trans_a, trans_b; /* A is [k,m]; B is [n,k] */
    float alpha, beta;
    uint32_t c_input;        /* WA_MATMUL_NONE or the input that is added, times beta */
    int64_t c_row, c_column; /* its strides, 0 where it is broadcast */
    uint32_t residual;       /* input of the output's shape, added after act; WA_MATMUL_NONE */
    wa_act act;
} wa_matmul;
#define WA_MATMUL_NONE UINT32_MAX

/* Checks every shape. A batch that shares B (and whose A is not transposed) becomes rows. */
wa_status wa__matmul_describe(const wa_kernel_args *a, wa_matmul *out, wa_error *err) WA_MUST_CHECK;
/* The matrices of product `i` in elements from the inputs' starts. */
void wa__matmul_place(const wa_matmul *m, int64_t i, int64_t *a_at, int64_t *b_at);

#endif
