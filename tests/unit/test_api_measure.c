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

static char *with_tiles(const char *tiles)
{
    uint8_t hash[32];
    char hex[65];
    wa__kernels_hash(hash);
    wa__hex(hash, 32, hex);
    return wa__format("{\"webaccel_tune\":1,\"kernels\":\"%s\",\"tiles\":%s}", hex, tiles);
}

#define TILE(bits, low, high, text) "{\"bits\":" #bits ",\"m_min\":" #low ",\"m_max\":" #high ",\"n\":384,\"k\":384,\"tile\":\"" text "\",\"us\":5,\"default_us\":6}"

static void tiles_read(void **state)
{
    (void)state;
    static api_tuned t;
    wa_error err = {0};
    char *text = with_tiles("[" TILE(32, 65, 128, "staged 64x64x16/8x8") "," TILE(16, 5, 8, "plain 8x32/8x8") "," TILE(32, 9, 16, "straight 16x32/4x4 s4 u3") "]");
    t = (api_tuned){0};
    assert_ok(api_tuned_parse(text, strlen(text), "x.json", &t, &err), err);
    wa__free(text);
    assert_int_equal(t.tiles[0].count, 2);
    assert_int_equal(t.tiles[1].count, 1);
    assert_int_equal(t.tiles[0].rows[0].m_max, 16); /* few rows first: the planner takes the first that fits */
    assert_int_equal(t.tiles[0].rows[0].tile.slices, 4);
    assert_true(t.tiles[0].us[1] == 5 && t.tiles[0].default_us[1] == 6);
    wa_gpu_tile_row row = t.tiles[0].rows[1]; /* the same shape again replaces it */
    row.tile.slices = 2;
    assert_true(api_tuned_add(&t, false, &row, 4, 6));
    assert_int_equal(t.tiles[0].count, 2);
    assert_int_equal(t.tiles[0].rows[1].tile.slices, 2);
    for (uint32_t i = t.tiles[0].count; i < API_TILES_MAX; i++) {
        row.n = 1000 + i;
        assert_true(api_tuned_add(&t, false, &row, 1, 1));
    }
    row.n = 7;
    assert_false(api_tuned_add(&t, false, &row, 1, 1));
}

/* What the planner does with a row: only for its rows of M, and never where the adapter does not allow the tile. */
static void rows_choose(void **state)
{
    (void)state;
    wa_gpu_tile_row row = {.m_min = 65, .m_max = 128, .n = 384, .k = 384};
    wa_plan_target t = {.target = WA_TARGET_WEBGPU, .software = true}, tuned = t;
    wa_gpu_tile tile, standard;
    wa_error err = {0};
    assert_true(wa__gpu_tile_parse("plain 4x32/4x8", &row.tile));
    tuned.tiles = &row;
    tuned.tile_count = 1;
    const uint32_t inside[] = {65, 128}, outside[] = {64, 129};
    for (int i = 0; i < 2; i++) {
        assert_ok(wa__gpu_tile_for(&tuned, inside[i], 384, 384, &tile, &err), err);
        assert_memory_equal(&tile, &row.tile, sizeof tile);
        assert_ok(wa__gpu_tile_for(&tuned, outside[i], 384, 384, &tile, &err), err);
        assert_ok(wa__gpu_tile_for(&t, outside[i], 384, 384, &standard, &err), err);
        assert_memory_equal(&tile, &standard, sizeof tile);
    }
    row.tile.rows = row.tile.lane_rows = 4096; /* out of a file: no adapter runs it */
    assert_ok(wa__gpu_tile_for(&tuned, 128, 384, 384, &tile, &err), err);
    assert_ok(wa__gpu_tile_for(&t, 128, 384, 384, &standard, &err), err);
    assert_memory_equal(&tile, &standard, sizeof tile);
}

static void bad_tiles(void **state)
{
    (void)state;
    static const char *const bad[] = {"{}", "7", "[7]", "[{}]", "[" TILE(8, 1, 2, "plain 8x32/8x8") "]", "[" TILE(32, 3, 2, "plain 8x32/8x8") "]", "[" TILE(32, 0, 2, "plain 8x32/8x8") "]",
                                      "[" TILE(32, 1, 99999999, "plain 8x32/8x8") "]", "[" TILE(32, 1, 2, "plain") "]", "[" TILE(32, 1, 2, "clever 8x32/8x8") "]",
                                      "[" TILE(32, 1, 2, "plain 99999999999x32/8x8") "]", "[" TILE(32, 1, 2, "plain 8x32/8x8 and more") "]", "[" TILE(32, 1, 2, "") "]"};
    static api_tuned t;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        wa_error err = {0};
        char *text = with_tiles(bad[i]);
        t = (api_tuned){0};
        if (api_tuned_parse(text, strlen(text), "x.json", &t, &err) == WA_OK) fail_msg("taken: %s", bad[i]);
        assert_non_null(strstr(err.message, "x.json"));
        assert_int_equal(t.tiles[0].count + t.tiles[1].count, 0);
        wa__free(text);
    }
    const char *other = "{\"webaccel_tune\":1,\"kernels\":\"another build's\",\"tiles\":[" TILE(32, 1, 2, "plain 8x32/8x8") "]}";
    wa_error err = {0};
    assert_ok(api_tuned_parse(other, strlen(other), "x.json", &t, &err), err);
    assert_int_equal(t.tiles[0].count, 0);
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
        static api_tuned t, before;
        t = before = (api_tuned){.name = "kept"};
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(quantiles), cmocka_unit_test(floors_are_the_slowest_part), cmocka_unit_test(tune_file_reads), cmocka_unit_test(tiles_read), cmocka_unit_test(rows_choose), cmocka_unit_test(bad_tiles), cmocka_unit_test(bad_tune_files), cmocka_unit_test(changed_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
