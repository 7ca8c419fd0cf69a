/* Hugging Face folders: detection, BERT's graph, config keys, weights' names and types. */
#include "import_tests.h"

#define CONFIG(extra)                                                                                        \
    "{\"architectures\":[\"BertModel\"],\"model_type\":\"bert\",\"hidden_size\":32,\"num_hidden_layers\":2," \
    "\"num_attention_heads\":4,"                                                                             \
    "\"intermediate_size\":48,\"vocab_size\":128,\"max_position_embeddings\":64,\"type_vocab_size\":2" extra \
    "}"

static wa_status import_config(const char *config, wa_graph **g, wa_error *err)
{
    folder f;
    folder_init(&f);
    folder_map(&f, "model.safetensors", TINY "/hf/model.safetensors");
    folder_put(&f, "config.json", config, strlen(config));
    wa_status s = wa__import_hf(&f.m, g, err);
    if (s == WA_OK) wa__graph_free(*g);
    f.m.count = 1; /* the config is not mapped */
    folder_done(&f);
    return s;
}

static void refuse(const char *config, wa_status want, const char *text)
{
    wa_graph *g = NULL;
    wa_error err = {0};
    wa_status s = import_config(config, &g, &err);
    if (s != want || !strstr(err.message, text))
        fail_msg("%s: wanted \"%s\", got %d: %s", config, text, s, s ? err.message : "imported");
}

static void test_tiny(void **state)
{
    (void)state;
    static const char *const folders[] = {"hf", "hf-bf16", "hf-f16"};
    for (size_t i = 0; i < 3; i++) {
        char path[256];
        folder f;
        wa_graph *g = NULL;
        wa_error err = {0};
        folder_init(&f);
        snprintf(path, sizeof path, TINY "/%s/config.json", folders[i]);
        folder_map(&f, "config.json", path);
        snprintf(path, sizeof path, TINY "/%s/model.safetensors", folders[i]);
        folder_map(&f, "model.safetensors", path);
        assert_ok(wa__import(&f.m, &g, &err), err);
        assert_int_equal(g->input_count, 3);
        assert_true(wa__str_is(g->values[g->inputs[1]].name, "attention_mask"));
        assert_true(wa__str_is(g->values[g->outputs[0]].name, "last_hidden_state"));
        assert_true(wa__str_is(g->model_type, "bert"));
        assert_true(wa__str_is(g->symbols[0], "batch") && wa__str_is(g->symbols[1], "sequence"));
        assert_int_equal(count_op(g, WA_OP_MatMul), 16);
        assert_int_equal(count_op(g, WA_OP_Cast),
                         i ? 1 + 37 : 1); /* the mask's; one a weight in half precision */
        uint32_t w = wa__graph_find(g, WA_STR("encoder.layer.1.output.dense.weight"));
        assert_true(w != WA_NONE && g->values[w].source == 0);
        assert_ptr_equal(g->values[w].data, f.files[1].data + g->values[w].offset);
        wa__graph_free(g);
        folder_done(&f);
    }
}

static void test_config(void **state)
{
    (void)state;
    wa_graph *g = NULL;
    wa_error err = {0};
    assert_ok(import_config(CONFIG(""), &g, &err), err);
    assert_ok(
        import_config(
            CONFIG(
                ",\"hidden_act\":\"gelu_new\",\"is_decoder\":false,\"position_embedding_type\":\"absolute\""),
            &g, &err),
        err);
    refuse(CONFIG(",\"hidden_act\":\"mish\",\"is_decoder\":true"), WA_UNSUPPORTED,
           "hidden_act = \"mish\" (unknown activation); is_decoder = true");
    refuse(CONFIG(",\"position_embedding_type\":\"relative_key\""), WA_UNSUPPORTED, "relative_key");
    refuse(CONFIG(",\"layer_norm_eps\":\"x\""), WA_UNSUPPORTED, "layer_norm_eps");
    refuse(CONFIG(",\"hidden_size\":32"), WA_CORRUPT, "duplicate");
    refuse("{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\"}", WA_UNSUPPORTED,
           "LlamaForCausalLM");
    refuse("{}", WA_UNSUPPORTED, "not given");
    refuse("[1]", WA_CORRUPT, "no object");
    refuse("{\"model_type\":\"bert\",\"hidden_size\":-1}", WA_UNSUPPORTED, "hidden_size = -1");
    refuse("{\"model_type\":\"bert\",\"hidden_size\":33,\"num_attention_heads\":4}", WA_UNSUPPORTED,
           "does not divide");
    refuse("{\"model_type\":\"bert\"}", WA_CORRUPT, "config.json asks for f32[30522,768]");
}

/* The order of candidates, and errors that name them. */
static void test_detect(void **state)
{
    (void)state;
    folder f;
    wa_format format = WA_FORMAT_UNKNOWN;
    const wa_model_file *file = NULL;
    wa_error err = {0};
    folder_init(&f);
    assert_int_equal(wa__import_detect(&f.m, &format, &file, &err), WA_UNSUPPORTED);
    folder_put(&f, "config.json", "{}", 2);
    assert_int_equal(wa__import_detect(&f.m, &format, &file, &err), WA_UNSUPPORTED);
    folder_put(&f, "a.safetensors", "", 0);
    assert_ok(wa__import_detect(&f.m, &format, &file, &err), err);
    assert_int_equal(format, WA_FORMAT_HF);
    folder_put(&f, "x/b.onnx", "", 0);
    assert_ok(wa__import_detect(&f.m, &format, &file, &err), err);
    assert_int_equal(format, WA_FORMAT_ONNX);
    folder_put(&f, "c.onnx", "", 0);
    assert_int_equal(wa__import_detect(&f.m, &format, &file, &err), WA_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "x/b.onnx, c.onnx"));
    folder_put(&f, "onnx/model.onnx", "", 0);
    assert_ok(wa__import_detect(&f.m, &format, &file, &err), err);
    assert_true(wa__str_is(file->name, "onnx/model.onnx"));
    folder_put(&f, "model.onnx", "", 0);
    assert_ok(wa__import_detect(&f.m, &format, &file, &err), err);
    assert_true(wa__str_is(file->name, "model.onnx"));
}

static void test_allocations_fail(void **state)
{
    (void)state;
    folder f;
    folder_init(&f);
    folder_map(&f, "config.json", TINY "/hf-bf16/config.json");
    folder_map(&f, "model.safetensors", TINY "/hf-bf16/model.safetensors");
    wa_status s = WA_NO_MEMORY;
    uint64_t n = 1;
    for (; s != WA_OK && n < 10000; n++) {
        wa_graph *g = NULL;
        wa__alloc_fail_at(n);
        s = wa__import_hf(&f.m, &g, NULL);
        wa__alloc_fail_at(0);
        if (s == WA_OK)
            wa__graph_free(g);
        else if (s != WA_NO_MEMORY)
            fail_msg("allocation %llu: status %d", (unsigned long long)n, s);
    }
    assert_true(n > 5 && s == WA_OK);
    folder_done(&f);
}

static void test_real_l6(void **state)
{
    (void)state;
    char path[512];
    if (!real_model("l6/model.safetensors", path, sizeof path)) {
        printf("SKIPPED: all-MiniLM-L6-v2 is not here (make deps fetches it)\n");
        skip();
    }
    folder f;
    wa_graph *g = NULL;
    wa_error err = {0};
    folder_init(&f);
    folder_map(&f, "model.safetensors", path);
    real_model("l6/config.json", path, sizeof path);
    folder_map(&f, "config.json", path);
    double t = wa__os_now_ms();
    assert_ok(wa__import(&f.m, &g, &err), err);
    printf("L6: %.2f ms, %u nodes, arena %zu bytes\n", wa__os_now_ms() - t, g->node_count,
           g->arena->bytes_total);
    assert_int_equal(count_op(g, WA_OP_MatMul), 6 * 8);
    wa__graph_free(g);
    folder_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tiny), cmocka_unit_test(test_config),
                                       cmocka_unit_test(test_detect), cmocka_unit_test(test_allocations_fail),
                                       cmocka_unit_test(test_real_l6)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
