/* Shapes of matrix products. See matmul.h. */
#include "kernels/matmul.h"

static wa_status unfit(const wa_kernel_args *a, wa_error *err)
{
    char x[128], y[128];
    wa__type_text(&a->in[0].type, x, sizeof x);
    wa__type_text(&a->in[1].type, y, sizeof y);
    return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "%s and %s do not fit each other", x, y);
}

static wa_status gemm(const wa_kernel_args *a, wa_matmul *m, wa_error *err)
{
    const wa_tensor_type *x = &a->in[0].type, *y = &a->in[1].type;
    if (x->rank != 2 || y->rank != 2) return unfit(a, err);
    m->trans_a = wa__kernel_int(a, "transA", 0) != 0;
    m->trans_b = wa__kernel_int(a, "transB", 0) != 0;
    m->alpha = wa__kernel_float(a, "alpha", 1.0f);
    m->beta = wa__kernel_float(a, "beta", 1.0f);
    m->m = x->dims[m->trans_a ? 1 : 0];
    m->k = x->dims[m->trans_a ? 0 : 1];
    m->n = y->dims[m->trans_b ? 0 : 1];
    if (y->dims[m->trans_b ? 1 : 0] != m->k) return unfit(a, err);
    WA_TRY(wa__kernel_want(a, 0, &(wa_tensor_type){x->dtype, 2, {m->m, m->n}}, err));
    if (!wa__kernel_has(a, 2)) return WA_OK;
    int64_t strides[WA_RANK_MAX];
    if (!wa__broadcast_strides(&a->in[2].type, &a->out[0].type, strides)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "C does not broadcast to the output");
    m->c_input = 2;
    m->c_row = strides[0];
    m->c_column = strides[1];
    return WA_OK;
}

/* Batch axes of A and B, by the rules of broadcasting; then rows and columns of the output. */
static wa_status batches(const wa_kernel_args *a, const wa_tensor_type *x, const wa_tensor_type *y, wa_matmul *m, wa_error *err)
{
    wa_tensor_type p = {x->dtype, x->rank - 2, {0}}, q = {x->dtype, y->rank - 2, {0}}, both, out;
    memcpy(p.dims, x->dims, p.rank * sizeof *p.dims);
    memcpy(q.dims, y->dims, q.rank * sizeof *q.dims);
    if (!wa__broadcast(&p, &q, &both)) return unfit(a, err);
    if (!wa__broadcast_strides(&p, &both, m->a_stride) || !wa__broadcast_strides(&q, &both, m->b_stride)) return unfit(a, err);
    m->batch_rank = both.rank;
    m->batch = wa__count(&both);
    memcpy(m->batch_dims, both.dims, sizeof both.dims);
    for (uint32_t i = 0; i < both.rank; i++) {
        m->a_stride[i] *= m->m * m->k;
        m->b_stride[i] *= m->n * m->k;
    }
    out = both;
    if (a->in[0].type.rank > 1) out.dims[out.rank++] = m->m;
    if (a->in[1].type.rank > 1) out.dims[out.rank++] = m->n;
    return wa__kernel_want(a, 0, &out, err);
}

static void fold_batch(wa_matmul *m)
{
    for (uint32_t i = 0; i < m->batch_rank; i++)
        if (m->b_stride[i] != 0) return;
    int64_t n = m->m * m->k; /* A must run through without a gap or a repeat */
    for (uint32_t i = m->batch_rank; i-- > 0; n *= m->batch_dims[i])
        if (m->batch_dims[i] != 1 && m->a_stride[i] != n) return;
    m->m *= m->batch;
    m->batch = 1;
    m->batch_rank = 0;
}

static wa_status fused(const wa_kernel_args *a, wa_matmul *m, wa_error *err)
{
    int64_t act = wa__kernel_int(a, "act", 0);
    m->alpha = wa__kernel_float(a, "alpha", 1.0f);
    if (act < 0 || act >= WA_ACT_COUNT) return wa__kernel_fail(a, err, WA_UNSUPPORTED, "activation %lld is not known", (long long)act);
    m->act = (wa_act)act;
    if (wa__kernel_has(a, 2)) {
        if (wa__count(&a->in[2].type) != m->n) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "the bias has not %lld elements", (long long)m->n);
        m->c_input = 2;
        m->c_column = 1;
    }
    if (wa__kernel_has(a, 3)) {
        if (wa__count(&a->in[3].type) != wa__count(&a->out[0].type)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "the residual has not the output's shape");
        m->residual = 3;
    }
    return WA_OK;
}

wa_status wa__matmul_describe(const wa_kernel_args *a, wa_matmul *out, wa_error *err)
{
    wa_tensor_type x = a->in[0].type, y = a->in[1].type;
    *out = (wa_matmul){.alpha = 1, .beta = 1, .batch = 1, .c_input = WA_MATMUL_NONE, .residual = WA_MATMUL_NONE};
    if (a->op == WA_OP_Gemm) return gemm(a, out, err);
    if (x.rank == 0 || y.rank == 0) return unfit(a, err);
    if (x.rank == 1) x = (wa_tensor_type){x.dtype, 2, {1, x.dims[0]}};
    out->trans_b = a->op == WA_OP_FusedMatMul && wa__kernel_int(a, "transB", 0) != 0;
    if (y.rank == 1) y = (wa_tensor_type){y.dtype, 2, {out->trans_b ? 1 : y.dims[0], out->trans_b ? y.dims[0] : 1}};
    out->m = x.dims[x.rank - 2];
    out->k = x.dims[x.rank - 1];
    out->n = y.dims[y.rank - (out->trans_b ? 2 : 1)];
    if (y.dims[y.rank - (out->trans_b ? 1 : 2)] != out->k) return unfit(a, err);
    WA_TRY(batches(a, &x, &y, out, err));
    if (a->op == WA_OP_FusedMatMul) WA_TRY(fused(a, out, err));
    fold_batch(out);
    return WA_OK;
}

void wa__matmul_place(const wa_matmul *m, int64_t i, int64_t *a_at, int64_t *b_at)
{
    *a_at = *b_at = 0;
    for (uint32_t d = m->batch_rank; d-- > 0; i /= m->batch_dims[d]) {
        *a_at += i % m->batch_dims[d] * m->a_stride[d];
        *b_at += i % m->batch_dims[d] * m->b_stride[d];
    }
}
