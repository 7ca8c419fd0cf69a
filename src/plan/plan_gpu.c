/* WebGPU lowering: finds an operator's row, and gives the rows what they need: bindings of
 * activations and packed weights, pipelines without duplicates, parameters, a time estimate. Adding
 * an operator is a row in plan_gpu_math.c or plan_gpu_move.c. */
#include "base/limits.h"
#include "plan/plan_int.h"

wa_dtype wa__plan_device_dtype(wa_dtype d)
{
    switch (d) {
    case WA_I2: case WA_I4: case WA_I8: case WA_I16: case WA_I32: case WA_I64: return WA_I32;
    case WA_U2: case WA_U4: case WA_U8: case WA_U16: case WA_U32: case WA_U64: case WA_BOOL: return WA_U32;
    default: return wa__dtype_is_float(d) ? WA_F32 : WA_DTYPE_NONE;
    }
}

static const wa_gpu_row *row_of(wa_op op)
{
    static const wa_gpu_row elementwise = {WA_OP_Elementwise, wa__gpu_elementwise_refuses, wa__gpu_elementwise, wa__gpu_elementwise_forms};
    const wa_gpu_row *const groups[] = {wa__gpu_product_rows, wa__gpu_pool_rows, wa__gpu_reduce_rows, wa__gpu_math_rows, wa__gpu_move_rows, wa__gpu_seq_rows,
                                        wa__gpu_window_rows, wa__gpu_quant_rows, wa__gpu_index_rows, wa__gpu_select_rows};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        for (const wa_gpu_row *r = groups[i]; r->op; r++)
            if (r->op == op) return r;
    return op == WA_OP_Elementwise || wa__op_info(op)->elementwise || op == WA_OP_Identity || op == WA_OP_BitCast ? &elementwise : NULL;
}

bool wa__plan_gpu_has(wa_op op) { return row_of(op) != NULL; }

/* What no kernel takes: unknown, huge or 64-bit float tensors. */
static const char *tensor_refuses(const wa_plan_builder *b, uint32_t value)
{
    if (value == WA_NONE) return NULL;
    const wa_tensor_type *t = wa__gpu_type(b, value);
    int64_t n;
    if (t->dtype == WA_F64) return "64-bit floats are not in WebGPU";
    if (wa__plan_device_dtype(t->dtype) == WA_DTYPE_NONE || t->rank > WA_RANK_MAX || !wa__type_count(t, &n)) return "a tensor's type has no WebGPU form";
    if (n == 0) return NULL;
    if ((uint64_t)n * 4 + WA_PLAN_ALIGN_GPU > b->t.limit_binding || n > INT32_MAX) return "a tensor passes the adapter's binding limit";
    return NULL;
}

/* Whether the node makes something of an input without elements, and its kernel does not know how. */
static bool hollow(const wa_plan_builder *b, const wa_node *n)
{
    for (uint32_t i = 0; i < n->input_count; i++)
        if (!(i < 32 && wa__op_info(n->op)->shape_inputs >> i & 1) && wa__plan_empty(b, n->inputs[i])) return !wa__gpu_takes_empty(n->op);
    return false;
}

const char *wa__plan_gpu_refuses(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_gpu_row *r = row_of(n->op);
    const char *why = NULL;
    if (!r) return "no WebGPU kernel for this operator";
    for (uint32_t i = 0; i < n->input_count && !why; i++) why = tensor_refuses(b, n->inputs[i]);
    for (uint32_t i = 0; i < n->output_count && !why; i++) why = tensor_refuses(b, n->outputs[i]);
    if (why) return why;
    uint32_t bits;
    if (hollow(b, n)) return wa__gpu_empty_value(b, n, &bits) ? NULL : "an input is empty";
    return r->refuses ? r->refuses(b, n) : NULL;
}

wa_status wa__plan_gpu_node(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    uint32_t bits;
    if (b->taken[node]) return WA_OK;
    if (hollow(b, n) && wa__gpu_empty_value(b, n, &bits)) return wa__gpu_fill(b, node, n->outputs[0], bits);
    if (b->absorbed[node] != WA_NONE && b->absorbed[node] > node) return WA_OK; /* runs with the norm of its result */
    return row_of(n->op)->lower(b, node);
}

uint32_t wa__gpu_dense(wa_plan_builder *b, const wa_node *n, bool output, uint32_t index)
{
    (void)b, (void)n, (void)output, (void)index;
    return WA_FORMS_DENSE;
}

uint32_t wa__plan_gpu_node_forms(wa_plan_builder *b, uint32_t node, bool output, uint32_t index)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_gpu_row *r = row_of(n->op);
    return r && r->forms && !hollow(b, n) ? r->forms(b, n, output, index) : 1u << WA_FORM_F32;
}

bool wa__plan_gpu_node_tiles(wa_plan_builder *b, uint32_t node)
{
    const wa_gpu_row *r = row_of(b->g->nodes[node].op);
    return !r || !r->tiles || r->tiles(b, &b->g->nodes[node]);
}

/* --- weights --------------------------------------------------------------------------------------- */
typedef struct packed { /* a constant already on the GPU in this form */
    uint32_t root, rows, ld, buffer; /* rows of the constant taken as another matrix than it is, 0 */
    bool transposed, half; /* half: elements are f16 */
    uint64_t offset, bytes;
} packed;

wa_status wa__gpu_take_weight(wa_plan_builder *b, uint64_t bytes, uint32_t *buffer, uint64_t *offset)
{
    uint64_t room = wa__align_up(bytes, WA_PLAN_ALIGN_GPU);
    wa_plan_buffer *w = b->gpu_weights == WA_NONE ? NULL : (wa_plan_buffer *)b->sec[WA_SEC_BUFFERS].ptr + b->gpu_weights;
    if (room > b->t.limit_buffer) return wa__fail(b->err, WA_LIMIT, "a weight of %llu bytes passes the adapter's buffer limit", (unsigned long long)bytes);
    if (!w || w->size + room > b->t.limit_buffer) {
        WA_TRY(wa__plan_buffer_add(b, WA_BUFFER_KIND_WEIGHTS, WA_TARGET_WEBGPU, 0, "weights", &b->gpu_weights));
        w = (wa_plan_buffer *)b->sec[WA_SEC_BUFFERS].ptr + b->gpu_weights;
    }
    *buffer = b->gpu_weights;
    *offset = w->size;
    w->size += room;
    return WA_OK;
}

static wa_transform plain_transform(wa_dtype d)
{
    switch (d) {
    case WA_F16: return WA_TRANSFORM_F16_TO_F32;
    case WA_BF16: return WA_TRANSFORM_BF16_TO_F32;
    case WA_F64: return WA_TRANSFORM_F64_TO_F32;
    case WA_I64: case WA_U64: return WA_TRANSFORM_I64_TO_I32;
    case WA_BOOL: return WA_TRANSFORM_BOOL_TO_U32;
    case WA_F32: case WA_I32: case WA_U32: return WA_TRANSFORM_NONE;
    default: return WA_TRANSFORM_WIDEN;
    }
}

static wa_transform matrix_transform(bool half, bool turned)
{
    if (half) return turned ? WA_TRANSFORM_TRANSPOSE2D_F16 : WA_TRANSFORM_COPY2D_F16;
    return turned ? WA_TRANSFORM_TRANSPOSE2D : WA_TRANSFORM_COPY2D;
}

/* One piece of a constant expression to its place in the packed matrix. */
static wa_status upload(wa_plan_builder *b, const packed *k, const wa_plan_piece *piece, bool natural)
{
    const wa_value *v = &b->g->values[piece->value];
    wa_plan_weight *w;
    WA_TRY(wa__plan_weight_add(b, v, k->buffer, &w));
    bool turned = piece->transposed != k->transposed;
    uint64_t row = k->transposed ? piece->col : piece->row, col = k->transposed ? piece->row : piece->col, unit = k->half ? 2 : 4;
    bool whole = natural || (!turned && piece->cols == k->ld && piece->rows * piece->cols * unit == k->bytes);
    uint64_t skip = row * k->ld * unit;
    w->dst_offset = k->offset + skip;
    w->dst_length = k->bytes - skip;
    w->transform = k->half ? (v->type.dtype == WA_F16 ? WA_TRANSFORM_NONE : WA_TRANSFORM_TO_F16) : plain_transform(v->type.dtype);
    if (whole) return WA_OK;
    w->transform = matrix_transform(k->half, turned);
    w->p[0] = (uint32_t)piece->rows;
    w->p[1] = (uint32_t)piece->cols;
    w->p[2] = v->type.dtype;
    w->p[3] = k->ld;
    w->p[4] = (uint32_t)col;
    return WA_OK;
}

#define RAW UINT32_MAX /* as leading dimension: the constant's bytes as they are */

static wa_status raw_weight(wa_plan_builder *b, uint32_t root, packed *k)
{
    const wa_value *v = &b->g->values[root];
    wa_plan_weight *w;
    if (v->kind != WA_VALUE_CONST) return wa__fail(b->err, WA_INTERNAL, "value %u is not a constant", root);
    k->bytes = wa__align_up(wa__bytes(&v->type), 4);
    WA_TRY(wa__gpu_take_weight(b, k->bytes, &k->buffer, &k->offset));
    WA_TRY(wa__plan_weight_add(b, v, k->buffer, &w));
    w->dst_offset = k->offset;
    w->dst_length = k->bytes;
    return WA_OK;
}

#define TILED (UINT32_MAX - 1) /* 16x16 tiles of f16 */

bool wa__gpu_tiles(const wa_plan_builder *b, uint32_t value, bool transposed, uint64_t *n, uint64_t *k)
{
    wa_plan_pieces e;
    if (!wa__plan_pieces(b->g, b->root[value], &e) || wa__plan_device_dtype(e.dtype) != WA_F32) return false;
    *n = transposed ? e.rows : e.cols;
    *k = transposed ? e.cols : e.rows;
    if (*n % 16 || *k % 16 || *n * *k * 2 + WA_PLAN_ALIGN_GPU > b->t.limit_binding) return false;
    for (uint32_t i = 0; i < e.count; i++) {
        const wa_plan_piece *p = &e.piece[i];
        uint64_t rows = p->transposed ? p->cols : p->rows, cols = p->transposed ? p->rows : p->cols;
        if ((transposed ? p->row : p->col) % 16 || (transposed ? rows : cols) % 16 || (transposed ? cols : rows) != *k) return false;
    }
    return true;
}

static wa_status tiled_weight(wa_plan_builder *b, uint32_t root, packed *t)
{
    wa_plan_pieces e;
    if (!wa__plan_pieces(b->g, root, &e)) return wa__fail(b->err, WA_INTERNAL, "value %u is not a constant", root);
    uint64_t k = t->transposed ? e.cols : e.rows;
    t->bytes = e.rows * e.cols * 2;
    WA_TRY(wa__gpu_take_weight(b, t->bytes, &t->buffer, &t->offset));
    for (uint32_t i = 0; i < e.count; i++) {
        const wa_plan_piece *p = &e.piece[i];
        const wa_value *v = &b->g->values[p->value];
        uint64_t skip = (t->transposed ? p->row : p->col) / 16 * (k / 16) * 512;
        wa_plan_weight *w;
        WA_TRY(wa__plan_weight_add(b, v, t->buffer, &w));
        w->dst_offset = t->offset + skip;
        w->dst_length = t->bytes - skip;
        w->transform = p->transposed == t->transposed ? WA_TRANSFORM_TILES_TURNED_F16 : WA_TRANSFORM_TILES_F16;
        w->p[0] = (uint32_t)p->rows;
        w->p[1] = (uint32_t)p->cols;
        w->p[2] = v->type.dtype;
        w->p[3] = (uint32_t)(k / 16);
    }
    return WA_OK;
}

/* ld 0: dense, as the expression lies. rows: 0, or a whole constant is taken as a matrix of so many. */
static wa_status weight(wa_plan_builder *b, uint32_t root, bool transposed, uint32_t as_rows, uint32_t ld, const packed **out)
{
    for (size_t i = 0; i < b->packed.count; i++) {
        const packed *k = (packed *)b->packed.ptr + i;
        if (k->root == root && k->transposed == transposed && k->ld == ld && k->rows == as_rows) {
            *out = k;
            return WA_OK;
        }
    }
    wa_plan_pieces e;
    if (ld == RAW || ld == TILED) {
        packed raw = {.root = root, .ld = ld, .transposed = transposed};
        WA_TRY(ld == RAW ? raw_weight(b, root, &raw) : tiled_weight(b, root, &raw));
        packed *kept = wa__plan_vec_push(&b->packed, sizeof *kept);
        if (!kept) return wa__no_memory(b->err, "the plan");
        *kept = raw;
        *out = kept;
        return WA_OK;
    }
    if (!wa__plan_pieces(b->g, root, &e)) return wa__fail(b->err, WA_INTERNAL, "value %u is not a constant", root);
    if (as_rows && (e.count != 1 || e.piece[0].transposed || (e.rows * e.cols) % as_rows)) return wa__fail(b->err, WA_INTERNAL, "value %u is no matrix of %u rows", root, as_rows);
    if (as_rows) {
        e.cols = e.piece[0].cols = e.rows * e.cols / as_rows;
        e.rows = e.piece[0].rows = as_rows;
    }
    uint64_t rows = transposed ? e.cols : e.rows, cols = transposed ? e.rows : e.cols;
    packed k = {.root = root, .transposed = transposed, .rows = as_rows, .ld = ld ? ld : (uint32_t)cols};
    k.half = b->form[root] == WA_FORM_F16;
    k.bytes = wa__align_up(rows * k.ld * (k.half ? 2 : 4), 4);
    WA_TRY(wa__gpu_take_weight(b, k.bytes, &k.buffer, &k.offset));
    for (uint32_t i = 0; i < e.count; i++) WA_TRY(upload(b, &k, &e.piece[i], e.count == 1 && !transposed && !e.piece[0].transposed && k.ld == cols));
    k.ld = ld;
    packed *kept = wa__plan_vec_push(&b->packed, sizeof *kept);
    if (!kept) return wa__no_memory(b->err, "the plan");
    *kept = k;
    *out = kept;
    return WA_OK;
}

/* --- dispatches ------------------------------------------------------------------------------------ */
wa_gpu_dispatch wa__gpu_begin(wa_plan_builder *b, uint32_t kernel)
{
    wa_gpu_dispatch d = {.bind_first = (uint32_t)b->sec[WA_SEC_BINDS].count, .grid = {1, 1, 1}};
    d.spec.kernel = kernel;
    return d;
}

static wa_status bind_block(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t block, uint64_t bytes, bool half, bool write)
{
    wa_plan_bind *n = wa__plan_push(b, WA_SEC_BINDS);
    if (!n) return wa__no_memory(b->err, "the plan");
    n->size = bytes ? bytes : 4; /* a binding has room for one word at least */
    n->write = write;
    if (half) d->spec.half |= 1u << (d->read_count + d->write_count + d->weight_count);
    d->bytes += bytes;
    wa__plan_block_use(b, WA_MEM_GPU, block, b->step);
    if (write) d->write[d->write_count++] = block;
    else d->read[d->read_count++] = block;
    return wa__plan_fix_add(b, WA_SEC_BINDS, (uint32_t)b->sec[WA_SEC_BINDS].count - 1, WA_MEM_GPU, block, 0, 0);
}

wa_status wa__gpu_bind_weight(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t buffer, uint64_t offset, uint64_t bytes)
{
    if (bytes > b->t.limit_binding) return wa__fail(b->err, WA_LIMIT, "a weight of %llu bytes passes the adapter's binding limit of %llu",
                                                     (unsigned long long)bytes, (unsigned long long)b->t.limit_binding);
    wa_plan_bind *n = wa__plan_push(b, WA_SEC_BINDS);
    if (!n) return wa__no_memory(b->err, "the plan");
    n->buffer = buffer;
    n->offset = offset;
    n->size = bytes;
    d->weight_count++;
    d->bytes += bytes;
    return WA_OK;
}

static wa_status bind_weight(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t root, bool transposed, uint32_t rows, uint32_t ld)
{
    const packed *k;
    WA_TRY(weight(b, root, transposed, rows, ld, &k));
    if (k->half) d->spec.half |= 1u << (d->read_count + d->write_count + d->weight_count);
    return wa__gpu_bind_weight(b, d, k->buffer, k->offset, k->bytes);
}

wa_status wa__gpu_read(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t value)
{
    if (wa__plan_empty(b, value)) WA_TRY(wa__plan_empty_block(b, WA_MEM_GPU, value));
    uint32_t root = b->root[value], block = b->places[root].block[WA_MEM_GPU];
    if (block == WA_NONE) return bind_weight(b, d, root, false, 0, 0);
    return bind_block(b, d, block, wa__plan_gpu_bytes(b, value), wa__gpu_form(b, value) != WA_FORM_F32, false);
}

wa_status wa__gpu_bind_block(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t block, uint64_t bytes, bool write) { return bind_block(b, d, block, bytes, false, write); }

bool wa__gpu_is_raw(const wa_plan_builder *b, uint32_t value)
{
    return b->places[b->root[value]].block[WA_MEM_GPU] == WA_NONE && b->g->values[b->root[value]].kind == WA_VALUE_CONST;
}

wa_status wa__gpu_read_raw(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t value) { return bind_weight(b, d, b->root[value], false, 0, RAW); }

wa_status wa__gpu_read_tiles(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t value, bool transposed) { return bind_weight(b, d, b->root[value], transposed, 0, TILED); }

wa_status wa__gpu_read_matrix(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t value, bool transposed, uint32_t ld)
{
    return bind_weight(b, d, b->root[value], transposed, 0, ld);
}

bool wa__gpu_packs(const wa_plan_builder *b, uint32_t value, uint32_t rows)
{
    wa_plan_pieces e;
    return wa__plan_pieces(b->g, b->root[value], &e) && e.count == 1 && !e.piece[0].transposed && wa__plan_device_dtype(e.dtype) == WA_F32 && rows &&
           e.rows * e.cols % rows == 0;
}

wa_status wa__gpu_read_packed(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t value, uint32_t rows, uint32_t ld)
{
    return bind_weight(b, d, b->root[value], true, rows, ld);
}

wa_status wa__gpu_write(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t value)
{
    uint32_t *block = &b->places[b->root[value]].block[WA_MEM_GPU];
    uint64_t bytes = wa__plan_gpu_bytes(b, value);
    if (*block == WA_NONE) WA_TRY(wa__plan_block_add(b, WA_MEM_GPU, bytes, block));
    return bind_block(b, d, *block, bytes, wa__gpu_form(b, value) != WA_FORM_F32, true);
}

void wa__gpu_looked_up(const wa_plan_builder *b, wa_gpu_dispatch *d, const wa_node *n)
{
    uint64_t table = wa__plan_gpu_bytes(b, n->inputs[0]), taken = wa__plan_gpu_bytes(b, n->outputs[0]);
    if (table > taken && d->bytes >= table - taken) d->bytes -= table - taken;
}

void wa__gpu_cover(wa_gpu_dispatch *d, uint64_t items, uint32_t size)
{
    uint64_t groups = (items + size - 1) / size;
    d->grid[0] = (uint32_t)(groups <= WA_PLAN_GRID_MAX ? groups : WA_PLAN_GRID_MAX);
    d->grid[1] = (uint32_t)((groups + d->grid[0] - 1) / d->grid[0]);
    d->grid[2] = 1;
}

static wa_status pipeline(wa_plan_builder *b, wa_wgsl_spec *s, const uint32_t *code, uint32_t *out)
{
    const uint32_t *table = b->sec[WA_SEC_CODE].ptr;
    for (size_t i = 0; i < b->sec[WA_SEC_PIPELINES].count; i++) {
        const wa_wgsl_spec *p = &((wa_plan_pipeline *)b->sec[WA_SEC_PIPELINES].ptr)[i].spec;
        if (p->kernel != s->kernel || p->half != s->half || memcmp(p->spec, s->spec, sizeof s->spec) != 0 || p->code_count != s->code_count) continue;
        if (s->code_count && memcmp(table + p->code_offset, code, s->code_count * 4u) != 0) continue;
        *out = (uint32_t)i;
        return WA_OK;
    }
    wa_wgsl_info info;
    wa_wgsl_spec at_code = *s;
    wa_status st = wa__wgsl_check(&at_code, code, &info, b->err);
    if (st != WA_OK) return wa__fail_in(b->err, WA_INTERNAL, "the planner made a bad kernel");
    s->code_offset = (uint32_t)b->sec[WA_SEC_CODE].count;
    for (uint32_t i = 0; i < s->code_count; i++) {
        uint32_t *word = wa__plan_push(b, WA_SEC_CODE);
        if (!word) return wa__no_memory(b->err, "the plan");
        *word = code[i];
    }
    wa_text label;
    WA_TRY(wa__plan_text_add(b, wa__str(info.name), &label));
    wa_plan_pipeline *p = wa__plan_push(b, WA_SEC_PIPELINES);
    if (!p) return wa__no_memory(b->err, "the plan");
    p->spec = *s;
    p->label = label;
    *out = (uint32_t)b->sec[WA_SEC_PIPELINES].count - 1;
    return WA_OK;
}

static wa_status params(wa_plan_builder *b, const wa_gpu_dispatch *d, uint32_t *offset)
{
    size_t at = (size_t)wa__align_up(b->params.count, WA_PLAN_ALIGN_GPU), n = d->params_count * 4u;
    if (at + n > WA_LIMIT_PLAN_BYTES || !wa__array_reserve(&b->params.ptr, &b->params.cap, at + n, 1)) return wa__no_memory(b->err, "the plan's parameters");
    memset((char *)b->params.ptr + b->params.count, 0, at - b->params.count);
    memcpy((char *)b->params.ptr + at, d->params, n);
    b->params.count = at + n;
    *offset = (uint32_t)at;
    return WA_OK;
}

/* Nanoseconds by a straight line: a fixed cost, arithmetic, traffic. */
static uint32_t predict(const wa_plan_builder *b, const wa_gpu_dispatch *d)
{
    double ns = b->t.software ? 20000.0 + (double)d->flops / 4.0 + (double)d->bytes / 1.0 : 5000.0 + (double)d->flops / 5000.0 + (double)d->bytes / 1000.0;
    return ns < 4e9 ? (uint32_t)ns : 4000000000u;
}

wa_status wa__gpu_end(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t node, const uint32_t *code)
{
    uint32_t pipe, offset;
    wa_text label;
    for (unsigned k = 0; k < 3; k++)
        if (!d->grid[k] || d->grid[k] > WA_PLAN_GRID_MAX) return wa__fail(b->err, WA_LIMIT, "a grid of %u workgroups passes WebGPU's 65535", d->grid[k]);
    WA_TRY(pipeline(b, &d->spec, code, &pipe));
    WA_TRY(params(b, d, &offset));
    WA_TRY(wa__plan_node_text(b, node, &label));
    for (uint32_t w = 0; w < d->write_count; w++) {
        for (uint32_t r = 0; r < d->read_count; r++) {
            wa_plan_conflict *c = wa__plan_vec_push(&b->conflicts, sizeof *c);
            if (!c) return wa__no_memory(b->err, "the plan");
            *c = (wa_plan_conflict){d->write[w], d->read[r]};
            if (!(c = wa__plan_vec_push(&b->conflicts, sizeof *c))) return wa__no_memory(b->err, "the plan");
            *c = (wa_plan_conflict){d->read[r], d->write[w]};
        }
    }
    wa_plan_dispatch *o = wa__plan_push(b, WA_SEC_DISPATCHES);
    if (!o) return wa__no_memory(b->err, "the plan");
    o->pipeline = pipe;
    o->bind_first = d->bind_first;
    o->bind_count = (uint32_t)b->sec[WA_SEC_BINDS].count - d->bind_first;
    for (unsigned k = 0; k < 3; k++) o->grid[k] = d->grid[k];
    o->params_offset = offset;
    o->params_size = d->params_count * 4;
    o->indirect_buffer = WA_NONE;
    o->label = label;
    o->predicted_ns = predict(b, d);
    o->flops = d->flops || d->spec.kernel != WA_WGSL_ROWS ? d->flops : wa__plan_node_flops(b->g, &b->g->nodes[node]);
    o->bytes = d->bytes;
    b->step++;
    return WA_OK;
}

/* --- the buffers that belong to no node -------------------------------------------------------------- */
#define STAGING_MAX ((uint64_t)4 << 20) /* the page sends pieces of 4 MiB, or of a unit where that is more */

wa_status wa__plan_gpu_finish(wa_plan_builder *b)
{
    uint64_t staging = 0;
    uint32_t buffer;
    const wa_plan_weight *w = b->sec[WA_SEC_WEIGHTS].ptr;
    for (size_t i = 0; i < b->sec[WA_SEC_WEIGHTS].count; i++) {
        bool gpu = w[i].buffer != WA_NONE && ((wa_plan_buffer *)b->sec[WA_SEC_BUFFERS].ptr)[w[i].buffer].target == WA_TARGET_WEBGPU;
        uint64_t unit = wa__plan_upload_unit(&w[i]), piece = w[i].length < STAGING_MAX ? w[i].length : STAGING_MAX > unit ? STAGING_MAX : unit;
        if (gpu && w[i].transform != WA_TRANSFORM_NONE && piece > staging) staging = piece;
    }
    if (staging)
        WA_TRY(wa__plan_buffer_add(b, WA_BUFFER_KIND_STAGING, WA_TARGET_WEBGPU, wa__align_up(staging, 512), "staging", &buffer));
    if (b->sec[WA_SEC_DISPATCHES].count) {
        uint64_t n = wa__align_up(b->params.count, WA_PLAN_ALIGN_GPU);
        if (!wa__array_reserve(&b->params.ptr, &b->params.cap, (size_t)n, 1)) return wa__no_memory(b->err, "the plan's parameters");
        memset((char *)b->params.ptr + b->params.count, 0, (size_t)n - b->params.count);
        WA_TRY(wa__plan_data_add(b, b->params.ptr, n, 16, &b->info.params_data));
        b->info.params_length = n;
        WA_TRY(wa__plan_buffer_add(b, WA_BUFFER_KIND_PARAMS, WA_TARGET_WEBGPU, n, "parameters", &b->info.params_buffer));
    }
    if (b->t.features & WA_FEATURE_TIMESTAMP) {
        WA_TRY(wa__plan_buffer_add(b, WA_BUFFER_KIND_QUERY, WA_TARGET_WEBGPU, 256, "timestamps", &buffer));
        WA_TRY(wa__plan_buffer_add(b, WA_BUFFER_KIND_READBACK, WA_TARGET_WEBGPU, 256, "timestamps", &buffer));
    }
    return WA_OK;
}
