/* WebNN rows: operators that index: gather, scatter, one-hot, the first few of a row. */
#include "plan/plan_nn_int.h"

/* Indices in a type that the method takes, none negative: WebNN clamps where ONNX counts from the end. */
static wa_nn indices(wa_plan_builder *b, const wa_node *n, uint32_t i, wa_nn_op op, uint32_t slot, int64_t dim)
{
    wa_nn k = wa__nn_input(b, n, i);
    int64_t known[64];
    uint32_t count;
    if (wa__nn_off(b)) return WA_NONE;
    const wa_tensor_type *t = wa__nn_of(b, n->inputs[i]);
    wa_dtype d = wa__nn_type(b, k).dtype;
    if (!wa__nn_takes(b, op, slot, d)) d = wa__nn_takes(b, op, slot, WA_I32) ? WA_I32 : WA_I64;
    k = wa__nn_cast(b, k, d);
    bool negative = true;
    if (t->rank <= 1 && wa__graph_const_ints(b->g, n->inputs[i], known, 64, &count)) {
        negative = false;
        for (uint32_t q = 0; q < count; q++) negative |= known[q] < 0;
    }
    if (!negative || d == WA_U32 || wa__nn_off(b)) return k;
    wa_nn below = wa__nn_bin(b, WA_NN_lesser, k, wa__nn_scalar(b, d, 0));
    return wa__nn_where(b, below, wa__nn_plus(b, k, (double)dim), k);
}

static void gather(wa_plan_builder *b, const wa_node *n)
{
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

static void gather_elements(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0);
    wa_tensor_type t = wa__nn_type(b, x), o = *wa__nn_of(b, n->outputs[0]);
    uint32_t axis;
    if (wa__nn_off(b) || !wa__nn_axis(b, wa__node_int(n, "axis", 0), t.rank, &axis)) return;
    o.dtype = value_type(b, WA_NN_gatherElements, t.dtype);
    wa_nn in[2] = {wa__nn_cast(b, x, o.dtype), indices(b, n, 1, WA_NN_gatherElements, 1, t.dims[axis])};
    wa__nn_set_int(b, "axis", axis);
    wa__nn_output(b, n, 0, wa__nn_call(b, WA_NN_gatherElements, in, 2, &o));
}

/* The k-th index of a tuple counts from the end of axis k when negative. */
static wa_nn tuples(wa_plan_builder *b, const wa_node *n, uint32_t i, wa_nn_op op, const wa_tensor_type *t, uint32_t first)
{
    wa_nn k = wa__nn_input(b, n, i);
    if (wa__nn_off(b)) return WA_NONE;
    wa_tensor_type s = wa__nn_type(b, k);
    wa_dtype d = s.dtype;
    if (!wa__nn_takes(b, op, 1, d)) d = wa__nn_takes(b, op, 1, WA_I32) ? WA_I32 : WA_I64;
    k = wa__nn_cast(b, k, d);
    wa_tensor_type row = {d, 1, {s.dims[s.rank - 1]}};
    int64_t wide[WA_RANK_MAX];
    int32_t narrow[WA_RANK_MAX];
    for (int64_t q = 0; q < row.dims[0] && q < WA_RANK_MAX; q++) wide[q] = t->dims[first + q], narrow[q] = (int32_t)wide[q];
    wa_nn dims = wa__nn_data(b, &row, d == WA_I64 ? (const void *)wide : narrow);
    return wa__nn_where(b, wa__nn_bin(b, WA_NN_lesser, k, wa__nn_scalar(b, d, 0)), wa__nn_bin(b, WA_NN_add, k, dims), k);
}

static void gather_nd(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0);
    wa_tensor_type t = wa__nn_type(b, x), o = *wa__nn_of(b, n->outputs[0]);
    if (wa__nn_off(b)) return;
    if (wa__node_int(n, "batch_dims", 0) != 0) {
        wa__nn_refuse(b, "WebNN's gatherND has no batch axes");
        return;
    }
    o.dtype = value_type(b, WA_NN_gatherND, t.dtype);
    wa_nn in[2] = {wa__nn_cast(b, x, o.dtype), tuples(b, n, 1, WA_NN_gatherND, &t, 0)};
    wa__nn_output(b, n, 0, wa__nn_call(b, WA_NN_gatherND, in, 2, &o));
}

static bool plain_scatter(wa_plan_builder *b, const wa_node *n)
{
    const wa_attr *r = wa__attr_find(n->attrs, n->attr_count, "reduction");
    if (!r || wa__str_is(r->s, "none")) return true;
    wa__nn_refuse(b, "WebNN's scatter has no reduction");
    return false;
}

static void scatter_elements(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0);
    wa_tensor_type t = wa__nn_type(b, x), o = t;
    uint32_t axis;
    if (wa__nn_off(b) || !plain_scatter(b, n) || !wa__nn_axis(b, wa__node_int(n, "axis", 0), t.rank, &axis)) return;
    o.dtype = value_type(b, WA_NN_scatterElements, t.dtype);
    wa_nn in[3] = {wa__nn_cast(b, x, o.dtype), indices(b, n, 1, WA_NN_scatterElements, 1, t.dims[axis]), wa__nn_cast(b, wa__nn_input(b, n, 2), o.dtype)};
    wa__nn_set_int(b, "axis", axis);
    wa__nn_output(b, n, 0, wa__nn_call(b, WA_NN_scatterElements, in, 3, &o));
}

static void scatter_nd(wa_plan_builder *b, const wa_node *n)
{
    wa_nn x = wa__nn_input(b, n, 0);
    wa_tensor_type t = wa__nn_type(b, x), o = t;
    if (wa__nn_off(b) || !plain_scatter(b, n)) return;
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
    wa_tensor_type t = wa__nn_type(b, x), o;
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
    o = t;
    o.dtype = WA_I32;
    o.dims[axis] = 1;
    wa_nn taken = WA_NONE;
    for (int64_t i = 0; i < k; i++) {
        wa_nn rest = taken == WA_NONE ? x : wa__nn_where(b, taken, wa__nn_scalar(b, WA_F32, largest ? -3.4028234663852886e38 : 3.4028234663852886e38), x);
        wa__nn_set_int(b, "axis", axis);
        wa__nn_set_int(b, "keepDimensions", 1);
        wa__nn_set_str(b, "outputDataType", "int32");
        places[i] = wa__nn_call(b, largest ? WA_NN_argMax : WA_NN_argMin, &rest, 1, &o);
        values[i] = wa__nn_reduce(b, largest ? WA_NN_reduceMax : WA_NN_reduceMin, rest, 1u << axis, true);
        wa_nn here = wa__nn_bin(b, WA_NN_equal, line, places[i]);
        taken = taken == WA_NONE ? here : wa__nn_bin(b, WA_NN_logicalOr, taken, here);
    }
    if (wa__nn_wants(n, 0)) wa__nn_output(b, n, 0, wa__nn_concat(b, values, (uint32_t)k, axis));
    if (wa__nn_wants(n, 1)) wa__nn_output(b, n, 1, wa__nn_concat(b, places, (uint32_t)k, axis));
}

/* Each sequence of the batch turned in its first lens[b] steps: lengths known now. */
static void reverse_sequence(wa_plan_builder *b, const wa_node *n)
{
    enum { BATCH_MAX = 16 };
    wa_nn x = wa__nn_input(b, n, 0), rows[BATCH_MAX];
    wa_tensor_type t = wa__nn_type(b, x);
    uint32_t time = (uint32_t)wa__node_int(n, "time_axis", 0), batch = (uint32_t)wa__node_int(n, "batch_axis", 1), count;
    int64_t lens[WA_RANK_MAX * 2];
    if (wa__nn_off(b)) return;
    if (time >= t.rank || batch >= t.rank || t.dims[batch] > BATCH_MAX) {
        wa__nn_refuse(b, "a batch of sequences this large is not turned in WebNN");
        return;
    }
    if (!wa__nn_ints(b, n, 1, lens, &count)) return;
    for (int64_t i = 0; i < t.dims[batch] && i < (int64_t)count; i++) {
        wa_nn row = wa__nn_part(b, x, batch, i, 1), parts[2];
        if (lens[i] > 1) {
            parts[0] = wa__nn_reverse(b, wa__nn_part(b, row, time, 0, lens[i]), 1u << time);
            parts[1] = lens[i] < t.dims[time] ? wa__nn_part(b, row, time, lens[i], t.dims[time] - lens[i]) : WA_NONE;
            row = wa__nn_concat(b, parts, lens[i] < t.dims[time] ? 2 : 1, time);
        }
        rows[i] = row;
    }
    wa__nn_output(b, n, 0, wa__nn_concat(b, rows, (uint32_t)t.dims[batch], batch));
}

const wa_nn_row wa__nn_index_rows[] = {
    {WA_OP_Gather, gather}, {WA_OP_GatherElements, gather_elements}, {WA_OP_GatherND, gather_nd}, {WA_OP_Scatter, scatter_elements},
    {WA_OP_ScatterElements, scatter_elements}, {WA_OP_ScatterND, scatter_nd}, {WA_OP_OneHot, one_hot}, {WA_OP_TopK, top_k},
    {WA_OP_ReverseSequence, reverse_sequence},
    {WA_OP_NONE, NULL},
};
