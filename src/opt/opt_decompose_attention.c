/* Decompositions of ai.onnx's Attention, RotaryEmbedding, LinearAttention and CausalConvWithState (and
 * com.microsoft's of the last two, which mean the same). See decompose.h. */
#include "opt/decompose_parts.h"
#include <math.h>

static bool refuse(wa_rw *r, uint32_t node, const char *why)
{
    const wa_node *n = &r->g->nodes[node];
    wa__rw_fail(r, wa__fail(r->err, WA_CORRUPT, "%s node %u (%.*s): %s", wa__op_info(n->op)->onnx, node, WA_STR_ARG(n->name), why));
    return true;
}

/* --- Attention ------------------------------------------------------------------------------------------ */
enum { Q, K, V, MASK, PAST_KEY, PAST_VALUE, NONPAD };

typedef struct heads {
    int64_t q, kv, batch, s, t, past;
} heads;

static bool shapes(wa_rw *r, uint32_t node, heads *h)
{
    const wa_node *n = &r->g->nodes[node];
    const wa_tensor_type *q = wa__rw_t(r, n->inputs[Q]), *k = wa__rw_t(r, n->inputs[K]), *v = wa__rw_t(r, n->inputs[V]);
    uint32_t past = wa__rw_in(r, node, PAST_KEY);
    if ((q->rank != 3 && q->rank != 4) || k->rank != q->rank || v->rank != q->rank || q->dims[0] != k->dims[0] || k->dims[0] != v->dims[0]) return false;
    h->q = q->rank == 4 ? q->dims[1] : wa__node_int(n, "q_num_heads", 0);
    h->kv = q->rank == 4 ? k->dims[1] : wa__node_int(n, "kv_num_heads", 0);
    h->batch = q->dims[0];
    h->s = q->dims[q->rank - 2];
    h->past = past == WA_NONE ? 0 : wa__rw_t(r, past)->dims[2];
    h->t = k->dims[k->rank - 2] + h->past;
    if (h->q < 1 || h->kv < 1 || h->q % h->kv || (past == WA_NONE) != (wa__rw_in(r, node, PAST_VALUE) == WA_NONE)) return false;
    if (past != WA_NONE && (wa__rw_t(r, past)->rank != 4 || wa__rw_t(r, n->inputs[PAST_VALUE])->rank != 4)) return false;
    if (q->rank == 4) return q->dims[3] == k->dims[3] && v->dims[1] == h->kv && v->dims[2] == k->dims[2];
    return q->dims[2] % h->q == 0 && k->dims[2] % h->kv == 0 && v->dims[2] % h->kv == 0 && q->dims[2] / h->q == k->dims[2] / h->kv && v->dims[1] == k->dims[1];
}

/* Rows beyond the mask's last column are padded: with `fill` zeros. */
static uint32_t padded(wa_rw *r, uint32_t mask, int64_t t)
{
    wa_tensor_type m = *wa__rw_t(r, mask);
    if (m.rank == 0 || m.dims[m.rank - 1] >= t || m.dims[m.rank - 1] == 1) return mask;
    int64_t axis = (int64_t)m.rank - 1, have = m.dims[axis];
    m.dims[axis] = t - have;
    return wa__dc_concat(r, (uint32_t[]){mask, wa__dp_zeros(r, m.dtype, m.dims, m.rank)}, 2, axis);
}

/* The mask input as what is added and what is allowed. A float mask's minus infinity forbids. */
static void mask_input(wa_rw *r, uint32_t mask, int64_t t, wa_dtype wide, wa_sdpa *a)
{
    a->bias = a->allowed = WA_NONE;
    if (mask == WA_NONE || r->status != WA_OK) return;
    if (wa__rw_t(r, mask)->dtype == WA_BOOL) {
        a->allowed = padded(r, mask, t);
        a->may_be_empty = true;
        return;
    }
    mask = wa__dc_cast(r, mask, wide);
    uint32_t live = wa__dc1(r, WA_OP_Not, wa__dc1(r, WA_OP_IsInf, mask));
    if (r->status != WA_OK) return;
    a->bias = padded(r, wa__dc3(r, WA_OP_Where, live, mask, wa__dc_scalar(r, wide, 0)), t);
    a->allowed = padded(r, live, t);
    a->may_be_empty = true;
}

/* Per batch row: keys below nonpad, and the frontier that moves with it. */
static uint32_t nonpad_allows(wa_rw *r, uint32_t nonpad, const heads *h, bool causal, int64_t left, int64_t right)
{
    uint32_t n = wa__dc_reshape(r, wa__dc_cast(r, nonpad, WA_I64), (int64_t[]){h->batch, 1, 1, 1}, 4);
    wa_tensor_type t = {WA_I64, 1, {h->t}};
    if (r->status != WA_OK) return WA_NONE;
    int64_t *index = wa__alloc((size_t)h->t, sizeof *index);
    if (!wa__rw_need(r, index != NULL)) return WA_NONE;
    for (int64_t j = 0; j < h->t; j++) index[j] = j;
    uint32_t keys = wa__dp_const(r, &t, index), allowed = wa__dc2(r, WA_OP_Less, keys, n);
    wa__free(index);
    if (!causal && left < 0 && right < 0) return allowed;
    uint32_t offset = wa__dp_shifted(r, n, -(double)h->s), far = wa__dp_distance(r, h->s, h->t);
    if (causal) allowed = wa__dp_and(r, allowed, wa__dc2(r, WA_OP_LessOrEqual, far, offset));
    if (left >= 0) allowed = wa__dp_and(r, allowed, wa__dc2(r, WA_OP_GreaterOrEqual, far, wa__dp_shifted(r, offset, -(double)left)));
    if (right >= 0) allowed = wa__dp_and(r, allowed, wa__dc2(r, WA_OP_LessOrEqual, far, wa__dp_shifted(r, offset, (double)right)));
    return allowed;
}

static void limits(wa_rw *r, uint32_t node, const heads *h, wa_sdpa *a)
{
    const wa_node *n = &r->g->nodes[node];
    bool causal = wa__node_int(n, "is_causal", 0) != 0;
    int64_t left = wa__node_int(n, "left_window_size", -1), right = wa__node_int(n, "right_window_size", -1), low = INT64_MIN / 2, high = INT64_MAX / 2;
    uint32_t nonpad = wa__rw_in(r, node, NONPAD);
    if (nonpad != WA_NONE) {
        a->allowed = wa__dp_and(r, a->allowed, nonpad_allows(r, nonpad, h, causal, left, right));
        a->may_be_empty = true;
        return;
    }
    if (!causal && left < 0 && right < 0) return;
    if (causal) high = h->past;
    if (right >= 0 && h->past + right < high) high = h->past + right;
    if (left >= 0) low = h->past - left;
    if (left >= 0 && h->past + h->s > h->t + left) a->may_be_empty = true;
    a->allowed = wa__dp_and(r, a->allowed, wa__dp_band(r, h->s, h->t, low, high));
}

static bool attention(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    heads h;
    if (!shapes(r, node, &h)) return refuse(r, node, "its queries, keys, values or heads do not fit");
    wa_dtype type = wa__rw_t(r, n->inputs[Q])->dtype, vtype = wa__rw_t(r, n->inputs[V])->dtype;
    bool flat = wa__rw_t(r, n->inputs[Q])->rank == 3;
    uint32_t in[7];
    for (uint32_t i = 0; i < 7; i++) in[i] = wa__rw_in(r, node, i);
    wa_sdpa a = {.q_flat = flat, .kv_flat = flat, .out_flat = flat, .heads = h.q, .kv_heads = h.kv, .sink = WA_NONE,
                 .softcap = (double)wa__node_float(n, "softcap", 0), .scores_mode = wa__dp_wants(r, node, 3) ? (int)wa__node_int(n, "qk_matmul_output_mode", 0) : -1};
    int64_t size = flat ? wa__dp_dim(r, in[Q], 2) / h.q : wa__dp_dim(r, in[Q], 3);
    a.scale = (double)wa__node_float(n, "scale", 0);
    if (!wa__attr_find(n->attrs, n->attr_count, "scale")) a.scale = 1 / sqrt((double)size);
    if (a.scores_mode > 3) return refuse(r, node, "qk_matmul_output_mode is unknown");
    a.q = wa__dp_wide(r, in[Q]);
    a.k = wa__dp_wide(r, in[K]);
    a.v = wa__dp_wide(r, in[V]);
    bool cached = in[PAST_KEY] != WA_NONE, present = wa__dp_wants(r, node, 1) || wa__dp_wants(r, node, 2);
    if (flat && (cached || present)) {
        a.k = wa__dp_heads(r, a.k, h.kv);
        a.v = wa__dp_heads(r, a.v, h.kv);
        a.kv_flat = false;
    }
    if (cached && h.past > 0) {
        a.k = wa__dc_concat(r, (uint32_t[]){wa__dp_wide(r, in[PAST_KEY]), a.k}, 2, 2);
        a.v = wa__dc_concat(r, (uint32_t[]){wa__dp_wide(r, in[PAST_VALUE]), a.v}, 2, 2);
    }
    if (r->status != WA_OK) return true;
    mask_input(r, in[MASK], h.t, wa__rw_t(r, a.q)->dtype, &a);
    limits(r, node, &h, &a);
    uint32_t y = wa__dp_attend(r, &a);
    wa__dp_result(r, node, 0, y, type);
    wa__dp_result(r, node, 1, a.k, type);
    wa__dp_result(r, node, 2, a.v, vtype);
    if (a.scores_mode >= 0) wa__dp_result(r, node, 3, a.scores, type);
    return true;
}

/* --- RotaryEmbedding -------------------------------------------------------------------------------------- */
static bool rotary(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    wa_tensor_type x = *wa__rw_t(r, n->inputs[0]);
    int64_t count = x.rank == 4 ? x.dims[1] : wa__node_int(n, "num_heads", 0), part = wa__node_int(n, "rotary_embedding_dim", 0);
    bool interleaved = wa__node_int(n, "interleaved", 0) != 0;
    uint32_t ids = wa__rw_in(r, node, 3), cos = wa__dp_wide(r, n->inputs[1]);
    n = &r->g->nodes[node];
    uint32_t sin = wa__dp_wide(r, n->inputs[2]);
    if ((x.rank != 3 && x.rank != 4) || count < 1 || (x.rank == 3 && x.dims[2] % count)) return refuse(r, node, "its input is no [batch, heads, tokens, size], or num_heads does not fit");
    if (ids != WA_NONE) {
        cos = wa__dp_gather(r, cos, ids, 0);
        sin = wa__dp_gather(r, sin, ids, 0);
    }
    if (r->status != WA_OK) return true;
    int64_t size = x.rank == 4 ? x.dims[3] : x.dims[2] / count;
    if (wa__rw_t(r, cos)->rank != 3 || wa__rw_t(r, sin)->rank != 3 || wa__dp_dim(r, cos, 2) * 2 != (part > 0 ? part : size) || part > size)
        return refuse(r, node, "its cos and sin caches do not fit");
    uint32_t y = wa__dp_wide(r, r->g->nodes[node].inputs[0]);
    if (x.rank == 4) y = wa__dc_transpose(r, y, (int64_t[]){0, 2, 1, 3}, 4);
    else y = wa__dc_reshape(r, y, (int64_t[]){x.dims[0], x.dims[1], count, size}, 4);
    y = wa__dp_rotate(r, y, cos, sin, part, interleaved);
    if (x.rank == 4) y = wa__dc_transpose(r, y, (int64_t[]){0, 2, 1, 3}, 4);
    else y = wa__dc_reshape(r, y, x.dims, 3);
    wa__dp_result(r, node, 0, y, x.dtype);
    return true;
}

/* --- LinearAttention --------------------------------------------------------------------------------------- */
static bool linear_attention(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    int64_t q_heads = wa__node_int(n, "q_num_heads", 0), kv_heads = wa__node_int(n, "kv_num_heads", 0);
    wa_str rule = wa__dp_str(n, "update_rule", "gated_delta");
    double scale = (double)wa__node_float(n, "scale", 0);
    wa_tensor_type q = *wa__rw_t(r, n->inputs[0]);
    bool gated = wa__str_is(rule, "gated") || wa__str_is(rule, "gated_delta"), delta = wa__str_is(rule, "delta") || wa__str_is(rule, "gated_delta");
    if (!gated && !delta && !wa__str_is(rule, "linear")) return refuse(r, node, "its update_rule is unknown");
    if (q.rank != 3 || q_heads < 1 || kv_heads < 1 || q_heads % kv_heads || q.dims[2] % q_heads) return refuse(r, node, "its heads do not fit");
    uint32_t in[6], past = wa__rw_in(r, node, 3);
    wa_dtype state = past == WA_NONE ? q.dtype : wa__rw_t(r, past)->dtype;
    for (uint32_t i = 0; i < 6; i++) in[i] = wa__rw_in(r, node, i);
    if (gated != (in[4] != WA_NONE) || delta != (in[5] != WA_NONE)) return refuse(r, node, "its decay or beta does not fit its update_rule");
    for (uint32_t i = 0; i < 6; i++)
        if (in[i] != WA_NONE) in[i] = wa__dc_cast(r, in[i], WA_F32);
    if (scale == 0) scale = 1 / sqrt((double)q.dims[2] / (double)q_heads);
    uint32_t c = wa__dc_node(r, WA_OP_LinearScan, in, 6, 2);
    if (c == WA_NONE) return true;
    bool ok = wa__node_set_int(r->g, c, "q_heads", q_heads) && wa__node_set_int(r->g, c, "heads", kv_heads) && wa__node_set_int(r->g, c, "delta", delta) &&
              wa__node_set_float(r->g, c, "scale", (float)scale);
    if (!wa__rw_need(r, ok)) return true;
    uint32_t y = wa__dc_out(r, c, 0), last = wa__dc_out(r, c, 1);
    wa__dp_result(r, node, 0, y, q.dtype);
    wa__dp_result(r, node, 1, last, state);
    return true;
}

/* --- CausalConvWithState ------------------------------------------------------------------------------------ */
#define TAPS_MAX 64

/* The sum over taps of weight times a shifted slice: all elementwise, so one kernel. */
static bool causal_conv(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    wa_tensor_type x = *wa__rw_t(r, n->inputs[0]), w = *wa__rw_t(r, n->inputs[1]);
    wa_str act = wa__dp_str(n, "activation", "none");
    uint32_t in[4];
    for (uint32_t i = 0; i < 4; i++) in[i] = wa__rw_in(r, node, i);
    wa_dtype state = in[3] == WA_NONE ? x.dtype : wa__rw_t(r, in[3])->dtype;
    if (x.rank != 3 || w.rank != 3 || w.dims[0] != x.dims[1] || w.dims[1] != 1 || w.dims[2] < 1) return refuse(r, node, "its input or weight is not [batch, channels, length] and [channels, 1, k]");
    if (wa__node_int(n, "ndim", 1) != 1 || w.dims[2] > TAPS_MAX) {
        wa__rw_fail(r, wa__fail(r->err, WA_UNSUPPORTED, "CausalConvWithState node %u (%.*s): one dimension and at most %d taps are supported", node, WA_STR_ARG(n->name), TAPS_MAX));
        return true;
    }
    int64_t taps = w.dims[2], length = x.dims[2], all = length + taps - 1;
    uint32_t y = wa__dp_wide(r, in[0]), wide = wa__dp_wide(r, in[1]);
    if (r->status != WA_OK) return true;
    if (taps > 1) {
        int64_t dims[3] = {x.dims[0], x.dims[1], taps - 1};
        uint32_t past = in[3] != WA_NONE ? wa__dp_wide(r, in[3]) : wa__dp_zeros(r, wa__rw_t(r, y)->dtype, dims, 3);
        y = wa__dc_concat(r, (uint32_t[]){past, y}, 2, 2);
    }
    wide = wa__dc_reshape(r, wide, (int64_t[]){w.dims[0], taps}, 2);
    uint32_t sum = in[2] == WA_NONE ? WA_NONE : wa__dc_reshape(r, wa__dp_wide(r, in[2]), (int64_t[]){1, w.dims[0], 1}, 3);
    for (int64_t k = 0; k < taps; k++) {
        uint32_t part = taps == 1 ? y : wa__dc_slice(r, y, 2, k, k + length);
        uint32_t factor = wa__dc_reshape(r, taps == 1 ? wide : wa__dc_slice(r, wide, 1, k, k + 1), (int64_t[]){1, w.dims[0], 1}, 3);
        part = wa__dc2(r, WA_OP_Mul, part, factor);
        sum = sum == WA_NONE ? part : wa__dc2(r, WA_OP_Add, sum, part);
    }
    if (!wa__dp_activation(r, act, 0, 0, 0, &sum)) return refuse(r, node, "its activation is unknown");
    wa__dp_result(r, node, 0, sum, x.dtype);
    if (!wa__dp_wants(r, node, 1)) return true;
    uint32_t last = taps > 1 ? wa__dc_slice(r, y, 2, all - (taps - 1), all) : wa__dp_zeros(r, state, (int64_t[]){x.dims[0], x.dims[1], 0}, 3);
    wa__dp_result(r, node, 1, last, state);
    return true;
}

const wa_decompose_row wa__decompose_attention[] = {
    {WA_OP_OnnxAttention, attention},
    {WA_OP_RotaryEmbedding, rotary},
    {WA_OP_LinearAttention, linear_attention},
    {WA_OP_MsLinearAttention, linear_attention},
    {WA_OP_CausalConvWithState, causal_conv},
    {WA_OP_MsCausalConvWithState, causal_conv},
    {WA_OP_NONE, NULL},
};
