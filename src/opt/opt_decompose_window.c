/* Decompositions of operators around convolution and pooling: global pools, depth and space, unpooling,
 * folding columns, cropping, grids, and the forms of com.microsoft. See decompose.h. */
#include "base/checked.h"
#include "base/window.h"
#include "opt/decompose.h"

bool wa__dc_ints(wa_rw *r, uint32_t node, uint32_t input, int64_t *out, uint32_t max, uint32_t *count)
{
    uint32_t v = wa__rw_in(r, node, input);
    const wa_node *n = &r->g->nodes[node];
    if (r->status != WA_OK) return false;
    if (v != WA_NONE && wa__graph_const_ints(r->g, v, out, max, count)) return true;
    bool fixed = v == WA_NONE || wa__rw_is_const(r, v);
    wa__rw_fail(r, wa__fail(r->err, fixed ? WA_CORRUPT : WA_DYNAMIC, "%s (%.*s): input %u %s", wa__op_info(n->op)->name, WA_STR_ARG(n->name), input,
                            fixed ? "is missing or no list of integers of the right length" : "decides a shape and is known only at run time"));
    return false;
}

static void bad(wa_rw *r, const wa_node *n, const char *why)
{
    wa__rw_fail(r, wa__fail(r->err, WA_CORRUPT, "%s (%.*s): %s", wa__op_info(n->op)->name, WA_STR_ARG(n->name), why));
}

/* A node like `from` with another operator and inputs, its attributes kept. */
static uint32_t like(wa_rw *r, uint32_t from, wa_op op, const uint32_t *inputs, uint32_t count)
{
    uint32_t node = wa__dc_node(r, op, inputs, count, 1);
    if (node == WA_NONE) return WA_NONE;
    r->g->nodes[node].attrs = r->g->nodes[from].attrs;
    r->g->nodes[node].attr_count = r->g->nodes[from].attr_count;
    r->g->nodes[node].name = r->g->nodes[from].name;
    return node;
}

/* --- global pools --------------------------------------------------------------------------------- */
static bool global_pool(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    uint32_t x = n.inputs[0];
    wa_tensor_type t = *wa__rw_t(r, x);
    int64_t axes[WA_RANK_MAX], p = wa__node_int(&n, "p", 2);
    if (t.rank < 2) return false;
    for (uint32_t i = 2; i < t.rank; i++) axes[i - 2] = i;
    if (t.rank == 2) {
        wa__dc_result(r, node, 0, n.op == WA_OP_GlobalLpPool ? wa__dc1(r, WA_OP_Abs, x) : wa__dc1(r, WA_OP_Identity, x));
        return true;
    }
    wa_op op = n.op == WA_OP_GlobalAveragePool ? WA_OP_ReduceMean : n.op == WA_OP_GlobalMaxPool ? WA_OP_ReduceMax : p == 1 ? WA_OP_ReduceL1 : WA_OP_ReduceL2;
    if (n.op != WA_OP_GlobalLpPool || p == 1 || p == 2) {
        wa__dc_result(r, node, 0, wa__dc_reduce(r, op, x, axes, t.rank - 2, true));
        return true;
    }
    uint32_t sum = wa__dc_reduce(r, WA_OP_ReduceSum, wa__dc2(r, WA_OP_Pow, wa__dc1(r, WA_OP_Abs, x), wa__dc_scalar(r, t.dtype, (double)p)), axes, t.rank - 2, true);
    wa__dc_result(r, node, 0, wa__dc2(r, WA_OP_Pow, sum, wa__dc_scalar(r, t.dtype, 1.0 / (double)p)));
    return true;
}

/* --- depth and space -------------------------------------------------------------------------------- */
static bool depth_to_space(wa_rw *r, uint32_t node)
{
    static const int64_t dcr[] = {0, 3, 4, 1, 5, 2}, crd[] = {0, 1, 4, 2, 5, 3};
    wa_node n = r->g->nodes[node];
    wa_tensor_type t = *wa__rw_t(r, n.inputs[0]);
    int64_t b = wa__node_int(&n, "blocksize", 0), *d = t.dims;
    const wa_attr *mode = wa__attr_find(n.attrs, n.attr_count, "mode");
    bool columns = mode && mode->kind == WA_ATTR_KIND_STRING && wa__str_is(mode->s, "CRD");
    if (t.rank != 4 || b < 1 || b > 1 << 15 || d[1] % (b * b)) {
        bad(r, &n, "its blocksize does not divide its channels");
        return true;
    }
    int64_t c = d[1] / (b * b), apart_dcr[] = {d[0], b, b, c, d[2], d[3]}, apart_crd[] = {d[0], c, b, b, d[2], d[3]}, together[] = {d[0], c, d[2] * b, d[3] * b};
    uint32_t x = wa__dc_transpose(r, wa__dc_reshape(r, n.inputs[0], columns ? apart_crd : apart_dcr, 6), columns ? crd : dcr, 6);
    wa__dc_result(r, node, 0, wa__dc_reshape(r, x, together, 4));
    return true;
}

static bool space_to_depth(wa_rw *r, uint32_t node)
{
    static const int64_t perm[] = {0, 3, 5, 1, 2, 4};
    wa_node n = r->g->nodes[node];
    wa_tensor_type t = *wa__rw_t(r, n.inputs[0]);
    int64_t b = wa__node_int(&n, "blocksize", 0), *d = t.dims;
    if (t.rank != 4 || b < 1 || b > 1 << 15 || d[2] % b || d[3] % b) {
        bad(r, &n, "its blocksize does not divide its height and width");
        return true;
    }
    int64_t apart[] = {d[0], d[1], d[2] / b, b, d[3] / b, b}, together[] = {d[0], d[1] * b * b, d[2] / b, d[3] / b};
    wa__dc_result(r, node, 0, wa__dc_reshape(r, wa__dc_transpose(r, wa__dc_reshape(r, n.inputs[0], apart, 6), perm, 6), together, 4));
    return true;
}

/* --- padding and cropping ---------------------------------------------------------------------------- */
static uint32_t pad(wa_rw *r, uint32_t x, const int64_t *begin, const int64_t *end, uint32_t rank)
{
    int64_t pads[2 * WA_RANK_MAX];
    bool any = false;
    for (uint32_t i = 0; i < rank; i++) {
        pads[i] = begin[i], pads[rank + i] = end[i];
        any = any || begin[i] || end[i];
    }
    if (!any || r->status != WA_OK) return x;
    uint32_t list = wa__rw_const_ints(r, pads, 2 * rank);
    return list == WA_NONE ? WA_NONE : wa__dc2(r, WA_OP_Pad, x, list);
}

static bool center_crop_pad(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    uint32_t x = n.inputs[0], count;
    wa_tensor_type t = *wa__rw_t(r, x);
    int64_t want[WA_RANK_MAX], begin[WA_RANK_MAX] = {0}, end[WA_RANK_MAX] = {0};
    const wa_attr *axes = wa__attr_find(n.attrs, n.attr_count, "axes");
    bool some = axes && axes->kind == WA_ATTR_KIND_INTS;
    if (!wa__dc_ints(r, node, 1, want, WA_RANK_MAX, &count)) return true;
    if (count != (some ? axes->count : t.rank)) bad(r, &n, "its shape does not have one number for each axis");
    for (uint32_t i = 0; i < count && r->status == WA_OK; i++) {
        int64_t a = some ? axes->ints[i] : (int64_t)i;
        if (a < 0) a += t.rank;
        if (a < 0 || a >= (int64_t)t.rank || want[i] < 0) {
            bad(r, &n, "an axis or a size is out of range");
            return true;
        }
        int64_t have = t.dims[a], more = want[i] - have;
        if (more < 0) x = wa__dc_slice(r, x, a, -more / 2, -more / 2 + want[i]);
        else if (more > 0) begin[a] = more / 2, end[a] = more - more / 2;
    }
    uint32_t y = pad(r, x, begin, end, t.rank);
    if (r->status == WA_OK) wa__dc_result(r, node, 0, y == n.inputs[0] ? wa__dc1(r, WA_OP_Identity, y) : y);
    return true;
}

static bool is_list(const wa_attr *a, uint32_t count) { return a && a->kind == WA_ATTR_KIND_INTS && a->count == count; }

/* Elements scattered into zeros; a larger output_shape is room after them. */
static bool max_unpool(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    wa_tensor_type x = *wa__rw_t(r, n.inputs[0]), shape = x;
    const wa_attr *kernel = wa__attr_find(n.attrs, n.attr_count, "kernel_shape"), *stride = wa__attr_find(n.attrs, n.attr_count, "strides"),
                  *pads = wa__attr_find(n.attrs, n.attr_count, "pads");
    int64_t want[WA_RANK_MAX], none[WA_RANK_MAX] = {0}, more[WA_RANK_MAX] = {0}, count, elements = wa__count(&x);
    uint32_t given = 0, spatial = x.rank - 2;
    bool fits = x.rank > 2 && is_list(kernel, spatial) && (!stride || is_list(stride, spatial)) && (!pads || is_list(pads, 2 * spatial));
    for (uint32_t i = 0; fits && i < spatial; i++) {
        int64_t k = kernel->ints[i], s = stride ? stride->ints[i] : 1, before = pads ? pads->ints[i] : 0, after = pads ? pads->ints[spatial + i] : 0;
        fits = k > 0 && s > 0 && k < 1 << 24 && s < 1 << 24 && before >= 0 && after >= 0 && before < 1 << 24 && after < 1 << 24 && x.dims[2 + i] < 1 << 30;
        shape.dims[2 + i] = fits ? (x.dims[2 + i] - 1) * s + k - before - after : 0;
    }
    if (!fits || !wa__type_count(&shape, &count)) {
        bad(r, &n, "its kernel_shape, strides and pads do not fit its input");
        return true;
    }
    if (wa__rw_in(r, node, 2) != WA_NONE) {
        if (!wa__dc_ints(r, node, 2, want, WA_RANK_MAX, &given)) return true;
        for (uint32_t i = 0; i < x.rank && given == x.rank; i++) more[i] = want[i] < 0 ? -1 : want[i] - shape.dims[i];
        for (uint32_t i = 0; i < x.rank; i++)
            if (given != x.rank || more[i] < 0) {
                bad(r, &n, "its output_shape is smaller than its kernel makes it");
                return true;
            }
    }
    uint32_t total = wa__rw_const_ints(r, &count, 1);
    uint32_t zeros = wa__dc2(r, WA_OP_Expand, wa__dc_scalar(r, x.dtype, 0), total);
    uint32_t at = wa__dc_reshape(r, n.inputs[1], &elements, 1), data = wa__dc_reshape(r, n.inputs[0], &elements, 1);
    uint32_t y = wa__dc_reshape(r, wa__dc3(r, WA_OP_ScatterElements, zeros, at, data), shape.dims, shape.rank);
    y = pad(r, y, none, more, shape.rank);
    if (r->status == WA_OK) wa__dc_result(r, node, 0, y);
    return true;
}

/* --- constants made here ------------------------------------------------------------------------------- */
uint32_t wa__dc_const(wa_rw *r, const wa_tensor_type *t, const double *values)
{
    if (r->status != WA_OK) return WA_NONE;
    uint64_t bytes;
    wa_view v = {*t, NULL};
    if (!wa__type_bytes(t, &bytes) || bytes > WA_LIMIT_FOLD_BYTES) {
        wa__rw_fail(r, wa__fail(r->err, WA_LIMIT, "a table that an operator needs is too large"));
        return WA_NONE;
    }
    v.data = wa__alloc((size_t)bytes + 1, 1);
    if (!wa__rw_need(r, v.data != NULL)) return WA_NONE;
    for (int64_t i = 0, n = wa__count(t); i < n; i++) {
        if (wa__dtype_is_float(t->dtype)) wa__set_f64(&v, i, values[i]);
        else wa__set_i64(&v, i, (int64_t)values[i]);
    }
    uint32_t c = wa__graph_const(r->g, WA_STR(""), t, v.data, -1);
    wa__free(v.data);
    return wa__rw_need(r, c != WA_NONE) && wa__rw_grow(r) ? c : WA_NONE;
}

/* --- folding columns -------------------------------------------------------------------------------------- */
#define COLUMNS_MAX ((int64_t)1 << 22)

/* A transposed convolution with one channel a tap and weights of one or zero. */
static bool col2im(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    uint32_t x = n.inputs[0], rank, kernel_rank;
    wa_tensor_type t = *wa__rw_t(r, x);
    int64_t image[WA_RANK_MAX], kernel[WA_RANK_MAX], extra[WA_RANK_MAX], taps = 1, blocks = 1;
    if (!wa__dc_ints(r, node, 1, image, WA_WINDOW_AXES, &rank) || !wa__dc_ints(r, node, 2, kernel, WA_WINDOW_AXES, &kernel_rank)) return true;
    bool fits = t.rank == 3 && rank && rank == kernel_rank;
    wa_tensor_type picture = {t.dtype, rank + 2, {1, 1}}; /* the picture, over which windows of the same kind slide */
    wa_attr attrs[5];
    uint32_t attr_count = 0;
    static const char *const kept[] = {"strides", "pads", "dilations"};
    for (unsigned i = 0; i < 3; i++) {
        const wa_attr *a = wa__attr_find(n.attrs, n.attr_count, kept[i]);
        if (a) attrs[attr_count++] = *a;
    }
    attrs[attr_count++] = (wa_attr){.name = WA_STR("kernel_shape"), .kind = WA_ATTR_KIND_INTS, .count = rank, .ints = kernel};
    for (uint32_t i = 0; i < rank; i++) picture.dims[2 + i] = image[i] < 0 ? 0 : image[i];
    wa_window w;
    const char *why = fits ? wa__window_pool(&picture, attrs, attr_count, &w) : "its input is no [batch, channels * block, blocks]";
    if (!why) taps = wa__window_taps(&w), blocks = wa__window_out_size(&w);
    if (!why && (t.dims[1] % taps || t.dims[2] != blocks)) why = "its blocks do not fit the image";
    if (!why && (taps > COLUMNS_MAX || t.dims[1] > COLUMNS_MAX / taps)) why = "its blocks are too large";
    if (why) {
        bad(r, &n, why);
        return true;
    }
    wa_tensor_type wt = {t.dtype, rank + 2, {t.dims[1], 1}}, columns = {t.dtype, rank + 2, {t.dims[0], t.dims[1]}};
    for (uint32_t i = 0; i < rank; i++) {
        uint32_t k = WA_WINDOW_AXES - rank + i;
        wt.dims[2 + i] = kernel[i];
        columns.dims[2 + i] = w.out[k];
        extra[i] = w.in[k] - ((w.out[k] - 1) * w.stride[k] + (w.kernel[k] - 1) * w.dilation[k] + 1 - w.begin[k] - w.end[k]);
    }
    double *ones = wa__alloc((size_t)(t.dims[1] * taps) + 1, sizeof *ones);
    if (!wa__rw_need(r, ones != NULL)) return true;
    for (int64_t i = 0; i < t.dims[1]; i++) ones[i * taps + i % taps] = 1;
    uint32_t weights = wa__dc_const(r, &wt, ones);
    wa__free(ones);
    x = wa__dc_reshape(r, x, columns.dims, columns.rank);
    uint32_t y = r->status == WA_OK ? like(r, node, WA_OP_ConvTranspose, (uint32_t[]){x, weights}, 2) : WA_NONE;
    if (y == WA_NONE || !wa__rw_need(r, wa__node_set_int(r->g, y, "group", t.dims[1] / taps) && wa__node_set_ints(r->g, y, "output_padding", extra, rank))) return true;
    wa__dc_result(r, node, 0, wa__dc_out(r, y, 0));
    return true;
}

/* --- grids -------------------------------------------------------------------------------------------------- */
/* theta by the positions [.., (x, y, z, 1)], made here. */
static bool affine_grid(wa_rw *r, uint32_t node)
{
    static const int64_t swap[] = {0, 2, 1};
    wa_node n = r->g->nodes[node];
    wa_tensor_type t = *wa__rw_t(r, n.inputs[0]);
    int64_t size[5], points = 1;
    uint32_t count, axes;
    bool aligned = wa__node_int(&n, "align_corners", 0) != 0;
    if (!wa__dc_ints(r, node, 1, size, 5, &count)) return true;
    axes = count - 2;
    bool fits = (count == 4 || count == 5) && t.rank == 3 && t.dims[1] == (int64_t)axes && t.dims[2] == (int64_t)axes + 1 && size[0] == t.dims[0];
    for (uint32_t i = 2; fits && i < count; i++) fits = size[i] > 0 && size[i] < 1 << 24 && (points *= size[i]) < 1 << 24;
    double *base = fits ? wa__alloc((size_t)points * (axes + 1), sizeof *base) : NULL;
    if (!fits) bad(r, &n, "its size and theta do not fit");
    if (!fits || !wa__rw_need(r, base != NULL)) return true;
    for (int64_t i = 0; i < points; i++) {
        int64_t rest = i;
        for (uint32_t a = 0; a < axes; a++) { /* x is the last axis */
            int64_t d = size[count - 1 - a], at = rest % d;
            rest /= d;
            base[i * (axes + 1) + a] = aligned ? (d > 1 ? -1 + 2.0 * (double)at / (double)(d - 1) : 0) : (double)(2 * at + 1) / (double)d - 1;
        }
        base[i * (axes + 1) + axes] = 1;
    }
    uint32_t b = wa__dc_const(r, &(wa_tensor_type){t.dtype, 2, {points, axes + 1}}, base);
    wa__free(base);
    uint32_t y = wa__dc2(r, WA_OP_MatMul, b, wa__dc_transpose(r, n.inputs[0], swap, 3));
    int64_t dims[5] = {size[0]};
    for (uint32_t i = 0; i < axes; i++) dims[1 + i] = size[2 + i];
    dims[1 + axes] = axes;
    wa__dc_result(r, node, 0, wa__dc_reshape(r, y, dims, axes + 2));
    return true;
}

/* --- com.microsoft ------------------------------------------------------------------------------------------- */
static bool grid_sample(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    uint32_t y = like(r, node, WA_OP_GridSample, n.inputs, n.input_count);
    if (y != WA_NONE) wa__dc_result(r, node, 0, wa__dc_out(r, y, 0));
    return true;
}

/* Channels last: only the input and the result are, weights lie as in Conv. */
static bool nhwc(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    uint32_t rank = wa__rw_t(r, n.inputs[0])->rank, inputs[3];
    int64_t first[WA_RANK_MAX] = {0}, last[WA_RANK_MAX] = {0};
    if (rank < 3) return false;
    for (uint32_t i = 1; i < rank; i++) {
        first[i] = i == 1 ? rank - 1 : i - 1;
        last[i] = i + 1 < rank ? i + 1 : 1;
    }
    for (uint32_t i = 0; i < n.input_count && i < 3; i++) inputs[i] = n.inputs[i];
    inputs[0] = wa__dc_transpose(r, inputs[0], first, rank);
    uint32_t y = r->status == WA_OK ? like(r, node, n.op == WA_OP_NhwcConv ? WA_OP_Conv : WA_OP_MaxPool, inputs, n.input_count) : WA_NONE;
    if (y != WA_NONE) wa__dc_result(r, node, 0, wa__dc_transpose(r, wa__dc_out(r, y, 0), last, rank));
    return true;
}

/* activation(conv + z) */
static bool fused_conv(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    bool has_z = n.input_count > 3 && n.inputs[3] != WA_NONE;
    uint32_t c = like(r, node, WA_OP_Conv, n.inputs, n.input_count > 3 ? 3 : n.input_count);
    if (c == WA_NONE) return true;
    uint32_t y = wa__dc_out(r, c, 0);
    if (has_z) y = wa__dc2(r, WA_OP_Add, y, n.inputs[3]);
    const wa_attr *act = wa__attr_find(n.attrs, n.attr_count, "activation"), *p = wa__attr_find(n.attrs, n.attr_count, "activation_params");
    float a = p && p->kind == WA_ATTR_KIND_FLOATS && p->count > 0 ? p->floats[0] : 0, b = p && p->kind == WA_ATTR_KIND_FLOATS && p->count > 1 ? p->floats[1] : 0;
    bool params = p && p->kind == WA_ATTR_KIND_FLOATS && p->count > 0;
    static const wa_op known[] = {WA_OP_Relu, WA_OP_Tanh, WA_OP_Sigmoid, WA_OP_LeakyRelu, WA_OP_Clip, WA_OP_HardSigmoid};
    wa_op op = WA_OP_NONE;
    for (unsigned i = 0; act && act->kind == WA_ATTR_KIND_STRING && i < sizeof known / sizeof *known; i++)
        if (wa__str_is(act->s, wa__op_info(known[i])->name)) op = known[i];
    if (act && act->kind == WA_ATTR_KIND_STRING && act->s.len && op == WA_OP_NONE) bad(r, &n, "its activation is not known");
    if (r->status != WA_OK) return true;
    wa_dtype d = wa__rw_t(r, y)->dtype;
    if (op == WA_OP_Clip) {
        y = wa__dc3(r, op, y, wa__dc_scalar(r, d, (double)a), wa__dc_scalar(r, d, (double)b));
    } else if (op != WA_OP_NONE) {
        uint32_t last = wa__dc_node(r, op, &y, 1, 1);
        if (last == WA_NONE) return true;
        bool ok = !params || wa__node_set_float(r->g, last, "alpha", a);
        ok = ok && (!params || op != WA_OP_HardSigmoid || wa__node_set_float(r->g, last, "beta", b));
        if (wa__rw_need(r, ok)) y = wa__dc_out(r, last, 0);
    }
    wa__dc_result(r, node, 0, y);
    return true;
}

const wa_decompose_row wa__decompose_window[] = {
    {WA_OP_GlobalAveragePool, global_pool}, {WA_OP_GlobalMaxPool, global_pool}, {WA_OP_GlobalLpPool, global_pool},
    {WA_OP_DepthToSpace, depth_to_space}, {WA_OP_SpaceToDepth, space_to_depth}, {WA_OP_CenterCropPad, center_crop_pad},
    {WA_OP_MaxUnpool, max_unpool}, {WA_OP_Col2Im, col2im}, {WA_OP_AffineGrid, affine_grid}, {WA_OP_MsGridSample, grid_sample},
    {WA_OP_NhwcConv, nhwc}, {WA_OP_NhwcMaxPool, nhwc}, {WA_OP_FusedConv, fused_conv},
    {WA_OP_NONE, NULL},
};
