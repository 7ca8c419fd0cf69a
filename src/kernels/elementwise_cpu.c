/* Fast elementwise chains: blocks of the output are dealt to the pool. See elementwise_vec.h. */
#include "kernels/elementwise_vec.h"
#include "kernels/gemm.h"

enum { BLOCKS_A_TASK = 32 };

typedef struct job {
    const wa_kernel_args *a;
    wa_ew_chain chain;
    wa_ew_step_fn step;
    int64_t count, strides[WA_KERNEL_OPERANDS_MAX][WA_RANK_MAX];
    bool dense[WA_KERNEL_OPERANDS_MAX]; /* element i of the output is element i of the input */
} job;

bool wa__ew_step_exists(wa_op op)
{
    switch (op) {
    case WA_OP_Add: case WA_OP_Sum: case WA_OP_Sub: case WA_OP_Mul: case WA_OP_Div: case WA_OP_Min: case WA_OP_Max: case WA_OP_Mean: case WA_OP_PRelu:
    case WA_OP_LeakyRelu: case WA_OP_Abs: case WA_OP_Neg: case WA_OP_Exp: case WA_OP_Sqrt: case WA_OP_Reciprocal: case WA_OP_Erf: case WA_OP_Tanh:
    case WA_OP_Sigmoid: case WA_OP_Relu: case WA_OP_Gelu: case WA_OP_Clip: return true;
    default: return false;
    }
}

bool wa__ew_has_fast(wa_op op, const wa_kernel_args *a)
{
    wa_ew_chain c;
    if (!(wa__op_info(op)->elementwise || op == WA_OP_Elementwise) || a->out_count != 1 || a->out[0].type.dtype != WA_F32) return false;
    for (uint32_t i = 0; i < a->in_count; i++)
        if (a->in[i].type.dtype != WA_F32 && a->in[i].type.dtype != WA_DTYPE_NONE) return false;
    if (wa__ew_chain(a, &c, NULL) != WA_OK || c.step_count > WA_EW_FAST_STEPS || c.imm_count > WA_EW_FAST_STEPS) return false;
    for (uint32_t s = 0; s < c.step_count; s++) {
        const wa_ew_step *p = &c.step[s];
        bool pair = p->op == WA_OP_LeakyRelu || wa__op_info(p->op)->inputs_min == 2 || (wa__op_info(p->op)->inputs_max < 0);
        if (!wa__ew_step_exists(p->op) || p->dtype != WA_F32 || (pair && p->arg[1] == WA_EW_ABSENT)) return false;
    }
    return true;
}

/* n elements of input i from output element `at` on. */
static void gather(const job *g, uint32_t i, int64_t at, int64_t n, float *out)
{
    const wa_tensor_type *o = &g->a->out[0].type;
    const float *from = g->a->in[i].data;
    int64_t index[WA_RANK_MAX], rest = at;
    if (g->dense[i]) {
        memcpy(out, from + at, (size_t)n * sizeof *out);
        return;
    }
    for (uint32_t d = o->rank; d-- > 0; rest /= o->dims[d]) index[d] = rest % o->dims[d];
    uint32_t last = o->rank ? o->rank - 1 : 0;
    while (n > 0) {
        int64_t base = 0, run = o->rank ? o->dims[last] - index[last] : 1, stride = o->rank ? g->strides[i][last] : 0;
        for (uint32_t d = 0; d < o->rank; d++) base += index[d] * g->strides[i][d];
        if (run > n) run = n;
        if (stride == 1) memcpy(out, from + base, (size_t)run * sizeof *out);
        else
            for (int64_t k = 0; k < run; k++) out[k] = from[base]; /* a last axis has stride 1 or 0 */
        out += run;
        n -= run;
        if (!o->rank) return;
        index[last] += run - 1;
        wa__next(index, o->dims, o->rank);
    }
}

typedef struct room { /* of a task */
    float in[WA_KERNEL_OPERANDS_MAX][WA_EW_BLOCK], step[WA_EW_FAST_STEPS][WA_EW_BLOCK], imm[WA_EW_FAST_STEPS][WA_EW_BLOCK];
} room;

/* Whole blocks are read and written where they lie; a short one goes through the room, whole vectors of it. */
static void one_block(const job *g, int64_t at, int64_t n, room *m)
{
    const wa_ew_chain *c = &g->chain;
    bool whole = n == WA_EW_BLOCK;
    int64_t padded = (n + WA_EW_VECTOR - 1) / WA_EW_VECTOR * WA_EW_VECTOR;
    const float *value[WA_KERNEL_OPERANDS_MAX + WA_EW_FAST_STEPS];
    for (uint32_t i = 0; i < c->input_count; i++) {
        if (g->a->in[i].type.dtype == WA_DTYPE_NONE) continue;
        value[i] = whole && g->dense[i] ? (const float *)g->a->in[i].data + at : m->in[i];
        if (value[i] != m->in[i]) continue;
        gather(g, i, at, n, m->in[i]);
        memset(m->in[i] + n, 0, (size_t)(padded - n) * sizeof(float));
    }
    float *out = (float *)g->a->out[0].data + at;
    for (uint32_t s = 0; s < c->step_count; s++) {
        const wa_ew_step *p = &c->step[s];
        float *to = whole && s + 1 == c->step_count ? out : m->step[s];
        const float *x[3] = {NULL, NULL, NULL};
        for (int k = 0; k < 3; k++)
            if (p->arg[k] != WA_EW_ABSENT) x[k] = p->arg[k] >= 0 ? value[p->arg[k]] : m->imm[-1 - p->arg[k]];
        g->step(p->op, x[0], x[1], x[2], padded, to);
        value[c->input_count + s] = to;
    }
    if (!whole) memcpy(out, m->step[c->step_count - 1], (size_t)n * sizeof(float));
}

static void task(void *user, uint32_t index, uint32_t thread)
{
    const job *g = user;
    room m __attribute__((aligned(64)));
    (void)thread;
    for (uint32_t i = 0; i < g->chain.imm_count; i++)
        for (int64_t e = 0; e < WA_EW_BLOCK; e++) m.imm[i][e] = g->chain.imm[i];
    int64_t at = (int64_t)index * BLOCKS_A_TASK * WA_EW_BLOCK, end = at + BLOCKS_A_TASK * WA_EW_BLOCK < g->count ? at + BLOCKS_A_TASK * WA_EW_BLOCK : g->count;
    for (; at < end; at += WA_EW_BLOCK) one_block(g, at, end - at < WA_EW_BLOCK ? end - at : WA_EW_BLOCK, &m);
}

wa_status wa__ew_fast(const wa_kernel_args *a, wa_error *err)
{
    job g = {.a = a, .step = WA_PICK_ISA(wa__ew_step), .count = wa__count(&a->out[0].type)};
    WA_TRY(wa__kernel_check(a, err));
    if (!wa__kernel_aligned(a, UINT32_MAX)) return wa__kernel_ref(a->op)(a, err);
    if (g.count == 0) return WA_OK;
    WA_TRY(wa__ew_chain(a, &g.chain, err));
    for (uint32_t i = 0; i < a->in_count; i++) {
        if (a->in[i].type.dtype == WA_DTYPE_NONE) continue;
        if (!wa__broadcast_strides(&a->in[i].type, &a->out[0].type, g.strides[i])) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "input %u does not broadcast to the output", i);
        g.dense[i] = wa__count(&a->in[i].type) == g.count;
    }
    int64_t tasks = (g.count + BLOCKS_A_TASK * WA_EW_BLOCK - 1) / (BLOCKS_A_TASK * WA_EW_BLOCK);
    if (tasks > UINT32_MAX) return wa__kernel_fail(a, err, WA_LIMIT, "%lld elements are too many", (long long)g.count);
    wa__pool_run(a->pool, (uint32_t)tasks, task, &g);
    return WA_OK;
}
