/* The ONNX importer's richer forms, from the fuzzers' seeds (tools/make_corpus.py): sub-graphs, functions,
 * element types, sparse tensors, old opsets. Golden text: tests/golden/import_forms.txt (WA_UPDATE_GOLDEN=1
 * writes it: read the difference). */
#include "graph/graph.h"
#include "import_tests.h"

#define CORPUS WA_TEST_DIR "/../fuzz/corpus/onnx/"

static wa_status import_seed(const char *name, folder *f, wa_graph **g, wa_error *err)
{
    char path[512];
    snprintf(path, sizeof path, CORPUS "%s", name);
    folder_init(f);
    folder_map(f, "model.onnx", path);
    return wa__import_onnx(&f->m, &f->files[0], g, err);
}

static void test_forms(void **state)
{
    (void)state;
    static const char *const names[] = {"subgraphs", "scan", "functions", "sparse", "old"};
    char path[512];
    static char want[1 << 16];
    snprintf(path, sizeof path, "%s/golden/import_forms.txt", WA_TEST_DIR);
    wa_buf b;
    wa_error err = {0};
    wa__buf_init(&b, sizeof want);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        folder f;
        wa_graph *g = NULL, *copy = NULL;
        if (import_seed(names[i], &f, &g, &err) != WA_OK) fail_msg("%s: %s", names[i], err.message);
        assert_ok(wa__buf_printf(&b, &err, "=== %s\n", names[i]), err);
        size_t start = b.len;
        assert_ok(wa__graph_print(g, false, &b, &err), err);
        size_t end = b.len;
        assert_ok(wa__graph_clone(g, &copy, &err), err);
        wa__graph_free(g);
        assert_ok(wa__graph_verify(copy, &err), err);
        assert_ok(wa__graph_print(copy, false, &b, &err), err);
        assert_int_equal(b.len - end, end - start);
        assert_memory_equal(b.ptr + start, b.ptr + end, end - start);
        b.len = end;
        wa__graph_free(copy);
        folder_done(&f);
    }
    if (getenv("WA_UPDATE_GOLDEN")) {
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        fwrite(b.ptr, 1, b.len, f);
        fclose(f);
    }
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("no golden file %s", path);
    size_t n = fread(want, 1, sizeof want - 1, f);
    fclose(f);
    if (n != b.len || memcmp(want, b.ptr, n) != 0) fail_msg("the graphs differ from %s; got\n%.*s", path, (int)b.len, b.ptr);
    wa__buf_done(&b);
}

static void has_bytes(const wa_graph *g, const char *name, wa_dtype dtype, const char *bytes, size_t n)
{
    uint32_t v = wa__graph_find(g, wa__str(name));
    if (v == WA_NONE || g->values[v].kind != WA_VALUE_CONST) fail_msg("no constant %s", name);
    assert_int_equal(g->values[v].type.dtype, dtype);
    assert_int_equal(wa__bytes(&g->values[v].type), n);
    if (memcmp(g->values[v].data, bytes, n) != 0) fail_msg("constant %s has other bytes", name);
}

/* Elements 1, 0, 1 of each type: small ones packed, the first in the low bits. */
static void test_types(void **state)
{
    (void)state;
    folder f;
    wa_graph *g = NULL;
    wa_error err = {0};
    if (import_seed("types", &f, &g, &err) != WA_OK) fail_msg("types: %s", err.message);
    has_bytes(g, "t1", WA_F32, "\0\0\x80\x3f\0\0\0\0\0\0\x80\x3f", 12);
    has_bytes(g, "t4", WA_U16, "\1\0\0\0\1\0", 6);
    has_bytes(g, "t9", WA_BOOL, "\1\0\1", 3);
    has_bytes(g, "t10", WA_F16, "\0\x3c\0\0\0\x3c", 6);
    has_bytes(g, "t13", WA_U64, "\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0", 24);
    has_bytes(g, "t16", WA_BF16, "\x80\x3f\0\0\x80\x3f", 6);
    has_bytes(g, "t17", WA_F8E4M3FN, "\x38\0\x38", 3);
    has_bytes(g, "t19", WA_F8E5M2, "\x3c\0\x3c", 3);
    has_bytes(g, "t21", WA_U4, "\x01\x01", 2);
    has_bytes(g, "t22", WA_I4, "\x01\x01", 2);
    has_bytes(g, "t23", WA_F4E2M1, "\x02\x02", 2);
    has_bytes(g, "t25", WA_U2, "\x11", 1);
    has_bytes(g, "t26", WA_I2, "\x11", 1);
    has_bytes(g, "raw", WA_I4, "\x21\x03", 2);
    assert_int_equal(count_op(g, WA_OP_Expand), 3); /* ConstantOfShape of types that an attribute cannot hold */
    wa__graph_free(g);
    folder_done(&f);
}

static void test_recursion(void **state)
{
    (void)state;
    folder f;
    wa_graph *g = NULL;
    wa_error err = {0};
    assert_int_equal(import_seed("recursion", &f, &g, &err), WA_CORRUPT);
    assert_non_null(strstr(err.message, "calls itself"));
    folder_done(&f);
}

/* Every allocation of an import fails in turn. */
static void test_allocations_fail(void **state)
{
    (void)state;
    static const char *const names[] = {"subgraphs", "functions", "sparse", "types"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        folder f;
        wa_graph *g = NULL;
        wa_error err = {0};
        assert_ok(import_seed(names[i], &f, &g, &err), err);
        wa__graph_free(g);
        wa_status s = WA_NO_MEMORY;
        for (uint64_t n = 1; s != WA_OK && n < 10000; n++) {
            wa__alloc_fail_at(n);
            s = wa__import_onnx(&f.m, &f.files[0], &g, NULL);
            wa__alloc_fail_at(0);
            if (s != WA_OK && s != WA_NO_MEMORY && s != WA_LIMIT) fail_msg("%s, allocation %llu: status %d", names[i], (unsigned long long)n, s);
        }
        wa__graph_free(g);
        folder_done(&f);
    }
}

/* A model that leaves an input's rank open takes the type of each run. */
static void test_open_rank(void **state)
{
    (void)state;
    folder f;
    wa_graph *g = NULL;
    wa_error err = {0};
    assert_ok(import_seed("types", &f, &g, &err), err);
    assert_int_equal(wa__graph_bind(g, NULL, 0, &err), WA_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "input x"));
    wa_tensor_type t = {WA_F32, 2, {2, 3}}, wrong = {WA_I32, 2, {2, 3}}, packed = {WA_I4, 1, {4}};
    assert_int_equal(wa__graph_set_input_type(g, 0, &wrong, &err), WA_INVALID_ARGUMENT);
    assert_int_equal(wa__graph_set_input_type(g, 1, &packed, &err), WA_INVALID_ARGUMENT);
    assert_int_equal(wa__graph_set_input_type(g, 2, &t, &err), WA_INVALID_ARGUMENT);
    assert_ok(wa__graph_set_input_type(g, 0, &t, &err), err);
    assert_ok(wa__graph_bind(g, NULL, 0, &err), err);
    wa__graph_free(g);
    folder_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_recursion),
        cmocka_unit_test(test_allocations_fail),
        cmocka_unit_test(test_open_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
