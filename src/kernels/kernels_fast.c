/* Chooses fast kernels by operator, types and what this processor can do. */
#include "kernels/kernels_fast.h"

wa_kernel_fn wa__kernel_fast(wa_op op, const wa_kernel_args *a)
{
    (void)op;
    (void)a;
    return NULL;
}

size_t wa__kernel_scratch(const wa_kernel_args *a)
{
    (void)a;
    return 0;
}

size_t wa__kernel_prepare_bytes(const wa_kernel_args *a, uint32_t input)
{
    (void)a;
    (void)input;
    return 0;
}

void wa__kernel_prepare(const wa_kernel_args *a, uint32_t input, void *dst)
{
    (void)a;
    (void)input;
    (void)dst;
}
