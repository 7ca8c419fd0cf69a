/* com.microsoft's fused elementwise operators, products and embeddings, written out. See decompose.h. */
#include "opt/decompose_parts.h"

static bool refuse(wa_rw *r, uint32_t node, wa_status s, const char *why)
{
    const wa_node *n = &r->g->nodes[node];
    wa__rw_fail(r, wa__fail(r->err, s, "%s node %u (%.*s): %s", wa__op_info(n->op)->onnx, node, WA_STR_ARG(n->name), why));
    return true;
}

/* --- activations ------------------------------------------------------------------------------------------ */
/* Gelu(x + bias?), the bias along the last axis; FastGelu is the form by tanh. */
static bool gelu(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    bool by_tanh = n->op == WA_OP_FastGelu;
    uint32_t x = n->inputs[0], bias = wa__rw_in(r, node, 1);
    wa_dtype type = wa__rw_t(r, x)->dtype;
    x = wa__dp_wide(r, x);
    if (bias != WA_NONE) x = wa__dc2(r, WA_OP_Add, x, wa__dp_wide(r, bias));
    wa__dp_result(r, node, 0, wa__dp_gelu(r, x, by_tanh), type);
    return true;
}

static bool quick_gelu(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    uint32_t x = n->inputs[0];
    double alpha = (double)wa__node_float(n, "alpha", 1.702f);
    wa_dtype type = wa__rw_t(r, x)->dtype;
    x = wa__dp_wide(r, x);
    wa__dp_result(r, node, 0, wa__dc2(r, WA_OP_Mul, x, wa__dc1(r, WA_OP_Sigmoid, wa__dp_scaled(r, x, alpha))), type);
    return true;
}

/* Halves of the last axis of x + bias: left * Gelu(right). */
static bool bias_split_gelu(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    wa_tensor_type t = *wa__rw_t(r, n->inputs[0]);
    if (t.rank < 1 || t.dims[t.rank - 1] % 2) return refuse(r, node, WA_CORRUPT, "its last axis has no halves");
    int64_t axis = (int64_t)t.rank - 1, half = t.dims[axis] / 2;
    uint32_t bias = n->inputs[1], x = wa__dp_wide(r, n->inputs[0]);
    x = wa__dc2(r, WA_OP_Add, x, wa__dp_wide(r, bias));
    uint32_t right = wa__dp_gelu(r, wa__dc_slice(r, x, axis, half, 2 * half), false);
    wa__dp_result(r, node, 0, wa__dc2(r, WA_OP_Mul, wa__dc_slice(r, x, axis, 0, half), right), t.dtype);
    return true;
}

static bool bias_add(wa_rw *r, uint32_t node)
{
    uint32_t in[3];
    memcpy(in, r->g->nodes[node].inputs, sizeof in);
    wa_dtype type = wa__rw_t(r, in[0])->dtype;
    uint32_t x = wa__dc2(r, WA_OP_Add, wa__dp_wide(r, in[0]), wa__dp_wide(r, in[1]));
    wa__dp_result(r, node, 0, wa__dc2(r, WA_OP_Add, x, wa__dp_wide(r, in[2])), type);
    return true;
}

/* Softmax of data + bias over all axes from `axis` on, as one. */
static bool bias_softmax(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    wa_tensor_type t = *wa__rw_t(r, n->inputs[0]);
    int64_t axis = wa__node_int(n, "axis", 1), flat[2] = {1, 1};
    uint32_t bias = n->inputs[1];
    if (axis < 0) axis += t.rank;
    if (t.rank < 1 || axis < 0 || axis >= (int64_t)t.rank) return refuse(r, node, WA_CORRUPT, "its axis is out of range");
    for (uint32_t i = 0; i < t.rank; i++) flat[(int64_t)i >= axis] *= t.dims[i];
    uint32_t x = wa__dp_wide(r, n->inputs[0]);
    x = wa__dc2(r, WA_OP_Add, x, wa__dp_wide(r, bias));
    if (r->status == WA_OK && wa__count(wa__rw_t(r, x)) != wa__count(&t)) return refuse(r, node, WA_CORRUPT, "its bias is larger than its data");
    x = wa__dc_reshape(r, wa__dp_softmax(r, wa__dc_reshape(r, x, flat, 2)), t.dims, t.rank);
    wa__dp_result(r, node, 0, x, t.dtype);
    return true;
}

/* --- products ---------------------------------------------------------------------------------------------- */
/* The first axis becomes that of the matrix, those between are the batch (by_batch); then the last two turn. */
static uint32_t turned(wa_rw *r, uint32_t x, bool by_batch, bool transposed)
{
    if (r->status != WA_OK) return WA_NONE;
    uint32_t rank = wa__rw_t(r, x)->rank;
    int64_t perm[WA_RANK_MAX];
    if (rank < 2 || (!by_batch && !transposed)) return x;
    for (uint32_t i = 0; i < rank; i++) perm[i] = i;
    if (by_batch)
        for (uint32_t i = 0; i + 1 < rank; i++) perm[i] = i + 2 < rank ? i + 1 : 0;
    if (transposed) {
        int64_t last = perm[rank - 1];
        perm[rank - 1] = perm[rank - 2];
        perm[rank - 2] = last;
    }
    return wa__dc_transpose(r, x, perm, rank);
}

static bool fused_matmul(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    wa_dtype type = wa__rw_t(r, n.inputs[0])->dtype;
    uint32_t a = turned(r, wa__dp_wide(r, n.inputs[0]), wa__node_int(&n, "transBatchA", 0) != 0, wa__node_int(&n, "transA", 0) != 0);
    uint32_t b = turned(r, wa__dp_wide(r, n.inputs[1]), wa__node_int(&n, "transBatchB", 0) != 0, wa__node_int(&n, "transB", 0) != 0);
    wa__dp_result(r, node, 0, wa__dp_scaled(r, wa__dc2(r, WA_OP_MatMul, a, b), (double)wa__node_float(&n, "alpha", 1)), type);
    return true;
}

static bool fused_gemm(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    wa_dtype type = wa__rw_t(r, n.inputs[0])->dtype;
    uint32_t c = wa__rw_in(r, node, 2), g = wa__dc_node(r, WA_OP_Gemm, (uint32_t[]){wa__dp_wide(r, n.inputs[0]), wa__dp_wide(r, n.inputs[1]), wa__dp_wide(r, c)}, c == WA_NONE ? 2 : 3, 1);
    if (g == WA_NONE) return true;
    bool ok = wa__node_set_int(r->g, g, "transA", wa__node_int(&n, "transA", 0)) && wa__node_set_int(r->g, g, "transB", wa__node_int(&n, "transB", 0)) &&
              wa__node_set_float(r->g, g, "alpha", wa__node_float(&n, "alpha", 1)) && wa__node_set_float(r->g, g, "beta", wa__node_float(&n, "beta", 1));
    uint32_t y = wa__rw_need(r, ok) ? wa__dc_out(r, g, 0) : WA_NONE;
    float beta = wa__node_float(&n, "activation_beta", 0.5f), gamma = wa__node_float(&n, "activation_gamma", 0);
    wa_str act = wa__dp_str(&n, "activation", "");
    float alpha = wa__node_float(&n, "activation_alpha", wa__str_is(act, "LeakyRelu") ? 0.01f : wa__str_is(act, "HardSigmoid") ? 0.2f : 1);
    if (!wa__dp_activation(r, act, alpha, beta, gamma, &y)) return refuse(r, node, WA_UNSUPPORTED, "its activation is unknown");
    wa__dp_result(r, node, 0, y, type);
    return true;
}

/* (a + bi)(c + di), parts in the last axis. */
static bool complex_mul(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    wa_tensor_type s = *wa__rw_t(r, n.inputs[0]), t = *wa__rw_t(r, n.inputs[1]);
    if (s.rank < 1 || t.rank < 1 || s.dims[s.rank - 1] != 2 || t.dims[t.rank - 1] != 2) return refuse(r, node, WA_CORRUPT, "its inputs are not [.., 2]");
    int64_t x = (int64_t)s.rank - 1, y = (int64_t)t.rank - 1;
    uint32_t p = wa__dp_wide(r, n.inputs[0]), q = wa__dp_wide(r, n.inputs[1]);
    uint32_t a = wa__dc_slice(r, p, x, 0, 1), b = wa__dc_slice(r, p, x, 1, 2), c = wa__dc_slice(r, q, y, 0, 1), d = wa__dc_slice(r, q, y, 1, 2);
    uint32_t re = wa__dc2(r, WA_OP_Sub, wa__dc2(r, WA_OP_Mul, a, c), wa__dc2(r, WA_OP_Mul, b, d));
    uint32_t im = wa__dc2(r, WA_OP_Add, wa__dc2(r, WA_OP_Mul, a, d), wa__dc2(r, WA_OP_Mul, b, c));
    wa__dp_result(r, node, 0, wa__dc_concat(r, (uint32_t[]){re, im}, 2, -1), s.dtype);
    return true;
}

/* --- embeddings --------------------------------------------------------------------------------------------- */
enum { E_IDS, E_TYPES, E_WORD, E_POSITION, E_TYPE, E_GAMMA, E_BETA, E_MASK, E_POSITION_IDS, E_INPUTS };

/* Word, position and type rows added up: the output embedding_sum. */
static uint32_t embedding_sum(wa_rw *r, const uint32_t *in)
{
    int64_t tokens = wa__dp_dim(r, in[E_IDS], 1);
    uint32_t x = wa__dp_gather(r, wa__dp_wide(r, in[E_WORD]), in[E_IDS], 0), table = wa__dp_wide(r, in[E_POSITION]);
    x = wa__dc2(r, WA_OP_Add, x, in[E_POSITION_IDS] != WA_NONE ? wa__dp_gather(r, table, in[E_POSITION_IDS], 0) : wa__dc_slice(r, table, 0, 0, tokens));
    return in[E_TYPES] == WA_NONE || in[E_TYPE] == WA_NONE ? x : wa__dc2(r, WA_OP_Add, x, wa__dp_gather(r, wa__dp_wide(r, in[E_TYPE]), in[E_TYPES], 0));
}

static bool embed_layer_norm(wa_rw *r, uint32_t node)
{
    uint32_t in[E_INPUTS];
    for (uint32_t i = 0; i < E_INPUTS; i++) in[i] = wa__rw_in(r, node, i);
    if (in[E_WORD] == WA_NONE || in[E_POSITION] == WA_NONE || in[E_GAMMA] == WA_NONE || in[E_BETA] == WA_NONE) return refuse(r, node, WA_CORRUPT, "a table, gamma or beta is missing");
    wa_dtype type = wa__rw_t(r, in[E_WORD])->dtype;
    wa_tensor_type ids = *wa__rw_t(r, in[E_IDS]);
    float epsilon = wa__node_float(&r->g->nodes[node], "epsilon", 1e-12f);
    if (ids.rank != 2) return refuse(r, node, WA_CORRUPT, "its input_ids are not [batch, tokens]");
    bool typed = in[E_TYPES] != WA_NONE && in[E_TYPE] != WA_NONE;
    uint32_t at[8] = {in[E_IDS], typed ? in[E_TYPES] : WA_NONE, wa__dp_wide(r, in[E_WORD]), wa__dp_wide(r, in[E_POSITION]), typed ? wa__dp_wide(r, in[E_TYPE]) : WA_NONE, wa__dp_wide(r, in[E_GAMMA]),
                      wa__dp_wide(r, in[E_BETA]), in[E_POSITION_IDS]};
    uint32_t e = wa__dc_node(r, WA_OP_EmbedLayerNorm, at, at[7] == WA_NONE ? 7 : 8, 1);
    if (e == WA_NONE || !wa__rw_need(r, wa__node_set_float(r->g, e, "epsilon", epsilon))) return true;
    uint32_t y = wa__dc_out(r, e, 0);
    if (wa__dp_wants(r, node, 2)) wa__dp_result(r, node, 2, embedding_sum(r, in), type);
    if (wa__dp_wants(r, node, 1)) { /* tokens of each row */
        uint32_t n = in[E_MASK] == WA_NONE ? wa__dp_zeros(r, WA_I32, ids.dims, 1) : wa__dc_reduce(r, WA_OP_ReduceSum, wa__dc_cast(r, in[E_MASK], WA_F32), (int64_t[]){1}, 1, false);
        wa__dp_result(r, node, 1, n, WA_I32);
    }
    wa__dp_result(r, node, 0, y, type);
    return true;
}

const wa_decompose_row wa__decompose_contrib[] = {
    {WA_OP_BiasGelu, gelu}, {WA_OP_FastGelu, gelu}, {WA_OP_MsGelu, gelu}, {WA_OP_QuickGelu, quick_gelu}, {WA_OP_BiasSplitGelu, bias_split_gelu},
    {WA_OP_BiasAdd, bias_add}, {WA_OP_BiasSoftmax, bias_softmax}, {WA_OP_MsFusedMatMul, fused_matmul}, {WA_OP_TransposeMatMul, fused_matmul},
    {WA_OP_FusedGemm, fused_gemm}, {WA_OP_ComplexMul, complex_mul}, {WA_OP_EmbedLayerNormalization, embed_layer_norm},
    {WA_OP_NONE, NULL},
};
