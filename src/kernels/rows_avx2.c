/* Row kernels with AVX2 and FMA: see gemm_avx2.c. */
typedef int wa_rows_avx2_unit;
#if defined(__AVX2__) && defined(__FMA__)
#include "kernels/rows_body.h"
#endif
