/* Fast pools and interpolation of f32. */
#ifndef WA_POOL_CPU_H
#define WA_POOL_CPU_H
#include "kernels/kernels_int.h"

/* MaxPool without indices, AveragePool, AxisTaps. */
bool wa__pool_has_fast(const wa_kernel_args *a);
wa_status wa__pool_fast(const wa_kernel_args *a, wa_error *err);

#endif
