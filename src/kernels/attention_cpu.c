/* Fast attention: cuts batch, heads and queries into tasks. See attention.h. */
#include "kernels/attention.h"

typedef struct job {
    const wa_kernel_args *a;
    wa_attention t;
    int64_t tiles;
    void (*task)(const wa_attention_task *t);
} job;

static void run_task(void *user, uint32_t index, uint32_t thread)
{
    const job *g = user;
    const wa_attention *t = &g->t;
    (void)thread;
    int64_t tile = index % g->tiles, head = index / g->tiles % t->heads, batch = index / g->tiles / t->heads, query = tile * WA_ATTENTION_QUERIES;
    int64_t left = t->queries - query;
    wa_attention_task w = {
        .q = (const float *)g->a->in[t->q].data + t->q_at + (batch * t->queries + query) * t->q_row + head * t->size,
        .k = (const float *)g->a->in[t->k].data + t->k_at + batch * t->keys * t->k_row + head * t->size,
        .v = (const float *)g->a->in[t->v].data + t->v_at + batch * t->keys * t->v_row + head * t->value_size,
        .q_row = t->q_row, .k_row = t->k_row, .v_row = t->v_row, .out_row = t->heads * t->value_size,
        .queries = left < WA_ATTENTION_QUERIES ? left : WA_ATTENTION_QUERIES, .keys = t->keys, .size = t->size, .value_size = t->value_size, .scale = t->scale,
    };
    w.out = (float *)g->a->out[0].data + (batch * t->queries + query) * w.out_row + head * t->value_size;
    if (t->bias != WA_NO_INPUT) {
        w.bias = (const float *)g->a->in[t->bias].data + batch * t->bias_stride[0] + head * t->bias_stride[1] + query * t->bias_stride[2];
        w.bias_query = t->bias_stride[2];
        w.bias_key = t->bias_stride[3];
    }
    g->task(&w);
}

bool wa__attention_has_fast(const wa_kernel_args *a)
{
    wa_attention t;
    for (uint32_t i = 0; i < a->in_count; i++)
        if (a->in[i].type.dtype != WA_F32 && a->in[i].type.dtype != WA_DTYPE_NONE) return false;
    if (a->in_count < (a->op == WA_OP_Attention ? 3u : 1u) || a->out_count < 1) return false;
    return wa__attention_describe(a, &t, NULL) == WA_OK && t.size <= WA_ATTENTION_SIZE;
}

wa_status wa__attention_fast(const wa_kernel_args *a, wa_error *err)
{
    job g = {.a = a};
    WA_TRY(wa__kernel_check(a, err));
    if (!wa__kernel_aligned(a, UINT32_MAX)) return wa__kernel_ref(a->op)(a, err);
    if (wa__count(&a->out[0].type) == 0) return WA_OK;
    WA_TRY(wa__attention_describe(a, &g.t, err));
    g.tiles = (g.t.queries + WA_ATTENTION_QUERIES - 1) / WA_ATTENTION_QUERIES;
    g.task = WA_PICK_ISA(wa__attention_task);
    int64_t tasks = g.t.batch * g.t.heads * g.tiles;
    if (tasks > UINT32_MAX) return wa__kernel_fail(a, err, WA_LIMIT, "%lld tasks are too many", (long long)tasks);
    wa__pool_run(a->pool, (uint32_t)tasks, run_task, &g);
    return WA_OK;
}
