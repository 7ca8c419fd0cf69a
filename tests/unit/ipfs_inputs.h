/* The inputs of Kubo's vectors: ChaCha20 key streams named by a seed. Included by the ipfs tests. */
#ifndef WA_IPFS_INPUTS_H
#define WA_IPFS_INPUTS_H
#include "base/hash.h"
#include "base/str.h"
#include <openssl/evp.h>

typedef struct seed_stream {
    EVP_CIPHER_CTX *ctx;
} seed_stream;

/* key = SHA-256(seed), nonce and counter 0. */
static inline seed_stream seed_open(const char *seed)
{
    uint8_t key[32], iv[16] = {0};
    seed_stream s = {EVP_CIPHER_CTX_new()};
    if (wa__sha256(seed, strlen(seed), key, NULL) != WA_OK || EVP_EncryptInit_ex(s.ctx, EVP_chacha20(), NULL, key, iv) != 1)
        fprintf(stderr, "OpenSSL has no ChaCha20\n");
    return s;
}

static inline void seed_read(seed_stream *s, void *out, size_t n)
{
    int got = 0;
    memset(out, 0, n);
    EVP_EncryptUpdate(s->ctx, out, &got, out, (int)n);
}

static inline void seed_close(seed_stream *s) { EVP_CIPHER_CTX_free(s->ctx); }

#endif
