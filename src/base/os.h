/* The only place that knows the operating system: files, mappings, locks, time, processes' ids. */
#ifndef WA_OS_H
#define WA_OS_H
#include "base/mem.h"

/* --- files ------------------------------------------------------------------------------------ */
/* A read-only mapping of a whole file. data is NULL for an empty file. */
typedef struct wa_map {
    const uint8_t *data;
    size_t size;
} wa_map;
wa_status wa__os_map(const char *path, wa_map *out, wa_error *err) WA_MUST_CHECK;
void wa__os_unmap(wa_map *m);

typedef enum wa_file_kind { WA_FILE_NONE = 0, WA_FILE_REGULAR, WA_FILE_DIR, WA_FILE_LINK, WA_FILE_OTHER } wa_file_kind;
typedef struct wa_file_info {
    wa_file_kind kind;
    uint64_t size, mtime_ns, inode, device;
    uint32_t mode;
} wa_file_info;
/* follow: look through a symbolic link. A path that does not exist gives kind NONE and WA_OK. */
wa_status wa__os_stat(const char *path, bool follow, wa_file_info *out, wa_error *err) WA_MUST_CHECK;
/* Whole file into b (its cap holds). */
wa_status wa__os_read_file(const char *path, wa_buf *b, wa_error *err) WA_MUST_CHECK;
/* Writes through a temporary file in the same folder, fsync and rename: readers see old or new. */
wa_status wa__os_write_file(const char *path, const void *data, size_t n, uint32_t mode, wa_error *err) WA_MUST_CHECK;
wa_status wa__os_mkdirs(const char *path, uint32_t mode, wa_error *err) WA_MUST_CHECK;
wa_status wa__os_remove(const char *path, wa_error *err) WA_MUST_CHECK; /* absent is fine */
/* Removes a tree; links are removed, never followed. */
wa_status wa__os_remove_tree(const char *path, wa_error *err) WA_MUST_CHECK;
wa_status wa__os_rename(const char *from, const char *to, wa_error *err) WA_MUST_CHECK;
/* Names in a folder (not . and ..), bytewise sorted; *names and each name are wa__free's. */
wa_status wa__os_list(const char *path, char ***names, size_t *count, wa_error *err) WA_MUST_CHECK;
void wa__os_list_free(char **names, size_t count);
/* Absolute path without links; wa__free it. NULL when it does not exist. */
char *wa__os_realpath(const char *path);
/* A fresh folder "<parent>/<prefix>XXXXXX"; wa__free the result. */
wa_status wa__os_temp_dir(const char *parent, const char *prefix, char **out, wa_error *err) WA_MUST_CHECK;
/* An advisory exclusive lock on a file, made if absent, held until unlocked or the process ends.
 * wait_ms 0: try once. WA_BUSY when held elsewhere. */
typedef struct wa_lock { int fd; } wa_lock;
wa_status wa__os_lock(const char *path, uint32_t wait_ms, wa_lock *out, wa_error *err) WA_MUST_CHECK;
void wa__os_unlock(wa_lock *l);
/* "<a>/<b>", wa__free it; NULL when out of memory. */
char *wa__path_join(const char *a, const char *b);

/* --- places ----------------------------------------------------------------------------------- */
/* $WEBACCEL_HOME, else ~/.webaccel; not created. wa__free it. */
char *wa__os_home(void);
/* Absolute path of the running executable; wa__free it. */
char *wa__os_executable(void);
/* Finds an executable: a path with a slash as it is, else along $PATH. NULL when absent; wa__free it. */
char *wa__os_which(const char *name);

/* --- time, chance, machine -------------------------------------------------------------------- */
uint64_t wa__os_now_ns(void);  /* monotonic */
double wa__os_now_ms(void);    /* monotonic */
void wa__os_utc(char out[32]); /* "2026-11-24T16:17:32.123Z" */
void wa__os_sleep_ms(uint32_t ms);
wa_status wa__os_random(void *out, size_t n, wa_error *err) WA_MUST_CHECK; /* cryptographic */
/* Asks for large pages under fresh memory that is read again and again; a hint. */
void wa__os_large_pages(void *p, size_t bytes);
uint32_t wa__os_cores(void); /* usable by this process, cgroup quota counted */
uint64_t wa__os_memory_bytes(void);
void wa__os_host(char *out, size_t n);
void wa__os_cpu_name(char *out, size_t n);
void wa__os_name(char *out, size_t n); /* "Linux 6.1 (Debian GNU/Linux 12)" */

#endif
