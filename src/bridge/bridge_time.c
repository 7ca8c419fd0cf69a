/* Has the page time candidates of a kernel (page/tune.js). In: buffers' sizes, shader texts. Out: microseconds.
 * Called by tuning. What the page answers is checked like any other frame. */
#include "bridge/bridge_int.h"
#include "base/os.h"

enum { TEXT_MAX = 512 << 10 }; /* shader text in one frame: its meta has room for twice that */

static json_t *shape_json(const wa_bridge_case *k)
{
    json_t *sizes = json_array(), *words = json_array();
    for (uint32_t i = 0; i < k->binding_count; i++) json_array_append_new(sizes, json_integer((json_int_t)((k->sizes[i] + 3) & ~(uint64_t)3)));
    for (uint32_t i = 0; i < k->word_count; i++) json_array_append_new(words, json_integer(k->words[i]));
    return json_pack("{s:o, s:i, s:o, s:i, s:b}", "sizes", sizes, "write_mask", (int)k->write_mask, "words", words, "copies", (int)k->copies, "half", k->half);
}

/* As many of the list as one frame takes. */
static json_t *some(const wa_bridge_candidate *list, uint32_t count, uint32_t *taken)
{
    json_t *out = json_array();
    size_t text = 0;
    *taken = 0;
    while (*taken < count) {
        const wa_bridge_candidate *c = &list[*taken];
        text += strlen(c->code);
        if (*taken && text > TEXT_MAX) break;
        json_array_append_new(out, json_pack("{s:s, s:[i, i, i]}", "code", c->code, "grid", (int)c->grid[0], (int)c->grid[1], (int)c->grid[2]));
        ++*taken;
    }
    return out;
}

static wa_status take(const json_t *reply, wa_bridge_candidate *list, uint32_t count, uint32_t *got, wa_error *err)
{
    const json_t *results = json_object_get(reply, "results");
    *got = (uint32_t)json_array_size(results);
    if (!json_is_array(results) || json_array_size(results) > count) return wa__fail(err, WA_PROTOCOL, "the page gave %zu times for %u candidates", json_array_size(results), count);
    for (uint32_t i = 0; i < *got; i++) {
        const json_t *one = json_array_get(results, i), *us = json_object_get(one, "us");
        const char *why = json_string_value(json_object_get(one, "error"));
        double v = json_is_number(us) ? json_number_value(us) : -1;
        if (v > 0 && v < 1e12) list[i].us = v;
        else snprintf(list[i].why, sizeof list[i].why, "%.150s", why ? why : "the page gave no time");
    }
    return WA_OK;
}

wa_status wa__bridge_time(wa_runner *r, const wa_bridge_case *k, wa_bridge_candidate *list, uint32_t count, uint32_t limit_ms, const atomic_bool *cancel, wa_error *err)
{
    bridge_session *s = (bridge_session *)r;
    double end = wa__os_now_ms() + limit_ms;
    if (!(s->target.features & WA_FEATURE_TIMESTAMP)) return wa__fail(err, WA_UNSUPPORTED, "this adapter has no timestamp queries: kernels cannot be measured");
    for (uint32_t i = 0; i < count; i++) {
        list[i].us = -1;
        list[i].why[0] = 0;
    }
    /* The first candidate goes along in every frame: the others' results are compared with its. */
    for (uint32_t at = 0; at < count;) {
        double left = end - wa__os_now_ms();
        uint32_t taken, got = 0;
        bridge_job *j;
        if (at && left <= 0) break;
        wa_bridge_candidate again = list[0];
        json_t *candidates = some(list + at, count - at, &taken);
        if (at) json_array_insert_new(candidates, 0, json_pack("{s:s, s:[i, i, i]}", "code", again.code, "grid", (int)again.grid[0], (int)again.grid[1], (int)again.grid[2]));
        json_t *meta = json_pack("{s:s, s:o, s:o, s:i}", "what", "tune", "shape", shape_json(k), "candidates", candidates, "limit_ms", left > 1 ? (int)left : 1);
        if (!meta) return wa__no_memory(err, "a measurement's message");
        const wa_run_control c = {.timeout_ms = (left > 0 ? (uint32_t)left : 0) + 60000, .cancel = cancel};
        wa_status st = wa__session_call(s, WA_FRAME_BENCH, WA_FRAME_BENCHED, meta, &c, &j, err);
        if (st == WA_OK && at) json_array_remove(json_object_get(j->reply, "results"), 0);
        if (st == WA_OK) st = take(j->reply, list + at, taken, &got, err);
        wa__session_release(s, j);
        if (st != WA_OK) return st;
        if (got < taken) break; /* the time was over */
        at += taken;
    }
    return WA_OK;
}
