/* The result object: one JSON record with the keys of schema/record.json, the original's aliases,
 * and the outputs. Rows go to the spool through src/results. */
#include "api_int.h"
#include "base/log.h"
#include <math.h>

wa_result *api_result_new(void)
{
    wa_result *r = wa__alloc(1, sizeof *r);
    if (r) r->record = json_object();
    if (r && !r->record) {
        wa__free(r);
        r = NULL;
    }
    return r;
}

bool api_result_set(wa_result *r, const char *key, json_t *v) { return json_object_set_new(r->record, key, v ? v : json_null()) == 0; }

bool api_result_output(wa_result *r, const char *name, const wa_tensor_type *t, void *data)
{
    char *copy = r->output_count < API_OUTPUTS_MAX ? wa__strdup(name) : NULL;
    if (!copy) return false;
    r->outputs[r->output_count++] = (wa_named_tensor){copy, *t, data, (size_t)wa__bytes(t)};
    return true;
}

const wa_named_tensor *wa_result_output(const wa_result *r, size_t index) { return index < r->output_count ? &r->outputs[index] : NULL; }
size_t wa_result_output_count(const wa_result *r) { return r->output_count; }

static json_t *number(double v) { return isfinite(v) ? json_real(v) : json_null(); }

static json_t *element(const wa_view *v, int64_t i)
{
    if (v->type.dtype == WA_BOOL) return json_boolean(wa__get_i64(v, i));
    if (wa__dtype_is_float(v->type.dtype)) return number(wa__get_f64(v, i));
    return json_integer(wa__get_i64(v, i));
}

/* A tensor as nested arrays. */
static json_t *nested(const wa_view *v, uint32_t dim, int64_t *at)
{
    if (dim == v->type.rank) return element(v, (*at)++);
    json_t *list = json_array();
    for (int64_t i = 0; list && i < v->type.dims[dim]; i++)
        if (json_array_append_new(list, nested(v, dim + 1, at)) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *outputs_json(const wa_result *r)
{
    int64_t at = 0;
    if (r->embedding && r->output_count == 1) {
        wa_view v = {r->outputs[0].type, (void *)(uintptr_t)r->outputs[0].data};
        return nested(&v, 0, &at);
    }
    json_t *o = json_object();
    for (uint32_t i = 0; o && i < r->output_count; i++) {
        wa_view v = {r->outputs[i].type, (void *)(uintptr_t)r->outputs[i].data};
        at = 0;
        if (json_object_set_new(o, r->outputs[i].name, nested(&v, 0, &at)) != 0) {
            json_decref(o);
            return NULL;
        }
    }
    return o;
}

/* The original's key for each column that had one. */
static bool add_aliases(json_t *o)
{
    for (uint32_t i = 0; i < WA_COLUMN_COUNT; i++) {
        const wa_column *c = &wa__columns[i];
        json_t *v = json_object_get(o, c->key);
        if (!v && json_object_set_new(o, c->key, json_null()) != 0) return false;
        if (!c->alias[0] || strcmp(c->alias, c->key) == 0) continue;
        if (json_object_set(o, c->alias, v ? v : json_null()) != 0) return false;
    }
    return true;
}

const char *wa_result_json(wa_result *r)
{
    if (r->json) return r->json;
    json_t *o = json_copy(r->record), *output = outputs_json(r);
    if (o && output && add_aliases(o) && json_object_set(o, "output", output) == 0)
        r->json = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(output);
    json_decref(o);
    return r->json;
}

static const json_t *field(const wa_result *r, const char *key)
{
    const json_t *v = json_object_get(r->record, key);
    const char *dot = v ? NULL : strchr(key, '.'); /* of an object */
    if (dot) return json_object_get(json_object_getn(r->record, key, (size_t)(dot - key)), dot + 1);
    for (uint32_t i = 0; !v && i < WA_COLUMN_COUNT; i++)
        if (strcmp(wa__columns[i].alias, key) == 0 || strcmp(wa__columns[i].name, key) == 0) v = json_object_get(r->record, wa__columns[i].key);
    return v;
}

bool wa_result_number(const wa_result *r, const char *key, double *out)
{
    const json_t *v = field(r, key);
    if (json_is_boolean(v)) *out = json_is_true(v) ? 1 : 0;
    else if (json_is_number(v)) *out = json_number_value(v);
    else return false;
    return true;
}

const char *wa_result_text(const wa_result *r, const char *key) { return json_string_value(field(r, key)); }

void wa_result_free(wa_result *r)
{
    if (!r) return;
    for (uint32_t i = 0; i < r->output_count; i++) {
        wa__free((void *)(uintptr_t)r->outputs[i].name);
        wa__free((void *)(uintptr_t)r->outputs[i].data);
    }
    json_decref(r->record);
    free(r->json);
    wa__free(r);
}

char *api_json_text(json_t *steal)
{
    char *t = steal ? json_dumps(steal, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(steal);
    return t;
}
