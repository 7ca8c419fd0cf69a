/* Protocol buffers' wire format, read by pulling fields; nothing is copied or allocated.
 *
 *   message = field*      field = varint(number << 3 | wire) payload
 *   wire 0: varint   1: 8 bytes   2: varint length, bytes   5: 4 bytes   (3, 4: groups, refused)
 *
 * A message is a wa_reader whose data is the whole file and whose pos and size are the message's ends,
 * so that every error names the offset in the file. */
#ifndef WA_IMPORT_PROTO_H
#define WA_IMPORT_PROTO_H
#include "base/reader.h"
#include "base/str.h"

enum { WA_PB_VARINT = 0, WA_PB_FIXED64 = 1, WA_PB_BYTES = 2, WA_PB_FIXED32 = 5 };

typedef struct wa_pb_field {
    uint32_t number;
    unsigned wire;
    uint64_t value; /* of the scalar wires */
    wa_str bytes;   /* of WA_PB_BYTES */
    wa_reader body; /* the same bytes as a message */
    size_t offset;  /* of the field's tag in the file */
} wa_pb_field;

/* *more is false at the end of the message. */
wa_status wa__pb_next(wa_reader *r, wa_pb_field *out, bool *more, wa_error *err) WA_MUST_CHECK;
/* The field must be of this wire type. */
wa_status wa__pb_want(const wa_pb_field *f, unsigned wire, const char *what, const char *file,
                      wa_error *err) WA_MUST_CHECK;
/* Every element of a repeated scalar field, packed or not, in order; put may be NULL (to count). */
typedef void (*wa_pb_put)(void *user, uint64_t index, uint64_t raw);
wa_status wa__pb_list(wa_reader message, uint32_t number, unsigned wire, wa_pb_put put, void *user,
                      uint64_t *count, wa_error *err) WA_MUST_CHECK;
static inline float wa__pb_float(uint64_t raw)
{
    uint32_t u = (uint32_t)raw;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}
static inline int64_t wa__pb_int(uint64_t raw)
{
    int64_t v;
    memcpy(&v, &raw, sizeof v);
    return v;
}

#endif
