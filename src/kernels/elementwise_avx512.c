/* Elementwise steps with AVX-512 (F, BW, VL, DQ): see gemm_avx2.c. */
typedef int wa_elementwise_avx512_unit;
#if defined(__AVX512F__) && defined(__FMA__)
#include "kernels/elementwise_body.h"
#endif
