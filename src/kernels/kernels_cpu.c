/* The CPU half of kernels.h: finds the reference of an operator and its fast form. */
#include "kernels/kernels_fast.h"

static wa_kernel_fn find(wa_op op)
{
    static const wa_kernel_entry *const tables[] = {wa__ref_shape, wa__ref_index, wa__ref_elementwise, wa__ref_reduce, wa__ref_matmul, wa__ref_fused, wa__ref_conv, wa__ref_pool, wa__ref_sample,
                                                   wa__ref_recurrence, wa__ref_signal, wa__ref_quant, wa__ref_scatter, wa__ref_select, wa__ref_matmul_blocks};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const wa_kernel_entry *e = tables[t]; e->op != WA_OP_NONE; e++)
            if (e->op == op) return e->fn;
    return NULL;
}

/* Every reference goes through here: arguments are checked once, and empty results need no work. */
static wa_status reference(const wa_kernel_args *a, wa_error *err)
{
    wa_kernel_fn fn = find(a->op);
    if (!fn) return wa__fail(err, WA_UNSUPPORTED, "operator %u has no CPU kernel", (unsigned)a->op);
    WA_TRY(wa__kernel_check(a, err));
    bool work = false;
    for (uint32_t i = 0; i < a->out_count; i++) work = work || wa__bytes(&a->out[i].type) > 0;
    return work ? wa__kernel_unpacked(fn, a, err) : WA_OK;
}

wa_kernel_fn wa__kernel_ref(wa_op op) { return find(op) ? reference : NULL; }

wa_kernel_fn wa__kernel_cpu(wa_op op, const wa_kernel_args *a)
{
    wa_kernel_fn fast = wa__kernel_fast(op, a);
    return fast ? fast : wa__kernel_ref(op);
}

wa_status wa__kernel_eval(void *user, wa_op op, const wa_attr *attrs, uint32_t attr_count, const wa_view *in, uint32_t in_count,
                          wa_view *out, uint32_t out_count, wa_error *err)
{
    (void)user;
    wa_kernel_args a = {.op = op, .opset = WA_NODE_OPSET, .attrs = attrs, .attr_count = attr_count, .in = in, .in_count = in_count, .out = out, .out_count = out_count};
    return reference(&a, err);
}
