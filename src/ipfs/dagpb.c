/* See dagpb.h. */
#include "ipfs/dagpb.h"
#include "base/checked.h"
#include "base/limits.h"
#include "base/reader.h"
#include "base/str.h"

enum {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    WIRE_FIXED32 = 5,
    TAG_NODE_DATA = 0x0a,
    TAG_NODE_LINK = 0x12,
    TAG_LINK_HASH = 0x0a,
    TAG_LINK_NAME = 0x12,
    TAG_LINK_TSIZE = 0x18,
    HASH_MURMUR3 = 0x22,
    FANOUT_MAX = 1024, /* CVE-2023-23625: a huge fanout asks for a huge bit field */
};

static wa_status read_field_bytes(wa_reader *r, wa_str *out, const char *field, wa_error *err)
{
    uint64_t n;
    const uint8_t *p = NULL;
    WA_TRY(wa__read_varint(r, &n, field, err));
    if (n > wa__reader_left(r))
        return wa__fail(err, WA_CORRUPT, "%s: %s at byte %zu claims %llu bytes, %zu are left", r->what, field, r->pos,
                        (unsigned long long)n, wa__reader_left(r));
    WA_TRY(wa__read_bytes(r, (size_t)n, &p, field, err));
    *out = (wa_str){(const char *)p, (size_t)n};
    return WA_OK;
}

static wa_status decode_link(wa_str bytes, const char *what, size_t index, wa_pb_link *out, wa_error *err)
{
    wa_reader r = wa__reader(bytes.ptr, bytes.len, what);
    uint64_t last = 0;
    bool has_hash = false;
    while (wa__reader_left(&r) > 0) {
        uint64_t tag;
        wa_str v = {0};
        WA_TRY(wa__read_varint(&r, &tag, "a link's field", err));
        if (tag != TAG_LINK_HASH && tag != TAG_LINK_NAME && tag != TAG_LINK_TSIZE)
            return wa__fail(err, WA_CORRUPT, "%s: link %zu has an unknown field (tag 0x%llx)", what, index, (unsigned long long)tag);
        if (tag <= last)
            return wa__fail(err, WA_CORRUPT, "%s: link %zu repeats a field or has its fields out of order", what, index);
        last = tag;
        if (tag == TAG_LINK_TSIZE) {
            WA_TRY(wa__read_varint(&r, &out->tsize, "Tsize", err));
            continue;
        }
        WA_TRY(read_field_bytes(&r, &v, tag == TAG_LINK_HASH ? "Hash" : "Name", err));
        if (tag == TAG_LINK_NAME) {
            out->name = v;
            continue;
        }
        size_t used = 0;
        wa_status s = wa__cid_read((const uint8_t *)v.ptr, v.len, &out->cid, &used, err);
        if (s == WA_OK && used != v.len) s = wa__fail(err, WA_CORRUPT, "bytes follow the CID");
        if (s != WA_OK) return wa__fail_in(err, s, "%s: link %zu", what, index);
        has_hash = true;
    }
    if (!has_hash) return wa__fail(err, WA_CORRUPT, "%s: link %zu has no Hash", what, index);
    return WA_OK;
}

/* One pass over a node's fields: counts links when links is NULL, else decodes them. */
static wa_status walk_node(const void *p, size_t n, const char *what, wa_pb_node *node, wa_pb_link *links, wa_error *err)
{
    wa_reader r = wa__reader(p, n, what);
    size_t count = 0;
    bool links_over = false, has_data = false;
    while (wa__reader_left(&r) > 0) {
        uint64_t tag;
        wa_str v = {0};
        WA_TRY(wa__read_varint(&r, &tag, "a node's field", err));
        if (tag != TAG_NODE_DATA && tag != TAG_NODE_LINK)
            return wa__fail(err, WA_CORRUPT, "%s: unknown field (tag 0x%llx) in the node", what, (unsigned long long)tag);
        WA_TRY(read_field_bytes(&r, &v, tag == TAG_NODE_DATA ? "Data" : "a link", err));
        if (tag == TAG_NODE_DATA) {
            if (has_data) return wa__fail(err, WA_CORRUPT, "%s: the node has Data twice", what);
            has_data = true;
            links_over = count > 0;
            node->data = v;
            continue;
        }
        if (links_over) return wa__fail(err, WA_CORRUPT, "%s: Data stands between the node's links", what);
        if (links) WA_TRY(decode_link(v, what, count, &links[count], err));
        count++;
    }
    node->has_data = has_data;
    node->link_count = count;
    return WA_OK;
}

wa_status wa__pb_decode(const void *p, size_t n, const char *what, wa_pb_node *out, wa_error *err)
{
    if (n > WA_LIMIT_BLOCK_BYTES)
        return wa__fail(err, WA_LIMIT, "%s: a block of %zu bytes; at most %zu are accepted", what, n, WA_LIMIT_BLOCK_BYTES);
    wa_pb_node node = {0};
    WA_TRY(walk_node(p, n, what, &node, NULL, err));
    if (node.link_count > 0) {
        node.links = wa__alloc(node.link_count, sizeof *node.links);
        if (!node.links) return wa__no_memory(err, "a block's links");
        wa_status s = walk_node(p, n, what, &node, node.links, err);
        if (s != WA_OK) {
            wa__free(node.links);
            return s;
        }
    }
    *out = node;
    return WA_OK;
}

void wa__pb_done(wa_pb_node *node)
{
    wa__free(node->links);
    *node = (wa_pb_node){0};
}

static wa_status put_head(wa_buf *b, uint8_t tag, uint64_t n, wa_error *err)
{
    uint8_t head[11] = {tag};
    return wa__buf_append(b, head, 1 + wa__uvarint_write(n, head + 1), err);
}

wa_status wa__pb_put_varint(wa_buf *b, uint8_t tag, uint64_t v, wa_error *err) { return put_head(b, tag, v, err); }

static size_t link_body_bytes(size_t cid_bytes, size_t name_bytes, uint64_t tsize)
{
    return 1 + wa__uvarint_bytes(cid_bytes) + cid_bytes + 1 + wa__uvarint_bytes(name_bytes) + name_bytes + 1 +
           wa__uvarint_bytes(tsize);
}

size_t wa__pb_link_bytes(const wa_cid *cid, size_t name_bytes, uint64_t tsize)
{
    uint8_t bytes[WA_CID_BYTES_MAX];
    size_t body = link_body_bytes(wa__cid_write(cid, bytes), name_bytes, tsize);
    return 1 + wa__uvarint_bytes(body) + body;
}

wa_status wa__pb_put_link(wa_buf *b, const wa_cid *cid, wa_str name, uint64_t tsize, wa_error *err)
{
    uint8_t bytes[WA_CID_BYTES_MAX];
    size_t n = wa__cid_write(cid, bytes);
    WA_TRY(put_head(b, TAG_NODE_LINK, link_body_bytes(n, name.len, tsize), err));
    WA_TRY(put_head(b, TAG_LINK_HASH, n, err));
    WA_TRY(wa__buf_append(b, bytes, n, err));
    WA_TRY(put_head(b, TAG_LINK_NAME, name.len, err));
    WA_TRY(wa__buf_append(b, name.ptr, name.len, err));
    return put_head(b, TAG_LINK_TSIZE, tsize, err);
}

wa_status wa__pb_put_data(wa_buf *b, const void *data, size_t n, wa_error *err)
{
    WA_TRY(put_head(b, TAG_NODE_DATA, n, err));
    return wa__buf_append(b, data, n, err);
}

static wa_status add_blocksize(wa_unixfs *u, size_t *cap, uint64_t v, wa_error *err)
{
    if (!wa__array_reserve((void **)&u->blocksizes, cap, u->blocksize_count + 1, sizeof *u->blocksizes))
        return wa__no_memory(err, "a file's block sizes");
    u->blocksizes[u->blocksize_count++] = v;
    return WA_OK;
}

static wa_status packed_blocksizes(wa_reader *r, wa_unixfs *u, size_t *cap, wa_error *err)
{
    wa_str v = {0};
    WA_TRY(read_field_bytes(r, &v, "blocksizes", err));
    wa_reader in = wa__reader(v.ptr, v.len, r->what);
    while (wa__reader_left(&in) > 0) {
        uint64_t size;
        WA_TRY(wa__read_varint(&in, &size, "a block size", err));
        WA_TRY(add_blocksize(u, cap, size, err));
    }
    return WA_OK;
}

/* Fields of later UnixFS versions are passed over, as every reader does. */
static wa_status skip_field(wa_reader *r, unsigned wire, wa_error *err)
{
    uint64_t v;
    wa_str bytes;
    const uint8_t *p;
    switch (wire) {
    case WIRE_VARINT: return wa__read_varint(r, &v, "a UnixFS field", err);
    case WIRE_BYTES: return read_field_bytes(r, &bytes, "a UnixFS field", err);
    case WIRE_FIXED64: return wa__read_bytes(r, 8, &p, "a UnixFS field", err);
    case WIRE_FIXED32: return wa__read_bytes(r, 4, &p, "a UnixFS field", err);
    default: return wa__fail(err, WA_CORRUPT, "%s: wire type %u in the UnixFS message", r->what, wire);
    }
}

static wa_status unixfs_fields(wa_reader *r, wa_unixfs *u, wa_error *err)
{
    uint32_t seen = 0;
    size_t cap = 0;
    uint64_t type = UINT64_MAX;
    while (wa__reader_left(r) > 0) {
        uint64_t tag;
        WA_TRY(wa__read_varint(r, &tag, "a UnixFS field", err));
        uint64_t field = tag >> 3;
        unsigned wire = tag & 7;
        if (field == 4 && wire == WIRE_BYTES) {
            WA_TRY(packed_blocksizes(r, u, &cap, err));
            continue;
        }
        if (field == 0) return wa__fail(err, WA_CORRUPT, "%s: field number 0 in the UnixFS message", r->what);
        if (field > 6) {
            WA_TRY(skip_field(r, wire, err));
            continue;
        }
        if (wire != (field == 2 ? WIRE_BYTES : WIRE_VARINT))
            return wa__fail(err, WA_CORRUPT, "%s: UnixFS field %u has wire type %u", r->what, (unsigned)field, wire);
        if (field != 4 && (seen & 1u << field)) return wa__fail(err, WA_CORRUPT, "%s: UnixFS field %u twice", r->what, (unsigned)field);
        seen |= 1u << field;
        uint64_t v = 0;
        if (field == 2) WA_TRY(read_field_bytes(r, &u->data, "UnixFS Data", err));
        else WA_TRY(wa__read_varint(r, &v, "a UnixFS field", err));
        if (field == 1) type = v;
        else if (field == 3) u->filesize = v;
        else if (field == 4) WA_TRY(add_blocksize(u, &cap, v, err));
        else if (field == 5) u->hash_type = v;
        else if (field == 6) u->fanout = v;
    }
    u->has_filesize = (seen & 1u << 3) != 0;
    if (type > WA_UNIXFS_HAMT) return wa__fail(err, WA_CORRUPT, "%s: no known UnixFS type", r->what);
    u->type = (wa_unixfs_type)type;
    return WA_OK;
}

static wa_status check_file(const wa_pb_node *node, const wa_unixfs *u, const char *what, wa_error *err)
{
    if (u->blocksize_count != node->link_count)
        return wa__fail(err, WA_CORRUPT, "%s: %zu links but %zu block sizes", what, node->link_count, u->blocksize_count);
    uint64_t sum = u->data.len;
    for (size_t i = 0; i < u->blocksize_count; i++) {
        if (node->links[i].name.len > 0) return wa__fail(err, WA_CORRUPT, "%s: link %zu of a file has a name", what, i);
        if (!wa__add_u64(sum, u->blocksizes[i], &sum)) return wa__fail(err, WA_CORRUPT, "%s: the block sizes overflow", what);
    }
    if (u->has_filesize ? u->filesize != sum : node->link_count > 0)
        return wa__fail(err, WA_CORRUPT, "%s: filesize %llu, but its parts have %llu bytes", what, (unsigned long long)u->filesize,
                        (unsigned long long)sum);
    return WA_OK;
}

static wa_status check_hamt(const wa_pb_node *node, const wa_unixfs *u, const char *what, wa_error *err)
{
    if (u->hash_type != HASH_MURMUR3)
        return wa__fail(err, WA_UNSUPPORTED, "%s: folder sharded by hash 0x%llx, not murmur3-x64-64", what, (unsigned long long)u->hash_type);
    if (u->fanout < 8 || u->fanout > FANOUT_MAX || (u->fanout & (u->fanout - 1)) != 0)
        return wa__fail(err, WA_CORRUPT, "%s: fanout %llu is no power of two from 8 to %d", what, (unsigned long long)u->fanout, FANOUT_MAX);
    if (u->data.len > u->fanout / 8) return wa__fail(err, WA_CORRUPT, "%s: the shard's bit field is longer than its fanout", what);
    size_t bits = 0;
    for (size_t i = 0; i < u->data.len; i++) bits += (size_t)__builtin_popcount((unsigned char)u->data.ptr[i]);
    if (bits != node->link_count)
        return wa__fail(err, WA_CORRUPT, "%s: %zu bits set in the shard but %zu links", what, bits, node->link_count);
    return WA_OK;
}

wa_status wa__unixfs_decode(const wa_pb_node *node, const char *what, wa_unixfs *out, wa_error *err)
{
    if (!node->has_data) return wa__fail(err, WA_CORRUPT, "%s: a dag-pb block without UnixFS data", what);
    wa_unixfs u = {0};
    wa_reader r = wa__reader(node->data.ptr, node->data.len, what);
    wa_status s = unixfs_fields(&r, &u, err);
    if (s == WA_OK && u.type != WA_UNIXFS_FILE && u.type != WA_UNIXFS_RAW && u.blocksize_count > 0)
        s = wa__fail(err, WA_CORRUPT, "%s: block sizes outside a file", what);
    if (s == WA_OK && u.type == WA_UNIXFS_METADATA) s = wa__fail(err, WA_UNSUPPORTED, "%s: a UnixFS Metadata block", what);
    if (s == WA_OK && (u.type == WA_UNIXFS_FILE || u.type == WA_UNIXFS_RAW)) s = check_file(node, &u, what, err);
    if (s == WA_OK && (u.type == WA_UNIXFS_RAW || u.type == WA_UNIXFS_SYMLINK) && node->link_count > 0)
        s = wa__fail(err, WA_CORRUPT, "%s: links in a block that holds data alone", what);
    if (s == WA_OK && u.type == WA_UNIXFS_HAMT) s = check_hamt(node, &u, what, err);
    if (s != WA_OK) {
        wa__unixfs_done(&u);
        return s;
    }
    *out = u;
    return WA_OK;
}

void wa__unixfs_done(wa_unixfs *u)
{
    wa__free(u->blocksizes);
    *u = (wa_unixfs){0};
}
