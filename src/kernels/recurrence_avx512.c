/* Recurrence with AVX-512 (F, BW, VL, DQ): see gemm_avx2.c. */
typedef int wa_recurrence_avx512_unit;
#if defined(__AVX512F__) && defined(__FMA__)
#include "kernels/recurrence_body.h"
#endif
