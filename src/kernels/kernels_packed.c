/* Packed elements for references that work on whole bytes: inputs of 4- and 2-bit types are unpacked
 * to bytes, results packed again. Slow and right: big packed weights stay with operators that read
 * them as they are. Called by kernels_cpu.c. */
#include "kernels/kernels_int.h"

#define VIEWS_MAX 64

/* Operators that read and write packed elements themselves. */
static bool knows_packed(wa_op op)
{
    switch (op) {
    case WA_OP_Identity: case WA_OP_Reshape: case WA_OP_Flatten: case WA_OP_Squeeze: case WA_OP_Unsqueeze: case WA_OP_Shape: case WA_OP_Size:
    case WA_OP_ConstantOfShape: case WA_OP_Cast: case WA_OP_BitCast: case WA_OP_QuantizeLinear: case WA_OP_DequantizeLinear: return true;
    default: return false;
    }
}

/* The type that holds one element a byte; float4 travels as its code, which only moving operators get. */
static wa_dtype byte_of(wa_dtype d) { return d == WA_I4 || d == WA_I2 ? WA_I8 : WA_U8; }

static wa_status unpack(const wa_view *v, wa_view *out, bool fill, wa_error *err)
{
    int64_t n = wa__count(&v->type);
    out->data = wa__alloc((size_t)n + 1, 1);
    if (!out->data) return wa__no_memory(err, "unpacked elements");
    out->type.dtype = byte_of(v->type.dtype);
    for (int64_t i = 0; i < n && fill; i++) {
        if (v->type.dtype == WA_F4E2M1) ((uint8_t *)out->data)[i] = (uint8_t)wa__packed_get(v->type.dtype, v->data, i);
        else wa__set_i64(out, i, wa__get_i64(v, i));
    }
    return WA_OK;
}

static void pack(const wa_view *from, const wa_view *to)
{
    for (int64_t i = 0, n = wa__count(&to->type); i < n; i++) wa__packed_set(to->type.dtype, to->data, i, (unsigned)((const uint8_t *)from->data)[i]);
}

wa_status wa__kernel_unpacked(wa_kernel_fn fn, const wa_kernel_args *a, wa_error *err)
{
    wa_view views[VIEWS_MAX];
    uint32_t total = a->in_count + a->out_count;
    bool any = false, floats = false;
    for (uint32_t i = 0; i < total; i++) {
        wa_dtype d = (i < a->in_count ? &a->in[i] : &a->out[i - a->in_count])->type.dtype;
        any = any || wa__dtype_is_packed(d);
        floats = floats || d == WA_F4E2M1;
    }
    if (!any || knows_packed(a->op)) return fn(a, err);
    if (total > VIEWS_MAX || (floats && wa__op_info(a->op)->elementwise && a->op != WA_OP_Where))
        return wa__kernel_fail(a, err, WA_UNSUPPORTED, "no kernel for packed elements");
    wa_status s = WA_OK;
    for (uint32_t i = 0; i < total; i++) views[i] = i < a->in_count ? a->in[i] : a->out[i - a->in_count];
    wa_kernel_args b = *a;
    for (uint32_t i = 0; i < total; i++) {
        const wa_view *v = i < a->in_count ? &a->in[i] : &a->out[i - a->in_count];
        if (!wa__dtype_is_packed(v->type.dtype)) continue;
        views[i].data = NULL;
        if (s == WA_OK) s = unpack(v, &views[i], i < a->in_count, err);
    }
    b.in = views;
    b.out = views + a->in_count;
    if (s == WA_OK) s = fn(&b, err);
    for (uint32_t i = 0; i < total; i++) {
        const wa_view *v = i < a->in_count ? &a->in[i] : &a->out[i - a->in_count];
        if (!wa__dtype_is_packed(v->type.dtype)) continue;
        if (s == WA_OK && i >= a->in_count) pack(&views[i], v);
        wa__free(views[i].data);
    }
    return s;
}
