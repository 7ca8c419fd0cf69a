/* Fast MatMul, Gemm and FusedMatMul: work is cut into blocks of rows x columns that the pool's
 * threads take in turn; each block walks k in pieces that fit the second-level cache. */
#include "kernels/gemm8.h"

enum { ROW_TILES_MAX = 16, ROW_TILES_PACKING = 64, TASKS_A_THREAD = 8 };

const wa_gemm_isa *wa__gemm(void) { return WA_PICK_ISA_AT(wa__gemm); }

typedef struct job {
    const wa_kernel_args *a;
    const wa_gemm_isa *isa;
    wa_matmul m;
    const float *panels; /* packed B or NULL */
    int64_t row_block, row_blocks, panel_block, panel_blocks;
} job;

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }

const float *wa__matmul_addend(const wa_kernel_args *a, const wa_matmul *m, int64_t row, int64_t column, int rows, int columns, float *room, int64_t *stride)
{
    if (m->c_input == WA_MATMUL_NONE) return NULL;
    const wa_view *c = &a->in[m->c_input];
    if (m->beta == 1.0f && c->type.dtype == WA_F32 && m->c_column == 1) {
        *stride = m->c_row;
        return (const float *)c->data + row * m->c_row + column;
    }
    *stride = WA_TILE_MAX;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) room[i * WA_TILE_MAX + j] = (float)((double)m->beta * wa__get_f64(c, (row + i) * m->c_row + (column + j) * m->c_column));
    return room;
}

/* A tile's rows of A side by side when A is transposed. */
static const float *rows_of_a(const job *g, const float *a, int64_t row, int rows, int64_t k_from, int64_t k, float *room, int64_t *stride)
{
    if (!g->m.trans_a) {
        *stride = g->m.k;
        return a + row * g->m.k + k_from;
    }
    *stride = k;
    for (int i = 0; i < rows; i++)
        for (int64_t x = 0; x < k; x++) room[i * k + x] = a[(k_from + x) * g->m.m + row + i];
    return room;
}

/* All rows over one tile's panels. */
static void panel_rows(const job *g, const float *a, float *c, const float *b, int64_t b_panel, int64_t column, int64_t row, int64_t row_end, int64_t k_from, int64_t k, int64_t c_at)
{
    const wa_matmul *m = &g->m;
    float room_a[WA_ROWS_MAX * WA_BLOCK_K], room_c[WA_ROWS_MAX * WA_TILE_MAX];
    const float *residual = m->residual == WA_MATMUL_NONE ? NULL : (const float *)g->a->in[m->residual].data + c_at;
    for (; row < row_end; row += g->isa->rows) {
        wa_gemm_tile t = {.a_k = 1, .b = b, .b_row = WA_PANEL, .b_panel = b_panel, .k = k, .c = c + row * m->n + column, .c_row = m->n, .add = k_from > 0,
                          .last = k_from + k == m->k, .alpha = m->alpha, .act = (uint32_t)m->act, .residual_row = m->n};
        t.rows = (int)at_most(g->isa->rows, row_end - row);
        t.columns = (int)at_most(g->isa->panels * WA_PANEL, m->n - column);
        t.a = rows_of_a(g, a, row, t.rows, k_from, k, room_a, &t.a_row);
        if (t.last) t.addend = wa__matmul_addend(g->a, m, row, column, t.rows, t.columns, room_c, &t.addend_row);
        if (residual) t.residual = residual + row * m->n + column;
        g->isa->tile(&t);
    }
}

static void block(void *user, uint32_t index, uint32_t thread)
{
    const job *g = user;
    const wa_matmul *m = &g->m;
    (void)thread;
    float room[WA_BLOCK_K * WA_TILE_MAX] __attribute__((aligned(64)));
    int64_t per_product = g->row_blocks * g->panel_blocks, product = index / per_product, within = index % per_product;
    int64_t row = within / g->panel_blocks * g->row_block, row_end = at_most(row + g->row_block, m->m);
    int64_t panel = within % g->panel_blocks * g->panel_block, panel_end = at_most(panel + g->panel_block, ceil_div(m->n, WA_PANEL));
    int64_t a_at, b_at, c_at = product * m->m * m->n;
    wa__matmul_place(m, product, &a_at, &b_at);
    const wa_view *b = &g->a->in[1];
    const uint8_t *b_data = wa__bytes_at(b, b_at, wa__dtype_size(b->type.dtype));
    for (int64_t k = 0; k < m->k || (k == 0 && m->k == 0); k += WA_BLOCK_K) {
        int64_t k_count = at_most(WA_BLOCK_K, m->k - k);
        for (int64_t p = panel; p < panel_end; p += g->isa->panels) {
            const float *packed = g->panels ? g->panels + (p * m->k + k) * WA_PANEL : room;
            for (int64_t i = 0; !g->panels && i < g->isa->panels && p + i < panel_end; i++)
                g->isa->pack(b_data, b->type.dtype, m->trans_b, m->n, m->k, (p + i) * WA_PANEL, k, k_count, room + i * WA_BLOCK_K * WA_PANEL);
            panel_rows(g, (const float *)g->a->in[0].data + a_at, (float *)g->a->out[0].data + c_at, packed, (g->panels ? m->k : WA_BLOCK_K) * WA_PANEL, p * WA_PANEL, row, row_end, k, k_count, c_at);
        }
        if (m->k == 0) break;
    }
}

bool wa__matmul_has_fast(const wa_kernel_args *a)
{
    if (a->in_count < 2 || a->out_count < 1 || a->in[0].type.dtype != WA_F32 || a->out[0].type.dtype != WA_F32) return false;
    wa_dtype b = a->in[1].type.dtype;
    if (b != WA_F32 && b != WA_F16 && b != WA_BF16) return false;
    if (wa__kernel_has(a, 2) && !wa__dtype_is_float(a->in[2].type.dtype)) return false;
    return !wa__kernel_has(a, 3) || a->in[3].type.dtype == WA_F32;
}

/* Constant B shared by all products of f32: panels, whatever the processor, so that a plan's sizes
 * hold on every machine. */
static bool packs(const wa_kernel_args *a, uint32_t input, wa_matmul *m)
{
    bool product = a->op == WA_OP_MatMul || a->op == WA_OP_Gemm || a->op == WA_OP_FusedMatMul;
    if (!product || input != 1 || !wa__matmul_has_fast(a) || wa__matmul_describe(a, m, NULL) != WA_OK) return false;
    for (uint32_t i = 0; i < m->batch_rank; i++)
        if (m->b_stride[i] != 0) return false;
    return m->n >= WA_PANEL / 2 && m->k > 0;
}

/* Bits of the packed weights: 8 where attribute weight_bits asks for them and the product has one matrix B. */
static uint32_t packed_bits(const wa_kernel_args *a, const wa_matmul *m)
{
    return wa__kernel_int(a, "weight_bits", 32) == 8 && m->batch == 1 && !m->trans_a && m->k <= WA_GEMM8_K_MAX ? 8 : 32;
}

wa_status wa__matmul_fast(const wa_kernel_args *a, wa_error *err)
{
    job g = {.a = a, .isa = wa__gemm()};
    WA_TRY(wa__kernel_check(a, err));
    if (wa__count(&a->out[0].type) == 0) return WA_OK;
    WA_TRY(wa__matmul_describe(a, &g.m, err));
    const wa_matmul *m = &g.m;
    bool codes = a->prepared && a->prepared[1] && packed_bits(a, m) == 8;
    if (!wa__kernel_aligned(a, 1)) return codes ? wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "a tensor is not aligned") : wa__kernel_ref(a->op)(a, err);
    if (codes) return wa__matmul8(a, m, a->prepared[1], err);
    g.panels = a->prepared ? a->prepared[1] : NULL;
    int64_t tile = g.isa->rows, tiles = ceil_div(m->m, tile), panels = ceil_div(m->n, WA_PANEL);
    int64_t wanted = (int64_t)wa__pool_threads(a->pool) * TASKS_A_THREAD;
    g.row_blocks = ceil_div(tiles, g.panels ? ROW_TILES_MAX : ROW_TILES_PACKING);
    g.row_block = ceil_div(tiles, g.row_blocks) * tile;
    g.row_blocks = ceil_div(m->m, g.row_block);
    g.panel_blocks = a->pool ? at_most(panels, ceil_div(wanted, g.row_blocks * m->batch)) : 1;
    g.panel_block = ceil_div(ceil_div(panels, g.panel_blocks), g.isa->panels) * g.isa->panels;
    g.panel_blocks = ceil_div(panels, g.panel_block);
    int64_t tasks = m->batch * g.row_blocks * g.panel_blocks;
    if (tasks > UINT32_MAX) return wa__kernel_fail(a, err, WA_LIMIT, "%lld tasks are too many", (long long)tasks);
    bool small = (double)m->m * (double)m->n * (double)m->k * (double)m->batch < 32768; /* waking threads costs more */
    wa__pool_run(small ? NULL : a->pool, (uint32_t)tasks, block, &g);
    return WA_OK;
}

size_t wa__kernel_prepare_bytes(const wa_kernel_args *a, uint32_t input)
{
    wa_matmul m;
    return packs(a, input, &m) ? (size_t)wa__kernel_panels_bytes((uint64_t)m.k, (uint64_t)m.n, packed_bits(a, &m)) : 0;
}

uint32_t wa__kernel_prepare_bits(const wa_kernel_args *a, uint32_t input)
{
    wa_matmul m;
    return packs(a, input, &m) ? packed_bits(a, &m) : 0;
}

void wa__kernel_prepare(const wa_kernel_args *a, uint32_t input, void *dst)
{
    wa_matmul m;
    if (packs(a, input, &m)) wa__kernel_panels(a->in[1].data, a->in[1].type.dtype, m.trans_b, m.k, m.n, packed_bits(a, &m), dst);
}

void wa__kernel_panels(const void *b, wa_dtype dtype, bool transposed, int64_t k, int64_t n, uint32_t bits, void *dst)
{
    if (bits == 8) wa__gemm8_pack(b, dtype, transposed, k, n, dst);
    else
        for (int64_t j = 0; j < n; j += WA_PANEL) wa__gemm()->pack(b, dtype, transposed, n, k, j, 0, k, (float *)dst + j * k);
}

size_t wa__matmul_scratch(const wa_kernel_args *a)
{
    wa_matmul m;
    return packs(a, 1, &m) && packed_bits(a, &m) == 8 ? wa__matmul8_scratch(&m) : 0;
}
