/* Removes what changes nothing, brings all views to Reshape and merges chains. Part of fold: called
 * for each node once its types are known. */
#include "opt/opt_int.h"

static uint32_t out_of(const wa_rw *r, uint32_t node) { return r->g->nodes[node].outputs[0]; }

/* The node's result becomes its input, where the types allow. */
static bool bypass(wa_rw *r, uint32_t node, uint32_t input)
{
    if (!wa__rw_same_type(r, out_of(r, node), input)) return false;
    return wa__rw_replace(r, out_of(r, node), input);
}

/* Reshape(Cast(x)) becomes Cast(Reshape(x)): elementwise nodes come to stand side by side, views at
 * the ends. */
static bool view_before_cast(wa_rw *r, uint32_t node, uint32_t x)
{
    uint32_t cast = wa__rw_def1(r, x, WA_OP_Cast);
    if (cast == WA_NONE) return false;
    wa_tensor_type t = *wa__rw_t(r, out_of(r, node));
    uint32_t shape = wa__rw_const_ints(r, t.dims, t.rank);
    uint32_t view = shape == WA_NONE ? WA_NONE : wa__rw_node(r, WA_OP_Reshape, (uint32_t[]){wa__rw_in(r, cast, 0), shape}, 2);
    bool zero = wa__count(&t) == 0;
    if (view == WA_NONE || !wa__rw_need(r, !zero || wa__node_set_int(r->g, view, "allowzero", 1)) || !wa__rw_type(r, view)) return true;
    uint32_t in = out_of(r, view);
    if (wa__rw_become(r, node, WA_OP_Cast, &in, 1) && wa__rw_need(r, wa__node_set_int(r->g, node, "to", t.dtype))) wa__rw_type(r, node);
    return true;
}

/* Flatten, Squeeze, Unsqueeze and Reshape become Reshape to numbers, from the first of a chain. */
static void simplify_view(wa_rw *r, uint32_t node)
{
    uint32_t x = wa__rw_in(r, node, 0), before;
    wa_tensor_type t = *wa__rw_t(r, out_of(r, node));
    while ((before = wa__rw_def(r, x, WA_OP_Reshape)) != WA_NONE) x = wa__rw_in(r, before, 0);
    if (bypass(r, node, x) || view_before_cast(r, node, x)) return;
    const wa_node *n = &r->g->nodes[node];
    int64_t dims[WA_RANK_MAX];
    uint32_t count;
    bool plain = n->op == WA_OP_Reshape && x == n->inputs[0] && wa__graph_const_ints(r->g, n->inputs[1], dims, WA_RANK_MAX, &count) &&
                 count == t.rank && memcmp(dims, t.dims, count * sizeof *dims) == 0;
    if (plain) return;
    bool zero = false;
    for (uint32_t i = 0; i < t.rank; i++) zero = zero || t.dims[i] == 0;
    uint32_t shape = wa__rw_const_ints(r, t.dims, t.rank);
    if (shape == WA_NONE || !wa__rw_become(r, node, WA_OP_Reshape, (uint32_t[]){x, shape}, 2)) return;
    if (zero && !wa__rw_need(r, wa__node_set_int(r->g, node, "allowzero", 1))) return;
    wa__rw_type(r, node);
}

static void permutation(const wa_rw *r, uint32_t node, int64_t *perm, uint32_t rank)
{
    const wa_node *n = &r->g->nodes[node];
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, "perm");
    for (uint32_t i = 0; i < rank; i++) perm[i] = a ? a->ints[i] : (int64_t)(rank - 1 - i);
}

static void simplify_transpose(wa_rw *r, uint32_t node)
{
    int64_t p[WA_RANK_MAX], q[WA_RANK_MAX], both[WA_RANK_MAX];
    uint32_t x = wa__rw_in(r, node, 0), rank = wa__rw_t(r, x)->rank, before = wa__rw_def(r, x, WA_OP_Transpose);
    bool identity = true;
    permutation(r, node, p, rank);
    if (before != WA_NONE) {
        permutation(r, before, q, rank);
        x = wa__rw_in(r, before, 0);
    }
    for (uint32_t i = 0; i < rank; i++) {
        both[i] = before == WA_NONE ? p[i] : q[p[i]];
        identity = identity && both[i] == i;
    }
    if (identity && bypass(r, node, x)) return;
    if (before == WA_NONE || !wa__rw_become(r, node, WA_OP_Transpose, &x, 1)) return;
    if (wa__rw_need(r, wa__node_set_ints(r->g, node, "perm", both, rank))) wa__rw_type(r, node);
}

/* x*1, x/1, x+0, x-0, x**1, and(x,true), or(x,false). */
static bool is_neutral(wa_op op, double c, bool right)
{
    switch (op) {
    case WA_OP_Mul: return c == 1;
    case WA_OP_Div: case WA_OP_Pow: return right && c == 1;
    case WA_OP_Add: return c == 0;
    case WA_OP_Sub: return right && c == 0;
    case WA_OP_And: return c == 1;
    case WA_OP_Or: return c == 0;
    default: return false;
    }
}

/* A neutral constant that has a shape of its own still broadcasts: the node becomes Expand. */
static bool drop_neutral(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    wa_tensor_type t = *wa__rw_t(r, n->outputs[0]);
    for (uint32_t i = 0; i < 2 && n->input_count == 2; i++) {
        double c;
        uint32_t x = n->inputs[1 - i];
        if (!wa__rw_scalar(r, n->inputs[i], &c) || !is_neutral(n->op, c, i == 1)) continue;
        if (bypass(r, node, x)) return true;
        if (wa__rw_same_type(r, n->outputs[0], x)) return false; /* an output that must keep its node */
        uint32_t shape = wa__rw_const_ints(r, t.dims, t.rank);
        if (shape != WA_NONE && wa__rw_become(r, node, WA_OP_Expand, (uint32_t[]){x, shape}, 2)) wa__rw_type(r, node);
        return true;
    }
    return false;
}

/* Indices that name every element of x in order (masks read through grids of positions): a view. */
static void simplify_gather_nd(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    uint32_t x = n->inputs[0];
    const wa_tensor_type *in = wa__rw_t(r, x), *it = wa__rw_t(r, n->inputs[1]);
    wa_tensor_type out = *wa__rw_t(r, n->outputs[0]);
    if (wa__node_int(n, "batch_dims", 0) != 0 || !wa__rw_is_const(r, n->inputs[1]) || it->dims[it->rank - 1] != in->rank || wa__count(&out) != wa__count(in)) return;
    union { const uint8_t *in; void *data; } u = {.in = r->g->values[n->inputs[1]].data};
    wa_view view = {*it, u.data};
    for (int64_t i = 0; i < wa__count(&out); i++) {
        int64_t at = 0;
        for (uint32_t d = 0; d < in->rank; d++) {
            int64_t k = wa__get_i64(&view, i * in->rank + d);
            if (k < 0 || k >= in->dims[d]) return;
            at = at * in->dims[d] + k;
        }
        if (at != i) return;
    }
    uint32_t shape = wa__rw_const_ints(r, out.dims, out.rank);
    if (shape != WA_NONE && wa__rw_become(r, node, WA_OP_Reshape, (uint32_t[]){x, shape}, 2)) wa__rw_type(r, node);
}

static bool full_slice(const wa_rw *r, uint32_t node)
{
    int64_t steps[WA_RANK_MAX];
    uint32_t count;
    if (!wa__rw_same_type(r, out_of(r, node), wa__rw_in(r, node, 0))) return false;
    if (wa__rw_in(r, node, 4) == WA_NONE) return true;
    if (!wa__graph_const_ints(r->g, wa__rw_in(r, node, 4), steps, WA_RANK_MAX, &count)) return false;
    for (uint32_t i = 0; i < count; i++)
        if (steps[i] < 0) return false;
    return true;
}

static bool simplify_where(wa_rw *r, uint32_t node)
{
    double c;
    return wa__rw_scalar(r, wa__rw_in(r, node, 0), &c) && bypass(r, node, wa__rw_in(r, node, c != 0 ? 1 : 2));
}

static bool simplify_dropout(wa_rw *r, uint32_t node)
{
    double training;
    uint32_t mode = wa__rw_in(r, node, 2);
    if (mode != WA_NONE && !(wa__rw_scalar(r, mode, &training) && training == 0)) return false;
    const wa_node *n = &r->g->nodes[node];
    for (uint32_t i = 1; i < n->output_count; i++)
        if (r->uses[n->outputs[i]]) return false;
    return bypass(r, node, n->inputs[0]);
}

/* Shape that input `skip` of an elementwise node would give with another value in its place. */
static bool same_shape_with(const wa_rw *r, uint32_t node, uint32_t skip, uint32_t value)
{
    const wa_node *n = &r->g->nodes[node];
    wa_tensor_type t = *wa__rw_t(r, value);
    for (uint32_t i = 0; i < n->input_count; i++)
        if (i != skip && n->inputs[i] != WA_NONE && !wa__broadcast(&t, wa__rw_t(r, n->inputs[i]), &t)) return false;
    t.dtype = wa__rw_t(r, n->outputs[0])->dtype;
    return wa__type_eq(&t, wa__rw_t(r, n->outputs[0]));
}

/* Elementwise operators broadcast by themselves: an Expand or a constant of equal elements before
 * one shrinks where the result keeps its shape. */
static void shrink_inputs(wa_rw *r, uint32_t node)
{
    for (uint32_t i = 0; i < r->g->nodes[node].input_count && r->status == WA_OK; i++) {
        uint32_t v = wa__rw_in(r, node, i), expand = wa__rw_def(r, v, WA_OP_Expand);
        if (expand != WA_NONE && same_shape_with(r, node, i, wa__rw_in(r, expand, 0))) {
            wa__rw_set_input(r, node, i, wa__rw_in(r, expand, 0));
            continue;
        }
        double x;
        if (!wa__rw_is_const(r, v) || wa__count(wa__rw_t(r, v)) < 2 || !wa__rw_scalar(r, v, &x)) continue;
        wa_tensor_type t = {wa__rw_t(r, v)->dtype, 0, {0}};
        uint32_t c = wa__graph_const(r->g, WA_STR(""), &t, r->g->values[v].data, -1);
        if (!wa__rw_need(r, c != WA_NONE) || !wa__rw_grow(r)) return;
        if (same_shape_with(r, node, i, c)) wa__rw_set_input(r, node, i, c);
    }
}

/* op(Expand(x), ...) becomes Expand(op(x, ...)) where that makes less work; patterns then see through. */
static void push_expand(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    wa_tensor_type full = *wa__rw_t(r, n->outputs[0]), small = {full.dtype, 0, {0}};
    uint32_t inputs[3], count = n->input_count, expands = 0;
    if (n->output_count != 1 || count > 3 || n->op == WA_OP_Elementwise) return;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t expand = wa__rw_def(r, n->inputs[i], WA_OP_Expand);
        inputs[i] = expand == WA_NONE ? n->inputs[i] : wa__rw_in(r, expand, 0);
        expands += expand != WA_NONE;
        if (inputs[i] != WA_NONE && !wa__broadcast(&small, wa__rw_t(r, inputs[i]), &small)) return;
    }
    if (expands == 0 || wa__count(&small) >= wa__count(&full)) return;
    uint32_t inner = wa__rw_node(r, n->op, inputs, count);
    if (inner == WA_NONE) return;
    n = &r->g->nodes[node];
    wa_node *m = &r->g->nodes[inner];
    m->attrs = n->attrs; /* moved: become() below empties n's */
    m->attr_count = n->attr_count;
    m->opset = n->opset;
    m->name = n->name;
    uint32_t shape = wa__rw_const_ints(r, full.dims, full.rank);
    if (shape == WA_NONE || !wa__rw_type(r, inner)) return;
    if (wa__rw_become(r, node, WA_OP_Expand, (uint32_t[]){out_of(r, inner), shape}, 2)) wa__rw_type(r, node);
}

/* The last axis is -1 and defaults are left out, so that all importers' norms read the same. */
static void plain_layer_norm(wa_rw *r, uint32_t node)
{
    wa_node *n = &r->g->nodes[node];
    const wa_tensor_type *t = wa__rw_t(r, n->inputs[0]);
    if (t->rank && wa__node_int(n, "axis", -1) == (int64_t)t->rank - 1) wa__rw_need(r, wa__node_set_int(r->g, node, "axis", -1));
    for (uint32_t i = 0; i < n->attr_count; i++)
        if (wa__str_is(n->attrs[i].name, "stash_type") && n->attrs[i].i == 1) n->attrs[i--] = n->attrs[--n->attr_count];
}

static void simplify_elementwise(wa_rw *r, uint32_t node)
{
    if (drop_neutral(r, node)) return;
    if (r->g->nodes[node].op == WA_OP_Where && simplify_where(r, node)) return;
    shrink_inputs(r, node);
    if (r->status == WA_OK) push_expand(r, node);
}

void wa__opt_simplify(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    switch (n->op) {
    case WA_OP_Identity: bypass(r, node, n->inputs[0]); return;
    case WA_OP_Reshape: case WA_OP_Flatten: case WA_OP_Squeeze: case WA_OP_Unsqueeze: simplify_view(r, node); return;
    case WA_OP_Transpose: simplify_transpose(r, node); return;
    case WA_OP_Expand: case WA_OP_Tile: bypass(r, node, n->inputs[0]); return;
    case WA_OP_Slice:
        if (full_slice(r, node)) bypass(r, node, n->inputs[0]);
        return;
    case WA_OP_GatherND: simplify_gather_nd(r, node); return;
    case WA_OP_Dropout: simplify_dropout(r, node); return;
    case WA_OP_Concat: case WA_OP_Split:
        if (n->input_count == 1 && n->output_count == 1) bypass(r, node, n->inputs[0]);
        return;
    case WA_OP_Cast:
        if (bypass(r, node, n->inputs[0])) return;
        push_expand(r, node);
        return;
    case WA_OP_LayerNormalization: plain_layer_norm(r, node); return;
    case WA_OP_Min: case WA_OP_Max: case WA_OP_Sum: case WA_OP_Mean:
        if (n->input_count == 1 && bypass(r, node, n->inputs[0])) return;
        break;
    case WA_OP_Clip:
        if (wa__rw_in(r, node, 1) == WA_NONE && wa__rw_in(r, node, 2) == WA_NONE && bypass(r, node, n->inputs[0])) return;
        push_expand(r, node);
        return;
    default: break;
    }
    if (wa__op_info(n->op)->elementwise) simplify_elementwise(r, node);
}
