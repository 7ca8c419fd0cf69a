/* The plan's verifier: run after every build and on every plan that comes from outside. Bytes of a
 * plan are hostile until it passes: every index, range and sum is checked before use. This file
 * checks tables and ranges; plan_verify_ops.c checks dispatches and calls. */
#include "base/limits.h"
#include "base/quant_block.h"
#include "plan/plan_int.h"

#define FAIL(...) wa__fail(err, WA_VERIFY, __VA_ARGS__)

bool wa__plan_in_buffer(const wa_plan *p, uint32_t buffer, wa_target target, uint64_t offset, uint64_t length)
{
    if (buffer >= p->buffer_count) return false;
    const wa_plan_buffer *b = &p->buffers[buffer];
    return b->target == (uint32_t)target && offset <= b->size && length <= b->size - offset;
}

bool wa__plan_type_ok(uint32_t dtype, uint32_t rank, const int64_t *dims, uint64_t *bytes, int64_t *count)
{
    wa_tensor_type t = {.dtype = (wa_dtype)dtype, .rank = rank};
    if (rank > WA_RANK_MAX || wa__dtype_info(dtype)->bits == 0) return false;
    for (uint32_t i = 0; i < rank; i++) t.dims[i] = dims[i];
    return wa__type_count(&t, count) && wa__type_bytes(&t, bytes);
}

static wa_status check_texts(const wa_plan *p, wa_error *err)
{
    if (p->text_length == 0 || p->text[0] || p->text[p->text_length - 1]) return FAIL("the plan's texts do not begin and end with a NUL");
    size_t at;
    if (!wa__utf8_valid(p->text, p->text_length, &at)) return FAIL("the plan's text is not UTF-8 at byte %zu", at);
#define TEXTS(array, counter, field)                                                                                       \
    for (uint32_t i = 0; i < p->counter; i++)                                                                              \
        if (p->array[i].field >= p->text_length) return FAIL(#array "[%u]." #field " is outside the texts", i)
    TEXTS(sources, source_count, name);
    TEXTS(buffers, buffer_count, label);
    TEXTS(weights, weight_count, name);
    TEXTS(states, state_count, name);
    TEXTS(entries, entry_count, name);
    TEXTS(ios, io_count, name);
    TEXTS(segments, segment_count, reason);
    TEXTS(pipelines, pipeline_count, label);
    TEXTS(dispatches, dispatch_count, label);
    TEXTS(calls, call_count, label);
    TEXTS(nn_calls, nn_call_count, label);
    TEXTS(attrs, attr_count, name);
#undef TEXTS
    if (p->info.model_cid >= p->text_length || p->info.model_type >= p->text_length || p->info.task >= p->text_length)
        return FAIL("info names a text outside the texts");
    return WA_OK;
}

static wa_status check_info(const wa_plan *p, wa_error *err)
{
    const wa_plan_info *n = &p->info;
    if (n->target != WA_TARGET_CPU && n->target != WA_TARGET_WEBGPU && n->target != WA_TARGET_WEBNN) return FAIL("target %u is neither cpu nor webgpu nor webnn", n->target);
    if (n->limit_buffer == 0 || n->limit_binding == 0) return FAIL("the adapter's limits are 0");
    if (n->params_length > p->data_length || n->params_data > p->data_length - n->params_length)
        return FAIL("the parameters' contents are outside the data");
    if (n->params_buffer != WA_NONE) {
        if (n->params_buffer >= p->buffer_count || p->buffers[n->params_buffer].kind != WA_BUFFER_KIND_PARAMS ||
            p->buffers[n->params_buffer].target != WA_TARGET_WEBGPU || p->buffers[n->params_buffer].size != n->params_length)
            return FAIL("buffer %u does not hold the parameters", n->params_buffer);
    } else if (p->dispatch_count) {
        return FAIL("dispatches without a parameter buffer");
    }
    return WA_OK;
}

static wa_status check_buffers(const wa_plan *p, wa_error *err)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < p->buffer_count; i++) {
        const wa_plan_buffer *b = &p->buffers[i];
        if (b->size == 0 || b->size % 4) return FAIL("buffer %u has %llu bytes: not a positive multiple of 4", i, (unsigned long long)b->size);
        if (!wa__buffer_kind_name(b->kind)) return FAIL("buffer %u has unknown kind %u", i, b->kind);
        if (b->target != WA_TARGET_CPU && b->target != WA_TARGET_WEBGPU && b->target != WA_TARGET_WEBNN) return FAIL("buffer %u has target %u", i, b->target);
        if (b->target == WA_TARGET_WEBGPU && p->info.target == WA_TARGET_CPU) return FAIL("buffer %u: GPU memory in a CPU plan", i);
        if (b->target == WA_TARGET_WEBNN && p->info.target != WA_TARGET_WEBNN) return FAIL("buffer %u: WebNN's memory in a plan that is not for it", i);
        if ((b->kind == WA_BUFFER_KIND_TENSOR) != (b->target == WA_TARGET_WEBNN && b->kind != WA_BUFFER_KIND_WEIGHTS)) return FAIL("buffer %u is of a kind that its memory has not", i);
        if (b->target == WA_TARGET_WEBGPU && b->size > p->info.limit_buffer)
            return FAIL("buffer %u has %llu bytes, the adapter's limit is %llu", i, (unsigned long long)b->size,
                        (unsigned long long)p->info.limit_buffer);
        if (!wa__add_u64(sum, b->size, &sum) || sum > (uint64_t)1 << 46) return FAIL("the buffers pass 64 TiB at buffer %u", i);
    }
    return WA_OK;
}

/* --- weights --------------------------------------------------------------------------------------- */
static bool widens(uint32_t d) { return d == WA_F32 || d == WA_F16 || d == WA_BF16 || d == WA_F64; }

static bool matrix_ok(const wa_plan_weight *w)
{
    uint64_t rows = w->p[0], cols = w->p[1], ld = w->p[3], col = w->p[4], n, end;
    if (!rows || !cols || w->p[2] != w->dtype || !widens(w->dtype)) return false;
    if (rows * cols > w->length || rows * cols * wa__dtype_size((wa_dtype)w->dtype) != w->length) return false; /* 32-bit factors */
    bool copies = w->transform == WA_TRANSFORM_COPY2D || w->transform == WA_TRANSFORM_COPY2D_F16;
    uint64_t lines = copies ? rows : cols, width = copies ? cols : rows;
    if (col + width > ld || !wa__mul_u64(lines - 1, ld, &n) || !wa__add_u64(n, col + width, &end)) return false;
    return end <= w->dst_length / (wa__plan_half_transform(w->transform) ? 2 : 4);
}

static bool blocks_ok(const wa_plan_weight *w)
{
    uint64_t rows = w->p[0], cols = w->p[1], ld = w->p[3], size = wa__dtype_size((wa_dtype)w->dtype);
    bool by_rows = w->transform == WA_TRANSFORM_QUANT8_KN || w->transform == WA_TRANSFORM_QUANT4_KN;
    unsigned bits = w->transform == WA_TRANSFORM_QUANT4_KN || w->transform == WA_TRANSFORM_QUANT4_NK ? 4 : 8;
    if (!rows || !cols || w->p[2] != w->dtype || w->dtype == WA_F64 || !widens(w->dtype)) return false;
    if (rows * cols > w->length || rows * cols * size != w->length || wa__plan_upload_unit(w) > (uint64_t)1 << 30) return false;
    if (w->transform == WA_TRANSFORM_QUANT8_TABLE) return cols % 64 == 0 && w->dst_length == rows * wa__quant_table_row(cols) * 4;
    uint64_t depth = by_rows ? rows : cols, columns = by_rows ? cols : rows;
    if (depth % WA_QUANT_BLOCK || columns % 2 || w->p[4] % 2 || ld % 8 || ld > 1u << 24 || w->p[4] + columns > ld) return false;
    return (w->p[5] + depth / WA_QUANT_BLOCK) * wa__quant_stride(bits, (uint32_t)ld) * 4 <= w->dst_length;
}

static bool tiles_ok(const wa_plan_weight *w)
{
    bool turned = w->transform == WA_TRANSFORM_TILES_TURNED_F16;
    uint64_t rows = w->p[0], cols = w->p[1], n = turned ? cols : rows, k = turned ? rows : cols, kt = w->p[3], bytes;
    if (!rows || !cols || n % 16 || k % 16 || w->p[2] != w->dtype || w->p[4] || !widens(w->dtype) || k / 16 != kt) return false;
    if (rows * cols > w->length || rows * cols * wa__dtype_size((wa_dtype)w->dtype) != w->length) return false;
    return wa__mul_u64(rows * cols, 2, &bytes) && bytes <= w->dst_length;
}

static bool transform_ok(const wa_plan_weight *w)
{
    uint64_t unit = wa__dtype_size((wa_dtype)w->dtype);
    switch (w->transform) {
    case WA_TRANSFORM_NONE: return w->dst_length == wa__align_up(w->length, 4);
    case WA_TRANSFORM_COPY2D:
    case WA_TRANSFORM_TRANSPOSE2D:
    case WA_TRANSFORM_COPY2D_F16:
    case WA_TRANSFORM_TRANSPOSE2D_F16: return matrix_ok(w);
    case WA_TRANSFORM_QUANT8_KN: case WA_TRANSFORM_QUANT8_NK: case WA_TRANSFORM_QUANT4_KN: case WA_TRANSFORM_QUANT4_NK:
    case WA_TRANSFORM_QUANT8_TABLE: return blocks_ok(w);
    case WA_TRANSFORM_TILES_F16:
    case WA_TRANSFORM_TILES_TURNED_F16: return tiles_ok(w);
    case WA_TRANSFORM_TO_F16: return widens(w->dtype) && w->length % unit == 0 && w->dst_length == wa__align_up(w->length / unit * 2, 4);
    case WA_TRANSFORM_PACK_PANELS: return w->dst_offset % WA_PLAN_ALIGN_CPU == 0;
    case WA_TRANSFORM_BF16_TO_F32: return w->dtype == WA_BF16 && w->length % 2 == 0 && w->dst_length == w->length * 2;
    case WA_TRANSFORM_F16_TO_F32: return w->dtype == WA_F16 && w->length % 2 == 0 && w->dst_length == w->length * 2;
    case WA_TRANSFORM_F64_TO_F32: return w->dtype == WA_F64 && w->length % 8 == 0 && w->dst_length == w->length / 2;
    case WA_TRANSFORM_I64_TO_I32: return (w->dtype == WA_I64 || w->dtype == WA_U64) && w->length % 8 == 0 && w->dst_length == w->length / 2;
    case WA_TRANSFORM_WIDEN:
        return wa__plan_widens((wa_dtype)w->dtype) && w->dst_length % 4 == 0 && (w->dst_length / 4 * wa__dtype_info(w->dtype)->bits + 7) / 8 == w->length;
    case WA_TRANSFORM_BOOL_TO_U32: return unit == 1 && w->dst_length == w->length * 4;
    default: return false;
    }
}

static wa_status check_weight(const wa_plan *p, uint32_t i, wa_error *err)
{
    const wa_plan_weight *w = &p->weights[i];
    const char *name = wa__plan_text(p, w->name);
    if (w->source != WA_NONE && w->source >= p->source_count) return FAIL("weight %u \"%s\" names file %u of %u", i, name, w->source, p->source_count);
    uint64_t size = w->source == WA_NONE ? p->data_length : p->sources[w->source].size;
    if (w->length > size || w->offset > size - w->length)
        return FAIL("weight %u \"%s\" (offset %llu, %llu bytes) is outside its file of %llu", i, name, (unsigned long long)w->offset,
                    (unsigned long long)w->length, (unsigned long long)size);
    if (w->length > (uint64_t)1 << 44 || wa__dtype_info(w->dtype)->bits == 0) return FAIL("weight %u \"%s\" has dtype %u", i, name, w->dtype);
    if (!wa__transform_name(w->transform)) return FAIL("weight %u \"%s\" has unknown transform %u", i, name, w->transform);
    if (w->buffer == WA_NONE) {
        if (w->transform != WA_TRANSFORM_NONE) return FAIL("weight %u \"%s\" is transformed to nowhere", i, name);
        return WA_OK;
    }
    if (w->buffer >= p->buffer_count) return FAIL("weight %u \"%s\" goes to buffer %u of %u", i, name, w->buffer, p->buffer_count);
    const wa_plan_buffer *b = &p->buffers[w->buffer];
    if (b->kind != WA_BUFFER_KIND_WEIGHTS && b->kind != WA_BUFFER_KIND_CONST) return FAIL("weight %u \"%s\" goes to a buffer that is not for weights", i, name);
    if (w->dst_offset % 4 || w->dst_length % 4 || w->dst_offset > b->size || w->dst_length > b->size - w->dst_offset)
        return FAIL("weight %u \"%s\" is outside its buffer or not 4-aligned", i, name);
    if (w->transform == WA_TRANSFORM_PACK_PANELS && b->target != WA_TARGET_CPU) return FAIL("weight %u \"%s\": panels are for the CPU", i, name);
    bool gpu = b->target == WA_TARGET_WEBGPU && w->transform != WA_TRANSFORM_NONE;
    if (gpu && (w->dst_length + WA_PLAN_ALIGN_GPU > p->info.limit_binding || w->length == 0))
        return FAIL("weight %u \"%s\" passes the adapter's binding limit", i, name);
    if (gpu && wa__plan_half_transform(w->transform) && !(p->info.features & WA_FEATURE_F16)) return FAIL("weight %u \"%s\" becomes f16, which the adapter lacks", i, name);
    if (!transform_ok(w)) return FAIL("weight %u \"%s\": transform %s does not fit its sizes", i, name, wa__transform_name(w->transform));
    return WA_OK;
}

static wa_status check_weights(const wa_plan *p, wa_error *err)
{
    bool staged = false;
    if (p->weight_count > 1000000u) return FAIL("%u weights are too many", p->weight_count);
    for (uint32_t i = 0; i < p->weight_count; i++) {
        WA_TRY(check_weight(p, i, err));
        const wa_plan_weight *w = &p->weights[i];
        staged |= w->buffer != WA_NONE && p->buffers[w->buffer].target == WA_TARGET_WEBGPU && w->transform != WA_TRANSFORM_NONE;
    }
    for (uint32_t i = 0; i < p->buffer_count; i++) staged &= p->buffers[i].kind != WA_BUFFER_KIND_STAGING;
    if (staged) return FAIL("a GPU transform without a staging buffer");
    for (uint32_t i = 0; i < p->state_count; i++) {
        const wa_plan_state *s = &p->states[i];
        if (!wa__plan_in_buffer(p, s->buffer, (wa_target)p->info.target, s->offset, s->length) || p->buffers[s->buffer].kind != WA_BUFFER_KIND_STATE ||
            wa__dtype_info(s->dtype)->bits == 0)
            return FAIL("state %u is outside its buffer", i);
    }
    return WA_OK;
}

/* --- entries, inputs and outputs, segments, transfers ---------------------------------------------- */
static wa_status check_io(const wa_plan *p, uint32_t i, wa_error *err)
{
    const wa_plan_io *io = &p->ios[i];
    const char *name = wa__plan_text(p, io->name);
    uint64_t bytes;
    int64_t count;
    bool gpu = p->info.target == WA_TARGET_WEBGPU, nn = p->info.target == WA_TARGET_WEBNN;
    if (io->is_output > 1 || !wa__plan_type_ok(io->dtype, io->rank, io->dims, &bytes, &count)) return FAIL("io %u \"%s\" has a bad type", i, name);
    uint32_t device = gpu ? (uint32_t)wa__plan_device_dtype((wa_dtype)io->dtype) : io->dtype;
    if (nn && wa__plan_nn_type_ok(io->dtype, io->device_dtype)) device = io->device_dtype;
    bytes = nn ? (uint64_t)count * wa__dtype_size((wa_dtype)device) : gpu ? (uint64_t)count * 4 : bytes;
    if (io->device_dtype != device || io->length != bytes || (nn && !wa__plan_nn_type_ok(io->dtype, device))) return FAIL("io %u \"%s\" has a bad device type or length", i, name);
    if (!wa__plan_in_buffer(p, io->buffer, (wa_target)p->info.target, io->offset, io->length) || io->offset % 16)
        return FAIL("io %u \"%s\" is outside its buffer", i, name);
    uint32_t kind = p->buffers[io->buffer].kind;
    if (nn ? kind != WA_BUFFER_KIND_TENSOR : kind != WA_BUFFER_KIND_ARENA && kind != WA_BUFFER_KIND_STATE) return FAIL("io %u \"%s\" is not in an arena", i, name);
    if (nn && !wa__plan_tensor_ok(p, io->buffer, io->offset, io->device_dtype, io->length)) return FAIL("io %u \"%s\" has not its tensor's type", i, name);
    if (gpu && io->is_output) {
        if (!wa__plan_in_buffer(p, io->readback, WA_TARGET_WEBGPU, io->readback_offset, io->length) ||
            p->buffers[io->readback].kind != WA_BUFFER_KIND_READBACK || io->readback_offset % 4)
            return FAIL("output %u \"%s\" has no place to be read back", i, name);
    } else if (io->readback != WA_NONE) {
        return FAIL("io %u \"%s\" is not read back", i, name);
    }
    return WA_OK;
}

static bool device_ok(uint32_t dtype, uint32_t memory, uint32_t device)
{
    if (memory == WA_TARGET_CPU) return dtype == device;
    return memory == WA_TARGET_WEBNN ? wa__plan_nn_type_ok(dtype, device) : wa__plan_device_dtype((wa_dtype)dtype) == (wa_dtype)device && device;
}

/* Between two memories of the page no type on the host is named: any that both may hold will do. */
static bool types_meet(uint32_t from, uint32_t from_dtype, uint32_t to, uint32_t to_dtype)
{
    for (uint32_t d = WA_F32; d <= WA_I2; d++)
        if (device_ok(d, from, from_dtype) && device_ok(d, to, to_dtype)) return true;
    return false;
}

static wa_status check_transfer(const wa_plan *p, uint32_t i, uint32_t segment_target, wa_error *err)
{
    const wa_plan_transfer *t = &p->transfers[i];
    if (t->from_buffer >= p->buffer_count) return FAIL("transfer %u is outside its buffers", i);
    uint32_t from = p->buffers[t->from_buffer].target, to = segment_target;
    if (from == to || !wa__plan_in_buffer(p, t->from_buffer, (wa_target)from, t->from_offset, t->from_length) ||
        !wa__plan_in_buffer(p, t->to_buffer, (wa_target)to, t->to_offset, t->to_length))
        return FAIL("transfer %u is outside its buffers", i);
    unsigned a = wa__dtype_info(t->from_dtype)->bits, b = wa__dtype_info(t->to_dtype)->bits; /* one side has whole words */
    uint64_t n = b > a ? t->to_length / (b / 8) : t->from_length / (a / 8 ? a / 8 : 1);
    if (!a || !b || n > (uint64_t)1 << 40 || (n * a + 7) / 8 != t->from_length || (n * b + 7) / 8 != t->to_length || t->from_offset % 16 || t->to_offset % 16)
        return FAIL("transfer %u: lengths and types do not match", i);
    if (!types_meet(from, t->from_dtype, to, t->to_dtype)) return FAIL("transfer %u: the other memory has no such type", i);
    if (from == WA_TARGET_WEBGPU && (!wa__plan_in_buffer(p, t->staging, WA_TARGET_WEBGPU, 0, t->from_length) ||
                                     p->buffers[t->staging].kind != WA_BUFFER_KIND_READBACK))
        return FAIL("transfer %u has no place to be read back", i);
    if (from == WA_TARGET_WEBNN && !wa__plan_tensor_ok(p, t->from_buffer, t->from_offset, t->from_dtype, t->from_length)) return FAIL("transfer %u has not its tensor's type", i);
    if (to == WA_TARGET_WEBNN && !wa__plan_tensor_ok(p, t->to_buffer, t->to_offset, t->to_dtype, t->to_length)) return FAIL("transfer %u has not its tensor's type", i);
    return WA_OK;
}

static wa_status check_segment(const wa_plan *p, uint32_t i, wa_error *err)
{
    const wa_plan_segment *s = &p->segments[i];
    bool mixed = p->info.target == WA_TARGET_WEBNN && s->target == WA_TARGET_WEBGPU;
    if (s->target != WA_TARGET_CPU && s->target != p->info.target && !mixed) return FAIL("segment %u has target %u", i, s->target);
    uint32_t ops = s->target == WA_TARGET_CPU ? p->call_count : s->target == WA_TARGET_WEBNN ? p->nn_call_count : p->dispatch_count;
    if (s->first > ops || s->count > ops - s->first) return FAIL("segment %u runs past the last operation", i);
    if (s->transfer_first > p->transfer_count || s->transfer_count > p->transfer_count - s->transfer_first)
        return FAIL("segment %u moves past the last transfer", i);
    if (s->transfer_count && p->info.target == WA_TARGET_CPU) return FAIL("segment %u: transfers in a CPU plan", i);
    for (uint32_t k = 0; k < s->transfer_count; k++) WA_TRY(check_transfer(p, s->transfer_first + k, s->target, err));
    return WA_OK;
}

static wa_status check_entries(const wa_plan *p, wa_error *err)
{
    if (p->entry_count == 0) return FAIL("the plan has no entry");
    for (uint32_t i = 0; i < p->io_count; i++) WA_TRY(check_io(p, i, err));
    uint64_t work = 0;
    for (uint32_t i = 0; i < p->segment_count; i++) {
        work += (uint64_t)p->segments[i].transfer_count + p->segments[i].count + 1;
        if (work > 4u * (uint64_t)WA_LIMIT_NODES) return FAIL("the segments overlap: more than %u operations", 4u * WA_LIMIT_NODES);
        WA_TRY(check_segment(p, i, err));
    }
    for (uint32_t i = 0; i < p->entry_count; i++) {
        const wa_plan_entry *e = &p->entries[i];
        if (e->io_first > p->io_count || e->io_count > p->io_count - e->io_first || e->segment_first > p->segment_count ||
            e->segment_count > p->segment_count - e->segment_first)
            return FAIL("entry %u \"%s\" runs past the tables", i, wa__plan_text(p, e->name));
        bool output = false;
        for (uint32_t k = 0; k < e->io_count; k++) {
            bool is = p->ios[e->io_first + k].is_output != 0;
            if (output && !is) return FAIL("entry %u \"%s\": an input after an output", i, wa__plan_text(p, e->name));
            output = is;
        }
        if (!output) return FAIL("entry %u \"%s\" has no output", i, wa__plan_text(p, e->name));
    }
    return WA_OK;
}

wa_status wa__plan_verify(const wa_plan *p, wa_error *err)
{
    WA_TRY(check_texts(p, err));
    WA_TRY(check_buffers(p, err));
    WA_TRY(check_info(p, err));
    WA_TRY(check_weights(p, err));
    WA_TRY(check_entries(p, err));
    WA_TRY(wa__plan_verify_gpu(p, err));
    WA_TRY(wa__plan_verify_nn(p, err));
    return wa__plan_verify_cpu(p, err);
}
