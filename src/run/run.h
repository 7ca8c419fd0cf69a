/* One interface over targets: load a plan, set inputs, run an entry, read outputs.
 * thread at a time; cancel may be called from any thread. */
#ifndef WA_RUN_H
#define WA_RUN_H
#include "plan/plan.h"
#include <stdatomic.h>

/* Bytes of the model's files: weights are read through it, in place. files[i] matches plan source i. */
typedef struct wa_run_source {
    const uint8_t *data;
    uint64_t size;
} wa_run_source;

typedef struct wa_run_progress { /* of a load */
    uint64_t bytes_done, bytes_total;
    uint32_t pipelines_done, pipelines_total;
} wa_run_progress;

typedef struct wa_run_control { /* all optional */
    uint32_t timeout_ms; /* 0: none */
    const atomic_bool *cancel;
    void (*progress)(void *user, const wa_run_progress *p); /* on the calling thread */
    void *user;
    uint32_t lanes; /* of a load: runs that will be in flight at once (0: 1) */
    bool lazy;      /* of a load: pipelines are compiled when the first run wants them */
} wa_run_control;

typedef struct wa_run_stats {
    double wall_ms;      /* inputs handed over to outputs received */
    double device_ms;    /* as the target itself measured the run, < 0 unknown (page: performance.now) */
    double gpu_ms;       /* timestamp queries, < 0 not offered */
    uint32_t dispatches, submits, cpu_segments, transfers;
    double *dispatch_us; /* per dispatch when profiling was asked for, else NULL; owned by the runner */
    double *dispatch_at_us; /* likewise: its start after the first one's, < 0 or NULL not known */
    double *segment_us;     /* likewise, per segment of the plan: those that this machine's CPU ran for a page; < 0 the others */
} wa_run_stats;

/* What a target does at best, measured: kernels' floors are made of it. 0: it has no such thing. */
typedef struct wa_run_floors {
    double pass_us;     /* the least that a dispatch timed on its own, or a call, takes */
    double dispatch_us; /* a dispatch that depends on the one before */
    double near_bytes;  /* data up to this many bytes stay in a cache */
    double near_bytes_per_s, far_bytes_per_s; /* copying, read and written both counted */
    double f32_per_s, f16_per_s, matrix_per_s; /* operations, a multiply-add counts as two; matrix: f16 matrix units */
} wa_run_floors;

typedef struct wa_run_target { /* what really ran; strings live as long as the runner */
    const char *target;  /* "cpu", "webgpu" */
    const char *browser, *browser_version; /* NULL on the CPU */
    const char *adapter_vendor, *adapter_architecture, *adapter_device, *adapter_description;
    bool adapter_software;
    uint32_t features;
    uint64_t limit_buffer, limit_binding;
    uint32_t workgroup_bytes, invocations;
    bool webgpu; /* the page has a device */
    bool webnn;  /* the page has a WebNN context; what it lists: */
    const struct wa_nn_limits *nn;
    const char *webnn_device;    /* the device type asked for; "" none */
    const char *webnn_placement; /* "cpu", "accelerated" when the browser says so, else "unknown": a context of
                                    another device type that is made proves nothing */
} wa_run_target;

typedef struct wa_runner wa_runner;
typedef struct wa_runner_ops {
    const char *name;
    /* plan and sources are borrowed until unload. handle names the loaded plan. */
    wa_status (*load)(wa_runner *r, const wa_plan *plan, const wa_run_source *sources, uint32_t source_count,
                      const wa_run_control *c, uint32_t *handle, wa_error *err);
    /* inputs match the entry's input ios in order (types exactly), outputs likewise with memory of
     * the caller. stats may be NULL. */
    wa_status (*run)(wa_runner *r, uint32_t handle, uint32_t entry, const wa_view *inputs, uint32_t input_count,
                     wa_view *outputs, uint32_t output_count, const wa_run_control *c, wa_run_stats *stats, wa_error *err);
    wa_status (*unload)(wa_runner *r, uint32_t handle, wa_error *err);
    /* Bytes that the target really allocated for everything loaded now, and that the plans said it would:
     * what loads share counts once. */
    uint64_t (*actual_bytes)(wa_runner *r);
    uint64_t (*predicted_bytes)(wa_runner *r);
    const wa_run_target *(*target)(wa_runner *r);
    void (*free)(wa_runner *r);
    /* Runs in flight, NULL where a runner has none: begin hands a run over and returns, finish waits for one and
     * takes its outputs. Of plans whose segments are all on WebGPU, up to the `lanes` they were loaded with; the
     * target runs them in the order begun. A run that failed or was cancelled is finished too. */
    wa_status (*begin)(wa_runner *r, uint32_t handle, uint32_t entry, const wa_view *inputs, uint32_t input_count, uint64_t *ticket, wa_error *err);
    wa_status (*finish)(wa_runner *r, uint64_t ticket, wa_view *outputs, uint32_t output_count, const wa_run_control *c, wa_run_stats *stats,
                        wa_error *err);
} wa_runner_ops;
struct wa_runner {
    const wa_runner_ops *ops;
};

/* Whether two loaded plans' weight buffers hold the same bytes in the same places, so that one will do (run_share.c). */
bool wa__run_same_weights(const wa_plan *a, const wa_run_source *a_sources, uint32_t a_buffer, const wa_plan *b, const wa_run_source *b_sources,
                          uint32_t b_buffer);

#endif
