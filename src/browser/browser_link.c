/* The control link: JSON messages over a pipe pair (CDP: each ends with a NUL) or over a WebSocket
 * on loopback (BiDi, RFC 6455). In: commands. Out: their results, and events to a callback. Blocking
 * with time limits, one thread, no event loop: a browser is asked a dozen things in its life. What
 * the browser sends is untrusted: sizes are capped, JSON is parsed strictly. Called by
 * browser_chromium.c, browser_firefox.c and browser_launch.c. */
#include "browser/browser_int.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINK_BYTES_MAX ((size_t)32 << 20) /* control answers are small; a page's evaluate may be large */

static void link_init(wa_link *l, int read_fd, int write_fd)
{
    *l = (wa_link){.read_fd = read_fd, .write_fd = write_fd, .next_id = 1};
    wa__buf_init(&l->in, LINK_BYTES_MAX);
    wa__buf_init(&l->partial, LINK_BYTES_MAX);
    /* Writes must never block beyond a limit: a hung browser does not read. */
    (void)fcntl(write_fd, F_SETFL, fcntl(write_fd, F_GETFL) | O_NONBLOCK);
    (void)fcntl(read_fd, F_SETFL, fcntl(read_fd, F_GETFL) | O_NONBLOCK);
}

void wa__link_init_pipe(wa_link *l, int read_fd, int write_fd) { link_init(l, read_fd, write_fd); }

void wa__link_done(wa_link *l)
{
    if (l->write_fd >= 0 && l->write_fd != l->read_fd) close(l->write_fd);
    if (l->read_fd >= 0) close(l->read_fd);
    l->read_fd = l->write_fd = -1;
    wa__buf_done(&l->in);
    wa__buf_done(&l->partial);
}

/* Waits for the descriptor in slices, so that a cancellation is seen. */
static wa_status link_wait(wa_link *l, int fd, short events, double end, wa_error *err)
{
    for (;;) {
        if (l->cancelled && l->cancelled(l->cancelled_user))
            return wa__fail(err, WA_CANCELLED, "cancelled while waiting for the browser");
        uint32_t left = wa__ms_left(end);
        struct pollfd p = {.fd = fd, .events = events};
        int r = poll(&p, 1, left > 50 && l->cancelled ? 50 : (int)left);
        if (r > 0) return WA_OK;
        if (r < 0 && errno != EINTR) return wa__fail(err, WA_IO, "poll: %s", strerror(errno));
        if (wa__ms_left(end) == 0) return wa__fail(err, WA_TIMEOUT, "the browser did not answer in time");
    }
}

/* write without SIGPIPE, to pipes as well: the signal is blocked and, if raised, taken. */
static ssize_t write_quietly(int fd, const void *p, size_t n)
{
    sigset_t pipe_set, pending, before;
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    bool was_pending = sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
    (void)pthread_sigmask(SIG_BLOCK, &pipe_set, &before);
    ssize_t r = write(fd, p, n);
    int e = errno;
    if (r < 0 && e == EPIPE && !was_pending) {
        struct timespec now = {0, 0};
        (void)sigtimedwait(&pipe_set, NULL, &now);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = e;
    return r;
}

static wa_status link_write(wa_link *l, const char *p, size_t n, double end, wa_error *err)
{
    if (l->write_fd < 0) return wa__fail(err, WA_BROWSER, "the browser's control link is closed");
    while (n) {
        ssize_t w = write_quietly(l->write_fd, p, n);
        if (w > 0) {
            p += w;
            n -= (size_t)w;
        } else if (w < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            WA_TRY(link_wait(l, l->write_fd, POLLOUT, end, err));
        } else if (!(w < 0 && errno == EINTR)) {
            return wa__fail(err, WA_BROWSER, "the browser closed its control link (%s)", strerror(errno));
        }
    }
    return WA_OK;
}

/* Reads once, what is there. *got false when nothing was. */
static wa_status link_read(wa_link *l, bool *got, wa_error *err)
{
    *got = false;
    if (l->read_fd < 0) return wa__fail(err, WA_BROWSER, "the browser's control link is closed");
    if (l->consumed && l->consumed == l->in.len) {
        wa__buf_clear(&l->in);
        l->consumed = 0;
    }
    char chunk[65536];
    ssize_t n = read(l->read_fd, chunk, sizeof chunk);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return WA_OK;
    if (n < 0) return wa__fail(err, WA_BROWSER, "the browser's control link failed: %s", strerror(errno));
    if (n == 0) return wa__fail(err, WA_BROWSER, "the browser closed its control link");
    if (l->consumed > (1u << 20)) { /* drop what was handled, rarely, so that appending stays linear */
        memmove(l->in.ptr, l->in.ptr + l->consumed, l->in.len - l->consumed);
        l->in.len -= l->consumed;
        l->consumed = 0;
    }
    *got = true;
    return wa__buf_append(&l->in, chunk, (size_t)n, err);
}

/* --- WebSocket frames --------------------------------------------------------------------------- */
static wa_status ws_send(wa_link *l, unsigned opcode, const char *p, size_t n, double end, wa_error *err)
{
    uint8_t head[14];
    size_t h = 2;
    head[0] = (uint8_t)(0x80u | opcode);
    if (n < 126) head[1] = (uint8_t)(0x80u | n);
    else if (n < 65536) {
        head[1] = 0x80u | 126u;
        head[2] = (uint8_t)(n >> 8);
        head[3] = (uint8_t)n;
        h = 4;
    } else {
        head[1] = 0x80u | 127u;
        for (unsigned i = 0; i < 8; i++) head[2 + i] = (uint8_t)((uint64_t)n >> (56 - 8 * i));
        h = 10;
    }
    uint8_t mask[4];
    WA_TRY(wa__os_random(mask, sizeof mask, err));
    memcpy(head + h, mask, 4);
    h += 4;
    wa_buf frame;
    wa__buf_init(&frame, LINK_BYTES_MAX);
    wa_status s = wa__buf_append(&frame, head, h, err);
    if (s == WA_OK) s = wa__buf_append(&frame, p, n, err);
    if (s == WA_OK) {
        for (size_t i = 0; i < n; i++) frame.ptr[h + i] = (char)((uint8_t)frame.ptr[h + i] ^ mask[i & 3]);
        s = link_write(l, frame.ptr, frame.len, end, err);
    }
    wa__buf_done(&frame);
    return s;
}

typedef struct ws_frame {
    bool last;
    unsigned opcode;
    const char *data;
    size_t size, total; /* payload, and the frame with its head */
} ws_frame;

/* False in *ready when the frame is not complete yet. */
static wa_status ws_parse(const uint8_t *p, size_t n, ws_frame *f, bool *ready, wa_error *err)
{
    *ready = false;
    if (n < 2) return WA_OK;
    if ((p[0] & 0x70) || (p[1] & 0x80)) return wa__fail(err, WA_PROTOCOL, "the browser sent a bad WebSocket frame");
    uint64_t size = p[1] & 0x7fu;
    size_t head = size == 126 ? 4 : size == 127 ? 10 : 2;
    if (n < head) return WA_OK;
    if (head > 2) {
        size = 0;
        for (size_t i = 2; i < head; i++) size = size << 8 | p[i];
    }
    if (size > LINK_BYTES_MAX)
        return wa__fail(err, WA_PROTOCOL, "the browser sent a WebSocket frame of %llu bytes (at most %zu)",
                        (unsigned long long)size, LINK_BYTES_MAX);
    if (n - head < size) return WA_OK;
    *f = (ws_frame){(p[0] & 0x80) != 0, p[0] & 0x0fu, (const char *)p + head, (size_t)size, head + (size_t)size};
    *ready = true;
    return WA_OK;
}

/* Takes whole frames from the buffer until a text message is complete. */
static wa_status ws_next(wa_link *l, const char **text, size_t *size, bool *ready, wa_error *err)
{
    *ready = false;
    while (!*ready) {
        ws_frame f;
        bool whole;
        WA_TRY(ws_parse((const uint8_t *)l->in.ptr + l->consumed, l->in.len - l->consumed, &f, &whole, err));
        if (!whole) return WA_OK;
        l->consumed += f.total;
        if (f.opcode == 8) return wa__fail(err, WA_BROWSER, "the browser closed its control link");
        if (f.opcode == 9) WA_TRY(ws_send(l, 10, f.data, f.size, wa__os_now_ms() + 1000, err));
        if (f.opcode > 2) continue;
        if (f.opcode && f.last) {
            *text = f.data;
            *size = f.size;
            *ready = true;
        } else {
            if (f.opcode) wa__buf_clear(&l->partial);
            WA_TRY(wa__buf_append(&l->partial, f.data, f.size, err));
            *text = l->partial.ptr;
            *size = l->partial.len;
            *ready = f.last;
        }
    }
    return WA_OK;
}

static wa_status ws_upgrade(wa_link *l, uint16_t port, const char *path, double end, wa_error *err)
{
    uint8_t key[16];
    char hex[33];
    WA_TRY(wa__os_random(key, sizeof key, err));
    wa__hex(key, 8, hex); /* 16 characters, read as the 16 bytes of the key below */
    static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[25];
    for (size_t i = 0, o = 0; i < 15; i += 3, o += 4) {
        unsigned v = (unsigned)(uint8_t)hex[i] << 16 | (unsigned)(uint8_t)hex[i + 1] << 8 | (uint8_t)hex[i + 2];
        text[o] = b64[v >> 18], text[o + 1] = b64[v >> 12 & 63], text[o + 2] = b64[v >> 6 & 63], text[o + 3] = b64[v & 63];
    }
    unsigned last = (uint8_t)hex[15];
    text[20] = b64[last >> 2], text[21] = b64[(last & 3) << 4], text[22] = text[23] = '=', text[24] = 0;
    wa_buf request;
    wa__buf_init(&request, 4096);
    wa_status s = wa__buf_printf(&request, err,
                                 "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                 "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", path, (unsigned)port, text);
    if (s == WA_OK) s = link_write(l, request.ptr, request.len, end, err);
    wa__buf_done(&request);
    WA_TRY(s);
    const char *stop = NULL;
    while (!(stop = l->in.len ? memmem(l->in.ptr, l->in.len, "\r\n\r\n", 4) : NULL)) {
        if (l->in.len > 16384) return wa__fail(err, WA_PROTOCOL, "the browser's answer to the upgrade is too long");
        WA_TRY(link_wait(l, l->read_fd, POLLIN, end, err));
        bool got;
        WA_TRY(link_read(l, &got, err));
    }
    wa_str line = {l->in.ptr, strcspn(l->in.ptr, "\r\n")};
    if (!wa__str_starts(line, "HTTP/1.1 101"))
        return wa__fail(err, WA_PROTOCOL, "the browser refused the control link: %.*s", WA_STR_ARG(line));
    l->consumed = (size_t)(stop - l->in.ptr) + 4;
    return WA_OK;
}

wa_status wa__link_connect(wa_link *l, uint16_t port, const char *path, uint32_t limit_ms, wa_error *err)
{
    double end = wa__os_now_ms() + limit_ms;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return wa__fail(err, WA_IO, "cannot make a socket: %s", strerror(errno));
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
        wa_status s = wa__fail(err, WA_BROWSER, "cannot connect to the browser on port %u: %s", (unsigned)port, strerror(errno));
        close(fd);
        return s;
    }
    wa_link made;
    link_init(&made, fd, fd);
    made.websocket = true;
    made.cancelled = l->cancelled, made.cancelled_user = l->cancelled_user;
    made.on_event = l->on_event, made.user = l->user;
    wa_status s = ws_upgrade(&made, port, path, end, err);
    if (s != WA_OK) wa__link_done(&made);
    else *l = made;
    return s;
}

/* --- messages ----------------------------------------------------------------------------------- */
static wa_status link_send(wa_link *l, const char *text, double end, wa_error *err)
{
    if (l->websocket) return ws_send(l, 1, text, strlen(text), end, err);
    return link_write(l, text, strlen(text) + 1, end, err);
}

/* The next whole message already in the buffer; *ready false when there is none. */
static wa_status link_take(wa_link *l, const char **text, size_t *size, bool *ready, wa_error *err)
{
    *ready = false;
    if (!l->in.len) return WA_OK;
    if (l->websocket) return ws_next(l, text, size, ready, err);
    const char *start = l->in.ptr + l->consumed;
    const char *nul = memchr(start, 0, l->in.len - l->consumed);
    if (!nul) return WA_OK;
    *text = start;
    *size = (size_t)(nul - start);
    *ready = true;
    l->consumed += *size + 1;
    return WA_OK;
}

/* Parses a message; *answer is new when it answers `id`, NULL otherwise (an event, or a late answer). */
static wa_status link_handle(wa_link *l, const char *text, size_t size, uint64_t id, json_t **answer, wa_error *err)
{
    *answer = NULL;
    json_error_t why;
    json_t *m = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (!json_is_object(m)) {
        json_decref(m);
        return wa__fail(err, WA_PROTOCOL, "the browser sent a message that is not a JSON object: %s", why.text);
    }
    const json_t *number = json_object_get(m, "id");
    if (json_is_integer(number)) {
        if (id && (uint64_t)json_integer_value(number) == id) {
            *answer = m;
            return WA_OK;
        }
    } else {
        const char *method = json_string_value(json_object_get(m, "method"));
        if (method && l->on_event) l->on_event(l->user, method, json_object_get(m, "params"));
    }
    json_decref(m);
    return WA_OK;
}

/* CDP: {"error":{"message"}}; BiDi: {"type":"error","error":"code","message"}. */
static wa_status answer_result(json_t *answer, const char *method, json_t **result, wa_error *err)
{
    const json_t *e = json_object_get(answer, "error");
    wa_status s = WA_OK;
    if (e) {
        const char *text = json_string_value(json_is_object(e) ? json_object_get(e, "message") : json_object_get(answer, "message"));
        s = wa__fail(err, WA_BROWSER, "%s: %.300s", method, text ? text : "refused");
    } else if (result) {
        json_t *r = json_object_get(answer, "result");
        *result = json_is_object(r) ? json_incref(r) : json_object();
        if (!*result) s = wa__no_memory(err, method);
    }
    json_decref(answer);
    return s;
}

wa_status wa__link_call(wa_link *l, const char *session, const char *method, json_t *params, uint32_t limit_ms,
                        json_t **result, wa_error *err)
{
    double end = wa__os_now_ms() + limit_ms;
    uint64_t id = l->next_id++;
    json_t *m = json_pack("{s:I, s:s, s:o}", "id", (json_int_t)id, "method", method, "params", params ? params : json_object());
    if (m && session && *session && json_object_set_new(m, "sessionId", json_string(session)) != 0) {
        json_decref(m);
        m = NULL;
    }
    char *text = m ? json_dumps(m, JSON_COMPACT) : NULL;
    json_decref(m);
    if (!text) return wa__no_memory(err, method);
    wa_status s = link_send(l, text, end, err);
    free(text);
    while (s == WA_OK) {
        const char *in;
        size_t size;
        bool ready;
        s = link_take(l, &in, &size, &ready, err);
        if (s != WA_OK) break;
        if (ready) {
            json_t *answer;
            s = link_handle(l, in, size, id, &answer, err);
            if (s == WA_OK && answer) return answer_result(answer, method, result, err);
            continue;
        }
        s = link_wait(l, l->read_fd, POLLIN, end, err);
        if (s == WA_OK) s = link_read(l, &ready, err);
    }
    return wa__fail_in(err, s, "%s", method);
}

wa_status wa__link_drain(wa_link *l, wa_error *err)
{
    for (;;) {
        const char *in;
        size_t size;
        bool ready;
        WA_TRY(link_take(l, &in, &size, &ready, err));
        if (ready) {
            json_t *answer;
            WA_TRY(link_handle(l, in, size, 0, &answer, err));
            continue;
        }
        WA_TRY(link_read(l, &ready, err));
        if (!ready) return WA_OK;
    }
}
