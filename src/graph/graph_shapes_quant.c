/* Shape rules of linear quantisation. See graph_shapes.h. */
#include "base/quant.h"
#include "graph/graph_shapes.h"

static wa_status linear(wa_infer *f, wa_dtype to)
{
    const wa_tensor_type *x = wa__infer_in(f, 0), *scale = wa__infer_in(f, 1), *zero = wa__infer_in(f, 2);
    wa_quant_layout q;
    f->out[0] = *x;
    f->out[0].dtype = to;
    if (wa__count(x) && !wa__quant_layout(x, scale, wa__node_int(f->n, "axis", 1), wa__node_int(f->n, "block_size", 0), &q))
        return wa__infer_bad(f, "its scale does not fit the input, axis and block size");
    return zero && wa__count(zero) != wa__count(scale) ? wa__infer_bad(f, "its zero point has not the scale's shape") : WA_OK;
}

static wa_status quantize(wa_infer *f)
{
    const wa_tensor_type *zero = wa__infer_in(f, 2);
    int64_t low, high;
    wa_dtype to = zero ? zero->dtype : wa__dtype_from_onnx(wa__node_int(f->n, "output_dtype", 0));
    if (to == WA_DTYPE_NONE) to = WA_U8;
    if (!wa__quant_range(to, &low, &high) && !wa__small_float(to)) return wa__infer_bad(f, "its result has no quantised type");
    return linear(f, to);
}

static wa_status dequantize(wa_infer *f)
{
    wa_dtype to = wa__dtype_from_onnx(wa__node_int(f->n, "output_dtype", 0));
    if (to == WA_DTYPE_NONE) to = wa__infer_in(f, 1)->dtype;
    if (to == WA_F8E8M0) to = WA_F32;
    return wa__dtype_is_float(to) ? linear(f, to) : wa__infer_bad(f, "its result is not of floats");
}

static wa_status dequantize_blocks(wa_infer *f)
{
    wa_tensor_type types[4] = {{WA_DTYPE_NONE, 0, {0}}};
    wa_quant_blocks q;
    for (uint32_t i = 0; i < 4; i++)
        if (wa__infer_has(f, i)) types[i] = *wa__infer_in(f, i);
    if (!wa__quant_blocks(types, f->n->attrs, f->n->attr_count, &q)) return wa__infer_bad(f, "its codes, scales, zero points and sizes do not fit");
    f->out[0] = (wa_tensor_type){types[1].dtype, 2, {q.rows, q.cols}};
    return WA_OK;
}

/* The planner's own: graphs do not have it, and its N stands in its result alone. */
static wa_status matmul_blocks(wa_infer *f) { return wa__infer_bad(f, "it stands in plans only"); }

const wa_shape_entry wa__shapes_quant[] = {
    {WA_OP_QuantizeLinear, quantize}, {WA_OP_DequantizeLinear, dequantize}, {WA_OP_DequantizeBlocks, dequantize_blocks}, {WA_OP_MatMulBlocks, matmul_blocks},
    {WA_OP_NONE, NULL},
};
