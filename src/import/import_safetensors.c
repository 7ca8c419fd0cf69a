/* See import_safetensors.h. Called by import_hf.c, tests, fuzzers. */
#include "import/import_safetensors.h"
#include <stdlib.h>

void wa__safetensors_init(wa_safetensors *s)
{
    *s = (wa_safetensors){.count = 0};
    wa__arena_init(&s->arena, WA_LIMIT_COMPILE_ARENA_BYTES);
}

void wa__safetensors_done(wa_safetensors *s)
{
    wa__arena_done(&s->arena);
    wa__free(s->tensors);
    s->tensors = NULL;
    s->count = s->cap = 0;
}

static int compare_str(wa_str a, wa_str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

static int by_name(const void *a, const void *b)
{
    return compare_str(((const wa_safetensor *)a)->name, ((const wa_safetensor *)b)->name);
}

static int by_place(const void *a, const void *b)
{
    const wa_safetensor *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    uint64_t p = wa__bytes(&x->type), q = wa__bytes(&y->type);
    return (p > q) - (p < q);
}

const wa_safetensor *wa__safetensors_find(const wa_safetensors *s, wa_str name)
{
    wa_safetensor key = {.name = name};
    return s->count ? bsearch(&key, s->tensors, s->count, sizeof key, by_name) : NULL;
}

static wa_dtype dtype_of(const char *name)
{
    static const struct {
        const char *name;
        wa_dtype dtype;
    } types[] = {{"F32", WA_F32}, {"F16", WA_F16}, {"BF16", WA_BF16}, {"F64", WA_F64}, {"I64", WA_I64},
                 {"I32", WA_I32}, {"I16", WA_I16}, {"I8", WA_I8},     {"U8", WA_U8},   {"U16", WA_U16},
                 {"U32", WA_U32}, {"U64", WA_U64}, {"BOOL", WA_BOOL}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, name) == 0) return types[i].dtype;
    return (wa_dtype)0;
}

typedef struct header {
    const wa_model_file *file;
    const char *what;
    uint64_t data_at, data_size;
} header;

static wa_status bad(const header *h, const char *tensor, const char *why, wa_error *err)
{
    return wa__fail(err, WA_CORRUPT, "%s: tensor \"%.200s\" %s", h->what, tensor, why);
}

static wa_status read_shape(const header *h, const char *name, const json_t *shape, wa_tensor_type *type,
                            wa_error *err)
{
    if (!json_is_array(shape)) return bad(h, name, "has no shape", err);
    if (json_array_size(shape) > WA_RANK_MAX)
        return wa__fail(err, WA_UNSUPPORTED, "%s: tensor \"%.200s\" has more than %d dimensions", h->what,
                        name, WA_RANK_MAX);
    type->rank = (uint32_t)json_array_size(shape);
    for (uint32_t i = 0; i < type->rank; i++) {
        const json_t *dim = json_array_get(shape, i);
        type->dims[i] = json_is_integer(dim) ? json_integer_value(dim) : -1;
        if (type->dims[i] < 0) return bad(h, name, "has a dimension that is no size", err);
    }
    return WA_OK;
}

static wa_status read_tensor(const header *h, const char *name, const json_t *j, wa_safetensor *out,
                             wa_error *err)
{
    const json_t *dtype = json_object_get(j, "dtype"), *range = json_object_get(j, "data_offsets");
    uint64_t bytes = 0;
    if (!json_is_object(j)) return bad(h, name, "is described by no object", err);
    if (!json_is_string(dtype)) return bad(h, name, "has no dtype", err);
    out->type.dtype = dtype_of(json_string_value(dtype));
    if (!out->type.dtype)
        return wa__fail(err, WA_UNSUPPORTED, "%s: tensor \"%.200s\" has dtype %.32s, which is not supported",
                        h->what, name, json_string_value(dtype));
    WA_TRY(read_shape(h, name, json_object_get(j, "shape"), &out->type, err));
    const json_t *b = json_array_get(range, 0), *e = json_array_get(range, 1);
    if (json_array_size(range) != 2 || !json_is_integer(b) || !json_is_integer(e))
        return bad(h, name, "has no data_offsets [begin, end]", err);
    json_int_t begin = json_integer_value(b), end = json_integer_value(e);
    if (begin < 0 || end < begin || (uint64_t)end > h->data_size)
        return wa__fail(err, WA_CORRUPT, "%s: tensor \"%.200s\" lies at bytes %lld to %lld of %llu", h->what,
                        name, (long long)begin, (long long)end, (unsigned long long)h->data_size);
    if (!wa__type_bytes(&out->type, &bytes) || bytes != (uint64_t)(end - begin))
        return bad(h, name, "has data_offsets that do not fit its shape and dtype", err);
    out->data = h->file->data + h->data_at + (uint64_t)begin;
    out->file = h->file;
    return WA_OK;
}

static wa_status check_overlap(const header *h, wa_safetensor *t, size_t n, wa_error *err)
{
    qsort(t, n, sizeof *t, by_place);
    for (size_t i = 1; i < n; i++)
        if (t[i - 1].data + wa__bytes(&t[i - 1].type) > t[i].data)
            return bad(h, t[i].name.ptr, "overlaps another tensor", err);
    return WA_OK;
}

static wa_status read_all(const header *h, json_t *j, wa_safetensors *out, wa_error *err)
{
    const char *name;
    json_t *value;
    size_t first = out->count;
    json_object_foreach(j, name, value)
    {
        wa_safetensor t = {.file = NULL};
        if (strcmp(name, "__metadata__") == 0) continue;
        if (!name[0] || strlen(name) > WA_LIMIT_NAME_BYTES)
            return bad(h, name, "has an empty or too long name", err);
        WA_TRY(read_tensor(h, name, value, &t, err));
        void *array = out->tensors;
        t.name = (wa_str){wa__arena_strndup(&out->arena, name, strlen(name)), strlen(name)};
        if (!t.name.ptr || !wa__array_reserve(&array, &out->cap, out->count + 1, sizeof t))
            return wa__no_memory(err, "tensors");
        out->tensors = array;
        out->tensors[out->count++] = t;
    }
    return out->count > first ? check_overlap(h, out->tensors + first, out->count - first, err) : WA_OK;
}

wa_status wa__safetensors_read(const wa_model_file *file, wa_safetensors *out, wa_error *err)
{
    header h = {.file = file, .what = wa__arena_strndup(&out->arena, file->name.ptr, file->name.len)};
    uint64_t n = 0;
    if (!h.what) return wa__no_memory(err, "a name");
    wa_reader r = wa__reader(file->data, (size_t)file->size, h.what);
    const uint8_t *text = NULL;
    json_t *j = NULL;
    WA_TRY(wa__read_u64(&r, &n, "the header's length", err));
    if (n > WA_LIMIT_SAFETENSORS_HEADER || n > wa__reader_left(&r))
        return wa__fail(
            err, WA_CORRUPT,
            "%s: its header is said to have %llu bytes, the file has %llu; is it a whole safetensors file?",
            h.what, (unsigned long long)n, (unsigned long long)file->size);
    WA_TRY(wa__read_bytes(&r, (size_t)n, &text, "the header", err));
    h.data_at = 8 + n;
    h.data_size = file->size - h.data_at;
    WA_TRY(wa__json_parse(text, n, h.what, &j, err));
    wa_status s = read_all(&h, j, out, err);
    json_decref(j);
    return s;
}

/* Sorts by name; two shards with one name are an error. */
static wa_status finish(wa_safetensors *s, wa_error *err)
{
    if (s->count) qsort(s->tensors, s->count, sizeof *s->tensors, by_name);
    for (size_t i = 1; i < s->count; i++)
        if (wa__str_eq(s->tensors[i - 1].name, s->tensors[i].name))
            return wa__fail(err, WA_CORRUPT, "tensor \"%.*s\" is in %.*s and in %.*s",
                            WA_STR_ARG(s->tensors[i].name), WA_STR_ARG(s->tensors[i - 1].file->name),
                            WA_STR_ARG(s->tensors[i].file->name));
    return WA_OK;
}

static wa_status check_map(const wa_model_file *index, const json_t *map, const wa_safetensors *s,
                           wa_error *err)
{
    const char *name;
    json_t *file;
    json_object_foreach((json_t *)(uintptr_t)map, name, file)
    {
        const wa_safetensor *t = wa__safetensors_find(s, wa__str(name));
        if (!t || !wa__str_ends(t->file->name, json_string_value(file)))
            return wa__fail(err, WA_CORRUPT, "%.*s: tensor \"%.200s\" is not in %.200s",
                            WA_STR_ARG(index->name), name, json_string_value(file));
    }
    return WA_OK;
}

/* The shards that the index names, each read once. */
static wa_status read_shards(const wa_model_files *m, const wa_model_file *index, const json_t *map,
                             wa_safetensors *out, wa_error *err)
{
    const char *name;
    json_t *value;
    if (!json_is_object(map))
        return wa__fail(err, WA_CORRUPT, "%.*s has no weight_map", WA_STR_ARG(index->name));
    bool *done = wa__alloc(m->count, sizeof *done);
    if (!done) return wa__no_memory(err, "shards");
    wa_status s = WA_OK;
    json_object_foreach((json_t *)(uintptr_t)map, name, value)
    {
        const wa_model_file *file = NULL;
        if (!json_is_string(value))
            s = wa__fail(err, WA_CORRUPT, "%.*s: tensor \"%.200s\" has no file", WA_STR_ARG(index->name),
                         name);
        else
            s = wa__model_file_beside(m, index->name, wa__str(json_string_value(value)), &file, err);
        if (s == WA_OK && !done[file - m->files]) {
            done[file - m->files] = true;
            s = wa__safetensors_read(file, out, err);
        }
        if (s != WA_OK) break;
    }
    wa__free(done);
    if (s == WA_OK) s = finish(out, err);
    return s == WA_OK ? check_map(index, map, out, err) : s;
}

static wa_status open_index(const wa_model_files *m, const wa_model_file *index, wa_safetensors *out,
                            wa_error *err)
{
    json_t *j = NULL;
    WA_TRY(wa__json_parse(index->data, index->size, "model.safetensors.index.json", &j, err));
    wa_status s = read_shards(m, index, json_object_get(j, "weight_map"), out, err);
    json_decref(j);
    return s;
}

wa_status wa__safetensors_open(const wa_model_files *m, wa_safetensors *out, wa_error *err)
{
    const wa_model_file *file = wa__model_file(m, "model.safetensors"),
                        *index = wa__model_file(m, "model.safetensors.index.json");
    uint32_t count = 0;
    wa__safetensors_init(out);
    if (!file && index) return open_index(m, index, out, err);
    for (uint32_t i = 0; i < m->count && !file; i++) count += wa__str_ends(m->files[i].name, ".safetensors");
    if (!file && count != 1)
        return wa__fail(err, WA_NOT_FOUND,
                        "the model folder has neither model.safetensors nor model.safetensors.index.json, "
                        "and %u other .safetensors files",
                        count);
    for (uint32_t i = 0; i < m->count && !file; i++)
        if (wa__str_ends(m->files[i].name, ".safetensors")) file = &m->files[i];
    WA_TRY(wa__safetensors_read(file, out, err));
    return finish(out, err);
}
