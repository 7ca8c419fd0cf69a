/* A plan's calls become kernel arguments once, at load; a run then only fills in buffer addresses. */
#include "cpu/cpu_int.h"

static wa_status attribute(wa_cpu_program *g, const wa_plan_attr *from, wa_attr *to, wa_error *err)
{
    const char *name = wa__plan_text(g->plan, from->name);
    *to = (wa_attr){.name = {name, strlen(name)}, .kind = (wa_attr_kind)from->kind, .count = from->count, .i = from->i, .f = from->f};
    if (from->kind == WA_ATTR_KIND_STRING) {
        const char *s = wa__plan_text(g->plan, (wa_text)from->data);
        to->s = (wa_str){s, strlen(s)};
    }
    bool ints = from->kind == WA_ATTR_KIND_INTS, floats = from->kind == WA_ATTR_KIND_FLOATS;
    if (from->count == 0 || (!ints && !floats)) return WA_OK;
    size_t unit = ints ? sizeof(int64_t) : sizeof(float);
    void *copy = wa__arena_alloc(&g->arena, from->count, unit);
    if (!copy) return wa__no_memory(err, "a plan's attributes");
    memcpy(copy, g->plan->data + from->data, from->count * unit);
    if (ints) to->ints = copy;
    else to->floats = copy;
    return WA_OK;
}

static const uint8_t *weight_bytes(const wa_cpu_program *g, const wa_plan_weight *w)
{
    return (w->source == WA_NONE ? g->plan->data : g->sources[w->source].data) + w->offset;
}

static void operand(const wa_cpu_program *g, const wa_plan_operand *o, wa_view *v)
{
    *v = (wa_view){{WA_DTYPE_NONE, 0, {0}}, NULL};
    if (o->kind == WA_OPERAND_NONE) return;
    v->type = (wa_tensor_type){(wa_dtype)o->dtype, o->rank, {0}};
    memcpy(v->type.dims, o->dims, sizeof v->type.dims);
    if (o->kind != WA_OPERAND_WEIGHT) return;
    union { const uint8_t *in; void *data; } u = {.in = weight_bytes(g, &g->plan->weights[o->index])};
    v->data = u.data;
}

static wa_status call(wa_cpu_program *g, uint32_t index, wa_error *err)
{
    const wa_plan_call *c = &g->plan->calls[index];
    const wa_plan_operand *o = g->plan->operands + c->operand_first;
    wa_view *views = WA_ARENA_NEW(&g->arena, wa_view, c->in_count + c->out_count + 1u);
    const void **prepared = WA_ARENA_NEW(&g->arena, const void *, c->in_count + 1u);
    wa_attr *attrs = WA_ARENA_NEW(&g->arena, wa_attr, c->attr_count + 1u);
    if (!views || !prepared || !attrs) return wa__no_memory(err, "a plan's calls");
    for (uint32_t k = 0; k < c->in_count + c->out_count; k++) operand(g, &o[k], &views[k]);
    for (uint32_t k = 0; k < c->attr_count; k++) WA_TRY(attribute(g, &g->plan->attrs[c->attr_first + k], &attrs[k], err));
    wa_cpu_call *to = &g->calls[index];
    to->args = (wa_kernel_args){.op = (wa_op)c->op, .opset = c->opset, .attrs = attrs, .attr_count = c->attr_count, .in = views, .in_count = c->in_count,
                                .out = views + c->in_count, .out_count = c->out_count, .prepared = prepared};
    to->fn = wa__kernel_cpu((wa_op)c->op, &to->args);
    if (!to->fn) return wa__fail(err, WA_UNSUPPORTED, "\"%s\": operator %s has no CPU kernel", wa__plan_text(g->plan, c->label), wa__op_info(c->op)->name);
    size_t scratch = wa__kernel_scratch(&to->args);
    if (scratch && (g->scratch == WA_NONE || g->plan->buffers[g->scratch].size < scratch))
        return wa__fail(err, WA_VERIFY, "\"%s\": the plan has no room for its %zu bytes of scratch", wa__plan_text(g->plan, c->label), scratch);
    return WA_OK;
}

wa_status wa__cpu_program_init(wa_cpu_program *g, const wa_plan *p, const wa_run_source *sources, uint32_t source_count, wa_error *err)
{
    *g = (wa_cpu_program){.plan = p, .sources = sources, .scratch = WA_NONE};
    wa__arena_init(&g->arena, WA_LIMIT_COMPILE_ARENA_BYTES);
    if (source_count < p->source_count) return wa__fail(err, WA_INVALID_ARGUMENT, "the plan needs %u files, %u were given", p->source_count, source_count);
    for (uint32_t i = 0; i < p->source_count; i++)
        if (sources[i].size < p->sources[i].size || (p->sources[i].size && !sources[i].data))
            return wa__fail(err, WA_VERIFY, "%s has %llu bytes, the plan was made for %llu: plan the model again", wa__plan_text(p, p->sources[i].name),
                            (unsigned long long)sources[i].size, (unsigned long long)p->sources[i].size);
    for (uint32_t i = 0; i < p->buffer_count; i++)
        if (p->buffers[i].kind == WA_BUFFER_KIND_SCRATCH && p->buffers[i].target == WA_TARGET_CPU) g->scratch = i;
    g->calls = WA_ARENA_NEW(&g->arena, wa_cpu_call, p->call_count + 1u);
    if (!g->calls) return wa__no_memory(err, "a plan's calls");
    wa_status s = WA_OK;
    for (uint32_t i = 0; i < p->call_count && s == WA_OK; i++) s = call(g, i, err);
    return s;
}

void wa__cpu_program_done(wa_cpu_program *g) { wa__arena_done(&g->arena); }

/* --- weights ------------------------------------------------------------------------------------ */
static wa_status between(const wa_run_control *c, wa_run_progress *p, uint64_t more, wa_error *err)
{
    if (!c) return WA_OK;
    p->bytes_done += more;
    if (c->progress) c->progress(c->user, p);
    if (c->cancel && atomic_load_explicit(c->cancel, memory_order_relaxed)) return wa__fail(err, WA_CANCELLED, "the load was cancelled");
    return WA_OK;
}

static wa_status packs_into(const wa_cpu_program *g, uint32_t call_index, const wa_plan_weight *w, uint64_t bytes, wa_error *err)
{
    if (bytes > 0 && bytes <= w->dst_length) return WA_OK;
    return wa__fail(err, WA_VERIFY, "\"%s\": weight \"%s\" packs into %llu bytes, the plan has %llu", wa__plan_text(g->plan, g->plan->calls[call_index].label),
                    wa__plan_text(g->plan, w->name), (unsigned long long)bytes, (unsigned long long)w->dst_length);
}

/* Packs one weight for the call that takes it as input k; *read: its bytes in the files. From then on the
 * input's own address is the packed form too, which nobody reads but as such. */
static wa_status panels(wa_cpu_program *g, uint32_t call_index, uint32_t k, uint8_t *const *buffers, bool *done, uint64_t *read, wa_error *err)
{
    const wa_plan_call *c = &g->plan->calls[call_index];
    uint32_t index = g->plan->operands[c->operand_first + k].index;
    const wa_plan_weight *w = &g->plan->weights[index];
    const wa_kernel_args *a = &g->calls[call_index].args;
    wa_view *views = g->calls[call_index].args.out - c->in_count; /* inputs and outputs lie in one array */
    uint8_t *to = buffers[w->buffer] + w->dst_offset;
    bool plain = w->p[1] == 0;
    *read = 0;
    if (w->p[4] != wa__kernel_prepare_bits(a, k))
        return wa__fail(err, WA_VERIFY, "\"%s\": weight \"%s\" packs into %u bits, its kernel wants %u", wa__plan_text(g->plan, c->label), wa__plan_text(g->plan, w->name), w->p[4], wa__kernel_prepare_bits(a, k));
    WA_TRY(packs_into(g, call_index, w, plain ? wa__kernel_prepare_bytes(a, k) : wa__kernel_panels_bytes(w->p[1 + (w->p[3] != 0)], w->p[2 - (w->p[3] != 0)], w->p[4]), err));
    for (uint32_t i = 0; !done[index] && i < w->p[0]; i++) {
        const wa_plan_weight *x = w + i;
        int64_t rows = x->p[1], cols = x->p[2];
        if (plain) wa__kernel_prepare(a, k, to);
        else wa__kernel_panels(weight_bytes(g, x), (wa_dtype)x->dtype, x->p[3], x->p[3] ? cols : rows, x->p[3] ? rows : cols, x->p[4], buffers[x->buffer] + x->dst_offset);
        *read += x->length;
    }
    done[index] = true;
    views[k].data = to;
    const void **slots = WA_ARENA_NEW(&g->arena, const void *, a->in_count);
    if (!slots) return wa__no_memory(err, "a plan's calls");
    if (a->prepared) memcpy(slots, a->prepared, a->in_count * sizeof *slots);
    slots[k] = to;
    g->calls[call_index].args.prepared = slots;
    return WA_OK;
}

wa_status wa__cpu_program_weights(wa_cpu_program *g, uint8_t *const *buffers, const bool *fresh, const wa_run_control *c, wa_error *err)
{
    const wa_plan *p = g->plan;
    wa_run_progress progress = {0};
    bool *done = WA_ARENA_NEW(&g->arena, bool, p->weight_count + 1u);
    if (!done) return wa__no_memory(err, "a plan's weights");
    for (uint32_t i = 0; i < p->weight_count; i++)
        if (p->weights[i].buffer != WA_NONE && p->buffers[p->weights[i].buffer].target == WA_TARGET_CPU) {
            done[i] = fresh && !fresh[p->weights[i].buffer];
            progress.bytes_total += done[i] ? 0 : p->weights[i].length;
        }
    for (uint32_t i = 0; i < p->weight_count; i++) {
        const wa_plan_weight *w = &p->weights[i];
        if (w->buffer == WA_NONE || p->buffers[w->buffer].target != WA_TARGET_CPU || w->transform == WA_TRANSFORM_PACK_PANELS || done[i]) continue;
        WA_TRY(wa__plan_transform(p, i, weight_bytes(g, w), buffers[w->buffer] + w->dst_offset, err));
        WA_TRY(between(c, &progress, w->length, err));
    }
    for (uint32_t i = 0; i < p->call_count; i++)
        for (uint32_t k = 0; k < p->calls[i].in_count; k++) {
            const wa_plan_operand *o = &p->operands[p->calls[i].operand_first + k];
            if (o->kind != WA_OPERAND_WEIGHT || p->weights[o->index].transform != WA_TRANSFORM_PACK_PANELS) continue;
            uint64_t read;
            WA_TRY(panels(g, i, k, buffers, done, &read, err));
            WA_TRY(between(c, &progress, read, err));
        }
    return WA_OK;
}

/* --- running ------------------------------------------------------------------------------------ */
wa_status wa__cpu_program_call(wa_cpu_program *g, uint32_t index, uint8_t *const *buffers, wa_pool *pool, wa_error *err)
{
    const wa_plan_call *c = &g->plan->calls[index];
    const wa_plan_operand *o = g->plan->operands + c->operand_first;
    wa_cpu_call *k = &g->calls[index];
    wa_view *views = k->args.out - c->in_count; /* inputs and outputs lie in one array */
    for (uint32_t i = 0; i < c->in_count + c->out_count; i++)
        if (o[i].kind == WA_OPERAND_BUFFER) views[i].data = buffers[o[i].index] + o[i].offset;
    k->args.pool = pool;
    k->args.scratch = g->scratch == WA_NONE ? NULL : buffers[g->scratch];
    wa_status s = k->fn(&k->args, err);
    return s == WA_OK ? s : wa__fail_in(err, s, "\"%s\"", wa__plan_text(g->plan, c->label));
}
