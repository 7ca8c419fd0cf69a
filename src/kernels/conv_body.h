/* Body of conv_any.c, conv_avx2.c and conv_avx512.c. See conv.h. */
#include "kernels/conv.h"
#include "kernels/vec_act.h"

static void after(const wa_conv_after *t)
{
    for (int64_t r = 0; r < t->rows; r++) {
        float *c = t->c + r * t->c_row;
        const float *x = t->residual ? t->residual + r * t->c_row : NULL;
        int64_t i = 0;
        for (; i + V_LANES <= t->columns; i += V_LANES) {
            vf v = v_load(c + i);
            if (x) v = v + v_load(x + i);
            v_store(c + i, v_activate(t->act, v, t->a, t->b));
        }
        if (i == t->columns) continue;
        vf v = v_load_part(c + i, t->columns - i, 0.0f);
        if (x) v = v + v_load_part(x + i, t->columns - i, 0.0f);
        v_store_part(c + i, t->columns - i, v_activate(t->act, v, t->a, t->b));
    }
}

/* x[0], x[stride], ... */
V_INLINE vf load_strided(const float *x, int64_t stride)
{
    if (stride == 1) return v_load(x);
    vf r;
    for (int i = 0; i < V_LANES; i++) r[i] = x[i * stride];
    return r;
}

typedef struct taps { /* of a line that read inside the input, per z and y */
    const float *x, *w;
} taps;
enum { LINE_TAPS_MAX = 64 };

static float one(const wa_conv_line *l, const taps *rows, int count, int64_t ox)
{
    const wa_window *w = l->window;
    float sum = l->bias;
    for (int r = 0; r < count; r++)
        for (int64_t k = 0; k < w->kernel[2]; k++) {
            int64_t at = ox * w->stride[2] - w->begin[2] + k * w->dilation[2];
            if (at >= 0 && at < w->in[2]) sum += rows[r].x[at] * rows[r].w[k];
        }
    return sum;
}

/* Eight outputs at a time where every tap of x lies inside, one at a time at the edges. */
static void line(const wa_conv_line *l)
{
    const wa_window *w = l->window;
    taps rows[LINE_TAPS_MAX];
    int count = 0;
    for (int64_t kz = 0; kz < w->kernel[0]; kz++)
        for (int64_t ky = 0; ky < w->kernel[1]; ky++) {
            int64_t z = l->z * w->stride[0] - w->begin[0] + kz * w->dilation[0], y = l->y * w->stride[1] - w->begin[1] + ky * w->dilation[1];
            if (z < 0 || z >= w->in[0] || y < 0 || y >= w->in[1]) continue;
            rows[count++] = (taps){l->x + (z * w->in[1] + y) * w->in[2], l->w + (kz * w->kernel[1] + ky) * w->kernel[2]};
        }
    int64_t s = w->stride[2], low = (w->begin[2] + s - 1) / s, span = w->in[2] - 1 + w->begin[2] - (w->kernel[2] - 1) * w->dilation[2];
    int64_t high = span < 0 ? 0 : span / s + 1, ox = 0; /* [low, high): all taps inside */
    if (high > w->out[2]) high = w->out[2];
    for (; ox < low && ox < w->out[2]; ox++) l->out[ox] = one(l, rows, count, ox);
    for (; ox + V_LANES <= high; ox += V_LANES) {
        vf sum = v_set(l->bias);
        for (int r = 0; r < count; r++) {
            const float *x = rows[r].x + ox * s - w->begin[2];
            for (int64_t k = 0; k < w->kernel[2]; k++) sum = v_fma(load_strided(x + k * w->dilation[2], s), v_set(rows[r].w[k]), sum);
        }
        v_store(l->out + ox, sum);
    }
    for (; ox < w->out[2]; ox++) l->out[ox] = one(l, rows, count, ox);
}

const wa_conv_isa WA_ISA(wa__conv) = {after, line};
