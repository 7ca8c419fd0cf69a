/* The moment at which an add becomes visible. Order: contents durable, then, under the store's lock,
 * files renamed to their places and the renames durable, then the transaction. A crash before the commit
 * leaves files that no row names, and a session folder that tells the next open to remove them. */
#include "ipfs/store_add_int.h"

enum { SYNC_EACH_MAX = 16 }; /* more files than this: one sync of the file system is cheaper */

static wa_status sync_path(const char *path, wa_error *err)
{
    wa_file f = {-1};
    WA_TRY(wa__file_open(path, &f, err));
    wa_status s = wa__file_sync(&f, path, err);
    wa__file_close(&f);
    return s;
}

static wa_status sync_staged(wa_add *a, wa_error *err)
{
    size_t fresh = 0;
    for (size_t i = 0; i < a->file_count; i++) fresh += a->files[i].staged != NULL;
    if (fresh > SYNC_EACH_MAX) return wa__os_sync_all(a->store->folder, err);
    for (size_t i = 0; i < a->file_count; i++) {
        if (a->files[i].staged) WA_TRY(sync_path(a->files[i].staged, err));
        if (a->files[i].side) WA_TRY(sync_path(a->files[i].side, err));
    }
    return WA_OK;
}

static wa_status rename_into(wa_store *s, const wa_cid *cid, const char *suffix, const char *staged, char **out, wa_error *err)
{
    char *to = NULL;
    WA_TRY(wa__store_file_path(s, cid, suffix, true, &to, err));
    wa_status status = wa__os_rename(staged, to, err);
    if (status == WA_OK && out) *out = to;
    else wa__free(to);
    return status;
}

/* Places one file unless a healthy one is there (added meanwhile, or twice in this folder). */
static wa_status place_file(wa_add *a, wa_add_file *f, bool *moved, wa_error *err)
{
    wa_store *s = a->store;
    wa_file_row row;
    bool found = false;
    char *disk = NULL;
    wa_file_identity now;
    WA_TRY(wa__db_file(s, &f->cid, &row, &found, err));
    WA_TRY(wa__store_file_path(s, &f->cid, "", false, &disk, err));
    bool healthy = found && wa__path_identity(disk, &now, NULL) == WA_OK && wa__file_identity_equal(&now, &row.identity);
    wa__free(disk);
    if (healthy) return WA_OK;
    if (f->reused) {
        a->vanished = true;
        return wa__fail(err, WA_BUSY, "another process removed a file of this content meanwhile; add it again");
    }
    if (f->side) WA_TRY(rename_into(s, &f->cid, ".side", f->side, NULL, err));
    f->placed = !found;
    disk = NULL;
    WA_TRY(rename_into(s, &f->cid, "", f->staged, &disk, err));
    *moved = true;
    row = (wa_file_row){f->size, f->tsize, a->opt->profile, {0}};
    wa_status status = wa__path_identity(disk, &row.identity, err);
    wa__free(disk);
    return status == WA_OK ? wa__db_file_put(s, &f->cid, &row, err) : status;
}

static wa_status sync_folder_of(wa_store *s, const wa_cid *cid, wa_error *err)
{
    char *path = NULL;
    WA_TRY(wa__store_file_path(s, cid, "", false, &path, err));
    char *slash = strrchr(path, '/');
    if (slash) *slash = 0;
    wa_status status = wa__os_sync_dir(path, err);
    wa__free(path);
    return status;
}

static wa_status place_files(wa_add *a, wa_error *err)
{
    size_t moved_count = 0;
    for (size_t i = 0; i < a->file_count; i++) {
        bool moved = false;
        WA_TRY(place_file(a, &a->files[i], &moved, err));
        moved_count += moved;
    }
    if (moved_count == 0) return WA_OK;
    if (moved_count > SYNC_EACH_MAX) return wa__os_sync_all(a->store->folder, err);
    for (size_t i = 0; i < a->file_count; i++)
        if (a->files[i].staged) WA_TRY(sync_folder_of(a->store, &a->files[i].cid, err));
    return wa__os_sync_dir(a->store->files, err);
}

static wa_status record(wa_add *a, const char *name, wa_error *err)
{
    wa_store *s = a->store;
    const wa_cid *root = &a->out->root;
    char text[WA_CID_TEXT_MAX];
    wa__cid_text(root, text);
    for (size_t i = 0; i < a->block_count; i++)
        WA_TRY(wa__db_run(s, err, "INSERT OR REPLACE INTO blocks VALUES(?,?)", "kb", &a->blocks[i].cid, a->blocks[i].data.ptr, a->blocks[i].data.len));
    WA_TRY(wa__db_run(s, err, "INSERT INTO roots VALUES(?,?,?,?,?,?,?) ON CONFLICT(key) DO NOTHING", "kttiiii", root, text, name,
                      (int64_t)a->out->is_dir, (int64_t)a->out->size_bytes, (int64_t)a->out->file_count,
                      (int64_t)(wa__os_wall_ns() / 1000000)));
    for (size_t i = 0; i < a->file_count; i++)
        WA_TRY(wa__db_run(s, err, "INSERT OR IGNORE INTO refs VALUES(?,?)", "kk", root, &a->files[i].cid));
    for (size_t i = 0; i < a->block_count; i++)
        WA_TRY(wa__db_run(s, err, "INSERT OR IGNORE INTO refs VALUES(?,?)", "kk", root, &a->blocks[i].cid));
    for (size_t i = 0; i < a->seen_count; i++) {
        const wa_file_identity *d = &a->seen[i].identity;
        WA_TRY(wa__db_run(s, err, "INSERT OR REPLACE INTO seen VALUES(?,?,?,?,?,?,?,?)", "tiiiiiik", a->seen[i].path, (int64_t)a->opt->profile,
                          (int64_t)d->size, (int64_t)d->mtime_ns, (int64_t)d->ctime_ns, (int64_t)d->inode, (int64_t)d->device, &a->seen[i].cid));
    }
    return WA_OK;
}

/* After a failed transaction nothing names the files that we placed where none was. */
static void take_back(wa_add *a)
{
    for (size_t i = 0; i < a->file_count; i++) {
        static const char *const suffixes[] = {"", ".side"};
        for (size_t k = 0; k < 2 && a->files[i].placed; k++) {
            char *path = NULL;
            if (wa__store_file_path(a->store, &a->files[i].cid, suffixes[k], false, &path, NULL) == WA_OK)
                (void)!wa__os_remove(path, NULL); /* best effort: rows decide what is visible */
            wa__free(path);
        }
    }
}

wa_status wa__store_place(wa_add *a, const char *name, wa_error *err)
{
    wa_lock lock;
    WA_TRY(sync_staged(a, err));
    WA_TRY(wa__store_lock(a->store, STORE_LOCK_WAIT_MS, &lock, err));
    wa_status s = wa__db_begin(a->store, err);
    if (s == WA_OK) {
        s = place_files(a, err);
        if (s == WA_OK) s = record(a, name, err);
        s = wa__db_end(a->store, s, err);
    }
    if (s != WA_OK) take_back(a);
    wa__os_unlock(&lock);
    return s;
}
