/* Which operators work row by row, and which rows of their inputs the rows of their result want. Rows are
 * texts of a batch (axis 0 of [batch, tokens, width]) where there are several, else tokens (axis 1). */
#include "plan/plan_lanes_int.h"

enum { TOKENS_MIN = 32 };

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
        bool table = r->positions && i == 3;
        if (want == LANES_WHOLE) continue;
        if (has != LANES_WHOLE && has != want) return false;
        if (!table && type_of(g, n, i)->dims[want] != out_of(g, n)->dims[r->axis]) return false;
    }
    return true;
}

static bool elementwise(const wa_node *n) { return n->op == WA_OP_Elementwise || wa__op_info(n->op)->elementwise; }

/* Where rows begin: [batch, tokens, width] that products or norms work on. */
static uint32_t seed(const wa_tensor_type *t)
{
    if (!t || t->rank != 3 || t->dtype != WA_F32) return LANES_WHOLE;
    return t->dims[0] > 1 ? 0 : t->dims[1] >= TOKENS_MIN ? 1 : LANES_WHOLE;
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
    r->tokens = r->axis == 1;
    return true;
}

static bool embedding(const wa_graph *g, const wa_node *n, const uint8_t *axis, lanes_rule *r)
{
    (void)axis;
    r->axis = seed(out_of(g, n));
    r->positions = r->axis == 1 && !type_of(g, n, 7);
    const wa_value *table = &g->values[n->inputs[3]];
    return r->axis != LANES_WHOLE && (!r->positions || table->kind == WA_VALUE_CONST);
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
        return i == 0 || !r->tokens ? r->axis : LANES_WHOLE;
    case WA_OP_EmbedLayerNorm:
        if (i < 2) return r->axis;
        if (i == 3 && r->positions) return 0;
        return i == 7 && (t->rank == 2 || r->axis == 1) && (r->axis == 1 || t->dims[0] > 1) ? r->axis - (2 - t->rank) : LANES_WHOLE;
    case WA_OP_MeanPool: case WA_OP_MaxPoolTokens: return 0;
    case WA_OP_ClsPool: case WA_OP_L2Normalize: return i == 0 ? 0 : LANES_WHOLE;
    default: return aligned(t, out, r->axis);
    }
}
