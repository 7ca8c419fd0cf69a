/* The library's one log callback. Silent until one is set; never logs tokens, prompts or weights. */
#ifndef WA_LOG_H
#define WA_LOG_H
#include "webaccel/types.h"

typedef enum wa_log_level { WA_LOG_ERROR = 0, WA_LOG_WARN, WA_LOG_INFO, WA_LOG_DEBUG } wa_log_level;
typedef void (*wa_log_fn)(wa_log_level level, const char *module, const char *text, void *user);

/* Process-wide; set before other threads start. Messages above `level` are not formatted. */
void wa__log_set(wa_log_fn fn, void *user, wa_log_level level);
void wa__log(wa_log_level level, const char *module, const char *format, ...) WA_PRINTF(3, 4);

#endif
