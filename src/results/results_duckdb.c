/* Finds and opens libduckdb.so. Called by the session. */
#include "results/results_duckdb.h"
#include "base/os.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(duckdb_result) == 48 && sizeof(duckdb_string_t) == 16, "DuckDB's C ABI, 64-bit");

/* ISO C has no cast from void * to a function pointer; POSIX promises that the bytes are the same. */
static bool symbol(void *library, const char *name, void *function)
{
    void *p = dlsym(library, name);
    memcpy(function, &p, sizeof p);
    return p != NULL;
}

static wa_status use(const char *path, wa_duckdb *out, wa_error *err)
{
    void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    if (!library) return wa__fail(err, WA_NOT_FOUND, "%s", dlerror());
    wa_duckdb api;
#define WA_DUCKDB_FIND(result, name, arguments)                                                    \
    if (!symbol(library, "duckdb_" #name, &api.name)) {                                            \
        dlclose(library);                                                                          \
        return wa__fail(err, WA_UNSUPPORTED, "%s lacks duckdb_" #name ": DuckDB 1.4 or later is needed", path); \
    }
    WA_DUCKDB_FUNCTIONS(WA_DUCKDB_FIND)
#undef WA_DUCKDB_FIND
    *out = api;
    return WA_OK;
}

/* The executable, or the library that holds this code (Python's process is python's executable). */
static char *self_path(bool executable)
{
    static const char here;
    Dl_info self;
    if (executable) return wa__os_executable();
    return dladdr(&here, &self) != 0 && self.dli_fname ? wa__os_realpath(self.dli_fname) : NULL;
}

/* <folder of either>/<one of the usual places>libduckdb.so */
static wa_status use_beside(bool executable, wa_duckdb *out)
{
    static const char *const middles[] = {"", "lib/", "../lib/", "../lib/webaccel/", "deps/lib/", "webaccel/"};
    char *self = self_path(executable), *slash = self ? strrchr(self, '/') : NULL;
    wa_status s = WA_NOT_FOUND;
    for (size_t i = 0; slash && s != WA_OK && i < sizeof middles / sizeof *middles; i++) {
        char *path = wa__format("%.*s/%slibduckdb.so", (int)(slash - self), self, middles[i]);
        if (path) s = use(path, out, NULL);
        wa__free(path);
    }
    wa__free(self);
    return s;
}

wa_status wa__duckdb_load(const char *library, wa_duckdb *out, wa_error *err)
{
    const char *named = library ? library : getenv("WEBACCEL_DUCKDB");
    if (named && *named) {
        wa_status s = use(named, out, err);
        return s == WA_OK ? s : wa__fail_in(err, s, "the DuckDB library that %s names", library ? "the call" : "WEBACCEL_DUCKDB");
    }
    if (use_beside(true, out) == WA_OK || use_beside(false, out) == WA_OK) return WA_OK;
    if (use(WA_DEPS_DIR "/lib/libduckdb.so", out, NULL) == WA_OK) return WA_OK;
    if (use("libduckdb.so", out, NULL) == WA_OK) return WA_OK;
    return wa__fail(err, WA_NOT_FOUND,
                    "libduckdb.so was not found beside the command, in " WA_DEPS_DIR "/lib or in the system; "
                    "run make deps, or set WEBACCEL_DUCKDB to its path");
}

bool wa__results_available(const char *library)
{
    wa_duckdb db;
    return wa__duckdb_load(library, &db, NULL) == WA_OK;
}
