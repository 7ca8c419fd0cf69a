/* Products. MATMUL: A [M,K] row-major times a constant packed [K,ldb], ldb a multiple of 4, with
 * bias, activation and residual in the epilogue. An invocation owns RM rows x RV vec4 columns and
 * reads both operands as vec4 straight from storage (gpu/KERNELS.md: the form for few rows; on
 * software adapters barriers and workgroup memory lose to it by 3 to 10 times). SLICES > 1 share a
 * tile along K and add up in workgroup memory.
 * spec: 0 K, 1 N, 2 ldb, 3 flags, 4 act, 5 RM, 6 RV, 7 WX, 8 WY, 9 SLICES, 10 alpha's bits.
 * params: {M,0,0,0}. Grid: x over columns, y over rows. */
#include "kernels/wgsl_int.h"
#include <stdio.h>

#define put wa__wgsl_put
enum { BIAS = 1, RESIDUAL = 2, ALPHA = 4, FLAGS = 7 };

static wa_status matmul_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || !s[0] || s[0] > 1u << 24 || !s[1] || s[1] > 1u << 24 || s[2] % 4 || s[2] < s[1] || s[2] > 1u << 24 || (s[3] & ~(uint32_t)FLAGS) || s[4] > 6)
        return wa__fail(err, WA_VERIFY, "matmul: K %u, N %u, ldb %u, flags %u, act %u", s[0], s[1], s[2], s[3], s[4]);
    if (!s[5] || s[5] > 16 || !s[6] || s[6] > 8 || !s[7] || s[7] > 64 || !s[8] || s[8] > 64 || !s[9] || s[9] > 16 || s[7] * s[8] * s[9] > 256)
        return wa__fail(err, WA_VERIFY, "matmul: tile %ux%u, workgroup %ux%u, %u slices", s[5], s[6], s[7], s[8], s[9]);
    info->binding_count = 3u + (s[3] & BIAS ? 1u : 0u) + (s[3] & RESIDUAL ? 1u : 0u);
    info->write_mask = 1u << (info->binding_count - 1);
    info->workgroup_bytes = s[9] > 1 ? s[5] * s[6] * s[7] * s[8] * (s[9] - 1) * 16 : 0;
    if (info->workgroup_bytes > 16384) return wa__fail(err, WA_VERIFY, "matmul: %u bytes of workgroup memory", info->workgroup_bytes);
    return WA_OK;
}

static void matmul_head(const uint32_t *s, wa_wgsl_emit *e)
{
    uint32_t b = 0;
    bool va = s[0] % 4 == 0, vo = s[1] % 4 == 0;
    wa__wgsl_storage(e, b++, "a", va ? "vec4f" : "f32", false);
    wa__wgsl_storage(e, b++, "b", "vec4f", false);
    if (s[3] & BIAS) wa__wgsl_storage(e, b++, "bias", vo ? "vec4f" : "f32", false);
    if (s[3] & RESIDUAL) wa__wgsl_storage(e, b++, "residual", vo ? "vec4f" : "f32", false);
    wa__wgsl_storage(e, b++, "o", vo ? "vec4f" : "f32", true);
    wa__wgsl_params(e, b, 1);
    wa__wgsl_activation(e, s[4], vo ? "vec4f" : "f32");
    if (s[9] > 1) put(e, "var<workgroup> part: array<vec4f, %u>;\n", s[5] * s[6] * s[7] * s[8] * (s[9] - 1));
}

/* The walk over k: steps of 4 where K allows it, else of 1. */
static void matmul_loop(const uint32_t *s, wa_wgsl_emit *e)
{
    bool va = s[0] % 4 == 0;
    uint32_t steps = va ? s[0] / 4 : s[0], ld4 = s[2] / 4, depth = va ? 4 : 1, share = (steps + s[9] - 1) / s[9];
    if (s[9] > 1) put(e, "  let k0 = slice * %uu; let k1 = min(k0 + %uu, %uu);\n", share, share, steps);
    else put(e, "  let k0 = 0u; let k1 = %uu;\n", steps);
    put(e, "  var q = c + k0 * %uu;\n  for (var k = k0; k < k1; k++) {\n", depth * ld4);
    for (uint32_t i = 0; i < s[5]; i++) put(e, "    let x%u = %s(a[a%u + k]);\n", i, va ? "vec4f" : "f32", i);
    for (uint32_t n = 0; n < depth; n++) {
        for (uint32_t j = 0; j < s[6]; j++) put(e, "    let b%u_%u = vec4f(b[q + %uu]);\n", n, j, n * ld4 + j);
        for (uint32_t i = 0; i < s[5] * s[6]; i++) {
            uint32_t r = i / s[6], j = i % s[6];
            if (va) put(e, "    c%u_%u += x%u.%c * b%u_%u;\n", r, j, r, "xyzw"[n], n, j);
            else put(e, "    c%u_%u += x%u * b%u_%u;\n", r, j, r, n, j);
        }
    }
    put(e, "    q += %uu;\n  }\n", depth * ld4);
}

/* Slices hand their sums to slice 0 through workgroup memory. */
static void matmul_slices(const uint32_t *s, wa_wgsl_emit *e)
{
    uint32_t tile = s[5] * s[6], lanes = s[7] * s[8];
    put(e, "  let lane = l.y * %uu + l.x;\n  if (slice > 0u) {\n", s[7]);
    for (uint32_t i = 0; i < tile; i++)
        put(e, "    part[(slice - 1u) * %uu + %uu + lane] = c%u_%u;\n", tile * lanes, i * lanes, i / s[6], i % s[6]);
    put(e, "  }\n  workgroupBarrier();\n  if (slice > 0u) { return; }\n");
    for (uint32_t k = 0; k + 1 < s[9]; k++)
        for (uint32_t i = 0; i < tile; i++)
            put(e, "  c%u_%u += part[%uu + lane];\n", i / s[6], i % s[6], (k * tile + i) * lanes);
}

static void store(const uint32_t *s, wa_wgsl_emit *e, uint32_t i, uint32_t j)
{
    bool vo = s[1] % 4 == 0;
    const char *type = vo ? "vec4f" : "f32", *held = wa__wgsl_held(e, 2u + (s[3] & BIAS ? 1u : 0u) + (s[3] & RESIDUAL ? 1u : 0u), type);
    for (uint32_t n = 0; n < (vo ? 1u : 4u); n++) {
        char value[64], at[64];
        const char *ch[] = {".x", ".y", ".z", ".w"};
        snprintf(value, sizeof value, "c%u_%u%s%s", i, j, vo ? "" : ch[n], s[3] & ALPHA ? " * alpha" : "");
        if (vo) snprintf(at, sizeof at, "c + %uu", j);
        else snprintf(at, sizeof at, "(c + %uu) * 4u + %uu", j, n);
        put(e, "    if (%s < %uu) {\n      var v = %s;\n", at, vo ? s[1] / 4 : s[1], value);
        if (s[3] & BIAS) put(e, "      v += %s(bias[%s]);\n", type, at);
        if (s[4]) put(e, "      v = activate(v);\n");
        if (s[3] & RESIDUAL) put(e, "      v += %s(residual[row + %s]);\n", type, at);
        put(e, "      o[row + %s] = %s(v);\n    }\n", at, held);
    }
}

static void matmul_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    uint32_t k = s[0] % 4 == 0 ? s[0] / 4 : s[0], ld4 = s[2] / 4, n = s[1] % 4 == 0 ? s[1] / 4 : s[1];
    matmul_head(s, e);
    put(e, "@compute @workgroup_size(%u, %u, %u)\nfn main(@builtin(workgroup_id) w: vec3u, @builtin(local_invocation_id) l: vec3u) {\n", s[7],
        s[8], s[9]);
    put(e, "  let c = (w.x * %uu + l.x) * %uu; let r = (w.y * %uu + l.y) * %uu; let slice = l.z; let m = p.a[0].x;\n", s[7], s[6], s[8], s[5]);
    put(e, "  let last = m - 1u;\n");
    if (s[3] & ALPHA) put(e, "  let alpha = bitcast<f32>(%uu);\n", s[10]); /* Firefox has no bitcast in a const */
    if (s[9] == 1) put(e, "  if (c >= %uu || r >= m) { return; }\n", ld4);
    for (uint32_t i = 0; i < s[5]; i++) put(e, "  let a%u = min(r + %uu, last) * %uu;\n", i, i, k);
    for (uint32_t i = 0; i < s[5] * s[6]; i++) put(e, "  var c%u_%u = vec4f();\n", i / s[6], i % s[6]);
    matmul_loop(s, e);
    if (s[9] > 1) matmul_slices(s, e);
    for (uint32_t i = 0; i < s[5]; i++) {
        put(e, "  if (r + %uu < m) {\n    let row = (r + %uu) * %uu;\n", i, i, n);
        for (uint32_t j = 0; j < s[6]; j++) store(s, e, i, j);
        put(e, "  }\n");
    }
    put(e, "}\n");
}
/* Every operand may be f16: sums are in f32. */
static uint32_t all_halves(const uint32_t *s, const uint32_t *code, const wa_wgsl_info *info)
{
    (void)s, (void)code;
    return (1u << info->binding_count) - 1;
}
const wa_wgsl_row wa__wgsl_matmul = {"matmul", matmul_check, matmul_generate, all_halves};

/* MATMUL_ANY: one invocation an element of o[batch,M,N] = act(alpha * A.B + beta * C) + residual.
 * spec: 0 flags (1: C, 2: residual), 1 element type (0 f32, else I32 or U32: sums wrap), 2 act. params: {M,N,K,batch} {A: batch, m, k strides, 0} {B: batch, k, n, 0}
 * {C: batch, m, n, 0} {alpha, beta bits, 0, 0}. */
static wa_status any_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || s[0] > 3 || s[2] > 6 || (s[1] && s[1] != WA_I32 && s[1] != WA_U32) || (s[1] && (s[0] > 1 || s[2])))
        return wa__fail(err, WA_VERIFY, "matmul_any: flags %u, type %u, act %u", s[0], s[1], s[2]);
    info->binding_count = 3 + (s[0] & 1) + (s[0] >> 1);
    info->write_mask = 1u << (info->binding_count - 1);
    return WA_OK;
}

static void any_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    const char *t = !s[1] ? "f32" : s[1] == WA_I32 ? "i32" : "u32";
    wa__wgsl_storage(e, 0, "a", t, false);
    wa__wgsl_storage(e, 1, "b", t, false);
    uint32_t b = 2;
    if (s[0] & 1) wa__wgsl_storage(e, b++, "c", t, false);
    if (s[0] & 2) wa__wgsl_storage(e, b++, "residual", t, false);
    wa__wgsl_storage(e, b++, "o", t, true);
    wa__wgsl_params(e, b, 5);
    wa__wgsl_activation(e, s[2], "f32");
    put(e, "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let d = p.a[0]; let i = g.y * (nw.x * 64u) + g.x;\n  if (i >= d.x * d.y * d.w) { return; }\n"
           "  let n = i %% d.y; let m = i / d.y %% d.x; let z = i / (d.y * d.x);\n"
           "  var x = z * p.a[1].x + m * p.a[1].y; var y = z * p.a[2].x + n * p.a[2].z; var sum = %s(0);\n"
           "  for (var k = 0u; k < d.z; k++) { sum += %s(a[x]) * %s(b[y]); x += p.a[1].z; y += p.a[2].y; }\n", t, t, t);
    if (!s[1]) put(e, "  sum *= bitcast<f32>(p.a[4].x);\n");
    if (s[0] & 1 && s[1]) put(e, "  sum += c[z * p.a[3].x + m * p.a[3].y + n * p.a[3].z];\n");
    else if (s[0] & 1) put(e, "  sum += bitcast<f32>(p.a[4].y) * f32(c[z * p.a[3].x + m * p.a[3].y + n * p.a[3].z]);\n");
    if (s[2]) put(e, "  sum = activate(sum);\n");
    if (s[0] & 2) put(e, "  sum += %s(residual[i]);\n", t);
    put(e, "  o[i] = %s(sum);\n}\n", wa__wgsl_held(e, b - 1, t));
}
static uint32_t any_halves(const uint32_t *s, const uint32_t *code, const wa_wgsl_info *info) { return s[1] ? 0 : all_halves(s, code, info); }
const wa_wgsl_row wa__wgsl_matmul_any = {"matmul_any", any_check, any_generate, any_halves};
