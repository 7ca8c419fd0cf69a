/* The CPU runner: a graph planned and run, exact bytes, timeouts, cancelling, wrong inputs, files
 * that changed, allocation failures. */
#include "cpu/cpu.h"
#include "base/mem.h"
#include "tests.h"
#include <math.h>

static float numbers[1024];
enum { K = 24, N = 40, M = 5 };

/* relu(x . w + bias) */
static wa_plan *make_plan(void)
{
    wa_graph *g = NULL;
    wa_plan *p = NULL;
    wa_error err = {0};
    for (int i = 0; i < 1024; i++) numbers[i] = (float)(i * 37 % 101) / 101.0f - 0.5f;
    assert_ok(wa__graph_create(&g, &err), err);
    wa__graph_source(g, WA_STR("model.bin"), numbers, sizeof numbers);
    wa_tensor_type xt = {WA_F32, 2, {M, K}}, wt = {WA_F32, 2, {K, N}}, bt = {WA_F32, 1, {N}};
    uint32_t x = wa__graph_input(g, WA_STR("x"), &xt), w = wa__graph_const(g, WA_STR("w"), &wt, numbers, 0), b = wa__graph_const(g, WA_STR("b"), &bt, numbers + K * N, 0);
    uint32_t y = wa__graph_add(g, WA_OP_MatMul, (uint32_t[]){x, w}, 2);
    y = wa__graph_add(g, WA_OP_Add, (uint32_t[]){y, b}, 2);
    y = wa__graph_add(g, WA_OP_Relu, (uint32_t[]){y}, 1);
    for (uint32_t i = 0; i < g->node_count; i++) assert_ok(wa__graph_infer_node(g, i, &err), err);
    wa__graph_output(g, y);
    assert_ok(wa__plan_build(g, &(wa_plan_options){.target = {.target = WA_TARGET_CPU}, .model_cid = "bafytest", .batch = M}, &p, &err), err);
    wa__graph_free(g);
    return p;
}

typedef struct fixture {
    wa_plan *plan;
    wa_runner *r;
    wa_run_source source;
    uint32_t handle;
    float x[M * K], y[M * N];
    wa_view in, out;
} fixture;

static void start(fixture *f, uint32_t threads)
{
    wa_error err = {0};
    *f = (fixture){.plan = make_plan(), .source = {(const uint8_t *)numbers, sizeof numbers}};
    for (int i = 0; i < M * K; i++) f->x[i] = (float)(i * 13 % 29) / 29.0f - 0.4f;
    f->in = (wa_view){{WA_F32, 2, {M, K}}, f->x};
    f->out = (wa_view){{WA_F32, 2, {M, N}}, f->y};
    assert_ok(wa__cpu_runner_create(threads, &f->r, &err), err);
    assert_ok(f->r->ops->load(f->r, f->plan, &f->source, 1, NULL, &f->handle, &err), err);
}
static void stop(fixture *f)
{
    f->r->ops->free(f->r);
    wa__plan_free(f->plan);
}
static void expect(const fixture *f)
{
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            double want = (double)numbers[K * N + j];
            for (int k = 0; k < K; k++) want += (double)f->x[i * K + k] * (double)numbers[k * N + j];
            want = want < 0 ? 0 : want;
            if (!(fabs(want - (double)f->y[i * N + j]) < 1e-5)) fail_msg("y[%d,%d] is %g, expected %g", i, j, (double)f->y[i * N + j], want);
        }
}

static void runs(void **state)
{
    (void)state;
    for (uint32_t threads = 1; threads < 4; threads++) {
        fixture f;
        wa_error err = {0};
        wa_run_stats st;
        start(&f, threads);
        assert_int_equal(f.r->ops->actual_bytes(f.r), wa__plan_bytes(f.plan, WA_TARGET_CPU));
        assert_ok(f.r->ops->run(f.r, f.handle, 0, &f.in, 1, &f.out, 1, NULL, &st, &err), err);
        expect(&f);
        assert_int_equal(st.dispatches, f.plan->call_count);
        assert_true(st.wall_ms >= st.device_ms && st.gpu_ms < 0 && st.cpu_segments == 1 && st.dispatch_us);
        (void)wa__alloc_fail_at(0);
        assert_ok(f.r->ops->run(f.r, f.handle, 0, &f.in, 1, &f.out, 1, NULL, NULL, &err), err);
        assert_int_equal(wa__alloc_fail_at(0), 0); /* a run allocates nothing */
        assert_string_equal(f.r->ops->target(f.r)->target, "cpu");
        assert_ok(f.r->ops->unload(f.r, f.handle, &err), err);
        assert_int_equal(f.r->ops->actual_bytes(f.r), 0);
        assert_int_equal(f.r->ops->unload(f.r, f.handle, &err), WA_INVALID_ARGUMENT);
        stop(&f);
    }
}

static void refuses(void **state)
{
    (void)state;
    fixture f;
    wa_error err = {0};
    uint32_t h;
    start(&f, 1);
    wa_view wrong = f.in;
    wrong.type.dims[0] = 4;
    assert_int_equal(f.r->ops->run(f.r, f.handle, 0, &wrong, 1, &f.out, 1, NULL, NULL, &err), WA_INVALID_ARGUMENT);
    assert_string_equal(err.message, "input \"x\" is f32[4,24], the plan has f32[5,24]");
    assert_int_equal(f.r->ops->run(f.r, f.handle, 0, &f.in, 0, &f.out, 1, NULL, NULL, &err), WA_INVALID_ARGUMENT);
    assert_int_equal(f.r->ops->run(f.r, f.handle, 1, &f.in, 1, &f.out, 1, NULL, NULL, &err), WA_INVALID_ARGUMENT);
    assert_int_equal(f.r->ops->run(f.r, 7, 0, &f.in, 1, &f.out, 1, NULL, NULL, &err), WA_INVALID_ARGUMENT);
    atomic_bool cancel;
    atomic_init(&cancel, true);
    wa_run_control c = {.cancel = &cancel};
    assert_int_equal(f.r->ops->run(f.r, f.handle, 0, &f.in, 1, &f.out, 1, &c, NULL, &err), WA_CANCELLED);
    assert_int_equal(f.r->ops->load(f.r, f.plan, &f.source, 1, &c, &h, &err), WA_CANCELLED);
    wa_run_source cut = {f.source.data, f.source.size - 4};
    assert_int_equal(f.r->ops->load(f.r, f.plan, &cut, 1, NULL, &h, &err), WA_VERIFY);
    assert_int_equal(f.r->ops->load(f.r, f.plan, NULL, 0, NULL, &h, &err), WA_INVALID_ARGUMENT);
    assert_ok(f.r->ops->run(f.r, f.handle, 0, &f.in, 1, &f.out, 1, NULL, NULL, &err), err); /* still fine */
    expect(&f);
    stop(&f);
}

/* A plan whose panels have less room than packing takes must not be written past. */
static void lying_panels(void **state)
{
    (void)state;
    fixture f;
    wa_error err = {0};
    uint32_t h, cut = 0;
    start(&f, 1);
    for (uint32_t i = 0; i < f.plan->weight_count; i++)
        if (f.plan->weights[i].transform == WA_TRANSFORM_PACK_PANELS) f.plan->weights[i].dst_length -= 64, cut++;
    if (cut) {
        assert_int_equal(f.r->ops->load(f.r, f.plan, &f.source, 1, NULL, &h, &err), WA_VERIFY);
        assert_non_null(strstr(err.message, "packs into"));
    }
    stop(&f);
}

/* B made of three constants side by side: f32 as it lies, f16 widened, f32 transposed; each is packed into its
 * own panels of one matrix. The last is no whole panel. */
enum { PIECES_N = 32 + 16 + 11 };
static uint16_t halves[K * 16];
static float turned[11 * K];

static wa_plan *make_pieces(uint32_t precision, wa_run_source *sources)
{
    wa_graph *g = NULL;
    wa_plan *p = NULL;
    wa_error err = {0};
    for (int i = 0; i < 1024; i++) numbers[i] = (float)(i * 37 % 101) / 101.0f - 0.5f;
    for (int i = 0; i < K * 16; i++) halves[i] = (uint16_t)(0x3000 + i * 7 % 1500);
    for (int i = 0; i < 11 * K; i++) turned[i] = (float)(i * 17 % 89) / 89.0f - 0.5f;
    assert_ok(wa__graph_create(&g, &err), err);
    wa__graph_source(g, WA_STR("model.bin"), numbers, sizeof numbers);
    wa_tensor_type xt = {WA_F32, 2, {M, K}}, at = {WA_F32, 2, {K, 32}}, bt = {WA_F16, 2, {K, 16}}, ct = {WA_F32, 2, {11, K}};
    uint32_t x = wa__graph_input(g, WA_STR("x"), &xt), a = wa__graph_const(g, WA_STR("a"), &at, numbers, 0);
    uint32_t b = wa__graph_const(g, WA_STR("b"), &bt, halves, -1), c = wa__graph_const(g, WA_STR("c"), &ct, turned, -1);
    b = wa__graph_add(g, WA_OP_Cast, (uint32_t[]){b}, 1);
    (void)wa__node_set_int(g, g->node_count - 1, "to", WA_F32);
    c = wa__graph_add(g, WA_OP_Transpose, (uint32_t[]){c}, 1);
    uint32_t w = wa__graph_add(g, WA_OP_Concat, (uint32_t[]){a, b, c}, 3);
    (void)wa__node_set_int(g, g->node_count - 1, "axis", 1);
    uint32_t y = wa__graph_add(g, WA_OP_MatMul, (uint32_t[]){x, w}, 2);
    for (uint32_t i = 0; i < g->node_count; i++) assert_ok(wa__graph_infer_node(g, i, &err), err);
    wa__graph_output(g, y);
    assert_ok(wa__plan_build(g, &(wa_plan_options){.target = {.target = WA_TARGET_CPU}, .model_cid = "bafytest", .batch = M, .precision = precision}, &p, &err), err);
    wa__graph_free(g);
    *sources = (wa_run_source){(const uint8_t *)numbers, sizeof numbers};
    return p;
}

static void pieces_in(uint32_t precision, double tolerance)
{
    wa_run_source source;
    wa_error err = {0};
    wa_plan *p = make_pieces(precision, &source);
    float x[M * K], y[M * PIECES_N];
    for (int i = 0; i < M * K; i++) x[i] = (float)(i * 13 % 29) / 29.0f - 0.4f;
    wa_view in = {{WA_F32, 2, {M, K}}, x}, out = {{WA_F32, 2, {M, PIECES_N}}, y};
    wa_runner *r;
    uint32_t h, first = 0;
    assert_int_equal(p->call_count, 1); /* nothing computes the matrix */
    assert_ok(wa__plan_verify(p, &err), err);
    assert_ok(wa__cpu_runner_create(1, &r, &err), err);
    assert_ok(r->ops->load(r, p, &source, 1, NULL, &h, &err), err);
    assert_ok(r->ops->run(r, h, 0, &in, 1, &out, 1, NULL, NULL, &err), err);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < PIECES_N; j++) {
            double want = 0;
            for (int k = 0; k < K; k++) {
                float w = j < 32 ? numbers[k * 32 + j] : j < 48 ? wa__f16_to_f32(halves[k * 16 + j - 32]) : turned[(j - 48) * K + k];
                want += (double)x[i * K + k] * (double)w;
            }
            if (!(fabs(want - (double)y[i * PIECES_N + j]) < tolerance)) fail_msg("precision %u: y[%d,%d] is %g, expected %g", precision, i, j, (double)y[i * PIECES_N + j], want);
        }
    while (p->weights[first].transform != WA_TRANSFORM_PACK_PANELS) first++;
    wa_plan_weight good = p->weights[first + 1], *w = &p->weights[first + 1];
    static const int lies = 7;
    for (int lie = 0; lie < lies; lie++) {
        *w = good;
        if (lie == 0) w->p[1]--;
        if (lie == 1) w->dst_offset += 64;
        if (lie == 2) w->p[3] = 1;
        if (lie == 3) w->transform = WA_TRANSFORM_NONE;
        if (lie == 4) w->p[0] = 5;
        if (lie == 5) w->dst_length -= 64;
        if (lie == 6) w->p[4] = precision == 8 ? 32 : 8;
        if (wa__plan_verify(p, &err) == WA_OK) fail_msg("lie %d of a packed piece was believed", lie);
    }
    *w = good;
    assert_ok(wa__plan_verify(p, &err), err);
    r->ops->free(r);
    wa__plan_free(p);
}

static void pieces(void **state)
{
    (void)state;
    pieces_in(32, 1e-5);
    pieces_in(8, 0.03); /* codes of 8 bits: half a step of 1/127 in each factor, 24 of them */
}

static void segments(void **state)
{
    (void)state;
    fixture f;
    wa_error err = {0};
    wa_cpu_segment *s = NULL;
    uint8_t *buffers[16] = {NULL};
    start(&f, 1);
    assert_true(f.plan->buffer_count <= 16);
    for (uint32_t i = 0; i < f.plan->buffer_count; i++) assert_non_null(buffers[i] = wa__alloc(1, (size_t)f.plan->buffers[i].size));
    assert_ok(wa__cpu_segment_create(f.plan, &f.source, 1, NULL, &s, &err), err);
    for (uint32_t i = 0; i < f.plan->io_count; i++)
        if (!f.plan->ios[i].is_output) memcpy(buffers[f.plan->ios[i].buffer] + f.plan->ios[i].offset, f.x, sizeof f.x);
    assert_ok(wa__cpu_segment_run(s, 0, buffers, &err), err);
    for (uint32_t i = 0; i < f.plan->io_count; i++)
        if (f.plan->ios[i].is_output) memcpy(f.y, buffers[f.plan->ios[i].buffer] + f.plan->ios[i].offset, sizeof f.y);
    expect(&f);
    assert_int_equal(wa__cpu_segment_run(s, 9, buffers, &err), WA_INVALID_ARGUMENT);
    wa__cpu_segment_free(s);
    wa__cpu_segment_free(NULL);
    for (uint32_t i = 0; i < f.plan->buffer_count; i++) wa__free(buffers[i]);
    stop(&f);
}

static void no_memory(void **state)
{
    (void)state;
    wa_error err = {0};
    wa_plan *p = make_plan();
    wa_run_source source = {(const uint8_t *)numbers, sizeof numbers};
    for (uint64_t n = 1; n < 200; n++) {
        wa_runner *r = NULL;
        uint32_t h;
        (void)wa__alloc_fail_at(n);
        wa_status s = wa__cpu_runner_create(2, &r, &err);
        if (s == WA_OK) s = r->ops->load(r, p, &source, 1, NULL, &h, &err);
        (void)wa__alloc_fail_at(0);
        if (r) r->ops->free(r);
        if (s == WA_OK) break;
        if (s != WA_NO_MEMORY) fail_msg("allocation %llu failing gives %s: %s", (unsigned long long)n, wa__status_name(s), err.message);
        assert_true(n < 199);
    }
    wa__plan_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(runs), cmocka_unit_test(refuses), cmocka_unit_test(lying_panels), cmocka_unit_test(pieces), cmocka_unit_test(segments), cmocka_unit_test(no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
