/* Finding browsers on Linux: environment, PATH, fixed places, .desktop files; snaps and flatpaks are
 * listed with the reason why they cannot be driven. In: places. Out: a list. Reads files and runs
 * `--version` once per program version (browser_version.c). Called by the API and doctor. */
#include "browser/browser_int.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const family_names[WA_BROWSER_FAMILY_COUNT] = {"none", "chrome", "chromium", "edge", "firefox"};

const char *wa__browser_family_name(wa_browser_family f)
{
    return (unsigned)f < WA_BROWSER_FAMILY_COUNT ? family_names[f] : family_names[0];
}

wa_browser_family wa__browser_family_find(const char *name)
{
    for (unsigned i = 1; i < WA_BROWSER_FAMILY_COUNT; i++)
        if (!strcmp(name, family_names[i])) return (wa_browser_family)i;
    return WA_BROWSER_NONE;
}

/* What a program's file name says. Longer names first: the first that fits wins. */
typedef struct known {
    const char *file;
    wa_browser_family family;
    const char *id, *name, *channel;
} known;
static const known programs[] = {
    {"google-chrome-unstable", WA_BROWSER_CHROME, "chrome-dev", "Google Chrome Dev", "dev"},
    {"google-chrome-canary", WA_BROWSER_CHROME, "chrome-canary", "Google Chrome Canary", "canary"},
    {"google-chrome-beta", WA_BROWSER_CHROME, "chrome-beta", "Google Chrome Beta", "beta"},
    {"google-chrome-stable", WA_BROWSER_CHROME, "chrome", "Google Chrome", "stable"},
    {"google-chrome", WA_BROWSER_CHROME, "chrome", "Google Chrome", "stable"},
    {"microsoft-edge-beta", WA_BROWSER_EDGE, "edge-beta", "Microsoft Edge Beta", "beta"},
    {"microsoft-edge-dev", WA_BROWSER_EDGE, "edge-dev", "Microsoft Edge Dev", "dev"},
    {"microsoft-edge-stable", WA_BROWSER_EDGE, "edge", "Microsoft Edge", "stable"},
    {"microsoft-edge", WA_BROWSER_EDGE, "edge", "Microsoft Edge", "stable"},
    {"msedge", WA_BROWSER_EDGE, "edge", "Microsoft Edge", "stable"},
    {"chromium", WA_BROWSER_CHROMIUM, "chromium", "Chromium", "stable"},
    {"chromium-browser", WA_BROWSER_CHROMIUM, "chromium", "Chromium", "stable"},
    {"chrome", WA_BROWSER_CHROME, "chrome", "Google Chrome", "stable"},
    {"firefox", WA_BROWSER_FIREFOX, "firefox", "Firefox", "stable"},
    {"firefox-esr", WA_BROWSER_FIREFOX, "firefox-esr", "Firefox ESR", "esr"},
    {"firefox-beta", WA_BROWSER_FIREFOX, "firefox-beta", "Firefox Beta", "beta"},
    {"firefox-devedition", WA_BROWSER_FIREFOX, "firefox-dev", "Firefox Developer Edition", "dev"},
    {"firefox-trunk", WA_BROWSER_FIREFOX, "firefox-nightly", "Firefox Nightly", "nightly"},
    {"firefox-nightly", WA_BROWSER_FIREFOX, "firefox-nightly", "Firefox Nightly", "nightly"},
    {"chrome-headless-shell", WA_BROWSER_CHROME, "chrome-headless-shell", "Chrome Headless Shell", "headless-shell"},
    {"headless_shell", WA_BROWSER_CHROMIUM, "headless-shell", "Chromium Headless Shell", "headless-shell"},
};
#define PROGRAM_COUNT (sizeof programs / sizeof *programs)

/* Fixed places; `as` is the program whose row of the table above applies. */
static const struct { const char *path, *as; } fixed[] = {
    {"/opt/google/chrome/chrome", "google-chrome"},
    {"/opt/google/chrome-beta/chrome", "google-chrome-beta"},
    {"/opt/google/chrome-unstable/chrome", "google-chrome-unstable"},
    {"/opt/google/chrome-canary/chrome", "google-chrome-canary"},
    {"/opt/chromium.org/chromium/chromium-browser", "chromium"},
    {"/opt/chromium.org/chromium/chrome", "chromium"},
    {"/usr/lib/chromium/chromium", "chromium"},
    {"/opt/microsoft/msedge/msedge", "microsoft-edge"},
    {"/opt/microsoft/msedge-beta/msedge", "microsoft-edge-beta"},
    {"/opt/microsoft/msedge-dev/msedge", "microsoft-edge-dev"},
    {"/opt/firefox/firefox", "firefox"},
    {"/opt/firefox-beta/firefox", "firefox-beta"},
    {"/opt/firefox-nightly/firefox", "firefox-nightly"},
    {"/usr/lib/firefox/firefox", "firefox"},
    {"/usr/lib/firefox-esr/firefox-esr", "firefox-esr"},
};
static const struct { const char *path, *as; } confined[] = {
    {"/snap/bin/chromium", "chromium"},
    {"/snap/bin/firefox", "firefox"},
    {"/var/lib/flatpak/exports/bin/com.google.Chrome", "google-chrome"},
    {"/var/lib/flatpak/exports/bin/org.chromium.Chromium", "chromium"},
    {"/var/lib/flatpak/exports/bin/org.mozilla.firefox", "firefox"},
    {"/var/lib/flatpak/exports/bin/com.microsoft.Edge", "microsoft-edge"},
};
static const char snap_reason[] = "a snap sees neither $WEBACCEL_HOME nor inherited pipes; install the distribution's or maker's package";
static const char flatpak_reason[] = "a flatpak is not given the control pipe nor $WEBACCEL_HOME; install the distribution's or maker's package";

typedef struct finder {
    const wa_browser_places *p;
    const char *root;
    wa_browser_list *list;
    size_t cap;
    bool failed; /* memory ran out */
} finder;

static const known *known_by_file(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *file = slash ? slash + 1 : path;
    for (size_t i = 0; i < PROGRAM_COUNT; i++)
        if (!strcmp(programs[i].file, file)) return &programs[i];
    return NULL;
}

/* First bytes of a file, "" when it cannot be read. */
static void file_head(const char *path, char *out, size_t n)
{
    out[0] = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t r = read(fd, out, n - 1);
    close(fd);
    out[r > 0 ? r : 0] = 0;
}

static bool is_program(const char *path)
{
    wa_file_info info;
    return wa__os_stat(path, true, &info, NULL) == WA_OK && info.kind == WA_FILE_REGULAR && access(path, X_OK) == 0;
}

/* The binary behind a distribution's wrapper script: starting it directly saves a shell, keeps the
 * descriptors, and takes no flags from elsewhere. NULL: the script names none that we know. */
static char *behind_script(const finder *f, const char *script, const known *k)
{
    char *dir = wa__strdup(script), *slash = dir ? strrchr(dir, '/') : NULL;
    char *found = NULL;
    if (slash) {
        *slash = 0;
        /* Google's and Microsoft's wrappers stand beside the binary. */
        char *beside = wa__format("%s/%s", dir, k->family == WA_BROWSER_EDGE ? "msedge" : "chrome");
        if (beside && k->family != WA_BROWSER_FIREFOX && strcmp(beside, script) && is_program(beside)) found = beside;
        else wa__free(beside);
    }
    wa__free(dir);
    static const char *const chromium[] = {"/usr/lib/chromium/chromium", "/usr/lib/chromium-browser/chromium-browser",
                                           "/usr/lib64/chromium-browser/chromium-browser", NULL};
    static const char *const firefox[] = {"/usr/lib/firefox/firefox", "/usr/lib/firefox-esr/firefox-esr", "/usr/lib64/firefox/firefox", NULL};
    const char *const *places = k->family == WA_BROWSER_CHROMIUM ? chromium : k->family == WA_BROWSER_FIREFOX ? firefox : NULL;
    for (size_t i = 0; places && places[i] && !found; i++) {
        char *p = wa__format("%s%s", f->root, places[i]);
        if (p && is_program(p)) found = wa__os_realpath(p);
        wa__free(p);
    }
    return found;
}

static bool listed(const finder *f, const char *exec)
{
    for (size_t i = 0; i < f->list->count; i++)
        if (!strcmp(f->list->items[i].exec, exec)) return true;
    return false;
}

/* Takes path and exec. Two programs of one name get ids of their own, stable by their path. */
static void add(finder *f, const known *k, char *path, char *exec, const char *found_by, const char *reason)
{
    void *items = f->list->items;
    if (!path || !exec || !wa__array_reserve(&items, &f->cap, f->list->count + 1, sizeof(wa_browser_info))) {
        f->failed = true;
        wa__free(path);
        wa__free(exec);
        return;
    }
    f->list->items = items;
    wa_browser_info b = {.family = k->family, .path = path, .exec = exec};
    (void)snprintf(b.id, sizeof b.id, "%s", k->id);
    for (size_t i = 0; i < f->list->count; i++)
        if (!strcmp(f->list->items[i].id, b.id))
            (void)snprintf(b.id, sizeof b.id, "%.22s-%08x", k->id, (unsigned)wa__hash_bytes(exec, strlen(exec)));
    (void)snprintf(b.name, sizeof b.name, "%s", k->name);
    (void)snprintf(b.channel, sizeof b.channel, "%s", k->channel);
    (void)snprintf(b.found_by, sizeof b.found_by, "%s", found_by);
    (void)snprintf(b.unusable, sizeof b.unusable, "%s", reason ? reason : "");
    f->list->items[f->list->count++] = b;
}

/* Considers one path; as NULL: by its file name. */
static void consider(finder *f, const char *path, const known *as, const char *found_by)
{
    if (!is_program(path)) return;
    char *real = wa__os_realpath(path);
    if (!real) return;
    const known *k = as ? as : known_by_file(path);
    if (!k) k = known_by_file(real);
    /* "firefox" that is a link to firefox-esr is that. */
    const known *truly = known_by_file(real);
    if (truly && k && truly->family == k->family && strcmp(truly->channel, "stable")) k = truly;
    const char *reason = NULL;
    char head[4096];
    file_head(real, head, sizeof head);
    if (wa__str_ends(wa__str(real), "/snap") || strstr(real, "/snap/bin/")) reason = snap_reason;
    if (k && !reason && !strncmp(head, "#!", 2)) {
        char *binary = behind_script(f, real, k);
        if (binary) {
            wa__free(real);
            real = binary;
            truly = known_by_file(real);
            if (truly && truly->family == k->family && strcmp(truly->channel, "stable")) k = truly;
        } else if (strstr(head, "/snap/bin/") || strstr(head, "snap install")) {
            reason = snap_reason;
        } else if (strstr(head, "flatpak run")) {
            reason = flatpak_reason;
        }
    }
    if (!k || listed(f, real)) wa__free(real);
    else add(f, k, wa__strdup(path), real, found_by, reason);
}

static void from_env(finder *f, const char *value, const char *variable)
{
    if (!value || !*value) return;
    const known *k = known_by_file(value);
    static const known other = {"", WA_BROWSER_CHROMIUM, "chromium", "Chromium", "stable"};
    consider(f, value, k ? NULL : &other, variable);
}

/* A Chromium kept for its WebNN: $WEBACCEL_CHROMIUM_WEBNN, in $WEBACCEL_HOME, near us, where make deps puts it. */
static void from_webnn(finder *f)
{
    static const known row = {"", WA_BROWSER_CHROMIUM, "chromium-webnn", "Chromium with WebNN", "stable"};
    if (f->p->webnn && *f->p->webnn) {
        consider(f, f->p->webnn, &row, "WEBACCEL_CHROMIUM_WEBNN");
        return;
    }
    char *kept = f->p->cache ? wa__path_join(f->p->cache, "chromium-webnn/chromium") : NULL;
    if (kept) consider(f, kept, &row, "WEBACCEL_HOME");
    wa__free(kept);
    if (f->p->root && *f->p->root) return; /* a made-up machine */
    char *exe = wa__os_executable(), *slash = exe ? strrchr(exe, '/') : NULL;
    char *near = slash ? wa__format("%.*s/deps/chromium-webnn/chromium", (int)(slash - exe), exe) : NULL;
    if (near) consider(f, near, &row, "beside webaccel");
    wa__free(near);
    wa__free(exe);
#ifdef WA_DEPS_DIR
    consider(f, WA_DEPS_DIR "/chromium-webnn/chromium", &row, "make deps");
#endif
}

static void from_path(finder *f)
{
    const char *path = f->p->path;
    for (size_t i = 0; path && i < PROGRAM_COUNT; i++) {
        for (const char *p = path; *p;) {
            size_t n = strcspn(p, ":");
            char *full = n ? wa__format("%.*s/%s", (int)n, p, programs[i].file) : NULL;
            char by[48];
            (void)snprintf(by, sizeof by, "PATH (%s)", programs[i].file);
            /* Snap's folder is on many PATHs; those are listed later, with the reason. */
            if (full && !strstr(full, "/snap/bin/") && !strstr(full, "flatpak/exports")) consider(f, full, &programs[i], by);
            wa__free(full);
            p += n + (p[n] == ':');
        }
    }
}

/* Exec= of each .desktop file that starts a browser we know. */
static void from_desktop(finder *f, const char *folder)
{
    char **names = NULL;
    size_t count = 0;
    if (!folder || wa__os_list(folder, &names, &count, NULL) != WA_OK) return;
    for (size_t i = 0; i < count; i++) {
        const char *n = names[i];
        if (!wa__str_ends(wa__str(n), ".desktop") || !(strstr(n, "hrom") || strstr(n, "edge") || strstr(n, "irefox"))) continue;
        char head[16384], *path = wa__path_join(folder, n);
        if (path) file_head(path, head, sizeof head);
        const char *exec = path ? strstr(head, "\nExec=") : NULL;
        wa__free(path);
        if (!exec) continue;
        exec += 6;
        bool quoted = *exec == '"';
        exec += quoted;
        char *program = wa__strndup(exec, strcspn(exec, quoted ? "\"\n" : " \n"));
        if (program && program[0] == '/' && !strstr(program, "/snap/") && !strstr(program, "flatpak")) {
            char *full = wa__format("%s%s", f->root, program);
            if (full) consider(f, full, NULL, "desktop file");
            wa__free(full);
        }
        wa__free(program);
    }
    wa__os_list_free(names, count);
}

static void from_confined(finder *f)
{
    for (size_t i = 0; i < sizeof confined / sizeof *confined; i++) {
        char *p = wa__format("%s%s", f->root, confined[i].path);
        bool snap = strstr(confined[i].path, "/snap/") != NULL;
        if (p && is_program(p) && !listed(f, p))
            add(f, known_by_file(confined[i].as), wa__strdup(p), wa__strdup(p), snap ? "snap" : "flatpak",
                snap ? snap_reason : flatpak_reason);
        wa__free(p);
    }
}

void wa__browser_places_here(wa_browser_places *out, char **own)
{
    *own = wa__os_home();
    const char *path = getenv("PATH");
    *out = (wa_browser_places){.root = "", .path = path ? path : "/usr/local/bin:/usr/bin:/bin", .home = getenv("HOME"),
                               .chrome_path = getenv("CHROME_PATH"), .chrome = getenv("CHROME"), .webnn = getenv("WEBACCEL_CHROMIUM_WEBNN"), .cache = *own};
}

/* Usable ones first, otherwise in the order found. */
static void usable_first(wa_browser_list *l)
{
    for (size_t i = 1; i < l->count; i++)
        for (size_t j = i; j > 0 && !l->items[j].unusable[0] && l->items[j - 1].unusable[0]; j--) {
            wa_browser_info t = l->items[j];
            l->items[j] = l->items[j - 1];
            l->items[j - 1] = t;
        }
}

wa_status wa__browser_discover(const wa_browser_places *places, wa_browser_list *out, wa_error *err)
{
    char *own = NULL;
    wa_browser_places here;
    if (!places) wa__browser_places_here(&here, &own);
    wa_browser_list list = {0};
    finder f = {.p = places ? places : &here, .list = &list};
    f.root = f.p->root ? f.p->root : "";
    from_env(&f, f.p->chrome_path, "CHROME_PATH");
    from_env(&f, f.p->chrome, "CHROME");
    from_path(&f);
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        char *p = wa__format("%s%s", f.root, fixed[i].path);
        if (p) consider(&f, p, known_by_file(fixed[i].as), fixed[i].path);
        wa__free(p);
    }
    char *mine = f.p->home ? wa__path_join(f.p->home, ".local/share/applications") : NULL;
    char *all = wa__format("%s/usr/share/applications", f.root);
    from_desktop(&f, mine);
    from_desktop(&f, all);
    wa__free(mine);
    wa__free(all);
    from_webnn(&f);
    from_confined(&f);
    usable_first(&list);
    wa_status s = f.failed ? wa__no_memory(err, "the list of browsers") : WA_OK;
    if (s == WA_OK && !f.p->skip_versions) wa__browser_versions(&list, f.p->cache);
    wa__free(own);
    if (s != WA_OK) wa__browser_list_free(&list);
    else *out = list;
    return s;
}

void wa__browser_list_free(wa_browser_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        wa__free(l->items[i].path);
        wa__free(l->items[i].exec);
    }
    wa__free(l->items);
    *l = (wa_browser_list){0};
}

const wa_browser_info *wa__browser_pick(const wa_browser_list *l, const char *name, bool or_relative)
{
    wa_browser_family family = wa__browser_family_find(name);
    for (int pass = 0; pass < 3; pass++)
        for (size_t i = 0; i < l->count; i++) {
            const wa_browser_info *b = &l->items[i];
            bool fits = pass == 0 ? !strcmp(b->id, name) || !strcmp(b->path, name) || !strcmp(b->exec, name)
                        : pass == 1 ? family && b->family == family
                                    : or_relative && family == WA_BROWSER_CHROME && b->family == WA_BROWSER_CHROMIUM;
            if (fits && !b->unusable[0]) return b;
        }
    return NULL;
}
