/* Convolutions of stride 1 with few channels out, where packing columns would weigh: a band of the input is copied
 * once with its padding, and a tile reads every tap from there, shifted. Called by conv_cpu.c. */
#include "kernels/conv.h"

enum { ROOM = 1 << 17, ROWS_MAX = 48, TAPS_MAX = 64, WASTE_MAX = 5 /* one in so many columns may be computed in vain */ };

typedef struct job {
    const wa_conv *c;
    int64_t rows, bands; /* of the output: a band's, an image's */
    int64_t span, line;  /* of the copy: rows of a channel, floats of a row */
    int32_t taps[TAPS_MAX];
} job;

static bool describe(const wa_conv *c, job *g)
{
    const wa_window *w = &c->w;
    int64_t wide = (w->out[2] + WA_PANEL - 1) / WA_PANEL * WA_PANEL, tall = (w->kernel[1] - 1) * w->dilation[1] + 1;
    if (c->taps < 2 || c->taps > TAPS_MAX || c->channels_out > ROWS_MAX || w->kernel[0] != 1 || w->in[0] != 1 || w->out[0] != 1 || w->stride[1] != 1 || w->stride[2] != 1) return false;
    if ((wide - w->out[2]) * WASTE_MAX > wide) return false;
    g->c = c;
    g->line = wa__conv_ceil(wide + (w->kernel[2] - 1) * w->dilation[2], WA_PANEL) * WA_PANEL;
    int64_t lines = ROOM / g->line / c->channels_in;
    if (lines < tall + 1) return false; /* a band of one row would copy each row as often as the kernel is tall */
    g->rows = wa__conv_least(lines - tall + 1, w->out[1]);
    g->bands = wa__conv_ceil(w->out[1], g->rows);
    g->rows = wa__conv_ceil(w->out[1], g->bands);
    g->span = g->rows + tall - 1;
    for (int64_t t = 0; t < c->taps; t++) g->taps[t] = (int32_t)(t / w->kernel[2] * w->dilation[1] * g->line + t % w->kernel[2] * w->dilation[2]);
    return true;
}

/* Rows from y on (of the padded input) of all channels of a group. */
static void copy_band(const job *g, const float *x, int64_t y, float *room)
{
    const wa_window *w = &g->c->w;
    int64_t begin = w->begin[2], from = begin < 0 ? -begin : 0, to = begin > 0 ? begin : 0, n = wa__conv_least(w->in[2] - from, g->line - to);
    for (int64_t c = 0; c < g->c->channels_in; c++)
        for (int64_t i = 0; i < g->span; i++, room += g->line) {
            int64_t in = y + i - w->begin[1];
            memset(room, 0, (size_t)g->line * sizeof *room);
            if (in >= 0 && in < w->in[1] && n > 0) memcpy(room + to, x + c * g->c->in_size + in * w->in[2] + from, (size_t)n * sizeof *room);
        }
}

static void block(void *user, uint32_t index, uint32_t thread)
{
    const job *g = user;
    const wa_conv *c = g->c;
    float room[ROOM] __attribute__((aligned(64)));
    int64_t y = index % g->bands * g->rows, rest = index / g->bands, image = rest / c->w.groups, group = rest % c->w.groups, step = c->gemm->panels * WA_PANEL;
    (void)thread;
    copy_band(g, c->x + (image * c->w.in_channels + group * c->channels_in) * c->in_size, y, room);
    for (int64_t i = 0; i < g->rows && y + i < c->w.out[1]; i++)
        for (int64_t x = 0; x < c->w.out[2]; x += step)
            for (int64_t row = 0; row < c->channels_out; row += c->gemm->rows) {
                int64_t channel = group * c->channels_out + row, at = (image * c->w.out_channels + channel) * c->out_size + (y + i) * c->w.out[2] + x;
                wa_gemm_tile t = {.a = c->weights + channel * c->k, .a_row = c->k, .a_k = 1, .b = room + i * g->line + x, .b_row = g->span * g->line, .b_panel = WA_PANEL, .k = c->k,
                                  .taps = g->taps, .tap_count = (int)c->taps, .c = c->out + at, .c_row = c->out_size, .last = true, .alpha = 1, .residual_row = c->out_size,
                                  .residual_first = true, .act = c->act, .act_a = c->act_a, .act_b = c->act_b};
                t.rows = (int)wa__conv_least(c->gemm->rows, c->channels_out - row);
                t.columns = (int)wa__conv_least(step, c->w.out[2] - x);
                if (c->bias) t.row_addend = c->bias + channel;
                if (c->residual) t.residual = c->residual + at;
                c->gemm->tile_taps(&t);
            }
}

bool wa__conv_direct(const wa_conv *c, wa_pool *pool)
{
    job g;
    if (!describe(c, &g)) return false;
    int64_t tasks = c->w.batch * c->w.groups * g.bands;
    if (tasks > UINT32_MAX) return false;
    bool small = (double)c->out_size * (double)c->w.out_channels * (double)c->k * (double)c->w.batch < 32768; /* waking threads costs more */
    wa__pool_run(small ? NULL : pool, (uint32_t)tasks, block, &g);
    return true;
}
