/* Made-up inputs for measuring a model: shapes from batch and tokens or from the caller, seeded values. In:
 * an opened model. Out: named tensors. Texts' ids are i * 7919 mod the vocabulary, as the peers of
 * bench/gpu have them, so that results can be compared. */
#include "api_int.h"

enum { STRIDE = 7919, VOCABULARY_UNKNOWN = 100 };

/* Rows of the table that an input's ids look up, casts between them looked through. */
static int64_t vocabulary(const wa_graph *g, uint32_t ids)
{
    uint32_t cast = ids;
    for (uint32_t i = 0; i < g->node_count; i++)
        if (!g->nodes[i].dead && g->nodes[i].op == WA_OP_Cast && g->nodes[i].inputs[0] == ids) cast = g->nodes[i].outputs[0];
    for (uint32_t i = 0; i < g->node_count; i++) {
        const wa_node *n = &g->nodes[i];
        bool uses = false;
        for (uint32_t k = 0; k < n->input_count && !n->dead; k++) uses = uses || n->inputs[k] == ids || n->inputs[k] == cast;
        for (uint32_t k = 0; uses && k < n->input_count; k++) {
            const wa_value *v = n->inputs[k] == WA_NONE ? NULL : &g->values[n->inputs[k]];
            if (v && v->kind == WA_VALUE_CONST && v->type.rank == 2 && wa__dtype_is_float(v->type.dtype)) return v->type.dims[0];
        }
    }
    return VOCABULARY_UNKNOWN;
}

static void fill(const wa_graph *g, uint32_t value, const wa_tensor_type *t, void *data)
{
    wa_str name = g->values[value].name;
    wa_view v = {*t, data};
    int64_t n = wa__count(t), row = t->rank ? t->dims[t->rank - 1] : 1;
    bool ids = wa__str_is(name, "input_ids"), types = wa__str_is(name, "token_type_ids"), positions = wa__str_is(name, "position_ids");
    int64_t words = ids ? vocabulary(g, value) : 1;
    if (words < 1) words = 1;
    uint64_t seed = wa__hash_bytes(name.ptr, name.len) | 1;
    for (int64_t i = 0; i < n; i++) {
        if (wa__dtype_is_float(t->dtype)) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            wa__set_f64(&v, i, (double)(seed >> 40) / (double)(1 << 23) - 1);
        } else wa__set_i64(&v, i, ids ? i * STRIDE % words : types ? 0 : positions ? i % row : 1);
    }
}

/* The value's type with its open dims bound: the first to batch, the second of whole numbers to tokens. */
static bool bind(const wa_tensor_type *have, uint32_t batch, uint32_t tokens, wa_tensor_type *out)
{
    *out = *have;
    if (have->rank > WA_RANK_MAX) return false;
    for (uint32_t d = 0; d < have->rank; d++) {
        if (have->dims[d] >= 0) continue;
        if (d == 0) out->dims[d] = batch;
        else if (d == 1 && have->rank == 2 && !wa__dtype_is_float(have->dtype)) out->dims[d] = tokens;
        else return false;
    }
    return true;
}

static wa_status make_one(const wa_graph *g, uint32_t value, const wa_named_tensor *given, uint32_t batch, uint32_t tokens, api_inputs *out, wa_error *err)
{
    const wa_value *v = &g->values[value];
    wa_named_tensor t = {0};
    uint64_t bytes;
    if (given) t = *given;
    else if (!bind(&v->type, batch, tokens, &t.type))
        return wa__fail(err, WA_INVALID_ARGUMENT, "input \"%.*s\" has open dims; give its shape: --input %.*s=f32[1,16]", WA_STR_ARG(v->name), WA_STR_ARG(v->name));
    if (!wa__type_bytes(&t.type, &bytes) || bytes > SIZE_MAX / 2) return wa__fail(err, WA_LIMIT, "input \"%.*s\" is too large", WA_STR_ARG(v->name));
    if (!(t.name = wa__arena_strndup(&out->arena, v->name.ptr, v->name.len))) return wa__no_memory(err, "inputs");
    if (!t.data) {
        void *data = wa__arena_alloc(&out->arena, (size_t)bytes + 1, 1);
        if (!data) return wa__no_memory(err, "inputs");
        fill(g, value, &t.type, data);
        t.data = data;
    }
    t.bytes = (size_t)bytes;
    out->list[out->count++] = t;
    return WA_OK;
}

wa_status api_inputs_make(const api_model *m, uint32_t batch, uint32_t tokens, const wa_named_tensor *given, size_t given_count, api_inputs *out, wa_error *err)
{
    const wa_graph *g = m->graph;
    *out = (api_inputs){.embed = strcmp(m->task, "embed") == 0};
    wa__arena_init(&out->arena, WA_LIMIT_COMPILE_ARENA_BYTES);
    if (g->input_count > sizeof out->list / sizeof *out->list) return wa__fail(err, WA_LIMIT, "%s has %u inputs; at most 64 can be made up", m->ref, g->input_count);
    for (size_t k = 0; k < given_count; k++) {
        uint32_t value = wa__graph_find(g, wa__str(given[k].name));
        if (value == WA_NONE || g->values[value].kind != WA_VALUE_INPUT)
            return wa__fail(err, WA_INVALID_ARGUMENT, "the model has no input \"%s\"; webaccel inspect lists them", given[k].name);
    }
    for (uint32_t i = 0; i < g->input_count; i++) {
        const wa_named_tensor *one = NULL;
        for (size_t k = 0; k < given_count; k++)
            if (wa__str_is(g->values[g->inputs[i]].name, given[k].name)) one = &given[k];
        WA_TRY(make_one(g, g->inputs[i], one, batch, tokens, out, err));
    }
    return WA_OK;
}

void api_inputs_done(api_inputs *in) { wa__arena_done(&in->arena); }
