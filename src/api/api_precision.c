/* How far a run of fewer bits is from 32 bits on this CPU, and what a mixed plan keeps in 32 bits.
 * In: a model, its bound shape, one set of inputs (the request's first), the session that runs it. Out: the
 * error, and for a mixed plan the groups to keep. Both are remembered under $HOME/precision by model, target,
 * adapter and precision, when the model was hashed: then no second request pays for them. Called by api_run.c. */
#include "api_int.h"
#include "base/log.h"
#include <math.h>

#define SEARCH_MS 60000.0 /* a search tries no further plan after that, and keeps what it knows to be worst */

/* --- the reference --------------------------------------------------------------------------------- */

static wa_status run_reference(api_session *cpu, const api_trial *t, wa_view *out, wa_error *err)
{
    api_shape shape = *t->shape;
    wa_plan *p = NULL;
    bool cached;
    shape.precision = 32;
    shape.keep = 0;
    shape.mixed = false;
    WA_TRY(api_compile(t->a, t->m, &shape, &cpu->target, &p, &cached, err));
    WA_TRY(api_session_load(t->a, cpu, t->m, p, t->control, err));
    return cpu->runner->ops->run(cpu->runner, cpu->handle, 0, t->inputs, t->input_count, out, t->output_count, t->control, NULL, err);
}

void api_reference_free(api_trial *t)
{
    for (uint32_t i = 0; t->want && i < t->output_count; i++) wa__free(t->want[i].data);
    wa__free(t->want);
    t->want = NULL;
}

wa_status api_reference(api_trial *t, wa_error *err)
{
    api_session cpu = {.target = {.target = WA_TARGET_CPU}, .handle = WA_NONE};
    bool ok = (t->want = wa__alloc(t->output_count + 1u, sizeof *t->want)) != NULL;
    for (uint32_t i = 0; i < t->output_count && ok; i++) {
        t->want[i].type = t->outputs[i].type;
        ok = (t->want[i].data = wa__alloc(1, (size_t)wa__bytes(&t->want[i].type) + 1)) != NULL;
    }
    wa_status s = ok ? wa__cpu_runner_create(t->a->threads, &cpu.runner, err) : wa__no_memory(err, "the reference");
    if (s == WA_OK) s = run_reference(&cpu, t, t->want, err);
    if (cpu.runner) {
        api_session_unload(&cpu);
        cpu.runner->ops->free(cpu.runner);
    }
    if (s != WA_OK) api_reference_free(t);
    return s == WA_OK ? s : wa__fail_in(err, s, "the run in 32 bits on the CPU that the precision is measured against");
}

/* --- the error --------------------------------------------------------------------------------------- */

bool api_finite(const wa_view *v, int64_t rows)
{
    int64_t n = wa__count(&v->type);
    if (rows >= 0 && v->type.rank && v->type.dims[0] > 0) n = n / v->type.dims[0] * (rows < v->type.dims[0] ? rows : v->type.dims[0]);
    if (!wa__dtype_is_float(v->type.dtype)) return true;
    if (v->type.dtype == WA_F32) {
        const float *f = v->data;
        for (int64_t i = 0; i < n; i++)
            if (!isfinite(f[i])) return false;
        return true;
    }
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(wa__get_f64(v, i))) return false;
    return true;
}

typedef struct sums {
    double most, difference, want, got, product;
} sums;

static double cosine(const sums *s)
{
    if (s->want == 0 || s->got == 0) return s->want == s->got ? 1 : 0;
    return s->product / sqrt(s->want * s->got);
}

/* Elements [from, from + n) of both. What is not finite in the reference is left out. */
static void add(sums *s, const wa_view *got, const wa_view *want, int64_t from, int64_t n)
{
    for (int64_t i = from; i < from + n; i++) {
        double g = wa__get_f64(got, i), w = wa__get_f64(want, i), d = fabs(g - w);
        if (!isfinite(w)) continue;
        if (!(d <= s->most)) s->most = isnan(d) ? INFINITY : d;
        s->difference += d * d;
        s->want += w * w;
        s->got += g * g;
        s->product += g * w;
    }
}

void api_precision_compare(const api_trial *t, api_error *e)
{
    sums all = {0};
    *e = (api_error){.cosine = 1};
    for (uint32_t k = 0; k < t->output_count; k++) {
        const wa_view *w = &t->want[k];
        int64_t n = wa__count(&w->type), rows = 1;
        if (!wa__dtype_is_float(w->type.dtype) || n == 0) continue;
        if (t->rows >= 0 && w->type.rank) { /* embeddings: the worst text counts, padding does not */
            rows = t->rows < w->type.dims[0] ? t->rows : w->type.dims[0];
            n /= w->type.dims[0];
        }
        for (int64_t r = 0; r < rows; r++) {
            sums one = {0};
            add(&one, &t->outputs[k], w, r * n, n);
            add(&all, &t->outputs[k], w, r * n, n);
            double c = cosine(&one);
            if (!(c >= e->cosine)) e->cosine = c;
            e->known = true;
        }
    }
    e->max_abs = all.most;
    e->relative = all.want > 0 ? sqrt(all.difference / all.want) : all.difference > 0 ? INFINITY : 0;
}

/* A mixed plan's aim, with room for inputs that are harder than the first: 0.9999 is promised at 16 bits. */
bool api_precision_good(const api_error *e, uint32_t bits)
{
    double aim = bits == 8 ? 0.9995 : bits == 4 ? 0.99 : 0.99995;
    return e->known && isfinite(e->relative) && e->cosine >= aim && e->relative <= sqrt(2 * (1 - aim));
}

/* --- what is remembered --------------------------------------------------------------------------------- */

static wa_status memory_path(const api_trial *t, char **out, wa_error *err)
{
    uint8_t hash[32], kernels[32];
    char hex[65], kernels_hex[65];
    const wa_plan_target *g = &t->session->target;
    wa__kernels_hash(kernels);
    wa__hex(kernels, 32, kernels_hex);
    char *text = wa__format("precision 1\nmodel %s\ntask %s\nbits %u\nmixed %d\ntarget %d\nfeatures %u\nsoftware %d\nadapter %s\nwebnn %s\nkernels %s\n", t->m->cid,
                            t->shape->task, t->shape->precision, t->shape->mixed, (int)g->target, g->features, g->software, g->adapter, t->session->webnn, kernels_hex);
    wa_status s = text ? wa__sha256(text, strlen(text), hash, err) : wa__no_memory(err, "a key");
    wa__free(text);
    if (s != WA_OK) return s;
    wa__hex(hash, 32, hex);
    *out = wa__format("%s/precision/%s.json", t->a->home, hex);
    return *out ? WA_OK : wa__no_memory(err, "a path");
}

bool api_precision_recall(const api_trial *t, api_error *e, uint32_t *keep)
{
    char *path = NULL;
    wa_buf b;
    wa__buf_init(&b, 4096);
    if (!t->m->cid || memory_path(t, &path, NULL) != WA_OK) return false;
    json_t *o = wa__os_read_file(path, &b, NULL) == WA_OK ? json_loadb(b.ptr, b.len, 0, NULL) : NULL;
    json_int_t groups = 0;
    api_error got = {.known = true};
    bool ok = o && json_unpack(o, "{s:F, s:F, s:F, s:I}", "max_abs", &got.max_abs, "relative", &got.relative, "cosine", &got.cosine, "keep", &groups) == 0 &&
              groups >= 0 && groups < 1 << WA_PLAN_GROUPS;
    if (ok) *e = got;
    if (ok) *keep = (uint32_t)groups;
    json_decref(o);
    wa__buf_done(&b);
    wa__free(path);
    return ok;
}

void api_precision_remember(const api_trial *t, const api_error *e)
{
    char *path = NULL, *folder = wa__path_join(t->a->home, "precision");
    wa_error err = {0};
    if (t->m->cid && folder && isfinite(e->max_abs) && isfinite(e->relative) && memory_path(t, &path, &err) == WA_OK) {
        char *text = api_json_text(json_pack("{s:f, s:f, s:f, s:I}", "max_abs", e->max_abs, "relative", e->relative, "cosine", e->cosine, "keep", (json_int_t)t->shape->keep));
        wa_status s = text ? wa__os_mkdirs(folder, 0700, &err) : WA_OK;
        if (s == WA_OK && text) s = wa__os_write_file(path, text, strlen(text), 0600, &err);
        if (s != WA_OK) wa__log(WA_LOG_INFO, "api", "precision not remembered: %s", err.message);
        wa_string_free(text);
    }
    wa__free(folder);
    wa__free(path);
}

json_t *api_precision_json(const api_error *e)
{
    if (!e->known) return NULL;
    json_t *relative = isfinite(e->relative) ? json_real(e->relative) : json_null(), *most = isfinite(e->max_abs) ? json_real(e->max_abs) : json_null();
    return json_pack("{s:o, s:o, s:f}", "max_abs", most, "relative", relative, "cosine", isfinite(e->cosine) ? e->cosine : 0.0);
}

/* --- the search --------------------------------------------------------------------------------------------- */

static wa_status try_keep(api_trial *t, uint32_t keep, api_error *e, wa_error *err)
{
    wa_plan *p = NULL;
    bool cached;
    t->shape->keep = keep;
    WA_TRY(api_compile(t->a, t->m, t->shape, &t->session->target, &p, &cached, err));
    WA_TRY(api_session_load(t->a, t->session, t->m, p, t->control, err));
    WA_TRY(t->session->runner->ops->run(t->session->runner, t->session->handle, 0, t->inputs, t->input_count, t->outputs, t->output_count, t->control, NULL, err));
    api_precision_compare(t, e);
    wa__log(WA_LOG_INFO, "api", "mixed precision: groups %#x in 32 bits: cosine %.7f, relative error %.3g", keep, e->cosine, e->relative);
    return WA_OK;
}

static double badness(const api_error *e) { return isfinite(e->relative) ? e->relative : 1e30; }

/* Each group alone in 32 bits says what its fewer bits cost; then the costliest are kept one after another until
 * the aim is met. All of them kept is 32 bits, which meets it. */
static wa_status search(api_trial *t, uint32_t groups, double end, api_error *e, wa_error *err)
{
    double alone[WA_PLAN_GROUPS];
    uint32_t kept = 0;
    for (uint32_t k = 0; k < WA_PLAN_GROUPS; k++) {
        api_error one = {.relative = 0};
        alone[k] = 2e30;
        if (!(groups >> k & 1) || wa__os_now_ms() > end) continue;
        WA_TRY(try_keep(t, 1u << k, &one, err));
        alone[k] = badness(&one);
    }
    while (kept != groups) {
        uint32_t best = WA_PLAN_GROUPS;
        for (uint32_t k = 0; k < WA_PLAN_GROUPS; k++)
            if ((groups & ~kept) >> k & 1 && (best == WA_PLAN_GROUPS || alone[k] < alone[best])) best = k;
        kept = wa__os_now_ms() > end ? groups : kept | 1u << best;
        WA_TRY(try_keep(t, kept, e, err));
        if (api_precision_good(e, t->shape->precision)) break;
    }
    return WA_OK;
}

wa_status api_precision_search(api_trial *t, api_error *e, wa_error *err)
{
    wa_graph *g = NULL;
    WA_TRY(try_keep(t, 0, e, err));
    if (api_precision_good(e, t->shape->precision)) return WA_OK;
    WA_TRY(api_optimized(t->m, t->shape, &g, err));
    uint32_t groups = wa__plan_node_groups(g, NULL);
    wa__graph_free(g);
    return search(t, groups, wa__os_now_ms() + SEARCH_MS, e, err);
}

void api_precision_groups(uint32_t keep, char *out, size_t n)
{
    size_t at = 0;
    if (n) *out = 0;
    for (uint32_t k = 0; k < WA_PLAN_GROUPS && at + 1 < n; k++)
        if (keep >> k & 1) at += (size_t)snprintf(out + at, n - at, "%s%s", at ? ", " : "", wa__plan_group_name(k));
}
