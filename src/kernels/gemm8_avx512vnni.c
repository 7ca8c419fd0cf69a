/* Products of 8-bit codes with AVX-512 and VNNI: see gemm_avx2.c. */
typedef int wa_gemm8_avx512_unit;
#if defined(__AVX512VNNI__) && defined(__FMA__)
#include "kernels/gemm8_body.h"
#endif
