/* elementwise: trees of elementwise nodes that end in one value become one Elementwise node, whose
 * program one kernel runs in one pass (format in graph/graph.h).
 *
 * From each last node upwards: a producer joins when all its uses are inside, when at most INPUTS_MAX
 * tensors are read in the end, and when computing it again for each broadcast is cheap. */
#include "opt/opt_int.h"

#define STEPS_MAX   24
#define INPUTS_MAX  6
#define REPEAT_MAX  4     /* a joined producer is computed at most so many times over, */
#define SMALL_COUNT 65536 /* unless the result is small anyway */

typedef struct group {
    uint32_t nodes[STEPS_MAX]; /* ascending: topological order */
    uint32_t count;
    uint32_t inputs[INPUTS_MAX];
    uint32_t input_count;
} group;

typedef struct program {
    int64_t code[STEPS_MAX * WA_EW_WORDS], dtypes[STEPS_MAX];
    float imm[STEPS_MAX * 3];
    uint32_t imm_count;
} program;

/* Not 64-bit floats and unsigned integers: immediates are 32-bit floats. */
static bool is_type(wa_dtype d)
{
    return d == WA_F32 || d == WA_F16 || d == WA_BF16 || d == WA_I8 || d == WA_I16 || d == WA_I32 || d == WA_I64 || d == WA_U8 || d == WA_U16 ||
           d == WA_U32 || d == WA_BOOL;
}

/* Attributes that the program has no place for. */
static bool is_plain(const wa_node *n)
{
    switch (n->op) {
    case WA_OP_Elementwise: case WA_OP_PRelu: case WA_OP_CastLike: case WA_OP_Swish: return false;
    case WA_OP_Cast: case WA_OP_LeakyRelu: case WA_OP_Elu: case WA_OP_HardSigmoid: case WA_OP_Gelu: case WA_OP_Mod: case WA_OP_Clip:
    case WA_OP_Celu: case WA_OP_Selu: case WA_OP_ThresholdedRelu: case WA_OP_Shrink: case WA_OP_BitShift: case WA_OP_IsInf: return true;
    case WA_OP_Min: case WA_OP_Max: case WA_OP_Sum: case WA_OP_Mean: return n->input_count == 2;
    default: return n->attr_count == 0;
    }
}

static bool is_fusable(const wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    if (n->dead || !wa__op_info(n->op)->elementwise || n->output_count != 1 || n->input_count > 3 || !is_plain(n)) return false;
    if (!is_type(wa__rw_t(r, n->outputs[0])->dtype)) return false;
    bool open = false;
    for (uint32_t i = 0; i < n->input_count; i++) {
        if (n->inputs[i] == WA_NONE) continue;
        if (!is_type(wa__rw_t(r, n->inputs[i])->dtype)) return false;
        open = open || !wa__rw_is_const(r, n->inputs[i]);
    }
    return open;
}

/* A constant that can stand in the program: one element, exact as a 32-bit float. */
static bool immediate(const wa_rw *r, const wa_node *n, uint32_t i, double *x)
{
    uint32_t v = n->inputs[i];
    if (!wa__rw_is_const(r, v) || wa__count(wa__rw_t(r, v)) != 1 || !wa__rw_scalar(r, v, x)) return false;
    if (n->op == WA_OP_Where && i == 0) return false;
    wa_dtype d = wa__rw_t(r, v)->dtype;
    return wa__dtype_is_float(d) || (*x >= -16777216.0 && *x <= 16777216.0);
}

static bool contains(const group *g, uint32_t node)
{
    for (uint32_t i = 0; i < g->count; i++)
        if (g->nodes[i] == node) return true;
    return false;
}

static uint32_t uses_inside(const wa_rw *r, const group *g, uint32_t v)
{
    uint32_t uses = 0;
    for (uint32_t i = 0; i < g->count; i++)
        for (uint32_t k = 0; k < r->g->nodes[g->nodes[i]].input_count; k++) uses += r->g->nodes[g->nodes[i]].inputs[k] == v;
    return uses;
}

/* Lists the tensors that the group reads; false when they are too many. */
static bool list_inputs(const wa_rw *r, group *g)
{
    g->input_count = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        const wa_node *n = &r->g->nodes[g->nodes[i]];
        for (uint32_t k = 0; k < n->input_count; k++) {
            uint32_t v = n->inputs[k], at = 0, made = v == WA_NONE ? WA_NONE : wa__rw_def(r, v, WA_OP_NONE);
            double x;
            if (v == WA_NONE || (made != WA_NONE && contains(g, made)) || immediate(r, n, k, &x)) continue;
            while (at < g->input_count && g->inputs[at] != v) at++;
            if (at < g->input_count) continue;
            if (at == INPUTS_MAX) return false;
            g->inputs[g->input_count++] = v;
        }
    }
    return true;
}

static void insert(group *g, uint32_t node)
{
    uint32_t at = g->count++;
    for (; at > 0 && g->nodes[at - 1] > node; at--) g->nodes[at] = g->nodes[at - 1];
    g->nodes[at] = node;
}

static void take_out(group *g, uint32_t node)
{
    uint32_t at = 0;
    while (g->nodes[at] != node) at++;
    for (g->count--; at < g->count; at++) g->nodes[at] = g->nodes[at + 1];
}

static bool may_join(const wa_rw *r, const group *g, uint32_t root, uint32_t node)
{
    uint32_t v = r->g->nodes[node].outputs[0];
    int64_t whole = wa__count(wa__rw_t(r, r->g->nodes[root].outputs[0])), part = wa__count(wa__rw_t(r, v));
    return g->count < STEPS_MAX && !contains(g, node) && !r->is_output[v] && is_fusable(r, node) &&
           (whole <= SMALL_COUNT || whole / REPEAT_MAX <= part) && uses_inside(r, g, v) == r->uses[v];
}

static void grow(const wa_rw *r, group *g, uint32_t root)
{
    for (bool more = true; more;) {
        more = false;
        for (uint32_t i = g->count; i-- > 0 && !more;) {
            const wa_node *n = &r->g->nodes[g->nodes[i]];
            for (uint32_t k = 0; k < n->input_count && !more; k++) {
                uint32_t p = wa__rw_def(r, n->inputs[k], WA_OP_NONE);
                if (p == WA_NONE || !may_join(r, g, root, p)) continue;
                insert(g, p);
                more = list_inputs(r, g);
                if (!more) take_out(g, p);
            }
        }
    }
}

static int64_t operand(const wa_rw *r, const group *g, const wa_node *n, uint32_t i, program *p)
{
    uint32_t v = i < n->input_count ? n->inputs[i] : WA_NONE;
    double x;
    if (v == WA_NONE) return WA_EW_ABSENT;
    if (immediate(r, n, i, &x)) {
        p->imm[p->imm_count] = (float)x;
        return -1 - (int64_t)p->imm_count++;
    }
    uint32_t made = wa__rw_def(r, v, WA_OP_NONE);
    for (uint32_t k = 0; k < g->count; k++)
        if (g->nodes[k] == made) return g->input_count + k;
    for (uint32_t k = 0; k < g->input_count; k++)
        if (g->inputs[k] == v) return k;
    return WA_EW_ABSENT;
}

static int64_t parameter(program *p, float x)
{
    p->imm[p->imm_count] = x;
    return -1 - (int64_t)p->imm_count++;
}

static void encode(const wa_rw *r, const group *g, uint32_t step, program *p)
{
    const wa_node *n = &r->g->nodes[g->nodes[step]];
    int64_t *c = &p->code[step * WA_EW_WORDS];
    c[0] = n->op;
    for (uint32_t i = 0; i < 3; i++) c[1 + i] = operand(r, g, n, i, p);
    float value[3];
    uint32_t mask = wa__ew_attr_operands(n->op, n->attrs, n->attr_count, value);
    for (uint32_t i = 1; i < 3; i++)
        if (mask >> i & 1 && c[1 + i] == WA_EW_ABSENT) c[1 + i] = parameter(p, value[i]);
    p->dtypes[step] = wa__rw_t(r, n->outputs[0])->dtype;
}

/* The inputs alone must broadcast to the result's shape: immediates have none. */
static bool keeps_shape(const wa_rw *r, const group *g, uint32_t root)
{
    const wa_tensor_type *want = wa__rw_t(r, r->g->nodes[root].outputs[0]);
    if (g->input_count == 0) return false;
    wa_tensor_type t = *wa__rw_t(r, g->inputs[0]);
    for (uint32_t i = 1; i < g->input_count; i++)
        if (!wa__broadcast(&t, wa__rw_t(r, g->inputs[i]), &t)) return false;
    t.dtype = want->dtype;
    return wa__type_eq(&t, want);
}

static void fuse(wa_rw *r, uint32_t root)
{
    group g = {.nodes = {root}, .count = 1};
    program p = {.imm_count = 0};
    if (!list_inputs(r, &g)) return;
    grow(r, &g, root);
    if (g.count < 2 || !list_inputs(r, &g) || !keeps_shape(r, &g, root)) return;
    for (uint32_t i = 0; i < g.count; i++) encode(r, &g, i, &p);
    if (!wa__rw_become(r, root, WA_OP_Elementwise, g.inputs, g.input_count)) return;
    bool ok = wa__node_set_ints(r->g, root, "code", p.code, g.count * WA_EW_WORDS) &&
              (p.imm_count == 0 || wa__node_set_floats(r->g, root, "imm", p.imm, p.imm_count)) &&
              wa__node_set_ints(r->g, root, "dtypes", p.dtypes, g.count);
    if (wa__rw_need(r, ok)) wa__rw_type(r, root);
}

void wa__opt_elementwise(wa_rw *r)
{
    for (uint32_t i = r->g->node_count; i-- > 0 && r->status == WA_OK;)
        if (!r->g->nodes[i].dead && is_fusable(r, i)) fuse(r, i);
}
