/* Spooled rows in, table rows out, each exactly once. Called by the command after a run and by query. */
#include "results/results_int.h"
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#define BATCH_ROWS 5000u

/* One batch on its way from the spool to the table. */
typedef struct batch {
    wa_session *s;
    duckdb_appender appender;
    int64_t *numbers; /* spool numbers to delete after the commit */
    uint32_t count, foreign; /* foreign: left for the newer version that wrote them */
    int64_t last;
} batch;

static bool known_columns(json_t *row)
{
    const char *key;
    json_t *v;
    json_object_foreach(row, key, v)
    {
        bool known = false;
        for (uint32_t i = 0; i < WA_COLUMN_COUNT && !known; i++) known = strcmp(wa__columns[i].name, key) == 0;
        if (!known) return false;
    }
    return true;
}

static bool append_text(batch *b, const json_t *v, wa_column_kind kind)
{
    wa_duckdb *api = &b->s->api;
    if (!v || json_is_null(v)) return api->append_null(b->appender) == DuckDBSuccess;
    if (json_is_string(v) && kind == WA_COLUMN_STR) return api->append_varchar(b->appender, json_string_value(v)) == DuckDBSuccess;
    if (json_is_boolean(v)) return api->append_varchar(b->appender, json_is_true(v) ? "true" : "false") == DuckDBSuccess;
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    bool good = text && api->append_varchar(b->appender, text) == DuckDBSuccess;
    free(text);
    return good;
}

static wa_status take(void *user, int64_t n, const char *run_id, const char *text, wa_error *err)
{
    batch *b = user;
    wa_duckdb *api = &b->s->api;
    b->last = n;
    json_error_t e;
    json_t *row = json_loads(text, 0, &e);
    if (!json_is_object(row) || !known_columns(row)) {
        b->foreign++;
        json_decref(row);
        return WA_OK;
    }
    bool good = api->append_int64(b->appender, n) == DuckDBSuccess && api->append_varchar(b->appender, run_id) == DuckDBSuccess;
    for (uint32_t i = 0; good && i < WA_COLUMN_COUNT; i++)
        if (i != WA_COL_id && i != WA_COL_run_id) good = append_text(b, json_object_get(row, wa__columns[i].name), wa__columns[i].kind);
    good = good && api->appender_end_row(b->appender) == DuckDBSuccess;
    json_decref(row);
    if (!good) {
        duckdb_error_data d = api->appender_error_data(b->appender);
        wa_status status = wa__fail(err, WA_IO, "DuckDB refused spooled row %" PRId64 ": %.500s", n, d ? api->error_data_message(d) : "");
        api->destroy_error_data(&d);
        return status;
    }
    b->numbers[b->count++] = n;
    return WA_OK;
}

/* The batch stands in a temporary table as text; the table takes what it does not hold yet. A value that
 * does not cast becomes null rather than block every later merge. */
static wa_status insert(wa_session *s, wa_buf *sql, uint64_t *inserted, wa_error *err)
{
    WA_TRY(wa__buf_printf(sql, err, "INSERT INTO webnn_webgpu_results(id, run_id"));
    for (uint32_t i = 0; i < WA_COLUMN_COUNT; i++)
        if (i != WA_COL_id && i != WA_COL_run_id) WA_TRY(wa__buf_printf(sql, err, ", %s", wa__columns[i].name));
    WA_TRY(wa__buf_printf(sql, err, ") SELECT (SELECT coalesce(max(id), 0) FROM webnn_webgpu_results) + row_number() OVER (ORDER BY n), run_id"));
    for (uint32_t i = 0; i < WA_COLUMN_COUNT; i++)
        if (i != WA_COL_id && i != WA_COL_run_id) WA_TRY(wa__buf_printf(sql, err, ", TRY_CAST(%s AS %s)", wa__columns[i].name, wa__columns[i].sql));
    WA_TRY(wa__buf_printf(sql, err, " FROM temp.spooled b WHERE NOT EXISTS (SELECT 1 FROM webnn_webgpu_results r WHERE r.run_id = b.run_id)"
                                    " RETURNING CAST(id AS VARCHAR)"));
    char **cells = NULL;
    WA_TRY(wa__session_cells(s, sql->ptr, 1, &cells, inserted, err));
    for (uint64_t i = 0; i < *inserted; i++) wa__free(cells[i]);
    wa__free(cells);
    return WA_OK;
}

static wa_status fill(batch *b, sqlite3 *spool, uint32_t *seen, wa_error *err)
{
    wa_duckdb *api = &b->s->api;
    if (api->appender_create_ext(b->s->connection, "temp", "main", "spooled", &b->appender) != DuckDBSuccess) {
        api->appender_destroy(&b->appender);
        return wa__fail(err, WA_IO, "DuckDB gave no appender for the spooled rows");
    }
    wa_status status = wa__spool_each(spool, b->last, BATCH_ROWS, take, b, seen, err);
    if (status == WA_OK && api->appender_flush(b->appender) != DuckDBSuccess) {
        duckdb_error_data d = api->appender_error_data(b->appender);
        status = wa__fail(err, WA_IO, "DuckDB refused the spooled rows: %.500s", d ? api->error_data_message(d) : "");
        api->destroy_error_data(&d);
    }
    api->appender_destroy(&b->appender);
    return status;
}

static wa_status one_batch(batch *b, sqlite3 *spool, uint32_t *seen, wa_merge_report *out, wa_error *err)
{
    uint64_t inserted = 0;
    wa_buf sql;
    wa__buf_init(&sql, 1 << 20);
    b->count = 0;
    wa_status status = wa__buf_printf(&sql, err, "CREATE OR REPLACE TEMP TABLE spooled(n BIGINT, run_id VARCHAR");
    for (uint32_t i = 0; status == WA_OK && i < WA_COLUMN_COUNT; i++)
        if (i != WA_COL_id && i != WA_COL_run_id) status = wa__buf_printf(&sql, err, ", %s VARCHAR", wa__columns[i].name);
    if (status == WA_OK) status = wa__buf_append(&sql, ")", 1, err);
    if (status == WA_OK) status = wa__session_run(b->s, sql.ptr, "making room for spooled rows", err);
    if (status == WA_OK) status = fill(b, spool, seen, err);
    wa__buf_clear(&sql);
    /* One statement is one transaction: it is committed when it returns. */
    if (status == WA_OK && b->count) status = insert(b->s, &sql, &inserted, err);
    if (status == WA_OK && b->count) status = wa__spool_delete(spool, b->numbers, b->count, err);
    wa__buf_done(&sql);
    if (status == WA_OK) {
        out->merged += inserted;
        out->known += b->count - inserted;
    }
    return status;
}

wa_status wa__session_merge(wa_session *s, const char *db, wa_merge_report *out, wa_error *err)
{
    sqlite3 *spool = NULL;
    WA_TRY(wa__spool_open(db, false, &spool, err));
    if (!spool) return WA_OK;
    batch b = {.s = s, .last = -1};
    b.numbers = wa__alloc(BATCH_ROWS, sizeof *b.numbers);
    wa_status status = b.numbers ? WA_OK : wa__no_memory(err, "a batch of rows");
    uint32_t seen = BATCH_ROWS;
    /* Ends even while others append: a batch that was not full was the last. */
    while (status == WA_OK && seen == BATCH_ROWS) status = one_batch(&b, spool, &seen, out, err);
    if (status == WA_OK && out->merged + out->known) sqlite3_wal_checkpoint_v2(spool, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (status == WA_OK) status = wa__spool_count(spool, &out->left, err);
    if (b.foreign) snprintf(out->note, sizeof out->note, "%u spooled rows were written by another version and wait for it", b.foreign);
    wa__free(b.numbers);
    wa__spool_close(spool);
    return status;
}

wa_status wa__results_merge(const char *db, const wa_results_options *o, wa_merge_report *out, wa_error *err)
{
    wa_merge_report report = {0};
    wa_error why = {0};
    double start = wa__os_now_ms();
    WA_TRY(wa__results_spooled(db, &report.left, err));
    if (report.left) {
        wa_session s;
        wa_status status = wa__session_open(db, o, &s, &why);
        if (status == WA_OK) {
            status = wa__session_merge(&s, db, &report, &why);
            wa__session_close(&s);
            if (status != WA_OK) {
                if (err) *err = why;
                return status;
            }
        } else if (status == WA_BUSY || status == WA_NOT_FOUND) {
            snprintf(report.note, sizeof report.note, "%.500s", why.message);
        } else {
            if (err) *err = why;
            return status;
        }
    }
    report.ms = wa__os_now_ms() - start;
    *out = report;
    return WA_OK;
}
