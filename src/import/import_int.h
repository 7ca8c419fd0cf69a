/* What the files of src/import share and nobody else needs. */
#ifndef WA_IMPORT_INT_H
#define WA_IMPORT_INT_H
#include "base/reader.h"
#include "import/import.h"
#include <jansson.h>

/* Symbols that one model's inputs may bring: real models have fewer than ten. */
#define WA_IMPORT_SYMBOLS_MAX 1024u
/* JSON values of one file: 100,000 tensors have under 1,000,000; jansson takes about 100 bytes each. */
#define WA_IMPORT_JSON_VALUES_MAX 2000000u

/* --- model files (import.c) -------------------------------------------------------------------- */
/* Finds `relative` beside `beside` (a path inside the model's folder). Absolute paths, backslashes,
 * "." and ".." parts are refused, so that a model reads its own files only. `what` names the reader. */
wa_status wa__model_file_beside(const wa_model_files *m, wa_str beside, wa_str relative,
                                const wa_model_file **out, wa_error *err) WA_MUST_CHECK;
/* Graph source of a model file, added once; WA_NONE when out of memory. */
uint32_t wa__import_source(wa_graph *g, const wa_model_file *file);
/* A name from a file: well-formed UTF-8 without NUL, at most WA_LIMIT_NAME_BYTES. */
bool wa__import_name_ok(wa_str s);

/* --- names to values (import_names.c) ------------------------------------------------------------ */
typedef struct wa_name {
    wa_str name; /* borrowed from the model file, never empty */
    uint32_t value;
} wa_name;
typedef struct wa_names { /* all zero: empty */
    wa_name *slots;
    size_t cap, count;
} wa_names;
void wa__names_done(wa_names *n);
/* False when the name is not there. A name may stand for WA_NONE. */
bool wa__names_find(const wa_names *n, wa_str name, uint32_t *value);
/* Adds a name, or gives it another value. False when out of memory. */
bool wa__names_put(wa_names *n, wa_str name, uint32_t value);

/* --- JSON (import_json.c) -------------------------------------------------------------------------- */
/* Parses with caps on size, depth and number of values; duplicate keys are refused. The caller
 * json_decref's *out, which is an object. */
wa_status wa__json_parse(const void *data, uint64_t size, const char *what, json_t **out,
                         wa_error *err) WA_MUST_CHECK;

#endif
