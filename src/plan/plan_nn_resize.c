/* WebNN row: Resize and Upsample. WebNN's own method knows two modes on images; here every mode, axis and
 * coordinate rule is a product with a matrix of weights, one an axis, made at plan time. */
#include "plan/plan_nn_int.h"
#include <math.h>

typedef struct resize {
    bool nearest, cubic, exclude, antialias, crop;
    wa_str coordinates, rounding;
    double cubic_a;
} resize;

typedef struct line { /* one axis */
    int64_t in, out;
    double scale, start, end; /* start, end: of the region, tf_crop_and_resize */
} line;

static double source(const resize *r, const line *l, int64_t at)
{
    double x = (double)at, in = (double)l->in, out = (double)l->out;
    if (wa__str_is(r->coordinates, "asymmetric")) return x / l->scale;
    if (wa__str_is(r->coordinates, "align_corners")) return l->out == 1 ? 0 : x * (in - 1) / (out - 1);
    if (wa__str_is(r->coordinates, "pytorch_half_pixel")) return l->out == 1 ? 0 : (x + 0.5) / l->scale - 0.5;
    if (r->crop) return l->out == 1 ? 0.5 * (l->start + l->end) * (in - 1) : l->start * (in - 1) + x * (l->end - l->start) * (in - 1) / (out - 1);
    if (wa__str_is(r->coordinates, "half_pixel_symmetric")) return in / 2 * (1 - out / (l->scale * in)) + (x + 0.5) / l->scale - 0.5;
    return (x + 0.5) / l->scale - 0.5;
}

static double cubic(double x, double a)
{
    x = fabs(x);
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

static double nearest(const resize *r, double x)
{
    if (wa__str_is(r->rounding, "floor")) return floor(x);
    if (wa__str_is(r->rounding, "ceil")) return ceil(x);
    if (wa__str_is(r->rounding, "round_prefer_ceil")) return floor(x + 0.5);
    return ceil(x - 0.5);
}

/* One row of weights; elements outside stand for the nearest inside, or for nothing with exclude. */
static void weigh(const resize *r, const line *l, double x, float *row)
{
    double shrink = r->antialias && l->scale < 1 ? l->scale : 1, reach = (r->cubic ? 2 : 1) / shrink, sum = 0;
    if (r->nearest) {
        double k = nearest(r, x);
        row[k < 0 ? 0 : k > (double)(l->in - 1) ? l->in - 1 : (int64_t)k] = 1;
        return;
    }
    for (int pass = 0; pass < 2; pass++) {
        for (double i = ceil(x - reach); i <= floor(x + reach); i++) {
            double arg = (i - x) * shrink, w = r->cubic ? cubic(arg, r->cubic_a) : fabs(arg) < 1 ? 1 - fabs(arg) : 0;
            bool outside = i < 0 || i > (double)(l->in - 1);
            if (outside && r->exclude) continue;
            if (pass == 0) sum += w;
            else row[i < 0 ? 0 : outside ? l->in - 1 : (int64_t)i] += (float)(w / (sum != 0 ? sum : 1));
        }
    }
}

static wa_nn along(wa_plan_builder *b, const resize *r, const line *l, wa_nn x, uint32_t axis, double fill)
{
    wa_tensor_type t = wa__nn_type(b, x), m = {WA_F32, 2, {l->out, l->in}}, v = {WA_F32, 2, {l->out, 1}};
    if (wa__nn_off(b)) return WA_NONE;
    if (l->out * l->in > 1 << 22) wa__nn_refuse(b, "a resize of %lld to %lld elements", (long long)l->in, (long long)l->out);
    float *w = wa__nn_off(b) ? NULL : wa__alloc((size_t)(l->out * l->in + l->out), sizeof *w), *extra = w ? w + l->out * l->in : NULL;
    bool outside = false;
    if (!w) {
        wa__nn_refuse(b, "no memory for the weights of a resize");
        return WA_NONE;
    }
    for (int64_t i = 0; i < l->out; i++) {
        double at = source(r, l, i);
        if (r->crop && (at < 0 || at > (double)(l->in - 1))) {
            extra[i] = (float)fill;
            outside = true;
        } else {
            weigh(r, l, at, w + i * l->in);
        }
    }
    int64_t dims[3] = {1, l->in, 1};
    for (uint32_t i = 0; i < t.rank; i++) dims[i < axis ? 0 : i == axis ? 1 : 2] *= i == axis ? 1 : t.dims[i];
    wa_nn y = wa__nn_matmul(b, wa__nn_data(b, &m, w), wa__nn_reshape(b, x, 3, dims));
    if (outside) y = wa__nn_bin(b, WA_NN_add, y, wa__nn_data(b, &v, extra));
    t.dims[axis] = l->out;
    y = wa__nn_like(b, y, &t);
    wa__free(w);
    return y;
}

static wa_str word(const wa_node *n, const char *name, const char *fallback)
{
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, name);
    return a && a->kind == WA_ATTR_KIND_STRING ? a->s : wa__str(fallback);
}

/* count numbers of a constant float input; false when it is not there. */
static bool numbers(const wa_plan_builder *b, const wa_node *n, uint32_t i, double *out, uint32_t *count)
{
    if (!wa__nn_has(n, i)) return false;
    const wa_value *v = &b->g->values[n->inputs[i]];
    if (v->kind != WA_VALUE_CONST || !wa__dtype_is_float(v->type.dtype) || wa__count(&v->type) == 0 || wa__count(&v->type) > 2 * WA_RANK_MAX) return false;
    wa_view view = {v->type, (void *)(uintptr_t)v->data};
    *count = (uint32_t)wa__count(&v->type);
    for (uint32_t k = 0; k < *count; k++) out[k] = wa__get_f64(&view, k);
    return true;
}

void wa__nn_resize(wa_plan_builder *b, const wa_node *n)
{
    bool up = n->op == WA_OP_Upsample;
    wa_str mode = word(n, "mode", "nearest");
    resize r = {.nearest = wa__str_is(mode, "nearest"), .cubic = wa__str_is(mode, "cubic"), .exclude = wa__node_int(n, "exclude_outside", 0) != 0,
                .antialias = wa__node_int(n, "antialias", 0) != 0, .coordinates = word(n, "coordinate_transformation_mode", up ? "asymmetric" : "half_pixel"),
                .rounding = word(n, "nearest_mode", up ? "floor" : "round_prefer_floor"), .cubic_a = (double)wa__node_float(n, "cubic_coeff_a", -0.75f)};
    const wa_tensor_type *t = wa__nn_of(b, n->inputs[0]), *o = wa__nn_of(b, n->outputs[0]);
    const wa_attr *list = wa__attr_find(n->attrs, n->attr_count, "axes");
    wa_str policy = word(n, "keep_aspect_ratio_policy", "stretch");
    double scales[2 * WA_RANK_MAX], roi[2 * WA_RANK_MAX], keep = 0, fill = (double)wa__node_float(n, "extrapolation_value", 0);
    uint32_t count = 0, roi_count = 0, axes = list ? list->count : t->rank;
    r.crop = wa__str_is(r.coordinates, "tf_crop_and_resize");
    bool scaled = numbers(b, n, up ? 1 : 2, scales, &count) && count == axes, region = numbers(b, n, 1, roi, &roi_count) && roi_count == 2 * axes;
    if (r.crop && !region) wa__nn_refuse(b, "a resize to a region that is not constant");
    if (axes > t->rank || t->rank != o->rank) wa__nn_refuse(b, "its axes do not fit");
    wa_nn x = wa__nn_input(b, n, 0);
    if (wa__nn_off(b)) return;
    wa_dtype own = wa__nn_type(b, x).dtype;
    if (own != WA_F32 && own != WA_I8 && own != WA_U8) wa__nn_refuse(b, "numbers this wide are not exact in WebNN's floats");
    x = wa__nn_cast(b, x, WA_F32);
    int64_t sizes[2 * WA_RANK_MAX];
    uint32_t size_count = 0;
    if (!scaled && wa__nn_has(n, 3) && !wa__graph_const_ints(b->g, n->inputs[3], sizes, 2 * WA_RANK_MAX, &size_count)) size_count = 0;
    for (uint32_t i = 0; i < axes && size_count == axes && !wa__str_is(policy, "stretch"); i++) {
        uint32_t axis;
        if (!wa__nn_axis(b, list ? list->ints[i] : (int64_t)i, t->rank, &axis)) return;
        double s = (double)sizes[i] / (double)t->dims[axis];
        bool larger = wa__str_is(policy, "not_smaller");
        if (keep == 0 || (larger ? s > keep : s < keep)) keep = s;
    }
    for (uint32_t i = 0; i < axes; i++) {
        uint32_t axis;
        if (!wa__nn_axis(b, list ? list->ints[i] : (int64_t)i, t->rank, &axis)) return;
        line l = {t->dims[axis], o->dims[axis], scaled ? scales[i] : keep > 0 ? keep : (double)o->dims[axis] / (double)t->dims[axis], region ? roi[i] : 0, region ? roi[i + axes] : 1};
        if (l.in == l.out && l.scale == 1 && !(r.crop && (l.start != 0 || l.end != 1))) continue;
        x = along(b, &r, &l, x, axis, fill);
    }
    if (own != WA_F32) x = wa__nn_cast(b, r.nearest ? x : wa__nn_un(b, WA_NN_roundEven, x), WA_I32);
    wa__nn_output(b, n, 0, x);
}
