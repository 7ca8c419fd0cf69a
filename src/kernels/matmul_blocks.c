/* MatMulBlocks: products with weights in blocks of 8 or 4 bit codes (base/quant_block.h). Activations become 8 bits,
 * a scale a block of 32 of each row; blocks are multiplied in integers and scaled once. In: A [..,M,K], the words,
 * bias, residual. Called by plans whose precision is 8 or 4 bits (plan_cpu.c); the plain form, for every machine. */
#include "base/quant_block.h"
#include "kernels/matmul.h"
#include <math.h>

enum { ROWS = 8, COLUMNS = 64, BLOCK = (int)WA_QUANT_BLOCK };

typedef struct job {
    const wa_kernel_args *a;
    int64_t m, n, k;
    unsigned bits;
    uint32_t ld;
    wa_act act;
    float alpha;
    int8_t *codes; /* of A, [M,K] */
    float *scales; /* [M,K/32] */
} job;

static void narrow_row(void *user, uint32_t row, uint32_t thread)
{
    const job *g = user;
    (void)thread;
    const float *x = (const float *)g->a->in[0].data + (int64_t)row * g->k;
    for (int64_t b = 0; b < g->k / BLOCK; b++, x += BLOCK) {
        float most = 0;
        for (int i = 0; i < BLOCK; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
        float inverse = most == 0 ? 0 : 127.0f / most;
        int8_t *codes = g->codes + (int64_t)row * g->k + b * BLOCK;
        for (int i = 0; i < BLOCK; i++) {
            float y = rintf(x[i] * inverse);
            codes[i] = (int8_t)(y >= 127 ? 127 : y >= -127 ? y : -127);
        }
        g->scales[(int64_t)row * (g->k / BLOCK) + b] = most / 127.0f;
    }
}

/* One block of `count` columns: its 8 words of 4 codes, and scales. */
static void open_block(const job *g, int64_t block, int64_t column, int count, uint32_t words[8][COLUMNS], float scale[COLUMNS])
{
    const uint32_t *at = (const uint32_t *)g->a->in[1].data + (uint64_t)block * wa__quant_stride(g->bits, g->ld);
    for (unsigned w = 0; w < g->bits; w++) {
        const uint32_t *from = at + (uint64_t)w * g->ld + column;
        for (int j = 0; j < count; j++) {
            if (g->bits == 8) {
                words[w][j] = from[j];
            } else { /* nibbles less 8, as bytes: no carry between them */
                words[2 * w][j] = ((from[j] & 0x0f0f0f0fu) + 0x78787878u) ^ 0x80808080u;
                words[2 * w + 1][j] = ((from[j] >> 4 & 0x0f0f0f0fu) + 0x78787878u) ^ 0x80808080u;
            }
        }
    }
    const uint32_t *pairs = at + (uint64_t)g->bits * g->ld + column / 2; /* column is even */
    for (int j = 0; j < count; j++) scale[j] = wa__f16_to_f32((uint16_t)(pairs[j / 2] >> (j % 2 ? 16 : 0)));
}

static void add_block(uint32_t words[8][COLUMNS], const float scale[COLUMNS], const int8_t *x, float x_scale, int count, float *sum)
{
    int32_t dots[COLUMNS] = {0};
    for (int w = 0; w < 8; w++) {
        const int32_t a = x[4 * w], b = x[4 * w + 1], c = x[4 * w + 2], d = x[4 * w + 3];
        for (int j = 0; j < count; j++) {
            uint32_t v = words[w][j];
            dots[j] += a * (int8_t)v + b * (int8_t)(v >> 8) + c * (int8_t)(v >> 16) + d * (int8_t)(v >> 24);
        }
    }
    for (int j = 0; j < count; j++) sum[j] += (float)dots[j] * (x_scale * scale[j]);
}

static float activate(wa_act act, float v)
{
    switch (act) {
    case WA_ACT_GELU: return 0.5f * v * (1.0f + erff(v * 0.70710678f));
    case WA_ACT_GELU_TANH: return 0.5f * v * (1.0f + tanhf(0.79788456f * (v + 0.044715f * v * v * v)));
    case WA_ACT_RELU: return v < 0 ? 0 : v;
    case WA_ACT_TANH: return tanhf(v);
    case WA_ACT_SIGMOID: return 1.0f / (1.0f + expf(-v));
    case WA_ACT_SILU: return v / (1.0f + expf(-v));
    default: return v;
    }
}

static void store(const job *g, int64_t row, int64_t column, int count, const float *sum)
{
    const float *bias = wa__kernel_has(g->a, 2) ? g->a->in[2].data : NULL, *residual = wa__kernel_has(g->a, 3) ? g->a->in[3].data : NULL;
    float *out = (float *)g->a->out[0].data + row * g->n + column;
    for (int j = 0; j < count; j++) {
        float v = activate(g->act, sum[j] * g->alpha + (bias ? bias[column + j] : 0));
        out[j] = residual ? v + residual[row * g->n + column + j] : v;
    }
}

static void tile(void *user, uint32_t index, uint32_t thread)
{
    const job *g = user;
    (void)thread;
    int64_t across = (g->n + COLUMNS - 1) / COLUMNS, row = index / across * ROWS, column = index % across * COLUMNS, blocks = g->k / BLOCK;
    int rows = (int)(g->m - row < ROWS ? g->m - row : ROWS), count = (int)(g->n - column < COLUMNS ? g->n - column : COLUMNS);
    uint32_t words[8][COLUMNS];
    float scale[COLUMNS], sum[ROWS][COLUMNS] = {{0}};
    for (int64_t b = 0; b < blocks; b++) {
        open_block(g, b, column, count, words, scale);
        for (int i = 0; i < rows; i++)
            add_block(words, scale, g->codes + (row + i) * g->k + b * BLOCK, g->scales[(row + i) * blocks + b], count, sum[i]);
    }
    for (int i = 0; i < rows; i++) store(g, row + i, column, count, sum[i]);
}

/* Checks every size: a plan of somebody else may name this operator. */
static wa_status describe(const wa_kernel_args *a, job *g, wa_error *err)
{
    const wa_tensor_type *x = &a->in[0].type, *o = &a->out[0].type;
    int64_t bits = wa__kernel_int(a, "bits", 0), act = wa__kernel_int(a, "act", 0);
    if (x->dtype != WA_F32 || o->dtype != WA_F32 || a->in[1].type.dtype != WA_U32 || x->rank < 1 || o->rank < 1)
        return wa__kernel_fail(a, err, WA_UNSUPPORTED, "it takes f32 and words");
    *g = (job){.a = a, .k = x->dims[x->rank - 1], .n = o->dims[o->rank - 1], .act = (wa_act)act, .alpha = wa__kernel_float(a, "alpha", 1), .bits = (unsigned)bits};
    if ((bits != 8 && bits != 4) || act < 0 || act >= WA_ACT_COUNT || g->k <= 0 || g->k % BLOCK || g->n <= 0 || g->n > 1 << 24)
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "%lld bits, K %lld, N %lld", (long long)bits, (long long)g->k, (long long)g->n);
    g->m = wa__count(x) / g->k;
    g->ld = wa__quant_ld((uint64_t)g->n);
    if (g->m > INT32_MAX || (uint64_t)wa__count(&a->in[1].type) != wa__quant_words(g->bits, (uint64_t)g->k, g->ld) || wa__count(o) != g->m * g->n)
        return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "its words or its result do not fit K %lld, N %lld", (long long)g->k, (long long)g->n);
    for (uint32_t i = 2; i < 4; i++)
        if (wa__kernel_has(a, i) && (a->in[i].type.dtype != WA_F32 || wa__count(&a->in[i].type) != (i == 2 ? g->n : wa__count(o))))
            return wa__kernel_fail(a, err, WA_INVALID_ARGUMENT, "input %u does not fit", i);
    return WA_OK;
}

static wa_status blocks(const wa_kernel_args *a, wa_error *err)
{
    job g;
    WA_TRY(describe(a, &g, err));
    int64_t tiles = (g.m + ROWS - 1) / ROWS * ((g.n + COLUMNS - 1) / COLUMNS);
    if (tiles > UINT32_MAX) return wa__kernel_fail(a, err, WA_LIMIT, "too many rows");
    g.codes = wa__alloc((size_t)(g.m * g.k), 1);
    g.scales = wa__alloc((size_t)(g.m * (g.k / BLOCK)), sizeof *g.scales);
    wa_status s = g.codes && g.scales ? WA_OK : wa__no_memory(err, "activations of 8 bits");
    if (s == WA_OK) wa__pool_run(a->pool, (uint32_t)g.m, narrow_row, &g);
    if (s == WA_OK) wa__pool_run(a->pool, (uint32_t)tiles, tile, &g);
    wa__free(g.codes);
    wa__free(g.scales);
    return s;
}

const wa_kernel_entry wa__ref_matmul_blocks[] = {{WA_OP_MatMulBlocks, blocks}, {WA_OP_NONE, NULL}};
