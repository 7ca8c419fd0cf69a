/* GET /w/<path of a load>/<what>: weights. <what> is s<n> (source n of the model, as mapped), d (the
 * plan's own data); or /w/bench. Authorized by the session's weights token. Loop thread. */
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

/* The load whose path it is and whose session's token it carries; h->mutex is held. */
static bridge_load *find_load(wa_bridge_host *h, wa_str path, const char *authorization)
{
    for (bridge_session *s = h->sessions; s; s = s->next)
        for (uint32_t i = 0; i < BRIDGE_LOADS_MAX; i++) {
            bridge_load *l = &s->loads[i];
            if (l->used && !l->closing && path.len == BRIDGE_TOKEN_CHARS && wa__equal_secret(l->path, path.ptr, BRIDGE_TOKEN_CHARS))
                return token_ok(s, authorization) ? l : NULL;
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

void wa__bridge_serve_weights(wa_bridge_host *h, const wa_net_request *r, wa_net_response *out)
{
    wa_str rest = {r->path + 3, strlen(r->path) - 3};
    const char *slash = memchr(rest.ptr, '/', rest.len);
    serving *v = wa__alloc(1, sizeof *v);
    if (!v) {
        out->status = 503;
        return;
    }
    pthread_mutex_lock(&h->mutex);
    if (wa__str_is(rest, "bench")) serve_bench(h, r->authorization, out);
    bridge_load *l = slash ? find_load(h, (wa_str){rest.ptr, (size_t)(slash - rest.ptr)}, r->authorization) : NULL;
    if (l && pick(l, (wa_str){slash + 1, rest.len - (size_t)(slash + 1 - rest.ptr)}, out)) {
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
