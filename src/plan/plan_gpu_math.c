/* Rows of the WebGPU table: attention, norms, softmax. */
#include "plan/plan_int.h"

static bool vector_of(const wa_plan_builder *b, uint32_t value, uint64_t n)
{
    return value == WA_NONE || ((uint64_t)wa__count(wa__gpu_type(b, value)) == n);
}

/* --- attention ---------------------------------------------------------------------------------------- */
static uint32_t bias_input(const wa_node *n) { return n->op == WA_OP_QkvAttention ? 1 : 3; }

static const char *attention_refuses(wa_plan_builder *b, const wa_node *n)
{
    const wa_tensor_type *o = wa__gpu_type(b, n->outputs[0]);
    int64_t heads = wa__node_int(n, "num_heads", 0);
    for (uint32_t i = 0; i < n->input_count; i++)
        if (n->inputs[i] != WA_NONE && wa__plan_device_dtype(wa__gpu_type(b, n->inputs[i])->dtype) != WA_F32) return "attention is in floats";
    if (o->rank != 3 || heads < 1 || o->dims[2] % heads || o->dims[2] / heads > 256) return "attention heads of this size have no WebGPU kernel";
    if (o->dims[0] > WA_PLAN_GRID_MAX || heads > 4096) return "attention's grid passes WebGPU's limit";
    uint32_t at = bias_input(n);
    if (at < n->input_count && n->inputs[at] != WA_NONE && wa__gpu_type(b, n->inputs[at])->rank > 4) return "an attention bias of rank above 4";
    return NULL;
}

/* Strides of a broadcast bias in [b,h,s,t]. */
void wa__gpu_bias_strides(const wa_tensor_type *t, uint32_t *out)
{
    uint32_t stride = 1;
    for (uint32_t k = 0; k < 4; k++) {
        int64_t dim = k < t->rank ? t->dims[t->rank - 1 - k] : 1;
        out[3 - k] = dim == 1 ? 0 : stride;
        stride *= (uint32_t)dim;
    }
}

/* From so many workgroups on (two for each of an H100's 132 processors), staging keys and values for 32 queries
 * beats 8 queries whose keys 8 lanes share: 12 heads x 128 tokens reach it at batch 6. */
#define STAGED_GROUPS_MIN 264u

/* The kernel and its words 3 and 4: grid x takes `queries` a workgroup. */
static uint32_t attention_form(const wa_plan_builder *b, uint64_t batch, uint64_t queries, uint32_t heads, uint32_t size, wa_wgsl_spec *spec)
{
    uint32_t *s = spec->spec, width = size % 4 ? size * 4 : (size / 4) * 16, groups = b->t.attention_groups ? b->t.attention_groups : STAGED_GROUPS_MIN;
    if (b->t.software) {
        s[3] = 4, s[4] = 1;
    } else if (size % 4 == 0 && queries >= 16 && batch * heads * ((queries + 31) / 32) >= groups) {
        spec->kernel = WA_WGSL_ATTENTION_STAGED;
        s[3] = 8, s[4] = size > 64 ? 2 : 4; /* a block of keys takes half the workgroup memory at most */
        if (size > 128) s[4] = 1;
        return 32;
    } else {
        s[3] = 8, s[4] = 8;
        while (s[4] > 1 && s[3] * s[4] * (width + 8) > WA_PLAN_WORKGROUP_BYTES) s[4] /= 2;
    }
    return s[3];
}

static wa_status attention_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    if (wa__gpu_attention_tiles(b, n)) return wa__gpu_attention_tiles_lower(b, node);
    const wa_tensor_type *o = wa__gpu_type(b, n->outputs[0]);
    bool packed = n->op == WA_OP_QkvAttention;
    uint32_t at = bias_input(n), heads = (uint32_t)wa__node_int(n, "num_heads", 0), size = (uint32_t)o->dims[2] / heads;
    bool bias = at < n->input_count && n->inputs[at] != WA_NONE;
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_ATTENTION);
    uint32_t *s = d.spec.spec, queries = attention_form(b, (uint64_t)o->dims[0], (uint64_t)o->dims[1], heads, size, &d.spec);
    s[0] = size, s[1] = heads, s[2] = (packed ? 1u : 0u) | (bias ? 2u : 0u);
    for (uint32_t i = 0; i < (packed ? 1u : 3u); i++) WA_TRY(wa__gpu_read(b, &d, n->inputs[i]));
    if (bias) WA_TRY(wa__gpu_read(b, &d, n->inputs[at]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    uint32_t t = (uint32_t)wa__gpu_type(b, n->inputs[packed ? 0 : 1])->dims[1];
    d.params[0] = (uint32_t)o->dims[1];
    d.params[1] = t;
    d.params[2] = (uint32_t)o->dims[0];
    d.params[3] = wa__gpu_bits(wa__node_float(n, "scale", 1));
    if (bias) wa__gpu_bias_strides(wa__gpu_type(b, n->inputs[at]), d.params + 4);
    d.params_count = 8;
    d.grid[0] = ((uint32_t)o->dims[1] + queries - 1) / queries;
    d.grid[1] = heads;
    d.grid[2] = (uint32_t)o->dims[0];
    d.flops = 4u * (uint64_t)o->dims[0] * (uint64_t)o->dims[1] * t * (uint64_t)o->dims[2];
    return wa__gpu_end(b, &d, node, NULL);
}

/* --- rows ----------------------------------------------------------------------------------------------- */
static uint32_t norm_axis(const wa_plan_builder *b, const wa_node *n)
{
    int64_t rank = wa__gpu_type(b, n->outputs[0])->rank;
    int64_t axis = n->op == WA_OP_LayerNormalization || n->op == WA_OP_RMSNormalization ? wa__node_int(n, "axis", -1) : -1;
    return (uint32_t)(axis < 0 ? axis + rank : axis);
}

static uint64_t norm_width(const wa_plan_builder *b, const wa_node *n)
{
    const wa_tensor_type *o = wa__gpu_type(b, n->outputs[0]);
    uint64_t width = 1;
    for (uint32_t i = norm_axis(b, n); i < o->rank; i++) width *= (uint64_t)o->dims[i];
    return width;
}

static bool used(const wa_plan_builder *b, const wa_node *n, uint32_t output)
{
    return n->output_count > output && n->outputs[output] != WA_NONE && wa__graph_uses(b->g, n->outputs[output]);
}

/* Scale and bias run along the row; a scale alone may be one number. */
static bool plain_norm(const wa_plan_builder *b, const wa_node *n)
{
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    uint32_t gamma = n->op == WA_OP_SkipLayerNorm ? 2 : 1;
    if (!x->rank || norm_axis(b, n) >= x->rank) return false;
    uint64_t width = norm_width(b, n);
    bool beta = n->input_count > gamma + 1 && n->inputs[gamma + 1] != WA_NONE;
    if (width > 1u << 20 || (beta && !vector_of(b, n->inputs[gamma + 1], width))) return false;
    return vector_of(b, n->inputs[gamma], width) || (gamma == 1 && vector_of(b, n->inputs[1], 1));
}

static const char *norm_refuses(wa_plan_builder *b, const wa_node *n)
{
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    bool embed = n->op == WA_OP_EmbedLayerNorm;
    if (!embed && wa__plan_device_dtype(x->dtype) != WA_F32) return "layer norm of integers";
    if (!embed) return plain_norm(b, n) ? NULL : "layer norm of this shape has no WebGPU kernel";
    bool types = n->inputs[1] != WA_NONE, table = n->inputs[4] != WA_NONE;
    if (types && !table) return "token types without a table";
    for (uint32_t i = 0; i < n->input_count; i++) {
        bool ids = i < 2 || i == 7;
        if (n->inputs[i] != WA_NONE && ids && wa__plan_device_dtype(wa__gpu_type(b, n->inputs[i])->dtype) != WA_I32) return "token ids that are not signed integers";
    }
    if (types && n->input_count > 7 && n->inputs[7] != WA_NONE) return "token types with position ids need more than 8 bindings";
    return x->rank == 2 ? NULL : "token ids that are not [batch, tokens]";
}

static void row_lanes(const wa_plan_builder *b, wa_gpu_dispatch *d, uint64_t width, uint64_t rows)
{
    uint32_t *s = d->spec.spec;
    s[2] = b->t.software ? 1 : width >= 512 ? 128 : 64;
    s[3] = b->t.software ? 4 : 1;
    wa__gpu_cover(d, rows, s[3]);
}

static wa_status norm_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    if (b->absorbed[node] != WA_NONE) return wa__gpu_product_tiles_lower(b, b->absorbed[node], node);
    const wa_tensor_type *o = wa__gpu_type(b, n->outputs[0]);
    bool embed = n->op == WA_OP_EmbedLayerNorm, skip = n->op == WA_OP_SkipLayerNorm;
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_ROWS);
    uint32_t *s = d.spec.spec, width = (uint32_t)(embed ? (uint64_t)o->dims[o->rank - 1] : norm_width(b, n));
    uint64_t rows = (uint64_t)wa__count(o) / width;
    s[0] = embed ? WA_WGSL_EMBED_LAYERNORM : skip ? WA_WGSL_SKIP_LAYERNORM : WA_WGSL_LAYERNORM;
    s[1] = width;
    s[5] = wa__gpu_bits(wa__node_float(n, "epsilon", 1e-5f));
    row_lanes(b, &d, width / (width % 4 ? 1 : 4), wa__gpu_form(b, n->outputs[0]) == WA_FORM_TILES ? wa__align_up(rows, 16) : rows);
    uint32_t beta = skip ? 3 : 2;
    if (!embed && n->input_count > beta && n->inputs[beta] != WA_NONE) s[4] |= 1;
    if (!embed && !skip && width != 1 && wa__count(wa__gpu_type(b, n->inputs[1])) == 1) s[4] |= 16;
    if (n->op == WA_OP_RMSNormalization) s[4] |= 32;
    if (!embed && wa__gpu_form(b, n->inputs[0]) == WA_FORM_TILES) s[4] |= 1024;
    if (skip && wa__gpu_form(b, n->inputs[1]) == WA_FORM_TILES) s[4] |= 2048;
    if (wa__gpu_form(b, n->outputs[0]) == WA_FORM_TILES) s[4] |= 4096;
    if (n->op == WA_OP_LayerNormalization) s[4] |= (used(b, n, 1) ? 64u : 0u) | (used(b, n, 2) ? 128u : 0u);
    if (embed && n->inputs[1] != WA_NONE) s[4] |= 2;
    if (embed && n->input_count > 7 && n->inputs[7] != WA_NONE) {
        s[4] |= 4;
        d.params[3] = (uint32_t)wa__count(wa__gpu_type(b, n->inputs[7]));
    }
    if (embed && n->inputs[4] != WA_NONE) s[4] |= 8;
    bool codes = embed && wa__gpu_has_table(b, node, n->inputs[2]);
    if (codes) s[4] |= 512;
    if (embed) {
        const uint32_t order[] = {0, 1, 7, 2, 3, 4, 5, 6}; /* ids, types, positions, then the tables */
        for (unsigned i = 0; i < 8; i++)
            if (order[i] < n->input_count && n->inputs[order[i]] != WA_NONE)
                WA_TRY(order[i] == 2 && codes ? wa__gpu_read_table(b, &d, n->inputs[2]) : wa__gpu_read(b, &d, n->inputs[order[i]]));
        d.params[2] = (uint32_t)wa__gpu_type(b, n->inputs[0])->dims[1];
    } else {
        for (uint32_t i = 0; i < n->input_count; i++)
            if (n->inputs[i] != WA_NONE) WA_TRY(wa__gpu_read(b, &d, n->inputs[i]));
    }
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    if (s[4] & 64) WA_TRY(wa__gpu_write(b, &d, n->outputs[1]));
    if (s[4] & 128) WA_TRY(wa__gpu_write(b, &d, n->outputs[2]));
    d.params[0] = (uint32_t)rows;
    d.params[1] = width;
    d.params_count = 4;
    d.bytes = (uint64_t)wa__count(o) * 12;
    return wa__gpu_end(b, &d, node, NULL);
}

/* Axis of softmax and L2Normalize, rank when it has none. */
static uint32_t row_axis(const wa_node *n, const wa_tensor_type *x)
{
    int64_t axis = n->op == WA_OP_L2Normalize ? -1 : wa__node_int(n, "axis", -1);
    if (axis < 0) axis += x->rank;
    return axis < 0 || axis >= (int64_t)x->rank ? x->rank : (uint32_t)axis;
}

static const char *rows_refuse(wa_plan_builder *b, const wa_node *n)
{
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    if (wa__plan_device_dtype(x->dtype) != WA_F32 || x->rank == 0) return "this operator is for floats";
    return row_axis(n, x) < x->rank && (n->op == WA_OP_L2Normalize || n->opset == 0 || n->opset >= 13) ? NULL : "softmax over axes as one has no WebGPU kernel";
}

static wa_status rows_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_ROWS);
    uint32_t axis = row_axis(n, x), width = (uint32_t)x->dims[axis], inner = 1;
    for (uint32_t i = axis + 1; i < x->rank; i++) inner *= (uint32_t)x->dims[i];
    d.spec.spec[0] = n->op == WA_OP_L2Normalize ? WA_WGSL_L2 : n->op == WA_OP_Softmax ? WA_WGSL_SOFTMAX : WA_WGSL_LOGSOFTMAX;
    if (inner > 1) d.spec.spec[4] = 256;
    if (n->op == WA_OP_L2Normalize) d.spec.spec[5] = wa__gpu_bits(wa__node_float(n, "epsilon", 1e-12f));
    d.params[0] = (uint32_t)((uint64_t)wa__count(x) / width);
    d.params[1] = width;
    if (inner > 1) d.params[2] = inner;
    d.params_count = 4;
    row_lanes(b, &d, 64, d.params[0]);
    WA_TRY(wa__gpu_read(b, &d, n->inputs[0]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    return wa__gpu_end(b, &d, node, NULL);
}

/* --- forms: a mask's range and the statistics' digits stay in f32 ------------------------------------ */
static uint32_t attention_forms(wa_plan_builder *b, const wa_node *n, bool output, uint32_t index)
{
    return (output || index != bias_input(n) ? WA_FORMS_DENSE : 1u << WA_FORM_F32) | wa__gpu_attention_tile_forms(b, n, output, index);
}

static uint32_t norm_forms(wa_plan_builder *b, const wa_node *n, bool output, uint32_t index)
{
    bool skip = n->op == WA_OP_SkipLayerNorm, data = output ? index == 0 : n->op != WA_OP_EmbedLayerNorm && (index == 0 || (skip && index == 1));
    const wa_tensor_type *o = wa__gpu_type(b, n->outputs[0]);
    uint32_t tiles = data && o->rank && (n->op == WA_OP_EmbedLayerNorm || norm_axis(b, n) + 1 == o->rank) ? 1u << WA_FORM_TILES : 0;
    return (!output || index == 0 ? WA_FORMS_DENSE : 1u << WA_FORM_F32) | tiles;
}

const wa_gpu_row wa__gpu_math_rows[] = {
    {WA_OP_Attention, attention_refuses, attention_lower, attention_forms, wa__gpu_attention_tiles},
    {WA_OP_QkvAttention, attention_refuses, attention_lower, attention_forms, wa__gpu_attention_tiles},
    {WA_OP_LayerNormalization, norm_refuses, norm_lower, norm_forms},
    {WA_OP_RMSNormalization, norm_refuses, norm_lower, norm_forms},
    {WA_OP_SkipLayerNorm, norm_refuses, norm_lower, norm_forms},
    {WA_OP_EmbedLayerNorm, norm_refuses, norm_lower, norm_forms},
    {WA_OP_L2Normalize, rows_refuse, rows_lower, wa__gpu_dense},
    {WA_OP_Softmax, rows_refuse, rows_lower, wa__gpu_dense},
    {WA_OP_LogSoftmax, rows_refuse, rows_lower, wa__gpu_dense},
    {WA_OP_NONE, NULL, NULL},
};
