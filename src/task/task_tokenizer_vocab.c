/* vocab.txt (a word a line, its number is its id) and tokenizer_config.json in, a tokenizer out: the
 * form of models from before tokenizer.json. Untrusted bytes. */
#include "base/limits.h"
#include "task/task_tokenizer_load.h"

static wa_status read_lines(wa_tokenizer *t, const wa_task_file *file, const char *what, wa_error *err)
{
    const char *p = (const char *)file->data;
    size_t n = (size_t)file->size, lines = 1, bad;
    if (n > WA_LIMIT_JSON_BYTES) return wa__fail(err, WA_LIMIT, "%s: %zu bytes; the most is %zu", what, n, WA_LIMIT_JSON_BYTES);
    if (n == 0) return wa__fail(err, WA_CORRUPT, "%s: the file is empty", what);
    if (!wa__utf8_valid(p, n, &bad)) return wa__fail(err, WA_CORRUPT, "%s: byte %zu is not UTF-8", what, bad);
    for (size_t i = 0; i < n; i++) lines += p[i] == '\n';
    char *copy = wa__arena_strndup(&t->arena, p, n);
    if (!copy) return wa__no_memory(err, "the vocabulary");
    WA_TRY(wa__words_init(&t->vocab, &t->arena, lines, err));
    int32_t id = 0;
    for (size_t at = 0; at < n; id++) {
        const char *end = memchr(copy + at, '\n', n - at);
        size_t length = end ? (size_t)(end - copy) - at : n - at;
        size_t next = at + length + 1;
        if (length && copy[at + length - 1] == '\r') length--;
        wa_status s = wa__words_add(&t->vocab, (wa_str){copy + at, length}, id, err);
        if (s != WA_OK) return wa__fail_in(err, s, "%s:%d", what, id + 1);
        at = next;
    }
    t->id_max = id - 1;
    return WA_OK;
}

/* A special token's text: a string, or an object with "content". */
static const char *special_text(const json_t *config, const char *key, const char *fallback)
{
    const json_t *v = json_object_get(config, key);
    const char *s = json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
    return s && *s ? s : fallback;
}

static wa_status add_special(wa_tokenizer *t, const char *text, int32_t *id, wa_error *err)
{
    *id = wa__words_find(&t->vocab, wa__str(text));
    if (*id < 0) return WA_OK;
    for (uint32_t i = 0; i < t->added_count; i++)
        if (t->added[i].id == *id) return WA_OK;
    char *copy = wa__arena_strndup(&t->arena, text, strlen(text));
    if (!copy) return wa__no_memory(err, "special tokens");
    t->added[t->added_count++] = (wa_added_token){.text = wa__str(copy), .id = *id};
    return WA_OK;
}

/* added_tokens_decoder: {"100": {"content": "[UNK]", ...}, ...} */
static wa_status read_decoder(wa_tokenizer *t, json_t *decoder, const char *what, wa_error *err)
{
    const char *key;
    json_t *o;
    json_object_foreach(decoder, key, o)
    {
        int64_t id;
        if (!wa__parse_i64(wa__str(key), &id) || id < 0 || id > INT32_MAX || !json_is_object(o))
            return wa__fail(err, WA_CORRUPT, "%s: added_tokens_decoder[\"%.40s\"] is no token", what, key);
        WA_TRY(wa__tokenizer_read_added(t, o, id, what, &t->added[t->added_count], err));
        t->added_count++;
    }
    return WA_OK;
}

static wa_status read_config(wa_tokenizer *t, const json_t *config, const char *vocab_name, const char *what, wa_error *err)
{
    static const char *const keys[] = {"unk_token", "cls_token", "sep_token", "pad_token", "mask_token"};
    static const char *const names[] = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"};
    int32_t ids[5];
    wa_bert_normalizer *b = &t->normalizer;
    WA_TRY(wa__tokenizer_set_model(t, "##", special_text(config, keys[0], names[0]), WA_LIMIT_WORD_CHARS, vocab_name, err));
    WA_TRY(wa__task_json_bool(config, "do_lower_case", what, true, &b->lowercase, err));
    WA_TRY(wa__task_json_bool(config, "strip_accents", what, b->lowercase, &b->strip_accents, err));
    WA_TRY(wa__task_json_bool(config, "tokenize_chinese_chars", what, true, &b->chinese_chars, err));
    b->clean_text = t->normalize = t->split_words = true;
    json_t *decoder = json_object_get(config, "added_tokens_decoder");
    t->added = WA_ARENA_NEW(&t->arena, wa_added_token, json_object_size(decoder) + 5);
    if (!t->added) return wa__no_memory(err, "added tokens");
    WA_TRY(read_decoder(t, decoder, what, err));
    for (int i = 0; i < 5; i++) WA_TRY(add_special(t, special_text(config, keys[i], names[i]), &ids[i], err));
    WA_TRY(wa__tokenizer_index_added(t, what, err));
    if (ids[1] < 0 || ids[2] < 0)
        return wa__fail(err, WA_CORRUPT, "%s: the vocabulary lacks \"%.40s\" or \"%.40s\", which every text is put between",
                        vocab_name, special_text(config, keys[1], names[1]), special_text(config, keys[2], names[2]));
    WA_TRY(wa__tokenizer_template_init(t, err));
    WA_TRY(wa__tokenizer_bert_template(t, ids[1], ids[2], what, err));
    /* Models without a limit write 1e30 here: a real number, or an integer past any position. */
    const json_t *length = json_object_get(config, "model_max_length");
    json_int_t most = json_integer_value(length);
    if (json_is_integer(length) && most > 0 && most < 1000000) t->length_max = (uint32_t)most;
    return WA_OK;
}

wa_status wa__tokenizer_from_vocab(const wa_task_file *vocab, const wa_task_file *config, wa_tokenizer **out, wa_error *err)
{
    char what[256], vocab_name[256];
    snprintf(vocab_name, sizeof vocab_name, "%.*s", WA_STR_ARG(vocab->name));
    snprintf(what, sizeof what, "%.*s", WA_STR_ARG(config ? config->name : vocab->name));
    json_t *root = NULL;
    if (config) WA_TRY(wa__task_json(config->data, (size_t)config->size, what, &root, err));
    wa_tokenizer *t = wa__tokenizer_new();
    wa_status s = t ? WA_OK : wa__no_memory(err, "the tokenizer");
    if (s == WA_OK && root && !json_is_object(root)) s = wa__fail(err, WA_CORRUPT, "%s: the file is no JSON object", what);
    if (s == WA_OK) s = read_lines(t, vocab, vocab_name, err);
    if (s == WA_OK) s = read_config(t, root, vocab_name, what, err);
    json_decref(root);
    if (s == WA_OK)
        *out = t;
    else
        wa__tokenizer_free(t);
    return s;
}
