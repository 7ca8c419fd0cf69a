/* Reference of every elementwise operator, computed in double (or 64-bit integers) and rounded to
 * the result's type. */
#include "kernels/elementwise.h"
#include <math.h>

static double gelu(double x, bool tanh_form)
{
    if (tanh_form) return 0.5 * x * (1.0 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    return 0.5 * x * (1.0 + erf(x * 0.70710678118654752440));
}

/* NaN wins, as in NumPy. */
static double lesser(double a, double b) { return isnan(a) || a < b ? a : b; }
static double greater(double a, double b) { return isnan(a) || a > b ? a : b; }

static double or_else(const wa_num *x, double fallback) { return x->t == WA_DTYPE_NONE ? fallback : wa__dtype_is_float(x->t) ? x->f : (double)x->i; }

static double shrink(double v, double bias, double lambd) { return v < -lambd ? v + bias : v > lambd ? v - bias : isnan(v) ? v : 0.0; }

static double real_unary(wa_op op, const wa_num x[3])
{
    double v = x[0].f;
    switch (op) {
    case WA_OP_Abs: return fabs(v);
    case WA_OP_Neg: return -v;
    case WA_OP_Sign: return isnan(v) ? v : (double)((v > 0) - (v < 0));
    case WA_OP_Exp: return exp(v);
    case WA_OP_Log: return log(v);
    case WA_OP_Sqrt: return sqrt(v);
    case WA_OP_Reciprocal: return 1.0 / v;
    case WA_OP_Erf: return erf(v);
    case WA_OP_Sin: return sin(v);
    case WA_OP_Cos: return cos(v);
    case WA_OP_Tan: return tan(v);
    case WA_OP_Tanh: return tanh(v);
    case WA_OP_Sigmoid: return 1.0 / (1.0 + exp(-v));
    case WA_OP_Relu: return v < 0 ? 0.0 : v;
    case WA_OP_LeakyRelu: return v < 0 ? or_else(&x[1], 0.01) * v : v;
    case WA_OP_Elu: return v < 0 ? or_else(&x[1], 1.0) * expm1(v) : v;
    case WA_OP_Softplus: return v > 0 ? v + log1p(exp(-v)) : log1p(exp(v));
    case WA_OP_Softsign: return isinf(v) ? (v > 0 ? 1.0 : -1.0) : v / (1.0 + fabs(v));
    case WA_OP_Celu: return v > 0 ? v : or_else(&x[1], 1.0) * expm1(v / or_else(&x[1], 1.0));
    case WA_OP_Selu: return or_else(&x[2], 1.0507010221481323) * (v > 0 ? v : or_else(&x[1], 1.6732631921768188) * expm1(v));
    case WA_OP_Mish: return v * tanh(v > 0 ? v + log1p(exp(-v)) : log1p(exp(v)));
    case WA_OP_ThresholdedRelu: return v > or_else(&x[1], 1.0) ? v : isnan(v) ? v : 0.0;
    case WA_OP_Shrink: return shrink(v, or_else(&x[1], 0), or_else(&x[2], 0.5));
    case WA_OP_Acos: return acos(v);
    case WA_OP_Acosh: return acosh(v);
    case WA_OP_Asin: return asin(v);
    case WA_OP_Asinh: return asinh(v);
    case WA_OP_Atan: return atan(v);
    case WA_OP_Atanh: return atanh(v);
    case WA_OP_Cosh: return cosh(v);
    case WA_OP_Sinh: return sinh(v);
    case WA_OP_HardSigmoid: return greater(0.0, lesser(1.0, or_else(&x[1], 0.2) * v + or_else(&x[2], 0.5)));
    case WA_OP_HardSwish: return v * greater(0.0, lesser(1.0, v / 6.0 + 0.5));
    case WA_OP_Gelu: return gelu(v, or_else(&x[1], 0) != 0);
    case WA_OP_Floor: return floor(v);
    case WA_OP_Ceil: return ceil(v);
    case WA_OP_Round: return nearbyint(v);
    default: return v; /* Cast, Identity */
    }
}

static double real_binary(wa_op op, double a, double b, const wa_num *c)
{
    switch (op) {
    case WA_OP_Add: case WA_OP_Sum: return a + b;
    case WA_OP_Sub: return a - b;
    case WA_OP_Mul: return a * b;
    case WA_OP_Div: return a / b;
    case WA_OP_Pow: return pow(a, b);
    case WA_OP_Mod: {
        double r = fmod(a, b);
        return or_else(c, 0) == 0 && r != 0 && (r < 0) != (b < 0) ? r + b : r;
    }
    case WA_OP_Min: return lesser(a, b);
    case WA_OP_Max: return greater(a, b);
    case WA_OP_Mean: return (a + b) / 2;
    case WA_OP_PRelu: return a < 0 ? a * b : a;
    default: return 0;
    }
}

static int64_t whole_pow(int64_t base, int64_t e)
{
    if (e < 0) return base == 1 ? 1 : base == -1 ? (e & 1 ? -1 : 1) : 0;
    uint64_t r = 1, b = (uint64_t)base;
    for (; e; e >>= 1, b *= b)
        if (e & 1) r *= b;
    return (int64_t)r;
}

/* Integer division truncates; by zero gives 0, MIN / -1 wraps. */
static int64_t whole_div(int64_t a, int64_t b, bool is_unsigned)
{
    if (b == 0) return 0;
    if (is_unsigned) return (int64_t)((uint64_t)a / (uint64_t)b);
    return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}

static int64_t whole_mod(int64_t a, int64_t b, bool is_unsigned, bool like_c)
{
    if (b == 0) return 0;
    if (is_unsigned) return (int64_t)((uint64_t)a % (uint64_t)b);
    if (b == -1) return 0;
    int64_t r = a % b;
    return !like_c && r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

/* Of unsigned integers: bits that leave are lost. */
static int64_t whole_shift(int64_t a, int64_t b, bool left)
{
    if ((uint64_t)b > 63) return 0;
    return left ? (int64_t)((uint64_t)a << b) : (int64_t)((uint64_t)a >> b);
}

static bool whole_less(int64_t a, int64_t b, bool is_unsigned) { return is_unsigned ? (uint64_t)a < (uint64_t)b : a < b; }

static int64_t whole_binary(wa_op op, int64_t a, int64_t b, const wa_num *c, wa_dtype t)
{
    bool u = t == WA_U64;
    switch (op) {
    case WA_OP_Add: case WA_OP_Sum: return (int64_t)((uint64_t)a + (uint64_t)b);
    case WA_OP_Sub: return (int64_t)((uint64_t)a - (uint64_t)b);
    case WA_OP_Mul: return (int64_t)((uint64_t)a * (uint64_t)b);
    case WA_OP_Div: return whole_div(a, b, u);
    case WA_OP_Pow: return whole_pow(a, b);
    case WA_OP_Mod: return whole_mod(a, b, u, or_else(c, 0) != 0);
    case WA_OP_Min: return whole_less(a, b, u) ? a : b;
    case WA_OP_Max: return whole_less(b, a, u) ? a : b;
    case WA_OP_Mean: return whole_div((int64_t)((uint64_t)a + (uint64_t)b), 2, u);
    case WA_OP_PRelu: return a < 0 && !u ? (int64_t)((uint64_t)a * (uint64_t)b) : a;
    case WA_OP_BitwiseAnd: return a & b;
    case WA_OP_BitwiseOr: return a | b;
    case WA_OP_BitwiseXor: return a ^ b;
    case WA_OP_BitShift: return whole_shift(a, b, or_else(c, 0) != 0);
    default: return 0;
    }
}

/* Its parameters need not be whole: computed in real numbers and truncated. */
static int64_t whole_shrink(const wa_num x[3], bool u)
{
    double y = shrink(u ? (double)(uint64_t)x[0].i : (double)x[0].i, or_else(&x[1], 0), or_else(&x[2], 0.5));
    return y >= 0x1p63 ? INT64_MAX : y < -0x1p63 ? INT64_MIN : (int64_t)y;
}

static int64_t whole_unary(wa_op op, const wa_num x[3])
{
    int64_t v = x[0].i;
    bool u = x[0].t == WA_U64;
    switch (op) {
    case WA_OP_Abs: return u || v >= 0 ? v : (int64_t)(0 - (uint64_t)v);
    case WA_OP_Neg: return (int64_t)(0 - (uint64_t)v);
    case WA_OP_Sign: return u ? v != 0 : (v > 0) - (v < 0);
    case WA_OP_Relu: return u || v > 0 ? v : 0;
    case WA_OP_BitwiseNot: return ~v;
    case WA_OP_Shrink: return whole_shrink(x, u);
    default: return v; /* Cast, Floor, Ceil, Round */
    }
}

static bool compare(wa_op op, const wa_num x[3])
{
    bool less, more, same;
    if (wa__dtype_is_float(x[0].t)) {
        less = x[0].f < x[1].f;
        more = x[0].f > x[1].f;
        same = x[0].f == x[1].f;
    } else {
        less = whole_less(x[0].i, x[1].i, x[0].t == WA_U64);
        same = x[0].i == x[1].i;
        more = !less && !same;
    }
    switch (op) {
    case WA_OP_Equal: return same;
    case WA_OP_Less: return less;
    case WA_OP_LessOrEqual: return less || same;
    case WA_OP_Greater: return more;
    default: return more || same;
    }
}

static wa_num clip(const wa_num x[3])
{
    wa_num r = x[0];
    bool real = wa__dtype_is_float(r.t), u = r.t == WA_U64;
    if (x[1].t != WA_DTYPE_NONE) {
        if (real) r.f = greater(r.f, x[1].f);
        else if (whole_less(r.i, x[1].i, u)) r.i = x[1].i;
    }
    if (x[2].t != WA_DTYPE_NONE) {
        if (real) r.f = lesser(r.f, x[2].f);
        else if (whole_less(x[2].i, r.i, u)) r.i = x[2].i;
    }
    return r;
}

/* Brings a number to type `out` exactly as storing and loading it would. */
static wa_num rounded(wa_num n, wa_dtype out)
{
    uint64_t bits = 0;
    wa_view v = {{out, 0, {0}}, &bits};
    if (out == WA_F32 && wa__dtype_is_float(n.t)) return (wa_num){(double)(float)n.f, 0, out};
    if (wa__dtype_is_float(n.t)) wa__set_f64(&v, 0, n.f);
    else if (n.t == WA_U64 && wa__dtype_is_float(out)) wa__set_f64(&v, 0, (double)(uint64_t)n.i);
    else wa__set_i64(&v, 0, n.i);
    return wa__dtype_is_float(out) ? (wa_num){wa__get_f64(&v, 0), 0, out} : (wa_num){0, wa__get_i64(&v, 0), out};
}

/* The same bits as another type of the same width. */
static wa_num bit_cast(wa_num n, wa_dtype out)
{
    uint64_t bits = 0;
    wa_view from = {{n.t, 0, {0}}, &bits}, to = {{out, 0, {0}}, &bits};
    if (wa__dtype_is_float(n.t)) wa__set_f64(&from, 0, n.f);
    else wa__set_i64(&from, 0, n.i);
    return wa__dtype_is_float(out) ? (wa_num){wa__get_f64(&to, 0), 0, out} : (wa_num){0, wa__get_i64(&to, 0), out};
}

wa_num wa__ew_apply(wa_op op, const wa_num x[3], wa_dtype out)
{
    bool real = wa__dtype_is_float(x[0].t);
    wa_num r = {0, 0, x[0].t};
    switch (op) {
    case WA_OP_Equal: case WA_OP_Less: case WA_OP_LessOrEqual: case WA_OP_Greater: case WA_OP_GreaterOrEqual: r = (wa_num){0, compare(op, x), WA_BOOL}; break;
    case WA_OP_And: r = (wa_num){0, x[0].i && x[1].i, WA_BOOL}; break;
    case WA_OP_Or: r = (wa_num){0, x[0].i || x[1].i, WA_BOOL}; break;
    case WA_OP_Xor: r = (wa_num){0, !x[0].i != !x[1].i, WA_BOOL}; break;
    case WA_OP_Not: r = (wa_num){0, !x[0].i, WA_BOOL}; break;
    case WA_OP_IsNaN: r = (wa_num){0, real && isnan(x[0].f), WA_BOOL}; break;
    case WA_OP_IsInf: r = (wa_num){0, real && isinf(x[0].f) && or_else(&x[x[0].f > 0 ? 2 : 1], 1) != 0, WA_BOOL}; break;
    case WA_OP_Where: r = x[0].i ? x[1] : x[2]; break;
    case WA_OP_Clip: r = clip(x); break;
    case WA_OP_BitCast: return bit_cast(x[0], out);
    case WA_OP_Pow:
        if (real || wa__dtype_is_float(x[1].t)) /* exact as far as the base's type reaches */
            r = (wa_num){pow(or_else(&x[0], 0), or_else(&x[1], 0)), 0, WA_F64};
        else r.i = whole_pow(x[0].i, x[1].i);
        break;
    default:
        if (x[1].t != WA_DTYPE_NONE && wa__op_info(op)->inputs_max != 1) {
            if (real) r.f = real_binary(op, x[0].f, x[1].f, &x[2]);
            else r.i = whole_binary(op, x[0].i, x[1].i, &x[2], x[0].t);
        } else if (real) r.f = real_unary(op, x);
        else r.i = whole_unary(op, x);
        break;
    }
    return rounded(r, out);
}

wa_num wa__ew_immediate(float v, wa_dtype t)
{
    if (wa__dtype_is_float(t) || t == WA_DTYPE_NONE) return (wa_num){(double)v, 0, t == WA_DTYPE_NONE ? WA_F32 : t};
    return (wa_num){0, (int64_t)v, t};
}

static wa_num load(const wa_view *v, int64_t at)
{
    if (wa__dtype_is_float(v->type.dtype)) return (wa_num){wa__get_f64(v, at), 0, v->type.dtype};
    return (wa_num){0, wa__get_i64(v, at), v->type.dtype};
}

/* Where takes its type from its branches, everything else from the operands that are not immediate. */
static wa_dtype sibling(const wa_ew_step *p, const wa_num x[3])
{
    if (p->op == WA_OP_Shrink) return WA_F32; /* its parameters are real numbers whatever it shrinks */
    if (p->op == WA_OP_Pow && p->arg[0] < 0) return p->dtype; /* the exponent's type says nothing about the base's */
    for (int k = p->op == WA_OP_Where; k < 3; k++)
        if (p->arg[k] >= 0) return x[k].t;
    return p->op == WA_OP_Where ? p->dtype : WA_F32;
}

static wa_num run_chain(const wa_kernel_args *a, const wa_ew_chain *c, const int64_t *at)
{
    wa_num value[WA_KERNEL_OPERANDS_MAX + WA_EW_STEPS_MAX];
    for (uint32_t i = 0; i < c->input_count; i++) value[i] = a->in[i].type.dtype == WA_DTYPE_NONE ? (wa_num){0, 0, WA_DTYPE_NONE} : load(&a->in[i], at[i]);
    for (uint32_t s = 0; s < c->step_count; s++) {
        const wa_ew_step *p = &c->step[s];
        wa_num x[3] = {{0, 0, WA_DTYPE_NONE}, {0, 0, WA_DTYPE_NONE}, {0, 0, WA_DTYPE_NONE}};
        for (int k = 0; k < 3; k++)
            if (p->arg[k] >= 0) x[k] = value[p->arg[k]];
        wa_dtype t = sibling(p, x);
        for (int k = 0; k < 3; k++) {
            if (p->arg[k] >= 0 || p->arg[k] == WA_EW_ABSENT) continue;
            float v = c->imm[-1 - p->arg[k]];
            bool real = p->op == WA_OP_Pow && k == 1 && floorf(v) != v; /* an exponent beside a whole base */
            x[k] = wa__ew_immediate(v, real ? WA_F32 : t);
        }
        value[c->input_count + s] = wa__ew_apply(p->op, x, p->dtype);
    }
    return value[c->input_count + c->step_count - 1];
}

static wa_status elementwise(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *o = &a->out[0].type;
    int64_t strides[WA_KERNEL_OPERANDS_MAX][WA_RANK_MAX], at[WA_KERNEL_OPERANDS_MAX] = {0}, index[WA_RANK_MAX] = {0}, n = wa__count(o);
    wa_ew_chain c;
    WA_TRY(wa__ew_chain(a, &c, err));
    for (uint32_t i = 0; i < a->in_count; i++) {
        if (a->in[i].type.dtype == WA_DTYPE_NONE) continue;
        if (wa__dtype_size(a->in[i].type.dtype) == 0 || !wa__broadcast_strides(&a->in[i].type, o, strides[i]))
            return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "input %u does not broadcast to the output", i);
    }
    for (int64_t k = 0; k < n; k++, wa__next(index, o->dims, o->rank)) {
        for (uint32_t i = 0; i < a->in_count; i++) {
            at[i] = 0;
            for (uint32_t d = 0; d < o->rank && a->in[i].type.dtype != WA_DTYPE_NONE; d++) at[i] += index[d] * strides[i][d];
        }
        wa_num r = run_chain(a, &c, at);
        if (wa__dtype_is_float(r.t)) wa__set_f64(&a->out[0], k, r.f);
        else wa__set_i64(&a->out[0], k, r.i);
    }
    return WA_OK;
}

const wa_kernel_entry wa__ref_elementwise[] = {
#define E(op) {WA_OP_##op, elementwise}
    E(Where), E(Add), E(Sub), E(Mul), E(Div), E(Pow), E(Mod), E(Min), E(Max), E(Sum), E(Mean), E(PRelu), E(Equal), E(Less), E(LessOrEqual),
    E(Greater), E(GreaterOrEqual), E(And), E(Or), E(Xor), E(Not), E(Abs), E(Neg), E(Sign), E(Exp), E(Log), E(Sqrt), E(Reciprocal), E(Erf),
    E(Sin), E(Cos), E(Tan), E(Tanh), E(Sigmoid), E(Relu), E(LeakyRelu), E(Elu), E(Softplus), E(Softsign), E(HardSigmoid), E(HardSwish),
    E(Gelu), E(Clip), E(Floor), E(Ceil), E(Round), E(IsNaN), E(IsInf), E(Elementwise), E(Acos), E(Acosh), E(Asin), E(Asinh), E(Atan),
    E(Atanh), E(Cosh), E(Sinh), E(Celu), E(Selu), E(Mish), E(Shrink), E(ThresholdedRelu), E(BitwiseNot), E(BitwiseAnd), E(BitwiseOr),
    E(BitwiseXor), E(BitShift),
#undef E
    {WA_OP_NONE, NULL},
};

bool wa__ew_known(wa_op op)
{
    for (const wa_kernel_entry *e = wa__ref_elementwise; e->op != WA_OP_NONE; e++)
        if (e->op == op) return op != WA_OP_Elementwise;
    return op == WA_OP_Cast || op == WA_OP_Identity;
}
