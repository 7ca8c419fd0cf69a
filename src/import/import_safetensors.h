/* Weights in safetensors files.
 *
 *   file = u64 header bytes | JSON header | data
 *   header = { "name": { "dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end] }, ... }
 *
 * Offsets count from the start of data. A sharded model has an index file whose "weight_map" gives
 * each tensor's file. Nothing is copied: tensors point into the mapped files. */
#ifndef WA_IMPORT_SAFETENSORS_H
#define WA_IMPORT_SAFETENSORS_H
#include "import/import_int.h"

typedef struct wa_safetensor {
    wa_str name; /* in the set's arena */
    wa_tensor_type type;
    const uint8_t *data;       /* in the file's mapping */
    const wa_model_file *file; /* borrowed */
} wa_safetensor;

typedef struct wa_safetensors {
    wa_arena arena;
    wa_safetensor *tensors; /* sorted by name; heap */
    size_t count, cap;
} wa_safetensors;

/* Reads the headers of model.safetensors, or of all the shards that model.safetensors.index.json
 * names, or of the only .safetensors file. wa__safetensors_done is due after success and failure. */
wa_status wa__safetensors_open(const wa_model_files *m, wa_safetensors *out, wa_error *err) WA_MUST_CHECK;
/* One file's header only. */
wa_status wa__safetensors_read(const wa_model_file *file, wa_safetensors *out, wa_error *err) WA_MUST_CHECK;
void wa__safetensors_init(wa_safetensors *s);
void wa__safetensors_done(wa_safetensors *s);
const wa_safetensor *wa__safetensors_find(const wa_safetensors *s, wa_str name); /* NULL when absent */

#endif
