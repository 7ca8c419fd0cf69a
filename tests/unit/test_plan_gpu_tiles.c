/* The table of WebGPU's tiles: what it chooses is legal, texts survive a round trip, measured rows win. */
#include "tests.h"
#include "plan/plan_int.h"

static const wa_plan_target hardware = {.target = WA_TARGET_WEBGPU, .workgroup_bytes = 49152, .invocations = 1024};
static const wa_plan_target small = {.target = WA_TARGET_WEBGPU, .workgroup_bytes = 16384, .invocations = 256};
static const wa_plan_target software = {.target = WA_TARGET_WEBGPU, .software = true};
static const uint64_t shapes[][3] = {{1, 384, 384}, {128, 1152, 384}, {128, 384, 1536}, {4096, 384, 384}, {4096, 3072, 768}, {37, 30522, 768}, {5, 7, 9}, {300, 768, 768}, {1, 1, 1}, {65535 * 16, 64, 64}};

static void choices_are_legal(void **state)
{
    (void)state;
    const wa_plan_target *targets[] = {&hardware, &small, &software};
    for (unsigned t = 0; t < 3; t++) {
        for (unsigned i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            wa_gpu_tile chosen, list[WA_GPU_TILES_MAX];
            wa_error err = {0};
            uint64_t m = shapes[i][0], n = shapes[i][1], k = shapes[i][2];
            if (t == 2 && m > 65535 * 8) { /* more rows than a grid of 8-row tiles has */
                assert_int_equal(wa__gpu_tile_for(targets[t], m, n, k, &chosen, &err), WA_UNSUPPORTED);
                continue;
            }
            assert_ok(wa__gpu_tile_for(targets[t], m, n, k, &chosen, &err), err);
            assert_true(wa__gpu_tile_legal(targets[t], m, n, k, &chosen));
            uint32_t count = wa__gpu_tile_candidates(targets[t], m, n, k, list, WA_GPU_TILES_MAX);
            assert_true(count >= 1 && count < WA_GPU_TILES_MAX);
            assert_memory_equal(&list[0], &chosen, sizeof chosen);
            for (uint32_t c = 0; c < count; c++) {
                char text[WA_GPU_TILE_TEXT];
                wa_gpu_tile back = {0};
                assert_true(wa__gpu_tile_legal(targets[t], m, n, k, &list[c]));
                wa__gpu_tile_print(&list[c], text);
                if (!wa__gpu_tile_parse(text, &back) || memcmp(&back, &list[c], sizeof back) != 0) fail_msg("\"%s\" is read otherwise", text);
                for (uint32_t d = 0; d < c; d++) assert_memory_not_equal(&list[c], &list[d], sizeof list[c]);
            }
        }
    }
}

static void texts(void **state)
{
    (void)state;
    wa_gpu_tile t;
    char text[WA_GPU_TILE_TEXT];
    assert_true(wa__gpu_tile_parse("straight 16x32 s4 u3", &t));
    assert_int_equal(t.kernel, WA_WGSL_MATMUL_STRAIGHT);
    assert_true(t.rows == 16 && t.cols == 32 && t.lane_rows == 4 && t.lane_cols == 4 && t.slices == 4 && t.unroll == 3);
    assert_true(wa__gpu_tile_parse("staged 64x128", &t));
    assert_true(t.depth == 16 && t.lane_rows == 8 && t.slices == 1);
    wa__gpu_tile_print(&t, text);
    assert_string_equal(text, "staged 64x128x16/8x8");
    static const char *const bad[] = {"", "staged", "staged 64", "staged 64x", "staged 0x64", "other 64x64", "staged 64x64x16/8", "staged 64x64 u3", "straight 16x32 s", "plain 8x32 s0",
                                      "straight 16x32 s4 u3 ", "straight 16x32x16", "staged 99999x4", "staged -4x4"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        if (wa__gpu_tile_parse(bad[i], &t)) fail_msg("\"%s\" was taken for a tile", bad[i]);
}

static void measured_rows_come_first(void **state)
{
    (void)state;
    wa_error err = {0};
    wa_gpu_tile_row rows[3] = {{64, 384, 384, {0}}, {4096, 384, 384, {0}}, {UINT32_MAX, 1536, 384, {0}}};
    assert_true(wa__gpu_tile_parse("straight 8x32 s2 u2", &rows[0].tile));
    assert_true(wa__gpu_tile_parse("staged 64x64x16/8x8", &rows[1].tile));
    assert_true(wa__gpu_tile_parse("staged 128x256x16/8x16", &rows[2].tile)); /* too large for the adapter */
    wa_plan_target t = small, plain = small;
    t.tiles = rows;
    t.tile_count = 3;
    wa_gpu_tile got, usual;
    assert_ok(wa__gpu_tile_for(&t, 64, 384, 384, &got, &err), err);
    assert_memory_equal(&got, &rows[0].tile, sizeof got);
    assert_ok(wa__gpu_tile_for(&t, 65, 384, 384, &got, &err), err);
    assert_memory_equal(&got, &rows[1].tile, sizeof got);
    assert_ok(wa__gpu_tile_for(&t, 128, 1536, 384, &got, &err), err);
    assert_ok(wa__gpu_tile_for(&plain, 128, 1536, 384, &usual, &err), err);
    assert_memory_equal(&got, &usual, sizeof got);
    uint8_t with[32], without[32];
    wa_plan_options o = {.target = t}, p = {.target = plain};
    assert_ok(wa__plan_key(&o, NULL, NULL, 0, with, &err), err);
    assert_ok(wa__plan_key(&p, NULL, NULL, 0, without, &err), err);
    assert_memory_not_equal(with, without, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(choices_are_legal), cmocka_unit_test(texts), cmocka_unit_test(measured_rows_come_first)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
