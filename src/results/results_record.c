/* One run's facts in, a typed record or its JSON out. Called by api and by the spool. */
#include "results/results.h"
#include <inttypes.h>
#include <jansson.h>
#include <math.h>

void wa__record_init(wa_record *r) { memset(r, 0, sizeof *r); }

void wa__record_done(wa_record *r)
{
    for (uint32_t i = 0; i < WA_COLUMN_COUNT; i++) wa__free(r->values[i].s);
    wa__record_init(r);
}

static wa_status check_kind(wa_column_id c, wa_column_kind kind, wa_error *err)
{
    if ((unsigned)c < WA_COLUMN_COUNT && (wa__columns[c].kind == kind)) return WA_OK;
    return wa__fail(err, WA_INTERNAL, "record: column %d does not take a value of kind %d", (int)c, (int)kind);
}

wa_status wa__record_i64(wa_record *r, wa_column_id c, int64_t v, wa_error *err)
{
    WA_TRY(check_kind(c, WA_COLUMN_I64, err));
    r->values[c].set = true;
    r->values[c].i = v;
    return WA_OK;
}

wa_status wa__record_bool(wa_record *r, wa_column_id c, bool v, wa_error *err)
{
    WA_TRY(check_kind(c, WA_COLUMN_BOOL, err));
    r->values[c].set = true;
    r->values[c].i = v;
    return WA_OK;
}

wa_status wa__record_f64(wa_record *r, wa_column_id c, double v, wa_error *err)
{
    WA_TRY(check_kind(c, WA_COLUMN_F64, err));
    r->values[c].set = isfinite(v);
    r->values[c].f = v;
    return WA_OK;
}

wa_status wa__record_str(wa_record *r, wa_column_id c, const char *v, wa_error *err)
{
    bool json = (unsigned)c < WA_COLUMN_COUNT && wa__columns[c].kind == WA_COLUMN_JSON;
    WA_TRY(check_kind(c, json ? WA_COLUMN_JSON : WA_COLUMN_STR, err));
    char *copy = NULL;
    if (v) {
        size_t bad = 0;
        if (!wa__utf8_valid(v, strlen(v), &bad))
            return wa__fail(err, WA_INVALID_ARGUMENT, "record: %s is not UTF-8 at byte %zu", wa__columns[c].name, bad);
        json_error_t e;
        json_t *j = json ? json_loads(v, JSON_DECODE_ANY, &e) : NULL;
        if (json && !j) return wa__fail(err, WA_INVALID_ARGUMENT, "record: %s is no JSON: %s", wa__columns[c].name, e.text);
        json_decref(j);
        copy = wa__strdup(v);
        if (!copy) return wa__no_memory(err, "a record");
    }
    wa__free(r->values[c].s);
    r->values[c].s = copy;
    r->values[c].set = copy != NULL;
    return WA_OK;
}

static wa_status put_string(wa_buf *out, const char *s, wa_error *err)
{
    WA_TRY(wa__buf_append(out, "\"", 1, err));
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            WA_TRY(wa__buf_printf(out, err, "\\%c", c));
        else if (c < 0x20)
            WA_TRY(wa__buf_printf(out, err, "\\u%04x", c));
        else
            WA_TRY(wa__buf_append(out, s, 1, err));
    }
    return wa__buf_append(out, "\"", 1, err);
}

static wa_status put_value(const struct wa_record_value *v, wa_column_kind kind, wa_buf *out, wa_error *err)
{
    if (!v->set) return wa__buf_append(out, "null", 4, err);
    switch (kind) {
    case WA_COLUMN_I64: return wa__buf_printf(out, err, "%" PRId64, v->i);
    case WA_COLUMN_F64: return wa__buf_printf(out, err, "%.17g", v->f);
    case WA_COLUMN_BOOL: return wa__buf_printf(out, err, "%s", v->i ? "true" : "false");
    case WA_COLUMN_STR: return put_string(out, v->s, err);
    case WA_COLUMN_JSON: return wa__buf_append(out, v->s, strlen(v->s), err);
    }
    return wa__fail(err, WA_INTERNAL, "record: unknown kind");
}

wa_status wa__record_json(const wa_record *r, bool columns, bool nulls, wa_buf *out, wa_error *err)
{
    const char *comma = "";
    WA_TRY(wa__buf_append(out, "{", 1, err));
    for (uint32_t i = 0; i < WA_COLUMN_COUNT; i++) {
        if (!r->values[i].set && !nulls) continue;
        const wa_column *c = &wa__columns[i];
        WA_TRY(wa__buf_printf(out, err, "%s\"%s\":", comma, columns ? c->name : c->key));
        WA_TRY(put_value(&r->values[i], c->kind, out, err));
        comma = ",";
    }
    return wa__buf_append(out, "}", 1, err);
}

/* Cells hold DuckDB's text of each value. */
static wa_status put_cell(const char *cell, wa_column_kind kind, wa_buf *out, wa_error *err)
{
    if (!cell) return wa__buf_append(out, "null", 4, err);
    if (kind == WA_COLUMN_STR) return put_string(out, cell, err);
    double f;
    if (kind == WA_COLUMN_F64 && (!wa__parse_f64(wa__str(cell), &f) || !isfinite(f))) return wa__buf_append(out, "null", 4, err);
    return wa__buf_append(out, cell, strlen(cell), err);
}

wa_status wa__results_rows_json(const wa_results_rows *rows, wa_buf *out, wa_error *err)
{
    WA_TRY(wa__buf_append(out, "[", 1, err));
    for (uint64_t r = 0; r < rows->row_count; r++) {
        for (uint32_t c = 0; c < rows->column_count; c++) {
            WA_TRY(wa__buf_printf(out, err, "%s\"%s\":", c ? "," : r ? ",\n{" : "{", rows->columns[c].key));
            WA_TRY(put_cell(rows->cells[r * rows->column_count + c], rows->columns[c].kind, out, err));
        }
        WA_TRY(wa__buf_append(out, "}", 1, err));
    }
    return wa__buf_append(out, "]", 1, err);
}

void wa__results_rows_done(wa_results_rows *rows)
{
    for (uint64_t i = 0; rows->cells && i < rows->row_count * rows->column_count; i++) wa__free(rows->cells[i]);
    wa__free(rows->cells);
    memset(rows, 0, sizeof *rows);
}
