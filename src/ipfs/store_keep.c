/* Keeping: what is there, how often it was used, and removing it. See store.h. */
#include "ipfs/store_int.h"

wa_status wa__store_touch(wa_store *s, const wa_cid *root, bool hit, wa_error *err)
{
    return wa__db_run(s, err,
                      "INSERT INTO usage VALUES(?1,?2,?3,?4) ON CONFLICT(key) DO UPDATE SET hits=hits+?2, misses=misses+?3, used_ms=?4",
                      "kiii", root, (int64_t)hit, (int64_t)!hit, (int64_t)(wa__os_wall_ns() / 1000000));
}

static wa_status read_root(sqlite3_stmt *q, wa_store_root *r, wa_error *err)
{
    const char *cid = (const char *)sqlite3_column_text(q, 0), *name = (const char *)sqlite3_column_text(q, 1);
    size_t n = cid ? strlen(cid) : 0;
    if (!cid || !name || n >= sizeof r->cid) return wa__fail(err, WA_CORRUPT, "the store's index has a root without a CID");
    memcpy(r->cid, cid, n + 1);
    r->name = wa__strdup(name);
    r->is_dir = sqlite3_column_int(q, 2) != 0;
    r->size_bytes = (uint64_t)sqlite3_column_int64(q, 3);
    r->file_count = (uint64_t)sqlite3_column_int64(q, 4);
    r->added_ms = sqlite3_column_int64(q, 5);
    r->used_ms = sqlite3_column_int64(q, 6);
    r->hit_count = (uint64_t)sqlite3_column_int64(q, 7);
    r->miss_count = (uint64_t)sqlite3_column_int64(q, 8);
    return r->name ? WA_OK : wa__no_memory(err, "the list of roots");
}

wa_status wa__store_list(wa_store *s, wa_store_root **out, size_t *count, wa_error *err)
{
    sqlite3_stmt *q = NULL;
    WA_TRY(wa__db_prepare(s, err, &q,
                          "SELECT cid, name, is_dir, size, file_count, added_ms, ifnull(used_ms,0), ifnull(hits,0), ifnull(misses,0)"
                          " FROM roots LEFT JOIN usage ON usage.key=roots.key ORDER BY added_ms DESC, cid", ""));
    wa_store_root *roots = NULL;
    size_t n = 0, cap = 0;
    bool row = true;
    wa_status status = WA_OK;
    while (status == WA_OK) {
        status = wa__db_step(s, q, &row, err);
        if (status != WA_OK || !row) break;
        if (!wa__array_reserve((void **)&roots, &cap, n + 1, sizeof *roots)) status = wa__no_memory(err, "the list of roots");
        else status = read_root(q, &roots[n], err);
        n += status == WA_OK;
    }
    sqlite3_finalize(q);
    if (status != WA_OK) {
        wa__store_list_free(roots, n);
        return status;
    }
    *out = roots;
    *count = n;
    return WA_OK;
}

void wa__store_list_free(wa_store_root *roots, size_t count)
{
    for (size_t i = 0; i < count; i++) wa__free(roots[i].name);
    wa__free(roots);
}

wa_status wa__store_totals_of(wa_store *s, wa_store_totals *out, wa_error *err)
{
    sqlite3_stmt *q = NULL;
    bool row = false;
    WA_TRY(wa__db_prepare(s, err, &q,
                          "SELECT (SELECT count(*) FROM roots), (SELECT count(*) FROM files),"
                          " (SELECT ifnull(sum(size),0) FROM files)+(SELECT ifnull(sum(length(data)),0) FROM blocks),"
                          " (SELECT ifnull(sum(hits),0) FROM usage), (SELECT ifnull(sum(misses),0) FROM usage)", ""));
    wa_status status = wa__db_step(s, q, &row, err);
    if (status == WA_OK && row) {
        uint64_t v[5];
        for (int i = 0; i < 5; i++) v[i] = (uint64_t)sqlite3_column_int64(q, i);
        *out = (wa_store_totals){v[0], v[1], v[2], v[3], v[4]};
    }
    sqlite3_finalize(q);
    return status;
}

typedef struct doomed {
    wa_cid *keys; /* of files and blocks that only this root uses */
    size_t count, cap;
} doomed;

static wa_status find_doomed(wa_store *s, const wa_cid *root, doomed *d, wa_error *err)
{
    sqlite3_stmt *q = NULL;
    WA_TRY(wa__db_prepare(s, err, &q,
                          "SELECT key FROM refs AS mine WHERE root=?1 AND NOT EXISTS"
                          " (SELECT 1 FROM refs AS other WHERE other.key=mine.key AND other.root<>?1)", "k", root));
    bool row = true;
    wa_status status = WA_OK;
    while (status == WA_OK) {
        status = wa__db_step(s, q, &row, err);
        if (status != WA_OK || !row) break;
        if (!wa__array_reserve((void **)&d->keys, &d->cap, d->count + 1, sizeof *d->keys)) status = wa__no_memory(err, "a removal");
        else status = wa__store_key_cid(sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0), &d->keys[d->count], err);
        d->count += status == WA_OK;
    }
    sqlite3_finalize(q);
    return status;
}

static wa_status forget(wa_store *s, const wa_cid *root, const char *shown, doomed *d, wa_error *err)
{
    WA_TRY(wa__db_run(s, err, "DELETE FROM roots WHERE key=?", "k", root));
    if (sqlite3_changes(s->db) == 0)
        return wa__fail(err, WA_NOT_FOUND, "%s is not a model of this store; webaccel ls shows what is there", shown);
    WA_TRY(find_doomed(s, root, d, err));
    WA_TRY(wa__db_run(s, err, "DELETE FROM refs WHERE root=?", "k", root));
    for (size_t i = 0; i < d->count; i++) {
        WA_TRY(wa__db_run(s, err, "DELETE FROM files WHERE key=?", "k", &d->keys[i]));
        WA_TRY(wa__db_run(s, err, "DELETE FROM blocks WHERE key=?", "k", &d->keys[i]));
        WA_TRY(wa__db_run(s, err, "DELETE FROM seen WHERE key=?", "k", &d->keys[i]));
    }
    return WA_OK;
}

static wa_status unlink_doomed(wa_store *s, const doomed *d, uint64_t *freed, wa_error *err)
{
    static const char *const suffixes[] = {"", ".side"};
    for (size_t i = 0; i < d->count; i++) {
        for (size_t k = 0; k < 2; k++) {
            char *path = NULL;
            wa_file_identity id;
            WA_TRY(wa__store_file_path(s, &d->keys[i], suffixes[k], false, &path, err));
            if (wa__path_identity(path, &id, NULL) == WA_OK) *freed += id.size;
            wa_status status = wa__os_remove(path, err);
            wa__free(path);
            WA_TRY(status);
        }
    }
    return WA_OK;
}

wa_status wa__store_remove(wa_store *s, const char *cid, uint64_t *freed_bytes, wa_error *err)
{
    wa_cid root;
    wa_lock lock;
    wa_store_session session; /* its leftovers tell the next open that files may have stayed */
    doomed d = {0};
    uint64_t freed = 0;
    WA_TRY(wa__cid_parse(wa__str(cid), &root, err));
    WA_TRY(wa__store_session_open(s, &session, err));
    wa_status status = wa__store_lock(s, STORE_LOCK_WAIT_MS, &lock, err);
    if (status == WA_OK) {
        status = wa__db_begin(s, err);
        if (status == WA_OK) status = wa__db_end(s, forget(s, &root, cid, &d, err), err);
        if (status == WA_OK) status = unlink_doomed(s, &d, &freed, err);
        wa__os_unlock(&lock);
    }
    wa__store_session_close(&session);
    wa__free(d.keys);
    if (status == WA_OK && freed_bytes) *freed_bytes = freed;
    return status;
}
