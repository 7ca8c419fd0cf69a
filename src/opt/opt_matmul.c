/* matmul: products with a constant matrix on the right become FusedMatMul, and take in the bias, the
 * activation and the residual that follow. Transposed weights become transB: they are never copied. */
#include "opt/opt_int.h"

enum { ACT_GELU = 1, ACT_GELU_TANH, ACT_RELU, ACT_TANH, ACT_SIGMOID, ACT_SILU };

/* A weight matrix, maybe transposed: gives the stored one. */
static bool is_matrix(const wa_rw *r, uint32_t v, uint32_t *stored, bool *transposed)
{
    static const int64_t swap[] = {1, 0};
    uint32_t t = wa__rw_def(r, v, WA_OP_Transpose);
    *transposed = t != WA_NONE;
    *stored = *transposed ? wa__rw_in(r, t, 0) : v;
    return wa__rw_is_weight(r, *stored) && wa__rw_t(r, *stored)->rank == 2 && (!*transposed || wa__rw_perm_is(r, t, swap, 2));
}

static bool set_trans(wa_rw *r, uint32_t node, bool transposed)
{
    return wa__rw_need(r, !transposed || wa__node_set_int(r->g, node, "transB", 1));
}

static void from_matmul(wa_rw *r, uint32_t node)
{
    uint32_t a = wa__rw_in(r, node, 0), w;
    bool transposed;
    if (wa__rw_t(r, a)->rank < 2 || wa__rw_is_const(r, a) || !is_matrix(r, wa__rw_in(r, node, 1), &w, &transposed)) return;
    if (!wa__rw_become(r, node, WA_OP_FusedMatMul, (uint32_t[]){a, w}, 2)) return;
    if (set_trans(r, node, transposed)) wa__rw_type(r, node);
}

/* A constant [N] for a product of N columns; [1,N] is viewed as such. */
static bool is_bias(const wa_rw *r, uint32_t v, uint32_t product, bool *viewed)
{
    const wa_tensor_type *t = wa__rw_t(r, product);
    if (!wa__rw_is_weight(r, v) || t->rank < 1) return false;
    const wa_tensor_type *b = wa__rw_t(r, v);
    int64_t n = t->dims[t->rank - 1];
    *viewed = b->rank != 1;
    return b->rank >= 1 && b->rank <= t->rank && b->dims[b->rank - 1] == n && wa__count(b) == n && (!*viewed || wa__rw_is_const(r, v));
}

/* The bias as [N]: a constant of more dimensions is shared under another shape. */
static uint32_t bias_vector(wa_rw *r, uint32_t v, bool viewed)
{
    if (!viewed) return v;
    int64_t n = wa__count(wa__rw_t(r, v));
    uint32_t shape = wa__rw_const_ints(r, &n, 1);
    uint32_t node = shape == WA_NONE ? WA_NONE : wa__rw_node(r, WA_OP_Reshape, (uint32_t[]){v, shape}, 2);
    if (node == WA_NONE || !wa__rw_type(r, node)) return WA_NONE;
    uint32_t out = r->g->nodes[node].outputs[0];
    return wa__rw_share_const(r, node, v) ? out : WA_NONE;
}

static void from_gemm(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    uint32_t a = n->inputs[0], w, c = wa__rw_in(r, node, 2), bias = WA_NONE;
    bool transposed, viewed = false, trans_b = wa__node_int(n, "transB", 0) != 0;
    float alpha = wa__node_float(n, "alpha", 1), beta = wa__node_float(n, "beta", 1);
    if (wa__node_int(n, "transA", 0) != 0 || wa__rw_is_const(r, a) || !is_matrix(r, n->inputs[1], &w, &transposed)) return;
    if (c != WA_NONE && (beta != 1 || !is_bias(r, c, n->outputs[0], &viewed))) return;
    if (c != WA_NONE) {
        bias = bias_vector(r, c, viewed);
        if (bias == WA_NONE) return;
    }
    if (!wa__rw_become(r, node, WA_OP_FusedMatMul, (uint32_t[]){a, w, bias}, bias == WA_NONE ? 2 : 3)) return;
    if (!wa__rw_need(r, alpha == 1 || wa__node_set_float(r->g, node, "alpha", alpha))) return;
    if (set_trans(r, node, transposed != trans_b)) wa__rw_type(r, node);
}

/* The node becomes the product `from` with one input more, and one attribute when name is given. */
static void absorb(wa_rw *r, uint32_t node, uint32_t from, uint32_t bias, uint32_t residual, int64_t act)
{
    const wa_node *f = &r->g->nodes[from];
    wa_attr *attrs = f->attrs;
    uint32_t attr_count = f->attr_count;
    uint32_t inputs[4] = {f->inputs[0], f->inputs[1], bias != WA_NONE ? bias : wa__rw_in(r, from, 2), residual != WA_NONE ? residual : wa__rw_in(r, from, 3)};
    uint32_t count = inputs[3] != WA_NONE ? 4 : inputs[2] != WA_NONE ? 3 : 2;
    if (!wa__rw_become(r, node, WA_OP_FusedMatMul, inputs, count)) return; /* `from` dies, its attributes live in the arena */
    r->g->nodes[node].attrs = attrs;
    r->g->nodes[node].attr_count = attr_count;
    if (r->g->nodes[node].name.len == 0 || r->g->nodes[from].name.len) r->g->nodes[node].name = r->g->nodes[from].name;
    if (wa__rw_need(r, act == 0 || wa__node_set_int(r->g, node, "act", act))) wa__rw_type(r, node);
}

static bool is_open(const wa_rw *r, uint32_t product, bool for_bias)
{
    const wa_node *n = &r->g->nodes[product];
    if (wa__rw_in(r, product, 3) != WA_NONE) return false;
    return !for_bias || (wa__rw_in(r, product, 2) == WA_NONE && wa__node_int(n, "act", 0) == 0);
}

static void take_add(wa_rw *r, uint32_t node)
{
    uint32_t out = r->g->nodes[node].outputs[0];
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t p = wa__rw_def1(r, wa__rw_in(r, node, i), WA_OP_FusedMatMul), other = wa__rw_in(r, node, 1 - i);
        bool viewed;
        if (p == WA_NONE || !wa__rw_same_type(r, wa__rw_in(r, node, i), out)) continue;
        if (is_open(r, p, true) && is_bias(r, other, out, &viewed)) {
            uint32_t bias = bias_vector(r, other, viewed);
            if (bias != WA_NONE) absorb(r, node, p, bias, WA_NONE, 0);
            return;
        }
    }
    for (uint32_t i = 2; i-- > 0;) {
        uint32_t p = wa__rw_def1(r, wa__rw_in(r, node, i), WA_OP_FusedMatMul), other = wa__rw_in(r, node, 1 - i);
        if (p == WA_NONE || !is_open(r, p, false) || wa__rw_is_const(r, other) || !wa__rw_same_type(r, other, out) ||
            !wa__rw_same_type(r, wa__rw_in(r, node, i), out))
            continue;
        absorb(r, node, p, WA_NONE, other, 0);
        return;
    }
}

static int64_t activation(const wa_node *n)
{
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, "approximate");
    switch (n->op) {
    case WA_OP_Gelu: return a && a->kind == WA_ATTR_KIND_STRING && wa__str_is(a->s, "tanh") ? ACT_GELU_TANH : ACT_GELU;
    case WA_OP_Relu: return ACT_RELU;
    case WA_OP_Tanh: return ACT_TANH;
    case WA_OP_Sigmoid: return ACT_SIGMOID;
    default: return 0;
    }
}

static void take_activation(wa_rw *r, uint32_t node)
{
    uint32_t p = wa__rw_def1(r, wa__rw_in(r, node, 0), WA_OP_FusedMatMul);
    if (p != WA_NONE && is_open(r, p, false) && wa__node_int(&r->g->nodes[p], "act", 0) == 0)
        absorb(r, node, p, WA_NONE, WA_NONE, activation(&r->g->nodes[node]));
}

/* x * sigmoid(x) of a product x that nobody else sees. */
static void take_silu(wa_rw *r, uint32_t node)
{
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t x = wa__rw_in(r, node, i), s = wa__rw_def1(r, wa__rw_in(r, node, 1 - i), WA_OP_Sigmoid), p = wa__rw_def(r, x, WA_OP_FusedMatMul);
        if (s == WA_NONE || p == WA_NONE || wa__rw_in(r, s, 0) != x || r->uses[x] != 2 || r->is_output[x]) continue;
        if (!is_open(r, p, false) || wa__node_int(&r->g->nodes[p], "act", 0) != 0) continue;
        absorb(r, node, p, WA_NONE, WA_NONE, ACT_SILU);
        return;
    }
}

void wa__opt_matmul(wa_rw *r)
{
    for (uint32_t i = 0, count = r->g->node_count; i < count; i++) {
        if (!wa__rw_visit(r, i)) continue;
        switch (r->g->nodes[i].op) {
        case WA_OP_MatMul: from_matmul(r, i); break;
        case WA_OP_Gemm: from_gemm(r, i); break;
        case WA_OP_Add: take_add(r, i); break;
        case WA_OP_Mul: take_silu(r, i); break;
        case WA_OP_Gelu: case WA_OP_Relu: case WA_OP_Tanh: case WA_OP_Sigmoid: take_activation(r, i); break;
        default: break;
        }
    }
}
