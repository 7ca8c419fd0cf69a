/* ONNX files to graphs. In: the mapped file and the folder's other files (external data). Out: a
 * verified graph whose large constants point into the mapping. Called by import.c, tests, fuzzers.
 *
 * ModelProto { 1 ir_version, 7 graph, 8 opset_import { 1 domain, 2 version }, 25 functions }
 */
#include "import/import_onnx_int.h"

enum { M_IR = 1, M_GRAPH = 7, M_OPSET = 8, M_FUNCTION = 25 };

static wa_status read_model(wa_onnx *o, wa_error *err)
{
    wa_onnx_model *m = o->m;
    wa_reader r = wa__reader(m->file->data, (size_t)m->file->size, o->what);
    wa_pb_field f;
    bool more = false;
    for (;;) {
        WA_TRY(wa__pb_next(&r, &f, &more, err));
        if (!more) break;
        if (f.number == M_IR) {
            WA_TRY(wa__pb_want(&f, WA_PB_VARINT, "ir_version", o->what, err));
            m->ir_version = f.value;
        } else if (f.number == M_OPSET) {
            WA_TRY(wa__onnx_opset_read(o, &f, &m->opsets, err));
        } else if (f.number == M_FUNCTION) {
            WA_TRY(wa__onnx_function_read(o, &f, err));
        } else if (f.number == M_GRAPH) {
            WA_TRY(wa__pb_want(&f, WA_PB_BYTES, "the graph", o->what, err));
            if (m->has_graph)
                return wa__fail(err, WA_CORRUPT, "%s has a second graph at byte %zu", o->what, f.offset);
            m->graph = f.body;
            m->has_graph = true;
        }
    }
    if (!m->has_graph)
        return wa__fail(err, WA_CORRUPT, "%s (%llu bytes) holds no graph; is it an ONNX file?", o->what,
                        (unsigned long long)m->file->size);
    return WA_OK;
}

/* Every graph has the same sources, index for index. */
static bool same_sources(wa_graph *g, const wa_graph *outer)
{
    for (uint32_t i = g->source_count; i < outer->source_count; i++)
        if (wa__graph_source(g, outer->sources[i].name, outer->sources[i].data, outer->sources[i].size) != i) return false;
    for (uint32_t i = 0; i < g->child_count; i++)
        if (!same_sources(g->children[i], g)) return false;
    return true;
}

static wa_status build(wa_onnx *o, wa_error *err)
{
    wa_onnx_model *m = o->m;
    o->what = wa__arena_strndup(o->g->arena, m->file->name.ptr, m->file->name.len);
    if (!o->what) return wa__no_memory(err, "a name");
    if (m->file->size > SIZE_MAX) return wa__fail(err, WA_LIMIT, "%s is too large for this machine", o->what);
    WA_TRY(read_model(o, err));
    o->graph = m->graph;
    WA_TRY(wa__onnx_check_ops(o, err));
    if (wa__onnx_source(o, m->file) == WA_NONE) return wa__no_memory(err, "a source");
    WA_TRY(wa__onnx_graph(o, err));
    if (o->g->output_count == 0) return wa__fail(err, WA_CORRUPT, "%s: the graph has no outputs", o->what);
    if (!same_sources(o->g, o->g)) return wa__no_memory(err, "a source");
    return wa__graph_verify(o->g, err);
}

wa_status wa__import_onnx(const wa_model_files *files, const wa_model_file *file, wa_graph **out, wa_error *err)
{
    wa_onnx_model m = {.files = files, .file = file};
    wa_onnx o = {.m = &m, .opsets = &m.opsets};
    WA_TRY(wa__graph_create(&o.g, err));
    m.g = o.g;
    wa_status s = build(&o, err);
    wa__names_done(&o.names);
    wa__free(m.functions);
    if (s != WA_OK) {
        wa__graph_free(o.g);
        return s;
    }
    *out = o.g;
    return WA_OK;
}
