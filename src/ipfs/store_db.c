/* The store's tables. SQLite in WAL mode: readers never wait, one writer at a time, for an instant. */
#include "ipfs/store_int.h"
#include <stdarg.h>

enum { SCHEMA_VERSION = 1, BUSY_MS = 60000 };

static const char schema[] =
    "CREATE TABLE files(key BLOB PRIMARY KEY, size INTEGER NOT NULL, tsize INTEGER NOT NULL, profile INTEGER NOT NULL,"
    " disk_size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,"
    " device INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX files_size ON files(size);"
    "CREATE TABLE blocks(key BLOB PRIMARY KEY, data BLOB NOT NULL);"
    "CREATE TABLE roots(key BLOB PRIMARY KEY, cid TEXT NOT NULL, name TEXT NOT NULL, is_dir INTEGER NOT NULL,"
    " size INTEGER NOT NULL, file_count INTEGER NOT NULL, added_ms INTEGER NOT NULL);"
    "CREATE TABLE refs(root BLOB NOT NULL, key BLOB NOT NULL, PRIMARY KEY(root, key)) WITHOUT ROWID;"
    "CREATE INDEX refs_key ON refs(key);"
    "CREATE TABLE usage(key BLOB PRIMARY KEY, hits INTEGER NOT NULL, misses INTEGER NOT NULL, used_ms INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE seen(path TEXT NOT NULL, profile INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,"
    " ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, device INTEGER NOT NULL, key BLOB NOT NULL,"
    " PRIMARY KEY(path, profile)) WITHOUT ROWID;"
    "CREATE INDEX seen_key ON seen(key);";

static wa_status db_fail(wa_store *s, wa_error *err)
{
    int code = s->db ? sqlite3_errcode(s->db) : SQLITE_NOMEM;
    wa_status status = code == SQLITE_BUSY || code == SQLITE_LOCKED ? WA_BUSY : code == SQLITE_NOMEM ? WA_NO_MEMORY
                       : code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? WA_CORRUPT : WA_IO;
    return wa__fail(err, status, "the store's index %s/meta.sqlite: %s", s->folder, s->db ? sqlite3_errmsg(s->db) : "out of memory");
}

static wa_status db_exec(wa_store *s, const char *sql, wa_error *err)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? WA_OK : db_fail(s, err);
}

static wa_status version_of(wa_store *s, int64_t *version, wa_error *err)
{
    sqlite3_stmt *q = NULL;
    bool row = false;
    WA_TRY(wa__db_prepare(s, err, &q, "PRAGMA user_version", ""));
    wa_status status = wa__db_step(s, q, &row, err);
    if (status == WA_OK) *version = row ? sqlite3_column_int64(q, 0) : 0;
    sqlite3_finalize(q);
    return status;
}

/* Called with the store's lock held, so that two first opens do not collide. */
static wa_status make_schema(wa_store *s, wa_error *err)
{
    int64_t version = 0;
    WA_TRY(db_exec(s, "PRAGMA journal_mode=WAL", err));
    WA_TRY(version_of(s, &version, err));
    if (version == SCHEMA_VERSION) return WA_OK;
    WA_TRY(wa__db_begin(s, err));
    wa_status status = db_exec(s, schema, err);
    if (status == WA_OK) status = db_exec(s, "PRAGMA user_version=1", err);
    return wa__db_end(s, status, err);
}

wa_status wa__db_open(wa_store *s, wa_error *err)
{
    char *path = wa__path_join(s->folder, "meta.sqlite");
    if (!path) return wa__no_memory(err, "the store");
    int code = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    wa__free(path);
    if (code != SQLITE_OK) return db_fail(s, err);
    sqlite3_busy_timeout(s->db, BUSY_MS);
    int64_t version = 0;
    WA_TRY(version_of(s, &version, err));
    if (version != 0 && version != SCHEMA_VERSION)
        return wa__fail(err, WA_UNSUPPORTED, "%s is a store of version %lld; this build knows version %d", s->folder, (long long)version, SCHEMA_VERSION);
    if (version == 0) {
        wa_lock lock;
        WA_TRY(wa__store_lock(s, STORE_LOCK_WAIT_MS, &lock, err));
        wa_status status = make_schema(s, err);
        wa__os_unlock(&lock);
        WA_TRY(status);
    }
    return db_exec(s, "PRAGMA synchronous=NORMAL", err);
}

static int bind_one(sqlite3_stmt *q, int at, char type, va_list *ap)
{
    switch (type) {
    case 'i': return sqlite3_bind_int64(q, at, va_arg(*ap, int64_t));
    case 't': return sqlite3_bind_text(q, at, va_arg(*ap, const char *), -1, SQLITE_TRANSIENT);
    case 'k': {
        uint8_t key[WA_CID_KEY_BYTES];
        wa__store_key(va_arg(*ap, const wa_cid *), key);
        return sqlite3_bind_blob(q, at, key, sizeof key, SQLITE_TRANSIENT);
    }
    case 'b': {
        const void *p = va_arg(*ap, const void *);
        size_t n = va_arg(*ap, size_t);
        return sqlite3_bind_blob64(q, at, n ? p : "", n, SQLITE_STATIC);
    }
    default: return SQLITE_MISUSE;
    }
}

static wa_status prepare(wa_store *s, wa_error *err, sqlite3_stmt **out, const char *sql, const char *types, va_list *ap)
{
    sqlite3_stmt *q = NULL;
    int code = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL);
    for (int i = 0; types[i] && code == SQLITE_OK; i++) code = bind_one(q, i + 1, types[i], ap);
    if (code != SQLITE_OK) {
        wa_status status = db_fail(s, err);
        sqlite3_finalize(q);
        return status;
    }
    *out = q;
    return WA_OK;
}

wa_status wa__db_prepare(wa_store *s, wa_error *err, sqlite3_stmt **out, const char *sql, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    wa_status status = prepare(s, err, out, sql, types, &ap);
    va_end(ap);
    return status;
}

wa_status wa__db_step(wa_store *s, sqlite3_stmt *q, bool *row, wa_error *err)
{
    int code = sqlite3_step(q);
    if (code != SQLITE_ROW && code != SQLITE_DONE) return db_fail(s, err);
    *row = code == SQLITE_ROW;
    return WA_OK;
}

wa_status wa__db_run(wa_store *s, wa_error *err, const char *sql, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *q = NULL;
    wa_status status = prepare(s, err, &q, sql, types, &ap);
    va_end(ap);
    bool row;
    if (status == WA_OK) status = wa__db_step(s, q, &row, err);
    sqlite3_finalize(q);
    return status;
}

wa_status wa__db_begin(wa_store *s, wa_error *err)
{
    WA_TRY(db_exec(s, "PRAGMA synchronous=FULL", err));
    return db_exec(s, "BEGIN IMMEDIATE", err);
}

wa_status wa__db_end(wa_store *s, wa_status status, wa_error *err)
{
    if (status == WA_OK) status = db_exec(s, "COMMIT", err);
    if (status != WA_OK) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_exec(s->db, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
    return status;
}

wa_status wa__db_file(wa_store *s, const wa_cid *cid, wa_file_row *out, bool *found, wa_error *err)
{
    sqlite3_stmt *q = NULL;
    WA_TRY(wa__db_prepare(s, err, &q, "SELECT size, tsize, profile, disk_size, mtime_ns, ctime_ns, inode, device FROM files WHERE key=?", "k", cid));
    wa_status status = wa__db_step(s, q, found, err);
    if (status == WA_OK && *found) {
        uint64_t v[8];
        for (int i = 0; i < 8; i++) v[i] = (uint64_t)sqlite3_column_int64(q, i);
        if (v[2] >= WA_PROFILE_COUNT) status = wa__fail(err, WA_CORRUPT, "the store's index %s/meta.sqlite: unknown profile %llu", s->folder, (unsigned long long)v[2]);
        else *out = (wa_file_row){v[0], v[1], (wa_profile_id)v[2], {v[3], v[4], v[5], v[6], v[7]}};
    }
    sqlite3_finalize(q);
    return status;
}

wa_status wa__db_file_put(wa_store *s, const wa_cid *cid, const wa_file_row *row, wa_error *err)
{
    const wa_file_identity *d = &row->identity;
    return wa__db_run(s, err, "INSERT OR REPLACE INTO files VALUES(?,?,?,?,?,?,?,?,?)", "kiiiiiiii", cid, (int64_t)row->size,
                      (int64_t)row->tsize, (int64_t)row->profile, (int64_t)d->size, (int64_t)d->mtime_ns, (int64_t)d->ctime_ns,
                      (int64_t)d->inode, (int64_t)d->device);
}

wa_status wa__db_block(wa_store *s, const wa_cid *cid, wa_buf *out, bool *found, wa_error *err)
{
    sqlite3_stmt *q = NULL;
    WA_TRY(wa__db_prepare(s, err, &q, "SELECT data FROM blocks WHERE key=?", "k", cid));
    wa_status status = wa__db_step(s, q, found, err);
    wa__buf_clear(out);
    if (status == WA_OK && *found) {
        const void *p = sqlite3_column_blob(q, 0);
        status = wa__buf_append(out, p, (size_t)sqlite3_column_bytes(q, 0), err);
    }
    sqlite3_finalize(q);
    return status;
}
