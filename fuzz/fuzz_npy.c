/* .npy bytes read; what is accepted is written and must read back the same. */
#include "task/npy.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wa_view v, again;
    wa_error err;
    wa_buf b;
    if (wa__npy_read(data, size, "fuzz.npy", &v, &err) != WA_OK) return 0;
    wa__buf_init(&b, size + 4096);
    if (wa__npy_write(&v, &b, &err) != WA_OK || wa__npy_read(b.ptr, b.len, "again.npy", &again, &err) != WA_OK || !wa__type_eq(&v.type, &again.type) ||
        (wa__bytes(&v.type) && memcmp(v.data, again.data, wa__bytes(&v.type)) != 0))
        abort();
    wa__buf_done(&b);
    return 0;
}
