/* One add under way: between store_add.c, which hashes and stages, and store_place.c, which makes it
 * visible. */
#ifndef WA_STORE_ADD_INT_H
#define WA_STORE_ADD_INT_H
#include "ipfs/store_scan.h"

typedef struct wa_add_file {
    wa_cid cid;
    uint64_t size, tsize;
    bool reused;         /* was in the store already */
    char *staged, *side; /* in the session; NULL when reused; side NULL for one raw leaf; owned */
    bool placed;         /* renamed to its place by us, where nothing was recorded before */
} wa_add_file;

typedef struct wa_add_block {
    wa_cid cid;
    wa_str data; /* in the arena */
} wa_add_block;

typedef struct wa_add_seen {
    const char *path; /* in the arena */
    wa_file_identity identity;
    wa_cid cid;
} wa_add_seen;

typedef struct wa_add {
    wa_store *store;
    const wa_store_add_options *opt;
    wa_store_added *out;
    wa_store_session session;
    wa_arena arena;
    wa_add_file *files;
    size_t file_count, file_cap;
    wa_add_block *blocks;
    size_t block_count, block_cap;
    wa_add_seen *seen;
    size_t seen_count, seen_cap;
    uint64_t done_bytes, total_bytes;
    bool vanished; /* a reused file was removed by somebody else before we could refer to it */
} wa_add;

/* Makes staged files durable, places them and records everything in one transaction. */
wa_status wa__store_place(wa_add *a, const char *name, wa_error *err) WA_MUST_CHECK;

#endif
