/* The plan: a small static program, all data. See docs/ARCHITECTURE.md for the idea.
 *
 * File layout (little-endian): 
 *   magic "WAPLAN\0\1" | u32 version | u32 section_count | section_count x {u32 kind, u32 element_bytes,
 *   u64 offset, u64 count} | sections, each 16-aligned | 32 bytes SHA-256 of all before it.
 * In memory: the struct below, arrays in one arena. Offsets and indices only, never pointers, in the
 * records. A plan from disk or network passes wa__plan_verify before anything uses it; a loaded plan is
 * const and shareable.
 *
 * Buffers: each is made once; their sizes are the whole memory of a load, so that the sum over
 * buffers of the target's kind is the predicted byte count, exactly. A CPU plan's operands may name
 * a weight directly (used in place in the mapped file).
 */
#ifndef WA_PLAN_H
#define WA_PLAN_H
#include "base/hash.h"
#include "base/tensor.h"
#include "graph/graph.h"
#include "kernels/kernels.h"
#include "plan/plan_tiles.h"

typedef uint32_t wa_text; /* offset of a NUL-terminated string in plan->text; 0 is "" */

typedef struct wa_plan_source { /* a file of the model */
    uint64_t size;
    wa_text name;
    uint32_t reserved;
} wa_plan_source;

typedef struct wa_plan_buffer {
    uint64_t size;   /* bytes, a multiple of 4; GPU: <= the adapter's maxBufferSize */
    uint32_t kind;   /* wa_buffer_kind */
    uint32_t target; /* WA_TARGET_WEBGPU, WA_TARGET_WEBNN or WA_TARGET_CPU: whose memory */
    wa_text label;
    uint32_t type; /* kind TENSOR: an operand of nn_operands that has the tensor's type; else 0 */
} wa_plan_buffer;

/* Bytes [offset, offset+length) of a source (or of plan->data when source is WA_NONE) go through
 * `transform` to buffer `buffer` at dst_offset. Host CPU plans with transform NONE and buffer
 * WA_NONE are used in place. */
typedef struct wa_plan_weight {
    uint64_t offset, length;         /* in the source */
    uint64_t dst_offset, dst_length; /* in the buffer, 4-aligned */
    uint32_t source, buffer;
    uint32_t transform;              /* wa_transform */
    uint32_t p[7];                   /* COPY2D, TRANSPOSE2D: {rows, cols (of the source), src dtype, dst leading dim, dst column, 0, 0}, elements f32 (_F16: f16) after conversion. QUANT*: {rows, cols, src dtype, ld,
                                        first column, first block of k, 0};
                                        PACK_PANELS: {pieces, rows, cols (of the source), transposed, bits, 0, 0}: see plan_const.c */
    wa_text name;
    uint32_t dtype;                  /* of the source */
} wa_plan_weight;

typedef struct wa_plan_state { /* outlives a run: KV cache, recurrent state */
    uint64_t offset, length;
    uint32_t buffer, dtype;
    wa_text name;
    uint32_t zero_at_start; /* cleared at load and on reset */
} wa_plan_state;

typedef struct wa_plan_entry {
    wa_text name; /* "encode", "prefill", "decode", "run" */
    uint32_t io_first, io_count;
    uint32_t segment_first, segment_count;
    uint32_t batch, length; /* the bucket; 0 where it has no meaning */
    uint64_t predicted_ns;  /* GPU or CPU time predicted, 0 unknown */
} wa_plan_entry;

typedef struct wa_plan_io {
    wa_text name;
    uint32_t is_output;
    uint32_t dtype;        /* as the user gives or gets it (the model's own) */
    uint32_t device_dtype; /* in the buffer: I64 and BOOL are I32/U32 on WebGPU, range-checked */
    uint32_t rank;
    uint32_t buffer;
    int64_t dims[WA_RANK_MAX];
    uint64_t offset, length; /* bytes in buffer */
    uint32_t readback;       /* outputs on WebGPU: READBACK buffer it is copied to, else WA_NONE */
    uint32_t reserved;
    uint64_t readback_offset;
} wa_plan_io;

/* A run of dispatches or calls (of calls for the CPU, of nn_calls for WebNN) on one target. Between segments on different targets the runner
 * moves `transfer_count` ranges (plan->transfers) across before the segment starts. */
typedef struct wa_plan_segment {
    uint32_t target; /* wa_target */
    uint32_t first, count; /* dispatches, calls or nn_calls */
    uint32_t transfer_first, transfer_count;
    wa_text reason; /* why it is not on the plan's target; 0 when it is */
    uint64_t predicted_ns;
    uint64_t flops; /* floating-point operations, as in wa_plan_info */
} wa_plan_segment;

typedef struct wa_plan_transfer { /* bytes of one memory to another by way of the host, dtype converted as for io */
    uint32_t from_buffer, to_buffer;
    uint64_t from_offset, to_offset;
    uint64_t from_length, to_length;
    uint32_t from_dtype, to_dtype;
    uint32_t staging; /* READBACK buffer used when from is on the GPU, else WA_NONE */
    uint32_t reserved;
} wa_plan_transfer;

typedef struct wa_plan_pipeline {
    wa_wgsl_spec spec;
    wa_text label;
    uint32_t reserved;
} wa_plan_pipeline;

typedef struct wa_plan_bind { /* one storage binding; offset 256-aligned */
    uint64_t offset, size;
    uint32_t buffer;
    uint32_t write;
} wa_plan_bind;

typedef struct wa_plan_dispatch {
    uint32_t pipeline;
    uint32_t bind_first, bind_count;
    uint32_t grid[3];
    uint32_t params_offset, params_size; /* in the PARAMS buffer, 256-aligned; contents in plan->data at params_data + offset */
    uint32_t indirect_buffer;            /* WA_NONE: grid above */
    uint64_t indirect_offset;
    wa_text label; /* node or fused op, for errors and profiles */
    uint32_t predicted_ns;
    uint64_t flops, bytes; /* arithmetic and traffic that it cannot do without, for predictions and profiles */
} wa_plan_dispatch;

/* WebNN: one segment is one MLGraph. Its calls stand in order; an operand that a call reads is a tensor
 * that exists before the graph runs, a constant, or the result of an earlier call of the segment. A tensor
 * is a buffer of kind TENSOR, target WEBNN, of its own; a constant is a buffer of kind WEIGHTS, target
 * WEBNN, of its own, that the page hands to the graph's builder once its weights are there. */
typedef struct wa_plan_nn_operand {
    uint32_t kind;  /* wa_nn_kind */
    uint32_t index; /* TENSOR: buffer read. CONST: buffer. VALUE: buffer that the graph writes it to, or WA_NONE */
    uint32_t dtype, rank; /* as WebNN has it: BOOL is U8 */
    int64_t dims[WA_RANK_MAX];
    uint64_t bits; /* FILL: every element's value, a double for floats, else an int64_t */
} wa_plan_nn_operand;

typedef struct wa_plan_nn_call { /* one method of MLGraphBuilder */
    uint32_t op;        /* wa_nn_op */
    uint32_t ref_first; /* in plan->nn_refs: operands, WA_NONE for an omitted one, then results */
    uint32_t in_count, out_count;
    uint32_t attr_first, attr_count; /* further arguments and options, by WebNN's names */
    wa_text label;
    uint32_t reserved;
} wa_plan_nn_call;

typedef struct wa_plan_operand {
    uint32_t kind;  /* wa_operand */
    uint32_t index; /* buffer or weight */
    uint64_t offset;
    uint32_t dtype, rank;
    int64_t dims[WA_RANK_MAX];
} wa_plan_operand;

typedef struct wa_plan_call { /* CPU: one kernel call */
    uint32_t op;
    int32_t opset;
    uint32_t operand_first, in_count, out_count; /* inputs then outputs in plan->operands */
    uint32_t attr_first, attr_count;
    wa_text label;
    uint64_t flops, bytes; /* as in wa_plan_dispatch */
} wa_plan_call;

typedef struct wa_plan_attr {
    wa_text name;
    uint32_t kind; /* wa_attr_kind */
    int64_t i;
    float f;
    uint32_t count;
    uint64_t data; /* INTS, FLOATS: offset in plan->data (8-aligned); STRING: wa_text */
} wa_plan_attr;

typedef struct wa_plan_info {
    uint8_t key[32];          /* SHA-256, see wa__plan_key */
    uint8_t kernels_hash[32]; /* of the build that made it */
    uint32_t target;          /* wa_target */
    uint32_t precision;       /* bits of the weights: 32, 16, 8, 4 */
    uint32_t mixed;
    uint32_t features;        /* WA_FEATURE_* it needs */
    uint64_t limit_buffer, limit_binding; /* adapter limits it was planned for */
    uint64_t parameters;      /* elements of all weights */
    uint64_t flops;           /* of one run of the first entry: products, convolutions, attention, norms */
    wa_text model_cid, model_type, task;
    uint32_t params_buffer;   /* WA_NONE on CPU */
    uint64_t params_data, params_length; /* initial contents of the PARAMS buffer in plan->data */
} wa_plan_info;

typedef struct wa_plan {
    wa_arena arena;
    wa_plan_info info;
    wa_plan_source *sources;       uint32_t source_count;
    wa_plan_buffer *buffers;       uint32_t buffer_count;
    wa_plan_weight *weights;       uint32_t weight_count;
    wa_plan_state *states;         uint32_t state_count;
    wa_plan_entry *entries;        uint32_t entry_count;
    wa_plan_io *ios;               uint32_t io_count;
    wa_plan_segment *segments;     uint32_t segment_count;
    wa_plan_transfer *transfers;   uint32_t transfer_count;
    wa_plan_pipeline *pipelines;   uint32_t pipeline_count;
    wa_plan_bind *binds;           uint32_t bind_count;
    wa_plan_dispatch *dispatches;  uint32_t dispatch_count;
    wa_plan_call *calls;           uint32_t call_count;
    wa_plan_operand *operands;     uint32_t operand_count;
    wa_plan_attr *attrs;           uint32_t attr_count;
    uint32_t *code;                uint32_t code_count;  /* elementwise chains */
    wa_plan_nn_operand *nn_operands; uint32_t nn_operand_count;
    wa_plan_nn_call *nn_calls;     uint32_t nn_call_count;
    uint32_t *nn_refs;             uint32_t nn_ref_count;
    uint8_t *data;                 uint64_t data_length; /* inline constants, params, attribute arrays */
    char *text;                    uint32_t text_length;
} wa_plan;

/* What the target offers; zero limits mean the WebGPU defaults (256 MiB buffers, 128 MiB bindings). */
typedef struct wa_plan_target {
    wa_target target;
    uint32_t features; /* WA_FEATURE_* */
    uint64_t limit_buffer, limit_binding;
    uint32_t workgroup_bytes, invocations;
    bool software; /* a software adapter: other kernel choices */
    char adapter[64]; /* vendor/architecture, for per-adapter defaults; may be empty */
    /* WEBNN: what the context's opSupportLimits() lists (plan_nn.h); borrowed, as long as plans are made */
    const struct wa_nn_limits *nn;
    bool gpu; /* WEBNN: WebGPU may run what WebNN cannot */
    /* WEBGPU: measured tiles, before the table of plan_gpu_tiles.c; borrowed, as long as plans are made */
    const wa_gpu_tile_row *tiles;
    uint32_t tile_count;
    uint32_t attention_groups; /* workgroups from which attention stages keys and values; 0: the default */
} wa_plan_target;
typedef struct wa_plan_options {
    wa_plan_target target;
    uint32_t precision; /* bits of weights and activations: 32, 16, 8, 4; 0: weights as the file holds them, the rest 32 */
    bool mixed;         /* some operators stay in 32 bits; precision 0 and 32 then mean 16 */
    uint32_t keep;      /* mixed: which, a bit a group (wa__plan_node_groups) */
    const char *model_cid, *model_type, *task, *entry_name;
    uint32_t batch, length;
} wa_plan_options;

/* Lowers an optimised, verified graph with bound shapes. */
wa_status wa__plan_build(const wa_graph *g, const wa_plan_options *o, wa_plan **out, wa_error *err) WA_MUST_CHECK;
void wa__plan_free(wa_plan *p); /* NULL is legal */
/* Key of the plan that a build would give: model CID, target with features and limits, precision, shapes,
 * task, plan version, hash of compiler and kernels. Input types bind the shapes. */
wa_status wa__plan_key(const wa_plan_options *o, const char *const *input_names, const wa_tensor_type *input_types, uint32_t input_count, uint8_t out[32], wa_error *err) WA_MUST_CHECK;
wa_status wa__plan_save(const wa_plan *p, wa_buf *out, wa_error *err) WA_MUST_CHECK;
/* Copies; verifies checksum, layout and every rule. `name` is for messages. */
wa_status wa__plan_load(const void *bytes, size_t n, const char *name, wa_plan **out, wa_error *err) WA_MUST_CHECK;
wa_status wa__plan_verify(const wa_plan *p, wa_error *err) WA_MUST_CHECK;
wa_status wa__plan_print(const wa_plan *p, wa_buf *out, wa_error *err) WA_MUST_CHECK;
/* With the measured time of each dispatch (a CPU plan: call) beside the predicted one; < 0 not known, NULL none. */
wa_status wa__plan_print_timed(const wa_plan *p, const double *us, wa_buf *out, wa_error *err) WA_MUST_CHECK;
/* Groups of operators that may stay in 32 bits: fills group[node] (may be NULL), returns a bit for each that the
 * graph has. */
#define WA_PLAN_GROUPS 14u
#define WA_PLAN_KEEP_UNSEEN 0x3700u /* what to keep unmeasured: all but products, convolutions and look-ups */
uint32_t wa__plan_node_groups(const wa_graph *g, uint8_t *group);
const char *wa__plan_group_name(uint32_t group);
/* Sum of the buffers in that target's memory (CPU weights used in place are not counted). */
uint64_t wa__plan_bytes(const wa_plan *p, wa_target memory);
/* Runs a weight's transform (any but PACK_PANELS) on the CPU: src is its first byte in the source,
 * dst its first byte in the buffer (dst_offset added). The GPU's transform kernels do the same. */
wa_status wa__plan_transform(const wa_plan *p, uint32_t weight, const uint8_t *src, uint8_t *dst, wa_error *err) WA_MUST_CHECK;
/* How a page uploads a GPU weight that has a transform (any but NONE): source bytes go to the STAGING
 * buffer a piece at a time (whole elements), then the transform kernel runs over the piece with
 * bindings {staging, [bind_offset, bind_offset + bind_size) of the weight's buffer} and parameters
 * {rows, cols, ld, word} {byte offset in staging, first element, element count, extra} (32 bytes, word counts elements of the destination, 4 or 2 bytes each; written
 * to the PARAMS buffer's start before its own contents), one invocation an element, 64 a workgroup,
 * x up to 65535 workgroups, then y. */
typedef struct wa_plan_upload {
    wa_wgsl_spec spec;
    uint32_t unit;  /* bytes of a source element; packed elements: 1, an invocation a byte; QUANT*: of a unit of its kernel */
    uint32_t items; /* invocations a unit: 1, or more for QUANT* */
    uint32_t extra; /* last parameter */
    uint32_t rows, cols, ld, word;
    uint64_t bind_offset, bind_size;
} wa_plan_upload;
/* Whether WIDEN takes this type: 8 and 16 bits and packed ones, to the 32-bit type that a GPU has for it. */
bool wa__plan_widens(wa_dtype d);
void wa__plan_upload_of(const wa_plan *p, uint32_t weight, wa_plan_upload *out);
const char *wa__plan_text(const wa_plan *p, wa_text t);
uint32_t wa__plan_find_entry(const wa_plan *p, const char *name); /* WA_NONE when absent */

#endif
