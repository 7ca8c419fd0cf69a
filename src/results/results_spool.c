/* Rows in, rows out: the queue before DuckDB, a SQLite file in WAL mode. Called by append and merge. */
#include "results/results_int.h"
#include <inttypes.h>
#include <stdlib.h>

#define SPOOL_WAIT_MS 30000 /* writers hold the spool for well under a millisecond each */

char *wa__results_path(void)
{
    const char *named = getenv("BENCHMARK_DB_PATH");
    if (named && *named) return wa__strdup(named);
    char *home = wa__os_home();
    char *path = home ? wa__path_join(home, "results.duckdb") : NULL;
    wa__free(home);
    return path;
}

static wa_status sql_fail(sqlite3 *s, const char *what, wa_error *err)
{
    int code = sqlite3_errcode(s);
    wa_status status = code == SQLITE_BUSY || code == SQLITE_LOCKED      ? WA_BUSY
                       : code == SQLITE_NOMEM                            ? WA_NO_MEMORY
                       : code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? WA_CORRUPT
                                                                         : WA_IO;
    const char *path = sqlite3_db_filename(s, "main");
    return wa__fail(err, status, "spool %s: %s: %s", path ? path : "", what, sqlite3_errmsg(s));
}

/* Switching a new file to WAL does not wait on the busy timeout in every case: so we do. */
static int run_waiting(sqlite3 *s, const char *sql)
{
    uint64_t end = wa__os_now_ns() + (uint64_t)SPOOL_WAIT_MS * 1000000u;
    for (;;) {
        int rc = sqlite3_exec(s, sql, NULL, NULL, NULL);
        if ((rc != SQLITE_BUSY && rc != SQLITE_LOCKED) || wa__os_now_ns() > end) return rc;
        wa__os_sleep_ms(2);
    }
}

static wa_status make_parent(const char *path, wa_error *err)
{
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path) return WA_OK;
    char *parent = wa__strndup(path, (size_t)(slash - path));
    if (!parent) return wa__no_memory(err, "a path");
    wa_status s = wa__os_mkdirs(parent, 0700, err);
    wa__free(parent);
    return s;
}

wa_status wa__spool_open(const char *db, bool make, sqlite3 **out, wa_error *err)
{
    char *path = wa__format("%s.spool", db);
    if (!path) return wa__no_memory(err, "a path");
    wa_file_info info = {0};
    sqlite3 *s = NULL;
    wa_status status = make ? make_parent(path, err) : wa__os_stat(path, true, &info, err);
    if (status == WA_OK && !make && info.kind == WA_FILE_NONE) {
        wa__free(path);
        *out = NULL;
        return WA_OK;
    }
    if (status == WA_OK) {
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (make ? SQLITE_OPEN_CREATE : 0);
        if (sqlite3_open_v2(path, &s, flags, NULL) != SQLITE_OK) status = sql_fail(s, "cannot be opened", err);
    }
    wa__free(path);
    if (status == WA_OK) {
        sqlite3_busy_timeout(s, SPOOL_WAIT_MS);
        /* A checkpoint by the last process out would cost each command an fsync or two; merges do it. */
        sqlite3_db_config(s, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        if (run_waiting(s, "PRAGMA journal_mode=WAL") != SQLITE_OK || run_waiting(s, "PRAGMA synchronous=NORMAL") != SQLITE_OK ||
            run_waiting(s, "CREATE TABLE IF NOT EXISTS spool(n INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL UNIQUE, "
                           "row TEXT NOT NULL)") != SQLITE_OK)
            status = sql_fail(s, "cannot be set up", err);
    }
    if (status == WA_OK)
        *out = s;
    else
        sqlite3_close(s);
    return status;
}

void wa__spool_close(sqlite3 *s) { sqlite3_close(s); }

static wa_status fill(wa_record *r, wa_error *err)
{
    char text[256];
    if (!r->values[WA_COL_timestamp].set) {
        wa__os_utc(text);
        WA_TRY(wa__record_str(r, WA_COL_timestamp, text, err));
    }
    if (!r->values[WA_COL_run_id].set) {
        uint8_t id[16];
        WA_TRY(wa__os_random(id, sizeof id, err));
        wa__hex(id, sizeof id, text);
        WA_TRY(wa__record_str(r, WA_COL_run_id, text, err));
    }
    if (!r->values[WA_COL_host].set) {
        wa__os_host(text, sizeof text);
        size_t bad;
        WA_TRY(wa__record_str(r, WA_COL_host, wa__utf8_valid(text, strlen(text), &bad) ? text : NULL, err));
    }
    if (!r->values[WA_COL_version].set) WA_TRY(wa__record_str(r, WA_COL_version, WA_VERSION, err));
    return WA_OK;
}

static wa_status insert(sqlite3 *s, const char *run_id, const wa_buf *row, wa_error *err)
{
    sqlite3_stmt *st = NULL;
    wa_status status = WA_OK;
    if (sqlite3_prepare_v2(s, "INSERT INTO spool(run_id, row) VALUES(?, ?)", -1, &st, NULL) != SQLITE_OK ||
        sqlite3_bind_text(st, 1, run_id, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_text64(st, 2, row->ptr, row->len, SQLITE_STATIC, SQLITE_UTF8) != SQLITE_OK || sqlite3_step(st) != SQLITE_DONE)
        status = sql_fail(s, "a row could not be added", err);
    sqlite3_finalize(st);
    return status;
}

wa_status wa__results_append(const char *db, wa_record *r, wa_error *err)
{
    WA_TRY(fill(r, err));
    wa_buf row;
    sqlite3 *s = NULL;
    wa__buf_init(&row, (size_t)64 << 20);
    wa_status status = wa__record_json(r, true, false, &row, err);
    if (status == WA_OK) status = wa__spool_open(db, true, &s, err);
    if (status == WA_OK) status = insert(s, r->values[WA_COL_run_id].s, &row, err);
    wa__spool_close(s);
    wa__buf_done(&row);
    return status;
}

wa_status wa__spool_count(sqlite3 *s, uint64_t *count, wa_error *err)
{
    sqlite3_stmt *st = NULL;
    wa_status status = WA_OK;
    if (sqlite3_prepare_v2(s, "SELECT count(*) FROM spool", -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
        *count = (uint64_t)sqlite3_column_int64(st, 0);
    else
        status = sql_fail(s, "cannot be read", err);
    sqlite3_finalize(st);
    return status;
}

wa_status wa__results_spooled(const char *db, uint64_t *count, wa_error *err)
{
    sqlite3 *s = NULL;
    *count = 0;
    WA_TRY(wa__spool_open(db, false, &s, err));
    wa_status status = s ? wa__spool_count(s, count, err) : WA_OK;
    wa__spool_close(s);
    return status;
}

wa_status wa__spool_each(sqlite3 *s, int64_t after, uint32_t most, wa_spool_fn fn, void *user, uint32_t *count, wa_error *err)
{
    sqlite3_stmt *st = NULL;
    wa_status status = WA_OK;
    *count = 0;
    if (sqlite3_prepare_v2(s, "SELECT n, run_id, row FROM spool WHERE n > ? ORDER BY n LIMIT ?", -1, &st, NULL) != SQLITE_OK ||
        sqlite3_bind_int64(st, 1, after) != SQLITE_OK || sqlite3_bind_int64(st, 2, most) != SQLITE_OK)
        status = sql_fail(s, "cannot be read", err);
    while (status == WA_OK) {
        int rc = sqlite3_step(st);
        if (rc == SQLITE_DONE) break;
        if (rc != SQLITE_ROW) {
            status = sql_fail(s, "cannot be read", err);
            break;
        }
        const char *run_id = (const char *)sqlite3_column_text(st, 1), *row = (const char *)sqlite3_column_text(st, 2);
        status = run_id && row ? fn(user, sqlite3_column_int64(st, 0), run_id, row, err) : wa__no_memory(err, "a spooled row");
        *count += status == WA_OK;
    }
    sqlite3_finalize(st);
    return status;
}

wa_status wa__spool_delete(sqlite3 *s, const int64_t *n, uint32_t count, wa_error *err)
{
    sqlite3_stmt *st = NULL;
    bool good = run_waiting(s, "BEGIN IMMEDIATE") == SQLITE_OK &&
                sqlite3_prepare_v2(s, "DELETE FROM spool WHERE n = ?", -1, &st, NULL) == SQLITE_OK;
    for (uint32_t i = 0; good && i < count; i++)
        good = sqlite3_bind_int64(st, 1, n[i]) == SQLITE_OK && sqlite3_step(st) == SQLITE_DONE && sqlite3_reset(st) == SQLITE_OK;
    wa_status status = good ? WA_OK : sql_fail(s, "merged rows could not be deleted (the next merge will)", err);
    sqlite3_finalize(st);
    if (good && run_waiting(s, "COMMIT") != SQLITE_OK) status = sql_fail(s, "merged rows could not be deleted (the next merge will)", err);
    if (status != WA_OK) sqlite3_exec(s, "ROLLBACK", NULL, NULL, NULL);
    return status;
}
