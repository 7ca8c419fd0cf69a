/* tokenizer.json in, a tokenizer out. Untrusted bytes. task_tokenizer_vocab.c reads the older form. */
#include "base/limits.h"
#include "task/task_json.h"
#include "task/task_tokenizer_load.h"

/* What tokenizer.json asks for and this build lacks, gathered so that one message lists it all. */
typedef struct missing {
    char text[700];
    uint32_t count;
} missing;

static void miss(missing *m, const char *part, const char *type)
{
    size_t n = strlen(m->text);
    snprintf(m->text + n, sizeof m->text - n, "%s%s %.80s", m->count++ ? ", " : "", part, type);
}

/* The "type" of a component; NULL (and noted) when it is not `known`, "" when the component is null. */
static const char *component(const json_t *root, const char *part, const char *const *known, missing *m)
{
    const json_t *c = json_object_get(root, part);
    if (!c || json_is_null(c)) return "";
    const char *type = json_string_value(json_object_get(c, "type"));
    if (!type) type = json_is_object(c) ? "without a type" : "that is no object";
    for (; *known; known++)
        if (strcmp(*known, type) == 0) return *known;
    miss(m, part, type);
    return NULL;
}

static wa_status check_components(const json_t *root, const char *what, wa_error *err)
{
    static const char *const models[] = {"WordPiece", NULL}, *const normalizers[] = {"BertNormalizer", NULL};
    static const char *const pre[] = {"BertPreTokenizer", NULL};
    static const char *const post[] = {"TemplateProcessing", "BertProcessing", NULL};
    missing m = {0};
    const json_t *model = json_object_get(root, "model");
    if (!json_is_object(model)) return wa__fail(err, WA_CORRUPT, "%s: \"model\" is missing or no object", what);
    /* Files from before tokenizers 0.8 leave the model's type out; such a WordPiece has its prefix. */
    if (json_object_get(model, "type") || !json_object_get(model, "continuing_subword_prefix"))
        component(root, "model", models, &m);
    component(root, "normalizer", normalizers, &m);
    component(root, "pre_tokenizer", pre, &m);
    component(root, "post_processor", post, &m);
    if (m.count == 0) return WA_OK;
    return wa__fail(err, WA_UNSUPPORTED,
                    "%s: this build reads WordPiece tokenizers with BERT's normalizer; it lacks: %s", what, m.text);
}

static wa_status read_vocab(wa_tokenizer *t, const json_t *model, const char *what, wa_error *err)
{
    json_t *vocab = json_object_get(model, "vocab");
    if (!json_is_object(vocab) || json_object_size(vocab) == 0)
        return wa__fail(err, WA_CORRUPT, "%s: \"model.vocab\" is missing, empty or no object", what);
    WA_TRY(wa__words_init(&t->vocab, &t->arena, json_object_size(vocab), err));
    const char *key;
    json_t *value;
    json_object_foreach(vocab, key, value)
    {
        json_int_t id = json_integer_value(value);
        if (!json_is_integer(value) || id < 0 || id > INT32_MAX)
            return wa__fail(err, WA_CORRUPT, "%s: the id of \"%.80s\" in model.vocab is no integer in [0, 2^31)", what, key);
        char *copy = wa__arena_strndup(&t->arena, key, strlen(key));
        if (!copy) return wa__no_memory(err, "the vocabulary");
        WA_TRY(wa__words_add(&t->vocab, wa__str(copy), (int32_t)id, err));
        if (id > t->id_max) t->id_max = (int32_t)id;
    }
    return WA_OK;
}

static wa_status read_model(wa_tokenizer *t, const json_t *model, const char *what, wa_error *err)
{
    const char *prefix, *unknown;
    int64_t chars;
    WA_TRY(read_vocab(t, model, what, err));
    WA_TRY(wa__task_json_str(model, "continuing_subword_prefix", what, "##", &prefix, err));
    WA_TRY(wa__task_json_str(model, "unk_token", what, "[UNK]", &unknown, err));
    WA_TRY(wa__task_json_int(model, "max_input_chars_per_word", what, 0, INT64_MAX, WA_LIMIT_WORD_CHARS, &chars, err));
    return wa__tokenizer_set_model(t, prefix, unknown, chars, what, err);
}

wa_status wa__tokenizer_set_model(wa_tokenizer *t, const char *prefix, const char *unknown, int64_t chars,
                                  const char *what, wa_error *err)
{
    if (chars > WA_WORD_CHARS_MAX)
        return wa__fail(err, WA_LIMIT, "%s: max_input_chars_per_word is %lld; the most is %u", what, (long long)chars, WA_WORD_CHARS_MAX);
    t->word_chars_max = (uint32_t)chars;
    t->prefix = wa__str(wa__arena_strndup(&t->arena, prefix, strlen(prefix)));
    if (!t->prefix.ptr) return wa__no_memory(err, "the tokenizer");
    t->unknown_id = wa__words_find(&t->vocab, wa__str(unknown));
    if (t->unknown_id < 0)
        return wa__fail(err, WA_CORRUPT, "%s: the vocabulary lacks its own unknown token \"%.80s\"", what, unknown);
    return WA_OK;
}

static wa_status read_normalizer(wa_tokenizer *t, const json_t *root, const char *what, wa_error *err)
{
    const json_t *n = json_object_get(root, "normalizer");
    const json_t *pre = json_object_get(root, "pre_tokenizer");
    t->split_words = json_is_object(pre);
    t->normalize = json_is_object(n);
    if (!t->normalize) return WA_OK;
    wa_bert_normalizer *b = &t->normalizer;
    WA_TRY(wa__task_json_bool(n, "clean_text", what, true, &b->clean_text, err));
    WA_TRY(wa__task_json_bool(n, "handle_chinese_chars", what, true, &b->chinese_chars, err));
    WA_TRY(wa__task_json_bool(n, "lowercase", what, true, &b->lowercase, err));
    return wa__task_json_bool(n, "strip_accents", what, b->lowercase, &b->strip_accents, err);
}

/* --- added tokens ------------------------------------------------------------------------------ */

wa_status wa__tokenizer_read_added(wa_tokenizer *t, const json_t *o, int64_t id, const char *what, wa_added_token *a, wa_error *err)
{
    const char *text;
    bool special;
    WA_TRY(wa__task_json_str(o, "content", what, NULL, &text, err));
    if (!text || !*text) return wa__fail(err, WA_CORRUPT, "%s: an added token has no \"content\"", what);
    WA_TRY(wa__task_json_bool(o, "special", what, false, &special, err));
    WA_TRY(wa__task_json_bool(o, "single_word", what, false, &a->single_word, err));
    WA_TRY(wa__task_json_bool(o, "lstrip", what, false, &a->lstrip, err));
    WA_TRY(wa__task_json_bool(o, "rstrip", what, false, &a->rstrip, err));
    WA_TRY(wa__task_json_bool(o, "normalized", what, !special, &a->normalized, err));
    char *copy = wa__arena_strndup(&t->arena, text, strlen(text));
    if (!copy) return wa__no_memory(err, "added tokens");
    a->text = wa__str(copy);
    int32_t known = wa__words_find(&t->vocab, a->text);
    a->id = known >= 0 ? known : (int32_t)id; /* the vocabulary's id wins, as in the library */
    if (a->id > t->id_max) t->id_max = a->id;
    return WA_OK;
}

wa_status wa__tokenizer_index_added(wa_tokenizer *t, const char *what, wa_error *err)
{
    WA_TRY(wa__words_init(&t->added_raw, &t->arena, t->added_count, err));
    WA_TRY(wa__words_init(&t->added_normal, &t->arena, t->added_count, err));
    for (uint32_t i = 0; i < t->added_count; i++) {
        const wa_added_token *a = &t->added[i];
        wa_str text = a->text;
        if (a->normalized && t->normalize) {
            wa_buf b;
            wa__buf_init(&b, WA_LIMIT_JSON_BYTES);
            wa_status s = wa__bert_normalize(&t->normalizer, text, &b, err);
            char *copy = s == WA_OK ? wa__arena_strndup(&t->arena, b.ptr ? b.ptr : "", b.len) : NULL;
            text = (wa_str){copy, b.len};
            wa__buf_done(&b);
            if (s != WA_OK) return s;
            if (!copy) return wa__no_memory(err, "added tokens");
        }
        if (text.len == 0) continue; /* normalised away: it can never be found */
        wa_status s = wa__words_add(a->normalized ? &t->added_normal : &t->added_raw, text, (int32_t)i, err);
        if (s != WA_OK) return wa__fail_in(err, s, "%s: added_tokens", what);
    }
    return WA_OK;
}

static wa_status read_added(wa_tokenizer *t, const json_t *root, const char *what, wa_error *err)
{
    const json_t *list = json_object_get(root, "added_tokens");
    if (list && !json_is_null(list) && !json_is_array(list))
        return wa__fail(err, WA_CORRUPT, "%s: \"added_tokens\" is no array", what);
    size_t count = json_array_size(list);
    t->added = WA_ARENA_NEW(&t->arena, wa_added_token, count + 1);
    if (!t->added) return wa__no_memory(err, "added tokens");
    for (size_t i = 0; i < count; i++) {
        const json_t *o = json_array_get(list, i);
        int64_t id;
        if (!json_is_object(o)) return wa__fail(err, WA_CORRUPT, "%s: added_tokens[%zu] is no object", what, i);
        WA_TRY(wa__task_json_int(o, "id", what, 0, INT32_MAX, -1, &id, err));
        if (id < 0) return wa__fail(err, WA_CORRUPT, "%s: added_tokens[%zu] has no id", what, i);
        WA_TRY(wa__tokenizer_read_added(t, o, id, what, &t->added[i], err));
        t->added_count++;
    }
    return wa__tokenizer_index_added(t, what, err);
}

/* --- the template ------------------------------------------------------------------------------ */

#define TEMPLATE_ITEMS_MAX 64u /* [CLS] A [SEP] B [SEP] has 5 */

static wa_status add_item(wa_template *p, wa_template_item item, const char *what, wa_error *err)
{
    if (p->count == TEMPLATE_ITEMS_MAX)
        return wa__fail(err, WA_LIMIT, "%s: a template of more than %u items", what, TEMPLATE_ITEMS_MAX);
    p->items[p->count++] = item;
    p->tokens += item.kind == WA_ITEM_TOKEN;
    return WA_OK;
}

static wa_status read_item(const json_t *post, const json_t *o, const char *what, wa_template *p, wa_error *err)
{
    const json_t *special = json_object_get(o, "SpecialToken"), *sequence = json_object_get(o, "Sequence");
    const json_t *body = special ? special : sequence;
    const char *id;
    int64_t type;
    if (!json_is_object(body))
        return wa__fail(err, WA_CORRUPT, "%s: a template item is neither SpecialToken nor Sequence", what);
    WA_TRY(wa__task_json_str(body, "id", what, "", &id, err));
    WA_TRY(wa__task_json_int(body, "type_id", what, 0, INT32_MAX, 0, &type, err));
    if (!special) {
        if (strcmp(id, "A") && strcmp(id, "B"))
            return wa__fail(err, WA_CORRUPT, "%s: a template names sequence \"%.40s\"; it can be A or B", what, id);
        return add_item(p, (wa_template_item){*id == 'A' ? WA_ITEM_A : WA_ITEM_B, 0, (int32_t)type}, what, err);
    }
    const json_t *ids = json_object_get(json_object_get(json_object_get(post, "special_tokens"), id), "ids");
    if (!json_is_array(ids) || json_array_size(ids) == 0)
        return wa__fail(err, WA_CORRUPT, "%s: post_processor.special_tokens lacks \"%.80s\"", what, id);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *v = json_array_get(ids, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
            return wa__fail(err, WA_CORRUPT, "%s: ids of special token \"%.80s\" are no token ids", what, id);
        WA_TRY(add_item(p, (wa_template_item){WA_ITEM_TOKEN, (int32_t)json_integer_value(v), (int32_t)type}, what, err));
    }
    return WA_OK;
}

static wa_status read_template(const json_t *post, const char *key, const char *what, wa_template *p, wa_error *err)
{
    const json_t *list = json_object_get(post, key);
    if (!json_is_array(list)) return wa__fail(err, WA_CORRUPT, "%s: post_processor.%s is no array", what, key);
    for (size_t i = 0; i < json_array_size(list); i++)
        WA_TRY(read_item(post, json_array_get(list, i), what, p, err));
    bool b = false;
    for (uint32_t i = 0; i < p->count; i++) b |= p->items[i].kind == WA_ITEM_B;
    if (b && strcmp(key, "single") == 0)
        return wa__fail(err, WA_CORRUPT, "%s: the template of a single sequence names sequence B", what);
    return WA_OK;
}

wa_status wa__tokenizer_bert_template(wa_tokenizer *t, int32_t cls, int32_t sep, const char *what, wa_error *err)
{
    const wa_template_item items[] = {
        {WA_ITEM_TOKEN, cls, 0}, {WA_ITEM_A, 0, 0}, {WA_ITEM_TOKEN, sep, 0}, {WA_ITEM_B, 0, 1}, {WA_ITEM_TOKEN, sep, 1},
    };
    for (uint32_t i = 0; i < 5; i++) {
        if (i < 3) WA_TRY(add_item(&t->single, items[i], what, err));
        WA_TRY(add_item(&t->pair, items[i], what, err));
    }
    return WA_OK;
}

wa_status wa__tokenizer_template_init(wa_tokenizer *t, wa_error *err)
{
    t->single.items = WA_ARENA_NEW(&t->arena, wa_template_item, TEMPLATE_ITEMS_MAX);
    t->pair.items = WA_ARENA_NEW(&t->arena, wa_template_item, TEMPLATE_ITEMS_MAX);
    return t->single.items && t->pair.items ? WA_OK : wa__no_memory(err, "the tokenizer");
}

static wa_status read_post(wa_tokenizer *t, const json_t *root, const char *what, wa_error *err)
{
    const json_t *post = json_object_get(root, "post_processor");
    WA_TRY(wa__tokenizer_template_init(t, err));
    if (!json_is_object(post)) {
        WA_TRY(add_item(&t->single, (wa_template_item){WA_ITEM_A, 0, 0}, what, err));
        WA_TRY(add_item(&t->pair, (wa_template_item){WA_ITEM_A, 0, 0}, what, err));
        return add_item(&t->pair, (wa_template_item){WA_ITEM_B, 0, 1}, what, err);
    }
    if (strcmp(json_string_value(json_object_get(post, "type")), "BertProcessing") != 0) {
        WA_TRY(read_template(post, "single", what, &t->single, err));
        return read_template(post, "pair", what, &t->pair, err);
    }
    int32_t ids[2];
    static const char *const keys[] = {"cls", "sep"};
    for (int i = 0; i < 2; i++) {
        const json_t *v = json_array_get(json_object_get(post, keys[i]), 1);
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
            return wa__fail(err, WA_CORRUPT, "%s: post_processor.%s is not [token, id]", what, keys[i]);
        ids[i] = (int32_t)json_integer_value(v);
    }
    return wa__tokenizer_bert_template(t, ids[0], ids[1], what, err);
}

static wa_status read_truncation(wa_tokenizer *t, const json_t *root, const char *what, wa_error *err)
{
    const json_t *tr = json_object_get(root, "truncation");
    if (!tr || json_is_null(tr)) return WA_OK;
    int64_t length;
    const char *strategy, *direction;
    WA_TRY(wa__task_json_int(tr, "max_length", what, 0, UINT32_MAX - 1, 0, &length, err));
    WA_TRY(wa__task_json_str(tr, "strategy", what, "LongestFirst", &strategy, err));
    WA_TRY(wa__task_json_str(tr, "direction", what, "Right", &direction, err));
    static const char *const names[] = {"LongestFirst", "OnlyFirst", "OnlySecond"};
    uint32_t k = 0;
    while (k < 3 && strcmp(names[k], strategy) != 0) k++;
    bool left = strcmp(direction, "Left") == 0;
    if (k == 3 || (!left && strcmp(direction, "Right") != 0))
        return wa__fail(err, WA_UNSUPPORTED, "%s: truncation strategy \"%.40s\" with direction \"%.40s\" is not known", what, strategy, direction);
    t->truncation = (wa_truncation)k;
    t->truncate_left = left;
    t->length_max = (uint32_t)length;
    return WA_OK;
}

wa_tokenizer *wa__tokenizer_new(void)
{
    wa_tokenizer *t = wa__alloc(1, sizeof *t);
    if (t) wa__arena_init(&t->arena, WA_LIMIT_COMPILE_ARENA_BYTES);
    return t;
}

static wa_status read_all(wa_tokenizer *t, const json_t *root, const char *what, wa_error *err)
{
    if (!json_is_object(root)) return wa__fail(err, WA_CORRUPT, "%s: the file is no JSON object", what);
    WA_TRY(check_components(root, what, err));
    WA_TRY(read_model(t, json_object_get(root, "model"), what, err));
    WA_TRY(read_normalizer(t, root, what, err));
    WA_TRY(read_added(t, root, what, err));
    WA_TRY(read_post(t, root, what, err));
    for (uint32_t i = 0; i < t->pair.count; i++)
        if (t->pair.items[i].kind == WA_ITEM_TOKEN && t->pair.items[i].id > t->id_max) t->id_max = t->pair.items[i].id;
    for (uint32_t i = 0; i < t->single.count; i++)
        if (t->single.items[i].kind == WA_ITEM_TOKEN && t->single.items[i].id > t->id_max) t->id_max = t->single.items[i].id;
    return read_truncation(t, root, what, err);
}

wa_status wa__tokenizer_from_json(const wa_task_file *file, wa_tokenizer **out, wa_error *err)
{
    char what[256];
    snprintf(what, sizeof what, "%.*s", WA_STR_ARG(file->name));
    json_t *root = NULL;
    WA_TRY(wa__task_json(file->data, (size_t)file->size, what, &root, err));
    wa_tokenizer *t = wa__tokenizer_new();
    wa_status s = t ? read_all(t, root, what, err) : wa__no_memory(err, "the tokenizer");
    json_decref(root);
    if (s == WA_OK)
        *out = t;
    else
        wa__tokenizer_free(t);
    return s;
}

wa_status wa__tokenizer_load(const wa_task_files *files, wa_tokenizer **out, wa_error *err)
{
    const wa_task_file *json = wa__task_file(files, "tokenizer.json"), *vocab = wa__task_file(files, "vocab.txt");
    if (json) return wa__tokenizer_from_json(json, out, err);
    if (vocab) return wa__tokenizer_from_vocab(vocab, wa__task_file(files, "tokenizer_config.json"), out, err);
    return wa__fail(err, WA_NOT_FOUND, "the model has no tokenizer: neither tokenizer.json nor vocab.txt is among its files");
}
