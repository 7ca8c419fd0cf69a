/* What follows the sums of a product's register tile: alpha, addends, activation, residual and the store. For the
 * bodies that make such sums, gemm_body.h and gemm8_body.h. */
#ifndef WA_GEMM_FINISH_H
#define WA_GEMM_FINISH_H
#include "kernels/gemm.h"
#include "kernels/vec_act.h"

/* alpha, addends, activation and residual of one vector of sums: columns from `at` on. */
V_INLINE vf finished(const wa_gemm_tile *t, int row, int at, vf v)
{
    int64_t n = t->columns - at;
    v = v * t->alpha;
    if (t->addend) v = v + v_load_some(t->addend + row * t->addend_row + at, n);
    if (t->row_addend) v = v + t->row_addend[row];
    vf r = t->residual ? v_load_some(t->residual + row * t->residual_row + at, n) : v_set(0.0f);
    if (t->residual && t->residual_first) v = v + r;
    v = v_activate(t->act, v, t->act_a, t->act_b);
    return t->residual && !t->residual_first ? v + r : v;
}

static __attribute__((noinline)) void activate_all(const wa_gemm_tile *t, vf *v, int n)
{
    switch (t->act) {
    case WA_CONV_ACT_GELU: for (int i = 0; i < n; i++) v[i] = v_gelu(v[i]); break;
    case WA_CONV_ACT_RELU: for (int i = 0; i < n; i++) v[i] = v_activate(WA_CONV_ACT_RELU, v[i], 0, 0); break;
    case WA_CONV_ACT_HARD_SWISH: for (int i = 0; i < n; i++) v[i] = v_activate(WA_CONV_ACT_HARD_SWISH, v[i], 0, 0); break;
    default: for (int i = 0; i < n; i++) v[i] = v_activate(t->act, v[i], t->act_a, t->act_b); break;
    }
}

/* For every vector of sums: s[i][j], columns from j * V_LANES on. Two short loops, which gcc unrolls whole; one
 * of 24 turns it does not, and then sums live in memory. */
#define EACH_SUM for (int i = 0; i < rows; i++) for (int j = 0; j < wide; j++)

/* The same as finished and a store, for whole vectors: this runs once for all registers of sums, so
 * that its calls and branches do not weigh (they took a fifth of the time at k = 384). */
V_INLINE void finish_whole(const wa_gemm_tile *t, const int rows, const int wide, vf (*s)[2])
{
    if (t->last) {
        if (t->alpha != 1.0f) EACH_SUM s[i][j] = s[i][j] * t->alpha;
        if (t->addend) EACH_SUM s[i][j] = s[i][j] + v_load(t->addend + i * t->addend_row + j * V_LANES);
        if (t->row_addend) EACH_SUM s[i][j] = s[i][j] + t->row_addend[i];
        if (t->residual && t->residual_first) EACH_SUM s[i][j] = s[i][j] + v_load(t->residual + i * t->residual_row + j * V_LANES);
        if (t->act == WA_CONV_ACT_RELU) EACH_SUM s[i][j] = v_activate(WA_CONV_ACT_RELU, s[i][j], 0, 0);
        else if (t->act != WA_CONV_ACT_NONE) {
            vf r[V_ROWS * 2];
            EACH_SUM r[i * wide + j] = s[i][j];
            activate_all(t, r, rows * wide);
            EACH_SUM s[i][j] = r[i * wide + j];
        }
        if (t->residual && !t->residual_first) EACH_SUM s[i][j] = s[i][j] + v_load(t->residual + i * t->residual_row + j * V_LANES);
    }
    EACH_SUM v_store(t->c + i * t->c_row + j * V_LANES, s[i][j]);
}

/* The sums of t->rows x t->columns. */
V_INLINE void finish(const wa_gemm_tile *t, const int rows, const int wide, vf (*s)[2])
{
    if (t->columns == wide * V_LANES) finish_whole(t, rows, wide, s);
    else
        EACH_SUM v_store_some(t->c + i * t->c_row + j * V_LANES, t->columns - j * V_LANES, t->last ? finished(t, i, j * V_LANES, s[i][j]) : s[i][j]);
}

#endif
