/* Decompositions of onnxruntime's quantised operators (domain com.microsoft). See decompose.h. */
#include "opt/opt_quant.h"

/* Float operators between codes: dequantize, compute, quantize. */
static uint32_t in(wa_rw *r, uint32_t node, uint32_t i) { return wa__rw_in(r, node, i); }

static uint32_t real(wa_rw *r, uint32_t node, uint32_t first)
{
    return wa__dq_dequantize(r, in(r, node, first), wa__dq_scalar(r, in(r, node, first + 1)), wa__dq_scalar(r, in(r, node, first + 2)));
}

/* The node's result: y with the scale and zero point of inputs `first`, `first` + 1, in the type of `like`. */
static void finish(wa_rw *r, uint32_t node, uint32_t y, uint32_t first, uint32_t like)
{
    if (r->status != WA_OK) return;
    wa_dtype to = wa__rw_t(r, in(r, node, like))->dtype;
    wa__dc_result(r, node, 0, wa__dq_quantize(r, y, wa__dq_scalar(r, in(r, node, first)), wa__dq_scalar(r, in(r, node, first + 1)), to));
}

static bool same_linear(wa_rw *r, uint32_t node)
{
    wa_op op = r->g->nodes[node].op == WA_OP_MsQuantizeLinear ? WA_OP_QuantizeLinear : WA_OP_DequantizeLinear;
    uint32_t x[3] = {in(r, node, 0), in(r, node, 1), in(r, node, 2)};
    uint32_t n = wa__dc_node(r, op, x, x[2] == WA_NONE ? 2 : 3, 1);
    if (n == WA_NONE) return true;
    wa__dq_copy_attrs(r, node, n);
    wa__dc_result(r, node, 0, wa__dc_out(r, n, 0));
    return true;
}

static bool pair(wa_rw *r, uint32_t node)
{
    wa_op op = r->g->nodes[node].op == WA_OP_QLinearAdd ? WA_OP_Add : WA_OP_Mul;
    finish(r, node, wa__dc2(r, op, real(r, node, 0), real(r, node, 3)), 6, 0);
    return true;
}

static bool sigmoid(wa_rw *r, uint32_t node)
{
    finish(r, node, wa__dc1(r, WA_OP_Sigmoid, real(r, node, 0)), 3, 0);
    return true;
}

static bool leaky_relu(wa_rw *r, uint32_t node)
{
    float alpha = wa__node_float(&r->g->nodes[node], "alpha", 0.01f);
    uint32_t x = real(r, node, 0), n = wa__dc_node(r, WA_OP_LeakyRelu, &x, 1, 1);
    if (n != WA_NONE && wa__rw_need(r, wa__node_set_float(r->g, n, "alpha", alpha))) finish(r, node, wa__dc_out(r, n, 0), 3, 0);
    return true;
}

static bool softmax(wa_rw *r, uint32_t node)
{
    const wa_tensor_type t = *wa__rw_t(r, in(r, node, 0));
    int64_t axis = wa__node_int(&r->g->nodes[node], "axis", -1), opset = wa__node_int(&r->g->nodes[node], "opset", 13), flat[2] = {1, 1};
    if (axis < 0) axis += t.rank;
    if (axis < 0 || axis >= (int64_t)t.rank) return false;
    uint32_t x = real(r, node, 0);
    for (uint32_t i = 0; i < t.rank; i++) flat[i >= axis] *= t.dims[i];
    if (opset < 13) x = wa__dc_reshape(r, x, flat, 2);
    uint32_t n = wa__dc_node(r, WA_OP_Softmax, &x, 1, 1);
    if (n == WA_NONE || !wa__rw_need(r, wa__node_set_int(r->g, n, "axis", opset < 13 ? 1 : axis))) return true;
    x = wa__dc_out(r, n, 0);
    finish(r, node, opset < 13 ? wa__dc_reshape(r, x, t.dims, t.rank) : x, 3, 0);
    return true;
}

/* --- pooling, joining ------------------------------------------------------------------------------ */
/* The sum of whole numbers is exact; one factor brings it to the result's scale. */
static bool global_average(wa_rw *r, uint32_t node)
{
    const wa_tensor_type t = *wa__rw_t(r, in(r, node, 0));
    bool last = wa__node_int(&r->g->nodes[node], "channels_last", 0) != 0;
    int64_t axes[WA_RANK_MAX];
    double places = 1;
    if (t.rank < 3) return false;
    for (uint32_t i = 0; i + 2 < t.rank; i++) {
        axes[i] = last ? i + 1 : i + 2;
        places *= (double)t.dims[axes[i]];
    }
    uint32_t x = wa__dc_cast(r, wa__dq_centred(r, in(r, node, 0), wa__dq_scalar(r, in(r, node, 2)), 0), WA_F32);
    uint32_t sum = wa__dc_reduce(r, WA_OP_ReduceSum, x, axes, t.rank - 2, true);
    uint32_t factor = wa__dc2(r, WA_OP_Div, wa__dq_scalar(r, in(r, node, 1)),
                              wa__dc2(r, WA_OP_Mul, wa__dq_scalar(r, in(r, node, 3)), wa__dc_scalar(r, WA_F32, places)));
    wa__dc_result(r, node, 0, wa__dq_quantize(r, wa__dc2(r, WA_OP_Mul, sum, factor), WA_NONE, wa__dq_scalar(r, in(r, node, 4)), t.dtype));
    return true;
}

static uint32_t channels(wa_rw *r, uint32_t x, uint32_t rank, bool first)
{
    int64_t perm[WA_RANK_MAX];
    for (uint32_t i = 0; i < rank; i++) perm[i] = first ? (i == 0 ? 0 : i == 1 ? rank - 1 : i - 1) : (i == 0 ? 0 : i + 1 == rank ? 1 : i + 1);
    return wa__dc_transpose(r, x, perm, rank);
}

static bool average(wa_rw *r, uint32_t node)
{
    uint32_t rank = wa__rw_t(r, in(r, node, 0))->rank;
    bool last = wa__node_int(&r->g->nodes[node], "channels_last", 0) != 0;
    uint32_t x = real(r, node, 0);
    if (last) x = channels(r, x, rank, true);
    uint32_t n = wa__dc_node(r, WA_OP_AveragePool, &x, 1, 1);
    if (n == WA_NONE) return true;
    wa__dq_copy_attrs(r, node, n);
    x = wa__dc_out(r, n, 0);
    finish(r, node, last ? channels(r, x, rank, false) : x, 3, 0);
    return true;
}

#define PARTS_MAX 64
static bool concat(wa_rw *r, uint32_t node)
{
    uint32_t count = (r->g->nodes[node].input_count - 2) / 3, parts[PARTS_MAX];
    int64_t axis = wa__node_int(&r->g->nodes[node], "axis", 0);
    if (count > PARTS_MAX) return false;
    for (uint32_t i = 0; i < count; i++) parts[i] = real(r, node, 2 + 3 * i);
    finish(r, node, wa__dc_concat(r, parts, count, axis), 0, 1);
    return true;
}

/* --- products --------------------------------------------------------------------------------------- */
static uint32_t with_bias(wa_rw *r, uint32_t y, uint32_t bias) { return bias == WA_NONE ? y : wa__dc2(r, WA_OP_Add, y, bias); }

/* A, B, scales of A and B, zero points, bias */
static bool integer_to_float(wa_rw *r, uint32_t node)
{
    uint32_t y = wa__dc_cast(r, wa__dq_matmul(r, in(r, node, 0), in(r, node, 1), in(r, node, 4), in(r, node, 5)), WA_F32);
    if (r->status != WA_OK) return true;
    uint32_t rank = wa__rw_t(r, y)->rank;
    uint32_t s = wa__dq_scales(r, wa__dq_spread(r, in(r, node, 2), rank, rank < 2 ? 0 : rank - 2), wa__dq_spread(r, in(r, node, 3), rank, rank ? rank - 1 : 0), WA_NONE);
    wa__dc_result(r, node, 0, with_bias(r, wa__dc2(r, WA_OP_Mul, y, s), in(r, node, 6)));
    return true;
}

/* A, B, scale of B, zero point of B, bias */
static bool dynamic_matmul(wa_rw *r, uint32_t node)
{
    uint32_t a[3];
    wa__dq_dynamic(r, in(r, node, 0), a);
    uint32_t y = wa__dc_cast(r, wa__dq_matmul(r, a[0], in(r, node, 1), a[2], in(r, node, 3)), WA_F32);
    if (r->status != WA_OK) return true;
    uint32_t rank = wa__rw_t(r, y)->rank, s = wa__dq_scales(r, a[1], wa__dq_spread(r, in(r, node, 2), rank, rank ? rank - 1 : 0), WA_NONE);
    wa__dc_result(r, node, 0, with_bias(r, wa__dc2(r, WA_OP_Mul, y, s), in(r, node, 4)));
    return true;
}

/* A, scale, zero; B, scale, zero; C; result's scale, zero */
static bool gemm(wa_rw *r, uint32_t node)
{
    static const int64_t swap[2] = {1, 0};
    const wa_node *n = &r->g->nodes[node];
    float alpha = wa__node_float(n, "alpha", 1);
    bool ta = wa__node_int(n, "transA", 0) != 0, tb = wa__node_int(n, "transB", 0) != 0;
    uint32_t a = in(r, node, 0), b = in(r, node, 3), c = in(r, node, 6), ys = in(r, node, 7), yz = in(r, node, 8);
    wa_dtype to = yz == WA_NONE ? wa__rw_t(r, a)->dtype : wa__rw_t(r, yz)->dtype;
    if (ta) a = wa__dc_transpose(r, a, swap, 2);
    if (tb) b = wa__dc_transpose(r, b, swap, 2);
    uint32_t y = with_bias(r, wa__dq_matmul(r, a, b, wa__dq_scalar(r, in(r, node, 2)), in(r, node, 5)), c);
    uint32_t s = wa__dq_scales(r, wa__dq_scalar(r, in(r, node, 1)), wa__dq_spread(r, in(r, node, 4), 2, 1), WA_NONE);
    if (alpha != 1) s = wa__dc2(r, WA_OP_Mul, s, wa__dc_scalar(r, WA_F32, (double)alpha));
    if (ys != WA_NONE) s = wa__dc2(r, WA_OP_Div, s, wa__dq_scalar(r, ys));
    y = wa__dc2(r, WA_OP_Mul, wa__dc_cast(r, y, WA_F32), s);
    wa__dc_result(r, node, 0, ys == WA_NONE ? y : wa__dq_quantize(r, y, WA_NONE, wa__dq_scalar(r, yz), to));
    return true;
}

/* x, w, bias, scales of x and w, mask, zero points of x and w, past */
static bool attention(wa_rw *r, uint32_t node)
{
    wa_attr *attrs = r->g->nodes[node].attrs;
    uint32_t attr_count = r->g->nodes[node].attr_count;
    uint32_t x = wa__dq_dequantize(r, in(r, node, 0), wa__dq_scalar(r, in(r, node, 3)), wa__dq_scalar(r, in(r, node, 6)));
    uint32_t w = wa__dq_dequantize(r, in(r, node, 1), wa__dq_scalar(r, in(r, node, 4)), wa__dq_scalar(r, in(r, node, 7)));
    uint32_t inputs[5] = {x, w, in(r, node, 2), in(r, node, 5), in(r, node, 8)}, count = 5;
    while (inputs[count - 1] == WA_NONE) count--;
    if (r->status != WA_OK || !wa__rw_become(r, node, WA_OP_MsAttention, inputs, count)) return true;
    r->g->nodes[node].attrs = attrs;
    r->g->nodes[node].attr_count = attr_count;
    return wa__opt_decompose(r, node);
}

/* --- packed weights ---------------------------------------------------------------------------------- */
uint32_t wa__dq_unpack(wa_rw *r, const uint32_t inputs[4], const wa_dq_blocks *k)
{
    uint32_t count = 4;
    while (count > 2 && inputs[count - 1] == WA_NONE) count--;
    uint32_t n = wa__dc_node(r, WA_OP_DequantizeBlocks, inputs, count, 1);
    if (n == WA_NONE) return WA_NONE;
    const struct { const char *name; int64_t v; } a[] = {{"rows", k->rows}, {"cols", k->cols}, {"block", k->block}, {"bits", k->bits},
                                                         {"zero", k->zero}, {"table", k->table}, {"high_first", k->high_first}};
    for (size_t i = 0; i < sizeof a / sizeof *a; i++)
        if (!wa__rw_need(r, wa__node_set_int(r->g, n, a[i].name, a[i].v))) return WA_NONE;
    return wa__dc_out(r, n, 0);
}

/* a . w[N,K] transposed */
static uint32_t times_rows(wa_rw *r, uint32_t a, uint32_t w)
{
    uint32_t n = wa__dc_node(r, WA_OP_FusedMatMul, (uint32_t[]){a, w}, 2, 1);
    return n != WA_NONE && wa__rw_need(r, wa__node_set_int(r->g, n, "transB", 1)) ? wa__dc_out(r, n, 0) : WA_NONE;
}

static bool matmul_bits(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    wa_dq_blocks k = {wa__node_int(n, "N", 0), wa__node_int(n, "K", 0), wa__node_int(n, "block_size", 0), wa__node_int(n, "bits", 4), 0, 0, 0};
    if (k.bits != 2 && k.bits != 4 && k.bits != 8) return false;
    k.zero = (int64_t)1 << (k.bits - 1);
    uint32_t w = wa__dq_unpack(r, (uint32_t[]){in(r, node, 1), in(r, node, 2), in(r, node, 3), in(r, node, 4)}, &k);
    wa__dc_result(r, node, 0, with_bias(r, times_rows(r, in(r, node, 0), w), in(r, node, 5)));
    return true;
}

static bool matmul_bnb4(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    int64_t dims[2] = {wa__node_int(n, "N", 0), wa__node_int(n, "K", 0)}, limit = (int64_t)1 << 24;
    wa_dq_blocks k = {1, 0, wa__node_int(n, "block_size", 0), 4, 0, wa__node_int(n, "quant_type", 1) ? 2 : 1, 1};
    if (dims[0] < 1 || dims[1] < 1 || dims[0] > limit || dims[1] > limit || !wa__node_int(n, "transB", 1)) return false;
    k.cols = dims[0] * dims[1];
    uint32_t w = wa__dq_unpack(r, (uint32_t[]){in(r, node, 1), in(r, node, 2), WA_NONE, WA_NONE}, &k);
    wa__dc_result(r, node, 0, times_rows(r, in(r, node, 0), wa__dc_reshape(r, w, dims, 2)));
    return true;
}

static uint32_t gather(wa_rw *r, uint32_t x, uint32_t indices, int64_t axis)
{
    if (x == WA_NONE) return WA_NONE;
    uint32_t n = wa__dc_node(r, WA_OP_Gather, (uint32_t[]){x, indices}, 2, 1);
    return n != WA_NONE && wa__rw_need(r, wa__node_set_int(r->g, n, "axis", axis)) ? wa__dc_out(r, n, 0) : WA_NONE;
}

/* data, indices, scales, zero points: rows are gathered as codes, then become numbers. */
static bool gather_blocks(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    const wa_tensor_type t = *wa__rw_t(r, in(r, node, 0));
    int64_t bits = wa__node_int(n, "bits", 4), block = wa__node_int(n, "block_size", 128), axis = wa__node_int(n, "gather_axis", 0),
            along = wa__node_int(n, "quantize_axis", 1);
    uint32_t indices = in(r, node, 1), more = wa__rw_t(r, indices)->rank;
    if (axis < 0) axis += t.rank;
    if (along < 0) along += t.rank;
    if (axis < 0 || along < 0 || axis >= (int64_t)t.rank || along >= (int64_t)t.rank || axis == along || (bits != 4 && bits != 8)) return false;
    if (t.dtype == WA_U8 && along != (int64_t)t.rank - 1) return false;
    uint32_t x = gather(r, in(r, node, 0), indices, axis), scale = gather(r, in(r, node, 2), indices, axis), zero = gather(r, in(r, node, 3), indices, axis);
    if (r->status != WA_OK) return true;
    if (t.dtype != WA_U8) {
        uint32_t d = wa__dc_node(r, WA_OP_DequantizeLinear, (uint32_t[]){x, scale, zero}, zero == WA_NONE ? 2 : 3, 1);
        bool ok = d != WA_NONE && wa__node_set_int(r->g, d, "axis", along > axis ? along + more - 1 : along) && wa__node_set_int(r->g, d, "block_size", block);
        if (wa__rw_need(r, ok)) wa__dc_result(r, node, 0, wa__dc_out(r, d, 0));
        return true;
    }
    wa_tensor_type o = *wa__rw_t(r, x);
    int64_t bytes = o.dims[o.rank - 1], rows = bytes ? wa__count(&o) / bytes : 0;
    wa_dq_blocks k = {rows, bytes * 8 / bits, block, bits, (int64_t)1 << (bits - 1), 0, 0};
    if (rows < 1) return false;
    o.dims[o.rank - 1] = k.cols;
    wa__dc_result(r, node, 0, wa__dc_reshape(r, wa__dq_unpack(r, (uint32_t[]){x, scale, zero, WA_NONE}, &k), o.dims, o.rank));
    return true;
}

const wa_decompose_row wa__decompose_quant_ms[] = {
    {WA_OP_MsQuantizeLinear, same_linear}, {WA_OP_MsDequantizeLinear, same_linear}, {WA_OP_QLinearAdd, pair}, {WA_OP_QLinearMul, pair},
    {WA_OP_QLinearSigmoid, sigmoid}, {WA_OP_QLinearLeakyRelu, leaky_relu}, {WA_OP_QLinearSoftmax, softmax},
    {WA_OP_QLinearGlobalAveragePool, global_average}, {WA_OP_QLinearAveragePool, average}, {WA_OP_QLinearConcat, concat},
    {WA_OP_MatMulIntegerToFloat, integer_to_float}, {WA_OP_DynamicQuantizeMatMul, dynamic_matmul}, {WA_OP_QGemm, gemm},
    {WA_OP_QAttention, attention}, {WA_OP_MatMulNBits, matmul_bits}, {WA_OP_MatMulBnb4, matmul_bnb4},
    {WA_OP_GatherBlockQuantized, gather_blocks},
    {WA_OP_NONE, NULL},
};
