/* Body of peak_any.c, peak_avx2.c and peak_avx512.c. See peak.h. */
#include "kernels/peak.h"
#include "kernels/vec.h"

#define CHAINS 12 /* latency 4 or 5 times two units a cycle, and registers for all of them */

double WA_ISA(wa__peak_fma)(uint32_t rounds, float *sink)
{
    vf x[CHAINS], m = v_set(0.5f + *sink * 1e-9f), a = v_set(0.25f);
    for (int k = 0; k < CHAINS; k++) x[k] = v_set((float)k);
    for (uint32_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
        for (int k = 0; k < CHAINS; k++) x[k] = v_fma(x[k], m, a);
    }
    float sum = 0;
    for (int k = 0; k < CHAINS; k++) sum += x[k][0] + x[k][V_LANES - 1];
    *sink = sum;
    return 2.0 * CHAINS * V_LANES * rounds;
}
