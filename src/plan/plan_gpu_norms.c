/* Layer norms that need no dispatch: one that stands between two products is taken in by both. The first
 * leaves statistics of its rows beside them, the second normalises while it loads (kernels/wgsl_product.h);
 * where something else reads the normalised rows too (the residual of a post-norm layer) the first reader
 * writes them on the way. In: classified nodes and forms. Out: b->norms. The graph stays as it is, so
 * that other targets and the reference see plain norms. */
#include "plan/plan_gpu_product.h"

/* Above so many rows a norm's own dispatch is cheap beside the products, so every other norm keeps its own:
 * an encoder's layer is then 6 dispatches in place of 5. */
#define ROWS_MAX (1u << 20)

wa_gpu_norm *wa__gpu_norm_before(const wa_plan_builder *b, uint32_t node)
{
    return b->norm_before && b->norm_before[node] ? (wa_gpu_norm *)b->norms.ptr + b->norm_before[node] - 1 : NULL;
}

wa_gpu_norm *wa__gpu_norm_after(const wa_plan_builder *b, uint32_t node)
{
    for (size_t i = 0; i < b->norms.count; i++)
        if (((wa_gpu_norm *)b->norms.ptr)[i].after == node) return (wa_gpu_norm *)b->norms.ptr + i;
    return NULL;
}

static bool dense(const wa_plan_builder *b, uint32_t value) { return value == WA_NONE || wa__gpu_form(b, value) != WA_FORM_TILES; }

/* A product that runs as one of the tiled kernels. */
static bool tiled(const wa_plan_builder *b, uint32_t node, wa_gpu_product *p)
{
    const wa_node *n = &b->g->nodes[node];
    wa_gpu_tile tile;
    if (b->node_target[node] != WA_TARGET_WEBGPU || (n->op != WA_OP_MatMul && n->op != WA_OP_Gemm && n->op != WA_OP_FusedMatMul)) return false;
    if (wa__plan_empty(b, n->outputs[0]) || !wa__gpu_packed_product(b, n, p) || !dense(b, p->a) || !dense(b, p->residual) || !dense(b, n->outputs[0])) return false;
    if (wa__gpu_has_blocks(b, node, p->b, p->trans_b)) return false; /* weights of few bits have a kernel of their own */
    return wa__gpu_tile_for(&b->t, p->m, p->n, p->k, &tile, NULL) == WA_OK && tile.kernel != WA_WGSL_MATMUL;
}

/* Storage bindings of a product with these norms around it. */
static uint32_t bindings(const wa_gpu_product *p, const wa_gpu_norm *before, bool after)
{
    uint32_t n = 3u + (p->bias != WA_NONE ? 1u : 0u) + (p->residual != WA_NONE ? 1u : 0u) + (after ? 1u : 0u);
    return before ? n + 2u + (before->beta != WA_NONE ? 1u : 0u) + (before->keep ? 1u : 0u) : n;
}

/* A norm over the last axis by a scale and, maybe, a shift along it. */
static bool plain_norm(const wa_plan_builder *b, const wa_node *n, wa_gpu_norm *out)
{
    if (n->op != WA_OP_LayerNormalization && n->op != WA_OP_RMSNormalization) return false;
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    int64_t axis = wa__node_int(n, "axis", -1);
    if (!x->rank || (axis != -1 && axis != (int64_t)x->rank - 1) || x->dims[x->rank - 1] % 4) return false;
    for (uint32_t i = 1; i < n->output_count; i++)
        if (n->outputs[i] != WA_NONE && wa__graph_uses(b->g, n->outputs[i])) return false;
    out->rms = n->op == WA_OP_RMSNormalization;
    out->beta = n->input_count > 2 ? n->inputs[2] : WA_NONE;
    return wa__count(wa__gpu_type(b, n->inputs[1])) == x->dims[x->rank - 1] && (out->beta == WA_NONE || wa__count(wa__gpu_type(b, out->beta)) == x->dims[x->rank - 1]);
}

/* The node that makes a root value, WA_NONE where there is none. */
static uint32_t maker(const wa_plan_builder *b, uint32_t root)
{
    const wa_value *v = &b->g->values[root];
    return v->kind == WA_VALUE_NODE ? v->producer : WA_NONE;
}

static bool reads(const wa_plan_builder *b, const wa_node *n, uint32_t root, uint32_t from)
{
    for (uint32_t i = from; i < n->input_count; i++)
        if (n->inputs[i] != WA_NONE && b->root[n->inputs[i]] == root) return true;
    return false;
}

static bool is_output(const wa_plan_builder *b, uint32_t root)
{
    for (uint32_t i = 0; i < b->g->output_count; i++)
        if (b->root[b->g->outputs[i]] == root) return true;
    return false;
}

/* Finds the products that normalise for themselves, marking them with `mark`; false when the first reader is none of
 * them. Sets norm->keep where others read the rows. */
static bool readers(wa_plan_builder *b, wa_gpu_norm *norm, uint32_t mark, uint32_t *first)
{
    const wa_node *n = &b->g->nodes[norm->node];
    uint32_t y = b->root[n->outputs[0]];
    uint64_t width = (uint64_t)wa__gpu_type(b, n->inputs[0])->dims[wa__gpu_type(b, n->inputs[0])->rank - 1];
    bool found = false;
    norm->keep = is_output(b, y);
    *first = WA_NONE;
    for (uint32_t i = norm->node + 1; i < b->g->node_count; i++) {
        const wa_node *r = &b->g->nodes[i];
        wa_gpu_product p;
        if (!b->node_target[i] || !reads(b, r, y, 0)) continue;
        bool takes = b->root[r->inputs[0]] == y && !reads(b, r, y, 1) && tiled(b, i, &p) && p.k == width;
        wa_gpu_norm kept = *norm;
        kept.keep = !found; /* it may have to write the rows */
        if (takes && bindings(&p, &kept, false) <= WA_PLAN_BINDINGS_MAX) {
            b->norm_before[i] = mark;
            if (!found) *first = i;
            found = true;
        } else if (!found) {
            return false;
        } else {
            norm->keep = true;
        }
    }
    return found;
}

static void unmark(wa_plan_builder *b, uint32_t mark)
{
    for (uint32_t i = 0; i < b->g->node_count; i++)
        if (b->norm_before[i] == mark) b->norm_before[i] = 0;
}

static bool take(wa_plan_builder *b, uint32_t node, wa_gpu_norm *norm)
{
    const wa_node *n = &b->g->nodes[node];
    uint32_t mark = (uint32_t)b->norms.count + 1, first;
    wa_gpu_product p;
    *norm = (wa_gpu_norm){.node = node, .block = WA_NONE};
    if (b->node_target[node] != WA_TARGET_WEBGPU || !plain_norm(b, n, norm)) return false;
    norm->after = maker(b, b->root[n->inputs[0]]);
    if (norm->after == WA_NONE || !tiled(b, norm->after, &p) || wa__gpu_norm_after(b, norm->after)) return false;
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    if (p.n != (uint64_t)x->dims[x->rank - 1] || !dense(b, n->outputs[0])) return false;
    const wa_gpu_norm *before = wa__gpu_norm_before(b, norm->after);
    if ((before && before->rms != norm->rms) || bindings(&p, before, true) > WA_PLAN_BINDINGS_MAX) return false;
    if (!readers(b, norm, mark, &first)) {
        unmark(b, mark);
        return false;
    }
    return true;
}

wa_status wa__plan_gpu_norms(wa_plan_builder *b)
{
    bool own = false;
    if (b->t.target != WA_TARGET_WEBGPU || b->t.software) return WA_OK; /* software: a reader of 8 rows normalises slower than a norm's own dispatch */
    if (!(b->norm_before = wa__alloc(b->g->node_count + 1u, sizeof *b->norm_before))) return wa__no_memory(b->err, "the plan");
    for (uint32_t i = 0; i < b->g->node_count; i++) {
        wa_gpu_norm norm;
        if (b->g->nodes[i].dead || !take(b, i, &norm)) continue;
        const wa_tensor_type *x = wa__gpu_type(b, b->g->nodes[i].inputs[0]);
        if (wa__count(x) / x->dims[x->rank - 1] > ROWS_MAX && (own = !own)) {
            unmark(b, (uint32_t)b->norms.count + 1);
            continue;
        }
        wa_gpu_norm *kept = wa__plan_vec_push(&b->norms, sizeof *kept);
        if (!kept) return wa__no_memory(b->err, "the plan");
        *kept = norm;
        b->taken[i] = 1;
    }
    return WA_OK;
}
