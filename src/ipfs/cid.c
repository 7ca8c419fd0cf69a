/* See cid.h. */
#include "ipfs/cid.h"
#include "base/str.h"

enum { HASH_SHA2_256 = 0x12, TEXT_IN_MAX = 256, BYTES_IN_MAX = 200 };

static const char base58_alphabet[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
static const char base36_alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyz";
static const char base32_alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
static const char base16_alphabet[] = "0123456789abcdef";

size_t wa__uvarint_read(const uint8_t *p, size_t n, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n && i < 9; i++) {
        v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if (p[i] & 0x80) continue;
        if (i > 0 && p[i] == 0) return 0; /* not minimal */
        *out = v;
        return i + 1;
    }
    return 0;
}

size_t wa__uvarint_write(uint64_t v, uint8_t out[10])
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7) out[n++] = (uint8_t)(v | 0x80);
    out[n++] = (uint8_t)v;
    return n;
}

size_t wa__uvarint_bytes(uint64_t v)
{
    size_t n = 1;
    while (v >>= 7) n++;
    return n;
}

static int digit_of(const char *alphabet, char c)
{
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

/* Base 16 and 32: whole bits, no padding, left-over bits zero. Returns false on a foreign character. */
static bool decode_bits(const char *alphabet, unsigned bits, wa_str s, uint8_t *out, size_t *out_n)
{
    uint32_t acc = 0;
    unsigned have = 0;
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        int d = digit_of(alphabet, s.ptr[i]);
        if (d < 0) return false;
        acc = acc << bits | (uint32_t)d;
        have += bits;
        if (have < 8) continue;
        have -= 8;
        out[n++] = (uint8_t)(acc >> have);
        acc &= (1u << have) - 1;
    }
    *out_n = n;
    return have < bits && acc == 0;
}

/* Base 36 and 58: one big number; leading zero digits are leading zero bytes. */
static bool decode_number(const char *alphabet, unsigned base, wa_str s, uint8_t *out, size_t *out_n)
{
    uint8_t little[BYTES_IN_MAX];
    size_t n = 0, zeros = 0;
    while (zeros < s.len && s.ptr[zeros] == alphabet[0]) zeros++;
    for (size_t i = zeros; i < s.len; i++) {
        int d = digit_of(alphabet, s.ptr[i]);
        if (d < 0) return false;
        uint32_t carry = (uint32_t)d;
        for (size_t k = 0; k < n; k++) {
            carry += (uint32_t)little[k] * base;
            little[k] = (uint8_t)carry;
            carry >>= 8;
        }
        if (carry) {
            if (n == sizeof little) return false;
            little[n++] = (uint8_t)carry;
        }
    }
    if (zeros + n > BYTES_IN_MAX) return false;
    memset(out, 0, zeros);
    for (size_t k = 0; k < n; k++) out[zeros + k] = little[n - 1 - k];
    *out_n = zeros + n;
    return true;
}

static wa_status not_a_cid(wa_error *err, wa_str text, const char *why)
{
    return wa__fail(err, WA_INVALID_ARGUMENT, "\"%.*s\" is not a CID: %s", WA_STR_ARG(text), why);
}

wa_status wa__cid_parse(wa_str text, wa_cid *out, wa_error *err)
{
    uint8_t bytes[BYTES_IN_MAX];
    size_t n = 0, used = 0;
    if (text.len < 2 || text.len > TEXT_IN_MAX) return not_a_cid(err, text, "it should have 46 to 256 characters");
    bool v0 = text.len == 46 && text.ptr[0] == 'Q' && text.ptr[1] == 'm';
    wa_str rest = {text.ptr + 1, text.len - 1};
    bool ok;
    switch (v0 ? '0' : text.ptr[0]) {
    case '0': ok = decode_number(base58_alphabet, 58, text, bytes, &n); break;
    case 'b': ok = decode_bits(base32_alphabet, 5, rest, bytes, &n); break;
    case 'f': ok = decode_bits(base16_alphabet, 4, rest, bytes, &n); break;
    case 'k': ok = decode_number(base36_alphabet, 36, rest, bytes, &n); break;
    case 'z': ok = decode_number(base58_alphabet, 58, rest, bytes, &n); break;
    default: return not_a_cid(err, text, "it starts with none of b, f, k, z or Qm");
    }
    if (!ok) return not_a_cid(err, text, "a character does not belong to its base, or bits are left over");
    wa_cid cid;
    wa_status s = wa__cid_read(bytes, n, &cid, &used, err);
    if (s == WA_UNSUPPORTED) return wa__fail_in(err, s, "%.*s", WA_STR_ARG(text));
    if (s != WA_OK) return not_a_cid(err, text, "its bytes are not a version, a codec and a hash");
    if (used != n) return not_a_cid(err, text, "bytes follow the hash");
    if ((cid.version == 0) != v0) return not_a_cid(err, text, "a version 0 CID is written Qm... without a prefix");
    *out = cid;
    return WA_OK;
}

static size_t encode_base58(const uint8_t *p, size_t n, char *out)
{
    uint8_t digits[2 * WA_CID_BYTES_MAX];
    size_t count = 0, zeros = 0;
    while (zeros < n && p[zeros] == 0) zeros++;
    for (size_t i = zeros; i < n; i++) {
        uint32_t carry = p[i];
        for (size_t k = 0; k < count; k++) {
            carry += (uint32_t)digits[k] << 8;
            digits[k] = (uint8_t)(carry % 58);
            carry /= 58;
        }
        for (; carry; carry /= 58) digits[count++] = (uint8_t)(carry % 58);
    }
    memset(out, base58_alphabet[0], zeros);
    for (size_t k = 0; k < count; k++) out[zeros + k] = base58_alphabet[digits[count - 1 - k]];
    return zeros + count;
}

void wa__cid_text(const wa_cid *cid, char out[WA_CID_TEXT_MAX])
{
    uint8_t bytes[WA_CID_BYTES_MAX];
    size_t n = wa__cid_write(cid, bytes), at = 0;
    if (cid->version == 0) {
        at = encode_base58(bytes, n, out);
    } else {
        uint32_t acc = 0;
        unsigned have = 0;
        out[at++] = 'b';
        for (size_t i = 0; i < n; i++) {
            acc = acc << 8 | bytes[i];
            for (have += 8; have >= 5;) {
                have -= 5;
                out[at++] = base32_alphabet[(acc >> have) & 31];
            }
            acc &= (1u << have) - 1;
        }
        if (have) out[at++] = base32_alphabet[(acc << (5 - have)) & 31];
    }
    out[at] = 0;
}

static wa_status read_multihash(const uint8_t *p, size_t n, wa_cid *out, size_t *used, wa_error *err)
{
    uint64_t code = 0, length = 0;
    size_t a = wa__uvarint_read(p, n, &code);
    if (a == 0) return wa__fail(err, WA_CORRUPT, "the CID's hash code is malformed");
    size_t b = wa__uvarint_read(p + a, n - a, &length);
    if (b == 0 || length > n - a - b) return wa__fail(err, WA_CORRUPT, "the CID's digest is cut short");
    if (code != HASH_SHA2_256)
        return wa__fail(err, WA_UNSUPPORTED, "hash function 0x%llx: only sha2-256 (0x12) is accepted", (unsigned long long)code);
    if (length != WA_SHA256_BYTES)
        return wa__fail(err, WA_UNSUPPORTED, "a sha2-256 digest of %llu bytes: only full ones of 32 are accepted", (unsigned long long)length);
    memcpy(out->digest, p + a + b, WA_SHA256_BYTES);
    *used = a + b + WA_SHA256_BYTES;
    return WA_OK;
}

wa_status wa__cid_read(const uint8_t *p, size_t n, wa_cid *out, size_t *used, wa_error *err)
{
    wa_cid cid = {0};
    size_t take = 0;
    if (n >= 2 && p[0] == HASH_SHA2_256 && p[1] == WA_SHA256_BYTES) {
        cid.codec = WA_CODEC_DAG_PB;
        WA_TRY(read_multihash(p, n, &cid, &take, err));
    } else {
        uint64_t version = 0;
        size_t a = wa__uvarint_read(p, n, &version);
        if (a == 0 || version != 1) return wa__fail(err, WA_CORRUPT, "the CID is of no known version");
        size_t b = wa__uvarint_read(p + a, n - a, &cid.codec);
        if (b == 0) return wa__fail(err, WA_CORRUPT, "the CID's codec is malformed");
        cid.version = 1;
        WA_TRY(read_multihash(p + a + b, n - a - b, &cid, &take, err));
        take += a + b;
    }
    *out = cid;
    *used = take;
    return WA_OK;
}

size_t wa__cid_write(const wa_cid *cid, uint8_t out[WA_CID_BYTES_MAX])
{
    size_t n = 0;
    if (cid->version) {
        out[n++] = 1;
        n += wa__uvarint_write(cid->codec, out + n);
    }
    out[n++] = HASH_SHA2_256;
    out[n++] = WA_SHA256_BYTES;
    memcpy(out + n, cid->digest, WA_SHA256_BYTES);
    return n + WA_SHA256_BYTES;
}

bool wa__cid_equal(const wa_cid *a, const wa_cid *b)
{
    return a->codec == b->codec && memcmp(a->digest, b->digest, WA_SHA256_BYTES) == 0;
}

wa_status wa__cid_of_block(uint8_t version, uint64_t codec, const void *p, size_t n, wa_cid *out, wa_error *err)
{
    wa_cid cid = {.version = version, .codec = codec};
    WA_TRY(wa__sha256(p, n, cid.digest, err));
    *out = cid;
    return WA_OK;
}

wa_status wa__cid_of_bytes(const void *p, size_t n, wa_cid *out, wa_error *err)
{
    return wa__cid_of_block(1, WA_CODEC_RAW, p, n, out, err);
}
