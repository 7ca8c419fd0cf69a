/* What the decompositions of quantised operators share (opt_decompose_quant*.c). As wa__dc builders:
 * after a failure they do nothing and return WA_NONE. */
#ifndef WA_OPT_QUANT_H
#define WA_OPT_QUANT_H
#include "opt/decompose.h"

void wa__dq_copy_attrs(wa_rw *r, uint32_t from, uint32_t to);
/* A vector along `axis` of a tensor of this rank; one element becomes a scalar, more axes stay. */
uint32_t wa__dq_spread(wa_rw *r, uint32_t x, uint32_t rank, uint32_t axis);
/* One element of any rank as a scalar; anything else as it is. */
uint32_t wa__dq_scalar(wa_rw *r, uint32_t x);
/* x - zero in I32; zero (WA_NONE: 0) one for all, or a vector along `axis`. */
uint32_t wa__dq_centred(wa_rw *r, uint32_t x, uint32_t zero, uint32_t axis);
/* a*b/y in F32; y may be WA_NONE. */
uint32_t wa__dq_scales(wa_rw *r, uint32_t a, uint32_t b, uint32_t y);
/* QuantizeLinear to type `to`; scale WA_NONE: 1, zero WA_NONE: 0. */
uint32_t wa__dq_quantize(wa_rw *r, uint32_t x, uint32_t scale, uint32_t zero, wa_dtype to);
uint32_t wa__dq_dequantize(wa_rw *r, uint32_t x, uint32_t scale, uint32_t zero);
/* (a - a_zero).(b - b_zero) in I32; zero points of rows of a, columns of b. */
uint32_t wa__dq_matmul(wa_rw *r, uint32_t a, uint32_t b, uint32_t a_zero, uint32_t b_zero);
/* DequantizeBlocks of codes, scales, zero points and groups (WA_NONE: none). */
typedef struct wa_dq_blocks {
    int64_t rows, cols, block, bits, zero, table, high_first;
} wa_dq_blocks;
uint32_t wa__dq_unpack(wa_rw *r, const uint32_t inputs[4], const wa_dq_blocks *k);
/* DynamicQuantizeLinear: codes U8, scale, zero point. */
void wa__dq_dynamic(wa_rw *r, uint32_t x, uint32_t out[3]);

#endif
