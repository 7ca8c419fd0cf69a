/* Rows of the WebGPU table that move data: gather, transpose, concat, split, slice, expand: all but
 * gather are one strided copy (a dispatch a part). */
#include "plan/plan_int.h"

#define DIMS 6u

/* --- gather ------------------------------------------------------------------------------------------ */
static const char *gather_refuses(wa_plan_builder *b, const wa_node *n)
{
    if (wa__plan_device_dtype(wa__gpu_type(b, n->inputs[1])->dtype) != WA_I32) return "indices that are not signed integers";
    return wa__gpu_type(b, n->inputs[0])->rank ? NULL : "gather from a scalar";
}

static wa_status gather_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    int64_t axis = wa__node_int(n, "axis", 0);
    if (axis < 0) axis += x->rank;
    if (axis < 0 || axis >= (int64_t)x->rank) return wa__fail(b->err, WA_INVALID_ARGUMENT, "axis %lld of rank %u", (long long)axis, x->rank);
    uint32_t size[3] = {1, 1, 1};
    for (uint32_t i = 0; i < x->rank; i++) size[(int64_t)i < axis ? 0 : (int64_t)i == axis ? 1 : 2] *= (uint32_t)x->dims[i];
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_GATHER);
    WA_TRY(wa__gpu_read(b, &d, n->inputs[0]));
    WA_TRY(wa__gpu_read(b, &d, n->inputs[1]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    memcpy(d.params, size, sizeof size);
    d.params[3] = (uint32_t)wa__count(wa__gpu_type(b, n->inputs[1]));
    d.params_count = 4;
    wa__gpu_cover(&d, (uint64_t)wa__count(wa__gpu_type(b, n->outputs[0])), 64);
    return wa__gpu_end(b, &d, node, NULL);
}

/* --- strided copies ------------------------------------------------------------------------------------ */
typedef struct walk { /* dims with strides on both sides, right-aligned in DIMS */
    int64_t dims[DIMS], in[DIMS], out[DIMS];
    int64_t in_offset, out_offset;
} walk;

static void dense_strides(const wa_tensor_type *t, int64_t out[WA_RANK_MAX])
{
    int64_t s = 1;
    for (uint32_t i = t->rank; i-- > 0;) {
        out[i] = s;
        s *= t->dims[i];
    }
}

static wa_status copy(wa_plan_builder *b, uint32_t node, uint32_t from, uint32_t to, const walk *w)
{
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_COPY);
    uint32_t *p = d.params;
    uint64_t count = 1;
    for (unsigned k = 0; k < DIMS; k++) count *= (uint64_t)w->dims[k];
    WA_TRY(wa__gpu_read(b, &d, from));
    WA_TRY(wa__gpu_write(b, &d, to));
    p[0] = (uint32_t)count;
    p[1] = (uint32_t)w->in_offset;
    p[2] = (uint32_t)w->out_offset;
    for (unsigned k = 0; k < 4; k++) p[4 + k] = (uint32_t)w->dims[k], p[12 + k] = (uint32_t)w->in[k], p[16 + k] = (uint32_t)w->out[k];
    p[8] = (uint32_t)w->dims[4], p[9] = (uint32_t)w->dims[5], p[10] = (uint32_t)w->in[4], p[11] = (uint32_t)w->in[5];
    p[20] = (uint32_t)w->out[4], p[21] = (uint32_t)w->out[5];
    d.params_count = 24;
    wa__gpu_cover(&d, count, 64);
    return wa__gpu_end(b, &d, node, NULL);
}

/* A walk over `shape` with these strides. */
static walk walk_of(const wa_tensor_type *shape, const int64_t *in, const int64_t *out)
{
    walk w = {{1, 1, 1, 1, 1, 1}, {0}, {0}, 0, 0};
    for (uint32_t i = 0; i < shape->rank; i++) {
        uint32_t k = DIMS - shape->rank + i;
        w.dims[k] = shape->dims[i];
        w.in[k] = in[i];
        w.out[k] = out[i];
    }
    return w;
}

static const char *rank_refuses(wa_plan_builder *b, const wa_node *n)
{
    for (uint32_t i = 0; i < n->input_count; i++)
        if (n->inputs[i] != WA_NONE && wa__gpu_type(b, n->inputs[i])->rank > DIMS) return "a rank above 6";
    return wa__gpu_type(b, n->outputs[0])->rank > DIMS ? "a rank above 6" : NULL;
}

static wa_status transpose_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]), *o = wa__gpu_type(b, n->outputs[0]);
    const wa_attr *perm = wa__attr_find(n->attrs, n->attr_count, "perm");
    int64_t xs[WA_RANK_MAX], os[WA_RANK_MAX], in[WA_RANK_MAX] = {0};
    dense_strides(x, xs);
    dense_strides(o, os);
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t from = perm && i < perm->count ? perm->ints[i] : (int64_t)(x->rank - 1 - i);
        if (from < 0 || from >= (int64_t)x->rank) return wa__fail(b->err, WA_INVALID_ARGUMENT, "perm names axis %lld", (long long)from);
        in[i] = xs[from];
    }
    walk w = walk_of(o, in, os);
    return copy(b, node, n->inputs[0], n->outputs[0], &w);
}

/* Copies each part of Concat into its place, or of Split out of it. */
static wa_status parts_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    bool joins = n->op == WA_OP_Concat;
    uint32_t whole = joins ? n->outputs[0] : n->inputs[0], count = joins ? n->input_count : n->output_count;
    const wa_tensor_type *wt = wa__gpu_type(b, whole);
    int64_t axis = wa__node_int(n, "axis", 0), at = 0, ws[WA_RANK_MAX], ps[WA_RANK_MAX];
    if (axis < 0) axis += wt->rank;
    if (axis < 0 || axis >= (int64_t)wt->rank) return wa__fail(b->err, WA_INVALID_ARGUMENT, "axis %lld of rank %u", (long long)axis, wt->rank);
    dense_strides(wt, ws);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t part = joins ? n->inputs[i] : n->outputs[i];
        if (part == WA_NONE) continue;
        const wa_tensor_type *pt = wa__gpu_type(b, part);
        if (pt->rank != wt->rank) return wa__fail(b->err, WA_INVALID_ARGUMENT, "part %u has rank %u, not %u", i, pt->rank, wt->rank);
        dense_strides(pt, ps);
        walk w = walk_of(pt, joins ? ps : ws, joins ? ws : ps);
        *(joins ? &w.out_offset : &w.in_offset) = at * ws[axis];
        at += pt->dims[axis];
        WA_TRY(copy(b, node, joins ? part : whole, joins ? whole : part, &w));
    }
    return WA_OK;
}

/* Starts and steps per axis of Slice; false when not constant. */
static bool slice_of(const wa_plan_builder *b, const wa_node *n, int64_t *start, int64_t *step)
{
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    int64_t starts[WA_RANK_MAX], axes[WA_RANK_MAX], steps[WA_RANK_MAX];
    uint32_t count = 0, axis_count = 0, step_count = 0;
    if (n->opset < 10 || n->input_count < 3 || !wa__graph_const_ints(b->g, n->inputs[1], starts, WA_RANK_MAX, &count)) return false;
    bool given = n->input_count > 3 && n->inputs[3] != WA_NONE, stepped = n->input_count > 4 && n->inputs[4] != WA_NONE;
    if (given && (!wa__graph_const_ints(b->g, n->inputs[3], axes, WA_RANK_MAX, &axis_count) || axis_count != count)) return false;
    if (stepped && (!wa__graph_const_ints(b->g, n->inputs[4], steps, WA_RANK_MAX, &step_count) || step_count != count)) return false;
    for (uint32_t i = 0; i < x->rank; i++) start[i] = 0, step[i] = 1;
    for (uint32_t i = 0; i < count; i++) {
        int64_t a = given ? axes[i] : (int64_t)i;
        if (a < 0) a += x->rank;
        if (a < 0 || a >= (int64_t)x->rank) return false;
        int64_t k = stepped ? steps[i] : 1, dim = x->dims[a], s = starts[i] < 0 ? starts[i] + dim : starts[i];
        if (k == 0 || k > INT32_MAX || k < -INT32_MAX) return false;
        int64_t last = k > 0 ? dim : dim - 1;
        start[a] = s < 0 ? 0 : s > last ? last : s;
        step[a] = k;
    }
    return true;
}

static const char *slice_refuses(wa_plan_builder *b, const wa_node *n)
{
    int64_t start[WA_RANK_MAX], step[WA_RANK_MAX];
    const char *why = rank_refuses(b, n);
    return why ? why : slice_of(b, n, start, step) ? NULL : "a slice whose bounds are not constant has no WebGPU kernel";
}

static wa_status slice_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *o = wa__gpu_type(b, n->outputs[0]);
    int64_t start[WA_RANK_MAX], step[WA_RANK_MAX], in[WA_RANK_MAX], os[WA_RANK_MAX], offset = 0;
    if (!slice_of(b, n, start, step)) return wa__fail(b->err, WA_INTERNAL, "a slice changed its mind");
    dense_strides(wa__gpu_type(b, n->inputs[0]), in);
    dense_strides(o, os);
    for (uint32_t i = 0; i < o->rank; i++) {
        offset += start[i] * in[i];
        in[i] *= step[i];
    }
    walk w = walk_of(o, in, os);
    w.in_offset = offset;
    return copy(b, node, n->inputs[0], n->outputs[0], &w);
}

/* Strides of `t` read as if broadcast to `o`. */
static void broadcast_strides(const wa_tensor_type *t, const wa_tensor_type *o, int64_t out[WA_RANK_MAX])
{
    int64_t s[WA_RANK_MAX];
    dense_strides(t, s);
    for (uint32_t i = 0; i < o->rank; i++) {
        uint32_t missing = o->rank - t->rank;
        out[i] = i < missing || t->dims[i - missing] == 1 ? 0 : s[i - missing];
    }
}

static wa_status expand_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *o = wa__gpu_type(b, n->outputs[0]);
    int64_t in[WA_RANK_MAX], os[WA_RANK_MAX];
    broadcast_strides(wa__gpu_type(b, n->inputs[0]), o, in);
    dense_strides(o, os);
    walk w = walk_of(o, in, os);
    return copy(b, node, n->inputs[0], n->outputs[0], &w);
}

const wa_gpu_row wa__gpu_move_rows[] = {
    {WA_OP_Gather, gather_refuses, gather_lower},
    {WA_OP_Transpose, rank_refuses, transpose_lower},
    {WA_OP_Concat, rank_refuses, parts_lower},
    {WA_OP_Split, rank_refuses, parts_lower},
    {WA_OP_Slice, slice_refuses, slice_lower},
    {WA_OP_Expand, rank_refuses, expand_lower},
    {WA_OP_NONE, NULL, NULL},
};

/* --- elementwise ------------------------------------------------------------------------------------------ */
#define STEP      (WA_EW_WORDS + 1u)
#define CODE_MAX  (2u + WA_WGSL_EW_STEPS_MAX * STEP + 3u * WA_WGSL_EW_STEPS_MAX)

typedef struct chain {
    uint32_t code[CODE_MAX], step_count, imm_count;
    uint32_t imm[3 * WA_WGSL_EW_STEPS_MAX];
} chain;

static bool chain_step(chain *c, uint32_t op, const int32_t *operands, uint32_t dtype)
{
    if (c->step_count == WA_WGSL_EW_STEPS_MAX) return false;
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
        wa_dtype to = (wa_dtype)types->ints[i];
        if (w[0] == WA_OP_Cast && (wa__dtype_size(to) < 4 && !wa__dtype_is_float(to))) return false;
        if (!chain_step(c, (uint32_t)w[0], operands, wa__plan_device_dtype(to))) return false;
    }
    return true;
}

/* Attributes as operands, in the order of graph.h. */
static void attribute_operands(const wa_node *n, chain *c, int32_t *x)
{
    switch (n->op) {
    case WA_OP_LeakyRelu: x[1] = chain_imm(c, wa__node_float(n, "alpha", 0.01f)); break;
    case WA_OP_Elu: x[1] = chain_imm(c, wa__node_float(n, "alpha", 1)); break;
    case WA_OP_HardSigmoid:
        x[1] = chain_imm(c, wa__node_float(n, "alpha", 0.2f));
        x[2] = chain_imm(c, wa__node_float(n, "beta", 0.5f));
        break;
    case WA_OP_Gelu: {
        const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, "approximate");
        x[1] = chain_imm(c, a && a->kind == WA_ATTR_KIND_STRING && wa__str_is(a->s, "tanh") ? 1.0f : 0.0f);
        break;
    }
    case WA_OP_Clip:
        if (wa__attr_find(n->attrs, n->attr_count, "min")) x[1] = chain_imm(c, wa__node_float(n, "min", 0));
        if (wa__attr_find(n->attrs, n->attr_count, "max")) x[2] = chain_imm(c, wa__node_float(n, "max", 0));
        break;
    default: break;
    }
}

static bool single_chain(const wa_plan_builder *b, const wa_node *n, const int32_t *slot, chain *c)
{
    wa_dtype out = wa__gpu_type(b, n->outputs[0])->dtype;
    uint32_t device = wa__plan_device_dtype(out), inputs = 0;
    bool folds = n->op == WA_OP_Min || n->op == WA_OP_Max || n->op == WA_OP_Sum || n->op == WA_OP_Mean;
    for (uint32_t i = 0; i < n->input_count; i++) inputs += slot[i] != WA_EW_ABSENT;
    if (folds) {
        int32_t last = slot[0];
        uint32_t op = n->op == WA_OP_Mean ? WA_OP_Sum : n->op;
        for (uint32_t i = 1; i < n->input_count; i++) {
            if (!chain_step(c, op, (int32_t[]){last, slot[i], WA_EW_ABSENT}, device)) return false;
            last = (int32_t)(inputs + c->step_count - 1);
        }
        if (n->input_count == 1) return chain_step(c, WA_OP_Identity, (int32_t[]){last, WA_EW_ABSENT, WA_EW_ABSENT}, device);
        return n->op != WA_OP_Mean || chain_step(c, WA_OP_Mul, (int32_t[]){last, chain_imm(c, 1.0f / (float)n->input_count), WA_EW_ABSENT}, device);
    }
    if (n->input_count > 3) return false;
    int32_t x[3] = {WA_EW_ABSENT, WA_EW_ABSENT, WA_EW_ABSENT};
    for (uint32_t i = 0; i < n->input_count; i++) x[i] = slot[i];
    attribute_operands(n, c, x);
    if (n->op == WA_OP_Cast && out == WA_BOOL) { /* any other number than 0 is true */
        x[1] = chain_imm(c, 0);
        return chain_step(c, WA_OP_Equal, x, WA_U32) && chain_step(c, WA_OP_Not, (int32_t[]){(int32_t)inputs, WA_EW_ABSENT, WA_EW_ABSENT}, WA_U32);
    }
    if (n->op == WA_OP_Cast && wa__dtype_size(out) < 4 && !wa__dtype_is_float(out)) return false;
    return chain_step(c, n->op, x, device);
}

/* Fills the dispatch's spec and the chain's code; false when there is no such kernel. */
static bool make_chain(const wa_plan_builder *b, const wa_node *n, wa_wgsl_spec *s, chain *c)
{
    const wa_tensor_type *o = wa__gpu_type(b, n->outputs[0]);
    int32_t slot[8];
    uint32_t inputs = 0;
    memset(s, 0, sizeof *s);
    s->kernel = WA_WGSL_ELEMENTWISE;
    if (n->input_count > 8 || o->rank > DIMS) return false;
    for (uint32_t i = 0; i < n->input_count; i++) {
        slot[i] = WA_EW_ABSENT;
        if (n->inputs[i] == WA_NONE) continue;
        const wa_tensor_type *t = wa__gpu_type(b, n->inputs[i]);
        if (inputs == 7 || t->rank > o->rank) return false;
        slot[i] = (int32_t)inputs;
        s->spec[1 + inputs] = wa__plan_device_dtype(t->dtype);
        if (wa__count(t) != wa__count(o)) s->spec[9] |= 1u << inputs;
        inputs++;
    }
    s->spec[0] = inputs;
    if (n->op == WA_OP_Elementwise ? !fused_chain(n, c) : !single_chain(b, n, slot, c)) return false;
    c->code[0] = c->step_count;
    c->code[1] = c->imm_count;
    memcpy(c->code + 2 + c->step_count * STEP, c->imm, c->imm_count * 4u);
    s->code_count = 2 + c->step_count * STEP + c->imm_count;
    return wa__wgsl_check(s, c->code, NULL, NULL) == WA_OK;
}

const char *wa__gpu_elementwise_refuses(wa_plan_builder *b, const wa_node *n)
{
    wa_wgsl_spec s;
    chain *c = wa__alloc(1, sizeof *c);
    bool ok = c && make_chain(b, n, &s, c);
    wa__free(c);
    return ok ? NULL : "this elementwise operator, type or rank has no WebGPU kernel";
}

static wa_status elementwise_dispatch(wa_plan_builder *b, uint32_t node, chain *c)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *o = wa__gpu_type(b, n->outputs[0]);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_ELEMENTWISE);
    if (!make_chain(b, n, &d.spec, c)) return wa__fail(b->err, WA_INTERNAL, "an elementwise chain changed its mind");
    uint32_t *p = d.params, at = 12, input = 0;
    p[0] = (uint32_t)wa__count(o);
    for (unsigned k = 0; k < DIMS; k++) p[4 + k] = k + o->rank >= DIMS ? (uint32_t)o->dims[k + o->rank - DIMS] : 1;
    for (uint32_t i = 0; i < n->input_count; i++) {
        if (n->inputs[i] == WA_NONE) continue;
        WA_TRY(wa__gpu_read(b, &d, n->inputs[i]));
        if (d.spec.spec[9] >> input++ & 1) {
            int64_t s[WA_RANK_MAX];
            broadcast_strides(wa__gpu_type(b, n->inputs[i]), o, s);
            for (unsigned k = 0; k < DIMS; k++) p[at + k] = k + o->rank >= DIMS ? (uint32_t)s[k + o->rank - DIMS] : 0;
            at += 8;
        }
    }
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    d.params_count = at;
    wa__gpu_cover(&d, (uint64_t)wa__count(o), 64);
    return wa__gpu_end(b, &d, node, c->code);
}

wa_status wa__gpu_elementwise(wa_plan_builder *b, uint32_t node)
{
    chain *c = wa__alloc(1, sizeof *c);
    if (!c) return wa__no_memory(b->err, "an elementwise chain");
    wa_status s = elementwise_dispatch(b, node, c);
    wa__free(c);
    return s;
}
