/* Convolutions with AVX2 and FMA; see gemm_avx2.c for the guard. */
typedef int wa_conv_avx2_unit;
#if defined(__AVX2__) && defined(__FMA__)
#include "kernels/conv_body.h"
#endif
