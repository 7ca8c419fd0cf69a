/* Formats messages into wa_error. Called by everything that can fail. */
#include "base/error.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

wa_status wa__fail(wa_error *err, wa_status s, const char *format, ...)
{
    if (!err) return s;
    va_list ap;
    va_start(ap, format);
    vsnprintf(err->message, sizeof err->message, format, ap);
    va_end(ap);
    err->status = s;
    return s;
}

wa_status wa__fail_in(wa_error *err, wa_status s, const char *format, ...)
{
    if (!err) return s;
    char old[sizeof err->message];
    memcpy(old, err->message, sizeof old);
    old[sizeof old - 1] = 0;
    char head[sizeof err->message];
    va_list ap;
    va_start(ap, format);
    vsnprintf(head, sizeof head, format, ap);
    va_end(ap);
    size_t n = strnlen(head, sizeof err->message - 3);
    memcpy(err->message, head, n);
    snprintf(err->message + n, sizeof err->message - n, ": %s", old);
    err->status = s;
    return s;
}

void wa__error_append(wa_error *err, const char *format, ...)
{
    if (!err) return;
    size_t n = strnlen(err->message, sizeof err->message - 1);
    va_list ap;
    va_start(ap, format);
    vsnprintf(err->message + n, sizeof err->message - n, format, ap);
    va_end(ap);
}

wa_status wa__no_memory(wa_error *err, const char *what)
{
    return wa__fail(err, WA_NO_MEMORY, "out of memory for %s", what);
}
