/* Decompositions of quantised operators of ONNX: integer products and convolutions in I32, scales in
 * F32, results through QuantizeLinear. See decompose.h and opt_quant.h. */
#include "opt/opt_quant.h"

static void copy_attr(wa_rw *r, uint32_t node, const wa_attr *a)
{
    char name[64];
    bool ok = a->name.len < sizeof name;
    if (!wa__rw_need(r, ok)) return;
    memcpy(name, a->name.ptr, a->name.len);
    name[a->name.len] = 0;
    switch (a->kind) {
    case WA_ATTR_KIND_INT: ok = wa__node_set_int(r->g, node, name, a->i); break;
    case WA_ATTR_KIND_FLOAT: ok = wa__node_set_float(r->g, node, name, a->f); break;
    case WA_ATTR_KIND_INTS: ok = wa__node_set_ints(r->g, node, name, a->ints, a->count); break;
    case WA_ATTR_KIND_FLOATS: ok = wa__node_set_floats(r->g, node, name, a->floats, a->count); break;
    case WA_ATTR_KIND_STRING: ok = wa__node_set_str(r->g, node, name, a->s); break;
    default: break;
    }
    wa__rw_need(r, ok);
}

void wa__dq_copy_attrs(wa_rw *r, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; r->status == WA_OK && i < r->g->nodes[from].attr_count; i++) copy_attr(r, to, &r->g->nodes[from].attrs[i]);
}

uint32_t wa__dq_spread(wa_rw *r, uint32_t x, uint32_t rank, uint32_t axis)
{
    int64_t dims[WA_RANK_MAX];
    if (r->status != WA_OK || x == WA_NONE) return WA_NONE;
    const wa_tensor_type *t = wa__rw_t(r, x);
    if (t->rank > 1) return x;
    if (wa__count(t) == 1) return wa__dc_reshape(r, x, NULL, 0);
    for (uint32_t i = 0; i < rank; i++) dims[i] = i == axis ? wa__count(t) : 1;
    return wa__dc_reshape(r, x, dims, rank);
}

uint32_t wa__dq_centred(wa_rw *r, uint32_t x, uint32_t zero, uint32_t axis)
{
    uint32_t rank = wa__rw_t(r, x)->rank, a = wa__dc_cast(r, x, WA_I32);
    double v;
    if (zero == WA_NONE || (wa__rw_scalar(r, zero, &v) && v == 0)) return a;
    return wa__dc2(r, WA_OP_Sub, a, wa__dc_cast(r, wa__dq_spread(r, zero, rank, axis), WA_I32));
}

uint32_t wa__dq_scales(wa_rw *r, uint32_t a, uint32_t b, uint32_t y)
{
    uint32_t s = wa__dc2(r, WA_OP_Mul, wa__dc_cast(r, a, WA_F32), wa__dc_cast(r, b, WA_F32));
    return y == WA_NONE ? s : wa__dc2(r, WA_OP_Div, s, wa__dc_cast(r, y, WA_F32));
}

uint32_t wa__dq_quantize(wa_rw *r, uint32_t x, uint32_t scale, uint32_t zero, wa_dtype to)
{
    if (r->status != WA_OK) return WA_NONE;
    if (scale == WA_NONE) scale = wa__dc_scalar(r, WA_F32, 1);
    uint32_t n = wa__dc_node(r, WA_OP_QuantizeLinear, (uint32_t[]){x, scale, zero}, zero == WA_NONE ? 2 : 3, 1);
    if (n == WA_NONE) return WA_NONE;
    return wa__rw_need(r, wa__node_set_int(r->g, n, "output_dtype", wa__dtype_info(to)->onnx)) ? wa__dc_out(r, n, 0) : WA_NONE;
}

uint32_t wa__dq_dequantize(wa_rw *r, uint32_t x, uint32_t scale, uint32_t zero)
{
    return wa__dc_out(r, wa__dc_node(r, WA_OP_DequantizeLinear, (uint32_t[]){x, scale, zero}, zero == WA_NONE ? 2 : 3, 1), 0);
}

uint32_t wa__dq_scalar(wa_rw *r, uint32_t x)
{
    return r->status == WA_OK && x != WA_NONE && wa__count(wa__rw_t(r, x)) == 1 ? wa__dc_reshape(r, x, NULL, 0) : x;
}

uint32_t wa__dq_matmul(wa_rw *r, uint32_t a, uint32_t b, uint32_t a_zero, uint32_t b_zero)
{
    uint32_t ra = wa__rw_t(r, a)->rank, rb = wa__rw_t(r, b)->rank;
    return wa__dc2(r, WA_OP_MatMul, wa__dq_centred(r, a, a_zero, ra < 2 ? 0 : ra - 2), wa__dq_centred(r, b, b_zero, rb ? rb - 1 : 0));
}

/* --- ONNX's operators -------------------------------------------------------------------------------- */
static bool matmul_integer(wa_rw *r, uint32_t node)
{
    uint32_t a = wa__rw_in(r, node, 0), b = wa__rw_in(r, node, 1), za = wa__rw_in(r, node, 2), zb = wa__rw_in(r, node, 3);
    wa__dc_result(r, node, 0, wa__dq_matmul(r, a, b, za, zb));
    return true;
}

static bool qlinear_matmul(wa_rw *r, uint32_t node)
{
    uint32_t in[8];
    for (uint32_t i = 0; i < 8; i++) in[i] = wa__rw_in(r, node, i);
    wa_dtype to = wa__rw_t(r, in[7])->dtype;
    uint32_t y = wa__dc_cast(r, wa__dq_matmul(r, in[0], in[3], in[2], in[5]), WA_F32);
    if (r->status != WA_OK) return true;
    uint32_t rank = wa__rw_t(r, y)->rank, row = rank < 2 ? 0 : rank - 2, column = rank ? rank - 1 : 0;
    uint32_t s = wa__dq_scales(r, wa__dq_spread(r, in[1], rank, row), wa__dq_spread(r, in[4], rank, column), wa__dq_spread(r, in[6], rank, row));
    wa__dc_result(r, node, 0, wa__dq_quantize(r, wa__dc2(r, WA_OP_Mul, y, s), WA_NONE, wa__dq_scalar(r, in[7]), to));
    return true;
}

/* Conv of the node's attributes on centred integers. */
static uint32_t whole_conv(wa_rw *r, uint32_t node, uint32_t x, uint32_t w, uint32_t x_zero, uint32_t w_zero)
{
    uint32_t cx = wa__dq_centred(r, x, wa__dq_scalar(r, x_zero), 1), cw = wa__dq_centred(r, w, w_zero, 0);
    uint32_t c = wa__dc_node(r, WA_OP_Conv, (uint32_t[]){cx, cw}, 2, 1);
    if (c == WA_NONE) return WA_NONE;
    wa__dq_copy_attrs(r, node, c);
    return wa__dc_out(r, c, 0);
}

static bool conv_integer(wa_rw *r, uint32_t node)
{
    wa__dc_result(r, node, 0, whole_conv(r, node, wa__rw_in(r, node, 0), wa__rw_in(r, node, 1), wa__rw_in(r, node, 2), wa__rw_in(r, node, 3)));
    return true;
}

static bool qlinear_conv(wa_rw *r, uint32_t node)
{
    uint32_t in[9];
    for (uint32_t i = 0; i < 9; i++) in[i] = wa__rw_in(r, node, i);
    wa_dtype to = wa__rw_t(r, in[7])->dtype;
    uint32_t rank = wa__rw_t(r, in[0])->rank, y = whole_conv(r, node, in[0], in[3], in[2], in[5]);
    if (in[8] != WA_NONE) y = wa__dc2(r, WA_OP_Add, y, wa__dq_spread(r, in[8], rank, 1));
    uint32_t s = wa__dq_scales(r, wa__dq_scalar(r, in[1]), wa__dq_spread(r, in[4], rank, 1), wa__dq_scalar(r, in[6]));
    wa__dc_result(r, node, 0, wa__dq_quantize(r, wa__dc2(r, WA_OP_Mul, wa__dc_cast(r, y, WA_F32), s), WA_NONE, wa__dq_scalar(r, in[7]), to));
    return true;
}

void wa__dq_dynamic(wa_rw *r, uint32_t x, uint32_t out[3])
{
    int64_t axes[WA_RANK_MAX];
    out[0] = out[1] = out[2] = WA_NONE;
    if (r->status != WA_OK) return;
    uint32_t rank = wa__rw_t(r, x)->rank, nothing = wa__dc_scalar(r, WA_F32, 0);
    for (uint32_t i = 0; i < rank; i++) axes[i] = i;
    uint32_t low = wa__dc2(r, WA_OP_Min, rank ? wa__dc_reduce(r, WA_OP_ReduceMin, x, axes, rank, false) : x, nothing);
    uint32_t high = wa__dc2(r, WA_OP_Max, rank ? wa__dc_reduce(r, WA_OP_ReduceMax, x, axes, rank, false) : x, nothing);
    out[1] = wa__dc2(r, WA_OP_Div, wa__dc2(r, WA_OP_Sub, high, low), wa__dc_scalar(r, WA_F32, 255));
    out[2] = wa__dq_quantize(r, wa__dc1(r, WA_OP_Neg, low), out[1], WA_NONE, WA_U8);
    out[0] = wa__dq_quantize(r, x, out[1], out[2], WA_U8);
}

static bool dynamic_quantize(wa_rw *r, uint32_t node)
{
    uint32_t out[3];
    wa__dq_dynamic(r, wa__rw_in(r, node, 0), out);
    for (uint32_t i = 0; i < 3; i++) wa__dc_result(r, node, i, out[i]);
    return true;
}

const wa_decompose_row wa__decompose_quant[] = {
    {WA_OP_MatMulInteger, matmul_integer}, {WA_OP_QLinearMatMul, qlinear_matmul}, {WA_OP_ConvInteger, conv_integer},
    {WA_OP_QLinearConv, qlinear_conv}, {WA_OP_DynamicQuantizeLinear, dynamic_quantize},
    {WA_OP_NONE, NULL},
};
