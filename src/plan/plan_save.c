/* Plans as bytes. Layout at the head of plan.h. A loaded plan is a copy; it has passed the verifier. */
#include "base/limits.h"
#include "base/reader.h"
#include "plan/plan_int.h"

#define HEADER_BYTES 16u
#define ENTRY_BYTES  24u
static const char magic[8] = {'W', 'A', 'P', 'L', 'A', 'N', 0, 1};

static wa_status pad(wa_buf *out, wa_error *err)
{
    size_t n = (size_t)wa__align_up(out->len, 16) - out->len;
    return n && !wa__buf_grow(out, n) ? wa__no_memory(err, "a saved plan") : WA_OK;
}

wa_status wa__plan_save(const wa_plan *p, wa_buf *out, wa_error *err)
{
    uint32_t sections = WA_SEC_END - 1, version = WA_PLAN_VERSION;
    wa_buf b;
    wa__buf_init(&b, WA_LIMIT_PLAN_BYTES);
    wa_status s = wa__buf_append(&b, magic, sizeof magic, err);
    if (s == WA_OK) s = wa__buf_append(&b, &version, 4, err);
    if (s == WA_OK) s = wa__buf_append(&b, &sections, 4, err);
    if (s == WA_OK && !wa__buf_grow(&b, (size_t)sections * ENTRY_BYTES)) s = wa__no_memory(err, "a saved plan");
    for (uint32_t k = 1; k < WA_SEC_END && s == WA_OK; k++) {
        uint64_t count = wa__plan_section_count(p, k), bytes;
        uint32_t element = wa__plan_sections[k].element_bytes;
        s = pad(&b, err);
        if (s != WA_OK) break;
        if (!wa__mul_u64(count, element, &bytes) || bytes > WA_LIMIT_PLAN_BYTES) {
            s = wa__fail(err, WA_LIMIT, "the plan's %s take more than %zu bytes", wa__plan_sections[k].name, WA_LIMIT_PLAN_BYTES);
            break;
        }
        uint64_t offset = b.len;
        char *entry = b.ptr + HEADER_BYTES + (size_t)(k - 1) * ENTRY_BYTES;
        memcpy(entry, &k, 4);
        memcpy(entry + 4, &element, 4);
        memcpy(entry + 8, &offset, 8);
        memcpy(entry + 16, &count, 8);
        if (bytes) s = wa__buf_append(&b, wa__plan_section_ptr(p, k), (size_t)bytes, err);
    }
    uint8_t hash[32];
    if (s == WA_OK) s = wa__sha256(b.ptr, b.len, hash, err);
    if (s == WA_OK) s = wa__buf_append(&b, hash, sizeof hash, err);
    if (s == WA_OK) s = wa__buf_append(out, b.ptr, b.len, err);
    wa__buf_done(&b);
    return s;
}

/* One section: table entry k-1 must be section k, in order, 16-aligned, inside the file. */
static wa_status load_section(wa_plan *p, wa_reader *r, uint32_t k, uint64_t *end, wa_error *err)
{
    uint32_t kind, element;
    uint64_t offset, count, bytes;
    WA_TRY(wa__read_u32(r, &kind, "section kind", err));
    WA_TRY(wa__read_u32(r, &element, "section element size", err));
    WA_TRY(wa__read_u64(r, &offset, "section offset", err));
    WA_TRY(wa__read_u64(r, &count, "section count", err));
    const wa_plan_section *s = &wa__plan_sections[k];
    if (kind != k || element != s->element_bytes)
        return wa__fail(err, WA_CORRUPT, "%s: section %u is kind %u of %u bytes, not %s of %u", r->what, k, kind, element, s->name,
                        s->element_bytes);
    uint64_t limit = r->size - WA_SHA256_BYTES;
    if (offset != wa__align_up(*end, 16) || offset > limit || !wa__mul_u64(count, element, &bytes) || bytes > limit - offset)
        return wa__fail(err, WA_CORRUPT, "%s: section %s (offset %llu, count %llu) is outside the file", r->what, s->name,
                        (unsigned long long)offset, (unsigned long long)count);
    if ((k == WA_SEC_INFO && count != 1) || (!s->wide && count > UINT32_MAX))
        return wa__fail(err, WA_CORRUPT, "%s: section %s has count %llu", r->what, s->name, (unsigned long long)count);
    for (uint64_t i = *end; i < offset; i++)
        if (r->data[i]) return wa__fail(err, WA_CORRUPT, "%s: byte %llu between sections is not 0", r->what, (unsigned long long)i);
    *end = offset + bytes;
    if (k == WA_SEC_INFO) {
        memcpy(&p->info, r->data + offset, sizeof p->info);
        return WA_OK;
    }
    void *copy = wa__arena_alloc(&p->arena, (size_t)count, element);
    if (!copy) return wa__no_memory(err, "a plan");
    if (bytes) memcpy(copy, r->data + offset, (size_t)bytes);
    wa__plan_section_set(p, k, copy, count);
    return WA_OK;
}

static wa_status load_all(wa_plan *p, wa_reader *r, wa_error *err)
{
    uint32_t version, sections;
    const uint8_t *m;
    uint8_t hash[32];
    WA_TRY(wa__read_bytes(r, sizeof magic, &m, "magic", err));
    if (memcmp(m, magic, sizeof magic) != 0) return wa__fail(err, WA_CORRUPT, "%s is not a webaccel plan", r->what);
    WA_TRY(wa__read_u32(r, &version, "version", err));
    if (version != WA_PLAN_VERSION)
        return wa__fail(err, WA_UNSUPPORTED, "%s is of plan version %u, this build reads %d: plan again", r->what, version,
                        WA_PLAN_VERSION);
    WA_TRY(wa__read_u32(r, &sections, "section count", err));
    size_t table = HEADER_BYTES + (size_t)(WA_SEC_END - 1) * ENTRY_BYTES;
    if (sections != WA_SEC_END - 1 || r->size < table + WA_SHA256_BYTES)
        return wa__fail(err, WA_CORRUPT, "%s: %u sections in %zu bytes", r->what, sections, r->size);
    WA_TRY(wa__sha256(r->data, r->size - WA_SHA256_BYTES, hash, err));
    if (memcmp(hash, r->data + r->size - WA_SHA256_BYTES, WA_SHA256_BYTES) != 0)
        return wa__fail(err, WA_VERIFY, "%s: the checksum does not match: the file is damaged, plan again", r->what);
    uint64_t end = table;
    for (uint32_t k = 1; k < WA_SEC_END; k++) WA_TRY(load_section(p, r, k, &end, err));
    if (end != r->size - WA_SHA256_BYTES) return wa__fail(err, WA_CORRUPT, "%s: bytes after the last section", r->what);
    return WA_OK;
}

wa_status wa__plan_load(const void *bytes, size_t n, const char *name, wa_plan **out, wa_error *err)
{
    if (n > WA_LIMIT_PLAN_BYTES) return wa__fail(err, WA_LIMIT, "%s has %zu bytes; a plan has at most %zu", name, n, WA_LIMIT_PLAN_BYTES);
    wa_plan *p = wa__alloc(1, sizeof *p);
    if (!p) return wa__no_memory(err, "a plan");
    wa__arena_init(&p->arena, WA_LIMIT_PLAN_BYTES + (1u << 20));
    wa_reader r = wa__reader(bytes, n, name);
    wa_status s = load_all(p, &r, err);
    if (s == WA_OK && (s = wa__plan_verify(p, err)) != WA_OK) wa__fail_in(err, s, "%s", name);
    if (s != WA_OK) wa__plan_free(p);
    else *out = p;
    return s;
}
