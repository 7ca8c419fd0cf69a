/* com.microsoft's Attention, MultiHeadAttention, GroupQueryAttention and RotaryEmbedding. They differ in how
 * queries, keys, masks and caches come in; the rest is wa__dp_attend. See decompose.h. */
#include "opt/decompose_parts.h"
#include <math.h>

static bool refuse(wa_rw *r, uint32_t node, wa_status s, const char *why)
{
    const wa_node *n = &r->g->nodes[node];
    wa__rw_fail(r, wa__fail(r->err, s, "%s node %u (%.*s): %s", wa__op_info(n->op)->onnx, node, WA_STR_ARG(n->name), why));
    return true;
}

static uint32_t rank_of(const wa_rw *r, uint32_t v) { return v == WA_NONE ? 0 : wa__rw_t(r, v)->rank; }

/* 0, 1, 2, .. as I64 of rank 1. */
static uint32_t counting(wa_rw *r, int64_t n)
{
    int64_t *index = r->status == WA_OK ? wa__alloc((size_t)n + 1, sizeof *index) : NULL;
    if (!wa__rw_need(r, index != NULL)) return WA_NONE;
    for (int64_t j = 0; j < n; j++) index[j] = j;
    uint32_t c = wa__dp_const(r, &(wa_tensor_type){WA_I64, 1, {n}}, index);
    wa__free(index);
    return c;
}

static uint32_t add_bias(wa_rw *r, uint32_t a, uint32_t b) { return a == WA_NONE ? b : b == WA_NONE ? a : wa__dc2(r, WA_OP_Add, a, b); }

/* --- masks ------------------------------------------------------------------------------------------------ */
typedef struct sizes {
    int64_t batch, s, t, past; /* t: with past */
} sizes;

/* Lists of ends, or of ends and starts, of the keys of each batch row. */
static uint32_t range_mask(wa_rw *r, uint32_t mask, const sizes *z)
{
    int64_t n = wa__dp_dim(r, mask, 0), dims[4] = {z->batch, 1, 1, 1};
    uint32_t keys = counting(r, z->t), ends = wa__dc_cast(r, mask, WA_I64);
    uint32_t allowed = wa__dc2(r, WA_OP_Less, keys, wa__dc_reshape(r, n == z->batch ? ends : wa__dc_slice(r, ends, 0, 0, z->batch), dims, 4));
    if (n != 2 * z->batch) return allowed;
    uint32_t starts = wa__dc_reshape(r, wa__dc_slice(r, ends, 0, z->batch, n), dims, 4);
    return wa__dp_and(r, allowed, wa__dc2(r, WA_OP_GreaterOrEqual, keys, starts));
}

/* The padding mask as a float summand: 0 or `filter`. False when its form is unknown. */
static bool mask_bias(wa_rw *r, uint32_t mask, const sizes *z, float filter, uint32_t *out)
{
    *out = WA_NONE;
    if (mask == WA_NONE || r->status != WA_OK) return true;
    wa_tensor_type m = *wa__rw_t(r, mask);
    uint32_t allowed;
    if (m.rank == 1) {
        if (m.dims[0] != z->batch && m.dims[0] != 2 * z->batch && m.dims[0] != 3 * z->batch + 2) return false;
        allowed = range_mask(r, mask, z);
    } else if (m.rank == 2 && m.dims[0] == z->batch && m.dims[1] == z->t) {
        allowed = wa__dc_reshape(r, wa__dc_cast(r, mask, WA_BOOL), (int64_t[]){z->batch, 1, 1, z->t}, 4);
    } else if (m.rank == 3 && m.dims[0] == z->batch && m.dims[1] == z->s && m.dims[2] == z->t) {
        allowed = wa__dc_reshape(r, wa__dc_cast(r, mask, WA_BOOL), (int64_t[]){z->batch, 1, z->s, z->t}, 4);
    } else if (m.rank == 4 && m.dims[0] == z->batch && m.dims[1] == 1 && m.dims[2] >= z->past + z->s && m.dims[3] >= z->t) {
        allowed = wa__dc_slice(r, wa__dc_slice(r, mask, 2, z->past, z->past + z->s), 3, 0, z->t);
        allowed = wa__dc_cast(r, allowed, WA_BOOL);
    } else {
        return false;
    }
    *out = wa__dc3(r, WA_OP_Where, allowed, wa__dc_scalar(r, WA_F32, 0), wa__dc_scalar(r, WA_F32, (double)filter));
    return true;
}

static void causal(wa_rw *r, const wa_node *n, const sizes *z, wa_sdpa *a)
{
    if (wa__node_int(n, "unidirectional", 0)) a->allowed = wa__dp_band(r, z->s, z->t, INT64_MIN / 2, z->past);
}

static double scale_of(const wa_node *n, int64_t size)
{
    float s = wa__node_float(n, "scale", 0);
    return s != 0 ? (double)s : 1 / sqrt((double)size);
}

/* --- Attention ---------------------------------------------------------------------------------------------- */
enum { A_INPUT, A_WEIGHTS, A_BIAS, A_MASK, A_PAST, A_ADD, A_PAST_LENGTH };

static uint32_t past_part(wa_rw *r, uint32_t past, int64_t i)
{
    if (r->status != WA_OK) return WA_NONE;
    wa_tensor_type t = *wa__rw_t(r, past);
    return wa__dc_reshape(r, wa__dp_wide(r, wa__dc_slice(r, past, 0, i, i + 1)), t.dims + 1, 4);
}

static bool attention(wa_rw *r, uint32_t node)
{
    uint32_t in[7];
    for (uint32_t i = 0; i < 7; i++) in[i] = wa__rw_in(r, node, i);
    wa_node n = r->g->nodes[node];
    wa_tensor_type x = *wa__rw_t(r, in[A_INPUT]), w = *wa__rw_t(r, in[A_WEIGHTS]);
    int64_t heads = wa__node_int(&n, "num_heads", 0);
    if (x.rank != 3 || w.rank != 2 || heads < 1 || x.dims[2] != w.dims[0]) return refuse(r, node, WA_CORRUPT, "its input, weights or num_heads do not fit");
    if (wa__node_int(&n, "do_rotary", 0) || wa__node_int(&n, "past_present_share_buffer", 0)) return refuse(r, node, WA_UNSUPPORTED, "do_rotary and past_present_share_buffer are not supported");
    int64_t wide[3] = {w.dims[1] / 3, w.dims[1] / 3, w.dims[1] / 3};
    const wa_attr *given = wa__attr_find(n.attrs, n.attr_count, "qkv_hidden_sizes");
    if (given && given->kind == WA_ATTR_KIND_INTS && given->count == 3) memcpy(wide, given->ints, sizeof wide);
    if (wide[0] < 1 || wide[0] != wide[1] || wide[2] < 1 || wide[0] + wide[1] + wide[2] != w.dims[1] || wide[0] % heads || wide[2] % heads) return refuse(r, node, WA_CORRUPT, "its hidden sizes do not fit");
    sizes z = {x.dims[0], x.dims[1], x.dims[1], 0};
    if (in[A_PAST] != WA_NONE) {
        if (rank_of(r, in[A_PAST]) != 5) return refuse(r, node, WA_CORRUPT, "its past is not of rank 5");
        z.past = wa__dp_dim(r, in[A_PAST], 3);
        z.t += z.past;
    }
    uint32_t all = wa__dp_gemm(r, wa__dc_reshape(r, wa__dp_wide(r, in[A_INPUT]), (int64_t[]){z.batch * z.s, x.dims[2]}, 2), wa__dp_wide(r, in[A_WEIGHTS]), false, wa__dp_wide(r, in[A_BIAS]));
    all = wa__dc_reshape(r, all, (int64_t[]){z.batch, z.s, w.dims[1]}, 3);
    bool present = wa__dp_wants(r, node, 1);
    wa_sdpa a = {.q_flat = true, .kv_flat = true, .out_flat = true, .heads = heads, .kv_heads = heads, .scale = scale_of(&n, wide[0] / heads), .allowed = WA_NONE, .sink = WA_NONE, .scores_mode = -1};
    a.q = wa__dc_slice(r, all, 2, 0, wide[0]);
    a.k = wa__dc_slice(r, all, 2, wide[0], 2 * wide[0]);
    a.v = wa__dc_slice(r, all, 2, 2 * wide[0], w.dims[1]);
    if (z.past > 0 || present) {
        a.k = wa__dp_heads(r, a.k, heads);
        a.v = wa__dp_heads(r, a.v, heads);
        a.kv_flat = false;
    }
    if (z.past > 0) {
        a.k = wa__dc_concat(r, (uint32_t[]){past_part(r, in[A_PAST], 0), a.k}, 2, 2);
        a.v = wa__dc_concat(r, (uint32_t[]){past_part(r, in[A_PAST], 1), a.v}, 2, 2);
    }
    if (!mask_bias(r, in[A_MASK], &z, wa__node_float(&n, "mask_filter_value", -10000), &a.bias)) return refuse(r, node, WA_UNSUPPORTED, "its mask_index has an unknown form");
    a.bias = add_bias(r, a.bias, wa__dp_wide(r, in[A_ADD]));
    causal(r, &n, &z, &a);
    uint32_t y = wa__dp_attend(r, &a);
    if (present) {
        int64_t dims[5] = {1, z.batch, heads, z.t, wide[0] / heads};
        wa__dp_result(r, node, 1, wa__dc_concat(r, (uint32_t[]){wa__dc_reshape(r, a.k, dims, 5), wa__dc_reshape(r, a.v, dims, 5)}, 2, 0), x.dtype);
    }
    wa__dp_result(r, node, 0, y, x.dtype);
    return true;
}

/* --- MultiHeadAttention ---------------------------------------------------------------------------------------- */
enum { M_Q, M_K, M_V, M_BIAS, M_MASK, M_ADD, M_PAST_K, M_PAST_V, M_PAST_LENGTH, M_CACHE };

/* Part `i` of a packed [b,s,h,n,d], flat. */
static uint32_t unpacked(wa_rw *r, uint32_t x, int64_t i)
{
    if (r->status != WA_OK) return WA_NONE;
    wa_tensor_type t = *wa__rw_t(r, x);
    return wa__dc_reshape(r, wa__dc_slice(r, x, 3, i, i + 1), (int64_t[]){t.dims[0], t.dims[1], t.dims[2] * t.dims[4]}, 3);
}

/* Queries, keys and values of every form, without bias. False when they do not fit. */
static bool qkv(wa_rw *r, const uint32_t *in, int64_t heads, wa_sdpa *a)
{
    uint32_t q = wa__dp_wide(r, in[M_Q]), k = wa__dp_wide(r, in[M_K]), v = wa__dp_wide(r, in[M_V]);
    if (r->status != WA_OK) return true;
    a->q_flat = a->kv_flat = true;
    if (rank_of(r, q) == 5) {
        if (k != WA_NONE || wa__dp_dim(r, q, 3) != 3 || wa__dp_dim(r, q, 2) != heads) return false;
        a->q = unpacked(r, q, 0);
        a->k = unpacked(r, q, 1);
        a->v = unpacked(r, q, 2);
        return true;
    }
    a->q = q;
    if (rank_of(r, q) != 3 || k == WA_NONE || wa__dp_dim(r, q, 2) % heads) return false;
    if (rank_of(r, k) == 5) {
        if (v != WA_NONE || wa__dp_dim(r, k, 3) != 2 || wa__dp_dim(r, k, 2) != heads) return false;
        a->k = unpacked(r, k, 0);
        a->v = unpacked(r, k, 1);
        return true;
    }
    a->k = k;
    a->v = v;
    if (v == WA_NONE || rank_of(r, k) != rank_of(r, v)) return false;
    if (rank_of(r, k) == 4) a->kv_flat = false;
    return rank_of(r, k) == 4 ? wa__dp_dim(r, k, 1) == heads : rank_of(r, k) == 3 && wa__dp_dim(r, k, 2) == wa__dp_dim(r, q, 2) && wa__dp_dim(r, v, 2) % heads == 0;
}

static void qkv_bias(wa_rw *r, uint32_t bias, wa_sdpa *a)
{
    bias = wa__dp_wide(r, bias);
    if (r->status != WA_OK || bias == WA_NONE) return;
    int64_t n = wa__dp_dim(r, a->q, 2);
    a->q = wa__dc2(r, WA_OP_Add, a->q, wa__dc_slice(r, bias, 0, 0, n));
    if (!a->kv_flat) return; /* cached keys have theirs */
    a->k = wa__dc2(r, WA_OP_Add, a->k, wa__dc_slice(r, bias, 0, n, 2 * n));
    a->v = wa__dc2(r, WA_OP_Add, a->v, wa__dc_slice(r, bias, 0, 2 * n, 2 * n + wa__dp_dim(r, a->v, 2)));
}

static bool multi_head(wa_rw *r, uint32_t node)
{
    uint32_t in[10];
    for (uint32_t i = 0; i < 10; i++) in[i] = wa__rw_in(r, node, i);
    wa_node n = r->g->nodes[node];
    int64_t heads = wa__node_int(&n, "num_heads", 0);
    wa_dtype type = wa__rw_t(r, in[M_Q])->dtype;
    wa_sdpa a = {.out_flat = true, .heads = heads, .kv_heads = heads, .bias = WA_NONE, .allowed = WA_NONE, .sink = WA_NONE, .scores_mode = -1};
    if (heads < 1 || !qkv(r, in, heads, &a)) return refuse(r, node, WA_CORRUPT, "its queries, keys, values or num_heads do not fit");
    if (in[M_PAST_LENGTH] != WA_NONE || in[M_CACHE] != WA_NONE || wa__dp_wants(r, node, 3)) return refuse(r, node, WA_UNSUPPORTED, "a shared cache, cache_indirection and the output qk are not supported");
    qkv_bias(r, in[M_BIAS], &a);
    if (r->status != WA_OK) return true;
    sizes z = {wa__dp_dim(r, a.q, 0), wa__dp_dim(r, a.q, 1), wa__dp_dim(r, a.k, a.kv_flat ? 1 : 2), 0};
    a.scale = scale_of(&n, wa__dp_dim(r, a.q, 2) / heads);
    bool present = wa__dp_wants(r, node, 1) || wa__dp_wants(r, node, 2);
    if (rank_of(r, in[M_PAST_K]) == 4 && rank_of(r, in[M_PAST_V]) == 4) z.past = wa__dp_dim(r, in[M_PAST_K], 2);
    z.t += z.past;
    if (a.kv_flat && (present || z.past)) {
        a.k = wa__dp_heads(r, a.k, heads);
        a.v = wa__dp_heads(r, a.v, heads);
        a.kv_flat = false;
    }
    if (z.past) {
        a.k = wa__dc_concat(r, (uint32_t[]){wa__dp_wide(r, in[M_PAST_K]), a.k}, 2, 2);
        a.v = wa__dc_concat(r, (uint32_t[]){wa__dp_wide(r, in[M_PAST_V]), a.v}, 2, 2);
    }
    if (!mask_bias(r, in[M_MASK], &z, wa__node_float(&n, "mask_filter_value", -10000), &a.bias)) return refuse(r, node, WA_UNSUPPORTED, "its key_padding_mask has an unknown form");
    a.bias = add_bias(r, a.bias, wa__dp_wide(r, in[M_ADD]));
    causal(r, &n, &z, &a);
    uint32_t y = wa__dp_attend(r, &a);
    wa__dp_result(r, node, 1, a.k, type);
    wa__dp_result(r, node, 2, a.v, type);
    wa__dp_result(r, node, 0, y, type);
    return true;
}

/* --- GroupQueryAttention ------------------------------------------------------------------------------------------ */
enum { G_Q, G_K, G_V, G_PAST_K, G_PAST_V, G_LENGTHS, G_TOTAL, G_COS, G_SIN, G_POSITIONS, G_ADD, G_SINK, G_K_SCALE, G_V_SCALE, G_INPUTS };

typedef struct gqa {
    wa_rw *r;
    uint32_t node, in[G_INPUTS];
    int64_t heads, kv, batch, s, size, have, total, t; /* have: of the past's buffer; t: of the present's */
    bool fixed;          /* every row has `at` tokens before */
    int64_t at;
    uint32_t before;     /* else: tokens before, I64 [b] */
    uint32_t q, k, v;    /* flat */
} gqa;

static bool gqa_read(gqa *c)
{
    wa_rw *r = c->r;
    const wa_node *n = &r->g->nodes[c->node];
    for (uint32_t i = 0; i < G_INPUTS; i++) c->in[i] = wa__rw_in(r, c->node, i);
    c->heads = wa__node_int(n, "num_heads", 0);
    c->kv = wa__node_int(n, "kv_num_heads", 0);
    if (c->heads < 1 || c->kv < 1 || c->heads % c->kv || rank_of(r, c->in[G_Q]) != 3 || (c->in[G_K] == WA_NONE) != (c->in[G_V] == WA_NONE)) return false;
    c->batch = wa__dp_dim(r, c->in[G_Q], 0);
    c->s = wa__dp_dim(r, c->in[G_Q], 1);
    int64_t width = wa__dp_dim(r, c->in[G_Q], 2), shares = c->in[G_K] == WA_NONE ? c->heads + 2 * c->kv : c->heads;
    c->size = width / shares;
    c->have = rank_of(r, c->in[G_PAST_K]) == 4 ? wa__dp_dim(r, c->in[G_PAST_K], 2) : 0;
    if (width % shares || c->in[G_LENGTHS] == WA_NONE || c->in[G_TOTAL] == WA_NONE) return false;
    return c->in[G_K] == WA_NONE || (rank_of(r, c->in[G_K]) == 3 && rank_of(r, c->in[G_V]) == 3 && wa__dp_dim(r, c->in[G_K], 2) == c->kv * c->size && wa__dp_dim(r, c->in[G_V], 2) == c->kv * c->size);
}

/* total_sequence_length decides the present's shape; how many tokens lie before may be data. */
static bool gqa_lengths(gqa *c)
{
    wa_rw *r = c->r;
    uint32_t count;
    if (!wa__graph_const_ints(r->g, c->in[G_TOTAL], &c->total, 1, &count) || count != 1) {
        wa__rw_fail(r, wa__fail(r->err, WA_DYNAMIC, "GroupQueryAttention node %u: its shape depends on data: total_sequence_length is known only at run time", c->node));
        return false;
    }
    c->t = c->total > c->have ? c->total : c->have;
    c->fixed = c->total == c->s || (c->batch == 1 && c->total == c->have + c->s);
    c->at = c->total == c->s ? 0 : c->have;
    c->before = WA_NONE;
    if (!c->fixed) c->before = wa__dp_shifted(r, wa__dc_reshape(r, wa__dc_cast(r, c->in[G_LENGTHS], WA_I64), (int64_t[]){c->batch}, 1), (double)(1 - c->s));
    return r->status == WA_OK;
}

static void gqa_rotate(gqa *c)
{
    wa_rw *r = c->r;
    const wa_node *n = &r->g->nodes[c->node];
    bool interleaved = wa__node_int(n, "rotary_interleaved", 0) != 0;
    if (!wa__node_int(n, "do_rotary", 0) || r->status != WA_OK) return;
    if (rank_of(r, c->in[G_COS]) != 2 || rank_of(r, c->in[G_SIN]) != 2) {
        refuse(r, c->node, WA_CORRUPT, "do_rotary without caches of cosine and sine");
        return;
    }
    int64_t rotary = 2 * wa__dp_dim(r, c->in[G_COS], 1), q[4] = {c->batch, c->s, c->heads, c->size}, k[4] = {c->batch, c->s, c->kv, c->size};
    uint32_t at = c->in[G_POSITIONS];
    if (at == WA_NONE) {
        at = wa__dc_reshape(r, counting(r, c->s), (int64_t[]){1, c->s}, 2);
        at = c->fixed ? wa__dp_shifted(r, at, (double)c->at) : wa__dc2(r, WA_OP_Add, at, wa__dc_reshape(r, c->before, (int64_t[]){c->batch, 1}, 2));
    }
    uint32_t cos = wa__dp_gather(r, wa__dp_wide(r, c->in[G_COS]), at, 0), sin = wa__dp_gather(r, wa__dp_wide(r, c->in[G_SIN]), at, 0);
    c->q = wa__dp_rotate(r, wa__dc_reshape(r, c->q, q, 4), cos, sin, rotary, interleaved);
    c->k = wa__dp_rotate(r, wa__dc_reshape(r, c->k, k, 4), cos, sin, rotary, interleaved);
    c->q = wa__dc_reshape(r, c->q, (int64_t[]){c->batch, c->s, c->heads * c->size}, 3);
    c->k = wa__dc_reshape(r, c->k, (int64_t[]){c->batch, c->s, c->kv * c->size}, 3);
}

/* The cache with the new tokens in place, [b,kv,t,size]: `x` flat. */
static uint32_t gqa_present(gqa *c, uint32_t past, uint32_t x)
{
    wa_rw *r = c->r;
    past = wa__dp_wide(r, past);
    if (c->fixed) {
        x = wa__dp_heads(r, x, c->kv);
        uint32_t parts[3], count = 0;
        if (c->at > 0) parts[count++] = c->at == c->have ? past : wa__dc_slice(r, past, 2, 0, c->at);
        parts[count++] = x;
        if (c->at + c->s < c->t) parts[count++] = wa__dc_slice(r, past, 2, c->at + c->s, c->t);
        return count == 1 ? x : wa__dc_concat(r, parts, count, 2);
    }
    /* slot j takes new token j - before: a row of x, clamped where it is none */
    uint32_t keys = wa__dc_reshape(r, counting(r, c->t), (int64_t[]){1, c->t}, 2), before = wa__dc_reshape(r, c->before, (int64_t[]){c->batch, 1}, 2);
    uint32_t token = wa__dc2(r, WA_OP_Sub, keys, before), zero = wa__dc_scalar(r, WA_I64, 0);
    uint32_t row = wa__dc2(r, WA_OP_Min, wa__dc2(r, WA_OP_Max, token, zero), wa__dc_scalar(r, WA_I64, (double)(c->s - 1)));
    row = wa__dc2(r, WA_OP_Add, row, wa__dc2(r, WA_OP_Mul, wa__dc_reshape(r, counting(r, c->batch), (int64_t[]){c->batch, 1}, 2), wa__dc_scalar(r, WA_I64, (double)c->s)));
    x = wa__dp_gather(r, wa__dc_reshape(r, x, (int64_t[]){c->batch * c->s, c->kv * c->size}, 2), row, 0);
    x = wa__dp_heads(r, x, c->kv);
    int64_t slot[4] = {c->batch, 1, c->t, 1};
    uint32_t old = wa__dc_reshape(r, wa__dc2(r, WA_OP_Less, token, zero), slot, 4), late = wa__dc_reshape(r, wa__dc2(r, WA_OP_GreaterOrEqual, token, wa__dc_scalar(r, WA_I64, (double)c->s)), slot, 4);
    int64_t rest[4] = {c->batch, c->kv, c->t - c->have, c->size};
    if (r->status == WA_OK && c->have < c->t) {
        uint32_t zeros = wa__dp_zeros(r, wa__rw_t(r, x)->dtype, rest, 4);
        past = c->have ? wa__dc_concat(r, (uint32_t[]){past, zeros}, 2, 2) : zeros;
    }
    if (c->have == c->t) return wa__dc3(r, WA_OP_Where, wa__dc2(r, WA_OP_Or, old, late), past, x); /* one buffer: what it holds stays */
    x = wa__dc3(r, WA_OP_Where, old, past, x);
    return r->status == WA_OK ? wa__dc3(r, WA_OP_Where, late, wa__dc_scalar(r, wa__rw_t(r, x)->dtype, 0), x) : WA_NONE;
}

static void gqa_limits(gqa *c, int64_t window, wa_sdpa *a)
{
    wa_rw *r = c->r;
    if (c->fixed) {
        a->allowed = wa__dp_band(r, c->s, c->t, window > 0 ? c->at - window + 1 : INT64_MIN / 2, c->at);
        return;
    }
    uint32_t far = wa__dp_distance(r, c->s, c->t), before = wa__dc_reshape(r, c->before, (int64_t[]){c->batch, 1, 1, 1}, 4);
    a->allowed = wa__dc2(r, WA_OP_LessOrEqual, far, before);
    if (window > 0) a->allowed = wa__dp_and(r, a->allowed, wa__dc2(r, WA_OP_Greater, far, wa__dp_shifted(r, before, -(double)window)));
}

static bool group_query(wa_rw *r, uint32_t node)
{
    gqa c = {.r = r, .node = node};
    if (!gqa_read(&c)) return refuse(r, node, WA_CORRUPT, "its queries, keys, values or heads do not fit");
    wa_node n = r->g->nodes[node];
    if (c.in[G_K_SCALE] != WA_NONE || c.in[G_V_SCALE] != WA_NONE || wa__dp_wants(r, node, 3)) return refuse(r, node, WA_UNSUPPORTED, "quantised caches and the output output_qk are not supported");
    if (!gqa_lengths(&c)) return true;
    wa_dtype type = wa__rw_t(r, c.in[G_Q])->dtype;
    int64_t q = c.heads * c.size, kv = c.kv * c.size;
    c.q = wa__dp_wide(r, c.in[G_Q]);
    if (c.in[G_K] == WA_NONE) {
        uint32_t all = c.q;
        c.q = wa__dc_slice(r, all, 2, 0, q);
        c.k = wa__dc_slice(r, all, 2, q, q + kv);
        c.v = wa__dc_slice(r, all, 2, q + kv, q + 2 * kv);
    } else {
        c.k = wa__dp_wide(r, c.in[G_K]);
        c.v = wa__dp_wide(r, c.in[G_V]);
    }
    gqa_rotate(&c);
    wa_sdpa a = {.q = c.q, .q_flat = true, .out_flat = true, .heads = c.heads, .kv_heads = c.kv, .scale = scale_of(&n, c.size), .softcap = (double)wa__node_float(&n, "softcap", 0),
                 .bias = wa__dp_wide(r, c.in[G_ADD]), .sink = wa__dp_wide(r, c.in[G_SINK]), .smooth = wa__node_int(&n, "smooth_softmax", 0) > 0, .scores_mode = -1};
    a.k = gqa_present(&c, c.in[G_PAST_K], c.k);
    a.v = gqa_present(&c, c.in[G_PAST_V], c.v);
    gqa_limits(&c, wa__node_int(&n, "local_window_size", -1), &a);
    uint32_t y = wa__dp_attend(r, &a);
    wa__dp_result(r, node, 1, a.k, type);
    wa__dp_result(r, node, 2, a.v, type);
    wa__dp_result(r, node, 0, y, type);
    return true;
}

/* --- RotaryEmbedding ------------------------------------------------------------------------------------------------ */
static bool rotary(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    uint32_t x = n.inputs[0], ids = n.inputs[1];
    wa_tensor_type t = *wa__rw_t(r, x), c = *wa__rw_t(r, n.inputs[2]);
    int64_t part = wa__node_int(&n, "rotary_embedding_dim", 0), heads = wa__node_int(&n, "num_heads", 0);
    bool interleaved = wa__node_int(&n, "interleaved", 0) != 0;
    if ((t.rank != 3 && t.rank != 4) || c.rank != 2) return refuse(r, node, WA_CORRUPT, "its input or caches have the wrong rank");
    int64_t s = t.dims[t.rank - 2], size = t.rank == 4 ? t.dims[3] : part > 0 && heads > 0 ? t.dims[2] / heads : 2 * c.dims[1];
    if (t.rank == 3) heads = size > 0 ? t.dims[2] / size : 0;
    if (size < 1 || (t.rank == 3 && heads * size != t.dims[2]) || (part > 0 ? part : size) != 2 * c.dims[1] || part > size) return refuse(r, node, WA_CORRUPT, "its heads and caches do not fit");
    if (wa__rw_t(r, ids)->rank < 2) ids = wa__dc2(r, WA_OP_Add, wa__dc_reshape(r, wa__dc_cast(r, ids, WA_I64), (int64_t[]){1, 1}, 2), wa__dc_reshape(r, counting(r, s), (int64_t[]){1, s}, 2));
    uint32_t cos = wa__dp_gather(r, wa__dp_wide(r, n.inputs[2]), ids, 0), sin = wa__dp_gather(r, wa__dp_wide(r, n.inputs[3]), ids, 0);
    uint32_t y = wa__dp_wide(r, x);
    if (t.rank == 4) y = wa__dc_transpose(r, y, (int64_t[]){0, 2, 1, 3}, 4);
    else y = wa__dc_reshape(r, y, (int64_t[]){t.dims[0], s, heads, size}, 4);
    y = wa__dp_rotate(r, y, cos, sin, part, interleaved);
    if (t.rank == 4) y = wa__dc_transpose(r, y, (int64_t[]){0, 2, 1, 3}, 4);
    else y = wa__dc_reshape(r, y, t.dims, 3);
    wa__dp_result(r, node, 0, wa__dp_scaled(r, y, (double)wa__node_float(&n, "scale", 1)), t.dtype);
    return true;
}

const wa_decompose_row wa__decompose_ms_attention[] = {
    {WA_OP_MsAttention, attention}, {WA_OP_MultiHeadAttention, multi_head}, {WA_OP_GroupQueryAttention, group_query}, {WA_OP_MsRotaryEmbedding, rotary},
    {WA_OP_NONE, NULL},
};
