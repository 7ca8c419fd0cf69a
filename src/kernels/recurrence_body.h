/* Body of recurrence_any.c, recurrence_avx2.c and recurrence_avx512.c: some sequences of a recurrence, step by step; the
 * recurrent product adds rows of the weights, scaled by the hidden states, to all gates. See recurrence.h. */
#include "kernels/recurrence.h"
#include "kernels/vec.h"

/* For each row: to[n] += sum over i of v[i] * w[i][0..n), rows of w `step` floats apart. */
V_INLINE void add_rows(float *to, int64_t to_row, const float *v, int64_t v_row, const float *w, int64_t step, int64_t count, int64_t n, const int rows, const int wide)
{
    int64_t j = 0;
    for (; j + V_LANES * wide <= n; j += V_LANES * wide) {
        vf s[WA_RECURRENCE_ROWS * 4];
        const float *p = w + j;
        for (int q = 0; q < rows; q++)
            for (int k = 0; k < wide; k++) s[q * wide + k] = v_load(to + q * to_row + j + V_LANES * k);
        for (int64_t i = 0; i < count; i++, p += step)
            for (int k = 0; k < wide; k++) {
                vf x = v_load(p + V_LANES * k);
                for (int q = 0; q < rows; q++) s[q * wide + k] = v_fma(v_set(v[q * v_row + i]), x, s[q * wide + k]);
            }
        for (int q = 0; q < rows; q++)
            for (int k = 0; k < wide; k++) v_store(to + q * to_row + j + V_LANES * k, s[q * wide + k]);
    }
    for (; j < n; j += V_LANES) {
        int64_t left = n - j < V_LANES ? n - j : V_LANES;
        for (int q = 0; q < rows; q++) {
            vf s = v_load_part(to + q * to_row + j, left, 0);
            for (int64_t i = 0; i < count; i++) s = v_fma(v_set(v[q * v_row + i]), v_load_part(w + i * step + j, left, 0), s);
            v_store_part(to + q * to_row + j, left, s);
        }
    }
}

static void add_product(uint32_t rows, float *to, int64_t to_row, const float *v, int64_t v_row, const float *w, int64_t step, int64_t count, int64_t n)
{
    switch (rows) {
    case 1: add_rows(to, to_row, v, v_row, w, step, count, n, 1, 4); break;
    case 2: add_rows(to, to_row, v, v_row, w, step, count, n, 2, 4); break;
    case 3: add_rows(to, to_row, v, v_row, w, step, count, n, 3, 2); break;
    default: add_rows(to, to_row, v, v_row, w, step, count, n, 4, 2); break;
    }
}

V_INLINE vf softplus(vf x)
{
    for (int i = 0; i < V_LANES; i++) x[i] = x[i] > 0 ? x[i] + log1pf(expf(-x[i])) : log1pf(expf(x[i]));
    return x;
}

/* v[n] through one activation. */
static void activate(const wa_rnn_act *f, float clip, float *v, int64_t n)
{
    vf a = v_set(f->alpha), b = v_set(f->beta), zero = v_set(0), one = v_set(1);
    for (int64_t j = 0; j < n; j += V_LANES) {
        int64_t left = n - j < V_LANES ? n - j : V_LANES;
        vf x = v_load_part(v + j, left, 0), y;
        if (clip > 0) x = v_min(v_max(x, v_set(-clip)), v_set(clip));
        switch (f->fn) {
        case WA_RNN_RELU: y = v_max(x, zero); break;
        case WA_RNN_TANH: y = v_tanh(x); break;
        case WA_RNN_SIGMOID: y = v_sigmoid(x); break;
        case WA_RNN_AFFINE: y = v_fma(a, x, b); break;
        case WA_RNN_LEAKY_RELU: y = v_pick((vi)(x < 0.0f), a * x, x); break;
        case WA_RNN_THRESHOLDED_RELU: y = v_pick((vi)(x > a), x, zero); break;
        case WA_RNN_SCALED_TANH: y = a * v_tanh(b * x); break;
        case WA_RNN_HARD_SIGMOID: y = v_min(v_max(v_fma(a, x, b), zero), one); break;
        case WA_RNN_ELU: y = v_pick((vi)(x < 0.0f), a * (v_exp(v_min(x, zero)) - one), x); break;
        case WA_RNN_SOFTSIGN: y = x / (one + v_abs(x)); break;
        default: y = softplus(x); break;
        }
        v_store_part(v + j, left, y);
    }
}

typedef struct rows { /* of the task's room; each row's vectors */
    float *h, *other, *g; /* other: the cell, or what GRU needs */
    int64_t h_row, g_row;
} rows;

static void rnn_step(const wa_recurrence_task *t, const rows *m)
{
    int64_t n = t->c->hidden;
    add_product(t->rows, m->g, m->g_row, m->h, m->h_row, t->r, n, n, n);
    for (uint32_t q = 0; q < t->rows; q++) {
        activate(t->c->act + t->direction, t->c->clip, m->g + q * m->g_row, n);
        memcpy(m->h + q * m->h_row, m->g + q * m->g_row, (size_t)n * sizeof *m->h);
    }
}

static void gru_step(const wa_recurrence_task *t, const rows *m)
{
    int64_t n = t->c->hidden, gh = 3 * n;
    const wa_rnn_act *f = t->c->act + 2 * t->direction;
    bool after = t->c->linear_before_reset;
    add_product(t->rows, m->g, m->g_row, m->h, m->h_row, t->r, gh, n, 2 * n);
    for (uint32_t q = 0; q < t->rows; q++) {
        float *g = m->g + q * m->g_row, *h = m->h + q * m->h_row, *x = m->other + q * m->h_row;
        activate(&f[0], t->c->clip, g, 2 * n);
        for (int64_t j = 0; j < n; j++) x[j] = after ? t->extra ? t->extra[j] : 0 : g[n + j] * h[j];
    }
    if (after) add_product(t->rows, m->other, m->h_row, m->h, m->h_row, t->r + 2 * n, gh, n, n);
    else add_product(t->rows, m->g + 2 * n, m->g_row, m->other, m->h_row, t->r + 2 * n, gh, n, n);
    for (uint32_t q = 0; q < t->rows; q++) {
        float *g = m->g + q * m->g_row, *h = m->h + q * m->h_row, *x = m->other + q * m->h_row;
        for (int64_t j = 0; after && j < n; j++) g[2 * n + j] += g[n + j] * x[j];
        activate(&f[1], t->c->clip, g + 2 * n, n);
        for (int64_t j = 0; j < n; j++) h[j] = (1 - g[j]) * g[2 * n + j] + g[j] * h[j];
    }
}

static void lstm_gates(const wa_recurrence_task *t, float *h, float *cell, float *g)
{
    int64_t n = t->c->hidden;
    const wa_rnn_act *f = t->c->act + 3 * t->direction;
    const float *p = t->extra;
    for (int64_t j = 0; p && j < n; j++) {
        g[j] += p[j] * cell[j];
        g[2 * n + j] += p[2 * n + j] * cell[j];
    }
    activate(&f[0], t->c->clip, g, n);
    if (t->c->input_forget)
        for (int64_t j = 0; j < n; j++) g[2 * n + j] = 1 - g[j];
    else activate(&f[0], t->c->clip, g + 2 * n, n);
    activate(&f[1], t->c->clip, g + 3 * n, n);
    for (int64_t j = 0; j < n; j++) cell[j] = g[2 * n + j] * cell[j] + g[j] * g[3 * n + j];
    for (int64_t j = 0; p && j < n; j++) g[n + j] += p[n + j] * cell[j];
    activate(&f[0], t->c->clip, g + n, n);
    memcpy(h, cell, (size_t)n * sizeof *h);
    activate(&f[2], t->c->clip, h, n);
    for (int64_t j = 0; j < n; j++) h[j] *= g[n + j];
}

static void lstm_step(const wa_recurrence_task *t, const rows *m)
{
    int64_t n = t->c->hidden;
    add_product(t->rows, m->g, m->g_row, m->h, m->h_row, t->r, 4 * n, n, 4 * n);
    for (uint32_t q = 0; q < t->rows; q++) lstm_gates(t, m->h + q * m->h_row, m->other + q * m->h_row, m->g + q * m->g_row);
}

/* The row's last state is kept when its sequence ends: what later steps compute for it is not used. */
static void save(const wa_recurrence_task *t, const rows *m, uint32_t q)
{
    int64_t n = t->c->hidden;
    float *to = t->last + q * t->c->state_width;
    memcpy(to, m->h + q * m->h_row, (size_t)n * sizeof *to);
    if (t->c->kind == WA_CELL_LSTM) memcpy(to + n, m->other + q * m->h_row, (size_t)n * sizeof *to);
}

void WA_ISA(wa__recurrence_task)(const wa_recurrence_task *t)
{
    const wa_recurrence *c = t->c;
    int64_t n = c->hidden, gh = c->gates * n;
    rows m = {.h = t->room, .other = t->room + t->rows * n, .g = t->room + 2 * t->rows * n, .h_row = n, .g_row = gh};
    for (uint32_t q = 0; q < t->rows; q++) {
        const float *state = t->state ? t->state + q * c->state_width : NULL;
        for (int64_t j = 0; j < n; j++) {
            m.h[q * n + j] = state ? state[j] : 0;
            m.other[q * n + j] = state && c->kind == WA_CELL_LSTM ? state[n + j] : 0;
        }
        if (t->length[q] == 0) save(t, &m, q);
    }
    for (int64_t s = 0; s < c->steps; s++) {
        int64_t at[WA_RECURRENCE_ROWS];
        for (uint32_t q = 0; q < t->rows; q++) {
            at[q] = s < t->length[q] && c->reverse[t->direction] ? t->length[q] - 1 - s : s;
            memcpy(m.g + q * gh, t->xw + q * t->xw_row + at[q] * t->xw_step, (size_t)gh * sizeof *m.g);
        }
        if (c->kind == WA_CELL_RNN) rnn_step(t, &m);
        else if (c->kind == WA_CELL_GRU) gru_step(t, &m);
        else lstm_step(t, &m);
        for (uint32_t q = 0; q < t->rows; q++) {
            float *y = t->y + q * n + at[q] * t->y_step;
            if (s < t->length[q]) memcpy(y, m.h + q * n, (size_t)n * sizeof *y);
            else memset(y, 0, (size_t)n * sizeof *y);
            if (s + 1 == t->length[q]) save(t, &m, q);
        }
    }
}
