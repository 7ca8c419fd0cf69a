/* ConvTranspose: the product W' [channels out x taps, channels in] x pixels of the input, W' read in place and
 * pixels packed by two panels. A tile's rows are one channel and tap each; they are laid into the output,
 * or added where windows overlap. Tasks then keep to their own channels, else also to their own pixels. */
#include "kernels/conv.h"

enum { K_MAX = 1024, CHANNELS_A_TASK = 8, PIXELS_A_TASK = 2048 };

typedef struct job {
    const wa_conv *c;
    int64_t channel_block, channel_blocks, pixel_block, pixel_blocks;
    bool covers; /* every output is written by exactly one tap of one pixel */
} job;

typedef struct place { /* of a task */
    const float *x, *w, *bias; /* of the group; w[channel in][channel out x tap] */
    float *out;                /* the group's first plane of the output */
} place;

/* Lays or adds n pixels of one row of the input, tap (dz, dy, dx), into the output's plane. */
static void lay(const job *g, const float *sums, int64_t n, const int64_t *from, const int64_t *d, float bias, float *plane)
{
    const wa_window *w = &g->c->w;
    int64_t z = from[0] * w->stride[0] + d[0], y = from[1] * w->stride[1] + d[1], s = w->stride[2];
    if (z < 0 || z >= w->out[0] || y < 0 || y >= w->out[1]) return;
    int64_t x = from[2] * s + d[2];
    float *to = plane + (z * w->out[1] + y) * w->out[2];
    for (int64_t j = 0; j < n; j++, x += s) {
        if (x < 0 || x >= w->out[2]) continue;
        to[x] = g->covers ? sums[j] + bias : to[x] + sums[j];
    }
}

/* A tile's rows [row, row + rows), row = channel x tap, of pixels from `pixel` on. */
static void scatter(const job *g, const place *p, const float *sums, int64_t pixel, int64_t pixels, int64_t row, int64_t rows)
{
    const wa_conv *c = g->c;
    const wa_window *w = &c->w;
    bool pairs = g->covers && w->stride[2] == 2 && rows % 2 == 0 && row % 2 == 0; /* of taps: dx 0 and 1 */
    for (int64_t done = 0, n; done < pixels; done += n) {
        int64_t at = pixel + done, from[3] = {at / (w->in[2] * w->in[1]), at / w->in[2] % w->in[1], at % w->in[2]};
        n = wa__conv_least(pixels - done, w->in[2] - from[2]);
        for (int64_t i = 0; i < rows; i += pairs ? 2 : 1) {
            int64_t channel = (row + i) / c->taps, tap = (row + i) % c->taps;
            int64_t d[3] = {tap / (w->kernel[2] * w->kernel[1]) * w->dilation[0] - w->begin[0], tap / w->kernel[2] % w->kernel[1] * w->dilation[1] - w->begin[1], tap % w->kernel[2] * w->dilation[2] - w->begin[2]};
            const float *s = sums + i * WA_TILE_MAX + done;
            float bias = p->bias ? p->bias[channel] : 0, *plane = p->out + channel * c->out_size;
            if (pairs) c->isa->interleave(s, s + WA_TILE_MAX, n, bias, plane + ((from[0] * w->stride[0] + d[0]) * w->out[1] + from[1] * w->stride[1] + d[1]) * w->out[2] + 2 * from[2]);
            else lay(g, s, n, from, d, bias, plane);
        }
    }
}

/* k channels of the input from `channel` on, 32 pixels. */
static void pack(const wa_conv *c, const float *x, int64_t k, int64_t pixel, int64_t pixels, float *out)
{
    for (int64_t i = 0; i < k; i++, x += c->in_size, out += WA_TILE_MAX) {
        if (pixels < WA_TILE_MAX) memset(out, 0, WA_TILE_MAX * sizeof *out);
        memcpy(out, x + pixel, (size_t)pixels * sizeof *out);
    }
}

static void pixels_over(const job *g, const place *p, int64_t row, int64_t row_end, int64_t pixel, int64_t pixels, float *packed)
{
    const wa_conv *c = g->c;
    float sums[WA_ROWS_MAX * WA_TILE_MAX] __attribute__((aligned(64)));
    int64_t width = c->channels_out * c->taps, step = c->gemm->panels * WA_PANEL;
    for (int64_t first = row; row < row_end; row += c->gemm->rows) {
        int64_t rows = wa__conv_least(c->gemm->rows, row_end - row);
        for (int64_t k_from = 0; k_from < c->channels_in; k_from += K_MAX) {
            int64_t k = wa__conv_least(K_MAX, c->channels_in - k_from);
            if (row == first || c->channels_in > K_MAX) pack(c, p->x + k_from * c->in_size, k, pixel, pixels, packed);
            for (int64_t j = 0; j < pixels; j += step) {
                wa_gemm_tile t = {.a = p->w + k_from * width + row, .a_row = 1, .a_k = width, .b = packed + j, .b_row = WA_TILE_MAX, .b_panel = WA_PANEL, .k = k,
                                  .c = sums + j, .c_row = WA_TILE_MAX, .rows = (int)rows, .columns = (int)step, .add = k_from > 0, .alpha = 1};
                c->gemm->tile(&t);
            }
        }
        scatter(g, p, sums, pixel, pixels, row, rows);
    }
}

static void block(void *user, uint32_t index, uint32_t thread)
{
    const job *g = user;
    const wa_conv *c = g->c;
    float packed[K_MAX * WA_TILE_MAX] __attribute__((aligned(64)));
    int64_t channels = index % g->channel_blocks, pixels = index / g->channel_blocks % g->pixel_blocks, rest = index / g->channel_blocks / g->pixel_blocks;
    int64_t image = rest / c->w.groups, group = rest % c->w.groups, width = c->channels_out * c->taps;
    int64_t first = channels * g->channel_block, end = wa__conv_least(first + g->channel_block, c->channels_out);
    place p = {.x = c->x + (image * c->w.in_channels + group * c->channels_in) * c->in_size, .w = c->weights + group * c->channels_in * width,
               .bias = c->bias ? c->bias + group * c->channels_out : NULL, .out = c->out + (image * c->w.out_channels + group * c->channels_out) * c->out_size};
    (void)thread;
    for (int64_t i = first * c->out_size; !g->covers && i < end * c->out_size; i++) p.out[i] = p.bias ? p.bias[i / c->out_size] : 0;
    int64_t from = pixels * g->pixel_block, to = wa__conv_least(from + g->pixel_block, c->in_size);
    for (int64_t pixel = from; pixel < to; pixel += WA_TILE_MAX)
        pixels_over(g, &p, first * c->taps, end * c->taps, pixel, wa__conv_least(WA_TILE_MAX, to - pixel), packed);
}

wa_status wa__conv_transposed(const wa_conv *c, const wa_kernel_args *a, wa_error *err)
{
    job g = {.c = c, .covers = true, .channel_block = CHANNELS_A_TASK, .pixel_block = c->in_size};
    for (uint32_t i = 0; i < WA_WINDOW_AXES; i++) {
        bool fits = c->w.kernel[i] == c->w.stride[i] && (c->w.dilation[i] == 1 || c->w.kernel[i] == 1) && c->w.begin[i] == 0;
        g.covers = g.covers && fits && c->w.out[i] == c->w.in[i] * c->w.stride[i];
    }
    if (g.covers) {
        g.channel_block = c->channels_out;
        g.pixel_block = PIXELS_A_TASK;
    }
    g.channel_blocks = wa__conv_ceil(c->channels_out, g.channel_block);
    g.pixel_blocks = wa__conv_ceil(c->in_size, g.pixel_block);
    int64_t tasks = c->w.batch * c->w.groups * g.channel_blocks * g.pixel_blocks;
    if (tasks > UINT32_MAX) return wa__kernel_fail(a, err, WA_LIMIT, "%lld tasks are too many", (long long)tasks);
    bool small = (double)c->in_size * (double)c->w.out_channels * (double)c->k * (double)c->w.batch < 32768; /* waking threads costs more */
    wa__pool_run(small ? NULL : a->pool, (uint32_t)tasks, block, &g);
    return WA_OK;
}
