/* PHILOX: random numbers by Philox 4x32-10, as signal_ref.c makes them; an invocation a block of four.
 * spec: 0 normal (0, 1). params: {count, key, key's high word, 0} {low, high bits, 0, 0}. Uniform numbers are
 * those of the CPU; normal ones agree to about 1e-6 (logarithm, sine and cosine by polynomials here). */
#include "kernels/wgsl_int.h"

#define put wa__wgsl_put

static wa_status check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || s[0] > 1) return wa__fail(err, WA_VERIFY, "philox: mode %u", s[0]);
    info->binding_count = 1;
    info->write_mask = 1;
    return WA_OK;
}

static void generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    wa__wgsl_storage(e, 0, "o", "f32", true);
    wa__wgsl_params(e, 1, 2);
    put(e, "fn high(a: u32, b: u32) -> u32 {\n  let al = a & 0xffffu; let ah = a >> 16u; let bl = b & 0xffffu; let bh = b >> 16u;\n"
           "  let x = al * bh; let y = ah * bl; let m = ((al * bl) >> 16u) + (x & 0xffffu) + (y & 0xffffu);\n"
           "  return ah * bh + (x >> 16u) + (y >> 16u) + (m >> 16u);\n}\n"
           "fn unit(w: u32) -> f32 { return f32(w >> 8u) * 5.9604644775390625e-8; }\n");
    if (s[0]) /* sine and cosine of 2 pi u, |t| <= pi/4 */
        put(e, "fn turn(u: f32) -> vec2f {\n  let x = u * 4.0; let q = u32(x); let t = (x - f32(q) - 0.5) * 1.57079632679; let t2 = t * t;\n"
               "  let sn = t * (1.0 + t2 * (-0.16666667 + t2 * (8.3333333e-3 + t2 * (-1.9841270e-4 + t2 * 2.7557319e-6))));\n"
               "  let cs = 1.0 + t2 * (-0.5 + t2 * (4.1666667e-2 + t2 * (-1.3888889e-3 + t2 * (2.4801587e-5 - t2 * 2.7557319e-7))));\n"
               "  let a = vec2f(cs - sn, cs + sn) * 0.70710678118;\n"
               "  if (q == 0u) { return a; }\n  if (q == 1u) { return vec2f(-a.y, a.x); }\n  if (q == 2u) { return -a; }\n  return vec2f(a.y, -a.x);\n}\n"
               "fn pair(u: u32, v: u32) -> vec2f { return sqrt(max(-2.0 * log(unit(u) + 5.9604644775390625e-8), 0.0)) * turn(unit(v)); }\n");
    put(e, "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let i = g.y * (nw.x * 64u) + g.x;\n  if (i >= (p.a[0].x + 3u) / 4u) { return; }\n"
           "  var x = vec4u(i, 0u, 0u, 0u); var k = p.a[0].yz;\n  for (var n = 0u; n < 10u; n++) {\n"
           "    x = vec4u(high(0xCD9E8D57u, x.z) ^ x.y ^ k.x, 0xCD9E8D57u * x.z, high(0xD2511F53u, x.x) ^ x.w ^ k.y, 0xD2511F53u * x.x);\n"
           "    k += vec2u(0x9E3779B9u, 0xBB67AE85u);\n  }\n  let low = bitcast<f32>(p.a[1].x); let high_ = bitcast<f32>(p.a[1].y);\n");
    if (s[0]) put(e, "  let v = low + high_ * vec4f(pair(x.x, x.y), pair(x.z, x.w));\n");
    else put(e, "  let v = low + (high_ - low) * vec4f(unit(x.x), unit(x.y), unit(x.z), unit(x.w));\n");
    put(e, "  for (var n = 0u; n < 4u && i * 4u + n < p.a[0].x; n++) { o[i * 4u + n] = v[n]; }\n}\n");
}
const wa_wgsl_row wa__wgsl_philox = {"philox", check, generate};
