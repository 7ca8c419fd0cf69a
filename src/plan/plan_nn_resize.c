/* WebNN rows of what Resize was decomposed into, an axis at a time: Gather by constant places (nearest) and
 * AxisTaps. Two neighbours that resample2d says in one call become that call; the first one's own calls then
 * go unread. What resample2d has not becomes a product with the matrix of the taps. */
#include "plan/plan_nn_int.h"
#include <math.h>

typedef struct axis_resize { /* along one spatial axis of [N,C,H,W] */
    uint32_t axis;
    int64_t out;
    bool linear;
} axis_resize;

static wa_view const_view(const wa_value *v) { return (wa_view){v->type, (void *)(uintptr_t)v->data}; }

/* Every element k times: the same in every convention of what nearest means. */
static bool repeats(const wa_value *places, int64_t in)
{
    if (places->kind != WA_VALUE_CONST || places->type.rank != 1) return false;
    wa_view v = const_view(places);
    int64_t out = v.type.dims[0];
    bool same = out > in && out % in == 0;
    for (int64_t o = 0; o < out && same; o++) same = wa__get_i64(&v, o) == o / (out / in);
    return same;
}

/* Taps that are linear interpolation between centres of pixels, as resample2d's are. */
static bool half_pixel_linear(const wa_value *at, const wa_value *weight, int64_t in)
{
    if (at->kind != WA_VALUE_CONST || weight->kind != WA_VALUE_CONST || at->type.rank != 2 || wa__count(&at->type) != wa__count(&weight->type)) return false;
    wa_view p = const_view(at), w = const_view(weight);
    int64_t out = p.type.dims[0], taps = p.type.dims[1];
    bool same = out > 0;
    for (int64_t o = 0; o < out && same; o++) {
        double s = ((double)o + 0.5) * (double)in / (double)out - 0.5;
        s = fmin(fmax(s, 0), (double)(in - 1));
        int64_t low = (int64_t)floor(s), high = low + 1 < in ? low + 1 : low;
        double want_low = 1 - (s - (double)low), want_high = s - (double)low, other = 0;
        for (int64_t k = o * taps; k < (o + 1) * taps; k++) {
            int64_t place = wa__get_i64(&p, k);
            double v = wa__get_f64(&w, k);
            if (place == low) want_low -= v;
            else if (place == high) want_high -= v;
            else other += fabs(v);
        }
        same = fabs(want_low) < 1e-5 && fabs(want_high) < 1e-5 && other < 1e-5;
    }
    return same;
}

/* Whether the node resizes a spatial axis in a way that resample2d has. */
static bool axis_resize_of(const wa_plan_builder *b, const wa_node *n, axis_resize *r)
{
    if ((n->op != WA_OP_Gather && n->op != WA_OP_AxisTaps) || n->input_count < 2) return false;
    const wa_tensor_type *t = wa__nn_of(b, n->inputs[0]), *o = wa__nn_of(b, n->outputs[0]);
    int64_t axis = wa__node_int(n, "axis", 0);
    if (t->rank != 4 || o->rank != 4 || wa__plan_nn_dtype(b, t->dtype) != WA_F32) return false;
    if (axis < 0) axis += 4;
    if (axis < 2 || axis > 3) return false;
    r->axis = (uint32_t)axis;
    r->out = o->dims[axis];
    r->linear = n->op == WA_OP_AxisTaps;
    const wa_value *places = &b->g->values[n->inputs[1]];
    return r->linear ? half_pixel_linear(places, &b->g->values[n->inputs[2]], t->dims[axis]) : repeats(places, t->dims[axis]);
}

bool wa__nn_resampled(wa_plan_builder *b, const wa_node *n)
{
    axis_resize r, before;
    if (wa__nn_off(b) || !wa__nn_takes(b, WA_NN_resample2d, 0, WA_F32) || !axis_resize_of(b, n, &r)) return false;
    uint32_t value = n->inputs[0], maker = b->g->values[value].kind == WA_VALUE_NODE ? b->g->values[value].producer : WA_NONE;
    int64_t sizes[2] = {wa__nn_of(b, value)->dims[2], wa__nn_of(b, value)->dims[3]};
    sizes[r.axis - 2] = r.out;
    if (maker != WA_NONE && axis_resize_of(b, &b->g->nodes[maker], &before) && before.axis != r.axis && before.linear == r.linear) {
        uint32_t source = b->g->nodes[maker].inputs[0];
        if (wa__nn_is_here(b, source)) value = source; /* sizes have the maker's result already */
    }
    wa__nn_window_order(b, n);
    wa_nn x = b->nn.in_nhwc ? wa__nn_in_nhwc(b, value) : wa__nn_in(b, value);
    wa_tensor_type out = wa__nn_type(b, x);
    uint32_t at = wa__nn_spatial(b);
    out.dims[at] = sizes[0], out.dims[at + 1] = sizes[1];
    wa__nn_set_str(b, "mode", r.linear ? "linear" : "nearest-neighbor");
    wa__nn_set_ints(b, "sizes", sizes, 2);
    wa__nn_set_ints(b, "axes", (int64_t[]){at, at + 1}, 2);
    wa__nn_output(b, n, 0, wa__nn_call(b, WA_NN_resample2d, &x, 1, &out));
    return true;
}

/* The weights of every tap as one matrix [out, in], and a product with it. */
static void axis_taps(wa_plan_builder *b, const wa_node *n)
{
    if (wa__nn_resampled(b, n)) return;
    wa__nn_follow_order(b, n);
    wa_nn x = wa__nn_input(b, n, 0);
    wa_tensor_type t = wa__nn_type(b, x), m = {WA_F32, 2, {0}};
    uint32_t axis;
    if (wa__nn_off(b) || !wa__nn_axis(b, wa__node_int(n, "axis", 0), t.rank, &axis)) return;
    const wa_value *at = &b->g->values[n->inputs[1]], *weight = &b->g->values[n->inputs[2]];
    if (at->kind != WA_VALUE_CONST || weight->kind != WA_VALUE_CONST || at->type.rank != 2 || wa__count(&at->type) != wa__count(&weight->type)) wa__nn_refuse(b, "its taps must be constant for WebNN");
    if (wa__nn_off(b)) return;
    axis = wa__nn_place(b, axis);
    int64_t out = at->type.dims[0], taps = at->type.dims[1], in = t.dims[axis], dims[3] = {1, in, 1};
    wa_view places = const_view(at), weights = const_view(weight);
    float *w = out * in <= 1 << 22 ? wa__alloc((size_t)(out * in), sizeof *w) : NULL;
    if (!w) {
        wa__nn_refuse(b, "an interpolation from %lld to %lld places", (long long)in, (long long)out);
        return;
    }
    for (int64_t i = 0; i < out * taps; i++) {
        int64_t place = wa__get_i64(&places, i);
        if (place >= 0 && place < in) w[i / taps * in + place] += (float)wa__get_f64(&weights, i);
    }
    m.dims[0] = out, m.dims[1] = in;
    for (uint32_t i = 0; i < t.rank; i++) dims[i < axis ? 0 : i == axis ? 1 : 2] *= i == axis ? 1 : t.dims[i];
    wa_nn y = wa__nn_matmul(b, wa__nn_data(b, &m, w), wa__nn_reshape(b, wa__nn_cast(b, x, WA_F32), 3, dims));
    wa_tensor_type o = wa__nn_ordered(b, wa__nn_of(b, n->outputs[0]));
    wa__free(w);
    wa__nn_output(b, n, 0, wa__nn_like(b, y, &o));
}

const wa_nn_row wa__nn_resize_rows[] = {{WA_OP_AxisTaps, axis_taps}, {WA_OP_NONE, NULL}};
