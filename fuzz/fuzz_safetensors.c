/* Any bytes as a safetensors file, as the header of one, and as the index of a sharded model. */
#include "import/import_safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bytes behind a right length, before 64 bytes of data, so that most inputs reach the JSON. */
static void as_header(const uint8_t *data, size_t size)
{
    uint64_t n = size;
    uint8_t *copy = wa__alloc(1, 8 + size + 64);
    if (!copy) return;
    memcpy(copy, &n, 8);
    if (size) memcpy(copy + 8, data, size);
    wa_model_file file = {WA_STR("h.safetensors"), copy, 8 + size + 64};
    wa_model_files m = {&file, 1};
    wa_safetensors s;
    wa_error err;
    wa_status r = wa__safetensors_open(&m, &s, &err);
    (void)r; /* either is fine */
    wa__safetensors_done(&s);
    wa__free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wa_model_file files[2] = {{WA_STR("model.safetensors"), data, size},
                              {WA_STR("s.safetensors"), data, size}};
    wa_model_files m = {files, 1};
    wa_safetensors s;
    wa_error err;
    if (wa__safetensors_open(&m, &s, &err) == WA_OK)
        for (size_t i = 0; i < s.count; i++)
            if (wa__safetensors_find(&s, s.tensors[i].name) != &s.tensors[i]) __builtin_trap();
    wa__safetensors_done(&s);
    as_header(data, size);
    files[0].name = WA_STR("model.safetensors.index.json");
    m.count = 2;
    wa_status r = wa__safetensors_open(&m, &s, &err);
    (void)r; /* either is fine */
    wa__safetensors_done(&s);
    return 0;
}
