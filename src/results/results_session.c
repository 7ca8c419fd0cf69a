/* One process's turn at the DuckDB file: lock, open, tables, statements. Called by merge and query. */
#include "results/results_int.h"

#define RETRY_MS 20u

static wa_status open_once(wa_session *s, const char *db, wa_error *err)
{
    duckdb_config config = NULL;
    char *message = NULL;
    wa_status status = WA_OK;
    /* Two threads: merges are small, and each thread costs start-up. Extensions are never fetched. */
    static const char *const options[][2] = {
        {"threads", "2"}, {"autoinstall_known_extensions", "false"}, {"autoload_known_extensions", "false"}};
    if (s->api.create_config(&config) != DuckDBSuccess) return wa__no_memory(err, "a DuckDB configuration");
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        (void)s->api.set_config(config, options[i][0], options[i][1]); /* a build without extensions lacks the last two */
    if (s->api.open_ext(db, &s->database, config, &message) != DuckDBSuccess) {
        const char *text = message ? message : "cannot be opened";
        bool held = strstr(text, "Could not set lock") || strstr(text, "Conflicting lock") || strstr(text, "already open");
        status = wa__fail(err, held ? WA_BUSY : WA_IO, "%s: %.600s", db, text);
        s->database = NULL;
    }
    s->api.free(message);
    s->api.destroy_config(&config);
    if (status == WA_OK && s->api.connect(s->database, &s->connection) != DuckDBSuccess) {
        s->connection = NULL;
        status = wa__fail(err, WA_IO, "%s: DuckDB gave no connection", db);
    }
    return status;
}

static wa_status create_table(wa_session *s, wa_buf *sql, wa_error *err)
{
    WA_TRY(wa__buf_printf(sql, err, "CREATE TABLE IF NOT EXISTS webnn_webgpu_results("));
    for (uint32_t i = 0; i < WA_COLUMN_COUNT; i++)
        WA_TRY(wa__buf_printf(sql, err, "%s%s %s%s", i ? ", " : "", wa__columns[i].name, wa__columns[i].sql,
                              i == WA_COL_id ? " PRIMARY KEY" : ""));
    WA_TRY(wa__buf_printf(sql, err,
                          ");CREATE TABLE IF NOT EXISTS browser_connection_metrics(id INTEGER PRIMARY KEY, timestamp TIMESTAMP, "
                          "browser_name VARCHAR, platform VARCHAR, connection_id VARCHAR, connection_duration_sec FLOAT, "
                          "models_executed INTEGER, total_inference_time_sec FLOAT, error_count INTEGER, connection_success BOOLEAN, "
                          "heartbeat_failures INTEGER, browser_version VARCHAR, adapter_info JSON, backend_info JSON);"));
    return wa__session_run(s, sql->ptr, "making the tables", err);
}

static bool is_column(const char *name)
{
    for (uint32_t i = 0; i < WA_COLUMN_COUNT; i++)
        if (strcmp(wa__columns[i].name, name) == 0) return true;
    return false;
}

/* View "results": the table, and each value under its JSON key and the original's result key too.
 * Only runs that gave a result are recorded: hence the original's "status". */
static wa_status create_view(wa_session *s, wa_buf *sql, wa_error *err)
{
    wa__buf_clear(sql);
    WA_TRY(wa__buf_printf(sql, err, "CREATE OR REPLACE VIEW results AS SELECT *, 'success' AS status, "
                                    "CAST(latency_ms AS DOUBLE) / 1000 AS inference_time"));
    for (uint32_t i = 0; i < WA_COLUMN_COUNT; i++) {
        const wa_column *c = &wa__columns[i];
        if (!is_column(c->key)) WA_TRY(wa__buf_printf(sql, err, ", %s AS %s", c->name, c->key));
        if (*c->alias && strcmp(c->alias, c->key) != 0 && !is_column(c->alias))
            WA_TRY(wa__buf_printf(sql, err, ", %s AS %s", c->name, c->alias));
    }
    WA_TRY(wa__buf_printf(sql, err, " FROM webnn_webgpu_results"));
    return wa__session_run(s, sql->ptr, "making the view results", err);
}

/* Adds what an older table lacks. */
static wa_status complete_table(wa_session *s, wa_buf *sql, wa_error *err)
{
    char **cells = NULL;
    uint64_t rows = 0;
    bool changed = false, view = false;
    wa_status status = wa__session_cells(
        s, "SELECT table_name, column_name FROM duckdb_columns() WHERE table_name IN ('webnn_webgpu_results', 'results') "
           "AND schema_name = current_schema() AND database_name = current_database()", 2, &cells, &rows, err);
    for (uint64_t k = 0; status == WA_OK && k < rows; k++) view = view || strcmp(cells[2 * k], "results") == 0;
    for (uint32_t i = 0; status == WA_OK && i < WA_COLUMN_COUNT; i++) {
        bool there = false;
        for (uint64_t k = 0; k < rows && !there; k++)
            there = strcmp(cells[2 * k], "results") != 0 && strcmp(cells[2 * k + 1], wa__columns[i].name) == 0;
        if (there) continue;
        wa__buf_clear(sql);
        status = wa__buf_printf(sql, err, "ALTER TABLE webnn_webgpu_results ADD COLUMN %s %s", wa__columns[i].name, wa__columns[i].sql);
        if (status == WA_OK) status = wa__session_run(s, sql->ptr, "adding a column", err);
        changed = true;
    }
    for (uint64_t i = 0; i < rows * 2; i++) wa__free(cells[i]);
    wa__free(cells);
    if (status == WA_OK && (changed || !view)) status = create_view(s, sql, err);
    return status;
}

static wa_status prepare_tables(wa_session *s, wa_error *err)
{
    wa_buf sql;
    wa__buf_init(&sql, 1 << 20);
    wa_status status = create_table(s, &sql, err);
    if (status == WA_OK) status = complete_table(s, &sql, err);
    wa__buf_done(&sql);
    return status;
}

static void close_database(wa_session *s)
{
    if (s->connection) s->api.disconnect(&s->connection);
    if (s->database) s->api.close(&s->database);
    s->connection = NULL;
    s->database = NULL;
}

/* A process killed while DuckDB writes a new file's first blocks leaves one that nothing opens any more.
 * So a new database is made under another name and moved into place whole. */
static wa_status make_database(wa_session *s, const char *db, wa_error *err)
{
    wa_file_info info;
    WA_TRY(wa__os_stat(db, true, &info, err));
    if (info.kind != WA_FILE_NONE) return WA_OK;
    char *path = wa__format("%s.new", db), *log = wa__format("%s.new.wal", db);
    wa_status status = path && log ? WA_OK : wa__no_memory(err, "a path");
    if (status == WA_OK) status = wa__os_remove(path, err); /* of one that was killed here */
    if (status == WA_OK) status = wa__os_remove(log, err);
    if (status == WA_OK) status = open_once(s, path, err);
    if (status == WA_OK) status = prepare_tables(s, err);
    if (status == WA_OK) status = wa__session_run(s, "CHECKPOINT", "making the database", err);
    close_database(s);
    if (status == WA_OK) status = wa__os_rename(path, db, err);
    wa__free(path);
    wa__free(log);
    return status;
}

wa_status wa__session_open(const char *db, const wa_results_options *o, wa_session *out, wa_error *err)
{
    wa_session s = {0};
    uint32_t wait_ms = o ? o->wait_ms : 0;
    uint64_t end = wa__os_now_ns() + (uint64_t)wait_ms * 1000000u;
    WA_TRY(wa__duckdb_load(o ? o->library : NULL, &s.api, err));
    char *path = wa__format("%s.merge-lock", db);
    if (!path) return wa__no_memory(err, "a path");
    wa_status status = wa__os_lock(path, wait_ms, &s.lock, err);
    wa__free(path);
    if (status != WA_OK) return status;
    s.locked = true;
    status = make_database(&s, db, err);
    while (status == WA_OK) {
        status = open_once(&s, db, err);
        if (status != WA_BUSY || wa__os_now_ns() >= end) break;
        wa__os_sleep_ms(RETRY_MS);
        status = WA_OK;
    }
    if (status == WA_OK) status = prepare_tables(&s, err);
    if (status != WA_OK)
        wa__session_close(&s);
    else
        *out = s;
    return status;
}

void wa__session_close(wa_session *s)
{
    close_database(s);
    if (s->locked) wa__os_unlock(&s->lock);
    s->locked = false;
}

static wa_status run(wa_session *s, const char *sql, const char *what, duckdb_result *result, wa_error *err)
{
    if (s->api.query(s->connection, sql, result) == DuckDBSuccess) return WA_OK;
    const char *text = s->api.result_error(result);
    wa_status status = wa__fail(err, WA_IO, "DuckDB, %s: %.700s", what, text ? text : "failed");
    s->api.destroy_result(result);
    return status;
}

wa_status wa__session_run(wa_session *s, const char *sql, const char *what, wa_error *err)
{
    duckdb_result result;
    WA_TRY(run(s, sql, what, &result, err));
    s->api.destroy_result(&result);
    return WA_OK;
}

typedef struct cell_list {
    char **cells;
    size_t count, cap;
} cell_list;

static wa_status take_chunk(wa_session *s, duckdb_data_chunk chunk, uint32_t columns, cell_list *list, wa_error *err)
{
    size_t rows = (size_t)s->api.data_chunk_get_size(chunk);
    if (!wa__array_reserve((void **)&list->cells, &list->cap, list->count + rows * columns, sizeof *list->cells))
        return wa__no_memory(err, "query results");
    memset(list->cells + list->count, 0, rows * columns * sizeof *list->cells);
    char **at = list->cells + list->count;
    list->count += rows * columns;
    for (uint32_t c = 0; c < columns; c++) {
        duckdb_vector v = s->api.data_chunk_get_vector(chunk, c);
        const duckdb_string_t *strings = s->api.vector_get_data(v);
        uint64_t *validity = s->api.vector_get_validity(v); /* NULL: all valid */
        for (size_t r = 0; r < rows; r++) {
            if (validity && !s->api.validity_row_is_valid(validity, r)) continue;
            uint32_t n = strings[r].value.inlined.length;
            char *copy = wa__strndup(n <= 12 ? strings[r].value.inlined.inlined : strings[r].value.pointer.ptr, n);
            if (!copy) return wa__no_memory(err, "query results");
            at[r * columns + c] = copy;
        }
    }
    return WA_OK;
}

wa_status wa__session_cells(wa_session *s, const char *sql, uint32_t columns, char ***cells, uint64_t *rows, wa_error *err)
{
    duckdb_result result;
    cell_list list = {0};
    WA_TRY(run(s, sql, "reading rows", &result, err));
    wa_status status = WA_OK;
    if (s->api.column_count(&result) != columns) status = wa__fail(err, WA_INTERNAL, "DuckDB gave %u columns, not %u",
                                                                   (unsigned)s->api.column_count(&result), columns);
    while (status == WA_OK) {
        duckdb_data_chunk chunk = s->api.fetch_chunk(result);
        if (!chunk) break;
        status = take_chunk(s, chunk, columns, &list, err);
        s->api.destroy_data_chunk(&chunk);
    }
    s->api.destroy_result(&result);
    if (status != WA_OK) {
        for (size_t i = 0; i < list.count; i++) wa__free(list.cells[i]);
        wa__free(list.cells);
        return status;
    }
    *cells = list.cells;
    *rows = columns ? list.count / columns : 0;
    return WA_OK;
}

wa_status wa__sql_quote(wa_buf *b, const char *text, wa_error *err)
{
    WA_TRY(wa__buf_append(b, "'", 1, err));
    for (; *text; text++) WA_TRY(wa__buf_append(b, *text == '\'' ? "''" : text, *text == '\'' ? 2 : 1, err));
    return wa__buf_append(b, "'", 1, err);
}
