/* The original's choice of browser for a model, as an order over all families: its choice first,
 * then what else can serve the target. Pure. Called by the API. */
#include "browser/browser.h"
#include <string.h>

static bool one_of(const char *s, const char *const *names)
{
    for (; *names; names++)
        if (!strcmp(s, *names)) return true;
    return false;
}

size_t wa__browser_priors(const char *model_type, const char *target, wa_browser_family out[WA_BROWSER_FAMILY_COUNT])
{
    static const char *const text[] = {"text", "text_embedding", "text_generation", "text2text", NULL};
    const char *type = model_type ? model_type : "";
    bool webnn = target && !strcmp(target, "webnn");
    wa_browser_family first = webnn ? WA_BROWSER_EDGE : WA_BROWSER_CHROME;
    if (!strcmp(type, "audio") && !webnn) first = WA_BROWSER_FIREFOX;
    else if (one_of(type, text) && webnn) first = WA_BROWSER_EDGE;
    else if (!strcmp(type, "multimodal")) first = WA_BROWSER_CHROME;
    /* Firefox has no WebNN; Chromium and Edge are Chrome's engine. */
    static const wa_browser_family order[] = {WA_BROWSER_CHROME, WA_BROWSER_CHROMIUM, WA_BROWSER_EDGE, WA_BROWSER_FIREFOX};
    size_t n = 0;
    out[n++] = first;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (order[i] != first && !(webnn && order[i] == WA_BROWSER_FIREFOX)) out[n++] = order[i];
    return n;
}
