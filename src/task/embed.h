/* How a model's files say that its token vectors become one embedding: sentence-transformers'
 * modules.json, 1_Pooling/config.json (both generations of keys), sentence_bert_config.json, 2_Normalize,
 * config_sentence_transformers.json. Pure functions over borrowed bytes. */
#ifndef WA_EMBED_H
#define WA_EMBED_H
#include "task/tokenizer.h"

/* Same values as the graph pass's wa_pooling, which task may not include. */
typedef enum wa_embed_pooling { WA_EMBED_NONE = 0, WA_EMBED_MEAN, WA_EMBED_CLS, WA_EMBED_MAX } wa_embed_pooling;

typedef struct wa_embed_config {
    bool declared;         /* modules.json is there; else pooling is the library's default, the mean */
    wa_embed_pooling pooling;
    bool normalize;
    bool lowercase;        /* sentence_bert_config.json: lower-case the text before the tokenizer */
    uint32_t length_max;   /* tokens, specials included; 0 unknown */
    uint32_t dimension;    /* as 1_Pooling says; 0 unknown */
    char length_from[64];  /* the file that length_max comes from, "" unknown */
} wa_embed_config;

/* length_max is sentence_bert_config.json's max_seq_length, else the tokenizer's own truncation, else
 * tokenizer_config.json's model_max_length, and never above config.json's max_position_embeddings.
 * t may be NULL. A module or pooling that this build lacks (Dense, several poolings at once, ...) is
 * WA_UNSUPPORTED, all of them listed. */
wa_status wa__embed_read(const wa_task_files *files, const wa_tokenizer *t, wa_embed_config *out, wa_error *err) WA_MUST_CHECK;

/* The text that the model wants before each input, when the caller asks for it: the prompt `name`, or
 * with NULL the file's default. *out is wa__free's, "" when there is none by default; an unknown name is
 * WA_NOT_FOUND and lists those that are there. */
wa_status wa__embed_prompt(const wa_task_files *files, const char *name, char **out, wa_error *err) WA_MUST_CHECK;

#endif
