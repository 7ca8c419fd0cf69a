/* The page's side of a session, and the public bridge to one browser. */
#include "api_int.h"
#include "base/log.h"

static wa_status host(wa_accelerator *a, wa_bridge_host **out, wa_error *err)
{
    if (!a->host) WA_TRY(wa__bridge_host_create(NULL, &a->host, err));
    *out = a->host;
    return WA_OK;
}

void api_host_close(wa_accelerator *a)
{
    wa__bridge_host_free(a->host);
    a->host = NULL;
}

wa_status api_page_address(wa_accelerator *a, char *out, size_t size, wa_error *err)
{
    wa_bridge_host *h;
    WA_TRY(host(a, &h, err));
    snprintf(out, size, "http://127.0.0.1:%u/", (unsigned)wa__bridge_host_port(h));
    return WA_OK;
}

static bool alive(void *user)
{
    wa_browser_state state;
    wa__browser_poll(user, &state);
    return state.running && !state.page_crashed;
}

wa_status api_page_connect(wa_accelerator *a, wa_browser *b, const char *webnn, uint32_t limit_ms, wa_runner **out, wa_error *err)
{
    wa_bridge_host *h;
    wa_browser_machine machine;
    char *url = NULL;
    uint64_t ticket;
    double end = wa__os_now_ms() + limit_ms;
    WA_TRY(host(a, &h, err));
    WA_TRY(wa__bridge_host_url(h, webnn, &url, &ticket, err));
    wa_status s = wa__browser_navigate(b, url, limit_ms, err);
    wa__free(url);
    if (s != WA_OK) return s;
    wa__browser_machine_scan(NULL, &machine);
    double left = end - wa__os_now_ms();
    wa_bridge_wants w = {left > 100 ? (uint32_t)left : 100, &a->cancel, alive, b, machine.gpu_count == 0 && !machine.has_wsl, webnn != NULL};
    return wa__bridge_host_wait(h, ticket, &w, out, err);
}

/* --- the public bridge ------------------------------------------------------------------------------ */
struct wa_bridge {
    wa_accelerator *a;
    char id[32]; /* of the browser: the session is looked up anew, since it may have been reopened */
};

static api_session *session_of(wa_bridge *b)
{
    for (uint32_t i = 0; i < b->a->session_count; i++)
        if (strcmp(b->a->sessions[i].id, b->id) == 0) return &b->a->sessions[i];
    return NULL;
}

wa_status wa_bridge_create(wa_accelerator *a, const wa_bridge_options *options, wa_bridge **out, wa_error *err)
{
    wa_bridge_options o = WA_BRIDGE_OPTIONS_INIT;
    if (options && (options->struct_size == 0 || options->struct_size > sizeof o))
        return wa__fail(err, WA_INVALID_ARGUMENT, "bridge options: struct_size is wrong; start from WA_BRIDGE_OPTIONS_INIT");
    if (options) memcpy(&o, options, options->struct_size);
    wa_accelerate_options run = WA_ACCELERATE_OPTIONS_INIT;
    api_choice c = {0};
    api_session *s = NULL;
    bool headless = a->headless;
    atomic_store(&a->cancel, false);
    a->headless = o.headless;
    run.target = "webgpu";
    run.no_fallback = true;
    wa_status st = o.browser ? api_session_browser(a, o.browser, o.software, o.timeout_ms, &s, err) : api_target_choose(a, &run, "text_embedding", &c, err);
    a->headless = headless;
    if (st != WA_OK) return st;
    wa_bridge *b = wa__alloc(1, sizeof *b);
    if (!b) return wa__no_memory(err, "a bridge");
    b->a = a;
    snprintf(b->id, sizeof b->id, "%s", s ? s->id : c.session->id);
    *out = b;
    return WA_OK;
}

void wa_bridge_free(wa_bridge *b)
{
    if (!b) return;
    api_session *s = session_of(b);
    if (s) api_session_close(b->a, s);
    wa__free(b);
}

static wa_status need_session(wa_bridge *b, api_session **out, wa_error *err)
{
    *out = session_of(b);
    return *out ? WA_OK : wa__fail(err, WA_BROWSER, "the bridge's browser (%s) is gone; create the bridge again", b->id);
}

wa_status wa_bridge_capabilities(wa_bridge *b, char **json, wa_error *err)
{
    api_session *s;
    WA_TRY(need_session(b, &s, err));
    const wa_run_target *t = s->runner->ops->target(s->runner);
    const wa_bridge_hello *h = wa__bridge_hello(s->runner);
    json_t *o = json_pack("{s:s?, s:s?, s:b, s:b, s:b, s:{s:s?, s:s?, s:s?, s:s?, s:b}, s:{s:b, s:b, s:b, s:b}, s:{s:I, s:I, s:i, s:i}, s:s, s:f}", "browser", t->browser, "browser_version",
                          t->browser_version, "webgpu", h->webgpu, "webnn", h->webnn, "isolated", h->isolated, "adapter", "vendor", t->adapter_vendor, "architecture",
                          t->adapter_architecture, "device", t->adapter_device, "description", t->adapter_description, "software", t->adapter_software, "features", "shader-f16",
                          (t->features & WA_FEATURE_F16) != 0, "subgroups", (t->features & WA_FEATURE_SUBGROUPS) != 0, "subgroup-matrix",
                          (t->features & WA_FEATURE_SUBGROUP_MATRIX) != 0, "timestamp-query", (t->features & WA_FEATURE_TIMESTAMP) != 0, "limits", "buffer_bytes",
                          (json_int_t)t->limit_buffer, "binding_bytes", (json_int_t)t->limit_binding, "workgroup_bytes", (int)t->workgroup_bytes, "invocations",
                          (int)t->invocations, "step", s->step, "start_ms", s->start_ms);
    char *text = api_json_text(o);
    if (!text) return wa__no_memory(err, "capabilities");
    *json = text;
    return WA_OK;
}

wa_status wa_bridge_request_inference(wa_bridge *b, const wa_accelerate_options *o, wa_result **out, wa_error *err)
{
    api_session *s;
    wa_accelerate_options full = WA_ACCELERATE_OPTIONS_INIT;
    if (!o || o->struct_size == 0 || o->struct_size > sizeof full) return wa__fail(err, WA_INVALID_ARGUMENT, "run options: struct_size is wrong; start from WA_ACCELERATE_OPTIONS_INIT");
    memcpy(&full, o, o->struct_size);
    atomic_store(&b->a->cancel, false);
    WA_TRY(need_session(b, &s, err));
    return api_run(b->a, s, &full, out, err);
}

wa_status wa_bridge_benchmark(wa_bridge *b, char **json, wa_error *err)
{
    api_session *s;
    wa_bridge_bench r = {0};
    WA_TRY(need_session(b, &s, err));
    WA_TRY(wa__bridge_bench(s->runner, 100, &r, err));
    const wa_run_target *t = s->runner->ops->target(s->runner);
    json_t *o = json_pack("{s:s?, s:s?, s:b, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "browser", t->browser, "browser_version", t->browser_version, "software", t->adapter_software, "runs",
                          (int)r.runs, "ours_ms", r.ours_ms, "ours_p90_ms", r.ours_p90_ms, "plain_ms", r.plain_ms, "plain_p90_ms", r.plain_p90_ms, "trip_ms", r.trip_ms, "upload_gb_s",
                          r.upload_gbps, "fetch_gb_s", r.fetch_gbps, "start_ms", s->start_ms);
    char *text = api_json_text(o);
    if (!text) return wa__no_memory(err, "the benchmark");
    *json = text;
    return WA_OK;
}
