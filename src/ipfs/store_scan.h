/* What an add is about to take: a tree of names read from the disk before anything is hashed, so that
 * the total is known and odd files are refused at once. Called by store_add.c. */
#ifndef WA_STORE_SCAN_H
#define WA_STORE_SCAN_H
#include "ipfs/store_int.h"

typedef struct wa_scan_node {
    struct wa_scan_node *next, *child; /* siblings sorted by name */
    const char *name, *path;           /* path: absolute, links resolved where they were followed */
    wa_store_kind kind;
    const char *target; /* a kept link's */
    uint64_t size;
    uint32_t child_count;
} wa_scan_node;

typedef struct wa_scan {
    const wa_store_add_options *opt;
    wa_store_added *counts; /* files, folders, links, followed, hidden, size are filled here */
    wa_arena *arena;        /* holds the nodes */
    const char *root_real;
} wa_scan;

wa_status wa__store_scan(wa_scan *scan, const char *path, wa_scan_node **out, wa_error *err) WA_MUST_CHECK;

#endif
