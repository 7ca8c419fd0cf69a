/* Operators that index, scatter, order and select, against a second formulation or what must hold of
 * them, on random shapes (empty and of one element too), seeded. */
#include "tests.h"
#include "graph/graph.h"
#include "kernels/kernels.h"
#include <stdlib.h>

static uint32_t state = 12345;
static uint32_t next(uint32_t n)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % n;
}

#define MOST 4096
typedef struct tensor {
    wa_view v;
    union { float f[MOST]; int64_t i[MOST]; uint8_t b[MOST]; } u;
} tensor;
static tensor in[5], out[5];

static void shaped(tensor *t, wa_dtype d, uint32_t rank, const int64_t *dims)
{
    t->v = (wa_view){{d, rank, {0}}, &t->u};
    if (rank) memcpy(t->v.type.dims, dims, rank * sizeof *dims);
    assert_true(wa__bytes(&t->v.type) <= sizeof t->u);
}
static void list(tensor *t, wa_dtype d, int64_t n) { shaped(t, d, 1, &n); }
static void random_shape(tensor *t, wa_dtype d, uint32_t rank, uint32_t most)
{
    int64_t dims[WA_RANK_MAX];
    for (uint32_t i = 0; i < rank; i++) dims[i] = next(8) == 0 ? 0 : 1 + next(most);
    shaped(t, d, rank, dims);
}
/* Few different values, so that many are equal. */
static void fill(tensor *t, uint32_t values)
{
    for (int64_t i = 0; i < wa__count(&t->v.type); i++) wa__set_i64(&t->v, i, (int64_t)next(values) - (t->v.type.dtype == WA_BOOL ? 0 : (int64_t)values / 2));
}
static void run(wa_op op, const wa_attr *attrs, uint32_t attr_count, uint32_t ins, uint32_t outs)
{
    wa_view i[5], o[5];
    wa_error err = {0};
    for (uint32_t k = 0; k < ins; k++) i[k] = in[k].v;
    for (uint32_t k = 0; k < outs; k++) o[k] = out[k].v;
    assert_ok(wa__kernel_eval(NULL, op, attrs, attr_count, i, ins, o, outs, &err), err);
}
static wa_attr whole(const char *name, int64_t v) { return (wa_attr){.name = wa__str(name), .kind = WA_ATTR_KIND_INT, .i = v}; }
static wa_attr text(const char *name, const char *v) { return (wa_attr){.name = wa__str(name), .kind = WA_ATTR_KIND_STRING, .s = wa__str(v)}; }
static int64_t product(const wa_tensor_type *t, uint32_t from, uint32_t to)
{
    int64_t n = 1;
    for (uint32_t i = from; i < to; i++) n *= t->dims[i];
    return n;
}

/* Gathering where one scattered gives the updates back, when no place is named twice. */
static void scatter_gather(void **s)
{
    (void)s;
    for (unsigned round = 0; round < 200; round++) {
        uint32_t rank = 1 + next(4), axis = next(rank);
        random_shape(&in[0], WA_F32, rank, 5);
        fill(&in[0], 100);
        wa_tensor_type t = in[0].v.type;
        int64_t dim = t.dims[axis], taken = dim ? 1 + next((uint32_t)dim) : 0, inner = product(&t, axis + 1, rank);
        t.dims[axis] = taken;
        shaped(&in[1], WA_I64, rank, t.dims);
        shaped(&in[2], WA_F32, rank, t.dims);
        fill(&in[2], 100);
        int64_t shift = dim ? next((uint32_t)dim) : 0;
        for (int64_t i = 0; i < wa__count(&t); i++) { /* a rotation, written from the end every other time */
            int64_t k = (i / inner % taken + shift) % dim;
            in[1].u.i[i] = next(2) ? k - dim : k;
        }
        out[0].v = in[0].v;
        out[0].v.data = &out[0].u;
        run(WA_OP_ScatterElements, (wa_attr[]){whole("axis", axis)}, 1, 3, 1);
        in[3] = in[2];
        in[0].v.data = &in[0].u;
        memcpy(&in[0].u, &out[0].u, sizeof in[0].u);
        shaped(&out[0], WA_F32, rank, t.dims);
        run(WA_OP_GatherElements, (wa_attr[]){whole("axis", (int64_t)axis - rank)}, 1, 2, 1);
        assert_memory_equal(out[0].u.f, in[3].u.f, (size_t)wa__bytes(&t));
    }
}

/* ScatterND with one index a tuple and ScatterElements along a line are the same sums. */
static void reductions(void **s)
{
    static const char *const how[] = {"none", "add", "mul", "max", "min"};
    (void)s;
    for (unsigned round = 0; round < 200; round++) {
        int64_t n = 1 + next(6), m = next(12), want[8];
        const char *mode = how[round % 5];
        list(&in[0], WA_I64, n);
        fill(&in[0], 9);
        shaped(&in[1], WA_I64, 2, (int64_t[]){m, 1});
        list(&in[2], WA_I64, m);
        fill(&in[2], 9);
        for (int64_t i = 0; i < m; i++) in[1].u.i[i] = next((uint32_t)n);
        memcpy(want, in[0].u.i, sizeof want);
        for (int64_t i = 0; i < m; i++) {
            int64_t *w = &want[in[1].u.i[i]], u = in[2].u.i[i];
            *w = round % 5 == 0 ? u : round % 5 == 1 ? *w + u : round % 5 == 2 ? *w * u : round % 5 == 3 ? (*w > u ? *w : u) : *w < u ? *w : u;
        }
        list(&out[0], WA_I64, n);
        run(WA_OP_ScatterND, (wa_attr[]){text("reduction", mode)}, 1, 3, 1);
        assert_memory_equal(out[0].u.i, want, (size_t)n * 8);
        list(&in[1], WA_I64, m);
        run(WA_OP_ScatterElements, (wa_attr[]){text("reduction", mode)}, 1, 3, 1);
        assert_memory_equal(out[0].u.i, want, (size_t)n * 8);
    }
}

/* The first k of a stable sort. */
static void top_k(void **s)
{
    (void)s;
    for (unsigned round = 0; round < 200; round++) {
        uint32_t rank = 1 + next(3), axis = next(rank);
        random_shape(&in[0], round % 2 ? WA_F32 : WA_I64, rank, 7);
        fill(&in[0], 5);
        wa_tensor_type t = in[0].v.type;
        int64_t dim = t.dims[axis], k = dim ? next((uint32_t)dim + 1) : 0, inner = product(&t, axis + 1, rank);
        bool largest = next(2);
        list(&in[1], WA_I64, 1);
        in[1].u.i[0] = k;
        t.dims[axis] = k;
        shaped(&out[0], in[0].v.type.dtype, rank, t.dims);
        shaped(&out[1], WA_I64, rank, t.dims);
        run(WA_OP_TopK, (wa_attr[]){whole("axis", axis), whole("largest", largest)}, 2, 2, 2);
        for (int64_t i = 0; i < wa__count(&t); i++) {
            int64_t line = i / inner / k, j = i % inner, at = i / inner % k, place = out[1].u.i[i], before = 0;
            double mine = wa__get_f64(&in[0].v, (line * dim + place) * inner + j);
            assert_true(mine == wa__get_f64(&out[0].v, i));
            for (int64_t p = 0; p < dim; p++) {
                double other = wa__get_f64(&in[0].v, (line * dim + p) * inner + j);
                before += (largest ? other > mine : other < mine) || (other == mine && p < place);
            }
            assert_int_equal(before, at);
        }
    }
}

/* y[inverse] is x, firsts are first, counts add up, sorted is sorted; the bounded form says the same. */
static void unique(void **s)
{
    (void)s;
    for (unsigned round = 0; round < 200; round++) {
        int64_t n = next(20), found = 0;
        bool sorted = next(2);
        list(&in[0], WA_I64, n);
        fill(&in[0], 6);
        for (int64_t i = 0, j; i < n; i++) {
            for (j = 0; j < i && in[0].u.i[j] != in[0].u.i[i]; j++) {}
            found += j == i;
        }
        for (unsigned bounded = 0; bounded < 2; bounded++) {
            int64_t room = bounded ? n : found, sum = 0;
            for (uint32_t i = 0; i < 4; i++) list(&out[i], WA_I64, i == 2 ? n : room);
            list(&out[4], WA_I64, 1);
            run(bounded ? WA_OP_UniqueBounded : WA_OP_Unique, (wa_attr[]){whole("sorted", sorted)}, 1, 1, bounded ? 5 : 4);
            if (bounded) assert_int_equal(out[4].u.i[0], found);
            for (int64_t i = 0; i < n; i++) {
                assert_int_equal(out[0].u.i[out[2].u.i[i]], in[0].u.i[i]);
                assert_true(out[1].u.i[out[2].u.i[i]] <= i);
            }
            for (int64_t k = 0; k < found; k++) {
                sum += out[3].u.i[k];
                if (k) assert_true(sorted ? out[0].u.i[k - 1] < out[0].u.i[k] : out[1].u.i[k - 1] < out[1].u.i[k]);
            }
            assert_int_equal(sum, n);
            for (int64_t k = found; k < room; k++) assert_int_equal(out[0].u.i[k], 0);
        }
    }
}

/* What NonZero finds is not 0, in order and all of it; Compress by x != 0 is those elements. */
static void non_zero(void **s)
{
    (void)s;
    for (unsigned round = 0; round < 200; round++) {
        uint32_t rank = 1 + next(3);
        random_shape(&in[0], WA_I64, rank, 5);
        fill(&in[0], 3);
        int64_t n = wa__count(&in[0].v.type), found = 0;
        list(&in[1], WA_BOOL, n);
        for (int64_t i = 0; i < n; i++) found += in[1].u.b[i] = in[0].u.i[i] != 0;
        list(&out[2], WA_I64, 1);
        shaped(&out[0], WA_I64, 2, (int64_t[]){rank, n});
        out[1] = out[2];
        list(&out[1], WA_I64, 1);
        run(WA_OP_NonZeroBounded, NULL, 0, 1, 2);
        assert_int_equal(out[1].u.i[0], found);
        int64_t last = -1;
        for (int64_t k = 0; k < found; k++) {
            int64_t at = 0;
            for (uint32_t d = 0; d < rank; d++) at = at * in[0].v.type.dims[d] + out[0].u.i[d * n + k];
            assert_true(at > last && in[0].u.i[at] != 0);
            last = at;
        }
        list(&out[0], WA_I64, found);
        run(WA_OP_Compress, NULL, 0, 2, 1);
        for (int64_t i = 0, k = 0; i < n; i++)
            if (in[0].u.i[i]) assert_int_equal(out[0].u.i[k++], in[0].u.i[i]);
    }
}

/* Reversed twice is as before; the inverse times the matrix is one, its determinant one over the matrix's. */
static void there_and_back(void **s)
{
    (void)s;
    for (unsigned round = 0; round < 100; round++) {
        shaped(&in[0], WA_F32, 3, (int64_t[]){1 + next(5), 1 + next(5), 1 + next(3)});
        fill(&in[0], 50);
        bool first = next(2);
        wa_attr attrs[2] = {whole("time_axis", first ? 0 : 1), whole("batch_axis", first)};
        list(&in[1], WA_I64, in[0].v.type.dims[first]);
        for (int64_t i = 0; i < in[0].v.type.dims[first]; i++) in[1].u.i[i] = next((uint32_t)in[0].v.type.dims[!first] + 1);
        shaped(&out[0], WA_F32, 3, in[0].v.type.dims);
        in[2] = in[0];
        run(WA_OP_ReverseSequence, attrs, 2, 2, 1);
        memcpy(&in[0].u, &out[0].u, sizeof in[0].u);
        run(WA_OP_ReverseSequence, attrs, 2, 2, 1);
        assert_memory_equal(out[0].u.f, in[2].u.f, (size_t)wa__bytes(&in[0].v.type));

        int64_t n = 1 + next(6);
        shaped(&in[0], WA_F32, 2, (int64_t[]){n, n});
        fill(&in[0], 9);
        for (int64_t i = 0; i < n; i++) in[0].u.f[i * n + i] += 20;
        shaped(&out[0], WA_F32, 2, (int64_t[]){n, n});
        run(WA_OP_Inverse, NULL, 0, 1, 1);
        for (int64_t i = 0; i < n * n; i++) {
            double sum = 0;
            for (int64_t k = 0; k < n; k++) sum += (double)in[0].u.f[i / n * n + k] * (double)out[0].u.f[k * n + i % n];
            assert_true(sum - (i / n == i % n) < 1e-4 && sum - (i / n == i % n) > -1e-4);
        }
        in[2] = out[0];
        shaped(&out[0], WA_F32, 0, NULL);
        run(WA_OP_Det, NULL, 0, 1, 1);
        double det = (double)out[0].u.f[0];
        memcpy(&in[0].u, &in[2].u, sizeof in[0].u);
        run(WA_OP_Det, NULL, 0, 1, 1);
        assert_true((double)out[0].u.f[0] * det > 0.999 && (double)out[0].u.f[0] * det < 1.001);
    }
}

/* A bad index names itself. */
static void refuses(void **s)
{
    wa_error err = {0};
    (void)s;
    list(&in[0], WA_F32, 3);
    list(&in[1], WA_I64, 1);
    list(&in[2], WA_F32, 1);
    list(&out[0], WA_F32, 3);
    in[1].u.i[0] = 3;
    wa_view i[3] = {in[0].v, in[1].v, in[2].v}, o = out[0].v;
    assert_int_equal(wa__kernel_eval(NULL, WA_OP_ScatterElements, NULL, 0, i, 3, &o, 1, &err), WA_INVALID_ARGUMENT);
    assert_string_equal(err.message, "ScatterElements: index 3 is out of range: the axis has 3 elements");
    o.type.dims[0] = 2;
    assert_int_equal(wa__kernel_eval(NULL, WA_OP_ScatterElements, NULL, 0, i, 3, &o, 1, &err), WA_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(scatter_gather), cmocka_unit_test(reductions), cmocka_unit_test(top_k), cmocka_unit_test(unique),
                                       cmocka_unit_test(non_zero), cmocka_unit_test(there_and_back), cmocka_unit_test(refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
