/* Folders: one block, or a tree of shards; building and listing. See unixfs.h. */
#include "ipfs/unixfs.h"
#include "base/limits.h"
#include "base/str.h"
#include "ipfs/murmur3.h"
#include <stdio.h>
#include <stdlib.h>

enum {
    TAG_TYPE = 0x08,
    TAG_DATA = 0x12,
    TAG_HASH_TYPE = 0x28,
    TAG_FANOUT = 0x30,
    HASH_MURMUR3 = 0x22,
    FANOUT = 256,
    SHARD_DEPTH_MAX = 8, /* 64 bits of hash, 8 a level */
    NAME_BYTES_MAX = 255,
};
#define DIR_THRESHOLD_BYTES 262144u
#define SHARDS_MAX          WA_LIMIT_DIR_ENTRIES

wa_status wa__dir_name_check(wa_str name, const char *what, wa_error *err)
{
    size_t at = 0;
    if (name.len == 0) return wa__fail(err, WA_CORRUPT, "%s: an entry without a name", what);
    if (name.len > NAME_BYTES_MAX) return wa__fail(err, WA_LIMIT, "%s: a name of %zu bytes; at most 255 fit", what, name.len);
    if (wa__str_is(name, ".") || wa__str_is(name, "..") || memchr(name.ptr, '/', name.len) || memchr(name.ptr, 0, name.len))
        return wa__fail(err, WA_CORRUPT, "%s: the name \"%.*s\" could lead out of its folder", what, WA_STR_ARG(name));
    if (!wa__utf8_valid(name.ptr, name.len, &at))
        return wa__fail(err, WA_CORRUPT, "%s: the name \"%.*s\" is not UTF-8 at byte %zu", what, WA_STR_ARG(name), at);
    return WA_OK;
}

static int compare_names(wa_str a, wa_str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

static int by_name(const void *a, const void *b)
{
    return compare_names(((const wa_dir_entry *)a)->name, ((const wa_dir_entry *)b)->name);
}

/* --- building --------------------------------------------------------------------------------- */

typedef struct builder {
    const wa_profile *profile;
    wa_block_sink sink;
    void *user;
} builder;

static wa_status emit(const builder *b, const wa_buf *block, wa_cid *cid, wa_error *err)
{
    if (block->len > WA_LIMIT_BLOCK_BYTES) return wa__fail(err, WA_LIMIT, "a folder's block would have %zu bytes", block->len);
    WA_TRY(wa__cid_of_block(b->profile->cid_version, WA_CODEC_DAG_PB, block->ptr, block->len, cid, err));
    return b->sink(b->user, cid, block->ptr, block->len, err);
}

static bool over_threshold(const wa_profile *p, const wa_dir_entry *entries, size_t count)
{
    uint64_t bytes = p->block_estimate ? 4 : 0; /* the Data field of a folder */
    uint8_t scratch[WA_CID_BYTES_MAX];
    for (size_t i = 0; i < count; i++)
        bytes += p->block_estimate ? wa__pb_link_bytes(&entries[i].cid, entries[i].name.len, entries[i].tsize)
                                   : entries[i].name.len + wa__cid_write(&entries[i].cid, scratch);
    return bytes > DIR_THRESHOLD_BYTES;
}

static wa_status build_plain(const builder *b, const wa_dir_entry *entries, size_t count, wa_cid *root, uint64_t *tsize, wa_error *err)
{
    wa_buf block;
    wa__buf_init(&block, WA_LIMIT_BLOCK_BYTES);
    wa_status s = WA_OK;
    uint64_t total = 0;
    for (size_t i = 0; i < count && s == WA_OK; i++) {
        s = wa__pb_put_link(&block, &entries[i].cid, entries[i].name, entries[i].tsize, err);
        total += entries[i].tsize;
    }
    static const uint8_t folder[] = {TAG_TYPE, WA_UNIXFS_DIRECTORY};
    if (s == WA_OK) s = wa__pb_put_data(&block, folder, sizeof folder, err);
    if (s == WA_OK) s = emit(b, &block, root, err);
    if (s == WA_OK) *tsize = total + block.len;
    wa__buf_done(&block);
    return s;
}

typedef struct hashed {
    uint64_t hash;
    const wa_dir_entry *entry;
} hashed;

static int by_hash(const void *a, const void *b)
{
    uint64_t x = ((const hashed *)a)->hash, y = ((const hashed *)b)->hash;
    return (x > y) - (x < y);
}

static wa_status shard_data(const uint8_t bits[FANOUT / 8], wa_buf *block, wa_error *err)
{
    size_t zeros = 0;
    while (zeros < FANOUT / 8 && bits[zeros] == 0) zeros++;
    uint8_t message[FANOUT / 8 + 16];
    wa_buf data = {.len_max = sizeof message};
    wa_status s = wa__pb_put_varint(&data, TAG_TYPE, WA_UNIXFS_HAMT, err);
    if (s == WA_OK) s = wa__pb_put_varint(&data, TAG_DATA, FANOUT / 8 - zeros, err);
    if (s == WA_OK) s = wa__buf_append(&data, bits + zeros, FANOUT / 8 - zeros, err);
    if (s == WA_OK) s = wa__pb_put_varint(&data, TAG_HASH_TYPE, HASH_MURMUR3, err);
    if (s == WA_OK) s = wa__pb_put_varint(&data, TAG_FANOUT, FANOUT, err);
    if (s == WA_OK) s = wa__pb_put_data(block, data.ptr, data.len, err);
    wa__buf_done(&data);
    return s;
}

/* items: sorted by hash, all alike in their first depth*8 bits. At most 8 deep. */
static wa_status build_shard(const builder *b, const hashed *items, size_t count, unsigned depth, wa_cid *root, uint64_t *tsize,
                             wa_error *err)
{
    if (depth == SHARD_DEPTH_MAX)
        return wa__fail(err, WA_UNSUPPORTED, "the names \"%.*s\" and \"%.*s\" have the same 64-bit hash: UnixFS cannot hold both in one large folder",
                        WA_STR_ARG(items[0].entry->name), WA_STR_ARG(items[1].entry->name));
    wa_buf block;
    wa__buf_init(&block, WA_LIMIT_BLOCK_BYTES);
    uint8_t bits[FANOUT / 8] = {0};
    uint64_t total = 0;
    wa_status s = WA_OK;
    for (size_t at = 0, end; at < count && s == WA_OK; at = end) {
        unsigned slot = (unsigned)(items[at].hash >> (56 - 8 * depth)) & 0xff;
        for (end = at + 1; end < count && ((unsigned)(items[end].hash >> (56 - 8 * depth)) & 0xff) == slot;) end++;
        bits[FANOUT / 8 - 1 - slot / 8] = (uint8_t)(bits[FANOUT / 8 - 1 - slot / 8] | 1u << (slot % 8));
        char name[NAME_BYTES_MAX + 3];
        wa_cid cid = items[at].entry->cid;
        uint64_t below = items[at].entry->tsize;
        size_t n = end - at == 1 ? items[at].entry->name.len : 0;
        snprintf(name, sizeof name, "%02X", slot);
        if (n) memcpy(name + 2, items[at].entry->name.ptr, n);
        else s = build_shard(b, items + at, end - at, depth + 1, &cid, &below, err);
        if (s == WA_OK) s = wa__pb_put_link(&block, &cid, (wa_str){name, n + 2}, below, err);
        total += below;
    }
    if (s == WA_OK) s = shard_data(bits, &block, err);
    if (s == WA_OK) s = emit(b, &block, root, err);
    if (s == WA_OK) *tsize = total + block.len;
    wa__buf_done(&block);
    return s;
}

wa_status wa__dir_build(const wa_profile *p, wa_dir_entry *entries, size_t count, wa_block_sink sink, void *user,
                        wa_cid *root, uint64_t *tsize, wa_error *err)
{
    builder b = {p, sink, user};
    if (count > WA_LIMIT_DIR_ENTRIES) return wa__fail(err, WA_LIMIT, "a folder of %zu entries; at most %u fit", count, WA_LIMIT_DIR_ENTRIES);
    if (count) qsort(entries, count, sizeof *entries, by_name);
    for (size_t i = 0; i < count; i++) WA_TRY(wa__dir_name_check(entries[i].name, "the folder", err));
    if (!over_threshold(p, entries, count)) return build_plain(&b, entries, count, root, tsize, err);
    hashed *items = wa__alloc(count, sizeof *items);
    if (!items) return wa__no_memory(err, "a sharded folder");
    for (size_t i = 0; i < count; i++) items[i] = (hashed){wa__murmur3_64(entries[i].name.ptr, entries[i].name.len), &entries[i]};
    qsort(items, count, sizeof *items, by_hash);
    wa_status s = build_shard(&b, items, count, 0, root, tsize, err);
    wa__free(items);
    return s;
}

wa_status wa__symlink_build(const wa_profile *p, const char *target, wa_block_sink sink, void *user, wa_cid *cid,
                            uint64_t *tsize, wa_error *err)
{
    builder b = {p, sink, user};
    wa_buf data, block;
    size_t n = strlen(target);
    wa__buf_init(&data, WA_LIMIT_BLOCK_BYTES);
    wa__buf_init(&block, WA_LIMIT_BLOCK_BYTES);
    wa_status s = wa__pb_put_varint(&data, TAG_TYPE, WA_UNIXFS_SYMLINK, err);
    if (s == WA_OK) s = wa__pb_put_varint(&data, TAG_DATA, n, err);
    if (s == WA_OK) s = wa__buf_append(&data, target, n, err);
    if (s == WA_OK) s = wa__pb_put_data(&block, data.ptr, data.len, err);
    if (s == WA_OK) s = emit(&b, &block, cid, err);
    if (s == WA_OK) *tsize = block.len;
    wa__buf_done(&data);
    wa__buf_done(&block);
    return s;
}

/* --- listing ---------------------------------------------------------------------------------- */

typedef struct lister {
    const char *what;
    wa_block_source source;
    void *user;
    wa_arena *arena;
    wa_dir_list *out;
    uint64_t fanout;
    unsigned bits, prefix; /* of hash a level; hex digits before a name */
} lister;

static wa_status add_entry(lister *l, wa_str name, const wa_pb_link *link, wa_error *err)
{
    WA_TRY(wa__dir_name_check(name, l->what, err));
    wa_dir_list *o = l->out;
    if (o->count == WA_LIMIT_DIR_ENTRIES) return wa__fail(err, WA_LIMIT, "%s: more than %u entries", l->what, WA_LIMIT_DIR_ENTRIES);
    if (!wa__array_reserve((void **)&o->entries, &o->cap, o->count + 1, sizeof *o->entries)) return wa__no_memory(err, "a folder's entries");
    char *copy = wa__arena_strndup(l->arena, name.ptr, name.len);
    if (!copy) return wa__no_memory(err, "a folder's names");
    o->entries[o->count++] = (wa_dir_entry){{copy, name.len}, link->cid, link->tsize};
    return WA_OK;
}

static bool read_hex(wa_str s, unsigned digits, unsigned *out)
{
    unsigned v = 0;
    if (s.len < digits) return false;
    for (unsigned i = 0; i < digits; i++) {
        char c = s.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'))) return false;
        v = v << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'A' + 10);
    }
    *out = v;
    return true;
}

static bool slot_set(const wa_unixfs *u, unsigned slot)
{
    size_t byte = slot / 8;
    return byte < u->data.len && ((unsigned char)u->data.ptr[u->data.len - 1 - byte] >> (slot % 8) & 1);
}

static wa_status list_shard(lister *l, const wa_pb_node *node, const wa_unixfs *u, unsigned depth, uint64_t path, wa_error *err);

static wa_status list_child(lister *l, const wa_cid *cid, unsigned depth, uint64_t path, wa_error *err)
{
    wa_dir_list *o = l->out;
    if (o->block_count == SHARDS_MAX) return wa__fail(err, WA_LIMIT, "%s: more than %u shards", l->what, SHARDS_MAX);
    if (!wa__array_reserve((void **)&o->blocks, &o->block_cap, o->block_count + 1, sizeof *o->blocks)) return wa__no_memory(err, "a folder's shards");
    o->blocks[o->block_count++] = *cid;
    if (cid->codec != WA_CODEC_DAG_PB) return wa__fail(err, WA_CORRUPT, "%s: a shard that is no dag-pb block", l->what);
    const uint8_t *data = NULL;
    size_t n = 0;
    WA_TRY(l->source(l->user, cid, &data, &n, err));
    wa_buf copy; /* the source may reuse its memory below us */
    wa__buf_init(&copy, WA_LIMIT_BLOCK_BYTES);
    wa_status s = wa__buf_append(&copy, data, n, err);
    wa_pb_node node = {0};
    wa_unixfs u = {0};
    if (s == WA_OK) s = wa__pb_decode(copy.ptr, copy.len, l->what, &node, err);
    if (s == WA_OK) s = wa__unixfs_decode(&node, l->what, &u, err);
    if (s == WA_OK && (u.type != WA_UNIXFS_HAMT || u.fanout != l->fanout || node.link_count == 0))
        s = wa__fail(err, WA_CORRUPT, "%s: below a shard stands an empty one, or none of the same fanout", l->what);
    if (s == WA_OK) s = list_shard(l, &node, &u, depth, path, err);
    wa__unixfs_done(&u);
    wa__pb_done(&node);
    wa__buf_done(&copy);
    return s;
}

/* path: the hash bits that led here, right-aligned. */
static wa_status list_shard(lister *l, const wa_pb_node *node, const wa_unixfs *u, unsigned depth, uint64_t path, wa_error *err)
{
    unsigned used = (depth + 1) * l->bits;
    if (used > 64 || depth >= WA_LIMIT_DAG_DEPTH * 3)
        return wa__fail(err, WA_CORRUPT, "%s: shards nested deeper than the hash has bits", l->what);
    int last = -1;
    for (size_t i = 0; i < node->link_count; i++) {
        const wa_pb_link *link = &node->links[i];
        unsigned slot = 0;
        if (!read_hex(link->name, l->prefix, &slot) || slot >= l->fanout || !slot_set(u, slot) || (int)slot <= last)
            return wa__fail(err, WA_CORRUPT, "%s: shard link \"%.*s\" contradicts the shard's bit field", l->what, WA_STR_ARG(link->name));
        last = (int)slot;
        uint64_t here = path << l->bits | slot;
        wa_str name = {link->name.ptr + l->prefix, link->name.len - l->prefix};
        if (name.len == 0) {
            WA_TRY(list_child(l, &link->cid, depth + 1, here, err));
            continue;
        }
        if (wa__murmur3_64(name.ptr, name.len) >> (64 - used) != here)
            return wa__fail(err, WA_CORRUPT, "%s: the name \"%.*s\" stands in the wrong shard", l->what, WA_STR_ARG(name));
        WA_TRY(add_entry(l, name, link, err));
    }
    return WA_OK;
}

wa_status wa__dir_list(const wa_pb_node *node, const wa_unixfs *u, const char *what, wa_block_source source, void *user,
                       wa_arena *arena, wa_dir_list *out, wa_error *err)
{
    wa_dir_list list = {0};
    lister l = {what, source, user, arena, &list, u->fanout, 0, 0};
    wa_status s = WA_OK;
    if (u->type == WA_UNIXFS_DIRECTORY) {
        for (size_t i = 0; i < node->link_count && s == WA_OK; i++) s = add_entry(&l, node->links[i].name, &node->links[i], err);
    } else if (u->type == WA_UNIXFS_HAMT) {
        l.bits = (unsigned)__builtin_ctzll(u->fanout);
        for (uint64_t top = u->fanout - 1; top; top >>= 4) l.prefix++;
        s = list_shard(&l, node, u, 0, 0, err);
    } else {
        s = wa__fail(err, WA_INVALID_ARGUMENT, "%s is not a folder", what);
    }
    if (s == WA_OK && list.count) qsort(list.entries, list.count, sizeof *list.entries, by_name);
    for (size_t i = 1; i < list.count && s == WA_OK; i++)
        if (compare_names(list.entries[i - 1].name, list.entries[i].name) == 0)
            s = wa__fail(err, WA_CORRUPT, "%s: the name \"%.*s\" stands twice in the folder", what, WA_STR_ARG(list.entries[i].name));
    if (s != WA_OK) {
        wa__dir_list_done(&list);
        return s;
    }
    *out = list;
    return WA_OK;
}

void wa__dir_list_done(wa_dir_list *list)
{
    wa__free(list->entries);
    wa__free(list->blocks);
    *list = (wa_dir_list){0};
}
