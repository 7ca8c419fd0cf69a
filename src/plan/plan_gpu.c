/* WebGPU lowering: the table of operators, and what every row uses. */
#include "plan/plan_int.h"

wa_dtype wa__plan_device_dtype(wa_dtype d)
{
    switch (d) {
    case WA_F32: case WA_F16: case WA_BF16: case WA_F64: return WA_F32;
    case WA_I8: case WA_I16: case WA_I32: case WA_I64: return WA_I32;
    case WA_U8: case WA_U16: case WA_U32: case WA_U64: case WA_BOOL: return WA_U32;
    default: return WA_DTYPE_NONE;
    }
}

uint64_t wa__plan_gpu_bytes(const wa_tensor_type *t) { return (uint64_t)wa__count(t) * 4; }

const char *wa__plan_gpu_refuses(wa_plan_builder *b, uint32_t node)
{
    (void)b, (void)node;
    return "no WebGPU kernel for this operator";
}

wa_status wa__plan_gpu_node(wa_plan_builder *b, uint32_t node)
{
    return wa__fail(b->err, WA_INTERNAL, "node %u has no WebGPU lowering", node);
}

wa_status wa__plan_gpu_finish(wa_plan_builder *b) { return b->sec[WA_SEC_DISPATCHES].count ? WA_INTERNAL : WA_OK; }
