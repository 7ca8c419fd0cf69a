/* What the files of src/api share: the accelerator, opened models, compiled plans, sessions, results.
 * This folder joins the stages: content -> import -> opt -> plan -> run -> results. */
#ifndef WA_API_INT_H
#define WA_API_INT_H
#include "webaccel/webaccel.h"
#include "base/os.h"
#include "base/str.h"
#include "base/threads.h"
#include "browser/browser.h"
#include "cpu/cpu.h"
#include "bridge/bridge.h"
#include "import/import.h"
#include "ipfs/store.h"
#include "opt/opt.h"
#include "plan/plan.h"
#include "program/program.h"
#include "results/results.h"
#include "run/run.h"
#include "task/batch.h"
#include "task/embed.h"
#include "task/model_type.h"
#include "task/task_unicode.h"
#include "task/tokenizer.h"
#include <jansson.h>
#include <stdatomic.h>

enum { API_MODELS_MAX = 4, API_SESSIONS_MAX = 16, API_OUTPUTS_MAX = 256 };

/* --- models (api_model.c) ----------------------------------------------------------------------- */
typedef struct api_model {
    char *ref;  /* as the user named it */
    char *cid;  /* root CID; NULL when the content was not hashed */
    bool by_cid, cache_hit;
    wa_map *maps;
    char **names, **paths; /* inside the folder; on disk */
    wa_model_file *files;
    uint32_t file_count;
    wa_format format;
    const wa_model_file *main_file;
    wa_graph *graph; /* as imported: symbolic */
    wa_embed_config embed; /* by api_model_embed */
    bool embed_read;
    wa_tokenizer *tokenizer; /* NULL until a text comes */
    const char *model_type, *task;
    char type_reason[256];
    uint64_t used; /* for eviction */
} api_model;

wa_status api_model_open(wa_accelerator *a, const char *ref, const char *model_type, api_model **out, wa_error *err) WA_MUST_CHECK;
wa_status api_model_tokenizer(api_model *m, wa_error *err) WA_MUST_CHECK; /* loads it once */
/* A text's token ids, cut to the model's length; its tokenizer and embed must have been read (api_reader.c). */
wa_status api_encode(const api_model *m, wa_str text, wa_encoding *out, wa_error *err) WA_MUST_CHECK;
wa_status api_model_embed(api_model *m, wa_error *err) WA_MUST_CHECK; /* pooling and lengths; again once the tokenizer is there */
void api_model_free(api_model *m);
/* The value that pooling starts from: a float [batch, tokens, hidden] output, by name or the first;
 * or an already pooled [batch, hidden] one (*pooled). WA_UNSUPPORTED when there is none. */
wa_status api_model_hidden(const wa_graph *g, uint32_t *value, bool *pooled, wa_error *err) WA_MUST_CHECK;

/* --- compiling (api_compile.c) ---------------------------------------------------------------------- */
typedef struct api_shape { /* what binds the symbolic dims */
    const char *task; /* "embed": pooling is appended; "tensors": the model's own outputs */
    uint32_t input_count, batch, length;
    uint32_t precision, keep; /* see wa_plan_options */
    bool mixed;
    const char *names[64];
    wa_tensor_type types[64];
} api_shape;
/* Text buckets: every input of the model that embed knows (input_ids, attention_mask, ...). */
wa_status api_shape_embed(const api_model *m, uint32_t batch, uint32_t length, api_shape *out, wa_error *err) WA_MUST_CHECK;
/* From the plan cache in the home, else import's graph -> passes -> plan, then cached. */
wa_status api_compile(wa_accelerator *a, api_model *m, const api_shape *shape, const wa_plan_target *target, wa_plan **out, bool *cached, wa_error *err) WA_MUST_CHECK;
/* Whether a compile for this would give that plan. */
bool api_compiled_for(const api_model *m, const api_shape *shape, const wa_plan_target *target, const wa_plan *p);
/* The bound, optimised graph (inspect, tests). */
wa_status api_optimized(api_model *m, const api_shape *shape, wa_graph **out, wa_error *err) WA_MUST_CHECK;

typedef struct api_tuned api_tuned;

/* --- targets (api_target.c) --------------------------------------------------------------------------- */
/* Opens our page in the browser and waits for its hello (api_bridge.c); the runner is the caller's. webnn:
 * the device type of the WebNN context that it must have, NULL: an adapter is what it must have. */
wa_status api_page_address(wa_accelerator *a, char *out, size_t size, wa_error *err) WA_MUST_CHECK; /* of the page, without a token */
wa_status api_page_connect(wa_accelerator *a, wa_browser *b, const char *webnn, uint32_t limit_ms, wa_runner **out, wa_error *err) WA_MUST_CHECK;

typedef struct api_bucket { /* a further plan of the model that is loaded, for texts of another size */
    wa_plan *plan;
    wa_run_source *sources;
    uint32_t handle, batch, length;
    uint64_t used;
} api_bucket;
enum { API_BUCKETS_MAX = 26 };

typedef struct api_session { /* an open browser with its page, or the CPU */
    wa_runner *runner;
    wa_browser *browser; /* NULL for the CPU */
    char family[16];
    char webnn[8]; /* the device type that its WebNN context was asked for; "" for a session of WebGPU */
    wa_plan_target target;
    /* what is loaded now: */
    wa_plan *plan;
    wa_run_source *sources;
    uint32_t handle, lanes;  /* lanes: runs in flight that the plan is loaded for */
    api_bucket buckets[API_BUCKETS_MAX];
    uint32_t bucket_count;
    wa_program *program;     /* in place of a plan: a model that runs in stages, */
    uint32_t program_precision; /* of that precision, a bit more where mixed */
    const api_model *loaded; /* whose files the plan or program uses */
    char step[32];   /* of the ladder of flag sets */
    char id[32];     /* the browser's, see wa_browser_info */
    double start_ms; /* from launch to the page's hello */
    double launched_at_ms, hello_at_ms; /* wa__os_now_ms: the browser answers; its page said hello */
    api_tuned *tuned; /* what was measured of its target; NULL until asked for */
    bool tuned_here;  /* a first use was tuned in this process: not again for what the time did not reach */
    uint64_t used;
} api_session;

typedef struct api_choice { /* where a run goes, and why */
    api_session *session;
    bool simulated;
    char reason[512];
    char fallback[512]; /* empty: none */
} api_choice;
wa_status api_target_choose(wa_accelerator *a, const wa_accelerate_options *o, const char *model_type, api_choice *out, wa_error *err) WA_MUST_CHECK;
/* Chooses on a thread of its own, where that may start a browser; NULL: choose when it is needed. Until it is taken
 * nobody else opens or closes sessions. */
typedef struct api_ahead api_ahead;
api_ahead *api_ahead_start(wa_accelerator *a, const wa_accelerate_options *o, const char *model_type);
wa_status api_ahead_take(api_ahead *h, api_choice *out, wa_error *err) WA_MUST_CHECK; /* waits, and frees it */
/* The most telling of an adapter's names; NULL when it gives none. */
const char *api_adapter_name(const wa_run_target *t);
/* What the browser that a run will probably open offers, as its last session showed, else WebGPU's
 * defaults; false when the run will not open one. tuned: the name of its tune file, "" not known. For saying before it starts what memory it will take. */
bool api_target_expected(wa_accelerator *a, const wa_accelerate_options *o, const char *model_type, wa_plan_target *out, char tuned[128]);
/* What the browser that `browser` means offered when it was last opened for WebGPU; tuned gets its name only. */
wa_status api_target_recall(wa_accelerator *a, const char *browser, wa_plan_target *out, api_tuned *tuned, wa_error *err) WA_MUST_CHECK;
wa_status api_session_cpu(wa_accelerator *a, api_session **out, wa_error *err) WA_MUST_CHECK;
/* The browser that `name` means (a family, an id or a path), reused when open. software: its software
 * adapter will do. WA_BROWSER when it cannot be had, WA_ADAPTER when it shows no fitting adapter. */
wa_status api_session_browser(wa_accelerator *a, const char *name, bool software, uint32_t timeout_ms, api_session **out, wa_error *err) WA_MUST_CHECK;
/* A browser with WebNN: the one that `name` means, or, NULL, the first that has it. device: "cpu", "gpu",
 * "npu"; NULL or "": "gpu" where the machine has one, else "cpu". */
wa_status api_session_webnn(wa_accelerator *a, const char *name, const char *device, uint32_t timeout_ms, api_session **out, wa_error *err) WA_MUST_CHECK;
/* Loads plan (taken, also on failure) into the session in place of what was there. */
void api_session_unload(api_session *s);
wa_status api_session_load(wa_accelerator *a, api_session *s, const api_model *m, wa_plan *plan, const wa_run_control *c, wa_error *err) WA_MUST_CHECK;
/* Loads one more plan (taken, also on failure) of the model that is loaded: what it can share it shares. */
wa_status api_session_add(api_session *s, const api_model *m, wa_plan *plan, uint32_t batch, uint32_t length, const wa_run_control *c, api_bucket **out, wa_error *err) WA_MUST_CHECK;
void api_session_remove(api_session *s, api_bucket *b);
/* The same for a model whose shapes or control flow depend on data. The last one loaded stays when the
 * model is the same by CID. */
wa_status api_session_stage(wa_accelerator *a, api_session *s, const api_model *m, const api_shape *shape, wa_error *err) WA_MUST_CHECK;
void api_session_close(wa_accelerator *a, api_session *s);
void api_host_close(wa_accelerator *a); /* the page's server */

/* --- precision (api_precision.c) ------------------------------------------------------------------------ */
typedef struct api_error { /* of a run against 32 bits on this CPU, over all float outputs */
    bool known;
    double max_abs, relative; /* largest difference; L2 norm of the difference over the reference's */
    double cosine;            /* the smallest of a text's embedding, or of an output */
} api_error;
typedef struct api_trial { /* one set of inputs on a session; all borrowed but want */
    wa_accelerator *a;
    api_session *session;
    api_model *m;
    api_shape *shape; /* its keep is what a search decides */
    const wa_view *inputs;
    wa_view *outputs, *want; /* of the session's last run; of the reference */
    uint32_t input_count, output_count;
    int64_t rows; /* texts in the outputs' first dim, -1: outputs are no embeddings */
    const wa_run_control *control;
} api_trial;
wa_status api_reference(api_trial *t, wa_error *err) WA_MUST_CHECK; /* fills want; api_reference_free it */
void api_reference_free(api_trial *t);
bool api_finite(const wa_view *v, int64_t rows);
void api_precision_compare(const api_trial *t, api_error *e);
bool api_precision_good(const api_error *e, uint32_t bits);
bool api_precision_recall(const api_trial *t, api_error *e, uint32_t *keep);
void api_precision_remember(const api_trial *t, const api_error *e);
json_t *api_precision_json(const api_error *e); /* NULL when not known */
/* Decides shape->keep and leaves that plan loaded, its outputs in place. */
wa_status api_precision_search(api_trial *t, api_error *e, wa_error *err) WA_MUST_CHECK;
void api_precision_groups(uint32_t keep, char *out, size_t n); /* in words */

/* --- the accelerator ------------------------------------------------------------------------------------ */
struct wa_accelerator {
    char *home, *db_path;
    uint32_t max_connections, threads;
    bool headless, enable_ipfs, offline, store_results;
    wa_log_callback log;
    void *log_user;
    wa_store *store;   /* opened at first use */
    wa_bridge_host *host; /* the page's server, started at first use */
    api_model *models[API_MODELS_MAX];
    api_session sessions[API_SESSIONS_MAX];
    uint32_t session_count;
    api_session cpu;
    uint64_t clock; /* for eviction */
    atomic_bool cancel;
    double created_ms;
    pthread_mutex_t async_mutex; /* jobs run one after another */
};
wa_status api_store(wa_accelerator *a, wa_store **out, wa_error *err) WA_MUST_CHECK;

/* --- results (api_result.c) ------------------------------------------------------------------------------ */
struct wa_result {
    json_t *record; /* every column of schema/record.json by its JSON key, aliases, extras */
    char *json;     /* printed on demand */
    wa_named_tensor outputs[API_OUTPUTS_MAX];
    uint32_t output_count;
    bool embedding; /* print output 0 as an array of rows */
};
wa_result *api_result_new(void);
/* Sets a key; v is stolen, NULL means null. */
bool api_result_set(wa_result *r, const char *key, json_t *v);
/* Adds an output whose memory becomes the result's. */
bool api_result_output(wa_result *r, const char *name, const wa_tensor_type *t, void *data);
/* Spools the row; a failure is logged, never fatal. */
void api_result_store(wa_accelerator *a, const wa_result *r);

/* --- running (api_run.c) ------------------------------------------------------------------------------------ */
wa_status api_run(wa_accelerator *a, api_session *pinned, const wa_accelerate_options *o, wa_result **out, wa_error *err) WA_MUST_CHECK;

/* --- measuring (api_samples.c) --------------------------------------------------------------------------------- */
enum { API_STAGES_MAX = 8 };
/* What a benchmark or a profile wants of a run beside its record. Zero-initialised, then api_samples_done. */
typedef struct api_samples {
    uint32_t warmup_ms;    /* in: runs after the first that are not counted go on this long */
    uint32_t profile_runs; /* in: runs with every dispatch measured, when options ask for a profile */
    double first_ms;       /* the first run, inputs to outputs */
    double *run_ms, *device_ms, *gpu_ms; /* of the measured runs in order; < 0 not known */
    uint32_t run_count;
    double *dispatch_us, *dispatch_at_us; /* profile_runs x dispatch_count; at: from the first one's start, < 0 not known */
    double *segment_us; /* profile_runs x segment_count: CPU segments of a page's plan; < 0 the others */
    uint32_t dispatch_count, segment_count, profiled;
    double profile_end_ms; /* when the last of them had ended */
    double profile_wall_ms;
    struct { const char *name; double at_ms; } stages[API_STAGES_MAX]; /* when each began; names are static */
    uint32_t stage_count;
    api_session *session; /* where it ran: the plan stays loaded there until the next run */
} api_samples;
void api_samples_stage(api_samples *s, const char *stage);
wa_status api_samples_run(api_samples *s, uint32_t runs, const wa_run_stats *stats, double ms, wa_error *err) WA_MUST_CHECK;
wa_status api_samples_profile(api_samples *s, const wa_plan *p, const wa_run_stats *stats, wa_error *err) WA_MUST_CHECK;
void api_samples_done(api_samples *s);
/* api_run with samples taken; nothing is stored among the results. samples may be NULL. */
wa_status api_run_sampled(wa_accelerator *a, api_session *pinned, const wa_accelerate_options *o, api_samples *samples, wa_result **out, wa_error *err) WA_MUST_CHECK;
/* The q-th of n values by interpolation between ranks, 0 <= q <= 1; sorts a copy. NaN when n is 0. */
double api_quantile(const double *values, uint32_t n, double q);

/* --- made-up inputs (api_inputs.c) ------------------------------------------------------------------------------- */
/* Named inputs of a model with seeded values, for measuring: texts' ids and masks at batch x tokens, others by
 * their shapes, where `given` may fix a name's type (its data, when there is any, is borrowed). */
typedef struct api_inputs {
    wa_arena arena;
    wa_named_tensor list[64];
    uint32_t count;
    bool embed; /* texts' ids: the task is embed */
} api_inputs;
wa_status api_inputs_make(const api_model *m, uint32_t batch, uint32_t tokens, const wa_named_tensor *given, size_t given_count, api_inputs *out, wa_error *err) WA_MUST_CHECK;
void api_inputs_done(api_inputs *in);

/* --- what was measured of a target before (api_tune_file.c) ------------------------------------------------------------ */
/* $HOME/tune/<adapter, driver and browser>.json; see api_tune_file.c for its form. */
enum { API_TILES_MAX = 256 };
typedef struct api_tiles { /* measured choices for products of one precision, small M first */
    wa_gpu_tile_row rows[API_TILES_MAX];
    double us[API_TILES_MAX], default_us[API_TILES_MAX];
    uint32_t count;
} api_tiles;
struct api_tuned {
    char name[128]; /* of the file, without .json */
    char adapter[200], driver[80], browser[80]; /* that the name stands for; empty where it has none */
    bool has_floors;
    wa_run_floors floors;
    api_tiles tiles[2]; /* of f32, of f16 */
    bool foreign;       /* tiles are another browser's, see api_tuned_firefox */
};
/* Names a session's target. */
void api_tuned_name(const api_session *s, api_tuned *out);
/* Adds a row, or replaces the one of its shape; false when there is no room. */
bool api_tuned_add(api_tuned *t, bool half, const wa_gpu_tile_row *row, double us, double default_us);
/* The tiles measured in Firefox on this machine's driver, where a file has any, in place of those that t has. */
bool api_tuned_firefox(const wa_accelerator *a, api_tuned *t);
/* Fills the rest from the file; absent: nothing known. A bad file: logged with what is wrong, and nothing known. */
void api_tuned_read(const wa_accelerator *a, api_tuned *t);
/* The same from bytes; name is for messages. */
wa_status api_tuned_parse(const char *bytes, size_t n, const char *name, api_tuned *out, wa_error *err) WA_MUST_CHECK;
wa_status api_tuned_write(const wa_accelerator *a, const api_tuned *t, wa_error *err) WA_MUST_CHECK;
/* The session's floors: known, or measured now and kept. */
wa_status api_floors(wa_accelerator *a, api_session *s, api_tuned *t, wa_error *err) WA_MUST_CHECK;

/* --- tuning (api_tune.c) --------------------------------------------------------------------------------------------- */
/* Makes the session's target choose as this run wants: what was measured before, for this precision. */
void api_tune_target(wa_accelerator *a, api_session *s, const wa_accelerate_options *o, bool half);
/* The same for a browser that is not open yet, by the name of its tune file ("" none); wa__free *keep after planning. */
void api_tune_expected(const wa_accelerator *a, const char *name, const wa_accelerate_options *o, bool half, wa_plan_target *t, api_tuned **keep);
/* At first use on a hardware adapter: times what the plan has and nobody measured yet, for 2 s at most. True when
 * the target chooses otherwise since, so that the model must be planned again. */
bool api_tune_first_use(wa_accelerator *a, api_session *s, const wa_plan *p, const wa_accelerate_options *o, bool half);

/* --- profiles (api_profile.c, api_trace.c) ---------------------------------------------------------------------------- */
/* The shortest time that a dispatch or call of that much work can take, in us. */
double api_floor_us(const wa_run_floors *f, uint64_t flops, uint64_t bytes, uint32_t features);
/* Times of a plan's dispatches or calls as last profiled on that target, wa__free them; NULL when none are known. */
double *api_profile_recall(const wa_accelerator *a, const wa_plan *p, const char *tuned_name);
/* Chrome's trace event format: host spans and the target's on tracks of their own; NULL when out of memory. */
char *api_trace_json(const wa_plan *p, const api_samples *s, double end_ms);

/* --- requests to measure (api_benchmark.c) ------------------------------------------------------------------------ */
wa_status api_measure_checked(const wa_measure_request *q, wa_measure_request *out, wa_error *err) WA_MUST_CHECK;
/* Options of a run as the request wants it; borrows both. */
wa_accelerate_options api_measure_options(const wa_measure_request *q, const api_inputs *in);

char *api_json_text(json_t *steal); /* compact; wa_string_free it; NULL when out of memory */

#endif
