/* Finds out what a model folder holds and hands it to the importer of that format.
 * In: the folder's mapped files. Out: a verified graph. Called by api. */
#include "import/import_int.h"

const wa_model_file *wa__model_file(const wa_model_files *m, const char *name)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (wa__str_is(m->files[i].name, name)) return &m->files[i];
    return NULL;
}

bool wa__import_name_ok(wa_str s)
{
    size_t at;
    return s.len <= WA_LIMIT_NAME_BYTES &&
           (s.len == 0 || (!memchr(s.ptr, 0, s.len) && wa__utf8_valid(s.ptr, s.len, &at)));
}

uint32_t wa__import_source(wa_graph *g, const wa_model_file *file)
{
    for (uint32_t i = 0; i < g->source_count; i++)
        if (g->sources[i].data == file->data && wa__str_eq(g->sources[i].name, file->name)) return i;
    return wa__graph_source(g, file->name, file->data, file->size);
}

/* A relative path of plain parts. */
static bool path_ok(wa_str p)
{
    if (p.len == 0 || p.len > WA_LIMIT_NAME_BYTES || !wa__import_name_ok(p) || memchr(p.ptr, '\\', p.len))
        return false;
    for (size_t start = 0, i = 0; i <= p.len; i++) {
        if (i < p.len && p.ptr[i] != '/') continue;
        wa_str part = {p.ptr + start, i - start};
        if (part.len == 0 || wa__str_is(part, ".") || wa__str_is(part, "..")) return false;
        start = i + 1;
    }
    return true;
}

wa_status wa__model_file_beside(const wa_model_files *m, wa_str beside, wa_str relative,
                                const wa_model_file **out, wa_error *err)
{
    if (!path_ok(relative))
        return wa__fail(
            err, WA_CORRUPT,
            "%.*s names the file \"%.*s\": only plain relative paths inside the model's folder are read",
            WA_STR_ARG(beside), WA_STR_ARG(relative));
    size_t folder = beside.len;
    while (folder > 0 && beside.ptr[folder - 1] != '/') folder--;
    for (uint32_t i = 0; i < m->count; i++) {
        wa_str name = m->files[i].name;
        if (name.len == folder + relative.len && (folder == 0 || memcmp(name.ptr, beside.ptr, folder) == 0) &&
            memcmp(name.ptr + folder, relative.ptr, relative.len) == 0) {
            *out = &m->files[i];
            return WA_OK;
        }
    }
    return wa__fail(err, WA_NOT_FOUND,
                    "%.*s needs the file %.*s, which is not beside it; fetch the whole model folder",
                    WA_STR_ARG(beside), WA_STR_ARG(relative));
}

static wa_status several(const wa_model_files *m, uint32_t count, wa_error *err)
{
    wa__fail(err, WA_INVALID_ARGUMENT, "the model folder has %u .onnx files; name one of:", count);
    for (uint32_t i = 0, shown = 0; i < m->count && shown < 8; i++) {
        if (!wa__str_ends(m->files[i].name, ".onnx")) continue;
        wa__error_append(err, "%s %.*s", shown ? "," : "", WA_STR_ARG(m->files[i].name));
        shown++;
    }
    return WA_INVALID_ARGUMENT;
}

wa_status wa__import_detect(const wa_model_files *m, wa_format *format, const wa_model_file **main_file,
                            wa_error *err)
{
    const wa_model_file *onnx = wa__model_file(m, "model.onnx"), *config = wa__model_file(m, "config.json"),
                        *only = NULL;
    uint32_t count = 0, safetensors = 0;
    if (!onnx) onnx = wa__model_file(m, "onnx/model.onnx");
    for (uint32_t i = 0; i < m->count; i++) {
        safetensors += wa__str_ends(m->files[i].name, ".safetensors");
        if (!wa__str_ends(m->files[i].name, ".onnx")) continue;
        only = &m->files[i];
        count++;
    }
    if (!onnx && count > 1) return several(m, count, err);
    if (!onnx) onnx = only;
    if (!onnx && !(config && safetensors))
        return wa__fail(err, WA_UNSUPPORTED,
                        "no model that can be read among the %u files: neither an .onnx file nor config.json "
                        "with .safetensors files",
                        m->count);
    *format = onnx ? WA_FORMAT_ONNX : WA_FORMAT_HF;
    *main_file = onnx ? onnx : config;
    return WA_OK;
}

wa_status wa__import(const wa_model_files *m, wa_graph **out, wa_error *err)
{
    wa_format format = WA_FORMAT_UNKNOWN;
    const wa_model_file *file = NULL;
    WA_TRY(wa__import_detect(m, &format, &file, err));
    return format == WA_FORMAT_ONNX ? wa__import_onnx(m, file, out, err) : wa__import_hf(m, out, err);
}
