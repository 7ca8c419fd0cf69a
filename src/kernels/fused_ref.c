/* References of the fused transformer operators, in double. */
#include "kernels/fused.h"
#include <math.h>

static double score(const wa_kernel_args *a, const wa_attention *t, const int64_t at[3], int64_t key)
{
    double s = 0;
    int64_t q = t->q_at + (at[0] * t->queries + at[2]) * t->q_row + at[1] * t->size, k = t->k_at + (at[0] * t->keys + key) * t->k_row + at[1] * t->size;
    for (int64_t d = 0; d < t->size; d++) s += wa__get_f64(&a->in[t->q], q + d) * wa__get_f64(&a->in[t->k], k + d);
    s *= (double)t->scale;
    if (t->bias == WA_NO_INPUT) return s;
    return s + wa__get_f64(&a->in[t->bias], at[0] * t->bias_stride[0] + at[1] * t->bias_stride[1] + at[2] * t->bias_stride[2] + key * t->bias_stride[3]);
}

static wa_status attention(const wa_kernel_args *a, wa_error *err)
{
    wa_attention t;
    WA_TRY(wa__attention_describe(a, &t, err));
    int64_t dims[3] = {t.batch, t.heads, t.queries}, at[3] = {0}, n = t.batch * t.heads * t.queries;
    for (int64_t i = 0; i < n; i++, wa__next(at, dims, 3)) {
        double top = -INFINITY, sum = 0;
        for (int64_t k = 0; k < t.keys; k++) top = fmax(top, score(a, &t, at, k));
        for (int64_t k = 0; k < t.keys; k++) sum += exp(score(a, &t, at, k) - top);
        for (int64_t d = 0; d < t.value_size; d++) {
            double y = 0;
            for (int64_t k = 0; k < t.keys; k++)
                y += exp(score(a, &t, at, k) - top) / sum * wa__get_f64(&a->in[t.v], t.v_at + (at[0] * t.keys + k) * t.v_row + at[1] * t.value_size + d);
            wa__set_f64(&a->out[0], ((at[0] * t.queries + at[2]) * t.heads + at[1]) * t.value_size + d, y);
        }
    }
    return WA_OK;
}

typedef double (*row_fn)(const wa_kernel_args *a, const int64_t *at, int64_t d);

static void norm_row(const wa_kernel_args *a, const wa_rows *r, int64_t row, row_fn x, const int64_t *at, uint32_t gamma)
{
    double mean = 0, square = 0, epsilon = (double)wa__kernel_float(a, "epsilon", 1e-5f);
    for (int64_t d = 0; d < r->width; d++) mean += x(a, at, d);
    mean /= (double)r->width;
    for (int64_t d = 0; d < r->width; d++) square += (x(a, at, d) - mean) * (x(a, at, d) - mean);
    double inverse = 1.0 / sqrt(square / (double)r->width + epsilon);
    for (int64_t d = 0; d < r->width; d++)
        wa__set_f64(&a->out[0], row * r->width + d, (x(a, at, d) - mean) * inverse * wa__get_f64(&a->in[gamma], d) + wa__get_f64(&a->in[gamma + 1], d));
}

static double skip_sum(const wa_kernel_args *a, const int64_t *at, int64_t d) { return wa__get_f64(&a->in[0], at[0] + d) + wa__get_f64(&a->in[1], at[0] + d); }

static wa_status skip_layer_norm(const wa_kernel_args *a, wa_error *err)
{
    wa_rows r;
    WA_TRY(wa__rows_describe(a, &r, err));
    for (int64_t i = 0; i < r.rows; i++) norm_row(a, &r, i, skip_sum, (int64_t[]){i * r.width}, 2);
    return WA_OK;
}

static double embed_sum(const wa_kernel_args *a, const int64_t *at, int64_t d)
{
    double x = wa__get_f64(&a->in[2], at[0] + d) + wa__get_f64(&a->in[3], at[1] + d);
    return at[2] < 0 ? x : x + wa__get_f64(&a->in[4], at[2] + d);
}

static wa_status embed_layer_norm(const wa_kernel_args *a, wa_error *err)
{
    wa_rows r;
    WA_TRY(wa__rows_describe(a, &r, err));
    for (int64_t i = 0; i < r.rows; i++) {
        int64_t at[3];
        WA_TRY(wa__embed_places(a, i, &at[0], &at[1], &at[2], err));
        for (int k = 0; k < 3; k++) at[k] *= r.width;
        norm_row(a, &r, i, embed_sum, at, 5);
    }
    return WA_OK;
}

static wa_status l2_normalize(const wa_kernel_args *a, wa_error *err)
{
    wa_rows r;
    double epsilon = (double)wa__kernel_float(a, "epsilon", 1e-12f);
    WA_TRY(wa__rows_describe(a, &r, err));
    for (int64_t i = 0; i < r.rows; i++) {
        double square = 0;
        for (int64_t d = 0; d < r.width; d++) square += wa__get_f64(&a->in[0], i * r.width + d) * wa__get_f64(&a->in[0], i * r.width + d);
        double norm = sqrt(square);
        if (norm < epsilon) norm = epsilon;
        for (int64_t d = 0; d < r.width; d++) wa__set_f64(&a->out[0], i * r.width + d, wa__get_f64(&a->in[0], i * r.width + d) / norm);
    }
    return WA_OK;
}

/* Mean and maximum over the tokens whose mask is not 0, or the first token. A row without tokens
 * gives 0 for the mean and -1e9 for the maximum, as sentence-transformers does. */
static wa_status pool(const wa_kernel_args *a, wa_error *err)
{
    wa_rows r;
    WA_TRY(wa__rows_describe(a, &r, err));
    int64_t tokens = a->in[0].type.dims[1];
    for (int64_t i = 0; i < r.rows * r.width; i++) {
        int64_t b = i / r.width, d = i % r.width;
        double sum = 0, weight = 0, top = -INFINITY;
        for (int64_t t = 0; t < (a->op == WA_OP_ClsPool ? 1 : tokens); t++) {
            double x = wa__get_f64(&a->in[0], (b * tokens + t) * r.width + d), w = a->op == WA_OP_ClsPool ? 1 : wa__get_f64(&a->in[1], b * tokens + t);
            if (w != 0) top = isnan(top) || top > x ? top : x;
            sum += x * w;
            weight += w;
        }
        double y = a->op == WA_OP_MeanPool ? sum / fmax(weight, 1e-9) : a->op == WA_OP_ClsPool ? sum : top == -INFINITY ? -1e9 : top;
        wa__set_f64(&a->out[0], i, y);
    }
    return WA_OK;
}

const wa_kernel_entry wa__ref_fused[] = {
    {WA_OP_Attention, attention}, {WA_OP_QkvAttention, attention}, {WA_OP_SkipLayerNorm, skip_layer_norm}, {WA_OP_EmbedLayerNorm, embed_layer_norm},
    {WA_OP_L2Normalize, l2_normalize}, {WA_OP_MeanPool, pool}, {WA_OP_ClsPool, pool}, {WA_OP_MaxPoolTokens, pool}, {WA_OP_NONE, NULL},
};
