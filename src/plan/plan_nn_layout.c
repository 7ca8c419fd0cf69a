/* WebNN and the order of axes. A context that prefers NHWC (LiteRT) computes windows in that order only, so
 * a convolution given as [N,C,H,W] costs two transposes. Here results of windows are kept as [N,H,W,C], and
 * what follows them works on that order where its row says that it can; a row that does not ask gets
 * [N,C,H,W], transposed once. In: graph values. Out: operands in either order. Called by the rows. */
#include "plan/plan_nn_int.h"

static const uint32_t to_nhwc[4] = {0, 2, 3, 1}, place_of[4] = {0, 3, 1, 2}; /* axis i of NHWC; where NCHW's axis i lies */

bool wa__nn_prefers_nhwc(const wa_plan_builder *b)
{
    return !b->t.nn->nchw && wa__nn_takes(b, WA_NN_transpose, 0, WA_F32) && wa__nn_rank_ok(b, WA_NN_transpose, 0, 4);
}

static bool held(const wa_plan_builder *b, uint32_t value) { return value != WA_NONE && b->nn.nhwc_epoch[value] == b->nn.now; }
bool wa__nn_held_nhwc(const wa_plan_builder *b, uint32_t value)
{
    return held(b, value) || (value != WA_NONE && held(b, b->root[value]) && wa__type_eq(wa__nn_of(b, value), wa__nn_of(b, b->root[value])));
}

wa_tensor_type wa__nn_nhwc_type(const wa_tensor_type *t)
{
    wa_tensor_type y = *t;
    for (uint32_t i = 0; i < 4; i++) y.dims[i] = t->dims[to_nhwc[i]];
    return y;
}

/* Whether axes of more than one element keep their order: then a reshape turns one into the other. */
static bool reshapes(const wa_tensor_type *nchw) { return nchw->dims[1] == 1 || (nchw->dims[2] == 1 && nchw->dims[3] == 1); }

static wa_nn turned(wa_plan_builder *b, wa_nn x, const wa_tensor_type *nchw, bool back)
{
    static const int64_t there[4] = {0, 2, 3, 1}, home[4] = {0, 3, 1, 2};
    wa_tensor_type to = back ? *nchw : wa__nn_nhwc_type(nchw);
    return reshapes(nchw) ? wa__nn_like(b, x, &to) : wa__nn_transpose(b, x, back ? home : there);
}

wa_nn wa__nn_in_nhwc(wa_plan_builder *b, uint32_t value)
{
    if (wa__nn_off(b) || value == WA_NONE) return WA_NONE;
    if (!held(b, value)) {
        uint32_t root = b->root[value];
        bool same = root != value && wa__nn_held_nhwc(b, value);
        wa_nn x = same ? b->nn.nhwc[root] : turned(b, wa__nn_in(b, value), wa__nn_of(b, value), false);
        if (wa__nn_off(b)) return WA_NONE;
        wa__nn_remember_nhwc(b, value, x);
    }
    return b->nn.nhwc[value];
}

wa_nn wa__nn_from_nhwc(wa_plan_builder *b, uint32_t value) { return held(b, value) ? turned(b, b->nn.nhwc[value], wa__nn_of(b, value), true) : WA_NONE; }

void wa__nn_remember_nhwc(wa_plan_builder *b, uint32_t value, wa_nn x)
{
    b->nn.nhwc[value] = x;
    b->nn.nhwc_epoch[value] = b->nn.now;
}

/* --- the order that a row works in ------------------------------------------------------------------- */
static bool all_rank4(const wa_plan_builder *b, const wa_node *n)
{
    for (uint32_t i = 0; i < n->output_count; i++)
        if (n->outputs[i] != WA_NONE && wa__nn_of(b, n->outputs[i])->rank != 4) return false;
    return true;
}

void wa__nn_window_order(wa_plan_builder *b, const wa_node *n)
{
    const wa_tensor_type *t = wa__nn_of(b, n->inputs[0]);
    b->nn.in_nhwc = wa__nn_prefers_nhwc(b) && t->rank == 4 && wa__plan_nn_dtype(b, t->dtype) == WA_F32 && all_rank4(b, n);
}

void wa__nn_follow_order(wa_plan_builder *b, const wa_node *n)
{
    bool any = false;
    for (uint32_t i = 0; i < n->input_count; i++) any |= wa__nn_held_nhwc(b, n->inputs[i]);
    b->nn.in_nhwc = any && all_rank4(b, n);
}

uint32_t wa__nn_place(const wa_plan_builder *b, uint32_t axis) { return b->nn.in_nhwc && axis < 4 ? place_of[axis] : axis; }

uint32_t wa__nn_place_mask(const wa_plan_builder *b, uint32_t mask)
{
    uint32_t y = 0;
    for (uint32_t i = 0; i < WA_RANK_MAX; i++) y |= (mask >> i & 1) << wa__nn_place(b, i);
    return y;
}

wa_tensor_type wa__nn_ordered(const wa_plan_builder *b, const wa_tensor_type *t) { return b->nn.in_nhwc && t->rank == 4 ? wa__nn_nhwc_type(t) : *t; }

/* A value that broadcasts against values of rank 4: its axes are the last ones of NCHW. */
wa_nn wa__nn_aligned(wa_plan_builder *b, uint32_t value)
{
    const wa_tensor_type *t = wa__nn_of(b, value);
    if (!b->nn.in_nhwc || t->rank == 0 || wa__count(t) == 1) return wa__nn_in(b, value);
    if (t->rank == 4) return wa__nn_in_nhwc(b, value);
    wa_tensor_type wide = {wa__plan_nn_dtype(b, t->dtype), 4, {1, 1, 1, 1}};
    for (uint32_t i = 0; i < t->rank; i++) wide.dims[4 - t->rank + i] = t->dims[i];
    return turned(b, wa__nn_like(b, wa__nn_in(b, value), &wide), &wide, false);
}
