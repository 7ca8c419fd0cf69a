/* Launching: instance folder, profile, command line, process, control link, first page. In:
 * options. Out: a wa_browser, or an error with the browser's own last words and nothing left
 * behind. Called by the bridge, through browser_ladder.c or directly. */
#include "browser/browser_int.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define START_LIMIT_MS 30000u

/* Chromium keeps shared buffers in /dev/shm; containers give 64 MB. */
static bool shm_is_small(void)
{
    struct statvfs v;
    return statvfs("/dev/shm", &v) != 0 || (uint64_t)v.f_bavail * v.f_frsize < ((uint64_t)1 << 30);
}

static void remove_in(const char *dir, const char *name)
{
    char *p = wa__path_join(dir, name);
    if (p) (void)!wa__os_remove(p, NULL);
    wa__free(p);
}

/* We hold the profile's lock: what an earlier browser left of its own locks is stale. */
static wa_status prepare_profile(const wa_browser_options *o, const wa_instance *in, wa_error *err)
{
    if (o->info->family != WA_BROWSER_FIREFOX) {
        remove_in(in->profile, "SingletonLock");
        remove_in(in->profile, "SingletonSocket");
        remove_in(in->profile, "SingletonCookie");
        return WA_OK;
    }
    remove_in(in->profile, "WebDriverBiDiServer.json");
    char *path = wa__path_join(in->profile, "user.js");
    wa_buf text;
    wa__buf_init(&text, 65536);
    wa_status s = path ? wa__flags_user_js(o->step, &text, err) : wa__no_memory(err, "user.js");
    if (s == WA_OK) s = wa__os_write_file(path, text.ptr, text.len, 0644, err);
    wa__buf_done(&text);
    wa__free(path);
    return s;
}

/* Starts the process; for Chromium the link gets our ends of its pipes. */
static wa_status start_process(wa_browser *b, const wa_strings *argv, const wa_strings *env, wa_error *err)
{
    bool pipe_link = b->family != WA_BROWSER_FIREFOX;
    int to[2] = {-1, -1}, from[2] = {-1, -1};
    int log = open(b->in.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int high = log < 0 ? -1 : fcntl(log, F_DUPFD_CLOEXEC, 10);
    if (log >= 0) close(log);
    wa_status s = high < 0 ? wa__fail(err, WA_IO, "cannot write %s: %s", b->in.log, strerror(errno)) : WA_OK;
    if (s == WA_OK && pipe_link) s = wa__process_pipe(to, err);
    if (s == WA_OK && pipe_link) s = wa__process_pipe(from, err);
    if (s == WA_OK) {
        wa_spawn spawn = {.argv = argv->items, .envp = env->items, .fd_out = high, .fd3 = to[0], .fd4 = from[1], .drop = b->in.drop,
                          .uid = b->in.uid, .gid = b->in.gid, .remove_dir = b->in.dir,
                          .remove_dir2 = b->in.extra ? b->in.extra : ""};
        s = wa__process_spawn(&spawn, &b->process, err);
    }
    if (high >= 0) close(high);
    if (to[0] >= 0) close(to[0]);
    if (from[1] >= 0) close(from[1]);
    if (s == WA_OK && pipe_link) {
        wa_link ends = b->link;
        wa__link_init_pipe(&b->link, from[0], to[1]);
        b->link.cancelled = ends.cancelled;
        b->link.cancelled_user = ends.cancelled_user;
    } else {
        if (to[1] >= 0) close(to[1]);
        if (from[0] >= 0) close(from[0]);
    }
    if (s == WA_OK) s = wa__instance_mark(&b->in, &b->process, err);
    return s;
}

static wa_status start(wa_browser *b, const wa_browser_options *o, wa_error *err)
{
    wa_flags_in f = {o, &b->in, b->no_sandbox, shm_is_small()};
    char *share = NULL;
    wa_strings argv = {0}, env = {0};
    wa_status s = prepare_profile(o, &b->in, err);
    if (s == WA_OK && o->step && o->step->layer) s = wa__flags_layer(b->in.dir, &share, err);
    if (s == WA_OK) {
        if (b->family == WA_BROWSER_FIREFOX) wa__flags_firefox(&f, &argv);
        else wa__flags_chromium(&f, &argv);
        wa__flags_env(&f, share, &env);
        if (argv.failed || env.failed) s = wa__fail(err, WA_NO_MEMORY, "no memory for the browser's command line");
    }
    if (s == WA_OK) s = start_process(b, &argv, &env, err);
    wa__strings_free(&argv);
    wa__strings_free(&env);
    wa__free(share);
    return s;
}

/* One try. *sandbox_failed: it ended because it could not make its sandbox. */
static wa_status try_launch(const wa_browser_options *o, const char *home, bool no_sandbox, bool *sandbox_failed, wa_browser **out,
                            wa_error *err)
{
    double begin = wa__os_now_ms();
    double end = begin + (o->limit_ms ? o->limit_ms : START_LIMIT_MS);
    wa_browser *b = wa__alloc(1, sizeof *b);
    if (!b) return wa__no_memory(err, "browser");
    b->family = o->info->family;
    memcpy(b->id, o->info->id, sizeof b->id);
    b->link = (wa_link){.read_fd = -1, .write_fd = -1, .cancelled = o->cancelled, .cancelled_user = o->cancelled_user};
    b->process.watcher_fd = -1;
    b->in.lock.fd = -1;
    wa_status s = wa__instance_create(home, b->id, o->temporary_profile, &b->in, err);
    if (s == WA_OK) {
        b->no_sandbox = no_sandbox || (b->family != WA_BROWSER_FIREFOX && geteuid() == 0 && !b->in.drop);
        if (b->no_sandbox && o->required_sandbox)
            s = wa__fail(err, WA_BROWSER, "%s has no sandbox when run as root; run as another user", b->id);
        else if (b->no_sandbox)
            wa__log(WA_LOG_WARN, "browser", "%s runs without its sandbox%s", b->id, geteuid() == 0 ? " (we are root)" : "");
    }
    if (s == WA_OK) s = start(b, o, err);
    if (s == WA_OK) {
        s = b->family == WA_BROWSER_FIREFOX ? wa__firefox_attach(b, wa__ms_left(end), err)
                                            : wa__chromium_attach(b, wa__ms_left(end), err);
        b->start_ms = wa__os_now_ms() - begin;
        if (s == WA_OK && o->url) s = wa__browser_navigate(b, o->url, wa__ms_left(end), err);
        if (s != WA_OK && s != WA_CANCELLED) {
            char tail[512];
            wa__instance_log_tail(&b->in, tail, sizeof tail);
            *sandbox_failed = s == WA_BROWSER && strstr(tail, "andbox") != NULL;
            if (tail[0]) wa__error_append(err, "; it said: %s", tail);
        }
    }
    if (s != WA_OK) {
        wa__browser_close(b);
        return wa__fail_in(err, s, "%s (%s)", o->info->name, o->info->exec);
    }
    *out = b;
    return WA_OK;
}

wa_status wa__browser_launch(const wa_browser_options *o, wa_browser **out, wa_error *err)
{
    if (!o->info || !o->info->exec) return wa__fail(err, WA_INVALID_ARGUMENT, "no browser was named");
    if (o->info->unusable[0]) return wa__fail(err, WA_BROWSER, "%s: %s", o->info->path, o->info->unusable);
    char *home = o->home ? wa__strdup(o->home) : wa__os_home();
    if (!home) return wa__no_memory(err, "$WEBACCEL_HOME");
    (void)wa__browser_sweep(home);
    bool sandbox_failed = false;
    wa_status s = try_launch(o, home, false, &sandbox_failed, out, err);
    /* Where the system forbids user namespaces (containers, Ubuntu's AppArmor) the sandbox cannot be
     * made; only our own page is ever opened. */
    if (s != WA_OK && sandbox_failed && !o->required_sandbox && o->info->family != WA_BROWSER_FIREFOX)
        s = try_launch(o, home, true, &sandbox_failed, out, err);
    wa__free(home);
    return s;
}
