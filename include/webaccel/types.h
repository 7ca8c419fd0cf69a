/* Types that every public header shares: statuses, errors, strings, tensor types. C17 and C++. */
#ifndef WEBACCEL_TYPES_H
#define WEBACCEL_TYPES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "webaccel/schema.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define WA_API __attribute__((visibility("default")))
#define WA_MUST_CHECK __attribute__((warn_unused_result))
#define WA_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define WA_API
#define WA_MUST_CHECK
#define WA_PRINTF(f, a)
#endif

/* Why a call failed. Filled only on failure; may be NULL wherever a function takes one. */
typedef struct wa_error {
    wa_status status;
    char message[1024]; /* UTF-8, NUL-terminated; names the offending thing and what to do */
} wa_error;

/* A borrowed, immutable span of UTF-8 or bytes; not NUL-terminated. */
typedef struct wa_str {
    const char *ptr;
    size_t len;
} wa_str;

#define WA_RANK_MAX 8

/* Element type and shape of a tensor, row-major. Rank 0 is a scalar. In a graph a dim below 0
 * is symbolic; everywhere else dims are >= 0. */
typedef struct wa_tensor_type {
    wa_dtype dtype;
    uint32_t rank;
    int64_t dims[WA_RANK_MAX];
} wa_tensor_type;

#ifdef __cplusplus
}
#endif
#endif
