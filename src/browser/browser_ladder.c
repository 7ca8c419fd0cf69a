/* The ladder: which flag sets to try, in which order, and what worked last time. In: family,
 * machine, wants; a probe by the caller. Out: a browser with an adapter. Called by the bridge.
 *
 * <home>/browsers/ladder.json: {"<id>|<version>|<driver>|<icds>|<wants>": "<step>"}; a step that
 * worked is tried first next time. */
#include "browser/browser_int.h"
#include <stdlib.h>

#define STEP_MS     12000u /* start 0.6 s, probe < 2 s on a slow machine; a hanging probe took 40 s */
#define SOFTWARE_MS 30000u /* Firefox starts in 0.9 s, but took 15 s with 2 cores under a load of 18 */
#define MEMORY_MAX  200u   /* remembered keys; beyond, the file starts anew */

/* Chromium. Vulkan features: WebGPU needs Vulkan in the GPU process; with ANGLE on Vulkan too,
 * shared images stay in one API. vulkan_enable_f16_on_nvidia: without it no shader-f16 there. */
static const wa_browser_step chromium_steps[] = {
    {.name = "defaults", .flags = {"--enable-webgpu-developer-features"}, .icd = true, .limit_ms = STEP_MS},
    {.name = "unsafe-webgpu", .flags = {"--enable-unsafe-webgpu", "--enable-webgpu-developer-features", "--ignore-gpu-blocklist"},
     .dawn = "vulkan_enable_f16_on_nvidia,allow_unsafe_apis", .icd = true, .limit_ms = STEP_MS},
    {.name = "vulkan", .flags = {"--enable-unsafe-webgpu", "--enable-webgpu-developer-features", "--ignore-gpu-blocklist",
                                 "--use-angle=vulkan", "--disable-gpu-watchdog"},
     .features = "Vulkan,VulkanFromANGLE,DefaultANGLEVulkan", .dawn = "vulkan_enable_f16_on_nvidia,allow_unsafe_apis", .icd = true,
     .limit_ms = STEP_MS},
    /* The layer's manifest and library are read by the GPU process, whose sandbox knows no such path. */
    {.name = "headless-server", .flags = {"--enable-unsafe-webgpu", "--enable-webgpu-developer-features", "--ignore-gpu-blocklist",
                                          "--use-angle=vulkan", "--disable-gpu-watchdog", "--disable-gpu-sandbox"},
     .features = "Vulkan", .dawn = "vulkan_enable_f16_on_nvidia,allow_unsafe_apis", .layer = true, .icd = true, .limit_ms = STEP_MS},
    {.name = "software", .flags = {"--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-webgpu-developer-features",
                                   "--disable-gpu-watchdog"}, .dawn = "allow_unsafe_apis", .software = true, .limit_ms = SOFTWARE_MS},
};
enum { STEP_DEFAULTS, STEP_UNSAFE, STEP_VULKAN, STEP_SERVER, STEP_SOFTWARE };

/* WebNN alone: its contexts need no adapter. */
static const wa_browser_step webnn_step = {.name = "webnn", .limit_ms = SOFTWARE_MS};

static const wa_browser_step firefox_steps[] = {
    {.name = "defaults", .icd = true, .limit_ms = STEP_MS},
    {.name = "software", .software = true, .limit_ms = SOFTWARE_MS},
};

/* Windows' back end is a feature of its own; where a browser has none of that name it is ignored. */
#define WEBNN_FEATURES "WebMachineLearningNeuralNetwork,WebNNOnnxRuntime"
/* The same step with WebNN turned on as well. */
static void with_webnn(wa_browser_step *s)
{
    static const char *const both[][2] = {
        {"Vulkan,VulkanFromANGLE,DefaultANGLEVulkan", "Vulkan,VulkanFromANGLE,DefaultANGLEVulkan," WEBNN_FEATURES},
        {"Vulkan", "Vulkan," WEBNN_FEATURES},
    };
    for (size_t i = 0; s->features && i < 2; i++)
        if (!strcmp(s->features, both[i][0])) {
            s->features = both[i][1];
            return;
        }
    s->features = WEBNN_FEATURES;
}

size_t wa__browser_ladder(wa_browser_family f, const wa_browser_wants *wants, wa_browser_step steps[WA_BROWSER_STEPS_MAX])
{
    wa_browser_machine here;
    const wa_browser_machine *m = wants->machine;
    if (!m) {
        wa__browser_machine_scan(NULL, &here);
        m = &here;
    }
    bool gpu = wants->hardware && m->gpu_count > 0;
    size_t n = 0;
    if (f == WA_BROWSER_FIREFOX) {
        if (gpu) steps[n++] = firefox_steps[0];
        if (wants->software) steps[n++] = firefox_steps[1];
        return n;
    }
    if (gpu && m->has_nvidia && !m->has_display) {
        /* A server: what works there first; "defaults" gives no shader-f16 and mostly no adapter. */
        steps[n++] = chromium_steps[STEP_SERVER];
        steps[n++] = chromium_steps[STEP_VULKAN];
        steps[n++] = chromium_steps[STEP_UNSAFE];
        steps[n++] = chromium_steps[STEP_DEFAULTS];
    } else if (gpu) {
        for (size_t i = STEP_DEFAULTS; i <= STEP_SERVER; i++) steps[n++] = chromium_steps[i];
    }
    if (wants->software) steps[n++] = chromium_steps[STEP_SOFTWARE];
    if (wants->webnn) steps[n++] = webnn_step;
    for (size_t i = 0; wants->webnn && i < n; i++) with_webnn(&steps[i]);
    return n;
}

/* --- memory of what worked ---------------------------------------------------------------------- */
static json_t *load_memory(const char *path)
{
    wa_buf text;
    wa__buf_init(&text, (size_t)1 << 20);
    json_t *m = NULL;
    if (wa__os_read_file(path, &text, NULL) == WA_OK && text.len) m = json_loadb(text.ptr, text.len, 0, NULL);
    wa__buf_done(&text);
    if (json_is_object(m) && json_object_size(m) <= MEMORY_MAX) return m;
    json_decref(m);
    return json_object();
}

char *wa__ladder_recall(const char *home, const char *key)
{
    char *path = wa__path_join(home, "browsers/ladder.json");
    json_t *m = path ? load_memory(path) : NULL;
    const char *step = json_string_value(json_object_get(m, key));
    char *copy = step ? wa__strdup(step) : NULL;
    json_decref(m);
    wa__free(path);
    return copy;
}

/* Two processes may write at once: either file is whole, and a lost entry costs one probe. */
void wa__ladder_remember(const char *home, const char *key, const char *step)
{
    char *folder = wa__path_join(home, "browsers"), *path = folder ? wa__path_join(folder, "ladder.json") : NULL;
    json_t *m = path ? load_memory(path) : NULL;
    const char *known = json_string_value(json_object_get(m, key));
    if (m && !(known && !strcmp(known, step)) && json_object_set_new(m, key, json_string(step)) == 0) {
        char *text = json_dumps(m, JSON_INDENT(1) | JSON_SORT_KEYS);
        if (text && wa__os_mkdirs(folder, 0700, NULL) == WA_OK) (void)!wa__os_write_file(path, text, strlen(text), 0600, NULL);
        free(text);
    }
    json_decref(m);
    wa__free(path);
    wa__free(folder);
}

/* --- the climb ---------------------------------------------------------------------------------- */
static void put_first(wa_browser_step *steps, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(steps[i].name, name)) {
            wa_browser_step s = steps[i];
            memmove(steps + 1, steps, i * sizeof *steps);
            steps[0] = s;
            return;
        }
}

/* Launches with one step and asks the probe. *out is NULL when refused, why says the reason. */
static wa_status try_step(wa_browser_options *o, const wa_browser_step *step, wa_browser_probe probe, void *user, wa_browser **out,
                          wa_error *why)
{
    double end = wa__os_now_ms() + step->limit_ms;
    wa_browser *b = NULL;
    *out = NULL;
    o->step = step;
    o->limit_ms = step->limit_ms;
    WA_TRY(wa__browser_launch(o, &b, why));
    wa_browser_attempt attempt = {0};
    wa_status s = probe(user, b, step, wa__ms_left(end), &attempt, why);
    if (s == WA_OK && attempt.accepted) {
        wa__log(WA_LOG_INFO, "browser", "%s: step %s: %s", o->info->id, step->name, attempt.adapter);
        *out = b;
        return WA_OK;
    }
    if (s == WA_OK) s = wa__fail(why, WA_ADAPTER, "%s", attempt.reason[0] ? attempt.reason : "no adapter");
    wa__browser_close(b);
    return s;
}

static wa_status climb(wa_browser_options *o, const char *home, const char *key, wa_browser_step *steps, size_t n,
                       wa_browser_probe probe, void *user, wa_browser **out, wa_browser_step *used, wa_error *err)
{
    wa_buf refused;
    wa__buf_init(&refused, 900);
    wa_status s = WA_ADAPTER;
    for (size_t i = 0; i < n; i++) {
        wa_error why = {0};
        s = try_step(o, &steps[i], probe, user, out, &why);
        if (s == WA_OK) {
            wa__ladder_remember(home, key, steps[i].name);
            if (used) *used = steps[i];
            break;
        }
        wa__log(WA_LOG_INFO, "browser", "%s: step %s refused: %s", o->info->id, steps[i].name, why.message);
        if (s == WA_CANCELLED || s == WA_NO_MEMORY) {
            s = wa__fail(err, s, "%s", why.message);
            break;
        }
        /* A message cut at the buffer's cap is still a message. */
        (void)!wa__buf_printf(&refused, NULL, "%s%s: %.160s", refused.len ? "; " : "", steps[i].name, why.message);
        s = WA_ADAPTER;
    }
    if (s == WA_ADAPTER) s = wa__fail(err, WA_ADAPTER, "%s offers no usable adapter (%s)", o->info->name, refused.len ? refused.ptr : "");
    wa__buf_done(&refused);
    return s;
}

wa_status wa__browser_launch_ladder(const wa_browser_options *o, const wa_browser_wants *wants, wa_browser_probe probe,
                                    void *user, wa_browser **out, wa_browser_step *used, wa_error *err)
{
    wa_browser_machine here;
    wa_browser_wants w = *wants;
    if (!w.machine) {
        wa__browser_machine_scan(NULL, &here);
        w.machine = &here;
    }
    wa_browser_step steps[WA_BROWSER_STEPS_MAX];
    size_t n = wa__browser_ladder(o->info->family, &w, steps);
    if (n == 0)
        return wa__fail(err, WA_ADAPTER, "this machine shows no GPU, and no software adapter was asked for (name the browser "
                                         "to allow one)");
    char *home = o->home ? wa__strdup(o->home) : wa__os_home();
    char *key = wa__format("%s|%s|%s|%s|%s%s%s", o->info->id, o->info->version, w.machine->driver, w.machine->icds,
                           w.hardware ? "h" : "", w.software ? "s" : "", w.webnn ? "n" : "");
    wa_status s = home && key ? WA_OK : wa__no_memory(err, "ladder");
    if (s == WA_OK) {
        char *known = wa__ladder_recall(home, key);
        if (known) put_first(steps, n, known);
        wa__free(known);
        wa_browser_options tried = *o;
        tried.home = home;
        tried.machine = w.machine;
        s = climb(&tried, home, key, steps, n, probe, user, out, used, err);
    }
    wa__free(home);
    wa__free(key);
    return s;
}
