/* Products with weights of 8 bits: B packed once, the rows of A made codes in the call's scratch, blocks of rows x
 * columns dealt to the pool; Called by matmul_cpu.c. See gemm8.h. */
#include "kernels/gemm8.h"
#include <math.h>

enum { ROW_TILES_MAX = 16, TASKS_A_THREAD = 8, ROWS_A_TASK = 16, ALIGN = 64 };

#if defined(__x86_64__)
const wa_gemm8_isa *wa__gemm8(void)
{
    if (wa__isa() == WA_ISA_ANY) return &wa__gemm8_cpu;
    return wa__isa() == WA_ISA_AVX512 && __builtin_cpu_supports("avx512vnni") ? &wa__gemm8_avx512 : &wa__gemm8_avx2;
}
#else
const wa_gemm8_isa *wa__gemm8(void) { return &wa__gemm8_cpu; }
#endif

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }

/* --- weights ---------------------------------------------------------------------------------------------------- */
/* Column j of `panel`. */
static void pack_column(const void *b, wa_dtype dtype, int64_t first, int64_t step, int64_t k, int64_t column, uint8_t *panel)
{
    float most = 0, scale, inverse;
    int32_t sum = 0;
    for (int64_t i = 0; i < k; i++) most = fmaxf(most, fabsf(wa__gemm_element(b, dtype, first + i * step)));
    scale = most / 127.0f;
    inverse = most > 0 && isfinite(127.0f / most) ? 127.0f / most : 0;
    for (int64_t i = 0; i < k; i++) {
        float q = rintf(wa__gemm_element(b, dtype, first + i * step) * inverse);
        int8_t code = (int8_t)(q >= -127 && q <= 127 ? q : 0);
        sum += code;
        panel[i / 4 * 64 + column * 4 + i % 4] = (uint8_t)code;
    }
    uint8_t *ends = panel + wa__gemm8_steps(k) * 64;
    memcpy(ends + column * 4, &scale, 4);
    memcpy(ends + WA_PANEL * 4 + column * 4, &sum, 4);
}

void wa__gemm8_pack(const void *b, wa_dtype dtype, bool transposed, int64_t k, int64_t n, uint8_t *out)
{
    memset(out, 0, (size_t)(ceil_div(n, WA_PANEL) * wa__gemm8_panel(k)));
    for (int64_t j = 0; j < n; j++) pack_column(b, dtype, transposed ? j * k : j, transposed ? 1 : n, k, j % WA_PANEL, out + j / WA_PANEL * wa__gemm8_panel(k));
}

/* --- products --------------------------------------------------------------------------------------------------- */
typedef struct job {
    const wa_kernel_args *a;
    const wa_matmul *m;
    const wa_gemm8_isa *isa;
    const uint8_t *panels;
    uint8_t *codes;
    float *scales;
    int32_t *zeros;
    int64_t codes_row, row_block, panel_block, panel_blocks;
} job;

size_t wa__matmul8_scratch(const wa_matmul *m)
{
    return (size_t)(wa__align_up((uint64_t)(m->m * wa__gemm8_steps(m->k)) * 4, ALIGN) + (uint64_t)m->m * (sizeof(float) + sizeof(int32_t)));
}

static void quantize_rows(void *user, uint32_t index, uint32_t thread)
{
    const job *g = user;
    (void)thread;
    for (int64_t r = (int64_t)index * ROWS_A_TASK, end = at_most(r + ROWS_A_TASK, g->m->m); r < end; r++)
        g->isa->quantize((const float *)g->a->in[0].data + r * g->m->k, g->m->k, g->codes + r * g->codes_row, &g->scales[r], &g->zeros[r]);
}

static void block(void *user, uint32_t index, uint32_t thread)
{
    const job *g = user;
    const wa_matmul *m = g->m;
    const float *residual = m->residual == WA_MATMUL_NONE ? NULL : g->a->in[m->residual].data;
    float room[WA_ROWS_MAX * WA_TILE_MAX];
    int64_t row_first = index / g->panel_blocks * g->row_block, row_end = at_most(row_first + g->row_block, m->m), bytes = wa__gemm8_panel(m->k);
    int64_t panel = index % g->panel_blocks * g->panel_block, end = at_most(panel + g->panel_block, ceil_div(m->n, WA_PANEL));
    (void)thread;
    for (; panel < end; panel += g->isa->panels)
        for (int64_t row = row_first, column = panel * WA_PANEL; row < row_end; row += g->isa->rows) {
            wa_gemm8_tile t = {.a = g->codes + row * g->codes_row, .a_row = g->codes_row, .a_scale = g->scales + row, .a_zero = g->zeros + row, .b = g->panels + panel * bytes, .b_panel = bytes, .steps = wa__gemm8_steps(m->k)};
            wa_gemm_tile *c = &t.after;
            *c = (wa_gemm_tile){.c = (float *)g->a->out[0].data + row * m->n + column, .c_row = m->n, .last = true, .alpha = m->alpha, .act = (uint32_t)m->act, .residual_row = m->n};
            c->rows = (int)at_most(g->isa->rows, row_end - row);
            c->columns = (int)at_most(g->isa->panels * WA_PANEL, m->n - column);
            c->addend = wa__matmul_addend(g->a, m, row, column, c->rows, c->columns, room, &c->addend_row);
            if (residual) c->residual = residual + row * m->n + column;
            g->isa->tile(&t);
        }
}

wa_status wa__matmul8(const wa_kernel_args *a, const wa_matmul *m, const uint8_t *panels, wa_error *err)
{
    if (!a->scratch) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "it has no scratch for %lld rows of codes", (long long)m->m);
    job g = {.a = a, .m = m, .isa = wa__gemm8(), .panels = panels, .codes = a->scratch, .codes_row = wa__gemm8_steps(m->k) * 4};
    g.scales = (float *)(void *)(g.codes + wa__align_up((uint64_t)(m->m * g.codes_row), ALIGN));
    g.zeros = (int32_t *)(void *)(g.scales + m->m);
    int64_t tile = g.isa->rows, tiles = ceil_div(m->m, tile), pairs = ceil_div(ceil_div(m->n, WA_PANEL), g.isa->panels), rows = ceil_div(m->m, ROWS_A_TASK);
    g.row_block = ceil_div(tiles, ceil_div(tiles, ROW_TILES_MAX)) * tile;
    int64_t row_blocks = ceil_div(m->m, g.row_block), wanted = (int64_t)wa__pool_threads(a->pool) * TASKS_A_THREAD;
    g.panel_block = ceil_div(pairs, a->pool ? at_most(pairs, ceil_div(wanted, row_blocks)) : 1) * g.isa->panels;
    g.panel_blocks = ceil_div(pairs * g.isa->panels, g.panel_block);
    if (row_blocks * g.panel_blocks > UINT32_MAX || rows > UINT32_MAX) return wa__kernel_fail(a, err, WA_LIMIT, "%lld rows are too many", (long long)m->m);
    bool small = (double)m->m * (double)m->n * (double)m->k < 131072; /* waking threads costs more */
    wa__pool_run(m->m * m->k < 32768 ? NULL : a->pool, (uint32_t)rows, quantize_rows, &g);
    wa__pool_run(small ? NULL : a->pool, (uint32_t)(row_blocks * g.panel_blocks), block, &g);
    return WA_OK;
}
