/* The fast forms and how one is chosen. */
#ifndef WA_KERNELS_FAST_H
#define WA_KERNELS_FAST_H
#include "kernels/kernels_int.h"

/* NULL: no fast form for these types. */
wa_kernel_fn wa__kernel_fast(wa_op op, const wa_kernel_args *a);

#endif
