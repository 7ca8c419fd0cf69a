/* MATMUL_BATCHED: o[batch,M,N] = act(alpha * A.B + beta * C) + residual of any two strided operands: attention
 * written out, either one transposed, a batch that either one repeats. A lane makes 4x4 elements. Staged: a
 * workgroup of 8x8 lanes makes 32x32 of them and shares 16 of K at a time in workgroup memory; else a lane reads
 * straight from storage (software adapters, where barriers lose).
 * spec: 0 flags (1: C, 2: residual), 1 element type (0 f32, else I32 or U32: sums wrap), 2 act, 3 staged.
 * params: {M,N,K,batch} {A: m, k strides; B: k, n strides} {C: m, n strides; sizes of the two inner axes of batch}
 * {A's strides of three axes of batch, inner first, 0} {B's} {alpha, beta bits, 0, 0}.
 * Grid: staged, x over columns, y rows, z batch; else lanes over 4x4 blocks, column first, 16 a workgroup. */
#include "kernels/wgsl_int.h"

#define put wa__wgsl_put
enum { ADDEND = 1, RESIDUAL = 2, TILE = 32, DEPTH = 16, PITCH = TILE + 1, SIDE = 8, OWN = 4 };

static wa_status check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || s[0] > 3 || s[2] > 6 || (s[1] && s[1] != WA_I32 && s[1] != WA_U32) || (s[1] && (s[0] & RESIDUAL || s[2])) || s[3] > 1)
        return wa__fail(err, WA_VERIFY, "matmul_batched: flags %u, type %u, act %u, staged %u", s[0], s[1], s[2], s[3]);
    info->binding_count = 3 + (s[0] & ADDEND) + (s[0] >> 1);
    info->write_mask = 1u << (info->binding_count - 1);
    info->workgroup_bytes = s[3] ? 2 * DEPTH * PITCH * 4 : 0;
    return WA_OK;
}

/* Elements c{i}_{j} at row{i}, col{j}, `at` where the batch's matrix begins in o. */
static void finish(const uint32_t *s, const char *type, const char *held, wa_wgsl_emit *e)
{
    for (unsigned i = 0; i < OWN * OWN; i++) {
        unsigned r = i / OWN, c = i % OWN;
        put(e, "  if (row%u < d.x && col%u < d.y) {\n    var v = c%u_%u;\n", r, c, r, c);
        if (!s[1]) put(e, "    v *= bitcast<f32>(p.a[5].x);\n");
        if (s[0] & ADDEND && s[1]) put(e, "    v += c[row%u * p.a[2].x + col%u * p.a[2].y];\n", r, c);
        else if (s[0] & ADDEND) put(e, "    v += bitcast<f32>(p.a[5].y) * f32(c[row%u * p.a[2].x + col%u * p.a[2].y]);\n", r, c);
        if (s[2]) put(e, "    v = activate(v);\n");
        put(e, "    let n = z * d.x * d.y + row%u * d.y + col%u;\n", r, c);
        if (s[0] & RESIDUAL) put(e, "    v += %s(residual[n]);\n", type);
        put(e, "    o[n] = %s(v);\n  }\n", held);
    }
}

static void multiply(const char *indent, wa_wgsl_emit *e)
{
    for (unsigned i = 0; i < OWN * OWN; i++) put(e, "%sc%u_%u += x%u * y%u;\n", indent, i / OWN, i % OWN, i / OWN, i % OWN);
}

/* Where the batch's matrices begin. */
static void batch(wa_wgsl_emit *e)
{
    put(e, "  let z0 = z %% p.a[2].z; let z1 = z / p.a[2].z %% p.a[2].w; let z2 = z / (p.a[2].z * p.a[2].w);\n"
           "  let a0 = z0 * p.a[3].x + z1 * p.a[3].y + z2 * p.a[3].z; let b0 = z0 * p.a[4].x + z1 * p.a[4].y + z2 * p.a[4].z;\n");
}

static void staged_body(const char *type, wa_wgsl_emit *e)
{
    put(e, "@compute @workgroup_size(%u)\nfn main(@builtin(workgroup_id) w: vec3u, @builtin(local_invocation_index) li: u32) {\n", SIDE * SIDE);
    put(e, "  let d = p.a[0]; let z = w.z; let tx = li %% %uu; let ty = li / %uu; let along_k = p.a[1].y == 1u; let along_n = p.a[1].w == 1u;\n", SIDE, SIDE);
    batch(e);
    for (unsigned i = 0; i < OWN; i++) put(e, "  let row%u = w.y * %uu + ty + %uu; let col%u = w.x * %uu + tx + %uu;\n", i, TILE, i * SIDE, i, TILE, i * SIDE);
    for (unsigned i = 0; i < OWN * OWN; i++) put(e, "  var c%u_%u = %s(0);\n", i / OWN, i % OWN, type);
    put(e, "  for (var k0 = 0u; k0 < d.z; k0 += %uu) {\n    workgroupBarrier();\n", DEPTH);
    put(e, "    for (var i = li; i < %uu; i += %uu) {\n", TILE * DEPTH, SIDE * SIDE); /* lanes run along the axis that lies together in storage */
    put(e, "      let ka = select(i / %uu, i %% %uu, along_k); let m = select(i %% %uu, i / %uu, along_k); let am = w.y * %uu + m;\n", TILE, DEPTH, TILE, DEPTH, TILE);
    put(e, "      var x = %s(0);\n      if (am < d.x && k0 + ka < d.z) { x = %s(a[a0 + am * p.a[1].x + (k0 + ka) * p.a[1].y]); }\n      a_s[ka * %uu + m] = x;\n", type, type, PITCH);
    put(e, "      let kb = select(i %% %uu, i / %uu, along_n); let n = select(i / %uu, i %% %uu, along_n); let bn = w.x * %uu + n;\n", DEPTH, TILE, DEPTH, TILE, TILE);
    put(e, "      var y = %s(0);\n      if (bn < d.y && k0 + kb < d.z) { y = %s(b[b0 + (k0 + kb) * p.a[1].z + bn * p.a[1].w]); }\n      b_s[kb * %uu + n] = y;\n    }\n", type, type, PITCH);
    put(e, "    workgroupBarrier();\n    for (var k = 0u; k < %uu; k++) {\n", DEPTH);
    for (unsigned i = 0; i < OWN; i++) put(e, "      let x%u = a_s[k * %uu + ty + %uu]; let y%u = b_s[k * %uu + tx + %uu];\n", i, PITCH, i * SIDE, i, PITCH, i * SIDE);
    multiply("      ", e);
    put(e, "    }\n  }\n");
}

static void straight_body(const char *type, wa_wgsl_emit *e)
{
    put(e, "@compute @workgroup_size(16)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let d = p.a[0]; let wide = (d.y + 3u) / 4u; let high = (d.x + 3u) / 4u; let block = g.y * (nw.x * 16u) + g.x; let z = block / (wide * high);\n"
           "  if (z >= d.w) { return; }\n");
    batch(e);
    for (unsigned i = 0; i < OWN; i++)
        put(e, "  let row%u = block / wide %% high * 4u + %uu; let col%u = block %% wide * 4u + %uu;\n"
               "  var xa%u = a0 + min(row%u, d.x - 1u) * p.a[1].x; var yb%u = b0 + min(col%u, d.y - 1u) * p.a[1].w;\n", i, i, i, i, i, i, i, i);
    for (unsigned i = 0; i < OWN * OWN; i++) put(e, "  var c%u_%u = %s(0);\n", i / OWN, i % OWN, type);
    put(e, "  for (var k = 0u; k < d.z; k++) {\n");
    for (unsigned i = 0; i < OWN; i++) put(e, "    let x%u = %s(a[xa%u]); let y%u = %s(b[yb%u]); xa%u += p.a[1].y; yb%u += p.a[1].z;\n", i, type, i, i, type, i, i, i);
    multiply("    ", e);
    put(e, "  }\n");
}

static void generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    const char *type = !s[1] ? "f32" : s[1] == WA_I32 ? "i32" : "u32";
    uint32_t b = 2;
    wa__wgsl_storage(e, 0, "a", type, false);
    wa__wgsl_storage(e, 1, "b", type, false);
    if (s[0] & ADDEND) wa__wgsl_storage(e, b++, "c", type, false);
    if (s[0] & RESIDUAL) wa__wgsl_storage(e, b++, "residual", type, false);
    wa__wgsl_storage(e, b++, "o", type, true);
    wa__wgsl_params(e, b, 6);
    wa__wgsl_activation(e, s[2], "f32");
    if (s[3]) put(e, "var<workgroup> a_s: array<%s, %u>;\nvar<workgroup> b_s: array<%s, %u>;\n", type, DEPTH * PITCH, type, DEPTH * PITCH);
    if (s[3]) staged_body(type, e);
    else straight_body(type, e);
    finish(s, type, wa__wgsl_held(e, b - 1, type), e);
    put(e, "}\n");
}

static uint32_t halves(const uint32_t *s, const uint32_t *code, const wa_wgsl_info *info)
{
    (void)code;
    return s[1] ? 0 : (1u << info->binding_count) - 1;
}
const wa_wgsl_row wa__wgsl_matmul_batched = {"matmul_batched", check, generate, halves};
