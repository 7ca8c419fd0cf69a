/* Hugging Face folders: what import_hf.c gives to the builders, one file per architecture. */
#ifndef WA_IMPORT_HF_H
#define WA_IMPORT_HF_H
#include "import/import_safetensors.h"

/* The operator set whose meaning builders' nodes have. */
#define WA_HF_OPSET 20

typedef struct wa_hf {
    const json_t *config; /* borrowed */
    const wa_safetensors *weights;
    wa_graph *g;
    const char *prefix; /* before every weight's name, "" or "bert." */
    wa_buf problems;    /* config keys that this build cannot do, one text */
} wa_hf;

/* Config keys. A key of the wrong type or out of range is a problem, noted with its value; the
 * builder goes on, and wa__hf_config_done fails with all of them at once. */
int64_t wa__hf_int(wa_hf *h, const char *key, int64_t fallback, int64_t min, int64_t max);
double wa__hf_float(wa_hf *h, const char *key, double fallback);
const char *wa__hf_text(wa_hf *h, const char *key, const char *fallback);
bool wa__hf_bool(wa_hf *h, const char *key, bool fallback);
void wa__hf_problem(wa_hf *h, const char *key, const char *why); /* with the key's value */
wa_status wa__hf_config_done(wa_hf *h, wa_error *err) WA_MUST_CHECK;

/* The weight "<prefix><name>" as an f32 value: a constant, behind a Cast when it is stored in half
 * precision. Its shape must be dims[rank]. */
wa_status wa__hf_weight(wa_hf *h, const char *name, uint32_t rank, const int64_t *dims, uint32_t *value,
                        wa_error *err) WA_MUST_CHECK;
bool wa__hf_has(const wa_hf *h, const char *prefix, const char *name);

/* Builders: read the config, check it, add inputs, nodes and outputs. */
wa_status wa__hf_build_bert(wa_hf *h, wa_error *err) WA_MUST_CHECK;

#endif
