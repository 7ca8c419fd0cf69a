/* SHA-256 (FIPS 180-4) through OpenSSL, which uses the CPU's SHA instructions. */
#ifndef WA_HASH_H
#define WA_HASH_H
#include "base/error.h"

#define WA_SHA256_BYTES 32
wa_status wa__sha256(const void *p, size_t n, uint8_t out[WA_SHA256_BYTES], wa_error *err) WA_MUST_CHECK;

typedef struct wa_sha256 wa_sha256; /* streaming */
wa_sha256 *wa__sha256_create(void); /* NULL when out of memory */
void wa__sha256_update(wa_sha256 *h, const void *p, size_t n);
void wa__sha256_final(wa_sha256 *h, uint8_t out[WA_SHA256_BYTES]); /* then only free */
void wa__sha256_free(wa_sha256 *h);
/* Equal in constant time. */
bool wa__equal_secret(const void *a, const void *b, size_t n);

#endif
