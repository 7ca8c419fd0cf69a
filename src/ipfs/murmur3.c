/* See murmur3.h. The algorithm is Austin Appleby's, public domain; written from its definition. */
#include "ipfs/murmur3.h"

static const uint64_t k1_factor = 0x87c37b91114253d5u, k2_factor = 0x4cf5ad432745937fu;

static uint64_t rotate(uint64_t v, unsigned by) { return v << by | v >> (64 - by); }

static uint64_t little(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static uint64_t mix1(uint64_t k) { return rotate(k * k1_factor, 31) * k2_factor; }
static uint64_t mix2(uint64_t k) { return rotate(k * k2_factor, 33) * k1_factor; }

static uint64_t finish(uint64_t k)
{
    k = (k ^ k >> 33) * 0xff51afd7ed558ccdu;
    k = (k ^ k >> 33) * 0xc4ceb9fe1a85ec53u;
    return k ^ k >> 33;
}

uint64_t wa__murmur3_64(const void *data, size_t n)
{
    const uint8_t *p = data;
    uint64_t h1 = 0, h2 = 0;
    size_t left = n;
    for (; left >= 16; p += 16, left -= 16) {
        h1 = (rotate(h1 ^ mix1(little(p, 8)), 27) + h2) * 5 + 0x52dce729u;
        h2 = (rotate(h2 ^ mix2(little(p + 8, 8)), 31) + h1) * 5 + 0x38495ab5u;
    }
    if (left > 8) h2 ^= mix2(little(p + 8, left - 8));
    if (left > 0) h1 ^= mix1(little(p, left < 8 ? left : 8));
    h1 ^= n;
    h2 ^= n;
    h1 += h2;
    h2 += h1;
    h1 = finish(h1);
    h2 = finish(h2);
    return h1 + h2;
}
