/* See reader.h. */
#include "base/reader.h"
#include <string.h>

wa_status wa__read_bytes(wa_reader *r, size_t n, const uint8_t **out, const char *field, wa_error *err)
{
    if (n > r->size - r->pos)
        return wa__fail(err, WA_CORRUPT, "%s: truncated at byte %zu: %s needs %zu bytes, %zu are left", r->what, r->pos,
                        field, n, r->size - r->pos);
    *out = r->data + r->pos;
    r->pos += n;
    return WA_OK;
}

#define READ_FIXED(name, type)                                                                     \
    wa_status name(wa_reader *r, type *out, const char *field, wa_error *err)                      \
    {                                                                                              \
        const uint8_t *p = NULL;                                                                        \
        WA_TRY(wa__read_bytes(r, sizeof(type), &p, field, err));                                   \
        memcpy(out, p, sizeof(type));                                                              \
        return WA_OK;                                                                              \
    }
READ_FIXED(wa__read_u8, uint8_t)
READ_FIXED(wa__read_u16, uint16_t)
READ_FIXED(wa__read_u32, uint32_t)
READ_FIXED(wa__read_u64, uint64_t)

wa_status wa__read_varint(wa_reader *r, uint64_t *out, const char *field, wa_error *err)
{
    uint64_t v = 0;
    for (size_t i = 0; i < 10; i++) {
        if (r->pos + i >= r->size)
            return wa__fail(err, WA_CORRUPT, "%s: truncated at byte %zu inside %s", r->what, r->size, field);
        uint8_t b = r->data[r->pos + i];
        if (i == 9 && b > 1) break;
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (!(b & 0x80)) {
            r->pos += i + 1;
            *out = v;
            return WA_OK;
        }
    }
    return wa__fail(err, WA_CORRUPT, "%s: varint at byte %zu (%s) is longer than 64 bits", r->what, r->pos, field);
}
