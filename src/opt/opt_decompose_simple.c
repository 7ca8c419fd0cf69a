/* Decompositions of activations and of operators that only choose types. See decompose.h. */
#include "opt/decompose.h"

/* y = x * sigmoid(alpha * x); ONNX Swish-24. */
static bool swish(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    uint32_t x = n->inputs[0];
    wa_dtype t = wa__rw_t(r, x)->dtype;
    float alpha = wa__node_float(n, "alpha", 1);
    uint32_t scaled = alpha == 1 ? x : wa__dc2(r, WA_OP_Mul, x, wa__dc_scalar(r, t, (double)alpha));
    wa__dc_result(r, node, 0, wa__dc2(r, WA_OP_Mul, x, wa__dc1(r, WA_OP_Sigmoid, scaled)));
    return true;
}

/* The second input gives only its type. */
static bool cast_like(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    uint32_t c = wa__dc_node(r, WA_OP_Cast, n->inputs, 1, 1);
    if (c == WA_NONE) return true;
    n = &r->g->nodes[node];
    bool ok = wa__node_set_int(r->g, c, "to", wa__rw_t(r, n->inputs[1])->dtype) && wa__node_set_int(r->g, c, "saturate", wa__node_int(n, "saturate", 1));
    if (wa__rw_need(r, ok)) wa__dc_result(r, node, 0, wa__dc_out(r, c, 0));
    return true;
}

const wa_decompose_row wa__decompose_simple[] = {
    {WA_OP_Swish, swish},
    {WA_OP_CastLike, cast_like},
    {WA_OP_NONE, NULL},
};
