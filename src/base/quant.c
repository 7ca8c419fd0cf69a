/* See quant.h. */
#include "base/quant.h"

bool wa__quant_layout(const wa_tensor_type *x, const wa_tensor_type *scale, int64_t axis, int64_t block, wa_quant_layout *out)
{
    *out = (wa_quant_layout){1, 1, 1, 1, 0, 0, 0};
    if (scale->rank == 0 || (wa__count(scale) == 1 && (scale->rank == 1 || x->rank != scale->rank))) {
        out->dim = wa__count(x) ? wa__count(x) : 1;
        return scale->rank <= 1;
    }
    if (axis < -(int64_t)x->rank || axis >= (int64_t)x->rank || block < 0) return false;
    uint32_t at = (uint32_t)(axis < 0 ? axis + x->rank : axis);
    for (uint32_t i = 0; i < x->rank; i++) *(i < at ? &out->outer : i == at ? &out->dim : &out->inner) *= x->dims[i];
    if (scale->rank == 1 && (x->rank != 1 || block == 0 || scale->dims[0] == x->dims[0])) {
        out->dim_stride = 1;
        return scale->dims[0] == out->dim;
    }
    if (scale->rank != x->rank) return false;
    for (uint32_t i = 0; i < x->rank; i++)
        if (i != at && scale->dims[i] != x->dims[i]) return false;
    int64_t blocks = scale->dims[at];
    if (blocks < 1 || out->dim < 1) return false;
    if (block == 0) block = (out->dim + blocks - 1) / blocks;
    if ((out->dim - 1) / block + 1 != blocks) return false;
    out->block = block;
    out->inner_stride = 1;
    out->dim_stride = out->inner;
    out->outer_stride = blocks * out->inner;
    return true;
}

bool wa__quant_range(wa_dtype d, int64_t *low, int64_t *high)
{
    unsigned bits = wa__dtype_info(d)->bits;
    switch (d) {
    case WA_I8: case WA_I16: case WA_I4: case WA_I2:
        *low = -((int64_t)1 << (bits - 1));
        *high = -*low - 1;
        return true;
    case WA_U8: case WA_U16: case WA_U4: case WA_U2:
        *low = 0;
        *high = ((int64_t)1 << bits) - 1;
        return true;
    default: return false;
    }
}

bool wa__quant_blocks(const wa_tensor_type types[4], const wa_attr *attrs, uint32_t attr_count, wa_quant_blocks *q)
{
    const int64_t limit = (int64_t)1 << 31;
    int64_t bits = wa__attr_int(attrs, attr_count, "bits", 4), table = wa__attr_int(attrs, attr_count, "table", 0);
    *q = (wa_quant_blocks){.rows = wa__attr_int(attrs, attr_count, "rows", 0), .cols = wa__attr_int(attrs, attr_count, "cols", 0),
                           .block = wa__attr_int(attrs, attr_count, "block", 0), .zero = wa__attr_int(attrs, attr_count, "zero", 0),
                           .bits = (unsigned)bits, .table = (unsigned)table, .high_first = wa__attr_int(attrs, attr_count, "high_first", 0) != 0};
    if ((bits != 2 && bits != 4 && bits != 8) || table < 0 || table > 2 || (table && bits != 4)) return false;
    if (q->rows < 1 || q->rows > limit || q->cols < 1 || q->cols > limit || q->block < 1 || q->block > limit || q->zero < 0 || q->zero > 255) return false;
    q->blocks = (q->cols + q->block - 1) / q->block;
    q->row_bytes = wa__count(&types[0]) / q->rows;
    q->zero_bytes = (q->blocks * bits + 7) / 8;
    q->zero_float = wa__dtype_is_float(types[2].dtype);
    if (types[0].dtype != WA_U8 || wa__count(&types[0]) % q->rows || q->row_bytes < (q->cols * bits + 7) / 8) return false;
    if (!wa__dtype_is_float(types[1].dtype) || wa__count(&types[1]) != q->rows * q->blocks) return false;
    if (types[3].dtype != WA_DTYPE_NONE && (wa__count(&types[3]) < q->cols || wa__dtype_is_float(types[3].dtype))) return false;
    if (types[2].dtype == WA_DTYPE_NONE) return true;
    return q->zero_float ? wa__count(&types[2]) == q->rows * q->blocks : types[2].dtype == WA_U8 && wa__count(&types[2]) == q->rows * q->zero_bytes;
}

/* bitsandbytes' types. */
float wa__quant_level(uint32_t table, uint32_t code)
{
    static const float levels[2][16] = {
        {0.0f, 0.005208333333f, 0.66666667f, 1.0f, 0.33333333f, 0.5f, 0.16666667f, 0.25f, -0.0f, -0.005208333333f, -0.66666667f, -1.0f,
         -0.33333333f, -0.5f, -0.16666667f, -0.25f},
        {-1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
         -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
         0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f}};
    return levels[table == 2][code & 15];
}
