/* Fourier transforms as products with constant matrices, and random operators as Philox. See decompose.h. */
#include "opt/decompose_parts.h"
#include <math.h>

#define TAU           6.28318530717958647692
#define MATRIX_MAX    ((int64_t)16 << 20) /* elements; larger transforms are the reference's */
#define NO_SEED       0x77656261u         /* of random operators without one, beside the node's index */

typedef struct plan {
    int64_t length, rows, count; /* of the transform; samples used; results */
    int64_t parts, to_parts;
    bool inverse, half; /* half: one-sided spectrum in, real signal out */
} plan;

/* [rows*parts, count*to_parts], computed in double. WA_NONE also when it would be too large. */
static uint32_t matrix(wa_rw *r, const plan *p, wa_dtype dtype)
{
    wa_tensor_type t = {dtype, 2, {p->rows * p->parts, p->count * p->to_parts}};
    uint8_t *data = wa__alloc((size_t)(t.dims[0] * t.dims[1]) + 1, wa__dtype_size(dtype));
    if (!wa__rw_need(r, data != NULL)) return WA_NONE;
    wa_view v = {t, data};
    double scale = p->inverse ? 1 / (double)p->length : 1;
    for (int64_t n = 0; n < p->rows; n++) {
        double f = p->half && n > 0 && 2 * n != p->length ? 2 * scale : scale;
        for (int64_t k = 0; k < p->count; k++) {
            double angle = TAU * (double)(k * n % p->length) / (double)p->length, c = f * cos(angle), s = p->inverse ? f * sin(angle) : -f * sin(angle);
            int64_t at = n * p->parts * t.dims[1] + k * p->to_parts;
            wa__set_f64(&v, at, c);
            if (p->to_parts == 2) wa__set_f64(&v, at + 1, s);
            if (p->parts == 1) continue;
            wa__set_f64(&v, at + t.dims[1], -s);
            if (p->to_parts == 2) wa__set_f64(&v, at + t.dims[1] + 1, c);
        }
    }
    uint32_t m = wa__dp_const(r, &t, data);
    wa__free(data);
    return m;
}

static bool too_large(const plan *p) { return p->rows > MATRIX_MAX || p->count > MATRIX_MAX || p->rows * p->parts > MATRIX_MAX / (p->count * p->to_parts); }

static bool one_int(const wa_rw *r, uint32_t value, int64_t fallback, int64_t *out)
{
    uint32_t count;
    *out = fallback;
    return value == WA_NONE || (wa__graph_const_ints(r->g, value, out, 1, &count) && count == 1);
}

/* x [.., n, .., parts] along `axis`: that axis goes beside the parts, then one product. */
static uint32_t along(wa_rw *r, uint32_t x, uint32_t axis, const plan *p)
{
    if (r->status != WA_OK) return WA_NONE;
    wa_tensor_type t = *wa__rw_t(r, x);
    uint32_t last = t.rank - 2;
    int64_t perm[WA_RANK_MAX], back[WA_RANK_MAX], dims[WA_RANK_MAX], outer = 1;
    if (t.dims[axis] > p->rows) x = wa__dc_slice(r, x, axis, 0, p->rows);
    for (uint32_t i = 0; i < t.rank; i++) perm[i] = i < axis || i > last ? i : i == last ? axis : i + 1;
    for (uint32_t i = 0; i < t.rank; i++) back[perm[i]] = i;
    if (axis != last) x = wa__dc_transpose(r, x, perm, t.rank);
    for (uint32_t i = 0; i < t.rank; i++) dims[i] = t.dims[perm[i]];
    for (uint32_t i = 0; i < last; i++) outer *= dims[i];
    x = wa__dc_reshape(r, x, (int64_t[]){outer, p->rows * p->parts}, 2);
    x = wa__dc2(r, WA_OP_MatMul, x, matrix(r, p, t.dtype));
    dims[last] = p->count;
    dims[last + 1] = p->to_parts;
    x = wa__dc_reshape(r, x, dims, t.rank);
    return axis != last ? wa__dc_transpose(r, x, back, t.rank) : x;
}

static bool is_shape(const wa_tensor_type *t, uint32_t least) { return t->rank >= least && t->rank <= WA_RANK_MAX && wa__dtype_is_float(t->dtype) && (t->dims[t->rank - 1] == 1 || t->dims[t->rank - 1] == 2); }

/* What breaks a rule is left to the shape rule, which says so. */
static bool dft(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    wa_tensor_type t = *wa__rw_t(r, n->inputs[0]);
    int64_t axis, length;
    bool onesided = wa__node_int(n, "onesided", 0) != 0, inverse = wa__node_int(n, "inverse", 0) != 0;
    if (!is_shape(&t, 2) || !one_int(r, wa__rw_in(r, node, 2), -2, &axis)) return false;
    if (axis < 0) axis += t.rank;
    if (axis < 0 || axis + 2 > (int64_t)t.rank) return false;
    int64_t have = t.dims[axis], parts = t.dims[t.rank - 1];
    bool half = onesided && inverse;
    if (!one_int(r, wa__rw_in(r, node, 1), half ? 2 * (have - 1) : have, &length) || length < 1 || have < 1 || (onesided && inverse != (parts == 2))) return false;
    plan p = {.length = length, .rows = half ? length / 2 + 1 : length, .count = onesided && !inverse ? length / 2 + 1 : length, .parts = parts, .to_parts = half ? 1 : 2, .inverse = inverse, .half = half};
    if (p.rows > have) p.rows = have; /* missing samples are 0 */
    if (too_large(&p)) return false;
    uint32_t y = along(r, wa__dp_wide(r, n->inputs[0]), (uint32_t)axis, &p);
    wa__dp_result(r, node, 0, y, t.dtype);
    return true;
}

static bool stft(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    wa_tensor_type t = *wa__rw_t(r, n->inputs[0]);
    uint32_t window = wa__rw_in(r, node, 2);
    int64_t step, length;
    if (t.rank == 2) t = (wa_tensor_type){t.dtype, 3, {t.dims[0], t.dims[1], 1}};
    bool onesided = wa__node_int(n, "onesided", 1) != 0;
    if (!is_shape(&t, 3) || t.rank != 3 || !one_int(r, wa__rw_in(r, node, 1), 0, &step)) return false;
    if (!one_int(r, wa__rw_in(r, node, 3), window == WA_NONE ? t.dims[1] : wa__rw_t(r, window)->dims[0], &length)) return false;
    if (step < 1 || length < 1 || length > t.dims[1] || (onesided && t.dims[2] == 2) || (window != WA_NONE && wa__count(wa__rw_t(r, window)) != length)) return false;
    int64_t frames = (t.dims[1] - length) / step + 1;
    plan p = {.length = length, .rows = length, .count = onesided ? length / 2 + 1 : length, .parts = t.dims[2], .to_parts = 2};
    if (too_large(&p) || frames > MATRIX_MAX / length) return false;
    uint32_t x = wa__dc_reshape(r, wa__dp_wide(r, n->inputs[0]), t.dims, 3);
    int64_t *at = wa__alloc((size_t)(frames * length), sizeof *at);
    if (!wa__rw_need(r, at != NULL)) return true;
    for (int64_t i = 0; i < frames * length; i++) at[i] = i / length * step + i % length;
    x = wa__dp_gather(r, x, wa__dp_const(r, &(wa_tensor_type){WA_I64, 2, {frames, length}}, at), 1);
    wa__free(at);
    if (window != WA_NONE) x = wa__dc2(r, WA_OP_Mul, x, wa__dc_reshape(r, wa__dp_wide(r, window), (int64_t[]){length, 1}, 2));
    wa__dp_result(r, node, 0, along(r, x, 2, &p), t.dtype);
    return true;
}

/* com.microsoft Rfft, Irfft: the last signal_ndim axes; one dimension is supported. */
static bool contrib_fft(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    wa_tensor_type t = *wa__rw_t(r, n->inputs[0]), x = t;
    bool inverse = n->op == WA_OP_Irfft;
    if (wa__node_int(n, "signal_ndim", 1) != 1 || wa__node_int(n, "normalized", 0) != 0 || wa__node_int(n, "onesided", 1) != 1 || t.rank < (inverse ? 2u : 1u) || t.rank + 1 > WA_RANK_MAX) {
        wa__rw_fail(r, wa__fail(r->err, WA_UNSUPPORTED, "%s node %u (%.*s): only one one-sided dimension is supported", wa__op_info(n->op)->name, node, WA_STR_ARG(n->name)));
        return true;
    }
    if (!inverse) x.dims[x.rank++] = 1;
    int64_t have = x.dims[x.rank - 2], length = inverse ? 2 * (have - 1) : have;
    plan p = {.length = length, .rows = have, .count = inverse ? length : length / 2 + 1, .parts = inverse ? 2 : 1, .to_parts = inverse ? 1 : 2, .inverse = inverse, .half = inverse};
    if (length < 1 || !is_shape(&x, 2) || too_large(&p)) {
        wa__rw_fail(r, wa__fail(r->err, WA_UNSUPPORTED, "%s node %u (%.*s): its signal is empty, too long or not complex", wa__op_info(n->op)->name, node, WA_STR_ARG(n->name)));
        return true;
    }
    uint32_t y = wa__dc_reshape(r, wa__dp_wide(r, n->inputs[0]), x.dims, x.rank);
    y = along(r, y, x.rank - 2, &p);
    if (inverse && r->status == WA_OK) y = wa__dc_reshape(r, y, wa__rw_t(r, y)->dims, x.rank - 1);
    wa__dp_result(r, node, 0, y, t.dtype);
    return true;
}

/* --- random ------------------------------------------------------------------------------------------------- */
/* The key: the seed's bits, or a constant and the node's index, so that two nodes differ. */
static int64_t key_of(const wa_node *n, uint32_t node)
{
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, "seed");
    uint32_t bits;
    if (!a || a->kind != WA_ATTR_KIND_FLOAT) return (int64_t)((uint64_t)node << 32 | NO_SEED);
    memcpy(&bits, &a->f, sizeof bits);
    return (int64_t)bits;
}

static uint32_t philox(wa_rw *r, uint32_t node, const int64_t *dims, uint32_t rank, bool normal, float low, float high)
{
    int64_t key = key_of(&r->g->nodes[node], node);
    uint32_t p = wa__dc_node(r, WA_OP_Philox, NULL, 0, 1);
    if (p == WA_NONE) return WA_NONE;
    bool ok = wa__node_set_ints(r->g, p, "dims", dims, rank) && wa__node_set_int(r->g, p, "seed", key) && wa__node_set_int(r->g, p, "normal", normal) &&
              wa__node_set_float(r->g, p, "low", low) && wa__node_set_float(r->g, p, "high", high);
    return wa__rw_need(r, ok) ? wa__dc_out(r, p, 0) : WA_NONE;
}

static bool random_type(wa_rw *r, uint32_t node, wa_dtype fallback, wa_dtype *out)
{
    const wa_node *n = &r->g->nodes[node];
    *out = wa__attr_find(n->attrs, n->attr_count, "dtype") ? wa__dtype_from_onnx(wa__node_int(n, "dtype", 1)) : fallback;
    if (wa__dtype_size(*out)) return true;
    wa__rw_fail(r, wa__fail(r->err, WA_UNSUPPORTED, "%s node %u (%.*s): its dtype is not supported", wa__op_info(n->op)->name, node, WA_STR_ARG(n->name)));
    return false;
}

static bool random_numbers(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    bool like = n->op == WA_OP_RandomNormalLike || n->op == WA_OP_RandomUniformLike, normal = n->op == WA_OP_RandomNormal || n->op == WA_OP_RandomNormalLike;
    float low = wa__node_float(n, normal ? "mean" : "low", 0), high = wa__node_float(n, normal ? "scale" : "high", 1);
    wa_tensor_type t = {WA_F32, 0, {0}};
    wa_dtype type;
    if (like) t = *wa__rw_t(r, n->inputs[0]);
    else {
        const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, "shape");
        if (!a || a->kind != WA_ATTR_KIND_INTS || a->count > WA_RANK_MAX) {
            wa__rw_fail(r, wa__fail(r->err, WA_CORRUPT, "%s node %u (%.*s): it has no shape", wa__op_info(n->op)->name, node, WA_STR_ARG(n->name)));
            return true;
        }
        t.rank = a->count;
        if (a->count) memcpy(t.dims, a->ints, a->count * sizeof *a->ints);
    }
    if (random_type(r, node, t.dtype, &type)) wa__dp_result(r, node, 0, philox(r, node, t.dims, t.rank, normal, low, high), type);
    return true;
}

/* 1 with probability x. */
static bool bernoulli(wa_rw *r, uint32_t node)
{
    uint32_t in = r->g->nodes[node].inputs[0];
    wa_tensor_type t = *wa__rw_t(r, in);
    wa_dtype type;
    if (!random_type(r, node, t.dtype, &type)) return true;
    uint32_t u = philox(r, node, t.dims, t.rank, false, 0, 1);
    wa__dp_result(r, node, 0, wa__dc2(r, WA_OP_Less, u, wa__dc_cast(r, in, WA_F32)), type);
    return true;
}

#define CLASSES_MAX 4096
/* Counts, for each sample, the classes whose cumulated probability does not reach a random number. */
static bool multinomial(wa_rw *r, uint32_t node)
{
    const wa_node *n = &r->g->nodes[node];
    wa_tensor_type t = *wa__rw_t(r, n->inputs[0]);
    int64_t samples = wa__node_int(n, "sample_size", 1), classes = t.rank == 2 ? t.dims[1] : 0;
    wa_dtype type;
    if (!random_type(r, node, WA_I32, &type)) return true;
    if (classes < 1 || classes > CLASSES_MAX || samples < 1) {
        wa__rw_fail(r, wa__fail(r->err, WA_UNSUPPORTED, "Multinomial node %u (%.*s): its input is not [batch, 1 to %d classes]", node, WA_STR_ARG(n->name), CLASSES_MAX));
        return true;
    }
    float *ones = wa__alloc((size_t)(classes * classes), sizeof *ones);
    if (!wa__rw_need(r, ones != NULL)) return true;
    for (int64_t i = 0; i < classes; i++)
        for (int64_t j = i; j < classes; j++) ones[i * classes + j] = 1;
    uint32_t triangle = wa__dp_const(r, &(wa_tensor_type){WA_F32, 2, {classes, classes}}, ones);
    wa__free(ones);
    uint32_t sums = wa__dc2(r, WA_OP_MatMul, wa__dp_softmax(r, wa__dc_cast(r, r->g->nodes[node].inputs[0], WA_F32)), triangle);
    sums = wa__dc_reshape(r, sums, (int64_t[]){t.dims[0], 1, classes}, 3);
    uint32_t u = philox(r, node, (int64_t[]){t.dims[0], samples, 1}, 3, false, 0, 1);
    uint32_t below = wa__dc_reduce(r, WA_OP_ReduceSum, wa__dc_cast(r, wa__dc2(r, WA_OP_LessOrEqual, sums, u), WA_F32), (int64_t[]){2}, 1, false);
    below = wa__dc2(r, WA_OP_Min, below, wa__dc_scalar(r, WA_F32, (double)(classes - 1))); /* the last sum may round below 1 */
    wa__dp_result(r, node, 0, below, type);
    return true;
}

const wa_decompose_row wa__decompose_signal[] = {
    {WA_OP_DFT, dft}, {WA_OP_STFT, stft}, {WA_OP_Rfft, contrib_fft}, {WA_OP_Irfft, contrib_fft},
    {WA_OP_RandomNormal, random_numbers}, {WA_OP_RandomNormalLike, random_numbers}, {WA_OP_RandomUniform, random_numbers}, {WA_OP_RandomUniformLike, random_numbers},
    {WA_OP_Bernoulli, bernoulli}, {WA_OP_Multinomial, multinomial},
    {WA_OP_NONE, NULL},
};
