/* cse: nodes that compute the same from the same inputs become one; so do equal small constants. */
#include "opt/opt_int.h"

#define CONST_BYTES_MAX 256 /* larger equal constants are rare, and comparing them is not free */

static uint64_t mix(uint64_t h, uint64_t v) { return (h ^ v) * 0x9e3779b97f4a7c15u ^ (h >> 29); }

static uint64_t hash_attr(const wa_attr *a)
{
    uint64_t h = mix(wa__hash_bytes(a->name.ptr, a->name.len), (uint64_t)a->i);
    h = mix(h, wa__hash_bytes(&a->f, sizeof a->f));
    if (a->kind == WA_ATTR_KIND_STRING) h = mix(h, wa__hash_bytes(a->s.ptr, a->s.len));
    if (a->kind == WA_ATTR_KIND_INTS) h = mix(h, wa__hash_bytes(a->ints, a->count * sizeof *a->ints));
    if (a->kind == WA_ATTR_KIND_FLOATS) h = mix(h, wa__hash_bytes(a->floats, a->count * sizeof *a->floats));
    return h;
}

static bool same_attr(const wa_attr *a, const wa_attr *b)
{
    if (!wa__str_eq(a->name, b->name) || a->kind != b->kind || a->count != b->count) return false;
    switch (a->kind) {
    case WA_ATTR_KIND_INT: return a->i == b->i;
    case WA_ATTR_KIND_FLOAT: return memcmp(&a->f, &b->f, sizeof a->f) == 0;
    case WA_ATTR_KIND_STRING: return wa__str_eq(a->s, b->s);
    case WA_ATTR_KIND_INTS: return a->count == 0 || memcmp(a->ints, b->ints, a->count * sizeof *a->ints) == 0;
    case WA_ATTR_KIND_FLOATS: return a->count == 0 || memcmp(a->floats, b->floats, a->count * sizeof *a->floats) == 0;
    default: return false;
    }
}

static uint64_t hash_node(const wa_node *n)
{
    uint64_t h = mix((uint64_t)n->op, (uint64_t)(uint32_t)n->opset), attrs = 0;
    for (uint32_t i = 0; i < n->input_count; i++) h = mix(h, n->inputs[i]);
    for (uint32_t i = 0; i < n->attr_count; i++) attrs += hash_attr(&n->attrs[i]); /* in any order */
    return mix(h, attrs);
}

static bool same_node(const wa_node *a, const wa_node *b)
{
    if (a->op != b->op || a->opset != b->opset || a->input_count != b->input_count || a->output_count != b->output_count ||
        a->attr_count != b->attr_count || (a->input_count && memcmp(a->inputs, b->inputs, a->input_count * sizeof *a->inputs) != 0))
        return false;
    for (uint32_t i = 0; i < a->attr_count; i++) {
        bool found = false;
        for (uint32_t k = 0; k < b->attr_count && !found; k++) found = same_attr(&a->attrs[i], &b->attrs[k]);
        if (!found) return false;
    }
    return true;
}

static bool same_const(const wa_value *a, const wa_value *b)
{
    uint64_t n = wa__bytes(&a->type);
    if (!wa__type_eq(&a->type, &b->type)) return false;
    return a->data == b->data || (n <= CONST_BYTES_MAX && memcmp(a->data, b->data, (size_t)n) == 0);
}

static uint64_t hash_const(const wa_value *v)
{
    uint64_t n = wa__bytes(&v->type), h = mix((uint64_t)v->type.dtype, v->type.rank);
    for (uint32_t i = 0; i < v->type.rank; i++) h = mix(h, (uint64_t)v->type.dims[i]);
    return n <= CONST_BYTES_MAX ? mix(h, wa__hash_bytes(v->data, (size_t)n)) : mix(h, (uint64_t)(uintptr_t)v->data);
}

/* first[v]: the first constant equal to v. */
static void merge_consts(wa_rw *r, uint32_t *first, uint32_t *table, size_t slots)
{
    for (uint32_t v = 0; v < r->g->value_count; v++) {
        first[v] = v;
        if (r->g->values[v].kind != WA_VALUE_CONST || r->is_output[v]) continue;
        size_t at = (size_t)hash_const(&r->g->values[v]) & (slots - 1);
        while (table[at] && !same_const(&r->g->values[table[at] - 1], &r->g->values[v])) at = (at + 1) & (slots - 1);
        if (table[at]) first[v] = table[at] - 1;
        else table[at] = v + 1;
    }
    for (uint32_t i = 0; i < r->g->node_count && r->status == WA_OK; i++)
        for (uint32_t k = 0; !r->g->nodes[i].dead && k < r->g->nodes[i].input_count; k++) {
            uint32_t v = r->g->nodes[i].inputs[k];
            if (v != WA_NONE) wa__rw_set_input(r, i, k, first[v]);
        }
}

static void merge_nodes(wa_rw *r, uint32_t *table, size_t slots)
{
    for (uint32_t i = 0; i < r->g->node_count; i++) {
        if (!wa__rw_visit(r, i)) continue;
        const wa_node *n = &r->g->nodes[i];
        if (n->subgraph_count || wa__op_info(n->op)->random) continue; /* bodies are not compared; two draws differ */
        size_t at = (size_t)hash_node(n) & (slots - 1);
        while (table[at] && (r->g->nodes[table[at] - 1].dead || !same_node(&r->g->nodes[table[at] - 1], n))) at = (at + 1) & (slots - 1);
        if (!table[at]) {
            table[at] = i + 1;
            continue;
        }
        const wa_node *old = &r->g->nodes[table[at] - 1];
        for (uint32_t k = 0; k < n->output_count && !r->g->nodes[i].dead; k++)
            if (r->uses[n->outputs[k]]) wa__rw_replace(r, n->outputs[k], old->outputs[k]);
    }
}

void wa__opt_cse(wa_rw *r)
{
    size_t slots = 16, most = r->g->value_count > r->g->node_count ? r->g->value_count : r->g->node_count;
    while (slots < most * 2) slots *= 2;
    uint32_t *table = wa__alloc(slots, sizeof *table), *first = wa__alloc(r->g->value_count, sizeof *first);
    if (wa__rw_need(r, table && first)) {
        merge_consts(r, first, table, slots);
        memset(table, 0, slots * sizeof *table);
        merge_nodes(r, table, slots);
    }
    wa__free(table);
    wa__free(first);
}
