/* Inside of results: the spool and the DuckDB session that merge and query share. */
#ifndef WA_RESULTS_INT_H
#define WA_RESULTS_INT_H
#include "base/os.h"
#include "results/results.h"
#include "results/results_duckdb.h"
#include <sqlite3.h>

/* --- the spool (results_spool.c) --------------------------------------------------------------- */
/* Opens, and makes when make is set; *out is NULL with WA_OK when it is absent and make is not set. */
wa_status wa__spool_open(const char *db, bool make, sqlite3 **out, wa_error *err) WA_MUST_CHECK;
void wa__spool_close(sqlite3 *s); /* NULL is legal */
wa_status wa__spool_count(sqlite3 *s, uint64_t *count, wa_error *err) WA_MUST_CHECK;
/* One spooled row: n orders rows, row is a JSON object by column name. Borrowed during the call. */
typedef wa_status (*wa_spool_fn)(void *user, int64_t n, const char *run_id, const char *row, wa_error *err);
/* Calls fn for at most `most` rows with n > after, in order. *count says for how many. */
wa_status wa__spool_each(sqlite3 *s, int64_t after, uint32_t most, wa_spool_fn fn, void *user, uint32_t *count, wa_error *err) WA_MUST_CHECK;
/* Deletes the rows numbered in n[0..count). */
wa_status wa__spool_delete(sqlite3 *s, const int64_t *n, uint32_t count, wa_error *err) WA_MUST_CHECK;

/* --- a DuckDB session (results_session.c) ------------------------------------------------------ */
typedef struct wa_session {
    wa_duckdb api;
    wa_lock lock; /* <db>.merge-lock */
    bool locked;
    duckdb_database database;
    duckdb_connection connection;
} wa_session;
/* Takes the merge lock and opens the database, waiting for either; makes or completes the tables.
 * WA_BUSY: held elsewhere; WA_NOT_FOUND: no libduckdb. */
wa_status wa__session_open(const char *db, const wa_results_options *o, wa_session *out, wa_error *err) WA_MUST_CHECK;
void wa__session_close(wa_session *s);
/* Runs a statement whose result does not matter; `what` names it in messages. */
wa_status wa__session_run(wa_session *s, const char *sql, const char *what, wa_error *err) WA_MUST_CHECK;
/* Runs a query of VARCHAR columns. *cells (rows * columns, NULL for null) is the caller's. */
wa_status wa__session_cells(wa_session *s, const char *sql, uint32_t columns, char ***cells, uint64_t *rows, wa_error *err) WA_MUST_CHECK;
/* Appends 'text' with its quotes doubled. */
wa_status wa__sql_quote(wa_buf *b, const char *text, wa_error *err) WA_MUST_CHECK;
/* Merges the spool over an open session. */
wa_status wa__session_merge(wa_session *s, const char *db, wa_merge_report *out, wa_error *err) WA_MUST_CHECK;

#endif
