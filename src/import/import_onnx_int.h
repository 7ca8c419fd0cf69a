/* What the files of the ONNX importer share. Field numbers are those of the ONNX IR's onnx.proto. */
#ifndef WA_IMPORT_ONNX_INT_H
#define WA_IMPORT_ONNX_INT_H
#include "import/import_int.h"
#include "import/import_proto.h"

#define WA_ONNX_DOMAINS_MAX 64u
#define WA_ONNX_UNKNOWN_MAX 64u /* kinds of unknown operators that one error lists */
#define WA_ONNX_ATTRS_MAX   64u /* per node: ONNX's richest operator has 18; keeps look-ups by name short */
#define WA_ONNX_OPSET_MIN   7   /* broadcasting works as NumPy's since opset 7 */

typedef struct wa_onnx_opset {
    wa_str domain; /* "" for ai.onnx */
    int64_t version;
} wa_onnx_opset;

typedef struct wa_onnx {
    const wa_model_files *files;
    const wa_model_file *file;
    const char *what; /* the file's name, NUL-terminated, in the graph's arena */
    wa_graph *g;
    wa_names names;
    wa_onnx_opset opsets[WA_ONNX_DOMAINS_MAX];
    uint32_t opset_count;
    uint64_t ir_version;
    wa_reader graph; /* the GraphProto */
    bool has_graph;
} wa_onnx;

/* A NodeProto's fields but its lists. */
typedef struct wa_onnx_node {
    wa_reader body;
    size_t offset;
    wa_str name, type, domain;       /* domain "" for ai.onnx */
    uint32_t inputs, outputs, attrs; /* how many; trailing empty names not counted */
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

/* import_onnx_tensor.c */
wa_status wa__onnx_tensor_read(const wa_onnx *o, const wa_pb_field *f, wa_onnx_tensor *out,
                               wa_error *err) WA_MUST_CHECK;
/* Adds it as a constant; `name` may be empty. Raw data is borrowed, other forms are converted. */
wa_status wa__onnx_tensor_const(wa_onnx *o, const wa_onnx_tensor *t, wa_str name, uint32_t *value,
                                wa_error *err) WA_MUST_CHECK;
/* import_onnx_node.c */
wa_status wa__onnx_node_read(const wa_onnx *o, const wa_pb_field *f, wa_onnx_node *out,
                             wa_error *err) WA_MUST_CHECK;
wa_status wa__onnx_node_add(wa_onnx *o, const wa_onnx_node *n, wa_error *err) WA_MUST_CHECK;
/* Every attribute of a node onto the graph's node. import_onnx_attr.c */
wa_status wa__onnx_attrs(wa_onnx *o, const wa_onnx_node *n, uint32_t node, wa_error *err) WA_MUST_CHECK;
/* A Constant node's value as a constant named after its output. import_onnx_attr.c */
wa_status wa__onnx_constant(wa_onnx *o, const wa_onnx_node *n, wa_str name, uint32_t *value,
                            wa_error *err) WA_MUST_CHECK;
/* import_onnx.c: a new value's name into the table; refuses a second one of that name. */
wa_status wa__onnx_name(wa_onnx *o, uint32_t value, const char *kind, size_t offset,
                        wa_error *err) WA_MUST_CHECK;
/* Lists every operator that the schema lacks in one error. import_onnx_check.c */
/* A domain's version, -1 when the model does not say it. */
int64_t wa__onnx_opset(const wa_onnx *o, wa_str domain);
wa_status wa__onnx_check_ops(const wa_onnx *o, wa_reader graph, wa_error *err) WA_MUST_CHECK;

/* "Gather node \"x\" at byte 123" */
#define WA_ONNX_NODE_FMT       "%s: %.*s node \"%.*s\" at byte %zu"
#define WA_ONNX_NODE_ARG(o, n) (o)->what, WA_STR_ARG((n)->type), WA_STR_ARG((n)->name), (n)->offset

#endif
