/* Body of recurrence_any.c and recurrence_avx2.c: one sequence of a recurrence, step by step; the recurrent
 * product adds rows of the weights, scaled by the hidden state, to all gates. See recurrence.h. */
#include "kernels/recurrence.h"
#include "kernels/vec.h"

/* to[n] += sum over i of v[i] * w[i][from..from+n), rows `row` floats apart. */
static void add_product(float *to, const float *v, const float *w, int64_t row, int64_t count, int64_t n)
{
    int64_t j = 0;
    for (; j + 32 <= n; j += 32) {
        v8 s0 = v_load(to + j), s1 = v_load(to + j + 8), s2 = v_load(to + j + 16), s3 = v_load(to + j + 24);
        const float *p = w + j;
        for (int64_t i = 0; i < count; i++, p += row) {
            v8 f = v_set(v[i]);
            s0 = v_fma(f, v_load(p), s0);
            s1 = v_fma(f, v_load(p + 8), s1);
            s2 = v_fma(f, v_load(p + 16), s2);
            s3 = v_fma(f, v_load(p + 24), s3);
        }
        v_store(to + j, s0);
        v_store(to + j + 8, s1);
        v_store(to + j + 16, s2);
        v_store(to + j + 24, s3);
    }
    for (; j < n; j += 8) {
        int64_t left = n - j < 8 ? n - j : 8;
        v8 s = v_load_part(to + j, left, 0);
        for (int64_t i = 0; i < count; i++) s = v_fma(v_set(v[i]), left == 8 ? v_load(w + i * row + j) : v_load_part(w + i * row + j, left, 0), s);
        v_store_part(to + j, left, s);
    }
}

V_INLINE v8 softplus(v8 x)
{
    for (int i = 0; i < 8; i++) x[i] = x[i] > 0 ? x[i] + log1pf(expf(-x[i])) : log1pf(expf(x[i]));
    return x;
}

/* v[n] through one activation. */
static void activate(const wa_rnn_act *f, float clip, float *v, int64_t n)
{
    v8 a = v_set(f->alpha), b = v_set(f->beta), zero = v_set(0), one = v_set(1);
    for (int64_t j = 0; j < n; j += 8) {
        int64_t left = n - j < 8 ? n - j : 8;
        v8 x = v_load_part(v + j, left, 0), y;
        if (clip > 0) x = v_min(v_max(x, v_set(-clip)), v_set(clip));
        switch (f->fn) {
        case WA_RNN_RELU: y = v_max(x, zero); break;
        case WA_RNN_TANH: y = v_tanh(x); break;
        case WA_RNN_SIGMOID: y = v_sigmoid(x); break;
        case WA_RNN_AFFINE: y = v_fma(a, x, b); break;
        case WA_RNN_LEAKY_RELU: y = v_pick((v8i)(x < 0.0f), a * x, x); break;
        case WA_RNN_THRESHOLDED_RELU: y = v_pick((v8i)(x > a), x, zero); break;
        case WA_RNN_SCALED_TANH: y = a * v_tanh(b * x); break;
        case WA_RNN_HARD_SIGMOID: y = v_min(v_max(v_fma(a, x, b), zero), one); break;
        case WA_RNN_ELU: y = v_pick((v8i)(x < 0.0f), a * (v_exp(v_min(x, zero)) - one), x); break;
        case WA_RNN_SOFTSIGN: y = x / (one + v_abs(x)); break;
        default: y = softplus(x); break;
        }
        v_store_part(v + j, left, y);
    }
}

static void rnn_step(const wa_recurrence_task *t, float *h, float *g)
{
    int64_t n = t->c->hidden;
    add_product(g, h, t->r, n, n, n);
    activate(t->c->act + t->direction, t->c->clip, g, n);
    memcpy(h, g, (size_t)n * sizeof *h);
}

static void gru_step(const wa_recurrence_task *t, float *h, float *g, float *room)
{
    int64_t n = t->c->hidden, gh = 3 * n;
    const wa_rnn_act *f = t->c->act + 2 * t->direction;
    add_product(g, h, t->r, gh, n, 2 * n);
    activate(&f[0], t->c->clip, g, 2 * n);
    if (t->c->linear_before_reset) {
        for (int64_t j = 0; j < n; j++) room[j] = t->extra ? t->extra[j] : 0;
        add_product(room, h, t->r + 2 * n, gh, n, n);
        for (int64_t j = 0; j < n; j++) g[2 * n + j] += g[n + j] * room[j];
    } else {
        for (int64_t j = 0; j < n; j++) room[j] = g[n + j] * h[j];
        add_product(g + 2 * n, room, t->r + 2 * n, gh, n, n);
    }
    activate(&f[1], t->c->clip, g + 2 * n, n);
    for (int64_t j = 0; j < n; j++) h[j] = (1 - g[j]) * g[2 * n + j] + g[j] * h[j];
}

static void lstm_step(const wa_recurrence_task *t, float *h, float *g, float *cell)
{
    int64_t n = t->c->hidden;
    const wa_rnn_act *f = t->c->act + 3 * t->direction;
    const float *p = t->extra;
    add_product(g, h, t->r, 4 * n, n, 4 * n);
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

void WA_ISA(wa__recurrence_task)(const wa_recurrence_task *t)
{
    const wa_recurrence *c = t->c;
    int64_t n = c->hidden, gh = c->gates * n;
    float *h = t->room, *other = h + n, *g = other + n; /* other: the cell, or what GRU needs */
    for (int64_t j = 0; j < n; j++) {
        h[j] = t->state ? t->state[j] : 0;
        other[j] = t->state && c->kind == WA_CELL_LSTM ? t->state[n + j] : 0;
    }
    for (int64_t s = 0; s < c->steps; s++) {
        int64_t at = s < t->length && c->reverse[t->direction] ? t->length - 1 - s : s;
        float *y = t->y + at * t->y_step;
        if (s >= t->length) {
            memset(y, 0, (size_t)n * sizeof *y);
            continue;
        }
        memcpy(g, t->xw + at * t->xw_step, (size_t)gh * sizeof *g);
        if (c->kind == WA_CELL_RNN) rnn_step(t, h, g);
        else if (c->kind == WA_CELL_GRU) gru_step(t, h, g, other);
        else lstm_step(t, h, g, other);
        memcpy(y, h, (size_t)n * sizeof *y);
    }
    memcpy(t->last, h, (size_t)n * sizeof *h);
    if (c->kind == WA_CELL_LSTM) memcpy(t->last + n, other, (size_t)n * sizeof *h);
}
