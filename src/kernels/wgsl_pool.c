/* POOL: tokens x [b,s,D] to [b,D]: mean over a mask, first token, maximum over a mask. One invocation
 * a column of a sentence. spec: 0 mode (0 mean, 1 cls, 2 max), 1 mask dtype. params: {b, s, D, 0}. */
#include "kernels/wgsl_int.h"

#define put wa__wgsl_put

static wa_status pool_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (code_count || s[0] > 2 || (s[0] != 1 && s[1] != WA_I32 && s[1] != WA_U32 && s[1] != WA_F32))
        return wa__fail(err, WA_VERIFY, "pool: mode %u, mask dtype %u", s[0], s[1]);
    info->binding_count = s[0] == 1 ? 2 : 3;
    info->write_mask = 1u << (info->binding_count - 1);
    return WA_OK;
}

static void pool_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    uint32_t b = 0;
    wa__wgsl_storage(e, b++, "x", "f32", false);
    if (s[0] != 1) wa__wgsl_storage(e, b++, "mask", s[1] == WA_I32 ? "i32" : s[1] == WA_U32 ? "u32" : "f32", false);
    wa__wgsl_storage(e, b++, "o", "f32", true);
    wa__wgsl_params(e, b, 1);
    put(e, "@compute @workgroup_size(32)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let d = p.a[0]; let i = g.y * (nw.x * 32u) + g.x;\n  if (i >= d.x * d.z) { return; }\n"
           "  let z = i / d.z; let at = z * d.y * d.z + i %% d.z;\n");
    const char *held = wa__wgsl_held(e, b - 1, "f32");
    if (s[0] == 1) put(e, "  o[i] = %s(x[at]);\n}\n", held);
    if (s[0] == 0)
        put(e, "  var sum = 0f; var n = 0f;\n  for (var t = 0u; t < d.y; t++) { let m = f32(mask[z * d.y + t]); n += m; sum += f32(x[at + t * d.z]) * m; }\n"
               "  o[i] = %s(sum / max(n, 1e-9));\n}\n", held);
    if (s[0] == 2)
        put(e, "  var top = -3.4028234e38f;\n  for (var t = 0u; t < d.y; t++) { if (f32(mask[z * d.y + t]) != 0.0) { top = max(top, f32(x[at + t * d.z])); } }\n"
               "  o[i] = %s(top);\n}\n", held);
}
static uint32_t pool_halves(const uint32_t *s, const uint32_t *code, const wa_wgsl_info *info)
{
    (void)code, (void)info;
    return s[0] == 1 ? 3 : 5;
}
const wa_wgsl_row wa__wgsl_pool = {"pool", pool_check, pool_generate, pool_halves};
