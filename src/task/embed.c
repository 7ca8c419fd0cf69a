/* Configuration files in, pooling, normalisation and length out. Called by api before it plans. */
#include "task/embed.h"
#include "base/limits.h"
#include "task/task_json.h"

#define LENGTH_MAX 1000000 /* tokenizers without a limit write 1e30 */

/* Parses the named file when it is there: *out is NULL otherwise. It must be an object (or an array). */
static wa_status open_json(const wa_task_files *files, const char *name, bool array, json_t **out, wa_error *err)
{
    const wa_task_file *f = wa__task_file(files, name);
    *out = NULL;
    if (!f) return WA_OK;
    json_t *j = NULL;
    WA_TRY(wa__task_json(f->data, (size_t)f->size, name, &j, err));
    if (array ? !json_is_array(j) : !json_is_object(j)) {
        json_decref(j);
        return wa__fail(err, WA_CORRUPT, "%s: an %s was expected", name, array ? "array" : "object");
    }
    *out = j;
    return WA_OK;
}

typedef struct lacks {
    char text[600];
    uint32_t count;
} lacks;

static void lack(lacks *l, const char *what)
{
    size_t n = strlen(l->text);
    snprintf(l->text + n, sizeof l->text - n, "%s%.80s", l->count++ ? ", " : "", what);
}

static void take_pooling(const char *name, wa_embed_config *c, uint32_t *modes, lacks *l)
{
    static const struct { const char *name; wa_embed_pooling pooling; } known[] = {
        {"mean", WA_EMBED_MEAN}, {"mean_tokens", WA_EMBED_MEAN}, {"cls", WA_EMBED_CLS}, {"cls_token", WA_EMBED_CLS},
        {"max", WA_EMBED_MAX}, {"max_tokens", WA_EMBED_MAX},
    };
    (*modes)++;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(known[i].name, name) != 0) continue;
        c->pooling = known[i].pooling;
        return;
    }
    char text[120];
    snprintf(text, sizeof text, "pooling %.80s", name);
    lack(l, text);
}

/* {"pooling_mode_mean_tokens": true, ...}, or since 5.x {"pooling_mode": "mean"} or ["mean"]. */
static wa_status read_pooling(const wa_task_files *files, const char *folder, wa_embed_config *c, lacks *l, wa_error *err)
{
    char name[256];
    snprintf(name, sizeof name, "%.200s%sconfig.json", folder, *folder ? "/" : "");
    json_t *j = NULL, *mode;
    WA_TRY(open_json(files, name, false, &j, err));
    if (!j) return wa__fail(err, WA_CORRUPT, "modules.json names a pooling module in \"%.100s\", but %s is not there", folder, name);
    int64_t dimension = 0;
    uint32_t modes = 0;
    const char *key;
    json_t *value;
    wa_status s = wa__task_json_int(j, "word_embedding_dimension", name, 1, 1 << 20, 0, &dimension, err);
    if (s == WA_OK && dimension == 0) s = wa__task_json_int(j, "embedding_dimension", name, 1, 1 << 20, 0, &dimension, err);
    c->dimension = (uint32_t)dimension;
    mode = json_object_get(j, "pooling_mode");
    if (json_is_string(mode)) take_pooling(json_string_value(mode), c, &modes, l);
    for (size_t i = 0; i < json_array_size(mode); i++)
        if (json_is_string(json_array_get(mode, i))) take_pooling(json_string_value(json_array_get(mode, i)), c, &modes, l);
    json_object_foreach(j, key, value)
        if (strncmp(key, "pooling_mode_", 13) == 0 && json_is_true(value)) take_pooling(key + 13, c, &modes, l);
    json_decref(j);
    if (s == WA_OK && modes == 0) s = wa__fail(err, WA_CORRUPT, "%s: no pooling mode is on", name);
    if (s == WA_OK && modes > 1) lack(l, "several poolings side by side");
    return s;
}

static wa_status read_modules(const wa_task_files *files, const json_t *modules, wa_embed_config *c, const char **folder, wa_error *err)
{
    lacks l = {0};
    bool pooled = false;
    for (size_t i = 0; i < json_array_size(modules); i++) {
        const json_t *m = json_array_get(modules, i);
        const char *type, *path;
        WA_TRY(wa__task_json_str(m, "type", "modules.json", "", &type, err));
        WA_TRY(wa__task_json_str(m, "path", "modules.json", "", &path, err));
        const char *dot = strrchr(type, '.'), *class = dot ? dot + 1 : type;
        if (strcmp(class, "Transformer") == 0 && i == 0) {
            *folder = path;
        } else if (strcmp(class, "Pooling") == 0 && !pooled) {
            pooled = true;
            WA_TRY(read_pooling(files, path, c, &l, err));
        } else if (strcmp(class, "Normalize") == 0 && pooled) {
            c->normalize = true;
        } else {
            char text[160];
            snprintf(text, sizeof text, "module %.80s", *class ? class : "without a type");
            lack(&l, text);
        }
    }
    if (l.count)
        return wa__fail(err, WA_UNSUPPORTED, "modules.json: this build runs Transformer, Pooling (mean, cls or max) and Normalize; it lacks: %s", l.text);
    if (!pooled) return wa__fail(err, WA_UNSUPPORTED, "modules.json: there is no Pooling module, so nothing makes one vector of a text");
    return WA_OK;
}

static void set_length(wa_embed_config *c, int64_t length, const char *from)
{
    c->length_max = (uint32_t)length;
    snprintf(c->length_from, sizeof c->length_from, "%s", from);
}

static wa_status read_sentence_config(const wa_task_files *files, const char *folder, wa_embed_config *c, wa_error *err)
{
    char name[256];
    snprintf(name, sizeof name, "%.200s%ssentence_bert_config.json", folder, *folder ? "/" : "");
    json_t *j = NULL;
    WA_TRY(open_json(files, name, false, &j, err));
    if (!j) return WA_OK;
    int64_t length = 0;
    wa_status s = wa__task_json_int(j, "max_seq_length", name, 1, LENGTH_MAX, 0, &length, err);
    if (s == WA_OK) s = wa__task_json_bool(j, "do_lower_case", name, false, &c->lowercase, err);
    json_decref(j);
    if (s == WA_OK && length) set_length(c, length, "sentence_bert_config.json");
    return s;
}

static wa_status read_lengths(const wa_task_files *files, const wa_tokenizer *t, wa_embed_config *c, wa_error *err)
{
    json_t *j = NULL;
    if (c->length_max == 0 && t && wa__tokenizer_length_max(t)) set_length(c, wa__tokenizer_length_max(t), "tokenizer.json");
    WA_TRY(open_json(files, "tokenizer_config.json", false, &j, err));
    const json_t *v = json_object_get(j, "model_max_length");
    if (c->length_max == 0 && json_is_integer(v) && json_integer_value(v) > 0 && json_integer_value(v) < LENGTH_MAX)
        set_length(c, json_integer_value(v), "tokenizer_config.json");
    json_decref(j);
    WA_TRY(open_json(files, "config.json", false, &j, err));
    int64_t positions = 0;
    wa_status s = j ? wa__task_json_int(j, "max_position_embeddings", "config.json", -1, INT32_MAX, 0, &positions, err) : WA_OK;
    json_decref(j);
    if (s == WA_OK && positions > 0 && (c->length_max == 0 || c->length_max > positions)) set_length(c, positions, "config.json");
    return s;
}

wa_status wa__embed_read(const wa_task_files *files, const wa_tokenizer *t, wa_embed_config *out, wa_error *err)
{
    wa_embed_config c = {.pooling = WA_EMBED_MEAN};
    json_t *modules = NULL;
    const char *folder = "";
    WA_TRY(open_json(files, "modules.json", true, &modules, err));
    c.declared = modules != NULL;
    wa_status s = modules ? read_modules(files, modules, &c, &folder, err) : WA_OK;
    if (s == WA_OK) s = read_sentence_config(files, folder, &c, err);
    if (s == WA_OK) s = read_lengths(files, t, &c, err);
    json_decref(modules);
    if (s == WA_OK) *out = c;
    return s;
}

wa_status wa__embed_prompt(const wa_task_files *files, const char *name, char **out, wa_error *err)
{
    static const char file[] = "config_sentence_transformers.json";
    json_t *j = NULL, *v;
    const char *key, *text = name ? NULL : "", *wanted = name;
    lacks known = {0};
    WA_TRY(open_json(files, file, false, &j, err));
    json_t *prompts = json_object_get(j, "prompts");
    wa_status s = j && !name ? wa__task_json_str(j, "default_prompt_name", file, NULL, &wanted, err) : WA_OK;
    json_object_foreach(prompts, key, v)
    {
        lack(&known, key);
        if (wanted && strcmp(key, wanted) == 0 && json_is_string(v)) text = json_string_value(v);
    }
    if (s == WA_OK && !text)
        s = wa__fail(err, WA_NOT_FOUND, "the model has no prompt \"%.80s\"; it has: %s", name, known.count ? known.text : "none");
    char *copy = s == WA_OK ? wa__strdup(text) : NULL;
    json_decref(j);
    if (s == WA_OK && !copy) s = wa__no_memory(err, "a prompt");
    if (s == WA_OK) *out = copy;
    return s;
}
