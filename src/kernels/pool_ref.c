/* Reference pools: MaxPool with indices, AveragePool, LpPool, over one to three axes; MaxUnpool's
 * inverse is a decomposition. Windows are clipped to the input first. */
#include "base/window.h"
#include "kernels/kernels_int.h"
#include <math.h>

typedef struct pool {
    const wa_kernel_args *a;
    wa_window w;
    int64_t in_size;
    bool columns, with_pads, indices;
    double p;
} pool;

/* Taps [*from, *to) of axis i whose elements are in the input. */
static void clip(const wa_window *w, uint32_t i, int64_t o, int64_t *start, int64_t *from, int64_t *to)
{
    int64_t d = w->dilation[i], at = o * w->stride[i] - w->begin[i], room = w->in[i] - at;
    *start = at;
    *from = at < 0 ? (-at + d - 1) / d : 0;
    *to = room <= 0 ? 0 : (room + d - 1) / d;
    if (*to > w->kernel[i]) *to = w->kernel[i];
}

/* Taps that start before the end of the padding: what a mean with pads divides by. */
static int64_t padded_taps(const wa_window *w, uint32_t i, int64_t start)
{
    int64_t d = w->dilation[i], room = w->in[i] + w->end[i] - start, n = room <= 0 ? 0 : (room + d - 1) / d;
    return n < w->kernel[i] ? n : w->kernel[i];
}

typedef struct found { /* in one window */
    double value;
    int64_t whole, at, count;
} found;

static void take(const pool *c, int64_t element, int64_t at, found *f)
{
    const wa_view *x = &c->a->in[0];
    double v = wa__get_f64(x, element);
    int64_t whole = wa__dtype_is_float(x->type.dtype) ? 0 : wa__get_i64(x, element);
    if (c->a->op == WA_OP_MaxPool) {
        bool more = wa__dtype_is_float(x->type.dtype) ? v > f->value : whole > f->whole;
        if (f->count == 0 || more) f->value = v, f->whole = whole, f->at = at;
    } else if (c->a->op == WA_OP_AveragePool) {
        f->value += v;
    } else {
        f->value += pow(fabs(v), c->p);
    }
    f->count++;
}

static void one(const pool *c, int64_t plane, const int64_t *o, int64_t to)
{
    const wa_window *w = &c->w;
    int64_t start[3], from[3], end[3], k[3];
    found f = {0, 0, -1, 0};
    for (uint32_t i = 0; i < 3; i++) clip(w, i, o[i], &start[i], &from[i], &end[i]);
    for (k[0] = from[0]; k[0] < end[0]; k[0]++)
        for (k[1] = from[1]; k[1] < end[1]; k[1]++)
            for (k[2] = from[2]; k[2] < end[2]; k[2]++) {
                int64_t d = start[0] + k[0] * w->dilation[0], h = start[1] + k[1] * w->dilation[1], x = start[2] + k[2] * w->dilation[2];
                int64_t row = (d * w->in[1] + h) * w->in[2] + x, column = (x * w->in[1] + h) * w->in[0] + d;
                take(c, plane * c->in_size + row, c->columns ? column : row, &f);
            }
    if (c->a->op == WA_OP_MaxPool) {
        if (wa__dtype_is_float(c->a->out[0].type.dtype)) wa__set_f64(&c->a->out[0], to, f.count ? f.value : -INFINITY);
        else wa__set_i64(&c->a->out[0], to, f.whole);
        if (c->indices) wa__set_i64(&c->a->out[1], to, plane * c->in_size + f.at);
        return;
    }
    int64_t n = f.count;
    if (c->with_pads) n = padded_taps(w, 0, start[0]) * padded_taps(w, 1, start[1]) * padded_taps(w, 2, start[2]);
    wa__set_f64(&c->a->out[0], to, c->a->op == WA_OP_LpPool ? pow(f.value, 1.0 / c->p) : n ? f.value / (double)n : 0);
}

static wa_status run(const wa_kernel_args *a, wa_error *err)
{
    pool c = {.a = a};
    const char *why = wa__window_pool(&a->in[0].type, a->attrs, a->attr_count, &c.w);
    if (why) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "%s", why);
    wa_tensor_type want = wa__window_out(&c.w, a->in[0].type.dtype);
    WA_TRY(wa__kernel_want(a, 0, &want, err));
    if (wa__dtype_size(want.dtype) == 0 || (a->op != WA_OP_MaxPool && !wa__dtype_is_float(want.dtype)))
        return wa__kernel_fail(a, err, WA_UNSUPPORTED, "it has no form for this type");
    c.in_size = wa__window_in_size(&c.w);
    c.columns = wa__kernel_int(a, "storage_order", 0) != 0;
    c.with_pads = a->op == WA_OP_AveragePool && wa__kernel_int(a, "count_include_pad", 0) != 0;
    c.p = (double)wa__kernel_int(a, "p", 2);
    const wa_attr *p = wa__attr_find(a->attrs, a->attr_count, "p");
    if (p && p->kind == WA_ATTR_KIND_FLOAT) c.p = (double)p->f; /* opset 1 */
    c.indices = a->op == WA_OP_MaxPool && a->out_count > 1 && a->out[1].type.dtype != WA_DTYPE_NONE;
    if (c.indices) {
        want.dtype = WA_I64;
        WA_TRY(wa__kernel_want(a, 1, &want, err));
    }
    int64_t o[3], to = 0;
    for (int64_t plane = 0; plane < c.w.batch * c.w.in_channels; plane++)
        for (o[0] = 0; o[0] < c.w.out[0]; o[0]++)
            for (o[1] = 0; o[1] < c.w.out[1]; o[1]++)
                for (o[2] = 0; o[2] < c.w.out[2]; o[2]++) one(&c, plane, o, to++);
    return WA_OK;
}

/* Interpolation along one axis: result[.., o, ..] = sum of weight[o,t] * x[.., at[o,t], ..]. */
static wa_status axis_taps(const wa_kernel_args *a, wa_error *err)
{
    const wa_view *x = &a->in[0], *at = &a->in[1], *weight = &a->in[2];
    wa_tensor_type want = x->type;
    uint32_t axis;
    WA_TRY(wa__kernel_axis(a, wa__kernel_int(a, "axis", 0), want.rank, &axis, err));
    if (at->type.rank != 2 || weight->type.rank != 2 || at->type.dtype != WA_I32 || weight->type.dtype != WA_F32 || wa__count(&at->type) != wa__count(&weight->type) ||
        !wa__dtype_is_float(want.dtype) || wa__dtype_size(want.dtype) == 0)
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its taps do not fit");
    int64_t in = want.dims[axis], outs = want.dims[axis] = at->type.dims[0], taps = at->type.dims[1];
    WA_TRY(wa__kernel_want(a, 0, &want, err));
    int64_t inner = wa__dims_product(&want, axis + 1, want.rank), count = wa__count(&want);
    for (int64_t k = 0; k < outs * taps; k++)
        if (wa__get_i64(at, k) < 0 || wa__get_i64(at, k) >= in) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "tap %lld is out of range", (long long)k);
    for (int64_t i = 0; i < count; i++) {
        int64_t o = i / inner % outs, base = i / inner / outs * in * inner + i % inner;
        double sum = 0;
        for (int64_t t = 0; t < taps; t++) sum += wa__get_f64(weight, o * taps + t) * wa__get_f64(x, base + wa__get_i64(at, o * taps + t) * inner);
        wa__set_f64(&a->out[0], i, sum);
    }
    return WA_OK;
}

const wa_kernel_entry wa__ref_pool[] = {{WA_OP_AxisTaps, axis_taps}, {WA_OP_MaxPool, run}, {WA_OP_AveragePool, run}, {WA_OP_LpPool, run}, {WA_OP_NONE, NULL}};
