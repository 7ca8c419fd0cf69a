/* The loop thread: creates the library's context, serves sockets, runs what other threads ask for.
 * In: calls and kicks under wa_net.mutex, woken by lws_cancel_service. Called by net_ws.c, net_http.c. */
#include "net/net_int.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/os.h"
#include "base/str.h"

static void log_line(int level, const char *line)
{
    (void)level;
    wa__log(WA_LOG_DEBUG, "net", "%s", line);
}

static const struct lws_protocols client_protocols[] = {
    {"client", wa__ws_client_callback, 0, 65536, 0, NULL, 0},
    {NULL, NULL, 0, 0, 0, NULL, 0},
};
static const struct lws_protocols server_protocols[] = {
    {"webaccel", wa__net_server_callback, sizeof(net_session), 65536, 0, NULL, 0},
    {NULL, NULL, 0, 0, 0, NULL, 0},
};

static void finish_call(wa_net *n, net_call *c, wa_status s)
{
    pthread_mutex_lock(&n->mutex);
    c->status = s;
    c->done = true;
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->mutex);
}

static void serve_requests(wa_net *n)
{
    pthread_mutex_lock(&n->mutex);
    net_call *calls = n->calls;
    n->calls = NULL;
    pthread_mutex_unlock(&n->mutex);
    while (calls) {
        net_call *c = calls;
        calls = c->next;
        finish_call(n, c, c->fn(n, c->arg, c->err));
    }
    for (;;) {
        /* One at a time: a kick that comes meanwhile goes to the end of the same list. */
        pthread_mutex_lock(&n->mutex);
        wa_ws *w = n->kicks;
        if (w) {
            n->kicks = w->kick_next;
            w->kicked = false;
        }
        pthread_mutex_unlock(&n->mutex);
        if (!w) return;
        if (w->wsi) lws_callback_on_writable(w->wsi);
        wa__ws_release(w);
    }
}

static void *loop(void *arg)
{
    wa_net *n = arg;
    while (!atomic_load(&n->stop)) {
        if (lws_service(n->context, 0) < 0) break;
        serve_requests(n);
    }
    serve_requests(n);
    lws_context_destroy(n->context);
    return NULL;
}

wa_status wa__net_create(wa_net **out, wa_error *err)
{
    wa_net *n = wa__alloc(1, sizeof *n);
    if (!n) return wa__no_memory(err, "the event loop");
    lws_set_log_level(LLL_ERR | LLL_WARN, log_line);
    struct lws_context_creation_info info;
    memset(&info, 0, sizeof info);
    info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DISABLE_IPV6;
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.gid = -1;
    info.uid = -1;
    info.user = n;
    info.pt_serv_buf_size = 65536;
    info.max_http_header_data = WA_LIMIT_HTTP_HEADER_BYTES;
    info.max_http_header_pool = (unsigned short)WA_LIMIT_CONNECTIONS;
    info.timeout_secs = WA_LIMIT_HANDSHAKE_MS / 1000;
    info.keepalive_timeout = 60;
    info.server_string = "webaccel";
    info.protocols = client_protocols;
    info.vhost_name = "client";
    n->context = lws_create_context(&info);
    if (n->context) n->client_vhost = lws_create_vhost(n->context, &info);
    if (!n->client_vhost) {
        if (n->context) lws_context_destroy(n->context);
        wa__free(n);
        return wa__fail(err, WA_IO, "the event loop cannot start (are too many files open?)");
    }
    pthread_mutex_init(&n->mutex, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&n->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&n->thread, NULL, loop, n) != 0) {
        lws_context_destroy(n->context);
        pthread_cond_destroy(&n->changed);
        pthread_mutex_destroy(&n->mutex);
        wa__free(n);
        return wa__fail(err, WA_NO_MEMORY, "the event loop's thread cannot start");
    }
    *out = n;
    return WA_OK;
}

static void server_free(net_server *s)
{
    for (uint32_t i = 0; i < s->origin_count; i++) wa__free(s->origins[i]);
    wa__free(s->ws_path);
    wa__free(s);
}

void wa__net_free(wa_net *n)
{
    if (!n) return;
    atomic_store(&n->stop, true);
    lws_cancel_service(n->context);
    pthread_join(n->thread, NULL);
    while (n->servers) {
        net_server *s = n->servers;
        n->servers = s->next;
        server_free(s);
    }
    pthread_cond_destroy(&n->changed);
    pthread_mutex_destroy(&n->mutex);
    wa__free(n);
}

bool wa__net_wait(wa_net *n, uint64_t deadline_ns)
{
    uint64_t now = wa__os_now_ns();
    if (now >= deadline_ns) return false;
    struct timespec t = {(time_t)(deadline_ns / 1000000000u), (long)(deadline_ns % 1000000000u)};
    pthread_cond_timedwait(&n->changed, &n->mutex, &t);
    return true;
}

wa_status wa__net_call(wa_net *n, wa_status (*fn)(wa_net *, void *, wa_error *), void *arg, wa_error *err)
{
    net_call c = {NULL, fn, arg, err, WA_OK, false};
    pthread_mutex_lock(&n->mutex);
    net_call **end = &n->calls;
    while (*end) end = &(*end)->next;
    *end = &c;
    lws_cancel_service(n->context);
    while (!c.done) pthread_cond_wait(&n->changed, &n->mutex);
    pthread_mutex_unlock(&n->mutex);
    return c.status;
}

/* --- listening ---------------------------------------------------------------------------------- */
static bool add_origin(net_server *s, char *origin)
{
    if (!origin) return false;
    s->origins[s->origin_count++] = origin;
    return true;
}

static bool name_server(net_server *s, const wa_net_server_options *o)
{
    snprintf(s->host, sizeof s->host, "127.0.0.1:%u", (unsigned)s->port);
    if (o->allow_localhost) snprintf(s->localhost, sizeof s->localhost, "localhost:%u", (unsigned)s->port);
    bool good = add_origin(s, wa__format("http://%s", s->host));
    if (o->allow_localhost) good = good && add_origin(s, wa__format("http://%s", s->localhost));
    for (uint32_t i = 0; i < o->origin_count; i++) good = good && add_origin(s, wa__strdup(o->origins[i]));
    const char *csp = o->content_security_policy ? o->content_security_policy : "default-src 'none'; frame-ancestors 'none'";
    const char *mark = strstr(csp, "%u");
    if (mark) snprintf(s->csp, sizeof s->csp, "%.*s%u%s", (int)(mark - csp), csp, (unsigned)s->port, mark + 2);
    else snprintf(s->csp, sizeof s->csp, "%s", csp);
    return good;
}

typedef struct listen_arg {
    const wa_net_server_options *options;
    uint16_t port;
} listen_arg;

static wa_status listen_on_loop(wa_net *n, void *arg, wa_error *err)
{
    listen_arg *a = arg;
    net_server *s = wa__alloc(1, sizeof *s);
    if (!s) return wa__no_memory(err, "a server");
    s->net = n;
    s->options = *a->options;
    s->options.origins = NULL;
    if (s->options.message_max == 0) s->options.message_max = NET_IN_MAX;
    if (s->options.body_max == 0) s->options.body_max = WA_LIMIT_HTTP_BODY_BYTES;
    s->ws_path = a->options->ws_path ? wa__strdup(a->options->ws_path) : NULL;
    char name[32];
    snprintf(name, sizeof name, "server%p", (void *)s);
    struct lws_context_creation_info info;
    memset(&info, 0, sizeof info);
    info.port = 0;
    info.iface = "127.0.0.1";
    info.protocols = server_protocols;
    info.vhost_name = name;
    info.user = s;
    info.timeout_secs = WA_LIMIT_HANDSHAKE_MS / 1000;
    info.keepalive_timeout = 60;
    info.options = LWS_SERVER_OPTION_DISABLE_IPV6;
    if (a->options->ws_path && !s->ws_path) {
        server_free(s);
        return wa__no_memory(err, "a server");
    }
    s->vhost = lws_create_vhost(n->context, &info);
    int port = s->vhost ? lws_get_vhost_listen_port(s->vhost) : 0;
    if (port <= 0 || port > 65535) {
        server_free(s); /* a vhost that was made is the context's, and serves nobody without a port */
        return wa__fail(err, WA_IO, "no port of 127.0.0.1 can be listened on");
    }
    s->port = (uint16_t)port;
    s->next = n->servers;
    n->servers = s;
    a->port = s->port;
    return name_server(s, a->options) ? WA_OK : wa__no_memory(err, "a server");
}

wa_status wa__net_listen(wa_net *n, const wa_net_server_options *options, uint16_t *port, wa_error *err)
{
    if (options->origin_count > NET_ORIGINS_MAX)
        return wa__fail(err, WA_INVALID_ARGUMENT, "%u origins: at most %d", options->origin_count, NET_ORIGINS_MAX);
    listen_arg a = {options, 0};
    WA_TRY(wa__net_call(n, listen_on_loop, &a, err));
    *port = a.port;
    return WA_OK;
}
