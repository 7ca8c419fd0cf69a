/* Plan bytes are hostile: whatever loads must print and generate all its shaders without a fault.
 * The checksum is made right here, so that the fuzzer gets past it. */
#include "plan/plan.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const wa_plan *p)
{
    wa_buf text;
    wa_error err = {0};
    wa__buf_init(&text, (size_t)64 << 20);
    if (wa__plan_print(p, &text, &err) != WA_OK && err.status != WA_LIMIT) abort();
    for (uint32_t i = 0; i < p->pipeline_count; i++) {
        wa__buf_clear(&text);
        if (wa__wgsl_generate(&p->pipelines[i].spec, p->code, &text, &err) != WA_OK) abort();
    }
    wa__buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wa_plan *p = NULL;
    wa_error err = {0};
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    if (size >= WA_SHA256_BYTES && wa__sha256(copy, size - WA_SHA256_BYTES, copy + size - WA_SHA256_BYTES, &err) != WA_OK) abort();
    if (wa__plan_load(copy, size, "fuzz", &p, &err) == WA_OK) use(p);
    wa__plan_free(p);
    free(copy);
    return 0;
}
