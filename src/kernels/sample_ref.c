/* Reference samplers: GridSample (one to three axes), DeformConv, RoiAlign, MaxRoiPool. */
#include "base/window.h"
#include "kernels/kernels_int.h"
#include <math.h>

static bool is(const wa_kernel_args *a, const char *attr, const char *value)
{
    const wa_attr *t = wa__attr_find(a->attrs, a->attr_count, attr);
    return t && t->kind == WA_ATTR_KIND_STRING && wa__str_is(t->s, value);
}

static bool numbers(const wa_kernel_args *a)
{
    for (uint32_t i = 0; i < a->in_count; i++)
        if (wa__kernel_has(a, i) && wa__dtype_size(a->in[i].type.dtype) == 0) return false;
    return wa__dtype_size(a->out[0].type.dtype) != 0;
}

/* --- GridSample ----------------------------------------------------------------------------------------- */
typedef struct sampler {
    const wa_view *x;
    int64_t size[3];
    uint32_t axes; /* right-aligned in three */
    int taps;      /* 1 nearest, 2 linear, 4 cubic */
    int outside;   /* 0 zeros, 1 border, 2 reflection */
    bool aligned;
} sampler;

static double reflect(double x, double low, double high)
{
    double range = high - low, past = x < low ? low - x : x - high;
    if (range <= 0) return low;
    if (past <= 0) return x;
    double turns = floor(past / range), rest = past - turns * range;
    bool odd = fmod(turns, 2) != 0;
    return (x < low) != odd ? low + rest : high - rest;
}

static double low_of(const sampler *s) { return s->aligned ? 0 : -0.5; }
static double high_of(const sampler *s, uint32_t k) { return s->aligned ? (double)s->size[k] - 1 : (double)s->size[k] - 0.5; }

/* A pixel's index on an axis, -1 for a zero. */
static int64_t pixel(const sampler *s, uint32_t k, double at)
{
    double most = (double)s->size[k] - 1;
    if (s->outside == 1) at = fmin(fmax(at, 0), most);
    if (s->outside == 2) at = fmin(fmax(trunc(reflect(at, low_of(s), high_of(s, k))), 0), most);
    return at >= 0 && at <= most ? (int64_t)at : -1;
}

static double coordinate(const sampler *s, uint32_t k, double n)
{
    double size = (double)s->size[k], x = s->aligned ? (n + 1) / 2 * (size - 1) : ((n + 1) * size - 1) / 2;
    x = (double)(float)x; /* as the specification's own reference has it */
    if (!(fabs(x) < 1e15)) x = -1e15;
    if (s->taps == 1) x = rint(x);
    if (x >= low_of(s) && x <= high_of(s, k)) return x;
    if (s->outside == 1) return fmin(fmax(x, 0), size - 1);
    return s->outside == 2 ? reflect(x, low_of(s), high_of(s, k)) : x;
}

static double cubic(double x)
{
    const double a = -0.75;
    x = fabs(x);
    return x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

static double sample(const sampler *s, int64_t plane, const double *at)
{
    double sum = 0, weight[3][4];
    int64_t index[3][4];
    int taps[3];
    for (uint32_t k = 0; k < 3; k++) {
        double left = floor(at[k]), f = at[k] - left;
        taps[k] = k + s->axes < 3 ? 1 : s->taps;
        if (taps[k] == 1) left = trunc(at[k]);
        for (int t = 0; t < taps[k]; t++) {
            weight[k][t] = taps[k] == 1 ? 1 : taps[k] == 2 ? (t ? f : 1 - f) : cubic(f + 1 - t);
            index[k][t] = k + s->axes < 3 ? 0 : pixel(s, k, left + t - (taps[k] == 4 ? 1 : 0));
        }
    }
    for (int a = 0; a < taps[0]; a++)
        for (int b = 0; b < taps[1]; b++)
            for (int c = 0; c < taps[2]; c++)
                if (index[0][a] >= 0 && index[1][b] >= 0 && index[2][c] >= 0)
                    sum += weight[0][a] * weight[1][b] * weight[2][c] *
                           wa__get_f64(s->x, (plane * s->size[0] + index[0][a]) * s->size[1] * s->size[2] + index[1][b] * s->size[2] + index[2][c]);
    return sum;
}

static wa_status grid_sample(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *x = &a->in[0].type, *g = &a->in[1].type;
    sampler s = {.x = &a->in[0], .size = {1, 1, 1}, .aligned = wa__kernel_int(a, "align_corners", 0) != 0};
    if (x->rank < 3 || x->rank > 5 || g->rank != x->rank || g->dims[0] != x->dims[0] || g->dims[g->rank - 1] != (int64_t)x->rank - 2 || !numbers(a))
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its grid does not fit its input");
    s.axes = x->rank - 2;
    s.taps = is(a, "mode", "nearest") ? 1 : is(a, "mode", "cubic") || is(a, "mode", "bicubic") ? 4 : 2;
    s.outside = is(a, "padding_mode", "border") ? 1 : is(a, "padding_mode", "reflection") ? 2 : 0;
    wa_tensor_type want = *x;
    int64_t points = 1;
    for (uint32_t i = 0; i < s.axes; i++) {
        s.size[3 - s.axes + i] = x->dims[2 + i];
        points *= want.dims[2 + i] = g->dims[1 + i];
    }
    WA_TRY(wa__kernel_want(a, 0, &want, err));
    for (int64_t plane = 0; plane < x->dims[0] * x->dims[1]; plane++)
        for (int64_t i = 0; i < points; i++) {
            double at[3] = {0, 0, 0};
            for (uint32_t k = 0; k < s.axes; k++)
                at[2 - k] = coordinate(&s, 2 - k, wa__get_f64(&a->in[1], (plane / x->dims[1] * points + i) * s.axes + k));
            wa__set_f64(&a->out[0], plane * points + i, sample(&s, plane, at));
        }
    return WA_OK;
}

/* --- DeformConv -------------------------------------------------------------------------------------------- */
typedef struct deform {
    const wa_kernel_args *a;
    wa_window w;
    int64_t taps, out_size, in_group, out_group, offset_groups;
} deform;

static double deform_one(const deform *d, const sampler *s, int64_t n, int64_t m, int64_t at)
{
    const wa_kernel_args *a = d->a;
    const wa_window *w = &d->w;
    double sum = wa__kernel_has(a, 3) ? wa__get_f64(&a->in[3], m) : 0;
    int64_t o[3] = {at / (w->out[1] * w->out[2]), at / w->out[2] % w->out[1], at % w->out[2]};
    for (int64_t c = 0; c < d->in_group; c++) {
        int64_t channel = m / d->out_group * d->in_group + c, group = channel / (w->in_channels / d->offset_groups);
        for (int64_t t = 0; t < d->taps; t++) {
            int64_t k[3] = {t / (w->kernel[1] * w->kernel[2]), t / w->kernel[2] % w->kernel[1], t % w->kernel[2]};
            double place[3] = {0, 0, 0};
            for (uint32_t i = 3 - w->rank; i < 3; i++) {
                int64_t row = ((n * d->offset_groups + group) * d->taps + t) * w->rank + (i + w->rank - 3);
                place[i] = (double)(o[i] * w->stride[i] - w->begin[i] + k[i] * w->dilation[i]) + wa__get_f64(&a->in[2], row * d->out_size + at);
                if (!(fabs(place[i]) < 1e15)) place[i] = -1e15;
            }
            double v = sample(s, n * w->in_channels + channel, place) * wa__get_f64(&a->in[1], (m * d->in_group + c) * d->taps + t);
            if (wa__kernel_has(a, 4)) v *= wa__get_f64(&a->in[4], ((n * d->offset_groups + group) * d->taps + t) * d->out_size + at);
            sum += v;
        }
    }
    return sum;
}

static wa_status deform_conv(const wa_kernel_args *a, wa_error *err)
{
    deform d = {.a = a, .offset_groups = wa__kernel_int(a, "offset_group", 1)};
    const char *why = wa__window_conv(&a->in[0].type, &a->in[1].type, a->attrs, a->attr_count, &d.w);
    if (why) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "%s", why);
    wa_tensor_type want = wa__window_out(&d.w, a->in[0].type.dtype);
    WA_TRY(wa__kernel_want(a, 0, &want, err));
    d.taps = wa__window_taps(&d.w);
    d.out_size = wa__window_out_size(&d.w);
    d.in_group = d.w.in_channels / d.w.groups;
    d.out_group = d.w.out_channels / d.w.groups;
    int64_t places;
    if (d.offset_groups < 1 || d.w.in_channels % d.offset_groups || !numbers(a) || d.in_group == 0 || !wa__mul_i64(d.w.batch * d.offset_groups, d.taps, &places) ||
        !wa__mul_i64(places, d.out_size, &places) || wa__count(&a->in[2].type) / d.w.rank != places || wa__count(&a->in[2].type) % d.w.rank ||
        (wa__kernel_has(a, 3) && wa__count(&a->in[3].type) != d.w.out_channels) || (wa__kernel_has(a, 4) && wa__count(&a->in[4].type) != places))
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its offsets, bias or mask do not fit");
    sampler s = {.x = &a->in[0], .size = {d.w.in[0], d.w.in[1], d.w.in[2]}, .axes = d.w.rank, .taps = 2};
    for (int64_t i = 0, count = wa__count(&want); i < count; i++) {
        int64_t mn = i / d.out_size;
        wa__set_f64(&a->out[0], i, deform_one(&d, &s, mn / d.w.out_channels, mn % d.w.out_channels, i % d.out_size));
    }
    return WA_OK;
}

/* --- regions ------------------------------------------------------------------------------------------------- */
#define GRID_MAX 16384.0 /* samples along a side of one bin */

typedef struct roi {
    const wa_view *x;
    int64_t channels, height, width, out_height, out_width, ratio;
    double scale;
    bool max, half;
} roi;

/* Of the four pixels around a point: their weighted sum, or the largest of the weighted values. */
static double roi_point(const roi *z, int64_t plane, double y, double x)
{
    double h = (double)z->height, w = (double)z->width;
    if (!(y >= -1 && y <= h && x >= -1 && x <= w)) return 0;
    y = fmax(y, 0);
    x = fmax(x, 0);
    int64_t y0 = (int64_t)y, x0 = (int64_t)x, y1 = y0 + 1, x1 = x0 + 1;
    if (y0 >= z->height - 1) y0 = y1 = z->height - 1, y = (double)y0;
    if (x0 >= z->width - 1) x0 = x1 = z->width - 1, x = (double)x0;
    double ly = y - (double)y0, lx = x - (double)x0;
    double v[4] = {(1 - ly) * (1 - lx) * wa__get_f64(z->x, (plane * z->height + y0) * z->width + x0), (1 - ly) * lx * wa__get_f64(z->x, (plane * z->height + y0) * z->width + x1),
                   ly * (1 - lx) * wa__get_f64(z->x, (plane * z->height + y1) * z->width + x0), ly * lx * wa__get_f64(z->x, (plane * z->height + y1) * z->width + x1)};
    return z->max ? fmax(fmax(v[0], v[1]), fmax(v[2], v[3])) : v[0] + v[1] + v[2] + v[3];
}

static double roi_bin(const roi *z, int64_t plane, const double *start, const double *bin, const int64_t *grid, int64_t ph, int64_t pw)
{
    double value = 0;
    for (int64_t iy = 0; iy < grid[0]; iy++)
        for (int64_t ix = 0; ix < grid[1]; ix++) {
            double y = start[0] + (double)ph * bin[0] + ((double)iy + 0.5) * bin[0] / (double)grid[0];
            double x = start[1] + (double)pw * bin[1] + ((double)ix + 0.5) * bin[1] / (double)grid[1], v = roi_point(z, plane, y, x);
            value = !z->max ? value + v : iy + ix == 0 ? v : fmax(value, v);
        }
    return z->max || grid[0] * grid[1] < 1 ? value : value / (double)(grid[0] * grid[1]);
}

static wa_status roi_describe(const wa_kernel_args *a, uint32_t columns, roi *z, wa_error *err)
{
    const wa_tensor_type *x = &a->in[0].type, *r = &a->in[1].type, *o = &a->out[0].type;
    if (x->rank != 4 || r->rank != 2 || r->dims[1] != columns || !numbers(a) || o->rank != 4 || o->dtype != x->dtype || o->dims[0] != r->dims[0] || o->dims[1] != x->dims[1] ||
        x->dims[2] < 1 || x->dims[3] < 1)
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its input, regions and result do not fit");
    *z = (roi){.x = &a->in[0], .channels = x->dims[1], .height = x->dims[2], .width = x->dims[3], .out_height = o->dims[2], .out_width = o->dims[3]};
    z->scale = (double)wa__kernel_float(a, "spatial_scale", 1);
    return WA_OK;
}

static wa_status roi_align(const wa_kernel_args *a, wa_error *err)
{
    roi z;
    WA_TRY(roi_describe(a, 4, &z, err));
    if (wa__count(&a->in[2].type) != a->in[1].type.dims[0]) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "it has not one batch index for each region");
    z.max = is(a, "mode", "max");
    z.half = !is(a, "coordinate_transformation_mode", "output_half_pixel");
    z.ratio = wa__kernel_int(a, "sampling_ratio", 0);
    if (z.ratio < 0 || z.ratio > (int64_t)GRID_MAX) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its sampling_ratio is out of range");
    for (int64_t n = 0, to = 0; n < a->in[1].type.dims[0]; n++) {
        int64_t batch = wa__get_i64(&a->in[2], n), grid[2];
        double edge[4], bin[2];
        if (batch < 0 || batch >= a->in[0].type.dims[0]) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "batch index %lld is out of range", (long long)batch);
        for (int k = 0; k < 4; k++) edge[k] = wa__get_f64(&a->in[1], n * 4 + (k ^ 1)) * z.scale - (z.half ? 0.5 : 0); /* y, x, y, x */
        for (int k = 0; k < 2; k++) {
            double size = edge[2 + k] - edge[k], bins = (double)(k ? z.out_width : z.out_height);
            if (!z.half) size = fmax(size, 1);
            bin[k] = size / bins;
            double count = z.ratio > 0 ? (double)z.ratio : ceil(bin[k]);
            if (!(count <= GRID_MAX)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "region %lld is too large", (long long)n);
            grid[k] = count > 0 ? (int64_t)count : 0;
        }
        for (int64_t c = 0; c < z.channels; c++)
            for (int64_t ph = 0; ph < z.out_height; ph++)
                for (int64_t pw = 0; pw < z.out_width; pw++) wa__set_f64(&a->out[0], to++, roi_bin(&z, batch * z.channels + c, edge, bin, grid, ph, pw));
    }
    return WA_OK;
}

/* Pixels [*from, *to) of bin b of `bins` over [first, last], clipped to `size`. */
static void roi_range(double first, double last, int64_t b, int64_t bins, int64_t size, int64_t *from, int64_t *to)
{
    double bin = fmax(last - first + 1, 1) / (double)bins, most = (double)size;
    *from = (int64_t)fmin(fmax(floor((double)b * bin) + first, 0), most);
    *to = (int64_t)fmin(fmax(ceil((double)(b + 1) * bin) + first, 0), most);
}

static wa_status max_roi_pool(const wa_kernel_args *a, wa_error *err)
{
    roi z;
    WA_TRY(roi_describe(a, 5, &z, err));
    for (int64_t n = 0, to = 0; n < a->in[1].type.dims[0]; n++) {
        double batch = wa__get_f64(&a->in[1], n * 5), edge[4];
        if (!(batch >= 0 && batch < (double)a->in[0].type.dims[0])) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "the batch index of region %lld is out of range", (long long)n);
        for (int k = 0; k < 4; k++) {
            edge[k] = round((double)((float)wa__get_f64(&a->in[1], n * 5 + 1 + k) * (float)z.scale)); /* halves fall as in 32 bits */
            if (!(fabs(edge[k]) < 1e9)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "region %lld is out of range", (long long)n);
        }
        for (int64_t c = 0; c < z.channels; c++)
            for (int64_t ph = 0; ph < z.out_height; ph++)
                for (int64_t pw = 0; pw < z.out_width; pw++) {
                    int64_t y0, y1, x0, x1;
                    roi_range(edge[1], edge[3], ph, z.out_height, z.height, &y0, &y1);
                    roi_range(edge[0], edge[2], pw, z.out_width, z.width, &x0, &x1);
                    double best = y0 < y1 && x0 < x1 ? -INFINITY : 0;
                    for (int64_t y = y0; y < y1; y++)
                        for (int64_t x = x0; x < x1; x++) best = fmax(best, wa__get_f64(z.x, (((int64_t)batch * z.channels + c) * z.height + y) * z.width + x));
                    wa__set_f64(&a->out[0], to++, best);
                }
    }
    return WA_OK;
}

const wa_kernel_entry wa__ref_sample[] = {
    {WA_OP_GridSample, grid_sample}, {WA_OP_DeformConv, deform_conv}, {WA_OP_RoiAlign, roi_align}, {WA_OP_MaxRoiPool, max_roi_pool}, {WA_OP_NONE, NULL}};
