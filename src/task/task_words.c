/* Words and ids in, longest matches out. Called by the tokenizer for vocabulary and added tokens. */
#include "task/task_words.h"
#include "base/limits.h"

/* At a load of 1/4 a run of occupied slots this long does not happen by chance; a file that makes one
 * is hostile and would make every look-up slow. */
#define PROBES_MAX 128u
#define FNV_START 14695981039346656037u
#define FNV_PRIME 1099511628211u

static uint64_t hash_more(uint64_t h, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)p[i]) * FNV_PRIME;
    return h;
}

static uint32_t hash_end(uint64_t h)
{
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32);
}

wa_status wa__words_init(wa_words *w, wa_arena *arena, size_t count_max, wa_error *err)
{
    if (count_max > (1u << 27)) return wa__fail(err, WA_LIMIT, "a vocabulary of %zu words is too large", count_max);
    memset(w, 0, sizeof *w);
    size_t slots = 16;
    while (slots < count_max * 4) slots *= 2;
    w->words = WA_ARENA_NEW(arena, wa_word, count_max ? count_max : 1);
    w->slots = WA_ARENA_NEW(arena, uint32_t, slots);
    if (!w->words || !w->slots) return wa__no_memory(err, "a vocabulary");
    w->count_max = (uint32_t)count_max;
    w->mask = (uint32_t)(slots - 1);
    return WA_OK;
}

/* The word equal to prefix + text, or NULL with *free_slot where it would go (UINT32_MAX: nowhere). */
static wa_word *lookup(const wa_words *w, uint32_t hash, wa_str prefix, wa_str text, uint32_t *free_slot)
{
    for (uint32_t i = 0; i < PROBES_MAX; i++) {
        uint32_t slot = (hash + i) & w->mask, index = w->slots[slot];
        if (index == 0) {
            if (free_slot) *free_slot = slot;
            return NULL;
        }
        wa_word *e = &w->words[index - 1];
        if (e->hash == hash && e->text.len == prefix.len + text.len &&
            (prefix.len == 0 || memcmp(e->text.ptr, prefix.ptr, prefix.len) == 0) &&
            (text.len == 0 || memcmp(e->text.ptr + prefix.len, text.ptr, text.len) == 0))
            return e;
    }
    if (free_slot) *free_slot = UINT32_MAX;
    return NULL;
}

wa_status wa__words_add(wa_words *w, wa_str text, int32_t id, wa_error *err)
{
    if (text.len > WA_LIMIT_NAME_BYTES)
        return wa__fail(err, WA_LIMIT, "a word of %zu bytes (\"%.*s...\"); the most is %u", text.len, 40, text.ptr, WA_LIMIT_NAME_BYTES);
    uint32_t hash = hash_end(hash_more(FNV_START, text.ptr, text.len)), slot = 0;
    wa_word *e = lookup(w, hash, (wa_str){0}, text, &slot);
    if (e) {
        e->id = id;
        return WA_OK;
    }
    if (slot == UINT32_MAX || w->count == w->count_max)
        return wa__fail(err, WA_LIMIT, "the vocabulary's words collide at \"%.*s\"; the file is not a real vocabulary", WA_STR_ARG(text));
    w->words[w->count] = (wa_word){text, id, hash};
    w->slots[slot] = ++w->count;
    if (text.len > w->bytes_max) w->bytes_max = text.len;
    if (text.len) w->starts[(uint8_t)text.ptr[0]] = true;
    return WA_OK;
}

int32_t wa__words_find(const wa_words *w, wa_str text)
{
    if (w->count == 0) return -1;
    const wa_word *e = lookup(w, hash_end(hash_more(FNV_START, text.ptr, text.len)), (wa_str){0}, text, NULL);
    return e ? e->id : -1;
}

int32_t wa__words_longest(const wa_words *w, wa_str prefix, wa_str s, size_t *taken)
{
    int32_t found = -1;
    if (prefix.len >= w->bytes_max) return found;
    size_t n = w->bytes_max - prefix.len < s.len ? w->bytes_max - prefix.len : s.len;
    uint64_t h = hash_more(FNV_START, prefix.ptr, prefix.len);
    for (size_t i = 0; i < n; i++) {
        h = (h ^ (uint8_t)s.ptr[i]) * FNV_PRIME;
        if (i + 1 < s.len && ((uint8_t)s.ptr[i + 1] & 0xc0) == 0x80) continue; /* inside a character */
        const wa_word *e = lookup(w, hash_end(h), prefix, (wa_str){s.ptr, i + 1}, NULL);
        if (e) {
            found = e->id;
            *taken = i + 1;
        }
    }
    return found;
}
