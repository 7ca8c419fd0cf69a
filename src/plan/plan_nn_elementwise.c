/* WebNN rows: elementwise operators, alone and as fused chains, composed where WebNN lacks the method. */
#include "plan/plan_nn_int.h"
#include <math.h>

static wa_nn fill_like(wa_plan_builder *b, wa_nn x, double v) { return wa__nn_scalar(b, wa__nn_type(b, x).dtype, v); }

/* The number that an operand stands for; false when it is a tensor. */
static bool number_of(const wa_plan_builder *b, wa_nn x, double *v)
{
    if (x == WA_NONE) return false;
    const wa_plan_nn_operand *o = (const wa_plan_nn_operand *)b->sec[WA_SEC_NN_OPERANDS].ptr + x;
    int64_t i;
    if (o->kind != WA_NN_KIND_FILL) return false;
    if (wa__dtype_is_float((wa_dtype)o->dtype)) {
        memcpy(v, &o->bits, 8);
    } else {
        memcpy(&i, &o->bits, 8);
        *v = (double)i;
    }
    return true;
}
static double parameter(const wa_plan_builder *b, wa_nn x, double fallback)
{
    double v;
    return number_of(b, x, &v) ? v : fallback;
}

static bool is_int(wa_dtype d) { return !wa__dtype_is_float(d); }
static bool is_unsigned(wa_dtype d) { return d == WA_U8 || d == WA_U16 || d == WA_U32 || d == WA_U64 || d == WA_BOOL; }

static wa_nn truncate(wa_plan_builder *b, wa_nn x)
{
    return wa__nn_where(b, wa__nn_bin(b, WA_NN_lesser, x, fill_like(b, x, 0)), wa__nn_un(b, WA_NN_ceil, x), wa__nn_un(b, WA_NN_floor, x));
}

/* Sign of the divisor, or with fmod of the dividend. */
static wa_nn modulo(wa_plan_builder *b, wa_nn x, wa_nn y, bool fmod_sign, wa_dtype d)
{
    if (is_int(d)) {
        wa_dtype own = wa__nn_type(b, x).dtype;
        if (own == WA_I8 || own == WA_U8) x = wa__nn_cast(b, x, WA_I32), y = wa__nn_cast(b, y, WA_I32);
        wa_nn r = wa__nn_bin(b, WA_NN_sub, x, wa__nn_bin(b, WA_NN_mul, wa__nn_bin(b, WA_NN_div, x, y), y));
        if (!fmod_sign && !is_unsigned(d)) {
            wa_nn zero = fill_like(b, r, 0);
            wa_nn differ = wa__nn_bin(b, WA_NN_logicalXor, wa__nn_bin(b, WA_NN_lesser, r, zero), wa__nn_bin(b, WA_NN_lesser, y, zero));
            wa_nn adjust = wa__nn_bin(b, WA_NN_logicalAnd, differ, wa__nn_bin(b, WA_NN_notEqual, r, zero));
            r = wa__nn_where(b, adjust, wa__nn_bin(b, WA_NN_add, r, y), r);
        }
        return wa__nn_cast(b, r, own);
    }
    wa_nn q = wa__nn_bin(b, WA_NN_div, x, y);
    q = fmod_sign ? truncate(b, q) : wa__nn_un(b, WA_NN_floor, q);
    return wa__nn_bin(b, WA_NN_sub, x, wa__nn_bin(b, WA_NN_mul, q, y));
}

static wa_nn power(wa_plan_builder *b, wa_nn x, wa_nn y, wa_dtype d)
{
    double e;
    if (number_of(b, y, &e) && e == 2) return wa__nn_bin(b, WA_NN_mul, x, x);
    if (!is_int(d) || (!wa__nn_off(b) && is_int(wa__nn_type(b, y).dtype))) return wa__nn_bin(b, WA_NN_pow, x, y);
    wa_dtype own = wa__nn_type(b, x).dtype;
    return wa__nn_cast(b, wa__nn_bin(b, WA_NN_pow, wa__nn_cast(b, x, WA_F32), y), own);
}

static wa_nn gelu(wa_plan_builder *b, wa_nn x, bool with_tanh)
{
    if (!with_tanh) return wa__nn_un(b, WA_NN_gelu, x);
    wa_nn cube = wa__nn_bin(b, WA_NN_mul, wa__nn_bin(b, WA_NN_mul, x, x), x);
    wa_nn inner = wa__nn_scaled(b, wa__nn_bin(b, WA_NN_add, x, wa__nn_scaled(b, cube, 0.044715)), 0.7978845608028654);
    return wa__nn_bin(b, WA_NN_mul, wa__nn_scaled(b, x, 0.5), wa__nn_plus(b, wa__nn_un(b, WA_NN_tanh, inner), 1));
}

wa_nn wa__nn_act(wa_plan_builder *b, wa_nn x, uint32_t act)
{
    switch (act) {
    case 0: return x;
    case 1: case 2: return gelu(b, x, act == 2);
    case 3: return wa__nn_un(b, WA_NN_relu, x);
    case 4: return wa__nn_un(b, WA_NN_tanh, x);
    case 5: return wa__nn_un(b, WA_NN_sigmoid, x);
    case 6: return wa__nn_bin(b, WA_NN_mul, x, wa__nn_un(b, WA_NN_sigmoid, x));
    default: wa__nn_refuse(b, "activation %u has no WebNN form", act); return WA_NONE;
    }
}

static wa_nn clip(wa_plan_builder *b, wa_nn x, wa_nn low, wa_nn high)
{
    double lo = -INFINITY, hi = INFINITY;
    bool fixed = (low == WA_NONE || number_of(b, low, &lo)) && (high == WA_NONE || number_of(b, high, &hi));
    if (!wa__nn_off(b) && fixed && wa__nn_type(b, x).dtype == WA_F32 && lo <= hi) {
        if (low != WA_NONE) wa__nn_set_float(b, "minValue", lo);
        if (high != WA_NONE) wa__nn_set_float(b, "maxValue", hi);
        return wa__nn_un(b, WA_NN_clamp, x);
    }
    if (low != WA_NONE) x = wa__nn_bin(b, WA_NN_max, x, low);
    return high != WA_NONE ? wa__nn_bin(b, WA_NN_min, x, high) : x;
}

/* Rounded to so many bits of a significand, to nearest (Dekker's split). */
static wa_nn round_bits(wa_plan_builder *b, wa_nn x, double factor)
{
    wa_nn c = wa__nn_scaled(b, x, factor), y = wa__nn_bin(b, WA_NN_sub, c, wa__nn_bin(b, WA_NN_sub, c, x));
    return wa__nn_where(b, wa__nn_bin(b, WA_NN_lesser, wa__nn_un(b, WA_NN_abs, x), fill_like(b, x, 1e33)), y, x);
}

static wa_nn convert(wa_plan_builder *b, wa_nn x, wa_dtype from, wa_dtype to)
{
    wa_dtype device = wa__plan_nn_dtype(b, to);
    if (device == WA_DTYPE_NONE) wa__nn_refuse(b, "WebNN has no %s", wa__dtype_info((uint32_t)to)->name);
    if (wa__nn_off(b) || from == to) return x;
    if (to == WA_BOOL) return wa__nn_bin(b, WA_NN_notEqual, x, fill_like(b, x, 0));
    if (wa__dtype_is_float(to)) {
        x = wa__nn_cast(b, x, WA_F32);
        if (to == WA_F16 && from != WA_BOOL && from != WA_I8 && from != WA_U8) x = wa__nn_cast(b, wa__nn_cast(b, x, WA_F16), WA_F32);
        if (to == WA_BF16 && from != WA_BOOL && from != WA_I8 && from != WA_U8) x = round_bits(b, x, 65537);
        return x;
    }
    if (wa__dtype_is_packed(to)) { /* the low bits, as they wrap */
        double span = (double)(1 << wa__dtype_info((uint32_t)to)->bits), low = to == WA_I4 || to == WA_I2 ? span / 2 : 0;
        x = wa__nn_cast(b, wa__nn_cast(b, x, WA_I32), WA_F32);
        wa_nn turns = wa__nn_un(b, WA_NN_floor, wa__nn_scaled(b, wa__nn_plus(b, x, low), 1 / span));
        return wa__nn_cast(b, wa__nn_bin(b, WA_NN_sub, x, wa__nn_scaled(b, turns, span)), WA_I32);
    }
    if (wa__dtype_is_float(from) && (device == WA_I8 || device == WA_U8)) x = wa__nn_cast(b, x, WA_I32);
    if (wa__dtype_is_float(from) && device == WA_U32) x = wa__nn_cast(b, x, WA_I64);
    return wa__nn_cast(b, x, device);
}

static wa_nn exp_pair(wa_plan_builder *b, wa_nn x, wa_nn_op join)
{
    wa_nn e = wa__nn_un(b, WA_NN_exp, x), f = wa__nn_un(b, WA_NN_exp, wa__nn_un(b, WA_NN_neg, x));
    return wa__nn_scaled(b, wa__nn_bin(b, join, e, f), 0.5);
}

/* atan on all of the line: the argument brought into [0, 0.42], a polynomial, and back. */
static wa_nn arctan(wa_plan_builder *b, wa_nn x)
{
    wa_nn a = wa__nn_un(b, WA_NN_abs, x), big = wa__nn_bin(b, WA_NN_greater, a, fill_like(b, a, 2.414213562373095));
    wa_nn middle = wa__nn_bin(b, WA_NN_greater, a, fill_like(b, a, 0.4142135623730950));
    wa_nn inverse = wa__nn_un(b, WA_NN_neg, wa__nn_un(b, WA_NN_reciprocal, wa__nn_bin(b, WA_NN_max, a, fill_like(b, a, 1e-30))));
    wa_nn ratio = wa__nn_bin(b, WA_NN_div, wa__nn_plus(b, a, -1), wa__nn_plus(b, a, 1));
    wa_nn z = wa__nn_where(b, big, inverse, wa__nn_where(b, middle, ratio, a));
    wa_nn offset = wa__nn_where(b, big, fill_like(b, a, 1.5707963267948966), wa__nn_where(b, middle, fill_like(b, a, 0.7853981633974483), fill_like(b, a, 0)));
    wa_nn s = wa__nn_bin(b, WA_NN_mul, z, z);
    const double c[] = {8.05374449538e-2, -1.38776856032e-1, 1.99777106478e-1, -3.33329491539e-1};
    wa_nn p = wa__nn_plus(b, wa__nn_scaled(b, s, c[0]), c[1]);
    for (unsigned i = 2; i < 4; i++) p = wa__nn_plus(b, wa__nn_bin(b, WA_NN_mul, p, s), c[i]);
    p = wa__nn_bin(b, WA_NN_add, wa__nn_bin(b, WA_NN_mul, wa__nn_bin(b, WA_NN_mul, p, s), z), z);
    return wa__nn_bin(b, WA_NN_mul, wa__nn_bin(b, WA_NN_add, p, offset), wa__nn_un(b, WA_NN_sign, x));
}

static wa_nn root_of(wa_plan_builder *b, wa_nn x, double square, double one)
{
    return wa__nn_un(b, WA_NN_sqrt, wa__nn_plus(b, wa__nn_scaled(b, wa__nn_bin(b, WA_NN_mul, x, x), square), one));
}

/* asin x = atan(x / sqrt(1 - x^2)) */
static wa_nn arcsin(wa_plan_builder *b, wa_nn x) { return arctan(b, wa__nn_bin(b, WA_NN_div, x, root_of(b, x, -1, 1))); }

static wa_nn hyperbolic(wa_plan_builder *b, wa_op op, wa_nn x)
{
    if (op == WA_OP_Sinh || op == WA_OP_Cosh) return exp_pair(b, x, op == WA_OP_Sinh ? WA_NN_sub : WA_NN_add);
    if (op == WA_OP_Acosh) return wa__nn_un(b, WA_NN_log, wa__nn_bin(b, WA_NN_add, x, root_of(b, x, 1, -1)));
    if (op == WA_OP_Asinh) {
        wa_nn a = wa__nn_un(b, WA_NN_abs, x);
        return wa__nn_bin(b, WA_NN_mul, wa__nn_un(b, WA_NN_log, wa__nn_bin(b, WA_NN_add, a, root_of(b, a, 1, 1))), wa__nn_un(b, WA_NN_sign, x));
    }
    wa_nn top = wa__nn_plus(b, x, 1), bottom = wa__nn_plus(b, wa__nn_un(b, WA_NN_neg, x), 1);
    return wa__nn_scaled(b, wa__nn_un(b, WA_NN_log, wa__nn_bin(b, WA_NN_div, top, bottom)), 0.5);
}

static wa_nn infinite(wa_plan_builder *b, wa_nn x, bool positive, bool negative)
{
    wa_nn y = wa__nn_un(b, WA_NN_isInfinite, x), zero = fill_like(b, x, 0);
    if (positive && negative) return y;
    if (!positive && !negative) return wa__nn_bin(b, WA_NN_logicalAnd, y, wa__nn_un(b, WA_NN_logicalNot, y));
    return wa__nn_bin(b, WA_NN_logicalAnd, y, wa__nn_bin(b, positive ? WA_NN_greater : WA_NN_lesser, x, zero));
}

/* x above 0, alpha*(e^(x/by) - 1) below, all of it times gamma */
static wa_nn curved(wa_plan_builder *b, wa_nn x, double alpha, double by, double gamma)
{
    wa_nn low = wa__nn_bin(b, WA_NN_min, x, fill_like(b, x, 0));
    low = wa__nn_scaled(b, wa__nn_plus(b, wa__nn_un(b, WA_NN_exp, wa__nn_scaled(b, low, 1 / by)), -1), alpha);
    return wa__nn_scaled(b, wa__nn_bin(b, WA_NN_add, wa__nn_un(b, WA_NN_relu, x), low), gamma);
}

static wa_nn shrink(wa_plan_builder *b, wa_nn x, double bias, double lambda)
{
    wa_dtype own = wa__nn_type(b, x).dtype;
    x = wa__nn_cast(b, x, WA_F32);
    wa_nn above = wa__nn_bin(b, WA_NN_greater, x, fill_like(b, x, lambda)), below = wa__nn_bin(b, WA_NN_lesser, x, fill_like(b, x, -lambda));
    wa_nn y = wa__nn_where(b, above, wa__nn_plus(b, x, -bias), wa__nn_where(b, below, wa__nn_plus(b, x, bias), fill_like(b, x, 0)));
    if (!wa__nn_off(b) && (own == WA_I8 || own == WA_U8)) y = wa__nn_cast(b, y, WA_I32);
    return wa__nn_cast(b, y, own);
}

/* Of unsigned numbers: times or by a power of two. */
static wa_nn shift(wa_plan_builder *b, wa_nn x, wa_nn by, bool left, wa_dtype d)
{
    wa_dtype own = wa__nn_type(b, x).dtype;
    double range = d == WA_U8 ? 256 : 65536;
    if (!wa__nn_off(b) && d != WA_U8 && d != WA_U16) wa__nn_refuse(b, "WebNN has no shifts, and products this wide are not exact in what it has");
    wa_nn power = wa__nn_bin(b, WA_NN_pow, wa__nn_scalar(b, WA_F32, 2), wa__nn_cast(b, by, WA_F32));
    wa_nn y = wa__nn_cast(b, x, WA_F32);
    y = left ? wa__nn_bin(b, WA_NN_mul, y, power) : wa__nn_un(b, WA_NN_floor, wa__nn_bin(b, WA_NN_div, y, power));
    if (left) y = wa__nn_bin(b, WA_NN_sub, y, wa__nn_scaled(b, wa__nn_un(b, WA_NN_floor, wa__nn_scaled(b, y, 1 / range)), range));
    return wa__nn_cast(b, wa__nn_cast(b, y, WA_I32), own);
}

/* --- hard swish, as exporters write it ------------------------------------------------------------------- */
/* The call of this method that made x, among the last few; its operands. */
static const uint32_t *made_by(const wa_plan_builder *b, wa_nn x, wa_nn_op op, const wa_plan_nn_call **call)
{
    enum { BACK_MAX = 16 };
    const wa_plan_nn_call *c = b->sec[WA_SEC_NN_CALLS].ptr;
    const uint32_t *refs = b->sec[WA_SEC_NN_REFS].ptr;
    size_t end = b->sec[WA_SEC_NN_CALLS].count;
    for (size_t i = end; i-- > 0 && i + BACK_MAX >= end;) {
        const uint32_t *ref = refs + c[i].ref_first;
        if (c[i].out_count != 1 || ref[c[i].in_count] != x) continue;
        *call = c + i;
        return c[i].op == (uint32_t)op ? ref : NULL;
    }
    return NULL;
}

static bool attr_is(const wa_plan_builder *b, const wa_plan_nn_call *c, const char *name, double v)
{
    for (uint32_t i = 0; i < c->attr_count; i++) {
        const wa_plan_attr *a = (const wa_plan_attr *)b->sec[WA_SEC_ATTRS].ptr + c->attr_first + i;
        if (strcmp((const char *)b->sec[WA_SEC_TEXT].ptr + a->name, name) == 0) return a->kind == WA_ATTR_KIND_FLOAT && fabs((double)a->f - v) < 1e-6;
    }
    return false;
}

static bool is_number(const wa_plan_builder *b, wa_nn x, double want)
{
    double v;
    return number_of(b, x, &v) && fabs(v - want) < 1e-6;
}

/* Whether y is clamp(x + 3, 0, 6). */
static bool lifted(const wa_plan_builder *b, wa_nn y, wa_nn x)
{
    const wa_plan_nn_call *c;
    const uint32_t *in = made_by(b, y, WA_NN_clamp, &c);
    if (!in || !attr_is(b, c, "minValue", 0) || !attr_is(b, c, "maxValue", 6)) return false;
    in = made_by(b, in[0], WA_NN_add, &c);
    return in && ((in[0] == x && is_number(b, in[1], 3)) || (in[1] == x && is_number(b, in[0], 3)));
}

/* x where y is x * clamp(x + 3, 0, 6), whose sixth is its hard swish; else NONE. What made y goes unread. */
static wa_nn six_swishes(const wa_plan_builder *b, wa_nn y)
{
    const wa_plan_nn_call *c;
    const uint32_t *in = y == WA_NONE || !wa__nn_takes(b, WA_NN_hardSwish, 0, WA_F32) ? NULL : made_by(b, y, WA_NN_mul, &c);
    if (!in || wa__nn_type(b, y).dtype != WA_F32) return WA_NONE;
    return lifted(b, in[1], in[0]) ? in[0] : lifted(b, in[0], in[1]) ? in[1] : WA_NONE;
}

static wa_nn hard_swish(wa_plan_builder *b, wa_op op, const wa_nn x[3])
{
    if (op == WA_OP_Div && is_number(b, x[1], 6)) return six_swishes(b, x[0]);
    if (op == WA_OP_Mul && is_number(b, x[1], 1.0 / 6)) return six_swishes(b, x[0]);
    if (op == WA_OP_Mul && is_number(b, x[0], 1.0 / 6)) return six_swishes(b, x[1]);
    return WA_NONE;
}

typedef struct plain { /* operators that are one method */
    wa_op op;
    wa_nn_op nn;
    uint32_t operands;
} plain;
static const plain plains[] = {
    {WA_OP_Add, WA_NN_add, 2}, {WA_OP_Sub, WA_NN_sub, 2}, {WA_OP_Mul, WA_NN_mul, 2}, {WA_OP_Div, WA_NN_div, 2}, {WA_OP_Min, WA_NN_min, 2},
    {WA_OP_Max, WA_NN_max, 2}, {WA_OP_Sum, WA_NN_add, 2}, {WA_OP_Equal, WA_NN_equal, 2}, {WA_OP_Less, WA_NN_lesser, 2},
    {WA_OP_LessOrEqual, WA_NN_lesserOrEqual, 2}, {WA_OP_Greater, WA_NN_greater, 2}, {WA_OP_GreaterOrEqual, WA_NN_greaterOrEqual, 2},
    {WA_OP_And, WA_NN_logicalAnd, 2}, {WA_OP_Or, WA_NN_logicalOr, 2}, {WA_OP_Xor, WA_NN_logicalXor, 2}, {WA_OP_Not, WA_NN_logicalNot, 1},
    {WA_OP_Neg, WA_NN_neg, 1}, {WA_OP_Exp, WA_NN_exp, 1}, {WA_OP_Log, WA_NN_log, 1}, {WA_OP_Sqrt, WA_NN_sqrt, 1},
    {WA_OP_Reciprocal, WA_NN_reciprocal, 1}, {WA_OP_Erf, WA_NN_erf, 1}, {WA_OP_Sin, WA_NN_sin, 1}, {WA_OP_Cos, WA_NN_cos, 1},
    {WA_OP_Tan, WA_NN_tan, 1}, {WA_OP_Tanh, WA_NN_tanh, 1}, {WA_OP_Sigmoid, WA_NN_sigmoid, 1}, {WA_OP_Relu, WA_NN_relu, 1},
    {WA_OP_Softplus, WA_NN_softplus, 1}, {WA_OP_Softsign, WA_NN_softsign, 1}, {WA_OP_HardSwish, WA_NN_hardSwish, 1},
    {WA_OP_IsNaN, WA_NN_isNaN, 1},
};

wa_nn wa__nn_apply(wa_plan_builder *b, wa_op op, const wa_nn x[3], wa_dtype in, wa_dtype out)
{
    if (wa__nn_off(b)) return WA_NONE;
    wa_nn swish = hard_swish(b, op, x);
    if (swish != WA_NONE) return wa__nn_un(b, WA_NN_hardSwish, swish);
    for (size_t i = 0; i < sizeof plains / sizeof *plains; i++)
        if (plains[i].op == op) return plains[i].operands == 1 ? wa__nn_un(b, plains[i].nn, x[0]) : wa__nn_bin(b, plains[i].nn, x[0], x[1]);
    switch (op) {
    case WA_OP_Mean: return wa__nn_scaled(b, wa__nn_bin(b, WA_NN_add, x[0], x[1]), 0.5);
    case WA_OP_Pow: return power(b, x[0], x[1], in);
    case WA_OP_Mod: return modulo(b, x[0], x[1], parameter(b, x[2], 0) != 0, in);
    case WA_OP_PRelu:
        if (!is_int(in)) return wa__nn_bin(b, WA_NN_prelu, x[0], x[1]);
        return wa__nn_where(b, wa__nn_bin(b, WA_NN_lesser, x[0], fill_like(b, x[0], 0)), wa__nn_bin(b, WA_NN_mul, x[0], x[1]), x[0]);
    case WA_OP_Abs: return is_unsigned(in) ? x[0] : wa__nn_un(b, WA_NN_abs, x[0]);
    case WA_OP_Sign: return is_unsigned(in) ? wa__nn_bin(b, WA_NN_min, x[0], fill_like(b, x[0], 1)) : wa__nn_un(b, WA_NN_sign, x[0]);
    case WA_OP_Floor: return is_int(in) ? x[0] : wa__nn_un(b, WA_NN_floor, x[0]);
    case WA_OP_Ceil: return is_int(in) ? x[0] : wa__nn_un(b, WA_NN_ceil, x[0]);
    case WA_OP_Round: return is_int(in) ? x[0] : wa__nn_un(b, WA_NN_roundEven, x[0]);
    case WA_OP_IsInf: return infinite(b, x[0], parameter(b, x[2], 1) != 0, parameter(b, x[1], 1) != 0);
    case WA_OP_Celu: return curved(b, x[0], parameter(b, x[1], 1), parameter(b, x[1], 1), 1);
    case WA_OP_Selu: return curved(b, x[0], parameter(b, x[1], 1.6732631921768188), 1, parameter(b, x[2], 1.0507010221481323));
    case WA_OP_Mish: return wa__nn_bin(b, WA_NN_mul, x[0], wa__nn_un(b, WA_NN_tanh, wa__nn_un(b, WA_NN_softplus, x[0])));
    case WA_OP_ThresholdedRelu: return wa__nn_where(b, wa__nn_bin(b, WA_NN_greater, x[0], fill_like(b, x[0], parameter(b, x[1], 1))), x[0], fill_like(b, x[0], 0));
    case WA_OP_Shrink: return shrink(b, x[0], parameter(b, x[1], 0), parameter(b, x[2], 0.5));
    case WA_OP_BitShift: return shift(b, x[0], x[1], parameter(b, x[2], 0) != 0, in);
    case WA_OP_LeakyRelu:
        wa__nn_set_float(b, "alpha", parameter(b, x[1], 0.01));
        return wa__nn_un(b, WA_NN_leakyRelu, x[0]);
    case WA_OP_Elu:
        wa__nn_set_float(b, "alpha", parameter(b, x[1], 1));
        return wa__nn_un(b, WA_NN_elu, x[0]);
    case WA_OP_HardSigmoid:
        wa__nn_set_float(b, "alpha", parameter(b, x[1], 0.2));
        wa__nn_set_float(b, "beta", parameter(b, x[2], 0.5));
        return wa__nn_un(b, WA_NN_hardSigmoid, x[0]);
    case WA_OP_Gelu: return gelu(b, x[0], parameter(b, x[1], 0) != 0);
    case WA_OP_Clip: return clip(b, x[0], x[1], x[2]);
    case WA_OP_Where: return wa__nn_where(b, x[0], x[1], x[2]);
    case WA_OP_Cast: return convert(b, x[0], in, out);
    case WA_OP_Identity: return x[0];
    case WA_OP_Atan: return arctan(b, x[0]);
    case WA_OP_Asin: return arcsin(b, x[0]);
    case WA_OP_Acos: return wa__nn_plus(b, wa__nn_un(b, WA_NN_neg, arcsin(b, x[0])), 1.5707963267948966);
    case WA_OP_Sinh: case WA_OP_Cosh: case WA_OP_Asinh: case WA_OP_Acosh: case WA_OP_Atanh: return hyperbolic(b, op, x[0]);
    case WA_OP_BitwiseNot:
        if (in == WA_BOOL || is_unsigned(in)) break;
        return wa__nn_plus(b, wa__nn_un(b, WA_NN_neg, x[0]), -1);
    default: break;
    }
    wa__nn_refuse(b, "WebNN has no %s and none is composed of what it has", wa__op_info(op)->name);
    return WA_NONE;
}

/* --- chains ---------------------------------------------------------------------------------------------- */
enum { CHAIN_MAX = 80 };
typedef struct chain {
    wa_nn x[CHAIN_MAX];
    wa_dtype type[CHAIN_MAX];
    uint32_t count; /* inputs, then steps done */
} chain;

static bool chain_step(wa_plan_builder *b, const wa_attr *imm, const int64_t *w, wa_dtype out, chain *c)
{
    wa_nn x[3] = {WA_NONE, WA_NONE, WA_NONE};
    wa_op op = (wa_op)w[0];
    wa_dtype in = WA_DTYPE_NONE, stands = out;
    for (int k = 0; k < 3; k++) {
        int64_t v = w[1 + k];
        if (v < 0) continue;
        if (v >= (int64_t)c->count) return false;
        if (in == WA_DTYPE_NONE || (op == WA_OP_Where && k > 0)) in = c->type[v];
        x[k] = c->x[v];
    }
    if (op == WA_OP_Shrink) stands = WA_F32;
    else if (op != WA_OP_Where && !(op == WA_OP_Pow && w[1] < 0) && in != WA_DTYPE_NONE) stands = in;
    if (op == WA_OP_Where && w[2] < 0 && w[3] < 0) stands = out;
    for (int k = 0; k < 3; k++) {
        int64_t v = w[1 + k];
        if (v >= 0 || v == WA_EW_ABSENT) continue;
        if (!imm || -1 - v >= (int64_t)imm->count) return false;
        x[k] = wa__nn_scalar(b, wa__plan_nn_dtype(b, stands), (double)imm->floats[-1 - v]);
    }
    if (in == WA_DTYPE_NONE) in = out;
    c->x[c->count] = wa__nn_apply(b, op, x, in, out);
    if (!wa__nn_off(b) && wa__plan_nn_dtype(b, out) != WA_DTYPE_NONE) c->x[c->count] = wa__nn_cast(b, c->x[c->count], wa__plan_nn_dtype(b, out));
    c->type[c->count++] = out;
    return !wa__nn_off(b);
}

static void fused(wa_plan_builder *b, const wa_node *n)
{
    const wa_attr *code = wa__attr_find(n->attrs, n->attr_count, "code"), *imm = wa__attr_find(n->attrs, n->attr_count, "imm");
    const wa_attr *types = wa__attr_find(n->attrs, n->attr_count, "dtypes");
    chain c = {.count = n->input_count};
    if (!code || !types || code->count != types->count * (uint64_t)WA_EW_WORDS || n->input_count + types->count > CHAIN_MAX) {
        wa__nn_refuse(b, "its chain is too long");
        return;
    }
    for (uint32_t i = 0; i < n->input_count; i++) {
        c.x[i] = wa__nn_has(n, i) ? wa__nn_aligned(b, n->inputs[i]) : WA_NONE;
        c.type[i] = wa__nn_has(n, i) ? wa__nn_of(b, n->inputs[i])->dtype : WA_DTYPE_NONE;
    }
    for (uint32_t s = 0; s < types->count; s++)
        if (!chain_step(b, imm, code->ints + (size_t)s * WA_EW_WORDS, (wa_dtype)types->ints[s], &c)) {
            wa__nn_refuse(b, "its chain has an operand that is not there");
            return;
        }
    wa_tensor_type out = wa__nn_ordered(b, wa__nn_of(b, n->outputs[0]));
    wa__nn_output(b, n, 0, wa__nn_expand(b, c.x[c.count - 1], out.rank, out.dims));
}

/* --- one node ---------------------------------------------------------------------------------------------- */
/* A constant scalar as a number, so that methods may take it as one. */
static wa_nn operand(wa_plan_builder *b, const wa_node *n, uint32_t i)
{
    double v;
    if (!wa__nn_has(n, i)) return WA_NONE;
    const wa_tensor_type *t = wa__nn_of(b, n->inputs[i]);
    wa_dtype d = wa__plan_nn_dtype(b, t->dtype);
    bool exact = wa__dtype_is_float(t->dtype) || wa__dtype_size(t->dtype) <= 4;
    if (t->rank == 0 && exact && d != WA_DTYPE_NONE && b->t.nn->constant.dtypes >> d & 1 && wa__graph_const_scalar(b->g, n->inputs[i], &v)) return wa__nn_scalar(b, d, v);
    return wa__nn_aligned(b, n->inputs[i]);
}

static void attributes(wa_plan_builder *b, const wa_node *n, wa_nn x[3])
{
    float value[3] = {0};
    uint32_t mask = wa__ew_attr_operands(n->op, n->attrs, n->attr_count, value);
    for (int i = 1; i < 3; i++)
        if (mask >> i & 1 && x[i] == WA_NONE) x[i] = wa__nn_scalar(b, WA_F32, (double)value[i]);
}

void wa__nn_elementwise(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x[3] = {WA_NONE, WA_NONE, WA_NONE}, y;
    wa__nn_follow_order(b, n);
    if (n->op == WA_OP_Elementwise) {
        fused(b, n);
        return;
    }
    wa_tensor_type ordered = wa__nn_ordered(b, wa__nn_of(b, n->outputs[0])), *out = &ordered;
    wa_dtype in = wa__nn_of(b, n->inputs[0])->dtype;
    if (n->op == WA_OP_Where) in = out->dtype;
    for (uint32_t i = 0; i < n->input_count && i < 3; i++) x[i] = operand(b, n, i);
    attributes(b, n, x);
    bool many = n->op == WA_OP_Min || n->op == WA_OP_Max || n->op == WA_OP_Sum || n->op == WA_OP_Mean;
    if (many) {
        wa_op op = n->op == WA_OP_Mean ? WA_OP_Sum : n->op;
        y = x[0];
        for (uint32_t i = 1; i < n->input_count; i++) y = wa__nn_apply(b, op, (wa_nn[]){y, wa__nn_aligned(b, n->inputs[i]), WA_NONE}, in, out->dtype);
        if (n->op == WA_OP_Mean) y = wa__nn_scaled(b, y, 1.0 / n->input_count);
    } else {
        y = wa__nn_apply(b, n->op, x, in, out->dtype);
    }
    wa__nn_output(b, n, 0, wa__nn_expand(b, y, out->rank, out->dims));
}
