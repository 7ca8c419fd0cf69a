/* Rows of the WebGPU table that pick or place elements by index, pad and generate; and what operators
 * make of inputs without elements. The kernels are kernels/wgsl_index.c's. */
#include "plan/plan_int.h"

#define EIGHT WA_RANK_MAX

static void strides_of(const wa_tensor_type *t, int64_t out[EIGHT])
{
    int64_t s = 1;
    for (uint32_t i = t->rank; i-- > 0;) {
        out[i] = s;
        s *= t->dims[i];
    }
}
/* Eight words from `at`: values right-aligned, `none` before them. */
static void right(wa_gpu_dispatch *d, uint32_t at, const int64_t *v, uint32_t rank, uint32_t none)
{
    for (uint32_t k = 0; k < EIGHT; k++) d->params[at + k] = k + rank >= EIGHT ? (uint32_t)v[k + rank - EIGHT] : none;
}
static void left(wa_gpu_dispatch *d, uint32_t at, const int64_t *v, uint32_t count, uint32_t none)
{
    for (uint32_t k = 0; k < EIGHT; k++) d->params[at + k] = k < count ? (uint32_t)v[k] : none;
}
static int64_t product(const wa_tensor_type *t, uint32_t from, uint32_t to)
{
    int64_t n = 1;
    for (uint32_t i = from; i < to; i++) n *= t->dims[i];
    return n;
}
static bool axis_of(const wa_node *n, int64_t fallback, uint32_t rank, uint32_t *out)
{
    int64_t a = wa__node_int(n, "axis", fallback);
    if (a < 0) a += rank;
    if (a < 0 || a >= (int64_t)rank) return false;
    *out = (uint32_t)a;
    return true;
}
static wa_status bad(wa_plan_builder *b) { return wa__fail(b->err, WA_INVALID_ARGUMENT, "an axis or index shape is not legal"); }
static uint64_t output_count(const wa_plan_builder *b, const wa_node *n) { return (uint64_t)wa__count(wa__gpu_type(b, n->outputs[0])); }
static bool signed_index(const wa_plan_builder *b, uint32_t value) { return wa__plan_device_dtype(wa__gpu_type(b, value)->dtype) == WA_I32; }

/* --- inputs without elements ------------------------------------------------------------------------ */
bool wa__gpu_takes_empty(wa_op op)
{
    switch (op) {
    case WA_OP_Concat: case WA_OP_Pad: case WA_OP_ScatterND: case WA_OP_Scatter: case WA_OP_ScatterElements: case WA_OP_TensorScatter:
    case WA_OP_ConstantOfShape: case WA_OP_NonZeroBounded: case WA_OP_CompressBounded: case WA_OP_UniqueBounded:
    case WA_OP_NonMaxSuppressionBounded: case WA_OP_Expand: return true;
    default: return false;
    }
}

static bool least(wa_dtype d, uint32_t *bits)
{
    switch (d) {
    case WA_F32: case WA_F16: case WA_BF16: *bits = 0xff800000u; return true;
    case WA_I8: *bits = (uint32_t)INT8_MIN; return true;
    case WA_I16: *bits = (uint32_t)INT16_MIN; return true;
    case WA_I32: *bits = (uint32_t)INT32_MIN; return true;
    case WA_U8: case WA_U16: case WA_U32: case WA_U64: case WA_BOOL: *bits = 0; return true;
    default: return false;
    }
}
static bool greatest(wa_dtype d, uint32_t *bits)
{
    switch (d) {
    case WA_F32: case WA_F16: case WA_BF16: *bits = 0x7f800000u; return true;
    case WA_I8: *bits = INT8_MAX; return true;
    case WA_I16: *bits = INT16_MAX; return true;
    case WA_I32: *bits = INT32_MAX; return true;
    case WA_U8: *bits = UINT8_MAX; return true;
    case WA_U16: *bits = UINT16_MAX; return true;
    case WA_U32: *bits = UINT32_MAX; return true;
    case WA_BOOL: *bits = 1; return true;
    default: return false;
    }
}

/* What reductions and products give over nothing. */
bool wa__gpu_empty_value(const wa_plan_builder *b, const wa_node *n, uint32_t *bits)
{
    wa_dtype d = wa__gpu_type(b, n->outputs[0])->dtype;
    bool real = wa__dtype_is_float(d);
    if (n->output_count != 1) return false;
    switch (n->op) {
    case WA_OP_ReduceSum: case WA_OP_ReduceSumSquare: case WA_OP_ReduceL1: case WA_OP_ReduceL2: case WA_OP_MatMul: *bits = 0; return true;
    case WA_OP_ReduceProd: *bits = real ? wa__gpu_bits(1) : 1; return true;
    case WA_OP_ReduceMean: *bits = 0x7fc00000u; return real;
    case WA_OP_ReduceLogSum: case WA_OP_ReduceLogSumExp: *bits = 0xff800000u; return real;
    case WA_OP_ReduceMax: return least(d, bits);
    case WA_OP_ReduceMin: return greatest(d, bits);
    default: return false;
    }
}

static wa_status generate(wa_plan_builder *b, uint32_t node, uint32_t value, uint32_t form, uint32_t x, uint32_t y, uint32_t z)
{
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_GENERATE);
    WA_TRY(wa__gpu_write(b, &d, value));
    uint64_t n = (uint64_t)wa__count(wa__gpu_type(b, value));
    d.spec.spec[0] = form;
    memcpy(d.params, (uint32_t[]){(uint32_t)n, x, y, z}, 16);
    d.params_count = 4;
    wa__gpu_cover(&d, n, 64);
    return wa__gpu_end(b, &d, node, NULL);
}

wa_status wa__gpu_fill(wa_plan_builder *b, uint32_t node, uint32_t value, uint32_t bits) { return generate(b, node, value, 0, bits, 0, 0); }

/* --- gathers ---------------------------------------------------------------------------------------- */
static const char *index_refuses(wa_plan_builder *b, const wa_node *n) { return signed_index(b, n->inputs[1]) ? NULL : "indices that are not signed integers"; }

static wa_status pick_begin(wa_plan_builder *b, const wa_node *n, wa_gpu_dispatch *d)
{
    *d = wa__gpu_begin(b, WA_WGSL_PICK);
    WA_TRY(wa__gpu_read(b, d, n->inputs[0]));
    WA_TRY(wa__gpu_read(b, d, n->inputs[1]));
    WA_TRY(wa__gpu_write(b, d, n->outputs[0]));
    wa__gpu_looked_up(b, d, n);
    d->params[0] = (uint32_t)output_count(b, n);
    wa__gpu_cover(d, d->params[0], 64);
    return WA_OK;
}

static wa_status gather_elements_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]), *ids = wa__gpu_type(b, n->inputs[1]);
    int64_t strides[EIGHT];
    uint32_t axis;
    wa_gpu_dispatch d;
    if (!axis_of(n, 0, x->rank, &axis)) return bad(b);
    WA_TRY(pick_begin(b, n, &d));
    strides_of(x, strides);
    d.params[1] = (uint32_t)x->dims[axis];
    d.params[2] = (uint32_t)strides[axis];
    strides[axis] = 0;
    right(&d, 4, ids->dims, ids->rank, 1);
    right(&d, 12, strides, x->rank, 0);
    d.params_count = 20;
    return wa__gpu_end(b, &d, node, NULL);
}

static wa_status gather_nd_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]), *ids = wa__gpu_type(b, n->inputs[1]);
    int64_t strides[EIGHT], batch = wa__node_int(n, "batch_dims", 0), depth = ids->rank ? ids->dims[ids->rank - 1] : 0;
    wa_gpu_dispatch d;
    if (batch < 0 || depth < 1 || batch >= ids->rank || batch + depth > x->rank) return bad(b);
    WA_TRY(pick_begin(b, n, &d));
    strides_of(x, strides);
    d.spec.spec[0] = 1;
    d.params[1] = (uint32_t)product(x, (uint32_t)(batch + depth), x->rank);
    d.params[2] = (uint32_t)depth;
    d.params[3] = (uint32_t)product(ids, (uint32_t)batch, ids->rank - 1);
    d.params[4] = (uint32_t)product(x, (uint32_t)batch, x->rank);
    left(&d, 8, x->dims + batch, (uint32_t)depth, 1);
    left(&d, 16, strides + batch, (uint32_t)depth, 0);
    d.params_count = 24;
    return wa__gpu_end(b, &d, node, NULL);
}

/* --- scatters --------------------------------------------------------------------------------------- */
static bool reduction_of(const wa_node *n, uint32_t *out)
{
    static const char *const names[] = {"none", "add", "mul", "max", "min"};
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, "reduction");
    for (*out = 0; a && *out < 5; ++*out)
        if (wa__str_is(a->s, names[*out])) return true;
    return !a;
}

static const char *scatter_refuses(wa_plan_builder *b, const wa_node *n)
{
    uint32_t how;
    if (!reduction_of(n, &how)) return "an unknown reduction";
    return index_refuses(b, n);
}

/* Data to the output, then the updates' dispatch; *done when there are no updates. */
static wa_status scatter_begin(wa_plan_builder *b, uint32_t node, wa_gpu_dispatch *d, bool *done)
{
    const wa_node *n = &b->g->nodes[node];
    *done = wa__plan_empty(b, n->inputs[1]) || wa__plan_empty(b, n->inputs[2]);
    WA_TRY(wa__gpu_copy_all(b, node, n->inputs[0], n->outputs[0]));
    if (*done) return WA_OK;
    *d = wa__gpu_begin(b, WA_WGSL_SCATTER);
    WA_TRY(wa__gpu_read(b, d, n->inputs[1]));
    WA_TRY(wa__gpu_read(b, d, n->inputs[2]));
    WA_TRY(wa__gpu_write(b, d, n->outputs[0]));
    d->spec.spec[1] = wa__plan_device_dtype(wa__gpu_type(b, n->inputs[0])->dtype);
    return reduction_of(n, &d->spec.spec[2]) ? WA_OK : bad(b);
}

static wa_status scatter_elements_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]), *ids = wa__gpu_type(b, n->inputs[1]);
    int64_t xs[EIGHT], is[EIGHT], dims[EIGHT];
    uint32_t axis;
    bool done;
    wa_gpu_dispatch d;
    if (ids->rank != x->rank || !axis_of(n, 0, x->rank, &axis)) return bad(b);
    WA_TRY(scatter_begin(b, node, &d, &done));
    if (done) return WA_OK;
    strides_of(x, xs);
    strides_of(ids, is);
    memcpy(dims, ids->dims, sizeof dims);
    dims[axis] = 1;
    d.params[0] = (uint32_t)(wa__count(ids) / ids->dims[axis]);
    d.params[1] = (uint32_t)ids->dims[axis];
    d.params[2] = (uint32_t)x->dims[axis];
    d.params[3] = (uint32_t)xs[axis];
    d.params[4] = (uint32_t)is[axis];
    right(&d, 8, dims, x->rank, 1);
    right(&d, 16, is, x->rank, 0);
    right(&d, 24, xs, x->rank, 0);
    d.params_count = 32;
    wa__gpu_cover(&d, d.params[0], 64);
    return wa__gpu_end(b, &d, node, NULL);
}

/* Whether constant index tuples all name different places: then their order does not matter. */
static bool tuples_differ(const wa_plan_builder *b, const wa_node *n, int64_t tuples, int64_t depth)
{
    const wa_value *v = &b->g->values[n->inputs[1]];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    int64_t strides[EIGHT], places = product(x, 0, (uint32_t)depth);
    if (tuples == 1) return true;
    if (v->kind != WA_VALUE_CONST || !v->data || places > (int64_t)1 << 24) return false;
    union { const uint8_t *in; void *data; } u = {.in = v->data};
    wa_view ids = {v->type, u.data};
    uint8_t *seen = wa__alloc((size_t)places + 1, 1);
    bool differ = seen != NULL;
    strides_of(x, strides);
    int64_t inner = product(x, (uint32_t)depth, x->rank);
    for (int64_t t = 0; differ && t < tuples; t++) {
        int64_t at = 0;
        for (int64_t k = 0; k < depth; k++) {
            int64_t i = wa__get_i64(&ids, t * depth + k), dim = x->dims[k];
            if (i < 0) i += dim;
            if (i < 0 || i >= dim) differ = false;
            else at += i * (strides[k] / (inner ? inner : 1));
        }
        if (differ) differ = !seen[at], seen[at] = 1;
    }
    wa__free(seen);
    return differ;
}

static wa_status scatter_nd_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]), *ids = wa__gpu_type(b, n->inputs[1]);
    int64_t strides[EIGHT], depth = ids->rank ? ids->dims[ids->rank - 1] : 0;
    bool done;
    wa_gpu_dispatch d;
    if (depth < 1 || depth > x->rank) return bad(b);
    WA_TRY(scatter_begin(b, node, &d, &done));
    if (done) return WA_OK;
    int64_t inner = product(x, (uint32_t)depth, x->rank), tuples = product(ids, 0, ids->rank - 1);
    bool apart = tuples_differ(b, n, tuples, depth);
    strides_of(x, strides);
    d.spec.spec[0] = 1;
    d.params[0] = (uint32_t)(apart ? inner * tuples : inner);
    d.params[1] = (uint32_t)inner;
    d.params[2] = (uint32_t)depth;
    d.params[3] = (uint32_t)(apart ? 1 : tuples);
    left(&d, 4, x->dims, (uint32_t)depth, 1);
    left(&d, 12, strides, (uint32_t)depth, 0);
    d.params_count = 20;
    wa__gpu_cover(&d, d.params[0], 64);
    return wa__gpu_end(b, &d, node, NULL);
}

/* --- pad ---------------------------------------------------------------------------------------------- */
static bool pads_of(const wa_plan_builder *b, const wa_node *n, int64_t *begin)
{
    uint32_t rank = wa__gpu_type(b, n->inputs[0])->rank, count, axis_count = rank;
    int64_t pads[2 * EIGHT], axes[EIGHT];
    for (uint32_t i = 0; i < EIGHT; i++) axes[i] = i, begin[i] = 0;
    if (n->input_count < 2 || n->inputs[1] == WA_NONE || !wa__graph_const_ints(b->g, n->inputs[1], pads, 2 * EIGHT, &count)) return false;
    if (n->input_count > 3 && n->inputs[3] != WA_NONE && !wa__graph_const_ints(b->g, n->inputs[3], axes, EIGHT, &axis_count)) return false;
    if (count != 2 * axis_count) return false;
    for (uint32_t i = 0; i < axis_count; i++) {
        int64_t a = axes[i] < 0 ? axes[i] + rank : axes[i];
        if (a < 0 || a >= (int64_t)rank || pads[i] > INT32_MAX || pads[i] < -INT32_MAX) return false;
        begin[a] = pads[i];
    }
    return true;
}

static bool pad_mode(const wa_node *n, uint32_t *out)
{
    static const char *const names[] = {"constant", "reflect", "edge", "wrap"};
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, "mode");
    for (*out = 0; a && *out < 4; ++*out)
        if (wa__str_is(a->s, names[*out])) return true;
    return !a;
}

static const char *pad_refuses(wa_plan_builder *b, const wa_node *n)
{
    int64_t begin[EIGHT];
    uint32_t mode;
    if (!pads_of(b, n, begin) || !pad_mode(n, &mode)) return "pads that are not constant, or an unknown mode";
    return mode && wa__plan_empty(b, n->inputs[0]) ? "nothing to repeat in an empty input" : NULL;
}

static wa_status pad_dispatch(wa_plan_builder *b, uint32_t node, wa_gpu_dispatch *d, const int64_t *begin, const uint32_t *values, uint32_t count)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]), *o = wa__gpu_type(b, n->outputs[0]);
    int64_t strides[EIGHT];
    for (uint32_t i = 0; i < count; i++) WA_TRY(wa__gpu_read(b, d, values[i]));
    WA_TRY(wa__gpu_write(b, d, n->outputs[0]));
    strides_of(x, strides);
    d->params[0] = (uint32_t)wa__count(o);
    right(d, 4, o->dims, o->rank, 1);
    right(d, 12, x->dims, x->rank, 1);
    right(d, 20, begin, x->rank, 0);
    right(d, 28, strides, x->rank, 0);
    d->params_count = 36;
    wa__gpu_cover(d, d->params[0], 64);
    return wa__gpu_end(b, d, node, NULL);
}

static wa_status pad_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    int64_t begin[EIGHT];
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_PAD);
    if (!pads_of(b, n, begin) || !pad_mode(n, &d.spec.spec[0])) return bad(b);
    bool value = d.spec.spec[0] == 0 && n->input_count > 2 && n->inputs[2] != WA_NONE;
    d.spec.spec[1] = value;
    return pad_dispatch(b, node, &d, begin, (uint32_t[]){n->inputs[0], value ? n->inputs[2] : WA_NONE}, 1u + value);
}

/* A tile is a pad that wraps round behind. */
static wa_status tile_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_PAD);
    d.spec.spec[0] = 3;
    return pad_dispatch(b, node, &d, (int64_t[EIGHT]){0}, n->inputs, 1);
}

/* --- generators --------------------------------------------------------------------------------------- */
static uint32_t word_of(wa_dtype d, double real, int64_t whole) { return wa__plan_device_dtype(d) == WA_F32 ? wa__gpu_bits((float)real) : (uint32_t)whole; }

static bool scalar_of(const wa_plan_builder *b, uint32_t value, double *real, int64_t *whole)
{
    uint32_t count;
    if (!wa__graph_const_scalar(b->g, value, real)) return false;
    if (!wa__graph_const_ints(b->g, value, whole, 1, &count)) *whole = 0;
    return true;
}

static const char *range_refuses(wa_plan_builder *b, const wa_node *n)
{
    double real;
    int64_t whole;
    for (uint32_t i = 0; i < 3; i++)
        if (!scalar_of(b, n->inputs[i], &real, &whole)) return "bounds that are not constant";
    return NULL;
}

static wa_status range_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    wa_dtype t = wa__gpu_type(b, n->outputs[0])->dtype;
    double start, step;
    int64_t first, by;
    if (!scalar_of(b, n->inputs[0], &start, &first) || !scalar_of(b, n->inputs[2], &step, &by)) return bad(b);
    return generate(b, node, n->outputs[0], wa__plan_device_dtype(t) == WA_F32 ? 1 : 2, word_of(t, start, first), word_of(t, step, by), 0);
}

static wa_status constant_of_shape_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    bool whole = wa__attr_find(n->attrs, n->attr_count, "value_i") != NULL;
    wa_dtype t = wa__gpu_type(b, n->outputs[0])->dtype;
    double real = whole ? (double)wa__node_int(n, "value_i", 0) : (double)wa__node_float(n, "value_f", 0);
    return wa__gpu_fill(b, node, n->outputs[0], word_of(t, real, whole ? wa__node_int(n, "value_i", 0) : (int64_t)real));
}

static wa_status eye_like_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *o = wa__gpu_type(b, n->outputs[0]);
    int64_t k = wa__node_int(n, "k", 0), far = (int64_t)1 << 30;
    k = k > far ? far : k < -far ? -far : k;
    return generate(b, node, n->outputs[0], 3, (uint32_t)o->dims[1], (uint32_t)k, word_of(o->dtype, 1, 1));
}

/* --- placements --------------------------------------------------------------------------------------- */
static wa_status place(wa_plan_builder *b, uint32_t node, wa_gpu_dispatch *d, const uint32_t *values, uint32_t count)
{
    const wa_node *n = &b->g->nodes[node];
    for (uint32_t i = 0; i < count; i++) WA_TRY(wa__gpu_read(b, d, values[i]));
    WA_TRY(wa__gpu_write(b, d, n->outputs[0]));
    d->params[0] = (uint32_t)output_count(b, n);
    d->params_count = 8;
    wa__gpu_cover(d, d->params[0], 64);
    return wa__gpu_end(b, d, node, NULL);
}

static bool trilu_k(const wa_plan_builder *b, const wa_node *n, int64_t *k)
{
    uint32_t count = 1;
    *k = 0;
    return n->input_count < 2 || n->inputs[1] == WA_NONE || (wa__graph_const_ints(b->g, n->inputs[1], k, 1, &count) && count == 1);
}

static const char *trilu_refuses(wa_plan_builder *b, const wa_node *n)
{
    int64_t k;
    return trilu_k(b, n, &k) ? NULL : "a diagonal that is not constant";
}

static wa_status trilu_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    int64_t k, far = (int64_t)1 << 30;
    if (!trilu_k(b, n, &k) || x->rank < 2) return bad(b);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_PLACE);
    d.params[1] = (uint32_t)x->dims[x->rank - 2];
    d.params[2] = (uint32_t)x->dims[x->rank - 1];
    d.params[3] = (uint32_t)(k > far ? far : k < -far ? -far : k);
    d.params[4] = wa__node_int(n, "upper", 1) != 0;
    return place(b, node, &d, n->inputs, 1);
}

static wa_status one_hot_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *ids = wa__gpu_type(b, n->inputs[0]), *o = wa__gpu_type(b, n->outputs[0]);
    uint32_t axis;
    if (!axis_of(n, -1, o->rank, &axis)) return bad(b);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_PLACE);
    d.spec.spec[0] = 1;
    d.spec.spec[1] = wa__plan_device_dtype(ids->dtype);
    d.params[1] = (uint32_t)o->dims[axis];
    d.params[2] = (uint32_t)product(o, axis + 1, o->rank);
    WA_TRY(place(b, node, &d, (uint32_t[]){n->inputs[0], n->inputs[2]}, 2));
    return WA_OK;
}

static wa_status reverse_sequence_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]);
    if (x->rank < 2) return bad(b);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_PLACE);
    d.spec.spec[0] = 2;
    d.params[1] = (uint32_t)x->dims[0];
    d.params[2] = (uint32_t)x->dims[1];
    d.params[3] = (uint32_t)product(x, 2, x->rank);
    d.params[4] = wa__node_int(n, "time_axis", 0) == 0;
    return place(b, node, &d, n->inputs, 2);
}

static wa_status tensor_scatter_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]), *u = wa__gpu_type(b, n->inputs[1]);
    const wa_attr *mode = wa__attr_find(n->attrs, n->attr_count, "mode");
    bool firsts = n->input_count > 2 && n->inputs[2] != WA_NONE;
    uint32_t axis;
    if (!axis_of(n, -2, x->rank, &axis) || axis == 0) return bad(b);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_PLACE);
    d.spec.spec[0] = 3;
    d.spec.spec[1] = firsts;
    d.params[1] = (uint32_t)x->dims[axis];
    d.params[2] = (uint32_t)u->dims[axis];
    d.params[3] = (uint32_t)product(x, axis + 1, x->rank);
    d.params[4] = (uint32_t)product(x, 1, x->rank);
    d.params[5] = mode && wa__str_is(mode->s, "circular");
    return place(b, node, &d, n->inputs, firsts ? 3 : 2);
}

const wa_gpu_row wa__gpu_index_rows[] = {
    {WA_OP_GatherElements, index_refuses, gather_elements_lower},
    {WA_OP_GatherND, index_refuses, gather_nd_lower},
    {WA_OP_ScatterElements, scatter_refuses, scatter_elements_lower},
    {WA_OP_Scatter, scatter_refuses, scatter_elements_lower},
    {WA_OP_ScatterND, scatter_refuses, scatter_nd_lower},
    {WA_OP_Pad, pad_refuses, pad_lower},
    {WA_OP_Tile, NULL, tile_lower},
    {WA_OP_Range, range_refuses, range_lower},
    {WA_OP_ConstantOfShape, NULL, constant_of_shape_lower},
    {WA_OP_EyeLike, NULL, eye_like_lower},
    {WA_OP_Trilu, trilu_refuses, trilu_lower},
    {WA_OP_OneHot, NULL, one_hot_lower},
    {WA_OP_ReverseSequence, index_refuses, reverse_sequence_lower},
    {WA_OP_TensorScatter, NULL, tensor_scatter_lower},
    {WA_OP_NONE, NULL, NULL},
};
