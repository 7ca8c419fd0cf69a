/* RNN, GRU and LSTM: the input projection of all steps and directions as one product, then Recurrence.
 * See decompose.h and the operator's text in schema/ops.json. */
#include "opt/decompose_parts.h"

enum { X, W, R, B, LENS, H0, C0, P };
enum { RNN, GRU, LSTM };
/* As kernels/recurrence.h numbers them. `given`: how many of alpha, beta it takes; their defaults are ONNX's. */
static const struct {
    const char *name;
    uint32_t given;
    float alpha, beta;
} activations[] = {
    {"relu", 0, 0, 0}, {"tanh", 0, 0, 0}, {"sigmoid", 0, 0, 0}, {"affine", 2, 1, 0}, {"leakyrelu", 1, 0.01f, 0}, {"thresholdedrelu", 1, 1, 0},
    {"scaledtanh", 2, 1, 1}, {"hardsigmoid", 2, 0.2f, 0.5f}, {"elu", 1, 1, 0}, {"softsign", 0, 0, 0}, {"softplus", 0, 0, 0},
};
#define ACTIVATIONS (sizeof activations / sizeof *activations)
#define PER_CELL 3u

typedef struct cell {
    wa_rw *r;
    uint32_t node, kind, gates, in[8];
    int64_t dirs, steps, batch, hidden, input;
    bool by_batch; /* layout 1 */
    int64_t acts[2 * PER_CELL];
    float alphas[2 * PER_CELL], betas[2 * PER_CELL];
    uint32_t act_count;
} cell;

static bool bad(const cell *c, wa_status s, const char *why)
{
    const wa_node *n = &c->r->g->nodes[c->node];
    wa__rw_fail(c->r, wa__fail(c->r->err, s, "%s node %u (%.*s): %s", wa__op_info(n->op)->name, c->node, WA_STR_ARG(n->name), why));
    return false;
}

/* --- activations ------------------------------------------------------------------------------------------ */
static bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static bool same_word(const char *name, const char *text, size_t n)
{
    size_t i = 0;
    for (; i < n && name[i]; i++)
        if (name[i] != (text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i])) return false;
    return i == n && !name[i];
}

/* "activations" is a list of names (import joins it); alpha and beta go to those that take them, in order. */
static bool read_activations(cell *c)
{
    static const int64_t defaults[3][PER_CELL] = {{1, 0, 0}, {2, 1, 0}, {2, 1, 1}};
    const wa_node *n = &c->r->g->nodes[c->node];
    uint32_t each = c->kind == RNN ? 1 : c->kind == GRU ? 2 : 3, found = 0, alpha = 0, beta = 0;
    wa_str text = wa__dp_str(n, "activations", "");
    const wa_attr *as = wa__attr_find(n->attrs, n->attr_count, "activation_alpha"), *bs = wa__attr_find(n->attrs, n->attr_count, "activation_beta");
    c->act_count = each * (uint32_t)c->dirs;
    for (size_t at = 0; at < text.len;) {
        size_t end = at;
        while (end < text.len && is_word(text.ptr[end])) end++;
        if (end == at) {
            at++;
            continue;
        }
        size_t k = 0;
        while (k < ACTIVATIONS && !same_word(activations[k].name, text.ptr + at, end - at)) k++;
        if (k == ACTIVATIONS || found == c->act_count) return bad(c, WA_UNSUPPORTED, "its activations are unknown or too many");
        c->acts[found++] = (int64_t)k;
        at = end;
    }
    if (found && found != c->act_count) return bad(c, WA_CORRUPT, "it has too few activations");
    for (uint32_t i = 0; i < c->act_count; i++) {
        if (!found) c->acts[i] = defaults[c->kind][i % each];
        c->alphas[i] = activations[c->acts[i]].alpha;
        c->betas[i] = activations[c->acts[i]].beta;
        if (activations[c->acts[i]].given > 0 && as && as->kind == WA_ATTR_KIND_FLOATS && alpha < as->count) c->alphas[i] = as->floats[alpha++];
        if (activations[c->acts[i]].given > 1 && bs && bs->kind == WA_ATTR_KIND_FLOATS && beta < bs->count) c->betas[i] = bs->floats[beta++];
    }
    return true;
}

/* --- shapes ------------------------------------------------------------------------------------------------ */
static bool has_dims(const cell *c, uint32_t i, uint32_t rank, int64_t a, int64_t b, int64_t d)
{
    if (c->in[i] == WA_NONE) return true;
    const wa_tensor_type *t = wa__rw_t(c->r, c->in[i]);
    return t->rank == rank && t->dims[0] == a && (rank < 2 || t->dims[1] == b) && (rank < 3 || t->dims[2] == d);
}

static bool read_shapes(cell *c)
{
    const wa_node *n = &c->r->g->nodes[c->node];
    wa_str way = wa__dp_str(n, "direction", "forward");
    for (uint32_t i = 0; i < 8; i++) c->in[i] = wa__rw_in(c->r, c->node, i);
    const wa_tensor_type *x = wa__rw_t(c->r, c->in[X]), *w = wa__rw_t(c->r, c->in[W]), *rt = wa__rw_t(c->r, c->in[R]);
    c->kind = n->op == WA_OP_RNN ? RNN : n->op == WA_OP_GRU ? GRU : LSTM;
    c->gates = c->kind == RNN ? 1 : c->kind == GRU ? 3 : 4;
    c->by_batch = wa__node_int(n, "layout", 0) != 0;
    c->dirs = wa__str_is(way, "bidirectional") ? 2 : 1;
    if (x->rank != 3 || w->rank != 3 || rt->rank != 3) return bad(c, WA_CORRUPT, "its input or weights are not of rank 3");
    c->steps = x->dims[c->by_batch ? 1 : 0];
    c->batch = x->dims[c->by_batch ? 0 : 1];
    c->input = x->dims[2];
    c->hidden = rt->dims[2];
    int64_t gh = (int64_t)c->gates * c->hidden, s0 = c->by_batch ? c->batch : c->dirs, s1 = c->by_batch ? c->dirs : c->batch;
    if (c->hidden < 1 || c->hidden > INT32_MAX || !has_dims(c, W, 3, c->dirs, gh, c->input) || !has_dims(c, R, 3, c->dirs, gh, c->hidden) || !has_dims(c, B, 2, c->dirs, 2 * gh, 0) ||
        !has_dims(c, LENS, 1, c->batch, 0, 0) || !has_dims(c, H0, 3, s0, s1, c->hidden) || !has_dims(c, C0, 3, s0, s1, c->hidden) || !has_dims(c, P, 2, c->dirs, 3 * c->hidden, 0))
        return bad(c, WA_CORRUPT, "its inputs' shapes do not fit each other");
    return true;
}

/* --- building ---------------------------------------------------------------------------------------------- */
/* Input and recurrent bias of every gate, added where they may be; [D*G*H], WA_NONE without bias. The
 * hidden gate's own recurrent bias of GRU with linear_before_reset goes to *extra. */
static uint32_t biases(cell *c, uint32_t *extra)
{
    if (c->in[B] == WA_NONE) return WA_NONE;
    int64_t gh = (int64_t)c->gates * c->hidden, h = c->hidden;
    uint32_t b = wa__dp_wide(c->r, c->in[B]), wb = wa__dc_slice(c->r, b, 1, 0, gh), rb = wa__dc_slice(c->r, b, 1, gh, 2 * gh), sum;
    if (c->kind == GRU && wa__node_int(&c->r->g->nodes[c->node], "linear_before_reset", 0)) {
        *extra = wa__dc_slice(c->r, rb, 1, 2 * h, 3 * h);
        uint32_t gates = wa__dc2(c->r, WA_OP_Add, wa__dc_slice(c->r, wb, 1, 0, 2 * h), wa__dc_slice(c->r, rb, 1, 0, 2 * h));
        sum = wa__dc_concat(c->r, (uint32_t[]){gates, wa__dc_slice(c->r, wb, 1, 2 * h, 3 * h)}, 2, 1);
    } else {
        sum = wa__dc2(c->r, WA_OP_Add, wb, rb);
    }
    return wa__dc_reshape(c->r, sum, (int64_t[]){c->dirs * gh}, 1);
}

/* Recurrent weights with the hidden size first; a constant is turned here, once. */
static uint32_t turned(cell *c)
{
    uint32_t w = wa__dp_wide(c->r, c->in[R]);
    wa_tensor_type t = {WA_F32, 3, {c->dirs, c->hidden, (int64_t)c->gates * c->hidden}};
    uint64_t bytes;
    if (c->r->status != WA_OK) return WA_NONE;
    const wa_value *v = &c->r->g->values[w];
    if (v->kind != WA_VALUE_CONST || v->type.dtype != WA_F32 || !wa__type_bytes(&t, &bytes) || bytes > WA_LIMIT_FOLD_BYTES) return wa__dc_transpose(c->r, w, (int64_t[]){0, 2, 1}, 3);
    uint8_t *to = wa__alloc((size_t)bytes + 1, 1);
    if (!wa__rw_need(c->r, to != NULL)) return WA_NONE;
    int64_t rows = t.dims[2], columns = c->hidden;
    for (int64_t d = 0; d < c->dirs; d++)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t k = 0; k < columns; k++)
                memcpy(to + 4 * ((d * columns + k) * rows + i), v->data + 4 * ((d * rows + i) * columns + k), 4);
    uint32_t made = wa__dp_const(c->r, &t, to);
    wa__free(to);
    return made;
}

/* An initial state in layout 0, or zeros. */
static uint32_t state_input(cell *c, uint32_t i)
{
    if (c->in[i] == WA_NONE) return wa__dp_zeros(c->r, wa__rw_t(c->r, c->in[X])->dtype == WA_F64 ? WA_F64 : WA_F32, (int64_t[]){c->dirs, c->batch, c->hidden}, 3);
    uint32_t v = wa__dp_wide(c->r, c->in[i]);
    return c->by_batch ? wa__dc_transpose(c->r, v, (int64_t[]){1, 0, 2}, 3) : v;
}

static uint32_t initial(cell *c)
{
    if (c->in[H0] == WA_NONE && c->in[C0] == WA_NONE) return WA_NONE;
    uint32_t h = state_input(c, H0);
    return c->kind == LSTM ? wa__dc_concat(c->r, (uint32_t[]){h, state_input(c, C0)}, 2, 2) : h;
}

static bool set_attributes(cell *c, uint32_t node)
{
    const wa_node *n = &c->r->g->nodes[c->node];
    wa_str way = wa__dp_str(n, "direction", "forward");
    float clip = wa__node_float(n, "clip", 0);
    int64_t lbr = wa__node_int(n, "linear_before_reset", 0), forget = wa__node_int(n, "input_forget", 0);
    wa_graph *g = c->r->g;
    return wa__node_set_int(g, node, "kind", c->kind) && wa__node_set_int(g, node, "direction", c->dirs == 2 ? 2 : wa__str_is(way, "reverse")) &&
           wa__node_set_ints(g, node, "acts", c->acts, c->act_count) && wa__node_set_floats(g, node, "alphas", c->alphas, c->act_count) &&
           wa__node_set_floats(g, node, "betas", c->betas, c->act_count) && wa__node_set_float(g, node, "clip", clip) &&
           wa__node_set_int(g, node, "linear_before_reset", lbr != 0) && wa__node_set_int(g, node, "input_forget", forget != 0);
}

static uint32_t layout_state(cell *c, uint32_t v) { return c->by_batch ? wa__dc_transpose(c->r, v, (int64_t[]){1, 0, 2}, 3) : v; }

static bool recurrent(wa_rw *r, uint32_t node)
{
    cell c = {.r = r, .node = node};
    if (!read_shapes(&c) || !read_activations(&c)) return true;
    wa_dtype type = wa__rw_t(r, c.in[X])->dtype;
    int64_t gh = (int64_t)c.gates * c.hidden, h = c.hidden;
    uint32_t extra = WA_NONE, x = wa__dp_wide(r, c.in[X]);
    if (c.by_batch) x = wa__dc_transpose(r, x, (int64_t[]){1, 0, 2}, 3);
    x = wa__dc_reshape(r, x, (int64_t[]){c.steps * c.batch, c.input}, 2);
    uint32_t bias = biases(&c, &extra), w = wa__dc_reshape(r, wa__dp_wide(r, c.in[W]), (int64_t[]){c.dirs * gh, c.input}, 2);
    x = wa__dc_reshape(r, wa__dp_gemm(r, x, w, true, bias), (int64_t[]){c.steps, c.batch, c.dirs * gh}, 3);
    if (c.kind == LSTM && c.in[P] != WA_NONE) extra = wa__dp_wide(r, c.in[P]);
    uint32_t lens = c.in[LENS] == WA_NONE ? WA_NONE : wa__dc_cast(r, c.in[LENS], WA_I32);
    uint32_t n = wa__dc_node(r, WA_OP_Recurrence, (uint32_t[]){x, turned(&c), extra, lens, initial(&c)}, 5, 2);
    if (n == WA_NONE || !wa__rw_need(r, set_attributes(&c, n))) return true;
    uint32_t y = wa__dc_out(r, n, 0), last = wa__dc_out(r, n, 1);
    if (c.by_batch && wa__dp_wants(r, node, 0)) y = wa__dc_transpose(r, y, (int64_t[]){2, 0, 1, 3}, 4);
    if (wa__dp_wants(r, node, 1)) wa__dp_result(r, node, 1, layout_state(&c, c.kind == LSTM ? wa__dc_slice(r, last, 2, 0, h) : last), type);
    if (wa__dp_wants(r, node, 2)) wa__dp_result(r, node, 2, layout_state(&c, wa__dc_slice(r, last, 2, h, 2 * h)), type);
    wa__dp_result(r, node, 0, y, type);
    return true;
}

const wa_decompose_row wa__decompose_rnn[] = {
    {WA_OP_RNN, recurrent}, {WA_OP_GRU, recurrent}, {WA_OP_LSTM, recurrent}, {WA_OP_NONE, NULL},
};
