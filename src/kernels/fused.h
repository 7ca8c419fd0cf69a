/* Shapes of the fused operators of transformers, checked once for reference and fast form. */
#ifndef WA_FUSED_H
#define WA_FUSED_H
#include "kernels/kernels_int.h"

typedef struct wa_attention {
    int64_t batch, heads, queries, keys, size, value_size; /* size: of one head of q and k */
    int64_t q_row, k_row, v_row;  /* elements between tokens */
    int64_t q_at, k_at, v_at;     /* first element in its tensor */
    uint32_t q, k, v, bias;       /* inputs; bias WA_NO_INPUT */
    int64_t bias_stride[4];       /* batch, head, query, key; 0 where it is broadcast */
    float scale;
} wa_attention;
#define WA_NO_INPUT UINT32_MAX
wa_status wa__attention_describe(const wa_kernel_args *a, wa_attention *out, wa_error *err) WA_MUST_CHECK;

typedef struct wa_rows { /* [..,D] */
    int64_t rows, width;
} wa_rows;
/* SkipLayerNorm, EmbedLayerNorm, L2Normalize, MeanPool, ClsPool, MaxPoolTokens: rows of the output. */
wa_status wa__rows_describe(const wa_kernel_args *a, wa_rows *out, wa_error *err) WA_MUST_CHECK;
/* The three table rows of EmbedLayerNorm for output row r; type is -1 without a table. */
wa_status wa__embed_places(const wa_kernel_args *a, int64_t r, int64_t *word, int64_t *position, int64_t *type, wa_error *err) WA_MUST_CHECK;

#endif
