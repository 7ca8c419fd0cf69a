/* What a page measures of its adapter for others: its floors. page/floors.js does the work. */
#include "bridge/bridge_int.h"

wa_status wa__bridge_floors(wa_runner *r, wa_run_floors *out, wa_error *err)
{
    bridge_session *s = (bridge_session *)r;
    const wa_run_control c = {.timeout_ms = 120000};
    wa_run_floors f = {0};
    const struct { const char *key; double *to; bool optional; } fields[] = {
        {"pass_us", &f.pass_us, false}, {"dispatch_us", &f.dispatch_us, false}, {"near_bytes", &f.near_bytes, false}, {"near_bytes_per_s", &f.near_bytes_per_s, false},
        {"far_bytes_per_s", &f.far_bytes_per_s, false}, {"f32_per_s", &f.f32_per_s, false}, {"f16_per_s", &f.f16_per_s, true}, {"matrix_per_s", &f.matrix_per_s, true}};
    json_t *meta = json_pack("{s:s}", "what", "floors");
    if (!meta) return wa__no_memory(err, "a measurement's message");
    bridge_job *j;
    wa_status st = wa__session_call(s, WA_FRAME_BENCH, WA_FRAME_BENCHED, meta, &c, &j, err);
    for (size_t i = 0; i < sizeof fields / sizeof *fields && st == WA_OK; i++) {
        const json_t *v = json_object_get(j->reply, fields[i].key);
        double d = json_is_number(v) ? json_number_value(v) : 0;
        if (!json_is_number(v) && !fields[i].optional) st = wa__fail(err, WA_PROTOCOL, "the page's floors lack %s", fields[i].key);
        else if (!(d >= 0 && d < 1e18)) st = wa__fail(err, WA_PROTOCOL, "the page's floors: %s is %g", fields[i].key, d);
        else *fields[i].to = d;
    }
    wa__session_release(s, j);
    if (st == WA_OK) *out = f;
    return st;
}
