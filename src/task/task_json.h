/* JSON of a model's configuration: jansson behind caps on bytes, depth and values. Untrusted input. */
#ifndef WA_TASK_JSON_H
#define WA_TASK_JSON_H
#include "task/task_files.h"
#include <jansson.h>

/* Parses n bytes; *out is the caller's (json_decref). `what` names the file in messages, which carry
 * line and column. Duplicate keys, invalid UTF-8 and anything after the value are refused. A byte
 * order mark is skipped. */
wa_status wa__task_json(const void *bytes, size_t n, const char *what, json_t **out, wa_error *err) WA_MUST_CHECK;

/* Fields of an object; a missing or null one gives the fallback. A wrong type is WA_CORRUPT and is
 * named as "what: key". */
wa_status wa__task_json_bool(const json_t *o, const char *key, const char *what, bool fallback, bool *out,
                             wa_error *err) WA_MUST_CHECK;
wa_status wa__task_json_int(const json_t *o, const char *key, const char *what, int64_t min, int64_t max,
                            int64_t fallback, int64_t *out, wa_error *err) WA_MUST_CHECK;
/* Borrowed from o. */
wa_status wa__task_json_str(const json_t *o, const char *key, const char *what, const char *fallback,
                            const char **out, wa_error *err) WA_MUST_CHECK;

#endif
