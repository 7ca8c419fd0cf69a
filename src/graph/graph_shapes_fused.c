/* Shape rules of our own operators (schema/ops.json says what they take). See graph_shapes.h. */
#include "graph/graph_shapes.h"

static bool is_vector(const wa_tensor_type *t, int64_t n) { return t->rank == 1 && t->dims[0] == n; }

static wa_status fused_matmul(wa_infer *f)
{
    const wa_tensor_type *a = wa__infer_in(f, 0), *b = wa__infer_in(f, 1), *bias = wa__infer_in(f, 2), *residual = wa__infer_in(f, 3);
    bool trans = wa__node_int(f->n, "transB", 0) != 0;
    if (a->rank < 2 || b->rank != 2) return wa__infer_bad(f, "its operands are no matrices");
    if (a->dims[a->rank - 1] != b->dims[trans ? 1 : 0]) return wa__infer_bad(f, "the inner dimensions differ");
    f->out[0] = *a;
    f->out[0].dims[a->rank - 1] = b->dims[trans ? 0 : 1];
    if (bias && !is_vector(bias, f->out[0].dims[a->rank - 1])) return wa__infer_bad(f, "its bias does not fit");
    if (residual && !wa__type_eq(residual, &f->out[0])) return wa__infer_bad(f, "its residual does not fit");
    return WA_OK;
}

/* bias [b|1, h|1, s|1, t] */
static wa_status check_bias(wa_infer *f, const wa_tensor_type *bias, int64_t b, int64_t h, int64_t s, int64_t t)
{
    if (!bias) return WA_OK;
    if (bias->rank != 4 || (bias->dims[0] != b && bias->dims[0] != 1) || (bias->dims[1] != h && bias->dims[1] != 1) ||
        (bias->dims[2] != s && bias->dims[2] != 1) || bias->dims[3] != t)
        return wa__infer_bad(f, "its bias does not fit");
    return WA_OK;
}

static wa_status attention(wa_infer *f)
{
    const wa_tensor_type *q = wa__infer_in(f, 0), *k = wa__infer_in(f, 1), *v = wa__infer_in(f, 2);
    int64_t heads = wa__node_int(f->n, "num_heads", 0);
    if (q->rank != 3 || k->rank != 3 || v->rank != 3 || heads < 1 || q->dims[2] % heads || v->dims[2] % heads ||
        q->dims[0] != k->dims[0] || q->dims[0] != v->dims[0] || q->dims[2] != k->dims[2] || k->dims[1] != v->dims[1])
        return wa__infer_bad(f, "its queries, keys and values do not fit");
    f->out[0] = (wa_tensor_type){q->dtype, 3, {q->dims[0], q->dims[1], v->dims[2]}};
    return check_bias(f, wa__infer_in(f, 3), q->dims[0], heads, q->dims[1], k->dims[1]);
}

static wa_status qkv_attention(wa_infer *f)
{
    const wa_tensor_type *x = wa__infer_in(f, 0);
    int64_t heads = wa__node_int(f->n, "num_heads", 0);
    if (x->rank != 3 || heads < 1 || x->dims[2] % 3 || x->dims[2] / 3 % heads) return wa__infer_bad(f, "its input does not fit its heads");
    f->out[0] = *x;
    f->out[0].dims[2] = x->dims[2] / 3;
    return check_bias(f, wa__infer_in(f, 1), x->dims[0], heads, x->dims[1], x->dims[1]);
}

static wa_status skip_layer_norm(wa_infer *f)
{
    const wa_tensor_type *x = wa__infer_in(f, 0);
    if (x->rank < 1 || !wa__type_eq(x, wa__infer_in(f, 1))) return wa__infer_bad(f, "its two inputs differ");
    for (uint32_t i = 2; i < 4; i++)
        if (!is_vector(wa__infer_in(f, i), x->dims[x->rank - 1])) return wa__infer_bad(f, "its scale or bias does not fit");
    f->out[0] = *x;
    return WA_OK;
}

static wa_status embed_layer_norm(wa_infer *f)
{
    const wa_tensor_type *ids = wa__infer_in(f, 0), *types = wa__infer_in(f, 1), *word = wa__infer_in(f, 2), *position = wa__infer_in(f, 3);
    const wa_tensor_type *type = wa__infer_in(f, 4), *gamma = wa__infer_in(f, 5), *beta = wa__infer_in(f, 6), *where = wa__infer_in(f, 7);
    if (!beta || ids->rank != 2 || word->rank != 2 || position->rank != 2) return wa__infer_bad(f, "its ids or tables do not fit");
    int64_t width = word->dims[1];
    if (position->dims[1] != width || !is_vector(gamma, width) || !is_vector(beta, width)) return wa__infer_bad(f, "its tables have different widths");
    if (type && (type->rank != 2 || type->dims[1] != width)) return wa__infer_bad(f, "its table of types does not fit");
    if (types && (!type || types->rank != 2 || types->dims[0] != ids->dims[0] || types->dims[1] != ids->dims[1]))
        return wa__infer_bad(f, "its type ids do not fit");
    if (!where && position->dims[0] < ids->dims[1]) return wa__infer_bad(f, "the text is longer than the model's position table");
    if (where && (where->rank < 1 || where->rank > 2 || where->dims[where->rank - 1] != ids->dims[1]))
        return wa__infer_bad(f, "its position ids do not fit");
    f->out[0] = (wa_tensor_type){word->dtype, 3, {ids->dims[0], ids->dims[1], width}};
    return WA_OK;
}

static wa_status pool(wa_infer *f)
{
    const wa_tensor_type *x = wa__infer_in(f, 0), *mask = wa__infer_in(f, 1);
    if (x->rank != 3) return wa__infer_bad(f, "it pools [batch, tokens, width] only");
    if (mask && (mask->rank != 2 || mask->dims[0] != x->dims[0] || mask->dims[1] != x->dims[1])) return wa__infer_bad(f, "its mask does not fit");
    f->out[0] = (wa_tensor_type){x->dtype, 2, {x->dims[0], x->dims[2]}};
    return WA_OK;
}

static wa_status same(wa_infer *f)
{
    if (wa__infer_in(f, 0)->rank == 0) return wa__infer_bad(f, "a scalar has no last axis");
    f->out[0] = *wa__infer_in(f, 0);
    return WA_OK;
}

const wa_shape_entry wa__shapes_fused[] = {
    {WA_OP_FusedMatMul, fused_matmul}, {WA_OP_Attention, attention}, {WA_OP_QkvAttention, qkv_attention},
    {WA_OP_SkipLayerNorm, skip_layer_norm}, {WA_OP_EmbedLayerNorm, embed_layer_norm}, {WA_OP_MeanPool, pool},
    {WA_OP_ClsPool, pool}, {WA_OP_MaxPoolTokens, pool}, {WA_OP_L2Normalize, same},
    {WA_OP_NONE, NULL},
};
