/* What the files of the ONNX importer share. Field numbers are those of the ONNX IR's onnx.proto.
 *
 * A scope (wa_onnx) is one graph or function body being read: names are looked up in it, then in the scopes
 * around it, from which a sub-graph captures what it needs. The body of a model-local function is a scope
 * of its own that adds to its caller's graph. */
#ifndef WA_IMPORT_ONNX_INT_H
#define WA_IMPORT_ONNX_INT_H
#include "import/import_int.h"
#include "import/import_proto.h"

#define WA_ONNX_DOMAINS_MAX   64u
#define WA_ONNX_UNKNOWN_MAX   64u     /* kinds of unknown operators that one error lists */
#define WA_ONNX_ATTRS_MAX     64u     /* per node: ONNX's richest operator has 18; keeps look-ups by name short */
#define WA_ONNX_FUNCTIONS_MAX 65536u  /* per model: exporters write one for each kind of layer */
#define WA_ONNX_CALLS_MAX     200000u /* functions inlined, in all: calls in calls multiply */

typedef struct wa_onnx_opset {
    wa_str domain; /* "" for ai.onnx */
    int64_t version;
} wa_onnx_opset;

typedef struct wa_onnx_opsets {
    wa_onnx_opset list[WA_ONNX_DOMAINS_MAX];
    uint32_t count;
} wa_onnx_opsets;

/* A FunctionProto. */
typedef struct wa_onnx_function {
    wa_str domain, name, overload;
    wa_reader body;
    size_t offset;
    bool open; /* being inlined, or looked through: a call now would be recursion */
    bool seen; /* looked through for unknown operators */
} wa_onnx_function;

typedef struct wa_onnx_model {
    const wa_model_files *files;
    const wa_model_file *file;
    wa_graph *g; /* the outermost */
    wa_onnx_opsets opsets;
    uint64_t ir_version;
    wa_reader graph; /* the GraphProto */
    bool has_graph;
    wa_onnx_function *functions; /* on the heap */
    uint32_t function_count;
    size_t function_cap;
    uint32_t calls;
} wa_onnx_model;

/* Attributes that a function was called with, by name, and its defaults. */
typedef struct wa_onnx_argument {
    wa_str name;
    wa_pb_field attr; /* the AttributeProto */
} wa_onnx_argument;
typedef struct wa_onnx_call {
    wa_onnx_argument list[2 * WA_ONNX_ATTRS_MAX]; /* the call's come first and win */
    uint32_t count;
} wa_onnx_call;

typedef struct wa_onnx {
    wa_onnx_model *m;
    const char *what; /* the file's name, NUL-terminated, in the outermost graph's arena */
    wa_graph *g;
    wa_names names;
    struct wa_onnx *outer; /* what a sub-graph captures from; NULL for the model's graph and functions */
    const wa_onnx_opsets *opsets;
    const wa_onnx_call *call; /* inside a function: what its attributes stand for; else NULL */
    wa_reader graph;          /* GraphProto or FunctionProto */
    bool function;            /* a FunctionProto: its values get no names, calls differ in them */
    uint32_t depth;           /* of sub-graphs and calls */
    uint32_t *captured;       /* values of outer->g, on the heap; g's last inputs, in this order */
    uint32_t captured_count;
    size_t captured_cap;
} wa_onnx;

/* A NodeProto's fields but its lists. */
typedef struct wa_onnx_node {
    wa_reader body;
    size_t offset;
    wa_str name, type, domain, overload; /* domain "" for ai.onnx */
    uint32_t inputs, outputs, attrs;     /* how many; trailing empty names not counted */
} wa_onnx_node;

/* A tensor's fields, data not yet found. */
typedef struct wa_onnx_tensor {
    wa_reader body;
    size_t offset;
    wa_str name, raw;
    wa_tensor_type type;
    int64_t onnx_type;
    bool has_raw, external;
} wa_onnx_tensor;

/* --- import_onnx_graph.c: graphs, names */
/* Reads o->graph into o->g. */
wa_status wa__onnx_graph(wa_onnx *o, wa_error *err) WA_MUST_CHECK;
/* A sub-graph attribute of a node just made becomes its child. */
wa_status wa__onnx_child(wa_onnx *o, const wa_onnx_node *n, uint32_t node, const char *name, wa_reader body,
                         wa_error *err) WA_MUST_CHECK;
/* The value that a name stands for here, captured when it comes from outside. False: there is none; *value
 * WA_NONE with WA_OK and *found true: an input that the caller of a function left out. */
wa_status wa__onnx_find(wa_onnx *o, wa_str name, uint32_t *value, bool *found, wa_error *err) WA_MUST_CHECK;
/* A new value's name; refuses a second one in the same scope. */
wa_status wa__onnx_name(wa_onnx *o, wa_str name, uint32_t value, const char *kind, size_t offset,
                        wa_error *err) WA_MUST_CHECK;
/* The file as a source of the scope's graph; its index is the same in all graphs. WA_NONE: no memory. */
uint32_t wa__onnx_source(const wa_onnx *o, const wa_model_file *file);

/* --- import_onnx_info.c: ValueInfoProto */
typedef struct wa_onnx_info {
    wa_str name;
    wa_reader type;
    bool has_type;
    size_t offset;
} wa_onnx_info;
wa_status wa__onnx_info_read(const wa_onnx *o, const wa_pb_field *f, wa_onnx_info *out, wa_error *err) WA_MUST_CHECK;
/* A sub-graph's may say nothing: then no dtype, rank unknown. */
wa_status wa__onnx_info_type(wa_onnx *o, const wa_onnx_info *v, wa_tensor_type *type, wa_error *err) WA_MUST_CHECK;

/* --- import_onnx_tensor.c */
wa_status wa__onnx_tensor_read(const wa_onnx *o, const wa_pb_field *f, wa_onnx_tensor *out,
                               wa_error *err) WA_MUST_CHECK;
/* Adds it as a constant; `name` may be empty. Raw data is borrowed, other forms are converted. */
wa_status wa__onnx_tensor_const(wa_onnx *o, const wa_onnx_tensor *t, wa_str name, uint32_t *value,
                                wa_error *err) WA_MUST_CHECK;
/* Its bytes: borrowed from *file, or *owned (wa__free it). */
wa_status wa__onnx_tensor_data(const wa_onnx *o, const wa_onnx_tensor *t, const wa_model_file **file,
                               const uint8_t **data, void **owned, wa_error *err) WA_MUST_CHECK;
/* --- import_onnx_sparse.c: a SparseTensorProto as a dense constant; *name is its values' name */
wa_status wa__onnx_sparse(wa_onnx *o, const wa_pb_field *f, wa_str *name, uint32_t *value,
                          wa_error *err) WA_MUST_CHECK;
/* --- import_onnx_node.c */
wa_status wa__onnx_node_read(const wa_onnx *o, const wa_pb_field *f, wa_onnx_node *out,
                             wa_error *err) WA_MUST_CHECK;
wa_status wa__onnx_node_add(wa_onnx *o, const wa_onnx_node *n, wa_error *err) WA_MUST_CHECK;
/* --- import_onnx_attr.c: every attribute of a node onto the graph's node */
wa_status wa__onnx_attrs(wa_onnx *o, const wa_onnx_node *n, uint32_t node, wa_error *err) WA_MUST_CHECK;
/* The attributes of a call, references to the caller's own resolved, then the function's defaults. */
wa_status wa__onnx_arguments(const wa_onnx *o, const wa_onnx_node *n, const wa_onnx_function *f, wa_onnx_call *out,
                             wa_error *err) WA_MUST_CHECK;
/* An AttributeProto; of lists the body only. */
#define WA_ONNX_ATTR_NAME_MAX 127
enum { WA_ONNX_FLOAT = 1, WA_ONNX_INT, WA_ONNX_STRING, WA_ONNX_TENSOR, WA_ONNX_GRAPH, WA_ONNX_FLOATS, WA_ONNX_INTS, WA_ONNX_STRINGS,
       WA_ONNX_TENSORS, WA_ONNX_GRAPHS, WA_ONNX_SPARSE, WA_ONNX_KIND_LAST = 14 };
typedef struct wa_onnx_attr {
    wa_reader body;
    size_t offset;
    char name[WA_ONNX_ATTR_NAME_MAX + 1];
    int64_t kind;
    float f;
    int64_t i;
    wa_str s, ref;       /* ref: the function's attribute that it stands for */
    wa_pb_field message; /* of the tensor, sparse tensor or graph */
    bool has_message;
    bool absent;         /* stands for an attribute that the call leaves out */
    bool passed;         /* came with a call */
} wa_onnx_attr;
/* The node's next attribute that is there, from *r on, which starts as the node's body. */
wa_status wa__onnx_attr_next(const wa_onnx *o, const wa_onnx_node *n, wa_reader *r, wa_onnx_attr *a, bool *more,
                             wa_error *err) WA_MUST_CHECK;
/* INTS or FLOATS in a block of its own (wa__free it). */
wa_status wa__onnx_attr_list(const wa_onnx_attr *a, void **out, uint32_t *count, wa_error *err) WA_MUST_CHECK;
wa_status wa__onnx_attr_bad(const wa_onnx *o, const wa_onnx_node *n, const wa_onnx_attr *a, wa_status s, const char *why,
                            wa_error *err);
/* --- import_onnx_constant.c */
/* ConstantOfShape's one-element tensor onto the node. */
wa_status wa__onnx_fill(wa_onnx *o, const wa_onnx_node *n, const wa_onnx_attr *a, uint32_t node, wa_error *err) WA_MUST_CHECK;
/* A Constant node's value; its value's name may be empty. */
wa_status wa__onnx_constant(wa_onnx *o, const wa_onnx_node *n, wa_str name, uint32_t *value,
                            wa_error *err) WA_MUST_CHECK;
/* --- import_onnx_function.c */
wa_status wa__onnx_opset_read(const wa_onnx *o, const wa_pb_field *f, wa_onnx_opsets *sets, wa_error *err) WA_MUST_CHECK;
wa_status wa__onnx_function_read(wa_onnx *o, const wa_pb_field *f, wa_error *err) WA_MUST_CHECK;
wa_onnx_function *wa__onnx_function(const wa_onnx *o, const wa_onnx_node *n); /* NULL when there is none */
wa_status wa__onnx_function_opsets(const wa_onnx *o, const wa_onnx_function *f, wa_onnx_opsets *out, wa_error *err) WA_MUST_CHECK;
/* The node's function's body in the node's place; inputs as wa__graph_node takes them. */
wa_status wa__onnx_function_call(wa_onnx *o, const wa_onnx_node *n, wa_onnx_function *f, const uint32_t *inputs,
                                 wa_error *err) WA_MUST_CHECK;
/* --- import_onnx_check.c */
/* A domain's version, -1 when the model does not say it. */
int64_t wa__onnx_opset(const wa_onnx *o, wa_str domain);
/* The operator that a node names: of ai.onnx or com.microsoft; WA_OP_NONE when the table has none. */
wa_op wa__onnx_op(const wa_onnx_node *n);
/* Lists every operator that the schema lacks in one error. */
wa_status wa__onnx_check_ops(wa_onnx *o, wa_error *err) WA_MUST_CHECK;

/* "Gather node \"x\" at byte 123" */
#define WA_ONNX_NODE_FMT       "%s: %.*s node \"%.*s\" at byte %zu"
#define WA_ONNX_NODE_ARG(o, n) (o)->what, WA_STR_ARG((n)->type), WA_STR_ARG((n)->name), (n)->offset

#endif
