/* Opening and closing the store, its places, its sessions, and sweeping up after dead processes. */
#include "ipfs/store_int.h"

static const wa_lock no_lock = {-1};

void wa__store_key(const wa_cid *cid, uint8_t key[WA_CID_KEY_BYTES])
{
    uint8_t bytes[WA_CID_BYTES_MAX];
    wa_cid v1 = *cid;
    v1.version = 1;
    /* The store holds raw and dag-pb alone; another codec's longer form, cut here, matches no key. */
    wa__cid_write(&v1, bytes);
    memcpy(key, bytes, WA_CID_KEY_BYTES);
}

wa_status wa__store_key_cid(const void *key, size_t n, wa_cid *out, wa_error *err)
{
    size_t used = 0;
    if (!key || n != WA_CID_KEY_BYTES) return wa__fail(err, WA_CORRUPT, "the store's index holds a key that is no CID");
    return wa__cid_read(key, n, out, &used, err);
}

wa_status wa__store_file_path(const wa_store *s, const wa_cid *cid, const char *suffix, bool make, char **out, wa_error *err)
{
    char text[WA_CID_TEXT_MAX];
    wa_cid v1 = *cid;
    v1.version = 1;
    wa__cid_text(&v1, text);
    char *folder = wa__format("%s/%.2s", s->files, text + strlen(text) - 3);
    char *path = folder ? wa__format("%s/%s%s", folder, text, suffix) : NULL;
    wa_status status = path ? WA_OK : wa__no_memory(err, "a path");
    if (status == WA_OK && make) status = wa__os_mkdirs(folder, 0755, err);
    wa__free(folder);
    if (status != WA_OK) {
        wa__free(path);
        return status;
    }
    *out = path;
    return WA_OK;
}

wa_status wa__store_lock(wa_store *s, uint32_t wait_ms, wa_lock *out, wa_error *err)
{
    return wa__os_lock(s->lock_path, wait_ms, out, err);
}

wa_status wa__store_session_open(wa_store *s, wa_store_session *out, wa_error *err)
{
    wa_store_session x = {NULL, no_lock, 0};
    wa_lock lock;
    WA_TRY(wa__store_lock(s, STORE_LOCK_WAIT_MS, &lock, err)); /* no sweeper comes between the next two steps */
    wa_status status = wa__os_temp_dir(s->tmp, "s", &x.path, err);
    char *alive = status == WA_OK ? wa__path_join(x.path, "alive") : NULL;
    if (status == WA_OK) status = alive ? wa__os_lock(alive, 0, &x.alive, err) : wa__no_memory(err, "a session");
    wa__os_unlock(&lock);
    wa__free(alive);
    if (status != WA_OK) {
        wa__store_session_close(&x);
        return status;
    }
    *out = x;
    return WA_OK;
}

void wa__store_session_close(wa_store_session *x)
{
    wa_error ignored;
    if (x->path) (void)!wa__os_remove_tree(x->path, &ignored); /* what stays is swept at the next open */
    wa__os_unlock(&x->alive);
    wa__free(x->path);
    *x = (wa_store_session){NULL, no_lock, 0};
}

/* Finds the sessions of dead processes (*dead: whether there are any), and removes them when asked to.
 * Lock held. */
static wa_status sweep_sessions(wa_store *s, bool remove, bool *dead, wa_error *err)
{
    char **names = NULL;
    size_t count = 0;
    WA_TRY(wa__os_list(s->tmp, &names, &count, err));
    wa_status status = WA_OK;
    for (size_t i = 0; i < count && status == WA_OK; i++) {
        char *path = wa__path_join(s->tmp, names[i]);
        char *alive = path ? wa__path_join(path, "alive") : NULL;
        wa_lock l = no_lock;
        if (!alive) status = wa__no_memory(err, "the store");
        else if (wa__os_lock(alive, 0, &l, NULL) != WA_BUSY) {
            *dead = true;
            if (remove) status = wa__os_remove_tree(path, err);
        }
        wa__os_unlock(&l);
        wa__free(alive);
        wa__free(path);
    }
    wa__os_list_free(names, count);
    return status;
}

/* Removes one placed file whose transaction never came. */
static wa_status sweep_file(wa_store *s, const char *folder, const char *name, wa_error *err)
{
    size_t n = strcspn(name, ".");
    wa_cid cid;
    bool found = false;
    wa_file_row row;
    if (wa__cid_parse((wa_str){name, n}, &cid, NULL) == WA_OK) WA_TRY(wa__db_file(s, &cid, &row, &found, err));
    if (found) return WA_OK;
    char *path = wa__path_join(folder, name);
    wa_status status = path ? wa__os_remove(path, err) : wa__no_memory(err, "the store");
    wa__free(path);
    return status;
}

static wa_status sweep_orphans(wa_store *s, wa_error *err)
{
    char **folders = NULL;
    size_t folder_count = 0;
    WA_TRY(wa__os_list(s->files, &folders, &folder_count, err));
    wa_status status = WA_OK;
    for (size_t i = 0; i < folder_count && status == WA_OK; i++) {
        char **names = NULL;
        size_t count = 0;
        char *folder = wa__path_join(s->files, folders[i]);
        status = folder ? wa__os_list(folder, &names, &count, err) : wa__no_memory(err, "the store");
        for (size_t k = 0; k < count && status == WA_OK; k++) status = sweep_file(s, folder, names[k], err);
        wa__os_list_free(names, count);
        wa__free(folder);
    }
    wa__os_list_free(folders, folder_count);
    return status;
}

/* Whoever is placing files holds the lock; then this open leaves the sweeping to a later one. */
static wa_status sweep(wa_store *s, wa_error *err)
{
    wa_lock lock;
    wa_status status = wa__store_lock(s, 0, &lock, err);
    if (status == WA_BUSY) return WA_OK;
    WA_TRY(status);
    bool dead = false;
    status = sweep_sessions(s, false, &dead, err);
    if (status == WA_OK && dead) status = sweep_orphans(s, err);
    if (status == WA_OK && dead) status = sweep_sessions(s, true, &dead, err); /* last: they are the sign */
    wa__os_unlock(&lock);
    return status;
}

static wa_status make_places(wa_store *s, const char *folder, wa_error *err)
{
    char *home = folder ? NULL : wa__os_home();
    char *where = folder ? wa__strdup(folder) : home ? wa__path_join(home, "store") : NULL;
    wa__free(home);
    if (!where) return wa__no_memory(err, "the store");
    wa_status status = wa__os_mkdirs(where, 0700, err);
    s->folder = status == WA_OK ? wa__os_realpath(where) : NULL;
    wa__free(where);
    WA_TRY(status);
    if (s->folder) {
        s->files = wa__path_join(s->folder, "files");
        s->tmp = wa__path_join(s->folder, "tmp");
        s->lock_path = wa__path_join(s->folder, "lock");
    }
    if (!s->folder || !s->files || !s->tmp || !s->lock_path) return wa__no_memory(err, "the store");
    WA_TRY(wa__os_mkdirs(s->files, 0755, err));
    return wa__os_mkdirs(s->tmp, 0700, err);
}

wa_status wa__store_open(const char *folder, wa_store **out, wa_error *err)
{
    wa_store *s = wa__alloc(1, sizeof *s);
    if (!s) return wa__no_memory(err, "the store");
    wa_status status = make_places(s, folder, err);
    if (status == WA_OK) status = wa__db_open(s, err);
    if (status == WA_OK) status = sweep(s, err);
    if (status != WA_OK) {
        wa__store_close(s);
        return status;
    }
    *out = s;
    return WA_OK;
}

void wa__store_close(wa_store *s)
{
    if (!s) return;
    sqlite3_close(s->db);
    wa__pool_free(s->pool);
    for (uint32_t i = 0; i < s->chunk_count; i++) wa__free(s->chunks[i]);
    wa__free(s->chunks);
    wa__free(s->folder);
    wa__free(s->files);
    wa__free(s->tmp);
    wa__free(s->lock_path);
    wa__free(s);
}

const char *wa__store_folder(const wa_store *s) { return s->folder; }

wa_status wa__store_workers(wa_store *s, wa_error *err)
{
    enum { CHUNK_BYTES = 1 << 20, PAGE = 4096 }; /* the largest profile's chunk, and a page to align it */
    if (!s->pool) WA_TRY(wa__pool_create(0, &s->pool, err));
    uint32_t threads = wa__pool_threads(s->pool);
    if (!s->chunks && !(s->chunks = wa__alloc(threads, sizeof *s->chunks))) return wa__no_memory(err, "hashing");
    for (; s->chunk_count < threads; s->chunk_count++)
        if (!(s->chunks[s->chunk_count] = wa__alloc(1, CHUNK_BYTES + PAGE))) return wa__no_memory(err, "hashing");
    return WA_OK;
}
