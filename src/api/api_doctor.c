/* wa_doctor: what this machine has, what each browser shows, what will be used and why. */
#include "api_int.h"
#include "plan/plan_nn.h"

static json_t *system_json(void)
{
    char cpu[128], os[256];
    wa__os_cpu_name(cpu, sizeof cpu);
    wa__os_name(os, sizeof os);
    return json_pack("{s:s, s:i, s:I, s:s}", "cpu", cpu, "cores", (int)wa__os_cores(), "memory_bytes", (json_int_t)wa__os_memory_bytes(), "os", os);
}

static json_t *gpus_json(const wa_browser_machine *m)
{
    json_t *list = json_array();
    for (size_t i = 0; i < m->gpu_count && list; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "name", m->gpus[i].name, "note", m->driver));
    return list;
}

static json_t *features_json(const wa_run_target *t)
{
    char text[128];
    snprintf(text, sizeof text, "%s%s%s%s", t->features & WA_FEATURE_F16 ? "shader-f16 " : "", t->features & WA_FEATURE_SUBGROUPS ? "subgroups " : "",
             t->features & WA_FEATURE_SUBGROUP_MATRIX ? "subgroup-matrix " : "", t->features & WA_FEATURE_TIMESTAMP ? "timestamp-query" : "");
    size_t n = strlen(text);
    if (n && text[n - 1] == ' ') text[n - 1] = 0;
    return json_string(n ? text : "none");
}

/* Starts the browser, software adapters allowed, and adds what its page saw. */
static void probe(wa_accelerator *a, json_t *entry, const wa_browser_info *b, bool *hardware)
{
    api_session *s = NULL;
    wa_error err = {0};
    wa_status st = api_session_browser(a, b->path, true, 30000, &s, &err);
    if (st != WA_OK) {
        json_object_set_new(entry, "probe", json_string(err.message));
        return;
    }
    const wa_run_target *t = s->runner->ops->target(s->runner);
    const char *name = api_adapter_name(t);
    json_object_set_new(entry, "adapter", json_pack("{s:s, s:s?, s:s?, s:b}", "name", name ? name : "unnamed", "vendor", t->adapter_vendor, "architecture",
                                                    t->adapter_architecture, "software", t->adapter_software));
    json_object_set_new(entry, "features", features_json(t));
    json_object_set_new(entry, "step", json_string(s->step));
    json_object_set_new(entry, "start_ms", json_real(s->start_ms));
    json_object_set_new(entry, "limits", json_pack("{s:I, s:I}", "buffer_bytes", (json_int_t)t->limit_buffer, "binding_bytes", (json_int_t)t->limit_binding));
    if (!t->adapter_software) *hardware = true;
    api_session_close(a, s);
}

/* A context of WebNN, where the browser makes one. Which device runs it, the API mostly does not tell. */
static void probe_webnn(wa_accelerator *a, json_t *entry, const wa_browser_info *b)
{
    api_session *s = NULL;
    wa_error err = {0};
    if (b->family == WA_BROWSER_FIREFOX) return;
    if (api_session_webnn(a, b->path, NULL, 30000, &s, &err) != WA_OK) {
        json_object_set_new(entry, "webnn", json_pack("{s:b, s:s}", "available", 0, "reason", err.message));
        return;
    }
    const wa_run_target *t = s->runner->ops->target(s->runner);
    json_object_set_new(entry, "webnn", json_pack("{s:b, s:s, s:s, s:i}", "available", 1, "device_type", t->webnn_device, "placement", t->webnn_placement, "methods", (int)t->nn->ops));
    api_session_close(a, s);
}

static json_t *browsers_json(wa_accelerator *a, const wa_browser_list *l, bool probe_each, bool *hardware, size_t *usable)
{
    json_t *list = json_array();
    for (size_t i = 0; i < l->count && list && !atomic_load(&a->cancel); i++) {
        const wa_browser_info *b = &l->items[i];
        json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "family", wa__browser_family_name(b->family), "name", b->name, "version", b->version, "channel", b->channel, "path",
                              b->path, "found_by", b->found_by);
        if (b->unusable[0]) json_object_set_new(o, "problem", json_string(b->unusable));
        else ++*usable;
        if (probe_each && !b->unusable[0]) {
            probe(a, o, b, hardware);
            probe_webnn(a, o, b);
        }
        json_array_append_new(list, o);
    }
    return list;
}

wa_status wa_doctor(wa_accelerator *a, bool probe_each, char **json, wa_error *err)
{
    wa_browser_machine m;
    wa_browser_list l = {0};
    bool hardware = false;
    size_t usable = 0;
    atomic_store(&a->cancel, false);
    wa__browser_machine_scan(NULL, &m);
    WA_TRY(wa__browser_discover(NULL, &l, err));
    json_t *o = json_pack("{s:s, s:o, s:o, s:o}", "version", wa_version(), "system", system_json(), "gpus", gpus_json(&m), "browsers",
                          browsers_json(a, &l, probe_each, &hardware, &usable));
    wa__browser_list_free(&l);
    char verdict[256];
    if (hardware) snprintf(verdict, sizeof verdict, "models run on the hardware GPU behind a browser; the CPU otherwise");
    else if (!usable) snprintf(verdict, sizeof verdict, "models run on this CPU: no usable browser");
    else if (m.gpu_count && !probe_each) snprintf(verdict, sizeof verdict, "a GPU and a browser are here; run doctor without --no-probe to see whether they meet");
    else snprintf(verdict, sizeof verdict, "models run on this CPU: no hardware GPU behind a browser; a software adapter is used only when its browser is named");
    bool ok = o && json_object_set_new(o, "home", json_string(a->home)) == 0 && json_object_set_new(o, "db", json_string(a->db_path)) == 0 &&
              json_object_set_new(o, "duckdb", json_boolean(wa__results_available(NULL))) == 0 && json_object_set_new(o, "verdict", json_string(verdict)) == 0;
    char *text = ok ? api_json_text(o) : NULL;
    if (!ok) json_decref(o);
    if (!text) return wa__no_memory(err, "the report");
    *json = text;
    return WA_OK;
}
