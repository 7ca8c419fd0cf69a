/* Reference kernels of the operators that write elements by index, in the order of the updates: the later
 * one wins. An index out of range is an error that names it and its limit. */
#include "kernels/kernels_int.h"

static wa_status unit_of(const wa_kernel_args *a, const wa_tensor_type *t, size_t *out, wa_error *err)
{
    *out = wa__dtype_size(t->dtype);
    return *out ? WA_OK : wa__kernel_fail(a, err, WA_UNSUPPORTED, "no kernel for 4-bit elements");
}

static double reduce(const wa_str how, double x, double y)
{
    if (wa__str_is(how, "add")) return x + y;
    if (wa__str_is(how, "mul")) return x * y;
    if (wa__str_is(how, "max")) return x > y ? x : y;
    if (wa__str_is(how, "min")) return x < y ? x : y;
    return y;
}

static int64_t reduce_int(const wa_str how, int64_t x, int64_t y, bool plain)
{
    if (wa__str_is(how, "add")) return (int64_t)((uint64_t)x + (uint64_t)y);
    if (wa__str_is(how, "mul")) return (int64_t)((uint64_t)x * (uint64_t)y);
    if (wa__str_is(how, "max")) return (plain ? (uint64_t)x > (uint64_t)y : x > y) ? x : y;
    if (wa__str_is(how, "min")) return (plain ? (uint64_t)x < (uint64_t)y : x < y) ? x : y;
    return y;
}

/* Element `at` of the output takes update `from`. */
static void update(const wa_kernel_args *a, wa_str how, int64_t at, int64_t from)
{
    const wa_view *o = &a->out[0], *u = &a->in[2];
    if (wa__dtype_is_float(o->type.dtype)) wa__set_f64(o, at, reduce(how, wa__get_f64(o, at), wa__get_f64(u, from)));
    else wa__set_i64(o, at, reduce_int(how, wa__get_i64(o, at), wa__get_i64(u, from), o->type.dtype == WA_U64));
}

static wa_status scatter_nd(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type, *index = &a->in[1].type;
    const wa_attr *how = wa__attr_find(a->attrs, a->attr_count, "reduction");
    int64_t depth = index->rank ? index->dims[index->rank - 1] : 0;
    size_t unit;
    WA_TRY(unit_of(a, in, &unit, err));
    WA_TRY(wa__kernel_want(a, 0, in, err));
    if (depth < 1 || depth > in->rank || wa__dtype_is_float(index->dtype)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its indices do not fit the data");
    int64_t inner = wa__dims_product(in, (uint32_t)depth, in->rank), tuples = wa__dims_product(index, 0, index->rank - 1);
    if (a->in[2].type.dtype != in->dtype || wa__count(&a->in[2].type) != tuples * inner) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its updates do not fit the indices");
    memcpy(a->out[0].data, a->in[0].data, (size_t)wa__bytes(in));
    for (int64_t i = 0; i < tuples; i++) {
        int64_t at;
        WA_TRY(wa__kernel_tuple(a, i, depth, 0, &at, err));
        if (!how || wa__str_is(how->s, "none")) {
            memcpy(wa__out_at(&a->out[0], at, unit), wa__bytes_at(&a->in[2], i * inner, unit), (size_t)inner * unit);
            continue;
        }
        for (int64_t k = 0; k < inner; k++) update(a, how->s, at + k, i * inner + k);
    }
    return WA_OK;
}

static wa_status scatter_elements(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type, *index = &a->in[1].type;
    const wa_attr *how = wa__attr_find(a->attrs, a->attr_count, "reduction");
    int64_t strides[WA_RANK_MAX], place[WA_RANK_MAX] = {0}, n = wa__count(index);
    uint32_t axis;
    size_t unit;
    WA_TRY(unit_of(a, in, &unit, err));
    WA_TRY(wa__kernel_want(a, 0, in, err));
    WA_TRY(wa__kernel_axis(a, wa__kernel_int(a, "axis", 0), in->rank, &axis, err));
    wa_tensor_type want = *index;
    want.dtype = in->dtype;
    bool fits = index->rank == in->rank && wa__type_eq(&want, &a->in[2].type) && !wa__dtype_is_float(index->dtype);
    for (uint32_t d = 0; fits && d < in->rank; d++) fits = d == axis || index->dims[d] <= in->dims[d];
    if (!fits) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its indices and updates do not fit the data");
    memcpy(a->out[0].data, a->in[0].data, (size_t)wa__bytes(in));
    wa__strides(in, strides);
    for (int64_t i = 0; i < n; i++, wa__next(place, index->dims, index->rank)) {
        int64_t k = wa__get_i64(&a->in[1], i), at = 0;
        WA_TRY(wa__kernel_index(a, &k, in->dims[axis], err));
        for (uint32_t d = 0; d < in->rank; d++) at += (d == axis ? k : place[d]) * strides[d];
        if (how && !wa__str_is(how->s, "none")) update(a, how->s, at, i);
        else memcpy(wa__out_at(&a->out[0], at, unit), wa__bytes_at(&a->in[2], i, unit), unit);
    }
    return WA_OK;
}

static wa_status tensor_scatter(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type, *u = &a->in[1].type;
    const wa_attr *mode = wa__attr_find(a->attrs, a->attr_count, "mode");
    bool circular = mode && wa__str_is(mode->s, "circular");
    uint32_t axis;
    size_t unit;
    WA_TRY(unit_of(a, in, &unit, err));
    WA_TRY(wa__kernel_want(a, 0, in, err));
    WA_TRY(wa__kernel_axis(a, wa__kernel_int(a, "axis", -2), in->rank, &axis, err));
    bool fits = axis > 0 && u->rank == in->rank && u->dtype == in->dtype;
    for (uint32_t d = 0; fits && d < in->rank; d++) fits = d == axis ? u->dims[d] <= in->dims[d] : u->dims[d] == in->dims[d];
    if (fits && wa__kernel_has(a, 2)) fits = wa__count(&a->in[2].type) == in->dims[0] && !wa__dtype_is_float(a->in[2].type.dtype);
    if (!fits) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its update does not fit the cache");
    memcpy(a->out[0].data, a->in[0].data, (size_t)wa__bytes(in));
    int64_t places = in->dims[axis], steps = u->dims[axis], inner = wa__dims_product(in, axis + 1, in->rank), outer = wa__dims_product(in, 0, axis);
    if (wa__count(u) == 0) return WA_OK;
    for (int64_t o = 0; o < outer; o++) {
        int64_t first = wa__kernel_has(a, 2) ? wa__get_i64(&a->in[2], o / wa__dims_product(in, 1, axis)) : 0;
        if (circular) first = (first % places + places) % places;
        if (first < 0 || (!circular && first > places - steps))
            return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "write index %lld is out of range: the cache has %lld places", (long long)first, (long long)places);
        for (int64_t k = 0; k < steps; k++)
            memcpy(wa__out_at(&a->out[0], (o * places + (first + k) % places) * inner, unit), wa__bytes_at(&a->in[1], (o * steps + k) * inner, unit), (size_t)inner * unit);
    }
    return WA_OK;
}

static wa_status reverse_sequence(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type;
    int64_t batch = wa__kernel_int(a, "batch_axis", 1), time = wa__kernel_int(a, "time_axis", 0);
    size_t unit;
    WA_TRY(unit_of(a, in, &unit, err));
    WA_TRY(wa__kernel_want(a, 0, in, err));
    if (in->rank < 2 || batch < 0 || batch > 1 || time != 1 - batch || wa__count(&a->in[1].type) != in->dims[batch])
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its axes are not 0 and 1, or its lengths not one a batch");
    int64_t inner = wa__dims_product(in, 2, in->rank), step[2] = {in->dims[1] * inner, inner};
    for (int64_t k = 0; k < in->dims[batch]; k++) {
        int64_t n = wa__get_i64(&a->in[1], k);
        if (n < 0 || n > in->dims[time])
            return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "length %lld is out of range: there are %lld steps", (long long)n, (long long)in->dims[time]);
        for (int64_t t = 0; t < in->dims[time]; t++)
            memcpy(wa__out_at(&a->out[0], k * step[batch] + t * step[time], unit),
                   wa__bytes_at(&a->in[0], k * step[batch] + (t < n ? n - 1 - t : t) * step[time], unit), (size_t)inner * unit);
    }
    return WA_OK;
}

const wa_kernel_entry wa__ref_scatter[] = {
    {WA_OP_ScatterND, scatter_nd}, {WA_OP_ScatterElements, scatter_elements}, {WA_OP_Scatter, scatter_elements},
    {WA_OP_TensorScatter, tensor_scatter}, {WA_OP_ReverseSequence, reverse_sequence}, {WA_OP_NONE, NULL},
};
