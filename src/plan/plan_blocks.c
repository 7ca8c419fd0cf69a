/* Weights held as blocks of 8 or 4 bit codes (base/quant_block.h), on WebGPU and on the CPU: which constants can be,
 * their places in the weight buffers, and, on WebGPU, activations brought to 8 bits once for all products that read
 * them.
 * In: a plan of 8 or 4 bits. Out: bindings and dispatches. Called by the rows of products and look-ups, and by plan_cpu.c. */
#include "base/quant_block.h"
#include "plan/plan_int.h"

typedef struct blocks { /* a constant already on the GPU so */
    uint32_t root, buffer;
    uint32_t form, memory; /* form: bits << 1 | transposed; TABLE */
    uint64_t offset, bytes;
} blocks;
typedef struct narrowed { /* an activation that lies in 8 bits as well */
    uint32_t root, width, block;
    uint64_t bytes;
} narrowed;
enum { TABLE = 1000 };

static bool narrows(wa_dtype d) { return d == WA_F32 || d == WA_F16 || d == WA_BF16; }
static bool asked(const wa_plan_builder *b, uint32_t node)
{
    uint32_t bits = wa__plan_weight_bits(b, node);
    return bits == 8 || bits == 4;
}

/* A piece as it lies in B, [K,N]: of how many k and columns, from where. */
static void piece_in(const wa_plan_piece *p, bool transposed, uint64_t *k, uint64_t *n, uint64_t *k_at, uint64_t *n_at, bool *by_rows)
{
    *by_rows = p->transposed == transposed; /* the source is a [K,N] */
    *k = *by_rows ? p->rows : p->cols;
    *n = *by_rows ? p->cols : p->rows;
    *k_at = transposed ? p->col : p->row;
    *n_at = transposed ? p->row : p->col;
}

bool wa__gpu_has_blocks(const wa_plan_builder *b, uint32_t node, uint32_t value, bool transposed)
{
    wa_plan_pieces e;
    if (!asked(b, node) || !wa__plan_pieces(b->g, b->root[value], &e)) return false;
    uint64_t columns = transposed ? e.rows : e.cols, depth = transposed ? e.cols : e.rows;
    if (columns < 8 || wa__quant_words(wa__plan_weight_bits(b, node), depth, wa__quant_ld(columns)) * 4 + WA_PLAN_ALIGN_GPU > b->t.limit_binding) return false;
    for (uint32_t i = 0; i < e.count; i++) {
        uint64_t k, n, k_at, n_at;
        bool by_rows;
        if (!narrows(b->g->values[e.piece[i].value].type.dtype)) return false;
        piece_in(&e.piece[i], transposed, &k, &n, &k_at, &n_at, &by_rows);
        if (k % WA_QUANT_BLOCK || k_at % WA_QUANT_BLOCK || n % 2 || n_at % 2) return false;
    }
    return true;
}

bool wa__gpu_has_table(const wa_plan_builder *b, uint32_t node, uint32_t value)
{
    wa_plan_pieces e;
    return asked(b, node) && value != WA_NONE && wa__gpu_type(b, value)->rank == 2 && wa__plan_pieces(b->g, b->root[value], &e) && e.count == 1 &&
           !e.piece[0].transposed && narrows(b->g->values[e.piece[0].value].type.dtype) && e.cols == (uint64_t)wa__gpu_type(b, value)->dims[1] && e.cols % 64 == 0 && e.rows >= 64 &&
           e.rows * wa__quant_table_row(e.cols) * 4 + WA_PLAN_ALIGN_GPU <= b->t.limit_binding;
}

static wa_status upload(wa_plan_builder *b, const blocks *k, const wa_plan_piece *p, bool transposed, uint32_t bits, uint32_t ld)
{
    wa_plan_weight *w;
    uint64_t depth, columns, k_at, n_at;
    bool by_rows;
    piece_in(p, transposed, &depth, &columns, &k_at, &n_at, &by_rows);
    WA_TRY(wa__plan_weight_add(b, &b->g->values[p->value], k->buffer, &w));
    w->dst_offset = k->offset;
    w->dst_length = k->bytes;
    w->transform = k->form == TABLE ? WA_TRANSFORM_QUANT8_TABLE : bits == 8 ? (by_rows ? WA_TRANSFORM_QUANT8_KN : WA_TRANSFORM_QUANT8_NK)
                                                              : (by_rows ? WA_TRANSFORM_QUANT4_KN : WA_TRANSFORM_QUANT4_NK);
    w->p[0] = (uint32_t)p->rows;
    w->p[1] = (uint32_t)p->cols;
    w->p[2] = w->dtype;
    if (k->form == TABLE) return WA_OK;
    w->p[3] = ld;
    w->p[4] = (uint32_t)n_at;
    w->p[5] = (uint32_t)(k_at / WA_QUANT_BLOCK);
    return WA_OK;
}

static wa_status make(wa_plan_builder *b, uint32_t memory, uint32_t root, bool transposed, uint32_t form, const blocks **out)
{
    wa_plan_pieces e;
    for (size_t i = 0; i < b->blocks_of_codes.count; i++) {
        *out = (blocks *)b->blocks_of_codes.ptr + i;
        if ((*out)->root == root && (*out)->form == form && (*out)->memory == memory) return WA_OK;
    }
    if (!wa__plan_pieces(b->g, root, &e)) return wa__fail(b->err, WA_INTERNAL, "value %u is not a constant", root);
    uint32_t bits = form == TABLE ? 8 : form >> 1, ld = wa__quant_ld(transposed ? e.rows : e.cols);
    blocks k = {.root = root, .form = form, .memory = memory};
    k.bytes = form == TABLE ? e.rows * wa__quant_table_row(e.cols) * 4 : wa__quant_words(bits, transposed ? e.cols : e.rows, ld) * 4;
    WA_TRY(memory == WA_MEM_CPU ? wa__plan_host_take(b, k.bytes, &k.offset) : wa__gpu_take_weight(b, k.bytes, &k.buffer, &k.offset));
    if (memory == WA_MEM_CPU) k.buffer = b->host_weights;
    for (uint32_t i = 0; i < e.count; i++) WA_TRY(upload(b, &k, &e.piece[i], transposed, bits, ld));
    blocks *kept = wa__plan_vec_push(&b->blocks_of_codes, sizeof *kept);
    if (!kept) return wa__no_memory(b->err, "the plan");
    *kept = k;
    *out = kept;
    return WA_OK;
}

wa_status wa__gpu_read_blocks(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t value, bool transposed, uint32_t bits)
{
    const blocks *k;
    WA_TRY(make(b, WA_MEM_GPU, b->root[value], transposed, bits << 1 | transposed, &k));
    return wa__gpu_bind_weight(b, d, k->buffer, k->offset, k->bytes);
}

wa_status wa__plan_host_blocks(wa_plan_builder *b, uint32_t value, bool transposed, uint32_t bits, uint64_t *offset, uint64_t *words)
{
    const blocks *k;
    WA_TRY(make(b, WA_MEM_CPU, b->root[value], transposed, bits << 1 | transposed, &k));
    *offset = k->offset;
    *words = k->bytes / 4;
    return WA_OK;
}

wa_status wa__gpu_read_table(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t value)
{
    const blocks *k;
    WA_TRY(make(b, WA_MEM_GPU, b->root[value], false, TABLE, &k));
    return wa__gpu_bind_weight(b, d, k->buffer, k->offset, k->bytes);
}

/* The activation as [rows, width] in 8 bits: by a dispatch of its own, or as an earlier product left it. */
wa_status wa__gpu_narrowed(wa_plan_builder *b, uint32_t node, uint32_t value, uint64_t rows, uint32_t width, uint32_t *block, uint64_t *bytes)
{
    for (size_t i = 0; i < b->narrowed.count; i++) {
        const narrowed *n = (narrowed *)b->narrowed.ptr + i;
        *bytes = n->bytes;
        *block = n->block;
        if (n->root == b->root[value] && n->width == width) return WA_OK;
    }
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_QUANT_ROWS);
    uint64_t row = width / 4 + wa__align_up(width / WA_QUANT_BLOCK, 4);
    *bytes = rows * row * 4;
    WA_TRY(wa__plan_block_add(b, WA_MEM_GPU, *bytes, block));
    d.spec.spec[0] = width;
    WA_TRY(wa__gpu_read(b, &d, value));
    WA_TRY(wa__gpu_bind_block(b, &d, *block, *bytes, true));
    d.params[0] = (uint32_t)rows;
    d.params_count = 4;
    wa__gpu_cover(&d, rows * (width / WA_QUANT_BLOCK), 64);
    WA_TRY(wa__gpu_end(b, &d, node, NULL));
    narrowed *n = wa__plan_vec_push(&b->narrowed, sizeof *n);
    if (!n) return wa__no_memory(b->err, "the plan");
    *n = (narrowed){b->root[value], width, *block, *bytes};
    return WA_OK;
}

/* Rows of a tile, lanes and slices of K: enough workgroups to be busy, no more rows than there are. */
void wa__gpu_blocks_tile(const wa_plan_builder *b, uint64_t m, uint64_t n, uint64_t k, uint32_t *s)
{
    uint32_t most = (uint32_t)(k / WA_QUANT_BLOCK);
    s[5] = b->t.software ? 8 : m > 256 ? 8 : 4, s[7] = 8, s[8] = 1, s[9] = 1;
    while (s[5] > 1 && s[5] / 2 >= m) s[5] /= 2;
    if (b->t.software) return;
    if (m > 256) {
        s[7] = 16, s[8] = 8;
        return;
    }
    s[9] = n >= 4096 ? 8 : 16;
    while (s[9] > 1 && (s[9] * 2 > most || s[5] * s[7] * (s[9] - 1) * 16 > WA_PLAN_WORKGROUP_BYTES)) s[9] /= 2;
    s[8] = s[9] >= 8 ? 1 : 8 / s[9];
}
