/* Fast Recurrence in f32: groups of batch rows, by direction, are tasks. See recurrence.h. */
#include "kernels/gemm.h"
#include "kernels/recurrence.h"

typedef struct job {
    const wa_kernel_args *a;
    wa_recurrence c;
    int64_t rows, groups; /* batch rows a task, tasks a direction */
    float *room;
    size_t room_each;
    void (*task)(const wa_recurrence_task *t);
} job;

static void run_task(void *user, uint32_t index, uint32_t thread)
{
    const job *g = user;
    const wa_recurrence *c = &g->c;
    const wa_kernel_args *a = g->a;
    int64_t d = index / g->groups, b = index % g->groups * g->rows, gh = c->gates * c->hidden, extra = c->hidden * (c->kind == WA_CELL_LSTM ? 3 : 1);
    int64_t left = c->batch - b, state = (d * c->batch + b) * c->state_width;
    (void)thread;
    wa_recurrence_task t = {
        .c = c, .rows = (uint32_t)(left < g->rows ? left : g->rows), .direction = (uint32_t)d, .r = (const float *)a->in[1].data + d * c->hidden * gh,
        .extra = wa__kernel_has(a, 2) ? (const float *)a->in[2].data + d * extra : NULL, .xw = (const float *)a->in[0].data + (b * c->dirs + d) * gh, .xw_row = c->dirs * gh,
        .xw_step = c->batch * c->dirs * gh, .state = wa__kernel_has(a, 4) ? (const float *)a->in[4].data + state : NULL, .y = (float *)a->out[0].data + (d * c->batch + b) * c->hidden,
        .y_step = c->dirs * c->batch * c->hidden, .last = (float *)a->out[1].data + state, .room = g->room + index * g->room_each,
    };
    for (uint32_t q = 0; q < t.rows; q++) {
        int64_t n = wa__kernel_has(a, 3) ? wa__get_i64(&a->in[3], b + q) : c->steps;
        t.length[q] = n < 0 ? 0 : n > c->steps ? c->steps : n;
    }
    g->task(&t);
}

bool wa__recurrence_has_fast(const wa_kernel_args *a)
{
    return a->in_count >= 2 && a->in[0].type.dtype == WA_F32;
}

wa_status wa__recurrence_fast(const wa_kernel_args *a, wa_error *err)
{
    job g = {.a = a};
    WA_TRY(wa__kernel_check(a, err));
    WA_TRY(wa__recurrence_describe(a, &g.c, err));
    if (!wa__kernel_aligned(a, UINT32_MAX)) return wa__kernel_ref(a->op)(a, err);
    if (g.c.batch == 0) return WA_OK;
    int64_t share = g.c.batch * g.c.dirs / wa__pool_threads(a->pool);
    g.rows = share < 1 ? 1 : share > WA_RECURRENCE_ROWS ? WA_RECURRENCE_ROWS : share;
    g.groups = (g.c.batch + g.rows - 1) / g.rows;
    int64_t tasks = g.groups * g.c.dirs;
    if (tasks > UINT32_MAX) return wa__kernel_fail(a, err, WA_LIMIT, "%lld sequences are too many", (long long)tasks);
    g.room_each = (size_t)g.rows * (size_t)(g.c.gates + 2) * (size_t)g.c.hidden;
    g.room = wa__alloc((size_t)tasks, g.room_each * sizeof *g.room);
    if (!g.room) return wa__no_memory(err, "a recurrence");
    g.task = WA_PICK_ISA(wa__recurrence_task);
    wa__pool_run(a->pool, (uint32_t)tasks, run_task, &g);
    wa__free(g.room);
    return WA_OK;
}
