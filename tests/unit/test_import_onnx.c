/* The ONNX importer over the seeded models, hand-made files, hostile bytes and ONNX's own cases. */
#include "import_tests.h"
#include "base/reader.h"

/* --- a writer of small protobuf messages ------------------------------------------------------------ */

typedef struct pb {
    uint8_t b[4096];
    size_t n;
} pb;

static void pb_varint(pb *p, uint64_t v)
{
    do {
        assert_true(p->n < sizeof p->b);
        p->b[p->n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        v >>= 7;
    } while (v);
}

static void pb_int(pb *p, uint32_t field, uint64_t v)
{
    pb_varint(p, field << 3);
    pb_varint(p, v);
}

static void pb_bytes(pb *p, uint32_t field, const void *data, size_t n)
{
    pb_varint(p, (field << 3) | 2);
    pb_varint(p, n);
    assert_true(p->n + n <= sizeof p->b);
    memcpy(p->b + p->n, data, n);
    p->n += n;
}

static void pb_str(pb *p, uint32_t field, const char *s) { pb_bytes(p, field, s, strlen(s)); }
static void pb_msg(pb *p, uint32_t field, const pb *m) { pb_bytes(p, field, m->b, m->n); }

/* Node with inputs and outputs separated by blanks. */
static pb make_node(const char *op, const char *domain, const char *in, const char *out)
{
    pb n = {.n = 0};
    char text[256], *save = NULL;
    for (int k = 0; k < 2; k++) {
        snprintf(text, sizeof text, "%s", k ? out : in);
        for (char *s = strtok_r(text, " ", &save); s; s = strtok_r(NULL, " ", &save))
            pb_str(&n, k ? 2 : 1, strcmp(s, "-") ? s : "");
    }
    pb_str(&n, 3, "the_node");
    pb_str(&n, 4, op);
    if (domain) pb_str(&n, 7, domain);
    return n;
}

static pb make_info(const char *name, const char *dim0, int64_t dim1)
{
    pb d0 = {.n = 0}, d1 = {.n = 0}, shape = {.n = 0}, tensor = {.n = 0}, type = {.n = 0}, info = {.n = 0};
    if (dim0) pb_str(&d0, 2, dim0);
    if (dim1 >= 0) pb_int(&d1, 1, (uint64_t)dim1);
    pb_msg(&shape, 1, &d0);
    pb_msg(&shape, 1, &d1);
    pb_int(&tensor, 1, 1);
    pb_msg(&tensor, 2, &shape);
    pb_msg(&type, 1, &tensor);
    pb_str(&info, 1, name);
    pb_msg(&info, 2, &type);
    return info;
}

static pb make_model(const pb *graph, int64_t opset)
{
    pb set = {.n = 0}, m = {.n = 0};
    pb_str(&set, 1, "");
    pb_int(&set, 2, (uint64_t)opset);
    pb_int(&m, 1, 8);
    pb_msg(&m, 7, graph);
    pb_msg(&m, 8, &set);
    return m;
}

/* A tensor of two floats with raw data. */
static pb make_tensor(const char *name)
{
    pb t = {.n = 0};
    float v[2] = {1.5f, -2};
    pb_int(&t, 1, 2);
    pb_int(&t, 2, 1);
    pb_str(&t, 8, name);
    pb_bytes(&t, 9, v, sizeof v);
    return t;
}

static wa_graph *import_ok(const folder *f, const char *what)
{
    wa_graph *g = NULL;
    wa_error err = {0};
    if (wa__import_onnx(&f->m, &f->files[0], &g, &err) != WA_OK) fail_msg("%s: %s", what, err.message);
    return g;
}

/* Imports the model and wants this status and text in the message. */
static void refuse(const pb *model, wa_status want, const char *text)
{
    wa_error err = {0};
    wa_status s = import_copy(model->b, model->n, &err);
    if (s != want || !strstr(err.message, text))
        fail_msg("wanted %d with \"%s\", got %d: %s", want, text, s, err.message);
}

/* --- well-formed models ------------------------------------------------------------------------------ */

static void test_tiny(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        int32_t opset;
        uint32_t norms;
    } cases[] = {{"opset17.onnx", 17, 5}, {"opset14.onnx", 14, 0}, {"dynamo.onnx", 18, 5}};
    for (size_t i = 0; i < 3; i++) {
        char path[256];
        folder f;
        folder_init(&f);
        snprintf(path, sizeof path, TINY "/%s", cases[i].file);
        folder_map(&f, cases[i].file, path);
        wa_graph *g = import_ok(&f, cases[i].file);
        assert_int_equal(g->input_count, 3);
        assert_int_equal(g->output_count, 1);
        assert_true(wa__str_is(g->values[g->inputs[0]].name, "input_ids"));
        assert_true(wa__str_is(g->values[g->outputs[0]].name, "last_hidden_state"));
        assert_int_equal(g->values[g->inputs[0]].type.dtype, WA_I64);
        assert_true(wa__str_is(g->symbols[0], "batch"));
        assert_true(wa__str_is(g->symbols[1], "sequence"));
        assert_int_equal(count_op(g, WA_OP_MatMul), 16);
        assert_int_equal(count_op(g, WA_OP_LayerNormalization), cases[i].norms);
        assert_int_equal(count_op(g, WA_OP_Constant), 0);
        assert_int_equal(g->nodes[0].opset, cases[i].opset);
        wa__graph_free(g);
        folder_done(&f);
    }
}

static void test_weights_are_borrowed(void **state)
{
    (void)state;
    folder f;
    folder_init(&f);
    folder_map(&f, "m.onnx", TINY "/opset17.onnx");
    wa_graph *g = import_ok(&f, "opset17");
    uint32_t v = wa__graph_find(g, WA_STR("model.embeddings.word_embeddings.weight"));
    assert_true(v != WA_NONE);
    assert_int_equal(g->values[v].source, 0);
    assert_ptr_equal(g->values[v].data, f.files[0].data + g->values[v].offset);
    assert_true(g->arena->bytes_total < 96 * 1024);
    wa__graph_free(g);
    folder_done(&f);
}

static void test_hand_made(void **state)
{
    (void)state;
    pb g = {.n = 0}, node = make_node("Add", "ai.onnx", "x w", "y"), t = make_tensor("w"),
       in = make_info("x", "?", -1), win = make_info("w", NULL, 2), out = make_info("y", "n", 2);
    pb_msg(&g, 1, &node);
    pb_str(&g, 2, "hand");
    pb_msg(&g, 5, &t);
    pb_msg(&g, 11, &in);
    pb_msg(&g, 11, &win); /* an initialiser listed as an input is a constant */
    pb_msg(&g, 12, &out);
    pb m = make_model(&g, 13);
    folder f;
    folder_init(&f);
    folder_put(&f, "m.onnx", m.b, m.n);
    wa_graph *r = import_ok(&f, "hand-made");
    assert_int_equal(r->input_count, 1);
    assert_int_equal(r->symbol_count, 2);
    assert_true(wa__str_is(r->symbols[0], "x.0")); /* "?" and unnamed dims get names of their own */
    assert_true(wa__str_is(r->symbols[1], "x.1"));
    assert_true(wa__str_is(r->name, "hand"));
    assert_int_equal(r->values[wa__graph_find(r, WA_STR("w"))].kind, WA_VALUE_CONST);
    wa__graph_free(r);
}

/* ConstantOfShape, Cast and the forms of Constant: the rules in import.h. */
static void test_attributes(void **state)
{
    (void)state;
    pb g = {.n = 0}, shape = make_node("Constant", NULL, "", "s"),
       fill = make_node("ConstantOfShape", NULL, "s", "f"), cast = make_node("Cast", NULL, "f", "c"),
       a = {.n = 0}, t = {.n = 0}, b = {.n = 0}, c = {.n = 0}, out = make_info("c", "n", 2);
    pb_str(&a, 1, "value_ints"); /* packed */
    pb_bytes(&a, 8, "\x02\x03", 2);
    pb_int(&a, 20, 7);
    pb_msg(&shape, 5, &a);
    pb_int(&t, 1, 1);
    pb_int(&t, 2, 7);
    pb_int(&t, 7, (uint64_t)-5); /* int64_data, not packed */
    pb_str(&b, 1, "value");
    pb_msg(&b, 5, &t);
    pb_int(&b, 20, 4);
    pb_msg(&fill, 5, &b);
    pb_str(&c, 1, "to");
    pb_int(&c, 3, 16); /* bfloat16 */
    pb_int(&c, 20, 2);
    pb_msg(&cast, 5, &c);
    pb_msg(&g, 1, &shape);
    pb_msg(&g, 1, &fill);
    pb_msg(&g, 1, &cast);
    pb_msg(&g, 12, &out);
    pb m = make_model(&g, 13);
    folder f;
    folder_init(&f);
    folder_put(&f, "m.onnx", m.b, m.n);
    wa_graph *r = import_ok(&f, "attributes");
    int64_t dims[4];
    uint32_t n = 0;
    assert_true(wa__graph_const_ints(r, wa__graph_find(r, WA_STR("s")), dims, 4, &n));
    assert_int_equal(n, 2);
    assert_int_equal(dims[1], 3);
    assert_int_equal(wa__node_int(&r->nodes[0], "value_i", 0), -5);
    assert_int_equal(wa__node_int(&r->nodes[0], "dtype", 0), WA_I64);
    assert_int_equal(wa__node_int(&r->nodes[1], "to", 0), WA_BF16);
    wa__graph_free(r);
}

/* --- refusals ---------------------------------------------------------------------------------------- */

static pb graph_of(pb first, const pb *second, const char *output)
{
    pb g = {.n = 0}, in = make_info("x", "n", 2), out = make_info(output, "n", 2), t = make_tensor("w");
    pb_msg(&g, 1, &first);
    if (second) pb_msg(&g, 1, second);
    pb_msg(&g, 5, &t);
    pb_msg(&g, 11, &in);
    pb_msg(&g, 12, &out);
    return g;
}

static void refuse_graph(pb first, const pb *second, const char *output, wa_status want, const char *text)
{
    pb g = graph_of(first, second, output), m = make_model(&g, 13);
    refuse(&m, want, text);
}

static void test_unknown_operators(void **state)
{
    (void)state;
    pb second = make_node("FusedThing", "com.example", "y", "z");
    refuse_graph(make_node("Loops", NULL, "x", "y"), &second, "z", WA_UNSUPPORTED,
                 "Loops (ai.onnx, opset 13, 1 node), FusedThing (com.example");
    refuse_graph(make_node("SequenceEmpty", NULL, "x", "y"), NULL, "y", WA_UNSUPPORTED, "no strings, sequences, maps or optionals");
    refuse_graph(make_node("Normalizer", "ai.onnx.ml", "x", "y"), NULL, "y", WA_UNSUPPORTED, "Normalizer (ai.onnx.ml");
    refuse_graph(make_node("FusedMatMul", "wa", "x w", "y"), NULL, "y", WA_UNSUPPORTED, "FusedMatMul (wa");
    refuse_graph(make_node("FusedMatMul", NULL, "x w", "y"), NULL, "y", WA_UNSUPPORTED,
                 "FusedMatMul (ai.onnx");
}

static void test_broken_graphs(void **state)
{
    (void)state;
    pb again = make_node("Relu", NULL, "x", "y"), later = make_node("Relu", NULL, "x", "z");
    refuse_graph(make_node("Add", NULL, "x q", "y"), NULL, "y", WA_CORRUPT,
                 "its input \"q\" is made by nothing");
    refuse_graph(make_node("Add", NULL, "x y", "y"), NULL, "y", WA_CORRUPT, "form a cycle");
    refuse_graph(make_node("Add", NULL, "x z", "y"), &later, "y", WA_CORRUPT, "not sorted");
    refuse_graph(make_node("Relu", NULL, "x", "y"), &again, "y", WA_CORRUPT, "\"y\", which is taken");
    refuse_graph(make_node("Relu", NULL, "x", "w"), NULL, "w", WA_CORRUPT, "\"w\", which is taken");
    refuse_graph(make_node("Relu", NULL, "x", "y"), NULL, "q", WA_CORRUPT, "output \"q\"");
    refuse_graph(make_node("Relu", NULL, "x w", "y"), NULL, "y", WA_CORRUPT,
                 "has 2 inputs; the operator takes 1 to 1");
    refuse_graph(make_node("Add", NULL, "- x", "y"), NULL, "y", WA_CORRUPT, "input 0 is required");
    refuse_graph(make_node("Relu", NULL, "x", "y z"), NULL, "y", WA_UNSUPPORTED, "has 2 outputs");
    refuse_graph(make_node("", NULL, "x", "y"), NULL, "y", WA_CORRUPT, "names no operator");
    pb shift = make_node("BitShift", NULL, "x x", "y"), direction = {.n = 0};
    pb_str(&direction, 1, "direction");
    pb_bytes(&direction, 4, "RIGH\xc9", 5);
    pb_int(&direction, 20, 3);
    pb_msg(&shift, 5, &direction);
    refuse_graph(shift, NULL, "y", WA_CORRUPT, "is no UTF-8 text");
    pb g = graph_of(make_node("Relu", NULL, "x", "y"), NULL, "y"), old = make_model(&g, 0);
    refuse(&old, WA_CORRUPT, "does not say its opset version");
    pb twice = g, out = make_info("y", "n", 2);
    pb_msg(&twice, 12, &out);
    pb m = make_model(&twice, 13);
    refuse(&m, WA_CORRUPT, "listed twice");
    pb none = {.n = 0};
    refuse(&none, WA_CORRUPT, "holds no graph");
    pb text = {.n = 0};
    memcpy(text.b, "<html>not found</html>", 22);
    text.n = 22;
    refuse(&text, WA_CORRUPT, "is it an ONNX file");
}

/* --- external data ----------------------------------------------------------------------------------- */

static wa_status import_external(const char *location, const char *offset, const char *length, wa_graph **g,
                                 folder *f, wa_error *err)
{
    static pb m;
    pb graph = {.n = 0}, node = make_node("Add", NULL, "x w", "y"), t = {.n = 0}, in = make_info("x", "n", 2),
       out = make_info("y", "n", 2);
    const char *keys[] = {"location", "offset", "length"}, *values[] = {location, offset, length};
    static const float weights[4] = {1, 2, 3, 4};
    pb_int(&t, 1, 2);
    pb_int(&t, 2, 1);
    pb_str(&t, 8, "w");
    for (int i = 0; i < 3; i++) {
        pb e = {.n = 0};
        if (!values[i]) continue;
        pb_str(&e, 1, keys[i]);
        pb_str(&e, 2, values[i]);
        pb_msg(&t, 13, &e);
    }
    pb_int(&t, 14, 1);
    pb_msg(&graph, 1, &node);
    pb_msg(&graph, 5, &t);
    pb_msg(&graph, 11, &in);
    pb_msg(&graph, 12, &out);
    m = make_model(&graph, 13);
    folder_init(f);
    folder_put(f, "onnx/model.onnx", m.b, m.n);
    folder_put(f, "onnx/model.onnx.data", weights, sizeof weights);
    folder_put(f, "secret", weights, sizeof weights);
    return wa__import_onnx(&f->m, &f->files[0], g, err);
}

static void test_external_data(void **state)
{
    (void)state;
    wa_graph *g = NULL;
    folder f;
    wa_error err = {0};
    assert_ok(import_external("model.onnx.data", "8", "8", &g, &f, &err), err);
    const wa_value *w = &g->values[wa__graph_find(g, WA_STR("w"))];
    assert_int_equal(w->source, 1);
    assert_int_equal(w->offset, 8);
    assert_ptr_equal(w->data, f.files[1].data + 8);
    wa__graph_free(g);
    assert_ok(import_external("model.onnx.data", NULL, NULL, &g, &f, &err), err);
    wa__graph_free(g);
    static const struct {
        const char *location, *offset, *length;
        wa_status want;
    } bad[] = {{"../secret", NULL, NULL, WA_CORRUPT},
               {"/etc/passwd", NULL, NULL, WA_CORRUPT},
               {"a/../../secret", NULL, NULL, WA_CORRUPT},
               {"..", NULL, NULL, WA_CORRUPT},
               {"./model.onnx.data", NULL, NULL, WA_CORRUPT},
               {"a\\b", NULL, NULL, WA_CORRUPT},
               {"", NULL, NULL, WA_CORRUPT},
               {NULL, NULL, NULL, WA_CORRUPT},
               {"secret", NULL, NULL, WA_NOT_FOUND},
               {"model.onnx.data", "12", "8", WA_CORRUPT},
               {"model.onnx.data", "12", NULL, WA_CORRUPT},
               {"model.onnx.data", "8", "4", WA_CORRUPT},
               {"model.onnx.data", "18446744073709551615", "8", WA_CORRUPT},
               {"model.onnx.data", "8", "18446744073709551615", WA_CORRUPT},
               {"model.onnx.data", "-8", "8", WA_CORRUPT},
               {"model.onnx.data", "17", NULL, WA_CORRUPT}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        wa_status s = import_external(bad[i].location, bad[i].offset, bad[i].length, &g, &f, &err);
        if (s != bad[i].want)
            fail_msg("external case %zu: status %d: %s", i, s, s ? err.message : "imported");
        assert_non_null(strstr(err.message, i < 9 ? "onnx/model.onnx" : "\"w\""));
    }
}

/* --- hostile bytes ----------------------------------------------------------------------------------- */

static void test_truncated(void **state)
{
    (void)state;
    wa_map map;
    wa_error err = {0};
    assert_ok(wa__os_map(TINY "/opset17.onnx", &map, &err), err);
    for (size_t n = 0; n < map.size; n += 97) {
        wa_status s = import_copy(map.data, n, &err);
        if (s == WA_OK) fail_msg("the first %zu of %zu bytes import", n, map.size);
    }
    wa__os_unmap(&map);
}

static void test_bit_flips(void **state)
{
    (void)state;
    wa_map map;
    wa_error err = {0};
    uint64_t seed = 0x9e3779b97f4a7c15u;
    assert_ok(wa__os_map(TINY "/dynamo.onnx", &map, &err), err);
    uint8_t *copy = malloc(map.size);
    uint32_t refused = 0;
    assert_non_null(copy);
    for (int i = 0; i < 1500; i++) {
        memcpy(copy, map.data, map.size);
        for (int k = 0; k < 3; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            size_t bit =
                (size_t)(seed >> 20) % ((k ? map.size : 16384) * 8); /* weights take most of the file */
            copy[bit / 8] ^= (uint8_t)(1u << (bit & 7));
        }
        refused += import_copy(copy, map.size, &err) != WA_OK;
    }
    assert_true(refused > 0);
    free(copy);
    wa__os_unmap(&map);
}

static void test_allocations_fail(void **state)
{
    (void)state;
    folder f;
    folder_init(&f);
    folder_map(&f, "m.onnx", TINY "/opset17.onnx");
    wa_status s = WA_NO_MEMORY;
    uint64_t n = 1;
    for (; s != WA_OK && n < 10000; n++) {
        wa_graph *g = NULL;
        wa__alloc_fail_at(n);
        s = wa__import_onnx(&f.m, &f.files[0], &g, NULL);
        wa__alloc_fail_at(0);
        if (s == WA_OK)
            wa__graph_free(g);
        else
            assert_true(s == WA_NO_MEMORY || s == WA_LIMIT);
    }
    assert_true(n > 5 && s == WA_OK);
    folder_done(&f);
}

/* --- real models ------------------------------------------------------------------------------------- */

static void test_real_l3(void **state)
{
    (void)state;
    char path[512];
    if (!real_model("l3/paraphrase-MiniLM-L3-v2.onnx", path, sizeof path)) {
        printf("SKIPPED: paraphrase-MiniLM-L3-v2.onnx is not here (make deps fetches it)\n");
        skip();
    }
    folder f;
    folder_init(&f);
    folder_map(&f, "paraphrase-MiniLM-L3-v2.onnx", path);
    double t = wa__os_now_ms();
    wa_graph *g = import_ok(&f, "L3");
    printf("L3: %.2f ms, %u nodes, arena %zu bytes\n", wa__os_now_ms() - t, g->node_count,
           g->arena->bytes_total);
    assert_int_equal(count_op(g, WA_OP_MatMul), 3 * 8);
    assert_int_equal(g->input_count, 2);
    assert_int_equal(g->output_count, 4);
    wa__graph_free(g);
    folder_done(&f);
}

/* Every model of Debian's libonnx-testdata imports or is refused with a reason. */
static uint32_t imported, refused;

static void import_one(const char *path)
{
    wa_map map;
    wa_error err = {0};
    assert_ok(wa__os_map(path, &map, &err), err);
    err.message[0] = 0;
    wa_status s = import_copy(map.data, map.size, &err);
    if (s != WA_OK && s != WA_UNSUPPORTED) fail_msg("%s: status %d: %s", path, s, err.message);
    if (s != WA_OK && strlen(err.message) < 20)
        fail_msg("%s is refused without a reason: %s", path, err.message);
    imported += s == WA_OK;
    refused += s != WA_OK;
    wa__os_unmap(&map);
}

static void test_onnx_cases(void **state)
{
    (void)state;
    static const char *const roots[] = {"node", "simple", "pytorch-operator", "pytorch-converted", "light"};
    for (size_t r = 0; r < sizeof roots / sizeof *roots; r++) {
        char root[256], path[1024];
        char **names = NULL;
        size_t count = 0;
        wa_error err = {0};
        snprintf(root, sizeof root, "/usr/share/libonnx-testdata/data/%s", roots[r]);
        if (wa__os_list(root, &names, &count, &err) != WA_OK) continue;
        for (size_t i = 0; i < count; i++) {
            snprintf(path, sizeof path, "%s/%s/model.onnx", root, names[i]);
            if (!file_exists(path)) snprintf(path, sizeof path, "%s/%s", root, names[i]);
            if (wa__str_ends(wa__str(path), ".onnx") && file_exists(path)) import_one(path);
        }
        wa__os_list_free(names, count);
    }
    if (imported + refused == 0) {
        printf("SKIPPED: libonnx-testdata is not installed\n");
        skip();
    }
    printf("ONNX's cases: %u import, %u are refused with a reason\n", imported, refused);
    assert_true(imported > 250);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiny),
        cmocka_unit_test(test_weights_are_borrowed),
        cmocka_unit_test(test_hand_made),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_unknown_operators),
        cmocka_unit_test(test_broken_graphs),
        cmocka_unit_test(test_external_data),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_bit_flips),
        cmocka_unit_test(test_allocations_fail),
        cmocka_unit_test(test_real_l3),
        cmocka_unit_test(test_onnx_cases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
