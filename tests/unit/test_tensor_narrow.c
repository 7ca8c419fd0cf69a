/* Small floats and packed integers against ml_dtypes: every code, rounding, saturation, packing. */
#include "narrow_tables.h"
#include "base/tensor.h"
#include "tests.h"
#include <math.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static float of_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static void check_codes(wa_dtype d, const uint32_t *want, unsigned count)
{
    const wa_small_float *s = wa__small_float(d);
    for (unsigned c = 0; c < count; c++) {
        float f = of_bits(want[c]), have = wa__small_to_f32(s, (uint8_t)c);
        if (isnan(f) ? !isnan(have) : memcmp(&f, &have, 4) != 0) fail_msg("%s code %02x is %a, expected %a", wa__dtype_info(d)->name, c, (double)have, (double)f);
        uint8_t back = wa__f64_to_small(s, (double)f, false, WA_ROUND_UP);
        if (!isnan(f) && back != c) fail_msg("%s %a gives code %02x, expected %02x", wa__dtype_info(d)->name, (double)f, back, c);
    }
}

static void every_code(void **state)
{
    (void)state;
    check_codes(WA_F8E4M3FN, codes_F8E4M3FN, COUNT(codes_F8E4M3FN));
    check_codes(WA_F8E4M3FNUZ, codes_F8E4M3FNUZ, COUNT(codes_F8E4M3FNUZ));
    check_codes(WA_F8E5M2, codes_F8E5M2, COUNT(codes_F8E5M2));
    check_codes(WA_F8E5M2FNUZ, codes_F8E5M2FNUZ, COUNT(codes_F8E5M2FNUZ));
    check_codes(WA_F8E8M0, codes_F8E8M0, COUNT(codes_F8E8M0));
    check_codes(WA_F4E2M1, codes_F4E2M1, COUNT(codes_F4E2M1));
}

static void check_rounding(wa_dtype d, const uint8_t *want)
{
    const wa_small_float *s = wa__small_float(d);
    float most = wa__small_to_f32(s, d == WA_F8E4M3FN ? 0x7e : d == WA_F8E5M2 ? 0x7b : d == WA_F4E2M1 ? 7 : 0x7f);
    for (size_t i = 0; i < COUNT(rounding_inputs); i++) {
        float x = of_bits(rounding_inputs[i]);
        uint8_t code = wa__f64_to_small(s, (double)x, false, WA_ROUND_UP), kept = wa__f64_to_small(s, (double)x, true, WA_ROUND_UP);
        if (code != want[i]) fail_msg("%s of %a is %02x, expected %02x", wa__dtype_info(d)->name, (double)x, code, want[i]);
        float f = wa__small_to_f32(s, want[i]), g = wa__small_to_f32(s, kept);
        if (isfinite(f)) assert_int_equal(kept, code);
        else if (isnan(x)) assert_true(isnan(g));
        else assert_true(fabsf(g) == most && signbit(g) == signbit(x));
    }
}

static void rounding(void **state)
{
    (void)state;
    check_rounding(WA_F8E4M3FN, rounded_F8E4M3FN);
    check_rounding(WA_F8E4M3FNUZ, rounded_F8E4M3FNUZ);
    check_rounding(WA_F8E5M2, rounded_F8E5M2);
    check_rounding(WA_F8E5M2FNUZ, rounded_F8E5M2FNUZ);
    check_rounding(WA_F4E2M1, rounded_F4E2M1);
}

static void scales(void **state)
{
    (void)state;
    const wa_small_float *s = wa__small_float(WA_F8E8M0);
    const struct { double x; uint8_t up, down, nearest; } t[] = {
        {1, 127, 127, 127}, {1.1, 128, 127, 127}, {1.5, 128, 127, 128}, {2, 128, 128, 128}, {0.124, 124, 123, 124}, {0x1.8p127, 254, 254, 254}};
    for (size_t i = 0; i < COUNT(t); i++) {
        assert_int_equal(wa__f64_to_small(s, t[i].x, true, WA_ROUND_UP), t[i].up);
        assert_int_equal(wa__f64_to_small(s, t[i].x, true, WA_ROUND_DOWN), t[i].down);
        assert_int_equal(wa__f64_to_small(s, t[i].x, true, WA_ROUND_NEAREST), t[i].nearest);
    }
    assert_int_equal(wa__f64_to_small(s, 0, true, WA_ROUND_UP), 0);
    assert_int_equal(wa__f64_to_small(s, 0, false, WA_ROUND_NEAREST), 0xff);
    assert_int_equal(wa__f64_to_small(s, INFINITY, true, WA_ROUND_UP), 0xfe);
    assert_int_equal(wa__f64_to_small(s, INFINITY, false, WA_ROUND_UP), 0xff);
    assert_int_equal(wa__f64_to_small(s, NAN, true, WA_ROUND_UP), 0xff);
}

static void packed(void **state)
{
    (void)state;
    const struct { wa_dtype d; int64_t low, high; } t[] = {{WA_I4, -8, 7}, {WA_U4, 0, 15}, {WA_I2, -2, 1}, {WA_U2, 0, 3}};
    for (size_t k = 0; k < COUNT(t); k++) {
        uint8_t bytes[16] = {0};
        int64_t n = t[k].high - t[k].low + 1;
        wa_view v = {{t[k].d, 1, {n}}, bytes};
        for (int64_t i = n; i-- > 0;) wa__set_i64(&v, i, t[k].low + i);
        for (int64_t i = 0; i < n; i++) {
            assert_int_equal(wa__get_i64(&v, i), t[k].low + i);
            assert_true(wa__get_f64(&v, i) == (double)(t[k].low + i));
        }
        wa__set_f64(&v, 0, (double)(t[k].high + 1)); /* low bits stay */
        assert_int_equal(wa__get_i64(&v, 0), t[k].low);
        assert_int_equal(wa__get_i64(&v, 1), t[k].low + 1);
    }
    uint8_t order[2] = {0x21, 0x43}; /* low bits first */
    wa_view v = {{WA_U4, 1, {4}}, order};
    for (int64_t i = 0; i < 4; i++) assert_int_equal(wa__get_i64(&v, i), i + 1);
    wa_view f = {{WA_F4E2M1, 1, {3}}, order};
    wa__set_f64(&f, 2, -6.5);
    assert_true(wa__get_f64(&f, 2) == -6 && wa__get_f64(&f, 0) == 0.5 && wa__get_i64(&f, 2) == -6);
    uint64_t size;
    assert_true(wa__type_bytes(&(wa_tensor_type){WA_U2, 1, {5}}, &size) && size == 2);
    assert_true(wa__dtype_is_packed(WA_I4) && !wa__dtype_is_packed(WA_U8) && !wa__dtype_is_packed(WA_DTYPE_NONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_code), cmocka_unit_test(rounding), cmocka_unit_test(scales), cmocka_unit_test(packed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
