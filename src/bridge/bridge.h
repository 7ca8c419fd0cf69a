/* `run` in a page: a host serves the page and its weights on loopback, each page that says hello
 * becomes a session, and a session is a wa_runner (run/run.h).
 *
 *   wa__bridge_host_create -> wa__bridge_host_url (open it in a browser) -> wa__bridge_host_wait
 *   -> a runner: load, run, unload, free
 *
 * The URL carries a 256-bit one-time token in its fragment, which the page sends in its first
 * message. Weights are fetched by HTTP Range under an unguessable path with a second token, straight
 * from the mapped source. A frame of the page is checked fully before anything uses it; one that
 * breaks the protocol ends its session (WA_PROTOCOL).
 *
 * A host may be used from many threads; a runner belongs to one thread at a time. Plans must have
 * passed wa__plan_verify. A runner must be freed before its host.
 *
 * A job that misses its deadline is cancelled and its session marked dead, since a GPU may hang for
 * good: the caller restarts the browser. Losing the device, the page or its heartbeat does the same;
 * a dead session's calls fail at once, saying why.
 */
#ifndef WA_BRIDGE_H
#define WA_BRIDGE_H
#include "run/run.h"

typedef struct wa_bridge_host wa_bridge_host;

/* Starts the loop thread and the server on 127.0.0.1. page_dir: serve the page's files from this
 * folder, read at create (development); NULL: the ones built in. */
wa_status wa__bridge_host_create(const char *page_dir, wa_bridge_host **out, wa_error *err) WA_MUST_CHECK;
void wa__bridge_host_free(wa_bridge_host *h); /* NULL is legal */
uint16_t wa__bridge_host_port(const wa_bridge_host *h);
/* A URL for one page and the ticket to wait for it with; wa__free the URL. It works once. webnn: the
 * device type that the page asks a WebNN context for ("cpu", "gpu", "npu"), NULL or "": none. */
wa_status wa__bridge_host_url(wa_bridge_host *h, const char *webnn, char **url, uint64_t *ticket, wa_error *err) WA_MUST_CHECK;

typedef struct wa_bridge_wants {
    uint32_t timeout_ms;       /* for the hello; 0: 30,000 */
    const atomic_bool *cancel; /* may be NULL */
    /* Polled every 50 ms while waiting; false ends the wait with WA_BROWSER (the browser died). */
    bool (*alive)(void *user);
    void *user;
    bool probably_software; /* no GPU known on this machine: an adapter that names nothing counts as software */
    bool webnn;             /* the page needs a WebNN context and may have no adapter */
} wa_bridge_wants;
/* Plans for this page: its adapter (WA_TARGET_WEBGPU), or its WebNN context, with WebGPU for what that cannot
 * run where the adapter is hardware. Borrows the runner's limits. */
void wa__bridge_plan_target(const wa_runner *r, wa_target target, wa_plan_target *out);
/* Waits for the page of that ticket. A page without a usable adapter gives WA_ADAPTER with its reason.
 * The runner is the caller's: runner->ops->free says BYE. */
wa_status wa__bridge_host_wait(wa_bridge_host *h, uint64_t ticket, const wa_bridge_wants *w, wa_runner **out, wa_error *err) WA_MUST_CHECK;

/* What the page said of itself. Strings live as long as the runner; "" when unknown. */
typedef struct wa_bridge_hello {
    const char *user_agent, *browser, *version;
    const char *software_reason; /* why the adapter counts as software, or as hardware */
    bool webgpu, webnn, worker, isolated; /* webnn: a context was asked for and made */
    const char *webnn_error; /* why not; "" */
    double adapter_ms; /* page's start to device in hand */
    double opened_ms;  /* navigation to hello, by the page's clock */
    double hello_ms;   /* URL made to hello received */
    const char *json;  /* the whole hello without its token */
} wa_bridge_hello;
/* Only for runners that wa__bridge_host_wait gave; so below. */
const wa_bridge_hello *wa__bridge_hello(const wa_runner *r);
/* Of the last load: the manifest made by us, and in the page, from the frame on, when all weights were on their way
 * to the GPU, all pipelines made, and the load done; < 0 unknown. */
typedef struct wa_bridge_load_times {
    double manifest_ms, weights_ms, pipelines_ms, load_ms;
} wa_bridge_load_times;
wa_bridge_load_times wa__bridge_load_times(const wa_runner *r);
/* False once the session is dead; why (may be NULL) gets the reason, borrowed. */
bool wa__bridge_alive(wa_runner *r, const char **why);
/* From now on each run measures every dispatch (a pass each): stats.dispatch_us is set, in the order
 * of the entry's dispatches, < 0 where not measured. Needs timestamp queries. */
void wa__bridge_profile(wa_runner *r, bool on);
/* Is the page's worker there? WA_OK once it answered within timeout_ms. */
wa_status wa__bridge_ping(wa_runner *r, uint32_t timeout_ms, wa_error *err) WA_MUST_CHECK;

/* A small run: 10 dispatches and a 4 KiB readback; medians of `runs`. */
typedef struct wa_bridge_bench {
    double ours_ms, ours_p90_ms, ours_min_ms;    /* completion learnt as our runtime does */
    double plain_ms, plain_p90_ms, plain_min_ms; /* plain mapAsync */
    double trip_ms;                /* host to worker and back, without the GPU */
    double upload_gbps, fetch_gbps; /* weights path: HTTP to GPU buffer, 64 MiB; and without the GPU */
    uint32_t runs;
} wa_bridge_bench;
wa_status wa__bridge_bench(wa_runner *r, uint32_t runs, wa_bridge_bench *out, wa_error *err) WA_MUST_CHECK;
/* One kernel with buffers like a plan's, and forms of it to be timed: bridge_time.c. */
#define WA_BRIDGE_CASE_BINDINGS 8
typedef struct wa_bridge_case {
    uint64_t sizes[WA_BRIDGE_CASE_BINDINGS]; /* of the storage bindings, bytes */
    uint32_t binding_count, write_mask;
    const uint32_t *words; /* the params uniform */
    uint32_t word_count;
    uint32_t copies; /* sets of such buffers, gone through in turn */
    bool half;       /* the output holds f16 */
} wa_bridge_case;
typedef struct wa_bridge_candidate {
    const char *code; /* WGSL; borrowed */
    uint32_t grid[3];
    double us;        /* out: < 0 not measured */
    char why[160];    /* out: why not; empty: the time was over */
} wa_bridge_candidate;
/* Times them in order until limit_ms is over. One whose results are not those of the first gets no time. */
wa_status wa__bridge_time(wa_runner *r, const wa_bridge_case *k, wa_bridge_candidate *list, uint32_t count, uint32_t limit_ms, const atomic_bool *cancel, wa_error *err) WA_MUST_CHECK;
/* What the adapter does at best; takes about a second. Needs timestamp queries. */
wa_status wa__bridge_floors(wa_runner *r, wa_run_floors *out, wa_error *err) WA_MUST_CHECK;

#endif
