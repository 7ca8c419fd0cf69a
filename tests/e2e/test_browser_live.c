/* A real browser through src/browser: launch, evaluate, navigate, ping, hang, crash, end, and our own
 * death. usage: test_browser_live chromium|firefox [TEST]; exits 77 where that browser is not installed. */
#include "tests.h"
#include "browser/browser.h"
#include "base/log.h"
#include "base/os.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static wa_browser_info browser; /* the one under test */
static char *home;

static void to_stderr(wa_log_level level, const char *module, const char *text, void *user)
{
    (void)level, (void)user;
    fprintf(stderr, "  [%s] %s\n", module, text);
}

/* Processes, zombies aside, whose command line or environment names our home folder; kill_only:
 * those whose command line also holds this text are killed. */
static int processes_with(const char *what, const char *kill_only)
{
    int count = 0;
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && (e = readdir(d));) {
        int pid = (int)strtol(e->d_name, NULL, 10);
        if (pid <= 0 || pid == getpid()) continue;
        static const char *const files[] = {"cmdline", "environ"};
        bool ours = false, wanted = false;
        for (int i = 0; i < 2; i++) { /* a renderer's command line may have been cut: either will do */
            char path[64];
            static char text[131072];
            snprintf(path, sizeof path, "/proc/%d/%s", pid, files[i]);
            int fd = open(path, O_RDONLY);
            ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);
            if (fd >= 0) close(fd);
            if (n <= 0) continue;
            ours = ours || memmem(text, (size_t)n, what, strlen(what));
            wanted = wanted || (kill_only && i == 0 && memmem(text, (size_t)n, kill_only, strlen(kill_only)));
        }
        count += ours;
        if (ours && wanted) (void)kill(pid, SIGKILL);
    }
    if (d) closedir(d);
    return count;
}

static int processes_of(const char *what) { return processes_with(what, NULL); }

static int temp_folders(void)
{
    char *path = wa__path_join(home, "tmp"), **names = NULL;
    size_t n = 0;
    if (wa__os_list(path, &names, &n, NULL) == WA_OK) wa__os_list_free(names, n);
    else n = 0;
    wa__free(path);
    return (int)n;
}

static void assert_nothing_left(int within_ms)
{
    double end = wa__os_now_ms() + within_ms;
    while ((processes_of(home) || temp_folders()) && wa__os_now_ms() < end) wa__os_sleep_ms(20);
    assert_int_equal(processes_of(home), 0);
    assert_int_equal(temp_folders(), 0);
}

static wa_browser *launch(bool temporary, const char *url)
{
    wa_browser_step step = {.name = "software", .flags = {"--enable-unsafe-webgpu"}};
    wa_browser_options o = {.info = &browser, .home = home, .temporary_profile = temporary, .url = url, .step = &step};
    wa_error err = {0};
    wa_browser *b = NULL;
    double t = wa__os_now_ms();
    assert_ok(wa__browser_launch(&o, &b, &err), err);
    wa_browser_state s;
    wa__browser_poll(b, &s);
    printf("  %s: connected %.0f ms, at its page %.0f ms%s\n", wa__browser_version(b), s.start_ms, wa__os_now_ms() - t,
           s.no_sandbox ? ", no sandbox" : "");
    assert_true(s.running);
    return b;
}

static void expect(wa_browser *b, const char *expression, const char *json)
{
    wa_error err = {0};
    char *got = NULL;
    assert_ok(wa__browser_evaluate(b, expression, 5000, &got, &err), err);
    assert_string_equal(got, json);
    wa__free(got);
}

/* A navigation returns when it is committed; the parser may be a moment behind. */
static void expect_title(wa_browser *b, const char *json)
{
    for (int i = 0; i < 100; i++) {
        wa_error err = {0};
        char *got = NULL;
        /* Chromium loses a question asked while a new renderer takes over from a crashed one: ask again. */
        wa_status asked = WA_TIMEOUT;
        for (int tries = 0; tries < 6 && asked == WA_TIMEOUT; tries++)
            asked = wa__browser_evaluate(b, "document.title", 2500, &got, &err);
        assert_ok(asked, err);
        bool same = !strcmp(got, json);
        wa__free(got);
        if (same) return;
        wa__os_sleep_ms(20);
    }
    fail_msg("the title never became %s", json);
}

static void close_timed(wa_browser *b)
{
    double t = wa__os_now_ms();
    wa__browser_close(b);
    t = wa__os_now_ms() - t;
    printf("  closed in %.0f ms\n", t);
    assert_true(t < 2500);
}

static void test_evaluate_and_navigate(void **state)
{
    (void)state;
    wa_error err = {0};
    for (int i = 0; i < 2; i++) { /* a cold profile, then a warm one */
        wa_browser *b = launch(false, "data:text/html,<title>first</title>");
        expect(b, "1 + 1", "2");
        expect_title(b, "\"first\"");
        expect(b, "Promise.resolve({a:[1,'\\u00e9']})", "{\"a\":[1,\"\xc3\xa9\"]}");
        expect(b, "undefined", "null");
        assert_ok(wa__browser_navigate(b, "data:text/html,<title>second</title>", 5000, &err), err);
        expect_title(b, "\"second\"");
        char *json = NULL;
        assert_int_equal(wa__browser_evaluate(b, "(()=>{throw new Error('as asked')})()", 5000, &json, &err), WA_BROWSER);
        assert_non_null(strstr(err.message, "as asked"));
        assert_int_not_equal(wa__browser_navigate(b, "http://127.0.0.1:1/", 5000, &err), WA_OK);
        close_timed(b);
    }
    assert_nothing_left(0);
}

static void test_parallel_run_gets_a_temporary_profile(void **state)
{
    (void)state;
    wa_browser *a = launch(false, NULL), *b = launch(false, NULL);
    wa_browser_state sa, sb;
    wa__browser_poll(a, &sa);
    wa__browser_poll(b, &sb);
    assert_false(sa.temporary_profile);
    assert_true(sb.temporary_profile);
    expect(b, "2", "2");
    close_timed(b);
    expect(a, "3", "3");
    close_timed(a);
    assert_nothing_left(0);
}

static void test_hung_page_is_seen_and_interrupted(void **state)
{
    (void)state;
    wa_error err = {0};
    wa_browser *b = launch(true, "data:text/html,x");
    char *json = NULL;
    assert_int_equal(wa__browser_evaluate(b, "(()=>{for(;;);})()", 300, &json, &err), WA_TIMEOUT);
    bool browser_ok, page_ok;
    for (int i = 0; i < 10; i++) { /* a busy machine may be slower than the limit */
        assert_ok(wa__browser_ping(b, 400, &browser_ok, &page_ok, &err), err);
        assert_false(page_ok);
        if (browser_ok) break;
    }
    assert_true(browser_ok);
    if (browser.family == WA_BROWSER_FIREFOX) {
        assert_int_equal(wa__browser_interrupt(b, 1000, &err), WA_UNSUPPORTED);
    } else {
        assert_ok(wa__browser_interrupt(b, 5000, &err), err);
        assert_ok(wa__browser_ping(b, 5000, &browser_ok, &page_ok, &err), err);
        assert_true(browser_ok && page_ok);
        assert_int_equal(wa__browser_evaluate(b, "(()=>{for(;;);})()", 200, &json, &err), WA_TIMEOUT);
    }
    close_timed(b); /* also while it spins */
    assert_nothing_left(0);
}

static void test_death_of_the_browser_is_seen(void **state)
{
    (void)state;
    wa_error err = {0};
    wa_browser *b = launch(true, NULL);
    wa_browser_state s;
    wa__browser_poll(b, &s);
    assert_int_equal(kill(s.pid, SIGKILL), 0);
    wa__os_sleep_ms(100);
    bool browser_ok, page_ok;
    assert_int_equal(wa__browser_ping(b, 2000, &browser_ok, &page_ok, &err), WA_BROWSER);
    wa__browser_poll(b, &s);
    assert_false(s.running);
    for (int i = 0; i < 200 && s.exit_code < 0; i++) { /* its pipes close before it is dead */
        wa__os_sleep_ms(20);
        wa__browser_poll(b, &s);
    }
    assert_int_equal(s.exit_code, 128 + SIGKILL);
    close_timed(b);
    assert_nothing_left(500);
}

static void test_renderer_crash_is_seen_and_recovered(void **state)
{
    (void)state;
    if (browser.family == WA_BROWSER_FIREFOX) skip(); /* BiDi has no crash event; the bridge's heartbeat sees it */
    wa_error err = {0};
    wa_browser *b = launch(true, "data:text/html,x");
    int gpu = 0;
    assert_ok(wa__browser_gpu_pid(b, 3000, &gpu, &err), err);
    assert_true(gpu > 1);
    wa_browser_state s = {0};
    for (int i = 0; i < 200 && !s.page_crashed; i++) {
        if (i % 50 == 0) (void)processes_with(home, "--type=renderer");
        wa__os_sleep_ms(20);
        wa__browser_poll(b, &s);
    }
    assert_true(s.running);
    assert_true(s.page_crashed);
    assert_ok(wa__browser_navigate(b, "data:text/html,<title>again</title>", 5000, &err), err);
    expect_title(b, "\"again\"");
    close_timed(b);
    assert_nothing_left(0);
}

static void test_nothing_outlives_us(void **state)
{
    (void)state;
    static const int signals[] = {SIGKILL, SIGINT};
    for (int i = 0; i < 2; i++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        if (pid == 0) {
            (void)signal(SIGINT, SIG_DFL);
            wa_browser *b = launch(i == 0, "data:text/html,x");
            (void)!write(fds[1], "x", 1);
            pause();
            wa__browser_close(b);
            _exit(0);
        }
        close(fds[1]);
        char c;
        assert_int_equal(read(fds[0], &c, 1), 1);
        close(fds[0]);
        assert_true(processes_of(home) > 1);
        kill(pid, signals[i]);
        double t = wa__os_now_ms();
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
        assert_nothing_left(2000);
        printf("  nothing left %.0f ms after signal %d\n", wa__os_now_ms() - t, signals[i]);
    }
}

/* Root starts the browser as the owner of $WEBACCEL_HOME, with its sandbox. */
static void test_root_drops_to_the_owner_of_home(void **state)
{
    (void)state;
    if (geteuid() != 0) skip();
    wa_error err = {0};
    static char mine[] = "/tmp/wa-e2e-owned-XXXXXX"; /* outlives a failing test */
    char *before = home;
    assert_non_null(mkdtemp(mine));
    assert_int_equal(chown(mine, 65534, 65534), 0);
    home = mine;
    wa_browser *b = launch(false, "data:text/html,<title>dropped</title>");
    wa_browser_state s;
    wa__browser_poll(b, &s);
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d", s.pid);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, 65534);
    printf("  as user %u, sandbox %s\n", (unsigned)st.st_uid, s.no_sandbox ? "off" : "on");
    expect_title(b, "\"dropped\"");
    close_timed(b);
    char *profile = wa__format("%s/browsers/%s/profile", mine, browser.id), **names = NULL; /* it could write there */
    size_t count = 0;
    assert_ok(wa__os_list(profile, &names, &count, &err), err);
    assert_true(count > 2);
    wa__os_list_free(names, count);
    wa__free(profile);
    assert_nothing_left(0);
    home = before;
    assert_ok(wa__os_remove_tree(mine, &err), err);
}

static bool cancel_at_once(void *user)
{
    int *left = user;
    return --*left <= 0;
}

static void test_cancelled_launch_leaves_nothing(void **state)
{
    (void)state;
    int polls = 3;
    wa_error err = {0};
    wa_browser *b = NULL;
    wa_browser_options o = {.info = &browser, .home = home, .cancelled = cancel_at_once, .cancelled_user = &polls};
    assert_int_equal(wa__browser_launch(&o, &b, &err), WA_CANCELLED);
    assert_nothing_left(0);
    o.cancelled = NULL;
    o.limit_ms = 20;
    assert_int_equal(wa__browser_launch(&o, &b, &err), WA_TIMEOUT);
    assert_nothing_left(0);
}

/* Adapter of a secure page (about:blank has no navigator.gpu): the blank page of a data: URL will
 * not do, so the page is a file. */
static wa_status probe(void *user, wa_browser *b, const wa_browser_step *step, uint32_t limit_ms, wa_browser_attempt *a, wa_error *err)
{
    (void)step;
    (*(int *)user)++;
    char *json = NULL;
    wa_status s = wa__browser_evaluate(b, "(async()=>{const a=await navigator.gpu?.requestAdapter();return a?a.info.vendor+'/'+a.info.architecture+"
                                          "'/'+a.info.description+'/'+a.info.isFallbackAdapter:null})()", limit_ms, &json, err);
    if (s != WA_OK) return s;
    a->accepted = strcmp(json, "null") != 0;
    snprintf(a->adapter, sizeof a->adapter, "%s", json);
    snprintf(a->reason, sizeof a->reason, "no adapter");
    wa__free(json);
    return WA_OK;
}

static void test_ladder_finds_the_software_adapter(void **state)
{
    (void)state;
    wa_error err = {0};
    char *page = wa__format("%s/page.html", home), *url = wa__format("file://%s", page);
    assert_ok(wa__os_write_file(page, "<title>p</title>", 16, 0644, &err), err);
    wa_browser_machine none = {0};
    wa_browser_wants wants = {.machine = &none, .hardware = true, .software = true};
    wa_browser_options o = {.info = &browser, .home = home, .url = url};
    wa_browser *b = NULL;
    wa_browser_step used;
    int probes = 0;
    assert_ok(wa__browser_launch_ladder(&o, &wants, probe, &probes, &b, &used, &err), err);
    assert_int_equal(probes, 1);
    assert_string_equal(used.name, "software");
    close_timed(b);
    wants.software = false;
    assert_int_equal(wa__browser_launch_ladder(&o, &wants, probe, &probes, &b, &used, &err), WA_ADAPTER);
    assert_nothing_left(0);
    wa__free(page);
    wa__free(url);
}

int main(int argc, char **argv)
{
    const char *family = argc > 1 ? argv[1] : "chromium";
    wa_error err = {0};
    wa_browser_list list;
    if (wa__browser_discover(NULL, &list, &err) != WA_OK) return 1;
    const wa_browser_info *found = wa__browser_pick(&list, family, true);
    if (!found) {
        printf("SKIP: no usable %s on this machine\n", family);
        return 77;
    }
    browser = *found;
    char made[] = "/tmp/wa-e2e-XXXXXX";
    home = mkdtemp(made);
    if (!home) return 1;
    wa__log_set(to_stderr, NULL, WA_LOG_INFO);
    if (argc > 2) cmocka_set_test_filter(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_evaluate_and_navigate),
        cmocka_unit_test(test_parallel_run_gets_a_temporary_profile),
        cmocka_unit_test(test_hung_page_is_seen_and_interrupted),
        cmocka_unit_test(test_death_of_the_browser_is_seen),
        cmocka_unit_test(test_renderer_crash_is_seen_and_recovered),
        cmocka_unit_test(test_nothing_outlives_us),
        cmocka_unit_test(test_root_drops_to_the_owner_of_home),
        cmocka_unit_test(test_cancelled_launch_leaves_nothing),
        cmocka_unit_test(test_ladder_finds_the_software_adapter),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)!wa__os_remove_tree(home, NULL);
    wa__browser_list_free(&list);
    return failed;
}
