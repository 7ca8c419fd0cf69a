/* Small builders of decompositions. See decompose_parts.h. */
#include "opt/decompose_parts.h"
#include "base/checked.h"

uint32_t wa__dp_const(wa_rw *r, const wa_tensor_type *t, const void *data)
{
    if (r->status != WA_OK) return WA_NONE;
    uint32_t c = wa__graph_const(r->g, WA_STR(""), t, data, -1);
    return wa__rw_need(r, c != WA_NONE) && wa__rw_grow(r) ? c : WA_NONE;
}

uint32_t wa__dp_zeros(wa_rw *r, wa_dtype dtype, const int64_t *dims, uint32_t rank)
{
    wa_tensor_type t = {dtype, rank, {0}};
    uint64_t bytes;
    if (r->status != WA_OK) return WA_NONE;
    if (rank) memcpy(t.dims, dims, rank * sizeof *dims);
    if (!wa__type_bytes(&t, &bytes)) {
        wa__rw_fail(r, wa__fail(r->err, WA_LIMIT, "a constant of a decomposition is too large"));
        return WA_NONE;
    }
    void *zeros = wa__alloc((size_t)bytes + 1, 1);
    if (!wa__rw_need(r, zeros != NULL)) return WA_NONE;
    uint32_t c = wa__dp_const(r, &t, zeros);
    wa__free(zeros);
    return c;
}

uint32_t wa__dp_scaled(wa_rw *r, uint32_t x, double factor)
{
    if (r->status != WA_OK || factor == 1) return r->status == WA_OK ? x : WA_NONE;
    return wa__dc2(r, WA_OP_Mul, x, wa__dc_scalar(r, wa__rw_t(r, x)->dtype, factor));
}

uint32_t wa__dp_shifted(wa_rw *r, uint32_t x, double summand)
{
    if (r->status != WA_OK || summand == 0) return r->status == WA_OK ? x : WA_NONE;
    return wa__dc2(r, WA_OP_Add, x, wa__dc_scalar(r, wa__rw_t(r, x)->dtype, summand));
}

uint32_t wa__dp_wide(wa_rw *r, uint32_t x)
{
    if (r->status != WA_OK || x == WA_NONE) return WA_NONE;
    wa_dtype t = wa__rw_t(r, x)->dtype;
    return t == WA_F16 || t == WA_BF16 ? wa__dc_cast(r, x, WA_F32) : x;
}

uint32_t wa__dp_slice_step(wa_rw *r, uint32_t x, int64_t axis, int64_t start, int64_t end, int64_t step)
{
    if (r->status != WA_OK) return WA_NONE;
    uint32_t s = wa__rw_const_ints(r, &start, 1), e = wa__rw_const_ints(r, &end, 1), a = wa__rw_const_ints(r, &axis, 1), k = wa__rw_const_ints(r, &step, 1);
    if (r->status != WA_OK) return WA_NONE;
    return wa__dc_out(r, wa__dc_node(r, WA_OP_Slice, (uint32_t[]){x, s, e, a, k}, 5, 1), 0);
}

uint32_t wa__dp_expand(wa_rw *r, uint32_t x, const int64_t *dims, uint32_t rank)
{
    if (r->status != WA_OK) return WA_NONE;
    wa_tensor_type t = *wa__rw_t(r, x);
    t.rank = rank;
    if (rank) memcpy(t.dims, dims, rank * sizeof *dims);
    if (wa__type_eq(&t, wa__rw_t(r, x))) return x;
    uint32_t shape = wa__rw_const_ints(r, dims, rank);
    return shape == WA_NONE ? WA_NONE : wa__dc2(r, WA_OP_Expand, x, shape);
}

uint32_t wa__dp_gather(wa_rw *r, uint32_t x, uint32_t indices, int64_t axis)
{
    uint32_t n = wa__dc_node(r, WA_OP_Gather, (uint32_t[]){x, indices}, 2, 1);
    return n != WA_NONE && wa__rw_need(r, wa__node_set_int(r->g, n, "axis", axis)) ? wa__dc_out(r, n, 0) : WA_NONE;
}

uint32_t wa__dp_softmax(wa_rw *r, uint32_t x)
{
    uint32_t n = wa__dc_node(r, WA_OP_Softmax, &x, 1, 1);
    return n != WA_NONE && wa__rw_need(r, wa__node_set_int(r->g, n, "axis", -1)) ? wa__dc_out(r, n, 0) : WA_NONE;
}

uint32_t wa__dp_gemm(wa_rw *r, uint32_t x, uint32_t w, bool transposed, uint32_t bias)
{
    uint32_t n = wa__dc_node(r, WA_OP_Gemm, (uint32_t[]){x, w, bias}, bias == WA_NONE ? 2 : 3, 1);
    return n != WA_NONE && wa__rw_need(r, wa__node_set_int(r->g, n, "transB", transposed)) ? wa__dc_out(r, n, 0) : WA_NONE;
}

uint32_t wa__dp_gelu(wa_rw *r, uint32_t x, bool by_tanh)
{
    uint32_t n = wa__dc_node(r, WA_OP_Gelu, &x, 1, 1);
    return n != WA_NONE && wa__rw_need(r, wa__node_set_str(r->g, n, "approximate", by_tanh ? WA_STR("tanh") : WA_STR("none"))) ? wa__dc_out(r, n, 0) : WA_NONE;
}

static uint32_t with_alpha(wa_rw *r, wa_op op, uint32_t x, float alpha, const float *beta)
{
    uint32_t n = wa__dc_node(r, op, &x, 1, 1);
    if (n == WA_NONE) return WA_NONE;
    bool ok = wa__node_set_float(r->g, n, "alpha", alpha) && (!beta || wa__node_set_float(r->g, n, "beta", *beta));
    return wa__rw_need(r, ok) ? wa__dc_out(r, n, 0) : WA_NONE;
}

bool wa__dp_activation(wa_rw *r, wa_str name, float alpha, float beta, float gamma, uint32_t *x)
{
    (void)gamma;
    if (name.len == 0 || wa__str_is(name, "none")) return true;
    if (wa__str_is(name, "Relu")) *x = wa__dc1(r, WA_OP_Relu, *x);
    else if (wa__str_is(name, "Tanh")) *x = wa__dc1(r, WA_OP_Tanh, *x);
    else if (wa__str_is(name, "Sigmoid")) *x = wa__dc1(r, WA_OP_Sigmoid, *x);
    else if (wa__str_is(name, "Softplus")) *x = wa__dc1(r, WA_OP_Softplus, *x);
    else if (wa__str_is(name, "Softsign")) *x = wa__dc1(r, WA_OP_Softsign, *x);
    else if (wa__str_is(name, "HardSwish")) *x = wa__dc1(r, WA_OP_HardSwish, *x);
    else if (wa__str_is(name, "LeakyRelu")) *x = with_alpha(r, WA_OP_LeakyRelu, *x, alpha, NULL);
    else if (wa__str_is(name, "Elu")) *x = with_alpha(r, WA_OP_Elu, *x, alpha, NULL);
    else if (wa__str_is(name, "HardSigmoid")) *x = with_alpha(r, WA_OP_HardSigmoid, *x, alpha, &beta);
    else if (wa__str_is(name, "Gelu")) *x = wa__dp_gelu(r, *x, false);
    else if (wa__str_is(name, "silu") || wa__str_is(name, "swish")) *x = wa__dc2(r, WA_OP_Mul, *x, wa__dc1(r, WA_OP_Sigmoid, *x));
    else return false;
    return true;
}

wa_str wa__dp_str(const wa_node *n, const char *name, const char *fallback)
{
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, name);
    return a && a->kind == WA_ATTR_KIND_STRING ? a->s : wa__str(fallback);
}

bool wa__dp_wants(const wa_rw *r, uint32_t node, uint32_t o)
{
    const wa_node *n = &r->g->nodes[node];
    return o < n->output_count && n->outputs[o] != WA_NONE && (r->uses[n->outputs[o]] > 0 || r->is_output[n->outputs[o]]);
}

void wa__dp_result(wa_rw *r, uint32_t node, uint32_t o, uint32_t value, wa_dtype dtype)
{
    if (r->status == WA_OK && wa__dp_wants(r, node, o)) wa__dc_result(r, node, o, wa__dc_cast(r, value, dtype));
}
