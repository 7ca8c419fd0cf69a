/* References of Recurrence and LinearScan, in double. See recurrence.h. */
#include "kernels/recurrence.h"
#include <math.h>

static bool list(const wa_kernel_args *a, const char *name, wa_attr_kind kind, uint32_t count, const wa_attr **out)
{
    *out = wa__attr_find(a->attrs, a->attr_count, name);
    return *out && (*out)->kind == kind && (*out)->count == count;
}

static bool has_dims(const wa_kernel_args *a, uint32_t i, uint32_t rank, int64_t x, int64_t y, int64_t z)
{
    if (!wa__kernel_has(a, i)) return true;
    const wa_tensor_type *t = &a->in[i].type;
    return t->rank == rank && t->dims[0] == x && (rank < 2 || t->dims[1] == y) && (rank < 3 || t->dims[2] == z);
}

static wa_status floats(const wa_kernel_args *a, uint32_t except, wa_error *err)
{
    for (uint32_t i = 0; i < a->in_count; i++)
        if (i != except && wa__kernel_has(a, i) && a->in[i].type.dtype != a->in[0].type.dtype) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "input %u has another element type", i);
    if (!wa__dtype_is_float(a->in[0].type.dtype)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its input must be floats");
    return WA_OK;
}

static wa_status functions(const wa_kernel_args *a, wa_recurrence *c, wa_error *err)
{
    const wa_attr *acts, *alphas, *betas;
    uint32_t n = c->acts * (uint32_t)c->dirs;
    if (!list(a, "acts", WA_ATTR_KIND_INTS, n, &acts) || !list(a, "alphas", WA_ATTR_KIND_FLOATS, n, &alphas) || !list(a, "betas", WA_ATTR_KIND_FLOATS, n, &betas))
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its activations are not %u", n);
    for (uint32_t i = 0; i < n; i++) {
        if (acts->ints[i] < 0 || acts->ints[i] >= WA_RNN_COUNT) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "activation %lld is not known", (long long)acts->ints[i]);
        c->act[i] = (wa_rnn_act){(uint32_t)acts->ints[i], alphas->floats[i], betas->floats[i]};
    }
    return WA_OK;
}

wa_status wa__recurrence_describe(const wa_kernel_args *a, wa_recurrence *c, wa_error *err)
{
    int64_t kind = wa__kernel_int(a, "kind", -1), way = wa__kernel_int(a, "direction", -1);
    if (a->in_count < 2 || a->out_count != 2 || kind < 0 || kind > 2 || way < 0 || way > 2) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its kind or direction is not known");
    const wa_tensor_type *x = &a->in[0].type, *r = &a->in[1].type;
    *c = (wa_recurrence){.kind = (uint32_t)kind, .gates = kind == 0 ? 1 : kind == 1 ? 3 : 4, .acts = kind == 0 ? 1 : kind == 1 ? 2 : 3, .dirs = way == 2 ? 2 : 1, .reverse = {way == 1, way == 2},
                         .clip = wa__kernel_float(a, "clip", 0), .linear_before_reset = wa__kernel_int(a, "linear_before_reset", 0) != 0, .input_forget = wa__kernel_int(a, "input_forget", 0) != 0};
    WA_TRY(floats(a, 3, err));
    if (x->rank != 3 || r->rank != 3 || r->dims[1] < 1 || r->dims[1] > INT32_MAX) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its projection or weights are not of rank 3");
    c->steps = x->dims[0];
    c->batch = x->dims[1];
    c->hidden = r->dims[1];
    c->state_width = c->hidden * (kind == 2 ? 2 : 1);
    int64_t gh = c->gates * c->hidden;
    if (x->dims[2] != c->dirs * gh || !has_dims(a, 1, 3, c->dirs, c->hidden, gh) || !has_dims(a, 2, 2, c->dirs, c->hidden * (kind == 2 ? 3 : 1), 0) || !has_dims(a, 3, 1, c->batch, 0, 0) ||
        !has_dims(a, 4, 3, c->dirs, c->batch, c->state_width) || (wa__kernel_has(a, 3) && wa__dtype_is_float(a->in[3].type.dtype)))
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its inputs' shapes do not fit each other");
    WA_TRY(functions(a, c, err));
    WA_TRY(wa__kernel_want(a, 0, &(wa_tensor_type){x->dtype, 4, {c->steps, c->dirs, c->batch, c->hidden}}, err));
    return wa__kernel_want(a, 1, &(wa_tensor_type){x->dtype, 3, {c->dirs, c->batch, c->state_width}}, err);
}

static double activate(const wa_rnn_act *f, double clip, double x)
{
    double a = (double)f->alpha, b = (double)f->beta;
    if (clip > 0) x = x > clip ? clip : x < -clip ? -clip : x;
    switch (f->fn) {
    case WA_RNN_RELU: return x < 0 ? 0 : x;
    case WA_RNN_TANH: return tanh(x);
    case WA_RNN_SIGMOID: return 1 / (1 + exp(-x));
    case WA_RNN_AFFINE: return a * x + b;
    case WA_RNN_LEAKY_RELU: return x < 0 ? a * x : x;
    case WA_RNN_THRESHOLDED_RELU: return x > a ? x : 0;
    case WA_RNN_SCALED_TANH: return a * tanh(b * x);
    case WA_RNN_HARD_SIGMOID: return fmin(fmax(a * x + b, 0), 1);
    case WA_RNN_ELU: return x < 0 ? a * expm1(x) : x;
    case WA_RNN_SOFTSIGN: return x / (1 + fabs(x));
    default: return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); /* Softplus */
    }
}

typedef struct ref_cell { /* one batch row and direction */
    const wa_kernel_args *a;
    const wa_recurrence *c;
    int64_t d, b;
    double *h, *cell, *gate, *next; /* H, H, G*H, H */
} ref_cell;

/* The recurrent product of column j with vector v. */
static double product(const ref_cell *k, int64_t j, const double *v)
{
    int64_t gh = k->c->gates * k->c->hidden;
    double s = 0;
    for (int64_t i = 0; i < k->c->hidden; i++) s += v[i] * wa__get_f64(&k->a->in[1], (k->d * k->c->hidden + i) * gh + j);
    return s;
}

static double extra(const ref_cell *k, int64_t j)
{
    int64_t width = k->c->hidden * (k->c->kind == WA_CELL_LSTM ? 3 : 1);
    return wa__kernel_has(k->a, 2) ? wa__get_f64(&k->a->in[2], k->d * width + j) : 0;
}

static void step(const ref_cell *k, int64_t t)
{
    const wa_recurrence *c = k->c;
    int64_t h = c->hidden, gh = c->gates * h, at = ((t * c->batch + k->b) * c->dirs + k->d) * gh;
    const wa_rnn_act *f = c->act + k->d * c->acts;
    double clip = (double)c->clip, *g = k->gate;
    for (int64_t j = 0; j < gh; j++) {
        bool later = c->kind == WA_CELL_GRU && j >= 2 * h;
        g[j] = wa__get_f64(&k->a->in[0], at + j) + (later ? 0 : product(k, j, k->h));
    }
    for (int64_t j = 0; j < h; j++) {
        if (c->kind == WA_CELL_RNN) k->next[j] = activate(&f[0], clip, g[j]);
        if (c->kind == WA_CELL_GRU) {
            g[j] = activate(&f[0], clip, g[j]);
            g[h + j] = activate(&f[0], clip, g[h + j]);
            k->next[j] = g[h + j] * k->h[j];
        }
        if (c->kind != WA_CELL_LSTM) continue;
        double i = activate(&f[0], clip, g[j] + extra(k, j) * k->cell[j]), forget = activate(&f[0], clip, g[2 * h + j] + extra(k, 2 * h + j) * k->cell[j]);
        if (c->input_forget) forget = 1 - i;
        k->cell[j] = forget * k->cell[j] + i * activate(&f[1], clip, g[3 * h + j]);
        k->next[j] = activate(&f[0], clip, g[h + j] + extra(k, h + j) * k->cell[j]) * activate(&f[2], clip, k->cell[j]);
    }
    for (int64_t j = 0; c->kind == WA_CELL_GRU && j < h; j++) {
        double hidden = c->linear_before_reset ? g[h + j] * (product(k, 2 * h + j, k->h) + extra(k, j)) : product(k, 2 * h + j, k->next);
        g[2 * h + j] = activate(&f[1], clip, g[2 * h + j] + hidden);
    }
    for (int64_t j = 0; j < h; j++) k->h[j] = c->kind == WA_CELL_GRU ? (1 - g[j]) * g[2 * h + j] + g[j] * k->h[j] : k->next[j];
}

static void sequence(ref_cell *k)
{
    const wa_recurrence *c = k->c;
    const wa_kernel_args *a = k->a;
    int64_t length = wa__kernel_has(a, 3) ? wa__get_i64(&a->in[3], k->b) : c->steps, state = (k->d * c->batch + k->b) * c->state_width;
    if (length < 0) length = 0;
    if (length > c->steps) length = c->steps;
    for (int64_t j = 0; j < c->hidden; j++) {
        k->h[j] = wa__kernel_has(a, 4) ? wa__get_f64(&a->in[4], state + j) : 0;
        k->cell[j] = wa__kernel_has(a, 4) && c->kind == WA_CELL_LSTM ? wa__get_f64(&a->in[4], state + c->hidden + j) : 0;
    }
    for (int64_t s = 0; s < c->steps; s++) {
        int64_t t = s < length && c->reverse[k->d] ? length - 1 - s : s;
        if (s < length) step(k, t);
        for (int64_t j = 0; j < c->hidden; j++) wa__set_f64(&a->out[0], ((t * c->dirs + k->d) * c->batch + k->b) * c->hidden + j, s < length ? k->h[j] : 0);
    }
    for (int64_t j = 0; j < c->state_width; j++) wa__set_f64(&a->out[1], state + j, j < c->hidden ? k->h[j] : k->cell[j - c->hidden]);
}

static wa_status recurrence(const wa_kernel_args *a, wa_error *err)
{
    wa_recurrence c;
    WA_TRY(wa__recurrence_describe(a, &c, err));
    double *room = wa__alloc((size_t)(c.gates + 3) * (size_t)c.hidden, sizeof *room);
    if (!room) return wa__no_memory(err, "a recurrence");
    ref_cell k = {.a = a, .c = &c, .h = room, .cell = room + c.hidden, .next = room + 2 * c.hidden, .gate = room + 3 * c.hidden};
    for (k.d = 0; k.d < c.dirs; k.d++)
        for (k.b = 0; k.b < c.batch; k.b++) sequence(&k);
    wa__free(room);
    return WA_OK;
}

/* --- LinearScan -------------------------------------------------------------------------------------------- */
wa_status wa__linear_scan_describe(const wa_kernel_args *a, wa_linear_scan *s, wa_error *err)
{
    if (a->in_count < 3 || a->out_count != 2) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "it takes 3 to 6 inputs and makes 2 outputs");
    const wa_tensor_type *q = &a->in[0].type, *k = &a->in[1].type, *v = &a->in[2].type;
    *s = (wa_linear_scan){.q_heads = wa__kernel_int(a, "q_heads", 0), .heads = wa__kernel_int(a, "heads", 0), .delta = wa__kernel_int(a, "delta", 0) != 0, .scale = wa__kernel_float(a, "scale", 1)};
    WA_TRY(floats(a, UINT32_MAX, err));
    if (q->rank != 3 || k->rank != 3 || v->rank != 3 || s->heads < 1 || s->q_heads < 1 || s->q_heads % s->heads || q->dims[2] % s->q_heads || v->dims[2] % s->heads)
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its heads do not fit");
    s->batch = q->dims[0];
    s->steps = q->dims[1];
    s->size = q->dims[2] / s->q_heads;
    s->value_size = v->dims[2] / s->heads;
    bool fits = has_dims(a, 1, 3, s->batch, s->steps, s->heads * s->size) && has_dims(a, 2, 3, s->batch, s->steps, v->dims[2]);
    if (wa__kernel_has(a, 3)) fits = fits && a->in[3].type.rank == 4 && has_dims(a, 3, 3 + (a->in[3].type.rank == 4), s->batch, s->heads, s->size) && a->in[3].type.dims[3] == s->value_size;
    if (wa__kernel_has(a, 4)) {
        int64_t last = a->in[4].type.rank == 3 ? a->in[4].type.dims[2] : 0;
        s->decay_size = last == s->heads ? 1 : s->size;
        fits = fits && has_dims(a, 4, 3, s->batch, s->steps, s->heads * s->decay_size);
    }
    if (wa__kernel_has(a, 5)) {
        s->beta_heads = a->in[5].type.rank == 3 && a->in[5].type.dims[2] == 1 ? 1 : s->heads;
        fits = fits && has_dims(a, 5, 3, s->batch, s->steps, s->beta_heads);
    }
    if (!fits || (s->delta && !s->beta_heads)) return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its inputs' shapes do not fit each other");
    WA_TRY(wa__kernel_want(a, 0, &(wa_tensor_type){q->dtype, 3, {s->batch, s->steps, s->q_heads * s->value_size}}, err));
    return wa__kernel_want(a, 1, &(wa_tensor_type){q->dtype, 4, {s->batch, s->heads, s->size, s->value_size}}, err);
}

/* One column of one head's state, which is all that a column of the output depends on. */
static void column(const wa_kernel_args *a, const wa_linear_scan *s, int64_t b, int64_t h, int64_t j, double *state)
{
    int64_t group = s->q_heads / s->heads;
    for (int64_t i = 0; i < s->size; i++) state[i] = wa__kernel_has(a, 3) ? wa__get_f64(&a->in[3], ((b * s->heads + h) * s->size + i) * s->value_size + j) : 0;
    for (int64_t t = 0; t < s->steps; t++) {
        int64_t row = b * s->steps + t, k = (row * s->heads + h) * s->size;
        double seen = 0, update = wa__get_f64(&a->in[2], (row * s->heads + h) * s->value_size + j);
        for (int64_t i = 0; i < s->size; i++) {
            if (s->decay_size) state[i] *= exp(wa__get_f64(&a->in[4], (row * s->heads + h) * s->decay_size + (s->decay_size > 1 ? i : 0)));
            seen += state[i] * wa__get_f64(&a->in[1], k + i);
        }
        if (s->delta) update = (update - seen) * wa__get_f64(&a->in[5], row * s->beta_heads + (s->beta_heads > 1 ? h : 0));
        for (int64_t i = 0; i < s->size; i++) state[i] += wa__get_f64(&a->in[1], k + i) * update;
        for (int64_t g = 0; g < group; g++) {
            double y = 0;
            int64_t head = row * s->q_heads + h * group + g;
            for (int64_t i = 0; i < s->size; i++) y += state[i] * wa__get_f64(&a->in[0], head * s->size + i);
            wa__set_f64(&a->out[0], head * s->value_size + j, y * (double)s->scale);
        }
    }
    for (int64_t i = 0; i < s->size; i++) wa__set_f64(&a->out[1], ((b * s->heads + h) * s->size + i) * s->value_size + j, state[i]);
}

static wa_status linear_scan(const wa_kernel_args *a, wa_error *err)
{
    wa_linear_scan s;
    WA_TRY(wa__linear_scan_describe(a, &s, err));
    double *state = wa__alloc((size_t)s.size + 1, sizeof *state);
    if (!state) return wa__no_memory(err, "a linear attention");
    for (int64_t i = 0; i < s.batch * s.heads * s.value_size; i++) column(a, &s, i / (s.heads * s.value_size), i / s.value_size % s.heads, i % s.value_size, state);
    wa__free(state);
    return WA_OK;
}

const wa_kernel_entry wa__ref_recurrence[] = {{WA_OP_Recurrence, recurrence}, {WA_OP_LinearScan, linear_scan}, {WA_OP_NONE, NULL}};
