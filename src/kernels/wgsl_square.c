/* SQUARE: determinants and inverses of small square matrices, one invocation a matrix, by elimination with
 * the largest pivot of the column. x, o. spec: {0 determinant or 1 inverse, order (at most 32)}.
 * params: {matrices, 0, 0, 0}. */
#include "kernels/wgsl_int.h"

#define put wa__wgsl_put

static wa_status check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || s[0] > 1 || !s[1] || s[1] > WA_WGSL_SQUARE_MAX) return wa__fail(err, WA_VERIFY, "a square matrix of order %u, form %u", s[1], s[0]);
    info->binding_count = 2;
    info->write_mask = 2;
    return WA_OK;
}

static void generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    wa__wgsl_storage(e, 0, "x", "f32", false);
    wa__wgsl_storage(e, 1, "o", "f32", true);
    wa__wgsl_params(e, 2, 1);
    put(e, "const N = %uu;\n@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let i = g.y * (nw.x * 64u) + g.x;\n  if (i >= p.a[0].x) { return; }\n"
           "  var m: array<f32, %u>; var det = 1.0; var swaps: array<u32, %u>;\n  for (var k = 0u; k < N * N; k++) { m[k] = x[i * N * N + k]; }\n",
        s[1], s[1] * s[1], s[1]);
    put(e, "  for (var c = 0u; c < N; c++) {\n    var r = c;\n    for (var k = c + 1u; k < N; k++) { if (abs(m[k * N + c]) > abs(m[r * N + c])) { r = k; } }\n"
           "    swaps[c] = r;\n    if (r != c) {\n      det = -det;\n      for (var k = 0u; k < N; k++) { let t = m[c * N + k]; m[c * N + k] = m[r * N + k]; m[r * N + k] = t; }\n    }\n"
           "    let d = m[c * N + c]; det *= d;\n");
    if (!s[0])
        put(e, "    if (d == 0.0) { break; }\n    for (var k = c + 1u; k < N; k++) {\n      let f = m[k * N + c] / d;\n"
               "      for (var j = c; j < N; j++) { m[k * N + j] -= f * m[c * N + j]; }\n    }\n  }\n  o[i] = det;\n}\n");
    else
        put(e, "    m[c * N + c] = 1.0;\n    for (var j = 0u; j < N; j++) { m[c * N + j] /= d; }\n    for (var k = 0u; k < N; k++) {\n      if (k == c) { continue; }\n"
               "      let f = m[k * N + c]; m[k * N + c] = 0.0;\n      for (var j = 0u; j < N; j++) { m[k * N + j] -= f * m[c * N + j]; }\n    }\n  }\n"
               "  for (var c = N; c > 0u; c--) {\n    let a = c - 1u; let b = swaps[a];\n    if (a == b) { continue; }\n"
               "    for (var k = 0u; k < N; k++) { let t = m[k * N + a]; m[k * N + a] = m[k * N + b]; m[k * N + b] = t; }\n  }\n"
               "  for (var k = 0u; k < N * N; k++) { o[i * N * N + k] = m[k]; }\n}\n");
}
const wa_wgsl_row wa__wgsl_square = {"square matrices", check, generate};
