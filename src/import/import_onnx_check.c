/* Lists everything in an ONNX model that this build lacks, all at once: in its graph, the sub-graphs in it
 * and the functions that it calls. In: the messages. Out: WA_OK or one WA_UNSUPPORTED error. Called by
 * import_onnx.c before it builds anything. */
#include "import/import_onnx_int.h"

typedef struct unknown {
    wa_str type, domain;
    uint32_t count;
    int64_t opset;
} unknown;

typedef struct unknowns {
    unknown list[WA_ONNX_UNKNOWN_MAX];
    uint32_t kinds, more; /* more: nodes of further kinds */
    bool standard;        /* a node of ai.onnx was met */
} unknowns;

static void note(const wa_onnx *o, unknowns *u, const wa_onnx_node *n)
{
    for (uint32_t i = 0; i < u->kinds; i++) {
        if (!wa__str_eq(u->list[i].type, n->type) || !wa__str_eq(u->list[i].domain, n->domain)) continue;
        u->list[i].count++;
        return;
    }
    if (u->kinds < WA_ONNX_UNKNOWN_MAX)
        u->list[u->kinds++] = (unknown){n->type, n->domain, 1, wa__onnx_opset(o, n->domain)};
    else
        u->more++;
}

/* Values that are no tensors have operators of their own. */
static bool no_tensors(wa_str type)
{
    static const char *const words[] = {"Sequence", "Optional", "String", "Map", "Dict", "Tfidf", "Regex"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i]);
        for (size_t at = 0; at + n <= type.len; at++)
            if (memcmp(type.ptr + at, words[i], n) == 0) return true;
    }
    return false;
}

static wa_status report(const wa_onnx *o, const unknowns *u, wa_error *err)
{
    bool other = false;
    wa__fail(err, WA_UNSUPPORTED, "%s uses operators that this build lacks:", o->what);
    for (uint32_t i = 0; i < u->kinds; i++) {
        const unknown *x = &u->list[i];
        wa_str domain = x->domain.len ? x->domain : WA_STR("ai.onnx");
        other = other || no_tensors(x->type);
        wa__error_append(err, "%s %.*s (%.*s, opset %lld, %u %s)", i ? "," : "", WA_STR_ARG(x->type),
                         WA_STR_ARG(domain), (long long)x->opset, x->count, x->count == 1 ? "node" : "nodes");
    }
    if (u->more) wa__error_append(err, ", and %u nodes of other kinds", u->more);
    if (other) wa__error_append(err, "; only tensors of numbers are supported, no strings, sequences, maps or optionals");
    return WA_UNSUPPORTED;
}

int64_t wa__onnx_opset(const wa_onnx *o, wa_str domain)
{
    for (uint32_t i = 0; i < o->opsets->count; i++)
        if (wa__str_eq(o->opsets->list[i].domain, domain)) return o->opsets->list[i].version;
    return o->m->ir_version < 3 && domain.len == 0 ? 1 : -1;
}

wa_op wa__onnx_op(const wa_onnx_node *n)
{
    static const char *const domains[] = {"", "com.microsoft", "ai.onnx.preview"};
    for (size_t i = 0; i < sizeof domains / sizeof *domains && n->type.len <= UINT32_MAX; i++)
        if (wa__str_is(n->domain, domains[i])) return wa__op_find(n->type.ptr, (uint32_t)n->type.len, domains[i]);
    return WA_OP_NONE;
}

static wa_status check_opset(const wa_onnx *o, wa_error *err)
{
    int64_t v = wa__onnx_opset(o, WA_STR(""));
    if (v >= 1) return WA_OK;
    return wa__fail(err, WA_CORRUPT,
                    "%s does not say its opset version of ai.onnx (opset_import is missing or cut off)", o->what);
}

static wa_status check_nodes(wa_onnx *o, unknowns *u, uint32_t number, wa_error *err);

/* The graphs in a node's attributes. */
static wa_status check_children(wa_onnx *o, unknowns *u, const wa_onnx_node *n, wa_error *err)
{
    wa_reader r = n->body;
    wa_pb_field f, x;
    for (bool more = false;;) {
        WA_TRY(wa__pb_next(&r, &f, &more, err));
        if (!more) return WA_OK;
        if (f.number != 5 || f.wire != WA_PB_BYTES) continue;
        for (bool fields = false;;) {
            WA_TRY(wa__pb_next(&f.body, &x, &fields, err));
            if (!fields) break;
            if ((x.number != 6 && x.number != 11) || x.wire != WA_PB_BYTES) continue;
            wa_onnx child = {.m = o->m, .what = o->what, .opsets = o->opsets, .graph = x.body, .depth = o->depth + 1};
            if (child.depth >= WA_LIMIT_GRAPH_DEPTH)
                return wa__fail(err, WA_LIMIT, WA_ONNX_NODE_FMT ": sub-graphs lie deeper than %u", WA_ONNX_NODE_ARG(o, n), WA_LIMIT_GRAPH_DEPTH);
            WA_TRY(check_nodes(&child, u, 1, err));
        }
    }
}

static wa_status check_function(wa_onnx *o, unknowns *u, wa_onnx_function *fn, wa_error *err)
{
    wa_onnx body = {.m = o->m, .what = o->what, .graph = fn->body, .function = true, .depth = o->depth + 1};
    if (fn->open)
        return wa__fail(err, WA_CORRUPT, "%s: the function \"%.*s\" at byte %zu calls itself", o->what, WA_STR_ARG(fn->name), fn->offset);
    if (fn->seen) return WA_OK;
    if (body.depth >= WA_LIMIT_GRAPH_DEPTH)
        return wa__fail(err, WA_LIMIT, "%s: functions call each other deeper than %u", o->what, WA_LIMIT_GRAPH_DEPTH);
    wa_onnx_opsets *sets = wa__alloc(1, sizeof *sets);
    if (!sets) return wa__no_memory(err, "a function");
    body.opsets = sets;
    fn->seen = fn->open = true;
    wa_status s = wa__onnx_function_opsets(o, fn, sets, err);
    if (s == WA_OK) s = check_nodes(&body, u, 7, err);
    fn->open = false;
    wa__free(sets);
    return s;
}

static wa_status check_nodes(wa_onnx *o, unknowns *u, uint32_t number, wa_error *err)
{
    wa_reader r = o->graph;
    wa_onnx_node n;
    wa_pb_field f;
    for (bool more = false;;) {
        WA_TRY(wa__pb_next(&r, &f, &more, err));
        if (!more) return WA_OK;
        if (f.number != number) continue;
        WA_TRY(wa__onnx_node_read(o, &f, &n, err));
        u->standard |= n.domain.len == 0;
        wa_onnx_function *fn = wa__onnx_op(&n) ? NULL : wa__onnx_function(o, &n);
        if (fn) WA_TRY(check_function(o, u, fn, err));
        else if (!wa__onnx_op(&n)) note(o, u, &n);
        WA_TRY(check_children(o, u, &n, err));
    }
}

wa_status wa__onnx_check_ops(wa_onnx *o, wa_error *err)
{
    unknowns u = {.kinds = 0};
    WA_TRY(check_nodes(o, &u, 1, err));
    if (u.kinds) return report(o, &u, err);
    return u.standard ? check_opset(o, err) : WA_OK;
}
