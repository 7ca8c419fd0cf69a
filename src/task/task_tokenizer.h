/* Inside of the tokenizer, shared by its readers (task_tokenizer_load.c) and its encoder. */
#ifndef WA_TASK_TOKENIZER_H
#define WA_TASK_TOKENIZER_H
#include "task/task_unicode.h"
#include "task/task_words.h"
#include "task/tokenizer.h"

/* A token found in text before words are split off. */
typedef struct wa_added_token {
    wa_str text;
    int32_t id;
    bool single_word, lstrip, rstrip, normalized;
} wa_added_token;

typedef struct wa_template_item {
    enum { WA_ITEM_TOKEN, WA_ITEM_A, WA_ITEM_B } kind;
    int32_t id; /* of a TOKEN */
    int32_t type_id;
} wa_template_item;
typedef struct wa_template {
    wa_template_item *items;
    uint32_t count, tokens; /* tokens: how many are TOKEN */
} wa_template;

typedef enum wa_truncation { WA_LONGEST_FIRST = 0, WA_ONLY_FIRST, WA_ONLY_SECOND } wa_truncation;

struct wa_tokenizer {
    wa_arena arena; /* holds everything below */
    wa_words vocab;
    wa_str prefix; /* "##" */
    int32_t unknown_id;
    uint32_t word_chars_max;
    bool normalize, split_words; /* false: tokenizer.json has no normalizer, no pre_tokenizer */
    wa_bert_normalizer normalizer;
    wa_added_token *added;
    uint32_t added_count;
    wa_words added_raw, added_normal; /* text → index into added */
    wa_template single, pair;
    uint32_t length_max;
    wa_truncation truncation;
    bool truncate_left;
    int32_t id_max;
};

#endif
