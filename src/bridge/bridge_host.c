/* The host: the loop and server, tickets, the page's files, and the list of sessions.
 * In: HTTP requests and new WebSockets (loop thread), calls of bridge.h (any thread). */
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/os.h"
#include "bridge/bridge_int.h"

static const char CSP[] = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws://127.0.0.1:%u; worker-src 'self'; "
                          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
enum { TICKETS_MAX = 64, SESSIONS_MAX = 64, TICKET_LIFE_S = 600 };

wa_status wa__bridge_token(char out[BRIDGE_TOKEN_CHARS + 1], wa_error *err)
{
    uint8_t bytes[BRIDGE_TOKEN_CHARS / 2];
    WA_TRY(wa__os_random(bytes, sizeof bytes, err));
    wa__hex(bytes, sizeof bytes, out);
    return WA_OK;
}

void wa__host_changed(wa_bridge_host *h)
{
    pthread_mutex_lock(&h->mutex);
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->mutex);
}

/* --- the page's files --------------------------------------------------------------------------- */
static const char *type_of(const char *path)
{
    wa_str p = wa__str(path);
    if (wa__str_ends(p, ".html")) return "text/html; charset=utf-8";
    if (wa__str_ends(p, ".js")) return "text/javascript; charset=utf-8";
    if (wa__str_ends(p, ".css")) return "text/css; charset=utf-8";
    return NULL;
}

static wa_status add_file(wa_bridge_host *h, const char *name, const uint8_t *data, size_t size, uint8_t *owned, wa_error *err)
{
    bridge_file *files = wa__realloc(h->files, (h->file_count + 1) * sizeof *files);
    if (!files) return wa__no_memory(err, "the page's files");
    h->files = files;
    bridge_file *f = &files[h->file_count];
    snprintf(f->path, sizeof f->path, "/%s", name);
    f->type = type_of(name);
    f->data = data;
    f->size = size;
    f->owned = owned;
    h->file_count++;
    return WA_OK;
}

static wa_status read_folder(wa_bridge_host *h, const char *dir, wa_error *err)
{
    char **names = NULL;
    size_t count = 0;
    WA_TRY(wa__os_list(dir, &names, &count, err));
    wa_status s = WA_OK;
    for (size_t i = 0; i < count && s == WA_OK; i++) {
        if (!type_of(names[i]) || strlen(names[i]) > 60) continue;
        char *path = wa__path_join(dir, names[i]);
        wa_buf b;
        wa__buf_init(&b, 1 << 20);
        s = path ? wa__os_read_file(path, &b, err) : wa__no_memory(err, "the page's files");
        wa__free(path);
        if (s == WA_OK) s = add_file(h, names[i], (const uint8_t *)b.ptr, b.len, (uint8_t *)b.ptr, err);
        if (s != WA_OK) wa__buf_done(&b);
    }
    wa__os_list_free(names, count);
    return s;
}

static void on_http(void *user, const wa_net_request *r, wa_net_response *out)
{
    wa_bridge_host *h = user;
    if (strcmp(r->method, "GET") != 0 && strcmp(r->method, "HEAD") != 0) {
        *out = (wa_net_response){.status = 405, .body = (const uint8_t *)"only GET", .body_bytes = 8};
        return;
    }
    if (wa__str_starts(wa__str(r->path), "/w/")) {
        wa__bridge_serve_weights(h, r, out);
        return;
    }
    const char *path = strcmp(r->path, "/") == 0 ? "/index.html" : r->path;
    for (size_t i = 0; i < h->file_count; i++) {
        if (strcmp(path, h->files[i].path) != 0) continue;
        *out = (wa_net_response){.status = 200, .content_type = h->files[i].type, .body = h->files[i].data, .body_bytes = h->files[i].size};
        return;
    }
}

/* --- sessions ----------------------------------------------------------------------------------- */
static void on_message(void *user, wa_ws *ws, const uint8_t *data, size_t bytes, bool binary)
{
    if (!wa__session_on_message(user, data, bytes, binary)) wa__ws_shut(ws);
}

static void on_closed(void *user, wa_ws *ws)
{
    (void)ws;
    bridge_session *s = user;
    wa__session_die(s, WA_BROWSER, "the page closed its connection: the tab or the browser ended");
    wa_bridge_host *h = s->host;
    pthread_mutex_lock(&h->mutex);
    s->socket_gone = true;
    wa__session_sweep(h);
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->mutex);
}

/* With h->mutex held. Connections that never said hello are shut on the way. */
static uint32_t session_count(wa_bridge_host *h)
{
    uint32_t n = 0;
    uint64_t now = wa__os_now_ns();
    for (bridge_session *s = h->sessions; s; s = s->next, n++)
        if (!s->ticket && !s->socket_gone && now - s->opened_ns > (uint64_t)WA_LIMIT_HANDSHAKE_MS * 1000000u) wa__ws_shut(s->ws);
    return n;
}

static bool on_open(void *user, wa_ws *ws, wa_ws_events *events)
{
    wa_bridge_host *h = user;
    bridge_session *s = wa__session_new(h, ws);
    if (!s) return false;
    pthread_mutex_lock(&h->mutex);
    bool room = session_count(h) < SESSIONS_MAX;
    if (room) {
        s->next = h->sessions;
        h->sessions = s;
    }
    pthread_mutex_unlock(&h->mutex);
    if (!room) {
        wa__session_free(s);
        return false;
    }
    *events = (wa_ws_events){on_message, on_closed, s};
    return true;
}

/* --- tickets ------------------------------------------------------------------------------------ */
wa_status wa__bridge_host_url(wa_bridge_host *h, const char *webnn, char **url, uint64_t *ticket, wa_error *err)
{
    bridge_ticket *t = wa__alloc(1, sizeof *t);
    if (!t) return wa__no_memory(err, "a ticket");
    wa_status s = wa__bridge_token(t->token, err);
    bool asks = webnn && *webnn;
    char *text = s == WA_OK ? wa__format("http://127.0.0.1:%u/#%s%s%s", (unsigned)h->port, t->token, asks ? "." : "", asks ? webnn : "") : NULL;
    if (!text) {
        wa__free(t);
        return s == WA_OK ? wa__no_memory(err, "a URL") : s;
    }
    pthread_mutex_lock(&h->mutex);
    t->id = ++h->next_ticket;
    t->made_ns = wa__os_now_ns();
    t->next = h->tickets;
    h->tickets = t;
    uint32_t n = 0;
    bridge_ticket *cut = NULL;
    for (bridge_ticket *p = h->tickets; p; p = p->next)
        if (++n == TICKETS_MAX) cut = p->next, p->next = NULL;
    *ticket = t->id;
    pthread_mutex_unlock(&h->mutex);
    while (cut) {
        bridge_ticket *next = cut->next;
        wa__free(cut);
        cut = next;
    }
    *url = text;
    return WA_OK;
}

uint64_t wa__host_redeem(wa_bridge_host *h, wa_str token, uint64_t *made_ns)
{
    uint64_t id = 0, now = wa__os_now_ns();
    if (token.len != BRIDGE_TOKEN_CHARS) return 0;
    pthread_mutex_lock(&h->mutex);
    for (bridge_ticket **p = &h->tickets; *p;) {
        bridge_ticket *t = *p;
        bool same = wa__equal_secret(t->token, token.ptr, BRIDGE_TOKEN_CHARS);
        bool stale = now - t->made_ns > (uint64_t)TICKET_LIFE_S * 1000000000u;
        if (same && !stale) {
            id = t->id;
            *made_ns = t->made_ns;
        }
        if (same || stale) {
            *p = t->next;
            wa__free(t);
        } else {
            p = &t->next;
        }
    }
    pthread_mutex_unlock(&h->mutex);
    return id;
}

/* --- create, wait, free -------------------------------------------------------------------------- */
wa_status wa__bridge_host_create(const char *page_dir, wa_bridge_host **out, wa_error *err)
{
    wa_bridge_host *h = wa__alloc(1, sizeof *h);
    if (!h) return wa__no_memory(err, "the bridge's host");
    pthread_mutex_init(&h->mutex, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&h->changed, &attr);
    pthread_condattr_destroy(&attr);
    wa_status s = WA_OK;
    if (page_dir) s = read_folder(h, page_dir, err);
    for (size_t i = 0; !page_dir && i < wa__page_file_count && s == WA_OK; i++)
        s = add_file(h, wa__page_files[i].path, wa__page_files[i].data, wa__page_files[i].size, NULL, err);
    if (s == WA_OK) s = wa__net_create(&h->net, err);
    const wa_net_server_options o = {.content_security_policy = CSP, .ws_path = "/ws", .body_max = 1, .http = on_http, .ws_open = on_open, .user = h,
                                     .message_max = WA_WIRE_BODY_BYTES_MAX + WA_WIRE_HEADER_BYTES + BRIDGE_META_MAX};
    if (s == WA_OK) s = wa__net_listen(h->net, &o, &h->port, err);
    if (s != WA_OK) {
        wa__bridge_host_free(h);
        return s;
    }
    *out = h;
    return WA_OK;
}

uint16_t wa__bridge_host_port(const wa_bridge_host *h) { return h->port; }

void wa__bridge_host_free(wa_bridge_host *h)
{
    if (!h) return;
    wa__net_free(h->net); /* closes every connection; no callback runs after it */
    while (h->sessions) {
        bridge_session *s = h->sessions;
        h->sessions = s->next;
        wa__session_free(s);
    }
    while (h->tickets) {
        bridge_ticket *t = h->tickets;
        h->tickets = t->next;
        wa__free(t);
    }
    for (size_t i = 0; i < h->file_count; i++) wa__free(h->files[i].owned);
    wa__free(h->files);
    wa__free(h->bench);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->mutex);
    wa__free(h);
}

/* With h->mutex held: the session that redeemed the ticket. */
static bridge_session *find_session(wa_bridge_host *h, uint64_t ticket)
{
    for (bridge_session *s = h->sessions; s; s = s->next)
        if (s->ticket == ticket) return s;
    return NULL;
}

static wa_status take(bridge_session *s, const wa_bridge_wants *w, wa_error *err)
{
    pthread_mutex_lock(&s->mutex);
    wa_status st = WA_OK;
    const char *error = json_string_value(json_object_get(s->hello, "error"));
    if (s->state == BRIDGE_DEAD) st = wa__fail(err, s->dead_status, "%s", s->dead_reason);
    else if (w->webnn && !s->target.webnn) st = wa__fail(err, WA_ADAPTER, "no WebNN: %s", s->info.webnn_error[0] ? s->info.webnn_error : "the page asked for none");
    else if (error && !w->webnn) st = wa__fail(err, WA_ADAPTER, "%s", error);
    else s->taken = true;
    bool named = s->target.adapter_vendor[0] || s->target.adapter_device[0] || s->target.adapter_description[0];
    if (st == WA_OK && w->probably_software && !named && !s->target.adapter_software) {
        s->target.adapter_software = true;
        s->info.software_reason = "the browser names no adapter, and this machine has no GPU that is known";
    }
    pthread_mutex_unlock(&s->mutex);
    return st;
}

void wa__session_sweep(wa_bridge_host *h)
{
    for (bridge_session **p = &h->sessions; *p;) {
        bridge_session *s = *p;
        bool waits = s->ticket && !s->taken && !s->given_up;
        if (!s->socket_gone || s->taken || waits) {
            p = &s->next;
            continue;
        }
        *p = s->next;
        wa__session_free(s);
    }
}

wa_status wa__bridge_host_wait(wa_bridge_host *h, uint64_t ticket, const wa_bridge_wants *wants, wa_runner **out, wa_error *err)
{
    const wa_bridge_wants defaults = {0}, *w = wants ? wants : &defaults;
    uint32_t timeout_ms = w->timeout_ms ? w->timeout_ms : 30000;
    uint64_t deadline = wa__os_now_ns() + (uint64_t)timeout_ms * 1000000u;
    for (;;) {
        if (w->cancel && atomic_load(w->cancel)) return wa__fail(err, WA_CANCELLED, "cancelled while a page was awaited");
        if (w->alive && !w->alive(w->user)) return wa__fail(err, WA_BROWSER, "the browser ended before its page said hello");
        uint64_t now = wa__os_now_ns();
        if (now >= deadline) return wa__fail(err, WA_TIMEOUT, "no page said hello in %u ms", timeout_ms);
        uint64_t until = now + 50000000u < deadline ? now + 50000000u : deadline;
        struct timespec t = {(time_t)(until / 1000000000u), (long)(until % 1000000000u)};
        pthread_mutex_lock(&h->mutex);
        bridge_session *s = find_session(h, ticket);
        if (!s) pthread_cond_timedwait(&h->changed, &h->mutex, &t);
        if (!s) s = find_session(h, ticket);
        pthread_mutex_unlock(&h->mutex);
        if (!s) continue;
        wa_status taken = take(s, w, err);
        if (taken == WA_OK) {
            *out = &s->runner;
            return WA_OK;
        }
        if (s->ws) wa__ws_shut(s->ws);
        pthread_mutex_lock(&h->mutex);
        s->given_up = true;
        wa__session_sweep(h);
        pthread_mutex_unlock(&h->mutex);
        return taken;
    }
}
