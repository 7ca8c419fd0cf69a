/* Files: leaves, the tree over them, the sidecar. See unixfs.h. */
#include "ipfs/unixfs.h"
#include "base/checked.h"
#include "base/limits.h"
#include "base/reader.h"
#include "base/str.h"

enum { TAG_TYPE = 0x08, TAG_DATA = 0x12, TAG_FILESIZE = 0x18, TAG_BLOCKSIZE = 0x20, SIDECAR_HEAD = 48 };
#define SIDECAR_MAGIC "WASIDE01"
#define FILE_BYTES_MAX ((uint64_t)1 << 46) /* 64 TiB: 2^26 leaves of 1 MiB, a 2 GiB sidecar */

const wa_profile *wa__profile(wa_profile_id id)
{
    static const wa_profile profiles[WA_PROFILE_COUNT] = {
        [WA_PROFILE_V1_2025] = {"unixfs-v1-2025", 1048576, 1024, 1, true, true},
        [WA_PROFILE_V0_2015] = {"unixfs-v0-2015", 262144, 174, 0, false, false},
        [WA_PROFILE_V1_KUBO] = {"kubo-cid-v1", 262144, 174, 1, true, false},
    };
    return (unsigned)id < WA_PROFILE_COUNT ? &profiles[id] : NULL;
}

uint64_t wa__leaf_count(const wa_profile *p, uint64_t size)
{
    uint64_t n = size / p->chunk_bytes + (size % p->chunk_bytes != 0);
    return n ? n : 1;
}

static size_t put_varint(uint8_t *p, uint8_t tag, uint64_t v)
{
    p[0] = tag;
    return 1 + wa__uvarint_write(v, p + 1);
}

/* What surrounds a chunk in a dag-pb leaf: node { UnixFS { type file, data, filesize } }. */
static void leaf_wrap(size_t n, uint8_t *head, size_t *head_n, uint8_t *tail, size_t *tail_n)
{
    *tail_n = put_varint(tail, TAG_FILESIZE, n);
    uint8_t inner[16];
    size_t inner_n = put_varint(inner, TAG_TYPE, WA_UNIXFS_FILE);
    if (n > 0) inner_n += put_varint(inner + inner_n, TAG_DATA, n);
    *head_n = put_varint(head, 0x0a, inner_n + n + *tail_n);
    memcpy(head + *head_n, inner, inner_n);
    *head_n += inner_n;
}

static uint64_t leaf_block_bytes(const wa_profile *p, size_t n)
{
    if (p->raw_leaves) return n;
    uint8_t head[32], tail[16];
    size_t head_n, tail_n;
    leaf_wrap(n, head, &head_n, tail, &tail_n);
    return head_n + n + tail_n;
}

wa_status wa__leaf_digest(const wa_profile *p, const void *data, size_t n, wa_digest out, wa_error *err)
{
    if (p->raw_leaves) return wa__sha256(data, n, out, err);
    uint8_t head[32], tail[16];
    size_t head_n, tail_n;
    leaf_wrap(n, head, &head_n, tail, &tail_n);
    wa_sha256 *h = wa__sha256_create();
    if (!h) return wa__no_memory(err, "a hash");
    wa__sha256_update(h, head, head_n);
    wa__sha256_update(h, data, n);
    wa__sha256_update(h, tail, tail_n);
    wa__sha256_final(h, out);
    wa__sha256_free(h);
    return WA_OK;
}

typedef struct subtree {
    wa_digest digest;
    uint64_t size, tsize; /* file bytes below; bytes of all blocks */
} subtree;

/* Makes one inner node over count children and returns it as a subtree. */
static wa_status make_node(const wa_profile *p, const subtree *kids, size_t count, bool over_leaves, wa_buf *block,
                           wa_buf *data, wa_buf *nodes, subtree *out, wa_error *err)
{
    subtree node = {0};
    wa__buf_clear(block);
    wa__buf_clear(data);
    for (size_t i = 0; i < count; i++) {
        wa_cid cid = {p->cid_version, over_leaves && p->raw_leaves ? WA_CODEC_RAW : WA_CODEC_DAG_PB, {0}};
        memcpy(cid.digest, kids[i].digest, sizeof cid.digest);
        WA_TRY(wa__pb_put_link(block, &cid, (wa_str){0}, kids[i].tsize, err));
        node.size += kids[i].size;
        node.tsize += kids[i].tsize;
    }
    WA_TRY(wa__pb_put_varint(data, TAG_TYPE, WA_UNIXFS_FILE, err));
    WA_TRY(wa__pb_put_varint(data, TAG_FILESIZE, node.size, err));
    for (size_t i = 0; i < count; i++) WA_TRY(wa__pb_put_varint(data, TAG_BLOCKSIZE, kids[i].size, err));
    WA_TRY(wa__pb_put_data(block, data->ptr, data->len, err));
    node.tsize += block->len;
    WA_TRY(wa__sha256(block->ptr, block->len, node.digest, err));
    if (nodes) {
        uint32_t n = (uint32_t)block->len;
        WA_TRY(wa__buf_append(nodes, &n, sizeof n, err));
        WA_TRY(wa__buf_append(nodes, block->ptr, block->len, err));
    }
    *out = node;
    return WA_OK;
}

static wa_status build_levels(const wa_profile *p, subtree *level, size_t count, wa_buf *nodes, wa_file_root *out, wa_error *err)
{
    wa_buf block, data;
    wa__buf_init(&block, WA_LIMIT_BLOCK_BYTES);
    wa__buf_init(&data, WA_LIMIT_BLOCK_BYTES);
    wa_status s = WA_OK;
    bool over_leaves = true;
    uint32_t made = 0;
    while (count > 1 && s == WA_OK) {
        size_t above = 0;
        for (size_t at = 0; at < count && s == WA_OK; at += p->width) {
            size_t n = count - at < p->width ? count - at : p->width;
            s = make_node(p, level + at, n, over_leaves, &block, &data, nodes, &level[above], err);
            above++;
            made++;
        }
        count = above;
        over_leaves = false;
    }
    if (s == WA_OK) {
        out->cid = (wa_cid){p->cid_version, over_leaves && p->raw_leaves ? WA_CODEC_RAW : WA_CODEC_DAG_PB, {0}};
        memcpy(out->cid.digest, level[0].digest, sizeof out->cid.digest);
        out->tsize = level[0].tsize;
        out->node_count = made;
    }
    wa__buf_done(&block);
    wa__buf_done(&data);
    return s;
}

wa_status wa__file_tree(const wa_profile *p, uint64_t size, const wa_digest *leaves, wa_buf *nodes, wa_file_root *out,
                        wa_error *err)
{
    if (size > FILE_BYTES_MAX) return wa__fail(err, WA_LIMIT, "a file of %llu bytes; at most 64 TiB fit", (unsigned long long)size);
    size_t count = (size_t)wa__leaf_count(p, size);
    subtree *level = wa__alloc(count, sizeof *level);
    if (!level) return wa__no_memory(err, "a file's tree");
    for (size_t i = 0; i < count; i++) {
        uint64_t left = size - (uint64_t)i * p->chunk_bytes;
        size_t n = left < p->chunk_bytes ? (size_t)left : p->chunk_bytes;
        memcpy(level[i].digest, leaves[i], sizeof level[i].digest);
        level[i].size = n;
        level[i].tsize = leaf_block_bytes(p, n);
    }
    wa_status s = build_levels(p, level, count, nodes, out, err);
    wa__free(level);
    return s;
}

static void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (8 * i));
}

static void put_u64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)(v >> (8 * i));
}

wa_status wa__sidecar_write(wa_profile_id profile, uint64_t size, const wa_digest *leaves, const wa_buf *nodes,
                            uint32_t node_count, wa_buf *out, wa_error *err)
{
    const wa_profile *p = wa__profile(profile);
    size_t count = (size_t)wa__leaf_count(p, size);
    uint8_t head[SIDECAR_HEAD] = {0};
    memcpy(head, SIDECAR_MAGIC, 8);
    put_u32(head + 8, (uint32_t)profile);
    put_u32(head + 12, node_count);
    put_u64(head + 16, size);
    put_u64(head + 24, count);
    put_u64(head + 32, nodes->len);
    WA_TRY(wa__buf_append(out, head, sizeof head, err));
    WA_TRY(wa__buf_append(out, leaves, count * sizeof *leaves, err));
    uint8_t *bits = wa__buf_grow(out, (count + 7) / 8);
    if (!bits) return wa__no_memory(err, "a sidecar");
    for (size_t i = 0; i < count; i++) bits[i / 8] = (uint8_t)(bits[i / 8] | 1u << (i % 8));
    return wa__buf_append(out, nodes->ptr, nodes->len, err);
}

wa_status wa__sidecar_read(const void *bytes, size_t n, const char *what, wa_sidecar *out, wa_error *err)
{
    wa_reader r = wa__reader(bytes, n, what);
    const uint8_t *p = NULL;
    wa_sidecar s = {0};
    uint32_t profile = 0;
    uint64_t node_bytes = 0, zero = 0;
    WA_TRY(wa__read_bytes(&r, 8, &p, "the magic", err));
    if (memcmp(p, SIDECAR_MAGIC, 8) != 0) return wa__fail(err, WA_CORRUPT, "%s: not a sidecar of this version", what);
    WA_TRY(wa__read_u32(&r, &profile, "profile", err));
    WA_TRY(wa__read_u32(&r, &s.node_count, "node count", err));
    WA_TRY(wa__read_u64(&r, &s.size, "file size", err));
    WA_TRY(wa__read_u64(&r, &s.leaf_count, "leaf count", err));
    WA_TRY(wa__read_u64(&r, &node_bytes, "bytes of nodes", err));
    WA_TRY(wa__read_u64(&r, &zero, "a reserved word", err));
    s.profile = (wa_profile_id)profile;
    const wa_profile *form = profile < WA_PROFILE_COUNT ? wa__profile(s.profile) : NULL;
    if (!form || s.size > FILE_BYTES_MAX || s.leaf_count != wa__leaf_count(form, s.size) || zero != 0)
        return wa__fail(err, WA_CORRUPT, "%s: the sidecar's header contradicts itself", what);
    size_t left = wa__reader_left(&r);
    if (s.leaf_count > left / sizeof(wa_digest)) return wa__fail(err, WA_CORRUPT, "%s: the leaf digests are cut short", what);
    WA_TRY(wa__read_bytes(&r, (size_t)s.leaf_count * sizeof(wa_digest), &p, "leaf digests", err));
    s.leaves = (const wa_digest *)p;
    WA_TRY(wa__read_bytes(&r, (size_t)(s.leaf_count + 7) / 8, &s.verified, "the verified bits", err));
    if (node_bytes != wa__reader_left(&r)) return wa__fail(err, WA_CORRUPT, "%s: the inner nodes are cut short", what);
    WA_TRY(wa__read_bytes(&r, (size_t)node_bytes, &s.nodes, "inner nodes", err));
    s.node_bytes = (size_t)node_bytes;
    *out = s;
    return WA_OK;
}
