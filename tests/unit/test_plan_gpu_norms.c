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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(layers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
