/* Reference kernels of the operators that make, move or view data: the oracle of the fast ones, and
 * what constant folding computes with. */
#include "kernels/kernels_int.h"

static wa_status unit_of(const wa_kernel_args *a, const wa_tensor_type *t, size_t *out, wa_error *err)
{
    *out = wa__dtype_size(t->dtype);
    if (*out) return WA_OK;
    return wa__kernel_fail(a, err, WA_UNSUPPORTED, "no kernel for %s", wa__dtype_info(t->dtype)->name ? wa__dtype_info(t->dtype)->name : "this type");
}

/* Identity, Reshape, Flatten, Squeeze, Unsqueeze, Dropout at inference: the bytes stay. */
static wa_status copy(const wa_kernel_args *a, wa_error *err)
{
    WA_TRY(wa__kernel_want_same(a, err));
    size_t n = (size_t)wa__bytes(&a->in[0].type);
    if (n) memcpy(a->out[0].data, a->in[0].data, n);
    if (a->op == WA_OP_Dropout && a->out_count > 1 && a->out[1].type.dtype != WA_DTYPE_NONE) {
        wa_tensor_type mask = a->in[0].type;
        mask.dtype = WA_BOOL;
        if (a->out[1].type.dtype == WA_BOOL) WA_TRY(wa__kernel_want(a, 1, &mask, err));
        int64_t count = wa__count(&a->out[1].type);
        for (int64_t i = 0; i < count; i++) wa__set_i64(&a->out[1], i, 1);
    }
    return WA_OK;
}

static wa_status shape(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type;
    if (a->op == WA_OP_Size) {
        WA_TRY(wa__kernel_want(a, 0, &(wa_tensor_type){WA_I64, 0, {0}}, err));
        wa__set_i64(&a->out[0], 0, wa__count(in));
        return WA_OK;
    }
    int64_t rank = in->rank, start = wa__kernel_int(a, "start", 0), end = wa__kernel_int(a, "end", rank);
    if (start < 0) start = start < -rank ? 0 : start + rank;
    if (end < 0) end = end < -rank ? 0 : end + rank;
    if (start > rank) start = rank;
    if (end > rank) end = rank;
    WA_TRY(wa__kernel_want(a, 0, &(wa_tensor_type){WA_I64, 1, {end > start ? end - start : 0}}, err));
    for (int64_t i = start; i < end; i++) wa__set_i64(&a->out[0], i - start, in->dims[i]);
    return WA_OK;
}

static wa_status concat(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *o = &a->out[0].type;
    uint32_t axis;
    size_t unit;
    int64_t total = 0;
    WA_TRY(unit_of(a, o, &unit, err));
    WA_TRY(wa__kernel_axis(a, wa__kernel_int(a, "axis", 1), o->rank, &axis, err));
    for (uint32_t i = 0; i < a->in_count; i++) {
        wa_tensor_type t = a->in[i].type;
        if (t.rank != o->rank) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "input %u has rank %u, the output %u", i, t.rank, o->rank);
        total += t.dims[axis];
        t.dims[axis] = o->dims[axis];
        WA_TRY(wa__kernel_want(a, 0, &t, err));
    }
    if (total != o->dims[axis]) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "inputs have %lld along axis %u, the output %lld", (long long)total, axis, (long long)o->dims[axis]);
    int64_t outer = wa__dims_product(o, 0, axis), inner = wa__dims_product(o, axis + 1, o->rank), at = 0;
    for (uint32_t i = 0; i < a->in_count; i++) {
        int64_t run = a->in[i].type.dims[axis] * inner;
        for (int64_t k = 0; k < outer && run; k++)
            memcpy(wa__out_at(&a->out[0], k * o->dims[axis] * inner + at, unit), wa__bytes_at(&a->in[i], k * run, unit), (size_t)run * unit);
        at += run;
    }
    return WA_OK;
}

static wa_status split(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type;
    uint32_t axis;
    size_t unit;
    int64_t total = 0, at = 0;
    WA_TRY(unit_of(a, in, &unit, err));
    WA_TRY(wa__kernel_axis(a, wa__kernel_int(a, "axis", 0), in->rank, &axis, err));
    for (uint32_t i = 0; i < a->out_count; i++) { /* the outputs' types say the sizes, as inferred */
        wa_tensor_type t = *in;
        if (a->out[i].type.rank != in->rank) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "output %u has rank %u, the input %u", i, a->out[i].type.rank, in->rank);
        t.dims[axis] = a->out[i].type.dims[axis];
        total += t.dims[axis];
        WA_TRY(wa__kernel_want(a, i, &t, err));
    }
    if (total != in->dims[axis]) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "parts sum to %lld, axis %u has %lld", (long long)total, axis, (long long)in->dims[axis]);
    int64_t outer = wa__dims_product(in, 0, axis), inner = wa__dims_product(in, axis + 1, in->rank);
    for (uint32_t i = 0; i < a->out_count; i++) {
        int64_t run = a->out[i].type.dims[axis] * inner;
        for (int64_t k = 0; k < outer && run; k++)
            memcpy(wa__out_at(&a->out[i], k * run, unit), wa__bytes_at(&a->in[0], k * in->dims[axis] * inner + at, unit), (size_t)run * unit);
        at += run;
    }
    return WA_OK;
}

static wa_status transpose(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type;
    const wa_attr *perm = wa__attr_find(a->attrs, a->attr_count, "perm");
    wa_tensor_type t = *in;
    int64_t own[WA_RANK_MAX], strides[WA_RANK_MAX];
    bool seen[WA_RANK_MAX] = {0};
    size_t unit;
    WA_TRY(unit_of(a, in, &unit, err));
    if (perm && (perm->kind != WA_ATTR_KIND_INTS || perm->count != in->rank)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "perm has not %u axes", in->rank);
    wa__strides(in, own);
    for (uint32_t i = 0; i < in->rank; i++) {
        uint32_t from;
        WA_TRY(wa__kernel_axis(a, perm ? perm->ints[i] : (int64_t)(in->rank - 1 - i), in->rank, &from, err));
        if (seen[from]) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "perm names axis %u twice", from);
        seen[from] = true;
        t.dims[i] = in->dims[from];
        strides[i] = own[from];
    }
    WA_TRY(wa__kernel_want(a, 0, &t, err));
    wa__copy_strided(a->in[0].data, a->out[0].data, t.rank, t.dims, strides, unit);
    return WA_OK;
}

static wa_status expand(const wa_kernel_args *a, wa_error *err)
{
    int64_t strides[WA_RANK_MAX];
    const wa_tensor_type *o = &a->out[0].type;
    size_t unit;
    WA_TRY(unit_of(a, o, &unit, err));
    if (a->in[0].type.dtype != o->dtype || !wa__broadcast_strides(&a->in[0].type, o, strides))
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "the input does not broadcast to the output");
    wa__copy_strided(a->in[0].data, a->out[0].data, o->rank, o->dims, strides, unit);
    return WA_OK;
}

static wa_status tile(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type, *o = &a->out[0].type;
    int64_t repeats[WA_RANK_MAX], strides[WA_RANK_MAX], index[WA_RANK_MAX] = {0};
    uint32_t count;
    size_t unit;
    wa_tensor_type t = *in;
    WA_TRY(unit_of(a, in, &unit, err));
    WA_TRY(wa__kernel_ints(a, 1, NULL, repeats, WA_RANK_MAX, &count, NULL, err));
    if (count != in->rank) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "%u repeats: the rank is %u", count, in->rank);
    for (uint32_t i = 0; i < count; i++)
        if (repeats[i] < 0 || !wa__mul_i64(t.dims[i], repeats[i], &t.dims[i])) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "repeat %lld is not legal", (long long)repeats[i]);
    WA_TRY(wa__kernel_want(a, 0, &t, err));
    wa__strides(in, strides);
    int64_t n = wa__count(o);
    for (int64_t i = 0; i < n; i++, wa__next(index, o->dims, o->rank)) {
        int64_t at = 0;
        for (uint32_t d = 0; d < o->rank; d++) at += index[d] % in->dims[d] * strides[d];
        memcpy(wa__out_at(&a->out[0], i, unit), wa__bytes_at(&a->in[0], at, unit), unit);
    }
    return WA_OK;
}

static wa_status constant_of_shape(const wa_kernel_args *a, wa_error *err)
{
    const wa_view *o = &a->out[0];
    wa_tensor_type t = {o->type.dtype, 0, {0}};
    int64_t n = wa__count(&o->type), value = wa__kernel_int(a, "value_i", 0);
    double real = (double)wa__kernel_float(a, "value_f", 0.0f);
    WA_TRY(wa__kernel_ints(a, 0, NULL, t.dims, WA_RANK_MAX, &t.rank, NULL, err));
    if (wa__kernel_int(a, "dtype", o->type.dtype) != (int64_t)o->type.dtype) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "the output has not its dtype");
    WA_TRY(wa__kernel_want(a, 0, &t, err));
    bool is_int = wa__attr_find(a->attrs, a->attr_count, "value_i") != NULL;
    for (int64_t i = 0; i < n; i++) {
        if (is_int) wa__set_i64(o, i, value);
        else wa__set_f64(o, i, real);
    }
    return WA_OK;
}

static wa_status range(const wa_kernel_args *a, wa_error *err)
{
    const wa_view *o = &a->out[0];
    int64_t n = wa__count(&o->type);
    for (uint32_t i = 0; i < 3; i++)
        if (a->in[i].type.dtype != o->type.dtype || wa__count(&a->in[i].type) != 1) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "input %u is not a scalar of the output's type", i);
    double count;
    if (wa__dtype_is_float(o->type.dtype)) {
        double start = wa__get_f64(&a->in[0], 0), limit = wa__get_f64(&a->in[1], 0), delta = wa__get_f64(&a->in[2], 0);
        count = (limit - start) / delta;
        count = count > 0 ? (count > (double)(int64_t)0x1p62 ? 0x1p62 : (double)(int64_t)count + ((double)(int64_t)count < count)) : 0;
        for (int64_t i = 0; i < n; i++) wa__set_f64(o, i, start + (double)i * delta);
    } else {
        int64_t start = wa__get_i64(&a->in[0], 0), limit = wa__get_i64(&a->in[1], 0), delta = wa__get_i64(&a->in[2], 0);
        if (delta == 0) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "delta is 0");
        uint64_t span = delta > 0 ? (uint64_t)limit - (uint64_t)start : (uint64_t)start - (uint64_t)limit, step = delta > 0 ? (uint64_t)delta : 0 - (uint64_t)delta;
        bool empty = delta > 0 ? limit <= start : limit >= start;
        count = empty ? 0 : (double)((span - 1) / step + 1);
        for (int64_t i = 0; i < n; i++) wa__set_i64(o, i, (int64_t)((uint64_t)start + (uint64_t)i * (uint64_t)delta));
    }
    if (count != (double)n || o->type.rank != 1) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "it gives %.0f elements, the output has %lld", count, (long long)n);
    return WA_OK;
}

const wa_kernel_entry wa__ref_shape[] = {
    {WA_OP_Identity, copy}, {WA_OP_Reshape, copy}, {WA_OP_Flatten, copy}, {WA_OP_Squeeze, copy}, {WA_OP_Unsqueeze, copy}, {WA_OP_Dropout, copy},
    {WA_OP_Shape, shape}, {WA_OP_Size, shape}, {WA_OP_Concat, concat}, {WA_OP_Split, split}, {WA_OP_Transpose, transpose},
    {WA_OP_Expand, expand}, {WA_OP_Tile, tile}, {WA_OP_ConstantOfShape, constant_of_shape}, {WA_OP_Range, range}, {WA_OP_NONE, NULL},
};
