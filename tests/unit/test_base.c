/* base: arenas, buffers, readers, numbers, f16, the pool, files. */
#include "base/checked.h"
#include "base/hash.h"
#include "base/os.h"
#include "base/reader.h"
#include "base/tensor.h"
#include "base/threads.h"
#include "tests.h"
#include <math.h>
#include <stdatomic.h>

static void test_arena_cap(void **state)
{
    (void)state;
    wa_arena a;
    wa__arena_init(&a, 1000);
    char *p = wa__arena_alloc(&a, 10, 10);
    assert_non_null(p);
    for (int i = 0; i < 100; i++) assert_int_equal(p[i], 0);
    assert_null(wa__arena_alloc(&a, 1000, 1));
    assert_null(wa__arena_alloc(&a, SIZE_MAX / 2, 4));
    wa__arena_done(&a);
}

static void test_buf(void **state)
{
    (void)state;
    wa_buf b;
    wa_error err;
    wa__buf_init(&b, 10);
    assert_int_equal(wa__buf_append(&b, "0123456789", 10, &err), WA_OK);
    assert_int_equal(wa__buf_append(&b, "x", 1, &err), WA_LIMIT);
    assert_string_equal(b.ptr, "0123456789");
    wa__buf_done(&b);
}

static void test_reader(void **state)
{
    (void)state;
    const uint8_t bytes[] = {0x96, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x80};
    wa_reader r = wa__reader(bytes, sizeof bytes, "t.bin");
    wa_error err;
    uint64_t v;
    assert_int_equal(wa__read_varint(&r, &v, "f", &err), WA_OK);
    assert_int_equal(v, 150);
    assert_int_equal(wa__read_varint(&r, &v, "f", &err), WA_CORRUPT);
    assert_non_null(strstr(err.message, "t.bin"));
    r.pos = 12;
    assert_int_equal(wa__read_varint(&r, &v, "f", &err), WA_CORRUPT);
    uint32_t u;
    assert_int_equal(wa__read_u32(&r, &u, "g", &err), WA_CORRUPT);
    assert_int_equal(r.pos, 12);
}

static void test_numbers(void **state)
{
    (void)state;
    int64_t i;
    double d;
    assert_true(wa__parse_i64(WA_STR("-9223372036854775808"), &i) && i == INT64_MIN);
    assert_false(wa__parse_i64(WA_STR("9223372036854775808"), &i));
    assert_false(wa__parse_i64(WA_STR("1x"), &i));
    assert_true(wa__parse_f64(WA_STR("1e-12"), &d) && d == 1e-12);
    size_t at = 0;
    assert_true(wa__utf8_valid("h\xc3\xa9\xf0\x9f\x98\x80", 7, &at));
    assert_false(wa__utf8_valid("ab\xc0\x80", 4, &at));
    assert_int_equal(at, 2);
    assert_false(wa__utf8_valid("\xed\xa0\x80", 3, &at));
    wa_tensor_type t = {WA_F32, 3, {1 << 20, 1 << 20, 1 << 20}};
    assert_false(wa__type_count(&t, &i));
    t.dims[1] = 0;
    assert_true(wa__type_count(&t, &i) && i == 0);
}

static void test_f16_round_trip(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float f = wa__f16_to_f32((uint16_t)h);
        if (isnan(f)) assert_true((wa__f32_to_f16(f) & 0x7fff) > 0x7c00);
        else assert_int_equal(wa__f32_to_f16(f), h);
    }
    assert_int_equal(wa__f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(wa__f32_to_f16(65519.0f), 0x7bff);
    assert_int_equal(wa__f32_to_f16(1.0f + 0x1p-11f), 0x3c00); /* tie to even */
}

static void add_one(void *user, uint32_t i, uint32_t thread)
{
    (void)thread;
    atomic_fetch_add((atomic_uint *)user + i, 1);
}

static void test_pool(void **state)
{
    (void)state;
    static atomic_uint counts[1000];
    wa_pool *p;
    wa_error err;
    assert_int_equal(wa__pool_create(3, &p, &err), WA_OK);
    for (int round = 0; round < 500; round++) {
        wa__pool_run(p, 1000, add_one, counts);
        if (round % 100 == 0) wa__os_sleep_ms(1); /* let workers sleep */
    }
    for (int i = 0; i < 1000; i++) assert_int_equal(atomic_load(&counts[i]), 500);
    wa__pool_free(p);
}

static void test_files(void **state)
{
    (void)state;
    wa_error err = {0};
    char *dir;
    assert_int_equal(wa__os_temp_dir("/tmp", "wa-test-", &dir, &err), WA_OK);
    char *deep = wa__path_join(dir, "a/b/c"), *file = wa__path_join(dir, "a/f");
    assert_int_equal(wa__os_mkdirs(deep, 0700, &err), WA_OK);
    assert_int_equal(wa__os_write_file(file, "hello", 5, 0600, &err), WA_OK);
    wa_map m;
    assert_int_equal(wa__os_map(file, &m, &err), WA_OK);
    assert_memory_equal(m.data, "hello", 5);
    wa__os_unmap(&m);
    wa_lock l, l2;
    assert_int_equal(wa__os_lock(file, 0, &l, &err), WA_OK);
    assert_int_equal(wa__os_lock(file, 20, &l2, &err), WA_BUSY);
    wa__os_unlock(&l);
    assert_int_equal(wa__os_map(deep, &m, &err), WA_INVALID_ARGUMENT);
    assert_int_equal(wa__os_remove_tree(dir, &err), WA_OK);
    wa_file_info info;
    assert_int_equal(wa__os_stat(dir, true, &info, &err), WA_OK);
    assert_int_equal(info.kind, WA_FILE_NONE);
    assert_int_equal(wa__os_map(file, &m, &err), WA_NOT_FOUND);
    wa__free(deep);
    wa__free(file);
    wa__free(dir);
}

static void test_sha256(void **state)
{
    (void)state;
    uint8_t d[32];
    char hex[65];
    wa_error err;
    assert_int_equal(wa__sha256("abc", 3, d, &err), WA_OK);
    wa__hex(d, 32, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena_cap), cmocka_unit_test(test_buf),   cmocka_unit_test(test_reader),
        cmocka_unit_test(test_numbers),   cmocka_unit_test(test_f16_round_trip), cmocka_unit_test(test_pool),
        cmocka_unit_test(test_files),     cmocka_unit_test(test_sha256),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
