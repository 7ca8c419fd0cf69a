/* Texts without end through a model: a reader that tokenises ahead, buckets, runs in flight, rows in order.
 *
 *   next() ──reader thread──▶ chunk of at most 4096 tokenised texts ──▶ batches, longest first ──▶ runs in flight
 *                                                                        (a plan a bucket)         │
 *   row() ◀── in input order ◀── the chunk's rows ◀──────────────────────────────────────────────────┘
 *
 * Memory is bounded by chunks: one being read, one ready, those whose rows are not all out (two at most).
 * Called by api_run.c. */
#ifndef WA_API_STREAM_H
#define WA_API_STREAM_H
#include "api_int.h"

/* A window of the input. */
typedef struct api_chunk {
    struct api_chunk *next;
    uint64_t first; /* index of its first text */
    uint32_t count;
    wa_encoding *texts;
    /* the stream's: */
    wa_batches batches;
    uint32_t batch_next; /* the first that was not begun */
    float *rows;         /* [count, row_floats] */
    bool *done;
    uint32_t emitted;
} api_chunk;
void api_chunk_free(api_chunk *c); /* NULL is legal */

/* --- the reader (api_reader.c): a thread of its own; the other calls are the stream's thread's -------------- */
typedef struct api_reader api_reader;
/* Model, options and cancel flag are borrowed; the model's tokenizer must be loaded. */
wa_status api_reader_open(const api_model *m, const wa_accelerate_options *o, uint32_t threads, const atomic_bool *cancel, api_reader **out, wa_error *err) WA_MUST_CHECK;
void api_reader_close(api_reader *r); /* NULL is legal; ends the thread */
/* The next chunk, NULL when there is none: none ready (wait false), the end (*ended), or an error. Once waited for,
 * a chunk comes with what the source has given when it pauses. The caller's: api_chunk_free. */
wa_status api_reader_take(api_reader *r, bool wait, api_chunk **out, bool *ended, wa_error *err) WA_MUST_CHECK;

/* --- the stream (api_stream.c) ----------------------------------------------------------------------------- */
typedef struct api_stream api_stream;
typedef struct api_stream_report {
    uint64_t texts, tokens, padded_tokens; /* padded: of the rectangles that ran */
    uint32_t buckets, lanes, run_count;    /* run_count: of run_ms */
    uint64_t runs;
    double *run_ms; /* wall time of the last runs, sorted; the stream's */
    double wall_ms, first_ms; /* first_ms: when the first row was out, by wa__os_now_ms; < 0: none was */
    int64_t row_floats;
    float *rows; /* [texts, row_floats]: kept where nobody takes them; the caller's, wa__free */
    wa_run_stats last;
} api_stream_report;

/* Opens the reader and waits for its first chunk. */
wa_status api_stream_open(wa_accelerator *a, api_model *m, const wa_accelerate_options *o, api_stream **out, wa_error *err) WA_MUST_CHECK;
void api_stream_close(api_stream *s);
/* The bucket of the first run on that target. WA_INVALID_ARGUMENT when there are no texts. */
wa_status api_stream_bucket(api_stream *s, const wa_plan_target *t, uint32_t *batch, uint32_t *length, wa_error *err) WA_MUST_CHECK;
/* The texts of that run: order[0..count) of them; borrowed. */
uint32_t api_stream_first(api_stream *s, wa_encoding **texts, uint32_t **order);
uint32_t api_stream_lanes(const wa_plan *p, const wa_runner *r); /* runs in flight that its plan may have */
/* Runs all. The session has the first bucket's plan loaded, made for `shape`. When it fails or is cancelled,
 * rows that are done are handed out before it returns. */
wa_status api_stream_run(api_stream *s, api_session *session, const api_shape *shape, api_stream_report *out, wa_error *err) WA_MUST_CHECK;

#endif
