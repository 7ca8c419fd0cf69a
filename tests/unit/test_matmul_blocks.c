/* MatMulBlocks on the CPU, at odd shapes: weights and activations whose blocks have exact scales, so that sums'
 * rounding alone is left; sizes that do not fit are refused. Precision on the CPU as plans have it. */
#include "tests.h"
#include "base/quant_block.h"
#include "plan/plan.h"
#include <math.h>
#include <stdlib.h>

static uint32_t seed;
static float next_code(float least, float most)
{
    seed = seed * 1664525u + 1013904223u;
    float f = (float)(seed >> 8) / 16777216.0f;
    if (seed & 0x800000u) return least; /* half of them: no block is without its largest */
    return floorf(least + f * (most - least + 1));
}

static wa_view view(wa_dtype d, uint32_t rank, int64_t a, int64_t b, void *data) { return (wa_view){{d, rank, {a, b}}, data}; }

static double wanted(const float *x, const float *w, const float *bias, const float *residual, int64_t i, int64_t j, int64_t k, int64_t n, bool relu)
{
    double s = 0;
    for (int64_t t = 0; t < k; t++) s += (double)x[i * k + t] * w[t * n + j];
    s = s * 0.5 + (bias ? bias[j] : 0);
    if (relu && s < 0) s = 0;
    return s + (residual ? residual[i * n + j] : 0);
}

static void compare(int64_t m, int64_t n, int64_t k, unsigned bits, bool extras)
{
    uint32_t ld = wa__quant_ld((uint64_t)n);
    uint64_t words = wa__quant_words(bits, (uint64_t)k, ld);
    float *x = calloc((size_t)(m * k), 4), *w = calloc((size_t)(k * n), 4), *bias = calloc((size_t)n, 4), *residual = calloc((size_t)(m * n), 4), *y = calloc((size_t)(m * n), 4);
    uint32_t *codes = calloc((size_t)words, 4);
    for (int64_t i = 0; i < m * k; i++) x[i] = next_code(-127, 127) / 64;
    for (int64_t i = 0; i < k * n; i++) w[i] = (bits == 8 ? next_code(-127, 127) : next_code(-8, 7)) / 16;
    for (int64_t i = 0; i < n; i++) bias[i] = (float)i - 3;
    for (int64_t i = 0; i < m * n; i++) residual[i] = (float)(i % 7);
    for (int64_t b = 0; b < k / 32; b++)
        for (int64_t j = 0; j < n; j++) {
            float column[WA_QUANT_BLOCK];
            int8_t c[WA_QUANT_BLOCK];
            uint16_t scale;
            for (int64_t t = 0; t < 32; t++) column[t] = w[(b * 32 + t) * n + j];
            wa__quant_block(column, bits, &scale, c);
            wa__quant_place(codes, bits, ld, (uint64_t)b, (uint64_t)j, scale, c);
        }
    wa_view in[4] = {view(WA_F32, 2, m, k, x), view(WA_U32, 1, (int64_t)words, 0, codes)}, out = view(WA_F32, 2, m, n, y);
    if (extras) in[2] = view(WA_F32, 1, n, 0, bias), in[3] = view(WA_F32, 2, m, n, residual);
    wa_attr attrs[] = {{.name = WA_STR("bits"), .kind = WA_ATTR_KIND_INT, .i = bits}, {.name = WA_STR("act"), .kind = WA_ATTR_KIND_INT, .i = extras ? 3 : 0},
                       {.name = WA_STR("alpha"), .kind = WA_ATTR_KIND_FLOAT, .f = 0.5f}};
    wa_kernel_args a = {.op = WA_OP_MatMulBlocks, .attrs = attrs, .attr_count = 3, .in = in, .in_count = 4, .out = &out, .out_count = 1};
    wa_error err = {0};
    assert_ok(wa__kernel_cpu(a.op, &a)(&a, &err), err);
    for (int64_t i = 0; i < m * n; i++) {
        double want = wanted(x, w, extras ? bias : NULL, extras ? residual : NULL, i / n, i % n, k, n, extras);
        if (!(fabs(y[i] - want) <= 2e-5 * fmax(1, fabs(want)))) fail_msg("%lldx%lldx%lld, %u bits: element %lld is %g, not %g", (long long)m, (long long)n, (long long)k, bits, (long long)i, (double)y[i], want);
    }
    in[1].type.dims[0]--;
    assert_int_not_equal(wa__kernel_cpu(a.op, &a)(&a, &err), WA_OK);
    in[1].type.dims[0]++;
    attrs[0].i = 5;
    assert_int_not_equal(wa__kernel_cpu(a.op, &a)(&a, &err), WA_OK);
    free(x), free(w), free(bias), free(residual), free(y), free(codes);
}

static void odd_shapes(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {{1, 8, 32}, {3, 14, 64}, {8, 64, 96}, {17, 130, 32}, {9, 66, 160}};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (unsigned form = 0; form < 4; form++) compare(sizes[i][0], sizes[i][1], sizes[i][2], form & 1 ? 4 : 8, form & 2);
}

static wa_graph *product(wa_dtype type, uint8_t *bytes, size_t size)
{
    wa_graph *g = NULL;
    wa_error err = {0};
    wa_tensor_type x = {WA_F32, 2, {3, 64}}, w = {type, 2, {64, 16}};
    assert_ok(wa__graph_create(&g, &err), err);
    wa__graph_source(g, wa__str("weights"), bytes, size);
    uint32_t in[2] = {wa__graph_input(g, wa__str("x"), &x), wa__graph_const(g, wa__str("w"), &w, bytes, 0)};
    if (type != WA_F32) {
        uint32_t cast = wa__graph_node(g, WA_OP_Cast, wa__str(""), &in[1], 1, 1);
        wa__node_set_int(g, cast, "to", WA_F32);
        assert_ok(wa__graph_infer_node(g, cast, &err), err);
        in[1] = g->nodes[cast].outputs[0];
    }
    uint32_t node = wa__graph_node(g, WA_OP_MatMul, wa__str("product"), in, 2, 1);
    g->nodes[node].opset = 13;
    assert_ok(wa__graph_infer_node(g, node, &err), err);
    assert_true(wa__graph_output(g, g->nodes[node].outputs[0]));
    return g;
}

/* Bytes that a CPU plan makes at load for a [64,16] weight. */
static void plans(void **state)
{
    (void)state;
    static uint8_t bytes[64 * 16 * 4];
    static const struct { wa_dtype type; uint32_t precision; uint64_t weights; const char *call; } rows[] = {
        {WA_F32, 16, 64 * 16 * 2, "MatMul"}, {WA_F16, 16, 0, "MatMul"}, {WA_F32, 8, 16 * 64 + 128, "MatMul"}, {WA_F16, 4, 2 * (4 * 16 + 8) * 4, "MatMulBlocks"}};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        wa_graph *g = product(rows[i].type, bytes, sizeof bytes);
        wa_plan_options o = {.target = {.target = WA_TARGET_CPU}, .precision = rows[i].precision};
        wa_plan *p = NULL;
        wa_error err = {0};
        uint64_t made = 0;
        assert_ok(wa__plan_build(g, &o, &p, &err), err);
        for (uint32_t k = 0; k < p->buffer_count; k++)
            if (p->buffers[k].kind == WA_BUFFER_KIND_WEIGHTS) made += p->buffers[k].size;
        assert_int_equal(made, (rows[i].weights + 63) / 64 * 64);
        assert_int_equal(p->call_count, 1);
        assert_string_equal(wa__op_info(p->calls[0].op)->name, rows[i].call);
        assert_int_equal(p->info.precision, rows[i].precision);
        wa__plan_free(p);
        wa__graph_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(odd_shapes), cmocka_unit_test(plans)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
