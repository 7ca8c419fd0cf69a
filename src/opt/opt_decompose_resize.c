/* Resize and Upsample: interpolation in every mode is separable, and its sizes are known when a model is
 * compiled. So an axis becomes a table of taps (Gather for nearest, AxisTaps for the others), made here
 * in doubles; kernels know nothing of coordinates. See decompose.h. */
#include "base/window.h"
#include "opt/decompose.h"
#include <math.h>

#define TAPS_MAX ((int64_t)1 << 22) /* entries of one table */

typedef enum mapping { HALF_PIXEL, SYMMETRIC, PYTORCH, ALIGN_CORNERS, ASYMMETRIC, TF_NN, TF_CROP, MAPPINGS } mapping;
typedef enum nearest { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, FLOOR, CEIL, NEARESTS } nearest;
typedef enum mode { NEAREST, LINEAR, CUBIC, MODES } mode;

typedef struct axis_plan {
    int64_t in, out;
    double scale, start, end; /* start and end: of the region, TF_CROP */
    bool resized;
} axis_plan;

typedef struct resize {
    mapping map;
    nearest near;
    mode mode;
    bool antialias, exclude;
    double a, extrapolation;
    axis_plan axis[WA_RANK_MAX];
    uint32_t rank;
} resize;

typedef struct table { /* of one axis */
    int64_t taps;
    double *at, *weight; /* [out, taps] */
    bool *outside;       /* [out]: extrapolated */
} table;

static void bad(wa_rw *r, const wa_node *n, wa_status s, const char *why)
{
    wa__rw_fail(r, wa__fail(r->err, s, "%s (%.*s): %s", wa__op_info(n->op)->name, WA_STR_ARG(n->name), why));
}

/* Which of the names a string attribute is; `fallback` when it is absent, `count` when it is none. */
static uint32_t choice(const wa_node *n, const char *attr, const char *const *names, uint32_t count, uint32_t fallback)
{
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, attr);
    if (!a || a->kind != WA_ATTR_KIND_STRING || a->s.len == 0) return fallback;
    for (uint32_t i = 0; i < count; i++)
        if (wa__str_is(a->s, names[i])) return i;
    return count;
}

/* --- coordinates ---------------------------------------------------------------------------------------- */
static double original(const resize *z, const axis_plan *p, int64_t o)
{
    double x = (double)o, in = (double)p->in, width = p->scale * in;
    switch (z->map) {
    case SYMMETRIC: return in / 2 * (1 - (double)p->out / width) + (x + 0.5) / p->scale - 0.5;
    case PYTORCH: return width == 1 ? -0.5 : (x + 0.5) / p->scale - 0.5;
    case ALIGN_CORNERS: return width == 1 ? 0 : x * (in - 1) / (width - 1);
    case ASYMMETRIC: return x / p->scale;
    case TF_NN: return (x + 0.5) / p->scale;
    case TF_CROP:
        return p->start * (in - 1) + (width == 1 ? (p->end - p->start) * (in - 1) / 2 : x * (p->end - p->start) * (in - 1) / (width - 1));
    default: return (x + 0.5) / p->scale - 0.5;
    }
}

static double cubic(double a, double x)
{
    x = fabs(x);
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/* Taps of an axis: an even number around the coordinate, stretched when antialiasing a reduction. */
static int64_t tap_count(const resize *z, const axis_plan *p)
{
    if (z->mode == NEAREST) return 1;
    double radius = z->mode == LINEAR ? 1 : 2;
    if (!z->antialias || p->scale >= 1) return (int64_t)(2 * radius);
    double first = floor(-radius / p->scale) + 1;
    return first < -1e8 ? INT64_MAX : 2 - 2 * (int64_t)first;
}

static double tap_weight(const resize *z, double distance, double stretch)
{
    if (z->mode == LINEAR) return fmax(0, 1 - fabs(distance * stretch));
    return cubic(z->a, distance * stretch);
}

static void one_output(const resize *z, const axis_plan *p, int64_t o, table *t)
{
    double x = original(z, p, o), sum = 0, stretch = z->antialias && p->scale < 1 ? p->scale : 1;
    double *at = t->at + o * t->taps, *weight = t->weight + o * t->taps, most = (double)(p->in - 1);
    t->outside[o] = z->map == TF_CROP && (x < 0 || x > most);
    if (!(fabs(x) < 1e15)) x = 0;
    double left = ceil(x) - 1, ratio = x - left; /* in (0, 1]: of two neighbours the left one counts as nearer */
    if (z->mode == NEAREST) {
        bool right = ratio == 1 || z->near == CEIL || (z->near == ROUND_PREFER_FLOOR && ratio > 0.5) || (z->near == ROUND_PREFER_CEIL && ratio >= 0.5);
        at[0] = fmin(fmax(left + (right ? 1 : 0), 0), most);
        weight[0] = t->outside[o] ? 0 : 1;
        return;
    }
    for (int64_t k = 0; k < t->taps; k++) {
        double place = left + (double)(k + 1 - t->taps / 2);
        bool out = place < 0 || place > most;
        weight[k] = z->exclude && out ? 0 : tap_weight(z, place - x, stretch);
        at[k] = fmin(fmax(place, 0), most);
        sum += weight[k];
    }
    for (int64_t k = 0; k < t->taps; k++) weight[k] = t->outside[o] || sum == 0 ? 0 : weight[k] / sum;
}

static void table_done(table *t)
{
    wa__free(t->at);
    wa__free(t->weight);
    wa__free(t->outside);
}

static bool table_make(wa_rw *r, const wa_node *n, const resize *z, const axis_plan *p, table *t)
{
    memset(t, 0, sizeof *t);
    t->taps = tap_count(z, p);
    if (t->taps > TAPS_MAX / (p->out + 1)) {
        bad(r, n, WA_LIMIT, "its table of taps is too large");
        return false;
    }
    size_t count = (size_t)(p->out * t->taps);
    t->at = wa__alloc(count + 1, sizeof *t->at);
    t->weight = wa__alloc(count + 1, sizeof *t->weight);
    t->outside = wa__alloc((size_t)p->out + 1, sizeof *t->outside);
    if (!wa__rw_need(r, t->at && t->weight && t->outside)) return false;
    for (int64_t o = 0; o < p->out; o++) one_output(z, p, o, t);
    return true;
}

/* --- building ----------------------------------------------------------------------------------------------- */
static uint32_t along(wa_rw *r, const resize *z, uint32_t x, uint32_t axis, const table *t)
{
    int64_t out = z->axis[axis].out;
    bool weighted = z->mode != NEAREST;
    for (int64_t o = 0; o < out; o++) weighted = weighted || t->outside[o];
    wa_tensor_type index = {weighted ? WA_I32 : WA_I64, weighted ? 2u : 1u, {out, t->taps}}, weight = {WA_F32, 2, {out, t->taps}};
    uint32_t at = wa__dc_const(r, &index, t->at), node;
    if (weighted) {
        uint32_t w = wa__dc_const(r, &weight, t->weight);
        node = wa__dc_node(r, WA_OP_AxisTaps, (uint32_t[]){x, at, w}, 3, 1);
    } else {
        node = wa__dc_node(r, WA_OP_Gather, (uint32_t[]){x, at}, 2, 1);
    }
    return node != WA_NONE && wa__rw_need(r, wa__node_set_int(r->g, node, "axis", axis)) ? wa__dc_out(r, node, 0) : WA_NONE;
}

/* Adds the extrapolation value where some axis is outside: everything else gave 0 there. */
static uint32_t extrapolate(wa_rw *r, const resize *z, uint32_t y, const table *tables)
{
    wa_tensor_type t = {wa__rw_t(r, y)->dtype, z->rank, {0}};
    int64_t count = 1, index[WA_RANK_MAX] = {0};
    bool any = false;
    for (uint32_t i = 0; i < z->rank; i++) {
        t.dims[i] = 1;
        for (int64_t o = 0; tables[i].outside && o < z->axis[i].out; o++)
            if (tables[i].outside[o]) t.dims[i] = z->axis[i].out, any = true;
        if (count > TAPS_MAX / t.dims[i]) return y;
        count *= t.dims[i];
    }
    if (!any || z->extrapolation == 0) return y;
    double *values = wa__alloc((size_t)count, sizeof *values);
    if (!wa__rw_need(r, values != NULL)) return WA_NONE;
    for (int64_t k = 0; k < count; k++) {
        int64_t rest = k;
        bool outside = false;
        for (uint32_t i = z->rank; i-- > 0;) {
            index[i] = rest % t.dims[i];
            rest /= t.dims[i];
            outside = outside || (t.dims[i] > 1 || z->axis[i].out == 1 ? tables[i].outside && tables[i].outside[index[i]] : false);
        }
        values[k] = outside ? z->extrapolation : 0;
    }
    uint32_t c = wa__dc_const(r, &t, values);
    wa__free(values);
    return wa__dc2(r, WA_OP_Add, y, c);
}

static void build(wa_rw *r, uint32_t node, const resize *z)
{
    wa_node n = r->g->nodes[node];
    uint32_t x = n.inputs[0];
    wa_dtype type = wa__rw_t(r, x)->dtype;
    table tables[WA_RANK_MAX] = {{0}};
    bool cast = z->mode != NEAREST && !wa__dtype_is_float(type);
    if (cast) x = wa__dc_cast(r, x, WA_F32);
    for (unsigned pass = 0; pass < 2; pass++) /* what shrinks first */
        for (uint32_t i = 0; i < z->rank && r->status == WA_OK; i++) {
            const axis_plan *p = &z->axis[i];
            if (!p->resized || (p->out > p->in) != (pass == 1)) continue;
            if (table_make(r, &n, z, p, &tables[i])) x = along(r, z, x, i, &tables[i]);
        }
    if (r->status == WA_OK) x = extrapolate(r, z, x, tables);
    if (cast) x = wa__dc_cast(r, x, type);
    for (uint32_t i = 0; i < z->rank; i++) table_done(&tables[i]);
    if (r->status == WA_OK) wa__dc_result(r, node, 0, x == n.inputs[0] ? wa__dc1(r, WA_OP_Identity, x) : x);
}

/* --- attributes and sizes --------------------------------------------------------------------------------------- */
/* Constant floats of an input: count 0 when it is omitted or empty. */
static bool floats(wa_rw *r, const wa_node *n, uint32_t input, double *out, uint32_t max, uint32_t *count)
{
    *count = 0;
    if (input >= n->input_count || n->inputs[input] == WA_NONE) return true;
    const wa_value *v = &r->g->values[n->inputs[input]];
    if (wa__count(&v->type) == 0) return true;
    if (v->kind != WA_VALUE_CONST) {
        bad(r, n, WA_DYNAMIC, "an input that decides its result's shape is known only at run time");
        return false;
    }
    if (v->type.rank != 1 || v->type.dims[0] > (int64_t)max || !wa__dtype_is_float(v->type.dtype)) {
        bad(r, n, WA_CORRUPT, "its scales or region are no list of numbers for its axes");
        return false;
    }
    union { const uint8_t *in; void *data; } u = {.in = v->data};
    wa_view view = {v->type, u.data};
    *count = (uint32_t)v->type.dims[0];
    for (uint32_t i = 0; i < *count; i++) out[i] = wa__get_f64(&view, i);
    return true;
}

static bool from_sizes(wa_rw *r, const wa_node *n, uint32_t count, const uint32_t *axes, const int64_t *sizes, resize *z)
{
    static const char *const policies[] = {"stretch", "not_larger", "not_smaller"};
    uint32_t policy = choice(n, "keep_aspect_ratio_policy", policies, 3, 0);
    double common = 0;
    if (policy == 3) bad(r, n, WA_CORRUPT, "its keep_aspect_ratio_policy is not known");
    for (uint32_t i = 0; i < count; i++) {
        double s = (double)sizes[i] / (double)z->axis[axes[i]].in;
        if (sizes[i] < 1 || sizes[i] > 1 << 30) bad(r, n, WA_CORRUPT, "a size is out of range");
        if (i == 0 || (policy == 1 ? s < common : s > common)) common = s;
    }
    if (r->status != WA_OK) return false;
    for (uint32_t i = 0; i < count; i++) {
        axis_plan *p = &z->axis[axes[i]];
        p->out = policy ? (int64_t)floor(common * (double)p->in + 0.5) : sizes[i];
        p->scale = policy ? common : (double)sizes[i] / (double)p->in;
    }
    return true;
}

static bool from_scales(wa_rw *r, const wa_node *n, uint32_t count, const uint32_t *axes, const double *scales, resize *z)
{
    for (uint32_t i = 0; i < count; i++) {
        axis_plan *p = &z->axis[axes[i]];
        double region = z->map == TF_CROP ? p->end - p->start : 1, out = floor((double)((float)p->in * (float)(region * scales[i])));
        if (!(scales[i] > 0) || !(out >= 0 && out < 1e9)) {
            bad(r, n, WA_CORRUPT, "a scale is out of range");
            return false;
        }
        p->out = (int64_t)out;
        p->scale = scales[i];
    }
    return true;
}

static bool choose_modes(wa_rw *r, const wa_node *n, resize *z)
{
    static const char *const maps[] = {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn",
                                       "tf_crop_and_resize"};
    static const char *const nears[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
    static const char *const modes[] = {"nearest", "linear", "cubic", "bilinear"};
    bool upsample = n->op == WA_OP_Upsample;
    uint32_t map = upsample ? ASYMMETRIC : choice(n, "coordinate_transformation_mode", maps, MAPPINGS, HALF_PIXEL);
    uint32_t near = upsample ? FLOOR : choice(n, "nearest_mode", nears, NEARESTS, ROUND_PREFER_FLOOR), how = choice(n, "mode", modes, 4, NEAREST);
    if (map == MAPPINGS || near == NEARESTS || how == 4) {
        bad(r, n, WA_CORRUPT, "its mode, nearest_mode or coordinate_transformation_mode is not known");
        return false;
    }
    z->map = (mapping)map;
    z->near = (nearest)near;
    z->mode = how == 3 ? LINEAR : (mode)how;
    z->antialias = wa__node_int(n, "antialias", 0) != 0;
    z->exclude = wa__node_int(n, "exclude_outside", 0) != 0;
    z->a = (double)wa__node_float(n, "cubic_coeff_a", -0.75f);
    z->extrapolation = (double)wa__node_float(n, "extrapolation_value", 0);
    return true;
}

static bool choose_axes(wa_rw *r, const wa_node *n, uint32_t rank, uint32_t *axes, uint32_t *count)
{
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, "axes");
    bool some = a && a->kind == WA_ATTR_KIND_INTS, fits = !some || a->count <= rank;
    *count = some ? a->count : rank;
    for (uint32_t i = 0; fits && i < *count; i++) {
        int64_t v = some ? a->ints[i] : (int64_t)i;
        if (v < 0) v += rank;
        fits = v >= 0 && v < (int64_t)rank;
        axes[i] = (uint32_t)v;
    }
    if (!fits) bad(r, n, WA_CORRUPT, "its axes are out of range");
    return fits;
}

static bool resize_node(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    wa_tensor_type t = *wa__rw_t(r, n.inputs[0]);
    resize z = {.rank = t.rank};
    uint32_t axes[WA_RANK_MAX], count, scale_count, size_count = 0, roi_count = 0;
    double scales[WA_RANK_MAX], roi[2 * WA_RANK_MAX];
    int64_t sizes[WA_RANK_MAX];
    bool upsample = n.op == WA_OP_Upsample;
    const wa_attr *old = wa__attr_find(n.attrs, n.attr_count, "scales");
    if (!choose_modes(r, &n, &z) || !choose_axes(r, &n, t.rank, axes, &count)) return true;
    for (uint32_t i = 0; i < t.rank; i++) z.axis[i] = (axis_plan){.in = t.dims[i], .out = t.dims[i], .scale = 1, .end = 1};
    /* two inputs: Upsample, or Resize of opset 10, which modernising has given its modes */
    if (!floats(r, &n, n.input_count == 2 && (upsample || n.op == WA_OP_Resize) ? 1 : 2, scales, WA_RANK_MAX, &scale_count)) return true;
    if (n.input_count > 2 && z.map == TF_CROP && !floats(r, &n, 1, roi, 2 * WA_RANK_MAX, &roi_count)) return true;
    if (upsample && old && old->kind == WA_ATTR_KIND_FLOATS && old->count <= WA_RANK_MAX)
        for (scale_count = 0; scale_count < old->count; scale_count++) scales[scale_count] = (double)old->floats[scale_count];
    for (uint32_t i = 0; i < count && roi_count == 2 * count; i++) z.axis[axes[i]].start = roi[i], z.axis[axes[i]].end = roi[count + i];
    if (scale_count == 0 && !wa__dc_ints(r, node, 3, sizes, WA_RANK_MAX, &size_count)) return true;
    if (wa__count(&t) == 0 || (scale_count ? scale_count : size_count) != count) {
        bad(r, &n, WA_CORRUPT, wa__count(&t) ? "its scales or sizes do not have one number for each axis" : "its input is empty");
        return true;
    }
    if (!(scale_count ? from_scales(r, &n, count, axes, scales, &z) : from_sizes(r, &n, count, axes, sizes, &z))) return true;
    for (uint32_t i = 0; i < t.rank; i++) {
        axis_plan *p = &z.axis[i];
        p->resized = p->out != p->in || p->scale != 1 || (z.map == TF_CROP && (p->start != 0 || p->end != 1)) || (z.map == TF_NN && z.near != FLOOR && z.near != ROUND_PREFER_FLOOR);
        if (p->out < 1) {
            bad(r, &n, WA_UNSUPPORTED, "its result is empty");
            return true;
        }
    }
    build(r, node, &z);
    return true;
}

const wa_decompose_row wa__decompose_resize[] = {{WA_OP_Resize, resize_node}, {WA_OP_Upsample, resize_node}, {WA_OP_NONE, NULL}};
