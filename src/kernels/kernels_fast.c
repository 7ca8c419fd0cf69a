/* Chooses fast kernels by operator, types and what this processor can do. */
#include "kernels/attention.h"
#include "kernels/conv.h"
#include "kernels/elementwise_vec.h"
#include "kernels/gemm.h"
#include "kernels/kernels_fast.h"
#include "kernels/matmul_int.h"
#include "kernels/recurrence.h"
#include "kernels/pool_cpu.h"
#include "kernels/rows.h"

wa_kernel_fn wa__kernel_fast(wa_op op, const wa_kernel_args *a)
{
    switch (op) {
    case WA_OP_MatMul: case WA_OP_Gemm: case WA_OP_FusedMatMul: return wa__matmul_has_fast(a) ? wa__matmul_fast : wa__matmul_int_has_fast(a) ? wa__matmul_int_fast : NULL;
    case WA_OP_Conv: case WA_OP_ConvAct: case WA_OP_ConvTranspose: return wa__conv_has_fast(a) ? wa__conv_fast : NULL;
    case WA_OP_MaxPool: case WA_OP_AveragePool: case WA_OP_AxisTaps: return wa__pool_has_fast(a) ? wa__pool_fast : NULL;
    case WA_OP_Attention: case WA_OP_QkvAttention: return wa__attention_has_fast(a) ? wa__attention_fast : NULL;
    case WA_OP_Recurrence: return wa__recurrence_has_fast(a) ? wa__recurrence_fast : NULL;
    default: return wa__rows_has_fast(op, a) ? wa__rows_fast : wa__ew_has_fast(op, a) ? wa__ew_fast : NULL;
    }
}

size_t wa__kernel_scratch(const wa_kernel_args *a)
{
    return a->op == WA_OP_MatMul || a->op == WA_OP_Gemm || a->op == WA_OP_FusedMatMul ? wa__matmul_scratch(a) : 0;
}
