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
    if (gpu) return NULL; /* 8 and 4: integers everywhere */
    if (bits == 8 && b->t.target == WA_TARGET_CPU) return NULL; /* products: plan_cpu.c */
    return "this target does not compute so yet";
}

/* MiniLM-L6 at 4 bits throughout: cosine 0.968 to 32 bits; with the last quarter's products at 8 bits 0.984, any
 * other quarter's 0.974 to 0.980: what is lost late, nothing after it averages out. */
uint32_t wa__plan_weight_bits(const wa_plan_builder *b, uint32_t node)
{
    if (wa__plan_kept(b, node)) return 32;
    return b->bits == 4 && b->group[node] == PRODUCTS + QUARTERS - 1 ? 8 : b->bits;
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
