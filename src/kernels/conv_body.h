/* Body of conv_any.c, conv_avx2.c and conv_avx512.c. See conv.h. */
#include "kernels/conv.h"
#include "kernels/vec_act.h"

/* --- columns of a product ----------------------------------------------------------------------------------- */

typedef struct corners { /* where the first tap of 16 pixels reads: by axis, and in the plane */
    int32_t z[WA_PANEL], y[WA_PANEL], x[WA_PANEL], at[WA_PANEL];
} corners;

static void corners_of(const wa_conv_columns *c, corners *out)
{
    const wa_window *w = c->window;
    int64_t x = c->pixel % w->out[2], y = c->pixel / w->out[2] % w->out[1], z = c->pixel / (w->out[2] * w->out[1]);
    for (int64_t j = 0; j < WA_PANEL; j++) {
        bool there = j < c->pixels;
        out->z[j] = there ? (int32_t)(z * w->stride[0] - w->begin[0]) : INT32_MIN / 2; /* outside, whatever the tap */
        out->y[j] = (int32_t)(y * w->stride[1] - w->begin[1]);
        out->x[j] = (int32_t)(x * w->stride[2] - w->begin[2]);
        out->at[j] = there ? (int32_t)((out->z[j] * w->in[1] + out->y[j]) * w->in[2] + out->x[j]) : 0;
        if (++x < w->out[2]) continue;
        x = 0;
        if (++y < w->out[1]) continue;
        y = 0;
        z++;
    }
}

/* One tap of 16 pixels: which of them read inside, and where. */
typedef struct reach {
    int32_t at[WA_PANEL]; /* in the plane; means nothing outside */
    uint32_t inside;      /* bit j */
} reach;

#if defined(__AVX512F__)
enum { RUNS_MAX = 4 };

/* Pixels that lie side by side, `step` apart: pixel j at `at` + step * j. */
typedef struct run {
    int64_t at; /* bytes from the plane's start, which may lie before it: only pixels of the mask are read */
    __mmask16 pixels, low, high; /* low, high: floats to read for pixels 0..7 and 8..15 of step 2 */
} run;

static __mmask16 spread(uint32_t x) /* bit i of 8 to bit 2i */
{
    x = (x | x << 4) & 0x0f0f;
    x = (x | x << 2) & 0x3333;
    return (__mmask16)((x | x << 1) & 0x5555);
}

V_INLINE reach reach_of(const wa_window *w, const corners *c, int64_t tap)
{
    int32_t dz = (int32_t)(tap / (w->kernel[2] * w->kernel[1]) * w->dilation[0]), dy = (int32_t)(tap / w->kernel[2] % w->kernel[1] * w->dilation[1]);
    int32_t dx = (int32_t)(tap % w->kernel[2] * w->dilation[2]), d = (int32_t)((dz * w->in[1] + dy) * w->in[2] + dx);
    reach r;
    __mmask16 in = _mm512_cmplt_epu32_mask(_mm512_add_epi32(_mm512_loadu_si512(c->z), _mm512_set1_epi32(dz)), _mm512_set1_epi32((int32_t)w->in[0]));
    in = _mm512_mask_cmplt_epu32_mask(in, _mm512_add_epi32(_mm512_loadu_si512(c->y), _mm512_set1_epi32(dy)), _mm512_set1_epi32((int32_t)w->in[1]));
    in = _mm512_mask_cmplt_epu32_mask(in, _mm512_add_epi32(_mm512_loadu_si512(c->x), _mm512_set1_epi32(dx)), _mm512_set1_epi32((int32_t)w->in[2]));
    _mm512_storeu_si512(r.at, _mm512_add_epi32(_mm512_loadu_si512(c->at), _mm512_set1_epi32(d)));
    r.inside = in;
    return r;
}

/* The runs of a tap's pixels; RUNS_MAX + 1: more than that, or too far apart. */
V_INLINE int runs_of(const reach *r, int64_t step, run *out)
{
    int n = 0;
    if (step > 2) return RUNS_MAX + 1;
    __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), at = _mm512_loadu_si512(r->at);
    __m512i start = _mm512_sub_epi32(at, step == 2 ? _mm512_slli_epi32(lane, 1) : lane);
    for (uint32_t left = r->inside; left && n <= RUNS_MAX; n++) {
        int first = __builtin_ctz(left);
        int32_t from = (int32_t)(r->at[first] - step * first);
        __mmask16 same = _mm512_mask_cmpeq_epi32_mask((__mmask16)left, start, _mm512_set1_epi32(from));
        if (n < RUNS_MAX) out[n] = (run){(int64_t)from * 4, same, spread(same & 0xff), spread((uint32_t)same >> 8)};
        left &= ~(uint32_t)same;
    }
    return n;
}

V_INLINE __m512 load_run(const char *x, const run *r, bool pairs, __m512 v)
{
    if (!pairs) return _mm512_mask_loadu_ps(v, r->pixels, x + r->at);
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    __m512 low = _mm512_maskz_loadu_ps(r->low, x + r->at), high = _mm512_maskz_loadu_ps(r->high, x + r->at + 64);
    return _mm512_mask_mov_ps(v, r->pixels, _mm512_permutex2var_ps(low, even, high));
}

/* `count` channels of one tap: rows of the panel out_step apart. */
V_INLINE void copy_tap(const reach *r, int64_t step, const float *x, int64_t plane, int64_t count, float *out, int64_t out_step)
{
    run runs[RUNS_MAX];
    int n = runs_of(r, step, runs);
    if (n == 1) {
        for (; count > 0; count--, x += plane, out += out_step) _mm512_storeu_ps(out, load_run((const char *)x, runs, step == 2, _mm512_setzero_ps()));
        return;
    }
    __m512i at = _mm512_loadu_si512(r->at);
    for (; count > 0; count--, x += plane, out += out_step) {
        __m512 v = _mm512_setzero_ps();
        if (n > RUNS_MAX) v = _mm512_mask_i32gather_ps(v, (__mmask16)r->inside, at, x, 4);
        else
            for (int i = 0; i < n; i++) v = load_run((const char *)x, &runs[i], step == 2, v);
        _mm512_storeu_ps(out, v);
    }
}
#else
V_INLINE reach reach_of(const wa_window *w, const corners *c, int64_t tap)
{
    int32_t dz = (int32_t)(tap / (w->kernel[2] * w->kernel[1]) * w->dilation[0]), dy = (int32_t)(tap / w->kernel[2] % w->kernel[1] * w->dilation[1]);
    int32_t dx = (int32_t)(tap % w->kernel[2] * w->dilation[2]), d = (int32_t)((dz * w->in[1] + dy) * w->in[2] + dx);
    reach r = {.inside = 0};
    for (int j = 0; j < WA_PANEL; j++) {
        r.at[j] = (int32_t)((uint32_t)c->at[j] + (uint32_t)d); /* right where it is inside */
        bool in = (uint32_t)(c->z[j] + dz) < (uint64_t)w->in[0] && (uint32_t)(c->y[j] + dy) < (uint64_t)w->in[1] && (uint32_t)(c->x[j] + dx) < (uint64_t)w->in[2];
        r.inside |= (uint32_t)in << j;
    }
    return r;
}

/* `count` channels of one tap: rows of the panel out_step apart. */
V_INLINE void copy_tap(const reach *r, int64_t step, const float *x, int64_t plane, int64_t count, float *out, int64_t out_step)
{
    if (step == 1 && r->inside == 0xffff && r->at[WA_PANEL - 1] == r->at[0] + WA_PANEL - 1) { /* places rise by at least 1 */
        for (const float *from = x + r->at[0]; count > 0; count--, from += plane, out += out_step) memcpy(out, from, WA_PANEL * sizeof *out);
        return;
    }
    for (; count > 0; count--, x += plane, out += out_step)
        for (int j = 0; j < WA_PANEL; j++) out[j] = r->inside >> j & 1 ? x[r->at[j]] : 0.0f;
}
#endif

static void columns(const wa_conv_columns *c)
{
    corners from;
    corners_of(c, &from);
    for (int64_t tap = 0; tap < c->taps; tap++) {
        reach r = reach_of(c->window, &from, tap);
        int64_t first = c->k_from > tap ? (c->k_from - tap + c->taps - 1) / c->taps : 0; /* channel */
        int64_t row = first * c->taps + tap - c->k_from;
        if (row < c->k) copy_tap(&r, c->window->stride[2], c->x + first * c->in_size, c->in_size, (c->k - row + c->taps - 1) / c->taps, c->out + row * WA_PANEL, c->taps * WA_PANEL);
    }
}

/* --- the last few pixels ----------------------------------------------------------------------------------------- */

V_INLINE void dots_of(const wa_conv_dots *d, int64_t row, int64_t j, const int rows)
{
    vf s[V_ROWS];
    const float *w = d->w + row * d->w_row, *x = d->columns + j * d->columns_row;
    for (int i = 0; i < rows; i++) s[i] = v_set(0.0f);
    int64_t k = 0;
    for (; k + V_LANES <= d->k; k += V_LANES) {
        vf v = v_load(x + k);
        for (int i = 0; i < rows; i++) s[i] = v_fma(v_load(w + i * d->w_row + k), v, s[i]);
    }
    if (k < d->k) {
        vf v = v_load_part(x + k, d->k - k, 0.0f);
        for (int i = 0; i < rows; i++) s[i] = v_fma(v_load_part(w + i * d->w_row + k, d->k - k, 0.0f), v, s[i]);
    }
    for (int i = 0; i < rows; i++) {
        float *c = d->c + (row + i) * d->c_row + j;
        *c = d->add ? *c + v_sum(s[i]) : v_sum(s[i]);
    }
}

static void dots(const wa_conv_dots *d)
{
    for (int64_t j = 0; j < d->count; j++) {
        if (d->rows == V_ROWS) dots_of(d, 0, j, V_ROWS);
        else
            for (int64_t i = 0; i < d->rows; i++) dots_of(d, i, j, 1);
    }
}

/* --- depthwise ------------------------------------------------------------------------------------------------ */

/* Act and residual on n sums of an output row. */
V_INLINE void put(const wa_conv_plane *p, int64_t at, int64_t n, vf v)
{
    if (p->residual) v = v + v_load_some(p->residual + at, n);
    v_store_some(p->out + at, n, v_activate(p->act, v, p->act_a, p->act_b));
}

typedef struct taps { /* of a row that read inside the input, per z and y */
    const float *x, *w;
} taps;

/* One row of outputs straight from the plane: for rows too long for a band. */
static void long_row(const wa_conv_plane *p, int64_t z, int64_t y)
{
    const wa_window *w = p->window;
    taps rows[WA_CONV_LINES];
    int count = 0;
    for (int64_t kz = 0; kz < w->kernel[0]; kz++)
        for (int64_t ky = 0; ky < w->kernel[1]; ky++) {
            int64_t iz = z * w->stride[0] - w->begin[0] + kz * w->dilation[0], iy = y * w->stride[1] - w->begin[1] + ky * w->dilation[1];
            if (iz < 0 || iz >= w->in[0] || iy < 0 || iy >= w->in[1]) continue;
            rows[count++] = (taps){p->x + (iz * w->in[1] + iy) * w->in[2], p->w + (kz * w->kernel[1] + ky) * w->kernel[2]};
        }
    int64_t line = (z * w->out[1] + y) * w->out[2];
    for (int64_t ox = 0; ox < w->out[2]; ox += V_LANES) {
        int64_t n = w->out[2] - ox < V_LANES ? w->out[2] - ox : V_LANES;
        float sum[V_LANES] = {0};
        for (int64_t j = 0; j < n; j++) {
            sum[j] = p->bias;
            for (int r = 0; r < count; r++)
                for (int64_t k = 0; k < w->kernel[2]; k++) {
                    int64_t at = (ox + j) * w->stride[2] - w->begin[2] + k * w->dilation[2];
                    if (at >= 0 && at < w->in[2]) sum[j] += rows[r].x[at] * rows[r].w[k];
                }
        }
        put(p, line + ox, n, v_load(sum));
    }
}

/* A band: the input's rows under some output rows, with padding in place and, where columns have a stride,
 * one row for each residue, so that every tap reads side by side. */
typedef struct band {
    int64_t rows, span;        /* of output, of input (a plane) */
    int64_t residues, row, plane; /* floats: of a row of one residue, of a z */
    int64_t lead;              /* columns past the outputs that taps reach */
} band;

static bool band_of(const wa_window *w, band *b)
{
    int64_t wide = (w->kernel[2] - 1) * w->dilation[2], tall = (w->kernel[1] - 1) * w->dilation[1] + 1;
    b->residues = w->stride[2];
    b->lead = wide / w->stride[2];
    b->row = (w->out[2] + b->lead + 2 * V_LANES) / V_LANES * V_LANES; /* whole vectors past the last output */
    if (b->row > WA_CONV_ROOM || b->residues > 8 || tall > WA_CONV_ROOM) return false;
    int64_t lines = WA_CONV_ROOM / (b->row * b->residues) / w->kernel[0]; /* of input, a z */
    if (lines < tall) return false;
    b->rows = (lines - tall) / w->stride[1] + 1;
    if (b->rows > w->out[1]) b->rows = w->out[1];
    b->span = (b->rows - 1) * w->stride[1] + tall;
    b->plane = b->span * b->residues * b->row;
    return true;
}

/* One input row (NULL: all padding) into its residues. */
V_INLINE void fill_row(const wa_window *w, const band *b, const float *x, float *out)
{
    memset(out, 0, (size_t)(b->row * b->residues) * sizeof *out);
    if (!x) return;
    int64_t s = w->stride[2], need = (w->out[2] + b->lead) * s; /* padded columns [0, need) are read */
    for (int64_t r = 0; r < b->residues; r++, out += b->row) {
        int64_t i = w->begin[2] > r ? (w->begin[2] - r + s - 1) / s : 0, end = w->in[2] + w->begin[2]; /* padded column i*s + r */
        if (end > need) end = need;
        int64_t n = end - r > i * s ? (end - r - i * s + s - 1) / s : 0;
        const float *from = x + i * s + r - w->begin[2];
        if (s == 1) memcpy(out + i, from, (size_t)n * sizeof *out);
        else if (s == 2) for (int64_t k = 0; k < n; k++) out[i + k] = from[2 * k];
        else for (int64_t k = 0; k < n; k++) out[i + k] = from[k * s];
    }
}

/* `wide` vectors of one output row; tap t reads at from + at[t]. */
V_INLINE void band_sums(const wa_conv_plane *p, const float *from, const int32_t *at, int64_t count, int64_t out, int64_t n, const int wide)
{
    vf s[4];
    for (int i = 0; i < wide; i++) s[i] = v_set(p->bias);
    for (int64_t t = 0; t < count; t++) {
        vf w = v_set(p->w[t]);
        for (int i = 0; i < wide; i++) s[i] = v_fma(v_load(from + at[t] + i * V_LANES), w, s[i]);
    }
    for (int i = 0; i < wide; i++)
        if (n > i * V_LANES) put(p, out + i * V_LANES, n - i * V_LANES, s[i]);
}

static void band_row(const wa_conv_plane *p, const float *from, const int32_t *at, int64_t count, int64_t out)
{
    int64_t left = p->window->out[2];
    for (; left > 2 * V_LANES; left -= 4 * V_LANES, from += 4 * V_LANES, out += 4 * V_LANES) band_sums(p, from, at, count, out, left, left > 3 * V_LANES ? 4 : 3);
    if (left > V_LANES) band_sums(p, from, at, count, out, left, 2);
    else if (left > 0) band_sums(p, from, at, count, out, left, 1);
}

static void plane(const wa_conv_plane *p)
{
    enum { TAPS = 512 };
    const wa_window *w = p->window;
    band b;
    int32_t at[TAPS];
    int64_t count = wa__window_taps(w);
    bool banded = count <= TAPS && band_of(w, &b);
    for (int64_t t = 0; banded && t < count; t++) {
        int64_t kz = t / (w->kernel[2] * w->kernel[1]), dy = t / w->kernel[2] % w->kernel[1] * w->dilation[1], dx = t % w->kernel[2] * w->dilation[2];
        at[t] = (int32_t)(kz * b.plane + (dy * b.residues + dx % w->stride[2]) * b.row + dx / w->stride[2]);
    }
    for (int64_t z = 0; z < w->out[0]; z++)
        for (int64_t y = 0; y < w->out[1]; y += banded ? b.rows : 1) {
            if (!banded) {
                long_row(p, z, y);
                continue;
            }
            for (int64_t kz = 0; kz < w->kernel[0]; kz++)
                for (int64_t i = 0; i < b.span; i++) {
                    int64_t iz = z * w->stride[0] - w->begin[0] + kz * w->dilation[0], iy = y * w->stride[1] - w->begin[1] + i;
                    bool in = iz >= 0 && iz < w->in[0] && iy >= 0 && iy < w->in[1];
                    fill_row(w, &b, in ? p->x + (iz * w->in[1] + iy) * w->in[2] : NULL, p->room + kz * b.plane + i * b.residues * b.row);
                }
            for (int64_t i = 0; i < b.rows && y + i < w->out[1]; i++)
                band_row(p, p->room + i * w->stride[1] * b.residues * b.row, at, count, (z * w->out[1] + y + i) * w->out[2]);
        }
}

/* --- transposed ----------------------------------------------------------------------------------------------- */

static void interleave(const float *a, const float *b, int64_t n, float bias, float *out)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        vq x, y;
        memcpy(&x, a + i, sizeof x);
        memcpy(&y, b + i, sizeof y);
        vq low = __builtin_shufflevector(x, y, 0, 8, 1, 9, 2, 10, 3, 11) + bias, high = __builtin_shufflevector(x, y, 4, 12, 5, 13, 6, 14, 7, 15) + bias;
        memcpy(out + 2 * i, &low, sizeof low);
        memcpy(out + 2 * i + 8, &high, sizeof high);
    }
    for (; i < n; i++) {
        out[2 * i] = a[i] + bias;
        out[2 * i + 1] = b[i] + bias;
    }
}

const wa_conv_isa WA_ISA(wa__conv) = {columns, dots, plane, interleave};
