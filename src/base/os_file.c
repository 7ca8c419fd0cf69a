/* POSIX and Linux side of os_file.h. */
#include "base/os_file.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { COPY_CHUNK = 1 << 20 };

static wa_status file_fail(wa_error *err, const char *verb, const char *path)
{
    int e = errno;
    wa_status s = e == ENOENT || e == ENOTDIR ? WA_NOT_FOUND : e == ENOMEM ? WA_NO_MEMORY : WA_IO;
    return wa__fail(err, s, "cannot %s %s: %s", verb, path, strerror(e));
}

static uint64_t stamp(struct timespec t) { return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec; }

static wa_file_identity identity_of(const struct stat *st)
{
    return (wa_file_identity){(uint64_t)st->st_size, stamp(st->st_mtim), stamp(st->st_ctim), st->st_ino, st->st_dev};
}

wa_status wa__file_open(const char *path, wa_file *out, wa_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return file_fail(err, "open", path);
    struct stat st;
    wa_status s = WA_OK;
    if (fstat(fd, &st) != 0) s = file_fail(err, "stat", path);
    else if (!S_ISREG(st.st_mode)) s = wa__fail(err, WA_INVALID_ARGUMENT, "%s is not a regular file", path);
    if (s != WA_OK) {
        close(fd);
        return s;
    }
    out->fd = fd;
    return WA_OK;
}

wa_status wa__file_create(const char *path, uint32_t mode, wa_file *out, wa_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
    if (fd < 0) return file_fail(err, "create", path);
    out->fd = fd;
    return WA_OK;
}

void wa__file_close(wa_file *f)
{
    if (f->fd >= 0) close(f->fd);
    f->fd = -1;
}

wa_status wa__file_identity_of(const wa_file *f, const char *path, wa_file_identity *out, wa_error *err)
{
    struct stat st;
    if (fstat(f->fd, &st) != 0) return file_fail(err, "stat", path);
    *out = identity_of(&st);
    return WA_OK;
}

wa_status wa__path_identity(const char *path, wa_file_identity *out, wa_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0) return file_fail(err, "stat", path);
    if (!S_ISREG(st.st_mode)) return wa__fail(err, WA_INVALID_ARGUMENT, "%s is not a regular file", path);
    *out = identity_of(&st);
    return WA_OK;
}

bool wa__file_identity_equal(const wa_file_identity *a, const wa_file_identity *b)
{
    return a->size == b->size && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns && a->inode == b->inode &&
           a->device == b->device;
}

wa_status wa__file_read_at(const wa_file *f, const char *path, uint64_t offset, void *out, size_t n, wa_error *err)
{
    for (char *p = out; n > 0;) {
        ssize_t r = pread(f->fd, p, n, (off_t)offset);
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) return file_fail(err, "read", path);
        if (r == 0) return wa__fail(err, WA_IO, "%s became shorter while it was read (at byte %llu)", path, (unsigned long long)offset);
        p += r;
        n -= (size_t)r;
        offset += (uint64_t)r;
    }
    return WA_OK;
}

wa_status wa__file_write_at(const wa_file *f, const char *path, uint64_t offset, const void *data, size_t n, wa_error *err)
{
    for (const char *p = data; n > 0;) {
        ssize_t w = pwrite(f->fd, p, n, (off_t)offset);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0) return file_fail(err, "write", path);
        p += w;
        n -= (size_t)w;
        offset += (uint64_t)w;
    }
    return WA_OK;
}

bool wa__file_clone(const wa_file *from, const wa_file *to) { return ioctl(to->fd, FICLONE, from->fd) == 0; }

static wa_status copy_by_hand(const wa_file *from, const wa_file *to, uint64_t at, uint64_t size, const char *path, wa_error *err)
{
    char *chunk = at < size ? wa__alloc(1, COPY_CHUNK) : NULL;
    if (at < size && !chunk) return wa__no_memory(err, path);
    wa_status s = WA_OK;
    while (at < size && s == WA_OK) {
        size_t n = size - at < COPY_CHUNK ? (size_t)(size - at) : COPY_CHUNK;
        s = wa__file_read_at(from, path, at, chunk, n, err);
        if (s == WA_OK) s = wa__file_write_at(to, path, at, chunk, n, err);
        at += n;
    }
    wa__free(chunk);
    return s;
}

wa_status wa__file_copy(const wa_file *from, const wa_file *to, uint64_t size, const char *path, wa_error *err)
{
    if (wa__file_clone(from, to)) return WA_OK;
    off_t in = 0, out = 0;
    while ((uint64_t)in < size) {
        ssize_t n = copy_file_range(from->fd, &in, to->fd, &out, (size_t)(size - (uint64_t)in), 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break; /* across file systems, or an odd one: by hand from here */
    }
    return copy_by_hand(from, to, (uint64_t)in, size, path, err);
}

void wa__file_flush_start(const wa_file *f, uint64_t offset, uint64_t n)
{
    /* Advice only: wa__file_sync is what counts, and reports errors. */
    (void)sync_file_range(f->fd, (off_t)offset, (off_t)n, SYNC_FILE_RANGE_WRITE);
}

wa_status wa__file_sync(const wa_file *f, const char *path, wa_error *err)
{
    return fsync(f->fd) == 0 ? WA_OK : file_fail(err, "flush", path);
}

static wa_status sync_folder(const char *path, int (*how)(int), wa_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return file_fail(err, "open the folder", path);
    wa_status s = how(fd) == 0 ? WA_OK : file_fail(err, "flush", path);
    close(fd);
    return s;
}

wa_status wa__os_sync_dir(const char *path, wa_error *err) { return sync_folder(path, fsync, err); }
wa_status wa__os_sync_all(const char *path, wa_error *err) { return sync_folder(path, syncfs, err); }

wa_status wa__os_read_link(const char *path, char **out, wa_error *err)
{
    char target[4097]; /* PATH_MAX bounds what a link can hold */
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0) return file_fail(err, "read the link", path);
    char *copy = wa__strndup(target, (size_t)n);
    if (!copy) return wa__no_memory(err, path);
    *out = copy;
    return WA_OK;
}

wa_status wa__os_make_link(const char *target, const char *path, wa_error *err)
{
    return symlink(target, path) == 0 ? WA_OK : file_fail(err, "make the link", path);
}

wa_status wa__os_rename_new(const char *from, const char *to, wa_error *err)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return WA_OK;
    if (errno == EEXIST) return wa__fail(err, WA_INVALID_ARGUMENT, "%s exists already; remove it or name another place", to);
    if (errno != EINVAL && errno != ENOSYS) return file_fail(err, "rename", from);
    if (access(to, F_OK) == 0) return wa__fail(err, WA_INVALID_ARGUMENT, "%s exists already; remove it or name another place", to);
    return rename(from, to) == 0 ? WA_OK : file_fail(err, "rename", from);
}

uint64_t wa__os_wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return stamp(t);
}
