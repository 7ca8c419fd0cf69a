/* Rows of the WebGPU table: pooling of tokens, which takes in the L2 normalisation behind it. */
#include "plan/plan_int.h"

#define SHARED_MAX 8192 /* columns that a workgroup's lanes hold */

static const char *pool_refuses(wa_plan_builder *b, const wa_node *n)
{
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    return x->rank == 3 && wa__plan_device_dtype(x->dtype) == WA_F32 ? NULL : "pooling takes floats [batch, tokens, hidden]";
}

static uint32_t mode_of(const wa_node *n) { return n->op == WA_OP_MeanPool ? 0 : n->op == WA_OP_ClsPool ? 1 : 2; }

/* The node that normalises the pooled rows and is all that reads them; WA_NONE: none that this dispatch can do. */
static uint32_t normaliser(const wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *o = wa__gpu_type(b, n->outputs[0]);
    if (wa__graph_uses(b->g, n->outputs[0]) != 1) return WA_NONE;
    for (uint32_t i = node + 1; i < b->g->node_count; i++) {
        const wa_node *r = &b->g->nodes[i];
        if (r->dead || r->input_count == 0 || r->inputs[0] != n->outputs[0]) continue;
        return r->op == WA_OP_L2Normalize && b->node_target[i] == WA_TARGET_WEBGPU && o->rank == 2 ? i : WA_NONE;
    }
    return WA_NONE;
}

/* A workgroup a sentence: whole vec4s, and few enough for its lanes. */
static wa_status shared_lower(wa_plan_builder *b, uint32_t node, uint32_t l2)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_POOL_SHARED);
    uint32_t *s = d.spec.spec;
    s[0] = mode_of(n);
    if (n->op != WA_OP_ClsPool) s[1] = wa__plan_device_dtype(wa__gpu_type(b, n->inputs[1])->dtype);
    s[2] = (uint32_t)x->dims[2];
    s[3] = 1;
    s[4] = wa__gpu_bits(wa__node_float(&b->g->nodes[l2], "epsilon", 1e-12f));
    s[5] = s[2] <= 1024 ? 32 : 128;
    s[6] = 256 / s[5];
    for (uint32_t i = 0; i < (n->op == WA_OP_ClsPool ? 1u : 2u); i++) WA_TRY(wa__gpu_read(b, &d, n->inputs[i]));
    WA_TRY(wa__gpu_write(b, &d, b->g->nodes[l2].outputs[0]));
    for (unsigned k = 0; k < 3; k++) d.params[k] = (uint32_t)x->dims[k];
    d.params_count = 4;
    wa__gpu_cover(&d, (uint64_t)x->dims[0], 1);
    b->taken[l2] = 1;
    return wa__gpu_end(b, &d, node, NULL);
}

static wa_status pool_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    uint32_t l2 = x->dims[2] % 4 == 0 && x->dims[2] <= SHARED_MAX ? normaliser(b, node) : WA_NONE;
    if (l2 != WA_NONE) return shared_lower(b, node, l2);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_POOL);
    d.spec.spec[0] = mode_of(n);
    if (n->op != WA_OP_ClsPool) d.spec.spec[1] = wa__plan_device_dtype(wa__gpu_type(b, n->inputs[1])->dtype);
    for (uint32_t i = 0; i < (n->op == WA_OP_ClsPool ? 1u : 2u); i++) WA_TRY(wa__gpu_read(b, &d, n->inputs[i]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    for (unsigned k = 0; k < 3; k++) d.params[k] = (uint32_t)x->dims[k];
    d.params_count = 4;
    wa__gpu_cover(&d, (uint64_t)x->dims[0] * (uint64_t)x->dims[2], 32);
    return wa__gpu_end(b, &d, node, NULL);
}

/* A mask's range stays in f32. */
static uint32_t first_forms(wa_plan_builder *b, const wa_node *n, bool output, uint32_t index)
{
    (void)b, (void)n, (void)output;
    return index == 0 ? WA_FORMS_DENSE : 1u << WA_FORM_F32;
}

const wa_gpu_row wa__gpu_pool_rows[] = {
    {WA_OP_MeanPool, pool_refuses, pool_lower, first_forms},
    {WA_OP_ClsPool, pool_refuses, pool_lower, first_forms},
    {WA_OP_MaxPoolTokens, pool_refuses, pool_lower, first_forms},
    {WA_OP_NONE, NULL, NULL, NULL},
};
