/* Constant expressions: a constant under casts, a transpose, views or one concat becomes pieces of a
 * matrix, that is transforms at upload, and is never computed on the host at plan time. */
#include "base/limits.h"
#include "plan/plan_int.h"

bool wa__plan_view_op(wa_op op)
{
    return op == WA_OP_Reshape || op == WA_OP_Flatten || op == WA_OP_Squeeze || op == WA_OP_Unsqueeze || op == WA_OP_Identity ||
           op == WA_OP_Dropout;
}

static const wa_node *producer(const wa_graph *g, uint32_t value)
{
    const wa_value *v = &g->values[value];
    return v->kind == WA_VALUE_NODE && v->producer != WA_NONE ? &g->nodes[v->producer] : NULL;
}

static bool matrix_of(const wa_tensor_type *t, uint64_t *rows, uint64_t *cols)
{
    int64_t n;
    if (!wa__type_count(t, &n) || n <= 0) return false;
    *cols = t->rank ? (uint64_t)t->dims[t->rank - 1] : 1;
    *rows = (uint64_t)n / *cols;
    return *rows <= UINT32_MAX && *cols <= UINT32_MAX;
}

static bool widens(wa_dtype d) { return d == WA_F32 || d == WA_F16 || d == WA_BF16 || d == WA_F64; }

/* A constant under casts to f32, views and at most one transpose. */
static bool leaf(const wa_graph *g, uint32_t value, wa_plan_piece *p, wa_dtype *dtype)
{
    bool transposed = false;
    wa_tensor_type shape = g->values[value].type; /* of the matrix before the transpose, once met */
    *dtype = shape.dtype;
    for (unsigned depth = 0; depth < 16; depth++) {
        const wa_value *v = &g->values[value];
        if (v->kind == WA_VALUE_CONST) {
            if (v->type.dtype != *dtype && !(*dtype == WA_F32 && widens(v->type.dtype))) return false;
            if (transposed && !(*dtype == WA_F32 && widens(v->type.dtype))) return false;
            *p = (wa_plan_piece){.value = value, .transposed = transposed};
            return matrix_of(&shape, &p->rows, &p->cols);
        }
        const wa_node *n = producer(g, value);
        if (!n || n->output_count < 1 || n->outputs[0] != value || n->input_count < 1 || n->inputs[0] == WA_NONE) return false;
        const wa_tensor_type *in = &g->values[n->inputs[0]].type;
        if (n->op == WA_OP_Transpose) {
            const wa_attr *perm = wa__attr_find(n->attrs, n->attr_count, "perm");
            bool swaps = !perm || (perm->count == 2 && perm->ints[0] == 1 && perm->ints[1] == 0);
            if (transposed || !swaps || in->rank != 2) return false;
            transposed = true;
            shape = *in;
        } else if (n->op == WA_OP_Cast) {
            if (v->type.dtype != WA_F32 || !widens(in->dtype)) return false;
        } else if (!wa__plan_view_op(n->op)) {
            return false;
        }
        value = n->inputs[0];
    }
    return false;
}

static bool concat(const wa_graph *g, const wa_node *n, const wa_tensor_type *type, wa_plan_pieces *out)
{
    int64_t axis = wa__attr_int(n->attrs, n->attr_count, "axis", 0);
    if (axis < 0) axis += type->rank;
    if (n->input_count > WA_PLAN_PIECES_MAX || type->rank == 0 || (axis != 0 && axis != (int64_t)type->rank - 1)) return false;
    bool columns = axis == (int64_t)type->rank - 1;
    uint64_t at = 0;
    for (uint32_t i = 0; i < n->input_count; i++) {
        wa_plan_piece *p = &out->piece[i];
        wa_dtype d;
        if (n->inputs[i] == WA_NONE || !leaf(g, n->inputs[i], p, &d) || d != WA_F32) return false;
        uint64_t rows = p->transposed ? p->cols : p->rows, cols = p->transposed ? p->rows : p->cols;
        if (columns ? rows != out->rows : cols != out->cols) return false;
        p->row = columns ? 0 : at;
        p->col = columns ? at : 0;
        at += columns ? cols : rows;
    }
    out->count = n->input_count;
    return at == (columns ? out->cols : out->rows);
}

bool wa__plan_pieces(const wa_graph *g, uint32_t value, wa_plan_pieces *out)
{
    const wa_value *v = &g->values[value];
    memset(out, 0, sizeof *out);
    out->dtype = v->type.dtype;
    if (!matrix_of(&v->type, &out->rows, &out->cols)) return false;
    const wa_node *n = producer(g, value);
    for (unsigned depth = 0; n && wa__plan_view_op(n->op) && depth < 16; depth++) { /* a view over the concat */
        if (n->outputs[0] != value || n->inputs[0] == WA_NONE) return false;
        value = n->inputs[0];
        n = producer(g, value);
    }
    if (n && n->op == WA_OP_Concat) {
        uint64_t rows, cols;
        if (!matrix_of(&g->values[value].type, &rows, &cols) || (rows != out->rows && rows != 1)) return false;
        if (rows != out->rows || cols != out->cols) return false;
        return out->dtype == WA_F32 && concat(g, n, &g->values[value].type, out);
    }
    if (!leaf(g, value, &out->piece[0], &out->dtype)) return false;
    out->count = 1;
    out->plain = !out->piece[0].transposed && g->values[out->piece[0].value].type.dtype == out->dtype;
    return true;
}

static wa_status source_of(wa_plan_builder *b, const wa_value *v, uint32_t *source, uint64_t *offset)
{
    if (v->source >= 0) {
        *source = (uint32_t)v->source;
        *offset = v->offset;
        return WA_OK;
    }
    *source = WA_NONE;
    return wa__plan_data_add(b, v->data, wa__bytes(&v->type), 16, offset);
}

wa_status wa__plan_weight_add(wa_plan_builder *b, const wa_value *v, uint32_t buffer, wa_plan_weight **out)
{
    uint32_t source;
    uint64_t offset;
    wa_text name;
    WA_TRY(source_of(b, v, &source, &offset));
    WA_TRY(wa__plan_text_add(b, v->name, &name));
    wa_plan_weight *w = wa__plan_push(b, WA_SEC_WEIGHTS);
    if (!w) return wa__no_memory(b->err, "the plan");
    w->source = source;
    w->offset = offset;
    w->length = wa__bytes(&v->type);
    w->dtype = v->type.dtype;
    w->name = name;
    w->buffer = buffer;
    *out = w;
    return WA_OK;
}

static wa_status host_buffer(wa_plan_builder *b)
{
    if (b->host_weights != WA_NONE) return WA_OK;
    return wa__plan_buffer_add(b, WA_BUFFER_KIND_WEIGHTS, WA_TARGET_CPU, 0, "weights made at load", &b->host_weights);
}

/* Takes `bytes` at the end of the host's weight buffer. */
wa_status wa__plan_host_take(wa_plan_builder *b, uint64_t bytes, uint64_t *offset)
{
    WA_TRY(host_buffer(b));
    wa_plan_buffer *buf = (wa_plan_buffer *)b->sec[WA_SEC_BUFFERS].ptr + b->host_weights;
    *offset = buf->size;
    uint64_t end;
    if (!wa__add_u64(buf->size, wa__align_up(bytes, WA_PLAN_ALIGN_CPU), &end))
        return wa__fail(b->err, WA_LIMIT, "weights pass 64 bits");
    buf->size = end;
    return WA_OK;
}

static wa_transform cpu_transform(const wa_plan_piece *p, wa_dtype from, bool whole)
{
    if (p->transposed) return WA_TRANSFORM_TRANSPOSE2D;
    if (!whole) return WA_TRANSFORM_COPY2D;
    return from == WA_F16 ? WA_TRANSFORM_F16_TO_F32 : from == WA_BF16 ? WA_TRANSFORM_BF16_TO_F32
         : from == WA_F64 ? WA_TRANSFORM_F64_TO_F32 : WA_TRANSFORM_NONE;
}

static wa_status host_piece(wa_plan_builder *b, const wa_plan_pieces *e, const wa_plan_piece *piece, uint64_t base, uint64_t bytes)
{
    const wa_value *v = &b->g->values[piece->value];
    wa_plan_weight *w;
    uint64_t before = piece->row * e->cols * 4;
    WA_TRY(wa__plan_weight_add(b, v, b->host_weights, &w));
    w->dst_offset = base + before;
    w->dst_length = bytes - before;
    w->transform = v->type.dtype == e->dtype && e->count == 1 && !piece->transposed ? WA_TRANSFORM_NONE : cpu_transform(piece, v->type.dtype, e->count == 1);
    if (w->transform == WA_TRANSFORM_COPY2D || w->transform == WA_TRANSFORM_TRANSPOSE2D) {
        w->p[0] = (uint32_t)piece->rows;
        w->p[1] = (uint32_t)piece->cols;
        w->p[2] = v->type.dtype;
        w->p[3] = (uint32_t)e->cols;
        w->p[4] = (uint32_t)piece->col;
    }
    return WA_OK;
}

wa_status wa__plan_const_cpu(wa_plan_builder *b, uint32_t value)
{
    wa_plan_place *place = &b->places[value];
    wa_plan_pieces e;
    if (place->weight != WA_NONE || place->buffer[WA_MEM_CPU] != WA_NONE) return WA_OK;
    if (!wa__plan_pieces(b->g, value, &e)) { /* an empty constant has no pieces */
        const wa_value *v = &b->g->values[value];
        if (v->kind != WA_VALUE_CONST) return wa__fail(b->err, WA_INTERNAL, "value %u is not a constant", value);
        memset(&e, 0, sizeof e);
        e.piece[0].value = value;
        e.plain = true;
    }
    const wa_value *v = &b->g->values[e.piece[0].value];
    unsigned unit = wa__dtype_size(v->type.dtype);
    if (e.plain && (v->source < 0 || unit <= 1 || v->offset % unit == 0)) {
        wa_plan_weight *w;
        WA_TRY(wa__plan_weight_add(b, v, WA_NONE, &w));
        place->weight = (uint32_t)b->sec[WA_SEC_WEIGHTS].count - 1;
        return WA_OK;
    }
    uint64_t bytes = wa__align_up(e.rows * e.cols * wa__dtype_size(e.dtype), 4);
    WA_TRY(wa__plan_host_take(b, bytes, &place->offset[WA_MEM_CPU]));
    place->buffer[WA_MEM_CPU] = b->host_weights;
    for (uint32_t i = 0; i < e.count; i++) WA_TRY(host_piece(b, &e, &e.piece[i], place->offset[WA_MEM_CPU], bytes));
    return WA_OK;
}

/* Records of a packed constant follow each other, p[0] in each says how many from it on. One as its operand
 * has it (p[1] 0) is packed by the call's kernel. Else the constant is a matrix of f32 made of pieces side by
 * side, each packed into its own panels: p[1], p[2] and p[3] are rows and columns of the source and whether it
 * is transposed, p[4] is the bits of a packed element. */
wa_status wa__plan_host_panels(wa_plan_builder *b, const wa_plan_pieces *e, uint32_t bits, uint64_t bytes, uint32_t *out)
{
    uint64_t offset;
    WA_TRY(wa__plan_host_take(b, bytes, &offset));
    *out = (uint32_t)b->sec[WA_SEC_WEIGHTS].count;
    for (uint32_t i = 0; i < e->count; i++) {
        const wa_plan_piece *piece = &e->piece[i];
        wa_plan_weight *w;
        WA_TRY(wa__plan_weight_add(b, &b->g->values[piece->value], b->host_weights, &w));
        uint64_t before = e->count > 1 ? wa__kernel_panels_bytes(e->rows, piece->col, bits) : 0, end = bytes;
        if (i + 1 < e->count) end = wa__kernel_panels_bytes(e->rows, e->piece[i + 1].col, bits);
        w->transform = WA_TRANSFORM_PACK_PANELS;
        w->dst_offset = offset + before;
        w->dst_length = end - before;
        w->p[0] = e->count - i;
        w->p[4] = bits;
        if (e->plain) continue;
        w->p[1] = (uint32_t)piece->rows;
        w->p[2] = (uint32_t)piece->cols;
        w->p[3] = piece->transposed;
    }
    return WA_OK;
}

/* A product's weight as f16: in place where the file has it so, else made at load. */
wa_status wa__plan_const_half(wa_plan_builder *b, const wa_plan_pieces *e, wa_plan_operand *o)
{
    const wa_value *first = &b->g->values[e->piece[0].value];
    uint64_t bytes = wa__align_up(e->rows * e->cols * 2, 4), base;
    wa_plan_weight *w;
    o->dtype = WA_F16;
    if (e->count == 1 && !e->piece[0].transposed && first->type.dtype == WA_F16 && (first->source < 0 || first->offset % 2 == 0)) {
        WA_TRY(wa__plan_weight_add(b, first, WA_NONE, &w));
        o->kind = WA_OPERAND_WEIGHT;
        o->index = (uint32_t)b->sec[WA_SEC_WEIGHTS].count - 1;
        return WA_OK;
    }
    WA_TRY(wa__plan_host_take(b, bytes, &base));
    for (uint32_t i = 0; i < e->count; i++) {
        const wa_plan_piece *p = &e->piece[i];
        const wa_value *v = &b->g->values[p->value];
        uint64_t before = p->row * e->cols * 2;
        WA_TRY(wa__plan_weight_add(b, v, b->host_weights, &w));
        w->dst_offset = base + before;
        w->dst_length = bytes - before;
        w->transform = p->transposed ? WA_TRANSFORM_TRANSPOSE2D_F16 : e->count > 1 ? WA_TRANSFORM_COPY2D_F16 : WA_TRANSFORM_TO_F16;
        if (w->transform == WA_TRANSFORM_TO_F16) continue;
        w->p[0] = (uint32_t)p->rows;
        w->p[1] = (uint32_t)p->cols;
        w->p[2] = v->type.dtype;
        w->p[3] = (uint32_t)e->cols;
        w->p[4] = (uint32_t)p->col;
    }
    o->index = b->host_weights;
    o->offset = base;
    return WA_OK;
}
