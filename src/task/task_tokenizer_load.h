/* What the two readers of tokenizers share. */
#ifndef WA_TASK_TOKENIZER_LOAD_H
#define WA_TASK_TOKENIZER_LOAD_H
#include "task/task_json.h"
#include "task/task_tokenizer.h"

#define WA_WORD_CHARS_MAX (10 * WA_LIMIT_WORD_CHARS) /* matching is quadratic in it */

wa_tokenizer *wa__tokenizer_new(void); /* NULL when out of memory */
/* After the vocabulary is filled. Strings are copied. */
wa_status wa__tokenizer_set_model(wa_tokenizer *t, const char *prefix, const char *unknown, int64_t chars,
                                  const char *what, wa_error *err) WA_MUST_CHECK;
/* Fills *a from an AddedToken object. */
wa_status wa__tokenizer_read_added(wa_tokenizer *t, const json_t *o, int64_t id, const char *what, wa_added_token *a,
                                   wa_error *err) WA_MUST_CHECK;
/* After the last added token. */
wa_status wa__tokenizer_index_added(wa_tokenizer *t, const char *what, wa_error *err) WA_MUST_CHECK;
wa_status wa__tokenizer_template_init(wa_tokenizer *t, wa_error *err) WA_MUST_CHECK;
/* [CLS] A [SEP] B [SEP]. */
wa_status wa__tokenizer_bert_template(wa_tokenizer *t, int32_t cls, int32_t sep, const char *what, wa_error *err) WA_MUST_CHECK;

#endif
