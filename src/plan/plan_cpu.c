/* CPU lowering: one call a node, operands in arena blocks or weights, attributes copied. */
#include "plan/plan_gpu_product.h"

static wa_status copy_attr(wa_plan_builder *b, const wa_attr *a)
{
    wa_text name, text = 0;
    uint64_t data = 0;
    WA_TRY(wa__plan_text_add(b, a->name, &name));
    if (a->kind == WA_ATTR_KIND_INTS) WA_TRY(wa__plan_data_add(b, a->ints, (uint64_t)a->count * 8, 8, &data));
    if (a->kind == WA_ATTR_KIND_FLOATS) WA_TRY(wa__plan_data_add(b, a->floats, (uint64_t)a->count * 4, 8, &data));
    if (a->kind == WA_ATTR_KIND_STRING) WA_TRY(wa__plan_text_add(b, a->s, &text));
    wa_plan_attr *out = wa__plan_push(b, WA_SEC_ATTRS);
    if (!out) return wa__no_memory(b->err, "the plan");
    out->name = name;
    out->kind = a->kind;
    out->i = a->i;
    out->f = a->f;
    out->count = a->kind == WA_ATTR_KIND_INTS || a->kind == WA_ATTR_KIND_FLOATS ? a->count : 0;
    out->data = a->kind == WA_ATTR_KIND_STRING ? text : data;
    return WA_OK;
}

static wa_plan_operand *push_operand(wa_plan_builder *b, const wa_tensor_type *t)
{
    wa_plan_operand *o = wa__plan_push(b, WA_SEC_OPERANDS);
    if (!o) return NULL;
    o->kind = WA_OPERAND_BUFFER;
    if (!t) {
        o->kind = WA_OPERAND_NONE;
        return o;
    }
    o->dtype = t->dtype;
    o->rank = t->rank;
    for (uint32_t i = 0; i < t->rank; i++) o->dims[i] = t->dims[i];
    return o;
}

static uint32_t last_operand(const wa_plan_builder *b) { return (uint32_t)b->sec[WA_SEC_OPERANDS].count - 1; }

/* Whether the kernel packs this constant at load, and what it is made of. Pieces must lie side by side at
 * whole panels, and be B itself, not its transpose. */
static bool packs(const wa_plan_builder *b, const wa_kernel_args *a, uint32_t i, uint32_t root, wa_plan_pieces *e, size_t *bytes)
{
    *bytes = wa__kernel_prepare_bytes(a, i);
    if (!*bytes || !wa__plan_pieces(b->g, root, e)) return false;
    if (e->plain) return true;
    bool product = a->op == WA_OP_MatMul || a->op == WA_OP_Gemm || a->op == WA_OP_FusedMatMul;
    if (!product || wa__attr_int(a->attrs, a->attr_count, "transB", 0)) return false;
    for (uint32_t k = 0; k < e->count; k++) {
        wa_dtype d = b->g->values[e->piece[k].value].type.dtype;
        if (e->piece[k].row || e->piece[k].col % WA_PLAN_PANEL || (d != WA_F32 && d != WA_F16 && d != WA_BF16)) return false;
    }
    return true;
}

/* A product's weight that stays f16: odd widths apart, whose parts would begin within a word. */
static bool keeps_half(const wa_plan_builder *b, const wa_kernel_args *a, uint32_t i, uint32_t root, wa_plan_pieces *e)
{
    bool product = a->op == WA_OP_MatMul || a->op == WA_OP_Gemm || a->op == WA_OP_FusedMatMul;
    if (!product || i != 1 || !wa__plan_pieces(b->g, root, e) || e->dtype != WA_F32 || (e->count > 1 && e->cols % 2)) return false;
    for (uint32_t k = 0; k < e->count; k++) {
        wa_dtype d = b->g->values[e->piece[k].value].type.dtype;
        if (d != WA_F32 && d != WA_F16 && d != WA_BF16) return false;
    }
    return true;
}

static wa_status push_input(wa_plan_builder *b, const wa_kernel_args *a, uint32_t i, uint32_t value, uint32_t bits)
{
    if (value == WA_NONE) return push_operand(b, NULL) ? WA_OK : wa__no_memory(b->err, "the plan");
    if (wa__plan_empty(b, value) && b->g->values[b->root[value]].kind != WA_VALUE_CONST) WA_TRY(wa__plan_empty_block(b, WA_MEM_CPU, value));
    uint32_t root = b->root[value];
    const wa_plan_place *place = &b->places[root];
    wa_plan_operand *o = push_operand(b, &b->g->values[value].type);
    if (!o) return wa__no_memory(b->err, "the plan");
    if (place->block[WA_MEM_CPU] != WA_NONE) {
        wa__plan_block_use(b, WA_MEM_CPU, place->block[WA_MEM_CPU], b->step);
        return wa__plan_fix_add(b, WA_SEC_OPERANDS, last_operand(b), WA_MEM_CPU, place->block[WA_MEM_CPU], 0, 0);
    }
    wa_plan_pieces e;
    size_t packed;
    if (bits == 16 && keeps_half(b, a, i, root, &e)) return wa__plan_const_half(b, &e, o);
    if (packs(b, a, i, root, &e, &packed)) {
        o->kind = WA_OPERAND_WEIGHT;
        return wa__plan_host_panels(b, &e, wa__kernel_prepare_bits(a, i), packed, &o->index);
    }
    WA_TRY(wa__plan_const_cpu(b, root));
    if (place->weight == WA_NONE) {
        o->index = place->buffer[WA_MEM_CPU];
        o->offset = place->offset[WA_MEM_CPU];
        return WA_OK;
    }
    o->kind = WA_OPERAND_WEIGHT;
    o->index = place->weight;
    return WA_OK;
}

/* Views as the kernel will see them; data only where a constant's bytes are known now. */
static wa_status make_args(const wa_plan_builder *b, const wa_node *n, wa_kernel_args *a, wa_view **views)
{
    wa_view *v = wa__alloc((size_t)n->input_count + n->output_count + 1, sizeof *v);
    if (!v) return wa__no_memory(b->err, "the plan");
    for (uint32_t i = 0; i < n->input_count + n->output_count; i++) {
        uint32_t id = i < n->input_count ? n->inputs[i] : n->outputs[i - n->input_count];
        if (id == WA_NONE) continue;
        v[i].type = b->g->values[id].type;
        const wa_value *root = &b->g->values[b->root[id]];
        if (root->kind == WA_VALUE_CONST) v[i].data = (void *)(uintptr_t)root->data;
    }
    *a = (wa_kernel_args){.op = n->op, .opset = n->opset, .attrs = n->attrs, .attr_count = n->attr_count, .in = v,
                          .in_count = n->input_count, .out = v + n->input_count, .out_count = n->output_count};
    *views = v;
    return WA_OK;
}

static wa_status push_output(wa_plan_builder *b, uint32_t value)
{
    uint64_t bytes;
    wa_plan_operand *o = push_operand(b, value == WA_NONE ? NULL : &b->g->values[value].type);
    if (!o) return wa__no_memory(b->err, "the plan");
    if (value == WA_NONE) return WA_OK;
    WA_TRY(wa__plan_value_bytes(b, value, &bytes));
    uint32_t *block = &b->places[b->root[value]].block[WA_MEM_CPU];
    if (*block == WA_NONE) WA_TRY(wa__plan_block_add(b, WA_MEM_CPU, bytes, block));
    return wa__plan_fix_add(b, WA_SEC_OPERANDS, last_operand(b), WA_MEM_CPU, *block, 0, 0);
}

/* Bytes of every operand once; a table that rows are looked up in counts as what is taken from it. */
static uint64_t traffic(const wa_graph *g, const wa_node *n)
{
    bool lookup = n->op == WA_OP_Gather || n->op == WA_OP_EmbedLayerNorm || n->op == WA_OP_GatherElements || n->op == WA_OP_GatherND;
    uint64_t sum = 0, out = 0;
    for (uint32_t i = 0; i < n->output_count; i++)
        if (n->outputs[i] != WA_NONE) out += wa__bytes(&g->values[n->outputs[i]].type);
    for (uint32_t i = 0; i < n->input_count; i++) {
        uint64_t bytes = n->inputs[i] == WA_NONE ? 0 : wa__bytes(&g->values[n->inputs[i]].type);
        sum += lookup && bytes > out ? out : bytes;
    }
    return sum + out;
}

static wa_status fill_call(wa_plan_builder *b, const wa_node *n, const wa_kernel_args *a, wa_text label, uint32_t bits)
{
    uint32_t operand_first = (uint32_t)b->sec[WA_SEC_OPERANDS].count, attr_first = (uint32_t)b->sec[WA_SEC_ATTRS].count;
    for (uint32_t i = 0; i < n->input_count; i++) WA_TRY(push_input(b, a, i, n->inputs[i], bits));
    for (uint32_t i = 0; i < n->output_count; i++) WA_TRY(push_output(b, n->outputs[i]));
    for (uint32_t i = 0; i < a->attr_count; i++) WA_TRY(copy_attr(b, &a->attrs[i]));
    size_t scratch = wa__kernel_scratch(a);
    if (scratch > b->scratch_bytes) b->scratch_bytes = scratch;
    wa_plan_call *c = wa__plan_push(b, WA_SEC_CALLS);
    if (!c) return wa__no_memory(b->err, "the plan");
    c->op = n->op;
    c->opset = n->opset;
    c->operand_first = operand_first;
    c->in_count = n->input_count;
    c->out_count = n->output_count;
    c->attr_first = attr_first;
    c->attr_count = a->attr_count;
    c->label = label;
    c->flops = wa__plan_node_flops(b->g, n);
    c->bytes = traffic(b->g, n);
    b->step++;
    return WA_OK;
}

/* A product whose constant B the kernel packs into codes of 8 bits: kernels/gemm8.h. */
static wa_status narrow_weights(const wa_plan_builder *b, wa_kernel_args *a, wa_attr **attrs)
{
    wa_attr *out = wa__alloc(a->attr_count + 1u, sizeof *out);
    if (!out) return wa__no_memory(b->err, "the plan");
    if (a->attr_count) memcpy(out, a->attrs, a->attr_count * sizeof *out);
    out[a->attr_count++] = (wa_attr){.name = WA_STR("weight_bits"), .kind = WA_ATTR_KIND_INT, .i = 8};
    a->attrs = *attrs = out;
    return WA_OK;
}

/* A product whose weight is blocks of codes. */
static wa_status blocks_call(wa_plan_builder *b, const wa_node *n, const wa_kernel_args *a, wa_text label, const wa_gpu_product *p, uint32_t bits)
{
    uint32_t operand_first = (uint32_t)b->sec[WA_SEC_OPERANDS].count, attr_first = (uint32_t)b->sec[WA_SEC_ATTRS].count;
    uint64_t offset, words;
    WA_TRY(wa__plan_host_blocks(b, p->b, p->trans_b, bits, &offset, &words));
    WA_TRY(push_input(b, a, 0, p->a, 0));
    wa_tensor_type type = {WA_U32, 1, {(int64_t)words}};
    wa_plan_operand *o = push_operand(b, &type);
    if (!o) return wa__no_memory(b->err, "the plan");
    o->index = b->host_weights;
    o->offset = offset;
    WA_TRY(push_input(b, a, 2, p->bias, 0));
    WA_TRY(push_input(b, a, 3, p->residual, 0));
    WA_TRY(push_output(b, n->outputs[0]));
    const wa_attr attrs[] = {{.name = WA_STR("bits"), .kind = WA_ATTR_KIND_INT, .i = bits}, {.name = WA_STR("act"), .kind = WA_ATTR_KIND_INT, .i = p->act},
                             {.name = WA_STR("alpha"), .kind = WA_ATTR_KIND_FLOAT, .f = p->alpha}};
    for (unsigned i = 0; i < 3; i++) WA_TRY(copy_attr(b, &attrs[i]));
    wa_plan_call *c = wa__plan_push(b, WA_SEC_CALLS);
    if (!c) return wa__no_memory(b->err, "the plan");
    *c = (wa_plan_call){.op = WA_OP_MatMulBlocks, .opset = 1, .operand_first = operand_first, .in_count = 4, .out_count = 1, .attr_first = attr_first, .attr_count = 3,
                        .label = label, .flops = wa__plan_node_flops(b->g, n), .bytes = words * 4 + (p->m * p->k + p->m * p->n) * 4};
    b->step++;
    return WA_OK;
}

static bool has_blocks(wa_plan_builder *b, uint32_t node, wa_gpu_product *p)
{
    const wa_node *n = &b->g->nodes[node];
    return wa__gpu_type(b, n->inputs[0])->dtype == WA_F32 && wa__gpu_type(b, n->outputs[0])->dtype == WA_F32 && wa__gpu_packed_product(b, n, p) &&
           wa__gpu_has_blocks(b, node, p->b, p->trans_b);
}

wa_status wa__plan_cpu_node(wa_plan_builder *b, uint32_t node)
{
    const wa_node *n = &b->g->nodes[node];
    wa_kernel_args a;
    wa_view *views;
    wa_text label;
    WA_TRY(wa__plan_node_text(b, node, &label));
    WA_TRY(make_args(b, n, &a, &views));
    wa_attr *attrs = NULL;
    wa_gpu_product p;
    wa_status s = WA_OK;
    bool product = n->op == WA_OP_MatMul || n->op == WA_OP_Gemm || n->op == WA_OP_FusedMatMul;
    uint32_t bits = product && b->t.target == WA_TARGET_CPU ? wa__plan_weight_bits(b, node) : 0;
    if (bits == 8) s = narrow_weights(b, &a, &attrs);
    if (s == WA_OK) s = bits == 4 && has_blocks(b, node, &p) ? blocks_call(b, n, &a, label, &p, bits) : fill_call(b, n, &a, label, bits);
    wa__free(attrs);
    wa__free(views);
    return s;
}

wa_status wa__plan_cpu_copy(wa_plan_builder *b, uint32_t value, uint32_t block)
{
    uint32_t first = (uint32_t)b->sec[WA_SEC_OPERANDS].count;
    const wa_tensor_type *t = &b->g->values[value].type;
    wa_kernel_args a = {.op = WA_OP_Identity};
    WA_TRY(push_input(b, &a, 0, value, 0));
    if (!push_operand(b, t)) return wa__no_memory(b->err, "the plan");
    WA_TRY(wa__plan_fix_add(b, WA_SEC_OPERANDS, last_operand(b), WA_MEM_CPU, block, 0, 0));
    wa_plan_call *c = wa__plan_push(b, WA_SEC_CALLS);
    if (!c) return wa__no_memory(b->err, "the plan");
    c->op = WA_OP_Identity;
    c->opset = 13;
    c->operand_first = first;
    c->in_count = c->out_count = 1;
    c->attr_first = (uint32_t)b->sec[WA_SEC_ATTRS].count;
    b->step++;
    return WA_OK;
}
