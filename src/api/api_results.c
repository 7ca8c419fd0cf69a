/* Rows in and out: a result's record into the spool; queries and exports of the database. */
#include "api_int.h"
#include "base/log.h"
#include <stdlib.h>

static wa_status set_column(wa_record *rec, uint32_t c, const json_t *v, wa_error *err)
{
    wa_column_id id = (wa_column_id)c;
    switch (wa__columns[c].kind) {
    case WA_COLUMN_I64: return json_is_integer(v) ? wa__record_i64(rec, id, json_integer_value(v), err) : WA_OK;
    case WA_COLUMN_F64: return json_is_number(v) ? wa__record_f64(rec, id, json_number_value(v), err) : WA_OK;
    case WA_COLUMN_BOOL: return json_is_boolean(v) ? wa__record_bool(rec, id, json_is_true(v), err) : WA_OK;
    case WA_COLUMN_STR: return json_is_string(v) ? wa__record_str(rec, id, json_string_value(v), err) : WA_OK;
    case WA_COLUMN_JSON: break;
    }
    if (!v || json_is_null(v)) return WA_OK;
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text) return wa__no_memory(err, "a record");
    wa_status s = wa__record_str(rec, id, text, err);
    free(text);
    return s;
}

void api_result_store(wa_accelerator *a, const wa_result *r)
{
    wa_record rec;
    wa_error err = {0};
    wa_status s = WA_OK;
    wa__record_init(&rec);
    for (uint32_t c = 0; c < WA_COLUMN_COUNT && s == WA_OK; c++)
        s = set_column(&rec, c, c == WA_COL_details ? r->record : json_object_get(r->record, wa__columns[c].key), &err);
    if (s == WA_OK) s = wa__results_append(a->db_path, &rec, &err);
    if (s != WA_OK) wa__log(WA_LOG_ERROR, "results", "this run was not recorded: %s", err.message);
    wa__record_done(&rec);
}

static wa_status checked(const wa_results_query *q, wa_results_filter *f, wa_error *err)
{
    wa_results_query d = WA_RESULTS_QUERY_INIT;
    if (q && (q->struct_size == 0 || q->struct_size > sizeof d))
        return wa__fail(err, WA_INVALID_ARGUMENT, "results query: struct_size is wrong; start from WA_RESULTS_QUERY_INIT");
    if (q) memcpy(&d, q, q->struct_size);
    *f = (wa_results_filter){d.model, d.target, d.browser, d.since, d.limit};
    return WA_OK;
}

static const wa_results_options patient = {10000, NULL};

wa_status wa_results(wa_accelerator *a, const wa_results_query *q, char **json, wa_error *err)
{
    wa_results_filter f;
    wa_results_rows rows = {0};
    wa_merge_report report = {0};
    wa_buf b;
    WA_TRY(checked(q, &f, err));
    WA_TRY(wa__results_query(a->db_path, &f, &patient, &rows, &report, err));
    if (report.left) wa__log(WA_LOG_WARN, "results", "%llu rows wait in the spool: %s", (unsigned long long)report.left, report.note);
    wa__buf_init(&b, (size_t)1 << 30);
    wa_status s = wa__results_rows_json(&rows, &b, err);
    wa__results_rows_done(&rows);
    if (s != WA_OK) {
        wa__buf_done(&b);
        return s;
    }
    *json = b.ptr; /* the buffer is malloc's, as wa_string_free expects */
    return WA_OK;
}

wa_status wa_results_export(wa_accelerator *a, const wa_results_query *q, const char *format, const char *path, wa_error *err)
{
    wa_results_filter f;
    wa_export_format kind;
    char name[32];
    WA_TRY(checked(q, &f, err));
    snprintf(name, sizeof name, "x.%s", format ? format : "");
    WA_TRY(wa__results_format(format ? name : path, &kind, err));
    uint64_t rows;
    return wa__results_export(a->db_path, &f, &patient, kind, path, &rows, err);
}
