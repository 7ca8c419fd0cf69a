/* Body of attention_any.c, attention_avx2.c and attention_avx512.c. See attention.h. */
#include "kernels/attention.h"
#include "kernels/vec.h"

enum { TILE = V_LANES == 16 ? 2 * WA_PANEL : WA_PANEL }; /* columns of a register tile */

typedef struct room {
    float scores[WA_ATTENTION_QUERIES * WA_ATTENTION_KEYS] __attribute__((aligned(64)));
    float keys[WA_ATTENTION_KEYS * WA_ATTENTION_SIZE] __attribute__((aligned(64)));
    float values[WA_ATTENTION_KEYS * WA_PANEL] __attribute__((aligned(64)));
    float top[WA_ATTENTION_QUERIES], sum[WA_ATTENTION_QUERIES];
} room;

static void product(wa_gemm_tile *t, const float *a, float *c, int64_t rows)
{
    for (int64_t r = 0; r < rows; r += V_ROWS) {
        t->a = a + r * t->a_row;
        t->c = c + r * t->c_row;
        t->rows = (int)(rows - r < V_ROWS ? rows - r : V_ROWS);
        WA_ISA(wa__gemm).tile(t);
    }
}

/* scores[queries][keys] = scale * q.k + bias; columns past the last key are -infinity. */
static void score(const wa_attention_task *t, room *m, int64_t from, int64_t count)
{
    int64_t padded = (count + V_LANES - 1) / V_LANES * V_LANES;
    for (int64_t j = 0; j < count; j += WA_PANEL) {
        float *panel = m->keys + j * t->size;
        const float *k = t->k + from * t->k_row;
        int64_t columns = count - j < WA_PANEL ? count - j : WA_PANEL;
        int64_t done = 0;
        if (columns == WA_PANEL) { /* keys are rows k_row apart: packing's transposed form */
            WA_ISA(wa__gemm).pack(k, WA_F32, true, count, t->k_row, j, 0, t->size, panel);
            done = t->size;
        }
        for (int64_t d = done; d < t->size; d++)
            for (int64_t c = 0; c < WA_PANEL; c++) panel[d * WA_PANEL + c] = c < columns ? k[(j + c) * t->k_row + d] : 0.0f;
    }
    for (int64_t j = 0, wide = (count + WA_PANEL - 1) / WA_PANEL * WA_PANEL; j < wide; j += TILE) {
        wa_gemm_tile g = {.a_row = t->q_row, .a_k = 1, .b = m->keys + j * t->size, .b_row = WA_PANEL, .b_panel = WA_PANEL * t->size, .k = t->size,
                          .c_row = WA_ATTENTION_KEYS, .columns = (int)(wide - j < TILE ? wide - j : TILE), .last = true, .alpha = t->scale};
        product(&g, t->q, m->scores + j, t->queries);
    }
    for (int64_t i = 0; i < t->queries; i++) {
        float *s = m->scores + i * WA_ATTENTION_KEYS;
        if (t->bias) {
            const float *b = t->bias + i * t->bias_query + from * t->bias_key;
            if (t->bias_key == 1)
                for (int64_t k = 0; k < count; k += V_LANES) v_store(s + k, v_load(s + k) + (count - k >= V_LANES ? v_load(b + k) : v_load_part(b + k, count - k, 0.0f)));
            else
                for (int64_t k = 0; k < count; k++) s[k] += b[k * t->bias_key];
        }
        for (int64_t k = count; k < padded; k++) s[k] = -INFINITY;
    }
}

/* Scores become weights; output rows so far shrink to the new maximum. */
static void soften(const wa_attention_task *t, room *m, int64_t count, bool first)
{
    for (int64_t i = 0; i < t->queries; i++) {
        float *s = m->scores + i * WA_ATTENTION_KEYS, *o = t->out + i * t->out_row;
        vf top = v_load(s), sum = v_set(0.0f);
        for (int64_t k = V_LANES; k < count; k += V_LANES) top = v_max(top, v_load(s + k));
        float high = v_top(top), old = m->top[i];
        if (!first && (old > high || old != old)) high = old;
        vf base = v_set(high == -INFINITY ? 0.0f : high); /* all masked so far: weights 0, not NaN */
        for (int64_t k = 0; k < count; k += V_LANES) {
            vf e = v_exp_down(v_load(s + k) - base);
            sum = sum + e;
            v_store(s + k, e);
        }
        float shrink = first ? 0.0f : v_exp(v_set(old) - base)[0];
        m->sum[i] = (first ? 0.0f : m->sum[i] * shrink) + v_sum(sum);
        m->top[i] = high;
        if (!first && shrink != 1.0f)
            for (int64_t d = 0; d < t->value_size; d++) o[d] *= shrink;
    }
}

static void blend(const wa_attention_task *t, room *m, int64_t from, int64_t count, bool first)
{
    for (int64_t j = 0, columns; j < t->value_size; j += columns) {
        int64_t left = t->value_size - j;
        columns = left < WA_PANEL ? left : left < TILE ? WA_PANEL : TILE;
        const float *v = t->v + from * t->v_row + j;
        wa_gemm_tile g = {.a_row = WA_ATTENTION_KEYS, .a_k = 1, .b = v, .b_row = t->v_row, .b_panel = WA_PANEL, .k = count, .c_row = t->out_row, .columns = (int)columns, .add = !first};
        if (columns < WA_PANEL) {
            memset(m->values, 0, sizeof m->values);
            for (int64_t k = 0; k < count; k++) memcpy(m->values + k * WA_PANEL, v + k * t->v_row, (size_t)columns * sizeof *v);
            g.b = m->values;
            g.b_row = WA_PANEL;
        }
        product(&g, m->scores, t->out + j, t->queries);
    }
}

void WA_ISA(wa__attention_task)(const wa_attention_task *t)
{
    room m;
    for (int64_t k = 0; k < t->keys; k += WA_ATTENTION_KEYS) {
        int64_t count = t->keys - k < WA_ATTENTION_KEYS ? t->keys - k : WA_ATTENTION_KEYS;
        score(t, &m, k, count);
        soften(t, &m, count, k == 0);
        blend(t, &m, k, count, k == 0);
    }
    for (int64_t i = 0; i < t->queries; i++) {
        float *o = t->out + i * t->out_row, inverse = t->keys ? 1.0f / m.sum[i] : 0.0f;
        for (int64_t d = 0; d < t->value_size; d++) o[d] = t->keys ? o[d] * inverse : 0.0f;
    }
}
