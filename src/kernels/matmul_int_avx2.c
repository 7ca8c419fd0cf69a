/* Integer products with AVX2: see gemm_avx2.c. */
typedef int wa_matmul_int_avx2_unit;
#if defined(__AVX2__) && defined(__FMA__)
#include "kernels/matmul_int_body.h"
#endif
