/* The decompositions' table and builders: see decompose.h. */
#include "opt/decompose.h"

#define MODERN_OPSET 21 /* as opt_modernize.c leaves nodes */

static const wa_decompose_row *const groups[] = {
    wa__decompose_simple,
    wa__decompose_window,
    wa__decompose_resize,
    wa__decompose_norm,
    wa__decompose_loss,
    wa__decompose_einsum,
    wa__decompose_rnn,
    wa__decompose_attention,
    wa__decompose_signal,
    wa__decompose_contrib,
    wa__decompose_ms_attention,
    wa__decompose_quant,
    wa__decompose_quant_ms,
    wa__decompose_index,
    wa__decompose_experts,
    wa__decompose_tfidf,
    wa__decompose_flex,
};

static const wa_decompose_row *row_of(wa_op op)
{
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        for (const wa_decompose_row *d = groups[i]; d->op != WA_OP_NONE; d++)
            if (d->op == op) return d;
    return NULL;
}

bool wa__opt_decomposes(wa_op op) { return row_of(op) != NULL; }

bool wa__opt_decompose(wa_rw *r, uint32_t node)
{
    const wa_decompose_row *d = row_of(r->g->nodes[node].op);
    return d && d->build(r, node) && r->status == WA_OK;
}

uint32_t wa__dc_node(wa_rw *r, wa_op op, const uint32_t *inputs, uint32_t count, uint32_t outputs)
{
    uint32_t n = r->status == WA_OK ? wa__rw_node_many(r, op, inputs, count, outputs) : WA_NONE;
    if (n != WA_NONE && !*wa__op_info(op)->domain) r->g->nodes[n].opset = MODERN_OPSET;
    return n;
}

uint32_t wa__dc_out(wa_rw *r, uint32_t node, uint32_t output)
{
    if (r->status != WA_OK || node == WA_NONE) return WA_NONE;
    const wa_node *n = &r->g->nodes[node];
    if (wa__rw_t(r, n->outputs[0])->rank == WA_RANK_UNKNOWN && !wa__rw_type(r, node)) return WA_NONE;
    return r->g->nodes[node].outputs[output];
}

static uint32_t plain(wa_rw *r, wa_op op, const uint32_t *inputs, uint32_t count) { return wa__dc_out(r, wa__dc_node(r, op, inputs, count, 1), 0); }
uint32_t wa__dc1(wa_rw *r, wa_op op, uint32_t a) { return plain(r, op, &a, 1); }
uint32_t wa__dc2(wa_rw *r, wa_op op, uint32_t a, uint32_t b) { return plain(r, op, (uint32_t[]){a, b}, 2); }
uint32_t wa__dc3(wa_rw *r, wa_op op, uint32_t a, uint32_t b, uint32_t c) { return plain(r, op, (uint32_t[]){a, b, c}, 3); }

uint32_t wa__dc_scalar(wa_rw *r, wa_dtype dtype, double value)
{
    uint8_t bytes[8] = {0};
    wa_view v = {{dtype, 0, {0}}, bytes};
    if (r->status != WA_OK) return WA_NONE;
    if (wa__dtype_is_float(dtype)) wa__set_f64(&v, 0, value);
    else wa__set_i64(&v, 0, (int64_t)value);
    uint32_t c = wa__graph_const(r->g, WA_STR(""), &v.type, bytes, -1);
    return wa__rw_need(r, c != WA_NONE) && wa__rw_grow(r) ? c : WA_NONE;
}

uint32_t wa__dc_cast(wa_rw *r, uint32_t x, wa_dtype to)
{
    if (r->status != WA_OK || wa__rw_t(r, x)->dtype == to) return x;
    uint32_t n = wa__dc_node(r, WA_OP_Cast, &x, 1, 1);
    return n != WA_NONE && wa__rw_need(r, wa__node_set_int(r->g, n, "to", to)) ? wa__dc_out(r, n, 0) : WA_NONE;
}

uint32_t wa__dc_reshape(wa_rw *r, uint32_t x, const int64_t *dims, uint32_t rank)
{
    if (r->status != WA_OK) return WA_NONE;
    wa_tensor_type t = *wa__rw_t(r, x);
    t.rank = rank;
    if (rank) memcpy(t.dims, dims, rank * sizeof *dims);
    if (wa__type_eq(&t, wa__rw_t(r, x))) return x;
    uint32_t shape = wa__rw_const_ints(r, dims, rank);
    uint32_t n = shape == WA_NONE ? WA_NONE : wa__dc_node(r, WA_OP_Reshape, (uint32_t[]){x, shape}, 2, 1);
    return n != WA_NONE && wa__rw_need(r, wa__node_set_int(r->g, n, "allowzero", 1)) ? wa__dc_out(r, n, 0) : WA_NONE;
}

uint32_t wa__dc_transpose(wa_rw *r, uint32_t x, const int64_t *perm, uint32_t rank)
{
    uint32_t n = wa__dc_node(r, WA_OP_Transpose, &x, 1, 1);
    return n != WA_NONE && wa__rw_need(r, wa__node_set_ints(r->g, n, "perm", perm, rank)) ? wa__dc_out(r, n, 0) : WA_NONE;
}

uint32_t wa__dc_reduce(wa_rw *r, wa_op op, uint32_t x, const int64_t *axes, uint32_t count, bool keepdims)
{
    uint32_t a = r->status == WA_OK ? wa__rw_const_ints(r, axes, count) : WA_NONE;
    uint32_t n = a == WA_NONE ? WA_NONE : wa__dc_node(r, op, (uint32_t[]){x, a}, 2, 1);
    return n != WA_NONE && wa__rw_need(r, wa__node_set_int(r->g, n, "keepdims", keepdims)) ? wa__dc_out(r, n, 0) : WA_NONE;
}

uint32_t wa__dc_slice(wa_rw *r, uint32_t x, int64_t axis, int64_t start, int64_t end)
{
    if (r->status != WA_OK) return WA_NONE;
    uint32_t s = wa__rw_const_ints(r, &start, 1), e = wa__rw_const_ints(r, &end, 1), a = wa__rw_const_ints(r, &axis, 1);
    return s == WA_NONE || e == WA_NONE || a == WA_NONE ? WA_NONE : plain(r, WA_OP_Slice, (uint32_t[]){x, s, e, a}, 4);
}

uint32_t wa__dc_concat(wa_rw *r, const uint32_t *parts, uint32_t count, int64_t axis)
{
    uint32_t n = wa__dc_node(r, WA_OP_Concat, parts, count, 1);
    return n != WA_NONE && wa__rw_need(r, wa__node_set_int(r->g, n, "axis", axis)) ? wa__dc_out(r, n, 0) : WA_NONE;
}

void wa__dc_result(wa_rw *r, uint32_t node, uint32_t output, uint32_t value)
{
    if (r->status != WA_OK) return;
    uint32_t from = r->g->nodes[node].outputs[output];
    if (wa__rw_replace(r, from, value)) return;
    uint32_t copy = wa__dc1(r, WA_OP_Identity, value); /* both names are the graph's own */
    if (r->status == WA_OK && !wa__rw_replace(r, from, copy)) wa__rw_fail(r, wa__fail(r->err, WA_INTERNAL, "a decomposition could not be put in place"));
}
