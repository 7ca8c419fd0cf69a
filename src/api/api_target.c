/* Where a run goes: the CPU, or a browser whose page shows a fitting adapter. Opens, keeps and closes
 * sessions. The order: the user's choice; a hardware GPU behind a browser by the priors; the CPU. */
#include "api_int.h"
#include "base/log.h"
#include "plan/plan_nn.h"

/* --- sessions ----------------------------------------------------------------------------------- */

wa_status api_session_cpu(wa_accelerator *a, api_session **out, wa_error *err)
{
    if (!a->cpu.runner) {
        WA_TRY(wa__cpu_runner_create(a->threads, &a->cpu.runner, err));
        a->cpu.target.target = WA_TARGET_CPU;
        a->cpu.handle = WA_NONE;
    }
    *out = &a->cpu;
    return WA_OK;
}

void api_session_unload(api_session *s)
{
    wa_error err = {0};
    wa__program_free(s->program);
    s->program = NULL;
    if (s->plan && s->handle != WA_NONE && s->runner->ops->unload(s->runner, s->handle, &err) != WA_OK)
        wa__log(WA_LOG_WARN, "api", "unload: %s", err.message);
    wa__plan_free(s->plan);
    wa__free(s->sources);
    s->plan = NULL;
    s->sources = NULL;
    s->loaded = NULL;
    s->handle = WA_NONE;
    while (s->bucket_count) api_session_remove(s, &s->buckets[s->bucket_count - 1]);
}

void api_session_remove(api_session *s, api_bucket *b)
{
    wa_error err = {0};
    if (s->runner->ops->unload(s->runner, b->handle, &err) != WA_OK) wa__log(WA_LOG_WARN, "api", "unload: %s", err.message);
    wa__plan_free(b->plan);
    wa__free(b->sources);
    *b = s->buckets[--s->bucket_count];
}

void api_session_close(wa_accelerator *a, api_session *s)
{
    uint32_t i = (uint32_t)(s - a->sessions);
    if (i >= a->session_count) return;
    api_session_unload(s);
    if (s->runner) s->runner->ops->free(s->runner);
    wa__browser_close(s->browser);
    wa__free(s->tuned);
    a->sessions[i] = a->sessions[--a->session_count];
    memset(&a->sessions[a->session_count], 0, sizeof *a->sessions);
}

/* The model's files in the order of `count` names. */
static wa_status map_sources(wa_run_source **out, const api_model *m, uint32_t count, const char *(*name)(const void *of, uint32_t i), const void *of,
                             uint64_t (*size)(const void *of, uint32_t i), wa_error *err)
{
    wa_model_files files = {m->files, m->file_count};
    wa_run_source *sources = *out = wa__alloc(count + 1u, sizeof *sources);
    if (!sources) return wa__no_memory(err, "sources");
    for (uint32_t i = 0; i < count; i++) {
        const wa_model_file *f = wa__model_file(&files, name(of, i));
        if (!f || f->size != size(of, i))
            return wa__fail(err, WA_VERIFY, "the plan names file \"%s\" of %llu bytes, which the model does not have", name(of, i), (unsigned long long)size(of, i));
        sources[i] = (wa_run_source){f->data, f->size};
    }
    return WA_OK;
}

static const char *plan_name(const void *p, uint32_t i) { return wa__plan_text(p, ((const wa_plan *)p)->sources[i].name); }
static uint64_t plan_size(const void *p, uint32_t i) { return ((const wa_plan *)p)->sources[i].size; }
static const char *graph_name(const void *g, uint32_t i) { return ((const wa_graph *)g)->sources[i].name.ptr; }
static uint64_t graph_size(const void *g, uint32_t i) { return ((const wa_graph *)g)->sources[i].size; }

wa_status api_session_stage(wa_accelerator *a, api_session *s, const api_model *m, const api_shape *shape, wa_error *err)
{
    (void)a;
    uint32_t precision = shape->precision << 1 | shape->mixed;
    if (s->program && s->loaded == m && m->by_cid && s->program_precision == precision) return WA_OK;
    api_session_unload(s);
    WA_TRY(map_sources(&s->sources, m, m->graph->source_count, graph_name, m->graph, graph_size, err));
    wa_program_options o = {.runner = s->runner, .sources = s->sources, .source_count = m->graph->source_count, .bind_values = true};
    o.plan.target = s->target;
    o.plan.model_cid = m->cid ? m->cid : "";
    o.plan.model_type = m->model_type;
    o.plan.task = "tensors";
    o.plan.precision = shape->precision;
    o.plan.mixed = shape->mixed;
    o.plan.keep = shape->mixed ? WA_PLAN_KEEP_UNSEEN : 0; /* stages are planned while they run: nothing can be tried first */
    WA_TRY(wa__program_create(m->graph, &o, &s->program, err));
    s->program_precision = precision;
    s->loaded = m;
    return WA_OK;
}

wa_status api_session_load(wa_accelerator *a, api_session *s, const api_model *m, wa_plan *plan, const wa_run_control *c, wa_error *err)
{
    (void)a;
    /* By CID the same plan key means the same bytes: what is loaded stays. */
    uint32_t lanes = c && c->lanes ? c->lanes : 1;
    if (s->plan && s->loaded == m && m->by_cid && s->lanes >= lanes && memcmp(s->plan->info.key, plan->info.key, sizeof plan->info.key) == 0) {
        wa__plan_free(plan);
        return WA_OK;
    }
    api_session_unload(s);
    s->plan = plan;
    WA_TRY(map_sources(&s->sources, m, plan->source_count, plan_name, plan, plan_size, err));
    uint32_t handle;
    WA_TRY(s->runner->ops->load(s->runner, plan, s->sources, plan->source_count, c, &handle, err));
    s->handle = handle;
    s->lanes = lanes;
    s->loaded = m;
    return WA_OK;
}

wa_status api_session_add(api_session *s, const api_model *m, wa_plan *plan, uint32_t batch, uint32_t length, const wa_run_control *c, api_bucket **out, wa_error *err)
{
    api_bucket b = {.plan = plan, .batch = batch, .length = length};
    wa_status st = s->bucket_count < API_BUCKETS_MAX ? map_sources(&b.sources, m, plan->source_count, plan_name, plan, plan_size, err)
                                                     : wa__fail(err, WA_LIMIT, "more than %d buckets are loaded", API_BUCKETS_MAX);
    if (st == WA_OK) st = s->runner->ops->load(s->runner, plan, b.sources, plan->source_count, c, &b.handle, err);
    if (st != WA_OK) {
        wa__plan_free(plan);
        wa__free(b.sources);
        return st;
    }
    *out = &s->buckets[s->bucket_count++];
    **out = b;
    return WA_OK;
}

/* --- opening a browser ---------------------------------------------------------------------------- */

const char *api_adapter_name(const wa_run_target *t)
{
    const char *const names[] = {t->adapter_description, t->adapter_device, t->adapter_architecture, t->adapter_vendor};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i] && *names[i]) return names[i];
    return NULL;
}

typedef struct probe_state {
    wa_accelerator *a;
    bool software;
    const char *webnn; /* NULL: WebGPU */
    wa_runner *runner;
    double launched_at_ms;
} probe_state;

static bool cancelled(void *user) { return atomic_load(&((wa_accelerator *)user)->cancel); }

/* One step of the ladder: the page is opened and must show an adapter that fits. */
static wa_status probe(void *user, wa_browser *b, const wa_browser_step *step, uint32_t limit_ms, wa_browser_attempt *attempt, wa_error *err)
{
    probe_state *p = user;
    (void)step;
    if (p->runner) p->runner->ops->free(p->runner);
    p->runner = NULL;
    p->launched_at_ms = wa__os_now_ms();
    WA_TRY(api_page_connect(p->a, b, p->webnn, limit_ms, &p->runner, err));
    const wa_run_target *t = p->runner->ops->target(p->runner);
    if (p->webnn) {
        snprintf(attempt->adapter, sizeof attempt->adapter, "WebNN, %u methods, asked for %s, placement %s", t->nn->ops, t->webnn_device, t->webnn_placement);
        attempt->accepted = true;
        return WA_OK;
    }
    snprintf(attempt->adapter, sizeof attempt->adapter, "%s", api_adapter_name(t) ? api_adapter_name(t) : "unnamed");
    attempt->accepted = !t->adapter_software || p->software;
    if (!attempt->accepted) snprintf(attempt->reason, sizeof attempt->reason, "only a software adapter (%s)", attempt->adapter);
    return WA_OK;
}

static void fill_target(api_session *s)
{
    wa__bridge_plan_target(s->runner, s->webnn[0] ? WA_TARGET_WEBNN : WA_TARGET_WEBGPU, &s->target);
}

/* --- what a browser offered last time: $HOME/browsers/<id>/target.json ------------------------------ */

static char *target_file(const wa_accelerator *a, const char *id) { return wa__format("%s/browsers/%s/target.json", a->home, id); }

static void remember_target(const wa_accelerator *a, const api_session *s)
{
    const wa_plan_target *t = &s->target;
    wa_error err = {0};
    char *path = target_file(a, s->id);
    api_tuned tuned;
    api_tuned_name(s, &tuned);
    char *text = api_json_text(json_pack("{s:s, s:i, s:I, s:I, s:i, s:i, s:b, s:s}", "tuned", tuned.name, "features", (int)t->features, "limit_buffer", (json_int_t)t->limit_buffer, "limit_binding",
                                         (json_int_t)t->limit_binding, "workgroup_bytes", (int)t->workgroup_bytes, "invocations", (int)t->invocations, "software", t->software,
                                         "adapter", t->adapter));
    if (path && text && wa__os_write_file(path, text, strlen(text), 0600, &err) != WA_OK) wa__log(WA_LOG_INFO, "api", "%s", err.message);
    wa_string_free(text);
    wa__free(path);
}

/* tuned (may be NULL): the name of what was measured of it, see api_tune_file.c. */
static bool recall_target(const wa_accelerator *a, const char *id, wa_plan_target *out, char *tuned, size_t tuned_size)
{
    char *path = target_file(a, id);
    wa_buf b;
    wa__buf_init(&b, 4096);
    json_t *o = path && wa__os_read_file(path, &b, NULL) == WA_OK ? json_loadb(b.ptr, b.len, 0, NULL) : NULL;
    int features, workgroup, invocations, software;
    json_int_t buffer, binding;
    const char *adapter;
    bool ok = o && json_unpack(o, "{s:i, s:I, s:I, s:i, s:i, s:b, s:s}", "features", &features, "limit_buffer", &buffer, "limit_binding", &binding, "workgroup_bytes", &workgroup,
                               "invocations", &invocations, "software", &software, "adapter", &adapter) == 0;
    if (ok) {
        *out = (wa_plan_target){.target = WA_TARGET_WEBGPU, .features = (uint32_t)features, .limit_buffer = (uint64_t)buffer, .limit_binding = (uint64_t)binding,
                                .workgroup_bytes = (uint32_t)workgroup, .invocations = (uint32_t)invocations, .software = software != 0};
        snprintf(out->adapter, sizeof out->adapter, "%s", adapter);
        const char *name = json_string_value(json_object_get(o, "tuned"));
        if (tuned) snprintf(tuned, tuned_size, "%s", name ? name : "");
    }
    json_decref(o);
    wa__buf_done(&b);
    wa__free(path);
    return ok;
}

static wa_status open_browser(wa_accelerator *a, const wa_browser_info *info, bool software, const char *webnn, uint32_t timeout_ms, api_session **out, wa_error *err)
{
    wa_browser_machine machine;
    probe_state p = {.a = a, .software = software, .webnn = webnn};
    api_session s = {0};
    wa_browser_step step = {0};
    double start = wa__os_now_ms();
    if (a->session_count == a->max_connections) {
        api_session *oldest = &a->sessions[0];
        for (uint32_t i = 1; i < a->session_count; i++)
            if (a->sessions[i].used < oldest->used) oldest = &a->sessions[i];
        api_session_close(a, oldest);
    }
    wa__browser_machine_scan(NULL, &machine);
    wa_browser_wants wants = {&machine, machine.gpu_count > 0 || machine.has_wsl, software, webnn != NULL};
    wa_browser_options o = {0};
    char page[64];
    WA_TRY(api_page_address(a, page, sizeof page, err));
    o.start_url = page; /* it loads and asks for its adapter while we connect to the browser */
    o.info = info;
    o.home = a->home;
    o.headful = !a->headless;
    o.machine = &machine;
    o.limit_ms = timeout_ms;
    o.cancelled = cancelled;
    o.cancelled_user = a;
    wa_status st = wa__browser_launch_ladder(&o, &wants, probe, &p, &s.browser, &step, err);
    if (st != WA_OK) {
        if (p.runner) p.runner->ops->free(p.runner);
        return st;
    }
    s.runner = p.runner;
    s.handle = WA_NONE;
    s.launched_at_ms = p.launched_at_ms;
    s.hello_at_ms = wa__os_now_ms();
    s.start_ms = s.hello_at_ms - start;
    snprintf(s.family, sizeof s.family, "%s", wa__browser_family_name(info->family));
    snprintf(s.id, sizeof s.id, "%s", info->id);
    snprintf(s.step, sizeof s.step, "%s", step.name ? step.name : "");
    snprintf(s.webnn, sizeof s.webnn, "%s", webnn ? webnn : "");
    fill_target(&s);
    if (!webnn) remember_target(a, &s);
    a->sessions[a->session_count] = s;
    *out = &a->sessions[a->session_count++];
    return WA_OK;
}

static api_session *find_open(wa_accelerator *a, const wa_browser_info *info, bool software, const char *webnn)
{
    for (uint32_t i = 0; i < a->session_count; i++) {
        api_session *s = &a->sessions[i];
        wa_browser_state state;
        if (strcmp(s->id, info->id) != 0 || strcmp(s->webnn, webnn ? webnn : "") != 0) continue;
        wa__browser_poll(s->browser, &state);
        if (!state.running || state.page_crashed) {
            api_session_close(a, s);
            return NULL;
        }
        return !webnn && s->target.software && !software ? NULL : s;
    }
    return NULL;
}

wa_status api_session_browser(wa_accelerator *a, const char *name, bool software, uint32_t timeout_ms, api_session **out, wa_error *err)
{
    wa_browser_list l = {0};
    WA_TRY(wa__browser_discover(NULL, &l, err));
    const wa_browser_info *info = wa__browser_pick(&l, name, true);
    wa_status s = WA_OK;
    api_session *open = info ? find_open(a, info, software, NULL) : NULL;
    if (open) *out = open;
    else if (info) s = open_browser(a, info, software, NULL, timeout_ms, out, err);
    else s = wa__fail(err, WA_BROWSER, "no usable browser \"%s\" was found on this machine (%zu found); webaccel doctor lists them", name, l.count);
    if (s == WA_OK) (*out)->used = ++a->clock;
    wa__browser_list_free(&l);
    return s;
}

static wa_status open_webnn(wa_accelerator *a, const wa_browser_info *info, const char *device, uint32_t timeout_ms, api_session **out, wa_error *err)
{
    api_session *open = find_open(a, info, true, device);
    if (open) *out = open;
    else WA_TRY(open_browser(a, info, false, device, timeout_ms, out, err));
    (*out)->used = ++a->clock;
    return WA_OK;
}

/* The browser known to have it first, then by the priors. */
static wa_status any_webnn(wa_accelerator *a, const wa_browser_list *l, const char *device, uint32_t timeout_ms, api_session **out, wa_error *err)
{
    wa_browser_family order[WA_BROWSER_FAMILY_COUNT];
    size_t n = wa__browser_priors("text_embedding", "webnn", order), tried = 0;
    wa_status s = WA_BROWSER;
    wa_error last = {0};
    for (size_t i = 0; i <= n && s != WA_OK && s != WA_CANCELLED; i++) {
        const wa_browser_info *info = wa__browser_pick(l, i ? wa__browser_family_name(order[i - 1]) : "chromium-webnn", false);
        if (!info || info->family == WA_BROWSER_FIREFOX || (i && strcmp(info->id, "chromium-webnn") == 0)) continue;
        tried++;
        s = open_webnn(a, info, device, timeout_ms, out, &last);
    }
    if (s == WA_OK) return s;
    return wa__fail(err, s, "%s", tried ? last.message : "no browser that could have WebNN was found; tools/fetch_chromium_webnn.sh fetches one");
}

wa_status api_session_webnn(wa_accelerator *a, const char *name, const char *device, uint32_t timeout_ms, api_session **out, wa_error *err)
{
    wa_browser_machine m;
    wa_browser_list l = {0};
    wa__browser_machine_scan(NULL, &m);
    if (!device || !*device) device = m.gpu_count > 0 ? "gpu" : "cpu";
    WA_TRY(wa__browser_discover(NULL, &l, err));
    const wa_browser_info *info = name && *name ? wa__browser_pick(&l, name, true) : NULL;
    wa_status s;
    if (info && info->family == WA_BROWSER_FIREFOX) s = wa__fail(err, WA_UNSUPPORTED, "%s has no WebNN", info->name);
    else if (info) s = open_webnn(a, info, device, timeout_ms, out, err);
    else if (name && *name) s = wa__fail(err, WA_BROWSER, "no usable browser \"%s\" was found on this machine (%zu found); webaccel doctor lists them", name, l.count);
    else s = any_webnn(a, &l, device, timeout_ms, out, err);
    wa__browser_list_free(&l);
    return s;
}

/* --- choosing ---------------------------------------------------------------------------------------- */

/* Any browser with a hardware adapter, by the priors. Says in why what was tried. */
static wa_status hardware(wa_accelerator *a, const char *model_type, api_session **out, char *why, size_t why_size, wa_error *err)
{
    wa_browser_machine m;
    wa_browser_list l = {0};
    wa_browser_family order[WA_BROWSER_FAMILY_COUNT];
    wa__browser_machine_scan(NULL, &m);
    if (m.gpu_count == 0 && !m.has_wsl) {
        snprintf(why, why_size, "this machine has no GPU");
        return wa__fail(err, WA_ADAPTER, "this machine has no GPU that a browser could use; name a browser (--browser) to use its software adapter");
    }
    WA_TRY(wa__browser_discover(NULL, &l, err));
    size_t n = wa__browser_priors(model_type, "webgpu", order), tried = 0;
    wa_status s = WA_BROWSER;
    wa_error last = {0};
    for (size_t i = 0; i < n && s != WA_OK && s != WA_CANCELLED; i++) {
        const wa_browser_info *info = wa__browser_pick(&l, wa__browser_family_name(order[i]), false);
        if (!info) continue;
        tried++;
        *out = find_open(a, info, false, NULL);
        s = *out ? WA_OK : open_browser(a, info, false, NULL, 30000, out, &last);
        if (s == WA_OK) snprintf(why, why_size, "a hardware GPU behind %s, number %zu by the priors for %s", info->name, i + 1, model_type);
    }
    wa__browser_list_free(&l);
    if (s == WA_OK) return s;
    snprintf(why, why_size, "%.*s", (int)why_size - 1, tried ? last.message : "no usable browser was found");
    return wa__fail(err, s, "%s", why);
}

static wa_status to_cpu(wa_accelerator *a, api_choice *c, wa_error *err)
{
    return api_session_cpu(a, &c->session, err);
}

/* The browser target was asked for and is not to be had. */
static wa_status fall_back(wa_accelerator *a, const wa_accelerate_options *o, wa_status s, const wa_error *why, api_choice *c, wa_error *err)
{
    if (s == WA_CANCELLED || o->no_fallback) return wa__fail(err, s, "%s", why->message);
    snprintf(c->fallback, sizeof c->fallback, "%.*s", (int)sizeof c->fallback - 1, why->message);
    snprintf(c->reason, sizeof c->reason, "the CPU, since what was asked for is not to be had");
    return to_cpu(a, c, err);
}

wa_status api_target_choose(wa_accelerator *a, const wa_accelerate_options *o, const char *model_type, api_choice *c, wa_error *err)
{
    const char *target = o->target && *o->target ? o->target : "auto";
    bool is_auto = strcmp(target, "auto") == 0, cpu = strcmp(target, "cpu") == 0;
    wa_error why = {0};
    char text[400];
    wa_status s;
    memset(c, 0, sizeof *c);
    const char *device = strncmp(target, "webnn:", 6) == 0 ? target + 6 : "";
    bool webnn = strcmp(target, "webnn") == 0 || strcmp(device, "cpu") == 0 || strcmp(device, "gpu") == 0 || strcmp(device, "npu") == 0;
    if (!is_auto && !cpu && !webnn && strcmp(target, "webgpu") != 0)
        return wa__fail(err, WA_INVALID_ARGUMENT, "target \"%s\" is not auto, cpu, webgpu or webnn (or webnn:cpu, webnn:gpu, webnn:npu)", target);
    if (cpu && o->browser) return wa__fail(err, WA_INVALID_ARGUMENT, "--target cpu runs in no browser; leave --browser out");
    if (o->simulate) {
        c->simulated = true;
        snprintf(c->reason, sizeof c->reason, "simulation: the CPU in place of %s", o->browser ? o->browser : "a browser");
        return to_cpu(a, c, err);
    }
    if (cpu) {
        snprintf(c->reason, sizeof c->reason, "the CPU was asked for");
        return to_cpu(a, c, err);
    }
    if (webnn) {
        s = api_session_webnn(a, o->browser, device, 30000, &c->session, &why);
        if (s != WA_OK) return fall_back(a, o, s, &why, c, err);
        const wa_run_target *t = c->session->runner->ops->target(c->session->runner);
        snprintf(c->reason, sizeof c->reason, "WebNN was asked for; %s has it: device type asked %s, placement %s", c->session->id, t->webnn_device, t->webnn_placement);
        return WA_OK;
    }
    if (o->browser) {
        s = api_session_browser(a, o->browser, true, 30000, &c->session, &why);
        if (s != WA_OK) return fall_back(a, o, s, &why, c, err);
        snprintf(c->reason, sizeof c->reason, "%s was asked for", o->browser);
        return WA_OK;
    }
    s = hardware(a, model_type, &c->session, text, sizeof text, &why);
    if (s == WA_OK) {
        snprintf(c->reason, sizeof c->reason, "%s", text);
        return WA_OK;
    }
    if (!is_auto) return fall_back(a, o, s, &why, c, err);
    if (s == WA_CANCELLED) return wa__fail(err, s, "%s", why.message);
    snprintf(c->reason, sizeof c->reason, "the CPU: %s", text);
    return to_cpu(a, c, err);
}

bool api_target_expected(wa_accelerator *a, const wa_accelerate_options *o, const char *model_type, wa_plan_target *out, char tuned[128])
{
    wa_browser_machine m;
    wa_browser_list l = {0};
    wa_browser_family order[WA_BROWSER_FAMILY_COUNT];
    bool webgpu = o->target && strcmp(o->target, "webgpu") == 0, is_auto = !o->target || !*o->target || strcmp(o->target, "auto") == 0;
    if (o->simulate || (!webgpu && !is_auto)) return false;
    wa__browser_machine_scan(NULL, &m);
    bool hardware = m.gpu_count > 0 || m.has_wsl;
    if (!o->browser && !hardware) return false;
    if (wa__browser_discover(NULL, &l, NULL) != WA_OK) return false;
    const wa_browser_info *info = o->browser ? wa__browser_pick(&l, o->browser, true) : NULL;
    size_t n = o->browser ? 0 : wa__browser_priors(model_type, "webgpu", order);
    for (size_t i = 0; i < n && !info; i++) info = wa__browser_pick(&l, wa__browser_family_name(order[i]), false);
    *out = (wa_plan_target){.target = WA_TARGET_WEBGPU, .software = !hardware};
    tuned[0] = 0;
    if (info) recall_target(a, info->id, out, tuned, 128);
    bool found = info != NULL;
    wa__browser_list_free(&l);
    return found;
}

wa_status api_target_recall(wa_accelerator *a, const char *browser, wa_plan_target *out, api_tuned *tuned, wa_error *err)
{
    wa_browser_list l = {0};
    WA_TRY(wa__browser_discover(NULL, &l, err));
    const wa_browser_info *info = wa__browser_pick(&l, browser, true);
    wa_status s = WA_OK;
    *tuned = (api_tuned){0};
    if (!info) s = wa__fail(err, WA_BROWSER, "no usable browser \"%s\" was found on this machine (%zu found); webaccel doctor lists them", browser, l.count);
    else if (!recall_target(a, info->id, out, tuned->name, sizeof tuned->name))
        s = wa__fail(err, WA_NOT_FOUND, "nothing is known of %s yet: run or profile something in it first", info->name);
    wa__browser_list_free(&l);
    return s;
}
