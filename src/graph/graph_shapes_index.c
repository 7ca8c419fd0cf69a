/* Shape rules of operators that pick or place elements by index. See graph_shapes.h. */
#include "graph/graph_shapes.h"

static bool is_index(const wa_tensor_type *t) { return t->dtype == WA_I64 || t->dtype == WA_I32; }

/* One axis of Slice: how many elements start, start + step, ... before end gives. */
static wa_status slice_count(wa_infer *f, int64_t dim, int64_t start, int64_t end, int64_t step, int64_t *out)
{
    if (step == 0 || step == INT64_MIN) return wa__infer_bad(f, "a step is 0 or out of range");
    if (start < 0) start = start < -dim ? (step > 0 ? 0 : -1) : start + dim;
    if (end < 0) end = end < -dim ? (step > 0 ? 0 : -1) : end + dim;
    if (step > 0) {
        if (start > dim) start = dim;
        if (end > dim) end = dim;
        *out = end > start ? (end - start - 1) / step + 1 : 0;
    } else {
        if (start > dim - 1) start = dim - 1;
        if (end > dim - 1) end = dim - 1;
        *out = start > end ? (start - end - 1) / -step + 1 : 0;
    }
    return WA_OK;
}

static wa_status slice(wa_infer *f)
{
    int64_t starts[WA_RANK_MAX], ends[WA_RANK_MAX], axes[WA_RANK_MAX], steps[WA_RANK_MAX];
    uint32_t count, n, axis;
    bool given, seen[WA_RANK_MAX] = {0};
    f->out[0] = *wa__infer_in(f, 0);
    WA_TRY(wa__infer_list(f, "starts", 1, starts, WA_RANK_MAX, &count, &given));
    if (!given) return wa__infer_bad(f, "it has no starts");
    WA_TRY(wa__infer_list(f, "ends", 2, ends, WA_RANK_MAX, &n, &given));
    if (!given || n != count) return wa__infer_bad(f, "it has not as many ends as starts");
    WA_TRY(wa__infer_list(f, "axes", 3, axes, WA_RANK_MAX, &n, &given));
    if (given && n != count) return wa__infer_bad(f, "it has not as many axes as starts");
    for (uint32_t i = 0; !given && i < count; i++) axes[i] = i;
    WA_TRY(wa__infer_list(f, "steps", 4, steps, WA_RANK_MAX, &n, &given));
    if (given && n != count) return wa__infer_bad(f, "it has not as many steps as starts");
    for (uint32_t i = 0; i < count; i++) {
        WA_TRY(wa__infer_axis(f, axes[i], f->out[0].rank, &axis));
        if (seen[axis]) return wa__infer_bad(f, "an axis is named twice");
        seen[axis] = true;
        int64_t *d = &f->out[0].dims[axis];
        WA_TRY(slice_count(f, *d, starts[i], ends[i], given ? steps[i] : 1, d));
    }
    return WA_OK;
}

static wa_status gather(wa_infer *f)
{
    const wa_tensor_type *in = wa__infer_in(f, 0), *index = wa__infer_in(f, 1);
    uint32_t axis;
    WA_TRY(wa__infer_axis(f, wa__node_int(f->n, "axis", 0), in->rank, &axis));
    if (!is_index(index)) return wa__infer_bad(f, "its indices are no integers");
    if (in->rank - 1 + index->rank > WA_RANK_MAX) return wa__fail(f->err, WA_UNSUPPORTED, "%s: its result has more than %d dimensions", f->text, WA_RANK_MAX);
    wa_tensor_type *o = &f->out[0];
    o->dtype = in->dtype;
    for (uint32_t i = 0; i < axis; i++) o->dims[o->rank++] = in->dims[i];
    for (uint32_t i = 0; i < index->rank; i++) o->dims[o->rank++] = index->dims[i];
    for (uint32_t i = axis + 1; i < in->rank; i++) o->dims[o->rank++] = in->dims[i];
    return WA_OK;
}

static wa_status gather_elements(wa_infer *f)
{
    const wa_tensor_type *in = wa__infer_in(f, 0), *index = wa__infer_in(f, 1);
    uint32_t axis;
    WA_TRY(wa__infer_axis(f, wa__node_int(f->n, "axis", 0), in->rank, &axis));
    if (!is_index(index) || index->rank != in->rank) return wa__infer_bad(f, "its indices are no integers of the data's rank");
    for (uint32_t i = 0; i < in->rank; i++)
        if (i != axis && index->dims[i] > in->dims[i]) return wa__infer_bad(f, "its indices reach past the data");
    f->out[0] = *index;
    f->out[0].dtype = in->dtype;
    return WA_OK;
}

static wa_status gather_nd(wa_infer *f)
{
    const wa_tensor_type *in = wa__infer_in(f, 0), *index = wa__infer_in(f, 1);
    int64_t batch = wa__node_int(f->n, "batch_dims", 0);
    if (!is_index(index) || index->rank == 0 || batch < 0 || batch >= index->rank || batch >= in->rank)
        return wa__infer_bad(f, "its indices or batch dimensions are not legal");
    int64_t depth = index->dims[index->rank - 1], rank = (int64_t)index->rank - 1 + (int64_t)in->rank - batch - depth;
    if (depth < 1 || batch + depth > in->rank) return wa__infer_bad(f, "its indices are longer than the data's rank");
    if (rank > WA_RANK_MAX) return wa__fail(f->err, WA_UNSUPPORTED, "%s: its result has more than %d dimensions", f->text, WA_RANK_MAX);
    for (int64_t i = 0; i < batch; i++)
        if (index->dims[i] != in->dims[i]) return wa__infer_bad(f, "the batch dimensions differ");
    wa_tensor_type *o = &f->out[0];
    o->dtype = in->dtype;
    for (uint32_t i = 0; i + 1 < index->rank; i++) o->dims[o->rank++] = index->dims[i];
    for (int64_t i = batch + depth; i < in->rank; i++) o->dims[o->rank++] = in->dims[i];
    return WA_OK;
}

static wa_status scatter_nd(wa_infer *f)
{
    const wa_tensor_type *in = wa__infer_in(f, 0), *index = wa__infer_in(f, 1), *update = wa__infer_in(f, 2);
    if (!is_index(index) || index->rank == 0) return wa__infer_bad(f, "its indices are no integers");
    int64_t depth = index->dims[index->rank - 1];
    if (depth < 1 || depth > in->rank || update->dtype != in->dtype || (int64_t)update->rank != (int64_t)index->rank - 1 + (int64_t)in->rank - depth)
        return wa__infer_bad(f, "its indices and updates do not fit the data");
    for (uint32_t i = 0; i < update->rank; i++) {
        int64_t want = i + 1 < index->rank ? index->dims[i] : in->dims[depth + (int64_t)i - ((int64_t)index->rank - 1)];
        if (update->dims[i] != want) return wa__infer_bad(f, "its indices and updates do not fit the data");
    }
    f->out[0] = *in;
    return WA_OK;
}

static wa_status one_hot(wa_infer *f)
{
    const wa_tensor_type *index = wa__infer_in(f, 0);
    double number;
    uint32_t axis;
    if (f->g->values[f->n->inputs[1]].kind != WA_VALUE_CONST) return wa__fail(f->err, WA_DYNAMIC, "%s: its depth is known only at run time", f->text);
    if (!wa__graph_const_scalar(f->g, f->n->inputs[1], &number) || !(number >= 0 && number <= (double)WA_LIMIT_ELEMENTS)) return wa__infer_bad(f, "its depth is not legal");
    if (wa__count(wa__infer_in(f, 2)) != 2) return wa__infer_bad(f, "it has not two values");
    int64_t depth = (int64_t)number;
    if (index->rank + 1 > WA_RANK_MAX) return wa__fail(f->err, WA_UNSUPPORTED, "%s: its result has more than %d dimensions", f->text, WA_RANK_MAX);
    WA_TRY(wa__infer_axis(f, wa__node_int(f->n, "axis", -1), index->rank + 1, &axis));
    wa_tensor_type *o = &f->out[0];
    o->dtype = wa__infer_in(f, 2)->dtype;
    o->rank = index->rank + 1;
    for (uint32_t i = 0, k = 0; i < o->rank; i++) o->dims[i] = i == axis ? depth : index->dims[k++];
    return WA_OK;
}

const wa_shape_entry wa__shapes_index[] = {
    {WA_OP_Slice, slice}, {WA_OP_Gather, gather}, {WA_OP_GatherElements, gather_elements}, {WA_OP_GatherND, gather_nd},
    {WA_OP_ScatterND, scatter_nd}, {WA_OP_OneHot, one_hot},
    {WA_OP_NONE, NULL},
};
