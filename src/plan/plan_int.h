/* The planner's own: the section table of the format, and the builder that both lowerings fill. */
#ifndef WA_PLAN_INT_H
#define WA_PLAN_INT_H
#include "base/checked.h"
#include "plan/plan.h"

/* Sections of a plan, in file order; ids stand in files. */
enum {
    WA_SEC_INFO = 1, WA_SEC_SOURCES, WA_SEC_BUFFERS, WA_SEC_WEIGHTS, WA_SEC_STATES, WA_SEC_ENTRIES, WA_SEC_IOS,
    WA_SEC_SEGMENTS, WA_SEC_TRANSFERS, WA_SEC_PIPELINES, WA_SEC_BINDS, WA_SEC_DISPATCHES, WA_SEC_CALLS,
    WA_SEC_OPERANDS, WA_SEC_ATTRS, WA_SEC_CODE, WA_SEC_DATA, WA_SEC_TEXT, WA_SEC_NN_OPERANDS, WA_SEC_NN_CALLS,
    WA_SEC_NN_REFS, WA_SEC_END
};
typedef struct wa_plan_section {
    const char *name;
    uint32_t element_bytes;
    size_t ptr, count; /* offsets in wa_plan; INFO has neither */
    bool wide;         /* count is 64 bits */
} wa_plan_section;
extern const wa_plan_section wa__plan_sections[WA_SEC_END];
uint64_t wa__plan_section_count(const wa_plan *p, uint32_t section);
void *wa__plan_section_ptr(const wa_plan *p, uint32_t section);
/* Sets pointer and count of a section. */
void wa__plan_section_set(wa_plan *p, uint32_t section, void *ptr, uint64_t count);

#define WA_PLAN_ALIGN_CPU 64u
#define WA_PLAN_PANEL     16u /* columns that a packed matrix keeps together: kernels/gemm.h */
#define WA_PLAN_ALIGN_GPU 256u
#define WA_PLAN_BINDINGS_MAX 8u
#define WA_PLAN_GRID_MAX 65535u
#define WA_PLAN_WORKGROUP_BYTES 16384u     /* what every adapter has */
#define WA_PLAN_WORKGROUP_BYTES_MAX 25600u /* above, fewer than two workgroups share a processor (gpu/KERNELS.md) */
#define WA_PLAN_BUFFER_LIMIT ((uint64_t)256 << 20)
#define WA_PLAN_BINDING_LIMIT ((uint64_t)128 << 20)

/* --- memory: blocks with life times become offsets in arenas ----------------------------------- */
typedef struct wa_plan_block {
    uint64_t bytes;
    uint32_t first, last;  /* steps, both included */
    uint32_t buffer;       /* out: arena index from 0, then the plan's buffer */
    uint64_t offset;       /* out */
} wa_plan_block;
typedef struct wa_plan_conflict { /* these two blocks may not share a buffer */
    uint32_t a, b;
} wa_plan_conflict;
#define WA_PLAN_ARENAS_MAX 64u
/* Places blocks so that no two alive at one step overlap and no conflict shares an arena; sizes[i]
 * is arena i's bytes. Arenas stop growing at `limit` and another is opened. */
wa_status wa__plan_memory(wa_plan_block *blocks, uint32_t count, wa_plan_conflict *conflicts, uint32_t conflict_count,
                          uint32_t alignment, uint64_t limit, uint64_t sizes[WA_PLAN_ARENAS_MAX], uint32_t *arena_count,
                          wa_error *err) WA_MUST_CHECK;

/* --- builder ----------------------------------------------------------------------------------- */
typedef struct wa_plan_vec {
    void *ptr;
    size_t count, cap;
} wa_plan_vec;

enum { WA_MEM_CPU = 0, WA_MEM_GPU = 1, WA_MEM_NN = 2, WA_MEM_COUNT = 3 };
typedef struct wa_plan_place { /* where a root value lives in each memory */
    uint32_t block[WA_MEM_COUNT]; /* WA_NONE: not there */
    uint32_t weight;              /* CPU: weight used in place, else WA_NONE */
    uint32_t buffer[WA_MEM_COUNT]; /* constants moved to a buffer, else WA_NONE */
    uint64_t offset[WA_MEM_COUNT];
} wa_plan_place;

typedef struct wa_plan_fix { /* a record that names a block until memory is planned */
    uint32_t section, element, block, memory;
    uint32_t side; /* transfers: 0 from, 1 to */
    uint64_t add;  /* bytes from the block's start */
} wa_plan_fix;

/* A constant expression (a constant under casts, transposes and concats) as pieces of one matrix. */
typedef struct wa_plan_piece {
    uint32_t value;      /* the constant */
    uint64_t rows, cols; /* of the source as it lies in the file */
    bool transposed;     /* source to expression */
    uint64_t row, col;   /* of its first element in the expression */
} wa_plan_piece;
#define WA_PLAN_PIECES_MAX 16u
typedef struct wa_plan_pieces {
    wa_plan_piece piece[WA_PLAN_PIECES_MAX];
    uint32_t count;
    uint64_t rows, cols; /* of the expression */
    wa_dtype dtype;      /* of the expression */
    bool plain;          /* one piece, same bytes as the constant */
} wa_plan_pieces;

typedef struct wa_plan_nn_state { /* plan_nn.c: the WebNN segment being made */
    wa_status status;       /* the first failure; calls after it do nothing */
    bool dry;               /* a try: nothing of it stays */
    char why[200];          /* a try refused */
    wa_plan_vec reasons;    /* char *: refusals, each text once */
    wa_plan_vec consts;     /* constants that have a buffer */
    uint32_t *operand;      /* per value: its operand in this segment, good when */
    uint32_t *epoch;        /* per value: equals now */
    uint32_t *nhwc;         /* per value: its operand as [N,H,W,C], see plan_nn_layout.c, good when */
    uint32_t *nhwc_epoch;   /* per value: equals now */
    bool in_nhwc;           /* the row at work has its operands of rank 4 in that order */
    uint32_t now;
    uint32_t call_first;    /* of the segment */
    uint32_t *last_use;     /* per root: the last node that reads it, WA_NONE - 1 for a graph output, WA_NONE never */
    uint32_t attr_mark;     /* attributes from here on belong to the next call */
    uint32_t node;
    wa_text label;
} wa_plan_nn_state;

typedef struct wa_plan_builder {
    const wa_graph *g;
    const wa_plan_options *o;
    wa_error *err;
    wa_plan_vec sec[WA_SEC_END];
    wa_plan_info info;
    wa_plan_target t;       /* limits filled in */
    uint32_t *root;         /* per value: the value whose bytes it shares */
    uint8_t *form;          /* per root value: WA_FORM_*, decided before lowering (plan_gpu_forms.c) */
    uint32_t bits, keep;    /* precision asked for (0: what the file holds); groups kept in f32 */
    uint8_t *group;         /* per node, see wa__plan_node_groups */
    uint32_t *absorbed;     /* per node: a product that runs with this norm, a norm that this product runs with; WA_NONE */
    bool activations_f16;   /* the GPU may hold activations as f16 */
    uint8_t *node_target;   /* per node: wa_target, 0: nothing to do (view or constant) */
    const char **node_reason;
    const uint32_t *part;   /* per node, NULL: all in one; a segment ends with its part, see plan_lanes.h */
    wa_plan_place *places;  /* per value, of roots */
    wa_plan_vec blocks[WA_MEM_COUNT]; /* wa_plan_block */
    wa_plan_vec conflicts;  /* wa_plan_conflict, GPU */
    wa_plan_vec fixes;      /* wa_plan_fix */
    wa_plan_vec blocks_of_codes, narrowed; /* weights and activations of few bits, see plan_blocks.c */
    wa_plan_vec packed;     /* GPU weights made so far, see plan_gpu.c */
    wa_plan_vec norms;      /* wa_gpu_norm: norms without a dispatch (plan_gpu_norms.c) */
    uint8_t *taken;         /* per node: a dispatch of another node does its work */
    uint32_t *norm_before;  /* per node: 1 + index in norms of the one that its A comes from, 0; NULL: none are looked for */
    uint32_t step;          /* number of dispatches and calls so far */
    uint32_t host_weights;  /* CPU buffer of transformed weights, WA_NONE until needed */
    wa_plan_vec params;    /* GPU: contents of the PARAMS buffer, bytes */
    uint32_t gpu_weights;   /* GPU buffer that takes the next weight, WA_NONE */
    uint64_t scratch_bytes; /* CPU: the most any call wants */
    wa_plan_nn_state nn;
} wa_plan_builder;

/* A fresh zeroed element; NULL on exhaustion (then b->err is set by the caller's wa__no_memory). */
void *wa__plan_vec_push(wa_plan_vec *v, size_t element_bytes);
void *wa__plan_push(wa_plan_builder *b, uint32_t section);
wa_status wa__plan_text_add(wa_plan_builder *b, wa_str s, wa_text *out);
/* Appends bytes to plan->data at the alignment. */
wa_status wa__plan_data_add(wa_plan_builder *b, const void *bytes, uint64_t n, uint32_t alignment, uint64_t *offset);
wa_status wa__plan_buffer_add(wa_plan_builder *b, wa_buffer_kind kind, wa_target target, uint64_t size, const char *label, uint32_t *out);
/* Name for messages and profiles. */
void wa__plan_node_label(const wa_graph *g, uint32_t node, char *out, size_t n);
wa_status wa__plan_node_text(wa_plan_builder *b, uint32_t node, wa_text *out);
/* A block in a memory; its life is first..last, lengthened by wa__plan_block_use. */
wa_status wa__plan_block_add(wa_plan_builder *b, uint32_t memory, uint64_t bytes, uint32_t *out);
void wa__plan_block_use(wa_plan_builder *b, uint32_t memory, uint32_t block, uint32_t step);
wa_status wa__plan_fix_add(wa_plan_builder *b, uint32_t section, uint32_t element, uint32_t memory, uint32_t block, uint32_t side, uint64_t add);
/* Whether a value has no elements: it needs no work to make, and its block, where one is bound, is never read. */
bool wa__plan_empty(const wa_plan_builder *b, uint32_t value);
/* Gives an empty value its block in a memory, unless it has one. */
wa_status wa__plan_empty_block(wa_plan_builder *b, uint32_t memory, uint32_t value);
/* Bytes of a value's type. */
wa_status wa__plan_value_bytes(wa_plan_builder *b, uint32_t value, uint64_t *out);

/* plan_precision.c: fills bits, keep and group, or refuses. */
wa_status wa__plan_precision(wa_plan_builder *b);
uint32_t wa__plan_weight_bits(const wa_plan_builder *b, uint32_t node); /* of a product's weights: 32, 16, 8, 4; 0 as in the file */
static inline bool wa__plan_kept(const wa_plan_builder *b, uint32_t node) { return b->keep >> b->group[node] & 1; }

/* plan_const.c */
bool wa__plan_pieces(const wa_graph *g, uint32_t value, wa_plan_pieces *out);
bool wa__plan_view_op(wa_op op);
/* Puts a constant expression where CPU calls find it; fills the place. */
wa_status wa__plan_const_cpu(wa_plan_builder *b, uint32_t value);
/* Records that pack a constant for a kernel, in the host's weight buffer; out: the first of e->count. */
wa_status wa__plan_host_take(wa_plan_builder *b, uint64_t bytes, uint64_t *offset); /* room in the host's weight buffer */
wa_status wa__plan_const_half(wa_plan_builder *b, const wa_plan_pieces *e, wa_plan_operand *o);
/* plan_blocks.c: blocks of codes in the host's weight buffer. */
wa_status wa__plan_host_blocks(wa_plan_builder *b, uint32_t value, bool transposed, uint32_t bits, uint64_t *offset, uint64_t *words);
wa_status wa__plan_host_panels(wa_plan_builder *b, const wa_plan_pieces *e, uint32_t bits, uint64_t bytes, uint32_t *out);
/* A weight record of a whole constant: source, offset, length, name and dtype set, for `buffer`. */
wa_status wa__plan_weight_add(wa_plan_builder *b, const wa_value *v, uint32_t buffer, wa_plan_weight **out);

/* plan_cpu.c */
wa_status wa__plan_cpu_node(wa_plan_builder *b, uint32_t node);
/* A call that copies a value (an output that is a constant) into its own block. */
wa_status wa__plan_cpu_copy(wa_plan_builder *b, uint32_t value, uint32_t block);

/* plan_nn.c: NULL when WebNN can run the node, else why not; calls of a node; a segment's begin and end
 * (nodes [first, end)); the tensor of a root value. */
bool wa__plan_nn_has(wa_op op); /* whether there is a row for the operator */
const char *wa__plan_nn_refuses(wa_plan_builder *b, uint32_t node);
wa_status wa__plan_nn_node(wa_plan_builder *b, uint32_t node);
wa_status wa__plan_nn_begin(wa_plan_builder *b);
wa_status wa__plan_nn_end(wa_plan_builder *b, uint32_t first, uint32_t end);
wa_status wa__plan_nn_tensor(wa_plan_builder *b, uint32_t root);
wa_status wa__plan_nn_init(wa_plan_builder *b);
void wa__plan_nn_done(wa_plan_builder *b);
wa_dtype wa__plan_nn_dtype(const wa_plan_builder *b, wa_dtype d);
bool wa__plan_nn_type_ok(uint32_t dtype, uint32_t device); /* may values of a type be held as that one */
uint64_t wa__plan_nn_bytes(const wa_plan_builder *b, const wa_tensor_type *t);

/* plan_gpu.c: whether there is a row for the operator; NULL when the node has a WebGPU lowering, else why not. */
bool wa__plan_gpu_has(wa_op op);
const char *wa__plan_gpu_refuses(wa_plan_builder *b, uint32_t node);
wa_status wa__plan_gpu_node(wa_plan_builder *b, uint32_t node);
wa_dtype wa__plan_device_dtype(wa_dtype d);
/* Params, weights, staging and query buffers, once every node is lowered. */
wa_status wa__plan_gpu_finish(wa_plan_builder *b);

/* plan_gpu_forms.c: decides every root value's form; bytes of a value in its form. */
wa_status wa__plan_gpu_forms(wa_plan_builder *b);
uint64_t wa__plan_gpu_bytes(const wa_plan_builder *b, uint32_t value);
static inline uint32_t wa__gpu_form(const wa_plan_builder *b, uint32_t value) { return b->form[b->root[value]]; }
#define WA_FORMS_DENSE (1u << WA_FORM_F32 | 1u << WA_FORM_F16)
/* A row's `forms` that takes both dense forms at every float operand. */
uint32_t wa__gpu_dense(wa_plan_builder *b, const wa_node *n, bool output, uint32_t index);
/* Forms (a bit each) that a WebGPU node takes or makes there. */
bool wa__plan_gpu_node_tiles(wa_plan_builder *b, uint32_t node);
uint32_t wa__plan_gpu_node_forms(wa_plan_builder *b, uint32_t node, bool output, uint32_t index);

/* plan_flops.c: floating-point operations of products, convolutions, attention, recurrences and norms; 0 for
 * everything else. */
uint64_t wa__plan_node_flops(const wa_graph *g, const wa_node *n);

/* --- what the rows of the lowering table use ----------------------------------------------------- */
typedef struct wa_gpu_dispatch { /* one dispatch being made */
    wa_wgsl_spec spec;
    uint32_t params[72]; /* words */
    uint32_t params_count;
    uint64_t items;      /* grid by wa__gpu_cover, or set grid */
    uint32_t grid[3];
    uint64_t flops, bytes;
    uint32_t bind_first;
    uint32_t read[WA_PLAN_BINDINGS_MAX], write[WA_PLAN_BINDINGS_MAX]; /* blocks */
    uint32_t read_count, write_count, weight_count; /* blocks bound, constants bound */
} wa_gpu_dispatch;
wa_gpu_dispatch wa__gpu_begin(wa_plan_builder *b, uint32_t kernel);
/* Binds a value: an activation's block, or a constant in its natural dense form. */
wa_status wa__gpu_read(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t value);
/* Binds a constant matrix as [rows, ld] in its form, transposed first if asked. */
wa_status wa__gpu_read_matrix(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t value, bool transposed, uint32_t ld);
/* A constant taken as a matrix of `rows` rows, whatever its rank, bound transposed: [cols, ld] f32. */
bool wa__gpu_packs(const wa_plan_builder *b, uint32_t value, uint32_t rows);
wa_status wa__gpu_read_packed(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t value, uint32_t rows, uint32_t ld);
/* A constant matrix [k,n], or transposed [n,k], as 16x16 tiles of f16, [n/16][k/16][n][k]: whether it can be; binds it. */
bool wa__gpu_tiles(const wa_plan_builder *b, uint32_t value, bool transposed, uint64_t *n, uint64_t *k);
wa_status wa__gpu_read_tiles(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t value, bool transposed);
/* Binds a constant's bytes as they lie in the model, packed; only where wa__gpu_is_raw says so. */
wa_status wa__gpu_read_raw(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t value);
bool wa__gpu_is_raw(const wa_plan_builder *b, uint32_t value);
/* Binds an output, making its block at the first write. */
wa_status wa__gpu_write(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t value);
/* Of input 0 only as much is read as output 0 takes: its traffic counts so. */
void wa__gpu_looked_up(const wa_plan_builder *b, wa_gpu_dispatch *d, const wa_node *n);
/* Grid for `items` invocations in workgroups of `size`. */
/* Place for a weight; a binding of it. */
wa_status wa__gpu_take_weight(wa_plan_builder *b, uint64_t bytes, uint32_t *buffer, uint64_t *offset);
wa_status wa__gpu_bind_weight(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t buffer, uint64_t offset, uint64_t bytes);
/* plan_blocks.c: whether a constant matrix (as [K,N], transposed first) or table can be blocks of codes in this
 * node; binds it so; the activation in 8 bits; a tile of MATMUL_QUANT into spec words 5, 7, 8, 9. */
bool wa__gpu_has_blocks(const wa_plan_builder *b, uint32_t node, uint32_t value, bool transposed);
bool wa__gpu_has_table(const wa_plan_builder *b, uint32_t node, uint32_t value);
wa_status wa__gpu_read_blocks(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t value, bool transposed, uint32_t bits);
wa_status wa__gpu_read_table(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t value);
wa_status wa__gpu_narrowed(wa_plan_builder *b, uint32_t node, uint32_t value, uint64_t rows, uint32_t width, uint32_t *block, uint64_t *bytes);
void wa__gpu_blocks_tile(const wa_plan_builder *b, uint64_t m, uint64_t n, uint64_t k, uint32_t *s);
void wa__gpu_cover(wa_gpu_dispatch *d, uint64_t items, uint32_t size);
/* Binds a block that is no value's. */
wa_status wa__gpu_bind_block(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t block, uint64_t bytes, bool write);
wa_status wa__gpu_end(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t node, const uint32_t *code);

/* plan_gpu_norms.c: finds the layer norms that the products around them take in. */
wa_status wa__plan_gpu_norms(wa_plan_builder *b);

/* plan_gpu_tiles.c: kernel and tile of a product with a packed constant, by shape and adapter. */
wa_status wa__gpu_tile_choose(const wa_plan_builder *b, uint64_t m, uint64_t n, uint64_t k, wa_gpu_tile *out);

typedef struct wa_gpu_row {
    wa_op op;
    const char *(*refuses)(wa_plan_builder *b, const wa_node *n); /* NULL: never */
    wa_status (*lower)(wa_plan_builder *b, uint32_t node);
    /* Forms (bit 1 << WA_FORM_*) that it reads at an input or writes at an output; NULL: f32. Lowering asks
     * wa__gpu_form for what became of it; f16 bindings are marked in the spec's `half` by themselves. */
    uint32_t (*forms)(wa_plan_builder *b, const wa_node *n, bool output, uint32_t index);
    /* Whether it can run with the tiles among the forms chosen so far; NULL: whatever `forms` allows one by one. */
    bool (*tiles)(wa_plan_builder *b, const wa_node *n);
} wa_gpu_row;
extern const wa_gpu_row wa__gpu_product_rows[], wa__gpu_pool_rows[], wa__gpu_reduce_rows[];
extern const wa_gpu_row wa__gpu_math_rows[], wa__gpu_move_rows[], wa__gpu_seq_rows[]; /* end with op NONE */
extern const wa_gpu_row wa__gpu_window_rows[];
extern const wa_gpu_row wa__gpu_quant_rows[];
extern const wa_gpu_row wa__gpu_index_rows[], wa__gpu_select_rows[]; /* end with op NONE */
void wa__gpu_bias_strides(const wa_tensor_type *t, uint32_t *out); /* plan_gpu_math.c: of an attention bias in [b,h,s,t], 0 where it is broadcast */
/* plan_gpu_matrix.c: forms with tiles of products and attention, and their lowering on subgroup matrices. */
uint32_t wa__gpu_product_tile_forms(wa_plan_builder *b, const wa_node *n, bool output, uint32_t index); /* 0 or the bit */
bool wa__gpu_product_tiles(wa_plan_builder *b, const wa_node *n);
/* The product of a node, in one dispatch with the norm of the result where `norm` is another node. */
wa_status wa__gpu_product_tiles_lower(wa_plan_builder *b, uint32_t node, uint32_t norm);
/* Finds the products that take the norm of their result along (b->absorbed); after the forms are chosen. */
void wa__gpu_absorb_norms(wa_plan_builder *b);
uint32_t wa__gpu_attention_tile_forms(wa_plan_builder *b, const wa_node *n, bool output, uint32_t index);
bool wa__gpu_attention_tiles(wa_plan_builder *b, const wa_node *n);
wa_status wa__gpu_attention_tiles_lower(wa_plan_builder *b, uint32_t node);
/* plan_gpu_move.c: a dense copy of all of a value. */
wa_status wa__gpu_copy_all(wa_plan_builder *b, uint32_t node, uint32_t from, uint32_t to);
/* plan_gpu_index.c: operators whose rows know empty inputs; what others give for one, as a word; a fill with it. */
bool wa__gpu_takes_empty(wa_op op);
bool wa__gpu_empty_value(const wa_plan_builder *b, const wa_node *n, uint32_t *bits);
wa_status wa__gpu_fill(wa_plan_builder *b, uint32_t node, uint32_t value, uint32_t bits);
const char *wa__gpu_elementwise_refuses(wa_plan_builder *b, const wa_node *n);
wa_status wa__gpu_elementwise(wa_plan_builder *b, uint32_t node);
uint32_t wa__gpu_elementwise_forms(wa_plan_builder *b, const wa_node *n, bool output, uint32_t index);
static inline const wa_tensor_type *wa__gpu_type(const wa_plan_builder *b, uint32_t value) { return &b->g->values[value].type; }
static inline uint32_t wa__gpu_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

/* One that makes 16x16 tiles: p[3] is the number of tiles along k, p[4] the first n of this piece. */
static inline bool wa__plan_tiles_transform(uint32_t t) { return t == WA_TRANSFORM_TILES_F16 || t == WA_TRANSFORM_TILES_TURNED_F16; }

/* A transform that places rows and columns (p holds them). */
static inline bool wa__plan_matrix_transform(uint32_t t)
{
    return t == WA_TRANSFORM_COPY2D || t == WA_TRANSFORM_TRANSPOSE2D || t == WA_TRANSFORM_COPY2D_F16 || t == WA_TRANSFORM_TRANSPOSE2D_F16 || wa__plan_tiles_transform(t);
}

/* One whose destination holds f16. */
static inline bool wa__plan_half_transform(uint32_t t) { return t == WA_TRANSFORM_TO_F16 || t == WA_TRANSFORM_COPY2D_F16 || t == WA_TRANSFORM_TRANSPOSE2D_F16 || wa__plan_tiles_transform(t); }

/* One that makes blocks of codes; bytes of the source that its kernel takes as one (plan_transform.c). */
static inline bool wa__plan_quant_transform(uint32_t t) { return t >= WA_TRANSFORM_QUANT8_KN && t <= WA_TRANSFORM_QUANT8_TABLE; }
uint64_t wa__plan_upload_unit(const wa_plan_weight *w);

/* plan_verify.c and the parts it is made of */
bool wa__plan_in_buffer(const wa_plan *p, uint32_t buffer, wa_target target, uint64_t offset, uint64_t length);
bool wa__plan_type_ok(uint32_t dtype, uint32_t rank, const int64_t *dims, uint64_t *bytes, int64_t *count);
wa_status wa__plan_verify_gpu(const wa_plan *p, wa_error *err) WA_MUST_CHECK;
wa_status wa__plan_verify_cpu(const wa_plan *p, wa_error *err) WA_MUST_CHECK;
bool wa__plan_tensor_ok(const wa_plan *p, uint32_t buffer, uint64_t offset, uint32_t dtype, uint64_t length); /* a whole tensor of that type */
wa_status wa__plan_verify_nn(const wa_plan *p, wa_error *err) WA_MUST_CHECK;

#endif
