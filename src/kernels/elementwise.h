/* Fused elementwise chains (operator Elementwise, see graph.h) as steps, and one step on scalars.
 * Single elementwise nodes are chains of one step, so that each operator's meaning stands once. */
#ifndef WA_ELEMENTWISE_H
#define WA_ELEMENTWISE_H
#include "kernels/kernels_int.h"

#define WA_EW_STEPS_MAX 64

typedef struct wa_ew_step {
    wa_op op;
    wa_dtype dtype;  /* of the result */
    int32_t arg[3];  /* >= 0: input, then earlier step; -1-i: immediate i; WA_EW_ABSENT */
} wa_ew_step;

typedef struct wa_ew_chain {
    wa_ew_step step[WA_EW_STEPS_MAX];
    float imm[WA_EW_STEPS_MAX];
    uint32_t step_count, imm_count, input_count;
} wa_ew_chain;

/* The chain of node Elementwise or of one elementwise operator, checked: operands exist and come
 * before their use, types are known, the last result has out 0's type. */
wa_status wa__ew_chain(const wa_kernel_args *a, wa_ew_chain *out, wa_error *err) WA_MUST_CHECK;

typedef struct wa_num { /* f for floats, i for integers and BOOL; t NONE: absent */
    double f;
    int64_t i;
    wa_dtype t;
} wa_num;
/* Whether wa__ew_apply computes this operator. */
bool wa__ew_known(wa_op op);
wa_num wa__ew_apply(wa_op op, const wa_num x[3], wa_dtype out);
/* What the operand's immediate is when its step's other operands have type t. */
wa_num wa__ew_immediate(float v, wa_dtype t);

#endif
