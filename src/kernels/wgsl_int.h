/* What the WGSL generators share: a sticky-error emitter and the table's row type. */
#ifndef WA_WGSL_INT_H
#define WA_WGSL_INT_H
#include "kernels/kernels.h"

typedef struct wa_wgsl_emit {
    wa_buf *out;
    wa_error *err;
    wa_status status;
} wa_wgsl_emit;
void wa__wgsl_put(wa_wgsl_emit *e, const char *format, ...) WA_PRINTF(2, 3);

/* check fills info or fails with WA_VERIFY; generate runs only on checked specs. */
typedef struct wa_wgsl_row {
    const char *name;
    wa_status (*check)(const uint32_t *spec, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err);
    void (*generate)(const uint32_t *spec, const uint32_t *code, wa_wgsl_emit *e);
} wa_wgsl_row;
extern const wa_wgsl_row wa__wgsl_matmul, wa__wgsl_matmul_any, wa__wgsl_attention, wa__wgsl_rows, wa__wgsl_pool, wa__wgsl_reduce,
    wa__wgsl_elementwise, wa__wgsl_gather, wa__wgsl_copy, wa__wgsl_transform_row;

/* Declares storage binding `index`: element is f32, vec4f, u32... */
void wa__wgsl_storage(wa_wgsl_emit *e, uint32_t index, const char *name, const char *element, bool write);
/* Params of n vec4u (p.a[0..n)) at binding `index`. */
void wa__wgsl_params(wa_wgsl_emit *e, uint32_t index, uint32_t n);
/* fn activate(x: f32) -> f32 for FusedMatMul's act; 0 emits nothing. `type` is f32 or vec4f. */
void wa__wgsl_activation(wa_wgsl_emit *e, uint32_t act, const char *type);
/* fn erf_(x: type) -> type: within 2e-7 of erf. */
void wa__wgsl_erf(wa_wgsl_emit *e, const char *type);

#endif
