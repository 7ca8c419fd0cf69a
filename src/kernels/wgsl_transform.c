/* Weights at upload: source bytes in a staging buffer become f32, f16 or i32 at their place. The CPU
 * twin is wa__plan_transform. spec: 0 wa_transform, 1 source dtype. bindings: staging, destination.
 * params: {rows, cols, dst leading dim, dst word of element [0,0]} {source byte offset, first element,
 * element count, 0}: element i is row i/cols, column i%cols of the source; a piece of a large weight
 * is elements [first, first+count), whose bytes start at the source byte offset. WIDEN of packed types:
 * an element is a byte of them, `cols` counts what is packed. */
#include "kernels/wgsl_int.h"

#define put wa__wgsl_put

static bool widens(uint32_t d) { return d == WA_F32 || d == WA_F16 || d == WA_BF16 || d == WA_F64; }

static wa_status check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    bool ok = false;
    switch (s[0]) {
    case WA_TRANSFORM_COPY2D: case WA_TRANSFORM_TRANSPOSE2D: case WA_TRANSFORM_COPY2D_F16: case WA_TRANSFORM_TRANSPOSE2D_F16: case WA_TRANSFORM_TO_F16:
    case WA_TRANSFORM_TILES_F16: case WA_TRANSFORM_TILES_TURNED_F16: ok = widens(s[1]); break;
    case WA_TRANSFORM_BF16_TO_F32: ok = s[1] == WA_BF16; break;
    case WA_TRANSFORM_F16_TO_F32: ok = s[1] == WA_F16; break;
    case WA_TRANSFORM_F64_TO_F32: ok = s[1] == WA_F64; break;
    case WA_TRANSFORM_I64_TO_I32: ok = s[1] == WA_I64 || s[1] == WA_U64; break;
    case WA_TRANSFORM_WIDEN: ok = wa__dtype_info(s[1])->bits > 0 && wa__dtype_info(s[1])->bits <= 16 && s[1] != WA_F16 && s[1] != WA_BF16 && s[1] != WA_BOOL; break;
    case WA_TRANSFORM_BOOL_TO_U32: ok = s[1] == WA_BOOL || s[1] == WA_U8 || s[1] == WA_I8; break;
    default: break;
    }
    if (code_count || !ok) return wa__fail(err, WA_VERIFY, "transform %u of dtype %u", s[0], s[1]);
    info->binding_count = 2;
    info->write_mask = 2;
    return WA_OK;
}

static bool makes_tiles(uint32_t t) { return t == WA_TRANSFORM_TILES_F16 || t == WA_TRANSFORM_TILES_TURNED_F16; }
static bool makes_halves(uint32_t t) { return makes_tiles(t) || t == WA_TRANSFORM_COPY2D_F16 || t == WA_TRANSFORM_TRANSPOSE2D_F16 || t == WA_TRANSFORM_TO_F16; }
static uint32_t halves(const uint32_t *s, const uint32_t *code, const wa_wgsl_info *info)
{
    (void)code, (void)info;
    return makes_halves(s[0]) ? 2 : 0;
}

/* The f16 nearest to the float of these bits, the even one of two; rounded in
 * integers, so that every driver rounds alike (the last conversion is exact; one may take subnormals for 0,
 * and Firefox has no bitcast to vec2<f16>). A NaN stays one. */
void wa__wgsl_half_bits(wa_wgsl_emit *e)
{
    put(e, "fn half_bits(u: u32) -> u32 {\n  let a = u & 0x7fffffffu; let s = (u >> 16u) & 0x8000u; var h = 0x7c00u;\n"
           "  if (a > 0x7f800000u) { h = 0x7e00u; }\n"
           "  else if (a >= 0x38800000u) { if (a < 0x477ff000u) { h = (a + 0xfffu + ((a >> 13u) & 1u) - 0x38000000u) >> 13u; } }\n"
           "  else if (a > 0x33000000u) {\n    let shift = 126u - (a >> 23u); let m = (a & 0x7fffffu) | 0x800000u; let low = m & ((1u << shift) - 1u);\n"
           "    h = m >> shift; let tie = 1u << (shift - 1u); h += u32(low > tie || (low == tie && (h & 1u) == 1u));\n  } else { h = 0u; }\n"
           "  return s | h;\n}\n");
}
static void half_function(wa_wgsl_emit *e)
{
    wa__wgsl_half_bits(e);
    put(e, "fn half(u: u32) -> f16 { return f16(unpack2x16float(half_bits(u)).x); }\n");
}

/* fn value(at): the u32 bits of the element whose first byte is `at` (aligned to its size). */
static void reader(uint32_t dtype, bool boolean, wa_wgsl_emit *e)
{
    put(e, "fn value(at: u32) -> u32 {\n  let w = x[at / 4u];\n");
    if (dtype == WA_BF16) put(e, "  return select(w << 16u, w & 0xffff0000u, (at & 2u) != 0u);\n}\n");
    else if (dtype == WA_F16) put(e, "  let h = unpack2x16float(w); return bitcast<u32>(select(h.x, h.y, (at & 2u) != 0u));\n}\n");
    else if (dtype == WA_F64) /* truncates to 24 bits and rounds to nearest; below f32's normal range gives 0 */
        put(e, "  let hi = x[at / 4u + 1u]; let sign = hi & 0x80000000u; let ex = i32((hi >> 20u) & 0x7ffu) - 1023;\n"
               "  if (ex < -126) { return sign; }\n  let low = w; let half = (low >> 28u) & 1u; let odd = (low >> 29u) & 1u; let rest = low & 0x0fffffffu;\n"
               "  if (ex > 127) { return sign | select(0x7f800000u, 0x7fc00000u, ex == 1024 && ((hi & 0xfffffu) | low) != 0u); }\n"
               "  var bits = (u32(ex + 127) << 23u) | ((hi & 0xfffffu) << 3u) | (low >> 29u);\n  bits += half & (odd | u32(rest != 0u));\n  return sign | bits;\n}\n");
    else if (boolean) put(e, "  return u32(((w >> ((at & 3u) * 8u)) & 0xffu) != 0u);\n}\n");
    else put(e, "  return w;\n}\n"); /* F32; I64's low word */
}

void wa__wgsl_read_float(wa_wgsl_emit *e, uint32_t dtype) { reader(dtype, false, e); }

/* fn widened(code): the word of an element of `bits` bits, on a GPU. */
static void widened(uint32_t dtype, uint32_t bits, wa_wgsl_emit *e)
{
    const wa_small_float *s = wa__small_float((wa_dtype)dtype);
    if (s) {
        wa__wgsl_small_float(e, s);
        put(e, "fn widened(code: u32) -> u32 { return of_code(code); }\n");
    } else if (dtype == WA_I8 || dtype == WA_I16 || dtype == WA_I4 || dtype == WA_I2) {
        put(e, "fn widened(code: u32) -> u32 { return bitcast<u32>(bitcast<i32>(code << %uu) >> %uu); }\n", 32 - bits, 32 - bits);
    } else {
        put(e, "fn widened(code: u32) -> u32 { return code; }\n");
    }
}

static void widen(uint32_t dtype, wa_wgsl_emit *e)
{
    uint32_t bits = wa__dtype_info(dtype)->bits, unit = bits < 8 ? 1 : bits / 8, per = bits < 8 ? 8 / bits : 1;
    widened(dtype, bits, e);
    put(e, "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let k = g.y * (nw.x * 64u) + g.x;\n  if (k >= p.a[1].z) { return; }\n"
           "  let at = p.a[1].x + k * %uu; let w = x[at / 4u] >> ((at & 3u) * 8u);\n  let i = (p.a[1].y + k) * %uu;\n", unit, per);
    for (uint32_t j = 0; j < per; j++)
        put(e, "  if (i + %uu < p.a[0].y) { o[p.a[0].w + i + %uu] = widened((w >> %uu) & %uu); }\n", j, j, j * bits, (1u << bits) - 1);
    put(e, "}\n");
}

static void generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    uint32_t unit = wa__dtype_size((wa_dtype)s[1]);
    wa__wgsl_storage(e, 0, "x", "u32", false);
    bool half = makes_halves(s[0]);
    wa__wgsl_storage(e, 1, "o", half ? "f16" : "u32", true);
    wa__wgsl_params(e, 2, 2);
    if (half) half_function(e);
    if (s[0] == WA_TRANSFORM_WIDEN) {
        widen(s[1], e);
        return;
    }
    reader(s[1], s[0] == WA_TRANSFORM_BOOL_TO_U32, e);
    put(e, "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let k = g.y * (nw.x * 64u) + g.x;\n  if (k >= p.a[1].z) { return; }\n  let i = p.a[1].y + k;\n");
    if (makes_tiles(s[0])) /* element [n,k] of the weight: tiles [n/16][k/16] of [n%16][k%16] */
        put(e, "  let r = i / p.a[0].y; let c = i %% p.a[0].y; let n = %s; let k2 = %s;\n"
               "  let to = p.a[0].w + ((n >> 4u) * p.a[0].z + (k2 >> 4u)) * 256u + (n & 15u) * 16u + (k2 & 15u);\n",
            s[0] == WA_TRANSFORM_TILES_F16 ? "r" : "c", s[0] == WA_TRANSFORM_TILES_F16 ? "c" : "r");
    else if (s[0] == WA_TRANSFORM_TRANSPOSE2D || s[0] == WA_TRANSFORM_TRANSPOSE2D_F16) put(e, "  let to = p.a[0].w + i %% p.a[0].y * p.a[0].z + i / p.a[0].y;\n");
    else put(e, "  let to = p.a[0].w + i / p.a[0].y * p.a[0].z + i %% p.a[0].y;\n");
    put(e, half ? "  o[to] = half(value(p.a[1].x + k * %uu));\n}\n" : "  o[to] = value(p.a[1].x + k * %uu);\n}\n", unit);
}
const wa_wgsl_row wa__wgsl_transform_row = {"transform", check, generate, halves};
