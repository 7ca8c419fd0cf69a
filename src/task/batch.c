/* Token counts in, batches out; a batch and encodings in, input tensors out. Called by api. */
#include "task/batch.h"
#include "base/checked.h"

uint32_t wa__bucket_length(uint32_t tokens, uint32_t length_max)
{
    uint64_t step = tokens <= 64 ? 8 : tokens <= 128 ? 16 : tokens <= 512 ? 32 : 64;
    uint64_t length = ((uint64_t)tokens + step - 1) / step * step;
    if (length == 0) length = step;
    return length_max && length > length_max ? length_max : (uint32_t)length;
}

uint32_t wa__bucket_batch(uint32_t count, uint32_t batch_max)
{
    uint32_t rows = count <= 4 ? count : 8;
    while (rows < count && rows < (1u << 31)) rows *= 2;
    if (rows > batch_max) rows = batch_max;
    return rows < count ? count : rows;
}

void wa__batches_done(wa_batches *b)
{
    wa__free(b->batches);
    wa__free(b->order);
    memset(b, 0, sizeof *b);
}

/* Merge sort, bottom up: stable, and no recursion. */
static void sort(const uint32_t *counts, uint32_t *order, uint32_t *spare, uint32_t n)
{
    uint32_t *from = order, *to = spare;
    for (uint64_t width = 1; width < n; width *= 2) {
        for (uint64_t at = 0; at < n; at += 2 * width) {
            uint64_t i = at, mid = at + width < n ? at + width : n, j = mid, end = at + 2 * width < n ? at + 2 * width : n;
            for (uint64_t k = at; k < end; k++) {
                bool left = i < mid && (j == end || counts[from[i]] <= counts[from[j]]);
                to[k] = left ? from[i++] : from[j++];
            }
        }
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != order) memcpy(order, from, n * sizeof *order);
}

/* Checks the counts and makes room; on failure nothing is held. */
static wa_status begin(const uint32_t *counts, uint32_t text_count, uint32_t length_max, wa_batches *b, uint32_t **spare, wa_error *err)
{
    for (uint32_t i = 0; i < text_count; i++)
        if (counts[i] == 0 || (length_max && counts[i] > length_max))
            return wa__fail(err, WA_INVALID_ARGUMENT, "text %u has %u tokens; it must have 1 to %u", i, counts[i], length_max);
    b->order = wa__alloc(text_count + (size_t)1, sizeof *b->order);
    b->batches = wa__alloc(text_count + (size_t)1, sizeof *b->batches);
    *spare = wa__alloc(text_count + (size_t)1, sizeof **spare);
    if (b->order && b->batches && *spare) return WA_OK;
    wa__free(*spare);
    wa__batches_done(b);
    return wa__no_memory(err, "batches");
}

wa_status wa__batches_plan(const uint32_t *counts, uint32_t text_count, uint32_t batch_max, uint32_t length_max,
                           wa_batches *out, wa_error *err)
{
    if (batch_max == 0) return wa__fail(err, WA_INVALID_ARGUMENT, "a batch of at most 0 texts was asked for");
    wa_batches b = {0};
    uint32_t *spare;
    WA_TRY(begin(counts, text_count, length_max, &b, &spare, err));
    for (uint32_t i = 0; i < text_count; i++) b.order[i] = i;
    sort(counts, b.order, spare, text_count);
    wa__free(spare);
    for (uint32_t i = 0; i < text_count; i++) {
        uint32_t tokens = counts[b.order[i]], length = wa__bucket_length(tokens, length_max);
        wa_batch *last = b.count ? &b.batches[b.count - 1] : NULL;
        if (!last || last->length != length || last->count == batch_max) {
            last = &b.batches[b.count++];
            *last = (wa_batch){.length = length, .first = i};
        }
        last->count++;
        last->tokens += tokens;
    }
    for (uint32_t i = 0; i < b.count; i++) b.batches[i].batch = wa__bucket_batch(b.batches[i].count, batch_max);
    *out = b;
    return WA_OK;
}

/* --- texts without end ---------------------------------------------------------------------------- */
uint32_t wa__bucket_rule_length(const wa_bucket_rule *r, uint32_t tokens)
{
    uint64_t length = r->coarse ? 32 : 64;
    if (!r->coarse && tokens <= 32) length = ((uint64_t)tokens + 7) / 8 * 8;
    else if (!r->coarse && tokens <= 64) length = ((uint64_t)tokens + 15) / 16 * 16;
    while (length < tokens) {
        if (!r->coarse && length + length / 2 >= tokens) length += length / 2;
        else length *= r->coarse ? 4 : 2;
    }
    if (length == 0) length = 8;
    return r->length_max && length > r->length_max ? r->length_max : (uint32_t)length;
}

uint32_t wa__bucket_rule_rows(const wa_bucket_rule *r, uint32_t length)
{
    uint32_t rows = length ? r->tokens / length : r->tokens;
    if (r->rows_max && rows > r->rows_max) rows = r->rows_max;
    if (rows > 8) rows -= rows % 8;
    return rows ? rows : 1;
}

/* Whether no more texts than a quarter of the rows need the batch's length: the others would only be padded to it. */
static bool fewer(const wa_bucket_rule *r, const uint32_t *counts, const uint32_t *order, uint32_t left, const wa_batch *k)
{
    uint32_t quarter = k->batch / 4;
    return left <= quarter || wa__bucket_rule_length(r, counts[order[quarter]]) < k->length;
}

wa_status wa__batches_cut(const uint32_t *counts, uint32_t text_count, const wa_bucket_rule *r, wa_batches *out, wa_error *err)
{
    wa_batches b = {0};
    uint32_t *spare;
    WA_TRY(begin(counts, text_count, r->length_max, &b, &spare, err));
    /* Sorted from the last text on, and then turned round: equal lengths are in input order again. */
    for (uint32_t i = 0; i < text_count; i++) spare[i] = text_count - 1 - i;
    sort(counts, spare, b.order, text_count);
    for (uint32_t i = 0; i < text_count; i++) b.order[i] = spare[text_count - 1 - i];
    wa__free(spare);
    for (uint32_t at = 0; at < text_count;) {
        wa_batch *k = &b.batches[b.count++];
        *k = (wa_batch){.length = wa__bucket_rule_length(r, counts[b.order[at]]), .first = at};
        k->batch = wa__bucket_rule_rows(r, k->length);
        if (!r->coarse && k->batch >= 4 && fewer(r, counts, b.order + at, text_count - at, k)) k->batch /= 4;
        k->count = text_count - at < k->batch ? text_count - at : k->batch;
        for (uint32_t i = 0; i < k->count; i++) k->tokens += counts[b.order[at + i]];
        at += k->count;
    }
    *out = b;
    return WA_OK;
}

enum input { IDS, MASK, TYPES, POSITIONS, INPUT_COUNT };
static const char *const input_names[INPUT_COUNT] = {"input_ids", "attention_mask", "token_type_ids", "position_ids"};

static int64_t value(enum input which, const wa_encoding *e, uint32_t at, int32_t pad_id)
{
    bool real = at < e->count;
    switch (which) {
    case IDS: return real ? e->ids[at] : pad_id;
    case MASK: return real;
    case TYPES: return real ? e->type_ids[at] : 0;
    default: return at;
    }
}

wa_status wa__batch_fill(const wa_batch *b, const uint32_t *order, const wa_encoding *encodings, int32_t pad_id,
                         wa_str input, wa_view *v, wa_error *err)
{
    int which = 0;
    while (which < INPUT_COUNT && !wa__str_is(input, input_names[which])) which++;
    if (which == INPUT_COUNT || (v->type.dtype != WA_I64 && v->type.dtype != WA_I32))
        return wa__fail(err, WA_UNSUPPORTED,
                        "the model's input \"%.*s\" cannot be made from text (input_ids, attention_mask, token_type_ids and "
                        "position_ids of int64 or int32 can); give it by name", WA_STR_ARG(input));
    if (v->type.rank != 2 || v->type.dims[0] != b->batch || v->type.dims[1] != b->length || b->count == 0 || b->count > b->batch)
        return wa__fail(err, WA_INVALID_ARGUMENT, "the model's input \"%.*s\" is not [%u, %u]", WA_STR_ARG(input), b->batch, b->length);
    for (uint32_t row = 0; row < b->batch; row++) {
        const wa_encoding *e = &encodings[order[b->first + (row < b->count ? row : 0)]];
        if (e->count > b->length) return wa__fail(err, WA_INVALID_ARGUMENT, "a text of %u tokens does not fit %u", e->count, b->length);
        for (uint32_t i = 0; i < b->length; i++) {
            size_t at = (size_t)row * b->length + i;
            int64_t x = value((enum input)which, e, i, pad_id);
            if (v->type.dtype == WA_I64)
                ((int64_t *)v->data)[at] = x;
            else
                ((int32_t *)v->data)[at] = (int32_t)x;
        }
    }
    return WA_OK;
}
