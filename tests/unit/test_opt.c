/* opt: golden tests of each pass (tests/golden/opt_<pass>.txt), allocation failures, speed.
 *
 * A golden file has cases "=== name", the graph before, "---", the graph after. With
 * WA_UPDATE_GOLDEN=1 in the environment the parts after are rewritten: read the difference. */
#include "opt/opt.h"
#include "base/os.h"
#include "graph_text.h"

/* Enough of an evaluator for the tests: elementwise arithmetic on equal counts or scalars, Concat of
 * vectors, Gather of rows. */
static wa_status eval(void *user, wa_op op, const wa_attr *attrs, uint32_t attr_count, const wa_view *in, uint32_t in_count, wa_view *out,
                      uint32_t out_count, wa_error *err)
{
    (void)user, (void)attrs, (void)attr_count, (void)out_count;
    int64_t n = wa__count(&out->type), at = 0;
    if (op == WA_OP_Concat && out->type.rank == 1) {
        for (uint32_t k = 0; k < in_count; k++)
            for (int64_t i = 0; i < wa__count(&in[k].type); i++) wa__set_f64(out, at++, wa__get_f64(&in[k], i));
        return WA_OK;
    }
    for (int64_t i = 0; i < n; i++) {
        double x = wa__get_f64(&in[0], wa__count(&in[0].type) == 1 ? 0 : i), y = 0;
        if (in_count > 1 && op != WA_OP_Gather) y = wa__get_f64(&in[1], wa__count(&in[1].type) == 1 ? 0 : i);
        switch (op) {
        case WA_OP_Add: x += y; break;
        case WA_OP_Mul: x *= y; break;
        case WA_OP_Div: x /= y; break;
        case WA_OP_Sqrt: x = __builtin_sqrt(x); break;
        case WA_OP_Cast: break;
        case WA_OP_Gather:
            at = n / (wa__count(&in[1].type) ? wa__count(&in[1].type) : 1); /* of rows, axis 0 */
            x = wa__get_f64(&in[0], wa__get_i64(&in[1], i / at) * at + i % at);
            break;
        default: return wa__fail(err, WA_UNSUPPORTED, "test evaluator");
        }
        wa__set_f64(out, i, x);
    }
    return WA_OK;
}

static char *run(const char *before, const char *only, wa_error *err)
{
    wa_graph *g = graph_from_text(before);
    wa_opt_options o = {.eval = eval, .only = only};
    wa_buf b;
    wa__buf_init(&b, 1 << 20);
    bool resolve = only && strcmp(only, "resolve") == 0;
    if ((resolve ? wa__opt_resolve(g, &o, err) : wa__opt_run(g, &o, err)) == WA_OK) assert_ok(wa__graph_print(g, false, &b, err), *err);
    else assert_ok(wa__buf_printf(&b, err, "error: %s\n", err->message), *err);
    wa__graph_free(g);
    return b.ptr;
}

static void golden(const char *pass)
{
    char path[512];
    snprintf(path, sizeof path, "%s/golden/opt_%s.txt", WA_TEST_DIR, pass);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("no golden file %s", path);
    static char text[1 << 18];
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = 0;
    fclose(f);
    const char *update = getenv("WA_UPDATE_GOLDEN");
    f = update ? fopen(path, "wb") : NULL;
    int bad = 0;
    for (char *c = strstr(text, "=== "); c;) {
        char *next = strstr(c + 4, "\n=== "), *end_name = strchr(c, '\n'), *split = strstr(c, "\n---\n");
        if (next) *next = 0;
        if (!split || (next && split > next)) fail_msg("%s: case without ---: %.40s", path, c);
        *end_name = 0;
        *split = 0;
        wa_error err;
        char *got = run(end_name + 1, strcmp(pass, "all") == 0 ? NULL : pass, &err);
        const char *want = split + 5;
        size_t len = strlen(want);
        while (len && want[len - 1] == '\n') len--;
        if (f) fprintf(f, "%s\n%s\n---\n%s\n", c, end_name + 1, got);
        else if (strlen(got) != len + 1 || strncmp(got, want, len) != 0) {
            fprintf(stderr, "%s, case %s: got\n%swanted\n%s\n", path, c + 4, got, want);
            bad++;
        }
        wa__free(got);
        c = next ? next + 1 : NULL;
    }
    if (f) fclose(f);
    if (bad) fail_msg("%d cases of pass %s differ", bad, pass);
}

#define GOLDEN(pass)                                                                               \
    static void test_##pass(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        golden(#pass);                                                                             \
    }
GOLDEN(fold) GOLDEN(control) GOLDEN(dead) GOLDEN(cse) GOLDEN(layernorm) GOLDEN(gelu) GOLDEN(matmul) GOLDEN(conv) GOLDEN(attention) GOLDEN(qkv) GOLDEN(skiplayernorm)
GOLDEN(embed) GOLDEN(pooling) GOLDEN(elementwise) GOLDEN(all)

/* Cases of opt_resolve.txt: what can be typed is, the rest stays without a type. */
static void test_resolve(void **state)
{
    (void)state;
    golden("resolve");
}

static void test_names(void **state)
{
    (void)state;
    for (const char *const *n = wa__opt_names(); *n; n++) {
        wa_error err;
        char *s = run("input %x : f32[2]\noutput %x", *n, &err);
        assert_string_equal(s, "input %0 : f32[2]  # x\noutput %0  # x\n");
        wa__free(s);
    }
    wa_error err;
    char *s = run("input %x : f32[2]\noutput %x", "nonsense", &err);
    assert_non_null(strstr(s, "no pass is named nonsense"));
    wa__free(s);
}

/* A text with a bit of everything: every allocation of a whole run fails in turn. */
static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s/golden/opt_all.txt", WA_TEST_DIR);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    static char text[1 << 18];
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    char *start = strchr(text, '\n') + 1, *split = strstr(text, "\n---\n");
    *split = 0;
    uint64_t total = 0;
    for (uint64_t at = 0; at <= total; at++) {
        wa_graph *g = graph_from_text(start);
        wa_opt_options o = {.eval = eval};
        wa_error err = {0};
        wa__alloc_fail_at(at);
        wa_status s = wa__opt_run(g, &o, &err);
        uint64_t made = wa__alloc_fail_at(0);
        if (at == 0) {
            assert_ok(s, err);
            total = made;
        } else if (s != WA_NO_MEMORY) fail_msg("allocation %llu of %llu failed: status %d %s", (unsigned long long)at, (unsigned long long)total, s, err.message);
        wa__graph_free(g);
    }
    assert_true(total > 20);
}

static void test_ten_thousand_nodes(void **state)
{
    (void)state;
    wa_graph *g;
    wa_error err;
    assert_ok(wa__graph_create(&g, &err), err);
    wa_tensor_type t = {WA_F32, 2, {8, 64}};
    uint32_t x = wa__graph_input(g, WA_STR("x"), &t), one = wa__graph_const_f32(g, 1), two = wa__graph_const_f32(g, 2);
    for (int i = 0; i < 2500; i++) {
        uint32_t a = wa__graph_add(g, WA_OP_Mul, (uint32_t[]){x, one}, 2), b = wa__graph_add(g, WA_OP_Identity, &a, 1);
        uint32_t c = wa__graph_add(g, WA_OP_Neg, &b, 1);
        x = wa__graph_add(g, WA_OP_Add, (uint32_t[]){c, i % 7 ? two : b}, 2);
    }
    assert_true(wa__graph_output(g, x));
    uint64_t start = wa__os_now_ns();
    wa_opt_options o = {.eval = eval};
    assert_ok(wa__opt_run(g, &o, &err), err);
    double ms = (double)(wa__os_now_ns() - start) / 1e6;
    assert_true(g->node_count < 2500);
    if (ms > 2000) fail_msg("10,000 nodes took %.0f ms", ms);
    wa__graph_free(g);
}

static void test_append_pooling(void **state)
{
    (void)state;
    wa_error err;
    wa_graph *g = graph_from_text("input %x : f32[2,3,8]\ninput %m : i64[2,3]\n%h = Relu(%x)\noutput %h");
    uint32_t h = g->outputs[0];
    assert_ok(wa__opt_append_pooling(g, h, 1, WA_POOLING_MEAN, true, &err), err);
    wa_opt_options o = {.eval = eval};
    assert_ok(wa__opt_run(g, &o, &err), err);
    wa_buf b;
    wa__buf_init(&b, 1 << 16);
    assert_ok(wa__graph_print(g, true, &b, &err), err);
    assert_string_equal(b.ptr, "input %0 : f32[2,3,8]\n%1 = Relu(%0) : f32[2,3,8]\ninput %2 : i64[2,3]\n%3 = MeanPool(%1, %2) : f32[2,8]\n"
                               "%4 = L2Normalize(%3) : f32[2,8]\noutput %4\n");
    assert_true(wa__str_is(g->values[g->outputs[0]].name, "embedding"));
    wa__buf_done(&b);
    assert_int_equal(wa__opt_append_pooling(g, 0, WA_NONE, WA_POOLING_MEAN, false, &err), WA_INVALID_ARGUMENT);
    wa__graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fold), cmocka_unit_test(test_control), cmocka_unit_test(test_resolve), cmocka_unit_test(test_dead), cmocka_unit_test(test_cse), cmocka_unit_test(test_layernorm),
        cmocka_unit_test(test_gelu), cmocka_unit_test(test_matmul), cmocka_unit_test(test_conv), cmocka_unit_test(test_attention), cmocka_unit_test(test_qkv),
        cmocka_unit_test(test_skiplayernorm), cmocka_unit_test(test_embed), cmocka_unit_test(test_pooling),
        cmocka_unit_test(test_elementwise), cmocka_unit_test(test_all), cmocka_unit_test(test_names),
        cmocka_unit_test(test_every_allocation_may_fail), cmocka_unit_test(test_ten_thousand_nodes), cmocka_unit_test(test_append_pooling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
