/* Fast kernels along the last axis: rows are dealt to the pool's threads in blocks. See rows.h. */
#include "kernels/gemm.h"
#include "kernels/rows.h"
#include <math.h>
#include <stdatomic.h>

enum { ELEMENTS_A_TASK = 16384, TOKENS_AT_ONCE = 8192 };

typedef struct job {
    const wa_kernel_args *a;
    const wa_rows_isa *isa;
    int64_t rows, width, rows_a_task;
    float epsilon;
    atomic_int bad_row; /* EmbedLayerNorm: a row with an index out of range, -1 none */
} job;

static const float *input(const job *g, uint32_t i, int64_t at) { return wa__kernel_has(g->a, i) ? (const float *)g->a->in[i].data + at : NULL; }

static void embed(job *g, int64_t r, float *out)
{
    int64_t w, p, t;
    if (wa__embed_places(g->a, r, &w, &p, &t, NULL) != WA_OK) {
        atomic_store(&g->bad_row, (int)(r & INT32_MAX));
        return;
    }
    g->isa->norm(input(g, 2, w * g->width), input(g, 3, p * g->width), t < 0 ? NULL : input(g, 4, t * g->width), input(g, 5, 0), input(g, 6, 0), g->epsilon, g->width, out);
}

static void mean_pool(const job *g, int64_t r, float *out)
{
    float weight[TOKENS_AT_ONCE];
    int64_t tokens = g->a->in[0].type.dims[1];
    double all = 0;
    for (int64_t t = 0; t < tokens; t++) all += wa__get_f64(&g->a->in[1], r * tokens + t);
    float factor = (float)(1.0 / fmax(all, 1e-9));
    for (int64_t t = 0; t < tokens; t++) weight[t] = (float)wa__get_f64(&g->a->in[1], r * tokens + t);
    g->isa->mean(input(g, 0, r * tokens * g->width), weight, tokens, g->width, factor, out);
}

static void rms(const job *g, int64_t at, float *out)
{
    const float *x = input(g, 0, at), *gamma = input(g, 1, 0);
    float factor = 1.0f / sqrtf(g->isa->sum(WA_OP_ReduceSumSquare, x, g->width) / (float)g->width + g->epsilon);
    for (int64_t i = 0; i < g->width; i++) out[i] = x[i] * factor * gamma[i];
}

static void row(job *g, int64_t r)
{
    const wa_kernel_args *a = g->a;
    int64_t at = r * g->width;
    float *out = (float *)a->out[0].data;
    switch (a->op) {
    case WA_OP_LayerNormalization: g->isa->norm(input(g, 0, at), NULL, NULL, input(g, 1, 0), input(g, 2, 0), g->epsilon, g->width, out + at); break;
    case WA_OP_RMSNormalization: rms(g, at, out + at); break;
    case WA_OP_SkipLayerNorm: g->isa->norm(input(g, 0, at), input(g, 1, at), NULL, input(g, 2, 0), input(g, 3, 0), g->epsilon, g->width, out + at); break;
    case WA_OP_EmbedLayerNorm: embed(g, r, out + at); break;
    case WA_OP_Softmax: case WA_OP_LogSoftmax: g->isa->softmax(input(g, 0, at), a->op == WA_OP_LogSoftmax, g->width, out + at); break;
    case WA_OP_L2Normalize: g->isa->l2(input(g, 0, at), g->epsilon, g->width, out + at); break;
    case WA_OP_MeanPool: mean_pool(g, r, out + at); break;
    case WA_OP_ReduceMean: out[r] = g->isa->sum(a->op, input(g, 0, at), g->width) / (float)g->width; break;
    case WA_OP_ReduceL2: out[r] = sqrtf(g->isa->sum(a->op, input(g, 0, at), g->width)); break;
    default: out[r] = g->isa->sum(a->op, input(g, 0, at), g->width); break;
    }
}

static void block(void *user, uint32_t index, uint32_t thread)
{
    job *g = user;
    (void)thread;
    int64_t r = (int64_t)index * g->rows_a_task, end = r + g->rows_a_task < g->rows ? r + g->rows_a_task : g->rows;
    for (; r < end; r++) row(g, r);
}

/* How many axes, all at the end, a reduction goes over; 0: others than those. */
static uint32_t over_last(const wa_kernel_args *a)
{
    int64_t axes[WA_RANK_MAX], rank = a->in[0].type.rank;
    uint32_t count;
    bool seen[WA_RANK_MAX] = {false};
    if (wa__kernel_has(a, 1) && !a->in[1].data) return 0;
    if (wa__kernel_ints(a, 1, "axes", axes, WA_RANK_MAX, &count, NULL, NULL) != WA_OK || count == 0 || (int64_t)count > rank) return 0;
    for (uint32_t i = 0; i < count; i++) {
        int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
        if (axis < rank - (int64_t)count || axis >= rank || seen[axis]) return 0;
        seen[axis] = true;
    }
    return count;
}

bool wa__rows_has_fast(wa_op op, const wa_kernel_args *a)
{
    const wa_tensor_type *x = &a->in[0].type;
    if (a->in_count < 1 || a->out_count != 1 || a->out[0].type.dtype != WA_F32) return false;
    bool embeds = op == WA_OP_EmbedLayerNorm, pools = op == WA_OP_MeanPool;
    for (uint32_t i = 0; i < a->in_count; i++) {
        bool number = embeds ? i >= 2 && i <= 6 : pools || op == WA_OP_L2Normalize || (op >= WA_OP_ReduceSum && op <= WA_OP_ReduceSumSquare) ? i == 0 : true;
        if (number && a->in[i].type.dtype != WA_F32 && a->in[i].type.dtype != WA_DTYPE_NONE) return false;
    }
    if (x->rank == 0) return false;
    int64_t axis = wa__kernel_int(a, "axis", -1);
    bool last = axis == -1 || axis == (int64_t)x->rank - 1;
    switch (op) {
    case WA_OP_LayerNormalization: case WA_OP_RMSNormalization:
        for (uint32_t i = 1; i < a->in_count && i < 3; i++)
            if (wa__kernel_has(a, i) && wa__count(&a->in[i].type) != x->dims[x->rank - 1]) return false;
        return last && wa__kernel_has(a, 1);
    case WA_OP_Softmax: case WA_OP_LogSoftmax: return (a->opset == 0 || a->opset >= 13 || wa__attr_find(a->attrs, a->attr_count, "axis")) && last;
    case WA_OP_MeanPool: return x->rank == 3 && x->dims[1] <= TOKENS_AT_ONCE;
    case WA_OP_SkipLayerNorm: case WA_OP_EmbedLayerNorm: case WA_OP_L2Normalize: return true;
    case WA_OP_ReduceSum: case WA_OP_ReduceMean: case WA_OP_ReduceL1: case WA_OP_ReduceL2: case WA_OP_ReduceSumSquare: return over_last(a) > 0;
    default: return false;
    }
}

/* Rows, width and the output's type of the operators that fused.h does not describe. */
static wa_status describe(const wa_kernel_args *a, wa_rows *r, wa_error *err)
{
    wa_tensor_type t = a->in[0].type;
    switch (a->op) {
    case WA_OP_SkipLayerNorm: case WA_OP_EmbedLayerNorm: case WA_OP_L2Normalize: case WA_OP_MeanPool: return wa__rows_describe(a, r, err);
    default: break;
    }
    r->width = t.dims[t.rank - 1];
    r->rows = wa__dims_product(&t, 0, t.rank - 1);
    if (a->op == WA_OP_LayerNormalization || a->op == WA_OP_RMSNormalization)
        for (uint32_t i = 1; i < 3; i++)
            if (wa__kernel_has(a, i) && wa__count(&a->in[i].type) != r->width) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "input %u has not %lld floats", i, (long long)r->width);
    if (a->op >= WA_OP_ReduceSum && a->op <= WA_OP_ReduceSumSquare) {
        uint32_t axes = over_last(a);
        if (!axes) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its axes changed since it was chosen");
        r->width = wa__dims_product(&t, t.rank - axes, t.rank);
        r->rows = wa__dims_product(&t, 0, t.rank - axes);
        for (uint32_t i = 0; i < axes; i++) t.dims[t.rank - 1 - i] = 1;
        if (!wa__kernel_int(a, "keepdims", 1)) t.rank -= axes;
    }
    return wa__kernel_want(a, 0, &t, err);
}

wa_status wa__rows_fast(const wa_kernel_args *a, wa_error *err)
{
    job g = {.a = a, .isa = WA_PICK_ISA_AT(wa__rows), .bad_row = -1};
    wa_rows r;
    WA_TRY(wa__kernel_check(a, err));
    if (!wa__kernel_aligned(a, UINT32_MAX)) return wa__kernel_ref(a->op)(a, err);
    if (wa__count(&a->out[0].type) == 0) return WA_OK;
    WA_TRY(describe(a, &r, err));
    g.rows = r.rows;
    g.width = r.width;
    g.epsilon = wa__kernel_float(a, "epsilon", a->op == WA_OP_L2Normalize ? 1e-12f : 1e-5f);
    int64_t cost = a->op == WA_OP_MeanPool ? r.width * a->in[0].type.dims[1] : r.width;
    g.rows_a_task = cost < ELEMENTS_A_TASK ? ELEMENTS_A_TASK / (cost > 0 ? cost : 1) : 1;
    if (g.rows_a_task > g.rows) g.rows_a_task = g.rows;
    int64_t tasks = (g.rows + g.rows_a_task - 1) / g.rows_a_task;
    if (tasks > UINT32_MAX) return wa__kernel_fail(a, err, WA_LIMIT, "%lld rows are too many", (long long)g.rows);
    wa__pool_run(a->pool, (uint32_t)tasks, block, &g);
    if (atomic_load(&g.bad_row) >= 0) { /* say which: the first one, whatever thread met which */
        int64_t w, p, t;
        for (int64_t i = 0; i < g.rows; i++) WA_TRY(wa__embed_places(a, i, &w, &p, &t, err));
    }
    return WA_OK;
}
