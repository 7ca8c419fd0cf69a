/* Counts the floating-point operations of a node: what `on_target` and the predictions weigh. In: a
 * typed node. Out: a number. Called by plan_build.c. */
#include "plan/plan_int.h"

static uint64_t count_of(const wa_graph *g, uint32_t value) { return value == WA_NONE ? 0 : (uint64_t)wa__count(&g->values[value].type); }

static uint64_t product(const wa_graph *g, const wa_node *n)
{
    const wa_tensor_type *a = &g->values[n->inputs[0]].type;
    bool turned = n->op == WA_OP_Gemm && wa__node_int(n, "transA", 0);
    return a->rank == 0 ? 0 : 2u * count_of(g, n->outputs[0]) * (uint64_t)(turned ? a->dims[0] : a->dims[a->rank - 1]);
}

static uint64_t attention(const wa_graph *g, const wa_node *n)
{
    const wa_tensor_type *q = &g->values[n->inputs[0]].type, *o = &g->values[n->outputs[0]].type;
    const wa_tensor_type *k = n->op == WA_OP_Attention ? &g->values[n->inputs[1]].type : q;
    return q->rank != 3 || o->rank != 3 ? 0 : 4u * (uint64_t)o->dims[0] * (uint64_t)o->dims[1] * (uint64_t)k->dims[1] * (uint64_t)o->dims[2];
}

/* Every output element (transposed: every input element) meets one filter: the weight's elements but its
 * first axis. */
static uint64_t convolution(const wa_graph *g, const wa_node *n, bool transposed)
{
    const wa_tensor_type *w = &g->values[n->inputs[1]].type;
    return w->rank == 0 || w->dims[0] == 0 ? 0 : 2u * count_of(g, transposed ? n->inputs[0] : n->outputs[0]) * (count_of(g, n->inputs[1]) / (uint64_t)w->dims[0]);
}

uint64_t wa__plan_node_flops(const wa_graph *g, const wa_node *n)
{
    switch (n->op) {
    case WA_OP_MatMul: case WA_OP_Gemm: case WA_OP_FusedMatMul: case WA_OP_MatMulInteger: return product(g, n);
    case WA_OP_Attention: case WA_OP_QkvAttention: return attention(g, n);
    case WA_OP_Conv: case WA_OP_ConvAct: case WA_OP_ConvInteger: case WA_OP_DeformConv: return convolution(g, n, false);
    case WA_OP_ConvTranspose: return convolution(g, n, true);
    case WA_OP_RNN: case WA_OP_GRU: case WA_OP_LSTM: { /* every step and row: input and recurrent weights */
        const wa_tensor_type *x = &g->values[n->inputs[0]].type;
        return x->rank != 3 ? 0 : 2u * (uint64_t)(x->dims[0] * x->dims[1]) * (count_of(g, n->inputs[1]) + count_of(g, n->inputs[2]));
    }
    case WA_OP_LayerNormalization: case WA_OP_SkipLayerNorm: case WA_OP_EmbedLayerNorm: case WA_OP_RMSNormalization: case WA_OP_InstanceNormalization:
    case WA_OP_GroupNormalization: case WA_OP_BatchNormalization: case WA_OP_LRN: case WA_OP_Softmax: case WA_OP_LogSoftmax: case WA_OP_L2Normalize:
        return 8u * count_of(g, n->outputs[0]);
    default: return 0;
    }
}
