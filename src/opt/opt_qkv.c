/* qkv: the three products that make queries, keys and values from one input become one product with
 * the weights side by side, and Attention becomes QkvAttention over its result. The weights are not
 * copied: Concat nodes of constants say which lie side by side (see opt.h). */
#include "opt/opt_int.h"

static bool alike(const wa_rw *r, uint32_t a, uint32_t b)
{
    const wa_node *x = &r->g->nodes[a], *y = &r->g->nodes[b];
    if (wa__node_int(x, "transB", 0) != wa__node_int(y, "transB", 0) || x->inputs[0] != y->inputs[0]) return false;
    uint32_t c = wa__rw_in(r, a, 2), d = wa__rw_in(r, b, 2);
    return wa__rw_same_type(r, x->inputs[1], y->inputs[1]) && (c == WA_NONE ? d == WA_NONE : wa__rw_same_type(r, c, d));
}

/* A product with a constant weight and nothing after the bias, which only the attention reads. */
static uint32_t plain_product(const wa_rw *r, uint32_t v)
{
    uint32_t p = wa__rw_def1(r, v, WA_OP_FusedMatMul);
    if (p == WA_NONE) return WA_NONE;
    const wa_node *n = &r->g->nodes[p];
    bool plain = wa__rw_in(r, p, 3) == WA_NONE && wa__node_int(n, "act", 0) == 0 && wa__node_float(n, "alpha", 1) == 1 &&
                 wa__node_int(n, "splits", 1) == 1 && wa__rw_is_weight(r, n->inputs[1]);
    uint32_t bias = wa__rw_in(r, p, 2);
    return plain && (bias == WA_NONE || wa__rw_is_weight(r, bias)) ? p : WA_NONE;
}

static uint32_t side_by_side(wa_rw *r, const uint32_t *parts, int64_t axis)
{
    uint32_t node = wa__rw_node(r, WA_OP_Concat, parts, 3);
    if (node == WA_NONE || !wa__rw_need(r, wa__node_set_int(r->g, node, "axis", axis)) || !wa__rw_type(r, node)) return WA_NONE;
    return r->g->nodes[node].outputs[0];
}

static void match(wa_rw *r, uint32_t node)
{
    uint32_t p[3], weights[3], biases[3];
    if (r->g->nodes[node].op != WA_OP_Attention) return;
    for (uint32_t i = 0; i < 3; i++) {
        p[i] = plain_product(r, wa__rw_in(r, node, i));
        if (p[i] == WA_NONE || !alike(r, p[0], p[i])) return;
        weights[i] = wa__rw_in(r, p[i], 1);
        biases[i] = wa__rw_in(r, p[i], 2);
    }
    const wa_node *n = &r->g->nodes[node];
    int64_t heads = wa__node_int(n, "num_heads", 0), guard = wa__node_int(n, "guard", 0), trans = wa__node_int(&r->g->nodes[p[0]], "transB", 0);
    float scale = wa__node_float(n, "scale", 1);
    uint32_t mask = wa__rw_in(r, node, 3), x = wa__rw_in(r, p[0], 0);
    uint32_t in[3] = {x, side_by_side(r, weights, trans ? 0 : 1), WA_NONE};
    if (biases[0] != WA_NONE) in[2] = side_by_side(r, biases, 0);
    if (r->status != WA_OK) return;
    uint32_t product = wa__rw_node(r, WA_OP_FusedMatMul, in, in[2] == WA_NONE ? 2 : 3);
    if (product == WA_NONE) return;
    r->g->nodes[product].name = r->g->nodes[p[0]].name;
    bool ok = (!trans || wa__node_set_int(r->g, product, "transB", 1)) && wa__node_set_int(r->g, product, "splits", 3);
    if (!wa__rw_need(r, ok) || !wa__rw_type(r, product)) return;
    if (!wa__rw_become(r, node, WA_OP_QkvAttention, (uint32_t[]){r->g->nodes[product].outputs[0], mask}, mask == WA_NONE ? 1 : 2)) return;
    ok = wa__node_set_int(r->g, node, "num_heads", heads) && wa__node_set_float(r->g, node, "scale", scale) &&
         (!guard || wa__node_set_int(r->g, node, "guard", guard));
    if (wa__rw_need(r, ok)) wa__rw_type(r, node);
}

void wa__opt_qkv(wa_rw *r)
{
    for (uint32_t i = 0, count = r->g->node_count; i < count; i++)
        if (wa__rw_visit(r, i)) match(r, i);
}
