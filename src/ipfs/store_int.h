/* Shared by the store's files alone; store.h is for everybody else. */
#ifndef WA_STORE_INT_H
#define WA_STORE_INT_H
#include "base/os_file.h"
#include "base/str.h"
#include "base/threads.h"
#include "ipfs/store.h"
#include <sqlite3.h>

struct wa_store {
    char *folder, *files, *tmp, *lock_path;
    sqlite3 *db;
    wa_pool *pool; /* made at the first hashing */
    uint8_t **chunks; /* a chunk's memory a thread */
    uint32_t chunk_count;
};

enum { STORE_LOCK_WAIT_MS = 60000, STORE_RACY_NS = 2000000000 };

/* --- store.c ---------------------------------------------------------------------------------- */
/* The key under which a file or block is kept: its CID as version 1, in bytes. */
void wa__store_key(const wa_cid *cid, uint8_t key[WA_CID_KEY_BYTES]);
wa_status wa__store_key_cid(const void *key, size_t n, wa_cid *out, wa_error *err) WA_MUST_CHECK;
/* "<files>/<aa>/<cid><suffix>", owned by the caller; makes <aa> when asked. */
wa_status wa__store_file_path(const wa_store *s, const wa_cid *cid, const char *suffix, bool make, char **out, wa_error *err) WA_MUST_CHECK;
wa_status wa__store_lock(wa_store *s, uint32_t wait_ms, wa_lock *out, wa_error *err) WA_MUST_CHECK;
/* A private folder under tmp, locked while this process lives. */
typedef struct wa_store_session {
    char *path;
    wa_lock alive;
    uint32_t next; /* the number of the next temporary file */
} wa_store_session;
wa_status wa__store_session_open(wa_store *s, wa_store_session *out, wa_error *err) WA_MUST_CHECK;
void wa__store_session_close(wa_store_session *x); /* removes the folder and all in it */
/* The pool and its chunks of memory. */
wa_status wa__store_workers(wa_store *s, wa_error *err) WA_MUST_CHECK;

/* --- store_db.c ------------------------------------------------------------------------------- */
wa_status wa__db_open(wa_store *s, wa_error *err) WA_MUST_CHECK;
/* A prepared statement with its arguments bound, one letter each: i int64, t text (char *), k CID key
 * (wa_cid *), b bytes (pointer, size_t; not copied). Finalize *out. */
wa_status wa__db_prepare(wa_store *s, wa_error *err, sqlite3_stmt **out, const char *sql, const char *types, ...) WA_MUST_CHECK;
/* Runs a statement that returns no rows. */
wa_status wa__db_run(wa_store *s, wa_error *err, const char *sql, const char *types, ...) WA_MUST_CHECK;
/* One step: true with a row. WA_OK and false at the end. */
wa_status wa__db_step(wa_store *s, sqlite3_stmt *q, bool *row, wa_error *err) WA_MUST_CHECK;
wa_status wa__db_begin(wa_store *s, wa_error *err) WA_MUST_CHECK; /* a durable write transaction */
/* Commits when status is WA_OK, else rolls back; returns the first failure. */
wa_status wa__db_end(wa_store *s, wa_status status, wa_error *err) WA_MUST_CHECK;

typedef struct wa_file_row {
    uint64_t size, tsize;
    wa_profile_id profile;
    wa_file_identity identity;
} wa_file_row;
wa_status wa__db_file(wa_store *s, const wa_cid *cid, wa_file_row *out, bool *found, wa_error *err) WA_MUST_CHECK;
wa_status wa__db_file_put(wa_store *s, const wa_cid *cid, const wa_file_row *row, wa_error *err) WA_MUST_CHECK;
/* A folder's or link's block appended to out (cleared first). */
wa_status wa__db_block(wa_store *s, const wa_cid *cid, wa_buf *out, bool *found, wa_error *err) WA_MUST_CHECK;

/* --- store_hash.c ----------------------------------------------------------------------------- */
typedef struct wa_hash_job {
    const wa_profile *profile;
    const wa_file *from;
    const wa_file *to; /* receives the bytes as they are hashed; NULL: hash only */
    const char *from_path, *to_path;
    uint64_t size;
    const atomic_bool *cancel;
    void (*progress)(void *user, uint64_t bytes); /* bytes more; on the calling thread; may be NULL */
    void *user;
} wa_hash_job;
/* Hashes a file's leaves on all cores; *leaves is owned by the caller. */
wa_status wa__store_hash(wa_store *s, const wa_hash_job *job, wa_digest **leaves, wa_error *err) WA_MUST_CHECK;

/* --- store_check.c ---------------------------------------------------------------------------- */
/* Cheap check of a stored file, re-hashed when its identity is not the recorded one. `shown` names it. */
wa_status wa__store_check(wa_store *s, const wa_cid *cid, const char *shown, const wa_file_row *row, const char *disk, wa_error *err) WA_MUST_CHECK;
/* Re-hashes a stored file and records its identity; copies it to `to` in the same pass when not NULL. */
wa_status wa__store_rehash(wa_store *s, const wa_cid *cid, const char *shown, const wa_file_row *row, const char *disk,
                           const wa_file *to, const atomic_bool *cancel, wa_error *err) WA_MUST_CHECK;

/* --- store_read.c ----------------------------------------------------------------------------- */
typedef enum wa_check {
    WA_CHECK_PRESENT = 0, /* a file of the right size is there */
    WA_CHECK_CHEAP,       /* wa__store_check */
    WA_CHECK_HASH,        /* wa__store_rehash */
} wa_check;
/* wa__store_resolve with a choice of checks. missing (may be NULL): the CID behind a WA_NOT_FOUND, when
 * *absent is set; a path that a folder lacks does not set it. */
wa_status wa__store_walk(wa_store *s, const char *name, wa_check check, const atomic_bool *cancel, wa_store_tree *out,
                         wa_cid *missing, bool *absent, wa_error *err) WA_MUST_CHECK;

#endif
