/* Fast elementwise chains in f32: blocks of the output go through all steps while they are in L1. */
#ifndef WA_ELEMENTWISE_VEC_H
#define WA_ELEMENTWISE_VEC_H
#include "kernels/elementwise.h"

#define WA_EW_BLOCK      512
#define WA_EW_VECTOR     16 /* floats; every form's vectors divide it */
#define WA_EW_FAST_STEPS 16

/* One step over n floats (a multiple of WA_EW_VECTOR); operands that are absent are NULL. False: no such step. */
typedef void (*wa_ew_step_fn)(wa_op op, const float *a, const float *b, const float *c, int64_t n, float *out);
void wa__ew_step_cpu(wa_op op, const float *a, const float *b, const float *c, int64_t n, float *out);
void wa__ew_step_avx2(wa_op op, const float *a, const float *b, const float *c, int64_t n, float *out);
void wa__ew_step_avx512(wa_op op, const float *a, const float *b, const float *c, int64_t n, float *out);
bool wa__ew_step_exists(wa_op op);

bool wa__ew_has_fast(wa_op op, const wa_kernel_args *a);
wa_status wa__ew_fast(const wa_kernel_args *a, wa_error *err);

#endif
