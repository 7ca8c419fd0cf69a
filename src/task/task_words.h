/* A table of words with ids, filled once, then asked for the longest word that a text starts with.
 * Memory comes from the arena given at init; const and shareable once filled. */
#ifndef WA_TASK_WORDS_H
#define WA_TASK_WORDS_H
#include "base/str.h"

typedef struct wa_word {
    wa_str text; /* borrowed from the arena */
    int32_t id;
    uint32_t hash;
} wa_word;

typedef struct wa_words {
    wa_word *words;
    uint32_t *slots; /* index into words + 1, 0 free; open addressing at a load of at most 1/4 */
    uint32_t count, count_max, mask;
    size_t bytes_max;  /* of the longest word */
    bool starts[256];  /* first bytes of words */
} wa_words;

/* Room for count_max words. */
wa_status wa__words_init(wa_words *w, wa_arena *arena, size_t count_max, wa_error *err) WA_MUST_CHECK;
/* text must outlive the table. A word that is there gets the new id. */
wa_status wa__words_add(wa_words *w, wa_str text, int32_t id, wa_error *err) WA_MUST_CHECK;
/* -1 when absent. */
int32_t wa__words_find(const wa_words *w, wa_str text);
/* The longest word that equals prefix followed by at least one whole character of s: its id and how
 * many bytes of s it takes; -1 when there is none. */
int32_t wa__words_longest(const wa_words *w, wa_str prefix, wa_str s, size_t *taken);

#endif
