/* wa_benchmark: a model timed whole on made-up inputs. Warm-up, then runs whose median, p10 and p90 are told;
 * where the second half of the runs is not as fast as the first (a GPU's clock that came up or fell) they
 * are measured anew. */
#include "api_int.h"
#include <math.h>

enum { ATTEMPTS = 3 };
#define DRIFT_MAX 1.1 /* medians of the two halves of the runs, larger over smaller */

wa_status api_measure_checked(const wa_measure_request *q, wa_measure_request *out, wa_error *err)
{
    wa_measure_request d = WA_MEASURE_REQUEST_INIT;
    if (!q || q->struct_size == 0 || q->struct_size > sizeof d)
        return wa__fail(err, WA_INVALID_ARGUMENT, "measure request: struct_size is wrong; start from WA_MEASURE_REQUEST_INIT");
    memcpy(&d, q, q->struct_size);
    if (!d.model) return wa__fail(err, WA_INVALID_ARGUMENT, "measure request: no model");
    if (d.batch == 0) d.batch = 1;
    if (d.tokens == 0) d.tokens = 128;
    *out = d;
    return WA_OK;
}

wa_accelerate_options api_measure_options(const wa_measure_request *q, const api_inputs *in)
{
    wa_accelerate_options o = WA_ACCELERATE_OPTIONS_INIT;
    o.model = q->model;
    o.task = in->embed ? "embed" : "tensors";
    o.inputs = in->list;
    o.input_count = in->count;
    o.target = q->target;
    o.browser = q->browser;
    o.precision = q->precision;
    o.mixed_precision = q->mixed_precision;
    o.use_firefox_optimizations = q->use_firefox_optimizations;
    o.compute_shaders = q->compute_shaders;
    o.precompile_shaders = q->precompile_shaders;
    o.parallel_loading = q->parallel_loading;
    o.tune = q->tune;
    o.precision_error = WA_CHOICE_OFF; /* that is a run's business */
    o.no_fallback = true;
    o.runs = q->runs;
    o.timeout_ms = q->timeout_ms;
    o.progress = q->progress;
    o.user = q->user;
    return o;
}

/* Median of the second half of the runs over that of the first. */
static double drift(const api_samples *s)
{
    uint32_t half = s->run_count / 2;
    return half ? api_quantile(s->run_ms + s->run_count - half, half, 0.5) / api_quantile(s->run_ms, half, 0.5) : 1;
}

static json_t *known(double v) { return isfinite(v) && v >= 0 ? json_real(v) : json_null(); }

/* Keys of the result record that say what ran where. */
static void copy_record(json_t *o, const wa_result *r)
{
    static const char *const keys[] = {"model_cid", "model_type", "task", "target", "browser", "browser_version", "adapter", "adapter_name", "adapter_is_software",
                                       "precision", "mixed_precision", "batch", "dispatches", "cpu_segments", "on_target", "load_ms", "tune_ms", "plan_cached", "plan_key", "timestamp", "host",
                                       "version", "system"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *v = json_object_get(r->record, keys[i]);
        json_object_set_new(o, keys[i], v ? json_incref(v) : json_null());
    }
    json_object_set_new(o, "model", json_incref(json_object_get(r->record, "model_name")));
    json_object_set_new(o, "memory_bytes", json_incref(json_object_get(r->record, "memory_actual_bytes")));
}

/* The first numbers of output 0's last row: two engines that got the same inputs are compared by them. */
static json_t *sample_of(const wa_result *r)
{
    json_t *list = json_array();
    if (r->output_count == 0 || !wa__dtype_is_float(r->outputs[0].type.dtype)) return list;
    wa_view v = {r->outputs[0].type, (void *)(uintptr_t)r->outputs[0].data};
    int64_t n = wa__count(&v.type), row = v.type.rank ? v.type.dims[v.type.rank - 1] : n;
    for (int64_t i = 0; i < 8 && i < row && row <= n; i++) {
        double x = wa__get_f64(&v, n - row + i);
        json_array_append_new(list, isfinite(x) ? json_real(x) : json_null());
    }
    return list;
}

static json_t *numbers(const double *v, uint32_t n)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < n; i++) json_array_append_new(list, known(v[i]));
    return list;
}

static json_t *report(const wa_measure_request *q, const api_inputs *in, const api_samples *s, const wa_result *r)
{
    double median = api_quantile(s->run_ms, s->run_count, 0.5), d = drift(s), predicted = 0;
    json_t *o = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:b, s:f}", "median_ms", known(median), "p10_ms", known(api_quantile(s->run_ms, s->run_count, 0.1)),
                          "p90_ms", known(api_quantile(s->run_ms, s->run_count, 0.9)), "min_ms", known(api_quantile(s->run_ms, s->run_count, 0)), "first_ms", known(s->first_ms),
                          "throughput", known(q->batch * 1e3 / median), "device_ms", known(api_quantile(s->device_ms, s->run_count, 0.5)), "gpu_ms",
                          known(api_quantile(s->gpu_ms, s->run_count, 0.5)), "runs", (int)s->run_count, "steady", d < DRIFT_MAX && d > 1 / DRIFT_MAX, "drift", d);
    if (!o) return NULL;
    copy_record(o, r);
    json_object_set_new(o, "batch", json_integer(q->batch));
    json_object_set_new(o, "tokens", in->embed ? json_integer(q->tokens) : json_null());
    if (wa_result_number(r, "memory_predicted_bytes", &predicted)) json_object_set_new(o, "memory_predicted_bytes", json_integer((json_int_t)predicted));
    json_object_set_new(o, "start_ms", s->session && s->session->browser ? json_real(s->session->start_ms) : json_null());
    json_object_set_new(o, "sample", sample_of(r));
    json_object_set_new(o, "runs_ms", numbers(s->run_ms, s->run_count));
    return o;
}

/* One attempt; *out is NULL when the runs drifted and there are attempts left. */
static wa_status attempt(wa_accelerator *a, const wa_measure_request *q, const api_inputs *in, bool last, json_t **first, json_t **out, wa_error *err)
{
    wa_accelerate_options o = api_measure_options(q, in);
    api_samples s = {.warmup_ms = q->warmup_ms};
    wa_result *r = NULL;
    wa_status st = api_run_sampled(a, NULL, &o, &s, &r, err);
    if (st == WA_OK) {
        double d = drift(&s);
        bool steady = d < DRIFT_MAX && d > 1 / DRIFT_MAX;
        json_t *found = report(q, in, &s, r);
        if (!found) st = wa__no_memory(err, "the benchmark");
        /* loading and first use were met once */
        for (size_t i = 0; found && *first && i < 2; i++) {
            const char *key = i ? "load_ms" : "first_ms";
            json_object_set(found, key, json_object_get(*first, key));
        }
        if (found && !*first) *first = json_incref(found);
        if (steady || last) *out = found;
        else json_decref(found);
    }
    wa_result_free(r);
    api_samples_done(&s);
    return st;
}

wa_status wa_benchmark(wa_accelerator *a, const wa_measure_request *request, char **json, wa_error *err)
{
    wa_measure_request q;
    api_model *m;
    api_inputs in = {0};
    json_t *first = NULL, *found = NULL;
    WA_TRY(api_measure_checked(request, &q, err));
    pthread_mutex_lock(&a->async_mutex);
    atomic_store(&a->cancel, false);
    wa_status s = api_model_open(a, q.model, NULL, &m, err);
    if (s == WA_OK) s = api_inputs_make(m, q.batch, q.tokens, q.inputs, q.input_count, &in, err);
    for (int i = 1; i <= ATTEMPTS && s == WA_OK && !found; i++) s = attempt(a, &q, &in, i == ATTEMPTS, &first, &found, err);
    char *text = found ? api_json_text(found) : NULL;
    if (s == WA_OK && !text) s = wa__no_memory(err, "the benchmark");
    if (s == WA_OK) *json = text;
    json_decref(first);
    api_inputs_done(&in);
    pthread_mutex_unlock(&a->async_mutex);
    return s;
}
