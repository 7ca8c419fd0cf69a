/* TfIdfVectorizer-9 over integers: an n-gram of the pool is compared with every window of the input, for each
 * number of skipped elements; the matches are counted and put where ngram_indexes says. See decompose.h. */
#include "opt/decompose.h"

#define WINDOWS_MAX 1024 /* lengths x skips x elements of an n-gram: nodes made */

typedef struct tfidf {
    const int64_t *pool, *starts, *places;
    const float *weights; /* NULL: all 1 */
    uint32_t pool_count, start_count, place_count;
    int64_t shortest, longest, skips, outputs;
    bool counts, weighted; /* of the mode */
} tfidf;

static bool bad(wa_rw *r, const wa_node *n, wa_status s, const char *why)
{
    wa__rw_fail(r, wa__fail(r->err, s, "TfIdfVectorizer (%.*s): %s", WA_STR_ARG(n->name), why));
    return true;
}

static const int64_t *ints(const wa_node *n, const char *name, uint32_t *count)
{
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, name);
    *count = a && a->kind == WA_ATTR_KIND_INTS ? a->count : 0;
    return *count ? a->ints : NULL;
}

static const char *read(const wa_node *n, tfidf *t)
{
    const wa_attr *mode = wa__attr_find(n->attrs, n->attr_count, "mode"), *w = wa__attr_find(n->attrs, n->attr_count, "weights");
    t->pool = ints(n, "pool_int64s", &t->pool_count);
    t->starts = ints(n, "ngram_counts", &t->start_count);
    t->places = ints(n, "ngram_indexes", &t->place_count);
    t->shortest = wa__node_int(n, "min_gram_length", 1);
    t->longest = wa__node_int(n, "max_gram_length", 1);
    t->skips = wa__node_int(n, "max_skip_count", 0);
    if (!mode || mode->kind != WA_ATTR_KIND_STRING) return "it has no mode";
    t->counts = !wa__str_is(mode->s, "IDF");
    t->weighted = !wa__str_is(mode->s, "TF");
    if (t->counts && t->weighted && !wa__str_is(mode->s, "TFIDF")) return "its mode is none of TF, IDF, TFIDF";
    if (w && w->kind == WA_ATTR_KIND_FLOATS && w->count) {
        if (w->count != t->place_count) return "it has not one weight for each n-gram";
        t->weights = w->floats;
    }
    if (t->shortest < 1 || t->longest < t->shortest || t->skips < 0 || t->longest > (int64_t)t->start_count || t->longest * (t->skips + 1) * t->longest > WINDOWS_MAX)
        return "its lengths or skips are out of range";
    for (uint32_t i = 0; i < t->start_count; i++)
        if (t->starts[i] < 0 || t->starts[i] > (int64_t)t->pool_count || (i && t->starts[i] < t->starts[i - 1])) return "its ngram_counts are out of range";
    for (uint32_t i = 0; i < t->place_count; i++) {
        if (t->places[i] < 0 || t->places[i] > INT32_MAX) return "an index of ngram_indexes is out of range";
        if (t->places[i] >= t->outputs) t->outputs = t->places[i] + 1;
    }
    return t->place_count ? NULL : "it has no n-grams";
}

/* Element j of every n-gram, [1, 1, grams], in the input's type. */
static uint32_t column(wa_rw *r, wa_dtype dtype, const int64_t *pool, int64_t grams, int64_t length, int64_t j)
{
    wa_view v = {{dtype, 3, {1, 1, grams}}, wa__alloc((size_t)grams + 1, 8)};
    if (!wa__rw_need(r, v.data != NULL)) return WA_NONE;
    for (int64_t i = 0; i < grams; i++) wa__set_i64(&v, i, pool[i * length + j]);
    uint32_t c = wa__graph_const(r->g, WA_STR(""), &v.type, v.data, -1);
    wa__free(v.data);
    return wa__rw_need(r, c != WA_NONE) && wa__rw_grow(r) ? c : WA_NONE;
}

/* How often each n-gram of one length stands at one distance of its elements: [rows, grams]; NONE: nowhere. */
static uint32_t matches(wa_rw *r, uint32_t x, int64_t rows, int64_t width, const int64_t *pool, int64_t grams, int64_t length, int64_t distance)
{
    int64_t windows = width - (length - 1) * distance, axis = 1;
    uint32_t all = WA_NONE;
    for (int64_t j = 0; windows > 0 && j < length && r->status == WA_OK; j++) {
        uint32_t part = wa__dc_reshape(r, wa__dc_slice(r, x, 1, j * distance, j * distance + windows), (int64_t[]){rows, windows, 1}, 3);
        uint32_t same = wa__dc2(r, WA_OP_Equal, part, column(r, wa__rw_t(r, x)->dtype, pool, grams, length, j));
        all = all == WA_NONE ? same : wa__dc2(r, WA_OP_And, all, same);
    }
    return all == WA_NONE || r->status != WA_OK ? WA_NONE : wa__dc_reduce(r, WA_OP_ReduceSum, wa__dc_cast(r, all, WA_F32), &axis, 1, false);
}

/* [grams, outputs]: where the counts of n-grams from `first` on go, times their weights. */
static uint32_t places(wa_rw *r, const tfidf *t, int64_t first, int64_t grams)
{
    wa_tensor_type type = {WA_F32, 2, {grams, t->outputs}};
    float *m = wa__alloc((size_t)(grams * t->outputs) + 1, sizeof *m);
    if (!wa__rw_need(r, m != NULL)) return WA_NONE;
    for (int64_t i = 0; i < grams && first + i < (int64_t)t->place_count; i++)
        m[i * t->outputs + t->places[first + i]] = t->weighted && t->weights ? t->weights[first + i] : 1;
    uint32_t c = wa__graph_const(r->g, WA_STR(""), &type, m, -1);
    wa__free(m);
    return wa__rw_need(r, c != WA_NONE) && wa__rw_grow(r) ? c : WA_NONE;
}

static bool tfidf_vectorizer(wa_rw *r, uint32_t node)
{
    wa_node n = r->g->nodes[node];
    tfidf t = {.outputs = 0};
    wa_tensor_type x = *wa__rw_t(r, n.inputs[0]);
    if (wa__attr_find(n.attrs, n.attr_count, "pool_strings")) return bad(r, &n, WA_UNSUPPORTED, "n-grams of strings are not supported");
    const char *why = read(&n, &t);
    if (!why && x.rank != 1 && x.rank != 2) why = "its input is no row or matrix";
    if (why) return bad(r, &n, WA_CORRUPT, why);
    int64_t rows = x.rank == 2 ? x.dims[0] : 1, width = x.dims[x.rank - 1], first = 0;
    uint32_t in = wa__dc_reshape(r, n.inputs[0], (int64_t[]){rows, width}, 2), sum = WA_NONE;
    for (int64_t length = 1; length <= (int64_t)t.start_count && r->status == WA_OK; length++) {
        int64_t start = t.starts[length - 1], end = length < (int64_t)t.start_count ? t.starts[length] : (int64_t)t.pool_count, grams = (end - start) / length;
        uint32_t found = WA_NONE;
        for (int64_t skip = 0; skip <= (length == 1 ? 0 : t.skips) && grams > 0 && length >= t.shortest && length <= t.longest; skip++) {
            uint32_t one = matches(r, in, rows, width, t.pool + start, grams, length, skip + 1);
            if (one != WA_NONE) found = found == WA_NONE ? one : wa__dc2(r, WA_OP_Add, found, one);
        }
        if (found != WA_NONE) {
            if (!t.counts) found = wa__dc2(r, WA_OP_Min, found, wa__dc_scalar(r, WA_F32, 1));
            uint32_t put = wa__dc2(r, WA_OP_MatMul, found, places(r, &t, first, grams));
            sum = sum == WA_NONE ? put : wa__dc2(r, WA_OP_Add, sum, put);
        }
        first += grams;
    }
    if (sum == WA_NONE && r->status == WA_OK) { /* no window is long enough */
        uint32_t shape = wa__rw_const_ints(r, (int64_t[]){rows, t.outputs}, 2);
        if (shape != WA_NONE) sum = wa__dc2(r, WA_OP_Expand, wa__dc_scalar(r, WA_F32, 0), shape);
    }
    if (r->status == WA_OK) wa__dc_result(r, node, 0, wa__dc_reshape(r, sum, x.rank == 2 ? (int64_t[]){rows, t.outputs} : &t.outputs, x.rank));
    return true;
}

const wa_decompose_row wa__decompose_tfidf[] = {{WA_OP_TfIdfVectorizer, tfidf_vectorizer}, {WA_OP_NONE, NULL}};
