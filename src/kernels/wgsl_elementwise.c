/* One generator for every elementwise chain. spec: 0 inputs, 1..8 input dtypes (F32, I32, U32),
 * 9 bit i: input i is strided (bit clear: same shape as the output). code: see kernels.h.
 * params: {count, 0, 0, 0} {dims 0..3} {dims 4, 5, 0, 0} then 2 a strided input: {strides 0..3}
 * {strides 4, 5, 0, 0}. Booleans are U32 0 or 1. */
#include "kernels/wgsl_int.h"
#include <stdio.h>

#define put wa__wgsl_put
#define STEP (WA_EW_WORDS + 1u)

static bool device_dtype(uint32_t d) { return d == WA_F32 || d == WA_I32 || d == WA_U32; }
static const char *type_name(uint32_t d) { return d == WA_F32 ? "f32" : d == WA_I32 ? "i32" : "u32"; }

/* WGSL of an operator in its operands A, B, C (dtype T is the operands'); NULL: not here. */
typedef struct form {
    uint32_t op, operands;
    const char *f, *i; /* for f32, for integers (NULL: none) */
} form;
static const form forms[] = {
    {WA_OP_Identity, 1, "A", "A"}, {WA_OP_Add, 2, "A + B", "A + B"}, {WA_OP_Sub, 2, "A - B", "A - B"}, {WA_OP_Mul, 2, "A * B", "A * B"},
    {WA_OP_Div, 2, "A / B", "A / B"}, {WA_OP_Pow, 2, "pow_(A, B)", NULL}, {WA_OP_Min, 2, "min(A, B)", "min(A, B)"},
    {WA_OP_Max, 2, "max(A, B)", "max(A, B)"}, {WA_OP_Sum, 2, "A + B", "A + B"}, {WA_OP_Mean, 2, "(A + B) * 0.5", NULL},
    {WA_OP_PRelu, 2, "select(A, A * B, A < 0.0)", NULL}, {WA_OP_Equal, 2, "u32(A == B)", "u32(A == B)"},
    {WA_OP_Less, 2, "u32(A < B)", "u32(A < B)"}, {WA_OP_LessOrEqual, 2, "u32(A <= B)", "u32(A <= B)"},
    {WA_OP_Greater, 2, "u32(A > B)", "u32(A > B)"}, {WA_OP_GreaterOrEqual, 2, "u32(A >= B)", "u32(A >= B)"},
    {WA_OP_And, 2, NULL, "A & B"}, {WA_OP_Or, 2, NULL, "A | B"}, {WA_OP_Xor, 2, NULL, "A ^ B"}, {WA_OP_Not, 1, NULL, "1u - A"},
    {WA_OP_Abs, 1, "abs(A)", "abs(A)"}, {WA_OP_Neg, 1, "-A", "-A"}, {WA_OP_Sign, 1, "sign(A)", NULL}, {WA_OP_Exp, 1, "exp(A)", NULL},
    {WA_OP_Log, 1, "log(A)", NULL}, {WA_OP_Sqrt, 1, "sqrt(A)", NULL}, {WA_OP_Reciprocal, 1, "1.0 / A", NULL}, {WA_OP_Erf, 1, "erf_(A)", NULL},
    {WA_OP_Sin, 1, "sin_(A)", NULL}, {WA_OP_Cos, 1, "cos_(A)", NULL}, {WA_OP_Tan, 1, "sin_(A) / cos_(A)", NULL},
    {WA_OP_Tanh, 1, "1.0 - 2.0 * logistic(-2.0 * A)", NULL}, {WA_OP_Sigmoid, 1, "logistic(A)", NULL}, {WA_OP_Relu, 1, "max(A, 0.0)", NULL},
    {WA_OP_LeakyRelu, 2, "select(A, A * B, A < 0.0)", NULL}, {WA_OP_Elu, 2, "select(A, B * (exp(min(A, 0.0)) - 1.0), A < 0.0)", NULL},
    {WA_OP_Softplus, 1, "max(A, 0.0) + log(1.0 + exp(-abs(A)))", NULL}, {WA_OP_Softsign, 1, "A / (1.0 + abs(A))", NULL},
    {WA_OP_HardSigmoid, 3, "clamp(A * B + C, 0.0, 1.0)", NULL}, {WA_OP_HardSwish, 1, "A * clamp(A / 6.0 + 0.5, 0.0, 1.0)", NULL},
    {WA_OP_Floor, 1, "floor(A)", NULL}, {WA_OP_Ceil, 1, "ceil(A)", NULL}, {WA_OP_Round, 1, "round(A)", NULL},
    {WA_OP_IsNaN, 1, "u32((bitcast<u32>(A) & 0x7fffffffu) > 0x7f800000u)", NULL},
    {WA_OP_Where, 3, "select(C, B, A != 0u)", "select(C, B, A != 0u)"}, {WA_OP_Clip, 3, "", ""}, {WA_OP_Gelu, 2, "", NULL},
    {WA_OP_Cast, 1, "", ""},
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
    for (uint32_t k = w[0] == WA_OP_Where ? 1 : 0; k < 3; k++)
        if ((int32_t)w[1 + k] >= 0) return operand_dtype(c, i, w[1 + k], 0);
    return w[4];
}

static bool step_ok(const chain *c, uint32_t i)
{
    const uint32_t *w = c->step + i * STEP;
    const form *f = find(w[0]);
    uint32_t type = working_dtype(c, i);
    if (!f || !device_dtype(w[4]) || !device_dtype(type) || !(type == WA_F32 ? f->f : f->i)) return false;
    for (uint32_t k = 0; k < 3; k++) {
        bool absent = (int32_t)w[1 + k] == WA_EW_ABSENT, optional = w[0] == WA_OP_Clip && k > 0;
        if (k >= f->operands ? !absent : absent && !optional) return false;
        if (absent) continue;
        uint32_t d = operand_dtype(c, i, w[1 + k], type), want = w[0] == WA_OP_Where && k == 0 ? WA_U32 : type;
        if (w[0] == WA_OP_Gelu && k == 1) {
            if ((int32_t)w[2] >= 0 || d == 0) return false;
        } else if (d != want) {
            return false;
        }
    }
    bool truth = (w[0] >= WA_OP_Equal && w[0] <= WA_OP_Not) || w[0] == WA_OP_IsNaN;
    return w[0] == WA_OP_Cast || w[4] == (truth ? WA_U32 : type);
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
    if (!open_chain(s, code, n, &c) || s[9] >> s[0]) return wa__fail(err, WA_VERIFY, "elementwise: %u inputs, %u words of code", s[0], n);
    for (uint32_t i = 0; i < c.inputs; i++)
        if (!device_dtype(s[1 + i])) return wa__fail(err, WA_VERIFY, "elementwise: input %u has dtype %u", i, s[1 + i]);
    for (uint32_t i = 0; i < c.steps; i++)
        if (!step_ok(&c, i)) return wa__fail(err, WA_VERIFY, "elementwise: step %u (operator %u) does not fit its operands", i, c.step[i * STEP]);
    info->binding_count = c.inputs + 1;
    info->write_mask = 1u << c.inputs;
    return WA_OK;
}

static void operand(const chain *c, uint32_t word, uint32_t dtype, char *out, size_t n)
{
    int32_t k = (int32_t)word;
    float f;
    if (k >= 0) {
        snprintf(out, n, (uint32_t)k < c->inputs ? "i%u" : "s%u", (uint32_t)k < c->inputs ? (uint32_t)k : (uint32_t)k - c->inputs);
        return;
    }
    memcpy(&f, &c->imm[-1 - k], 4);
    if (dtype == WA_F32) snprintf(out, n, "bitcast<f32>(imm(%uu))", c->imm[-1 - k]);
    else if (dtype == WA_I32) snprintf(out, n, "i32(%lld)", (long long)(f > -2147483520.0f && f < 2147483520.0f ? f : 0.0f));
    else snprintf(out, n, "%lldu", (long long)(f >= 0.0f && f < 4294967040.0f ? f : 0.0f));
}

static void step(const chain *c, uint32_t i, wa_wgsl_emit *e)
{
    const uint32_t *w = c->step + i * STEP;
    uint32_t type = working_dtype(c, i);
    const form *f = find(w[0]);
    char x[3][64] = {"", "", ""};
    for (uint32_t k = 0; k < f->operands; k++)
        if ((int32_t)w[1 + k] != WA_EW_ABSENT) operand(c, w[1 + k], w[0] == WA_OP_Where && k == 0 ? WA_U32 : type, x[k], sizeof x[k]);
    put(e, "  let s%u = ", i);
    if (w[0] == WA_OP_Cast) {
        put(e, "%s(%s);\n", type_name(w[4]), x[0]);
    } else if (w[0] == WA_OP_Clip) {
        put(e, "%s%s%s", x[2][0] ? "min(" : "", x[1][0] ? "max(" : "", x[0]);
        if (x[1][0]) put(e, ", %s)", x[1]);
        if (x[2][0]) put(e, ", %s)", x[2]);
        put(e, ";\n");
    } else if (w[0] == WA_OP_Gelu) {
        bool tanh_form = c->imm[-1 - (int32_t)w[2]] != 0;
        put(e, "%s(%s);\n", tanh_form ? "gelu_tanh" : "gelu_erf", x[0]);
    } else {
        for (const char *t = type == WA_F32 ? f->f : f->i; *t; t++) {
            bool name = *t >= 'A' && *t <= 'C';
            put(e, "%.*s", name ? (int)strlen(x[*t - 'A']) : 1, name ? x[*t - 'A'] : t);
        }
        put(e, ";\n");
    }
}

static void helpers(const chain *c, wa_wgsl_emit *e)
{
    bool erf = false, logistic = false, power = false, circle = false;
    for (uint32_t i = 0; i < c->steps; i++) {
        uint32_t op = c->step[i * STEP];
        erf |= op == WA_OP_Erf || op == WA_OP_Gelu;
        logistic |= op == WA_OP_Tanh || op == WA_OP_Sigmoid || op == WA_OP_Gelu;
        power |= op == WA_OP_Pow;
        circle |= op == WA_OP_Sin || op == WA_OP_Cos || op == WA_OP_Tan;
    }
    if (erf) wa__wgsl_erf(e, "f32");
    if (logistic) put(e, "fn logistic(x: f32) -> f32 { return 1.0 / (1.0 + exp(clamp(-x, -88.0, 88.0))); }\n");
    if (erf && logistic)
        put(e, "fn gelu_erf(x: f32) -> f32 { return 0.5 * x * (1.0 + erf_(x * 0.70710678)); }\n"
               "fn gelu_tanh(x: f32) -> f32 { return x * logistic(1.5957691 * (x + 0.044715 * x * x * x)); }\n");
    if (power) /* a negative base is fine for whole exponents */
        put(e, "fn pow_(x: f32, y: f32) -> f32 {\n  let v = pow(abs(x), y); let odd = abs(y) - 2.0 * floor(abs(y) * 0.5) == 1.0;\n"
               "  return select(v, -v, x < 0.0 && odd);\n}\n");
    if (circle) /* WGSL's own may err by 2^-11; these by 1e-7 after reduction by multiples of pi in three parts */
        put(e, "fn reduce_(x: f32, k: f32) -> f32 { return ((x - k * 3.140625) - k * 9.67502593994140625e-4) - k * 1.5099580e-7; }\n"
               "fn odd_(k: f32) -> bool { return abs(k) - 2.0 * floor(abs(k) * 0.5) == 1.0; }\n"
               "fn sin_(x: f32) -> f32 {\n  let k = round(x * 0.31830989); let r = reduce_(x, k); let q = r * r;\n"
               "  let y = r + r * q * (-0.16666667 + q * (0.0083333310 + q * (-0.00019840874 + q * (2.7525562e-06 - q * 2.3889859e-08))));\n"
               "  return select(y, -y, odd_(k));\n}\n"
               "fn cos_(x: f32) -> f32 {\n  let k = round(x * 0.31830989); let r = reduce_(x, k); let q = r * r;\n"
               "  let y = 1.0 + q * (-0.5 + q * (0.041666638 + q * (-0.0013888378 + q * (2.4760495e-05 - q * 2.6051615e-07))));\n"
               "  return select(y, -y, odd_(k));\n}\n");
    if (c->imms) put(e, "fn imm(bits: u32) -> u32 { return bits | (p.a[0].y & 0u); }\n"); /* no constant NaN or infinity in the text */
}

static void generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    chain c;
    if (!open_chain(s, code, 2 + code[0] * STEP + code[1], &c)) return;
    uint32_t strided = 0;
    for (uint32_t i = 0; i < c.inputs; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%u", i);
        wa__wgsl_storage(e, i, name, type_name(s[1 + i]), false);
        strided += s[9] >> i & 1;
    }
    wa__wgsl_storage(e, c.inputs, "o", type_name(c.step[(c.steps - 1) * STEP + 4]), true);
    wa__wgsl_params(e, c.inputs + 1, 3 + 2 * strided);
    helpers(&c, e);
    put(e, "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let i = g.y * (nw.x * 64u) + g.x;\n  if (i >= p.a[0].x) { return; }\n");
    if (strided) {
        put(e, "  var r = i;\n");
        for (unsigned k = 6; k-- > 0;) put(e, "  let n%u = r %% p.a[%u][%u]; r /= p.a[%u][%u];\n", k, 1 + k / 4, k % 4, 1 + k / 4, k % 4);
    }
    for (uint32_t i = 0, at = 3; i < c.inputs; i++) {
        if (!(s[9] >> i & 1)) {
            put(e, "  let i%u = x%u[i];\n", i, i);
            continue;
        }
        put(e, "  let i%u = x%u[n0 * p.a[%u].x + n1 * p.a[%u].y + n2 * p.a[%u].z + n3 * p.a[%u].w + n4 * p.a[%u].x + n5 * p.a[%u].y];\n", i, i, at, at,
            at, at, at + 1, at + 1);
        at += 2;
    }
    for (uint32_t i = 0; i < c.steps; i++) step(&c, i, e);
    put(e, "  o[i] = s%u;\n}\n", c.steps - 1);
}
const wa_wgsl_row wa__wgsl_elementwise = {"elementwise", check, generate};
