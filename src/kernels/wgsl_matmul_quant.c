/* Products with weights in blocks of 32 codes (base/quant_block.h), dequantised inside the product.
 * QUANT_ROWS: activations [M,K] to 8 bits, a scale a block of 32: a row of o is K/4 words of codes, then K/32
 * f32 scales, padded to a multiple of 4 words. spec: 0 K. params: {M, 0, 0, 0}. An invocation a block.
 * MATMUL_QUANT: o[M,N] = act(alpha * A.B + bias) + residual. spec: 0 K (a multiple of 32), 1 N, 2 ld, 3 flags,
 * 4 act, 5 RM, 6 bits (8, 4), 7 WX, 8 WY, 9 SLICES, 10 alpha's bits, 11 whether A is such codes (then packed dot
 * products in integers are scaled once a block) or floats. An invocation owns RM rows x 4 columns; SLICES share
 * a tile along K and add up in workgroup memory. params: {M, 0, 0, 0}. Grid: x over columns, y over rows. */
#include "base/quant_block.h"
#include "kernels/wgsl_int.h"
#include <stdio.h>

#define put wa__wgsl_put
enum { BIAS = 1, RESIDUAL = 2, ALPHA = 4, FLAGS = 7, COLUMNS = 4 };

static wa_status rows_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || !s[0] || s[0] % WA_QUANT_BLOCK || s[0] > 1u << 24) return wa__fail(err, WA_VERIFY, "quant_rows: K %u", s[0]);
    info->binding_count = 2;
    info->write_mask = 2;
    return WA_OK;
}
static uint32_t row_words(uint32_t k) { return k / 4 + (k / WA_QUANT_BLOCK + 3) / 4 * 4; }

static void rows_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    uint32_t blocks = s[0] / WA_QUANT_BLOCK;
    wa__wgsl_storage(e, 0, "x", "vec4f", false);
    wa__wgsl_storage(e, 1, "o", "u32", true);
    wa__wgsl_params(e, 2, 1);
    put(e, "fn codes(y: vec4f) -> u32 {\n  let c = bitcast<vec4u>(vec4i(clamp(round(y), vec4f(-127.0), vec4f(127.0)))) & vec4u(255u);\n"
           "  return c.x | (c.y << 8u) | (c.z << 16u) | (c.w << 24u);\n}\n");
    put(e, "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let i = g.y * (nw.x * 64u) + g.x; let row = i / %uu; let block = i %% %uu;\n  if (row >= p.a[0].x) { return; }\n"
           "  let at = row * %uu + block * 8u; let to = row * %uu;\n  var most = vec4f();\n", blocks, blocks, s[0] / 4, row_words(s[0]));
    for (unsigned j = 0; j < 8; j++) put(e, "  let v%u = vec4f(x[at + %uu]); most = max(most, abs(v%u));\n", j, j, j);
    put(e, "  let top = max(max(most.x, most.y), max(most.z, most.w)); let inverse = select(127.0 / top, 0.0, top == 0.0);\n");
    for (unsigned j = 0; j < 8; j++) put(e, "  o[to + block * 8u + %uu] = codes(v%u * inverse);\n", j, j);
    put(e, "  o[to + %uu + block] = bitcast<u32>(top / 127.0);\n}\n", s[0] / 4);
}
static uint32_t rows_halves(const uint32_t *s, const uint32_t *code, const wa_wgsl_info *info)
{
    (void)s, (void)code, (void)info;
    return 1;
}
const wa_wgsl_row wa__wgsl_quant_rows = {"quant_rows", rows_check, rows_generate, rows_halves};

static wa_status check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || !s[0] || s[0] % WA_QUANT_BLOCK || s[0] > 1u << 24 || !s[1] || s[1] > 1u << 24 || s[2] % 8 || s[2] < s[1] || s[2] > 1u << 24 ||
        (s[3] & ~(uint32_t)FLAGS) || s[4] > 6 || (s[6] != 8 && s[6] != 4) || s[11] > 1)
        return wa__fail(err, WA_VERIFY, "matmul_quant: K %u, N %u, ld %u, flags %u, act %u, %u bits, mode %u", s[0], s[1], s[2], s[3], s[4], s[6], s[11]);
    if (!s[5] || s[5] > 16 || !s[7] || s[7] > 64 || !s[8] || s[8] > 64 || !s[9] || s[9] > 32 || s[7] * s[8] * s[9] > 256)
        return wa__fail(err, WA_VERIFY, "matmul_quant: %u rows, workgroup %ux%u, %u slices", s[5], s[7], s[8], s[9]);
    info->binding_count = 3u + (s[3] & BIAS ? 1u : 0u) + (s[3] & RESIDUAL ? 1u : 0u);
    info->write_mask = 1u << (info->binding_count - 1);
    info->workgroup_bytes = s[9] > 1 ? s[5] * s[7] * s[8] * (s[9] - 1) * 16 : 0;
    if (s[11]) info->features |= WA_FEATURE_DOT8;
    return info->workgroup_bytes <= 16384 ? WA_OK : wa__fail(err, WA_VERIFY, "matmul_quant: %u bytes of workgroup memory", info->workgroup_bytes);
}

/* A may be f16 where it is floats; bias, residual and result too. */
static uint32_t halves(const uint32_t *s, const uint32_t *code, const wa_wgsl_info *info)
{
    (void)code;
    return ((1u << info->binding_count) - 1) & ~(s[11] ? 3u : 2u);
}

static void head(const uint32_t *s, wa_wgsl_emit *e)
{
    uint32_t b = 0;
    const char *out = s[1] % COLUMNS == 0 ? "vec4f" : "f32";
    wa__wgsl_storage(e, b++, "a", s[11] ? "vec4u" : "vec4f", false);
    wa__wgsl_storage(e, b++, "b", "vec4u", false);
    if (s[3] & BIAS) wa__wgsl_storage(e, b++, "bias", out, false);
    if (s[3] & RESIDUAL) wa__wgsl_storage(e, b++, "residual", out, false);
    wa__wgsl_storage(e, b++, "o", out, true);
    wa__wgsl_params(e, b, 1);
    wa__wgsl_activation(e, s[4], out);
    if (s[9] > 1) put(e, "var<workgroup> part: array<vec4f, %u>;\n", s[5] * s[7] * s[8] * (s[9] - 1));
    if (s[11]) put(e, "fn dots(x: u32, w: vec4u) -> vec4i { return vec4i(dot4I8Packed(x, w.x), dot4I8Packed(x, w.y), dot4I8Packed(x, w.z), dot4I8Packed(x, w.w)); }\n");
    else put(e, "fn byte(w: vec4u, j: u32) -> vec4f { return vec4f(bitcast<vec4i>(w << vec4u(24u - 8u * j)) >> vec4u(24u)); }\n");
    if (s[6] == 4) put(e, "fn signed(w: vec4u) -> vec4u { return ((w & vec4u(0x0f0f0f0fu)) + vec4u(0x78787878u)) ^ vec4u(0x80808080u); }\n");
}

/* let w0..w7: eight vec4u of four codes along k for each of the four columns; let scale. */
static void weights(const uint32_t *s, wa_wgsl_emit *e)
{
    uint32_t ld4 = s[2] / 4, stride = (uint32_t)(wa__quant_stride(s[6], s[2]) / 4);
    put(e, "    let q = k * %uu + c; let pairs = b[k * %uu + %uu + c / 2u];\n", stride, stride, s[6] * ld4);
    put(e, "    let pair = select(pairs.xy, pairs.zw, (c & 1u) == 1u); let scale = vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));\n");
    for (unsigned w = 0; w < s[6]; w++) {
        if (s[6] == 8) put(e, "    let w%u = b[q + %uu];\n", w, w * ld4);
        else put(e, "    let p%u = b[q + %uu]; let w%u = signed(p%u); let w%u = signed(p%u >> vec4u(4u));\n", w, w * ld4, 2 * w, w, 2 * w + 1, w);
    }
}

static void block(const uint32_t *s, wa_wgsl_emit *e)
{
    for (uint32_t i = 0; i < s[5]; i++) {
        if (s[11]) {
            put(e, "    let x%u = a[a%u + k * 2u]; let y%u = a[a%u + k * 2u + 1u];\n    c%u += vec4f(", i, i, i, i, i);
            for (unsigned w = 0; w < 8; w++) put(e, "%sdots(%c%u.%c, w%u)", w ? " + " : "", w < 4 ? 'x' : 'y', i, "xyzw"[w % 4], w);
            put(e, ") * (bitcast<f32>(a[a%u + %uu + k / 4u][k & 3u]) * scale);\n", i, s[0] / 16);
            continue;
        }
        put(e, "    var d%u = vec4f();\n", i);
    }
    for (unsigned w = 0; w < 8 && !s[11]; w++) {
        for (unsigned j = 0; j < 4; j++) put(e, "    let f%u_%u = byte(w%u, %uu);\n", w, j, w, j);
        for (uint32_t i = 0; i < s[5]; i++)
            put(e, "    { let x = vec4f(a[a%u + k * 8u + %uu]); d%u += x.x * f%u_0 + x.y * f%u_1 + x.z * f%u_2 + x.w * f%u_3; }\n", i, w, i, w, w, w, w);
    }
    for (uint32_t i = 0; i < s[5] && !s[11]; i++) put(e, "    c%u += d%u * scale;\n", i, i);
}

/* Slices hand their sums to slice 0 through workgroup memory. */
static void slices(const uint32_t *s, wa_wgsl_emit *e)
{
    uint32_t lanes = s[7] * s[8];
    put(e, "  let lane = l.y * %uu + l.x;\n  if (slice > 0u) {\n", s[7]);
    for (uint32_t i = 0; i < s[5]; i++) put(e, "    part[(slice - 1u) * %uu + %uu + lane] = c%u;\n", s[5] * lanes, i * lanes, i);
    put(e, "  }\n  workgroupBarrier();\n  if (slice > 0u) { return; }\n");
    for (uint32_t k = 0; k + 1 < s[9]; k++)
        for (uint32_t i = 0; i < s[5]; i++) put(e, "  c%u += part[%uu + lane];\n", i, (k * s[5] + i) * lanes);
}

static void store(const uint32_t *s, uint32_t i, wa_wgsl_emit *e)
{
    static const char *const part[COLUMNS] = {".x", ".y", ".z", ".w"};
    bool whole = s[1] % COLUMNS == 0;
    const char *type = whole ? "vec4f" : "f32", *held = wa__wgsl_held(e, 2u + (s[3] & BIAS ? 1u : 0u) + (s[3] & RESIDUAL ? 1u : 0u), type);
    put(e, "  if (r + %uu < m) {\n    let row = (r + %uu) * %uu;\n", i, i, whole ? s[1] / COLUMNS : s[1]);
    for (unsigned n = 0; n < (whole ? 1u : COLUMNS); n++) {
        char at[32];
        if (whole) snprintf(at, sizeof at, "c");
        else snprintf(at, sizeof at, "c * 4u + %uu", n);
        put(e, "    if (%s < %uu) {\n      var v = c%u%s%s;\n", at, whole ? s[1] / COLUMNS : s[1], i, whole ? "" : part[n], s[3] & ALPHA ? " * alpha" : "");
        if (s[3] & BIAS) put(e, "      v += %s(bias[%s]);\n", type, at);
        if (s[4]) put(e, "      v = activate(v);\n");
        if (s[3] & RESIDUAL) put(e, "      v += %s(residual[row + %s]);\n", type, at);
        put(e, "      o[row + %s] = %s(v);\n    }\n", at, held);
    }
    put(e, "  }\n");
}

static void generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    uint32_t blocks = s[0] / WA_QUANT_BLOCK, share = (blocks + s[9] - 1) / s[9], row = (s[11] ? row_words(s[0]) : s[0]) / 4;
    head(s, e);
    put(e, "@compute @workgroup_size(%u, %u, %u)\nfn main(@builtin(workgroup_id) w: vec3u, @builtin(local_invocation_id) l: vec3u) {\n", s[7], s[8], s[9]);
    put(e, "  let wanted = w.x * %uu + l.x; let c = min(wanted, %uu); let r = (w.y * %uu + l.y) * %uu; let slice = l.z; let m = p.a[0].x; let last = m - 1u;\n",
        s[7], s[2] / COLUMNS - 1, s[8], s[5]);
    if (s[9] == 1) put(e, "  if (wanted > c || r >= m) { return; }\n");
    if (s[3] & ALPHA) put(e, "  let alpha = bitcast<f32>(%uu);\n", s[10]);
    for (uint32_t i = 0; i < s[5]; i++) put(e, "  let a%u = min(r + %uu, last) * %uu; var c%u = vec4f();\n", i, i, row, i);
    put(e, "  let k0 = slice * %uu; let k1 = min(k0 + %uu, %uu);\n  for (var k = k0; k < k1; k++) {\n", share, share, blocks);
    weights(s, e);
    block(s, e);
    put(e, "  }\n");
    if (s[9] > 1) slices(s, e);
    put(e, "  if (wanted > c) { return; }\n");
    for (uint32_t i = 0; i < s[5]; i++) store(s, i, e);
    put(e, "}\n");
}
const wa_wgsl_row wa__wgsl_matmul_quant = {"matmul_quant", check, generate, halves};
