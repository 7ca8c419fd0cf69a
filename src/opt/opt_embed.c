/* embed: word, position and type rows gathered, added and normalised become EmbedLayerNorm.
 *   LayerNormalization(Gather(word, ids) + Gather(position, p) + Gather(type, t))
 * in any order of the sum. Positions 0..s-1 and types that are all 0 need no input of their own;
 * of two rows read by run-time ids beside constant ones (RoBERTa) the smaller table's are positions. */
#include "opt/opt_int.h"

#define TERMS_MAX 3

typedef struct term {
    uint32_t table, ids; /* ids: WA_NONE for the table's first rows in order (positions) */
} term;

/* A table of rows [V,D] read by ids, or its first rows as a slice. */
static bool is_term(const wa_rw *r, uint32_t v, term *out)
{
    uint32_t gather = wa__rw_def(r, v, WA_OP_Gather), slice = wa__rw_def(r, v, WA_OP_Slice), shape = wa__rw_def(r, v, WA_OP_Reshape);
    if (shape != WA_NONE) { /* [1,s,D] from [s,D] */
        v = wa__rw_in(r, shape, 0);
        gather = wa__rw_def(r, v, WA_OP_Gather);
        slice = wa__rw_def(r, v, WA_OP_Slice);
        if (wa__rw_t(r, v)->rank != 2) return false;
    }
    if (gather != WA_NONE) {
        *out = (term){wa__rw_in(r, gather, 0), wa__rw_in(r, gather, 1)};
        int64_t axis = wa__node_int(&r->g->nodes[gather], "axis", 0);
        return wa__rw_is_weight(r, out->table) && wa__rw_t(r, out->table)->rank == 2 && (axis == 0 || axis == -2);
    }
    int64_t start, axis = 0, step = 1;
    uint32_t n;
    if (slice == WA_NONE) return false;
    *out = (term){wa__rw_in(r, slice, 0), WA_NONE};
    if (!wa__rw_is_weight(r, out->table) || wa__rw_t(r, out->table)->rank != 2) return false;
    if (!wa__graph_const_ints(r->g, wa__rw_in(r, slice, 1), &start, 1, &n) || n != 1 || start != 0) return false;
    if (wa__rw_in(r, slice, 3) != WA_NONE && (!wa__graph_const_ints(r->g, wa__rw_in(r, slice, 3), &axis, 1, &n) || n != 1)) return false;
    if (wa__rw_in(r, slice, 4) != WA_NONE && (!wa__graph_const_ints(r->g, wa__rw_in(r, slice, 4), &step, 1, &n) || n != 1)) return false;
    return (axis == 0 || axis == -2) && step == 1;
}

static bool collect(const wa_rw *r, uint32_t v, term *terms, uint32_t *count)
{
    uint32_t sum = wa__rw_def1(r, v, WA_OP_Add);
    if (sum != WA_NONE && *count < TERMS_MAX) return collect(r, wa__rw_in(r, sum, 0), terms, count) && collect(r, wa__rw_in(r, sum, 1), terms, count);
    return *count < TERMS_MAX && is_term(r, v, &terms[*count]) && ++*count;
}

/* Constant ids that say 0, 1, ... s-1 in every row; or all 0. */
static bool counts_up(const wa_rw *r, uint32_t ids, int64_t step)
{
    if (ids == WA_NONE) return step == 1;
    if (!wa__rw_is_const(r, ids)) return false;
    const wa_value *v = &r->g->values[ids];
    if (v->type.rank < 1) return false;
    union { const uint8_t *in; void *data; } u = {.in = v->data};
    wa_view view = {v->type, u.data};
    int64_t n = wa__count(&v->type), s = v->type.dims[v->type.rank - 1];
    for (int64_t i = 0; i < n; i++)
        if (wa__get_i64(&view, i) != (i % s) * step) return false;
    return true;
}

/* Which term is which; -1: none. Ids that count up are positions, all 0 types; of two read by
 * run-time ids the word table is the one with more rows, the other the part that is still missing. */
static bool sort_terms(const wa_rw *r, const term *terms, uint32_t count, int *word, int *position, int *type)
{
    int other = -1;
    *word = *position = *type = -1;
    for (uint32_t i = 0; i < count; i++) {
        int *place;
        bool zeros = terms[i].ids != WA_NONE && counts_up(r, terms[i].ids, 0), up = counts_up(r, terms[i].ids, 1);
        bool small = wa__rw_t(r, terms[i].table)->dims[0] <= 4; /* with one token 0 is the first position and type 0 alike */
        if (zeros && (!up || small)) place = type;
        else if (up) place = position;
        else if (wa__rw_is_const(r, terms[i].ids)) return false;
        else place = *word < 0 ? word : &other;
        if (*place >= 0) return false;
        *place = (int)i;
    }
    if (*word < 0) return false;
    if (other >= 0 && wa__rw_t(r, terms[other].table)->dims[0] > wa__rw_t(r, terms[*word].table)->dims[0]) {
        int swap = *word;
        *word = other;
        other = swap;
    }
    if (*position < 0) *position = other;
    else if (other >= 0 && *type >= 0) return false;
    else if (other >= 0) *type = other;
    return *position >= 0;
}

static void match(wa_rw *r, uint32_t node)
{
    term terms[TERMS_MAX];
    uint32_t count = 0;
    int word, position, type;
    const wa_node *n = &r->g->nodes[node];
    if (n->op != WA_OP_LayerNormalization || n->output_count != 1 || wa__rw_in(r, node, 2) == WA_NONE) return;
    const wa_tensor_type *t = wa__rw_t(r, n->inputs[0]);
    int64_t axis = wa__node_int(n, "axis", -1);
    if (t->rank != 3 || (axis != -1 && axis != 2) || !collect(r, n->inputs[0], terms, &count) || count < 2) return;
    if (!sort_terms(r, terms, count, &word, &position, &type)) return;
    uint32_t ids = terms[word].ids, types = type >= 0 ? terms[type].ids : WA_NONE, places = terms[position].ids;
    if (counts_up(r, places, 1)) places = WA_NONE;
    const wa_tensor_type *it = wa__rw_t(r, ids);
    if (types != WA_NONE && wa__rw_is_const(r, types)) types = WA_NONE; /* all 0: the table's first row */
    if (it->rank != 2 || it->dims[0] != t->dims[0] || it->dims[1] != t->dims[1] || (places == WA_NONE && wa__rw_t(r, terms[position].table)->dims[0] < t->dims[1])) return;
    if (places != WA_NONE && !wa__rw_same_type(r, places, ids)) return;
    if (types != WA_NONE && (wa__rw_t(r, types)->rank != 2 || memcmp(wa__rw_t(r, types)->dims, it->dims, 2 * sizeof it->dims[0]) != 0)) return;
    if (wa__rw_t(r, n->inputs[1])->rank != 1 || wa__rw_t(r, n->inputs[2])->rank != 1) return;
    float epsilon = wa__node_float(n, "epsilon", 1e-5f);
    uint32_t in[8] = {ids, types, terms[word].table, terms[position].table, type >= 0 ? terms[type].table : WA_NONE, n->inputs[1], n->inputs[2], places};
    if (!wa__rw_become(r, node, WA_OP_EmbedLayerNorm, in, places == WA_NONE ? 7 : 8)) return;
    if (wa__rw_need(r, wa__node_set_float(r->g, node, "epsilon", epsilon))) wa__rw_type(r, node);
}

void wa__opt_embed(wa_rw *r)
{
    for (uint32_t i = 0, count = r->g->node_count; i < count; i++)
        if (wa__rw_visit(r, i)) match(r, i);
}
