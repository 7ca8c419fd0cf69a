/* Filters in, rows or files out. Called by api for the command `results` and the Python binding. */
#include "results/results_int.h"
#include <inttypes.h>
#include <time.h>

/* "7d" → the UTC time so long ago. */
static bool age(const char *text, char out[32])
{
    static const struct { char unit; uint32_t seconds; } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    size_t n = strlen(text);
    uint64_t count;
    if (n < 2 || !wa__parse_u64((wa_str){text, n - 1}, &count) || count > 1000000000u) return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (units[i].unit != text[n - 1]) continue;
        time_t at = time(NULL) - (time_t)(count * units[i].seconds);
        struct tm tm;
        if (!gmtime_r(&at, &tm)) return false;
        return strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm) > 0;
    }
    return false;
}

static wa_status put_equal(wa_buf *b, const char *column, const char *value, wa_error *err)
{
    if (!value) return WA_OK;
    WA_TRY(wa__buf_printf(b, err, " AND lower(%s) = lower(", column));
    WA_TRY(wa__sql_quote(b, value, err));
    return wa__buf_append(b, ")", 1, err);
}

/* " FROM ... WHERE ... ORDER BY ... LIMIT ..." */
static wa_status put_filter(wa_buf *b, const wa_results_filter *f, wa_error *err)
{
    static const wa_results_filter none = {0};
    if (!f) f = &none;
    WA_TRY(wa__buf_printf(b, err, " FROM webnn_webgpu_results WHERE true"));
    if (f->model) {
        WA_TRY(wa__buf_printf(b, err, " AND (contains(lower(model_name), lower("));
        WA_TRY(wa__sql_quote(b, f->model, err));
        WA_TRY(wa__buf_printf(b, err, ")) OR model_cid = "));
        WA_TRY(wa__sql_quote(b, f->model, err));
        WA_TRY(wa__buf_append(b, ")", 1, err));
    }
    WA_TRY(put_equal(b, "platform", f->target, err));
    WA_TRY(put_equal(b, "browser", f->browser, err));
    if (f->since) {
        char at[32];
        WA_TRY(wa__buf_printf(b, err, " AND timestamp >= CAST("));
        WA_TRY(wa__sql_quote(b, age(f->since, at) ? at : f->since, err));
        WA_TRY(wa__buf_printf(b, err, " AS TIMESTAMP)"));
    }
    WA_TRY(wa__buf_printf(b, err, " ORDER BY timestamp DESC NULLS LAST, id DESC"));
    if (f->limit) WA_TRY(wa__buf_printf(b, err, " LIMIT %" PRIu64, f->limit));
    return WA_OK;
}

static wa_status check_filter(wa_session *s, const wa_results_filter *f, wa_error *err)
{
    char at[32], **cells = NULL;
    uint64_t rows = 0;
    if (!f || !f->since || age(f->since, at)) return WA_OK;
    wa_buf sql;
    wa__buf_init(&sql, 1 << 16);
    wa_status status = wa__buf_printf(&sql, err, "SELECT CAST(TRY_CAST(");
    if (status == WA_OK) status = wa__sql_quote(&sql, f->since, err);
    if (status == WA_OK) status = wa__buf_printf(&sql, err, " AS TIMESTAMP) AS VARCHAR)");
    if (status == WA_OK) status = wa__session_cells(s, sql.ptr, 1, &cells, &rows, err);
    if (status == WA_OK && (rows != 1 || !cells[0]))
        status = wa__fail(err, WA_INVALID_ARGUMENT, "since \"%.60s\" is neither a date like 2026-01-31, nor a time like "
                                                    "2026-01-31T12:00:00, nor an age like 24h or 7d", f->since);
    for (uint64_t i = 0; i < rows; i++) wa__free(cells[i]);
    wa__free(cells);
    wa__buf_done(&sql);
    return status;
}

/* Nothing was ever recorded: an empty answer, and no file made. */
static bool nothing(const char *db)
{
    wa_file_info table = {0}, spool = {0};
    char *path = wa__format("%s.spool", db);
    bool absent = path && wa__os_stat(db, true, &table, NULL) == WA_OK && table.kind == WA_FILE_NONE &&
                  wa__os_stat(path, true, &spool, NULL) == WA_OK && spool.kind == WA_FILE_NONE;
    wa__free(path);
    return absent;
}

static wa_status open_merged(const char *db, const wa_results_options *o, wa_session *s, wa_merge_report *report, wa_error *err)
{
    wa_merge_report r = {0};
    double start = wa__os_now_ms();
    WA_TRY(wa__session_open(db, o, s, err));
    wa_status status = wa__session_merge(s, db, &r, err);
    r.ms = wa__os_now_ms() - start;
    if (report) *report = r;
    if (status != WA_OK) wa__session_close(s);
    return status;
}

static wa_status select_rows(wa_session *s, const wa_results_filter *f, wa_results_rows *out, wa_error *err)
{
    wa_buf sql;
    wa__buf_init(&sql, 1 << 20);
    wa_status status = check_filter(s, f, err);
    if (status == WA_OK) status = wa__buf_append(&sql, "SELECT ", 7, err);
    for (uint32_t i = 0; status == WA_OK && i < WA_COLUMN_COUNT; i++) {
        const char *comma = i ? ", " : "", *name = wa__columns[i].name;
        status = i == WA_COL_timestamp ? wa__buf_printf(&sql, err, "%sstrftime(%s, '%%Y-%%m-%%dT%%H:%%M:%%S.%%gZ')", comma, name)
                                       : wa__buf_printf(&sql, err, "%sCAST(%s AS VARCHAR)", comma, name);
    }
    if (status == WA_OK) status = put_filter(&sql, f, err);
    char **cells = NULL;
    uint64_t rows = 0;
    if (status == WA_OK) status = wa__session_cells(s, sql.ptr, WA_COLUMN_COUNT, &cells, &rows, err);
    if (status == WA_OK) *out = (wa_results_rows){rows, WA_COLUMN_COUNT, wa__columns, cells};
    wa__buf_done(&sql);
    return status;
}

wa_status wa__results_query(const char *db, const wa_results_filter *f, const wa_results_options *o,
                            wa_results_rows *out, wa_merge_report *report, wa_error *err)
{
    wa_session s;
    if (nothing(db)) {
        if (report) memset(report, 0, sizeof *report);
        *out = (wa_results_rows){0, WA_COLUMN_COUNT, wa__columns, NULL};
        return WA_OK;
    }
    WA_TRY(open_merged(db, o, &s, report, err));
    wa_status status = select_rows(&s, f, out, err);
    wa__session_close(&s);
    return status;
}

wa_status wa__results_format(const char *path, wa_export_format *out, wa_error *err)
{
    static const char *const endings[] = {".csv", ".json", ".parquet"};
    for (int i = 0; i < 3; i++) {
        if (!wa__str_ends(wa__str(path), endings[i])) continue;
        *out = (wa_export_format)i;
        return WA_OK;
    }
    return wa__fail(err, WA_INVALID_ARGUMENT, "%s: the ending says no format; use .csv, .json or .parquet", path);
}

static wa_status copy(wa_session *s, const wa_results_filter *f, wa_export_format format, const char *path, uint64_t *count, wa_error *err)
{
    static const char *const formats[] = {"FORMAT csv, HEADER", "FORMAT json, ARRAY true", "FORMAT parquet"};
    wa_buf sql;
    wa__buf_init(&sql, 1 << 20);
    char **cells = NULL;
    uint64_t rows = 0;
    wa_status status = check_filter(s, f, err);
    if (status == WA_OK) status = wa__buf_printf(&sql, err, "CREATE OR REPLACE TEMP TABLE exported AS SELECT *");
    if (status == WA_OK) status = put_filter(&sql, f, err);
    if (status == WA_OK) status = wa__session_run(s, sql.ptr, "selecting the rows", err);
    if (status == WA_OK) status = wa__session_cells(s, "SELECT CAST(count(*) AS VARCHAR) FROM temp.exported", 1, &cells, &rows, err);
    if (status == WA_OK && (rows != 1 || !cells[0] || !wa__parse_u64(wa__str(cells[0]), count)))
        status = wa__fail(err, WA_INTERNAL, "DuckDB did not count the rows");
    for (uint64_t i = 0; i < rows; i++) wa__free(cells[i]);
    wa__free(cells);
    wa__buf_clear(&sql);
    if (status == WA_OK) status = wa__buf_printf(&sql, err, "COPY temp.exported TO ");
    if (status == WA_OK) status = wa__sql_quote(&sql, path, err);
    if (status == WA_OK) status = wa__buf_printf(&sql, err, " (%s)", formats[format]);
    if (status == WA_OK) status = wa__session_run(s, sql.ptr, "writing the export", err);
    wa__buf_done(&sql);
    return status;
}

wa_status wa__results_export(const char *db, const wa_results_filter *f, const wa_results_options *o,
                             wa_export_format format, const char *path, uint64_t *rows, wa_error *err)
{
    wa_session s;
    if (nothing(db)) return wa__fail(err, WA_NOT_FOUND, "%s: no run was ever recorded there; nothing to export", db);
    WA_TRY(open_merged(db, o, &s, NULL, err));
    wa_status status = copy(&s, f, format, path, rows, err);
    wa__session_close(&s);
    return status;
}
