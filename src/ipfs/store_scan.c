/* See store_scan.h. */
#include "ipfs/store_scan.h"
#include "base/limits.h"

enum { SCAN_DEPTH_MAX = 200 };

/* The folders being read, from the root down: a followed link back to one of them is a loop. */
typedef struct place {
    const struct place *up;
    uint64_t device, inode;
    unsigned depth;
    bool outside; /* below a followed link: links here are followed too, since their text means nothing elsewhere */
} place;

static wa_status scan_folder(wa_scan *scan, const place *up, wa_scan_node *node, const wa_file_info *info, bool outside, wa_error *err);

static bool inside(const char *root, const char *path)
{
    size_t n = strlen(root);
    return strncmp(root, path, n) == 0 && (path[n] == 0 || path[n] == '/' || (n == 1 && root[0] == '/'));
}

/* Decides what a link becomes: WA_STORE_LINK when kept; else node->path and *info are its target's. */
static wa_status follow_link(wa_scan *scan, const place *up, wa_scan_node *node, wa_file_info *info, wa_error *err)
{
    char *real = wa__os_realpath(node->path);
    if (!real || (!up->outside && inside(scan->root_real, real))) {
        wa__free(real);
        char *target = NULL;
        WA_TRY(wa__os_read_link(node->path, &target, err));
        node->kind = WA_STORE_LINK;
        node->target = wa__arena_strndup(scan->arena, target, strlen(target));
        wa__free(target);
        scan->counts->link_count++;
        return node->target ? WA_OK : wa__no_memory(err, "a link");
    }
    const char *kept = wa__arena_strndup(scan->arena, real, strlen(real));
    wa__free(real);
    if (!kept) return wa__no_memory(err, "a link");
    WA_TRY(wa__os_stat(kept, true, info, err));
    scan->counts->followed_count++;
    if (scan->opt->followed) scan->opt->followed(scan->opt->user, node->path, kept);
    node->path = kept;
    return WA_OK;
}

static wa_status scan_entry(wa_scan *scan, const place *up, wa_scan_node *node, wa_error *err)
{
    wa_file_info info;
    bool outside = up->outside;
    wa_status named = wa__dir_name_check(wa__str(node->name), node->path, err);
    if (named != WA_OK) return wa__fail_in(err, WA_INVALID_ARGUMENT, "this name cannot be added, rename it");
    WA_TRY(wa__os_stat(node->path, false, &info, err));
    if (info.kind == WA_FILE_LINK) {
        WA_TRY(follow_link(scan, up, node, &info, err));
        if (node->kind == WA_STORE_LINK) return WA_OK;
        outside = true;
    }
    if (info.kind == WA_FILE_DIR) return scan_folder(scan, up, node, &info, outside, err);
    if (info.kind == WA_FILE_NONE) return wa__fail(err, WA_BUSY, "%s went away while its folder was read", node->path);
    if (info.kind != WA_FILE_REGULAR)
        return wa__fail(err, WA_UNSUPPORTED, "%s is neither file, folder nor link (a pipe, socket or device): it cannot be added", node->path);
    node->kind = WA_STORE_FILE;
    node->size = info.size;
    scan->counts->file_count++;
    scan->counts->size_bytes += info.size;
    return WA_OK;
}

static wa_status scan_names(wa_scan *scan, const place *here, wa_scan_node *node, char **names, size_t count, wa_error *err)
{
    wa_scan_node **tail = &node->child;
    for (size_t i = 0; i < count; i++) {
        if (scan->opt->cancel && atomic_load(scan->opt->cancel)) return wa__fail(err, WA_CANCELLED, "cancelled");
        if (names[i][0] == '.' && !scan->opt->hidden) {
            scan->counts->hidden_count++;
            continue;
        }
        wa_scan_node *kid = WA_ARENA_NEW(scan->arena, wa_scan_node, 1);
        if (kid) {
            kid->name = wa__arena_strndup(scan->arena, names[i], strlen(names[i]));
            kid->path = wa__arena_format(scan->arena, "%s%s%s", node->path, strcmp(node->path, "/") ? "/" : "", names[i]);
        }
        if (!kid || !kid->name || !kid->path) return wa__no_memory(err, "a folder's names");
        WA_TRY(scan_entry(scan, here, kid, err));
        *tail = kid;
        tail = &kid->next;
        node->child_count++;
    }
    return WA_OK;
}

static wa_status scan_folder(wa_scan *scan, const place *up, wa_scan_node *node, const wa_file_info *info, bool outside, wa_error *err)
{
    place here = {up, info->device, info->inode, up ? up->depth + 1 : 0, outside};
    if (here.depth > SCAN_DEPTH_MAX) return wa__fail(err, WA_LIMIT, "%s: folders nested more than %d deep", node->path, SCAN_DEPTH_MAX);
    for (const place *p = up; p; p = p->up)
        if (p->device == here.device && p->inode == here.inode)
            return wa__fail(err, WA_UNSUPPORTED, "%s leads back into a folder that holds it: a loop of links", node->path);
    node->kind = WA_STORE_FOLDER;
    scan->counts->folder_count++;
    char **names = NULL;
    size_t count = 0;
    WA_TRY(wa__os_list(node->path, &names, &count, err));
    wa_status s = count > WA_LIMIT_DIR_ENTRIES ? wa__fail(err, WA_LIMIT, "%s: more than %u entries", node->path, WA_LIMIT_DIR_ENTRIES)
                                               : scan_names(scan, &here, node, names, count, err);
    wa__os_list_free(names, count);
    return s;
}

wa_status wa__store_scan(wa_scan *scan, const char *path, wa_scan_node **out, wa_error *err)
{
    char *real = wa__os_realpath(path);
    if (!real) {
        wa_file_info info;
        WA_TRY(wa__os_stat(path, false, &info, err));
        return wa__fail(err, WA_NOT_FOUND, info.kind == WA_FILE_LINK ? "%s is a link to nothing" : "%s does not exist", path);
    }
    wa_scan_node *node = WA_ARENA_NEW(scan->arena, wa_scan_node, 1);
    char *kept = wa__arena_strndup(scan->arena, real, strlen(real));
    wa__free(real);
    if (!node || !kept) return wa__no_memory(err, path);
    node->name = "";
    node->path = scan->root_real = kept;
    wa_file_info info;
    WA_TRY(wa__os_stat(kept, true, &info, err));
    if (info.kind == WA_FILE_DIR) {
        WA_TRY(scan_folder(scan, NULL, node, &info, false, err));
    } else {
        if (info.kind != WA_FILE_REGULAR) return wa__fail(err, WA_UNSUPPORTED, "%s is neither file nor folder", path);
        node->size = scan->counts->size_bytes = info.size;
        scan->counts->file_count = 1;
    }
    scan->counts->is_dir = info.kind == WA_FILE_DIR;
    *out = node;
    return WA_OK;
}
