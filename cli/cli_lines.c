/* See cli_lines.h. A line may be longer than the buffer, which then grows; a NUL within a line ends it. */
#include "cli_lines.h"
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 256 * 1024 };

struct cli_lines {
    int fd, error;
    bool ended;
    char *buffer;
    size_t cap, from, to, seen; /* what is read lies in [from, to); no newline in [from, seen) */
    uint64_t file_bytes; /* 0: not a file */
    atomic_ullong bytes, lines;
};

cli_lines *cli_lines_open(int fd)
{
    cli_lines *l = calloc(1, sizeof *l);
    struct stat s;
    if (!l) return NULL;
    l->fd = fd;
    if (fstat(fd, &s) == 0 && S_ISREG(s.st_mode)) {
        off_t at = lseek(fd, 0, SEEK_CUR);
        if (at >= 0 && s.st_size > at) l->file_bytes = (uint64_t)(s.st_size - at);
    }
    return l;
}

void cli_lines_close(cli_lines *l)
{
    if (!l) return;
    free(l->buffer);
    free(l);
}

int cli_lines_error(const cli_lines *l) { return l->error; }

uint64_t cli_lines_expected(cli_lines *l)
{
    uint64_t bytes = atomic_load(&l->bytes), lines = atomic_load(&l->lines);
    return l->file_bytes && bytes ? (uint64_t)((double)lines * (double)l->file_bytes / (double)bytes + 0.5) : 0;
}

/* Room for more behind `to` (and one for a NUL); what is used up goes. */
static bool make_room(cli_lines *l)
{
    if (l->from) {
        memmove(l->buffer, l->buffer + l->from, l->to - l->from);
        l->to -= l->from;
        l->seen -= l->from;
        l->from = 0;
    }
    if (l->cap - l->to > READ_BYTES) return true;
    size_t cap = l->cap ? l->cap * 2 : 2 * READ_BYTES + 1;
    char *grown = realloc(l->buffer, cap);
    if (!grown) {
        l->error = ENOMEM;
        return false;
    }
    l->buffer = grown;
    l->cap = cap;
    return true;
}

static wa_next_status more(cli_lines *l, uint32_t wait_ms)
{
    struct pollfd p = {l->fd, POLLIN, 0};
    int n = poll(&p, 1, (int)wait_ms);
    if (n == 0 || (n < 0 && errno == EINTR)) return WA_NEXT_WAIT;
    if (!make_room(l)) return WA_NEXT_END;
    ssize_t got = read(l->fd, l->buffer + l->to, READ_BYTES);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return WA_NEXT_WAIT;
    if (got < 0) l->error = errno;
    if (got <= 0) return WA_NEXT_END;
    l->to += (size_t)got;
    return WA_NEXT_TEXT;
}

static const char *cut(cli_lines *l, size_t end, size_t next)
{
    char *line = l->buffer + l->from;
    atomic_fetch_add(&l->bytes, next - l->from);
    atomic_fetch_add(&l->lines, 1);
    while (end > l->from && (l->buffer[end - 1] == '\r' || l->buffer[end - 1] == '\n')) end--;
    l->buffer[end] = 0;
    l->from = l->seen = next;
    return line;
}

wa_next_status cli_lines_next(cli_lines *l, uint32_t wait_ms, const char **line)
{
    for (;;) {
        char *nl = l->to > l->seen ? memchr(l->buffer + l->seen, '\n', l->to - l->seen) : NULL;
        if (nl) {
            *line = cut(l, (size_t)(nl - l->buffer), (size_t)(nl - l->buffer) + 1);
            return WA_NEXT_TEXT;
        }
        l->seen = l->to;
        if (!l->ended) {
            wa_next_status s = more(l, wait_ms);
            if (s == WA_NEXT_TEXT) continue;
            if (s == WA_NEXT_WAIT) return s;
            l->ended = true;
        }
        if (l->from == l->to || l->error) return WA_NEXT_END;
        *line = cut(l, l->to, l->to); /* the last line has no newline */
        return WA_NEXT_TEXT;
    }
}

/* --- rows ---------------------------------------------------------------------------------------- */
enum { FLOAT_CHARS = 32, DIGITS = 9 };

/* What %.9g gives, but in a fifteenth of its time: printing is what bounds a fast GPU otherwise. A scaled double has
 * room for 9 digits and 7 more, so only where those say "half" the last digit may be the other one; both give the
 * same float back. */
static char *put_float(char *p, float f)
{
    static const double powers[] = {1e-4, 1e-3, 1e-2, 1e-1, 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13};
    double v = fabs((double)f);
    if (!(v >= 1e-4 && v < 1e8)) return p + (isfinite(f) ? snprintf(p, FLOAT_CHARS, "%.9g", (double)f) : snprintf(p, FLOAT_CHARS, "null"));
    int point = -3; /* digits before the point; powers[point + 4] is 10 to it */
    while (v >= powers[point + 4]) point++;
    uint64_t digits = (uint64_t)(v * powers[DIGITS - point + 4] + 0.5);
    if (digits >= 1000000000u) return p + snprintf(p, FLOAT_CHARS, "%.9g", (double)f);
    char text[DIGITS];
    for (int i = DIGITS - 1; i >= 0; i--, digits /= 10) text[i] = (char)('0' + digits % 10);
    int n = DIGITS;
    while (n > 1 && n > point && text[n - 1] == '0') n--;
    if (f < 0) *p++ = '-';
    if (point <= 0) *p++ = '0', *p++ = '.';
    for (int i = point; i < 0; i++) *p++ = '0';
    for (int i = 0; i < n; i++) {
        if (i == point && i) *p++ = '.';
        *p++ = text[i];
    }
    return p;
}

void cli_print_row(FILE *out, size_t index, const float *v, size_t count)
{
    enum { EACH = 256 };
    char text[EACH * FLOAT_CHARS], *p = text + snprintf(text, sizeof text, "{\"index\":%zu,\"output\":[", index);
    for (size_t i = 0; i < count; i++) {
        if (i) *p++ = ',';
        p = put_float(p, v[i]);
        if ((size_t)(p - text) < sizeof text - 2 * FLOAT_CHARS) continue;
        fwrite(text, 1, (size_t)(p - text), out);
        p = text;
    }
    memcpy(p, "]}\n", 3);
    fwrite(text, 1, (size_t)(p - text) + 3, out);
}
