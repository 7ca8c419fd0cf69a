/* Runs a stage: its plan on the target, its trims and control steps on the host, then the next stage.
 * In: host tensors. Out: host tensors of the caller's. Called by program.c and program_control.c. */
#include "program/program_int.h"

wa_status program_copy(const wa_view *from, wa_view *to, wa_error *err)
{
    size_t n = (size_t)wa__bytes(&from->type);
    *to = (wa_view){from->type, wa__alloc(1, n ? n : 1)};
    if (!to->data) return wa__no_memory(err, "a tensor");
    if (n) memcpy(to->data, from->data, n);
    return WA_OK;
}

static wa_status room(const wa_plan_io *io, wa_view *out, wa_error *err)
{
    *out = (wa_view){{(wa_dtype)io->dtype, io->rank, {0}}, NULL};
    memcpy(out->type.dims, io->dims, io->rank * sizeof *io->dims);
    size_t n = (size_t)wa__bytes(&out->type);
    out->data = wa__alloc(1, n ? n : 1);
    return out->data ? WA_OK : wa__no_memory(err, "a tensor");
}

static void add_time(double *sum, double part)
{
    if (part >= 0) *sum = *sum < 0 ? part : *sum + part;
}

static wa_status run_plan(wa_program *p, const program_variant *v, wa_view *slots, wa_error *err)
{
    wa_view *in = wa__alloc(v->plan_inputs + 1u, sizeof *in), *out = wa__alloc(v->plan_outputs + 1u, sizeof *out);
    wa_run_stats stats = {.device_ms = -1, .gpu_ms = -1};
    wa_status s = in && out ? WA_OK : wa__no_memory(err, "a stage");
    const wa_plan_entry *e = v->plan->entries;
    for (uint32_t i = 0, k = 0; s == WA_OK && i < e->io_count; i++)
        if (v->plan->ios[e->io_first + i].is_output) {
            s = room(&v->plan->ios[e->io_first + i], &out[k], err);
            slots[v->plan_to[k]] = out[k];
            k++;
        }
    for (uint32_t i = 0; s == WA_OK && i < v->plan_inputs; i++) in[i] = slots[v->plan_from[i]];
    if (s == WA_OK) s = p->o.runner->ops->run(p->o.runner, v->handle, 0, in, v->plan_inputs, out, v->plan_outputs, p->control, &stats, err);
    wa__free(in);
    wa__free(out);
    p->stats.stages++;
    p->stats.dispatches += stats.dispatches;
    p->stats.cpu_segments += stats.cpu_segments;
    p->stats.transfers += stats.transfers;
    p->stats.submits += stats.submits;
    p->stats.wall_ms += stats.wall_ms;
    add_time(&p->stats.device_ms, stats.device_ms);
    add_time(&p->stats.gpu_ms, stats.gpu_ms);
    p->stats.nodes_on_target += v->nodes_on_target;
    p->stats.nodes_elsewhere += v->nodes_elsewhere;
    p->stats.flops += v->flops;
    p->stats.flops_on_target += v->flops_on_target;
    return s;
}

/* Keeps the first `found` along `axis`; rank is the result's. */
static wa_status keep_first(const wa_view *from, uint32_t axis, int64_t found, wa_view *to, wa_error *err)
{
    int64_t outer = 1, inner = 1, have = from->type.dims[axis];
    size_t unit = wa__dtype_size(from->type.dtype);
    if (found < 0 || found > have) return wa__fail(err, WA_INTERNAL, "a data-dependent result of %lld has room for %lld", (long long)found, (long long)have);
    for (uint32_t d = 0; d < axis; d++) outer *= from->type.dims[d];
    for (uint32_t d = axis + 1; d < from->type.rank; d++) inner *= from->type.dims[d];
    *to = (wa_view){from->type, NULL};
    to->type.dims[axis] = found;
    size_t row = (size_t)(found * inner) * unit, full = (size_t)(have * inner) * unit, bytes = row * (size_t)outer;
    to->data = wa__alloc(1, bytes ? bytes : 1);
    if (!to->data) return wa__no_memory(err, "a tensor");
    for (int64_t o = 0; row && o < outer; o++) memcpy((char *)to->data + (size_t)o * row, (const char *)from->data + (size_t)o * full, row);
    return WA_OK;
}

static wa_status trim(const program_variant *v, const program_trim *t, wa_view *slots, wa_error *err)
{
    const wa_node *n = &v->graph->nodes[t->node];
    int64_t found = wa__get_i64(&slots[t->found], 0);
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, "axis");
    for (uint32_t k = 0; k < t->count; k++) {
        const wa_view *from = &slots[t->from[k]];
        int64_t axis = n->op == WA_OP_NonZero ? 1 : 0;
        if (a && k == 0) axis = a->i < 0 ? a->i + from->type.rank : a->i;
        if (axis < 0 || axis >= (int64_t)from->type.rank) return wa__fail(err, WA_CORRUPT, "%s: axis %lld is out of range", wa__op_info(n->op)->name, (long long)axis);
        if (n->op == WA_OP_Unique && k == 2) WA_TRY(program_copy(from, &slots[t->to[k]], err)); /* inverse: one an element */
        else WA_TRY(keep_first(from, (uint32_t)axis, found, &slots[t->to[k]], err));
    }
    return WA_OK;
}

static wa_status run_next(wa_program *p, const program_variant *v, const wa_view *slots, wa_view *outputs, wa_error *err)
{
    const wa_graph *g = v->next->graph;
    wa_view *in = wa__alloc(g->input_count + 1u, sizeof *in), *out = wa__alloc(g->output_count + 1u, sizeof *out);
    wa_status s = in && out ? WA_OK : wa__no_memory(err, "a stage");
    for (uint32_t i = 0; s == WA_OK && i < g->input_count; i++) in[i] = slots[v->next_from[i]];
    if (s == WA_OK) s = program_stage_run(p, v->next, in, out, err);
    for (uint32_t i = 0, k = 0; s == WA_OK && i < v->graph->output_count; i++)
        if (v->outputs[i] == WA_NONE) outputs[i] = out[k++];
    wa__free(in);
    wa__free(out);
    return s;
}

static wa_status run_parts(wa_program *p, const program_variant *v, wa_view *slots, wa_view *outputs, wa_error *err)
{
    for (uint32_t i = 0; i < v->constant_count; i++) {
        const wa_value *c = &v->graph->values[v->constants[i]];
        WA_TRY(program_copy(&(wa_view){c->type, (void *)(uintptr_t)c->data}, &slots[v->slot[v->constants[i]]], err));
    }
    if (v->plan) WA_TRY(run_plan(p, v, slots, err));
    for (uint32_t i = 0; i < v->trim_count; i++) WA_TRY(trim(v, &v->trims[i], slots, err));
    for (uint32_t i = 0; i < v->step_count; i++) WA_TRY(program_step_run(p, v, &v->steps[i], slots, err));
    p->stats.host_steps += v->trim_count + v->step_count;
    for (uint32_t i = 0; i < v->graph->output_count; i++)
        if (v->outputs[i] != WA_NONE) WA_TRY(program_copy(&slots[v->outputs[i]], &outputs[i], err));
    return v->next ? run_next(p, v, slots, outputs, err) : WA_OK;
}

wa_status program_stage_run(wa_program *p, program_stage *s, const wa_view *inputs, wa_view *outputs, wa_error *err)
{
    program_variant *v = NULL;
    uint32_t given = s->graph->input_count, out_count = s->graph->output_count;
    if (p->control && p->control->cancel && *p->control->cancel) return wa__fail(err, WA_CANCELLED, "cancelled");
    if (++p->depth > WA_LIMIT_NODES) return wa__fail(err, WA_LIMIT, "a model of more than %u stages", WA_LIMIT_NODES);
    WA_TRY(program_variant_of(p, s, inputs, &v, err));
    for (uint32_t i = 0; i < out_count; i++) outputs[i].data = NULL;
    wa_view *slots = wa__alloc(v->slot_count + 1u, sizeof *slots);
    if (!slots) return wa__no_memory(err, "a stage");
    memcpy(slots, inputs, given * sizeof *slots);
    wa_status st = run_parts(p, v, slots, outputs, err);
    for (uint32_t i = given; i < v->slot_count; i++) wa__free(slots[i].data);
    wa__free(slots);
    for (uint32_t i = 0; st != WA_OK && i < out_count; i++) {
        wa__free(outputs[i].data);
        outputs[i].data = NULL;
    }
    return st;
}
