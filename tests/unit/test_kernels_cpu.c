/* Fast CPU kernels against the references: odd shapes, every epilogue, 1 to 3 threads, unaligned
 * weights, both weight orders and stored types, infinities, empty dims. Run once in every form that this
 * processor has (AVX-512, AVX2, plain). */
#include "base/window.h"
#include "kernels/gemm.h"
#include "tests.h"
#include <math.h>

static wa_pool *pools[4];
static wa_arena arena;
static uint32_t seed = 1;

static float noise(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / 8388608.0f - 1.0f;
}
/* Random numbers at an address one element off alignment. */
static wa_view tensor(wa_dtype t, uint32_t rank, const int64_t *dims)
{
    wa_view v = {{t, rank, {0}}, NULL};
    memcpy(v.type.dims, dims, rank * sizeof *dims);
    v.data = (uint8_t *)wa__arena_alloc(&arena, (size_t)wa__bytes(&v.type) + 16, 1) + wa__dtype_size(t);
    for (int64_t i = 0; i < wa__count(&v.type); i++) wa__set_f64(&v, i, (double)noise());
    return v;
}
#define TENSOR(t, ...) tensor(t, sizeof((int64_t[]){__VA_ARGS__}) / 8, (int64_t[]){__VA_ARGS__})

static void compare(wa_kernel_args *a, double tolerance, const char *what)
{
    wa_view *out = a->out, want = out[0], first = out[0], have = out[0];
    wa_error err = {0};
    size_t bytes = (size_t)wa__bytes(&want.type);
    want.data = wa__arena_alloc(&arena, bytes + 1, 1);
    a->out = &want;
    assert_ok(wa__kernel_ref(a->op)(a, &err), err);
    a->out = &have;
    wa_kernel_fn fast = wa__kernel_cpu(a->op, a);
    if (fast == wa__kernel_ref(a->op)) fail_msg("%s has no fast form", what);
    for (uint32_t threads = 0; threads < 4; threads++) {
        have.data = wa__arena_alloc(&arena, bytes + 1, 1);
        a->pool = pools[threads];
        assert_ok(fast(a, &err), err);
        for (int64_t i = 0; i < wa__count(&want.type); i++) {
            double x = wa__get_f64(&want, i), y = wa__get_f64(&have, i);
            if (isnan(x) ? !isnan(y) : x != y && !(fabs(x - y) <= tolerance * (1 + fabs(x))))
                fail_msg("%s, %u threads: element %lld is %.9g, expected %.9g", what, threads, (long long)i, y, x);
        }
        if (threads == 0) first = have;
        else if (bytes && memcmp(first.data, have.data, bytes)) fail_msg("%s: %u threads give other bits than one", what, threads);
    }
    a->out = out;
}

static void product(int64_t m, int64_t k, int64_t n, bool trans_b, wa_dtype stored, int64_t act, bool extras, bool packed)
{
    wa_view in[4] = {TENSOR(WA_F32, m, k), trans_b ? TENSOR(stored, n, k) : TENSOR(stored, k, n), TENSOR(WA_F32, n), TENSOR(WA_F32, m, n)}, out = {{WA_F32, 2, {m, n}}, in[3].data};
    if (!extras) in[2] = in[3] = (wa_view){{WA_DTYPE_NONE, 0, {0}}, NULL};
    wa_attr attrs[] = {{.name = WA_STR("act"), .kind = WA_ATTR_KIND_INT, .i = act}, {.name = WA_STR("transB"), .kind = WA_ATTR_KIND_INT, .i = trans_b},
                       {.name = WA_STR("alpha"), .kind = WA_ATTR_KIND_FLOAT, .f = 0.75f}};
    const void *prepared[4] = {NULL};
    wa_kernel_args a = {.op = WA_OP_FusedMatMul, .attrs = attrs, .attr_count = 3, .in = in, .in_count = 4, .out = &out, .out_count = 1, .prepared = prepared};
    size_t bytes = wa__kernel_prepare_bytes(&a, 1);
    if (packed && bytes) {
        void *panels = wa__arena_alloc(&arena, bytes, 1);
        wa__kernel_prepare(&a, 1, panels);
        prepared[1] = panels;
    }
    char what[128];
    snprintf(what, sizeof what, "product %lldx%lldx%lld transB %d type %d act %lld%s%s", (long long)m, (long long)k, (long long)n, trans_b, stored, (long long)act, extras ? " bias residual" : "", packed ? " packed" : "");
    compare(&a, 2e-6 * sqrt((double)k + 1), what);
}

static const int64_t odd[] = {1, 2, 3, 5, 7, 15, 16, 17, 31, 33, 63, 65, 129};
enum { ODD = sizeof odd / sizeof *odd };

static void products(void **state)
{
    (void)state;
    static const wa_dtype stored[] = {WA_F32, WA_F16, WA_BF16};
    uint32_t c = 0;
    for (int i = 0; i < ODD; i++)
        for (int j = 0; j < ODD; j++, c++) { /* every pair of sizes; the rest takes turns */
            wa__arena_done(&arena);
            product(odd[i], odd[(i * 5 + j * 3 + 1) % ODD], odd[j], c & 1, stored[c % 3], c % WA_ACT_COUNT, c / 2 & 1, c / 3 & 1);
        }
    product(7, 3300, 40, false, WA_F32, 1, true, true); /* several blocks of k */
    product(7, 3300, 40, true, WA_F32, 2, true, false);
    product(200, 385, 48, true, WA_F32, 0, true, true); /* several blocks of rows */
    product(0, 5, 7, false, WA_F32, 0, true, true);
    product(3, 0, 9, false, WA_F32, 0, true, false);
}

/* A row's codes as gemm8.h has them, less the code of 0. */
static float row_codes(const float *x, int64_t n, int *out)
{
    float most = 0, least = 0;
    for (int64_t i = 0; i < n; i++) most = fmaxf(most, x[i]), least = fminf(least, x[i]);
    float inverse = 255.0f / (most - least);
    int zero = most > least ? (int)rintf(-least * inverse) : 0;
    for (int64_t i = 0; i < n; i++) {
        int code = most > least ? zero + (int)rintf(x[i] * inverse) : 0;
        out[i] = (code < 0 ? 0 : code > 255 ? 255 : code) - zero;
    }
    return (most - least) / 255.0f;
}

/* A column's codes. */
static float codes_of(const float *x, int64_t n, int64_t step, int *out)
{
    float most = 0;
    for (int64_t i = 0; i < n; i++) most = fmaxf(most, fabsf(x[i * step]));
    for (int64_t i = 0; i < n; i++) out[i] = most > 0 ? (int)rintf(x[i * step] * (127.0f / most)) : 0;
    return most / 127.0f;
}

/* Weights of 8 bits: exact sums of codes, then the same as the reference; near the product of f32. */
static void product8(int64_t m, int64_t k, int64_t n, bool trans_b, int64_t act, bool extras)
{
    wa__arena_done(&arena);
    wa_view in[4] = {TENSOR(WA_F32, m, k), trans_b ? TENSOR(WA_F32, n, k) : TENSOR(WA_F32, k, n), TENSOR(WA_F32, n), TENSOR(WA_F32, m, n)}, out = {{WA_F32, 2, {m, n}}, NULL};
    if (!extras) in[2] = in[3] = (wa_view){{WA_DTYPE_NONE, 0, {0}}, NULL};
    float *x = in[0].data, *w = wa__arena_alloc(&arena, (size_t)(k * n) + 1, sizeof *w), *y = wa__arena_alloc(&arena, (size_t)(m * n) + 1, sizeof *y);
    memcpy(w, in[1].data, (size_t)(k * n) * sizeof *w); /* aligned */
    for (int64_t i = 0; i < k && m > 2; i++) x[k + i] = 0; /* a row without a scale */
    wa_attr attrs[] = {{.name = WA_STR("act"), .kind = WA_ATTR_KIND_INT, .i = act}, {.name = WA_STR("transB"), .kind = WA_ATTR_KIND_INT, .i = trans_b},
                       {.name = WA_STR("weight_bits"), .kind = WA_ATTR_KIND_INT, .i = 8}};
    const void *prepared[4] = {NULL};
    wa_kernel_args a = {.op = WA_OP_FusedMatMul, .attrs = attrs, .attr_count = 3, .in = in, .in_count = 4, .out = &out, .out_count = 1, .prepared = prepared};
    size_t bytes = wa__kernel_prepare_bytes(&a, 1), room = wa__kernel_scratch(&a);
    assert_true(bytes > 0 && room > 0 && wa__kernel_prepare_bits(&a, 1) == 8);
    uint8_t *panels = wa__arena_alloc(&arena, bytes, 1);
    wa__kernel_prepare(&a, 1, panels);
    prepared[1] = panels;
    a.scratch = wa__arena_alloc(&arena, room + 64, 1);
    a.scratch = (uint8_t *)a.scratch + (0 - (uintptr_t)a.scratch) % 64;
    int *codes = wa__arena_alloc(&arena, (size_t)(m * k + k) + 1, sizeof *codes);
    float *scales = wa__arena_alloc(&arena, (size_t)m + 1, sizeof *scales);
    for (int64_t i = 0; i < m; i++) scales[i] = row_codes(x + i * k, k, codes + i * k);
    wa_view first = out;
    for (uint32_t threads = 0; threads < 4; threads++) {
        wa_error err = {0};
        out.data = wa__arena_alloc(&arena, (size_t)(m * n) + 1, sizeof(float));
        a.pool = pools[threads];
        assert_ok(wa__kernel_cpu(a.op, &a)(&a, &err), err);
        if (threads == 0) first = out;
        else assert_memory_equal(first.data, out.data, (size_t)(m * n) * sizeof(float));
    }
    for (int64_t j = 0; j < n; j++) {
        float scale = codes_of(w + (trans_b ? j * k : j), k, trans_b ? 1 : n, codes + m * k);
        for (int64_t i = 0; i < m; i++) {
            int64_t sum = 0;
            for (int64_t c = 0; c < k; c++) sum += (int64_t)codes[i * k + c] * codes[m * k + c];
            y[i * n + j] = (float)sum * (scale * scales[i]);
            if (extras) y[i * n + j] += ((float *)in[2].data)[j];
            if (act == WA_ACT_RELU && y[i * n + j] < 0) y[i * n + j] = 0;
            if (extras) y[i * n + j] += ((float *)in[3].data)[i * n + j];
            float have = ((float *)first.data)[i * n + j];
            if (!(fabsf(have - y[i * n + j]) <= 2e-6f * (1 + fabsf(have)))) fail_msg("product of codes %lldx%lldx%lld: [%lld,%lld] is %.9g, expected %.9g", (long long)m, (long long)k, (long long)n, (long long)i, (long long)j, (double)have, (double)y[i * n + j]);
        }
    }
}

static void whole_products(void **state)
{
    (void)state;
    for (int i = 0; i < ODD * ODD; i++) {
        int64_t m = odd[i % ODD], n = odd[i / ODD], k = odd[(i * 5 + 3) % ODD], batch = 1 + i % 2;
        wa__arena_done(&arena);
        wa_view in[2] = {TENSOR(WA_I32, batch, m, k), TENSOR(WA_I32, i % 3 ? batch : 1, k, n)}, out = TENSOR(WA_I32, batch, m, n);
        for (int v = 0; v < 2; v++)
            for (int64_t e = 0; e < wa__count(&in[v].type); e++) wa__set_i64(&in[v], e, (int64_t)(noise() * (i % 5 ? 255.0f : 2e9f))); /* large ones wrap */
        wa_kernel_args a = {.op = WA_OP_MatMul, .in = in, .in_count = 2, .out = &out, .out_count = 1};
        compare(&a, 0, "MatMul of integers");
    }
}

static void products_of_codes(void **state)
{
    (void)state;
    for (int i = 0; i < ODD; i++)
        for (int j = 5; j < ODD; j++) product8(odd[i], odd[(i * 5 + j * 3 + 1) % ODD], odd[j], (i + j) & 1, i % 2 ? WA_ACT_RELU : WA_ACT_NONE, (i + j) % 3 == 0);
    product8(200, 1000, 48, true, WA_ACT_NONE, true);
    product8(8, 4096, 100, false, WA_ACT_RELU, true);
}

static void other_products(void **state)
{
    (void)state;
    wa_view in[3] = {TENSOR(WA_F32, 2, 3, 5, 7), TENSOR(WA_F32, 3, 7, 19)}, out = TENSOR(WA_F32, 2, 3, 5, 19);
    wa_kernel_args a = {.op = WA_OP_MatMul, .in = in, .in_count = 2, .out = &out, .out_count = 1};
    compare(&a, 1e-5, "batched MatMul");
    wa_attr attrs[] = {{.name = WA_STR("transA"), .kind = WA_ATTR_KIND_INT, .i = 1}, {.name = WA_STR("beta"), .kind = WA_ATTR_KIND_FLOAT, .f = 0.5f}};
    wa_view g[3] = {TENSOR(WA_F32, 1601, 13), TENSOR(WA_F32, 1601, 21), TENSOR(WA_F32, 13, 1)}, y = TENSOR(WA_F32, 13, 21);
    wa_kernel_args b = {.op = WA_OP_Gemm, .attrs = attrs, .attr_count = 2, .in = g, .in_count = 3, .out = &y, .out_count = 1};
    compare(&b, 1e-4, "Gemm with transA and a column of C");
}

/* This form's tile beside the plain one, whose rows it takes. */
static void plain_tile(void **state)
{
    (void)state;
    for (int columns = 1; columns <= 16 * wa__gemm()->panels; columns++)
        for (int act = 0; act < WA_CONV_ACT_COUNT; act++) {
            float b[2 * 33 * 16], c[2][2 * 32] = {{0}}, a[2 * 33];
            for (int i = 0; i < 2 * 33 * 16; i++) b[i] = noise();
            for (int i = 0; i < 66; i++) a[i] = noise();
            wa_gemm_tile t = {.a = a, .a_row = 33, .a_k = 1, .b = b, .b_row = 16, .b_panel = 33 * 16, .k = 33, .c_row = 32, .rows = 2, .columns = columns, .last = true, .alpha = 1};
            t.act = (uint32_t)act, t.act_a = -0.4f, t.act_b = 0.6f;
            t.c = c[1];
            wa__gemm()->tile(&t);
            for (int j = 0; j < columns; j += 16) { /* the plain one takes a panel at a time */
                t.c = c[0] + j, t.b = b + j * 33, t.columns = columns - j < 16 ? columns - j : 16;
                wa__gemm_cpu.tile(&t);
            }
            for (int i = 0; i < 64; i++)
                if (!(fabsf(c[0][i] - c[1][i]) < 1e-4f)) fail_msg("act %d, %d columns: element %d is %g and %g", act, columns, i, (double)c[0][i], (double)c[1][i]);
        }
}

static void attend(int64_t b, int64_t s, int64_t t, int64_t h, int64_t d, int64_t dv, int bias)
{
    wa__arena_done(&arena);
    wa_view in[4] = {TENSOR(WA_F32, b, s, h * d), TENSOR(WA_F32, b, t, h * d), TENSOR(WA_F32, b, t, h * dv), {{WA_DTYPE_NONE, 0, {0}}, NULL}}, out = TENSOR(WA_F32, b, s, h * dv);
    if (bias == 1) in[3] = TENSOR(WA_F32, b, 1, 1, t);
    if (bias == 2) in[3] = TENSOR(WA_F32, 1, h, s, t);
    if (bias == 1 || bias == 3) { /* keys masked away, whole tiles of them */
        if (bias == 3) in[3] = TENSOR(WA_F32, 1, 1, 1, t);
        for (int64_t i = 0; i < wa__count(&in[3].type) - 1; i++)
            if (bias == 3 || i % 3) wa__set_f64(&in[3], i, -INFINITY);
    }
    wa_attr attrs[] = {{.name = WA_STR("num_heads"), .kind = WA_ATTR_KIND_INT, .i = h}, {.name = WA_STR("scale"), .kind = WA_ATTR_KIND_FLOAT, .f = 0.7f}};
    wa_kernel_args a = {.op = WA_OP_Attention, .attrs = attrs, .attr_count = 2, .in = in, .in_count = 4, .out = &out, .out_count = 1};
    char what[128];
    snprintf(what, sizeof what, "attention b %lld s %lld t %lld heads %lld of %lld, %lld, bias %d", (long long)b, (long long)s, (long long)t, (long long)h, (long long)d, (long long)dv, bias);
    compare(&a, 1e-5, what);
}

static void attention(void **state)
{
    (void)state;
    for (int i = 0; i < ODD; i++) attend(1 + i % 2, odd[i], odd[(i * 5 + 3) % ODD], 1 + i % 3, odd[(i * 7 + 2) % 11], odd[(i * 3 + 1) % 11], i % 4);
    attend(1, 50, 300, 2, 32, 32, 3);
    attend(2, 3, 129, 2, 128, 17, 2);
    wa__arena_done(&arena);
    wa_view in[2] = {TENSOR(WA_F32, 2, 37, 3 * 2 * 8), TENSOR(WA_F32, 2, 1, 1, 37)}, out = TENSOR(WA_F32, 2, 37, 16);
    wa_attr attrs[] = {{.name = WA_STR("num_heads"), .kind = WA_ATTR_KIND_INT, .i = 2}, {.name = WA_STR("scale"), .kind = WA_ATTR_KIND_FLOAT, .f = 0.3f}};
    wa_kernel_args a = {.op = WA_OP_QkvAttention, .attrs = attrs, .attr_count = 2, .in = in, .in_count = 2, .out = &out, .out_count = 1};
    compare(&a, 1e-5, "QkvAttention");
}

static void rows(void **state)
{
    (void)state;
    wa_attr axis = {.name = WA_STR("axis"), .kind = WA_ATTR_KIND_INT, .i = -1};
    const int64_t last = -1;
    wa_attr axes = {.name = WA_STR("axes"), .kind = WA_ATTR_KIND_INTS, .count = 1, .ints = &last};
    for (int i = 0; i < ODD; i++) {
        int64_t n = odd[i], r = odd[(i * 5 + 2) % ODD];
        wa__arena_done(&arena);
        wa_view in[4] = {TENSOR(WA_F32, r, n), TENSOR(WA_F32, r, n), TENSOR(WA_F32, n), TENSOR(WA_F32, n)}, out = TENSOR(WA_F32, r, n);
        wa_kernel_args a = {.op = WA_OP_SkipLayerNorm, .in = in, .in_count = 4, .out = &out, .out_count = 1, .opset = 17};
        if (n > 1) compare(&a, 2e-4, "SkipLayerNorm"); /* a row of two equal numbers has no variance to divide by */
        wa_view layer[3] = {in[0], in[2], in[3]};
        a.op = WA_OP_LayerNormalization, a.in = layer, a.in_count = 3;
        if (n > 1) compare(&a, 2e-4, "LayerNormalization");
        a.in_count = 1, a.op = WA_OP_L2Normalize;
        compare(&a, 1e-5, "L2Normalize");
        a.op = WA_OP_Softmax, a.attrs = &axis, a.attr_count = 1;
        compare(&a, 1e-6, "Softmax");
        a.op = WA_OP_LogSoftmax;
        compare(&a, 1e-5, "LogSoftmax");
        wa_view one = TENSOR(WA_F32, r, 1);
        a.out = &one, a.attrs = &axes, a.opset = 13;
        for (int op = WA_OP_ReduceSum; op <= WA_OP_ReduceSumSquare; op++) {
            if (op == WA_OP_ReduceMax || op == WA_OP_ReduceMin || op == WA_OP_ReduceProd) continue;
            a.op = (wa_op)op;
            compare(&a, 1e-5, "a reduction");
        }
    }
}

static void pooling(void **state)
{
    (void)state;
    wa_view in[8] = {TENSOR(WA_I64, 3, 5), TENSOR(WA_I64, 3, 5), TENSOR(WA_F32, 11, 19), TENSOR(WA_F32, 6, 19), TENSOR(WA_F32, 2, 19), TENSOR(WA_F32, 19), TENSOR(WA_F32, 19)}, out = TENSOR(WA_F32, 3, 5, 19);
    for (int i = 0; i < 15; i++) wa__set_i64(&in[0], i, i * 7 % 11), wa__set_i64(&in[1], i, i % 2);
    wa_kernel_args a = {.op = WA_OP_EmbedLayerNorm, .in = in, .in_count = 7, .out = &out, .out_count = 1};
    compare(&a, 2e-5, "EmbedLayerNorm");
    wa__set_i64(&in[0], 8, 11);
    wa_error err = {0};
    assert_int_equal(wa__kernel_cpu(a.op, &a)(&a, &err), WA_INVALID_ARGUMENT);
    assert_string_equal(err.message, "EmbedLayerNorm: token id 11 is out of range: the table has 11 rows");
    wa_view pool[2] = {out, in[1]}, mean = TENSOR(WA_F32, 3, 19);
    wa_kernel_args b = {.op = WA_OP_MeanPool, .in = pool, .in_count = 2, .out = &mean, .out_count = 1};
    compare(&b, 1e-5, "MeanPool");
}

static void elementwise(void **state)
{
    (void)state;
    static const wa_op unary[] = {WA_OP_Abs, WA_OP_Neg, WA_OP_Exp, WA_OP_Reciprocal, WA_OP_Erf, WA_OP_Tanh, WA_OP_Sigmoid, WA_OP_Relu, WA_OP_Gelu, WA_OP_LeakyRelu};
    wa__arena_done(&arena);
    wa_view in[3] = {TENSOR(WA_F32, 3, 129, 7), TENSOR(WA_F32, 129, 1), TENSOR(WA_F32, 7)}, out = TENSOR(WA_F32, 3, 129, 7);
    for (int64_t i = 0; i < wa__count(&in[0].type); i++) wa__set_f64(&in[0], i, wa__get_f64(&in[0], i) * (i % 5 == 0 ? 90 : 4));
    wa__set_f64(&in[0], 0, INFINITY), wa__set_f64(&in[0], 1, -INFINITY), wa__set_f64(&in[0], 2, NAN);
    wa_kernel_args a = {.in = in, .in_count = 1, .out = &out, .out_count = 1};
    for (size_t i = 0; i < sizeof unary / sizeof *unary; i++) {
        a.op = unary[i];
        if (a.op == WA_OP_Gelu) wa__set_f64(&in[0], 1, -50.0); /* -infinity * 0 is NaN in the formula */
        compare(&a, 1e-6, wa__op_info(a.op)->name);
    }
    a.op = WA_OP_Add, a.in_count = 2;
    compare(&a, 1e-6, "broadcast Add");
    int64_t code[] = {WA_OP_Mul, 0, 1, WA_EW_ABSENT, WA_OP_Add, 3, -1, WA_EW_ABSENT, WA_OP_Clip, 4, 2, -2, WA_OP_Sub, 5, 3, WA_EW_ABSENT}, types[] = {WA_F32, WA_F32, WA_F32, WA_F32};
    float imm[] = {0.5f, 2.0f};
    wa_attr attrs[] = {{.name = WA_STR("code"), .kind = WA_ATTR_KIND_INTS, .count = 16, .ints = code}, {.name = WA_STR("imm"), .kind = WA_ATTR_KIND_FLOATS, .count = 2, .floats = imm},
                       {.name = WA_STR("dtypes"), .kind = WA_ATTR_KIND_INTS, .count = 4, .ints = types}};
    a.op = WA_OP_Elementwise, a.in_count = 3, a.attrs = attrs, a.attr_count = 3;
    compare(&a, 1e-6, "a chain");
    wa_error err = {0};
    code[14] = 9; /* a step that does not exist */
    assert_int_equal(wa__kernel_cpu(a.op, &a)(&a, &err), WA_INVALID_ARGUMENT);
}

int main(void)
{
    wa_error err;
    for (uint32_t i = 1; i < 4; i++)
        if (wa__pool_create(i, &pools[i], &err) != WA_OK) return 1;
    wa__arena_init(&arena, 1 << 28);
    const struct CMUnitTest tests[] = {cmocka_unit_test(products), cmocka_unit_test(whole_products), cmocka_unit_test(products_of_codes), cmocka_unit_test(other_products), cmocka_unit_test(plain_tile), cmocka_unit_test(attention),
                                       cmocka_unit_test(rows), cmocka_unit_test(pooling), cmocka_unit_test(elementwise)};
    int r = 0;
    for (wa_isa isa = wa__isa();; isa--) {
        wa__isa_limit(isa);
        r |= cmocka_run_group_tests(tests, NULL, NULL);
        if (isa == WA_ISA_ANY) break;
    }
    wa__arena_done(&arena);
    for (uint32_t i = 1; i < 4; i++) wa__pool_free(pools[i]);
    return r;
}
