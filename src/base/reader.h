/* Bounds-checked little-endian reader over untrusted bytes. */
#ifndef WA_READER_H
#define WA_READER_H
#include "base/error.h"

typedef struct wa_reader {
    const uint8_t *data; /* borrowed */
    size_t size, pos;
    const char *what; /* file or message name, for errors; borrowed */
} wa_reader;

static inline wa_reader wa__reader(const void *data, size_t size, const char *what)
{
    return (wa_reader){(const uint8_t *)data, size, 0, what};
}
static inline size_t wa__reader_left(const wa_reader *r) { return r->size - r->pos; }
/* Each fails with WA_CORRUPT, naming `what`, the offset and `field`, and moves nothing. */
wa_status wa__read_bytes(wa_reader *r, size_t n, const uint8_t **out, const char *field, wa_error *err) WA_MUST_CHECK;
wa_status wa__read_u8(wa_reader *r, uint8_t *out, const char *field, wa_error *err) WA_MUST_CHECK;
wa_status wa__read_u16(wa_reader *r, uint16_t *out, const char *field, wa_error *err) WA_MUST_CHECK;
wa_status wa__read_u32(wa_reader *r, uint32_t *out, const char *field, wa_error *err) WA_MUST_CHECK;
wa_status wa__read_u64(wa_reader *r, uint64_t *out, const char *field, wa_error *err) WA_MUST_CHECK;
/* Unsigned LEB128 of at most 10 bytes that fits 64 bits (protobuf accepts overlong forms; so here). */
wa_status wa__read_varint(wa_reader *r, uint64_t *out, const char *field, wa_error *err) WA_MUST_CHECK;

#endif
