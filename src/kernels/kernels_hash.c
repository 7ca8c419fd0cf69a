/* The hash of every source that decides what a plan does; the build makes the header
 * (cmake/kernels_hash.cmake). */
#include "kernels/kernels.h"
#include "kernels_hash_gen.h"

static unsigned nibble(char c) { return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10); }

void wa__kernels_hash(uint8_t out[32])
{
    static const char hex[] = WA_KERNELS_HASH;
    _Static_assert(sizeof hex == 65, "a SHA-256 in hex");
    for (unsigned i = 0; i < 32; i++) out[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
}
