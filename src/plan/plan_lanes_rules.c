/* Which operators work row by row, and which rows of their inputs the rows of their result want. Rows are the
 * first axis of a batch where it has several, else tokens (axis 1 of [batch, tokens, width], axis 2 of
 * [batch, heads, tokens, width]). */
#include "plan/plan_lanes_int.h"

enum { TOKENS_MIN = 32, HEADS_TOKENS_MIN = 16, ROWS_MIN = 4 };

static const wa_tensor_type *type_of(const wa_graph *g, const wa_node *n, uint32_t i)
{
    return i < n->input_count && n->inputs[i] != WA_NONE ? &g->values[n->inputs[i]].type : NULL;
}
static const wa_tensor_type *out_of(const wa_graph *g, const wa_node *n) { return &g->values[n->outputs[0]].type; }

static uint32_t axis_of(const wa_node *n, const uint8_t *axis, uint32_t i) { return i < n->input_count && n->inputs[i] != WA_NONE ? axis[n->inputs[i]] : LANES_WHOLE; }

/* The axis of an operand that stands for an axis of a result it is broadcast to; WHOLE where it has one row for all. */
static uint32_t aligned(const wa_tensor_type *t, const wa_tensor_type *out, uint32_t axis)
{
    uint32_t skip = out->rank - t->rank;
    return t->rank > out->rank || axis < skip || t->dims[axis - skip] == 1 ? LANES_WHOLE : axis - skip;
}

/* What is cut on both sides must be cut in the same place; what the halves read whole is put together. */
static bool agree(const wa_graph *g, const wa_node *n, const uint8_t *axis, const lanes_rule *r)
{
    for (uint32_t i = 0; i < n->input_count; i++) {
        uint32_t has = axis_of(n, axis, i), want = wa__lanes_input(g, n, r, i);
        bool other = (r->how == LANES_POSITIONS && i == 3) || (r->how == LANES_TAKE && i == 0);
        if (want == LANES_WHOLE) continue;
        if (has != LANES_WHOLE && has != want) return false;
        if (!other && type_of(g, n, i)->dims[want] != out_of(g, n)->dims[r->axis]) return false;
    }
    return true;
}

static bool elementwise(const wa_node *n) { return n->op == WA_OP_Elementwise || wa__op_info(n->op)->elementwise; }

/* Where rows begin: in what products, norms and convolutions work on. */
static uint32_t seed(const wa_tensor_type *t)
{
    if (!t || (t->rank != 3 && t->rank != 4) || t->dtype != WA_F32) return LANES_WHOLE;
    if (t->dims[0] > 1) return 0;
    return t->rank == 3 ? (t->dims[1] >= TOKENS_MIN ? 1 : LANES_WHOLE) : t->dims[2] >= HEADS_TOKENS_MIN ? 2 : LANES_WHOLE;
}

static bool product(const wa_graph *g, const wa_node *n, const uint8_t *axis, lanes_rule *r)
{
    const wa_tensor_type *a = type_of(g, n, 0), *b = type_of(g, n, 1);
    r->axis = axis_of(n, axis, 0);
    if (r->axis == LANES_WHOLE) r->axis = seed(a);
    return r->axis != LANES_WHOLE && b && b->rank == 2 && axis_of(n, axis, 1) == LANES_WHOLE && r->axis + 1 < a->rank && out_of(g, n)->rank == a->rank;
}

static bool norm(const wa_graph *g, const wa_node *n, const uint8_t *axis, lanes_rule *r)
{
    const wa_tensor_type *t = type_of(g, n, 0);
    int64_t first = n->op == WA_OP_SkipLayerNorm ? -1 : wa__node_int(n, "axis", -1);
    if (first < 0) first += t->rank;
    r->axis = axis_of(n, axis, 0);
    if (r->axis == LANES_WHOLE) r->axis = seed(t);
    for (uint32_t i = 1; i < n->output_count; i++)
        if (n->outputs[i] != WA_NONE) return false;
    return r->axis != LANES_WHOLE && (int64_t)r->axis < first;
}

static bool attention(const wa_graph *g, const wa_node *n, const uint8_t *axis, lanes_rule *r)
{
    const wa_tensor_type *q = type_of(g, n, 0), *bias = type_of(g, n, n->op == WA_OP_QkvAttention ? 1 : 3);
    r->axis = axis_of(n, axis, 0);
    if (r->axis == LANES_WHOLE) r->axis = seed(q);
    if (r->axis > 1 || (bias && bias->rank != 4)) return false;
    r->how = r->axis == 1 ? LANES_TOKENS : LANES_ROWS;
    return true;
}

static bool embedding(const wa_graph *g, const wa_node *n, const uint8_t *axis, lanes_rule *r)
{
    (void)axis;
    r->axis = seed(out_of(g, n));
    r->how = r->axis == 1 && !type_of(g, n, 7) ? LANES_POSITIONS : LANES_ROWS;
    return r->axis != LANES_WHOLE && (r->how == LANES_ROWS || g->values[n->inputs[3]].kind == WA_VALUE_CONST);
}

/* --- images --------------------------------------------------------------------------------------------- */
/* Batches alone: a single image stays whole (plan_build.c says why). */
static bool window(const wa_graph *g, const wa_node *n, const uint8_t *axis, lanes_rule *r)
{
    const wa_tensor_type *x = type_of(g, n, 0);
    bool conv = n->op == WA_OP_Conv || n->op == WA_OP_ConvAct;
    r->axis = axis_of(n, axis, 0);
    if (r->axis == LANES_WHOLE && conv && x->dims[0] > 1) r->axis = seed(x);
    return r->axis == 0 && x->rank == 4 && n->output_count == 1 && x->dtype == WA_F32;
}

static bool transposed(const wa_graph *g, const wa_node *n, const uint8_t *axis, lanes_rule *r)
{
    r->axis = axis_of(n, axis, 0);
    return r->axis == 0 && type_of(g, n, 0)->rank == 4 && !wa__attr_find(n->attrs, n->attr_count, "output_shape");
}

static bool take(const wa_graph *g, const wa_node *n, const uint8_t *axis, lanes_rule *r)
{
    const wa_value *places = &g->values[n->inputs[1]];
    const wa_tensor_type *x = type_of(g, n, 0);
    int64_t along = wa__node_int(n, "axis", 0);
    if (along < 0) along += x->rank;
    r->axis = axis_of(n, axis, 0);
    if (r->axis == LANES_WHOLE || places->type.rank != 1 || places->kind != WA_VALUE_CONST) return false;
    if ((int64_t)r->axis != along) return true;
    wa_view v = {places->type, (void *)(uintptr_t)places->data};
    for (int64_t i = 0; i < places->type.dims[0]; i++)
        if (wa__get_i64(&v, i) < 0 || wa__get_i64(&v, i) >= x->dims[along]) return false;
    r->how = LANES_TAKE;
    return places->type.dims[0] >= ROWS_MIN;
}

static bool concat(const wa_graph *g, const wa_node *n, const uint8_t *axis, lanes_rule *r)
{
    int64_t along = wa__node_int(n, "axis", 0);
    if (along < 0) along += out_of(g, n)->rank;
    for (uint32_t i = 0; i < n->input_count && r->axis == LANES_WHOLE; i++) r->axis = axis_of(n, axis, i);
    return r->axis != LANES_WHOLE && (int64_t)r->axis != along;
}

/* A sum or a mean over the rows, or over other axes than theirs. */
static bool sum(const wa_graph *g, const wa_node *n, const uint8_t *axis, lanes_rule *r)
{
    int64_t axes[WA_RANK_MAX];
    uint32_t count = 0, rank = type_of(g, n, 0)->rank, has = axis_of(n, axis, 0);
    bool over = false;
    if (has == LANES_WHOLE || type_of(g, n, 0)->dtype != WA_F32) return false;
    if (n->input_count < 2 || n->inputs[1] == WA_NONE || !wa__graph_const_ints(g, n->inputs[1], axes, WA_RANK_MAX, &count) || !count) return false;
    for (uint32_t i = 0; i < count; i++) over |= (axes[i] < 0 ? axes[i] + (int64_t)rank : axes[i]) == (int64_t)has;
    r->how = over ? LANES_SUM : LANES_ROWS;
    r->axis = over ? LANES_WHOLE : has;
    return over || out_of(g, n)->rank == rank;
}

bool wa__lanes_rule(const wa_graph *g, const wa_node *n, const uint8_t *axis, lanes_rule *r)
{
    bool fits = false;
    *r = (lanes_rule){.axis = LANES_WHOLE};
    if (n->output_count == 0 || n->subgraph_count) return false;
    switch (n->op) {
    case WA_OP_FusedMatMul: case WA_OP_MatMul: fits = product(g, n, axis, r); break;
    case WA_OP_LayerNormalization: case WA_OP_SkipLayerNorm: case WA_OP_RMSNormalization: case WA_OP_SimplifiedLayerNormalization: fits = norm(g, n, axis, r); break;
    case WA_OP_Attention: case WA_OP_QkvAttention: fits = attention(g, n, axis, r); break;
    case WA_OP_EmbedLayerNorm: fits = embedding(g, n, axis, r); break;
    case WA_OP_Conv: case WA_OP_ConvAct: case WA_OP_MaxPool: case WA_OP_AveragePool: fits = window(g, n, axis, r); break;
    case WA_OP_ConvTranspose: fits = transposed(g, n, axis, r); break;
    case WA_OP_Gather: fits = take(g, n, axis, r); break;
    case WA_OP_Concat: fits = concat(g, n, axis, r); break;
    case WA_OP_ReduceMean: case WA_OP_ReduceSum: return sum(g, n, axis, r);
    case WA_OP_MeanPool: case WA_OP_ClsPool: case WA_OP_MaxPoolTokens: case WA_OP_L2Normalize:
        r->axis = axis_of(n, axis, 0);
        fits = r->axis == 0 && type_of(g, n, 0)->rank > 1;
        break;
    default:
        if (!elementwise(n)) break;
        for (uint32_t i = 0; i < n->input_count && !fits; i++) {
            uint32_t a = axis_of(n, axis, i);
            if (a != LANES_WHOLE) r->axis = a + out_of(g, n)->rank - type_of(g, n, i)->rank, fits = true;
        }
    }
    return fits && agree(g, n, axis, r);
}

uint32_t wa__lanes_input(const wa_graph *g, const wa_node *n, const lanes_rule *r, uint32_t i)
{
    const wa_tensor_type *t = type_of(g, n, i), *out = out_of(g, n);
    if (!t) return LANES_WHOLE;
    switch (n->op) {
    case WA_OP_FusedMatMul: case WA_OP_MatMul: return i == 0 ? r->axis : i == 3 ? aligned(t, out, r->axis) : LANES_WHOLE;
    case WA_OP_SkipLayerNorm: return i < 2 ? r->axis : LANES_WHOLE;
    case WA_OP_LayerNormalization: case WA_OP_RMSNormalization: case WA_OP_SimplifiedLayerNormalization: return i == 0 ? r->axis : LANES_WHOLE;
    case WA_OP_QkvAttention:
    case WA_OP_Attention:
        if (i == (n->op == WA_OP_QkvAttention ? 1u : 3u)) { /* bias [b|1, h|1, s|1, t] */
            uint32_t a = r->axis == 0 ? 0 : 2;
            return t->dims[a] == 1 ? LANES_WHOLE : a;
        }
        return i == 0 || r->how != LANES_TOKENS ? r->axis : LANES_WHOLE;
    case WA_OP_EmbedLayerNorm:
        if (i < 2) return r->axis;
        if (i == 3 && r->how == LANES_POSITIONS) return 0;
        return i == 7 && (t->rank == 2 || r->axis == 1) && (r->axis == 1 || t->dims[0] > 1) ? r->axis - (2 - t->rank) : LANES_WHOLE;
    case WA_OP_MeanPool: case WA_OP_MaxPoolTokens: return 0;
    case WA_OP_ClsPool: case WA_OP_L2Normalize: return i == 0 ? 0 : LANES_WHOLE;
    case WA_OP_Conv: case WA_OP_ConvAct: return i == 0 || i == 3 ? r->axis : LANES_WHOLE;
    case WA_OP_Concat: return r->axis;
    case WA_OP_ConvTranspose: case WA_OP_MaxPool: case WA_OP_AveragePool: case WA_OP_Gather: case WA_OP_ReduceMean: case WA_OP_ReduceSum:
        return i == 0 ? r->axis : LANES_WHOLE;
    default: return aligned(t, out, r->axis);
    }
}
