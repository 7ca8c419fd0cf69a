/* Text in, BERT's normal form out; character classes. Called by the tokenizer. */
#include "task/task_unicode.h"
#include "base/str.h"

static bool in_ranges(const wa_unicode_range *r, uint32_t count, uint32_t c)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (c > r[mid].last)
            low = mid + 1;
        else
            high = mid;
    }
    return low < count && c >= r[low].first;
}
#define IN(name, c) in_ranges(wa__unicode_##name, wa__unicode_##name##_count, (c))

bool wa__unicode_is_punctuation(uint32_t c) { return IN(punctuation, c); }
bool wa__unicode_is_white(uint32_t c) { return IN(white, c); }
bool wa__unicode_is_word(uint32_t c) { return IN(word, c); }

uint32_t wa__utf8_next(const char **p)
{
    const uint8_t *s = (const uint8_t *)*p;
    uint32_t c = s[0];
    uint32_t more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    static const uint8_t mask[] = {0x7f, 0x1f, 0x0f, 0x07};
    c &= mask[more];
    for (uint32_t i = 1; i <= more; i++) c = c << 6 | (s[i] & 0x3f);
    *p += more + 1;
    return c;
}

bool wa__utf8_put(wa_buf *b, uint32_t c)
{
    char t[4];
    size_t n;
    if (c < 0x80) {
        t[0] = (char)c;
        n = 1;
    } else if (c < 0x800) {
        t[0] = (char)(0xc0 | c >> 6);
        n = 2;
    } else if (c < 0x10000) {
        t[0] = (char)(0xe0 | c >> 12);
        n = 3;
    } else {
        t[0] = (char)(0xf0 | c >> 18);
        n = 4;
    }
    for (size_t i = 1; i < n; i++) t[i] = (char)(0x80 | (c >> (6 * (n - 1 - i)) & 0x3f));
    return wa__buf_append(b, t, n, NULL) == WA_OK;
}

static wa_status text_full(const wa_buf *b, wa_error *err)
{
    if (b->len + 4 > b->len_max)
        return wa__fail(err, WA_LIMIT, "the text grows past %zu bytes in normalisation; shorten it", b->len_max);
    return wa__no_memory(err, "normalised text");
}

/* Length of the well-formed sequence at s, or minus the length of the maximal ill-formed part. */
static int sequence(const uint8_t *s, size_t n)
{
    uint8_t c = s[0], low = 0x80, high = 0xbf;
    int length;
    if (c < 0x80) return 1;
    if (c >= 0xc2 && c <= 0xdf)
        length = 2;
    else if (c >= 0xe0 && c <= 0xef)
        length = 3;
    else if (c >= 0xf0 && c <= 0xf4)
        length = 4;
    else
        return -1;
    if (c == 0xe0) low = 0xa0; /* overlong */
    if (c == 0xed) high = 0x9f; /* surrogates */
    if (c == 0xf0) low = 0x90;
    if (c == 0xf4) high = 0x8f; /* past U+10FFFF */
    for (int i = 1; i < length; i++) {
        if ((size_t)i >= n || s[i] < low || s[i] > high) return -i;
        low = 0x80;
        high = 0xbf;
    }
    return length;
}

wa_status wa__utf8_lossy(wa_str s, wa_buf *out, wa_error *err)
{
    size_t at = 0;
    if (wa__utf8_valid(s.ptr, s.len, &at)) return wa__buf_append(out, s.ptr, s.len, err);
    const uint8_t *p = (const uint8_t *)s.ptr;
    for (size_t i = 0; i < s.len;) {
        int n = sequence(p + i, s.len - i);
        if (n > 0)
            WA_TRY(wa__buf_append(out, p + i, (size_t)n, err));
        else
            WA_TRY(wa__buf_append(out, "\xef\xbf\xbd", 3, err));
        i += (size_t)(n > 0 ? n : -n);
    }
    return WA_OK;
}

/* --- the normaliser ---------------------------------------------------------------------------- */

static uint32_t combining_class(uint32_t c)
{
    uint32_t low = 0, high = wa__unicode_class_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (c > wa__unicode_class[mid].last)
            low = mid + 1;
        else
            high = mid;
    }
    return low < wa__unicode_class_count && c >= wa__unicode_class[low].first ? wa__unicode_class[low].value : 0;
}

static bool put_lower(wa_buf *b, uint32_t c)
{
    if (c == 0x130) return wa__utf8_put(b, 'i') && wa__utf8_put(b, 0x307);
    uint32_t low = 0, high = wa__unicode_lower_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (c > wa__unicode_lower[mid].last)
            low = mid + 1;
        else
            high = mid;
    }
    if (low < wa__unicode_lower_count) {
        const wa_unicode_lower *l = &wa__unicode_lower[low];
        if (c >= l->first && (c - l->first) % l->step == 0) c = (uint32_t)((int32_t)c + l->delta);
    }
    return wa__utf8_put(b, c);
}

/* Text on its way through the steps: marks that wait to be put into canonical order, by class. */
typedef struct pending { uint32_t code, class; } pending;
typedef struct steps {
    const wa_bert_normalizer *n;
    wa_buf *out;
    wa_buf waiting; /* of pending */
} steps;

static bool last_steps(steps *s, uint32_t c)
{
    if (s->n->strip_accents && IN(mark, c)) return true;
    return s->n->lowercase ? put_lower(s->out, c) : wa__utf8_put(s->out, c);
}

/* Stable sort by class, through counts: a text may be one run of a million marks. */
static bool flush(steps *s)
{
    size_t count = s->waiting.len / sizeof(pending);
    const pending *p = (const pending *)(const void *)s->waiting.ptr;
    if (count == 0) return true;
    bool sorted = true;
    for (size_t i = 1; i < count; i++) sorted = sorted && p[i - 1].class <= p[i].class;
    for (uint32_t class = 1; class < 256; class++) {
        for (size_t i = 0; i < count; i++)
            if ((sorted || p[i].class == class) && !last_steps(s, p[i].code)) return false;
        if (sorted) break;
    }
    wa__buf_clear(&s->waiting);
    return true;
}

static bool order(steps *s, uint32_t c)
{
    uint32_t class = c < 0x300 ? 0 : combining_class(c);
    if (class == 0) return flush(s) && last_steps(s, c);
    pending p = {c, class};
    return wa__buf_append(&s->waiting, &p, sizeof p, NULL) == WA_OK;
}

static bool decompose(steps *s, uint32_t c)
{
    if (c < 0xc0) return order(s, c);
    if (c >= 0xac00 && c <= 0xd7a3) { /* Hangul syllables: Unicode 3.12 */
        uint32_t i = c - 0xac00;
        return order(s, 0x1100 + i / 588) && order(s, 0x1161 + i % 588 / 28) && (i % 28 == 0 || order(s, 0x11a7 + i % 28));
    }
    uint32_t low = 0, high = wa__unicode_decomposition_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (c > wa__unicode_decomposition[mid].code)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == wa__unicode_decomposition_count || wa__unicode_decomposition[low].code != c) return order(s, c);
    const wa_unicode_decomposition *d = &wa__unicode_decomposition[low];
    for (uint32_t i = 0; i < d->length; i++)
        if (!order(s, wa__unicode_pool[d->at + i])) return false;
    return true;
}

static bool first_steps(steps *s, uint32_t c)
{
    if (s->n->clean_text) {
        if (IN(removed, c)) return true;
        if (c >= 0x80 ? IN(space, c) : c < 0x20) c = ' ';
    }
    bool apart = s->n->chinese_chars && c >= 0x3400 && IN(chinese, c);
    bool (*next)(steps *, uint32_t) = s->n->strip_accents ? decompose : last_steps;
    return (!apart || next(s, ' ')) && next(s, c) && (!apart || next(s, ' '));
}

wa_status wa__bert_normalize(const wa_bert_normalizer *n, wa_str s, wa_buf *out, wa_error *err)
{
    steps state = {n, out, {0}};
    wa__buf_init(&state.waiting, SIZE_MAX / 2);
    const char *p = s.ptr, *end = s.ptr + s.len;
    bool good = true;
    while (good && p < end) {
        uint8_t c = (uint8_t)*p;
        if (c >= 0x20 && c < 0x7f) { /* most text: no step but lower case touches it */
            p++;
            if (n->lowercase && c >= 'A' && c <= 'Z') c = (uint8_t)(c + 32);
            char ascii = (char)c;
            good = (state.waiting.len == 0 || flush(&state)) && wa__buf_append(out, &ascii, 1, NULL) == WA_OK;
        } else {
            good = first_steps(&state, wa__utf8_next(&p));
        }
    }
    good = good && flush(&state);
    wa__buf_done(&state.waiting);
    return good ? WA_OK : text_full(out, err);
}
