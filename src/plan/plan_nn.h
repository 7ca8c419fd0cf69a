/* What a WebNN context offers, as its opSupportLimits() says: filled by the bridge from a page's hello,
 * read by the planner. Plain data without padding, so that its bytes can be hashed. */
#ifndef WA_PLAN_NN_H
#define WA_PLAN_NN_H
#include "base/schema_gen.h"
#include <stdint.h>

typedef struct wa_nn_slot { /* of one operand or result */
    uint32_t dtypes; /* bit d: WebNN takes wa_dtype d (BOOL is U8) */
    uint16_t rank_min, rank_max;
} wa_nn_slot;

typedef struct wa_nn_limits {
    wa_nn_slot op[WA_NN_COUNT][WA_NN_SLOTS]; /* slots in the order of schema/webnn.json; dtypes 0: absent */
    wa_nn_slot input, constant, output;      /* of a graph */
    uint64_t tensor_bytes;                   /* the most that one tensor holds */
    uint32_t ops;                            /* methods that the context lists */
    uint32_t nchw;                           /* the layout it prefers: 1 nchw, 0 nhwc */
    char device[8];                          /* the device type asked for: "cpu", "gpu", "npu" */
} wa_nn_limits;

#endif
