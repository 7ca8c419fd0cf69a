/* A graph as text: for people (inspect, golden tests) or canonical (comparing two importers).
 * Lines: "input %0 : f32[1,8]  # name", "const %1 : i64[2] = {1, 2}", "%3 = Add(%0, %1) : f32[1,8]  # name",
 * "output %3". Constants of at most CONTENTS_MAX elements show them. Canonical text walks from the
 * outputs, numbers values by first use, writes constants as their type in place, and sees weights of
 * products as [K,N] whichever way they are stored. Called by api, opt's tests, import's tests. */
#include "graph/graph_int.h"
#include <math.h>
#include <stdio.h>

#define CONTENTS_MAX 16

typedef struct printer {
    const wa_graph *g;
    wa_buf *out;
    wa_error *err;
    bool canonical;
    uint32_t depth;   /* of sub-graphs: two blanks each */
    uint32_t *number; /* canonical: value -> number, WA_NONE before its first use */
    uint32_t next;
} printer;

static wa_status put_type(const printer *p, const wa_tensor_type *t)
{
    char text[256];
    if (t->rank == WA_RANK_UNKNOWN) return wa__buf_printf(p->out, p->err, "?");
    WA_TRY(wa__buf_printf(p->out, p->err, "%s[", t->dtype ? wa__dtype_info(t->dtype)->name : "?"));
    for (uint32_t i = 0; i < t->rank && i < WA_RANK_MAX; i++) {
        int64_t d = t->dims[i];
        if (d < 0 && -1 - d < p->g->symbol_count)
            snprintf(text, sizeof text, "%s%.*s", i ? "," : "", WA_STR_ARG(p->g->symbols[-1 - d]));
        else snprintf(text, sizeof text, "%s%lld", i ? "," : "", (long long)d);
        WA_TRY(wa__buf_printf(p->out, p->err, "%s", text));
    }
    return wa__buf_printf(p->out, p->err, "]");
}

static wa_status put_name(const printer *p, wa_str name)
{
    if (p->canonical || name.len == 0) return wa__buf_printf(p->out, p->err, "\n");
    return wa__buf_printf(p->out, p->err, "  # %.*s\n", WA_STR_ARG(name));
}

static wa_status put_contents(const printer *p, const wa_value *v)
{
    int64_t n;
    if (wa__dtype_size(v->type.dtype) == 0 || !wa__type_count(&v->type, &n) || n > CONTENTS_MAX) return WA_OK;
    union { const uint8_t *in; void *data; } u = {.in = v->data};
    wa_view view = {v->type, u.data};
    WA_TRY(wa__buf_printf(p->out, p->err, " = {"));
    for (int64_t i = 0; i < n; i++) {
        const char *comma = i ? ", " : "";
        if (wa__dtype_is_float(v->type.dtype))
            WA_TRY(wa__buf_printf(p->out, p->err, "%s%.9g", comma, wa__get_f64(&view, i)));
        else WA_TRY(wa__buf_printf(p->out, p->err, "%s%lld", comma, (long long)wa__get_i64(&view, i)));
    }
    return wa__buf_printf(p->out, p->err, "}");
}

/* Whether attribute or constant `input` of n says only how a weight lies in memory. */
static bool is_layout_attr(const printer *p, const wa_node *n, const char *name)
{
    return (n->op == WA_OP_FusedMatMul && strcmp(name, "transB") == 0) ||
           (n->op == WA_OP_Concat && strcmp(name, "axis") == 0 && n->input_count > 0 && n->inputs[0] != WA_NONE &&
            p->g->values[n->inputs[0]].kind == WA_VALUE_CONST && p->g->values[n->inputs[0]].type.rank == 2);
}

static wa_status put_attr(const printer *p, const wa_attr *a, const char *before)
{
    WA_TRY(wa__buf_printf(p->out, p->err, "%s%.*s=", before, WA_STR_ARG(a->name)));
    switch (a->kind) {
    case WA_ATTR_KIND_INT: return wa__buf_printf(p->out, p->err, "%lld", (long long)a->i);
    case WA_ATTR_KIND_FLOAT:
        /* a point or exponent tells a float from an int when the text is read back */
        return wa__buf_printf(p->out, p->err, isfinite(a->f) && a->f == truncf(a->f) && fabsf(a->f) < 1e6f ? "%.1f" : "%.9g", (double)a->f);
    case WA_ATTR_KIND_STRING: return wa__buf_printf(p->out, p->err, "\"%.*s\"", WA_STR_ARG(a->s));
    case WA_ATTR_KIND_INTS:
        WA_TRY(wa__buf_printf(p->out, p->err, "["));
        for (uint32_t i = 0; i < a->count; i++)
            WA_TRY(wa__buf_printf(p->out, p->err, i ? ",%lld" : "%lld", (long long)a->ints[i]));
        return wa__buf_printf(p->out, p->err, "]");
    case WA_ATTR_KIND_FLOATS:
        WA_TRY(wa__buf_printf(p->out, p->err, "<"));
        for (uint32_t i = 0; i < a->count; i++)
            WA_TRY(wa__buf_printf(p->out, p->err, i ? ",%.9g" : "%.9g", (double)a->floats[i]));
        return wa__buf_printf(p->out, p->err, ">");
    default: return wa__buf_printf(p->out, p->err, "?");
    }
}

static wa_status put_attrs(const printer *p, const wa_node *n)
{
    bool any = false;
    for (uint32_t done = 0; done < n->attr_count; done++) {
        /* canonical text has them by name; a node has few */
        const wa_attr *a = &n->attrs[done];
        for (uint32_t i = 0; p->canonical && i < n->attr_count; i++) {
            uint32_t before = 0;
            for (uint32_t k = 0; k < n->attr_count; k++) {
                size_t len = n->attrs[k].name.len < n->attrs[i].name.len ? n->attrs[k].name.len : n->attrs[i].name.len;
                int c = memcmp(n->attrs[k].name.ptr, n->attrs[i].name.ptr, len);
                before += c < 0 || (c == 0 && n->attrs[k].name.len < n->attrs[i].name.len);
            }
            if (before == done) a = &n->attrs[i];
        }
        char name[64];
        snprintf(name, sizeof name, "%.*s", WA_STR_ARG(a->name));
        if (p->canonical && is_layout_attr(p, n, name)) continue;
        WA_TRY(put_attr(p, a, any ? ", " : " {"));
        any = true;
    }
    return any ? wa__buf_printf(p->out, p->err, "}") : WA_OK;
}

/* Type of input i as canonical text shows it: weights of products as [K,N], parts of a concatenated
 * weight likewise by their node's user, which alone knows; see canonical_type. */
static wa_status put_operand(const printer *p, const wa_node *n, uint32_t i)
{
    uint32_t v = n->inputs[i];
    if (v == WA_NONE) return wa__buf_printf(p->out, p->err, "-");
    if (!p->canonical) return wa__buf_printf(p->out, p->err, "%%%u", v);
    if (p->g->values[v].kind != WA_VALUE_CONST) return wa__buf_printf(p->out, p->err, "%%%u", p->number[v]);
    wa_tensor_type t = p->g->values[v].type;
    bool weight = n->op == WA_OP_FusedMatMul && i == 1 && wa__node_int(n, "transB", 0) == 1;
    bool part = n->op == WA_OP_Concat && t.rank == 2 && wa__node_int(n, "axis", 0) == 0;
    if (t.rank == 2 && (weight || part)) {
        int64_t d = t.dims[0];
        t.dims[0] = t.dims[1];
        t.dims[1] = d;
    }
    return put_type(p, &t);
}

/* A concatenated weight stored [N,K] prints as [K,N] too. */
static wa_tensor_type canonical_type(const printer *p, const wa_node *n, const wa_value *v)
{
    wa_tensor_type t = v->type;
    if (p->canonical && is_layout_attr(p, n, "axis") && t.rank == 2 && wa__node_int(n, "axis", 0) == 0) {
        int64_t d = t.dims[0];
        t.dims[0] = t.dims[1];
        t.dims[1] = d;
    }
    return t;
}

static wa_status print_graph(printer *p);

static wa_status indent(const printer *p) { return wa__buf_printf(p->out, p->err, "%*s", (int)(2 * p->depth), ""); }

/* "body(2, 1) {", the child's lines, "}": captured values are the node's inputs 2 on, one of them. */
static wa_status put_children(const printer *p, const wa_node *n)
{
    for (uint32_t i = 0; i < n->subgraph_count; i++) {
        const wa_subgraph *s = &n->subgraphs[i];
        printer child = {.g = s->graph, .out = p->out, .err = p->err, .canonical = p->canonical, .depth = p->depth + 2};
        if (child.depth > 2 * WA_LIMIT_GRAPH_DEPTH) return wa__fail(p->err, WA_LIMIT, "sub-graphs lie too deep");
        WA_TRY(indent(p));
        WA_TRY(wa__buf_printf(p->out, p->err, "  %.*s(%u, %u) {\n", WA_STR_ARG(s->name), s->capture_first, s->capture_count));
        WA_TRY(print_graph(&child));
        WA_TRY(indent(p));
        WA_TRY(wa__buf_printf(p->out, p->err, "  }\n"));
    }
    return WA_OK;
}

static wa_status put_node(printer *p, const wa_node *n)
{
    WA_TRY(indent(p));
    for (uint32_t i = 0; i < n->output_count; i++) {
        uint32_t v = n->outputs[i];
        if (p->canonical) p->number[v] = p->next++;
        WA_TRY(wa__buf_printf(p->out, p->err, "%s%%%u", i ? ", " : "", p->canonical ? p->number[v] : v));
    }
    const char *op = wa__op_info(n->op)->name;
    WA_TRY(wa__buf_printf(p->out, p->err, " = %s(", op ? op : "?"));
    for (uint32_t i = 0; i < n->input_count; i++) {
        if (i) WA_TRY(wa__buf_printf(p->out, p->err, ", "));
        WA_TRY(put_operand(p, n, i));
    }
    WA_TRY(wa__buf_printf(p->out, p->err, ")"));
    if (n->opset && !p->canonical) WA_TRY(wa__buf_printf(p->out, p->err, "@%d", (int)n->opset));
    WA_TRY(put_attrs(p, n));
    for (uint32_t i = 0; i < n->output_count; i++) {
        wa_tensor_type t = canonical_type(p, n, &p->g->values[n->outputs[i]]);
        WA_TRY(wa__buf_printf(p->out, p->err, i ? ", " : " : "));
        WA_TRY(put_type(p, &t));
    }
    WA_TRY(put_name(p, n->name));
    return put_children(p, n);
}

static wa_status print_plain(printer *p)
{
    const wa_graph *g = p->g;
    for (uint32_t i = 0; i < g->input_count; i++) {
        WA_TRY(indent(p));
        WA_TRY(wa__buf_printf(p->out, p->err, "input %%%u : ", g->inputs[i]));
        WA_TRY(put_type(p, &g->values[g->inputs[i]].type));
        WA_TRY(put_name(p, g->values[g->inputs[i]].name));
    }
    for (uint32_t i = 0; i < g->value_count; i++) {
        if (g->values[i].kind != WA_VALUE_CONST) continue;
        WA_TRY(indent(p));
        WA_TRY(wa__buf_printf(p->out, p->err, "const %%%u : ", i));
        WA_TRY(put_type(p, &g->values[i].type));
        WA_TRY(put_contents(p, &g->values[i]));
        WA_TRY(put_name(p, g->values[i].name));
    }
    for (uint32_t i = 0; i < g->node_count; i++)
        if (!g->nodes[i].dead) WA_TRY(put_node(p, &g->nodes[i]));
    for (uint32_t i = 0; i < g->output_count; i++) {
        WA_TRY(indent(p));
        WA_TRY(wa__buf_printf(p->out, p->err, "output %%%u", g->outputs[i]));
        WA_TRY(put_name(p, g->outputs[i] < g->value_count ? g->values[g->outputs[i]].name : WA_STR("")));
    }
    return WA_OK;
}

/* Numbers an input at its first use, with a line of its own. */
static wa_status meet(printer *p, uint32_t v)
{
    if (p->g->values[v].kind != WA_VALUE_INPUT || p->number[v] != WA_NONE) return WA_OK;
    p->number[v] = p->next++;
    WA_TRY(indent(p));
    WA_TRY(wa__buf_printf(p->out, p->err, "input %%%u : ", p->number[v]));
    WA_TRY(put_type(p, &p->g->values[v].type));
    return wa__buf_printf(p->out, p->err, "\n");
}

/* Prints what `output` needs, depth first, inputs in order; `at` counts each node's inputs seen. */
static wa_status print_tree(printer *p, uint32_t output, uint32_t *stack, uint32_t *at)
{
    const wa_graph *g = p->g;
    uint32_t depth = 0, root = g->values[output].producer;
    if (g->values[output].kind != WA_VALUE_NODE) return meet(p, output);
    if (root == WA_NONE || at[root]) return WA_OK;
    stack[depth++] = root;
    at[root] = 1;
    while (depth) {
        const wa_node *n = &g->nodes[stack[depth - 1]];
        uint32_t i = at[stack[depth - 1]]++ - 1;
        if (i >= n->input_count) {
            depth--;
            WA_TRY(put_node(p, n));
            continue;
        }
        uint32_t v = n->inputs[i];
        if (v == WA_NONE) continue;
        WA_TRY(meet(p, v));
        uint32_t from = g->values[v].kind == WA_VALUE_NODE ? g->values[v].producer : WA_NONE;
        if (from == WA_NONE || at[from]) continue;
        at[from] = 1;
        stack[depth++] = from;
    }
    return WA_OK;
}

static wa_status print_canonical(printer *p)
{
    const wa_graph *g = p->g;
    uint32_t *stack = wa__alloc(g->node_count, sizeof *stack), *at = wa__alloc(g->node_count, sizeof *at);
    wa_status s = stack && at ? WA_OK : wa__no_memory(p->err, "printing a graph");
    for (uint32_t i = 0; i < g->output_count && s == WA_OK; i++) s = print_tree(p, g->outputs[i], stack, at);
    for (uint32_t i = 0; i < g->output_count && s == WA_OK; i++) {
        const wa_value *v = &g->values[g->outputs[i]];
        s = indent(p);
        if (s != WA_OK) break;
        if (v->kind != WA_VALUE_CONST) {
            s = wa__buf_printf(p->out, p->err, "output %%%u\n", p->number[g->outputs[i]]);
            continue;
        }
        s = wa__buf_printf(p->out, p->err, "output ");
        if (s == WA_OK) s = put_type(p, &v->type);
        if (s == WA_OK) s = wa__buf_printf(p->out, p->err, "\n");
    }
    wa__free(stack);
    wa__free(at);
    return s;
}

static wa_status print_graph(printer *p)
{
    if (!p->canonical) return print_plain(p);
    p->number = wa__alloc(p->g->value_count, sizeof *p->number);
    if (!p->number) return wa__no_memory(p->err, "printing a graph");
    memset(p->number, 0xff, p->g->value_count * sizeof *p->number);
    wa_status s = WA_OK;
    for (uint32_t i = 0; p->depth && i < p->g->input_count && s == WA_OK; i++) s = meet(p, p->g->inputs[i]); /* by place: the node's inputs */
    if (s == WA_OK) s = print_canonical(p);
    wa__free(p->number);
    p->number = NULL;
    return s;
}

wa_status wa__graph_print(const wa_graph *g, bool canonical, wa_buf *out, wa_error *err)
{
    printer p = {.g = g, .out = out, .err = err, .canonical = canonical};
    if (canonical) WA_TRY(wa__graph_verify(g, err)); /* the walk trusts the graph's references */
    return print_graph(&p);
}
