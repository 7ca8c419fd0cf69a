/* Convolutions without packed weights. CONV_ANY: one invocation an output, any groups, one to three
 * axes, forward or transposed, f32 or i32, weights as they lie in the model. CONV_DEPTHWISE: one input
 * channel a group, spec 11: outputs an invocation along the last axis; the window is unrolled.
 * See wgsl_conv.h for spec and params. */
#include "kernels/wgsl_conv.h"

#define put wa__wgsl_put

bool wa__wgsl_conv_common(const uint32_t *s, uint32_t flags_allowed, wa_wgsl_info *info)
{
    if ((s[0] & ~flags_allowed) || s[1] >= WA_CONV_ACT_COUNT || (s[0] & WA_WGSL_CONV_WHOLE && s[1])) return false;
    for (uint32_t i = 2; i < 11; i++)
        if (!s[i] || s[i] > 1u << 30) return false;
    info->binding_count = 3u + (s[0] & WA_WGSL_CONV_BIAS ? 1u : 0u) + (s[0] & WA_WGSL_CONV_RESIDUAL ? 1u : 0u);
    info->write_mask = 1u << (info->binding_count - 1);
    return true;
}

static void activation(uint32_t act, wa_wgsl_emit *e)
{
    static const char *const body[] = {"clamp(x, A(), B())", "clamp(A() * x + B(), 0.0, 1.0)", "x * clamp(x / 6.0 + 0.5, 0.0, 1.0)", "select(x, A() * x, x < 0.0)"};
    if (act < WA_CONV_ACT_CLIP) {
        wa__wgsl_activation(e, act, "f32");
        return;
    }
    put(e, "fn A() -> f32 { return bitcast<f32>(p.a[4].x); }\nfn B() -> f32 { return bitcast<f32>(p.a[4].y); }\n");
    put(e, "fn activate(x: f32) -> f32 { return %s; }\n", body[act - WA_CONV_ACT_CLIP]);
}

void wa__wgsl_conv_head(const uint32_t *s, const char *weights, wa_wgsl_emit *e)
{
    const char *type = s[0] & WA_WGSL_CONV_WHOLE ? "i32" : "f32";
    uint32_t b = 0;
    wa__wgsl_storage(e, b++, "x", type, false);
    wa__wgsl_storage(e, b++, "w", weights, false);
    if (s[0] & WA_WGSL_CONV_BIAS) wa__wgsl_storage(e, b++, "bias", type, false);
    if (s[0] & WA_WGSL_CONV_RESIDUAL) wa__wgsl_storage(e, b++, "residual", type, false);
    wa__wgsl_storage(e, b++, "o", type, true);
    wa__wgsl_params(e, b, 6);
    activation(s[1], e);
    put(e, "const K = vec3i(%u, %u, %u);\nconst S = vec3i(%u, %u, %u);\nconst D = vec3i(%u, %u, %u);\n", s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10]);
    put(e, "fn finish(sum: %s, m: u32, at: u32) {\n  var v = sum;\n", type);
    if (s[0] & WA_WGSL_CONV_BIAS) put(e, "  v += bias[m];\n");
    if (s[0] & WA_WGSL_CONV_RESIDUAL) put(e, "  v += residual[at];\n");
    put(e, "  o[at] = %s;\n}\n", s[1] ? "activate(v)" : "v");
}

static wa_status any_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    uint32_t flags = WA_WGSL_CONV_BIAS | WA_WGSL_CONV_RESIDUAL | WA_WGSL_CONV_WHOLE | WA_WGSL_CONV_TRANSPOSED;
    if (code_count || !wa__wgsl_conv_common(s, flags, info)) return wa__fail(err, WA_VERIFY, "conv_any: flags %u, act %u or its window", s[0], s[1]);
    return WA_OK;
}

/* Where tap k of axis `i` reads; `continue` outside. */
static void tap(const uint32_t *s, unsigned i, wa_wgsl_emit *e)
{
    const char *axis = i == 0 ? "d" : i == 1 ? "h" : "v";
    put(e, "  for (var k%s = 0; k%s < K[%u]; k%s++) {\n", axis, axis, i, axis);
    if (s[0] & WA_WGSL_CONV_TRANSPOSED)
        put(e, "    let t%s = at[%u] - k%s * D[%u]; if (t%s < 0 || t%s %% S[%u] != 0) { continue; }\n    let i%s = t%s / S[%u];\n", axis, i, axis, i, axis, axis,
            i, axis, axis, i);
    else put(e, "    let i%s = at[%u] + k%s * D[%u];\n", axis, i, axis, i);
    put(e, "    if (i%s < 0 || i%s >= size[%u]) { continue; }\n", axis, axis, i);
}

static void any_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    const char *type = s[0] & WA_WGSL_CONV_WHOLE ? "i32" : "f32";
    bool transposed = s[0] & WA_WGSL_CONV_TRANSPOSED;
    wa__wgsl_conv_head(s, type, e);
    put(e, "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let i = g.y * (nw.x * 64u) + g.x;\n  if (i >= p.a[0].x) { return; }\n"
           "  let size = vec3i(p.a[1].xyz); let r = i / p.a[2].z; let q = r / p.a[2].y; let mn = q / p.a[2].x;\n"
           "  let m = mn %% p.a[0].z; let n = mn / p.a[0].z; let grp = m / p.a[1].w;\n"
           "  let out = vec3i(vec3u(q %% p.a[2].x, r %% p.a[2].y, i %% p.a[2].z));\n  let plane = p.a[1].x * p.a[1].y * p.a[1].z;\n");
    if (transposed) put(e, "  let at = out + vec3i(p.a[3].xyz);\n");
    else put(e, "  let at = out * S - vec3i(p.a[3].xyz);\n");
    uint32_t taps = s[2] * s[3] * s[4];
    put(e, "  let xb = (n * p.a[0].y + grp * p.a[0].w) * plane;\n");
    if (transposed) put(e, "  let wb = (grp * p.a[0].w * p.a[1].w + m %% p.a[1].w) * %uu; let step = p.a[1].w * %uu;\n", taps, taps);
    else put(e, "  let wb = m * p.a[0].w * %uu; let step = %uu;\n", taps, taps);
    put(e, "  var sum = %s(0);\n", type);
    for (unsigned i = 0; i < 3; i++) tap(s, i, e);
    put(e, "    var xi = xb + u32((id * size.y + ih) * size.z + iv); var wi = wb + u32((kd * K.y + kh) * K.z + kv);\n"
           "    for (var c = 0u; c < p.a[0].w; c++) { sum += x[xi] * w[wi]; xi += plane; wi += step; }\n  } } }\n"
           "  finish(sum, m, i);\n}\n");
}
const wa_wgsl_row wa__wgsl_conv_any = {"conv_any", any_check, any_generate};

/* --- depthwise ------------------------------------------------------------------------------------ */
#define RUN_MAX     8u
#define UNROLL_MAX  512u

static wa_status depthwise_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || !wa__wgsl_conv_common(s, WA_WGSL_CONV_BIAS | WA_WGSL_CONV_RESIDUAL, info) || s[2] != 1 || !s[11] || s[11] > RUN_MAX ||
        s[3] > UNROLL_MAX || s[4] > UNROLL_MAX || s[3] * s[4] * s[11] > UNROLL_MAX || s[7] > 1u << 16 || s[9] > 1u << 16 || s[10] > 1u << 16)
        return wa__fail(err, WA_VERIFY, "conv_depthwise: flags %u, act %u, run %u or its window", s[0], s[1], s[11]);
    return WA_OK;
}

/* The products of one row of the window, each input loaded once. */
static void depthwise_row(const uint32_t *s, uint32_t kh, wa_wgsl_emit *e)
{
    uint32_t run = s[11], kw = s[4];
    put(e, "  { let ih = ih0 + %d; if (ih >= 0 && ih < size.y) {\n    let row = xb + u32(ih * size.z);\n", (int)(kh * s[9]));
    for (uint32_t k = 0; k < kw; k++) put(e, "    let w%u = w[wb + %uu];\n", k, kh * kw + k);
    for (uint32_t r = 0; r < run; r++) {
        for (uint32_t k = 0; k < kw; k++) {
            uint32_t column = r * s[7] + k * s[10], first_r = 0, first_k = 0;
            bool seen = false;
            for (uint32_t a = 0; a <= r && !seen; a++)
                for (uint32_t b = 0; b < kw && (a < r || b < k) && !seen; b++)
                    if (a * s[7] + b * s[10] == column) seen = true, first_r = a, first_k = b;
            if (!seen) {
                put(e, "    let i%u_%u = iw0 + %d; let x%u_%u = select(0.0, x[row + u32(i%u_%u)], i%u_%u >= 0 && i%u_%u < size.z);\n", r, k, (int)column, r, k, r, k,
                    r, k, r, k);
                first_r = r, first_k = k;
            }
            put(e, "    c%u += x%u_%u * w%u;\n", r, first_r, first_k, k);
        }
    }
    put(e, "  } }\n");
}

static void depthwise_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    uint32_t run = s[11];
    wa__wgsl_conv_head(s, "f32", e);
    put(e, "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let i = g.y * (nw.x * 64u) + g.x; let runs = (p.a[2].z + %uu) / %uu;\n  let r = i / runs; let mn = r / p.a[2].y;\n"
           "  if (mn * p.a[2].y * p.a[2].z >= p.a[0].x) { return; }\n  let ow = i %% runs * %uu; let oh = r %% p.a[2].y; let m = mn %% p.a[0].z; let n = mn / p.a[0].z;\n",
        run - 1, run, run);
    put(e, "  let size = vec3i(p.a[1].xyz); let xb = (n * p.a[0].y + m / p.a[1].w) * p.a[1].y * p.a[1].z; let wb = m * %uu;\n", s[3] * s[4]);
    put(e, "  let ih0 = i32(oh) * S.y - i32(p.a[3].y); let iw0 = i32(ow) * S.z - i32(p.a[3].z);\n");
    for (uint32_t r = 0; r < run; r++) put(e, "  var c%u = 0f;\n", r);
    for (uint32_t k = 0; k < s[3]; k++) depthwise_row(s, k, e);
    put(e, "  let to = (mn * p.a[2].y + oh) * p.a[2].z + ow;\n");
    for (uint32_t r = 0; r < run; r++) put(e, "  if (ow + %uu < p.a[2].z) { finish(c%u, m, to + %uu); }\n", r, r, r);
    put(e, "}\n");
}
const wa_wgsl_row wa__wgsl_conv_depthwise = {"conv_depthwise", depthwise_check, depthwise_generate};
