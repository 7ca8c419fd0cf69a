/* Command lines, environments and preferences. In: launch options, an instance's folders, a
 * ladder's step. Out: argv, envp, user.js, the Vulkan layer's manifest. Pure but for the manifest.
 * Called by browser_launch.c. Why each flag is there stands beside it. */
#include "browser/browser_int.h"
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void wa__strings_add(wa_strings *s, const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    void *items = s->items;
    if (n < 0 || (size_t)n >= sizeof text || !wa__array_reserve(&items, &s->cap, s->count + 2, sizeof *s->items)) {
        s->failed = true;
        return;
    }
    s->items = items;
    s->items[s->count] = wa__strdup(text);
    if (!s->items[s->count]) s->failed = true;
    else s->count++;
    s->items[s->count] = NULL;
}

void wa__strings_free(wa_strings *s)
{
    for (size_t i = 0; i < s->count; i++) wa__free(s->items[i]);
    wa__free(s->items);
    *s = (wa_strings){0};
}

static const char *const chromium_base[] = {
    "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--password-store=basic",
    "--use-mock-keychain",
    /* no traffic of its own, no start-up work that a worker does not need */
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--disable-default-apps", "--disable-client-side-phishing-detection", "--disable-domain-reliability",
    "--disable-breakpad", "--metrics-recording-only", "--no-pings", "--no-service-autorun", "--mute-audio",
    "--disable-component-extensions-with-background-pages", "--disable-search-engine-choice-screen",
    "--propagate-iph-for-testing=", "--disable-session-crashed-bubble", "--hide-crash-restore-bubble",
    /* a hidden page keeps its timers: 4 ticks in 3 s without these, 291 with */
    "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    /* a long job is no hang, and a lost GPU process is started again however often (both are needed) */
    "--disable-hang-monitor", "--disable-gpu-process-crash-limit", "--disable-domain-blocking-for-3d-apis",
    "--disable-prompt-on-repost", "--edge-skip-compat-layer-relaunch", "--do-not-de-elevate",
};

static void add_features(const wa_browser_step *step, wa_strings *argv)
{
    if (step && step->features) wa__strings_add(argv, "--enable-features=%s", step->features);
    if (step && step->dawn) wa__strings_add(argv, "--enable-dawn-features=%s", step->dawn);
    wa__strings_add(argv, "--disable-features=%s",
                    "CalculateNativeWinOcclusion,Translate,MediaRouter,OptimizationHints,AutofillServerCommunication,"
                    "InterestFeedContentSuggestions,DialMediaRouteProvider,PaintHolding");
}

void wa__flags_chromium(const wa_flags_in *f, wa_strings *argv)
{
    const wa_browser_step *step = f->o->step;
    wa__strings_add(argv, "%s", f->o->info->exec);
    for (size_t i = 0; i < sizeof chromium_base / sizeof *chromium_base; i++) wa__strings_add(argv, "%s", chromium_base[i]);
    wa__strings_add(argv, "--user-data-dir=%s", f->in->profile);
    if (!f->o->headful) wa__strings_add(argv, "--headless");
    if (f->no_sandbox) wa__strings_add(argv, "--no-sandbox");
    if (f->small_shm) wa__strings_add(argv, "--disable-dev-shm-usage");
    for (size_t i = 0; step && i < 12 && step->flags[i]; i++) wa__strings_add(argv, "%s", step->flags[i]);
    add_features(step, argv);
    wa__strings_add(argv, "%s", f->o->start_url ? f->o->start_url : "about:blank");
}

void wa__flags_firefox(const wa_flags_in *f, wa_strings *argv)
{
    wa__strings_add(argv, "%s", f->o->info->exec);
    if (!f->o->headful) wa__strings_add(argv, "--headless");
    wa__strings_add(argv, "--no-remote");
    wa__strings_add(argv, "--new-instance");
    wa__strings_add(argv, "--profile");
    wa__strings_add(argv, "%s", f->in->profile);
    wa__strings_add(argv, "--remote-debugging-port=0");
    wa__strings_add(argv, "%s", f->o->start_url ? f->o->start_url : "about:blank");
}

static bool dropped_variable(const char *pair)
{
    static const char *const names[] = {
        "TMPDIR=", "TMP=", "TEMP=", "SNAP_NAME=", "SNAP_INSTANCE_NAME=", "WEBACCEL_", "LD_PRELOAD=", "MOZ_LOG",
        "CHROME_DEVEL_SANDBOX=", "ASAN_OPTIONS=", "MOZ_CRASHREPORTER", "GOOGLE_API_KEY=",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strncmp(pair, names[i], strlen(names[i]))) return true;
    return false;
}

/* The folder of libraries that a browser brings with it; NULL when it brings none. */
static char *beside(const char *exec)
{
    const char *slash = exec ? strrchr(exec, '/') : NULL;
    char *probe = slash ? wa__format("%.*s/lib/libnss3.so", (int)(slash - exec), exec) : NULL, *real = probe ? wa__os_realpath(probe) : NULL;
    char *folder = real ? wa__format("%.*s/lib", (int)(slash - exec), exec) : NULL;
    wa__free(probe);
    wa__free(real);
    return folder;
}

void wa__flags_env(const wa_flags_in *f, const char *layer_share, wa_strings *env)
{
    extern char **environ;
    const wa_browser_machine *m = f->o->machine;
    /* Crash reports, drivers' shader caches and downloads stay in the profile, and another user could
     * not use root's home. A window on somebody's screen needs that person's settings. */
    bool own_home = f->in->drop || !f->o->headful;
    bool icd = f->o->step && f->o->step->icd && m && m->vk_driver_files[0];
    char *libraries = beside(f->o->info->exec);
    for (char **e = environ; *e; e++) {
        if (libraries && !strncmp(*e, "LD_LIBRARY_PATH=", 16)) continue;
        if (dropped_variable(*e) || (layer_share && !strncmp(*e, "XDG_DATA_DIRS=", 14))) continue;
        if (own_home && (!strncmp(*e, "HOME=", 5) || (!strncmp(*e, "XDG_", 4) && strncmp(*e, "XDG_DATA_DIRS=", 14) != 0))) continue;
        if (icd && (!strncmp(*e, "VK_DRIVER_FILES=", 16) || !strncmp(*e, "VK_ICD_FILENAMES=", 17))) continue;
        wa__strings_add(env, "%s", *e);
    }
    if (libraries) {
        const char *have = getenv("LD_LIBRARY_PATH");
        wa__strings_add(env, "LD_LIBRARY_PATH=%s%s%s", libraries, have && *have ? ":" : "", have ? have : "");
    }
    wa__free(libraries);
    wa__strings_add(env, "TMPDIR=%s", f->in->tmp);
    if (own_home) {
        wa__strings_add(env, "HOME=%s", f->in->profile);
        wa__strings_add(env, "XDG_CACHE_HOME=%s/.cache", f->in->profile); /* Mesa looks up home by user id */
    }
    if (layer_share) {
        const char *dirs = getenv("XDG_DATA_DIRS");
        wa__strings_add(env, "XDG_DATA_DIRS=%s:%s", layer_share, dirs && *dirs ? dirs : "/usr/local/share:/usr/share");
    }
    if (icd) {
        wa__strings_add(env, "VK_DRIVER_FILES=%s", m->vk_driver_files);
        wa__strings_add(env, "VK_ICD_FILENAMES=%s", m->vk_driver_files); /* its name before loader 1.3.207 */
    }
    if (f->o->info->family != WA_BROWSER_FIREFOX) return;
    wa__strings_add(env, "MOZ_CRASHREPORTER_DISABLE=1");
    wa__strings_add(env, "MOZ_DISABLE_AUTO_SAFE_MODE=1");
    wa__strings_add(env, "MOZ_DATA_REPORTING=0");
    if (!f->o->headful) wa__strings_add(env, "MOZ_HEADLESS=1");
}

/* Firefox's preferences: WebGPU on, in workers too; nothing asked, nothing sent, nothing throttled. */
static const char user_js[] =
    "user_pref(\"dom.webgpu.enabled\", true);\n"
    "user_pref(\"dom.webgpu.workers.enabled\", true);\n"
    "user_pref(\"gfx.webgpu.ignore-blocklist\", true);\n"
    "user_pref(\"dom.timeout.enable_budget_timer_throttling\", false);\n"
    "user_pref(\"dom.min_background_timeout_value\", 4);\n"
    "user_pref(\"dom.timeout.throttling_delay\", -1);\n"
    "user_pref(\"dom.max_script_run_time\", 0);\n"
    "user_pref(\"dom.ipc.processHangMonitor\", false);\n"
    "user_pref(\"dom.ipc.reportProcessHangs\", false);\n"
    "user_pref(\"dom.ipc.processPrelaunch.enabled\", false);\n"
    "user_pref(\"browser.tabs.unloadOnLowMemory\", false);\n"
    "user_pref(\"browser.sessionstore.resume_from_crash\", false);\n"
    "user_pref(\"browser.sessionstore.max_resumed_crashes\", 0);\n"
    "user_pref(\"toolkit.startup.max_resumed_crashes\", -1);\n"
    "user_pref(\"toolkit.cosmeticAnimations.enabled\", false);\n"
    "user_pref(\"toolkit.telemetry.enabled\", false);\n"
    "user_pref(\"toolkit.telemetry.server\", \"\");\n"
    "user_pref(\"toolkit.telemetry.unified\", false);\n"
    "user_pref(\"toolkit.telemetry.reportingpolicy.firstRun\", false);\n"
    "user_pref(\"datareporting.healthreport.uploadEnabled\", false);\n"
    "user_pref(\"datareporting.policy.dataSubmissionEnabled\", false);\n"
    "user_pref(\"termsofuse.bypassNotification\", true);\n"
    "user_pref(\"app.normandy.enabled\", false);\n"
    "user_pref(\"app.update.enabled\", false);\n"
    "user_pref(\"app.update.auto\", false);\n"
    "user_pref(\"app.update.disabledForTesting\", true);\n"
    "user_pref(\"extensions.update.enabled\", false);\n"
    "user_pref(\"extensions.getAddons.cache.enabled\", false);\n"
    "user_pref(\"extensions.systemAddon.update.enabled\", false);\n"
    "user_pref(\"media.gmp-manager.updateEnabled\", false);\n"
    "user_pref(\"network.captive-portal-service.enabled\", false);\n"
    "user_pref(\"network.connectivity-service.enabled\", false);\n"
    "user_pref(\"network.http.speculative-parallel-limit\", 0);\n"
    "user_pref(\"network.prefetch-next\", false);\n"
    "user_pref(\"network.dns.disablePrefetch\", true);\n"
    "user_pref(\"network.proxy.type\", 0);\n"
    "user_pref(\"browser.safebrowsing.malware.enabled\", false);\n"
    "user_pref(\"browser.safebrowsing.phishing.enabled\", false);\n"
    "user_pref(\"browser.safebrowsing.downloads.enabled\", false);\n"
    "user_pref(\"browser.shell.checkDefaultBrowser\", false);\n"
    "user_pref(\"browser.startup.homepage\", \"about:blank\");\n"
    "user_pref(\"browser.startup.page\", 0);\n"
    "user_pref(\"browser.startup.homepage_override.mstone\", \"ignore\");\n"
    "user_pref(\"browser.aboutwelcome.enabled\", false);\n"
    "user_pref(\"browser.newtabpage.enabled\", false);\n"
    "user_pref(\"browser.warnOnQuit\", false);\n"
    "user_pref(\"browser.tabs.warnOnClose\", false);\n"
    "user_pref(\"browser.contentblocking.introCount\", 99);\n"
    "user_pref(\"services.settings.server\", \"data:,\");\n"
    "user_pref(\"remote.active-protocols\", 1);\n"
    "user_pref(\"security.sandbox.warn_unprivileged_namespaces\", false);\n";

wa_status wa__flags_user_js(const wa_browser_step *step, wa_buf *out, wa_error *err)
{
    WA_TRY(wa__buf_append(out, user_js, sizeof user_js - 1, err));
    for (size_t i = 0; step && i < 8 && step->prefs[i]; i++) {
        const char *eq = strchr(step->prefs[i], '=');
        if (!eq) return wa__fail(err, WA_INTERNAL, "step %s: preference %s has no value", step->name, step->prefs[i]);
        WA_TRY(wa__buf_printf(out, err, "user_pref(\"%.*s\", %s);\n", (int)(eq - step->prefs[i]), step->prefs[i], eq + 1));
    }
    return WA_OK;
}

/* The library in one of the usual places relative to `file`'s folder; NULL when it is not there. */
static char *layer_near(const char *file)
{
    static const char *const places[] = {"VkLayer_webaccel_headless.so", "../lib/VkLayer_webaccel_headless.so",
                                         "../lib/webaccel/VkLayer_webaccel_headless.so", "webaccel/VkLayer_webaccel_headless.so",
                                         "../VkLayer_webaccel_headless.so"};
    char *folder = file ? wa__os_realpath(file) : NULL, *slash = folder ? strrchr(folder, '/') : NULL;
    char *found = NULL;
    if (slash) *slash = 0;
    for (size_t i = 0; slash && !found && i < sizeof places / sizeof *places; i++) {
        char *p = wa__path_join(folder, places[i]);
        if (p) found = wa__os_realpath(p);
        wa__free(p);
    }
    wa__free(folder);
    return found;
}

/* $WEBACCEL_LAYER, near the executable, near the library that holds this code (Python's process is
 * python's executable). */
static char *find_layer(void)
{
    const char *named = getenv("WEBACCEL_LAYER");
    if (named && *named) return wa__os_realpath(named);
    char *exe = wa__os_executable();
    char *found = layer_near(exe);
    wa__free(exe);
    Dl_info self;
    if (!found && dladdr((const void *)user_js, &self) != 0) found = layer_near(self.dli_fname);
    return found;
}

wa_status wa__flags_layer(const char *dir, char **share, wa_error *err)
{
    char *library = find_layer();
    if (!library)
        return wa__fail(err, WA_NOT_FOUND, "VkLayer_webaccel_headless.so is not near the program or library; "
                                           "name it in WEBACCEL_LAYER");
    char *base = wa__path_join(dir, "share");
    char *folder = base ? wa__path_join(base, "vulkan/implicit_layer.d") : NULL;
    char *path = folder ? wa__path_join(folder, "webaccel_headless.json") : NULL;
    /* disable_environment is required of an implicit layer by the loader. */
    json_t *m = json_pack("{s:s, s:{s:s, s:s, s:s, s:s, s:s, s:s, s:[{s:s, s:s, s:[s]}], s:{s:s}}}", "file_format_version", "1.1.2",
                          "layer", "name", "VK_LAYER_WEBACCEL_headless", "type", "GLOBAL", "library_path", library,
                          "api_version", "1.3.0", "implementation_version", "1", "description",
                          "VK_EXT_headless_surface over drivers that lack it", "instance_extensions", "name",
                          "VK_EXT_headless_surface", "spec_version", "1", "entrypoints", "vkCreateHeadlessSurfaceEXT",
                          "disable_environment", "WEBACCEL_NO_HEADLESS_LAYER", "1");
    char *text = m ? json_dumps(m, JSON_INDENT(2)) : NULL;
    json_decref(m);
    wa_status s = path && text ? wa__os_mkdirs(folder, 0755, err) : wa__no_memory(err, "layer manifest");
    if (s == WA_OK) s = wa__os_write_file(path, text, strlen(text), 0644, err);
    if (s == WA_OK) {
        *share = base;
        base = NULL;
    }
    free(text);
    wa__free(path);
    wa__free(folder);
    wa__free(base);
    wa__free(library);
    return s;
}
