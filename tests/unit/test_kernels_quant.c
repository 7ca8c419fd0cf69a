/* References of quantisation, of packed codes and of packed elements, and weights' widening. */
#include "base/quant.h"
#include "kernels/kernels.h"
#include "plan/plan.h"
#include "tests.h"
#include <math.h>

#define VIEW(d, bytes, ...) ((wa_view){{d, sizeof((int64_t[]){__VA_ARGS__}) / 8, {__VA_ARGS__}}, bytes})

static wa_attr whole(const char *name, int64_t v) { return (wa_attr){.name = wa__str(name), .kind = WA_ATTR_KIND_INT, .i = v}; }

static wa_status run(wa_op op, const wa_attr *attrs, uint32_t attr_count, const wa_view *in, uint32_t n, wa_view *out, wa_error *err)
{
    return wa__kernel_eval(NULL, op, attrs, attr_count, in, n, out, 1, err);
}

static void layouts(void **state)
{
    (void)state;
    wa_quant_layout q;
    wa_tensor_type x = {WA_F32, 3, {2, 5, 3}}, scalar = {WA_F32, 0, {0}}, axis = {WA_F32, 1, {5}}, blocked = {WA_F32, 3, {2, 3, 3}};
    assert_true(wa__quant_layout(&x, &scalar, 1, 0, &q) && wa__quant_scale_at(&q, 29) == 0);
    assert_true(wa__quant_layout(&x, &axis, -2, 0, &q) && wa__quant_scale_at(&q, 16) == 0 && wa__quant_scale_at(&q, 14) == 4);
    assert_true(wa__quant_layout(&x, &blocked, 1, 2, &q));
    assert_int_equal(wa__quant_scale_at(&q, 15 + 4 * 3 + 2), 9 + 2 * 3 + 2); /* last place: second outer, third block */
    assert_true(wa__quant_layout(&x, &blocked, 1, 0, &q) && q.block == 2);
    assert_false(wa__quant_layout(&x, &blocked, 1, 5, &q));
    assert_false(wa__quant_layout(&x, &axis, 0, 0, &q));
    assert_false(wa__quant_layout(&x, &axis, 7, 0, &q));
}

static void quantize(void **state)
{
    (void)state;
    wa_error err = {0};
    float x[6] = {1, 3, -1, 1000, -1000, NAN}, scale = 2;
    uint8_t zero = 10, y[6];
    wa_view in[3] = {VIEW(WA_F32, x, 6), {{WA_F32, 0, {0}}, &scale}, {{WA_U8, 0, {0}}, &zero}}, out = VIEW(WA_U8, y, 6);
    assert_ok(run(WA_OP_QuantizeLinear, NULL, 0, in, 3, &out, &err), err);
    const uint8_t want[6] = {10, 12, 10, 255, 0, 10}; /* ties to even */
    assert_memory_equal(y, want, 6);
    uint8_t packed[3] = {0};
    wa_view narrow = VIEW(WA_I4, packed, 6);
    wa_attr to = whole("output_dtype", 22);
    assert_ok(run(WA_OP_QuantizeLinear, &to, 1, in, 2, &narrow, &err), err);
    const int64_t four[6] = {0, 2, 0, 7, -8, 0};
    for (int i = 0; i < 6; i++) assert_int_equal(wa__get_i64(&narrow, i), four[i]);
    wa_view back = VIEW(WA_F32, x, 6), from[2] = {narrow, in[1]};
    assert_ok(run(WA_OP_DequantizeLinear, NULL, 0, from, 2, &back, &err), err);
    assert_true(x[1] == 4 && x[3] == 14 && x[4] == -16);
    wa_view wrong = VIEW(WA_F32, x, 6);
    assert_int_equal(run(WA_OP_QuantizeLinear, NULL, 0, in, 3, &wrong, &err), WA_INVALID_ARGUMENT);
}

static void blocks(void **state)
{
    (void)state;
    wa_error err = {0};
    uint8_t codes[4] = {0x21, 0x43, 0x65, 0x87}, zeros[2] = {0x10, 0x02};
    float scale[4] = {1, 2, 3, 4}, y[8];
    wa_attr attrs[6] = {whole("rows", 2), whole("cols", 4), whole("block", 2), whole("bits", 4), whole("zero", 8), whole("high_first", 0)};
    wa_view in[4] = {VIEW(WA_U8, codes, 2, 2), VIEW(WA_F32, scale, 2, 2), VIEW(WA_U8, zeros, 2, 1), {{WA_DTYPE_NONE, 0, {0}}, NULL}}, out = VIEW(WA_F32, y, 2, 4);
    assert_ok(run(WA_OP_DequantizeBlocks, attrs, 6, in, 2, &out, &err), err);
    const float none[8] = {-7, -6, -10, -8, -9, -6, -4, 0};
    assert_memory_equal(y, none, sizeof y);
    assert_ok(run(WA_OP_DequantizeBlocks, attrs, 6, in, 3, &out, &err), err);
    const float given[8] = {1, 2, 4, 6, 9, 12, 28, 32};
    assert_memory_equal(y, given, sizeof y);
    int32_t group[4] = {1, 0, 1, 0};
    in[3] = VIEW(WA_I32, group, 4);
    assert_ok(run(WA_OP_DequantizeBlocks, attrs, 6, in, 4, &out, &err), err);
    assert_true(y[0] == 0 && y[1] == 2 && y[2] == 4 && y[3] == 4);
    group[2] = 2; /* from a hostile plan */
    assert_int_equal(run(WA_OP_DequantizeBlocks, attrs, 6, in, 4, &out, &err), WA_INVALID_ARGUMENT);
    attrs[5].i = 1;
    assert_ok(run(WA_OP_DequantizeBlocks, attrs, 6, in, 2, &out, &err), err);
    assert_true(y[0] == -6 && y[1] == -7);
    attrs[0].i = 3;
    assert_int_equal(run(WA_OP_DequantizeBlocks, attrs, 6, in, 2, &out, &err), WA_INVALID_ARGUMENT);
    attrs[0].i = 2, attrs[3].i = 3;
    assert_int_equal(run(WA_OP_DequantizeBlocks, attrs, 6, in, 2, &out, &err), WA_INVALID_ARGUMENT);
}

/* Operators that know bytes only. */
static void packed_elements(void **state)
{
    (void)state;
    wa_error err = {0};
    uint8_t x[2] = {0x21, 0xf3}, y[3] = {0};
    wa_view in = VIEW(WA_I4, x, 2, 2), out = VIEW(WA_I4, y, 2, 2); /* 1 2 / 3 -1 */
    assert_ok(run(WA_OP_Transpose, NULL, 0, &in, 1, &out, &err), err);
    assert_int_equal(y[0], 0x31);
    assert_int_equal(y[1], 0xf2);
    int64_t rows[3] = {1, 0, 1};
    wa_view pick[2] = {VIEW(WA_F4E2M1, x, 2, 2), VIEW(WA_I64, rows, 3)}, picked = VIEW(WA_F4E2M1, y, 3, 2);
    assert_ok(run(WA_OP_Gather, NULL, 0, pick, 2, &picked, &err), err);
    assert_int_equal(y[0], 0xf3);
    assert_int_equal(y[1], 0x21);
    assert_int_equal(y[2], 0xf3);
    wa_view two[2] = {VIEW(WA_F4E2M1, x, 4), VIEW(WA_F4E2M1, x, 4)}, sum = VIEW(WA_F4E2M1, y, 4);
    assert_int_equal(run(WA_OP_Add, NULL, 0, two, 2, &sum, &err), WA_UNSUPPORTED);
}

/* The CPU twin of WIDEN. */
static void widening(void **state)
{
    (void)state;
    const struct { wa_dtype d; uint8_t bytes[2]; uint32_t count; int32_t whole[3]; float real[3]; } t[] = {
        {WA_I8, {0xff, 0x7f}, 2, {-1, 127}, {0}},      {WA_U8, {0xff, 0x7f}, 2, {255, 127}, {0}}, {WA_I16, {0xfe, 0xff}, 1, {-2}, {0}},
        {WA_U16, {0xfe, 0xff}, 1, {65534}, {0}},       {WA_I4, {0x81, 0x07}, 3, {1, -8, 7}, {0}}, {WA_U2, {0xe4, 0}, 3, {0, 1, 2}, {0}},
        {WA_F8E4M3FN, {0x38, 0xfe}, 2, {0}, {1, -448}}, {WA_F4E2M1, {0xf1, 0x02}, 3, {0}, {0.5f, -6, 1}}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        wa_plan p = {.weight_count = 1};
        wa_plan_weight w = {.transform = WA_TRANSFORM_WIDEN, .dtype = t[i].d, .dst_length = t[i].count * 4u};
        int32_t words[3] = {0};
        wa_error err = {0};
        w.length = (t[i].count * wa__dtype_info(t[i].d)->bits + 7) / 8;
        p.weights = &w;
        assert_true(wa__plan_widens(t[i].d));
        assert_ok(wa__plan_transform(&p, 0, t[i].bytes, (uint8_t *)words, &err), err);
        if (wa__dtype_is_float(t[i].d)) assert_memory_equal(words, t[i].real, t[i].count * 4u);
        else assert_memory_equal(words, t[i].whole, t[i].count * 4u);
    }
    assert_false(wa__plan_widens(WA_F16) || wa__plan_widens(WA_BOOL) || wa__plan_widens(WA_F32) || wa__plan_widens(WA_DTYPE_NONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(layouts), cmocka_unit_test(quantize), cmocka_unit_test(blocks), cmocka_unit_test(packed_elements), cmocka_unit_test(widening)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
