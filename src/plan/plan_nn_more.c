/* WebNN rows: recurrences step by step, quantisation, and what fits nowhere else. */
#include "plan/plan_nn_int.h"

/* --- recurrences ----------------------------------------------------------------------------------------------- */
enum { KIND_RNN, KIND_GRU, KIND_LSTM };
/* Operator Recurrence's activations, see schema/ops.json and kernels/recurrence.h. */
enum { ACT_RELU, ACT_TANH, ACT_SIGMOID, ACT_AFFINE, ACT_LEAKY, ACT_THRESHOLDED, ACT_SCALED_TANH, ACT_HARD_SIGMOID, ACT_ELU, ACT_SOFTSIGN, ACT_SOFTPLUS };

typedef struct cell {
    wa_plan_builder *b;
    int64_t kind, gates, hidden, batch, steps, acts, way;
    const wa_attr *fn, *alphas, *betas;
    double clip;
    bool reset_after, input_forget;
} cell;

static wa_nn bin(const cell *c, wa_nn_op op, wa_nn x, wa_nn y) { return wa__nn_bin(c->b, op, x, y); }

static wa_nn act(const cell *c, int64_t direction, uint32_t which, wa_nn x)
{
    uint32_t i = (uint32_t)direction * (uint32_t)c->acts + which;
    double alpha = (double)c->alphas->floats[i], beta = (double)c->betas->floats[i];
    wa_plan_builder *b = c->b;
    wa_nn y[3] = {x, wa__nn_scalar(b, WA_F32, alpha), wa__nn_scalar(b, WA_F32, beta)};
    if (c->clip > 0) {
        wa__nn_set_float(b, "minValue", -c->clip);
        wa__nn_set_float(b, "maxValue", c->clip);
        y[0] = x = wa__nn_un(b, WA_NN_clamp, x);
    }
    switch (c->fn->ints[i]) {
    case ACT_RELU: return wa__nn_un(b, WA_NN_relu, x);
    case ACT_TANH: return wa__nn_un(b, WA_NN_tanh, x);
    case ACT_SIGMOID: return wa__nn_un(b, WA_NN_sigmoid, x);
    case ACT_AFFINE: return wa__nn_plus(b, wa__nn_scaled(b, x, alpha), beta);
    case ACT_LEAKY: return wa__nn_apply(b, WA_OP_LeakyRelu, y, WA_F32, WA_F32);
    case ACT_THRESHOLDED: return wa__nn_apply(b, WA_OP_ThresholdedRelu, y, WA_F32, WA_F32);
    case ACT_SCALED_TANH: return wa__nn_scaled(b, wa__nn_un(b, WA_NN_tanh, wa__nn_scaled(b, x, beta)), alpha);
    case ACT_HARD_SIGMOID: return wa__nn_apply(b, WA_OP_HardSigmoid, y, WA_F32, WA_F32);
    case ACT_ELU: return wa__nn_apply(b, WA_OP_Elu, y, WA_F32, WA_F32);
    case ACT_SOFTSIGN: return wa__nn_un(b, WA_NN_softsign, x);
    case ACT_SOFTPLUS: return wa__nn_un(b, WA_NN_softplus, x);
    default: wa__nn_refuse(b, "an activation that is not known"); return WA_NONE;
    }
}

static wa_nn gate(const cell *c, wa_nn x, int64_t k) { return wa__nn_part(c->b, x, 1, k * c->hidden, c->hidden); }

/* g: [b,G*H] of the projected input; r [H,G*H]; extra [1,H or 3*H] or NONE. h and s (LSTM's cell) are moved on. */
static void advance(const cell *c, int64_t d, wa_nn g, wa_nn r, wa_nn extra, wa_nn *h, wa_nn *s)
{
    wa_plan_builder *b = c->b;
    if (c->kind == KIND_RNN) {
        *h = act(c, d, 0, bin(c, WA_NN_add, g, wa__nn_matmul(b, *h, r)));
        return;
    }
    if (c->kind == KIND_GRU) {
        wa_nn product = wa__nn_matmul(b, *h, c->reset_after ? r : wa__nn_part(b, r, 1, 0, 2 * c->hidden));
        wa_nn z = act(c, d, 0, bin(c, WA_NN_add, gate(c, g, 0), gate(c, product, 0))), reset = act(c, d, 0, bin(c, WA_NN_add, gate(c, g, 1), gate(c, product, 1)));
        wa_nn hidden;
        if (c->reset_after) {
            hidden = gate(c, product, 2);
            if (extra != WA_NONE) hidden = bin(c, WA_NN_add, hidden, extra);
            hidden = bin(c, WA_NN_mul, reset, hidden);
        } else {
            hidden = wa__nn_matmul(b, bin(c, WA_NN_mul, reset, *h), wa__nn_part(b, r, 1, 2 * c->hidden, c->hidden));
        }
        wa_nn n = act(c, d, 1, bin(c, WA_NN_add, gate(c, g, 2), hidden));
        *h = bin(c, WA_NN_add, n, bin(c, WA_NN_mul, z, bin(c, WA_NN_sub, *h, n)));
        return;
    }
    wa_nn sum = bin(c, WA_NN_add, g, wa__nn_matmul(b, *h, r)), x[4], peep[3] = {WA_NONE, WA_NONE, WA_NONE};
    for (int64_t k = 0; k < 4; k++) x[k] = gate(c, sum, k); /* i o f c */
    for (int64_t k = 0; k < 3 && extra != WA_NONE; k++) peep[k] = gate(c, extra, k); /* i o f */
    if (peep[0] != WA_NONE) x[0] = bin(c, WA_NN_add, x[0], bin(c, WA_NN_mul, peep[0], *s));
    if (peep[2] != WA_NONE) x[2] = bin(c, WA_NN_add, x[2], bin(c, WA_NN_mul, peep[2], *s));
    wa_nn i = act(c, d, 0, x[0]), f = c->input_forget ? wa__nn_plus(b, wa__nn_un(b, WA_NN_neg, i), 1) : act(c, d, 0, x[2]);
    *s = bin(c, WA_NN_add, bin(c, WA_NN_mul, f, *s), bin(c, WA_NN_mul, i, act(c, d, 1, x[3])));
    if (peep[1] != WA_NONE) x[1] = bin(c, WA_NN_add, x[1], bin(c, WA_NN_mul, peep[1], *s));
    *h = bin(c, WA_NN_mul, act(c, d, 0, x[1]), act(c, d, 2, *s));
}

enum { STEPS_MAX = 128 };
/* One direction: y [s,1,b,H], last [1,b,width]. */
static void sequence(const cell *c, const wa_node *n, int64_t d, wa_nn *y, wa_nn *last)
{
    wa_plan_builder *b = c->b;
    int64_t gh = c->gates * c->hidden, width = c->hidden * (c->kind == KIND_LSTM ? 2 : 1);
    wa_nn xw = wa__nn_part(b, wa__nn_input(b, n, 0), 2, d * gh, gh), outs[STEPS_MAX];
    wa_nn r = wa__nn_reshape(b, wa__nn_part(b, wa__nn_input(b, n, 1), 0, d, 1), 2, (int64_t[]){c->hidden, gh});
    wa_nn extra = wa__nn_has(n, 2) ? wa__nn_part(b, wa__nn_input(b, n, 2), 0, d, 1) : WA_NONE;
    wa_nn lens = wa__nn_has(n, 3) ? wa__nn_reshape(b, wa__nn_cast(b, wa__nn_input(b, n, 3), WA_I32), 2, (int64_t[]){c->batch, 1}) : WA_NONE;
    wa_nn h, s = WA_NONE, zero = wa__nn_fill(b, WA_F32, 2, (int64_t[]){c->batch, c->hidden}, 0);
    if (wa__nn_has(n, 4)) {
        wa_nn state = wa__nn_reshape(b, wa__nn_part(b, wa__nn_input(b, n, 4), 0, d, 1), 2, (int64_t[]){c->batch, width});
        h = wa__nn_part(b, state, 1, 0, c->hidden);
        if (c->kind == KIND_LSTM) s = wa__nn_part(b, state, 1, c->hidden, c->hidden);
    } else {
        h = zero;
        if (c->kind == KIND_LSTM) s = zero;
    }
    bool backwards = c->way == 1 || (c->way == 2 && d == 1);
    for (int64_t k = 0; k < c->steps && !wa__nn_off(b); k++) {
        int64_t t = backwards ? c->steps - 1 - k : k;
        wa_nn g = wa__nn_reshape(b, wa__nn_part(b, xw, 0, t, 1), 2, (int64_t[]){c->batch, gh}), was = h, held = s;
        advance(c, d, g, r, extra, &h, &s);
        outs[t] = h;
        if (lens != WA_NONE) { /* what lies behind a sequence's end changes nothing and gives 0 */
            wa_nn on = wa__nn_bin(b, WA_NN_greater, lens, wa__nn_scalar(b, WA_I32, (double)t));
            outs[t] = wa__nn_where(b, on, h, wa__nn_scalar(b, WA_F32, 0));
            h = wa__nn_where(b, on, h, was);
            if (s != WA_NONE) s = wa__nn_where(b, on, s, held);
        }
        outs[t] = wa__nn_reshape(b, outs[t], 4, (int64_t[]){1, 1, c->batch, c->hidden});
    }
    *y = wa__nn_concat(b, outs, (uint32_t)c->steps, 0);
    *last = wa__nn_reshape(b, c->kind == KIND_LSTM ? wa__nn_concat(b, (wa_nn[]){h, s}, 2, 1) : h, 3, (int64_t[]){1, c->batch, width});
}

static void recurrence(wa_plan_builder *b, const wa_node *n)
{
    const wa_tensor_type *x = wa__nn_of(b, n->inputs[0]), *r = wa__nn_of(b, n->inputs[1]);
    cell c = {.b = b, .kind = wa__node_int(n, "kind", 0), .way = wa__node_int(n, "direction", 0), .clip = (double)wa__node_float(n, "clip", 0),
              .reset_after = wa__node_int(n, "linear_before_reset", 0) != 0, .input_forget = wa__node_int(n, "input_forget", 0) != 0,
              .fn = wa__attr_find(n->attrs, n->attr_count, "acts"), .alphas = wa__attr_find(n->attrs, n->attr_count, "alphas"), .betas = wa__attr_find(n->attrs, n->attr_count, "betas")};
    c.gates = c.kind == KIND_RNN ? 1 : c.kind == KIND_GRU ? 3 : 4;
    c.acts = c.kind + 1;
    int64_t dirs = c.way == 2 ? 2 : 1;
    bool known = c.fn && c.alphas && c.betas && c.fn->count == (uint64_t)(dirs * c.acts) && c.alphas->count == c.fn->count && c.betas->count == c.fn->count;
    if (x->rank != 3 || r->rank != 3 || !known || c.kind > KIND_LSTM) wa__nn_refuse(b, "a recurrence of this form");
    else if (x->dims[0] > STEPS_MAX) wa__nn_refuse(b, "%lld steps are too many to lay out one after the other (at most %d)", (long long)x->dims[0], STEPS_MAX);
    if (wa__nn_off(b)) return;
    c.steps = x->dims[0], c.batch = x->dims[1], c.hidden = r->dims[1];
    wa_nn y[2], last[2];
    for (int64_t d = 0; d < dirs; d++) sequence(&c, n, d, &y[d], &last[d]);
    wa__nn_output(b, n, 0, wa__nn_concat(b, y, (uint32_t)dirs, 1));
    wa__nn_output(b, n, 1, wa__nn_concat(b, last, (uint32_t)dirs, 0));
}

/* --- quantisation ---------------------------------------------------------------------------------------------- */
/* Scale or zero point against x: one number, a number of each place of an axis, or a number of each block of it. */
static wa_nn spread_scale(wa_plan_builder *b, const wa_node *n, uint32_t i, const wa_tensor_type *x)
{
    wa_nn s = wa__nn_cast(b, wa__nn_input(b, n, i), WA_F32);
    wa_tensor_type t = wa__nn_type(b, s);
    int64_t dims[WA_RANK_MAX], block = wa__node_int(n, "block_size", 0);
    uint32_t axis;
    if (wa__nn_off(b) || t.rank == 0) return s;
    if (t.rank == 1 && t.dims[0] == 1) return wa__nn_reshape(b, s, 0, NULL);
    if (!wa__nn_axis(b, wa__node_int(n, "axis", 1), x->rank, &axis)) return WA_NONE;
    if (!block) {
        for (uint32_t k = 0; k < x->rank; k++) dims[k] = k == axis ? t.dims[0] : 1;
        return t.rank == 1 ? wa__nn_reshape(b, s, x->rank, dims) : s;
    }
    if (t.rank != x->rank || x->rank >= WA_RANK_MAX) {
        wa__nn_refuse(b, "blocks of this shape");
        return WA_NONE;
    }
    int64_t wide[WA_RANK_MAX], grown[WA_RANK_MAX], full[WA_RANK_MAX];
    for (uint32_t k = 0, q = 0; k < x->rank; k++, q++) {
        wide[q] = grown[q] = full[k] = t.dims[k];
        if (k != axis) continue;
        wide[++q] = 1, grown[q] = block;
        full[k] = t.dims[k] * block;
    }
    s = wa__nn_reshape(b, wa__nn_expand(b, wa__nn_reshape(b, s, x->rank + 1, wide), x->rank + 1, grown), x->rank, full);
    return wa__nn_part(b, s, axis, 0, x->dims[axis]);
}

static bool integer_range(wa_dtype d, double *low, double *high)
{
    switch (d) {
    case WA_I8: *low = -128, *high = 127; return true;
    case WA_U8: *low = 0, *high = 255; return true;
    case WA_I16: *low = -32768, *high = 32767; return true;
    case WA_U16: *low = 0, *high = 65535; return true;
    case WA_I4: *low = -8, *high = 7; return true;
    case WA_U4: *low = 0, *high = 15; return true;
    case WA_I2: *low = -2, *high = 1; return true;
    case WA_U2: *low = 0, *high = 3; return true;
    default: return false;
    }
}

static wa_nn clamped(wa_plan_builder *b, wa_nn x, double low, double high)
{
    wa__nn_set_float(b, "minValue", low);
    wa__nn_set_float(b, "maxValue", high);
    return wa__nn_un(b, WA_NN_clamp, x);
}

static void quantize(wa_plan_builder *b, const wa_node *n)
{
    const wa_tensor_type *t = wa__nn_of(b, n->inputs[0]), *o = wa__nn_of(b, n->outputs[0]);
    double low, high;
    if (!integer_range(o->dtype, &low, &high)) {
        wa__nn_refuse(b, "WebNN quantises to no %s", wa__dtype_info((uint32_t)o->dtype)->name);
        return;
    }
    wa_nn x = wa__nn_un(b, WA_NN_roundEven, wa__nn_bin(b, WA_NN_div, wa__nn_cast(b, wa__nn_input(b, n, 0), WA_F32), spread_scale(b, n, 1, t)));
    if (wa__nn_has(n, 2)) x = wa__nn_bin(b, WA_NN_add, x, spread_scale(b, n, 2, t));
    wa__nn_output(b, n, 0, wa__nn_cast(b, clamped(b, x, low, high), WA_I32));
}

static void dequantize(wa_plan_builder *b, const wa_node *n)
{
    const wa_tensor_type *t = wa__nn_of(b, n->inputs[0]);
    wa_nn x = wa__nn_cast(b, wa__nn_input(b, n, 0), WA_F32);
    if (wa__nn_has(n, 2)) x = wa__nn_bin(b, WA_NN_sub, x, spread_scale(b, n, 2, t));
    wa__nn_output(b, n, 0, wa__nn_bin(b, WA_NN_mul, x, spread_scale(b, n, 1, t)));
}

static void dynamic_quantize(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0), zero = wa__nn_scalar(b, WA_F32, 0);
    uint32_t mask = (1u << wa__nn_of(b, n->inputs[0])->rank) - 1;
    wa_nn high = wa__nn_bin(b, WA_NN_max, wa__nn_reduce(b, WA_NN_reduceMax, x, mask, false), zero), low = wa__nn_bin(b, WA_NN_min, wa__nn_reduce(b, WA_NN_reduceMin, x, mask, false), zero);
    wa_nn scale = wa__nn_bin(b, WA_NN_div, wa__nn_bin(b, WA_NN_sub, high, low), wa__nn_scalar(b, WA_F32, 255));
    wa_nn none = wa__nn_bin(b, WA_NN_equal, scale, zero), by = wa__nn_where(b, none, wa__nn_scalar(b, WA_F32, 1), scale);
    wa_nn point = wa__nn_un(b, WA_NN_roundEven, clamped(b, wa__nn_un(b, WA_NN_neg, wa__nn_bin(b, WA_NN_div, low, by)), 0, 255));
    wa_nn y = clamped(b, wa__nn_bin(b, WA_NN_add, wa__nn_un(b, WA_NN_roundEven, wa__nn_bin(b, WA_NN_div, x, by)), point), 0, 255);
    wa__nn_output(b, n, 0, wa__nn_cast(b, y, WA_I32));
    wa__nn_output(b, n, 1, scale);
    wa__nn_output(b, n, 2, wa__nn_cast(b, point, WA_I32));
}

/* --- others ----------------------------------------------------------------------------------------------------- */
static void eye_like(wa_plan_builder *b, const wa_node *n)
{
    const wa_tensor_type *o = wa__nn_of(b, n->outputs[0]);
    int64_t k = wa__node_int(n, "k", 0);
    if (o->rank != 2) {
        wa__nn_refuse(b, "an identity that is not a matrix");
        return;
    }
    wa_nn rows = wa__nn_reshape(b, wa__nn_iota(b, WA_I32, o->dims[0], k, 1), 2, (int64_t[]){o->dims[0], 1});
    wa_nn columns = wa__nn_reshape(b, wa__nn_iota(b, WA_I32, o->dims[1], 0, 1), 2, (int64_t[]){1, o->dims[1]});
    wa__nn_output(b, n, 0, wa__nn_bin(b, WA_NN_equal, rows, columns));
}

/* Running products of few places: each from the one before. */
static void running_product(wa_plan_builder *b, const wa_node *n)
{
    enum { PLACES_MAX = 64 };
    wa_nn x = wa__nn_input(b, n, 0), out[PLACES_MAX], last = WA_NONE;
    wa_tensor_type t = wa__nn_type(b, x), one;
    double v;
    uint32_t axis;
    if (wa__nn_off(b) || !wa__nn_number(b, n, 1, &v) || !wa__nn_axis(b, (int64_t)v, t.rank, &axis)) return;
    if (t.dims[axis] > PLACES_MAX) wa__nn_refuse(b, "WebNN has no running product, and %lld places are too many one by one", (long long)t.dims[axis]);
    bool exclusive = wa__node_int(n, "exclusive", 0) != 0, reverse = wa__node_int(n, "reverse", 0) != 0;
    one = t;
    one.dims[axis] = 1;
    for (int64_t i = 0; i < t.dims[axis] && !wa__nn_off(b); i++) {
        int64_t k = reverse ? t.dims[axis] - 1 - i : i;
        wa_nn here = wa__nn_part(b, x, axis, k, 1), next = last == WA_NONE ? here : wa__nn_bin(b, WA_NN_mul, last, here);
        out[k] = exclusive ? (last == WA_NONE ? wa__nn_fill(b, t.dtype, one.rank, one.dims, 1) : last) : next;
        last = next;
    }
    wa__nn_output(b, n, 0, wa__nn_concat(b, out, (uint32_t)t.dims[axis], axis));
}

/* Bytes [rows, count] as their codes [rows, count * 8/bits], F32. */
static wa_nn unpacked(wa_plan_builder *b, wa_nn x, int64_t rows, int64_t bits, bool high_first)
{
    int64_t each = 8 / bits, count = wa__nn_off(b) ? 0 : (int64_t)(1 << bits);
    wa_tensor_type t = wa__nn_type(b, x);
    if (wa__nn_off(b)) return WA_NONE;
    int64_t bytes = wa__count(&t) / rows;
    wa_nn rest = wa__nn_reshape(b, wa__nn_cast(b, wa__nn_cast(b, x, WA_I32), WA_F32), 3, (int64_t[]){rows, bytes, 1}), parts[4];
    if (each == 1) return wa__nn_reshape(b, rest, 2, (int64_t[]){rows, bytes});
    for (int64_t i = 0; i < each; i++) {
        wa_nn above = wa__nn_un(b, WA_NN_floor, wa__nn_scaled(b, rest, 1.0 / (double)count));
        parts[high_first ? each - 1 - i : i] = wa__nn_bin(b, WA_NN_sub, rest, wa__nn_scaled(b, above, (double)count));
        rest = above;
    }
    return wa__nn_reshape(b, wa__nn_concat(b, parts, (uint32_t)each, 2), 2, (int64_t[]){rows, bytes * each});
}

static void dequantize_blocks(wa_plan_builder *b, const wa_node *n)
{
    const wa_tensor_type *o = wa__nn_of(b, n->outputs[0]), *s = wa__nn_of(b, n->inputs[1]);
    int64_t bits = wa__node_int(n, "bits", 4), block = wa__node_int(n, "block", 0), rows = wa__node_int(n, "rows", 0), cols = wa__node_int(n, "cols", 0);
    if (rows < 1 || cols < 1 || rows * cols != wa__count(o) || block < 1 || wa__count(s) % rows || wa__node_int(n, "table", 0) || (bits != 2 && bits != 4 && bits != 8)) {
        wa__nn_refuse(b, "blocks of this form");
        return;
    }
    int64_t blocks = wa__count(s) / rows;
    bool high = wa__node_int(n, "high_first", 0) != 0;
    wa_nn codes = unpacked(b, wa__nn_input(b, n, 0), rows, bits, high), scale = wa__nn_reshape(b, wa__nn_cast(b, wa__nn_input(b, n, 1), WA_F32), 2, (int64_t[]){rows, blocks}), zero;
    if (wa__nn_off(b)) return;
    codes = wa__nn_part(b, codes, 1, 0, cols);
    if (!wa__nn_has(n, 2)) zero = wa__nn_scalar(b, WA_F32, (double)wa__node_int(n, "zero", 0));
    else if (wa__dtype_is_float(wa__nn_of(b, n->inputs[2])->dtype)) zero = wa__nn_reshape(b, wa__nn_cast(b, wa__nn_input(b, n, 2), WA_F32), 2, (int64_t[]){rows, blocks});
    else zero = wa__nn_part(b, unpacked(b, wa__nn_input(b, n, 2), rows, bits, high), 1, 0, blocks);
    for (int k = 0; k < 2; k++) {
        wa_nn *v = k ? &zero : &scale;
        if (wa__nn_off(b) || wa__nn_type(b, *v).rank == 0) continue;
        if (wa__nn_has(n, 3)) {
            *v = wa__nn_gather(b, *v, wa__nn_cast(b, wa__nn_input(b, n, 3), WA_I32), 1);
        } else {
            *v = wa__nn_expand(b, wa__nn_reshape(b, *v, 3, (int64_t[]){rows, blocks, 1}), 3, (int64_t[]){rows, blocks, block});
            *v = wa__nn_part(b, wa__nn_reshape(b, *v, 2, (int64_t[]){rows, blocks * block}), 1, 0, cols);
        }
    }
    wa__nn_output(b, n, 0, wa__nn_like(b, wa__nn_bin(b, WA_NN_mul, wa__nn_bin(b, WA_NN_sub, codes, zero), scale), o));
}

const wa_nn_row wa__nn_more_rows[] = {
    {WA_OP_Recurrence, recurrence}, {WA_OP_QuantizeLinear, quantize}, {WA_OP_DequantizeLinear, dequantize}, {WA_OP_MsQuantizeLinear, quantize},
    {WA_OP_MsDequantizeLinear, dequantize}, {WA_OP_DynamicQuantizeLinear, dynamic_quantize}, {WA_OP_EyeLike, eye_like}, {WA_OP_CumProd, running_product},
    {WA_OP_DequantizeBlocks, dequantize_blocks},
    {WA_OP_NONE, NULL},
};
