/* bridge: frames, the session's state machine under a page that breaks the protocol, conversions, and
 * a page played by hand: token, hello, job, cancel, loss. */
#include "tests.h"
#include <math.h>
#include "base/os.h"
#include "bridge/bridge_int.h"
#include <stdlib.h>

static void frames(void **state)
{
    (void)state;
    uint8_t m[64] = {0};
    wa_wire f;
    wa_error err = {0};
    wa__wire_header(m, WA_FRAME_RESULT, 7, 0, 2, 3);
    memcpy(m + 32, "{}abc", 5);
    assert_ok(wa__wire_parse(m, 37, &f, &err), err);
    assert_int_equal(f.type, WA_FRAME_RESULT);
    assert_int_equal(f.job, 7);
    assert_int_equal(f.body.len, 3);
    assert_memory_equal(f.body.ptr, "abc", 3);
    for (size_t n = 0; n < 37; n++)
        if (wa__wire_parse(m, n, &f, &err) == WA_OK) fail_msg("a frame cut at %zu bytes was accepted", n);
    assert_true(wa__wire_parse(m, 38, &f, &err) != WA_OK);
    m[0] ^= 1;
    assert_int_equal(wa__wire_parse(m, 37, &f, &err), WA_PROTOCOL);
}

static void conversions(void **state)
{
    (void)state;
    wa_error err = {0};
    int64_t wide[3] = {-5, INT32_MAX, (int64_t)INT32_MAX + 1}, back[2];
    int32_t narrow[3];
    assert_ok(wa__bridge_convert(wide, WA_I64, narrow, WA_I32, 2, "x", &err), err);
    assert_int_equal(narrow[0], -5);
    assert_int_equal(wa__bridge_convert(wide, WA_I64, narrow, WA_I32, 3, "tokens", &err), WA_UNSUPPORTED);
    assert_non_null(strstr(err.message, "\"tokens\": element 2"));
    assert_ok(wa__bridge_convert(narrow, WA_I32, back, WA_I64, 2, "x", &err), err);
    assert_int_equal(back[0], -5);
    uint8_t flags[3] = {0, 1, 255};
    uint32_t words[3];
    assert_ok(wa__bridge_convert(flags, WA_BOOL, words, WA_U32, 3, "x", &err), err);
    assert_int_equal(words[0], 0);
    assert_int_equal(words[1], 1);
    float f = 1.5f;
    uint16_t h;
    assert_ok(wa__bridge_convert(&f, WA_F32, &h, WA_F16, 1, "x", &err), err);
    assert_int_equal(h, 0x3e00);
    assert_int_equal(wa__bridge_convert(&f, WA_F32, &h, WA_DTYPE_NONE, 1, "x", &err), WA_UNSUPPORTED);
    const uint64_t far[2] = {UINT32_MAX, UINT64_MAX};
    const int8_t bytes[2] = {-128, 127};
    const float ties[2] = {1.00390625f, 1.01171875f}; /* halves of bfloat16's last place: to even */
    const double doubled = 1;
    uint16_t brief[2];
    assert_ok(wa__bridge_convert(far, WA_U64, words, WA_U32, 1, "x", &err), err);
    assert_int_equal(words[0], UINT32_MAX);
    assert_int_equal(wa__bridge_convert(far, WA_U64, words, WA_U32, 2, "ids", &err), WA_UNSUPPORTED);
    assert_non_null(strstr(err.message, "\"ids\": element 1, 18446744073709551615"));
    assert_ok(wa__bridge_convert(bytes, WA_I8, narrow, WA_I32, 2, "x", &err), err);
    assert_int_equal(narrow[0], -128);
    assert_ok(wa__bridge_convert(ties, WA_F32, brief, WA_BF16, 2, "x", &err), err);
    assert_int_equal(brief[0], 0x3f80);
    assert_int_equal(brief[1], 0x3f82);
    assert_int_equal(wa__bridge_convert(&doubled, WA_F64, &f, WA_F32, 1, "x", &err), WA_UNSUPPORTED);
    const int32_t small[3] = {-8, 7, 8};
    uint8_t packed[2] = {0, 0}, code = 0;
    const float infinite = INFINITY;
    assert_ok(wa__bridge_convert(small, WA_I32, packed, WA_I4, 2, "x", &err), err);
    assert_int_equal(packed[0], 0x78);
    assert_int_equal(wa__bridge_convert(small, WA_I32, packed, WA_I4, 3, "x", &err), WA_UNSUPPORTED);
    assert_ok(wa__bridge_convert(&infinite, WA_F32, &code, WA_F8E5M2, 1, "x", &err), err); /* casts on the device saturate, or mean it */
    assert_int_equal(code, 0x7c);
}

/* --- a page played by hand, through sessions without a socket --------------------------------- */
static const char HELLO[] = "{\"token\":\"%s\",\"wire\":3,\"webgpu\":true,\"worker\":true,\"limits\":{\"maxBufferSize\":1073741824,"
                            "\"maxStorageBufferBindingSize\":134217728},\"features\":[\"shader-f16\"],\"adapter\":{\"vendor\":\"acme\",\"software\":false},"
                            "\"brands\":[{\"brand\":\"Chromium\",\"version\":\"1\"}],\"user_agent\":\"X Chrome/156.0.1.2 Y\"}";

static wa_bridge_host *make_host(void)
{
    wa_bridge_host *h;
    wa_error err = {0};
    wa_status s = wa__bridge_host_create(NULL, &h, &err);
    assert_ok(s, err);
    return h;
}

static bool tell(bridge_session *s, uint32_t type, uint64_t job, const char *meta, const char *body, size_t body_bytes)
{
    size_t n = 32 + strlen(meta) + body_bytes;
    uint8_t *m = malloc(n);
    wa__wire_header(m, type, job, 0, strlen(meta), body_bytes);
    memcpy(m + 32, meta, strlen(meta));
    if (body_bytes) memcpy(m + 32 + strlen(meta), body, body_bytes);
    bool good = wa__session_on_message(s, m, n, true);
    free(m);
    return good;
}

static bridge_session *joined(wa_bridge_host *h, const char *format)
{
    char *url, text[1024];
    uint64_t ticket;
    wa_error err = {0};
    wa_status st = wa__bridge_host_url(h, NULL, &url, &ticket, &err);
    assert_ok(st, err);
    bridge_session *s = wa__session_new(h, NULL);
    assert_non_null(s);
    snprintf(text, sizeof text, format, strchr(url, '#') + 1);
    assert_null(strchr(url, '?'));
    assert_true(tell(s, WA_FRAME_HELLO, 0, text, NULL, 0));
    assert_int_equal(s->ticket, ticket);
    bridge_session *again = wa__session_new(h, NULL);
    if (tell(again, WA_FRAME_HELLO, 0, text, NULL, 0)) fail_msg("a token worked twice");
    wa__session_free(again);
    wa__free(url);
    return s;
}

static void hello_and_token(void **state)
{
    (void)state;
    wa_bridge_host *h = make_host();
    bridge_session *s = joined(h, HELLO);
    assert_string_equal(s->target.browser, "Chromium");
    assert_string_equal(s->target.browser_version, "156.0.1.2");
    assert_string_equal(s->target.adapter_vendor, "acme");
    assert_false(s->target.adapter_software);
    assert_int_equal(s->target.features, WA_FEATURE_F16);
    assert_int_equal(s->target.limit_binding, 134217728);
    assert_null(strstr(s->info.json, "token"));
    wa__session_free(s);
    const char *bad[] = {"{}", "[]", "{\"token\":5}", "{\"token\":\"\"}", "{\"token\":\"%064d\"}", "nonsense"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        s = wa__session_new(h, NULL);
        if (tell(s, WA_FRAME_HELLO, 0, bad[i], NULL, 0)) fail_msg("hello %s was accepted", bad[i]);
        assert_int_equal(s->state, BRIDGE_DEAD);
        wa__session_free(s);
    }
    s = wa__session_new(h, NULL);
    assert_false(tell(s, WA_FRAME_PONG, 0, "{}", NULL, 0));
    wa__session_free(s);
    wa__bridge_host_free(h);
}

static void hostile_replies(void **state)
{
    (void)state;
    wa_bridge_host *h = make_host();
    const struct { uint32_t type; uint64_t job; const char *meta; } bad[] = {
        {WA_FRAME_RESULT, 0, "{}"},  {WA_FRAME_RESULT, 2, "{}"}, {WA_FRAME_LOADED, 1, "{}"}, {WA_FRAME_RESULT, 1, "[]"},
        {WA_FRAME_RUN, 1, "{}"},     {WA_FRAME_HELLO, 0, "{}"},  {999, 1, "{}"},             {WA_FRAME_PROGRESS, 9, "{}"},
        {WA_FRAME_PROGRESS, 1, "x"}, {WA_FRAME_ERROR, 1, "{"},   {WA_FRAME_BYE, 0, "{}"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bridge_session *s = joined(h, HELLO);
        s->jobs[1].id = s->next_job = 1;
        s->jobs[1].want = WA_FRAME_RESULT;
        if (tell(s, bad[i].type, bad[i].job, bad[i].meta, NULL, 0)) fail_msg("case %zu was accepted", i);
        assert_int_equal(s->state, BRIDGE_DEAD);
        wa__session_free(s);
    }
    bridge_session *s = joined(h, HELLO);
    bridge_job *j = &s->jobs[1];
    j->id = s->next_job = 1;
    j->want = WA_FRAME_RESULT;
    assert_true(tell(s, WA_FRAME_PROGRESS, 1, "{\"bytes_done\":-1,\"bytes_total\":1e300}", NULL, 0));
    assert_int_equal(j->progress.bytes_total, 0);
    assert_true(tell(s, WA_FRAME_ERROR, 1, "{\"status\":\"NOT_FOUND\",\"message\":\"no\"}", NULL, 0));
    assert_int_equal(j->status, WA_NOT_FOUND);
    assert_true(tell(s, WA_FRAME_RESULT, 1, "{}", "late", 4)); /* a second answer changes nothing */
    assert_int_equal(j->status, WA_NOT_FOUND);
    assert_true(tell(s, WA_FRAME_DEVICE_LOST, 0, "{\"reason\":\"unknown\",\"message\":\"gone\"}", NULL, 0));
    wa_error err = {0};
    assert_int_equal(wa__session_call(s, WA_FRAME_RUN, WA_FRAME_RESULT, json_object(), NULL, NULL, &err), WA_DEVICE_LOST);
    assert_non_null(strstr(err.message, "gone"));
    wa__session_free(s);
    wa__bridge_host_free(h);
}

/* --- jobs: deadline, cancel, silence -------------------------------------------------------------- */
static void *answer_later(void *arg)
{
    bridge_session *s = arg;
    wa__os_sleep_ms(60);
    tell(s, WA_FRAME_RESULT, 1, "{\"device_ms\":1}", "abcd", 4);
    return NULL;
}

static void jobs(void **state)
{
    (void)state;
    wa_bridge_host *h = make_host();
    bridge_session *s = joined(h, HELLO);
    wa_error err = {0};
    pthread_t t;
    pthread_create(&t, NULL, answer_later, s);
    const wa_run_control patient = {.timeout_ms = 5000};
    bridge_job *j;
    wa_status st = wa__session_call(s, WA_FRAME_RUN, WA_FRAME_RESULT, json_object(), &patient, &j, &err);
    pthread_join(t, NULL);
    assert_ok(st, err);
    assert_int_equal(j->body.len, 4);
    wa__session_release(s, j);
    atomic_bool cancel = true;
    const wa_run_control cancelled = {.cancel = &cancel}, hasty = {.timeout_ms = 50};
    assert_int_equal(wa__session_call(s, WA_FRAME_RUN, WA_FRAME_RESULT, json_object(), &cancelled, NULL, &err), WA_CANCELLED);
    assert_false(wa__bridge_alive(&s->runner, NULL)); /* the page never confirmed */
    wa__session_free(s);
    s = joined(h, HELLO);
    assert_int_equal(wa__session_call(s, WA_FRAME_RUN, WA_FRAME_RESULT, json_object(), &hasty, NULL, &err), WA_TIMEOUT);
    const char *why;
    assert_false(wa__bridge_alive(&s->runner, &why));
    assert_non_null(strstr(why, "deadline"));
    wa__session_free(s);
    const wa_bridge_wants w = {.timeout_ms = 80};
    wa_runner *r;
    assert_int_equal(wa__bridge_host_wait(h, 12345, &w, &r, &err), WA_TIMEOUT);
    wa__bridge_host_free(h);
}

/* Answers may come in any order; a packed one needs its 24 bytes. */
static void several_jobs(void **state)
{
    (void)state;
    wa_bridge_host *h = make_host();
    bridge_session *s = joined(h, HELLO);
    wa_error err = {0};
    bridge_job *a, *b, *more[BRIDGE_JOBS_MAX];
    wa_status st = wa__session_send(s, WA_FRAME_RUN, WA_FRAME_RESULT, 1, json_object(), NULL, 0, &a, &err);
    assert_ok(st, err);
    st = wa__session_send(s, WA_FRAME_RUN | WA_WIRE_AGAIN << 16, WA_FRAME_RESULT, 1, NULL, NULL, 0, &b, &err);
    assert_ok(st, err);
    uint8_t packed[24] = {0};
    const double ms[2] = {1.5, -1};
    memcpy(packed, ms, 16);
    packed[16] = 7;
    uint8_t m[64] = {0};
    wa__wire_header(m, WA_FRAME_RESULT | WA_WIRE_PACKED << 16, b->id, 0, 24, 3);
    memcpy(m + 32, packed, 24);
    memcpy(m + 56, "two", 3);
    assert_true(wa__session_on_message(s, m, 59, true));
    assert_true(b->done);
    assert_false(a->done);
    st = wa__session_await(s, b, NULL, &err);
    assert_ok(st, err);
    assert_memory_equal(b->body.ptr, "two", 3);
    assert_int_equal(b->packed.dispatches, 7);
    assert_true(tell(s, WA_FRAME_RESULT, a->id, "{}", "one", 3));
    st = wa__session_await(s, a, NULL, &err);
    assert_ok(st, err);
    assert_memory_equal(a->body.ptr, "one", 3);
    wa__session_release(s, a);
    wa__session_release(s, b);
    /* A long part stays with its job, for the page to fetch. */
    bridge_blob *blobs[2] = {wa__blob_new(8), wa__blob_new(WA_WIRE_INLINE_BYTES_MAX + 4)};
    assert_true(blobs[0] && blobs[1]);
    st = wa__session_send(s, WA_FRAME_RUN, WA_FRAME_RESULT, 0, NULL, blobs, 2, &a, &err);
    assert_ok(st, err);
    assert_null(a->blobs[0]);
    assert_ptr_equal(a->blobs[1], blobs[1]);
    assert_int_equal(atomic_load(&blobs[1]->refs), 2);
    wa__session_release(s, a);
    assert_int_equal(atomic_load(&blobs[1]->refs), 1);
    wa__blob_drop(blobs[0]);
    wa__blob_drop(blobs[1]);
    for (int i = 0; i < BRIDGE_JOBS_MAX; i++) {
        st = wa__session_send(s, WA_FRAME_RUN, WA_FRAME_RESULT, 0, NULL, NULL, 0, &more[i], &err);
        assert_ok(st, err);
    }
    assert_int_equal(wa__session_send(s, WA_FRAME_RUN, WA_FRAME_RESULT, 0, NULL, NULL, 0, &a, &err), WA_LIMIT);
    wa__wire_header(m, WA_FRAME_RESULT | WA_WIRE_PACKED << 16, more[0]->id, 0, 23, 0);
    assert_false(wa__session_on_message(s, m, 55, true));
    assert_int_equal(wa__session_await(s, more[1], NULL, &err), WA_PROTOCOL);
    wa__session_free(s);
    wa__bridge_host_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames), cmocka_unit_test(several_jobs), cmocka_unit_test(conversions), cmocka_unit_test(hello_and_token), cmocka_unit_test(hostile_replies), cmocka_unit_test(jobs),
    };
    return cmocka_run_group_tests_name("bridge", tests, NULL, NULL);
}
