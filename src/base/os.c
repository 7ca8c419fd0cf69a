/* POSIX side of os.h. */
#include "base/os.h"
#include "base/str.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static wa_status os_fail(wa_error *err, const char *verb, const char *path)
{
    int e = errno;
    wa_status s = e == ENOENT || e == ENOTDIR ? WA_NOT_FOUND : e == ENOMEM ? WA_NO_MEMORY : WA_IO;
    return wa__fail(err, s, "cannot %s %s: %s", verb, path, strerror(e));
}

wa_status wa__os_map(const char *path, wa_map *out, wa_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return os_fail(err, "open", path);
    struct stat st;
    wa_status s = WA_OK;
    void *p = NULL;
    if (fstat(fd, &st) != 0) s = os_fail(err, "stat", path);
    else if (!S_ISREG(st.st_mode)) s = wa__fail(err, WA_INVALID_ARGUMENT, "%s is not a regular file", path);
    else if (st.st_size > 0) {
        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) s = os_fail(err, "map", path);
    }
    close(fd);
    if (s == WA_OK) *out = (wa_map){p, (size_t)st.st_size};
    return s;
}

void wa__os_unmap(wa_map *m)
{
    if (m->data) munmap((void *)(uintptr_t)m->data, m->size);
    *m = (wa_map){0};
}

wa_status wa__os_stat(const char *path, bool follow, wa_file_info *out, wa_error *err)
{
    struct stat st;
    if ((follow ? stat : lstat)(path, &st) != 0) {
        if (errno != ENOENT && errno != ENOTDIR) return os_fail(err, "stat", path);
        *out = (wa_file_info){0};
        return WA_OK;
    }
    wa_file_kind k = S_ISREG(st.st_mode) ? WA_FILE_REGULAR : S_ISDIR(st.st_mode) ? WA_FILE_DIR : S_ISLNK(st.st_mode) ? WA_FILE_LINK : WA_FILE_OTHER;
    *out = (wa_file_info){k, (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec,
                          st.st_ino, st.st_dev, st.st_mode & 07777u};
    return WA_OK;
}

wa_status wa__os_read_file(const char *path, wa_buf *b, wa_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return os_fail(err, "open", path);
    wa_status s = WA_OK;
    char chunk[65536];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) s = os_fail(err, "read", path);
        if (n <= 0) break;
        s = wa__buf_append(b, chunk, (size_t)n, err);
        if (s != WA_OK) {
            s = wa__fail_in(err, s, "%s", path);
            break;
        }
    }
    close(fd);
    return s;
}

static wa_status write_all(int fd, const char *p, size_t n, const char *path, wa_error *err)
{
    while (n > 0) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0) return os_fail(err, "write", path);
        p += w;
        n -= (size_t)w;
    }
    return WA_OK;
}

wa_status wa__os_write_file(const char *path, const void *data, size_t n, uint32_t mode, wa_error *err)
{
    char *tmp = wa__format("%s.tmp-XXXXXX", path);
    if (!tmp) return wa__no_memory(err, path);
    int fd = mkostemp(tmp, O_CLOEXEC);
    wa_status s = fd < 0 ? os_fail(err, "create a file beside", path) : write_all(fd, data, n, path, err);
    if (s == WA_OK && fchmod(fd, mode) != 0) s = os_fail(err, "set the mode of", path);
    if (s == WA_OK && fsync(fd) != 0) s = os_fail(err, "flush", path);
    if (fd >= 0) close(fd);
    if (s == WA_OK && rename(tmp, path) != 0) s = os_fail(err, "replace", path);
    if (s != WA_OK && fd >= 0) unlink(tmp);
    wa__free(tmp);
    return s;
}

wa_status wa__os_mkdirs(const char *path, uint32_t mode, wa_error *err)
{
    char *p = wa__strdup(path);
    if (!p) return wa__no_memory(err, path);
    wa_status s = WA_OK;
    for (char *at = p + (*p == '/');; at++) {
        if (*at != '/' && *at != 0) continue;
        char c = *at;
        *at = 0;
        if (*p && mkdir(p, mode) != 0 && errno != EEXIST) {
            s = os_fail(err, "make the folder", p);
            break;
        }
        *at = c;
        if (c == 0) break;
    }
    wa__free(p);
    struct stat st;
    if (s == WA_OK && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))) s = wa__fail(err, WA_IO, "%s is not a folder", path);
    return s;
}

wa_status wa__os_remove(const char *path, wa_error *err)
{
    if (unlink(path) != 0 && errno != ENOENT) return os_fail(err, "remove", path);
    return WA_OK;
}

/* Through folder descriptors, so that a link swapped in meanwhile is never followed. */
static bool remove_at(int at, const char *name, unsigned depth)
{
    if (unlinkat(at, name, 0) == 0 || errno == ENOENT) return true;
    if (errno != EISDIR && errno != EPERM) return false;
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 || depth > 100 ? NULL : fdopendir(fd);
    if (!d) {
        if (fd >= 0) close(fd);
        return false;
    }
    bool ok = true;
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) ok = remove_at(dirfd(d), e->d_name, depth + 1) && ok;
    closedir(d);
    return ok && (unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT);
}

wa_status wa__os_remove_tree(const char *path, wa_error *err)
{
    if (!remove_at(AT_FDCWD, path, 0)) return os_fail(err, "remove", path);
    return WA_OK;
}

wa_status wa__os_rename(const char *from, const char *to, wa_error *err)
{
    if (rename(from, to) != 0) return os_fail(err, "rename", from);
    return WA_OK;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

wa_status wa__os_list(const char *path, char ***names, size_t *count, wa_error *err)
{
    DIR *d = opendir(path);
    if (!d) return os_fail(err, "open the folder", path);
    char **list = NULL;
    size_t n = 0, cap = 0;
    wa_status s = WA_OK;
    for (struct dirent *e; s == WA_OK && (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        if (!wa__array_reserve((void **)&list, &cap, n + 1, sizeof *list) || !(list[n] = wa__strdup(e->d_name)))
            s = wa__no_memory(err, path);
        else n++;
    }
    closedir(d);
    if (s != WA_OK) {
        wa__os_list_free(list, n);
        return s;
    }
    if (n) qsort(list, n, sizeof *list, by_name);
    *names = list;
    *count = n;
    return WA_OK;
}

void wa__os_list_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++) wa__free(names[i]);
    wa__free(names);
}

char *wa__os_realpath(const char *path)
{
    char *r = realpath(path, NULL);
    char *copy = r ? wa__strdup(r) : NULL;
    free(r);
    return copy;
}

wa_status wa__os_temp_dir(const char *parent, const char *prefix, char **out, wa_error *err)
{
    char *p = wa__format("%s/%sXXXXXX", parent, prefix);
    if (!p) return wa__no_memory(err, parent);
    if (!mkdtemp(p)) {
        wa_status s = os_fail(err, "make a folder in", parent);
        wa__free(p);
        return s;
    }
    *out = p;
    return WA_OK;
}

wa_status wa__os_lock(const char *path, uint32_t wait_ms, wa_lock *out, wa_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return os_fail(err, "open the lock", path);
    uint64_t end = wa__os_now_ns() + (uint64_t)wait_ms * 1000000u;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            wa_status s = os_fail(err, "lock", path);
            close(fd);
            return s;
        }
        if (wa__os_now_ns() >= end) {
            close(fd);
            return wa__fail(err, WA_BUSY, "%s is held by another process", path);
        }
        wa__os_sleep_ms(5);
    }
    out->fd = fd;
    return WA_OK;
}

void wa__os_unlock(wa_lock *l)
{
    if (l->fd >= 0) close(l->fd);
    l->fd = -1;
}

char *wa__path_join(const char *a, const char *b)
{
    size_t n = strlen(a);
    return wa__format(n && a[n - 1] == '/' ? "%s%s" : "%s/%s", a, b);
}

char *wa__os_home(void)
{
    const char *h = getenv("WEBACCEL_HOME");
    if (h && *h) return wa__strdup(h);
    h = getenv("HOME");
    return wa__path_join(h && *h ? h : "/tmp", ".webaccel");
}

char *wa__os_executable(void) { return wa__os_realpath("/proc/self/exe"); }

char *wa__os_which(const char *name)
{
    if (strchr(name, '/')) return access(name, X_OK) == 0 ? wa__strdup(name) : NULL;
    const char *path = getenv("PATH");
    for (const char *p = path ? path : "/usr/local/bin:/usr/bin:/bin"; *p;) {
        size_t n = strcspn(p, ":");
        char *full = wa__format("%.*s/%s", (int)n, p, name);
        struct stat st;
        if (n && full && access(full, X_OK) == 0 && stat(full, &st) == 0 && S_ISREG(st.st_mode)) return full;
        wa__free(full);
        p += n + (p[n] == ':');
    }
    return NULL;
}

uint64_t wa__os_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double wa__os_now_ms(void) { return (double)wa__os_now_ns() / 1e6; }

void wa__os_utc(char out[32])
{
    struct timespec t;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    char head[24];
    strftime(head, sizeof head, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, 32, "%s.%03dZ", head, (int)(t.tv_nsec / 1000000));
}

void wa__os_sleep_ms(uint32_t ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {}
}

wa_status wa__os_random(void *out, size_t n, wa_error *err)
{
    for (char *p = out; n > 0;) {
        ssize_t r = getrandom(p, n, 0);
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) return os_fail(err, "read", "the random source");
        p += r;
        n -= (size_t)r;
    }
    return WA_OK;
}

void wa__os_large_pages(void *p, size_t bytes)
{
#if defined(MADV_HUGEPAGE)
    enum { LARGE = 2 << 20 };
    size_t skip = (0 - (uintptr_t)p) % LARGE;
    if (bytes >= skip + LARGE) madvise((char *)p + skip, (bytes - skip) / LARGE * LARGE, MADV_HUGEPAGE);
#else
    (void)p, (void)bytes;
#endif
}

uint32_t wa__os_cores(void)
{
    cpu_set_t set;
    long n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (f) {
        long quota, period;
        if (fscanf(f, "%ld %ld", &quota, &period) == 2 && period > 0 && quota > 0 && (quota + period - 1) / period < n)
            n = (quota + period - 1) / period;
        fclose(f);
    }
    return n < 1 ? 1 : (uint32_t)n;
}

uint64_t wa__os_memory_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGE_SIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

void wa__os_host(char *out, size_t n)
{
    if (gethostname(out, n) != 0) snprintf(out, n, "unknown");
    out[n - 1] = 0;
}

static bool file_value(const char *path, const char *key, char separator, char *out, size_t n)
{
    FILE *f = fopen(path, "r");
    if (!f) return false;
    char line[512];
    bool found = false;
    while (!found && fgets(line, sizeof line, f)) {
        if (strncmp(line, key, strlen(key)) != 0) continue;
        char *v = strchr(line, separator);
        if (!v) continue;
        for (v++; *v == ' ' || *v == '"' || *v == '\t';) v++;
        v[strcspn(v, "\"\n")] = 0;
        snprintf(out, n, "%s", v);
        found = true;
    }
    fclose(f);
    return found;
}

void wa__os_cpu_name(char *out, size_t n)
{
    if (!file_value("/proc/cpuinfo", "model name", ':', out, n)) snprintf(out, n, "unknown");
}

void wa__os_name(char *out, size_t n)
{
    struct utsname u;
    char pretty[128] = "";
    file_value("/etc/os-release", "PRETTY_NAME", '=', pretty, sizeof pretty);
    if (uname(&u) != 0) snprintf(out, n, "unknown");
    else if (pretty[0]) snprintf(out, n, "%.32s %.64s (%.100s)", u.sysname, u.release, pretty);
    else snprintf(out, n, "%.32s %.64s", u.sysname, u.release);
}
