/* Compiles an opened model for a shape and a target, through the plan cache in $HOME/plans.
 * In: an imported graph with symbolic dims. Out: a verified plan. Called by api_run and describe. */
#include "api_int.h"
#include "base/log.h"

wa_status api_shape_embed(const api_model *m, uint32_t batch, uint32_t length, api_shape *out, wa_error *err)
{
    static const char *const known[] = {"input_ids", "attention_mask", "token_type_ids", "position_ids"};
    memset(out, 0, sizeof *out);
    out->task = "embed";
    out->batch = batch;
    out->length = length;
    const wa_graph *g = m->graph;
    for (uint32_t i = 0; i < g->input_count; i++) {
        const wa_value *v = &g->values[g->inputs[i]];
        bool ok = false;
        for (size_t k = 0; k < sizeof known / sizeof *known && !ok; k++) ok = wa__str_is(v->name, known[k]);
        if (!ok || v->type.rank != 2 || out->input_count == 64)
            return wa__fail(err, WA_UNSUPPORTED, "%s: input \"%.*s\" is not one that embedding texts can fill (input_ids, attention_mask, "
                            "token_type_ids, position_ids of rank 2); use --task tensors with --input", m->ref, WA_STR_ARG(v->name));
        out->names[out->input_count] = v->name.ptr;
        out->types[out->input_count++] = (wa_tensor_type){v->type.dtype, 2, {batch, length}};
    }
    return WA_OK;
}

/* One symbolic dim gets one value; a fixed dim must match. */
static wa_status bind_input(const wa_graph *g, const wa_value *v, const wa_tensor_type *t, wa_binding_dim *dims, uint32_t *count, wa_error *err)
{
    char have[128], want[128];
    wa__type_text(t, have, sizeof have);
    wa__type_text(&v->type, want, sizeof want);
    if (v->type.dtype != t->dtype || (v->type.rank != t->rank && v->type.rank != WA_RANK_UNKNOWN))
        return wa__fail(err, WA_INVALID_ARGUMENT, "input \"%.*s\" is %s, the model takes %s", WA_STR_ARG(v->name), have, want);
    for (uint32_t d = 0; d < t->rank; d++) {
        int64_t dim = v->type.dims[d];
        if (dim >= 0 && dim != t->dims[d])
            return wa__fail(err, WA_INVALID_ARGUMENT, "input \"%.*s\" is %s, the model takes %s", WA_STR_ARG(v->name), have, want);
        if (dim >= 0) continue;
        wa_str symbol = g->symbols[-1 - dim];
        uint32_t k = 0;
        while (k < *count && !wa__str_eq(dims[k].symbol, symbol)) k++;
        if (k < *count && dims[k].value != t->dims[d])
            return wa__fail(err, WA_INVALID_ARGUMENT, "input \"%.*s\": dim %u (%.*s) is %lld here and %lld in another input", WA_STR_ARG(v->name), d,
                            WA_STR_ARG(symbol), (long long)t->dims[d], (long long)dims[k].value);
        if (k == *count) {
            if (*count == 256) return wa__fail(err, WA_LIMIT, "more than 256 symbolic dims");
            dims[(*count)++] = (wa_binding_dim){symbol, t->dims[d]};
        }
    }
    return WA_OK;
}

static wa_status bind_shapes(wa_graph *g, const api_shape *s, wa_error *err)
{
    wa_binding_dim dims[256];
    uint32_t count = 0;
    for (uint32_t i = 0; i < g->input_count; i++) {
        wa_value *v = &g->values[g->inputs[i]];
        uint32_t k = 0;
        while (k < s->input_count && !wa__str_is(v->name, s->names[k])) k++;
        if (k == s->input_count) return wa__fail(err, WA_INVALID_ARGUMENT, "the model's input \"%.*s\" was not given", WA_STR_ARG(v->name));
        WA_TRY(bind_input(g, v, &s->types[k], dims, &count, err));
        v->type = s->types[k];
    }
    return wa__graph_bind(g, dims, count, err);
}

wa_status api_model_hidden(const wa_graph *g, uint32_t *value, bool *pooled, wa_error *err)
{
    static const char *const names[] = {"last_hidden_state", "token_embeddings", "hidden_states", "sentence_embedding"};
    uint32_t best = WA_NONE, two = WA_NONE;
    for (uint32_t i = 0; i < g->output_count; i++) {
        const wa_value *v = &g->values[g->outputs[i]];
        if (!wa__dtype_is_float(v->type.dtype)) continue;
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            if (wa__str_is(v->name, names[k])) {
                *value = g->outputs[i];
                *pooled = v->type.rank == 2;
                return WA_OK;
            }
        if (v->type.rank == 3 && best == WA_NONE) best = g->outputs[i];
        if (v->type.rank == 2 && two == WA_NONE) two = g->outputs[i];
    }
    if (best == WA_NONE && two == WA_NONE)
        return wa__fail(err, WA_UNSUPPORTED, "no output of the model is an embedding (a float of rank 3 or 2); use --task tensors");
    *value = best != WA_NONE ? best : two;
    *pooled = best == WA_NONE;
    return WA_OK;
}

static wa_status append_pooling(wa_graph *g, api_model *m, wa_error *err)
{
    WA_TRY(api_model_embed(m, err));
    uint32_t hidden = WA_NONE, mask = wa__graph_find(g, WA_STR("attention_mask"));
    bool pooled = false;
    WA_TRY(api_model_hidden(g, &hidden, &pooled, err));
    if (!pooled && mask == WA_NONE)
        return wa__fail(err, WA_UNSUPPORTED, "%s has no attention_mask input, so its tokens cannot be pooled; use --task tensors", m->ref);
    return wa__opt_append_pooling(g, hidden, mask, pooled ? WA_POOLING_NONE : (wa_pooling)m->embed.pooling, m->embed.normalize, err);
}

wa_status api_optimized(api_model *m, const api_shape *shape, wa_graph **out, wa_error *err)
{
    wa_graph *g = NULL;
    wa_opt_options oo = {.eval = wa__kernel_eval};
    wa_status s = wa__graph_clone(m->graph, &g, err);
    if (s == WA_OK) s = bind_shapes(g, shape, err);
    if (s == WA_OK && strcmp(shape->task, "embed") == 0) {
        wa_opt_options fold = {.eval = wa__kernel_eval, .only = "fold"}; /* shapes: pooling looks at ranks */
        s = wa__opt_run(g, &fold, err);
        if (s == WA_OK) s = append_pooling(g, m, err);
    }
    if (s == WA_OK) s = wa__opt_run(g, &oo, err);
    if (s == WA_OK) s = wa__graph_verify(g, err);
    if (s == WA_OK) *out = g;
    else wa__graph_free(g);
    return s;
}

static wa_status build(api_model *m, const api_shape *shape, const wa_plan_options *o, wa_plan **out, wa_error *err)
{
    wa_graph *g = NULL;
    wa_status s = api_optimized(m, shape, &g, err);
    if (s == WA_OK) s = wa__plan_build(g, o, out, err);
    wa__graph_free(g);
    return s;
}

/* A cached plan that does not load is made anew: it may come from another version. */
static wa_plan *from_cache(const char *path, const uint8_t key[32])
{
    wa_file_info info;
    wa_map map;
    wa_plan *p = NULL;
    if (wa__os_stat(path, true, &info, NULL) != WA_OK || info.kind != WA_FILE_REGULAR || wa__os_map(path, &map, NULL) != WA_OK) return NULL;
    wa_error err = {0};
    if (wa__plan_load(map.data, map.size, path, &p, &err) != WA_OK) wa__log(WA_LOG_INFO, "api", "cached plan ignored: %s", err.message);
    wa__os_unmap(&map);
    if (p && memcmp(p->info.key, key, 32) != 0) {
        wa__plan_free(p);
        p = NULL;
    }
    return p;
}

static void to_cache(const char *folder, const char *path, const wa_plan *p)
{
    wa_buf b;
    wa_error err = {0};
    wa__buf_init(&b, WA_LIMIT_PLAN_BYTES);
    wa_status s = wa__plan_save(p, &b, &err);
    if (s == WA_OK) s = wa__os_mkdirs(folder, 0700, &err);
    if (s == WA_OK) s = wa__os_write_file(path, b.ptr, b.len, 0600, &err);
    if (s != WA_OK) wa__log(WA_LOG_WARN, "api", "plan not cached: %s", err.message);
    wa__buf_done(&b);
}

static wa_plan_options options_of(const api_model *m, const api_shape *shape, const wa_plan_target *target)
{
    wa_plan_options o = {0};
    o.target = *target;
    o.model_cid = m->cid ? m->cid : "";
    o.model_type = m->model_type;
    o.task = shape->task;
    o.entry_name = strcmp(shape->task, "embed") == 0 ? "encode" : "run";
    o.batch = shape->batch;
    o.length = shape->length;
    o.precision = shape->precision;
    o.mixed = shape->mixed;
    o.keep = shape->keep;
    return o;
}

bool api_compiled_for(const api_model *m, const api_shape *shape, const wa_plan_target *target, const wa_plan *p)
{
    wa_plan_options o = options_of(m, shape, target);
    uint8_t key[32];
    return wa__plan_key(&o, shape->names, shape->types, shape->input_count, key, NULL) == WA_OK && memcmp(p->info.key, key, sizeof key) == 0;
}

wa_status api_compile(wa_accelerator *a, api_model *m, const api_shape *shape, const wa_plan_target *target, wa_plan **out, bool *cached, wa_error *err)
{
    wa_plan_options o = options_of(m, shape, target);
    uint8_t key[32];
    char hex[65];
    WA_TRY(wa__plan_key(&o, shape->names, shape->types, shape->input_count, key, err));
    wa__hex(key, 32, hex);
    char *folder = wa__path_join(a->home, "plans"), *path = folder ? wa__format("%s/%s.plan", folder, hex) : NULL;
    wa_status s = path ? WA_OK : wa__no_memory(err, "a path");
    wa_plan *p = s == WA_OK && m->cid ? from_cache(path, key) : NULL;
    *cached = p != NULL;
    if (s == WA_OK && !p) {
        s = build(m, shape, &o, &p, err);
        if (s == WA_OK) {
            memcpy(p->info.key, key, sizeof key);
            if (m->cid) to_cache(folder, path, p);
        }
    }
    if (s == WA_OK) *out = p;
    wa__free(folder);
    wa__free(path);
    return s;
}
