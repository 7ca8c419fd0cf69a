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
