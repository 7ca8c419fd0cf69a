/* Quantiles, floors, and the tune file's reader against what may stand in such a file. */
#include "tests.h"
#include "api/api_int.h"
#include <math.h>

static void quantiles(void **state)
{
    (void)state;
    const double v[] = {5, 1, 4, 2, 3};
    assert_true(api_quantile(v, 5, 0) == 1 && api_quantile(v, 5, 1) == 5 && api_quantile(v, 5, 0.5) == 3);
    assert_true(fabs(api_quantile(v, 5, 0.1) - 1.4) < 1e-12 && fabs(api_quantile(v, 5, 0.9) - 4.6) < 1e-12);
    assert_true(api_quantile(v, 1, 0.9) == 5);
    assert_true(isnan(api_quantile(v, 0, 0.5)));
    assert_true(v[0] == 5); /* the values stay as they are */
}

static void floors_are_the_slowest_part(void **state)
{
    (void)state;
    const wa_run_floors f = {.pass_us = 2, .near_bytes = 1e6, .near_bytes_per_s = 1e12, .far_bytes_per_s = 1e11, .f32_per_s = 1e13, .f16_per_s = 2e13, .matrix_per_s = 1e14};
    assert_true(api_floor_us(&f, 0, 0, 0) == 2);
    assert_true(fabs(api_floor_us(&f, 1000000000, 1000, 0) - 100) < 1e-9);
    assert_true(fabs(api_floor_us(&f, 1000000000, 1000, WA_FEATURE_F16) - 50) < 1e-9);
    assert_true(fabs(api_floor_us(&f, 1000000000, 1000, WA_FEATURE_F16 | WA_FEATURE_SUBGROUP_MATRIX) - 10) < 1e-9);
    assert_true(fabs(api_floor_us(&f, 0, 10000000, 0) - 100) < 1e-9);
    assert_true(api_floor_us(&f, 0, 1000000, 0) == 2); /* from a cache in 1 us: a dispatch takes longer */
    const wa_run_floors plain = {.pass_us = 1, .near_bytes_per_s = 1, .far_bytes_per_s = 1e11, .f32_per_s = 1e13};
    assert_true(fabs(api_floor_us(&plain, 1000000000, 0, WA_FEATURE_F16 | WA_FEATURE_SUBGROUP_MATRIX) - 100) < 1e-9);
}

#define FLOORS "\"pass_us\":2,\"dispatch_us\":1.5,\"near_bytes\":4194304,\"near_bytes_per_s\":3e12,\"far_bytes_per_s\":2e12,\"f32_per_s\":6e13"

static void tune_file_reads(void **state)
{
    (void)state;
    const char *text = "{\"webaccel_tune\":1,\"floors\":{" FLOORS ",\"matrix_per_s\":5e14}}";
    api_tuned t = {.name = "kept"};
    wa_error err = {0};
    assert_ok(api_tuned_parse(text, strlen(text), "x.json", &t, &err), err);
    assert_true(t.has_floors && t.floors.f32_per_s == 6e13 && t.floors.matrix_per_s == 5e14 && t.floors.f16_per_s == 0);
    assert_string_equal(t.name, "kept");
}

/* Each is refused with the file's name in the message, and nothing is taken from it. */
static void bad_tune_files(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", " ", "{", "[]", "7", "null", "{}", "{\"webaccel_tune\":2}", "{\"webaccel_tune\":\"1\"}", "{\"webaccel_tune\":1,\"webaccel_tune\":1}",
        "{\"webaccel_tune\":1,\"floors\":[]}", "{\"webaccel_tune\":1,\"floors\":{}}", "{\"webaccel_tune\":1,\"floors\":{" FLOORS ",\"f16_per_s\":-1}}",
        "{\"webaccel_tune\":1,\"floors\":{" FLOORS ",\"f16_per_s\":1e300}}", "{\"webaccel_tune\":1,\"floors\":{" FLOORS ",\"f16_per_s\":\"fast\"}}",
        "{\"webaccel_tune\":1,\"floors\":{\"pass_us\":0,\"dispatch_us\":1,\"near_bytes\":1,\"near_bytes_per_s\":1,\"far_bytes_per_s\":1,\"f32_per_s\":1}}",
        "{\"webaccel_tune\":1,\"floors\":{\"pass_us\":1,\"dispatch_us\":1,\"near_bytes\":1,\"near_bytes_per_s\":1,\"far_bytes_per_s\":1}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        api_tuned t = {.name = "kept"}, before = t;
        wa_error err = {0};
        if (api_tuned_parse(bad[i], strlen(bad[i]), "x.json", &t, &err) == WA_OK) fail_msg("taken: %s", bad[i]);
        assert_non_null(strstr(err.message, "x.json"));
        assert_memory_equal(&t, &before, sizeof t);
    }
    api_tuned t = {0};
    wa_error err = {0};
    assert_int_equal(api_tuned_parse("{\0}", 3, "x.json", &t, &err), WA_CORRUPT);
}

/* Every single byte of a good file changed in turn: it is read or refused, and never gives a number that cannot be. */
static void changed_bytes(void **state)
{
    (void)state;
    const char *text = "{\"webaccel_tune\":1,\"floors\":{" FLOORS "}}";
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        for (int flip = 1; flip < 256; flip <<= 1) {
            char copy[512];
            api_tuned t = {0};
            memcpy(copy, text, n);
            copy[i] = (char)(copy[i] ^ flip);
            if (api_tuned_parse(copy, n, "x.json", &t, NULL) == WA_OK && t.has_floors) assert_true(t.floors.f32_per_s > 0 && t.floors.f32_per_s < 1e18 && t.floors.pass_us > 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(quantiles), cmocka_unit_test(floors_are_the_slowest_part), cmocka_unit_test(tune_file_reads), cmocka_unit_test(bad_tune_files), cmocka_unit_test(changed_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
