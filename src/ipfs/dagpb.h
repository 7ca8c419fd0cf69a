/* dag-pb blocks and the UnixFS message inside them (specs: dag-pb, UnixFS 1). In: the bytes of one
 * block, of which only the hash is known. Out: borrowed views into it, or fresh bytes. Called by
 * unixfs_file.c, unixfs_dir.c and the store.
 *
 *   PBNode   { PBLink Links = 2 }* { bytes Data = 1 }?      written Links first; either order is read
 *   PBLink   bytes Hash = 1 (required), string Name = 2, uint64 Tsize = 3, in that order
 *   UnixFS   Type = 1, Data = 2, filesize = 3, blocksizes = 4 (repeated), hashType = 5, fanout = 6,
 *            mode = 7, mtime = 8
 *
 * Refused: unknown or repeated fields, fields of a link out of order, wrong wire types, a link without
 * Hash, links cut in two by Data, link counts that contradict blocksizes, sums that do not add up. */
#ifndef WA_DAGPB_H
#define WA_DAGPB_H
#include "base/mem.h"
#include "ipfs/cid.h"

typedef struct wa_pb_link {
    wa_cid cid;
    wa_str name; /* borrowed from the block; empty in a file's links */
    uint64_t tsize; /* what the block claims; never trusted */
} wa_pb_link;

typedef struct wa_pb_node {
    wa_pb_link *links; /* owned */
    size_t link_count;
    wa_str data; /* borrowed from the block */
    bool has_data;
} wa_pb_node;

/* Decodes one block; what names it in messages. Free with wa__pb_done. */
wa_status wa__pb_decode(const void *p, size_t n, const char *what, wa_pb_node *out, wa_error *err) WA_MUST_CHECK;
void wa__pb_done(wa_pb_node *node);

/* Encoding: links first, in the order given, then wa__pb_put_data. Tsize and Name are always written,
 * as Kubo does. */
wa_status wa__pb_put_link(wa_buf *b, const wa_cid *cid, wa_str name, uint64_t tsize, wa_error *err) WA_MUST_CHECK;
wa_status wa__pb_put_data(wa_buf *b, const void *data, size_t n, wa_error *err) WA_MUST_CHECK;
/* The bytes that wa__pb_put_link appends. */
size_t wa__pb_link_bytes(const wa_cid *cid, size_t name_bytes, uint64_t tsize);
/* A varint field, for UnixFS messages. */
wa_status wa__pb_put_varint(wa_buf *b, uint8_t tag, uint64_t v, wa_error *err) WA_MUST_CHECK;

typedef enum wa_unixfs_type {
    WA_UNIXFS_RAW = 0,
    WA_UNIXFS_DIRECTORY = 1,
    WA_UNIXFS_FILE = 2,
    WA_UNIXFS_METADATA = 3,
    WA_UNIXFS_SYMLINK = 4,
    WA_UNIXFS_HAMT = 5,
} wa_unixfs_type;

typedef struct wa_unixfs {
    wa_unixfs_type type;
    wa_str data; /* inline bytes, a link's target, or a shard's bit field; borrowed */
    bool has_filesize;
    uint64_t filesize;
    uint64_t *blocksizes; /* owned */
    size_t blocksize_count;
    uint64_t hash_type, fanout;
} wa_unixfs;

/* Decodes node->data and checks it against the node's links. Free with wa__unixfs_done. */
wa_status wa__unixfs_decode(const wa_pb_node *node, const char *what, wa_unixfs *out, wa_error *err) WA_MUST_CHECK;
void wa__unixfs_done(wa_unixfs *u);

#endif
