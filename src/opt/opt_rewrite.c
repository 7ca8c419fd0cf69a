/* The rewrite session that passes work through. See opt_int.h. */
#include "opt/opt_int.h"
#include <math.h>

void wa__rw_fail(wa_rw *r, wa_status s)
{
    if (r->status == WA_OK) r->status = s;
}

bool wa__rw_need(wa_rw *r, bool ok)
{
    if (!ok && r->status == WA_OK) r->status = wa__no_memory(r->err, "rewriting a graph");
    return ok && r->status == WA_OK;
}

bool wa__rw_grow(wa_rw *r)
{
    void *uses = r->uses, *alias = r->alias, *out = r->is_output;
    size_t n = r->g->value_count;
    bool ok = wa__array_reserve(&uses, &r->uses_cap, n, sizeof *r->uses);
    ok = wa__array_reserve(&alias, &r->alias_cap, n, sizeof *r->alias) && ok;
    ok = wa__array_reserve(&out, &r->output_cap, n, sizeof *r->is_output) && ok;
    r->uses = uses;
    r->alias = alias;
    r->is_output = out;
    return wa__rw_need(r, ok);
}

wa_status wa__rw_begin(wa_rw *r, wa_graph *g, const wa_opt_options *options, wa_error *err)
{
    *r = (wa_rw){.g = g, .options = options, .err = err};
    if (!wa__rw_grow(r)) return r->status;
    for (uint32_t i = 0; i < g->node_count; i++) {
        const wa_node *n = &g->nodes[i];
        for (uint32_t k = 0; !n->dead && k < n->input_count; k++)
            if (n->inputs[k] != WA_NONE) r->uses[n->inputs[k]]++;
    }
    for (uint32_t i = 0; i < g->output_count; i++) {
        r->uses[g->outputs[i]]++;
        r->is_output[g->outputs[i]] = true;
    }
    return WA_OK;
}

static uint32_t resolve(wa_rw *r, uint32_t v)
{
    uint32_t end = v;
    while (end != WA_NONE && r->alias[end]) end = r->alias[end] - 1;
    while (v != end) { /* shorten the path for the next one who asks */
        uint32_t next = r->alias[v] - 1;
        r->alias[v] = end + 1;
        v = next;
    }
    return end;
}

static void rw_done(wa_rw *r)
{
    wa__free(r->uses);
    wa__free(r->alias);
    wa__free(r->is_output);
    wa__free(r->stack);
}

wa_status wa__rw_end(wa_rw *r)
{
    wa_graph *g = r->g;
    if (r->status == WA_OK && r->changed) {
        for (uint32_t i = 0; i < g->node_count; i++)
            for (uint32_t k = 0; !g->nodes[i].dead && k < g->nodes[i].input_count; k++)
                g->nodes[i].inputs[k] = resolve(r, g->nodes[i].inputs[k]);
        for (uint32_t i = 0; i < g->output_count; i++) g->outputs[i] = resolve(r, g->outputs[i]);
        r->status = wa__graph_compact(g, r->err);
    }
    rw_done(r);
    return r->status;
}

bool wa__rw_visit(wa_rw *r, uint32_t i)
{
    wa_node *n = &r->g->nodes[i];
    if (n->dead || r->status != WA_OK) return false;
    for (uint32_t k = 0; k < n->input_count; k++) n->inputs[k] = resolve(r, n->inputs[k]);
    return true;
}

/* --- changing -------------------------------------------------------------------------------------- */

static void use(wa_rw *r, uint32_t v)
{
    if (v != WA_NONE) r->uses[v]++;
}

static bool push(wa_rw *r, uint32_t *count, uint32_t v)
{
    void *stack = r->stack;
    bool ok = wa__array_reserve(&stack, &r->stack_cap, (size_t)*count + 1, sizeof v);
    r->stack = stack;
    if (!wa__rw_need(r, ok)) return false;
    r->stack[(*count)++] = v;
    return true;
}

/* One use less; a node whose results have no use left dies, and its inputs lose a use in turn. */
static void drop(wa_rw *r, uint32_t v)
{
    uint32_t count = 0;
    if (v == WA_NONE || !push(r, &count, v)) return;
    while (count) {
        v = r->stack[--count];
        if (--r->uses[v] || r->g->values[v].producer == WA_NONE) continue;
        wa_node *n = &r->g->nodes[r->g->values[v].producer];
        bool used = n->dead;
        for (uint32_t i = 0; i < n->output_count; i++) used = used || r->uses[n->outputs[i]];
        if (used) continue;
        n->dead = true;
        r->changed = true;
        for (uint32_t i = 0; i < n->input_count; i++)
            if (n->inputs[i] != WA_NONE && !push(r, &count, resolve(r, n->inputs[i]))) return;
    }
}

void wa__rw_drop_inputs(wa_rw *r, uint32_t node)
{
    for (uint32_t i = 0; i < r->g->nodes[node].input_count; i++) drop(r, r->g->nodes[node].inputs[i]);
}

bool wa__rw_become(wa_rw *r, uint32_t node, wa_op op, const uint32_t *inputs, uint32_t count)
{
    wa_node *n = &r->g->nodes[node];
    uint32_t *copy = WA_ARENA_NEW(r->g->arena, uint32_t, count);
    if (!wa__rw_need(r, copy != NULL)) return false;
    memcpy(copy, inputs, count * sizeof *copy);
    uint32_t *old = n->inputs, old_count = n->input_count;
    for (uint32_t i = 0; i < count; i++) use(r, copy[i]);
    n->op = op;
    n->inputs = copy;
    n->input_count = count;
    n->attrs = NULL;
    n->attr_count = 0;
    n->opset = 0;
    r->changed = true;
    for (uint32_t i = 0; i < old_count; i++) drop(r, old[i]);
    return r->status == WA_OK;
}

uint32_t wa__rw_node(wa_rw *r, wa_op op, const uint32_t *inputs, uint32_t count) { return wa__rw_node_many(r, op, inputs, count, 1); }

uint32_t wa__rw_node_many(wa_rw *r, wa_op op, const uint32_t *inputs, uint32_t count, uint32_t outputs)
{
    uint32_t node = wa__graph_node(r->g, op, WA_STR(""), inputs, count, outputs);
    if (!wa__rw_need(r, node != WA_NONE) || !wa__rw_grow(r)) return WA_NONE;
    for (uint32_t i = 0; i < count; i++) use(r, inputs[i]);
    r->changed = true;
    return node;
}

bool wa__rw_adopt(wa_rw *r, uint32_t first)
{
    if (!wa__rw_grow(r)) return false;
    for (uint32_t i = first; i < r->g->node_count; i++)
        for (uint32_t k = 0; k < r->g->nodes[i].input_count; k++) use(r, r->g->nodes[i].inputs[k]);
    r->changed = true;
    return true;
}

void wa__rw_abandon(wa_rw *r, uint32_t first)
{
    for (uint32_t i = r->g->node_count; i-- > first;) {
        if (r->g->nodes[i].dead) continue;
        r->g->nodes[i].dead = true;
        wa__rw_drop_inputs(r, i);
    }
}

bool wa__rw_type(wa_rw *r, uint32_t node)
{
    if (r->status != WA_OK) return false;
    const wa_node *n = &r->g->nodes[node];
    wa_tensor_type old = r->g->values[n->outputs[0]].type;
    wa_status s = wa__graph_infer_node(r->g, node, r->err);
    if (s == WA_OK && old.rank != WA_RANK_UNKNOWN && !wa__type_eq(&old, &r->g->values[n->outputs[0]].type)) {
        char was[200], now[200];
        wa__type_text(&old, was, sizeof was);
        wa__type_text(&r->g->values[n->outputs[0]].type, now, sizeof now);
        s = wa__fail(r->err, WA_INTERNAL, "a pass changed a result from %s to %s at %s %.*s", was, now, wa__op_info(n->op)->name, WA_STR_ARG(n->name));
    }
    wa__rw_fail(r, s);
    return s == WA_OK;
}

void wa__rw_set_input(wa_rw *r, uint32_t node, uint32_t input, uint32_t value)
{
    uint32_t old = r->g->nodes[node].inputs[input];
    if (old == value) return;
    use(r, value);
    r->g->nodes[node].inputs[input] = value;
    r->changed = true;
    drop(r, old);
}

bool wa__rw_replace(wa_rw *r, uint32_t from, uint32_t to)
{
    wa_value *f = &r->g->values[from], *t = &r->g->values[to];
    if (r->is_output[from]) {
        if (t->kind != WA_VALUE_NODE || r->is_output[to]) return false;
        if (f->name.len) {
            t->name = f->name;
            f->name = (wa_str){NULL, 0};
        }
        r->is_output[to] = true;
    }
    r->uses[to] += r->uses[from];
    r->uses[from] = 1;
    r->alias[from] = to + 1;
    r->changed = true;
    drop(r, from);
    return true;
}

uint32_t wa__rw_const_ints(wa_rw *r, const int64_t *values, uint32_t count)
{
    uint32_t v = wa__graph_const_i64(r->g, values, count);
    return wa__rw_need(r, v != WA_NONE) && wa__rw_grow(r) ? v : WA_NONE;
}

bool wa__rw_share_const(wa_rw *r, uint32_t node, uint32_t from)
{
    wa_node *n = &r->g->nodes[node];
    wa_value *v = &r->g->values[n->outputs[0]], *c = &r->g->values[from];
    v->kind = WA_VALUE_CONST;
    v->producer = WA_NONE;
    v->data = c->data;
    v->source = c->source;
    v->offset = c->offset;
    if (v->name.len == 0 && r->uses[from] == 1 && !r->is_output[from]) { /* the weight's name goes with its bytes */
        v->name = c->name;
        c->name = (wa_str){NULL, 0};
    }
    n->dead = true;
    r->changed = true;
    wa__rw_drop_inputs(r, node);
    return true;
}

/* --- matching -------------------------------------------------------------------------------------- */

/* A value that a failed step did not make has a type of no elements' kind and rank 0: the steps after it
 * ask, and what they make of it is dropped with the status. */
const wa_tensor_type *wa__rw_t(const wa_rw *r, uint32_t value)
{
    static const wa_tensor_type none = {WA_DTYPE_NONE, 0, {0}};
    return value == WA_NONE ? &none : &r->g->values[value].type;
}

bool wa__rw_is_const(const wa_rw *r, uint32_t value) { return value != WA_NONE && r->g->values[value].kind == WA_VALUE_CONST; }

uint32_t wa__rw_def(const wa_rw *r, uint32_t value, wa_op op)
{
    if (value == WA_NONE || r->g->values[value].kind != WA_VALUE_NODE) return WA_NONE;
    uint32_t p = r->g->values[value].producer;
    if (p == WA_NONE || r->g->nodes[p].dead || (op != WA_OP_NONE && r->g->nodes[p].op != op)) return WA_NONE;
    return p;
}

uint32_t wa__rw_def1(const wa_rw *r, uint32_t value, wa_op op)
{
    uint32_t p = wa__rw_def(r, value, op);
    return p != WA_NONE && r->uses[value] == 1 && !r->is_output[value] && r->g->nodes[p].output_count == 1 ? p : WA_NONE;
}

uint32_t wa__rw_in(const wa_rw *r, uint32_t node, uint32_t i)
{
    return i < r->g->nodes[node].input_count ? r->g->nodes[node].inputs[i] : WA_NONE;
}

bool wa__rw_scalar(const wa_rw *r, uint32_t value, double *out)
{
    if (!wa__rw_is_const(r, value)) return false;
    const wa_value *v = &r->g->values[value];
    int64_t n = wa__count(&v->type);
    size_t size = wa__dtype_size(v->type.dtype);
    if (size == 0 || n < 1 || n > 1 << 22) return false;
    if (n > 1 && memcmp(v->data, v->data + size, (size_t)(n - 1) * size) != 0) return false; /* all equal */
    union { const uint8_t *in; void *data; } u = {.in = v->data};
    wa_view view = {v->type, u.data};
    *out = wa__get_f64(&view, 0);
    return true;
}

bool wa__rw_is_scalar(const wa_rw *r, uint32_t value, double want)
{
    double x;
    if (!wa__rw_scalar(r, value, &x)) return false;
    return x == want || fabs(x - want) <= 2e-6 * fabs(want);
}

bool wa__rw_split_scalar(const wa_rw *r, uint32_t node, double *scalar, uint32_t *other)
{
    uint32_t a = wa__rw_in(r, node, 0), b = wa__rw_in(r, node, 1);
    if (wa__rw_scalar(r, b, scalar)) *other = a;
    else if (wa__rw_scalar(r, a, scalar)) *other = b;
    else return false;
    return true;
}

bool wa__rw_split_def1(const wa_rw *r, uint32_t node, wa_op op, uint32_t *def, uint32_t *other)
{
    uint32_t a = wa__rw_in(r, node, 0), b = wa__rw_in(r, node, 1);
    if ((*def = wa__rw_def1(r, a, op)) != WA_NONE) *other = b;
    else if ((*def = wa__rw_def1(r, b, op)) != WA_NONE) *other = a;
    else return false;
    return true;
}

bool wa__rw_is_weight(const wa_rw *r, uint32_t value)
{
    if (value == WA_NONE || !wa__dtype_is_float(wa__rw_t(r, value)->dtype)) return false;
    if (wa__rw_is_const(r, value)) return true;
    uint32_t cast = wa__rw_def(r, value, WA_OP_Cast);
    return cast != WA_NONE && wa__rw_is_const(r, wa__rw_in(r, cast, 0));
}

bool wa__rw_reduces(const wa_rw *r, uint32_t node, int64_t axis, int keepdims)
{
    int64_t axes[WA_RANK_MAX];
    uint32_t count = 0;
    const wa_node *n = &r->g->nodes[node];
    int64_t rank = wa__rw_t(r, n->inputs[0])->rank;
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, "axes");
    if (a && a->kind == WA_ATTR_KIND_INTS && a->count == 1) axes[count++] = a->ints[0];
    else if (!wa__graph_const_ints(r->g, wa__rw_in(r, node, 1), axes, WA_RANK_MAX, &count)) return false;
    if (count != 1 || (keepdims >= 0 && (wa__node_int(n, "keepdims", 1) != 0) != (keepdims != 0))) return false;
    return (axes[0] < 0 ? axes[0] + rank : axes[0]) == (axis < 0 ? axis + rank : axis);
}

bool wa__rw_perm_is(const wa_rw *r, uint32_t node, const int64_t *perm, uint32_t count)
{
    const wa_node *n = &r->g->nodes[node];
    const wa_attr *a = wa__attr_find(n->attrs, n->attr_count, "perm");
    if (a) return a->kind == WA_ATTR_KIND_INTS && a->count == count && memcmp(a->ints, perm, count * sizeof *perm) == 0;
    if (wa__rw_t(r, n->inputs[0])->rank != count) return false;
    for (uint32_t i = 0; i < count; i++)
        if (perm[i] != (int64_t)(count - 1 - i)) return false;
    return true;
}

bool wa__rw_same_type(const wa_rw *r, uint32_t a, uint32_t b)
{
    return a != WA_NONE && b != WA_NONE && wa__type_eq(wa__rw_t(r, a), wa__rw_t(r, b));
}
