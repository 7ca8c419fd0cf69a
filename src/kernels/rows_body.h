/* Body of rows_any.c, rows_avx2.c and rows_avx512.c. See rows.h. */
#include "kernels/rows.h"
#include "kernels/vec.h"

V_INLINE vf part(const float *x, int64_t i, int64_t n) { return n - i >= V_LANES ? v_load(x + i) : v_load_part(x + i, n - i, 0.0f); }
V_INLINE void put(float *x, int64_t i, int64_t n, vf v)
{
    if (n - i >= V_LANES) v_store(x + i, v);
    else v_store_part(x + i, n - i, v);
}
/* Lanes past n do not count. */
V_INLINE vf counted(vf v, int64_t i, int64_t n)
{
    if (n - i >= V_LANES) return v;
    vf r = v_set(0.0f);
    for (int64_t k = 0; k < n - i; k++) r[k] = v[k];
    return r;
}

static void norm(const float *x, const float *y, const float *z, const float *gamma, const float *beta, float epsilon, int64_t n, float *out)
{
    vf sum = v_set(0.0f), square = v_set(0.0f);
    for (int64_t i = 0; i < n; i += V_LANES) {
        vf v = part(x, i, n);
        if (y) v = v + part(y, i, n);
        if (z) v = v + part(z, i, n);
        sum = sum + v;
        put(out, i, n, v);
    }
    vf mean = v_set(v_sum(sum) / (float)n);
    for (int64_t i = 0; i < n; i += V_LANES) {
        vf d = counted(part(out, i, n) - mean, i, n);
        square = v_fma(d, d, square);
    }
    vf inverse = v_set(1.0f / sqrtf(v_sum(square) / (float)n + epsilon));
    for (int64_t i = 0; i < n; i += V_LANES) {
        vf v = (part(out, i, n) - mean) * inverse * part(gamma, i, n);
        put(out, i, n, beta ? v + part(beta, i, n) : v);
    }
}

static void softmax(const float *x, bool log, int64_t n, float *out)
{
    vf top = v_set(-INFINITY), sum = v_set(0.0f);
    for (int64_t i = 0; i < n; i += V_LANES) top = v_max(top, n - i >= V_LANES ? v_load(x + i) : v_load_part(x + i, n - i, -INFINITY));
    vf base = v_set(v_top(top));
    for (int64_t i = 0; i < n; i += V_LANES) {
        vf e = v_exp_down(part(x, i, n) - base);
        sum = sum + counted(e, i, n);
        if (!log) put(out, i, n, e);
    }
    vf all = v_set(v_sum(sum)), inverse = 1.0f / all, shift = v_set(logf(all[0]));
    for (int64_t i = 0; i < n; i += V_LANES) put(out, i, n, log ? part(x, i, n) - base - shift : part(out, i, n) * inverse);
}

static float sum(wa_op op, const float *x, int64_t n)
{
    vf s[2] = {v_set(0.0f), v_set(0.0f)};
    bool squares = op == WA_OP_ReduceL2 || op == WA_OP_ReduceSumSquare, magnitudes = op == WA_OP_ReduceL1;
    for (int64_t i = 0, k = 0; i < n; i += V_LANES, k ^= 1) {
        vf v = part(x, i, n);
        s[k] = squares ? v_fma(v, v, s[k]) : s[k] + (magnitudes ? v_abs(v) : v);
    }
    return v_sum(s[0] + s[1]);
}

static void l2(const float *x, float epsilon, int64_t n, float *out)
{
    float length = sqrtf(sum(WA_OP_ReduceSumSquare, x, n));
    vf inverse = v_set(1.0f / (length < epsilon ? epsilon : length));
    for (int64_t i = 0; i < n; i += V_LANES) put(out, i, n, part(x, i, n) * inverse);
}

static void mean(const float *x, const float *weight, int64_t tokens, int64_t width, float factor, float *out)
{
    for (int64_t i = 0; i < width; i += V_LANES) put(out, i, width, v_set(0.0f));
    for (int64_t t = 0; t < tokens; t++) {
        vf w = v_set(weight[t]);
        for (int64_t i = 0; i < width; i += V_LANES) put(out, i, width, v_fma(part(x + t * width, i, width), w, part(out, i, width)));
    }
    for (int64_t i = 0; i < width; i += V_LANES) put(out, i, width, part(out, i, width) * factor);
}

const wa_rows_isa WA_ISA(wa__rows) = {norm, softmax, l2, sum, mean};
