/* The graph IR: values and nodes in static single assignment, nodes in topological order.
 *
 * In: an importer adds values and nodes. Out: passes (src/opt) rewrite it, the planner lowers it.
 * All memory belongs to graph->arena and dies with it; constant data is borrowed from the mapped
 * model files (source >= 0) or lives in the arena. A graph belongs to one thread while it changes;
 * a verified graph that nobody changes may be shared.
 *
 * Shapes: a dim >= 0 is bound; a dim < 0 is symbolic, number -1-dim in graph->symbols (names such
 * as "batch"). rank WA_RANK_UNKNOWN: not inferred yet. Symbols are bound by wa__graph_bind before
 * shape inference and folding run, so that passes and planner see numbers only.
 *
 * Names and attribute names are copied into the arena by every builder. A value that was made early
 * (wa__graph_value) gets its producer by wa__graph_replace(early, real output); wa__graph_compact
 * then sweeps it.
 *
 * Elementwise (a fused chain that one kernel runs in one pass over the output, every input
 * broadcast to the output's shape):
 *   code   INTS, WA_EW_WORDS numbers a step: {op id, a, b, c}. An operand k >= 0 is input k of the
 *          node when k < input count, else the result of step k - input count (always an earlier
 *          one); -1-i is immediate i; WA_EW_ABSENT none. The last step's result is the output.
 *   imm    FLOATS (absent when there are none). An immediate is exact in the type it stands for:
 *          in comparisons the other operand's, elsewhere the step's own. Where's condition is none.
 *   dtypes INTS, one a step: the element type (wa_dtype) of its result. Cast's target is this.
 * Operators: the elementwise ones of the table with 1 to 3 operands (Min, Max, Sum, Mean only with
 * two). Attributes become operands: LeakyRelu, Elu {x, alpha}; HardSigmoid {x, alpha, beta};
 * Gelu {x, 0 for erf or 1 for tanh}; Mod {a, b, fmod 0 or 1}; Clip {x, low or absent, high or absent}.
 *
 * Sub-graphs (If, Loop, Scan): a node owns child graphs. A child reads values of the graph around it
 * only through the node: each captured value is appended to the node's inputs, after the operator's
 * own, and the child's last capture_count inputs stand for them in that order. So uses, dead code,
 * replacement and order need no look inside a child. A child's inputs may have types not known yet
 * (dtype NONE, rank UNKNOWN); its sources are its parent's, index for index.
 */
#ifndef WA_GRAPH_H
#define WA_GRAPH_H
#include "base/limits.h"
#include "base/tensor.h"

#define WA_NONE         UINT32_MAX /* no value (an omitted optional input), no node */
#define WA_RANK_UNKNOWN 255u

typedef enum wa_value_kind { WA_VALUE_INPUT = 1, WA_VALUE_CONST, WA_VALUE_NODE } wa_value_kind;

typedef struct wa_value {
    wa_str name; /* unique in the graph, may be empty for values that passes make */
    wa_value_kind kind;
    wa_tensor_type type; /* dtype NONE and rank UNKNOWN until inferred */
    uint32_t producer;   /* node index, WA_NONE for inputs and constants */
    /* constants only: */
    const uint8_t *data; /* type's bytes, dense little-endian, maybe unaligned */
    int32_t source;      /* index of the mapped file that data lies in, -1: in the arena */
    uint64_t offset;     /* data's place in that file */
} wa_value;

typedef struct wa_graph wa_graph;
typedef struct wa_subgraph {
    wa_str name;             /* the attribute's: "then_branch", "else_branch", "body" */
    wa_graph *graph;         /* owned by the graph that the node is in (graph->children) */
    uint32_t capture_first;  /* node->inputs[capture_first + i] is the child's input */
    uint32_t capture_count;  /* graph->inputs[graph->input_count - capture_count + i] */
} wa_subgraph;

typedef struct wa_node {
    wa_op op;
    wa_str name;         /* from the model file, for error messages and profiles; may be empty */
    uint32_t *inputs;    /* value ids, WA_NONE for an omitted one */
    uint32_t *outputs;
    wa_attr *attrs;
    wa_subgraph *subgraphs;
    uint32_t input_count, output_count, attr_count, subgraph_count;
    int32_t opset;       /* version of the operator's domain, 0 for ours */
    bool dead;           /* removed; swept by wa__graph_compact */
} wa_node;

typedef struct wa_source {
    wa_str name; /* path inside the model's folder, or the file's own name */
    const uint8_t *data; /* borrowed mapping, must outlive the graph */
    uint64_t size;
} wa_source;

struct wa_graph {
    wa_arena *arena; /* owned */
    wa_value *values;
    wa_node *nodes;
    uint32_t value_count, node_count;
    size_t value_cap, node_cap;
    uint32_t *inputs, *outputs; /* value ids in the model's order */
    uint32_t input_count, output_count;
    wa_str *symbols;
    uint32_t symbol_count;
    wa_source *sources;
    uint32_t source_count;
    wa_str name;       /* the model's own name for itself */
    wa_str model_type; /* "bert", ... as its config says; empty for ONNX without one */
    wa_graph **children; /* owned: every sub-graph that a node ever had */
    uint32_t child_count;
};

/* --- life ------------------------------------------------------------------------------------- */
wa_status wa__graph_create(wa_graph **out, wa_error *err) WA_MUST_CHECK;
void wa__graph_free(wa_graph *g); /* NULL is legal */
/* An independent copy (names and constant bytes in files are still borrowed from the mappings;
 * arena data is copied), so that one import serves several shapes. */
wa_status wa__graph_clone(const wa_graph *g, wa_graph **out, wa_error *err) WA_MUST_CHECK;

/* --- building (all return WA_NONE when memory or a limit is passed) ---------------------------- */
uint32_t wa__graph_symbol(wa_graph *g, wa_str name); /* finds or adds; a dim is -1-(int64_t)symbol */
uint32_t wa__graph_source(wa_graph *g, wa_str name, const void *data, uint64_t size);
uint32_t wa__graph_input(wa_graph *g, wa_str name, const wa_tensor_type *type); /* appended to inputs */
/* data borrowed when source >= 0 (it must lie inside that source), else copied into the arena. */
uint32_t wa__graph_const(wa_graph *g, wa_str name, const wa_tensor_type *type, const void *data, int32_t source);
uint32_t wa__graph_const_i64(wa_graph *g, const int64_t *values, uint32_t count); /* rank 1 */
uint32_t wa__graph_const_f32(wa_graph *g, float value);                           /* rank 0 */
/* A value not produced yet, for importers that meet names early. */
uint32_t wa__graph_value(wa_graph *g, wa_str name);
/* Appends a node and makes its output_count outputs; returns the node's index. inputs copied. */
uint32_t wa__graph_node(wa_graph *g, wa_op op, wa_str name, const uint32_t *inputs, uint32_t input_count, uint32_t output_count);
/* The usual case: one output; returns the output's value id. */
uint32_t wa__graph_add(wa_graph *g, wa_op op, const uint32_t *inputs, uint32_t input_count);
bool wa__node_set_int(wa_graph *g, uint32_t node, const char *name, int64_t v);
bool wa__node_set_float(wa_graph *g, uint32_t node, const char *name, float v);
bool wa__node_set_ints(wa_graph *g, uint32_t node, const char *name, const int64_t *v, uint32_t count);
bool wa__node_set_floats(wa_graph *g, uint32_t node, const char *name, const float *v, uint32_t count);
bool wa__node_set_str(wa_graph *g, uint32_t node, const char *name, wa_str v);
int64_t wa__node_int(const wa_node *n, const char *name, int64_t fallback);
float wa__node_float(const wa_node *n, const char *name, float fallback);
/* Gives a node a child graph, taken (freed with g), whose captured values are the node's inputs
 * [capture_first, capture_first + capture_count). False when memory runs out: child is still the caller's. */
bool wa__graph_subgraph(wa_graph *g, uint32_t node, wa_str name, wa_graph *child, uint32_t capture_first, uint32_t capture_count);
const wa_subgraph *wa__node_subgraph(const wa_node *n, const char *name); /* NULL when absent */
bool wa__graph_output(wa_graph *g, uint32_t value); /* appended to outputs */
uint32_t wa__graph_find(const wa_graph *g, wa_str value_name); /* WA_NONE when absent */

/* --- changing ---------------------------------------------------------------------------------- */
/* Every use of `from` (inputs of live nodes, graph outputs) becomes `to`. */
void wa__graph_replace(wa_graph *g, uint32_t from, uint32_t to);
/* How many inputs of live nodes plus graph outputs name this value. */
uint32_t wa__graph_uses(const wa_graph *g, uint32_t value);
/* Turns a node's value into a constant (folding); data copied into the arena. */
bool wa__graph_make_const(wa_graph *g, uint32_t value, const wa_tensor_type *type, const void *data);
/* Puts a copy of a node's child into the graph that the node is in: formal[i] stands for the child's
 * input i, the node's own inputs for the captured ones. outputs[i], room for the child's outputs,
 * becomes the value that the child's output i is: a new one, or a formal or captured value passed
 * through. Copied values have no names and no types but those of constants (whose bytes are shared with
 * the child, as g owns it); copied nodes come last in g and may be used by earlier ones until
 * wa__graph_compact. The node itself stays: replace its results, mark it dead. */
wa_status wa__graph_inline(wa_graph *g, uint32_t node, uint32_t subgraph, const uint32_t *formal, uint32_t formal_count,
                           uint32_t *outputs, wa_error *err) WA_MUST_CHECK;
/* The same without a node: inputs[i] stands for the child's input i, captured ones too. The child's sources
 * are g's, and the child outlives g or is owned by it. */
wa_status wa__graph_copy_nodes(wa_graph *g, const wa_graph *child, const uint32_t *inputs, uint32_t *outputs, wa_error *err) WA_MUST_CHECK;
/* Inputs of a control node that are the operator's own; captured ones follow. */
uint32_t wa__node_own_inputs(const wa_node *n);
/* Sweeps dead nodes, restores topological order, drops values nobody uses (ids change; inputs and
 * outputs keep their order). */
wa_status wa__graph_compact(wa_graph *g, wa_error *err) WA_MUST_CHECK;
/* Binds symbols by name; unknown names are ignored. A symbol left unbound fails, all named at once. */
typedef struct wa_binding_dim { wa_str symbol; int64_t value; } wa_binding_dim;
wa_status wa__graph_bind(wa_graph *g, const wa_binding_dim *dims, uint32_t count, wa_error *err) WA_MUST_CHECK;
/* Gives input i of the graph (index into its inputs) the type that it has this time, dims bound: for inputs
 * that the model gives no shape, or an open one. It must fit what the model says: the element type, and the
 * rank and sizes where there are any. Before wa__graph_bind, which refuses inputs left without a shape. */
wa_status wa__graph_set_input_type(wa_graph *g, uint32_t input, const wa_tensor_type *type, wa_error *err) WA_MUST_CHECK;

/* --- shapes, checks, text ---------------------------------------------------------------------- */
/* Whether the operator is in the table. One that has neither a shape rule nor a decomposition (opt) is
 * refused when its types are inferred. */
bool wa__graph_op_known(wa_op op);
/* Whether an operator's input may be omitted. */
bool wa__op_may_omit(wa_op op, uint32_t input);
/* Whether it has a shape rule. */
bool wa__graph_op_typed(wa_op op);
/* Infers the output types of one node from its inputs' types and constant values. WA_DYNAMIC when
 * the shape depends on data: an input that decides it is not constant (src/program splits there). */
wa_status wa__graph_infer_node(wa_graph *g, uint32_t node, wa_error *err) WA_MUST_CHECK;
/* Constant value as int64 list (Shape-like inputs); false when not a constant of an integer type. */
bool wa__graph_const_ints(const wa_graph *g, uint32_t value, int64_t *out, uint32_t max, uint32_t *count);
bool wa__graph_const_scalar(const wa_graph *g, uint32_t value, double *out); /* one element */
/* Every rule above, and input counts by the operator table; names node and rule. */
wa_status wa__graph_verify(const wa_graph *g, wa_error *err) WA_MUST_CHECK;
/* Text, one node a line: "%5 = MatMul(%3, %w1) {transB=1} : f32[1,8,384]  # name". With `canonical`
 * values are numbered by first use and names, constant contents and which way round a weight is
 * stored are left out, so that two importers of one model print the same. */
wa_status wa__graph_print(const wa_graph *g, bool canonical, wa_buf *out, wa_error *err) WA_MUST_CHECK;

#endif
