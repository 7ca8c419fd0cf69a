/* CIDs: text and bytes, both ways, strictly. */
#include "base/str.h"
#include "ipfs/cid.h"
#include "tests.h"

#define V1_HELLO "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
#define V0_EMPTY "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"

static void test_known(void **state)
{
    (void)state;
    wa_cid c;
    wa_error err = {0};
    char text[WA_CID_TEXT_MAX];
    assert_ok(wa__cid_of_bytes("hello world", 11, &c, &err), err);
    wa__cid_text(&c, text);
    assert_string_equal(text, V1_HELLO);
    const char *folder = "\x0a\x02\x08\x01";
    assert_ok(wa__cid_of_block(0, WA_CODEC_DAG_PB, folder, 4, &c, &err), err);
    wa__cid_text(&c, text);
    assert_string_equal(text, "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn");
    c.version = 1;
    wa__cid_text(&c, text);
    assert_string_equal(text, "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354");
}

static void test_bases_agree(void **state)
{
    (void)state;
    /* One CID in each base, by Kubo's `ipfs cid format -b`. */
    static const char *const same[] = {
        V1_HELLO,
        "f01551220b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",
        "zb2rhj7crUKTQYRGCRATFaQ6YFLTde2YzdqbbhAASkL9uRDXn",
        "k2cwued9o1pvrt3q271rrqbo49x30tbxwpoeaq75z14e5ui2rzygpbe1",
    };
    wa_cid first, c;
    wa_error err = {0};
    assert_ok(wa__cid_parse(wa__str(same[0]), &first, &err), err);
    for (size_t i = 1; i < sizeof same / sizeof *same; i++) {
        assert_ok(wa__cid_parse(wa__str(same[i]), &c, &err), err);
        assert_true(wa__cid_equal(&first, &c));
    }
    assert_ok(wa__cid_parse(WA_STR(V0_EMPTY), &c, &err), err);
    assert_int_equal(c.version, 0);
    char text[WA_CID_TEXT_MAX];
    wa__cid_text(&c, text);
    assert_string_equal(text, V0_EMPTY);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        wa_status want;
    } bad[] = {
        {"", WA_INVALID_ARGUMENT},
        {"b", WA_INVALID_ARGUMENT},
        {"hello", WA_INVALID_ARGUMENT},
        {"bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5", WA_INVALID_ARGUMENT},   /* short */
        {"bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5eaa", WA_INVALID_ARGUMENT}, /* long */
        {"bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5f", WA_INVALID_ARGUMENT},  /* bits left over */
        {"bAFKREIFZJUT3TE2NHYEKKLSS27NH3K72YSCO7Y32KOAO5EEI66WOF36N5E", WA_INVALID_ARGUMENT},
        {"Qm0FMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH", WA_INVALID_ARGUMENT}, /* 0 is not in base58 */
        {"z" V0_EMPTY, WA_INVALID_ARGUMENT}, /* version 0 takes no prefix */
        {"f01551420b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9", WA_UNSUPPORTED}, /* sha3-512 */
        {"f01551214b94d27b9934d3e08a52e52d7da7dabfac484efe3", WA_UNSUPPORTED}, /* cut to 20 bytes */
        {"bafkqaaa", WA_UNSUPPORTED}, /* identity */
        {"f02551220b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9", WA_INVALID_ARGUMENT}, /* version 2 */
        {"f01d5001220b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9", WA_INVALID_ARGUMENT}, /* varint not minimal */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        wa_cid c;
        wa_error err = {0};
        wa_status s = wa__cid_parse(wa__str(bad[i].text), &c, &err);
        if (s != bad[i].want) fail_msg("\"%s\" gave %d (%s), not %d", bad[i].text, s, err.message, bad[i].want);
        assert_true(err.message[0] != 0);
    }
    char *huge = wa__alloc(1, 100001);
    memset(huge, 'z', 100000);
    wa_cid c;
    assert_int_equal(wa__cid_parse(wa__str(huge), &c, NULL), WA_INVALID_ARGUMENT);
    wa__free(huge);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 2000; seed++) {
        wa_cid c = {seed % 2, seed % 2 ? (seed % 3 ? WA_CODEC_RAW : WA_CODEC_DAG_PB) : WA_CODEC_DAG_PB, {0}}, d;
        wa_error err = {0};
        for (unsigned i = 0; i < 32; i++) c.digest[i] = (uint8_t)(seed * 2654435761u >> (i % 24)) ^ (uint8_t)(seed < 40 && i < seed ? seed * 0x9eu : i);
        char text[WA_CID_TEXT_MAX];
        uint8_t bytes[WA_CID_BYTES_MAX];
        wa__cid_text(&c, text);
        assert_ok(wa__cid_parse(wa__str(text), &d, &err), err);
        assert_true(wa__cid_equal(&c, &d) && c.version == d.version);
        size_t n = wa__cid_write(&c, bytes), used = 0;
        assert_ok(wa__cid_read(bytes, n, &d, &used, &err), err);
        assert_int_equal(n, used);
        for (size_t cut = 0; cut < n; cut++) assert_int_not_equal(wa__cid_read(bytes, cut, &d, &used, NULL), WA_OK);
    }
}

static void test_varint(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, (uint64_t)1 << 62};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        uint8_t b[10];
        uint64_t v;
        size_t n = wa__uvarint_write(values[i], b);
        assert_int_equal(n, wa__uvarint_bytes(values[i]));
        assert_int_equal(wa__uvarint_read(b, n, &v), n);
        assert_true(v == values[i]);
        assert_int_equal(wa__uvarint_read(b, n - 1, &v), 0);
    }
    uint64_t v;
    assert_int_equal(wa__uvarint_read((const uint8_t *)"\x80\x00", 2, &v), 0);
    assert_int_equal(wa__uvarint_read((const uint8_t *)"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 10, &v), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),   cmocka_unit_test(test_bases_agree), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_varint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
