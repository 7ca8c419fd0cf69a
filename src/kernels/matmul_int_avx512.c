/* Integer products with AVX-512: see gemm_avx2.c. */
typedef int wa_matmul_int_avx512_unit;
#if defined(__AVX512F__) && defined(__FMA__)
#include "kernels/matmul_int_body.h"
#endif
