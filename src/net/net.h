/* The event loop with HTTP and WebSocket, both sides. One loop thread owns every socket; other threads
 * reach it through the functions here, which are safe from any thread unless they say otherwise.
 * Nothing outside src/net knows which library does the work (libwebsockets today).
 *
 * Loopback only: a server binds 127.0.0.1, and a client speaks plain ws://. Every request must name
 * the server in Host exactly; a WebSocket or a request with a body must carry one of the server's
 * origins exactly. Headers, bodies, messages, connections and handshake times have caps
 * (base/limits.h).
 *
 * Used by browser (BiDi, CDP as a client) and bridge (the server that pages talk to).
 */
#ifndef WA_NET_H
#define WA_NET_H
#include "base/mem.h"

typedef struct wa_net wa_net;
typedef struct wa_ws wa_ws; /* one WebSocket, either side; counted references */

/* Starts the loop thread. wa__net_free ends it: every connection closes, then it returns. Not to be
 * called from a callback. Objects of other kinds (wa_ws) must have been released by then. */
wa_status wa__net_create(wa_net **out, wa_error *err) WA_MUST_CHECK;
void wa__net_free(wa_net *n); /* NULL is legal */

/* --- WebSockets --------------------------------------------------------------------------------- */
/* Called on the loop thread; must be quick and must not block on it. data is borrowed for the call. */
typedef struct wa_ws_events {
    void (*message)(void *user, wa_ws *ws, const uint8_t *data, size_t bytes, bool binary);
    void (*closed)(void *user, wa_ws *ws); /* once, after the last message */
    void *user;
} wa_ws_events;

/* Connects to "ws://HOST:PORT/PATH" (no Origin header is sent) and waits for the handshake, at most
 * timeout_ms. events NULL: messages queue up for wa__ws_receive (a reader that lets more than
 * 64 MiB pile up loses the connection). *out is the caller's: wa__ws_close it. */
wa_status wa__ws_connect(wa_net *n, const char *url, const wa_ws_events *events, uint32_t timeout_ms, wa_ws **out, wa_error *err) WA_MUST_CHECK;
/* Queues one message made of the parts in turn; they are copied. WA_IO once closed, WA_LIMIT when
 * more than 128 MiB wait to be sent. A client's message is one frame. */
wa_status wa__ws_send_parts(wa_ws *ws, bool binary, const wa_str *parts, uint32_t part_count, wa_error *err) WA_MUST_CHECK;
wa_status wa__ws_send_text(wa_ws *ws, wa_str text, wa_error *err) WA_MUST_CHECK;
/* The next message in order of arrival, into *message (cleared first). WA_TIMEOUT when none came in
 * timeout_ms (0: look once), WA_IO when the peer closed and all was read. Only where events is NULL. */
wa_status wa__ws_receive(wa_ws *ws, uint32_t timeout_ms, wa_buf *message, bool *binary, wa_error *err) WA_MUST_CHECK;
bool wa__ws_is_open(wa_ws *ws);
/* One more holder; every holder calls wa__ws_close or wa__ws_release. */
wa_ws *wa__ws_hold(wa_ws *ws);
void wa__ws_release(wa_ws *ws); /* the connection goes on; NULL is legal */
/* Sends what is queued, then a close frame; gives up the caller's hold. After the return no event of
 * this connection starts but `closed` (which still comes where events were given). NULL is legal. */
void wa__ws_close(wa_ws *ws);
/* Closes without giving up a hold; for use in callbacks. */
void wa__ws_shut(wa_ws *ws);

/* --- the server --------------------------------------------------------------------------------- */
/* One request, complete with its body. Borrowed for the call. Absent headers are "". */
typedef struct wa_net_request {
    const char *method, *path, *query; /* path starts with '/', percent-decoded, no dot segments */
    const char *host, *origin, *range, *authorization, *content_type, *fetch_site;
    const uint8_t *body;
    size_t body_bytes;
} wa_net_request;

typedef struct wa_net_response {
    uint32_t status; /* 0 counts as 404 */
    const char *content_type; /* must outlive the answer: a literal */
    const uint8_t *body; /* borrowed until done is called; sent straight from there */
    uint64_t body_bytes;
    bool ranges; /* serve "Range: bytes=a-b" of the body */
    bool cacheable; /* else no-store */
    void (*done)(void *done_user); /* on the loop thread, once, when body is no longer needed; may be NULL */
    void *done_user;
} wa_net_response;

typedef struct wa_net_server_options {
    bool allow_localhost; /* "localhost:PORT" counts as a Host too */
    const char *const *origins; /* besides http://127.0.0.1:PORT (and localhost:PORT when allowed) */
    uint32_t origin_count;
    const char *content_security_policy; /* "%u" in it (one at most) becomes the port; NULL: default-src 'none' */
    const char *ws_path; /* the one path on which WebSockets are accepted; NULL: none */
    size_t message_max; /* bytes of a WebSocket message; 0: 64 MiB */
    size_t body_max; /* bytes of a request's body; 0: WA_LIMIT_HTTP_BODY_BYTES */
    /* All on the loop thread. http may be NULL (all 404). ws_open gives the connection's events; the
     * connection is borrowed (wa__ws_hold it to keep it); false closes it. */
    void (*http)(void *user, const wa_net_request *request, wa_net_response *response);
    bool (*ws_open)(void *user, wa_ws *ws, wa_ws_events *events);
    void *user;
} wa_net_server_options;

/* Listens on 127.0.0.1 and a free port, until wa__net_free. Strings of options are copied. */
wa_status wa__net_listen(wa_net *n, const wa_net_server_options *options, uint16_t *port, wa_error *err) WA_MUST_CHECK;

/* Parses "bytes=a-b", "bytes=a-", "bytes=-n" against size. 0: no range (serve all), 1: [*first,
 * *first + *count), -1: unsatisfiable or malformed. Several ranges count as malformed. */
int wa__net_range(const char *range, uint64_t size, uint64_t *first, uint64_t *count);

#endif
