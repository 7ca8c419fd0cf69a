/* Checks and index arithmetic of the CPU kernels. See kernels_int.h. */
#include "kernels/kernels_int.h"
#include <stdarg.h>
#include <stdio.h>

wa_status wa__kernel_fail(const wa_kernel_args *a, wa_error *err, wa_status s, const char *format, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    const char *name = wa__op_info(a->op)->name;
    return wa__fail(err, s, "%s: %s", name ? name : "operator", text);
}

static wa_status check_view(const wa_kernel_args *a, const wa_view *v, const char *what, uint32_t i, wa_error *err)
{
    uint64_t bytes;
    if (v->type.dtype == WA_DTYPE_NONE) return WA_OK;
    if (!wa__type_bytes(&v->type, &bytes)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "%s %u has no legal type", what, i);
    if (bytes && !v->data) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "%s %u has no memory", what, i);
    return WA_OK;
}

wa_status wa__kernel_check(const wa_kernel_args *a, wa_error *err)
{
    const wa_op_info *info = wa__op_info(a->op);
    if (!info->name) return wa__fail(err, WA_UNSUPPORTED, "operator %u is not in the table", (unsigned)a->op);
    if ((int64_t)a->in_count < info->inputs_min || (info->inputs_max >= 0 && (int64_t)a->in_count > info->inputs_max))
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "%u inputs: it takes %d to %d", a->in_count, info->inputs_min, info->inputs_max);
    if (a->out_count < 1 || (info->outputs >= 0 && (int64_t)a->out_count != info->outputs))
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "%u outputs: it has %d", a->out_count, info->outputs);
    for (uint32_t i = 0; i < a->in_count; i++) WA_TRY(check_view(a, &a->in[i], "input", i, err));
    for (uint32_t i = 0; i < a->out_count; i++) WA_TRY(check_view(a, &a->out[i], "output", i, err));
    if (a->out[0].type.dtype == WA_DTYPE_NONE) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "output 0 has no type");
    for (int i = 0; i < info->inputs_min; i++) { /* all but EmbedLayerNorm's segment ids and table */
        bool optional = a->op == WA_OP_EmbedLayerNorm && (i == 1 || i == 4);
        if (a->in[i].type.dtype == WA_DTYPE_NONE && !optional)
            return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "input %d is missing", i);
    }
    return WA_OK;
}

bool wa__kernel_aligned(const wa_kernel_args *a, uint32_t except)
{
    for (uint32_t i = 0; i < a->in_count + a->out_count; i++) {
        const wa_view *v = i < a->in_count ? &a->in[i] : &a->out[i - a->in_count];
        if (i != except && v->type.dtype == WA_F32 && (uintptr_t)v->data % sizeof(float) != 0) return false;
    }
    return true;
}

wa_status wa__kernel_want(const wa_kernel_args *a, uint32_t o, const wa_tensor_type *t, wa_error *err)
{
    char want[128], have[128];
    if (wa__type_eq(&a->out[o].type, t)) return WA_OK;
    wa__type_text(t, want, sizeof want);
    wa__type_text(&a->out[o].type, have, sizeof have);
    return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "output %u is %s but its inputs give %s", o, have, want);
}

wa_status wa__kernel_want_same(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *i = &a->in[0].type, *o = &a->out[0].type;
    if (i->dtype == o->dtype && wa__count(i) == wa__count(o)) return WA_OK;
    char want[128], have[128];
    wa__type_text(i, want, sizeof want);
    wa__type_text(o, have, sizeof have);
    return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "output %s does not hold input %s", have, want);
}

wa_status wa__kernel_axis(const wa_kernel_args *a, int64_t axis, uint32_t rank, uint32_t *out, wa_error *err)
{
    if (axis < -(int64_t)rank || axis >= (int64_t)rank)
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "axis %lld: the rank is %u", (long long)axis, rank);
    *out = (uint32_t)(axis < 0 ? axis + rank : axis);
    return WA_OK;
}

wa_status wa__kernel_ints(const wa_kernel_args *a, uint32_t i, const char *name, int64_t *out, uint32_t max, uint32_t *count, bool *given, wa_error *err)
{
    *count = 0;
    if (given) *given = false;
    if (wa__kernel_has(a, i)) {
        int64_t n = wa__count(&a->in[i].type);
        if (wa__dtype_is_float(a->in[i].type.dtype)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "input %u must be integers", i);
        if (n > (int64_t)max) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "input %u has %lld elements: at most %u", i, (long long)n, max);
        for (int64_t k = 0; k < n; k++) out[k] = wa__get_i64(&a->in[i], k);
        *count = (uint32_t)n;
        if (given) *given = true;
        return WA_OK;
    }
    const wa_attr *at = name ? wa__attr_find(a->attrs, a->attr_count, name) : NULL;
    if (!at || at->kind != WA_ATTR_KIND_INTS) return WA_OK;
    if (at->count > max) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "%s has %u elements: at most %u", name, at->count, max);
    if (at->count) memcpy(out, at->ints, at->count * sizeof *out);
    *count = at->count;
    if (given) *given = true;
    return WA_OK;
}

int64_t wa__kernel_int(const wa_kernel_args *a, const char *name, int64_t fallback) { return wa__attr_int(a->attrs, a->attr_count, name, fallback); }
float wa__kernel_float(const wa_kernel_args *a, const char *name, float fallback) { return wa__attr_float(a->attrs, a->attr_count, name, fallback); }

int64_t wa__dims_product(const wa_tensor_type *t, uint32_t from, uint32_t to)
{
    uint64_t n = 1; /* wraps only when another dim is 0, and then nobody indexes by it */
    for (uint32_t i = from; i < to; i++) n *= (uint64_t)t->dims[i];
    return (int64_t)n;
}

void wa__strides(const wa_tensor_type *t, int64_t *out)
{
    uint64_t n = 1; /* wraps as above */
    for (uint32_t i = t->rank; i-- > 0;) {
        out[i] = (int64_t)n;
        n *= (uint64_t)t->dims[i];
    }
}

bool wa__broadcast_strides(const wa_tensor_type *t, const wa_tensor_type *out, int64_t *strides)
{
    int64_t own[WA_RANK_MAX];
    if (t->rank > out->rank) return false;
    wa__strides(t, own);
    uint32_t lead = out->rank - t->rank;
    for (uint32_t i = 0; i < out->rank; i++) {
        if (i < lead) strides[i] = 0;
        else if (t->dims[i - lead] == out->dims[i]) strides[i] = out->dims[i] == 1 ? 0 : own[i - lead];
        else if (t->dims[i - lead] == 1) strides[i] = 0;
        else return false;
    }
    return true;
}

void wa__copy_strided(const void *in, void *out, uint32_t rank, const int64_t *dims, const int64_t *strides, size_t unit)
{
    int64_t index[WA_RANK_MAX] = {0}, inner = rank ? dims[rank - 1] : 1, step = rank ? strides[rank - 1] : 1;
    uint8_t *o = out;
    for (uint32_t i = 0; i < rank; i++)
        if (dims[i] == 0) return;
    do {
        int64_t at = 0;
        for (uint32_t i = 0; i + 1 < rank; i++) at += index[i] * strides[i];
        const uint8_t *src = (const uint8_t *)in + at * (int64_t)unit;
        if (step == 1) memcpy(o, src, (size_t)inner * unit);
        else
            for (int64_t k = 0; k < inner; k++) memcpy(o + (size_t)k * unit, src + k * step * (int64_t)unit, unit);
        o += (size_t)inner * unit;
    } while (rank > 1 && wa__next(index, dims, rank - 1));
}

wa_status wa__kernel_index(const wa_kernel_args *a, int64_t *index, int64_t limit, wa_error *err)
{
    if (*index < -limit || *index >= limit)
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "index %lld is out of range: the axis has %lld elements", (long long)*index, (long long)limit);
    if (*index < 0) *index += limit;
    return WA_OK;
}

wa_status wa__kernel_tuple(const wa_kernel_args *a, int64_t i, int64_t depth, uint32_t first, int64_t *out, wa_error *err)
{
    int64_t strides[WA_RANK_MAX];
    wa__strides(&a->in[0].type, strides);
    *out = 0;
    for (int64_t d = 0; d < depth; d++) {
        int64_t k = wa__get_i64(&a->in[1], i * depth + d);
        WA_TRY(wa__kernel_index(a, &k, a->in[0].type.dims[first + d], err));
        *out += k * strides[first + d];
    }
    return WA_OK;
}
