/* GET /w/<path of a load>/<what>: weights, where <what> is s<n> (source n of the model, as mapped) or d (the plan's
 * own data), and b<job>.<i>, what write i of a run puts; or /w/bench. Authorized by the session's weights token.
 * Loop thread. */
#include "base/hash.h"
#include "bridge/bridge_int.h"

typedef struct serving {
    wa_bridge_host *host;
    bridge_load *load;
} serving;

static void served(void *user)
{
    serving *v = user;
    pthread_mutex_lock(&v->host->mutex);
    v->load->serving--;
    pthread_cond_broadcast(&v->host->changed);
    pthread_mutex_unlock(&v->host->mutex);
    wa__free(v);
}

static bool token_ok(const bridge_session *s, const char *authorization)
{
    wa_str a = wa__str(authorization);
    return s->weights_token[0] && a.len == 7 + BRIDGE_TOKEN_CHARS && wa__str_starts(a, "Bearer ") &&
           wa__equal_secret(a.ptr + 7, s->weights_token, BRIDGE_TOKEN_CHARS);
}

/* The load whose path it is and whose session's token it carries, and that session; h->mutex is held. */
static bridge_load *find_load(wa_bridge_host *h, wa_str path, const char *authorization, bridge_session **of)
{
    for (bridge_session *s = h->sessions; s; s = s->next)
        for (uint32_t i = 0; i < BRIDGE_LOADS_MAX; i++) {
            bridge_load *l = &s->loads[i];
            if (l->used && !l->closing && path.len == BRIDGE_TOKEN_CHARS && wa__equal_secret(l->path, path.ptr, BRIDGE_TOKEN_CHARS))
                return *of = s, token_ok(s, authorization) ? l : NULL;
        }
    return NULL;
}

static bool pick(const bridge_load *l, wa_str what, wa_net_response *out)
{
    uint64_t n;
    if (wa__str_is(what, "d")) {
        out->body = l->plan->data;
        out->body_bytes = l->plan->data_length;
        return true;
    }
    if (what.len < 2 || what.ptr[0] != 's' || !wa__parse_u64((wa_str){what.ptr + 1, what.len - 1}, &n) || n >= l->source_count) return false;
    out->body = l->sources[n].data;
    out->body_bytes = l->sources[n].size;
    return true;
}

static void serve_bench(wa_bridge_host *h, const char *authorization, wa_net_response *out)
{
    bool good = false;
    for (bridge_session *s = h->sessions; s && !good; s = s->next) good = token_ok(s, authorization);
    if (good && h->bench)
        *out = (wa_net_response){.status = 200, .content_type = "application/octet-stream", .body = h->bench, .body_bytes = BRIDGE_BENCH_BYTES, .ranges = true};
}

static void drop_blob(void *blob) { wa__blob_drop(blob); }

/* "<job>.<write>" */
static bool pick_blob(bridge_session *s, wa_str what, wa_net_response *out)
{
    const char *dot = memchr(what.ptr, '.', what.len);
    uint64_t job, i;
    bridge_blob *b = NULL;
    if (!dot || !wa__parse_u64((wa_str){what.ptr, (size_t)(dot - what.ptr)}, &job) || !wa__parse_u64((wa_str){dot + 1, what.len - (size_t)(dot + 1 - what.ptr)}, &i)) return false;
    pthread_mutex_lock(&s->mutex);
    for (uint32_t k = 0; k < BRIDGE_JOBS_MAX && job; k++)
        if (s->jobs[k].id == job && i < s->jobs[k].blob_count) b = s->jobs[k].blobs[i];
    if (b) atomic_fetch_add(&b->refs, 1);
    pthread_mutex_unlock(&s->mutex);
    if (!b) return false;
    *out = (wa_net_response){.status = 200, .content_type = "application/octet-stream", .body = b->bytes, .body_bytes = b->size, .ranges = true, .done = drop_blob, .done_user = b};
    return true;
}

/* The path's load with its session, and what of it is meant; NULL when there is none. h->mutex is held. */
static bridge_load *load_of(wa_bridge_host *h, const wa_net_request *r, bridge_session **of, wa_str *what)
{
    wa_str rest = {r->path + 3, strlen(r->path) - 3};
    const char *slash = memchr(rest.ptr, '/', rest.len);
    if (!slash) return NULL;
    *what = (wa_str){slash + 1, rest.len - (size_t)(slash + 1 - rest.ptr)};
    return find_load(h, (wa_str){rest.ptr, (size_t)(slash - rest.ptr)}, r->authorization, of);
}

void wa__bridge_serve_weights(wa_bridge_host *h, const wa_net_request *r, wa_net_response *out)
{
    bridge_session *s;
    wa_str what;
    serving *v = wa__alloc(1, sizeof *v);
    if (!v) {
        out->status = 503;
        return;
    }
    pthread_mutex_lock(&h->mutex);
    if (strcmp(r->path, "/w/bench") == 0) serve_bench(h, r->authorization, out);
    bridge_load *l = load_of(h, r, &s, &what);
    if (l && what.len > 1 && what.ptr[0] == 'b') {
        (void)!pick_blob(s, (wa_str){what.ptr + 1, what.len - 1}, out); /* else 404 */
    } else if (l && pick(l, what, out)) {
        *v = (serving){h, l};
        l->serving++;
        out->status = 200;
        out->content_type = "application/octet-stream";
        out->ranges = true;
        out->done = served;
        out->done_user = v;
        v = NULL;
    }
    pthread_mutex_unlock(&h->mutex);
    wa__free(v);
}
