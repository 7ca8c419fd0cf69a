/* QUANT_UPLOAD: weights become blocks of codes while they are uploaded (layouts and rounding: base/quant_block.h;
 * its CPU twin gives the same words, for every step here is exact or rounded in integers). spec: 0 wa_transform,
 * 1 source dtype. bindings: staging, destination. params: {rows, cols of the source, ld, word of the destination's
 * first block} {source byte offset, first unit, units, first column}.
 * A unit of the source is 32 rows of a [K,N], two rows of an [N,K] or one row of a table; an invocation makes two
 * blocks that share a word of scales, so a unit takes cols / 2, cols / 32 or cols / 64 of them. */
#include "kernels/wgsl_int.h"

#define put wa__wgsl_put

static bool is_table(uint32_t t) { return t == WA_TRANSFORM_QUANT8_TABLE; }
static bool by_rows(uint32_t t) { return t == WA_TRANSFORM_QUANT8_KN || t == WA_TRANSFORM_QUANT4_KN; }
static uint32_t bits_of(uint32_t t) { return t == WA_TRANSFORM_QUANT4_KN || t == WA_TRANSFORM_QUANT4_NK ? 4 : 8; }

static wa_status check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    bool known = s[0] == WA_TRANSFORM_QUANT8_NK || s[0] == WA_TRANSFORM_QUANT4_NK || by_rows(s[0]) || is_table(s[0]);
    if (code_count || !known || (s[1] != WA_F32 && s[1] != WA_F16 && s[1] != WA_BF16)) return wa__fail(err, WA_VERIFY, "transform %u of dtype %u to blocks", s[0], s[1]);
    info->binding_count = 2;
    info->write_mask = 2;
    return WA_OK;
}

/* Where element j of block c of this invocation lies, and where its words and scale go. */
static void places(uint32_t t, uint32_t unit, wa_wgsl_emit *e)
{
    uint32_t bits = bits_of(t);
    if (is_table(t)) {
        put(e, "  let source = p.a[1].x + (u * cols + item * 64u) * %uu; let across = 32u * %uu; let down = %uu;\n", unit, unit, unit);
        put(e, "  let row = p.a[0].w + (p.a[1].y + u) * (cols / 4u + cols / 64u);\n"
               "  let to = row + item * 16u; let next = 8u; let step = 1u; let pair = row + cols / 4u + item;\n");
        return;
    }
    if (by_rows(t))
        put(e, "  let source = p.a[1].x + (u * 32u * cols + item * 2u) * %uu; let across = %uu; let down = cols * %uu;\n"
               "  let block = p.a[1].y + u; let n = p.a[1].w + item * 2u;\n", unit, unit, unit);
    else
        put(e, "  let source = p.a[1].x + (u * 2u * cols + item * 32u) * %uu; let across = cols * %uu; let down = %uu;\n"
               "  let block = item; let n = p.a[1].w + (p.a[1].y + u) * 2u;\n", unit, unit, unit);
    put(e, "  let ld = p.a[0].z; let row = p.a[0].w + block * (%uu * ld + ld / 2u);\n"
           "  let to = row + n; let next = 1u; let step = ld; let pair = row + %uu * ld + n / 2u;\n", bits, bits);
}

static void words(uint32_t bits, wa_wgsl_emit *e)
{
    put(e, "    for (var w = 0u; w < %uu; w++) {\n      var word = 0u;\n      for (var j = 0u; j < 4u; j++) {\n", bits);
    if (bits == 8) put(e, "        word |= (code(v[4u * w + j] * inverse) & 0xffu) << (8u * j);\n");
    else put(e, "        word |= ((code(v[8u * w + j] * inverse) + 8u) & 15u) << (8u * j);\n"
                "        word |= ((code(v[8u * w + 4u + j] * inverse) + 8u) & 15u) << (8u * j + 4u);\n");
    put(e, "      }\n      o[to + c * next + w * step] = word;\n    }\n");
}

static void generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    uint32_t bits = bits_of(s[0]), unit = wa__dtype_size((wa_dtype)s[1]);
    wa__wgsl_storage(e, 0, "x", "u32", false);
    wa__wgsl_storage(e, 1, "o", "u32", true);
    wa__wgsl_params(e, 2, 2);
    wa__wgsl_divide(e);
    wa__wgsl_half_bits(e);
    wa__wgsl_read_float(e, s[1]);
    put(e, "fn code(y: f32) -> u32 { return bitcast<u32>(i32(clamp(round(y), %s))); }\n", bits == 8 ? "-127.0, 127.0" : "-8.0, 7.0");
    put(e, "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let cols = p.a[0].y; let items = cols / %uu; let k = g.y * (nw.x * 64u) + g.x; let u = k / items; let item = k %% items;\n"
           "  if (u >= p.a[1].z) { return; }\n", is_table(s[0]) ? 64 : by_rows(s[0]) ? 2 : 32);
    places(s[0], unit, e);
    put(e, "  var v: array<f32, 32>; var scales = 0u;\n  for (var c = 0u; c < 2u; c++) {\n    var most = 0f; var first = 0f;\n"
           "    for (var j = 0u; j < 32u; j++) {\n      let y = bitcast<f32>(value(source + c * across + j * down)); v[j] = y;\n"
           "      if (abs(y) > most) { most = abs(y); first = y; }\n    }\n");
    put(e, "    let h = half_bits(bitcast<u32>(divide(%s))); scales |= h << (16u * c);\n", bits == 8 ? "most, 127.0" : "first, -8.0");
    put(e, "    let scale = unpack2x16float(h).x; let inverse = select(divide(1.0, scale), 0.0, scale == 0.0);\n");
    words(bits, e);
    put(e, "  }\n  o[pair] = scales;\n}\n");
}
void wa__wgsl_table_row(wa_wgsl_emit *e, const char *name, uint32_t width)
{
    put(e, "fn table(row: u32, i: u32) -> vec4f {\n  let at = row * %uu; let w = %s[at + i]; let pair = unpack2x16float(%s[at + %uu + i / 16u]);\n", width / 4 + width / 64,
        name, name, width / 4);
    put(e, "  return vec4f(bitcast<vec4i>(vec4u(w << 24u, w << 16u, w << 8u, w)) >> vec4u(24u)) * select(pair.x, pair.y, (i & 8u) != 0u);\n}\n");
}

const wa_wgsl_row wa__wgsl_quant_upload = {"quant_upload", check, generate};
