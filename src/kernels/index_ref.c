/* Reference kernels of the operators that pick or place elements by index. An index out of range is
 * an error that names it and its limit. */
#include "kernels/kernels_int.h"

static wa_status unit_of(const wa_kernel_args *a, const wa_tensor_type *t, size_t *out, wa_error *err)
{
    *out = wa__dtype_size(t->dtype);
    return *out ? WA_OK : wa__kernel_fail(a, err, WA_UNSUPPORTED, "no kernel for 4-bit elements");
}

static int64_t clamp(int64_t v, int64_t low, int64_t high) { return v < low ? low : v > high ? high : v; }

static wa_status slice(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type;
    int64_t starts[WA_RANK_MAX], ends[WA_RANK_MAX], axes[WA_RANK_MAX], steps[WA_RANK_MAX], strides[WA_RANK_MAX], offset = 0;
    uint32_t count, n, axis;
    bool axes_given, steps_given;
    wa_tensor_type t = *in;
    size_t unit;
    WA_TRY(unit_of(a, in, &unit, err));
    WA_TRY(wa__kernel_ints(a, 1, "starts", starts, WA_RANK_MAX, &count, NULL, err));
    WA_TRY(wa__kernel_ints(a, 2, "ends", ends, WA_RANK_MAX, &n, NULL, err));
    if (n != count) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "%u starts but %u ends", count, n);
    WA_TRY(wa__kernel_ints(a, 3, "axes", axes, WA_RANK_MAX, &n, &axes_given, err));
    if (axes_given && n != count) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "%u starts but %u axes", count, n);
    WA_TRY(wa__kernel_ints(a, 4, "steps", steps, WA_RANK_MAX, &n, &steps_given, err));
    if (steps_given && n != count) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "%u starts but %u steps", count, n);
    wa__strides(in, strides);
    bool seen[WA_RANK_MAX] = {0};
    for (uint32_t i = 0; i < count; i++) {
        WA_TRY(wa__kernel_axis(a, axes_given ? axes[i] : i, in->rank, &axis, err));
        int64_t dim = in->dims[axis], step = steps_given ? steps[i] : 1, start = starts[i], end = ends[i];
        if (step == 0 || step == INT64_MIN || seen[axis]) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "a step is 0 or axis %u is named twice", axis);
        seen[axis] = true;
        if (start < 0) start = start < -dim ? -1 : start + dim;
        if (end < 0) end = end < -dim ? -1 : end + dim;
        start = step > 0 ? clamp(start, 0, dim) : clamp(start, -1, dim - 1);
        end = step > 0 ? clamp(end, 0, dim) : clamp(end, -1, dim - 1);
        int64_t span = step > 0 ? end - start : start - end, stride = step > 0 ? step : -step;
        t.dims[axis] = span > 0 ? (span - 1) / stride + 1 : 0;
        if (t.dims[axis] == 0) continue;
        offset += start * strides[axis];
        strides[axis] = t.dims[axis] > 1 ? strides[axis] * step : 0; /* a large step of one element would overflow */
    }
    WA_TRY(wa__kernel_want(a, 0, &t, err));
    if (wa__count(&t)) wa__copy_strided(wa__bytes_at(&a->in[0], offset, unit), a->out[0].data, t.rank, t.dims, strides, unit);
    return WA_OK;
}

static wa_status gather(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type, *index = &a->in[1].type;
    uint32_t axis;
    size_t unit;
    WA_TRY(unit_of(a, in, &unit, err));
    WA_TRY(wa__kernel_axis(a, wa__kernel_int(a, "axis", 0), in->rank, &axis, err));
    if (in->rank - 1 + index->rank > WA_RANK_MAX || wa__dtype_is_float(index->dtype)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its indices have no legal type");
    wa_tensor_type t = {in->dtype, 0, {0}};
    for (uint32_t i = 0; i < axis; i++) t.dims[t.rank++] = in->dims[i];
    for (uint32_t i = 0; i < index->rank; i++) t.dims[t.rank++] = index->dims[i];
    for (uint32_t i = axis + 1; i < in->rank; i++) t.dims[t.rank++] = in->dims[i];
    WA_TRY(wa__kernel_want(a, 0, &t, err));
    int64_t outer = wa__dims_product(in, 0, axis), inner = wa__dims_product(in, axis + 1, in->rank), dim = in->dims[axis], n = wa__count(index);
    int64_t *at = wa__alloc((size_t)n + 1, sizeof *at);
    wa_status s = at ? WA_OK : wa__no_memory(err, "Gather");
    for (int64_t i = 0; i < n && s == WA_OK; i++) {
        at[i] = wa__get_i64(&a->in[1], i);
        s = wa__kernel_index(a, &at[i], dim, err);
    }
    for (int64_t o = 0; s == WA_OK && inner && o < outer; o++) { /* in the order of the result, so that it is written once through */
        const uint8_t *from = wa__bytes_at(&a->in[0], o * dim * inner, unit);
        uint8_t *to = wa__out_at(&a->out[0], o * n * inner, unit);
        size_t bytes = (size_t)inner * unit;
        if (bytes == 4)
            for (int64_t i = 0; i < n; i++) memcpy(to + i * 4, from + at[i] * 4, 4);
        else
            for (int64_t i = 0; i < n; i++) memcpy(to + (size_t)i * bytes, from + (size_t)at[i] * bytes, bytes);
    }
    wa__free(at);
    return s;
}

static wa_status gather_elements(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type, *index = &a->in[1].type;
    uint32_t axis;
    size_t unit;
    int64_t strides[WA_RANK_MAX], at[WA_RANK_MAX] = {0}, n = wa__count(index);
    WA_TRY(unit_of(a, in, &unit, err));
    WA_TRY(wa__kernel_axis(a, wa__kernel_int(a, "axis", 0), in->rank, &axis, err));
    wa_tensor_type t = *index;
    t.dtype = in->dtype;
    WA_TRY(wa__kernel_want(a, 0, &t, err));
    if (index->rank != in->rank || wa__dtype_is_float(index->dtype)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its indices are no integers of rank %u", in->rank);
    for (uint32_t d = 0; d < in->rank; d++)
        if (d != axis && index->dims[d] > in->dims[d]) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its indices pass axis %u", d);
    wa__strides(in, strides);
    for (int64_t i = 0; i < n; i++, wa__next(at, index->dims, index->rank)) {
        int64_t k = wa__get_i64(&a->in[1], i), from = 0;
        WA_TRY(wa__kernel_index(a, &k, in->dims[axis], err));
        for (uint32_t d = 0; d < in->rank; d++) from += (d == axis ? k : at[d]) * strides[d];
        memcpy(wa__out_at(&a->out[0], i, unit), wa__bytes_at(&a->in[0], from, unit), unit);
    }
    return WA_OK;
}

static wa_status gather_nd(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type, *index = &a->in[1].type;
    int64_t batch = wa__kernel_int(a, "batch_dims", 0), depth = index->rank ? index->dims[index->rank - 1] : 0;
    size_t unit;
    WA_TRY(unit_of(a, in, &unit, err));
    if (batch < 0 || depth < 1 || batch >= index->rank || batch + depth > in->rank || wa__dtype_is_float(index->dtype))
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its indices or batch_dims do not fit the data");
    wa_tensor_type t = {in->dtype, 0, {0}};
    if ((int64_t)index->rank - 1 + in->rank - batch - depth > WA_RANK_MAX) return wa__kernel_fail(a, err, WA_UNSUPPORTED, "the result's rank passes %d", WA_RANK_MAX);
    for (uint32_t i = 0; i + 1 < index->rank; i++) {
        if (i < batch && index->dims[i] != in->dims[i]) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "batch axis %u differs", i);
        t.dims[t.rank++] = index->dims[i];
    }
    for (uint32_t i = (uint32_t)(batch + depth); i < in->rank; i++) t.dims[t.rank++] = in->dims[i];
    WA_TRY(wa__kernel_want(a, 0, &t, err));
    int64_t inner = wa__dims_product(in, (uint32_t)(batch + depth), in->rank), slab = wa__dims_product(in, (uint32_t)batch, in->rank);
    int64_t tuples = wa__dims_product(index, 0, index->rank - 1), per_batch = wa__dims_product(index, (uint32_t)batch, index->rank - 1);
    for (int64_t i = 0; i < tuples; i++) {
        int64_t at;
        WA_TRY(wa__kernel_tuple(a, i, depth, (uint32_t)batch, &at, err));
        memcpy(wa__out_at(&a->out[0], i * inner, unit), wa__bytes_at(&a->in[0], i / per_batch * slab + at, unit), (size_t)inner * unit);
    }
    return WA_OK;
}

/* Source index along one axis of a padded result, -1 for the constant. */
static int64_t pad_from(int64_t i, int64_t begin, int64_t dim, char mode)
{
    i -= begin;
    if (i >= 0 && i < dim) return i;
    if (mode == 'c') return -1;
    if (mode == 'e') return i < 0 ? 0 : dim - 1;
    int64_t period = mode == 'w' ? dim : 2 * (dim - 1);
    if (period <= 0) return 0;
    i = (i % period + period) % period;
    return mode == 'w' || i < dim ? i : period - i;
}

static wa_status pad(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type, *o = &a->out[0].type;
    const wa_attr *how = wa__attr_find(a->attrs, a->attr_count, "mode");
    int64_t given[2 * WA_RANK_MAX], begin[WA_RANK_MAX] = {0}, axes[WA_RANK_MAX], strides[WA_RANK_MAX], index[WA_RANK_MAX] = {0};
    uint32_t count, n, axis;
    bool some;
    size_t unit;
    wa_tensor_type t = *in;
    uint8_t fill[8] = {0};
    WA_TRY(unit_of(a, in, &unit, err));
    WA_TRY(wa__kernel_ints(a, 1, "pads", given, 2 * WA_RANK_MAX, &count, NULL, err));
    WA_TRY(wa__kernel_ints(a, 3, NULL, axes, WA_RANK_MAX, &n, &some, err));
    if (count != 2 * (some ? n : in->rank)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "%u pads for %u axes", count, some ? n : in->rank);
    for (uint32_t i = 0; i < count / 2; i++) {
        WA_TRY(wa__kernel_axis(a, some ? axes[i] : i, in->rank, &axis, err));
        begin[axis] = given[i];
        if (!wa__add_i64(t.dims[axis], given[i], &t.dims[axis]) || !wa__add_i64(t.dims[axis], given[i + count / 2], &t.dims[axis]))
            return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "a pad is out of range");
    }
    WA_TRY(wa__kernel_want(a, 0, &t, err));
    char mode = how && how->s.len ? how->s.ptr[0] : 'c';
    if (mode != 'c' && wa__count(in) == 0) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "nothing to repeat in an empty input");
    wa_view value = {{in->dtype, 0, {0}}, fill};
    if (wa__kernel_has(a, 2) && wa__count(&a->in[2].type) == 1 && a->in[2].type.dtype == in->dtype) memcpy(fill, a->in[2].data, unit);
    else wa__set_f64(&value, 0, (double)wa__kernel_float(a, "value", 0.0f));
    wa__strides(in, strides);
    int64_t total = wa__count(o);
    for (int64_t i = 0; i < total; i++, wa__next(index, o->dims, o->rank)) {
        int64_t at = 0;
        for (uint32_t d = 0; d < o->rank && at >= 0; d++) {
            int64_t k = pad_from(index[d], begin[d], in->dims[d], mode);
            at = k < 0 ? -1 : at + k * strides[d];
        }
        memcpy(wa__out_at(&a->out[0], i, unit), at < 0 ? fill : wa__bytes_at(&a->in[0], at, unit), unit);
    }
    return WA_OK;
}

static wa_status trilu(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type;
    int64_t k = 0;
    uint32_t count;
    size_t unit;
    WA_TRY(unit_of(a, in, &unit, err));
    WA_TRY(wa__kernel_want(a, 0, in, err));
    WA_TRY(wa__kernel_ints(a, 1, NULL, &k, 1, &count, NULL, err));
    if (in->rank < 2) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its input must be a matrix");
    if (k > WA_RANK_MAX + ((int64_t)1 << 41)) k = (int64_t)1 << 41;
    if (k < -((int64_t)1 << 41)) k = -((int64_t)1 << 41);
    int64_t rows = in->dims[in->rank - 2], cols = in->dims[in->rank - 1], n = wa__count(in);
    bool upper = wa__kernel_int(a, "upper", 1) != 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t r = i / cols % rows, c = i % cols;
        bool keep = upper ? c - r >= k : c - r <= k;
        if (keep) memcpy(wa__out_at(&a->out[0], i, unit), wa__bytes_at(&a->in[0], i, unit), unit);
        else memset(wa__out_at(&a->out[0], i, unit), 0, unit);
    }
    return WA_OK;
}

static wa_status cum_sum(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type;
    int64_t axis_number = 0;
    uint32_t count, axis;
    WA_TRY(wa__kernel_want(a, 0, in, err));
    WA_TRY(wa__kernel_ints(a, 1, NULL, &axis_number, 1, &count, NULL, err));
    WA_TRY(wa__kernel_axis(a, axis_number, in->rank, &axis, err));
    bool exclusive = wa__kernel_int(a, "exclusive", 0) != 0, reverse = wa__kernel_int(a, "reverse", 0) != 0, real = wa__dtype_is_float(in->dtype);
    int64_t outer = wa__dims_product(in, 0, axis), inner = wa__dims_product(in, axis + 1, in->rank), dim = in->dims[axis];
    bool product = a->op == WA_OP_CumProd;
    for (int64_t i = 0; i < outer * inner; i++) {
        double sum = product ? 1 : 0;
        uint64_t whole = product ? 1 : 0;
        for (int64_t k = 0; k < dim; k++) {
            int64_t at = (i / inner * dim + (reverse ? dim - 1 - k : k)) * inner + i % inner;
            double before = sum;
            uint64_t whole_before = whole;
            double x = real ? wa__get_f64(&a->in[0], at) : 0;
            uint64_t n = real ? 0 : (uint64_t)wa__get_i64(&a->in[0], at);
            sum = product ? sum * x : sum + x;
            whole = product ? whole * n : whole + n;
            if (real) wa__set_f64(&a->out[0], at, exclusive ? before : sum);
            else wa__set_i64(&a->out[0], at, (int64_t)(exclusive ? whole_before : whole));
        }
    }
    return WA_OK;
}

static wa_status one_hot(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *index = &a->in[0].type;
    uint32_t axis;
    size_t unit;
    WA_TRY(unit_of(a, &a->in[2].type, &unit, err));
    if (wa__count(&a->in[1].type) != 1 || wa__count(&a->in[2].type) != 2 || index->rank >= WA_RANK_MAX)
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "depth must be one number and values two");
    int64_t depth = wa__get_i64(&a->in[1], 0), n = wa__count(index);
    WA_TRY(wa__kernel_axis(a, wa__kernel_int(a, "axis", -1), index->rank + 1, &axis, err));
    wa_tensor_type t = {a->in[2].type.dtype, index->rank + 1, {0}};
    for (uint32_t i = 0, k = 0; i < t.rank; i++) t.dims[i] = i == axis ? depth : index->dims[k++];
    WA_TRY(wa__kernel_want(a, 0, &t, err));
    int64_t inner = wa__dims_product(index, axis, index->rank);
    for (int64_t i = 0; i < n; i++) {
        int64_t hot = wa__get_i64(&a->in[0], i); /* out of [-depth, depth): all off, as the standard says */
        if (hot < 0) hot += depth;
        for (int64_t k = 0; k < depth; k++)
            memcpy(wa__out_at(&a->out[0], (i / inner * depth + k) * inner + i % inner, unit), wa__bytes_at(&a->in[2], k == hot, unit), unit);
    }
    return WA_OK;
}

const wa_kernel_entry wa__ref_index[] = {
    {WA_OP_Slice, slice}, {WA_OP_Gather, gather}, {WA_OP_GatherElements, gather_elements}, {WA_OP_GatherND, gather_nd},
    {WA_OP_Pad, pad}, {WA_OP_Trilu, trilu}, {WA_OP_CumSum, cum_sum}, {WA_OP_CumProd, cum_sum}, {WA_OP_OneHot, one_hot}, {WA_OP_NONE, NULL},
};
