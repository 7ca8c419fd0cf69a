/* Shape rules of operators that scatter, order and select. See graph_shapes.h. What finds as many results
 * as its data has (NonZero, Compress, Unique, NonMaxSuppression) is WA_DYNAMIC unless constants decide;
 * the *Bounded forms have room for the most there can be, and a count. */
#include "graph/graph_shapes.h"

#define UNIQUE_CONST_MAX 4096 /* slices of a constant that are counted here, pair by pair */

static bool is_index(const wa_tensor_type *t) { return t->dtype == WA_I64 || t->dtype == WA_I32; }
static const wa_tensor_type one = {WA_I64, 1, {1}};
static wa_status found_at_run(wa_infer *f) { return wa__fail(f->err, WA_DYNAMIC, "%s: the size of its result depends on data", f->text); }
static const wa_value *value_of(const wa_infer *f, uint32_t i) { return &f->g->values[f->n->inputs[i]]; }
static bool is_const(const wa_infer *f, uint32_t i) { return value_of(f, i)->kind == WA_VALUE_CONST; }
static wa_view view_of(const wa_value *v)
{
    union { const uint8_t *in; void *data; } u = {.in = v->data};
    return (wa_view){v->type, u.data};
}
/* Axis from the attribute, when there is one. */
static wa_status optional_axis(wa_infer *f, uint32_t *axis, bool *given)
{
    *given = wa__attr_find(f->n->attrs, f->n->attr_count, "axis") != NULL;
    return *given ? wa__infer_axis(f, wa__node_int(f->n, "axis", 0), wa__infer_in(f, 0)->rank, axis) : WA_OK;
}

/* --- scatters, orders -------------------------------------------------------------------------------- */
static wa_status scatter_elements(wa_infer *f)
{
    const wa_tensor_type *in = wa__infer_in(f, 0), *index = wa__infer_in(f, 1), *update = wa__infer_in(f, 2);
    uint32_t axis;
    WA_TRY(wa__infer_axis(f, wa__node_int(f->n, "axis", 0), in->rank, &axis));
    if (!is_index(index) || index->rank != in->rank || update->rank != in->rank || update->dtype != in->dtype)
        return wa__infer_bad(f, "its indices and updates do not fit the data");
    for (uint32_t i = 0; i < in->rank; i++)
        if (update->dims[i] != index->dims[i] || (i != axis && index->dims[i] > in->dims[i])) return wa__infer_bad(f, "its indices and updates do not fit the data");
    f->out[0] = *in;
    return WA_OK;
}

static wa_status tensor_scatter(wa_infer *f)
{
    const wa_tensor_type *in = wa__infer_in(f, 0), *update = wa__infer_in(f, 1), *first = wa__infer_in(f, 2);
    uint32_t axis;
    WA_TRY(wa__infer_axis(f, wa__node_int(f->n, "axis", -2), in->rank, &axis));
    if (axis == 0 || update->rank != in->rank || update->dtype != in->dtype) return wa__infer_bad(f, "its update does not fit the cache");
    for (uint32_t i = 0; i < in->rank; i++)
        if (i == axis ? update->dims[i] > in->dims[i] : update->dims[i] != in->dims[i]) return wa__infer_bad(f, "its update does not fit the cache");
    if (first && (!is_index(first) || first->rank != 1 || first->dims[0] != in->dims[0])) return wa__infer_bad(f, "it has not one write index a batch");
    f->out[0] = *in;
    return WA_OK;
}

static wa_status reverse_sequence(wa_infer *f)
{
    const wa_tensor_type *in = wa__infer_in(f, 0), *length = wa__infer_in(f, 1);
    int64_t batch = wa__node_int(f->n, "batch_axis", 1), time = wa__node_int(f->n, "time_axis", 0);
    if (in->rank < 2 || batch < 0 || batch > 1 || time != 1 - batch) return wa__infer_bad(f, "its axes are not 0 and 1");
    if (!is_index(length) || length->rank != 1 || length->dims[0] != in->dims[batch]) return wa__infer_bad(f, "it has not one length a batch");
    f->out[0] = *in;
    return WA_OK;
}

static wa_status top_k(wa_infer *f)
{
    int64_t k;
    uint32_t count, axis;
    const wa_tensor_type *in = wa__infer_in(f, 0);
    WA_TRY(wa__infer_axis(f, wa__node_int(f->n, "axis", -1), in->rank, &axis));
    WA_TRY(wa__infer_ints(f, 1, &k, 1, &count));
    if (count != 1 || k < 0 || k > in->dims[axis]) return wa__infer_bad(f, "k is not a number of elements that the axis has");
    f->out[0] = f->out[1] = *in;
    f->out[0].dims[axis] = f->out[1].dims[axis] = k;
    f->out[1].dtype = WA_I64;
    return WA_OK;
}

static wa_status eye_like(wa_infer *f)
{
    f->out[0] = *wa__infer_in(f, 0);
    int64_t dtype = wa__node_int(f->n, "dtype", f->out[0].dtype);
    if (f->out[0].rank != 2 || wa__dtype_size((wa_dtype)dtype) == 0) return wa__infer_bad(f, "its input is no matrix, or its element type not supported");
    f->out[0].dtype = (wa_dtype)dtype;
    return WA_OK;
}

static wa_status square(wa_infer *f)
{
    const wa_tensor_type *in = wa__infer_in(f, 0);
    if (in->rank < 2 || in->dims[in->rank - 1] != in->dims[in->rank - 2] || !wa__dtype_is_float(in->dtype))
        return wa__infer_bad(f, "its input holds no square matrices of floats");
    f->out[0] = *in;
    if (f->n->op == WA_OP_Det) f->out[0].rank -= 2;
    return WA_OK;
}

/* --- data-dependent ---------------------------------------------------------------------------------- */
static int64_t count_true(const wa_value *v, int64_t limit)
{
    wa_view view = view_of(v);
    int64_t n = wa__count(&v->type), found = 0;
    for (int64_t i = 0; i < n && i < limit; i++) found += wa__get_f64(&view, i) != 0;
    return found;
}

static wa_status non_zero(wa_infer *f)
{
    const wa_tensor_type *in = wa__infer_in(f, 0);
    bool bounded = f->n->op == WA_OP_NonZeroBounded;
    if (!bounded && !is_const(f, 0)) return found_at_run(f);
    f->out[0] = (wa_tensor_type){WA_I64, 2, {in->rank ? in->rank : 1, bounded ? wa__count(in) : count_true(value_of(f, 0), wa__count(in))}};
    if (bounded) f->out[1] = one;
    return WA_OK;
}

static wa_status compress(wa_infer *f)
{
    const wa_tensor_type *in = wa__infer_in(f, 0), *when = wa__infer_in(f, 1);
    bool bounded = f->n->op == WA_OP_CompressBounded, given;
    uint32_t axis = 0;
    WA_TRY(optional_axis(f, &axis, &given));
    if (when->dtype != WA_BOOL || when->rank != 1) return wa__infer_bad(f, "its condition is no list of booleans");
    int64_t size = given ? in->dims[axis] : wa__count(in);
    if (!bounded && !is_const(f, 1)) return found_at_run(f);
    if (!bounded) size = count_true(value_of(f, 1), size);
    f->out[0] = given ? *in : (wa_tensor_type){in->dtype, 1, {0}};
    f->out[0].dims[given ? axis : 0] = size;
    if (bounded) f->out[1] = one;
    return WA_OK;
}

/* Bytes of slice `a` of the constant equal those of slice `b`; floats by value, so that -0 is 0. */
static bool slices_equal(const wa_view *x, int64_t outer, int64_t n, int64_t inner, int64_t a, int64_t b)
{
    bool real = wa__dtype_is_float(x->type.dtype);
    for (int64_t o = 0; o < outer; o++) {
        for (int64_t k = 0; k < inner; k++) {
            int64_t i = (o * n + a) * inner + k, j = (o * n + b) * inner + k;
            double u = real ? wa__get_f64(x, i) : 0, v = real ? wa__get_f64(x, j) : 0;
            if (real ? !(u == v || (u != u && v != v)) : wa__get_i64(x, i) != wa__get_i64(x, j)) return false;
        }
    }
    return true;
}

static wa_status unique(wa_infer *f)
{
    const wa_tensor_type *in = wa__infer_in(f, 0);
    bool bounded = f->n->op == WA_OP_UniqueBounded, given;
    uint32_t axis = 0;
    WA_TRY(optional_axis(f, &axis, &given));
    int64_t n = given ? in->dims[axis] : wa__count(in), outer = 1, inner = 1, found = n;
    for (uint32_t i = 0; given && i < in->rank; i++) *(i < axis ? &outer : &inner) *= i == axis ? 1 : in->dims[i];
    if (f->n->output_count > (bounded ? 5u : 4u)) return wa__infer_bad(f, "it has too many outputs");
    if (!bounded) {
        if (!is_const(f, 0) || n > UNIQUE_CONST_MAX || wa__dtype_size(in->dtype) == 0) return found_at_run(f);
        wa_view x = view_of(value_of(f, 0));
        found = 0;
        for (int64_t i = 0, j; i < n; i++) {
            for (j = 0; j < i && !slices_equal(&x, outer, n, inner, i, j); j++) {}
            found += j == i;
        }
    }
    f->out[0] = given ? *in : (wa_tensor_type){in->dtype, 1, {0}};
    f->out[0].dims[given ? axis : 0] = found;
    for (uint32_t i = 1; i < f->n->output_count; i++) f->out[i] = (wa_tensor_type){WA_I64, 1, {i == 2 ? n : i == 4 ? 1 : found}};
    return WA_OK;
}

static wa_status non_max_suppression(wa_infer *f)
{
    const wa_tensor_type *boxes = wa__infer_in(f, 0), *scores = wa__infer_in(f, 1);
    int64_t most = 0;
    uint32_t count = 1;
    bool bounded = f->n->op == WA_OP_NonMaxSuppressionBounded;
    if (boxes->rank != 3 || scores->rank != 3 || boxes->dims[2] != 4 || boxes->dims[0] != scores->dims[0] || boxes->dims[1] != scores->dims[2] ||
        boxes->dtype != WA_F32 || scores->dtype != WA_F32)
        return wa__infer_bad(f, "its boxes and scores do not fit together");
    for (uint32_t i = 3; i < 5; i++)
        if (wa__infer_has(f, i) && (wa__infer_in(f, i)->dtype != WA_F32 || wa__count(wa__infer_in(f, i)) != 1)) return wa__infer_bad(f, "a threshold is no number");
    if (wa__infer_has(f, 2)) WA_TRY(wa__infer_ints(f, 2, &most, 1, &count));
    if (count != 1) return wa__infer_bad(f, "it has not one number of boxes a class");
    if (most < 0) most = 0;
    if (most > boxes->dims[1]) most = boxes->dims[1];
    if (most && !bounded) return found_at_run(f);
    int64_t lists = scores->dims[0] * scores->dims[1];
    if (most && lists > WA_LIMIT_ELEMENTS / most) return wa__infer_bad(f, "too large");
    f->out[0] = (wa_tensor_type){WA_I64, 2, {lists * most, 3}};
    if (bounded) f->out[1] = one;
    return WA_OK;
}

const wa_shape_entry wa__shapes_select[] = {
    {WA_OP_Scatter, scatter_elements}, {WA_OP_ScatterElements, scatter_elements}, {WA_OP_TensorScatter, tensor_scatter},
    {WA_OP_ReverseSequence, reverse_sequence}, {WA_OP_TopK, top_k}, {WA_OP_EyeLike, eye_like}, {WA_OP_Det, square}, {WA_OP_Inverse, square},
    {WA_OP_NonZero, non_zero}, {WA_OP_NonZeroBounded, non_zero}, {WA_OP_Compress, compress}, {WA_OP_CompressBounded, compress},
    {WA_OP_Unique, unique}, {WA_OP_UniqueBounded, unique}, {WA_OP_NonMaxSuppression, non_max_suppression},
    {WA_OP_NonMaxSuppressionBounded, non_max_suppression}, {WA_OP_NONE, NULL},
};
