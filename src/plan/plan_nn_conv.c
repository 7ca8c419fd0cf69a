/* WebNN rows: convolutions in one to three dimensions, transposed ones, pools. What WebNN's two-dimensional
 * methods cannot say becomes sums of them, or of strided slices. */
#include "base/window.h"
#include "plan/plan_nn_int.h"
#include <math.h>

static wa_nn activated(wa_plan_builder *b, const wa_node *n, wa_nn x)
{
    int64_t act = n->op == WA_OP_ConvAct ? wa__node_int(n, "act", 0) : 0;
    double a = (double)wa__node_float(n, "act_a", 0), c = (double)wa__node_float(n, "act_b", 0);
    switch (act) {
    case WA_CONV_ACT_CLIP:
        wa__nn_set_float(b, "minValue", a);
        wa__nn_set_float(b, "maxValue", c);
        return wa__nn_un(b, WA_NN_clamp, x);
    case WA_CONV_ACT_HARD_SIGMOID:
        wa__nn_set_float(b, "alpha", a);
        wa__nn_set_float(b, "beta", c);
        return wa__nn_un(b, WA_NN_hardSigmoid, x);
    case WA_CONV_ACT_HARD_SWISH: return wa__nn_un(b, WA_NN_hardSwish, x);
    case WA_CONV_ACT_LEAKY_RELU:
        wa__nn_set_float(b, "alpha", a);
        return wa__nn_un(b, WA_NN_leakyRelu, x);
    default: return wa__nn_act(b, x, (uint32_t)act);
    }
}

/* The result of a window over x, which is of rank 4 and in the row's order; the method is told of that. */
static wa_tensor_type window_out(wa_plan_builder *b, const wa_window *w, const wa_tensor_type *x, int64_t channels, const char *layout)
{
    uint32_t at = wa__nn_spatial(b);
    wa_tensor_type out = *x;
    out.dims[at] = w->out[1], out.dims[at + 1] = w->out[2];
    out.dims[wa__nn_place(b, 1)] = channels;
    if (b->nn.in_nhwc) wa__nn_set_str(b, layout, "nhwc");
    return out;
}

/* x of rank 4, k [M,C/g,kh,kw]; axes 1 and 2 of the window. LiteRT turns constant filters once, at build. */
static wa_nn conv2d(wa_plan_builder *b, const wa_window *w, wa_nn x, wa_nn k, wa_nn bias)
{
    wa_tensor_type t = wa__nn_type(b, x), f = wa__nn_type(b, k);
    if (wa__nn_off(b)) return WA_NONE;
    wa_tensor_type out = window_out(b, w, &t, f.dims[0], "inputLayout");
    wa__nn_set_ints(b, "padding", (int64_t[]){w->begin[1], w->end[1], w->begin[2], w->end[2]}, 4);
    wa__nn_set_ints(b, "strides", w->stride + 1, 2);
    wa__nn_set_ints(b, "dilations", w->dilation + 1, 2);
    wa__nn_set_int(b, "groups", w->groups);
    return wa__nn_call(b, WA_NN_conv2d, (wa_nn[]){x, k, bias}, 3, &out);
}

/* Every kernel plane of a three-dimensional convolution is one of two dimensions over the slices it meets. */
static wa_nn conv3d(wa_plan_builder *b, const wa_window *w, wa_nn x, wa_nn k)
{
    wa_tensor_type t = wa__nn_type(b, x), f = wa__nn_type(b, k);
    int64_t before[WA_RANK_MAX] = {0, 0, w->begin[0]}, after[WA_RANK_MAX] = {0, 0, w->end[0]};
    static const int64_t to_batch[5] = {0, 2, 1, 3, 4}, back[5] = {0, 2, 1, 3, 4};
    wa_nn sum = WA_NONE;
    if (w->kernel[0] > 16) wa__nn_refuse(b, "a convolution in three dimensions this deep");
    x = wa__nn_pad(b, x, before, after, "constant", 0);
    for (int64_t z = 0; z < w->kernel[0] && !wa__nn_off(b); z++) {
        int64_t starts[5] = {0, 0, z * w->dilation[0], 0, 0}, sizes[5] = {t.dims[0], t.dims[1], (w->out[0] - 1) * w->stride[0] + 1, t.dims[3], t.dims[4]};
        int64_t strides[5] = {1, 1, w->out[0] == 1 ? 1 : w->stride[0], 1, 1};
        wa_nn plane = wa__nn_transpose(b, wa__nn_slice(b, x, starts, sizes, strides), to_batch);
        plane = wa__nn_reshape(b, plane, 4, (int64_t[]){t.dims[0] * w->out[0], t.dims[1], t.dims[3], t.dims[4]});
        wa_nn taps = wa__nn_reshape(b, wa__nn_part(b, k, 2, z, 1), 4, (int64_t[]){f.dims[0], f.dims[1], f.dims[3], f.dims[4]});
        wa_nn y = conv2d(b, w, plane, taps, WA_NONE);
        sum = sum == WA_NONE ? y : wa__nn_bin(b, WA_NN_add, sum, y);
    }
    sum = wa__nn_reshape(b, sum, 5, (int64_t[]){t.dims[0], w->out[0], f.dims[0], w->out[1], w->out[2]});
    return wa__nn_transpose(b, sum, back);
}

static wa_nn per_channel(wa_plan_builder *b, wa_nn bias, uint32_t rank)
{
    int64_t dims[WA_RANK_MAX];
    for (uint32_t i = 0; i < rank; i++) dims[i] = i == wa__nn_place(b, 1) ? wa__nn_type(b, bias).dims[0] : 1;
    return wa__nn_reshape(b, bias, rank, dims);
}

static bool window_fits(wa_plan_builder *b, const char *why)
{
    if (why) wa__nn_refuse(b, "%s", why);
    return !wa__nn_off(b);
}

static bool window_ok(wa_plan_builder *b, const wa_node *n, const char *why)
{
    if (why) wa__nn_refuse(b, "%s", why);
    else if (wa__plan_nn_dtype(b, wa__nn_of(b, n->inputs[0])->dtype) != WA_F32) wa__nn_refuse(b, "WebNN computes it in floats only");
    return !wa__nn_off(b);
}

static wa_nn flat(wa_plan_builder *b, wa_nn x) /* one spatial axis as two */
{
    wa_tensor_type t = wa__nn_type(b, x);
    return t.rank == 3 ? wa__nn_reshape(b, x, 4, (int64_t[]){t.dims[0], t.dims[1], 1, t.dims[2]}) : x;
}

static void conv(wa_plan_builder *b, const wa_node *n)
{
    wa_window w;
    wa__nn_window_order(b, n);
    wa_nn x = wa__nn_input(b, n, 0), k = wa__nn_in(b, n->inputs[1]), bias = wa__nn_input(b, n, 2), y;
    bool real = wa__dtype_is_float(wa__nn_of(b, n->inputs[0])->dtype);
    if (wa__nn_off(b) || !window_fits(b, wa__window_conv(wa__nn_of(b, n->inputs[0]), wa__nn_of(b, n->inputs[1]), n->attrs, n->attr_count, &w))) return;
    if (!real) { /* integers: where every sum is exact in 24 bits */
        double p = wa__nn_bound(b, n->inputs[0]), q = wa__nn_bound(b, n->inputs[1]), terms = (double)(wa__window_taps(&w) * w.in_channels / w.groups);
        if (p <= 0 || q <= 0 || p * q * terms > 16777216 || bias != WA_NONE) wa__nn_refuse(b, "WebNN has no convolution of integers, and these sums may not be exact in its floats");
        x = wa__nn_cast(b, x, WA_F32);
        k = wa__nn_cast(b, k, WA_F32);
    }
    if (w.rank == 3) {
        y = conv3d(b, &w, x, k);
        if (bias != WA_NONE) y = wa__nn_bin(b, WA_NN_add, y, per_channel(b, bias, 5));
    } else {
        y = conv2d(b, &w, flat(b, x), flat(b, k), bias);
    }
    wa_tensor_type o = wa__nn_ordered(b, wa__nn_of(b, n->outputs[0]));
    y = wa__nn_like(b, y, &o);
    if (n->op == WA_OP_ConvAct && wa__nn_has(n, 3)) y = wa__nn_bin(b, WA_NN_add, y, wa__nn_aligned(b, n->inputs[3]));
    y = activated(b, n, y);
    wa__nn_output(b, n, 0, real ? y : wa__nn_cast(b, y, WA_I32));
}

/* --- transposed ---------------------------------------------------------------------------------------------- */
/* Zeros between the elements of an axis. */
static wa_nn spread(wa_plan_builder *b, wa_nn x, uint32_t axis, int64_t stride)
{
    wa_tensor_type t = wa__nn_type(b, x), out = t;
    int64_t before[4] = {0}, after[4] = {0, 0, stride - 1, 0}, dims[4] = {1, t.dims[axis], 1, 1};
    if (stride == 1 || wa__nn_off(b)) return x;
    for (uint32_t i = 0; i < t.rank; i++) dims[i < axis ? 0 : 3] *= i == axis ? 1 : t.dims[i];
    x = wa__nn_pad(b, wa__nn_reshape(b, x, 4, dims), before, after, "constant", 0);
    out.dims[axis] *= stride;
    return wa__nn_part(b, wa__nn_like(b, x, &out), axis, 0, (t.dims[axis] - 1) * stride + 1);
}

/* A convolution of the spread input with the turned kernel: any group, dilation, output size, rank. */
static wa_nn transposed_as_conv(wa_plan_builder *b, const wa_window *w, wa_nn x, wa_nn k)
{
    wa_tensor_type t = wa__nn_type(b, x), f = wa__nn_type(b, k);
    int64_t g = w->groups, before[WA_RANK_MAX] = {0}, after[WA_RANK_MAX] = {0}, starts[WA_RANK_MAX] = {0}, sizes[WA_RANK_MAX], dims[WA_RANK_MAX], perm[WA_RANK_MAX];
    uint32_t spatial = t.rank - 2, turned = 0;
    wa_window c = *w;
    for (uint32_t i = 0; i < spatial; i++) {
        uint32_t a = WA_WINDOW_AXES - spatial + i;
        x = spread(b, x, 2 + i, w->stride[a]);
        turned |= 1u << (2 + i);
        int64_t reach = w->dilation[a] * (w->kernel[a] - 1), had = (w->in[a] - 1) * w->stride[a] + 1;
        before[2 + i] = reach - w->begin[a];
        after[2 + i] = w->out[a] + reach - had - before[2 + i];
        c.stride[a] = 1;
        c.begin[a] = c.end[a] = 0;
    }
    sizes[0] = t.dims[0], sizes[1] = t.dims[1];
    for (uint32_t i = 2; i < t.rank; i++) {
        uint32_t a = WA_WINDOW_AXES - spatial + i - 2;
        int64_t low = before[i] < 0 ? -before[i] : 0, high = after[i] < 0 ? -after[i] : 0;
        starts[i] = low;
        sizes[i] = (w->in[a] - 1) * w->stride[a] + 1 - low - high;
        if (low) before[i] = 0;
        if (high) after[i] = 0;
        if (sizes[i] <= 0) wa__nn_refuse(b, "padding that takes all of the input");
    }
    x = wa__nn_pad(b, wa__nn_slice(b, x, starts, sizes, NULL), before, after, "constant", 0);
    /* [C,M/g,...] -> [g,C/g,M/g,taps] -> [M,C/g,...] */
    int64_t taps = wa__window_taps(w);
    k = wa__nn_reverse(b, k, turned);
    k = wa__nn_reshape(b, k, 4, (int64_t[]){g, f.dims[0] / g, f.dims[1], taps});
    perm[0] = 0, perm[1] = 2, perm[2] = 1, perm[3] = 3;
    k = wa__nn_transpose(b, k, perm);
    dims[0] = f.dims[1] * g, dims[1] = f.dims[0] / g;
    for (uint32_t i = 2; i < f.rank; i++) dims[i] = f.dims[i];
    k = wa__nn_reshape(b, k, f.rank, dims);
    if (w->rank == 3) return conv3d(b, &c, x, k);
    return conv2d(b, &c, flat(b, x), flat(b, k), WA_NONE);
}

/* The method as every back end has it: no groups, dilations or padding. The result is cut to its size, or
 * grows by zeros where no window reaches. */
static wa_nn transposed_plain(wa_plan_builder *b, const wa_window *w, wa_nn x, wa_nn k, wa_nn bias)
{
    wa_tensor_type t = wa__nn_type(b, x), f = wa__nn_type(b, k);
    int64_t starts[4] = {0}, sizes[4], before[4] = {0}, after[4] = {0};
    wa_window full = *w;
    bool exact = true;
    if (wa__nn_off(b)) return WA_NONE;
    for (uint32_t a = 1; a < WA_WINDOW_AXES; a++) {
        full.out[a] = (w->in[a] - 1) * w->stride[a] + w->kernel[a];
        exact &= w->begin[a] == 0 && w->out[a] == full.out[a];
    }
    wa_tensor_type out = window_out(b, &full, &t, f.dims[1], "inputLayout");
    wa__nn_set_ints(b, "strides", w->stride + 1, 2);
    wa_nn y = wa__nn_call(b, WA_NN_convTranspose2d, (wa_nn[]){x, k, exact ? bias : WA_NONE}, 3, &out);
    if (exact) return y;
    memcpy(sizes, out.dims, sizeof sizes);
    for (uint32_t a = 1; a < WA_WINDOW_AXES; a++) {
        uint32_t i = wa__nn_spatial(b) + a - 1;
        int64_t there = full.out[a] - w->begin[a];
        starts[i] = w->begin[a];
        sizes[i] = there < w->out[a] ? there : w->out[a];
        after[i] = w->out[a] - sizes[i];
        if (sizes[i] <= 0) wa__nn_refuse(b, "padding that takes all of the result");
    }
    y = wa__nn_pad(b, wa__nn_slice(b, y, starts, sizes, NULL), before, after, "constant", 0);
    return bias == WA_NONE ? y : wa__nn_bin(b, WA_NN_add, y, per_channel(b, bias, 4));
}

static void conv_transpose(wa_plan_builder *b, const wa_node *n)
{
    wa_window w;
    const wa_tensor_type *f = wa__nn_of(b, n->inputs[1]);
    if (!window_ok(b, n, wa__window_conv_transpose(wa__nn_of(b, n->inputs[0]), f, n->attrs, n->attr_count, &w))) return;
    bool plain = w.rank == 2 && f->rank == 4 && w.groups == 1 && w.dilation[1] == 1 && w.dilation[2] == 1;
    if (plain) wa__nn_window_order(b, n);
    wa_nn x = wa__nn_input(b, n, 0), k = wa__nn_in(b, n->inputs[1]), bias = wa__nn_has(n, 2) ? wa__nn_in(b, n->inputs[2]) : WA_NONE;
    if (wa__nn_off(b)) return;
    if (plain) {
        wa__nn_output(b, n, 0, transposed_plain(b, &w, x, k, bias));
        return;
    }
    wa_nn y = wa__nn_like(b, transposed_as_conv(b, &w, x, k), wa__nn_of(b, n->outputs[0]));
    if (bias != WA_NONE) y = wa__nn_bin(b, WA_NN_add, y, per_channel(b, bias, wa__nn_of(b, n->outputs[0])->rank));
    wa__nn_output(b, n, 0, y);
}

/* --- pools ------------------------------------------------------------------------------------------------------ */
typedef struct pool {
    wa_window w;
    uint32_t spatial, at; /* how many spatial axes, the first of them */
    int64_t end[WA_WINDOW_AXES]; /* padding that the last window reaches, never less than 0 */
} pool;

static bool pool_of(wa_plan_builder *b, const wa_node *n, pool *p)
{
    const wa_tensor_type *t = wa__nn_of(b, n->inputs[0]);
    const char *why = wa__window_pool(t, n->attrs, n->attr_count, &p->w);
    if (why) wa__nn_refuse(b, "%s", why);
    if (wa__nn_off(b)) return false;
    p->spatial = t->rank - 2;
    p->at = wa__nn_spatial(b);
    for (uint32_t a = 0; a < WA_WINDOW_AXES; a++) {
        int64_t reach = (p->w.out[a] - 1) * p->w.stride[a] + p->w.dilation[a] * (p->w.kernel[a] - 1) + 1 - p->w.in[a] - p->w.begin[a];
        p->end[a] = reach > 0 ? reach : 0;
    }
    return true;
}

static wa_nn padded(wa_plan_builder *b, const pool *p, wa_nn x, double value)
{
    int64_t before[WA_RANK_MAX] = {0}, after[WA_RANK_MAX] = {0};
    for (uint32_t i = 0; i < p->spatial; i++) {
        before[p->at + i] = p->w.begin[WA_WINDOW_AXES - p->spatial + i];
        after[p->at + i] = p->end[WA_WINDOW_AXES - p->spatial + i];
    }
    return wa__nn_pad(b, x, before, after, "constant", value);
}

/* What every window has at one tap. */
static wa_nn tap(wa_plan_builder *b, const pool *p, wa_nn x, const int64_t at[WA_WINDOW_AXES])
{
    wa_tensor_type t = wa__nn_type(b, x);
    int64_t starts[WA_RANK_MAX] = {0}, sizes[WA_RANK_MAX], strides[WA_RANK_MAX];
    for (uint32_t i = 0; i < t.rank; i++) sizes[i] = t.dims[i], strides[i] = 1;
    for (uint32_t i = 0; i < p->spatial; i++) {
        uint32_t a = WA_WINDOW_AXES - p->spatial + i;
        starts[p->at + i] = at[a] * p->w.dilation[a];
        sizes[p->at + i] = (p->w.out[a] - 1) * p->w.stride[a] + 1;
        strides[p->at + i] = p->w.out[a] == 1 ? 1 : p->w.stride[a];
    }
    return wa__nn_slice(b, x, starts, sizes, strides);
}

static bool next_tap(const wa_window *w, int64_t at[WA_WINDOW_AXES])
{
    for (uint32_t a = WA_WINDOW_AXES; a-- > 0;) {
        if (++at[a] < w->kernel[a]) return true;
        at[a] = 0;
    }
    return false;
}

static bool native(const pool *p, const wa_tensor_type *t)
{
    return t->dtype == WA_F32 && p->spatial <= 2 && p->w.dilation[1] == 1 && p->w.dilation[2] == 1;
}

/* Windows over x, padded already: the method where it can say it, else tap by tap. */
static wa_nn pooled(wa_plan_builder *b, const pool *p, wa_nn x, wa_nn_op method, wa_nn_op join)
{
    wa_tensor_type t = wa__nn_type(b, x);
    if (wa__nn_off(b)) return WA_NONE;
    if (native(p, &t)) {
        wa_nn y = flat(b, x);
        wa_tensor_type in = wa__nn_type(b, y), out = window_out(b, &p->w, &in, in.dims[wa__nn_place(b, 1)], "layout"), shape = t;
        wa__nn_set_ints(b, "windowDimensions", p->w.kernel + 1, 2);
        wa__nn_set_ints(b, "strides", p->w.stride + 1, 2);
        y = wa__nn_call(b, method, &y, 1, &out);
        for (uint32_t i = 0; i < p->spatial; i++) shape.dims[p->at + i] = p->w.out[WA_WINDOW_AXES - p->spatial + i];
        return wa__nn_like(b, y, &shape);
    }
    int64_t at[WA_WINDOW_AXES] = {0};
    wa_nn y = WA_NONE;
    if (wa__window_taps(&p->w) > 125) wa__nn_refuse(b, "a window of more than 125 elements in this form");
    do {
        wa_nn one = tap(b, p, x, at);
        y = y == WA_NONE ? one : wa__nn_bin(b, join, y, one);
    } while (next_tap(&p->w, at) && !wa__nn_off(b));
    return method == WA_NN_averagePool2d ? wa__nn_scaled(b, y, 1.0 / (double)wa__window_taps(&p->w)) : y;
}

static double lowest(wa_dtype d) { return d == WA_I8 ? -128 : d == WA_U8 ? 0 : d == WA_F32 ? -3.4028234663852886e38 : -2147483648.0; }

/* Where tap `at` of each window lies in the input, row- or column-major, as a constant [1,1,out...]. */
static wa_nn tap_places(wa_plan_builder *b, const pool *p, const int64_t at[WA_WINDOW_AXES], bool columns)
{
    wa_tensor_type t = {WA_I32, p->spatial + 2, {1, 1}};
    int64_t count = wa__window_out_size(&p->w), o[WA_WINDOW_AXES] = {0};
    for (uint32_t i = 0; i < p->spatial; i++) t.dims[2 + i] = p->w.out[WA_WINDOW_AXES - p->spatial + i];
    int32_t *v = count < 1 << 20 ? wa__alloc((size_t)count, sizeof *v) : NULL;
    if (!v) {
        wa__nn_refuse(b, "places of maxima in a tensor this large");
        return WA_NONE;
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t place = 0, unit = 1;
        for (uint32_t q = 0; q < WA_WINDOW_AXES; q++) {
            uint32_t a = columns ? q : WA_WINDOW_AXES - 1 - q;
            place += (o[a] * p->w.stride[a] + at[a] * p->w.dilation[a] - p->w.begin[a]) * unit;
            unit *= p->w.in[a];
        }
        v[i] = (int32_t)place;
        for (uint32_t a = WA_WINDOW_AXES; a-- > 0;) {
            if (++o[a] < p->w.out[a]) break;
            o[a] = 0;
        }
    }
    wa_nn x = wa__nn_data(b, &t, v);
    wa__free(v);
    return x;
}

static void max_places(wa_plan_builder *b, const wa_node *n, const pool *p, wa_nn x)
{
    wa_tensor_type t = wa__nn_type(b, x);
    int64_t at[WA_WINDOW_AXES] = {0}, images = t.dims[0] * t.dims[1], dims[WA_RANK_MAX] = {t.dims[0], t.dims[1]};
    bool columns = wa__node_int(n, "storage_order", 0) != 0;
    wa_nn best = WA_NONE, place = WA_NONE;
    for (uint32_t i = 2; i < t.rank; i++) dims[i] = 1;
    if (wa__window_taps(&p->w) > 49) wa__nn_refuse(b, "places of maxima in windows of more than 49 elements");
    do {
        wa_nn one = tap(b, p, x, at), here = tap_places(b, p, at, columns);
        wa_nn better = best == WA_NONE ? WA_NONE : wa__nn_bin(b, WA_NN_greater, one, best);
        if (wa__nn_off(b)) return;
        best = better == WA_NONE ? one : wa__nn_where(b, better, one, best);
        if (place == WA_NONE) place = wa__nn_expand(b, here, t.rank, wa__nn_type(b, best).dims);
        else place = wa__nn_where(b, better, here, place);
    } while (next_tap(&p->w, at) && !wa__nn_off(b));
    wa_nn offset = wa__nn_reshape(b, wa__nn_iota(b, WA_I32, images, 0, wa__window_in_size(&p->w)), t.rank, dims);
    wa__nn_output(b, n, 0, best);
    wa__nn_output(b, n, 1, wa__nn_bin(b, WA_NN_add, place, offset));
}

static void max_pool(wa_plan_builder *b, const wa_node *n)
{
    pool p;
    bool places = wa__nn_wants(n, 1) && wa__graph_uses(b->g, n->outputs[1]);
    if (!places) wa__nn_window_order(b, n);
    wa_nn x = wa__nn_input(b, n, 0);
    if (wa__nn_off(b) || !pool_of(b, n, &p)) return;
    wa_dtype d = wa__nn_type(b, x).dtype;
    if (d == WA_I8 || d == WA_U8) x = wa__nn_cast(b, x, WA_I32);
    x = padded(b, &p, x, lowest(d));
    if (places) max_places(b, n, &p, x);
    else wa__nn_output(b, n, 0, pooled(b, &p, x, WA_NN_maxPool2d, WA_NN_max));
}

/* Share of each window that counts: what lies in the input, or with count_include_pad in its padding too. */
static wa_nn shares(wa_plan_builder *b, const pool *p, bool with_padding)
{
    pool q = *p;
    int64_t dims[WA_RANK_MAX], before[WA_RANK_MAX] = {0}, after[WA_RANK_MAX] = {0};
    for (uint32_t i = 0; i < WA_RANK_MAX; i++) dims[i] = 1;
    for (uint32_t i = 0; i < p->spatial; i++) {
        uint32_t a = WA_WINDOW_AXES - p->spatial + i;
        int64_t own = with_padding ? (p->end[a] < p->w.end[a] ? p->end[a] : p->w.end[a]) : 0, low = with_padding ? p->w.begin[a] : 0;
        dims[p->at + i] = p->w.in[a] + low + own;
        before[p->at + i] = p->w.begin[a] - low;
        after[p->at + i] = p->end[a] - own;
    }
    wa_nn ones = wa__nn_fill(b, WA_F32, p->spatial + 2, dims, 1);
    return pooled(b, &q, wa__nn_pad(b, ones, before, after, "constant", 0), WA_NN_averagePool2d, WA_NN_add);
}

static void average_pool(wa_plan_builder *b, const wa_node *n)
{
    pool p;
    wa__nn_window_order(b, n);
    wa_nn x = wa__nn_input(b, n, 0);
    if (wa__nn_off(b) || !pool_of(b, n, &p) || !window_ok(b, n, NULL)) return;
    bool all = wa__node_int(n, "count_include_pad", 0) != 0, whole = true;
    for (uint32_t a = 0; a < WA_WINDOW_AXES; a++) whole &= all ? p.end[a] <= p.w.end[a] : !p.w.begin[a] && !p.end[a];
    wa_nn y = pooled(b, &p, padded(b, &p, x, 0), WA_NN_averagePool2d, WA_NN_add);
    if (!whole) y = wa__nn_bin(b, WA_NN_div, y, shares(b, &p, all));
    wa__nn_output(b, n, 0, y);
}

static wa_nn power_of(wa_plan_builder *b, wa_nn x, double p)
{
    if (p == 1) return x;
    if (p == 2) return wa__nn_bin(b, WA_NN_mul, x, x);
    return p == 0.5 ? wa__nn_un(b, WA_NN_sqrt, x) : wa__nn_bin(b, WA_NN_pow, x, wa__nn_scalar(b, WA_F32, p));
}

static void lp_pool(wa_plan_builder *b, const wa_node *n)
{
    pool p;
    wa__nn_window_order(b, n);
    wa_nn x = wa__nn_input(b, n, 0);
    double e = (double)wa__node_int(n, "p", 2);
    if (wa__nn_off(b) || !pool_of(b, n, &p) || !window_ok(b, n, NULL)) return;
    wa_nn y = pooled(b, &p, padded(b, &p, power_of(b, wa__nn_un(b, WA_NN_abs, x), e), 0), WA_NN_averagePool2d, WA_NN_add);
    wa__nn_output(b, n, 0, power_of(b, wa__nn_scaled(b, y, (double)wa__window_taps(&p.w)), 1 / e));
}

static void global_pool(wa_plan_builder *b, const wa_node *n)
{
    wa__nn_follow_order(b, n);
    wa_nn x = wa__nn_input(b, n, 0);
    wa_tensor_type t = wa__nn_type(b, x);
    if (wa__nn_off(b) || t.rank < 3 || !window_ok(b, n, NULL)) {
        wa__nn_refuse(b, "a global pool without spatial axes");
        return;
    }
    uint32_t mask = wa__nn_place_mask(b, ((1u << t.rank) - 1) & ~3u);
    double e = (double)wa__node_int(n, "p", 2);
    if (n->op == WA_OP_GlobalAveragePool) x = wa__nn_reduce(b, WA_NN_reduceMean, x, mask, true);
    else if (n->op == WA_OP_GlobalMaxPool) x = wa__nn_reduce(b, WA_NN_reduceMax, x, mask, true);
    else x = power_of(b, wa__nn_reduce(b, WA_NN_reduceSum, power_of(b, wa__nn_un(b, WA_NN_abs, x), e), mask, true), 1 / e);
    wa__nn_output(b, n, 0, x);
}

const wa_nn_row wa__nn_conv_rows[] = {
    {WA_OP_Conv, conv}, {WA_OP_ConvAct, conv}, {WA_OP_ConvTranspose, conv_transpose}, {WA_OP_MaxPool, max_pool}, {WA_OP_AveragePool, average_pool},
    {WA_OP_LpPool, lp_pool}, {WA_OP_GlobalAveragePool, global_pool}, {WA_OP_GlobalMaxPool, global_pool}, {WA_OP_GlobalLpPool, global_pool},
    {WA_OP_NONE, NULL},
};
