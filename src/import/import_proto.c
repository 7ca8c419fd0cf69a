/* See import_proto.h. Called by import_onnx*.c. */
#include "import/import_proto.h"

wa_status wa__pb_next(wa_reader *r, wa_pb_field *out, bool *more, wa_error *err)
{
    *more = wa__reader_left(r) > 0;
    if (!*more) return WA_OK;
    uint64_t tag = 0;
    *out = (wa_pb_field){.offset = r->pos};
    WA_TRY(wa__read_varint(r, &tag, "a field's tag", err));
    out->wire = (unsigned)(tag & 7);
    out->number = (uint32_t)(tag >> 3);
    if (tag >> 32 || out->number == 0)
        return wa__fail(err, WA_CORRUPT, "%s: byte %zu holds no protobuf field; is it an ONNX file?", r->what,
                        out->offset);
    if (out->wire == WA_PB_VARINT) return wa__read_varint(r, &out->value, "an integer", err);
    if (out->wire == WA_PB_FIXED64) return wa__read_u64(r, &out->value, "a 64-bit value", err);
    if (out->wire == WA_PB_FIXED32) {
        uint32_t v = 0;
        WA_TRY(wa__read_u32(r, &v, "a 32-bit value", err));
        out->value = v;
        return WA_OK;
    }
    if (out->wire != WA_PB_BYTES)
        return wa__fail(err, WA_CORRUPT, "%s: byte %zu has protobuf wire type %u; is it an ONNX file?",
                        r->what, out->offset, out->wire);
    uint64_t n = 0;
    const uint8_t *p = NULL;
    WA_TRY(wa__read_varint(r, &n, "a length", err));
    if (n > wa__reader_left(r))
        return wa__fail(err, WA_CORRUPT,
                        "%s: truncated: the field at byte %zu needs %llu bytes, %zu are left", r->what,
                        out->offset, (unsigned long long)n, wa__reader_left(r));
    WA_TRY(wa__read_bytes(r, (size_t)n, &p, "a field", err));
    out->bytes = (wa_str){(const char *)p, (size_t)n};
    out->body = (wa_reader){r->data, r->pos, r->pos - (size_t)n, r->what};
    return WA_OK;
}

wa_status wa__pb_want(const wa_pb_field *f, unsigned wire, const char *what, const char *file, wa_error *err)
{
    if (f->wire == wire) return WA_OK;
    return wa__fail(err, WA_CORRUPT, "%s: %s at byte %zu has protobuf wire type %u in place of %u", file,
                    what, f->offset, f->wire, wire);
}

static wa_status one(wa_reader *r, unsigned wire, uint64_t *raw, wa_error *err)
{
    if (wire == WA_PB_VARINT) return wa__read_varint(r, raw, "a packed integer", err);
    if (wire == WA_PB_FIXED64) return wa__read_u64(r, raw, "a packed 64-bit value", err);
    uint32_t v = 0;
    WA_TRY(wa__read_u32(r, &v, "a packed 32-bit value", err));
    *raw = v;
    return WA_OK;
}

wa_status wa__pb_list(wa_reader message, uint32_t number, unsigned wire, wa_pb_put put, void *user,
                      uint64_t *count, wa_error *err)
{
    wa_pb_field f;
    bool more = false;
    uint64_t n = 0;
    for (;;) {
        WA_TRY(wa__pb_next(&message, &f, &more, err));
        if (!more) break;
        if (f.number != number) continue;
        if (f.wire == wire) {
            if (put) put(user, n, f.value);
            n++;
            continue;
        }
        WA_TRY(wa__pb_want(&f, WA_PB_BYTES, "a list", message.what, err));
        while (wa__reader_left(&f.body) > 0) {
            uint64_t raw = 0;
            WA_TRY(one(&f.body, wire, &raw, err));
            if (put) put(user, n, raw);
            n++;
        }
    }
    if (count) *count = n;
    return WA_OK;
}
