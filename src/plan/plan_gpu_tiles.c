/* The one table that says which kernel and tile a WebGPU product takes, by its shape and the adapter's
 * class, and the list of tiles that can be timed instead. In: shapes, limits, measured rows. Out: a
 * tile, its spec words and grid. Called by plan_gpu_math.c and by tuning. Figures: gpu/KERNELS.md. */
#include "plan/plan_int.h"
#include <stdio.h>

#define STRAIGHT(rows, cols, s, u) {WA_WGSL_MATMUL_STRAIGHT, rows, cols, 4, 4, 0, s, u}
#define STAGED(rows, cols, depth, lr, lc, s) {WA_WGSL_MATMUL_STAGED, rows, cols, lr, lc, depth, s, 0}
#define PLAIN(rows, cols, lr, lc, s) {WA_WGSL_MATMUL, rows, cols, lr, lc, 0, s, 0}

/* Software adapters: barriers and workgroup memory lose to straight vec4 loads by 3 to 10 times. */
static const wa_gpu_tile software_tile = PLAIN(8, 32, 8, 8, 1);

/* Shapes timed on hardware, few rows: taken for MEASURED_MIN rows on, since fewer would leave most of a tile idle. */
#define MEASURED_MIN 9u
static const wa_gpu_tile_row measured[] = {
    {256, 1152, 384, STRAIGHT(16, 32, 4, 3)}, {256, 384, 384, STRAIGHT(16, 32, 16, 3)}, {256, 1536, 384, STRAIGHT(16, 32, 4, 3)}, {256, 384, 1536, STRAIGHT(8, 32, 16, 4)},
    {256, 2304, 768, STRAIGHT(16, 32, 4, 3)}, {256, 768, 768, STAGED(32, 32, 16, 4, 4, 4)}, {256, 3072, 768, STAGED(32, 32, 16, 4, 4, 2)}, {256, 768, 3072, STRAIGHT(16, 32, 8, 3)},
};

/* Other shapes on hardware: the first row that fits and fills the adapter with workgroups. */
static const struct {
    uint32_t m_min, n_min, k_min, groups_min;
    wa_gpu_tile tile;
} general[] = {
    {1024, 3072, 768, 256, STAGED(128, 256, 16, 8, 16, 1)},
    {512, 768, 512, 256, STAGED(64, 128, 16, 8, 8, 1)},
    {512, 1536, 256, 256, STAGED(64, 128, 16, 8, 8, 1)},
    {512, 768, 32, 192, STAGED(64, 64, 16, 8, 8, 1)},
    {512, 64, 32, 192, STAGED(64, 64, 16, 8, 4, 1)},
    {257, 32, 64, 96, STAGED(32, 32, 16, 4, 4, 2)},
};
/* Else straight: so many subgroups of 32 lanes keep an adapter busy (H100: 132 processors). */
#define SUBGROUPS_WANTED 1536u

static uint64_t parts(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

void wa__gpu_tile_grid(const wa_gpu_tile *t, uint64_t m, uint64_t n, uint32_t grid[3])
{
    grid[0] = (uint32_t)parts(n, t->cols);
    grid[1] = (uint32_t)parts(m, t->rows);
    grid[2] = 1;
}

void wa__gpu_tile_spec(const wa_gpu_tile *t, uint64_t n, uint64_t k, uint32_t ldb, wa_wgsl_spec *spec)
{
    uint32_t *s = spec->spec;
    spec->kernel = t->kernel;
    s[0] = (uint32_t)k, s[1] = (uint32_t)n, s[2] = ldb;
    if (t->kernel == WA_WGSL_MATMUL) {
        s[5] = t->lane_rows, s[6] = t->lane_cols / 4, s[7] = t->cols / t->lane_cols, s[8] = t->rows / t->lane_rows, s[9] = t->slices;
    } else {
        s[5] = t->rows, s[6] = t->cols, s[7] = t->lane_rows, s[8] = t->lane_cols, s[9] = t->slices;
        s[11] = t->kernel == WA_WGSL_MATMUL_STAGED ? t->depth : t->unroll;
    }
}

bool wa__gpu_tile_legal(const wa_plan_target *target, uint64_t m, uint64_t n, uint64_t k, const wa_gpu_tile *t)
{
    uint32_t grid[3], bytes = target->workgroup_bytes ? target->workgroup_bytes : WA_PLAN_WORKGROUP_BYTES, lanes = target->invocations ? target->invocations : 256;
    wa_wgsl_spec spec = {0};
    wa_wgsl_info info = {0};
    if (t->kernel != WA_WGSL_MATMUL && t->kernel != WA_WGSL_MATMUL_STRAIGHT && t->kernel != WA_WGSL_MATMUL_STAGED) return false;
    if (!m || !n || !k || n > 1u << 24 || k > 1u << 24 || !t->lane_rows || !t->lane_cols || !t->slices || t->lane_cols % 4 || t->rows % t->lane_rows || t->cols % t->lane_cols) return false;
    if (bytes > WA_PLAN_WORKGROUP_BYTES_MAX) bytes = WA_PLAN_WORKGROUP_BYTES_MAX;
    wa__gpu_tile_grid(t, m, n, grid);
    wa__gpu_tile_spec(t, n, k, (uint32_t)wa__align_up(n, 4), &spec);
    if (t->kernel != WA_WGSL_MATMUL) { /* with the most memory that norms around the product can want */
        spec.spec[3] = WA_WGSL_PRODUCT_NORM | (n % 4 ? 0u : (uint32_t)WA_WGSL_PRODUCT_STATS);
        spec.spec[12] = 4;
    }
    if (wa__wgsl_check(&spec, NULL, &info, NULL) != WA_OK) return false;
    return info.workgroup_bytes <= bytes && (uint64_t)(t->rows / t->lane_rows) * (t->cols / t->lane_cols) * t->slices <= lanes && grid[0] <= WA_PLAN_GRID_MAX && grid[1] <= WA_PLAN_GRID_MAX &&
           (t->slices == 1 || k / 4 >= t->slices);
}

/* Slices until the adapter is busy, each with two quads at least. */
static wa_gpu_tile straight_tile(const wa_plan_target *target, uint64_t m, uint64_t n, uint64_t k)
{
    wa_gpu_tile t = STRAIGHT(16, 32, 16, 1);
    if (m <= 4) t.rows = t.lane_rows = (uint32_t)m, t.cols = 128; /* no work on rows that are not there */
    uint64_t tiles = parts(m, t.rows) * parts(n, t.cols), quads = k / 4;
    static const uint32_t slices[] = {16, 12, 8, 4, 2, 1};
    for (unsigned i = 0; i < sizeof slices / sizeof *slices; i++) {
        t.slices = slices[i];
        bool wanted = t.slices == 1 || tiles * (t.slices / 2) < SUBGROUPS_WANTED / 2;
        if (wanted && quads >= 2 * t.slices && wa__gpu_tile_legal(target, m, n, k, &t)) break;
    }
    uint64_t share = parts(quads, t.slices);
    t.unroll = share % 3 == 0 ? 3 : share >= 2 ? 2 : 1;
    return t;
}

/* Where K is no multiple of 4 (or nothing else is legal). */
static wa_gpu_tile plain_tile(uint64_t m, uint64_t n, uint64_t k)
{
    wa_gpu_tile many = PLAIN(64, 64, 8, 8, 1), few = PLAIN(16, 32, 4, 4, 8);
    if (m > 1024) return many;
    if (n >= 1024) few.slices = 4;
    while (few.slices > 1 && k / 4 < few.slices * 2u) few.slices /= 2;
    return few;
}

static bool of_row(const wa_plan_target *target, const wa_gpu_tile_row *r, uint64_t m, uint64_t n, uint64_t k)
{
    return m <= r->m_max && m >= r->m_min && n == r->n && k == r->k && wa__gpu_tile_legal(target, m, n, k, &r->tile);
}

static wa_gpu_tile default_tile(const wa_plan_target *target, uint64_t m, uint64_t n, uint64_t k)
{
    if (target->software) return software_tile;
    for (size_t i = 0; m >= MEASURED_MIN && i < sizeof measured / sizeof *measured; i++)
        if (of_row(target, &measured[i], m, n, k)) return measured[i].tile;
    for (size_t i = 0; i < sizeof general / sizeof *general; i++) {
        const wa_gpu_tile *t = &general[i].tile;
        if (m < general[i].m_min || n < general[i].n_min || k < general[i].k_min || parts(m, t->rows) * parts(n, t->cols) < general[i].groups_min) continue;
        if (wa__gpu_tile_legal(target, m, n, k, t)) return *t;
    }
    wa_gpu_tile t = straight_tile(target, m, n, k);
    return wa__gpu_tile_legal(target, m, n, k, &t) ? t : plain_tile(m, n, k);
}

wa_status wa__gpu_tile_for(const wa_plan_target *target, uint64_t m, uint64_t n, uint64_t k, wa_gpu_tile *out, wa_error *err)
{
    for (uint32_t i = 0; i < target->tile_count; i++) {
        if (!of_row(target, &target->tiles[i], m, n, k)) continue;
        *out = target->tiles[i].tile;
        return WA_OK;
    }
    wa_gpu_tile t = default_tile(target, m, n, k);
    if (!wa__gpu_tile_legal(target, m, n, k, &t))
        return wa__fail(err, WA_UNSUPPORTED, "no tile for a product of [%llu,%llu] and [%llu,%llu]", (unsigned long long)m, (unsigned long long)k, (unsigned long long)k, (unsigned long long)n);
    *out = t;
    return WA_OK;
}

wa_status wa__gpu_tile_choose(const wa_plan_builder *b, uint64_t m, uint64_t n, uint64_t k, wa_gpu_tile *out) { return wa__gpu_tile_for(&b->t, m, n, k, out, b->err); }

static void add(const wa_plan_target *target, uint64_t m, uint64_t n, uint64_t k, wa_gpu_tile t, wa_gpu_tile *out, uint32_t *count, uint32_t max)
{
    for (uint32_t i = 0; i < *count; i++)
        if (memcmp(&out[i], &t, sizeof t) == 0) return;
    if (*count < max && wa__gpu_tile_legal(target, m, n, k, &t)) out[(*count)++] = t;
}

uint32_t wa__gpu_tile_candidates(const wa_plan_target *target, uint64_t m, uint64_t n, uint64_t k, wa_gpu_tile *out, uint32_t max)
{
    static const wa_gpu_tile plain[] = {PLAIN(8, 32, 8, 8, 1), PLAIN(4, 32, 4, 8, 1), PLAIN(8, 16, 8, 4, 1), PLAIN(64, 64, 8, 8, 1), PLAIN(16, 32, 4, 4, 4), PLAIN(16, 32, 4, 4, 8)};
    static const wa_gpu_tile staged[] = {
        STAGED(32, 32, 16, 4, 4, 1), STAGED(32, 32, 16, 4, 4, 2), STAGED(32, 32, 16, 4, 4, 4), STAGED(32, 64, 16, 4, 8, 1), STAGED(32, 64, 16, 4, 8, 2),  STAGED(16, 64, 16, 4, 4, 2),
        STAGED(16, 64, 16, 4, 4, 4), STAGED(64, 64, 16, 4, 4, 1), STAGED(64, 64, 16, 8, 8, 1), STAGED(64, 64, 16, 8, 4, 1), STAGED(64, 128, 16, 8, 8, 1), STAGED(128, 64, 16, 8, 8, 1),
        STAGED(128, 128, 16, 8, 8, 1), STAGED(128, 128, 8, 8, 8, 1), STAGED(128, 128, 16, 8, 16, 1), STAGED(128, 256, 16, 8, 16, 1), STAGED(128, 256, 8, 8, 16, 1)};
    static const uint32_t slices[] = {1, 2, 4, 8, 12, 16}, shapes[][2] = {{16, 32}, {8, 32}, {8, 64}, {32, 32}};
    uint32_t count = 0;
    add(target, m, n, k, default_tile(target, m, n, k), out, &count, max);
    for (unsigned i = 0; i < sizeof plain / sizeof *plain && (target->software || k % 4 || i < 4); i++) add(target, m, n, k, plain[i], out, &count, max);
    if (target->software) return count;
    for (unsigned i = 0; i < sizeof staged / sizeof *staged; i++)
        if (m * 2 > staged[i].rows) add(target, m, n, k, staged[i], out, &count, max);
    for (unsigned h = 0; h < 4 && m <= 1024; h++)
        for (unsigned i = 0; i < sizeof slices / sizeof *slices; i++)
            for (uint32_t u = 1; u <= 4; u++)
                if (parts(k / 4, slices[i]) >= u) add(target, m, n, k, (wa_gpu_tile)STRAIGHT(shapes[h][0], shapes[h][1], slices[i], u), out, &count, max);
    return count;
}

/* --- text --------------------------------------------------------------------------------------- */
void wa__gpu_tile_print(const wa_gpu_tile *t, char *out)
{
    const char *name = t->kernel == WA_WGSL_MATMUL ? "plain" : t->kernel == WA_WGSL_MATMUL_STRAIGHT ? "straight" : "staged";
    int n = snprintf(out, WA_GPU_TILE_TEXT, "%s %ux%u", name, t->rows, t->cols);
    if (t->depth) n += snprintf(out + n, WA_GPU_TILE_TEXT - (size_t)n, "x%u", t->depth);
    n += snprintf(out + n, WA_GPU_TILE_TEXT - (size_t)n, "/%ux%u", t->lane_rows, t->lane_cols);
    if (t->slices != 1) n += snprintf(out + n, WA_GPU_TILE_TEXT - (size_t)n, " s%u", t->slices);
    if (t->unroll > 1) snprintf(out + n, WA_GPU_TILE_TEXT - (size_t)n, " u%u", t->unroll);
}

/* A whole number of at most 4 digits after `mark`; leaves *at alone when the mark is not there. */
static bool number(const char **at, char mark, uint32_t *out)
{
    const char *p = *at;
    uint32_t n = 0, digits = 0;
    if (*p != mark) return false;
    for (p++; *p >= '0' && *p <= '9' && digits < 5; p++, digits++) n = n * 10 + (uint32_t)(*p - '0');
    if (!digits || digits > 4) return false;
    *at = p;
    *out = n;
    return true;
}

bool wa__gpu_tile_parse(const char *text, wa_gpu_tile *out)
{
    static const struct {
        const char *name;
        wa_gpu_tile start;
    } kinds[] = {{"plain", PLAIN(0, 0, 8, 8, 1)}, {"straight", STRAIGHT(0, 0, 1, 1)}, {"staged", STAGED(0, 0, 16, 8, 8, 1)}};
    for (unsigned i = 0; i < 3; i++) {
        size_t n = strlen(kinds[i].name);
        if (strncmp(text, kinds[i].name, n) != 0) continue;
        const char *at = text + n;
        wa_gpu_tile t = kinds[i].start;
        if (!number(&at, ' ', &t.rows) || !number(&at, 'x', &t.cols)) return false;
        if (t.kernel == WA_WGSL_MATMUL_STAGED) number(&at, 'x', &t.depth);
        if (*at == '/' && (!number(&at, '/', &t.lane_rows) || !number(&at, 'x', &t.lane_cols))) return false;
        if (at[0] == ' ' && at[1] == 's' && (at++, !number(&at, 's', &t.slices))) return false;
        if (t.kernel == WA_WGSL_MATMUL_STRAIGHT && at[0] == ' ' && at[1] == 'u' && (at++, !number(&at, 'u', &t.unroll))) return false;
        if (*at || !t.rows || !t.cols || !t.lane_rows || !t.lane_cols || !t.slices) return false;
        *out = t;
        return true;
    }
    return false;
}
