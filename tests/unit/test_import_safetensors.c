/* safetensors headers: good, sharded, broken in every way that the format allows. */
#include "import/import_safetensors.h"
#include "import_tests.h"

/* A file of this header and n data bytes; the caller frees it. */
static uint8_t *make(const char *header, size_t data, size_t *size)
{
    uint64_t n = strlen(header);
    *size = 8 + n + data;
    uint8_t *p = calloc(1, *size);
    assert_non_null(p);
    memcpy(p, &n, 8);
    memcpy(p + 8, header, n);
    return p;
}

static wa_status read_one(const char *header, size_t data, size_t *count, wa_error *err)
{
    size_t size;
    uint8_t *p = make(header, data, &size);
    wa_model_file file = {WA_STR("model.safetensors"), p, size};
    wa_model_files m = {&file, 1};
    wa_safetensors s;
    wa_status r = wa__safetensors_open(&m, &s, err);
    *count = s.count;
    wa__safetensors_done(&s);
    free(p);
    return r;
}

static void test_good(void **state)
{
    (void)state;
    size_t n = 0;
    wa_error err = {0};
    assert_ok(read_one("{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],"
                       "\"data_offsets\":[0,24]},"
                       "\"b\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[24,26]},\"c\":{\"dtype\":"
                       "\"I64\",\"shape\":[0],\"data_offsets\":[26,26]}}   ",
                       26, &n, &err),
              err);
    assert_int_equal(n, 3);
    assert_ok(read_one("{}", 0, &n, &err), err);
    assert_int_equal(n, 0);
}

static void test_bad(void **state)
{
    (void)state;
#define T(rest) "{\"a\":{\"dtype\":\"F32\"," rest "}}"
    static const struct {
        const char *header, *text;
        wa_status want;
    } cases[] = {
        {"", "not valid JSON", WA_CORRUPT},
        {"[]", "no object", WA_CORRUPT},
        {"{\"a\":1}", "no object", WA_CORRUPT},
        {"{\"a\":{}}", "no dtype", WA_CORRUPT},
        {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", "F8_E4M3", WA_UNSUPPORTED},
        {T("\"shape\":[2]"), "data_offsets", WA_CORRUPT},
        {T("\"data_offsets\":[0,8]"), "no shape", WA_CORRUPT},
        {T("\"shape\":[-2],\"data_offsets\":[0,8]"), "no size", WA_CORRUPT},
        {T("\"shape\":[2.0],\"data_offsets\":[0,8]"), "no size", WA_CORRUPT},
        {T("\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]"), "dimensions", WA_UNSUPPORTED},
        {T("\"shape\":[2],\"data_offsets\":[0,4]"), "do not fit", WA_CORRUPT},
        {T("\"shape\":[2],\"data_offsets\":[8,0]"), "lies at", WA_CORRUPT},
        {T("\"shape\":[2],\"data_offsets\":[-8,0]"), "lies at", WA_CORRUPT},
        {T("\"shape\":[8],\"data_offsets\":[0,32]"), "lies at", WA_CORRUPT},
        {T("\"shape\":[2],\"data_offsets\":[0,8,16]"), "data_offsets", WA_CORRUPT},
        {T("\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]"), "do not fit", WA_CORRUPT},
        {T("\"shape\":[99999999999999999999],\"data_offsets\":[0,0]"), "not valid JSON", WA_CORRUPT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":["
         "4],\"data_offsets\":[3,7]}}",
         "overlaps", WA_CORRUPT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"U8\",\"shape\":["
         "4],\"data_offsets\":[4,8]}}",
         "duplicate", WA_CORRUPT},
    };
#undef T
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n;
        wa_error err = {0};
        wa_status s = read_one(cases[i].header, 16, &n, &err);
        if (s != cases[i].want || !strstr(err.message, cases[i].text))
            fail_msg("case %zu (%s): status %d: %s", i, cases[i].header, s, err.message);
    }
}

static void test_deep_and_short(void **state)
{
    (void)state;
    char deep[300];
    size_t n;
    wa_error err = {0};
    memset(deep, '[', sizeof deep);
    memcpy(deep, "{\"a\":", 5);
    deep[sizeof deep - 1] = 0;
    assert_int_equal(read_one(deep, 0, &n, &err), WA_LIMIT);
    uint8_t huge[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, '{', '}'};
    for (size_t size = 0; size <= sizeof huge; size++) {
        wa_model_file file = {WA_STR("x.safetensors"), huge, size};
        wa_model_files m = {&file, 1};
        wa_safetensors s;
        assert_int_equal(wa__safetensors_open(&m, &s, &err), WA_CORRUPT);
        wa__safetensors_done(&s);
    }
}

static wa_status open_shards(const char *map, wa_safetensors *s, wa_error *err)
{
    static uint8_t *one, *two;
    size_t a, b;
    free(one);
    free(two);
    one = make("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, &a);
    two = make("{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2, &b);
    folder f;
    folder_init(&f);
    folder_put(&f, "model.safetensors.index.json", map, strlen(map));
    folder_put(&f, "s-1.safetensors", one, a);
    folder_put(&f, "s-2.safetensors", two, b);
    wa_status r = wa__safetensors_open(&f.m, s, err);
    if (r == WA_OK) assert_ptr_equal(wa__safetensors_find(s, WA_STR("b"))->data, two + b - 2);
    wa__safetensors_done(s);
    if (!map[0]) { /* the last call frees */
        free(one);
        free(two);
        one = two = NULL;
    }
    return r;
}

static void test_shards(void **state)
{
    (void)state;
    wa_safetensors s;
    wa_error err = {0};
    assert_ok(open_shards("{\"weight_map\":{\"a\":\"s-1.safetensors\",\"b\":\"s-2.safetensors\"}}", &s, &err),
              err);
    assert_int_equal(
        open_shards("{\"weight_map\":{\"a\":\"s-2.safetensors\",\"b\":\"s-2.safetensors\"}}", &s, &err),
        WA_CORRUPT);
    assert_int_equal(open_shards("{\"weight_map\":{\"a\":\"../s-1.safetensors\"}}", &s, &err), WA_CORRUPT);
    assert_int_equal(open_shards("{\"weight_map\":{\"a\":\"s-9.safetensors\"}}", &s, &err), WA_NOT_FOUND);
    assert_int_equal(open_shards("{\"weight_map\":{\"a\":7}}", &s, &err), WA_CORRUPT);
    assert_int_equal(open_shards("{\"weight_map\":[]}", &s, &err), WA_CORRUPT);
    assert_int_equal(open_shards("", &s, &err), WA_CORRUPT);
}

static void test_allocations_fail(void **state)
{
    (void)state;
    folder f;
    folder_init(&f);
    folder_map(&f, "model.safetensors", TINY "/hf/model.safetensors");
    wa_status r = WA_NO_MEMORY;
    for (uint64_t n = 1; r != WA_OK && n < 1000; n++) {
        wa_safetensors s;
        wa__alloc_fail_at(n);
        r = wa__safetensors_open(&f.m, &s, NULL);
        wa__alloc_fail_at(0);
        assert_true(r == WA_OK || r == WA_NO_MEMORY);
        wa__safetensors_done(&s);
    }
    assert_int_equal(r, WA_OK);
    folder_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
                                       cmocka_unit_test(test_deep_and_short), cmocka_unit_test(test_shards),
                                       cmocka_unit_test(test_allocations_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
