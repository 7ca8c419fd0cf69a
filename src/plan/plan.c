/* What every plan has, whoever made it: the section table, life, look-ups, byte counts and the key. */
#include "plan/plan_int.h"
#include "plan/plan_nn.h"

#define SECTION(id, type, field, counter, is_wide)                                                                     \
    [id] = {#field, sizeof(type), offsetof(wa_plan, field), offsetof(wa_plan, counter), is_wide}
const wa_plan_section wa__plan_sections[WA_SEC_END] = {
    [WA_SEC_INFO] = {"info", sizeof(wa_plan_info), 0, 0, false},
    SECTION(WA_SEC_SOURCES, wa_plan_source, sources, source_count, false),
    SECTION(WA_SEC_BUFFERS, wa_plan_buffer, buffers, buffer_count, false),
    SECTION(WA_SEC_WEIGHTS, wa_plan_weight, weights, weight_count, false),
    SECTION(WA_SEC_STATES, wa_plan_state, states, state_count, false),
    SECTION(WA_SEC_ENTRIES, wa_plan_entry, entries, entry_count, false),
    SECTION(WA_SEC_IOS, wa_plan_io, ios, io_count, false),
    SECTION(WA_SEC_SEGMENTS, wa_plan_segment, segments, segment_count, false),
    SECTION(WA_SEC_TRANSFERS, wa_plan_transfer, transfers, transfer_count, false),
    SECTION(WA_SEC_PIPELINES, wa_plan_pipeline, pipelines, pipeline_count, false),
    SECTION(WA_SEC_BINDS, wa_plan_bind, binds, bind_count, false),
    SECTION(WA_SEC_DISPATCHES, wa_plan_dispatch, dispatches, dispatch_count, false),
    SECTION(WA_SEC_CALLS, wa_plan_call, calls, call_count, false),
    SECTION(WA_SEC_OPERANDS, wa_plan_operand, operands, operand_count, false),
    SECTION(WA_SEC_ATTRS, wa_plan_attr, attrs, attr_count, false),
    SECTION(WA_SEC_CODE, uint32_t, code, code_count, false),
    SECTION(WA_SEC_DATA, uint8_t, data, data_length, true),
    SECTION(WA_SEC_TEXT, char, text, text_length, false),
    SECTION(WA_SEC_NN_OPERANDS, wa_plan_nn_operand, nn_operands, nn_operand_count, false),
    SECTION(WA_SEC_NN_CALLS, wa_plan_nn_call, nn_calls, nn_call_count, false),
    SECTION(WA_SEC_NN_REFS, uint32_t, nn_refs, nn_ref_count, false),
};

/* The records stand in files as they lie in memory. */
_Static_assert(sizeof(wa_plan_source) == 16, "layout");
_Static_assert(sizeof(wa_plan_buffer) == 24, "layout");
_Static_assert(sizeof(wa_plan_weight) == 80, "layout");
_Static_assert(sizeof(wa_plan_state) == 32, "layout");
_Static_assert(sizeof(wa_plan_entry) == 40, "layout");
_Static_assert(sizeof(wa_plan_io) == 120, "layout");
_Static_assert(sizeof(wa_plan_segment) == 40, "layout");
_Static_assert(sizeof(wa_plan_transfer) == 56, "layout");
_Static_assert(sizeof(wa_plan_pipeline) == 120, "layout");
_Static_assert(sizeof(wa_plan_bind) == 24, "layout");
_Static_assert(sizeof(wa_plan_dispatch) == 72, "layout");
_Static_assert(sizeof(wa_plan_call) == 48, "layout");
_Static_assert(sizeof(wa_plan_operand) == 88, "layout");
_Static_assert(sizeof(wa_plan_attr) == 32, "layout");
_Static_assert(sizeof(wa_plan_nn_operand) == 88, "layout");
_Static_assert(sizeof(wa_plan_nn_call) == 32, "layout");

uint64_t wa__plan_section_count(const wa_plan *p, uint32_t section)
{
    const wa_plan_section *s = &wa__plan_sections[section];
    if (section == WA_SEC_INFO) return 1;
    if (s->wide) {
        uint64_t n;
        memcpy(&n, (const char *)p + s->count, sizeof n);
        return n;
    }
    uint32_t n;
    memcpy(&n, (const char *)p + s->count, sizeof n);
    return n;
}

void *wa__plan_section_ptr(const wa_plan *p, uint32_t section)
{
    if (section == WA_SEC_INFO) return (void *)(uintptr_t)&p->info;
    void *ptr;
    memcpy(&ptr, (const char *)p + wa__plan_sections[section].ptr, sizeof ptr);
    return ptr;
}

void wa__plan_section_set(wa_plan *p, uint32_t section, void *ptr, uint64_t count)
{
    const wa_plan_section *s = &wa__plan_sections[section];
    memcpy((char *)p + s->ptr, &ptr, sizeof ptr);
    uint32_t n = (uint32_t)count;
    if (s->wide) memcpy((char *)p + s->count, &count, sizeof count);
    else memcpy((char *)p + s->count, &n, sizeof n);
}

void wa__plan_free(wa_plan *p)
{
    if (!p) return;
    wa__arena_done(&p->arena);
    wa__free(p);
}

uint64_t wa__plan_bytes(const wa_plan *p, wa_target memory)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < p->buffer_count; i++)
        if (p->buffers[i].target == (uint32_t)memory) n += p->buffers[i].size;
    return n;
}

const char *wa__plan_text(const wa_plan *p, wa_text t) { return t < p->text_length ? p->text + t : ""; }

uint32_t wa__plan_find_entry(const wa_plan *p, const char *name)
{
    for (uint32_t i = 0; i < p->entry_count; i++)
        if (strcmp(wa__plan_text(p, p->entries[i].name), name) == 0) return i;
    return WA_NONE;
}

wa_status wa__plan_key(const wa_plan_options *o, const char *const *input_names, const wa_tensor_type *input_types,
                       uint32_t input_count, uint8_t out[32], wa_error *err)
{
    uint8_t kernels[32];
    char hex[65], type[160];
    const wa_plan_target *t = &o->target;
    wa__kernels_hash(kernels);
    wa__hex(kernels, 32, hex);
    wa_buf b;
    wa__buf_init(&b, 4u << 20);
    wa_status s = wa__buf_printf(&b, err,
        "webaccel plan %d\nkernels %s\nmodel %s\ntype %s\ntask %s\nentry %s\ntarget %d\nfeatures %u\nbuffer %llu\n"
        "binding %llu\nworkgroup %u\ninvocations %u\nsoftware %d\nadapter %.63s\nprecision %u\nmixed %d keep %u\nbatch %u\nlength %u\n",
        WA_PLAN_VERSION, hex, o->model_cid ? o->model_cid : "", o->model_type ? o->model_type : "", o->task ? o->task : "",
        o->entry_name ? o->entry_name : "", (int)t->target, t->features, (unsigned long long)t->limit_buffer,
        (unsigned long long)t->limit_binding, t->workgroup_bytes, t->invocations, t->software ? 1 : 0, t->adapter,
        o->precision, o->mixed, o->keep, o->batch, o->length);
    if (s == WA_OK && t->target == WA_TARGET_WEBNN) {
        uint8_t nn[32] = {0};
        s = t->nn ? wa__sha256(t->nn, sizeof *t->nn, nn, err) : WA_OK;
        wa__hex(nn, 32, hex);
        if (s == WA_OK) s = wa__buf_printf(&b, err, "webnn %s gpu %d\n", hex, t->gpu ? 1 : 0);
    }
    if (t->attention_groups && s == WA_OK) s = wa__buf_printf(&b, err, "attention groups %u\n", t->attention_groups);
    for (uint32_t i = 0; i < t->tile_count && s == WA_OK; i++) {
        char tile[WA_GPU_TILE_TEXT];
        wa__gpu_tile_print(&t->tiles[i].tile, tile);
        s = wa__buf_printf(&b, err, "tile %u %u %u %u %s\n", t->tiles[i].m_min, t->tiles[i].m_max, t->tiles[i].n, t->tiles[i].k, tile);
    }
    for (uint32_t i = 0; i < input_count && s == WA_OK; i++) {
        wa__type_text(&input_types[i], type, sizeof type);
        s = wa__buf_printf(&b, err, "input %s %s\n", input_names[i], type);
    }
    if (s == WA_OK) s = wa__sha256(b.ptr, b.len, out, err);
    wa__buf_done(&b);
    return s;
}
