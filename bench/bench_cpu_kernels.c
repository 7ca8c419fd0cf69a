/* Speed of the CPU kernels at the shapes of MiniLM, against this core's peak.
 * usage: bench_cpu_kernels [THREADS] */
#include "base/os.h"
#include "kernels/kernels.h"
#include <stdio.h>
#include <stdlib.h>

static wa_view tensor(wa_dtype t, uint32_t rank, const int64_t *dims)
{
    wa_view v = {{t, rank, {0}}, NULL};
    memcpy(v.type.dims, dims, rank * sizeof *dims);
    void *p = NULL;
    if (posix_memalign(&p, 64, (size_t)wa__bytes(&v.type) + 64)) exit(1);
    v.data = p;
    for (int64_t i = 0; i < wa__count(&v.type); i++) wa__set_f64(&v, i, (double)((i * 7919) % 1000) / 1000.0 - 0.5);
    return v;
}
#define TENSOR(...) tensor(WA_F32, sizeof((int64_t[]){__VA_ARGS__}) / 8, (int64_t[]){__VA_ARGS__})

static double best_of(wa_kernel_args *a, wa_kernel_fn fn)
{
    double best = 1e30;
    wa_error err;
    for (double end = wa__os_now_ms() + 400; wa__os_now_ms() < end;) {
        double t = wa__os_now_ms();
        if (fn(a, &err) != WA_OK) exit(fprintf(stderr, "%s\n", err.message));
        t = wa__os_now_ms() - t;
        best = t < best ? t : best;
    }
    return best;
}

static void matmul(wa_pool *pool, int64_t m, int64_t k, int64_t n, int64_t act, bool pack)
{
    wa_view in[3] = {TENSOR(m, k), TENSOR(k, n), TENSOR(n)}, out = TENSOR(m, n);
    wa_attr attr = {.name = WA_STR("act"), .kind = WA_ATTR_KIND_INT, .i = act};
    const void *prepared[3] = {NULL};
    wa_kernel_args a = {.op = WA_OP_FusedMatMul, .attrs = &attr, .attr_count = 1, .in = in, .in_count = 3, .out = &out, .out_count = 1, .pool = pool, .prepared = prepared};
    void *panels = aligned_alloc(64, wa__kernel_prepare_bytes(&a, 1));
    wa__kernel_prepare(&a, 1, panels);
    if (pack) prepared[1] = panels;
    double ms = best_of(&a, wa__kernel_cpu(a.op, &a)), gflop = 2e-9 * (double)(m * k * n);
    printf("matmul %5lld x %5lld x %5lld act %lld %s %8.3f ms %7.1f GFLOP/s %6.1f GB/s of B\n", (long long)m, (long long)k, (long long)n, (long long)act,
           pack ? "packed" : "plain ", ms, gflop / ms * 1e3, 4e-6 * (double)(k * n) / ms);
    for (int i = 0; i < 3; i++) free(in[i].data);
    free(out.data);
    free(panels);
}

static void other(wa_pool *pool, const char *name, wa_op op, const wa_view *in, uint32_t count, wa_view out)
{
    wa_attr attrs[] = {{.name = WA_STR("num_heads"), .kind = WA_ATTR_KIND_INT, .i = 12}, {.name = WA_STR("scale"), .kind = WA_ATTR_KIND_FLOAT, .f = 0.17677669f}};
    wa_kernel_args a = {.op = op, .attrs = attrs, .attr_count = 2, .in = in, .in_count = count, .out = &out, .out_count = 1, .pool = pool};
    printf("%-40s %8.3f ms\n", name, best_of(&a, wa__kernel_cpu(op, &a)));
}

#if defined(__x86_64__)
typedef float lane __attribute__((vector_size(32)));
__attribute__((target("avx2,fma"))) static double peak(void)
{
    lane a = {0}, b = a, c = a, d = a, e = a, f = a, g = a, h = a, k = a, l = a, x = {1e-3f}, y = x;
    double best = 0;
    for (int r = 0; r < 2000; r++) {
        double t = wa__os_now_ms();
#define FMA(v) "vfmadd231ps %10, %11, %" #v "\n"
        for (int i = 0; i < 10000; i++)
            __asm__ volatile(FMA(0) FMA(1) FMA(2) FMA(3) FMA(4) FMA(5) FMA(6) FMA(7) FMA(8) FMA(9)
                             : "+x"(a), "+x"(b), "+x"(c), "+x"(d), "+x"(e), "+x"(f), "+x"(g), "+x"(h), "+x"(k), "+x"(l) : "x"(x), "x"(y));
#undef FMA
        t = wa__os_now_ms() - t;
        best = 10e4 * 16 / (t * 1e6) > best ? 10e4 * 16 / (t * 1e6) : best;
    }
    return best;
}
#endif

int main(int argc, char **argv)
{
    wa_pool *pool = NULL;
    wa_error err;
    if (wa__pool_create(argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0, &pool, &err) != WA_OK) return 1;
    printf("%u threads\n", wa__pool_threads(pool));
#if defined(__x86_64__)
    printf("peak of one core: %.1f GFLOP/s\n", peak());
#endif
    const int64_t rows[] = {1, 2, 8, 32, 128, 512, 4096};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        matmul(pool, rows[i], 384, 384, 0, true);
        matmul(pool, rows[i], 384, 1152, 0, true);
        matmul(pool, rows[i], 384, 1152, 0, false);
        matmul(pool, rows[i], 384, 1536, 1, true);
        matmul(pool, rows[i], 1536, 384, 0, true);
    }
    matmul(pool, 1024, 1024, 1024, 0, true);
    wa_view x = TENSOR(1, 128, 384), qkv[2] = {TENSOR(1, 128, 1152), TENSOR(1, 1, 1, 128)}, skip[4] = {x, TENSOR(1, 128, 384), TENSOR(384), TENSOR(384)};
    other(pool, "QkvAttention 1x128, 12 heads of 32", WA_OP_QkvAttention, qkv, 2, TENSOR(1, 128, 384));
    other(pool, "SkipLayerNorm 128x384", WA_OP_SkipLayerNorm, skip, 4, TENSOR(1, 128, 384));
    wa_view gelu = TENSOR(128, 1536);
    other(pool, "Gelu 128x1536", WA_OP_Gelu, &gelu, 1, TENSOR(128, 1536));
    wa_view scores = TENSOR(12, 128, 128);
    other(pool, "Softmax 1536x128", WA_OP_Softmax, &scores, 1, TENSOR(12, 128, 128));
    wa__pool_free(pool);
    return 0;
}
