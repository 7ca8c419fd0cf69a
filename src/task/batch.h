/* Texts' token ids into padded rectangles of few sizes, so that few plans serve all inputs. */
#ifndef WA_BATCH_H
#define WA_BATCH_H
#include "base/tensor.h"
#include "task/tokenizer.h"

/* The length that `tokens` is padded to: multiples of 8 up to 64, of 16 up to 128, of 32 up to 512, of 64
 * beyond, and never above length_max (0: no limit; tokens must not pass it). */
uint32_t wa__bucket_length(uint32_t tokens, uint32_t length_max);
/* Rows that a batch of `count` is padded to: count itself up to 4, then powers of two, at most batch_max. */
uint32_t wa__bucket_batch(uint32_t count, uint32_t batch_max);

typedef struct wa_batch {
    uint32_t batch, length; /* the rectangle */
    uint32_t first, count;  /* its texts: order[first .. first+count) */
    uint64_t tokens;        /* padding left out */
} wa_batch;
typedef struct wa_batches {
    wa_batch *batches; /* owned */
    uint32_t count;
    uint32_t *order; /* owned; a permutation of the texts, shortest first (wa__batches_cut: longest), equal lengths in input order */
} wa_batches;
void wa__batches_done(wa_batches *b);

/* Cuts texts of the given token counts into batches of at most batch_max (>= 1) rows whose bucket length
 * is the same. A count of 0 or above length_max is WA_INVALID_ARGUMENT. */
wa_status wa__batches_plan(const uint32_t *counts, uint32_t text_count, uint32_t batch_max, uint32_t length_max,
                           wa_batches *out, wa_error *err) WA_MUST_CHECK;

/* Rectangles for texts without end: few lengths, and of each two row counts, so that few plans serve them all. */
typedef struct wa_bucket_rule {
    uint32_t tokens;     /* of one run, about: rows x length */
    uint32_t rows_max;   /* 0: no limit of its own */
    uint32_t length_max; /* 0: no limit; texts must not pass it */
    bool coarse;         /* each plan costs much (weights of its own): fewer lengths, one row count */
} wa_bucket_rule;
/* 8, 16, 24, 32, 48, 64, then powers of two and their 1.5-folds (coarse: 32, 128, 512, 2048, ...); at most length_max. */
uint32_t wa__bucket_rule_length(const wa_bucket_rule *r, uint32_t tokens);
uint32_t wa__bucket_rule_rows(const wa_bucket_rule *r, uint32_t length); /* of a full batch; at least 1 */
/* Cuts texts into batches, longest first: each takes the length of its longest text and as many of the next
 * shorter ones as it has rows, so that only the last can be partly filled; a quarter of the rows where no more texts
 * than that have the length. out->order is longest first, equal lengths in input order. */
wa_status wa__batches_cut(const uint32_t *counts, uint32_t text_count, const wa_bucket_rule *r, wa_batches *out, wa_error *err) WA_MUST_CHECK;

/* Fills one named input of a model for batch b: input_ids, attention_mask, token_type_ids or
 * position_ids, as I64 or I32 [batch, length], into v.data. Rows beyond b->count repeat the first row (a
 * mask of zeros alone would divide by zero in the model); the caller drops their outputs. Another name or
 * type is WA_UNSUPPORTED, another shape WA_INVALID_ARGUMENT. */
wa_status wa__batch_fill(const wa_batch *b, const uint32_t *order, const wa_encoding *encodings, int32_t pad_id,
                         wa_str input, wa_view *v, wa_error *err) WA_MUST_CHECK;

#endif
