/* Moving words, or floats where a side holds f16. GATHER: data [outer,V,inner], n indices -> [outer,n,inner]; an index below 0 counts
 * from the end. spec: 0 whether data is a table of 8 bit codes (base/quant_block.h)
 * of outer 1, 1 then its inner. params: {outer, V, inner, n}.
 * COPY: any strided copy (transpose, slice, concat, split, expand). spec: 0 of up to 6 dims, 1 of up to 8.
 * params: {count, in offset, out offset, 0} then for 6 dims {dims 0..3} {dims 4, 5, in strides 4, 5}
 * {in strides 0..3} {out strides 0..3} {out strides 4, 5, 0, 0}, for 8 two each of dims, in strides, out
 * strides; in words, strides may wrap below 0. */
#include "kernels/wgsl_int.h"

#define put wa__wgsl_put

static wa_status plain_check(uint32_t form, uint32_t forms, uint32_t code_count, uint32_t bindings, wa_wgsl_info *info, wa_error *err)
{
    if (code_count || form >= forms) return wa__fail(err, WA_VERIFY, "a copy has form %u", form);
    info->binding_count = bindings;
    info->write_mask = 1u << (bindings - 1);
    return WA_OK;
}
static wa_status gather_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    if (s[0] && (!s[1] || s[1] % 64 || s[1] > 1u << 20)) return wa__fail(err, WA_VERIFY, "gather: codes of rows of %u", s[1]);
    return plain_check(s[0], 2, code_count, 3, info, err);
}
static wa_status copy_check(const uint32_t *s, const uint32_t *code, uint32_t code_count, wa_wgsl_info *info, wa_error *err)
{
    (void)code;
    return plain_check(s[0], 2, code_count, 2, info, err);
}

static const char *word_of(const wa_wgsl_emit *e) { return e->half ? "f32" : "u32"; }
static uint32_t gather_halves(const uint32_t *s, const uint32_t *code, const wa_wgsl_info *info)
{
    (void)code, (void)info;
    return s[0] ? 4 : 5;
}
static uint32_t moved_halves(const uint32_t *s, const uint32_t *code, const wa_wgsl_info *info)
{
    (void)s, (void)code;
    return 1u | info->write_mask;
}

static void gather_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    (void)code;
    const char *word = s[0] ? "f32" : word_of(e);
    wa__wgsl_storage(e, 0, "x", s[0] ? "u32" : word, false);
    wa__wgsl_storage(e, 1, "ids", "i32", false);
    wa__wgsl_storage(e, 2, "o", word, true);
    wa__wgsl_params(e, 3, 1);
    if (s[0]) wa__wgsl_table_row(e, "x", s[1]);
    put(e, "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let d = p.a[0]; let i = g.y * (nw.x * 64u) + g.x;\n  if (i >= d.x * d.w * d.z) { return; }\n"
           "  var id = ids[i / d.z %% d.w]; if (id < 0) { id += i32(d.y); }\n");
    if (s[0]) put(e, "  o[i] = %s(table(u32(id), i %% d.z / 4u)[i & 3u]);\n}\n", wa__wgsl_held(e, 2, word));
    else put(e, "  o[i] = %s(x[(i / (d.z * d.w) * d.y + u32(id)) * d.z + i %% d.z]);\n}\n", wa__wgsl_held(e, 2, word));
}
const wa_wgsl_row wa__wgsl_gather = {"gather", gather_check, gather_generate, gather_halves};

static void copy_generate(const uint32_t *s, const uint32_t *code, wa_wgsl_emit *e)
{
    typedef struct place { unsigned dim, dc, is, ic, os, oc; } place;
    static const place six[6] = {
        {1, 0, 3, 0, 4, 0}, {1, 1, 3, 1, 4, 1}, {1, 2, 3, 2, 4, 2}, {1, 3, 3, 3, 4, 3}, {2, 0, 2, 2, 5, 0}, {2, 1, 2, 3, 5, 1}};
    static const place eight[8] = {{1, 0, 3, 0, 5, 0}, {1, 1, 3, 1, 5, 1}, {1, 2, 3, 2, 5, 2}, {1, 3, 3, 3, 5, 3},
                                   {2, 0, 4, 0, 6, 0}, {2, 1, 4, 1, 6, 1}, {2, 2, 4, 2, 6, 2}, {2, 3, 4, 3, 6, 3}};
    const place *at = s[0] ? eight : six;
    (void)code;
    wa__wgsl_storage(e, 0, "x", word_of(e), false);
    wa__wgsl_storage(e, 1, "o", word_of(e), true);
    wa__wgsl_params(e, 2, s[0] ? 7 : 6);
    put(e, "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) nw: vec3u) {\n"
           "  let i = g.y * (nw.x * 64u) + g.x;\n  if (i >= p.a[0].x) { return; }\n  var r = i; var src = p.a[0].y; var dst = p.a[0].z;\n");
    for (unsigned k = s[0] ? 8 : 6; k-- > 0;)
        put(e, "  { let n = r %% p.a[%u][%u]; r /= p.a[%u][%u]; src += n * p.a[%u][%u]; dst += n * p.a[%u][%u]; }\n", at[k].dim, at[k].dc, at[k].dim,
            at[k].dc, at[k].is, at[k].ic, at[k].os, at[k].oc);
    put(e, "  o[dst] = %s(x[src]);\n}\n", wa__wgsl_held(e, 1, word_of(e)));
}
const wa_wgsl_row wa__wgsl_copy = {"copy", copy_check, copy_generate, moved_halves};
