/* The peak with avx512: see gemm_avx2.c. */
typedef int wa_peak_avx512_unit;
#if defined(__AVX512F__) && defined(__FMA__)
#include "kernels/peak_body.h"
#endif
