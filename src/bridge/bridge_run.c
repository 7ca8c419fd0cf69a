/* One run of an entry in a page: inputs narrowed and sent, page segments replayed, CPU segments of a
 * mixed plan run here with their ranges moved across, outputs widened. Runner's thread.
 *
 * A RUN frame is {segments, writes, reads} and the bytes to write. Of what repeats, all but the bytes are sent
 * once: the page remembers it under a number (frame flag AGAIN). */
#include "bridge/bridge_int.h"
#include "base/checked.h"
#include "base/os.h"

enum { PARTS_MAX = BRIDGE_BLOBS_MAX, WORDS_HEAD = 4, WORDS_WRITE = 3, WORDS_READ = 5, WORDS_MAX = WORDS_HEAD + PARTS_MAX * (WORDS_WRITE + WORDS_READ) };

/* One RUN frame in the making: what to write, which page segments to replay, what to read. */
typedef struct step {
    uint64_t writes[PARTS_MAX][WORDS_WRITE]; /* buffer, offset, bytes */
    uint64_t reads[PARTS_MAX][WORDS_READ];   /* buffer, offset, bytes, readback buffer or WA_NONE, offset there */
    bridge_blob *parts[PARTS_MAX]; /* a write's bytes each */
    uint32_t part_count, read_count;
    uint32_t first, count; /* segments */
} step;

static void step_begin(step *st) { st->part_count = st->read_count = st->first = st->count = 0; }
static void step_done(step *st)
{
    for (uint32_t i = 0; i < st->part_count; i++) wa__blob_drop(st->parts[i]);
    st->part_count = 0;
}

/* Memory of n bytes (rounded up to words) that will be written at buffer+offset; NULL on failure. */
static void *step_write(step *st, uint32_t buffer, uint64_t offset, uint64_t n)
{
    uint64_t padded = wa__align_up(n, 4);
    if (st->part_count == PARTS_MAX || padded > WA_WIRE_BODY_BYTES_MAX) return NULL;
    bridge_blob *p = wa__blob_new((size_t)padded);
    if (!p) return NULL;
    const uint64_t words[WORDS_WRITE] = {buffer, offset, padded};
    memcpy(st->writes[st->part_count], words, sizeof words);
    st->parts[st->part_count++] = p;
    return p->bytes;
}

static bool step_read(step *st, uint32_t buffer, uint64_t offset, uint64_t n, uint32_t staging, uint64_t staging_offset)
{
    if (st->read_count == PARTS_MAX) return false;
    const uint64_t words[WORDS_READ] = {buffer, offset, n, staging, staging_offset};
    memcpy(st->reads[st->read_count++], words, sizeof words);
    return true;
}

static uint64_t step_read_bytes(const step *st)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < st->read_count; i++) n += st->reads[i][2];
    return n;
}

static uint32_t step_words(const step *st, bool profile, uint64_t out[WORDS_MAX])
{
    const uint64_t head[WORDS_HEAD] = {st->first, st->count, profile, st->part_count};
    uint32_t w = st->part_count * WORDS_WRITE, r = st->read_count * WORDS_READ;
    memcpy(out, head, sizeof head);
    memcpy(out + WORDS_HEAD, st->writes, w * sizeof *out);
    memcpy(out + WORDS_HEAD + w, st->reads, r * sizeof *out);
    return WORDS_HEAD + w + r;
}

static json_t *step_list(const uint64_t *words, uint32_t count, uint32_t each)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        json_t *one = json_array();
        for (uint32_t k = 0; k < each; k++) {
            uint64_t v = words[i * each + k];
            json_array_append_new(one, json_integer(k == 3 && v == WA_NONE ? -1 : (json_int_t)v));
        }
        if (json_array_append_new(list, one) != 0 || json_array_size(one) != each) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* NULL when memory runs out. */
static json_t *step_meta(const step *st, uint32_t handle, bool profile)
{
    json_t *writes = step_list(&st->writes[0][0], st->part_count, WORDS_WRITE), *reads = step_list(&st->reads[0][0], st->read_count, WORDS_READ);
    return json_pack("{s:i, s:[i, i], s:o, s:o, s:b}", "handle", (int)handle, "segments", (int)st->first, (int)st->count, "writes", writes, "reads", reads,
                     "profile", profile);
}

static const bridge_known *known_of(const bridge_load *l, const uint64_t *words, uint32_t count)
{
    for (uint32_t i = 0; i < l->known_count; i++)
        if (l->known[i].count == count && memcmp(l->known[i].words, words, count * sizeof *words) == 0) return &l->known[i];
    return NULL;
}

/* A failure to remember costs only speed. */
static void remember(bridge_load *l, const uint64_t *words, uint32_t count, uint32_t seq)
{
    uint64_t *copy = wa__alloc(count, sizeof *copy);
    if (!copy) return;
    memcpy(copy, words, count * sizeof *copy);
    l->known[l->known_count++] = (bridge_known){copy, count, seq};
}

static wa_status step_send(bridge_session *s, bridge_load *l, const step *st, bridge_job **out, wa_error *err)
{
    uint64_t words[WORDS_MAX];
    uint32_t n = step_words(st, s->profile, words);
    const bridge_known *k = known_of(l, words, n);
    if (k) return wa__session_send(s, WA_FRAME_RUN | WA_WIRE_AGAIN << 16, WA_FRAME_RESULT, k->seq, NULL, st->parts, st->part_count, out, err);
    uint32_t seq = l->known_count < BRIDGE_KNOWN_MAX ? ++s->next_seq : 0;
    json_t *meta = step_meta(st, l->handle, s->profile);
    if (!meta) return wa__no_memory(err, "a run's message");
    WA_TRY(wa__session_send(s, WA_FRAME_RUN, WA_FRAME_RESULT, seq, meta, st->parts, st->part_count, out, err));
    if (seq) remember(l, words, n, seq);
    return WA_OK;
}

typedef struct run {
    bridge_session *s;
    bridge_load *l;
    const wa_plan_entry *e;
    const wa_run_control *c;
    wa_run_stats *stats;
    bridge_job *job;    /* of the last step */
    double deadline_ms; /* 0: none */
    uint32_t profiled;  /* entries of s->dispatch_us filled */
} run;

static double reply_number(const json_t *reply, const char *key)
{
    const json_t *v = json_object_get(reply, key);
    return json_is_number(v) ? json_number_value(v) : -1;
}

static void add_time(double *sum, double v) { *sum = *sum < 0 || !(v >= 0) ? -1 : *sum + v; }

/* Times of the step's dispatches; their starts count from the run's first one as long as there is one step. */
static void take_profile(run *x, const json_t *reply)
{
    const json_t *us = json_object_get(reply, "dispatch_us"), *at = json_object_get(reply, "dispatch_at_us");
    bool first = x->profiled == 0;
    for (size_t i = 0; i < json_array_size(us) && x->profiled < x->l->plan->dispatch_count && x->s->dispatch_us; i++) {
        const json_t *start = json_array_get(at, i);
        x->s->dispatch_at_us[x->profiled] = first && json_is_number(start) ? json_number_value(start) : -1;
        x->s->dispatch_us[x->profiled++] = json_number_value(json_array_get(us, i));
    }
}

static void take_stats(wa_run_stats *to, const bridge_job *j)
{
    wa_wire_packed p = j->packed;
    if (j->reply) {
        double n = reply_number(j->reply, "dispatches"), submits = reply_number(j->reply, "submits");
        p = (wa_wire_packed){reply_number(j->reply, "device_ms"), reply_number(j->reply, "gpu_ms"), n > 0 && n < 1e9 ? (uint32_t)n : 0,
                             submits > 0 && submits < 1e9 ? (uint32_t)submits : 0};
    }
    add_time(&to->device_ms, p.device_ms);
    add_time(&to->gpu_ms, p.gpu_ms);
    to->dispatches += p.dispatches;
    to->submits += p.submits;
}

static wa_status check_body(const bridge_job *j, uint64_t want, wa_error *err)
{
    if (j->body.len == want) return WA_OK;
    return wa__fail(err, WA_PROTOCOL, "the page sent %zu bytes of results, %llu were due", j->body.len, (unsigned long long)want);
}

/* Sends the step and waits; the results' bytes stay in x->job until the next one. */
static wa_status step_run(run *x, step *st, wa_error *err)
{
    wa_run_control c = x->c ? *x->c : (wa_run_control){0};
    c.progress = NULL;
    if (x->deadline_ms > 0) {
        double left = x->deadline_ms - wa__os_now_ms();
        c.timeout_ms = left > 1 ? (uint32_t)left : 1;
    }
    wa__session_release(x->s, x->job);
    x->job = NULL;
    WA_TRY(step_send(x->s, x->l, st, &x->job, err));
    WA_TRY(wa__session_await(x->s, x->job, &c, err));
    WA_TRY(check_body(x->job, step_read_bytes(st), err));
    if (!x->stats) return WA_OK;
    take_stats(x->stats, x->job);
    if (x->job->reply) take_profile(x, x->job->reply);
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
        if (in_page(x, io->buffer) && !step_read(st, io->buffer, io->offset, io->length, io->readback, io->readback_offset))
            return wa__fail(err, WA_LIMIT, "more than %d outputs", PARTS_MAX);
    }
    return io_at(x, count, true) ? wa__fail(err, WA_INVALID_ARGUMENT, "the entry gives more than %u outputs", count) : WA_OK;
}

static wa_status take_outputs(run *x, const wa_view *outputs, uint32_t count, wa_error *err)
{
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        const wa_plan_io *io = io_at(x, i, true);
        const void *from = in_page(x, io->buffer) ? (const void *)(x->job->body.ptr + at) : x->l->host[io->buffer] + io->offset;
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
        if (n == PARTS_MAX || !step_read(st, t->from_buffer, t->from_offset, t->from_length, t->staging, 0))
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
        s = to ? convert_transfer(t, x->job->body.ptr + at, to, err) : wa__fail(err, WA_LIMIT, "a transfer in the page is too large");
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
            double start = wa__os_now_ms();
            WA_TRY(wa__cpu_segment_run(x->l->cpu, at, x->l->host, err));
            if (x->s->profile) x->s->segment_us[at] = (wa__os_now_ms() - start) * 1e3;
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
    wa__session_release(x->s, x->job);
    return s;
}

static wa_status ready_profile(bridge_session *s, const wa_plan *p, wa_error *err)
{
    if (!(s->target.features & WA_FEATURE_TIMESTAMP)) return wa__fail(err, WA_UNSUPPORTED, "this adapter has no timestamp queries: dispatches cannot be measured");
    size_t n = p->dispatch_count ? p->dispatch_count : 1;
    double *us = wa__realloc(s->dispatch_us, (2 * n + p->segment_count) * sizeof *us);
    if (!us) return wa__no_memory(err, "a profile");
    for (size_t i = 0; i < 2 * n + p->segment_count; i++) us[i] = -1;
    s->dispatch_us = us;
    s->dispatch_at_us = us + n;
    s->segment_us = us + 2 * n;
    return WA_OK;
}

static wa_status find(run *x, uint32_t handle, uint32_t entry, wa_error *err)
{
    for (uint32_t i = 0; i < BRIDGE_LOADS_MAX; i++)
        if (x->s->loads[i].used && x->s->loads[i].handle == handle) x->l = &x->s->loads[i];
    if (!x->l) return wa__fail(err, WA_NOT_FOUND, "no plan %u is loaded in this page", handle);
    if (entry >= x->l->plan->entry_count) return wa__fail(err, WA_NOT_FOUND, "the plan has %u entries, not %u", x->l->plan->entry_count, entry + 1);
    x->e = &x->l->plan->entries[entry];
    return WA_OK;
}

wa_status wa__bridge_run(wa_runner *r, uint32_t handle, uint32_t entry, const wa_view *inputs, uint32_t input_count, wa_view *outputs,
                         uint32_t output_count, const wa_run_control *c, wa_run_stats *stats, wa_error *err)
{
    bridge_session *s = (bridge_session *)r;
    run x = {.s = s, .c = c, .stats = stats};
    WA_TRY(find(&x, handle, entry, err));
    double start = wa__os_now_ms();
    if (c && c->timeout_ms) x.deadline_ms = start + c->timeout_ms;
    if (stats) *stats = (wa_run_stats){0};
    if (s->profile) WA_TRY(ready_profile(s, x.l->plan, err));
    WA_TRY(run_steps(&x, inputs, input_count, outputs, output_count, err));
    if (!stats) return WA_OK;
    stats->wall_ms = wa__os_now_ms() - start;
    stats->dispatch_us = s->profile ? s->dispatch_us : NULL;
    stats->dispatch_at_us = s->profile ? s->dispatch_at_us : NULL;
    stats->segment_us = s->profile ? s->segment_us : NULL;
    return WA_OK;
}

/* --- runs in flight ------------------------------------------------------------------------------- */
/* All outputs, as the entry has them: their memory is named at the finish. */
static wa_status ask_all(run *x, step *st, wa_error *err)
{
    const wa_plan_io *io;
    for (uint32_t i = 0; (io = io_at(x, i, true)) != NULL; i++)
        if (!step_read(st, io->buffer, io->offset, io->length, io->readback, io->readback_offset)) return wa__fail(err, WA_LIMIT, "more than %d outputs", PARTS_MAX);
    return WA_OK;
}

static wa_status begin_step(run *x, step *st, const wa_view *inputs, uint32_t input_count, wa_error *err)
{
    const wa_plan *p = x->l->plan;
    for (uint32_t i = 0; i < x->e->segment_count; i++)
        if (p->segments[x->e->segment_first + i].target != WA_TARGET_WEBGPU)
            return wa__fail(err, WA_UNSUPPORTED, "runs in flight are for plans on WebGPU alone; segment %u is on %s", i, wa__target_name(p->segments[x->e->segment_first + i].target));
    WA_TRY(put_inputs(x, st, inputs, input_count, err));
    st->first = x->e->segment_first;
    st->count = x->e->segment_count;
    return ask_all(x, st, err);
}

wa_status wa__bridge_begin(wa_runner *r, uint32_t handle, uint32_t entry, const wa_view *inputs, uint32_t input_count, uint64_t *ticket, wa_error *err)
{
    run x = {.s = (bridge_session *)r};
    step st;
    bridge_job *j = NULL;
    double start = wa__os_now_ms();
    WA_TRY(find(&x, handle, entry, err));
    step_begin(&st);
    wa_status s = begin_step(&x, &st, inputs, input_count, err);
    if (s == WA_OK) s = step_send(x.s, x.l, &st, &j, err);
    if (s == WA_OK) {
        j->handle = handle;
        j->entry = entry;
        j->want_bytes = step_read_bytes(&st);
        j->start_ms = start;
        *ticket = j->id;
    }
    step_done(&st);
    return s;
}

static wa_status finish(run *x, const bridge_job *j, wa_view *outputs, uint32_t output_count, wa_error *err)
{
    WA_TRY(find(x, j->handle, j->entry, err));
    WA_TRY(check_body(j, j->want_bytes, err));
    for (uint32_t i = 0; i < output_count; i++) {
        const wa_plan_io *io = io_at(x, i, true);
        if (!io) return wa__fail(err, WA_INVALID_ARGUMENT, "the entry gives %u outputs, not %u", i, output_count);
        WA_TRY(check_view(x, io, &outputs[i], err));
    }
    if (io_at(x, output_count, true)) return wa__fail(err, WA_INVALID_ARGUMENT, "the entry gives more than %u outputs", output_count);
    return take_outputs(x, outputs, output_count, err);
}

wa_status wa__bridge_finish(wa_runner *r, uint64_t ticket, wa_view *outputs, uint32_t output_count, const wa_run_control *c, wa_run_stats *stats,
                            wa_error *err)
{
    run x = {.s = (bridge_session *)r};
    for (uint32_t i = 0; i < BRIDGE_JOBS_MAX; i++)
        if (ticket && x.s->jobs[i].id == ticket) x.job = &x.s->jobs[i];
    if (!x.job) return wa__fail(err, WA_NOT_FOUND, "no run %llu is in flight", (unsigned long long)ticket);
    wa_status s = wa__session_await(x.s, x.job, c, err);
    if (s == WA_OK) s = finish(&x, x.job, outputs, output_count, err);
    if (s == WA_OK && stats) {
        *stats = (wa_run_stats){0};
        take_stats(stats, x.job);
        stats->wall_ms = wa__os_now_ms() - x.job->start_ms;
    }
    wa__session_release(x.s, x.job);
    return s;
}

void wa__bridge_profile(wa_runner *r, bool on) { ((bridge_session *)r)->profile = on; }
