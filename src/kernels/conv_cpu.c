/* Fast Conv, ConvAct and ConvTranspose of f32.
 *
 * Conv: the product W [channels out, K] x columns [K, pixels], by the register tiles of gemm.h with W read
 * in place. Columns are packed a few panels of 16 pixels and 384 of K at a time, so that they stay in
 * the second-level cache while every row of W passes over them (8 panels: 192 KiB). Depthwise ones run row by row.
 * ConvTranspose: the product W' [channels out x taps, channels in] x pixels, its tiles added into place. */
#include "kernels/conv.h"
#include "kernels/gemm.h"

enum { PANELS_MAX = 8, ROWS_MAX = 12, TAPS_MAX = 64, TASKS_A_THREAD = 4, CHANNELS_A_TASK = 8 };

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }

typedef struct job {
    const wa_gemm_isa *gemm;
    const wa_conv_isa *isa;
    wa_window w;
    const float *x, *weights, *bias, *residual;
    float *out;
    int64_t channels_in, channels_out; /* of a group */
    int64_t taps, k, in_size, out_size;
    int64_t panels, panel_block, panel_blocks, row_block, row_blocks;
    uint32_t act;
    float act_a, act_b;
    bool act_in_tile; /* the tile applies it, else wa_conv_isa.after */
} job;

static void apply_after(const job *g, float *c, int64_t c_row, int64_t rows, int64_t columns)
{
    if (g->act_in_tile) return;
    wa_conv_after t = {.c = c, .c_row = c_row, .rows = rows, .columns = columns, .act = g->act, .a = g->act_a, .b = g->act_b};
    if (g->residual) t.residual = g->residual + (c - g->out);
    g->isa->after(&t);
}

/* --- columns ------------------------------------------------------------------------------------------- */

/* Where the first tap of pixel p (z, y, x flattened) would read, per axis. */
static void corner(const wa_window *w, int64_t p, int64_t *at)
{
    at[2] = p % w->out[2] * w->stride[2] - w->begin[2];
    at[1] = p / w->out[2] % w->out[1] * w->stride[1] - w->begin[1];
    at[0] = p / (w->out[2] * w->out[1]) * w->stride[0] - w->begin[0];
}

/* Places in a plane that a tap reads for 16 pixels, -1 outside; true when they are 16 in a row. */
static bool places(const job *g, int64_t (*corners)[3], int64_t pixels, int64_t tap, int64_t *at)
{
    const wa_window *w = &g->w;
    int64_t dz = tap / (w->kernel[2] * w->kernel[1]) * w->dilation[0], dy = tap / w->kernel[2] % w->kernel[1] * w->dilation[1], dx = tap % w->kernel[2] * w->dilation[2];
    bool row = pixels == WA_PANEL;
    for (int64_t j = 0; j < WA_PANEL; j++) {
        at[j] = -1;
        if (j >= pixels) continue;
        int64_t z = corners[j][0] + dz, y = corners[j][1] + dy, x = corners[j][2] + dx;
        if (z >= 0 && z < w->in[0] && y >= 0 && y < w->in[1] && x >= 0 && x < w->in[2]) at[j] = (z * w->in[1] + y) * w->in[2] + x;
        row = row && at[j] >= 0 && at[j] == at[0] + j;
    }
    return row;
}

/* Rows [k_from, k_from + k) of the columns of 16 pixels from p on. x: the group's first plane. */
static void pack(const job *g, const float *x, int64_t p, int64_t k_from, int64_t k, float *out)
{
    int64_t corners[WA_PANEL][3], at[WA_PANEL], pixels = at_most(WA_PANEL, g->out_size - p);
    for (int64_t j = 0; j < pixels; j++) corner(&g->w, p + j, corners[j]);
    for (int64_t tap = 0; tap < g->taps; tap++) {
        bool row = places(g, corners, pixels, tap, at);
        int64_t c = k_from > tap ? ceil_div(k_from - tap, g->taps) : 0;
        for (; c * g->taps + tap < k_from + k; c++) {
            const float *plane = x + c * g->in_size;
            float *to = out + (c * g->taps + tap - k_from) * WA_PANEL;
            if (row) memcpy(to, plane + at[0], WA_PANEL * sizeof *to);
            else
                for (int j = 0; j < WA_PANEL; j++) to[j] = at[j] < 0 ? 0.0f : plane[at[j]];
        }
    }
}

/* --- the product ------------------------------------------------------------------------------------------ */

typedef struct place { /* of a task */
    int64_t image, group, panel, panel_end, row, row_end;
} place;

static place place_of(const job *g, uint32_t index)
{
    int64_t i = index, rows = i % g->row_blocks, panels = i / g->row_blocks % g->panel_blocks, rest = i / g->row_blocks / g->panel_blocks;
    place p = {rest / g->w.groups, rest % g->w.groups, panels * g->panel_block, 0, rows * g->row_block, 0};
    p.panel_end = at_most(p.panel + g->panel_block, g->panels);
    p.row_end = at_most(p.row + g->row_block, g->channels_out);
    return p;
}

static void rows_over_panels(const job *g, const place *p, const float *packed, int64_t panel, int64_t count, int64_t k_from, int64_t k)
{
    float bias[ROWS_MAX * WA_PANEL];
    for (int64_t row = p->row; row < p->row_end; row += g->gemm->rows) {
        int64_t channel = p->group * g->channels_out + row, rows = at_most(g->gemm->rows, p->row_end - row);
        bool last = k_from + k == g->k;
        for (int64_t i = 0; last && g->bias && i < rows * WA_PANEL; i++) bias[i] = g->bias[channel + i / WA_PANEL];
        for (int64_t i = 0; i < count; i++) {
            int64_t pixel = (panel + i) * WA_PANEL;
            wa_gemm_tile t = {.a = g->weights + channel * g->k + k_from, .a_row = g->k, .a_k = 1, .b = packed + i * WA_BLOCK_K * WA_PANEL, .b_row = WA_PANEL, .k = k,
                              .c_row = g->out_size, .add = k_from > 0, .last = last, .alpha = 1, .addend_row = WA_PANEL};
            t.c = g->out + (p->image * g->w.out_channels + channel) * g->out_size + pixel;
            t.rows = (int)rows;
            t.columns = (int)at_most(WA_PANEL, g->out_size - pixel);
            if (last && g->bias) t.addend = bias;
            if (last && g->act_in_tile) t.act = g->act;
            g->gemm->tile(&t);
            if (last) apply_after(g, t.c, t.c_row, t.rows, t.columns);
        }
    }
}

static void block(void *user, uint32_t index, uint32_t thread)
{
    const job *g = user;
    float packed[PANELS_MAX * WA_BLOCK_K * WA_PANEL] __attribute__((aligned(64)));
    place p = place_of(g, index);
    (void)thread;
    const float *x = g->x + (p.image * g->w.in_channels + p.group * g->channels_in) * g->in_size;
    for (int64_t panel = p.panel; panel < p.panel_end; panel += PANELS_MAX) {
        int64_t count = at_most(PANELS_MAX, p.panel_end - panel);
        for (int64_t k_from = 0; k_from < g->k; k_from += WA_BLOCK_K) {
            int64_t k = at_most(WA_BLOCK_K, g->k - k_from);
            for (int64_t i = 0; i < count; i++) pack(g, x, (panel + i) * WA_PANEL, k_from, k, packed + i * WA_BLOCK_K * WA_PANEL);
            rows_over_panels(g, &p, packed, panel, count, k_from, k);
        }
    }
}

/* One channel of one image. */
static void depthwise(void *user, uint32_t index, uint32_t thread)
{
    const job *g = user;
    int64_t channel = index % g->w.out_channels, image = index / g->w.out_channels, group = channel / g->channels_out;
    (void)thread;
    wa_conv_line l = {.x = g->x + (image * g->w.in_channels + group) * g->in_size, .w = g->weights + channel * g->taps, .bias = g->bias ? g->bias[channel] : 0, .window = &g->w};
    float *plane = g->out + (int64_t)index * g->out_size;
    for (l.z = 0; l.z < g->w.out[0]; l.z++)
        for (l.y = 0; l.y < g->w.out[1]; l.y++) {
            l.out = plane + (l.z * g->w.out[1] + l.y) * g->w.out[2];
            g->isa->line(&l);
        }
    apply_after(g, plane, g->out_size, 1, g->out_size);
}

/* --- transposed ---------------------------------------------------------------------------------------------- */

/* Adds a tile's row (one channel out, one tap, 16 pixels of the input) to the output. */
static void scatter(const job *g, const float *sums, int64_t pixel, int64_t pixels, int64_t tap, float *plane)
{
    const wa_window *w = &g->w;
    int64_t dz = tap / (w->kernel[2] * w->kernel[1]) * w->dilation[0] - w->begin[0], dy = tap / w->kernel[2] % w->kernel[1] * w->dilation[1] - w->begin[1];
    int64_t dx = tap % w->kernel[2] * w->dilation[2] - w->begin[2];
    for (int64_t j = 0; j < pixels; j++) {
        int64_t p = pixel + j, x = p % w->in[2] * w->stride[2] + dx, y = p / w->in[2] % w->in[1] * w->stride[1] + dy, z = p / (w->in[2] * w->in[1]) * w->stride[0] + dz;
        if (x >= 0 && x < w->out[2] && y >= 0 && y < w->out[1] && z >= 0 && z < w->out[0]) plane[(z * w->out[1] + y) * w->out[2] + x] += sums[j];
    }
}

/* Rows [row, row + rows) of W' (channel out x tap) over one packed panel of all channels in. */
static void transposed_rows(const job *g, const place *p, const float *x, int64_t pixel, int64_t row, int64_t rows, float *turned, float *panel)
{
    float sums[ROWS_MAX * WA_PANEL];
    int64_t width = g->channels_out * g->taps, pixels = at_most(WA_PANEL, g->in_size - pixel);
    const float *w = g->weights + p->group * g->channels_in * width;
    for (int64_t k_from = 0; k_from < g->channels_in; k_from += WA_BLOCK_K) {
        int64_t k = at_most(WA_BLOCK_K, g->channels_in - k_from);
        for (int64_t c = 0; c < k; c++) {
            const float *from = x + (k_from + c) * g->in_size + pixel;
            for (int64_t j = 0; j < WA_PANEL; j++) panel[c * WA_PANEL + j] = j < pixels ? from[j] : 0.0f;
            for (int64_t i = 0; i < rows; i++) turned[i * WA_BLOCK_K + c] = w[(k_from + c) * width + row + i];
        }
        wa_gemm_tile t = {.a = turned, .a_row = WA_BLOCK_K, .a_k = 1, .b = panel, .b_row = WA_PANEL, .k = k, .c = sums, .c_row = WA_PANEL, .add = k_from > 0, .alpha = 1};
        t.rows = (int)rows;
        t.columns = WA_PANEL;
        g->gemm->tile(&t);
    }
    for (int64_t i = 0; i < rows; i++) {
        int64_t channel = p->group * g->channels_out + (row + i) / g->taps;
        scatter(g, sums + i * WA_PANEL, pixel, pixels, (row + i) % g->taps, g->out + (p->image * g->w.out_channels + channel) * g->out_size);
    }
}

static void transposed(void *user, uint32_t index, uint32_t thread)
{
    const job *g = user;
    float turned[ROWS_MAX * WA_BLOCK_K], panel[WA_BLOCK_K * WA_PANEL] __attribute__((aligned(64)));
    int64_t blocks = ceil_div(g->channels_out, CHANNELS_A_TASK), rest = index / blocks, first = index % blocks * CHANNELS_A_TASK;
    int64_t end = at_most(first + CHANNELS_A_TASK, g->channels_out);
    place p = {.image = rest / g->w.groups, .group = rest % g->w.groups};
    (void)thread;
    const float *x = g->x + (p.image * g->w.in_channels + p.group * g->channels_in) * g->in_size;
    for (int64_t c = first; c < end; c++) {
        int64_t channel = p.group * g->channels_out + c;
        float *plane = g->out + (p.image * g->w.out_channels + channel) * g->out_size, bias = g->bias ? g->bias[channel] : 0;
        for (int64_t i = 0; i < g->out_size; i++) plane[i] = bias;
    }
    for (int64_t row = first * g->taps; row < end * g->taps; row += g->gemm->rows)
        for (int64_t pixel = 0; pixel < g->in_size; pixel += WA_PANEL)
            transposed_rows(g, &p, x, pixel, row, at_most(g->gemm->rows, end * g->taps - row), turned, panel);
}

/* --- entry ----------------------------------------------------------------------------------------------------- */

bool wa__conv_has_fast(const wa_kernel_args *a)
{
    if (a->in_count < 2 || a->out_count != 1 || a->out[0].type.dtype != WA_F32) return false;
    for (uint32_t i = 0; i < a->in_count; i++)
        if (wa__kernel_has(a, i) && a->in[i].type.dtype != WA_F32) return false;
    return wa__kernel_has(a, 0) && wa__kernel_has(a, 1);
}

static wa_status describe(const wa_kernel_args *a, job *g, wa_error *err)
{
    bool back = a->op == WA_OP_ConvTranspose;
    const char *why = (back ? wa__window_conv_transpose : wa__window_conv)(&a->in[0].type, &a->in[1].type, a->attrs, a->attr_count, &g->w);
    if (why) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "%s", why);
    wa_tensor_type want = wa__window_out(&g->w, WA_F32);
    WA_TRY(wa__kernel_want(a, 0, &want, err));
    bool bias = wa__kernel_has(a, 2), residual = a->op == WA_OP_ConvAct && wa__kernel_has(a, 3);
    if (bias && wa__count(&a->in[2].type) != g->w.out_channels) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its bias does not fit");
    if (residual && !wa__type_eq(&a->in[3].type, &want)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its residual does not fit");
    int64_t act = a->op == WA_OP_ConvAct ? wa__kernel_int(a, "act", 0) : 0;
    if (act < 0 || act >= WA_CONV_ACT_COUNT) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "act is %lld", (long long)act);
    g->x = a->in[0].data;
    g->weights = a->in[1].data;
    g->bias = bias ? a->in[2].data : NULL;
    g->residual = residual ? a->in[3].data : NULL;
    g->out = a->out[0].data;
    g->channels_in = g->w.in_channels / g->w.groups;
    g->channels_out = g->w.out_channels / g->w.groups;
    g->taps = wa__window_taps(&g->w);
    g->k = g->channels_in * g->taps;
    g->in_size = wa__window_in_size(&g->w);
    g->out_size = wa__window_out_size(&g->w);
    g->act = (uint32_t)act;
    g->act_a = wa__kernel_float(a, "act_a", 0);
    g->act_b = wa__kernel_float(a, "act_b", 0);
    g->act_in_tile = !residual && act <= WA_CONV_ACT_SILU;
    return WA_OK;
}

/* Tasks of up to PANELS_MAX panels and all rows, cut along rows while there are too few. */
static int64_t cut(job *g, const wa_pool *pool)
{
    int64_t wanted = (int64_t)wa__pool_threads(pool) * TASKS_A_THREAD, fixed = g->w.batch * g->w.groups;
    g->panels = ceil_div(g->out_size, WA_PANEL);
    g->panel_block = at_most(g->panels, PANELS_MAX);
    g->panel_blocks = ceil_div(g->panels, g->panel_block);
    g->row_blocks = wanted > 1 ? at_most(ceil_div(g->channels_out, 4 * g->gemm->rows), ceil_div(wanted, fixed * g->panel_blocks)) : 1;
    if (g->row_blocks < 1) g->row_blocks = 1;
    g->row_block = ceil_div(ceil_div(g->channels_out, g->row_blocks), g->gemm->rows) * g->gemm->rows;
    g->row_blocks = ceil_div(g->channels_out, g->row_block);
    return fixed * g->panel_blocks * g->row_blocks;
}

wa_status wa__conv_fast(const wa_kernel_args *a, wa_error *err)
{
    job g = {.gemm = wa__gemm(), .isa = WA_PICK_ISA_AT(wa__conv)};
    WA_TRY(wa__kernel_check(a, err));
    if (!wa__kernel_aligned(a, UINT32_MAX)) return wa__kernel_ref(a->op)(a, err);
    if (wa__count(&a->out[0].type) == 0) return WA_OK;
    WA_TRY(describe(a, &g, err));
    bool depth = g.channels_in == 1 && g.w.kernel[0] * g.w.kernel[1] <= TAPS_MAX, back = a->op == WA_OP_ConvTranspose;
    if (g.k == 0 || g.in_size == 0) return wa__kernel_ref(a->op)(a, err);
    if (!back && depth && g.channels_out > 1 && g.channels_out * 4 > g.taps) depth = g.w.groups > 1; /* one input channel feeding many is a product */
    if (depth && !back) g.act_in_tile = g.act == WA_CONV_ACT_NONE && !g.residual;
    int64_t tasks = back ? g.w.batch * g.w.groups * ceil_div(g.channels_out, CHANNELS_A_TASK) : depth ? g.w.batch * g.w.out_channels : cut(&g, a->pool);
    if (tasks > UINT32_MAX) return wa__kernel_fail(a, err, WA_LIMIT, "%lld tasks are too many", (long long)tasks);
    bool small = (double)g.out_size * (double)g.w.out_channels * (double)g.k * (double)g.w.batch < 32768; /* waking threads costs more */
    wa__pool_run(small ? NULL : a->pool, (uint32_t)tasks, back ? transposed : depth ? depthwise : block, &g);
    return WA_OK;
}
