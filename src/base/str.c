/* See str.h. */
#include "base/str.h"
#include <errno.h>
#include <stdlib.h>

bool wa__str_starts(wa_str s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.len >= n && memcmp(s.ptr, prefix, n) == 0;
}

bool wa__str_ends(wa_str s, const char *suffix)
{
    size_t n = strlen(suffix);
    return s.len >= n && memcmp(s.ptr + s.len - n, suffix, n) == 0;
}

bool wa__parse_u64(wa_str s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.len == 0) return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') return false;
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.ptr[i] - '0'), &v))
            return false;
    }
    *out = v;
    return true;
}

bool wa__parse_i64(wa_str s, int64_t *out)
{
    bool neg = s.len > 0 && s.ptr[0] == '-';
    uint64_t v;
    if (!wa__parse_u64(neg ? (wa_str){s.ptr + 1, s.len - 1} : s, &v)) return false;
    if (v > (uint64_t)INT64_MAX + (neg ? 1u : 0u)) return false;
    *out = neg ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool wa__parse_f64(wa_str s, double *out)
{
    char text[64];
    if (s.len == 0 || s.len >= sizeof text) return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = 0;
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    if (errno || end != text + s.len) return false;
    *out = v;
    return true;
}

uint64_t wa__hash_bytes(const void *p, size_t n)
{
    const unsigned char *b = p;
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < n; i++) h = (h ^ b[i]) * 1099511628211u;
    return h;
}

bool wa__utf8_valid(const char *s, size_t n, size_t *at)
{
    const unsigned char *p = (const unsigned char *)s;
    for (size_t i = 0; i < n;) {
        size_t len = p[i] < 0x80 ? 1 : (p[i] >> 5) == 6 ? 2 : (p[i] >> 4) == 14 ? 3 : (p[i] >> 3) == 30 ? 4 : 0;
        uint32_t c = len == 1 ? p[i] : len == 0 ? 0 : p[i] & (0x7fu >> len);
        bool ok = len > 0 && len <= n - i;
        for (size_t k = 1; ok && k < len; k++) {
            ok = (p[i + k] & 0xc0) == 0x80;
            c = c << 6 | (p[i + k] & 0x3f);
        }
        if (ok && len > 1)
            ok = c >= (len == 2 ? 0x80u : len == 3 ? 0x800u : 0x10000u) && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
        if (!ok) {
            if (at) *at = i;
            return false;
        }
        i += len;
    }
    return true;
}

void wa__hex(const uint8_t *p, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * n] = 0;
}
