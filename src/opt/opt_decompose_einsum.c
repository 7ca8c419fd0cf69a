/* Einsum as transposes, reductions and products: operands join from left to right, each pair as one
 * batched product. Axes of size 1 carry no index: they are dropped first and come back at the end, so
 * that broadcasting needs no care. See decompose.h. */
#include "opt/decompose_parts.h"

#define LABELS   (52u + WA_RANK_MAX) /* letters, then the axes of "..." */
#define TERM_MAX WA_RANK_MAX

typedef struct term {
    uint32_t value;
    uint32_t rank;
    uint8_t label[TERM_MAX];
} term;

typedef struct equation {
    wa_rw *r;
    int64_t dim[LABELS];
    uint32_t seen[LABELS];   /* operands and output that name it, for the implicit output */
    uint32_t ellipsis;       /* axes of the longest "..." */
    bool has_ellipsis;
    uint8_t out[LABELS];
    uint32_t out_rank;
} equation;

static int letter(char c) { return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : -1; }

/* --- reading -------------------------------------------------------------------------------------------- */
/* One term of the text; stops at ',' or '-' or the end. `rank` < 0: the output. */
static bool read_term(equation *q, wa_str text, size_t *at, int64_t rank, uint8_t *out, uint32_t *count)
{
    uint32_t letters = 0, dots = 0;
    size_t end = *at;
    for (; end < text.len && text.ptr[end] != ',' && text.ptr[end] != '-'; end++) {
        letters += letter(text.ptr[end]) >= 0;
        dots += text.ptr[end] == '.';
    }
    if (dots != 0 && dots != 3) return false;
    int64_t hidden = dots ? rank < 0 ? (int64_t)q->ellipsis : rank - letters : 0;
    if (hidden < 0 || hidden > WA_RANK_MAX || letters + hidden > (rank < 0 ? (int64_t)LABELS : (int64_t)TERM_MAX) || (rank >= 0 && letters + hidden != rank)) return false;
    *count = 0;
    for (; *at < end; ++*at) {
        char c = text.ptr[*at];
        if (c == ' ') continue;
        if (c == '.') {
            if (end - *at < 3 || text.ptr[*at + 1] != '.' || text.ptr[*at + 2] != '.') return false;
            for (int64_t i = 0; i < hidden; i++) out[(*count)++] = (uint8_t)(LABELS - (uint32_t)hidden + (uint32_t)i); /* aligned to the right */
            *at += 2;
        } else if (letter(c) >= 0) out[(*count)++] = (uint8_t)letter(c);
        else return false;
    }
    if (dots && rank >= 0 && (uint32_t)hidden > q->ellipsis) q->ellipsis = (uint32_t)hidden;
    q->has_ellipsis |= dots != 0;
    return true;
}

static bool set_dims(equation *q, const term *t)
{
    const wa_tensor_type *type = wa__rw_t(q->r, t->value);
    for (uint32_t i = 0; i < t->rank; i++) {
        int64_t *d = &q->dim[t->label[i]];
        if (*d != type->dims[i] && *d != 1 && type->dims[i] != 1) return false;
        if (*d == 1) *d = type->dims[i];
        q->seen[t->label[i]]++;
    }
    return true;
}

static bool read_equation(equation *q, wa_str text, const uint32_t *inputs, uint32_t count, term *terms)
{
    size_t at = 0;
    for (uint32_t l = 0; l < LABELS; l++) q->dim[l] = 1;
    for (uint32_t i = 0; i < count; i++) {
        terms[i].value = inputs[i];
        const wa_tensor_type *type = wa__rw_t(q->r, inputs[i]);
        if (i && (at >= text.len || text.ptr[at++] != ',')) return false;
        if (type->rank > TERM_MAX || !read_term(q, text, &at, type->rank, terms[i].label, &terms[i].rank) || !set_dims(q, &terms[i])) return false;
    }
    if (at == text.len) { /* implicit: "..." first, then letters that stand once, in their order */
        if (q->has_ellipsis)
            for (uint32_t i = 0; i < q->ellipsis; i++) q->out[q->out_rank++] = (uint8_t)(LABELS - q->ellipsis + i);
        for (uint32_t l = 0; l < 52; l++)
            if (q->seen[l] == 1) q->out[q->out_rank++] = (uint8_t)l;
    } else {
        if (text.len - at < 2 || text.ptr[at] != '-' || text.ptr[at + 1] != '>') return false;
        at += 2;
        if (!read_term(q, text, &at, -1, q->out, &q->out_rank) || at != text.len) return false;
    }
    for (uint32_t i = 0; i < q->out_rank; i++)
        for (uint32_t k = 0; k < i; k++)
            if (q->out[i] == q->out[k]) return false;
    return q->out_rank <= WA_RANK_MAX;
}

/* --- one term --------------------------------------------------------------------------------------------- */
static int find(const uint8_t *labels, uint32_t count, uint8_t l)
{
    for (uint32_t i = 0; i < count; i++)
        if (labels[i] == l) return (int)i;
    return -1;
}

static void dims_of(const equation *q, const uint8_t *labels, uint32_t count, int64_t *dims)
{
    for (uint32_t i = 0; i < count; i++) dims[i] = q->dim[labels[i]];
}

/* The term's axes in the order `to`, which names the same labels. */
static void reorder(equation *q, term *t, const uint8_t *to)
{
    int64_t perm[TERM_MAX];
    bool same = true;
    for (uint32_t i = 0; i < t->rank; i++) {
        perm[i] = find(t->label, t->rank, to[i]);
        same = same && perm[i] == i;
    }
    if (!same) t->value = wa__dc_transpose(q->r, t->value, perm, t->rank);
    memcpy(t->label, to, t->rank);
}

/* Axes of size 1 go. A label whose axis is 1 here but not elsewhere is broadcast: it goes as well. */
static void drop_ones(equation *q, term *t)
{
    int64_t dims[TERM_MAX];
    uint32_t kept = 0;
    const wa_tensor_type *type = wa__rw_t(q->r, t->value);
    for (uint32_t i = 0; i < t->rank; i++) {
        if (type->dims[i] == 1) continue;
        dims[kept] = type->dims[i];
        t->label[kept++] = t->label[i];
    }
    t->rank = kept;
    t->value = wa__dc_reshape(q->r, t->value, dims, kept);
}

/* A label that stands twice means the diagonal: both axes last and flat, every (n+1)-th element. */
static void diagonals(equation *q, term *t)
{
    for (uint32_t i = 0; i < t->rank && q->r->status == WA_OK; i++) {
        uint8_t l = t->label[i], order[TERM_MAX];
        int64_t perm[TERM_MAX], dims[TERM_MAX], n = q->dim[l];
        int twin = find(t->label + i + 1, t->rank - i - 1, l);
        if (twin < 0) continue;
        uint32_t second = i + 1 + (uint32_t)twin, kept = 0;
        for (uint32_t k = 0; k < t->rank; k++)
            if (k != i && k != second) {
                perm[kept] = k;
                dims[kept] = q->dim[t->label[k]];
                order[kept++] = t->label[k];
            }
        perm[kept] = i;
        perm[kept + 1] = second;
        dims[kept] = n * n;
        order[kept] = l;
        t->value = wa__dc_transpose(q->r, t->value, perm, t->rank);
        t->value = wa__dc_reshape(q->r, t->value, dims, kept + 1);
        if (n > 1) t->value = wa__dp_slice_step(q->r, t->value, kept, 0, n * n, n + 1);
        t->rank = kept + 1;
        memcpy(t->label, order, t->rank);
        i = UINT32_MAX; /* from the start: it may stand a third time */
    }
}

/* Sums over the labels that `wanted` does not have. */
static void sum_out(equation *q, term *t, const bool *wanted)
{
    uint8_t order[TERM_MAX];
    int64_t axes[TERM_MAX];
    uint32_t kept = 0, gone = 0;
    for (uint32_t i = 0; i < t->rank; i++)
        if (wanted[t->label[i]]) order[kept++] = t->label[i];
    for (uint32_t i = 0; i < t->rank; i++)
        if (!wanted[t->label[i]]) order[kept + gone++] = t->label[i];
    if (!gone) return;
    reorder(q, t, order);
    for (uint32_t i = 0; i < gone; i++) axes[i] = kept + i;
    t->value = wa__dc_reduce(q->r, WA_OP_ReduceSum, t->value, axes, gone, false);
    t->rank = kept;
}

/* --- two terms --------------------------------------------------------------------------------------------- */
typedef struct parts { /* labels by where they stand */
    uint8_t both[TERM_MAX], sum[TERM_MAX], a[TERM_MAX], b[TERM_MAX];
    uint32_t both_n, sum_n, a_n, b_n;
} parts;

static int64_t count_of(const equation *q, const uint8_t *labels, uint32_t n)
{
    int64_t c = 1;
    for (uint32_t i = 0; i < n; i++) c *= q->dim[labels[i]];
    return c;
}

static void arrange(equation *q, term *t, const uint8_t *x, uint32_t xn, const uint8_t *y, uint32_t yn, const uint8_t *z, uint32_t zn)
{
    uint8_t order[TERM_MAX];
    memcpy(order, x, xn);
    memcpy(order + xn, y, yn);
    memcpy(order + xn + yn, z, zn);
    reorder(q, t, order);
}

static bool join(equation *q, term *a, term *b, const bool *wanted)
{
    parts p = {.both_n = 0};
    bool later[LABELS];
    for (uint32_t l = 0; l < LABELS; l++) later[l] = wanted[l] || find(b->label, b->rank, (uint8_t)l) >= 0;
    sum_out(q, a, later);
    for (uint32_t l = 0; l < LABELS; l++) later[l] = wanted[l] || find(a->label, a->rank, (uint8_t)l) >= 0;
    sum_out(q, b, later);
    for (uint32_t i = 0; i < a->rank; i++) {
        uint8_t l = a->label[i];
        if (find(b->label, b->rank, l) < 0) p.a[p.a_n++] = l;
        else if (wanted[l]) p.both[p.both_n++] = l;
        else p.sum[p.sum_n++] = l;
    }
    for (uint32_t i = 0; i < b->rank; i++)
        if (find(a->label, a->rank, b->label[i]) < 0) p.b[p.b_n++] = b->label[i];
    if (p.both_n + p.a_n + p.b_n > WA_RANK_MAX) return false;
    arrange(q, a, p.both, p.both_n, p.a, p.a_n, p.sum, p.sum_n);
    arrange(q, b, p.both, p.both_n, p.sum, p.sum_n, p.b, p.b_n);
    int64_t batch = count_of(q, p.both, p.both_n), m = count_of(q, p.a, p.a_n), n = count_of(q, p.b, p.b_n), k = count_of(q, p.sum, p.sum_n);
    uint32_t x = wa__dc_reshape(q->r, a->value, (int64_t[]){batch, m, k}, 3), y = wa__dc_reshape(q->r, b->value, (int64_t[]){batch, k, n}, 3);
    uint8_t order[TERM_MAX];
    int64_t dims[TERM_MAX];
    memcpy(order, p.both, p.both_n);
    memcpy(order + p.both_n, p.a, p.a_n);
    memcpy(order + p.both_n + p.a_n, p.b, p.b_n);
    a->rank = p.both_n + p.a_n + p.b_n;
    memcpy(a->label, order, a->rank);
    dims_of(q, order, a->rank, dims);
    a->value = wa__dc_reshape(q->r, wa__dc2(q->r, p.sum_n ? WA_OP_MatMul : WA_OP_Mul, x, y), dims, a->rank);
    return true;
}

static bool bad(wa_rw *r, uint32_t node, const char *why)
{
    wa_str text = wa__dp_str(&r->g->nodes[node], "equation", "");
    wa__rw_fail(r, wa__fail(r->err, WA_CORRUPT, "Einsum node %u (%.*s): %s: \"%.*s\"", node, WA_STR_ARG(r->g->nodes[node].name), why, WA_STR_ARG(text)));
    return true;
}

#define OPERANDS_MAX 32u
static bool einsum(wa_rw *r, uint32_t node)
{
    equation q = {.r = r};
    term terms[OPERANDS_MAX];
    const wa_node *n = &r->g->nodes[node];
    uint32_t count = n->input_count;
    wa_dtype type = wa__rw_t(r, n->inputs[0])->dtype;
    if (count > OPERANDS_MAX) return bad(r, node, "it has more than 32 operands");
    if (!read_equation(&q, wa__dp_str(n, "equation", ""), n->inputs, count, terms)) return bad(r, node, "its equation does not fit its operands");
    for (uint32_t i = 0; i < count && r->status == WA_OK; i++) {
        terms[i].value = wa__dp_wide(r, terms[i].value);
        if (r->status == WA_OK) drop_ones(&q, &terms[i]);
        diagonals(&q, &terms[i]);
    }
    bool wanted[LABELS];
    for (uint32_t i = 0; i < count && r->status == WA_OK; i++) {
        for (uint32_t l = 0; l < LABELS; l++) wanted[l] = find(q.out, q.out_rank, (uint8_t)l) >= 0;
        for (uint32_t k = i + 1; k < count; k++)
            for (uint32_t x = 0; x < terms[k].rank; x++) wanted[terms[k].label[x]] = true;
        if (i == 0) sum_out(&q, &terms[0], wanted);
        else if (!join(&q, &terms[0], &terms[i], wanted)) return bad(r, node, "an intermediate result has too many axes");
    }
    if (r->status != WA_OK) return true;
    uint8_t order[LABELS];
    int64_t dims[LABELS];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < q.out_rank; i++)
        if (find(terms[0].label, terms[0].rank, q.out[i]) >= 0) order[kept++] = q.out[i];
    reorder(&q, &terms[0], order);
    dims_of(&q, q.out, q.out_rank, dims);
    uint32_t y = wa__dc_reshape(r, terms[0].value, dims, q.out_rank);
    wa__dp_result(r, node, 0, y, type);
    return true;
}

const wa_decompose_row wa__decompose_einsum[] = {{WA_OP_Einsum, einsum}, {WA_OP_NONE, NULL}};
