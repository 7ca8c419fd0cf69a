/* WebNN plans: lowering against a context's limits, refusals, round trips, hostile edits. */
#include "tests.h"
#include "plan/plan_int.h"
#include "plan/plan_nn.h"

static wa_nn_limits limits;

/* Every method takes f32, i32, i64 and u8 up to rank 5, but for what a test takes away. */
static void all_limits(void)
{
    const wa_nn_slot any = {1u << WA_F32 | 1u << WA_F16 | 1u << WA_I32 | 1u << WA_I64 | 1u << WA_U8, 0, 5};
    memset(&limits, 0, sizeof limits);
    limits.input = limits.constant = limits.output = any;
    limits.tensor_bytes = 1 << 30;
    for (uint32_t op = 1; op < WA_NN_COUNT; op++)
        for (uint32_t i = 0; i < WA_NN_SLOTS; i++) limits.op[op][i] = any;
}

static wa_graph *fresh(void)
{
    wa_graph *g = NULL;
    wa_error err = {0};
    assert_ok(wa__graph_create(&g, &err), err);
    return g;
}
static wa_tensor_type type(wa_dtype d, uint32_t rank, int64_t a, int64_t b) { return (wa_tensor_type){d, rank, {a, b}}; }
static uint32_t add(wa_graph *g, wa_op op, const uint32_t *in, uint32_t n, wa_tensor_type out)
{
    uint32_t node = wa__graph_node(g, op, wa__str("node"), in, n, 1), v = g->nodes[node].outputs[0];
    g->values[v].type = out;
    g->nodes[node].opset = 21;
    return v;
}

static wa_plan *plan_of(wa_graph *g)
{
    wa_plan *p = NULL;
    wa_error err = {0};
    wa_plan_options o = {.target = {.target = WA_TARGET_WEBNN, .nn = &limits}, .model_cid = "bafytest"};
    assert_ok(wa__plan_build(g, &o, &p, &err), err);
    return p;
}

/* relu(x . w + b) */
static wa_graph *product(void)
{
    static const float w[12] = {1, 2, 3}, bias[3] = {1, 1, 1};
    wa_graph *g = fresh();
    wa_tensor_type x_type = type(WA_F32, 2, 2, 4), w_type = type(WA_F32, 2, 4, 3), b_type = type(WA_F32, 1, 3, 0), out = type(WA_F32, 2, 2, 3);
    uint32_t x = wa__graph_input(g, wa__str("x"), &x_type), y;
    y = add(g, WA_OP_MatMul, (uint32_t[]){x, wa__graph_const(g, wa__str("w"), &w_type, w, -1)}, 2, out);
    y = add(g, WA_OP_Add, (uint32_t[]){y, wa__graph_const(g, wa__str("b"), &b_type, bias, -1)}, 2, out);
    y = add(g, WA_OP_Relu, (uint32_t[]){y}, 1, out);
    wa__graph_output(g, y);
    return g;
}

static void one_segment(void **state)
{
    (void)state;
    all_limits();
    wa_graph *g = product();
    wa_plan *p = plan_of(g);
    wa_buf text;
    wa_error err = {0};
    assert_int_equal(p->segment_count, 1);
    assert_int_equal(p->segments[0].target, WA_TARGET_WEBNN);
    assert_int_equal(p->nn_call_count, 3);
    assert_int_equal(p->nn_calls[0].op, WA_NN_matmul);
    assert_int_equal(p->nn_calls[2].op, WA_NN_relu);
    assert_int_equal(wa__plan_bytes(p, WA_TARGET_WEBNN), 32 + 24 + 48 + 12);
    wa__buf_init(&text, 65536);
    assert_ok(wa__plan_print(p, &text, &err), err);
    assert_non_null(strstr(text.ptr, "webnn 0 matmul b"));
    wa__buf_clear(&text);
    assert_ok(wa__plan_save(p, &text, &err), err);
    wa_plan *again = NULL;
    assert_ok(wa__plan_load(text.ptr, text.len, "a plan", &again, &err), err);
    assert_int_equal(again->nn_ref_count, p->nn_ref_count);
    wa__plan_free(again);
    wa__buf_done(&text);
    wa__plan_free(p);
    wa__graph_free(g);
}

/* A method that the context lacks goes to the CPU, with the reason, and its values move both ways. */
static void refused(void **state)
{
    (void)state;
    all_limits();
    memset(limits.op[WA_NN_relu], 0, sizeof limits.op[WA_NN_relu]);
    wa_graph *g = product();
    wa_plan *p = plan_of(g);
    assert_int_equal(p->segment_count, 3);
    assert_int_equal(p->segments[0].target, WA_TARGET_WEBNN);
    assert_int_equal(p->segments[1].target, WA_TARGET_CPU);
    assert_non_null(strstr(wa__plan_text(p, p->segments[1].reason), "this WebNN has no relu"));
    assert_int_equal(p->transfer_count, 2);
    wa__plan_free(p);
    wa__graph_free(g);
}

/* i64 stays where the context has it; a method that wants i32 gets casts around it; without i64 it is i32. */
static void integers(void **state)
{
    (void)state;
    all_limits();
    for (uint32_t i = 0; i < WA_NN_SLOTS; i++) limits.op[WA_NN_abs][i].dtypes = 1u << WA_I32;
    wa_graph *g = fresh();
    wa_tensor_type t = type(WA_I64, 1, 3, 0);
    uint32_t x = wa__graph_input(g, wa__str("x"), &t);
    wa__graph_output(g, add(g, WA_OP_Abs, &x, 1, t));
    wa_plan *p = plan_of(g);
    assert_int_equal(p->ios[0].device_dtype, WA_I64);
    assert_int_equal(p->nn_call_count, 3);
    assert_int_equal(p->nn_calls[0].op, WA_NN_cast);
    wa__plan_free(p);
    limits.input.dtypes &= ~(1u << WA_I64);
    p = plan_of(g);
    assert_int_equal(p->ios[0].device_dtype, WA_I32);
    assert_int_equal(p->nn_call_count, 1);
    wa__plan_free(p);
    wa__graph_free(g);
}

/* Ranks that a method does not take are folded away where shapes allow. */
static void ranks(void **state)
{
    (void)state;
    all_limits();
    for (uint32_t i = 0; i < WA_NN_SLOTS; i++) limits.op[WA_NN_add][i].rank_max = 1;
    wa_graph *g = fresh();
    wa_tensor_type t = {WA_F32, 4, {2, 3, 4, 5}};
    uint32_t x = wa__graph_input(g, wa__str("x"), &t), y = wa__graph_input(g, wa__str("y"), &t);
    wa__graph_output(g, add(g, WA_OP_Add, (uint32_t[]){x, y}, 2, t));
    wa_plan *p = plan_of(g);
    assert_int_equal(p->segments[0].target, WA_TARGET_WEBNN);
    assert_int_equal(p->nn_calls[0].op, WA_NN_reshape);
    wa__plan_free(p);
    wa__graph_free(g);
}

/* A context without products: refused in words, whatever rank they have. */
static void no_products(void **state)
{
    (void)state;
    all_limits();
    memset(limits.op[WA_NN_matmul], 0, sizeof limits.op[WA_NN_matmul]);
    wa_graph *g = fresh();
    wa_tensor_type t = {WA_F32, 3, {2, 4, 4}};
    uint32_t x = wa__graph_input(g, wa__str("x"), &t), y = wa__graph_input(g, wa__str("y"), &t);
    wa__graph_output(g, add(g, WA_OP_MatMul, (uint32_t[]){x, y}, 2, t));
    wa_plan *p = plan_of(g);
    assert_int_equal(p->segments[0].target, WA_TARGET_CPU);
    assert_non_null(strstr(wa__plan_text(p, p->segments[0].reason), "this WebNN has no matmul"));
    wa__plan_free(p);
    wa__graph_free(g);
}

static uint32_t calls_of(const wa_plan *p, uint32_t op)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->nn_call_count; i++) n += p->nn_calls[i].op == op;
    return n;
}

/* x [1,3,4,4] -> convolution -> plus a number a channel -> nearest to twice each axis -> convolution */
static wa_graph *image_chain(void)
{
    static const float w[8 * 8 * 9] = {1}, bias[8] = {2};
    static const int64_t twice[8] = {0, 0, 1, 1, 2, 2, 3, 3};
    wa_graph *g = fresh();
    wa_tensor_type t = {WA_F32, 4, {1, 3, 4, 4}}, f = {WA_F32, 4, {8, 3, 1, 1}}, f2 = {WA_F32, 4, {8, 8, 1, 1}}, b = {WA_F32, 3, {8, 1, 1}}, k = type(WA_I64, 1, 8, 0);
    uint32_t x = wa__graph_input(g, wa__str("x"), &t), places = wa__graph_const(g, wa__str("k"), &k, twice, -1);
    t.dims[1] = 8;
    x = add(g, WA_OP_Conv, (uint32_t[]){x, wa__graph_const(g, wa__str("w"), &f, w, -1)}, 2, t);
    x = add(g, WA_OP_Add, (uint32_t[]){x, wa__graph_const(g, wa__str("b"), &b, bias, -1)}, 2, t);
    for (int64_t axis = 2; axis < 4; axis++) {
        t.dims[axis] = 8;
        x = add(g, WA_OP_Gather, (uint32_t[]){x, places}, 2, t);
        assert_true(wa__node_set_int(g, g->node_count - 1, "axis", axis));
    }
    x = add(g, WA_OP_Conv, (uint32_t[]){x, wa__graph_const(g, wa__str("w2"), &f2, w, -1)}, 2, t);
    wa__graph_output(g, x);
    return g;
}

/* Where NHWC is preferred a chain of windows is turned once at each end; a constant takes the new shape without a
 * call; two axes of a resize are one call, and what the first made alone goes. */
static void order_of_axes(void **state)
{
    (void)state;
    all_limits();
    wa_graph *g = image_chain();
    for (limits.nchw = 0; limits.nchw < 2; limits.nchw++) {
        wa_plan *p = plan_of(g);
        assert_int_equal(p->segment_count, 1);
        assert_int_equal(calls_of(p, WA_NN_transpose), limits.nchw ? 0 : 2);
        assert_int_equal(calls_of(p, WA_NN_reshape), 0);
        assert_int_equal(calls_of(p, WA_NN_resample2d), 1);
        assert_int_equal(calls_of(p, WA_NN_conv2d), 2);
        assert_int_equal(p->nn_call_count, limits.nchw ? 4 : 6);
        wa__plan_free(p);
    }
    wa__graph_free(g);
}

static void rejects(wa_plan *p, const char *why)
{
    wa_error err = {0};
    if (wa__plan_verify(p, &err) == WA_OK) fail_msg("the verifier lets through %s", why);
}

static void hostile(void **state)
{
    (void)state;
    all_limits();
    wa_graph *g = product();
    wa_plan *p = plan_of(g);
    wa_plan_nn_call c = p->nn_calls[0];
    uint32_t ref = p->nn_refs[c.ref_first];
#define TRY(what, field, value)                                                                                            \
    do {                                                                                                                   \
        const uint32_t kept = (field);                                                                                     \
        (field) = (value);                                                                                                 \
        rejects(p, what);                                                                                                  \
        (field) = kept;                                                                                                    \
    } while (0)
    TRY("an unknown method", p->nn_calls[0].op, 999);
    TRY("a missing operand", p->nn_calls[0].in_count, 1);
    TRY("references past the end", p->nn_calls[0].ref_first, 4000000000u);
    TRY("an operand that is not there", p->nn_refs[c.ref_first], 4000000000u);
    TRY("a result before it is made", p->nn_refs[c.ref_first], p->nn_refs[p->nn_calls[2].ref_first + 1]);
    TRY("attributes past the end", p->nn_calls[0].attr_count, 30);
    TRY("a tensor of another size", p->nn_operands[ref].rank, 1);
    TRY("a type that WebNN has not", p->nn_operands[ref].dtype, WA_F64);
    TRY("a tensor without a type", p->buffers[p->ios[0].buffer].type, 1000000);
    TRY("WebNN in a plan for the GPU", p->info.target, WA_TARGET_WEBGPU);
#undef TRY
    wa_error err = {0};
    assert_ok(wa__plan_verify(p, &err), err);
    wa__plan_free(p);
    wa__graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_segment), cmocka_unit_test(refused), cmocka_unit_test(integers), cmocka_unit_test(ranks), cmocka_unit_test(order_of_axes), cmocka_unit_test(no_products),
                                       cmocka_unit_test(hostile)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
