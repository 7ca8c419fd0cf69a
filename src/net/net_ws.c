/* WebSockets of either side: queues between the loop thread and everybody else.
 * In: library callbacks (net_http.c for servers, the client callback here) and the calls of net.h. */
#include "net/net_int.h"
#include "base/limits.h"
#include "base/os.h"
#include "base/str.h"

static void free_messages(ws_message *m)
{
    while (m) {
        ws_message *next = m->next;
        wa__free(m);
        m = next;
    }
}

wa_ws *wa__ws_new(wa_net *n, bool client, size_t message_max)
{
    wa_ws *ws = wa__alloc(1, sizeof *ws);
    if (!ws) return NULL;
    ws->net = n;
    ws->client = client;
    ws->message_max = message_max;
    atomic_init(&ws->holds, 1);
    wa__buf_init(&ws->partial, message_max);
    return ws;
}

wa_ws *wa__ws_hold(wa_ws *ws)
{
    atomic_fetch_add(&ws->holds, 1);
    return ws;
}

void wa__ws_release(wa_ws *ws)
{
    if (!ws || atomic_fetch_sub(&ws->holds, 1) != 1) return;
    free_messages(ws->out_first);
    free_messages(ws->in_first);
    wa__buf_done(&ws->partial);
    wa__free(ws);
}

void wa__ws_kick(wa_ws *ws)
{
    if (ws->kicked) return;
    ws->kicked = true;
    wa__ws_hold(ws);
    ws->kick_next = NULL;
    wa_ws **end = &ws->net->kicks;
    while (*end) end = &(*end)->kick_next;
    *end = ws;
    lws_cancel_service(ws->net->context);
}

void wa__ws_shut(wa_ws *ws)
{
    pthread_mutex_lock(&ws->net->mutex);
    if (!ws->closing && ws->state != WS_CLOSED) {
        ws->closing = true;
        wa__ws_kick(ws);
    }
    pthread_mutex_unlock(&ws->net->mutex);
}

void wa__ws_close(wa_ws *ws)
{
    if (!ws) return;
    wa__ws_shut(ws);
    wa__ws_release(ws);
}

bool wa__ws_is_open(wa_ws *ws)
{
    pthread_mutex_lock(&ws->net->mutex);
    bool open = ws->state == WS_OPEN && !ws->closing;
    pthread_mutex_unlock(&ws->net->mutex);
    return open;
}

wa_status wa__ws_send_parts(wa_ws *ws, bool binary, const wa_str *parts, uint32_t part_count, wa_error *err)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < part_count; i++) {
        if (parts[i].len > NET_OUT_MAX - bytes) return wa__fail(err, WA_LIMIT, "a WebSocket message of more than %zu bytes", NET_OUT_MAX);
        bytes += parts[i].len;
    }
    ws_message *m = wa__alloc(1, sizeof *m + LWS_PRE + bytes);
    if (!m) return wa__no_memory(err, "a WebSocket message");
    m->bytes = bytes;
    m->binary = binary;
    size_t at = LWS_PRE;
    for (uint32_t i = 0; i < part_count; i++) {
        if (parts[i].len) memcpy(m->data + at, parts[i].ptr, parts[i].len);
        at += parts[i].len;
    }
    wa_status s = WA_OK;
    pthread_mutex_lock(&ws->net->mutex);
    if (ws->state != WS_OPEN || ws->closing) {
        s = wa__fail(err, WA_IO, "the WebSocket is closed%s%s", ws->reason[0] ? ": " : "", ws->reason);
    } else if (ws->out_bytes + bytes > NET_OUT_MAX) {
        s = wa__fail(err, WA_LIMIT, "more than %zu bytes wait to be sent: the peer is not reading", NET_OUT_MAX);
    } else {
        if (ws->out_last) ws->out_last->next = m;
        else ws->out_first = m;
        ws->out_last = m;
        ws->out_bytes += bytes;
        m = NULL;
        wa__ws_kick(ws);
    }
    pthread_mutex_unlock(&ws->net->mutex);
    wa__free(m);
    return s;
}

wa_status wa__ws_send_text(wa_ws *ws, wa_str text, wa_error *err) { return wa__ws_send_parts(ws, false, &text, 1, err); }

wa_status wa__ws_receive(wa_ws *ws, uint32_t timeout_ms, wa_buf *message, bool *binary, wa_error *err)
{
    uint64_t deadline = wa__os_now_ns() + (uint64_t)timeout_ms * 1000000u;
    wa_status s = WA_OK;
    pthread_mutex_lock(&ws->net->mutex);
    while (!ws->in_first && ws->state == WS_OPEN && wa__net_wait(ws->net, deadline)) {
    }
    ws_message *m = ws->in_first;
    if (m) {
        ws->in_first = m->next;
        if (!m->next) ws->in_last = NULL;
        ws->in_bytes -= m->bytes;
    } else if (ws->state != WS_OPEN) {
        s = wa__fail(err, WA_IO, "the WebSocket is closed%s%s", ws->reason[0] ? ": " : "", ws->reason);
    } else {
        s = wa__fail(err, WA_TIMEOUT, "no message came in %u ms", timeout_ms);
    }
    pthread_mutex_unlock(&ws->net->mutex);
    if (!m) return s;
    wa__buf_clear(message);
    s = wa__buf_append(message, m->data, m->bytes, err);
    *binary = m->binary;
    wa__free(m);
    return s;
}

/* --- loop thread -------------------------------------------------------------------------------- */
static int deliver(wa_ws *ws)
{
    size_t n = ws->partial.len;
    if (ws->has_events) {
        if (ws->events.message) ws->events.message(ws->events.user, ws, (const uint8_t *)(n ? ws->partial.ptr : ""), n, ws->partial_binary);
        wa__buf_clear(&ws->partial);
        return 0;
    }
    ws_message *m = wa__alloc(1, sizeof *m + n);
    if (!m) return -1;
    if (n) memcpy(m->data, ws->partial.ptr, n);
    m->bytes = n;
    m->binary = ws->partial_binary;
    wa__buf_clear(&ws->partial);
    pthread_mutex_lock(&ws->net->mutex);
    bool fits = ws->in_bytes + n <= NET_IN_MAX;
    if (fits) {
        if (ws->in_last) ws->in_last->next = m;
        else ws->in_first = m;
        ws->in_last = m;
        ws->in_bytes += n;
        m = NULL;
        pthread_cond_broadcast(&ws->net->changed);
    } else {
        snprintf(ws->reason, sizeof ws->reason, "more than %zu bytes arrived unread", NET_IN_MAX);
    }
    pthread_mutex_unlock(&ws->net->mutex);
    wa__free(m);
    return fits ? 0 : -1;
}

int wa__ws_on_receive(wa_ws *ws, struct lws *wsi, const void *in, size_t len)
{
    if (ws->closing) return 0;
    if (lws_is_first_fragment(wsi)) {
        wa__buf_clear(&ws->partial);
        ws->partial_binary = lws_frame_is_binary(wsi) != 0;
    }
    if (wa__buf_append(&ws->partial, in, len, NULL) != WA_OK) {
        pthread_mutex_lock(&ws->net->mutex);
        snprintf(ws->reason, sizeof ws->reason, "a message passed %zu bytes", ws->message_max);
        pthread_mutex_unlock(&ws->net->mutex);
        lws_close_reason(wsi, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, NULL, 0);
        return -1;
    }
    return lws_is_final_fragment(wsi) ? deliver(ws) : 0;
}

/* Sends one frame of the message at the head of the queue. */
static int send_some(wa_ws *ws, struct lws *wsi, ws_message *m)
{
    size_t n = m->bytes - m->sent;
    if (!ws->client && n > NET_FRAGMENT_BYTES) n = NET_FRAGMENT_BYTES;
    bool last = m->sent + n == m->bytes;
    int flags = lws_write_ws_flags(m->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT, m->sent == 0, last);
    if (lws_write(wsi, m->data + LWS_PRE + m->sent, n, (enum lws_write_protocol)flags) < (int)n) return -1;
    m->sent += n;
    return 0;
}

int wa__ws_on_writable(wa_ws *ws, struct lws *wsi)
{
    pthread_mutex_lock(&ws->net->mutex);
    ws_message *m = ws->out_first; /* only this thread removes from the head */
    bool closing = ws->closing;
    pthread_mutex_unlock(&ws->net->mutex);
    if (!m) {
        if (!closing) return 0;
        lws_close_reason(wsi, LWS_CLOSE_STATUS_NORMAL, NULL, 0);
        return -1;
    }
    if (send_some(ws, wsi, m) != 0) return -1;
    bool sent = m->sent == m->bytes;
    pthread_mutex_lock(&ws->net->mutex);
    if (sent) {
        ws->out_first = m->next;
        if (!m->next) ws->out_last = NULL;
        ws->out_bytes -= m->bytes;
    }
    bool more = ws->out_first != NULL || ws->closing;
    pthread_mutex_unlock(&ws->net->mutex);
    if (sent) wa__free(m);
    if (more) lws_callback_on_writable(wsi);
    return 0;
}

void wa__ws_on_open(wa_ws *ws, struct lws *wsi)
{
    ws->wsi = wsi;
    pthread_mutex_lock(&ws->net->mutex);
    ws->state = WS_OPEN;
    bool write = ws->out_first != NULL || ws->closing;
    pthread_cond_broadcast(&ws->net->changed);
    pthread_mutex_unlock(&ws->net->mutex);
    if (write) lws_callback_on_writable(wsi);
}

void wa__ws_on_gone(wa_ws *ws, const char *reason)
{
    ws->wsi = NULL;
    pthread_mutex_lock(&ws->net->mutex);
    bool first = ws->state != WS_CLOSED, was_open = ws->state == WS_OPEN;
    ws->state = WS_CLOSED;
    if (first && !ws->reason[0]) snprintf(ws->reason, sizeof ws->reason, "%s", reason);
    pthread_cond_broadcast(&ws->net->changed);
    pthread_mutex_unlock(&ws->net->mutex);
    if (!first) return;
    if (was_open && ws->has_events && ws->events.closed) ws->events.closed(ws->events.user, ws);
    wa__ws_release(ws);
}

/* --- the client --------------------------------------------------------------------------------- */
int wa__ws_client_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    wa_ws *ws = user;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_ESTABLISHED: wa__ws_on_open(ws, wsi); return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE: return wa__ws_on_receive(ws, wsi, in, len);
    case LWS_CALLBACK_CLIENT_WRITEABLE: return wa__ws_on_writable(ws, wsi);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR: {
        char text[120];
        snprintf(text, sizeof text, "%.*s", in ? (int)(len < 119 ? len : 119) : 10, in ? (const char *)in : "no answer");
        if (ws) wa__ws_on_gone(ws, text);
        return 0;
    }
    case LWS_CALLBACK_CLIENT_CLOSED:
        if (ws) wa__ws_on_gone(ws, "the peer closed it");
        return 0;
    default: return 0;
    }
}

typedef struct connect_arg {
    wa_ws *ws;
    char host[128], address[128], path[1024];
    int port;
} connect_arg;

static wa_status parse_url(const char *url, connect_arg *a, wa_error *err)
{
    wa_str u = wa__str(url);
    const char *slash = NULL, *colon = NULL;
    if (wa__str_starts(u, "ws://")) {
        slash = strchr(url + 5, '/');
        if (!slash) slash = url + u.len;
        for (const char *p = url + 5; p < slash; p++)
            if (*p == ':') colon = p;
    }
    uint64_t port = 0;
    size_t host = colon ? (size_t)(colon - (url + 5)) : 0;
    size_t authority = slash ? (size_t)(slash - (url + 5)) : 0;
    if (host == 0 || authority >= sizeof a->host || strlen(slash) >= sizeof a->path ||
        !wa__parse_u64((wa_str){colon + 1, (size_t)(slash - colon - 1)}, &port) || port == 0 || port > 65535)
        return wa__fail(err, WA_INVALID_ARGUMENT, "%.200s: want ws://HOST:PORT/PATH", url);
    memcpy(a->host, url + 5, authority);
    memcpy(a->address, url + 5, host);
    snprintf(a->path, sizeof a->path, "%s", *slash ? slash : "/");
    a->port = (int)port;
    return WA_OK;
}

static wa_status connect_on_loop(wa_net *n, void *arg, wa_error *err)
{
    connect_arg *a = arg;
    struct lws_client_connect_info i;
    memset(&i, 0, sizeof i);
    i.context = n->context;
    i.vhost = n->client_vhost;
    i.address = a->address;
    i.port = a->port;
    i.path = a->path;
    i.host = a->host;
    i.local_protocol_name = "client";
    i.userdata = a->ws;
    wa__ws_hold(a->ws); /* the loop's own, given up in wa__ws_on_gone */
    wa__ws_hold(a->ws);
    if (!lws_client_connect_via_info(&i)) wa__ws_on_gone(a->ws, "refused");
    wa__ws_release(a->ws);
    (void)err;
    return WA_OK;
}

/* A connection whose caller gave up gets no events, should it open after all. */
static wa_status abandon_on_loop(wa_net *n, void *arg, wa_error *err)
{
    (void)n, (void)err;
    ((wa_ws *)arg)->has_events = false;
    return WA_OK;
}

wa_status wa__ws_connect(wa_net *n, const char *url, const wa_ws_events *events, uint32_t timeout_ms, wa_ws **out, wa_error *err)
{
    connect_arg a;
    memset(&a, 0, sizeof a);
    WA_TRY(parse_url(url, &a, err));
    uint64_t deadline = wa__os_now_ns() + (uint64_t)timeout_ms * 1000000u;
    wa_ws *ws = wa__ws_new(n, true, NET_IN_MAX);
    if (!ws) return wa__no_memory(err, "a WebSocket");
    if (events) ws->events = *events;
    ws->has_events = events != NULL;
    a.ws = ws;
    wa_status s = wa__net_call(n, connect_on_loop, &a, err);
    pthread_mutex_lock(&n->mutex);
    while (s == WA_OK && ws->state == WS_CONNECTING)
        if (!wa__net_wait(n, deadline)) s = wa__fail(err, WA_TIMEOUT, "%s: no answer in %u ms", url, timeout_ms);
    if (s == WA_OK && ws->state == WS_CLOSED) s = wa__fail(err, WA_IO, "%s: %s", url, ws->reason);
    pthread_mutex_unlock(&n->mutex);
    if (s != WA_OK) {
        wa__ws_shut(ws);
        wa_status abandoned = wa__net_call(n, abandon_on_loop, ws, NULL);
        (void)abandoned;
        wa__ws_release(ws);
        return s;
    }
    *out = ws;
    return WA_OK;
}
