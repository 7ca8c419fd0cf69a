/* Graph to plan: classifies nodes, cuts them into segments by target, lowers each, plans memory.
 * The lowerings proper are plan_cpu.c and plan_gpu*.c. Called by the API through wa__plan_build. */
#include "base/limits.h"
#include "plan/plan_int.h"
#include "plan/plan_lanes.h"
#include "plan/plan_nn.h"
#include <stdio.h>

static uint32_t memory_of(wa_target t) { return t == WA_TARGET_CPU ? WA_MEM_CPU : t == WA_TARGET_WEBNN ? WA_MEM_NN : WA_MEM_GPU; }
static uint64_t bytes_in(const wa_plan_builder *b, uint32_t memory, uint32_t value)
{
    const wa_tensor_type *t = &b->g->values[value].type;
    return memory == WA_MEM_CPU ? wa__bytes(t) : memory == WA_MEM_NN ? wa__plan_nn_bytes(b, t) : wa__plan_gpu_bytes(b, value);
}
static uint32_t dtype_in(const wa_plan_builder *b, uint32_t memory, uint32_t value)
{
    wa_dtype d = b->g->values[value].type.dtype;
    return memory == WA_MEM_CPU ? d : memory == WA_MEM_NN ? wa__plan_nn_dtype(b, d) : wa__plan_device_dtype(d);
}
static uint32_t main_memory(const wa_plan_builder *b) { return memory_of(b->t.target); }

/* --- what each node becomes --------------------------------------------------------------------- */
static bool constant(const wa_plan_builder *b, uint32_t root)
{
    wa_plan_pieces e;
    return b->g->values[root].kind == WA_VALUE_CONST || wa__plan_pieces(b->g, root, &e);
}

static bool outputs_unused(const wa_graph *g, const wa_node *n)
{
    for (uint32_t i = 1; i < n->output_count; i++)
        if (n->outputs[i] != WA_NONE && wa__graph_uses(g, n->outputs[i])) return false;
    return true;
}

/* A node whose results have no elements needs no work on any target. */
static bool makes_nothing(const wa_plan_builder *b, const wa_node *n)
{
    for (uint32_t i = 0; i < n->output_count; i++)
        if (n->outputs[i] != WA_NONE && !wa__plan_empty(b, n->outputs[i])) return false;
    return true;
}

/* The plan's target where it can, else WebGPU where there is one, else the CPU; the reason is the first. */
static void choose_target(wa_plan_builder *b, uint32_t node)
{
    if (b->t.target == WA_TARGET_WEBNN) {
        b->node_reason[node] = wa__plan_nn_refuses(b, node);
        if (!b->node_reason[node]) b->node_target[node] = WA_TARGET_WEBNN;
        else if (b->t.gpu && !wa__plan_gpu_refuses(b, node)) b->node_target[node] = WA_TARGET_WEBGPU;
    } else if (b->t.target == WA_TARGET_WEBGPU) {
        b->node_reason[node] = wa__plan_gpu_refuses(b, node);
        if (!b->node_reason[node]) b->node_target[node] = WA_TARGET_WEBGPU;
    }
}

static wa_status classify(wa_plan_builder *b)
{
    const wa_graph *g = b->g;
    for (uint32_t i = 0; i < g->value_count; i++) {
        b->root[i] = i;
        b->places[i] = (wa_plan_place){{WA_NONE, WA_NONE, WA_NONE}, WA_NONE, {WA_NONE, WA_NONE, WA_NONE}, {0, 0, 0}};
    }
    for (uint32_t i = 0; i < g->node_count; i++) {
        const wa_node *n = &g->nodes[i];
        if (n->dead || n->output_count == 0) continue;
        if (wa__plan_view_op(n->op) && n->inputs[0] != WA_NONE && outputs_unused(g, n)) {
            const wa_tensor_type *in = &g->values[n->inputs[0]].type, *out = &g->values[n->outputs[0]].type;
            uint64_t a, c;
            if (in->dtype == out->dtype && wa__type_bytes(in, &a) && wa__type_bytes(out, &c) && a == c) {
                b->root[n->outputs[0]] = b->root[n->inputs[0]];
                continue;
            }
        }
        if (n->output_count == 1 && constant(b, n->outputs[0])) continue;
        if (makes_nothing(b, n)) continue;
        b->node_target[i] = WA_TARGET_CPU;
        choose_target(b, i);
    }
    return WA_OK;
}

/* --- inputs, outputs ----------------------------------------------------------------------------- */
static wa_status io_add(wa_plan_builder *b, uint32_t value, bool output, uint32_t block)
{
    const wa_value *v = &b->g->values[value];
    uint32_t m = main_memory(b);
    wa_text name;
    if (m == WA_MEM_GPU && v->type.dtype == WA_F64) /* half its digits would be lost unseen */
        return wa__fail(b->err, WA_UNSUPPORTED, "%s \"%.*s\" has 64-bit floats, which WebGPU lacks: run it on the CPU, or convert the model to 32 bits",
                        output ? "output" : "input", WA_STR_ARG(v->name));
    WA_TRY(wa__plan_text_add(b, v->name, &name));
    wa_plan_io *io = wa__plan_push(b, WA_SEC_IOS);
    if (!io) return wa__no_memory(b->err, "the plan");
    io->name = name;
    io->is_output = output;
    io->dtype = v->type.dtype;
    io->device_dtype = dtype_in(b, m, value);
    io->rank = v->type.rank;
    for (uint32_t i = 0; i < v->type.rank; i++) io->dims[i] = v->type.dims[i];
    io->length = bytes_in(b, m, value);
    io->readback = WA_NONE;
    return wa__plan_fix_add(b, WA_SEC_IOS, (uint32_t)b->sec[WA_SEC_IOS].count - 1, m, block, 0, 0);
}

/* Room for a root value in a memory. */
static wa_status block_in(wa_plan_builder *b, uint32_t memory, uint32_t root)
{
    if (memory == WA_MEM_NN) return wa__plan_nn_tensor(b, root);
    return wa__plan_block_add(b, memory, bytes_in(b, memory, root), &b->places[root].block[memory]);
}

static wa_status inputs(wa_plan_builder *b)
{
    for (uint32_t i = 0; i < b->g->input_count; i++) {
        uint32_t v = b->g->inputs[i], m = main_memory(b);
        uint64_t bytes;
        WA_TRY(wa__plan_value_bytes(b, v, &bytes));
        WA_TRY(block_in(b, m, v));
        WA_TRY(io_add(b, v, false, b->places[v].block[m]));
    }
    return WA_OK;
}

/* --- segments and transfers ---------------------------------------------------------------------- */
/* The memory that a root value can be had from, the host's first; WA_MEM_COUNT: none. */
static uint32_t holder(const wa_plan_builder *b, uint32_t root)
{
    uint32_t m = WA_MEM_CPU;
    while (m < WA_MEM_COUNT && b->places[root].block[m] == WA_NONE) m++;
    return m;
}

static wa_status transfer(wa_plan_builder *b, uint32_t root, uint32_t to)
{
    uint32_t from = holder(b, root), staging = WA_NONE;
    uint32_t source = b->places[root].block[from];
    WA_TRY(block_in(b, to, root));
    wa__plan_block_use(b, from, source, b->step);
    uint64_t length = bytes_in(b, from, root);
    if (from == WA_MEM_GPU)
        WA_TRY(wa__plan_buffer_add(b, WA_BUFFER_KIND_READBACK, WA_TARGET_WEBGPU, wa__align_up(length ? length : 4, 16), "transfer", &staging));
    wa_plan_transfer *t = wa__plan_push(b, WA_SEC_TRANSFERS);
    if (!t) return wa__no_memory(b->err, "the plan");
    t->from_length = length;
    t->to_length = bytes_in(b, to, root);
    t->from_dtype = dtype_in(b, from, root);
    t->to_dtype = dtype_in(b, to, root);
    t->staging = staging;
    uint32_t index = (uint32_t)b->sec[WA_SEC_TRANSFERS].count - 1;
    WA_TRY(wa__plan_fix_add(b, WA_SEC_TRANSFERS, index, from, source, 0, 0));
    return wa__plan_fix_add(b, WA_SEC_TRANSFERS, index, to, b->places[root].block[to], 1, 0);
}

/* Moves what a node reads and another memory holds. */
static wa_status bring(wa_plan_builder *b, uint32_t value, uint32_t memory)
{
    if (value == WA_NONE || wa__plan_empty(b, value)) return WA_OK;
    const wa_plan_place *p = &b->places[b->root[value]];
    return p->block[memory] == WA_NONE && holder(b, b->root[value]) != WA_MEM_COUNT ? transfer(b, b->root[value], memory) : WA_OK;
}

static wa_plan_segment *last_segment(wa_plan_builder *b)
{
    return (wa_plan_segment *)b->sec[WA_SEC_SEGMENTS].ptr + b->sec[WA_SEC_SEGMENTS].count - 1;
}
static uint32_t ops_of(const wa_plan_builder *b, wa_target t)
{
    return (uint32_t)b->sec[t == WA_TARGET_CPU ? WA_SEC_CALLS : t == WA_TARGET_WEBNN ? WA_SEC_NN_CALLS : WA_SEC_DISPATCHES].count;
}

static wa_status segment_open(wa_plan_builder *b, wa_target target, const char *reason, uint32_t *transfer_first)
{
    wa_text text;
    WA_TRY(wa__plan_text_add(b, wa__str(reason), &text));
    wa_plan_segment *s = wa__plan_push(b, WA_SEC_SEGMENTS);
    if (!s) return wa__no_memory(b->err, "the plan");
    s->target = target;
    s->first = ops_of(b, target);
    s->transfer_first = *transfer_first = (uint32_t)b->sec[WA_SEC_TRANSFERS].count;
    s->reason = text;
    return WA_OK;
}

static wa_status segment_close(wa_plan_builder *b)
{
    wa_plan_segment *s = last_segment(b);
    s->count = ops_of(b, (wa_target)s->target) - s->first;
    for (uint32_t i = 0; i < s->count && s->target == WA_TARGET_WEBGPU; i++)
        s->predicted_ns += ((wa_plan_dispatch *)b->sec[WA_SEC_DISPATCHES].ptr)[s->first + i].predicted_ns;
    return WA_OK;
}

/* "NonZero /a/NonZero: no WebGPU kernel for this operator": every operator of the segment once. */
static wa_status reasons(const wa_plan_builder *b, uint32_t first, uint32_t end, wa_buf *out)
{
    bool seen[256] = {false};
    for (uint32_t i = first; i < end; i++) {
        uint32_t op = b->g->nodes[i].op;
        if (!b->node_target[i] || !b->node_reason[i] || (op < 256 && seen[op])) continue;
        if (op < 256) seen[op] = true;
        char label[256];
        wa__plan_node_label(b->g, i, label, sizeof label);
        WA_TRY(wa__buf_printf(out, b->err, "%s%s: %s", out->len ? "; " : "", label, b->node_reason[i]));
        if (out->len > 2000) break;
    }
    return WA_OK;
}

/* Nodes [first, end) run on one target. */
static wa_status segment(wa_plan_builder *b, uint32_t first, uint32_t end, wa_target target)
{
    wa_buf why;
    uint32_t memory = memory_of(target), transfer_first;
    wa__buf_init(&why, 8192);
    wa_status s = target == b->t.target ? WA_OK : reasons(b, first, end, &why);
    if (s == WA_OK) s = segment_open(b, target, why.ptr, &transfer_first);
    wa__buf_done(&why);
    WA_TRY(s);
    for (uint32_t i = first; i < end; i++)
        for (uint32_t k = 0; b->node_target[i] && k < b->g->nodes[i].input_count; k++)
            WA_TRY(bring(b, b->g->nodes[i].inputs[k], memory));
    last_segment(b)->transfer_count = (uint32_t)b->sec[WA_SEC_TRANSFERS].count - transfer_first;
    if (target == WA_TARGET_WEBNN) WA_TRY(wa__plan_nn_begin(b));
    for (uint32_t i = first; i < end; i++) {
        if (!b->node_target[i]) continue;
        char label[256];
        wa__plan_node_label(b->g, i, label, sizeof label);
        s = target == WA_TARGET_CPU ? wa__plan_cpu_node(b, i) : target == WA_TARGET_WEBNN ? wa__plan_nn_node(b, i) : wa__plan_gpu_node(b, i);
        if (s != WA_OK) return wa__fail_in(b->err, s, "%s", label);
        last_segment(b)->flops += wa__plan_node_flops(b->g, &b->g->nodes[i]);
    }
    if (target == WA_TARGET_WEBNN) WA_TRY(wa__plan_nn_end(b, first, end));
    return segment_close(b);
}

static uint32_t part_of(const wa_plan_builder *b, uint32_t node) { return b->part ? b->part[node] : 0; }

static wa_status lower(wa_plan_builder *b)
{
    const wa_graph *g = b->g;
    for (uint32_t i = 0; i < g->node_count;) {
        uint32_t end = i;
        uint8_t target = 0;
        uint32_t part = 0;
        for (; end < g->node_count; end++) {
            if (!b->node_target[end]) continue;
            if (target && (b->node_target[end] != target || part_of(b, end) != part)) break;
            target = b->node_target[end];
            part = part_of(b, end);
        }
        if (target) WA_TRY(segment(b, i, end, (wa_target)target));
        i = end;
    }
    return WA_OK;
}

/* Outputs that are constants are copied by a call; all end up in the target's memory. */
static wa_status outputs(wa_plan_builder *b)
{
    const wa_graph *g = b->g;
    uint32_t m = main_memory(b), transfer_first;
    bool constants = false, moves = false;
    for (uint32_t i = 0; i < g->output_count; i++) {
        uint64_t bytes;
        WA_TRY(wa__plan_value_bytes(b, g->outputs[i], &bytes));
        if (bytes == 0) WA_TRY(wa__plan_empty_block(b, m, g->outputs[i]));
        const wa_plan_place *p = &b->places[b->root[g->outputs[i]]];
        constants |= holder(b, b->root[g->outputs[i]]) == WA_MEM_COUNT;
        moves |= p->block[m] == WA_NONE;
    }
    if (constants) {
        WA_TRY(segment_open(b, WA_TARGET_CPU, m == WA_MEM_CPU ? "" : "an output is a constant", &transfer_first));
        for (uint32_t i = 0; i < g->output_count; i++) {
            uint32_t root = b->root[g->outputs[i]], block;
            if (holder(b, root) != WA_MEM_COUNT) continue;
            WA_TRY(wa__plan_block_add(b, WA_MEM_CPU, bytes_in(b, WA_MEM_CPU, root), &block));
            WA_TRY(wa__plan_cpu_copy(b, g->outputs[i], block));
            b->places[root].block[WA_MEM_CPU] = block;
        }
        WA_TRY(segment_close(b));
    }
    if (moves && m != WA_MEM_CPU) {
        WA_TRY(segment_open(b, b->t.target, "", &transfer_first));
        for (uint32_t i = 0; i < g->output_count; i++) WA_TRY(bring(b, g->outputs[i], m));
        last_segment(b)->transfer_count = (uint32_t)b->sec[WA_SEC_TRANSFERS].count - transfer_first;
        WA_TRY(segment_close(b));
    }
    for (uint32_t i = 0; i < g->output_count; i++) {
        uint32_t block = b->places[b->root[g->outputs[i]]].block[m];
        wa__plan_block_use(b, m, block, UINT32_MAX);
        WA_TRY(io_add(b, g->outputs[i], true, block));
    }
    return WA_OK;
}

static wa_status readbacks(wa_plan_builder *b)
{
    uint64_t size = 0;
    uint32_t buffer;
    wa_plan_io *ios = b->sec[WA_SEC_IOS].ptr;
    for (size_t i = 0; i < b->sec[WA_SEC_IOS].count; i++) {
        if (!ios[i].is_output) continue;
        ios[i].readback = 0;
        ios[i].readback_offset = size;
        size += wa__align_up(ios[i].length ? ios[i].length : 4, 16);
    }
    if (!size) return WA_OK;
    WA_TRY(wa__plan_buffer_add(b, WA_BUFFER_KIND_READBACK, WA_TARGET_WEBGPU, size, "outputs", &buffer));
    for (size_t i = 0; i < b->sec[WA_SEC_IOS].count; i++)
        if (ios[i].is_output) ios[i].readback = buffer;
    return WA_OK;
}

/* --- memory -------------------------------------------------------------------------------------- */
static wa_status place_memory(wa_plan_builder *b, uint32_t m)
{
    uint64_t sizes[WA_PLAN_ARENAS_MAX];
    uint32_t count, ids[WA_PLAN_ARENAS_MAX];
    wa_target t = m == WA_MEM_CPU ? WA_TARGET_CPU : WA_TARGET_WEBGPU;
    wa_plan_vec *v = &b->blocks[m];
    uint64_t limit = m == WA_MEM_CPU ? (uint64_t)1 << 46 : b->t.limit_buffer;
    WA_TRY(wa__plan_memory(v->ptr, (uint32_t)v->count, m == WA_MEM_GPU ? b->conflicts.ptr : NULL,
                           m == WA_MEM_GPU ? (uint32_t)b->conflicts.count : 0, m == WA_MEM_CPU ? WA_PLAN_ALIGN_CPU : WA_PLAN_ALIGN_GPU,
                           limit, sizes, &count, b->err));
    for (uint32_t i = 0; i < count; i++) {
        char label[32];
        snprintf(label, sizeof label, "arena %u", i);
        WA_TRY(wa__plan_buffer_add(b, WA_BUFFER_KIND_ARENA, t, sizes[i], label, &ids[i]));
    }
    for (size_t i = 0; i < v->count; i++) {
        wa_plan_block *k = (wa_plan_block *)v->ptr + i;
        k->buffer = ids[k->buffer];
    }
    return WA_OK;
}

static void apply_fixes(wa_plan_builder *b)
{
    for (size_t i = 0; i < b->fixes.count; i++) {
        const wa_plan_fix *f = (wa_plan_fix *)b->fixes.ptr + i;
        const wa_plan_block *k = (wa_plan_block *)b->blocks[f->memory].ptr + f->block;
        void *at = (char *)b->sec[f->section].ptr + (size_t)f->element * wa__plan_sections[f->section].element_bytes;
        uint64_t offset = k->offset + f->add;
        if (f->section == WA_SEC_OPERANDS) {
            ((wa_plan_operand *)at)->index = k->buffer;
            ((wa_plan_operand *)at)->offset = offset;
        } else if (f->section == WA_SEC_BINDS) {
            ((wa_plan_bind *)at)->buffer = k->buffer;
            ((wa_plan_bind *)at)->offset = offset;
        } else if (f->section == WA_SEC_IOS) {
            ((wa_plan_io *)at)->buffer = k->buffer;
            ((wa_plan_io *)at)->offset = offset;
        } else if (f->section == WA_SEC_TRANSFERS) {
            wa_plan_transfer *t = at;
            if (f->side) t->to_buffer = k->buffer, t->to_offset = offset;
            else t->from_buffer = k->buffer, t->from_offset = offset;
        }
    }
}

/* --- the whole ------------------------------------------------------------------------------------ */
static wa_status describe(wa_plan_builder *b)
{
    const wa_graph *g = b->g;
    uint32_t bits[65] = {0};
    uint8_t *seen = wa__alloc(g->value_count + 1u, 1);
    if (!seen) return wa__no_memory(b->err, "the plan");
    for (uint32_t i = 0; i < g->node_count; i++) {
        for (uint32_t k = 0; !g->nodes[i].dead && k < g->nodes[i].input_count; k++) {
            uint32_t id = g->nodes[i].inputs[k];
            if (id == WA_NONE || seen[id]) continue;
            seen[id] = 1;
            const wa_value *v = &g->values[id];
            if (v->kind != WA_VALUE_CONST || v->source < 0 || !wa__dtype_is_float(v->type.dtype) || v->type.rank == 0) continue;
            b->info.parameters += (uint64_t)wa__count(&v->type);
            bits[wa__dtype_info(v->type.dtype)->bits] += 1;
        }
    }
    wa__free(seen);
    for (uint32_t i = 0; i < g->node_count; i++)
        if (b->node_target[i]) b->info.flops += wa__plan_node_flops(g, &g->nodes[i]);
    b->info.precision = b->bits ? b->bits : bits[16] > bits[32] ? 16 : 32;
    b->info.mixed = b->o->mixed;
    b->info.target = b->t.target;
    b->info.features = b->t.features;
    b->info.limit_buffer = b->t.limit_buffer;
    b->info.limit_binding = b->t.limit_binding;
    WA_TRY(wa__plan_text_add(b, wa__str(b->o->model_cid), &b->info.model_cid));
    WA_TRY(wa__plan_text_add(b, wa__str(b->o->model_type), &b->info.model_type));
    return wa__plan_text_add(b, wa__str(b->o->task), &b->info.task);
}

static wa_status key_of(wa_plan_builder *b)
{
    const wa_graph *g = b->g;
    const char **names = wa__alloc(g->input_count + 1u, sizeof *names);
    wa_tensor_type *types = wa__alloc(g->input_count + 1u, sizeof *types);
    wa_status s = names && types ? WA_OK : wa__no_memory(b->err, "the plan");
    for (uint32_t i = 0; i < g->input_count && s == WA_OK; i++) {
        const wa_value *v = &g->values[g->inputs[i]];
        types[i] = v->type;
        if (!(names[i] = wa__strndup(v->name.ptr, v->name.len))) s = wa__no_memory(b->err, "the plan");
    }
    if (s == WA_OK) s = wa__plan_key(b->o, names, types, g->input_count, b->info.key, b->err);
    for (uint32_t i = 0; names && i < g->input_count; i++) wa__free((void *)(uintptr_t)names[i]);
    wa__free(names);
    wa__free(types);
    wa__kernels_hash(b->info.kernels_hash);
    return s;
}

static wa_status entry(wa_plan_builder *b)
{
    wa_text name;
    WA_TRY(wa__plan_text_add(b, wa__str(b->o->entry_name ? b->o->entry_name : "run"), &name));
    wa_plan_entry *e = wa__plan_push(b, WA_SEC_ENTRIES);
    if (!e) return wa__no_memory(b->err, "the plan");
    e->name = name;
    e->io_count = (uint32_t)b->sec[WA_SEC_IOS].count;
    e->segment_count = (uint32_t)b->sec[WA_SEC_SEGMENTS].count;
    e->batch = b->o->batch;
    e->length = b->o->length;
    for (uint32_t i = 0; i < e->segment_count; i++)
        e->predicted_ns += ((wa_plan_segment *)b->sec[WA_SEC_SEGMENTS].ptr)[i].predicted_ns;
    return WA_OK;
}

static wa_status sources(wa_plan_builder *b)
{
    for (uint32_t i = 0; i < b->g->source_count; i++) {
        wa_text name;
        WA_TRY(wa__plan_text_add(b, b->g->sources[i].name, &name));
        wa_plan_source *s = wa__plan_push(b, WA_SEC_SOURCES);
        if (!s) return wa__no_memory(b->err, "the plan");
        s->size = b->g->sources[i].size;
        s->name = name;
    }
    return WA_OK;
}

static wa_status build(wa_plan_builder *b)
{
    wa_text none;
    WA_TRY(wa__plan_precision(b));
    WA_TRY(wa__plan_text_add(b, WA_STR(""), &none));
    WA_TRY(sources(b));
    WA_TRY(classify(b));
    WA_TRY(wa__plan_gpu_forms(b));
    wa__gpu_absorb_norms(b);
    WA_TRY(wa__plan_gpu_norms(b));
    WA_TRY(describe(b));
    WA_TRY(inputs(b));
    WA_TRY(lower(b));
    WA_TRY(outputs(b));
    if (b->t.target == WA_TARGET_WEBGPU) WA_TRY(readbacks(b));
    if (b->t.target != WA_TARGET_CPU) WA_TRY(place_memory(b, WA_MEM_GPU));
    if (b->scratch_bytes) {
        uint32_t scratch;
        WA_TRY(wa__plan_buffer_add(b, WA_BUFFER_KIND_SCRATCH, WA_TARGET_CPU, wa__align_up(b->scratch_bytes, 64), "scratch", &scratch));
    }
    WA_TRY(place_memory(b, WA_MEM_CPU));
    apply_fixes(b);
    if (b->t.target != WA_TARGET_CPU) WA_TRY(wa__plan_gpu_finish(b));
    WA_TRY(entry(b));
    return key_of(b);
}

static wa_status pack(wa_plan_builder *b, wa_plan **out)
{
    wa_plan *p = wa__alloc(1, sizeof *p);
    if (!p) return wa__no_memory(b->err, "a plan");
    wa__arena_init(&p->arena, WA_LIMIT_PLAN_BYTES + (1u << 20));
    p->info = b->info;
    for (uint32_t k = WA_SEC_SOURCES; k < WA_SEC_END; k++) {
        uint32_t element = wa__plan_sections[k].element_bytes;
        void *copy = wa__arena_alloc(&p->arena, b->sec[k].count, element);
        if (!copy) {
            wa__plan_free(p);
            return wa__no_memory(b->err, "a plan");
        }
        if (b->sec[k].count) memcpy(copy, b->sec[k].ptr, b->sec[k].count * element);
        wa__plan_section_set(p, k, copy, b->sec[k].count);
    }
    wa_status s = wa__plan_verify(p, b->err);
    if (s != WA_OK) {
        wa__plan_free(p);
        return wa__fail_in(b->err, WA_INTERNAL, "the planner made a plan that does not verify");
    }
    *out = p;
    return WA_OK;
}

static void builder_done(wa_plan_builder *b)
{
    for (uint32_t k = 0; k < WA_SEC_END; k++) wa__free(b->sec[k].ptr);
    for (uint32_t m = 0; m < WA_MEM_COUNT; m++) wa__free(b->blocks[m].ptr);
    wa__free(b->conflicts.ptr);
    wa__free(b->fixes.ptr);
    wa__free(b->packed.ptr);
    wa__free(b->norms.ptr);
    wa__free(b->norm_before);
    wa__free(b->taken);
    wa__free(b->blocks_of_codes.ptr);
    wa__free(b->narrowed.ptr);
    wa__free(b->params.ptr);
    wa__free(b->root);
    wa__free(b->form);
    wa__free(b->absorbed);
    wa__free(b->group);
    wa__free(b->node_target);
    wa__free(b->node_reason);
    wa__free(b->places);
    wa__plan_nn_done(b);
}

static wa_status plan_of(const wa_graph *g, const uint32_t *part, const wa_plan_options *o, wa_plan **out, wa_error *err)
{
    wa_plan_builder b = {.g = g, .part = part, .o = o, .err = err, .t = o->target, .host_weights = WA_NONE, .gpu_weights = WA_NONE};
    if (!b.t.limit_buffer) b.t.limit_buffer = WA_PLAN_BUFFER_LIMIT;
    if (!b.t.limit_binding) b.t.limit_binding = b.t.target == WA_TARGET_CPU ? (uint64_t)1 << 46 : WA_PLAN_BINDING_LIMIT;
    if (!b.t.workgroup_bytes) b.t.workgroup_bytes = WA_PLAN_WORKGROUP_BYTES;
    if (!b.t.invocations) b.t.invocations = 256;
    b.info.params_buffer = WA_NONE;
    b.root = wa__alloc(g->value_count + 1u, sizeof *b.root);
    b.group = wa__alloc(g->node_count + 1u, 1);
    b.form = wa__alloc(g->value_count + 1u, 1);
    b.absorbed = wa__alloc(g->node_count + 1u, sizeof *b.absorbed);
    for (uint32_t i = 0; b.absorbed && i < g->node_count; i++) b.absorbed[i] = WA_NONE;
    b.places = wa__alloc(g->value_count + 1u, sizeof *b.places);
    b.taken = wa__alloc(g->node_count + 1u, sizeof *b.taken);
    b.node_target = wa__alloc(g->node_count + 1u, sizeof *b.node_target);
    b.node_reason = wa__alloc(g->node_count + 1u, sizeof *b.node_reason);
    wa_status s = b.root && b.form && b.absorbed && b.group && b.places && b.node_target && b.taken && b.node_reason ? WA_OK : wa__no_memory(err, "a plan");
    if (s == WA_OK && b.t.target == WA_TARGET_WEBNN) s = wa__plan_nn_init(&b);
    if (s == WA_OK) s = build(&b);
    if (s == WA_OK) s = pack(&b, out);
    builder_done(&b);
    return s;
}

/* A context on the CPU that prefers NHWC is LiteRT. Halves of tokens cost it less than the whole (Chromium 147, an EPYC
 * of 2 cores, L3: 128 tokens 9.1 ms against 15.2, 256 16.8 against 29.9), though it runs the two one after the other;
 * lines of an image cost more (ResNet-50 87 ms against 80, PP-OCR detection 89 against 82), so images stay whole. */
static bool halves_pay(const wa_plan_target *t) { return t->target == WA_TARGET_WEBNN && !t->nn->nchw && strcmp(t->nn->device, "cpu") == 0; }

/* Whether some of a plan runs elsewhere: halves would cross over twice as often. */
static bool is_mixed(const wa_plan *p)
{
    bool mixed = false;
    for (uint32_t i = 0; i < p->segment_count; i++) mixed |= p->segments[i].target != p->info.target;
    return mixed;
}

wa_status wa__plan_build(const wa_graph *g, const wa_plan_options *o, wa_plan **out, wa_error *err)
{
    const wa_plan_target *t = &o->target;
    wa_graph *halved = NULL;
    uint32_t *part = NULL;
    if (t->target != WA_TARGET_CPU && t->target != WA_TARGET_WEBGPU && t->target != WA_TARGET_WEBNN)
        return wa__fail(err, WA_UNSUPPORTED, "plans are made for cpu, webgpu and webnn, not for target %d", (int)t->target);
    if (t->target == WA_TARGET_WEBNN && !t->nn) return wa__fail(err, WA_INVALID_ARGUMENT, "a plan for webnn needs the limits of its context");
    if (halves_pay(t)) WA_TRY(wa__plan_lanes(g, &halved, &part, err));
    wa_plan *p = NULL;
    wa_status s = plan_of(halved ? halved : g, part, o, &p, err);
    if (s == WA_OK && halved && is_mixed(p)) {
        wa__plan_free(p);
        s = plan_of(g, NULL, o, &p, err);
    }
    if (s == WA_OK) *out = p;
    wa__graph_free(halved);
    wa__free(part);
    return s;
}
