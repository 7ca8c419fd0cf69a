/* One generator for every elementwise chain. spec: 0 inputs, 1..8 input dtypes (F32, I32, U32; F16 where
 * BitCast reads it), 9 bit i: input i is strided (bit clear: same shape as the output), 10 1: four elements
 * an invocation. code: see kernels.h. A step's dtype may be a small type: the result is brought back into
 * its range (Cast to F16 and BF16 rounds); Cast to BOOL gives 0 or 1. Booleans are U32 0 or 1.
 * params: {count, 0, 0, 0} {dims 0..3} {dims 4, 5, 0, 0} then 2 a strided input: {strides 0..3}
 * {strides 4, 5, 0, 0}. */
#include "kernels/wgsl_int.h"
#include <stdio.h>

#define put wa__wgsl_put
#define STEP (WA_EW_WORDS + 1u)

enum { FLOATS, SIGNED, UNSIGNED };
static bool known_dtype(uint32_t d) { return wa__wgsl_type(d) != NULL; }
static uint32_t kind_of(uint32_t d)
{
    switch (d) {
    case WA_F32: case WA_F16: case WA_BF16: return FLOATS;
    case WA_I8: case WA_I16: case WA_I32: return SIGNED;
    default: return UNSIGNED;
    }
}

/* WGSL of an operator in its operands A, B, C for floats, signed and unsigned integers (NULL: none). */
typedef struct form {
    uint32_t op, operands;
    const char *text[3];
    uint32_t functions;
} form;
#define SAME(t) {t, t, t}
#define REAL(t) {t, NULL, NULL}
#define BITS(t) {NULL, t, t}
#define NO_NAN  " && !nan_(A) && !nan_(B))"
static const form forms[] = {
    {WA_OP_Identity, 1, SAME("A"), 0},
    {WA_OP_Add, 2, SAME("A + B"), 0},
    {WA_OP_Sub, 2, SAME("A - B"), 0},
    {WA_OP_Mul, 2, SAME("A * B"), 0},
    {WA_OP_Div, 2, {"A / B", "idiv_(A, B)", "udiv_(A, B)"}, WA_FN_IDIV},
    {WA_OP_Mod, 3, {"", "", ""}, WA_FN_FMOD | WA_FN_IMOD},
    {WA_OP_Pow, 2, {"", "", ""}, WA_FN_POW | WA_FN_IPOW},
    {WA_OP_Min, 2, {"min_(A, B)", "min(A, B)", "min(A, B)"}, WA_FN_MINMAX},
    {WA_OP_Max, 2, {"max_(A, B)", "max(A, B)", "max(A, B)"}, WA_FN_MINMAX},
    {WA_OP_Sum, 2, SAME("A + B"), 0},
    {WA_OP_Mean, 2, {"(A + B) * 0.5", "(A + B) / 2", "(A + B) / 2u"}, 0},
    {WA_OP_PRelu, 2, {"select(A, A * B, A < 0.0)", "select(A, A * B, A < 0)", "A"}, 0},
    {WA_OP_Equal, 2, {"u32(A == B" NO_NAN, "u32(A == B)", "u32(A == B)"}, WA_FN_NAN},
    {WA_OP_Less, 2, {"u32(A < B" NO_NAN, "u32(A < B)", "u32(A < B)"}, WA_FN_NAN},
    {WA_OP_LessOrEqual, 2, {"u32(A <= B" NO_NAN, "u32(A <= B)", "u32(A <= B)"}, WA_FN_NAN},
    {WA_OP_Greater, 2, {"u32(A > B" NO_NAN, "u32(A > B)", "u32(A > B)"}, WA_FN_NAN},
    {WA_OP_GreaterOrEqual, 2, {"u32(A >= B" NO_NAN, "u32(A >= B)", "u32(A >= B)"}, WA_FN_NAN},
    {WA_OP_And, 2, BITS("A & B"), 0},
    {WA_OP_Or, 2, BITS("A | B"), 0},
    {WA_OP_Xor, 2, BITS("A ^ B"), 0},
    {WA_OP_Not, 1, {NULL, NULL, "1u - A"}, 0},
    {WA_OP_BitwiseAnd, 2, BITS("A & B"), 0},
    {WA_OP_BitwiseOr, 2, BITS("A | B"), 0},
    {WA_OP_BitwiseXor, 2, BITS("A ^ B"), 0},
    {WA_OP_BitwiseNot, 1, BITS("~A"), 0},
    {WA_OP_BitShift, 3, {NULL, NULL, ""}, WA_FN_SHIFT},
    {WA_OP_Abs, 1, {"abs(A)", "abs(A)", "A"}, 0},
    {WA_OP_Neg, 1, {"-A", "-A", "0u - A"}, 0},
    {WA_OP_Sign, 1, {"select(sign(A), A, nan_(A))", "sign(A)", "min(A, 1u)"}, WA_FN_NAN},
    {WA_OP_Exp, 1, REAL("exp(A)"), 0},
    {WA_OP_Log, 1, REAL("log_(A)"), WA_FN_LOG},
    {WA_OP_Sqrt, 1, REAL("sqrt(A)"), 0},
    {WA_OP_Reciprocal, 1, REAL("1.0 / A"), 0},
    {WA_OP_Erf, 1, REAL("erf_(A)"), WA_FN_ERF},
    {WA_OP_Sin, 1, REAL("sin_(A)"), WA_FN_CIRCLE},
    {WA_OP_Cos, 1, REAL("cos_(A)"), WA_FN_CIRCLE},
    {WA_OP_Tan, 1, REAL("sin_(A) / cos_(A)"), WA_FN_CIRCLE},
    {WA_OP_Acos, 1, REAL("acos_(A)"), WA_FN_ARC},
    {WA_OP_Asin, 1, REAL("asin_(A)"), WA_FN_ARC},
    {WA_OP_Atan, 1, REAL("atan_(A)"), WA_FN_ARC},
    {WA_OP_Acosh, 1, REAL("acosh_(A)"), WA_FN_HYPERBOLIC},
    {WA_OP_Asinh, 1, REAL("asinh_(A)"), WA_FN_HYPERBOLIC},
    {WA_OP_Atanh, 1, REAL("atanh_(A)"), WA_FN_HYPERBOLIC},
    {WA_OP_Sinh, 1, REAL("sinh_(A)"), WA_FN_HYPERBOLIC},
    {WA_OP_Cosh, 1, REAL("0.5 * (exp(A) + exp(-A))"), 0},
    {WA_OP_Tanh, 1, REAL("tanh_(A)"), WA_FN_TANH},
    {WA_OP_Sigmoid, 1, REAL("logistic(A)"), WA_FN_LOGISTIC},
    {WA_OP_Relu, 1, {"max(A, 0.0)", "max(A, 0)", "A"}, 0},
    {WA_OP_LeakyRelu, 2, REAL("select(A, A * B, A < 0.0)"), 0},
    {WA_OP_ThresholdedRelu, 2, REAL("select(0.0, A, A > B)"), 0},
    {WA_OP_Shrink, 3, REAL("select(select(0.0, A - B, A > C), A + B, A < -C)"), 0},
    {WA_OP_Elu, 2, REAL("elu_(A, B)"), WA_FN_SOFT},
    {WA_OP_Celu, 2, REAL("select(A, B * expm1_(min(A, 0.0) / B), A < 0.0)"), WA_FN_EXPM1},
    {WA_OP_Selu, 3, REAL("C * elu_(A, B)"), WA_FN_SOFT},
    {WA_OP_Mish, 1, REAL("mish_(A)"), WA_FN_SOFT},
    {WA_OP_Softplus, 1, REAL("softplus_(A)"), WA_FN_SOFT},
    {WA_OP_Softsign, 1, REAL("A / (1.0 + abs(A))"), 0},
    {WA_OP_HardSigmoid, 3, REAL("clamp(A * B + C, 0.0, 1.0)"), 0},
    {WA_OP_HardSwish, 1, REAL("A * clamp(A / 6.0 + 0.5, 0.0, 1.0)"), 0},
    {WA_OP_Floor, 1, REAL("floor(A)"), 0},
    {WA_OP_Ceil, 1, REAL("ceil(A)"), 0},
    {WA_OP_Round, 1, REAL("round(A)"), 0},
    {WA_OP_IsNaN, 1, REAL("u32(nan_(A))"), WA_FN_NAN},
    {WA_OP_IsInf, 3, REAL("u32((bitcast<u32>(A) & 0x7fffffffu) == 0x7f800000u && select(C, B, (bitcast<u32>(A) >> 31u) == 1u) != 0.0)"), 0},
    {WA_OP_Where, 3, SAME("select(C, B, A != 0u)"), 0},
    {WA_OP_Clip, 3, {"", "", ""}, WA_FN_NAN},
    {WA_OP_Gelu, 2, REAL(""), WA_FN_GELU},
    {WA_OP_Cast, 1, {"", "", ""}, WA_FN_CAST | WA_FN_ROUND16},
    {WA_OP_BitCast, 1, {"", "", ""}, WA_FN_ROUND16},
};
static const form *find(uint32_t op)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (forms[i].op == op) return &forms[i];
    return NULL;
}

typedef struct chain {
    const uint32_t *spec, *step, *imm;
    uint32_t inputs, steps, imms;
} chain;

/* dtype of operand k of step i, 0 when it names nothing that is there. */
static uint32_t operand_dtype(const chain *c, uint32_t i, uint32_t word, uint32_t sibling)
{
    int32_t k = (int32_t)word;
    if (k == WA_EW_ABSENT) return 0;
    if (k < 0) return (uint32_t)(-1 - k) < c->imms ? sibling : 0;
    if ((uint32_t)k < c->inputs) return c->spec[1 + k];
    return (uint32_t)k - c->inputs < i ? c->step[((uint32_t)k - c->inputs) * STEP + 4] : 0;
}

/* The element type that an operator works in: its first operand's that is not an immediate. */
static uint32_t working_dtype(const chain *c, uint32_t i)
{
    const uint32_t *w = c->step + i * STEP;
    if (w[0] == WA_OP_Pow && (int32_t)w[1] < 0) return w[4]; /* the exponent's type says nothing about the base's */
    for (uint32_t k = w[0] == WA_OP_Where ? 1 : 0; k < 3; k++)
        if ((int32_t)w[1 + k] >= 0) return operand_dtype(c, i, w[1 + k], 0);
    return w[4];
}

static bool truth_op(uint32_t op) { return (op >= WA_OP_Equal && op <= WA_OP_Not) || op == WA_OP_IsNaN || op == WA_OP_IsInf; }
/* Operands that choose a form of the operator: immediates. */
static bool choice(uint32_t op, uint32_t k) { return (op == WA_OP_Gelu && k == 1) || ((op == WA_OP_Mod || op == WA_OP_BitShift) && k == 2); }

static bool step_ok(const chain *c, uint32_t i)
{
    const uint32_t *w = c->step + i * STEP;
    const form *f = find(w[0]);
    uint32_t type = working_dtype(c, i), kind = kind_of(type);
    if (!f || !known_dtype(w[4]) || !known_dtype(type) || !f->text[kind]) return false;
    for (uint32_t k = 0; k < 3; k++) {
        bool absent = (int32_t)w[1 + k] == WA_EW_ABSENT, optional = w[0] == WA_OP_Clip && k > 0;
        if (k >= f->operands ? !absent : absent && !optional) return false;
        if (absent) continue;
        uint32_t d = operand_dtype(c, i, w[1 + k], type);
        if (!d || (choice(w[0], k) && (int32_t)w[1 + k] >= 0)) return false;
        bool free_type = choice(w[0], k) || (w[0] == WA_OP_Pow && k == 1);
        if (!free_type && kind_of(d) != (w[0] == WA_OP_Where && k == 0 ? UNSIGNED : kind)) return false;
    }
    if (w[0] == WA_OP_Cast || w[0] == WA_OP_BitCast) return true;
    return kind_of(w[4]) == (truth_op(w[0]) ? UNSIGNED : kind);
}

static bool open_chain(const uint32_t *s, const uint32_t *code, uint32_t n, chain *c)
{
    if (!s[0] || s[0] > 7 || n < 2) return false;
    *c = (chain){.spec = s, .step = code + 2, .inputs = s[0], .steps = code[0], .imms = code[1]};
    if (!c->steps || c->steps > WA_WGSL_EW_STEPS_MAX || c->imms > 3 * WA_WGSL_EW_STEPS_MAX || n != 2 + c->steps * STEP + c->imms) return false;
    c->imm = c->step + c->steps * STEP;
    return true;
}

static wa_status check(const uint32_t *s, const uint32_t *code, uint32_t n, wa_wgsl_info *info, wa_error *err)
{
    chain c;
    if (!open_chain(s, code, n, &c) || s[9] >> s[0] || s[10] > 1 || (s[10] && s[9])) return wa__fail(err, WA_VERIFY, "elementwise: %u inputs, %u words of code", s[0], n);
    for (uint32_t i = 0; i < c.inputs; i++)
        if (!known_dtype(s[1 + i])) return wa__fail(err, WA_VERIFY, "elementwise: input %u has dtype %u", i, s[1 + i]);
    for (uint32_t i = 0; i < c.steps; i++)
        if (!step_ok(&c, i)) return wa__fail(err, WA_VERIFY, "elementwise: step %u (operator %u) does not fit its operands", i, c.step[i * STEP]);
    info->binding_count = c.inputs + 1;
    info->write_mask = 1u << c.inputs;
    return WA_OK;
}

static void operand(const chain *c, uint32_t word, uint32_t kind, char *out, size_t n)
{
    int32_t k = (int32_t)word;
    float f;
    if (k >= 0) {
        snprintf(out, n, (uint32_t)k < c->inputs ? "i%u" : "s%u", (uint32_t)k < c->inputs ? (uint32_t)k : (uint32_t)k - c->inputs);
        return;
    }
    memcpy(&f, &c->imm[-1 - k], 4);
    if (kind == FLOATS) snprintf(out, n, "bitcast<f32>(imm(%uu))", c->imm[-1 - k]);
    else if (kind == SIGNED) snprintf(out, n, "i32(%lld)", (long long)(f > -2147483520.0f && f < 2147483520.0f ? f : 0.0f));
    else snprintf(out, n, "%lldu", (long long)(f >= 0.0f && f < 4294967040.0f ? f : 0.0f));
}

static void cast(uint32_t from, uint32_t to, const char *x, wa_wgsl_emit *e)
{
    const char *before, *after;
    uint32_t kind = kind_of(from);
    if (to == WA_BOOL) {
        put(e, kind == FLOATS ? "u32((bitcast<u32>(%s) & 0x7fffffffu) != 0u)" : kind == SIGNED ? "u32(%s != 0)" : "u32(%s != 0u)", x);
    } else if (kind_of(to) == FLOATS) {
        put(e, "%s(f32(%s))", to == WA_F16 ? "f16_" : to == WA_BF16 ? "bf16_" : "", x);
    } else {
        wa__wgsl_wrap(to, &before, &after);
        put(e, "%s%s(%s)%s", before, kind_of(to) == SIGNED ? "i32" : kind == FLOATS ? "unsigned_" : "u32", x, after);
    }
}

/* Small integers and halves lie in 32 bits: the bits that they stand for are brought out and back. */
static void bit_cast(uint32_t from, uint32_t to, const char *x, wa_wgsl_emit *e)
{
    char bits[96];
    const char *before, *after;
    snprintf(bits, sizeof bits, from == WA_F16 ? "f16_bits(%s)" : from == WA_BF16 ? "(bitcast<u32>(%s) >> 16u)" : "bitcast<u32>(%s)", x);
    wa__wgsl_wrap(to, &before, &after);
    if (to == WA_F16) put(e, "f16_of(%s)", bits);
    else if (to == WA_BF16) put(e, "bitcast<f32>(%s << 16u)", bits);
    else put(e, "%sbitcast<%s>(%s)%s", before, wa__wgsl_type(to), bits, after);
}

/* An immediate exponent that is not whole is a float beside any base. */
static bool float_exponent(const chain *c, uint32_t i, uint32_t type)
{
    int32_t k = (int32_t)c->step[i * STEP + 2];
    float f;
    if (k >= 0) return kind_of(operand_dtype(c, i, (uint32_t)k, type)) == FLOATS;
    memcpy(&f, &c->imm[-1 - k], 4);
    return kind_of(type) == FLOATS || f != (float)(int32_t)(f > -2e9f && f < 2e9f ? f : 0);
}

static void power(uint32_t base, bool real_exponent, uint32_t to, char x[3][64], wa_wgsl_emit *e)
{
    const char *before, *after;
    bool real = kind_of(base) == FLOATS || real_exponent;
    wa__wgsl_wrap(to, &before, &after);
    if (real) put(e, "%s%s(pow_(f32(%s), f32(%s)))%s", before, wa__wgsl_type(to), x[0], x[1], after);
    else if (kind_of(base) == SIGNED) put(e, "%sipow_(%s, i32(%s))%s", before, x[0], x[1], after);
    else put(e, "%supow_(%s, u32(%s))%s", before, x[0], x[1], after);
}

static void clip(uint32_t kind, char x[3][64], wa_wgsl_emit *e)
{
    if (kind == FLOATS) put(e, "select(");
    put(e, "%s%s%s", x[2][0] ? "min(" : "", x[1][0] ? "max(" : "", x[0]);
    if (x[1][0]) put(e, ", %s)", x[1]);
    if (x[2][0]) put(e, ", %s)", x[2]);
    if (kind == FLOATS) put(e, ", %s, nan_(%s))", x[0], x[0]);
}

static void step(const chain *c, uint32_t i, wa_wgsl_emit *e)
{
    const uint32_t *w = c->step + i * STEP;
    uint32_t type = working_dtype(c, i), kind = kind_of(type);
    const form *f = find(w[0]);
    const char *before, *after;
    char x[3][64] = {"", "", ""};
    bool chosen = false;
    for (uint32_t k = 0; k < f->operands; k++) {
        if (choice(w[0], k)) {
            float v;
            memcpy(&v, &c->imm[-1 - (int32_t)w[1 + k]], 4);
            chosen = v != 0;
        } else if ((int32_t)w[1 + k] != WA_EW_ABSENT) {
            operand(c, w[1 + k], w[0] == WA_OP_Where && k == 0 ? UNSIGNED : w[0] == WA_OP_Pow && k == 1 && float_exponent(c, i, type) ? FLOATS : kind, x[k],
                    sizeof x[k]);
        }
    }
    wa__wgsl_wrap(w[4], &before, &after);
    put(e, "  let s%u = ", i);
    switch (w[0]) {
    case WA_OP_Cast: cast(type, w[4], x[0], e); break;
    case WA_OP_BitCast: bit_cast(type, w[4], x[0], e); break;
    case WA_OP_Pow: power(type, float_exponent(c, i, type), w[4], x, e); break;
    case WA_OP_Clip: clip(kind, x, e); break;
    case WA_OP_Gelu: put(e, "%s(%s)", chosen ? "gelu_tanh" : "gelu_erf", x[0]); break;
    case WA_OP_Mod: put(e, "%s(%s, %s)", kind == UNSIGNED ? "umod_" : kind == FLOATS ? (chosen ? "fmod_" : "mod_") : chosen ? "ifmod_" : "imod_", x[0], x[1]); break;
    case WA_OP_BitShift: put(e, "%s%s(%s, %s)%s", before, chosen ? "shl_" : "shr_", x[0], x[1], after); break;
    default:
        put(e, "%s", before);
        for (const char *t = f->text[kind]; *t; t++) {
            bool name = *t >= 'A' && *t <= 'C';
            put(e, "%.*s", name ? (int)strlen(x[*t - 'A']) : 1, name ? x[*t - 'A'] : t);
        }
        put(e, "%s", after);
        break;
    }
    put(e, ";\n");
}

/* Only what is called: a function has its own tests and costs compile time. */
static uint32_t functions_of(const chain *c, uint32_t i)
{
    const uint32_t *w = c->step + i * STEP;
    uint32_t kind = kind_of(working_dtype(c, i)), set = find(w[0])->functions;
    bool real = kind == FLOATS;
    switch (w[0]) {
    case WA_OP_Min: case WA_OP_Max: case WA_OP_Sign: case WA_OP_Clip: return real ? set : 0;
    case WA_OP_Equal: case WA_OP_Less: case WA_OP_LessOrEqual: case WA_OP_Greater: case WA_OP_GreaterOrEqual: return real ? set : 0;
    case WA_OP_Div: return real ? 0 : set;
    case WA_OP_Mod: return real ? WA_FN_FMOD : WA_FN_IMOD;
    case WA_OP_Cast: return (w[4] == WA_F16 || w[4] == WA_BF16 ? WA_FN_ROUND16 : 0u) | (real && kind_of(w[4]) == UNSIGNED ? WA_FN_CAST : 0u);
    default: return set;
    }
}

static void helpers(const chain *c, wa_wgsl_emit *e)
{
    uint32_t set = 0;
    for (uint32_t i = 0; i < c->steps; i++) set |= functions_of(c, i);
    wa__wgsl_functions(e, set);
    if (c->imms) put(e, "fn imm(bits: u32) -> u32 { return bits | (p.a[0].y & 0u); }\n"); /* no constant NaN or infinity in the text */
}

/* fn chain(i0, i1...): one element. */
static void chain_function(const uint32_t *s, const chain *c, wa_wgsl_emit *e)
{
    put(e, "fn chain(");
    for (uint32_t i = 0; i < c->inputs; i++) put(e, "%si%u: %s", i ? ", " : "", i, wa__wgsl_type(s[1 + i]));
    put(e, ") -> %s {\n", wa__wgsl_type(c->step[(c->steps - 1) * STEP + 4]));
    for (uint32_t i = 0; i < c->steps; i++) step(c, i, e);
    put(e, "  return s%u;\n}\n", c->steps - 1);
}

/* vec4f is spelled so that the storage can turn into vec4h. */
static void vector(const uint32_t *s, const char *element, char *out, size_t n)
{
    if (s[10] && strcmp(element, "f32") == 0) snprintf(out, n, "vec4f");
    else snprintf(out, n, s[10] ? "vec4<%s>" : "%s", element);
}

static void call(const chain *c, const char *suffix, wa_wgsl_emit *e)
{
    put(e, "chain(");
    for (uint32_t i = 0; i < c->inputs; i++) put(e, "%sv%u%s", i ? ", " : "", i, suffix);
    put(e, ")");
}

static void generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    chain c;
    if (!open_chain(s, code, 2 + code[0] * STEP + code[1], &c)) return;
    uint32_t strided = 0;
    const char *out = wa__wgsl_type(c.step[(c.steps - 1) * STEP + 4]);
    for (uint32_t i = 0; i <= c.inputs; i++) {
        char name[16], type[16];
        snprintf(name, sizeof name, i < c.inputs ? "x%u" : "o", i);
        vector(s, i < c.inputs ? wa__wgsl_type(s[1 + i]) : out, type, sizeof type);
        wa__wgsl_storage(e, i, name, type, i == c.inputs);
        strided += i < c.inputs && (s[9] >> i & 1);
    }
    wa__wgsl_params(e, c.inputs + 1, 3 + 2 * strided);
    helpers(&c, e);
    chain_function(s, &c, e);
    put(e, "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let i = g.y * (nw.x * 64u) + g.x;\n  if (i >= p.a[0].x) { return; }\n");
    if (strided) {
        put(e, "  var r = i;\n");
        for (unsigned k = 6; k-- > 0;) put(e, "  let n%u = r %% p.a[%u][%u]; r /= p.a[%u][%u];\n", k, 1 + k / 4, k % 4, 1 + k / 4, k % 4);
    }
    for (uint32_t i = 0, at = 3; i < c.inputs; i++) {
        char type[16];
        vector(s, wa__wgsl_type(s[1 + i]), type, sizeof type);
        if (!(s[9] >> i & 1)) {
            put(e, "  let v%u = %s(x%u[i]);\n", i, type, i);
            continue;
        }
        put(e, "  let v%u = %s(x%u[n0 * p.a[%u].x + n1 * p.a[%u].y + n2 * p.a[%u].z + n3 * p.a[%u].w + n4 * p.a[%u].x + n5 * p.a[%u].y]);\n", i, type, i, at, at,
            at, at, at + 1, at + 1);
        at += 2;
    }
    char held[16];
    vector(s, out, held, sizeof held);
    put(e, "  o[i] = %s(", wa__wgsl_held(e, c.inputs, held));
    static const char *const parts[] = {".x", ".y", ".z", ".w"};
    if (s[10]) put(e, "vec4<%s>(", out);
    for (unsigned k = 0; k < (s[10] ? 4u : 1u); k++) {
        if (k) put(e, ", ");
        call(&c, s[10] ? parts[k] : "", e);
    }
    put(e, s[10] ? "));\n}\n" : ");\n}\n");
}

static uint32_t halves(const uint32_t *s, const uint32_t *code, const wa_wgsl_info *info)
{
    (void)info;
    chain c;
    uint32_t mask = 0;
    if (!open_chain(s, code, 2 + code[0] * STEP + code[1], &c)) return 0;
    for (uint32_t i = 0; i < c.inputs; i++) mask |= s[1 + i] == WA_F32 ? 1u << i : 0u;
    return mask | (kind_of(c.step[(c.steps - 1) * STEP + 4]) == FLOATS ? 1u << c.inputs : 0u);
}
const wa_wgsl_row wa__wgsl_elementwise = {"elementwise", check, generate, halves};
