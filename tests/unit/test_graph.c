/* graph: building, replacing, compacting, binding, cloning, printing, verifying. */
#include "graph/graph.h"
#include "tests.h"

static wa_graph *make(void)
{
    wa_graph *g;
    wa_error err;
    assert_ok(wa__graph_create(&g, &err), err);
    return g;
}

static char *text_of(const wa_graph *g, bool canonical)
{
    wa_buf b;
    wa_error err;
    wa__buf_init(&b, 1 << 20);
    assert_ok(wa__graph_print(g, canonical, &b, &err), err);
    return b.ptr;
}

static uint32_t input(wa_graph *g, const char *name, const char *a, const char *b)
{
    wa_tensor_type t = {WA_F32, 2, {-1 - (int64_t)wa__graph_symbol(g, wa__str(a)), -1 - (int64_t)wa__graph_symbol(g, wa__str(b))}};
    return wa__graph_input(g, wa__str(name), &t);
}

static void test_build_and_print(void **state)
{
    (void)state;
    wa_graph *g = make();
    wa_error err;
    uint32_t x = input(g, "x", "batch", "sequence"), c = wa__graph_const_f32(g, 2);
    uint32_t n = wa__graph_node(g, WA_OP_Mul, WA_STR("double"), (uint32_t[]){x, c}, 2, 1);
    assert_true(wa__node_set_int(g, n, "k", 3) && wa__node_set_int(g, n, "k", 4));
    assert_true(wa__node_set_ints(g, n, "l", (int64_t[]){1, -1}, 2) && wa__node_set_str(g, n, "s", WA_STR("hi")));
    assert_true(wa__node_set_float(g, n, "f", 0.5f));
    assert_int_equal(wa__node_int(&g->nodes[n], "k", 0), 4);
    assert_true(wa__graph_output(g, g->nodes[n].outputs[0]));
    assert_ok(wa__graph_verify(g, &err), err);
    char *t = text_of(g, false);
    assert_string_equal(t, "input %0 : f32[batch,sequence]  # x\nconst %1 : f32[] = {2}\n"
                           "%2 = Mul(%0, %1) {k=4, l=[1,-1], s=\"hi\", f=0.5} : ?  # double\noutput %2\n");
    wa__free(t);
    t = text_of(g, true);
    assert_string_equal(t, "input %0 : f32[batch,sequence]\n%1 = Mul(%0, f32[]) {f=0.5, k=4, l=[1,-1], s=\"hi\"} : ?\noutput %1\n");
    wa__free(t);
    wa_error e2;
    assert_int_equal(wa__graph_bind(g, NULL, 0, &e2), WA_INVALID_ARGUMENT);
    assert_non_null(strstr(e2.message, "batch sequence"));
    wa_binding_dim d[] = {{WA_STR("batch"), 2}, {WA_STR("sequence"), 5}, {WA_STR("other"), 1}};
    assert_ok(wa__graph_bind(g, d, 3, &err), err);
    assert_int_equal(g->values[x].type.dims[1], 5);
    wa__graph_free(g);
    wa__graph_free(NULL);
}

static void test_const_bounds(void **state)
{
    (void)state;
    wa_graph *g = make();
    static const uint8_t file[16];
    uint32_t s = wa__graph_source(g, WA_STR("w.bin"), file, sizeof file);
    wa_tensor_type t = {WA_F32, 1, {3}};
    assert_true(wa__graph_const(g, WA_STR("w"), &t, file + 4, (int32_t)s) != WA_NONE);
    assert_int_equal(g->values[0].offset, 4);
    assert_true(wa__graph_const(g, WA_STR("v"), &t, file + 5, (int32_t)s) == WA_NONE);
    assert_true(wa__graph_const(g, WA_STR("v"), &t, file, 7) == WA_NONE);
    t.dims[0] = INT64_MAX;
    assert_true(wa__graph_const(g, WA_STR("v"), &t, file, -1) == WA_NONE);
    wa__graph_free(g);
}

static void test_compact_orders_and_sweeps(void **state)
{
    (void)state;
    wa_graph *g = make();
    wa_error err;
    wa_tensor_type t = {WA_F32, 1, {4}};
    uint32_t x = wa__graph_input(g, WA_STR("x"), &t);
    uint32_t unused = wa__graph_const_f32(g, 7), late = wa__graph_value(g, WA_STR("late"));
    uint32_t y = wa__graph_add(g, WA_OP_Neg, (uint32_t[]){late}, 1);
    uint32_t n = wa__graph_node(g, WA_OP_Abs, WA_STR(""), (uint32_t[]){x}, 1, 1);
    wa__graph_replace(g, late, g->nodes[n].outputs[0]);
    uint32_t dead = wa__graph_node(g, WA_OP_Exp, WA_STR(""), (uint32_t[]){y}, 1, 1);
    g->nodes[dead].dead = true;
    assert_true(wa__graph_output(g, y));
    assert_int_equal(wa__graph_uses(g, y), 1);
    assert_int_equal(wa__graph_uses(g, unused), 0);
    assert_int_equal(wa__graph_verify(g, &err), WA_VERIFY); /* not in order yet */
    assert_ok(wa__graph_compact(g, &err), err);
    assert_ok(wa__graph_verify(g, &err), err);
    char *s = text_of(g, false);
    assert_string_equal(s, "input %0 : f32[4]  # x\n%2 = Abs(%0) : ?\n%1 = Neg(%2) : ?\noutput %1\n");
    wa__free(s);
    wa__graph_free(g);
}

static void test_cycle_is_refused(void **state)
{
    (void)state;
    wa_graph *g = make();
    wa_error err;
    wa_tensor_type t = {WA_F32, 0, {0}};
    uint32_t x = wa__graph_input(g, WA_STR("x"), &t);
    uint32_t a = wa__graph_add(g, WA_OP_Add, (uint32_t[]){x, x}, 2), b = wa__graph_add(g, WA_OP_Neg, (uint32_t[]){a}, 1);
    g->nodes[g->values[a].producer].inputs[1] = b;
    assert_int_equal(wa__graph_compact(g, &err), WA_VERIFY);
    assert_non_null(strstr(err.message, "cycle"));
    wa__graph_free(g);
}

static void test_verify_names_the_rule(void **state)
{
    (void)state;
    wa_error err;
    wa_tensor_type t = {WA_F32, 1, {2}};
    struct { const char *says; } cases[] = {{"two values are named x"}, {"inputs; it takes"}, {"required"}, {"made by no node"}, {"producer"}, {"symbol"}};
    for (int i = 0; i < 6; i++) {
        wa_graph *g = make();
        uint32_t x = wa__graph_input(g, WA_STR("x"), &t), y = wa__graph_add(g, WA_OP_Add, (uint32_t[]){x, x}, 2);
        assert_true(wa__graph_output(g, y));
        assert_ok(wa__graph_verify(g, &err), err);
        if (i == 0) g->values[y].name = WA_STR("x");
        if (i == 1) g->nodes[0].input_count = 1;
        if (i == 2) g->nodes[0].inputs[1] = WA_NONE;
        if (i == 3) assert_true(wa__graph_output(g, wa__graph_value(g, WA_STR("z"))));
        if (i == 4) g->values[y].producer = 3;
        if (i == 5) g->values[x].type.dims[0] = -1;
        assert_int_equal(wa__graph_verify(g, &err), WA_VERIFY);
        if (!strstr(err.message, cases[i].says)) fail_msg("case %d: \"%s\" lacks \"%s\"", i, err.message, cases[i].says);
        wa__graph_free(g);
    }
}

static void test_clone_is_independent(void **state)
{
    (void)state;
    wa_graph *g = make(), *c;
    wa_error err;
    uint32_t x = input(g, "x", "b", "s"), k = wa__graph_const_i64(g, (int64_t[]){1, 2}, 2);
    uint32_t n = wa__graph_node(g, WA_OP_Reshape, WA_STR("r"), (uint32_t[]){x, k}, 2, 1);
    assert_true(wa__node_set_ints(g, n, "l", (int64_t[]){5}, 1) && wa__graph_output(g, g->nodes[n].outputs[0]));
    char *before = text_of(g, false);
    assert_ok(wa__graph_clone(g, &c, &err), err);
    wa__graph_free(g);
    char *after = text_of(c, false);
    assert_string_equal(before, after);
    assert_true(wa__node_set_int(c, 0, "more", 1) && wa__graph_output(c, x));
    assert_true(wa__graph_add(c, WA_OP_Neg, &x, 1) != WA_NONE);
    assert_ok(wa__graph_verify(c, &err), err);
    wa__free(before);
    wa__free(after);
    wa__graph_free(c);
}

static void test_constant_readers(void **state)
{
    (void)state;
    wa_graph *g = make();
    int64_t v[4];
    uint32_t n;
    double d;
    uint32_t k = wa__graph_const_i64(g, (int64_t[]){-3, 9}, 2), f = wa__graph_const_f32(g, 0.25f);
    assert_true(wa__graph_const_ints(g, k, v, 4, &n) && n == 2 && v[0] == -3 && v[1] == 9);
    assert_false(wa__graph_const_ints(g, k, v, 1, &n));
    assert_false(wa__graph_const_ints(g, f, v, 4, &n));
    assert_true(wa__graph_const_scalar(g, f, &d) && d == 0.25);
    assert_false(wa__graph_const_scalar(g, k, &d));
    assert_false(wa__graph_const_scalar(g, WA_NONE, &d));
    wa__graph_free(g);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    for (uint64_t at = 1; at < 64; at++) {
        wa_graph *g = NULL, *c = NULL;
        wa_error err;
        wa_buf b;
        wa__buf_init(&b, 1 << 16);
        wa__alloc_fail_at(at);
        if (wa__graph_create(&g, &err) == WA_OK) {
            wa_tensor_type t = {WA_F32, 1, {4}};
            uint32_t x = wa__graph_input(g, WA_STR("x"), &t), y = x == WA_NONE ? WA_NONE : wa__graph_add(g, WA_OP_Neg, &x, 1);
            if (y != WA_NONE && wa__graph_output(g, y) && wa__graph_compact(g, &err) == WA_OK &&
                wa__graph_verify(g, &err) == WA_OK && wa__graph_print(g, true, &b, &err) == WA_OK &&
                wa__graph_clone(g, &c, &err) == WA_OK)
                assert_true(c->node_count == 1);
        }
        wa__alloc_fail_at(0);
        wa__buf_done(&b);
        wa__graph_free(g);
        wa__graph_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build_and_print),
        cmocka_unit_test(test_const_bounds),
        cmocka_unit_test(test_compact_orders_and_sweeps),
        cmocka_unit_test(test_cycle_is_refused),
        cmocka_unit_test(test_verify_names_the_rule),
        cmocka_unit_test(test_clone_is_independent),
        cmocka_unit_test(test_constant_readers),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
