/* net: the HTTP server's checks, ranges and caps over raw sockets, and WebSockets both ways on loopback. */
#include "tests.h"
#include "base/os.h"
#include "base/str.h"
#include "net/net.h"
#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct server {
    wa_net *net;
    uint16_t port;
    uint8_t *big;
    size_t big_bytes;
    atomic_int done, closed, opened;
    char last_body[64];
} server;

static void count_done(void *user) { atomic_fetch_add(&((server *)user)->done, 1); }

static void on_http(void *user, const wa_net_request *r, wa_net_response *out)
{
    server *s = user;
    if (!strcmp(r->path, "/big")) {
        *out = (wa_net_response){.status = 200, .content_type = "application/octet-stream", .body = s->big, .body_bytes = s->big_bytes,
                                 .ranges = true, .done = count_done, .done_user = s};
    } else if (!strcmp(r->path, "/post") && !strcmp(r->method, "POST")) {
        snprintf(s->last_body, sizeof s->last_body, "%.*s", (int)r->body_bytes, r->body ? (const char *)r->body : "");
        *out = (wa_net_response){.status = 200, .body = (const uint8_t *)"posted", .body_bytes = 6};
    } else if (!strcmp(r->path, "/auth")) {
        *out = (wa_net_response){.status = strcmp(r->authorization, "Bearer t") ? 403 : 200, .body = (const uint8_t *)"a", .body_bytes = 1};
    }
}

static void echo(void *user, wa_ws *ws, const uint8_t *data, size_t bytes, bool binary)
{
    (void)user;
    wa_error err;
    wa_str part = {(const char *)data, bytes};
    if (wa__ws_send_parts(ws, binary, &part, 1, &err) != WA_OK) fprintf(stderr, "echo: %s\n", err.message);
}
static void gone(void *user, wa_ws *ws)
{
    (void)ws;
    atomic_fetch_add(&((server *)user)->closed, 1);
}
static bool on_open(void *user, wa_ws *ws, wa_ws_events *events)
{
    (void)ws;
    atomic_fetch_add(&((server *)user)->opened, 1);
    *events = (wa_ws_events){echo, gone, user};
    return true;
}

static int setup(void **state)
{
    server *s = calloc(1, sizeof *s);
    wa_error err = {0};
    s->big_bytes = (size_t)24 << 20;
    s->big = malloc(s->big_bytes);
    for (size_t i = 0; i < s->big_bytes; i++) s->big[i] = (uint8_t)(i * 7 + (i >> 12));
    assert_ok(wa__net_create(&s->net, &err), err);
    wa_net_server_options o = {.ws_path = "/ws", .http = on_http, .ws_open = on_open, .user = s, .body_max = 4096, .message_max = 8 << 20,
                               .content_security_policy = "default-src 'none'; connect-src 'self' ws://127.0.0.1:%u"};
    assert_ok(wa__net_listen(s->net, &o, &s->port, &err), err);
    *state = s;
    return 0;
}
static int teardown(void **state)
{
    server *s = *state;
    wa__net_free(s->net);
    free(s->big);
    free(s);
    return 0;
}

static int dial(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval t = {5, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

/* Sends a request with "connection: close" semantics left to it; reads until the peer closes or the
 * body's content-length is there. Returns the status, 0 when nothing came. */
static int ask(server *s, const char *request, char **out, size_t *out_bytes)
{
    static char *buffer;
    size_t cap = s->big_bytes + 8192, n = 0;
    if (!buffer) buffer = malloc(cap + 1);
    int fd = dial(s->port);
    size_t left = strlen(request);
    for (const char *p = request; left;) {
        ssize_t w = send(fd, p, left, MSG_NOSIGNAL);
        if (w <= 0) break;
        p += w, left -= (size_t)w;
    }
    for (;;) {
        ssize_t r = recv(fd, buffer + n, cap - n, 0);
        if (r <= 0) break;
        n += (size_t)r;
        buffer[n] = 0;
        char *end = strstr(buffer, "\r\n\r\n"), *length = strstr(buffer, "content-length: ");
        if (end && length && n >= (size_t)(end + 4 - buffer) + strtoull(length + 16, NULL, 10)) break;
    }
    close(fd);
    buffer[n] = 0;
    if (out) *out = buffer;
    if (out_bytes) *out_bytes = n;
    return n > 12 ? (int)strtol(buffer + 9, NULL, 10) : 0;
}

static int get(server *s, const char *path, const char *headers, char **out, size_t *n)
{
    char *r = wa__format("GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s\r\n", path, s->port, headers);
    int status = ask(s, r, out, n);
    wa__free(r);
    return status;
}

static void hosts(void **state)
{
    server *s = *state;
    char *r;
    assert_int_equal(get(s, "/post", "", NULL, NULL), 404);
    assert_int_equal(ask(s, "GET /big HTTP/1.1\r\nHost: evil.example\r\n\r\n", NULL, NULL), 403);
    assert_int_equal(ask(s, "GET /big HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", NULL, NULL), 403);
    r = wa__format("GET /big HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", s->port);
    assert_int_equal(ask(s, r, NULL, NULL), 403);
    wa__free(r);
    int empty = ask(s, "GET /big HTTP/1.1\r\nHost:\r\n\r\n", NULL, NULL);
    assert_true(empty == 403 || empty == 400 || empty == 0);
    int none = ask(s, "GET /big HTTP/1.1\r\n\r\n", NULL, NULL);
    assert_true(none == 403 || none == 400 || none == 0);
}

static void headers_sent(void **state)
{
    char *r;
    assert_int_equal(get(*state, "/auth", "Authorization: Bearer t\r\n", &r, NULL), 200);
    const char *want[] = {"cross-origin-opener-policy: same-origin", "cross-origin-embedder-policy: require-corp",
                          "cross-origin-resource-policy: same-origin", "x-content-type-options: nosniff", "referrer-policy: no-referrer",
                          "content-security-policy: default-src 'none'; connect-src 'self' ws://127.0.0.1:"};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        if (!strstr(r, want[i])) fail_msg("missing %s in %s", want[i], r);
    assert_int_equal(get(*state, "/auth", "Authorization: Bearer x\r\n", NULL, NULL), 403);
}

static int post(server *s, const char *headers, const char *body)
{
    char *r = wa__format("POST /post HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%sContent-Length: %zu\r\n\r\n%s", s->port, headers, strlen(body), body);
    int status = ask(s, r, NULL, NULL);
    wa__free(r);
    return status;
}

static void origins(void **state)
{
    server *s = *state;
    char good[80], bad[80];
    snprintf(good, sizeof good, "Origin: http://127.0.0.1:%u\r\n", s->port);
    snprintf(bad, sizeof bad, "Origin: http://127.0.0.1:%u.evil\r\n", s->port);
    assert_int_equal(post(s, good, "hello"), 200);
    assert_string_equal(s->last_body, "hello");
    assert_int_equal(post(s, "", "hello"), 403);
    assert_int_equal(post(s, bad, "hello"), 403);
    assert_int_equal(post(s, "Origin: null\r\n", "hello"), 403);
    assert_int_equal(get(s, "/big", bad, NULL, NULL), 403);
    char *big = calloc(1, 5001);
    memset(big, 'x', 5000);
    assert_int_equal(post(s, good, big), 413);
    free(big);
}

static void ranges(void **state)
{
    server *s = *state;
    char *r;
    size_t n;
    assert_int_equal(get(s, "/big", "", &r, &n), 200);
    char *body = strstr(r, "\r\n\r\n") + 4;
    assert_int_equal(n - (size_t)(body - r), s->big_bytes);
    assert_memory_equal(body, s->big, s->big_bytes);
    assert_int_equal(get(s, "/big", "Range: bytes=1000-5000999\r\n", &r, &n), 206);
    body = strstr(r, "\r\n\r\n") + 4;
    assert_int_equal(n - (size_t)(body - r), 5000000);
    assert_memory_equal(body, s->big + 1000, 5000000);
    assert_non_null(strstr(r, "content-range: bytes 1000-5000999/25165824"));
    assert_int_equal(get(s, "/big", "Range: bytes=99999999999-\r\n", &r, &n), 416);
    assert_int_equal(get(s, "/big", "Range: bytes=0-1,3-4\r\n", &r, &n), 416);
    char *head = wa__format("HEAD /big HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n\r\n", s->port);
    int fd = dial(s->port);
    assert_true(send(fd, head, strlen(head), MSG_NOSIGNAL) > 0);
    wa__free(head);
    char text[4096] = "";
    size_t got = 0;
    for (ssize_t k; got < sizeof text - 1 && (k = recv(fd, text + got, sizeof text - 1 - got, 0)) > 0;) got += (size_t)k;
    close(fd);
    assert_non_null(strstr(text, "content-length: 25165824"));
    assert_int_equal(atomic_load(&s->done) >= 4, 1);
    uint64_t a, c;
    assert_int_equal(wa__net_range("bytes=-10", 100, &a, &c), 1);
    assert_int_equal(a, 90);
    assert_int_equal(c, 10);
    assert_int_equal(wa__net_range("bytes=5-", 100, &a, &c), 1);
    assert_int_equal(c, 95);
    assert_int_equal(wa__net_range("bytes=100-", 100, &a, &c), -1);
    assert_int_equal(wa__net_range("bytes=7-3", 100, &a, &c), -1);
    assert_int_equal(wa__net_range("bytes=18446744073709551616-", 100, &a, &c), -1);
    assert_int_equal(wa__net_range("", 100, &a, &c), 0);
}

static void oversize_headers(void **state)
{
    server *s = *state;
    size_t n = 40000;
    char *big = calloc(1, n + 200);
    int k = snprintf(big, 100, "GET /auth HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAuthorization: ", s->port);
    memset(big + k, 'a', n);
    memcpy(big + (size_t)k + n, "\r\n\r\n", 5);
    int status = ask(s, big, NULL, NULL);
    free(big);
    if (status >= 200 && status < 300) fail_msg("40 KB of headers were served with %d", status);
    assert_int_equal(get(s, "/auth", "Authorization: Bearer t\r\n", NULL, NULL), 200);
}

/* A peer that reads slowly neither loses bytes nor holds up others. */
static void slow_client(void **state)
{
    server *s = *state;
    int fd = dial(s->port);
    int small = 65536;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    char *r = wa__format("GET /big HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", s->port);
    assert_true(send(fd, r, strlen(r), MSG_NOSIGNAL) > 0);
    wa__free(r);
    wa__os_sleep_ms(50);
    assert_int_equal(get(s, "/auth", "Authorization: Bearer t\r\n", NULL, NULL), 200);
    char part[65536];
    size_t n = 0, head = 0;
    for (ssize_t k; (k = recv(fd, part, sizeof part, 0)) > 0;) {
        if (!head) head = (size_t)(strstr(part, "\r\n\r\n") + 4 - part);
        n += (size_t)k;
        if (n >= s->big_bytes + head) break;
    }
    close(fd);
    assert_int_equal(n - head, s->big_bytes);
}

static int upgrade(server *s, const char *path, const char *headers)
{
    char *r = wa__format("GET %s HTTP/1.1\r\n%sUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                         "Sec-WebSocket-Version: 13\r\n\r\n", path, headers);
    int fd = dial(s->port);
    assert_true(send(fd, r, strlen(r), MSG_NOSIGNAL) > 0);
    wa__free(r);
    char text[1024] = "";
    ssize_t n = recv(fd, text, sizeof text - 1, 0);
    close(fd);
    return n > 12 ? (int)strtol(text + 9, NULL, 10) : 0;
}

static void upgrades(void **state)
{
    server *s = *state;
    char both[200], no_origin[100], bad_host[200];
    snprintf(both, sizeof both, "Host: 127.0.0.1:%u\r\nOrigin: http://127.0.0.1:%u\r\n", s->port, s->port);
    snprintf(no_origin, sizeof no_origin, "Host: 127.0.0.1:%u\r\n", s->port);
    snprintf(bad_host, sizeof bad_host, "Host: evil:%u\r\nOrigin: http://127.0.0.1:%u\r\n", s->port, s->port);
    assert_int_equal(upgrade(s, "/ws", both), 101);
    assert_true(upgrade(s, "/other", both) != 101);
    assert_true(upgrade(s, "/ws", no_origin) != 101);
    assert_true(upgrade(s, "/ws", bad_host) != 101);
    for (int i = 0; i < 200 && !atomic_load(&s->closed); i++) wa__os_sleep_ms(10);
    assert_int_equal(atomic_load(&s->closed), 1);
    assert_int_equal(atomic_load(&s->opened), 1);
}

/* The client sends no Origin, which our own server refuses: the client talks to a bare echo server
 * made by hand for the handshake, and the queues are tested through it. */
static void client_without_origin_is_refused(void **state)
{
    server *s = *state;
    char url[64];
    wa_ws *ws = NULL;
    wa_error err = {0};
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/ws", s->port);
    assert_int_equal(wa__ws_connect(s->net, url, NULL, 5000, &ws, &err), WA_IO);
    assert_int_equal(wa__ws_connect(s->net, "ws://127.0.0.1:1/x", NULL, 5000, &ws, &err), WA_IO);
    assert_int_equal(wa__ws_connect(s->net, "http://127.0.0.1:1/x", NULL, 5000, &ws, &err), WA_INVALID_ARGUMENT);
    assert_int_equal(wa__ws_connect(s->net, "ws://127.0.0.1/x", NULL, 5000, &ws, &err), WA_INVALID_ARGUMENT);
}

static void echoes(void **state)
{
    (void)state;
    server t = {0};
    wa_error err = {0};
    const char *any = "";
    assert_ok(wa__net_create(&t.net, &err), err);
    wa_net_server_options o = {.ws_path = "/session", .ws_open = on_open, .user = &t, .origins = &any, .origin_count = 1, .message_max = 8 << 20};
    assert_ok(wa__net_listen(t.net, &o, &t.port, &err), err); /* "" allows a missing Origin */
    char url[64];
    wa_ws *ws;
    bool binary;
    wa_buf m;
    wa__buf_init(&m, 64 << 20);
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/session", t.port);
    assert_ok(wa__ws_connect(t.net, url, NULL, 5000, &ws, &err), err);
    assert_ok(wa__ws_send_text(ws, WA_STR("{\"id\":1}"), &err), err);
    assert_ok(wa__ws_receive(ws, 5000, &m, &binary, &err), err);
    assert_false(binary);
    assert_string_equal(m.ptr, "{\"id\":1}");
    assert_int_equal(wa__ws_receive(ws, 0, &m, &binary, &err), WA_TIMEOUT);
    size_t n = 5 << 20;
    char *big = malloc(n);
    for (size_t i = 0; i < n; i++) big[i] = (char)(i * 31);
    wa_str parts[2] = {{big, 1000}, {big + 1000, n - 1000}};
    for (int i = 0; i < 3; i++) assert_ok(wa__ws_send_parts(ws, true, parts, 2, &err), err);
    for (int i = 0; i < 3; i++) {
        assert_ok(wa__ws_receive(ws, 10000, &m, &binary, &err), err);
        assert_true(binary);
        assert_int_equal(m.len, n);
        assert_memory_equal(m.ptr, big, n);
    }
    free(big);
    big = calloc(1, 9 << 20); /* over the server's cap: it closes */
    parts[0] = (wa_str){big, 9 << 20};
    assert_ok(wa__ws_send_parts(ws, true, parts, 1, &err), err);
    assert_int_equal(wa__ws_receive(ws, 10000, &m, &binary, &err), WA_IO);
    assert_false(wa__ws_is_open(ws));
    free(big);
    wa__ws_close(ws);
    wa__buf_done(&m);
    wa__net_free(t.net);
    assert_int_equal(atomic_load(&t.closed), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hosts, setup, teardown), cmocka_unit_test_setup_teardown(headers_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(origins, setup, teardown), cmocka_unit_test_setup_teardown(ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(oversize_headers, setup, teardown), cmocka_unit_test_setup_teardown(slow_client, setup, teardown),
        cmocka_unit_test_setup_teardown(upgrades, setup, teardown),
        cmocka_unit_test_setup_teardown(client_without_origin_is_refused, setup, teardown), cmocka_unit_test(echoes),
    };
    return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
