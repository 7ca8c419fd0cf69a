/* Rows of the WebGPU table: convolutions and pools. */
#include "base/window.h"
#include "plan/plan_int.h"

static bool given(const wa_node *n, uint32_t i) { return i < n->input_count && n->inputs[i] != WA_NONE; }

/* --- convolution ------------------------------------------------------------------------------------ */
static const char *conv_window(const wa_plan_builder *b, const wa_node *n, wa_window *w)
{
    return (n->op == WA_OP_ConvTranspose ? wa__window_conv_transpose : wa__window_conv)(wa__gpu_type(b, n->inputs[0]), wa__gpu_type(b, n->inputs[1]), n->attrs,
                                                                                        n->attr_count, w);
}

static const char *conv_refuses(wa_plan_builder *b, const wa_node *n)
{
    wa_window w;
    const char *why = conv_window(b, n, &w);
    if (why) return why;
    wa_dtype d = wa__plan_device_dtype(wa__gpu_type(b, n->inputs[0])->dtype);
    if (d != WA_F32 && d != WA_I32) return "convolution of unsigned integers has no WebGPU kernel";
    for (uint32_t i = 1; i < n->input_count; i++)
        if (given(n, i) && wa__plan_device_dtype(wa__gpu_type(b, n->inputs[i])->dtype) != d) return "a convolution of mixed types";
    int64_t act = n->op == WA_OP_ConvAct ? wa__node_int(n, "act", 0) : 0;
    if (act < 0 || act >= WA_CONV_ACT_COUNT || (act && d != WA_F32)) return "this activation has no WebGPU form";
    return NULL;
}

/* Spec and params that all forms share. */
static wa_gpu_dispatch conv_begin(wa_plan_builder *b, const wa_node *n, const wa_window *w, uint32_t kernel)
{
    wa_gpu_dispatch d = wa__gpu_begin(b, kernel);
    uint32_t *s = d.spec.spec, *p = d.params;
    s[0] = (given(n, 2) ? WA_WGSL_CONV_BIAS : 0u) | (n->op == WA_OP_ConvAct && given(n, 3) ? WA_WGSL_CONV_RESIDUAL : 0u);
    s[1] = n->op == WA_OP_ConvAct ? (uint32_t)wa__node_int(n, "act", 0) : 0;
    for (uint32_t i = 0; i < 3; i++) {
        s[2 + i] = (uint32_t)w->kernel[i], s[5 + i] = (uint32_t)w->stride[i], s[8 + i] = (uint32_t)w->dilation[i];
        p[4 + i] = (uint32_t)w->in[i], p[8 + i] = (uint32_t)w->out[i], p[12 + i] = (uint32_t)w->begin[i];
    }
    p[0] = (uint32_t)wa__count(wa__gpu_type(b, n->outputs[0]));
    p[1] = (uint32_t)w->in_channels;
    p[2] = (uint32_t)w->out_channels;
    p[3] = (uint32_t)(w->in_channels / w->groups);
    p[7] = (uint32_t)(w->out_channels / w->groups);
    p[11] = (uint32_t)w->groups;
    p[16] = wa__gpu_bits(n->op == WA_OP_ConvAct ? wa__node_float(n, "act_a", 0) : 0);
    p[17] = wa__gpu_bits(n->op == WA_OP_ConvAct ? wa__node_float(n, "act_b", 0) : 0);
    d.params_count = 24;
    d.flops = 2u * p[0] * (uint64_t)p[3] * (uint64_t)wa__window_taps(w);
    return d;
}

static wa_status conv_bind(wa_plan_builder *b, const wa_node *n, wa_gpu_dispatch *d, uint32_t packed_ld)
{
    WA_TRY(wa__gpu_read(b, d, n->inputs[0]));
    if (packed_ld) WA_TRY(wa__gpu_read_packed(b, d, n->inputs[1], d->params[2], packed_ld));
    else WA_TRY(wa__gpu_read(b, d, n->inputs[1]));
    for (uint32_t i = 2; i < n->input_count; i++)
        if (given(n, i)) WA_TRY(wa__gpu_read(b, d, n->inputs[i]));
    return wa__gpu_write(b, d, n->outputs[0]);
}

static bool plain(const wa_plan_builder *b, const wa_node *n) { return wa__plan_device_dtype(wa__gpu_type(b, n->inputs[0])->dtype) == WA_F32 && n->op != WA_OP_ConvTranspose; }

/* One input channel a group: the window is unrolled, four outputs an invocation. */
static bool is_depthwise(const wa_plan_builder *b, const wa_node *n, const wa_window *w)
{
    return plain(b, n) && w->groups > 1 && w->in_channels == w->groups && w->kernel[0] == 1 && w->in[0] == 1 && w->begin[0] == 0 && w->out[0] == 1 &&
           w->kernel[1] * w->kernel[2] <= 64 && w->stride[2] <= 64 && w->dilation[1] <= 64 && w->dilation[2] <= 64;
}

static wa_status depthwise_lower(wa_plan_builder *b, uint32_t node, const wa_window *w)
{
    const wa_node *n = &b->g->nodes[node];
    wa_gpu_dispatch d = conv_begin(b, n, w, WA_WGSL_CONV_DEPTHWISE);
    uint32_t run = d.spec.spec[11] = w->kernel[2] == 1 && w->stride[2] > 1 ? 1 : 4;
    WA_TRY(conv_bind(b, n, &d, 0));
    wa__gpu_cover(&d, (uint64_t)(w->batch * w->out_channels * w->out[1]) * (((uint64_t)w->out[2] + run - 1) / run), 64);
    return wa__gpu_end(b, &d, node, NULL);
}

/* Weights are packed so that four channels are one load. */
static bool is_packed(const wa_plan_builder *b, const wa_node *n, const wa_window *w)
{
    int64_t of_group = w->out_channels / w->groups, size = wa__window_out_size(w);
    uint64_t ld = wa__align_up((uint64_t)w->out_channels, 4), depth = (uint64_t)(w->in_channels / w->groups * wa__window_taps(w));
    return plain(b, n) && (w->groups == 1 || of_group % 4 == 0) && wa__gpu_packs(b, n->inputs[1], (uint32_t)w->out_channels) &&
           ld * depth * 4 + WA_PLAN_ALIGN_GPU <= b->t.limit_binding && w->batch * w->groups <= WA_PLAN_GRID_MAX && size <= 32 * (int64_t)WA_PLAN_GRID_MAX;
}

/* Tiles: small ones where large ones would leave a GPU's processors idle. Software adapters and thin
 * groups work straight from storage. */
static void choose_form(const wa_plan_builder *b, const wa_window *w, uint32_t *s, uint32_t *grid)
{
    uint64_t m = (uint64_t)(w->out_channels / w->groups), size = (uint64_t)wa__window_out_size(w), z = (uint64_t)(w->batch * w->groups);
    s[11] = !b->t.software && m >= 24 && w->in_channels / w->groups * wa__window_taps(w) >= 16;
    if (s[11]) {
        s[12] = s[13] = ((m + 63) / 64) * ((size + 63) / 64) * z >= 192 ? 64 : 32;
        grid[0] = (uint32_t)((size + s[13] - 1) / s[13]);
        grid[1] = (uint32_t)((m + s[12] - 1) / s[12]);
    } else {
        s[12] = m > 4 ? 2 : 1, s[13] = 4, s[14] = 16, s[15] = m > 8 ? 4 : 1;
        grid[0] = (uint32_t)((size + s[13] * s[14] - 1) / (s[13] * s[14]));
        grid[1] = (uint32_t)((m + 4u * s[12] * s[15] - 1) / (4u * s[12] * s[15]));
    }
    grid[2] = (uint32_t)z;
}

static wa_status packed_lower(wa_plan_builder *b, uint32_t node, const wa_window *w)
{
    const wa_node *n = &b->g->nodes[node];
    wa_gpu_dispatch d = conv_begin(b, n, w, WA_WGSL_CONV);
    uint32_t ld = (uint32_t)wa__align_up((uint64_t)w->out_channels, 4);
    bool pads = w->begin[0] || w->begin[1] || w->begin[2] || w->end[0] || w->end[1] || w->end[2];
    if (pads || wa__window_taps(w) > 1) d.spec.spec[0] |= WA_WGSL_CONV_CHECKED;
    choose_form(b, w, d.spec.spec, d.grid);
    d.params[20] = ld / 4;
    WA_TRY(conv_bind(b, n, &d, ld));
    return wa__gpu_end(b, &d, node, NULL);
}

static wa_status conv_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    wa_window w;
    const char *why = conv_window(b, n, &w);
    if (why) return wa__fail(b->err, WA_INTERNAL, "a convolution changed its mind: %s", why);
    if (is_depthwise(b, n, &w)) return depthwise_lower(b, node, &w);
    if (is_packed(b, n, &w)) return packed_lower(b, node, &w);
    wa_gpu_dispatch d = conv_begin(b, n, &w, WA_WGSL_CONV_ANY);
    if (n->op == WA_OP_ConvTranspose) d.spec.spec[0] |= WA_WGSL_CONV_TRANSPOSED;
    if (wa__plan_device_dtype(wa__gpu_type(b, n->inputs[0])->dtype) == WA_I32) d.spec.spec[0] |= WA_WGSL_CONV_WHOLE;
    WA_TRY(conv_bind(b, n, &d, 0));
    wa__gpu_cover(&d, d.params[0], 64);
    return wa__gpu_end(b, &d, node, NULL);
}

/* --- pools -------------------------------------------------------------------------------------------- */
static const char *pool_refuses(wa_plan_builder *b, const wa_node *n)
{
    wa_window w;
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    const char *why = wa__window_pool(x, n->attrs, n->attr_count, &w);
    if (!why && n->op != WA_OP_MaxPool && wa__plan_device_dtype(x->dtype) != WA_F32) why = "a mean of integers has no WebGPU kernel";
    return why;
}

static wa_status pool_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    wa_window w;
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    const char *why = wa__window_pool(x, n->attrs, n->attr_count, &w);
    if (why) return wa__fail(b->err, WA_INTERNAL, "a pool changed its mind: %s", why);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_WINDOW_POOL);
    uint32_t *s = d.spec.spec, *p = d.params;
    wa_dtype type = wa__plan_device_dtype(x->dtype);
    const wa_attr *power = wa__attr_find(n->attrs, n->attr_count, "p");
    s[0] = n->op == WA_OP_MaxPool ? WA_WGSL_WINDOW_MAX : n->op == WA_OP_AveragePool ? WA_WGSL_WINDOW_AVERAGE : WA_WGSL_WINDOW_LP;
    s[1] = type == WA_F32 ? 0 : type == WA_I32 ? 1 : 2;
    for (uint32_t i = 0; i < 3; i++) {
        s[2 + i] = (uint32_t)w.kernel[i], s[5 + i] = (uint32_t)w.stride[i], s[8 + i] = (uint32_t)w.dilation[i];
        p[4 + i] = (uint32_t)w.in[i], p[8 + i] = (uint32_t)w.out[i], p[12 + i] = (uint32_t)w.begin[i], p[16 + i] = (uint32_t)(w.in[i] + w.end[i]);
    }
    p[0] = (uint32_t)wa__count(wa__gpu_type(b, n->outputs[0]));
    d.params_count = 20;
    bool indices = n->output_count > 1 && n->outputs[1] != WA_NONE;
    if (indices) s[11] |= WA_WGSL_WINDOW_INDICES;
    if (n->op == WA_OP_AveragePool && wa__node_int(n, "count_include_pad", 0)) s[11] |= WA_WGSL_WINDOW_PADS;
    if (n->op == WA_OP_MaxPool && wa__node_int(n, "storage_order", 0)) s[11] |= WA_WGSL_WINDOW_COLUMNS;
    if (n->op == WA_OP_LpPool) s[12] = wa__gpu_bits(power && power->kind == WA_ATTR_KIND_FLOAT ? power->f : (float)wa__node_int(n, "p", 2));
    WA_TRY(wa__gpu_read(b, &d, n->inputs[0]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    if (indices) WA_TRY(wa__gpu_write(b, &d, n->outputs[1]));
    wa__gpu_cover(&d, p[0], 64);
    return wa__gpu_end(b, &d, node, NULL);
}

static const char *taps_refuses(wa_plan_builder *b, const wa_node *n)
{
    return wa__plan_device_dtype(wa__gpu_type(b, n->inputs[0])->dtype) == WA_F32 ? NULL : "an interpolation of integers";
}

static wa_status taps_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]), *at = wa__gpu_type(b, n->inputs[1]);
    int64_t axis = wa__node_int(n, "axis", 0), inner = 1;
    if (axis < 0) axis += x->rank;
    if (axis < 0 || axis >= (int64_t)x->rank) return wa__fail(b->err, WA_INVALID_ARGUMENT, "axis %lld of rank %u", (long long)axis, x->rank);
    for (uint32_t i = (uint32_t)axis + 1; i < x->rank; i++) inner *= x->dims[i];
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_AXIS_TAPS);
    for (uint32_t i = 0; i < 3; i++) WA_TRY(wa__gpu_read(b, &d, n->inputs[i]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    d.params[0] = (uint32_t)wa__count(wa__gpu_type(b, n->outputs[0]));
    d.params[1] = (uint32_t)x->dims[axis];
    d.params[2] = (uint32_t)at->dims[0];
    d.params[3] = (uint32_t)inner;
    d.params[4] = (uint32_t)at->dims[1];
    d.params_count = 8;
    wa__gpu_cover(&d, d.params[0], 64);
    return wa__gpu_end(b, &d, node, NULL);
}

/* --- samplers -------------------------------------------------------------------------------------------- */
static const char *float_inputs(wa_plan_builder *b, const wa_node *n)
{
    for (uint32_t i = 0; i < n->input_count; i++) {
        wa_dtype want = n->op == WA_OP_RoiAlign && i == 2 ? WA_I32 : WA_F32;
        if (given(n, i) && wa__plan_device_dtype(wa__gpu_type(b, n->inputs[i])->dtype) != want) return "it samples floats";
    }
    return NULL;
}

static bool named(const wa_node *n, const char *attr, const char *value)
{
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, attr);
    return a && a->kind == WA_ATTR_KIND_STRING && wa__str_is(a->s, value);
}

static wa_status sampler_end(wa_plan_builder *b, uint32_t node, wa_gpu_dispatch *d)
{
    const wa_node *n = &b->g->nodes[node];
    for (uint32_t i = 0; i < n->input_count; i++)
        if (given(n, i)) WA_TRY(wa__gpu_read(b, d, n->inputs[i]));
    WA_TRY(wa__gpu_write(b, d, n->outputs[0]));
    d->params[0] = (uint32_t)wa__count(wa__gpu_type(b, n->outputs[0]));
    wa__gpu_cover(d, d->params[0], 64);
    return wa__gpu_end(b, d, node, NULL);
}

static wa_status grid_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]), *o = wa__gpu_type(b, n->outputs[0]);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_GRID_SAMPLE);
    uint32_t *s = d.spec.spec, axes = x->rank - 2;
    s[0] = named(n, "mode", "nearest") ? 1 : named(n, "mode", "cubic") || named(n, "mode", "bicubic") ? 4 : 2;
    s[1] = named(n, "padding_mode", "border") ? 1 : named(n, "padding_mode", "reflection") ? 2 : 0;
    s[2] = wa__node_int(n, "align_corners", 0) != 0;
    s[3] = axes;
    d.params[1] = (uint32_t)x->dims[1];
    d.params[2] = (uint32_t)(wa__count(o) / (o->dims[0] * o->dims[1]));
    for (uint32_t i = 0; i < 3; i++) d.params[4 + i] = i + axes < 3 ? 1 : (uint32_t)x->dims[i + axes - 1];
    d.params_count = 8;
    return sampler_end(b, node, &d);
}

static const char *deform_refuses(wa_plan_builder *b, const wa_node *n)
{
    wa_window w;
    const char *why = conv_window(b, n, &w);
    if (!why) why = float_inputs(b, n);
    for (uint32_t i = 0; i < 3 && !why; i++)
        if (w.kernel[i] > 1 << 16 || w.stride[i] > 1 << 16 || w.dilation[i] > 1 << 16) why = "its window is too large";
    return why;
}

static wa_status deform_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    wa_window w;
    const char *why = conv_window(b, n, &w);
    if (why) return wa__fail(b->err, WA_INTERNAL, "a convolution changed its mind: %s", why);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_DEFORM_CONV);
    uint32_t *s = d.spec.spec, *p = d.params;
    int64_t groups = wa__node_int(n, "offset_group", 1);
    s[0] = (given(n, 3) ? 1u : 0u) | (given(n, 4) ? 2u : 0u);
    s[1] = w.rank;
    for (uint32_t i = 0; i < 3; i++) {
        s[2 + i] = (uint32_t)w.kernel[i], s[5 + i] = (uint32_t)w.stride[i], s[8 + i] = (uint32_t)w.dilation[i];
        p[4 + i] = (uint32_t)w.in[i], p[8 + i] = (uint32_t)w.out[i], p[12 + i] = (uint32_t)w.begin[i];
    }
    p[1] = (uint32_t)w.in_channels;
    p[2] = (uint32_t)w.out_channels;
    p[3] = (uint32_t)(w.in_channels / w.groups);
    p[7] = (uint32_t)(w.out_channels / w.groups);
    p[11] = (uint32_t)groups;
    p[15] = (uint32_t)(w.in_channels / groups);
    d.params_count = 16;
    d.flops = 2u * (uint64_t)wa__count(wa__gpu_type(b, n->outputs[0])) * p[3] * (uint64_t)wa__window_taps(&w);
    return sampler_end(b, node, &d);
}

static wa_status roi_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]), *o = wa__gpu_type(b, n->outputs[0]);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_ROI);
    d.spec.spec[0] = n->op == WA_OP_MaxRoiPool ? 2 : named(n, "mode", "max") ? 1 : 0;
    d.spec.spec[1] = n->op == WA_OP_RoiAlign && !named(n, "coordinate_transformation_mode", "output_half_pixel");
    for (uint32_t i = 1; i < 4; i++) d.params[i] = (uint32_t)x->dims[i];
    d.params[4] = (uint32_t)o->dims[2];
    d.params[5] = (uint32_t)o->dims[3];
    d.params[6] = (uint32_t)wa__node_int(n, "sampling_ratio", 0);
    d.params[7] = (uint32_t)x->dims[0];
    d.params[8] = wa__gpu_bits(wa__node_float(n, "spatial_scale", 1));
    d.params_count = 12;
    return sampler_end(b, node, &d);
}

const wa_gpu_row wa__gpu_window_rows[] = {
    {WA_OP_GridSample, float_inputs, grid_lower},
    {WA_OP_DeformConv, deform_refuses, deform_lower},
    {WA_OP_RoiAlign, float_inputs, roi_lower},
    {WA_OP_MaxRoiPool, float_inputs, roi_lower},
    {WA_OP_AxisTaps, taps_refuses, taps_lower},
    {WA_OP_MaxPool, pool_refuses, pool_lower},
    {WA_OP_AveragePool, pool_refuses, pool_lower},
    {WA_OP_LpPool, pool_refuses, pool_lower},
    {WA_OP_Conv, conv_refuses, conv_lower},
    {WA_OP_ConvAct, conv_refuses, conv_lower},
    {WA_OP_ConvTranspose, conv_refuses, conv_lower},
    {WA_OP_NONE, NULL, NULL},
};
