/* Versions of the browsers found. In: a list without versions. Out: the same with them, from a
 * cache keyed by path, mtime and size, else from `--version` with a time limit. Called by
 * browser_find.c.
 *
 * <cache>/browsers/versions.json: {"<exec>": {"mtime": ns, "size": bytes, "version": "1.2.3"}} */
#include "browser/browser_int.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define VERSION_LIMIT_MS 3000u
#define CACHE_MAX        200u

/* The first word that starts with a digit and holds a dot: "Mozilla Firefox 153.7esr". */
void wa__browser_version_parse(const char *text, char *out, size_t n)
{
    out[0] = 0;
    for (const char *p = text; *p; p++) {
        if (!isdigit((unsigned char)*p) || (p > text && !isspace((unsigned char)p[-1]))) continue;
        size_t len = strcspn(p, " \t\r\n");
        if (!memchr(p, '.', len) || len >= n) continue;
        memcpy(out, p, len);
        out[len] = 0;
        return;
    }
}

static json_t *load(const char *path)
{
    wa_buf text;
    wa__buf_init(&text, (size_t)1 << 20);
    json_t *m = NULL;
    if (path && wa__os_read_file(path, &text, NULL) == WA_OK && text.len) m = json_loadb(text.ptr, text.len, 0, NULL);
    wa__buf_done(&text);
    if (json_is_object(m) && json_object_size(m) <= CACHE_MAX) return m;
    json_decref(m);
    return json_object();
}

static void save(const char *cache, const char *path, const json_t *m)
{
    char *folder = wa__path_join(cache, "browsers");
    char *text = json_dumps(m, JSON_INDENT(1) | JSON_SORT_KEYS);
    /* A cache that cannot be written costs 0.1 s next time. */
    if (folder && text && wa__os_mkdirs(folder, 0700, NULL) == WA_OK) (void)!wa__os_write_file(path, text, strlen(text), 0600, NULL);
    free(text);
    wa__free(folder);
}

/* True when the cache's entry changed. */
static bool fill(wa_browser_info *b, json_t *cache)
{
    wa_file_info info;
    if (wa__os_stat(b->exec, true, &info, NULL) != WA_OK) return false;
    const json_t *known = json_object_get(cache, b->exec);
    const char *version = json_string_value(json_object_get(known, "version"));
    if (version && (uint64_t)json_integer_value(json_object_get(known, "mtime")) == info.mtime_ns &&
        (uint64_t)json_integer_value(json_object_get(known, "size")) == info.size) {
        (void)snprintf(b->version, sizeof b->version, "%s", version);
        return false;
    }
    char flag[] = "--version";
    char *argv[] = {b->exec, flag, NULL};
    wa_buf text;
    wa__buf_init(&text, 65536);
    if (wa__process_output(argv, VERSION_LIMIT_MS, &text, NULL) == WA_OK && text.len)
        wa__browser_version_parse(text.ptr, b->version, sizeof b->version);
    wa__buf_done(&text);
    if (!b->version[0]) return false;
    json_t *entry = json_pack("{s:I, s:I, s:s}", "mtime", (json_int_t)info.mtime_ns, "size", (json_int_t)info.size, "version", b->version);
    return entry && json_object_set_new(cache, b->exec, entry) == 0;
}

void wa__browser_versions(wa_browser_list *l, const char *cache)
{
    char *path = cache ? wa__path_join(cache, "browsers/versions.json") : NULL;
    json_t *m = load(path);
    bool changed = false;
    for (size_t i = 0; m && i < l->count; i++)
        if (!l->items[i].unusable[0]) changed = fill(&l->items[i], m) || changed;
    if (changed && path) save(cache, path, m);
    json_decref(m);
    wa__free(path);
}
