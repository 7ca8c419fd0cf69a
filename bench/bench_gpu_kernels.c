/* Writes the WebGPU kernels that are to be timed as JSON: products in every tile that the target allows, the
 * chosen tile with what layer norm adds to it, and attention. bench/gpu_kernels.py runs them in a browser.
 * usage: bench_gpu_kernels [--bytes WORKGROUP_BYTES] [--lanes INVOCATIONS] [CASE...]
 * CASE: MxNxK (a product), MxNxK=TILE (one tile of it: "128x384x384=straight 16x32 s8 u3"), MxNxK! (its chosen
 * tile alone, with and without norms) or aBATCHxTOKENSxHEADSxSIZE (attention). Without: MiniLM's and BERT-base's
 * at one sentence and at 32. */
#include "plan/plan_int.h"
#include <stdio.h>
#include <stdlib.h>

static wa_plan_target target = {.target = WA_TARGET_WEBGPU, .workgroup_bytes = 49152, .invocations = 1024};
static bool comma;

static void text_of(const wa_wgsl_spec *s)
{
    wa_buf b;
    wa_error err = {0};
    wa__buf_init(&b, 8u << 20);
    if (wa__wgsl_generate(s, NULL, &b, &err) != WA_OK) exit(fprintf(stderr, "bench_gpu_kernels: %s\n", err.message));
    putchar('"');
    for (size_t i = 0; i < b.len; i++) {
        if (b.ptr[i] == '\n') fputs("\\n", stdout);
        else putchar(b.ptr[i]);
    }
    putchar('"');
    wa__buf_done(&b);
}

static void head(const char *kind, const char *group, const char *name)
{
    printf("%s{\"kind\":\"%s\",\"group\":\"%s\",\"name\":\"%s\",", comma ? ",\n" : "", kind, group, name);
    comma = true;
}

static void product(uint64_t m, uint64_t n, uint64_t k, const wa_gpu_tile *t, uint32_t flags, uint32_t act, const char *with)
{
    char tile[WA_GPU_TILE_TEXT], name[160], group[64];
    uint32_t grid[3], ldb = (uint32_t)wa__align_up(n, 4), parts = t->cols;
    wa_wgsl_spec s = {0};
    wa_wgsl_info info;
    wa__gpu_tile_print(t, tile);
    wa__gpu_tile_spec(t, n, k, ldb, &s);
    wa__gpu_tile_grid(t, m, n, grid);
    s.spec[3] = flags | WA_WGSL_PRODUCT_BIAS;
    s.spec[4] = act;
    if (flags & WA_WGSL_PRODUCT_NORM) s.spec[12] = parts, s.spec[13] = 0x3727c5ac; /* epsilon 1e-5 */
    if (wa__wgsl_check(&s, NULL, &info, NULL) != WA_OK) return;
    snprintf(name, sizeof name, "%s%s", tile, with);
    snprintf(group, sizeof group, "%llux%llux%llu", (unsigned long long)m, (unsigned long long)n, (unsigned long long)k);
    head("product", group, name);
    printf("\"m\":%llu,\"n\":%llu,\"k\":%llu,\"ld\":%u,\"flags\":%u,\"act\":%u,\"parts\":%u,\"cols\":%u,\"grid\":[%u,%u,1],\"bytes\":%u,\"wgsl\":", (unsigned long long)m,
           (unsigned long long)n, (unsigned long long)k, ldb, s.spec[3], act, parts, t->cols, grid[0], grid[1], info.workgroup_bytes);
    text_of(&s);
    putchar('}');
}

/* The chosen tile as layers use it: behind a norm whose rows are kept, and before one. */
static void chosen(uint64_t m, uint64_t n, uint64_t k)
{
    wa_gpu_tile t;
    wa_error err = {0};
    if (wa__gpu_tile_for(&target, m, n, k, &t, &err) != WA_OK) exit(fprintf(stderr, "bench_gpu_kernels: %s\n", err.message));
    product(m, n, k, &t, 0, 0, " (chosen)");
    product(m, n, k, &t, 0, 1, " (chosen) + gelu");
    if (t.kernel == WA_WGSL_MATMUL) return;
    product(m, n, k, &t, WA_WGSL_PRODUCT_NORM | WA_WGSL_PRODUCT_BETA, 0, " (chosen) + norm before");
    product(m, n, k, &t, WA_WGSL_PRODUCT_NORM | WA_WGSL_PRODUCT_BETA | WA_WGSL_PRODUCT_KEEP, 0, " (chosen) + norm before, kept");
    product(m, n, k, &t, WA_WGSL_PRODUCT_RESIDUAL, 0, " (chosen) + residual");
    product(m, n, k, &t, WA_WGSL_PRODUCT_RESIDUAL | WA_WGSL_PRODUCT_STATS, 0, " (chosen) + residual, norm after");
}

static void products(uint64_t m, uint64_t n, uint64_t k)
{
    wa_gpu_tile list[WA_GPU_TILES_MAX];
    uint32_t count = wa__gpu_tile_candidates(&target, m, n, k, list, WA_GPU_TILES_MAX);
    chosen(m, n, k);
    for (uint32_t i = 1; i < count; i++) product(m, n, k, &list[i], 0, 0, "");
}

static void attention(uint32_t kernel, uint32_t batch, uint32_t tokens, uint32_t heads, uint32_t size, uint32_t a, uint32_t b, uint32_t queries)
{
    char name[96], group[64];
    wa_wgsl_spec s = {.kernel = kernel, .spec = {size, heads, 3, a, b}};
    wa_wgsl_info info;
    if (wa__wgsl_check(&s, NULL, &info, NULL) != WA_OK || info.workgroup_bytes > WA_PLAN_WORKGROUP_BYTES_MAX) return;
    snprintf(name, sizeof name, "%s %u,%u", kernel == WA_WGSL_ATTENTION ? "attention" : "attention_staged", a, b);
    snprintf(group, sizeof group, "attention %ux%ux%ux%u", batch, tokens, heads, size);
    head("attention", group, name);
    printf("\"b\":%u,\"s\":%u,\"h\":%u,\"d\":%u,\"grid\":[%u,%u,%u],\"bytes\":%u,\"wgsl\":", batch, tokens, heads, size, (tokens + queries - 1) / queries, heads, batch, info.workgroup_bytes);
    text_of(&s);
    putchar('}');
}

static void attentions(uint32_t batch, uint32_t tokens, uint32_t heads, uint32_t size)
{
    static const uint32_t few[][2] = {{8, 8}, {8, 4}, {4, 8}, {16, 4}, {4, 16}}, many[][2] = {{8, 4}, {8, 2}, {4, 4}, {4, 2}, {4, 8}, {16, 4}, {16, 2}, {8, 8}, {16, 8}, {8, 1}};
    for (unsigned i = 0; i < sizeof few / sizeof *few; i++) attention(WA_WGSL_ATTENTION, batch, tokens, heads, size, few[i][0], few[i][1], few[i][0]);
    for (unsigned i = 0; i < sizeof many / sizeof *many; i++) attention(WA_WGSL_ATTENTION_STAGED, batch, tokens, heads, size, many[i][0], many[i][1], many[i][0] * 4);
}

static void one_case(const char *text)
{
    unsigned v[4];
    char *eq = strchr(text, '='), end = 0;
    wa_gpu_tile t;
    if (sscanf(text, "a%ux%ux%ux%u", &v[0], &v[1], &v[2], &v[3]) == 4) attentions(v[0], v[1], v[2], v[3]);
    else if (eq && sscanf(text, "%ux%ux%u", &v[0], &v[1], &v[2]) == 3 && wa__gpu_tile_parse(eq + 1, &t)) product(v[0], v[1], v[2], &t, 0, 0, "");
    else if (sscanf(text, "%ux%ux%u%c", &v[0], &v[1], &v[2], &end) == 4 && end == '!') chosen(v[0], v[1], v[2]);
    else if (sscanf(text, "%ux%ux%u%c", &v[0], &v[1], &v[2], &end) == 3) products(v[0], v[1], v[2]);
    else exit(fprintf(stderr, "bench_gpu_kernels: \"%s\" is no case\n", text));
}

int main(int argc, char **argv)
{
    static const char *const usual[] = {"a1x128x12x32", "a1x128x12x64", "a32x128x12x32", "a32x128x12x64", "128x1152x384", "128x384x384", "128x1536x384", "128x384x1536",
                                        "128x2304x768", "128x768x768", "128x3072x768", "128x768x3072", "4096x1152x384", "4096x384x384", "4096x1536x384", "4096x384x1536",
                                        "4096x2304x768", "4096x768x768", "4096x3072x768", "4096x768x3072"};
    int first = 1;
    for (; first + 1 < argc && argv[first][0] == '-'; first += 2) {
        unsigned long v = strtoul(argv[first + 1], NULL, 10);
        if (strcmp(argv[first], "--bytes") == 0) target.workgroup_bytes = (uint32_t)v;
        else if (strcmp(argv[first], "--lanes") == 0) target.invocations = (uint32_t)v;
        else exit(fprintf(stderr, "bench_gpu_kernels: unknown option %s\n", argv[first]));
    }
    putchar('[');
    if (first >= argc)
        for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) one_case(usual[i]);
    for (int i = first; i < argc; i++) one_case(argv[i]);
    puts("]");
    return 0;
}
