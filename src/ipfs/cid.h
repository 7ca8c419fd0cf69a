/* Content identifiers and the varints in them (multiformats: unsigned-varint, multihash, multibase,
 * CID v0 and v1). In: text or bytes that nobody has checked. Out: a wa_cid, or text. Called by all of
 * ipfs/ and, for its text forms, by api/.
 *
 *   v0   12 20 digest[32]                      text: base58btc without a prefix, 46 characters, Qm...
 *   v1   01 codec(varint) 12 20 digest[32]     text: b + base32 lower case (ours), z, k, f accepted
 *
 * Only SHA-256 of full length is accepted: identity, truncated and weak hashes are refused by name. */
#ifndef WA_CID_H
#define WA_CID_H
#include "base/hash.h"

#define WA_CODEC_RAW    0x55u
#define WA_CODEC_DAG_PB 0x70u

#define WA_CID_BYTES_MAX 48 /* 1 + 9 + 2 + 32, rounded up */
#define WA_CID_TEXT_MAX  128 /* buffer for any text that wa__cid_text writes, NUL included */
#define WA_CID_KEY_BYTES 36  /* a v1 CID of a one-byte codec: the store's key */

typedef struct wa_cid {
    uint8_t version; /* 0 or 1 */
    uint64_t codec;  /* WA_CODEC_DAG_PB for version 0 */
    uint8_t digest[WA_SHA256_BYTES];
} wa_cid;

/* Minimal unsigned varint of at most 9 bytes (multiformats; stricter than protobuf's). Returns the
 * bytes taken, 0 when malformed. */
size_t wa__uvarint_read(const uint8_t *p, size_t n, uint64_t *out);
/* Writes at most 10 bytes; returns how many. */
size_t wa__uvarint_write(uint64_t v, uint8_t out[10]);
size_t wa__uvarint_bytes(uint64_t v);

/* Whole text to CID. WA_INVALID_ARGUMENT when it is no CID, WA_UNSUPPORTED for another hash. */
wa_status wa__cid_parse(wa_str text, wa_cid *out, wa_error *err) WA_MUST_CHECK;
/* v0 as base58btc, v1 as base32. */
void wa__cid_text(const wa_cid *cid, char out[WA_CID_TEXT_MAX]);
/* Binary form at p, which may be longer; *used is its length. WA_CORRUPT or WA_UNSUPPORTED. */
wa_status wa__cid_read(const uint8_t *p, size_t n, wa_cid *out, size_t *used, wa_error *err) WA_MUST_CHECK;
/* Returns the length of the binary form. */
size_t wa__cid_write(const wa_cid *cid, uint8_t out[WA_CID_BYTES_MAX]);
/* Same codec and digest; version 0 equals its version 1 twin. */
bool wa__cid_equal(const wa_cid *a, const wa_cid *b);
/* The v1 raw CID of small bytes: how blobs such as plans are named. */
wa_status wa__cid_of_bytes(const void *p, size_t n, wa_cid *out, wa_error *err) WA_MUST_CHECK;
/* The CID of a block under a codec and version. */
wa_status wa__cid_of_block(uint8_t version, uint64_t codec, const void *p, size_t n, wa_cid *out, wa_error *err) WA_MUST_CHECK;

#endif
