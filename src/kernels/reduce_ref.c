/* Reference reductions, softmax and layer normalisation, accumulated in double (integers in 64 bits). */
#include "kernels/kernels_int.h"
#include <math.h>

typedef struct acc {
    double f;
    int64_t i;
    double top; /* ReduceLogSumExp: what exponents are taken from */
} acc;

/* What an empty reduction gives: the neutral element, as the type has it. */
static acc start_of(wa_op op, wa_dtype t)
{
    unsigned bits = wa__dtype_info(t)->bits;
    bool u = t == WA_U8 || t == WA_U16 || t == WA_U32 || t == WA_U64;
    int64_t top = t == WA_BOOL ? 1 : u ? (int64_t)(UINT64_MAX >> (64 - bits)) : (int64_t)(INT64_MAX >> (64 - bits));
    switch (op) {
    case WA_OP_ReduceMax: return (acc){-INFINITY, t == WA_BOOL || u ? 0 : -top - 1, 0};
    case WA_OP_ReduceMin: return (acc){INFINITY, top, 0};
    case WA_OP_ReduceProd: return (acc){1, 1, 0};
    default: return (acc){0, 0, 0};
    }
}

static void add_real(wa_op op, acc *s, double x)
{
    switch (op) {
    case WA_OP_ReduceMax: s->f = isnan(s->f) || s->f > x ? s->f : x; break;
    case WA_OP_ReduceMin: s->f = isnan(s->f) || s->f < x ? s->f : x; break;
    case WA_OP_ReduceProd: s->f *= x; break;
    case WA_OP_ReduceL1: s->f += fabs(x); break;
    case WA_OP_ReduceL2: case WA_OP_ReduceSumSquare: s->f += x * x; break;
    case WA_OP_ReduceLogSumExp: s->f += exp(x - s->top); break;
    default: s->f += x; break;
    }
}

static void add_whole(wa_op op, acc *s, int64_t x, bool u)
{
    uint64_t v = (uint64_t)s->i, w = (uint64_t)x;
    bool less = u ? v < w : s->i < x;
    switch (op) {
    case WA_OP_ReduceMax: s->i = less ? x : s->i; break;
    case WA_OP_ReduceMin: s->i = less ? s->i : x; break;
    case WA_OP_ReduceProd: s->i = (int64_t)(v * w); break;
    case WA_OP_ReduceL1: s->i = (int64_t)(v + (x < 0 && !u ? 0 - w : w)); break;
    case WA_OP_ReduceL2: case WA_OP_ReduceSumSquare: s->i = (int64_t)(v + w * w); break;
    default: s->i = (int64_t)(v + w); break;
    }
}

static void finish(const wa_kernel_args *a, int64_t at, acc s, int64_t count, bool real)
{
    bool logs = a->op == WA_OP_ReduceLogSum || a->op == WA_OP_ReduceLogSumExp;
    if (logs) wa__set_f64(&a->out[0], at, s.top + log(a->op == WA_OP_ReduceLogSumExp || real ? s.f : (double)s.i));
    else if (a->op == WA_OP_ReduceL2) wa__set_f64(&a->out[0], at, sqrt(real ? s.f : (double)s.i));
    else if (a->op == WA_OP_ReduceMean && real) wa__set_f64(&a->out[0], at, s.f / (double)count);
    else if (a->op == WA_OP_ReduceMean) wa__set_i64(&a->out[0], at, count ? s.i / count : 0);
    else if (real) wa__set_f64(&a->out[0], at, s.f);
    else wa__set_i64(&a->out[0], at, s.i);
}

static wa_status reduce(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type;
    int64_t axes[WA_RANK_MAX], strides[WA_RANK_MAX], kept_dims[WA_RANK_MAX], kept_strides[WA_RANK_MAX], run_dims[WA_RANK_MAX], run_strides[WA_RANK_MAX];
    uint32_t count, kept = 0, run = 0;
    bool over[WA_RANK_MAX] = {0};
    WA_TRY(wa__kernel_ints(a, 1, "axes", axes, WA_RANK_MAX, &count, NULL, err));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t axis;
        WA_TRY(wa__kernel_axis(a, axes[i], in->rank, &axis, err));
        over[axis] = true;
    }
    if (count == 0 && !wa__kernel_int(a, "noop_with_empty_axes", 0))
        for (uint32_t i = 0; i < in->rank; i++) over[i] = true;
    wa_tensor_type t = {in->dtype, 0, {0}};
    bool keep = wa__kernel_int(a, "keepdims", 1) != 0;
    wa__strides(in, strides);
    for (uint32_t i = 0; i < in->rank; i++) {
        if (!over[i] || keep) t.dims[t.rank++] = over[i] ? 1 : in->dims[i];
        if (over[i]) run_dims[run] = in->dims[i], run_strides[run++] = strides[i];
        else kept_dims[kept] = in->dims[i], kept_strides[kept++] = strides[i];
    }
    WA_TRY(wa__kernel_want(a, 0, &t, err));
    if (wa__dtype_size(in->dtype) == 0) return wa__kernel_fail(a, err, WA_UNSUPPORTED, "no kernel for 4-bit elements");
    int64_t n = wa__count(&t), each = 1, index[WA_RANK_MAX] = {0};
    for (uint32_t i = 0; i < run; i++) each = (int64_t)((uint64_t)each * (uint64_t)run_dims[i]);
    bool real = wa__dtype_is_float(in->dtype), exponents = a->op == WA_OP_ReduceLogSumExp;
    for (int64_t i = 0; i < n; i++, wa__next(index, kept_dims, kept)) {
        int64_t base = 0, inner[WA_RANK_MAX] = {0};
        acc s = exponents ? (acc){-INFINITY, 0, 0} : start_of(a->op, in->dtype);
        for (uint32_t d = 0; d < kept; d++) base += index[d] * kept_strides[d];
        for (int pass = exponents ? 0 : 1; pass < 2; pass++) {
            wa_op op = pass ? a->op : WA_OP_ReduceMax;
            if (exponents && pass) s = (acc){0, 0, isfinite(s.f) ? s.f : 0};
            for (int64_t k = 0; k < each; k++, wa__next(inner, run_dims, run)) {
                int64_t at = base;
                for (uint32_t d = 0; d < run; d++) at += inner[d] * run_strides[d];
                if (real || exponents) add_real(op, &s, wa__get_f64(&a->in[0], at));
                else add_whole(op, &s, wa__get_i64(&a->in[0], at), in->dtype == WA_U64);
            }
        }
        finish(a, i, s, each, real);
    }
    return WA_OK;
}

static wa_status arg_best(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type;
    uint32_t axis;
    WA_TRY(wa__kernel_axis(a, wa__kernel_int(a, "axis", 0), in->rank, &axis, err));
    bool keep = wa__kernel_int(a, "keepdims", 1) != 0, last = wa__kernel_int(a, "select_last_index", 0) != 0, real = wa__dtype_is_float(in->dtype);
    wa_tensor_type t = {WA_I64, 0, {0}};
    for (uint32_t i = 0; i < in->rank; i++)
        if (i != axis || keep) t.dims[t.rank++] = i == axis ? 1 : in->dims[i];
    WA_TRY(wa__kernel_want(a, 0, &t, err));
    int64_t outer = wa__dims_product(in, 0, axis), inner = wa__dims_product(in, axis + 1, in->rank), dim = in->dims[axis];
    if (dim == 0) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "axis %u is empty", axis);
    for (int64_t i = 0; i < outer * inner; i++) {
        int64_t best = 0, from = i / inner * dim * inner + i % inner;
        for (int64_t k = 1; k < dim; k++) {
            bool more, same;
            if (real) {
                double x = wa__get_f64(&a->in[0], from + k * inner), y = wa__get_f64(&a->in[0], from + best * inner);
                more = a->op == WA_OP_ArgMax ? x > y : x < y;
                same = x == y;
            } else {
                int64_t x = wa__get_i64(&a->in[0], from + k * inner), y = wa__get_i64(&a->in[0], from + best * inner);
                if (in->dtype == WA_U64) x = (int64_t)((uint64_t)x ^ (uint64_t)INT64_MIN), y = (int64_t)((uint64_t)y ^ (uint64_t)INT64_MIN);
                more = a->op == WA_OP_ArgMax ? x > y : x < y;
                same = x == y;
            }
            if (more || (same && last)) best = k;
        }
        wa__set_i64(&a->out[0], i, best);
    }
    return WA_OK;
}

/* Before opset 13 the axes from `axis` on are one. */
static wa_status softmax(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type;
    uint32_t axis;
    bool old = a->opset > 0 && a->opset < 13;
    WA_TRY(wa__kernel_want(a, 0, in, err));
    if (!wa__dtype_is_float(in->dtype)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its input must be floats");
    WA_TRY(wa__kernel_axis(a, wa__kernel_int(a, "axis", old ? 1 : -1), in->rank, &axis, err));
    int64_t dim = old ? wa__dims_product(in, axis, in->rank) : in->dims[axis], inner = old ? 1 : wa__dims_product(in, axis + 1, in->rank);
    int64_t outer = wa__dims_product(in, 0, axis);
    for (int64_t i = 0; i < outer * inner; i++) {
        int64_t from = i / inner * dim * inner + i % inner;
        double top = -INFINITY, sum = 0;
        for (int64_t k = 0; k < dim; k++) top = fmax(top, wa__get_f64(&a->in[0], from + k * inner));
        if (a->op == WA_OP_Hardmax) {
            bool found = false; /* the first of the largest is 1 */
            for (int64_t k = 0; k < dim; k++) {
                bool is = !found && wa__get_f64(&a->in[0], from + k * inner) == top;
                wa__set_f64(&a->out[0], from + k * inner, is ? 1 : 0);
                found = found || is;
            }
            continue;
        }
        for (int64_t k = 0; k < dim; k++) sum += exp(wa__get_f64(&a->in[0], from + k * inner) - top);
        for (int64_t k = 0; k < dim; k++) {
            double x = wa__get_f64(&a->in[0], from + k * inner) - top;
            wa__set_f64(&a->out[0], from + k * inner, a->op == WA_OP_LogSoftmax ? x - log(sum) : exp(x) / sum);
        }
    }
    return WA_OK;
}

/* Strides of a scale or bias in the input's axes: one of `count` elements runs along a row, others
 * broadcast. Fails when input i is no float tensor that fits. */
static wa_status want_scale(const wa_kernel_args *a, uint32_t i, int64_t count, int64_t *strides, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type;
    memset(strides, 0, sizeof *strides * WA_RANK_MAX);
    if (!wa__kernel_has(a, i)) return WA_OK;
    const wa_tensor_type *t = &a->in[i].type;
    if (wa__dtype_is_float(t->dtype) && wa__broadcast_strides(t, in, strides)) return WA_OK;
    if (!wa__dtype_is_float(t->dtype) || wa__count(t) != count) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "input %u does not fit its input", i);
    for (int64_t s = 1, d = (int64_t)in->rank; d-- > 0 && s < count; s *= in->dims[d]) strides[d] = s; /* the row's elements in another shape */
    return WA_OK;
}

static wa_status layer_norm(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *in = &a->in[0].type;
    uint32_t axis;
    bool rms = a->op == WA_OP_RMSNormalization;
    double epsilon = (double)wa__kernel_float(a, "epsilon", 1e-5f);
    WA_TRY(wa__kernel_want(a, 0, in, err));
    WA_TRY(wa__kernel_axis(a, wa__kernel_int(a, "axis", -1), in->rank, &axis, err));
    int64_t rows = wa__dims_product(in, 0, axis), n = wa__dims_product(in, axis, in->rank);
    int64_t scale[WA_RANK_MAX], bias[WA_RANK_MAX], index[WA_RANK_MAX] = {0};
    WA_TRY(want_scale(a, 1, n, scale, err));
    WA_TRY(want_scale(a, 2, n, bias, err));
    wa_tensor_type stat = *in;
    for (uint32_t i = axis; i < in->rank; i++) stat.dims[i] = 1;
    for (uint32_t o = 1; o < a->out_count && o < 3; o++) {
        if (a->out[o].type.dtype == WA_DTYPE_NONE) continue;
        stat.dtype = a->out[o].type.dtype;
        WA_TRY(wa__kernel_want(a, o, &stat, err));
    }
    for (int64_t r = 0; r < rows; r++) {
        double mean = 0, square = 0;
        for (int64_t k = 0; k < n && !rms; k++) mean += wa__get_f64(&a->in[0], r * n + k);
        mean /= (double)n;
        for (int64_t k = 0; k < n; k++) {
            double d = wa__get_f64(&a->in[0], r * n + k) - mean;
            square += d * d;
        }
        double inverse = 1.0 / sqrt(square / (double)n + epsilon);
        for (int64_t k = 0; k < n; k++) {
            double y = (wa__get_f64(&a->in[0], r * n + k) - mean) * inverse;
            int64_t s = 0, t = 0;
            for (uint32_t d = 0; d < in->rank; d++) s += index[d] * scale[d], t += index[d] * bias[d];
            if (wa__kernel_has(a, 1)) y *= wa__get_f64(&a->in[1], s);
            wa__set_f64(&a->out[0], r * n + k, wa__kernel_has(a, 2) ? y + wa__get_f64(&a->in[2], t) : y);
            wa__next(index, in->dims, in->rank);
        }
        if (a->out_count > 1 && a->out[1].type.dtype != WA_DTYPE_NONE) wa__set_f64(&a->out[1], r, mean);
        if (a->out_count > 2 && a->out[2].type.dtype != WA_DTYPE_NONE) wa__set_f64(&a->out[2], r, inverse);
    }
    return WA_OK;
}

const wa_kernel_entry wa__ref_reduce[] = {
    {WA_OP_ReduceSum, reduce}, {WA_OP_ReduceMean, reduce}, {WA_OP_ReduceMax, reduce}, {WA_OP_ReduceMin, reduce}, {WA_OP_ReduceProd, reduce},
    {WA_OP_ReduceL2, reduce}, {WA_OP_ReduceLogSum, reduce}, {WA_OP_ReduceLogSumExp, reduce}, {WA_OP_ReduceL1, reduce}, {WA_OP_ReduceSumSquare, reduce}, {WA_OP_ArgMax, arg_best}, {WA_OP_ArgMin, arg_best},
    {WA_OP_Softmax, softmax}, {WA_OP_LogSoftmax, softmax}, {WA_OP_Hardmax, softmax}, {WA_OP_LayerNormalization, layer_norm}, {WA_OP_RMSNormalization, layer_norm}, {WA_OP_NONE, NULL},
};
