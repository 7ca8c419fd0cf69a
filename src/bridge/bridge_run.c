/* One run of an entry in a page: inputs narrowed and sent, page segments replayed, CPU segments of a
 * mixed plan run here with their ranges moved across, outputs widened. Runner's thread. */
#include "bridge/bridge_int.h"
#include "base/checked.h"
#include "base/os.h"

enum { PARTS_MAX = 64 };

/* One RUN frame in the making: what to write, which page segments to replay, what to read. */
typedef struct step {
    json_t *writes, *reads;
    wa_str parts[PARTS_MAX];
    uint32_t part_count;
    void *owned[PARTS_MAX];
    uint32_t read_count;
    uint64_t read_bytes[PARTS_MAX];
    uint32_t first, count; /* segments */
    bool bad;
} step;

static void step_begin(step *st)
{
    memset(st, 0, sizeof *st);
    st->writes = json_array();
    st->reads = json_array();
}
static void step_done(step *st)
{
    json_decref(st->writes);
    json_decref(st->reads);
    for (uint32_t i = 0; i < st->part_count; i++) wa__free(st->owned[i]);
}

/* Memory of n bytes (rounded up to words) that will be written at buffer+offset; NULL on failure. */
static void *step_write(step *st, uint32_t buffer, uint64_t offset, uint64_t n)
{
    uint64_t padded = wa__align_up(n, 4);
    if (st->part_count == PARTS_MAX || padded > WA_WIRE_BODY_BYTES_MAX) return NULL;
    void *p = wa__alloc(1, padded ? (size_t)padded : 4);
    if (!p) return NULL;
    st->owned[st->part_count] = p;
    st->parts[st->part_count++] = (wa_str){p, (size_t)padded};
    st->bad |= json_array_append_new(st->writes, json_pack("[i, I, I]", (int)buffer, (json_int_t)offset, (json_int_t)padded)) != 0;
    return p;
}

static bool step_read(step *st, uint32_t buffer, uint64_t offset, uint64_t n, int64_t staging, uint64_t staging_offset)
{
    if (st->read_count == PARTS_MAX) return false;
    st->read_bytes[st->read_count++] = n;
    st->bad |= json_array_append_new(st->reads, json_pack("[i, I, I, I, I]", (int)buffer, (json_int_t)offset, (json_int_t)n, (json_int_t)staging,
                                                          (json_int_t)staging_offset)) != 0;
    return true;
}

typedef struct run {
    bridge_session *s;
    bridge_load *l;
    const wa_plan_entry *e;
    const wa_run_control *c;
    wa_run_stats *stats;
    double deadline_ms; /* 0: none */
    uint32_t profiled;  /* entries of s->dispatch_us filled */
} run;

static double reply_number(const bridge_session *s, const char *key)
{
    const json_t *v = json_object_get(s->reply, key);
    return json_is_number(v) ? json_number_value(v) : -1;
}

static void add_time(double *sum, double v) { *sum = *sum < 0 || v < 0 ? -1 : *sum + v; }

/* Times of the step's dispatches; their starts count from the run's first one as long as there is one step. */
static void take_profile(run *x)
{
    const json_t *us = json_object_get(x->s->reply, "dispatch_us"), *at = json_object_get(x->s->reply, "dispatch_at_us");
    bool first = x->profiled == 0;
    for (size_t i = 0; i < json_array_size(us) && x->profiled < x->l->plan->dispatch_count && x->s->dispatch_us; i++) {
        const json_t *start = json_array_get(at, i);
        x->s->dispatch_at_us[x->profiled] = first && json_is_number(start) ? json_number_value(start) : -1;
        x->s->dispatch_us[x->profiled++] = json_number_value(json_array_get(us, i));
    }
}

/* Sends the step, checks that exactly the bytes asked for came back. */
static wa_status step_run(run *x, step *st, wa_error *err)
{
    if (st->bad) return wa__no_memory(err, "a run's message");
    wa_run_control c = x->c ? *x->c : (wa_run_control){0};
    c.progress = NULL;
    if (x->deadline_ms > 0) {
        double left = x->deadline_ms - wa__os_now_ms();
        c.timeout_ms = left > 1 ? (uint32_t)left : 1;
    }
    json_t *meta = json_pack("{s:i, s:[i, i], s:O, s:O, s:b}", "handle", (int)x->l->handle, "segments", (int)st->first, (int)st->count, "writes", st->writes,
                             "reads", st->reads, "profile", x->s->profile);
    if (!meta) return wa__no_memory(err, "a run's message");
    WA_TRY(wa__session_call(x->s, WA_FRAME_RUN, WA_FRAME_RESULT, meta, st->parts, st->part_count, &c, err));
    uint64_t want = 0;
    for (uint32_t i = 0; i < st->read_count; i++) want += st->read_bytes[i];
    if (x->s->body.len != want)
        return wa__fail(err, WA_PROTOCOL, "the page sent %zu bytes of results, %llu were due", x->s->body.len, (unsigned long long)want);
    if (!x->stats) return WA_OK;
    add_time(&x->stats->device_ms, reply_number(x->s, "device_ms"));
    add_time(&x->stats->gpu_ms, reply_number(x->s, "gpu_ms"));
    double n = reply_number(x->s, "dispatches"), submits = reply_number(x->s, "submits");
    x->stats->dispatches += n > 0 && n < 1e9 ? (uint32_t)n : 0;
    x->stats->submits += submits > 0 && submits < 1e9 ? (uint32_t)submits : 0;
    take_profile(x);
    return WA_OK;
}

/* --- inputs and outputs --------------------------------------------------------------------------- */
static const wa_plan_io *io_at(const run *x, uint32_t which, bool output)
{
    for (uint32_t i = 0, k = 0; i < x->e->io_count; i++) {
        const wa_plan_io *io = &x->l->plan->ios[x->e->io_first + i];
        if ((io->is_output != 0) == output && k++ == which) return io;
    }
    return NULL;
}

static bool in_page(const run *x, uint32_t buffer) { return x->l->plan->buffers[buffer].target != WA_TARGET_CPU; }

static wa_status check_view(const run *x, const wa_plan_io *io, const wa_view *v, wa_error *err)
{
    wa_tensor_type want = {(wa_dtype)io->dtype, io->rank, {0}};
    memcpy(want.dims, io->dims, sizeof want.dims);
    if (v->data && wa__type_eq(&want, &v->type)) return WA_OK;
    char a[128], b[128];
    wa__type_text(&want, a, sizeof a);
    wa__type_text(&v->type, b, sizeof b);
    return wa__fail(err, WA_INVALID_ARGUMENT, "\"%s\" is %s in the plan; %s was given", wa__plan_text(x->l->plan, io->name), a, v->data ? b : "nothing");
}

static wa_status put_inputs(run *x, step *st, const wa_view *inputs, uint32_t count, wa_error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        const wa_plan_io *io = io_at(x, i, false);
        if (!io) return wa__fail(err, WA_INVALID_ARGUMENT, "the entry takes %u inputs, not %u", i, count);
        WA_TRY(check_view(x, io, &inputs[i], err));
        void *to = in_page(x, io->buffer) ? step_write(st, io->buffer, io->offset, io->length) : x->l->host[io->buffer] + io->offset;
        if (!to) return wa__fail(err, WA_LIMIT, "input \"%s\": too large, or too many inputs", wa__plan_text(x->l->plan, io->name));
        WA_TRY(wa__bridge_convert(inputs[i].data, io->dtype, to, io->device_dtype, (uint64_t)wa__count(&inputs[i].type), wa__plan_text(x->l->plan, io->name), err));
    }
    return io_at(x, count, false) ? wa__fail(err, WA_INVALID_ARGUMENT, "the entry takes more than %u inputs", count) : WA_OK;
}

static wa_status ask_outputs(run *x, step *st, const wa_view *outputs, uint32_t count, wa_error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        const wa_plan_io *io = io_at(x, i, true);
        if (!io) return wa__fail(err, WA_INVALID_ARGUMENT, "the entry gives %u outputs, not %u", i, count);
        WA_TRY(check_view(x, io, &outputs[i], err));
        if (in_page(x, io->buffer) && !step_read(st, io->buffer, io->offset, io->length, io->readback == WA_NONE ? -1 : (int64_t)io->readback, io->readback_offset))
            return wa__fail(err, WA_LIMIT, "more than %d outputs", PARTS_MAX);
    }
    return io_at(x, count, true) ? wa__fail(err, WA_INVALID_ARGUMENT, "the entry gives more than %u outputs", count) : WA_OK;
}

static wa_status take_outputs(run *x, const wa_view *outputs, uint32_t count, wa_error *err)
{
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        const wa_plan_io *io = io_at(x, i, true);
        const void *from = in_page(x, io->buffer) ? (const void *)(x->s->body.ptr + at) : x->l->host[io->buffer] + io->offset;
        if (in_page(x, io->buffer)) at += io->length;
        WA_TRY(wa__bridge_convert(from, io->device_dtype, outputs[i].data, io->dtype, (uint64_t)wa__count(&outputs[i].type),
                                  wa__plan_text(x->l->plan, io->name), err));
    }
    return WA_OK;
}

/* --- mixed plans ---------------------------------------------------------------------------------- */
static uint64_t elements(uint64_t bytes, uint32_t dtype)
{
    unsigned bits = wa__dtype_info(dtype)->bits;
    return bits ? bytes * 8 / bits : 0; /* of a packed type maybe too many: the other side counts */
}

static wa_status convert_transfer(const wa_plan_transfer *t, const void *from, void *to, wa_error *err)
{
    uint64_t n = elements(t->from_length, t->from_dtype), m = elements(t->to_length, t->to_dtype);
    return wa__bridge_convert(from, t->from_dtype, to, t->to_dtype, n < m ? n : m, "a transfer", err);
}

/* What a segment reads from a memory of the page comes to the host: the page's segments since the last
 * exchange run with it. Into host memory, or into the next step's writes when it goes to another memory
 * of the page. */
static wa_status fetch(run *x, step *st, const wa_plan_segment *seg, wa_error *err)
{
    const wa_plan *p = x->l->plan;
    uint32_t moved[PARTS_MAX], n = 0;
    step next;
    for (uint32_t i = 0; i < seg->transfer_count; i++) {
        const wa_plan_transfer *t = &p->transfers[seg->transfer_first + i];
        if (!in_page(x, t->from_buffer)) continue;
        if (n == PARTS_MAX || !step_read(st, t->from_buffer, t->from_offset, t->from_length, t->staging == WA_NONE ? -1 : (int64_t)t->staging, 0))
            return wa__fail(err, WA_LIMIT, "more than %d transfers before a segment", PARTS_MAX);
        moved[n++] = seg->transfer_first + i;
    }
    bool due = seg->target == WA_TARGET_CPU ? n || st->count : n || (st->count && seg->transfer_count);
    if (!due) return WA_OK;
    WA_TRY(step_run(x, st, err));
    step_begin(&next);
    uint64_t at = 0;
    wa_status s = WA_OK;
    for (uint32_t i = 0; i < n && s == WA_OK; i++) {
        const wa_plan_transfer *t = &p->transfers[moved[i]];
        void *to = in_page(x, t->to_buffer) ? step_write(&next, t->to_buffer, t->to_offset, t->to_length) : x->l->host[t->to_buffer] + t->to_offset;
        s = to ? convert_transfer(t, x->s->body.ptr + at, to, err) : wa__fail(err, WA_LIMIT, "a transfer in the page is too large");
        at += t->from_length;
    }
    if (x->stats) x->stats->transfers += n;
    step_done(st);
    *st = next;
    return s;
}

static wa_status to_page(run *x, step *st, const wa_plan_segment *seg, wa_error *err)
{
    for (uint32_t i = 0; i < seg->transfer_count; i++) {
        const wa_plan_transfer *t = &x->l->plan->transfers[seg->transfer_first + i];
        if (in_page(x, t->from_buffer)) continue;
        void *to = step_write(st, t->to_buffer, t->to_offset, t->to_length);
        if (!to) return wa__fail(err, WA_LIMIT, "a transfer to the page is too large, or there are more than %d", PARTS_MAX);
        WA_TRY(convert_transfer(t, x->l->host[t->from_buffer] + t->from_offset, to, err));
        if (x->stats) x->stats->transfers++;
    }
    return WA_OK;
}

/* Segments in order; a step collects page segments until another memory needs their results. A
 * segment's inputs must not overtake the segments before it. */
static wa_status replay(run *x, step *st, wa_error *err)
{
    const wa_plan *p = x->l->plan;
    for (uint32_t i = 0; i < x->e->segment_count; i++) {
        uint32_t at = x->e->segment_first + i;
        const wa_plan_segment *seg = &p->segments[at];
        WA_TRY(fetch(x, st, seg, err));
        if (seg->target == WA_TARGET_CPU) {
            WA_TRY(wa__cpu_segment_run(x->l->cpu, at, x->l->host, err));
            if (x->stats) x->stats->cpu_segments++;
            continue;
        }
        WA_TRY(to_page(x, st, seg, err));
        if (!st->count) st->first = at;
        st->count++;
    }
    return WA_OK;
}

static wa_status run_steps(run *x, const wa_view *inputs, uint32_t input_count, wa_view *outputs, uint32_t output_count, wa_error *err)
{
    step st;
    step_begin(&st);
    wa_status s = put_inputs(x, &st, inputs, input_count, err);
    if (s == WA_OK) s = replay(x, &st, err);
    if (s == WA_OK) s = ask_outputs(x, &st, outputs, output_count, err);
    if (s == WA_OK && (st.count || st.read_count || st.part_count)) s = step_run(x, &st, err);
    if (s == WA_OK) s = take_outputs(x, outputs, output_count, err);
    step_done(&st);
    return s;
}

static wa_status ready_profile(bridge_session *s, const wa_plan *p, wa_error *err)
{
    if (!(s->target.features & WA_FEATURE_TIMESTAMP)) return wa__fail(err, WA_UNSUPPORTED, "this adapter has no timestamp queries: dispatches cannot be measured");
    size_t n = p->dispatch_count ? p->dispatch_count : 1;
    double *us = wa__realloc(s->dispatch_us, 2 * n * sizeof *us);
    if (!us) return wa__no_memory(err, "a profile");
    for (size_t i = 0; i < 2 * n; i++) us[i] = -1;
    s->dispatch_us = us;
    s->dispatch_at_us = us + n;
    return WA_OK;
}

wa_status wa__bridge_run(wa_runner *r, uint32_t handle, uint32_t entry, const wa_view *inputs, uint32_t input_count, wa_view *outputs,
                         uint32_t output_count, const wa_run_control *c, wa_run_stats *stats, wa_error *err)
{
    bridge_session *s = (bridge_session *)r;
    run x = {.s = s, .c = c, .stats = stats};
    for (uint32_t i = 0; i < BRIDGE_LOADS_MAX; i++)
        if (s->loads[i].used && s->loads[i].handle == handle) x.l = &s->loads[i];
    if (!x.l) return wa__fail(err, WA_NOT_FOUND, "no plan %u is loaded in this page", handle);
    if (entry >= x.l->plan->entry_count) return wa__fail(err, WA_NOT_FOUND, "the plan has %u entries, not %u", x.l->plan->entry_count, entry + 1);
    x.e = &x.l->plan->entries[entry];
    double start = wa__os_now_ms();
    if (c && c->timeout_ms) x.deadline_ms = start + c->timeout_ms;
    if (stats) *stats = (wa_run_stats){0};
    if (s->profile) WA_TRY(ready_profile(s, x.l->plan, err));
    WA_TRY(run_steps(&x, inputs, input_count, outputs, output_count, err));
    if (!stats) return WA_OK;
    stats->wall_ms = wa__os_now_ms() - start;
    stats->dispatch_us = s->profile ? s->dispatch_us : NULL;
    stats->dispatch_at_us = s->profile ? s->dispatch_at_us : NULL;
    return WA_OK;
}

void wa__bridge_profile(wa_runner *r, bool on) { ((bridge_session *)r)->profile = on; }
