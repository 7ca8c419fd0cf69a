/* A plan as text, one record a line, for `webaccel plan --print`, golden tests and eyes. The plan
 * has been verified. */
#include "plan/plan_int.h"

#define P(...) WA_TRY(wa__buf_printf(out, err, __VA_ARGS__))
#define U(x) ((unsigned long long)(x))

static const char *t_name(uint32_t t) { return wa__target_name(t) ? wa__target_name(t) : "?"; }

static wa_status print_type(uint32_t dtype, uint32_t rank, const int64_t *dims, wa_buf *out, wa_error *err)
{
    wa_tensor_type t = {.dtype = (wa_dtype)dtype, .rank = rank};
    char text[200];
    for (uint32_t i = 0; i < rank && i < WA_RANK_MAX; i++) t.dims[i] = dims[i];
    wa__type_text(&t, text, sizeof text);
    P("%s", text);
    return WA_OK;
}

static wa_status print_head(const wa_plan *p, wa_buf *out, wa_error *err)
{
    const wa_plan_info *n = &p->info;
    P("plan target %s precision %u%s features %u flops %llu parameters %llu\n", t_name(n->target), n->precision, n->mixed ? " mixed" : "",
      n->features, U(n->flops), U(n->parameters));
    P("memory gpu %llu cpu %llu", U(wa__plan_bytes(p, WA_TARGET_WEBGPU)), U(wa__plan_bytes(p, WA_TARGET_CPU)));
    if (n->target == WA_TARGET_WEBNN) P(" webnn %llu", U(wa__plan_bytes(p, WA_TARGET_WEBNN)));
    P("\n");
    for (uint32_t i = 0; i < p->source_count; i++) P("source %u %s %llu\n", i, wa__plan_text(p, p->sources[i].name), U(p->sources[i].size));
    for (uint32_t i = 0; i < p->buffer_count; i++) {
        const wa_plan_buffer *b = &p->buffers[i];
        P("buffer %u %s %s %llu %s\n", i, t_name(b->target), wa__buffer_kind_name(b->kind), U(b->size), wa__plan_text(p, b->label));
    }
    for (uint32_t i = 0; i < p->weight_count; i++) {
        const wa_plan_weight *w = &p->weights[i];
        P("weight %u %s %s", i, wa__plan_text(p, w->name), wa__dtype_info(w->dtype)->name);
        if (w->source == WA_NONE) P(" data+%llu", U(w->offset));
        else P(" source %u+%llu", w->source, U(w->offset));
        P(" %llu %s", U(w->length), wa__transform_name(w->transform));
        if (w->buffer != WA_NONE) P(" -> buffer %u+%llu %llu", w->buffer, U(w->dst_offset), U(w->dst_length));
        if (wa__plan_quant_transform(w->transform)) P(" [%u,%u] ld %u col %u block %u", w->p[0], w->p[1], w->p[3], w->p[4], w->p[5]);
        if (wa__plan_matrix_transform(w->transform))
            P(" [%u,%u] ld %u col %u", w->p[0], w->p[1], w->p[3], w->p[4]);
        P("\n");
    }
    for (uint32_t i = 0; i < p->state_count; i++)
        P("state %u %s buffer %u+%llu %llu\n", i, wa__plan_text(p, p->states[i].name), p->states[i].buffer, U(p->states[i].offset),
          U(p->states[i].length));
    for (uint32_t i = 0; i < p->pipeline_count; i++) {
        const wa_wgsl_spec *s = &p->pipelines[i].spec;
        uint32_t last = WA_WGSL_SPEC_MAX;
        while (last && !s->spec[last - 1]) last--;
        P("pipeline %u %s spec", i, wa__plan_text(p, p->pipelines[i].label));
        for (uint32_t k = 0; k < last; k++) P(" %u", s->spec[k]);
        if (s->half) P(" half %#x", s->half);
        if (s->code_count) P(" code %u+%u", s->code_offset, s->code_count);
        P("\n");
    }
    return WA_OK;
}

/* Behind a label, where a profile of the plan is known: what was predicted and what was measured. */
static wa_status print_times(double predicted_us, const double *us, uint32_t i, wa_buf *out, wa_error *err)
{
    if (us && predicted_us > 0) P("  predicted %.1f us", predicted_us);
    if (us && us[i] >= 0) P("  measured %.1f us", us[i]);
    P("\n");
    return WA_OK;
}

static wa_status print_dispatch(const wa_plan *p, uint32_t i, const double *us, wa_buf *out, wa_error *err)
{
    const wa_plan_dispatch *d = &p->dispatches[i];
    P("  dispatch %u pipeline %u grid %u,%u,%u", i, d->pipeline, d->grid[0], d->grid[1], d->grid[2]);
    for (uint32_t k = 0; k < d->bind_count; k++) {
        const wa_plan_bind *b = &p->binds[d->bind_first + k];
        P(" %s%u+%llu:%llu", b->write ? "w" : "r", b->buffer, U(b->offset), U(b->size));
    }
    P(" params");
    for (uint32_t k = 0; k + 4 <= d->params_size; k += 4) {
        uint32_t word;
        memcpy(&word, p->data + p->info.params_data + d->params_offset + k, 4);
        P(" %u", word);
    }
    P(" # %s", wa__plan_text(p, d->label));
    return print_times(d->predicted_ns / 1e3, us, i, out, err);
}

static wa_status print_attr(const wa_plan *p, const wa_plan_attr *a, wa_buf *out, wa_error *err)
{
    P(" %s=", wa__plan_text(p, a->name));
    if (a->kind == WA_ATTR_KIND_INT) P("%lld", (long long)a->i);
    if (a->kind == WA_ATTR_KIND_FLOAT) P("%.9g", (double)a->f);
    if (a->kind == WA_ATTR_KIND_STRING) P("\"%s\"", wa__plan_text(p, (wa_text)a->data));
    if (a->kind != WA_ATTR_KIND_INTS && a->kind != WA_ATTR_KIND_FLOATS) return WA_OK;
    for (uint32_t i = 0; i < a->count; i++) {
        int64_t v;
        float f;
        if (a->kind == WA_ATTR_KIND_INTS) memcpy(&v, p->data + a->data + (size_t)i * 8, 8);
        else memcpy(&f, p->data + a->data + (size_t)i * 4, 4);
        if (a->kind == WA_ATTR_KIND_INTS) P("%s%lld", i ? "," : "[", (long long)v);
        else P("%s%.9g", i ? "," : "[", (double)f);
    }
    P("%s", a->count ? "]" : "[]");
    return WA_OK;
}

static wa_status print_call(const wa_plan *p, uint32_t i, const double *us, wa_buf *out, wa_error *err)
{
    const wa_plan_call *c = &p->calls[i];
    P("  call %u %s", i, wa__op_info(c->op)->name);
    for (uint32_t k = 0; k < c->in_count + c->out_count; k++) {
        const wa_plan_operand *o = &p->operands[c->operand_first + k];
        P("%s", k == c->in_count ? " -> " : " ");
        if (o->kind == WA_OPERAND_NONE) P("-");
        if (o->kind == WA_OPERAND_WEIGHT) P("w%u:", o->index);
        if (o->kind == WA_OPERAND_BUFFER) P("b%u+%llu:", o->index, U(o->offset));
        if (o->kind != WA_OPERAND_NONE) WA_TRY(print_type(o->dtype, o->rank, o->dims, out, err));
    }
    for (uint32_t k = 0; k < c->attr_count; k++) WA_TRY(print_attr(p, &p->attrs[c->attr_first + k], out, err));
    P(" # %s", wa__plan_text(p, c->label));
    return print_times(0, p->info.target == WA_TARGET_CPU ? us : NULL, i, out, err);
}

static wa_status print_nn_operand(const wa_plan *p, uint32_t id, wa_buf *out, wa_error *err)
{
    if (id == WA_NONE) {
        P("-");
        return WA_OK;
    }
    const wa_plan_nn_operand *o = &p->nn_operands[id];
    if (o->kind == WA_NN_KIND_TENSOR) P("b%u:", o->index);
    if (o->kind == WA_NN_KIND_CONST) P("c%u:", o->index);
    if (o->kind == WA_NN_KIND_VALUE) P("%%%u:", id);
    if (o->kind == WA_NN_KIND_FILL) {
        double v;
        int64_t i;
        memcpy(&v, &o->bits, 8);
        memcpy(&i, &o->bits, 8);
        if (wa__dtype_is_float((wa_dtype)o->dtype)) P("%.9g:", v);
        else P("%lld:", (long long)i);
    }
    WA_TRY(print_type(o->dtype, o->rank, o->dims, out, err));
    if (o->kind == WA_NN_KIND_VALUE && o->index != WA_NONE) P("=b%u", o->index);
    return WA_OK;
}

static wa_status print_nn_call(const wa_plan *p, uint32_t i, wa_buf *out, wa_error *err)
{
    const wa_plan_nn_call *c = &p->nn_calls[i];
    P("  webnn %u %s", i, wa__nn_op_info(c->op)->name);
    for (uint32_t k = 0; k < c->in_count + c->out_count; k++) {
        P("%s", k == c->in_count ? " -> " : " ");
        WA_TRY(print_nn_operand(p, p->nn_refs[c->ref_first + k], out, err));
    }
    for (uint32_t k = 0; k < c->attr_count; k++) WA_TRY(print_attr(p, &p->attrs[c->attr_first + k], out, err));
    P(" # %s\n", wa__plan_text(p, c->label));
    return WA_OK;
}

static wa_status print_segment(const wa_plan *p, uint32_t i, const double *us, wa_buf *out, wa_error *err)
{
    const wa_plan_segment *s = &p->segments[i];
    P(" segment %u %s %u operations", i, t_name(s->target), s->count);
    if (s->reason) P(" because %s", wa__plan_text(p, s->reason));
    P("\n");
    for (uint32_t k = 0; k < s->transfer_count; k++) {
        const wa_plan_transfer *t = &p->transfers[s->transfer_first + k];
        P("  transfer b%u+%llu %s -> b%u+%llu %s\n", t->from_buffer, U(t->from_offset), wa__dtype_info(t->from_dtype)->name, t->to_buffer,
          U(t->to_offset), wa__dtype_info(t->to_dtype)->name);
    }
    for (uint32_t k = 0; k < s->count; k++)
        WA_TRY(s->target == WA_TARGET_CPU     ? print_call(p, s->first + k, us, out, err)
               : s->target == WA_TARGET_WEBNN ? print_nn_call(p, s->first + k, out, err)
                                              : print_dispatch(p, s->first + k, us, out, err));
    return WA_OK;
}

wa_status wa__plan_print(const wa_plan *p, wa_buf *out, wa_error *err) { return wa__plan_print_timed(p, NULL, out, err); }

wa_status wa__plan_print_timed(const wa_plan *p, const double *us, wa_buf *out, wa_error *err)
{
    WA_TRY(print_head(p, out, err));
    for (uint32_t i = 0; i < p->entry_count; i++) {
        const wa_plan_entry *e = &p->entries[i];
        P("entry %s batch %u length %u\n", wa__plan_text(p, e->name), e->batch, e->length);
        for (uint32_t k = 0; k < e->io_count; k++) {
            const wa_plan_io *io = &p->ios[e->io_first + k];
            P(" %s %s ", io->is_output ? "output" : "input", wa__plan_text(p, io->name));
            WA_TRY(print_type(io->dtype, io->rank, io->dims, out, err));
            P(" as %s b%u+%llu\n", wa__dtype_info(io->device_dtype)->name, io->buffer, U(io->offset));
        }
        for (uint32_t k = 0; k < e->segment_count; k++) WA_TRY(print_segment(p, e->segment_first + k, us, out, err));
    }
    return WA_OK;
}
