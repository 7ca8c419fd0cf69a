/* The table of WGSL kernels (a kernel is a row), and what the generators share. Ids are stable: they
 * stand in plans. Specs may come from hostile plans: check runs before generate, always. */
#include "kernels/wgsl_int.h"
#include <stdarg.h>
#include <stdio.h>

static const wa_wgsl_row *const rows[] = {
    [WA_WGSL_MATMUL] = &wa__wgsl_matmul, [WA_WGSL_MATMUL_ANY] = &wa__wgsl_matmul_any, [WA_WGSL_ATTENTION] = &wa__wgsl_attention,
    [WA_WGSL_ROWS] = &wa__wgsl_rows, [WA_WGSL_POOL] = &wa__wgsl_pool, [WA_WGSL_REDUCE] = &wa__wgsl_reduce,
    [WA_WGSL_ELEMENTWISE] = &wa__wgsl_elementwise, [WA_WGSL_GATHER] = &wa__wgsl_gather, [WA_WGSL_COPY] = &wa__wgsl_copy,
    [WA_WGSL_TRANSFORM] = &wa__wgsl_transform_row,
    [WA_WGSL_MATMUL_STRAIGHT] = &wa__wgsl_matmul_straight, [WA_WGSL_MATMUL_STAGED] = &wa__wgsl_matmul_staged,
    [WA_WGSL_ATTENTION_STAGED] = &wa__wgsl_attention_staged, [WA_WGSL_POOL_SHARED] = &wa__wgsl_pool_shared,
    [WA_WGSL_MATMUL_BATCHED] = &wa__wgsl_matmul_batched,
    [WA_WGSL_RECURRENCE] = &wa__wgsl_recurrence, [WA_WGSL_LINEAR_SCAN] = &wa__wgsl_linear_scan, [WA_WGSL_PHILOX] = &wa__wgsl_philox,
    [WA_WGSL_CUMULATE] = &wa__wgsl_cumulate,
    [WA_WGSL_CONV] = &wa__wgsl_conv, [WA_WGSL_CONV_ANY] = &wa__wgsl_conv_any, [WA_WGSL_CONV_DEPTHWISE] = &wa__wgsl_conv_depthwise,
    [WA_WGSL_WINDOW_POOL] = &wa__wgsl_window_pool, [WA_WGSL_AXIS_TAPS] = &wa__wgsl_axis_taps,
    [WA_WGSL_GRID_SAMPLE] = &wa__wgsl_grid_sample, [WA_WGSL_DEFORM_CONV] = &wa__wgsl_deform_conv, [WA_WGSL_ROI] = &wa__wgsl_roi,
    [WA_WGSL_MATMUL_TILES] = &wa__wgsl_matmul_tiles, [WA_WGSL_ATTENTION_TILES] = &wa__wgsl_attention_tiles,
    [WA_WGSL_ROUND_TO] = &wa__wgsl_round_to, [WA_WGSL_QUANTIZE] = &wa__wgsl_quantize, [WA_WGSL_UNPACK] = &wa__wgsl_unpack,
    [WA_WGSL_QUANT_ROWS] = &wa__wgsl_quant_rows, [WA_WGSL_MATMUL_QUANT] = &wa__wgsl_matmul_quant, [WA_WGSL_QUANT_UPLOAD] = &wa__wgsl_quant_upload,
    [WA_WGSL_PICK] = &wa__wgsl_pick, [WA_WGSL_SCATTER] = &wa__wgsl_scatter, [WA_WGSL_PAD] = &wa__wgsl_pad,
    [WA_WGSL_GENERATE] = &wa__wgsl_generate_row, [WA_WGSL_PLACE] = &wa__wgsl_place, [WA_WGSL_TOPK] = &wa__wgsl_topk,
    [WA_WGSL_COMPACT] = &wa__wgsl_compact, [WA_WGSL_UNIQUE] = &wa__wgsl_unique, [WA_WGSL_NMS] = &wa__wgsl_nms, [WA_WGSL_SQUARE] = &wa__wgsl_square,
};

void wa__wgsl_put(wa_wgsl_emit *e, const char *format, ...)
{
    char text[2048];
    va_list args;
    if (e->status != WA_OK) return;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text) e->status = wa__fail(e->err, WA_INTERNAL, "a line of a shader is too long");
    else e->status = wa__buf_append(e->out, text, (size_t)n, e->err);
}

void wa__wgsl_storage(wa_wgsl_emit *e, uint32_t index, const char *name, const char *element, bool write)
{
    wa__wgsl_put(e, "@group(0) @binding(%u) var<storage, %s> %s: array<%s>;\n", index, write ? "read_write" : "read", name,
                 wa__wgsl_held(e, index, element));
}

const char *wa__wgsl_held(const wa_wgsl_emit *e, uint32_t index, const char *element)
{
    if (!(e->half >> index & 1)) return element;
    return strcmp(element, "vec4f") == 0 ? "vec4h" : strcmp(element, "f32") == 0 ? "f16" : element;
}

void wa__wgsl_params(wa_wgsl_emit *e, uint32_t index, uint32_t n)
{
    wa__wgsl_put(e, "struct Params { a: array<vec4u, %u> }\n@group(0) @binding(%u) var<uniform> p: Params;\n", n, index);
}

/* W. J. Cody's rational approximations would need a branch a lane; one polynomial in t = 1/(1+p|x|)
 * (Abramowitz and Stegun 7.1.26) errs by 1.5e-7, below what f32 sums of a product lose. */
void wa__wgsl_erf(wa_wgsl_emit *e, const char *type)
{
    wa__wgsl_put(e,
        "fn erf_(x: %s) -> %s {\n  let a = abs(x); let t = 1.0 / (1.0 + 0.3275911 * a);\n"
        "  let y = 1.0 - ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t * exp(-a * a);\n"
        "  return select(y, -y, x < %s(0.0));\n}\n", type, type, type);
}

void wa__wgsl_activation(wa_wgsl_emit *e, uint32_t act, const char *type)
{
    static const char *const body[] = {
        "x", "0.5 * x * (1.0 + erf_(x * 0.70710678))", "x * logistic(1.5957691 * (x + 0.044715 * x * x * x))", "max(x, Z)",
        "1.0 - 2.0 * logistic(-2.0 * x)", "logistic(x)", "x * logistic(x)"};
    if (!act) return;
    if (act == 1) wa__wgsl_erf(e, type);
    if (act == 3) wa__wgsl_put(e, "const Z = %s(0.0);\n", type);
    if (act == 2 || act >= 4) /* clamped, so that exp stays finite */
        wa__wgsl_put(e, "const H = %s(88.0);\nfn logistic(x: %s) -> %s { return 1.0 / (1.0 + exp(clamp(-x, -H, H))); }\n", type, type, type);
    wa__wgsl_put(e, "fn activate(x: %s) -> %s { return %s; }\n", type, type, body[act]);
}

wa_status wa__wgsl_check(const wa_wgsl_spec *s, const uint32_t *code, wa_wgsl_info *info, wa_error *err)
{
    wa_wgsl_info local = {0};
    if (s->kernel >= sizeof rows / sizeof *rows || !rows[s->kernel]) return wa__fail(err, WA_VERIFY, "unknown kernel %u", s->kernel);
    const wa_wgsl_row *row = rows[s->kernel];
    WA_TRY(row->check(s->spec, s->code_count ? code + s->code_offset : NULL, s->code_count, &local, err));
    local.name = row->name;
    if (s->half) {
        if (s->half & ~(row->halves ? row->halves(s->spec, s->code_count ? code + s->code_offset : NULL, &local) : 0u))
            return wa__fail(err, WA_VERIFY, "%s: bindings %#x cannot hold 16-bit floats", row->name, s->half);
        local.features |= WA_FEATURE_F16;
    }
    if (info) *info = local;
    return WA_OK;
}

wa_status wa__wgsl_generate(const wa_wgsl_spec *s, const uint32_t *code, wa_buf *out, wa_error *err)
{
    wa_wgsl_emit e = {out, err, WA_OK, s->half};
    wa_wgsl_info info;
    WA_TRY(wa__wgsl_check(s, code, &info, err));
    if (info.features & WA_FEATURE_F16) wa__wgsl_put(&e, "enable f16;\n");
    rows[s->kernel]->generate(s->spec, s->code_count ? code + s->code_offset : NULL, &e);
    return e.status;
}
