/* Reference kernels of the operators that order and select, and of square matrices. Equal elements keep
 * their order; NaN is above all and equal to itself, as NumPy sorts. What has as many results as its data
 * has writes outputs of exactly that size; the *Bounded forms fill the rest with 0 and count. */
#include "kernels/kernels_int.h"
#include <math.h>

static wa_status unit_of(const wa_kernel_args *a, const wa_tensor_type *t, size_t *out, wa_error *err)
{
    *out = wa__dtype_size(t->dtype);
    return *out ? WA_OK : wa__kernel_fail(a, err, WA_UNSUPPORTED, "no kernel for 4-bit elements");
}

/* Sizes before, at and after the axis; without the attribute, where that is allowed: 1, all, 1. */
static wa_status axis_sizes(const wa_kernel_args *a, bool optional, int64_t fallback, int64_t out[3], uint32_t *axis, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type;
    *axis = 0;
    out[0] = out[2] = 1;
    out[1] = wa__count(in);
    if (optional && !wa__attr_find(a->attrs, a->attr_count, "axis")) return WA_OK;
    WA_TRY(wa__kernel_axis(a, wa__kernel_int(a, "axis", fallback), in->rank, axis, err));
    out[0] = wa__dims_product(in, 0, *axis);
    out[1] = in->dims[*axis];
    out[2] = wa__dims_product(in, *axis + 1, in->rank);
    return WA_OK;
}

static int compare(const wa_view *v, int64_t i, int64_t j)
{
    if (wa__dtype_is_float(v->type.dtype)) {
        double x = wa__get_f64(v, i), y = wa__get_f64(v, j);
        if (isnan(x) || isnan(y)) return (isnan(x) != 0) - (isnan(y) != 0);
        return (x > y) - (x < y);
    }
    int64_t x = wa__get_i64(v, i), y = wa__get_i64(v, j);
    if (v->type.dtype == WA_U64) return ((uint64_t)x > (uint64_t)y) - ((uint64_t)x < (uint64_t)y);
    return (x > y) - (x < y);
}

static void zero_from(const wa_view *v, int64_t first)
{
    for (int64_t i = first; i < wa__count(&v->type); i++) wa__set_i64(v, i, 0);
}

static wa_status counted(const wa_kernel_args *a, uint32_t output, int64_t found, wa_error *err)
{
    WA_TRY(wa__kernel_want(a, output, &(wa_tensor_type){WA_I64, 1, {1}}, err));
    wa__set_i64(&a->out[output], 0, found);
    return WA_OK;
}

/* --- top k ----------------------------------------------------------------------------------------- */
static wa_status top_k(const wa_kernel_args *a, wa_error *err)
{
    const wa_view *x = &a->in[0];
    int64_t size[3], k = 1;
    uint32_t axis, count = 1;
    size_t unit;
    WA_TRY(unit_of(a, &x->type, &unit, err));
    WA_TRY(axis_sizes(a, false, -1, size, &axis, err));
    WA_TRY(wa__kernel_ints(a, 1, NULL, &k, 1, &count, NULL, err));
    if (!wa__kernel_has(a, 1)) k = wa__kernel_int(a, "k", 1);
    if (k < 0 || k > size[1]) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "k %lld: the axis has %lld elements", (long long)k, (long long)size[1]);
    wa_tensor_type t = x->type;
    t.dims[axis] = k;
    WA_TRY(wa__kernel_want(a, 0, &t, err));
    t.dtype = WA_I64;
    WA_TRY(wa__kernel_want(a, 1, &t, err));
    int sign = wa__kernel_int(a, "largest", 1) ? 1 : -1;
    int64_t *best = wa__alloc((size_t)k + 1, sizeof *best);
    if (!best) return wa__no_memory(err, "top k");
    for (int64_t line = 0; line < size[0] * size[2]; line++) {
        int64_t base = line / size[2] * size[1] * size[2] + line % size[2], kept = 0;
        for (int64_t i = 0; i < size[1]; i++) {
            int64_t low = 0, high = kept;
            while (low < high) { /* after all that are no worse */
                int64_t mid = (low + high) / 2;
                if (sign * compare(x, base + best[mid] * size[2], base + i * size[2]) >= 0) low = mid + 1;
                else high = mid;
            }
            if (low == k) continue;
            if (kept < k) kept++;
            memmove(best + low + 1, best + low, (size_t)(kept - 1 - low) * sizeof *best);
            best[low] = i;
        }
        for (int64_t i = 0; i < k; i++) {
            int64_t to = (line / size[2] * k + i) * size[2] + line % size[2];
            memcpy(wa__out_at(&a->out[0], to, unit), wa__bytes_at(x, base + best[i] * size[2], unit), unit);
            wa__set_i64(&a->out[1], to, best[i]);
        }
    }
    wa__free(best);
    return WA_OK;
}

/* --- non zero, compress ------------------------------------------------------------------------------ */
static wa_status non_zero(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type;
    bool bounded = a->op == WA_OP_NonZeroBounded;
    int64_t n = wa__count(in), found = 0, index[WA_RANK_MAX] = {0};
    uint32_t rows = in->rank ? in->rank : 1;
    for (int64_t i = 0; i < n; i++) found += wa__get_f64(&a->in[0], i) != 0;
    int64_t room = bounded ? n : found;
    WA_TRY(wa__kernel_want(a, 0, &(wa_tensor_type){WA_I64, 2, {rows, room}}, err));
    zero_from(&a->out[0], 0);
    for (int64_t i = 0, k = 0; i < n; i++, wa__next(index, in->dims, in->rank)) {
        if (wa__get_f64(&a->in[0], i) == 0) continue;
        for (uint32_t d = 0; d < rows; d++) wa__set_i64(&a->out[0], d * room + k, index[d]);
        k++;
    }
    return bounded ? counted(a, 1, found, err) : WA_OK;
}

static wa_status compress(const wa_kernel_args *a, wa_error *err)
{
    const wa_view *when = &a->in[1];
    bool bounded = a->op == WA_OP_CompressBounded;
    int64_t size[3], asked = wa__count(&when->type), found = 0;
    uint32_t axis;
    size_t unit;
    WA_TRY(unit_of(a, &a->in[0].type, &unit, err));
    WA_TRY(axis_sizes(a, true, 0, size, &axis, err));
    if (asked > size[1]) asked = size[1];
    for (int64_t k = 0; k < asked; k++) found += wa__get_i64(when, k) != 0;
    bool flat = !wa__attr_find(a->attrs, a->attr_count, "axis");
    wa_tensor_type t = flat ? (wa_tensor_type){a->in[0].type.dtype, 1, {0}} : a->in[0].type;
    int64_t room = t.dims[axis] = bounded ? size[1] : found;
    WA_TRY(wa__kernel_want(a, 0, &t, err));
    zero_from(&a->out[0], 0);
    for (int64_t k = 0, to = 0; k < asked; k++) {
        if (!wa__get_i64(when, k)) continue;
        for (int64_t o = 0; o < size[0] && size[2]; o++)
            memcpy(wa__out_at(&a->out[0], (o * room + to) * size[2], unit), wa__bytes_at(&a->in[0], (o * size[1] + k) * size[2], unit), (size_t)size[2] * unit);
        to++;
    }
    return bounded ? counted(a, 1, found, err) : WA_OK;
}

/* --- unique ------------------------------------------------------------------------------------------ */
typedef struct slices {
    const wa_view *x;
    int64_t outer, n, inner;
    int64_t *sorted, *first, *rank, *counts; /* n each: firsts by value; of each slice its first equal; of each first its place; */
    int64_t found;
} slices;

static int order(const slices *s, int64_t a, int64_t b)
{
    for (int64_t o = 0; o < s->outer; o++)
        for (int64_t k = 0; k < s->inner; k++) {
            int c = compare(s->x, (o * s->n + a) * s->inner + k, (o * s->n + b) * s->inner + k);
            if (c) return c;
        }
    return 0;
}

static void find_unique(slices *s, bool by_value)
{
    for (int64_t i = 0; i < s->n; i++) {
        int64_t low = 0, high = s->found, equal = -1;
        while (low < high && equal < 0) {
            int64_t mid = (low + high) / 2;
            int c = order(s, s->sorted[mid], i);
            if (c == 0) equal = s->sorted[mid];
            else if (c < 0) low = mid + 1;
            else high = mid;
        }
        s->first[i] = equal < 0 ? i : equal;
        if (equal >= 0) continue;
        memmove(s->sorted + low + 1, s->sorted + low, (size_t)(s->found - low) * sizeof *s->sorted);
        s->sorted[low] = i;
        s->found++;
    }
    if (!by_value)
        for (int64_t i = 0, k = 0; i < s->n; i++)
            if (s->first[i] == i) s->sorted[k++] = i;
    for (int64_t k = 0; k < s->found; k++) s->rank[s->sorted[k]] = k;
    for (int64_t i = 0; i < s->n; i++) s->counts[s->rank[s->first[i]]]++;
}

static wa_status write_unique(const wa_kernel_args *a, const slices *s, uint32_t axis, size_t unit, wa_error *err)
{
    bool bounded = a->op == WA_OP_UniqueBounded, flat = !wa__attr_find(a->attrs, a->attr_count, "axis");
    int64_t room = bounded ? s->n : s->found;
    wa_tensor_type t = flat ? (wa_tensor_type){s->x->type.dtype, 1, {0}} : s->x->type;
    t.dims[axis] = room;
    WA_TRY(wa__kernel_want(a, 0, &t, err));
    zero_from(&a->out[0], 0);
    for (int64_t o = 0; o < s->outer && s->inner; o++)
        for (int64_t k = 0; k < s->found; k++)
            memcpy(wa__out_at(&a->out[0], (o * room + k) * s->inner, unit), wa__bytes_at(s->x, (o * s->n + s->sorted[k]) * s->inner, unit), (size_t)s->inner * unit);
    for (uint32_t i = 1; i < a->out_count && i < 4; i++) {
        const wa_view *v = &a->out[i];
        if (v->type.dtype == WA_DTYPE_NONE) continue;
        WA_TRY(wa__kernel_want(a, i, &(wa_tensor_type){WA_I64, 1, {i == 2 ? s->n : room}}, err));
        zero_from(v, 0);
        for (int64_t k = 0; k < (i == 2 ? s->n : s->found); k++) wa__set_i64(v, k, i == 1 ? s->sorted[k] : i == 2 ? s->rank[s->first[k]] : s->counts[k]);
    }
    return bounded ? counted(a, 4, s->found, err) : WA_OK;
}

static wa_status unique(const wa_kernel_args *a, wa_error *err)
{
    int64_t size[3];
    uint32_t axis;
    size_t unit;
    WA_TRY(unit_of(a, &a->in[0].type, &unit, err));
    WA_TRY(axis_sizes(a, true, 0, size, &axis, err));
    slices s = {.x = &a->in[0], .outer = size[0], .n = size[1], .inner = size[2]};
    size_t n = (size_t)s.n + 1;
    int64_t *memory = wa__alloc(n, 4 * sizeof *memory);
    if (!memory) return wa__no_memory(err, "unique");
    s.sorted = memory;
    s.first = memory + n;
    s.rank = memory + 2 * n;
    s.counts = memory + 3 * n;
    find_unique(&s, wa__kernel_int(a, "sorted", 1) != 0);
    wa_status status = write_unique(a, &s, axis, unit, err);
    wa__free(memory);
    return status;
}

/* --- non-maximum suppression --------------------------------------------------------------------------- */
typedef struct box {
    float x0, y0, x1, y1;
} box;

static box box_of(const wa_view *v, int64_t i, bool centre)
{
    float b[4];
    for (int64_t k = 0; k < 4; k++) b[k] = (float)wa__get_f64(v, i * 4 + k);
    if (centre) return (box){b[0] - b[2] / 2, b[1] - b[3] / 2, b[0] + b[2] / 2, b[1] + b[3] / 2};
    return (box){fminf(b[0], b[2]), fminf(b[1], b[3]), fmaxf(b[0], b[2]), fmaxf(b[1], b[3])};
}

static bool covers(box a, box b, float limit)
{
    float w = fmaxf(fminf(a.x1, b.x1) - fmaxf(a.x0, b.x0), 0), h = fmaxf(fminf(a.y1, b.y1) - fmaxf(a.y0, b.y0), 0), both = w * h;
    float all = (a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - both;
    return all > 0 && both / all > limit;
}

/* Boxes kept of one batch and class, best first, into kept; returns how many. */
static int64_t suppress(const wa_kernel_args *a, int64_t batch, int64_t list, int64_t most, uint8_t *gone, int64_t *kept)
{
    const wa_view *boxes = &a->in[0], *scores = &a->in[1];
    bool centre = wa__kernel_int(a, "center_point_box", 0) != 0, floor = wa__kernel_has(a, 4);
    float limit = wa__kernel_has(a, 3) ? (float)wa__get_f64(&a->in[3], 0) : 0, low = floor ? (float)wa__get_f64(&a->in[4], 0) : 0;
    int64_t n = boxes->type.dims[1], count = 0;
    for (int64_t i = 0; i < n; i++) gone[i] = floor && !(wa__get_f64(scores, list * n + i) > (double)low);
    while (count < most) {
        int64_t best = -1;
        for (int64_t i = 0; i < n; i++)
            if (!gone[i] && (best < 0 || compare(scores, list * n + i, list * n + best) > 0)) best = i;
        if (best < 0) break;
        gone[best] = 1;
        bool hidden = false;
        for (int64_t k = 0; k < count && !hidden; k++)
            hidden = covers(box_of(boxes, batch * n + best, centre), box_of(boxes, batch * n + kept[k], centre), limit);
        if (!hidden) kept[count++] = best;
    }
    return count;
}

static wa_status non_max_suppression(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *boxes = &a->in[0].type, *scores = &a->in[1].type;
    bool bounded = a->op == WA_OP_NonMaxSuppressionBounded;
    int64_t most = 0;
    uint32_t count;
    if (boxes->rank != 3 || scores->rank != 3 || boxes->dims[2] != 4 || boxes->dims[0] != scores->dims[0] || boxes->dims[1] != scores->dims[2])
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its boxes and scores do not fit together");
    for (uint32_t i = 3; i < 5; i++)
        if (wa__kernel_has(a, i) && wa__count(&a->in[i].type) != 1) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "a threshold is no number");
    WA_TRY(wa__kernel_ints(a, 2, NULL, &most, 1, &count, NULL, err));
    if (most > boxes->dims[1]) most = boxes->dims[1];
    if (most < 0) most = 0;
    const wa_view *o = &a->out[0];
    int64_t lists = scores->dims[0] * scores->dims[1], found = 0, room = o->type.rank == 2 && o->type.dims[1] == 3 && o->type.dtype == WA_I64 ? o->type.dims[0] : -1;
    if (bounded ? room != lists * most : room < 0) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its output has no room for three indices a box");
    uint8_t *gone = wa__alloc((size_t)boxes->dims[1] + 1, 1);
    int64_t *kept = wa__alloc((size_t)most + 1, sizeof *kept);
    wa_status s = gone && kept ? WA_OK : wa__no_memory(err, "non-maximum suppression");
    for (int64_t list = 0; s == WA_OK && list < lists; list++) {
        int64_t n = suppress(a, list / scores->dims[1], list, most, gone, kept);
        for (int64_t k = 0; k < n && found + k < room; k++) {
            wa__set_i64(o, (found + k) * 3, list / scores->dims[1]);
            wa__set_i64(o, (found + k) * 3 + 1, list % scores->dims[1]);
            wa__set_i64(o, (found + k) * 3 + 2, kept[k]);
        }
        found += n;
    }
    wa__free(gone);
    wa__free(kept);
    WA_TRY(s);
    zero_from(o, found * 3);
    if (bounded) return counted(a, 1, found, err);
    return found == room ? WA_OK : wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "it finds %lld boxes, its output has room for %lld", (long long)found, (long long)room);
}

/* --- matrices ------------------------------------------------------------------------------------------ */
static wa_status eye_like(const wa_kernel_args *a, wa_error *err)
{
    const wa_view *o = &a->out[0];
    wa_tensor_type t = a->in[0].type;
    int64_t k = wa__kernel_int(a, "k", 0);
    t.dtype = o->type.dtype;
    if (t.rank != 2 || wa__kernel_int(a, "dtype", a->in[0].type.dtype) != (int64_t)o->type.dtype)
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its input is no matrix, or its output has another type");
    WA_TRY(wa__kernel_want(a, 0, &t, err));
    for (int64_t i = 0; i < wa__count(&t); i++) wa__set_i64(o, i, i % t.dims[1] - i / t.dims[1] == k);
    return WA_OK;
}

/* Elimination with the largest pivot of each column; beside m, its inverse where that is asked for. */
static double eliminate(double *m, double *inverse, int64_t n)
{
    double det = 1;
    for (int64_t c = 0; c < n; c++) {
        int64_t r = c;
        for (int64_t k = c + 1; k < n; k++)
            if (fabs(m[k * n + c]) > fabs(m[r * n + c])) r = k;
        double d = m[r * n + c];
        det *= r == c ? d : -d;
        if (d == 0 && !inverse) return 0;
        for (int64_t j = 0; j < n; j++) {
            double t = m[c * n + j];
            m[c * n + j] = m[r * n + j] / (inverse ? d : 1);
            if (r != c) m[r * n + j] = t;
            if (!inverse) continue;
            t = inverse[c * n + j];
            inverse[c * n + j] = inverse[r * n + j] / d;
            if (r != c) inverse[r * n + j] = t;
        }
        for (int64_t k = inverse ? 0 : c + 1; k < n; k++) {
            double f = k == c ? 0 : m[k * n + c] / m[c * n + c];
            for (int64_t j = 0; k != c && j < n; j++) {
                m[k * n + j] -= f * m[c * n + j];
                if (inverse) inverse[k * n + j] -= f * inverse[c * n + j];
            }
        }
    }
    return det;
}

static wa_status square(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type;
    if (in->rank < 2 || in->dims[in->rank - 1] != in->dims[in->rank - 2] || !wa__dtype_is_float(in->dtype))
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its input holds no square matrices of floats");
    wa_tensor_type t = *in;
    bool inverse = a->op == WA_OP_Inverse;
    if (!inverse) t.rank -= 2;
    WA_TRY(wa__kernel_want(a, 0, &t, err));
    int64_t n = in->dims[in->rank - 1], matrices = wa__dims_product(in, 0, in->rank - 2);
    if (n > 4096) return wa__kernel_fail(a, err, WA_LIMIT, "a matrix of order %lld is too large", (long long)n);
    double *m = wa__alloc((size_t)(n * n) + 1, 2 * sizeof *m), *other = m ? m + n * n + 1 : NULL;
    if (!m) return wa__no_memory(err, "a matrix");
    for (int64_t i = 0; i < matrices; i++) {
        for (int64_t k = 0; k < n * n; k++) m[k] = wa__get_f64(&a->in[0], i * n * n + k), other[k] = k / n == k % n;
        double det = eliminate(m, inverse ? other : NULL, n);
        for (int64_t k = 0; inverse && k < n * n; k++) wa__set_f64(&a->out[0], i * n * n + k, other[k]);
        if (!inverse) wa__set_f64(&a->out[0], i, det);
    }
    wa__free(m);
    return WA_OK;
}

const wa_kernel_entry wa__ref_select[] = {
    {WA_OP_TopK, top_k}, {WA_OP_NonZero, non_zero}, {WA_OP_NonZeroBounded, non_zero}, {WA_OP_Compress, compress}, {WA_OP_CompressBounded, compress},
    {WA_OP_Unique, unique}, {WA_OP_UniqueBounded, unique}, {WA_OP_NonMaxSuppression, non_max_suppression},
    {WA_OP_NonMaxSuppressionBounded, non_max_suppression}, {WA_OP_EyeLike, eye_like}, {WA_OP_Det, square}, {WA_OP_Inverse, square}, {WA_OP_NONE, NULL},
};
