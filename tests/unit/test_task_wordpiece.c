/* The tokenizer against ids that Hugging Face `tokenizers` gave (tools/make_tokenizer_fixture.py). */
#include "base/os.h"
#include "base/reader.h"
#include "task/tokenizer.h"
#include "tests.h"
#include <stdlib.h>

static wa_task_file load(const char *path, const char *name, wa_map *map)
{
    wa_error err = {0};
    assert_ok(wa__os_map(path, map, &err), err);
    return (wa_task_file){wa__str(name), map->data, map->size};
}

static uint64_t number(wa_reader *r)
{
    wa_error err = {0};
    uint64_t v = 0;
    assert_ok(wa__read_varint(r, &v, "number", &err), err);
    return v;
}

static wa_str text(wa_reader *r)
{
    wa_error err = {0};
    const uint8_t *p = NULL;
    size_t n = (size_t)number(r);
    assert_ok(wa__read_bytes(r, n, &p, "text", &err), err);
    return (wa_str){(const char *)p, n};
}

/* Returns how many records were compared. */
static uint32_t compare(const wa_tokenizer *t, const char *path)
{
    wa_map map;
    wa_error err = {0};
    assert_ok(wa__os_map(path, &map, &err), err);
    wa_reader r = wa__reader(map.data, map.size, path);
    uint32_t records = 0, wrong = 0;
    for (; wa__reader_left(&r); records++) {
        uint64_t limit = number(&r);
        wa_str a = text(&r), b = {0};
        bool pair = number(&r) != 0;
        if (pair) b = text(&r);
        wa_encoding e = {0};
        assert_ok(wa__tokenizer_encode(t, a, pair ? &b : NULL, limit ? (uint32_t)limit : UINT32_MAX, &e, &err), err);
        uint64_t count = number(&r);
        bool same = count == e.count;
        for (uint64_t i = 0; i < count; i++) {
            uint64_t id = number(&r);
            same = same && (uint64_t)e.ids[i] == id;
        }
        for (uint64_t i = 0; pair && i < count; i++) same &= number(&r) == (uint64_t)(i < e.count ? e.type_ids[i] : 9);
        if (!same && wrong++ < 10) {
            char hex[401];
            size_t n = a.len < 200 ? a.len : 200;
            wa__hex((const uint8_t *)a.ptr, n, hex);
            print_error("%s: record %u differs (%u ids, expected %llu, limit %llu%s): %.*s [%s]\n", path, records, e.count,
                        (unsigned long long)count, (unsigned long long)limit, pair ? ", pair" : "", WA_STR_ARG(a), hex);
        }
        wa__encoding_done(&e);
    }
    wa__os_unmap(&map);
    assert_int_equal(wrong, 0);
    return records;
}

static void compare_small(const char *name, uint32_t records)
{
    char json[512], bin[512];
    snprintf(json, sizeof json, WA_TEST_DIR "/fixtures/tokenizer/%s.json", name);
    snprintf(bin, sizeof bin, WA_TEST_DIR "/fixtures/tokenizer/%s.bin", name);
    wa_map map;
    wa_error err = {0};
    wa_task_file file = load(json, "tokenizer.json", &map);
    wa_task_files files = {&file, 1};
    wa_tokenizer *t = NULL;
    assert_ok(wa__tokenizer_load(&files, &t, &err), err);
    wa__os_unmap(&map);
    assert_int_equal(compare(t, bin), records);
    wa__tokenizer_free(t);
}

static void test_small(void **state)
{
    (void)state;
    compare_small("small", 1500);
}

static void test_cased(void **state)
{
    (void)state;
    compare_small("cased", 800);
}

/* The real vocabulary comes with the model: from make deps. */
static char *model_file(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, WA_DEPS_DIR "/models/l6/%s", name);
    wa_file_info info = {0};
    wa_error err = {0};
    if (wa__os_stat(path, true, &info, &err) != WA_OK || info.kind != WA_FILE_REGULAR) return NULL;
    return wa__strdup(path);
}

static void test_l6(void **state)
{
    (void)state;
    char *json = model_file("tokenizer.json"), *vocab = model_file("vocab.txt"), *config = model_file("tokenizer_config.json");
    if (!json || !vocab || !config) {
        print_message("SKIPPED test_l6: no " WA_DEPS_DIR "/models/l6/tokenizer.json; run make deps to compare 10,000 lines\n");
        wa__free(json);
        wa__free(vocab);
        wa__free(config);
        skip();
    }
    wa_map map[3];
    wa_error err = {0};
    wa_task_file files[] = {load(json, "tokenizer.json", &map[0]), load(vocab, "vocab.txt", &map[1]), load(config, "tokenizer_config.json", &map[2])};
    wa_tokenizer *t = NULL;
    double start = wa__os_now_ms();
    assert_ok(wa__tokenizer_load(&(wa_task_files){files, 3}, &t, &err), err);
    double loaded = wa__os_now_ms();
    assert_int_equal(compare(t, WA_TEST_DIR "/fixtures/tokenizer/l6.bin"), 10000);
    print_message("tokenizer.json loads in %.1f ms; 10,000 lines in %.1f ms\n", loaded - start, wa__os_now_ms() - loaded);
    const char *more = getenv("WA_TOKENIZER_LINES"); /* a larger file of records, made by hand */
    if (more) print_message("%s: %u records\n", more, compare(t, more));
    assert_int_equal(wa__tokenizer_length_max(t), 128);
    assert_int_equal(wa__tokenizer_words(t), 30522);
    assert_int_equal(wa__tokenizer_id_max(t), 30521);
    assert_int_equal(wa__tokenizer_pad_id(t), 0);
    assert_true(wa__str_is(wa__tokenizer_token(t, 102), "[SEP]"));
    wa__tokenizer_free(t);
    assert_ok(wa__tokenizer_load(&(wa_task_files){files + 1, 2}, &t, &err), err); /* vocab.txt */
    assert_int_equal(compare(t, WA_TEST_DIR "/fixtures/tokenizer/l6.bin"), 10000);
    assert_int_equal(wa__tokenizer_length_max(t), 512);
    wa__tokenizer_free(t);
    for (int i = 0; i < 3; i++) wa__os_unmap(&map[i]);
    wa__free(json);
    wa__free(vocab);
    wa__free(config);
}

static const char minimal[] = "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"[UNK]\":0,\"a\":1,\"##b\":2}},%s}";

static wa_status parse(const char *rest, wa_tokenizer **t, wa_error *err)
{
    char json[2048];
    snprintf(json, sizeof json, minimal, rest);
    wa_task_file f = {WA_STR("tokenizer.json"), (const uint8_t *)json, strlen(json)};
    return wa__tokenizer_from_json(&f, t, err);
}

/* Everything that is not known is named at once. */
static void test_unsupported(void **state)
{
    (void)state;
    wa_error err = {0};
    wa_tokenizer *t = NULL;
    const char *json = "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1}},\"normalizer\":{\"type\":\"NFKC\"},"
                       "\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"post_processor\":{\"type\":\"RobertaProcessing\"}}";
    wa_task_file f = {WA_STR("tokenizer.json"), (const uint8_t *)json, strlen(json)};
    assert_int_equal(wa__tokenizer_from_json(&f, &t, &err), WA_UNSUPPORTED);
    static const char *const names[] = {"model BPE", "normalizer NFKC", "pre_tokenizer ByteLevel", "post_processor RobertaProcessing"};
    for (int i = 0; i < 4; i++) assert_non_null(strstr(err.message, names[i]));
}

static void test_refused(void **state)
{
    (void)state;
    static const struct { const char *rest, *message; wa_status status; } cases[] = {
        {"\"x\":1,\"x\":2", "tokenizer.json:1:", WA_CORRUPT},
        {"\"added_tokens\":[{\"id\":0}]", "content", WA_CORRUPT},
        {"\"added_tokens\":[{\"id\":-5,\"content\":\"x\"}]", "\"id\" is -5", WA_CORRUPT},
        {"\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":3}", "\"lowercase\" is an integer", WA_CORRUPT},
        {"\"truncation\":{\"max_length\":\"x\"}", "max_length", WA_CORRUPT},
        {"\"truncation\":{\"max_length\":8,\"strategy\":\"Odd\"}", "Odd", WA_UNSUPPORTED},
        {"\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"Q\"}}],\"pair\":[]}", "\"Q\"", WA_CORRUPT},
        {"\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"B\"}}],\"pair\":[]}", "sequence B", WA_CORRUPT},
        {"\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"x\"],\"cls\":[\"x\",1]}", "post_processor.sep", WA_CORRUPT},
        {"\"post_processor\":{\"type\":7}", "post_processor", WA_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wa_error err = {0};
        wa_tokenizer *t = NULL;
        assert_int_equal(parse(cases[i].rest, &t, &err), cases[i].status);
        if (!strstr(err.message, cases[i].message)) fail_msg("%s: %s", cases[i].rest, err.message);
    }
    wa_error err = {0};
    wa_tokenizer *t = NULL;
    assert_int_equal(wa__tokenizer_load(&(wa_task_files){0}, &t, &err), WA_NOT_FOUND);
    char deep[401];
    memset(deep, '[', 400);
    wa_task_file f = {WA_STR("tokenizer.json"), (const uint8_t *)deep, 400};
    assert_int_equal(wa__tokenizer_from_json(&f, &t, &err), WA_LIMIT);
}

/* Without normalizer, pre-tokenizer and template: the whole text is one word. */
static void test_bare(void **state)
{
    (void)state;
    wa_error err = {0};
    wa_tokenizer *t = NULL;
    assert_ok(parse("\"normalizer\":null", &t, &err), err);
    wa_encoding e = {0};
    assert_ok(wa__tokenizer_encode(t, WA_STR("abb"), NULL, 0, &e, &err), err);
    assert_int_equal(e.count, 3);
    assert_int_equal(e.ids[2], 2);
    wa__encoding_done(&e);
    assert_ok(wa__tokenizer_encode(t, WA_STR("a b"), NULL, 0, &e, &err), err);
    assert_int_equal(e.count, 1);
    assert_int_equal(e.ids[0], 0);
    wa__encoding_done(&e);
    assert_ok(wa__tokenizer_encode(t, WA_STR(""), NULL, 0, &e, &err), err);
    assert_int_equal(e.count, 0);
    wa__encoding_done(&e);
    wa__tokenizer_free(t);
}

/* Each allocation in turn fails; nothing leaks and nothing crashes. */
static void test_no_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 200; n++) {
        wa_error err = {0};
        wa_tokenizer *t = NULL;
        wa_encoding e = {0};
        wa__alloc_fail_at(n);
        wa_status s = parse("\"normalizer\":{\"type\":\"BertNormalizer\"},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
                            "\"added_tokens\":[{\"id\":9,\"content\":\"Xy\"}]", &t, &err);
        if (s == WA_OK) s = wa__tokenizer_encode(t, WA_STR("a \xff XY \xc3\xa9\xcc\xa7"), NULL, 0, &e, &err);
        wa__alloc_fail_at(0);
        wa__encoding_done(&e);
        wa__tokenizer_free(t);
        if (s == WA_OK) return;
        assert_int_equal(s, WA_NO_MEMORY);
    }
    fail_msg("allocations never stop");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small), cmocka_unit_test(test_cased), cmocka_unit_test(test_l6), cmocka_unit_test(test_unsupported),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_bare), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
