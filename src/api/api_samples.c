/* What a benchmark or a profile keeps of a request: times of every run, of every dispatch, and when each
 * stage began. Filled by api_run.c, read by api_benchmark.c and api_profile.c. */
#include "api_int.h"
#include <math.h>
#include <stdlib.h>

void api_samples_stage(api_samples *s, const char *stage)
{
    for (uint32_t i = 0; i < s->stage_count; i++)
        if (strcmp(s->stages[i].name, stage) == 0) return; /* progress of one that began */
    if (s->stage_count == API_STAGES_MAX) return;
    s->stages[s->stage_count].name = stage;
    s->stages[s->stage_count++].at_ms = wa__os_now_ms();
}

wa_status api_samples_run(api_samples *s, uint32_t runs, const wa_run_stats *stats, double ms, wa_error *err)
{
    if (!s->run_ms) { /* one allocation for the three */
        if (!(s->run_ms = wa__alloc(runs, 3 * sizeof *s->run_ms))) return wa__no_memory(err, "the runs' times");
        s->device_ms = s->run_ms + runs;
        s->gpu_ms = s->device_ms + runs;
    }
    s->run_ms[s->run_count] = ms;
    s->device_ms[s->run_count] = stats->device_ms;
    s->gpu_ms[s->run_count++] = stats->gpu_ms;
    return WA_OK;
}

wa_status api_samples_profile(api_samples *s, const wa_plan *p, const wa_run_stats *stats, wa_error *err)
{
    s->profile_end_ms = wa__os_now_ms();
    s->profile_wall_ms = stats->wall_ms;
    if (!stats->dispatch_us) return WA_OK;
    if (!s->dispatch_us) {
        uint32_t n = p->info.target == WA_TARGET_CPU ? p->call_count : p->dispatch_count;
        s->dispatch_us = wa__alloc((2 * (size_t)n + p->segment_count) * s->profile_runs + 1, sizeof *s->dispatch_us);
        if (!s->dispatch_us) return wa__no_memory(err, "a profile");
        s->dispatch_at_us = s->dispatch_us + (size_t)n * s->profile_runs;
        s->segment_us = s->dispatch_at_us + (size_t)n * s->profile_runs;
        s->dispatch_count = n;
        s->segment_count = p->segment_count;
    }
    size_t at = (size_t)s->profiled * s->dispatch_count;
    double sum = 0;
    for (uint32_t i = 0; i < s->dispatch_count; i++) {
        s->dispatch_us[at + i] = stats->dispatch_us[i];
        /* the CPU's calls follow one another without a gap */
        s->dispatch_at_us[at + i] = stats->dispatch_at_us ? stats->dispatch_at_us[i] : p->info.target == WA_TARGET_CPU ? sum : -1;
        sum += stats->dispatch_us[i];
    }
    for (uint32_t i = 0; i < s->segment_count; i++) s->segment_us[(size_t)s->profiled * s->segment_count + i] = stats->segment_us ? stats->segment_us[i] : -1;
    s->profiled++;
    return WA_OK;
}

void api_samples_done(api_samples *s)
{
    wa__free(s->run_ms);
    wa__free(s->dispatch_us);
    *s = (api_samples){0};
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double api_quantile(const double *values, uint32_t n, double q)
{
    double *sorted = n ? wa__alloc(n, sizeof *sorted) : NULL;
    if (!sorted) return NAN;
    memcpy(sorted, values, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    double at = q * (n - 1);
    uint32_t low = (uint32_t)at, high = low + 1 < n ? low + 1 : low;
    double v = sorted[low] + (at - low) * (sorted[high] - sorted[low]);
    wa__free(sorted);
    return v;
}
