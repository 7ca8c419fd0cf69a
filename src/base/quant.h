/* How scales and zero points of quantised tensors lie over the elements. In: types of a tensor and of
 * its scale, axis, block size. Out: strides. Shared by shape rules, kernels and the planner. */
#ifndef WA_QUANT_H
#define WA_QUANT_H
#include "base/tensor.h"

/* Element (o, d, n) of x seen as [outer, dim, inner] has scale o*outer_stride + d/block*dim_stride + n*inner_stride. */
typedef struct wa_quant_layout {
    int64_t outer, dim, inner, block;
    int64_t outer_stride, dim_stride, inner_stride;
} wa_quant_layout;
/* One scale for all, one for each place along the axis, or one for each block of places (0: the block
 * size follows from the shapes). False when the scale does not fit. */
bool wa__quant_layout(const wa_tensor_type *x, const wa_tensor_type *scale, int64_t axis, int64_t block, wa_quant_layout *out);
static inline int64_t wa__quant_scale_at(const wa_quant_layout *q, int64_t i)
{
    return i / (q->dim * q->inner) * q->outer_stride + i / q->inner % q->dim / q->block * q->dim_stride + i % q->inner * q->inner_stride;
}
/* DequantizeBlocks (see schema/ops.json): rows of packed codes with a scale a block. */
typedef struct wa_quant_blocks {
    int64_t rows, cols, blocks, block; /* blocks a row, columns a block */
    int64_t row_bytes, zero_bytes;     /* bytes of a row of codes, of packed zero points */
    int64_t zero;                      /* of all blocks, where none are given */
    unsigned bits, table;              /* table 0: codes are numbers */
    bool high_first, zero_float;
} wa_quant_blocks;
/* types: codes, scales, zero points, group of each column (dtype NONE: absent). False when sizes do not fit. */
bool wa__quant_blocks(const wa_tensor_type types[4], const wa_attr *attrs, uint32_t attr_count, wa_quant_blocks *out);
/* Level of a code in table 1 (FP4) or 2 (NF4). */
float wa__quant_level(uint32_t table, uint32_t code);
/* Range of a quantised integer type; false for others. */
bool wa__quant_range(wa_dtype d, int64_t *low, int64_t *high);

#endif
