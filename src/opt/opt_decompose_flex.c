/* Decomposition of ai.onnx.preview's FlexAttention: attention with a sub-graph over its scores and one over
 * its probabilities, which are inlined. What they hold is typed by the fold after this one. See decompose.h. */
#include "opt/decompose_parts.h"
#include <math.h>

typedef struct flex {
    uint32_t node, q, k, v;
    wa_tensor_type qt, kt, vt;
    wa_dtype precision; /* of the scores, as the sub-graphs see them */
    double scale;
} flex;

static bool refuse(wa_rw *r, uint32_t node, const char *why)
{
    wa__rw_fail(r, wa__fail(r->err, WA_CORRUPT, "FlexAttention node %u (%.*s): %s", node, WA_STR_ARG(r->g->nodes[node].name), why));
    return true;
}

/* x through the sub-graph of this name, which keeps x's type; x itself when the node has none. */
static uint32_t modified(wa_rw *r, uint32_t node, const char *name, uint32_t x)
{
    const wa_node *n = &r->g->nodes[node];
    uint32_t s = 0, y = WA_NONE, before = r->g->node_count;
    while (s < n->subgraph_count && !wa__str_is(n->subgraphs[s].name, name)) s++;
    if (r->status != WA_OK || s == n->subgraph_count) return x;
    wa_tensor_type type = *wa__rw_t(r, x);
    if (!wa__control_inline(r, node, s, &x, 1, &y)) return WA_NONE;
    wa_value *v = &r->g->values[y];
    if (v->kind == WA_VALUE_NODE && v->producer >= before) v->type = type;
    else if (!wa__type_eq(&v->type, &type)) refuse(r, node, "a sub-graph's result is not of its input's type");
    return y;
}

static bool shapes_fit(const flex *f)
{
    const int64_t *q = f->qt.dims, *k = f->kt.dims, *v = f->vt.dims;
    if (f->qt.rank != 4 || f->kt.rank != 4 || f->vt.rank != 4 || f->qt.dtype != f->kt.dtype || f->qt.dtype != f->vt.dtype) return false;
    return q[0] == k[0] && k[0] == v[0] && k[1] == v[1] && k[2] == v[2] && q[3] == k[3] && q[3] > 0 && k[1] > 0 && q[1] > 0 && q[1] % k[1] == 0;
}

/* The steps one by one; the query heads of a group lie side by side as rows of one product. */
static uint32_t step_by_step(wa_rw *r, const flex *f)
{
    int64_t b = f->qt.dims[0], heads = f->qt.dims[1], s = f->qt.dims[2], d = f->qt.dims[3], t = f->kt.dims[2], dv = f->vt.dims[3];
    int64_t n = b * f->kt.dims[1], rows = heads / f->kt.dims[1] * s;
    uint32_t k = wa__dc_reshape(r, wa__dc_transpose(r, f->k, (int64_t[]){0, 1, 3, 2}, 4), (int64_t[]){n, d, t}, 3);
    uint32_t x = wa__dc2(r, WA_OP_MatMul, wa__dc_reshape(r, f->q, (int64_t[]){n, rows, d}, 3), k);
    x = wa__dc_reshape(r, wa__dp_scaled(r, x, f->scale), (int64_t[]){b, heads, s, t}, 4);
    x = modified(r, f->node, "score_mod", wa__dc_cast(r, x, f->precision));
    x = modified(r, f->node, "prob_mod", wa__dp_softmax(r, x));
    if (r->status != WA_OK) return WA_NONE;
    x = wa__dc_reshape(r, wa__dc_cast(r, x, wa__rw_t(r, f->v)->dtype), (int64_t[]){n, rows, t}, 3);
    x = wa__dc2(r, WA_OP_MatMul, x, wa__dc_reshape(r, f->v, (int64_t[]){n, t, dv}, 3));
    return wa__dc_reshape(r, x, (int64_t[]){b, heads, s, dv}, 4);
}

static bool flex_attention(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    if (wa__node_own_inputs(n) != 3) return refuse(r, node, "it takes three inputs");
    uint32_t in[3] = {n->inputs[0], n->inputs[1], n->inputs[2]};
    flex f = {.node = node, .qt = *wa__rw_t(r, in[0]), .kt = *wa__rw_t(r, in[1]), .vt = *wa__rw_t(r, in[2])};
    bool plain = n->subgraph_count == 0;
    if (!shapes_fit(&f)) return refuse(r, node, "its queries, keys and values do not fit");
    f.scale = wa__attr_find(n->attrs, n->attr_count, "scale") ? (double)wa__node_float(n, "scale", 0) : 1 / sqrt((double)f.qt.dims[3]);
    f.precision = f.qt.dtype == WA_F64 ? WA_F64 : WA_F32;
    if (wa__attr_find(n->attrs, n->attr_count, "softmax_precision")) f.precision = wa__dtype_from_onnx(wa__node_int(n, "softmax_precision", 0));
    if (!wa__dtype_is_float(f.precision)) return refuse(r, node, "its softmax_precision is no type of floats");
    f.q = wa__dp_wide(r, in[0]);
    f.k = wa__dp_wide(r, in[1]);
    f.v = wa__dp_wide(r, in[2]);
    if (r->status != WA_OK) return true;
    wa_sdpa a = {.q = f.q, .k = f.k, .v = f.v, .heads = f.qt.dims[1], .kv_heads = f.kt.dims[1], .scale = f.scale,
                 .bias = WA_NONE, .allowed = WA_NONE, .sink = WA_NONE, .scores_mode = -1};
    uint32_t y = plain && f.precision == wa__rw_t(r, f.q)->dtype ? wa__dp_attend(r, &a) : step_by_step(r, &f);
    wa__dp_result(r, node, 0, y, f.qt.dtype);
    return true;
}

const wa_decompose_row wa__decompose_flex[] = {
    {WA_OP_FlexAttention, flex_attention},
    {WA_OP_NONE, NULL},
};
