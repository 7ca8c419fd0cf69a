/* Which kernels exist, and how to call or generate them.
 * CPU: a table by operator: `<group>_ref.c` the naive oracle, `<group>_cpu.c` the fast one.
 * WebGPU: a kernel id and numbers (spec) generate WGSL text; plans carry those only.
 * The CPU half is kernels_cpu.h's table, the WGSL half wgsl.h: see each. */
#ifndef WA_KERNELS_H
#define WA_KERNELS_H
#include "base/tensor.h"
#include "base/threads.h"

typedef struct wa_kernel_args {
    wa_op op;
    int32_t opset;
    const wa_attr *attrs;
    uint32_t attr_count;
    const wa_view *in; /* an omitted input has data NULL and dtype NONE */
    uint32_t in_count;
    wa_view *out; /* types and memory set by the caller; never overlap inputs */
    uint32_t out_count;
    wa_pool *pool; /* NULL: single-threaded */
    void *scratch; /* 64-aligned, wa__kernel_scratch bytes, may be NULL when that is 0 */
    const void *const *prepared; /* per input: weights packed by wa__kernel_prepare, or NULL; may be NULL */
} wa_kernel_args;

typedef wa_status (*wa_kernel_fn)(const wa_kernel_args *a, wa_error *err);

/* The reference: NULL when the operator has none. Supports every dtype its op allows. */
wa_kernel_fn wa__kernel_ref(wa_op op);
/* The fast form for these argument types; falls back to the reference. NULL when neither exists. */
wa_kernel_fn wa__kernel_cpu(wa_op op, const wa_kernel_args *a);
/* Scratch bytes the fast form wants for these types. */
size_t wa__kernel_scratch(const wa_kernel_args *a);
/* Packed form of a constant input (matrix weights into panels): bytes it takes (0: use as it is),
 * and the packing itself into 64-aligned dst. */
size_t wa__kernel_prepare_bytes(const wa_kernel_args *a, uint32_t input);
void wa__kernel_prepare(const wa_kernel_args *a, uint32_t input, void *dst);
/* Bits of the packed weights: 32, or 8 for products whose attribute weight_bits is 8 (codes: kernels/gemm8.h). */
uint32_t wa__kernel_prepare_bits(const wa_kernel_args *a, uint32_t input);
/* The same for n columns of a matrix [k, n] of f32 that is B of a product: they lie in `b`, at any address,
 * as [k, n] or, transposed, [n, k] of f32, f16 or bf16. wa__kernel_panels_bytes go to dst; UINT64_MAX: too many. */
static inline uint64_t wa__kernel_panels_bytes(uint64_t k, uint64_t n, uint32_t bits)
{
    if (k >= 1u << 31 || n >= 1u << 29) return UINT64_MAX;
    return (n + 15) / 16 * (bits == 8 ? (k + 3) / 4 * 64 + 128 : k * 64);
}
void wa__kernel_panels(const void *b, wa_dtype dtype, bool transposed, int64_t k, int64_t n, uint32_t bits, void *dst);

/* Evaluates by the reference; its signature is opt's wa_opt_eval_fn, so folding can use it. */
wa_status wa__kernel_eval(void *user, wa_op op, const wa_attr *attrs, uint32_t attr_count, const wa_view *in, uint32_t in_count,
                          wa_view *out, uint32_t out_count, wa_error *err);

/* --- WGSL ------------------------------------------------------------------------------------- */
#define WA_WGSL_SPEC_MAX 24
/* Kernel ids are stable numbers (they stand in plans); the table is in kernels/wgsl.c. */
typedef struct wa_wgsl_spec {
    uint32_t kernel;               /* wa_wgsl_kernel */
    uint32_t spec[WA_WGSL_SPEC_MAX]; /* meaning per kernel: types, tiles, fusions, weight dims */
    uint32_t code_offset, code_count; /* elementwise chains: words in the plan's code table */
    uint32_t half; /* bit i: binding i holds f16 elements; only where the kernel's row allows it */
} wa_wgsl_spec;
typedef struct wa_wgsl_info {
    const char *name;
    uint32_t binding_count; /* storage bindings, without the params uniform at the end */
    uint32_t write_mask;    /* bit i: binding i is written */
    uint32_t workgroup_bytes;
    uint32_t features; /* WA_FEATURE_* needed */
} wa_wgsl_info;
enum { WA_FEATURE_F16 = 1, WA_FEATURE_SUBGROUPS = 2, WA_FEATURE_SUBGROUP_MATRIX = 4, WA_FEATURE_TIMESTAMP = 8,
       WA_FEATURE_MATRIX_F16 = 16, /* subgroup matrices of f16 with f32 sums, 16x16x16 */
       WA_FEATURE_DOT8 = 32 /* dot4I8Packed and its kin */ };
typedef enum wa_wgsl_kernel {
    WA_WGSL_MATMUL = 1,      /* product with a packed constant: wgsl_matmul.c */
    WA_WGSL_MATMUL_ANY = 2,  /* product of any two strided matrices */
    WA_WGSL_ATTENTION = 3,   /* wgsl_attention.c */
    WA_WGSL_ROWS = 4,        /* layer norm and its fusions, L2, softmax: wgsl_rows.c */
    WA_WGSL_POOL = 5,        /* token pooling: wgsl_pool.c */
    WA_WGSL_REDUCE = 6,      /* wgsl_reduce.c */
    WA_WGSL_ELEMENTWISE = 7, /* wgsl_elementwise.c */
    WA_WGSL_GATHER = 8,      /* wgsl_copy.c */
    WA_WGSL_COPY = 9,        /* any strided copy */
    WA_WGSL_TRANSFORM = 10,  /* weights at upload: wgsl_transform.c */
    WA_WGSL_CUMULATE = 11,   /* running sums: wgsl_reduce.c */
    WA_WGSL_MATMUL_STRAIGHT = 12, /* products with a packed constant on hardware: few rows */
    WA_WGSL_MATMUL_STAGED = 13,   /* and many; wgsl_product.h has their common words */
    WA_WGSL_ATTENTION_STAGED = 14, /* many queries on hardware: wgsl_attention_staged.c */
    WA_WGSL_MATMUL_BATCHED = 16,   /* any two strided operands in blocks: wgsl_matmul_batched.c */
    WA_WGSL_POOL_SHARED = 15,      /* pooling with L2 normalisation: wgsl_pool_shared.c */
    WA_WGSL_PICK = 30, WA_WGSL_SCATTER = 31, WA_WGSL_PAD = 32, WA_WGSL_GENERATE = 33, WA_WGSL_PLACE = 34,     /* wgsl_index.c */
    WA_WGSL_TOPK = 35, WA_WGSL_COMPACT = 36, WA_WGSL_UNIQUE = 37, WA_WGSL_NMS = 38, /* wgsl_select.c */
    WA_WGSL_SQUARE = 39, /* wgsl_square.c */
    WA_WGSL_RECURRENCE = 40, /* wgsl_recurrence.c */
    WA_WGSL_LINEAR_SCAN = 41,
    WA_WGSL_CONV = 20,       /* constant weights, packed: wgsl_conv.c */
    WA_WGSL_CONV_ANY = 21,   /* any weights, transposed too: wgsl_conv_any.c */
    WA_WGSL_CONV_DEPTHWISE = 22,
    WA_WGSL_WINDOW_POOL = 23, /* wgsl_window_pool.c */
    WA_WGSL_AXIS_TAPS = 24,  /* wgsl_window_pool.c */
    WA_WGSL_GRID_SAMPLE = 25, /* wgsl_sample.c */
    WA_WGSL_DEFORM_CONV = 26, /* wgsl_sample.c */
    WA_WGSL_ROI = 27,        /* wgsl_sample.c */
    WA_WGSL_PHILOX = 42,      /* wgsl_philox.c */
    WA_WGSL_ROUND_TO = 50,   /* casts to small floats and packed integers: wgsl_quant.c */
    WA_WGSL_QUANTIZE = 51,   /* QuantizeLinear, DequantizeLinear */
    WA_WGSL_UNPACK = 52,     /* DequantizeBlocks */
    WA_WGSL_QUANT_ROWS = 53, WA_WGSL_MATMUL_QUANT = 54, /* products with weights in blocks of codes: wgsl_matmul_quant.c */
    WA_WGSL_QUANT_UPLOAD = 55, /* weights to such blocks at upload: wgsl_quant_upload.c */
    WA_WGSL_MATMUL_TILES = 60, /* f16 tiles on subgroup matrices: wgsl_matmul_tiles.c */
    WA_WGSL_ATTENTION_TILES = 61 /* wgsl_attention_tiles.c */
} wa_wgsl_kernel;
enum { /* flags of MATMUL_STRAIGHT and MATMUL_STAGED: wgsl_product.h */
    WA_WGSL_PRODUCT_BIAS = 1, WA_WGSL_PRODUCT_RESIDUAL = 2, WA_WGSL_PRODUCT_ALPHA = 4,
    WA_WGSL_PRODUCT_NORM = 8,   /* A is normalised while it is loaded */
    WA_WGSL_PRODUCT_BETA = 16,
    WA_WGSL_PRODUCT_RMS = 32,   /* of NORM or STATS: no mean is taken away */
    WA_WGSL_PRODUCT_KEEP = 64,  /* the normalised rows are written too */
    WA_WGSL_PRODUCT_STATS = 128 /* statistics of o's rows are written */
};
enum { /* flags of the convolution kernels */
    WA_WGSL_CONV_BIAS = 1, WA_WGSL_CONV_RESIDUAL = 2,
    WA_WGSL_CONV_WHOLE = 4,      /* i32 operands, CONV_ANY only */
    WA_WGSL_CONV_TRANSPOSED = 8, /* CONV_ANY only */
    WA_WGSL_CONV_CHECKED = 16    /* CONV: windows may leave the input */
};
enum { WA_WGSL_TILES_SPLIT = 0, WA_WGSL_TILES_NORM, WA_WGSL_TILES_WIDE };
enum { /* flags of MATMUL_TILES; the last three with NORM only: beta, no mean taken away, normalised rows are kept */
    WA_WGSL_TILES_BIAS = 1, WA_WGSL_TILES_RESIDUAL = 2, WA_WGSL_TILES_ALPHA = 4, WA_WGSL_TILES_BETA = 8, WA_WGSL_TILES_RMS = 16, WA_WGSL_TILES_KEEP = 32
};
/* How a value's elements lie on the GPU. F32: dense, row-major. F16: the same in two bytes each, the whole rounded
 * up to 4. TILES: a matrix [M,K] (all dims but the last as one), K a multiple of 16, as 16x16 tiles of f16, 512
 * bytes each, in the order [ceil(M/16)][K/16][16][16]; rows past M are there and finite. */
enum { WA_FORM_F32 = 0, WA_FORM_F16 = 1, WA_FORM_TILES = 2 };
enum { WA_WGSL_WINDOW_MAX = 0, WA_WGSL_WINDOW_AVERAGE, WA_WGSL_WINDOW_LP };
enum { WA_WGSL_WINDOW_INDICES = 1, WA_WGSL_WINDOW_PADS = 2 /* count as elements of a mean */, WA_WGSL_WINDOW_COLUMNS = 4 };
enum { WA_WGSL_LAYERNORM = 0, WA_WGSL_SKIP_LAYERNORM, WA_WGSL_EMBED_LAYERNORM, WA_WGSL_L2, WA_WGSL_SOFTMAX, WA_WGSL_LOGSOFTMAX };
/* Elementwise code in the plan's code table: steps, immediates, then WA_EW_WORDS + 1 words a step
 * (op, a, b, c as graph.h has them, dtype of the result on the device), then the immediates' f32 bits. */
#define WA_WGSL_EW_STEPS_MAX 256u
#define WA_WGSL_SQUARE_MAX   32u /* order of a matrix that SQUARE takes: it lies in private memory */
/* Checks id and every spec number (they may come from a hostile plan); fills info (may be NULL). */
wa_status wa__wgsl_check(const wa_wgsl_spec *s, const uint32_t *code, wa_wgsl_info *info, wa_error *err) WA_MUST_CHECK;
/* The shader text. Bindings 0..n-1 are storage buffers in group 0, binding n the params uniform. */
wa_status wa__wgsl_generate(const wa_wgsl_spec *s, const uint32_t *code, wa_buf *out, wa_error *err) WA_MUST_CHECK;
/* Hash over every kernel's generator: part of plan keys. Changes when any template changes. */
void wa__kernels_hash(uint8_t out[32]);

#endif
