/* Sampling between pixels, one invocation an output; one to three axes, right-aligned in three.
 * GRID_SAMPLE: spec 0 taps (1 nearest, 2 linear, 4 cubic), 1 outside (0 zeros, 1 border, 2 reflection),
 * 2 align_corners, 3 axes. x [N,C,..], grid [N,..,axes]. params: {outputs, C, points, 0} {in sizes, 0}.
 * DEFORM_CONV: spec 0 flags (1 bias, 2 mask), 1 axes, 2..4 kernel, 5..7 stride, 8..10 dilation. x, w, offset,
 * bias?, mask?, o. params: {outputs, C, M, C/groups} {in sizes, M/groups} {out sizes, offset groups}
 * {padding before, channels an offset group}. */
#include "kernels/wgsl_int.h"
#define put wa__wgsl_put

/* fn sample(plane, at): the value at a place, every axis by TAPS; inactive axes are at 0. */
static void sampler(uint32_t taps, uint32_t outside, bool aligned, uint32_t axes, wa_wgsl_emit *e)
{
    put(e, "const LOW = %s;\nfn high(n: f32) -> f32 { return n - %s; }\n", aligned ? "0f" : "-0.5f", aligned ? "1.0" : "0.5");
    put(e, "fn reflect_(x: f32, lo: f32, hi: f32) -> f32 {\n  let range = hi - lo; if (range <= 0.0) { return lo; }\n  let past = select(x - hi, lo - x, x < lo);\n"
           "  if (past <= 0.0) { return x; }\n  let turns = floor(past / range); let rest = past - turns * range; let odd = turns - 2.0 * floor(turns / 2.0) > 0.5;\n"
           "  return select(hi - rest, lo + rest, (x < lo) != odd);\n}\n");
    put(e, "fn pixel(x: f32, n: f32) -> i32 {\n");
    if (outside == 1) put(e, "  return i32(clamp(x, 0.0, n - 1.0));\n}\n");
    else if (outside == 2) put(e, "  return i32(clamp(trunc(reflect_(x, LOW, high(n))), 0.0, n - 1.0));\n}\n");
    else put(e, "  if (x >= 0.0 && x <= n - 1.0) { return i32(x); }\n  return -1;\n}\n");
    if (taps == 4)
        put(e, "fn weight(f: f32, t: i32) -> f32 {\n  let x = abs(f + 1.0 - f32(t));\n  if (x <= 1.0) { return (1.25 * x - 2.25) * x * x + 1.0; }\n"
               "  return ((-0.75 * x + 3.75) * x - 6.0) * x + 3.0;\n}\n");
    else put(e, "fn weight(f: f32, t: i32) -> f32 { return %s; }\n", taps == 2 ? "select(1.0 - f, f, t == 1)" : "1.0");
    put(e, "fn sample(plane: u32, at: vec3f) -> f32 {\n  let n = vec3f(p.a[1].xyz); let base = %s; let f = at - base;\n  var sum = 0f;\n", taps == 1 ? "trunc(at)" : "floor(at)");
    static const char *const lane[] = {"x", "y", "z"};
    for (uint32_t k = 0; k < 3; k++) {
        bool active = k + axes >= 3;
        if (active)
            put(e, "  for (var t%u = 0; t%u < %u; t%u++) { let i%u = pixel(base.%s + f32(t%u)%s, n.%s); if (i%u < 0) { continue; } let w%u = weight(f.%s, t%u);\n", k, k, taps, k, k,
                lane[k], k, taps == 4 ? " - 1.0" : "", lane[k], k, k, lane[k], k);
        else put(e, "  { let i%u = 0; let w%u = 1.0;\n", k, k);
    }
    put(e, "    sum += w0 * w1 * w2 * x[plane * p.a[1].x * p.a[1].y * p.a[1].z + (u32(i0) * p.a[1].y + u32(i1)) * p.a[1].z + u32(i2)];\n  } } }\n  return sum;\n}\n");
}

static void begin(wa_wgsl_emit *e)
{
    put(e, "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let i = g.y * (nw.x * 64u) + g.x;\n  if (i >= p.a[0].x) { return; }\n");
}

static wa_status grid_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || (s[0] != 1 && s[0] != 2 && s[0] != 4) || s[1] > 2 || s[2] > 1 || !s[3] || s[3] > 3)
        return wa__fail(err, WA_VERIFY, "grid_sample: taps %u, outside %u, align %u, axes %u", s[0], s[1], s[2], s[3]);
    info->binding_count = 3;
    info->write_mask = 4;
    return WA_OK;
}

static void grid_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    wa__wgsl_storage(e, 0, "x", "f32", false);
    wa__wgsl_storage(e, 1, "grid", "f32", false);
    wa__wgsl_storage(e, 2, "o", "f32", true);
    wa__wgsl_params(e, 3, 2);
    sampler(s[0], s[1], s[2] != 0, s[3], e);
    put(e, "fn place(c: f32, n: f32) -> f32 {\n  var x = %s;\n", s[2] ? "(c + 1.0) / 2.0 * (n - 1.0)" : "((c + 1.0) * n - 1.0) / 2.0");
    if (s[0] == 1) put(e, "  x = round(x);\n");
    if (s[1]) put(e, "  if (x < LOW || x > high(n)) { x = %s; }\n", s[1] == 1 ? "clamp(x, 0.0, n - 1.0)" : "reflect_(x, LOW, high(n))");
    put(e, "  return x;\n}\n");
    begin(e);
    put(e, "  let plane = i / p.a[0].z; let row = (plane / p.a[0].y * p.a[0].z + i %% p.a[0].z) * %uu;\n  var at = vec3f();\n", s[3]);
    static const char *const lane[] = {"z", "y", "x"};
    for (uint32_t k = 0; k < s[3]; k++) put(e, "  at.%s = place(grid[row + %uu], f32(p.a[1].%s));\n", lane[k], k, lane[k]);
    put(e, "  o[i] = sample(plane, at);\n}\n");
}
const wa_wgsl_row wa__wgsl_grid_sample = {"grid_sample", grid_check, grid_generate};

static wa_status deform_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    bool ok = !code_count && s[0] <= 3 && s[1] && s[1] <= 3;
    for (uint32_t i = 2; i < 11; i++) ok = ok && s[i] && s[i] <= 1u << 16;
    if (!ok) return wa__fail(err, WA_VERIFY, "deform_conv: flags %u, axes %u or its window", s[0], s[1]);
    info->binding_count = 4 + (s[0] & 1) + (s[0] >> 1);
    info->write_mask = 1u << (info->binding_count - 1);
    return WA_OK;
}

static void deform_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    uint32_t b = 3, taps = s[2] * s[3] * s[4], axes = s[1];
    wa__wgsl_storage(e, 0, "x", "f32", false);
    wa__wgsl_storage(e, 1, "w", "f32", false);
    wa__wgsl_storage(e, 2, "offset", "f32", false);
    if (s[0] & 1) wa__wgsl_storage(e, b++, "bias", "f32", false);
    if (s[0] & 2) wa__wgsl_storage(e, b++, "mask", "f32", false);
    wa__wgsl_storage(e, b++, "o", "f32", true);
    wa__wgsl_params(e, b, 4);
    sampler(2, 0, true, axes, e);
    begin(e);
    put(e, "  let r = i / p.a[2].z; let q = r / p.a[2].y; let mn = q / p.a[2].x; let m = mn %% p.a[0].z; let n = mn / p.a[0].z;\n"
           "  let outs = p.a[2].x * p.a[2].y * p.a[2].z; let spot = i %% outs; let first = m / p.a[1].w * p.a[0].w;\n"
           "  let corner = vec3i(vec3u(q %% p.a[2].x, r %% p.a[2].y, i %% p.a[2].z)) * vec3i(%u, %u, %u) - vec3i(p.a[3].xyz);\n", s[5], s[6], s[7]);
    put(e, "  var sum = %s;\n  for (var t = 0u; t < %uu; t++) {\n    let k = vec3i(vec3u(t / %uu, t / %uu %% %uu, t %% %uu)) * vec3i(%u, %u, %u);\n", s[0] & 1 ? "bias[m]" : "0f", taps,
        s[3] * s[4], s[4], s[3], s[4], s[8], s[9], s[10]);
    put(e, "    for (var c = 0u; c < p.a[0].w; c++) {\n      let channel = first + c; let row = (n * p.a[2].w + channel / p.a[3].w) * %uu + t;\n      var at = vec3f(corner + k);\n", taps);
    static const char *const lane[] = {"x", "y", "z"};
    for (uint32_t k = 3 - axes; k < 3; k++) put(e, "      at.%s += offset[(row * %uu + %uu) * outs + spot];\n", lane[k], axes, k + axes - 3);
    put(e, "      sum += sample(n * p.a[0].y + channel, at) * w[(m * p.a[0].w + c) * %uu + t]%s;\n    }\n  }\n  o[i] = sum;\n}\n", taps, s[0] & 2 ? " * mask[row * outs + spot]" : "");
}
const wa_wgsl_row wa__wgsl_deform_conv = {"deform_conv", deform_check, deform_generate};

/* ROI: regions of x [N,C,H,W] pooled to a fixed size. spec: 0 mode (0 RoiAlign mean, 1 RoiAlign maximum,
 * 2 MaxRoiPool), 1 half a pixel's shift. Bindings x, rois, batch indices (i32, not for MaxRoiPool), o.
 * params: {outputs, C, H, W} {out height, out width, sampling ratio, batches} {spatial scale bits, 0, 0, 0}. */
static wa_status roi_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || s[0] > 2 || s[1] > 1) return wa__fail(err, WA_VERIFY, "roi: mode %u, shift %u", s[0], s[1]);
    info->binding_count = s[0] == 2 ? 3 : 4;
    info->write_mask = 1u << (info->binding_count - 1);
    return WA_OK;
}

static void roi_pool_body(wa_wgsl_emit *e)
{
    put(e, "  let batch = u32(max(rois[n * 5u], 0.0)); let base = (min(batch, p.a[1].w - 1u) * p.a[0].y + c) * p.a[0].z * p.a[0].w;\n"
           "  var edge: vec4i;\n  for (var k = 0u; k < 4u; k++) { let v = rois[n * 5u + 1u + k] * scale; edge[k] = i32(clamp(floor(abs(v) + 0.5) * sign(v), -1e8, 1e8)); }\n"
           "  let h = f32(max(edge.w - edge.y + 1, 1)) / f32(p.a[1].x); let w = f32(max(edge.z - edge.x + 1, 1)) / f32(p.a[1].y);\n"
           "  let y0 = clamp(i32(floor(f32(ph) * h)) + edge.y, 0, i32(p.a[0].z)); let y1 = clamp(i32(ceil(f32(ph + 1u) * h)) + edge.y, 0, i32(p.a[0].z));\n"
           "  let x0 = clamp(i32(floor(f32(pw) * w)) + edge.x, 0, i32(p.a[0].w)); let x1 = clamp(i32(ceil(f32(pw + 1u) * w)) + edge.x, 0, i32(p.a[0].w));\n"
           "  var v = select(0.0, -3.4e38, y0 < y1 && x0 < x1);\n"
           "  for (var y = y0; y < y1; y++) { for (var q = x0; q < x1; q++) { v = max(v, x[base + u32(y) * p.a[0].w + u32(q)]); } }\n  o[i] = v;\n}\n");
}

static void roi_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    uint32_t b = 2;
    wa__wgsl_storage(e, 0, "x", "f32", false);
    wa__wgsl_storage(e, 1, "rois", "f32", false);
    if (s[0] < 2) wa__wgsl_storage(e, b++, "batches", "i32", false);
    wa__wgsl_storage(e, b++, "o", "f32", true);
    wa__wgsl_params(e, b, 3);
    if (s[0] < 2)
        put(e, "fn point(base: u32, yy: f32, xx: f32) -> f32 {\n  let h = i32(p.a[0].z); let w = i32(p.a[0].w);\n"
               "  if (!(yy >= -1.0 && yy <= f32(h) && xx >= -1.0 && xx <= f32(w))) { return 0.0; }\n  var y = max(yy, 0.0); var q = max(xx, 0.0);\n"
               "  var y0 = i32(y); var x0 = i32(q); var y1 = y0 + 1; var x1 = x0 + 1;\n"
               "  if (y0 >= h - 1) { y0 = h - 1; y1 = y0; y = f32(y0); }\n  if (x0 >= w - 1) { x0 = w - 1; x1 = x0; q = f32(x0); }\n"
               "  let ly = y - f32(y0); let lx = q - f32(x0);\n"
               "  let v = vec4f((1.0 - ly) * (1.0 - lx), (1.0 - ly) * lx, ly * (1.0 - lx), ly * lx) *\n"
               "    vec4f(x[base + u32(y0 * w + x0)], x[base + u32(y0 * w + x1)], x[base + u32(y1 * w + x0)], x[base + u32(y1 * w + x1)]);\n  return %s;\n}\n",
            s[0] ? "max(max(v.x, v.y), max(v.z, v.w))" : "v.x + v.y + v.z + v.w");
    begin(e);
    put(e, "  let pw = i %% p.a[1].y; let ph = i / p.a[1].y %% p.a[1].x; let nc = i / (p.a[1].x * p.a[1].y); let c = nc %% p.a[0].y; let n = nc / p.a[0].y;\n"
           "  let scale = bitcast<f32>(p.a[2].x);\n");
    if (s[0] == 2) {
        roi_pool_body(e);
        return;
    }
    put(e, "  let base = (min(u32(max(batches[n], 0)), p.a[1].w - 1u) * p.a[0].y + c) * p.a[0].z * p.a[0].w;\n"
           "  let start = vec2f(rois[n * 4u], rois[n * 4u + 1u]) * scale - %s; let end = vec2f(rois[n * 4u + 2u], rois[n * 4u + 3u]) * scale - %s;\n"
           "  var size = end - start;\n", s[1] ? "0.5" : "0.0", s[1] ? "0.5" : "0.0");
    if (!s[1]) put(e, "  size = max(size, vec2f(1.0));\n");
    put(e, "  let bin = size / vec2f(f32(p.a[1].y), f32(p.a[1].x));\n"
           "  var grid = vec2i(i32(p.a[1].z)); if (p.a[1].z == 0u) { grid = vec2i(clamp(ceil(bin), vec2f(0.0), vec2f(1024.0))); }\n  var v = 0f;\n"
           "  for (var iy = 0; iy < grid.y; iy++) { for (var ix = 0; ix < grid.x; ix++) {\n"
           "    let y = start.y + f32(ph) * bin.y + (f32(iy) + 0.5) * bin.y / f32(grid.y); let q = start.x + f32(pw) * bin.x + (f32(ix) + 0.5) * bin.x / f32(grid.x);\n"
           "    let one = point(base, y, q);\n");
    put(e, s[0] ? "    if (ix + iy == 0) { v = one; } else { v = max(v, one); }\n  } }\n" : "    v += one;\n  } }\n  v /= f32(max(grid.x * grid.y, 1));\n");
    put(e, "  o[i] = v;\n}\n");
}
const wa_wgsl_row wa__wgsl_roi = {"roi", roi_check, roi_generate};
