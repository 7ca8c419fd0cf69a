/* graph_shapes*: every operator has a rule, and each rule gives what ONNX says. */
#include "graph_text.h"

/* Appends the node to the inputs' text and returns the printed type of its first output, or the error. */
static char *infer(const char *before, const char *node)
{
    static char text[4096], out[1024];
    wa_error err;
    snprintf(text, sizeof text, "%s\n%s : ?\noutput %%r", before, node);
    wa_graph *g = graph_from_text(text);
    uint32_t n = g->values[g->outputs[0]].producer;
    if (wa__graph_infer_node(g, n, &err) == WA_OK) wa__type_text(&g->values[g->outputs[0]].type, out, sizeof out);
    else snprintf(out, sizeof out, "%s", err.message);
    wa__graph_free(g);
    return out;
}

#define X "input %x : f32[2,3,4]\ninput %y : f32[4,5]\ninput %i : i64[2,1]\ninput %m : bool[3,1]\ninput %s : i64[2]\n"

static const struct { const char *consts, *node, *want; } cases[] = {
    {X, "%r = Add(%x, %x)", "f32[2,3,4]"},
    {X "input %z : f32[7,1,1,1]\n", "%r = Mul(%x, %z)", "f32[7,2,3,4]"},
    {X, "%r = Add(%x, %y)", "do not broadcast"},
    {X, "%r = Add(%x, %i)", "element types differ"},
    {X, "%r = Less(%x, %x)", "bool[2,3,4]"},
    {X, "%r = Where(%m, %x, %x)", "f32[2,3,4]"},
    {X, "%r = Where(%x, %x, %x)", "not boolean"},
    {X, "%r = Cast(%x) {to=11}", "i64[2,3,4]"},
    {X, "%r = Cast(%x) {to=99}", "not supported"},
    {X, "%r = MatMul(%x, %y)", "f32[2,3,5]"},
    {X "input %v : f32[4]\n", "%r = MatMul(%x, %v)", "f32[2,3]"},
    {X "input %v : f32[4]\n", "%r = MatMul(%v, %y)", "f32[5]"},
    {X, "%r = MatMul(%y, %y)", "inner dimensions differ"},
    {X "input %a : f32[4,9]\n", "%r = Gemm(%a, %y) {transA=1}", "f32[9,5]"},
    {X "const %k : i64[3] = {0, -1, 2}\n", "%r = Reshape(%x, %k)", "f32[2,6,2]"},
    {X "const %k : i64[2] = {5, -1}\n", "%r = Reshape(%x, %k)", "do not fit"},
    {X, "%r = Reshape(%x, %s)", "known only at run time"},
    {X, "%r = Flatten(%x) {axis=-1}", "f32[6,4]"},
    {X "const %k : i64[2] = {-1, 0}\n", "%r = Unsqueeze(%x, %k)", "f32[1,2,3,4,1]"},
    {X "input %q : f32[1,3,1]\n", "%r = Squeeze(%q)", "f32[3]"},
    {X "input %q : f32[1,3,1]\nconst %k : i64[1] = {-1}\n", "%r = Squeeze(%q, %k)", "f32[1,3]"},
    {X, "%r = Transpose(%x)", "f32[4,3,2]"},
    {X, "%r = Transpose(%x) {perm=[0,0,1]}", "permutation is not one"},
    {X, "%r = Concat(%x, %x, %x) {axis=-2}", "f32[2,9,4]"},
    {X, "%r = Concat(%x, %y) {axis=0}", "types differ"},
    {X "const %k : i64[2] = {1, 3}\n", "%r, %t = Split(%x, %k) {axis=2}", "f32[2,3,1]"},
    {X, "%r, %t = Split(%x) {axis=1}", "f32[2,2,4]"},
    {X "const %a : i64[1] = {-3}\nconst %b : i64[1] = {9223372036854775807}\nconst %c : i64[1] = {2}\nconst %d : i64[1] = {2}\n",
     "%r = Slice(%x, %a, %b, %c, %d)", "f32[2,3,2]"},
    {X "const %a : i64[1] = {-1}\nconst %b : i64[1] = {-9223372036854775807}\nconst %c : i64[1] = {2}\nconst %d : i64[1] = {-1}\n",
     "%r = Slice(%x, %a, %b, %c, %d)", "f32[2,3,4]"},
    {X "const %a : i64[1] = {0}\nconst %b : i64[1] = {4}\nconst %c : i64[1] = {2}\nconst %d : i64[1] = {9223372036854775807}\n",
     "%r = Slice(%x, %a, %b, %c, %d)", "f32[2,3,1]"},
    {X, "%r = Gather(%x, %i) {axis=1}", "f32[2,2,1,4]"},
    {X, "%r = Gather(%x, %y)", "no integers"},
    {X "input %j : i64[2,3,1]\n", "%r = GatherElements(%x, %j) {axis=2}", "f32[2,3,1]"},
    {X "input %j : i64[7,2]\n", "%r = GatherND(%x, %j)", "f32[7,4]"},
    {X "input %j : i64[7,2]\ninput %u : f32[7,4]\n", "%r = ScatterND(%x, %j, %u)", "f32[2,3,4]"},
    {X "const %k : i64[4] = {5, 1, 3, 1}\n", "%r = Expand(%x, %k)", "f32[5,2,3,4]"},
    {X "const %k : i64[3] = {1, 2, 3}\n", "%r = Tile(%x, %k)", "f32[2,6,12]"},
    {X "const %k : i64[2] = {3, 0}\n", "%r = ConstantOfShape(%k) {value_i=1, dtype=11}", "i64[3,0]"},
    {X "const %a : i64[] = {2}\nconst %b : i64[] = {9}\nconst %c : i64[] = {3}\n", "%r = Range(%a, %b, %c)", "i64[3]"},
    {X "const %a : i64[] = {2}\nconst %c : i64[] = {0}\n", "%r = Range(%a, %a, %c)", "step is 0"},
    {X "const %k : i64[6] = {0, 1, 0, 0, 2, -1}\n", "%r = Pad(%x, %k)", "f32[2,6,3]"},
    {X "const %k : i64[] = {6}\nconst %v : f32[2] = {0, 1}\n", "%r = OneHot(%i, %k, %v)", "f32[2,1,6]"},
    {X "const %k : f32[3] = {0, 1, 2}\n", "%r = NonZero(%k)", "i64[1,2]"},
    {X, "%r = NonZero(%x)", "depends on data"},
    {X, "%r = Shape(%x) {start=-2}", "i64[2]"},
    {X, "%r = Size(%x)", "i64[]"},
    {X, "%r = Softmax(%x) {axis=3}", "out of range"},
    {X "const %g : f32[4]\n", "%r, %t, %u = LayerNormalization(%x, %g, %g)", "f32[2,3,4]"},
    {X "const %g : f32[3]\n", "%r = LayerNormalization(%x, %g, %g)", "does not fit"},
    {X "const %k : i64[2] = {0, -1}\n", "%r = ReduceSum(%x, %k) {keepdims=0}", "f32[3]"},
    {X, "%r = ReduceMax(%x)", "f32[1,1,1]"},
    {X, "%r = ReduceSum(%x) {noop_with_empty_axes=1}", "f32[2,3,4]"},
    {X, "%r = ReduceSum(%x)@11 {axes=[1,1]}", "named twice"},
    {X, "%r = ArgMax(%x) {axis=1, keepdims=0}", "i64[2,4]"},
    {X "const %w : f32[4,6]\nconst %b : f32[6]\n", "%r = FusedMatMul(%x, %w, %b)", "f32[2,3,6]"},
    {X "const %w : f32[4,6]\nconst %b : f32[5]\n", "%r = FusedMatMul(%x, %w, %b)", "bias does not fit"},
    {X, "%r = Attention(%x, %x, %x) {num_heads=2}", "f32[2,3,4]"},
    {X, "%r = Attention(%x, %x, %x) {num_heads=3}", "do not fit"},
    {X "input %q : f32[2,3,12]\ninput %b : f32[2,1,1,3]\n", "%r = QkvAttention(%q, %b) {num_heads=2}", "f32[2,3,4]"},
    {X "input %q : f32[2,3,12]\ninput %b : f32[2,1,1,4]\n", "%r = QkvAttention(%q, %b) {num_heads=2}", "bias does not fit"},
    {X "input %k : i64[2,3]\n", "%r = MeanPool(%x, %k)", "f32[2,4]"},
    {X, "%r = ClsPool(%x)", "f32[2,4]"},
    {X "const %w : f32[9,4]\nconst %p : f32[2,4]\nconst %g : f32[4]\ninput %k : i64[2,3]\n",
     "%r = EmbedLayerNorm(%k, -, %w, %p, -, %g, %g)", "longer than the model's position table"},
    {X "input %h : f32[1048576,1048576]\n", "%r = Unsqueeze(%h, %s)", "known only at run time"},
    {"input %a : f32[1048576,1]\ninput %b : f32[1,1048576]\ninput %c : f32[1048576,1,1]\n", "%r = Sum(%a, %b, %c)", "too large"},
};

static void test_rules(void **state)
{
    (void)state;
    int bad = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = infer(cases[i].consts, cases[i].node);
        if (strstr(got, cases[i].want)) continue;
        fprintf(stderr, "%s: got \"%s\", wanted \"%s\"\n", cases[i].node, got, cases[i].want);
        bad++;
    }
    if (bad) fail_msg("%d shape rules are wrong", bad);
}

static void test_every_operator_has_a_rule(void **state)
{
    (void)state;
    for (uint32_t op = 1; op < WA_OP_COUNT; op++) {
        const wa_op_info *t = wa__op_info(op);
        if (!t->name || op == WA_OP_Constant) continue; /* importers turn Constant into constants */
        if (!wa__graph_op_known((wa_op)op) && op >= 100 && (op < 200 || op >= 220)) continue; /* rows that wait for their operator */
        wa_graph *g;
        wa_error err = {0};
        wa_tensor_type type = {WA_F32, 3, {2, 3, 12}};
        assert_ok(wa__graph_create(&g, &err), err);
        uint32_t x = wa__graph_input(g, WA_STR("x"), &type), in[16];
        for (size_t i = 0; i < sizeof in / sizeof *in; i++) in[i] = x;
        assert_true(t->inputs_min >= 0 && (size_t)t->inputs_min <= sizeof in / sizeof *in);
        uint32_t n = wa__graph_node(g, (wa_op)op, WA_STR(""), in, (uint32_t)t->inputs_min, 1);
        wa_status s = wa__graph_infer_node(g, n, &err);
        if (s != WA_OK && strstr(err.message, "no shape rule")) fail_msg("%s has no shape rule", t->name);
        wa__graph_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rules), cmocka_unit_test(test_every_operator_has_a_rule)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
