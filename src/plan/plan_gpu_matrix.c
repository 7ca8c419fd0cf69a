/* Products and attention on subgroup matrices, over 16x16 f16 tiles (WA_FORM_TILES): which nodes take
 * them, and their lowering. Called by the rows of plan_gpu_math.c and by plan_gpu_forms.c. */
#include "plan/plan_int.h"

enum { TILE = 16, INVOCATIONS_DEFAULT = 256, PARTS = 132 /* processors worth filling */ };

typedef struct product {
    uint32_t a, b, bias, residual;
    bool trans_b;
    float alpha;
    uint32_t act;
    uint64_t m, n, k;
} product;

static uint32_t input(const wa_node *n, uint32_t i) { return i < n->input_count ? n->inputs[i] : WA_NONE; }

static uint64_t count(const wa_plan_builder *b, uint32_t value) { return (uint64_t)wa__count(wa__gpu_type(b, value)); }

/* One [M,K] times a constant, both sides multiples of 16, a bias along N, a residual of the output's shape. */
static bool describe(const wa_plan_builder *b, const wa_node *n, product *p)
{
    bool gemm = n->op == WA_OP_Gemm, fused = n->op == WA_OP_FusedMatMul;
    *p = (product){input(n, 0), input(n, 1), input(n, 2), input(n, 3), (gemm || fused) && wa__node_int(n, "transB", 0),
                   gemm || fused ? wa__node_float(n, "alpha", 1) : 1, fused ? (uint32_t)wa__node_int(n, "act", 0) : 0, 0, 0, 0};
    const wa_tensor_type *a = wa__gpu_type(b, p->a);
    if (!(b->t.features & WA_FEATURE_MATRIX_F16) || (gemm && (wa__node_int(n, "transA", 0) || wa__node_float(n, "beta", 1) != 1))) return false;
    if (a->rank < 1 || wa__gpu_type(b, p->b)->rank != 2 || wa__plan_device_dtype(a->dtype) != WA_F32) return false;
    if (!wa__gpu_tiles(b, p->b, p->trans_b, &p->n, &p->k) || (uint64_t)a->dims[a->rank - 1] != p->k || !count(b, p->a)) return false;
    p->m = count(b, p->a) / p->k;
    if (p->k > 1u << 20 || p->n > 1u << 20 || p->m > (uint64_t)TILE * WA_PLAN_GRID_MAX || p->m * p->n != count(b, n->outputs[0])) return false;
    if (p->bias != WA_NONE && count(b, p->bias) != p->n) return false;
    return p->residual == WA_NONE || count(b, p->residual) == p->m * p->n;
}

uint32_t wa__gpu_product_tile_forms(wa_plan_builder *b, const wa_node *n, bool output, uint32_t index)
{
    product p;
    return (output || index == 0 || index == 3) && describe(b, n, &p) ? 1u << WA_FORM_TILES : 0;
}

static bool is_tiles(const wa_plan_builder *b, uint32_t value) { return value != WA_NONE && wa__gpu_form(b, value) == WA_FORM_TILES; }

bool wa__gpu_product_tiles(wa_plan_builder *b, const wa_node *n)
{
    product p;
    return is_tiles(b, input(n, 0)) && (input(n, 3) == WA_NONE || is_tiles(b, input(n, 3))) && describe(b, n, &p);
}

static uint64_t over(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

/* Most slices that share k tiles evenly, within the workgroup's memory and threads. */
static uint32_t slices(const wa_plan_builder *b, uint64_t k_tiles, uint32_t tiles, uint32_t most)
{
    uint32_t bytes = b->t.workgroup_bytes ? b->t.workgroup_bytes : WA_PLAN_WORKGROUP_BYTES, threads = b->t.invocations ? b->t.invocations : INVOCATIONS_DEFAULT;
    uint32_t s = most;
    if (bytes > WA_PLAN_WORKGROUP_BYTES_MAX) bytes = WA_PLAN_WORKGROUP_BYTES_MAX;
    while (s > 1 && (k_tiles % s || s * 32 > threads || s * tiles * 1024 > bytes)) s--;
    return s;
}

/* gpu/KERNELS.md: few rows: 32x16 or 32x32, K in 3 slices where N is wide, else in 8; many: the staged
 * form, or 64x64 for one subgroup where the product is small. */
static void choose(const wa_plan_builder *b, const product *p, uint32_t *s)
{
    uint64_t k_tiles = p->k / TILE, tall = over(p->m, TILE);
    if (p->m <= 512) {
        bool big = p->k * p->n >= 512 * 512 && p->n < 2048;
        s[6] = WA_WGSL_TILES_SPLIT;
        s[7] = tall >= 2 ? 2 : 1;
        s[8] = big && p->n % 32 == 0 && over(p->m, 32) * over(p->n, 32) >= PARTS / 2 ? 2 : 1;
        s[9] = slices(b, k_tiles, s[7] * s[8], p->n >= 1024 ? 3 : 8);
    } else if (p->k % 32 == 0 && over(p->m, 128) * over(p->n, 128) >= PARTS) {
        s[6] = WA_WGSL_TILES_WIDE;
        s[7] = s[8] = 8, s[9] = 1;
    } else {
        bool fill = over(p->m, 64) * over(p->n, 64) >= PARTS;
        s[6] = WA_WGSL_TILES_SPLIT;
        s[7] = s[8] = fill ? 4 : 2;
        s[9] = fill ? 1 : slices(b, k_tiles, 4, 2);
    }
}

/* --- norms of results ------------------------------------------------------------------------------- */
/* NORM: subgroups that share a row of n, and their column tiles; 0: it does not go. */
static uint32_t norm_slices(const wa_plan_builder *b, const product *p)
{
    uint32_t threads = b->t.invocations ? b->t.invocations : INVOCATIONS_DEFAULT;
    static const uint32_t slices_wanted[] = {12, 8, 16, 10, 6, 4, 3, 2};
    for (unsigned i = 0; i < sizeof slices_wanted / sizeof *slices_wanted; i++) {
        uint32_t s = slices_wanted[i], tiles = (uint32_t)(p->n / TILE);
        if (tiles % s == 0 && tiles / s <= (p->m >= 2048 ? 4u : 6u) && tiles / s >= (p->m >= 2048 && tiles > 12 ? 3u : 1u) && s * 32 <= threads) return s;
    }
    return 0;
}

/* A workgroup walks all of K for its rows: worth it while that is short, or the rows are many enough to
 * fill the machine (H200, [4096,768] times [768,3072]: 106 us, against 138 and a norm's 15). */
static bool norm_pays(const product *p) { return p->n * p->k <= 400 * 1024 || p->m >= 2048; }

/* A norm over the last axis of x with its scale and shift along the row; skip: what is added to x first. */
static bool norm_describe(const wa_plan_builder *b, const wa_node *n, uint32_t *skip, uint32_t *gamma, uint32_t *beta)
{
    bool adds = n->op == WA_OP_SkipLayerNorm;
    const wa_tensor_type *o = wa__gpu_type(b, n->outputs[0]);
    if (!adds && n->op != WA_OP_LayerNormalization && n->op != WA_OP_RMSNormalization) return false;
    int64_t axis = adds ? -1 : wa__node_int(n, "axis", -1);
    if (!o->rank || (axis != -1 && axis != (int64_t)o->rank - 1)) return false;
    for (uint32_t i = 1; i < n->output_count; i++)
        if (n->outputs[i] != WA_NONE && wa__graph_uses(b->g, n->outputs[i])) return false;
    *skip = adds ? input(n, 1) : WA_NONE;
    *gamma = input(n, adds ? 2 : 1);
    *beta = input(n, adds ? 3 : 2);
    uint64_t width = (uint64_t)o->dims[o->rank - 1];
    return count(b, *gamma) == width && (*beta == WA_NONE || count(b, *beta) == width) && (!adds || is_tiles(b, *skip));
}

/* Whether anything but `node` reads the value, and nothing does before that node. */
static bool read_elsewhere(const wa_plan_builder *b, uint32_t value, uint32_t node, bool *early)
{
    bool others = false;
    *early = false;
    for (uint32_t i = 0; i < b->g->output_count; i++) others = others || b->root[b->g->outputs[i]] == b->root[value];
    for (uint32_t i = 0; i < b->g->node_count; i++) {
        const wa_node *n = &b->g->nodes[i];
        if (i == node || n->dead) continue;
        for (uint32_t k = 0; k < n->input_count; k++)
            if (n->inputs[k] != WA_NONE && b->root[n->inputs[k]] == b->root[value]) others = true, *early = *early || i < node;
    }
    return others;
}

void wa__gpu_absorb_norms(wa_plan_builder *b)
{
    for (uint32_t i = 0; i < b->g->node_count; i++) {
        const wa_node *n = &b->g->nodes[i];
        uint32_t skip, gamma, beta, x = input(n, 0), from = x == WA_NONE ? WA_NONE : b->g->values[x].producer;
        product p;
        bool early;
        if (n->dead || b->node_target[i] != WA_TARGET_WEBGPU || x == WA_NONE || b->g->values[x].kind != WA_VALUE_NODE || from == WA_NONE) continue;
        const wa_node *f = &b->g->nodes[from];
        bool product_op = f->op == WA_OP_MatMul || f->op == WA_OP_Gemm || f->op == WA_OP_FusedMatMul;
        if (!product_op || b->node_target[from] != WA_TARGET_WEBGPU || !is_tiles(b, x) || !wa__gpu_product_tiles(b, f)) continue;
        if (!describe(b, f, &p) || !norm_pays(&p) || !norm_slices(b, &p) || !norm_describe(b, n, &skip, &gamma, &beta)) continue;
        bool kept = read_elsewhere(b, x, i, &early);
        uint32_t bindings = 4u + (p.bias != WA_NONE) + (p.residual != WA_NONE || skip != WA_NONE) + (beta != WA_NONE) + kept;
        if (early || (skip != WA_NONE && (p.residual != WA_NONE || kept)) || bindings > WA_PLAN_BINDINGS_MAX) continue;
        b->absorbed[from] = i;
        b->absorbed[i] = from;
    }
}

wa_status wa__gpu_product_tiles_lower(wa_plan_builder *b, uint32_t node, uint32_t norm)
{
    const wa_node *n = &b->g->nodes[node], *after = norm == node ? NULL : &b->g->nodes[norm];
    uint32_t skip = WA_NONE, gamma = WA_NONE, beta = WA_NONE, out = after ? after->outputs[0] : n->outputs[0];
    product p;
    bool early, kept = false;
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_MATMUL_TILES);
    uint32_t *s = d.spec.spec;
    if (!describe(b, n, &p) || (after && !norm_describe(b, after, &skip, &gamma, &beta))) return wa__fail(b->err, WA_INTERNAL, "a product changed its mind");
    if (skip != WA_NONE) p.residual = skip;
    if (after) kept = read_elsewhere(b, n->outputs[0], norm, &early);
    s[0] = (uint32_t)p.k;
    s[1] = (uint32_t)p.n;
    s[2] = (p.bias != WA_NONE ? WA_WGSL_TILES_BIAS : 0u) | (p.residual != WA_NONE ? WA_WGSL_TILES_RESIDUAL : 0u) | (p.alpha != 1 ? WA_WGSL_TILES_ALPHA : 0u) |
           (beta != WA_NONE ? WA_WGSL_TILES_BETA : 0u) | (kept ? WA_WGSL_TILES_KEEP : 0u) | (after && after->op == WA_OP_RMSNormalization ? WA_WGSL_TILES_RMS : 0u);
    s[3] = p.act;
    s[4] = wa__gpu_form(b, out);
    if (p.alpha != 1) s[5] = wa__gpu_bits(p.alpha);
    choose(b, &p, s);
    if (after) {
        s[6] = WA_WGSL_TILES_NORM;
        s[7] = p.m >= 2048 ? 2 : 1;
        s[9] = norm_slices(b, &p);
        s[8] = (uint32_t)p.n / TILE / s[9];
        s[10] = wa__gpu_bits(wa__node_float(after, "epsilon", 1e-5f));
    }
    WA_TRY(wa__gpu_read(b, &d, p.a));
    WA_TRY(wa__gpu_read_tiles(b, &d, p.b, p.trans_b));
    const uint32_t more[] = {p.bias, p.residual, gamma, beta};
    for (unsigned i = 0; i < 4; i++)
        if (more[i] != WA_NONE) WA_TRY(wa__gpu_read(b, &d, more[i]));
    if (kept) WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    WA_TRY(wa__gpu_write(b, &d, out));
    d.params[0] = (uint32_t)p.m;
    d.params_count = 4;
    d.grid[0] = after ? 1 : (uint32_t)over(p.n / TILE, s[8]);
    d.grid[1] = (uint32_t)over(over(p.m, TILE), s[7]);
    d.flops = 2 * p.m * p.n * p.k;
    return wa__gpu_end(b, &d, node, NULL);
}

/* --- attention -------------------------------------------------------------------------------------- */
typedef struct attention {
    bool packed;
    uint32_t heads, size, bias;
    uint64_t batch, queries, keys;
} attention;

static bool attention_describe(const wa_plan_builder *b, const wa_node *n, attention *a)
{
    const wa_tensor_type *o = wa__gpu_type(b, n->outputs[0]);
    int64_t heads = wa__node_int(n, "num_heads", 0);
    *a = (attention){.packed = n->op == WA_OP_QkvAttention};
    if (!(b->t.features & WA_FEATURE_MATRIX_F16) || o->rank != 3 || heads < 1 || heads > 4096 || o->dims[2] % heads) return false;
    a->heads = (uint32_t)heads;
    a->size = (uint32_t)(o->dims[2] / heads);
    a->bias = input(n, a->packed ? 1 : 3);
    a->batch = (uint64_t)o->dims[0];
    a->queries = (uint64_t)o->dims[1];
    a->keys = (uint64_t)wa__gpu_type(b, n->inputs[a->packed ? 0 : 1])->dims[1];
    if (a->size % TILE || a->size > 256 || !a->queries || !a->keys) return false;
    for (uint32_t i = 0; i < (a->packed ? 1u : 3u); i++) { /* grouped queries and other head sizes take the other kernel */
        const wa_tensor_type *t = wa__gpu_type(b, n->inputs[i]);
        if (t->rank != 3 || t->dims[2] != o->dims[2] * (a->packed ? 3 : 1)) return false;
    }
    return a->batch == 1 || (a->queries % TILE == 0 && a->keys % TILE == 0); /* a sequence starts a tile */
}

uint32_t wa__gpu_attention_tile_forms(wa_plan_builder *b, const wa_node *n, bool output, uint32_t index)
{
    attention a;
    return (output || index < (n->op == WA_OP_QkvAttention ? 1u : 3u)) && attention_describe(b, n, &a) ? 1u << WA_FORM_TILES : 0;
}

bool wa__gpu_attention_tiles(wa_plan_builder *b, const wa_node *n)
{
    attention a;
    bool all = is_tiles(b, n->outputs[0]);
    for (uint32_t i = 0; i < (n->op == WA_OP_QkvAttention ? 1u : 3u); i++) all = all && is_tiles(b, n->inputs[i]);
    return all && attention_describe(b, n, &a);
}

wa_status wa__gpu_attention_tiles_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    attention a;
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_ATTENTION_TILES);
    uint32_t *s = d.spec.spec;
    if (!attention_describe(b, n, &a)) return wa__fail(b->err, WA_INTERNAL, "attention changed its mind");
    if (a.bias != WA_NONE) wa__gpu_bias_strides(wa__gpu_type(b, a.bias), d.params + 4);
    s[0] = a.size, s[1] = a.heads;
    s[2] = (a.packed ? 1u : 0u) | (a.bias != WA_NONE ? 2u : 0u) | (d.params[6] ? 4u : 0u);
    s[3] = a.keys <= 32 ? 2 : a.keys <= 64 ? 4 : 8;
    s[4] = a.keys > 128;
    for (uint32_t i = 0; i < (a.packed ? 1u : 3u); i++) WA_TRY(wa__gpu_read(b, &d, n->inputs[i]));
    if (a.bias != WA_NONE) WA_TRY(wa__gpu_read(b, &d, a.bias));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    d.params[0] = (uint32_t)a.queries;
    d.params[1] = (uint32_t)a.keys;
    d.params[2] = (uint32_t)a.batch;
    d.params[3] = wa__gpu_bits(wa__node_float(n, "scale", 1));
    d.params_count = 8;
    d.grid[0] = (uint32_t)over(a.queries, TILE);
    d.grid[1] = a.heads;
    d.grid[2] = (uint32_t)a.batch;
    d.flops = 4 * a.batch * a.queries * a.keys * a.heads * a.size;
    return wa__gpu_end(b, &d, node, NULL);
}
