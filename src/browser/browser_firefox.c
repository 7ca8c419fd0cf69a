/* Firefox over WebDriver BiDi. In: a browser that was started on a profile. Out: a BiDi session
 * and the browsing context of its first tab; navigation and evaluation. Called by browser_launch.c
 * and browser.c. */
#include "browser/browser_int.h"
#include <stdio.h>

/* Firefox writes {"ws_host", "ws_port"} into its profile once it listens. False while it does not. */
static bool read_port(const char *path, uint16_t *port)
{
    wa_buf text;
    wa__buf_init(&text, 65536);
    json_t *m = NULL;
    if (wa__os_read_file(path, &text, NULL) == WA_OK && text.len) m = json_loadb(text.ptr, text.len, 0, NULL);
    wa__buf_done(&text);
    json_int_t v = json_integer_value(json_object_get(m, "ws_port"));
    json_decref(m);
    if (v <= 0 || v > 65535) return false;
    *port = (uint16_t)v;
    return true;
}

static wa_status wait_port(wa_browser *b, double end, uint16_t *port, wa_error *err)
{
    char *path = wa__path_join(b->in.profile, "WebDriverBiDiServer.json");
    if (!path) return wa__no_memory(err, "profile path");
    wa_status s = WA_OK;
    while (!read_port(path, port)) {
        if (b->link.cancelled && b->link.cancelled(b->link.cancelled_user)) s = wa__fail(err, WA_CANCELLED, "cancelled");
        else if (!wa__process_poll(&b->process)) s = wa__fail(err, WA_BROWSER, "Firefox ended (code %d)", b->process.exit_code);
        else if (wa__os_now_ms() >= end) s = wa__fail(err, WA_TIMEOUT, "Firefox did not open its BiDi port in time");
        if (s != WA_OK) break;
        wa__os_sleep_ms(5);
    }
    wa__free(path);
    return s;
}

static wa_status first_context(wa_browser *b, double end, wa_error *err)
{
    json_t *r = NULL;
    WA_TRY(wa__link_call(&b->link, NULL, "browsingContext.getTree", json_pack("{s:i}", "maxDepth", 0), wa__ms_left(end), &r, err));
    const char *id = json_string_value(json_object_get(json_array_get(json_object_get(r, "contexts"), 0), "context"));
    bool ok = id && strlen(id) < sizeof b->target;
    if (ok) memcpy(b->target, id, strlen(id) + 1);
    json_decref(r);
    return ok ? WA_OK : wa__fail(err, WA_PROTOCOL, "Firefox has no tab");
}

wa_status wa__firefox_attach(wa_browser *b, uint32_t limit_ms, wa_error *err)
{
    double end = wa__os_now_ms() + limit_ms;
    uint16_t port = 0;
    WA_TRY(wait_port(b, end, &port, err));
    WA_TRY(wa__link_connect(&b->link, port, "/session", wa__ms_left(end), err));
    json_t *r = NULL;
    WA_TRY(wa__link_call(&b->link, NULL, "session.new", json_pack("{s:{}}", "capabilities"), wa__ms_left(end), &r, err));
    const char *version = json_string_value(json_object_get(json_object_get(r, "capabilities"), "browserVersion"));
    (void)snprintf(b->version, sizeof b->version, "Firefox/%.40s", version ? version : "");
    json_decref(r);
    return first_context(b, end, err);
}

wa_status wa__firefox_navigate(wa_browser *b, const char *url, uint32_t limit_ms, wa_error *err)
{
    json_t *params = json_pack("{s:s, s:s, s:s}", "context", b->target, "url", url, "wait", "interactive");
    return wa__link_call(&b->link, NULL, "browsingContext.navigate", params, limit_ms, NULL, err);
}

wa_status wa__firefox_evaluate(wa_browser *b, const char *wrapped, uint32_t limit_ms, char **text, wa_error *err)
{
    json_t *r = NULL;
    json_t *params = json_pack("{s:s, s:{s:s}, s:b}", "expression", wrapped, "target", "context", b->target, "awaitPromise", 1);
    WA_TRY(wa__link_call(&b->link, NULL, "script.evaluate", params, limit_ms, &r, err));
    const char *type = json_string_value(json_object_get(r, "type"));
    wa_status s = WA_OK;
    if (type && !strcmp(type, "exception")) {
        const char *why = json_string_value(json_object_get(json_object_get(r, "exceptionDetails"), "text"));
        s = wa__fail(err, WA_BROWSER, "the page threw: %.300s", why ? why : "?");
    } else {
        const char *value = json_string_value(json_object_get(json_object_get(r, "result"), "value"));
        *text = wa__strdup(value ? value : "null");
        if (!*text) s = wa__no_memory(err, "evaluate");
    }
    json_decref(r);
    return s;
}
