/* Convolutions as products: W [channels out, K] x columns [K, pixels], by the register tiles of gemm.h, W read
 * in place (packed as tiles read it is no faster, and doubles its memory). Columns are packed a few panels of
 * 16 pixels and K_BLOCK of K at a time, so that they stay in the second-level cache while every row of W passes
 * over them; a few rows of a pointwise convolution read the input in place. */
#include "kernels/conv.h"

/* K goes in blocks no shorter than eight panels in that cache ask for: between blocks C is read and written, its
 * rows far apart. */
enum { K_BLOCK = 1152, PANELS_MAX = 8, DOTS_MAX = 4, TASKS_A_THREAD = 4, ROWS_IN_PLACE = 48 };

typedef struct job {
    const wa_conv *c;
    int64_t panels, panel_block, panel_blocks, row_block, row_blocks;
    bool pointwise; /* pixel p of the output reads pixel p of the input and no other, for a few rows */
} job;

typedef struct place { /* of a task */
    int64_t image, group, panel, panel_end, row, row_end;
    const float *x; /* the group's first plane */
} place;

static place place_of(const job *g, uint32_t index)
{
    const wa_conv *c = g->c;
    int64_t i = index, rows = i % g->row_blocks, panels = i / g->row_blocks % g->panel_blocks, rest = i / g->row_blocks / g->panel_blocks;
    place p = {rest / c->w.groups, rest % c->w.groups, panels * g->panel_block, 0, rows * g->row_block, 0, NULL};
    p.panel_end = wa__conv_least(p.panel + g->panel_block, g->panels);
    p.row_end = wa__conv_least(p.row + g->row_block, c->channels_out);
    p.x = c->x + (p.image * c->w.in_channels + p.group * c->channels_in) * c->in_size;
    return p;
}

/* A task's columns, rows [k_from, k_from + k). */
typedef struct columns {
    int64_t panel, count, k_from; /* up to PANELS_MAX panels */
    wa_gemm_tile tiles[PANELS_MAX];
    int64_t tile_count;
    int64_t pixel, pixels;      /* the image's last few, which would leave most of a panel empty */
    float last[DOTS_MAX * K_BLOCK]; /* their columns, each contiguous */
    float packed[PANELS_MAX * K_BLOCK * WA_PANEL] __attribute__((aligned(64)));
} columns;

/* Where the few pixels of the last panel lie in it: a column at a time. */
static void turn_last(columns *t, const float *panel, int64_t k)
{
    for (int64_t j = 0; j < t->pixels; j++)
        for (int64_t i = 0; i < k; i++) t->last[j * K_BLOCK + i] = panel[i * WA_PANEL + j];
}

static void columns_of(const job *g, const place *p, int64_t k, columns *t)
{
    const wa_conv *c = g->c;
    int64_t step = c->gemm->panels;
    wa_conv_columns part = {.window = &c->w, .x = p->x, .in_size = c->in_size, .taps = c->taps, .k_from = t->k_from, .k = k};
    t->tile_count = t->pixels = 0;
    for (int64_t i = 0; i < t->count; i += step) {
        int64_t pixel = (t->panel + i) * WA_PANEL, width = wa__conv_least(step * WA_PANEL, c->out_size - pixel), few = width % WA_PANEL <= DOTS_MAX && c->out_size > WA_PANEL ? width % WA_PANEL : 0;
        bool in_place = g->pointwise && width == step * WA_PANEL;
        for (int64_t s = 0; !in_place && s * WA_PANEL < width; s++) {
            part.pixel = pixel + s * WA_PANEL;
            part.pixels = wa__conv_least(WA_PANEL, c->out_size - part.pixel);
            part.out = t->packed + (i + s) * K_BLOCK * WA_PANEL;
            c->isa->columns(&part);
        }
        if (few) {
            t->pixel = pixel + width - few;
            t->pixels = few;
            turn_last(t, part.out, k);
        }
        if (width == few) continue;
        t->tiles[t->tile_count++] =
            (wa_gemm_tile){.b = in_place ? p->x + t->k_from * c->in_size + pixel : t->packed + i * K_BLOCK * WA_PANEL, .b_row = in_place ? c->in_size : WA_PANEL,
                           .b_panel = in_place ? WA_PANEL : K_BLOCK * WA_PANEL, .k = k, .a_row = c->k, .a_k = 1, .c_row = c->out_size, .columns = (int)(width - few), .add = t->k_from > 0,
                           .last = t->k_from + k == c->k, .alpha = 1, .residual_row = c->out_size, .residual_first = true, .act = c->act, .act_a = c->act_a, .act_b = c->act_b};
    }
}

/* Asks for a share of the weights of the next tile of rows: they come from memory once a run, in pieces too
 * short for the processor to foresee. */
static void fetch_weights(const wa_conv *c, int64_t channel, int64_t rows, int64_t k_from, int64_t k, int64_t part, int64_t parts)
{
    for (int64_t i = rows * part / parts; i < rows * (part + 1) / parts; i++) {
        const float *w = c->weights + (channel + i) * c->k + k_from;
        for (int64_t x = 0; x < k; x += 16) __builtin_prefetch(w + x, 0, 2);
    }
}

/* A tile at its place in C, with what belongs to its rows. */
static void run_tile(const wa_conv *c, const place *p, int64_t channel, int64_t rows, int64_t pixel, wa_gemm_tile *t)
{
    int64_t at = (p->image * c->w.out_channels + channel) * c->out_size + pixel;
    t->rows = (int)rows;
    t->c = c->out + at;
    t->row_addend = c->bias ? c->bias + channel : NULL;
    t->residual = c->residual ? c->residual + at : NULL;
    c->gemm->tile(t);
}

/* The last few pixels as products along K, then what follows them by a tile of no K that starts from C. */
static void run_last(const wa_conv *c, const place *p, int64_t channel, int64_t rows, int64_t k, const columns *t)
{
    wa_conv_dots d = {.w = c->weights + channel * c->k + t->k_from, .w_row = c->k, .columns = t->last, .columns_row = K_BLOCK, .k = k, .c_row = c->out_size, .rows = rows, .count = t->pixels, .add = t->k_from > 0};
    d.c = c->out + (p->image * c->w.out_channels + channel) * c->out_size + t->pixel;
    c->isa->dots(&d);
    wa_gemm_tile end = {.a = d.w, .b = t->last, .c_row = c->out_size, .columns = (int)t->pixels, .add = true, .last = true, .alpha = 1, .residual_row = c->out_size,
                        .residual_first = true, .act = c->act, .act_a = c->act_a, .act_b = c->act_b};
    if (t->k_from + k == c->k) run_tile(c, p, channel, rows, t->pixel, &end);
}

/* One tile of rows over all columns: its weights stay in the first-level cache. */
static void rows_over(const job *g, const place *p, int64_t row, int64_t k, columns *t)
{
    const wa_conv *c = g->c;
    int64_t channel = p->group * c->channels_out + row, rows = wa__conv_least(c->gemm->rows, p->row_end - row), next = wa__conv_least(c->gemm->rows, p->row_end - row - rows);
    for (int64_t i = 0; i < t->tile_count; i++) {
        if (next > 0) fetch_weights(c, channel + rows, next, t->k_from, k, i, t->tile_count);
        t->tiles[i].a = c->weights + channel * c->k + t->k_from;
        run_tile(c, p, channel, rows, (t->panel + i * c->gemm->panels) * WA_PANEL, &t->tiles[i]);
    }
    if (t->pixels) run_last(c, p, channel, rows, k, t);
}

static void block(void *user, uint32_t index, uint32_t thread)
{
    const job *g = user;
    const wa_conv *c = g->c;
    columns t;
    place p = place_of(g, index);
    (void)thread;
    for (t.panel = p.panel; t.panel < p.panel_end; t.panel += PANELS_MAX) {
        t.count = wa__conv_least(PANELS_MAX, p.panel_end - t.panel);
        for (t.k_from = 0; t.k_from < c->k; t.k_from += K_BLOCK) {
            int64_t k = wa__conv_least(K_BLOCK, c->k - t.k_from);
            columns_of(g, &p, k, &t);
            for (int64_t row = p.row; row < p.row_end; row += c->gemm->rows) rows_over(g, &p, row, k, &t);
        }
    }
}

static bool pointwise(const wa_window *w)
{
    bool yes = true;
    for (uint32_t i = 0; i < WA_WINDOW_AXES; i++) yes = yes && w->kernel[i] == 1 && w->stride[i] == 1 && w->begin[i] == 0 && w->in[i] == w->out[i];
    return yes;
}

/* Tasks of up to PANELS_MAX panels and all rows, cut along rows while there are too few. */
wa_status wa__conv_product(const wa_conv *c, const wa_kernel_args *a, wa_error *err)
{
    job g = {.c = c, .panels = wa__conv_ceil(c->out_size, WA_PANEL), .pointwise = pointwise(&c->w) && c->channels_out <= ROWS_IN_PLACE};
    int64_t threads = wa__pool_threads(a->pool), fixed = c->w.batch * c->w.groups;
    g.panel_block = wa__conv_least(g.panels, PANELS_MAX);
    g.panel_blocks = wa__conv_ceil(g.panels, g.panel_block);
    int64_t rows = threads > 1 ? wa__conv_ceil(threads * TASKS_A_THREAD, fixed * g.panel_blocks) : 1;
    rows = wa__conv_least(rows, wa__conv_ceil(c->channels_out, 4 * WA_ROWS_MAX));
    g.row_block = wa__conv_ceil(wa__conv_ceil(c->channels_out, rows), WA_ROWS_MAX) * WA_ROWS_MAX;
    g.row_blocks = wa__conv_ceil(c->channels_out, g.row_block);
    int64_t tasks = fixed * g.panel_blocks * g.row_blocks;
    if (tasks > UINT32_MAX) return wa__kernel_fail(a, err, WA_LIMIT, "%lld tasks are too many", (long long)tasks);
    bool small = (double)c->out_size * (double)c->w.out_channels * (double)c->k * (double)c->w.batch < 32768; /* waking threads costs more */
    wa__pool_run(small ? NULL : a->pool, (uint32_t)tasks, block, &g);
    return WA_OK;
}
