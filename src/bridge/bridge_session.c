/* A session's state machine: NEW -(hello with a good token)-> READY -> DEAD; and its few jobs under way.
 * In: the page's messages, hostile, on the loop thread; jobs from the runner's thread. Locks: the
 * session's mutex guards what the two share; the host's is never taken while it is held. */
#include "base/log.h"
#include "base/os.h"
#include "bridge/bridge_int.h"

enum { POLL_MS = 20, CANCEL_GRACE_MS = 1000 };

bridge_blob *wa__blob_new(size_t size)
{
    bridge_blob *b = size < SIZE_MAX - sizeof *b ? wa__alloc(1, sizeof *b + size) : NULL;
    if (!b) return NULL;
    atomic_init(&b->refs, 1);
    b->size = size;
    return b;
}

void wa__blob_drop(bridge_blob *b)
{
    if (b && atomic_fetch_sub(&b->refs, 1) == 1) wa__free(b);
}

static void drop_blobs(bridge_job *j)
{
    for (uint32_t i = 0; i < j->blob_count; i++) wa__blob_drop(j->blobs[i]);
    j->blob_count = 0;
}

bridge_session *wa__session_new(wa_bridge_host *h, wa_ws *ws)
{
    bridge_session *s = wa__alloc(1, sizeof *s);
    if (!s) return NULL;
    s->runner.ops = &wa__bridge_ops;
    s->host = h;
    s->ws = ws ? wa__ws_hold(ws) : NULL;
    s->opened_ns = s->heard_ns = wa__os_now_ns();
    pthread_mutex_init(&s->mutex, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &attr);
    pthread_condattr_destroy(&attr);
    for (uint32_t i = 0; i < BRIDGE_JOBS_MAX; i++) wa__buf_init(&s->jobs[i].body, WA_WIRE_BODY_BYTES_MAX);
    return s;
}

void wa__session_free(bridge_session *s)
{
    wa__ws_release(s->ws);
    json_decref(s->hello);
    for (uint32_t i = 0; i < BRIDGE_JOBS_MAX; i++) {
        json_decref(s->jobs[i].reply);
        drop_blobs(&s->jobs[i]);
        wa__buf_done(&s->jobs[i].body);
    }
    wa__free(s->memories);
    wa__free(s->dispatch_us);
    free(s->hello_text);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->mutex);
    wa__free(s);
}

/* With s->mutex held. */
static void die_locked(bridge_session *s, wa_status status, const char *reason)
{
    if (s->state == BRIDGE_DEAD) return;
    s->state = BRIDGE_DEAD;
    s->dead_status = status;
    snprintf(s->dead_reason, sizeof s->dead_reason, "%.500s", reason);
    pthread_cond_broadcast(&s->changed);
}

void wa__session_die(bridge_session *s, wa_status status, const char *reason)
{
    pthread_mutex_lock(&s->mutex);
    die_locked(s, status, reason);
    pthread_mutex_unlock(&s->mutex);
}

static wa_status send_frame(bridge_session *s, uint32_t type, uint64_t job, uint32_t seq, const char *meta, const wa_str *body, uint32_t body_count, wa_error *err)
{
    enum { PARTS_MAX = 66 };
    uint8_t header[WA_WIRE_HEADER_BYTES];
    wa_str parts[PARTS_MAX];
    uint64_t bytes = 0;
    size_t meta_length = meta ? strlen(meta) : 0;
    if (body_count > PARTS_MAX - 2) return wa__fail(err, WA_LIMIT, "%u inputs: at most %d", body_count, PARTS_MAX - 2);
    for (uint32_t i = 0; i < body_count; i++) bytes += body[i].len;
    if (meta_length > WA_WIRE_META_BYTES_MAX || bytes > WA_WIRE_BODY_BYTES_MAX)
        return wa__fail(err, WA_LIMIT, "a message of %zu bytes of meta and %llu of body is too long for a page", meta_length, (unsigned long long)bytes);
    wa__wire_header(header, type, job, seq, meta_length, bytes);
    parts[0] = (wa_str){(const char *)header, sizeof header};
    parts[1] = (wa_str){meta, meta_length};
    if (body_count) memcpy(parts + 2, body, body_count * sizeof *body);
    return s->ws ? wa__ws_send_parts(s->ws, true, parts, body_count + 2, err) : WA_OK;
}

/* --- messages of the page ------------------------------------------------------------------------- */
static bool on_hello(bridge_session *s, const wa_wire *f, wa_error *err)
{
    json_t *meta = wa__wire_meta(f, err);
    if (!meta) return false;
    const json_t *token = json_object_get(meta, "token");
    wa_str t = {json_string_value(token), json_string_length(token)};
    uint64_t made_ns = 0, ticket = json_is_string(token) ? wa__host_redeem(s->host, t, &made_ns) : 0;
    bool good = ticket != 0;
    if (!good) wa__fail(err, WA_PROTOCOL, "the page's token is unknown or was used");
    json_object_del(meta, "token");
    char weights[BRIDGE_TOKEN_CHARS + 1];
    good = good && wa__bridge_token(weights, err) == WA_OK;
    pthread_mutex_lock(&s->mutex);
    good = good && wa__session_hello(s, meta, err) == WA_OK;
    if (good) {
        memcpy(s->weights_token, weights, sizeof weights);
        s->ticket_ns = made_ns;
        s->info.hello_ms = (double)(wa__os_now_ns() - made_ns) / 1e6;
        s->state = BRIDGE_READY;
    }
    pthread_mutex_unlock(&s->mutex);
    json_decref(meta);
    if (!good) return false;
    char *text = wa__format("{\"weights_token\":\"%s\"}", weights);
    good = text && send_frame(s, WA_FRAME_WELCOME, 0, 0, text, NULL, 0, err) == WA_OK;
    wa__free(text);
    pthread_mutex_lock(&s->host->mutex);
    s->ticket = ticket;
    pthread_cond_broadcast(&s->host->changed);
    pthread_mutex_unlock(&s->host->mutex);
    return good;
}

static wa_status status_named(const char *name)
{
    static const wa_status may[] = {WA_NOT_FOUND, WA_IO,      WA_UNSUPPORTED, WA_LIMIT,       WA_NO_MEMORY, WA_TIMEOUT,
                                    WA_CANCELLED, WA_ADAPTER, WA_DEVICE_LOST, WA_PROTOCOL,    WA_INTERNAL};
    for (size_t i = 0; name && i < sizeof may / sizeof *may; i++) {
        const char *own = wa__status_name(may[i]);
        size_t k = 0;
        while (own[k] && name[k] && (own[k] | 32) == (name[k] | 32)) k++;
        if (!own[k] && !name[k]) return may[i];
    }
    return WA_INTERNAL;
}

/* The job under way of that id, NULL when it was given up or never was; s->mutex is held. */
static bridge_job *job_of(bridge_session *s, uint64_t id)
{
    for (uint32_t i = 0; id && i < BRIDGE_JOBS_MAX; i++)
        if (s->jobs[i].id == id) return &s->jobs[i];
    return NULL;
}

static bool take_error(bridge_job *j, const wa_wire *f, wa_error *err)
{
    json_t *meta = wa__wire_meta(f, err);
    if (!meta) return false;
    const char *message = json_string_value(json_object_get(meta, "message"));
    j->status = status_named(json_string_value(json_object_get(meta, "status")));
    snprintf(j->message, sizeof j->message, "the page: %s", message ? message : "an error without a message");
    json_decref(meta);
    return true;
}

static bool take_answer(bridge_job *j, const wa_wire *f, wa_error *err)
{
    json_t *meta = NULL;
    if (f->type == WA_FRAME_RESULT && f->flags & WA_WIRE_PACKED) {
        if (wa__wire_packed_meta(f, &j->packed, err) != WA_OK) return false;
    } else if (!(meta = wa__wire_meta(f, err))) {
        return false;
    }
    json_decref(j->reply);
    j->reply = meta;
    wa__buf_clear(&j->body);
    j->status = wa__buf_append(&j->body, f->body.ptr, f->body.len, NULL);
    if (j->status != WA_OK) snprintf(j->message, sizeof j->message, "no memory for the page's answer");
    return true;
}

/* A reply to a job; s->mutex is held. Replies to jobs given up are dropped. */
static bool on_reply(bridge_session *s, const wa_wire *f, wa_error *err)
{
    if (f->job == 0 || f->job > s->next_job) {
        wa__fail(err, WA_PROTOCOL, "the page answered job %llu, which was never sent", (unsigned long long)f->job);
        return false;
    }
    bridge_job *j = job_of(s, f->job);
    if (!j || j->done) return true;
    if (f->type != WA_FRAME_ERROR && f->type != j->want) {
        wa__fail(err, WA_PROTOCOL, "the page answered with frame %u where %u was due", f->type, j->want);
        return false;
    }
    if (f->type == WA_FRAME_ERROR ? !take_error(j, f, err) : !take_answer(j, f, err)) return false;
    j->done = true;
    pthread_cond_broadcast(&s->changed);
    return true;
}

static uint64_t whole(const json_t *meta, const char *key)
{
    const json_t *v = json_object_get(meta, key);
    double d = json_is_number(v) ? json_number_value(v) : 0;
    return d > 0 && d < 9e15 ? (uint64_t)d : 0;
}

static bool on_progress(bridge_session *s, const wa_wire *f, wa_error *err)
{
    bridge_job *j = job_of(s, f->job);
    if (!j) return f->job <= s->next_job;
    json_t *meta = wa__wire_meta(f, err);
    if (!meta) return false;
    j->progress = (wa_run_progress){whole(meta, "bytes_done"), whole(meta, "bytes_total"), (uint32_t)(whole(meta, "pipelines_done") & UINT32_MAX),
                                    (uint32_t)(whole(meta, "pipelines_total") & UINT32_MAX)};
    j->progress_count++;
    json_decref(meta);
    pthread_cond_broadcast(&s->changed);
    return true;
}

static bool on_lost(bridge_session *s, const wa_wire *f)
{
    json_t *meta = wa__wire_meta(f, NULL);
    const char *reason = json_string_value(json_object_get(meta, "reason")), *message = json_string_value(json_object_get(meta, "message"));
    char text[400];
    snprintf(text, sizeof text, "the GPU device was lost (%.60s): %.300s", reason ? reason : "unknown", message ? message : "");
    die_locked(s, WA_DEVICE_LOST, text);
    json_decref(meta);
    return true; /* the reply of a job under way may still come; the session is dead anyway */
}

static bool dispatch_frame(bridge_session *s, const wa_wire *f, wa_error *err)
{
    switch (f->type) {
    case WA_FRAME_PONG:
        pthread_cond_broadcast(&s->changed);
        return true;
    case WA_FRAME_LOADED: case WA_FRAME_RESULT: case WA_FRAME_UNLOADED: case WA_FRAME_BENCHED: case WA_FRAME_ERROR: return on_reply(s, f, err);
    case WA_FRAME_PROGRESS: return on_progress(s, f, err);
    case WA_FRAME_DEVICE_LOST: return on_lost(s, f);
    case WA_FRAME_LOG: return true;
    case WA_FRAME_BYE: wa__fail(err, WA_BROWSER, "the page said goodbye"); return false;
    default: wa__fail(err, WA_PROTOCOL, "the page sent frame %u, which is not its to send", f->type); return false;
    }
}

bool wa__session_on_message(bridge_session *s, const uint8_t *bytes, size_t n, bool binary)
{
    wa_wire f;
    wa_error err = {0};
    bool good;
    if (!binary) {
        wa__fail(&err, WA_PROTOCOL, "the page sent text where frames are binary");
        good = false;
    } else if (wa__wire_parse(bytes, n, &f, &err) != WA_OK) {
        err.status = WA_PROTOCOL;
        good = false;
    } else if (s->state == BRIDGE_NEW) { /* only this thread leaves NEW */
        good = f.type == WA_FRAME_HELLO;
        if (!good) wa__fail(&err, WA_PROTOCOL, "the page's first frame is %u, not its hello", f.type);
        else good = on_hello(s, &f, &err);
    } else {
        pthread_mutex_lock(&s->mutex);
        s->heard_ns = wa__os_now_ns();
        good = dispatch_frame(s, &f, &err);
        pthread_mutex_unlock(&s->mutex);
    }
    if (!good) {
        wa__log(WA_LOG_WARN, "bridge", "session ended: %s", err.message);
        wa__session_die(s, err.status ? err.status : WA_PROTOCOL, err.message);
    }
    return good;
}

/* --- jobs --------------------------------------------------------------------------------------- */
static void wait_ms(bridge_session *s, uint32_t ms)
{
    uint64_t until = wa__os_now_ns() + (uint64_t)ms * 1000000u;
    struct timespec t = {(time_t)(until / 1000000000u), (long)(until % 1000000000u)};
    pthread_cond_timedwait(&s->changed, &s->mutex, &t);
}

/* s->mutex is held; true when a ping must go out. Marks a silent page dead. */
static bool heartbeat(bridge_session *s, uint64_t *pinged_ns)
{
    uint64_t now = wa__os_now_ns();
    if (now - s->heard_ns > (uint64_t)BRIDGE_SILENCE_MS * 1000000u && *pinged_ns > s->heard_ns) {
        die_locked(s, WA_BROWSER, "the page's worker has not answered for 15 s: it hangs");
        return false;
    }
    if (now - s->heard_ns < (uint64_t)BRIDGE_PING_MS * 1000000u || now - *pinged_ns < (uint64_t)BRIDGE_PING_MS * 1000000u) return false;
    *pinged_ns = now;
    return true;
}

/* Gives a job up: tells the page, waits shortly for its word. s->mutex is held. */
static wa_status give_up(bridge_session *s, bridge_job *j, bool deadline, uint32_t timeout_ms, wa_error *err)
{
    uint64_t end = wa__os_now_ns() + (uint64_t)CANCEL_GRACE_MS * 1000000u;
    pthread_mutex_unlock(&s->mutex);
    wa_status sent = send_frame(s, WA_FRAME_CANCEL, j->id, 0, NULL, NULL, 0, NULL);
    pthread_mutex_lock(&s->mutex);
    while (sent == WA_OK && !j->done && s->state == BRIDGE_READY && wa__os_now_ns() < end) wait_ms(s, POLL_MS);
    if (deadline) {
        char text[200];
        snprintf(text, sizeof text, "a job missed its deadline of %u ms; the GPU may hang, so the browser must be restarted", timeout_ms);
        die_locked(s, WA_TIMEOUT, text);
        return wa__fail(err, WA_TIMEOUT, "%s", text);
    }
    if (!j->done) die_locked(s, WA_BROWSER, "a cancelled job did not end; the GPU may hang, so the browser must be restarted");
    return wa__fail(err, WA_CANCELLED, "cancelled");
}

static wa_status await_locked(bridge_session *s, bridge_job *j, const wa_run_control *c, wa_error *err)
{
    uint32_t timeout_ms = c ? c->timeout_ms : 0, told = 0;
    uint64_t deadline = timeout_ms ? wa__os_now_ns() + (uint64_t)timeout_ms * 1000000u : UINT64_MAX, pinged_ns = 0;
    for (;;) {
        if (j->progress_count != told && c && c->progress) {
            wa_run_progress p = j->progress;
            told = j->progress_count;
            pthread_mutex_unlock(&s->mutex);
            c->progress(c->user, &p);
            pthread_mutex_lock(&s->mutex);
        }
        if (j->done) {
            if (s->state == BRIDGE_DEAD && j->status != WA_OK) return wa__fail(err, s->dead_status, "%s", s->dead_reason);
            return j->status == WA_OK ? WA_OK : wa__fail(err, j->status, "%s", j->message);
        }
        if (s->state == BRIDGE_DEAD) return wa__fail(err, s->dead_status, "%s", s->dead_reason);
        if (c && c->cancel && atomic_load(c->cancel)) return give_up(s, j, false, 0, err);
        if (wa__os_now_ns() >= deadline) return give_up(s, j, true, timeout_ms, err);
        if (heartbeat(s, &pinged_ns)) {
            pthread_mutex_unlock(&s->mutex);
            wa_status pinged = send_frame(s, WA_FRAME_PING, j->id, 0, NULL, NULL, 0, NULL);
            (void)pinged; /* a closed socket is noticed by its own event */
            pthread_mutex_lock(&s->mutex);
            continue;
        }
        wait_ms(s, POLL_MS);
    }
}

/* s->mutex is held; NULL with an error when the session is not ready or has too much to do. */
static bridge_job *new_job(bridge_session *s, uint32_t want, wa_error *err)
{
    bridge_job *j = NULL;
    if (s->state != BRIDGE_READY) {
        wa__fail(err, s->dead_status ? s->dead_status : WA_PROTOCOL, "%s", s->dead_reason);
        return NULL;
    }
    for (uint32_t i = 0; i < BRIDGE_JOBS_MAX && !j; i++)
        if (!s->jobs[i].id) j = &s->jobs[i];
    if (!j) {
        wa__fail(err, WA_LIMIT, "%d jobs are under way in this page", BRIDGE_JOBS_MAX);
        return NULL;
    }
    j->id = ++s->next_job;
    j->want = want;
    j->done = false;
    j->status = WA_OK;
    j->progress_count = 0;
    s->heard_ns = wa__os_now_ns();
    return j;
}

void wa__session_release(bridge_session *s, bridge_job *j)
{
    if (!j) return;
    pthread_mutex_lock(&s->mutex);
    j->id = 0;
    drop_blobs(j);
    json_decref(j->reply);
    j->reply = NULL;
    pthread_mutex_unlock(&s->mutex);
}

/* Long ones stay with the job, the others make the body. */
static uint32_t sort_blobs(bridge_job *j, bridge_blob *const *blobs, uint32_t count, wa_str *body)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool fetched = blobs[i]->size > WA_WIRE_INLINE_BYTES_MAX;
        if (fetched) atomic_fetch_add(&blobs[i]->refs, 1);
        else body[n++] = (wa_str){(const char *)blobs[i]->bytes, blobs[i]->size};
        j->blobs[i] = fetched ? blobs[i] : NULL;
    }
    j->blob_count = count;
    return n;
}

wa_status wa__session_send(bridge_session *s, uint32_t type, uint32_t want, uint32_t seq, json_t *meta, bridge_blob *const *blobs, uint32_t blob_count,
                           bridge_job **out, wa_error *err)
{
    wa_str body[BRIDGE_BLOBS_MAX];
    uint32_t body_count = 0;
    char *text = meta ? json_dumps(meta, JSON_COMPACT) : NULL;
    bool dumped = !meta || text;
    json_decref(meta);
    if (!dumped) return wa__no_memory(err, "a message to the page");
    pthread_mutex_lock(&s->mutex);
    bridge_job *j = new_job(s, want, err);
    wa_status none = s->state == BRIDGE_READY ? WA_LIMIT : s->dead_status ? s->dead_status : WA_PROTOCOL;
    if (j) body_count = sort_blobs(j, blobs, blob_count, body);
    pthread_mutex_unlock(&s->mutex);
    wa_status st = j ? send_frame(s, type, j->id, seq, text, body, body_count, err) : none;
    free(text);
    if (st == WA_OK) {
        *out = j;
        return WA_OK;
    }
    pthread_mutex_lock(&s->mutex);
    if (j && s->state == BRIDGE_DEAD) st = wa__fail(err, s->dead_status, "%s", s->dead_reason);
    pthread_mutex_unlock(&s->mutex);
    wa__session_release(s, j);
    return st;
}

wa_status wa__session_await(bridge_session *s, bridge_job *j, const wa_run_control *c, wa_error *err)
{
    pthread_mutex_lock(&s->mutex);
    wa_status st = await_locked(s, j, c, err);
    pthread_mutex_unlock(&s->mutex);
    return st;
}

wa_status wa__session_call(bridge_session *s, uint32_t type, uint32_t want, json_t *meta, const wa_run_control *c, bridge_job **out, wa_error *err)
{
    bridge_job *j = NULL;
    wa_status st = wa__session_send(s, type, want, 0, meta, NULL, 0, &j, err);
    if (st == WA_OK) st = wa__session_await(s, j, c, err);
    if (out) *out = j;
    else wa__session_release(s, j);
    return st;
}

wa_status wa__bridge_ping(wa_runner *r, uint32_t timeout_ms, wa_error *err)
{
    bridge_session *s = (bridge_session *)r;
    uint64_t start = wa__os_now_ns(), end = start + (uint64_t)timeout_ms * 1000000u;
    WA_TRY(send_frame(s, WA_FRAME_PING, 0, 0, NULL, NULL, 0, err));
    pthread_mutex_lock(&s->mutex);
    while (s->heard_ns < start && s->state == BRIDGE_READY && wa__os_now_ns() < end) wait_ms(s, timeout_ms < POLL_MS ? timeout_ms : POLL_MS);
    wa_status st = s->state == BRIDGE_DEAD ? wa__fail(err, s->dead_status, "%s", s->dead_reason)
                   : s->heard_ns < start   ? wa__fail(err, WA_TIMEOUT, "the page's worker did not answer in %u ms", timeout_ms)
                                           : WA_OK;
    pthread_mutex_unlock(&s->mutex);
    return st;
}

bool wa__bridge_alive(wa_runner *r, const char **why)
{
    bridge_session *s = (bridge_session *)r;
    pthread_mutex_lock(&s->mutex);
    bool alive = s->state == BRIDGE_READY;
    if (why) *why = s->dead_reason; /* written once, before the state is */
    pthread_mutex_unlock(&s->mutex);
    return alive;
}
