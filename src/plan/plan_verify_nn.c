/* The verifier's third part: WebNN's tensors, operands and calls. A page's browser checks every call
 * again; what is checked here is that all of it lies in the plan and comes in order. */
#include "base/limits.h"
#include "plan/plan_int.h"

#define FAIL(...) wa__fail(err, WA_VERIFY, __VA_ARGS__)

static bool nn_dtype(uint32_t d) { return d == WA_F32 || d == WA_F16 || d == WA_I32 || d == WA_U32 || d == WA_I64 || d == WA_U64 || d == WA_I8 || d == WA_U8; }

bool wa__plan_tensor_ok(const wa_plan *p, uint32_t buffer, uint64_t offset, uint32_t dtype, uint64_t length)
{
    uint64_t bytes;
    int64_t count;
    if (buffer >= p->buffer_count || p->buffers[buffer].kind != WA_BUFFER_KIND_TENSOR || p->buffers[buffer].type >= p->nn_operand_count) return false;
    const wa_plan_nn_operand *o = &p->nn_operands[p->buffers[buffer].type];
    return offset == 0 && o->dtype == dtype && wa__plan_type_ok(o->dtype, o->rank, o->dims, &bytes, &count) && (length == bytes || length == 0);
}

static bool same_type(const wa_plan_nn_operand *a, const wa_plan_nn_operand *b)
{
    if (a->dtype != b->dtype || a->rank != b->rank || a->rank > WA_RANK_MAX) return false;
    return memcmp(a->dims, b->dims, a->rank * sizeof *a->dims) == 0;
}

static wa_status check_operand(const wa_plan *p, uint32_t i, wa_error *err)
{
    const wa_plan_nn_operand *o = &p->nn_operands[i];
    uint64_t bytes;
    int64_t count;
    if (!wa__nn_kind_name(o->kind) || !nn_dtype(o->dtype) || !wa__plan_type_ok(o->dtype, o->rank, o->dims, &bytes, &count) || count == 0)
        return FAIL("WebNN operand %u has a bad type", i);
    if (o->kind == WA_NN_KIND_FILL) return bytes <= WA_PLAN_BUFFER_LIMIT ? WA_OK : FAIL("WebNN operand %u: so large a constant does not stand in a plan", i);
    if (o->kind == WA_NN_KIND_VALUE && o->index == WA_NONE) return WA_OK;
    if (o->index >= p->buffer_count || p->buffers[o->index].target != WA_TARGET_WEBNN || p->buffers[o->index].size != wa__align_up(bytes, 4))
        return FAIL("WebNN operand %u does not fit its buffer", i);
    const wa_plan_buffer *b = &p->buffers[o->index];
    if (o->kind == WA_NN_KIND_CONST) return b->kind == WA_BUFFER_KIND_WEIGHTS ? WA_OK : FAIL("WebNN operand %u: its buffer is not a constant's", i);
    if (b->kind != WA_BUFFER_KIND_TENSOR || b->type >= p->nn_operand_count || !same_type(o, &p->nn_operands[b->type])) return FAIL("WebNN operand %u has not its tensor's type", i);
    return WA_OK;
}

/* made[i]: the segment + 1 that made VALUE i; written[b]: the segment + 1 that writes tensor b. */
static wa_status check_call(const wa_plan *p, uint32_t i, uint32_t segment, uint32_t *made, uint32_t *written, wa_error *err)
{
    const wa_plan_nn_call *c = &p->nn_calls[i];
    const wa_nn_op_info *info = wa__nn_op_info(c->op);
    const char *name = wa__plan_text(p, c->label);
    uint64_t total = (uint64_t)c->in_count + c->out_count;
    if (!info->name) return FAIL("WebNN call %u \"%s\" has unknown method %u", i, name, c->op);
    if (c->ref_first > p->nn_ref_count || total > p->nn_ref_count - c->ref_first || total > 4096) return FAIL("WebNN call %u \"%s\" runs past the operands", i, name);
    bool any_in = c->op == WA_NN_concat, any_out = c->op == WA_NN_split;
    if ((any_in ? c->in_count == 0 : c->in_count != info->in_count + info->opt_count) || c->out_count == 0 || (!any_out && c->out_count > info->out_count))
        return FAIL("WebNN call %u \"%s\": %s with %u operands and %u results", i, name, info->name, c->in_count, c->out_count);
    if (c->attr_first > p->attr_count || c->attr_count > p->attr_count - c->attr_first || c->attr_count > 32) return FAIL("WebNN call %u \"%s\" runs past the attributes", i, name);
    for (uint32_t k = 0; k < total; k++) {
        uint32_t id = p->nn_refs[c->ref_first + k];
        bool result = k >= c->in_count;
        if (id == WA_NONE && !result && !any_in && k >= info->in_count) continue;
        if (id >= p->nn_operand_count) return FAIL("WebNN call %u \"%s\" names operand %u of %u", i, name, id, p->nn_operand_count);
        const wa_plan_nn_operand *o = &p->nn_operands[id];
        if (!result && o->kind == WA_NN_KIND_VALUE && made[id] != segment) return FAIL("WebNN call %u \"%s\" reads a result before it is made", i, name);
        if (!result && o->kind == WA_NN_KIND_TENSOR && written[o->index] == segment) return FAIL("WebNN call %u \"%s\" reads a tensor that its graph writes", i, name);
        if (!result) continue;
        if (o->kind != WA_NN_KIND_VALUE || made[id]) return FAIL("WebNN call %u \"%s\" makes a result that it may not", i, name);
        made[id] = segment;
        if (o->index == WA_NONE) continue;
        if (written[o->index]) return FAIL("WebNN call %u \"%s\" writes a tensor twice", i, name);
        written[o->index] = segment;
    }
    return WA_OK;
}

wa_status wa__plan_verify_nn(const wa_plan *p, wa_error *err)
{
    if (p->info.target != WA_TARGET_WEBNN && (p->nn_operand_count || p->nn_call_count || p->nn_ref_count)) return FAIL("WebNN's calls in a plan that is not for it");
    if (p->nn_operand_count > WA_LIMIT_VALUES || p->nn_call_count > WA_LIMIT_VALUES) return FAIL("%u WebNN operands are too many", p->nn_operand_count);
    for (uint32_t i = 0; i < p->nn_operand_count; i++) WA_TRY(check_operand(p, i, err));
    for (uint32_t i = 0; i < p->buffer_count; i++)
        if (p->buffers[i].kind == WA_BUFFER_KIND_TENSOR && (p->buffers[i].type >= p->nn_operand_count || p->nn_operands[p->buffers[i].type].kind != WA_NN_KIND_TENSOR ||
                                                          p->nn_operands[p->buffers[i].type].index != i))
            return FAIL("buffer %u: its tensor has no type", i);
    uint32_t *made = wa__alloc(p->nn_operand_count + 1u, sizeof *made), *written = wa__alloc(p->buffer_count + 1u, sizeof *written);
    wa_status s = made && written ? WA_OK : wa__no_memory(err, "the plan's operands");
    for (uint32_t k = 0; k < p->segment_count && s == WA_OK; k++) {
        const wa_plan_segment *g = &p->segments[k];
        for (uint32_t i = 0; g->target == WA_TARGET_WEBNN && i < g->count && s == WA_OK; i++) s = check_call(p, g->first + i, k + 1, made, written, err);
    }
    wa__free(made);
    wa__free(written);
    return s;
}
