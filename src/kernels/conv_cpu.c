/* Fast Conv, ConvAct and ConvTranspose of f32: checks, the choice between a product (conv_product.c, conv_direct.c), a
 * depthwise pass and the transposed form (conv_transposed.c). */
#include "kernels/conv.h"

bool wa__conv_has_fast(const wa_kernel_args *a)
{
    if (a->in_count < 2 || a->out_count != 1 || a->out[0].type.dtype != WA_F32) return false;
    for (uint32_t i = 0; i < a->in_count; i++)
        if (wa__kernel_has(a, i) && a->in[i].type.dtype != WA_F32) return false;
    return wa__kernel_has(a, 0) && wa__kernel_has(a, 1);
}

static const char *window_of(const wa_kernel_args *a, wa_window *w)
{
    return (a->op == WA_OP_ConvTranspose ? wa__window_conv_transpose : wa__window_conv)(&a->in[0].type, &a->in[1].type, a->attrs, a->attr_count, w);
}

/* One input channel a group; but where it feeds many a product is faster. */
static bool is_depthwise(const wa_window *w)
{
    int64_t out = w->out_channels / w->groups;
    return w->in_channels == w->groups && w->kernel[0] * w->kernel[1] <= WA_CONV_LINES && (out == 1 || out * 4 <= wa__window_taps(w) || w->groups > 1);
}

static wa_status describe(const wa_kernel_args *a, wa_conv *c, wa_error *err)
{
    const char *why = window_of(a, &c->w);
    if (why) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "%s", why);
    wa_tensor_type want = wa__window_out(&c->w, WA_F32);
    WA_TRY(wa__kernel_want(a, 0, &want, err));
    bool bias = wa__kernel_has(a, 2), residual = a->op == WA_OP_ConvAct && wa__kernel_has(a, 3);
    if (bias && wa__count(&a->in[2].type) != c->w.out_channels) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its bias does not fit");
    if (residual && !wa__type_eq(&a->in[3].type, &want)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its residual does not fit");
    int64_t act = a->op == WA_OP_ConvAct ? wa__kernel_int(a, "act", 0) : 0;
    if (act < 0 || act >= WA_CONV_ACT_COUNT) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "act is %lld", (long long)act);
    c->x = a->in[0].data;
    c->weights = a->in[1].data;
    c->bias = bias ? a->in[2].data : NULL;
    c->residual = residual ? a->in[3].data : NULL;
    c->out = a->out[0].data;
    c->channels_in = c->w.in_channels / c->w.groups;
    c->channels_out = c->w.out_channels / c->w.groups;
    c->taps = wa__window_taps(&c->w);
    c->k = c->channels_in * c->taps;
    c->in_size = wa__window_in_size(&c->w);
    c->out_size = wa__window_out_size(&c->w);
    c->act = (uint32_t)act;
    c->act_a = wa__kernel_float(a, "act_a", 0);
    c->act_b = wa__kernel_float(a, "act_b", 0);
    return WA_OK;
}

/* Places in a padded plane, and windows on it, in 32 bits. */
static bool small_enough(const wa_conv *c)
{
    bool yes = c->in_size <= INT32_MAX / 4 && c->out_size <= INT32_MAX / 4;
    for (uint32_t i = 0; i < WA_WINDOW_AXES; i++) yes = yes && c->w.in[i] + c->w.begin[i] + c->w.end[i] <= INT32_MAX / 4;
    return yes;
}

/* One channel of one image. */
static void depthwise(void *user, uint32_t index, uint32_t thread)
{
    const wa_conv *c = user;
    float room[WA_CONV_ROOM] __attribute__((aligned(64)));
    int64_t channel = index % c->w.out_channels, image = index / c->w.out_channels, group = channel / c->channels_out;
    (void)thread;
    wa_conv_plane p = {.x = c->x + (image * c->w.in_channels + group) * c->in_size, .w = c->weights + channel * c->taps, .out = c->out + (int64_t)index * c->out_size,
                       .room = room, .bias = c->bias ? c->bias[channel] : 0, .act = c->act, .act_a = c->act_a, .act_b = c->act_b, .window = &c->w};
    if (c->residual) p.residual = c->residual + (int64_t)index * c->out_size;
    c->isa->plane(&p);
}

wa_status wa__conv_fast(const wa_kernel_args *a, wa_error *err)
{
    wa_conv c = {.gemm = wa__gemm(), .isa = WA_PICK_ISA_AT(wa__conv)};
    WA_TRY(wa__kernel_check(a, err));
    if (!wa__kernel_aligned(a, UINT32_MAX)) return wa__kernel_ref(a->op)(a, err);
    if (wa__count(&a->out[0].type) == 0) return WA_OK;
    WA_TRY(describe(a, &c, err));
    if (c.k == 0 || c.in_size == 0 || !small_enough(&c)) return wa__kernel_ref(a->op)(a, err);
    if (a->op == WA_OP_ConvTranspose) return wa__conv_transposed(&c, a, err);
    if (!is_depthwise(&c.w)) return wa__conv_direct(&c, a->pool) ? WA_OK : wa__conv_product(&c, a, err);
    int64_t tasks = c.w.batch * c.w.out_channels;
    if (tasks > UINT32_MAX) return wa__kernel_fail(a, err, WA_LIMIT, "%lld planes are too many", (long long)tasks);
    bool small = (double)c.out_size * (double)tasks * (double)c.taps < 32768; /* waking threads costs more */
    wa__pool_run(small ? NULL : a->pool, (uint32_t)tasks, depthwise, &c);
    return WA_OK;
}
