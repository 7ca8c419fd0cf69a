/* wa_profile_kernels: every dispatch or call of a model with its work, its time by timestamp queries (CPU: by the
 * clock), and how near that is to what the target can do at best. The times are kept in
 * $HOME/profiles/<plan>-<target>.json, where `webaccel plan --print` finds them. */
#include "api_int.h"
#include "base/log.h"
#include <math.h>

#define UNKNOWN UINT64_MAX /* bytes of what is timed as one */
enum { PROFILE_RUNS = 7, FILE_BYTES_MAX = 16 << 20 };

double api_floor_us(const wa_run_floors *f, uint64_t flops, uint64_t bytes, uint32_t features)
{
    double peak = features & (WA_FEATURE_SUBGROUP_MATRIX | WA_FEATURE_MATRIX_F16) && f->matrix_per_s > 0 ? f->matrix_per_s : features & WA_FEATURE_F16 && f->f16_per_s > f->f32_per_s ? f->f16_per_s : f->f32_per_s;
    double copy = (double)bytes <= f->near_bytes ? f->near_bytes_per_s : f->far_bytes_per_s;
    double compute = peak > 0 ? (double)flops / peak * 1e6 : 0, memory = copy > 0 ? (double)bytes / copy * 1e6 : 0;
    return fmax(f->pass_us, fmax(compute, memory));
}

/* --- rows ------------------------------------------------------------------------------------------- */
typedef struct row {
    const char *label, *kernel;
    char spec[256], kind[64];
    uint32_t grid[3];
    uint64_t flops, bytes;
    double us, predicted_us, floor_us; /* us < 0: not measured */
} row;

typedef struct rows {
    const wa_plan *p;
    const api_samples *s;
    const wa_run_floors *floors; /* NULL: not known */
    row *list;
    uint32_t count, at; /* at: dispatches or calls so far */
} rows;

static double median_of(const double *all, uint32_t index, uint32_t stride, uint32_t runs)
{
    double v[64];
    uint32_t n = 0;
    for (uint32_t i = 0; i < runs && n < 64; i++)
        if (all[(size_t)i * stride + index] >= 0) v[n++] = all[(size_t)i * stride + index];
    return n ? api_quantile(v, n, 0.5) : -1;
}

static void spec_text(const wa_wgsl_spec *s, char *out, size_t n)
{
    uint32_t last = WA_WGSL_SPEC_MAX;
    size_t at = 0;
    out[0] = 0;
    while (last && !s->spec[last - 1]) last--;
    for (uint32_t i = 0; i < last && at < n - 12; i++) at += (size_t)snprintf(out + at, n - at, i ? " %u" : "%u", s->spec[i]);
}

/* "f32[1,128,384] f32[384,1152] -> f32[1,128,1152]" */
static void call_text(const wa_plan *p, const wa_plan_call *c, char *out, size_t n)
{
    size_t at = 0;
    out[0] = 0;
    for (uint32_t k = 0; k < c->in_count + c->out_count && at < n - 120; k++) {
        const wa_plan_operand *o = &p->operands[c->operand_first + k];
        wa_tensor_type t = {.dtype = (wa_dtype)o->dtype, .rank = o->rank};
        char type[100] = "-";
        memcpy(t.dims, o->dims, sizeof t.dims);
        if (o->kind != WA_OPERAND_NONE) wa__type_text(&t, type, sizeof type);
        at += (size_t)snprintf(out + at, n - at, "%s%s%s", k == c->in_count ? "-> " : "", type, k + 1 < c->in_count + c->out_count ? " " : "");
    }
}

static void kind_of(row *r)
{
    size_t n = strcspn(r->label, " ");
    snprintf(r->kind, sizeof r->kind, "%.*s", (int)(n < sizeof r->kind ? n : sizeof r->kind - 1), r->label);
}

static void gpu_row(rows *x, uint32_t index)
{
    const wa_plan_dispatch *d = &x->p->dispatches[index];
    const wa_plan_pipeline *l = &x->p->pipelines[d->pipeline];
    wa_wgsl_info info = {0};
    row *r = &x->list[x->count++];
    wa_status s = wa__wgsl_check(&l->spec, x->p->code, &info, NULL);
    *r = (row){.label = wa__plan_text(x->p, d->label), .kernel = wa__plan_text(x->p, l->label), .grid = {d->grid[0], d->grid[1], d->grid[2]}, .flops = d->flops, .bytes = d->bytes,
               .us = -1, .predicted_us = d->predicted_ns / 1e3, .floor_us = -1};
    spec_text(&l->spec, r->spec, sizeof r->spec);
    if (x->s->dispatch_us && x->at < x->s->dispatch_count) r->us = median_of(x->s->dispatch_us, x->at, x->s->dispatch_count, x->s->profiled);
    if (x->floors) r->floor_us = api_floor_us(x->floors, d->flops, d->bytes, s == WA_OK ? info.features : 0);
    x->at++;
}

static void cpu_row(rows *x, uint32_t index)
{
    const wa_plan_call *c = &x->p->calls[index];
    row *r = &x->list[x->count++];
    *r = (row){.label = wa__plan_text(x->p, c->label), .kernel = wa__op_info(c->op)->name, .flops = c->flops, .bytes = c->bytes, .us = -1, .predicted_us = -1, .floor_us = -1};
    if (!*r->label) r->label = r->kernel;
    call_text(x->p, c, r->spec, sizeof r->spec);
    if (x->s->dispatch_us && x->at < x->s->dispatch_count) r->us = median_of(x->s->dispatch_us, x->at, x->s->dispatch_count, x->s->profiled);
    if (x->floors) r->floor_us = r->predicted_us = api_floor_us(x->floors, c->flops, c->bytes, 0);
    x->at++;
}

/* A segment that is timed as one: of this machine's CPU in a page's plan, or one graph of WebNN. */
static void segment_row(rows *x, uint32_t index)
{
    const wa_plan_segment *g = &x->p->segments[index];
    bool cpu = g->target == WA_TARGET_CPU, alone = x->p->segment_count == 1;
    row *r = &x->list[x->count++];
    *r = (row){.label = cpu ? "CPU segment" : "WebNN graph", .kernel = cpu ? "cpu" : "webnn", .flops = g->flops, .bytes = UNKNOWN, .us = -1, .predicted_us = -1, .floor_us = -1};
    snprintf(r->spec, sizeof r->spec, "%u operations%s%.200s", g->count, g->reason ? ": " : "", wa__plan_text(x->p, g->reason));
    if (cpu && x->s->segment_us) r->us = median_of(x->s->segment_us, index, x->s->segment_count, x->s->profiled);
    if (!cpu && alone && x->s->run_count) r->us = api_quantile(x->s->device_ms, x->s->run_count, 0.5) * 1e3; /* the page's own clock */
}

static wa_status make_rows(rows *x, wa_error *err)
{
    const wa_plan *p = x->p;
    const wa_plan_entry *e = &p->entries[0];
    if (!(x->list = wa__alloc((size_t)p->dispatch_count + p->call_count + p->segment_count + 1, sizeof *x->list))) return wa__no_memory(err, "a profile");
    for (uint32_t i = 0; i < e->segment_count; i++) {
        const wa_plan_segment *g = &p->segments[e->segment_first + i];
        bool whole = g->target == WA_TARGET_WEBNN || (g->target == WA_TARGET_CPU && p->info.target != WA_TARGET_CPU);
        if (g->count && whole) segment_row(x, e->segment_first + i);
        for (uint32_t k = 0; k < g->count && !whole; k++) {
            if (g->target == WA_TARGET_CPU) cpu_row(x, g->first + k);
            else gpu_row(x, g->first + k);
        }
    }
    for (uint32_t i = 0; i < x->count; i++) kind_of(&x->list[i]);
    return WA_OK;
}

/* --- JSON ------------------------------------------------------------------------------------------- */
static json_t *number(double v) { return isfinite(v) && v >= 0 ? json_real(v) : json_null(); }

static double sum_us(const rows *x)
{
    double sum = 0;
    for (uint32_t i = 0; i < x->count; i++) sum += x->list[i].us > 0 ? x->list[i].us : 0;
    return sum;
}

/* What row and totals have in common. */
static void put_numbers(json_t *o, const row *r, double whole)
{
    bool timed = r->us > 0;
    json_object_set_new(o, "us", number(r->us));
    json_object_set_new(o, "predicted_us", number(r->predicted_us));
    json_object_set_new(o, "share", number(timed && whole > 0 ? r->us / whole : -1));
    json_object_set_new(o, "flops", json_integer((json_int_t)r->flops));
    json_object_set_new(o, "bytes", r->bytes == UNKNOWN ? json_null() : json_integer((json_int_t)r->bytes));
    json_object_set_new(o, "gflops", number(timed ? (double)r->flops / r->us / 1e3 : -1));
    json_object_set_new(o, "gb_s", number(timed && r->bytes != UNKNOWN ? (double)r->bytes / r->us / 1e3 : -1));
    json_object_set_new(o, "floor_us", number(r->floor_us));
    json_object_set_new(o, "of_floor", number(timed && r->floor_us >= 0 ? r->floor_us / r->us : -1));
}

static json_t *kernels_json(const rows *x)
{
    json_t *list = json_array();
    double whole = sum_us(x);
    for (uint32_t i = 0; i < x->count; i++) {
        const row *r = &x->list[i];
        json_t *o = json_pack("{s:s, s:s, s:s, s:s}", "label", r->label, "kind", r->kind, "kernel", r->kernel, "spec", r->spec);
        if (!o) continue;
        json_object_set_new(o, "grid", r->grid[0] ? json_pack("[i, i, i]", (int)r->grid[0], (int)r->grid[1], (int)r->grid[2]) : json_null());
        put_numbers(o, r, whole);
        json_array_append_new(list, o);
    }
    return list;
}

/* Totals by operator, the longest first. */
static json_t *kinds_json(const rows *x)
{
    row totals[128];
    uint32_t counts[128], n = 0;
    json_t *list = json_array();
    for (uint32_t i = 0; i < x->count; i++) {
        const row *r = &x->list[i];
        uint32_t k = 0;
        while (k < n && strcmp(totals[k].kind, r->kind) != 0) k++;
        if (k == 128) continue;
        if (k == n) {
            totals[n] = *r;
            counts[n++] = 1;
            continue;
        }
        counts[k]++;
        totals[k].flops += r->flops;
        totals[k].bytes = r->bytes == UNKNOWN ? UNKNOWN : totals[k].bytes + r->bytes;
        totals[k].us = totals[k].us < 0 || r->us < 0 ? fmax(totals[k].us, r->us) : totals[k].us + r->us;
        totals[k].predicted_us += r->predicted_us;
        totals[k].floor_us += r->floor_us;
    }
    for (uint32_t done = 0; done < n; done++) {
        uint32_t most = 0;
        for (uint32_t k = 1; k < n; k++)
            if (counts[k] && (!counts[most] || totals[k].us > totals[most].us)) most = k;
        json_t *o = json_pack("{s:s, s:i}", "kind", totals[most].kind, "count", (int)counts[most]);
        if (o) put_numbers(o, &totals[most], sum_us(x));
        json_array_append_new(list, o);
        counts[most] = 0;
    }
    return list;
}

static json_t *floors_json(const wa_run_floors *f)
{
    return f ? json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:o}", "pass_us", f->pass_us, "dispatch_us", f->dispatch_us, "near_bytes", f->near_bytes, "near_bytes_per_s", f->near_bytes_per_s,
                         "far_bytes_per_s", f->far_bytes_per_s, "f32_per_s", f->f32_per_s, "f16_per_s", f->f16_per_s > 0 ? json_real(f->f16_per_s) : json_null(), "matrix_per_s",
                         f->matrix_per_s > 0 ? json_real(f->matrix_per_s) : json_null())
             : json_null();
}

/* --- remembering -------------------------------------------------------------------------------------- */
static char *profile_path(const wa_accelerator *a, const wa_plan *p, const char *name)
{
    char hex[65];
    size_t n = strlen(name);
    wa__hex(p->info.key, 32, hex);
    return wa__format("%s/profiles/%s-%s.json", a->home, hex, n > 8 ? name + n - 8 : name); /* the hash at the name's end */
}

static void remember(const wa_accelerator *a, const api_samples *s, const wa_plan *p, const char *name)
{
    char *path = profile_path(a, p, name), *folder = wa__path_join(a->home, "profiles");
    json_t *list = json_array();
    wa_error err = {0};
    for (uint32_t i = 0; i < s->dispatch_count; i++) json_array_append_new(list, json_real(median_of(s->dispatch_us, i, s->dispatch_count, s->profiled)));
    char *text = api_json_text(json_pack("{s:i, s:s, s:o}", "webaccel_profile", 1, "target", name, "us", list));
    wa_status st = path && folder && text ? wa__os_mkdirs(folder, 0700, &err) : wa__no_memory(&err, "a profile");
    if (st == WA_OK) st = wa__os_write_file(path, text, strlen(text), 0600, &err);
    if (st != WA_OK) wa__log(WA_LOG_INFO, "api", "profile not kept: %s", err.message);
    wa_string_free(text);
    wa__free(path);
    wa__free(folder);
}

double *api_profile_recall(const wa_accelerator *a, const wa_plan *p, const char *tuned_name)
{
    char *path = profile_path(a, p, tuned_name);
    uint32_t n = p->info.target == WA_TARGET_CPU ? p->call_count : p->dispatch_count;
    wa_buf b;
    wa__buf_init(&b, FILE_BYTES_MAX);
    json_t *o = path && wa__os_read_file(path, &b, NULL) == WA_OK && b.len ? json_loadb(b.ptr, b.len, 0, NULL) : NULL, *us = json_object_get(o, "us");
    double *out = n && json_array_size(us) == n ? wa__alloc(n, sizeof *out) : NULL;
    for (uint32_t i = 0; out && i < n; i++) {
        double v = json_number_value(json_array_get(us, i));
        out[i] = v > 0 && v < 1e12 ? v : -1;
    }
    json_decref(o);
    wa__buf_done(&b);
    wa__free(path);
    return out;
}

/* --- the call ------------------------------------------------------------------------------------------ */
static json_t *report(const wa_measure_request *q, const api_inputs *in, const api_samples *s, const wa_result *r, const api_tuned *t, rows *x)
{
    static const char *const keys[] = {"model_cid", "target", "browser", "browser_version", "adapter", "adapter_name", "adapter_is_software", "precision", "plan_key", "timestamp", "version", "system"};
    json_t *o = json_pack("{s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:i}", "model", q->model, "batch", (int)q->batch, "tokens", in->embed ? json_integer(q->tokens) : json_null(), "wall_ms",
                          number(api_quantile(s->run_ms, s->run_count, 0.5)), "device_ms", number(api_quantile(s->device_ms, s->run_count, 0.5)), "gpu_ms",
                          number(api_quantile(s->gpu_ms, s->run_count, 0.5)), "kernels_ms", number(sum_us(x) / 1e3), "profiled_runs", (int)s->profiled);
    if (!o) return NULL;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) json_object_set(o, keys[i], json_object_get(r->record, keys[i]));
    json_object_set_new(o, "driver", *t->driver ? json_string(t->driver) : json_null());
    json_object_set_new(o, "floors", floors_json(x->floors));
    json_object_set_new(o, "kinds", kinds_json(x));
    json_object_set_new(o, "kernels", kernels_json(x));
    return o;
}

static wa_status profile(wa_accelerator *a, const wa_measure_request *q, const api_inputs *in, char **json, char **trace, wa_error *err)
{
    wa_accelerate_options o = api_measure_options(q, in);
    bool webnn = q->target && strncmp(q->target, "webnn", 5) == 0; /* a graph is run whole */
    api_samples s = {.warmup_ms = q->warmup_ms, .profile_runs = q->runs ? (q->runs < 64 ? q->runs : 64) : PROFILE_RUNS};
    api_tuned t = {0};
    rows x = {.s = &s};
    wa_result *r = NULL;
    char *text = NULL, *spans = NULL;
    o.runs = s.profile_runs;
    o.profile = !webnn;
    wa_status st = api_run_sampled(a, NULL, &o, &s, &r, err);
    double end_ms = s.profile_end_ms > 0 ? s.profile_end_ms : wa__os_now_ms();
    if (st == WA_OK && !s.session->plan) st = wa__fail(err, WA_UNSUPPORTED, "%s runs in stages that are planned as it runs: profile its parts, or time it with webaccel bench", q->model);
    if (st == WA_OK) {
        x.p = s.session->plan;
        api_tuned_name(s.session, &t);
        api_tuned_read(a, &t);
        if (!webnn) st = api_floors(a, s.session, &t, err);
    }
    if (st == WA_OK) {
        x.floors = t.has_floors ? &t.floors : NULL;
        st = make_rows(&x, err);
    }
    if (st == WA_OK && s.dispatch_us) remember(a, &s, x.p, t.name);
    if (st == WA_OK && (!(text = api_json_text(report(q, in, &s, r, &t, &x))) || (trace && !(spans = api_trace_json(x.p, &s, end_ms))))) st = wa__no_memory(err, "the profile");
    if (st == WA_OK) {
        *json = text;
        if (trace) *trace = spans;
    } else {
        wa_string_free(text);
        wa_string_free(spans);
    }
    wa__free(x.list);
    wa_result_free(r);
    api_samples_done(&s);
    return st;
}

wa_status wa_profile_kernels(wa_accelerator *a, const wa_measure_request *request, char **json, char **trace, wa_error *err)
{
    wa_measure_request q;
    api_model *m;
    api_inputs in = {0};
    WA_TRY(api_measure_checked(request, &q, err));
    pthread_mutex_lock(&a->async_mutex);
    atomic_store(&a->cancel, false);
    wa_status s = api_model_open(a, q.model, NULL, &m, err);
    if (s == WA_OK) s = api_inputs_make(m, q.batch, q.tokens, q.inputs, q.input_count, &in, err);
    if (s == WA_OK) s = profile(a, &q, &in, json, trace, err);
    api_inputs_done(&in);
    pthread_mutex_unlock(&a->async_mutex);
    return s;
}
