/* webaccel: run machine-learning models on the GPU or NPU behind any browser, or on this CPU.
 *
 *     wa_accelerator *a;
 *     wa_error err;
 *     if (wa_accelerator_create(NULL, &a, &err) != WA_OK) ...
 *     const char *texts[] = {"a cat sits on the mat"};
 *     wa_accelerate_options o = WA_ACCELERATE_OPTIONS_INIT;
 *     o.model = "bafybei...";            // a CID, or a path
 *     o.texts = texts, o.text_count = 1;
 *     wa_result *r;
 *     if (wa_accelerate(a, &o, &r, &err) != WA_OK) ...
 *     const wa_named_tensor *t = wa_result_output(r, 0);   // "embedding", f32[1,384]
 *     wa_result_free(r);
 *     wa_accelerator_free(a);
 *
 * Conventions. A fallible function returns wa_status and takes a wa_error last, which may be NULL;
 * on failure its outputs are untouched. Strings are UTF-8 and NUL-terminated unless a length stands
 * beside them. What a function returns through a pointer-to-pointer is the caller's, to be freed by
 * the function named; everything else that is returned is borrowed from its parent. Option structs
 * start from their _INIT macro, whose struct_size lets them grow. An accelerator, its results and
 * its bridges may be used from one thread at a time; wa_job_cancel may be called from any.
 *
 * Text that a function returns as JSON has the keys that `webaccel <command> --json` prints.
 */
#ifndef WEBACCEL_WEBACCEL_H
#define WEBACCEL_WEBACCEL_H
#include "webaccel/types.h"

#ifdef __cplusplus
extern "C" {
#endif

WA_API const char *wa_version(void);
WA_API const char *wa_status_name(wa_status s); /* "not_found" */
WA_API const char *wa_status_text(wa_status s); /* "a file, model, CID or entry does not exist" */
WA_API int wa_status_exit(wa_status s);         /* the command's exit code */
WA_API const char *wa_dtype_name(wa_dtype d);   /* "f32" */
WA_API void wa_string_free(char *s);            /* strings that functions return; NULL is legal */

/* --- the accelerator ---------------------------------------------------------------------------- */
typedef struct wa_accelerator wa_accelerator;

typedef void (*wa_log_callback)(void *user, int level, const char *module, const char *text); /* level 0 error .. 3 debug */

typedef struct wa_accelerator_options {
    size_t struct_size;
    const char *db_path;      /* DuckDB file of results; NULL: $BENCHMARK_DB_PATH, else results.duckdb in the home */
    uint32_t max_connections; /* browsers kept open at once (4) */
    bool headless;            /* (true) */
    bool enable_ipfs;         /* address models by CID (true) */
    const char *home;         /* NULL: $WEBACCEL_HOME, else ~/.webaccel */
    uint32_t threads;         /* CPU threads; 0: the usable cores */
    bool offline;             /* never use the network */
    bool store_results;       /* record every run (true) */
    wa_log_callback log;
    void *log_user;
    int log_level;
} wa_accelerator_options;
#define WA_ACCELERATOR_OPTIONS_INIT {sizeof(wa_accelerator_options), NULL, 4, true, true, NULL, 0, false, true, NULL, NULL, 1}

/* options may be NULL for the defaults. Free with wa_accelerator_free, which closes its browsers. */
WA_API wa_status wa_accelerator_create(const wa_accelerator_options *options, wa_accelerator **out, wa_error *err) WA_MUST_CHECK;
WA_API void wa_accelerator_free(wa_accelerator *a);
/* The process's shared accelerator, made at the first call with these options (later ones are
 * ignored); borrowed, ended by wa_accelerator_shared_close or with the process. Locked inside. */
WA_API wa_status wa_accelerator_shared(const wa_accelerator_options *options, wa_accelerator **out, wa_error *err) WA_MUST_CHECK;
WA_API void wa_accelerator_shared_close(void);

/* --- tensors in files --------------------------------------------------------------------------- */
typedef struct wa_named_tensor {
    const char *name;
    wa_tensor_type type;
    const void *data; /* dense, row-major, little-endian; type's bytes */
    size_t bytes;
} wa_named_tensor;

typedef struct wa_tensor_file wa_tensor_file;
/* Reads .npy, an ONNX TensorProto (.pb), or raw bytes when shape is given ("f32[1,3,224,224]", NULL
 * otherwise). wa_tensor_file_free it. */
WA_API wa_status wa_tensor_read(const char *path, const char *shape, wa_tensor_file **out, wa_error *err) WA_MUST_CHECK;
WA_API const wa_tensor_type *wa_tensor_file_type(const wa_tensor_file *f, const void **data, size_t *bytes); /* borrowed */
/* "f32[1,3,224,224]" */
WA_API wa_status wa_tensor_type_parse(const char *text, wa_tensor_type *out, wa_error *err) WA_MUST_CHECK;
WA_API void wa_tensor_file_free(wa_tensor_file *f);
WA_API wa_status wa_tensor_write_npy(const char *path, const wa_named_tensor *t, wa_error *err) WA_MUST_CHECK;

/* --- running a model ---------------------------------------------------------------------------- */
typedef enum wa_choice { WA_CHOICE_DEFAULT = 0, WA_CHOICE_ON = 1, WA_CHOICE_OFF = 2 } wa_choice;

typedef struct wa_progress {
    const char *stage; /* "import", "compile", "browser", "load", "run" */
    uint64_t done, total; /* bytes for load, items for run; total 0: unknown */
    uint64_t predicted_bytes; /* of target memory; 0 until planned. Set before the browser starts. */
} wa_progress;

typedef enum wa_next_status { WA_NEXT_END = 0, WA_NEXT_TEXT = 1, WA_NEXT_WAIT = 2 } wa_next_status;

typedef struct wa_accelerate_options {
    size_t struct_size;
    const char *model;      /* path of a file or folder, or CID[/path] */
    const char *model_type; /* NULL: detected */
    const char *task;       /* NULL: by model type ("embed"); "tensors" for named tensors */
    const char *const *texts;
    size_t text_count;
    const wa_named_tensor *inputs; /* for task "tensors": any model's named inputs */
    size_t input_count;
    const char *target;  /* NULL or "auto", "cpu", "webgpu", "webnn" */
    const char *browser; /* NULL: chosen; "chrome", "chromium", "edge", "firefox", or a path */
    uint32_t precision;  /* 0: what the model file holds; 4, 8, 16, 32 */
    bool mixed_precision;
    wa_choice use_firefox_optimizations, compute_shaders, precompile_shaders, parallel_loading;
    bool simulate;    /* run on the CPU in place of the browser asked for, and say so */
    bool no_fallback; /* fail when the target asked for is not to be had */
    uint32_t runs;       /* measured runs after the first (1) */
    uint32_t timeout_ms; /* of each run; 0: 300,000 */
    uint32_t batch_max;  /* rows in one run; 0: 32, or of more texts than that by a budget of tokens (0) */
    bool profile;        /* measure every kernel */
    void (*progress)(void *user, const wa_progress *p);
    /* Called for each text in input order as it comes, when set; vector is borrowed. */
    void (*row)(void *user, size_t index, const float *vector, size_t count);
    void *user;
    /* Compare the first outputs with 32 bits on the CPU (precision_error in the result); default: on where
     * precision is 16, 8 or 4. Once a model, precision and target: it is remembered under the home. */
    wa_choice precision_error;
    /* In place of `texts`, for more than memory holds: gives the next text, borrowed until the next call; WA_NEXT_WAIT
     * when none came within about wait_ms, WA_NEXT_END when none will. Called on a thread of the accelerator's, at
     * most two windows of 4096 texts ahead of the rows that are out. With `row` set too, rows are not kept: the
     * result has no output. */
    wa_next_status (*next)(void *user, uint32_t wait_ms, const char **text);
    /* Kernel choices measured on the adapter: used, and measured at first use for 2 s at most. Default: on hardware
     * adapters; ON: on software ones too; OFF: shipped choices alone. compute_shaders is the original's name. */
    wa_choice tune;
} wa_accelerate_options;
#define WA_ACCELERATE_OPTIONS_INIT                                                                 \
    {sizeof(wa_accelerate_options), NULL, NULL, NULL, NULL, 0, NULL, 0, NULL, NULL, 0, false,      \
     WA_CHOICE_DEFAULT, WA_CHOICE_DEFAULT, WA_CHOICE_DEFAULT, WA_CHOICE_DEFAULT, false, false, 1, 0, 0, false, NULL, NULL, NULL, WA_CHOICE_DEFAULT, NULL, \
     WA_CHOICE_DEFAULT}

typedef struct wa_result wa_result;

/* Runs and waits. The result is the caller's (wa_result_free). */
WA_API wa_status wa_accelerate(wa_accelerator *a, const wa_accelerate_options *o, wa_result **out, wa_error *err) WA_MUST_CHECK;
/* The original's name for it. */
WA_API wa_status wa_accelerate_with_browser(wa_accelerator *a, const wa_accelerate_options *o, wa_result **out, wa_error *err) WA_MUST_CHECK;

/* Output tensors, in the model's order; borrowed from the result. NULL past the end. */
WA_API const wa_named_tensor *wa_result_output(const wa_result *r, size_t index);
WA_API size_t wa_result_output_count(const wa_result *r);
/* The whole record: every key of schema/record.json, the original's aliases and `output`. Borrowed. */
WA_API const char *wa_result_json(wa_result *r);
/* One field by its JSON key ("latency_ms", "adapter_is_software", "precision_error.cosine", ...); false when null or
 * unknown. */
WA_API bool wa_result_number(const wa_result *r, const char *key, double *out);
WA_API const char *wa_result_text(const wa_result *r, const char *key); /* NULL when null or unknown */
WA_API void wa_result_free(wa_result *r);

/* Asynchronous: runs on a thread of the accelerator's; `done` is called there once, with a result
 * that becomes the callee's, or with an error. Jobs of one accelerator run one after another. */
typedef struct wa_job wa_job;
typedef void (*wa_done_callback)(void *user, wa_status s, wa_result *r, const wa_error *err);
WA_API wa_status wa_accelerate_async(wa_accelerator *a, const wa_accelerate_options *o, wa_done_callback done, void *user, wa_job **out, wa_error *err) WA_MUST_CHECK;
WA_API void wa_job_cancel(wa_job *j); /* any thread, also inside a signal handler */
WA_API void wa_job_free(wa_job *j);   /* waits for its callback to return */
/* Cancels what the accelerator is running now (any thread, also inside a signal handler). */
WA_API void wa_accelerator_cancel(wa_accelerator *a);

/* --- measuring -------------------------------------------------------------------------------------- */
typedef struct wa_measure_request {
    size_t struct_size;
    const char *model;
    const char *target, *browser; /* as in wa_accelerate_options; there is no falling back */
    uint32_t precision;           /* 0: what the model file holds */
    bool mixed_precision;
    uint32_t batch, tokens;        /* of made-up inputs (1, 128): texts' ids and masks; the first open dim of others is batch */
    const wa_named_tensor *inputs; /* named inputs whose shapes that does not give; data may be NULL: made up */
    size_t input_count;
    uint32_t runs;       /* measured runs; 0: what fits 3 s, from 5 to 100 (a profile: 7) */
    uint32_t warmup_ms;  /* runs before them go on this long (500): clocks that idled come up */
    uint32_t timeout_ms; /* of each run; 0: 300,000 */
    wa_choice use_firefox_optimizations, compute_shaders, precompile_shaders, parallel_loading, tune;
    void (*progress)(void *user, const wa_progress *p);
    void *user;
} wa_measure_request;
#define WA_MEASURE_REQUEST_INIT                                                                   \
    {sizeof(wa_measure_request), NULL, NULL, NULL, 0, false, 1, 128, NULL, 0, 0, 500, 0,           \
     WA_CHOICE_DEFAULT, WA_CHOICE_DEFAULT, WA_CHOICE_DEFAULT, WA_CHOICE_DEFAULT, WA_CHOICE_DEFAULT, NULL, NULL}
/* Times whole runs: {median_ms, p10_ms, p90_ms, first_ms, load_ms, throughput, dispatches, gpu_ms, memory_bytes,
 * target, browser, adapter, precision, runs_ms: [...], ...}. Nothing is stored. wa_string_free it. */
WA_API wa_status wa_benchmark(wa_accelerator *a, const wa_measure_request *q, char **json, wa_error *err) WA_MUST_CHECK;

/* Times, in seconds at most (0: 30), every legal tile of the model's products on the adapter of a browser, and keeps
 * the fastest under the home, where runs in that browser find them: {file, products: [{m, n, k, count, default,
 * default_us, tile, us, speedup, tried, failed}], default_us, us, ...}. wa_string_free it. */
WA_API wa_status wa_tune(wa_accelerator *a, const wa_measure_request *q, uint32_t seconds, char **json, wa_error *err) WA_MUST_CHECK;
/* Times every dispatch (timestamp queries) or CPU call: {kernels: [{label, kind, kernel, spec, grid, flops, bytes,
 * predicted_us, us, share, gflops, gb_s, floor_us, of_floor}], kinds: [totals], floors, wall_ms, gpu_ms, ...}.
 * trace (may be NULL): Chrome's trace event format, for ui.perfetto.dev. wa_string_free each. */
WA_API wa_status wa_profile_kernels(wa_accelerator *a, const wa_measure_request *q, char **json, char **trace, wa_error *err) WA_MUST_CHECK;

/* --- the bridge to one browser ------------------------------------------------------------------- */
typedef struct wa_bridge wa_bridge;
typedef struct wa_bridge_options {
    size_t struct_size;
    const char *browser; /* NULL: chosen */
    bool headless;       /* (true) */
    uint32_t timeout_ms; /* to be ready (30,000) */
    bool software;       /* a software adapter will do */
} wa_bridge_options;
#define WA_BRIDGE_OPTIONS_INIT {sizeof(wa_bridge_options), NULL, true, 30000, false}
/* Finds and launches a browser and waits until its page is ready. */
WA_API wa_status wa_bridge_create(wa_accelerator *a, const wa_bridge_options *o, wa_bridge **out, wa_error *err) WA_MUST_CHECK;
WA_API void wa_bridge_free(wa_bridge *b); /* closes the browser */
/* {browser, browser_version, webgpu, webnn, adapter{...}, features, limits}; wa_string_free it. */
WA_API wa_status wa_bridge_capabilities(wa_bridge *b, char **json, wa_error *err) WA_MUST_CHECK;
/* As wa_accelerate, in this browser. */
WA_API wa_status wa_bridge_request_inference(wa_bridge *b, const wa_accelerate_options *o, wa_result **out, wa_error *err) WA_MUST_CHECK;
/* The smallest run: 10 dispatches and a 4 KiB readback; JSON of medians; wa_string_free it. */
WA_API wa_status wa_bridge_benchmark(wa_bridge *b, char **json, wa_error *err) WA_MUST_CHECK;

/* --- models and plans ------------------------------------------------------------------------------ */
/* Operators, shapes, parameters, type detected and why, memory per precision. wa_string_free it. */
WA_API wa_status wa_inspect(wa_accelerator *a, const char *model, char **json, wa_error *err) WA_MUST_CHECK;
typedef struct wa_plan_request {
    size_t struct_size;
    const char *model, *target; /* "cpu" or "webgpu" */
    uint32_t batch, length;     /* of a text bucket (1, 128) */
    const wa_named_tensor *inputs; /* else: shapes of named inputs (data may be NULL) */
    size_t input_count;
    const char *browser; /* webgpu: as its adapter was when last opened, and with what was measured there; NULL: WebGPU's defaults */
} wa_plan_request;
#define WA_PLAN_REQUEST_INIT {sizeof(wa_plan_request), NULL, "webgpu", 1, 128, NULL, 0, NULL}
/* The plan as text, or its summary as JSON; wa_string_free each. json may be NULL. */
WA_API wa_status wa_plan_describe(wa_accelerator *a, const wa_plan_request *q, char **text, char **json, wa_error *err) WA_MUST_CHECK;

/* --- content ---------------------------------------------------------------------------------------- */
typedef struct wa_add_options {
    size_t struct_size;
    bool hidden; /* take hidden files too */
    void (*progress)(void *user, uint64_t done, uint64_t total);
    void (*followed)(void *user, const char *path, const char *target); /* a link out of the folder was followed */
    void *user;
} wa_add_options;
#define WA_ADD_OPTIONS_INIT {sizeof(wa_add_options), false, NULL, NULL, NULL}
/* Adds a file or folder to the local store; *cid is its root CID, wa_string_free it. options may be NULL. */
WA_API wa_status wa_add(wa_accelerator *a, const char *path, const wa_add_options *options, char **cid, wa_error *err) WA_MUST_CHECK;
/* Writes the content of a CID to a path that must not exist yet. */
WA_API wa_status wa_get(wa_accelerator *a, const char *cid, const char *path, wa_error *err) WA_MUST_CHECK;
WA_API wa_status wa_list(wa_accelerator *a, char **json, wa_error *err) WA_MUST_CHECK; /* wa_string_free it */
WA_API wa_status wa_remove(wa_accelerator *a, const char *cid, wa_error *err) WA_MUST_CHECK;

/* --- results ---------------------------------------------------------------------------------------- */
typedef struct wa_results_query {
    size_t struct_size;
    const char *model, *target, *browser, *since; /* filters; NULL: any. since: ISO 8601 */
    uint32_t limit;                               /* newest first; 0: all */
} wa_results_query;
#define WA_RESULTS_QUERY_INIT {sizeof(wa_results_query), NULL, NULL, NULL, NULL, 20}
/* Merges what is spooled, then reads: a JSON array of records; wa_string_free it. */
WA_API wa_status wa_results(wa_accelerator *a, const wa_results_query *q, char **json, wa_error *err) WA_MUST_CHECK;
/* format "csv", "json" or "parquet". */
WA_API wa_status wa_results_export(wa_accelerator *a, const wa_results_query *q, const char *format, const char *path, wa_error *err) WA_MUST_CHECK;

/* --- this machine -------------------------------------------------------------------------------------- */
/* Machine, browsers, adapters, what will be used and why. With `probe` each browser is started.
 * wa_string_free it. */
WA_API wa_status wa_doctor(wa_accelerator *a, bool probe, char **json, wa_error *err) WA_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
