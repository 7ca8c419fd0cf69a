/* Properties of elementwise, reduction and row kernels over random shapes and awkward numbers: the fast
 * CPU forms give what the references give; integers wrap as the C types do; what has no elements works. */
#include "kernels/kernels.h"
#include "tests.h"
#include <float.h>
#include <math.h>

static uint32_t state_word = 20261124;
static uint32_t next(void)
{
    state_word ^= state_word << 13;
    state_word ^= state_word >> 17;
    state_word ^= state_word << 5;
    return state_word;
}
static uint32_t below(uint32_t n) { return next() % n; }

/* Mostly plain numbers, sometimes what breaks kernels. */
static float awkward(bool wild)
{
    static const float odd[] = {0.0f, -0.0f, 1.0f, -1.0f, INFINITY, -INFINITY, NAN, FLT_MIN, -FLT_MIN, 1e-40f, -1e-45f, FLT_MAX, -FLT_MAX, 88.8f, -103.0f, 0.5f, 2.5f, -1.5f};
    if (wild && below(5) == 0) return odd[below(sizeof odd / sizeof *odd)];
    return ((float)below(200001) - 100000.0f) / 12500.0f;
}

enum { ELEMENTS_MAX = 4096, OPERANDS = 3 };
static float input_data[OPERANDS][ELEMENTS_MAX], fast_data[ELEMENTS_MAX], ref_data[ELEMENTS_MAX];

/* An output shape with sizes of 0 and 1 among others, and an input shape that broadcasts to it. */
static wa_tensor_type random_shape(void)
{
    static const int64_t sizes[] = {1, 1, 2, 3, 5, 7, 8, 16, 17, 0};
    wa_tensor_type t = {WA_F32, below(5), {0}};
    int64_t count = 1;
    for (uint32_t i = 0; i < t.rank; i++) {
        t.dims[i] = sizes[below(below(8) ? 9 : 10)];
        while (t.dims[i] && count * t.dims[i] > ELEMENTS_MAX) t.dims[i] = 1;
        count *= t.dims[i] ? t.dims[i] : 1;
    }
    return t;
}
static wa_tensor_type narrowed(wa_tensor_type t)
{
    uint32_t drop = t.rank ? below(t.rank + 1) : 0;
    if (below(2)) drop = 0;
    for (uint32_t i = 0; i + drop < t.rank; i++) t.dims[i] = below(3) ? t.dims[i + drop] : 1;
    t.rank -= drop;
    return t;
}

static float loose = 2e-6f; /* absolute: what terms that cancel may leave */
static bool close_to(float a, float b)
{
    if (isnan(b)) return isnan(a);
    if (isinf(b)) return a == b || fabsf(a) > 1e38f;
    if (fabsf(b) < 1e-37f) return fabsf(a) < 1e-36f; /* denormals may be flushed */
    return fabsf(a - b) <= loose + 4e-6f * fabsf(b) || (isinf(a) && fabsf(b) > 1e38f);
}

/* Runs both forms; false when there is no fast one. */
static bool compare(wa_op op, const wa_attr *attrs, uint32_t attr_count, const wa_view *in, uint32_t in_count, wa_tensor_type out_type, const char *what)
{
    wa_view out = {out_type, ref_data};
    wa_error err = {0};
    wa_kernel_args a = {.op = op, .opset = 21, .attrs = attrs, .attr_count = attr_count, .in = in, .in_count = in_count, .out = &out, .out_count = 1};
    wa_kernel_fn ref = wa__kernel_ref(op), fast = wa__kernel_cpu(op, &a);
    assert_non_null(ref);
    if (fast == ref) return false;
    if (ref(&a, &err) != WA_OK) fail_msg("%s, %s: reference: %s", wa__op_info(op)->name, what, err.message);
    out.data = fast_data;
    if (fast(&a, &err) != WA_OK) fail_msg("%s, %s: fast: %s", wa__op_info(op)->name, what, err.message);
    for (int64_t i = 0; i < wa__count(&out_type); i++)
        if (!close_to(fast_data[i], ref_data[i]))
            fail_msg("%s, %s: element %lld is %.9g, the reference gives %.9g", wa__op_info(op)->name, what, (long long)i, (double)fast_data[i], (double)ref_data[i]);
    return true;
}

static void fill(uint32_t operand, int64_t count, bool wild)
{
    for (int64_t i = 0; i < count; i++) input_data[operand][i] = awkward(wild);
}

static void elementwise_fast(void **state)
{
    static const struct { wa_op op; uint32_t operands; bool wild; } ops[] = {
        {WA_OP_Add, 2, true}, {WA_OP_Sub, 2, true}, {WA_OP_Mul, 2, true}, {WA_OP_Div, 2, true}, {WA_OP_Min, 2, true}, {WA_OP_Max, 2, true},
        {WA_OP_Sum, 3, false}, {WA_OP_Mean, 3, false}, {WA_OP_PRelu, 2, false}, {WA_OP_LeakyRelu, 1, true}, {WA_OP_Abs, 1, true}, {WA_OP_Neg, 1, true},
        {WA_OP_Exp, 1, false}, {WA_OP_Sqrt, 1, false}, {WA_OP_Reciprocal, 1, false}, {WA_OP_Erf, 1, false}, {WA_OP_Tanh, 1, false},
        {WA_OP_Sigmoid, 1, false}, {WA_OP_Relu, 1, false}, {WA_OP_Gelu, 1, false}};
    (void)state;
    uint32_t compared = 0;
    for (uint32_t round = 0; round < 60; round++) {
        for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) {
            wa_tensor_type out = random_shape();
            wa_view in[OPERANDS];
            char what[200];
            uint32_t whole = below(ops[k].operands);
            if (ops[k].op == WA_OP_PRelu) whole = 0;
            for (uint32_t i = 0; i < ops[k].operands; i++) {
                in[i] = (wa_view){i == whole ? out : narrowed(out), input_data[i]};
                fill(i, wa__count(&in[i].type), ops[k].wild);
            }
            wa__type_text(&out, what, sizeof what);
            compared += compare(ops[k].op, NULL, 0, in, ops[k].operands, out, what);
        }
    }
    assert_true(compared > 600);
}

static void rows_fast(void **state)
{
    static const wa_op ops[] = {WA_OP_Softmax, WA_OP_LogSoftmax, WA_OP_LayerNormalization, WA_OP_RMSNormalization, WA_OP_L2Normalize, WA_OP_ReduceSum,
                                WA_OP_ReduceMean, WA_OP_ReduceL1, WA_OP_ReduceL2, WA_OP_ReduceSumSquare};
    static const int64_t last[1] = {-1};
    wa_attr axis = {.name = WA_STR("axis"), .kind = WA_ATTR_KIND_INT, .i = -1};
    (void)state;
    uint32_t compared = 0;
    loose = 4e-5f;
    for (uint32_t round = 0; round < 120; round++) {
        for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) {
            wa_tensor_type x = random_shape(), out;
            bool reduces = ops[k] >= WA_OP_ReduceSum && ops[k] <= WA_OP_ReduceSumSquare, norm = ops[k] == WA_OP_LayerNormalization || ops[k] == WA_OP_RMSNormalization;
            if (x.rank == 0 || x.dims[x.rank - 1] == 0) continue; /* a mean of nothing is none */
            if (ops[k] == WA_OP_LayerNormalization && x.dims[x.rank - 1] < 5) continue; /* two near values: no deviation to speak of */
            out = x;
            if (reduces) out.dims[x.rank - 1] = 1;
            fill(0, wa__count(&x), false);
            wa_tensor_type row = {WA_F32, 1, {x.dims[x.rank - 1]}};
            fill(1, row.dims[0], false);
            fill(2, row.dims[0], false);
            wa_view in[OPERANDS] = {{x, input_data[0]}, {row, input_data[1]}, {row, input_data[2]}};
            union { const int64_t *in; void *data; } axes = {.in = last};
            if (reduces) in[1] = (wa_view){{WA_I64, 1, {1}}, axes.data};
            char what[200];
            wa__type_text(&x, what, sizeof what);
            uint32_t count = reduces ? 2 : norm ? (ops[k] == WA_OP_LayerNormalization ? 3 : 2) : 1;
            compared += compare(ops[k], reduces || ops[k] == WA_OP_L2Normalize ? NULL : &axis, reduces || ops[k] == WA_OP_L2Normalize ? 0 : 1, in, count, out, what);
        }
    }
    assert_true(compared > 400);
}

/* --- integers -------------------------------------------------------------------------------------- */
static int64_t eval_whole(wa_op op, wa_dtype t, int64_t x, int64_t y, uint32_t count)
{
    uint64_t data[3] = {0};
    wa_view v[3] = {{{t, 0, {0}}, &data[0]}, {{t, 0, {0}}, &data[1]}, {{t, 0, {0}}, &data[2]}};
    wa_error err = {0};
    wa_attr left = {.name = WA_STR("direction"), .kind = WA_ATTR_KIND_STRING, .s = WA_STR("LEFT")};
    wa__set_i64(&v[0], 0, x);
    wa__set_i64(&v[1], 0, y);
    assert_ok(wa__kernel_eval(NULL, op, &left, op == WA_OP_BitShift, v, count, &v[2], 1, &err), err);
    return wa__get_i64(&v[2], 0);
}

#define CHECK(op, t, x, y, count, want)                                                                                                              \
    do {                                                                                                                                             \
        int64_t have = eval_whole(WA_OP_##op, t, (int64_t)(x), (int64_t)(y), count), due = (int64_t)(want);                                          \
        if (have != due) fail_msg(#op " of %s: %lld, %lld gives %lld, not %lld", wa__dtype_info(t)->name, (long long)(x), (long long)(y), (long long)have, (long long)due); \
    } while (0)

/* What C's own type of that width gives, by unsigned arithmetic where C leaves it open. */
#define WRAPS(T, t, x, y)                                                                                    \
    do {                                                                                                     \
        T a = (T)(x), b = (T)(y);                                                                            \
        CHECK(Add, t, a, b, 2, (T)((uint64_t)a + (uint64_t)b));                                              \
        CHECK(Sub, t, a, b, 2, (T)((uint64_t)a - (uint64_t)b));                                              \
        CHECK(Mul, t, a, b, 2, (T)((uint64_t)a * (uint64_t)b));                                              \
        CHECK(BitwiseAnd, t, a, b, 2, (T)(a & b));                                                           \
        CHECK(BitwiseXor, t, a, b, 2, (T)(a ^ b));                                                           \
        CHECK(BitwiseNot, t, a, 0, 1, (T)~a);                                                                \
        CHECK(Min, t, a, b, 2, a < b ? a : b);                                                               \
        CHECK(Max, t, a, b, 2, a > b ? a : b);                                                               \
        CHECK(Sign, t, a, 0, 1, a > 0 ? 1 : a == 0 ? 0 : -1);                                                         \
    } while (0)

static void integers_wrap(void **state)
{
    static const int64_t odd[] = {0, 1, -1, 2, 127, -128, 128, 255, 32767, -32768, 65535, INT32_MAX, INT32_MIN, UINT32_MAX, INT64_MAX, INT64_MIN};
    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        for (size_t k = 0; k < sizeof odd / sizeof *odd; k++) {
            int64_t x = odd[i], y = odd[k];
            WRAPS(int8_t, WA_I8, x, y);
            WRAPS(uint8_t, WA_U8, x, y);
            WRAPS(int16_t, WA_I16, x, y);
            WRAPS(uint16_t, WA_U16, x, y);
            WRAPS(int32_t, WA_I32, x, y);
            WRAPS(uint32_t, WA_U32, x, y);
            WRAPS(int64_t, WA_I64, x, y);
        }
        CHECK(BitShift, WA_U8, 255, i, 2, (uint8_t)(i < 8 ? 255u << i : 0));
        CHECK(BitShift, WA_U64, 1, i, 2, (uint64_t)1 << i);
    }
    CHECK(Abs, WA_I8, -128, 0, 1, -128);
    CHECK(Neg, WA_I16, -32768, 0, 1, -32768);
    CHECK(Div, WA_I32, INT32_MIN, -1, 2, INT32_MIN);
    CHECK(Div, WA_I32, -7, 2, 2, -3);
    CHECK(Div, WA_I64, 5, 0, 2, 0);
    CHECK(Mod, WA_I32, -7, 3, 2, 2);
    CHECK(Mod, WA_I32, 7, -3, 2, -2);
    CHECK(Mod, WA_I64, INT64_MIN, -1, 2, 0);
    CHECK(Pow, WA_I32, -3, 3, 2, -27);
    CHECK(Pow, WA_I64, 2, 62, 2, (int64_t)1 << 62);
    CHECK(Pow, WA_I8, 2, 7, 2, -128);
}

/* --- casts, empty tensors ----------------------------------------------------------------------------- */
static void casts(void **state)
{
    static const struct { double x; wa_dtype to; double want; } cases[] = {
        {300, WA_U8, 44}, {-1, WA_U8, 255}, {200, WA_I8, -56}, {2.9, WA_I32, 2}, {-2.9, WA_I32, -2}, {1e-9, WA_BOOL, 1}, {0, WA_BOOL, 0},
        {65520, WA_F16, INFINITY}, {65519, WA_F16, 65504}, {1.00048828125, WA_F16, 1}, {1.0009765625, WA_F16, 1.0009765625}, {5.9604645e-8, WA_F16, 5.9604644775390625e-8},
        {1.00390625, WA_BF16, 1}, {1.01171875, WA_BF16, 1.015625}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t data = 0;
        wa_view in = {{WA_F64, 0, {0}}, &(double){cases[i].x}}, out = {{cases[i].to, 0, {0}}, &data};
        wa_attr to = {.name = WA_STR("to"), .kind = WA_ATTR_KIND_INT, .i = cases[i].to};
        wa_error err = {0};
        assert_ok(wa__kernel_eval(NULL, WA_OP_Cast, &to, 1, &in, 1, &out, 1, &err), err);
        if (wa__get_f64(&out, 0) != cases[i].want) fail_msg("%.17g to %s gives %.17g, not %.17g", cases[i].x, wa__dtype_info(cases[i].to)->name, wa__get_f64(&out, 0), cases[i].want);
    }
}

static void reductions_of_nothing(void **state)
{
    static const struct { wa_op op; double want; } cases[] = {
        {WA_OP_ReduceSum, 0}, {WA_OP_ReduceProd, 1}, {WA_OP_ReduceMax, -INFINITY}, {WA_OP_ReduceMin, INFINITY}, {WA_OP_ReduceL2, 0},
        {WA_OP_ReduceLogSum, -INFINITY}, {WA_OP_ReduceLogSumExp, -INFINITY}, {WA_OP_ReduceSumSquare, 0}};
    static int64_t one = 1;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float y[6] = {9, 9, 9, 9, 9, 9};
        wa_view in[2] = {{{WA_F32, 3, {2, 0, 3}}, NULL}, {{WA_I64, 1, {1}}, &one}}, out = {{WA_F32, 3, {2, 1, 3}}, y};
        wa_error err = {0};
        assert_ok(wa__kernel_eval(NULL, cases[i].op, NULL, 0, in, 2, &out, 1, &err), err);
        for (int k = 0; k < 6; k++)
            if ((double)y[k] != cases[i].want) fail_msg("%s of nothing gives %g, not %g", wa__op_info(cases[i].op)->name, (double)y[k], cases[i].want);
    }
}

static void nan_wins(void **state)
{
    (void)state;
    float x[2] = {NAN, 1}, y[2] = {1, NAN}, z[2];
    wa_view in[2] = {{{WA_F32, 1, {2}}, x}, {{WA_F32, 1, {2}}, y}}, out = {{WA_F32, 1, {2}}, z};
    wa_error err = {0};
    static const wa_op ops[] = {WA_OP_Min, WA_OP_Max};
    for (size_t i = 0; i < 2; i++) {
        assert_ok(wa__kernel_eval(NULL, ops[i], NULL, 0, in, 2, &out, 1, &err), err);
        assert_true(isnan(z[0]) && isnan(z[1]));
    }
    uint8_t b[2];
    out = (wa_view){{WA_BOOL, 1, {2}}, b};
    static const wa_op comparisons[] = {WA_OP_Equal, WA_OP_Less, WA_OP_LessOrEqual, WA_OP_Greater, WA_OP_GreaterOrEqual};
    for (size_t i = 0; i < sizeof comparisons / sizeof *comparisons; i++) {
        assert_ok(wa__kernel_eval(NULL, comparisons[i], NULL, 0, in, 2, &out, 1, &err), err);
        assert_true(!b[0] && !b[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(elementwise_fast), cmocka_unit_test(rows_fast), cmocka_unit_test(integers_wrap), cmocka_unit_test(casts),
                                       cmocka_unit_test(reductions_of_nothing), cmocka_unit_test(nan_wins)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
