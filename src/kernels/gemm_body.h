/* Body of gemm_any.c, gemm_avx2.c and gemm_avx512.c. See gemm.h. */
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

/* The same as finished and a store, for whole vectors: this runs once for all registers of sums, so
 * that its calls and branches do not weigh (they took a fifth of the time at k = 384). */
V_INLINE void finish_whole(const wa_gemm_tile *t, const int rows, const int wide, const vf *s)
{
    vf r[V_ROWS * 2];
    const int n = rows * wide;
    for (int i = 0; i < n; i++) r[i] = s[i];
    if (t->last) {
        for (int i = 0; i < n; i++) r[i] = r[i] * t->alpha;
        if (t->addend)
            for (int i = 0; i < n; i++) r[i] = r[i] + v_load(t->addend + i / wide * t->addend_row + i % wide * V_LANES);
        if (t->row_addend)
            for (int i = 0; i < n; i++) r[i] = r[i] + t->row_addend[i / wide];
        if (t->residual && t->residual_first)
            for (int i = 0; i < n; i++) r[i] = r[i] + v_load(t->residual + i / wide * t->residual_row + i % wide * V_LANES);
        if (t->act != WA_CONV_ACT_NONE) activate_all(t, r, n);
        if (t->residual && !t->residual_first)
            for (int i = 0; i < n; i++) r[i] = r[i] + v_load(t->residual + i / wide * t->residual_row + i % wide * V_LANES);
    }
    for (int i = 0; i < n; i++) v_store(t->c + i / wide * t->c_row + i % wide * V_LANES, r[i]);
}

/* rows x (wide vectors). Rows of A go by threes: x86 addresses reach a base and once and twice a step. */
V_INLINE void tile_rows(const wa_gemm_tile *t, const int rows, const int wide)
{
    vf s[V_ROWS * 2];
    const int n = rows * wide;
    for (int i = 0; i < n; i++) s[i] = t->add ? v_load_some(t->c + i / wide * t->c_row + i % wide * V_LANES, t->columns - i % wide * V_LANES) : v_set(0.0f);
    const int64_t a_row = t->a_row, a_k = t->a_k, b_row = t->b_row, second = V_LANES == 16 ? t->b_panel : V_LANES;
    const float *b = t->b, *a[4] = {t->a, t->a + 3 * a_row, t->a + 6 * a_row, t->a + 9 * a_row};
    for (int64_t k = t->k; k > 0; k--) {
        vf b0 = v_load(b), b1 = wide > 1 ? v_load(b + second) : b0;
        for (int i = 0; i < rows; i++) {
            vf x = v_set(a[i / 3][i % 3 * a_row]);
            s[i * wide] = v_fma(x, b0, s[i * wide]);
            if (wide > 1) s[i * wide + 1] = v_fma(x, b1, s[i * wide + 1]);
        }
        b += b_row;
        for (int i = 0; i < 4; i++) a[i] += a_k;
    }
    if (t->columns == wide * V_LANES) {
        finish_whole(t, rows, wide, s);
        return;
    }
    for (int i = 0; i < n; i++) {
        int at = i % wide * V_LANES;
        vf v = t->last ? finished(t, i / wide, at, s[i]) : s[i];
        v_store_some(t->c + i / wide * t->c_row + at, t->columns - at, v);
    }
}

#define CASE(rows) case rows: if (V_LANES == 8 || t->columns > V_LANES) tile_rows(t, rows, 2); else tile_rows(t, rows, 1); break
static void tile(const wa_gemm_tile *t)
{
    switch (t->rows) {
    CASE(1);
    CASE(2);
#if V_ROWS > 2
    CASE(3);
    CASE(4);
    CASE(5);
    CASE(6);
#endif
#if V_ROWS > 6
    CASE(7);
    CASE(8);
    CASE(9);
    CASE(10);
    CASE(11);
    CASE(12);
#endif
    default: break;
    }
}
#undef CASE

V_INLINE float element(const void *b, wa_dtype dtype, int64_t i)
{
    uint16_t h;
    float f;
    if (dtype == WA_F32) {
        memcpy(&f, (const uint8_t *)b + i * 4, 4);
        return f;
    }
    memcpy(&h, (const uint8_t *)b + i * 2, 2);
    return dtype == WA_BF16 ? wa__bf16_to_f32(h) : wa__f16_to_f32(h);
}

/* Eight rows of 8 floats become columns. */
V_INLINE void transpose8(const uint8_t *from, int64_t row_bytes, float *out)
{
    vq r[8], s[8];
    for (int i = 0; i < 8; i++) memcpy(&r[i], from + i * row_bytes, sizeof r[i]);
    for (int i = 0; i < 4; i++) {
        s[2 * i] = __builtin_shufflevector(r[2 * i], r[2 * i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
        s[2 * i + 1] = __builtin_shufflevector(r[2 * i], r[2 * i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    }
    for (int h = 0; h < 2; h++)
        for (int i = 0; i < 2; i++) {
            r[4 * h + i] = __builtin_shufflevector(s[4 * h + i], s[4 * h + i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
            r[4 * h + i + 2] = __builtin_shufflevector(s[4 * h + i], s[4 * h + i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    for (int i = 0; i < 4; i++) {
        vq low = __builtin_shufflevector(r[i], r[i + 4], 0, 1, 2, 3, 8, 9, 10, 11), high = __builtin_shufflevector(r[i], r[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
        memcpy(out + i * WA_PANEL, &low, sizeof low);
        memcpy(out + (i + 4) * WA_PANEL, &high, sizeof high);
    }
}

static void pack(const void *b, wa_dtype dtype, bool transposed, int64_t n, int64_t k_all, int64_t j, int64_t k_from, int64_t k, float *out)
{
    int64_t columns = n - j < WA_PANEL ? n - j : WA_PANEL, done = 0;
    if (dtype == WA_F32 && !transposed && columns == WA_PANEL) {
        const uint8_t *from = (const uint8_t *)b + (k_from * n + j) * 4;
        for (int64_t i = 0; i < k; i++, out += WA_PANEL, from += n * 4) memcpy(out, from, WA_PANEL * sizeof *out);
        return;
    }
    if (dtype == WA_F32 && !transposed) {
        for (int64_t i = 0; i < k; i++, out += WA_PANEL) {
            const uint8_t *from = (const uint8_t *)b + ((k_from + i) * n + j) * 4;
            memset(out, 0, WA_PANEL * sizeof *out);
            memcpy(out, from, (size_t)columns * 4);
        }
        return;
    }
    if (dtype == WA_F32 && columns == WA_PANEL)
        for (; done + 8 <= k; done += 8) {
            const uint8_t *from = (const uint8_t *)b + (j * k_all + k_from + done) * 4;
            transpose8(from, k_all * 4, out + done * WA_PANEL);
            transpose8(from + 8 * k_all * 4, k_all * 4, out + done * WA_PANEL + 8);
        }
    for (int64_t i = done; i < k; i++)
        for (int64_t c = 0; c < WA_PANEL; c++)
            out[i * WA_PANEL + c] = c < columns ? element(b, dtype, transposed ? (j + c) * k_all + k_from + i : (k_from + i) * n + j + c) : 0.0f;
}

const wa_gemm_isa WA_ISA(wa__gemm) = {V_ROWS, V_LANES == 16 ? 2 : 1, tile, pack};
