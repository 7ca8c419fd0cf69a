/* Reference convolutions: Conv, ConvAct and ConvTranspose, over three axes, sums in double, or in
 * wrapping 64-bit integers (exact for 32-bit ones). */
#include "base/window.h"
#include "kernels/kernels_int.h"
#include <math.h>

typedef struct conv {
    const wa_kernel_args *a;
    wa_window w;
    int64_t in_per_group, out_per_group, taps, in_size, out_size;
    bool real, has_bias, has_residual;
    uint32_t act;
    double act_a, act_b;
} conv;

static double activate(const conv *c, double v)
{
    switch (c->act) {
    case WA_CONV_ACT_GELU: return 0.5 * v * (1.0 + erf(v * 0.70710678118654752440));
    case WA_CONV_ACT_GELU_TANH: return 0.5 * v * (1.0 + tanh(0.79788456080286535588 * (v + 0.044715 * v * v * v)));
    case WA_CONV_ACT_RELU: return v < 0 ? 0 : v;
    case WA_CONV_ACT_TANH: return tanh(v);
    case WA_CONV_ACT_SIGMOID: return 1.0 / (1.0 + exp(-v));
    case WA_CONV_ACT_SILU: return v / (1.0 + exp(-v));
    case WA_CONV_ACT_CLIP: return v < c->act_a ? c->act_a : v > c->act_b ? c->act_b : v;
    case WA_CONV_ACT_HARD_SIGMOID: v = c->act_a * v + c->act_b; return v < 0 ? 0 : v > 1 ? 1 : v;
    case WA_CONV_ACT_HARD_SWISH: return v * (v < -3 ? 0 : v > 3 ? 1 : v / 6 + 0.5);
    case WA_CONV_ACT_LEAKY_RELU: return v < 0 ? c->act_a * v : v;
    default: return v;
    }
}

/* Adds the products of one tap over the group's input channels. */
static void add_tap(const conv *c, int64_t x_at, int64_t w_at, int64_t w_step, double *sum, uint64_t *whole)
{
    const wa_view *x = &c->a->in[0], *w = &c->a->in[1];
    for (int64_t k = 0; k < c->in_per_group; k++, x_at += c->in_size, w_at += w_step) {
        if (!c->real) *whole += (uint64_t)wa__get_i64(x, x_at) * (uint64_t)wa__get_i64(w, w_at);
        else *sum += wa__get_f64(x, x_at) * wa__get_f64(w, w_at);
    }
}

static void finish(const conv *c, int64_t channel, int64_t at, double sum, uint64_t whole)
{
    const wa_kernel_args *a = c->a;
    if (!c->real) {
        if (c->has_bias) whole += (uint64_t)wa__get_i64(&a->in[2], channel);
        if (c->has_residual) whole += (uint64_t)wa__get_i64(&a->in[3], at);
        int64_t v = (int64_t)whole;
        if (c->act == WA_CONV_ACT_RELU && v < 0) v = 0;
        wa__set_i64(&a->out[0], at, v);
        return;
    }
    if (c->has_bias) sum += wa__get_f64(&a->in[2], channel);
    if (c->has_residual) sum += wa__get_f64(&a->in[3], at);
    wa__set_f64(&a->out[0], at, activate(c, sum));
}

/* Where tap k of axis i reads for output o; false outside the input. */
static bool place(const wa_window *w, bool transposed, uint32_t i, int64_t o, int64_t k, int64_t *at)
{
    if (!transposed) {
        *at = o * w->stride[i] - w->begin[i] + k * w->dilation[i];
    } else {
        int64_t d = o + w->begin[i] - k * w->dilation[i];
        if (d < 0 || d % w->stride[i]) return false;
        *at = d / w->stride[i];
    }
    return *at >= 0 && *at < w->in[i];
}

static void one(const conv *c, bool transposed, int64_t n, int64_t m, const int64_t *o)
{
    const wa_window *w = &c->w;
    double sum = 0;
    uint64_t whole = 0;
    int64_t group = m / c->out_per_group, at[3];
    int64_t x_base = (n * w->in_channels + group * c->in_per_group) * c->in_size;
    int64_t w_base = transposed ? (group * c->in_per_group * c->out_per_group + m % c->out_per_group) * c->taps : m * c->in_per_group * c->taps;
    int64_t w_step = transposed ? c->out_per_group * c->taps : c->taps;
    for (int64_t kd = 0; c->in_per_group && kd < w->kernel[0]; kd++) {
        if (!place(w, transposed, 0, o[0], kd, &at[0])) continue;
        for (int64_t kh = 0; kh < w->kernel[1]; kh++) {
            if (!place(w, transposed, 1, o[1], kh, &at[1])) continue;
            for (int64_t kw = 0; kw < w->kernel[2]; kw++) {
                if (!place(w, transposed, 2, o[2], kw, &at[2])) continue;
                add_tap(c, x_base + (at[0] * w->in[1] + at[1]) * w->in[2] + at[2],
                        w_base + (kd * w->kernel[1] + kh) * w->kernel[2] + kw, w_step, &sum, &whole);
            }
        }
    }
    int64_t to = (n * w->out_channels + m) * c->out_size + (o[0] * w->out[1] + o[1]) * w->out[2] + o[2];
    finish(c, m, to, sum, whole);
}

static wa_status describe(const wa_kernel_args *a, bool transposed, conv *c, wa_error *err)
{
    memset(c, 0, sizeof *c);
    c->a = a;
    const char *why = (transposed ? wa__window_conv_transpose : wa__window_conv)(&a->in[0].type, &a->in[1].type, a->attrs, a->attr_count, &c->w);
    if (why) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "%s", why);
    wa_tensor_type want = wa__window_out(&c->w, a->in[0].type.dtype);
    WA_TRY(wa__kernel_want(a, 0, &want, err));
    c->real = wa__dtype_is_float(want.dtype);
    c->has_bias = wa__kernel_has(a, 2);
    c->has_residual = a->op == WA_OP_ConvAct && wa__kernel_has(a, 3);
    if (a->in[1].type.dtype != want.dtype || wa__dtype_size(want.dtype) == 0) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its weights are of another type");
    if (c->has_bias && (wa__count(&a->in[2].type) != c->w.out_channels || wa__dtype_is_float(a->in[2].type.dtype) != c->real))
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its bias does not fit");
    if (c->has_residual && !wa__type_eq(&a->in[3].type, &want)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its residual does not fit");
    c->in_per_group = c->w.in_channels / c->w.groups;
    c->out_per_group = c->w.out_channels / c->w.groups;
    c->taps = wa__window_taps(&c->w);
    c->in_size = wa__window_in_size(&c->w);
    c->out_size = wa__window_out_size(&c->w);
    int64_t act = a->op == WA_OP_ConvAct ? wa__kernel_int(a, "act", 0) : 0;
    if (act < 0 || act >= WA_CONV_ACT_COUNT) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "act is %lld", (long long)act);
    c->act = (uint32_t)act;
    c->act_a = (double)wa__kernel_float(a, "act_a", 0);
    c->act_b = (double)wa__kernel_float(a, "act_b", 0);
    return WA_OK;
}

static wa_status run(const wa_kernel_args *a, bool transposed, wa_error *err)
{
    conv c;
    WA_TRY(describe(a, transposed, &c, err));
    int64_t o[3];
    for (int64_t n = 0; n < c.w.batch; n++)
        for (int64_t m = 0; m < c.w.out_channels; m++)
            for (o[0] = 0; o[0] < c.w.out[0]; o[0]++)
                for (o[1] = 0; o[1] < c.w.out[1]; o[1]++)
                    for (o[2] = 0; o[2] < c.w.out[2]; o[2]++) one(&c, transposed, n, m, o);
    return WA_OK;
}

static wa_status forward(const wa_kernel_args *a, wa_error *err) { return run(a, false, err); }
static wa_status backward(const wa_kernel_args *a, wa_error *err) { return run(a, true, err); }

const wa_kernel_entry wa__ref_conv[] = {{WA_OP_Conv, forward}, {WA_OP_ConvAct, forward}, {WA_OP_ConvTranspose, backward}, {WA_OP_NONE, NULL}};
