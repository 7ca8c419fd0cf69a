/* One ONNX TensorProto on its own (.pb test data and inputs). In: a file's bytes. Out: its type and
 * a copy of its elements. Called by api. */
#include "import/import_onnx_int.h"

static wa_status read_one(const wa_onnx *o, wa_tensor_type *type, void **out, wa_error *err)
{
    wa_onnx_tensor t = {0};
    const wa_model_file *in = o->m->file, *file;
    wa_pb_field f = {.wire = WA_PB_BYTES, .body = wa__reader(in->data, in->size, o->what), .bytes = {(const char *)in->data, in->size}};
    const uint8_t *data = NULL;
    void *owned = NULL;
    WA_TRY(wa__onnx_tensor_read(o, &f, &t, err));
    wa_status s = wa__onnx_tensor_data(o, &t, &file, &data, &owned, err);
    if (s == WA_OK && !owned) {
        size_t bytes = (size_t)wa__bytes(&t.type);
        owned = wa__alloc(1, bytes);
        if (!owned) return wa__no_memory(err, "a tensor");
        if (bytes) memcpy(owned, data, bytes);
    }
    if (s != WA_OK) wa__free(owned);
    else *out = owned;
    *type = t.type;
    return s;
}

wa_status wa__import_tensor(const void *bytes, size_t n, const char *name, wa_tensor_type *type, void **data, wa_error *err)
{
    wa_model_file file = {wa__str(name), bytes, n};
    wa_model_files files = {&file, 1};
    wa_onnx_model m = {.files = &files, .file = &file};
    wa_onnx o = {.m = &m, .opsets = &m.opsets, .what = name};
    return read_one(&o, type, data, err);
}
