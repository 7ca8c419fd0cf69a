/* MatMul of 32-bit integers: tiles of rows x a few columns, dealt to the pool. See matmul_int.h. */
#include "kernels/matmul_int.h"

enum { COLUMNS_A_TASK = 64, ROWS_A_TASK = 64 };

typedef struct job {
    const wa_kernel_args *a;
    wa_matmul m;
    void (*tile)(const wa_int_tile *t);
    int64_t row_blocks, column_blocks;
} job;

bool wa__matmul_int_has_fast(const wa_kernel_args *a)
{
    return a->op == WA_OP_MatMul && a->in_count == 2 && a->out_count == 1 && a->in[0].type.dtype == WA_I32 && a->in[1].type.dtype == WA_I32 && a->out[0].type.dtype == WA_I32;
}

static void block(void *user, uint32_t index, uint32_t thread)
{
    const job *g = user;
    const wa_matmul *m = &g->m;
    (void)thread;
    int64_t column = index % g->column_blocks * COLUMNS_A_TASK, row = index / g->column_blocks % g->row_blocks * ROWS_A_TASK, product = index / g->column_blocks / g->row_blocks;
    int64_t end = row + ROWS_A_TASK < m->m ? row + ROWS_A_TASK : m->m, a_at, b_at;
    wa__matmul_place(m, product, &a_at, &b_at);
    wa_int_tile t = {.b = (const uint32_t *)g->a->in[1].data + b_at + column, .a_row = m->k, .b_row = m->n, .c_row = m->n, .k = m->k};
    t.columns = m->n - column < COLUMNS_A_TASK ? m->n - column : COLUMNS_A_TASK;
    for (; row < end; row += WA_INT_ROWS) {
        t.a = (const uint32_t *)g->a->in[0].data + a_at + row * m->k;
        t.c = (uint32_t *)g->a->out[0].data + (product * m->m + row) * m->n + column;
        t.rows = end - row < WA_INT_ROWS ? (int)(end - row) : WA_INT_ROWS;
        g->tile(&t);
    }
}

wa_status wa__matmul_int_fast(const wa_kernel_args *a, wa_error *err)
{
    job g = {.a = a, .tile = WA_PICK_ISA(wa__int_tile)};
    WA_TRY(wa__kernel_check(a, err));
    if (((uintptr_t)a->in[0].data | (uintptr_t)a->in[1].data | (uintptr_t)a->out[0].data) % sizeof(int32_t)) return wa__kernel_ref(a->op)(a, err);
    if (wa__count(&a->out[0].type) == 0) return WA_OK;
    WA_TRY(wa__matmul_describe(a, &g.m, err));
    g.row_blocks = (g.m.m + ROWS_A_TASK - 1) / ROWS_A_TASK;
    g.column_blocks = (g.m.n + COLUMNS_A_TASK - 1) / COLUMNS_A_TASK;
    int64_t tasks = g.m.batch * g.row_blocks * g.column_blocks;
    if (tasks > UINT32_MAX) return wa__kernel_fail(a, err, WA_LIMIT, "%lld tasks are too many", (long long)tasks);
    bool small = (double)g.m.m * (double)g.m.n * (double)g.m.k * (double)g.m.batch < 32768; /* waking threads costs more */
    wa__pool_run(small ? NULL : a->pool, (uint32_t)tasks, block, &g);
    return WA_OK;
}
