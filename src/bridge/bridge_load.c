/* Loading and unloading a plan in a page, and the host's side of a mixed plan. Runner's thread. */
#include "bridge/bridge_int.h"
#include "base/os.h"

static wa_status check_sources(const wa_plan *p, const wa_run_source *sources, uint32_t source_count, wa_error *err)
{
    if (source_count < p->source_count) return wa__fail(err, WA_INVALID_ARGUMENT, "the plan has %u files, %u were given", p->source_count, source_count);
    for (uint32_t i = 0; i < p->source_count; i++)
        if (sources[i].size != p->sources[i].size)
            return wa__fail(err, WA_VERIFY, "file %s has %llu bytes, the plan was made for %llu", wa__plan_text(p, p->sources[i].name),
                            (unsigned long long)sources[i].size, (unsigned long long)p->sources[i].size);
    return WA_OK;
}

/* The GPU narrows 64-bit weights without looking; so the host looks first. */
static wa_status check_narrowing(const wa_plan *p, const wa_run_source *sources, wa_error *err)
{
    for (uint32_t i = 0; i < p->weight_count; i++) {
        const wa_plan_weight *w = &p->weights[i];
        if (w->transform != WA_TRANSFORM_I64_TO_I32 || w->buffer == WA_NONE || p->buffers[w->buffer].target == WA_TARGET_CPU) continue;
        const uint8_t *src = (w->source == WA_NONE ? p->data : sources[w->source].data) + w->offset;
        for (uint64_t k = 0; k + 8 <= w->length; k += 8) {
            int64_t v;
            memcpy(&v, src + k, sizeof v);
            if (v < INT32_MIN || v > INT32_MAX)
                return wa__fail(err, WA_UNSUPPORTED, "weight \"%s\": element %llu, %lld, does not fit 32 bits", wa__plan_text(p, w->name),
                                (unsigned long long)(k / 8), (long long)v);
        }
    }
    return WA_OK;
}

static bool is_mixed(const wa_plan *p)
{
    for (uint32_t i = 0; i < p->segment_count; i++)
        if (p->segments[i].target == WA_TARGET_CPU) return true;
    return false;
}

static void drop(bridge_session *s, bridge_load *l)
{
    wa__memory_give(s, l);
    for (uint32_t i = 0; i < l->known_count; i++) wa__free(l->known[i].words);
    wa__cpu_segment_free(l->cpu);
    wa__pool_free(l->pool);
    for (uint32_t i = 0; l->host && i < l->plan->buffer_count; i++) wa__free(l->host[i]);
    wa__free(l->host);
    memset(l, 0, sizeof *l);
}

static wa_status make_host_side(bridge_load *l, wa_error *err)
{
    if (!is_mixed(l->plan)) return WA_OK;
    l->host = wa__alloc(l->plan->buffer_count, sizeof *l->host);
    if (!l->host) return wa__no_memory(err, "host buffers");
    for (uint32_t i = 0; i < l->plan->buffer_count; i++) {
        if (l->plan->buffers[i].target != WA_TARGET_CPU) continue;
        l->host[i] = wa__alloc(1, (size_t)l->plan->buffers[i].size + 64);
        if (!l->host[i]) return wa__no_memory(err, "host buffers");
    }
    WA_TRY(wa__pool_create(0, &l->pool, err));
    return wa__cpu_segment_create(l->plan, l->sources, l->source_count, l->pool, &l->cpu, err);
}

/* No answer may still be sending from the plan or its sources. */
static void await_servings(bridge_session *s, bridge_load *l)
{
    wa_bridge_host *h = s->host;
    pthread_mutex_lock(&h->mutex);
    l->closing = true;
    while (l->serving) pthread_cond_wait(&h->changed, &h->mutex);
    drop(s, l);
    pthread_mutex_unlock(&h->mutex);
}

/* The page says how many bytes of buffers it has: what the loaded plans say, no more and no less. */
static wa_status check_bytes(bridge_session *s, const json_t *reply, wa_error *err)
{
    const json_t *bytes = json_object_get(reply, "bytes");
    if (!json_is_integer(bytes) || json_integer_value(bytes) < 0) return wa__fail(err, WA_PROTOCOL, "the page did not say how many bytes it made");
    s->bytes = (uint64_t)json_integer_value(bytes);
    uint64_t predicted = wa__memory_bytes(s);
    if (s->bytes == predicted) return WA_OK;
    return wa__fail(err, WA_INTERNAL, "the page has %llu bytes of buffers, the plans predicted %llu", (unsigned long long)s->bytes, (unsigned long long)predicted);
}

static wa_status send_load(bridge_session *s, bridge_load *l, const wa_run_control *c, wa_error *err)
{
    json_t *meta = NULL;
    bridge_job *j;
    double start = wa__os_now_ms();
    WA_TRY(wa__bridge_manifest(l, (s->target.features & WA_FEATURE_TIMESTAMP) != 0, &meta, err));
    if (c && c->lazy && json_object_set_new(meta, "lazy", json_true()) != 0) {
        json_decref(meta);
        return wa__no_memory(err, "a plan's manifest");
    }
    double made = wa__os_now_ms();
    wa_status st = wa__session_call(s, WA_FRAME_LOAD, WA_FRAME_LOADED, meta, c, &j, err);
    if (st == WA_OK) st = check_bytes(s, j->reply, err);
    if (st == WA_OK) {
        s->times = (wa_bridge_load_times){made - start, -1, -1, -1};
        const struct { const char *key; double *to; } fields[] = {{"weights_ms", &s->times.weights_ms}, {"pipelines_ms", &s->times.pipelines_ms}, {"load_ms", &s->times.load_ms}};
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
            const json_t *v = json_object_get(j->reply, fields[i].key);
            if (json_is_number(v)) *fields[i].to = json_number_value(v);
        }
    }
    wa__session_release(s, j);
    return st;
}

wa_bridge_load_times wa__bridge_load_times(const wa_runner *r) { return ((const bridge_session *)r)->times; }

wa_status wa__bridge_load(wa_runner *r, const wa_plan *plan, const wa_run_source *sources, uint32_t source_count, const wa_run_control *c,
                          uint32_t *handle, wa_error *err)
{
    bridge_session *s = (bridge_session *)r;
    WA_TRY(check_sources(plan, sources, source_count, err));
    WA_TRY(check_narrowing(plan, sources, err));
    bridge_load *l = NULL;
    for (uint32_t i = 0; i < BRIDGE_LOADS_MAX && !l; i++)
        if (!s->loads[i].used) l = &s->loads[i];
    if (!l) return wa__fail(err, WA_LIMIT, "%d plans are loaded in this page; unload one", BRIDGE_LOADS_MAX);
    bridge_load fresh = {.plan = plan, .sources = sources, .source_count = source_count, .handle = ++s->next_handle, .used = true,
                         .lanes = c && c->lanes > 1 ? c->lanes : 1};
    wa_status st = fresh.lanes <= BRIDGE_JOBS_MAX ? wa__bridge_token(fresh.path, err) : wa__fail(err, WA_LIMIT, "%u runs in flight: at most %d", fresh.lanes, BRIDGE_JOBS_MAX);
    if (st == WA_OK) st = wa__memory_take(s, &fresh, err);
    if (st == WA_OK) st = make_host_side(&fresh, err);
    if (st != WA_OK) {
        drop(s, &fresh);
        return st;
    }
    pthread_mutex_lock(&s->host->mutex);
    *l = fresh;
    pthread_mutex_unlock(&s->host->mutex);
    st = send_load(s, l, c, err);
    if (st != WA_OK) {
        await_servings(s, l);
        return st;
    }
    *handle = l->handle;
    return WA_OK;
}

wa_status wa__bridge_unload(wa_runner *r, uint32_t handle, wa_error *err)
{
    bridge_session *s = (bridge_session *)r;
    for (uint32_t i = 0; i < BRIDGE_LOADS_MAX; i++) {
        bridge_load *l = &s->loads[i];
        if (!l->used || l->handle != handle) continue;
        const wa_run_control c = {.timeout_ms = 10000};
        wa_status st = WA_OK;
        bool there = wa__bridge_alive(r, NULL); /* a dead page holds nothing */
        bridge_job *j = NULL;
        if (there) st = wa__session_call(s, WA_FRAME_UNLOAD, WA_FRAME_UNLOADED, json_pack("{s:i}", "handle", (int)handle), &c, &j, err);
        await_servings(s, l);
        if (there && st == WA_OK) st = check_bytes(s, j->reply, err);
        wa__session_release(s, j);
        return st;
    }
    return wa__fail(err, WA_NOT_FOUND, "no plan %u is loaded in this page", handle);
}

static uint64_t actual_bytes(wa_runner *r)
{
    return ((bridge_session *)r)->bytes;
}

static uint64_t predicted_bytes(wa_runner *r) { return wa__memory_bytes((bridge_session *)r); }

static const wa_run_target *target(wa_runner *r) { return &((bridge_session *)r)->target; }

static void free_runner(wa_runner *r)
{
    if (!r) return;
    bridge_session *s = (bridge_session *)r;
    wa_bridge_host *h = s->host;
    uint8_t header[WA_WIRE_HEADER_BYTES];
    wa_str bye = {(const char *)header, sizeof header};
    wa__wire_header(header, WA_FRAME_BYE, 0, 0, 0, 0);
    if (s->ws) {
        wa_status sent = wa__ws_send_parts(s->ws, true, &bye, 1, NULL);
        (void)sent; /* a closed socket needs no goodbye */
        wa__ws_shut(s->ws);
    }
    for (uint32_t i = 0; i < BRIDGE_LOADS_MAX; i++)
        if (s->loads[i].used) await_servings(s, &s->loads[i]);
    pthread_mutex_lock(&h->mutex);
    s->taken = false;
    s->given_up = true;
    wa__session_sweep(h);
    pthread_mutex_unlock(&h->mutex);
}

const wa_runner_ops wa__bridge_ops = {"webgpu", wa__bridge_load, wa__bridge_run, wa__bridge_unload, actual_bytes, predicted_bytes, target, free_runner,
                                      wa__bridge_begin, wa__bridge_finish};
