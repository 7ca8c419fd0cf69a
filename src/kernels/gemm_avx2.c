/* Matrix product tiles with AVX2 and FMA; the build gives this file -mavx2 -mfma -mf16c. Elsewhere
 * the same text as gemm_any.c would have the same names, so nothing is compiled. */
typedef int wa_gemm_avx2_unit;
#if defined(__AVX2__) && defined(__FMA__)
#include "kernels/gemm_body.h"
#endif
