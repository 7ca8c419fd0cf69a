/* The builder's small parts: growing sections, texts, data, buffers, blocks. */
#include "base/limits.h"
#include "plan/plan_int.h"
#include <stdio.h>

void *wa__plan_vec_push(wa_plan_vec *v, size_t element_bytes)
{
    if (!wa__array_reserve(&v->ptr, &v->cap, v->count + 1, element_bytes)) return NULL;
    char *at = (char *)v->ptr + v->count++ * element_bytes;
    memset(at, 0, element_bytes);
    return at;
}

void *wa__plan_push(wa_plan_builder *b, uint32_t section)
{
    return wa__plan_vec_push(&b->sec[section], wa__plan_sections[section].element_bytes);
}

static wa_status append(wa_plan_builder *b, uint32_t section, const void *bytes, size_t n)
{
    wa_plan_vec *v = &b->sec[section];
    size_t end;
    if (!wa__add_size(v->count, n, &end) || end > WA_LIMIT_PLAN_BYTES)
        return wa__fail(b->err, WA_LIMIT, "the plan's %s pass %zu bytes", wa__plan_sections[section].name, WA_LIMIT_PLAN_BYTES);
    if (!wa__array_reserve(&v->ptr, &v->cap, end, 1)) return wa__no_memory(b->err, "the plan");
    if (n) memcpy((char *)v->ptr + v->count, bytes, n);
    v->count = end;
    return WA_OK;
}

/* Text 0 is "": the section starts with a NUL. Names are cut at the limit and at a NUL. */
wa_status wa__plan_text_add(wa_plan_builder *b, wa_str s, wa_text *out)
{
    size_t n = 0;
    while (n < s.len && n < WA_LIMIT_NAME_BYTES && s.ptr[n]) n++;
    if (b->sec[WA_SEC_TEXT].count == 0) WA_TRY(append(b, WA_SEC_TEXT, "", 1));
    *out = 0;
    if (n == 0) return WA_OK;
    *out = (wa_text)b->sec[WA_SEC_TEXT].count;
    WA_TRY(append(b, WA_SEC_TEXT, s.ptr, n));
    return append(b, WA_SEC_TEXT, "", 1);
}

wa_status wa__plan_data_add(wa_plan_builder *b, const void *bytes, uint64_t n, uint32_t alignment, uint64_t *offset)
{
    static const char zeros[256] = {0};
    size_t at = b->sec[WA_SEC_DATA].count, start = (size_t)wa__align_up(at, alignment);
    if (n > WA_LIMIT_PLAN_BYTES) return wa__fail(b->err, WA_LIMIT, "a constant of %llu bytes is too large for a plan", (unsigned long long)n);
    WA_TRY(append(b, WA_SEC_DATA, zeros, start - at));
    *offset = start;
    return append(b, WA_SEC_DATA, bytes, (size_t)n);
}

wa_status wa__plan_buffer_add(wa_plan_builder *b, wa_buffer_kind kind, wa_target target, uint64_t size, const char *label, uint32_t *out)
{
    wa_text text;
    WA_TRY(wa__plan_text_add(b, wa__str(label), &text));
    wa_plan_buffer *p = wa__plan_push(b, WA_SEC_BUFFERS);
    if (!p) return wa__no_memory(b->err, "the plan");
    p->size = size;
    p->kind = kind;
    p->target = target;
    p->label = text;
    *out = (uint32_t)b->sec[WA_SEC_BUFFERS].count - 1;
    return WA_OK;
}

void wa__plan_node_label(const wa_graph *g, uint32_t node, char *out, size_t n)
{
    const wa_node *d = &g->nodes[node];
    const char *op = wa__op_info(d->op)->name;
    if (d->name.len) snprintf(out, n, "%s %.*s", op ? op : "?", WA_STR_ARG(d->name));
    else snprintf(out, n, "%s #%u", op ? op : "?", node);
}

wa_status wa__plan_node_text(wa_plan_builder *b, uint32_t node, wa_text *out)
{
    char label[256];
    wa__plan_node_label(b->g, node, label, sizeof label);
    return wa__plan_text_add(b, wa__str(label), out);
}

wa_status wa__plan_block_add(wa_plan_builder *b, uint32_t memory, uint64_t bytes, uint32_t *out)
{
    wa_plan_block *k = wa__plan_vec_push(&b->blocks[memory], sizeof *k);
    if (!k) return wa__no_memory(b->err, "the plan");
    k->bytes = bytes;
    k->first = k->last = b->step;
    *out = (uint32_t)b->blocks[memory].count - 1;
    return WA_OK;
}

bool wa__plan_empty(const wa_plan_builder *b, uint32_t value)
{
    int64_t n;
    return value != WA_NONE && wa__type_count(&b->g->values[value].type, &n) && n == 0;
}

wa_status wa__plan_empty_block(wa_plan_builder *b, uint32_t memory, uint32_t value)
{
    uint32_t *block = &b->places[b->root[value]].block[memory];
    if (*block != WA_NONE) return WA_OK;
    return memory == WA_MEM_NN ? wa__plan_nn_tensor(b, b->root[value]) : wa__plan_block_add(b, memory, 0, block);
}

void wa__plan_block_use(wa_plan_builder *b, uint32_t memory, uint32_t block, uint32_t step)
{
    wa_plan_block *k = (wa_plan_block *)b->blocks[memory].ptr + block;
    if (step > k->last) k->last = step;
}

wa_status wa__plan_fix_add(wa_plan_builder *b, uint32_t section, uint32_t element, uint32_t memory, uint32_t block, uint32_t side, uint64_t add)
{
    wa_plan_fix *f = wa__plan_vec_push(&b->fixes, sizeof *f);
    if (!f) return wa__no_memory(b->err, "the plan");
    *f = (wa_plan_fix){section, element, block, memory, side, add};
    return WA_OK;
}

wa_status wa__plan_value_bytes(wa_plan_builder *b, uint32_t value, uint64_t *out)
{
    const wa_value *v = &b->g->values[value];
    if (v->type.dtype != WA_DTYPE_NONE && v->type.rank <= WA_RANK_MAX && wa__type_bytes(&v->type, out)) return WA_OK;
    char label[256] = "an input";
    if (v->kind == WA_VALUE_NODE) wa__plan_node_label(b->g, v->producer, label, sizeof label);
    return wa__fail(b->err, WA_UNSUPPORTED, "%s: the shape of \"%.*s\" is not known before the run", label, WA_STR_ARG(v->name));
}
