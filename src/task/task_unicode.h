/* Unicode as Hugging Face `tokenizers` sees it: BERT's normaliser and character classes. That library
 * mixes categories of Unicode 8, decompositions of Unicode 12 and lower case of Unicode 17, so the
 * tables (task_unicode_gen.c) are measured from it by tools/make_unicode_tables.py; utf8proc or any
 * other one Unicode version differs on about 600 code points. Pure functions, any thread. */
#ifndef WA_TASK_UNICODE_H
#define WA_TASK_UNICODE_H
#include "base/mem.h"

typedef struct wa_unicode_range { uint32_t first, last; } wa_unicode_range;
typedef struct wa_unicode_class { uint32_t first, last, value; } wa_unicode_class; /* canonical combining class */
typedef struct wa_unicode_lower { /* every step-th code point of the range maps to itself + delta */
    uint32_t first, last;
    int32_t delta;
    uint32_t step;
} wa_unicode_lower;
typedef struct wa_unicode_decomposition { uint32_t code; uint16_t at, length; } wa_unicode_decomposition; /* of pool */

#define WA_UNICODE_TABLE(type, name)                                                               \
    extern const type wa__unicode_##name[];                                                        \
    extern const uint32_t wa__unicode_##name##_count
WA_UNICODE_TABLE(wa_unicode_range, removed);     /* dropped by clean_text: U+0000, U+FFFD, controls, formats, private use */
WA_UNICODE_TABLE(wa_unicode_range, space);       /* turned into U+0020 by clean_text */
WA_UNICODE_TABLE(wa_unicode_range, chinese);     /* set apart by spaces */
WA_UNICODE_TABLE(wa_unicode_range, mark);        /* non-spacing marks, dropped by strip_accents */
WA_UNICODE_TABLE(wa_unicode_range, punctuation); /* words of their own */
WA_UNICODE_TABLE(wa_unicode_range, white);       /* White_Space: separates words */
WA_UNICODE_TABLE(wa_unicode_range, word);        /* \w: what `single_word` looks at */
WA_UNICODE_TABLE(wa_unicode_class, class);
WA_UNICODE_TABLE(wa_unicode_lower, lower);
WA_UNICODE_TABLE(wa_unicode_decomposition, decomposition); /* full, canonical; Hangul is computed */
WA_UNICODE_TABLE(uint32_t, pool);

bool wa__unicode_is_punctuation(uint32_t c);
bool wa__unicode_is_white(uint32_t c);
bool wa__unicode_is_word(uint32_t c);

/* Decodes one code point of valid UTF-8 at *p and moves past it. */
uint32_t wa__utf8_next(const char **p);
/* Appends c as UTF-8; false past the buffer's cap or out of memory. */
bool wa__utf8_put(wa_buf *b, uint32_t c);
/* Appends s with each maximal ill-formed part replaced by U+FFFD, as Rust's from_utf8_lossy does. */
wa_status wa__utf8_lossy(wa_str s, wa_buf *out, wa_error *err) WA_MUST_CHECK;

/* BertNormalizer. */
typedef struct wa_bert_normalizer {
    bool clean_text, chinese_chars, strip_accents, lowercase;
} wa_bert_normalizer;
/* Appends the normal form of s (valid UTF-8) to out. */
wa_status wa__bert_normalize(const wa_bert_normalizer *n, wa_str s, wa_buf *out, wa_error *err) WA_MUST_CHECK;

#endif
