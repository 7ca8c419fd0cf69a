/* CONV: convolution with packed constant weights: w is [C/groups * taps][M rounded up to 4], so that
 * four output channels are one load; groups' channels are multiples of 4 unless there is one group.
 * As a matrix product: channels x positions, summed over channels and taps.
 * spec 11: form (0 direct: a tile in registers; 1 staged: slices of both in workgroup memory).
 *   direct: 12 vec4s of channels and 13 positions an invocation, 14 x 15 invocations.
 *   staged: 12 channels and 13 positions a workgroup (32 or 64) of 8 x 8 invocations, slices of 16.
 * See wgsl_conv.h for the rest; grid: {positions, channels of a group, batch * groups}. */
#include "kernels/wgsl_conv.h"
#include <stdio.h>

#define put wa__wgsl_put
#define SLICE 16u

static wa_status check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    bool ok = !code_count && wa__wgsl_conv_common(s, WA_WGSL_CONV_BIAS | WA_WGSL_CONV_RESIDUAL | WA_WGSL_CONV_CHECKED, info);
    if (ok && s[11] == 0)
        ok = s[12] && s[13] && s[12] <= 4 && s[13] <= 8 && s[14] && s[15] && s[14] <= 256 && s[15] <= 256 && s[14] * s[15] <= 256;
    else if (ok) ok = s[11] == 1 && (s[12] == 32 || s[12] == 64) && (s[13] == 32 || s[13] == 64) && !s[14] && !s[15];
    if (!ok) return wa__fail(err, WA_VERIFY, "conv: flags %u, act %u, form %u, tile %ux%u, %ux%u or its window", s[0], s[1], s[11], s[12], s[13], s[14], s[15]);
    if (s[11] == 1) info->workgroup_bytes = SLICE * (s[12] + s[13]) * 4;
    return WA_OK;
}

/* What both forms begin with: sizes, the group, the plane of input channel 0. */
static void sizes(wa_wgsl_emit *e)
{
    put(e, "  let outs = p.a[2].x * p.a[2].y * p.a[2].z; let plane = p.a[1].x * p.a[1].y * p.a[1].z; let size = vec3i(p.a[1].xyz);\n"
           "  let grp = wg.z %% p.a[2].w; let n = wg.z / p.a[2].w; let mg = p.a[1].w; let ld = p.a[5].x;\n"
           "  let xb = (n * p.a[0].y + grp * p.a[0].w) * plane; let ob = n * p.a[0].z + grp * mg;\n");
}

/* let b<i>: the corner of the window of position `at`, and f<i>: its offset in a plane. */
static void corner(const uint32_t *s, uint32_t i, const char *at, wa_wgsl_emit *e)
{
    put(e, "  let q%u = min(%s, outs - 1u); let b%u = vec3i(vec3u(q%u / (p.a[2].y * p.a[2].z), q%u / p.a[2].z %% p.a[2].y, q%u %% p.a[2].z)) * S - vec3i(p.a[3].xyz);\n",
        i, at, i, i, i, i);
    put(e, "  let f%u = (b%u.x * size.y + b%u.y) * size.z + b%u.z;\n", i, i, i, i);
    (void)s;
}

/* The value that position i reads at tap t (a vec3i in scope, with its offset `to` in a plane). */
static void load(const uint32_t *s, const char *plane, uint32_t i, char *out, size_t n)
{
    if (s[0] & WA_WGSL_CONV_CHECKED)
        snprintf(out, n, "select(0.0, x[%s + u32(f%u + to)], all(vec3u(b%u + t) < vec3u(size)))", plane, i, i);
    else snprintf(out, n, "x[%s + u32(f%u + to)]", plane, i);
}

/* --- direct ----------------------------------------------------------------------------------------- */
static void direct_taps(const uint32_t *s, wa_wgsl_emit *e)
{
    char value[160];
    bool one = s[2] * s[3] * s[4] == 1;
    if (one) put(e, "    let t = vec3i(); let to = 0; {\n");
    else put(e, "    for (var kd = 0; kd < K.x; kd++) { for (var kh = 0; kh < K.y; kh++) { for (var kw = 0; kw < K.z; kw++) {\n"
                "      let t = vec3i(kd, kh, kw) * D; let to = (t.x * size.y + t.y) * size.z + t.z;\n");
    for (uint32_t i = 0; i < s[13]; i++) {
        load(s, "xc", i, value, sizeof value);
        put(e, "      let x%u = %s;\n", i, value);
    }
    for (uint32_t j = 0; j < s[12]; j++) {
        put(e, "      let w%u = w[wk + %uu];\n", j, j);
        for (uint32_t i = 0; i < s[13]; i++) put(e, "      c%u_%u += w%u * x%u;\n", j, i, j, i);
    }
    put(e, "      wk += ld;\n    }%s\n", one ? "" : " } }");
}

static void direct(const uint32_t *s, wa_wgsl_emit *e)
{
    char at[64];
    const char *lane[] = {"x", "y", "z", "w"};
    put(e, "@compute @workgroup_size(%u, %u)\nfn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_id) l: vec3u) {\n", s[14], s[15]);
    sizes(e);
    put(e, "  let at = wg.x * %uu + l.x; let mq = (wg.y * %uu + l.y) * %uu;\n  if (at >= outs || mq * 4u >= mg) { return; }\n", s[14] * s[13], s[15], s[12]);
    for (uint32_t i = 0; i < s[13]; i++) {
        snprintf(at, sizeof at, "at + %uu", i * s[14]);
        corner(s, i, at, e);
    }
    for (uint32_t j = 0; j < s[12]; j++)
        for (uint32_t i = 0; i < s[13]; i++) put(e, "  var c%u_%u = vec4f();\n", j, i);
    put(e, "  var wk = grp * mg / 4u + mq; var xc = xb;\n  for (var c = 0u; c < p.a[0].w; c++) {\n");
    direct_taps(s, e);
    put(e, "    xc += plane;\n  }\n");
    for (uint32_t j = 0; j < s[12]; j++)
        for (uint32_t k = 0; k < 4; k++) {
            put(e, "  if (mq * 4u + %uu < mg) {\n    let m = mq * 4u + %uu; let row = (ob + m) * outs + at;\n", j * 4 + k, j * 4 + k);
            for (uint32_t i = 0; i < s[13]; i++)
                put(e, "    if (at + %uu < outs) { finish(c%u_%u.%s, grp * mg + m, row + %uu); }\n", i * s[14], j, i, lane[k], i * s[14]);
            put(e, "  }\n");
        }
    put(e, "}\n");
}

/* --- staged ------------------------------------------------------------------------------------------ */
/* Loads of the slice that starts at k0 into registers. */
static void fetch(const uint32_t *s, wa_wgsl_emit *e)
{
    uint32_t bm = s[12] / 4, bp = s[13] / 4, taps = s[2] * s[3] * s[4];
    char v[4][160];
    for (uint32_t i = 0; i < SLICE * bm / 64; i++)
        put(e, "  rw%u = w[min(k0 + l / %uu + %uu, depth - 1u) * ld + wq];\n", i, bm, i * 64 / bm);
    for (uint32_t i = 0; i < SLICE * bp / 64; i++) {
        put(e, "  { let k = k0 + l / %uu + %uu; let c = k / %uu; let xc = xb + c * plane;\n", bp, i * 64 / bp, taps);
        if (taps == 1) put(e, "    let t = vec3i(); let to = 0;\n");
        else put(e, "    let tap = k %% %uu; let t = vec3i(vec3u(tap / %uu, tap / %uu %% %uu, tap %% %uu)) * D; let to = (t.x * size.y + t.y) * size.z + t.z;\n", taps,
                 s[3] * s[4], s[4], s[3], s[4]);
        for (uint32_t q = 0; q < 4; q++) load(s, "xc", q, v[q], sizeof v[q]);
        put(e, "    rx%u = select(vec4f(), vec4f(%s, %s, %s, %s), k < depth); }\n", i, v[0], v[1], v[2], v[3]);
    }
}

static void multiply(const uint32_t *s, wa_wgsl_emit *e)
{
    uint32_t tm = s[12] / 8, tq = s[13] / 32;
    const char *lane[] = {"x", "y", "z", "w"};
    for (uint32_t k = 0; k < SLICE; k++) {
        put(e, "    {");
        for (uint32_t j = 0; j < tm / 4; j++) put(e, " let w%u = w_s[%u][lm + %uu];", j, k, j * 8);
        for (uint32_t q = 0; q < tq; q++) put(e, " let x%u = x_s[%u][lp + %uu];", q, k, q * 8);
        put(e, "\n");
        for (uint32_t m = 0; m < tm; m++)
            for (uint32_t q = 0; q < tq; q++) put(e, "      c%u_%u += w%u.%s * x%u;\n", m, q, m / 4, lane[m % 4], q);
        put(e, "    }\n");
    }
}

static void staged_store(const uint32_t *s, wa_wgsl_emit *e)
{
    uint32_t tm = s[12] / 8, tq = s[13] / 32;
    const char *lane[] = {"x", "y", "z", "w"};
    for (uint32_t m = 0; m < tm; m++) { /* vec4 j of an invocation is 8 vec4s further: lanes read side by side */
        put(e, "  { let m = m0 + (lm + %uu) * 4u + %uu; if (m < mg) {\n    let row = (ob + m) * outs;\n", m / 4 * 8, m % 4);
        for (uint32_t q = 0; q < tq; q++)
            for (uint32_t k = 0; k < 4; k++) {
                uint32_t add = q * 32 + k;
                put(e, "    if (p0 + lp * 4u + %uu < outs) { finish(c%u_%u.%s, grp * mg + m, row + p0 + lp * 4u + %uu); }\n", add, m, q, lane[k], add);
            }
        put(e, "  } }\n");
    }
}

static void staged(const uint32_t *s, wa_wgsl_emit *e)
{
    uint32_t bm = s[12] / 4, bp = s[13] / 4, tm = s[12] / 8, tq = s[13] / 32;
    char at[64];
    put(e, "var<workgroup> w_s: array<array<vec4f, %u>, %u>;\nvar<workgroup> x_s: array<array<vec4f, %u>, %u>;\n", bm, SLICE, bp, SLICE);
    put(e, "@compute @workgroup_size(64)\nfn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) l: u32) {\n");
    sizes(e);
    put(e, "  let p0 = wg.x * %uu; let m0 = wg.y * %uu; let lm = l / 8u; let lp = l %% 8u; let depth = p.a[0].w * %uu;\n", s[13], s[12], s[2] * s[3] * s[4]);
    put(e, "  let wq = min(grp * mg / 4u + m0 / 4u + l %% %uu, ld - 1u);\n", bm);
    for (uint32_t i = 0; i < 4; i++) {
        snprintf(at, sizeof at, "p0 + l %% %uu * 4u + %uu", bp, i);
        corner(s, i, at, e);
    }
    for (uint32_t m = 0; m < tm; m++)
        for (uint32_t q = 0; q < tq; q++) put(e, "  var c%u_%u = vec4f();\n", m, q);
    for (uint32_t i = 0; i < SLICE * bm / 64; i++) put(e, "  var rw%u = vec4f();\n", i);
    for (uint32_t i = 0; i < SLICE * bp / 64; i++) put(e, "  var rx%u = vec4f();\n", i);
    put(e, "  var k0 = 0u;\n");
    fetch(s, e);
    put(e, "  loop {\n    workgroupBarrier();\n");
    for (uint32_t i = 0; i < SLICE * bm / 64; i++) put(e, "    w_s[l / %uu + %uu][l %% %uu] = rw%u;\n", bm, i * 64 / bm, bm, i);
    for (uint32_t i = 0; i < SLICE * bp / 64; i++) put(e, "    x_s[l / %uu + %uu][l %% %uu] = rx%u;\n", bp, i * 64 / bp, bp, i);
    put(e, "    workgroupBarrier();\n    k0 += %uu;\n    if (k0 < depth) {\n", SLICE);
    fetch(s, e);
    put(e, "    }\n");
    multiply(s, e);
    put(e, "    if (k0 >= depth) { break; }\n  }\n");
    staged_store(s, e);
    put(e, "}\n");
}

static void generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    wa__wgsl_conv_head(s, "vec4f", e);
    if (s[11] == 0) direct(s, e);
    else staged(s, e);
}
const wa_wgsl_row wa__wgsl_conv = {"conv", check, generate};
