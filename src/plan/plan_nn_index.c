/* WebNN rows: operators that index: gather, scatter, one-hot, the first few of a row. */
#include "plan/plan_nn_int.h"

/* Indices of 32 bits where the method takes those (LiteRT compares 64-bit ones wrongly in some graphs), none
 * negative: WebNN clamps where ONNX counts from the end. */
static wa_nn indices(wa_plan_builder *b, const wa_node *n, uint32_t i, wa_nn_op op, uint32_t slot, int64_t dim)
{
    wa_nn k = wa__nn_input(b, n, i);
    if (wa__nn_off(b)) return WA_NONE;
    const wa_tensor_type *t = wa__nn_of(b, n->inputs[i]);
    wa_dtype d = wa__nn_type(b, k).dtype;
    if (!wa__nn_takes(b, op, slot, d) || wa__nn_takes(b, op, slot, WA_I32)) d = wa__nn_takes(b, op, slot, WA_I32) ? WA_I32 : WA_I64;
    k = wa__nn_cast(b, k, d);
    bool negative = true;
    const wa_value *v = &b->g->values[n->inputs[i]];
    if (v->kind == WA_VALUE_CONST) {
        wa_view view = {v->type, (void *)(uintptr_t)v->data};
        negative = false;
        for (int64_t q = 0; q < wa__count(t) && !negative; q++) negative = wa__get_i64(&view, q) < 0;
    }
    if (!negative || d == WA_U32 || wa__nn_off(b)) return k;
    wa_nn below = wa__nn_bin(b, WA_NN_lesser, k, wa__nn_scalar(b, d, 0));
    return wa__nn_where(b, below, wa__nn_plus(b, k, (double)dim), k);
}

static void gather(wa_plan_builder *b, const wa_node *n)
{
    if (wa__nn_resampled(b, n)) return;
    wa_nn x = wa__nn_input(b, n, 0);
    wa_tensor_type t = wa__nn_type(b, x);
    uint32_t axis;
    if (wa__nn_off(b) || !wa__nn_axis(b, wa__node_int(n, "axis", 0), t.rank, &axis)) return;
    wa__nn_output(b, n, 0, wa__nn_gather(b, x, indices(b, n, 1, WA_NN_gather, 1, t.dims[axis]), axis));
}

/* A value type that the method takes for x, NONE when there is none. */
static wa_dtype value_type(const wa_plan_builder *b, wa_nn_op op, wa_dtype d)
{
    if (wa__nn_takes(b, op, 0, d)) return d;
    if ((d == WA_U8 || d == WA_I8) && wa__nn_takes(b, op, 0, WA_I32)) return WA_I32;
    if (d == WA_U32 && wa__nn_takes(b, op, 0, WA_I64)) return WA_I64;
    return d;
}

/* Numbers 0, 1, ... times stride along one axis of a shape of this rank. */
static wa_nn steps(wa_plan_builder *b, uint32_t rank, uint32_t axis, int64_t n, int64_t stride)
{
    int64_t dims[WA_RANK_MAX];
    for (uint32_t i = 0; i < rank; i++) dims[i] = i == axis ? n : 1;
    return wa__nn_reshape(b, wa__nn_iota(b, WA_I32, n, 0, stride), rank, dims);
}

/* Indices along one axis (k of input 1) as places in the flat tensor, I32: LiteRT's own methods of elements
 * take constant indices only. */
static wa_nn flat_places(wa_plan_builder *b, const wa_node *n, const wa_tensor_type *t, uint32_t axis)
{
    wa_nn k = wa__nn_cast(b, indices(b, n, 1, WA_NN_gather, 1, t->dims[axis]), WA_I32);
    wa_tensor_type s = wa__nn_type(b, k);
    int64_t stride = 1;
    if (wa__nn_off(b)) return WA_NONE;
    if (wa__count(t) > INT32_MAX) wa__nn_refuse(b, "a tensor of more than 2^31 elements");
    for (uint32_t i = t->rank; i-- > 0;) {
        if (i == axis) k = wa__nn_scaled(b, k, (double)stride);
        stride *= t->dims[i];
    }
    for (uint32_t i = t->rank, unit = 1; i-- > 0;) {
        if (i != axis && s.dims[i] > 1) k = wa__nn_bin(b, WA_NN_add, k, steps(b, s.rank, i, s.dims[i], unit));
        unit *= (uint32_t)t->dims[i];
    }
    return k;
}

static void gather_elements(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0);
    wa_tensor_type t = wa__nn_type(b, x);
    uint32_t axis;
    if (wa__nn_off(b) || t.rank == 0 || !wa__nn_axis(b, wa__node_int(n, "axis", 0), t.rank, &axis)) return;
    wa__nn_output(b, n, 0, wa__nn_gather(b, wa__nn_reshape(b, x, 1, (int64_t[]){wa__count(&t)}), flat_places(b, n, &t, axis), 0));
}

/* The k-th index of a tuple counts from the end of axis k when negative. */
static wa_nn tuples(wa_plan_builder *b, const wa_node *n, uint32_t i, wa_nn_op op, const wa_tensor_type *t, uint32_t first)
{
    wa_nn k = wa__nn_input(b, n, i);
    if (wa__nn_off(b)) return WA_NONE;
    wa_tensor_type s = wa__nn_type(b, k);
    wa_dtype d = s.dtype;
    if (!wa__nn_takes(b, op, 1, d) || wa__nn_takes(b, op, 1, WA_I32)) d = wa__nn_takes(b, op, 1, WA_I32) ? WA_I32 : WA_I64;
    k = wa__nn_cast(b, k, d);
    wa_tensor_type row = {d, 1, {s.dims[s.rank - 1]}};
    int64_t wide[WA_RANK_MAX];
    int32_t narrow[WA_RANK_MAX];
    for (int64_t q = 0; q < row.dims[0] && q < WA_RANK_MAX; q++) wide[q] = t->dims[first + q], narrow[q] = (int32_t)wide[q];
    wa_nn dims = wa__nn_data(b, &row, d == WA_I64 ? (const void *)wide : narrow);
    return wa__nn_where(b, wa__nn_bin(b, WA_NN_lesser, k, wa__nn_scalar(b, d, 0)), wa__nn_bin(b, WA_NN_add, k, dims), k);
}

/* Tuples within each batch: places among all batches' slices. */
static void gather_batched(wa_plan_builder *b, const wa_node *n, wa_nn x)
{
    wa_tensor_type t = wa__nn_type(b, x), s = *wa__nn_of(b, n->inputs[1]);
    uint32_t batch = (uint32_t)wa__node_int(n, "batch_dims", 0), last = s.rank - 1;
    int64_t length = s.rank ? s.dims[last] : 0, slices = 1, dims[WA_RANK_MAX], unit = 1;
    if (batch >= s.rank || batch + length > t.rank) {
        wa__nn_refuse(b, "its tuples do not fit");
        return;
    }
    wa_nn k = wa__nn_cast(b, tuples(b, n, 1, WA_NN_gatherND, &t, batch), WA_I32), place = WA_NONE;
    for (int64_t q = length; q-- > 0;) {
        wa_nn one = wa__nn_scaled(b, wa__nn_part(b, k, last, q, 1), (double)unit);
        place = place == WA_NONE ? one : wa__nn_bin(b, WA_NN_add, place, one);
        unit *= t.dims[batch + q];
    }
    for (uint32_t i = batch; i-- > 0;) {
        place = wa__nn_bin(b, WA_NN_add, place, steps(b, s.rank, i, t.dims[i], unit));
        unit *= t.dims[i];
    }
    uint32_t rank = 1;
    for (uint32_t i = 0; i < t.rank; i++) {
        if (i < batch + length) slices *= t.dims[i];
        else dims[rank++] = t.dims[i];
    }
    dims[0] = slices;
    wa__nn_output(b, n, 0, wa__nn_gather(b, wa__nn_reshape(b, x, rank, dims), wa__nn_reshape(b, place, last, s.dims), 0));
}

static void gather_nd(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0);
    wa_tensor_type t = wa__nn_type(b, x), o = *wa__nn_of(b, n->outputs[0]);
    if (wa__nn_off(b)) return;
    if (wa__node_int(n, "batch_dims", 0) != 0) {
        gather_batched(b, n, x);
        return;
    }
    o.dtype = value_type(b, WA_NN_gatherND, t.dtype);
    wa_nn in[2] = {wa__nn_cast(b, x, o.dtype), tuples(b, n, 1, WA_NN_gatherND, &t, 0)};
    wa__nn_output(b, n, 0, wa__nn_call(b, WA_NN_gatherND, in, 2, &o));
}

enum { MEETINGS_MAX = 1 << 22 };
/* Updates [m, width] joined into x [rows, width] at rows k [m], several at one place too: WebNN's scatter
 * has no reduction, so every update meets every row. */
static wa_nn joined(wa_plan_builder *b, wa_str how, wa_nn x, wa_nn k, wa_nn updates)
{
    wa_tensor_type t = wa__nn_type(b, x), u = wa__nn_type(b, updates);
    if (wa__nn_off(b)) return WA_NONE;
    bool add = wa__str_is(how, "add"), mul = wa__str_is(how, "mul"), max = wa__str_is(how, "max");
    if (t.dims[0] * u.dims[0] * u.dims[1] > MEETINGS_MAX) wa__nn_refuse(b, "WebNN's scatter has no reduction, and this one is too large to compose");
    wa_dtype own = t.dtype, d = own == WA_F32 ? own : WA_I32;
    double whole = max ? (d == WA_F32 ? -3.4028234663852886e38 : -2147483648.0) : (d == WA_F32 ? 3.4028234663852886e38 : 2147483647.0);
    x = wa__nn_cast(b, x, d);
    wa_nn up = wa__nn_reshape(b, wa__nn_cast(b, updates, d), 3, (int64_t[]){1, u.dims[0], u.dims[1]});
    wa_nn rows = wa__nn_reshape(b, wa__nn_iota(b, WA_I32, t.dims[0], 0, 1), 3, (int64_t[]){t.dims[0], 1, 1});
    wa_nn here = wa__nn_bin(b, WA_NN_equal, rows, wa__nn_reshape(b, k, 3, (int64_t[]){1, u.dims[0], 1}));
    wa_nn met = wa__nn_where(b, here, up, wa__nn_scalar(b, d, add ? 0 : mul ? 1 : whole));
    met = wa__nn_reduce(b, add ? WA_NN_reduceSum : mul ? WA_NN_reduceProduct : max ? WA_NN_reduceMax : WA_NN_reduceMin, met, 1u << 1, false);
    return wa__nn_cast(b, wa__nn_bin(b, add ? WA_NN_add : mul ? WA_NN_mul : max ? WA_NN_max : WA_NN_min, x, met), own);
}

/* The reduction's name; length 0 for none. */
static wa_str reduction(const wa_node *n)
{
    const wa_attr *r = wa__attr_find(n->attrs, n->attr_count, "reduction");
    return !r || r->kind != WA_ATTR_KIND_STRING || wa__str_is(r->s, "none") ? WA_STR("") : r->s;
}

static void scatter_elements(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0);
    wa_tensor_type t = wa__nn_type(b, x), o = {WA_F32, 1, {0}};
    uint32_t axis;
    if (wa__nn_off(b) || t.rank == 0 || !wa__nn_axis(b, wa__node_int(n, "axis", 0), t.rank, &axis)) return;
    int64_t count = wa__count(wa__nn_of(b, n->inputs[1])), all = wa__count(&t);
    if (reduction(n).len) {
        wa_nn flat = wa__nn_reshape(b, x, 2, (int64_t[]){all, 1}), updates = wa__nn_reshape(b, wa__nn_input(b, n, 2), 2, (int64_t[]){count, 1});
        wa__nn_output(b, n, 0, wa__nn_like(b, joined(b, reduction(n), flat, flat_places(b, n, &t, axis), updates), &t));
        return;
    }
    o.dtype = value_type(b, WA_NN_scatterND, t.dtype);
    o.dims[0] = wa__count(&t);
    wa_nn in[3] = {wa__nn_reshape(b, wa__nn_cast(b, x, o.dtype), 1, o.dims), wa__nn_reshape(b, flat_places(b, n, &t, axis), 2, (int64_t[]){count, 1}),
                   wa__nn_reshape(b, wa__nn_cast(b, wa__nn_input(b, n, 2), o.dtype), 1, &count)};
    wa__nn_output(b, n, 0, wa__nn_like(b, wa__nn_call(b, WA_NN_scatterND, in, 3, &o), &t));
}

static void scatter_nd(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0);
    wa_tensor_type t = wa__nn_type(b, x), o = t;
    if (wa__nn_off(b)) return;
    const wa_tensor_type *s = wa__nn_of(b, n->inputs[1]);
    if (reduction(n).len && s->rank) {
        int64_t length = s->dims[s->rank - 1], m = wa__count(s) / length, unit = 1, rows = 1;
        wa_nn k = wa__nn_cast(b, tuples(b, n, 1, WA_NN_gatherND, &t, 0), WA_I32), place = WA_NONE;
        for (int64_t q = length; q-- > 0 && q < (int64_t)t.rank;) {
            wa_nn one = wa__nn_scaled(b, wa__nn_part(b, k, s->rank - 1, q, 1), (double)unit);
            place = place == WA_NONE ? one : wa__nn_bin(b, WA_NN_add, place, one);
            unit *= t.dims[q];
        }
        for (int64_t q = 0; q < length; q++) rows *= t.dims[q];
        wa_nn flat = wa__nn_reshape(b, x, 2, (int64_t[]){rows, wa__count(&t) / rows}), updates = wa__nn_reshape(b, wa__nn_input(b, n, 2), 2, (int64_t[]){m, wa__count(&t) / rows});
        wa__nn_output(b, n, 0, wa__nn_like(b, joined(b, reduction(n), flat, place, updates), &t));
        return;
    }
    o.dtype = value_type(b, WA_NN_scatterND, t.dtype);
    wa_nn in[3] = {wa__nn_cast(b, x, o.dtype), tuples(b, n, 1, WA_NN_scatterND, &t, 0), wa__nn_cast(b, wa__nn_input(b, n, 2), o.dtype)};
    wa__nn_output(b, n, 0, wa__nn_call(b, WA_NN_scatterND, in, 3, &o));
}

/* values [off, on]; depth is in the output's shape. */
static void one_hot(wa_plan_builder *b, const wa_node *n)
{
    const wa_tensor_type *o = wa__nn_of(b, n->outputs[0]), *s = wa__nn_of(b, n->inputs[0]);
    uint32_t axis;
    if (wa__nn_off(b) || !wa__nn_axis(b, wa__node_int(n, "axis", -1), o->rank, &axis)) return;
    int64_t depth = o->dims[axis], dims[WA_RANK_MAX], places[WA_RANK_MAX];
    wa_nn k = wa__nn_cast(b, wa__nn_input(b, n, 0), WA_I32);
    for (uint32_t i = 0, q = 0; i < o->rank; i++) {
        dims[i] = i == axis ? 1 : s->dims[q++];
        places[i] = i == axis ? depth : 1;
    }
    k = wa__nn_where(b, wa__nn_bin(b, WA_NN_lesser, k, wa__nn_scalar(b, WA_I32, 0)), wa__nn_plus(b, k, (double)depth), k);
    wa_nn hit = wa__nn_bin(b, WA_NN_equal, wa__nn_reshape(b, k, o->rank, dims), wa__nn_reshape(b, wa__nn_iota(b, WA_I32, depth, 0, 1), o->rank, places));
    wa_nn values = wa__nn_input(b, n, 2);
    wa_nn off = wa__nn_reshape(b, wa__nn_part(b, values, 0, 0, 1), 0, NULL), on = wa__nn_reshape(b, wa__nn_part(b, values, 0, 1, 1), 0, NULL);
    wa__nn_output(b, n, 0, wa__nn_where(b, hit, on, off));
}

/* The first k of the axis, largest or smallest, one after the other: for small k. Ties: the first place. */
static void top_k(wa_plan_builder *b, const wa_node *n)
{
    enum { K_MAX = 32 };
    wa_nn x = wa__nn_input(b, n, 0), values[K_MAX], places[K_MAX];
    wa_tensor_type t = wa__nn_type(b, x);
    const wa_tensor_type *want = wa__nn_of(b, n->outputs[wa__nn_wants(n, 0) ? 0 : 1]);
    uint32_t axis;
    if (wa__nn_off(b) || !wa__nn_axis(b, wa__node_int(n, "axis", -1), t.rank, &axis)) return;
    int64_t k = want->dims[axis], shape[WA_RANK_MAX];
    bool largest = wa__node_int(n, "largest", 1) != 0;
    if (k > K_MAX || t.dtype != WA_F32) {
        wa__nn_refuse(b, k > K_MAX ? "WebNN has no top-k, and %lld is too many to take one by one" : "WebNN has no top-k of integers", (long long)k);
        return;
    }
    for (uint32_t i = 0; i < t.rank; i++) shape[i] = i == axis ? t.dims[axis] : 1;
    wa_nn line = wa__nn_reshape(b, wa__nn_iota(b, WA_I32, t.dims[axis], 0, 1), t.rank, shape);
    wa_nn taken = WA_NONE;
    for (int64_t i = 0; i < k; i++) {
        wa_nn rest = taken == WA_NONE ? x : wa__nn_where(b, taken, wa__nn_scalar(b, WA_F32, largest ? -3.4028234663852886e38 : 3.4028234663852886e38), x);
        places[i] = wa__nn_arg(b, largest ? WA_NN_argMax : WA_NN_argMin, rest, axis);
        values[i] = wa__nn_reduce(b, largest ? WA_NN_reduceMax : WA_NN_reduceMin, rest, 1u << axis, true);
        wa_nn here = wa__nn_bin(b, WA_NN_equal, line, places[i]);
        taken = taken == WA_NONE ? here : wa__nn_bin(b, WA_NN_logicalOr, taken, here);
    }
    if (wa__nn_wants(n, 0)) wa__nn_output(b, n, 0, wa__nn_concat(b, values, (uint32_t)k, axis));
    if (wa__nn_wants(n, 1)) wa__nn_output(b, n, 1, wa__nn_concat(b, places, (uint32_t)k, axis));
}

/* Each sequence of the batch turned in its first lens[b] steps: step t reads lens - 1 - t there. */
static void reverse_sequence(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0), lens = wa__nn_cast(b, wa__nn_input(b, n, 1), WA_I32);
    wa_tensor_type t = wa__nn_type(b, x);
    uint32_t time = (uint32_t)wa__node_int(n, "time_axis", 0), batch = (uint32_t)wa__node_int(n, "batch_axis", 1);
    if (wa__nn_off(b)) return;
    if (t.rank < 2 || time + batch != 1) {
        wa__nn_refuse(b, "sequences along other axes than the first two");
        return;
    }
    int64_t steps_count = t.dims[time], rows = t.dims[batch], rest = wa__count(&t) / (steps_count * rows);
    x = wa__nn_reshape(b, x, 3, (int64_t[]){t.dims[0], t.dims[1], rest});
    if (time == 0) x = wa__nn_swap(b, x, 0, 1);
    wa_nn at = wa__nn_reshape(b, wa__nn_iota(b, WA_I32, steps_count, 0, 1), 2, (int64_t[]){1, steps_count});
    lens = wa__nn_reshape(b, lens, 2, (int64_t[]){rows, 1});
    wa_nn turned = wa__nn_bin(b, WA_NN_sub, wa__nn_plus(b, lens, -1), at);
    at = wa__nn_bin(b, WA_NN_add, wa__nn_where(b, wa__nn_bin(b, WA_NN_lesser, at, lens), turned, at), steps(b, 2, 0, rows, steps_count));
    wa_nn y = wa__nn_gather(b, wa__nn_reshape(b, x, 2, (int64_t[]){rows * steps_count, rest}), wa__nn_reshape(b, at, 1, (int64_t[]){rows * steps_count}), 0);
    y = wa__nn_reshape(b, y, 3, (int64_t[]){rows, steps_count, rest});
    if (time == 0) y = wa__nn_swap(b, y, 0, 1);
    wa__nn_output(b, n, 0, wa__nn_like(b, y, &t));
}

const wa_nn_row wa__nn_index_rows[] = {
    {WA_OP_Gather, gather}, {WA_OP_GatherElements, gather_elements}, {WA_OP_GatherND, gather_nd}, {WA_OP_Scatter, scatter_elements},
    {WA_OP_ScatterElements, scatter_elements}, {WA_OP_ScatterND, scatter_nd}, {WA_OP_OneHot, one_hot}, {WA_OP_TopK, top_k},
    {WA_OP_ReverseSequence, reverse_sequence},
    {WA_OP_NONE, NULL},
};
