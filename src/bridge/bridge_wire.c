/* Frames between host and page: checked parsing, and headers. The layout is drawn in schema/wire.json.
 * In: whole WebSocket messages, hostile. Called by bridge_session.c and its fuzz target. */
#include "base/reader.h"
#include "bridge/bridge_int.h"

wa_status wa__wire_parse(const uint8_t *bytes, size_t n, wa_wire *out, wa_error *err)
{
    wa_reader r = wa__reader(bytes, n, "a page's message");
    wa_wire f = {0};
    uint32_t magic, meta_length;
    uint64_t body_length;
    WA_TRY(wa__read_u32(&r, &magic, "magic", err));
    if (magic != WA_WIRE_MAGIC) return wa__fail(err, WA_PROTOCOL, "a page's message has magic %08x, not %08x", magic, WA_WIRE_MAGIC);
    WA_TRY(wa__read_u16(&r, &f.type, "type", err));
    WA_TRY(wa__read_u16(&r, &f.flags, "flags", err));
    WA_TRY(wa__read_u64(&r, &f.job, "job", err));
    WA_TRY(wa__read_u32(&r, &f.seq, "seq", err));
    WA_TRY(wa__read_u32(&r, &meta_length, "meta length", err));
    WA_TRY(wa__read_u64(&r, &body_length, "body length", err));
    size_t left = wa__reader_left(&r);
    if (meta_length > left || body_length != left - meta_length)
        return wa__fail(err, WA_PROTOCOL, "a page's message of %zu bytes says %u of meta and %llu of body", n, meta_length,
                        (unsigned long long)body_length);
    if (meta_length > BRIDGE_META_MAX) return wa__fail(err, WA_LIMIT, "a page's message has %u bytes of meta", meta_length);
    f.meta = (wa_str){(const char *)bytes + r.pos, meta_length};
    f.body = (wa_str){(const char *)bytes + r.pos + meta_length, (size_t)body_length};
    *out = f;
    return WA_OK;
}

static void put(uint8_t *p, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) p[i] = (uint8_t)(v >> (8 * i));
}

void wa__wire_header(uint8_t out[32], uint32_t type, uint64_t job, uint32_t seq, uint64_t meta_length, uint64_t body_length)
{
    put(out, WA_WIRE_MAGIC, 4);
    put(out + 4, type, 4);
    put(out + 8, job, 8);
    put(out + 16, seq, 4);
    put(out + 20, meta_length, 4);
    put(out + 24, body_length, 8);
}

wa_status wa__wire_packed_meta(const wa_wire *f, wa_wire_packed *out, wa_error *err)
{
    enum { PACKED_BYTES = 24 };
    if (f->meta.len != PACKED_BYTES) return wa__fail(err, WA_PROTOCOL, "a page's packed result has %zu bytes of meta, not %d", f->meta.len, PACKED_BYTES);
    memcpy(&out->device_ms, f->meta.ptr, 8); /* any bits are some double: nothing but a report is made of it */
    memcpy(&out->gpu_ms, f->meta.ptr + 8, 8);
    memcpy(&out->dispatches, f->meta.ptr + 16, 4);
    memcpy(&out->submits, f->meta.ptr + 20, 4);
    return WA_OK;
}

json_t *wa__wire_meta(const wa_wire *f, wa_error *err)
{
    if (f->meta.len == 0) return json_object();
    json_error_t e;
    json_t *j = json_loadb(f->meta.ptr, f->meta.len, JSON_REJECT_DUPLICATES, &e);
    if (json_is_object(j)) return j;
    wa__fail(err, WA_PROTOCOL, "a page's message has a meta that is no JSON object: %s", j ? "another type" : e.text);
    json_decref(j);
    return NULL;
}
