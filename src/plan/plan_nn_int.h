/* What the rows of the WebNN table use. Every function that gives an operand gives WA_NONE once the node
 * is refused or something failed, and takes WA_NONE for that: rows chain them and look at nothing; the
 * table's callers look at b->nn.status at the end. A row runs twice: as a try, of which nothing stays
 * (that is how a node is refused: in the words of whatever did not fit), and for good. */
#ifndef WA_PLAN_NN_INT_H
#define WA_PLAN_NN_INT_H
#include "plan/plan_int.h"
#include "plan/plan_nn.h"

typedef uint32_t wa_nn; /* an operand of the segment */

typedef struct wa_nn_row {
    wa_op op;
    void (*lower)(wa_plan_builder *b, const wa_node *n);
} wa_nn_row;
/* End with op NONE. */
extern const wa_nn_row wa__nn_math_rows[], wa__nn_fused_rows[], wa__nn_move_rows[], wa__nn_index_rows[], wa__nn_conv_rows[], wa__nn_resize_rows[], wa__nn_more_rows[];
/* The largest absolute value that an integer value can have by the types it was made of; 0: not known. */
double wa__nn_bound(const wa_plan_builder *b, uint32_t value);
void wa__nn_elementwise(wa_plan_builder *b, const wa_node *n);
bool wa__nn_resampled(wa_plan_builder *b, const wa_node *n); /* a Gather or AxisTaps done as resample2d; false: nothing is done */

/* --- refusing ------------------------------------------------------------------------------------- */
void wa__nn_refuse(wa_plan_builder *b, const char *format, ...) WA_PRINTF(2, 3);
static inline bool wa__nn_off(const wa_plan_builder *b) { return b->nn.status != WA_OK || b->nn.why[0]; }

/* --- graph values ----------------------------------------------------------------------------------- */
bool wa__nn_is_here(const wa_plan_builder *b, uint32_t value);      /* the segment has an operand of it */
wa_nn wa__nn_in(wa_plan_builder *b, uint32_t value);                /* of its device type and shape */
wa_nn wa__nn_input(wa_plan_builder *b, const wa_node *n, uint32_t i); /* WA_NONE when omitted */
static inline bool wa__nn_has(const wa_node *n, uint32_t i) { return i < n->input_count && n->inputs[i] != WA_NONE; }
static inline bool wa__nn_wants(const wa_node *n, uint32_t i) { return i < n->output_count && n->outputs[i] != WA_NONE; }
/* The node's i-th output: cast and reshaped to its type where they differ. */
void wa__nn_output(wa_plan_builder *b, const wa_node *n, uint32_t i, wa_nn x);
/* Constant integers of input i, refused when they are not constant; false then. */
bool wa__nn_ints(wa_plan_builder *b, const wa_node *n, uint32_t i, int64_t *out, uint32_t *count);
bool wa__nn_number(wa_plan_builder *b, const wa_node *n, uint32_t i, double *out);
static inline const wa_tensor_type *wa__nn_of(const wa_plan_builder *b, uint32_t value) { return &b->g->values[value].type; }

/* --- the order of axes (plan_nn_layout.c) ---------------------------------------------------------------
 * A row works on [N,C,H,W] unless it asks for the context's own order first thing; then wa__nn_input gives and
 * wa__nn_output takes values of rank 4 as [N,H,W,C], and the row puts its axes where wa__nn_place says. */
void wa__nn_window_order(wa_plan_builder *b, const wa_node *n); /* for windows: NHWC where the context prefers it */
void wa__nn_follow_order(wa_plan_builder *b, const wa_node *n); /* NHWC where an input is held so already */
uint32_t wa__nn_place(const wa_plan_builder *b, uint32_t axis);
uint32_t wa__nn_place_mask(const wa_plan_builder *b, uint32_t mask);
static inline uint32_t wa__nn_spatial(const wa_plan_builder *b) { return b->nn.in_nhwc ? 1 : 2; } /* the first spatial axis */
wa_tensor_type wa__nn_ordered(const wa_plan_builder *b, const wa_tensor_type *t); /* a graph type as the row sees it */
wa_nn wa__nn_aligned(wa_plan_builder *b, uint32_t value); /* a value to broadcast, of any rank, in the row's order */
bool wa__nn_prefers_nhwc(const wa_plan_builder *b);
bool wa__nn_held_nhwc(const wa_plan_builder *b, uint32_t value);
wa_nn wa__nn_in_nhwc(wa_plan_builder *b, uint32_t value);   /* of rank 4 */
wa_nn wa__nn_from_nhwc(wa_plan_builder *b, uint32_t value); /* as [N,C,H,W]; NONE where it is not held as NHWC */
void wa__nn_remember_nhwc(wa_plan_builder *b, uint32_t value, wa_nn x);
wa_tensor_type wa__nn_nhwc_type(const wa_tensor_type *t);

/* --- operands ---------------------------------------------------------------------------------------- */
wa_tensor_type wa__nn_type(const wa_plan_builder *b, wa_nn x); /* rank 0 f32 for WA_NONE */
wa_nn wa__nn_fill(wa_plan_builder *b, wa_dtype d, uint32_t rank, const int64_t *dims, double v);
static inline wa_nn wa__nn_scalar(wa_plan_builder *b, wa_dtype d, double v) { return wa__nn_fill(b, d, 0, NULL, v); }
wa_nn wa__nn_data(wa_plan_builder *b, const wa_tensor_type *t, const void *bytes); /* a constant made here */
wa_nn wa__nn_iota(wa_plan_builder *b, wa_dtype d, int64_t n, int64_t start, int64_t step); /* rank 1, F32, I32 or I64 */

/* --- calls -------------------------------------------------------------------------------------------- */
void wa__nn_set_int(wa_plan_builder *b, const char *name, int64_t v); /* for the next call */
void wa__nn_set_float(wa_plan_builder *b, const char *name, double v); /* infinities are left out */
void wa__nn_set_ints(wa_plan_builder *b, const char *name, const int64_t *v, uint32_t count);
void wa__nn_set_str(wa_plan_builder *b, const char *name, const char *v);
/* The call itself: operands in the schema's order (WA_NONE for an omitted option), checked against the
 * limits; results of the types given. */
void wa__nn_calls(wa_plan_builder *b, wa_nn_op op, const wa_nn *in, uint32_t in_count, const wa_tensor_type *types, uint32_t out_count, wa_nn *out);
wa_nn wa__nn_call(wa_plan_builder *b, wa_nn_op op, const wa_nn *in, uint32_t in_count, const wa_tensor_type *type);
bool wa__nn_takes(const wa_plan_builder *b, wa_nn_op op, uint32_t slot, wa_dtype d);
bool wa__nn_rank_ok(const wa_plan_builder *b, wa_nn_op op, uint32_t slot, uint32_t rank);

wa_nn wa__nn_cast(wa_plan_builder *b, wa_nn x, wa_dtype d);
wa_nn wa__nn_reshape(wa_plan_builder *b, wa_nn x, uint32_t rank, const int64_t *dims);
wa_nn wa__nn_like(wa_plan_builder *b, wa_nn x, const wa_tensor_type *t); /* reshaped to t's dims */
/* Elementwise: operands of one type (cast where the method wants another), broadcast, any rank. */
wa_nn wa__nn_un(wa_plan_builder *b, wa_nn_op op, wa_nn x);
wa_nn wa__nn_bin(wa_plan_builder *b, wa_nn_op op, wa_nn x, wa_nn y);
wa_nn wa__nn_where(wa_plan_builder *b, wa_nn c, wa_nn x, wa_nn y);
wa_nn wa__nn_bool(wa_plan_builder *b, wa_nn x); /* U8, 0 or 1 */
wa_nn wa__nn_scaled(wa_plan_builder *b, wa_nn x, double by); /* x*by; x itself for 1 */
wa_nn wa__nn_plus(wa_plan_builder *b, wa_nn x, double v);
wa_nn wa__nn_transpose(wa_plan_builder *b, wa_nn x, const int64_t *perm);
wa_nn wa__nn_swap(wa_plan_builder *b, wa_nn x, uint32_t i, uint32_t k); /* two axes */
wa_nn wa__nn_slice(wa_plan_builder *b, wa_nn x, const int64_t *starts, const int64_t *sizes, const int64_t *strides);
wa_nn wa__nn_part(wa_plan_builder *b, wa_nn x, uint32_t axis, int64_t start, int64_t size); /* of one axis */
wa_nn wa__nn_concat(wa_plan_builder *b, const wa_nn *x, uint32_t count, uint32_t axis);
wa_nn wa__nn_expand(wa_plan_builder *b, wa_nn x, uint32_t rank, const int64_t *dims);
wa_nn wa__nn_reduce(wa_plan_builder *b, wa_nn_op op, wa_nn x, uint32_t mask, bool keep);
wa_nn wa__nn_matmul(wa_plan_builder *b, wa_nn x, wa_nn y);
wa_nn wa__nn_softmax(wa_plan_builder *b, wa_nn x, uint32_t axis);
/* Where the largest (or smallest) is along the axis, which is kept as 1: I32. */
wa_nn wa__nn_arg(wa_plan_builder *b, wa_nn_op op, wa_nn x, uint32_t axis);
wa_nn wa__nn_gather(wa_plan_builder *b, wa_nn x, wa_nn indices, uint32_t axis);
wa_nn wa__nn_pad(wa_plan_builder *b, wa_nn x, const int64_t *before, const int64_t *after, const char *mode, double value);
wa_nn wa__nn_reverse(wa_plan_builder *b, wa_nn x, uint32_t mask);
wa_nn wa__nn_act(wa_plan_builder *b, wa_nn x, uint32_t act); /* FusedMatMul's act */
/* (x - mean)/sqrt(variance + epsilon) * scale + bias over the last axis; scale, bias may be WA_NONE. */
wa_nn wa__nn_layernorm(wa_plan_builder *b, wa_nn x, wa_nn scale, wa_nn bias, uint32_t axis, double epsilon);
/* One elementwise operator of the table on operands; out: the type of its result as ONNX has it. */
wa_nn wa__nn_apply(wa_plan_builder *b, wa_op op, const wa_nn x[3], wa_dtype in, wa_dtype out);

static inline bool wa__nn_axis(wa_plan_builder *b, int64_t axis, uint32_t rank, uint32_t *out)
{
    *out = (uint32_t)(axis < 0 ? axis + rank : axis);
    if (*out < rank || (rank == 0 && axis == 0)) return true;
    wa__nn_refuse(b, "axis %lld is outside rank %u", (long long)axis, rank);
    return false;
}

#endif
