/* Status and error helpers. */
#ifndef WA_ERROR_H
#define WA_ERROR_H
#include "webaccel/types.h"
#include "base/schema_gen.h"

/* Fills *err (may be NULL) and returns s, so that `return wa__fail(err, WA_IO, "...", ...)` works. */
wa_status wa__fail(wa_error *err, wa_status s, const char *format, ...) WA_PRINTF(3, 4);
/* Puts "text: " before the message in *err (a file name, an operator); returns s. */
wa_status wa__fail_in(wa_error *err, wa_status s, const char *format, ...) WA_PRINTF(3, 4);
/* Appends text to the message. */
void wa__error_append(wa_error *err, const char *format, ...) WA_PRINTF(2, 3);
/* Out of memory for `what`. */
wa_status wa__no_memory(wa_error *err, const char *what);

/* Returns from the calling function when the expression is not WA_OK. */
#define WA_TRY(e)                                                                                  \
    do {                                                                                           \
        wa_status wa_try_s = (e);                                                                  \
        if (wa_try_s != WA_OK) return wa_try_s;                                                    \
    } while (0)

#endif
