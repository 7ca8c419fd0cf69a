/* What a page says of itself, from hostile JSON to the typed records of run.h and bridge.h. */
#include "bridge/bridge_int.h"

/* A string of the hello, cut at 200 bytes; it lives as long as s->hello. */
static const char *text(const json_t *o, const char *key)
{
    const char *t = json_string_value(json_object_get(o, key));
    return t && strlen(t) <= 400 ? t : "";
}

static uint64_t number(const json_t *o, const char *key, uint64_t most)
{
    const json_t *v = json_object_get(o, key);
    double d = json_is_number(v) ? json_number_value(v) : 0;
    if (!(d > 0)) return 0;
    return d >= (double)most ? most : (uint64_t)d;
}

static uint32_t features_of(const json_t *list)
{
    static const struct { const char *name; uint32_t bit; } known[] = {
        {"shader-f16", WA_FEATURE_F16}, {"subgroups", WA_FEATURE_SUBGROUPS}, {"timestamp-query", WA_FEATURE_TIMESTAMP},
        {"chromium-experimental-subgroup-matrix", WA_FEATURE_SUBGROUP_MATRIX}, {"subgroup-matrix-f16", WA_FEATURE_MATRIX_F16}, {"packed-dot", WA_FEATURE_DOT8}};
    uint32_t bits = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        for (size_t k = 0; name && k < sizeof known / sizeof *known; k++)
            if (strcmp(name, known[k].name) == 0) bits |= known[k].bit;
    }
    return bits;
}

/* Browser and version: client hints' brands first, else the user agent's product. */
static void name_browser(bridge_session *s)
{
    static const char *const preferred[] = {"Microsoft Edge", "Google Chrome", "Chromium"};
    static const struct { const char *mark, *name; } products[] = {
        {"Edg/", "Microsoft Edge"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Version/", "Safari"}};
    const json_t *brands = json_object_get(s->hello, "brands");
    const char *agent = text(s->hello, "user_agent");
    s->info.user_agent = agent;
    s->info.browser = s->info.version = "";
    for (size_t i = 0; i < sizeof products / sizeof *products && !s->info.browser[0]; i++) {
        const char *at = strstr(agent, products[i].mark);
        if (!at) continue;
        at += strlen(products[i].mark);
        json_t *version = json_stringn(at, strspn(at, "0123456789."));
        if (version && json_object_set_new(s->hello, "version", version) == 0) s->info.version = json_string_value(version);
        s->info.browser = products[i].name;
    }
    for (size_t p = 0; p < sizeof preferred / sizeof *preferred; p++) {
        for (size_t i = 0; i < json_array_size(brands); i++) {
            const char *brand = json_string_value(json_object_get(json_array_get(brands, i), "brand"));
            if (!brand || strcmp(brand, preferred[p]) != 0) continue;
            s->info.browser = preferred[p];
            return;
        }
    }
}

wa_status wa__session_hello(bridge_session *s, json_t *meta, wa_error *err)
{
    if (number(meta, "wire", 1000) != WA_WIRE_VERSION)
        return wa__fail(err, WA_PROTOCOL, "the page speaks wire version %llu, this program %d", (unsigned long long)number(meta, "wire", 1000), WA_WIRE_VERSION);
    const json_t *limits = json_object_get(meta, "limits"), *adapter = json_object_get(meta, "adapter");
    if (!json_is_object(limits) || !json_is_object(adapter)) return wa__fail(err, WA_PROTOCOL, "the page's hello lacks its adapter or limits");
    s->hello = json_incref(meta);
    name_browser(s);
    s->info.webgpu = json_is_true(json_object_get(meta, "webgpu"));
    s->info.webnn = json_is_true(json_object_get(meta, "webnn"));
    s->info.worker = json_is_true(json_object_get(meta, "worker"));
    s->info.isolated = json_is_true(json_object_get(meta, "isolated"));
    s->info.webnn_error = text(meta, "webnn_error");
    s->info.software_reason = text(adapter, "software_reason");
    s->info.opened_ms = json_number_value(json_object_get(meta, "opened_ms"));
    s->info.adapter_ms = json_number_value(json_object_get(meta, "adapter_ms"));
    s->target = (wa_run_target){
        .target = "webgpu", .browser = s->info.browser, .browser_version = s->info.version,
        .adapter_vendor = text(adapter, "vendor"), .adapter_architecture = text(adapter, "architecture"),
        .adapter_device = text(adapter, "device"), .adapter_description = text(adapter, "description"),
        /* anything but a clear "no" counts as software: a hardware GPU is never claimed by mistake */
        .adapter_software = !json_is_false(json_object_get(adapter, "software")),
        .features = features_of(json_object_get(meta, "features")),
        .limit_buffer = number(limits, "maxBufferSize", (uint64_t)1 << 48),
        .limit_binding = number(limits, "maxStorageBufferBindingSize", (uint64_t)1 << 48),
        .workgroup_bytes = (uint32_t)number(limits, "maxComputeWorkgroupStorageSize", 1 << 30),
        .invocations = (uint32_t)number(limits, "maxComputeInvocationsPerWorkgroup", 1 << 20)};
    s->target.webgpu = s->info.webgpu && !json_object_get(meta, "error");
    s->target.webnn = s->info.webnn;
    s->target.webnn_device = text(meta, "webnn_device");
    const json_t *accelerated = json_object_get(meta, "webnn_accelerated");
    s->target.webnn_placement = json_is_true(accelerated) ? "accelerated" : json_is_false(accelerated) ? "cpu" : "unknown";
    wa__hello_nn(meta, &s->nn);
    s->target.nn = &s->nn;
    s->hello_text = json_dumps(meta, JSON_COMPACT);
    s->info.json = s->hello_text ? s->hello_text : "{}";
    return WA_OK;
}

void wa__bridge_plan_target(const wa_runner *r, wa_target target, wa_plan_target *out)
{
    const wa_run_target *t = &((const bridge_session *)r)->target;
    *out = (wa_plan_target){.target = target, .features = t->features, .limit_buffer = t->limit_buffer, .limit_binding = t->limit_binding,
                            .workgroup_bytes = t->workgroup_bytes, .invocations = t->invocations, .software = t->adapter_software};
    snprintf(out->adapter, sizeof out->adapter, "%.30s/%.30s", t->adapter_vendor, t->adapter_architecture);
    if (target != WA_TARGET_WEBNN) return;
    out->nn = t->nn;
    out->gpu = t->webgpu && !t->adapter_software;
    if (!out->gpu) out->features = 0;
}

const wa_bridge_hello *wa__bridge_hello(const wa_runner *r) { return &((const bridge_session *)r)->info; }
