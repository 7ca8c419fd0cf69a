/* attention: heads split by Reshape and Transpose, scaled scores, bias or mask, softmax, times values,
 * heads joined again, become Attention over q, k, v [b,s,h*d]:
 *   join(softmax(scale * q.kT + bias) . v)
 * Scalars on q, k or the scores make up `scale`; additive masks (one or two) and Where-masks with
 * minus infinity make up `bias`; the NaN guard of newer exports (rows masked out whole) is attribute
 * guard=1. */
#include "opt/opt_int.h"

typedef struct heads {
    uint32_t x; /* [b,s,h*d], or the same elements under another shape */
    int64_t b, s, h, d;
} heads;

typedef struct match {
    heads q, k, v;
    double scale;
    uint32_t bias[2];
    uint32_t bias_count;
    uint32_t mask; /* condition of a Where */
    double mask_value;
    bool mask_true; /* the masked side is the true one */
    bool guard;
} match;

/* Looks through products with scalars. */
static uint32_t unscale(const wa_rw *r, uint32_t v, double *scale)
{
    for (;;) {
        uint32_t mul = wa__rw_def(r, v, WA_OP_Mul), div = wa__rw_def(r, v, WA_OP_Div), x = WA_NONE;
        double c;
        if (mul != WA_NONE && wa__rw_split_scalar(r, mul, &c, &x) && wa__rw_same_type(r, x, v)) *scale *= c;
        else if (div != WA_NONE && wa__rw_scalar(r, wa__rw_in(r, div, 1), &c) && c != 0 && wa__rw_same_type(r, wa__rw_in(r, div, 0), v)) {
            x = wa__rw_in(r, div, 0);
            *scale /= c;
        } else return v;
        v = x;
    }
}

/* v is Transpose(Reshape(x, [b,s,h,d]), perm), maybe scaled on the way. */
static bool split_heads(const wa_rw *r, uint32_t v, const int64_t *perm, double *scale, heads *out)
{
    v = unscale(r, v, scale);
    uint32_t t = wa__rw_def(r, v, WA_OP_Transpose);
    if (t == WA_NONE || !wa__rw_perm_is(r, t, perm, 4)) return false;
    v = unscale(r, wa__rw_in(r, t, 0), scale);
    uint32_t shape = wa__rw_def(r, v, WA_OP_Reshape);
    const wa_tensor_type *type = wa__rw_t(r, v);
    if (shape == WA_NONE || type->rank != 4) return false;
    *out = (heads){unscale(r, wa__rw_in(r, shape, 0), scale), type->dims[0], type->dims[1], type->dims[2], type->dims[3]};
    return true;
}

static bool is_scores(const wa_rw *r, uint32_t v, match *m)
{
    static const int64_t by_head[] = {0, 2, 1, 3}, transposed[] = {0, 2, 3, 1};
    double scale = 1;
    uint32_t product = wa__rw_def1(r, unscale(r, v, &scale), WA_OP_MatMul);
    if (product == WA_NONE || !split_heads(r, wa__rw_in(r, product, 0), by_head, &scale, &m->q) ||
        !split_heads(r, wa__rw_in(r, product, 1), transposed, &scale, &m->k))
        return false;
    m->scale = scale;
    return m->q.b == m->k.b && m->q.h == m->k.h && m->q.d == m->k.d;
}

/* Whether v leads to the product of queries and keys, maybe through another sum. */
static bool leads_to_scores(const wa_rw *r, uint32_t v, uint32_t sum)
{
    double ignored = 1;
    return wa__rw_same_type(r, v, sum) &&
           (wa__rw_def1(r, unscale(r, v, &ignored), WA_OP_MatMul) != WA_NONE || wa__rw_def1(r, v, WA_OP_Add) != WA_NONE);
}

/* v is scores, plus at most two biases on the way. */
static bool strip_bias(const wa_rw *r, uint32_t v, match *m)
{
    while (!is_scores(r, v, m)) {
        uint32_t sum = wa__rw_def1(r, v, WA_OP_Add);
        if (sum == WA_NONE || m->bias_count == 2) return false;
        uint32_t a = wa__rw_in(r, sum, 0), b = wa__rw_in(r, sum, 1);
        bool left = leads_to_scores(r, a, v);
        if (!left && !leads_to_scores(r, b, v)) return false;
        m->bias[m->bias_count++] = left ? b : a;
        v = left ? a : b;
    }
    return true;
}

/* v is Where(mask, lowest, scores) or Where(mask, scores, lowest). Only values that swallow any
 * score, so that a row masked out whole gives the same as with a bias. */
static bool strip_mask(const wa_rw *r, uint32_t v, match *m)
{
    uint32_t where = wa__rw_def1(r, v, WA_OP_Where);
    if (where == WA_NONE) return false;
    for (uint32_t i = 1; i < 3; i++) {
        if (!wa__rw_scalar(r, wa__rw_in(r, where, i), &m->mask_value) || m->mask_value > -3e38) continue;
        m->mask = wa__rw_in(r, where, 0);
        m->mask_true = i == 1;
        return wa__rw_same_type(r, wa__rw_in(r, where, 3 - i), v) && is_scores(r, wa__rw_in(r, where, 3 - i), m);
    }
    return false;
}

/* v is Softmax(...), maybe within Where(IsNaN(p), 0, p). */
static bool is_probabilities(const wa_rw *r, uint32_t v, match *m)
{
    uint32_t where = wa__rw_def1(r, v, WA_OP_Where), p = v;
    if (where != WA_NONE) {
        p = wa__rw_in(r, where, 2);
        uint32_t nan = wa__rw_def1(r, wa__rw_in(r, where, 0), WA_OP_IsNaN);
        if (nan == WA_NONE || wa__rw_in(r, nan, 0) != p || !wa__rw_is_scalar(r, wa__rw_in(r, where, 1), 0) || r->uses[p] != 2 || r->is_output[p]) return false;
        m->guard = true;
    }
    uint32_t softmax = m->guard ? wa__rw_def(r, p, WA_OP_Softmax) : wa__rw_def1(r, p, WA_OP_Softmax);
    if (softmax == WA_NONE) return false;
    int64_t axis = wa__node_int(&r->g->nodes[softmax], "axis", -1);
    if (axis != -1 && axis != 3) return false;
    uint32_t scores = wa__rw_in(r, softmax, 0);
    if (wa__rw_t(r, scores)->rank != 4) return false;
    return wa__rw_def(r, scores, WA_OP_Where) != WA_NONE ? strip_mask(r, scores, m) : strip_bias(r, scores, m);
}

/* Whether v broadcasts to [b|1, h|1, s|1, t]. */
static bool fits_bias(const wa_rw *r, uint32_t v, const match *m)
{
    const wa_tensor_type *t = wa__rw_t(r, v);
    int64_t full[4] = {m->q.b, m->q.h, m->q.s, m->k.s};
    if (t->rank < 1 || t->rank > 4 || t->dims[t->rank - 1] != m->k.s) return false;
    for (uint32_t i = 0; i + 1 < t->rank; i++)
        if (t->dims[i] != 1 && t->dims[i] != full[4 - t->rank + i]) return false;
    return true;
}

static bool fits(const wa_rw *r, uint32_t root, const match *m)
{
    const wa_tensor_type *t = wa__rw_t(r, r->g->nodes[root].outputs[0]);
    if (m->k.b != m->v.b || m->k.s != m->v.s || m->k.h != m->v.h || m->q.d != m->v.d || m->q.d < 1) return false;
    if (t->rank < 1 || t->dims[t->rank - 1] != m->q.h * m->q.d) return false;
    for (uint32_t i = 0; i < m->bias_count; i++)
        if (!fits_bias(r, m->bias[i], m)) return false;
    return m->mask == WA_NONE || fits_bias(r, m->mask, m);
}

/* v as a tensor of these dimensions. */
static uint32_t viewed(wa_rw *r, uint32_t v, const int64_t *dims, uint32_t rank)
{
    const wa_tensor_type *t = wa__rw_t(r, v);
    if (v == WA_NONE || (t->rank == rank && memcmp(t->dims, dims, rank * sizeof *dims) == 0)) return v;
    uint32_t shape = wa__rw_const_ints(r, dims, rank);
    uint32_t node = shape == WA_NONE ? WA_NONE : wa__rw_node(r, WA_OP_Reshape, (uint32_t[]){v, shape}, 2);
    return node != WA_NONE && wa__rw_type(r, node) ? r->g->nodes[node].outputs[0] : WA_NONE;
}

static uint32_t as_bias(wa_rw *r, uint32_t v)
{
    wa_tensor_type t = *wa__rw_t(r, v);
    int64_t dims[4] = {1, 1, 1, 1};
    for (uint32_t i = 0; i < t.rank; i++) dims[4 - t.rank + i] = t.dims[i];
    return viewed(r, v, dims, 4);
}

static uint32_t computed(wa_rw *r, wa_op op, const uint32_t *inputs, uint32_t count)
{
    uint32_t node = wa__rw_node(r, op, inputs, count);
    return node != WA_NONE && wa__rw_type(r, node) ? r->g->nodes[node].outputs[0] : WA_NONE;
}

/* The bias as one value; WA_NONE when there is none or memory ran out (then the session failed). */
static uint32_t build_bias(wa_rw *r, const match *m)
{
    if (m->mask != WA_NONE) {
        uint8_t low_bytes[8] = {0}, zero_bytes[8] = {0};
        wa_view low = {{wa__rw_t(r, m->q.x)->dtype, 0, {0}}, low_bytes};
        wa__set_f64(&low, 0, m->mask_value);
        uint32_t lowest = wa__graph_const(r->g, WA_STR(""), &low.type, low_bytes, -1), zero = wa__graph_const(r->g, WA_STR(""), &low.type, zero_bytes, -1);
        if (!wa__rw_need(r, lowest != WA_NONE && zero != WA_NONE) || !wa__rw_grow(r)) return WA_NONE;
        uint32_t where = computed(r, WA_OP_Where, (uint32_t[]){m->mask, m->mask_true ? lowest : zero, m->mask_true ? zero : lowest}, 3);
        return where == WA_NONE ? WA_NONE : as_bias(r, where);
    }
    if (m->bias_count == 0) return WA_NONE;
    uint32_t bias = m->bias[0];
    if (m->bias_count == 2) bias = computed(r, WA_OP_Add, m->bias, 2);
    return bias == WA_NONE ? WA_NONE : as_bias(r, bias);
}

static uint32_t whole(wa_rw *r, const heads *x) { return viewed(r, x->x, (int64_t[]){x->b, x->s, x->h * x->d}, 3); }

static void set_attrs(wa_rw *r, uint32_t node, const match *m)
{
    bool ok = wa__node_set_int(r->g, node, "num_heads", m->q.h) && wa__node_set_float(r->g, node, "scale", (float)m->scale) &&
              (!m->guard || wa__node_set_int(r->g, node, "guard", 1));
    if (wa__rw_need(r, ok)) wa__rw_type(r, node);
}

static void rewrite(wa_rw *r, uint32_t root, const match *m)
{
    wa_tensor_type t = *wa__rw_t(r, r->g->nodes[root].outputs[0]);
    uint32_t in[4] = {whole(r, &m->q), whole(r, &m->k), whole(r, &m->v), build_bias(r, m)};
    if (r->status != WA_OK) return;
    uint32_t count = in[3] == WA_NONE ? 3 : 4;
    if (t.rank == 3 && t.dims[0] == m->q.b && t.dims[1] == m->q.s) {
        if (wa__rw_become(r, root, WA_OP_Attention, in, count)) set_attrs(r, root, m);
        return;
    }
    uint32_t node = wa__rw_node(r, WA_OP_Attention, in, count), shape = wa__rw_const_ints(r, t.dims, t.rank);
    if (node == WA_NONE || shape == WA_NONE) return;
    set_attrs(r, node, m);
    if (r->status == WA_OK && wa__rw_become(r, root, WA_OP_Reshape, (uint32_t[]){r->g->nodes[node].outputs[0], shape}, 2)) wa__rw_type(r, root);
}

static void find(wa_rw *r, uint32_t root)
{
    static const int64_t by_head[] = {0, 2, 1, 3};
    match m = {.mask = WA_NONE, .scale = 1};
    double value_scale = 1;
    if (r->g->nodes[root].op != WA_OP_Reshape) return;
    uint32_t join = wa__rw_def1(r, wa__rw_in(r, root, 0), WA_OP_Transpose);
    if (join == WA_NONE || !wa__rw_perm_is(r, join, by_head, 4)) return;
    uint32_t product = wa__rw_def1(r, wa__rw_in(r, join, 0), WA_OP_MatMul);
    if (product == WA_NONE || !split_heads(r, wa__rw_in(r, product, 1), by_head, &value_scale, &m.v) || value_scale != 1) return;
    if (is_probabilities(r, wa__rw_in(r, product, 0), &m) && fits(r, root, &m)) rewrite(r, root, &m);
}

void wa__opt_attention(wa_rw *r)
{
    for (uint32_t i = 0, count = r->g->node_count; i < count; i++)
        if (wa__rw_visit(r, i)) find(r, i);
}
