/* Shape rules of operators that view, join, split or repeat data. See graph_shapes.h. */
#include "graph/graph_shapes.h"
#include "base/checked.h"

static wa_status identity(wa_infer *f)
{
    f->out[0] = *wa__infer_in(f, 0);
    return WA_OK;
}

static wa_status dropout(wa_infer *f)
{
    for (uint32_t i = 0; i < f->n->output_count; i++) f->out[i] = *wa__infer_in(f, 0);
    if (f->n->output_count > 1) f->out[1].dtype = WA_BOOL;
    return WA_OK;
}

/* A slice bound of the Shape operator, brought into [0, rank]. */
static int64_t clamp_bound(int64_t v, int64_t rank)
{
    if (v < 0) v = v < -rank ? 0 : v + rank;
    return v > rank ? rank : v;
}

static wa_status shape(wa_infer *f)
{
    int64_t rank = wa__infer_in(f, 0)->rank;
    int64_t start = clamp_bound(wa__node_int(f->n, "start", 0), rank), end = clamp_bound(wa__node_int(f->n, "end", rank), rank);
    f->out[0] = (wa_tensor_type){WA_I64, 1, {end > start ? end - start : 0}};
    return WA_OK;
}

static wa_status size(wa_infer *f)
{
    f->out[0] = (wa_tensor_type){WA_I64, 0, {0}};
    return WA_OK;
}

static wa_status reshape(wa_infer *f)
{
    const wa_tensor_type *in = wa__infer_in(f, 0);
    int64_t dims[WA_RANK_MAX], known = 1, total = wa__count(in);
    uint32_t count, open = WA_NONE;
    bool given;
    WA_TRY(wa__infer_list(f, "shape", 1, dims, WA_RANK_MAX, &count, &given));
    if (!given) return wa__infer_bad(f, "it has no shape");
    for (uint32_t i = 0; i < count; i++) {
        if (dims[i] == 0 && wa__node_int(f->n, "allowzero", 0) == 0) {
            if (i >= in->rank) return wa__infer_bad(f, "a 0 copies a dimension that is not there");
            dims[i] = in->dims[i];
        }
        if (dims[i] == -1 && open == WA_NONE) open = i;
        else if (dims[i] < 0 || !wa__mul_i64(known, dims[i], &known)) return wa__infer_bad(f, "its shape is not legal");
    }
    if (open != WA_NONE) {
        if (known == 0 || total % known) return wa__infer_bad(f, "the elements do not fit its shape");
        dims[open] = total / known;
        known *= dims[open];
    }
    if (known != total) return wa__infer_bad(f, "the elements do not fit its shape");
    f->out[0].dtype = in->dtype;
    f->out[0].rank = count;
    memcpy(f->out[0].dims, dims, count * sizeof *dims);
    return WA_OK;
}

static wa_status flatten(wa_infer *f)
{
    const wa_tensor_type *in = wa__infer_in(f, 0);
    int64_t axis = wa__node_int(f->n, "axis", 1);
    if (axis < -(int64_t)in->rank || axis > (int64_t)in->rank) return wa__infer_bad(f, "an axis is out of range");
    if (axis < 0) axis += in->rank;
    f->out[0] = (wa_tensor_type){in->dtype, 2, {1, 1}};
    for (uint32_t i = 0; i < in->rank; i++)
        if (!wa__mul_i64(f->out[0].dims[i >= axis], in->dims[i], &f->out[0].dims[i >= axis])) return wa__infer_bad(f, "too large");
    return WA_OK;
}

static wa_status squeeze(wa_infer *f)
{
    const wa_tensor_type *in = wa__infer_in(f, 0);
    bool flags[WA_RANK_MAX], given;
    WA_TRY(wa__infer_axes(f, 1, in->rank, flags, &given));
    f->out[0].dtype = in->dtype;
    for (uint32_t i = 0; i < in->rank; i++) {
        if (given && flags[i] && in->dims[i] != 1) return wa__infer_bad(f, "it squeezes a dimension that is not 1");
        if (given ? !flags[i] : in->dims[i] != 1) f->out[0].dims[f->out[0].rank++] = in->dims[i];
    }
    return WA_OK;
}

static wa_status unsqueeze(wa_infer *f)
{
    const wa_tensor_type *in = wa__infer_in(f, 0);
    int64_t axes[WA_RANK_MAX];
    bool flags[WA_RANK_MAX], given;
    uint32_t count;
    WA_TRY(wa__infer_list(f, "axes", 1, axes, WA_RANK_MAX, &count, &given));
    if (!given) return wa__infer_bad(f, "it has no axes");
    if (in->rank + count > WA_RANK_MAX) return wa__fail(f->err, WA_UNSUPPORTED, "%s: its result has more than %d dimensions", f->text, WA_RANK_MAX);
    WA_TRY(wa__infer_axes(f, 1, in->rank + count, flags, &given));
    f->out[0].dtype = in->dtype;
    f->out[0].rank = in->rank + count;
    for (uint32_t i = 0, k = 0; i < f->out[0].rank; i++) f->out[0].dims[i] = flags[i] ? 1 : in->dims[k++];
    return WA_OK;
}

static wa_status concat(wa_infer *f)
{
    uint32_t axis;
    f->out[0] = *wa__infer_in(f, 0);
    WA_TRY(wa__infer_axis(f, wa__node_int(f->n, "axis", f->n->opset && f->n->opset < 4 ? 1 : 0), f->out[0].rank, &axis));
    for (uint32_t i = 1; i < f->n->input_count; i++) {
        const wa_tensor_type *t = wa__infer_in(f, i);
        if (!t || t->rank != f->out[0].rank || t->dtype != f->out[0].dtype) return wa__infer_bad(f, "the inputs' types differ");
        for (uint32_t d = 0; d < t->rank; d++)
            if (d != axis && t->dims[d] != f->out[0].dims[d]) return wa__infer_bad(f, "the shapes differ beside the axis");
        if (!wa__add_i64(f->out[0].dims[axis], t->dims[axis], &f->out[0].dims[axis])) return wa__infer_bad(f, "too large");
    }
    return WA_OK;
}

static wa_status split(wa_infer *f)
{
    const wa_tensor_type *in = wa__infer_in(f, 0);
    uint32_t axis, parts = f->n->output_count, count;
    int64_t sum = 0;
    bool given;
    WA_TRY(wa__infer_axis(f, wa__node_int(f->n, "axis", 0), in->rank, &axis));
    int64_t *sizes = wa__alloc(parts, sizeof *sizes);
    if (!sizes) return wa__no_memory(f->err, "shape inference");
    wa_status s = wa__infer_list(f, "split", 1, sizes, parts, &count, &given);
    int64_t chunk = (in->dims[axis] + parts - 1) / parts; /* equal parts, the last may be smaller */
    for (uint32_t i = 0; s == WA_OK && !given && i < parts; i++) {
        int64_t left = in->dims[axis] - sum;
        sizes[i] = left < chunk ? left : chunk;
        sum += sizes[i];
    }
    sum = 0;
    if (s == WA_OK && given && count != parts) s = wa__infer_bad(f, "it names another number of parts than it has outputs");
    for (uint32_t i = 0; s == WA_OK && i < parts; i++) {
        if (sizes[i] < 0 || !wa__add_i64(sum, sizes[i], &sum)) s = wa__infer_bad(f, "a part has a negative size");
        f->out[i] = *in;
        f->out[i].dims[axis] = sizes[i];
    }
    if (s == WA_OK && sum != in->dims[axis]) s = wa__infer_bad(f, "its parts do not add up to the axis");
    wa__free(sizes);
    return s;
}

static wa_status expand(wa_infer *f)
{
    const wa_tensor_type *in = wa__infer_in(f, 0);
    wa_tensor_type t = {in->dtype, 0, {0}};
    WA_TRY(wa__infer_ints(f, 1, t.dims, WA_RANK_MAX, &t.rank));
    for (uint32_t i = 0; i < t.rank; i++)
        if (t.dims[i] < 0) return wa__infer_bad(f, "its shape is negative");
    return wa__infer_broadcast(f, in, &t, &f->out[0]);
}

static wa_status tile(wa_infer *f)
{
    int64_t repeats[WA_RANK_MAX];
    uint32_t count;
    f->out[0] = *wa__infer_in(f, 0);
    WA_TRY(wa__infer_ints(f, 1, repeats, WA_RANK_MAX, &count));
    if (count != f->out[0].rank) return wa__infer_bad(f, "it has not one repeat for each axis");
    for (uint32_t i = 0; i < count; i++)
        if (repeats[i] < 0 || !wa__mul_i64(f->out[0].dims[i], repeats[i], &f->out[0].dims[i])) return wa__infer_bad(f, "a repeat is not legal");
    return WA_OK;
}

static wa_status transpose(wa_infer *f)
{
    const wa_tensor_type *in = wa__infer_in(f, 0);
    const wa_attr *perm = wa__attr_find(f->n->attrs, f->n->attr_count, "perm");
    bool seen[WA_RANK_MAX] = {0};
    f->out[0] = *in;
    if (perm && (perm->kind != WA_ATTR_KIND_INTS || perm->count != in->rank)) return wa__infer_bad(f, "its permutation has another rank");
    for (uint32_t i = 0; i < in->rank; i++) {
        int64_t from = perm ? perm->ints[i] : (int64_t)in->rank - 1 - i;
        if (from < 0 || from >= in->rank || seen[from]) return wa__infer_bad(f, "its permutation is not one");
        seen[from] = true;
        f->out[0].dims[i] = in->dims[from];
    }
    return WA_OK;
}

static wa_status constant_of_shape(wa_infer *f)
{
    int64_t dtype = wa__node_int(f->n, "dtype", WA_F32);
    if (dtype <= 0 || wa__dtype_info((uint32_t)dtype)->bits == 0) return wa__infer_bad(f, "its element type is not supported");
    f->out[0].dtype = (wa_dtype)dtype;
    return wa__infer_ints(f, 0, f->out[0].dims, WA_RANK_MAX, &f->out[0].rank);
}

static wa_status range(wa_infer *f)
{
    double v[3];
    wa_dtype dtype = wa__infer_in(f, 0)->dtype;
    for (uint32_t i = 0; i < 3; i++) {
        const wa_value *x = &f->g->values[f->n->inputs[i]];
        if (x->kind != WA_VALUE_CONST)
            return wa__fail(f->err, WA_DYNAMIC, "%s: its shape depends on data: input %u (%.*s) is known only at run time", f->text, i, WA_STR_ARG(x->name));
        if (x->type.dtype != dtype || !wa__graph_const_scalar(f->g, f->n->inputs[i], &v[i])) return wa__infer_bad(f, "its bounds are no scalars of one type");
    }
    double n = (v[1] - v[0]) / v[2];
    if (!(n <= (double)WA_LIMIT_ELEMENTS)) return wa__infer_bad(f, "its step is 0 or its result too large");
    int64_t count = n > 0 ? (int64_t)n : 0;
    f->out[0] = (wa_tensor_type){dtype, 1, {count + ((double)count < n ? 1 : 0)}};
    return WA_OK;
}

static wa_status pad(wa_infer *f)
{
    int64_t pads[2 * WA_RANK_MAX];
    uint32_t count, axis;
    int64_t axes[WA_RANK_MAX];
    bool given;
    f->out[0] = *wa__infer_in(f, 0);
    uint32_t axis_count = f->out[0].rank;
    for (uint32_t i = 0; i < axis_count; i++) axes[i] = i;
    WA_TRY(wa__infer_list(f, "pads", 1, pads, 2 * WA_RANK_MAX, &count, &given));
    if (wa__infer_has(f, 3)) WA_TRY(wa__infer_ints(f, 3, axes, WA_RANK_MAX, &axis_count));
    if (!given || count != 2 * axis_count) return wa__infer_bad(f, "it has not two pads for each axis");
    for (uint32_t i = 0; i < axis_count; i++) {
        WA_TRY(wa__infer_axis(f, axes[i], f->out[0].rank, &axis));
        int64_t *d = &f->out[0].dims[axis];
        if (!wa__add_i64(*d, pads[i], d) || !wa__add_i64(*d, pads[i + axis_count], d) || *d < 0) return wa__infer_bad(f, "a pad is not legal");
    }
    return WA_OK;
}

const wa_shape_entry wa__shapes_move[] = {
    {WA_OP_Identity, identity}, {WA_OP_Dropout, dropout}, {WA_OP_Shape, shape}, {WA_OP_Size, size}, {WA_OP_Reshape, reshape},
    {WA_OP_Flatten, flatten}, {WA_OP_Squeeze, squeeze}, {WA_OP_Unsqueeze, unsqueeze}, {WA_OP_Concat, concat}, {WA_OP_Split, split},
    {WA_OP_Expand, expand}, {WA_OP_Tile, tile}, {WA_OP_Transpose, transpose}, {WA_OP_ConstantOfShape, constant_of_shape},
    {WA_OP_Range, range}, {WA_OP_Pad, pad}, {WA_OP_Trilu, identity}, {WA_OP_CumSum, identity}, {WA_OP_CumProd, identity},
    {WA_OP_NONE, NULL},
};
