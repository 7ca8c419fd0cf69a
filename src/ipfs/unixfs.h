/* UnixFS trees: how files become leaves and inner nodes, and folders become blocks, byte for byte as
 * Kubo makes them (IPIP-499), and back. Pure over bytes: reads and stores nothing itself. Called by the
 * store.
 *
 * A file is cut into chunks of one size; leaves are packed level by level into nodes of at most `width`
 * links, the rest always wrapped too, until one node is left. One chunk alone is the file's root.
 * A folder is one block of sorted links, or, once it would pass the threshold, a tree of shards (HAMT):
 * 8 bits of murmur3 of the name a level, most significant bits first. */
#ifndef WA_UNIXFS_H
#define WA_UNIXFS_H
#include "ipfs/dagpb.h"

typedef enum wa_profile_id {
    WA_PROFILE_V1_2025 = 0, /* unixfs-v1-2025: 1 MiB, width 1024, raw leaves, CID v1; the default */
    WA_PROFILE_V0_2015 = 1, /* unixfs-v0-2015: Kubo's default: 256 KiB, width 174, dag-pb leaves, CID v0 */
    WA_PROFILE_V1_KUBO = 2, /* `ipfs add --cid-version=1` with no profile: 256 KiB, width 174, raw leaves */
    WA_PROFILE_COUNT
} wa_profile_id;

typedef struct wa_profile {
    const char *name;
    uint32_t chunk_bytes, width;
    uint8_t cid_version;
    bool raw_leaves;
    bool block_estimate; /* the HAMT threshold counts whole blocks, not names and CIDs */
} wa_profile;

const wa_profile *wa__profile(wa_profile_id id); /* NULL for an unknown id */

typedef uint8_t wa_digest[WA_SHA256_BYTES];

uint64_t wa__leaf_count(const wa_profile *p, uint64_t size); /* at least 1 */
/* The digest of one leaf of n bytes, in the profile's leaf form. */
wa_status wa__leaf_digest(const wa_profile *p, const void *data, size_t n, wa_digest out, wa_error *err) WA_MUST_CHECK;

/* A file's tree over its leaves. nodes, when not NULL, receives the inner nodes, children before
 * parents, each as a u32 length and its bytes; *node_count counts them. tsize is the size of all blocks. */
typedef struct wa_file_root {
    wa_cid cid;
    uint64_t tsize;
    uint32_t node_count;
} wa_file_root;
wa_status wa__file_tree(const wa_profile *p, uint64_t size, const wa_digest *leaves, wa_buf *nodes, wa_file_root *out,
                        wa_error *err) WA_MUST_CHECK;

/* A sidecar: everything about a stored file's tree that is not the file's own bytes.
 *   0  "WASIDE01"   8  u32 profile   12 u32 node count   16 u64 file size   24 u64 leaf count
 *   32 u64 bytes of nodes   40 u64 zero
 *   48 leaf digests, 32 each; then a bit per leaf (1: its bytes are verified); then the nodes
 * All little-endian. */
typedef struct wa_sidecar {
    wa_profile_id profile;
    uint32_t node_count;
    uint64_t size, leaf_count;
    const wa_digest *leaves;  /* borrowed from the bytes, all of these */
    const uint8_t *verified;
    const uint8_t *nodes;
    size_t node_bytes;
} wa_sidecar;
wa_status wa__sidecar_write(wa_profile_id profile, uint64_t size, const wa_digest *leaves, const wa_buf *nodes,
                            uint32_t node_count, wa_buf *out, wa_error *err) WA_MUST_CHECK;
/* Bounds only; that the leaves belong to a root is what wa__file_tree shows. */
wa_status wa__sidecar_read(const void *p, size_t n, const char *what, wa_sidecar *out, wa_error *err) WA_MUST_CHECK;

typedef struct wa_dir_entry {
    wa_str name;
    wa_cid cid;
    uint64_t tsize;
} wa_dir_entry;

/* Receives each block of a folder, children first, the root last. */
typedef wa_status (*wa_block_sink)(void *user, const wa_cid *cid, const void *data, size_t n, wa_error *err);
/* Makes a folder; sorts entries in place. Names must be distinct and pass wa__dir_name_check. */
wa_status wa__dir_build(const wa_profile *p, wa_dir_entry *entries, size_t count, wa_block_sink sink, void *user,
                        wa_cid *root, uint64_t *tsize, wa_error *err) WA_MUST_CHECK;
/* A symbolic link's block. */
wa_status wa__symlink_build(const wa_profile *p, const char *target, wa_block_sink sink, void *user, wa_cid *cid,
                            uint64_t *tsize, wa_error *err) WA_MUST_CHECK;

/* Hands out a block's bytes, borrowed until the next call; WA_NOT_FOUND when it is not there. */
typedef wa_status (*wa_block_source)(void *user, const wa_cid *cid, const uint8_t **data, size_t *n, wa_error *err);
/* A listed folder: entries in an arena, sorted bytewise by name, names NUL-terminated. */
typedef struct wa_dir_list {
    wa_dir_entry *entries;
    size_t count, cap;
    wa_cid *blocks; /* the shards below the root, for counting references */
    size_t block_count, block_cap;
} wa_dir_list;
/* Lists a folder whose root block was decoded to node and u. Refuses names with /, NUL, empty, . and
 * .., repeated names, shards whose names do not hash to where they stand, and runaway trees. */
wa_status wa__dir_list(const wa_pb_node *node, const wa_unixfs *u, const char *what, wa_block_source source, void *user,
                       wa_arena *arena, wa_dir_list *out, wa_error *err) WA_MUST_CHECK;
void wa__dir_list_done(wa_dir_list *list); /* not the arena */
/* What a name in a folder must be: 1 to 255 bytes of UTF-8, no slash or NUL, not . or .. */
wa_status wa__dir_name_check(wa_str name, const char *what, wa_error *err) WA_MUST_CHECK;

#endif
