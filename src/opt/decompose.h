/* Operators that are functions of simpler ones, written out in one place: a row names the operator, its
 * function builds the same result from operators that have kernels. Runs inside fold, before shape
 * inference, when the types of all inputs are known, so a decomposed operator needs no shape rule.
 * Called by opt_fold.c.
 *
 * To add one: a function in opt_decompose_<group>.c and a row in its table (ended by op NONE).
 *
 * The wa__dc builders make one node each, type it at once and return its (first) result. Errors are
 * sticky (wa__rw): after a failure they return WA_NONE and do nothing. Integers are constants. */
#ifndef WA_DECOMPOSE_H
#define WA_DECOMPOSE_H
#include "opt/opt_int.h"

/* False: this form of the operator is left as it is (it needs a shape rule then). */
typedef bool (*wa_decompose_fn)(wa_rw *r, uint32_t node);
typedef struct wa_decompose_row {
    wa_op op;
    wa_decompose_fn build;
} wa_decompose_row;

extern const wa_decompose_row wa__decompose_simple[], wa__decompose_einsum[], wa__decompose_rnn[], wa__decompose_attention[],
    wa__decompose_signal[];
extern const wa_decompose_row wa__decompose_contrib[], wa__decompose_ms_attention[];
extern const wa_decompose_row wa__decompose_norm[], wa__decompose_loss[];
extern const wa_decompose_row wa__decompose_window[], wa__decompose_resize[];
extern const wa_decompose_row wa__decompose_index[], wa__decompose_tfidf[], wa__decompose_flex[];
extern const wa_decompose_row wa__decompose_quant[], wa__decompose_quant_ms[], wa__decompose_experts[];

/* True when the node was replaced. */
bool wa__opt_decompose(wa_rw *r, uint32_t node);
/* Whether some row is for this operator. */
bool wa__opt_decomposes(wa_op op);

uint32_t wa__dc_node(wa_rw *r, wa_op op, const uint32_t *inputs, uint32_t count, uint32_t outputs); /* node index, not typed yet: set attributes, then wa__dc_out */
uint32_t wa__dc_out(wa_rw *r, uint32_t node, uint32_t output); /* types the node, returns the value */
uint32_t wa__dc1(wa_rw *r, wa_op op, uint32_t a);
uint32_t wa__dc2(wa_rw *r, wa_op op, uint32_t a, uint32_t b);
uint32_t wa__dc3(wa_rw *r, wa_op op, uint32_t a, uint32_t b, uint32_t c);
uint32_t wa__dc_scalar(wa_rw *r, wa_dtype dtype, double value); /* constant, rank 0 */
uint32_t wa__dc_cast(wa_rw *r, uint32_t x, wa_dtype to);        /* x itself when it has that type */
uint32_t wa__dc_reshape(wa_rw *r, uint32_t x, const int64_t *dims, uint32_t rank); /* x itself when nothing changes */
uint32_t wa__dc_transpose(wa_rw *r, uint32_t x, const int64_t *perm, uint32_t rank);
uint32_t wa__dc_reduce(wa_rw *r, wa_op op, uint32_t x, const int64_t *axes, uint32_t count, bool keepdims);
uint32_t wa__dc_slice(wa_rw *r, uint32_t x, int64_t axis, int64_t start, int64_t end);
uint32_t wa__dc_concat(wa_rw *r, const uint32_t *parts, uint32_t count, int64_t axis);
/* Input `input` as integers; false, and a failed session, when it is not constant (WA_DYNAMIC) or no such list. */
bool wa__dc_ints(wa_rw *r, uint32_t node, uint32_t input, int64_t *out, uint32_t max, uint32_t *count);
/* A constant of this type from doubles. */
uint32_t wa__dc_const(wa_rw *r, const wa_tensor_type *t, const double *values);
/* The node's output `output` is now `value`. */
void wa__dc_result(wa_rw *r, uint32_t node, uint32_t output, uint32_t value);

#endif
