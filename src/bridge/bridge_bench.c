/* The small-run benchmark, measured by page/bench.js, and the host's own round trip to the worker. */
#include "bridge/bridge_int.h"
#include "base/os.h"

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static wa_status trips(wa_runner *r, double *median, wa_error *err)
{
    enum { TRIPS = 51 };
    double ms[TRIPS];
    for (int i = 0; i < TRIPS; i++) {
        double start = wa__os_now_ms();
        WA_TRY(wa__bridge_ping(r, 5000, err));
        ms[i] = wa__os_now_ms() - start;
    }
    qsort(ms, TRIPS, sizeof *ms, by_value);
    *median = ms[TRIPS / 2];
    return WA_OK;
}

static wa_status make_bytes(wa_bridge_host *h, wa_error *err)
{
    wa_status s = WA_OK;
    pthread_mutex_lock(&h->mutex);
    if (!h->bench) {
        h->bench = wa__alloc(1, BRIDGE_BENCH_BYTES);
        for (size_t i = 0; h->bench && i < BRIDGE_BENCH_BYTES; i += 64) h->bench[i] = (uint8_t)(i >> 6);
        if (!h->bench) s = wa__no_memory(err, "the upload benchmark");
    }
    pthread_mutex_unlock(&h->mutex);
    return s;
}

wa_status wa__bridge_bench(wa_runner *r, uint32_t runs, wa_bridge_bench *out, wa_error *err)
{
    bridge_session *s = (bridge_session *)r;
    if (runs == 0 || runs > 10000) runs = 60;
    WA_TRY(make_bytes(s->host, err));
    wa_bridge_bench b = {.runs = runs};
    WA_TRY(trips(r, &b.trip_ms, err));
    const wa_run_control c = {.timeout_ms = 120000};
    json_t *meta = json_pack("{s:i, s:{s:s, s:I}}", "runs", (int)runs, "upload", "path", "/w/bench", "bytes", (json_int_t)BRIDGE_BENCH_BYTES);
    if (!meta) return wa__no_memory(err, "a benchmark's message");
    bridge_job *j;
    wa_status st = wa__session_call(s, WA_FRAME_BENCH, WA_FRAME_BENCHED, meta, &c, &j, err);
    struct { const char *key; double *to; } fields[] = {{"ours_ms", &b.ours_ms}, {"ours_p90_ms", &b.ours_p90_ms}, {"plain_ms", &b.plain_ms},
                                                        {"plain_p90_ms", &b.plain_p90_ms},
                                                        {"ours_min_ms", &b.ours_min_ms}, {"plain_min_ms", &b.plain_min_ms}, {"upload_gbps", &b.upload_gbps}, {"fetch_gbps", &b.fetch_gbps}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields && st == WA_OK; i++) {
        const json_t *v = json_object_get(j->reply, fields[i].key);
        if (!json_is_number(v)) st = wa__fail(err, WA_PROTOCOL, "the page's benchmark lacks %s", fields[i].key);
        else *fields[i].to = json_number_value(v);
    }
    wa__session_release(s, j);
    if (st == WA_OK) *out = b;
    return st;
}
