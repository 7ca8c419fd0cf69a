/* Functions that elementwise chains and reductions call in WGSL: what the language lacks, leaves
 * inaccurate (its asin may err by 1e-3, its log by 5e-7 beside 1) or lets a driver assume away (NaN:
 * tested by bits, as integers). Polynomials of asin and atan are those of Cephes' single precision.
 * In: a set of names. Out: their text, each once, with what they call. */
#include "kernels/wgsl_int.h"

/* In an order in which nothing calls what comes later. */
static const struct {
    uint32_t bit, needs;
    const char *text;
} functions[] = {
    {WA_FN_NAN, 0, "fn nan_(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }\n"},
    {WA_FN_MINMAX, WA_FN_NAN,
     "fn min_(a: f32, b: f32) -> f32 { return select(select(min(a, b), b, nan_(b)), a, nan_(a)); }\n"
     "fn max_(a: f32, b: f32) -> f32 { return select(select(max(a, b), b, nan_(b)), a, nan_(a)); }\n"},
    {WA_FN_LOG, 0, /* 2 atanh((x-1)/(x+1)) around 1 */
     "fn near_one(s: f32) -> f32 {\n  let q = s * s;\n"
     "  return 2.0 * s * (1.0 + q * (0.33333334 + q * (0.2 + q * (0.14285715 + q * (0.11111111 + q * (0.09090909 + q * 0.07692308))))));\n}\n"
     "fn log_(x: f32) -> f32 {\n  let u = bitcast<u32>(x); let c = clamp(x, 0.5, 2.0);\n  if (u == 0x7f800000u || (u & 0x7fffffffu) > 0x7f800000u) { return x; }\n"
     "  if (x == 0.0) { return bitcast<f32>(u | 0xff800000u); }\n"
     "  return select(log(x), near_one((c - 1.0) / (c + 1.0)), x == c);\n}\n"
     "fn log1p_(y: f32) -> f32 { let c = clamp(y, -0.5, 1.0); return select(log(1.0 + y), near_one(c / (2.0 + c)), y == c); }\n"},
    {WA_FN_EXPM1, 0,
     "fn expm1_(x: f32) -> f32 {\n  let c = clamp(x, -0.5, 0.5);\n"
     "  let y = c * (1.0 + c * (0.5 + c * (0.16666667 + c * (0.041666668 + c * (0.008333334 + c * (0.0013888889 + c * 0.0001984127))))));\n"
     "  return select(exp(x) - 1.0, y, x == c);\n}\n"},
    {WA_FN_LOGISTIC, 0, "fn logistic(x: f32) -> f32 { return 1.0 / (1.0 + exp(clamp(-x, -88.0, 88.0))); }\n"},
    {WA_FN_TANH, WA_FN_LOGISTIC,
     "fn tanh_(x: f32) -> f32 {\n  let c = clamp(x, -0.25, 0.25); let q = c * c;\n"
     "  let y = c * (1.0 + q * (-0.33333334 + q * (0.13333334 + q * (-0.053968254 + q * 0.021869488))));\n"
     "  return select(1.0 - 2.0 * logistic(-2.0 * x), y, x == c);\n}\n"},
    {WA_FN_ERF, 0, /* the series near 0, where the other form has no relative accuracy */
     "fn erf_(x: f32) -> f32 {\n  let a = abs(x); let t = 1.0 / (1.0 + 0.3275911 * a); let c = min(a, 0.5); let q = c * c;\n"
     "  let far = 1.0 - ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t * exp(-a * a);\n"
     "  let near = c * (1.1283792 + q * (-0.37612638 + q * (0.11283792 + q * (-0.026866170 + q * (0.0052239776 + q * (-0.00085483270 + q * 0.00012055332))))));\n"
     "  let y = select(far, near, a == c);\n  return select(y, -y, x < 0.0);\n}\n"},
    {WA_FN_GELU, WA_FN_ERF | WA_FN_LOGISTIC,
     "fn gelu_erf(x: f32) -> f32 { return 0.5 * x * (1.0 + erf_(x * 0.70710678)); }\n"
     "fn gelu_tanh(x: f32) -> f32 { return x * logistic(1.5957691 * (x + 0.044715 * x * x * x)); }\n"},
    {WA_FN_POW, 0, /* a negative base is fine for whole exponents; small whole exponents are exact */
     "fn pow_(x: f32, y: f32) -> f32 {\n  if (y == 0.0) { return 1.0; }\n  let a = abs(y);\n"
     "  if (a <= 64.0 && floor(a) == a) {\n    var n = u32(a); var b = x; var r = 1.0;\n"
     "    while (n > 0u) { if ((n & 1u) == 1u) { r = r * b; } b = b * b; n = n >> 1u; }\n    return select(r, 1.0 / r, y < 0.0);\n  }\n"
     "  if (x < 0.0 && floor(a) != a) { return bitcast<f32>(bitcast<u32>(x) | 0x7fc00000u); }\n"
     "  let v = pow(abs(x), y); let odd = a - 2.0 * floor(a * 0.5) == 1.0;\n  return select(v, -v, x < 0.0 && odd);\n}\n"},
    {WA_FN_IPOW, 0,
     "fn upow_(x: u32, y: u32) -> u32 {\n  var n = y; var b = x; var r = 1u;\n"
     "  while (n > 0u) { if ((n & 1u) == 1u) { r = r * b; } b = b * b; n = n >> 1u; }\n  return r;\n}\n"
     "fn ipow_(x: i32, y: i32) -> i32 {\n  if (y < 0) { return select(select(0, 1 - 2 * (y & 1), x == -1), 1, x == 1); }\n"
     "  return bitcast<i32>(upow_(bitcast<u32>(x), u32(y)));\n}\n"},
    {WA_FN_IDIV, 0, /* by 0 gives 0 */
     "fn idiv_(a: i32, b: i32) -> i32 { let d = select(b, 1, b == 0 || b == -1); return select(select(a / d, -a, b == -1), 0, b == 0); }\n"
     "fn udiv_(a: u32, b: u32) -> u32 { return select(a / max(b, 1u), 0u, b == 0u); }\n"},
    {WA_FN_IMOD, 0, /* fmod as C: the sign of a; else of b */
     "fn ifmod_(a: i32, b: i32) -> i32 { let d = select(b, 1, b == 0 || b == -1); return a - (a / d) * d; }\n"
     "fn imod_(a: i32, b: i32) -> i32 { let r = ifmod_(a, b); return select(r, r + b, r != 0 && (r < 0) != (b < 0)); }\n"
     "fn umod_(a: u32, b: u32) -> u32 { return select(a % max(b, 1u), 0u, b == 0u); }\n"},
    {WA_FN_FMOD, 0, /* subtracts the divisor times powers of two, each difference exact */
     "fn fmod_(a: f32, b: f32) -> f32 {\n  let m = abs(b); var r = abs(a);\n  if (!(m > 0.0)) { return a / b - a / b; }\n"
     "  for (var k = 0; k < 300 && r >= m; k++) {\n    var s = m; while (s * 2.0 <= r && s < 1.0e38) { s = s * 2.0; }\n    r = r - s;\n  }\n"
     "  return select(r, -r, a < 0.0);\n}\n"
     "fn mod_(a: f32, b: f32) -> f32 { let r = fmod_(a, b); return select(r, r + b, r != 0.0 && (r < 0.0) != (b < 0.0)); }\n"},
    {WA_FN_SHIFT, 0,
     "fn shl_(a: u32, b: u32) -> u32 { return select(a << (b & 31u), 0u, b > 31u); }\n"
     "fn shr_(a: u32, b: u32) -> u32 { return select(a >> (b & 31u), 0u, b > 31u); }\n"},
    {WA_FN_CIRCLE, 0, /* WGSL's own may err by 2^-11; these by 1e-7 after reduction by multiples of pi in three parts */
     "fn reduce_(x: f32, k: f32) -> f32 { return ((x - k * 3.140625) - k * 9.67502593994140625e-4) - k * 1.5099580e-7; }\n"
     "fn odd_(k: f32) -> bool { return abs(k) - 2.0 * floor(abs(k) * 0.5) == 1.0; }\n"
     "fn sin_(x: f32) -> f32 {\n  let k = round(x * 0.31830989); let r = reduce_(x, k); let q = r * r;\n"
     "  let y = r + r * q * (-0.16666667 + q * (0.0083333310 + q * (-0.00019840874 + q * (2.7525562e-06 - q * 2.3889859e-08))));\n"
     "  return select(y, -y, odd_(k));\n}\n"
     "fn cos_(x: f32) -> f32 {\n  let k = round(x * 0.31830989); let r = reduce_(x, k); let q = r * r;\n"
     "  let y = 1.0 + q * (-0.5 + q * (0.041666638 + q * (-0.0013888378 + q * (2.4760495e-05 - q * 2.6051615e-07))));\n"
     "  return select(y, -y, odd_(k));\n}\n"},
    {WA_FN_ARC, 0,
     "fn asin_core(z: f32, x: f32) -> f32 {\n"
     "  return ((((4.2163199048e-2 * z + 2.4181311049e-2) * z + 4.5470025998e-2) * z + 7.4953002686e-2) * z + 1.6666752422e-1) * z * x + x;\n}\n"
     "fn acos_(v: f32) -> f32 {\n  let a = abs(v); let z = 0.5 * (1.0 - a); let s = sqrt(z);\n"
     "  let far = 2.0 * asin_core(z, s);\n"
     "  return select(1.57079633 - asin_core(v * v, v), select(far, 3.14159265 - far, v < 0.0), a > 0.5);\n}\n"
     "fn asin_(v: f32) -> f32 {\n  let a = abs(v); let z = 0.5 * (1.0 - a); let s = sqrt(z);\n"
     "  let y = select(asin_core(a * a, a), 1.57079633 - 2.0 * asin_core(z, s), a > 0.5);\n  return select(y, -y, v < 0.0);\n}\n"
     "fn atan_(v: f32) -> f32 {\n  var x = abs(v); var y = 0.0;\n"
     "  if (x > 2.41421356) { y = 1.57079633; x = -1.0 / x; } else if (x > 0.41421356) { y = 0.78539816; x = (x - 1.0) / (x + 1.0); }\n"
     "  let z = x * x;\n"
     "  y += (((8.05374449538e-2 * z - 1.38776856032e-1) * z + 1.99777106478e-1) * z - 3.33329491539e-1) * z * x + x;\n"
     "  return select(y, -y, v < 0.0);\n}\n"},
    {WA_FN_HYPERBOLIC, WA_FN_LOG,
     "fn sinh_(x: f32) -> f32 {\n  let c = clamp(x, -1.0, 1.0); let q = c * c;\n"
     "  let y = c * (1.0 + q * (0.16666667 + q * (0.008333334 + q * (0.0001984127 + q * 2.7557319e-06))));\n"
     "  return select(0.5 * (exp(x) - exp(-x)), y, x == c);\n}\n"
     "fn asinh_(x: f32) -> f32 {\n  let a = abs(x);\n  let y = select(log1p_(a + a * a / (1.0 + sqrt(a * a + 1.0))), log(a) + 0.69314718, a > 1.0e9);\n"
     "  return select(y, -y, x < 0.0);\n}\n"
     "fn acosh_(x: f32) -> f32 { let t = x - 1.0; return select(log1p_(t + sqrt(2.0 * t + t * t)), log(x) + 0.69314718, x > 1.0e9); }\n"
     "fn atanh_(x: f32) -> f32 { let a = abs(x); let y = 0.5 * log1p_(2.0 * a / (1.0 - a)); return select(y, -y, x < 0.0); }\n"},
    {WA_FN_SOFT, WA_FN_LOG | WA_FN_EXPM1,
     "fn softplus_(x: f32) -> f32 { return max(x, 0.0) + log1p_(exp(-abs(x))); }\n"
     "fn mish_(x: f32) -> f32 { let e = exp(min(x, 20.0)); let n = e * (e + 2.0); return x * select(n / (n + 2.0), 1.0, x > 20.0); }\n"
     "fn elu_(x: f32, a: f32) -> f32 { return select(x, a * expm1_(min(x, 0.0)), x < 0.0); }\n"},
    {WA_FN_CAST, 0, /* to unsigned, whole numbers below 0 wrap */
     "fn unsigned_(x: f32) -> u32 { return select(u32(x), bitcast<u32>(i32(x)), x < 2147483648.0); }\n"},
    {WA_FN_ROUND16, 0, /* to nearest even, kept in f32 */
     "fn f16_(x: f32) -> f32 {\n  let u = bitcast<u32>(x); let a = u & 0x7fffffffu; let s = u & 0x80000000u;\n"
     "  if (a > 0x7f800000u) { return x; }\n  if (a >= 0x477ff000u) { return bitcast<f32>(s | 0x7f800000u); }\n"
     "  if (a < 0x38800000u) { let r = round(bitcast<f32>(a) * 16777216.0) * 5.9604645e-8; return select(r, -r, s != 0u); }\n"
     "  return bitcast<f32>(s | ((a + 0xfffu + ((a >> 13u) & 1u)) & 0xffffe000u));\n}\n"
     "fn bf16_(x: f32) -> f32 {\n  let u = bitcast<u32>(x); let a = u & 0x7fffffffu;\n  if (a > 0x7f800000u) { return x; }\n"
     "  return bitcast<f32>((u & 0x80000000u) | ((a + 0x7fffu + ((a >> 16u) & 1u)) & 0xffff0000u));\n}\n"
     "fn f16_bits(x: f32) -> u32 { return pack2x16float(vec2f(x, 0.0)) & 0xffffu; }\n"
     "fn f16_of(u: u32) -> f32 { return unpack2x16float(u & 0xffffu).x; }\n"},
};

void wa__wgsl_functions(wa_wgsl_emit *e, uint32_t set)
{
    for (unsigned again = 0; again < 2; again++)
        for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
            if (set & functions[i].bit) set |= functions[i].needs;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (set & functions[i].bit) wa__wgsl_put(e, "%s", functions[i].text);
}

const char *wa__wgsl_type(uint32_t dtype)
{
    switch (dtype) {
    case WA_F32: case WA_F16: case WA_BF16: return "f32";
    case WA_I8: case WA_I16: case WA_I32: return "i32";
    case WA_U8: case WA_U16: case WA_U32: case WA_BOOL: return "u32";
    default: return NULL;
    }
}

void wa__wgsl_wrap(uint32_t dtype, const char **before, const char **after)
{
    *before = "", *after = "";
    switch (dtype) {
    case WA_I8: *before = "(((", *after = ") << 24u) >> 24u)"; break;
    case WA_I16: *before = "(((", *after = ") << 16u) >> 16u)"; break;
    case WA_U8: *before = "((", *after = ") & 0xffu)"; break;
    case WA_U16: *before = "((", *after = ") & 0xffffu)"; break;
    default: break;
    }
}
