/* opt on whole models: both importers end in the same fused graph, which has nothing but the intended
 * operators and computes what PyTorch computed. */
#include "base/os.h"
#include "import/import.h"
#include "kernels/kernels.h"
#include "opt/opt.h"
#include "tests.h"
#include <math.h>
#include <stdlib.h>

#define TINY WA_TEST_DIR "/fixtures/bert-tiny/"

typedef struct model {
    wa_map maps[4];
    wa_model_file files[4];
    uint32_t count;
    wa_graph *g;
} model;

/* Imports the files (names within `folder`, NULL ends them) and binds batch and tokens; false when absent. */
static bool load(model *m, const char *folder, const char *const *names, int64_t batch, int64_t tokens)
{
    wa_error err;
    *m = (model){0};
    for (; names[m->count]; m->count++) {
        char path[1024];
        snprintf(path, sizeof path, "%s%s", folder, names[m->count]);
        if (wa__os_map(path, &m->maps[m->count], &err) != WA_OK) return false;
        m->files[m->count] = (wa_model_file){wa__str(names[m->count]), m->maps[m->count].data, m->maps[m->count].size};
    }
    wa_model_files files = {m->files, m->count};
    assert_ok(wa__import(&files, &m->g, &err), err);
    wa_binding_dim d[] = {{WA_STR("batch"), batch}, {WA_STR("sequence"), tokens}, {WA_STR("batch_size"), batch}, {WA_STR("sequence_length"), tokens}};
    assert_ok(wa__graph_bind(m->g, d, 4, &err), err);
    return true;
}

static void unload(model *m)
{
    wa__graph_free(m->g);
    for (uint32_t i = 0; i < m->count; i++) wa__os_unmap(&m->maps[i]);
}

static void optimise(model *m)
{
    wa_error err;
    wa_opt_options o = {.eval = wa__kernel_eval};
    assert_ok(wa__opt_run(m->g, &o, &err), err);
    assert_ok(wa__graph_verify(m->g, &err), err);
}

static char *canonical(const model *m)
{
    wa_buf b;
    wa_error err;
    wa__buf_init(&b, 1 << 20);
    assert_ok(wa__graph_print(m->g, true, &b, &err), err);
    return b.ptr;
}

static uint32_t count_op(const model *m, wa_op op)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->g->node_count; i++) n += m->g->nodes[i].op == op;
    return n;
}

/* A .npy file's data as int64 or float32, its shape in type; data points into the map. */
static wa_view npy(const char *name, wa_dtype dtype, wa_map *map)
{
    char path[1024];
    wa_error err;
    snprintf(path, sizeof path, TINY "%s.npy", name);
    assert_ok(wa__os_map(path, map, &err), err);
    const char *shape = strstr((const char *)map->data + 10, "'shape': (");
    wa_view v = {{dtype, 0, {0}}, NULL};
    for (shape += 10; *shape != ')';) {
        v.type.dims[v.type.rank++] = strtoll(shape, (char **)&shape, 10);
        while (*shape == ',' || *shape == ' ') shape++;
    }
    size_t header = 10 + (size_t)map->data[8] + ((size_t)map->data[9] << 8);
    v.data = malloc((size_t)wa__bytes(&v.type));
    memcpy(v.data, map->data + header, (size_t)wa__bytes(&v.type));
    return v;
}

static wa_view constant(const wa_value *v)
{
    wa_view c = {v->type, malloc((size_t)wa__bytes(&v->type) + 1)};
    memcpy(c.data, v->data, (size_t)wa__bytes(&v->type));
    return c;
}

/* Runs the graph node by node with the reference kernels; returns its first output. */
static wa_view interpret(const wa_graph *g, const wa_view *inputs)
{
    wa_error err = {0};
    wa_view *values = calloc(g->value_count, sizeof *values), none = {{WA_DTYPE_NONE, 0, {0}}, NULL};
    for (uint32_t i = 0; i < g->value_count; i++)
        if (g->values[i].kind == WA_VALUE_CONST) values[i] = constant(&g->values[i]);
    for (uint32_t i = 0; i < g->input_count; i++) values[g->inputs[i]] = inputs[i];
    for (uint32_t i = 0; i < g->node_count; i++) {
        const wa_node *n = &g->nodes[i];
        wa_view in[64], out[4];
        for (uint32_t k = 0; k < n->input_count; k++) in[k] = n->inputs[k] == WA_NONE ? none : values[n->inputs[k]];
        for (uint32_t k = 0; k < n->output_count; k++) {
            out[k] = (wa_view){g->values[n->outputs[k]].type, NULL};
            out[k].data = values[n->outputs[k]].data = calloc(1, (size_t)wa__bytes(&out[k].type) + 1);
            values[n->outputs[k]].type = out[k].type;
        }
        wa_kernel_args a = {.op = n->op, .opset = n->opset, .attrs = n->attrs, .attr_count = n->attr_count, .in = in, .in_count = n->input_count, .out = out, .out_count = n->output_count};
        wa_kernel_fn fn = wa__kernel_ref(n->op);
        if (!fn) fail_msg("no reference kernel for %s", wa__op_info(n->op)->name);
        assert_ok(fn(&a, &err), err);
    }
    wa_view result = values[g->outputs[0]];
    for (uint32_t i = 0; i < g->value_count; i++) {
        bool is_input = false;
        for (uint32_t k = 0; k < g->input_count; k++) is_input = is_input || g->inputs[k] == i;
        if (i != g->outputs[0] && !is_input) free(values[i].data);
    }
    free(values);
    return result;
}

/* Largest difference from the .npy where rows (batch, token) count: `mask` NULL for all. */
static double difference(const wa_view *got, const wa_view *want, const wa_view *mask)
{
    double worst = 0;
    int64_t width = got->type.dims[got->type.rank - 1];
    assert_int_equal(wa__count(&got->type), wa__count(&want->type));
    for (int64_t i = 0; i < wa__count(&got->type); i++) {
        if (mask && !wa__get_i64(mask, i / width)) continue;
        double d = fabs(wa__get_f64(got, i) - wa__get_f64(want, i));
        if (!(d <= worst)) worst = d;
    }
    return worst;
}

static const char *const hf[] = {"config.json", "model.safetensors", NULL};

static void pool(model *m)
{
    wa_error err;
    uint32_t mask = wa__graph_find(m->g, WA_STR("attention_mask"));
    assert_ok(wa__opt_append_pooling(m->g, m->g->outputs[0], mask, WA_POOLING_MEAN, true, &err), err);
}

/* One form of the tiny model: hidden states and the pooled embedding against PyTorch's. */
static void check_numbers(const char *folder, const char *const *names, double tolerance)
{
    wa_map maps[6];
    wa_view ids = npy("input_ids", WA_I64, &maps[0]), mask = npy("attention_mask", WA_I64, &maps[1]), types = npy("token_type_ids", WA_I64, &maps[2]);
    wa_view hidden = npy("last_hidden_state", WA_F32, &maps[3]), embedding = npy("embedding_mean_normalized", WA_F32, &maps[4]);
    for (int pooled = 0; pooled < 2; pooled++) {
        model m;
        assert_true(load(&m, folder, names, ids.type.dims[0], ids.type.dims[1]));
        if (pooled) pool(&m);
        optimise(&m);
        wa_view inputs[3];
        for (uint32_t i = 0; i < m.g->input_count; i++) {
            wa_str name = m.g->values[m.g->inputs[i]].name;
            inputs[i] = wa__str_is(name, "input_ids") ? ids : wa__str_is(name, "attention_mask") ? mask : types;
        }
        wa_view got = interpret(m.g, inputs);
        double d = difference(&got, pooled ? &embedding : &hidden, pooled ? NULL : &mask);
        if (!(d <= tolerance)) fail_msg("%s%s, %s: differs from PyTorch by %g", folder, names[0], pooled ? "pooled" : "hidden states", d);
        free(got.data);
        unload(&m);
    }
    free(ids.data), free(mask.data), free(types.data), free(hidden.data), free(embedding.data);
    for (int i = 0; i < 5; i++) wa__os_unmap(&maps[i]);
}

static void test_numbers(void **state)
{
    (void)state;
    check_numbers(TINY "hf/", hf, 2e-5);
    check_numbers(TINY, (const char *const[]){"opset14.onnx", NULL}, 2e-5);
    check_numbers(TINY, (const char *const[]){"opset17.onnx", NULL}, 2e-5);
    check_numbers(TINY, (const char *const[]){"dynamo.onnx", NULL}, 2e-5);
    check_numbers(TINY "hf-f16/", hf, 2e-2);
    check_numbers(TINY "hf-bf16/", hf, 1e-1);
}

/* What a BERT of `layers` may consist of. */
static void check_operators(const model *m, uint32_t layers, uint32_t pooling, uint32_t normalise)
{
    assert_int_equal(count_op(m, WA_OP_EmbedLayerNorm), 1);
    assert_int_equal(count_op(m, WA_OP_QkvAttention), layers);
    assert_int_equal(count_op(m, WA_OP_FusedMatMul), 4 * layers);
    assert_int_equal(count_op(m, WA_OP_LayerNormalization), 2 * layers);
    assert_int_equal(count_op(m, WA_OP_Concat), 2 * layers);
    assert_int_equal(count_op(m, WA_OP_Elementwise), 1);
    assert_int_equal(count_op(m, WA_OP_MeanPool), pooling);
    assert_int_equal(count_op(m, WA_OP_L2Normalize), normalise);
    assert_int_equal(m->g->node_count, 9 * layers + 3 + pooling + normalise + count_op(m, WA_OP_Identity)); /* 3: one view of the mask */
}

static void test_importers_agree(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = {{2, 7}, {1, 1}, {3, 1}, {4, 32}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        char *first = NULL;
        const char *const onnx14[] = {"opset14.onnx", NULL}, *const onnx17[] = {"opset17.onnx", NULL}, *const *forms[] = {hf, onnx14, onnx17};
        static const char *const folders[] = {TINY "hf/", TINY, TINY};
        for (size_t k = 0; k < 3; k++) {
            model m;
            assert_true(load(&m, folders[k], forms[k], shapes[i][0], shapes[i][1]));
            pool(&m);
            optimise(&m);
            check_operators(&m, 2, 1, 1);
            char *text = canonical(&m);
            if (!first) first = text;
            else {
                assert_string_equal(text, first);
                wa__free(text);
            }
            unload(&m);
        }
        wa__free(first);
    }
}

/* The mask of the newest exporter is another expression, the rest the same. */
static void test_dynamo(void **state)
{
    (void)state;
    model m;
    assert_true(load(&m, TINY, (const char *const[]){"dynamo.onnx", NULL}, 2, 7));
    optimise(&m);
    check_operators(&m, 2, 0, 0);
    unload(&m);
}

static void test_real_models(void **state)
{
    (void)state;
    model m;
    static const int64_t shapes[][2] = {{1, 1}, {1, 128}, {32, 256}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (!load(&m, WA_DEPS_DIR "/models/l3/", (const char *const[]){"paraphrase-MiniLM-L3-v2.onnx", NULL}, shapes[i][0], shapes[i][1])) {
            fprintf(stderr, "skipped: no models in " WA_DEPS_DIR "; run make deps\n");
            skip();
        }
        optimise(&m);
        assert_int_equal(count_op(&m, WA_OP_Identity), 2); /* outputs that pass inputs through */
        check_operators(&m, 3, 1, 0);
        if (m.g->arena->bytes_total > 4u << 20) fail_msg("L3 took %zu bytes at batch %lld", m.g->arena->bytes_total, (long long)shapes[i][0]);
        unload(&m);
        assert_true(load(&m, WA_DEPS_DIR "/models/l6/", hf, shapes[i][0], shapes[i][1]));
        pool(&m);
        optimise(&m);
        check_operators(&m, 6, 1, 1);
        unload(&m);
    }
}

/* Every third allocation of a whole compile fails in turn, the folding kernels' own among them. */
static void test_allocations_may_fail(void **state)
{
    (void)state;
    uint64_t total = 1;
    for (uint64_t at = 0; at <= total; at += at ? 3 : 1) {
        model m;
        wa_error err = {0};
        assert_true(load(&m, TINY, (const char *const[]){"dynamo.onnx", NULL}, 2, 3));
        wa_opt_options o = {.eval = wa__kernel_eval};
        wa__alloc_fail_at(at);
        wa_status s = wa__opt_run(m.g, &o, &err);
        uint64_t made = wa__alloc_fail_at(0);
        if (at == 0) {
            assert_ok(s, err);
            total = made;
        } else if (s != WA_NO_MEMORY) fail_msg("allocation %llu of %llu failed: status %d %s", (unsigned long long)at, (unsigned long long)total, s, err.message);
        unload(&m);
    }
    assert_true(total > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_importers_agree),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_dynamo),
        cmocka_unit_test(test_real_models),
        cmocka_unit_test(test_allocations_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
