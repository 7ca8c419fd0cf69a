/* Adding: hash what a scan found, stage new files in a session, then place and record all at once. In: a
 * path. Out: its CID; after a crash at any point, either all of it is in the store or none. */
#include "ipfs/store_add_int.h"

#define TREE_BYTES_MAX ((size_t)2 << 30)
enum { ATTEMPTS = 3 };

static void on_progress(void *user, uint64_t bytes)
{
    wa_add *a = user;
    a->done_bytes += bytes;
    if (a->opt->progress) a->opt->progress(a->opt->user, a->done_bytes < a->total_bytes ? a->done_bytes : a->total_bytes, a->total_bytes);
}

static bool cancelled(const wa_add *a) { return a->opt->cancel && atomic_load(a->opt->cancel); }

/* True when cid is stored and its file untouched since it was verified. */
static wa_status is_stored(wa_add *a, const wa_cid *cid, wa_file_row *row, bool *yes, wa_error *err)
{
    *yes = false;
    bool found = false;
    WA_TRY(wa__db_file(a->store, cid, row, &found, err));
    if (!found) return WA_OK;
    char *disk = NULL;
    WA_TRY(wa__store_file_path(a->store, cid, "", false, &disk, err));
    wa_file_identity now;
    *yes = wa__path_identity(disk, &now, NULL) == WA_OK && wa__file_identity_equal(&now, &row->identity);
    wa__free(disk);
    return WA_OK;
}

/* The CID that an unchanged file had the last time. */
static wa_status recall(wa_add *a, const char *path, const wa_file_identity *id, wa_cid *cid, bool *known, wa_error *err)
{
    *known = false;
    sqlite3_stmt *q = NULL;
    WA_TRY(wa__db_prepare(a->store, err, &q,
                          "SELECT key FROM seen WHERE path=? AND profile=? AND size=? AND mtime_ns=? AND ctime_ns=? AND inode=? AND device=?",
                          "tiiiiii", path, (int64_t)a->opt->profile, (int64_t)id->size, (int64_t)id->mtime_ns,
                          (int64_t)id->ctime_ns, (int64_t)id->inode, (int64_t)id->device));
    wa_status s = wa__db_step(a->store, q, known, err);
    if (s == WA_OK && *known) s = wa__store_key_cid(sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0), cid, err);
    sqlite3_finalize(q);
    return s;
}

static wa_status any_of_size(wa_add *a, uint64_t size, bool *any, wa_error *err)
{
    sqlite3_stmt *q = NULL;
    WA_TRY(wa__db_prepare(a->store, err, &q, "SELECT 1 FROM files WHERE size=? AND profile=? LIMIT 1", "ii", (int64_t)size, (int64_t)a->opt->profile));
    wa_status s = wa__db_step(a->store, q, any, err);
    sqlite3_finalize(q);
    return s;
}

static wa_status note_file(wa_add *a, const wa_cid *cid, bool reused, char *staged, char *side, uint64_t size, uint64_t tsize, wa_error *err)
{
    if (!wa__array_reserve((void **)&a->files, &a->file_cap, a->file_count + 1, sizeof *a->files)) return wa__no_memory(err, "an add");
    a->files[a->file_count++] = (wa_add_file){*cid, size, tsize, reused, staged, side, false};
    return WA_OK;
}

/* Hashes a file into a temporary one (or nowhere, when a->opt->hash_only or staged is NULL). */
static wa_status hash_file(wa_add *a, const char *path, const wa_file *from, uint64_t size, const char *staged, bool report,
                           wa_digest **leaves, wa_error *err)
{
    wa_file to = {-1};
    wa_hash_job job = {wa__profile(a->opt->profile), from, NULL, path, staged, size, a->opt->cancel, report ? on_progress : NULL, a};
    if (staged) {
        WA_TRY(wa__file_create(staged, 0444, &to, err));
        /* A shared copy is hashed itself: nothing can change it under us. */
        if (size > 0 && wa__file_clone(from, &to)) job.from = &to;
        else job.to = &to;
    }
    wa_status s = wa__store_hash(a->store, &job, leaves, err);
    wa__file_close(&to);
    if (report) a->out->hashed_bytes += size;
    return s;
}

static wa_status write_side(wa_add *a, const char *path, uint64_t size, const wa_digest *leaves, const wa_buf *nodes, uint32_t node_count, wa_error *err)
{
    wa_buf side;
    wa_file f = {-1};
    wa__buf_init(&side, TREE_BYTES_MAX);
    wa_status s = wa__sidecar_write(a->opt->profile, size, leaves, nodes, node_count, &side, err);
    if (s == WA_OK) s = wa__file_create(path, 0444, &f, err);
    if (s == WA_OK) s = wa__file_write_at(&f, path, 0, side.ptr, side.len, err);
    wa__file_close(&f);
    wa__buf_done(&side);
    return s;
}

/* Makes the root of hashed leaves; side, when not NULL, is where the sidecar goes if there is one. */
static wa_status root_of(wa_add *a, uint64_t size, const wa_digest *leaves, const char *side, wa_file_root *root, wa_error *err)
{
    wa_buf nodes;
    wa__buf_init(&nodes, TREE_BYTES_MAX);
    wa_status s = wa__file_tree(wa__profile(a->opt->profile), size, leaves, side ? &nodes : NULL, root, err);
    if (s == WA_OK && side && root->node_count > 0) s = write_side(a, side, size, leaves, &nodes, root->node_count, err);
    wa__buf_done(&nodes);
    return s;
}

/* Hashes first where the content may be here already, else copies and hashes in one pass. */
static wa_status import_open(wa_add *a, const char *path, const wa_file *f, uint64_t size, wa_file_root *root, wa_error *err)
{
    bool maybe = a->opt->hash_only, stored = false;
    wa_digest *leaves = NULL;
    wa_file_row row;
    if (!maybe) WA_TRY(any_of_size(a, size, &maybe, err));
    if (maybe) {
        WA_TRY(hash_file(a, path, f, size, NULL, true, &leaves, err));
        wa_status s = root_of(a, size, (const wa_digest *)leaves, NULL, root, err);
        if (s == WA_OK) s = is_stored(a, &root->cid, &row, &stored, err);
        wa__free(leaves);
        WA_TRY(s);
        if (a->opt->hash_only) return WA_OK;
        if (stored) return note_file(a, &root->cid, true, NULL, NULL, size, root->tsize, err);
    }
    char *staged = wa__format("%s/%u", a->session.path, a->session.next++);
    char *side = staged ? wa__format("%s.side", staged) : NULL;
    wa_status s = side ? hash_file(a, path, f, size, staged, !maybe, &leaves, err) : wa__no_memory(err, "an add");
    if (s == WA_OK) {
        s = root_of(a, size, (const wa_digest *)leaves, side, root, err);
        wa__free(leaves);
    }
    if (s == WA_OK && root->node_count == 0) {
        wa__free(side);
        side = NULL;
    }
    if (s == WA_OK) s = note_file(a, &root->cid, false, staged, side, size, root->tsize, err);
    if (s != WA_OK) {
        wa__free(staged);
        wa__free(side);
    }
    return s;
}

static wa_status remember(wa_add *a, const char *path, const wa_file_identity *id, const wa_cid *cid, wa_error *err)
{
    uint64_t newest = id->mtime_ns > id->ctime_ns ? id->mtime_ns : id->ctime_ns, now = wa__os_wall_ns();
    if (newest + STORE_RACY_NS > now) return WA_OK; /* too fresh: another change could carry the same times */
    if (!wa__array_reserve((void **)&a->seen, &a->seen_cap, a->seen_count + 1, sizeof *a->seen)) return wa__no_memory(err, "an add");
    a->seen[a->seen_count++] = (wa_add_seen){path, *id, *cid};
    return WA_OK;
}

static wa_status import_file(wa_add *a, const wa_scan_node *node, wa_cid *cid, uint64_t *tsize, wa_error *err)
{
    if (cancelled(a)) return wa__fail(err, WA_CANCELLED, "cancelled");
    wa_file f = {-1};
    wa_file_identity before, after;
    wa_file_root root = {0};
    bool known = false, stored = false;
    WA_TRY(wa__file_open(node->path, &f, err));
    wa_status s = wa__file_identity_of(&f, node->path, &before, err);
    if (s == WA_OK) s = recall(a, node->path, &before, cid, &known, err);
    wa_file_row row;
    if (s == WA_OK && known) s = is_stored(a, cid, &row, &stored, err);
    if (s == WA_OK && stored) {
        cid->version = wa__profile(a->opt->profile)->cid_version;
        *tsize = row.tsize;
        on_progress(a, before.size);
        wa__file_close(&f);
        return note_file(a, cid, true, NULL, NULL, row.size, row.tsize, err);
    }
    if (s == WA_OK) s = import_open(a, node->path, &f, before.size, &root, err);
    if (s == WA_OK) s = wa__file_identity_of(&f, node->path, &after, err);
    wa__file_close(&f);
    WA_TRY(s);
    if (!wa__file_identity_equal(&before, &after)) return wa__fail(err, WA_BUSY, "%s changed while it was being added; add it again", node->path);
    *cid = root.cid;
    *tsize = root.tsize;
    return remember(a, node->path, &after, cid, err);
}

static wa_status keep_block(void *user, const wa_cid *cid, const void *data, size_t n, wa_error *err)
{
    wa_add *a = user;
    if (a->opt->hash_only) return WA_OK;
    if (!wa__array_reserve((void **)&a->blocks, &a->block_cap, a->block_count + 1, sizeof *a->blocks)) return wa__no_memory(err, "a folder's blocks");
    char *copy = wa__arena_strndup(&a->arena, data, n);
    if (!copy) return wa__no_memory(err, "a folder's blocks");
    a->blocks[a->block_count++] = (wa_add_block){*cid, {copy, n}};
    return WA_OK;
}

static wa_status import_node(wa_add *a, const wa_scan_node *node, wa_cid *cid, uint64_t *tsize, wa_error *err)
{
    const wa_profile *p = wa__profile(a->opt->profile);
    if (node->kind == WA_STORE_FILE) return import_file(a, node, cid, tsize, err);
    if (node->kind == WA_STORE_LINK) return wa__symlink_build(p, node->target, keep_block, a, cid, tsize, err);
    wa_dir_entry *entries = wa__alloc(node->child_count, sizeof *entries);
    if (!entries) return wa__no_memory(err, "a folder's entries");
    wa_status s = WA_OK;
    size_t n = 0;
    for (const wa_scan_node *kid = node->child; kid && s == WA_OK; kid = kid->next) {
        wa_dir_entry *e = &entries[n++];
        e->name = wa__str(kid->name);
        s = import_node(a, kid, &e->cid, &e->tsize, err);
    }
    if (s == WA_OK) {
        s = wa__dir_build(p, entries, n, keep_block, a, cid, tsize, err);
        if (s != WA_OK) s = wa__fail_in(err, s, "%s", node->path);
    }
    wa__free(entries);
    return s;
}

static const char *last_component(const char *path)
{
    size_t n = strlen(path);
    while (n > 0 && path[n - 1] != '/') n--;
    return path + n;
}

/* One attempt. *again: a file that was here went away meanwhile; another attempt copies it. */
static wa_status add_once(wa_store *s, const char *path, const wa_store_add_options *opt, wa_store_added *out, bool *again, wa_error *err)
{
    wa_add a = {.store = s, .opt = opt, .out = out, .session = {NULL, {-1}, 0}};
    uint64_t tsize = 0;
    wa_scan_node *root = NULL;
    wa__arena_init(&a.arena, TREE_BYTES_MAX);
    wa_scan scan = {opt, out, &a.arena, NULL};
    wa_status status = wa__store_scan(&scan, path, &root, err);
    a.total_bytes = out->size_bytes;
    if (status == WA_OK && !opt->hash_only) status = wa__store_session_open(s, &a.session, err);
    if (status == WA_OK) on_progress(&a, 0);
    if (status == WA_OK) status = import_node(&a, root, &out->root, &tsize, err);
    if (status == WA_OK && cancelled(&a)) status = wa__fail(err, WA_CANCELLED, "cancelled");
    if (status == WA_OK && !opt->hash_only) status = wa__store_place(&a, opt->name ? opt->name : last_component(root->path), err);
    *again = a.vanished;
    for (size_t i = 0; i < a.file_count; i++) {
        wa__free(a.files[i].staged);
        wa__free(a.files[i].side);
    }
    wa__free(a.files);
    wa__free(a.blocks);
    wa__free(a.seen);
    wa__store_session_close(&a.session);
    wa__arena_done(&a.arena);
    return status;
}

wa_status wa__store_add(wa_store *s, const char *path, const wa_store_add_options *opt, wa_store_added *out, wa_error *err)
{
    static const wa_store_add_options defaults = {0};
    if (!opt) opt = &defaults;
    if (!wa__profile(opt->profile)) return wa__fail(err, WA_INVALID_ARGUMENT, "no import profile %d", (int)opt->profile);
    wa_status status = WA_BUSY;
    bool again = true;
    for (int i = 0; i < ATTEMPTS && again; i++) {
        wa_store_added added = {0};
        again = false;
        status = add_once(s, path, opt, &added, &again, err);
        if (status != WA_OK) continue;
        wa__cid_text(&added.root, added.cid);
        *out = added;
    }
    return status;
}
