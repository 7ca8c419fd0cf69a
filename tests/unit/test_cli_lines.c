/* Lines of a pipe and of a file, and rows whose numbers give the same floats back. */
#include "cli_lines.h"
#include "tests.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void expect(cli_lines *l, const char *want)
{
    const char *line = NULL;
    assert_int_equal(cli_lines_next(l, 1000, &line), WA_NEXT_TEXT);
    assert_string_equal(line, want);
}

static void put(int fd, const char *text) { assert_int_equal(write(fd, text, strlen(text)), strlen(text)); }

static void pipes(void **state)
{
    (void)state;
    int fd[2];
    const char *line;
    assert_int_equal(pipe(fd), 0);
    cli_lines *l = cli_lines_open(fd[0]);
    assert_non_null(l);
    assert_int_equal(cli_lines_next(l, 1, &line), WA_NEXT_WAIT);
    put(fd[1], "one\r\n\ntw");
    expect(l, "one");
    expect(l, "");
    assert_int_equal(cli_lines_next(l, 1, &line), WA_NEXT_WAIT);
    put(fd[1], "o\nlast");
    expect(l, "two");
    close(fd[1]);
    expect(l, "last");
    assert_int_equal(cli_lines_next(l, 1, &line), WA_NEXT_END);
    assert_int_equal(cli_lines_next(l, 1, &line), WA_NEXT_END);
    assert_int_equal(cli_lines_expected(l), 0);
    assert_int_equal(cli_lines_error(l), 0);
    cli_lines_close(l);
    close(fd[0]);
}

/* Lines of every length around the buffer's, from a file: all come whole, and how many there are is foreseen. */
static void files(void **state)
{
    (void)state;
    enum { N = 60, STEP = 33333 };
    FILE *f = tmpfile();
    assert_non_null(f);
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < i * STEP; k++) putc('a' + (i + k) % 26, f);
        putc('\n', f);
    }
    rewind(f);
    cli_lines *l = cli_lines_open(fileno(f));
    for (int i = 0; i < N; i++) {
        const char *line;
        assert_int_equal(cli_lines_next(l, 1000, &line), WA_NEXT_TEXT);
        assert_int_equal(strlen(line), i * STEP);
        if (i) assert_true(line[0] == 'a' + i % 26 && line[i * STEP - 1] == 'a' + (i + i * STEP - 1) % 26);
    }
    const char *line;
    assert_int_equal(cli_lines_next(l, 1, &line), WA_NEXT_END);
    assert_int_equal(cli_lines_expected(l), N);
    cli_lines_close(l);
    fclose(f);
    int folder = open("/", O_RDONLY);
    l = cli_lines_open(folder);
    assert_int_equal(cli_lines_next(l, 1, &line), WA_NEXT_END);
    assert_int_equal(cli_lines_error(l), EISDIR);
    cli_lines_close(l);
    close(folder);
}

static void rows(void **state)
{
    (void)state;
    enum { N = 200000 };
    static float v[N];
    uint32_t random = 1;
    const float edges[] = {0, -0.0f, 1, -1, 0.1f, 0.01f, 1e-4f, 9.99999975e-5f, 0.999999940f, 9.99999905f, 99999992.0f, 1e8f, 1e-30f, 3.4e38f, 1e-45f, 123.5f, 10, 100, 1000000, INFINITY, NAN};
    for (int i = 0; i < N; i++) {
        random = random * 1664525u + 1013904223u;
        uint32_t bits = i % 3 ? (random & 0x807fffffu) | (uint32_t)(110 + random % 40) << 23 : random;
        memcpy(&v[i], &bits, sizeof bits);
    }
    memcpy(v, edges, sizeof edges);
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    cli_print_row(f, 42, v, N);
    fclose(f);
    const char start[] = "{\"index\":42,\"output\":[";
    assert_int_equal(strncmp(text, start, strlen(start)), 0);
    char *p = text + strlen(start);
    for (int i = 0; i < N; i++) {
        char *end;
        if (!isfinite(v[i])) {
            assert_int_equal(strncmp(p, "null", 4), 0);
            end = p + 4;
        } else if (strtof(p, &end) != v[i]) fail_msg("%.9g became %.20s", (double)v[i], p);
        assert_true(*end == (i + 1 < N ? ',' : ']'));
        p = end + 1;
    }
    assert_string_equal(p, "}\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pipes), cmocka_unit_test(files), cmocka_unit_test(rows)};
    return cmocka_run_group_tests_name("cli lines", tests, NULL, NULL);
}
