/* The public face of src/program: see program.h and program_int.h. */
#include "program/program_int.h"

wa_status wa__program_create(const wa_graph *g, const wa_program_options *o, wa_program **out, wa_error *err)
{
    wa_graph *copy = NULL;
    wa_program *p = wa__alloc(1, sizeof *p);
    if (!p) return wa__no_memory(err, "a program");
    p->o = *o;
    p->output_count = g->output_count;
    p->outputs = wa__alloc(g->output_count + 1u, sizeof *p->outputs);
    wa_status s = p->outputs ? wa__graph_clone(g, &copy, err) : wa__no_memory(err, "a program");
    if (s == WA_OK) s = program_stage_new(p, copy, &p->root, err);
    if (s != WA_OK) {
        wa__program_free(p);
        return s;
    }
    *out = p;
    return WA_OK;
}

static void drop_outputs(wa_program *p)
{
    for (uint32_t i = 0; p->outputs && i < p->output_count; i++) {
        wa__free(p->outputs[i].data);
        p->outputs[i].data = NULL;
    }
}

void wa__program_free(wa_program *p)
{
    if (!p) return;
    program_stage_free(p, p->root);
    drop_outputs(p);
    wa__free(p->outputs);
    wa__free(p);
}

uint64_t wa__program_bytes(const wa_program *p) { return p->bytes; }

/* dtypes and fixed dims as the model says; one symbol one value. */
static wa_status check_input(const wa_graph *g, uint32_t i, const wa_view *in, int64_t *symbols, wa_error *err)
{
    const wa_value *v = &g->values[g->inputs[i]];
    char have[160], want[160];
    bool ok = v->type.dtype == in->type.dtype && (v->type.rank == WA_RANK_UNKNOWN || v->type.rank == in->type.rank);
    for (uint32_t d = 0; ok && v->type.rank != WA_RANK_UNKNOWN && d < in->type.rank; d++) {
        int64_t dim = v->type.dims[d];
        if (dim >= 0) ok = dim == in->type.dims[d];
        else if (symbols[-1 - dim] < 0) symbols[-1 - dim] = in->type.dims[d];
        else if (symbols[-1 - dim] != in->type.dims[d])
            return wa__fail(err, WA_INVALID_ARGUMENT, "input \"%.*s\": dim %u (%.*s) is %lld here and %lld in another input", WA_STR_ARG(v->name), d,
                            WA_STR_ARG(g->symbols[-1 - dim]), (long long)in->type.dims[d], (long long)symbols[-1 - dim]);
    }
    if (ok) return WA_OK;
    wa__type_text(&in->type, have, sizeof have);
    wa__type_text(&v->type, want, sizeof want);
    return wa__fail(err, WA_INVALID_ARGUMENT, "input \"%.*s\" is %s, the model takes %s", WA_STR_ARG(v->name), have, want);
}

static wa_status check_inputs(const wa_graph *g, const wa_view *inputs, uint32_t count, wa_error *err)
{
    if (count != g->input_count) return wa__fail(err, WA_INVALID_ARGUMENT, "%u inputs were given, the model takes %u", count, g->input_count);
    int64_t *symbols = wa__alloc(g->symbol_count + 1u, sizeof *symbols);
    if (!symbols) return wa__no_memory(err, "inputs");
    for (uint32_t k = 0; k < g->symbol_count; k++) symbols[k] = -1;
    wa_status s = WA_OK;
    for (uint32_t i = 0; i < count && s == WA_OK; i++) s = check_input(g, i, &inputs[i], symbols, err);
    wa__free(symbols);
    return s;
}

wa_status wa__program_run(wa_program *p, const wa_view *inputs, uint32_t input_count, wa_view *outputs, uint32_t output_count,
                          const wa_run_control *c, wa_program_stats *stats, wa_error *err)
{
    if (output_count != p->output_count) return wa__fail(err, WA_INVALID_ARGUMENT, "%u outputs were asked for, the model has %u", output_count, p->output_count);
    WA_TRY(check_inputs(p->root->graph, inputs, input_count, err));
    drop_outputs(p);
    p->control = c;
    p->depth = 0;
    p->stats = (wa_program_stats){.wall_ms = 0, .device_ms = -1, .gpu_ms = -1};
    WA_TRY(program_stage_run(p, p->root, inputs, p->outputs, err));
    memcpy(outputs, p->outputs, output_count * sizeof *outputs);
    if (stats) *stats = p->stats;
    return WA_OK;
}
