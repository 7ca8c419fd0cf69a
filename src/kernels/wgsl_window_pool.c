/* WINDOW_POOL: MaxPool (with indices), AveragePool, LpPool over one to three axes; one invocation an
 * output. spec: 0 mode, 1 element type (0 f32, 1 i32, 2 u32; whole numbers for maxima only), 2..4
 * kernel, 5..7 stride, 8..10 dilation, 11 flags, 12 bits of p (LP).
 * params: {outputs, C, 0, 0} {in sizes, 0} {out sizes, 0} {padding before, 0} {in + padding after, 0}. */
#include "kernels/wgsl_int.h"
#define put wa__wgsl_put
#define TWO 0x40000000u /* 2.0 */

static const char *const types[] = {"f32", "i32", "u32"};

static wa_status check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    bool ok = !code_count && s[0] <= WA_WGSL_WINDOW_LP && s[1] <= 2 && (!s[1] || s[0] == WA_WGSL_WINDOW_MAX) && s[11] <= 7;
    for (uint32_t i = 2; i < 11; i++) ok = ok && s[i] && s[i] <= 1u << 30;
    if (!ok) return wa__fail(err, WA_VERIFY, "window_pool: mode %u, type %u, flags %u or its window", s[0], s[1], s[11]);
    bool indices = s[11] & WA_WGSL_WINDOW_INDICES;
    info->binding_count = indices ? 3 : 2;
    info->write_mask = indices ? 6 : 2;
    return WA_OK;
}

static void generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    bool indices = s[11] & WA_WGSL_WINDOW_INDICES;
    const char *type = types[s[1]];
    static const char *const lowest[] = {"bitcast<f32>(0xff7fffffu)", "i32(-2147483647 - 1)", "0u"};
    wa__wgsl_storage(e, 0, "x", type, false);
    wa__wgsl_storage(e, 1, "o", type, true);
    if (indices) wa__wgsl_storage(e, 2, "places", "i32", true);
    wa__wgsl_params(e, indices ? 3 : 2, 5);
    put(e, "const K = vec3i(%u, %u, %u);\nconst S = vec3i(%u, %u, %u);\nconst D = vec3i(%u, %u, %u);\n", s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10]);
    put(e, "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let i = g.y * (nw.x * 64u) + g.x;\n  if (i >= p.a[0].x) { return; }\n  let r = i / p.a[2].z; let q = r / p.a[2].y; let mn = q / p.a[2].x;\n"
           "  let size = vec3i(p.a[1].xyz); let at = vec3i(vec3u(q %% p.a[2].x, r %% p.a[2].y, i %% p.a[2].z)) * S - vec3i(p.a[3].xyz);\n"
           "  let base = mn * p.a[1].x * p.a[1].y * p.a[1].z;\n");
    if (s[0] == WA_WGSL_WINDOW_MAX) put(e, "  var v = %s; var best = -1;\n", lowest[s[1]]);
    else put(e, "  var v = 0f; var n = 0u;\n");
    put(e, "  for (var kd = 0; kd < K.x; kd++) { let d = at.x + kd * D.x; if (d < 0 || d >= size.x) { continue; }\n"
           "  for (var kh = 0; kh < K.y; kh++) { let h = at.y + kh * D.y; if (h < 0 || h >= size.y) { continue; }\n"
           "  for (var kw = 0; kw < K.z; kw++) { let c = at.z + kw * D.z; if (c < 0 || c >= size.z) { continue; }\n"
           "    let y = x[base + u32((d * size.y + h) * size.z + c)];\n");
    if (s[0] == WA_WGSL_WINDOW_MAX)
        put(e, "    if (y > v || best < 0) { v = y; best = %s; }\n",
            s[11] & WA_WGSL_WINDOW_COLUMNS ? "(c * size.y + h) * size.x + d" : "(d * size.y + h) * size.z + c");
    else if (s[0] == WA_WGSL_WINDOW_AVERAGE) put(e, "    v += y; n++;\n");
    else if (s[12] == TWO) put(e, "    v += y * y;\n");
    else put(e, "    v += pow(abs(y), bitcast<f32>(%uu));\n", s[12]);
    put(e, "  } } }\n");
    if (s[0] == WA_WGSL_WINDOW_LP && s[12] == TWO) put(e, "  v = sqrt(v);\n");
    else if (s[0] == WA_WGSL_WINDOW_LP) put(e, "  v = pow(v, 1.0 / bitcast<f32>(%uu));\n", s[12]);
    if (s[0] == WA_WGSL_WINDOW_AVERAGE && s[11] & WA_WGSL_WINDOW_PADS) /* taps that start before the end of the padding */
        put(e, "  let room = (vec3i(p.a[4].xyz) - at + D - 1) / D; let taps = min(K, max(room, vec3i()));\n  n = u32(taps.x * taps.y * taps.z);\n");
    if (s[0] == WA_WGSL_WINDOW_AVERAGE) put(e, "  v = v / f32(max(n, 1u));\n");
    put(e, "  o[i] = v;\n");
    if (indices) put(e, "  places[i] = i32(base) + best;\n");
    put(e, "}\n");
}
const wa_wgsl_row wa__wgsl_window_pool = {"window_pool", check, generate};

/* AXIS_TAPS: x [outer,I,inner], at and weight [O,T] -> [outer,O,inner]; one invocation an output. spec:
 * none. params: {outputs, I, O, inner} {T, 0, 0, 0}. */
static wa_status taps_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || s[0]) return wa__fail(err, WA_VERIFY, "axis_taps has no spec");
    info->binding_count = 4;
    info->write_mask = 8;
    return WA_OK;
}

static void taps_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)s, (void)code;
    wa__wgsl_storage(e, 0, "x", "f32", false);
    wa__wgsl_storage(e, 1, "at", "i32", false);
    wa__wgsl_storage(e, 2, "w", "f32", false);
    wa__wgsl_storage(e, 3, "o", "f32", true);
    wa__wgsl_params(e, 4, 2);
    put(e, "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let i = g.y * (nw.x * 64u) + g.x;\n  if (i >= p.a[0].x) { return; }\n  let inner = p.a[0].w; let r = i / inner;\n"
           "  let row = r %% p.a[0].z * p.a[1].x; let base = r / p.a[0].z * p.a[0].y * inner + i %% inner;\n  var v = 0f;\n"
           "  for (var t = 0u; t < p.a[1].x; t++) { v += w[row + t] * x[base + u32(at[row + t]) * inner]; }\n  o[i] = v;\n}\n");
}
const wa_wgsl_row wa__wgsl_axis_taps = {"axis_taps", taps_check, taps_generate};
