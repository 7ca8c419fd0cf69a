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
    bool codes = axis == 0 && wa__gpu_has_table(b, node, n->inputs[0]);
    d.spec.spec[0] = codes;
    if (codes) d.spec.spec[1] = size[2];
    WA_TRY(codes ? wa__gpu_read_table(b, &d, n->inputs[0]) : wa__gpu_read(b, &d, n->inputs[0]));
    WA_TRY(wa__gpu_read(b, &d, n->inputs[1]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    wa__gpu_looked_up(b, &d, n);
    memcpy(d.params, size, sizeof size);
    d.params[3] = (uint32_t)wa__count(wa__gpu_type(b, n->inputs[1]));
    d.params_count = 4;
    wa__gpu_cover(&d, (uint64_t)wa__count(wa__gpu_type(b, n->outputs[0])), 64);
    return wa__gpu_end(b, &d, node, NULL);
}

/* --- strided copies ------------------------------------------------------------------------------------ */
typedef struct walk { /* dims with strides on both sides */
    uint32_t rank;
    int64_t dims[WA_RANK_MAX], in[WA_RANK_MAX], out[WA_RANK_MAX];
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

/* Fewer dims for the same walk: those of one element go, neighbours that lie dense on both sides join. */
static void merge(walk *w)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < w->rank; k++) {
        if (w->dims[k] == 1) continue;
        bool joins = n > 0 && w->in[n - 1] == w->in[k] * w->dims[k] && w->out[n - 1] == w->out[k] * w->dims[k];
        if (joins) w->dims[n - 1] *= w->dims[k];
        else w->dims[n++] = w->dims[k];
        w->in[n - 1] = w->in[k];
        w->out[n - 1] = w->out[k];
    }
    w->rank = n;
}

static uint32_t word(const int64_t *v, uint32_t rank, unsigned dims, unsigned k, uint32_t none)
{
    return k + rank >= dims ? (uint32_t)v[k + rank - dims] : none; /* right-aligned */
}

static wa_status copy(wa_plan_builder *b, uint32_t node, uint32_t from, uint32_t to, walk *w)
{
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_COPY);
    uint32_t *p = d.params;
    uint64_t count = 1;
    for (unsigned k = 0; k < w->rank; k++) count *= (uint64_t)w->dims[k];
    if (count == 0) return WA_OK;
    if (w->rank > DIMS) merge(w);
    WA_TRY(wa__gpu_read(b, &d, from));
    WA_TRY(wa__gpu_write(b, &d, to));
    p[0] = (uint32_t)count;
    p[1] = (uint32_t)w->in_offset;
    p[2] = (uint32_t)w->out_offset;
    d.spec.spec[0] = w->rank > DIMS;
    uint32_t r = w->rank;
    if (r > DIMS) {
        for (unsigned k = 0; k < 8; k++) p[4 + k] = word(w->dims, r, 8, k, 1), p[12 + k] = word(w->in, r, 8, k, 0), p[20 + k] = word(w->out, r, 8, k, 0);
    } else {
        for (unsigned k = 0; k < DIMS; k++) {
            p[4 + k] = word(w->dims, r, DIMS, k, 1);
            p[k < 4 ? 12 + k : 6 + k] = word(w->in, r, DIMS, k, 0);
            p[16 + k] = word(w->out, r, DIMS, k, 0);
        }
    }
    d.params_count = r > DIMS ? 28 : 24;
    wa__gpu_cover(&d, count, 64);
    return wa__gpu_end(b, &d, node, NULL);
}

/* A walk over `shape` with these strides. */
static walk walk_of(const wa_tensor_type *shape, const int64_t *in, const int64_t *out)
{
    walk w = {.rank = shape->rank};
    memcpy(w.dims, shape->dims, shape->rank * sizeof *w.dims);
    memcpy(w.in, in, shape->rank * sizeof *w.in);
    memcpy(w.out, out, shape->rank * sizeof *w.out);
    return w;
}

wa_status wa__gpu_copy_all(wa_plan_builder *b, uint32_t node, uint32_t from, uint32_t to)
{
    walk w = {.rank = 1, .dims = {wa__count(wa__gpu_type(b, to))}, .in = {1}, .out = {1}};
    return copy(b, node, from, to, &w);
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
    if (n->input_count < 3 || !wa__graph_const_ints(b->g, n->inputs[1], starts, WA_RANK_MAX, &count)) return false;
    bool given = n->input_count > 3 && n->inputs[3] != WA_NONE, stepped = n->input_count > 4 && n->inputs[4] != WA_NONE;
    if (given && (!wa__graph_const_ints(b->g, n->inputs[3], axes, WA_RANK_MAX, &axis_count) || axis_count != count)) return false;
    if (stepped && (!wa__graph_const_ints(b->g, n->inputs[4], steps, WA_RANK_MAX, &step_count) || step_count != count)) return false;
    for (uint32_t i = 0; i < x->rank; i++) start[i] = 0, step[i] = 1;
    for (uint32_t i = 0; i < count; i++) {
        int64_t a = given ? axes[i] : (int64_t)i;
        if (a < 0) a += x->rank;
        if (a < 0 || a >= (int64_t)x->rank) return false;
        int64_t k = stepped ? steps[i] : 1, dim = x->dims[a], s = starts[i] < -dim ? -1 : starts[i] < 0 ? starts[i] + dim : starts[i];
        if (k == 0) return false;
        if (wa__gpu_type(b, n->outputs[0])->dims[a] < 2) k = k > 0 ? 1 : -1; /* a step nobody takes may be huge */
        if (k > INT32_MAX || k < -INT32_MAX) return false;
        int64_t last = k > 0 ? dim : dim - 1;
        start[a] = s < 0 ? 0 : s > last ? last : s;
        step[a] = k;
    }
    return true;
}

static const char *slice_refuses(wa_plan_builder *b, const wa_node *n)
{
    int64_t start[WA_RANK_MAX], step[WA_RANK_MAX];
    return slice_of(b, n, start, step) ? NULL : "a slice whose bounds are not constant has no WebGPU kernel";
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

/* A constant that is moved, not looked up in, may be a mask: its range stays. */
static uint32_t moved_forms(wa_plan_builder *b, const wa_node *n, bool output, uint32_t index)
{
    wa_plan_pieces e;
    bool constant = !output && n->op != WA_OP_Gather && wa__plan_pieces(b->g, b->root[n->inputs[index]], &e);
    return constant ? 1u << WA_FORM_F32 : WA_FORMS_DENSE;
}

const wa_gpu_row wa__gpu_move_rows[] = {
    {WA_OP_Gather, gather_refuses, gather_lower, moved_forms},
    {WA_OP_Transpose, NULL, transpose_lower, moved_forms},
    {WA_OP_Concat, NULL, parts_lower, moved_forms},
    {WA_OP_Split, NULL, parts_lower, moved_forms},
    {WA_OP_Slice, slice_refuses, slice_lower, moved_forms},
    {WA_OP_Expand, NULL, expand_lower, moved_forms},
    {WA_OP_NONE, NULL, NULL},
};
