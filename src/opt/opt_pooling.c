/* pooling: appends a sentence-transformers head to a graph, and recognises the one that exports carry:
 *   sum(x * m, tokens) / max(sum(m, tokens), 1e-9)  with m the mask as floats  -> MeanPool
 *   x / max(|x|, epsilon) along the last axis                                   -> L2Normalize */
#include "opt/opt_int.h"

static uint32_t add(wa_graph *g, wa_op op, uint32_t a, uint32_t b)
{
    return wa__graph_add(g, op, (uint32_t[]){a, b}, b == WA_NONE ? 1 : 2);
}

wa_status wa__opt_append_pooling(wa_graph *g, uint32_t hidden, uint32_t mask, wa_pooling pooling, bool normalize, wa_error *err)
{
    uint32_t v = hidden;
    if (hidden >= g->value_count || (mask >= g->value_count && (pooling == WA_POOLING_MEAN || pooling == WA_POOLING_MAX)))
        return wa__fail(err, WA_INVALID_ARGUMENT, "pooling needs the model's hidden states and its attention mask, and one of them is missing");
    switch (pooling) {
    case WA_POOLING_MEAN: v = add(g, WA_OP_MeanPool, hidden, mask); break;
    case WA_POOLING_CLS: v = add(g, WA_OP_ClsPool, hidden, WA_NONE); break;
    case WA_POOLING_MAX: v = add(g, WA_OP_MaxPoolTokens, hidden, mask); break;
    case WA_POOLING_NONE: break;
    }
    if (v != WA_NONE && normalize) v = add(g, WA_OP_L2Normalize, v, WA_NONE);
    if (v == WA_NONE) return wa__no_memory(err, "the pooling's nodes");
    uint32_t named = wa__graph_find(g, WA_STR("embedding"));
    if (named != WA_NONE && g->values[named].kind != WA_VALUE_INPUT) g->values[named].name = (wa_str){NULL, 0};
    if (g->values[v].kind == WA_VALUE_NODE) g->values[v].name = WA_STR("embedding");
    g->output_count = 0;
    return wa__graph_output(g, v) ? WA_OK : wa__no_memory(err, "the pooling's output");
}

static uint32_t through_expand(const wa_rw *r, uint32_t v)
{
    uint32_t e = wa__rw_def(r, v, WA_OP_Expand);
    return e == WA_NONE ? v : wa__rw_in(r, e, 0);
}

/* v is the mask [b,s] as floats with a last axis of 1: Cast(Reshape(mask)), in either order. */
static bool is_float_mask(const wa_rw *r, uint32_t v, const wa_tensor_type *x, uint32_t *mask)
{
    const wa_tensor_type *t = wa__rw_t(r, v = through_expand(r, v));
    if (t->rank == 3 && (t->dims[0] != x->dims[0] || t->dims[1] != x->dims[1] || t->dims[2] != 1)) return false;
    if (t->rank == 2 && (t->dims[0] != x->dims[0] || t->dims[1] != x->dims[1])) return false;
    if (t->rank != 2 && t->rank != 3) return false;
    for (int i = 0; i < 4; i++) {
        uint32_t cast = wa__rw_def(r, v, WA_OP_Cast), shape = wa__rw_def(r, v, WA_OP_Reshape);
        if (cast != WA_NONE && wa__rw_t(r, v)->dtype != WA_BOOL) v = wa__rw_in(r, cast, 0); /* booleans forget counts */
        else if (shape != WA_NONE) v = wa__rw_in(r, shape, 0);
        else v = through_expand(r, v);
    }
    *mask = v;
    t = wa__rw_t(r, v);
    return (t->dtype == WA_I64 || t->dtype == WA_I32) && t->rank == 2 && t->dims[0] == x->dims[0] && t->dims[1] == x->dims[1];
}

/* v is max(sum, low) by Clip or Max; gives the sum. */
static bool is_floor(const wa_rw *r, uint32_t v, double *low, uint32_t *sum)
{
    v = through_expand(r, v);
    uint32_t clip = wa__rw_def(r, v, WA_OP_Clip), max = wa__rw_def(r, v, WA_OP_Max);
    if (clip != WA_NONE) {
        *sum = wa__rw_in(r, clip, 0);
        return wa__rw_in(r, clip, 2) == WA_NONE && wa__rw_scalar(r, wa__rw_in(r, clip, 1), low);
    }
    return max != WA_NONE && r->g->nodes[max].input_count == 2 && wa__rw_split_scalar(r, max, low, sum);
}

/* v is sum(m, tokens) for the mask, as [b], [b,1] or [b,D] of equal numbers. */
static bool is_mask_sum(const wa_rw *r, uint32_t v, const wa_tensor_type *x, uint32_t mask)
{
    uint32_t found, before;
    while ((before = wa__rw_def(r, v, WA_OP_Reshape)) != WA_NONE) v = wa__rw_in(r, before, 0);
    uint32_t sum = wa__rw_def(r, v, WA_OP_ReduceSum);
    if (sum == WA_NONE || !wa__rw_reduces(r, sum, 1, -1)) return false;
    return is_float_mask(r, wa__rw_in(r, sum, 0), x, &found) && found == mask;
}

static void match_mean(wa_rw *r, uint32_t node)
{
    uint32_t out = r->g->nodes[node].outputs[0], total = wa__rw_def1(r, wa__rw_in(r, node, 0), WA_OP_ReduceSum), counted, mask;
    double low;
    if (total == WA_NONE || !wa__rw_reduces(r, total, 1, 0) || !is_floor(r, wa__rw_in(r, node, 1), &low, &counted)) return;
    if (low < 0.99e-9 || low > 1.01e-9) return;
    uint32_t product = wa__rw_def1(r, wa__rw_in(r, total, 0), WA_OP_Mul);
    for (uint32_t i = 0; product != WA_NONE && i < 2; i++) {
        uint32_t x = wa__rw_in(r, product, i);
        const wa_tensor_type *t = wa__rw_t(r, x), *o = wa__rw_t(r, out);
        if (t->rank != 3 || o->rank != 2 || o->dims[0] != t->dims[0] || o->dims[1] != t->dims[2]) continue;
        if (!is_float_mask(r, wa__rw_in(r, product, 1 - i), t, &mask) || !is_mask_sum(r, counted, t, mask)) continue;
        if (wa__rw_become(r, node, WA_OP_MeanPool, (uint32_t[]){x, mask}, 2)) wa__rw_type(r, node);
        return;
    }
}

static bool match_normalize(wa_rw *r, uint32_t node)
{
    uint32_t x = wa__rw_in(r, node, 0), norm;
    double low;
    if (!is_floor(r, wa__rw_in(r, node, 1), &low, &norm) || low <= 0 || !wa__rw_same_type(r, x, r->g->nodes[node].outputs[0])) return false;
    uint32_t reduce = wa__rw_def(r, norm, WA_OP_ReduceL2);
    if (reduce == WA_NONE || wa__rw_in(r, reduce, 0) != x || !wa__rw_reduces(r, reduce, -1, 1)) return false;
    if (!wa__rw_become(r, node, WA_OP_L2Normalize, &x, 1)) return true;
    if (wa__rw_need(r, wa__node_set_float(r->g, node, "epsilon", (float)low))) wa__rw_type(r, node);
    return true;
}

void wa__opt_pooling(wa_rw *r)
{
    for (uint32_t i = 0, count = r->g->node_count; i < count; i++)
        if (wa__rw_visit(r, i) && r->g->nodes[i].op == WA_OP_Div && !match_normalize(r, i) && r->status == WA_OK) match_mean(r, i);
}
