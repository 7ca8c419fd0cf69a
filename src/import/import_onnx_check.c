/* Lists everything in an ONNX graph that this build lacks, all at once. In: the GraphProto. Out:
 * WA_OK or one WA_UNSUPPORTED error. Called by import_onnx.c before it builds anything. */
#include "import/import_onnx_int.h"

typedef struct unknown {
    wa_str type, domain;
    uint32_t count;
} unknown;

typedef struct unknowns {
    unknown list[WA_ONNX_UNKNOWN_MAX];
    uint32_t kinds, more; /* more: nodes of further kinds */
} unknowns;

static void note(unknowns *u, const wa_onnx_node *n)
{
    for (uint32_t i = 0; i < u->kinds; i++) {
        if (!wa__str_eq(u->list[i].type, n->type) || !wa__str_eq(u->list[i].domain, n->domain)) continue;
        u->list[i].count++;
        return;
    }
    if (u->kinds < WA_ONNX_UNKNOWN_MAX)
        u->list[u->kinds++] = (unknown){n->type, n->domain, 1};
    else
        u->more++;
}

static wa_status report(const wa_onnx *o, const unknowns *u, wa_error *err)
{
    wa__fail(err, WA_UNSUPPORTED, "%s uses operators that this build lacks:", o->what);
    for (uint32_t i = 0; i < u->kinds; i++) {
        const unknown *x = &u->list[i];
        wa_str domain = x->domain.len ? x->domain : WA_STR("ai.onnx");
        wa__error_append(err, "%s %.*s (%.*s, opset %lld, %u %s)", i ? "," : "", WA_STR_ARG(x->type),
                         WA_STR_ARG(domain), (long long)wa__onnx_opset(o, x->domain), x->count,
                         x->count == 1 ? "node" : "nodes");
    }
    if (u->more) wa__error_append(err, ", and %u nodes of other kinds", u->more);
    return WA_UNSUPPORTED;
}

int64_t wa__onnx_opset(const wa_onnx *o, wa_str domain)
{
    for (uint32_t i = 0; i < o->opset_count; i++)
        if (wa__str_eq(o->opsets[i].domain, domain)) return o->opsets[i].version;
    return o->ir_version < 3 && domain.len == 0 ? 1 : -1;
}

static wa_status check_opset(const wa_onnx *o, wa_error *err)
{
    int64_t v = wa__onnx_opset(o, WA_STR(""));
    if (v < 0)
        return wa__fail(err, WA_CORRUPT,
                        "%s does not say its opset version of ai.onnx (opset_import is missing or cut off)",
                        o->what);
    if (v < WA_ONNX_OPSET_MIN)
        return wa__fail(err, WA_UNSUPPORTED,
                        "%s uses opset %lld of ai.onnx; %d or later is supported: convert it with ONNX's "
                        "version converter",
                        o->what, (long long)v, WA_ONNX_OPSET_MIN);
    return WA_OK;
}

wa_status wa__onnx_check_ops(const wa_onnx *o, wa_reader graph, wa_error *err)
{
    unknowns u = {.kinds = 0};
    wa_onnx_node n;
    wa_pb_field f;
    bool more = false, standard = false;
    for (;;) {
        WA_TRY(wa__pb_next(&graph, &f, &more, err));
        if (!more) break;
        if (f.number != 1) continue;
        WA_TRY(wa__onnx_node_read(o, &f, &n, err));
        bool ours = n.domain.len == 0;
        standard |= ours;
        wa_op op = ours ? wa__op_find(n.type.ptr, (uint32_t)n.type.len, "") : WA_OP_NONE;
        if (op != WA_OP_Constant && !wa__graph_op_known(op)) note(&u, &n);
    }
    if (u.kinds) return report(o, &u, err);
    return standard ? check_opset(o, err) : WA_OK;
}
