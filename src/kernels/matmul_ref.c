/* Reference matrix products: three loops, sums in double (integers in 64 bits). */
#include "kernels/matmul.h"
#include <math.h>

static double activate(wa_act act, double v)
{
    switch (act) {
    case WA_ACT_GELU: return 0.5 * v * (1.0 + erf(v * 0.70710678118654752440));
    case WA_ACT_GELU_TANH: return 0.5 * v * (1.0 + tanh(0.79788456080286535588 * (v + 0.044715 * v * v * v)));
    case WA_ACT_RELU: return v < 0 ? 0 : v;
    case WA_ACT_TANH: return tanh(v);
    case WA_ACT_SIGMOID: return 1.0 / (1.0 + exp(-v));
    case WA_ACT_SILU: return v / (1.0 + exp(-v));
    default: return v;
    }
}

static void one_real(const wa_kernel_args *a, const wa_matmul *m, int64_t a_at, int64_t b_at, int64_t i, int64_t j, int64_t to)
{
    double sum = 0;
    for (int64_t k = 0; k < m->k; k++) {
        double x = wa__get_f64(&a->in[0], a_at + (m->trans_a ? k * m->m + i : i * m->k + k));
        sum += x * wa__get_f64(&a->in[1], b_at + (m->trans_b ? j * m->k + k : k * m->n + j));
    }
    sum *= (double)m->alpha;
    if (m->c_input != WA_MATMUL_NONE) sum += (double)m->beta * wa__get_f64(&a->in[m->c_input], i * m->c_row + j * m->c_column);
    sum = activate(m->act, sum);
    if (m->residual != WA_MATMUL_NONE) sum += wa__get_f64(&a->in[m->residual], to);
    wa__set_f64(&a->out[0], to, sum);
}

static void one_whole(const wa_kernel_args *a, const wa_matmul *m, int64_t a_at, int64_t b_at, int64_t i, int64_t j, int64_t to)
{
    uint64_t sum = 0;
    for (int64_t k = 0; k < m->k; k++) {
        int64_t x = wa__get_i64(&a->in[0], a_at + (m->trans_a ? k * m->m + i : i * m->k + k));
        sum += (uint64_t)x * (uint64_t)wa__get_i64(&a->in[1], b_at + (m->trans_b ? j * m->k + k : k * m->n + j));
    }
    if (m->alpha != 1.0f) sum = (uint64_t)(int64_t)((double)(int64_t)sum * (double)m->alpha);
    if (m->c_input != WA_MATMUL_NONE) {
        int64_t c = wa__get_i64(&a->in[m->c_input], i * m->c_row + j * m->c_column);
        sum += (uint64_t)(m->beta == 1.0f ? c : (int64_t)((double)c * (double)m->beta));
    }
    wa__set_i64(&a->out[0], to, (int64_t)sum);
}

static wa_status matmul(const wa_kernel_args *a, wa_error *err)
{
    wa_matmul m;
    WA_TRY(wa__matmul_describe(a, &m, err));
    bool real = wa__dtype_is_float(a->out[0].type.dtype);
    for (uint32_t i = 0; i < a->in_count; i++)
        if (wa__kernel_has(a, i) && (wa__dtype_size(a->in[i].type.dtype) == 0 || wa__dtype_is_float(a->in[i].type.dtype) != real))
            return wa__kernel_fail(a, err, WA_UNSUPPORTED, "input %u and the output are of different kinds of number", i);
    for (int64_t b = 0; b < m.batch; b++) {
        int64_t a_at, b_at;
        wa__matmul_place(&m, b, &a_at, &b_at);
        for (int64_t i = 0; i < m.m; i++)
            for (int64_t j = 0; j < m.n; j++) (real ? one_real : one_whole)(a, &m, a_at, b_at, i, j, (b * m.m + i) * m.n + j);
    }
    return WA_OK;
}

const wa_kernel_entry wa__ref_matmul[] = {{WA_OP_MatMul, matmul}, {WA_OP_Gemm, matmul}, {WA_OP_FusedMatMul, matmul}, {WA_OP_NONE, NULL}};
