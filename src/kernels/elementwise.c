/* Elementwise chains from nodes. See elementwise.h. */
#include "kernels/elementwise.h"

static wa_status bad(const wa_kernel_args *a, wa_error *err, uint32_t step, const char *what)
{
    return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "step %u of its chain %s", step, what);
}

static wa_status check_steps(const wa_kernel_args *a, const wa_ew_chain *c, wa_error *err)
{
    for (uint32_t s = 0; s < c->step_count; s++) {
        const wa_ew_step *p = &c->step[s];
        const wa_op_info *info = wa__op_info(p->op);
        if (!info->elementwise && p->op != WA_OP_BitCast) return bad(a, err, s, "is no elementwise operator");
        if (!wa__ew_known(p->op)) return bad(a, err, s, "is an operator that is written out before it gets here");
        if (wa__dtype_size(p->dtype) == 0) return bad(a, err, s, "has no legal type");
        int need = info->inputs_min;
        for (int k = 0; k < 3; k++) {
            int64_t v = p->arg[k];
            if (v == WA_EW_ABSENT) {
                if (k < need) return bad(a, err, s, "lacks an operand");
            } else if (v >= 0 ? v >= (int64_t)c->input_count + s : -1 - v >= (int64_t)c->imm_count) {
                return bad(a, err, s, "uses an operand that does not exist");
            } else if (v >= 0 && v < (int64_t)c->input_count && a->in[v].type.dtype == WA_DTYPE_NONE) {
                return bad(a, err, s, "uses an omitted input");
            }
        }
    }
    if (c->step[c->step_count - 1].dtype != a->out[0].type.dtype) return bad(a, err, c->step_count - 1, "has not the output's type");
    return WA_OK;
}

static wa_status fused(const wa_kernel_args *a, wa_ew_chain *c, wa_error *err)
{
    const wa_attr *code = wa__attr_find(a->attrs, a->attr_count, "code"), *imm = wa__attr_find(a->attrs, a->attr_count, "imm");
    const wa_attr *dtypes = wa__attr_find(a->attrs, a->attr_count, "dtypes");
    if (!code || code->kind != WA_ATTR_KIND_INTS || !dtypes || dtypes->kind != WA_ATTR_KIND_INTS || dtypes->count == 0 || code->count != dtypes->count * (uint64_t)WA_EW_WORDS)
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its code and dtypes do not fit each other");
    if (dtypes->count > WA_EW_STEPS_MAX || (imm && (imm->kind != WA_ATTR_KIND_FLOATS || imm->count > WA_EW_STEPS_MAX)))
        return wa__kernel_fail(a, err, WA_UNSUPPORTED, "its chain passes %d steps", WA_EW_STEPS_MAX);
    c->step_count = dtypes->count;
    c->imm_count = imm ? imm->count : 0;
    if (c->imm_count) memcpy(c->imm, imm->floats, c->imm_count * sizeof *c->imm);
    for (uint32_t s = 0; s < c->step_count; s++) {
        const int64_t *w = code->ints + (size_t)s * WA_EW_WORDS;
        if (w[0] <= 0 || w[0] >= WA_OP_COUNT) return bad(a, err, s, "is no elementwise operator");
        c->step[s].op = (wa_op)w[0];
        c->step[s].dtype = dtypes->ints[s] > 0 && dtypes->ints[s] < 256 ? (wa_dtype)dtypes->ints[s] : WA_DTYPE_NONE;
        for (int k = 0; k < 3; k++) {
            if (w[k + 1] < INT32_MIN || w[k + 1] > INT32_MAX) return bad(a, err, s, "uses an operand that does not exist");
            c->step[s].arg[k] = (int32_t)w[k + 1];
        }
    }
    return WA_OK;
}

static int32_t immediate(wa_ew_chain *c, float v)
{
    c->imm[c->imm_count] = v;
    return -1 - (int32_t)c->imm_count++;
}

/* Attributes of a single operator become operands, as in a fused chain. */
static void attr_operands(const wa_kernel_args *a, wa_ew_chain *c, wa_ew_step *p)
{
    float value[3];
    uint32_t mask = wa__ew_attr_operands(a->op, a->attrs, a->attr_count, value);
    for (int k = 1; k < 3; k++)
        if (mask >> k & 1 && p->arg[k] == WA_EW_ABSENT) p->arg[k] = immediate(c, value[k]);
}

/* One operator; Min, Max, Sum and Mean of many inputs are a chain of pairs. */
static wa_status single(const wa_kernel_args *a, wa_ew_chain *c, wa_error *err)
{
    wa_dtype t = a->out[0].type.dtype;
    bool many = a->op == WA_OP_Min || a->op == WA_OP_Max || a->op == WA_OP_Sum || a->op == WA_OP_Mean;
    if (!many) {
        wa_ew_step *p = &c->step[c->step_count++];
        *p = (wa_ew_step){a->op, t, {WA_EW_ABSENT, WA_EW_ABSENT, WA_EW_ABSENT}};
        for (uint32_t k = 0; k < a->in_count && k < 3; k++)
            if (a->in[k].type.dtype != WA_DTYPE_NONE) p->arg[k] = (int32_t)k;
        attr_operands(a, c, p);
        return WA_OK;
    }
    wa_op op = a->op == WA_OP_Mean || a->op == WA_OP_Sum ? WA_OP_Add : a->op;
    if (a->in_count == 1) c->step[c->step_count++] = (wa_ew_step){WA_OP_Cast, t, {0, WA_EW_ABSENT, WA_EW_ABSENT}};
    for (uint32_t k = 1; k < a->in_count; k++)
        c->step[c->step_count++] = (wa_ew_step){op, t, {k == 1 ? 0 : (int32_t)(a->in_count + k - 2), (int32_t)k, WA_EW_ABSENT}};
    if (a->op == WA_OP_Mean && a->in_count > 1) {
        int32_t last = (int32_t)(a->in_count + c->step_count - 1);
        wa_ew_step *p = &c->step[c->step_count++];
        *p = (wa_ew_step){WA_OP_Div, t, {last, immediate(c, (float)a->in_count), WA_EW_ABSENT}};
    }
    (void)err;
    return WA_OK;
}

wa_status wa__ew_chain(const wa_kernel_args *a, wa_ew_chain *out, wa_error *err)
{
    out->step_count = out->imm_count = 0;
    out->input_count = a->in_count;
    if (a->in_count > WA_KERNEL_OPERANDS_MAX) return wa__kernel_fail(a, err, WA_UNSUPPORTED, "%u inputs: at most %d", a->in_count, WA_KERNEL_OPERANDS_MAX);
    WA_TRY(a->op == WA_OP_Elementwise ? fused(a, out, err) : single(a, out, err));
    return check_steps(a, out, err);
}
