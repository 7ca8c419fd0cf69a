/* What the WGSL generators share: a sticky-error emitter and the table's row type. */
#ifndef WA_WGSL_INT_H
#define WA_WGSL_INT_H
#include "kernels/kernels.h"

typedef struct wa_wgsl_emit {
    wa_buf *out;
    wa_error *err;
    wa_status status;
    uint32_t half; /* bindings of f16 elements: wa__wgsl_storage declares them so */
} wa_wgsl_emit;
void wa__wgsl_put(wa_wgsl_emit *e, const char *format, ...) WA_PRINTF(2, 3);

/* check fills info or fails with WA_VERIFY; generate runs only on checked specs. */
typedef struct wa_wgsl_row {
    const char *name;
    wa_status (*check)(const uint32_t *spec, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err);
    void (*generate)(const uint32_t *spec, const uint32_t *code, wa_wgsl_emit *e);
    /* Bindings that may hold f16 (spec checked, info filled in); NULL: none. A generator that has it reads them
     * as vec4f(x[i]) or f32(x[i]) and writes o[i] = T(v), T being wa__wgsl_held. */
    uint32_t (*halves)(const uint32_t *spec, const uint32_t *code, const wa_wgsl_info *info);
} wa_wgsl_row;
extern const wa_wgsl_row wa__wgsl_cumulate;
extern const wa_wgsl_row wa__wgsl_matmul_straight, wa__wgsl_matmul_staged, wa__wgsl_attention_staged, wa__wgsl_pool_shared, wa__wgsl_matmul_batched;
extern const wa_wgsl_row wa__wgsl_conv, wa__wgsl_conv_any, wa__wgsl_conv_depthwise, wa__wgsl_window_pool, wa__wgsl_axis_taps,
    wa__wgsl_grid_sample, wa__wgsl_deform_conv, wa__wgsl_roi;
extern const wa_wgsl_row wa__wgsl_matmul, wa__wgsl_matmul_any, wa__wgsl_attention, wa__wgsl_rows, wa__wgsl_pool, wa__wgsl_reduce,
    wa__wgsl_elementwise, wa__wgsl_gather, wa__wgsl_copy, wa__wgsl_transform_row,
    wa__wgsl_recurrence, wa__wgsl_linear_scan, wa__wgsl_philox;
extern const wa_wgsl_row wa__wgsl_quant_rows, wa__wgsl_matmul_quant, wa__wgsl_quant_upload;
extern const wa_wgsl_row wa__wgsl_matmul_tiles, wa__wgsl_attention_tiles;
extern const wa_wgsl_row wa__wgsl_round_to, wa__wgsl_quantize, wa__wgsl_unpack;
extern const wa_wgsl_row wa__wgsl_pick, wa__wgsl_scatter, wa__wgsl_pad, wa__wgsl_generate_row, wa__wgsl_place, wa__wgsl_topk, wa__wgsl_compact, wa__wgsl_unique,
    wa__wgsl_nms, wa__wgsl_square;

/* Declares storage binding `index`: element is f32, vec4f, u32...; f32 and vec4f become f16 and vec4h where the
 * binding holds f16. */
void wa__wgsl_storage(wa_wgsl_emit *e, uint32_t index, const char *name, const char *element, bool write);
/* The type that binding `index` holds for element f32 or vec4f: itself, or f16 or vec4h. */
const char *wa__wgsl_held(const wa_wgsl_emit *e, uint32_t index, const char *element);
/* Params of n vec4u (p.a[0..n)) at binding `index`. */
void wa__wgsl_params(wa_wgsl_emit *e, uint32_t index, uint32_t n);
/* fn activate(x: f32) -> f32 for FusedMatMul's act; 0 emits nothing. `type` is f32 or vec4f. */
void wa__wgsl_activation(wa_wgsl_emit *e, uint32_t act, const char *type);
/* fn of_code(code: u32) -> u32: the f32 bits of a small float's code. */
void wa__wgsl_small_float(wa_wgsl_emit *e, const wa_small_float *s);
/* fn divide(x: f32, y: f32) -> f32, rounded as IEEE's (wgsl_quant.c). */
void wa__wgsl_divide(wa_wgsl_emit *e);
/* fn half_bits(u: u32) -> u32: the f16 nearest to an f32, as bits; fn value(at: u32) -> u32: the f32 bits of the
 * float of `dtype` at byte `at` of array x (wgsl_transform.c). */
void wa__wgsl_half_bits(wa_wgsl_emit *e);
void wa__wgsl_read_float(wa_wgsl_emit *e, uint32_t dtype);
/* fn table(row: u32, i: u32) -> vec4f: elements 4i.. of a row of a table of 8 bit codes, `width` of them a row, in
 * u32 array `name` (wgsl_quant_upload.c). */
void wa__wgsl_table_row(wa_wgsl_emit *e, const char *name, uint32_t width);
/* fn erf_(x: type) -> type: within 2e-7 of erf. */
void wa__wgsl_erf(wa_wgsl_emit *e, const char *type);

/* wgsl_functions.c */
enum {
    WA_FN_NAN = 1 << 0, WA_FN_MINMAX = 1 << 1, WA_FN_LOG = 1 << 2, WA_FN_EXPM1 = 1 << 3, WA_FN_LOGISTIC = 1 << 4, WA_FN_TANH = 1 << 5,
    WA_FN_ERF = 1 << 6, WA_FN_GELU = 1 << 7, WA_FN_POW = 1 << 8, WA_FN_IPOW = 1 << 9, WA_FN_IDIV = 1 << 10, WA_FN_IMOD = 1 << 11,
    WA_FN_FMOD = 1 << 12, WA_FN_SHIFT = 1 << 13, WA_FN_CIRCLE = 1 << 14, WA_FN_ARC = 1 << 15, WA_FN_HYPERBOLIC = 1 << 16,
    WA_FN_SOFT = 1 << 17, WA_FN_CAST = 1 << 18, WA_FN_ROUND16 = 1 << 19
};
/* The functions of this set and what they call. */
void wa__wgsl_functions(wa_wgsl_emit *e, uint32_t set);
/* f32, i32 or u32 for an element type on the device (small types live in 32 bits); NULL: none. */
const char *wa__wgsl_type(uint32_t dtype);
/* What stands around an integer expression to bring it back into a small type's range. */
void wa__wgsl_wrap(uint32_t dtype, const char **before, const char **after);

#endif
