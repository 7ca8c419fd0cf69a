/* The folders of one launch and what is left of earlier ones. In: $WEBACCEL_HOME. Out: an instance
 * folder (TMPDIR, log, marker, temporary profile), a locked persistent profile, and the sweep of
 * folders whose owner died. Called by browser_launch.c.
 *
 *   <home>/tmp/b-XXXXXX/   owner.json  {owner, owner_start, browser, browser_start, extra}
 *                          t/ TMPDIR   log   share/ the Vulkan layer's manifest   profile/ (temporary)
 *   <home>/browsers/<id>/  lock   profile/ (persistent: its shader cache makes later starts fast) */
#include "browser/browser_int.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A Unix socket's path holds 107 bytes; Chromium appends "/org.chromium.Chromium.XXXXXX/SingletonSocket". */
#define TMPDIR_BYTES_MAX 56u
#define EXTRA_PREFIX     "/tmp/webaccel-b-"
#define YOUNG_NS         60000000000ull /* a folder without a marker may be one being made */

/* Root gives the browser's files to the owner of $WEBACCEL_HOME when that is not root: the browser
 * then runs as that user, inside its sandbox. Any other user (nobody) could not reach the folder. */
static void find_owner(const char *home, wa_instance *in)
{
    struct stat st;
    if (geteuid() != 0 || stat(home, &st) != 0 || st.st_uid == 0) return;
    in->drop = true;
    in->uid = st.st_uid;
    in->gid = st.st_gid;
}

static wa_status make_dir(const wa_instance *in, const char *path, wa_error *err)
{
    WA_TRY(wa__os_mkdirs(path, 0700, err));
    if (in->drop && chown(path, in->uid, in->gid) != 0)
        return wa__fail(err, WA_IO, "cannot give %s to user %u: %s", path, (unsigned)in->uid, strerror(errno));
    return WA_OK;
}

static wa_status open_profile(wa_instance *in, const char *home, const char *id, bool temporary, wa_error *err)
{
    if (!temporary) {
        char *all = wa__path_join(home, "browsers"), *base = all ? wa__path_join(all, id) : NULL;
        char *lock = base ? wa__path_join(base, "lock") : NULL, *profile = base ? wa__path_join(base, "profile") : NULL;
        wa_status s = lock && profile ? make_dir(in, all, err) : wa__no_memory(err, id);
        if (s == WA_OK) s = make_dir(in, base, err);
        if (s == WA_OK) s = wa__os_lock(lock, 0, &in->lock, err);
        if (s == WA_OK) s = make_dir(in, profile, err);
        if (s == WA_OK) {
            in->profile = profile;
            profile = NULL;
        }
        wa__free(all);
        wa__free(base);
        wa__free(lock);
        wa__free(profile);
        if (s != WA_BUSY) return s;
    }
    in->profile = wa__path_join(in->dir, "profile");
    return in->profile ? make_dir(in, in->profile, err) : wa__no_memory(err, id);
}

wa_status wa__instance_create(const char *home, const char *id, bool temporary, wa_instance *out, wa_error *err)
{
    wa_instance in = {.lock = {-1}};
    char *parent = wa__path_join(home, "tmp");
    wa_status s = parent ? wa__os_mkdirs(home, 0700, err) : wa__no_memory(err, home);
    if (s == WA_OK) find_owner(home, &in);
    if (s == WA_OK) s = make_dir(&in, parent, err);
    if (s == WA_OK) s = wa__os_temp_dir(parent, "b-", &in.dir, err);
    if (s == WA_OK) s = make_dir(&in, in.dir, err);
    if (s == WA_OK) {
        in.tmp = wa__path_join(in.dir, "t");
        in.log = wa__path_join(in.dir, "log");
        if (!in.tmp || !in.log) s = wa__no_memory(err, home);
    }
    if (s == WA_OK && strlen(in.tmp) > TMPDIR_BYTES_MAX) {
        wa__free(in.tmp);
        in.tmp = NULL;
        s = wa__os_temp_dir("/tmp", EXTRA_PREFIX + 5, &in.extra, err);
        if (s == WA_OK && !(in.tmp = wa__strdup(in.extra))) s = wa__no_memory(err, home);
    }
    if (s == WA_OK) s = make_dir(&in, in.tmp, err);
    /* Marked before anything starts: the sweep of a process beside us must see an owner. */
    if (s == WA_OK) s = wa__instance_mark(&in, NULL, err);
    if (s == WA_OK) s = open_profile(&in, home, id, temporary, err);
    wa__free(parent);
    if (s != WA_OK) wa__instance_done(&in);
    else *out = in;
    return s;
}

wa_status wa__instance_mark(const wa_instance *in, const wa_process *p, wa_error *err)
{
    char *path = wa__path_join(in->dir, "owner.json");
    json_t *m = json_pack("{s:i, s:I, s:i, s:I, s:s}", "owner", (int)getpid(), "owner_start",
                          (json_int_t)wa__process_start_time(getpid()), "browser", p ? (int)p->pid : 0, "browser_start",
                          (json_int_t)(p ? p->start_time : 0), "extra", in->extra ? in->extra : "");
    char *text = m ? json_dumps(m, JSON_COMPACT) : NULL;
    json_decref(m);
    wa_status s = path && text ? wa__os_write_file(path, text, strlen(text), 0600, err) : wa__no_memory(err, "marker");
    free(text);
    wa__free(path);
    return s;
}

void wa__instance_log_tail(const wa_instance *in, char *out, size_t n)
{
    out[0] = 0;
    int fd = open(in->log, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    off_t size = lseek(fd, 0, SEEK_END);
    off_t from = size > (off_t)n - 1 ? size - (off_t)n + 1 : 0;
    ssize_t r = pread(fd, out, n - 1, from);
    close(fd);
    out[r > 0 ? r : 0] = 0;
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < ' ' || (unsigned char)*p > 126) *p = ' ';
}

static bool remove_dir(const char *path)
{
    for (int i = 0; i < 20; i++) { /* dying processes may still write */
        if (wa__os_remove_tree(path, NULL) == WA_OK) return true;
        wa__os_sleep_ms(10);
    }
    return false;
}

void wa__instance_done(wa_instance *in)
{
    if (in->extra) (void)remove_dir(in->extra);
    if (in->dir) (void)remove_dir(in->dir);
    wa__os_unlock(&in->lock);
    wa__free(in->dir);
    wa__free(in->tmp);
    wa__free(in->extra);
    wa__free(in->profile);
    wa__free(in->log);
    *in = (wa_instance){.lock = {-1}};
}

static uint64_t marker_number(const json_t *m, const char *key)
{
    const json_t *v = json_object_get(m, key);
    json_int_t i = json_is_integer(v) ? json_integer_value(v) : 0;
    return i > 0 ? (uint64_t)i : 0;
}

static bool alive(uint64_t pid, uint64_t start)
{
    return pid && pid < INT32_MAX && start && wa__process_start_time((pid_t)pid) == start;
}

/* An extra folder is removed only if it is ours by name, owner and kind: the marker is just a file. */
static void sweep_extra(const char *path)
{
    struct stat st;
    if (!path || strncmp(path, EXTRA_PREFIX, sizeof EXTRA_PREFIX - 1) != 0 || strchr(path + 5, '/')) return;
    if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_uid == geteuid() || geteuid() == 0)) (void)remove_dir(path);
}

/* True when the folder is gone. */
static bool sweep_one(const char *dir)
{
    char *path = wa__path_join(dir, "owner.json");
    wa_buf text;
    wa__buf_init(&text, 65536);
    json_t *m = NULL;
    if (path && wa__os_read_file(path, &text, NULL) == WA_OK) m = json_loadb(text.ptr ? text.ptr : "", text.len, 0, NULL);
    wa__buf_done(&text);
    wa__free(path);
    bool stale;
    if (json_is_object(m)) {
        stale = !alive(marker_number(m, "owner"), marker_number(m, "owner_start"));
    } else {
        wa_file_info info;
        struct timespec now;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
        stale = wa__os_stat(dir, false, &info, NULL) == WA_OK && info.mtime_ns + YOUNG_NS < now_ns;
    }
    if (stale && m) {
        uint64_t pid = marker_number(m, "browser");
        if (alive(pid, marker_number(m, "browser_start")) && getpgid((pid_t)pid) == (pid_t)pid) {
            wa__log(WA_LOG_WARN, "browser", "ending process group %d, left by a dead process", (int)pid);
            (void)kill(-(pid_t)pid, SIGKILL);
            for (int i = 0; i < 50 && wa__process_start_time((pid_t)pid); i++) wa__os_sleep_ms(10);
        }
        sweep_extra(json_string_value(json_object_get(m, "extra")));
    }
    json_decref(m);
    return stale && remove_dir(dir);
}

size_t wa__browser_sweep(const char *home)
{
    char *own = home ? NULL : wa__os_home();
    char *parent = home || own ? wa__path_join(home ? home : own, "tmp") : NULL;
    char **names = NULL;
    size_t count = 0, gone = 0;
    if (parent && wa__os_list(parent, &names, &count, NULL) == WA_OK) {
        for (size_t i = 0; i < count; i++) {
            char *dir = strncmp(names[i], "b-", 2) ? NULL : wa__path_join(parent, names[i]);
            if (dir && sweep_one(dir)) gone++;
            wa__free(dir);
        }
        wa__os_list_free(names, count);
    }
    wa__free(parent);
    wa__free(own);
    return gone;
}
