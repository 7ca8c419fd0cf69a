/* A profile's last run as Chrome's trace event format, which ui.perfetto.dev and chrome://tracing open: the
 * host's stages and the run on one track, the target's dispatches or calls on another. Timestamp queries have
 * a clock of their own: the target's spans are laid into the middle of the run that they belong to. */
#include "api_int.h"

enum { PID = 1, HOST_TRACK = 1, TARGET_TRACK = 2 };

static void name_track(json_t *events, int track, const char *name)
{
    json_array_append_new(events, json_pack("{s:s, s:s, s:i, s:i, s:{s:s}}", "ph", "M", "name", "thread_name", "pid", PID, "tid", track, "args", "name", name));
    json_array_append_new(events, json_pack("{s:s, s:s, s:i, s:i, s:{s:i}}", "ph", "M", "name", "thread_sort_index", "pid", PID, "tid", track, "args", "sort_index", track));
}

static void span(json_t *events, int track, const char *category, const char *name, double at_us, double us, json_t *args)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:i, s:i, s:f, s:f}", "ph", "X", "cat", category, "name", name, "pid", PID, "tid", track, "ts", at_us, "dur", us > 0 ? us : 0);
    if (o && args) json_object_set(o, "args", args);
    json_decref(args);
    json_array_append_new(events, o);
}

static void host_spans(json_t *events, const api_samples *s, double zero, double end_ms)
{
    for (uint32_t i = 0; i < s->stage_count; i++) {
        double next = i + 1 < s->stage_count ? s->stages[i + 1].at_ms : end_ms;
        span(events, HOST_TRACK, "host", s->stages[i].name, (s->stages[i].at_ms - zero) * 1e3, (next - s->stages[i].at_ms) * 1e3, NULL);
    }
    if (s->profiled)
        span(events, HOST_TRACK, "host", "profiled run", (s->profile_end_ms - s->profile_wall_ms - zero) * 1e3, s->profile_wall_ms * 1e3, NULL);
}

static const char *label_of(const wa_plan *p, uint32_t i)
{
    const char *label = wa__plan_text(p, p->info.target == WA_TARGET_CPU ? p->calls[i].label : p->dispatches[i].label);
    return *label ? label : "copy";
}

/* Dispatch i of the entry in the order in which they were measured. */
static uint32_t index_of(const wa_plan *p, uint32_t i)
{
    const wa_plan_entry *e = &p->entries[0];
    for (uint32_t k = 0; k < e->segment_count; k++) {
        const wa_plan_segment *g = &p->segments[e->segment_first + k];
        if (g->target != p->info.target) continue;
        if (i < g->count) return g->first + i;
        i -= g->count;
    }
    return WA_NONE;
}

static void target_spans(json_t *events, const wa_plan *p, const api_samples *s, double zero)
{
    size_t last = (size_t)(s->profiled - 1) * s->dispatch_count;
    const double *us = s->dispatch_us + last, *at = s->dispatch_at_us + last;
    double sum = 0, whole = 0;
    for (uint32_t i = 0; i < s->dispatch_count; i++) {
        if (us[i] < 0) continue;
        double start = at[i] >= 0 ? at[i] : whole;
        if (start + us[i] > whole) whole = start + us[i];
    }
    double start = (s->profile_end_ms - zero) * 1e3 - s->profile_wall_ms * 1e3;
    if (p->info.target != WA_TARGET_CPU && s->profile_wall_ms * 1e3 > whole) start += (s->profile_wall_ms * 1e3 - whole) / 2;
    for (uint32_t i = 0; i < s->dispatch_count; i++) {
        uint32_t index = index_of(p, i);
        if (us[i] < 0 || index == WA_NONE) continue;
        bool cpu = p->info.target == WA_TARGET_CPU;
        json_t *args = json_pack("{s:I, s:I}", "flops", (json_int_t)(cpu ? p->calls[index].flops : p->dispatches[index].flops), "bytes",
                                 (json_int_t)(cpu ? p->calls[index].bytes : p->dispatches[index].bytes));
        if (args && !cpu) json_object_set_new(args, "kernel", json_string(wa__plan_text(p, p->pipelines[p->dispatches[index].pipeline].label)));
        span(events, TARGET_TRACK, cpu ? "cpu" : "gpu", label_of(p, index), start + (at[i] >= 0 ? at[i] : sum), us[i], args);
        sum = (at[i] >= 0 ? at[i] : sum) + us[i];
    }
}

char *api_trace_json(const wa_plan *p, const api_samples *s, double end_ms)
{
    json_t *events = json_array();
    double zero = s->stage_count ? s->stages[0].at_ms : end_ms;
    json_array_append_new(events, json_pack("{s:s, s:s, s:i, s:{s:s}}", "ph", "M", "name", "process_name", "pid", PID, "args", "name", "webaccel"));
    name_track(events, HOST_TRACK, "host");
    name_track(events, TARGET_TRACK, p->info.target == WA_TARGET_CPU ? "CPU calls" : "GPU");
    host_spans(events, s, zero, end_ms);
    if (s->profiled && s->dispatch_us) target_spans(events, p, s, zero);
    return api_json_text(json_pack("{s:o, s:s}", "traceEvents", events, "displayTimeUnit", "ms"));
}
