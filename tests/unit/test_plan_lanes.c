/* Rows in halves: an encoder of every form computes the same as its halves, on the CPU; where nothing is won
 * nothing is done; parts stand in order. */
#include "cpu/cpu.h"
#include "plan/plan_lanes.h"
#include "plan/plan_nn.h"
#include "tests.h"
#include <math.h>

enum { WIDTH = 256, HEADS = 4, WORDS = 50, PLACES = 90, NUMBERS = 1 << 21, LAYERS = 2 };
static float numbers[NUMBERS];

typedef struct form {
    int64_t batch, tokens;
    bool packed, place_ids, row_bias, post_norm, hidden; /* hidden: the output is all tokens */
} form;

static uint32_t used; /* of numbers */

static uint32_t weight(wa_graph *g, int64_t rows, int64_t cols)
{
    wa_tensor_type t = {WA_F32, rows ? 2 : 1, {rows ? rows : cols, cols}};
    uint32_t at = used;
    used += (uint32_t)(rows ? rows * cols : cols);
    assert_true(used <= NUMBERS);
    return wa__graph_const(g, WA_STR(""), &t, numbers + at, 0);
}

static uint32_t node(wa_graph *g, wa_op op, const uint32_t *in, uint32_t count)
{
    uint32_t v = wa__graph_add(g, op, in, count), n = g->values[v].producer;
    wa_error err = {0};
    if (op == WA_OP_Attention || op == WA_OP_QkvAttention) {
        assert_true(wa__node_set_int(g, n, "num_heads", HEADS));
        assert_true(wa__node_set_float(g, n, "scale", 0.125f));
    }
    g->nodes[n].opset = 17;
    assert_ok(wa__graph_infer_node(g, n, &err), err);
    return v;
}

static uint32_t linear(wa_graph *g, uint32_t x, int64_t in, int64_t out, uint32_t residual)
{
    return node(g, WA_OP_FusedMatMul, (uint32_t[]){x, weight(g, in, out), weight(g, 0, out), residual}, residual == WA_NONE ? 3 : 4);
}

static uint32_t layer(wa_graph *g, const form *f, uint32_t x, uint32_t bias)
{
    uint32_t y, was = x;
    if (f->packed) {
        y = node(g, WA_OP_QkvAttention, (uint32_t[]){linear(g, x, WIDTH, 3 * WIDTH, WA_NONE), bias}, 2);
    } else {
        uint32_t q = linear(g, x, WIDTH, WIDTH, WA_NONE), k = linear(g, x, WIDTH, WIDTH, WA_NONE), v = linear(g, x, WIDTH, WIDTH, WA_NONE);
        y = node(g, WA_OP_Attention, (uint32_t[]){q, k, v, bias}, 4);
    }
    y = linear(g, y, WIDTH, WIDTH, f->post_norm ? WA_NONE : was);
    if (f->post_norm) y = node(g, WA_OP_SkipLayerNorm, (uint32_t[]){y, was, weight(g, 0, WIDTH), weight(g, 0, WIDTH)}, 4);
    else y = node(g, WA_OP_LayerNormalization, (uint32_t[]){y, weight(g, 0, WIDTH), weight(g, 0, WIDTH)}, 3);
    uint32_t wide = node(g, WA_OP_Gelu, (uint32_t[]){linear(g, y, WIDTH, 4 * WIDTH, WA_NONE)}, 1);
    return node(g, WA_OP_Add, (uint32_t[]){y, linear(g, wide, 4 * WIDTH, WIDTH, WA_NONE)}, 2);
}

static wa_graph *encoder(const form *f)
{
    wa_graph *g = NULL;
    wa_error err = {0};
    assert_ok(wa__graph_create(&g, &err), err);
    wa__graph_source(g, WA_STR("model.bin"), numbers, sizeof numbers);
    used = 0;
    wa_tensor_type ids_type = {WA_I64, 2, {f->batch, f->tokens}}, bias_type = {WA_F32, 4, {f->batch, 1, f->row_bias ? f->tokens : 1, f->tokens}};
    uint32_t ids = wa__graph_input(g, WA_STR("ids"), &ids_type), mask = wa__graph_input(g, WA_STR("mask"), &ids_type), places = WA_NONE;
    uint32_t bias = wa__graph_input(g, WA_STR("bias"), &bias_type);
    if (f->place_ids) places = wa__graph_input(g, WA_STR("places"), &ids_type);
    uint32_t x = node(g, WA_OP_EmbedLayerNorm, (uint32_t[]){ids, WA_NONE, weight(g, WORDS, WIDTH), weight(g, PLACES, WIDTH), WA_NONE, weight(g, 0, WIDTH), weight(g, 0, WIDTH), places}, f->place_ids ? 8 : 7);
    uint32_t low = node(g, WA_OP_Neg, &bias, 1); /* computed from inputs alone: each lane for itself */
    for (int i = 0; i < LAYERS; i++) x = layer(g, f, x, low);
    x = f->hidden ? node(g, WA_OP_Tanh, &x, 1) : node(g, WA_OP_L2Normalize, (uint32_t[]){node(g, WA_OP_MeanPool, (uint32_t[]){x, mask}, 2)}, 1);
    g->values[x].name = WA_STR("embedding");
    wa__graph_output(g, x);
    assert_ok(wa__graph_verify(g, &err), err);
    return g;
}

/* The graph's output on the CPU; f: NULL for an image. */
static float *result(const wa_graph *g, const form *f, size_t *count)
{
    static int64_t ids[4096], ones[4096], places[4096];
    static float floats[1 << 16];
    wa_plan *p = NULL;
    wa_runner *r = NULL;
    wa_run_stats st;
    wa_error err = {0};
    uint32_t handle;
    wa_run_source source = {(const uint8_t *)numbers, sizeof numbers};
    wa_view in[4], out;
    for (int64_t i = 0; i < 4096; i++) ids[i] = i * 31 % WORDS, ones[i] = !f || i % f->tokens < f->tokens - 3, places[i] = (i + 5) % PLACES;
    for (int64_t i = 0; i < 1 << 16; i++) floats[i] = (float)(i * 7 % 13) / 5.0f - (float)(i % 3) / 2.0f;
    for (uint32_t i = 0; i < g->input_count; i++) {
        void *const data[4] = {ids, ones, floats, places};
        in[i] = (wa_view){g->values[g->inputs[i]].type, f ? data[i] : floats};
        assert_true(wa__count(&in[i].type) <= (in[i].type.dtype == WA_F32 ? 1 << 16 : 4096));
    }
    out.type = g->values[g->outputs[0]].type;
    *count = (size_t)wa__count(&out.type);
    out.data = wa__alloc(*count, sizeof(float));
    assert_non_null(out.data);
    assert_true(wa__str_is(g->values[g->outputs[0]].name, "embedding"));
    assert_ok(wa__plan_build(g, &(wa_plan_options){.target = {.target = WA_TARGET_CPU}, .model_cid = "bafytest"}, &p, &err), err);
    assert_ok(wa__cpu_runner_create(1, &r, &err), err);
    assert_ok(r->ops->load(r, p, &source, 1, NULL, &handle, &err), err);
    assert_ok(r->ops->run(r, handle, 0, in, g->input_count, &out, 1, NULL, &st, &err), err);
    r->ops->free(r);
    wa__plan_free(p);
    return out.data;
}

static void check_parts(const wa_graph *g, const uint32_t *part, uint32_t stages)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < g->node_count; i++) {
        if (i && part[i] < part[i - 1]) fail_msg("node %u of part %u stands behind part %u", i, part[i], part[i - 1]);
        if (part[i] > most) most = part[i];
        for (uint32_t k = 0; k < g->nodes[i].input_count; k++) { /* lanes of one stage read nothing of each other */
            uint32_t v = g->nodes[i].inputs[k], p = v == WA_NONE ? WA_NONE : g->values[v].producer;
            if (p != WA_NONE && part[p] && part[p] != part[i]) assert_true((part[p] - 1) / 2 < (part[i] - 1) / 2 || part[p] % 2 == part[i] % 2);
        }
    }
    assert_int_equal((most + 1) / 2, stages);
}

/* --- images --- */
typedef struct picture {
    int64_t batch, height, width;
    uint32_t stages;
} picture;

enum { CHANNELS = 40 };

static uint32_t filter(wa_graph *g, int64_t out, int64_t in, int64_t high, int64_t wide)
{
    wa_tensor_type t = {WA_F32, 4, {out, in, high, wide}};
    uint32_t at = used;
    used += (uint32_t)(out * in * high * wide);
    assert_true(used <= NUMBERS);
    return wa__graph_const(g, WA_STR(""), &t, numbers + at, 0);
}

static uint32_t with_ints(wa_graph *g, wa_op op, const uint32_t *in, uint32_t count, const char *name, const int64_t *v, uint32_t n, const char *name2, const int64_t *v2, uint32_t n2, int64_t group)
{
    uint32_t y = wa__graph_add(g, op, in, count), made = g->values[y].producer;
    wa_error err = {0};
    g->nodes[made].opset = 18;
    if (n) assert_true(wa__node_set_ints(g, made, name, v, n));
    if (n2) assert_true(wa__node_set_ints(g, made, name2, v2, n2));
    if (group) assert_true(wa__node_set_int(g, made, op == WA_OP_Gather || op == WA_OP_Concat ? "axis" : op == WA_OP_ReduceMean ? "keepdims" : op == WA_OP_ConvAct ? "act" : "group", group));
    assert_ok(wa__graph_infer_node(g, made, &err), err);
    return y;
}

/* x -> convolutions of every kind -> pools -> what is summed over all lines, times each -> twice as high -> transposed -> joined. */
static wa_graph *convolutions(const picture *p)
{
    static const int64_t same[4] = {1, 1, 1, 1}, one_side[4] = {0, 1, 2, 1}, two[2] = {2, 2}, wide[4] = {2, 2, 2, 2}, three[2] = {3, 3}, half[2] = {3, 1};
    wa_graph *g = NULL;
    wa_error err = {0};
    assert_ok(wa__graph_create(&g, &err), err);
    wa__graph_source(g, WA_STR("model.bin"), numbers, sizeof numbers);
    used = 0;
    wa_tensor_type t = {WA_F32, 4, {p->batch, 3, p->height, p->width}};
    uint32_t x = wa__graph_input(g, WA_STR("x"), &t), y, z, axes = wa__graph_const_i64(g, (const int64_t[]){2, 3}, 2);
    x = with_ints(g, WA_OP_Conv, (uint32_t[]){x, filter(g, CHANNELS, 3, 3, 3), weight(g, 0, CHANNELS)}, 3, "pads", one_side, 4, "strides", half, 2, 0);
    x = with_ints(g, WA_OP_Conv, (uint32_t[]){x, filter(g, CHANNELS, 1, 5, 5)}, 2, "pads", wide, 4, NULL, NULL, 0, CHANNELS);
    y = with_ints(g, WA_OP_ConvAct, (uint32_t[]){x, filter(g, CHANNELS, CHANNELS, 3, 3), weight(g, 0, CHANNELS), x}, 4, "pads", same, 4, NULL, NULL, 0, 3);
    y = with_ints(g, WA_OP_MaxPool, &y, 1, "kernel_shape", three, 2, "pads", same, 4, 0);
    z = with_ints(g, WA_OP_AveragePool, &y, 1, "kernel_shape", three, 2, "pads", same, 4, 0);
    y = with_ints(g, WA_OP_Conv, (uint32_t[]){y, filter(g, CHANNELS, CHANNELS, 3, 3)}, 2, "pads", wide, 4, "dilations", two, 2, 0);
    uint32_t mean = with_ints(g, WA_OP_ReduceMean, (uint32_t[]){y, axes}, 2, NULL, NULL, 0, NULL, NULL, 0, 1);
    mean = node(g, WA_OP_Sigmoid, (uint32_t[]){with_ints(g, WA_OP_Conv, (uint32_t[]){mean, filter(g, CHANNELS, CHANNELS, 1, 1)}, 2, NULL, NULL, 0, NULL, NULL, 0, 0)}, 1);
    y = node(g, WA_OP_Add, (uint32_t[]){node(g, WA_OP_Mul, (uint32_t[]){y, mean}, 2), z}, 2);
    int64_t lines = g->values[y].type.dims[2], twice[512];
    for (int64_t i = 0; i < 2 * lines; i++) twice[i] = i / 2;
    z = with_ints(g, WA_OP_Gather, (uint32_t[]){y, wa__graph_const_i64(g, twice, (uint32_t)(2 * lines))}, 2, NULL, NULL, 0, NULL, NULL, 0, 2);
    y = with_ints(g, WA_OP_ConvTranspose, (uint32_t[]){y, filter(g, CHANNELS, 8, 2, 1)}, 2, "strides", (const int64_t[]){2, 1}, 2, NULL, NULL, 0, 0);
    y = with_ints(g, WA_OP_Concat, (uint32_t[]){y, z}, 2, NULL, NULL, 0, NULL, NULL, 0, 1);
    y = node(g, WA_OP_Mul, (uint32_t[]){y, with_ints(g, WA_OP_ReduceMean, (uint32_t[]){y, axes}, 2, NULL, NULL, 0, NULL, NULL, 0, 1)}, 2);
    y = with_ints(g, WA_OP_Conv, (uint32_t[]){y, filter(g, 24, CHANNELS + 8, 3, 3)}, 2, "strides", two, 2, NULL, NULL, 0, 0);
    g->values[y].name = WA_STR("embedding");
    wa__graph_output(g, y);
    assert_ok(wa__graph_verify(g, &err), err);
    return g;
}

static void compare(const wa_graph *g, uint32_t stages, const form *f, size_t which)
{
    wa_graph *halves = NULL;
    uint32_t *part = NULL;
    wa_error err = {0};
    size_t n, m;
    assert_ok(wa__plan_lanes(g, &halves, &part, &err), err);
    if (!halves) fail_msg("case %zu: no halves", which);
    check_parts(halves, part, stages);
    float *want = result(g, f, &n), *got = result(halves, f, &m), most = 0;
    assert_int_equal(n, m);
    for (size_t k = 0; k < n; k++) most = fmaxf(most, fabsf(want[k]));
    assert_true(most > 0.01f);
    for (size_t k = 0; k < n; k++)
        if (!(fabsf(want[k] - got[k]) <= 2e-5f * fmaxf(most, 1))) fail_msg("case %zu: element %zu is %g, whole %g", which, k, (double)got[k], (double)want[k]);
    wa__free(want);
    wa__free(got);
    wa__free(part);
    wa__graph_free(halves);
}

static void images_in_halves(void **state)
{
    (void)state;
    static const picture cases[] = {{2, 90, 110, 2}, {3, 75, 90, 2}, {3, 73, 91, 2}}, single = {1, 180, 110, 0};
    for (uint32_t i = 0; i < NUMBERS; i++) numbers[i] = (float)((i * 2654435761u >> 16) % 1001) / 5000.0f - 0.1f;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wa_graph *g = convolutions(&cases[i]);
        compare(g, cases[i].stages, NULL, i);
        wa__graph_free(g);
    }
    wa_graph *g = convolutions(&single), *halves = NULL;
    uint32_t *part = NULL;
    wa_error err = {0};
    assert_ok(wa__plan_lanes(g, &halves, &part, &err), err);
    assert_null(halves); /* an image stays whole */
    wa__graph_free(g);
}

static void same_in_halves(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < NUMBERS; i++) numbers[i] = (float)((i * 2654435761u >> 16) % 1001) / 5000.0f - 0.1f;
    /* along the tokens a meeting a layer and one for the pooling; along the batch only the last one */
    static const struct { form f; uint32_t stages; } cases[] = {
        {{.batch = 1, .tokens = 77, .packed = true}, LAYERS + 2}, {{.batch = 1, .tokens = 80, .packed = true, .post_norm = true, .hidden = true}, LAYERS + 2},
        {{.batch = 1, .tokens = 89, .place_ids = true, .row_bias = true}, LAYERS + 2}, {{.batch = 1, .tokens = 83, .packed = true, .place_ids = true, .row_bias = true, .hidden = true}, LAYERS + 2},
        {{.batch = 3, .tokens = 41, .packed = true}, 2}, {{.batch = 5, .tokens = 33, .post_norm = true, .row_bias = true, .hidden = true}, 2},
        {{.batch = 2, .tokens = 70, .place_ids = true}, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const form *f = &cases[i].f;
        wa_graph *g = encoder(f);
        compare(g, cases[i].stages, f, i);
        wa__graph_free(g);
    }
}

static void not_worth_it(void **state)
{
    (void)state;
    static const form few = {.batch = 1, .tokens = 8, .packed = true};
    wa_graph *g = encoder(&few), *halves = NULL;
    uint32_t *part = NULL;
    wa_error err = {0};
    assert_ok(wa__plan_lanes(g, &halves, &part, &err), err);
    assert_null(halves);
    assert_null(part);
    wa__graph_free(g);
}

/* Parts are segments of a plan for LiteRT, and nobody else's; not where some of it runs elsewhere. */
static void segments(void **state)
{
    (void)state;
    static wa_nn_limits limits;
    const wa_nn_slot any = {1u << WA_F32 | 1u << WA_I32 | 1u << WA_I64 | 1u << WA_U8, 0, 8};
    limits = (wa_nn_limits){.input = any, .constant = any, .output = any, .device = "cpu"};
    for (uint32_t op = 1; op < WA_NN_COUNT; op++)
        for (uint32_t i = 0; i < WA_NN_SLOTS; i++) limits.op[op][i] = any;
    static const form f = {.batch = 1, .tokens = 77, .packed = true};
    wa_graph *g = encoder(&f);
    for (int device = 0; device < 2; device++) {
        wa_plan *p = NULL;
        wa_error err = {0};
        assert_ok(wa__plan_build(g, &(wa_plan_options){.target = {.target = WA_TARGET_WEBNN, .nn = &limits}, .model_cid = "bafytest"}, &p, &err), err);
        assert_int_equal(p->segment_count, device ? 1 : 2 * (LAYERS + 1) + 1);
        for (uint32_t i = 0; i < p->segment_count; i++) assert_int_equal(p->segments[i].target, WA_TARGET_WEBNN);
        assert_int_equal(p->transfer_count, 0);
        wa__plan_free(p);
        memcpy(limits.device, "gpu", 4);
    }
    memcpy(limits.device, "cpu", 4);
    memset(limits.op[WA_NN_softmax], 0, sizeof limits.op[WA_NN_softmax]);
    wa_plan *p = NULL;
    wa_error err = {0};
    assert_ok(wa__plan_build(g, &(wa_plan_options){.target = {.target = WA_TARGET_WEBNN, .nn = &limits}, .model_cid = "bafytest"}, &p, &err), err);
    assert_int_equal(p->segment_count, 2 * LAYERS + 1); /* each attention on the CPU */
    wa__plan_free(p);
    wa__graph_free(g);
}

static void no_memory(void **state)
{
    (void)state;
    static const form f = {.batch = 1, .tokens = 77, .packed = true};
    wa_graph *g = encoder(&f);
    bool failed = true;
    for (uint32_t k = 1; failed; k += k < 40 ? 1 : 17) {
        wa_graph *halves = NULL;
        uint32_t *part = NULL;
        wa_error err = {0};
        (void)wa__alloc_fail_at(k);
        wa_status s = wa__plan_lanes(g, &halves, &part, &err);
        failed = s != WA_OK;
        (void)wa__alloc_fail_at(0);
        if (failed) assert_int_equal(s, WA_NO_MEMORY);
        if (failed) assert_null(halves);
        wa__free(part);
        wa__graph_free(halves);
    }
    wa__graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_in_halves), cmocka_unit_test(images_in_halves), cmocka_unit_test(not_worth_it), cmocka_unit_test(segments), cmocka_unit_test(no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
