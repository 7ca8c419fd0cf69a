/* Texts without end through the public API, on the CPU: order, windows, pauses, cancellation, bad sources. The model
 * is the tiny one among the fixtures. */
#include "base/os.h"
#include "tests.h"
#include "webaccel/webaccel.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { ROW_FLOATS = 32 };

typedef struct source {
    wa_accelerator *a;
    uint32_t at, count, pause_at, bad_at, cancel_at; /* 0: never */
    bool paused;
    char text[512];
    size_t rows, last;
    bool out_of_order;
    float *kept; /* rows by index; may be NULL */
} source;

/* Lengths from 1 to 40 words, no two neighbours alike. */
static const char *words(char *out, size_t size, uint32_t i)
{
    size_t n = 0;
    for (uint32_t k = 0; k < 1 + i * 17 % 40; k++) n += (size_t)snprintf(out + n, size - n, "%sw%u", k ? " " : "", (i + k) % 50);
    return out;
}

static wa_next_status next(void *user, uint32_t wait_ms, const char **text)
{
    source *s = user;
    (void)wait_ms;
    if (s->at == s->count) return WA_NEXT_END;
    if (s->bad_at && s->at == s->bad_at) return (wa_next_status)7;
    if (s->pause_at && s->at == s->pause_at && !s->paused) {
        s->paused = true;
        return WA_NEXT_WAIT;
    }
    *text = words(s->text, sizeof s->text, s->at++);
    return WA_NEXT_TEXT;
}

static void row(void *user, size_t index, const float *vector, size_t count)
{
    source *s = user;
    assert_int_equal(count, ROW_FLOATS);
    s->out_of_order |= s->rows && index != s->last + 1;
    s->last = index;
    s->rows++;
    if (s->kept) memcpy(s->kept + index * ROW_FLOATS, vector, sizeof(float) * ROW_FLOATS);
    if (s->cancel_at && s->rows == s->cancel_at) wa_accelerator_cancel(s->a);
}

static char home[64]; /* of the test under way */

static wa_accelerator *make(void)
{
    snprintf(home, sizeof home, "/tmp/wa-stream-XXXXXX");
    assert_non_null(mkdtemp(home));
    wa_accelerator_options o = WA_ACCELERATOR_OPTIONS_INIT;
    o.home = home;
    o.store_results = false;
    wa_accelerator *a;
    wa_error err = {0};
    assert_ok(wa_accelerator_create(&o, &a, &err), err);
    return a;
}

static void end(wa_accelerator *a)
{
    wa_error err = {0};
    wa_accelerator_free(a);
    assert_ok(wa__os_remove_tree(home, &err), err);
}

static wa_accelerate_options options(source *s)
{
    wa_accelerate_options o = WA_ACCELERATE_OPTIONS_INIT;
    o.model = WA_TEST_DIR "/fixtures/bert-tiny/hf";
    o.target = "cpu";
    o.next = next;
    o.row = row;
    o.user = s;
    return o;
}

/* Two windows and a bit, each row compared with the text run alone. */
static void order(void **state)
{
    (void)state;
    enum { N = 9000 };
    source s = {.a = make(), .count = N, .kept = calloc(N, sizeof(float) * ROW_FLOATS)};
    wa_accelerate_options o = options(&s);
    wa_error err = {0};
    wa_result *r;
    double runs = 0;
    assert_ok(wa_accelerate(s.a, &o, &r, &err), err);
    assert_int_equal(s.rows, N);
    assert_false(s.out_of_order);
    assert_int_equal(wa_result_output_count(r), 0); /* they were taken */
    assert_true(wa_result_number(r, "memory_predicted_bytes", &runs) && runs > 0);
    wa_result_free(r);
    const uint32_t some[] = {0, 1, 39, 4095, 4096, 8191, 8999};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        char text[512];
        const char *one = words(text, sizeof text, some[i]);
        wa_accelerate_options alone = WA_ACCELERATE_OPTIONS_INIT;
        alone.model = o.model;
        alone.target = "cpu";
        alone.texts = &one;
        alone.text_count = 1;
        assert_ok(wa_accelerate(s.a, &alone, &r, &err), err);
        const float *want = wa_result_output(r, 0)->data, *got = s.kept + (size_t)some[i] * ROW_FLOATS;
        for (int k = 0; k < ROW_FLOATS; k++)
            if (want[k] - got[k] > 1e-5f || got[k] - want[k] > 1e-5f) fail_msg("text %u: %g in the stream, %g alone", some[i], (double)got[k], (double)want[k]);
        wa_result_free(r);
    }
    free(s.kept);
    end(s.a);
}

/* An array of more texts than one run takes is a stream too, and keeps its rows. */
static void kept(void **state)
{
    (void)state;
    enum { N = 100 };
    static char text[N][512];
    const char *texts[N];
    source s = {.a = make()};
    for (uint32_t i = 0; i < N; i++) texts[i] = words(text[i], sizeof text[i], i);
    wa_accelerate_options o = options(&s);
    o.next = NULL;
    o.texts = texts;
    o.text_count = N;
    wa_error err = {0};
    wa_result *r;
    assert_ok(wa_accelerate(s.a, &o, &r, &err), err);
    assert_int_equal(s.rows, N);
    assert_false(s.out_of_order);
    assert_int_equal(wa_result_output(r, 0)->type.dims[0], N);
    assert_int_equal(wa_result_output(r, 0)->type.dims[1], ROW_FLOATS);
    wa_result_free(r);
    end(s.a);
}

static void pauses_and_ends(void **state)
{
    (void)state;
    wa_error err = {0};
    wa_result *r;
    source s = {.a = make(), .count = 40, .pause_at = 3};
    wa_accelerate_options o = options(&s);
    assert_ok(wa_accelerate(s.a, &o, &r, &err), err);
    wa_result_free(r);
    assert_int_equal(s.rows, 40);
    s = (source){.a = s.a};
    assert_int_equal(wa_accelerate(s.a, &o, &r, &err), WA_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "no texts"));
    s = (source){.a = s.a, .count = 5000, .bad_at = 4500}; /* what came before goes out */
    assert_int_equal(wa_accelerate(s.a, &o, &r, &err), WA_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "gave 7"));
    assert_int_equal(s.rows, 4096);
    s = (source){.a = s.a, .count = 10};
    o.runs = 2;
    assert_int_equal(wa_accelerate(s.a, &o, &r, &err), WA_INVALID_ARGUMENT);
    end(s.a);
}

static void cancelled(void **state)
{
    (void)state;
    wa_error err = {0};
    wa_result *r;
    source s = {.a = make(), .count = UINT32_MAX, .cancel_at = 5000};
    wa_accelerate_options o = options(&s);
    assert_int_equal(wa_accelerate(s.a, &o, &r, &err), WA_CANCELLED);
    assert_true(s.rows >= 5000);
    char want[64];
    snprintf(want, sizeof want, "after %zu texts", s.rows);
    assert_non_null(strstr(err.message, want));
    end(s.a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(order), cmocka_unit_test(kept), cmocka_unit_test(pauses_and_ends), cmocka_unit_test(cancelled)};
    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
