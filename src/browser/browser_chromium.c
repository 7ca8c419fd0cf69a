/* Chromium family over CDP. In: a browser whose pipe is open. Out: a page session; navigation,
 * evaluation, interruption, the GPU process's id. Called by browser_launch.c and browser.c. */
#include "browser/browser_int.h"

static void on_event(void *user, const char *method, const json_t *params)
{
    wa_browser *b = user;
    if (!strcmp(method, "Inspector.targetCrashed")) b->page_crashed = true;
    if (strcmp(method, "Target.targetCrashed")) return;
    const char *target = json_string_value(json_object_get(params, "targetId"));
    if (target && !strcmp(target, b->target)) b->page_crashed = true;
}

static bool copy_string(const json_t *v, char *out, size_t n)
{
    const char *s = json_string_value(v);
    if (!s || strlen(s) >= n) return false;
    memcpy(out, s, strlen(s) + 1);
    return true;
}

static wa_status find_page(wa_browser *b, double end, wa_error *err)
{
    json_t *r = NULL;
    /* The first window may open a moment after the pipe answers. */
    do {
        WA_TRY(wa__link_call(&b->link, NULL, "Target.getTargets", NULL, wa__ms_left(end), &r, err));
        size_t i;
        const json_t *t;
        json_array_foreach(json_object_get(r, "targetInfos"), i, t) {
            const char *type = json_string_value(json_object_get(t, "type"));
            if (type && !strcmp(type, "page") && copy_string(json_object_get(t, "targetId"), b->target, sizeof b->target)) break;
        }
        json_decref(r);
        if (b->target[0]) return WA_OK;
        wa__os_sleep_ms(10);
    } while (wa__os_now_ms() + 2000 < end);
    WA_TRY(wa__link_call(&b->link, NULL, "Target.createTarget", json_pack("{s:s}", "url", "about:blank"), wa__ms_left(end), &r, err));
    bool ok = copy_string(json_object_get(r, "targetId"), b->target, sizeof b->target);
    json_decref(r);
    return ok ? WA_OK : wa__fail(err, WA_PROTOCOL, "the browser opened no page");
}

wa_status wa__chromium_attach(wa_browser *b, uint32_t limit_ms, wa_error *err)
{
    double end = wa__os_now_ms() + limit_ms;
    b->link.on_event = on_event;
    b->link.user = b;
    json_t *r = NULL;
    WA_TRY(wa__link_call(&b->link, NULL, "Browser.getVersion", NULL, wa__ms_left(end), &r, err));
    if (!copy_string(json_object_get(r, "product"), b->version, sizeof b->version)) b->version[0] = 0;
    json_decref(r);
    WA_TRY(find_page(b, end, err));
    WA_TRY(wa__link_call(&b->link, NULL, "Target.attachToTarget", json_pack("{s:s, s:b}", "targetId", b->target, "flatten", 1),
                         wa__ms_left(end), &r, err));
    bool ok = copy_string(json_object_get(r, "sessionId"), b->session, sizeof b->session);
    json_decref(r);
    if (!ok) return wa__fail(err, WA_PROTOCOL, "the browser gave no session for its page");
    return wa__link_call(&b->link, b->session, "Inspector.enable", NULL, wa__ms_left(end), NULL, err);
}

wa_status wa__chromium_navigate(wa_browser *b, const char *url, uint32_t limit_ms, wa_error *err)
{
    json_t *r = NULL;
    WA_TRY(wa__link_call(&b->link, b->session, "Page.navigate", json_pack("{s:s}", "url", url), limit_ms, &r, err));
    const char *text = json_string_value(json_object_get(r, "errorText"));
    wa_status s = text && *text ? wa__fail(err, WA_BROWSER, "the page did not open: %.200s", text) : WA_OK;
    json_decref(r);
    return s;
}

wa_status wa__chromium_evaluate(wa_browser *b, const char *wrapped, uint32_t limit_ms, char **text, wa_error *err)
{
    json_t *r = NULL;
    json_t *params = json_pack("{s:s, s:b, s:b}", "expression", wrapped, "awaitPromise", 1, "returnByValue", 1);
    WA_TRY(wa__link_call(&b->link, b->session, "Runtime.evaluate", params, limit_ms, &r, err));
    const json_t *thrown = json_object_get(r, "exceptionDetails");
    wa_status s = WA_OK;
    if (thrown) {
        const char *why = json_string_value(json_object_get(json_object_get(thrown, "exception"), "description"));
        if (!why) why = json_string_value(json_object_get(thrown, "text"));
        s = wa__fail(err, WA_BROWSER, "the page threw: %.300s", why ? why : "?");
    } else {
        const char *value = json_string_value(json_object_get(json_object_get(r, "result"), "value"));
        *text = wa__strdup(value ? value : "null");
        if (!*text) s = wa__no_memory(err, "evaluate");
    }
    json_decref(r);
    return s;
}

wa_status wa__chromium_gpu_pid(wa_browser *b, uint32_t limit_ms, int *pid, wa_error *err)
{
    json_t *r = NULL;
    WA_TRY(wa__link_call(&b->link, NULL, "SystemInfo.getProcessInfo", NULL, limit_ms, &r, err));
    json_int_t found = 0;
    size_t i;
    const json_t *p;
    json_array_foreach(json_object_get(r, "processInfo"), i, p) {
        const char *type = json_string_value(json_object_get(p, "type"));
        if (type && !strcmp(type, "GPU")) found = json_integer_value(json_object_get(p, "id"));
    }
    json_decref(r);
    if (found <= 0 || found > INT32_MAX) return wa__fail(err, WA_NOT_FOUND, "the browser has no GPU process");
    *pid = (int)found;
    return WA_OK;
}
