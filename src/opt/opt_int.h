/* What passes share: a rewrite session over one graph.
 *
 * A pass walks the nodes forward (wa__rw_visit each first), matches patterns upwards from the last
 * node of each, and turns that node into the fused one in place (wa__rw_become), so that the value it
 * makes keeps its id and name. Nodes whose results nobody uses any more die at once. Use counts and
 * replacements are kept here, so that no step costs more than the pattern it looks at.
 *
 * Errors are sticky: helpers that fail set status and do nothing more; wa__rw_end returns it. */
#ifndef WA_OPT_INT_H
#define WA_OPT_INT_H
#include "opt/opt.h"

typedef struct wa_rw {
    wa_graph *g;
    const wa_opt_options *options;
    uint32_t *uses;  /* per value: inputs of live nodes + graph outputs */
    uint32_t *alias; /* per value: 1 + the value that replaced it, 0 none */
    bool *is_output; /* per value: a graph output */
    size_t uses_cap, alias_cap, output_cap;
    uint32_t *stack; /* values whose last use went */
    size_t stack_cap;
    wa_status status;
    wa_error *err;
    bool changed;
} wa_rw;

wa_status wa__rw_begin(wa_rw *r, wa_graph *g, const wa_opt_options *options, wa_error *err);
/* Applies replacements, compacts when anything changed, frees. Returns the session's status. */
wa_status wa__rw_end(wa_rw *r);
/* Brings node i's inputs up to date; false when it is dead or the session failed. */
bool wa__rw_visit(wa_rw *r, uint32_t i);
void wa__rw_fail(wa_rw *r, wa_status s);
/* False (and WA_NO_MEMORY) when ok is false. */
bool wa__rw_need(wa_rw *r, bool ok);

/* --- changing */
/* The node gets another operator and inputs, loses its attributes. Set new ones, then wa__rw_type. */
bool wa__rw_become(wa_rw *r, uint32_t node, wa_op op, const uint32_t *inputs, uint32_t count);
/* A new node with one output; WA_NONE on failure. Set its attributes, then wa__rw_type. */
uint32_t wa__rw_node(wa_rw *r, wa_op op, const uint32_t *inputs, uint32_t count);
uint32_t wa__rw_node_many(wa_rw *r, wa_op op, const uint32_t *inputs, uint32_t count, uint32_t outputs);
/* Nodes from `first` on that wa__graph_inline made become the session's: their inputs are uses. */
bool wa__rw_adopt(wa_rw *r, uint32_t first);
/* Nodes from `first` on, which nothing uses, go. */
void wa__rw_abandon(wa_rw *r, uint32_t first);
/* Infers the node's outputs; one that had a type already must keep it. */
bool wa__rw_type(wa_rw *r, uint32_t node);
void wa__rw_set_input(wa_rw *r, uint32_t node, uint32_t input, uint32_t value);
/* All uses of `from`, a result of a node, become `to`. False, and nothing done, when both names are
 * the graph's own (an output that passes an input through). */
bool wa__rw_replace(wa_rw *r, uint32_t from, uint32_t to);
/* A value that nodes made by hand, or constants made by wa__graph_const, must be known here. */
bool wa__rw_grow(wa_rw *r);
uint32_t wa__rw_const_ints(wa_rw *r, const int64_t *values, uint32_t count);
/* The node's result becomes a constant that shares the bytes of constant `from`. */
bool wa__rw_share_const(wa_rw *r, uint32_t node, uint32_t from);
void wa__rw_drop_inputs(wa_rw *r, uint32_t node);

/* --- matching */
const wa_tensor_type *wa__rw_t(const wa_rw *r, uint32_t value);
bool wa__rw_is_const(const wa_rw *r, uint32_t value);
/* Index of the live node that makes the value, when its operator is op (any: WA_OP_NONE); else WA_NONE. */
uint32_t wa__rw_def(const wa_rw *r, uint32_t value, wa_op op);
/* As wa__rw_def, and nobody else uses the value. */
uint32_t wa__rw_def1(const wa_rw *r, uint32_t value, wa_op op);
/* Input i of a node; WA_NONE when it is omitted. */
uint32_t wa__rw_in(const wa_rw *r, uint32_t node, uint32_t i);
/* A constant float of one element, or with equal elements. */
bool wa__rw_scalar(const wa_rw *r, uint32_t value, double *out);
bool wa__rw_is_scalar(const wa_rw *r, uint32_t value, double want);
/* Of a two-input node: the scalar constant and the other input. Only for commuting operators. */
bool wa__rw_split_scalar(const wa_rw *r, uint32_t node, double *scalar, uint32_t *other);
/* Of a two-input node: the input made by a node `op` used once, and the other. */
bool wa__rw_split_def1(const wa_rw *r, uint32_t node, wa_op op, uint32_t *def, uint32_t *other);
/* A constant matrix in the file, or Cast of one. */
bool wa__rw_is_weight(const wa_rw *r, uint32_t value);
/* Axes of a Reduce are exactly {axis}; keepdims as asked (-1: any). */
bool wa__rw_reduces(const wa_rw *r, uint32_t node, int64_t axis, int keepdims);
bool wa__rw_perm_is(const wa_rw *r, uint32_t node, const int64_t *perm, uint32_t count);
bool wa__rw_same_type(const wa_rw *r, uint32_t a, uint32_t b);

/* --- passes, one a file */
void wa__opt_fold(wa_rw *r);
void wa__opt_control(wa_rw *r);
void wa__opt_dead(wa_rw *r);
void wa__opt_cse(wa_rw *r);
void wa__opt_layernorm(wa_rw *r);
void wa__opt_gelu(wa_rw *r);
void wa__opt_matmul(wa_rw *r);
void wa__opt_conv(wa_rw *r);
void wa__opt_attention(wa_rw *r);
void wa__opt_qkv(wa_rw *r);
void wa__opt_embed(wa_rw *r);
void wa__opt_skiplayernorm(wa_rw *r);
void wa__opt_pooling(wa_rw *r);
void wa__opt_elementwise(wa_rw *r);
/* parts of control */
bool wa__opt_is_control(const wa_node *n); /* If, Loop, Scan */
bool wa__control_inline(wa_rw *r, uint32_t node, uint32_t subgraph, const uint32_t *formal, uint32_t count, uint32_t *outputs);
void wa__control_result(wa_rw *r, uint32_t node, uint32_t output, uint32_t value);
uint32_t wa__control_nodes(const wa_graph *g); /* of a body and the bodies in it */
uint32_t wa__control_unsqueeze(wa_rw *r, uint32_t x, int64_t axis);
uint32_t wa__control_concat(wa_rw *r, const uint32_t *parts, uint32_t count, int64_t axis);
uint32_t wa__control_empty(wa_rw *r, uint32_t x, int64_t axis); /* none of x's places on that axis */
/* Whether so many trips of a body of so many nodes may be unrolled. */
bool wa__control_room(const wa_rw *r, int64_t trips, uint32_t nodes);
void wa__control_scan(wa_rw *r, uint32_t node);
#define WA_UNROLL_NODES_MAX 4096u /* trips times body nodes; longer loops run on the host, or not at all */
/* parts of fold */
void wa__opt_modernize(wa_rw *r, uint32_t node); /* attributes of old opsets become constant inputs */
void wa__opt_simplify(wa_rw *r, uint32_t node);  /* what changes nothing goes, views merge */

#endif
