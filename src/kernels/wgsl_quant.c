/* Kernels about narrow types, which live in 32-bit words on a GPU as their numbers. Floats are handled
 * as bits wherever NaN or infinity may be.
 * ROUND_TO: a cast to a small float or a packed integer. spec: 0 type of the words read (F32, I32, U32),
 * 1 the cast's target, 2 saturate, 3 wa_round_mode. params: {count, 0, 0, 0}.
 * QUANTIZE: spec: 0 mode (0 DequantizeLinear, 1 QuantizeLinear), 1 type of x's words, 2 type of the zero
 * point's words (0: none), 3 result's type, 4 saturate, 5 type of the scale's words, 6 type that is
 * divided or multiplied in (F32, F16, BF16). params: {count, dim, inner, block} {outer, dim, inner strides
 * of the scale, 0}: base/quant.h.
 * UNPACK: DequantizeBlocks. spec: 0 flags, 1 bits, 2 table, 3 zero of all. params: {rows, cols, block,
 * blocks} {bytes of a row of codes, of zero points, 0, 0}. */
#include "base/quant.h"
#include "kernels/wgsl_int.h"
#include <stdio.h>

#define put wa__wgsl_put

static bool device_type(uint32_t d) { return d == WA_F32 || d == WA_I32 || d == WA_U32; }
static bool packed_whole(uint32_t d) { return d == WA_I4 || d == WA_U4 || d == WA_I2 || d == WA_U2; }

static void head(wa_wgsl_emit *e)
{
    put(e, "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let i = g.y * (nw.x * 64u) + g.x;\n");
}

/* --- small floats --------------------------------------------------------------------------------- */
void wa__wgsl_small_float(wa_wgsl_emit *e, const wa_small_float *s)
{
    uint32_t m = s->mantissa_bits, x = s->exponent_bits, sign = 1u << (m + x), top = (1u << x) - 1;
    put(e, "fn of_code(code: u32) -> u32 {\n");
    if (s->kind == WA_SMALL_SCALE) {
        put(e, "  if (code == 255u) { return 0x7fc00000u; }\n  return select(code << 23u, 0x00400000u, code == 0u);\n}\n");
        return;
    }
    put(e, "  let sign = select(0u, 0x80000000u, (code & %uu) != 0u); let c = code & %uu;\n", sign, sign - 1);
    if (s->kind == WA_SMALL_SIGN_NAN) put(e, "  if (code == %uu) { return 0x7fc00000u; }\n", sign);
    if (s->kind == WA_SMALL_ALL_ONES_NAN) put(e, "  if (c == %uu) { return 0x7fc00000u; }\n", sign - 1);
    if (s->kind == WA_SMALL_INFINITE) put(e, "  if (c >= %uu) { return select(0x7fc00000u, sign | 0x7f800000u, c == %uu); }\n", top << m, top << m);
    put(e, "  if (c < %uu) { return sign | bitcast<u32>(f32(c) * bitcast<f32>(%uu)); }\n", 1u << m, (128u - s->bias - m) << 23);
    put(e, "  return sign | ((c << %uu) + %uu);\n}\n", 23 - m, (127u - s->bias) << 23);
}

/* fn round_to(u: u32) -> u32: f32 bits to the nearest number with m mantissa bits, least exponent
 * `least` and largest number `most` (bits), ties to even; too large gives `over` of the sign. */
static void rounder(wa_wgsl_emit *e, uint32_t m, int least, uint32_t most, const char *over, const char *nan, bool negative_zero)
{
    put(e, "fn round_to(u: u32) -> u32 {\n  let sign = u & 0x80000000u; let a = u & 0x7fffffffu;\n  if (a > 0x7f800000u) { return %s; }\n"
           "  if (a == 0x7f800000u) { return %s; }\n", nan, over);
    put(e, "  if (a < 0x00800000u) { return %s; }\n", negative_zero ? "sign" : "0u");
    put(e, "  let ex = i32(a >> 23u) - 127; let drop = u32(min(%d + max(0, %d - ex), 25));\n", 23 - (int)m, least);
    put(e, "  let whole = (a & 0x7fffffu) | 0x800000u; let half = 1u << (drop - 1u); let rest = whole & ((1u << drop) - 1u);\n"
           "  var q = whole >> drop;\n  if (rest > half || (rest == half && (q & 1u) == 1u)) { q++; }\n");
    put(e, "  if (q == 0u) { return %s; }\n", negative_zero ? "sign" : "0u");
    put(e, "  let bits = bitcast<u32>(f32(q)) + (u32(ex - 23 + i32(drop)) << 23u);\n  if (bits > 0x%xu) { return %s; }\n  return sign | bits;\n}\n", most, over);
}

static uint32_t f32_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

static void scale_rounder(wa_wgsl_emit *e, bool saturate, uint32_t mode)
{
    const char *up[] = {"m != 0u", "false", "m >= 0x400000u"};
    put(e, "fn round_to(u: u32) -> u32 {\n  let a = u & 0x7fffffffu; let m = a & 0x7fffffu;\n  if (a > 0x7f800000u) { return 0x7fc00000u; }\n");
    put(e, "  if (a == 0x7f800000u) { return %s; }\n", saturate ? "0x7f000000u" : "0x7fc00000u");
    if (!saturate) put(e, "  if (a == 0u) { return 0x7fc00000u; }\n");
    put(e, "  if (a < 0x00800000u) { return select(0x00400000u, 0x00800000u, %s); }\n", mode == WA_ROUND_UP ? "a > 0x400000u" : mode == WA_ROUND_NEAREST ? "a >= 0x600000u" : "false");
    put(e, "  let x = (a & 0x7f800000u) + select(0u, 0x800000u, %s);\n  if (x > 0x7f000000u) { return %s; }\n  return x;\n}\n", up[mode],
        saturate ? "0x7f000000u" : "0x7fc00000u");
}

static void round_small(wa_wgsl_emit *e, const wa_small_float *s, bool saturate, uint32_t mode)
{
    char most[24];
    const char *over = most;
    const char *nan = s->kind == WA_SMALL_FINITE ? "0x80000000u" : "0x7fc00000u";
    if (s->kind == WA_SMALL_SCALE) {
        scale_rounder(e, saturate, mode);
        return;
    }
    unsigned all = (1u << (s->exponent_bits + s->mantissa_bits)) - 1;
    uint8_t code = (uint8_t)(s->kind == WA_SMALL_ALL_ONES_NAN ? all - 1 : s->kind == WA_SMALL_INFINITE ? all - (1u << s->mantissa_bits) : all);
    uint32_t top = f32_bits(wa__small_to_f32(s, code));
    snprintf(most, sizeof most, "sign | 0x%xu", top);
    if (!saturate && s->kind == WA_SMALL_INFINITE) over = "sign | 0x7f800000u";
    bool lost = !saturate && (s->kind == WA_SMALL_ALL_ONES_NAN || s->kind == WA_SMALL_SIGN_NAN);
    rounder(e, s->mantissa_bits, 1 - s->bias, top, lost ? "0x7fc00000u" : over, nan, s->kind != WA_SMALL_SIGN_NAN);
}

/* fn round_to for any type of floats but F32. */
static void round_float(wa_wgsl_emit *e, uint32_t dtype, bool saturate, uint32_t mode)
{
    const wa_small_float *s = wa__small_float((wa_dtype)dtype);
    if (s) round_small(e, s, saturate, mode);
    else if (dtype == WA_F16) rounder(e, 10, -14, 0x477fe000u, "sign | 0x7f800000u", "0x7fc00000u", true);
    else rounder(e, 7, -126, 0x7f7f0000u, "sign | 0x7f800000u", "0x7fc00000u", true);
}

/* --- casts ---------------------------------------------------------------------------------------- */
static wa_status round_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || !device_type(s[0]) || (!wa__small_float((wa_dtype)s[1]) && !packed_whole(s[1])) || s[2] > 1 || s[3] > WA_ROUND_NEAREST)
        return wa__fail(err, WA_VERIFY, "round_to: from %u to %u, saturate %u, mode %u", s[0], s[1], s[2], s[3]);
    info->binding_count = 2;
    info->write_mask = 2;
    return WA_OK;
}

static void round_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    uint32_t shift = 32 - wa__dtype_info(s[1])->bits;
    wa__wgsl_storage(e, 0, "x", "u32", false);
    wa__wgsl_storage(e, 1, "o", "u32", true);
    wa__wgsl_params(e, 2, 1);
    if (!packed_whole(s[1])) round_float(e, s[1], s[2] != 0, s[3]);
    head(e);
    put(e, "  if (i >= p.a[0].x) { return; }\n  let u = x[i];\n");
    if (packed_whole(s[1])) {
        if (s[0] == WA_F32) put(e, "  let w = select(bitcast<u32>(i32(bitcast<f32>(u))), 0u, (u & 0x7fffffffu) > 0x7f800000u);\n");
        else put(e, "  let w = u;\n");
        if (s[1] == WA_U4 || s[1] == WA_U2) put(e, "  o[i] = w & %uu;\n}\n", 0xffffffffu >> shift);
        else put(e, "  o[i] = bitcast<u32>(bitcast<i32>(w << %uu) >> %uu);\n}\n", shift, shift);
        return;
    }
    const char *from = s[0] == WA_F32 ? "u" : s[0] == WA_I32 ? "bitcast<u32>(f32(bitcast<i32>(u)))" : "bitcast<u32>(f32(u))";
    put(e, "  o[i] = round_to(%s);\n}\n", from);
}
const wa_wgsl_row wa__wgsl_round_to = {"round_to", round_check, round_generate};

/* --- linear quantisation ---------------------------------------------------------------------------- */
static wa_status quantize_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    int64_t low, high;
    bool to_ok = s[0] ? wa__quant_range((wa_dtype)s[3], &low, &high) || wa__small_float((wa_dtype)s[3]) : s[3] == WA_F32 || s[3] == WA_F16 || s[3] == WA_BF16;
    if (code_count || s[0] > 1 || !device_type(s[1]) || (s[2] && !device_type(s[2])) || !to_ok || s[4] > 1 || !device_type(s[5]) ||
        (s[6] != WA_F32 && s[6] != WA_F16 && s[6] != WA_BF16))
        return wa__fail(err, WA_VERIFY, "quantize: mode %u, from %u to %u, zero point %u, scale %u in %u", s[0], s[1], s[3], s[2], s[5], s[6]);
    info->binding_count = s[2] ? 4 : 3;
    info->write_mask = 1u << (info->binding_count - 1);
    return WA_OK;
}

/* WGSL's division may err by 2.5 units, enough to tip a tie: this one rounds as IEEE's does, from
 * integers, for normal numbers; what is below counts as 0. */
void wa__wgsl_divide(wa_wgsl_emit *e)
{
    put(e, "fn divide(x: f32, y: f32) -> f32 {\n  let u = bitcast<u32>(x); let v = bitcast<u32>(y); let sign = (u ^ v) & 0x80000000u;\n"
           "  let ex = (u >> 23u) & 255u; let ey = (v >> 23u) & 255u;\n  if (ey == 0u || ex == 255u || ey == 255u) { return x / y; }\n"
           "  if (ex == 0u) { return bitcast<f32>(sign); }\n  let a = (u & 0x7fffffu) | 0x800000u; let b = (v & 0x7fffffu) | 0x800000u;\n"
           "  var q = a / b; var r = a - q * b;\n"
           "  for (var k = 0u; k < 3u; k++) { r <<= 8u; let d = r / b; q = (q << 8u) | d; r -= d * b; }\n"
           "  r <<= 1u; q <<= 1u; if (r >= b) { r -= b; q |= 1u; }\n"
           "  let drop = select(1u, 2u, q >= 0x2000000u); let half = 1u << (drop - 1u); let rest = q & ((1u << drop) - 1u);\n"
           "  var m = q >> drop; if (rest > half || (rest == half && (r != 0u || (m & 1u) == 1u))) { m++; }\n"
           "  let exponent = 125 + i32(drop) + i32(ex) - i32(ey);\n  if (exponent <= 0) { return bitcast<f32>(sign); }\n"
           "  if (exponent >= 254) { return bitcast<f32>(sign | 0x7f000000u); }\n"
           "  return bitcast<f32>(sign | ((u32(exponent) << 23u) + (m - 0x800000u)));\n}\n");
}

static const char *as_float(uint32_t d) { return d == WA_F32 ? "bitcast<f32>(" : d == WA_I32 ? "f32(bitcast<i32>(" : "f32(("; }
static const char *float_end(uint32_t d) { return d == WA_F32 ? ")" : "))"; }

/* A line that rounds `name` to the type of the arithmetic. */
static void in_precision(const uint32_t *s, const char *name, wa_wgsl_emit *e)
{
    if (s[6] == WA_F16) put(e, "  %s = half(%s);\n", name, name);
    else if (s[6] == WA_BF16) put(e, "  %s = brain(%s);\n", name, name);
}

static void precision_functions(const uint32_t *s, wa_wgsl_emit *e)
{
    if (s[6] == WA_F32) return;
    put(e, "fn %s(x: f32) -> f32 {\n  let u = bitcast<u32>(x); let a = u & 0x7fffffffu;\n", s[6] == WA_F16 ? "half" : "brain");
    if (s[6] == WA_F16) /* steps of 2^-24 below the normal range, 10 bits of mantissa above */
        put(e, "  if (a < 0x38800000u) { return round(x * 16777216.0) * 5.9604645e-08; }\n  if (a >= 0x477ff000u) { return bitcast<f32>((u & 0x80000000u) | 0x7f000000u); }\n"
               "  return bitcast<f32>((u & 0x80000000u) | ((a + 0xfffu + ((a >> 13u) & 1u)) & 0xffffe000u));\n}\n");
    else put(e, "  return bitcast<f32>((u & 0x80000000u) | ((a + 0x7fffu + ((a >> 16u) & 1u)) & 0xffff0000u));\n}\n");
}

static void quantize_body(const uint32_t *s, wa_wgsl_emit *e)
{
    int64_t low = 0, high = 0;
    bool whole = wa__quant_range((wa_dtype)s[3], &low, &high);
    in_precision(s, "v", e);
    in_precision(s, "f", e);
    put(e, "  let nan = ((bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u) || (v == 0.0 && f == 0.0);\n  var y = divide(v, f);\n");
    in_precision(s, "y", e);
    if (!whole) {
        if (s[2]) put(e, "  y += %szero[at]%s;\n", as_float(s[2]), float_end(s[2]));
        put(e, "  o[i] = round_to(select(bitcast<u32>(y), 0x7fc00000u, nan));\n}\n");
        return;
    }
    put(e, "  var q = select(i32(clamp(round(y), -200000.0, 200000.0)), 0, nan);\n");
    if (s[2]) put(e, "  q += bitcast<i32>(zero[at]);\n");
    put(e, "  o[i] = bitcast<u32>(clamp(q, %lld, %lld));\n}\n", (long long)low, (long long)high);
}

static void quantize_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    uint32_t b = 0;
    int64_t low, high;
    wa__wgsl_storage(e, b++, "x", "u32", false);
    wa__wgsl_storage(e, b++, "scale", "u32", false);
    if (s[2]) wa__wgsl_storage(e, b++, "zero", "u32", false);
    wa__wgsl_storage(e, b++, "o", "u32", true);
    wa__wgsl_params(e, b, 2);
    precision_functions(s, e);
    if (s[0]) wa__wgsl_divide(e);
    if (s[0] && !wa__quant_range((wa_dtype)s[3], &low, &high)) round_float(e, s[3], s[4] != 0, WA_ROUND_UP);
    head(e);
    put(e, "  let d = p.a[0]; let t = p.a[1];\n  if (i >= d.x) { return; }\n"
           "  let at = i / (d.y * d.z) * t.x + i / d.z %% d.y / d.w * t.y + i %% d.z * t.z;\n");
    put(e, "  var v = %sx[i]%s; var f = %sscale[at]%s;\n", as_float(s[1]), float_end(s[1]), as_float(s[5]), float_end(s[5]));
    if (s[0]) {
        quantize_body(s, e);
        return;
    }
    if (s[2]) put(e, "  v -= %szero[at]%s;\n", as_float(s[2]), float_end(s[2]));
    in_precision(s, "v", e);
    put(e, "  v = v * f;\n");
    in_precision(s, "v", e);
    put(e, "  o[i] = bitcast<u32>(v);\n}\n");
}
const wa_wgsl_row wa__wgsl_quantize = {"quantize", quantize_check, quantize_generate};

/* --- packed codes ----------------------------------------------------------------------------------- */
enum { RAW_CODES = 1, RAW_ZEROS = 2, ZEROS = 4, ZERO_FLOAT = 8, GROUPS = 16, HIGH_FIRST = 32, UNPACK_FLAGS = 63 };

static wa_status unpack_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    bool zeros = s[0] & ZEROS, flags = !(s[0] & ~(uint32_t)UNPACK_FLAGS) && (zeros || !(s[0] & (RAW_ZEROS | ZERO_FLOAT))) && (s[0] & (RAW_ZEROS | ZERO_FLOAT)) != (RAW_ZEROS | ZERO_FLOAT);
    if (code_count || !flags || (s[1] != 2 && s[1] != 4 && s[1] != 8) || s[2] > 2 || (s[2] && s[1] != 4) || s[3] > 255)
        return wa__fail(err, WA_VERIFY, "unpack: flags %u, %u bits, table %u, zero %u", s[0], s[1], s[2], s[3]);
    info->binding_count = 3u + (zeros ? 1u : 0u) + (s[0] & GROUPS ? 1u : 0u);
    info->write_mask = 1u << (info->binding_count - 1);
    return WA_OK;
}

/* fn name_at(i): byte i of an array of packed bytes, or of words that hold one each. */
static void byte_reader(const char *name, bool raw, wa_wgsl_emit *e)
{
    if (raw) put(e, "fn %s_at(i: u32) -> u32 { return (%s[i / 4u] >> ((i & 3u) * 8u)) & 255u; }\n", name, name);
    else put(e, "fn %s_at(i: u32) -> u32 { return %s[i]; }\n", name, name);
}

static void unpack_functions(const uint32_t *s, wa_wgsl_emit *e)
{
    byte_reader("codes", s[0] & RAW_CODES, e);
    if (s[0] & ZEROS && !(s[0] & ZERO_FLOAT)) byte_reader("zeros", s[0] & RAW_ZEROS, e);
    if (!s[2]) return;
    put(e, "fn level(code: u32) -> f32 {\n  switch (code) {\n");
    for (uint32_t i = 0; i < 16; i++) put(e, "    case %uu: { return %.9gf; }\n", i, (double)wa__quant_level(s[2], i));
    put(e, "    default: { return 0f; }\n  }\n}\n");
}

static void unpack_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    uint32_t b = 0, per = 8 / s[1], mask = (1u << s[1]) - 1;
    wa__wgsl_storage(e, b++, "codes", "u32", false);
    wa__wgsl_storage(e, b++, "scale", "f32", false);
    if (s[0] & ZEROS) wa__wgsl_storage(e, b++, "zeros", s[0] & ZERO_FLOAT ? "f32" : "u32", false);
    if (s[0] & GROUPS) wa__wgsl_storage(e, b++, "groups", "i32", false);
    wa__wgsl_storage(e, b++, "o", "f32", true);
    wa__wgsl_params(e, b, 2);
    unpack_functions(s, e);
    head(e);
    put(e, "  let d = p.a[0]; if (i >= d.x * d.y) { return; }\n  let r = i / d.y; let c = i %% d.y;\n");
    if (s[0] & GROUPS) put(e, "  let group = min(u32(groups[c]), d.w - 1u);\n");
    else put(e, "  let group = c / d.z;\n");
    put(e, "  let sub = %s; let code = (codes_at(r * p.a[1].x + c / %uu) >> (sub * %uu)) & %uu;\n", s[0] & HIGH_FIRST ? "PER - 1u - c % PER" : "c % PER", per, s[1], mask);
    if (s[2]) put(e, "  var v = level(code);\n");
    else put(e, "  var v = f32(code);\n");
    if (s[0] & ZERO_FLOAT) put(e, "  v -= zeros[r * d.w + group];\n");
    else if (s[0] & ZEROS) put(e, "  v -= f32((zeros_at(r * p.a[1].y + group / PER) >> (group %% PER * %uu)) & %uu);\n", s[1], mask);
    else if (!s[2] && s[3]) put(e, "  v -= %u.0;\n", s[3]);
    put(e, "  o[i] = v * scale[r * d.w + group];\n}\nconst PER = %uu;\n", per);
}
const wa_wgsl_row wa__wgsl_unpack = {"unpack", unpack_check, unpack_generate};
