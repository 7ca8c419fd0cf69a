/* Fast kernels that work along the last axis in f32: normalisations, softmax, sums, pooling. */
#ifndef WA_ROWS_H
#define WA_ROWS_H
#include "kernels/fused.h"

typedef struct wa_rows_isa {
    /* out = (x + y + z - mean) / sqrt(variance + epsilon) * gamma + beta in two passes; y, z, beta may be NULL */
    void (*norm)(const float *x, const float *y, const float *z, const float *gamma, const float *beta, float epsilon, int64_t n, float *out);
    void (*softmax)(const float *x, bool log, int64_t n, float *out);
    void (*l2)(const float *x, float epsilon, int64_t n, float *out);
    /* Sum, sum of squares or sum of magnitudes. */
    float (*sum)(wa_op op, const float *x, int64_t n);
    /* out[d] = sum over t of x[t][d] * weight[t], then times factor */
    void (*mean)(const float *x, const float *weight, int64_t tokens, int64_t width, float factor, float *out);
} wa_rows_isa;
extern const wa_rows_isa wa__rows_cpu, wa__rows_avx2, wa__rows_avx512;

bool wa__rows_has_fast(wa_op op, const wa_kernel_args *a);
wa_status wa__rows_fast(const wa_kernel_args *a, wa_error *err);

#endif
