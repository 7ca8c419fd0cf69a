/* One child process in its own session, and the shell that watches over it. In: program, arguments,
 * descriptors. Out: a process that is always reaped and whose group never outlives us. Called by
 * browser_launch.c and, for --version, browser_find.c.
 *
 * The watcher is /bin/sh waiting on a pipe whose other end only we hold: when we are gone, by
 * SIGKILL too, it reads the end of file, kills the browser's group and removes its folders.
 * PR_SET_PDEATHSIG would follow the forking thread, not the process, and removes no folder. */
#include "browser/browser_int.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FD_FLOOR 10 /* ours stand above the child's 0 to 4 */

static void close_fd(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

wa_status wa__process_pipe(int fds[2], wa_error *err)
{
    int low[2];
    if (pipe2(low, O_CLOEXEC) != 0) return wa__fail(err, WA_IO, "cannot make a pipe: %s", strerror(errno));
    fds[0] = fcntl(low[0], F_DUPFD_CLOEXEC, FD_FLOOR);
    fds[1] = fcntl(low[1], F_DUPFD_CLOEXEC, FD_FLOOR);
    int e = errno;
    close(low[0]);
    close(low[1]);
    if (fds[0] >= 0 && fds[1] >= 0) return WA_OK;
    close_fd(&fds[0]);
    close_fd(&fds[1]);
    return wa__fail(err, WA_IO, "cannot make a pipe: %s (too many open files?)", strerror(e));
}

/* Everything from 5 up closes at exec, so that a failing exec can still be reported. */
static void seal_descriptors(void)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, 5u, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */) == 0) return;
#endif
    long top = sysconf(_SC_OPEN_MAX);
    if (top < 0 || top > 65536) top = 65536;
    for (int fd = 5; fd < top; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0) (void)fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
    }
}

static bool place(int fd, int at)
{
    if (fd < 0) {
        close(at);
        return true;
    }
    return dup2(fd, at) == at;
}

/* In the child, after fork: async-signal-safe calls only. Writes errno to err_fd if exec fails. */
static void child(const wa_spawn *s, int null_fd, int err_fd)
{
    sigset_t none;
    sigemptyset(&none);
    for (int i = 1; i < 65; i++)
        if (i != SIGKILL && i != SIGSTOP) (void)signal(i, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setsid();
    int out = s->fd_out >= 0 ? s->fd_out : null_fd;
    bool ok = place(null_fd, 0) && place(out, 1) && place(out, 2) && place(s->fd3, 3) && place(s->fd4, 4);
    seal_descriptors();
    if (ok && s->drop) ok = setgroups(0, NULL) == 0 && setgid(s->gid) == 0 && setuid(s->uid) == 0;
    if (ok) (void)execve(s->argv[0], s->argv, s->envp);
    int e = errno;
    ssize_t n = write(err_fd, &e, sizeof e);
    (void)n;
    _exit(127);
}

/* Forks one child; WA_OK once exec succeeded. */
static wa_status fork_exec(const wa_spawn *s, int null_fd, pid_t *out, wa_error *err)
{
    int report[2];
    WA_TRY(wa__process_pipe(report, err));
    pid_t pid = fork();
    if (pid == 0) child(s, null_fd, report[1]);
    int e = errno;
    close(report[1]);
    if (pid < 0) {
        close(report[0]);
        return wa__fail(err, WA_IO, "cannot start %s: fork: %s", s->argv[0], strerror(e));
    }
    ssize_t n;
    do n = read(report[0], &e, sizeof e);
    while (n < 0 && errno == EINTR);
    close(report[0]);
    if (n == 0) {
        *out = pid;
        return WA_OK;
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return wa__fail(err, WA_BROWSER, "cannot start %s: %s", s->argv[0], strerror(n == (ssize_t)sizeof e ? e : EIO));
}

/* What the watcher runs: $1 group, $2 and $3 folders or empty. A line on stdin dismisses it. */
static const char watch_script[] =
    "IFS= read -r line && exit 0\n"
    "kill -KILL -\"$1\" 2>/dev/null\n"
    "for i in 1 2 3 4 5 6 7 8 9 10; do\n"
    "  { [ -z \"$2\" ] || rm -rf -- \"$2\"; } 2>/dev/null && { [ -z \"$3\" ] || rm -rf -- \"$3\"; } 2>/dev/null && exit 0\n"
    "  sleep 0.1\n"
    "done\n";

static wa_status start_watcher(const wa_spawn *s, int null_fd, wa_process *p, wa_error *err)
{
    int fds[2];
    WA_TRY(wa__process_pipe(fds, err));
    char group[24];
    (void)snprintf(group, sizeof group, "%d", (int)p->pid);
    /* Its stdin must be the pipe: fd 0 is null_fd in child(), so the pipe takes that place. */
    char sh[] = "/bin/sh", c[] = "-c", name[] = "webaccel-watch", path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
    char *argv[] = {sh, c, (char *)(uintptr_t)watch_script, name, group, (char *)(uintptr_t)s->remove_dir,
                    (char *)(uintptr_t)(s->remove_dir2 ? s->remove_dir2 : ""), NULL};
    char *envp[] = {path, NULL};
    wa_spawn w = {.argv = argv, .envp = envp, .fd_out = null_fd, .fd3 = -1, .fd4 = -1};
    wa_status st = fork_exec(&w, fds[0], &p->watcher, err);
    close(fds[0]);
    if (st == WA_OK) p->watcher_fd = fds[1];
    else close(fds[1]);
    return st;
}

wa_status wa__process_spawn(const wa_spawn *s, wa_process *out, wa_error *err)
{
    wa_process p = {.watcher_fd = -1};
    int low = open("/dev/null", O_RDWR | O_CLOEXEC);
    int null_fd = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, FD_FLOOR);
    close_fd(&low);
    if (null_fd < 0) return wa__fail(err, WA_IO, "cannot open /dev/null: %s", strerror(errno));
    wa_status st = fork_exec(s, null_fd, &p.pid, err);
    if (st == WA_OK) {
        p.start_time = wa__process_start_time(p.pid);
        if (s->remove_dir) st = start_watcher(s, null_fd, &p, err);
        if (st != WA_OK) wa__process_end(&p, 0);
    }
    close(null_fd);
    if (st == WA_OK) *out = p;
    return st;
}

static void dismiss_watcher(wa_process *p)
{
    if (!p->watcher) return;
    /* SIGPIPE cannot happen to a library's caller: the watcher only goes when told, or is killed. */
    sigset_t pipe_set, before;
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe_set, &before);
    bool told = write(p->watcher_fd, "\n", 1) == 1;
    if (!told) {
        struct timespec now = {0, 0};
        (void)sigtimedwait(&pipe_set, NULL, &now);
        (void)kill(p->watcher, SIGKILL);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    close_fd(&p->watcher_fd);
    while (waitpid(p->watcher, NULL, 0) < 0 && errno == EINTR) {
    }
    p->watcher = 0;
}

bool wa__process_poll(wa_process *p)
{
    if (p->exited || !p->pid) return false;
    siginfo_t info = {0};
    /* Looked at without reaping: while it is a zombie its group id cannot be anybody else's. */
    if (waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0) return true;
    if (info.si_pid == 0 && errno == EINTR) return true;
    (void)kill(-p->pid, SIGKILL);
    int status = 0;
    pid_t r;
    do r = waitpid(p->pid, &status, 0);
    while (r < 0 && errno == EINTR);
    p->exited = true;
    /* r < 0: the caller's program reaps all children itself; the code is lost, the end is not. */
    p->exit_code = r < 0 ? -1 : WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return false;
}

bool wa__process_wait(wa_process *p, uint32_t limit_ms)
{
    double end = wa__os_now_ms() + limit_ms;
    while (wa__process_poll(p)) {
        if (wa__os_now_ms() >= end) return false;
        wa__os_sleep_ms(3);
    }
    return true;
}

void wa__process_end(wa_process *p, uint32_t term_ms)
{
    if (p->pid && !p->exited) {
        if (term_ms && !wa__process_wait(p, 0)) {
            (void)kill(p->pid, SIGTERM);
            (void)wa__process_wait(p, term_ms);
        }
        if (!p->exited) {
            (void)kill(-p->pid, SIGKILL);
            (void)wa__process_wait(p, 1000);
        }
    }
    /* Its children were killed with it, but die in their own time; zombies that an idle init does not
     * reap count as members, hence the bound. */
    for (int i = 0; p->pid && i < 100 && kill(-p->pid, 0) == 0; i++) wa__os_sleep_ms(3);
    dismiss_watcher(p);
    p->pid = 0;
}

uint64_t wa__process_start_time(pid_t pid)
{
    char path[40], text[1024];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return 0;
    text[n] = 0;
    /* "pid (name) state ppid ...": the name may hold anything, so count from the last parenthesis. */
    const char *p = strrchr(text, ')');
    if (!p || p[1] != ' ' || p[2] == 'Z' || p[2] == 'X') return 0;
    p += 2;
    for (int field = 3; field < 22; field++) {
        p = strchr(p, ' ');
        if (!p) return 0;
        p++;
    }
    uint64_t v = 0;
    return wa__parse_u64((wa_str){p, strcspn(p, " \n")}, &v) ? v : 0;
}

wa_status wa__process_output(char *const *argv, uint32_t limit_ms, wa_buf *out, wa_error *err)
{
    int fds[2];
    WA_TRY(wa__process_pipe(fds, err));
    wa_process p = {0};
    extern char **environ;
    wa_spawn s = {.argv = argv, .envp = environ, .fd_out = fds[1], .fd3 = -1, .fd4 = -1};
    wa_status st = wa__process_spawn(&s, &p, err);
    close(fds[1]);
    double end = wa__os_now_ms() + limit_ms;
    while (st == WA_OK) {
        struct pollfd pf = {.fd = fds[0], .events = POLLIN};
        int r = poll(&pf, 1, (int)wa__ms_left(end));
        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) {
            st = wa__fail(err, WA_TIMEOUT, "%s did not answer in %u ms", argv[0], limit_ms);
            break;
        }
        char chunk[512];
        ssize_t n = read(fds[0], chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        st = wa__buf_append(out, chunk, (size_t)n, err);
    }
    close(fds[0]);
    wa__process_end(&p, 0);
    return st;
}
