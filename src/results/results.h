/* Records of runs: into a spool that never blocks, from there into DuckDB, and out again.
 *
 *   wa_record ─ append ─▶ <db>.spool (SQLite, WAL) ─ merge, under <db>.merge-lock ─▶ <db> (DuckDB)
 *
 * DuckDB lets one process in at a time, so an append never touches it: rows wait in the spool until a
 * merge gets the lock. A merge inserts the rows whose run_id the table does not hold, commits, and only
 * then deletes them from the spool: killed anywhere in between, the next merge neither loses nor doubles
 * a row. libduckdb.so is opened at run time; without it rows stay spooled and reports say so.
 * All functions may be called from any thread and any number of processes. */
#ifndef WA_RESULTS_H
#define WA_RESULTS_H
#include "base/str.h"

/* One row by column id (WA_COL_*). What was not set is null. */
typedef struct wa_record {
    struct wa_record_value {
        bool set;
        int64_t i; /* also of BOOL */
        double f;
        char *s; /* owned */
    } values[WA_COLUMN_COUNT];
} wa_record;

void wa__record_init(wa_record *r);
void wa__record_done(wa_record *r);
/* Each sets a column of its kind (WA_COLUMN_*; another kind is our bug: WA_INTERNAL). A NULL string and
 * a float that is not finite leave the column null. A JSON text must parse. Strings are copied. */
wa_status wa__record_i64(wa_record *r, wa_column_id c, int64_t v, wa_error *err) WA_MUST_CHECK;
wa_status wa__record_f64(wa_record *r, wa_column_id c, double v, wa_error *err) WA_MUST_CHECK;
wa_status wa__record_bool(wa_record *r, wa_column_id c, bool v, wa_error *err) WA_MUST_CHECK;
wa_status wa__record_str(wa_record *r, wa_column_id c, const char *v, wa_error *err) WA_MUST_CHECK;
/* Appends the record as a JSON object: keys are the schema's JSON keys, or column names with columns
 * true; nulls are written only with nulls true. */
wa_status wa__record_json(const wa_record *r, bool columns, bool nulls, wa_buf *out, wa_error *err) WA_MUST_CHECK;

/* $BENCHMARK_DB_PATH, else $WEBACCEL_HOME/results.duckdb; wa__free it. NULL when out of memory. */
char *wa__results_path(void);

/* Writes one row to the spool. Fills timestamp, run_id, host and version in r where they are null.
 * Makes the folder and the spool where absent. Waits for other writers, for at most 30 s. */
wa_status wa__results_append(const char *db, wa_record *r, wa_error *err) WA_MUST_CHECK;
/* Rows waiting in the spool. */
wa_status wa__results_spooled(const char *db, uint64_t *count, wa_error *err) WA_MUST_CHECK;

typedef struct wa_results_options {
    uint32_t wait_ms;    /* for a lock that another process holds; 0: try once */
    const char *library; /* path of libduckdb.so; NULL: $WEBACCEL_DUCKDB, beside the executable, the build's, the system's */
} wa_results_options;

typedef struct wa_merge_report {
    uint64_t merged, known, left; /* rows new in the table, in it already, still in the spool */
    double ms;
    char note[512]; /* why rows are left; empty when none are */
} wa_merge_report;
/* WA_OK with left > 0 and a note when the database is held elsewhere or there is no libduckdb. */
wa_status wa__results_merge(const char *db, const wa_results_options *o, wa_merge_report *out, wa_error *err) WA_MUST_CHECK;

typedef struct wa_results_filter { /* all optional */
    const char *model;   /* part of the model's name, any case, or its whole CID */
    const char *target;  /* cpu, webgpu, webnn */
    const char *browser;
    const char *since;   /* ISO date or time in UTC, or an age: 90s 15m 24h 7d 2w */
    uint64_t limit;      /* the newest so many; 0: all */
} wa_results_filter;

typedef struct wa_results_rows {
    uint64_t row_count;
    uint32_t column_count;
    const wa_column *columns; /* the schema's, in its order */
    char **cells;             /* row_count * column_count, NULL for null; owned */
} wa_results_rows;
void wa__results_rows_done(wa_results_rows *rows);

/* Merges, then lists the matching rows, newest first. report may be NULL. WA_BUSY when another process
 * holds the database longer than wait_ms, WA_NOT_FOUND without libduckdb. */
wa_status wa__results_query(const char *db, const wa_results_filter *f, const wa_results_options *o,
                            wa_results_rows *out, wa_merge_report *report, wa_error *err) WA_MUST_CHECK;
/* Whether libduckdb.so can be opened (NULL: where it is looked for). */
bool wa__results_available(const char *library);
/* A JSON array of objects with the schema's JSON keys. */
wa_status wa__results_rows_json(const wa_results_rows *rows, wa_buf *out, wa_error *err) WA_MUST_CHECK;

typedef enum wa_export_format { WA_EXPORT_CSV, WA_EXPORT_JSON, WA_EXPORT_PARQUET } wa_export_format;
/* By the path's ending; WA_INVALID_ARGUMENT for another. */
wa_status wa__results_format(const char *path, wa_export_format *out, wa_error *err) WA_MUST_CHECK;
/* Merges, then writes the matching rows (column names as in the table) to path. */
wa_status wa__results_export(const char *db, const wa_results_filter *f, const wa_results_options *o,
                             wa_export_format format, const char *path, uint64_t *rows, wa_error *err) WA_MUST_CHECK;

#endif
