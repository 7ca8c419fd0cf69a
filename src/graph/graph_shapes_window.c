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

const wa_shape_entry wa__shapes_window[] = {
    {WA_OP_Conv, conv}, {WA_OP_ConvAct, conv}, {WA_OP_ConvTranspose, conv},
    {WA_OP_NONE, NULL},
};
