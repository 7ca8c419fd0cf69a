/* Passes, graph to graph. Each has a name and golden tests in tests/golden/opt_*.txt. */
#ifndef WA_OPT_H
#define WA_OPT_H
#include "graph/graph.h"

/* Evaluates one operator on constant inputs (views in the order of the node's inputs; a NULL data
 * with dtype NONE is an omitted one) into outputs whose types are set and memory allocated.
 * Handed in, so that opt depends on no kernels. */
typedef wa_status (*wa_opt_eval_fn)(void *user, wa_op op, const wa_attr *attrs, uint32_t attr_count, const wa_view *in,
                                    uint32_t in_count, wa_view *out, uint32_t out_count, wa_error *err);
typedef struct wa_opt_options {
    wa_opt_eval_fn eval;
    void *user;
    const char *only; /* NULL: all passes; else the one named (tests) */
    /* fold, run alone, leaves untyped (rank unknown, no dtype) what a plan cannot be made for: nodes whose
     * shape depends on data, If, Loop and Scan, and all that reads their results. Off: an error. */
    bool dynamic;
} wa_opt_options;

/* How an embedding is pooled and normalised (sentence-transformers' modules); appended to the graph
 * before the passes run, so that only [batch, hidden] comes back. */
typedef enum wa_pooling { WA_POOLING_NONE = 0, WA_POOLING_MEAN, WA_POOLING_CLS, WA_POOLING_MAX } wa_pooling;
/* hidden: value [b,s,D]; mask: value [b,s] of an integer type. The graph's outputs become one value
 * "embedding" [b,D]. */
wa_status wa__opt_append_pooling(wa_graph *g, uint32_t hidden, uint32_t mask, wa_pooling pooling, bool normalize, wa_error *err) WA_MUST_CHECK;

/* What is left for the planner that looks constant: Cast and Transpose of weights (upload
 * transforms), and the one case of a constant-only node that folding must leave: Concat (along N:
 * axis 1, or 0 when the user has transB=1) of the weights, and Concat (axis 0) of the biases, that a
 * FusedMatMul with splits=3 reads as inputs 1 and 2. The parts are uploaded, or packed, side by
 * side; nothing is copied on the host. */
/* Runs all passes to a fixed point on a graph whose symbols are bound: shapes and folding, dead
 * code, layer norm, GELU, bias and activation into products, QKV, attention, embedding + norm.
 * The graph verifies after each. */
wa_status wa__opt_run(wa_graph *g, const wa_opt_options *options, wa_error *err) WA_MUST_CHECK;
/* fold (dynamic), control, dead to a fixed point: every type and constant that follows from the inputs'
 * types is there afterwards; what still has no type depends on data. options->only and dynamic are not
 * looked at. wa__opt_run does this first when the graph holds If, Loop or Scan. */
wa_status wa__opt_resolve(wa_graph *g, const wa_opt_options *options, wa_error *err) WA_MUST_CHECK;
const char *const *wa__opt_names(void); /* NULL-terminated, in order */

#endif
