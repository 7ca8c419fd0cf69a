/* Tuning: for each distinct product of a plan the page times the tiles that are legal on its adapter, and the
 * fastest goes into the target's tune file, which the planner looks at before its own table. In: a plan made
 * for an open session. Out: rows of that session's api_tuned. Called by api_run.c at first use, for 2 s at
 * most, and by wa_tune. */
#include "api_int.h"
#include "base/log.h"

enum { PRODUCTS_MAX = 64, FIRST_USE_MS = 2000, FIRST_USE_TILES = 12, SECONDS_DEFAULT = 30, COPIES_MAX = 16, PARAM_WORDS_MAX = 64 };
#define COPIES_BYTES ((uint64_t)128 << 20) /* of buffers for one shape */
#define GAIN_MIN     0.97 /* of the default's time: less is noise */

typedef struct product { /* products of one shape */
    uint32_t m, n, k, dispatch, count;
    double default_us, us; /* < 0: not measured */
    wa_gpu_tile tile, standard;
    uint32_t tried, failed;
    char why[160]; /* the first that failed */
} product;

static bool is_product(uint32_t kernel) { return kernel == WA_WGSL_MATMUL || kernel == WA_WGSL_MATMUL_STRAIGHT || kernel == WA_WGSL_MATMUL_STAGED; }

static uint32_t param_word(const wa_plan *p, const wa_plan_dispatch *d, uint32_t i)
{
    uint32_t w = 0;
    if (i * 4u + 4u <= d->params_size) memcpy(&w, p->data + p->info.params_data + d->params_offset + i * 4u, 4);
    return w;
}

static uint32_t find_products(const wa_plan *p, product out[PRODUCTS_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->dispatch_count; i++) {
        const wa_plan_dispatch *d = &p->dispatches[i];
        const wa_wgsl_spec *s = &p->pipelines[d->pipeline].spec;
        if (!is_product(s->kernel)) continue;
        uint32_t m = param_word(p, d, 0), k = s->spec[0], n = s->spec[1], at = 0;
        while (at < count && !(out[at].m == m && out[at].n == n && out[at].k == k)) at++;
        if (at == PRODUCTS_MAX || m == 0) continue;
        if (at == count) out[count++] = (product){.m = m, .n = n, .k = k, .dispatch = i, .default_us = -1, .us = -1};
        out[at].count++;
    }
    return count;
}

static bool covered(const api_tiles *l, const product *x)
{
    for (uint32_t i = 0; i < l->count; i++)
        if (x->m >= l->rows[i].m_min && x->m <= l->rows[i].m_max && x->n == l->rows[i].n && x->k == l->rows[i].k) return true;
    return false;
}

/* --- one shape --------------------------------------------------------------------------------------- */
typedef struct trial {
    wa_bridge_case c;
    wa_bridge_candidate list[WA_GPU_TILES_MAX];
    wa_gpu_tile tiles[WA_GPU_TILES_MAX];
    uint32_t count, words[PARAM_WORDS_MAX];
} trial;

/* The default, and of the others a choice spread evenly over the list where not all can be tried. */
static uint32_t pick_tiles(const wa_plan_target *t, const product *x, uint32_t most, wa_gpu_tile *out)
{
    wa_gpu_tile all[WA_GPU_TILES_MAX];
    uint32_t n = wa__gpu_tile_candidates(t, x->m, x->n, x->k, all, WA_GPU_TILES_MAX), kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (n <= most || i == 0 || i * (uint64_t)(most - 1) / n != (i - 1) * (uint64_t)(most - 1) / n) out[kept++] = all[i];
    return kept;
}

/* Buffers and params as the plan's dispatch has them. Statistics that a product writes for the norm behind it are
 * as many as its tiles: there is room for the narrowest. */
static void make_case(const wa_plan *p, const product *x, uint32_t write_mask, bool software, trial *t)
{
    const wa_plan_dispatch *d = &p->dispatches[x->dispatch];
    uint64_t sum = 0, room = (uint64_t)x->m * ((x->n + 7u) / 8u) * 8u;
    t->c = (wa_bridge_case){.binding_count = d->bind_count, .write_mask = write_mask, .words = t->words, .word_count = d->params_size / 4};
    for (uint32_t i = 0; i < d->bind_count && i < WA_BRIDGE_CASE_BINDINGS; i++) {
        uint64_t size = p->binds[d->bind_first + i].size;
        if (write_mask >> i & 1) {
            if (!t->c.half && sum == 0) t->c.half = size < (uint64_t)x->m * x->n * 4;
            if (size < room) size = room;
        }
        t->c.sizes[i] = size;
    }
    for (uint32_t i = 0; i < t->c.binding_count; i++) sum += t->c.sizes[i];
    if (t->c.word_count > PARAM_WORDS_MAX) t->c.word_count = PARAM_WORDS_MAX;
    for (uint32_t i = 0; i < t->c.word_count; i++) t->words[i] = param_word(p, d, i);
    uint64_t copies = sum ? COPIES_BYTES / sum : 1;
    t->c.copies = copies < 1 ? 1 : copies > COPIES_MAX ? COPIES_MAX : (uint32_t)copies;
    if (t->c.copies > x->count) t->c.copies = x->count;
    if (software) t->c.copies = 1; /* no cache of an adapter's to be past */
}

/* Texts of the tiles that this dispatch's kernel can take. */
static wa_status make_candidates(const wa_plan *p, const wa_plan_target *target, const product *x, uint32_t most, trial *t, wa_error *err)
{
    wa_gpu_tile tiles[WA_GPU_TILES_MAX];
    uint32_t n = pick_tiles(target, x, most, tiles);
    wa_buf text;
    wa_wgsl_info info;
    wa__buf_init(&text, (size_t)1 << 20);
    wa_status s = WA_OK;
    for (uint32_t i = 0; i < n && s == WA_OK; i++) {
        wa_wgsl_spec spec = p->pipelines[p->dispatches[x->dispatch].pipeline].spec;
        wa_bridge_candidate *c = &t->list[t->count];
        spec.spec[11] = 0; /* the kernel's own word: a kernel that has none sets none */
        wa__gpu_tile_spec(&tiles[i], x->n, x->k, spec.spec[2], &spec);
        if (wa__wgsl_check(&spec, p->code, &info, NULL) != WA_OK || info.features & ~target->features || info.binding_count != p->dispatches[x->dispatch].bind_count) continue;
        wa__buf_clear(&text);
        s = wa__wgsl_generate(&spec, p->code, &text, err);
        if (s == WA_OK && !(c->code = wa__strndup(text.ptr, text.len))) s = wa__no_memory(err, "candidates");
        if (s != WA_OK) break;
        wa__gpu_tile_grid(&tiles[i], x->m, x->n, c->grid);
        t->tiles[t->count++] = tiles[i];
        if (t->count == 1) make_case(p, x, info.write_mask, target->software, t);
    }
    wa__buf_done(&text);
    return s;
}

static wa_status tune_one(wa_accelerator *a, api_session *s, const wa_plan *p, product *x, uint32_t limit_ms, uint32_t most, wa_error *err)
{
    trial *t = wa__alloc(1, sizeof *t);
    if (!t) return wa__no_memory(err, "tuning");
    wa_plan_target target = s->target;
    target.tiles = NULL; /* against the shipped default */
    target.tile_count = 0;
    wa_status st = make_candidates(p, &target, x, most, t, err);
    if (st == WA_OK && t->count) st = wa__bridge_time(s->runner, &t->c, t->list, t->count, limit_ms, &a->cancel, err);
    for (uint32_t i = 0; i < t->count && st == WA_OK; i++) {
        const wa_bridge_candidate *c = &t->list[i];
        x->tried += c->us > 0 || c->why[0];
        if (c->us <= 0 && c->why[0] && x->failed++ == 0) snprintf(x->why, sizeof x->why, "%.150s", c->why);
        if (i == 0) {
            x->standard = x->tile = t->tiles[0];
            x->default_us = x->us = c->us;
        } else if (c->us > 0 && x->default_us > 0 && c->us < x->us && c->us < x->default_us * GAIN_MIN) {
            x->tile = t->tiles[i];
            x->us = c->us;
        }
    }
    for (uint32_t i = 0; i < t->count; i++) wa__free((void *)(uintptr_t)t->list[i].code);
    wa__free(t);
    return st;
}

/* The shapes in order of the work that stands behind them, each with its share of the time left. */
static wa_status tune_all(wa_accelerator *a, api_session *s, const wa_plan *p, bool half, product *list, uint32_t count, uint32_t limit_ms, uint32_t most, wa_error *err)
{
    double end = wa__os_now_ms() + limit_ms;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = i + 1; k < count; k++) {
            product *x = &list[i], *y = &list[k], keep;
            if ((double)y->m * y->n * y->k * y->count <= (double)x->m * x->n * x->k * x->count) continue;
            keep = *x, *x = *y, *y = keep;
        }
        double left = end - wa__os_now_ms();
        if (left < 50) break;
        WA_TRY(tune_one(a, s, p, &list[i], (uint32_t)(left / (count - i)), most, err));
        if (list[i].us <= 0) continue;
        const wa_gpu_tile_row row = {.m_max = list[i].m, .m_min = list[i].m / 2 + 1, .n = list[i].n, .k = list[i].k, .tile = list[i].tile};
        if (!api_tuned_add(s->tuned, half, &row, list[i].us, list[i].default_us)) wa__log(WA_LOG_WARN, "api", "the tune file is full: webaccel tune after removing it starts anew");
    }
    return WA_OK;
}

/* --- what a run uses ------------------------------------------------------------------------------------ */
static bool known(wa_accelerator *a, api_session *s)
{
    if (s->tuned) return true;
    if (!(s->tuned = wa__alloc(1, sizeof *s->tuned))) return false;
    api_tuned_name(s, s->tuned);
    api_tuned_read(a, s->tuned);
    return true;
}

static wa_choice wanted(const wa_accelerate_options *o) { return o->tune != WA_CHOICE_DEFAULT ? o->tune : o->compute_shaders; }

void api_tune_target(wa_accelerator *a, api_session *s, const wa_accelerate_options *o, bool half)
{
    s->target.tiles = NULL;
    s->target.tile_count = 0;
    bool firefox = strcmp(s->family, "firefox") == 0;
    if (!s->browser || s->target.target != WA_TARGET_WEBGPU || wanted(o) == WA_CHOICE_OFF || (firefox && o->use_firefox_optimizations == WA_CHOICE_OFF) || !known(a, s)) return;
    if (!firefox && (o->use_firefox_optimizations == WA_CHOICE_ON) != s->tuned->foreign) { /* Firefox's, or this browser's own again */
        if (s->tuned->foreign) {
            memset(s->tuned->tiles, 0, sizeof s->tuned->tiles);
            s->tuned->foreign = false;
            api_tuned_read(a, s->tuned);
        } else api_tuned_firefox(a, s->tuned);
    }
    s->target.tiles = s->tuned->tiles[half].rows;
    s->target.tile_count = s->tuned->tiles[half].count;
}

void api_tune_expected(const wa_accelerator *a, const char *name, const wa_accelerate_options *o, bool half, wa_plan_target *t, api_tuned **keep)
{
    *keep = *name && wanted(o) != WA_CHOICE_OFF ? wa__alloc(1, sizeof **keep) : NULL;
    if (!*keep) return;
    snprintf((*keep)->name, sizeof (*keep)->name, "%s", name);
    api_tuned_read(a, *keep);
    t->tiles = (*keep)->tiles[half].rows;
    t->tile_count = (*keep)->tiles[half].count;
}

bool api_tune_first_use(wa_accelerator *a, api_session *s, const wa_plan *p, const wa_accelerate_options *o, bool half)
{
    product list[PRODUCTS_MAX];
    wa_error err = {0};
    bool may = s->browser && s->target.target == WA_TARGET_WEBGPU && s->target.features & WA_FEATURE_TIMESTAMP && wanted(o) != WA_CHOICE_OFF &&
               (!s->target.software || wanted(o) == WA_CHOICE_ON) && s->target.tiles && !s->tuned->foreign && !s->tuned_here;
    if (!may) return false;
    uint32_t count = find_products(p, list), missing = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!covered(&s->tuned->tiles[half], &list[i])) list[missing++] = list[i];
    if (!missing) return false;
    s->tuned_here = true;
    wa_status st = tune_all(a, s, p, half, list, missing, FIRST_USE_MS, FIRST_USE_TILES, &err);
    if (st == WA_OK) st = api_tuned_write(a, s->tuned, &err);
    if (st != WA_OK) wa__log(WA_LOG_WARN, "api", "tuning: %s", err.message);
    s->target.tile_count = s->tuned->tiles[half].count;
    bool changed = false;
    for (uint32_t i = 0; i < missing; i++) changed = changed || (list[i].us > 0 && memcmp(&list[i].tile, &list[i].standard, sizeof list[i].tile) != 0);
    return changed;
}

/* --- wa_tune ------------------------------------------------------------------------------------------------ */
static json_t *number(double v) { return v > 0 ? json_real(v) : json_null(); }

static json_t *products_json(const product *list, uint32_t count, double *before, double *after)
{
    json_t *out = json_array();
    for (uint32_t i = 0; i < count; i++) {
        const product *x = &list[i];
        char tile[WA_GPU_TILE_TEXT] = "", standard[WA_GPU_TILE_TEXT] = "";
        if (x->tried) wa__gpu_tile_print(&x->tile, tile);
        if (x->tried) wa__gpu_tile_print(&x->standard, standard);
        bool measured = x->us > 0 && x->default_us > 0;
        json_array_append_new(out, json_pack("{s:i, s:i, s:i, s:i, s:s, s:o, s:s, s:o, s:o, s:i, s:i, s:s?}", "m", (int)x->m, "n", (int)x->n, "k", (int)x->k, "count", (int)x->count, "default",
                                             standard, "default_us", number(x->default_us), "tile", tile, "us", number(x->us), "speedup", number(measured ? x->default_us / x->us : -1), "tried",
                                             (int)x->tried, "failed", (int)x->failed, "failure", x->failed ? x->why : NULL));
        if (measured) *before += x->default_us * x->count, *after += x->us * x->count;
    }
    return out;
}

static wa_status tune(wa_accelerator *a, const wa_measure_request *q, const api_inputs *in, uint32_t seconds, char **json, wa_error *err)
{
    wa_accelerate_options o = api_measure_options(q, in);
    bool half = q->precision == 16 || q->mixed_precision;
    api_samples s = {0};
    wa_result *r = NULL;
    product list[PRODUCTS_MAX];
    double start = wa__os_now_ms(), before = 0, after = 0;
    o.runs = 1;
    o.tune = WA_CHOICE_OFF; /* the plan with the shipped defaults */
    WA_TRY(api_run_sampled(a, NULL, &o, &s, &r, err));
    api_session *se = s.session;
    api_samples_done(&s);
    wa_result_free(r);
    if (!se->browser || se->target.target != WA_TARGET_WEBGPU) return wa__fail(err, WA_UNSUPPORTED, "tuning is for WebGPU: name a browser (--browser) or use --target webgpu");
    if (!se->plan) return wa__fail(err, WA_UNSUPPORTED, "%s runs in stages that are planned as it runs: tune its parts", q->model);
    if (!known(a, se)) return wa__no_memory(err, "tuning");
    if (se->tuned->foreign) memset(se->tuned->tiles, 0, sizeof se->tuned->tiles);
    se->tuned->foreign = false;
    WA_TRY(api_floors(a, se, se->tuned, err));
    uint32_t count = find_products(se->plan, list);
    WA_TRY(tune_all(a, se, se->plan, half, list, count, (seconds ? seconds : SECONDS_DEFAULT) * 1000, WA_GPU_TILES_MAX, err));
    WA_TRY(api_tuned_write(a, se->tuned, err));
    json_t *products = products_json(list, count, &before, &after);
    json_t *out = json_pack("{s:s, s:s?, s:o, s:s, s:s, s:s, s:b, s:f, s:o, s:f, s:f}", "model", q->model, "browser", se->family, "file", json_sprintf("%s/tune/%s.json", a->home, se->tuned->name),
                            "adapter", se->tuned->adapter, "driver", se->tuned->driver, "browser_version", se->tuned->browser, "adapter_is_software", se->target.software, "seconds",
                            (wa__os_now_ms() - start) / 1e3, "products", products, "default_us", before, "us", after);
    char *text = api_json_text(out);
    if (!text) return wa__no_memory(err, "what tuning found");
    *json = text;
    return WA_OK;
}

wa_status wa_tune(wa_accelerator *a, const wa_measure_request *request, uint32_t seconds, char **json, wa_error *err)
{
    wa_measure_request q;
    api_model *m;
    api_inputs in = {0};
    WA_TRY(api_measure_checked(request, &q, err));
    if (seconds > 86400) return wa__fail(err, WA_INVALID_ARGUMENT, "tuning for %u s: at most a day", seconds);
    if (!q.target) q.target = "webgpu";
    pthread_mutex_lock(&a->async_mutex);
    atomic_store(&a->cancel, false);
    wa_status s = api_model_open(a, q.model, NULL, &m, err);
    if (s == WA_OK) s = api_inputs_make(m, q.batch, q.tokens, q.inputs, q.input_count, &in, err);
    if (s == WA_OK) s = tune(a, &q, &in, seconds, json, err);
    api_inputs_done(&in);
    pthread_mutex_unlock(&a->async_mutex);
    return s;
}
