/* The HTTP server: checks of Host and Origin, request assembly, answers sent straight from the
 * caller's memory, and the server side of WebSocket upgrades.
 * In: library callbacks on the loop thread. Out: calls of wa_net_server_options.http and ws_open. */
#include "net/net_int.h"
#include "base/limits.h"
#include "base/str.h"
#include <ctype.h>
#include <sys/socket.h>

enum { SLOW_PEER_SECONDS = 30, SEND_BUFFER_BYTES = 2 * 1024 * 1024 };

/* --- checks ------------------------------------------------------------------------------------- */
bool wa__net_host_ok(const net_server *s, const char *host)
{
    return host[0] && (strcmp(host, s->host) == 0 || (s->localhost[0] && strcmp(host, s->localhost) == 0));
}

bool wa__net_origin_ok(const net_server *s, const char *origin)
{
    for (uint32_t i = 0; i < s->origin_count; i++)
        if (strcmp(origin, s->origins[i]) == 0) return true;
    return false;
}

int wa__net_range(const char *range, uint64_t size, uint64_t *first, uint64_t *count)
{
    wa_str r = wa__str(range);
    if (r.len == 0) return 0;
    if (!wa__str_starts(r, "bytes=")) return -1;
    r = (wa_str){r.ptr + 6, r.len - 6};
    const char *dash = memchr(r.ptr, '-', r.len);
    if (!dash) return -1;
    wa_str from = {r.ptr, (size_t)(dash - r.ptr)}, to = {dash + 1, r.len - (size_t)(dash - r.ptr) - 1};
    uint64_t a, b;
    if (from.len == 0) {
        if (!wa__parse_u64(to, &b) || b == 0 || size == 0) return -1;
        *count = b < size ? b : size;
        *first = size - *count;
        return 1;
    }
    if (!wa__parse_u64(from, &a) || a >= size) return -1;
    if (to.len == 0) b = size - 1;
    else if (!wa__parse_u64(to, &b) || b < a) return -1;
    if (b >= size) b = size - 1;
    *first = a;
    *count = b - a + 1;
    return 1;
}

/* --- the request -------------------------------------------------------------------------------- */
static char *copy_header(struct lws *wsi, enum lws_token_indexes token)
{
    int n = lws_hdr_total_length(wsi, token);
    char *s = n >= 0 ? wa__alloc(1, (size_t)n + 1) : NULL;
    if (s && n > 0 && lws_hdr_copy(wsi, s, n + 1, token) < 0) s[0] = 0;
    return s;
}

static char *copy_custom(struct lws *wsi, const char *name)
{
    int n = lws_hdr_custom_length(wsi, name, (int)strlen(name));
    char *s = wa__alloc(1, n > 0 ? (size_t)n + 1 : 1);
    if (s && n > 0 && lws_hdr_custom_copy(wsi, s, n + 1, name, (int)strlen(name)) < 0) s[0] = 0;
    return s;
}

static void finish_answer(net_session *x)
{
    if (x->answering && x->response.done) x->response.done(x->response.done_user);
    x->answering = false;
}

static void session_clear(net_session *x)
{
    finish_answer(x);
    wa__free(x->path), wa__free(x->query), wa__free(x->host), wa__free(x->origin), wa__free(x->range);
    wa__free(x->authorization), wa__free(x->content_type), wa__free(x->fetch_site);
    wa__buf_done(&x->body);
    bool counted = x->counted;
    net_server *server = x->server;
    memset(x, 0, sizeof *x);
    x->counted = counted;
    x->server = server;
}

static bool read_headers(net_session *x, struct lws *wsi)
{
    x->host = copy_header(wsi, WSI_TOKEN_HOST);
    x->origin = copy_header(wsi, WSI_TOKEN_ORIGIN);
    x->range = copy_header(wsi, WSI_TOKEN_HTTP_RANGE);
    x->authorization = copy_header(wsi, WSI_TOKEN_HTTP_AUTHORIZATION);
    x->content_type = copy_header(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE);
    x->query = copy_header(wsi, WSI_TOKEN_HTTP_URI_ARGS);
    x->fetch_site = copy_custom(wsi, "sec-fetch-site:");
    return x->host && x->origin && x->range && x->authorization && x->content_type && x->query && x->fetch_site;
}

static const char *method_of(struct lws *wsi)
{
    static const struct { enum lws_token_indexes token; const char *name; } methods[] = {
        {WSI_TOKEN_GET_URI, "GET"},     {WSI_TOKEN_POST_URI, "POST"},     {WSI_TOKEN_HEAD_URI, "HEAD"},
        {WSI_TOKEN_PUT_URI, "PUT"},     {WSI_TOKEN_DELETE_URI, "DELETE"}, {WSI_TOKEN_PATCH_URI, "PATCH"},
        {WSI_TOKEN_OPTIONS_URI, "OPTIONS"},
    };
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (lws_hdr_total_length(wsi, methods[i].token) > 0) return methods[i].name;
    return NULL;
}

/* --- the answer --------------------------------------------------------------------------------- */
typedef struct header_out {
    struct lws *wsi;
    uint8_t *p, *end;
    bool good;
} header_out;

static void header(header_out *o, const char *name, const char *value)
{
    o->good = o->good && lws_add_http_header_by_name(o->wsi, (const unsigned char *)name, (const unsigned char *)value,
                                                     (int)strlen(value), &o->p, o->end) == 0;
}

static bool send_headers(net_session *x, struct lws *wsi, uint32_t status, uint64_t bytes, const char *content_range)
{
    uint8_t room[LWS_PRE + 4096], *start = room + LWS_PRE;
    header_out o = {wsi, start, room + sizeof room - 1, true};
    const char *type = x->response.content_type ? x->response.content_type : "text/plain; charset=utf-8";
    o.good = lws_add_http_common_headers(wsi, status, type, bytes, &o.p, o.end) == 0;
    header(&o, "cross-origin-opener-policy:", "same-origin");
    header(&o, "cross-origin-embedder-policy:", "require-corp");
    header(&o, "cross-origin-resource-policy:", "same-origin");
    header(&o, "content-security-policy:", x->server->csp);
    header(&o, "x-content-type-options:", "nosniff");
    header(&o, "referrer-policy:", "no-referrer");
    header(&o, "cache-control:", x->response.cacheable ? "private, max-age=3600" : "no-store");
    if (x->close_after) header(&o, "connection:", "close");
    if (x->response.ranges) header(&o, "accept-ranges:", "bytes");
    if (content_range) header(&o, "content-range:", content_range);
    return o.good && lws_finalize_write_http_header(wsi, start, &o.p, o.end) == 0;
}

static int transaction_done(net_session *x, struct lws *wsi)
{
    bool close_after = x->close_after;
    session_clear(x);
    return lws_http_transaction_completed(wsi) || close_after ? -1 : 0;
}

/* Starts sending x->response; it must be complete. */
static int answer(net_session *x, struct lws *wsi)
{
    x->answering = true;
    uint32_t status = x->response.status ? x->response.status : 404;
    char content_range[96] = "";
    x->pos = 0;
    x->end = x->response.body_bytes;
    uint64_t first, count;
    int range = x->response.ranges && status == 200 ? wa__net_range(x->range ? x->range : "", x->end, &first, &count) : 0;
    if (range == 1) {
        status = 206;
        snprintf(content_range, sizeof content_range, "bytes %llu-%llu/%llu", (unsigned long long)first,
                 (unsigned long long)(first + count - 1), (unsigned long long)x->end);
        x->pos = first;
        x->end = first + count;
    } else if (range < 0) {
        status = 416;
        snprintf(content_range, sizeof content_range, "bytes */%llu", (unsigned long long)x->end);
        x->end = 0;
    }
    if (!send_headers(x, wsi, status, x->end - x->pos, content_range[0] ? content_range : NULL)) return -1;
    if (x->head_only || x->pos == x->end) return transaction_done(x, wsi);
    lws_callback_on_writable(wsi);
    return 0;
}

static int refuse(net_session *x, struct lws *wsi, uint32_t status, const char *why)
{
    finish_answer(x);
    x->response = (wa_net_response){.status = status, .body = (const uint8_t *)why, .body_bytes = strlen(why)};
    if (x->range) x->range[0] = 0;
    x->close_after = true; /* a body that follows is not the next request */
    return answer(x, wsi);
}

static int send_body(net_session *x, struct lws *wsi)
{
    if (!x->answering) return 0;
    uint64_t left = x->end - x->pos;
    size_t n = left < NET_CHUNK_BYTES ? (size_t)left : NET_CHUNK_BYTES;
    bool last = n == left;
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, SLOW_PEER_SECONDS);
    /* HTTP/1 with a length writes nothing before the bytes, so that the const memory stays as it is. */
    uint8_t *from = (uint8_t *)(uintptr_t)(x->response.body + x->pos);
    if (lws_write(wsi, from, n, last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < (int)n) return -1;
    x->pos += n;
    if (last) return transaction_done(x, wsi);
    lws_callback_on_writable(wsi);
    return 0;
}

static int call_handler(net_session *x, struct lws *wsi)
{
    const wa_net_request r = {x->method, x->path, x->query, x->host, x->origin, x->range, x->authorization, x->content_type, x->fetch_site,
                              (const uint8_t *)x->body.ptr, x->body.len};
    memset(&x->response, 0, sizeof x->response);
    if (x->server->options.http) x->server->options.http(x->server->options.user, &r, &x->response);
    if (x->response.status == 0) {
        x->response.body = (const uint8_t *)"not found";
        x->response.body_bytes = 9;
    }
    return answer(x, wsi);
}

static int on_request(net_session *x, struct lws *wsi, const char *path, size_t len)
{
    session_clear(x);
    wa__buf_init(&x->body, x->server->options.body_max);
    int buffer = SEND_BUFFER_BYTES;
    setsockopt(lws_get_socket_fd(wsi), SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    x->method = method_of(wsi);
    x->path = wa__strndup(path, len);
    if (!x->path || !read_headers(x, wsi)) return -1;
    if (!wa__net_host_ok(x->server, x->host)) return refuse(x, wsi, 403, "this Host is not served here");
    if (!x->method) return refuse(x, wsi, 405, "this method is not served here");
    x->head_only = strcmp(x->method, "HEAD") == 0;
    bool plain = x->head_only || strcmp(x->method, "GET") == 0;
    if (x->origin[0] ? !wa__net_origin_ok(x->server, x->origin) : !plain) return refuse(x, wsi, 403, "this Origin may not ask");
    char *length = copy_header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    uint64_t n = 0;
    bool good = length && (length[0] == 0 || wa__parse_u64(wa__str(length), &n));
    wa__free(length);
    if (!good) return refuse(x, wsi, 400, "Content-Length is not a number");
    if (n > x->server->options.body_max) return refuse(x, wsi, 413, "the body is too long");
    x->has_body = !plain && n > 0;
    return x->has_body ? 0 : call_handler(x, wsi);
}

/* --- upgrades ----------------------------------------------------------------------------------- */
static int filter_upgrade(net_session *x, struct lws *wsi)
{
    char *path = copy_header(wsi, WSI_TOKEN_GET_URI), *host = copy_header(wsi, WSI_TOKEN_HOST), *origin = copy_header(wsi, WSI_TOKEN_ORIGIN);
    const net_server *s = x->server;
    bool good = path && host && origin && s->ws_path && strcmp(path, s->ws_path) == 0 && wa__net_host_ok(s, host) &&
                wa__net_origin_ok(s, origin);
    wa__free(path), wa__free(host), wa__free(origin);
    if (good) return 0;
    if (lws_return_http_status(wsi, 403, NULL) != 0) return -1;
    return -1;
}

static int on_upgraded(net_session *x, struct lws *wsi)
{
    int buffer = SEND_BUFFER_BYTES; /* a long frame leaves in one piece */
    setsockopt(lws_get_socket_fd(wsi), SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    net_server *s = x->server;
    wa_ws *ws = s->options.ws_open ? wa__ws_new(s->net, false, s->options.message_max) : NULL;
    if (!ws) return -1;
    x->ws = ws;
    ws->has_events = true;
    wa__ws_on_open(ws, wsi);
    return s->options.ws_open(s->options.user, ws, &ws->events) ? 0 : -1;
}

static int count_connection(net_session *x, struct lws *wsi)
{
    x->server = lws_vhost_user(lws_get_vhost(wsi));
    if (!x->server || x->counted) return x->server ? 0 : -1;
    if (x->server->net->connections >= WA_LIMIT_CONNECTIONS) return -1;
    x->server->net->connections++;
    x->counted = true;
    return 0;
}

static void on_closed(net_session *x)
{
    if (!x) return;
    if (x->ws) wa__ws_on_gone(x->ws, "the page closed it");
    x->ws = NULL;
    session_clear(x);
    if (x->counted) x->server->net->connections--;
    x->counted = false;
}

int wa__net_server_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    net_session *x = user;
    switch (reason) {
    case LWS_CALLBACK_HTTP: return count_connection(x, wsi) ? -1 : on_request(x, wsi, in, len);
    case LWS_CALLBACK_HTTP_BODY:
        if (!x->has_body) return 0;
        return wa__buf_append(&x->body, in, len, NULL) == WA_OK ? 0 : -1;
    case LWS_CALLBACK_HTTP_BODY_COMPLETION: return x->has_body && !x->answering ? call_handler(x, wsi) : 0;
    case LWS_CALLBACK_HTTP_WRITEABLE: return send_body(x, wsi);
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION: return count_connection(x, wsi) ? -1 : filter_upgrade(x, wsi);
    case LWS_CALLBACK_ESTABLISHED: return on_upgraded(x, wsi);
    case LWS_CALLBACK_RECEIVE: return x->ws ? wa__ws_on_receive(x->ws, wsi, in, len) : -1;
    case LWS_CALLBACK_SERVER_WRITEABLE: return x->ws ? wa__ws_on_writable(x->ws, wsi) : -1;
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL: on_closed(x); return 0;
    default: return 0;
    }
}
