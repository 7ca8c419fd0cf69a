/* Products of 8-bit codes with AVX2: see gemm_avx2.c. */
typedef int wa_gemm8_avx2_unit;
#if defined(__AVX2__) && defined(__FMA__)
#include "kernels/gemm8_body.h"
#endif
