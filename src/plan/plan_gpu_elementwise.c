/* Lowering of elementwise nodes and fused chains: one dispatch each. In: a node. Out: the chain's code
 * words, broadcast strides over merged axes, a dispatch. The row stands in plan_gpu.c. */
#include "plan/plan_int.h"

#define DIMS      6u
#define INPUTS    7u
#define STEP      (WA_EW_WORDS + 1u)
#define CODE_MAX  (2u + WA_WGSL_EW_STEPS_MAX * STEP + 3u * WA_WGSL_EW_STEPS_MAX)

typedef struct chain {
    uint32_t code[CODE_MAX], step_count, imm_count;
    uint32_t imm[3 * WA_WGSL_EW_STEPS_MAX];
} chain;

static bool chain_step(chain *c, uint32_t op, const int32_t *operands, uint32_t dtype)
{
    if (c->step_count == WA_WGSL_EW_STEPS_MAX || !dtype) return false;
    uint32_t *w = c->code + 2 + c->step_count++ * STEP;
    w[0] = op;
    for (unsigned k = 0; k < 3; k++) w[1 + k] = (uint32_t)operands[k];
    w[4] = dtype;
    return true;
}

static int32_t chain_imm(chain *c, float f)
{
    if (c->imm_count == 3 * WA_WGSL_EW_STEPS_MAX) return WA_EW_ABSENT;
    c->imm[c->imm_count++] = wa__gpu_bits(f);
    return -(int32_t)c->imm_count;
}

/* The type that a step's result is brought back into: small integers wrap; halves are rounded where
 * something is cast to them. Else the 32-bit type that holds it, so that pipelines are shared. */
static uint32_t step_dtype(uint32_t op, wa_dtype to)
{
    bool casts = op == WA_OP_Cast || op == WA_OP_BitCast;
    switch (to) {
    case WA_I8: case WA_I16: case WA_U8: case WA_U16: return to;
    case WA_F16: case WA_BF16: case WA_BOOL: return casts ? (uint32_t)to : (uint32_t)wa__plan_device_dtype(to);
    default: return wa__plan_device_dtype(to);
    }
}

static bool fused_chain(const wa_node *n, chain *c)
{
    const wa_attr *code = wa__attr_find(n->attrs, n->attr_count, "code"), *imm = wa__attr_find(n->attrs, n->attr_count, "imm"),
                  *types = wa__attr_find(n->attrs, n->attr_count, "dtypes");
    if (!code || !types || code->count % WA_EW_WORDS || code->count / WA_EW_WORDS != types->count || !types->count) return false;
    for (uint32_t i = 0; imm && i < imm->count; i++)
        if (chain_imm(c, imm->floats[i]) == WA_EW_ABSENT) return false;
    for (uint32_t i = 0; i < types->count; i++) {
        const int64_t *w = code->ints + (size_t)i * WA_EW_WORDS;
        int32_t operands[3];
        for (unsigned k = 0; k < 3; k++) {
            if (w[1 + k] > INT32_MAX || w[1 + k] < INT32_MIN) return false;
            operands[k] = (int32_t)w[1 + k];
        }
        if (!chain_step(c, (uint32_t)w[0], operands, step_dtype((uint32_t)w[0], (wa_dtype)types->ints[i]))) return false;
    }
    return true;
}

/* Min, Max, Sum and Mean of many inputs: pairs from the left. */
static bool folded_chain(const wa_node *n, const int32_t *slot, uint32_t inputs, uint32_t dtype, chain *c)
{
    int32_t last = slot[0];
    uint32_t op = n->op == WA_OP_Mean ? WA_OP_Sum : n->op;
    for (uint32_t i = 1; i < n->input_count; i++) {
        if (!chain_step(c, op, (int32_t[]){last, slot[i], WA_EW_ABSENT}, dtype)) return false;
        last = (int32_t)(inputs + c->step_count - 1);
    }
    if (n->input_count == 1) return chain_step(c, WA_OP_Identity, (int32_t[]){last, WA_EW_ABSENT, WA_EW_ABSENT}, dtype);
    return n->op != WA_OP_Mean || chain_step(c, WA_OP_Div, (int32_t[]){last, chain_imm(c, (float)n->input_count), WA_EW_ABSENT}, dtype);
}

static bool single_chain(const wa_plan_builder *b, const wa_node *n, const int32_t *slot, chain *c)
{
    wa_dtype out = wa__gpu_type(b, n->outputs[0])->dtype;
    uint32_t inputs = 0, dtype = step_dtype(n->op, out);
    for (uint32_t i = 0; i < n->input_count; i++) inputs += slot[i] != WA_EW_ABSENT;
    if (n->op == WA_OP_Min || n->op == WA_OP_Max || n->op == WA_OP_Sum || n->op == WA_OP_Mean) return folded_chain(n, slot, inputs, dtype, c);
    if (n->input_count > 3) return false;
    int32_t x[3] = {WA_EW_ABSENT, WA_EW_ABSENT, WA_EW_ABSENT};
    float value[3];
    uint32_t mask = wa__ew_attr_operands(n->op, n->attrs, n->attr_count, value);
    for (uint32_t i = 0; i < n->input_count; i++) x[i] = slot[i];
    for (uint32_t k = 1; k < 3; k++)
        if (mask >> k & 1 && x[k] == WA_EW_ABSENT) x[k] = chain_imm(c, value[k]);
    return chain_step(c, n->op, x, dtype);
}

/* --- axes ------------------------------------------------------------------------------------------------ */
typedef struct axes { /* the output's, and each input's strides in them (0: broadcast) */
    uint32_t rank;
    int64_t dims[WA_RANK_MAX], strides[INPUTS][WA_RANK_MAX];
} axes;

static void input_strides(const wa_tensor_type *t, const wa_tensor_type *o, int64_t out[WA_RANK_MAX])
{
    int64_t s = 1;
    uint32_t missing = o->rank - t->rank;
    for (uint32_t i = 0; i < missing; i++) out[i] = 0;
    for (uint32_t i = t->rank; i-- > 0;) {
        out[missing + i] = t->dims[i] == 1 ? 0 : s;
        s *= t->dims[i];
    }
}

/* Leaves out axes of one element and joins neighbours that every input walks through as one. */
static void merge_axes(axes *a, uint32_t inputs)
{
    uint32_t rank = 0;
    for (uint32_t d = 0; d < a->rank; d++) {
        int64_t dim = a->dims[d];
        bool joins = rank > 0;
        if (dim == 1) continue;
        for (uint32_t i = 0; i < inputs && joins; i++) joins = a->strides[i][rank - 1] == a->strides[i][d] * dim;
        if (!joins) a->dims[rank++] = 1;
        a->dims[rank - 1] *= dim;
        for (uint32_t i = 0; i < inputs; i++) a->strides[i][rank - 1] = a->strides[i][d];
    }
    a->rank = rank;
}

/* Fills the dispatch's spec, the chain's code and the axes; false when there is no such kernel. */
static bool make_chain(const wa_plan_builder *b, const wa_node *n, wa_wgsl_spec *s, chain *c, axes *a)
{
    const wa_tensor_type *o = wa__gpu_type(b, n->outputs[0]);
    int32_t slot[8];
    uint32_t inputs = 0;
    memset(s, 0, sizeof *s);
    s->kernel = WA_WGSL_ELEMENTWISE;
    if (n->input_count > 8) return false;
    a->rank = o->rank;
    memcpy(a->dims, o->dims, sizeof a->dims);
    for (uint32_t i = 0; i < n->input_count; i++) {
        slot[i] = WA_EW_ABSENT;
        if (n->inputs[i] == WA_NONE) continue;
        const wa_tensor_type *t = wa__gpu_type(b, n->inputs[i]);
        if (inputs == INPUTS || t->rank > o->rank) return false;
        slot[i] = (int32_t)inputs;
        bool halves = n->op == WA_OP_BitCast && (t->dtype == WA_F16 || t->dtype == WA_BF16);
        s->spec[1 + inputs] = halves ? (uint32_t)t->dtype : (uint32_t)wa__plan_device_dtype(t->dtype);
        if (wa__count(t) != wa__count(o)) s->spec[9] |= 1u << inputs;
        input_strides(t, o, a->strides[inputs]);
        inputs++;
    }
    s->spec[0] = inputs;
    merge_axes(a, inputs);
    if (!s->spec[9] && wa__count(o) % 4 == 0) s->spec[10] = 1;
    if ((s->spec[9] && a->rank > DIMS) || (n->op == WA_OP_Elementwise ? !fused_chain(n, c) : !single_chain(b, n, slot, c))) return false;
    c->code[0] = c->step_count;
    c->code[1] = c->imm_count;
    memcpy(c->code + 2 + c->step_count * STEP, c->imm, c->imm_count * 4u);
    s->code_count = 2 + c->step_count * STEP + c->imm_count;
    return wa__wgsl_check(s, c->code, NULL, NULL) == WA_OK;
}

const char *wa__gpu_elementwise_refuses(wa_plan_builder *b, const wa_node *n)
{
    wa_wgsl_spec s;
    axes a;
    chain *c = wa__alloc(1, sizeof *c);
    bool ok = c && make_chain(b, n, &s, c, &a);
    wa__free(c);
    return ok ? NULL : "this elementwise operator, type or rank has no WebGPU kernel";
}

static wa_status dispatch(wa_plan_builder *b, uint32_t node, chain *c)
{
    const wa_node *n = &b->g->nodes[node];
    uint64_t count = (uint64_t)wa__count(wa__gpu_type(b, n->outputs[0]));
    axes a;
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_ELEMENTWISE);
    if (!make_chain(b, n, &d.spec, c, &a)) return wa__fail(b->err, WA_INTERNAL, "an elementwise chain changed its mind");
    uint32_t *p = d.params, at = 12, input = 0;
    if (d.spec.spec[10]) count /= 4;
    p[0] = (uint32_t)count;
    for (unsigned k = 0; k < DIMS && d.spec.spec[9]; k++) p[4 + k] = k + a.rank >= DIMS ? (uint32_t)a.dims[k + a.rank - DIMS] : 1;
    for (uint32_t i = 0; i < n->input_count; i++) {
        if (n->inputs[i] == WA_NONE) continue;
        WA_TRY(wa__gpu_read(b, &d, n->inputs[i]));
        if (d.spec.spec[9] >> input & 1) {
            for (unsigned k = 0; k < DIMS; k++) p[at + k] = k + a.rank >= DIMS ? (uint32_t)a.strides[input][k + a.rank - DIMS] : 0;
            at += 8;
        }
        input++;
    }
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    d.params_count = at;
    wa__gpu_cover(&d, count, 64);
    return wa__gpu_end(b, &d, node, c->code);
}

wa_status wa__gpu_elementwise(wa_plan_builder *b, uint32_t node)
{
    chain *c = wa__alloc(1, sizeof *c);
    if (!c) return wa__no_memory(b->err, "an elementwise chain");
    wa_status s = dispatch(b, node, c);
    wa__free(c);
    return s;
}

/* A constant's digits and range may matter here (an epsilon, a mask's -3e38). */
uint32_t wa__gpu_elementwise_forms(wa_plan_builder *b, const wa_node *n, bool output, uint32_t index)
{
    wa_plan_pieces e;
    bool constant = !output && wa__plan_pieces(b->g, b->root[n->inputs[index]], &e);
    return constant || n->op == WA_OP_BitCast ? 1u << WA_FORM_F32 : WA_FORMS_DENSE;
}
