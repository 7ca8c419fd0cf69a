/* skiplayernorm: LayerNormalization(x + skip) becomes SkipLayerNorm where nobody else reads the sum. */
#include "opt/opt_int.h"

static void match(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    if (n->op != WA_OP_LayerNormalization || n->output_count != 1 || wa__rw_in(r, node, 2) == WA_NONE) return;
    uint32_t sum = wa__rw_def1(r, n->inputs[0], WA_OP_Add), gamma = n->inputs[1], beta = n->inputs[2];
    if (sum == WA_NONE) return;
    uint32_t x = wa__rw_in(r, sum, 0), skip = wa__rw_in(r, sum, 1);
    const wa_tensor_type *t = wa__rw_t(r, n->inputs[0]);
    int64_t axis = wa__node_int(n, "axis", -1);
    if (t->rank < 1 || (axis != -1 && axis != (int64_t)t->rank - 1)) return;
    if (!wa__rw_same_type(r, x, skip) || !wa__rw_same_type(r, x, n->inputs[0]) || wa__rw_is_const(r, x) || wa__rw_is_const(r, skip)) return;
    if (wa__rw_t(r, gamma)->rank != 1 || wa__rw_t(r, beta)->rank != 1) return;
    float epsilon = wa__node_float(n, "epsilon", 1e-5f);
    if (!wa__rw_become(r, node, WA_OP_SkipLayerNorm, (uint32_t[]){x, skip, gamma, beta}, 4)) return;
    if (wa__rw_need(r, wa__node_set_float(r->g, node, "epsilon", epsilon))) wa__rw_type(r, node);
}

void wa__opt_skiplayernorm(wa_rw *r)
{
    for (uint32_t i = 0, count = r->g->node_count; i < count; i++)
        if (wa__rw_visit(r, i)) match(r, i);
}
