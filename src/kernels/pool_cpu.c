/* Fast MaxPool (without indices), AveragePool and AxisTaps of f32: planes are dealt to the pool's threads.
 * Rows of a window are combined first, a whole row of the input at a time, then its columns. */
#include "kernels/pool_cpu.h"
#include "base/window.h"
#include <math.h>

typedef struct job {
    const wa_kernel_args *a;
    wa_window w;
    int64_t in_size, out_size;
    bool mean, with_pads;
    /* AxisTaps: */
    int64_t outer, in, out, taps, inner;
    const int32_t *at;
    const float *weight;
} job;

/* Taps [*from, *to) of axis i that read inside the input, for output o. */
static void clip(const wa_window *w, uint32_t i, int64_t o, int64_t *start, int64_t *from, int64_t *to)
{
    int64_t d = w->dilation[i], at = o * w->stride[i] - w->begin[i], room = w->in[i] - at;
    *start = at;
    *from = at < 0 ? (-at + d - 1) / d : 0;
    *to = room <= 0 ? 0 : (room + d - 1) / d;
    if (*to > w->kernel[i]) *to = w->kernel[i];
}

/* Taps inside the input or its padding. */
static int64_t padded(const wa_window *w, uint32_t i, int64_t start)
{
    int64_t d = w->dilation[i], room = w->in[i] + w->end[i] - start, n = room <= 0 ? 0 : (room + d - 1) / d;
    return n < w->kernel[i] ? n : w->kernel[i];
}

/* NaN stays, as in the reference only when it comes first; ONNX leaves it open. */
static float larger(float a, float b) { return b > a ? b : a; }

enum { ROWS_MAX = 256, WIDTH_MAX = 4096 };

/* One output row of a maximum: down the columns first, a whole row at a time, then along the row. */
static void combine_max(const wa_window *w, const float *const *rows, int64_t count, float *out)
{
    float tall[WIDTH_MAX];
    const float *x = rows[0];
    for (int64_t r = 1; r < count; r++, x = tall)
        for (int64_t i = 0; i < w->in[2]; i++) tall[i] = larger(x[i], rows[r][i]);
    for (int64_t o = 0; o < w->out[2]; o++) {
        int64_t start, from, to;
        clip(w, 2, o, &start, &from, &to);
        float v = -INFINITY;
        for (int64_t k = from; k < to; k++) v = larger(v, x[start + k * w->dilation[2]]);
        out[o] = v;
    }
}

/* One output row from `rows` input rows. */
static void combine(const job *g, const float *const *rows, int64_t count, int64_t taps_zy, float *out)
{
    const wa_window *w = &g->w;
    if (!g->mean && count > 1 && w->in[2] <= WIDTH_MAX && w->stride[2] <= w->kernel[2]) { /* else much of a row is not asked for */
        combine_max(w, rows, count, out);
        return;
    }
    for (int64_t o = 0; o < w->out[2]; o++) {
        int64_t start, from, to;
        clip(w, 2, o, &start, &from, &to);
        float v = g->mean ? 0 : -INFINITY;
        for (int64_t r = 0; r < count; r++) {
            const float *x = rows[r];
            for (int64_t k = from; k < to; k++) v = g->mean ? v + x[start + k * w->dilation[2]] : larger(v, x[start + k * w->dilation[2]]);
        }
        int64_t n = g->with_pads ? taps_zy * padded(w, 2, start) : count * (to - from);
        out[o] = !g->mean ? v : n ? v / (float)n : 0;
    }
}

static void plane(void *user, uint32_t index, uint32_t thread)
{
    const job *g = user;
    const wa_window *w = &g->w;
    const float *x = (const float *)g->a->in[0].data + index * g->in_size, *rows[ROWS_MAX];
    float *out = (float *)g->a->out[0].data + index * g->out_size;
    (void)thread;
    for (int64_t z = 0; z < w->out[0]; z++)
        for (int64_t y = 0; y < w->out[1]; y++, out += w->out[2]) {
            int64_t start[2], from[2], to[2], count = 0;
            for (uint32_t i = 0; i < 2; i++) clip(w, i, i ? y : z, &start[i], &from[i], &to[i]);
            for (int64_t kz = from[0]; kz < to[0]; kz++)
                for (int64_t ky = from[1]; ky < to[1]; ky++)
                    rows[count++] = x + ((start[0] + kz * w->dilation[0]) * w->in[1] + start[1] + ky * w->dilation[1]) * w->in[2];
            combine(g, rows, count, g->with_pads ? padded(w, 0, start[0]) * padded(w, 1, start[1]) : 0, out);
        }
}

/* One slice before the axis. */
static void taps(void *user, uint32_t index, uint32_t thread)
{
    const job *g = user;
    const float *x = (const float *)g->a->in[0].data + index * g->in * g->inner;
    float *out = (float *)g->a->out[0].data + index * g->out * g->inner;
    (void)thread;
    for (int64_t o = 0; o < g->out; o++, out += g->inner) {
        for (int64_t i = 0; i < g->inner; i++) out[i] = 0;
        for (int64_t t = 0; t < g->taps; t++) {
            float f = g->weight[o * g->taps + t];
            const float *from = x + g->at[o * g->taps + t] * g->inner;
            for (int64_t i = 0; i < g->inner; i++) out[i] += f * from[i];
        }
    }
}

bool wa__pool_has_fast(const wa_kernel_args *a)
{
    wa_window w;
    if (a->in_count < 1 || a->out_count < 1 || a->in[0].type.dtype != WA_F32 || a->out[0].type.dtype != WA_F32) return false;
    if (a->op == WA_OP_AxisTaps) return true;
    if (a->out_count > 1 && a->out[1].type.dtype != WA_DTYPE_NONE) return false;
    return !wa__window_pool(&a->in[0].type, a->attrs, a->attr_count, &w) && w.kernel[0] * w.kernel[1] <= ROWS_MAX;
}

static wa_status describe_taps(job *g, wa_error *err)
{
    const wa_kernel_args *a = g->a;
    wa_tensor_type want = a->in[0].type;
    const wa_tensor_type *t = &a->in[1].type;
    uint32_t axis;
    WA_TRY(wa__kernel_axis(a, wa__kernel_int(a, "axis", 0), want.rank, &axis, err));
    if (t->rank != 2 || t->dtype != WA_I32 || a->in[2].type.dtype != WA_F32 || wa__count(t) != wa__count(&a->in[2].type))
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its taps do not fit");
    g->in = want.dims[axis];
    g->out = want.dims[axis] = t->dims[0];
    g->taps = t->dims[1];
    g->at = a->in[1].data;
    g->weight = a->in[2].data;
    g->inner = wa__dims_product(&want, axis + 1, want.rank);
    g->outer = wa__dims_product(&want, 0, axis);
    for (int64_t k = 0; k < g->out * g->taps; k++)
        if (g->at[k] < 0 || g->at[k] >= g->in) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "tap %lld is out of range", (long long)k);
    return wa__kernel_want(a, 0, &want, err);
}

static wa_status describe_pool(job *g, wa_error *err)
{
    const wa_kernel_args *a = g->a;
    const char *why = wa__window_pool(&a->in[0].type, a->attrs, a->attr_count, &g->w);
    if (why) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "%s", why);
    if (g->w.kernel[0] * g->w.kernel[1] > ROWS_MAX) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its window has changed since it was chosen");
    wa_tensor_type want = wa__window_out(&g->w, WA_F32);
    g->in_size = wa__window_in_size(&g->w);
    g->out_size = wa__window_out_size(&g->w);
    g->outer = g->w.batch * g->w.in_channels;
    g->mean = a->op == WA_OP_AveragePool;
    g->with_pads = g->mean && wa__kernel_int(a, "count_include_pad", 0) != 0;
    return wa__kernel_want(a, 0, &want, err);
}

wa_status wa__pool_fast(const wa_kernel_args *a, wa_error *err)
{
    job g = {.a = a};
    WA_TRY(wa__kernel_check(a, err));
    if (!wa__kernel_aligned(a, UINT32_MAX) || (a->op == WA_OP_AxisTaps && ((uintptr_t)a->in[1].data & 3))) return wa__kernel_ref(a->op)(a, err);
    if (wa__count(&a->out[0].type) == 0) return WA_OK;
    WA_TRY(a->op == WA_OP_AxisTaps ? describe_taps(&g, err) : describe_pool(&g, err));
    if (g.outer > UINT32_MAX) return wa__kernel_fail(a, err, WA_LIMIT, "%lld planes are too many", (long long)g.outer);
    wa__pool_run(a->pool, (uint32_t)g.outer, a->op == WA_OP_AxisTaps ? taps : plane, &g);
    return WA_OK;
}
