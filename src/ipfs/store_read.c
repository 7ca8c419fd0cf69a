/* Using what is stored: a name to the files below it, presence, verification. See store.h. Blocks of
 * folders are hashed each time they are read: they are small. */
#include "base/limits.h"
#include "ipfs/store_int.h"

enum { WALK_DEPTH_MAX = 256 };
#define TREE_BYTES_MAX ((size_t)1 << 30)

typedef struct walk {
    wa_store *store;
    wa_store_tree *tree;
    wa_check check;
    const atomic_bool *cancel;
    wa_cid missing;
    bool absent; /* missing is set */
    wa_buf block; /* of the shard being listed */
} walk;

static wa_status not_here(walk *w, const wa_cid *cid, wa_error *err)
{
    char text[WA_CID_TEXT_MAX];
    wa__cid_text(cid, text);
    w->missing = *cid;
    w->absent = true;
    return wa__fail(err, WA_NOT_FOUND, "%s is not in the store %s; add it with: webaccel add PATH", text, w->store->folder);
}

/* A block's verified bytes in out. */
static wa_status get_block(walk *w, const wa_cid *cid, wa_buf *out, wa_error *err)
{
    bool found = false;
    WA_TRY(wa__db_block(w->store, cid, out, &found, err));
    if (!found) return not_here(w, cid, err);
    uint8_t digest[WA_SHA256_BYTES];
    WA_TRY(wa__sha256(out->ptr, out->len, digest, err));
    if (memcmp(digest, cid->digest, sizeof digest) == 0) return WA_OK;
    char text[WA_CID_TEXT_MAX];
    wa__cid_text(cid, text);
    return wa__fail(err, WA_VERIFY, "the store is damaged: the folder block %s does not match its hash; add the model again", text);
}

static wa_status block_source(void *user, const wa_cid *cid, const uint8_t **data, size_t *n, wa_error *err)
{
    walk *w = user;
    WA_TRY(get_block(w, cid, &w->block, err));
    *data = (const uint8_t *)w->block.ptr;
    *n = w->block.len;
    return WA_OK;
}

static wa_status new_entry(walk *w, wa_store_kind kind, const char *path, const wa_cid *cid, wa_store_entry **out, wa_error *err)
{
    wa_store_tree *t = w->tree;
    if (t->count == WA_LIMIT_DIR_ENTRIES) return wa__fail(err, WA_LIMIT, "more than %u files and folders in one tree", WA_LIMIT_DIR_ENTRIES);
    if (!wa__array_reserve((void **)&t->entries, &t->cap, t->count + 1, sizeof *t->entries)) return wa__no_memory(err, "a tree");
    *out = &t->entries[t->count++];
    **out = (wa_store_entry){.kind = kind, .path = path, .cid = *cid};
    return WA_OK;
}

static wa_status check_file(walk *w, const wa_cid *cid, const wa_file_row *row, const char *path, const char *disk, wa_error *err)
{
    char text[WA_CID_TEXT_MAX];
    wa__cid_text(cid, text);
    const char *shown = *path ? path : text;
    wa_file_identity now;
    switch (w->check) {
    case WA_CHECK_CHEAP: return wa__store_check(w->store, cid, shown, row, disk, err);
    case WA_CHECK_HASH: return wa__store_rehash(w->store, cid, shown, row, disk, NULL, w->cancel, err);
    default: return wa__path_identity(disk, &now, NULL) == WA_OK && now.size == row->size ? WA_OK : not_here(w, cid, err);
    }
}

static wa_status take_file(walk *w, const wa_cid *cid, const wa_file_row *row, const char *path, wa_error *err)
{
    char *disk = NULL;
    WA_TRY(wa__store_file_path(w->store, cid, "", false, &disk, err));
    wa_status s = check_file(w, cid, row, path, disk, err);
    wa_store_entry *e = NULL;
    if (s == WA_OK) s = new_entry(w, WA_STORE_FILE, path, cid, &e, err);
    if (s == WA_OK) {
        e->size = row->size;
        e->disk = wa__arena_strndup(&w->tree->arena, disk, strlen(disk));
        if (!e->disk) s = wa__no_memory(err, "a tree");
        w->tree->size_bytes += row->size;
        w->tree->file_count++;
    }
    wa__free(disk);
    return s;
}

static wa_status take_node(walk *w, const wa_cid *cid, const char *path, unsigned depth, wa_error *err);

static wa_status take_folder(walk *w, const wa_pb_node *node, const wa_unixfs *u, const wa_cid *cid, const char *path, unsigned depth, wa_error *err)
{
    wa_dir_list list = {0};
    wa_store_entry *e = NULL;
    WA_TRY(new_entry(w, WA_STORE_FOLDER, path, cid, &e, err));
    wa_status s = wa__dir_list(node, u, *path ? path : "the folder", block_source, w, &w->tree->arena, &list, err);
    for (size_t i = 0; i < list.count && s == WA_OK; i++) {
        const char *below = *path ? wa__arena_format(&w->tree->arena, "%s/%s", path, list.entries[i].name.ptr) : list.entries[i].name.ptr;
        s = below ? take_node(w, &list.entries[i].cid, below, depth + 1, err) : wa__no_memory(err, "a tree");
    }
    wa__dir_list_done(&list);
    return s;
}

static wa_status take_block(walk *w, const wa_buf *block, const wa_cid *cid, const char *path, unsigned depth, wa_error *err)
{
    char text[WA_CID_TEXT_MAX];
    wa_pb_node node = {0};
    wa_unixfs u = {0};
    wa_store_entry *e = NULL;
    wa__cid_text(cid, text);
    wa_status s = wa__pb_decode(block->ptr, block->len, text, &node, err);
    if (s == WA_OK) s = wa__unixfs_decode(&node, text, &u, err);
    if (s == WA_OK && u.type == WA_UNIXFS_SYMLINK) {
        s = new_entry(w, WA_STORE_LINK, path, cid, &e, err);
        if (s == WA_OK && !(e->target = wa__arena_strndup(&w->tree->arena, u.data.ptr, u.data.len))) s = wa__no_memory(err, "a tree");
    } else if (s == WA_OK && (u.type == WA_UNIXFS_DIRECTORY || u.type == WA_UNIXFS_HAMT)) {
        s = take_folder(w, &node, &u, cid, path, depth, err);
    } else if (s == WA_OK) {
        s = not_here(w, cid, err); /* a file's inner node alone: the file itself is not stored */
    }
    wa__unixfs_done(&u);
    wa__pb_done(&node);
    return s;
}

static wa_status take_node(walk *w, const wa_cid *cid, const char *path, unsigned depth, wa_error *err)
{
    wa_file_row row;
    bool found = false;
    if (depth > WALK_DEPTH_MAX) return wa__fail(err, WA_LIMIT, "folders nested more than %d deep", WALK_DEPTH_MAX);
    if (w->cancel && atomic_load(w->cancel)) return wa__fail(err, WA_CANCELLED, "cancelled");
    WA_TRY(wa__db_file(w->store, cid, &row, &found, err));
    if (found) return take_file(w, cid, &row, path, err);
    if (cid->codec != WA_CODEC_DAG_PB) return not_here(w, cid, err);
    wa_buf block;
    wa__buf_init(&block, WA_LIMIT_BLOCK_BYTES);
    wa_status s = get_block(w, cid, &block, err);
    if (s == WA_OK) s = take_block(w, &block, cid, path, depth, err);
    wa__buf_done(&block);
    return s;
}

/* The CID of one name in a folder. */
static wa_status child_of(walk *w, const wa_cid *folder, wa_str name, wa_cid *out, wa_error *err)
{
    wa_buf block;
    wa_arena arena;
    wa_pb_node node = {0};
    wa_unixfs u = {0};
    wa_dir_list list = {0};
    wa_file_row row;
    bool found = false;
    char text[WA_CID_TEXT_MAX];
    wa__cid_text(folder, text);
    WA_TRY(wa__db_file(w->store, folder, &row, &found, err));
    if (found) return wa__fail(err, WA_NOT_FOUND, "%s is a file: there is no \"%.*s\" in it", text, WA_STR_ARG(name));
    wa__buf_init(&block, WA_LIMIT_BLOCK_BYTES);
    wa__arena_init(&arena, TREE_BYTES_MAX);
    wa_status s = get_block(w, folder, &block, err);
    if (s == WA_OK) s = wa__pb_decode(block.ptr, block.len, "the folder", &node, err);
    if (s == WA_OK) s = wa__unixfs_decode(&node, "the folder", &u, err);
    if (s == WA_OK) s = wa__dir_list(&node, &u, "the folder", block_source, w, &arena, &list, err);
    for (size_t i = 0; i < list.count && !found; i++) {
        if (!wa__str_eq(list.entries[i].name, name)) continue;
        *out = list.entries[i].cid;
        found = true;
    }
    if (s == WA_OK && !found) s = wa__fail(err, WA_NOT_FOUND, "the folder %s has no \"%.*s\"", text, WA_STR_ARG(name));
    wa__dir_list_done(&list);
    wa__unixfs_done(&u);
    wa__pb_done(&node);
    wa__arena_done(&arena);
    wa__buf_done(&block);
    return s;
}

static wa_str cid_part(const char *name)
{
    if (strncmp(name, "ipfs://", 7) == 0) name += 7;
    else if (strncmp(name, "/ipfs/", 6) == 0) name += 6;
    return (wa_str){name, strcspn(name, "/")};
}

bool wa__store_is_cid(const char *name)
{
    wa_cid cid;
    return wa__cid_parse(cid_part(name), &cid, NULL) == WA_OK;
}

static wa_status find_root(walk *w, const char *name, wa_cid *out, wa_error *err)
{
    wa_str part = cid_part(name);
    WA_TRY(wa__cid_parse(part, out, err));
    for (const char *p = part.ptr + part.len; *p;) {
        while (*p == '/') p++;
        wa_str next = {p, strcspn(p, "/")};
        if (next.len == 0) break;
        WA_TRY(child_of(w, out, next, out, err));
        p += next.len;
    }
    return WA_OK;
}

wa_status wa__store_walk(wa_store *s, const char *name, wa_check check, const atomic_bool *cancel, wa_store_tree *out,
                         wa_cid *missing, bool *absent, wa_error *err)
{
    wa_store_tree tree = {0};
    walk w = {.store = s, .tree = &tree, .check = check, .cancel = cancel};
    wa__arena_init(&tree.arena, TREE_BYTES_MAX);
    wa__buf_init(&w.block, WA_LIMIT_BLOCK_BYTES);
    wa_status status = find_root(&w, name, &tree.root, err);
    if (status == WA_OK) status = take_node(&w, &tree.root, "", 0, err);
    wa__buf_done(&w.block);
    if (absent) *absent = w.absent;
    if (missing && w.absent) *missing = w.missing;
    if (status != WA_OK) {
        wa__store_tree_done(&tree);
        return status;
    }
    *out = tree;
    return WA_OK;
}

wa_status wa__store_resolve(wa_store *s, const char *name, wa_store_tree *out, wa_error *err)
{
    return wa__store_walk(s, name, WA_CHECK_CHEAP, NULL, out, NULL, NULL, err);
}

void wa__store_tree_done(wa_store_tree *t)
{
    wa__free(t->entries);
    wa__arena_done(&t->arena);
    *t = (wa_store_tree){0};
}

const wa_store_entry *wa__store_tree_find(const wa_store_tree *t, const char *path)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->entries[i].path, path) == 0) return &t->entries[i];
    return NULL;
}

wa_status wa__store_has(wa_store *s, const wa_cid *cid, bool *present, wa_cid *missing, wa_error *err)
{
    char text[WA_CID_TEXT_MAX];
    wa_store_tree tree;
    bool absent = false;
    wa__cid_text(cid, text);
    wa_status status = wa__store_walk(s, text, WA_CHECK_PRESENT, NULL, &tree, missing, &absent, err);
    if (status == WA_OK) wa__store_tree_done(&tree);
    else if (!(status == WA_NOT_FOUND && absent)) return status;
    *present = status == WA_OK;
    return WA_OK;
}

wa_status wa__store_verify(wa_store *s, const char *name, const atomic_bool *cancel, uint64_t *bytes, wa_error *err)
{
    wa_store_tree tree;
    uint64_t total = 0;
    wa_store_root *roots = NULL;
    size_t count = 1;
    bool all = !name || !*name;
    if (all) WA_TRY(wa__store_list(s, &roots, &count, err));
    wa_status status = WA_OK;
    for (size_t i = 0; i < count && status == WA_OK; i++) {
        status = wa__store_walk(s, all ? roots[i].cid : name, WA_CHECK_HASH, cancel, &tree, NULL, NULL, err);
        if (status != WA_OK) break;
        total += tree.size_bytes;
        wa__store_tree_done(&tree);
    }
    if (all) wa__store_list_free(roots, count);
    if (status == WA_OK && bytes) *bytes = total;
    return status;
}
