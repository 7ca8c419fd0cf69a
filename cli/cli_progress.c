/* One progress line on a terminal's stderr: what, a bar, amount, rate and time left. */
#include "cli.h"
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
    bool off, shown;
    char what[64];
    double start, last;
} state;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void cli_progress_enable(bool on) { state.off = !on || !isatty(2); }

void cli_progress_end(void)
{
    if (state.shown) fprintf(stderr, "\r\033[K");
    state.shown = false;
    state.what[0] = 0;
}

void cli_progress(const char *what, uint64_t done, uint64_t total, bool bytes)
{
    if (state.off) return;
    double t = now();
    if (strncmp(state.what, what, sizeof state.what - 1) != 0) {
        snprintf(state.what, sizeof state.what, "%s", what);
        state.start = t;
        state.last = 0;
    }
    if (t - state.last < 0.05 && done != total) return;
    state.last = t;
    state.shown = true;
    double spent = t - state.start, unit = bytes ? 1e6 : 1;
    const char *name = bytes ? " MB" : "";
    if (total == 0) {
        if (done == 0) fprintf(stderr, "\r\033[K%s ...", what);
        else fprintf(stderr, "\r\033[K%s %.0f%s, %.0f%s/s", what, (double)done / unit, name, (double)done / unit / (spent > 0.05 ? spent : 0.05), name);
        return;
    }
    double part = (double)done / (double)total;
    char bar[31];
    int filled = (int)(part * 30);
    memset(bar, '-', 30);
    memset(bar, '#', (size_t)(filled < 0 ? 0 : filled > 30 ? 30 : filled));
    bar[30] = 0;
    fprintf(stderr, "\r\033[K%s [%s] %.0f/%.0f%s", what, bar, (double)done / unit, (double)total / unit, name);
    if (spent > 0.2 && done) fprintf(stderr, ", %.0f%s/s, %.0f s left", (double)done / unit / spent, name, spent * (1 - part) / part);
}
