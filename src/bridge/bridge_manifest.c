/* A plan as the JSON that page/runtime.js replays: buffers, shader texts (each once), pipelines,
 * uploads with merged ranges, dispatches with their binds. In: a verified plan. Called by bridge_load.c. */
#include "bridge/bridge_int.h"
#include "base/limits.h"


typedef struct manifest {
    const wa_plan *p;
    const bridge_load *l;
    json_t *root, *shaders, *transform_pipelines, *transforms;
    wa_buf text;      /* of the shader being made */
    uint32_t transform_keys[64]; /* transform << 16 | dtype of transform_pipelines[i] */
    uint32_t transform_count;
    bool good;        /* no allocation failed */
    wa_error *err;
} manifest;

static void set(manifest *m, json_t *o, const char *key, json_t *v) { m->good = json_object_set_new(o, key, v) == 0 && m->good; }
static void push(manifest *m, json_t *a, json_t *v) { m->good = json_array_append_new(a, v) == 0 && m->good; }
static json_t *whole(uint64_t v) { return json_integer((json_int_t)v); }
static json_t *string(const char *t)
{
    json_t *s = json_string(t);
    return s ? s : json_string("?"); /* not UTF-8 */
}

/* `id` names the page's buffer; without `size` it is there already, from an earlier load. `lanes`: of a READBACK
 * buffer, how many there must be. */
static json_t *gpu_buffer(const manifest *m, uint32_t i)
{
    const wa_plan_buffer *b = &m->p->buffers[i];
    int id = (int)m->l->memory[i];
    if (!m->l->fresh[i]) return json_pack("{s:i, s:i}", "id", id, "kind", (int)b->kind);
    return json_pack("{s:I, s:i, s:o, s:i, s:i}", "size", (json_int_t)b->size, "kind", (int)b->kind, "label", string(wa__plan_text(m->p, b->label)), "id", id, "lanes",
                     b->kind == WA_BUFFER_KIND_READBACK ? (int)m->l->lanes : 1);
}

static void buffers(manifest *m)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < m->p->buffer_count; i++) {
        const wa_plan_buffer *b = &m->p->buffers[i];
        if (b->target == WA_TARGET_CPU) push(m, list, json_null());
        else if (b->target == WA_TARGET_WEBNN) push(m, list, json_pack("{s:I, s:i, s:I}", "size", (json_int_t)b->size, "kind", (int)b->kind, "webnn", (json_int_t)b->type));
        else push(m, list, gpu_buffer(m, i));
    }
    set(m, m->root, "buffers", list);
}

/* Index of this text among the shaders, added when new; -1 on failure. */
static int shader_index(manifest *m, const wa_wgsl_spec *spec)
{
    wa__buf_clear(&m->text);
    if (wa__wgsl_generate(spec, m->p->code, &m->text, m->err) != WA_OK) return -1;
    wa_str t = {m->text.ptr, m->text.len};
    size_t n = json_array_size(m->shaders);
    for (size_t i = 0; i < n; i++) {
        const json_t *have = json_array_get(m->shaders, i);
        if (wa__str_eq(t, (wa_str){json_string_value(have), json_string_length(have)})) return (int)i;
    }
    push(m, m->shaders, json_stringn(t.ptr, t.len));
    return (int)n;
}

static json_t *pipeline(manifest *m, const wa_wgsl_spec *spec, bool params, const char *label)
{
    wa_wgsl_info info;
    if (wa__wgsl_check(spec, m->p->code, &info, m->err) != WA_OK) return NULL;
    int shader = shader_index(m, spec);
    if (shader < 0) return NULL;
    return json_pack("{s:i, s:i, s:i, s:b, s:o}", "shader", shader, "bindings", (int)info.binding_count, "write_mask", (int)info.write_mask, "params",
                     params, "label", string(label));
}

static wa_status pipelines(manifest *m)
{
    json_t *list = json_array();
    bool *params = wa__alloc(m->p->pipeline_count ? m->p->pipeline_count : 1, sizeof *params);
    set(m, m->root, "pipelines", list);
    if (!params) return wa__no_memory(m->err, "a plan's manifest");
    for (uint32_t i = 0; i < m->p->dispatch_count; i++)
        if (m->p->dispatches[i].params_size) params[m->p->dispatches[i].pipeline] = true;
    wa_status s = WA_OK;
    for (uint32_t i = 0; i < m->p->pipeline_count && s == WA_OK; i++) {
        const wa_plan_pipeline *pl = &m->p->pipelines[i];
        json_t *o = pipeline(m, &pl->spec, params[i], wa__plan_text(m->p, pl->label));
        if (!o) s = wa__fail_in(m->err, m->err && m->err->status ? m->err->status : WA_INTERNAL, "pipeline %u", i);
        else push(m, list, o);
    }
    wa__free(params);
    return s;
}

/* --- weights -------------------------------------------------------------------------------------- */
static int transform_pipeline(manifest *m, const wa_wgsl_spec *spec)
{
    uint32_t key = spec->spec[0] << 16 | spec->spec[1];
    for (uint32_t i = 0; i < m->transform_count; i++)
        if (m->transform_keys[i] == key) return (int)i;
    if (m->transform_count == sizeof m->transform_keys / sizeof *m->transform_keys) return -1;
    json_t *o = pipeline(m, spec, true, "transform");
    if (!o) return -1;
    push(m, m->transform_pipelines, o);
    m->transform_keys[m->transform_count] = key;
    return (int)m->transform_count++;
}

/* The record of a transform: what wgsl_transform.c's params want, and where the result is bound. */
static int transform_index(manifest *m, const wa_plan_weight *w)
{
    wa_plan_upload u;
    wa__plan_upload_of(m->p, (uint32_t)(w - m->p->weights), &u);
    int pl = transform_pipeline(m, &u.spec);
    if (pl < 0) return -1;
    json_t *o = json_pack("{s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "pipeline", pl, "unit", (int)u.unit, "items", (int)u.items, "extra", (json_int_t)u.extra, "rows", (json_int_t)u.rows, "cols",
                          (json_int_t)(u.cols ? u.cols : 1), "ld", (json_int_t)u.ld, "word", (json_int_t)u.word, "bind_offset",
                          (json_int_t)u.bind_offset, "bind_size", (json_int_t)u.bind_size);
    push(m, m->transforms, o);
    return (int)json_array_size(m->transforms) - 1;
}

typedef struct upload {
    const wa_plan_weight *w;
    uint64_t offset, length, dst;
    uint32_t source, buffer;
} upload;

static void push_upload(manifest *m, json_t *list, const upload *u, int transform)
{
    char source[16] = "d";
    if (u->source != WA_NONE) snprintf(source, sizeof source, "s%u", u->source);
    push(m, list, json_pack("[s, I, I, i, I, i]", source, (json_int_t)u->offset, (json_int_t)u->length, (int)u->buffer, (json_int_t)u->dst, transform));
}

/* Weights of one source that go from adjacent places to adjacent places become one range. */
static wa_status uploads(manifest *m)
{
    json_t *list = json_array();
    upload open = {0};
    set(m, m->root, "uploads", list);
    for (uint32_t i = 0; i < m->p->weight_count; i++) {
        const wa_plan_weight *w = &m->p->weights[i];
        if (w->buffer == WA_NONE || m->p->buffers[w->buffer].target != WA_TARGET_WEBGPU || w->length == 0 || !m->l->fresh[w->buffer]) continue;
        if (w->transform != WA_TRANSFORM_NONE) {
            int t = transform_index(m, w);
            if (t < 0) return wa__fail(m->err, WA_UNSUPPORTED, "weight \"%s\": transform %u has no kernel", wa__plan_text(m->p, w->name), w->transform);
            upload u = {w, w->offset, w->length, w->dst_offset, w->source, w->buffer};
            push_upload(m, list, &u, t);
            continue;
        }
        if (open.w && open.source == w->source && open.buffer == w->buffer && open.offset + open.length == w->offset &&
            open.dst + open.length == w->dst_offset) {
            open.length += w->length;
            continue;
        }
        if (open.w) push_upload(m, list, &open, -1);
        open = (upload){w, w->offset, w->length, w->dst_offset, w->source, w->buffer};
    }
    if (open.w) push_upload(m, list, &open, -1);
    /* The transforms borrow the PARAMS buffer, so its own contents come last. */
    json_t *late = json_array();
    set(m, m->root, "late", late);
    if (m->p->info.params_buffer != WA_NONE && m->p->info.params_length) {
        upload u = {NULL, m->p->info.params_data, m->p->info.params_length, 0, WA_NONE, m->p->info.params_buffer};
        push_upload(m, late, &u, -1);
    }
    return WA_OK;
}

/* --- what runs ------------------------------------------------------------------------------------ */
static void dispatches(manifest *m)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < m->p->dispatch_count; i++) {
        const wa_plan_dispatch *d = &m->p->dispatches[i];
        json_t *binds = json_array();
        for (uint32_t k = 0; k < d->bind_count; k++) {
            const wa_plan_bind *b = &m->p->binds[d->bind_first + k];
            push(m, binds, json_pack("[i, I, I]", (int)b->buffer, (json_int_t)b->offset, (json_int_t)b->size));
        }
        json_t *o = json_pack("{s:i, s:o, s:[i, i, i], s:[i, i], s:o, s:i}", "p", (int)d->pipeline, "b", binds, "g", (int)d->grid[0], (int)d->grid[1],
                              (int)d->grid[2], "u", (int)d->params_offset, (int)d->params_size, "l", string(wa__plan_text(m->p, d->label)), "ns",
                              (int)(d->predicted_ns & INT32_MAX));
        if (o && d->indirect_buffer != WA_NONE) set(m, o, "i", json_pack("[i, I]", (int)d->indirect_buffer, (json_int_t)d->indirect_offset));
        push(m, list, o);
    }
    set(m, m->root, "dispatches", list);
}

static void segments(manifest *m)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < m->p->segment_count; i++) {
        const wa_plan_segment *s = &m->p->segments[i];
        if (s->target == WA_TARGET_CPU) push(m, list, json_null());
        else if (s->target == WA_TARGET_WEBNN) push(m, list, json_pack("{s:i, s:i, s:i, s:b}", "first", (int)s->first, "count", (int)s->count, "predicted_ns", 0, "webnn", 1));
        else push(m, list, json_pack("{s:i, s:i, s:I}", "first", (int)s->first, "count", (int)s->count, "predicted_ns", (json_int_t)s->predicted_ns));
    }
    set(m, m->root, "segments", list);
}

static uint32_t find_buffer(const wa_plan *p, uint32_t kind, uint32_t after)
{
    for (uint32_t i = after; i < p->buffer_count; i++)
        if (p->buffers[i].kind == kind && p->buffers[i].target == WA_TARGET_WEBGPU) return i;
    return WA_NONE;
}

/* Timestamps of a run use the plan's QUERY buffer and the READBACK buffer "timestamps" behind it. */
static void queries(manifest *m, bool timestamps)
{
    uint32_t resolve = find_buffer(m->p, WA_BUFFER_KIND_QUERY, 0), readback = resolve + 1;
    if (resolve == WA_NONE) return;
    set(m, json_array_get(json_object_get(m->root, "buffers"), resolve), "usage", json_integer(0x0200 | 0x0004)); /* QUERY_RESOLVE | COPY_SRC */
    if (readback >= m->p->buffer_count || m->p->buffers[readback].kind != WA_BUFFER_KIND_READBACK ||
        strcmp(wa__plan_text(m->p, m->p->buffers[readback].label), "timestamps") != 0)
        return;
    if (timestamps && m->p->buffers[resolve].size >= 16 && m->p->buffers[readback].size >= 16)
        set(m, m->root, "query", json_pack("{s:i, s:i, s:i}", "count", 2, "resolve", (int)resolve, "readback", (int)readback));
}

static wa_status build(manifest *m, const bridge_load *l, bool timestamps)
{
    const wa_plan *p = m->p;
    uint32_t staging = find_buffer(p, WA_BUFFER_KIND_STAGING, 0);
    set(m, m->root, "shaders", m->shaders);
    set(m, m->root, "transform_pipelines", m->transform_pipelines);
    set(m, m->root, "transforms", m->transforms);
    set(m, m->root, "handle", whole(l->handle));
    set(m, m->root, "lanes", whole(l->lanes));
    set(m, m->root, "path", json_sprintf("/w/%s", l->path));
    set(m, m->root, "staging", json_integer(staging == WA_NONE ? -1 : (json_int_t)staging));
    set(m, m->root, "params", json_integer(p->info.params_buffer == WA_NONE ? -1 : (json_int_t)p->info.params_buffer));
    buffers(m);
    WA_TRY(pipelines(m));
    WA_TRY(uploads(m));
    if (m->transform_count && (staging == WA_NONE || p->info.params_buffer == WA_NONE || p->buffers[p->info.params_buffer].size < 32))
        return wa__fail(m->err, WA_VERIFY, "the plan transforms weights but has no staging or params buffer for that");
    dispatches(m);
    segments(m);
    queries(m, timestamps);
    if (p->info.target == WA_TARGET_WEBNN) set(m, m->root, "webnn", wa__manifest_nn(p));
    return m->good ? WA_OK : wa__no_memory(m->err, "a plan's manifest");
}

wa_status wa__bridge_manifest(const bridge_load *l, bool timestamps, json_t **out, wa_error *err)
{
    wa_error local = {0};
    manifest m = {.p = l->plan, .l = l, .root = json_object(), .shaders = json_array(), .transform_pipelines = json_array(), .transforms = json_array(),
                  .good = true, .err = err ? err : &local};
    m.err->status = WA_OK;
    wa__buf_init(&m.text, (size_t)1 << 20);
    wa_status s = build(&m, l, timestamps);
    wa__buf_done(&m.text);
    if (s == WA_OK) *out = m.root;
    else json_decref(m.root);
    return s;
}
