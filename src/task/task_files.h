/* The files of a model as tasks see them: names and bytes in memory, both borrowed from the caller.
 * Same fields as the importers' wa_model_file, which task may not include. Names are paths inside the model's folder with forward slashes ("1_Pooling/config.json"). */
#ifndef WA_TASK_FILES_H
#define WA_TASK_FILES_H
#include "base/str.h"

typedef struct wa_task_file {
    wa_str name;
    const uint8_t *data;
    uint64_t size;
} wa_task_file;

typedef struct wa_task_files {
    const wa_task_file *files;
    uint32_t count;
} wa_task_files;

/* NULL when absent. */
static inline const wa_task_file *wa__task_file(const wa_task_files *m, const char *name)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (wa__str_is(m->files[i].name, name)) return &m->files[i];
    return NULL;
}

#endif
