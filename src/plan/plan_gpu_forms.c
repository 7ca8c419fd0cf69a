/* How values lie on the GPU, decided before lowering. In: classified nodes, roots. Out: b->form, the highest
 * form that a root value's producer and all its consumers take (their rows' `forms`). What crosses to the host
 * or to another target is f32: graph inputs and outputs, states, operands of nodes elsewhere. Views share a
 * root: f16 passes, tiles only where rows and width stay.
 * Only activations narrow, that is what comes of float weights or float inputs: masks, positions and scalars
 * computed from integers need their range and digits. Constants narrow to dense f16, by the same rule; a row
 * that wants another layout of its weight packs it itself. */
#include "plan/plan_int.h"

#define BIT(form) (1u << (form))
enum { ALL = BIT(WA_FORM_F32) | BIT(WA_FORM_F16) | BIT(WA_FORM_TILES), TILE = 16 };

static bool rows_and_width(const wa_tensor_type *t, uint64_t *rows, uint64_t *width)
{
    int64_t n;
    if (!t->rank || !wa__type_count(t, &n) || n <= 0) return false;
    *width = (uint64_t)t->dims[t->rank - 1];
    *rows = (uint64_t)n / *width;
    return true;
}

uint64_t wa__plan_gpu_bytes(const wa_plan_builder *b, uint32_t value)
{
    const wa_tensor_type *t = &b->g->values[value].type;
    uint64_t n = (uint64_t)wa__count(t), rows, width;
    switch (wa__gpu_form(b, value)) {
    case WA_FORM_F16: return wa__align_up(n * 2, 4);
    case WA_FORM_TILES: return rows_and_width(t, &rows, &width) ? (rows + TILE - 1) / TILE * (width / TILE) * TILE * TILE * 2 : 0;
    default: return n * 4;
    }
}

/* A constant of these types can be held as f16. */
static bool narrows(wa_dtype d) { return d == WA_F32 || d == WA_F16 || d == WA_BF16; }

/* Forms of a constant: f16 where that is asked for, or is what the file holds. */
static uint32_t constant_forms(const wa_plan_builder *b, const wa_plan_pieces *e)
{
    if (e->count > 1 && e->cols % 2) return BIT(WA_FORM_F32); /* a part would begin within a word */
    for (uint32_t i = 0; i < e->count; i++) {
        wa_dtype d = b->g->values[e->piece[i].value].type.dtype;
        if (b->activations_f16 ? !narrows(d) : d != WA_F16) return BIT(WA_FORM_F32);
    }
    return BIT(WA_FORM_F32) | BIT(WA_FORM_F16);
}

static bool float_constant(const wa_plan_builder *b, uint32_t value)
{
    wa_plan_pieces e;
    return value != WA_NONE && wa__plan_device_dtype(wa__gpu_type(b, value)->dtype) == WA_F32 && wa__gpu_type(b, value)->rank >= 2 &&
           wa__plan_pieces(b->g, b->root[value], &e);
}

/* Whether a node's float results are activations: it has one among its inputs, or multiplies or looks up weights. */
static bool makes_activations(const wa_plan_builder *b, const wa_node *n, const uint8_t *activation)
{
    for (uint32_t i = 0; i < n->input_count; i++)
        if (n->inputs[i] != WA_NONE && activation[b->root[n->inputs[i]]]) return true;
    for (uint32_t i = 0; i < n->input_count; i++)
        if (float_constant(b, n->inputs[i])) return n->op == WA_OP_Gather || wa__plan_node_flops(b->g, n) > 0;
    return false;
}

static void find_activations(const wa_plan_builder *b, uint8_t *activation)
{
    for (uint32_t i = 0; i < b->g->input_count; i++)
        activation[b->g->inputs[i]] = wa__plan_device_dtype(wa__gpu_type(b, b->g->inputs[i])->dtype) == WA_F32;
    for (uint32_t i = 0; i < b->g->node_count; i++) { /* nodes stand in order */
        const wa_node *n = &b->g->nodes[i];
        if (!b->node_target[i] || !makes_activations(b, n, activation)) continue;
        for (uint32_t k = 0; k < n->output_count; k++)
            if (n->outputs[k] != WA_NONE && wa__plan_device_dtype(wa__gpu_type(b, n->outputs[k])->dtype) == WA_F32) activation[b->root[n->outputs[k]]] = 1;
    }
}

static uint8_t first_forms(const wa_plan_builder *b, uint32_t value, const uint8_t *activation)
{
    const wa_tensor_type *t = wa__gpu_type(b, value);
    uint64_t rows, width;
    wa_plan_pieces e;
    if (wa__plan_device_dtype(t->dtype) != WA_F32 || wa__plan_empty(b, value)) return BIT(WA_FORM_F32);
    if (wa__plan_pieces(b->g, value, &e)) return (uint8_t)constant_forms(b, &e);
    if (!activation[value] || !b->activations_f16) return BIT(WA_FORM_F32);
    bool tiles = b->t.features & WA_FEATURE_MATRIX_F16 && rows_and_width(t, &rows, &width) && width % TILE == 0;
    return (uint8_t)(tiles ? ALL : ALL & ~BIT(WA_FORM_TILES));
}

/* What a node leaves of the forms of its operands. */
static void narrow_node(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    bool gpu = b->node_target[node] == WA_TARGET_WEBGPU && !wa__plan_kept(b, node);
    for (uint32_t i = 0; i < n->input_count; i++)
        if (n->inputs[i] != WA_NONE) b->form[b->root[n->inputs[i]]] &= (uint8_t)(gpu ? wa__plan_gpu_node_forms(b, node, false, i) : BIT(WA_FORM_F32));
    for (uint32_t i = 0; i < n->output_count; i++)
        if (n->outputs[i] != WA_NONE) b->form[b->root[n->outputs[i]]] &= (uint8_t)(gpu ? wa__plan_gpu_node_forms(b, node, true, i) : BIT(WA_FORM_F32));
}

static void narrow_view(wa_plan_builder *b, const wa_node *n)
{
    uint64_t rows[2], width[2];
    uint32_t root = b->root[n->outputs[0]];
    bool same = rows_and_width(wa__gpu_type(b, n->outputs[0]), &rows[0], &width[0]) && rows_and_width(wa__gpu_type(b, root), &rows[1], &width[1]) &&
                rows[0] == rows[1] && width[0] == width[1];
    if (!same) b->form[root] &= (uint8_t)~BIT(WA_FORM_TILES);
}

static uint32_t best(uint32_t mask) { return mask & BIT(WA_FORM_TILES) ? WA_FORM_TILES : mask & BIT(WA_FORM_F16) ? WA_FORM_F16 : WA_FORM_F32; }

/* Takes tiles from the operands of a node that cannot run with what was chosen. True when it did. */
static bool drop_tiles(wa_plan_builder *b, const uint8_t *mask, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    bool any = false, changed = false;
    for (uint32_t i = 0; i < n->input_count + n->output_count && !any; i++) {
        uint32_t v = i < n->input_count ? n->inputs[i] : n->outputs[i - n->input_count];
        any = v != WA_NONE && wa__gpu_form(b, v) == WA_FORM_TILES;
    }
    if (!any || wa__plan_gpu_node_tiles(b, node)) return false;
    for (uint32_t i = 0; i < n->input_count + n->output_count; i++) {
        uint32_t v = i < n->input_count ? n->inputs[i] : n->outputs[i - n->input_count];
        if (v == WA_NONE || wa__gpu_form(b, v) != WA_FORM_TILES) continue;
        b->form[b->root[v]] = (uint8_t)best(mask[b->root[v]] & ~BIT(WA_FORM_TILES));
        changed = true;
    }
    return changed;
}

/* Masks become forms, the highest first; then tiles go from where a node cannot take them together. */
static wa_status choose(wa_plan_builder *b)
{
    uint8_t *mask = wa__alloc(b->g->value_count + 1u, 1);
    if (!mask) return wa__no_memory(b->err, "the plan");
    memcpy(mask, b->form, b->g->value_count);
    for (uint32_t i = 0; i < b->g->value_count; i++) b->form[i] = (uint8_t)best(mask[i]);
    for (bool changed = b->t.features & WA_FEATURE_MATRIX_F16; changed;) {
        changed = false;
        for (uint32_t i = 0; i < b->g->node_count; i++)
            if (b->node_target[i] == WA_TARGET_WEBGPU && !b->g->nodes[i].dead && drop_tiles(b, mask, i)) changed = true;
    }
    wa__free(mask);
    return WA_OK;
}

static wa_status decide(wa_plan_builder *b, uint8_t *activation)
{
    const wa_graph *g = b->g;
    find_activations(b, activation);
    for (uint32_t i = 0; i < g->value_count; i++) b->form[i] = b->root[i] == i ? first_forms(b, i, activation) : BIT(WA_FORM_F32);
    for (uint32_t i = 0; i < g->input_count; i++) b->form[b->root[g->inputs[i]]] = BIT(WA_FORM_F32);
    for (uint32_t i = 0; i < g->output_count; i++) b->form[b->root[g->outputs[i]]] = BIT(WA_FORM_F32);
    for (uint32_t i = 0; i < g->node_count; i++) {
        const wa_node *n = &g->nodes[i];
        if (n->dead || n->output_count == 0) continue;
        if (b->node_target[i]) narrow_node(b, i);
        else if (n->outputs[0] != WA_NONE && b->root[n->outputs[0]] != n->outputs[0]) narrow_view(b, n);
    }
    return choose(b);
}

wa_status wa__plan_gpu_forms(wa_plan_builder *b)
{
    bool gpu = b->t.target == WA_TARGET_WEBGPU && b->t.features & WA_FEATURE_F16;
    b->activations_f16 = gpu && b->bits == 16;
    if (!gpu || (b->bits && !b->activations_f16)) return WA_OK;
    uint8_t *activation = wa__alloc(b->g->value_count + 1u, 1);
    if (!activation) return wa__no_memory(b->err, "the plan");
    wa_status s = decide(b, activation);
    wa__free(activation);
    return s;
}
