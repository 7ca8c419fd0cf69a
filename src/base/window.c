/* Resolves kernel sizes, strides and padding. See window.h. */
#include "base/window.h"

#define AXIS_MAX ((int64_t)1 << 30) /* so that the sums below stay within 63 bits */

/* INTS attribute, right-aligned; `fallback` everywhere when it is absent. Values in [low, 2^31). */
static const char *list(const wa_attr *attrs, uint32_t count, const char *name, uint32_t rank, int64_t low, int64_t fallback, int64_t *out)
{
    const wa_attr *a = wa__attr_find(attrs, count, name);
    for (uint32_t i = 0; i < WA_WINDOW_AXES; i++) out[i] = i + rank < WA_WINDOW_AXES ? low : fallback;
    if (!a || a->kind != WA_ATTR_KIND_INTS || a->count == 0) return NULL;
    if (a->count != rank) return "an attribute does not have one number for each spatial axis";
    for (uint32_t i = 0; i < rank; i++) {
        if (a->ints[i] < low || a->ints[i] > AXIS_MAX) return "an attribute's number is out of range";
        out[WA_WINDOW_AXES - rank + i] = a->ints[i];
    }
    return NULL;
}

static const char *pads(const wa_attr *attrs, uint32_t count, wa_window *w)
{
    const wa_attr *a = wa__attr_find(attrs, count, "pads");
    for (uint32_t i = 0; i < WA_WINDOW_AXES; i++) w->begin[i] = w->end[i] = 0;
    if (!a || a->kind != WA_ATTR_KIND_INTS || a->count == 0) return NULL;
    if (a->count != 2 * w->rank) return "pads does not have two numbers for each spatial axis";
    for (uint32_t i = 0; i < w->rank; i++) {
        uint32_t k = WA_WINDOW_AXES - w->rank + i;
        w->begin[k] = a->ints[i];
        w->end[k] = a->ints[w->rank + i];
        if (w->begin[k] < 0 || w->end[k] < 0 || w->begin[k] > AXIS_MAX || w->end[k] > AXIS_MAX) return "a pad is out of range";
    }
    return NULL;
}

typedef enum auto_pad { NOTSET, SAME_UPPER, SAME_LOWER, VALID, UNKNOWN } auto_pad;
static auto_pad auto_pad_of(const wa_attr *attrs, uint32_t count)
{
    const wa_attr *a = wa__attr_find(attrs, count, "auto_pad");
    if (!a || a->kind != WA_ATTR_KIND_STRING || a->s.len == 0 || wa__str_is(a->s, "NOTSET")) return NOTSET;
    return wa__str_is(a->s, "SAME_UPPER") ? SAME_UPPER : wa__str_is(a->s, "SAME_LOWER") ? SAME_LOWER : wa__str_is(a->s, "VALID") ? VALID : UNKNOWN;
}

static const char *common(const wa_tensor_type *x, const wa_attr *attrs, uint32_t count, wa_window *w)
{
    const char *why;
    memset(w, 0, sizeof *w);
    if (x->rank < 3 || x->rank > 2 + WA_WINDOW_AXES) return "its input is not [batch, channels] and one to three spatial axes";
    w->rank = x->rank - 2;
    w->batch = x->dims[0];
    w->in_channels = w->out_channels = x->dims[1];
    w->groups = 1;
    for (uint32_t i = 0; i < WA_WINDOW_AXES; i++) {
        w->in[i] = i + w->rank < WA_WINDOW_AXES ? 1 : x->dims[2 + i + w->rank - WA_WINDOW_AXES];
        if (w->in[i] > AXIS_MAX) return "an axis is too long";
    }
    if ((why = list(attrs, count, "strides", w->rank, 1, 1, w->stride)) || (why = list(attrs, count, "dilations", w->rank, 1, 1, w->dilation))) return why;
    if (auto_pad_of(attrs, count) == UNKNOWN) return "auto_pad is none of NOTSET, SAME_UPPER, SAME_LOWER, VALID";
    return pads(attrs, count, w);
}

static const char *kernel_of(const wa_tensor_type *w, const wa_attr *attrs, uint32_t count, wa_window *out)
{
    int64_t said[WA_WINDOW_AXES];
    const char *why = list(attrs, count, "kernel_shape", out->rank, 1, 0, said);
    if (why) return why;
    if (w->rank != out->rank + 2) return "its weights do not have the input's rank";
    for (uint32_t i = 0; i < WA_WINDOW_AXES; i++) {
        bool there = i + out->rank >= WA_WINDOW_AXES;
        out->kernel[i] = there ? w->dims[2 + i + out->rank - WA_WINDOW_AXES] : 1;
        if (out->kernel[i] < 1 || out->kernel[i] > AXIS_MAX) return "its weights are empty";
        if (there && said[i] && said[i] != out->kernel[i]) return "kernel_shape is not its weights'";
    }
    int64_t groups = 1;
    const wa_attr *a = wa__attr_find(attrs, count, "group");
    if (a && a->kind == WA_ATTR_KIND_INT) groups = a->i;
    if (groups < 1 || groups > AXIS_MAX) return "group is out of range";
    out->groups = groups;
    return NULL;
}

static int64_t extent(const wa_window *w, uint32_t i) { return (w->kernel[i] - 1) * w->dilation[i] + 1; }

/* Padding and output of windows that slide forward. */
static const char *slide(const wa_attr *attrs, uint32_t count, bool ceil_mode, wa_window *w)
{
    auto_pad mode = auto_pad_of(attrs, count);
    if (w->kernel[0] > AXIS_MAX / w->kernel[1] || w->kernel[0] * w->kernel[1] > AXIS_MAX / w->kernel[2]) return "its kernel is too large";
    for (uint32_t i = 0; i < WA_WINDOW_AXES; i++) {
        int64_t size = extent(w, i);
        if (mode == SAME_UPPER || mode == SAME_LOWER) {
            w->out[i] = (w->in[i] + w->stride[i] - 1) / w->stride[i];
            int64_t total = (w->out[i] - 1) * w->stride[i] + size - w->in[i];
            if (total < 0) total = 0;
            w->begin[i] = mode == SAME_UPPER ? total / 2 : total - total / 2;
            w->end[i] = total - w->begin[i];
        } else {
            if (mode == VALID) w->begin[i] = w->end[i] = 0;
            int64_t room = w->in[i] + w->begin[i] + w->end[i] - size;
            if (room < 0) return "its kernel is larger than its padded input";
            w->out[i] = (ceil_mode ? room + w->stride[i] - 1 : room) / w->stride[i] + 1;
            if (ceil_mode && (w->out[i] - 1) * w->stride[i] >= w->in[i] + w->begin[i]) w->out[i]--; /* a window that starts behind the input */
        }
        if (w->out[i] > AXIS_MAX || w->begin[i] > AXIS_MAX || w->end[i] > AXIS_MAX) return "an axis of its result is too long";
    }
    return NULL;
}

const char *wa__window_conv(const wa_tensor_type *x, const wa_tensor_type *w, const wa_attr *attrs, uint32_t count, wa_window *out)
{
    const char *why = common(x, attrs, count, out);
    if (!why) why = kernel_of(w, attrs, count, out);
    if (why) return why;
    out->out_channels = w->dims[0];
    if (out->in_channels % out->groups || out->out_channels % out->groups) return "group does not divide its channels";
    if (w->dims[1] != out->in_channels / out->groups) return "its weights do not have the input's channels";
    return slide(attrs, count, false, out);
}

const char *wa__window_pool(const wa_tensor_type *x, const wa_attr *attrs, uint32_t count, wa_window *out)
{
    const char *why = common(x, attrs, count, out);
    if (!why) why = list(attrs, count, "kernel_shape", out->rank, 1, 0, out->kernel);
    if (why) return why;
    for (uint32_t i = 0; i < WA_WINDOW_AXES; i++)
        if (out->kernel[i] == 0) return "kernel_shape is missing";
    return slide(attrs, count, wa__attr_int(attrs, count, "ceil_mode", 0) != 0, out);
}

/* output_shape, of the spatial axes or of all; zeros when it is not given. */
static const char *wanted(const wa_attr *attrs, uint32_t count, const wa_window *w, int64_t *out)
{
    const wa_attr *a = wa__attr_find(attrs, count, "output_shape");
    memset(out, 0, WA_WINDOW_AXES * sizeof *out);
    if (!a || a->kind != WA_ATTR_KIND_INTS || a->count == 0) return NULL;
    if (a->count != w->rank && a->count != w->rank + 2) return "output_shape does not have one number for each spatial axis";
    for (uint32_t i = 0; i < w->rank; i++) {
        int64_t v = a->ints[a->count - w->rank + i];
        if (v < 1 || v > AXIS_MAX) return "output_shape is out of range";
        out[WA_WINDOW_AXES - w->rank + i] = v;
    }
    return NULL;
}

const char *wa__window_conv_transpose(const wa_tensor_type *x, const wa_tensor_type *w, const wa_attr *attrs, uint32_t count, wa_window *out)
{
    int64_t shape[WA_WINDOW_AXES], extra[WA_WINDOW_AXES];
    auto_pad mode = auto_pad_of(attrs, count);
    const char *why = common(x, attrs, count, out);
    if (!why) why = kernel_of(w, attrs, count, out);
    if (!why) why = list(attrs, count, "output_padding", out->rank, 0, 0, extra);
    if (!why) why = wanted(attrs, count, out, shape);
    if (why) return why;
    if (out->kernel[0] > AXIS_MAX / out->kernel[1] || out->kernel[0] * out->kernel[1] > AXIS_MAX / out->kernel[2]) return "its kernel is too large";
    if (out->in_channels % out->groups || w->dims[0] != out->in_channels) return "its weights do not have the input's channels";
    if (w->dims[1] > AXIS_MAX || !(out->out_channels = w->dims[1] * out->groups)) return "its weights are empty";
    for (uint32_t i = 0; i < WA_WINDOW_AXES; i++) {
        int64_t whole = (out->in[i] - 1) * out->stride[i] + extra[i] + extent(out, i);
        if (out->in[i] == 0) return "its input is empty";
        if (i + out->rank < WA_WINDOW_AXES) shape[i] = 1;
        else if (!shape[i] && (mode == SAME_UPPER || mode == SAME_LOWER)) shape[i] = out->in[i] * out->stride[i];
        if (shape[i]) {
            int64_t total = whole > shape[i] ? whole - shape[i] : 0;
            out->begin[i] = mode == SAME_UPPER ? total / 2 : total - total / 2;
            out->end[i] = total - out->begin[i];
            out->out[i] = shape[i];
        } else {
            if (mode == VALID) out->begin[i] = out->end[i] = 0;
            out->out[i] = whole - out->begin[i] - out->end[i];
        }
        if (out->out[i] < 1 || out->out[i] > AXIS_MAX) return "an axis of its result is out of range";
    }
    return NULL;
}

wa_tensor_type wa__window_out(const wa_window *w, wa_dtype dtype)
{
    wa_tensor_type t = {dtype, w->rank + 2, {w->batch, w->out_channels}};
    for (uint32_t i = 0; i < w->rank; i++) t.dims[2 + i] = w->out[WA_WINDOW_AXES - w->rank + i];
    return t;
}

int64_t wa__window_taps(const wa_window *w) { return w->kernel[0] * w->kernel[1] * w->kernel[2]; }
int64_t wa__window_in_size(const wa_window *w) { return w->in[0] * w->in[1] * w->in[2]; }
int64_t wa__window_out_size(const wa_window *w) { return w->out[0] * w->out[1] * w->out[2]; }
