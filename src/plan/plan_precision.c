/* What precision a plan computes in: the user's wish against what the target can do, refused in words; and the
 * groups of operators that a mixed plan may keep in f32. Products and convolutions, where the weights are, form
 * four groups each by their place in the graph; the other operators one group a kind. Called by plan_build.c
 * and, for the search of what to keep, by api_precision.c. */
#include "plan/plan_int.h"

enum { PRODUCTS = 0, CONVOLUTIONS = 4, QUARTERS = 4, ATTENTION = 8, NORMS, SOFTMAX, LOOKUPS, POINTWISE, REST };
_Static_assert(REST + 1 == WA_PLAN_GROUPS, "a name a group");

const char *wa__plan_group_name(uint32_t group)
{
    static const char *const names[WA_PLAN_GROUPS] = {
        "products of the first quarter", "products of the second quarter", "products of the third quarter", "products of the last quarter",
        "convolutions of the first quarter", "convolutions of the second quarter", "convolutions of the third quarter",
        "convolutions of the last quarter", "attention", "norms", "softmax", "look-ups", "pointwise operators", "other operators"};
    return group < WA_PLAN_GROUPS ? names[group] : "?";
}

static uint32_t kind_of(const wa_node *n)
{
    switch (n->op) {
    case WA_OP_MatMul: case WA_OP_Gemm: case WA_OP_FusedMatMul: return PRODUCTS;
    case WA_OP_Conv: case WA_OP_ConvTranspose: return CONVOLUTIONS;
    case WA_OP_Attention: case WA_OP_QkvAttention: return ATTENTION;
    case WA_OP_LayerNormalization: case WA_OP_RMSNormalization: case WA_OP_SkipLayerNorm: case WA_OP_EmbedLayerNorm: case WA_OP_L2Normalize: return NORMS;
    case WA_OP_Softmax: case WA_OP_LogSoftmax: return SOFTMAX;
    case WA_OP_Gather: return LOOKUPS;
    default: return n->op == WA_OP_Elementwise || wa__op_info(n->op)->elementwise ? POINTWISE : REST;
    }
}

uint32_t wa__plan_node_groups(const wa_graph *g, uint8_t *group)
{
    uint32_t count[QUARTERS + 1] = {0}, seen[QUARTERS + 1] = {0}, mask = 0; /* of PRODUCTS and CONVOLUTIONS */
    for (uint32_t i = 0; i < g->node_count; i++)
        if (!g->nodes[i].dead && kind_of(&g->nodes[i]) <= CONVOLUTIONS) count[kind_of(&g->nodes[i])]++;
    for (uint32_t i = 0; i < g->node_count; i++) {
        uint32_t k = kind_of(&g->nodes[i]), at = k;
        if (g->nodes[i].dead) continue;
        if (k <= CONVOLUTIONS) at = k + QUARTERS * seen[k]++ / count[k];
        if (group) group[i] = (uint8_t)at;
        mask |= 1u << at;
    }
    return mask;
}

/* NULL, or why this target cannot compute so. */
static const char *refuses(const wa_plan_builder *b, uint32_t bits)
{
    bool gpu = b->t.target == WA_TARGET_WEBGPU;
    if (bits == 32) return NULL;
    if (bits == 16 && gpu) return b->t.features & WA_FEATURE_F16 ? NULL : "this adapter has no 16-bit floats (shader-f16)";
    if (b->t.target != WA_TARGET_WEBNN) return NULL; /* integers everywhere; the CPU keeps 16 bit weights and computes in 32 */
    return "its graphs are made in 32 bits here, whatever the file holds";
}

/* Rows of a product's weight, 0 where it is no matrix. */
static int64_t depth_of(const wa_plan_builder *b, const wa_node *n)
{
    const wa_tensor_type *w = n->input_count > 1 && n->inputs[1] != WA_NONE ? &b->g->values[n->inputs[1]].type : NULL;
    return !w || w->rank != 2 ? 0 : w->dims[wa__node_int(n, "transB", 0) ? 1 : 0];
}

/* At 4 bits the last quarter's products have 8, and of the third quarter's those that sum over few: what is lost
 * late, nothing after it averages out, nor do short sums. MiniLM-L6, 64 sentences, mean and worst cosine to 32
 * bits: 4 bits throughout 0.968 and 0.935, the last quarter at 8 bits 0.985 and 0.968, the first too 0.987 and
 * 0.967; so 0.991 and 0.982. */
#define SHORT_SUM 512
uint32_t wa__plan_weight_bits(const wa_plan_builder *b, uint32_t node)
{
    if (wa__plan_kept(b, node)) return 32;
    uint32_t quarter = b->group[node];
    bool late = quarter == PRODUCTS + 3 || (quarter == PRODUCTS + 2 && depth_of(b, &b->g->nodes[node]) < SHORT_SUM);
    return b->bits == 4 && late ? 8 : b->bits;
}

wa_status wa__plan_precision(wa_plan_builder *b)
{
    uint32_t bits = b->o->precision;
    if (bits != 0 && bits != 32 && bits != 16 && bits != 8 && bits != 4)
        return wa__fail(b->err, WA_INVALID_ARGUMENT, "precision %u: it is 32, 16, 8 or 4", bits);
    if (b->o->mixed && (bits == 0 || bits == 32)) bits = 16;
    const char *why = bits ? refuses(b, bits) : NULL;
    if (why) return wa__fail(b->err, WA_UNSUPPORTED, "precision %u on %s: %s; run it with --precision 32, or elsewhere", bits, wa__target_name(b->t.target), why);
    b->bits = bits;
    b->keep = b->o->mixed ? b->o->keep : 0;
    wa__plan_node_groups(b->g, b->group);
    return WA_OK;
}
