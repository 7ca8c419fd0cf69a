/* Sequence operators as graphs: Einsum against plain loops, recurrences' fast form against the reference,
 * random numbers against published values, and the WGSL of every form. */
#include "tests.h"
#include "cpu/cpu.h"
#include "kernels/recurrence.h"
#include "kernels/signal.h"
#include "opt/opt.h"
#include <math.h>
#include <stdlib.h>

static uint32_t seed;
static float next_float(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)((double)(seed >> 8) / 8388608.0 - 1.0);
}

/* --- Einsum -------------------------------------------------------------------------------------------------- */
typedef struct einsum_case {
    const char *equation, *labels[3]; /* per operand; capitals stand for the axes of "..." */
    const char *out;
} einsum_case;
/* Sizes of a..f are 2..7, of A, B 2, 3; an 'x' has size 1 and stands for the letter before. */
static const einsum_case einsums[] = {
    {"ij,jk->ik", {"ab", "bc", NULL}, "ac"},       {"bij,bjk->bik", {"abc", "acd", NULL}, "abd"},  {"ii->i", {"aa", NULL, NULL}, "a"},
    {"iji->j", {"aba", NULL, NULL}, "b"},          {"ij->", {"ab", NULL, NULL}, ""},               {"ij->ji", {"ab", NULL, NULL}, "ba"},
    {"i,j->ij", {"a", "b", NULL}, "ab"},           {"ij,ij->i", {"ab", "ab", NULL}, "a"},          {"ab,bc,cd->ad", {"ab", "bc", "cd"}, "ad"},
    {"...ij,...jk->...ik", {"Aab", "Abc", NULL}, "Aac"}, {"...ii->...i", {"Aaa", NULL, NULL}, "Aa"}, {"bhid,bhjd->bhij", {"abcd", "abed", NULL}, "abce"},
    {"ij,kj", {"ab", "cb", NULL}, "ac"},           {" i j , j k -> k i ", {"ab", "bc", NULL}, "ca"},
};

static int64_t size_of(char l) { return l >= 'a' ? l - 'a' + 2 : l - 'A' + 2; }

static double element(const char *labels, const float *data, const int64_t *index)
{
    int64_t at = 0;
    for (; *labels; labels++) at = at * size_of(*labels) + index[(unsigned char)*labels];
    return (double)data[at];
}

static void einsum(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof einsums / sizeof *einsums; k++) {
        const einsum_case *c = &einsums[k];
        wa_graph *g = NULL;
        wa_error err = {0};
        uint32_t in[3], count = 0;
        wa_view views[3], out;
        int64_t index[128] = {0}, total = 1, inner = 1;
        char used[8] = "", sums[8] = "";
        assert_ok(wa__graph_create(&g, &err), err);
        for (; count < 3 && c->labels[count]; count++) {
            wa_tensor_type t = {WA_F32, (uint32_t)strlen(c->labels[count]), {0}};
            char name[8];
            for (uint32_t i = 0; i < t.rank; i++) {
                t.dims[i] = size_of(c->labels[count][i]);
                if (!strchr(used, c->labels[count][i])) used[strlen(used)] = c->labels[count][i];
            }
            snprintf(name, sizeof name, "x%u", count);
            in[count] = wa__graph_input(g, wa__str(name), &t);
            float *data = calloc((size_t)wa__count(&t), sizeof *data);
            for (int64_t i = 0; i < wa__count(&t); i++) data[i] = next_float();
            views[count] = (wa_view){t, data};
        }
        uint32_t n = wa__graph_node(g, WA_OP_Einsum, WA_STR("e"), in, count, 1);
        assert_true(wa__node_set_str(g, n, "equation", wa__str(c->equation)));
        wa__graph_output(g, g->nodes[n].outputs[0]);
        assert_ok(wa__opt_run(g, &(wa_opt_options){.eval = wa__kernel_eval}, &err), err);
        out.type = g->values[g->outputs[0]].type;
        assert_int_equal(out.type.rank, strlen(c->out));
        out.data = calloc((size_t)wa__count(&out.type) + 1, 4);
        wa_plan *p = NULL;
        wa_runner *r = NULL;
        uint32_t handle;
        assert_ok(wa__plan_build(g, &(wa_plan_options){.target = {.target = WA_TARGET_CPU}, .model_cid = "x", .batch = 1}, &p, &err), err);
        assert_ok(wa__cpu_runner_create(1, &r, &err), err);
        assert_ok(r->ops->load(r, p, NULL, 0, NULL, &handle, &err), err);
        assert_ok(r->ops->run(r, handle, 0, views, count, &out, 1, NULL, NULL, &err), err);
        for (const char *l = used; *l; l++)
            if (!strchr(c->out, *l)) sums[strlen(sums)] = *l;
        for (const char *l = c->out; *l; l++) total *= size_of(*l);
        for (const char *l = sums; *l; l++) inner *= size_of(*l);
        for (int64_t i = 0; i < total; i++) {
            double want = 0;
            int64_t rest = i;
            for (size_t q = strlen(c->out); q-- > 0; rest /= size_of(c->out[q])) index[(unsigned char)c->out[q]] = rest % size_of(c->out[q]);
            for (int64_t j = 0; j < inner; j++) {
                rest = j;
                for (size_t q = strlen(sums); q-- > 0; rest /= size_of(sums[q])) index[(unsigned char)sums[q]] = rest % size_of(sums[q]);
                double product = 1;
                for (uint32_t q = 0; q < count; q++) product *= element(c->labels[q], views[q].data, index);
                want += product;
            }
            if (fabs(want - (double)((float *)out.data)[i]) > 1e-5) fail_msg("%s: element %lld is %g, expected %g", c->equation, (long long)i, (double)((float *)out.data)[i], want);
        }
        r->ops->free(r);
        wa__plan_free(p);
        wa__graph_free(g);
        for (uint32_t q = 0; q < count; q++) free(views[q].data);
        free(out.data);
    }
}

static void bad_equations(void **state)
{
    (void)state;
    static const char *const bad[] = {"ij->", "ijk->i", "i,j->ij", "ij->ii", "i.j->i", "ij-", "ij->i>", "", "i1->i", "...", "ij,->i"};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        wa_graph *g = NULL;
        wa_error err = {0};
        bool legal = k == 0 || k == 9; /* a sum and the identity: fine */
        assert_ok(wa__graph_create(&g, &err), err);
        uint32_t x = wa__graph_input(g, WA_STR("x"), &(wa_tensor_type){WA_F32, 2, {2, 3}}), n = wa__graph_node(g, WA_OP_Einsum, WA_STR(""), &x, 1, 1);
        assert_true(wa__node_set_str(g, n, "equation", wa__str(bad[k])));
        wa__graph_output(g, g->nodes[n].outputs[0]);
        wa_status s = wa__opt_run(g, &(wa_opt_options){.eval = wa__kernel_eval}, &err);
        if (s != (legal ? WA_OK : WA_CORRUPT)) fail_msg("\"%s\" gives %d (%s)", bad[k], (int)s, err.message);
        wa__graph_free(g);
    }
}

/* --- Recurrence ---------------------------------------------------------------------------------------------- */
enum { STEPS = 4, BATCH = 3, HIDDEN = 13 };
typedef struct cell {
    wa_attr attrs[8];
    int64_t acts[6];
    float alphas[6], betas[6], in_data[5][STEPS * BATCH * 2 * 4 * HIDDEN * HIDDEN], out_data[2][2][STEPS * 2 * BATCH * HIDDEN * 2];
    int64_t lens[BATCH];
    wa_view in[5], out[2];
    wa_kernel_args a;
} cell;

static void make_cell(cell *c, uint32_t kind, uint32_t way, uint32_t form)
{
    int64_t dirs = way == 2 ? 2 : 1, gates = kind == 0 ? 1 : kind == 1 ? 3 : 4, gh = gates * HIDDEN, width = HIDDEN * (kind == 2 ? 2 : 1);
    uint32_t acts = (kind == 0 ? 1u : kind == 1 ? 2u : 3u) * (uint32_t)dirs;
    for (uint32_t i = 0; i < acts; i++) {
        c->acts[i] = (int64_t)((form + i) % WA_RNN_COUNT);
        c->alphas[i] = 0.3f;
        c->betas[i] = 0.6f;
    }
    wa_attr attrs[8] = {{.name = WA_STR("kind"), .kind = WA_ATTR_KIND_INT, .i = kind}, {.name = WA_STR("direction"), .kind = WA_ATTR_KIND_INT, .i = way},
                        {.name = WA_STR("acts"), .kind = WA_ATTR_KIND_INTS, .count = acts, .ints = c->acts}, {.name = WA_STR("alphas"), .kind = WA_ATTR_KIND_FLOATS, .count = acts, .floats = c->alphas},
                        {.name = WA_STR("betas"), .kind = WA_ATTR_KIND_FLOATS, .count = acts, .floats = c->betas}, {.name = WA_STR("clip"), .kind = WA_ATTR_KIND_FLOAT, .f = form & 1 ? 0.5f : 0},
                        {.name = WA_STR("linear_before_reset"), .kind = WA_ATTR_KIND_INT, .i = form >> 1 & 1}, {.name = WA_STR("input_forget"), .kind = WA_ATTR_KIND_INT, .i = form >> 2 & 1}};
    memcpy(c->attrs, attrs, sizeof attrs);
    for (int i = 0; i < BATCH; i++) c->lens[i] = i + 2;
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < sizeof c->in_data[0] / 4; k++) c->in_data[i][k] = next_float() * 0.7f;
    wa_view none = {{WA_DTYPE_NONE, 0, {0}}, NULL};
    c->in[0] = (wa_view){{WA_F32, 3, {STEPS, BATCH, dirs * gh}}, c->in_data[0]};
    c->in[1] = (wa_view){{WA_F32, 3, {dirs, HIDDEN, gh}}, c->in_data[1]};
    c->in[2] = form & 1 ? none : (wa_view){{WA_F32, 2, {dirs, kind == 2 ? 3 * HIDDEN : HIDDEN}}, c->in_data[2]};
    c->in[3] = form & 2 ? none : (wa_view){{WA_I64, 1, {BATCH}}, c->lens};
    c->in[4] = form & 4 ? none : (wa_view){{WA_F32, 3, {dirs, BATCH, width}}, c->in_data[4]};
    c->out[0] = (wa_view){{WA_F32, 4, {STEPS, dirs, BATCH, HIDDEN}}, c->out_data[0][0]};
    c->out[1] = (wa_view){{WA_F32, 3, {dirs, BATCH, width}}, c->out_data[0][1]};
    c->a = (wa_kernel_args){.op = WA_OP_Recurrence, .attrs = c->attrs, .attr_count = 8, .in = c->in, .in_count = 5, .out = c->out, .out_count = 2};
}

static void recurrences(void **state)
{
    (void)state;
    cell *c = calloc(1, sizeof *c);
    wa_error err = {0};
    for (uint32_t i = 0; i < 3u * 3u * WA_RNN_COUNT; i++) {
        uint32_t kind = i % 3, way = i / 3 % 3, form = i / 9;
        make_cell(c, kind, way, form);
        assert_ok(wa__kernel_ref(WA_OP_Recurrence)(&c->a, &err), err);
        wa_kernel_fn fast = wa__kernel_cpu(WA_OP_Recurrence, &c->a);
        assert_true(fast != wa__kernel_ref(WA_OP_Recurrence));
        for (int o = 0; o < 2; o++) c->out[o].data = c->out_data[1][o];
        assert_ok(fast(&c->a, &err), err);
        for (int o = 0; o < 2; o++)
            for (int64_t k = 0; k < wa__count(&c->out[o].type); k++) {
                double want = (double)c->out_data[0][o][k], have = (double)c->out_data[1][o][k];
                if (!(fabs(want - have) <= 2e-5 * (1 + fabs(want)))) fail_msg("kind %u, way %u, form %u: output %d element %lld is %g, expected %g", kind, way, form, o, (long long)k, have, want);
            }
    }
    c->in[1].type.dims[1]++; /* a plan that lies */
    assert_int_equal(wa__kernel_cpu(WA_OP_Recurrence, &c->a)(&c->a, &err), WA_INVALID_ARGUMENT);
    c->in[1].type.dims[1]--;
    c->acts[0] = WA_RNN_COUNT;
    assert_int_equal(wa__kernel_ref(WA_OP_Recurrence)(&c->a, &err), WA_INVALID_ARGUMENT);
    free(c);
}

/* --- random, WGSL ---------------------------------------------------------------------------------------------- */
static void philox(void **state)
{
    (void)state;
    uint32_t x[4];
    static const uint32_t zero[4] = {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}; /* the authors' test vector */
    wa__philox(0, 0, x);
    assert_memory_equal(x, zero, sizeof zero);
    float y[2000];
    double mean = 0, square = 0;
    wa_error err = {0};
    wa_attr attrs[2] = {{.name = WA_STR("normal"), .kind = WA_ATTR_KIND_INT, .i = 1}, {.name = WA_STR("seed"), .kind = WA_ATTR_KIND_INT, .i = 42}};
    wa_view out = {{WA_F32, 1, {2000}}, y};
    wa_kernel_args a = {.op = WA_OP_Philox, .attrs = attrs, .attr_count = 2, .out = &out, .out_count = 1};
    assert_ok(wa__kernel_ref(WA_OP_Philox)(&a, &err), err);
    for (int i = 0; i < 2000; i++) mean += (double)y[i] / 2000, square += (double)y[i] * (double)y[i] / 2000;
    assert_true(fabs(mean) < 0.08 && fabs(square - 1) < 0.12);
    attrs[0].i = 0;
    assert_ok(wa__kernel_ref(WA_OP_Philox)(&a, &err), err);
    for (int i = 0; i < 2000; i++) assert_true(y[i] >= 0 && y[i] < 1);
}

static void texts(void **state)
{
    (void)state;
    wa_error err = {0};
    for (uint32_t i = 0; i < 3u * 3u * 64u; i++) {
        wa_wgsl_spec s = {.kernel = WA_WGSL_RECURRENCE, .spec = {i % 3, i / 9, i / 3 % 3}};
        wa_wgsl_info info;
        wa_buf text;
        for (uint32_t k = 0; k < 6; k++) s.spec[3 + 3 * k] = (i + k) % WA_RNN_COUNT;
        s.spec[22] = 20;
        s.spec[23] = 32;
        wa__buf_init(&text, 1 << 16);
        assert_ok(wa__wgsl_check(&s, NULL, &info, &err), err);
        assert_true(info.binding_count <= 8);
        assert_ok(wa__wgsl_generate(&s, NULL, &text, &err), err);
        wa__buf_done(&text);
        s.spec[3] = WA_RNN_COUNT;
        assert_int_equal(wa__wgsl_check(&s, NULL, &info, &err), WA_VERIFY);
    }
    wa_wgsl_spec scan = {.kernel = WA_WGSL_LINEAR_SCAN, .spec = {64}}, random = {.kernel = WA_WGSL_PHILOX, .spec = {2}};
    assert_int_equal(wa__wgsl_check(&scan, NULL, NULL, &err), WA_VERIFY);
    assert_int_equal(wa__wgsl_check(&random, NULL, NULL, &err), WA_VERIFY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(einsum), cmocka_unit_test(bad_equations), cmocka_unit_test(recurrences), cmocka_unit_test(philox), cmocka_unit_test(texts)};
    seed = 3;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
