/* The fast convolutions and pools against the reference: random geometry, seeded. */
#include "kernels/conv.h"
#include "kernels/kernels.h"
#include "kernels/pool_cpu.h"
#include "tests.h"
#include <math.h>

static uint64_t state_of_random = 1;
static uint32_t below(uint32_t n)
{
    state_of_random = state_of_random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state_of_random >> 33) % n;
}
static float *values(int64_t n)
{
    float *p = wa__alloc((size_t)n + 1, sizeof *p);
    for (int64_t i = 0; i < n; i++) p[i] = (float)((int)below(2001) - 1000) / 500.0f;
    return p;
}

typedef struct geometry {
    uint32_t rank;
    int64_t batch, groups, in, out, size[3], kernel[3], stride[3], dilation[3], pads[6];
} geometry;

static geometry random_geometry(uint32_t kind)
{
    geometry g = {.rank = 1 + below(3), .batch = 1 + below(2), .groups = 1 + below(3)};
    g.in = g.groups * (1 + below(kind == 1 ? 1 : 40));
    g.out = g.groups * (1 + below(20));
    if (kind == 1) g.out = g.in;
    for (uint32_t i = 0; i < g.rank; i++) {
        g.kernel[i] = 1 + below(g.rank == 3 ? 2 : 4);
        g.stride[i] = 1 + below(3);
        g.dilation[i] = 1 + below(2);
        g.size[i] = (g.kernel[i] - 1) * g.dilation[i] + 1 + below(g.rank == 1 ? 60 : g.rank == 2 ? 20 : 5);
        g.pads[i] = below(3);
        g.pads[g.rank + i] = below(3);
    }
    return g;
}

static void compare(wa_op op, const geometry *g, uint32_t act, wa_pool *pool)
{
    bool back = op == WA_OP_ConvTranspose;
    wa_attr attrs[] = {{.name = WA_STR("group"), .kind = WA_ATTR_KIND_INT, .i = g->groups},
                       {.name = WA_STR("strides"), .kind = WA_ATTR_KIND_INTS, .ints = g->stride, .count = g->rank},
                       {.name = WA_STR("dilations"), .kind = WA_ATTR_KIND_INTS, .ints = g->dilation, .count = g->rank},
                       {.name = WA_STR("pads"), .kind = WA_ATTR_KIND_INTS, .ints = g->pads, .count = 2 * g->rank},
                       {.name = WA_STR("act"), .kind = WA_ATTR_KIND_INT, .i = act},
                       {.name = WA_STR("act_a"), .kind = WA_ATTR_KIND_FLOAT, .f = 0.2f},
                       {.name = WA_STR("act_b"), .kind = WA_ATTR_KIND_FLOAT, .f = 0.5f}};
    wa_tensor_type x = {WA_F32, g->rank + 2, {g->batch, g->in}}, w = {WA_F32, g->rank + 2, {g->out, g->in / g->groups}}, b = {WA_F32, 1, {g->out}};
    if (back) w.dims[0] = g->in, w.dims[1] = g->out / g->groups;
    for (uint32_t i = 0; i < g->rank; i++) x.dims[2 + i] = g->size[i], w.dims[2 + i] = g->kernel[i];
    wa_window window;
    if ((back ? wa__window_conv_transpose : wa__window_conv)(&x, &w, attrs, 4, &window)) return; /* empty result */
    wa_tensor_type o = wa__window_out(&window, WA_F32);
    int64_t n = wa__count(&o);
    bool residual = op == WA_OP_ConvAct && below(2), bias = below(3) > 0;
    wa_view in[4] = {{x, values(wa__count(&x))}, {w, values(wa__count(&w))}, {b, values(g->out)}, {o, values(n)}}, out = {o, values(n)}, want = {o, values(n)};
    wa_kernel_args a = {.op = op, .opset = 21, .attrs = attrs, .attr_count = op == WA_OP_ConvAct ? 7 : 4, .in = in, .out = &out, .out_count = 1, .pool = pool};
    a.in_count = residual ? 4 : bias ? 3 : 2;
    wa_view none = {{WA_DTYPE_NONE, 0, {0}}, NULL}, kept = in[2];
    if (residual && !bias) in[2] = none;
    wa_error err = {0};
    assert_true(wa__conv_has_fast(&a));
    assert_ok(wa__conv_fast(&a, &err), err);
    a.out = &want;
    assert_ok(wa__kernel_ref(op)(&a, &err), err);
    for (int64_t i = 0; i < n; i++) {
        float have = ((float *)out.data)[i], need = ((float *)want.data)[i];
        if (fabsf(have - need) > 2e-4f * (1 + fabsf(need)))
            fail_msg("op %d rank %u groups %lld in %lld out %lld act %u: element %lld is %g, the reference says %g", (int)op, g->rank, (long long)g->groups,
                     (long long)g->in, (long long)g->out, act, (long long)i, (double)have, (double)need);
    }
    in[2] = kept;
    for (int i = 0; i < 4; i++) wa__free(in[i].data);
    wa__free(out.data);
    wa__free(want.data);
}

static void compare_pool(wa_op op, const geometry *g, bool with_pads, wa_pool *pool)
{
    wa_attr attrs[] = {{.name = WA_STR("kernel_shape"), .kind = WA_ATTR_KIND_INTS, .ints = g->kernel, .count = g->rank},
                       {.name = WA_STR("strides"), .kind = WA_ATTR_KIND_INTS, .ints = g->stride, .count = g->rank},
                       {.name = WA_STR("dilations"), .kind = WA_ATTR_KIND_INTS, .ints = g->dilation, .count = g->rank},
                       {.name = WA_STR("pads"), .kind = WA_ATTR_KIND_INTS, .ints = g->pads, .count = 2 * g->rank},
                       {.name = WA_STR("count_include_pad"), .kind = WA_ATTR_KIND_INT, .i = with_pads}};
    wa_tensor_type x = {WA_F32, g->rank + 2, {g->batch, g->in}};
    for (uint32_t i = 0; i < g->rank; i++) x.dims[2 + i] = g->size[i];
    wa_window window;
    if (wa__window_pool(&x, attrs, 4, &window)) return; /* empty result, or padding past the kernel */
    wa_tensor_type o = wa__window_out(&window, WA_F32);
    int64_t n = wa__count(&o);
    wa_view in = {x, values(wa__count(&x))}, out = {o, values(n)}, want = {o, values(n)};
    wa_kernel_args a = {.op = op, .opset = 21, .attrs = attrs, .attr_count = op == WA_OP_AveragePool ? 5 : 4, .in = &in, .in_count = 1, .out = &out, .out_count = 1, .pool = pool};
    wa_error err = {0};
    assert_true(wa__pool_has_fast(&a));
    assert_ok(wa__pool_fast(&a, &err), err);
    a.out = &want;
    assert_ok(wa__kernel_ref(op)(&a, &err), err);
    for (int64_t i = 0; i < n; i++) {
        float have = ((float *)out.data)[i], need = ((float *)want.data)[i];
        if (have != need && !(fabsf(have - need) <= 1e-5f * (1 + fabsf(need)))) fail_msg("op %d rank %u: element %lld is %g, the reference says %g", (int)op, g->rank, (long long)i, (double)have, (double)need);
    }
    wa__free(in.data);
    wa__free(out.data);
    wa__free(want.data);
}

static void pools(void **state)
{
    (void)state;
    wa_pool *pool;
    wa_error err = {0};
    assert_ok(wa__pool_create(2, &pool, &err), err);
    for (uint32_t i = 0; i < 200; i++) {
        geometry g = random_geometry(2);
        compare_pool(WA_OP_MaxPool, &g, false, i % 2 ? pool : NULL);
        compare_pool(WA_OP_AveragePool, &g, i % 3 == 0, i % 2 ? pool : NULL);
    }
    geometry wide = {.rank = 2, .batch = 1, .groups = 1, .in = 2, .size = {5, 5000}, .kernel = {3, 3}, .stride = {2, 2}, .dilation = {1, 1}, .pads = {1, 1, 1, 1}};
    compare_pool(WA_OP_MaxPool, &wide, false, NULL);
    wa__pool_free(pool);
}

static void random_shapes(void **state)
{
    (void)state;
    wa_pool *pool;
    wa_error err = {0};
    assert_ok(wa__pool_create(2, &pool, &err), err);
    for (uint32_t i = 0; i < 240; i++) {
        geometry g = random_geometry(i % 3);
        if (i % 3 == 1) g.groups = g.in; /* depthwise */
        compare(WA_OP_Conv, &g, 0, i % 2 ? pool : NULL);
        compare(WA_OP_ConvAct, &g, i % WA_CONV_ACT_COUNT, i % 2 ? pool : NULL);
        if (i % 3 != 1) compare(WA_OP_ConvTranspose, &g, 0, i % 2 ? pool : NULL);
    }
    wa__pool_free(pool);
}

static void few_channels(void **state) /* stride 1, wide rows, few channels out: the direct form */
{
    (void)state;
    wa_pool *pool;
    wa_error err = {0};
    assert_ok(wa__pool_create(2, &pool, &err), err);
    for (uint32_t i = 0; i < 60; i++) {
        geometry g = {.rank = 1 + i % 2, .batch = 1 + i % 3 / 2, .groups = 1 + i % 2, .in = 1 + below(30), .out = 1 + below(24), .stride = {1, 1}};
        g.in *= g.groups, g.out *= g.groups;
        for (uint32_t k = 0; k < g.rank; k++) {
            g.kernel[k] = 1 + below(5), g.dilation[k] = 1 + below(2), g.pads[k] = below(4), g.pads[g.rank + k] = below(4);
            g.size[k] = (k + 1 == g.rank ? 13 + below(40) : 1 + below(30)) + (g.kernel[k] - 1) * g.dilation[k];
        }
        compare(WA_OP_ConvAct, &g, i % WA_CONV_ACT_COUNT, i % 2 ? pool : NULL);
    }
    geometry tall = {.rank = 2, .batch = 1, .groups = 1, .in = 90, .out = 24, .size = {41, 160}, .kernel = {3, 3}, .stride = {1, 1}, .dilation = {1, 1}, .pads = {1, 1, 1, 1}};
    compare(WA_OP_ConvAct, &tall, WA_CONV_ACT_RELU, pool); /* several bands */
    wa__pool_free(pool);
}

static void long_sums(void **state) /* more of K than one block */
{
    (void)state;
    geometry g = {.rank = 2, .batch = 1, .groups = 1, .in = 100, .out = 13, .size = {9, 11}, .kernel = {3, 3}, .stride = {1, 1}, .dilation = {1, 1}, .pads = {1, 1, 1, 1}};
    compare(WA_OP_Conv, &g, 0, NULL);
    g.in = 800;
    compare(WA_OP_ConvTranspose, &g, 0, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_shapes), cmocka_unit_test(few_channels), cmocka_unit_test(long_sums), cmocka_unit_test(pools)};
    int r = 0;
    for (wa_isa isa = wa__isa();; isa--) { /* every form that this processor has */
        wa__isa_limit(isa);
        r |= cmocka_run_group_tests(tests, NULL, NULL);
        if (isa == WA_ISA_ANY) break;
    }
    return r;
}
