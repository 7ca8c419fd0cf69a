/* How many dispatches a transformer takes on WebGPU: norms between products take none on hardware. */
#include "base/os.h"
#include "import/import.h"
#include "opt/opt.h"
#include "plan/plan.h"
#include "tests.h"

#define LAYER_MAX 6 /* dispatches of a layer, whatever the adapter and the shape */

typedef struct model {
    wa_map maps[2];
    wa_graph *g;
} model;

/* False where the folder is absent. */
static bool load(model *m, const char *folder, int64_t batch, int64_t tokens, bool pooled)
{
    static const char *const names[] = {"config.json", "model.safetensors"};
    wa_model_file list[2];
    wa_error err = {0};
    *m = (model){0};
    for (unsigned i = 0; i < 2; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (wa__os_map(path, &m->maps[i], &err) != WA_OK) {
            if (i) wa__os_unmap(&m->maps[0]);
            return false;
        }
        list[i] = (wa_model_file){wa__str(names[i]), m->maps[i].data, m->maps[i].size};
    }
    wa_model_files files = {list, 2};
    wa_binding_dim d[] = {{WA_STR("batch"), batch}, {WA_STR("sequence"), tokens}};
    wa_opt_options o = {.eval = wa__kernel_eval};
    assert_ok(wa__import(&files, &m->g, &err), err);
    assert_ok(wa__graph_bind(m->g, d, 2, &err), err);
    if (pooled) assert_ok(wa__opt_append_pooling(m->g, m->g->outputs[0], wa__graph_find(m->g, WA_STR("attention_mask")), WA_POOLING_MEAN, true, &err), err);
    assert_ok(wa__opt_run(m->g, &o, &err), err);
    return true;
}

static void unload(model *m)
{
    wa__graph_free(m->g);
    for (unsigned i = 0; i < 2; i++) wa__os_unmap(&m->maps[i]);
}

/* Dispatches of the whole, and the most that stand between one attention and the next, that one included. */
static uint32_t dispatches(const char *folder, int64_t batch, int64_t tokens, const wa_plan_target *t, uint32_t *layer)
{
    model m;
    wa_plan *p;
    wa_error err = {0};
    wa_plan_options o = {.target = *t};
    if (!load(&m, folder, batch, tokens, true)) return 0;
    assert_ok(wa__plan_build(m.g, &o, &p, &err), err);
    uint32_t last = WA_NONE, count = p->dispatch_count;
    *layer = 0;
    assert_int_equal(p->segment_count, 1);
    for (uint32_t i = 0; i < count; i++) {
        if (!strstr(wa__plan_text(p, p->pipelines[p->dispatches[i].pipeline].label), "attention")) continue;
        if (last != WA_NONE && i - last > *layer) *layer = i - last;
        last = i;
    }
    wa__plan_free(p);
    unload(&m);
    return count;
}

static void layers(void **state)
{
    (void)state;
    static const wa_plan_target targets[] = {{.target = WA_TARGET_WEBGPU}, {.target = WA_TARGET_WEBGPU, .workgroup_bytes = 49152, .invocations = 1024}};
    static const int64_t shapes[][2] = {{1, 16}, {1, 128}, {32, 128}, {64, 64}};
    for (unsigned t = 0; t < 2; t++) {
        for (unsigned i = 0; i < 4; i++) {
            uint32_t layer, count = dispatches(WA_TEST_DIR "/fixtures/bert-tiny/hf", shapes[i][0], shapes[i][1] < 64 ? shapes[i][1] : 64, &targets[t], &layer);
            assert_true(count > 0);
            assert_int_equal(layer, 5);
            assert_true(layer <= LAYER_MAX);
            count = dispatches(WA_DEPS_DIR "/models/l6", shapes[i][0], shapes[i][1], &targets[t], &layer);
            if (!count) continue; /* the model is not on this machine */
            assert_int_equal(layer, 5);
            assert_in_range(count, 30, 45);
        }
    }
}

/* --- layers built by hand ---------------------------------------------------------------------------- */
static float zeros[64 * 256];
static wa_graph *graph;

static void new_graph(void)
{
    wa_error err = {0};
    assert_ok(wa__graph_create(&graph, &err), err);
    wa__graph_source(graph, WA_STR("weights"), zeros, sizeof zeros);
}

static uint32_t value(bool is_input, int64_t a, int64_t b, int64_t c)
{
    wa_tensor_type t = {.dtype = WA_F32, .rank = a ? 3 : b ? 2 : 1, .dims = {a ? a : b ? b : c, a ? b : c, c}};
    return is_input ? wa__graph_input(graph, WA_STR("x"), &t) : wa__graph_const(graph, WA_STR(""), &t, zeros, 0);
}

static uint32_t op(wa_op kind, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    uint32_t in[] = {a, b, c, d}, count = d != WA_NONE ? 4 : c != WA_NONE ? 3 : b != WA_NONE ? 2 : 1, node = wa__graph_node(graph, kind, WA_STR(""), in, count, 1);
    wa_error err = {0};
    graph->nodes[node].opset = kind == WA_OP_FusedMatMul || kind == WA_OP_QkvAttention ? 0 : 23;
    if (kind == WA_OP_QkvAttention) wa__node_set_int(graph, node, "num_heads", 4);
    assert_ok(wa__graph_infer_node(graph, node, &err), err);
    return graph->nodes[node].outputs[0];
}

static uint32_t product(uint32_t x, int64_t k, int64_t n, uint32_t residual) { return op(WA_OP_FusedMatMul, x, value(false, 0, k, n), value(false, 0, 0, n), residual); }

static uint32_t norm(uint32_t x, bool rms, int64_t width) { return op(rms ? WA_OP_RMSNormalization : WA_OP_LayerNormalization, x, value(false, 0, 0, width), rms ? WA_NONE : value(false, 0, 0, width), WA_NONE); }

static uint32_t planned(uint32_t output, bool software)
{
    wa_plan *p;
    wa_error err = {0};
    wa_plan_options o = {.target = {.target = WA_TARGET_WEBGPU, .software = software}};
    wa__graph_output(graph, output);
    assert_ok(wa__plan_build(graph, &o, &p, &err), err);
    uint32_t count = p->dispatch_count;
    wa__plan_free(p);
    wa__graph_free(graph);
    return count;
}

/* Three layers whose norms come first, as GPT-2 (LayerNormalization) and LLaMA (RMSNormalization, two products of
 * which one is gated) have them. */
static uint32_t pre_norm(bool rms, bool software)
{
    enum { D = 32, F = 64 };
    new_graph();
    uint32_t x = value(true, 1, 20, D);
    for (unsigned i = 0; i < 3; i++) {
        x = product(op(WA_OP_QkvAttention, product(norm(x, rms, D), D, 3 * D, WA_NONE), WA_NONE, WA_NONE, WA_NONE), D, D, x);
        uint32_t y = norm(x, rms, D), up = product(y, D, F, WA_NONE);
        if (rms) up = op(WA_OP_Mul, up, product(y, D, F, WA_NONE), WA_NONE, WA_NONE);
        x = product(up, F, D, x);
    }
    return planned(norm(x, rms, D), software);
}

static void norms_first(void **state)
{
    (void)state;
    assert_int_equal(pre_norm(false, false), 1 + 3 * 5 + 1); /* the first norm reads an input, the last one has no reader */
    assert_int_equal(pre_norm(true, false), 1 + 3 * 7 + 1);  /* two more a layer: the gate and the product with it */
    assert_int_equal(pre_norm(false, true), 3 * 7 + 1);      /* software adapters keep them */
}

/* Norms that must keep their dispatch: one that another operator reads first, one of a width that 4 does not divide,
 * one whose statistics are read. */
static void norms_left_alone(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        wa_error err = {0};
        int64_t D = i == 1 ? 30 : 32;
        new_graph();
        uint32_t x = product(value(true, 1, 20, 32), 32, D, WA_NONE), y;
        if (i == 2) {
            uint32_t node = wa__graph_node(graph, WA_OP_LayerNormalization, WA_STR(""), (uint32_t[]){x, value(false, 0, 0, D)}, 2, 2);
            graph->nodes[node].opset = 17;
            assert_ok(wa__graph_infer_node(graph, node, &err), err);
            y = op(WA_OP_Add, product(graph->nodes[node].outputs[0], D, D, WA_NONE), graph->nodes[node].outputs[1], WA_NONE, WA_NONE);
            assert_int_equal(planned(y, false), 4);
            continue;
        }
        y = norm(x, false, D);
        uint32_t first = i == 0 ? op(WA_OP_Relu, y, WA_NONE, WA_NONE, WA_NONE) : y;
        y = product(y, D, D, first == y ? WA_NONE : first);
        assert_int_equal(planned(y, false), i == 0 ? 4 : 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(layers), cmocka_unit_test(norms_first), cmocka_unit_test(norms_left_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
