/* Products in f16 with f32 sums on subgroup matrices (Chromium's experimental feature; the planner
 * takes these forms only where the adapter offers it). Layout is the lever (gpu/KERNELS.md, fact 4):
 * A [M,K] lies as 16x16 tiles of 512 bytes, [ceil(M/16)][K/16][m][k]; the weights, [N,K], as
 * [N/16][K/16][n][k], loaded column-major. A matrix load whose offset and stride are constants has no
 * bounds check; the tile's index is bounded by `min`.
 *
 * Three forms (spec 6):
 *  SPLIT: S subgroups share a tile of BM x BN and walk slices of K, operands straight from storage;
 *         they add up in workgroup memory. For few rows.
 *  NORM:  layer norm (or RMS norm) of the result's rows in the epilogue: a workgroup has whole rows, its
 *         S subgroups BN columns each, operands straight from storage. What is normalised is kept too
 *         where something else reads it. (Norm as a prologue, each column tile normalising its rows
 *         again, took four times the product's time on an H200.)
 *  WIDE:  2x2 subgroups of 64x64; B staged through workgroup memory, the next B tiles prefetched, A
 *         straight. For many rows.
 * The epilogue, for all: alpha, bias, activation, residual (tiles), and the output as tiles, f16 rows
 * or f32 rows.
 *
 * spec: 0 K, 1 N (multiples of 16), 2 flags, 3 act, 4 output form (wa_form), 5 alpha's bits, 6 form,
 *       7 BM/16, 8 BN/16 (NORM: of a subgroup), 9 S, 10 epsilon's bits (NORM).
 * bindings: a, b, bias?, residual?, [gamma, beta?], [kept], o; bias, gamma and beta may be f16. params: {M, 0, 0, 0}.
 * Grid: x over columns, y over rows. */
#include "kernels/wgsl_int.h"
#include "kernels/wgsl_tiles.h"
#include <stdio.h>

#define put wa__wgsl_put
enum { FLAGS = WA_WGSL_TILES_BIAS | WA_WGSL_TILES_RESIDUAL | WA_WGSL_TILES_ALPHA | WA_WGSL_TILES_BETA | WA_WGSL_TILES_RMS | WA_WGSL_TILES_KEEP };
enum { WIDE_SUBGROUPS = 4, WIDE_SIDE = 4 /* tiles of a subgroup's side */, WIDE_STRIDE = 40 };

static bool norm(const uint32_t *s) { return s[6] == WA_WGSL_TILES_NORM; }

static uint32_t workgroup_bytes(const uint32_t *s)
{
    uint32_t tiles = s[7] * s[8];
    switch (s[6]) {
    case WA_WGSL_TILES_SPLIT: return tiles * s[9] * 1024;
    case WA_WGSL_TILES_NORM: return s[9] * 1024 + s[9] * s[7] * 64;
    default: return s[8] * 16 * WIDE_STRIDE * 2 + WIDE_SUBGROUPS * 1024;
    }
}

static wa_status check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || !s[0] || s[0] > 1u << 20 || s[0] % 16 || !s[1] || s[1] > 1u << 20 || s[1] % 16 || (s[2] & ~(uint32_t)FLAGS) || s[3] > 6 || s[4] > 2)
        return wa__fail(err, WA_VERIFY, "matmul_tiles: K %u, N %u, flags %u, act %u, output form %u", s[0], s[1], s[2], s[3], s[4]);
    bool wide = s[6] == WA_WGSL_TILES_WIDE, split = s[6] == WA_WGSL_TILES_SPLIT;
    if (s[6] > WA_WGSL_TILES_WIDE || !s[7] || !s[8] || !s[9] || s[7] > 8 || s[8] > 8 || s[9] > 16 || (!wide && s[7] * s[8] > 16) || (wide && (s[7] != 8 || s[8] != 8 || s[9] != 1 || s[0] % 32)) ||
        (norm(s) && (s[7] > 2 || s[8] * s[9] * 16 != s[1])) || (split && s[0] / 16 % s[9]) || (!norm(s) && s[2] & (WA_WGSL_TILES_BETA | WA_WGSL_TILES_RMS | WA_WGSL_TILES_KEEP)))
        return wa__fail(err, WA_VERIFY, "matmul_tiles: form %u, %ux%u tiles, %u slices, flags %u", s[6], s[7], s[8], s[9], s[2]);
    info->workgroup_bytes = workgroup_bytes(s);
    if (info->workgroup_bytes > 32768) return wa__fail(err, WA_VERIFY, "matmul_tiles: %u bytes of workgroup memory", info->workgroup_bytes);
    uint32_t reads = 2u + (s[2] & WA_WGSL_TILES_BIAS ? 1u : 0u) + (s[2] & WA_WGSL_TILES_RESIDUAL ? 1u : 0u) + (norm(s) ? 1u + (s[2] & WA_WGSL_TILES_BETA ? 1u : 0u) : 0u);
    uint32_t writes = 1u + (s[2] & WA_WGSL_TILES_KEEP ? 1u : 0u);
    info->binding_count = reads + writes;
    info->write_mask = ((1u << writes) - 1) << reads;
    info->features = WA_FEATURE_F16 | WA_FEATURE_SUBGROUPS | WA_FEATURE_SUBGROUP_MATRIX | WA_FEATURE_MATRIX_F16;
    return WA_OK;
}

static const char *pair(const wa_wgsl_emit *e, uint32_t binding) { return e->half >> binding & 1 ? "vec2h" : "vec2f"; }

static void bindings(const uint32_t *s, wa_wgsl_emit *e)
{
    uint32_t b = 0;
    wa__wgsl_storage(e, b++, "a", "array<f16, 256>", false);
    wa__wgsl_storage(e, b++, "b", "array<f16, 256>", false);
    if (s[2] & WA_WGSL_TILES_BIAS) wa__wgsl_storage(e, b, "bias", pair(e, b), false), b++;
    if (s[2] & WA_WGSL_TILES_RESIDUAL) wa__wgsl_storage(e, b++, "residual", "u32", false);
    if (norm(s)) wa__wgsl_storage(e, b, "gamma", pair(e, b), false), b++;
    if (s[2] & WA_WGSL_TILES_BETA) wa__wgsl_storage(e, b, "beta", pair(e, b), false), b++;
    if (s[2] & WA_WGSL_TILES_KEEP) wa__wgsl_storage(e, b++, "kept", "u32", true);
    wa__wgsl_storage(e, b++, "o", s[4] == WA_FORM_F32 ? "vec2f" : "u32", true);
    wa__wgsl_params(e, b, 1);
    wa__wgsl_activation(e, s[3], "vec2f");
    if (s[2] & WA_WGSL_TILES_ALPHA) put(e, "const alpha = bitcast<f32>(%uu);\n", s[5]);
}

/* fn finish: two adjacent columns of row tile i, column tile j, from element q (even) of the tile. */
static void finish(const uint32_t *s, wa_wgsl_emit *e)
{
    uint32_t nt = s[1] / 16;
    put(e, "fn finish(i: u32, j: u32, q: u32, sum: vec2f) {\n  if (i >= (p.a[0].x + 15u) / 16u || j >= %uu) { return; }\n  var v = sum;\n", nt);
    if (s[2] & WA_WGSL_TILES_ALPHA) put(e, "  v *= alpha;\n");
    if (s[2] & WA_WGSL_TILES_BIAS) put(e, "  v += vec2f(bias[(j * 16u + (q & 15u)) / 2u]);\n");
    if (s[3]) put(e, "  v = activate(v);\n");
    put(e, "  let at = (i * %uu + j) * 128u + q / 2u;\n", nt);
    if (s[2] & WA_WGSL_TILES_RESIDUAL) put(e, "  v += unpack2x16float(residual[at]);\n");
    if (s[4] == WA_FORM_TILES) {
        put(e, "  o[at] = pack2x16float(v);\n}\n");
        return;
    }
    put(e, "  let row = i * 16u + (q >> 4u);\n  if (row >= p.a[0].x) { return; }\n  o[row * %uu + j * 8u + (q & 15u) / 2u] = %s;\n}\n", s[1] / 2,
        s[4] == WA_FORM_F16 ? "pack2x16float(v)" : "v");
}

/* The products of one group of k tiles: loads first, so that they are in flight together. */
static void group(const uint32_t *s, uint32_t depth, wa_wgsl_emit *e)
{
    uint32_t kt = s[0] / 16;
    for (uint32_t u = 0; u < depth; u++) {
        for (uint32_t i = 0; i < s[7]; i++) {
            put(e, "    let a%u_%u = subgroupMatrixLoad<Left>(&a[min(row + %uu, last) * %uu + k + %uu], 0u, false, 16u);\n", i, u, i, kt, u);
        }
        for (uint32_t j = 0; j < s[8]; j++)
            put(e, "    let b%u_%u = subgroupMatrixLoad<Right>(&b[min(col + %uu, %uu) * %uu + k + %uu], 0u, true, 16u);\n", j, u, j, s[1] / 16 - 1, kt, u);
    }
    for (uint32_t u = 0; u < depth; u++)
        for (uint32_t i = 0; i < s[7]; i++)
            for (uint32_t j = 0; j < s[8]; j++) put(e, "    c%u_%u = subgroupMatrixMultiplyAccumulate(a%u_%u, b%u_%u, c%u_%u);\n", i, j, i, u, j, u, i, j);
}

static void sums(uint32_t rows, uint32_t columns, wa_wgsl_emit *e)
{
    for (uint32_t i = 0; i < rows * columns; i++) put(e, "  var c%u_%u: subgroup_matrix_result<f32, 16, 16>;\n", i / columns, i % columns);
}

/* SPLIT and NORM from the sums on: slices meet in part, then every thread finishes pairs of columns. */
static void add_up(const uint32_t *s, wa_wgsl_emit *e)
{
    uint32_t pairs = s[7] * s[8] * 128, threads = s[9] * 32;
    for (uint32_t i = 0; i < s[7] * s[8]; i++) put(e, "  subgroupMatrixStore(&part[sg], %uu, c%u_%u, false, 16u);\n", i * 256, i / s[8], i % s[8]);
    put(e, "  workgroupBarrier();\n");
    for (uint32_t n = 0; n < pairs; n += threads) {
        if (n + threads > pairs) put(e, "  if (li < %uu) ", pairs - n);
        put(e, "  { let q = (li + %uu) * 2u; finish(row + (q >> 8u) / %uu, col + (q >> 8u) %% %uu, q & 255u, vec2f(", n, s[8], s[8]);
        for (uint32_t x = 0; x < 2; x++) {
            for (uint32_t z = 0; z < s[9]; z++) put(e, "%spart[%uu][q%s]", z ? " + " : "", z, x ? " + 1u" : "");
            put(e, x ? "" : ", ");
        }
        put(e, ")); }\n");
    }
}

static void split(const uint32_t *s, wa_wgsl_emit *e)
{
    uint32_t share = s[0] / 16 / s[9], depth = share;
    for (depth = share < 6 ? share : 6; share % depth; depth--) {}
    put(e, "  let k0 = sg * %uu;\n", share);
    sums(s[7], s[8], e);
    put(e, "  for (var k = k0; k < k0 + %uu; k += %uu) {\n", share, depth);
    group(s, depth, e);
    put(e, "  }\n");
    add_up(s, e);
}

/* A lane's pairs of columns of its subgroup's results: v<i>_<j>_<q>, rows l/8 + 4q of row tile i. */
static void gather(const uint32_t *s, uint32_t i, uint32_t j, wa_wgsl_emit *e)
{
    put(e, "  subgroupMatrixStore(&part[sg], 0u, c%u_%u, false, 16u);\n  workgroupBarrier();\n", i, j);
    for (uint32_t q = 0; q < 4; q++) {
        put(e, "  var v%u_%u_%u = vec2f(part[sg][l * 2u + %uu], part[sg][l * 2u + %uu])", i, j, q, q * 64, q * 64 + 1);
        if (s[2] & WA_WGSL_TILES_ALPHA) put(e, " * alpha");
        if (s[2] & WA_WGSL_TILES_BIAS) put(e, " + vec2f(bias[(col + %uu) * 8u + (l & 7u)])", j);
        put(e, ";\n");
        if (s[3]) put(e, "  v%u_%u_%u = activate(v%u_%u_%u);\n", i, j, q, i, j, q);
        if (s[2] & WA_WGSL_TILES_RESIDUAL) put(e, "  v%u_%u_%u += unpack2x16float(residual[(min(row + %uu, last) * %uu + col + %uu) * 128u + l + %uu]);\n", i, j, q, i, s[1] / 16, j, q * 32);
    }
    put(e, "  workgroupBarrier();\n");
}

/* Each row's sum of v (or of its squares) over all subgroups: total<i>_<q>. */
static void row_sums(const uint32_t *s, bool squares, uint32_t columns, wa_wgsl_emit *e)
{
    for (uint32_t i = 0; i < s[7]; i++)
        for (uint32_t q = 0; q < 4; q++) {
            put(e, "  { var y = vec2f();");
            for (uint32_t j = 0; j < columns; j++) put(e, squares ? " y += v%u_%u_%u * v%u_%u_%u;" : " y += v%u_%u_%u;", i, j, q, i, j, q);
            put(e, " var x = y.x + y.y; x += subgroupShuffleXor(x, 1u); x += subgroupShuffleXor(x, 2u); x += subgroupShuffleXor(x, 4u);"
                   " if ((l & 7u) == 0u) { red[sg][%uu + (l >> 3u)] = x; } }\n", i * 16 + q * 4);
        }
    put(e, "  workgroupBarrier();\n");
    for (uint32_t i = 0; i < s[7]; i++)
        for (uint32_t q = 0; q < 4; q++) {
            put(e, "  let %s%u_%u = (", squares ? "var" : "mean", i, q);
            for (uint32_t z = 0; z < s[9]; z++) put(e, "%sred[%u][%uu + (l >> 3u)]", z ? " + " : "", z, i * 16 + q * 4);
            put(e, ") / %u.0;\n", s[1]);
        }
    put(e, "  workgroupBarrier();\n");
}

static void store_row(const uint32_t *s, uint32_t i, uint32_t j, uint32_t q, wa_wgsl_emit *e)
{
    uint32_t nt = s[1] / 16;
    put(e, "  { let n = (col + %uu) * 8u + (l & 7u); let y = v%u_%u_%u * inv%u_%u * vec2f(gamma[n])%s;\n", j, i, j, q, i, q, s[2] & WA_WGSL_TILES_BETA ? " + vec2f(beta[n])" : "");
    if (s[4] == WA_FORM_TILES) {
        put(e, "    o[((row + %uu) * %uu + col + %uu) * 128u + l + %uu] = pack2x16float(y); }\n", i, nt, j, q * 32);
        return;
    }
    put(e, "    let r = (row + %uu) * 16u + (l >> 3u) + %uu; if (r < p.a[0].x) { o[r * %uu + n] = %s; } }\n", i, q * 4, s[1] / 2, s[4] == WA_FORM_F16 ? "pack2x16float(y)" : "y");
}

/* NORM: a workgroup has whole rows, so their mean and variance are its own matter: two passes over what
 * lies in registers. */
static void whole_rows(const uint32_t *s, wa_wgsl_emit *e)
{
    /* As many loads in flight as registers hold. H200, MiniLM-L6 and BERT-base at batch 32, a depth of 2 in place
     * of 4: [384,1536] 52 us against 36, [768,3072] 136 against 120. */
    uint32_t kt = s[0] / 16, columns = s[8], depth = 24 / (s[7] + columns);
    if (depth > 6) depth = 6;
    while (depth > 1 && kt % depth) depth--;
    sums(s[7], columns, e);
    put(e, "  for (var k = 0u; k < %uu; k += %uu) {\n", kt, depth);
    group(s, depth, e);
    put(e, "  }\n  let l = li & 31u;\n");
    for (uint32_t i = 0; i < s[7]; i++)
        for (uint32_t j = 0; j < columns; j++) gather(s, i, j, e);
    if (s[2] & WA_WGSL_TILES_KEEP)
        for (uint32_t n = 0; n < s[7] * columns * 4; n++)
            put(e, "  if (row + %uu <= last) { kept[((row + %uu) * %uu + col + %uu) * 128u + l + %uu] = pack2x16float(v%u_%u_%u); }\n", n / 4 / columns, n / 4 / columns, s[1] / 16,
                n / 4 % columns, n % 4 * 32, n / 4 / columns, n / 4 % columns, n % 4);
    if (!(s[2] & WA_WGSL_TILES_RMS)) {
        row_sums(s, false, columns, e);
        for (uint32_t n = 0; n < s[7] * columns * 4; n++) put(e, "  v%u_%u_%u -= mean%u_%u;\n", n / 4 / columns, n / 4 % columns, n % 4, n / 4 / columns, n % 4);
    }
    row_sums(s, true, columns, e);
    for (uint32_t n = 0; n < s[7] * 4; n++) put(e, "  let inv%u_%u = inverseSqrt(var%u_%u + bitcast<f32>(%uu));\n", n / 4, n % 4, n / 4, n % 4, s[10]);
    for (uint32_t i = 0; i < s[7]; i++) {
        put(e, "  if (row + %uu <= last) {\n", i);
        for (uint32_t n = 0; n < columns * 4; n++) store_row(s, i, n / 4, n % 4, e);
        put(e, "  }\n");
    }
}

static void wide(const uint32_t *s, wa_wgsl_emit *e)
{
    uint32_t kt = s[0] / 16, last_col = s[1] / 16 - 1, panels = s[8] / WIDE_SUBGROUPS;
    put(e, "  let wr = row + sg / 2u * %uu; let wc = sg %% 2u * %uu;\n", WIDE_SIDE, WIDE_SIDE);
    sums(WIDE_SIDE, WIDE_SIDE, e);
    for (uint32_t i = 0; i < panels * 2; i++)
        put(e, "  var x%u = subgroupMatrixLoad<Right>(&b[min(col + sg * %uu + %uu, %uu) * %uu + %uu], 0u, true, 16u);\n", i, panels, i / 2, last_col, kt, i % 2);
    put(e, "  for (var k = 0u; k < %uu; k += 2u) {\n", kt);
    for (uint32_t i = 0; i < panels * 2; i++) put(e, "    subgroupMatrixStore(&b_s[sg * %uu + %uu], %uu, x%u, true, %uu);\n", panels, i / 2, i % 2 * 16, i, WIDE_STRIDE);
    put(e, "    workgroupBarrier();\n    let next = min(k + 2u, %uu);\n", kt - 2);
    for (uint32_t i = 0; i < panels * 2; i++)
        put(e, "    x%u = subgroupMatrixLoad<Right>(&b[min(col + sg * %uu + %uu, %uu) * %uu + next + %uu], 0u, true, 16u);\n", i, panels, i / 2, last_col, kt, i % 2);
    for (uint32_t q = 0; q < 2; q++) {
        put(e, "    {\n");
        for (uint32_t i = 0; i < WIDE_SIDE; i++) put(e, "      let a%u = subgroupMatrixLoad<Left>(&a[min(wr + %uu, last) * %uu + k + %uu], 0u, false, 16u);\n", i, i, kt, q);
        for (uint32_t j = 0; j < WIDE_SIDE; j++) {
            put(e, "      { let y = subgroupMatrixLoad<Right>(&b_s[wc + %uu], %uu, true, %uu);\n", j, q * 16, WIDE_STRIDE);
            for (uint32_t i = 0; i < WIDE_SIDE; i++) put(e, "        c%u_%u = subgroupMatrixMultiplyAccumulate(a%u, y, c%u_%u);\n", i, j, i, i, j);
            put(e, "      }\n");
        }
        put(e, "    }\n");
    }
    put(e, "    workgroupBarrier();\n  }\n  let l = li & 31u;\n");
    for (uint32_t i = 0; i < WIDE_SIDE; i++)
        for (uint32_t j = 0; j < WIDE_SIDE; j++) {
            put(e, "  subgroupMatrixStore(&part[sg], 0u, c%u_%u, false, 16u);\n  workgroupBarrier();\n", i, j);
            for (uint32_t q = 0; q < 4; q++) put(e, "  finish(wr + %uu, col + wc + %uu, l * 2u + %uu, vec2f(part[sg][l * 2u + %uu], part[sg][l * 2u + %uu]));\n", i, j, q * 64, q * 64, q * 64 + 1);
            put(e, "  workgroupBarrier();\n");
        }
}

static void generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    bool is_wide = s[6] == WA_WGSL_TILES_WIDE;
    uint32_t threads = (is_wide ? WIDE_SUBGROUPS : s[9]) * 32;
    put(e, WA_WGSL_TILES_HEAD);
    bindings(s, e);
    put(e, "alias Left = subgroup_matrix_left<f16, 16, 16>;\nalias Right = subgroup_matrix_right<f16, 16, 16>;\n");
    put(e, "var<workgroup> part: array<array<f32, %u>, %u>;\n", is_wide || norm(s) ? 256 : s[7] * s[8] * 256, is_wide ? WIDE_SUBGROUPS : s[9]);
    if (is_wide) put(e, "var<workgroup> b_s: array<array<f16, %u>, %u>;\n", 16 * WIDE_STRIDE, s[8]);
    if (norm(s)) put(e, "var<workgroup> red: array<array<f32, %u>, %u>;\n", s[7] * 16, s[9]);
    else finish(s, e);
    put(e, "@compute @workgroup_size(%u)\nfn main(@builtin(workgroup_id) w: vec3u, @builtin(local_invocation_index) li: u32) {\n", threads);
    put(e, "  let sg = subgroupBroadcastFirst(li >> 5u); let row = w.y * %uu; let col = (w.x + %s) * %uu; let last = (p.a[0].x - 1u) / 16u;\n", s[7], norm(s) ? "sg" : "0u", s[8]);
    if (is_wide) wide(s, e);
    else if (norm(s)) whole_rows(s, e);
    else split(s, e);
    put(e, "}\n");
}
/* Every binding has its layout by the spec: what lies in 16 bits is no matter of declaration. */
static uint32_t halves(const uint32_t *s, const uint32_t *code, const wa_wgsl_info *info)
{
    (void)s, (void)code;
    return (1u << info->binding_count) - 1;
}
const wa_wgsl_row wa__wgsl_matmul_tiles = {"matmul_tiles", check, generate, halves};
