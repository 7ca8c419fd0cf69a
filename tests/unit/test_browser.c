/* src/browser without a browser: discovery in made-up trees, versions, priors, the ladder and its
 * memory, command lines, the control link against a fake browser, the sweep of leftovers. */
#include "tests.h"
#include "browser/browser_int.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *dir; /* fresh for each test */

static int setup(void **state)
{
    (void)state;
    wa_error err;
    return wa__os_temp_dir("/tmp", "wa-unit-", &dir, &err) == WA_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    int s = wa__os_remove_tree(dir, NULL);
    wa__free(dir);
    return s;
}

static char *put(const char *name, const char *text, uint32_t mode)
{
    wa_error err = {0};
    char *path = wa__path_join(dir, name), *folder = wa__strdup(path);
    *strrchr(folder, '/') = 0;
    assert_ok(wa__os_mkdirs(folder, 0755, &err), err);
    assert_ok(wa__os_write_file(path, text, strlen(text), mode, &err), err);
    wa__free(folder);
    return path;
}

static void put_away(const char *name, const char *text, uint32_t mode) { wa__free(put(name, text, mode)); }

static const wa_browser_info *by_id(const wa_browser_list *l, const char *id)
{
    for (size_t i = 0; i < l->count; i++)
        if (!strcmp(l->items[i].id, id)) return &l->items[i];
    return NULL;
}

static void test_discovery_in_a_made_up_tree(void **state)
{
    (void)state;
    wa_error err = {0};
    put_away("opt/google/chrome/chrome", "\x7f" "ELF", 0755);
    put_away("opt/google/chrome/google-chrome", "#!/bin/sh\nexec chrome\n", 0755);
    put_away("opt/google/chrome-beta/chrome", "\x7f" "ELF", 0755);
    put_away("usr/lib/chromium/chromium", "\x7f" "ELF", 0755);
    put_away("usr/bin/chromium", "#!/bin/sh\nexec /usr/lib/chromium/chromium\n", 0755);
    put_away("usr/lib/firefox-esr/firefox-esr", "\x7f" "ELF", 0755);
    put_away("usr/bin/firefox", "#!/bin/sh\nexec firefox-esr\n", 0755);
    put_away("usr/bin/msedge", "not executable", 0644);
    put_away("snap/bin/firefox", "\x7f" "ELF", 0755);
    put_away("var/lib/flatpak/exports/bin/org.chromium.Chromium", "#!/bin/sh\nexec flatpak run it\n", 0755);
    char *link = wa__path_join(dir, "usr/bin/google-chrome-stable"), *own = put("own/my-chromium", "\x7f" "ELF", 0755);
    char *target = wa__path_join(dir, "opt/google/chrome/google-chrome"), *path = wa__path_join(dir, "usr/bin");
    assert_int_equal(symlink(target, link), 0);

    wa_browser_places p = {.root = dir, .path = path, .home = dir, .chrome_path = own, .skip_versions = true};
    wa_browser_list l;
    assert_ok(wa__browser_discover(&p, &l, &err), err);
    assert_int_equal(l.count, 7);
    const wa_browser_info *b = &l.items[0];
    assert_string_equal(b->found_by, "CHROME_PATH");
    assert_int_equal(b->family, WA_BROWSER_CHROMIUM);
    b = by_id(&l, "chrome");
    assert_non_null(b);
    assert_non_null(strstr(b->exec, "/opt/google/chrome/chrome")); /* not the script */
    assert_non_null(by_id(&l, "chrome-beta"));
    b = by_id(&l, "firefox-esr");
    assert_non_null(b);
    assert_non_null(strstr(b->exec, "/usr/lib/firefox-esr/firefox-esr"));
    for (size_t i = 5; i < 7; i++) assert_true(l.items[i].unusable[0]); /* last, with the reason */
    assert_null(wa__browser_pick(&l, "edge", true));
    assert_ptr_equal(wa__browser_pick(&l, "firefox", false), b);
    assert_non_null(strstr(wa__browser_pick(&l, "chrome", false)->exec, "google"));
    wa__browser_list_free(&l);
    wa__free(link), wa__free(own), wa__free(target), wa__free(path);
}

static void test_chrome_falls_to_chromium_only_when_allowed(void **state)
{
    (void)state;
    wa_error err = {0};
    put_away("usr/lib/chromium/chromium", "\x7f" "ELF", 0755);
    wa_browser_places p = {.root = dir, .path = "", .skip_versions = true};
    wa_browser_list l;
    assert_ok(wa__browser_discover(&p, &l, &err), err);
    assert_int_equal(l.count, 1);
    assert_null(wa__browser_pick(&l, "chrome", false));
    assert_non_null(wa__browser_pick(&l, "chrome", true));
    wa__browser_list_free(&l);
}

static void test_versions_are_asked_once(void **state)
{
    (void)state;
    wa_error err = {0};
    char *script = wa__format("#!/bin/sh\necho ran >> %s/count\necho Mozilla Firefox 153.7esr\n", dir);
    put_away("usr/bin/firefox-beta", script, 0755);
    put_away("usr/bin/chromium", "#!/bin/sh\nsleep 60\n", 0755); /* never answers */
    char *path = wa__path_join(dir, "usr/bin"), *count = wa__path_join(dir, "count");
    wa_browser_places p = {.root = dir, .path = path, .cache = dir};
    for (int i = 0; i < 2; i++) {
        if (i == 1) put_away("usr/bin/chromium", "#!/bin/sh\necho Chromium 156.0.1 built\n", 0755);
        wa_browser_list l;
        assert_ok(wa__browser_discover(&p, &l, &err), err);
        assert_string_equal(by_id(&l, "firefox-beta")->version, "153.7esr");
        assert_string_equal(by_id(&l, "chromium")->version, i ? "156.0.1" : "");
        wa__browser_list_free(&l);
    }
    wa_file_info info;
    assert_ok(wa__os_stat(count, true, &info, &err), err);
    assert_int_equal(info.size, 4); /* "ran\n" once */
    char v[48];
    wa__browser_version_parse("Google Chrome 141.0.7390.54 beta", v, sizeof v);
    assert_string_equal(v, "141.0.7390.54");
    wa__browser_version_parse("cannot open display: 3", v, sizeof v);
    assert_string_equal(v, "");
    wa__free(script), wa__free(path), wa__free(count);
}

static void test_priors(void **state)
{
    (void)state;
    static const struct { const char *type, *target; wa_browser_family first; size_t count; } rows[] = {
        {"audio", "webgpu", WA_BROWSER_FIREFOX, 4}, {"text", "webnn", WA_BROWSER_EDGE, 3},
        {"text_embedding", "webnn", WA_BROWSER_EDGE, 3}, {"text_embedding", "webgpu", WA_BROWSER_CHROME, 4},
        {"vision", "webgpu", WA_BROWSER_CHROME, 4}, {"multimodal", "webnn", WA_BROWSER_CHROME, 3},
        {"audio", "webnn", WA_BROWSER_EDGE, 3}, {NULL, NULL, WA_BROWSER_CHROME, 4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        wa_browser_family f[WA_BROWSER_FAMILY_COUNT];
        size_t n = wa__browser_priors(rows[i].type, rows[i].target, f);
        if (n != rows[i].count || f[0] != rows[i].first) fail_msg("row %zu: %zu families, first %u", i, n, f[0]);
        for (size_t a = 0; a < n; a++)
            for (size_t b = 0; b < a; b++) assert_int_not_equal(f[a], f[b]);
    }
}

static void test_machine_scan(void **state)
{
    (void)state;
    put_away("sys/class/drm/card0/device/vendor", "0x1a03\n", 0644); /* a server's BMC: no GPU */
    put_away("sys/class/drm/card0/device/device", "0x2000\n", 0644);
    wa_browser_machine m;
    wa__browser_machine_scan(dir, &m);
    assert_int_equal(m.gpu_count, 0);
    put_away("dev/nvidia0", "", 0644);
    put_away("proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Thu\n", 0644);
    put_away("usr/share/vulkan/icd.d/lvp_icd.x86_64.json", "{}", 0644);
    put_away("usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json", "{}", 0644);
    wa__browser_machine_scan(dir, &m);
    assert_int_equal(m.gpu_count, 1);
    assert_true(m.has_nvidia);
    assert_string_equal(m.driver, "NVIDIA 570.86.15");
    assert_string_equal(m.icds, "lvp_icd,nvidia_icd");
    assert_non_null(strstr(m.vk_driver_files, "/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json"));
    put_away("etc/vulkan/icd.d/nvidia_icd.json", "{}", 0644); /* the loader finds this one itself */
    wa__browser_machine_scan(dir, &m);
    assert_string_equal(m.vk_driver_files, "");
}

static void test_ladder(void **state)
{
    (void)state;
    wa_browser_machine none = {0}, server = {.gpu_count = 1, .has_nvidia = true}, desk = {.gpu_count = 1, .has_display = true};
    wa_browser_step s[WA_BROWSER_STEPS_MAX];
    wa_browser_wants w = {.machine = &none, .hardware = true};
    assert_int_equal(wa__browser_ladder(WA_BROWSER_CHROME, &w, s), 0);
    assert_int_equal(wa__browser_ladder(WA_BROWSER_FIREFOX, &w, s), 0);
    w.software = true;
    assert_int_equal(wa__browser_ladder(WA_BROWSER_CHROMIUM, &w, s), 1);
    assert_true(s[0].software);
    w.machine = &server;
    size_t n = wa__browser_ladder(WA_BROWSER_CHROMIUM, &w, s);
    assert_int_equal(n, 5);
    assert_string_equal(s[0].name, "headless-server");
    assert_true(s[0].layer && s[0].icd);
    assert_true(s[n - 1].software); /* last */
    w.machine = &desk;
    w.software = false;
    w.webnn = true;
    n = wa__browser_ladder(WA_BROWSER_EDGE, &w, s);
    assert_string_equal(s[0].name, "defaults");
    for (size_t i = 0; i < n; i++) {
        assert_false(s[i].software);
        assert_non_null(strstr(s[i].features, "WebMachineLearningNeuralNetwork"));
        assert_true(s[i].limit_ms > 0);
    }
    assert_string_equal(s[n - 1].name, "webnn");
    w.machine = &none; /* WebNN needs no adapter */
    assert_int_equal(wa__browser_ladder(WA_BROWSER_CHROMIUM, &w, s), 1);
}

static size_t count_prefix(const wa_strings *a, const char *prefix)
{
    size_t n = 0;
    for (size_t i = 0; i < a->count; i++) n += !strncmp(a->items[i], prefix, strlen(prefix));
    return n;
}

static void test_command_line_has_one_switch_of_each(void **state)
{
    (void)state;
    wa_browser_machine m = {.gpu_count = 1, .has_nvidia = true};
    (void)snprintf(m.vk_driver_files, sizeof m.vk_driver_files, "/x/nvidia.json");
    wa_browser_wants w = {.machine = &m, .hardware = true, .software = true, .webnn = true};
    wa_browser_step steps[WA_BROWSER_STEPS_MAX];
    size_t n = wa__browser_ladder(WA_BROWSER_CHROME, &w, steps);
    char exec[] = "/x/chrome", profile[] = "/x/p", tmp[] = "/x/t";
    wa_browser_info info = {.family = WA_BROWSER_CHROME, .path = exec, .exec = exec};
    wa_instance in = {.profile = profile, .tmp = tmp};
    for (size_t i = 0; i < n; i++) {
        wa_browser_options o = {.info = &info, .step = &steps[i], .url = "http://127.0.0.1:1/#secret", .machine = &m};
        wa_flags_in f = {&o, &in, false, false};
        wa_strings argv = {0}, env = {0};
        wa__flags_chromium(&f, &argv);
        wa__flags_env(&f, "/x/share", &env);
        assert_false(argv.failed || env.failed);
        assert_int_equal(count_prefix(&argv, "--enable-features="), 1);
        assert_int_equal(count_prefix(&argv, "--disable-features="), 1);
        assert_true(count_prefix(&argv, "--enable-dawn-features=") <= 1);
        assert_int_equal(count_prefix(&argv, "--no-sandbox"), 0);
        assert_int_equal(count_prefix(&argv, "http"), 0); /* the token must not be seen in ps */
        assert_int_equal(count_prefix(&env, "TMPDIR="), 1);
        assert_int_equal(count_prefix(&env, "HOME="), 1);
        assert_int_equal(count_prefix(&env, "HOME=/x/p"), 1); /* nothing is left in the user's own */
        assert_int_equal(count_prefix(&env, "XDG_C"), 1);
        assert_int_equal(count_prefix(&env, "XDG_CACHE_HOME=/x/p/"), 1);
        assert_int_equal(count_prefix(&env, "XDG_DATA_DIRS=/x/share:"), 1);
        assert_int_equal(count_prefix(&env, "VK_DRIVER_FILES="), steps[i].icd ? 1 : 0);
        assert_int_equal(count_prefix(&env, "WEBACCEL_"), 0);
        wa__strings_free(&argv);
        wa__strings_free(&env);
    }
}

static wa_status refuse_first(void *user, wa_browser *b, const wa_browser_step *step, uint32_t limit_ms, wa_browser_attempt *a,
                              wa_error *err)
{
    (void)b, (void)err;
    assert_true(limit_ms > 0);
    wa_buf *seen = user;
    (void)!wa__buf_printf(seen, NULL, "%s ", step->name);
    a->accepted = !strcmp(step->name, "vulkan");
    snprintf(a->adapter, sizeof a->adapter, "made up");
    snprintf(a->reason, sizeof a->reason, "no %s adapter", step->name);
    return WA_OK;
}

/* A browser of a few lines: NUL-ended JSON over descriptors 3 and 4. */
static const char fake_browser[] =
    "#!/usr/bin/env python3\n"
    "import os,json,sys\n"
    "buf=b''\n"
    "def send(o): os.write(4,json.dumps(o).encode()+b'\\0')\n"
    "if 'die' in os.environ.get('FAKE',''): sys.stderr.write('cannot open the moon\\n'); sys.exit(3)\n"
    "while True:\n"
    "    while b'\\0' in buf:\n"
    "        m,buf=buf.split(b'\\0',1); m=json.loads(m); i=m['id']; k=m['method']; r={}\n"
    "        if k=='Browser.getVersion': r={'product':'Fake/1.2'}\n"
    "        if k=='Target.getTargets': r={'targetInfos':[{'type':'page','targetId':'T1'}]}\n"
    "        if k=='Target.attachToTarget': r={'sessionId':'S1'}\n"
    "        if k=='Runtime.evaluate':\n"
    "            e=m['params']['expression']\n"
    "            if 'argv' in e: r={'result':{'value':json.dumps(sys.argv)}}\n"
    "            elif 'fds' in e: r={'result':{'value':json.dumps(sorted(int(x) for x in os.listdir('/proc/self/fd')))}}\n"
    "            elif 'big' in e: r={'result':{'value':'\"'+'x'*300000+'\"'}}\n"
    "            elif 'garbage' in e: os.write(4,b'{]\\0'); continue\n"
    "            elif 'quiet' in e: continue\n"
    "            else:\n"
    "                send({'method':'Inspector.targetCrashed','params':{}})\n"
    "                send({'id':i-1,'result':{}})\n"
    "                r={'result':{'value':'7'}}\n"
    "        send({'id':i,'result':r})\n"
    "        if k=='Browser.close': sys.exit(0)\n"
    "    d=os.read(3,65536)\n"
    "    if not d: sys.exit(0)\n"
    "    buf+=d\n";

static void test_link_and_ladder_with_a_fake_browser(void **state)
{
    (void)state;
    wa_error err = {0};
    char *exec = put("fake", fake_browser, 0755), *home = wa__path_join(dir, "home");
    wa_browser_info info = {.family = WA_BROWSER_CHROMIUM, .id = "fake", .name = "Fake", .version = "1", .path = exec, .exec = exec};
    wa_browser_machine desk = {.gpu_count = 1, .has_display = true};
    wa_browser_wants w = {.machine = &desk, .hardware = true};
    wa_browser_options o = {.info = &info, .home = home, .url = "http://127.0.0.1/"};
    wa_browser *b = NULL;
    wa_browser_step used;
    for (int i = 0; i < 2; i++) {
        wa_buf seen;
        wa__buf_init(&seen, 1000);
        assert_ok(wa__browser_launch_ladder(&o, &w, refuse_first, &seen, &b, &used, &err), err);
        assert_string_equal(used.name, "vulkan");
        /* The second time the remembered step comes first. */
        assert_string_equal(seen.ptr, i ? "vulkan " : "defaults unsafe-webgpu vulkan ");
        wa__buf_done(&seen);
        if (i == 0) wa__browser_close(b);
    }
    assert_string_equal(wa__browser_version(b), "Fake/1.2");
    char *json = NULL;
    assert_ok(wa__browser_evaluate(b, "3+4", 5000, &json, &err), err); /* behind an event and a stale answer */
    assert_string_equal(json, "7");
    wa__free(json);
    wa_browser_state s;
    wa__browser_poll(b, &s);
    assert_true(s.running && s.page_crashed);
    assert_ok(wa__browser_evaluate(b, "fds", 5000, &json, &err), err); /* 5: the listing itself */
    assert_string_equal(json, "[0, 1, 2, 3, 4, 5]");
    wa__free(json);
    assert_ok(wa__browser_evaluate(b, "big", 5000, &json, &err), err);
    assert_int_equal(strlen(json), 300002);
    wa__free(json);
    assert_int_equal(wa__browser_evaluate(b, "quiet", 50, &json, &err), WA_TIMEOUT);
    assert_int_equal(wa__browser_evaluate(b, "garbage", 5000, &json, &err), WA_PROTOCOL);
    wa__browser_close(b);
    char *tmp = wa__path_join(home, "tmp"), **names = NULL;
    size_t n = 0;
    assert_ok(wa__os_list(tmp, &names, &n, &err), err);
    assert_int_equal(n, 0);
    wa__os_list_free(names, n);
    wa__free(tmp), wa__free(home), wa__free(exec);
}

static void test_a_browser_that_dies_says_why(void **state)
{
    (void)state;
    wa_error err = {0};
    char *exec = put("fake", fake_browser, 0755), *home = wa__path_join(dir, "home"), *gone = wa__path_join(dir, "gone");
    wa_browser_info info = {.family = WA_BROWSER_CHROMIUM, .id = "fake", .name = "Fake", .path = exec, .exec = exec};
    wa_browser_options o = {.info = &info, .home = home};
    wa_browser *b = NULL;
    setenv("FAKE", "die", 1);
    assert_int_equal(wa__browser_launch(&o, &b, &err), WA_BROWSER);
    unsetenv("FAKE");
    assert_non_null(strstr(err.message, "cannot open the moon"));
    info.exec = gone;
    assert_int_equal(wa__browser_launch(&o, &b, &err), WA_BROWSER);
    assert_non_null(strstr(err.message, "No such file"));
    snprintf(info.unusable, sizeof info.unusable, "a snap");
    assert_int_equal(wa__browser_launch(&o, &b, &err), WA_BROWSER);
    wa__free(exec), wa__free(home), wa__free(gone);
}

static void put_marker(const char *name, int owner, uint64_t owner_start, int browser, uint64_t browser_start)
{
    char *text = wa__format("{\"owner\":%d,\"owner_start\":%llu,\"browser\":%d,\"browser_start\":%llu,\"extra\":\"/etc\"}", owner,
                            (unsigned long long)owner_start, browser, (unsigned long long)browser_start);
    char *path = wa__format("tmp/%s/owner.json", name);
    put_away(path, text, 0600);
    wa__free(path), wa__free(text);
}

static bool is_there(const char *name)
{
    char *p = wa__format("%s/tmp/%s", dir, name);
    bool yes = access(p, F_OK) == 0;
    wa__free(p);
    return yes;
}

static void test_sweep(void **state)
{
    (void)state;
    pid_t dead = fork();
    if (dead == 0) _exit(0);
    waitpid(dead, NULL, 0);
    pid_t left = fork(); /* a browser whose owner is dead */
    if (left == 0) {
        setsid();
        for (;;) pause();
    }
    while (getpgid(left) != left) wa__os_sleep_ms(1);
    uint64_t start = wa__process_start_time(left);
    assert_true(start > 0);
    assert_int_equal(wa__process_start_time(dead), 0);

    put_marker("b-live", getpid(), wa__process_start_time(getpid()), left, start);
    put_marker("b-other", dead, 5, left, start + 1); /* its pid belongs to somebody else now */
    put_away("tmp/b-young/log", "no marker yet", 0600);
    put_away("tmp/elsewhere/log", "not ours", 0600);
    assert_int_equal(wa__browser_sweep(dir), 1);
    assert_true(is_there("b-live") && is_there("b-young") && is_there("elsewhere"));
    assert_false(is_there("b-other"));
    assert_int_equal(kill(left, 0), 0);
    assert_true(wa__process_start_time(left) == start);
    assert_int_equal(access("/etc", F_OK), 0);

    put_marker("b-dead", dead, 5, left, start);
    put_away("tmp/b-dead/t/org.chromium.Chromium.x/file", "x", 0600);
    assert_int_equal(wa__browser_sweep(dir), 1);
    assert_false(is_there("b-dead"));
    int status = 0;
    assert_int_equal(waitpid(left, &status, 0), left);
    assert_true(WIFSIGNALED(status));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_discovery_in_a_made_up_tree, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chrome_falls_to_chromium_only_when_allowed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_versions_are_asked_once, setup, teardown),
        cmocka_unit_test(test_priors),
        cmocka_unit_test_setup_teardown(test_machine_scan, setup, teardown),
        cmocka_unit_test(test_ladder),
        cmocka_unit_test(test_command_line_has_one_switch_of_each),
        cmocka_unit_test_setup_teardown(test_link_and_ladder_with_a_fake_browser, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_browser_that_dies_says_why, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sweep, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
