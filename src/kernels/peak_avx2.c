/* The peak with avx2: see gemm_avx2.c. */
typedef int wa_peak_avx2_unit;
#if defined(__AVX2__) && defined(__FMA__)
#include "kernels/peak_body.h"
#endif
