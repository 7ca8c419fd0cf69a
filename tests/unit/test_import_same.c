/* One BERT from a Hugging Face folder and from PyTorch's exports: after the passes the graphs print
 * the same, and computed by the reference kernels they give what PyTorch computed. */
#include "import_tests.h"
#include "kernels/kernels.h"
#include "opt/opt.h"
#include <math.h>

/* The data of a little-endian .npy file: after its header. */
static const uint8_t *npy(const folder *f, const char *name)
{
    const wa_model_file *file = wa__model_file(&f->m, name);
    assert_non_null(file);
    return file->data + 10 + file->data[8] + 256 * file->data[9];
}

static wa_graph *import_optimized(const char *const *names, const char *const *paths, uint32_t n, folder *f)
{
    wa_graph *g = NULL;
    wa_error err = {0};
    wa_binding_dim dims[] = {{WA_STR("batch"), 2}, {WA_STR("sequence"), 7}};
    wa_opt_options options = {.eval = wa__kernel_eval};
    folder_init(f);
    for (uint32_t i = 0; i < n; i++) folder_map(f, names[i], paths[i]);
    assert_ok(wa__import(&f->m, &g, &err), err);
    assert_ok(wa__graph_bind(g, dims, 2, &err), err);
    assert_ok(wa__opt_run(g, &options, &err), err);
    return g;
}

static wa_graph *import_hf(const char *which, folder *f)
{
    char config[256], weights[256];
    const char *names[] = {"config.json", "model.safetensors"}, *paths[] = {config, weights};
    snprintf(config, sizeof config, TINY "/%s/config.json", which);
    snprintf(weights, sizeof weights, TINY "/%s/model.safetensors", which);
    return import_optimized(names, paths, 2, f);
}

static wa_graph *import_onnx(const char *which, folder *f)
{
    char path[256];
    const char *name = "model.onnx", *p = path;
    snprintf(path, sizeof path, TINY "/%s.onnx", which);
    return import_optimized(&name, &p, 1, f);
}

static char *text_of(const wa_graph *g)
{
    wa_buf b;
    wa_error err = {0};
    wa__buf_init(&b, 1 << 20);
    assert_ok(wa__graph_print(g, true, &b, &err), err);
    return b.ptr;
}

/* Shows the first line that differs. */
static void assert_same_text(const char *what, const char *a, const char *b)
{
    if (strcmp(a, b) == 0) return;
    for (int line = 1;; line++) {
        size_t n = strcspn(a, "\n"), m = strcspn(b, "\n");
        if (n != m || memcmp(a, b, n) != 0 || !a[n] || !b[m])
            fail_msg("%s differs from hf at line %d:\nhf:   %.*s\nonnx: %.*s", what, line, (int)n, a, (int)m,
                     b);
        a += n + 1;
        b += m + 1;
    }
}

static void test_same_graphs(void **state)
{
    (void)state;
    static const char *const exports[] = {"opset17", "opset14"};
    folder f, f2;
    wa_graph *hf = import_hf("hf", &f);
    char *want = text_of(hf);
    for (size_t i = 0; i < sizeof exports / sizeof *exports; i++) {
        wa_graph *g = import_onnx(exports[i], &f2);
        char *got = text_of(g);
        assert_same_text(exports[i], want, got);
        wa__free(got);
        wa__graph_free(g);
        folder_done(&f2);
    }
    wa__free(want);
    wa__graph_free(hf);
    folder_done(&f);
}

/* Runs every node by the reference kernels; data[v] are the values' bytes, heap but for constants. */
static void run(const wa_graph *g, void **data)
{
    wa_error err = {0};
    for (uint32_t v = 0; v < g->value_count; v++)
        if (g->values[v].kind == WA_VALUE_CONST) data[v] = (void *)(uintptr_t)g->values[v].data;
    for (uint32_t i = 0; i < g->node_count; i++) {
        const wa_node *n = &g->nodes[i];
        wa_view in[16], out[4];
        if (n->dead) continue;
        assert_true(n->input_count <= 16 && n->output_count <= 4);
        for (uint32_t k = 0; k < n->input_count; k++)
            in[k] = n->inputs[k] == WA_NONE ? (wa_view){.data = NULL}
                                            : (wa_view){g->values[n->inputs[k]].type, data[n->inputs[k]]};
        for (uint32_t k = 0; k < n->output_count; k++) {
            const wa_tensor_type *t = &g->values[n->outputs[k]].type;
            data[n->outputs[k]] = calloc(1, (size_t)wa__bytes(t) + 1);
            out[k] = (wa_view){*t, data[n->outputs[k]]};
        }
        assert_ok(wa__kernel_eval(NULL, n->op, n->attrs, n->attr_count, in, n->input_count, out,
                                  n->output_count, &err),
                  err);
    }
}

/* Largest difference from PyTorch where the mask is 1. */
static double difference(const wa_graph *g, const folder *arrays)
{
    void **data = calloc(g->value_count, sizeof *data);
    double worst = 0;
    assert_non_null(data);
    for (uint32_t i = 0; i < g->input_count; i++) {
        char name[64];
        snprintf(name, sizeof name, "%.*s.npy", WA_STR_ARG(g->values[g->inputs[i]].name));
        data[g->inputs[i]] = (void *)(uintptr_t)npy(arrays, name);
    }
    run(g, data);
    const float *got = data[g->outputs[0]];
    for (int64_t i = 0; i < 2 * 7; i++) {
        int64_t mask;
        memcpy(&mask, npy(arrays, "attention_mask.npy") + 8 * i, 8);
        for (int64_t k = 0; k < 32 && mask; k++) {
            float want;
            memcpy(&want, npy(arrays, "last_hidden_state.npy") + 4 * (32 * i + k), 4);
            double d = fabs((double)got[32 * i + k] - (double)want);
            worst = d > worst || isnan(d) ? d : worst;
        }
    }
    for (uint32_t v = 0; v < g->value_count; v++)
        if (g->values[v].kind == WA_VALUE_NODE) free(data[v]);
    free(data);
    return worst;
}

static void test_same_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double most;
    } cases[] = {{"hf", 1e-5},      {"hf-bf16", 0.15}, {"hf-f16", 0.02},
                 {"opset17", 1e-5}, {"opset14", 1e-5}, {"dynamo", 1e-5}};
    static const char *const arrays_names[] = {"input_ids", "attention_mask", "token_type_ids",
                                               "last_hidden_state"};
    folder arrays, f;
    folder_init(&arrays);
    char names[4][64], paths[4][256];
    for (int i = 0; i < 4; i++) {
        snprintf(names[i], sizeof names[i], "%s.npy", arrays_names[i]);
        snprintf(paths[i], sizeof paths[i], TINY "/%s.npy", arrays_names[i]);
        folder_map(&arrays, names[i], paths[i]);
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wa_graph *g = i < 3 ? import_hf(cases[i].name, &f) : import_onnx(cases[i].name, &f);
        double d = difference(g, &arrays);
        printf("%s: %u nodes, differs from PyTorch by at most %.2e\n", cases[i].name, g->node_count, d);
        if (!(d < cases[i].most)) fail_msg("%s differs from PyTorch by %g", cases[i].name, d);
        wa__graph_free(g);
        folder_done(&f);
    }
    folder_done(&arrays);
}

/* --- the real models ------------------------------------------------------------------------------- */

/* Seven tokens through the whole model, pooled, against the vectors in tests/fixtures/reference. */
static void embed_seven(wa_graph *g, const char *hidden, bool normalize, const char *want_file)
{
    wa_error err = {0};
    wa_opt_options options = {.eval = wa__kernel_eval};
    wa_binding_dim dims[] = {{WA_STR("batch"), 1},
                             {WA_STR("sequence"), 7},
                             {WA_STR("batch_size"), 1},
                             {WA_STR("sequence_length"), 7}};
    int64_t ids[7], ones[7] = {1, 1, 1, 1, 1, 1, 1}, zeros[7] = {0};
    folder arrays;
    char path[256];
    double worst = 0;
    folder_init(&arrays);
    folder_map(&arrays, "ids", WA_TEST_DIR "/fixtures/reference/b1_s7.ids.npy");
    snprintf(path, sizeof path, WA_TEST_DIR "/fixtures/reference/%s", want_file);
    folder_map(&arrays, "want", path);
    for (int i = 0; i < 7; i++) ids[i] = npy(&arrays, "ids")[2 * i] + 256 * npy(&arrays, "ids")[2 * i + 1];
    assert_ok(wa__graph_bind(g, dims, 4, &err), err);
    assert_ok(wa__opt_append_pooling(g, wa__graph_find(g, wa__str(hidden)),
                                     wa__graph_find(g, WA_STR("attention_mask")), WA_POOLING_MEAN, normalize,
                                     &err),
              err);
    assert_ok(wa__opt_run(g, &options, &err), err);
    void **data = calloc(g->value_count, sizeof *data);
    assert_non_null(data);
    for (uint32_t i = 0; i < g->input_count; i++) {
        wa_str name = g->values[g->inputs[i]].name;
        data[g->inputs[i]] = wa__str_is(name, "input_ids")        ? ids
                             : wa__str_is(name, "attention_mask") ? ones
                                                                  : zeros;
    }
    run(g, data);
    const float *got = data[g->outputs[0]];
    for (int k = 0; k < 384; k++) {
        float want;
        memcpy(&want, npy(&arrays, "want") + 4 * k, 4);
        double d = fabs((double)got[k] - (double)want);
        worst = d > worst || isnan(d) ? d : worst;
    }
    printf("%s: differs by at most %.2e\n", want_file, worst);
    assert_true(worst < 2e-5);
    for (uint32_t v = 0; v < g->value_count; v++)
        if (g->values[v].kind == WA_VALUE_NODE) free(data[v]);
    free(data);
    folder_done(&arrays);
}

static void test_real_l6(void **state)
{
    (void)state;
    char weights[512], config[512];
    wa_graph *g = NULL;
    wa_error err = {0};
    folder f;
    if (!real_model("l6/model.safetensors", weights, sizeof weights) ||
        !real_model("l6/config.json", config, sizeof config)) {
        printf("SKIPPED: all-MiniLM-L6-v2 is not here (make deps fetches it)\n");
        skip();
    }
    folder_init(&f);
    folder_map(&f, "model.safetensors", weights);
    folder_map(&f, "config.json", config);
    assert_ok(wa__import(&f.m, &g, &err), err);
    embed_seven(g, "last_hidden_state", true, "b1_s7.l6.npy");
    wa__graph_free(g);
    folder_done(&f);
}

static void test_real_l3(void **state)
{
    (void)state;
    char path[512];
    wa_graph *g = NULL;
    wa_error err = {0};
    folder f;
    if (!real_model("l3/paraphrase-MiniLM-L3-v2.onnx", path, sizeof path)) {
        printf("SKIPPED: paraphrase-MiniLM-L3-v2.onnx is not here (make deps fetches it)\n");
        skip();
    }
    folder_init(&f);
    folder_map(&f, "paraphrase-MiniLM-L3-v2.onnx", path);
    assert_ok(wa__import(&f.m, &g, &err), err);
    embed_seven(g, "onnx::Shape_422", false, "b1_s7.l3.npy");
    wa__graph_free(g);
    folder_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_graphs),
                                       cmocka_unit_test(test_same_numbers), cmocka_unit_test(test_real_l6),
                                       cmocka_unit_test(test_real_l3)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
