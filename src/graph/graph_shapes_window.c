/* Shape rules of convolutions and pools. See graph_shapes.h; the geometry is base/window.h's. */
#include "base/window.h"
#include "graph/graph_shapes.h"

static wa_status check_bias(wa_infer *f, const wa_tensor_type *bias, const wa_window *w)
{
    return !bias || (bias->rank == 1 && bias->dims[0] == w->out_channels) ? WA_OK : wa__infer_bad(f, "its bias does not fit");
}

static wa_status conv(wa_infer *f)
{
    wa_window w;
    const wa_tensor_type *x = wa__infer_in(f, 0), *k = wa__infer_in(f, 1);
    bool fused = f->n->op == WA_OP_ConvAct;
    const char *why = (f->n->op == WA_OP_ConvTranspose ? wa__window_conv_transpose : wa__window_conv)(x, k, f->n->attrs, f->n->attr_count, &w);
    if (why) return wa__infer_bad(f, why);
    if (x->dtype != k->dtype) return wa__infer_bad(f, "its input and weights are of different types");
    f->out[0] = wa__window_out(&w, x->dtype);
    const wa_tensor_type *residual = fused ? wa__infer_in(f, 3) : NULL;
    if (residual && !wa__type_eq(residual, &f->out[0])) return wa__infer_bad(f, "its residual does not fit");
    return check_bias(f, wa__infer_in(f, 2), &w);
}

static wa_status pool(wa_infer *f)
{
    wa_window w;
    const wa_tensor_type *x = wa__infer_in(f, 0);
    const char *why = wa__window_pool(x, f->n->attrs, f->n->attr_count, &w);
    if (why) return wa__infer_bad(f, why);
    if (f->n->output_count > (f->n->op == WA_OP_MaxPool ? 2u : 1u)) return wa__infer_bad(f, "it has too many outputs");
    f->out[0] = wa__window_out(&w, x->dtype);
    if (f->n->output_count > 1) f->out[1] = wa__window_out(&w, WA_I64);
    return WA_OK;
}

static wa_status axis_taps(wa_infer *f)
{
    const wa_tensor_type *x = wa__infer_in(f, 0), *at = wa__infer_in(f, 1), *weight = wa__infer_in(f, 2);
    uint32_t axis;
    WA_TRY(wa__infer_axis(f, wa__node_int(f->n, "axis", 0), x->rank, &axis));
    if (at->rank != 2 || weight->rank != 2 || at->dims[0] != weight->dims[0] || at->dims[1] != weight->dims[1] || at->dtype != WA_I32 || weight->dtype != WA_F32)
        return wa__infer_bad(f, "its taps do not fit");
    f->out[0] = *x;
    f->out[0].dims[axis] = at->dims[0];
    return WA_OK;
}

static wa_status grid_sample(wa_infer *f)
{
    const wa_tensor_type *x = wa__infer_in(f, 0), *g = wa__infer_in(f, 1);
    if (x->rank < 3 || x->rank > 5 || g->rank != x->rank || g->dims[0] != x->dims[0] || g->dims[g->rank - 1] != (int64_t)x->rank - 2)
        return wa__infer_bad(f, "its grid does not fit its input");
    f->out[0] = *x;
    for (uint32_t i = 2; i < x->rank; i++) f->out[0].dims[i] = g->dims[i - 1];
    return WA_OK;
}

static wa_status deform_conv(wa_infer *f)
{
    wa_window w;
    const wa_tensor_type *x = wa__infer_in(f, 0), *offset = wa__infer_in(f, 2), *mask = wa__infer_in(f, 4);
    const char *why = wa__window_conv(x, wa__infer_in(f, 1), f->n->attrs, f->n->attr_count, &w);
    int64_t groups = wa__node_int(f->n, "offset_group", 1);
    if (why) return wa__infer_bad(f, why);
    f->out[0] = wa__window_out(&w, x->dtype);
    if (groups < 1 || w.in_channels % groups) return wa__infer_bad(f, "offset_group does not divide its channels");
    for (uint32_t i = 0; i < 2; i++) {
        const wa_tensor_type *t = i ? mask : offset;
        wa_tensor_type want = f->out[0];
        want.dims[1] = groups * wa__window_taps(&w) * (i ? 1 : (int64_t)w.rank);
        if (t && (want.dtype = t->dtype, !wa__type_eq(&want, t))) return wa__infer_bad(f, "its offsets or mask do not fit");
    }
    return check_bias(f, wa__infer_in(f, 3), &w);
}

static wa_status roi(wa_infer *f)
{
    const wa_tensor_type *x = wa__infer_in(f, 0), *rois = wa__infer_in(f, 1);
    bool align = f->n->op == WA_OP_RoiAlign;
    const wa_attr *shape = wa__attr_find(f->n->attrs, f->n->attr_count, "pooled_shape");
    int64_t h = wa__node_int(f->n, "output_height", 1), w = wa__node_int(f->n, "output_width", 1);
    if (!align && (!shape || shape->kind != WA_ATTR_KIND_INTS || shape->count != 2)) return wa__infer_bad(f, "pooled_shape is no height and width");
    if (!align) h = shape->ints[0], w = shape->ints[1];
    if (x->rank != 4 || rois->rank != 2 || rois->dims[1] != (align ? 4 : 5) || h < 1 || w < 1) return wa__infer_bad(f, "its input, regions or sizes do not fit");
    f->out[0] = (wa_tensor_type){x->dtype, 4, {rois->dims[0], x->dims[1], h, w}};
    return WA_OK;
}

const wa_shape_entry wa__shapes_window[] = {
    {WA_OP_GridSample, grid_sample}, {WA_OP_DeformConv, deform_conv}, {WA_OP_RoiAlign, roi}, {WA_OP_MaxRoiPool, roi},
    {WA_OP_AxisTaps, axis_taps},
    {WA_OP_Conv, conv}, {WA_OP_ConvAct, conv}, {WA_OP_ConvTranspose, conv},
    {WA_OP_MaxPool, pool}, {WA_OP_AveragePool, pool}, {WA_OP_LpPool, pool},
    {WA_OP_NONE, NULL},
};
