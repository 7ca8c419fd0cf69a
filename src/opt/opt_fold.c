/* fold: infers every shape, computes what is constant, removes what changes nothing.
 * In: a bound graph. Out: the same with numbers for all shapes and no shape arithmetic left.
 *
 * Weights are not copied: Cast, Transpose, Gather, Slice, Split, Concat and Expand of a matrix of
 * floats, or of a vector of WEIGHT_BYTES or more, stay for the planner and the patterns; views of
 * constants share their bytes. */
#include "opt/decompose.h"

#define WEIGHT_BYTES 4096 /* a vector below this costs nothing to copy */
#define QUANT_COUNT  ((int64_t)1 << 20) /* quantised weights above this stay as they are */
#define INPUTS_MAX   64
#define PRODUCT_MAX  ((int64_t)1 << 26) /* multiplications of one folded product: the reference is slow */

static bool is_view(wa_op op) { return wa__op_info(op)->view; }

/* A tensor without elements is as good as a constant. */
static bool all_const(const wa_rw *r, const wa_node *n)
{
    for (uint32_t i = 0; i < n->input_count; i++)
        if (n->inputs[i] != WA_NONE && !wa__rw_is_const(r, n->inputs[i]) && wa__count(wa__rw_t(r, n->inputs[i])) > 0) return false;
    return true;
}

/* Whether computing n here would only copy a weight. */
static bool copies_weight(const wa_rw *r, const wa_node *n)
{
    if ((n->op == WA_OP_DequantizeLinear || n->op == WA_OP_Cast) && wa__count(wa__rw_t(r, n->inputs[0])) > QUANT_COUNT) {
        const wa_dtype d = wa__rw_t(r, n->inputs[0])->dtype;
        return wa__dtype_info(d)->bits <= 8 && d != WA_BOOL; /* four to sixteen times larger */
    }
    switch (n->op) {
    case WA_OP_Cast: case WA_OP_Transpose: case WA_OP_Gather: case WA_OP_Slice: case WA_OP_Split: case WA_OP_Concat: case WA_OP_Expand: break;
    default: return false;
    }
    for (uint32_t i = 0; i < n->input_count; i++) {
        if (n->inputs[i] == WA_NONE) continue;
        const wa_tensor_type *t = wa__rw_t(r, n->inputs[i]);
        if (wa__dtype_is_float(t->dtype) && wa__count(t) > 1 && (t->rank > 1 || wa__bytes(t) >= WEIGHT_BYTES)) return true;
    }
    return false;
}

/* Whether n is the concatenation of the weights or biases of one product with splits (see opt.h). */
static bool is_side_by_side(const wa_node *n, const bool *product_input)
{
    return n->op == WA_OP_Concat && product_input[n->outputs[0]];
}

/* Whether the evaluator would take too long: everything but products is linear in bytes capped elsewhere. */
static bool is_heavy(const wa_rw *r, const wa_node *n)
{
    if (n->op != WA_OP_MatMul && n->op != WA_OP_Gemm) return false;
    const wa_tensor_type *a = wa__rw_t(r, n->inputs[0]);
    int64_t depth = a->rank ? a->dims[a->rank - 1] : 1, count = wa__count(wa__rw_t(r, n->outputs[0]));
    if (n->op == WA_OP_Gemm && a->rank == 2 && a->dims[0] > depth) depth = a->dims[0]; /* maybe transposed */
    return count > 0 && depth > PRODUCT_MAX / count;
}

static bool make_view(wa_rw *r, uint32_t value, wa_view *out, void **copy)
{
    const wa_value *v = &r->g->values[value];
    union { const uint8_t *in; void *data; } u = {.in = v->data};
    *out = (wa_view){v->type, u.data};
    if (((uintptr_t)v->data & 15) == 0) return true;
    size_t bytes = (size_t)wa__bytes(&v->type); /* kernels read whole elements */
    *copy = wa__alloc(bytes, 1);
    if (!wa__rw_need(r, *copy != NULL)) return false;
    if (bytes) memcpy(*copy, v->data, bytes);
    out->data = *copy;
    return true;
}

static bool room_for_outputs(wa_rw *r, const wa_node *n, wa_view *out)
{
    for (uint32_t i = 0; i < n->output_count; i++) {
        uint64_t bytes;
        out[i].type = *wa__rw_t(r, n->outputs[i]);
        if (!wa__type_bytes(&out[i].type, &bytes) || bytes > WA_LIMIT_FOLD_BYTES) return false;
        out[i].data = wa__arena_alloc(r->g->arena, 1, (size_t)bytes);
        if (!wa__rw_need(r, out[i].data != NULL)) return false;
    }
    return true;
}

static void become_consts(wa_rw *r, uint32_t node, const wa_view *out)
{
    wa_node *n = &r->g->nodes[node];
    for (uint32_t i = 0; i < n->output_count; i++) {
        wa_value *v = &r->g->values[n->outputs[i]];
        v->kind = WA_VALUE_CONST;
        v->producer = WA_NONE;
        v->data = out[i].data;
        v->source = -1;
        v->offset = 0;
    }
    n->dead = true;
    r->changed = true;
    wa__rw_drop_inputs(r, node);
}

/* Computes a node whose inputs are all constant. One that the evaluator does not know stays. */
static void evaluate(wa_rw *r, uint32_t node)
{
    wa_node *n = &r->g->nodes[node];
    wa_view in[INPUTS_MAX], out[INPUTS_MAX];
    void *copies[INPUTS_MAX] = {0};
    if (!r->options->eval || n->input_count > INPUTS_MAX || n->output_count > INPUTS_MAX) return;
    bool ok = room_for_outputs(r, n, out);
    for (uint32_t i = 0; ok && i < n->input_count; i++) {
        in[i] = (wa_view){{WA_DTYPE_NONE, 0, {0}}, NULL};
        if (n->inputs[i] != WA_NONE) ok = make_view(r, n->inputs[i], &in[i], &copies[i]);
    }
    if (ok) {
        wa_status s = r->options->eval(r->options->user, n->op, n->attrs, n->attr_count, in, n->input_count, out, n->output_count, r->err);
        if (s == WA_OK) become_consts(r, node, out);
        else if (s != WA_UNSUPPORTED) {
            wa__fail_in(r->err, s, "folding %s node %u (%.*s)", wa__op_info(n->op)->name, node, WA_STR_ARG(n->name));
            wa__rw_fail(r, s);
        }
    }
    for (uint32_t i = 0; i < n->input_count; i++) wa__free(copies[i]);
}

/* A node whose results have no elements is done: no target needs to run it. */
static bool fold_empty(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    wa_view out[INPUTS_MAX];
    for (uint32_t i = 0; i < n->output_count; i++)
        if (wa__count(wa__rw_t(r, n->outputs[i])) > 0) return false;
    if (n->output_count == 0 || n->output_count > INPUTS_MAX || n->subgraph_count || !room_for_outputs(r, n, out)) return false;
    become_consts(r, node, out);
    return true;
}

/* Shape and Size need their input's type only. */
static void fold_shape(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    const wa_tensor_type *in = wa__rw_t(r, n->inputs[0]);
    wa_tensor_type t = *wa__rw_t(r, n->outputs[0]);
    int64_t *data = WA_ARENA_NEW(r->g->arena, int64_t, WA_RANK_MAX);
    if (!wa__rw_need(r, data != NULL)) return;
    if (n->op == WA_OP_Size) data[0] = wa__count(in);
    else {
        int64_t start = wa__node_int(n, "start", 0);
        if (start < 0) start += in->rank;
        if (start < 0) start = 0;
        for (int64_t i = 0; i < t.dims[0]; i++) data[i] = in->dims[start + i];
    }
    become_consts(r, node, &(wa_view){t, data});
}

static bool inputs_typed(const wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    for (uint32_t i = 0; i < n->input_count; i++)
        if (n->inputs[i] != WA_NONE && (wa__rw_t(r, n->inputs[i])->rank > WA_RANK_MAX || !wa__rw_t(r, n->inputs[i])->dtype)) return false;
    return true;
}

/* An operator that is decomposed, but not with a shape-like input that is no constant. */
static bool waits_for_value(const wa_rw *r, const wa_node *n)
{
    if (wa__graph_op_typed(n->op) || !wa__opt_decomposes(n->op)) return false;
    for (uint32_t i = 0; i < n->input_count && i < 32; i++)
        if (n->inputs[i] != WA_NONE && (wa__op_info(n->op)->shape_inputs >> i & 1) && !wa__rw_is_const(r, n->inputs[i])) return true;
    return false;
}

/* Old forms, decomposition, types. False: nothing more is to be done with this node. */
static bool type_node(wa_rw *r, uint32_t node)
{
    bool dynamic = r->options->dynamic, changed = r->changed;
    const wa_node *n = &r->g->nodes[node];
    if (wa__opt_is_control(n)) {
        if (!dynamic)
            wa__rw_fail(r, wa__fail(r->err, WA_DYNAMIC, "%s node %u (%.*s): what it does depends on data: its condition or trip count is known only at run time",
                                    wa__op_info(n->op)->name, node, WA_STR_ARG(n->name)));
        return false;
    }
    if (dynamic && !inputs_typed(r, node)) return false;
    wa__opt_modernize(r, node);
    if (r->status != WA_OK) return false;
    uint32_t before = r->g->node_count;
    if (wa__opt_decompose(r, node)) return false;
    if (r->status == WA_DYNAMIC && dynamic) { /* inside a decomposition: take back what it built */
        r->status = WA_OK;
        wa__rw_abandon(r, before);
        r->changed = changed;
        return false;
    }
    if (r->status != WA_OK) return false;
    wa_status s = wa__graph_infer_node(r->g, node, r->err);
    if (s == WA_UNSUPPORTED && waits_for_value(r, &r->g->nodes[node]))
        s = wa__fail(r->err, WA_DYNAMIC, "%s node %u: its shape depends on data: an input that decides it is known only at run time", wa__op_info(r->g->nodes[node].op)->name, node);
    if (s != WA_OK && (s != WA_DYNAMIC || !dynamic)) wa__rw_fail(r, s);
    return s == WA_OK;
}

static void fold_node(wa_rw *r, uint32_t node, const bool *product_input, size_t known)
{
    if (!type_node(r, node)) return;
    const wa_node *n = &r->g->nodes[node];
    if (n->op == WA_OP_Shape || n->op == WA_OP_Size) {
        fold_shape(r, node);
        return;
    }
    if (n->op == WA_OP_Slice && wa__count(wa__rw_t(r, n->outputs[0])) == 0) { /* nothing is left: results of loops that never run */
        become_consts(r, node, &(wa_view){*wa__rw_t(r, n->outputs[0]), wa__arena_alloc(r->g->arena, 1, 1)});
        return;
    }
    if (is_view(n->op) && wa__rw_is_const(r, n->inputs[0])) {
        wa__rw_share_const(r, node, n->inputs[0]);
        return;
    }
    if (fold_empty(r, node)) return;
    bool kept = n->outputs[0] < known && is_side_by_side(n, product_input);
    if (wa__op_info(n->op)->foldable && all_const(r, n) && !copies_weight(r, n) && !is_heavy(r, n) && !kept) {
        evaluate(r, node);
        if (r->g->nodes[node].dead) return;
    }
    if (r->status == WA_OK) wa__opt_simplify(r, node);
}

void wa__opt_fold(wa_rw *r)
{
    uint32_t count = r->g->node_count;
    size_t known = r->g->value_count;
    bool *product_input = wa__alloc(known, sizeof *product_input);
    if (!wa__rw_need(r, product_input != NULL)) return;
    for (uint32_t i = 0; i < count; i++) {
        const wa_node *n = &r->g->nodes[i];
        for (uint32_t k = 1; n->op == WA_OP_FusedMatMul && k < 3 && k < n->input_count; k++)
            if (n->inputs[k] != WA_NONE) product_input[n->inputs[k]] = true;
    }
    for (uint32_t i = 0; i < count && r->status == WA_OK; i++)
        if (wa__rw_visit(r, i)) fold_node(r, i, product_input, known);
    wa__free(product_input);
}
