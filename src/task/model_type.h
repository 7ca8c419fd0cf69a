/* What kind of model this is, in the original's words: text_embedding, text_generation, text2text,
 * audio, vision, multimodal, text. */
#ifndef WA_MODEL_TYPE_H
#define WA_MODEL_TYPE_H
#include "task/task_files.h"

/* What the caller saw in the graph; all false is "nothing known". */
typedef struct wa_model_hints {
    bool token_input, image_input, audio_input; /* input_ids; pixel_values; input_features or input_values */
    bool decoder_input;                         /* decoder_input_ids */
    bool cache_input;                           /* past_key_values */
    bool logits_output;                         /* an output named logits */
} wa_model_hints;
/* Adds what the name of one input or output tells. */
void wa__model_hint(wa_model_hints *h, wa_str tensor, bool is_output);

typedef struct wa_model_type {
    const char *type; /* static */
    char reason[256]; /* one sentence */
} wa_model_type;

/* In order: `asked` (not NULL or empty; taken as it is known, else WA_INVALID_ARGUMENT), modules.json,
 * config.json's architectures and model_type, the hints, the model's name. files and hints may be NULL.
 * A config.json that does not parse is an error, not a reason to guess. */
wa_status wa__model_type_detect(const char *name, const char *asked, const wa_task_files *files, const wa_model_hints *hints,
                                wa_model_type *out, wa_error *err) WA_MUST_CHECK;

#endif
