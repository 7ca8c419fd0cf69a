/* Reference of the operators about narrow types: Cast, BitCast, QuantizeLinear, DequantizeLinear,
 * DequantizeBlocks. Divisions and products are done in the type that the standard names. */
#include "base/quant.h"
#include "kernels/kernels_int.h"
#include <math.h>

/* --- casts ---------------------------------------------------------------------------------------- */
static wa_round_mode round_mode(const wa_kernel_args *a)
{
    const wa_attr *m = wa__attr_find(a->attrs, a->attr_count, "round_mode");
    if (!m || m->kind != WA_ATTR_KIND_STRING) return WA_ROUND_UP;
    return wa__str_is(m->s, "down") ? WA_ROUND_DOWN : wa__str_is(m->s, "nearest") ? WA_ROUND_NEAREST : WA_ROUND_UP;
}

/* Stores a number as ONNX's Cast does. */
static void store(const wa_view *out, int64_t i, double x, bool saturate, wa_round_mode mode)
{
    const wa_small_float *s = wa__small_float(out->type.dtype);
    if (!s) wa__set_f64(out, i, x);
    else if (wa__dtype_is_packed(out->type.dtype)) wa__packed_set(out->type.dtype, out->data, i, wa__f64_to_small(s, x, saturate, mode));
    else ((uint8_t *)out->data)[i] = wa__f64_to_small(s, x, saturate, mode);
}

static wa_status cast(const wa_kernel_args *a, wa_error *err)
{
    const wa_view *in = &a->in[0], *out = &a->out[0];
    int64_t n = wa__count(&in->type), to = wa__kernel_int(a, "to", out->type.dtype);
    if (n != wa__count(&out->type) || to != (int64_t)out->type.dtype)
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "the output is not the input's shape in type %lld", (long long)to);
    bool real = wa__dtype_is_float(in->type.dtype) || wa__dtype_is_float(out->type.dtype), saturate = wa__kernel_int(a, "saturate", 1) != 0;
    wa_round_mode mode = round_mode(a);
    for (int64_t i = 0; i < n; i++) {
        if (real) store(out, i, wa__get_f64(in, i), saturate, mode);
        else wa__set_i64(out, i, wa__get_i64(in, i));
    }
    return WA_OK;
}

static wa_status bit_cast(const wa_kernel_args *a, wa_error *err)
{
    const wa_view *in = &a->in[0], *out = &a->out[0];
    if (wa__bytes(&in->type) != wa__bytes(&out->type) || wa__count(&in->type) != wa__count(&out->type))
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "the output's elements have not the input's width");
    if (wa__bytes(&in->type)) memcpy(out->data, in->data, (size_t)wa__bytes(&in->type));
    return WA_OK;
}

/* --- linear quantisation --------------------------------------------------------------------------- */
/* x rounded to a type of floats. */
static double rounded(double x, wa_dtype d)
{
    uint64_t bits = 0;
    wa_view v = {{d, 0, {0}}, &bits};
    wa__set_f64(&v, 0, x);
    return wa__get_f64(&v, 0);
}

static wa_dtype float_of(wa_dtype d) { return d == WA_F16 || d == WA_BF16 || d == WA_F64 ? d : WA_F32; }

/* Layout of the scale (input 1), which the zero point (input 2) shares. */
static wa_status layout_of(const wa_kernel_args *a, wa_quant_layout *q, wa_error *err)
{
    const wa_tensor_type *x = &a->in[0].type, *scale = &a->in[1].type;
    wa_tensor_type want = *x;
    want.dtype = a->out[0].type.dtype;
    WA_TRY(wa__kernel_want(a, 0, &want, err));
    if (!wa__quant_layout(x, scale, wa__kernel_int(a, "axis", 1), wa__kernel_int(a, "block_size", 0), q))
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "the scale does not fit the input, axis and block size");
    if (wa__kernel_has(a, 2) && wa__count(&a->in[2].type) != wa__count(scale))
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "the zero point has not the scale's shape");
    return WA_OK;
}

static wa_status quantize(const wa_kernel_args *a, wa_error *err)
{
    wa_quant_layout q;
    WA_TRY(layout_of(a, &q, err));
    wa_dtype to = a->out[0].type.dtype, precision = wa__dtype_from_onnx(wa__kernel_int(a, "precision", 0));
    if (!wa__dtype_is_float(precision)) precision = float_of(a->in[1].type.dtype);
    int64_t low = 0, high = 0, n = wa__count(&a->in[0].type);
    bool whole = wa__quant_range(to, &low, &high), saturate = wa__kernel_int(a, "saturate", 1) != 0;
    if (!whole && !wa__small_float(to)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "%s is no quantised type", wa__dtype_info(to)->name);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = wa__quant_scale_at(&q, i);
        double y = rounded(rounded(wa__get_f64(&a->in[0], i), precision) / rounded(wa__get_f64(&a->in[1], at), precision), precision);
        double zero = wa__kernel_has(a, 2) ? wa__get_f64(&a->in[2], at) : 0;
        if (!whole) {
            store(&a->out[0], i, zero == 0 ? y : y + zero, saturate, WA_ROUND_UP);
            continue;
        }
        y = (isnan(y) ? 0 : nearbyint(y)) + zero;
        wa__set_i64(&a->out[0], i, y <= (double)low ? low : y >= (double)high ? high : (int64_t)y);
    }
    return WA_OK;
}

/* One scale over a run of 8-bit elements: the case of weights. */
static bool dequantize_bytes(const wa_kernel_args *a, const wa_quant_layout *q)
{
    wa_dtype from = a->in[0].type.dtype;
    if ((from != WA_I8 && from != WA_U8) || a->in[1].type.dtype != WA_F32 || a->out[0].type.dtype != WA_F32) return false;
    const uint8_t *x = a->in[0].data;
    float *y = a->out[0].data;
    if (q->inner_stride || (uintptr_t)y % sizeof *y) return false;
    for (int64_t i = 0, n = wa__count(&a->in[0].type); i < n; i += q->inner) {
        int64_t at = wa__quant_scale_at(q, i);
        float scale = (float)wa__get_f64(&a->in[1], at), zero = wa__kernel_has(a, 2) ? (float)wa__get_i64(&a->in[2], at) : 0;
        for (int64_t k = i; k < i + q->inner; k++) y[k] = ((from == WA_I8 ? (float)(int8_t)x[k] : (float)x[k]) - zero) * scale;
    }
    return true;
}

static wa_status dequantize(const wa_kernel_args *a, wa_error *err)
{
    wa_quant_layout q;
    WA_TRY(layout_of(a, &q, err));
    wa_dtype to = a->out[0].type.dtype;
    if (!wa__dtype_is_float(to)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "it gives floats, not %s", wa__dtype_info(to)->name);
    if (dequantize_bytes(a, &q)) return WA_OK;
    int64_t n = wa__count(&a->in[0].type);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = wa__quant_scale_at(&q, i);
        double zero = wa__kernel_has(a, 2) ? wa__get_f64(&a->in[2], at) : 0;
        wa__set_f64(&a->out[0], i, rounded(wa__get_f64(&a->in[0], i) - zero, to) * wa__get_f64(&a->in[1], at));
    }
    return WA_OK;
}

/* --- blocks of packed codes ------------------------------------------------------------------------- */
static wa_status blocks_check(const wa_kernel_args *a, wa_quant_blocks *q, wa_error *err)
{
    wa_tensor_type types[4] = {a->in[0].type, a->in[1].type, {WA_DTYPE_NONE, 0, {0}}, {WA_DTYPE_NONE, 0, {0}}};
    for (uint32_t i = 2; i < 4 && i < a->in_count; i++) types[i] = a->in[i].type;
    if (!wa__quant_blocks(types, a->attrs, a->attr_count, q)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its codes, scales, zero points and sizes do not fit each other");
    return wa__kernel_want(a, 0, &(wa_tensor_type){a->in[1].type.dtype, 2, {q->rows, q->cols}}, err);
}

static wa_status dequantize_blocks(const wa_kernel_args *a, wa_error *err)
{
    wa_quant_blocks q;
    WA_TRY(blocks_check(a, &q, err));
    const uint8_t *codes = a->in[0].data, *zeros = wa__kernel_has(a, 2) && !q.zero_float ? a->in[2].data : NULL;
    int64_t per = 8 / q.bits, mask = (1 << q.bits) - 1;
    for (int64_t r = 0; r < q.rows; r++) {
        for (int64_t c = 0; c < q.cols; c++) {
            int64_t k = c, group = c / q.block;
            if (wa__kernel_has(a, 3)) group = wa__get_i64(&a->in[3], c);
            if (group < 0 || group >= q.blocks) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "g_idx names group %lld of %lld", (long long)group, (long long)q.blocks);
            int64_t at = r * q.row_bytes + k / per, scale = r * q.blocks + group;
            uint32_t code = (uint32_t)(codes[at] >> (q.high_first ? per - 1 - k % per : k % per) * q.bits & mask);
            double s = wa__get_f64(&a->in[1], scale), x = q.table ? (double)wa__quant_level(q.table, code) : (double)code;
            if (q.zero_float) x -= wa__get_f64(&a->in[2], scale);
            else if (zeros) x -= (double)(zeros[r * q.zero_bytes + group / per] >> group % per * q.bits & mask);
            else if (!q.table) x -= (double)q.zero;
            wa__set_f64(&a->out[0], r * q.cols + c, x * s);
        }
    }
    return WA_OK;
}

const wa_kernel_entry wa__ref_quant[] = {
    {WA_OP_Cast, cast}, {WA_OP_BitCast, bit_cast}, {WA_OP_QuantizeLinear, quantize}, {WA_OP_DequantizeLinear, dequantize},
    {WA_OP_DequantizeBlocks, dequantize_blocks}, {WA_OP_NONE, NULL},
};
