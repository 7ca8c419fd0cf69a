/* wa_inspect and wa_plan_describe: what a model is, and what it compiles to. */
#include "api_int.h"

static json_t *ports(const wa_graph *g, const uint32_t *ids, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count && list; i++) {
        const wa_value *v = &g->values[ids[i]];
        char type[256] = "known once its inputs' shapes are";
        if (v->type.dtype == WA_DTYPE_NONE) {
            json_array_append_new(list, json_pack("{s:s%, s:s}", "name", v->name.ptr, v->name.len, "type", type));
            continue;
        }
        size_t at = (size_t)snprintf(type, sizeof type, "%s[", wa__dtype_info(v->type.dtype)->name);
        for (uint32_t d = 0; d < v->type.rank && v->type.rank <= WA_RANK_MAX && at < sizeof type - 64; d++) {
            int64_t dim = v->type.dims[d];
            if (dim >= 0) at += (size_t)snprintf(type + at, sizeof type - at, d ? ",%lld" : "%lld", (long long)dim);
            else at += (size_t)snprintf(type + at, sizeof type - at, d ? ",%.*s" : "%.*s", (int)(g->symbols[-1 - dim].len < 40 ? g->symbols[-1 - dim].len : 40), g->symbols[-1 - dim].ptr);
        }
        snprintf(type + at, sizeof type - at, v->type.rank > WA_RANK_MAX ? "?]" : "]");
        json_array_append_new(list, json_pack("{s:s%, s:s}", "name", v->name.ptr, v->name.len, "type", type));
    }
    return list;
}

static json_t *operators(const wa_graph *g)
{
    json_t *o = json_object();
    for (uint32_t i = 0; i < g->node_count && o; i++) {
        if (g->nodes[i].dead) continue;
        const char *name = wa__op_info(g->nodes[i].op)->name;
        json_object_set_new(o, name, json_integer(json_integer_value(json_object_get(o, name)) + 1));
    }
    return o;
}

static uint64_t parameters(const wa_graph *g, uint64_t *bytes)
{
    uint64_t n = 0;
    *bytes = 0;
    for (uint32_t i = 0; i < g->value_count; i++) {
        const wa_value *v = &g->values[i];
        if (v->kind != WA_VALUE_CONST || v->source < 0) continue;
        n += (uint64_t)wa__count(&v->type);
        *bytes += wa__bytes(&v->type);
    }
    return n;
}

wa_status wa_inspect(wa_accelerator *a, const char *model, char **json, wa_error *err)
{
    static const char *const formats[] = {"unknown", "onnx", "hugging face"};
    api_model *m;
    uint64_t bytes;
    WA_TRY(api_model_open(a, model, NULL, &m, err));
    uint64_t n = parameters(m->graph, &bytes);
    json_t *o = json_pack("{s:s, s:s?, s:s, s:s, s:s, s:s, s:s%, s:I, s:I, s:I}", "model", model, "model_cid", m->cid, "format", formats[m->format], "model_type",
                          m->model_type, "type_reason", m->type_reason, "task", m->task, "main_file", m->main_file->name.ptr, m->main_file->name.len, "files",
                          (json_int_t)m->file_count, "parameters", (json_int_t)n, "weight_bytes", (json_int_t)bytes);
    if (o) {
        json_object_set_new(o, "inputs", ports(m->graph, m->graph->inputs, m->graph->input_count));
        json_object_set_new(o, "outputs", ports(m->graph, m->graph->outputs, m->graph->output_count));
        json_object_set_new(o, "operators", operators(m->graph));
        json_object_set_new(o, "memory_bytes", json_pack("{s:I, s:I, s:I, s:I}", "32", (json_int_t)(n * 4), "16", (json_int_t)(n * 2), "8", (json_int_t)n, "4", (json_int_t)(n / 2 + n / 16)));
    }
    char *text = api_json_text(o);
    if (!text) return wa__no_memory(err, "the description");
    *json = text;
    return WA_OK;
}

static json_t *plan_summary(const wa_plan *p, const wa_graph *g)
{
    char hex[65];
    uint64_t weights = 0, arena = 0;
    wa__hex(p->info.key, 32, hex);
    for (uint32_t i = 0; i < p->buffer_count; i++) {
        if (p->buffers[i].kind == WA_BUFFER_KIND_WEIGHTS) weights += p->buffers[i].size;
        if (p->buffers[i].kind == WA_BUFFER_KIND_ARENA) arena += p->buffers[i].size;
    }
    return json_pack("{s:s, s:s, s:s?, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "key", hex, "target", wa__target_name(p->info.target), "entry",
                     p->entry_count ? wa__plan_text(p, p->entries[0].name) : NULL, "segments", (json_int_t)p->segment_count, "pipelines", (json_int_t)p->pipeline_count,
                     "dispatches", (json_int_t)p->dispatch_count, "calls", (json_int_t)p->call_count, "memory_bytes",
                     (json_int_t)wa__plan_bytes(p, (wa_target)p->info.target), "weight_bytes", (json_int_t)weights, "arena_bytes", (json_int_t)arena, "flops",
                     (json_int_t)p->info.flops, "operators", operators(g));
}

static wa_status describe_shape(api_model *m, const wa_plan_request *q, api_shape *shape, wa_error *err)
{
    const wa_graph *g = m->graph;
    if (q->input_count == 0 && strcmp(m->task, "embed") == 0) return api_shape_embed(m, q->batch, q->length, shape, err);
    if (q->input_count > 64) return wa__fail(err, WA_LIMIT, "more than 64 inputs");
    memset(shape, 0, sizeof *shape);
    shape->task = "tensors";
    for (size_t i = 0; i < q->input_count; i++) {
        shape->names[i] = q->inputs[i].name;
        shape->types[i] = q->inputs[i].type;
    }
    shape->input_count = (uint32_t)q->input_count;
    for (uint32_t i = 0; q->input_count == 0 && i < g->input_count; i++) { /* a model whose shapes are all fixed */
        const wa_value *v = &g->values[g->inputs[i]];
        int64_t n;
        if (!wa__type_count(&v->type, &n) || i == 64)
            return wa__fail(err, WA_INVALID_ARGUMENT, "input \"%.*s\" has open dims; give its shape: --input %.*s=f32[1,16]", WA_STR_ARG(v->name), WA_STR_ARG(v->name));
        shape->names[i] = v->name.ptr;
        shape->types[i] = v->type;
        shape->input_count = i + 1;
    }
    return WA_OK;
}

/* What the plan is for, and where profiles of it are kept. */
static wa_status describe_target(wa_accelerator *a, const wa_plan_request *q, wa_plan_target *t, api_tuned *tuned, wa_error *err)
{
    api_session *cpu;
    t->target = strcmp(q->target, "cpu") == 0 ? WA_TARGET_CPU : WA_TARGET_WEBGPU;
    if (t->target == WA_TARGET_WEBGPU && strcmp(q->target, "webgpu") != 0)
        return wa__fail(err, WA_UNSUPPORTED, "target \"%s\": plans are made for webgpu and cpu", q->target);
    if (t->target == WA_TARGET_WEBGPU) return q->browser ? api_target_recall(a, q->browser, t, tuned, err) : WA_OK;
    if (q->browser) return wa__fail(err, WA_INVALID_ARGUMENT, "--target cpu runs in no browser; leave --browser out");
    WA_TRY(api_session_cpu(a, &cpu, err));
    api_tuned_name(cpu, tuned);
    return WA_OK;
}

static wa_status print_plan(wa_accelerator *a, const wa_plan *p, const api_tuned *tuned, wa_buf *out, wa_error *err)
{
    double *us = tuned->name[0] ? api_profile_recall(a, p, tuned->name) : NULL;
    wa_status s = wa__plan_print_timed(p, us, out, err);
    wa__free(us);
    return s;
}

wa_status wa_plan_describe(wa_accelerator *a, const wa_plan_request *request, char **text, char **json, wa_error *err)
{
    wa_plan_request filled = WA_PLAN_REQUEST_INIT, *q = &filled;
    api_model *m;
    api_shape shape;
    wa_plan_target t = {0};
    api_tuned tuned = {0};
    wa_plan *p = NULL;
    wa_graph *g = NULL;
    bool cached;
    wa_buf b;
    if (!request || request->struct_size == 0 || request->struct_size > sizeof filled) return wa__fail(err, WA_INVALID_ARGUMENT, "plan request: start from WA_PLAN_REQUEST_INIT");
    memcpy(q, request, request->struct_size);
    WA_TRY(describe_target(a, q, &t, &tuned, err));
    WA_TRY(api_model_open(a, q->model, NULL, &m, err));
    WA_TRY(describe_shape(m, q, &shape, err));
    wa__buf_init(&b, WA_LIMIT_PLAN_BYTES);
    char *summary = NULL;
    wa_status s = api_optimized(m, &shape, &g, err);
    if (s == WA_OK) s = api_compile(a, m, &shape, &t, &p, &cached, err);
    if (s == WA_OK) s = print_plan(a, p, &tuned, &b, err);
    if (s == WA_OK && json && !(summary = api_json_text(plan_summary(p, g)))) s = wa__no_memory(err, "the summary");
    if (s == WA_OK) {
        *text = b.ptr;
        b.ptr = NULL;
        if (json) *json = summary;
    }
    wa__buf_done(&b);
    wa__plan_free(p);
    wa__graph_free(g);
    return s;
}
