/* See log.h. The callback is process-wide by design: set once, read-only afterwards. */
#include "base/log.h"
#include <stdarg.h>
#include <stdio.h>

static wa_log_fn log_fn;
static void *log_user;
static wa_log_level log_level;

void wa__log_set(wa_log_fn fn, void *user, wa_log_level level)
{
    log_fn = fn;
    log_user = user;
    log_level = level;
}

void wa__log(wa_log_level level, const char *module, const char *format, ...)
{
    if (!log_fn || level > log_level) return;
    char text[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    log_fn(level, module, text, log_user);
}
