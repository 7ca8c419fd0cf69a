/* Decompositions of onnxruntime's mixtures of experts, MoE and QMoE: every expert computes every token,
 * and what the router did not choose counts 0. Right on every target; a model whose experts are many
 * pays for all of them. See decompose.h, opt_quant.h. */
#include "opt/opt_quant.h"

typedef struct mixture {
    uint32_t x, router;           /* [tokens, hidden], [tokens, experts] */
    uint32_t w[3], bias[3];       /* [experts, out, in], [experts, out]; 2: the gate's partner, or none */
    int64_t tokens, experts, hidden, k;
} mixture;

/* 1 where an expert is among the k best of its token; of equals the first. [tokens, experts] F32 */
static uint32_t chosen(wa_rw *r, const mixture *m, uint32_t p)
{
    int64_t n = m->experts, last = 2, dims[2] = {n, n};
    uint32_t a = wa__dc_reshape(r, p, (int64_t[]){m->tokens, n, 1}, 3), b = wa__dc_reshape(r, p, (int64_t[]){m->tokens, 1, n}, 3);
    uint8_t *before = r->status == WA_OK ? wa__arena_alloc(r->g->arena, (size_t)(n * n), 1) : NULL;
    if (!before) {
        wa__rw_need(r, r->status != WA_OK);
        return WA_NONE;
    }
    for (int64_t i = 0; i < n * n; i++) before[i] = i % n < i / n;
    uint32_t first = wa__graph_const(r->g, WA_STR(""), &(wa_tensor_type){WA_BOOL, 2, {dims[0], dims[1]}}, before, -1);
    if (!wa__rw_need(r, first != WA_NONE) || !wa__rw_grow(r)) return WA_NONE;
    uint32_t better = wa__dc2(r, WA_OP_Or, wa__dc2(r, WA_OP_Less, a, b), wa__dc2(r, WA_OP_And, wa__dc2(r, WA_OP_Equal, a, b), first));
    uint32_t rank = wa__dc_reduce(r, WA_OP_ReduceSum, wa__dc_cast(r, better, WA_F32), &last, 1, false);
    return wa__dc_cast(r, wa__dc2(r, WA_OP_Less, rank, wa__dc_scalar(r, WA_F32, (double)m->k - 0.5)), WA_F32);
}

/* Share of each expert in each token: [experts, tokens, 1] */
static uint32_t shares(wa_rw *r, uint32_t node, const mixture *m)
{
    static const int64_t swap[2] = {1, 0};
    int64_t last = 1;
    bool normal = wa__node_int(&r->g->nodes[node], "normalize_routing_weights", 0) != 0;
    uint32_t s = wa__dc_node(r, WA_OP_Softmax, &m->router, 1, 1);
    if (s == WA_NONE || !wa__rw_need(r, wa__node_set_int(r->g, s, "axis", 1))) return WA_NONE;
    uint32_t p = wa__dc_out(r, s, 0), g = wa__dc2(r, WA_OP_Mul, wa__dc_cast(r, p, WA_F32), chosen(r, m, wa__dc_cast(r, p, WA_F32)));
    if (normal) g = wa__dc2(r, WA_OP_Div, g, wa__dc_reduce(r, WA_OP_ReduceSum, g, &last, 1, true));
    return wa__dc_reshape(r, wa__dc_transpose(r, g, swap, 2), (int64_t[]){m->experts, m->tokens, 1}, 3);
}

/* x . w transposed + bias, of every expert */
static uint32_t layer(wa_rw *r, const mixture *m, uint32_t x, uint32_t i)
{
    static const int64_t swap[3] = {0, 2, 1};
    uint32_t y = wa__dc2(r, WA_OP_MatMul, x, wa__dc_transpose(r, m->w[i], swap, 3));
    if (m->bias[i] == WA_NONE || r->status != WA_OK) return y;
    const wa_tensor_type *t = wa__rw_t(r, m->bias[i]);
    return wa__dc2(r, WA_OP_Add, y, wa__dc_reshape(r, m->bias[i], (int64_t[]){m->experts, 1, wa__count(t) / m->experts}, 3));
}

/* Gate and linear part lie side by side: interleaved (fusion 1) or one half each (2). */
static uint32_t swiglu(wa_rw *r, uint32_t node, const mixture *m, uint32_t h)
{
    const wa_node *n = &r->g->nodes[node];
    bool interleaved = wa__node_int(n, "swiglu_fusion", 0) != 2;
    float alpha = wa__node_float(n, "activation_alpha", 1), beta = wa__node_float(n, "activation_beta", 0), limit = wa__node_float(n, "swiglu_limit", 0);
    if (r->status != WA_OK) return WA_NONE;
    wa_dtype d = wa__rw_t(r, h)->dtype;
    int64_t half = wa__rw_t(r, h)->dims[2] / 2, out[3] = {m->experts, m->tokens, half};
    h = wa__dc_reshape(r, h, interleaved ? (int64_t[]){m->experts, m->tokens, half, 2} : (int64_t[]){m->experts, m->tokens, 2, half}, 4);
    uint32_t gate = wa__dc_reshape(r, wa__dc_slice(r, h, interleaved ? 3 : 2, 0, 1), out, 3);
    uint32_t linear = wa__dc_reshape(r, wa__dc_slice(r, h, interleaved ? 3 : 2, 1, 2), out, 3);
    if (limit > 0) {
        uint32_t top = wa__dc_scalar(r, d, (double)limit);
        gate = wa__dc2(r, WA_OP_Min, gate, top);
        linear = wa__dc3(r, WA_OP_Clip, linear, wa__dc_scalar(r, d, -(double)limit), top);
    }
    uint32_t s = wa__dc1(r, WA_OP_Sigmoid, alpha == 1 ? gate : wa__dc2(r, WA_OP_Mul, gate, wa__dc_scalar(r, d, (double)alpha)));
    if (beta != 0) linear = wa__dc2(r, WA_OP_Add, linear, wa__dc_scalar(r, d, (double)beta));
    return wa__dc2(r, WA_OP_Mul, wa__dc2(r, WA_OP_Mul, gate, s), linear);
}

static uint32_t activate(wa_rw *r, uint32_t node, const mixture *m, uint32_t h)
{
    const wa_attr *a = wa__attr_find(r->g->nodes[node].attrs, r->g->nodes[node].attr_count, "activation_type");
    wa_str kind = a && a->kind == WA_ATTR_KIND_STRING ? a->s : WA_STR("relu");
    if (wa__str_is(kind, "swiglu")) return swiglu(r, node, m, h);
    if (wa__str_is(kind, "silu")) return wa__dc2(r, WA_OP_Mul, h, wa__dc1(r, WA_OP_Sigmoid, h));
    if (wa__str_is(kind, "relu")) return wa__dc1(r, WA_OP_Relu, h);
    if (!wa__str_is(kind, "gelu")) return h;
    uint32_t n = wa__dc_node(r, WA_OP_Gelu, &h, 1, 1);
    return n != WA_NONE && wa__rw_need(r, wa__node_set_str(r->g, n, "approximate", WA_STR("tanh"))) ? wa__dc_out(r, n, 0) : WA_NONE;
}

/* Sizes; false for forms that this does not build. */
static bool open_mixture(wa_rw *r, uint32_t node, mixture *m)
{
    const wa_tensor_type *x = wa__rw_t(r, wa__rw_in(r, node, 0)), *p = wa__rw_t(r, wa__rw_in(r, node, 1));
    *m = (mixture){.x = wa__rw_in(r, node, 0), .router = wa__rw_in(r, node, 1), .w = {WA_NONE, WA_NONE, WA_NONE}, .bias = {WA_NONE, WA_NONE, WA_NONE},
                   .k = wa__node_int(&r->g->nodes[node], "k", 1)};
    if (x->rank < 2 || x->rank > 3 || p->rank != 2 || wa__node_int(&r->g->nodes[node], "use_sparse_mixer", 0)) return false;
    m->hidden = x->dims[x->rank - 1];
    m->tokens = p->dims[0];
    m->experts = p->dims[1];
    return m->experts >= 1 && m->experts <= 1024 && m->hidden >= 1 && wa__count(x) == m->tokens * m->hidden;
}

static bool build(wa_rw *r, uint32_t node, mixture *m)
{
    const wa_tensor_type t = *wa__rw_t(r, m->x);
    int64_t first = 0;
    uint32_t x = wa__dc_reshape(r, m->x, (int64_t[]){m->tokens, m->hidden}, 2), h = activate(r, node, m, layer(r, m, x, 0));
    if (m->w[2] != WA_NONE) h = wa__dc2(r, WA_OP_Mul, h, layer(r, m, x, 2));
    uint32_t y = wa__dc2(r, WA_OP_Mul, layer(r, m, h, 1), wa__dc_cast(r, shares(r, node, m), t.dtype));
    y = wa__dc_reduce(r, WA_OP_ReduceSum, y, &first, 1, false);
    wa__dc_result(r, node, 0, wa__dc_reshape(r, y, t.dims, t.rank));
    return true;
}

/* input, router, then weights and bias of fc1, fc2, fc3 */
static bool moe(wa_rw *r, uint32_t node)
{
    static const int64_t swap[3] = {0, 2, 1};
    mixture m;
    if (!open_mixture(r, node, &m)) return false;
    for (uint32_t i = 0; i < 3; i++) {
        m.w[i] = wa__rw_in(r, node, 2 + 2 * i);
        m.bias[i] = wa__rw_in(r, node, 3 + 2 * i);
        if (m.w[i] != WA_NONE && (wa__rw_t(r, m.w[i])->rank != 3 || wa__rw_t(r, m.w[i])->dims[0] != m.experts)) return false;
    }
    if (wa__rw_t(r, m.w[0])->dims[2] != m.hidden) /* the older layout has [experts, in, out] */
        for (uint32_t i = 0; i < 3; i++)
            if (m.w[i] != WA_NONE) m.w[i] = wa__dc_transpose(r, m.w[i], swap, 3);
    return r->status == WA_OK ? build(r, node, &m) : true;
}

/* input, router, then weights, scales and bias of fc1, fc2, fc3, then their zero points */
static bool qmoe(wa_rw *r, uint32_t node)
{
    mixture m;
    int64_t bits = wa__node_int(&r->g->nodes[node], "expert_weight_bits", 4), block = wa__node_int(&r->g->nodes[node], "block_size", 0);
    if (!open_mixture(r, node, &m) || (bits != 2 && bits != 4 && bits != 8)) return false;
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t w = wa__rw_in(r, node, 2 + 3 * i), scale = wa__rw_in(r, node, 3 + 3 * i);
        m.bias[i] = wa__rw_in(r, node, 4 + 3 * i);
        if (w == WA_NONE || scale == WA_NONE) continue;
        const wa_tensor_type *t = wa__rw_t(r, w);
        if (t->rank != 3 || t->dtype != WA_U8 || t->dims[0] != m.experts) return false;
        int64_t dims[3] = {m.experts, t->dims[1], t->dims[2] * 8 / bits};
        wa_dq_blocks k = {dims[0] * dims[1], dims[2], block > 0 ? block : dims[2], bits, (int64_t)1 << (bits - 1), 0, 0};
        m.w[i] = wa__dc_reshape(r, wa__dq_unpack(r, (uint32_t[]){w, scale, wa__rw_in(r, node, 11 + i), WA_NONE}, &k), dims, 3);
    }
    return r->status == WA_OK && m.w[0] != WA_NONE && m.w[1] != WA_NONE ? build(r, node, &m) : r->status != WA_OK;
}

const wa_decompose_row wa__decompose_experts[] = {{WA_OP_MoE, moe}, {WA_OP_QMoE, qmoe}, {WA_OP_NONE, NULL}};
