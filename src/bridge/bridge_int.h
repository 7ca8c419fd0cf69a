/* What the files of bridge share. */
#ifndef WA_BRIDGE_INT_H
#define WA_BRIDGE_INT_H
#include "base/str.h"
#include "bridge/bridge.h"
#include "cpu/cpu.h"
#include "net/net.h"
#include "plan/plan_nn.h"
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>

enum { BRIDGE_TOKEN_CHARS = 64, BRIDGE_LOADS_MAX = 32, BRIDGE_JOBS_MAX = 4, BRIDGE_KNOWN_MAX = 16, BRIDGE_META_MAX = 1 << 20, BRIDGE_PING_MS = 2000, BRIDGE_SILENCE_MS = 15000 };
#define BRIDGE_BENCH_BYTES ((size_t)64 << 20)

/* --- frames (bridge_wire.c); layout in schema/wire.json ------------------------------------------ */
typedef struct wa_wire {
    uint16_t type, flags;
    uint64_t job;
    uint32_t seq;
    wa_str meta, body; /* borrowed from the message */
} wa_wire;
wa_status wa__wire_parse(const uint8_t *bytes, size_t n, wa_wire *out, wa_error *err) WA_MUST_CHECK;
/* type: the frame's in the lower 16 bits, its flags above. */
void wa__wire_header(uint8_t out[32], uint32_t type, uint64_t job, uint32_t seq, uint64_t meta_length, uint64_t body_length);
typedef struct wa_wire_packed { /* meta of a RESULT with flag PACKED */
    double device_ms, gpu_ms;
    uint32_t dispatches, submits;
} wa_wire_packed;
wa_status wa__wire_packed_meta(const wa_wire *f, wa_wire_packed *out, wa_error *err) WA_MUST_CHECK;
/* The meta as a JSON object (new reference), NULL with an error on anything else. */
json_t *wa__wire_meta(const wa_wire *f, wa_error *err);

/* --- sessions ------------------------------------------------------------------------------------ */
/* One buffer of the page. Loads of one session share weights that are the same bytes in the same layout,
 * and, since runs follow one another on one queue, arenas and the staging buffer. */
typedef struct bridge_memory {
    uint32_t refs; /* 0: free */
    uint32_t kind;
    uint64_t size;
} bridge_memory;

typedef struct bridge_known { /* a RUN that the page remembers: see bridge_run.c */
    uint64_t *words;
    uint32_t count, seq;
} bridge_known;

typedef struct bridge_load {
    const wa_plan *plan;
    const wa_run_source *sources;
    uint32_t source_count, handle, serving; /* serving: answers under way */
    bool used, closing;
    char path[BRIDGE_TOKEN_CHARS + 1];
    uint32_t lanes;      /* runs that may be in flight: each has READBACK buffers of its own */
    uint64_t lane_bytes; /* of those beyond the plan's */
    uint32_t *memory;    /* per buffer of the plan: index in session->memories, WA_NONE for the host's */
    bool *fresh;         /* per buffer: this load makes it (and uploads into it) */
    bridge_known known[BRIDGE_KNOWN_MAX];
    uint32_t known_count;
    /* mixed plans: */
    wa_pool *pool;
    wa_cpu_segment *cpu;
    uint8_t **host; /* memory of the plan's CPU buffers */
} bridge_load;

typedef enum bridge_state { BRIDGE_NEW, BRIDGE_READY, BRIDGE_DEAD } bridge_state;

/* Bytes that a run writes; long ones are fetched by the page while the run may be given up already. */
typedef struct bridge_blob {
    atomic_uint refs;
    size_t size;
    uint8_t bytes[];
} bridge_blob;
bridge_blob *wa__blob_new(size_t size); /* one reference; zeroed; NULL when out of memory */
void wa__blob_drop(bridge_blob *b);     /* NULL is legal */
enum { BRIDGE_BLOBS_MAX = 64 };

/* A frame sent that waits for its answer. The runner's thread owns it until released. */
typedef struct bridge_job {
    uint64_t id;   /* 0: free */
    uint32_t want; /* type of the frame that ends it */
    bool done;
    wa_status status;
    char message[1024];
    json_t *reply; /* NULL when packed */
    wa_wire_packed packed;
    wa_buf body;
    wa_run_progress progress;
    uint32_t progress_count;
    bridge_blob *blobs[BRIDGE_BLOBS_MAX]; /* the page may fetch; NULL: in the body */
    uint32_t blob_count;
    /* the runner's thread, of a run in flight: */
    uint32_t handle, entry;
    uint64_t want_bytes;
    double start_ms;
} bridge_job;

typedef struct bridge_session {
    wa_runner runner; /* first: a runner is a session */
    wa_bridge_host *host;
    struct bridge_session *next; /* host->sessions, under host->mutex */
    wa_ws *ws;                   /* held; NULL in tests */
    bool taken, socket_gone, given_up; /* under host->mutex: freed when its socket and its user are gone */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* under mutex: */
    bridge_state state;
    uint64_t ticket, opened_ns, ticket_ns;
    wa_status dead_status;
    char dead_reason[512];
    json_t *hello;
    char *hello_text; /* free() */
    wa_bridge_hello info;
    wa_run_target target;
    wa_nn_limits nn;
    char weights_token[BRIDGE_TOKEN_CHARS + 1];
    uint64_t heard_ns, next_job;
    bridge_job jobs[BRIDGE_JOBS_MAX];
    /* the runner's thread: */
    bool profile;
    double *dispatch_us, *dispatch_at_us, *segment_us; /* one allocation */
    uint32_t next_handle, next_seq;
    uint64_t bytes; /* of buffers, as the page last said */
    wa_bridge_load_times times;
    bridge_memory *memories;
    size_t memory_count, memory_cap;
    bridge_load loads[BRIDGE_LOADS_MAX]; /* changed under host->mutex */
} bridge_session;

typedef struct bridge_ticket {
    struct bridge_ticket *next;
    uint64_t id, made_ns;
    char token[BRIDGE_TOKEN_CHARS + 1];
} bridge_ticket;

typedef struct bridge_file {
    char path[64];
    const char *type;
    const uint8_t *data;
    size_t size;
    uint8_t *owned;
} bridge_file;

struct wa_bridge_host {
    wa_net *net;
    uint16_t port;
    pthread_mutex_t mutex; /* taken before a session's, never after */
    pthread_cond_t changed;
    bridge_ticket *tickets;
    bridge_session *sessions;
    uint64_t next_ticket;
    bridge_file *files;
    size_t file_count;
    uint8_t *bench; /* bytes of the upload benchmark, made at first use */
};

/* bridge_session.c */
bridge_session *wa__session_new(wa_bridge_host *h, wa_ws *ws);
void wa__session_free(bridge_session *s);
/* Frees sessions that neither a socket nor a user has; host->mutex is held. */
void wa__session_sweep(wa_bridge_host *h);
/* One message of the page, on the loop thread. False when the connection must end. */
bool wa__session_on_message(bridge_session *s, const uint8_t *bytes, size_t n, bool binary);
void wa__session_die(bridge_session *s, wa_status status, const char *reason);
/* Sends a job: *out is the runner's until wa__session_release. type as for wa__wire_header; meta is stolen, NULL
 * for none. blobs: the parts of the body, at most BRIDGE_BLOBS_MAX; long ones wait for the page to fetch them.
 * WA_LIMIT when BRIDGE_JOBS_MAX are under way. */
wa_status wa__session_send(bridge_session *s, uint32_t type, uint32_t want, uint32_t seq, json_t *meta, bridge_blob *const *blobs, uint32_t blob_count,
                           bridge_job **out, wa_error *err) WA_MUST_CHECK;
/* Waits for its reply, which job->reply and job->body then hold. A job that is cancelled or misses its deadline
 * ends the session with it. */
wa_status wa__session_await(bridge_session *s, bridge_job *job, const wa_run_control *c, wa_error *err) WA_MUST_CHECK;
void wa__session_release(bridge_session *s, bridge_job *job); /* NULL is legal */
/* Both; *out (may be NULL) is to be released also on failure, where it may be NULL. */
wa_status wa__session_call(bridge_session *s, uint32_t type, uint32_t want, json_t *meta, const wa_run_control *c, bridge_job **out,
                           wa_error *err) WA_MUST_CHECK;
/* bridge_hello.c: fills s->target and s->info from a page's hello; s->mutex is held. */
wa_status wa__session_hello(bridge_session *s, json_t *meta, wa_error *err) WA_MUST_CHECK;
/* bridge_hello_nn.c: what the page's WebNN context lists; what is not in our table is left out. */
void wa__hello_nn(const json_t *hello, wa_nn_limits *out);
/* bridge_manifest_nn.c: the WebNN part of a plan; NULL when memory runs out. */
json_t *wa__manifest_nn(const wa_plan *p);
/* bridge_host.c: takes the ticket of a token out of the list; 0 when there is none. */
uint64_t wa__host_redeem(wa_bridge_host *h, wa_str token, uint64_t *made_ns);
void wa__host_changed(wa_bridge_host *h); /* wakes waiters */
/* 64 hex digits of chance. */
wa_status wa__bridge_token(char out[BRIDGE_TOKEN_CHARS + 1], wa_error *err) WA_MUST_CHECK;
/* bridge_serve.c: answers GET /w/... */
void wa__bridge_serve_weights(wa_bridge_host *h, const wa_net_request *r, wa_net_response *out);
/* bridge_manifest.c: what the page needs to replay a plan. New reference. */
wa_status wa__bridge_manifest(const bridge_load *l, bool timestamps, json_t **out, wa_error *err) WA_MUST_CHECK;
/* bridge_memory.c: finds or makes the memories of a load's buffers; on failure nothing is held. */
wa_status wa__memory_take(bridge_session *s, bridge_load *l, wa_error *err) WA_MUST_CHECK;
void wa__memory_give(bridge_session *s, bridge_load *l);
uint64_t wa__memory_bytes(const bridge_session *s); /* of everything loaded, as predicted */
/* bridge_run.c, bridge_load.c */
extern const wa_runner_ops wa__bridge_ops;
wa_status wa__bridge_load(wa_runner *r, const wa_plan *plan, const wa_run_source *sources, uint32_t source_count, const wa_run_control *c,
                          uint32_t *handle, wa_error *err);
wa_status wa__bridge_unload(wa_runner *r, uint32_t handle, wa_error *err);
wa_status wa__bridge_run(wa_runner *r, uint32_t handle, uint32_t entry, const wa_view *inputs, uint32_t input_count, wa_view *outputs,
                         uint32_t output_count, const wa_run_control *c, wa_run_stats *stats, wa_error *err);
wa_status wa__bridge_begin(wa_runner *r, uint32_t handle, uint32_t entry, const wa_view *inputs, uint32_t input_count, uint64_t *ticket, wa_error *err);
wa_status wa__bridge_finish(wa_runner *r, uint64_t ticket, wa_view *outputs, uint32_t output_count, const wa_run_control *c, wa_run_stats *stats,
                            wa_error *err);
/* bridge_convert.c: count elements between dtypes, range-checked. name is for messages. */
wa_status wa__bridge_convert(const void *src, uint32_t src_dtype, void *dst, uint32_t dst_dtype, uint64_t count, const char *name,
                             wa_error *err) WA_MUST_CHECK;

/* The page's files, built in by cmake/page.cmake. */
typedef struct wa_page_file {
    const char *path; /* "main.js" */
    const uint8_t *data;
    size_t size;
} wa_page_file;
extern const wa_page_file wa__page_files[];
extern const size_t wa__page_file_count;

#endif
