/* src/program on the CPU: shapes that depend on data, control flow that depends on values, stages found
 * again. */
#include "cpu/cpu.h"
#include "program/program.h"
#include "tests.h"

static wa_runner *runner;

static int start(void **state)
{
    (void)state;
    wa_error err = {0};
    return wa__cpu_runner_create(1, &runner, &err) == WA_OK ? 0 : -1;
}
static int stop(void **state)
{
    (void)state;
    runner->ops->free(runner);
    return 0;
}

static wa_graph *graph(void)
{
    wa_graph *g;
    wa_error err = {0};
    assert_ok(wa__graph_create(&g, &err), err);
    return g;
}
static wa_program *program(wa_graph *g, bool bind_values)
{
    wa_program *p;
    wa_error err = {0};
    wa_program_options o = {.runner = runner, .bind_values = bind_values};
    o.plan.target.target = WA_TARGET_CPU;
    assert_ok(wa__program_create(g, &o, &p, &err), err);
    wa__graph_free(g);
    return p;
}
static uint32_t input(wa_graph *g, const char *name, wa_dtype dtype, uint32_t rank, int64_t a, int64_t b)
{
    wa_tensor_type t = {dtype, rank, {a, b}};
    return wa__graph_input(g, wa__str(name), &t);
}
static int64_t open_dim(wa_graph *g, const char *name) { return -1 - (int64_t)wa__graph_symbol(g, wa__str(name)); }
static wa_view vector(void *data, wa_dtype dtype, int64_t n) { return (wa_view){{dtype, 1, {n}}, data}; }

/* y = NonZero(x) transposed: the number of rows is known only when x is. */
static void data_decides_a_shape(void **state)
{
    (void)state;
    wa_graph *g = graph();
    uint32_t x = input(g, "x", WA_F32, 1, open_dim(g, "n"), 0), found = wa__graph_add(g, WA_OP_NonZero, &x, 1);
    uint32_t y = wa__graph_add(g, WA_OP_Transpose, &found, 1);
    assert_true(wa__graph_output(g, y));
    wa_program *p = program(g, false);
    float values[2][4] = {{0, 3, 0, 5}, {1, 1, 1, 0}};
    int64_t want[2][3] = {{1, 3, 0}, {0, 1, 2}};
    for (int i = 0; i < 2; i++) {
        wa_view in = vector(values[i], WA_F32, 4), out;
        wa_program_stats st;
        wa_error err = {0};
        assert_ok(wa__program_run(p, &in, 1, &out, 1, NULL, &st, &err), err);
        assert_int_equal(out.type.rank, 2);
        assert_int_equal(out.type.dims[0], i ? 3 : 2);
        for (int64_t k = 0; k < out.type.dims[0]; k++) assert_int_equal(((int64_t *)out.data)[k], want[i][k]);
        assert_int_equal(st.stages, 2);
        assert_int_equal(st.host_steps, 1);
        assert_int_equal(st.planned, i ? 1 : 2); /* the first stage is found again, the second has another shape */
    }
    wa__program_free(p);
}

/* Reshape to a shape that the model computes from an input's values. */
static void values_decide_a_shape(void **state)
{
    (void)state;
    for (int bind = 0; bind < 2; bind++) {
        wa_graph *g = graph();
        uint32_t x = input(g, "x", WA_F32, 1, 6, 0), s = input(g, "s", WA_I64, 1, 2, 0);
        uint32_t one = wa__graph_const_i64(g, (int64_t[]){1, 1}, 2), sum = wa__graph_add(g, WA_OP_Add, (uint32_t[]){s, one}, 2);
        assert_true(wa__graph_output(g, wa__graph_add(g, WA_OP_Reshape, (uint32_t[]){x, sum}, 2)));
        wa_program *p = program(g, bind);
        float data[6] = {1, 2, 3, 4, 5, 6};
        int64_t shape[2] = {1, 2};
        wa_view in[2] = {vector(data, WA_F32, 6), vector(shape, WA_I64, 2)}, out;
        wa_program_stats st;
        wa_error err = {0};
        assert_ok(wa__program_run(p, in, 2, &out, 1, NULL, &st, &err), err);
        assert_int_equal(out.type.dims[0], 2);
        assert_int_equal(out.type.dims[1], 3);
        assert_memory_equal(out.data, data, sizeof data);
        assert_ok(wa__program_run(p, in, 2, &out, 1, NULL, &st, &err), err);
        assert_int_equal(st.planned, 0);
        shape[0] = 4; /* [5, 3] does not hold 6 */
        assert_int_equal(wa__program_run(p, in, 2, &out, 1, NULL, &st, &err), WA_CORRUPT);
        wa__program_free(p);
    }
}

/* A body or branch of one Add: child inputs as given, then one captured value. */
static wa_graph *child_add(uint32_t fixed, bool loop)
{
    wa_graph *c = graph();
    wa_tensor_type open = {.rank = WA_RANK_UNKNOWN};
    uint32_t in[4], cond = WA_NONE;
    for (uint32_t i = 0; i <= fixed; i++) in[i] = wa__graph_input(c, WA_STR(""), &open);
    if (loop) {
        cond = wa__graph_add(c, WA_OP_Identity, &in[1], 1);
        assert_true(wa__graph_output(c, cond));
    }
    uint32_t sum = wa__graph_add(c, WA_OP_Add, (uint32_t[]){in[fixed ? fixed - 1 : 0], in[fixed]}, 2);
    assert_true(wa__graph_output(c, sum));
    if (loop) assert_true(wa__graph_output(c, wa__graph_add(c, WA_OP_Identity, &sum, 1)));
    return c;
}

/* The condition is computed from data: the host reads it and runs one branch. */
static void a_condition_from_data(void **state)
{
    (void)state;
    wa_graph *g = graph();
    uint32_t x = input(g, "x", WA_F32, 1, 2, 0), limit = wa__graph_const_f32(g, 10);
    uint32_t top = wa__graph_add(g, WA_OP_ReduceMax, &x, 1);
    assert_true(wa__node_set_int(g, g->node_count - 1, "keepdims", 0));
    uint32_t cond = wa__graph_add(g, WA_OP_Greater, (uint32_t[]){top, limit}, 2);
    uint32_t n = wa__graph_node(g, WA_OP_If, WA_STR("choose"), (uint32_t[]){cond, x, x}, 3, 1);
    wa_graph *same = graph();
    wa_tensor_type open = {.rank = WA_RANK_UNKNOWN};
    uint32_t v = wa__graph_input(same, WA_STR(""), &open);
    assert_true(wa__graph_output(same, wa__graph_add(same, WA_OP_Neg, &v, 1)));
    assert_true(wa__graph_subgraph(g, n, WA_STR("then_branch"), same, 1, 1));
    wa_graph *other = graph();
    v = wa__graph_input(other, WA_STR(""), &open);
    assert_true(wa__graph_output(other, wa__graph_add(other, WA_OP_Add, (uint32_t[]){v, v}, 2)));
    assert_true(wa__graph_subgraph(g, n, WA_STR("else_branch"), other, 2, 1));
    assert_true(wa__graph_output(g, g->nodes[n].outputs[0]));
    wa_program *p = program(g, true);
    float data[2][2] = {{1, 20}, {3, 4}}, want[2][2] = {{-1, -20}, {6, 8}};
    for (int i = 0; i < 4; i++) {
        wa_view in = vector(data[i % 2], WA_F32, 2), out;
        wa_program_stats st;
        wa_error err = {0};
        assert_ok(wa__program_run(p, &in, 1, &out, 1, NULL, &st, &err), err);
        assert_memory_equal(out.data, want[i % 2], sizeof want[0]);
        assert_int_equal(st.planned, i == 0 ? 2 : i == 1 ? 1 : 0);
    }
    wa__program_free(p);
}

/* Trips known only at run time: state carried and rows collected by the host. */
static void a_loop_of_unknown_length(void **state)
{
    (void)state;
    wa_graph *g = graph();
    uint32_t m = input(g, "trips", WA_F32, 1, 1, 0), x = input(g, "x", WA_F32, 1, 2, 0), step = input(g, "step", WA_F32, 1, 2, 0);
    uint32_t whole = wa__graph_add(g, WA_OP_Cast, &m, 1);
    assert_true(wa__node_set_int(g, g->node_count - 1, "to", WA_I64));
    uint32_t n = wa__graph_node(g, WA_OP_Loop, WA_STR("loop"), (uint32_t[]){whole, WA_NONE, x, step}, 4, 2);
    assert_true(wa__graph_subgraph(g, n, WA_STR("body"), child_add(3, true), 3, 1));
    assert_true(wa__graph_output(g, g->nodes[n].outputs[0]));
    assert_true(wa__graph_output(g, g->nodes[n].outputs[1]));
    wa_program *p = program(g, false);
    float trips = 3, start_at[2] = {1, 2}, by[2] = {10, 100}, last[2] = {31, 302}, rows[6] = {11, 102, 21, 202, 31, 302};
    wa_view in[3] = {vector(&trips, WA_F32, 1), vector(start_at, WA_F32, 2), vector(by, WA_F32, 2)}, out[2];
    wa_error err = {0};
    assert_ok(wa__program_run(p, in, 3, out, 2, NULL, NULL, &err), err);
    assert_memory_equal(out[0].data, last, sizeof last);
    assert_int_equal(out[1].type.dims[0], 3);
    assert_memory_equal(out[1].data, rows, sizeof rows);
    trips = 0;
    assert_ok(wa__program_run(p, in, 3, out, 2, NULL, NULL, &err), err);
    assert_memory_equal(out[0].data, start_at, sizeof start_at);
    assert_int_equal(wa__count(&out[1].type), 0);
    wa__program_free(p);
}

static void bad_inputs(void **state)
{
    (void)state;
    wa_graph *g = graph();
    uint32_t x = input(g, "x", WA_F32, 2, open_dim(g, "n"), 3), y = input(g, "y", WA_F32, 2, open_dim(g, "n"), 3);
    assert_true(wa__graph_output(g, wa__graph_add(g, WA_OP_Add, (uint32_t[]){x, y}, 2)));
    wa_program *p = program(g, false);
    float data[12] = {0};
    wa_view in[2] = {{{WA_F32, 2, {2, 3}}, data}, {{WA_F32, 2, {1, 3}}, data}}, out;
    wa_error err = {0};
    assert_int_equal(wa__program_run(p, in, 2, &out, 1, NULL, NULL, &err), WA_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "(n) is 1 here and 2 in another input"));
    in[1].type.dtype = WA_F64;
    assert_int_equal(wa__program_run(p, in, 2, &out, 1, NULL, NULL, &err), WA_INVALID_ARGUMENT);
    assert_int_equal(wa__program_run(p, in, 1, &out, 1, NULL, NULL, &err), WA_INVALID_ARGUMENT);
    wa__program_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(data_decides_a_shape), cmocka_unit_test(values_decide_a_shape), cmocka_unit_test(a_condition_from_data),
                                       cmocka_unit_test(a_loop_of_unknown_length), cmocka_unit_test(bad_inputs)};
    return cmocka_run_group_tests(tests, start, stop);
}
