/* WebNN rows: the fused transformer operators that passes make. */
#include "plan/plan_nn_int.h"

/* [b,s,h*d] -> [b,h,s,d] */
static wa_nn heads_of(wa_plan_builder *b, wa_nn x, int64_t heads)
{
    wa_tensor_type t = wa__nn_type(b, x);
    if (wa__nn_off(b)) return WA_NONE;
    int64_t dims[4] = {t.dims[0], t.dims[1], heads, t.dims[2] / heads};
    return wa__nn_swap(b, wa__nn_reshape(b, x, 4, dims), 1, 2);
}

static wa_nn guarded(wa_plan_builder *b, wa_nn scores, wa_nn weights)
{
    wa_nn top = wa__nn_reduce(b, WA_NN_reduceMax, scores, 1u << 3, true);
    wa_nn real = wa__nn_bin(b, WA_NN_greater, top, wa__nn_scalar(b, WA_F32, -3.0e38));
    return wa__nn_where(b, real, weights, wa__nn_scalar(b, WA_F32, 0));
}

static void attention(wa_plan_builder *b, const wa_node *n)
{
    bool packed = n->op == WA_OP_QkvAttention;
    int64_t heads = wa__node_int(n, "num_heads", 0);
    const wa_tensor_type *o = wa__nn_of(b, n->outputs[0]);
    wa_nn q = wa__nn_input(b, n, 0), k = WA_NONE, v = WA_NONE;
    if (wa__nn_off(b)) return;
    wa_tensor_type t = wa__nn_type(b, q);
    if (t.rank != 3 || t.dtype != WA_F32 || o->rank != 3 || heads < 1 || t.dims[2] % (packed ? 3 * heads : heads) || o->dims[2] % heads) {
        wa__nn_refuse(b, "attention of this shape has no WebNN form");
        return;
    }
    if (packed) {
        int64_t width = t.dims[2] / 3;
        wa_nn all = q;
        q = wa__nn_part(b, all, 2, 0, width);
        k = wa__nn_part(b, all, 2, width, width);
        v = wa__nn_part(b, all, 2, 2 * width, width);
    } else {
        k = wa__nn_input(b, n, 1);
        v = wa__nn_input(b, n, 2);
    }
    q = wa__nn_scaled(b, heads_of(b, q, heads), (double)wa__node_float(n, "scale", 1));
    wa_nn s = wa__nn_matmul(b, q, wa__nn_swap(b, heads_of(b, k, heads), 2, 3));
    uint32_t bias = packed ? 1 : 3;
    if (wa__nn_has(n, bias)) s = wa__nn_bin(b, WA_NN_add, s, wa__nn_input(b, n, bias));
    wa_nn w = wa__nn_softmax(b, s, 3);
    if (wa__node_int(n, "guard", 0)) w = guarded(b, s, w);
    wa__nn_output(b, n, 0, wa__nn_like(b, wa__nn_swap(b, wa__nn_matmul(b, w, heads_of(b, v, heads)), 1, 2), o));
}

static void skip_layer_norm(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_bin(b, WA_NN_add, wa__nn_input(b, n, 0), wa__nn_input(b, n, 1));
    if (wa__nn_off(b)) return;
    wa__nn_output(b, n, 0, wa__nn_layernorm(b, x, wa__nn_input(b, n, 2), wa__nn_input(b, n, 3), wa__nn_type(b, x).rank - 1, (double)wa__node_float(n, "epsilon", 1e-5f)));
}

static void embed_layer_norm(wa_plan_builder *b, const wa_node *n)
{
    const wa_tensor_type *ids = wa__nn_of(b, n->inputs[0]);
    if (ids->rank != 2) {
        wa__nn_refuse(b, "token ids that are not [batch, tokens]");
        return;
    }
    wa_nn x = wa__nn_gather(b, wa__nn_input(b, n, 2), wa__nn_input(b, n, 0), 0);
    wa_nn places = wa__nn_has(n, 7) ? wa__nn_gather(b, wa__nn_input(b, n, 3), wa__nn_input(b, n, 7), 0) : wa__nn_part(b, wa__nn_input(b, n, 3), 0, 0, ids->dims[1]);
    x = wa__nn_bin(b, WA_NN_add, x, places);
    if (wa__nn_has(n, 4)) {
        wa_nn table = wa__nn_input(b, n, 4);
        x = wa__nn_bin(b, WA_NN_add, x, wa__nn_has(n, 1) ? wa__nn_gather(b, table, wa__nn_input(b, n, 1), 0) : wa__nn_part(b, table, 0, 0, 1));
    }
    wa__nn_output(b, n, 0, wa__nn_layernorm(b, x, wa__nn_input(b, n, 5), wa__nn_input(b, n, 6), 2, (double)wa__node_float(n, "epsilon", 1e-5f)));
}

static void pool_tokens(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0), y;
    if (wa__nn_off(b)) return;
    wa_tensor_type t = wa__nn_type(b, x);
    if (t.rank != 3 || t.dtype != WA_F32) {
        wa__nn_refuse(b, "pooling takes floats [batch, tokens, hidden]");
        return;
    }
    if (n->op == WA_OP_ClsPool) {
        y = wa__nn_part(b, x, 1, 0, 1);
    } else {
        wa_nn m = wa__nn_reshape(b, wa__nn_cast(b, wa__nn_input(b, n, 1), WA_F32), 3, (int64_t[]){t.dims[0], t.dims[1], 1});
        if (n->op == WA_OP_MeanPool) {
            wa_nn sum = wa__nn_reduce(b, WA_NN_reduceSum, wa__nn_bin(b, WA_NN_mul, x, m), 1u << 1, true);
            wa_nn count = wa__nn_bin(b, WA_NN_max, wa__nn_reduce(b, WA_NN_reduceSum, m, 1u << 1, true), wa__nn_scalar(b, WA_F32, 1e-9));
            y = wa__nn_bin(b, WA_NN_div, sum, count);
        } else {
            wa_nn on = wa__nn_bin(b, WA_NN_notEqual, m, wa__nn_scalar(b, WA_F32, 0));
            y = wa__nn_reduce(b, WA_NN_reduceMax, wa__nn_where(b, on, x, wa__nn_scalar(b, WA_F32, -1e9)), 1u << 1, true);
        }
    }
    wa__nn_output(b, n, 0, wa__nn_like(b, y, wa__nn_of(b, n->outputs[0])));
}

static void l2_normalize(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0);
    wa_tensor_type t = wa__nn_type(b, x);
    if (wa__nn_off(b) || t.rank == 0) {
        wa__nn_refuse(b, "a norm of rank 0");
        return;
    }
    wa_nn norm = wa__nn_un(b, WA_NN_sqrt, wa__nn_reduce(b, WA_NN_reduceSum, wa__nn_bin(b, WA_NN_mul, x, x), 1u << (t.rank - 1), true));
    norm = wa__nn_bin(b, WA_NN_max, norm, wa__nn_scalar(b, WA_F32, (double)wa__node_float(n, "epsilon", 1e-12f)));
    wa__nn_output(b, n, 0, wa__nn_bin(b, WA_NN_div, x, norm));
}

const wa_nn_row wa__nn_fused_rows[] = {
    {WA_OP_Attention, attention}, {WA_OP_QkvAttention, attention}, {WA_OP_SkipLayerNorm, skip_layer_norm},
    {WA_OP_EmbedLayerNorm, embed_layer_norm}, {WA_OP_MeanPool, pool_tokens}, {WA_OP_ClsPool, pool_tokens},
    {WA_OP_MaxPoolTokens, pool_tokens}, {WA_OP_L2Normalize, l2_normalize},
    {WA_OP_NONE, NULL},
};
