/* The reader of a stream: lines of a source become chunks of token ids, tokenised by several threads while
 * earlier chunks run. In: wa_accelerate_options.next, or its texts. Out: chunks, one ready at a time. */
#include "api_stream.h"

enum { WINDOW_TEXTS = 4096, WAIT_MS = 50, TEXTS_EACH = 32 };
#define WINDOW_BYTES ((size_t)16 << 20) /* of text: a chunk of long lines ends sooner */

struct api_reader {
    const api_model *m;
    const wa_accelerate_options *o;
    const atomic_bool *cancel;
    wa_pool *pool;
    pthread_t thread;
    bool started;
    size_t text_at; /* in o->texts */
    /* of the chunk being read: */
    wa_buf bytes;
    size_t ends[WINDOW_TEXTS];
    uint64_t count; /* texts of the chunks before */
    /* under mutex: */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    api_chunk *ready;
    bool ended, hungry, stop;
    wa_status status;
    wa_error err;
};

void api_chunk_free(api_chunk *c)
{
    if (!c) return;
    for (uint32_t i = 0; c->texts && i < c->count; i++) wa__encoding_done(&c->texts[i]);
    wa__free(c->texts);
    wa__free(c->rows);
    wa__free(c->done);
    wa__batches_done(&c->batches);
    wa__free(c);
}

/* sentence_bert_config.json's do_lower_case works on the text, before the tokenizer. */
wa_status api_encode(const api_model *m, wa_str text, wa_encoding *out, wa_error *err)
{
    static const wa_bert_normalizer lower = {false, false, false, true};
    uint32_t limit = m->embed.length_max ? m->embed.length_max : UINT32_MAX;
    wa_buf valid, lowered;
    if (!m->embed.lowercase) return wa__tokenizer_encode(m->tokenizer, text, NULL, limit, out, err);
    wa__buf_init(&valid, 4 * WA_LIMIT_TEXT_BYTES);
    wa__buf_init(&lowered, 4 * WA_LIMIT_TEXT_BYTES);
    wa_status s = wa__utf8_lossy(text, &valid, err);
    if (s == WA_OK) s = wa__bert_normalize(&lower, (wa_str){valid.ptr, valid.len}, &lowered, err);
    if (s == WA_OK) s = wa__tokenizer_encode(m->tokenizer, (wa_str){lowered.ptr, lowered.len}, NULL, limit, out, err);
    wa__buf_done(&valid);
    wa__buf_done(&lowered);
    return s;
}

/* --- reading ------------------------------------------------------------------------------------- */
static wa_next_status next_text(api_reader *r, const char **text)
{
    if (r->o->next) return r->o->next(r->o->user, WAIT_MS, text);
    if (r->text_at == r->o->text_count) return WA_NEXT_END;
    *text = r->o->texts[r->text_at++];
    return WA_NEXT_TEXT;
}

static bool stopped(api_reader *r, bool *hungry)
{
    pthread_mutex_lock(&r->mutex);
    bool stop = r->stop;
    *hungry = r->hungry;
    pthread_mutex_unlock(&r->mutex);
    return stop || (r->cancel && atomic_load(r->cancel));
}

/* Lines of one window into r->bytes and r->ends; how many. *end: nothing comes after. */
static wa_status fill(api_reader *r, uint32_t *count, bool *end, wa_error *err)
{
    uint32_t n = 0;
    bool hungry;
    wa__buf_clear(&r->bytes);
    while (n < WINDOW_TEXTS && r->bytes.len < WINDOW_BYTES && !*end) {
        const char *text = NULL;
        wa_next_status got = next_text(r, &text);
        if (got == WA_NEXT_TEXT && text) {
            size_t bytes = strlen(text);
            if (bytes > WA_LIMIT_TEXT_BYTES)
                return wa__fail(err, WA_LIMIT, "text %llu has %zu bytes; at most %zu", (unsigned long long)(r->count + n + 1), bytes, WA_LIMIT_TEXT_BYTES);
            WA_TRY(wa__buf_append(&r->bytes, text, bytes, err));
            r->ends[n++] = r->bytes.len;
        } else if (got == WA_NEXT_WAIT) {
            *end = stopped(r, &hungry);
            if (hungry && n) break; /* the source pauses, and somebody waits */
        } else if (got == WA_NEXT_END) {
            *end = true;
        } else {
            return wa__fail(err, WA_INVALID_ARGUMENT, "the source of texts gave %d after text %llu", (int)got, (unsigned long long)(r->count + n));
        }
    }
    *count = n;
    return WA_OK;
}

/* --- tokenising ---------------------------------------------------------------------------------- */
typedef struct tokens {
    api_reader *r;
    api_chunk *c;
    pthread_mutex_t mutex;
    wa_status status;
    uint32_t bad; /* the first text that failed */
    wa_error err;
} tokens;

static void encode_some(void *user, uint32_t block, uint32_t thread)
{
    tokens *t = user;
    (void)thread;
    uint32_t end = (block + 1) * TEXTS_EACH < t->c->count ? (block + 1) * TEXTS_EACH : t->c->count;
    for (uint32_t i = block * TEXTS_EACH; i < end; i++) {
        wa_error err = {0};
        size_t from = i ? t->r->ends[i - 1] : 0;
        wa_status s = api_encode(t->r->m, (wa_str){t->r->bytes.ptr + from, t->r->ends[i] - from}, &t->c->texts[i], &err);
        if (s == WA_OK) continue;
        pthread_mutex_lock(&t->mutex);
        if (t->status == WA_OK || i < t->bad) {
            t->status = s;
            t->bad = i;
            t->err = err;
        }
        pthread_mutex_unlock(&t->mutex);
        return;
    }
}

static wa_status tokenise(api_reader *r, uint32_t count, api_chunk **out, wa_error *err)
{
    api_chunk *c = wa__alloc(1, sizeof *c);
    if (c) c->texts = wa__alloc(count, sizeof *c->texts);
    if (!c || !c->texts) {
        wa__free(c);
        return wa__no_memory(err, "tokens");
    }
    c->first = r->count;
    c->count = count;
    tokens t = {.r = r, .c = c};
    pthread_mutex_init(&t.mutex, NULL);
    wa__pool_run(r->pool, (count + TEXTS_EACH - 1) / TEXTS_EACH, encode_some, &t);
    pthread_mutex_destroy(&t.mutex);
    if (t.status != WA_OK) {
        api_chunk_free(c);
        if (err) *err = t.err;
        return wa__fail_in(err, t.status, "text %llu", (unsigned long long)(r->count + t.bad + 1));
    }
    r->count += count;
    *out = c;
    return WA_OK;
}

/* --- the thread ---------------------------------------------------------------------------------- */
/* Waits until there is room for one more. */
static bool hand_over(api_reader *r, api_chunk *c, bool end, wa_status s, const wa_error *err)
{
    pthread_mutex_lock(&r->mutex);
    while (r->ready && !r->stop) pthread_cond_wait(&r->changed, &r->mutex);
    bool go = !r->stop && !end && s == WA_OK;
    if (r->ready) api_chunk_free(c); /* told to stop while the one before still waits */
    else r->ready = c;
    r->ended = !go;
    r->status = s;
    if (s != WA_OK) r->err = *err;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mutex);
    return go;
}

static void *reader_main(void *arg)
{
    api_reader *r = arg;
    for (bool go = true, end = false; go;) {
        wa_error err = {0};
        api_chunk *c = NULL;
        uint32_t count = 0;
        wa_status s = fill(r, &count, &end, &err);
        if (s == WA_OK && count) s = tokenise(r, count, &c, &err);
        go = hand_over(r, c, end, s, &err);
    }
    return NULL;
}

wa_status api_reader_open(const api_model *m, const wa_accelerate_options *o, uint32_t threads, const atomic_bool *cancel, api_reader **out, wa_error *err)
{
    api_reader *r = wa__alloc(1, sizeof *r);
    if (!r) return wa__no_memory(err, "a stream's reader");
    r->m = m;
    r->o = o;
    r->cancel = cancel;
    wa__buf_init(&r->bytes, WINDOW_BYTES + WA_LIMIT_TEXT_BYTES + 1);
    pthread_mutex_init(&r->mutex, NULL);
    pthread_cond_init(&r->changed, NULL);
    wa_status s = wa__pool_create(threads, &r->pool, err);
    if (s == WA_OK && pthread_create(&r->thread, NULL, reader_main, r) != 0) s = wa__fail(err, WA_NO_MEMORY, "cannot start the stream's reader");
    r->started = s == WA_OK;
    if (s == WA_OK) *out = r;
    else api_reader_close(r);
    return s;
}

void api_reader_close(api_reader *r)
{
    if (!r) return;
    pthread_mutex_lock(&r->mutex);
    r->stop = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mutex);
    if (r->started) pthread_join(r->thread, NULL);
    api_chunk_free(r->ready);
    wa__pool_free(r->pool);
    wa__buf_done(&r->bytes);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->mutex);
    wa__free(r);
}

wa_status api_reader_take(api_reader *r, bool wait, api_chunk **out, bool *ended, wa_error *err)
{
    pthread_mutex_lock(&r->mutex);
    r->hungry = wait;
    while (wait && !r->ready && !r->ended) pthread_cond_wait(&r->changed, &r->mutex);
    *out = r->ready;
    r->ready = NULL;
    *ended = r->ended && !*out;
    wa_status s = *ended ? r->status : WA_OK;
    if (s != WA_OK && err) *err = r->err;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mutex);
    return s;
}
