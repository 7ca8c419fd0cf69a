/* Body of gemm_any.c, gemm_avx2.c and gemm_avx512.c. See gemm.h. */
#include "kernels/gemm.h"
#include "kernels/gemm_finish.h"

/* rows x (wide vectors). Rows of A go by threes: x86 addresses reach a base and once and twice a step. */
V_INLINE void tile_rows(const wa_gemm_tile *t, const int rows, const int wide, const bool tapped)
{
    vf s[V_ROWS][2];
    if (!t->add) EACH_SUM s[i][j] = v_set(0.0f);
    else EACH_SUM s[i][j] = v_load_some(t->c + i * t->c_row + j * V_LANES, t->columns - j * V_LANES);
    const int64_t a_row = t->a_row, a_k = t->a_k, b_row = t->b_row, second = V_LANES == 16 ? t->b_panel : V_LANES;
    const float *base = t->b, *a[4] = {t->a, t->a + 3 * a_row, t->a + 6 * a_row, t->a + 9 * a_row};
    const int taps = tapped ? t->tap_count : 1;
    for (int64_t k = t->k; k > 0; k -= taps, base += b_row)
        for (int tap = 0; tap < taps; tap++) {
            const float *b = tapped ? base + t->taps[tap] : base;
            vf b0 = v_load(b), b1 = wide > 1 ? v_load(b + second) : b0;
            for (int i = 0; i < rows; i++) {
                vf x = v_set(a[i / 3][i % 3 * a_row]);
                s[i][0] = v_fma(x, b0, s[i][0]);
                if (wide > 1) s[i][1] = v_fma(x, b1, s[i][1]);
            }
            for (int i = 0; i < 4; i++) a[i] += a_k;
        }
    finish(t, rows, wide, s);
}

#define CASE(rows) case rows: if (V_LANES == 8 || t->columns > V_LANES) tile_rows(t, rows, 2, tapped); else tile_rows(t, rows, 1, tapped); break
V_INLINE void any_tile(const wa_gemm_tile *t, const bool tapped)
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
static void tile(const wa_gemm_tile *t) { any_tile(t, false); }
static void tile_taps(const wa_gemm_tile *t) { any_tile(t, true); }

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
            out[i * WA_PANEL + c] = c < columns ? wa__gemm_element(b, dtype, transposed ? (j + c) * k_all + k_from + i : (k_from + i) * n + j + c) : 0.0f;
}

const wa_gemm_isa WA_ISA(wa__gemm) = {V_ROWS, V_LANES == 16 ? 2 : 1, tile, tile_taps, pack};
