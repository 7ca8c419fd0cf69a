/* Replays tests/data/kernel_cases.bin (tools/gen_kernel_cases.py: the ONNX project's node tests)
 * against the reference kernels and, where there is one, the fast form. */
#include "base/os.h"
#include "base/reader.h"
#include "graph/graph.h"
#include "kernels/kernels.h"
#include "tests.h"
#include <math.h>

enum { VIEWS_MAX = 64, ATTRS_MAX = 16 };
typedef struct cursor {
    const uint8_t *p, *end;
} cursor;
static void take(cursor *c, void *out, size_t n)
{
    assert_true((size_t)(c->end - c->p) >= n);
    memcpy(out, c->p, n);
    c->p += n;
}
static uint32_t u32(cursor *c)
{
    uint32_t v;
    take(c, &v, 4);
    return v;
}
static wa_str text(cursor *c)
{
    uint32_t n = u32(c);
    assert_true((size_t)(c->end - c->p) >= n);
    wa_str s = {(const char *)c->p, n};
    c->p += n;
    return s;
}
static size_t shift; /* of inputs: 1 gives odd addresses, as weights in mapped files may have */
static wa_view tensor(cursor *c, wa_arena *arena)
{
    wa_view v = {{(wa_dtype)u32(c), u32(c), {0}}, NULL};
    if (v.type.dtype == WA_DTYPE_NONE) return v;
    assert_true(v.type.rank <= WA_RANK_MAX);
    take(c, v.type.dims, v.type.rank * 8);
    size_t n = (size_t)wa__bytes(&v.type);
    v.data = (uint8_t *)wa__arena_alloc(arena, n + 1, 1) + shift;
    take(c, v.data, n);
    return v;
}
static wa_attr attribute(cursor *c, wa_arena *arena)
{
    wa_attr a = {.name = text(c), .kind = (wa_attr_kind)u32(c)};
    switch (a.kind) {
    case WA_ATTR_KIND_INT: take(c, &a.i, 8); break;
    case WA_ATTR_KIND_FLOAT: take(c, &a.f, 4); break;
    case WA_ATTR_KIND_INTS: {
        a.count = u32(c);
        int64_t *v = wa__arena_alloc(arena, a.count + 1, 8);
        take(c, v, a.count * 8);
        a.ints = v;
        break;
    }
    case WA_ATTR_KIND_STRING: a.s = text(c); break;
    default: fail_msg("attribute kind %u", a.kind);
    }
    return a;
}

static bool differs(const wa_view *want, const wa_view *have, char *why, size_t n)
{
    double tolerance = want->type.dtype == WA_F16 ? 2e-3 : want->type.dtype == WA_BF16 ? 1e-2 : want->type.dtype == WA_F64 ? 1e-7 : 2e-6;
    int64_t count = wa__count(&want->type);
    for (int64_t i = 0; i < count; i++) {
        if (!wa__dtype_is_float(want->type.dtype)) {
            if (wa__get_i64(want, i) == wa__get_i64(have, i)) continue;
            snprintf(why, n, "element %lld is %lld, expected %lld", (long long)i, (long long)wa__get_i64(have, i), (long long)wa__get_i64(want, i));
            return true;
        }
        double x = wa__get_f64(want, i), y = wa__get_f64(have, i);
        if (isnan(x) ? isnan(y) : x == y || fabs(x - y) <= tolerance * (1 + fabs(x))) continue;
        snprintf(why, n, "element %lld is %.9g, expected %.9g", (long long)i, y, x);
        return true;
    }
    return false;
}

static bool run(const char *form, wa_kernel_fn fn, wa_kernel_args *a, wa_str name, const wa_view *want, wa_arena *arena)
{
    wa_view out[VIEWS_MAX];
    wa_error err = {0};
    char why[200] = "";
    for (uint32_t i = 0; i < a->out_count; i++) {
        out[i] = want[i];
        out[i].data = wa__arena_alloc(arena, (size_t)wa__bytes(&want[i].type) + 1, 1);
    }
    a->out = out;
    size_t scratch = wa__kernel_scratch(a);
    a->scratch = scratch ? wa__arena_alloc(arena, scratch + 64, 1) : NULL;
    if (a->scratch) a->scratch = (void *)(((uintptr_t)a->scratch + 63) & ~(uintptr_t)63);
    wa_status s = fn(a, &err);
    if (s != WA_OK) {
        print_error("%s %.*s: %s\n", form, WA_STR_ARG(name), err.message);
        return false;
    }
    for (uint32_t i = 0; i < a->out_count; i++) {
        if (want[i].type.dtype == WA_DTYPE_NONE || !differs(&want[i], &out[i], why, sizeof why)) continue;
        print_error("%s %.*s: output %u: %s\n", form, WA_STR_ARG(name), i, why);
        return false;
    }
    return true;
}

static void replay_all(void)
{
    wa_buf file;
    wa_error err = {0};
    wa__buf_init(&file, 1 << 20);
    assert_ok(wa__os_read_file(WA_TEST_DIR "/data/kernel_cases.bin", &file, &err), err);
    cursor c = {(const uint8_t *)file.ptr, (const uint8_t *)file.ptr + file.len};
    assert_int_equal(u32(&c), 0x434b4157);
    uint32_t count = u32(&c), failed = 0, fast_count = 0;
    for (uint32_t k = 0; k < count; k++) {
        wa_arena arena;
        wa_view in[VIEWS_MAX], want[VIEWS_MAX];
        wa_attr attrs[ATTRS_MAX];
        wa__arena_init(&arena, 1 << 22);
        wa_str name = text(&c);
        wa_kernel_args a = {.op = (wa_op)u32(&c), .opset = (int32_t)u32(&c), .attrs = attrs, .in = in};
        a.attr_count = u32(&c);
        a.in_count = u32(&c);
        a.out_count = u32(&c);
        assert_true(a.attr_count <= ATTRS_MAX && a.in_count <= VIEWS_MAX && a.out_count <= VIEWS_MAX);
        for (uint32_t i = 0; i < a.attr_count; i++) attrs[i] = attribute(&c, &arena);
        for (uint32_t i = 0; i < a.in_count; i++) in[i] = tensor(&c, &arena);
        for (uint32_t i = 0; i < a.out_count; i++) want[i] = tensor(&c, &arena);
        wa_kernel_fn ref = wa__kernel_ref(a.op);
        if (!ref) {
            print_error("%.*s: no reference\n", WA_STR_ARG(name));
            failed++;
        } else {
            failed += !run("reference", ref, &a, name, want, &arena);
            a.out = want;
            wa_kernel_fn fast = wa__kernel_cpu(a.op, &a);
            if (fast != ref) fast_count++, failed += !run("fast", fast, &a, name, want, &arena);
        }
        wa__arena_done(&arena);
    }
    wa__buf_done(&file);
    print_message("%u cases, %u of them also by a fast kernel\n", count, fast_count);
    assert_true(c.p == c.end);
    assert_int_equal(failed, 0);
}

static void replay(void **state)
{
    (void)state;
    for (shift = 0; shift < 2; shift++) replay_all();
}

/* Every operator of the table that has a shape rule has a reference. */
static void complete(void **state)
{
    (void)state;
    for (uint32_t op = 2; op < WA_OP_COUNT; op++)
        if (wa__graph_op_typed((wa_op)op) && !wa__kernel_ref((wa_op)op)) fail_msg("%s has no reference kernel", wa__op_info(op)->name);
}

static void bad_index(void **state)
{
    (void)state;
    float x[6] = {0}, y[2];
    int64_t i[2] = {1, 3};
    wa_attr axis = {.name = WA_STR("axis"), .kind = WA_ATTR_KIND_INT, .i = 0};
    wa_view in[2] = {{{WA_F32, 1, {3}}, x}, {{WA_I64, 1, {2}}, i}}, out = {{WA_F32, 1, {2}}, y};
    wa_error err = {0};
    assert_int_equal(wa__kernel_eval(NULL, WA_OP_Gather, &axis, 1, in, 2, &out, 1, &err), WA_INVALID_ARGUMENT);
    assert_string_equal(err.message, "Gather: index 3 is out of range: the axis has 3 elements");
    i[1] = -4;
    assert_int_equal(wa__kernel_eval(NULL, WA_OP_Gather, &axis, 1, in, 2, &out, 1, &err), WA_INVALID_ARGUMENT);
    out.type.dims[0] = 3; /* a plan that lies about shapes */
    assert_int_equal(wa__kernel_eval(NULL, WA_OP_Gather, &axis, 1, in, 2, &out, 1, &err), WA_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(complete), cmocka_unit_test(replay), cmocka_unit_test(bad_index)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
