/* Plans from small graphs built by hand: golden text, round trips, hostile edits. */
#include "tests.h"
#include "graph/graph.h"
#include "plan/plan_int.h"
#include <stdlib.h>

/* The kernels' part of the planner's decisions, fixed here so that golden plans do not move with
 * the kernels' tuning. */
size_t wa__kernel_scratch(const wa_kernel_args *a) { return a->op == WA_OP_Relu ? 100 : 0; }
size_t wa__kernel_prepare_bytes(const wa_kernel_args *a, uint32_t input)
{
    return a->op == WA_OP_MatMul && input == 1 ? 320 : 0;
}

uint32_t wa__kernel_prepare_bits(const wa_kernel_args *a, uint32_t input) { return wa__kernel_prepare_bytes(a, input) ? 32 : 0; }

static float numbers[64 * 64];

static wa_graph *fresh(void)
{
    wa_graph *g = NULL;
    wa_error err = {0};
    assert_ok(wa__graph_create(&g, &err), err);
    return g;
}
static wa_tensor_type type(wa_dtype d, uint32_t rank, int64_t a, int64_t b, int64_t c)
{
    return (wa_tensor_type){d, rank, {a, b, c}};
}
static uint32_t source(wa_graph *g) { return wa__graph_source(g, wa__str("model.bin"), numbers, sizeof numbers); }
static uint32_t weight(wa_graph *g, const char *name, wa_tensor_type t, size_t at)
{
    return wa__graph_const(g, wa__str(name), &t, (const char *)numbers + at, 0);
}
/* Appends a node with one output of a known type. */
static uint32_t add(wa_graph *g, wa_op op, const char *name, const uint32_t *in, uint32_t n, wa_tensor_type out)
{
    uint32_t node = wa__graph_node(g, op, wa__str(name), in, n, 1);
    assert_int_not_equal(node, WA_NONE);
    uint32_t v = g->nodes[node].outputs[0];
    g->values[v].type = out;
    return v;
}

/* x[2,8] . w[8,8] + bias, relu, a reshape, three weights side by side, a constant output. */
static wa_graph *small_graph(void)
{
    wa_graph *g = fresh();
    source(g);
    wa_tensor_type x_type = type(WA_F32, 2, 2, 8, 0), w_type = type(WA_F32, 2, 8, 8, 0), wide = type(WA_F32, 2, 8, 24, 0);
    uint32_t x = wa__graph_input(g, wa__str("x"), &x_type);
    uint32_t w = weight(g, "w", w_type, 0), bias = weight(g, "bias", type(WA_F32, 1, 8, 0, 0), 256);
    uint32_t y = add(g, WA_OP_MatMul, "product", (uint32_t[]){x, w}, 2, x_type);
    y = add(g, WA_OP_Add, "bias", (uint32_t[]){y, bias}, 2, x_type);
    y = add(g, WA_OP_Relu, "relu", (uint32_t[]){y}, 1, x_type);
    int64_t dims[] = {1, 2, 8};
    uint32_t shape = wa__graph_const_i64(g, dims, 3);
    uint32_t r = add(g, WA_OP_Reshape, "view", (uint32_t[]){y, shape}, 2, type(WA_F32, 3, 1, 2, 8));
    uint32_t q = weight(g, "q", w_type, 512), k = weight(g, "k", w_type, 1024), kt;
    kt = add(g, WA_OP_Transpose, "kt", (uint32_t[]){k}, 1, w_type);
    uint32_t c = add(g, WA_OP_Concat, "qkv", (uint32_t[]){q, kt, w}, 3, wide);
    wa__node_set_int(g, g->values[c].producer, "axis", 1);
    uint32_t z = add(g, WA_OP_FusedMatMul, "qkv product", (uint32_t[]){r, c}, 2, type(WA_F32, 3, 1, 2, 24));
    wa__node_set_int(g, g->values[z].producer, "splits", 3);
    wa__graph_output(g, z);
    wa__graph_output(g, bias);
    g->values[z].name = wa__str("z");
    return g;
}

static wa_plan *plan_of(const wa_graph *g, wa_plan_options o)
{
    wa_plan *p = NULL;
    wa_error err = {0};
    assert_ok(wa__plan_build(g, &o, &p, &err), err);
    return p;
}
static wa_plan *small_plan(wa_target t)
{
    wa_graph *g = small_graph();
    wa_plan *p = plan_of(g, (wa_plan_options){.target = {.target = t}, .model_cid = "bafytest", .batch = 1, .length = 2});
    wa__graph_free(g);
    return p;
}

static void golden(const wa_plan *p, const char *name)
{
    char path[512];
    wa_buf text, want;
    wa_error err = {0};
    wa__buf_init(&text, 1 << 22);
    wa__buf_init(&want, 1 << 22);
    assert_ok(wa__plan_print(p, &text, &err), err);
    snprintf(path, sizeof path, "%s/golden/plan_%s.txt", WA_TEST_DIR, name);
    FILE *f = fopen(path, getenv("WA_GOLDEN_WRITE") ? "w+" : "r");
    if (!f) fail_msg("%s is missing; WA_GOLDEN_WRITE=1 makes it", path);
    if (getenv("WA_GOLDEN_WRITE")) fwrite(text.ptr, 1, text.len, f);
    rewind(f);
    char chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;) assert_ok(wa__buf_append(&want, chunk, n, &err), err);
    fclose(f);
    assert_string_equal(text.ptr, want.ptr);
    wa__buf_done(&text);
    wa__buf_done(&want);
}

/* WA_CORPUS_WRITE=folder: the fuzzer's seeds. */
static void seed(const wa_plan *p, const char *name)
{
    const char *folder = getenv("WA_CORPUS_WRITE");
    char path[512];
    wa_buf b;
    wa_error err = {0};
    if (!folder) return;
    wa__buf_init(&b, 1 << 24);
    assert_ok(wa__plan_save(p, &b, &err), err);
    snprintf(path, sizeof path, "%s/%s.plan", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(b.ptr, 1, b.len, f);
    fclose(f);
    wa__buf_done(&b);
}

static void cpu_golden(void **state)
{
    (void)state;
    wa_plan *p = small_plan(WA_TARGET_CPU);
    golden(p, "small_cpu");
    seed(p, "small_cpu");
    assert_int_equal(wa__plan_bytes(p, WA_TARGET_WEBGPU), 0);
    assert_int_equal(wa__plan_find_entry(p, "run"), 0);
    assert_int_equal(wa__plan_find_entry(p, "no"), WA_NONE);
    wa__plan_free(p);
}

static void gpu_golden(void **state)
{
    (void)state;
    wa_plan *p = small_plan(WA_TARGET_WEBGPU);
    golden(p, "small_webgpu");
    seed(p, "small_webgpu");
    wa__plan_free(p);
}

/* Arithmetic and traffic stand beside every dispatch and call, and are the same work on both targets. */
static void work_is_counted(void **state)
{
    (void)state;
    wa_plan *cpu = small_plan(WA_TARGET_CPU), *gpu = small_plan(WA_TARGET_WEBGPU);
    assert_int_equal(cpu->calls[0].flops, 2 * 2 * 8 * 8);
    assert_int_equal(cpu->calls[0].bytes, (16 + 64 + 16) * 4);
    assert_int_equal(cpu->calls[1].flops, 0);
    assert_int_equal(cpu->calls[3].flops, 2 * 2 * 8 * 24);
    for (uint32_t i = 0; i < 4; i++) {
        if (i != 1 && i != 2) assert_int_equal(gpu->dispatches[i].flops, cpu->calls[i].flops);
        assert_int_equal(gpu->dispatches[i].bytes, cpu->calls[i].bytes);
    }
    wa__plan_free(cpu);
    wa__plan_free(gpu);
}

static void round_trip(void **state)
{
    (void)state;
    wa_plan *p = small_plan(WA_TARGET_CPU), *q = NULL;
    wa_buf a, b;
    wa_error err = {0};
    wa__buf_init(&a, 1 << 22);
    wa__buf_init(&b, 1 << 22);
    assert_ok(wa__plan_save(p, &a, &err), err);
    assert_ok(wa__plan_load(a.ptr, a.len, "saved", &q, &err), err);
    assert_ok(wa__plan_save(q, &b, &err), err);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.ptr, b.ptr, a.len);
    assert_memory_equal(p->info.key, q->info.key, 32);
    wa__plan_free(p);
    wa__plan_free(q);
    wa__buf_done(&a);
    wa__buf_done(&b);
}

/* Whatever loads must print and generate its shaders. */
static void use(const wa_plan *p, wa_buf *text)
{
    wa_error err = {0};
    wa__buf_clear(text);
    assert_ok(wa__plan_print(p, text, &err), err);
    for (uint32_t i = 0; i < p->pipeline_count; i++) {
        wa__buf_clear(text);
        assert_ok(wa__wgsl_generate(&p->pipelines[i].spec, p->code, text, &err), err);
    }
}

/* Every byte changed in turn, the checksum made right again: refused or harmless, never a crash. */
static void hostile_plan(wa_target target)
{
    static const uint8_t edits[] = {0x01, 0x80, 0xff};
    wa_error err = {0};
    wa_plan *p = small_plan(target), *q;
    wa_buf a, text;
    wa__buf_init(&a, 1 << 22);
    wa__buf_init(&text, 1 << 26);
    assert_ok(wa__plan_save(p, &a, &err), err);
    unsigned refused = 0;
    assert_int_not_equal(wa__plan_load(a.ptr, a.len - 1, "cut", &q, &err), WA_OK);
    a.ptr[20] ^= 1;
    assert_int_equal(wa__plan_load(a.ptr, a.len, "flipped", &q, &err), WA_VERIFY);
    a.ptr[20] ^= 1;
    for (size_t i = 0; i < (a.len - 32) * sizeof edits; i++) {
        char *at = a.ptr + i / sizeof edits, was = *at;
        *at = (char)(was ^ edits[i % sizeof edits]);
        assert_ok(wa__sha256(a.ptr, a.len - 32, (uint8_t *)a.ptr + a.len - 32, &err), err);
        q = NULL;
        if (wa__plan_load(a.ptr, a.len, "edited", &q, &err) == WA_OK) use(q, &text);
        else refused++;
        wa__plan_free(q);
        *at = was;
    }
    assert_true(refused > a.len); /* most edits break a rule */
    for (size_t n = 0; n < a.len; n += 7) assert_int_not_equal(wa__plan_load(a.ptr, n, "cut", &q, &err), WA_OK);
    wa__plan_free(p);
    wa__buf_done(&a);
    wa__buf_done(&text);
}
static void hostile_bytes(void **state)
{
    (void)state;
    hostile_plan(WA_TARGET_CPU);
    hostile_plan(WA_TARGET_WEBGPU);
}

/* A dispatch that would read and write one buffer is refused by name. */
static void aliasing_refused(void **state)
{
    (void)state;
    wa_error err = {0};
    wa_plan *p = small_plan(WA_TARGET_WEBGPU);
    assert_ok(wa__plan_verify(p, &err), err);
    for (uint32_t i = 0; i < p->bind_count; i++)
        if (p->binds[i].write) p->binds[i].buffer = p->binds[0].buffer;
    assert_int_equal(wa__plan_verify(p, &err), WA_VERIFY);
    assert_non_null(strstr(err.message, "MatMul product"));
    assert_non_null(strstr(err.message, "reads and writes buffer"));
    wa__plan_free(p);
}

static void keys_differ(void **state)
{
    (void)state;
    wa_error err = {0};
    uint8_t a[32], b[32];
    const char *name = "x";
    wa_tensor_type t = type(WA_F32, 2, 2, 8, 0);
    wa_plan_options o = {.target = {.target = WA_TARGET_CPU}, .model_cid = "m"};
    assert_ok(wa__plan_key(&o, &name, &t, 1, a, &err), err);
    assert_ok(wa__plan_key(&o, &name, &t, 1, b, &err), err);
    assert_memory_equal(a, b, 32);
    t.dims[0] = 3;
    assert_ok(wa__plan_key(&o, &name, &t, 1, b, &err), err);
    assert_memory_not_equal(a, b, 32);
    t.dims[0] = 2;
    o.target.target = WA_TARGET_WEBGPU;
    assert_ok(wa__plan_key(&o, &name, &t, 1, b, &err), err);
    assert_memory_not_equal(a, b, 32);
}

static void memory_reuses(void **state)
{
    (void)state;
    wa_error err = {0};
    uint64_t sizes[WA_PLAN_ARENAS_MAX];
    uint32_t count;
    wa_plan_block k[4] = {{100, 0, 1, 0, 0}, {100, 1, 2, 0, 0}, {100, 2, 3, 0, 0}, {64, 3, 3, 0, 0}};
    assert_ok(wa__plan_memory(k, 4, NULL, 0, 64, 1 << 20, sizes, &count, &err), err);
    assert_int_equal(count, 1);
    assert_int_equal(sizes[0], 256);
    assert_int_equal(k[2].offset, 0);
    wa_plan_block c[2] = {{100, 0, 1, 0, 0}, {100, 1, 2, 0, 0}};
    wa_plan_conflict apart[2] = {{0, 1}, {1, 0}};
    assert_ok(wa__plan_memory(c, 2, apart, 2, 256, 1 << 20, sizes, &count, &err), err);
    assert_int_equal(count, 2);
    assert_int_not_equal(c[0].buffer, c[1].buffer);
    assert_int_equal(wa__plan_memory(c, 2, apart, 2, 256, 64, sizes, &count, &err), WA_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu_golden), cmocka_unit_test(gpu_golden), cmocka_unit_test(work_is_counted), cmocka_unit_test(round_trip), cmocka_unit_test(hostile_bytes), cmocka_unit_test(aliasing_refused),
        cmocka_unit_test(keys_differ), cmocka_unit_test(memory_reuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
