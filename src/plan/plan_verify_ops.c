/* The verifier's second half: pipelines, dispatches and their bindings; calls and their operands. */
#include "base/limits.h"
#include "plan/plan_int.h"

#define FAIL(...) wa__fail(err, WA_VERIFY, __VA_ARGS__)

static wa_status check_pipeline(const wa_plan *p, uint32_t i, wa_wgsl_info *info, wa_error *err)
{
    const wa_plan_pipeline *l = &p->pipelines[i];
    if (l->spec.code_offset > p->code_count || l->spec.code_count > p->code_count - l->spec.code_offset)
        return FAIL("pipeline %u: its code is outside the code table", i);
    wa_status s = wa__wgsl_check(&l->spec, p->code, info, err);
    if (s != WA_OK) return wa__fail_in(err, WA_VERIFY, "pipeline %u", i);
    if (info->binding_count == 0 || info->binding_count > WA_PLAN_BINDINGS_MAX) return FAIL("pipeline %u has %u bindings", i, info->binding_count);
    if (info->workgroup_bytes > WA_PLAN_WORKGROUP_BYTES_MAX) return FAIL("pipeline %u takes %u bytes of workgroup memory", i, info->workgroup_bytes);
    if (info->features & ~p->info.features) return FAIL("pipeline %u needs features %#x that the plan does not ask for", i, info->features);
    return WA_OK;
}

static wa_status check_bind(const wa_plan *p, uint32_t i, wa_error *err)
{
    const wa_plan_bind *b = &p->binds[i];
    if (b->write > 1 || b->offset % WA_PLAN_ALIGN_GPU || b->size == 0 || b->size % 4 || b->size > p->info.limit_binding)
        return FAIL("binding %u: offset %llu or size %llu is not allowed", i, (unsigned long long)b->offset, (unsigned long long)b->size);
    if (!wa__plan_in_buffer(p, b->buffer, WA_TARGET_WEBGPU, b->offset, b->size)) return FAIL("binding %u is outside its buffer", i);
    uint32_t kind = p->buffers[b->buffer].kind;
    bool readable = kind == WA_BUFFER_KIND_WEIGHTS || kind == WA_BUFFER_KIND_CONST || kind == WA_BUFFER_KIND_ARENA || kind == WA_BUFFER_KIND_STATE;
    if (!readable || (b->write && kind != WA_BUFFER_KIND_ARENA && kind != WA_BUFFER_KIND_STATE)) return FAIL("binding %u: its buffer is not for that", i);
    return WA_OK;
}

static wa_status check_aliasing(const wa_plan *p, const wa_plan_dispatch *d, uint32_t i, wa_error *err)
{
    for (uint32_t x = 0; x < d->bind_count; x++) {
        for (uint32_t y = x + 1; y < d->bind_count; y++) {
            const wa_plan_bind *a = &p->binds[d->bind_first + x], *b = &p->binds[d->bind_first + y];
            if (a->buffer != b->buffer || (!a->write && !b->write)) continue;
            if (a->write != b->write) return FAIL("dispatch %u \"%s\" reads and writes buffer %u", i, wa__plan_text(p, d->label), a->buffer);
            if (a->offset < b->offset + b->size && b->offset < a->offset + a->size)
                return FAIL("dispatch %u \"%s\" writes the same bytes twice", i, wa__plan_text(p, d->label));
        }
    }
    return WA_OK;
}

static wa_status check_dispatch(const wa_plan *p, uint32_t i, const wa_wgsl_info *infos, wa_error *err)
{
    const wa_plan_dispatch *d = &p->dispatches[i];
    const char *name = wa__plan_text(p, d->label);
    if (d->pipeline >= p->pipeline_count) return FAIL("dispatch %u \"%s\" names pipeline %u of %u", i, name, d->pipeline, p->pipeline_count);
    const wa_wgsl_info *info = &infos[d->pipeline];
    if (d->bind_first > p->bind_count || d->bind_count > p->bind_count - d->bind_first || d->bind_count != info->binding_count)
        return FAIL("dispatch %u \"%s\" has %u bindings, its kernel %u", i, name, d->bind_count, info->binding_count);
    for (uint32_t k = 0; k < d->bind_count; k++) {
        if (p->binds[d->bind_first + k].write != (info->write_mask >> k & 1)) return FAIL("dispatch %u \"%s\": binding %u is not written as its kernel writes", i, name, k);
        WA_TRY(check_bind(p, d->bind_first + k, err));
    }
    WA_TRY(check_aliasing(p, d, i, err));
    for (uint32_t k = 0; k < 3; k++)
        if (d->grid[k] == 0 || d->grid[k] > WA_PLAN_GRID_MAX) return FAIL("dispatch %u \"%s\" has a grid of %u", i, name, d->grid[k]);
    if (d->params_offset % WA_PLAN_ALIGN_GPU || d->params_size == 0 || d->params_size % 16 || d->params_size > 65536 ||
        d->params_size > p->info.params_length || d->params_offset > p->info.params_length - d->params_size)
        return FAIL("dispatch %u \"%s\": its parameters are outside their buffer", i, name);
    if (d->indirect_buffer != WA_NONE &&
        (!wa__plan_in_buffer(p, d->indirect_buffer, WA_TARGET_WEBGPU, d->indirect_offset, 12) || d->indirect_offset % 4 ||
         p->buffers[d->indirect_buffer].kind != WA_BUFFER_KIND_STATE))
        return FAIL("dispatch %u \"%s\": its indirect counts are outside their buffer", i, name);
    return WA_OK;
}

wa_status wa__plan_verify_gpu(const wa_plan *p, wa_error *err)
{
    if (p->info.target == WA_TARGET_CPU && (p->dispatch_count || p->pipeline_count || p->bind_count))
        return FAIL("dispatches in a plan for the CPU");
    if (p->pipeline_count > 65536 || p->code_count > 4u << 20) return FAIL("%u pipelines are more than 65536", p->pipeline_count);
    wa_wgsl_info *infos = wa__alloc(p->pipeline_count + 1u, sizeof *infos);
    if (!infos) return wa__no_memory(err, "the plan's pipelines");
    wa_status s = WA_OK;
    for (uint32_t i = 0; i < p->pipeline_count && s == WA_OK; i++) s = check_pipeline(p, i, &infos[i], err);
    for (uint32_t i = 0; i < p->dispatch_count && s == WA_OK; i++) s = check_dispatch(p, i, infos, err);
    wa__free(infos);
    return s;
}

/* --- packed weights ------------------------------------------------------------------------------- */
/* Pieces of a packed matrix, see plan_const.c: each has its type and its place among the panels of the whole. */
static wa_status check_pieces(const wa_plan *p, const wa_plan_operand *o, uint32_t operand, uint64_t bytes, wa_error *err)
{
    const wa_plan_weight *w = &p->weights[o->index];
    uint64_t n = o->rank ? (uint64_t)o->dims[o->rank - 1] : 0, k = n ? bytes / sizeof(float) / n : 0, at = 0;
    if (o->dtype != WA_F32 || !k || (w->p[4] != 32 && w->p[4] != 8) || w->p[0] > p->weight_count - o->index) return FAIL("operand %u is no matrix of %u packed pieces", operand, w->p[0]);
    for (uint32_t i = 0, count = w->p[0], bits = w->p[4]; i < count; i++) {
        const wa_plan_weight *x = w + i;
        uint64_t rows = x->p[1], cols = x->p[2], own_k = x->p[3] ? cols : rows, own_n = x->p[3] ? rows : cols;
        bool type = x->dtype == WA_F32 || x->dtype == WA_F16 || x->dtype == WA_BF16;
        bool place = x->dst_offset == w->dst_offset + wa__kernel_panels_bytes(k, at, bits) && at % WA_PLAN_PANEL == 0 && x->dst_length >= wa__kernel_panels_bytes(own_k, own_n, bits);
        if (x->transform != WA_TRANSFORM_PACK_PANELS || x->buffer != w->buffer || x->p[0] != count - i || x->p[4] != bits || !type || own_k != k || own_n == 0 || own_n > n - at ||
            rows * cols * wa__dtype_size((wa_dtype)x->dtype) != x->length || !place)
            return FAIL("operand %u: piece %u of its packed weight does not fit", operand, i);
        at += own_n;
    }
    return at == n ? WA_OK : FAIL("operand %u: its packed pieces are %llu columns of %llu", operand, (unsigned long long)at, (unsigned long long)n);
}

/* --- calls -------------------------------------------------------------------------------------- */
static wa_status check_operand(const wa_plan *p, uint32_t i, uint64_t *bytes, wa_error *err)
{
    const wa_plan_operand *o = &p->operands[i];
    int64_t count;
    *bytes = 0;
    if (o->kind == WA_OPERAND_NONE) return WA_OK;
    if (!wa__plan_type_ok(o->dtype, o->rank, o->dims, bytes, &count)) return FAIL("operand %u has a bad type", i);
    if (o->kind == WA_OPERAND_BUFFER) {
        if (o->offset % 16 || !wa__plan_in_buffer(p, o->index, WA_TARGET_CPU, o->offset, *bytes)) return FAIL("operand %u is outside its buffer", i);
        return WA_OK;
    }
    if (o->kind != WA_OPERAND_WEIGHT || o->index >= p->weight_count) return FAIL("operand %u names weight %u of %u", i, o->index, p->weight_count);
    const wa_plan_weight *w = &p->weights[o->index];
    bool packed = w->transform == WA_TRANSFORM_PACK_PANELS;
    if (packed && w->p[1]) return o->offset ? FAIL("operand %u is inside a packed weight", i) : check_pieces(p, o, i, *bytes, err);
    if (packed && w->p[0] != 1) return FAIL("operand %u: its weight is packed from %u pieces of no size", i, w->p[0]);
    if (o->offset || w->length != *bytes || w->dtype != o->dtype) return FAIL("operand %u does not have its weight's type", i);
    if (w->buffer != WA_NONE && !packed) return FAIL("operand %u: its weight is not in place", i);
    unsigned unit = wa__dtype_size((wa_dtype)w->dtype);
    if (!packed && unit > 1 && w->offset % unit) return FAIL("operand %u: its weight is not aligned", i);
    return WA_OK;
}

static bool overlap(const wa_plan_operand *a, uint64_t a_bytes, const wa_plan_operand *b, uint64_t b_bytes)
{
    return a->kind == WA_OPERAND_BUFFER && b->kind == WA_OPERAND_BUFFER && a->index == b->index && a_bytes && b_bytes &&
           a->offset < b->offset + b_bytes && b->offset < a->offset + a_bytes;
}

static wa_status check_call_operands(const wa_plan *p, uint32_t i, uint64_t *bytes, wa_error *err)
{
    const wa_plan_call *c = &p->calls[i];
    const wa_plan_operand *o = p->operands + c->operand_first;
    for (uint32_t k = 0; k < c->in_count + c->out_count; k++) WA_TRY(check_operand(p, c->operand_first + k, &bytes[k], err));
    for (uint32_t k = c->in_count; k < c->in_count + c->out_count; k++) {
        if (o[k].kind == WA_OPERAND_NONE) continue;
        if (o[k].kind != WA_OPERAND_BUFFER || p->buffers[o[k].index].kind != WA_BUFFER_KIND_ARENA)
            return FAIL("call %u \"%s\" writes outside the arena", i, wa__plan_text(p, c->label));
        for (uint32_t j = 0; j < k; j++)
            if (overlap(&o[j], bytes[j], &o[k], bytes[k])) return FAIL("call %u \"%s\": an output overlaps another operand", i, wa__plan_text(p, c->label));
    }
    return WA_OK;
}

static wa_status check_attr(const wa_plan *p, uint32_t i, wa_error *err)
{
    const wa_plan_attr *a = &p->attrs[i];
    uint64_t unit = a->kind == WA_ATTR_KIND_INTS ? 8 : a->kind == WA_ATTR_KIND_FLOATS ? 4 : 0;
    if (!wa__attr_kind_name(a->kind)) return FAIL("attribute %u has kind %u", i, a->kind);
    if (a->kind == WA_ATTR_KIND_STRING && a->data >= p->text_length) return FAIL("attribute %u is outside the texts", i);
    if (!unit) return a->count ? FAIL("attribute %u has a count", i) : WA_OK;
    if (a->data % 8 || a->count * unit > p->data_length || a->data > p->data_length - a->count * unit)
        return FAIL("attribute %u is outside the data", i);
    return WA_OK;
}

static wa_status check_call(const wa_plan *p, uint32_t i, wa_error *err)
{
    const wa_plan_call *c = &p->calls[i];
    const wa_op_info *op = wa__op_info(c->op);
    uint64_t total = (uint64_t)c->in_count + c->out_count;
    if (!op->name || c->op == WA_OP_Constant) return FAIL("call %u has unknown operator %u", i, c->op);
    if (c->operand_first > p->operand_count || total > p->operand_count - c->operand_first || total > 4096)
        return FAIL("call %u \"%s\" runs past the operands", i, wa__plan_text(p, c->label));
    if (c->in_count < (uint32_t)op->inputs_min || (op->inputs_max >= 0 && c->in_count > (uint32_t)op->inputs_max) || c->out_count == 0 ||
        (op->outputs >= 0 && c->out_count > (uint32_t)op->outputs))
        return FAIL("call %u \"%s\": %s with %u inputs and %u outputs", i, wa__plan_text(p, c->label), op->name, c->in_count, c->out_count);
    if (c->attr_first > p->attr_count || c->attr_count > p->attr_count - c->attr_first || c->attr_count > WA_LIMIT_ATTRS)
        return FAIL("call %u \"%s\" runs past the attributes", i, wa__plan_text(p, c->label));
    uint64_t *bytes = wa__alloc((size_t)total, sizeof *bytes);
    if (!bytes) return wa__no_memory(err, "a call's operands");
    wa_status s = check_call_operands(p, i, bytes, err);
    wa__free(bytes);
    return s;
}

wa_status wa__plan_verify_cpu(const wa_plan *p, wa_error *err)
{
    for (uint32_t i = 0; i < p->attr_count; i++) WA_TRY(check_attr(p, i, err));
    uint64_t work = 0; /* records may be shared, but not so that checking them takes for ever */
    for (uint32_t i = 0; i < p->call_count; i++) {
        work += (uint64_t)p->calls[i].in_count + p->calls[i].out_count + 1;
        if (work > 2u * (uint64_t)WA_LIMIT_VALUES + 1000000u) return FAIL("the calls name more than %u operands", 2u * WA_LIMIT_VALUES);
        WA_TRY(check_call(p, i, err));
    }
    return WA_OK;
}
