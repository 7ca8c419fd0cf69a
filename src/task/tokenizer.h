/* Text to token ids, as the model's own tokenizer.json (or vocab.txt with tokenizer_config.json) says,
 * equal to Hugging Face `tokenizers` id for id. WordPiece with BERT's normaliser and pre-tokenizer.
 *
 *   text ─ added tokens as they stand ─ BertNormalizer ─ added tokens marked "normalized"
 *        ─ words ─ WordPiece ─ truncation ─ template ([CLS] A [SEP] B [SEP]) ─▶ ids, type ids
 *
 * Bytes that are not UTF-8 become U+FFFD, one for each maximal ill-formed part (which the normaliser's
 * clean_text then drops). Padding asked for by tokenizer.json is ignored: batches are padded by batch.h.
 * A loaded tokenizer is const: any number of threads may encode with it. */
#ifndef WA_TOKENIZER_H
#define WA_TOKENIZER_H
#include "task/task_files.h"

typedef struct wa_tokenizer wa_tokenizer;

/* Reads tokenizer.json if it is there, else vocab.txt. All components that this build does not know
 * are listed in one WA_UNSUPPORTED. Copies what it needs: the files may go afterwards. */
wa_status wa__tokenizer_load(const wa_task_files *files, wa_tokenizer **out, wa_error *err) WA_MUST_CHECK;
/* The two readers, for tests and fuzzing. config (tokenizer_config.json) may be NULL. */
wa_status wa__tokenizer_from_json(const wa_task_file *file, wa_tokenizer **out, wa_error *err) WA_MUST_CHECK;
wa_status wa__tokenizer_from_vocab(const wa_task_file *vocab, const wa_task_file *config, wa_tokenizer **out, wa_error *err) WA_MUST_CHECK;
void wa__tokenizer_free(wa_tokenizer *t); /* NULL is legal */

typedef struct wa_encoding {
    int32_t *ids, *type_ids; /* owned */
    uint32_t count;          /* specials included, no padding */
    uint32_t dropped;        /* tokens cut off by truncation */
} wa_encoding;
void wa__encoding_done(wa_encoding *e);

/* length_max: tokens in the result, specials included; 0 takes the tokenizer's own truncation, and
 * UINT32_MAX cuts nothing. pair NULL: one sequence. On failure *out is untouched. */
wa_status wa__tokenizer_encode(const wa_tokenizer *t, wa_str text, const wa_str *pair, uint32_t length_max,
                               wa_encoding *out, wa_error *err) WA_MUST_CHECK;

/* The tokenizer file's own truncation length, 0 when it has none. */
uint32_t wa__tokenizer_length_max(const wa_tokenizer *t);
uint32_t wa__tokenizer_words(const wa_tokenizer *t); /* vocabulary and added tokens */
int32_t wa__tokenizer_id_max(const wa_tokenizer *t); /* must be below the model's embedding rows */
int32_t wa__tokenizer_pad_id(const wa_tokenizer *t); /* of "[PAD]", else 0 */
/* Text of a token, empty when there is none (a linear search, for messages and inspection). */
wa_str wa__tokenizer_token(const wa_tokenizer *t, int32_t id);

#endif
