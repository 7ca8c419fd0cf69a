/* Runs the passes. In: a bound graph. Out: the fused one. Called by api, tests. */
#include "opt/opt_int.h"

typedef struct pass {
    void (*run)(wa_rw *r);
    bool last; /* once, when the others have come to rest */
} pass;

static const pass passes[] = {
    {wa__opt_fold, false},      {wa__opt_control, false},   {wa__opt_dead, false},   {wa__opt_cse, false},   {wa__opt_layernorm, false},
    {wa__opt_gelu, false},      {wa__opt_attention, false}, {wa__opt_matmul, false}, {wa__opt_conv, false}, {wa__opt_qkv, false},
    {wa__opt_embed, false},     {wa__opt_skiplayernorm, false}, {wa__opt_pooling, false}, {wa__opt_elementwise, true},
};
#define PASS_COUNT (sizeof passes / sizeof *passes)
static const char *const names[PASS_COUNT + 1] = {"fold", "control", "dead", "cse", "layernorm", "gelu", "attention", "matmul", "conv", "qkv",
                                                  "embed", "skiplayernorm", "pooling", "elementwise", NULL};
#define ROUNDS_MAX 8
#define RESOLVE_ROUNDS_MAX (2 * WA_LIMIT_GRAPH_DEPTH) /* each resolves one level of sub-graphs at least */

static wa_status run_pass(wa_graph *g, const wa_opt_options *options, size_t p, bool *changed, wa_error *err)
{
    wa_rw r;
    wa_status s = wa__rw_begin(&r, g, options, err);
    if (s == WA_OK) passes[p].run(&r);
    s = wa__rw_end(&r);
    if (s != WA_OK) return s;
    if (!r.changed) return WA_OK;
    *changed = true;
    s = wa__graph_verify(g, err);
    if (s == WA_NO_MEMORY) return s;
    return s == WA_OK ? WA_OK : wa__fail_in(err, WA_INTERNAL, "pass %s broke the graph", names[p]);
}

/* Or FlexAttention's sub-graphs: inlined too, and to be typed before the other passes. */
static bool has_control(const wa_graph *g)
{
    for (uint32_t i = 0; i < g->node_count; i++)
        if (wa__opt_is_control(&g->nodes[i]) || g->nodes[i].subgraph_count) return true;
    return false;
}

wa_status wa__opt_resolve(wa_graph *g, const wa_opt_options *options, wa_error *err)
{
    wa_opt_options o = *options;
    bool changed = true;
    o.dynamic = true;
    WA_TRY(wa__graph_compact(g, err));
    WA_TRY(wa__graph_verify(g, err));
    for (uint32_t round = 0; changed && round < RESOLVE_ROUNDS_MAX; round++) {
        changed = false;
        for (size_t i = 0; i < PASS_COUNT; i++)
            if (passes[i].run == wa__opt_fold || passes[i].run == wa__opt_control || passes[i].run == wa__opt_dead)
                WA_TRY(run_pass(g, &o, i, &changed, err));
    }
    return WA_OK;
}

/* A pass alone (tests) has no folding before it that types every value. */
static wa_status infer_missing(wa_graph *g, bool all, wa_error *err)
{
    for (uint32_t i = 0; i < g->node_count; i++) {
        if (g->values[g->nodes[i].outputs[0]].type.rank != WA_RANK_UNKNOWN) continue;
        wa_status s = wa__graph_infer_node(g, i, err);
        if (s != WA_OK && all) return s;
    }
    return WA_OK;
}

static wa_status run_only(wa_graph *g, const wa_opt_options *options, wa_error *err)
{
    bool changed;
    for (size_t i = 0; i < PASS_COUNT; i++) {
        if (strcmp(names[i], options->only) != 0) continue;
        if (passes[i].run != wa__opt_fold) WA_TRY(infer_missing(g, !has_control(g), err));
        return run_pass(g, options, i, &changed, err);
    }
    return wa__fail(err, WA_INVALID_ARGUMENT, "no pass is named %s", options->only);
}

wa_status wa__opt_run(wa_graph *g, const wa_opt_options *options, wa_error *err)
{
    bool changed = true;
    WA_TRY(wa__graph_compact(g, err)); /* passes rely on topological order */
    WA_TRY(wa__graph_verify(g, err));
    if (options->only) return run_only(g, options, err);
    if (has_control(g)) WA_TRY(wa__opt_resolve(g, options, err));
    for (int round = 0; changed && round < ROUNDS_MAX; round++) {
        changed = false;
        for (size_t i = 0; i < PASS_COUNT; i++)
            if (!passes[i].last) WA_TRY(run_pass(g, options, i, &changed, err));
    }
    for (size_t i = 0; i < PASS_COUNT; i++)
        if (passes[i].last) WA_TRY(run_pass(g, options, i, &changed, err));
    return WA_OK;
}

const char *const *wa__opt_names(void) { return names; }
