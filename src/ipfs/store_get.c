/* Exporting: a stored tree to a place on the disk, whole or not at all, hashed again as it is copied. */
#include "ipfs/store_int.h"

/* A link is made only when it must stay inside the export: relative, and ".." first alone, no more often
 * than there are folders above it. Those folders are real ones, so that text and truth agree; a ".."
 * after a name could climb from wherever another link had led. */
static bool link_stays_inside(const char *path, const char *target)
{
    int above = 0;
    bool named = false;
    for (const char *p = path; *p; p++) above += *p == '/';
    if (*path == 0 || *target == 0 || *target == '/') return false;
    for (const char *p = target; *p;) {
        size_t n = strcspn(p, "/");
        bool up = n == 2 && p[0] == '.' && p[1] == '.';
        if (up && (named || --above < 0)) return false;
        named = named || !(up || (n == 1 && p[0] == '.'));
        p += n;
        while (*p == '/') p++;
    }
    return true;
}

static wa_status export_file(wa_store *s, const wa_store_entry *e, const char *to, const atomic_bool *cancel, wa_error *err)
{
    wa_file_row row;
    bool found = false;
    wa_file f = {-1};
    WA_TRY(wa__db_file(s, &e->cid, &row, &found, err));
    if (!found) return wa__fail(err, WA_BUSY, "%s was removed from the store meanwhile", e->path);
    WA_TRY(wa__file_create(to, 0666, &f, err));
    wa_status status = wa__store_rehash(s, &e->cid, *e->path ? e->path : "the file", &row, e->disk, &f, cancel, err);
    wa__file_close(&f);
    return status;
}

static wa_status export_entry(wa_store *s, const wa_store_entry *e, const char *to, const atomic_bool *cancel, wa_error *err)
{
    switch (e->kind) {
    case WA_STORE_FOLDER: return wa__os_mkdirs(to, 0777, err);
    case WA_STORE_FILE: return export_file(s, e, to, cancel, err);
    default: break;
    }
    if (!link_stays_inside(e->path, e->target))
        return wa__fail(err, WA_UNSUPPORTED, "%s is a link to %s, outside what is exported: it is not made", *e->path ? e->path : "this", e->target);
    return wa__os_make_link(e->target, to, err);
}

wa_status wa__store_get(wa_store *s, const char *name, const char *to, const atomic_bool *cancel, wa_error *err)
{
    wa_file_info info;
    wa_store_tree tree;
    WA_TRY(wa__os_stat(to, false, &info, err));
    if (info.kind != WA_FILE_NONE) return wa__fail(err, WA_INVALID_ARGUMENT, "%s exists already; remove it or name another place", to);
    WA_TRY(wa__store_walk(s, name, WA_CHECK_PRESENT, cancel, &tree, NULL, NULL, err));
    size_t n = strlen(to);
    while (n > 1 && to[n - 1] == '/') n--;
    char *place = wa__strndup(to, n);
    const char *slash = place ? strrchr(place, '/') : NULL;
    char *parent = !place ? NULL : slash ? wa__strndup(place, slash == place ? 1 : (size_t)(slash - place)) : wa__strdup(".");
    char *temp = NULL;
    wa_status status = parent ? wa__os_temp_dir(parent, ".webaccel-get-", &temp, err) : wa__no_memory(err, to);
    for (size_t i = 0; i < tree.count && status == WA_OK; i++) {
        const wa_store_entry *e = &tree.entries[i];
        char *at = wa__format(*e->path ? "%s/x/%s" : "%s/x", temp, e->path);
        if (cancel && atomic_load(cancel)) status = wa__fail(err, WA_CANCELLED, "cancelled");
        else status = at ? export_entry(s, e, at, cancel, err) : wa__no_memory(err, to);
        wa__free(at);
    }
    char *made = temp ? wa__path_join(temp, "x") : NULL;
    if (status == WA_OK) status = made ? wa__os_rename_new(made, place, err) : wa__no_memory(err, to);
    if (temp && wa__os_remove_tree(temp, NULL) != WA_OK && status == WA_OK)
        status = wa__fail(err, WA_IO, "%s could not be removed", temp);
    wa__free(made);
    wa__free(temp);
    wa__free(parent);
    wa__free(place);
    wa__store_tree_done(&tree);
    return status;
}
