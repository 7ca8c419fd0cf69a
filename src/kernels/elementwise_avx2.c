/* Elementwise steps with AVX2 and FMA: see gemm_avx2.c. */
typedef int wa_elementwise_avx2_unit;
#if defined(__AVX2__) && defined(__FMA__)
#include "kernels/elementwise_body.h"
#endif
