/* Rows of the WebGPU table about narrow types: casts to them, linear quantisation, packed codes. */
#include "base/quant.h"
#include "plan/plan_int.h"

/* --- casts ---------------------------------------------------------------------------------------- */
/* Types that the elementwise kernel does not round to. */
static bool narrow(wa_dtype d) { return wa__small_float(d) || wa__dtype_is_packed(d); }

static const char *cast_refuses(wa_plan_builder *b, const wa_node *n)
{
    return narrow(wa__gpu_type(b, n->outputs[0])->dtype) ? NULL : wa__gpu_elementwise_refuses(b, n);
}

static uint32_t mode_of(const wa_node *n)
{
    const wa_attr *m = wa__attr_find(n->attrs, n->attr_count, "round_mode");
    if (!m || m->kind != WA_ATTR_KIND_STRING) return WA_ROUND_UP;
    return wa__str_is(m->s, "down") ? WA_ROUND_DOWN : wa__str_is(m->s, "nearest") ? WA_ROUND_NEAREST : WA_ROUND_UP;
}

static wa_status cast_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *o = wa__gpu_type(b, n->outputs[0]);
    if (!narrow(o->dtype)) return wa__gpu_elementwise(b, node);
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_ROUND_TO);
    d.spec.spec[0] = wa__plan_device_dtype(wa__gpu_type(b, n->inputs[0])->dtype);
    d.spec.spec[1] = o->dtype;
    if (wa__small_float(o->dtype)) {
        d.spec.spec[2] = wa__node_int(n, "saturate", 1) != 0;
        d.spec.spec[3] = mode_of(n);
    }
    WA_TRY(wa__gpu_read(b, &d, n->inputs[0]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    d.params[0] = (uint32_t)wa__count(o);
    d.params_count = 4;
    wa__gpu_cover(&d, (uint64_t)wa__count(o), 64);
    return wa__gpu_end(b, &d, node, NULL);
}

/* --- linear quantisation ----------------------------------------------------------------------------- */
static bool layout_of(const wa_plan_builder *b, const wa_node *n, wa_quant_layout *q)
{
    return wa__quant_layout(wa__gpu_type(b, n->inputs[0]), wa__gpu_type(b, n->inputs[1]), wa__node_int(n, "axis", 1), wa__node_int(n, "block_size", 0), q);
}

static const char *linear_refuses(wa_plan_builder *b, const wa_node *n)
{
    wa_quant_layout q;
    return layout_of(b, n, &q) ? NULL : "this form of quantisation has no WebGPU kernel";
}

static wa_status linear_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    const wa_tensor_type *x = wa__gpu_type(b, n->inputs[0]), *o = wa__gpu_type(b, n->outputs[0]);
    bool quantize = n->op == WA_OP_QuantizeLinear, zero = n->input_count > 2 && n->inputs[2] != WA_NONE;
    wa_quant_layout q;
    if (!layout_of(b, n, &q)) return wa__fail(b->err, WA_INTERNAL, "a quantisation changed its mind");
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_QUANTIZE);
    uint32_t *s = d.spec.spec;
    wa_dtype precision = quantize ? wa__dtype_from_onnx(wa__node_int(n, "precision", 0)) : o->dtype;
    if (quantize && precision == WA_DTYPE_NONE) precision = wa__gpu_type(b, n->inputs[1])->dtype;
    s[0] = quantize;
    s[1] = wa__plan_device_dtype(x->dtype);
    s[2] = zero ? (uint32_t)wa__plan_device_dtype(wa__gpu_type(b, n->inputs[2])->dtype) : 0;
    s[3] = quantize || o->dtype == WA_F16 || o->dtype == WA_BF16 ? (uint32_t)o->dtype : (uint32_t)WA_F32;
    s[4] = quantize && wa__node_int(n, "saturate", 1) != 0;
    s[5] = wa__plan_device_dtype(wa__gpu_type(b, n->inputs[1])->dtype);
    s[6] = precision == WA_F16 || precision == WA_BF16 ? precision : WA_F32;
    for (uint32_t i = 0; i < (zero ? 3u : 2u); i++) WA_TRY(wa__gpu_read(b, &d, n->inputs[i]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    const int64_t p[8] = {wa__count(x), q.dim, q.inner, q.block, q.outer_stride, q.dim_stride, q.inner_stride, 0};
    for (unsigned k = 0; k < 8; k++) d.params[k] = (uint32_t)p[k];
    d.params_count = 8;
    wa__gpu_cover(&d, (uint64_t)wa__count(x), 64);
    return wa__gpu_end(b, &d, node, NULL);
}

/* --- packed codes -------------------------------------------------------------------------------------- */
enum { RAW_CODES = 1, RAW_ZEROS = 2, ZEROS = 4, ZERO_FLOAT = 8, GROUPS = 16, HIGH_FIRST = 32 };

static bool given(const wa_node *n, uint32_t i) { return i < n->input_count && n->inputs[i] != WA_NONE; }

static bool blocks_of(const wa_plan_builder *b, const wa_node *n, wa_quant_blocks *q)
{
    wa_tensor_type types[4] = {{WA_DTYPE_NONE, 0, {0}}};
    for (uint32_t i = 0; i < 4; i++)
        if (given(n, i)) types[i] = *wa__gpu_type(b, n->inputs[i]);
    return wa__quant_blocks(types, n->attrs, n->attr_count, q) && q->rows * q->row_bytes <= INT32_MAX;
}

static const char *blocks_refuses(wa_plan_builder *b, const wa_node *n)
{
    wa_quant_blocks q;
    if (given(n, 3) && wa__plan_device_dtype(wa__gpu_type(b, n->inputs[3])->dtype) != WA_I32) return "groups that are not signed integers";
    return blocks_of(b, n, &q) ? NULL : "packed codes of this size have no WebGPU kernel";
}

static wa_status bytes_read(wa_plan_builder *b, wa_gpu_dispatch *d, uint32_t value, uint32_t flag)
{
    if (!wa__gpu_is_raw(b, value)) return wa__gpu_read(b, d, value);
    d->spec.spec[0] |= flag;
    return wa__gpu_read_raw(b, d, value);
}

static wa_status blocks_lower(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    wa_quant_blocks q;
    if (!blocks_of(b, n, &q)) return wa__fail(b->err, WA_INTERNAL, "packed codes changed their mind");
    wa_gpu_dispatch d = wa__gpu_begin(b, WA_WGSL_UNPACK);
    uint32_t *s = d.spec.spec;
    s[0] = (given(n, 2) ? ZEROS : 0u) | (q.zero_float ? ZERO_FLOAT : 0u) | (given(n, 3) ? GROUPS : 0u) | (q.high_first ? HIGH_FIRST : 0u);
    s[1] = q.bits;
    s[2] = q.table;
    s[3] = given(n, 2) ? 0 : (uint32_t)q.zero;
    WA_TRY(bytes_read(b, &d, n->inputs[0], RAW_CODES));
    WA_TRY(wa__gpu_read(b, &d, n->inputs[1]));
    if (given(n, 2)) WA_TRY(q.zero_float ? wa__gpu_read(b, &d, n->inputs[2]) : bytes_read(b, &d, n->inputs[2], RAW_ZEROS));
    if (given(n, 3)) WA_TRY(wa__gpu_read(b, &d, n->inputs[3]));
    WA_TRY(wa__gpu_write(b, &d, n->outputs[0]));
    const int64_t p[8] = {q.rows, q.cols, q.block, q.blocks, q.row_bytes, q.zero_bytes, 0, 0};
    for (unsigned k = 0; k < 8; k++) d.params[k] = (uint32_t)p[k];
    d.params_count = 8;
    wa__gpu_cover(&d, (uint64_t)(q.rows * q.cols), 64);
    return wa__gpu_end(b, &d, node, NULL);
}

const wa_gpu_row wa__gpu_quant_rows[] = {
    {WA_OP_Cast, cast_refuses, cast_lower},
    {WA_OP_QuantizeLinear, linear_refuses, linear_lower},
    {WA_OP_DequantizeLinear, linear_refuses, linear_lower},
    {WA_OP_DequantizeBlocks, blocks_refuses, blocks_lower},
    {WA_OP_NONE, NULL, NULL},
};
