/* WebNN lowering: finds an operator's row, runs it as a try or for good, and keeps what a segment has:
 * the operand of each value, tensors at its edges, constants. What rows are made of is plan_nn_emit.c;
 * adding an operator is a row in plan_nn_*.c. Called by plan_build.c. */
#include "base/limits.h"
#include "plan/plan_nn_int.h"
#include <stdarg.h>
#include <stdio.h>

enum { GRAPH_OUTPUT = WA_NONE - 1 };

/* --- types ------------------------------------------------------------------------------------------ */
static bool holds(const wa_nn_limits *l, wa_dtype d) { return l && (l->input.dtypes & l->output.dtypes & l->constant.dtypes) >> d & 1; }

wa_dtype wa__plan_nn_dtype(const wa_plan_builder *b, wa_dtype d)
{
    const wa_nn_limits *l = b->t.nn;
    switch (d) {
    case WA_F32: case WA_F16: case WA_BF16: return WA_F32;
    case WA_I16: case WA_U16: case WA_I32: case WA_I4: case WA_U4: case WA_I2: case WA_U2: return WA_I32;
    case WA_I8: return holds(l, WA_I8) ? WA_I8 : WA_I32;
    case WA_U8: case WA_BOOL: return holds(l, WA_U8) ? WA_U8 : WA_I32;
    case WA_U32: return holds(l, WA_U32) ? WA_U32 : holds(l, WA_I64) ? WA_I64 : WA_I32;
    case WA_I64: case WA_U64: return holds(l, WA_I64) ? WA_I64 : WA_I32;
    default: return WA_DTYPE_NONE;
    }
}

bool wa__plan_nn_type_ok(uint32_t dtype, uint32_t device)
{
    switch (dtype) {
    case WA_F32: case WA_F16: case WA_BF16: return device == WA_F32;
    case WA_I8: return device == WA_I8 || device == WA_I32;
    case WA_U8: case WA_BOOL: return device == WA_U8 || device == WA_I32;
    case WA_I16: case WA_U16: case WA_I32: case WA_I4: case WA_U4: case WA_I2: case WA_U2: return device == WA_I32;
    case WA_U32: return device == WA_U32 || device == WA_I64 || device == WA_I32;
    case WA_I64: case WA_U64: return device == WA_I64 || device == WA_I32;
    default: return false;
    }
}

uint64_t wa__plan_nn_bytes(const wa_plan_builder *b, const wa_tensor_type *t) { return (uint64_t)wa__count(t) * wa__dtype_size(wa__plan_nn_dtype(b, t->dtype)); }

/* --- refusing --------------------------------------------------------------------------------------- */
void wa__nn_refuse(wa_plan_builder *b, const char *format, ...)
{
    if (wa__nn_off(b)) return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(b->nn.why, sizeof b->nn.why, format, args);
    va_end(args);
    if (!b->nn.dry) b->nn.status = wa__fail(b->err, WA_INTERNAL, "a WebNN lowering changed its mind: %s", b->nn.why);
}

/* The same text once: reasons live as long as the builder. */
static const char *keep_reason(wa_plan_builder *b, const char *why)
{
    for (size_t i = 0; i < b->nn.reasons.count; i++) {
        const char *have = ((char **)b->nn.reasons.ptr)[i];
        if (strcmp(have, why) == 0) return have;
    }
    char **slot = wa__plan_vec_push(&b->nn.reasons, sizeof *slot);
    if (!slot || !(*slot = wa__strdup(why))) return "WebNN cannot run it";
    return *slot;
}

static const wa_nn_row *row_of(wa_op op)
{
    static const wa_nn_row elementwise = {WA_OP_Elementwise, wa__nn_elementwise};
    const wa_nn_row *const groups[] = {wa__nn_math_rows, wa__nn_fused_rows, wa__nn_move_rows, wa__nn_index_rows, wa__nn_conv_rows, wa__nn_resize_rows, wa__nn_more_rows};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        for (const wa_nn_row *r = groups[i]; r->op; r++)
            if (r->op == op) return r;
    return op == WA_OP_Elementwise || op == WA_OP_Identity || wa__op_info(op)->elementwise ? &elementwise : NULL;
}

bool wa__plan_nn_has(wa_op op) { return row_of(op) != NULL; }

static const char *tensor_refuses(const wa_plan_builder *b, uint32_t value)
{
    if (value == WA_NONE) return NULL;
    const wa_tensor_type *t = wa__nn_of(b, value);
    int64_t n;
    if (t->dtype == WA_F64) return "WebNN has no 64-bit floats";
    if (t->rank > WA_RANK_MAX || !wa__type_count(t, &n)) return "a tensor's shape has no WebNN form";
    if (wa__plan_nn_dtype(b, t->dtype) == WA_DTYPE_NONE) return "a tensor's element type is not in WebNN";
    if (n == 0) return "WebNN has no empty tensors";
    if (b->t.nn->tensor_bytes && wa__plan_nn_bytes(b, t) > b->t.nn->tensor_bytes) return "a tensor passes WebNN's maxTensorByteLength";
    return NULL;
}

typedef struct mark { /* lengths of the sections that a row appends to */
    size_t operands, calls, refs, attrs, data, text, weights, buffers;
} mark;
static mark take_mark(const wa_plan_builder *b)
{
    const wa_plan_vec *s = b->sec;
    return (mark){s[WA_SEC_NN_OPERANDS].count, s[WA_SEC_NN_CALLS].count, s[WA_SEC_NN_REFS].count, s[WA_SEC_ATTRS].count,
                  s[WA_SEC_DATA].count, s[WA_SEC_TEXT].count, s[WA_SEC_WEIGHTS].count, s[WA_SEC_BUFFERS].count};
}
static void roll_back(wa_plan_builder *b, const mark *m)
{
    wa_plan_vec *s = b->sec;
    s[WA_SEC_NN_OPERANDS].count = m->operands, s[WA_SEC_NN_CALLS].count = m->calls, s[WA_SEC_NN_REFS].count = m->refs;
    s[WA_SEC_ATTRS].count = m->attrs, s[WA_SEC_DATA].count = m->data, s[WA_SEC_TEXT].count = m->text;
    s[WA_SEC_WEIGHTS].count = m->weights, s[WA_SEC_BUFFERS].count = m->buffers;
}

bool wa__nn_is_here(const wa_plan_builder *b, uint32_t value) { return b->nn.epoch[value] == b->nn.now || b->nn.nhwc_epoch[value] == b->nn.now; }

static wa_status run_row(wa_plan_builder *b, uint32_t node, const wa_nn_row *r)
{
    const wa_node *n = &b->g->nodes[node];
    b->nn.node = node;
    b->nn.why[0] = 0;
    b->nn.attr_mark = (uint32_t)b->sec[WA_SEC_ATTRS].count;
    b->nn.in_nhwc = false;
    r->lower(b, n);
    b->nn.in_nhwc = false;
    for (uint32_t i = 0; i < n->output_count; i++) {
        uint32_t v = n->outputs[i];
        if (v != WA_NONE && !wa__nn_is_here(b, v) && wa__graph_uses(b->g, v)) wa__nn_refuse(b, "its output %u has no WebNN form", i);
    }
    return b->nn.status;
}

const char *wa__plan_nn_refuses(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_nn_row *r = row_of(n->op);
    const char *why = NULL;
    if (!r) return "WebNN has no form of this operator";
    for (uint32_t i = 0; i < n->input_count && !why; i++) {
        bool list = i < 32 && wa__op_info(n->op)->shape_inputs >> i & 1; /* read here, no operand of the graph */
        if (!list || b->g->values[n->inputs[i] == WA_NONE ? 0 : n->inputs[i]].kind != WA_VALUE_CONST) why = tensor_refuses(b, n->inputs[i]);
    }
    for (uint32_t i = 0; i < n->output_count && !why; i++)
        if (n->outputs[i] != WA_NONE && wa__graph_uses(b->g, n->outputs[i])) why = tensor_refuses(b, n->outputs[i]);
    if (why) return why;
    mark m = take_mark(b);
    b->nn.dry = true;
    b->nn.now++;
    wa_status s = run_row(b, node, r);
    b->nn.dry = false;
    roll_back(b, &m);
    if (s == WA_OK && !b->nn.why[0]) return NULL;
    why = s == WA_OK ? keep_reason(b, b->nn.why) : keep_reason(b, b->err ? b->err->message : "WebNN cannot run it");
    b->nn.status = WA_OK;
    b->nn.why[0] = 0;
    return why;
}

wa_status wa__plan_nn_node(wa_plan_builder *b, uint32_t node)
{
    WA_TRY(wa__plan_node_text(b, node, &b->nn.label));
    WA_TRY(run_row(b, node, row_of(b->g->nodes[node].op)));
    b->step++;
    return WA_OK;
}

/* --- constants ----------------------------------------------------------------------------------------- */
typedef struct made { /* a constant that has a buffer */
    uint32_t root, buffer;
} made;

static wa_transform transform_of(wa_dtype from, wa_dtype to)
{
    if (from == to) return WA_TRANSFORM_NONE;
    switch (from) {
    case WA_F16: return to == WA_F32 ? WA_TRANSFORM_F16_TO_F32 : WA_TRANSFORM_PACK_PANELS;
    case WA_BF16: return to == WA_F32 ? WA_TRANSFORM_BF16_TO_F32 : WA_TRANSFORM_PACK_PANELS;
    case WA_F64: return to == WA_F32 ? WA_TRANSFORM_F64_TO_F32 : WA_TRANSFORM_PACK_PANELS;
    case WA_I16: case WA_U16: return to == WA_I32 ? WA_TRANSFORM_WIDEN : WA_TRANSFORM_PACK_PANELS;
    case WA_BOOL: return to == WA_U8 ? WA_TRANSFORM_NONE : WA_TRANSFORM_PACK_PANELS;
    case WA_I64: case WA_U64: return to == WA_I64 ? WA_TRANSFORM_NONE : to == WA_I32 ? WA_TRANSFORM_I64_TO_I32 : WA_TRANSFORM_PACK_PANELS;
    default: return WA_TRANSFORM_PACK_PANELS; /* none that a page has */
    }
}

/* Why this constant cannot go to a WebNN graph; NULL when it can. */
static const char *const_refuses(const wa_plan_builder *b, const wa_plan_pieces *e)
{
    wa_dtype device = wa__plan_nn_dtype(b, e->dtype);
    for (uint32_t i = 0; i < e->count; i++) {
        wa_dtype from = b->g->values[e->piece[i].value].type.dtype;
        bool natural = e->count == 1 && !e->piece[0].transposed;
        if (natural ? transform_of(from, device) == WA_TRANSFORM_PACK_PANELS : device != WA_F32) return "a constant of this type has no transform at load";
    }
    return NULL;
}

static wa_status push_weight(wa_plan_builder *b, const wa_plan_pieces *e, const wa_plan_piece *piece, uint32_t buffer, uint64_t bytes)
{
    const wa_value *v = &b->g->values[piece->value];
    wa_plan_weight *w;
    WA_TRY(wa__plan_weight_add(b, v, buffer, &w));
    bool natural = e->count == 1 && !piece->transposed;
    uint64_t skip = natural || piece->transposed ? 0 : piece->row * e->cols * 4;
    if (natural) {
        w->transform = transform_of(v->type.dtype, wa__plan_nn_dtype(b, e->dtype));
        w->dst_length = wa__align_up(bytes, 4);
        return WA_OK;
    }
    skip = piece->row * e->cols * 4;
    w->dst_offset = skip;
    w->dst_length = wa__align_up(bytes, 4) - skip;
    w->transform = piece->transposed ? WA_TRANSFORM_TRANSPOSE2D : WA_TRANSFORM_COPY2D;
    w->p[0] = (uint32_t)piece->rows;
    w->p[1] = (uint32_t)piece->cols;
    w->p[2] = v->type.dtype;
    w->p[3] = (uint32_t)e->cols;
    w->p[4] = (uint32_t)piece->col;
    return WA_OK;
}

static wa_status const_buffer(wa_plan_builder *b, uint32_t root, const wa_plan_pieces *e, uint32_t *buffer)
{
    for (size_t i = 0; i < b->nn.consts.count; i++) {
        const made *k = (const made *)b->nn.consts.ptr + i;
        if (k->root == root) {
            *buffer = k->buffer;
            return WA_OK;
        }
    }
    uint64_t bytes = e->rows * e->cols * wa__dtype_size(wa__plan_nn_dtype(b, e->dtype));
    WA_TRY(wa__plan_buffer_add(b, WA_BUFFER_KIND_WEIGHTS, WA_TARGET_WEBNN, wa__align_up(bytes, 4), "constant", buffer));
    for (uint32_t i = 0; i < e->count; i++) WA_TRY(push_weight(b, e, &e->piece[i], *buffer, bytes));
    made *k = wa__plan_vec_push(&b->nn.consts, sizeof *k);
    if (!k) return wa__no_memory(b->err, "the plan");
    *k = (made){root, *buffer};
    return WA_OK;
}

/* --- operands of values ---------------------------------------------------------------------------------- */
static wa_nn push_operand(wa_plan_builder *b, uint32_t kind, uint32_t index, const wa_tensor_type *t, wa_dtype device)
{
    wa_plan_nn_operand *o = wa__plan_push(b, WA_SEC_NN_OPERANDS);
    if (!o) {
        b->nn.status = wa__no_memory(b->err, "the plan");
        return WA_NONE;
    }
    o->kind = kind;
    o->index = index;
    o->dtype = device;
    o->rank = t->rank;
    for (uint32_t i = 0; i < t->rank; i++) o->dims[i] = t->dims[i];
    return (uint32_t)b->sec[WA_SEC_NN_OPERANDS].count - 1;
}

static wa_nn root_operand(wa_plan_builder *b, uint32_t root)
{
    const wa_tensor_type *t = wa__nn_of(b, root);
    wa_dtype device = wa__plan_nn_dtype(b, t->dtype);
    uint32_t index = WA_NONE;
    wa_plan_pieces e;
    if (b->places[root].block[WA_MEM_NN] == WA_NONE && wa__plan_pieces(b->g, root, &e)) {
        const char *why = const_refuses(b, &e);
        if (why) wa__nn_refuse(b, "%s", why);
        if (why) return WA_NONE;
        if (!b->nn.dry) b->nn.status = const_buffer(b, root, &e, &index);
        return b->nn.status == WA_OK ? push_operand(b, WA_NN_KIND_CONST, index, t, device) : WA_NONE;
    }
    if (!b->nn.dry) {
        uint32_t block = b->places[root].block[WA_MEM_NN];
        if (block == WA_NONE) b->nn.status = wa__fail(b->err, WA_INTERNAL, "value %u is not in WebNN's memory", root);
        else index = ((wa_plan_block *)b->blocks[WA_MEM_NN].ptr)[block].buffer;
        if (block != WA_NONE) wa__plan_block_use(b, WA_MEM_NN, block, b->step);
    }
    return b->nn.status == WA_OK ? push_operand(b, WA_NN_KIND_TENSOR, index, t, device) : WA_NONE;
}

static void remember(wa_plan_builder *b, uint32_t value, wa_nn x)
{
    b->nn.operand[value] = x;
    b->nn.epoch[value] = b->nn.now;
}

wa_nn wa__nn_in(wa_plan_builder *b, uint32_t value)
{
    if (wa__nn_off(b) || value == WA_NONE) return WA_NONE;
    if (b->nn.epoch[value] == b->nn.now) return b->nn.operand[value];
    uint32_t root = b->root[value];
    wa_nn x = wa__nn_from_nhwc(b, value);
    if (x == WA_NONE) x = root == value ? root_operand(b, root) : wa__nn_like(b, wa__nn_in(b, root), wa__nn_of(b, value));
    if (!wa__nn_off(b)) remember(b, value, x);
    return x;
}

wa_nn wa__nn_input(wa_plan_builder *b, const wa_node *n, uint32_t i)
{
    if (!wa__nn_has(n, i)) return WA_NONE;
    return b->nn.in_nhwc && wa__nn_of(b, n->inputs[i])->rank == 4 ? wa__nn_in_nhwc(b, n->inputs[i]) : wa__nn_in(b, n->inputs[i]);
}

void wa__nn_output(wa_plan_builder *b, const wa_node *n, uint32_t i, wa_nn x)
{
    if (!wa__nn_wants(n, i) || wa__nn_off(b)) return;
    uint32_t value = n->outputs[i];
    wa_tensor_type t = wa__nn_ordered(b, wa__nn_of(b, value));
    x = wa__nn_like(b, wa__nn_cast(b, x, wa__plan_nn_dtype(b, t.dtype)), &t);
    if (wa__nn_off(b)) return;
    /* a graph's output must be a result, not an input or a constant */
    const wa_plan_nn_operand *o = (const wa_plan_nn_operand *)b->sec[WA_SEC_NN_OPERANDS].ptr + x;
    if (o->kind != WA_NN_KIND_VALUE) x = wa__nn_un(b, WA_NN_identity, x);
    if (wa__nn_off(b)) return;
    if (b->nn.in_nhwc && t.rank == 4) wa__nn_remember_nhwc(b, value, x);
    else remember(b, value, x);
}

/* --- segments ---------------------------------------------------------------------------------------------- */
wa_status wa__plan_nn_init(wa_plan_builder *b)
{
    const wa_graph *g = b->g;
    b->nn.operand = wa__alloc(g->value_count + 1u, sizeof *b->nn.operand);
    b->nn.epoch = wa__alloc(g->value_count + 1u, sizeof *b->nn.epoch);
    b->nn.last_use = wa__alloc(g->value_count + 1u, sizeof *b->nn.last_use);
    b->nn.nhwc = wa__alloc(g->value_count + 1u, sizeof *b->nn.nhwc);
    b->nn.nhwc_epoch = wa__alloc(g->value_count + 1u, sizeof *b->nn.nhwc_epoch);
    return b->nn.operand && b->nn.epoch && b->nn.last_use && b->nn.nhwc && b->nn.nhwc_epoch ? WA_OK : wa__no_memory(b->err, "a plan");
}

/* Once every node has its target: who reads each root last. */
static void last_uses(wa_plan_builder *b)
{
    const wa_graph *g = b->g;
    for (uint32_t i = 0; i < g->value_count; i++) b->nn.last_use[i] = WA_NONE;
    for (uint32_t i = 0; i < g->node_count; i++)
        for (uint32_t k = 0; b->node_target[i] && k < g->nodes[i].input_count; k++)
            if (g->nodes[i].inputs[k] != WA_NONE) b->nn.last_use[b->root[g->nodes[i].inputs[k]]] = i;
    for (uint32_t i = 0; i < g->output_count; i++) b->nn.last_use[b->root[g->outputs[i]]] = GRAPH_OUTPUT;
}

void wa__plan_nn_done(wa_plan_builder *b)
{
    for (size_t i = 0; i < b->nn.reasons.count; i++) wa__free(((char **)b->nn.reasons.ptr)[i]);
    wa__free(b->nn.reasons.ptr);
    wa__free(b->nn.consts.ptr);
    wa__free(b->nn.operand);
    wa__free(b->nn.epoch);
    wa__free(b->nn.nhwc);
    wa__free(b->nn.nhwc_epoch);
    wa__free(b->nn.last_use);
}

wa_status wa__plan_nn_tensor(wa_plan_builder *b, uint32_t root)
{
    const wa_tensor_type *t = wa__nn_of(b, root);
    uint32_t block, buffer;
    uint64_t bytes = wa__plan_nn_bytes(b, t);
    const wa_tensor_type one = {t->dtype, 1, {1}}; /* WebNN has no empty tensors: one that nothing reads stands for it */
    wa_dtype device = wa__plan_nn_dtype(b, t->dtype);
    if (device == WA_DTYPE_NONE)
        return wa__fail(b->err, WA_UNSUPPORTED, "\"%.*s\" is %s, which WebNN has not", WA_STR_ARG(b->g->values[root].name), wa__dtype_info((uint32_t)t->dtype)->name);
    wa_nn type = push_operand(b, WA_NN_KIND_TENSOR, 0, bytes ? t : &one, device);
    WA_TRY(b->nn.status);
    WA_TRY(wa__plan_buffer_add(b, WA_BUFFER_KIND_TENSOR, WA_TARGET_WEBNN, wa__align_up(bytes ? bytes : wa__dtype_size(device), 4), "tensor", &buffer));
    ((wa_plan_buffer *)b->sec[WA_SEC_BUFFERS].ptr)[buffer].type = type;
    ((wa_plan_nn_operand *)b->sec[WA_SEC_NN_OPERANDS].ptr)[type].index = buffer;
    WA_TRY(wa__plan_block_add(b, WA_MEM_NN, bytes, &block));
    ((wa_plan_block *)b->blocks[WA_MEM_NN].ptr)[block].buffer = buffer;
    b->places[root].block[WA_MEM_NN] = block;
    return WA_OK;
}

wa_status wa__plan_nn_begin(wa_plan_builder *b)
{
    if (b->sec[WA_SEC_NN_CALLS].count == 0) last_uses(b);
    b->nn.now++;
    b->nn.call_first = (uint32_t)b->sec[WA_SEC_NN_CALLS].count;
    return WA_OK;
}

/* The graph writes this value to a tensor. */
static wa_status bind(wa_plan_builder *b, uint32_t v)
{
    wa_nn x = wa__nn_in(b, v); /* in the graph's order */
    WA_TRY(b->nn.status);
    /* a result that another value has taken already */
    if (((wa_plan_nn_operand *)b->sec[WA_SEC_NN_OPERANDS].ptr)[x].index != WA_NONE) x = wa__nn_un(b, WA_NN_identity, x);
    WA_TRY(b->nn.status);
    WA_TRY(wa__plan_nn_tensor(b, v));
    uint32_t block = b->places[v].block[WA_MEM_NN];
    ((wa_plan_nn_operand *)b->sec[WA_SEC_NN_OPERANDS].ptr)[x].index = ((wa_plan_block *)b->blocks[WA_MEM_NN].ptr)[block].buffer;
    return WA_OK;
}

/* Calls that made what nothing reads (an order of axes, an operand that a fused form left over) go. */
static wa_status drop_unread(wa_plan_builder *b)
{
    wa_plan_vec *calls = &b->sec[WA_SEC_NN_CALLS];
    const wa_plan_nn_operand *operands = b->sec[WA_SEC_NN_OPERANDS].ptr;
    const uint32_t *refs = b->sec[WA_SEC_NN_REFS].ptr;
    wa_plan_nn_call *call = calls->ptr;
    bool *read = wa__alloc(b->sec[WA_SEC_NN_OPERANDS].count + 1u, sizeof *read);
    if (!read) return wa__no_memory(b->err, "the plan");
    for (size_t i = calls->count; i-- > b->nn.call_first;) {
        const uint32_t *ref = refs + call[i].ref_first;
        bool live = false;
        for (uint32_t k = 0; k < call[i].out_count; k++) live |= read[ref[call[i].in_count + k]] || operands[ref[call[i].in_count + k]].index != WA_NONE;
        for (uint32_t k = 0; live && k < call[i].in_count; k++)
            if (ref[k] != WA_NONE) read[ref[k]] = true;
        if (!live) call[i].op = 0;
    }
    size_t kept = b->nn.call_first;
    for (size_t i = kept; i < calls->count; i++)
        if (call[i].op) call[kept++] = call[i];
    calls->count = kept;
    wa__free(read);
    return WA_OK;
}

/* Results that later nodes or the caller read get tensors. */
wa_status wa__plan_nn_end(wa_plan_builder *b, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++) {
        if (b->node_target[i] != WA_TARGET_WEBNN) continue;
        const wa_node *n = &b->g->nodes[i];
        for (uint32_t k = 0; k < n->output_count; k++) {
            uint32_t v = n->outputs[k];
            if (v == WA_NONE || b->root[v] != v || b->nn.last_use[v] == WA_NONE || b->nn.last_use[v] < end) continue;
            if (!wa__nn_is_here(b, v) || b->places[v].block[WA_MEM_NN] != WA_NONE) continue;
            WA_TRY(bind(b, v));
        }
    }
    return drop_unread(b);
}
