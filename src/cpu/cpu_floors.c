/* What this CPU does at best: multiply-adds in registers, copies in a cache and past it. In: the runner's threads. Out: the best of several short measurements, since others
 * may be using the machine. */
#include "cpu/cpu_int.h"
#include "kernels/peak.h"

enum { ROUNDS = 200000, TRIES = 7, NEAR_BYTES = 128 << 10, NEAR_TURNS = 64, FAR_BYTES = 64 << 20 };

typedef struct work {
    uint8_t *from, *to; /* FAR_BYTES each */
    uint32_t threads;
    double operations[256];
    float sink[256];
} work;

uint32_t wa__cpu_threads(wa_runner *r) { return wa__pool_threads(wa__cpu_pool(r)); }

static void multiply(void *user, uint32_t i, uint32_t thread)
{
    work *w = user;
    (void)thread;
    w->operations[i] = wa__peak_fma(ROUNDS, &w->sink[i]);
}

/* Every thread in memory of its own that fits its cache. */
static void copy_near(void *user, uint32_t i, uint32_t thread)
{
    work *w = user;
    size_t at = (size_t)i * NEAR_BYTES;
    (void)thread;
    for (int k = 0; k < NEAR_TURNS; k++) {
        memcpy(w->to + at, w->from + at, NEAR_BYTES);
        memcpy(w->from + at, w->to + at, NEAR_BYTES); /* both ways, so that no copy can be left out */
    }
}

static void copy_far(void *user, uint32_t i, uint32_t thread)
{
    work *w = user;
    size_t share = FAR_BYTES / w->threads & ~(size_t)63;
    (void)thread;
    memcpy(w->to + i * share, w->from + i * share, share);
}

/* What reading the clock around a call that does nothing costs: small calls hand nothing to other threads. */
static double clock_cost(void)
{
    double least = 1e9;
    for (int i = 0; i < 100; i++) {
        uint64_t start = wa__os_now_ns(), end = wa__os_now_ns();
        if (end > start && (double)(end - start) / 1e3 < least) least = (double)(end - start) / 1e3;
    }
    return least < 1e9 ? least : 1e-3;
}

/* The shortest of several goes, in seconds. */
static double best(wa_pool *pool, work *w, void (*fn)(void *, uint32_t, uint32_t))
{
    double least = 1e9;
    for (int i = 0; i < TRIES; i++) {
        double start = wa__os_now_ms();
        wa__pool_run(pool, w->threads, fn, w);
        double s = (wa__os_now_ms() - start) / 1e3;
        if (s > 0 && s < least) least = s;
    }
    return least;
}

wa_status wa__cpu_floors(wa_runner *r, wa_run_floors *out, wa_error *err)
{
    wa_pool *pool = wa__cpu_pool(r);
    work w = {.threads = wa__pool_threads(pool)};
    if (w.threads > 256) w.threads = 256;
    w.from = wa__alloc(FAR_BYTES, 1);
    w.to = wa__alloc(FAR_BYTES, 1);
    wa_status s = w.from && w.to ? WA_OK : wa__no_memory(err, "measuring this CPU");
    if (s == WA_OK) {
        memset(w.from, 1, FAR_BYTES);
        double fma = best(pool, &w, multiply), near = best(pool, &w, copy_near), far = best(pool, &w, copy_far), call_us = clock_cost(), operations = 0;
        for (uint32_t i = 0; i < w.threads; i++) operations += w.operations[i];
        size_t share = FAR_BYTES / w.threads & ~(size_t)63;
        *out = (wa_run_floors){.pass_us = call_us, .dispatch_us = call_us, .near_bytes = 4.0 * NEAR_BYTES * w.threads,
                               .near_bytes_per_s = 4.0 * NEAR_BYTES * NEAR_TURNS * w.threads / near, .far_bytes_per_s = 2.0 * (double)share * w.threads / far,
                               .f32_per_s = operations / fma};
    }
    wa__free(w.from);
    wa__free(w.to);
    return s;
}
