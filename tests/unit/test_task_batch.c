/* Buckets, batches and the tensors they fill; .npy files there and back. */
#include "task/batch.h"
#include "task/npy.h"
#include "tests.h"

static void test_buckets(void **state)
{
    (void)state;
    static const uint32_t cases[][3] = {{1, 0, 8}, {8, 0, 8}, {9, 0, 16}, {64, 0, 64}, {65, 0, 80}, {128, 0, 128}, {129, 0, 160},
                                        {512, 0, 512}, {513, 0, 576}, {250, 250, 250}, {100, 256, 112}, {UINT32_MAX, 7, 7}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_int_equal(wa__bucket_length(cases[i][0], cases[i][1]), cases[i][2]);
    assert_int_equal(wa__bucket_batch(3, 32), 3);
    assert_int_equal(wa__bucket_batch(5, 32), 8);
    assert_int_equal(wa__bucket_batch(17, 32), 32);
    assert_int_equal(wa__bucket_batch(5, 6), 6);
}

static void test_plan(void **state)
{
    (void)state;
    wa_error err = {0};
    wa_batches b = {0};
    const uint32_t counts[] = {7, 30, 3, 8, 26, 7, 5};
    assert_ok(wa__batches_plan(counts, 7, 4, 256, &b, &err), err);
    assert_int_equal(b.count, 3);
    static const uint32_t order[] = {2, 6, 0, 5, 3, 4, 1};
    assert_memory_equal(b.order, order, sizeof order);
    assert_true(b.batches[0].count == 4 && b.batches[0].length == 8 && b.batches[0].tokens == 22);
    assert_true(b.batches[1].count == 1 && b.batches[1].length == 8 && b.batches[1].first == 4);
    assert_true(b.batches[2].count == 2 && b.batches[2].length == 32 && b.batches[2].batch == 2);
    wa__batches_done(&b);
    assert_ok(wa__batches_plan(NULL, 0, 4, 256, &b, &err), err);
    assert_int_equal(b.count, 0);
    wa__batches_done(&b);
    assert_int_equal(wa__batches_plan(counts, 7, 4, 20, &b, &err), WA_INVALID_ARGUMENT);
    assert_int_equal(wa__batches_plan(counts, 7, 0, 0, &b, &err), WA_INVALID_ARGUMENT);
}

static void test_bucket_rule(void **state)
{
    (void)state;
    static const uint32_t cases[][3] = {{1, 8, 32}, {16, 16, 32}, {17, 24, 32}, {33, 48, 128}, {49, 64, 128}, {65, 96, 128}, {97, 128, 128},
                                        {129, 192, 512}, {193, 256, 512}, {500, 512, 512}, {513, 768, 600}, {700, 768, 600}};
    const wa_bucket_rule fine = {4096, 0, 0, false}, coarse = {4096, 100, 600, true}, tiny = {256, 0, 512, false};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(wa__bucket_rule_length(&fine, cases[i][0]), cases[i][1]);
        if (cases[i][0] <= 600) assert_int_equal(wa__bucket_rule_length(&coarse, cases[i][0]), cases[i][2]);
    }
    assert_int_equal(wa__bucket_rule_rows(&fine, 16), 256);
    assert_int_equal(wa__bucket_rule_rows(&fine, 96), 40);
    assert_int_equal(wa__bucket_rule_rows(&coarse, 32), 96);
    assert_int_equal(wa__bucket_rule_rows(&tiny, 512), 1);
}

/* Any texts: each in one batch, none over its length, all but the last batch full, few shapes. */
static void test_cut(void **state)
{
    (void)state;
    wa_error err = {0};
    enum { N = 5000 };
    static uint32_t counts[N], seen[N];
    uint32_t random = 1;
    const wa_bucket_rule r = {2048, 64, 512, false};
    for (int round = 0; round < 20; round++) {
        uint32_t n = round == 0 ? 0 : round == 1 ? 1 : 1 + random % N, shapes = 0, last = UINT32_MAX;
        wa_batches b;
        memset(seen, 0, sizeof seen);
        for (uint32_t i = 0; i < n; i++) {
            random = random * 1664525u + 1013904223u;
            counts[i] = 1 + (random >> 8) % (round % 2 ? 512 : 40);
        }
        assert_ok(wa__batches_cut(counts, n, &r, &b, &err), err);
        uint32_t at = 0;
        uint64_t least = 0, padded = 0;
        for (uint32_t k = 0; k < b.count; k++) {
            const wa_batch *x = &b.batches[k];
            assert_int_equal(x->first, at);
            padded += (uint64_t)x->batch * x->length;
            assert_true(x->count && x->count <= x->batch && x->batch <= 64);
            if (k + 1 < b.count) assert_int_equal(x->count, x->batch);
            if (k == 0 || x->length != b.batches[k - 1].length || x->batch != b.batches[k - 1].batch) shapes++;
            for (uint32_t i = 0; i < x->count; i++, at++) {
                uint32_t text = b.order[at];
                assert_true(counts[text] <= x->length && counts[text] <= last);
                last = counts[text];
                seen[text]++;
                least += wa__bucket_rule_length(&r, counts[text]);
            }
        }
        assert_int_equal(at, n);
        for (uint32_t i = 0; i < n; i++) assert_int_equal(seen[i], 1);
        for (uint32_t i = 1; i < n; i++)
            if (counts[b.order[i]] == counts[b.order[i - 1]] && b.order[i] < b.order[i - 1]) fail_msg("equal lengths lost their order");
        assert_true(shapes <= 24); /* 12 lengths to 512, two row counts */
        if (n > 1000) assert_true(padded * 20 < least * 21); /* each text alone in its bucket would take `least` */
        wa__batches_done(&b);
    }
    counts[0] = 513;
    wa_batches b;
    assert_int_equal(wa__batches_cut(counts, 1, &r, &b, &err), WA_INVALID_ARGUMENT);
}

static void test_fill(void **state)
{
    (void)state;
    wa_error err = {0};
    int32_t ids[] = {101, 5, 102}, types[] = {0, 0, 1};
    wa_encoding e[] = {{ids, types, 3, 0}, {ids, types, 2, 0}};
    const uint32_t order[] = {1, 0};
    wa_batch b = {3, 4, 0, 2, 5};
    int64_t out[12];
    wa_view v = {{WA_I64, 2, {3, 4}}, out};
    assert_ok(wa__batch_fill(&b, order, e, 9, WA_STR("input_ids"), &v, &err), err);
    assert_memory_equal(out, ((int64_t[]){101, 5, 9, 9, 101, 5, 102, 9, 101, 5, 9, 9}), sizeof out);
    assert_ok(wa__batch_fill(&b, order, e, 9, WA_STR("attention_mask"), &v, &err), err);
    assert_memory_equal(out, ((int64_t[]){1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 0, 0}), sizeof out);
    int32_t narrow[12];
    wa_view n = {{WA_I32, 2, {3, 4}}, narrow};
    assert_ok(wa__batch_fill(&b, order, e, 9, WA_STR("token_type_ids"), &n, &err), err);
    assert_memory_equal(narrow, ((int32_t[]){0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0}), sizeof narrow);
    assert_int_equal(wa__batch_fill(&b, order, e, 9, WA_STR("pixel_values"), &v, &err), WA_UNSUPPORTED);
    assert_non_null(strstr(err.message, "pixel_values"));
    v.type.dims[1] = 5;
    assert_int_equal(wa__batch_fill(&b, order, e, 9, WA_STR("input_ids"), &v, &err), WA_INVALID_ARGUMENT);
}

static void test_npy_round(void **state)
{
    (void)state;
    wa_error err = {0};
    for (uint32_t d = WA_F32; d <= WA_BOOL; d++) {
        for (uint32_t rank = 0; rank <= 8; rank++) {
            uint8_t data[8 * 512] = {0};
            for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i % 2);
            wa_view v = {{(wa_dtype)d, rank, {2, 1, 3, 2, 1, 2, 1, 2}}, data}, again = {0};
            wa_buf b;
            wa__buf_init(&b, 1 << 16);
            wa_status s = wa__npy_write(&v, &b, &err);
            if (d == WA_BF16) {
                assert_int_equal(s, WA_UNSUPPORTED);
            } else {
                assert_ok(s, err);
                assert_int_equal((b.len - wa__bytes(&v.type)) % 64, 0);
                assert_ok(wa__npy_read(b.ptr, b.len, "t.npy", &again, &err), err);
                assert_true(wa__type_eq(&v.type, &again.type));
                assert_memory_equal(again.data, data, wa__bytes(&v.type));
                for (size_t cut = 0; cut < b.len; cut++) {
                    char *exact = wa__strndup(b.ptr, cut); /* so that a read past the end is seen */
                    assert_true(wa__npy_read(exact, cut, "t.npy", &again, &err) != WA_OK);
                    wa__free(exact);
                }
            }
            wa__buf_done(&b);
        }
    }
}

static wa_status npy(const char *header, size_t data, wa_view *v, wa_error *err)
{
    char file[400] = "\x93NUMPY\x01";
    size_t n = strlen(header);
    file[8] = (char)n;
    memcpy(file + 10, header, n);
    return wa__npy_read(file, 10 + n + data, "t.npy", v, err);
}

static void test_npy_headers(void **state)
{
    (void)state;
    static const struct { const char *header; size_t data; wa_status status; const char *message; } cases[] = {
        {"{'descr':'<f4','fortran_order':False,'shape':(2,)}", 8, WA_OK, ""},
        {"{\"shape\": (2L, 1), \"descr\": \"<i2\", \"fortran_order\": False,}\n", 4, WA_OK, ""},
        {"{'descr':'<f4','fortran_order':True,'shape':(2,)}", 8, WA_OK, ""},
        {"{'descr':'<f4','fortran_order':True,'shape':(2,1)}", 8, WA_UNSUPPORTED, "Fortran"},
        {"{'descr':'>f4','fortran_order':False,'shape':(2,)}", 8, WA_UNSUPPORTED, "big-endian"},
        {"{'descr':'|O','fortran_order':False,'shape':(2,)}", 8, WA_UNSUPPORTED, "|O"},
        {"{'descr':[('a','<f4')],'fortran_order':False,'shape':(2,)}", 8, WA_UNSUPPORTED, "structured"},
        {"{'descr':'<f4','fortran_order':False,'shape':(3,)}", 8, WA_CORRUPT, "needs 12 bytes"},
        {"{'descr':'<f4','fortran_order':False,'shape':(-3,)}", 8, WA_CORRUPT, "dimension"},
        {"{'descr':'<f4','fortran_order':False,'shape':(9999999999,9999999999)}", 8, WA_LIMIT, "elements"},
        {"{'descr':'<f4','fortran_order':False,'shape':(1,1,1,1,1,1,1,1,1)}", 4, WA_UNSUPPORTED, "dimensions"},
        {"{'descr':'<f4','fortran_order':False}", 8, WA_CORRUPT, "missing"},
        {"{'descr':'<f4','descr':'<f4','fortran_order':False,'shape':()}", 4, WA_CORRUPT, "doubled"},
        {"{'descr':'<f4", 0, WA_CORRUPT, "does not end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wa_error err = {0};
        wa_view v;
        wa_status s = npy(cases[i].header, cases[i].data, &v, &err);
        if (s != cases[i].status || (s != WA_OK && !strstr(err.message, cases[i].message))) fail_msg("%s: %d %s", cases[i].header, s, err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets), cmocka_unit_test(test_plan), cmocka_unit_test(test_bucket_rule), cmocka_unit_test(test_cut), cmocka_unit_test(test_fill),
        cmocka_unit_test(test_npy_round), cmocka_unit_test(test_npy_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
