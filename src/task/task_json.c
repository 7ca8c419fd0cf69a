/* Bytes of a configuration file in, a jansson tree out. Called by the tokenizer and embedding readers. */
#include "task/task_json.h"
#include "base/limits.h"

/* One value costs jansson up to about 100 bytes, so that a file of "[[],[],..." would ask for 30 times
 * its size. Vocabulary and merges of the largest tokenizers are under 2 million values. */
#define JSON_VALUES_MAX 4000000u

typedef struct scan_state {
    size_t line, column, values;
    uint32_t depth;
} scan_state;

/* Bounds depth and value count before jansson allocates anything. */
static wa_status scan(const char *p, size_t n, const char *what, wa_error *err)
{
    scan_state s = {1, 0, 1, 0};
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        s.column++;
        if (c == '\n') {
            s.line++;
            s.column = 0;
        }
        if (quoted) {
            if (c == '\\') {
                i++;
                s.column++;
            } else if (c == '"') {
                quoted = false;
            }
            continue;
        }
        if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            s.depth++;
            s.values++;
        } else if ((c == ']' || c == '}') && s.depth) {
            s.depth--;
        } else if (c == ',') {
            s.values++;
        }
        if (s.depth > WA_LIMIT_JSON_DEPTH)
            return wa__fail(err, WA_LIMIT, "%s:%zu:%zu: JSON is nested deeper than %u", what, s.line, s.column,
                            WA_LIMIT_JSON_DEPTH);
        if (s.values > JSON_VALUES_MAX)
            return wa__fail(err, WA_LIMIT, "%s:%zu:%zu: JSON holds more than %u values", what, s.line, s.column,
                            JSON_VALUES_MAX);
    }
    return WA_OK;
}

wa_status wa__task_json(const void *bytes, size_t n, const char *what, json_t **out, wa_error *err)
{
    const char *p = bytes;
    if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        p += 3;
        n -= 3;
    }
    if (n > WA_LIMIT_JSON_BYTES)
        return wa__fail(err, WA_LIMIT, "%s: %zu bytes of JSON, the most read is %zu", what, n, WA_LIMIT_JSON_BYTES);
    if (n == 0) return wa__fail(err, WA_CORRUPT, "%s:1:1: the file is empty; JSON was expected", what);
    WA_TRY(scan(p, n, what, err));
    json_error_t e;
    json_t *j = json_loadb(p, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (!j) {
        if (json_error_code(&e) == json_error_out_of_memory) return wa__no_memory(err, what);
        return wa__fail(err, WA_CORRUPT, "%s:%d:%d: %s", what, e.line, e.column, e.text);
    }
    *out = j;
    return WA_OK;
}

static const char *type_name(const json_t *v)
{
    static const char *const names[] = {"an object", "an array", "a string", "an integer", "a real number", "true", "false", "null"};
    return names[json_typeof(v)];
}

static bool missing(const json_t *v) { return !v || json_is_null(v); }

wa_status wa__task_json_bool(const json_t *o, const char *key, const char *what, bool fallback, bool *out, wa_error *err)
{
    const json_t *v = json_object_get(o, key);
    if (!missing(v) && !json_is_boolean(v))
        return wa__fail(err, WA_CORRUPT, "%s: \"%s\" is %s; true or false was expected", what, key, type_name(v));
    *out = missing(v) ? fallback : json_is_true(v);
    return WA_OK;
}

wa_status wa__task_json_int(const json_t *o, const char *key, const char *what, int64_t min, int64_t max,
                            int64_t fallback, int64_t *out, wa_error *err)
{
    const json_t *v = json_object_get(o, key);
    if (missing(v)) {
        *out = fallback;
        return WA_OK;
    }
    if (!json_is_integer(v))
        return wa__fail(err, WA_CORRUPT, "%s: \"%s\" is %s; an integer was expected", what, key, type_name(v));
    int64_t i = json_integer_value(v);
    if (i < min || i > max)
        return wa__fail(err, WA_CORRUPT, "%s: \"%s\" is %lld; it must lie in [%lld, %lld]", what, key, (long long)i,
                        (long long)min, (long long)max);
    *out = i;
    return WA_OK;
}

wa_status wa__task_json_str(const json_t *o, const char *key, const char *what, const char *fallback,
                            const char **out, wa_error *err)
{
    const json_t *v = json_object_get(o, key);
    if (!missing(v) && !json_is_string(v))
        return wa__fail(err, WA_CORRUPT, "%s: \"%s\" is %s; a string was expected", what, key, type_name(v));
    *out = missing(v) ? fallback : json_string_value(v);
    return WA_OK;
}
