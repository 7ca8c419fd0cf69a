/* Rows of the WebGPU table for recurrences, linear attention and random numbers. */
#include "plan/plan_int.h"

/* --- Recurrence ----------------------------------------------------------------------------------------------- */
enum { EXTRA = 1, LENS = 2, STATE = 4, LINEAR_RESET = 8, INPUT_FORGET = 16, CLIP = 32 };
#define HIDDEN_MAX 1365 /* three vectors of it fill the workgroup memory */

static bool has(const wa_node *n, uint32_t i) { return i < n->input_count && n->inputs[i] != WA_NONE; }

static const wa_attr *list(const wa_node *n, const char *name, wa_attr_kind kind, uint32_t count)
{
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, name);
    return a && a->kind == kind && a->count == count ? a : NULL;
}

/* The kernel's spec; false when an attribute is missing. */
static bool recurrence_spec(const wa_plan_builder *b, const wa_node *n, uint32_t *s)
{
    int64_t kind = wa__node_int(n, "kind", 0), way = wa__node_int(n, "direction", 0), hidden = wa__gpu_type(b, n->inputs[1])->dims[1];
    uint32_t each = kind == 0 ? 1 : kind == 1 ? 2 : 3, count = each * (way == 2 ? 2 : 1);
    const wa_attr *acts = list(n, "acts", WA_ATTR_KIND_INTS, count), *alphas = list(n, "alphas", WA_ATTR_KIND_FLOATS, count), *betas = list(n, "betas", WA_ATTR_KIND_FLOATS, count);
    float clip = wa__node_float(n, "clip", 0);
    if (!acts || !alphas || !betas) return false;
    s[0] = (uint32_t)kind;
    s[1] = (has(n, 2) ? EXTRA : 0u) | (has(n, 3) ? LENS : 0u) | (has(n, 4) ? STATE : 0u) | (wa__node_int(n, "linear_before_reset", 0) ? LINEAR_RESET : 0u) |
           (wa__node_int(n, "input_forget", 0) ? INPUT_FORGET : 0u) | (clip > 0 ? CLIP : 0u);
    s[2] = (uint32_t)way;
    for (uint32_t i = 0; i < count; i++) {
        s[3 + 3 * i] = (uint32_t)acts->ints[i];
        s[4 + 3 * i] = wa__gpu_bits(alphas->floats[i]);
        s[5 + 3 * i] = wa__gpu_bits(betas->floats[i]);
    }
    if (clip > 0) s[21] = wa__gpu_bits(clip);
    s[22] = (uint32_t)hidden;
    s[23] = b->t.software ? 16 : hidden > 128 ? 256 : hidden > 64 ? 128 : 64;
    return true;
}

static const char *recurrence_refuses(wa_plan_builder *b, const wa_node *n)
{
    uint32_t s[WA_WGSL_SPEC_MAX] = {0};
    for (uint32_t i = 0; i < n->input_count; i++)
        if (has(n, i) && wa__plan_device_dtype(wa__gpu_type(b, n->inputs[i])->dtype) != (i == 3 ? WA_I32 : WA_F32)) return "a recurrence takes floats and signed lengths";
    if (wa__gpu_type(b, n->inputs[1])->dims[1] > HIDDEN_MAX) return "a hidden state above 1365 does not fit the workgroup memory";
    if (wa__gpu_type(b, n->inputs[0])->dims[1] > WA_PLAN_GRID_MAX) return "the batch passes WebGPU's grid";
    return recurrence_spec(b, n, s) ? NULL : "a recurrence without activations";
}

static wa_status recurrence_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]), *r = wa__gpu_type(b, n->inputs[1]);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_RECURRENCE);
    if (!recurrence_spec(b, n, d.spec.spec)) return wa__fail(b->err, WA_INTERNAL, "a recurrence changed its mind");
    for (uint32_t i = 0; i < n->input_count; i++)
        if (has(n, i)) WA_TRY(wa__gpu_read(b, &d, n->inputs[i]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[1]));
    d.params[0] = (uint32_t)x->dims[0];
    d.params[1] = (uint32_t)x->dims[1];
    d.params[2] = (uint32_t)r->dims[0];
    d.params_count = 4;
    d.grid[0] = d.params[1];
    d.grid[1] = d.params[2];
    d.flops = 2 * (uint64_t)x->dims[0] * (uint64_t)x->dims[1] * (uint64_t)wa__count(r);
    return wa__gpu_end(b, &d, node, NULL);
}

/* --- LinearScan ------------------------------------------------------------------------------------------------ */
enum { S_STATE = 1, S_DECAY = 2, S_DECAY_EACH = 4, S_BETA = 8, S_BETA_HEADS = 16, S_DELTA = 32 };

static const char *scan_refuses(wa_plan_builder *b, const wa_node *n)
{
    for (uint32_t i = 0; i < n->input_count; i++)
        if (has(n, i) && wa__plan_device_dtype(wa__gpu_type(b, n->inputs[i])->dtype) != WA_F32) return "linear attention is in floats";
    return NULL;
}

static wa_status scan_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *q = wa__gpu_type(b, n->inputs[0]), *last = wa__gpu_type(b, n->outputs[1]);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_LINEAR_SCAN);
    uint32_t *s = d.spec.spec;
    if (has(n, 3)) s[0] |= S_STATE;
    if (has(n, 4)) s[0] |= S_DECAY | (wa__gpu_type(b, n->inputs[4])->dims[2] != last->dims[1] ? S_DECAY_EACH : 0u);
    if (has(n, 5)) s[0] |= S_BETA | (wa__gpu_type(b, n->inputs[5])->dims[2] != 1 ? S_BETA_HEADS : 0u);
    if (wa__node_int(n, "delta", 0)) s[0] |= S_DELTA;
    for (uint32_t i = 0; i < n->input_count; i++)
        if (has(n, i)) WA_TRY(wa__gpu_read(b, &d, n->inputs[i]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[1]));
    d.params[0] = (uint32_t)q->dims[0];
    d.params[1] = (uint32_t)q->dims[1];
    d.params[2] = (uint32_t)wa__node_int(n, "q_heads", 1);
    d.params[3] = (uint32_t)last->dims[1];
    d.params[4] = (uint32_t)last->dims[2];
    d.params[5] = (uint32_t)last->dims[3];
    d.params[6] = wa__gpu_bits(wa__node_float(n, "scale", 1));
    d.params_count = 8;
    d.flops = 6 * (uint64_t)wa__count(last) * (uint64_t)q->dims[1];
    wa__gpu_cover(&d, (uint64_t)(last->dims[0] * last->dims[1] * last->dims[3]), 32);
    return wa__gpu_end(b, &d, node, NULL);
}

/* --- Philox ------------------------------------------------------------------------------------------------------ */
static wa_status philox_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_PHILOX);
    uint64_t key = (uint64_t)wa__node_int(n, "seed", 0), count = (uint64_t)wa__count(wa__gpu_type(b, n->outputs[0]));
    d.spec.spec[0] = wa__node_int(n, "normal", 0) != 0;
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    d.params[0] = (uint32_t)count;
    d.params[1] = (uint32_t)key;
    d.params[2] = (uint32_t)(key >> 32);
    d.params[4] = wa__gpu_bits(wa__node_float(n, "low", 0));
    d.params[5] = wa__gpu_bits(wa__node_float(n, "high", 1));
    d.params_count = 8;
    wa__gpu_cover(&d, (count + 3) / 4, 64);
    return wa__gpu_end(b, &d, node, NULL);
}

const wa_gpu_row wa__gpu_seq_rows[] = {
    {WA_OP_Recurrence, recurrence_refuses, recurrence_lower},
    {WA_OP_LinearScan, scan_refuses, scan_lower},
    {WA_OP_Philox, NULL, philox_lower},
    {WA_OP_NONE, NULL, NULL},
};
