/* String views and small parsers. */
#ifndef WA_STR_H
#define WA_STR_H
#include "base/mem.h"
#include <string.h>

#define WA_STR(lit) ((wa_str){(lit), sizeof(lit) - 1})
/* For printf("%.*s", WA_STR_ARG(s)); long views are cut at 200 bytes. */
#define WA_STR_ARG(s) (int)((s).len < 200 ? (s).len : 200), (s).ptr ? (s).ptr : ""

static inline wa_str wa__str(const char *s) { return (wa_str){s, s ? strlen(s) : 0}; }
static inline bool wa__str_eq(wa_str a, wa_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline bool wa__str_is(wa_str a, const char *b) { return wa__str_eq(a, wa__str(b)); }
bool wa__str_starts(wa_str s, const char *prefix);
bool wa__str_ends(wa_str s, const char *suffix);
/* Whole-view decimal parse; false on anything else or overflow. */
bool wa__parse_i64(wa_str s, int64_t *out);
bool wa__parse_u64(wa_str s, uint64_t *out);
bool wa__parse_f64(wa_str s, double *out);
/* FNV-1a, for hash tables only. */
uint64_t wa__hash_bytes(const void *p, size_t n);
/* True when s is well-formed UTF-8 without overlongs or surrogates; *at is the first bad byte. */
bool wa__utf8_valid(const char *s, size_t n, size_t *at);
/* Lower-case hex of n bytes into out[2n+1]. */
void wa__hex(const uint8_t *p, size_t n, char *out);

#endif
