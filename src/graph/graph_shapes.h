/* Shape rules: one per operator, in tables by group. A rule reads the node's input types (all known
 * and bound) and constant inputs, and fills out[]. Used by src/graph/graph_shapes*.c only.
 *
 * To add an operator: write a rule (or reuse one) and put it in its group's table. */
#ifndef WA_GRAPH_SHAPES_H
#define WA_GRAPH_SHAPES_H
#include "graph/graph.h"

typedef struct wa_infer {
    const wa_graph *g;
    const wa_node *n;
    wa_tensor_type *out; /* n->output_count types, rank 0 and dtype NONE at first */
    wa_error *err;
    char text[200]; /* the node's name for messages */
} wa_infer;

typedef wa_status (*wa_shape_rule)(wa_infer *f);
typedef struct wa_shape_entry {
    wa_op op;
    wa_shape_rule rule;
} wa_shape_entry;
extern const wa_shape_entry wa__shapes_elementwise[], wa__shapes_move[], wa__shapes_index[], wa__shapes_math[], wa__shapes_fused[], wa__shapes_window[];
extern const wa_shape_entry wa__shapes_seq[], wa__shapes_quant[];
extern const wa_shape_entry wa__shapes_select[];

/* Type of an input; NULL when it is omitted. */
const wa_tensor_type *wa__infer_in(const wa_infer *f, uint32_t i);
bool wa__infer_has(const wa_infer *f, uint32_t i);
/* Fails with WA_CORRUPT: the model breaks the operator's rules. */
wa_status wa__infer_bad(wa_infer *f, const char *why);
/* Constant input i as integers; WA_UNSUPPORTED when it is not constant. */
wa_status wa__infer_ints(wa_infer *f, uint32_t i, int64_t *out, uint32_t max, uint32_t *count);
/* Integers from attribute `name`, or else input i; *given false when neither is there. */
wa_status wa__infer_list(wa_infer *f, const char *name, uint32_t i, int64_t *out, uint32_t max, uint32_t *count, bool *given);
/* Brings an axis from [-rank, rank) into [0, rank). */
wa_status wa__infer_axis(wa_infer *f, int64_t axis, uint32_t rank, uint32_t *out);
/* A set of axes from attribute "axes" or input i as flags; *given false when neither is there. */
wa_status wa__infer_axes(wa_infer *f, uint32_t i, uint32_t rank, bool *flags, bool *given);
wa_status wa__infer_broadcast(wa_infer *f, const wa_tensor_type *a, const wa_tensor_type *b, wa_tensor_type *out);

#endif
