/* Text in, token ids out, for a loaded tokenizer. Called by whoever holds one (tokenizer.h). */
#include "base/limits.h"
#include "task/task_tokenizer.h"

/* Ids of one sequence on the way. */
typedef struct encoder {
    const wa_tokenizer *t;
    wa_buf ids; /* of int32_t */
    wa_buf clean; /* one piece's normal form */
    wa_error *err;
} encoder;

static wa_status put(encoder *e, int32_t id) { return wa__buf_append(&e->ids, &id, sizeof id, e->err); }

/* Greedy longest match; a word with an unmatched rest is unknown as a whole. */
static wa_status put_word(encoder *e, wa_str word)
{
    const wa_tokenizer *t = e->t;
    size_t chars = 0, start = e->ids.len;
    for (size_t i = 0; i < word.len; i++) chars += ((uint8_t)word.ptr[i] & 0xc0) != 0x80;
    if (chars > t->word_chars_max) return put(e, t->unknown_id);
    wa_str prefix = {0};
    while (word.len) {
        size_t taken = 0;
        int32_t id = wa__words_longest(&t->vocab, prefix, word, &taken);
        if (id < 0) {
            e->ids.len = start;
            return put(e, t->unknown_id);
        }
        WA_TRY(put(e, id));
        word.ptr += taken;
        word.len -= taken;
        prefix = t->prefix;
    }
    return WA_OK;
}

static wa_status put_words(encoder *e, wa_str s)
{
    if (!e->t->split_words) return s.len ? put_word(e, s) : WA_OK;
    const char *p = s.ptr, *end = s.ptr + s.len, *word = p;
    while (p < end) {
        const char *at = p;
        uint32_t c = wa__utf8_next(&p);
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool white = !letter && wa__unicode_is_white(c);
        if (letter || (!white && !wa__unicode_is_punctuation(c))) continue;
        if (at > word) WA_TRY(put_word(e, (wa_str){word, (size_t)(at - word)}));
        if (!white) WA_TRY(put_word(e, (wa_str){at, (size_t)(p - at)}));
        word = p;
    }
    return end > word ? put_word(e, (wa_str){word, (size_t)(end - word)}) : WA_OK;
}

/* --- added tokens ------------------------------------------------------------------------------- */

static uint32_t char_before(const char *start, const char **p)
{
    const char *q = *p - 1;
    while (q > start && ((uint8_t)*q & 0xc0) == 0x80) q--;
    *p = q;
    return wa__utf8_next(&q);
}

static bool stands_alone(wa_str s, size_t from, size_t to)
{
    const char *p = s.ptr + from;
    if (from > 0 && wa__unicode_is_word(char_before(s.ptr, &p))) return false;
    p = s.ptr + to;
    return to == s.len || !wa__unicode_is_word(wa__utf8_next(&p));
}

/* Moves the ends of a match over white space where the token asks for it. */
static void strip(const wa_added_token *a, wa_str s, size_t low, size_t *from, size_t *to)
{
    while (a->lstrip && *from > low) {
        const char *p = s.ptr + *from;
        if (!wa__unicode_is_white(char_before(s.ptr, &p))) break;
        *from = (size_t)(p - s.ptr);
    }
    if (*from < low) *from = low;
    while (a->rstrip && *to < s.len) {
        const char *p = s.ptr + *to;
        if (!wa__unicode_is_white(wa__utf8_next(&p))) break;
        *to = (size_t)(p - s.ptr);
    }
}

typedef wa_status (*piece_fn)(encoder *e, wa_str piece);

/* Leftmost, then longest matches; what lies between them goes to `rest`. */
static wa_status split_added(encoder *e, const wa_words *tokens, wa_str s, piece_fn rest)
{
    size_t done = 0, i = 0;
    while (tokens->count && i < s.len) {
        size_t taken = 0;
        int32_t found = tokens->starts[(uint8_t)s.ptr[i]]
                            ? wa__words_longest(tokens, (wa_str){0}, (wa_str){s.ptr + i, s.len - i}, &taken)
                            : -1;
        if (found < 0) {
            i++;
            continue;
        }
        const wa_added_token *a = &e->t->added[found];
        size_t from = i, to = i + taken;
        i = to;
        if (a->single_word && !stands_alone(s, from, to)) continue;
        strip(a, s, done, &from, &to);
        if (done < from) WA_TRY(rest(e, (wa_str){s.ptr + done, from - done}));
        WA_TRY(put(e, a->id));
        done = to;
    }
    return done < s.len ? rest(e, (wa_str){s.ptr + done, s.len - done}) : WA_OK;
}

static wa_status normalized_piece(encoder *e, wa_str s)
{
    if (!e->t->normalize) return split_added(e, &e->t->added_normal, s, put_words);
    wa__buf_clear(&e->clean);
    WA_TRY(wa__bert_normalize(&e->t->normalizer, s, &e->clean, e->err));
    return split_added(e, &e->t->added_normal, (wa_str){e->clean.ptr, e->clean.len}, put_words);
}

/* --- a whole encoding --------------------------------------------------------------------------- */

static wa_status encode_one(encoder *e, wa_str text)
{
    if (text.len > WA_LIMIT_TEXT_BYTES)
        return wa__fail(e->err, WA_LIMIT, "a text of %zu bytes; the most is %zu: split it", text.len, WA_LIMIT_TEXT_BYTES);
    /* A byte can become 3 (U+FFFD), a token at most each byte; decomposed text grows up to 9-fold. */
    wa__buf_init(&e->ids, (WA_LIMIT_TEXT_BYTES * 3 + 1) * sizeof(int32_t));
    wa__buf_init(&e->clean, WA_LIMIT_TEXT_BYTES * 12);
    wa_buf valid;
    wa__buf_init(&valid, WA_LIMIT_TEXT_BYTES * 3);
    wa_status s = WA_OK;
    if (text.len && !wa__utf8_valid(text.ptr, text.len, NULL)) {
        s = wa__utf8_lossy(text, &valid, e->err);
        text = (wa_str){valid.ptr, valid.len};
    }
    if (s == WA_OK) s = split_added(e, &e->t->added_raw, text, normalized_piece);
    wa__buf_done(&valid);
    wa__buf_done(&e->clean);
    return s;
}

/* How many tokens of each sequence stay. */
static wa_status truncated(const wa_tokenizer *t, uint32_t length_max, bool paired, size_t *a, size_t *b, wa_error *err)
{
    const wa_template *template = paired ? &t->pair : &t->single;
    if (length_max == 0) length_max = t->length_max ? t->length_max : UINT32_MAX;
    if (length_max < template->tokens)
        return wa__fail(err, WA_INVALID_ARGUMENT, "a maximum of %u tokens leaves no room beside the %u special ones; raise it",
                        length_max, template->tokens);
    size_t room = length_max - template->tokens;
    if (*a + *b <= room) return WA_OK;
    size_t excess = *a + *b - room;
    if (t->truncation == WA_LONGEST_FIRST || !paired) {
        size_t *less = *a <= *b && paired ? a : b, *more = less == a ? b : a;
        *more = *less > room ? *less : *less > room - *less ? *less : room - *less;
        if (*less + *more > room) {
            *less = room / 2;
            *more = *less + room % 2;
        }
        return WA_OK;
    }
    size_t *cut = t->truncation == WA_ONLY_FIRST ? a : b;
    if (*cut < excess)
        return wa__fail(err, WA_INVALID_ARGUMENT, "the pair has %zu tokens too many and only its %s text may be cut, which has %zu",
                        excess, cut == a ? "first" : "second", *cut);
    *cut -= excess;
    return WA_OK;
}

static wa_status assemble(const wa_tokenizer *t, const encoder *a, const encoder *b, size_t a_count, size_t b_count,
                          wa_encoding *out, wa_error *err)
{
    const wa_template *template = b ? &t->pair : &t->single;
    size_t a_all = a->ids.len / sizeof(int32_t), b_all = b ? b->ids.len / sizeof(int32_t) : 0;
    uint64_t total = 0;
    for (uint32_t i = 0; i < template->count; i++)
        total += template->items[i].kind == WA_ITEM_A ? a_count : template->items[i].kind == WA_ITEM_B ? b_count : 1;
    wa_encoding e = {0};
    if (total > WA_LIMIT_TEXT_BYTES * 8) return wa__fail(err, WA_LIMIT, "the encoding would hold %llu tokens", (unsigned long long)total);
    e.ids = wa__alloc(total + 1, sizeof *e.ids);
    e.type_ids = wa__alloc(total + 1, sizeof *e.type_ids);
    if (!e.ids || !e.type_ids) {
        wa__encoding_done(&e);
        return wa__no_memory(err, "token ids");
    }
    for (uint32_t i = 0; i < template->count; i++) {
        const wa_template_item *item = &template->items[i];
        const encoder *from = item->kind == WA_ITEM_A ? a : item->kind == WA_ITEM_B ? b : NULL;
        size_t count = from == NULL ? 1 : from == a ? a_count : b_count, all = from == a ? a_all : b_all;
        if (from && count)
            memcpy(e.ids + e.count, from->ids.ptr + (t->truncate_left ? (all - count) * sizeof(int32_t) : 0), count * sizeof(int32_t));
        else if (!from)
            e.ids[e.count] = item->id;
        for (size_t k = 0; k < count; k++) e.type_ids[e.count + k] = item->type_id;
        e.count += (uint32_t)count;
    }
    e.dropped = (uint32_t)(a_all - a_count + b_all - b_count);
    *out = e;
    return WA_OK;
}

wa_status wa__tokenizer_encode(const wa_tokenizer *t, wa_str text, const wa_str *pair, uint32_t length_max,
                               wa_encoding *out, wa_error *err)
{
    encoder a = {.t = t, .err = err}, b = {.t = t, .err = err};
    wa_status s = encode_one(&a, text);
    if (s == WA_OK && pair) s = encode_one(&b, *pair);
    size_t a_count = a.ids.len / sizeof(int32_t), b_count = b.ids.len / sizeof(int32_t);
    if (s == WA_OK) s = truncated(t, length_max, pair != NULL, &a_count, &b_count, err);
    if (s == WA_OK) s = assemble(t, &a, pair ? &b : NULL, a_count, b_count, out, err);
    wa__buf_done(&a.ids);
    wa__buf_done(&b.ids);
    return s;
}

void wa__encoding_done(wa_encoding *e)
{
    wa__free(e->ids);
    wa__free(e->type_ids);
    memset(e, 0, sizeof *e);
}

void wa__tokenizer_free(wa_tokenizer *t)
{
    if (!t) return;
    wa__arena_done(&t->arena);
    wa__free(t);
}

uint32_t wa__tokenizer_length_max(const wa_tokenizer *t) { return t->length_max; }
uint32_t wa__tokenizer_words(const wa_tokenizer *t)
{
    uint32_t count = t->vocab.count;
    for (uint32_t i = 0; i < t->added_count; i++) count += wa__words_find(&t->vocab, t->added[i].text) < 0;
    return count;
}
int32_t wa__tokenizer_id_max(const wa_tokenizer *t) { return t->id_max; }

wa_str wa__tokenizer_token(const wa_tokenizer *t, int32_t id)
{
    for (uint32_t i = 0; i < t->added_count; i++)
        if (t->added[i].id == id) return t->added[i].text;
    for (uint32_t i = 0; i < t->vocab.count; i++)
        if (t->vocab.words[i].id == id) return t->vocab.words[i].text;
    return (wa_str){"", 0};
}

int32_t wa__tokenizer_pad_id(const wa_tokenizer *t)
{
    for (uint32_t i = 0; i < t->added_count; i++)
        if (wa__str_is(t->added[i].text, "[PAD]")) return t->added[i].id;
    int32_t id = wa__words_find(&t->vocab, WA_STR("[PAD]"));
    return id < 0 ? 0 : id;
}
