/* Every WGSL kernel: small graphs planned for WebGPU must use no CPU segment, generate text that
 * another batch does not change, and (tests/e2e/wgsl_check.py, WA_WGSL_DUMP) give the reference's numbers
 * in a browser: this program writes plans, inputs and expected outputs as JSON for it. */
#include "tests.h"
#include "base/quant_block.h"
#include "plan/plan_int.h"
#include <math.h>
#include <stdlib.h>

static uint8_t file_bytes[1 << 20];
static FILE *dump;
static bool software;
static bool halved; /* activations and weights as f16: inputs and outputs go through a Neg, whose other side is f16 */
static unsigned code_bits; /* 8 or 4: weights are codes; floats then are such that every block of 32 has its exact scale */
static bool dots; /* the adapter multiplies packed codes */
static unsigned cases_done, half_cases, code_cases;
static wa_gpu_tile_row forced[2]; /* tiles of the next case's products */
static uint32_t attention_groups; /* see wa_plan_target */
static uint32_t forced_count, dispatches_wanted; /* dispatches_wanted 0: any number */
static bool matrices; /* plan for subgroup matrices: only an adapter that has them runs these cases */
static unsigned matrix_kernels[3]; /* products, attentions, norms over tiles seen in plans */

/* --- graphs -------------------------------------------------------------------------------------- */
typedef struct model {
    wa_graph *g;
    uint32_t inputs[8];
    unsigned input_count;
    size_t used; /* of file_bytes */
    uint32_t seed;
    double tolerance;
} model;

/* Half cases take floats that f16 holds: what is left is the rounding of what a kernel writes. */
static float next_float(model *m)
{
    m->seed = m->seed * 1664525u + 1013904223u;
    float f = (float)((double)(m->seed >> 8) / 8388608.0 - 1.0);
    return halved ? wa__f16_to_f32(wa__f32_to_f16(f)) : f;
}
/* A code over a power of two: half of them are the largest, so that no block of 32 is without one. */
static float next_code(model *m, unsigned width)
{
    float f = next_float(m);
    bool largest = next_float(m) > 0;
    if (width == 4) return (largest ? -8.0f : floorf(f * 8)) / 8;
    return (largest ? (f < 0 ? -127.0f : 127.0f) : rintf(f * 127)) / 128;
}
static wa_tensor_type shape(wa_dtype d, uint32_t rank, const int64_t *dims)
{
    wa_tensor_type t = {.dtype = d, .rank = rank};
    for (uint32_t i = 0; i < rank; i++) t.dims[i] = dims[i];
    return t;
}
#define SHAPE(d, ...) shape(d, sizeof((int64_t[]){__VA_ARGS__}) / 8, (int64_t[]){__VA_ARGS__})

static model start(void)
{
    model m = {.seed = 7, .tolerance = 2e-5};
    wa_error err = {0};
    assert_ok(wa__graph_create(&m.g, &err), err);
    wa__graph_source(m.g, wa__str("weights"), file_bytes, sizeof file_bytes);
    return m;
}
static uint32_t op1(model *m, wa_op op, const uint32_t *in, uint32_t n);
static uint32_t input(model *m, wa_tensor_type t)
{
    char name[16];
    snprintf(name, sizeof name, "in%u", m->input_count);
    uint32_t id = m->inputs[m->input_count++] = wa__graph_input(m->g, wa__str(name), &t);
    return halved && t.dtype == WA_F32 ? op1(m, WA_OP_Neg, &id, 1) : id;
}
/* A weight of small whole or random values in any type. */
static uint32_t weight(model *m, wa_tensor_type t)
{
    int64_t n = 0;
    assert_true(wa__type_count(&t, &n));
    m->used = (m->used + 15) & ~(size_t)15;
    wa_view v = {t, file_bytes + m->used};
    for (int64_t i = 0; i < n; i++) {
        if (wa__dtype_is_float(t.dtype)) wa__set_f64(&v, i, code_bits && t.rank == 2 ? next_code(m, code_bits) : next_float(m));
        else wa__set_i64(&v, i, t.dtype == WA_BOOL ? i & 1 : i % 3);
    }
    uint32_t id = wa__graph_const(m->g, wa__str(""), &t, v.data, 0);
    m->used += (size_t)wa__bytes(&t);
    return id;
}
static uint32_t node_of(model *m, uint32_t value) { return m->g->values[value].producer; }
static uint32_t raw(model *m, wa_op op, const uint32_t *in, uint32_t n, uint32_t outputs)
{
    uint32_t node = wa__graph_node(m->g, op, wa__str(""), in, n, outputs);
    m->g->nodes[node].opset = *wa__op_info(op)->domain ? 0 : 17;
    return node;
}
static uint32_t op1(model *m, wa_op op, const uint32_t *in, uint32_t n)
{
    uint32_t node = raw(m, op, in, n, 1);
    return m->g->nodes[node].outputs[0];
}
#define OP(m, op, ...) op1(m, op, (uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / 4)
static void set_int(model *m, uint32_t value, const char *name, int64_t v) { wa__node_set_int(m->g, node_of(m, value), name, v); }
static void set_float(model *m, uint32_t value, const char *name, float v) { wa__node_set_float(m->g, node_of(m, value), name, v); }

/* --- the reference -------------------------------------------------------------------------------- */
static void fill_input(model *m, wa_view *v, unsigned i)
{
    for (int64_t k = 0; k < wa__count(&v->type); k++) {
        if (wa__dtype_is_float(v->type.dtype)) wa__set_f64(v, k, code_bits ? next_code(m, 8) : next_float(m) * 2);
        else if (v->type.dtype == WA_BOOL) wa__set_i64(v, k, (k + i) & 1);
        else wa__set_i64(v, k, (k * 7 + 1 + i) % 3);
    }
}

static wa_view *reference(model *m)
{
    wa_graph *g = m->g;
    wa_error err = {0};
    wa_view *v = calloc(g->value_count, sizeof *v);
    for (uint32_t i = 0; i < g->value_count; i++) {
        v[i].type = g->values[i].type;
        if (g->values[i].kind == WA_VALUE_CONST) v[i].data = (void *)(uintptr_t)g->values[i].data;
        else v[i].data = calloc((size_t)wa__bytes(&v[i].type) + 16, 1);
    }
    for (unsigned i = 0; i < m->input_count; i++) fill_input(m, &v[m->inputs[i]], i);
    for (uint32_t i = 0; i < g->node_count; i++) {
        wa_node *n = &g->nodes[i];
        wa_view in[9] = {0}, out[8];
        for (uint32_t k = 0; k < n->input_count; k++)
            if (n->inputs[k] != WA_NONE) in[k] = v[n->inputs[k]];
        for (uint32_t k = 0; k < n->output_count; k++) out[k] = v[n->outputs[k]];
        wa_kernel_args a = {.op = n->op, .opset = n->opset, .attrs = n->attrs, .attr_count = n->attr_count, .in = in, .in_count = n->input_count,
                            .out = out, .out_count = n->output_count};
        wa_kernel_fn fn = wa__kernel_ref(n->op);
        assert_non_null(fn);
        assert_ok(fn(&a, &err), err);
    }
    return v;
}

/* --- JSON ------------------------------------------------------------------------------------------- */
static void hex(const void *p, size_t n)
{
    fputc('"', dump);
    for (size_t i = 0; i < n; i++) fprintf(dump, "%02x", ((const uint8_t *)p)[i]);
    fputc('"', dump);
}
/* A host tensor as the device's 4-byte words. */
static void device_words(const wa_view *v)
{
    int64_t n = wa__count(&v->type);
    wa_view w = {v->type, calloc((size_t)n + 1, 4)};
    w.type.dtype = wa__plan_device_dtype(v->type.dtype);
    for (int64_t i = 0; i < n; i++) {
        if (w.type.dtype == WA_F32) wa__set_f64(&w, i, wa__get_f64(v, i));
        else wa__set_i64(&w, i, wa__get_i64(v, i));
    }
    hex(w.data, (size_t)n * 4);
    free(w.data);
}
static void dump_text(const wa_wgsl_spec *s, const uint32_t *code)
{
    wa_buf b;
    wa_error err = {0};
    wa__buf_init(&b, 1 << 22);
    assert_ok(wa__wgsl_generate(s, code, &b, &err), err);
    fputc('"', dump);
    for (size_t i = 0; i < b.len; i++) {
        if (b.ptr[i] == '\n') fputs("\\n", dump);
        else fputc(b.ptr[i], dump);
    }
    fputc('"', dump);
    wa__buf_done(&b);
}
static void dump_uploads(const wa_plan *p)
{
    bool first = true;
    fprintf(dump, "],\n\"uploads\":[");
    for (uint32_t i = 0; i < p->weight_count; i++) {
        const wa_plan_weight *w = &p->weights[i];
        if (w->buffer == WA_NONE || p->buffers[w->buffer].target != WA_TARGET_WEBGPU) continue;
        fprintf(dump, "%s{\"buffer\":%u,\"dst\":%llu,\"bytes\":", first ? "" : ",", w->buffer, (unsigned long long)w->dst_offset);
        hex((w->source == WA_NONE ? p->data : file_bytes) + w->offset, (size_t)w->length);
        if (w->transform != WA_TRANSFORM_NONE) {
            wa_plan_upload u;
            wa__plan_upload_of(p, i, &u);
            fprintf(dump, ",\"p\":[%u,%u,%u,%u],\"unit\":%u,\"items\":%u,\"extra\":%u,\"at\":%llu,\"size\":%llu,\"wgsl\":", u.rows, u.cols, u.ld, u.word, u.unit, u.items, u.extra,
                    (unsigned long long)u.bind_offset, (unsigned long long)u.bind_size);
            dump_text(&u.spec, NULL);
        }
        fputc('}', dump);
        first = false;
    }
}
static void dump_case(const char *name, const model *m, const wa_plan *p, const wa_view *v)
{
    fprintf(dump, "%s{\"name\":\"%s%s%s\",\"matrices\":%s,\"half\":%s,\"dots\":%s,\"tolerance\":%g,\"buffers\":[", cases_done ? ",\n" : "", name, software ? " (software)" : "",
            halved ? " (half)" : "", matrices ? "true" : "false", halved ? "true" : "false", dots ? "true" : "false", m->tolerance);
    for (uint32_t i = 0; i < p->buffer_count; i++)
        fprintf(dump, "%s%llu", i ? "," : "", p->buffers[i].target == WA_TARGET_WEBGPU ? (unsigned long long)p->buffers[i].size : 0);
    dump_uploads(p);
    fprintf(dump, "],\n\"params\":%u,\"data\":", p->info.params_buffer);
    hex(p->data + p->info.params_data, (size_t)p->info.params_length);
    fprintf(dump, ",\n\"pipelines\":[");
    for (uint32_t i = 0; i < p->pipeline_count; i++) {
        if (i) fputc(',', dump);
        dump_text(&p->pipelines[i].spec, p->code);
    }
    fprintf(dump, "],\n\"dispatches\":[");
    for (uint32_t i = 0; i < p->dispatch_count; i++) {
        const wa_plan_dispatch *d = &p->dispatches[i];
        fprintf(dump, "%s{\"pipeline\":%u,\"grid\":[%u,%u,%u],\"at\":%u,\"size\":%u,\"binds\":[", i ? "," : "", d->pipeline, d->grid[0], d->grid[1],
                d->grid[2], d->params_offset, d->params_size);
        for (uint32_t k = 0; k < d->bind_count; k++) {
            const wa_plan_bind *b = &p->binds[d->bind_first + k];
            fprintf(dump, "%s[%u,%llu,%llu]", k ? "," : "", b->buffer, (unsigned long long)b->offset, (unsigned long long)b->size);
        }
        fprintf(dump, "]}");
    }
    fprintf(dump, "],\n\"ios\":[");
    for (uint32_t i = 0, in = 0, out = 0; i < p->io_count; i++) {
        const wa_plan_io *io = &p->ios[i];
        uint32_t value = io->is_output ? m->g->outputs[out++] : m->g->inputs[in++];
        fprintf(dump, "%s{\"output\":%u,\"float\":%d,\"buffer\":%u,\"offset\":%llu,\"length\":%llu,\"words\":", i ? "," : "", io->is_output,
                io->device_dtype == WA_F32, io->buffer, (unsigned long long)io->offset, (unsigned long long)io->length);
        device_words(&v[value]);
        fputc('}', dump);
    }
    fprintf(dump, "]}");
}

static void finish(model *m, uint32_t output, const char *name)
{
    wa_error err = {0};
    wa_plan *p = NULL;
    wa_plan_options o = {.target = {.target = WA_TARGET_WEBGPU, .software = software, .features = (halved ? WA_FEATURE_F16 : 0u) | (dots ? WA_FEATURE_DOT8 : 0u) |
                                    (matrices ? WA_FEATURE_SUBGROUPS | WA_FEATURE_SUBGROUP_MATRIX | WA_FEATURE_MATRIX_F16 : 0u), .workgroup_bytes = matrices ? 49152 : 0, .invocations = matrices ? 1024 : 0, .tiles = forced, .tile_count = forced_count, .attention_groups = attention_groups},
                         .precision = code_bits ? code_bits : halved ? 16 : 32};
    for (uint32_t i = 0; i < m->g->node_count; i++) {
        wa_status s = wa__graph_infer_node(m->g, i, &err);
        if (s != WA_OK) fail_msg("%s: %s", name, err.message);
    }
    if (halved && m->g->values[output].type.dtype == WA_F32) {
        output = op1(m, WA_OP_Neg, &output, 1);
        if (wa__graph_infer_node(m->g, node_of(m, output), &err) != WA_OK) fail_msg("%s: %s", name, err.message);
        m->tolerance = m->tolerance > 1.5e-3 ? m->tolerance : 1.5e-3;
    }
    assert_true(wa__graph_output(m->g, output));
    wa_status s = wa__plan_build(m->g, &o, &p, &err);
    if (s != WA_OK) fail_msg("%s: %s", name, err.message);
    if (dispatches_wanted && p->dispatch_count != dispatches_wanted) fail_msg("%s: %u dispatches, not %u", name, p->dispatch_count, dispatches_wanted);
    for (uint32_t i = 0; i < p->segment_count; i++)
        if (p->segments[i].target != WA_TARGET_WEBGPU) fail_msg("%s runs on the CPU: %s", name, wa__plan_text(p, p->segments[i].reason));
    if (dump) {
        wa_view *v = reference(m);
        dump_case(name, m, p, v);
        for (uint32_t i = 0; i < m->g->value_count; i++)
            if (m->g->values[i].kind != WA_VALUE_CONST) free(v[i].data);
        free(v);
    }
    cases_done++;
    for (uint32_t i = 0; i < p->pipeline_count; i++)
        if (p->pipelines[i].spec.half && p->pipelines[i].spec.kernel != WA_WGSL_ELEMENTWISE) {
            half_cases++;
            break;
        }
    for (uint32_t i = 0; i < p->weight_count; i++) code_cases += wa__plan_quant_transform(p->weights[i].transform);
    for (uint32_t i = 0; i < p->pipeline_count; i++) {
        uint32_t k = p->pipelines[i].spec.kernel;
        if (k == WA_WGSL_MATMUL_TILES) matrix_kernels[p->pipelines[i].spec.spec[6] == WA_WGSL_TILES_NORM ? 2 : 0]++;
        if (k == WA_WGSL_ATTENTION_TILES) matrix_kernels[1]++;
    }
    wa__plan_free(p);
    wa__graph_free(m->g);
}

/* --- cases ------------------------------------------------------------------------------------------ */
static void products(void)
{
    static const int64_t sizes[][3] = {{1, 4, 4}, {5, 12, 20}, {8, 64, 96}, {17, 7, 9}, {3, 6, 8}, {9, 8, 5}, {40, 384, 36}};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (unsigned act = 0; act < 7; act++) {
            model one = start(), *m = &one;
            int64_t M = sizes[i][0], K = sizes[i][1], N = sizes[i][2];
            bool trans = act & 1;
            uint32_t x = input(m, SHAPE(WA_F32, 1, M, K)), w = weight(m, trans ? SHAPE(WA_F32, N, K) : SHAPE(WA_F32, K, N));
            uint32_t bias = act % 3 ? weight(m, SHAPE(WA_F32, N)) : WA_NONE, skip = act > 2 ? input(m, SHAPE(WA_F32, 1, M, N)) : WA_NONE;
            uint32_t y = OP(m, WA_OP_FusedMatMul, x, w, bias, skip);
            set_int(m, y, "act", act);
            set_int(m, y, "transB", trans);
            if (act == 4) set_float(m, y, "alpha", 0.5f);
            char name[64];
            snprintf(name, sizeof name, "matmul %dx%dx%d act %u", (int)M, (int)K, (int)N, act);
            m->tolerance = 1e-4;
            finish(m, y, name);
        }
    }
}

/* Weights as codes, of every layout and type; the reference's numbers come out exactly but for sums' rounding. */
static void coded_products(void)
{
    static const int64_t sizes[][3] = {{1, 32, 8}, {1, 1024, 36}, {5, 96, 14}, {17, 64, 40}, {40, 384, 30}, {300, 64, 72}};
    static const wa_dtype types[] = {WA_F32, WA_F16, WA_BF16};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (unsigned form = (i + dots + software) & 1; form < 4; form += 2) { /* a pipeline each: half of them a pass */
            model one = start(), *m = &one;
            int64_t M = sizes[i][0], K = sizes[i][1], N = sizes[i][2];
            bool trans = form >> 1 != (form & 1);
            wa_dtype type = types[(i + form) % 3];
            uint32_t x = input(m, SHAPE(WA_F32, 1, M, K)), w = weight(m, trans ? SHAPE(type, N, K) : SHAPE(type, K, N));
            if (type != WA_F32) set_int(m, w = OP(m, WA_OP_Cast, w), "to", WA_F32);
            uint32_t bias = form > 1 ? weight(m, SHAPE(WA_F32, N)) : WA_NONE, skip = form == 3 ? input(m, SHAPE(WA_F32, 1, M, N)) : WA_NONE;
            uint32_t y = OP(m, WA_OP_FusedMatMul, x, w, bias, skip);
            set_int(m, y, "act", form == 2 ? 1 : 0);
            set_int(m, y, "transB", trans);
            if (form == 3) set_float(m, y, "alpha", 0.5f);
            char name[64];
            snprintf(name, sizeof name, "%u bits%s %dx%dx%d form %u", code_bits, dots ? " dots" : "", (int)M, (int)K, (int)N, form);
            m->tolerance = 1e-4;
            finish(m, y, name);
        }
    }
    if (code_bits == 4) return; /* the second of two products would have 8 bits, its weights scales of 4 */
    model one = start(), *m = &one; /* three side by side, read by two products: one activation of 8 bits */
    uint32_t x = input(m, SHAPE(WA_F32, 3, 64)), part[3];
    for (unsigned k = 0; k < 3; k++) part[k] = weight(m, SHAPE(WA_F32, 64, 24));
    uint32_t w = OP(m, WA_OP_Concat, part[0], part[1], part[2]);
    set_int(m, w, "axis", 1);
    uint32_t first = OP(m, WA_OP_MatMul, x, w), second = OP(m, WA_OP_MatMul, x, weight(m, SHAPE(WA_F32, 64, 72)));
    finish(m, OP(m, WA_OP_Sub, first, second), "codes side by side");
}

static void coded_tables(void)
{
    for (unsigned i = 0; i < 3; i++) {
        model one = start(), *m = &one;
        int64_t D = i == 1 ? 192 : 64;
        uint32_t ids = input(m, SHAPE(WA_I64, 2, 5)), table = weight(m, SHAPE(i == 2 ? WA_F16 : WA_F32, 70, D)), y;
        if (i == 2) set_int(m, table = OP(m, WA_OP_Cast, table), "to", WA_F32);
        if (i == 0) {
            y = OP(m, WA_OP_Gather, table, ids);
        } else {
            uint32_t position = weight(m, SHAPE(WA_F32, 9, D)), gamma = weight(m, SHAPE(WA_F32, D)), beta = weight(m, SHAPE(WA_F32, D));
            y = OP(m, WA_OP_EmbedLayerNorm, ids, WA_NONE, table, position, WA_NONE, gamma, beta);
        }
        finish(m, y, i ? "embedding of codes" : "gather of codes");
    }
}

/* The CPU's twin and its inverse, at a block's edges. */
static void blocks_of_codes(void **state)
{
    (void)state;
    for (unsigned b = 4; b <= 8; b += 4) {
        float x[WA_QUANT_BLOCK], back[WA_QUANT_BLOCK];
        int8_t codes[WA_QUANT_BLOCK];
        uint32_t words[200] = {0}, ld = wa__quant_ld(10);
        uint16_t scale;
        for (unsigned i = 0; i < WA_QUANT_BLOCK; i++) x[i] = 0.01f * (float)((int)(i * 37 % 31) - 15);
        wa__quant_block(x, b, &scale, codes);
        wa__quant_place(words, b, ld, 0, 9, scale, codes);
        wa__quant_get(words, b, ld, 0, 9, back);
        for (unsigned i = 0; i < WA_QUANT_BLOCK; i++)
            if (!(fabsf(back[i] - x[i]) <= (b == 8 ? 0.0007f : 0.0191f))) fail_msg("%u bits: element %u is %g, not %g", b, i, (double)back[i], (double)x[i]);
        memset(x, 0, sizeof x);
        wa__quant_block(x, b, &scale, codes);
        assert_int_equal(scale & 0x7fff, 0);
        assert_int_equal(codes[5], 0);
    }
}

static void other_products(void)
{
    static const wa_dtype types[] = {WA_F32, WA_F16, WA_BF16, WA_F64};
    for (unsigned i = 0; i < 4; i++) { /* three weights side by side, one transposed, through every widening */
        model one = start(), *m = &one;
        uint32_t part[3];
        uint32_t x = input(m, SHAPE(WA_F32, 2, 3, 8));
        for (unsigned k = 0; k < 3; k++) {
            part[k] = weight(m, SHAPE(types[i], 8, 8));
            if (types[i] != WA_F32) {
                part[k] = OP(m, WA_OP_Cast, part[k]);
                set_int(m, part[k], "to", WA_F32);
            }
            if (k == 1) part[k] = OP(m, WA_OP_Transpose, part[k]);
        }
        uint32_t w = OP(m, WA_OP_Concat, part[0], part[1], part[2]), y;
        set_int(m, w, "axis", 1);
        y = OP(m, WA_OP_FusedMatMul, x, w);
        set_int(m, y, "splits", 3);
        if (i == 3) { /* the planner keeps 64-bit floats off the GPU unless they are widened */
            wa__graph_free(m->g);
            continue;
        }
        finish(m, y, i == 0 ? "qkv f32" : i == 1 ? "qkv f16" : "qkv bf16");
    }
    model one = start(), *m = &one;
    uint32_t a = input(m, SHAPE(WA_F32, 2, 3, 4, 5)), b = input(m, SHAPE(WA_F32, 2, 3, 5, 6)), y;
    finish(m, OP(m, WA_OP_MatMul, a, b), "batched product");
    static const int64_t shapes[][3] = {{33, 40, 17}, {70, 19, 35}, {18, 33, 64}, {9, 5, 6}, {1, 40, 33}, {40, 40, 1}}; /* m, n, k */
    for (unsigned i = 0; i < 3; i++) { /* vectors */
        one = start();
        a = i == 1 ? input(m, SHAPE(WA_F32, 2, 5, 19)) : input(m, SHAPE(WA_F32, 19));
        b = i == 0 ? input(m, SHAPE(WA_F32, 3, 19, 21)) : input(m, SHAPE(WA_F32, 19));
        m->tolerance = 1e-4;
        finish(m, OP(m, WA_OP_MatMul, a, b), "product with a vector");
    }
    for (unsigned i = 0; i < sizeof shapes / sizeof *shapes * 4; i++) { /* batches that either side repeats, transposes, whole numbers */
        one = start();
        int64_t M = shapes[i / 4][0], N = shapes[i / 4][1], K = shapes[i / 4][2];
        wa_dtype t = i % 4 == 3 ? WA_I32 : WA_F32;
        if (i % 4 == 0) y = OP(m, WA_OP_MatMul, input(m, SHAPE(t, 2, 1, 3, M, K)), input(m, SHAPE(t, 2, 1, K, N)));
        else if (i % 4 == 1) y = OP(m, WA_OP_MatMul, input(m, SHAPE(t, 3, M, K)), input(m, SHAPE(t, 1, K, N)));
        else if (i % 4 == 3) y = OP(m, WA_OP_MatMul, input(m, SHAPE(t, 2, M, K)), input(m, SHAPE(t, 2, K, N)));
        else {
            y = OP(m, WA_OP_Gemm, input(m, SHAPE(t, K, M)), input(m, SHAPE(t, N, K)), input(m, SHAPE(t, M, 1)));
            set_int(m, y, "transA", 1), set_int(m, y, "transB", 1), set_float(m, y, "alpha", 0.5f), set_float(m, y, "beta", 2);
        }
        char name[64];
        snprintf(name, sizeof name, "matrices %dx%dx%d form %u", (int)M, (int)N, (int)K, i % 4);
        m->tolerance = 1e-4;
        finish(m, y, name);
    }
    one = start();
    a = input(m, SHAPE(WA_F32, 5, 4)), b = input(m, SHAPE(WA_F32, 6, 5));
    uint32_t c = input(m, SHAPE(WA_F32, 6));
    y = OP(m, WA_OP_Gemm, a, b, c);
    set_int(m, y, "transA", 1), set_int(m, y, "transB", 1), set_float(m, y, "alpha", 0.5f), set_float(m, y, "beta", 2);
    finish(m, y, "gemm of two activations");
    one = start();
    a = input(m, SHAPE(WA_F32, 5, 8)), b = weight(m, SHAPE(WA_F32, 12, 8)), c = weight(m, SHAPE(WA_F32, 12));
    y = OP(m, WA_OP_Gemm, a, b, c);
    set_int(m, y, "transB", 1);
    finish(m, y, "gemm with a weight");
}

/* Every tile that can be chosen, at a shape that none divides, with everything that stands after a product. */
static void tiles(void)
{
    static const int64_t sizes[][3] = {{37, 100, 68}, {70, 36, 30}, {130, 52, 268}};
    static const wa_plan_target target = {.target = WA_TARGET_WEBGPU};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t M = sizes[i][0], K = sizes[i][1], N = sizes[i][2];
        wa_gpu_tile list[WA_GPU_TILES_MAX];
        uint32_t count = wa__gpu_tile_candidates(&target, (uint64_t)M, (uint64_t)N, (uint64_t)K, list, WA_GPU_TILES_MAX);
        for (uint32_t t = 0; t < count; t++) {
            if (list[t].kernel == WA_WGSL_MATMUL_STRAIGHT ? t % 9 != i : t % 3 != i) continue; /* each at one of the shapes, or a share of them */
            model one = start(), *m = &one;
            uint32_t x = input(m, SHAPE(WA_F32, 1, M, K)), w = weight(m, SHAPE(WA_F32, K, N)), bias = weight(m, SHAPE(WA_F32, N)), skip = input(m, SHAPE(WA_F32, 1, M, N));
            uint32_t y = OP(m, WA_OP_FusedMatMul, x, w, bias, skip);
            set_int(m, y, "act", t % 7);
            if (t & 1) set_float(m, y, "alpha", 0.5f);
            char text[WA_GPU_TILE_TEXT], name[128];
            wa__gpu_tile_print(&list[t], text);
            snprintf(name, sizeof name, "tile %s of %dx%dx%d", text, (int)M, (int)K, (int)N);
            forced_count = 1;
            forced[0] = (wa_gpu_tile_row){UINT32_MAX, (uint32_t)N, (uint32_t)K, list[t]};
            m->tolerance = 1e-4;
            finish(m, y, name);
        }
    }
    forced_count = 0;
}

/* Norms between products, which take them in on hardware: after a residual and before two readers, one of which is
 * no product (form 0: the rows are kept), before two products (1), without a mean (2, as RMS norms), with a tail that
 * the norm's columns do not divide; the tiles of both products are forced. */
static void norms_in_products(void)
{
    static const char *const pairs[][2] = {{"straight 16x32 s4 u3", "straight 16x32 s2"}, {"staged 32x32/4x4 s2", "straight 8x64 u2"}, {"straight 16x32 s8", "staged 64x64/8x8"},
                                           {"staged 64x64/4x4", "staged 32x32/4x4 s4"}, {"staged 64x128x16/8x8", "staged 16x64/4x4 s2"}};
    for (unsigned i = 0; i < sizeof pairs / sizeof *pairs * 3; i++) {
        unsigned form = i % 3;
        int64_t M = i & 1 ? 37 : 70, K = 20, D = i & 2 ? 68 : 140, F = i & 4 ? 96 : 30;
        model one = start(), *m = &one;
        uint32_t x = input(m, SHAPE(WA_F32, 1, M, K)), skip = input(m, SHAPE(WA_F32, 1, M, D)), y, z, last;
        y = OP(m, WA_OP_FusedMatMul, x, weight(m, SHAPE(WA_F32, K, D)), weight(m, SHAPE(WA_F32, D)), form == 1 ? WA_NONE : skip);
        if (form == 2) y = OP(m, WA_OP_RMSNormalization, y, weight(m, SHAPE(WA_F32, D)));
        else y = OP(m, WA_OP_LayerNormalization, y, weight(m, SHAPE(WA_F32, D)), form ? WA_NONE : weight(m, SHAPE(WA_F32, D)));
        set_int(m, y, "axis", -1);
        set_float(m, y, "epsilon", 1e-4f);
        z = OP(m, WA_OP_FusedMatMul, y, weight(m, SHAPE(WA_F32, D, F)), weight(m, SHAPE(WA_F32, F)));
        set_int(m, z, "act", 1);
        last = form == 0 ? OP(m, WA_OP_Concat, z, y) : OP(m, WA_OP_Add, z, OP(m, WA_OP_FusedMatMul, y, weight(m, SHAPE(WA_F32, D, F))));
        if (form == 0) set_int(m, last, "axis", 2);
        forced[0] = (wa_gpu_tile_row){UINT32_MAX, (uint32_t)D, (uint32_t)K, {0}};
        forced[1] = (wa_gpu_tile_row){UINT32_MAX, (uint32_t)F, (uint32_t)D, {0}};
        assert_true(wa__gpu_tile_parse(pairs[i / 3][0], &forced[0].tile) && wa__gpu_tile_parse(pairs[i / 3][1], &forced[1].tile));
        forced_count = 2;
        char name[160];
        snprintf(name, sizeof name, "norm %u between %s and %s", form, pairs[i / 3][0], pairs[i / 3][1]);
        m->tolerance = halved ? 1e-2 : 2e-4; /* sums of two values up to 10, which f16 rounds by 4e-3 each */
        dispatches_wanted = halved ? 0 : 4; /* two products and a copy of two parts; three products and a sum */
        finish(m, last, name);
    }
    forced_count = dispatches_wanted = 0;
}

static void attentions(void)
{
    static const int64_t sizes[][4] = {{1, 1, 1, 4}, {2, 5, 3, 8}, {1, 130, 2, 32}, {2, 9, 2, 5}, {1, 33, 1, 64}}; /* b, s, h, d */
    for (unsigned i = 0; i < 5; i++) {
        for (unsigned form = 0; form < 4; form++) {
            model one = start(), *m = &one;
            int64_t b = sizes[i][0], s = sizes[i][1], h = sizes[i][2], d = sizes[i][3];
            bool packed = form & 1;
            uint32_t bias = form & 2 ? input(m, i & 1 ? SHAPE(WA_F32, b, 1, 1, s) : SHAPE(WA_F32, b, h, s, s)) : WA_NONE, y;
            if (packed) {
                y = OP(m, WA_OP_QkvAttention, input(m, SHAPE(WA_F32, b, s, 3 * h * d)), bias);
            } else {
                uint32_t q = input(m, SHAPE(WA_F32, b, s, h * d)), k = input(m, SHAPE(WA_F32, b, s, h * d)), v = input(m, SHAPE(WA_F32, b, s, h * d));
                y = OP(m, WA_OP_Attention, q, k, v, bias);
            }
            set_int(m, y, "num_heads", h);
            set_float(m, y, "scale", 0.3f);
            char name[64];
            snprintf(name, sizeof name, "attention %d,%d,%d,%d form %u", (int)b, (int)s, (int)h, (int)d, form);
            finish(m, y, name);
        }
    }
}

/* The form that stages keys and values; lengths that its blocks do not divide; another length of keys. */
static void many_queries(void)
{
    static const int64_t sizes[][5] = {{2, 37, 37, 3, 8}, {1, 70, 41, 2, 20}, {2, 33, 33, 2, 64}, {3, 17, 50, 1, 36}, {1, 18, 18, 2, 128}, {1, 35, 35, 1, 256}, {1, 130, 130, 1, 32}}; /* b, s, t, h, d */
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes && !software; i++) {
        for (unsigned form = 0; form < 3; form++) {
            model one = start(), *m = &one;
            int64_t b = sizes[i][0], s = sizes[i][1], t = sizes[i][2], h = sizes[i][3], d = sizes[i][4];
            bool packed = s == t && form != 1;
            uint32_t bias = form == 0 ? WA_NONE : input(m, form == 1 ? SHAPE(WA_F32, b, 1, 1, t) : SHAPE(WA_F32, 1, h, s, t)), y;
            if (packed) y = OP(m, WA_OP_QkvAttention, input(m, SHAPE(WA_F32, b, s, 3 * h * d)), bias);
            else y = OP(m, WA_OP_Attention, input(m, SHAPE(WA_F32, b, s, h * d)), input(m, SHAPE(WA_F32, b, t, h * d)), input(m, SHAPE(WA_F32, b, t, h * d)), bias);
            set_int(m, y, "num_heads", h);
            set_float(m, y, "scale", d > 100 ? 0.05f : 0.3f);
            char name[64];
            snprintf(name, sizeof name, "many queries %d,%d,%d,%d,%d form %u", (int)b, (int)s, (int)t, (int)h, (int)d, form);
            m->tolerance = 1e-4;
            attention_groups = 1;
            finish(m, y, name);
            attention_groups = 0;
        }
    }
}

static void norms(void)
{
    static const int64_t widths[] = {4, 384, 7, 130};
    for (unsigned i = 0; i < 4; i++) {
        int64_t D = widths[i];
        model one = start(), *m = &one;
        uint32_t x = input(m, SHAPE(WA_F32, 2, 3, D)), gamma = weight(m, SHAPE(WA_F32, D)), beta = weight(m, SHAPE(WA_F32, D));
        finish(m, OP(m, WA_OP_LayerNormalization, x, gamma, beta), "layer norm");
        one = start();
        x = input(m, SHAPE(WA_F32, 5, D)), gamma = weight(m, SHAPE(WA_F32, D));
        finish(m, OP(m, WA_OP_LayerNormalization, x, gamma), "layer norm without beta");
        one = start();
        x = input(m, SHAPE(WA_F32, 2, 3, D));
        uint32_t skip = input(m, SHAPE(WA_F32, 2, 3, D));
        gamma = weight(m, SHAPE(WA_F32, D)), beta = weight(m, SHAPE(WA_F32, D));
        finish(m, OP(m, WA_OP_SkipLayerNorm, x, skip, gamma, beta), "skip layer norm");
        for (unsigned form = 0; form < 4; form++) {
            one = start();
            uint32_t ids = input(m, SHAPE(WA_I64, 2, 3)), types = form == 1 ? input(m, SHAPE(WA_I64, 2, 3)) : WA_NONE;
            uint32_t word = weight(m, SHAPE(WA_F32, 5, D)), position = weight(m, SHAPE(WA_F32, 4, D));
            uint32_t kind = form == 1 || form == 3 ? weight(m, SHAPE(WA_F32, 3, D)) : WA_NONE;
            gamma = weight(m, SHAPE(WA_F32, D)), beta = weight(m, SHAPE(WA_F32, D));
            uint32_t places = form == 2 ? input(m, SHAPE(WA_I64, 2, 3)) : form == 3 ? input(m, SHAPE(WA_I64, 1, 3)) : WA_NONE;
            finish(m, OP(m, WA_OP_EmbedLayerNorm, ids, types, word, position, kind, gamma, beta, places), "embeddings and layer norm");
        }
        static const wa_op last[] = {WA_OP_L2Normalize, WA_OP_Softmax, WA_OP_LogSoftmax};
        for (unsigned k = 0; k < 3; k++) {
            one = start();
            finish(m, OP(m, last[k], input(m, SHAPE(WA_F32, 3, D))), wa__op_info(last[k])->name);
        }
    }
}

static void pools(void)
{
    for (unsigned i = 0; i < 3; i++) {
        model one = start(), *m = &one;
        uint32_t x = input(m, SHAPE(WA_F32, 3, 7, 20));
        uint32_t mask = input(m, SHAPE(i == 1 ? WA_I32 : WA_I64, 3, 7));
        uint32_t y = i == 0 ? OP(m, WA_OP_MeanPool, x, mask) : i == 1 ? OP(m, WA_OP_MaxPoolTokens, x, mask) : OP(m, WA_OP_ClsPool, x);
        finish(m, y, wa__op_info(m->g->nodes[node_of(m, y)].op)->name);
    }
    for (unsigned i = 0; i < 9; i++) { /* with L2 normalisation behind it: one dispatch */
        model one = start(), *m = &one;
        int64_t D = i / 3 == 0 ? 20 : i / 3 == 1 ? 132 : 1028;
        uint32_t x = input(m, SHAPE(WA_F32, 3, 37, D)), mask = i % 3 == 2 ? WA_NONE : input(m, SHAPE(i & 1 ? WA_I32 : WA_I64, 3, 37));
        uint32_t y = i % 3 == 0 ? OP(m, WA_OP_MeanPool, x, mask) : i % 3 == 1 ? OP(m, WA_OP_MaxPoolTokens, x, mask) : OP(m, WA_OP_ClsPool, x);
        char name[64];
        snprintf(name, sizeof name, "%s of %d, normalised", wa__op_info(m->g->nodes[node_of(m, y)].op)->name, (int)D);
        dispatches_wanted = halved ? 0 : 1;
        finish(m, OP(m, WA_OP_L2Normalize, y), name);
        dispatches_wanted = 0;
    }
    for (uint32_t op = WA_OP_ReduceSum; op <= WA_OP_ReduceSumSquare; op++) {
        model one = start(), *m = &one;
        uint32_t x = input(m, SHAPE(WA_F32, 2, 3, 4, 5)), y;
        if (op == WA_OP_ReduceSum) {
            int64_t axes[] = {1, 2};
            y = OP(m, op, x, wa__graph_const_i64(m->g, axes, 2));
        } else {
            y = OP(m, op, x);
            wa__node_set_ints(m->g, node_of(m, y), "axes", (int64_t[]){-1}, 1);
        }
        m->tolerance = 1e-4;
        finish(m, y, wa__op_info(op)->name);
    }
    static const wa_op every[] = {WA_OP_ReduceSum, WA_OP_ReduceMean, WA_OP_ReduceMax, WA_OP_ReduceMin, WA_OP_ReduceProd, WA_OP_ReduceL1, WA_OP_ReduceL2,
                                  WA_OP_ReduceSumSquare, WA_OP_ReduceLogSum, WA_OP_ReduceLogSumExp, WA_OP_ArgMax, WA_OP_ArgMin};
    static const wa_dtype types[] = {WA_F32, WA_U8};
    for (unsigned k = 0; k < sizeof every / sizeof *every * 4; k++) { /* axes apart, long rows for many lanes */
        wa_op op = every[k / 4];
        wa_dtype t = types[k % 4 / 2];
        bool logs = op == WA_OP_ReduceLogSum, arg = op == WA_OP_ArgMax || op == WA_OP_ArgMin, long_rows = k % 2;
        if (op == WA_OP_ReduceProd && long_rows && t == WA_F32) continue; /* nothing is left of it */
        if (t != WA_F32 && (logs || op == WA_OP_ReduceLogSumExp || op == WA_OP_ReduceL2)) continue; /* truncation may fall either way */
        model one = start(), *m = &one;
        uint32_t x = input(m, long_rows ? SHAPE(t, 3, 300, 9) : SHAPE(t, 2, 3, 4, 5)), y;
        if (logs) x = OP(m, WA_OP_Abs, x);
        y = arg ? OP(m, op, x) : OP(m, op, x, wa__graph_const_i64(m->g, long_rows ? (int64_t[]){1} : (int64_t[]){0, 2}, long_rows ? 1 : 2));
        if (arg) set_int(m, y, "axis", 1), set_int(m, y, "select_last_index", k & 2);
        m->tolerance = 2e-3;
        char name[64];
        snprintf(name, sizeof name, "%s of %s%s", wa__op_info(op)->name, wa__dtype_info(t)->name, long_rows ? ", long" : "");
        finish(m, y, name);
    }
    for (unsigned k = 0; k < 8; k++) {
        model one = start(), *m = &one;
        int64_t axis = 1;
        uint32_t y = OP(m, k & 4 ? WA_OP_CumProd : WA_OP_CumSum, input(m, SHAPE(k & 4 ? WA_F32 : WA_I16, 2, 5, 3)), wa__graph_const_i64(m->g, &axis, 1));
        set_int(m, y, "exclusive", k & 1);
        set_int(m, y, "reverse", k >> 1 & 1);
        m->tolerance = 1e-4;
        finish(m, y, "running");
    }
    for (unsigned k = 0; k < 2; k++) {
        model one = start(), *m = &one;
        uint32_t y = OP(m, k ? WA_OP_LogSoftmax : WA_OP_Softmax, input(m, SHAPE(WA_F32, 2, 7, 5)));
        set_int(m, y, "axis", 1);
        finish(m, y, "softmax along an inner axis");
    }
}

/* Norms over several axes, with a scale of one number, with statistics, without a mean. */
static void other_norms(void)
{
    for (unsigned k = 0; k < 4; k++) {
        model one = start(), *m = &one;
        uint32_t x = input(m, SHAPE(WA_F32, 2, 3, 4, 5)), gamma = weight(m, k == 1 ? SHAPE(WA_F32, 1) : SHAPE(WA_F32, 4, 5)), y;
        if (k == 2) {
            uint32_t n = raw(m, WA_OP_LayerNormalization, (uint32_t[]){x, gamma}, 2, 3);
            set_int(m, m->g->nodes[n].outputs[0], "axis", 2);
            y = OP(m, WA_OP_Sum, m->g->nodes[n].outputs[0], m->g->nodes[n].outputs[1], m->g->nodes[n].outputs[2]);
        } else {
            y = OP(m, k == 3 ? WA_OP_RMSNormalization : WA_OP_LayerNormalization, x, gamma);
            set_int(m, y, "axis", 2);
        }
        finish(m, y, k == 3 ? "rms norm" : "layer norm over two axes");
    }
}

/* Inverse functions, on what they are defined for. */
static void bounded_domains(void)
{
    static const wa_op inverse[] = {WA_OP_Acos, WA_OP_Asin, WA_OP_Atanh, WA_OP_Acosh, WA_OP_Log, WA_OP_Sqrt, WA_OP_Pow};
    for (unsigned i = 0; i < sizeof inverse / sizeof *inverse; i++) {
        model one = start(), *m = &one;
        uint32_t x = input(m, SHAPE(WA_F32, 3, 7));
        if (i < 3) x = OP(m, WA_OP_Mul, x, wa__graph_const_f32(m->g, 0.49f));
        else x = OP(m, WA_OP_Add, OP(m, WA_OP_Abs, x), wa__graph_const_f32(m->g, i == 3 ? 1.0f : 0.01f));
        finish(m, inverse[i] == WA_OP_Pow ? OP(m, WA_OP_Pow, x, weight(m, SHAPE(WA_F32, 7))) : OP(m, inverse[i], x), wa__op_info(inverse[i])->name);
    }
}

/* Small integers wrap on the device; every cast between types. */
static void integers(void)
{
    static const wa_dtype types[] = {WA_I8, WA_U16, WA_I32};
    static const wa_op binary[] = {WA_OP_Add, WA_OP_Sub, WA_OP_Mul, WA_OP_Div, WA_OP_Mod, WA_OP_Min, WA_OP_Max, WA_OP_Pow, WA_OP_BitwiseAnd, WA_OP_BitwiseXor,
                                   WA_OP_Greater, WA_OP_BitShift};
    for (unsigned t = 0; t < 3; t++) {
        for (unsigned k = 0; k < sizeof binary / sizeof *binary; k++) {
            bool is_unsigned = types[t] == WA_U16;
            if (binary[k] == WA_OP_BitShift && !is_unsigned) continue;
            model one = start(), *m = &one;
            uint32_t a = input(m, SHAPE(types[t], 4, 3)), b = input(m, SHAPE(types[t], 3)), low = OP(m, WA_OP_BitwiseNot, a);
            uint32_t y = OP(m, binary[k], low, b);
            if (binary[k] == WA_OP_BitShift) wa__node_set_str(m->g, node_of(m, y), "direction", WA_STR("LEFT"));
            char name[64];
            snprintf(name, sizeof name, "%s of %s", wa__op_info(binary[k])->name, wa__dtype_info(types[t])->name);
            finish(m, y, name);
        }
        static const wa_dtype targets[] = {WA_I8, WA_U8, WA_U32, WA_F16, WA_BF16, WA_BOOL};
        for (unsigned k = 0; k < sizeof targets / sizeof *targets; k++) {
            model one = start(), *m = &one;
            if (types[t] == WA_U16 && targets[k] == WA_F16) { /* infinite: no tolerance to compare by */
                wa__graph_free(m->g);
                continue;
            }
            uint32_t y = OP(m, WA_OP_Cast, OP(m, WA_OP_BitwiseNot, input(m, SHAPE(types[t], 4, 3))));
            set_int(m, y, "to", targets[k]);
            char name[64];
            snprintf(name, sizeof name, "Cast %s to %s", wa__dtype_info(types[t])->name, wa__dtype_info(targets[k])->name);
            finish(m, y, name);
        }
    }
    for (unsigned k = 0; k < 2; k++) { /* rounded on the device: the difference shows what was lost */
        model one = start(), *m = &one;
        uint32_t x = input(m, SHAPE(WA_F32, 3, 7)), small = OP(m, WA_OP_Cast, x);
        set_int(m, small, "to", k ? WA_BF16 : WA_F16);
        uint32_t back = OP(m, WA_OP_Cast, small);
        set_int(m, back, "to", WA_F32);
        finish(m, OP(m, WA_OP_Sub, x, back), k ? "bf16 rounding" : "f16 rounding");
    }
    model one = start(), *m = &one; /* rank 8, merged */
    finish(m, OP(m, WA_OP_Add, input(m, SHAPE(WA_F32, 2, 1, 2, 3, 1, 2, 1, 2)), input(m, SHAPE(WA_F32, 3, 1, 2, 1, 1))), "rank 8");
    one = start();
    uint32_t bits = OP(m, WA_OP_BitCast, input(m, SHAPE(WA_F32, 5)));
    set_int(m, bits, "to", WA_I32);
    finish(m, bits, "BitCast");
}

static void elementwise(void)
{
    static const wa_op unary[] = {WA_OP_Abs, WA_OP_Neg, WA_OP_Sign, WA_OP_Exp, WA_OP_Erf, WA_OP_Sin, WA_OP_Cos, WA_OP_Tanh, WA_OP_Sigmoid, WA_OP_Relu,
                                  WA_OP_LeakyRelu, WA_OP_Elu, WA_OP_Softplus, WA_OP_Softsign, WA_OP_HardSigmoid, WA_OP_HardSwish, WA_OP_Gelu,
                                  WA_OP_Floor, WA_OP_Ceil, WA_OP_Round, WA_OP_IsNaN, WA_OP_Clip, WA_OP_Reciprocal, WA_OP_IsInf, WA_OP_Tan,
                                  WA_OP_Atan, WA_OP_Asinh, WA_OP_Sinh, WA_OP_Cosh, WA_OP_Celu, WA_OP_Selu, WA_OP_Mish, WA_OP_Shrink, WA_OP_ThresholdedRelu};
    for (unsigned i = 0; i < sizeof unary / sizeof *unary; i++) {
        model one = start(), *m = &one;
        m->tolerance = 1e-4;
        finish(m, OP(m, unary[i], input(m, SHAPE(WA_F32, 3, 7))), wa__op_info(unary[i])->name);
    }
    static const wa_op binary[] = {WA_OP_Add, WA_OP_Sub, WA_OP_Mul, WA_OP_Div, WA_OP_Min, WA_OP_Max, WA_OP_Sum, WA_OP_Mean, WA_OP_PRelu, WA_OP_Equal,
                                   WA_OP_Less, WA_OP_GreaterOrEqual};
    for (unsigned i = 0; i < sizeof binary / sizeof *binary; i++) {
        model one = start(), *m = &one;
        m->tolerance = 1e-3;
        uint32_t a = input(m, SHAPE(WA_F32, 2, 3, 4)), b = i & 1 ? weight(m, SHAPE(WA_F32, 4)) : input(m, SHAPE(WA_F32, 1, 3, 1));
        finish(m, OP(m, binary[i], a, b), wa__op_info(binary[i])->name);
    }
    model one = start(), *m = &one;
    bounded_domains();
    integers();
    uint32_t c = input(m, SHAPE(WA_BOOL, 2, 1)), x = input(m, SHAPE(WA_F32, 2, 5)), y = weight(m, SHAPE(WA_F32, 5));
    finish(m, OP(m, WA_OP_Where, c, x, y), "Where");
    one = start();
    y = OP(m, WA_OP_Cast, input(m, SHAPE(WA_I64, 2, 5)));
    set_int(m, y, "to", WA_F32);
    finish(m, y, "Cast to f32");
    one = start();
    y = OP(m, WA_OP_Cast, input(m, SHAPE(WA_F32, 2, 5)));
    set_int(m, y, "to", WA_BOOL);
    finish(m, y, "Cast to bool");
    one = start(); /* (1 - f32(mask)) * -1e4, a mask's bias */
    x = input(m, SHAPE(WA_I64, 2, 1, 1, 5));
    y = OP(m, WA_OP_Elementwise, x);
    wa__node_set_ints(m->g, node_of(m, y), "code", (int64_t[]){WA_OP_Cast, 0, WA_EW_ABSENT, WA_EW_ABSENT, WA_OP_Sub, -1, 1, WA_EW_ABSENT, WA_OP_Mul, 2, -2, WA_EW_ABSENT}, 12);
    wa__node_set_ints(m->g, node_of(m, y), "dtypes", (int64_t[]){WA_F32, WA_F32, WA_F32}, 3);
    uint32_t node = node_of(m, y);
    float imm[2] = {1, -10000};
    wa_attr *grown = wa__arena_alloc(m->g->arena, m->g->nodes[node].attr_count + 1, sizeof *grown);
    memcpy(grown, m->g->nodes[node].attrs, m->g->nodes[node].attr_count * sizeof *grown);
    float *kept = wa__arena_alloc(m->g->arena, 2, sizeof *kept);
    memcpy(kept, imm, sizeof imm);
    grown[m->g->nodes[node].attr_count++] = (wa_attr){.name = wa__str("imm"), .kind = WA_ATTR_KIND_FLOATS, .count = 2, .floats = kept};
    m->g->nodes[node].attrs = grown;
    finish(m, y, "mask chain");
}

static void moves(void)
{
    model one = start(), *m = &one;
    uint32_t x = weight(m, SHAPE(WA_F32, 5, 3)), y = OP(m, WA_OP_Gather, x, input(m, SHAPE(WA_I64, 2, 4)));
    finish(m, y, "Gather");
    one = start();
    x = input(m, SHAPE(WA_F32, 2, 3, 4));
    y = OP(m, WA_OP_Gather, x, weight(m, SHAPE(WA_I64, 5)));
    set_int(m, y, "axis", 1);
    finish(m, y, "Gather axis 1");
    one = start();
    y = OP(m, WA_OP_Transpose, input(m, SHAPE(WA_F32, 2, 3, 4, 5)));
    wa__node_set_ints(m->g, node_of(m, y), "perm", (int64_t[]){0, 2, 1, 3}, 4);
    finish(m, y, "Transpose");
    one = start();
    uint32_t a = input(m, SHAPE(WA_F32, 2, 3, 4)), b = input(m, SHAPE(WA_F32, 2, 1, 4)), c = weight(m, SHAPE(WA_F32, 2, 2, 4));
    y = OP(m, WA_OP_Concat, a, b, c);
    set_int(m, y, "axis", 1);
    finish(m, y, "Concat");
    one = start();
    int64_t two[] = {1, 3};
    a = input(m, SHAPE(WA_F32, 2, 4));
    b = wa__graph_const_i64(m->g, two, 2);
    uint32_t split = raw(m, WA_OP_Split, (uint32_t[]){a, b}, 2, 2);
    set_int(m, m->g->nodes[split].outputs[0], "axis", 1);
    finish(m, OP(m, WA_OP_Relu, m->g->nodes[split].outputs[1]), "Split");
    one = start();
    int64_t starts[] = {-1, 1}, ends[] = {-100, 3}, axes[] = {0, 2}, steps[] = {-2, 1};
    a = input(m, SHAPE(WA_F32, 5, 2, 4));
    y = OP(m, WA_OP_Slice, a, wa__graph_const_i64(m->g, starts, 2), wa__graph_const_i64(m->g, ends, 2), wa__graph_const_i64(m->g, axes, 2),
           wa__graph_const_i64(m->g, steps, 2));
    finish(m, y, "Slice");
    one = start();
    int64_t wide[] = {2, 3, 4};
    a = input(m, SHAPE(WA_F32, 3, 1));
    finish(m, OP(m, WA_OP_Expand, a, wa__graph_const_i64(m->g, wide, 3)), "Expand");
}

static void indices(void)
{
    model one = start(), *m = &one;
    uint32_t x = input(m, SHAPE(WA_F32, 3, 4, 2)), y = OP(m, WA_OP_GatherElements, x, input(m, SHAPE(WA_I64, 2, 4, 2)));
    finish(m, y, "GatherElements");
    one = start();
    x = input(m, SHAPE(WA_F32, 3, 4, 2));
    finish(m, OP(m, WA_OP_GatherND, x, input(m, SHAPE(WA_I64, 5, 2))), "GatherND");
    static const char *const how[] = {"none", "add", "mul", "max", "min"};
    for (unsigned k = 0; k < 10; k++) {
        char name[32];
        wa_op op = k < 5 ? WA_OP_ScatterElements : WA_OP_ScatterND;
        one = start();
        x = input(m, k % 2 ? SHAPE(WA_I32, 3, 4) : SHAPE(WA_F32, 3, 4));
        uint32_t ids = input(m, op == WA_OP_ScatterND ? SHAPE(WA_I64, 5, 1) : SHAPE(WA_I64, 5, 4));
        y = OP(m, op, x, ids, input(m, k % 2 ? SHAPE(WA_I32, 5, 4) : SHAPE(WA_F32, 5, 4)));
        wa__node_set_str(m->g, node_of(m, y), "reduction", wa__str(how[k % 5]));
        snprintf(name, sizeof name, "%s %s", wa__op_info(op)->name, how[k % 5]);
        finish(m, y, name);
    }
    static const char *const mode[] = {"constant", "reflect", "edge", "wrap"};
    for (unsigned k = 0; k < 4; k++) {
        one = start();
        x = input(m, SHAPE(WA_F32, 3, 4));
        y = OP(m, WA_OP_Pad, x, wa__graph_const_i64(m->g, (int64_t[]){2, -1, 1, 3}, 4), input(m, shape(WA_F32, 0, NULL)));
        wa__node_set_str(m->g, node_of(m, y), "mode", wa__str(mode[k]));
        finish(m, y, mode[k]);
    }
    one = start();
    x = input(m, SHAPE(WA_F32, 2, 3));
    finish(m, OP(m, WA_OP_Tile, x, wa__graph_const_i64(m->g, (int64_t[]){2, 3}, 2)), "Tile");
    one = start();
    y = OP(m, WA_OP_EyeLike, input(m, SHAPE(WA_F32, 3, 4)));
    set_int(m, y, "k", 1);
    finish(m, y, "EyeLike");
    one = start();
    finish(m, OP(m, WA_OP_Trilu, input(m, SHAPE(WA_F32, 2, 3, 4))), "Trilu");
    one = start();
    x = input(m, SHAPE(WA_I64, 2, 3));
    finish(m, OP(m, WA_OP_OneHot, x, wa__graph_const_i64(m->g, (int64_t[]){3}, 1), input(m, SHAPE(WA_F32, 2))), "OneHot");
    one = start();
    x = input(m, SHAPE(WA_F32, 4, 3, 2));
    finish(m, OP(m, WA_OP_ReverseSequence, x, input(m, SHAPE(WA_I64, 3))), "ReverseSequence");
    one = start();
    x = input(m, SHAPE(WA_F32, 2, 6, 3));
    uint32_t update = input(m, SHAPE(WA_F32, 2, 2, 3));
    finish(m, OP(m, WA_OP_TensorScatter, x, update, input(m, SHAPE(WA_I64, 2))), "TensorScatter");
    one = start();
    y = OP(m, WA_OP_Transpose, input(m, SHAPE(WA_F32, 2, 3, 2, 2, 3, 2, 2, 2)));
    wa__node_set_ints(m->g, node_of(m, y), "perm", (int64_t[]){7, 1, 5, 3, 0, 6, 2, 4}, 8);
    finish(m, y, "Transpose of 8 axes");
}

/* Operators of several outputs end in one value, so that the harness sees it all. */
static void selections(void)
{
    static const struct { wa_op op; uint32_t inputs, outputs, shown; } rows[] = {
        {WA_OP_TopK, 1, 2, 0}, {WA_OP_TopK, 1, 2, 1}, {WA_OP_NonZeroBounded, 1, 2, 0}, {WA_OP_NonZeroBounded, 1, 2, 1}, {WA_OP_CompressBounded, 2, 2, 0},
        {WA_OP_UniqueBounded, 1, 5, 0}, {WA_OP_UniqueBounded, 1, 5, 2}, {WA_OP_UniqueBounded, 1, 5, 3}, {WA_OP_NonMaxSuppressionBounded, 2, 2, 0},
        {WA_OP_Det, 1, 1, 0}, {WA_OP_Inverse, 1, 1, 0}};
    for (unsigned k = 0; k < sizeof rows / sizeof *rows; k++) {
        model one = start(), *m = &one;
        wa_op op = rows[k].op;
        if (op == WA_OP_Inverse) m->tolerance = 1e-3; /* random matrices are not all well conditioned */
        bool boxes = op == WA_OP_NonMaxSuppressionBounded, square = op == WA_OP_Det || op == WA_OP_Inverse;
        uint32_t in[3] = {input(m, boxes ? SHAPE(WA_F32, 1, 9, 4) : square ? SHAPE(WA_F32, 2, 3, 3) : SHAPE(WA_I32, 4, 5)), WA_NONE, WA_NONE}, count = rows[k].inputs;
        if (op == WA_OP_CompressBounded) in[1] = input(m, SHAPE(WA_BOOL, 7));
        if (boxes) in[1] = input(m, SHAPE(WA_F32, 1, 2, 9)), in[2] = wa__graph_const_i64(m->g, (int64_t[]){3}, 1), count = 3;
        if (op == WA_OP_TopK) in[1] = wa__graph_const_i64(m->g, (int64_t[]){3}, 1), count = 2;
        uint32_t node = raw(m, op, in, count, rows[k].outputs), y = m->g->nodes[node].outputs[rows[k].shown];
        finish(m, OP(m, WA_OP_Identity, y), wa__op_info(op)->name);
    }
}

static void convolutions(void)
{
    static const struct { /* x [n,c,h,w], w [m,c/g,kh,kw] */
        int64_t n, c, h, w, m, g, kh, kw, stride, dilation, pad, act, constant;
    } cases[] = {
        {1, 3, 9, 11, 5, 1, 3, 3, 1, 1, 1, 0, 1},   {2, 8, 10, 9, 32, 1, 1, 1, 1, 1, 0, 3, 1},  {1, 20, 13, 13, 40, 1, 3, 3, 2, 1, 1, 6, 1},
        {1, 16, 12, 12, 64, 2, 3, 3, 1, 2, 2, 7, 1}, {1, 72, 9, 9, 128, 1, 1, 1, 2, 1, 0, 9, 1}, {2, 12, 9, 10, 12, 12, 3, 3, 1, 1, 1, 8, 1},
        {1, 6, 17, 23, 12, 6, 5, 5, 2, 1, 2, 10, 1}, {1, 6, 8, 8, 9, 3, 3, 3, 1, 1, 1, 1, 1},    {1, 3, 8, 8, 4, 1, 3, 3, 1, 1, 1, 5, 0},
        {1, 4, 56, 56, 256, 1, 3, 3, 1, 1, 1, 3, 1}, {1, 8, 6, 9, 24, 1, 1, 1, 1, 1, 1, 2, 1},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        model one = start(), *m = &one;
        wa_tensor_type wt = SHAPE(WA_F32, cases[i].m, cases[i].c / cases[i].g, cases[i].kh, cases[i].kw);
        uint32_t x = input(m, SHAPE(WA_F32, cases[i].n, cases[i].c, cases[i].h, cases[i].w)), w = cases[i].constant ? weight(m, wt) : input(m, wt);
        int64_t pad = cases[i].pad, oh = (cases[i].h + 2 * pad - (cases[i].kh - 1) * cases[i].dilation - 1) / cases[i].stride + 1;
        int64_t ow = (cases[i].w + 2 * pad - (cases[i].kw - 1) * cases[i].dilation - 1) / cases[i].stride + 1;
        uint32_t bias = i % 3 ? weight(m, SHAPE(WA_F32, cases[i].m)) : WA_NONE;
        uint32_t skip = i % 4 == 2 ? input(m, SHAPE(WA_F32, cases[i].n, cases[i].m, oh, ow)) : WA_NONE;
        uint32_t y = OP(m, WA_OP_ConvAct, x, w, bias, skip), node = node_of(m, y);
        wa__node_set_ints(m->g, node, "strides", (int64_t[]){cases[i].stride, cases[i].stride}, 2);
        wa__node_set_ints(m->g, node, "dilations", (int64_t[]){cases[i].dilation, cases[i].dilation}, 2);
        wa__node_set_ints(m->g, node, "pads", (int64_t[]){pad, pad, pad, pad}, 4);
        set_int(m, y, "group", cases[i].g);
        set_int(m, y, "act", cases[i].act);
        set_float(m, y, "act_a", cases[i].act == 7 ? -0.5f : 0.2f);
        set_float(m, y, "act_b", 0.6f);
        char name[64];
        snprintf(name, sizeof name, "conv %u", i);
        m->tolerance = 1e-4;
        finish(m, y, name);
    }
}

/* --- over 16x16 tiles on subgroup matrices ---------------------------------------------------------- */
static uint32_t normed(model *m, uint32_t x, uint32_t skip, int64_t D)
{
    uint32_t gamma = weight(m, SHAPE(WA_F32, D)), beta = weight(m, SHAPE(WA_F32, D));
    return skip == WA_NONE ? OP(m, WA_OP_LayerNormalization, x, gamma, beta) : OP(m, WA_OP_SkipLayerNorm, x, skip, gamma, beta);
}

static uint32_t dense(model *m, uint32_t x, int64_t K, int64_t N, unsigned act, uint32_t skip, bool trans)
{
    uint32_t w = weight(m, trans ? SHAPE(WA_F32, N, K) : SHAPE(WA_F32, K, N)), bias = act % 3 ? weight(m, SHAPE(WA_F32, N)) : WA_NONE;
    uint32_t y = OP(m, WA_OP_FusedMatMul, x, w, bias, skip);
    set_int(m, y, "act", act);
    set_int(m, y, "transB", trans);
    set_float(m, y, "alpha", act == 5 ? 0.5f : 1.0f / (float)sqrt((double)K)); /* sums stay near 1 */
    return y;
}

/* Norm, product, product with residual, norm of the result: tiles between, rows in and out. */
static void matrix_products(void)
{
    static const int64_t sizes[][4] = {{1, 16, 32, 3}, {37, 96, 48, 1}, {130, 384, 64, 2}, {64, 64, 384, 0}, {1100, 32, 1536, 3}, {600, 64, 96, 5}, {2100, 32, 1024, 1}, {2100, 384, 32, 6}};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (unsigned form = 0; form < 3; form++) {
            model one = start(), *m = &one;
            int64_t M = sizes[i][0], K = sizes[i][1], N = sizes[i][2];
            uint32_t x = normed(m, input(m, SHAPE(WA_F32, M, K)), WA_NONE, K), y = dense(m, x, K, N, (unsigned)sizes[i][3], WA_NONE, form & 1);
            if (form) y = dense(m, y, N, K, 0, form == 2 ? x : WA_NONE, !(form & 1));
            if (form) y = normed(m, y, form == 1 ? x : WA_NONE, K);
            char name[64];
            snprintf(name, sizeof name, "tiles %dx%dx%d form %u", (int)M, (int)K, (int)N, form);
            m->tolerance = 6e-3;
            finish(m, y, name);
        }
    }
}

static void matrix_attentions(void)
{
    static const int64_t sizes[][4] = {{1, 5, 2, 16}, {1, 37, 2, 32}, {3, 32, 2, 16}, {1, 128, 3, 64}, {2, 208, 1, 32}, {1, 300, 2, 32}}; /* b, s, h, d */
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (unsigned form = 0; form < 4; form++) {
            model one = start(), *m = &one;
            int64_t b = sizes[i][0], s = sizes[i][1], h = sizes[i][2], d = sizes[i][3], H = h * d;
            uint32_t bias = form & 2 ? input(m, i & 1 ? SHAPE(WA_F32, b, 1, 1, s) : SHAPE(WA_F32, b, h, s, s)) : WA_NONE, y;
            uint32_t x = normed(m, input(m, SHAPE(WA_F32, b, s, H)), WA_NONE, H);
            if (form & 1) {
                y = OP(m, WA_OP_QkvAttention, dense(m, x, H, 3 * H, 1, WA_NONE, false), bias);
            } else {
                uint32_t q = dense(m, x, H, H, 0, WA_NONE, false), k = dense(m, x, H, H, 1, WA_NONE, true), v = dense(m, x, H, H, 4, WA_NONE, false);
                y = OP(m, WA_OP_Attention, q, k, v, bias);
            }
            set_int(m, y, "num_heads", h);
            set_float(m, y, "scale", 0.3f);
            y = dense(m, y, H, H, 0, x, false);
            char name[64];
            snprintf(name, sizeof name, "tiles attention %d,%d,%d,%d form %u", (int)b, (int)s, (int)h, (int)d, form);
            m->tolerance = 6e-3;
            finish(m, y, name);
        }
    }
}

static void every_kernel(void **state)
{
    (void)state;
    const char *path = getenv("WA_WGSL_DUMP");
    if (path) {
        dump = fopen(path, "w");
        assert_non_null(dump);
        fputc('[', dump);
    }
    for (int pass = 0; pass < 4; pass++) {
        software = pass & 1;
        halved = pass >= 2;
        products();
        other_products();
        attentions();
        norms();
        convolutions();
        other_norms();
        if (software) continue; /* the rest has one form for every adapter */
        tiles();
        norms_in_products();
        many_queries();
        pools();
        elementwise();
        moves();
    indices();
    selections();
    }
    halved = false;
    for (int pass = 0; pass < 8; pass++) {
        software = pass & 1, dots = pass >> 1 & 1, code_bits = pass & 4 ? 4 : 8;
        coded_products();
        if (pass < 2) coded_tables();
    }
    software = dots = false;
    code_bits = 0;
    matrices = halved = true;
    matrix_products();
    matrix_attentions();
    products();
    attentions();
    norms();
    matrices = halved = false;
    assert_true(matrix_kernels[0] >= 20 && matrix_kernels[1] >= 20 && matrix_kernels[2] >= 8);
    if (dump) {
        fputs("]\n", dump);
        fclose(dump);
    }
    assert_true(cases_done > 200);
    assert_true(half_cases > 150);
    assert_true(code_cases > 100);
}

/* Another batch and length: same pipelines. */
static void shapes_are_data(void **state)
{
    (void)state;
    wa_plan *plans[2];
    wa_error err = {0};
    for (int i = 0; i < 2; i++) {
        model one = start(), *m = &one;
        int64_t b = i ? 3 : 1, s = i ? 17 : 8;
        uint32_t x = input(m, SHAPE(WA_F32, b, s, 24)), bias = input(m, SHAPE(WA_F32, b, 1, 1, s));
        uint32_t y = OP(m, WA_OP_FusedMatMul, x, weight(m, SHAPE(WA_F32, 24, 72)), weight(m, SHAPE(WA_F32, 72)));
        y = OP(m, WA_OP_QkvAttention, y, bias);
        set_int(m, y, "num_heads", 3);
        y = OP(m, WA_OP_SkipLayerNorm, y, x, weight(m, SHAPE(WA_F32, 24)), weight(m, SHAPE(WA_F32, 24)));
        y = OP(m, WA_OP_L2Normalize, y);
        for (uint32_t k = 0; k < m->g->node_count; k++) assert_ok(wa__graph_infer_node(m->g, k, &err), err);
        wa__graph_output(m->g, y);
        wa_plan_options o = {.target = {.target = WA_TARGET_WEBGPU}};
        assert_ok(wa__plan_build(m->g, &o, &plans[i], &err), err);
        wa__graph_free(m->g);
    }
    assert_int_equal(plans[0]->pipeline_count, plans[1]->pipeline_count);
    assert_memory_equal(plans[0]->pipelines, plans[1]->pipelines, plans[0]->pipeline_count * sizeof(wa_plan_pipeline));
    assert_memory_not_equal(plans[0]->info.key, plans[1]->info.key, 32);
    wa__plan_free(plans[0]);
    wa__plan_free(plans[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_kernel), cmocka_unit_test(blocks_of_codes), cmocka_unit_test(shapes_are_data)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
