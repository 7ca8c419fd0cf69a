/* Model files to graphs. Weights stay in the mapped files.
 *
 * Attributes keep ONNX's names and kinds, but for those that ONNX holds as a tensor or as its own
 * number of an element type:
 *   ConstantOfShape  value: attributes value_f (FLOAT) or value_i (INT), and dtype (INT, a wa_dtype); f64 and
 *                    types below 8 bits or of 8-bit floats: the node is an Expand of a constant
 *   Cast, BitCast    to: INT, a wa_dtype (opsets below 6 name it); EyeLike dtype likewise
 *   Constant         no node at all: a constant
 *   If, Loop, Scan   their graphs are the node's children (graph.h), what those capture its last inputs;
 *                    outer constants are copied into the child (their bytes shared)
 * String lists become one string with commas. Any other tensor attribute is refused. Model-local functions
 * are inlined, sparse tensors made dense. Lists that older opsets keep in attributes (axes, pads, ...) stay
 * there; a node's opset tells. Omitted trailing inputs and outputs are cut off. Inputs may have no shape:
 * wa__graph_set_input_type gives them one. */
#ifndef WA_IMPORT_H
#define WA_IMPORT_H
#include "graph/graph.h"

/* One file of a model: its path inside the model's folder and its mapped bytes (borrowed, must
 * outlive every graph made from them). */
typedef struct wa_model_file {
    wa_str name;
    const uint8_t *data;
    uint64_t size;
} wa_model_file;
typedef struct wa_model_files {
    const wa_model_file *files;
    uint32_t count;
} wa_model_files;
const wa_model_file *wa__model_file(const wa_model_files *m, const char *name); /* NULL when absent */

typedef enum wa_format { WA_FORMAT_UNKNOWN = 0, WA_FORMAT_ONNX, WA_FORMAT_HF } wa_format;
/* ONNX when a .onnx file is there (model.onnx, else onnx/model.onnx, else the only one; several
 * candidates fail naming them); else HF when config.json and *.safetensors are. *main_file is the
 * file that import starts from. */
wa_status wa__import_detect(const wa_model_files *m, wa_format *format, const wa_model_file **main_file, wa_error *err) WA_MUST_CHECK;
/* Dispatches by format. The result verifies, with symbolic dims where the model leaves them open
 * (HF: "batch", "sequence"). Every unknown operator (with domain, opset, count), or the unsupported
 * architecture and config keys, is listed in one error, WA_UNSUPPORTED. */
wa_status wa__import(const wa_model_files *m, wa_graph **out, wa_error *err) WA_MUST_CHECK;
/* The two importers, for tests. `m` lets ONNX find external data files. */
wa_status wa__import_onnx(const wa_model_files *m, const wa_model_file *file, wa_graph **out, wa_error *err) WA_MUST_CHECK;
wa_status wa__import_hf(const wa_model_files *m, wa_graph **out, wa_error *err) WA_MUST_CHECK;
/* One TensorProto on its own; *data is a copy of its elements (wa__free). */
wa_status wa__import_tensor(const void *bytes, size_t n, const char *name, wa_tensor_type *type, void **data, wa_error *err) WA_MUST_CHECK;

#endif
