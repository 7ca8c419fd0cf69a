/* What the CPU kernels share: argument checks, strides, the operator tables.
 * A kernel checks its arguments itself: they may come from a plan of somebody else. */
#ifndef WA_KERNELS_INT_H
#define WA_KERNELS_INT_H
#include "base/checked.h"
#include "kernels/isa.h"
#include "kernels/kernels.h"

#define WA_KERNEL_OPERANDS_MAX 8 /* of one broadcast */
#define WA_NODE_OPSET          21 /* what wa__kernel_eval assumes: passes bring nodes to it */

typedef struct wa_kernel_entry {
    wa_op op;
    wa_kernel_fn fn;
} wa_kernel_entry;
/* Each ends with op NONE. */
extern const wa_kernel_entry wa__ref_shape[], wa__ref_index[], wa__ref_elementwise[], wa__ref_reduce[], wa__ref_matmul[], wa__ref_fused[], wa__ref_conv[];
extern const wa_kernel_entry wa__ref_pool[], wa__ref_sample[];
extern const wa_kernel_entry wa__ref_recurrence[], wa__ref_signal[], wa__ref_quant[];
extern const wa_kernel_entry wa__ref_scatter[], wa__ref_select[], wa__ref_matmul_blocks[];

/* Runs a reference; packed elements (4 and 2 bits) are given to it a byte each, but to the operators
 * that know them (kernels_packed.c). */
wa_status wa__kernel_unpacked(wa_kernel_fn fn, const wa_kernel_args *a, wa_error *err);
/* "Gather: text" */
wa_status wa__kernel_fail(const wa_kernel_args *a, wa_error *err, wa_status s, const char *format, ...) WA_PRINTF(4, 5);
/* Input and output counts as the operator table has them, types with a legal rank and size, and
 * memory for every tensor that is not empty. Kernels may index freely after it. */
wa_status wa__kernel_check(const wa_kernel_args *a, wa_error *err) WA_MUST_CHECK;
/* Whether every tensor of 32-bit floats but input `except` lies at a multiple of 4. Plans promise it;
 * where it does not hold, fast kernels leave the call to the reference. */
bool wa__kernel_aligned(const wa_kernel_args *a, uint32_t except);
static inline bool wa__kernel_has(const wa_kernel_args *a, uint32_t input)
{
    return input < a->in_count && a->in[input].type.dtype != WA_DTYPE_NONE;
}
/* Fails unless output `o` has this dtype and shape. */
wa_status wa__kernel_want(const wa_kernel_args *a, uint32_t o, const wa_tensor_type *t, wa_error *err) WA_MUST_CHECK;
/* Fails unless out 0 has the dtype and element count of input 0. */
wa_status wa__kernel_want_same(const wa_kernel_args *a, wa_error *err) WA_MUST_CHECK;
/* Axis attribute or number brought into [0, rank). */
wa_status wa__kernel_axis(const wa_kernel_args *a, int64_t axis, uint32_t rank, uint32_t *out, wa_error *err) WA_MUST_CHECK;
/* An index brought into [0, limit), or an error naming it. */
wa_status wa__kernel_index(const wa_kernel_args *a, int64_t *index, int64_t limit, wa_error *err) WA_MUST_CHECK;
/* Place in input 0 of index tuple `i` (depth numbers of input 1) among the axes from `first` on. */
wa_status wa__kernel_tuple(const wa_kernel_args *a, int64_t i, int64_t depth, uint32_t first, int64_t *out, wa_error *err) WA_MUST_CHECK;
/* Integers from input i when given, else from attribute `name` (may be NULL). given may be NULL. */
wa_status wa__kernel_ints(const wa_kernel_args *a, uint32_t i, const char *name, int64_t *out, uint32_t max, uint32_t *count, bool *given, wa_error *err) WA_MUST_CHECK;
int64_t wa__kernel_int(const wa_kernel_args *a, const char *name, int64_t fallback);
float wa__kernel_float(const wa_kernel_args *a, const char *name, float fallback);
/* Product of dims [from, to). */
int64_t wa__dims_product(const wa_tensor_type *t, uint32_t from, uint32_t to);
/* Row-major strides in elements. */
void wa__strides(const wa_tensor_type *t, int64_t *out);
/* Strides of `t` read as if broadcast to `out`: 0 on broadcast axes. False when it does not fit. */
bool wa__broadcast_strides(const wa_tensor_type *t, const wa_tensor_type *out, int64_t *strides);
/* out[i...] = in[sum of i*stride], dense output of these dims, strides and offset in elements. */
void wa__copy_strided(const void *in, void *out, uint32_t rank, const int64_t *dims, const int64_t *strides, size_t unit);
/* The next index of an odometer; false after the last. */
static inline bool wa__next(int64_t *index, const int64_t *dims, uint32_t rank)
{
    for (uint32_t d = rank; d-- > 0;) {
        if (++index[d] < dims[d]) return true;
        index[d] = 0;
    }
    return false;
}
static inline const uint8_t *wa__bytes_at(const wa_view *v, int64_t element, size_t unit) { return (const uint8_t *)v->data + (size_t)element * unit; }
static inline uint8_t *wa__out_at(const wa_view *v, int64_t element, size_t unit) { return (uint8_t *)v->data + (size_t)element * unit; }

#endif
