/* Builders that the decompositions of sequences, attention and com.microsoft operators share, on top of
 * decompose.h's (errors are sticky, WA_NONE comes back after one). In opt_decompose_parts.c. */
#ifndef WA_DECOMPOSE_PARTS_H
#define WA_DECOMPOSE_PARTS_H
#include "opt/decompose.h"

#define WA_MASK_LOW (-3.0e38) /* stands for minus infinity: sums with scores stay finite */

/* A constant tensor; data is copied. */
uint32_t wa__dp_const(wa_rw *r, const wa_tensor_type *t, const void *data);
/* Zeros of a type. */
uint32_t wa__dp_zeros(wa_rw *r, wa_dtype dtype, const int64_t *dims, uint32_t rank);
uint32_t wa__dp_scaled(wa_rw *r, uint32_t x, double factor); /* x itself for 1 */
uint32_t wa__dp_shifted(wa_rw *r, uint32_t x, double summand); /* x itself for 0 */
/* 16-bit floats widened to 32 bits; anything else as it is. */
uint32_t wa__dp_wide(wa_rw *r, uint32_t x);
uint32_t wa__dp_slice_step(wa_rw *r, uint32_t x, int64_t axis, int64_t start, int64_t end, int64_t step);
uint32_t wa__dp_expand(wa_rw *r, uint32_t x, const int64_t *dims, uint32_t rank);
uint32_t wa__dp_gather(wa_rw *r, uint32_t x, uint32_t indices, int64_t axis);
uint32_t wa__dp_softmax(wa_rw *r, uint32_t x); /* last axis */
/* y = x * w (+ bias): x [m,k], w [k,n] or, transposed, [n,k]; bias broadcasts to [m,n] or is WA_NONE. */
uint32_t wa__dp_gemm(wa_rw *r, uint32_t x, uint32_t w, bool transposed, uint32_t bias);
/* Activation of com.microsoft's activation attributes and their like; x itself for an empty name. False for a name not known. */
bool wa__dp_activation(wa_rw *r, wa_str name, float alpha, float beta, float gamma, uint32_t *x);
uint32_t wa__dp_gelu(wa_rw *r, uint32_t x, bool by_tanh);
/* Attribute STRING; fallback when it is absent. */
wa_str wa__dp_str(const wa_node *n, const char *name, const char *fallback);
static inline int64_t wa__dp_dim(const wa_rw *r, uint32_t x, uint32_t i) { return wa__rw_t(r, x)->dims[i]; }
/* Output o exists and somebody may use it. */
bool wa__dp_wants(const wa_rw *r, uint32_t node, uint32_t o);
/* Result `value`, cast to `dtype`, becomes the node's output o where that is wanted. */
void wa__dp_result(wa_rw *r, uint32_t node, uint32_t o, uint32_t value, wa_dtype dtype);

/* --- scaled dot product attention, opt_decompose_sdpa.c --------------------------------------------- */
typedef struct wa_sdpa {
    uint32_t q, k, v; /* [b,h,s,d], or flat: [b,s,h*d] */
    bool q_flat, kv_flat, out_flat;
    int64_t heads, kv_heads; /* heads a multiple of kv_heads: groups share keys and values */
    double scale, softcap;   /* softcap 0: none */
    uint32_t bias;    /* float, added; broadcasts to [b,heads,s,t]; WA_NONE */
    uint32_t allowed; /* bool, broadcasts as bias does; WA_NONE: every key */
    bool may_be_empty; /* a row may have no key allowed: it gives 0 */
    bool mask_first;  /* bias comes before softcap */
    uint32_t sink;    /* [heads] float: one more score a head in the sum, with no value; WA_NONE */
    bool smooth;      /* as a sink of 0 */
    int scores_mode;  /* -1: not wanted; 0 products, 1 after softcap, 2 after bias and mask, 3 after softmax */
    uint32_t scores;  /* out: [b,heads,s,t] */
} wa_sdpa;
/* [b,h,s,dv], or flat. */
uint32_t wa__dp_attend(wa_rw *r, wa_sdpa *a);
/* [b,s,h*d] to [b,h,s,d] and back. */
uint32_t wa__dp_heads(wa_rw *r, uint32_t x, int64_t heads);
uint32_t wa__dp_flat(wa_rw *r, uint32_t x);
/* Bool constant [s,t]: low <= j - i <= high. */
uint32_t wa__dp_band(wa_rw *r, int64_t s, int64_t t, int64_t low, int64_t high);
/* I64 constant [s,t] of j - i. */
uint32_t wa__dp_distance(wa_rw *r, int64_t s, int64_t t);
/* x [b,s,h,d] rotated by cos, sin [b|1,s,rotary/2]; d beyond rotary (even, 0: all) passes. */
uint32_t wa__dp_rotate(wa_rw *r, uint32_t x, uint32_t cos, uint32_t sin, int64_t rotary, bool interleaved);
uint32_t wa__dp_and(wa_rw *r, uint32_t a, uint32_t b); /* either may be WA_NONE */

#endif
