/* What the files of net share. lws_* objects are touched by the loop thread only. */
#ifndef WA_NET_INT_H
#define WA_NET_INT_H
#include "net/net.h"
#include <libwebsockets.h>
#include <pthread.h>
#include <stdatomic.h>

enum { NET_CHUNK_BYTES = 512 * 1024, NET_FRAGMENT_BYTES = 1024 * 1024, NET_ORIGINS_MAX = 16 };
#define NET_OUT_MAX ((size_t)128 << 20)
#define NET_IN_MAX  ((size_t)64 << 20)

typedef struct ws_message {
    struct ws_message *next;
    size_t bytes, sent;
    bool binary;
    uint8_t data[]; /* LWS_PRE bytes of room, then the message */
} ws_message;

typedef enum ws_state { WS_CONNECTING, WS_OPEN, WS_CLOSED } ws_state;

struct wa_ws {
    wa_net *net;
    struct lws *wsi; /* loop thread */
    atomic_int holds;
    bool client;
    size_t message_max;
    wa_ws_events events; /* loop thread */
    wa_buf partial;      /* loop thread: the message being received */
    bool partial_binary;
    /* under net->mutex: */
    ws_state state;
    bool closing, kicked, has_events;
    ws_message *out_first, *out_last, *in_first, *in_last;
    size_t out_bytes, in_bytes;
    wa_ws *kick_next;
    char reason[160];
};

typedef struct net_server {
    struct net_server *next;
    wa_net *net;
    struct lws_vhost *vhost;
    wa_net_server_options options;
    uint16_t port;
    char host[32], localhost[32], csp[512];
    char *ws_path;
    char *origins[NET_ORIGINS_MAX + 2];
    uint32_t origin_count;
} net_server;

/* Work for the loop thread that its caller waits for. */
typedef struct net_call {
    struct net_call *next;
    wa_status (*fn)(wa_net *n, void *arg, wa_error *err);
    void *arg;
    wa_error *err;
    wa_status status;
    bool done;
} net_call;

struct wa_net {
    struct lws_context *context;
    struct lws_vhost *client_vhost;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* calls done, states and queues of WebSockets */
    atomic_bool stop;
    net_call *calls;
    wa_ws *kicks;        /* WebSockets with something to send or to close; each holds itself */
    net_server *servers; /* loop thread, until joined */
    uint32_t connections; /* loop thread */
};

/* What an HTTP connection keeps between callbacks; a WebSocket keeps only ws. */
typedef struct net_session {
    wa_ws *ws;
    net_server *server;
    char *path, *query, *host, *origin, *range, *authorization, *content_type, *fetch_site;
    const char *method;
    wa_buf body;
    bool has_body, head_only, counted;
    wa_net_response response;
    uint64_t pos, end; /* of response.body */
    bool answering, close_after;
} net_session;

/* net_ws.c; all on the loop thread */
wa_ws *wa__ws_new(wa_net *n, bool client, size_t message_max);
int wa__ws_on_receive(wa_ws *ws, struct lws *wsi, const void *in, size_t len);
int wa__ws_on_writable(wa_ws *ws, struct lws *wsi);
void wa__ws_on_open(wa_ws *ws, struct lws *wsi);
/* Marks it closed, tells its owner, gives up the loop's hold. */
void wa__ws_on_gone(wa_ws *ws, const char *reason);
void wa__ws_kick(wa_ws *ws); /* any thread, with net->mutex held */
int wa__ws_client_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);
/* net_http.c */
int wa__net_server_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);
bool wa__net_origin_ok(const net_server *s, const char *origin);
bool wa__net_host_ok(const net_server *s, const char *host);
/* net_loop.c: runs fn on the loop thread and waits. */
wa_status wa__net_call(wa_net *n, wa_status (*fn)(wa_net *, void *, wa_error *), void *arg, wa_error *err);
/* pthread_cond_timedwait until wa__os_now_ns() reaches deadline_ns; false when it passed. */
bool wa__net_wait(wa_net *n, uint64_t deadline_ns);

#endif
