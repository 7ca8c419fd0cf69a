/* WebNN rows: products, softmax, normalisation, reductions, arg reductions, scans. */
#include "plan/plan_nn_int.h"
#include <math.h>

static bool floats(wa_plan_builder *b, const wa_node *n, uint32_t i)
{
    bool ok = !wa__nn_has(n, i) || wa__plan_nn_dtype(b, wa__nn_of(b, n->inputs[i])->dtype) == WA_F32;
    if (!ok) wa__nn_refuse(b, "WebNN computes it in floats only");
    return ok;
}

/* --- how large integers get ------------------------------------------------------------------------------ */
static double bound_at(const wa_plan_builder *b, uint32_t value, unsigned depth);

/* A chain of casts, sums and differences, step by step. */
static double chain_bound(const wa_plan_builder *b, const wa_node *n, unsigned depth)
{
    enum { PLACES_MAX = 40 };
    const wa_attr *code = wa__attr_find(n->attrs, n->attr_count, "code"), *imm = wa__attr_find(n->attrs, n->attr_count, "imm");
    double most[PLACES_MAX];
    uint32_t steps = code ? code->count / WA_EW_WORDS : 0, count = n->input_count;
    if (!steps || count + steps > PLACES_MAX) return 0;
    for (uint32_t i = 0; i < count; i++)
        if ((most[i] = bound_at(b, n->inputs[i], depth)) <= 0) return 0;
    for (uint32_t s = 0; s < steps; s++) {
        const int64_t *w = code->ints + (size_t)s * WA_EW_WORDS;
        double sum = 0;
        if (w[0] != WA_OP_Cast && w[0] != WA_OP_Sub && w[0] != WA_OP_Add) return 0;
        for (uint32_t k = 1; k < 3; k++) {
            if (w[k] == WA_EW_ABSENT) continue;
            if (w[k] >= (int64_t)(count + s) || (w[k] < 0 && (!imm || -1 - w[k] >= (int64_t)imm->count))) return 0;
            sum += w[k] >= 0 ? most[w[k]] : fabs((double)imm->floats[-1 - w[k]]);
        }
        most[count + s] = sum;
    }
    return most[count + steps - 1];
}

static double bound_at(const wa_plan_builder *b, uint32_t value, unsigned depth)
{
    const wa_value *v = &b->g->values[value];
    wa_dtype d = v->type.dtype;
    if (d == WA_U8) return 255;
    if (d == WA_I8) return 128;
    if (d == WA_BOOL) return 1;
    if (v->kind == WA_VALUE_CONST && wa__count(&v->type) <= 1 << 20) {
        wa_view view = {v->type, (void *)(uintptr_t)v->data};
        double most = 1;
        for (int64_t i = 0; i < wa__count(&v->type) && wa__dtype_size(d); i++) most = fmax(most, fabs(wa__get_f64(&view, i)));
        return wa__dtype_size(d) ? most : 0;
    }
    if (v->kind != WA_VALUE_NODE || v->producer == WA_NONE || depth == 0) return 0;
    const wa_node *n = &b->g->nodes[v->producer];
    double x, y;
    switch (n->op) {
    case WA_OP_Elementwise: return chain_bound(b, n, depth - 1);
    case WA_OP_Cast: case WA_OP_Reshape: case WA_OP_Transpose: case WA_OP_Unsqueeze: case WA_OP_Squeeze: case WA_OP_Slice: case WA_OP_Identity: case WA_OP_Expand:
        return wa__dtype_is_float(b->g->values[n->inputs[0]].type.dtype) ? 0 : bound_at(b, n->inputs[0], depth - 1);
    case WA_OP_Sub: case WA_OP_Add:
        x = bound_at(b, n->inputs[0], depth - 1), y = bound_at(b, n->inputs[1], depth - 1);
        return x > 0 && y > 0 ? x + y : 0;
    default: return 0;
    }
}

double wa__nn_bound(const wa_plan_builder *b, uint32_t value) { return bound_at(b, value, 8); }

/* Operand i for a product of sums of `terms`: integers as floats, where every sum is exact in 24 bits. */
static bool product_operands(wa_plan_builder *b, const wa_node *n, int64_t terms, wa_nn *x, wa_nn *y)
{
    *x = wa__nn_input(b, n, 0);
    *y = wa__nn_input(b, n, 1);
    if (wa__nn_off(b)) return false;
    if (wa__nn_type(b, *x).dtype == WA_F32) return true;
    double p = wa__nn_bound(b, n->inputs[0]), q = wa__nn_bound(b, n->inputs[1]);
    if (p <= 0 || q <= 0 || p * q * (double)terms > 16777216) wa__nn_refuse(b, "WebNN has no products of integers, and these sums may not be exact in its floats");
    *x = wa__nn_cast(b, *x, WA_F32);
    *y = wa__nn_cast(b, *y, WA_F32);
    return !wa__nn_off(b);
}

/* --- products ---------------------------------------------------------------------------------------- */
static void matmul(wa_plan_builder *b, const wa_node *n)
{
    const wa_tensor_type *first = wa__nn_of(b, n->inputs[0]);
    bool real = wa__dtype_is_float(first->dtype);
    wa_nn x, y;
    if (!product_operands(b, n, first->rank ? first->dims[first->rank - 1] : 1, &x, &y)) return;
    wa_tensor_type s = wa__nn_type(b, x), t = wa__nn_type(b, y);
    if (s.rank == 1) x = wa__nn_reshape(b, x, 2, (int64_t[]){1, s.dims[0]});
    if (t.rank == 1) y = wa__nn_reshape(b, y, 2, (int64_t[]){t.dims[0], 1});
    wa_nn z = wa__nn_matmul(b, x, y);
    wa__nn_output(b, n, 0, real ? z : wa__nn_cast(b, z, WA_I32));
}

/* x [.., k] times the rows of y [n,k]: gemm reads them as they lie, where a transpose of a constant is done again at
 * every run (LiteRT). */
static wa_nn by_rows(wa_plan_builder *b, wa_nn x, wa_nn y)
{
    if (wa__nn_off(b)) return WA_NONE;
    wa_tensor_type s = wa__nn_type(b, x), t = wa__nn_type(b, y), o = s;
    if (t.rank < 2) return wa__nn_matmul(b, x, y);
    if (t.rank != 2 || s.rank < 2 || s.dims[s.rank - 1] != t.dims[1] || !wa__nn_takes(b, WA_NN_gemm, 0, s.dtype)) return wa__nn_matmul(b, x, wa__nn_swap(b, y, t.rank - 2, t.rank - 1));
    int64_t rows = 1;
    for (uint32_t i = 0; i + 1 < s.rank; i++) rows *= s.dims[i];
    wa_tensor_type flat = {s.dtype, 2, {rows, t.dims[0]}};
    if (s.rank > 2) x = wa__nn_reshape(b, x, 2, (int64_t[]){rows, t.dims[1]});
    wa__nn_set_int(b, "bTranspose", 1);
    wa_nn z = wa__nn_call(b, WA_NN_gemm, (wa_nn[]){x, y}, 2, &flat);
    o.dims[s.rank - 1] = t.dims[0];
    return s.rank > 2 ? wa__nn_reshape(b, z, o.rank, o.dims) : z;
}

static void gemm(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0), y = wa__nn_input(b, n, 1);
    if (!floats(b, n, 0)) return;
    if (wa__node_int(n, "transA", 0)) x = wa__nn_swap(b, x, 0, 1);
    wa_nn z = wa__nn_scaled(b, wa__node_int(n, "transB", 0) ? by_rows(b, x, y) : wa__nn_matmul(b, x, y), (double)wa__node_float(n, "alpha", 1));
    if (wa__nn_has(n, 2)) z = wa__nn_bin(b, WA_NN_add, z, wa__nn_scaled(b, wa__nn_input(b, n, 2), (double)wa__node_float(n, "beta", 1)));
    wa__nn_output(b, n, 0, z);
}

static void matmul_fused(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0), y = wa__nn_input(b, n, 1);
    if (!floats(b, n, 0) || wa__nn_off(b)) return;
    wa_nn z = wa__nn_scaled(b, wa__node_int(n, "transB", 0) ? by_rows(b, x, y) : wa__nn_matmul(b, x, y), (double)wa__node_float(n, "alpha", 1));
    if (wa__nn_has(n, 2)) z = wa__nn_bin(b, WA_NN_add, z, wa__nn_input(b, n, 2));
    z = wa__nn_act(b, z, (uint32_t)wa__node_int(n, "act", 0));
    if (wa__nn_has(n, 3)) z = wa__nn_bin(b, WA_NN_add, z, wa__nn_input(b, n, 3));
    wa__nn_output(b, n, 0, z);
}

/* Products of integers: in floats, exact while every sum stays under 2^24. */
static wa_nn centred(wa_plan_builder *b, const wa_node *n, uint32_t i, uint32_t zero, bool columns)
{
    wa_nn x = wa__nn_cast(b, wa__nn_input(b, n, i), WA_F32);
    if (!wa__nn_has(n, zero)) return x;
    wa_nn z = wa__nn_cast(b, wa__nn_input(b, n, zero), WA_F32);
    wa_tensor_type t = wa__nn_type(b, z);
    if (!wa__nn_off(b) && t.rank == 1 && t.dims[0] > 1 && !columns) z = wa__nn_reshape(b, z, 2, (int64_t[]){t.dims[0], 1});
    return wa__nn_bin(b, WA_NN_sub, x, z);
}

static void matmul_integer(wa_plan_builder *b, const wa_node *n)
{
    const wa_tensor_type *s = wa__nn_of(b, n->inputs[0]);
    if (s->rank == 0 || s->dims[s->rank - 1] > 256) {
        wa__nn_refuse(b, "WebNN has no products of integers, and sums this long are not exact in its floats");
        return;
    }
    wa_nn x = centred(b, n, 0, 2, false), y = centred(b, n, 1, 3, true);
    if (wa__nn_off(b)) return;
    wa_tensor_type a = wa__nn_type(b, x), c = wa__nn_type(b, y);
    if (a.rank == 1) x = wa__nn_reshape(b, x, 2, (int64_t[]){1, a.dims[0]});
    if (c.rank == 1) y = wa__nn_reshape(b, y, 2, (int64_t[]){c.dims[0], 1});
    wa__nn_output(b, n, 0, wa__nn_cast(b, wa__nn_matmul(b, x, y), WA_I32));
}

/* --- softmax ------------------------------------------------------------------------------------------- */
static void softmax(wa_plan_builder *b, const wa_node *n)
{
    wa__nn_follow_order(b, n);
    wa_nn x = wa__nn_input(b, n, 0);
    if (!floats(b, n, 0) || wa__nn_off(b)) return;
    wa_tensor_type t = wa__nn_type(b, x);
    uint32_t axis;
    if (t.rank == 0) {
        wa__nn_output(b, n, 0, wa__nn_fill(b, WA_F32, 0, NULL, n->op == WA_OP_Softmax ? 1 : 0));
        return;
    }
    if (!wa__nn_axis(b, wa__node_int(n, "axis", -1), t.rank, &axis)) return;
    axis = wa__nn_place(b, axis);
    if (n->op == WA_OP_Softmax) {
        wa__nn_output(b, n, 0, wa__nn_softmax(b, x, axis));
        return;
    }
    wa_nn c = wa__nn_bin(b, WA_NN_sub, x, wa__nn_reduce(b, WA_NN_reduceMax, x, 1u << axis, true));
    wa_nn sum = wa__nn_reduce(b, WA_NN_reduceSum, wa__nn_un(b, WA_NN_exp, c), 1u << axis, true);
    wa__nn_output(b, n, 0, wa__nn_bin(b, WA_NN_sub, c, wa__nn_un(b, WA_NN_log, sum)));
}

/* 1 at the first largest element of the axis. */
static void hardmax(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0);
    if (wa__nn_off(b)) return;
    wa_tensor_type t = wa__nn_type(b, x);
    uint32_t axis;
    if (t.rank == 0 || !wa__nn_axis(b, wa__node_int(n, "axis", -1), t.rank, &axis)) {
        wa__nn_refuse(b, "a hardmax of rank 0");
        return;
    }
    wa_nn top = wa__nn_arg(b, WA_NN_argMax, x, axis), places = wa__nn_iota(b, WA_I32, t.dims[axis], 0, 1);
    int64_t dims[WA_RANK_MAX];
    for (uint32_t i = 0; i < t.rank; i++) dims[i] = i == axis ? t.dims[axis] : 1;
    wa__nn_output(b, n, 0, wa__nn_cast(b, wa__nn_bin(b, WA_NN_equal, top, wa__nn_reshape(b, places, t.rank, dims)), t.dtype));
}

/* --- normalisation --------------------------------------------------------------------------------------- */
static void layer_norm(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0);
    if (!floats(b, n, 0) || wa__nn_off(b)) return;
    wa_tensor_type t = wa__nn_type(b, x), w = {WA_F32, 0, {0}};
    uint32_t axis;
    if (!wa__nn_axis(b, wa__node_int(n, "axis", -1), t.rank, &axis)) return;
    for (uint32_t i = axis; i < t.rank; i++) w.dims[w.rank++] = t.dims[i];
    double epsilon = (double)wa__node_float(n, "epsilon", 1e-5f);
    wa_nn scale = wa__nn_has(n, 1) ? wa__nn_input(b, n, 1) : WA_NONE, bias = wa__nn_has(n, 2) ? wa__nn_input(b, n, 2) : WA_NONE;
    bool more = (wa__nn_wants(n, 1) && wa__graph_uses(b->g, n->outputs[1])) || (wa__nn_wants(n, 2) && wa__graph_uses(b->g, n->outputs[2]));
    bool fits = (scale == WA_NONE || wa__count(wa__nn_of(b, n->inputs[1])) == wa__count(&w)) && (bias == WA_NONE || wa__count(wa__nn_of(b, n->inputs[2])) == wa__count(&w));
    if (!more && fits && wa__nn_rank_ok(b, WA_NN_layerNormalization, 0, t.rank)) {
        if (scale != WA_NONE) scale = wa__nn_like(b, scale, &w);
        if (bias != WA_NONE) bias = wa__nn_like(b, bias, &w);
        wa__nn_output(b, n, 0, wa__nn_layernorm(b, x, scale, bias, axis, epsilon));
        return;
    }
    uint32_t mask = 0;
    for (uint32_t i = axis; i < t.rank; i++) mask |= 1u << i;
    wa_nn mean = wa__nn_reduce(b, WA_NN_reduceMean, x, mask, true), c = wa__nn_bin(b, WA_NN_sub, x, mean);
    wa_nn variance = wa__nn_reduce(b, WA_NN_reduceMean, wa__nn_bin(b, WA_NN_mul, c, c), mask, true);
    wa_nn inverse = wa__nn_un(b, WA_NN_reciprocal, wa__nn_un(b, WA_NN_sqrt, wa__nn_plus(b, variance, epsilon)));
    wa_nn y = wa__nn_bin(b, WA_NN_mul, c, inverse);
    if (scale != WA_NONE) y = wa__nn_bin(b, WA_NN_mul, y, scale);
    if (bias != WA_NONE) y = wa__nn_bin(b, WA_NN_add, y, bias);
    wa__nn_output(b, n, 0, y);
    if (wa__nn_wants(n, 1)) wa__nn_output(b, n, 1, mean);
    if (wa__nn_wants(n, 2)) wa__nn_output(b, n, 2, inverse);
}

static void rms_norm(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0);
    if (!floats(b, n, 0) || wa__nn_off(b)) return;
    wa_tensor_type t = wa__nn_type(b, x);
    uint32_t axis, mask = 0;
    if (!wa__nn_axis(b, wa__node_int(n, "axis", -1), t.rank, &axis)) return;
    for (uint32_t i = axis; i < t.rank; i++) mask |= 1u << i;
    wa_nn square = wa__nn_reduce(b, WA_NN_reduceMean, wa__nn_bin(b, WA_NN_mul, x, x), mask, true);
    wa_nn inverse = wa__nn_un(b, WA_NN_reciprocal, wa__nn_un(b, WA_NN_sqrt, wa__nn_plus(b, square, (double)wa__node_float(n, "epsilon", 1e-5f))));
    wa_nn y = wa__nn_bin(b, WA_NN_mul, x, inverse);
    if (wa__nn_has(n, 1)) y = wa__nn_bin(b, WA_NN_mul, y, wa__nn_input(b, n, 1));
    wa__nn_output(b, n, 0, y);
}

/* --- reductions -------------------------------------------------------------------------------------------- */
static bool reduce_mask(wa_plan_builder *b, const wa_node *n, uint32_t rank, uint32_t *mask)
{
    int64_t axes[WA_RANK_MAX * 2];
    uint32_t count = 0;
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, "axes");
    *mask = 0;
    if (wa__nn_has(n, 1)) {
        if (!wa__graph_const_ints(b->g, n->inputs[1], axes, WA_RANK_MAX * 2, &count)) {
            wa__nn_refuse(b, "its axes must be constant for WebNN");
            return false;
        }
    } else if (a && a->count <= WA_RANK_MAX) {
        for (count = 0; count < a->count; count++) axes[count] = a->ints[count];
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t axis;
        if (!wa__nn_axis(b, axes[i], rank, &axis)) return false;
        *mask |= 1u << axis;
    }
    if (!count && !wa__node_int(n, "noop_with_empty_axes", 0)) *mask = (1u << rank) - 1;
    return true;
}

static wa_nn reduced(wa_plan_builder *b, wa_op op, wa_nn x, uint32_t mask, bool keep, wa_dtype d)
{
    bool real = wa__dtype_is_float(d);
    switch (op) {
    case WA_OP_ReduceSum: return wa__nn_reduce(b, WA_NN_reduceSum, x, mask, keep);
    case WA_OP_ReduceMax: return wa__nn_reduce(b, WA_NN_reduceMax, x, mask, keep);
    case WA_OP_ReduceMin: return wa__nn_reduce(b, WA_NN_reduceMin, x, mask, keep);
    case WA_OP_ReduceProd: return wa__nn_reduce(b, WA_NN_reduceProduct, x, mask, keep);
    case WA_OP_ReduceL1: return wa__nn_reduce(b, WA_NN_reduceSum, wa__nn_un(b, WA_NN_abs, x), mask, keep);
    case WA_OP_ReduceSumSquare: return wa__nn_reduce(b, WA_NN_reduceSum, wa__nn_bin(b, WA_NN_mul, x, x), mask, keep);
    case WA_OP_ReduceMean:
        if (real) return wa__nn_reduce(b, WA_NN_reduceMean, x, mask, keep);
        break;
    case WA_OP_ReduceL2:
        if (!real) x = wa__nn_cast(b, x, WA_F32);
        return wa__nn_un(b, WA_NN_sqrt, wa__nn_reduce(b, WA_NN_reduceSum, wa__nn_bin(b, WA_NN_mul, x, x), mask, keep));
    case WA_OP_ReduceLogSum:
        return wa__nn_un(b, WA_NN_log, wa__nn_reduce(b, WA_NN_reduceSum, wa__nn_cast(b, x, WA_F32), mask, keep));
    case WA_OP_ReduceLogSumExp: {
        x = wa__nn_cast(b, x, WA_F32);
        wa_nn top = wa__nn_reduce(b, WA_NN_reduceMax, x, mask, true);
        wa_nn sum = wa__nn_reduce(b, WA_NN_reduceSum, wa__nn_un(b, WA_NN_exp, wa__nn_bin(b, WA_NN_sub, x, top)), mask, true);
        wa_nn y = wa__nn_bin(b, WA_NN_add, wa__nn_un(b, WA_NN_log, sum), top);
        return y;
    }
    default: break;
    }
    wa__nn_refuse(b, "WebNN has no mean of integers");
    return WA_NONE;
}

/* Whether what a reduction of [N,C,H,W] without these axes leaves lies the same way when it is made of [N,H,W,C]. */
static bool leaves_order(uint32_t mask) { return (mask & 0xcu) == 0xcu || mask >> 1 & 1; }

static void reduce(wa_plan_builder *b, const wa_node *n)
{
    uint32_t mask;
    wa_tensor_type t = *wa__nn_of(b, n->inputs[0]), o;
    if (wa__nn_off(b) || !reduce_mask(b, n, t.rank, &mask)) return;
    if (mask) wa__nn_follow_order(b, n);
    o = wa__nn_ordered(b, wa__nn_of(b, n->outputs[0]));
    bool short_nhwc = t.rank == 4 && o.rank < 4 && mask && leaves_order(mask) && wa__nn_held_nhwc(b, n->inputs[0]);
    wa_nn x = short_nhwc ? wa__nn_in_nhwc(b, n->inputs[0]) : wa__nn_input(b, n, 0);
    if (short_nhwc) b->nn.in_nhwc = true; /* for the axes; its result has too few to be held so */
    mask = wa__nn_place_mask(b, mask);
    t = wa__nn_type(b, x);
    if (wa__nn_off(b)) return;
    if (!mask) { /* nothing is summed; what is done to each element still is */
        t.rank++;
        t.dims[t.rank - 1] = 1;
        if (t.rank > WA_RANK_MAX) wa__nn_refuse(b, "a reduction of rank 8 over nothing");
        if (wa__nn_off(b)) return;
        x = wa__nn_like(b, x, &t);
        mask = 1u << (t.rank - 1);
    }
    wa__nn_output(b, n, 0, wa__nn_like(b, reduced(b, n->op, x, mask, wa__node_int(n, "keepdims", 1) != 0, wa__nn_of(b, n->inputs[0])->dtype), &o));
}

static void arg(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0);
    wa_tensor_type t = wa__nn_type(b, x);
    uint32_t axis;
    wa_nn_op op = n->op == WA_OP_ArgMax ? WA_NN_argMax : WA_NN_argMin;
    if (wa__nn_off(b) || !wa__nn_axis(b, wa__node_int(n, "axis", 0), t.rank, &axis)) return;
    bool last = wa__node_int(n, "select_last_index", 0) != 0;
    if (!wa__nn_takes(b, op, 0, t.dtype) && t.dtype == WA_I64) x = wa__nn_cast(b, x, WA_I32);
    if (last) x = wa__nn_reverse(b, x, 1u << axis);
    wa_nn y = wa__nn_arg(b, op, x, axis);
    if (last) y = wa__nn_bin(b, WA_NN_sub, wa__nn_scalar(b, WA_I32, (double)(t.dims[axis] - 1)), y);
    wa__nn_output(b, n, 0, wa__nn_like(b, y, wa__nn_of(b, n->outputs[0])));
}

static void scan_sum(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0);
    wa_tensor_type t = wa__nn_type(b, x);
    double v;
    uint32_t axis;
    if (wa__nn_off(b) || !wa__nn_number(b, n, 1, &v) || !wa__nn_axis(b, (int64_t)v, t.rank, &axis)) return;
    int64_t dims[3] = {1, t.dims[axis], 1};
    for (uint32_t i = 0; i < t.rank; i++) dims[i < axis ? 0 : 2] *= i == axis ? 1 : t.dims[i];
    x = wa__nn_reshape(b, x, 3, dims);
    wa__nn_set_int(b, "axis", 1);
    wa__nn_set_int(b, "exclusive", wa__node_int(n, "exclusive", 0));
    wa__nn_set_int(b, "reversed", wa__node_int(n, "reverse", 0));
    wa__nn_output(b, n, 0, wa__nn_like(b, wa__nn_un(b, WA_NN_cumulativeSum, x), &t));
}

const wa_nn_row wa__nn_math_rows[] = {
    {WA_OP_MatMul, matmul}, {WA_OP_Gemm, gemm}, {WA_OP_FusedMatMul, matmul_fused}, {WA_OP_MatMulInteger, matmul_integer},
    {WA_OP_Softmax, softmax}, {WA_OP_LogSoftmax, softmax}, {WA_OP_Hardmax, hardmax}, {WA_OP_LayerNormalization, layer_norm},
    {WA_OP_RMSNormalization, rms_norm}, {WA_OP_SimplifiedLayerNormalization, rms_norm},
    {WA_OP_ReduceSum, reduce}, {WA_OP_ReduceMean, reduce}, {WA_OP_ReduceMax, reduce}, {WA_OP_ReduceMin, reduce},
    {WA_OP_ReduceProd, reduce}, {WA_OP_ReduceL1, reduce}, {WA_OP_ReduceL2, reduce}, {WA_OP_ReduceSumSquare, reduce},
    {WA_OP_ReduceLogSum, reduce}, {WA_OP_ReduceLogSumExp, reduce}, {WA_OP_ArgMax, arg}, {WA_OP_ArgMin, arg}, {WA_OP_CumSum, scan_sum},
    {WA_OP_NONE, NULL},
};
