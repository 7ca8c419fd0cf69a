/* Fast attention in f32: one task is one head's tile of queries. Keys go by in tiles; the running
 * maximum and sum of each query rescale what is already there (FlashAttention's online softmax), so
 * that scores never leave the cache and memory does not grow with the text. */
#ifndef WA_ATTENTION_H
#define WA_ATTENTION_H
#include "kernels/fused.h"
#include "kernels/gemm.h"

#define WA_ATTENTION_QUERIES 48
#define WA_ATTENTION_KEYS    128
#define WA_ATTENTION_SIZE    128 /* largest head */

typedef struct wa_attention_task {
    const float *q, *k, *v; /* first token of this head; of the first query of the tile */
    int64_t q_row, k_row, v_row;
    const float *bias;      /* NULL or of the first query; steps below */
    int64_t bias_query, bias_key;
    float *out;
    int64_t out_row, queries, keys, size, value_size;
    float scale;
} wa_attention_task;
void wa__attention_task_cpu(const wa_attention_task *t);
void wa__attention_task_avx2(const wa_attention_task *t);
void wa__attention_task_avx512(const wa_attention_task *t);

bool wa__attention_has_fast(const wa_kernel_args *a);
wa_status wa__attention_fast(const wa_kernel_args *a, wa_error *err);

#endif
