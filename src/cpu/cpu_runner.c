/* The CPU runner: loads plans, keeps a warm pool of threads, runs entries call by call. In: verified
 * plans and the model's files; out: the outputs' bytes. The api and the bridge's fallback call it.
 * A run allocates nothing. */
#include "cpu/cpu_int.h"

enum { BUFFER_ALIGN = 64 };

/* One buffer's memory. Plans of one runner share weights that are the same bytes in the same layout, and, since
 * runs follow one another, arenas and scratch. */
typedef struct block {
    uint32_t refs, kind;
    uint64_t size; /* alignment costs up to 63 bytes more */
    uint8_t *at;   /* aligned */
    uint8_t memory[];
} block;

typedef struct loaded {
    wa_cpu_program program;
    block **blocks; /* one a buffer, NULL for another target's */
    uint8_t **buffers;
    bool *fresh; /* made by this load: its weights are to be filled */
    double *call_us;
} loaded;

typedef struct cpu_runner {
    wa_runner base;
    wa_pool *pool;
    loaded **plans;
    size_t plan_count, plan_cap;
    uint64_t bytes; /* of blocks there are */
    wa_run_target target;
    char cpu_name[128];
} cpu_runner;

static cpu_runner *self(wa_runner *r) { return (cpu_runner *)(void *)r; }

wa_pool *wa__cpu_pool(wa_runner *r) { return self(r)->pool; }

static void free_loaded(cpu_runner *u, loaded *l)
{
    if (!l) return;
    for (uint32_t i = 0; l->blocks && i < l->program.plan->buffer_count; i++) {
        block *m = l->blocks[i];
        if (!m || --m->refs) continue;
        u->bytes -= m->size;
        wa__free(m);
    }
    wa__free(l->blocks);
    wa__free(l->buffers);
    wa__free(l->fresh);
    wa__free(l->call_us);
    wa__cpu_program_done(&l->program);
    wa__free(l);
}

static bool used(const loaded *l, uint32_t before, const block *b)
{
    for (uint32_t i = 0; i < before; i++)
        if (l->blocks[i] == b) return true;
    return false;
}

/* Memory of another plan that can be buffer i of this one, NULL when there is none. */
static block *shared(const cpu_runner *u, const loaded *l, uint32_t i)
{
    const wa_plan *p = l->program.plan;
    const wa_plan_buffer *b = &p->buffers[i];
    bool weights = b->kind == WA_BUFFER_KIND_WEIGHTS || b->kind == WA_BUFFER_KIND_CONST, space = b->kind == WA_BUFFER_KIND_ARENA || b->kind == WA_BUFFER_KIND_SCRATCH;
    for (size_t k = 0; k < u->plan_count && (weights || space); k++) {
        const loaded *o = u->plans[k];
        for (uint32_t j = 0; o && j < o->program.plan->buffer_count; j++) {
            block *m = o->blocks[j];
            if (!m || m->kind != b->kind || m->size < b->size) continue;
            if (weights ? wa__run_same_weights(o->program.plan, o->program.sources, j, p, l->program.sources, i) : !used(l, i, m)) return m;
        }
    }
    return NULL;
}

static block *make(cpu_runner *u, const wa_plan_buffer *b)
{
    block *m = b->size < SIZE_MAX - BUFFER_ALIGN - sizeof *m ? wa__alloc(sizeof *m + (size_t)b->size + BUFFER_ALIGN - 1, 1) : NULL;
    if (!m) return NULL;
    m->kind = b->kind;
    m->size = b->size;
    u->bytes += m->size;
    wa__os_large_pages(m, (size_t)b->size); /* fewer page entries to miss: 3 % of ResNet-50 */
    m->at = m->memory + (0 - (uintptr_t)m->memory) % BUFFER_ALIGN;
    return m;
}

static wa_status allocate(cpu_runner *u, loaded *l, wa_error *err)
{
    const wa_plan *p = l->program.plan;
    l->blocks = wa__alloc(p->buffer_count + 1u, sizeof *l->blocks);
    l->buffers = wa__alloc(p->buffer_count + 1u, sizeof *l->buffers);
    l->fresh = wa__alloc(p->buffer_count + 1u, sizeof *l->fresh);
    l->call_us = wa__alloc(p->call_count + 1u, sizeof *l->call_us);
    if (!l->blocks || !l->buffers || !l->fresh || !l->call_us) return wa__no_memory(err, "a plan");
    for (uint32_t i = 0; i < p->buffer_count; i++) {
        const wa_plan_buffer *b = &p->buffers[i];
        if (b->target != WA_TARGET_CPU) continue;
        block *m = shared(u, l, i);
        l->fresh[i] = !m;
        if (!m) m = make(u, b);
        if (!m) return wa__fail(err, WA_NO_MEMORY, "no memory for buffer \"%s\" of %llu bytes", wa__plan_text(p, b->label), (unsigned long long)b->size);
        m->refs++;
        l->blocks[i] = m;
        l->buffers[i] = m->at;
    }
    return WA_OK;
}

static wa_status fill(cpu_runner *u, loaded *l, const wa_plan *p, const wa_run_source *sources, uint32_t source_count, const wa_run_control *c, wa_error *err)
{
    WA_TRY(wa__cpu_program_init(&l->program, p, sources, source_count, err));
    if (p->info.target != WA_TARGET_CPU) return wa__fail(err, WA_UNSUPPORTED, "the plan is for %s: plan it for the CPU", wa__target_name(p->info.target));
    for (uint32_t i = 0; i < p->segment_count; i++)
        if (p->segments[i].target != WA_TARGET_CPU) return wa__fail(err, WA_UNSUPPORTED, "the plan has a segment for %s: plan it for the CPU", wa__target_name(p->segments[i].target));
    WA_TRY(allocate(u, l, err));
    return wa__cpu_program_weights(&l->program, l->buffers, l->fresh, c, err);
}

static wa_status load(wa_runner *r, const wa_plan *plan, const wa_run_source *sources, uint32_t source_count, const wa_run_control *c, uint32_t *handle, wa_error *err)
{
    cpu_runner *u = self(r);
    size_t slot = 0;
    while (slot < u->plan_count && u->plans[slot]) slot++;
    if (slot == u->plan_count) {
        void *grown = u->plans;
        if (!wa__array_reserve(&grown, &u->plan_cap, u->plan_count + 1, sizeof *u->plans)) return wa__no_memory(err, "a plan");
        u->plans = grown;
    }
    loaded *l = wa__alloc(1, sizeof *l);
    if (!l) return wa__no_memory(err, "a plan");
    wa_status s = fill(u, l, plan, sources, source_count, c, err);
    if (s != WA_OK) {
        free_loaded(u, l);
        return s;
    }
    if (slot == u->plan_count) u->plan_count++;
    u->plans[slot] = l;
    *handle = (uint32_t)slot;
    return WA_OK;
}

static wa_status find(cpu_runner *u, uint32_t handle, loaded **out, wa_error *err)
{
    if (handle >= u->plan_count || !u->plans[handle]) return wa__fail(err, WA_INVALID_ARGUMENT, "no plan is loaded as %u", handle);
    *out = u->plans[handle];
    return WA_OK;
}

/* --- inputs and outputs --------------------------------------------------------------------------- */
static wa_status check_io(const wa_plan *p, const wa_plan_io *io, const wa_view *v, wa_error *err)
{
    wa_tensor_type want = {(wa_dtype)io->dtype, io->rank, {0}};
    memcpy(want.dims, io->dims, sizeof want.dims);
    if (!wa__type_eq(&want, &v->type)) {
        char a[128], b[128];
        wa__type_text(&want, a, sizeof a);
        wa__type_text(&v->type, b, sizeof b);
        return wa__fail(err, WA_INVALID_ARGUMENT, "%s \"%s\" is %s, the plan has %s", io->is_output ? "output" : "input", wa__plan_text(p, io->name), b, a);
    }
    if (wa__bytes(&want) && !v->data) return wa__fail(err, WA_INVALID_ARGUMENT, "\"%s\" has no memory", wa__plan_text(p, io->name));
    return WA_OK;
}

/* Between a caller's tensor and its place in a buffer; dtypes may differ in width only. */
static wa_status move(const wa_plan *p, const wa_plan_io *io, uint8_t *place, const wa_view *user, wa_error *err)
{
    wa_view device = {user->type, place};
    device.type.dtype = (wa_dtype)io->device_dtype;
    const wa_view *from = io->is_output ? &device : user, *to = io->is_output ? user : &device;
    if (wa__bytes(&device.type) > io->length) return wa__fail(err, WA_VERIFY, "\"%s\" does not fit its place in the plan", wa__plan_text(p, io->name));
    if (io->dtype == io->device_dtype) {
        size_t n = (size_t)wa__bytes(&user->type);
        if (n) memcpy(to->data, from->data, n);
        return WA_OK;
    }
    int64_t n = wa__count(&user->type);
    for (int64_t i = 0; i < n; i++) {
        if (wa__dtype_is_float(user->type.dtype)) wa__set_f64(to, i, wa__get_f64(from, i));
        else {
            int64_t v = wa__get_i64(from, i);
            wa__set_i64(to, i, v);
            if (wa__get_i64(to, i) != v) return wa__fail(err, WA_INVALID_ARGUMENT, "\"%s\": element %lld, %lld, does not fit the target", wa__plan_text(p, io->name), (long long)i, (long long)v);
        }
    }
    return WA_OK;
}

/* Checks (place NULL) or moves the entry's inputs or outputs. */
static wa_status each_io(loaded *l, const wa_plan_entry *e, bool outputs, bool check, const wa_view *views, uint32_t count, wa_error *err)
{
    const wa_plan *p = l->program.plan;
    uint32_t k = 0;
    for (uint32_t i = 0; i < e->io_count; i++) {
        const wa_plan_io *io = &p->ios[e->io_first + i];
        if ((io->is_output != 0) != outputs) continue;
        if (k >= count) return wa__fail(err, WA_INVALID_ARGUMENT, "%s \"%s\" is missing", outputs ? "output" : "input", wa__plan_text(p, io->name));
        if (check) WA_TRY(check_io(p, io, &views[k], err));
        else WA_TRY(move(p, io, l->buffers[io->buffer] + io->offset, &views[k], err));
        k++;
    }
    if (k != count) return wa__fail(err, WA_INVALID_ARGUMENT, "%u %s were given, the entry has %u", count, outputs ? "outputs" : "inputs", k);
    return WA_OK;
}

/* --- runs ----------------------------------------------------------------------------------------- */
static wa_status stop_asked(const wa_run_control *c, double start, wa_error *err)
{
    if (!c) return WA_OK;
    if (c->cancel && atomic_load_explicit(c->cancel, memory_order_relaxed)) return wa__fail(err, WA_CANCELLED, "the run was cancelled");
    if (c->timeout_ms && wa__os_now_ms() - start > (double)c->timeout_ms) return wa__fail(err, WA_TIMEOUT, "the run passed its %u ms", c->timeout_ms);
    return WA_OK;
}

static wa_status calls(cpu_runner *u, loaded *l, const wa_plan_entry *e, const wa_run_control *c, double start, wa_run_stats *stats, wa_error *err)
{
    const wa_plan *p = l->program.plan;
    double before = wa__os_now_ms(), first = before;
    for (uint32_t s = 0; s < e->segment_count; s++) {
        const wa_plan_segment *g = &p->segments[e->segment_first + s];
        stats->cpu_segments++;
        for (uint32_t i = 0; i < g->count; i++) {
            WA_TRY(stop_asked(c, start, err));
            WA_TRY(wa__cpu_program_call(&l->program, g->first + i, l->buffers, u->pool, err));
            double now = wa__os_now_ms();
            if (stats->dispatches < p->call_count) l->call_us[stats->dispatches] = (now - before) * 1e3;
            stats->dispatches++;
            before = now;
        }
    }
    stats->device_ms = before - first;
    return WA_OK;
}

static wa_status run(wa_runner *r, uint32_t handle, uint32_t entry, const wa_view *inputs, uint32_t input_count, wa_view *outputs, uint32_t output_count,
                     const wa_run_control *c, wa_run_stats *stats, wa_error *err)
{
    cpu_runner *u = self(r);
    loaded *l;
    WA_TRY(find(u, handle, &l, err));
    if (entry >= l->program.plan->entry_count) return wa__fail(err, WA_INVALID_ARGUMENT, "the plan has no entry %u", entry);
    const wa_plan_entry *e = &l->program.plan->entries[entry];
    wa_run_stats st = {.gpu_ms = -1, .dispatch_us = l->call_us};
    double start = wa__os_now_ms();
    WA_TRY(each_io(l, e, false, true, inputs, input_count, err));
    WA_TRY(each_io(l, e, true, true, outputs, output_count, err));
    WA_TRY(each_io(l, e, false, false, inputs, input_count, err));
    WA_TRY(calls(u, l, e, c, start, &st, err));
    WA_TRY(each_io(l, e, true, false, outputs, output_count, err));
    st.wall_ms = wa__os_now_ms() - start;
    if (stats) *stats = st;
    return WA_OK;
}

static wa_status unload(wa_runner *r, uint32_t handle, wa_error *err)
{
    loaded *l;
    WA_TRY(find(self(r), handle, &l, err));
    self(r)->plans[handle] = NULL;
    free_loaded(self(r), l);
    return WA_OK;
}

/* Each block once: by the first plan that has it. */
static bool first_of(const cpu_runner *u, size_t plan, uint32_t buffer)
{
    const block *m = u->plans[plan]->blocks[buffer];
    for (size_t k = 0; k < plan; k++)
        if (u->plans[k] && used(u->plans[k], u->plans[k]->program.plan->buffer_count, m)) return false;
    return true;
}

static uint64_t predicted_bytes(wa_runner *r)
{
    const cpu_runner *u = self(r);
    uint64_t n = 0;
    for (size_t k = 0; k < u->plan_count; k++)
        for (uint32_t i = 0; u->plans[k] && i < u->plans[k]->program.plan->buffer_count; i++)
            if (u->plans[k]->blocks[i] && first_of(u, k, i)) n += u->plans[k]->blocks[i]->size;
    return n;
}

static uint64_t actual_bytes(wa_runner *r) { return self(r)->bytes; }

static const wa_run_target *target(wa_runner *r) { return &self(r)->target; }

static void free_runner(wa_runner *r)
{
    if (!r) return;
    cpu_runner *u = self(r);
    for (size_t i = 0; i < u->plan_count; i++) free_loaded(u, u->plans[i]);
    wa__free(u->plans);
    wa__pool_free(u->pool);
    wa__free(u);
}

wa_status wa__cpu_runner_create(uint32_t threads, wa_runner **out, wa_error *err)
{
    static const wa_runner_ops ops = {"cpu", load, run, unload, actual_bytes, predicted_bytes, target, free_runner, NULL, NULL};
    cpu_runner *u = wa__alloc(1, sizeof *u);
    if (!u) return wa__no_memory(err, "the CPU runner");
    u->base.ops = &ops;
    wa_status s = wa__pool_create(threads, &u->pool, err);
    if (s != WA_OK) {
        wa__free(u);
        return s;
    }
    wa__os_cpu_name(u->cpu_name, sizeof u->cpu_name);
    u->target = (wa_run_target){.target = "cpu", .adapter_description = u->cpu_name};
    *out = &u->base;
    return WA_OK;
}
