/* JSON of model folders under caps. In: bytes. Out: a jansson object. Called by import_safetensors.c
 * and import_hf.c. */
#include "import/import_int.h"

/* jansson recurses and allocates per value, so depth and number are counted before it starts. */
static wa_status check_size(const uint8_t *p, size_t n, const char *what, wa_error *err)
{
    uint32_t depth = 0, values = 0;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = p[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            if (++depth > WA_LIMIT_JSON_DEPTH)
                return wa__fail(err, WA_LIMIT, "%s: JSON nests deeper than %u at byte %zu", what,
                                WA_LIMIT_JSON_DEPTH, i);
            values++;
        } else if (c == ']' || c == '}') {
            depth -= depth > 0;
        } else if (c == ',') {
            values++;
        }
        if (values > WA_IMPORT_JSON_VALUES_MAX)
            return wa__fail(err, WA_LIMIT, "%s: JSON has more than %u values", what,
                            WA_IMPORT_JSON_VALUES_MAX);
    }
    return WA_OK;
}

wa_status wa__json_parse(const void *data, uint64_t size, const char *what, json_t **out, wa_error *err)
{
    if (size > WA_LIMIT_SAFETENSORS_HEADER)
        return wa__fail(err, WA_LIMIT, "%s: %llu bytes of JSON are over the cap of %llu", what,
                        (unsigned long long)size, (unsigned long long)WA_LIMIT_SAFETENSORS_HEADER);
    WA_TRY(check_size(data, (size_t)size, what, err));
    json_error_t e;
    json_t *j = json_loadb(size ? data : "", (size_t)size, JSON_REJECT_DUPLICATES, &e);
    if (!j)
        return wa__fail(err, WA_CORRUPT, "%s: not valid JSON: line %d, byte %d: %s", what, e.line, e.position,
                        e.text);
    if (!json_is_object(j)) {
        json_decref(j);
        return wa__fail(err, WA_CORRUPT, "%s: the JSON is no object", what);
    }
    *out = j;
    return WA_OK;
}
