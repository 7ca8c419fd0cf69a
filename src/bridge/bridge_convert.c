/* Elements between the types a user has and those a GPU has: 64-bit integers narrow with a range
 * check, booleans widen to u32, small floats to f32; and back. Called by bridge_run.c. */
#include "bridge/bridge_int.h"

static wa_status narrow(const int64_t *src, int32_t *dst, uint64_t count, const char *name, wa_error *err)
{
    for (uint64_t i = 0; i < count; i++) {
        int64_t v;
        memcpy(&v, src + i, sizeof v);
        if (v < INT32_MIN || v > INT32_MAX)
            return wa__fail(err, WA_UNSUPPORTED, "\"%s\": element %llu, %lld, does not fit the GPU's 32-bit integers", name, (unsigned long long)i, (long long)v);
        dst[i] = (int32_t)v;
    }
    return WA_OK;
}

static wa_status convert_each(const wa_view *from, const wa_view *to, uint64_t count, const char *name, wa_error *err)
{
    const wa_small_float *small = wa__small_float(to->type.dtype);
    bool real = wa__dtype_is_float(from->type.dtype) || wa__dtype_is_float(to->type.dtype);
    for (uint64_t i = 0; i < count; i++) {
        if (small) { /* rounded on the device already, where infinity was meant it stays */
            unsigned code = wa__f64_to_small(small, wa__get_f64(from, (int64_t)i), false, WA_ROUND_UP);
            if (wa__dtype_is_packed(to->type.dtype)) wa__packed_set(to->type.dtype, to->data, (int64_t)i, code);
            else ((uint8_t *)to->data)[i] = (uint8_t)code;
            continue;
        }
        if (real) {
            wa__set_f64(to, (int64_t)i, wa__get_f64(from, (int64_t)i));
            continue;
        }
        int64_t v = wa__get_i64(from, (int64_t)i);
        if (v < 0 && from->type.dtype == WA_U64 && to->type.dtype == WA_I64) return wa__fail(err, WA_UNSUPPORTED, "\"%s\": element %llu does not fit 63 bits", name, (unsigned long long)i);
        if (to->type.dtype == WA_BOOL) v = v != 0;
        wa__set_i64(to, (int64_t)i, v);
        if (wa__get_i64(to, (int64_t)i) == v) continue;
        const char *type = wa__dtype_info((uint32_t)to->type.dtype)->name;
        if (from->type.dtype == WA_U64)
            return wa__fail(err, WA_UNSUPPORTED, "\"%s\": element %llu, %llu, does not fit %s", name, (unsigned long long)i, (unsigned long long)v, type);
        return wa__fail(err, WA_UNSUPPORTED, "\"%s\": element %llu, %lld, does not fit %s", name, (unsigned long long)i, (long long)v, type);
    }
    return WA_OK;
}

wa_status wa__bridge_convert(const void *src, uint32_t src_dtype, void *dst, uint32_t dst_dtype, uint64_t count, const char *name, wa_error *err)
{
    unsigned a = wa__dtype_info(src_dtype)->bits, b = wa__dtype_info(dst_dtype)->bits;
    if (!a || !b) return wa__fail(err, WA_UNSUPPORTED, "\"%s\": elements of type %u cannot go to type %u", name, src_dtype, dst_dtype);
    if (count == 0) return WA_OK;
    if (src_dtype == dst_dtype) {
        memcpy(dst, src, (size_t)((count * a + 7) / 8));
        return WA_OK;
    }
    if (src_dtype == WA_F64 || dst_dtype == WA_F64) return wa__fail(err, WA_UNSUPPORTED, "\"%s\": 64-bit floats are not on the GPU", name);
    if (src_dtype == WA_I64 && dst_dtype == WA_I32) return narrow(src, dst, count, name, err);
    wa_view from = {{(wa_dtype)src_dtype, 1, {(int64_t)count}}, (void *)(uintptr_t)src}, to = {{(wa_dtype)dst_dtype, 1, {(int64_t)count}}, dst};
    return convert_each(&from, &to, count, name, err);
}
