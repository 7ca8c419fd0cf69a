/* Open files: what copying, hashing and keeping content needs beyond os.h. In: paths and offsets. Out:
 * bytes, identities. Called by ipfs/. Like os.h, the operating system ends here. */
#ifndef WA_OS_FILE_H
#define WA_OS_FILE_H
#include "base/os.h"

typedef struct wa_file {
    int fd; /* -1 when closed */
} wa_file;

/* What changes when a file's content may have changed. */
typedef struct wa_file_identity {
    uint64_t size, mtime_ns, ctime_ns, inode, device;
} wa_file_identity;

/* WA_INVALID_ARGUMENT when it is not a regular file (never waits on a pipe). */
wa_status wa__file_open(const char *path, wa_file *out, wa_error *err) WA_MUST_CHECK;
/* A new file for reading and writing; fails when it exists. */
wa_status wa__file_create(const char *path, uint32_t mode, wa_file *out, wa_error *err) WA_MUST_CHECK;
void wa__file_close(wa_file *f);
wa_status wa__file_identity_of(const wa_file *f, const char *path, wa_file_identity *out, wa_error *err) WA_MUST_CHECK;
/* By path, links followed; WA_NOT_FOUND when absent, WA_INVALID_ARGUMENT when not a regular file. */
wa_status wa__path_identity(const char *path, wa_file_identity *out, wa_error *err) WA_MUST_CHECK;
bool wa__file_identity_equal(const wa_file_identity *a, const wa_file_identity *b);

/* Exactly n bytes at offset; a shorter file is WA_IO. Any thread. path names it in messages. */
wa_status wa__file_read_at(const wa_file *f, const char *path, uint64_t offset, void *out, size_t n, wa_error *err) WA_MUST_CHECK;
wa_status wa__file_write_at(const wa_file *f, const char *path, uint64_t offset, const void *data, size_t n, wa_error *err) WA_MUST_CHECK;
/* Shares from's blocks with the empty file `to` (reflink). False where the file system cannot. */
bool wa__file_clone(const wa_file *from, const wa_file *to);
/* Copies size bytes into the empty file `to`: shared, within the kernel, or by hand. */
wa_status wa__file_copy(const wa_file *from, const wa_file *to, uint64_t size, const char *path, wa_error *err) WA_MUST_CHECK;
/* Starts writing a range to the disk without waiting. */
void wa__file_flush_start(const wa_file *f, uint64_t offset, uint64_t n);
wa_status wa__file_sync(const wa_file *f, const char *path, wa_error *err) WA_MUST_CHECK;
/* Makes renames in a folder durable. */
wa_status wa__os_sync_dir(const char *path, wa_error *err) WA_MUST_CHECK;
/* Makes everything on the file system that holds path durable: cheaper than syncing many files. */
wa_status wa__os_sync_all(const char *path, wa_error *err) WA_MUST_CHECK;
/* A link's target; wa__free it. */
wa_status wa__os_read_link(const char *path, char **out, wa_error *err) WA_MUST_CHECK;
wa_status wa__os_make_link(const char *target, const char *path, wa_error *err) WA_MUST_CHECK;
/* Renames, failing with WA_INVALID_ARGUMENT when `to` exists. */
wa_status wa__os_rename_new(const char *from, const char *to, wa_error *err) WA_MUST_CHECK;
uint64_t wa__os_wall_ns(void); /* since 1970, the clock of file times */

#endif
