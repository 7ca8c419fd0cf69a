/* Shared text of the tiled products: see wgsl_product.h. */
#include "kernels/wgsl_product.h"
#include <stdio.h>

#define put wa__wgsl_put
enum {
    BIAS = WA_WGSL_PRODUCT_BIAS, RESIDUAL = WA_WGSL_PRODUCT_RESIDUAL, ALPHA = WA_WGSL_PRODUCT_ALPHA, NORM = WA_WGSL_PRODUCT_NORM,
    BETA = WA_WGSL_PRODUCT_BETA, RMS = WA_WGSL_PRODUCT_RMS, KEEP = WA_WGSL_PRODUCT_KEEP, STATS = WA_WGSL_PRODUCT_STATS, FLAGS = 255
};

bool wa__wgsl_product_check(const uint32_t *s, wa_wgsl_info *info)
{
    if (!s[0] || s[0] % 4 || s[0] > 1u << 24 || !s[1] || s[1] > 1u << 24 || s[2] % 4 || s[2] < s[1] || s[2] > 1u << 24 || s[3] & ~(uint32_t)FLAGS || s[4] > 6) return false;
    if (!s[5] || s[5] > 256 || !s[6] || s[6] > 256 || !s[7] || s[7] > 16 || !s[8] || s[8] > 32 || s[8] % 4 || s[5] % s[7] || s[6] % s[8] || !s[9] || s[9] > 16) return false;
    if (s[5] / s[7] * (s[6] / s[8]) * s[9] > 1024 || s[7] * s[8] > 256) return false;
    if (s[3] & (BETA | RMS | KEEP) && !(s[3] & (NORM | STATS))) return false;
    if (s[3] & (BETA | KEEP) && !(s[3] & NORM)) return false;
    if (s[3] & NORM && (!s[12] || s[12] > 256 || s[12] % 4)) return false;
    if (s[3] & STATS && s[1] % 4) return false;
    info->binding_count = 3u + (s[3] & BIAS ? 1u : 0u) + (s[3] & RESIDUAL ? 1u : 0u) + (s[3] & NORM ? 2u : 0u) + (s[3] & BETA ? 1u : 0u);
    uint32_t written = 1u + (s[3] & KEEP ? 1u : 0u) + (s[3] & STATS ? 1u : 0u);
    info->write_mask = ((1u << written) - 1) << (info->binding_count - 1);
    info->binding_count += written - 1;
    return info->binding_count <= 8;
}

wgsl_product wa__wgsl_product_of(const uint32_t *s, bool direct)
{
    wgsl_product p = {.k4 = s[0] / 4, .n = s[1], .ld4 = s[2] / 4, .flags = s[3], .act = s[4], .bm = s[5], .bn = s[6], .rm = s[7], .rn = s[8],
                      .slices = s[9], .own = s[11], .part_cols = s[12], .tx = s[6] / s[8], .ty = s[5] / s[7], .vo = s[1] % 4 == 0, .spec = s};
    p.lanes = p.tx * p.ty;
    p.threads = p.lanes * p.slices;
    p.tile4 = s[5] * s[6] / 4;
    p.direct = direct && p.slices == 1;
    return p;
}

/* o's; kept and partials come after it. */
static uint32_t out_binding(const wgsl_product *p)
{
    return 2u + (p->flags & BIAS ? 1u : 0u) + (p->flags & RESIDUAL ? 1u : 0u) + (p->flags & NORM ? 2u : 0u) + (p->flags & BETA ? 1u : 0u);
}

uint32_t wa__wgsl_product_halves(const uint32_t *s, const uint32_t *code, const wa_wgsl_info *info)
{
    (void)code;
    uint32_t stats = 2u + (s[3] & BIAS ? 1u : 0u) + (s[3] & RESIDUAL ? 1u : 0u), all = (1u << info->binding_count) - 1;
    if (s[3] & NORM) all &= ~(1u << stats);
    return s[3] & STATS ? all & ~(1u << (info->binding_count - 1)) : all;
}

static uint32_t at_most(uint32_t a, uint32_t b) { return a < b ? a : b; }
static uint32_t parts_of(uint32_t columns, uint32_t each) { return (columns + each - 1) / each; }

/* Lanes that share a row's partials. */
static uint32_t norm_lanes(const wgsl_product *p)
{
    return at_most(at_most(p->threads / p->bm ? p->threads / p->bm : 1, 8), parts_of(p->k4 * 4, p->part_cols));
}

/* Slices whose sums lie in `mem` at a time. */
static uint32_t sums_at_once(const wgsl_product *p)
{
    uint32_t room = WGSL_PRODUCT_SUM_BYTES / (p->tile4 * 16);
    return at_most(p->slices, room ? room : 1);
}

uint32_t wa__wgsl_product_mem(const wgsl_product *p)
{
    uint32_t norm = p->flags & NORM ? p->bm * norm_lanes(p) : 0;
    uint32_t after = !p->direct ? sums_at_once(p) * p->tile4 : p->flags & STATS ? p->bm / 4 * p->tx * 2 : 0;
    return norm > after ? norm : after;
}

uint32_t wa__wgsl_product_extra(const wgsl_product *p)
{
    return (p->flags & NORM ? p->bm * 8 : 0) + (p->flags & STATS && !p->direct ? p->tile4 * 8 : 0);
}

/* fn normal(x, k, n): x of vec4 column k of a row whose {scale, shift} is n. */
static void norm_functions(const wgsl_product *p, wa_wgsl_emit *e)
{
    put(e, "var<workgroup> row_norm: array<vec2f, %u>;\n", p->bm);
    put(e, "fn normal(x: vec4f, k: u32, n: vec2f) -> vec4f { return (x * n.x + n.y) * vec4f(gamma[k])%s; }\n", p->flags & BETA ? " + vec4f(beta[k])" : "");
    put(e, "fn join(a: vec3f, b: vec3f) -> vec3f {\n  let n = a.x + b.x; let d = b.y - a.y; let f = b.x / max(n, 1.0);\n"
           "  return vec3f(n, a.y + d * f, a.z + b.z + d * d * a.x * f);\n}\n");
}

/* `mem` as one row, or as [slice][k][row]: constants for k then leave one bound to check for all steps of an unrolled
 * loop. mem_at and mem_put take it as one row. */
static void memory(uint32_t mem4, uint32_t row, uint32_t depth, wa_wgsl_emit *e)
{
    char at[96];
    if (row) {
        uint32_t stage = row * depth;
        put(e, "var<workgroup> mem: array<array<array<vec4f, %u>, %u>, %u>;\n", row, depth, (mem4 + stage - 1) / stage);
        snprintf(at, sizeof at, "mem[i / %uu][i / %uu %% %uu][i %% %uu]", stage, row, depth, row);
    } else {
        put(e, "var<workgroup> mem: array<vec4f, %u>;\n", mem4);
        snprintf(at, sizeof at, "mem[i]");
    }
    put(e, "fn mem_at(i: u32) -> vec4f { return %s; }\nfn mem_put(i: u32, v: vec4f) { %s = v; }\n", at, at);
}

void wa__wgsl_product_head(const wgsl_product *p, uint32_t mem4, uint32_t row, uint32_t depth, wa_wgsl_emit *e)
{
    const char *out = p->vo ? "vec4f" : "f32";
    uint32_t b = 0;
    wa__wgsl_storage(e, b++, "a", "vec4f", false);
    wa__wgsl_storage(e, b++, "b", "vec4f", false);
    if (p->flags & BIAS) wa__wgsl_storage(e, b++, "bias", out, false);
    if (p->flags & RESIDUAL) wa__wgsl_storage(e, b++, "residual", out, false);
    if (p->flags & NORM) wa__wgsl_storage(e, b++, "stats", "vec2f", false);
    if (p->flags & NORM) wa__wgsl_storage(e, b++, "gamma", "vec4f", false);
    if (p->flags & BETA) wa__wgsl_storage(e, b++, "beta", "vec4f", false);
    wa__wgsl_storage(e, b++, "o", out, true);
    if (p->flags & KEEP) wa__wgsl_storage(e, b++, "kept", "vec4f", true);
    if (p->flags & STATS) wa__wgsl_storage(e, b++, "partials", "vec2f", true);
    wa__wgsl_params(e, b, 1);
    wa__wgsl_activation(e, p->act, out);
    memory(mem4, row, depth, e);
    if (p->flags & STATS && !p->direct) put(e, "var<workgroup> sums: array<f32, %u>;\nvar<workgroup> squares: array<f32, %u>;\n", p->tile4, p->tile4);
    if (p->flags & NORM) norm_functions(p, e);
}

/* Partials of a row, shared by `each` lanes, then joined in order: {count, mean, squares}. */
static void norm_rows(const wgsl_product *p, wa_wgsl_emit *e)
{
    uint32_t each = norm_lanes(p), width = p->k4 * 4, parts = parts_of(width, p->part_cols);
    put(e, "  for (var q = li; q < %uu; q += %uu) {\n    let row = min(r0 + q / %uu, m - 1u); var sum = vec3f();\n", p->bm * each, p->threads, each);
    put(e, "    for (var j = q %% %uu; j < %uu; j += %uu) {\n      let s = stats[row * %uu + j];\n", each, parts, each, parts);
    put(e, "      sum = join(sum, vec3f(f32(min(%uu, %uu - j * %uu)), s));\n    }\n    mem_put(q, vec4f(sum, 0.0));\n  }\n  workgroupBarrier();\n", p->part_cols, width, p->part_cols);
    put(e, "  for (var q = li; q < %uu; q += %uu) {\n    var sum = mem_at(q * %uu).xyz;\n", p->bm, p->threads, each);
    put(e, "    for (var j = 1u; j < %uu; j++) { sum = join(sum, mem_at(q * %uu + j).xyz); }\n", each, each);
    put(e, "    let scale = inverseSqrt(sum.z / %u.0 + bitcast<f32>(%uu));\n", width, p->spec[13]);
    put(e, "    row_norm[q] = vec2f(scale, %s);\n  }\n  workgroupBarrier();\n", p->flags & RMS ? "0.0" : "-sum.y * scale");
}

void wa__wgsl_product_begin(const wgsl_product *p, wa_wgsl_emit *e)
{
    char slice[32] = "0u"; /* a constant index needs no check */
    if (p->slices > 1) snprintf(slice, sizeof slice, "li / %uu", p->lanes);
    put(e, "@compute @workgroup_size(%u)\nfn main(@builtin(workgroup_id) w: vec3u, @builtin(local_invocation_index) li: u32) {\n", p->threads);
    put(e, "  let m = p.a[0].x; let slice = %s; let lane = li %% %uu; let tx = lane %% %uu; let ty = lane / %uu;\n", slice, p->lanes, p->tx, p->tx);
    put(e, "  let r0 = w.y * %uu; let c0 = w.x * %uu;\n", p->bm, p->bn / 4);
    if (p->flags & ALPHA) put(e, "  let alpha = bitcast<f32>(%uu);\n", p->spec[10]); /* Firefox has no bitcast in a const */
    if (p->flags & NORM) norm_rows(p, e);
}

/* --- after the sums ------------------------------------------------------------------------------ */
/* `value` (a vec4f var) at row `row`, vec4 column `col`, both in range where `ok`: becomes what is
 * stored. */
static void finish(const wgsl_product *p, const char *value, const char *row, const char *col, wa_wgsl_emit *e)
{
    const char *held = wa__wgsl_held(e, out_binding(p), p->vo ? "vec4f" : "f32");
    if (p->flags & ALPHA) put(e, "    %s *= alpha;\n", value);
    if (p->vo) {
        put(e, "    if (%s < m && %s < %uu) {\n", row, col, p->n / 4);
        if (p->flags & BIAS) put(e, "      %s += vec4f(bias[%s]);\n", value, col);
        if (p->act) put(e, "      %s = activate(%s);\n", value, value);
        if (p->flags & RESIDUAL) put(e, "      %s += vec4f(residual[%s * %uu + %s]);\n", value, row, p->n / 4, col);
        put(e, "      o[%s * %uu + %s] = %s(%s);\n    }\n", row, p->n / 4, col, held, value);
        return;
    }
    put(e, "    for (var i = 0u; i < 4u; i++) {\n      let n = %s * 4u + i; if (%s >= m || n >= %uu) { break; }\n      var x = %s[i];\n", col, row, p->n, value);
    if (p->flags & BIAS) put(e, "      x += f32(bias[n]);\n");
    if (p->act) put(e, "      x = activate(x);\n");
    if (p->flags & RESIDUAL) put(e, "      x += f32(residual[%s * %uu + n]);\n", row, p->n);
    put(e, "      o[%s * %uu + n] = %s(x);\n    }\n", row, p->n, held);
}

/* Vec4 `e` of the tile, as every lane's vars v{n}, row{n}, col{n}: statistics of its rows. */
static void row_statistics(const wgsl_product *p, uint32_t each, wa_wgsl_emit *e)
{
    uint32_t w4 = p->bn / 4, parts = parts_of(p->n, p->bn);
    bool tail = p->tile4 % p->threads != 0;
    put(e, "  let count = f32(min(%uu, %uu - w.x * %uu));\n", p->bn, p->n, p->bn);
    for (uint32_t n = 0; n < each; n++) {
        put(e, "  var mean%u = 0f; let in%u = col%u < %uu;\n", n, n, n, p->n / 4);
        if (p->flags & RMS) continue;
        put(e, "  %s{ sums[q%u] = select(0.0, dot(v%u, vec4f(1.0)), in%u); }\n", tail ? "if (here) " : "", n, n, n);
    }
    if (!(p->flags & RMS)) put(e, "  workgroupBarrier();\n");
    for (uint32_t n = 0; n < each; n++) {
        if (!(p->flags & RMS)) put(e, "  for (var j = 0u; j < %uu; j++) { mean%u += sums[q%u / %uu * %uu + j]; }\n  mean%u /= count;\n", w4, n, n, w4, w4, n);
        put(e, "  %s{ let d = v%u - mean%u; squares[q%u] = select(0.0, dot(d, d), in%u); }\n", tail ? "if (here) " : "", n, n, n, n);
    }
    put(e, "  workgroupBarrier();\n");
    for (uint32_t n = 0; n < each; n++) {
        put(e, "  if (%sq%u %% %uu == 0u && row%u < m) {\n    var sum = 0f;\n    for (var j = 0u; j < %uu; j++) { sum += squares[q%u + j]; }\n", tail ? "here && " : "", n, w4, n, w4, n);
        put(e, "    partials[row%u * %uu + w.x] = vec2f(mean%u, sum);\n  }\n", n, parts, n);
    }
}

/* Slices leave their sums in `mem`, as many as fit at a time: those beyond are first added to lower ones. */
static void leave_sums(const wgsl_product *p, wa_wgsl_emit *e)
{
    uint32_t room = sums_at_once(p), w4 = p->bn / 4;
    for (uint32_t top = p->slices; top > room; top = top - room > room ? top - room : room) {
        uint32_t low = top - room > room ? top - room : room; /* slices low.. give theirs to slices 0.. */
        put(e, "  if (slice >= %uu && slice < %uu) {\n", low, top);
        for (uint32_t i = 0; i < p->rm; i++)
            for (uint32_t j = 0; j < p->rn / 4; j++) put(e, "    mem_put((slice - %uu) * %uu + (ty * %uu + %uu) * %uu + %uu + tx, c%u_%u);\n", low, p->tile4, p->rm, i, w4, j * p->tx, i, j);
        put(e, "  }\n  workgroupBarrier();\n  if (slice < %uu) {\n", top - low);
        for (uint32_t i = 0; i < p->rm; i++)
            for (uint32_t j = 0; j < p->rn / 4; j++) put(e, "    c%u_%u += mem_at(slice * %uu + (ty * %uu + %uu) * %uu + %uu + tx);\n", i, j, p->tile4, p->rm, i, w4, j * p->tx);
        put(e, "  }\n  workgroupBarrier();\n");
    }
    if (room < p->slices) put(e, "  if (slice < %uu) {\n", room);
    else put(e, "  {\n");
    for (uint32_t i = 0; i < p->rm; i++)
        for (uint32_t j = 0; j < p->rn / 4; j++) put(e, "    mem_put(slice * %uu + (ty * %uu + %uu) * %uu + %uu + tx, c%u_%u);\n", p->tile4, p->rm, i, w4, j * p->tx, i, j);
    put(e, "  }\n  workgroupBarrier();\n");
}

static void end_by_memory(const wgsl_product *p, wa_wgsl_emit *e)
{
    uint32_t each = (p->tile4 + p->threads - 1) / p->threads, w4 = p->bn / 4, room = sums_at_once(p);
    bool tail = p->tile4 % p->threads != 0;
    leave_sums(p, e);
    for (uint32_t n = 0; n < each; n++) {
        if (tail && each == 1) put(e, "  let here = li < %uu; let q0 = min(li, %uu);\n", p->tile4, p->tile4 - 1);
        else put(e, "  let q%u = li + %uu;\n", n, n * p->threads);
        put(e, "  var v%u = mem_at(q%u);\n", n, n);
        for (uint32_t z = 1; z < room; z++) put(e, "  v%u += mem_at(%uu + q%u);\n", n, z * p->tile4, n);
        put(e, "  let row%u = r0 + q%u / %uu; let col%u = c0 + q%u %% %uu;\n  %s{\n", n, n, w4, n, n, w4, tail ? "if (here) " : "");
        char value[16], row[16], col[16];
        snprintf(value, sizeof value, "v%u", n), snprintf(row, sizeof row, "row%u", n), snprintf(col, sizeof col, "col%u", n);
        finish(p, value, row, col, e);
        put(e, "  }\n");
    }
    if (p->flags & STATS) row_statistics(p, each, e);
}

/* Statistics straight from registers: a lane sums its columns, four rows a vec4, and the lanes of a row meet in `mem`. */
static void direct_statistics(const wgsl_product *p, wa_wgsl_emit *e)
{
    uint32_t parts = parts_of(p->n, p->bn), groups = p->rm / 4, half = p->ty * groups * p->tx;
    put(e, "  let count = f32(min(%uu, %uu - w.x * %uu));\n", p->bn, p->n, p->bn);
    for (uint32_t j = 0; j < p->rn / 4; j++) put(e, "  let in%u = select(0.0, 1.0, col%u < %uu);\n", j, j, p->n / 4);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < p->rm && (pass || !(p->flags & RMS)); i++) {
            if (i % 4 == 0) put(e, "  { var s = vec4f();\n");
            for (uint32_t j = 0; j < p->rn / 4; j++) {
                if (!pass) put(e, "    s.%c += dot(c%u_%u, vec4f(in%u));\n", "xyzw"[i % 4], i, j, j);
                else put(e, "    { let d = c%u_%u - mean%u.%c; s.%c += dot(d, d) * in%u; }\n", i, j, i / 4, "xyzw"[i % 4], "xyzw"[i % 4], j);
            }
            if (i % 4 == 3) put(e, "    mem_put(%uu + (ty * %uu + %uu) * %uu + tx, s); }\n", pass * half, groups, i / 4, p->tx);
        }
        if (pass || !(p->flags & RMS)) put(e, "  workgroupBarrier();\n");
        for (uint32_t i = 0; i < groups && !pass; i++) {
            put(e, "  var mean%u = vec4f();\n", i);
            if (!(p->flags & RMS)) put(e, "  for (var j = 0u; j < %uu; j++) { mean%u += mem_at((ty * %uu + %uu) * %uu + j); }\n  mean%u /= count;\n", p->tx, i, groups, i, p->tx, i);
        }
    }
    put(e, "  if (tx == 0u) {\n");
    for (uint32_t i = 0; i < groups; i++) {
        put(e, "    { let row = r0 + ty * %uu + %uu; var s = vec4f();\n      for (var j = 0u; j < %uu; j++) { s += mem_at(%uu + (ty * %uu + %uu) * %uu + j); }\n", p->rm, i * 4, p->tx, half,
            groups, i, p->tx);
        put(e, "      for (var k = 0u; k < 4u; k++) { if (row + k < m) { partials[(row + k) * %uu + w.x] = vec2f(mean%u[k], s[k]); } } }\n", parts, i);
    }
    put(e, "  }\n");
}

static void end_directly(const wgsl_product *p, wa_wgsl_emit *e)
{
    for (uint32_t j = 0; j < p->rn / 4; j++) put(e, "  let col%u = c0 + %uu + tx;\n", j, j * p->tx);
    for (uint32_t i = 0; i < p->rm; i++) {
        put(e, "  {\n    let row = r0 + ty * %uu + %uu;\n", p->rm, i);
        for (uint32_t j = 0; j < p->rn / 4; j++) {
            char value[24], col[16];
            snprintf(value, sizeof value, "c%u_%u", i, j), snprintf(col, sizeof col, "col%u", j);
            finish(p, value, "row", col, e);
        }
        put(e, "  }\n");
    }
    if (p->flags & STATS) direct_statistics(p, e);
}

/* Each column tile writes its share of the normalised rows' columns. */
static void keep(const wgsl_product *p, wa_wgsl_emit *e)
{
    uint32_t tiles = parts_of(p->n, p->bn), share = parts_of(p->k4, tiles);
    put(e, "  let first = w.x * %uu; let width = min(%uu, %uu - min(first, %uu));\n", share, share, p->k4, p->k4);
    put(e, "  for (var q = li; q < %uu; q += %uu) {\n    let r = q / %uu; let k = q %% %uu; let row = r0 + r;\n", p->bm * share, p->threads, share, share);
    put(e, "    if (k < width && row < m) { let at = row * %uu + first + k; kept[at] = %s(normal(vec4f(a[at]), first + k, row_norm[r])); }\n  }\n", p->k4,
        wa__wgsl_held(e, out_binding(p) + 1, "vec4f"));
}

void wa__wgsl_product_end(const wgsl_product *p, wa_wgsl_emit *e)
{
    if (p->direct) end_directly(p, e);
    else end_by_memory(p, e);
    if (p->flags & KEEP) keep(p, e);
    put(e, "}\n");
}
