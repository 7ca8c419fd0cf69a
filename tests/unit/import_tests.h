/* What the importers' tests share: model folders as wa_model_files. */
#ifndef WA_IMPORT_TESTS_H
#define WA_IMPORT_TESTS_H
#include "base/os.h"
#include "import/import.h"
#include "tests.h"
#include <stdlib.h>

#define FOLDER_FILES_MAX 32
#define TINY             WA_TEST_DIR "/fixtures/bert-tiny"

typedef struct folder {
    wa_model_file files[FOLDER_FILES_MAX];
    wa_map maps[FOLDER_FILES_MAX];
    wa_model_files m;
} folder;

static inline void folder_init(folder *f)
{
    memset(f, 0, sizeof *f);
    f->m.files = f->files;
}

static inline void folder_put(folder *f, const char *name, const void *data, uint64_t size)
{
    assert_true(f->m.count < FOLDER_FILES_MAX);
    f->files[f->m.count++] = (wa_model_file){wa__str(name), data, size};
}

/* Maps path as `name` of the folder. */
static inline void folder_map(folder *f, const char *name, const char *path)
{
    wa_error err = {0};
    wa_map *map = &f->maps[f->m.count];
    assert_ok(wa__os_map(path, map, &err), err);
    folder_put(f, name, map->data, map->size);
}

static inline void folder_done(folder *f)
{
    for (uint32_t i = 0; i < f->m.count; i++) wa__os_unmap(&f->maps[i]);
    f->m.count = 0;
}

static inline bool file_exists(const char *path)
{
    wa_file_info info;
    return wa__os_stat(path, true, &info, NULL) == WA_OK && info.kind == WA_FILE_REGULAR;
}

/* "/work/models"-like places in order: $WA_MODELS_DIR, what make deps fetched. NULL when in neither. */
static inline const char *real_model(const char *relative, char *out, size_t n)
{
    const char *roots[] = {getenv("WA_MODELS_DIR"), WA_DEPS_DIR "/models", "/work/models"};
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        if (!roots[i]) continue;
        snprintf(out, n, "%s/%s", roots[i], relative);
        if (file_exists(out)) return out;
    }
    return NULL;
}

static inline uint32_t count_op(const wa_graph *g, wa_op op)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->node_count; i++) n += !g->nodes[i].dead && g->nodes[i].op == op;
    return n;
}

/* Imports `size` bytes of an exact heap copy, so that ASAN sees a read past the end. */
static inline wa_status import_copy(const void *data, size_t size, wa_error *err)
{
    uint8_t *copy = malloc(size ? size : 1);
    wa_graph *g = NULL;
    folder f;
    assert_non_null(copy);
    if (size) memcpy(copy, data, size);
    folder_init(&f);
    folder_put(&f, "model.onnx", copy, size);
    wa_status s = wa__import_onnx(&f.m, &f.files[0], &g, err);
    if (s == WA_OK) wa__graph_free(g);
    free(copy);
    return s;
}

#endif
