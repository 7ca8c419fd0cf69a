/* See hash.h. */
#include "base/hash.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>

wa_status wa__sha256(const void *p, size_t n, uint8_t out[WA_SHA256_BYTES], wa_error *err)
{
    if (EVP_Digest(p, n, out, NULL, EVP_sha256(), NULL) != 1) return wa__fail(err, WA_INTERNAL, "OpenSSL refused SHA-256");
    return WA_OK;
}

wa_sha256 *wa__sha256_create(void)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    if (c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(c);
        c = NULL;
    }
    return (wa_sha256 *)c;
}

void wa__sha256_update(wa_sha256 *h, const void *p, size_t n) { EVP_DigestUpdate((EVP_MD_CTX *)h, p, n); }
void wa__sha256_final(wa_sha256 *h, uint8_t out[WA_SHA256_BYTES]) { EVP_DigestFinal_ex((EVP_MD_CTX *)h, out, NULL); }
void wa__sha256_free(wa_sha256 *h) { EVP_MD_CTX_free((EVP_MD_CTX *)h); }
bool wa__equal_secret(const void *a, const void *b, size_t n) { return CRYPTO_memcmp(a, b, n) == 0; }
