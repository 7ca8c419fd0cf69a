/* See isa.h. Kernels ask at every call; what the processor has was read once by the C runtime. */
#include "kernels/isa.h"
#include <stdatomic.h>
#include <stdbool.h>

static atomic_int limit = WA_ISA_AVX512; /* only tests lower it */

wa_isa wa__isa(void)
{
    wa_isa best = WA_ISA_ANY, most = (wa_isa)atomic_load_explicit(&limit, memory_order_relaxed);
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
        best = wide ? WA_ISA_AVX512 : WA_ISA_AVX2;
    }
#endif
    return best < most ? best : most;
}

void wa__isa_limit(wa_isa most) { atomic_store_explicit(&limit, (int)most, memory_order_relaxed); }
