/* The verified content store under $WEBACCEL_HOME/store. In: files and folders of this machine. Out:
 * CIDs, and files that can be mapped. Called by api/.
 *
 *   store/meta.sqlite          what is there (WAL): files, folder blocks, roots, references, use counts
 *   store/files/<aa>/<cid>     one UnixFS file's bytes, whole, read-only, ready to map
 *   store/files/<aa>/<cid>.side  its leaf digests and inner nodes (see unixfs.h); none for one raw leaf
 *   store/lock                 held for the instant in which files are placed or removed
 *   store/tmp/<session>/       what an add has not placed yet; a dead process's is swept at the next open
 *
 * <aa> is the two characters before the CID's last (the first are the same for all). A name is made
 * durable before the transaction that shows it, so a half-written entry is never visible.
 *
 * A stored file is trusted while its size, times and inode are those recorded when it was last verified
 * (added, or re-hashed); when anything differs it is re-hashed on use, and WA_VERIFY names the file and
 * the block that differ.
 *
 * A wa_store belongs to one thread; any number of processes and stores may share the folder. */
#ifndef WA_STORE_H
#define WA_STORE_H
#include "ipfs/cid.h"
#include "ipfs/unixfs.h"
#include <stdatomic.h>

typedef struct wa_store wa_store;

/* folder NULL: $WEBACCEL_HOME/store. Made if absent; sweeps what dead processes left. */
wa_status wa__store_open(const char *folder, wa_store **out, wa_error *err) WA_MUST_CHECK;
void wa__store_close(wa_store *s); /* NULL is legal */
const char *wa__store_folder(const wa_store *s); /* borrowed, absolute */

/* --- adding ----------------------------------------------------------------------------------- */
typedef struct wa_store_add_options {
    wa_profile_id profile; /* 0: unixfs-v1-2025 */
    bool hidden;           /* take names that start with a dot; the path named itself is always taken */
    bool hash_only;        /* compute the CID, store nothing */
    const char *name;      /* shown by ls; NULL: the path's last component */
    const atomic_bool *cancel; /* may be NULL; set it from any thread or a signal handler: WA_CANCELLED */
    /* All callbacks may be NULL and run on the calling thread. total never changes during an add. */
    void (*progress)(void *user, uint64_t done_bytes, uint64_t total_bytes);
    /* A symbolic link that leads out of the folder was followed (links within it stay links). */
    void (*followed)(void *user, const char *link_path, const char *target_path);
    void *user;
} wa_store_add_options;

typedef struct wa_store_added {
    wa_cid root;
    char cid[WA_CID_TEXT_MAX];
    bool is_dir;
    uint64_t size_bytes;   /* of all files, each time it occurs */
    uint64_t hashed_bytes; /* less than size where unchanged files were known */
    uint32_t file_count, folder_count, link_count; /* link_count: kept as links */
    uint32_t followed_count, hidden_count; /* links followed; names skipped because hidden */
} wa_store_added;

/* Adds a file or folder. opt may be NULL. Adding again is cheap and changes nothing; it repairs stored
 * files that were damaged. Empty folders are kept, as Kubo does. Pipes, sockets, devices, names that are
 * not UTF-8 and loops of followed links are refused by name. A file that changes meanwhile: WA_BUSY. */
wa_status wa__store_add(wa_store *s, const char *path, const wa_store_add_options *opt, wa_store_added *out, wa_error *err) WA_MUST_CHECK;

/* --- using ------------------------------------------------------------------------------------ */
typedef enum wa_store_kind { WA_STORE_FILE = 0, WA_STORE_FOLDER, WA_STORE_LINK } wa_store_kind;

typedef struct wa_store_entry {
    wa_store_kind kind;
    const char *path; /* relative to what was resolved, "/" between parts; "" for itself */
    const char *disk; /* a file's absolute path, to map; NULL otherwise */
    const char *target; /* a link's target, to be read as text and never followed; NULL otherwise */
    uint64_t size;    /* a file's bytes */
    wa_cid cid;
} wa_store_entry;

/* Everything below one CID, folders before what is in them, each folder sorted bytewise. */
typedef struct wa_store_tree {
    wa_cid root;
    wa_store_entry *entries; /* [0] is what was named */
    size_t count, cap;
    uint64_t size_bytes, file_count;
    wa_arena arena; /* holds the strings */
} wa_store_tree;

/* name: "<cid>", "<cid>/sub/path", with "/ipfs/" or "ipfs://" before it or not. Every file is checked as
 * described above, so the paths may be mapped at once. WA_NOT_FOUND when the CID is not in the store
 * (all of it), or has no such path; WA_INVALID_ARGUMENT when it is no CID; WA_VERIFY when damaged. */
wa_status wa__store_resolve(wa_store *s, const char *name, wa_store_tree *out, wa_error *err) WA_MUST_CHECK;
void wa__store_tree_done(wa_store_tree *t);
/* The entry at a relative path, NULL when there is none. */
const wa_store_entry *wa__store_tree_find(const wa_store_tree *t, const char *path);
/* True when name starts with a CID (parses, says nothing about presence). */
bool wa__store_is_cid(const char *name);
/* Whether every block below a CID is here. *missing, when not NULL, gets the first absent CID. */
wa_status wa__store_has(wa_store *s, const wa_cid *cid, bool *present, wa_cid *missing, wa_error *err) WA_MUST_CHECK;
/* Hashes every byte below name again ("" or NULL: all roots). WA_VERIFY names the file and the block. */
wa_status wa__store_verify(wa_store *s, const char *name, const atomic_bool *cancel, uint64_t *bytes, wa_error *err) WA_MUST_CHECK;
/* Writes what name means to `to`, which must not exist (its parent must): all of it, verified as it is
 * copied, or nothing. Links are made only when they stay inside. */
wa_status wa__store_get(wa_store *s, const char *name, const char *to, const atomic_bool *cancel, wa_error *err) WA_MUST_CHECK;
/* Counts one use of a model: hit when it was found here. Keeps the time. Never fails the caller's work:
 * a failure is worth a log line only. */
wa_status wa__store_touch(wa_store *s, const wa_cid *root, bool hit, wa_error *err);

/* --- keeping ---------------------------------------------------------------------------------- */
typedef struct wa_store_root {
    char cid[WA_CID_TEXT_MAX];
    char *name;
    bool is_dir;
    uint64_t size_bytes, file_count;
    int64_t added_ms, used_ms; /* since 1970; used_ms 0: never */
    uint64_t hit_count, miss_count;
} wa_store_root;
/* All roots, last added first. */
wa_status wa__store_list(wa_store *s, wa_store_root **out, size_t *count, wa_error *err) WA_MUST_CHECK;
void wa__store_list_free(wa_store_root *roots, size_t count);
typedef struct wa_store_totals {
    uint64_t root_count, file_count, size_bytes; /* size: bytes on disk, each file once, blocks too */
    uint64_t hit_count, miss_count; /* of all models ever asked for */
} wa_store_totals;
wa_status wa__store_totals_of(wa_store *s, wa_store_totals *out, wa_error *err) WA_MUST_CHECK;
/* Forgets a root and removes the files that no other root uses; *freed_bytes may be NULL. Programs that
 * have them mapped keep their bytes. WA_NOT_FOUND when it is no root. */
wa_status wa__store_remove(wa_store *s, const char *cid, uint64_t *freed_bytes, wa_error *err) WA_MUST_CHECK;

#endif
