/* Any bytes as a safetensors file, and as the index of a sharded model. */
#include "import/import_safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wa_model_file files[2] = {{WA_STR("model.safetensors"), data, size}, {WA_STR("s.safetensors"), data, size}};
    wa_model_files m = {files, 1};
    wa_safetensors s;
    wa_error err;
    if (wa__safetensors_open(&m, &s, &err) == WA_OK)
        for (size_t i = 0; i < s.count; i++)
            if (wa__safetensors_find(&s, s.tensors[i].name) != &s.tensors[i]) __builtin_trap();
    wa__safetensors_done(&s);
    files[0].name = WA_STR("model.safetensors.index.json");
    m.count = 2;
    wa_status r = wa__safetensors_open(&m, &s, &err);
    (void)r; /* either is fine */
    wa__safetensors_done(&s);
    return 0;
}
