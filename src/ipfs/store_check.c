/* Whether a stored file still is what its CID says. In: its row and its place. Out: WA_OK, or WA_VERIFY
 * naming the file and the block. Called by store_read.c and store_add.c. */
#include "ipfs/store_int.h"

#define SIDECAR_BYTES_MAX ((size_t)4 << 30)

/* Shows that the sidecar's leaves and nodes are the root's: then they are as good as the root itself. */
static wa_status check_sidecar(const wa_sidecar *side, const wa_cid *cid, const wa_file_row *row, const char *path, wa_error *err)
{
    wa_buf nodes;
    wa_file_root root;
    wa__buf_init(&nodes, SIDECAR_BYTES_MAX);
    wa_status s = WA_OK;
    if (side->size != row->size || side->profile != row->profile) s = wa__fail(err, WA_VERIFY, "%s belongs to another file", path);
    if (s == WA_OK) s = wa__file_tree(wa__profile(side->profile), side->size, side->leaves, &nodes, &root, err);
    if (s == WA_OK && (!wa__cid_equal(&root.cid, cid) || nodes.len != side->node_bytes ||
                       (nodes.len && memcmp(nodes.ptr, side->nodes, nodes.len) != 0)))
        s = wa__fail(err, WA_VERIFY, "%s was changed: its leaves do not make the root; remove the model and add it again", path);
    wa__buf_done(&nodes);
    return s;
}

static void describe_leaf(const wa_profile *p, const wa_digest digest, char out[WA_CID_TEXT_MAX])
{
    wa_cid cid = {p->cid_version, p->raw_leaves ? WA_CODEC_RAW : WA_CODEC_DAG_PB, {0}};
    memcpy(cid.digest, digest, sizeof cid.digest);
    wa__cid_text(&cid, out);
}

static wa_status compare_leaves(const wa_profile *p, const wa_digest *want, const wa_digest *have, const wa_file_row *row,
                                const char *shown, const char *disk, wa_error *err)
{
    uint64_t count = wa__leaf_count(p, row->size);
    for (uint64_t i = 0; i < count; i++) {
        if (memcmp(want[i], have[i], sizeof(wa_digest)) == 0) continue;
        char good[WA_CID_TEXT_MAX], bad[WA_CID_TEXT_MAX];
        describe_leaf(p, want[i], good);
        describe_leaf(p, have[i], bad);
        uint64_t from = i * p->chunk_bytes, to = from + p->chunk_bytes < row->size ? from + p->chunk_bytes : row->size;
        return wa__fail(err, WA_VERIFY,
                        "%s is damaged: block %llu of %llu (bytes %llu to %llu of %s) should be %s but hashes to %s; add the model again",
                        shown, (unsigned long long)i, (unsigned long long)count, (unsigned long long)from, (unsigned long long)to, disk, good, bad);
    }
    return WA_OK;
}

/* The digests that the file's leaves should have: the root's own, or the sidecar's, verified. Owned. */
static wa_status wanted_leaves(wa_store *s, const wa_cid *cid, const wa_file_row *row, wa_digest **out, wa_error *err)
{
    uint64_t count = wa__leaf_count(wa__profile(row->profile), row->size);
    wa_digest *want = wa__alloc((size_t)count, sizeof *want);
    char *path = NULL;
    wa_map map = {0};
    wa_sidecar side;
    wa_status status = want ? WA_OK : wa__no_memory(err, "a file's leaves");
    if (status == WA_OK && count == 1) memcpy(want[0], cid->digest, sizeof want[0]);
    if (status == WA_OK && count > 1) {
        status = wa__store_file_path(s, cid, ".side", false, &path, err);
        if (status == WA_OK) status = wa__os_map(path, &map, err);
        if (status == WA_OK) status = wa__sidecar_read(map.data, map.size, path, &side, err);
        if (status == WA_OK) status = check_sidecar(&side, cid, row, path, err);
        if (status == WA_OK) memcpy(want, side.leaves, (size_t)count * sizeof *want);
        if (status == WA_NOT_FOUND || status == WA_CORRUPT) status = wa__fail_in(err, WA_VERIFY, "the store is damaged; add the model again");
    }
    wa__os_unmap(&map);
    wa__free(path);
    if (status != WA_OK) {
        wa__free(want);
        return status;
    }
    *out = want;
    return WA_OK;
}

static wa_status rehash_open(wa_store *s, const wa_file *f, const wa_cid *cid, const char *shown, const wa_file_row *row,
                             const char *disk, const wa_file *to, const atomic_bool *cancel, wa_error *err)
{
    const wa_profile *p = wa__profile(row->profile);
    wa_file_identity before, after;
    WA_TRY(wa__file_identity_of(f, disk, &before, err));
    if (before.size != row->size)
        return wa__fail(err, WA_VERIFY, "%s is damaged: %s has %llu bytes instead of %llu; add the model again", shown, disk,
                        (unsigned long long)before.size, (unsigned long long)row->size);
    wa_digest *want = NULL, *have = NULL;
    wa_hash_job job = {.profile = p, .from = f, .to = to, .from_path = disk, .to_path = "the copy", .size = row->size, .cancel = cancel};
    wa_status status = wanted_leaves(s, cid, row, &want, err);
    if (status == WA_OK) status = wa__store_hash(s, &job, &have, err);
    if (status == WA_OK) status = compare_leaves(p, (const wa_digest *)want, (const wa_digest *)have, row, shown, disk, err);
    wa__free(want);
    wa__free(have);
    WA_TRY(status);
    WA_TRY(wa__file_identity_of(f, disk, &after, err));
    if (wa__file_identity_equal(&after, &row->identity)) return WA_OK; /* nothing new to record */
    if (!wa__file_identity_equal(&before, &after)) return wa__fail(err, WA_BUSY, "%s is being changed by somebody", disk);
    return wa__db_run(s, err, "UPDATE files SET disk_size=?, mtime_ns=?, ctime_ns=?, inode=?, device=? WHERE key=?", "iiiiik",
                      (int64_t)after.size, (int64_t)after.mtime_ns, (int64_t)after.ctime_ns, (int64_t)after.inode, (int64_t)after.device, cid);
}

wa_status wa__store_rehash(wa_store *s, const wa_cid *cid, const char *shown, const wa_file_row *row, const char *disk,
                           const wa_file *to, const atomic_bool *cancel, wa_error *err)
{
    wa_file f = {-1};
    wa_status status = wa__file_open(disk, &f, err);
    if (status == WA_NOT_FOUND) return wa__fail(err, WA_VERIFY, "%s is gone from the store (%s); add the model again", shown, disk);
    WA_TRY(status);
    status = rehash_open(s, &f, cid, shown, row, disk, to, cancel, err);
    wa__file_close(&f);
    return status;
}

wa_status wa__store_check(wa_store *s, const wa_cid *cid, const char *shown, const wa_file_row *row, const char *disk, wa_error *err)
{
    wa_file_identity now;
    if (wa__path_identity(disk, &now, NULL) == WA_OK && wa__file_identity_equal(&now, &row->identity)) return WA_OK;
    return wa__store_rehash(s, cid, shown, row, disk, NULL, NULL, err);
}
