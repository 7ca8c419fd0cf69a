/* WebNN rows: operators that move values: views, concat, split, slices, padding, repeats. */
#include "plan/plan_nn_int.h"

static void view(wa_plan_builder *b, const wa_node *n) { wa__nn_output(b, n, 0, wa__nn_input(b, n, 0)); }

static void transpose(wa_plan_builder *b, const wa_node *n)
{
    wa_tensor_type t = *wa__nn_of(b, n->inputs[0]);
    static const int64_t place[4] = {0, 3, 1, 2};
    bool nhwc = t.rank == 4 && wa__nn_held_nhwc(b, n->inputs[0]);
    wa_nn x = nhwc ? wa__nn_in_nhwc(b, n->inputs[0]) : wa__nn_input(b, n, 0);
    const wa_attr *perm = wa__attr_find(n->attrs, n->attr_count, "perm");
    int64_t order[WA_RANK_MAX];
    for (uint32_t i = 0; i < t.rank; i++) order[i] = perm && perm->count == t.rank ? perm->ints[i] : (int64_t)(t.rank - 1 - i);
    for (uint32_t i = 0; nhwc && i < 4; i++) order[i] = place[order[i] & 3];
    wa__nn_output(b, n, 0, wa__nn_transpose(b, x, order));
}

static void concat(wa_plan_builder *b, const wa_node *n)
{
    enum { PARTS_MAX = 256 };
    wa_nn x[PARTS_MAX];
    uint32_t axis, count = 0;
    if (n->input_count > PARTS_MAX) {
        wa__nn_refuse(b, "a concat of more than %d", PARTS_MAX);
        return;
    }
    wa__nn_follow_order(b, n);
    for (uint32_t i = 0; i < n->input_count; i++)
        if (wa__nn_has(n, i)) x[count++] = wa__nn_input(b, n, i);
    if (wa__nn_off(b) || !wa__nn_axis(b, wa__node_int(n, "axis", 0), wa__nn_of(b, n->outputs[0])->rank, &axis)) return;
    wa__nn_output(b, n, 0, wa__nn_concat(b, x, count, wa__nn_place(b, axis)));
}

static void split(wa_plan_builder *b, const wa_node *n)
{
    wa__nn_follow_order(b, n);
    wa_nn x = wa__nn_input(b, n, 0);
    wa_tensor_type t = wa__nn_type(b, x);
    uint32_t axis;
    int64_t at = 0;
    if (wa__nn_off(b) || !wa__nn_axis(b, wa__node_int(n, "axis", 0), t.rank, &axis)) return;
    for (uint32_t i = 0; i < n->output_count; i++) {
        if (n->outputs[i] == WA_NONE) {
            wa__nn_refuse(b, "a part of the split is left out");
            return;
        }
        int64_t size = wa__nn_of(b, n->outputs[i])->dims[axis];
        if (wa__graph_uses(b->g, n->outputs[i])) wa__nn_output(b, n, i, wa__nn_part(b, x, wa__nn_place(b, axis), at, size));
        at += size;
    }
}

/* starts, ends, axes, steps as constant inputs; a negative step takes the same elements forwards and turns them. */
static void slice(wa_plan_builder *b, const wa_node *n)
{
    wa__nn_follow_order(b, n);
    wa_nn x = wa__nn_input(b, n, 0);
    wa_tensor_type t = wa__nn_type(b, x);
    int64_t starts[16], ends[16], axes[16], steps[16], first[WA_RANK_MAX] = {0}, sizes[WA_RANK_MAX], strides[WA_RANK_MAX];
    uint32_t count, end_count, axis_count, step_count, turned = 0;
    if (wa__nn_off(b) || !wa__nn_ints(b, n, 1, starts, &count) || !wa__nn_ints(b, n, 2, ends, &end_count)) return;
    for (uint32_t i = 0; i < 16; i++) axes[i] = i, steps[i] = 1;
    if (wa__nn_has(n, 3) && !wa__nn_ints(b, n, 3, axes, &axis_count)) return;
    if (wa__nn_has(n, 4) && !wa__nn_ints(b, n, 4, steps, &step_count)) return;
    for (uint32_t i = 0; i < t.rank; i++) sizes[i] = t.dims[i], strides[i] = 1;
    for (uint32_t i = 0; i < count && i < end_count; i++) {
        uint32_t axis;
        if (!wa__nn_axis(b, axes[i], t.rank, &axis)) return;
        axis = wa__nn_place(b, axis);
        int64_t dim = t.dims[axis], step = steps[i], from = starts[i], to = ends[i];
        if (step == 0 || step < -INT32_MAX) {
            wa__nn_refuse(b, "a step of %lld", (long long)step);
            return;
        }
        from = from < 0 ? from + dim : from;
        to = to < 0 ? to + dim : to;
        if (from < 0) from = step > 0 ? 0 : -1;
        if (from > dim) from = dim;
        if (step < 0 && from >= dim) from = dim - 1;
        if (to < 0) to = step > 0 ? 0 : -1;
        if (to > dim) to = dim;
        int64_t len = step > 0 ? (to - from + step - 1) / step : (from - to - step - 1) / -step;
        if (len <= 0) {
            wa__nn_refuse(b, "WebNN has no empty tensors");
            return;
        }
        if (step > dim) step = dim;
        if (step < -dim) step = -dim;
        if (step < 0) {
            turned |= 1u << axis;
            from += (len - 1) * step;
            step = -step;
        }
        first[axis] = from;
        strides[axis] = len == 1 ? 1 : step;
        sizes[axis] = (len - 1) * strides[axis] + 1;
    }
    wa__nn_output(b, n, 0, wa__nn_reverse(b, wa__nn_slice(b, x, first, sizes, strides), turned));
}

static void expand(wa_plan_builder *b, const wa_node *n)
{
    const wa_tensor_type *o = wa__nn_of(b, n->outputs[0]);
    wa__nn_output(b, n, 0, wa__nn_expand(b, wa__nn_input(b, n, 0), o->rank, o->dims));
}

/* Repeats by concat: every type and rank has that. */
static void tile(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0);
    wa_tensor_type t = wa__nn_type(b, x);
    const wa_tensor_type *o = wa__nn_of(b, n->outputs[0]);
    int64_t times[WA_RANK_MAX];
    bool one = true;
    if (wa__nn_off(b)) return;
    for (uint32_t i = 0; i < t.rank; i++) {
        times[i] = o->dims[i] / t.dims[i];
        one &= times[i] == 1;
    }
    if (!one && wa__nn_takes(b, WA_NN_tile, 0, t.dtype) && wa__nn_rank_ok(b, WA_NN_tile, 0, t.rank)) {
        wa_tensor_type out = *o;
        out.dtype = t.dtype;
        wa__nn_set_ints(b, "repetitions", times, t.rank);
        x = wa__nn_call(b, WA_NN_tile, &x, 1, &out);
    } else if (!one) {
        enum { TIMES_MAX = 64 };
        wa_nn parts[TIMES_MAX];
        for (uint32_t i = 0; i < t.rank; i++) {
            if (times[i] > TIMES_MAX) {
                wa__nn_refuse(b, "WebNN's tile takes no %s here", wa__dtype_info((uint32_t)t.dtype)->name);
                return;
            }
            for (int64_t k = 0; k < times[i]; k++) parts[k] = x;
            x = wa__nn_concat(b, parts, (uint32_t)times[i], i);
        }
    }
    wa__nn_output(b, n, 0, x);
}

/* Pads: edge and reflection where the method has them, wrap by concat; negative ones cut. */
static void pad(wa_plan_builder *b, const wa_node *n)
{
    wa__nn_follow_order(b, n);
    wa_nn x = wa__nn_input(b, n, 0);
    wa_tensor_type t = wa__nn_type(b, x);
    const wa_attr *mode = wa__attr_find(n->attrs, n->attr_count, "mode");
    int64_t pads[16], axes[16], before[WA_RANK_MAX] = {0}, after[WA_RANK_MAX] = {0}, starts[WA_RANK_MAX] = {0}, sizes[WA_RANK_MAX];
    uint32_t count, axis_count = t.rank;
    double value = 0;
    bool wrap = mode && wa__str_is(mode->s, "wrap");
    if (wa__nn_off(b) || !wa__nn_ints(b, n, 1, pads, &count)) return;
    for (uint32_t i = 0; i < 16; i++) axes[i] = i;
    bool given = wa__nn_has(n, 2) && !wa__graph_const_scalar(b->g, n->inputs[2], &value); /* known at the run only */
    if (wa__nn_has(n, 3) && !wa__nn_ints(b, n, 3, axes, &axis_count)) return;
    if (count != 2 * axis_count) wa__nn_refuse(b, "its pads do not fit its axes");
    for (uint32_t i = 0; i < axis_count && !wa__nn_off(b); i++) {
        uint32_t axis;
        if (!wa__nn_axis(b, axes[i], t.rank, &axis)) return;
        axis = wa__nn_place(b, axis);
        before[axis] = pads[i];
        after[axis] = pads[i + axis_count];
    }
    for (uint32_t i = 0; i < t.rank; i++) {
        int64_t low = before[i] < 0 ? -before[i] : 0, high = after[i] < 0 ? -after[i] : 0;
        starts[i] = low;
        sizes[i] = t.dims[i] - low - high;
        if (sizes[i] <= 0) wa__nn_refuse(b, "WebNN has no empty tensors");
        if (low) before[i] = 0;
        if (high) after[i] = 0;
    }
    x = wa__nn_slice(b, x, starts, sizes, NULL);
    if (wrap) {
        for (uint32_t i = 0; i < t.rank && !wa__nn_off(b); i++) {
            wa_nn parts[3];
            uint32_t k = 0;
            int64_t dim = wa__nn_type(b, x).dims[i];
            if (before[i] > dim || after[i] > dim) wa__nn_refuse(b, "pads longer than the axis");
            if (before[i]) parts[k++] = wa__nn_part(b, x, i, dim - before[i], before[i]);
            parts[k++] = x;
            if (after[i]) parts[k++] = wa__nn_part(b, x, i, 0, after[i]);
            x = wa__nn_concat(b, parts, k, i);
        }
    } else {
        bool edge = mode && wa__str_is(mode->s, "edge"), reflect = mode && wa__str_is(mode->s, "reflect");
        bool constant = !edge && !reflect;
        if (constant && value != 0 && t.dtype != WA_F32 && (value != (double)(int64_t)value || value > 16777216 || value < -16777216))
            wa__nn_refuse(b, "a padding value of %g in integers", value);
        if (edge) { /* WebNN lost its edge mode: the first and last slices, again and again */
            for (uint32_t i = 0; i < t.rank && !wa__nn_off(b); i++) {
                wa_tensor_type now = wa__nn_type(b, x), side = now;
                wa_nn parts[3];
                uint32_t k = 0;
                if (before[i]) {
                    side.dims[i] = before[i];
                    parts[k++] = wa__nn_expand(b, wa__nn_part(b, x, i, 0, 1), side.rank, side.dims);
                }
                parts[k++] = x;
                if (after[i]) {
                    side.dims[i] = after[i];
                    parts[k++] = wa__nn_expand(b, wa__nn_part(b, x, i, now.dims[i] - 1, 1), side.rank, side.dims);
                }
                x = wa__nn_concat(b, parts, k, i);
            }
        } else {
            wa_tensor_type own = wa__nn_type(b, x);
            x = wa__nn_pad(b, x, before, after, reflect ? "reflection" : "constant", constant && !given ? value : 0);
            if (constant && given) {
                wa_nn inside = wa__nn_pad(b, wa__nn_fill(b, WA_F32, own.rank, own.dims, 1), before, after, "constant", 0);
                x = wa__nn_where(b, wa__nn_bin(b, WA_NN_greater, inside, wa__nn_scalar(b, WA_F32, 0)), x, wa__nn_reshape(b, wa__nn_input(b, n, 2), 0, NULL));
            }
        }
    }
    wa__nn_output(b, n, 0, x);
}

static void trilu(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0);
    wa_tensor_type t = wa__nn_type(b, x);
    double k = 0;
    if (wa__nn_off(b) || (wa__nn_has(n, 1) && !wa__nn_number(b, n, 1, &k))) return;
    if (k > 1e6) k = 1e6;
    if (k < -1e6) k = -1e6;
    if (t.rank < 2) wa__nn_refuse(b, "a triangle of a vector");
    if (wa__nn_off(b)) return;
    x = wa__nn_reshape(b, x, 3, (int64_t[]){wa__count(&t) / (t.dims[t.rank - 1] * t.dims[t.rank - 2]), t.dims[t.rank - 2], t.dims[t.rank - 1]});
    wa__nn_set_int(b, "upper", wa__node_int(n, "upper", 1));
    wa__nn_set_int(b, "diagonal", (int64_t)k);
    wa__nn_output(b, n, 0, wa__nn_like(b, wa__nn_un(b, WA_NN_triangular, x), &t));
}

/* [b, c, h, w] in blocks, in either order. */
static void depth_to_space(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0);
    wa_tensor_type t = wa__nn_type(b, x);
    int64_t s = wa__node_int(n, "blocksize", 1);
    const wa_attr *mode = wa__attr_find(n->attrs, n->attr_count, "mode");
    bool crd = mode && wa__str_is(mode->s, "CRD"), to_depth = n->op == WA_OP_SpaceToDepth;
    if (wa__nn_off(b)) return;
    if (t.rank != 4 || s < 1 || s > 1024) {
        wa__nn_refuse(b, "an image that is not [batch, channels, height, width]");
        return;
    }
    static const int64_t dcr[6] = {0, 3, 4, 1, 5, 2}, crd_order[6] = {0, 1, 4, 2, 5, 3}, depth[6] = {0, 3, 5, 1, 2, 4};
    int64_t c = t.dims[1] / (s * s), a[6] = {t.dims[0], s, s, c, t.dims[2], t.dims[3]}, e[6] = {t.dims[0], c, s, s, t.dims[2], t.dims[3]};
    int64_t d[6] = {t.dims[0], t.dims[1], t.dims[2] / s, s, t.dims[3] / s, s};
    x = wa__nn_transpose(b, wa__nn_reshape(b, x, 6, to_depth ? d : crd ? e : a), to_depth ? depth : crd ? crd_order : dcr);
    wa__nn_output(b, n, 0, wa__nn_like(b, x, wa__nn_of(b, n->outputs[0])));
}

const wa_nn_row wa__nn_move_rows[] = {
    {WA_OP_Reshape, view}, {WA_OP_Flatten, view}, {WA_OP_Squeeze, view}, {WA_OP_Unsqueeze, view}, {WA_OP_Dropout, view}, {WA_OP_Identity, view},
    {WA_OP_Transpose, transpose}, {WA_OP_Concat, concat}, {WA_OP_Split, split}, {WA_OP_Slice, slice}, {WA_OP_Expand, expand}, {WA_OP_Tile, tile},
    {WA_OP_Pad, pad}, {WA_OP_Trilu, trilu}, {WA_OP_DepthToSpace, depth_to_space}, {WA_OP_SpaceToDepth, depth_to_space},
    {WA_OP_NONE, NULL},
};
