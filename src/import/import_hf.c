/* Hugging Face folders to graphs. In: config.json and safetensors files. Out: a verified graph, built
 * by the architecture's builder. Called by import.c, tests, fuzzers. */
#include "import/import_hf.h"
#include <math.h>

typedef wa_status (*build_fn)(wa_hf *h, wa_error *err);
static const struct {
    const char *architecture, *model_type;
    build_fn build;
} builders[] = {
    {"BertModel", "bert", wa__hf_build_bert},
    {"BertForMaskedLM", "bert", wa__hf_build_bert},
    {"BertForPreTraining", "bert", wa__hf_build_bert},
    {"BertForNextSentencePrediction", "bert", wa__hf_build_bert},
    {"BertForSequenceClassification", "bert", wa__hf_build_bert},
    {"BertForTokenClassification", "bert", wa__hf_build_bert},
    {"BertForQuestionAnswering", "bert", wa__hf_build_bert},
    {"BertForMultipleChoice", "bert", wa__hf_build_bert},
};
#define BUILDERS (sizeof builders / sizeof *builders)

/* --- config ---------------------------------------------------------------------------------------- */

void wa__hf_problem(wa_hf *h, const char *key, const char *why)
{
    const json_t *v = json_object_get(h->config, key);
    char *text = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    /* A full buffer already says enough. */
    wa_status s = wa__buf_printf(&h->problems, NULL, "%s%s = %.100s (%s)", h->problems.len ? "; " : "", key,
                                 text ? text : "absent", why);
    (void)s;
    free(text); /* jansson's */
}

int64_t wa__hf_int(wa_hf *h, const char *key, int64_t fallback, int64_t min, int64_t max)
{
    const json_t *v = json_object_get(h->config, key);
    if (!v || json_is_null(v)) return fallback;
    if (json_is_integer(v) && json_integer_value(v) >= min && json_integer_value(v) <= max)
        return json_integer_value(v);
    wa__hf_problem(h, key, "not a number in range");
    return fallback;
}

double wa__hf_float(wa_hf *h, const char *key, double fallback)
{
    const json_t *v = json_object_get(h->config, key);
    if (!v || json_is_null(v)) return fallback;
    if (json_is_number(v) && isfinite(json_number_value(v)) && json_number_value(v) >= 0)
        return json_number_value(v);
    wa__hf_problem(h, key, "not a number of 0 or more");
    return fallback;
}

const char *wa__hf_text(wa_hf *h, const char *key, const char *fallback)
{
    const json_t *v = json_object_get(h->config, key);
    if (!v || json_is_null(v)) return fallback;
    if (json_is_string(v)) return json_string_value(v);
    wa__hf_problem(h, key, "not a text");
    return fallback;
}

bool wa__hf_bool(wa_hf *h, const char *key, bool fallback)
{
    const json_t *v = json_object_get(h->config, key);
    if (!v || json_is_null(v)) return fallback;
    if (json_is_boolean(v)) return json_is_true(v);
    wa__hf_problem(h, key, "neither true nor false");
    return fallback;
}

wa_status wa__hf_config_done(wa_hf *h, wa_error *err)
{
    if (!h->problems.len) return WA_OK;
    return wa__fail(err, WA_UNSUPPORTED, "config.json asks for what this build lacks: %s", h->problems.ptr);
}

/* --- weights --------------------------------------------------------------------------------------- */

bool wa__hf_has(const wa_hf *h, const char *prefix, const char *name)
{
    char full[512];
    int n = snprintf(full, sizeof full, "%s%s", prefix, name);
    return n > 0 && (size_t)n < sizeof full && wa__safetensors_find(h->weights, wa__str(full));
}

static wa_status check_weight(const wa_safetensor *t, uint32_t rank, const int64_t *dims, wa_error *err)
{
    wa_tensor_type want = {.dtype = t->type.dtype, .rank = rank};
    char have_text[128], want_text[128];
    for (uint32_t i = 0; i < rank; i++) want.dims[i] = dims[i];
    wa__type_text(&t->type, have_text, sizeof have_text);
    wa__type_text(&want, want_text, sizeof want_text);
    if (!wa__type_eq(&t->type, &want))
        return wa__fail(err, WA_CORRUPT, "%.*s: weight \"%.*s\" is %s; config.json asks for %s",
                        WA_STR_ARG(t->file->name), WA_STR_ARG(t->name), have_text, want_text);
    if (t->type.dtype != WA_F32 && t->type.dtype != WA_F16 && t->type.dtype != WA_BF16)
        return wa__fail(err, WA_UNSUPPORTED,
                        "%.*s: weight \"%.*s\" is %s; f32, f16 and bf16 weights are supported",
                        WA_STR_ARG(t->file->name), WA_STR_ARG(t->name), have_text);
    return WA_OK;
}

wa_status wa__hf_weight(wa_hf *h, const char *name, uint32_t rank, const int64_t *dims, uint32_t *value,
                        wa_error *err)
{
    char full[512];
    int n = snprintf(full, sizeof full, "%s%s", h->prefix, name);
    const wa_safetensor *t =
        n > 0 && (size_t)n < sizeof full ? wa__safetensors_find(h->weights, wa__str(full)) : NULL;
    if (!t)
        return wa__fail(err, WA_CORRUPT,
                        "the safetensors files lack the weight \"%s%s\" that config.json asks for", h->prefix,
                        name);
    WA_TRY(check_weight(t, rank, dims, err));
    uint32_t source = wa__import_source(h->g, t->file);
    if (source == WA_NONE) return wa__no_memory(err, "a source");
    uint32_t v = wa__graph_const(h->g, t->name, &t->type, t->data, (int32_t)source);
    if (v == WA_NONE) return wa__fail(err, WA_NO_MEMORY, "out of memory for the weight \"%s\"", full);
    if (t->type.dtype != WA_F32) {
        uint32_t cast = wa__graph_node(h->g, WA_OP_Cast, t->name, &v, 1, 1);
        if (cast == WA_NONE || !wa__node_set_int(h->g, cast, "to", WA_F32))
            return wa__no_memory(err, "a node");
        h->g->nodes[cast].opset = WA_HF_OPSET;
        v = h->g->nodes[cast].outputs[0];
    }
    *value = v;
    return WA_OK;
}

/* --- the builder's choice ---------------------------------------------------------------------------- */

static wa_status no_builder(const char *architecture, const char *model_type, wa_error *err)
{
    wa__fail(err, WA_UNSUPPORTED,
             "config.json: architecture %.100s (model_type %.100s) is not supported; supported are:",
             architecture ? architecture : "not given", model_type ? model_type : "not given");
    for (size_t i = 0; i < BUILDERS; i++)
        wa__error_append(err, "%s %s", i ? "," : "", builders[i].architecture);
    return WA_UNSUPPORTED;
}

/* By the first architecture; a config without any is taken by its model_type. */
static wa_status choose(wa_hf *h, build_fn *out, wa_error *err)
{
    const json_t *list = json_object_get(h->config, "architectures");
    const char *architecture = json_string_value(json_array_get(list, 0));
    const char *model_type = json_string_value(json_object_get(h->config, "model_type"));
    for (size_t i = 0; i < BUILDERS; i++) {
        if (architecture ? strcmp(architecture, builders[i].architecture) != 0
                         : !model_type || strcmp(model_type, builders[i].model_type) != 0)
            continue;
        h->g->model_type = wa__str(builders[i].model_type);
        *out = builders[i].build;
        return WA_OK;
    }
    return no_builder(architecture, model_type, err);
}

static wa_status build(wa_hf *h, wa_error *err)
{
    build_fn fn = NULL;
    WA_TRY(choose(h, &fn, err));
    WA_TRY(fn(h, err));
    return wa__graph_verify(h->g, err);
}

static wa_status import_config(const wa_model_files *m, const json_t *config, wa_graph **out, wa_error *err)
{
    wa_safetensors weights;
    wa_hf h = {.config = config, .weights = &weights, .prefix = ""};
    wa_status s = wa__safetensors_open(m, &weights, err);
    if (s == WA_OK) s = wa__graph_create(&h.g, err);
    if (s == WA_OK) {
        wa__buf_init(&h.problems, 768);
        s = build(&h, err);
        wa__buf_done(&h.problems);
    }
    wa__safetensors_done(&weights);
    if (s != WA_OK) {
        wa__graph_free(h.g);
        return s;
    }
    *out = h.g;
    return WA_OK;
}

wa_status wa__import_hf(const wa_model_files *m, wa_graph **out, wa_error *err)
{
    const wa_model_file *file = wa__model_file(m, "config.json");
    json_t *config = NULL;
    if (!file) return wa__fail(err, WA_NOT_FOUND, "the model folder has no config.json");
    WA_TRY(wa__json_parse(file->data, file->size, "config.json", &config, err));
    wa_status s = import_config(m, config, out, err);
    json_decref(config);
    return s;
}
