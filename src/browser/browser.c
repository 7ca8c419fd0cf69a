/* A running browser: navigate, evaluate, ping, look, end. In: a wa_browser that browser_launch.c
 * made. Out: what it says. Called by the bridge and by doctor. */
#include "browser/browser_int.h"

static bool is_firefox(const wa_browser *b) { return b->family == WA_BROWSER_FIREFOX; }

/* A call that failed because the link closed means that the browser is gone. */
static wa_status noted(wa_browser *b, wa_status s)
{
    if (s == WA_BROWSER && (!wa__process_poll(&b->process) || wa__link_drain(&b->link, NULL) != WA_OK)) b->gone = true;
    return s;
}

wa_status wa__browser_navigate(wa_browser *b, const char *url, uint32_t limit_ms, wa_error *err)
{
    wa_status s = is_firefox(b) ? wa__firefox_navigate(b, url, limit_ms, err) : wa__chromium_navigate(b, url, limit_ms, err);
    if (s == WA_OK) b->page_crashed = false;
    return noted(b, s);
}

wa_status wa__browser_evaluate(wa_browser *b, const char *expression, uint32_t limit_ms, char **json, wa_error *err)
{
    /* One form for both protocols: the value travels as JSON text. */
    char *wrapped = wa__format("(async()=>JSON.stringify(await(%s\n)))()", expression);
    if (!wrapped) return wa__no_memory(err, "evaluate");
    wa_status s = is_firefox(b) ? wa__firefox_evaluate(b, wrapped, limit_ms, json, err)
                                : wa__chromium_evaluate(b, wrapped, limit_ms, json, err);
    wa__free(wrapped);
    return noted(b, s);
}

wa_status wa__browser_ping(wa_browser *b, uint32_t limit_ms, bool *browser_ok, bool *page_ok, wa_error *err)
{
    *browser_ok = *page_ok = false;
    const char *method = is_firefox(b) ? "session.status" : "Browser.getVersion";
    wa_status s = noted(b, wa__link_call(&b->link, NULL, method, NULL, limit_ms, NULL, err));
    if (s == WA_TIMEOUT) return WA_OK;
    WA_TRY(s);
    *browser_ok = true;
    char *json = NULL;
    s = wa__browser_evaluate(b, "1", limit_ms, &json, NULL);
    *page_ok = s == WA_OK && !strcmp(json, "1");
    if (s == WA_OK) wa__free(json);
    return b->gone ? wa__fail(err, WA_BROWSER, "%s ended", b->id) : s == WA_CANCELLED ? wa__fail(err, s, "cancelled") : WA_OK;
}

wa_status wa__browser_interrupt(wa_browser *b, uint32_t limit_ms, wa_error *err)
{
    if (is_firefox(b)) return wa__fail(err, WA_UNSUPPORTED, "Firefox cannot stop a script: close it and launch again");
    return noted(b, wa__link_call(&b->link, b->session, "Runtime.terminateExecution", NULL, limit_ms, NULL, err));
}

wa_status wa__browser_gpu_pid(wa_browser *b, uint32_t limit_ms, int *pid, wa_error *err)
{
    if (is_firefox(b)) return wa__fail(err, WA_UNSUPPORTED, "Firefox does not tell its GPU process");
    return noted(b, wa__chromium_gpu_pid(b, limit_ms, pid, err));
}

void wa__browser_poll(wa_browser *b, wa_browser_state *out)
{
    bool running = wa__process_poll(&b->process);
    if (wa__link_drain(&b->link, NULL) != WA_OK) b->gone = true;
    if (!running) b->gone = true;
    *out = (wa_browser_state){.running = running && !b->gone, .page_crashed = b->page_crashed, .exit_code = b->process.exited ? b->process.exit_code : -1,
                              .temporary_profile = b->in.lock.fd < 0, .no_sandbox = b->no_sandbox, .pid = (int)b->process.pid,
                              .start_ms = b->start_ms};
}

const char *wa__browser_version(const wa_browser *b) { return b->version; }
const char *wa__browser_id(const wa_browser *b) { return b->id; }

void wa__browser_close(wa_browser *b)
{
    if (!b) return;
    b->link.cancelled = NULL; /* ending is not cancellable */
    if (b->link.read_fd >= 0 && wa__process_poll(&b->process))
        (void)!wa__link_call(&b->link, NULL, is_firefox(b) ? "browser.close" : "Browser.close", NULL, 400, NULL, NULL);
    wa__link_done(&b->link); /* Chromium ends at the pipe's end even when it did not hear us */
    if (b->process.pid) (void)wa__process_wait(&b->process, 800);
    wa__process_end(&b->process, 300);
    wa__instance_done(&b->in);
    wa__free(b);
}
