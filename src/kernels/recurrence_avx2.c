/* Recurrence with AVX2 and FMA: see gemm_avx2.c. */
typedef int wa_attention_avx2_unit;
#if defined(__AVX2__) && defined(__FMA__)
#include "kernels/recurrence_body.h"
#endif
