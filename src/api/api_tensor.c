/* Tensors in files, for the command's --input and --output. */
#include "api_int.h"
#include "task/npy.h"

struct wa_tensor_file {
    wa_tensor_type type;
    wa_map map;       /* the file; data lies in it, or in owned */
    const void *data;
    void *owned;
};

wa_status wa_tensor_type_parse(const char *text, wa_tensor_type *out, wa_error *err)
{
    const char *open = strchr(text, '[');
    wa_tensor_type parsed = {0}, *t = &parsed;
    for (uint32_t d = 1; open && wa__dtype_info(d)->bits; d++)
        if (strlen(wa__dtype_info(d)->name) == (size_t)(open - text) && memcmp(wa__dtype_info(d)->name, text, (size_t)(open - text)) == 0) t->dtype = (wa_dtype)d;
    bool ok = t->dtype != WA_DTYPE_NONE;
    for (const char *p = ok ? open + 1 : ""; ok && *p && *p != ']';) {
        size_t n = strcspn(p, ",]");
        ok = t->rank < WA_RANK_MAX && wa__parse_i64((wa_str){p, n}, &t->dims[t->rank]) && t->dims[t->rank] >= 0;
        t->rank++;
        p += n + (p[n] == ',');
    }
    if (!ok) return wa__fail(err, WA_INVALID_ARGUMENT, "\"%s\" is not a type and shape such as f32[1,3,224,224] or i64[2]", text);
    *out = parsed;
    return WA_OK;
}

static wa_status read_any(wa_tensor_file *f, const char *path, const char *shape, wa_error *err)
{
    wa_str name = wa__str(path);
    uint64_t bytes;
    if (shape) {
        WA_TRY(wa_tensor_type_parse(shape, &f->type, err));
        if (!wa__type_bytes(&f->type, &bytes) || bytes != f->map.size)
            return wa__fail(err, WA_INVALID_ARGUMENT, "%s has %zu bytes, which %s does not take", path, f->map.size, shape);
        f->data = f->map.data;
        return WA_OK;
    }
    if (wa__str_ends(name, ".pb")) return wa__import_tensor(f->map.data, f->map.size, path, &f->type, &f->owned, err);
    wa_view v = {0};
    WA_TRY(wa__npy_read(f->map.data, f->map.size, path, &v, err));
    f->type = v.type;
    f->data = v.data;
    return WA_OK;
}

wa_status wa_tensor_read(const char *path, const char *shape, wa_tensor_file **out, wa_error *err)
{
    wa_tensor_file *f = wa__alloc(1, sizeof *f);
    if (!f) return wa__no_memory(err, path);
    wa_status s = wa__os_map(path, &f->map, err);
    if (s == WA_OK) s = read_any(f, path, shape, err);
    if (s == WA_OK && f->owned) f->data = f->owned;
    if (s == WA_OK) *out = f;
    else wa_tensor_file_free(f);
    return s;
}

const wa_tensor_type *wa_tensor_file_type(const wa_tensor_file *f, const void **data, size_t *bytes)
{
    *data = f->data;
    *bytes = (size_t)wa__bytes(&f->type);
    return &f->type;
}

void wa_tensor_file_free(wa_tensor_file *f)
{
    if (!f) return;
    wa__os_unmap(&f->map);
    wa__free(f->owned);
    wa__free(f);
}

wa_status wa_tensor_write_npy(const char *path, const wa_named_tensor *t, wa_error *err)
{
    wa_buf b;
    wa_view v = {t->type, (void *)(uintptr_t)t->data};
    wa__buf_init(&b, SIZE_MAX / 2);
    char *slash = strrchr(path, '/') ? wa__strndup(path, (size_t)(strrchr(path, '/') - path)) : NULL;
    wa_status s = slash && *slash ? wa__os_mkdirs(slash, 0777, err) : WA_OK;
    if (s == WA_OK) s = wa__npy_write(&v, &b, err);
    if (s == WA_OK) s = wa__os_write_file(path, b.ptr, b.len, 0644, err);
    wa__free(slash);
    wa__buf_done(&b);
    return s;
}
