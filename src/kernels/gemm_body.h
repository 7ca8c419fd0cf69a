/* Body of gemm_any.c and gemm_avx2.c. See gemm.h. */
#include "kernels/gemm.h"
#include "kernels/vec.h"

V_INLINE v8 activate(wa_act act, v8 v)
{
    switch (act) {
    case WA_ACT_GELU: return v_gelu(v);
    case WA_ACT_GELU_TANH: return v_gelu_tanh(v);
    case WA_ACT_RELU: return v_pick((v8i)(v < 0.0f), v_set(0.0f), v);
    case WA_ACT_TANH: return v_tanh(v);
    case WA_ACT_SIGMOID: return v_sigmoid(v);
    case WA_ACT_SILU: return v * v_sigmoid(v);
    default: return v;
    }
}

/* alpha, addend, activation, residual and store of half a row: 8 columns from `at`. */
static void finish(const wa_gemm_tile *t, int row, int at, v8 v)
{
    int64_t n = t->columns - at;
    float *c = t->c + row * t->c_row + at;
    if (t->last) {
        v = v * t->alpha;
        if (t->addend) v = v + v_load(t->addend + row * t->addend_row + at);
        v = activate(t->act, v);
        if (t->residual) {
            const float *r = t->residual + row * t->residual_row + at;
            v = v + (n >= 8 ? v_load(r) : v_load_part(r, n, 0.0f));
        }
    }
    if (n >= 8) v_store(c, v);
    else v_store_part(c, n, v);
}

static __attribute__((noinline)) void activate_all(wa_act act, v8 *v, int n)
{
    switch (act) {
    case WA_ACT_GELU: for (int i = 0; i < n; i++) v[i] = v_gelu(v[i]); break;
    case WA_ACT_RELU: for (int i = 0; i < n; i++) v[i] = activate(WA_ACT_RELU, v[i]); break;
    default: for (int i = 0; i < n; i++) v[i] = activate(act, v[i]); break;
    }
}

/* The same as finish for whole rows: this runs once for 12 registers of sums, so that its calls and
 * branches do not weigh (they took a fifth of the time at k = 384). */
V_INLINE void finish_whole(const wa_gemm_tile *t, const int rows, v8 (*s)[2])
{
    v8 r[V_ROWS * 2];
    for (int i = 0; i < rows * 2; i++) r[i] = s[i / 2][i % 2];
    if (t->last) {
        for (int i = 0; i < rows * 2; i++) r[i] = r[i] * t->alpha;
        if (t->addend)
            for (int i = 0; i < rows * 2; i++) r[i] = r[i] + v_load(t->addend + i / 2 * t->addend_row + i % 2 * 8);
        if (t->act != WA_ACT_NONE) activate_all(t->act, r, rows * 2);
        if (t->residual)
            for (int i = 0; i < rows * 2; i++) r[i] = r[i] + v_load(t->residual + i / 2 * t->residual_row + i % 2 * 8);
    }
    for (int i = 0; i < rows * 2; i++) v_store(t->c + i / 2 * t->c_row + i % 2 * 8, r[i]);
}

V_INLINE void tile_rows(const wa_gemm_tile *t, const int rows)
{
    v8 s[V_ROWS][2];
    for (int i = 0; i < rows; i++) {
        const float *c = t->c + i * t->c_row;
        s[i][0] = t->add ? (t->columns >= 8 ? v_load(c) : v_load_part(c, t->columns, 0.0f)) : v_set(0.0f);
        s[i][1] = t->add ? (t->columns >= 16 ? v_load(c + 8) : v_load_part(c + 8, t->columns - 8, 0.0f)) : v_set(0.0f);
    }
    const float *b = t->b, *a = t->a;
    for (int64_t k = 0; k < t->k; k++, b += t->b_row, a++) {
        v8 b0 = v_load(b), b1 = v_load(b + 8);
        for (int i = 0; i < rows; i++) {
            v8 x = v_set(a[i * t->a_row]);
            s[i][0] = v_fma(x, b0, s[i][0]);
            s[i][1] = v_fma(x, b1, s[i][1]);
        }
    }
    if (t->columns == WA_PANEL) {
        finish_whole(t, rows, s);
        return;
    }
    for (int i = 0; i < rows; i++) {
        finish(t, i, 0, s[i][0]);
        if (t->columns > 8) finish(t, i, 8, s[i][1]);
    }
}

static void tile(const wa_gemm_tile *t)
{
    switch (t->rows) {
    case 1: tile_rows(t, 1); break;
    case 2: tile_rows(t, 2); break;
#if V_ROWS > 2
    case 3: tile_rows(t, 3); break;
    case 4: tile_rows(t, 4); break;
    case 5: tile_rows(t, 5); break;
    case 6: tile_rows(t, 6); break;
#endif
    default: break;
    }
}

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
    v8 r[8], s[8];
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
        v_store(out + i * WA_PANEL, __builtin_shufflevector(r[i], r[i + 4], 0, 1, 2, 3, 8, 9, 10, 11));
        v_store(out + (i + 4) * WA_PANEL, __builtin_shufflevector(r[i], r[i + 4], 4, 5, 6, 7, 12, 13, 14, 15));
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

const wa_gemm_isa WA_ISA(wa__gemm) = {V_ROWS, tile, pack};
