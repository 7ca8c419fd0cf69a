/* One ONNX TensorProto on its own (.pb test data and inputs). In: a file's bytes. Out: its type and
 * a copy of its elements. Called by api. */
#include "import/import_onnx_int.h"

static wa_status read_one(wa_onnx *o, wa_tensor_type *type, void **data, wa_error *err)
{
    wa_onnx_tensor t = {0};
    uint32_t value = WA_NONE;
    wa_pb_field f = {.wire = WA_PB_BYTES, .body = wa__reader(o->file->data, o->file->size, o->what)};
    f.bytes = (wa_str){(const char *)o->file->data, o->file->size};
    if (wa__graph_source(o->g, o->file->name, o->file->data, o->file->size) == WA_NONE) return wa__no_memory(err, "a tensor");
    WA_TRY(wa__onnx_tensor_read(o, &f, &t, err));
    WA_TRY(wa__onnx_tensor_const(o, &t, WA_STR(""), &value, err));
    const wa_value *v = &o->g->values[value];
    size_t bytes = (size_t)wa__bytes(&v->type);
    void *copy = wa__alloc(1, bytes);
    if (!copy) return wa__no_memory(err, "a tensor");
    if (bytes) memcpy(copy, v->data, bytes);
    *type = v->type;
    *data = copy;
    return WA_OK;
}

wa_status wa__import_tensor(const void *bytes, size_t n, const char *name, wa_tensor_type *type, void **data, wa_error *err)
{
    wa_model_file file = {wa__str(name), bytes, n};
    wa_model_files files = {&file, 1};
    wa_onnx o = {.files = &files, .file = &file, .what = name};
    WA_TRY(wa__graph_create(&o.g, err));
    wa__names_init(&o.names, o.g);
    wa_status s = read_one(&o, type, data, err);
    wa__names_done(&o.names);
    wa__graph_free(o.g);
    return s;
}
