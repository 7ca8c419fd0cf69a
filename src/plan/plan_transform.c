/* Transforms of weights at load, on the CPU: the twin of the GPU's transform kernels, used by the CPU
 * runner for buffers in host memory and by tests. The weight has been verified. */
#include "base/quant_block.h"
#include "plan/plan_int.h"

static float widened(uint32_t dtype, const uint8_t *src, uint64_t i)
{
    uint16_t h;
    float f;
    double d;
    switch (dtype) {
    case WA_F16: memcpy(&h, src + i * 2, 2); return wa__f16_to_f32(h);
    case WA_BF16: memcpy(&h, src + i * 2, 2); return wa__bf16_to_f32(h);
    case WA_F64: memcpy(&d, src + i * 8, 8); return (float)d;
    default: memcpy(&f, src + i * 4, 4); return f;
    }
}

static void put(uint8_t *dst, uint64_t i, const void *word) { memcpy(dst + i * 4, word, 4); }

static void put_half(uint8_t *dst, uint64_t i, float f)
{
    uint16_t h = wa__f32_to_f16(f);
    memcpy(dst + i * 2, &h, 2);
}

static void matrix(const wa_plan_weight *w, const uint8_t *src, uint8_t *dst)
{
    bool half = wa__plan_half_transform(w->transform), turned = w->transform == WA_TRANSFORM_TRANSPOSE2D || w->transform == WA_TRANSFORM_TRANSPOSE2D_F16;
    uint64_t rows = w->p[0], cols = w->p[1], ld = w->p[3], col = w->p[4];
    for (uint64_t r = 0; r < rows; r++) {
        for (uint64_t c = 0; c < cols; c++) {
            float f = widened(w->dtype, src, r * cols + c);
            uint64_t to = turned ? c * ld + col + r : r * ld + col + c;
            if (half) put_half(dst, to, f);
            else put(dst, to, &f);
        }
    }
}

/* [n/16][k/16][n%16][k%16] from [n,k], or turned from [k,n]. */
static void tiles(const wa_plan_weight *w, const uint8_t *src, uint8_t *dst)
{
    uint64_t rows = w->p[0], cols = w->p[1];
    bool turned = w->transform == WA_TRANSFORM_TILES_TURNED_F16;
    for (uint64_t i = 0; i < rows * cols; i++) {
        uint64_t n = turned ? i % cols : i / cols, k = turned ? i / cols : i % cols;
        put_half(dst, ((n / 16) * w->p[3] + k / 16) * 256 + n % 16 * 16 + k % 16, widened(w->dtype, src, i));
    }
}

static wa_status narrow(const wa_plan *p, const wa_plan_weight *w, const uint8_t *src, uint8_t *dst, wa_error *err)
{
    for (uint64_t i = 0; i < w->length / 8; i++) {
        int64_t v;
        memcpy(&v, src + i * 8, 8);
        if (v < INT32_MIN || v > INT32_MAX)
            return wa__fail(err, WA_UNSUPPORTED, "weight \"%s\": element %llu, %lld, does not fit 32 bits", wa__plan_text(p, w->name),
                            (unsigned long long)i, (long long)v);
        int32_t n = (int32_t)v;
        put(dst, i, &n);
    }
    return WA_OK;
}

bool wa__plan_widens(wa_dtype d)
{
    unsigned bits = wa__dtype_info(d)->bits;
    return bits > 0 && bits <= 16 && d != WA_F16 && d != WA_BF16 && d != WA_BOOL;
}

static void widen(const wa_plan_weight *w, const uint8_t *src, uint8_t *dst)
{
    union { const uint8_t *in; void *data; } u = {.in = src};
    int64_t n = (int64_t)(w->dst_length / 4);
    wa_view from = {{(wa_dtype)w->dtype, 1, {n}}, u.data}, to = {{wa__plan_device_dtype((wa_dtype)w->dtype), 1, {n}}, dst};
    for (int64_t i = 0; i < n; i++) {
        if (to.type.dtype == WA_F32) wa__set_f64(&to, i, wa__get_f64(&from, i));
        else wa__set_i64(&to, i, wa__get_i64(&from, i));
    }
}

static void table_block(uint32_t *row, uint64_t cols, uint64_t block, uint16_t scale, const int8_t *codes)
{
    uint32_t *pair = row + cols / 4 + block / 2;
    memcpy(row + block * 8, codes, WA_QUANT_BLOCK);
    *pair = block % 2 ? (*pair & 0xffffu) | (uint32_t)scale << 16 : (*pair & 0xffff0000u) | scale;
}

/* dst is the start of the whole matrix. */
static void quantize(const wa_plan_weight *w, const uint8_t *src, uint32_t *dst)
{
    uint32_t rows = w->p[0], cols = w->p[1], t = w->transform;
    bool by_rows = t == WA_TRANSFORM_QUANT8_KN || t == WA_TRANSFORM_QUANT4_KN, table = t == WA_TRANSFORM_QUANT8_TABLE;
    unsigned bits = t == WA_TRANSFORM_QUANT4_KN || t == WA_TRANSFORM_QUANT4_NK ? 4 : 8;
    uint64_t depth = by_rows ? rows : cols, columns = by_rows ? cols : rows, down = by_rows ? cols : 1, across = by_rows ? 1 : cols;
    for (uint64_t n = 0; n < columns; n++) {
        for (uint64_t k = 0; k < depth / WA_QUANT_BLOCK; k++) {
            float x[WA_QUANT_BLOCK];
            uint16_t scale;
            int8_t codes[WA_QUANT_BLOCK];
            for (uint64_t j = 0; j < WA_QUANT_BLOCK; j++) x[j] = widened(w->dtype, src, n * across + (k * WA_QUANT_BLOCK + j) * down);
            wa__quant_block(x, bits, &scale, codes);
            if (table) table_block(dst + n * wa__quant_table_row(cols), cols, k, scale, codes);
            else wa__quant_place(dst, bits, w->p[3], w->p[5] + k, w->p[4] + n, scale, codes);
        }
    }
}

uint64_t wa__plan_upload_unit(const wa_plan_weight *w)
{
    uint64_t size = wa__dtype_size((wa_dtype)w->dtype);
    switch (w->transform) {
    case WA_TRANSFORM_QUANT8_KN: case WA_TRANSFORM_QUANT4_KN: return WA_QUANT_BLOCK * w->p[1] * size;
    case WA_TRANSFORM_QUANT8_NK: case WA_TRANSFORM_QUANT4_NK: return 2 * w->p[1] * size;
    case WA_TRANSFORM_QUANT8_TABLE: return w->p[1] * size;
    default: return wa__dtype_is_packed((wa_dtype)w->dtype) ? 1 : size;
    }
}

wa_status wa__plan_transform(const wa_plan *p, uint32_t weight, const uint8_t *src, uint8_t *dst, wa_error *err)
{
    const wa_plan_weight *w = &p->weights[weight];
    switch (w->transform) {
    case WA_TRANSFORM_NONE:
        if (w->length) memcpy(dst, src, (size_t)w->length);
        return WA_OK;
    case WA_TRANSFORM_COPY2D:
    case WA_TRANSFORM_TRANSPOSE2D:
    case WA_TRANSFORM_COPY2D_F16:
    case WA_TRANSFORM_TRANSPOSE2D_F16: matrix(w, src, dst); return WA_OK;
    case WA_TRANSFORM_QUANT8_KN: case WA_TRANSFORM_QUANT8_NK: case WA_TRANSFORM_QUANT4_KN: case WA_TRANSFORM_QUANT4_NK:
    case WA_TRANSFORM_QUANT8_TABLE: quantize(w, src, (uint32_t *)(void *)dst); return WA_OK;
    case WA_TRANSFORM_TO_F16:
        for (uint64_t i = 0; i < w->length / wa__dtype_size((wa_dtype)w->dtype); i++) put_half(dst, i, widened(w->dtype, src, i));
        return WA_OK;
    case WA_TRANSFORM_TILES_F16:
    case WA_TRANSFORM_TILES_TURNED_F16: tiles(w, src, dst); return WA_OK;
    case WA_TRANSFORM_I64_TO_I32: return narrow(p, w, src, dst, err);
    case WA_TRANSFORM_BOOL_TO_U32:
        for (uint64_t i = 0; i < w->length; i++) {
            uint32_t v = src[i] != 0;
            put(dst, i, &v);
        }
        return WA_OK;
    case WA_TRANSFORM_WIDEN: widen(w, src, dst); return WA_OK;
    case WA_TRANSFORM_BF16_TO_F32:
    case WA_TRANSFORM_F16_TO_F32:
    case WA_TRANSFORM_F64_TO_F32:
        for (uint64_t i = 0; i < w->dst_length / 4; i++) {
            float f = widened(w->dtype, src, i);
            put(dst, i, &f);
        }
        return WA_OK;
    default: return wa__fail(err, WA_INTERNAL, "transform %u is the kernels' own", w->transform);
    }
}

void wa__plan_upload_of(const wa_plan *p, uint32_t weight, wa_plan_upload *out)
{
    const wa_plan_weight *w = &p->weights[weight];
    bool matrix2d = wa__plan_matrix_transform(w->transform), half = wa__plan_half_transform(w->transform);
    memset(out, 0, sizeof *out);
    out->spec.kernel = WA_WGSL_TRANSFORM;
    out->spec.spec[0] = w->transform;
    out->spec.spec[1] = w->dtype;
    out->spec.half = half ? 2 : 0;
    out->unit = (uint32_t)wa__plan_upload_unit(w);
    out->items = 1;
    out->rows = matrix2d ? w->p[0] : 1;
    out->cols = matrix2d ? w->p[1] : (uint32_t)(half ? w->length / out->unit : w->dst_length / 4);
    out->ld = matrix2d ? w->p[3] : out->cols;
    out->bind_offset = w->dst_offset & ~(uint64_t)(WA_PLAN_ALIGN_GPU - 1);
    out->bind_size = w->dst_offset + w->dst_length - out->bind_offset;
    out->word = (uint32_t)((w->dst_offset - out->bind_offset) / (half ? 2 : 4)) + (matrix2d ? w->p[4] : 0);
    if (!wa__plan_quant_transform(w->transform)) return;
    bool by_rows = w->transform == WA_TRANSFORM_QUANT8_KN || w->transform == WA_TRANSFORM_QUANT4_KN, table = w->transform == WA_TRANSFORM_QUANT8_TABLE;
    unsigned bits = w->transform == WA_TRANSFORM_QUANT4_KN || w->transform == WA_TRANSFORM_QUANT4_NK ? 4 : 8;
    out->spec.kernel = WA_WGSL_QUANT_UPLOAD;
    out->rows = w->p[0];
    out->cols = w->p[1];
    out->ld = w->p[3];
    out->items = w->p[1] / (table ? 64 : by_rows ? 2 : WA_QUANT_BLOCK);
    out->extra = w->p[4];
    if (!table) out->word += (uint32_t)(w->p[5] * wa__quant_stride(bits, w->p[3]));
}
