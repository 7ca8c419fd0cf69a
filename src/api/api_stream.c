/* A stream's runs: chunks of token ids in, rows in input order out. See api_stream.h. */
#include "api_stream.h"
#include "base/log.h"
#include <math.h>
#include <stdlib.h>

enum { LANES = 3, RUN_MS_KEPT = 1024 };
/* Tokens of one run. On hardware enough that what a run costs besides its arithmetic does not count, and never more
 * than attention's scores (16 heads of 512 tokens in f32 here) may have in one binding; on the CPU no more than its
 * caches like, and a software adapter, which does 200 a second, should not be deaf for long. */
enum { TOKENS_HARDWARE = 8192, TOKENS_CPU = 2048, TOKENS_SOFTWARE = 512, SCORE_BYTES = 16 * 512 * 4 };

typedef struct flight {
    api_chunk *chunk;
    const wa_plan *plan; /* not unloaded while it flies */
    uint32_t handle;
    uint64_t ticket;
    uint32_t batch;   /* of the chunk's */
    wa_view output;   /* memory owned */
    size_t room;
} flight;

struct api_stream {
    wa_accelerator *a;
    api_model *m;
    const wa_accelerate_options *o;
    api_reader *reader;
    api_chunk *first, *last; /* whose rows are not all out */
    bool ended;
    wa_bucket_rule rule;
    api_session *session;
    const api_shape *shape;
    uint32_t lanes;
    flight flights[LANES]; /* a ring: the oldest at `oldest` */
    uint32_t oldest, flying;
    wa_view *inputs; /* memory owned */
    uint32_t input_count;
    size_t *input_room;
    double *run_ms;
    size_t rows_cap;
    uint64_t clock;
    double start_ms;
    api_stream_report out;
};

static void report(const api_stream *s)
{
    wa_progress p = {"run", s->out.texts, s->o->next ? 0 : s->o->text_count, s->session->runner->ops->predicted_bytes(s->session->runner)};
    if (s->o->progress) s->o->progress(s->o->user, &p);
}

static wa_run_control control(const api_stream *s, bool cancellable)
{
    wa_run_control c = {.timeout_ms = s->o->timeout_ms ? s->o->timeout_ms : 300000, .lanes = s->lanes};
    if (cancellable) c.cancel = &s->a->cancel;
    return c;
}

static bool cancelled(const api_stream *s) { return atomic_load(&s->a->cancel); }

/* --- chunks -------------------------------------------------------------------------------------- */
static wa_status take_chunk(api_stream *s, bool wait, wa_error *err)
{
    api_chunk *c = NULL;
    wa_status st = api_reader_take(s->reader, wait, &c, &s->ended, err);
    if (!c) return st;
    if (s->last) s->last->next = c;
    else s->first = c;
    s->last = c;
    return WA_OK;
}

static wa_status cut(const api_stream *s, api_chunk *c, wa_error *err)
{
    uint32_t *counts = wa__alloc(c->count + 1u, sizeof *counts);
    if (!counts) return wa__no_memory(err, "batches");
    for (uint32_t i = 0; i < c->count; i++) counts[i] = c->texts[i].count;
    wa__batches_done(&c->batches);
    wa_status st = wa__batches_cut(counts, c->count, &s->rule, &c->batches, err);
    wa__free(counts);
    return st;
}

wa_status api_stream_open(wa_accelerator *a, api_model *m, const wa_accelerate_options *o, api_stream **out, wa_error *err)
{
    WA_TRY(api_model_tokenizer(m, err));
    WA_TRY(api_model_embed(m, err));
    api_stream *s = wa__alloc(1, sizeof *s);
    if (!s) return wa__no_memory(err, "a stream");
    s->a = a;
    s->m = m;
    s->o = o;
    s->out.first_ms = -1;
    wa_status st = api_reader_open(m, o, a->threads, &a->cancel, &s->reader, err);
    if (st == WA_OK) st = take_chunk(s, true, err);
    if (st == WA_OK) *out = s;
    else api_stream_close(s);
    return st;
}

void api_stream_close(api_stream *s)
{
    if (!s) return;
    api_reader_close(s->reader);
    while (s->first) {
        api_chunk *c = s->first;
        s->first = c->next;
        api_chunk_free(c);
    }
    for (uint32_t i = 0; i < LANES; i++) wa__free(s->flights[i].output.data);
    for (uint32_t i = 0; i < s->input_count; i++) wa__free(s->inputs[i].data);
    wa__free(s->inputs);
    wa__free(s->input_room);
    wa__free(s->run_ms);
    wa__free(s->out.rows);
    wa__free(s);
}

static void set_rule(api_stream *s, const wa_plan_target *t)
{
    uint64_t limit = t->limit_binding ? t->limit_binding : (uint64_t)128 << 20, most = limit / SCORE_BYTES;
    uint32_t tokens = t->target != WA_TARGET_WEBGPU ? TOKENS_CPU : t->software ? TOKENS_SOFTWARE : TOKENS_HARDWARE;
    if (most < tokens) tokens = most ? (uint32_t)most : 1;
    s->rule = (wa_bucket_rule){tokens, s->o->batch_max, s->m->embed.length_max, t->target == WA_TARGET_WEBNN};
}

wa_status api_stream_bucket(api_stream *s, const wa_plan_target *t, uint32_t *batch, uint32_t *length, wa_error *err)
{
    if (!s->first) return wa__fail(err, WA_INVALID_ARGUMENT, "nothing to run: there are no texts");
    set_rule(s, t);
    WA_TRY(cut(s, s->first, err));
    *batch = s->first->batches.batches[0].batch;
    *length = s->first->batches.batches[0].length;
    return WA_OK;
}

uint32_t api_stream_first(api_stream *s, wa_encoding **texts, uint32_t **order)
{
    *texts = s->first->texts;
    *order = s->first->batches.order;
    return s->first->batches.batches[0].count;
}

uint32_t api_stream_lanes(const wa_plan *p, const wa_runner *r)
{
    if (!r->ops->begin) return 1;
    for (uint32_t i = 0; i < p->segment_count; i++)
        if (p->segments[i].target != WA_TARGET_WEBGPU) return 1;
    return LANES;
}

/* --- rows ---------------------------------------------------------------------------------------- */
static wa_status keep_row(api_stream *s, const float *row, wa_error *err)
{
    size_t floats = (size_t)s->out.row_floats;
    if (s->out.texts == s->rows_cap) {
        size_t cap = s->rows_cap ? s->rows_cap * 2 : s->o->next ? 1024 : s->o->text_count;
        float *grown = cap < SIZE_MAX / sizeof *grown / floats ? wa__realloc(s->out.rows, cap * floats * sizeof *grown) : NULL;
        if (!grown) return wa__no_memory(err, "the rows of this many texts (take them as they come: --jsonl)");
        s->out.rows = grown;
        s->rows_cap = cap;
    }
    memcpy(s->out.rows + s->out.texts * floats, row, floats * sizeof *row);
    return WA_OK;
}

static wa_status put_row(api_stream *s, api_chunk *c, uint32_t i, wa_error *err)
{
    const float *row = c->rows + (size_t)i * (size_t)s->out.row_floats;
    if (s->o->row) s->o->row(s->o->user, (size_t)(c->first + i), row, (size_t)s->out.row_floats);
    if (!s->o->row || !s->o->next) WA_TRY(keep_row(s, row, err));
    if (s->out.first_ms < 0) s->out.first_ms = wa__os_now_ms();
    s->out.texts++;
    s->out.tokens += c->texts[i].count;
    return WA_OK;
}

/* Rows that are done, in input order; `all`: past those that never will be. */
static wa_status emit(api_stream *s, bool all, wa_error *err)
{
    for (api_chunk *c; (c = s->first) != NULL;) {
        while (c->emitted < c->count && (c->done && c->done[c->emitted] ? true : all)) {
            uint32_t i = c->emitted++;
            if (c->done && c->done[i]) WA_TRY(put_row(s, c, i, err));
        }
        if (c->emitted < c->count) break;
        s->first = c->next;
        if (!s->first) s->last = NULL;
        api_chunk_free(c);
    }
    report(s);
    return WA_OK;
}

/* --- buckets ------------------------------------------------------------------------------------- */
static bool flies(const api_stream *s, uint32_t handle)
{
    for (uint32_t i = 0; i < s->flying; i++)
        if (s->flights[(s->oldest + i) % LANES].handle == handle) return true;
    return false;
}

static wa_status load_bucket(api_stream *s, uint32_t batch, uint32_t length, api_bucket **out, wa_error *err)
{
    api_shape shape;
    wa_plan *p = NULL;
    bool cached;
    wa_run_control c = control(s, true);
    WA_TRY(api_shape_embed(s->m, batch, length, &shape, err));
    shape.precision = s->shape->precision;
    shape.mixed = s->shape->mixed;
    shape.keep = s->shape->keep;
    WA_TRY(api_compile(s->a, s->m, &shape, &s->session->target, &p, &cached, err));
    WA_TRY(api_session_add(s->session, s->m, p, batch, length, &c, out, err));
    s->out.buckets++;
    wa__log(WA_LOG_DEBUG, "api", "bucket of %u texts of %u tokens: %llu bytes of buffers in all", batch, length,
            (unsigned long long)s->session->runner->ops->actual_bytes(s->session->runner));
    return WA_OK;
}

/* The plan of a rectangle into f: the session's own, one loaded before, else a new one in the place of the one
 * longest unused. */
static wa_status bucket_for(api_stream *s, const wa_batch *b, flight *f, wa_error *err)
{
    api_session *x = s->session;
    api_bucket *found = NULL, *oldest = NULL;
    if (b->batch == s->shape->batch && b->length == s->shape->length) {
        f->plan = x->plan;
        f->handle = x->handle;
        return WA_OK;
    }
    for (uint32_t i = 0; i < x->bucket_count; i++) {
        api_bucket *k = &x->buckets[i];
        if (k->batch == b->batch && k->length == b->length) found = k;
        if (!flies(s, k->handle) && (!oldest || k->used < oldest->used)) oldest = k;
    }
    if (!found && x->bucket_count == API_BUCKETS_MAX) api_session_remove(x, oldest); /* there is one: fewer fly than there are */
    if (!found) WA_TRY(load_bucket(s, b->batch, b->length, &found, err));
    found->used = ++s->clock;
    f->plan = found->plan;
    f->handle = found->handle;
    return WA_OK;
}

/* --- runs ---------------------------------------------------------------------------------------- */
static wa_status room_for(wa_view *v, size_t *room, wa_error *err)
{
    size_t n = (size_t)wa__bytes(&v->type);
    if (n <= *room) return WA_OK;
    void *grown = wa__realloc(v->data, n);
    if (!grown) return wa__no_memory(err, "inputs and outputs");
    v->data = grown;
    *room = n;
    return WA_OK;
}

/* Token ids of a batch into the inputs' views, its output's type into f->output. */
static wa_status fill(api_stream *s, flight *f, const wa_batch *b, wa_error *err)
{
    const wa_plan *p = f->plan;
    const wa_plan_entry *e = &p->entries[0];
    uint32_t k = 0, outputs = 0;
    for (uint32_t i = 0; i < e->io_count; i++) {
        const wa_plan_io *io = &p->ios[e->io_first + i];
        wa_tensor_type t = {(wa_dtype)io->dtype, io->rank, {0}};
        memcpy(t.dims, io->dims, sizeof t.dims);
        if (io->is_output) {
            if (outputs++ || t.dtype != WA_F32 || t.rank != 2 || t.dims[0] != b->batch || (s->out.row_floats && t.dims[1] != s->out.row_floats) || t.dims[1] <= 0)
                return wa__fail(err, WA_UNSUPPORTED, "the model gives no f32 vector a text");
            s->out.row_floats = t.dims[1];
            f->output.type = t;
            WA_TRY(room_for(&f->output, &f->room, err));
            continue;
        }
        s->inputs[k].type = t;
        WA_TRY(room_for(&s->inputs[k], &s->input_room[k], err));
        WA_TRY(wa__batch_fill(b, f->chunk->batches.order, f->chunk->texts, wa__tokenizer_pad_id(s->m->tokenizer), wa__str(wa__plan_text(p, io->name)), &s->inputs[k], err));
        k++;
    }
    return outputs ? WA_OK : wa__fail(err, WA_UNSUPPORTED, "the model gives no f32 vector a text");
}

static wa_status ready_chunk(api_stream *s, api_chunk *c, wa_error *err)
{
    if (c->done) return WA_OK;
    c->rows = wa__alloc(c->count, (size_t)s->out.row_floats * sizeof *c->rows);
    c->done = wa__alloc(c->count, sizeof *c->done);
    return c->rows && c->done ? WA_OK : wa__no_memory(err, "rows");
}

static bool all_finite(const float *v, size_t n)
{
    bool good = true;
    for (size_t i = 0; i < n; i++) good = good && isfinite(v[i]);
    return good;
}

/* A finished batch's rows to their places; then whatever is due goes out. */
static wa_status land(api_stream *s, const flight *f, const wa_run_stats *st, wa_error *err)
{
    const wa_batch *b = &f->chunk->batches.batches[f->batch];
    size_t floats = (size_t)s->out.row_floats;
    bool fewer = s->shape->precision && s->shape->precision != 32;
    WA_TRY(ready_chunk(s, f->chunk, err));
    for (uint32_t i = 0; i < b->count; i++) {
        uint32_t text = f->chunk->batches.order[b->first + i];
        memcpy(f->chunk->rows + text * floats, (const float *)f->output.data + i * floats, floats * sizeof(float));
        f->chunk->done[text] = true;
        if (fewer && !all_finite(f->chunk->rows + text * floats, floats))
            return wa__fail(err, WA_UNSUPPORTED, "text %llu: numbers pass what %u-bit floats hold; use --mixed-precision, or 32 bits",
                            (unsigned long long)(f->chunk->first + text + 1), s->shape->precision);
    }
    s->run_ms[s->out.runs++ % RUN_MS_KEPT] = st->wall_ms;
    s->out.padded_tokens += (uint64_t)b->batch * b->length;
    s->out.last = *st;
    return emit(s, false, err);
}

static wa_status finish_oldest(api_stream *s, wa_error *err)
{
    flight *f = &s->flights[s->oldest];
    wa_run_stats st = {0};
    wa_run_control c = control(s, false); /* what was begun ends: a second signal ends the program */
    s->oldest = (s->oldest + 1) % LANES;
    s->flying--;
    WA_TRY(s->session->runner->ops->finish(s->session->runner, f->ticket, &f->output, 1, &c, &st, err));
    return land(s, f, &st, err);
}

static wa_status run_whole(api_stream *s, flight *f, wa_error *err)
{
    wa_run_stats st = {0};
    wa_run_control c = control(s, true);
    while (s->flying) WA_TRY(finish_oldest(s, err)); /* which leaves f where it is: the ring's next */
    WA_TRY(s->session->runner->ops->run(s->session->runner, f->handle, 0, s->inputs, s->input_count, &f->output, 1, &c, &st, err));
    return land(s, f, &st, err);
}

static wa_status begin(api_stream *s, api_chunk *c, wa_error *err)
{
    const wa_batch *b = &c->batches.batches[c->batch_next];
    if (s->flying == s->lanes) WA_TRY(finish_oldest(s, err));
    flight *f = &s->flights[(s->oldest + s->flying) % LANES];
    f->chunk = c;
    f->batch = c->batch_next;
    WA_TRY(bucket_for(s, b, f, err));
    WA_TRY(fill(s, f, b, err));
    c->batch_next++;
    if (api_stream_lanes(f->plan, s->session->runner) == 1) return run_whole(s, f, err);
    WA_TRY(s->session->runner->ops->begin(s->session->runner, f->handle, 0, s->inputs, s->input_count, &f->ticket, err));
    s->flying++;
    return WA_OK;
}

/* The chunk with batches that were not begun, the newest at most; NULL when there is none now. */
static wa_status current(api_stream *s, api_chunk **out, wa_error *err)
{
    *out = NULL;
    for (;;) {
        api_chunk *c = s->last;
        if (c && !c->batches.batches) WA_TRY(cut(s, c, err));
        if (c && c->batch_next < c->batches.count) {
            *out = c;
            return WA_OK;
        }
        if (s->ended) return WA_OK;
        WA_TRY(take_chunk(s, s->flying == 0, err));
        if (s->last == c) return WA_OK; /* none is ready, and something flies; or the end */
    }
}

static wa_status run_all(api_stream *s, wa_error *err)
{
    for (;;) {
        api_chunk *c;
        if (cancelled(s)) return wa__fail(err, WA_CANCELLED, "cancelled after %llu texts", (unsigned long long)s->out.texts);
        WA_TRY(current(s, &c, err));
        if (c) WA_TRY(begin(s, c, err));
        else if (s->flying) WA_TRY(finish_oldest(s, err));
        else if (s->ended) return WA_OK;
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static wa_status make_inputs(api_stream *s, wa_error *err)
{
    const wa_plan *p = s->session->plan;
    const wa_plan_entry *e = &p->entries[0];
    for (uint32_t i = 0; i < e->io_count; i++) s->input_count += !p->ios[e->io_first + i].is_output;
    s->inputs = wa__alloc(s->input_count + 1u, sizeof *s->inputs);
    s->input_room = wa__alloc(s->input_count + 1u, sizeof *s->input_room);
    s->run_ms = wa__alloc(RUN_MS_KEPT, sizeof *s->run_ms);
    return s->inputs && s->input_room && s->run_ms ? WA_OK : wa__no_memory(err, "a stream");
}

wa_status api_stream_run(api_stream *s, api_session *session, const api_shape *shape, api_stream_report *out, wa_error *err)
{
    wa_error ignored = {0};
    s->session = session;
    s->shape = shape;
    s->lanes = api_stream_lanes(session->plan, session->runner);
    s->start_ms = wa__os_now_ms();
    s->out.lanes = s->lanes;
    s->out.buckets = 1;
    WA_TRY(make_inputs(s, err));
    report(s);
    wa_status st = run_all(s, err);
    /* What flies lands, and what is done goes out, whatever happened. */
    while (s->flying) {
        wa_status late = finish_oldest(s, &ignored);
        if (late != WA_OK) wa__log(WA_LOG_INFO, "api", "a run in flight: %s", ignored.message);
    }
    if (st != WA_OK && s->out.row_floats) {
        wa_status late = emit(s, true, &ignored);
        if (late != WA_OK) wa__log(WA_LOG_INFO, "api", "rows that were done: %s", ignored.message);
        if (st == WA_CANCELLED) wa__fail(err, st, "cancelled after %llu texts", (unsigned long long)s->out.texts);
    }
    s->out.wall_ms = wa__os_now_ms() - s->start_ms;
    s->out.run_count = s->out.runs < RUN_MS_KEPT ? (uint32_t)s->out.runs : RUN_MS_KEPT;
    if (s->out.run_count) qsort(s->run_ms, s->out.run_count, sizeof *s->run_ms, by_value);
    s->out.run_ms = s->run_ms;
    *out = s->out;
    s->out.rows = NULL;
    return st;
}
