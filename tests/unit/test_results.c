/* Records through the spool into DuckDB and out again: many processes, kills, a foreign holder, exports.
 * Processes are forked before this one loads DuckDB itself, so the tests' order matters. */
#include "base/os.h"
#include "results/results_int.h"
#include "tests.h"
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const wa_results_options patient = {60000, NULL};
static char *folder, *db;
static volatile uint32_t *appended; /* shared with the workers: appends that returned */

static int fresh(void **state)
{
    (void)state;
    wa_error err = {0};
    if (wa__os_temp_dir("/tmp", "wa-results-", &folder, &err) != WA_OK) return -1;
    db = wa__path_join(folder, "deep/er/results.duckdb");
    return db ? 0 : -1;
}

static int clean(void **state)
{
    (void)state;
    wa_error err = {0};
    int bad = wa__os_remove_tree(folder, &err) != WA_OK;
    wa__free(folder);
    wa__free(db);
    return bad;
}

static bool no_duckdb(const char *test)
{
    pid_t pid = fork(); /* a child loads it, so that this process has no DuckDB threads when it forks */
    if (pid == 0) {
        wa_duckdb api;
        _exit(wa__duckdb_load(NULL, &api, NULL) == WA_OK ? 0 : 1);
    }
    int status = 1;
    waitpid(pid, &status, 0);
    if (status) print_message("SKIPPED %s: no libduckdb.so; run make deps\n", test);
    return status != 0;
}

static wa_status append(const char *model, int64_t batch, wa_error *err)
{
    wa_record r;
    wa__record_init(&r);
    wa_status s = wa__record_str(&r, WA_COL_model_name, model, err);
    if (s == WA_OK) s = wa__record_str(&r, WA_COL_platform, "cpu", err);
    if (s == WA_OK) s = wa__record_i64(&r, WA_COL_batch, batch, err);
    if (s == WA_OK) s = wa__record_f64(&r, WA_COL_latency_ms, 1.5, err);
    if (s == WA_OK) s = wa__record_bool(&r, WA_COL_is_simulation, false, err);
    if (s == WA_OK) s = wa__record_str(&r, WA_COL_details, "{\"a\": [1, \"it's\"]}", err);
    if (s == WA_OK) s = wa__results_append(db, &r, err);
    wa__record_done(&r);
    return s;
}

/* In a child: `rows` appends, a merge after every `each`. Ends with 0 when all went well. */
static pid_t worker(int who, int rows, int each)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid) return pid;
    wa_error err = {0};
    char model[32];
    snprintf(model, sizeof model, "worker-%d", who);
    for (int i = 0; i < rows; i++) {
        wa_merge_report report;
        wa_status s = append(model, i, &err);
        if (s == WA_OK) __atomic_fetch_add(appended, 1, __ATOMIC_SEQ_CST);
        if (s == WA_OK && i % each == each - 1) s = wa__results_merge(db, &(wa_results_options){200, NULL}, &report, &err);
        if (s != WA_OK) {
            fprintf(stderr, "worker %d, row %d: status %d: %s\n", who, i, s, err.message);
            _exit(1);
        }
    }
    _exit(0);
}

/* In a child: merges, then checks count, ids and that no (worker, row) stands twice. */
static void check_rows(uint64_t least, uint64_t most)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        wa_error err = {0};
        wa_results_rows rows = {0};
        wa_merge_report report = {0};
        if (wa__results_query(db, NULL, &patient, &rows, &report, &err) != WA_OK) {
            fprintf(stderr, "%s\n", err.message);
            _exit(1);
        }
        bool *ids = wa__alloc(rows.row_count + 1, 1);
        int bad = rows.row_count < least || rows.row_count > most || report.left != 0;
        if (bad) fprintf(stderr, "%llu rows, %llu left in the spool; expected %llu to %llu and 0\n", (unsigned long long)rows.row_count,
                         (unsigned long long)report.left, (unsigned long long)least, (unsigned long long)most);
        for (uint64_t i = 0; i < rows.row_count && !bad; i++) {
            uint64_t id = 0;
            char **row = rows.cells + i * rows.column_count;
            if (!wa__parse_u64(wa__str(row[WA_COL_id]), &id) || id < 1 || id > rows.row_count || ids[id]) {
                fprintf(stderr, "id %s is not unique in [1, %llu]\n", row[WA_COL_id], (unsigned long long)rows.row_count);
                bad = 1;
            } else {
                ids[id] = true;
            }
            for (uint64_t k = 0; k < i && !bad; k++) {
                char **other = rows.cells + k * rows.column_count;
                bad = strcmp(row[WA_COL_run_id], other[WA_COL_run_id]) == 0 ||
                      (strcmp(row[WA_COL_model_name], other[WA_COL_model_name]) == 0 && strcmp(row[WA_COL_batch], other[WA_COL_batch]) == 0);
                if (bad) fprintf(stderr, "%s row %s stands twice\n", row[WA_COL_model_name], row[WA_COL_batch]);
            }
        }
        _exit(bad);
    }
    int status = 1;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
}

static void test_many_processes(void **state)
{
    (void)state;
    if (no_duckdb(__func__)) skip();
    pid_t pids[8];
    for (int i = 0; i < 8; i++) pids[i] = worker(i, 50, 10);
    for (int i = 0; i < 8; i++) {
        int status = 1;
        waitpid(pids[i], &status, 0);
        assert_int_equal(status, 0);
    }
    check_rows(400, 400);
}

/* SIGKILL at seeded moments; an append that returned stands exactly once, whatever was cut off. */
static void test_kills(void **state)
{
    (void)state;
    if (no_duckdb(__func__)) skip();
    uint32_t seed = 7, before = *appended;
    int kills = 0;
    for (int i = 0; i < 12; i++) {
        pid_t pid = worker(100 + i, 1000, 2);
        seed = seed * 1664525u + 1013904223u;
        wa__os_sleep_ms(40 + (seed >> 16) % 180);
        kill(pid, SIGKILL);
        int status = 0;
        waitpid(pid, &status, 0);
        kills += WIFSIGNALED(status);
    }
    assert_int_equal(kills, 12);
    uint32_t sure = *appended - before; /* and at most one each that was written but not counted */
    check_rows(sure, sure + 12);
}

/* Killed between DuckDB's commit and the spool's delete: the rows are in both. */
static void test_committed_not_deleted(void **state)
{
    (void)state;
    if (no_duckdb(__func__)) skip();
    wa_error err = {0};
    for (int i = 0; i < 5; i++) assert_ok(append("again", i, &err), err);
    char *spool = wa__format("%s.spool", db), *keep = wa__format("%s/keep", folder);
    sqlite3 *s = NULL;
    assert_int_equal(sqlite3_open(spool, &s), SQLITE_OK);
    char *sql = wa__format("VACUUM INTO '%s'", keep);
    assert_int_equal(sqlite3_exec(s, sql, NULL, NULL, NULL), SQLITE_OK);
    check_rows(5, 5);
    wa__free(sql);
    sql = wa__format("ATTACH '%s' AS keep; INSERT INTO spool SELECT * FROM keep.spool", keep);
    assert_int_equal(sqlite3_exec(s, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(s);
    uint64_t count = 0;
    assert_ok(wa__results_spooled(db, &count, &err), err);
    assert_int_equal(count, 5);
    check_rows(5, 5);
    assert_ok(wa__results_spooled(db, &count, &err), err);
    assert_int_equal(count, 0);
    wa__free(sql);
    wa__free(spool);
    wa__free(keep);
}

/* Another program holds the DuckDB file open: rows wait, the report says why, and they come in later. */
static void test_held_elsewhere(void **state)
{
    (void)state;
    if (no_duckdb(__func__)) skip();
    wa_error err = {0};
    int ready[2], done[2];
    assert_int_equal(pipe(ready) | pipe(done), 0);
    assert_ok(append("held", 0, &err), err);
    fflush(NULL);
    pid_t holder = fork();
    if (holder == 0) { /* as a foreign program would: without our merge lock */
        wa_duckdb api;
        duckdb_database d = NULL;
        char *message = NULL, byte = wa__duckdb_load(NULL, &api, NULL) != WA_OK || api.open_ext(db, &d, NULL, &message) != DuckDBSuccess;
        if (write(ready[1], &byte, 1) != 1 || read(done[0], &byte, 1) < 0) _exit(1);
        api.close(&d);
        _exit(0);
    }
    char byte = 1;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 0);
    fflush(NULL);
    pid_t other = fork();
    if (other == 0) {
        wa_merge_report r = {0};
        wa_results_rows rows = {0};
        double start = wa__os_now_ms();
        bool good = wa__results_merge(db, &(wa_results_options){150, NULL}, &r, &err) == WA_OK && r.left == 1 && r.merged == 0 && strstr(r.note, "lock");
        double waited = wa__os_now_ms() - start;
        good = good && waited > 100 && waited < 5000 && append("held", 1, &err) == WA_OK;
        good = good && wa__results_query(db, NULL, &(wa_results_options){0, NULL}, &rows, NULL, &err) == WA_BUSY;
        if (!good) fprintf(stderr, "left %d, merged %d, waited %.0f ms, note \"%s\", error \"%s\"\n", (int)r.left, (int)r.merged, waited, r.note, err.message);
        _exit(!good);
    }
    int status = 1;
    waitpid(other, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(write(done[1], "x", 1), 1);
    waitpid(holder, &status, 0);
    assert_int_equal(status, 0);
    check_rows(2, 2);
    close(ready[0]), close(ready[1]), close(done[0]), close(done[1]);
}

/* No libduckdb at all: appends and merges still succeed. */
static void test_no_library(void **state)
{
    (void)state;
    wa_error err = {0};
    wa_merge_report r = {0};
    uint64_t count = 0;
    assert_ok(append("a", 1, &err), err);
    assert_ok(wa__results_merge(db, &(wa_results_options){0, "/nowhere/libduckdb.so"}, &r, &err), err);
    assert_int_equal(r.left, 1);
    assert_non_null(strstr(r.note, "/nowhere/libduckdb.so"));
    assert_ok(wa__results_spooled(db, &count, &err), err);
    assert_int_equal(count, 1);
    wa_results_rows rows = {0};
    assert_int_equal(wa__results_query(db, NULL, &(wa_results_options){0, "/nowhere/libduckdb.so"}, &rows, &r, &err), WA_NOT_FOUND);
}

static void test_record(void **state)
{
    (void)state;
    wa_error err = {0};
    wa_record r;
    wa_buf b;
    wa__record_init(&r);
    wa__buf_init(&b, 1 << 20);
    assert_ok(wa__record_str(&r, WA_COL_platform, "cpu", &err), err);
    assert_ok(wa__record_str(&r, WA_COL_model_name, "a\"\\\n\xc3\xa9", &err), err);
    assert_ok(wa__record_f64(&r, WA_COL_latency_ms, 0.1, &err), err);
    assert_ok(wa__record_f64(&r, WA_COL_gpu_ms, NAN, &err), err);
    assert_ok(wa__record_str(&r, WA_COL_adapter_info, "{\"vendor\":\"x\"}", &err), err);
    assert_ok(wa__record_str(&r, WA_COL_browser, NULL, &err), err);
    assert_int_equal(wa__record_str(&r, WA_COL_details, "{oops", &err), WA_INVALID_ARGUMENT);
    assert_int_equal(wa__record_str(&r, WA_COL_browser, "\xff", &err), WA_INVALID_ARGUMENT);
    assert_int_equal(wa__record_i64(&r, WA_COL_browser, 1, &err), WA_INTERNAL);
    assert_ok(wa__record_json(&r, false, false, &b, &err), err);
    assert_string_equal(b.ptr, "{\"model_name\":\"a\\\"\\\\\\u000a\xc3\xa9\",\"target\":\"cpu\",\"latency_ms\":0.10000000000000001,\"adapter\":{\"vendor\":\"x\"}}");
    wa__buf_clear(&b);
    assert_ok(wa__record_json(&r, false, true, &b, &err), err);
    json_t *j = json_loads(b.ptr, JSON_REJECT_DUPLICATES, NULL);
    assert_int_equal(json_object_size(j), WA_COLUMN_COUNT);
    assert_true(json_is_null(json_object_get(j, "gpu_ms")));
    json_decref(j);
    wa__buf_done(&b);
    wa__record_done(&r);
}

/* --- from here on this process loads DuckDB itself ---------------------------------------------- */

static char *cell(const wa_results_rows *rows, uint64_t row, wa_column_id c) { return rows->cells[row * rows->column_count + c]; }

static void query(const wa_results_filter *f, uint64_t expected)
{
    wa_error err = {0};
    wa_results_rows rows = {0};
    assert_ok(wa__results_query(db, f, &patient, &rows, NULL, &err), err);
    assert_int_equal(rows.row_count, expected);
    wa__results_rows_done(&rows);
}

static void test_query(void **state)
{
    (void)state;
    if (no_duckdb(__func__)) skip();
    wa_error err = {0};
    wa_results_rows rows = {0};
    query(NULL, 0); /* nothing there: no file is made */
    wa_file_info info = {0};
    assert_ok(wa__os_stat(db, true, &info, &err), err);
    assert_int_equal(info.kind, WA_FILE_NONE);
    assert_ok(append("All-MiniLM 'x'", 3, &err), err);
    wa_record r;
    wa__record_init(&r);
    assert_ok(wa__record_str(&r, WA_COL_model_cid, "bafyabc", &err), err);
    assert_ok(wa__record_str(&r, WA_COL_browser, "firefox", &err), err);
    assert_ok(wa__record_str(&r, WA_COL_timestamp, "2020-02-03T04:05:06.789Z", &err), err);
    assert_ok(wa__results_append(db, &r, &err), err);
    wa__record_done(&r);
    assert_ok(wa__results_query(db, NULL, &patient, &rows, NULL, &err), err);
    assert_int_equal(rows.row_count, 2);
    assert_string_equal(cell(&rows, 0, WA_COL_id), "1");
    assert_string_equal(cell(&rows, 0, WA_COL_model_name), "All-MiniLM 'x'");
    assert_string_equal(cell(&rows, 0, WA_COL_is_simulation), "false");
    assert_string_equal(cell(&rows, 0, WA_COL_latency_ms), "1.5");
    assert_string_equal(cell(&rows, 0, WA_COL_version), WA_VERSION);
    assert_null(cell(&rows, 0, WA_COL_browser));
    assert_null(cell(&rows, 0, WA_COL_gpu_ms));
    assert_null(cell(&rows, 1, WA_COL_model_name));
    assert_string_equal(cell(&rows, 1, WA_COL_timestamp), "2020-02-03T04:05:06.789Z");
    wa_buf b;
    wa__buf_init(&b, 1 << 20);
    assert_ok(wa__results_rows_json(&rows, &b, &err), err);
    json_error_t e;
    json_t *j = json_loads(b.ptr, JSON_REJECT_DUPLICATES, &e);
    if (!j) fail_msg("%s: %s", e.text, b.ptr);
    assert_int_equal(json_array_size(j), 2);
    assert_string_equal(json_string_value(json_array_get(json_object_get(json_object_get(json_array_get(j, 0), "details"), "a"), 1)), "it's");
    json_decref(j);
    wa__buf_done(&b);
    wa__results_rows_done(&rows);
    query(&(wa_results_filter){.model = "minilm 'X"}, 1);
    query(&(wa_results_filter){.model = "bafyabc"}, 1);
    query(&(wa_results_filter){.model = "' OR 1=1 --"}, 0);
    query(&(wa_results_filter){.browser = "Firefox"}, 1);
    query(&(wa_results_filter){.target = "cpu"}, 1);
    query(&(wa_results_filter){.since = "1h"}, 1);
    query(&(wa_results_filter){.since = "2020-01-01"}, 2);
    query(&(wa_results_filter){.limit = 1}, 1);
    assert_int_equal(wa__results_query(db, &(wa_results_filter){.since = "soon"}, &patient, &rows, NULL, &err), WA_INVALID_ARGUMENT);
}

static void sql(wa_session *s, const char *text, const char *expected)
{
    wa_error err = {0};
    char **cells = NULL;
    uint64_t rows = 0;
    assert_ok(wa__session_cells(s, text, 1, &cells, &rows, &err), err);
    assert_int_equal(rows, 1);
    if (!cells[0] || strcmp(cells[0], expected) != 0) fail_msg("%s gives %s, not %s", text, cells[0] ? cells[0] : "null", expected);
    wa__free(cells[0]);
    wa__free(cells);
}

/* Each format is read back by DuckDB; nulls are nulls. */
static void test_export(void **state)
{
    (void)state;
    if (no_duckdb(__func__)) skip();
    wa_error err = {0};
    for (int i = 0; i < 3; i++) assert_ok(append("it's, \"quoted\"\nname", i, &err), err);
    static const char *const names[] = {"o'ut.csv", "out.json", "out.parquet"};
    for (int i = 0; i < 3; i++) {
        char *path = wa__path_join(folder, names[i]), *text;
        uint64_t rows = 0;
        wa_export_format format;
        wa_session s;
        assert_ok(wa__results_format(path, &format, &err), err);
        assert_ok(wa__results_export(db, NULL, &patient, format, path, &rows, &err), err);
        assert_int_equal(rows, 3);
        assert_ok(wa__session_open(db, &patient, &s, &err), err);
        wa_buf q;
        wa__buf_init(&q, 4096);
        assert_ok(wa__sql_quote(&q, path, &err), err);
        text = wa__format("SELECT CAST(count(*) || ' ' || count(gpu_ms) || ' ' || count(browser) || ' ' || sum(batch) || ' ' || min(model_name) AS VARCHAR) FROM %s", q.ptr);
        sql(&s, text, "3 0 0 3 it's, \"quoted\"\nname");
        wa__session_close(&s);
        wa__free(text);
        wa__free(path);
        wa__buf_done(&q);
    }
    wa_export_format format;
    assert_int_equal(wa__results_format("x.xlsx", &format, &err), WA_INVALID_ARGUMENT);
}

/* A table of the original (no columns of ours) gains them and keeps its rows; both key sets work. */
static void test_older_table(void **state)
{
    (void)state;
    if (no_duckdb(__func__)) skip();
    wa_error err = {0};
    wa_duckdb api;
    duckdb_database d = NULL;
    duckdb_connection c = NULL;
    duckdb_result r;
    assert_ok(append("new", 5, &err), err); /* makes the folder */
    assert_ok(wa__duckdb_load(NULL, &api, &err), err);
    assert_int_equal(api.open_ext(db, &d, NULL, NULL), DuckDBSuccess);
    assert_int_equal(api.connect(d, &c), DuckDBSuccess);
    assert_int_equal(api.query(c, "CREATE TABLE webnn_webgpu_results(id INTEGER PRIMARY KEY, timestamp TIMESTAMP, model_name VARCHAR, platform VARCHAR, "
                                  "latency_ms FLOAT);INSERT INTO webnn_webgpu_results VALUES(41, TIMESTAMP '2024-01-01', 'old', 'webgpu', 2)", &r), DuckDBSuccess);
    api.destroy_result(&r);
    api.disconnect(&c);
    api.close(&d);
    query(NULL, 2);
    wa_session s;
    assert_ok(wa__session_open(db, &patient, &s, &err), err);
    sql(&s, "SELECT CAST(id || model_name || batch AS VARCHAR) FROM webnn_webgpu_results WHERE batch = 5", "42new5");
    sql(&s, "SELECT CAST(target || inference_time || coalesce(cid, 'null') || status AS VARCHAR) FROM results WHERE id = 41", "webgpu0.002nullsuccess");
    sql(&s, "SELECT CAST(count(*) AS VARCHAR) FROM browser_connection_metrics", "0");
    sql(&s, "SELECT CAST(is_simulation || simulated || (details->>'$.a[1]') AS VARCHAR) FROM results WHERE id = 42", "falsefalseit's");
    wa__session_close(&s);
}

/* A row of a newer version waits for it; a value that does not cast becomes null and blocks nothing. */
static void test_foreign_rows(void **state)
{
    (void)state;
    if (no_duckdb(__func__)) skip();
    wa_error err = {0};
    assert_ok(append("now", 1, &err), err);
    sqlite3 *s = NULL;
    assert_ok(wa__spool_open(db, false, &s, &err), err);
    assert_int_equal(sqlite3_exec(s, "INSERT INTO spool(run_id, row) VALUES('f', '{\"model_name\":\"x\",\"from_the_future\":1}'), ('g', 'not json'), "
                                     "('h', '{\"model_name\":\"h\",\"timestamp\":\"not a time\",\"batch\":\"many\"}')", NULL, NULL, NULL), SQLITE_OK);
    wa__spool_close(s);
    wa_merge_report r = {0};
    assert_ok(wa__results_merge(db, &patient, &r, &err), err);
    assert_int_equal(r.merged, 2);
    assert_int_equal(r.left, 2);
    assert_non_null(strstr(r.note, "another version"));
    query(&(wa_results_filter){.model = "h"}, 1);
}

static void test_cost(void **state)
{
    (void)state;
    if (no_duckdb(__func__)) skip();
    wa_error err = {0};
    wa_merge_report r = {0};
    double start = wa__os_now_ms();
    assert_ok(append("cost", 0, &err), err);
    double first = wa__os_now_ms() - start;
    start = wa__os_now_ms();
    for (int i = 1; i < 101; i++) assert_ok(append("cost", i, &err), err);
    double each = (wa__os_now_ms() - start) / 100;
    assert_ok(wa__results_merge(db, &patient, &r, &err), err);
    assert_int_equal(r.merged, 101);
    double many = r.ms;
    assert_ok(append("cost", 101, &err), err);
    assert_ok(wa__results_merge(db, &patient, &r, &err), err);
    print_message("append: first %.1f ms, then %.2f ms; merge: 101 rows into a new file %.0f ms, 1 row %.0f ms\n", first, each, many, r.ms);
}

int main(void)
{
#define WA_TEST(f) cmocka_unit_test_setup_teardown(f, fresh, clean)
    appended = mmap(NULL, sizeof *appended, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (appended == MAP_FAILED) return 1;
    const struct CMUnitTest tests[] = {
        WA_TEST(test_many_processes), WA_TEST(test_kills), WA_TEST(test_committed_not_deleted), WA_TEST(test_held_elsewhere), WA_TEST(test_no_library),
        WA_TEST(test_record), WA_TEST(test_query), WA_TEST(test_export), WA_TEST(test_older_table), WA_TEST(test_foreign_rows), WA_TEST(test_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
