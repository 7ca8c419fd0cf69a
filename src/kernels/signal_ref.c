/* References of DFT, STFT, the windows, MelWeightMatrix and random numbers. The Fourier transforms are the
 * plain sums, for what is too large to be a constant matrix (opt_decompose_signal.c). */
#include "kernels/signal.h"
#include <math.h>

#define TAU 6.28318530717958647692

/* --- Fourier ------------------------------------------------------------------------------------------------ */
typedef struct line { /* one signal and its transform; strides in elements */
    const wa_view *in;
    const wa_view *window; /* NULL: none */
    int64_t at, step, parts, part_step; /* of the signal; parts 1 or 2 */
    int64_t have;      /* samples there */
    int64_t length;    /* of the transform: missing samples are 0 */
    bool inverse, half; /* half: the signal is a one-sided spectrum, the result real */
    const wa_view *out;
    int64_t to, to_step, count;
} line;

static double sample(const line *l, int64_t n, int64_t part)
{
    if (part >= l->parts) return 0;
    double x = wa__get_f64(l->in, l->at + n * l->step + part * l->part_step);
    return l->window ? x * wa__get_f64(l->window, n) : x;
}

static void transform(const line *l)
{
    int64_t used = l->half ? l->length / 2 + 1 : l->length;
    if (used > l->have) used = l->have;
    for (int64_t k = 0; k < l->count; k++) {
        double re = 0, im = 0, scale = l->inverse ? 1 / (double)l->length : 1;
        for (int64_t n = 0; n < used; n++) {
            double angle = TAU * (double)(k * n % l->length) / (double)l->length, c = cos(angle), s = l->inverse ? sin(angle) : -sin(angle), x = sample(l, n, 0), y = sample(l, n, 1);
            double twice = l->half && n > 0 && 2 * n != l->length ? 2 : 1;
            re += twice * (x * c - y * s);
            im += x * s + y * c;
        }
        wa__set_f64(l->out, l->to + k * l->to_step, re * scale);
        if (!l->half) wa__set_f64(l->out, l->to + k * l->to_step + 1, im * scale);
    }
}

static wa_status floats(const wa_kernel_args *a, wa_error *err)
{
    if (!wa__dtype_is_float(a->in[0].type.dtype) || a->out[0].type.dtype != a->in[0].type.dtype) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "input and output must be floats of one type");
    return WA_OK;
}

static wa_status one_int(const wa_kernel_args *a, uint32_t i, int64_t fallback, int64_t *out, wa_error *err)
{
    uint32_t count;
    bool given;
    int64_t v[1];
    WA_TRY(wa__kernel_ints(a, i, NULL, v, 1, &count, &given, err));
    *out = given && count ? v[0] : fallback;
    return WA_OK;
}

static wa_status dft(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *x = &a->in[0].type;
    bool inverse = wa__kernel_int(a, "inverse", 0) != 0, onesided = wa__kernel_int(a, "onesided", 0) != 0, half = inverse && onesided;
    int64_t axis, length, parts = x->rank ? x->dims[x->rank - 1] : 0;
    uint32_t at;
    WA_TRY(floats(a, err));
    WA_TRY(one_int(a, 2, -2, &axis, err));
    if (x->rank < 2) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its input has no axis for real and imaginary parts");
    WA_TRY(wa__kernel_axis(a, axis, x->rank, &at, err));
    WA_TRY(one_int(a, 1, half ? 2 * (x->dims[at] - 1) : x->dims[at], &length, err));
    if (at + 1 == x->rank || (parts != 1 && parts != 2) || length < 1 || length > INT32_MAX || (onesided && inverse != (parts == 2))) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its axis, parts or length do not fit");
    wa_tensor_type want = *x;
    want.dims[at] = onesided && !inverse ? length / 2 + 1 : length;
    want.dims[x->rank - 1] = half ? 1 : 2;
    WA_TRY(wa__kernel_want(a, 0, &want, err));
    int64_t outer = wa__dims_product(x, 0, at), inner = wa__dims_product(x, at + 1, x->rank - 1), to_parts = want.dims[x->rank - 1];
    for (int64_t i = 0; i < outer * inner; i++) {
        int64_t o = i / inner, n = i % inner;
        line l = {.in = &a->in[0], .at = (o * x->dims[at] * inner + n) * parts, .step = inner * parts, .parts = parts, .part_step = 1, .have = x->dims[at], .length = length, .inverse = inverse,
                  .half = half, .out = &a->out[0], .to = (o * want.dims[at] * inner + n) * to_parts, .to_step = inner * to_parts, .count = want.dims[at]};
        transform(&l);
    }
    return WA_OK;
}

static wa_status stft(const wa_kernel_args *a, wa_error *err)
{
    const wa_tensor_type *x = &a->in[0].type;
    bool onesided = wa__kernel_int(a, "onesided", 1) != 0, windowed = wa__kernel_has(a, 2);
    int64_t step, length, parts = x->rank == 3 ? x->dims[2] : 1;
    WA_TRY(floats(a, err));
    if ((x->rank != 2 && x->rank != 3) || (parts != 1 && parts != 2) || (windowed && a->in[2].type.rank != 1)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its signal is not [batch, length, 1 or 2]");
    WA_TRY(one_int(a, 1, 0, &step, err));
    WA_TRY(one_int(a, 3, windowed ? a->in[2].type.dims[0] : x->dims[1], &length, err));
    if (step < 1 || length < 1 || length > x->dims[1] || length > INT32_MAX || (windowed && a->in[2].type.dims[0] != length)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its step, window or frame length does not fit the signal");
    int64_t frames = (x->dims[1] - length) / step + 1, count = onesided ? length / 2 + 1 : length;
    WA_TRY(wa__kernel_want(a, 0, &(wa_tensor_type){x->dtype, 4, {x->dims[0], frames, count, 2}}, err));
    for (int64_t i = 0; i < x->dims[0] * frames; i++) {
        line l = {.in = &a->in[0], .window = windowed ? &a->in[2] : NULL, .at = (i / frames * x->dims[1] + i % frames * step) * parts, .step = parts, .parts = parts, .part_step = 1, .have = length,
                  .length = length, .out = &a->out[0], .to = i * count * 2, .to_step = 2, .count = count};
        transform(&l);
    }
    return WA_OK;
}

/* --- windows ------------------------------------------------------------------------------------------------ */
static wa_status window(const wa_kernel_args *a, wa_error *err)
{
    int64_t size;
    WA_TRY(one_int(a, 0, 0, &size, err));
    WA_TRY(wa__kernel_want(a, 0, &(wa_tensor_type){a->out[0].type.dtype, 1, {size}}, err));
    double n = (double)(wa__kernel_int(a, "periodic", 1) ? size : size - 1);
    for (int64_t i = 0; i < size; i++) {
        double t = n > 0 ? TAU * (double)i / n : 0, y = 0.5 - 0.5 * cos(t);
        if (a->op == WA_OP_HammingWindow) y = 25.0 / 46 - 21.0 / 46 * cos(t);
        if (a->op == WA_OP_BlackmanWindow) y = 0.42 - 0.5 * cos(t) + 0.08 * cos(2 * t);
        wa__set_f64(&a->out[0], i, size == 1 ? 1 : y);
    }
    return WA_OK;
}

static wa_status mel(const wa_kernel_args *a, wa_error *err)
{
    int64_t bins, length, rate, edge[3] = {0, 0, 0};
    WA_TRY(one_int(a, 0, 0, &bins, err));
    WA_TRY(one_int(a, 1, 0, &length, err));
    WA_TRY(one_int(a, 2, 0, &rate, err));
    if (bins < 1 || length < 1 || rate < 1 || wa__count(&a->in[3].type) != 1 || wa__count(&a->in[4].type) != 1) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its sizes or edges are no positive numbers");
    WA_TRY(wa__kernel_want(a, 0, &(wa_tensor_type){a->out[0].type.dtype, 2, {length / 2 + 1, bins}}, err));
    double ten = log(10), low = 2595 * log1p(wa__get_f64(&a->in[3], 0) / 700) / ten, high = 2595 * log1p(wa__get_f64(&a->in[4], 0) / 700) / ten, step = (high - low) / (double)(bins + 2);
    int64_t rows = length / 2 + 1;
    for (int64_t i = 0; i < rows * bins; i++) wa__set_f64(&a->out[0], i, 0);
    for (int64_t i = 0; i < bins; i++) {
        for (int64_t k = 0; k < 3; k++) {
            double e = floor((double)(length + 1) * 700 * expm1(((double)(i + k) * step + low) / 2595 * ten) / (double)rate);
            edge[k] = e >= 0 && e < (double)rows ? (int64_t)e : e < 0 ? 0 : rows; /* NaN: past the end */
        }
        for (int64_t j = edge[0]; j <= edge[1] && j < rows; j++)
            wa__set_f64(&a->out[0], j * bins + i, edge[1] == edge[0] ? 1 : (double)(j - edge[0]) / (double)(edge[1] - edge[0]));
        for (int64_t j = edge[1]; j < edge[2] && j < rows; j++) wa__set_f64(&a->out[0], j * bins + i, (double)(edge[2] - j) / (double)(edge[2] - edge[1]));
    }
    return WA_OK;
}

/* --- random ------------------------------------------------------------------------------------------------- */
void wa__philox(uint64_t key, uint64_t block, uint32_t out[4])
{
    uint32_t x[4] = {(uint32_t)block, (uint32_t)(block >> 32), 0, 0}, k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * x[0], b = (uint64_t)0xCD9E8D57u * x[2];
        uint32_t y[4] = {(uint32_t)(b >> 32) ^ x[1] ^ k0, (uint32_t)b, (uint32_t)(a >> 32) ^ x[3] ^ k1, (uint32_t)a};
        memcpy(x, y, sizeof x);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    memcpy(out, x, sizeof x);
}

/* [0,1) in steps of 2^-24. */
static double unit(uint32_t word) { return (double)(word >> 8) / 16777216.0; }

static wa_status philox(const wa_kernel_args *a, wa_error *err)
{
    if (a->out[0].type.dtype != WA_F32) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its output must be 32-bit floats");
    uint64_t key = (uint64_t)wa__kernel_int(a, "seed", 0);
    bool normal = wa__kernel_int(a, "normal", 0) != 0;
    float low = wa__kernel_float(a, "low", 0), high = wa__kernel_float(a, "high", 1);
    int64_t n = wa__count(&a->out[0].type);
    uint32_t w[4] = {0};
    for (int64_t i = 0; i < n; i++) {
        if (i % 4 == 0) wa__philox(key, (uint64_t)i / 4, w);
        float y;
        if (normal) { /* Box and Muller: a pair of words gives a pair of numbers */
            double radius = sqrt(-2 * log(unit(w[i & 2]) + 1 / 16777216.0)), angle = TAU * unit(w[(i & 2) + 1]);
            y = low + high * (float)(radius * (i & 1 ? sin(angle) : cos(angle)));
        } else {
            y = low + (high - low) * (float)unit(w[i & 3]);
        }
        wa__set_f64(&a->out[0], i, (double)y);
    }
    return WA_OK;
}

const wa_kernel_entry wa__ref_signal[] = {
    {WA_OP_DFT, dft}, {WA_OP_STFT, stft}, {WA_OP_HannWindow, window}, {WA_OP_HammingWindow, window}, {WA_OP_BlackmanWindow, window}, {WA_OP_MelWeightMatrix, mel},
    {WA_OP_Philox, philox}, {WA_OP_NONE, NULL},
};
