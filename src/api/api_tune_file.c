/* What was measured of a target, in $HOME/tune/<adapter, driver and browser>.json:
 *   {"webaccel_tune": 1, "adapter": "...", "driver": "...", "browser": "chromium 147.0.7727.0",
 *    "floors": {"pass_us": 2.1, "dispatch_us": 1.9, "near_bytes": ..., "near_bytes_per_s": ..., "far_bytes_per_s": ..., "f32_per_s": ..., ...},
 *    "kernels": "<hash of this build's kernels>",
 *    "tiles": [{"bits": 32, "m_min": 65, "m_max": 128, "n": 384, "k": 384, "tile": "straight 16x32/4x4 s16 u3", "us": 5.7, "default_us": 6.1}]}
 * A tile is a product's kernel and tile as plan_tiles.h writes it; those of another build are passed over, since
 * its kernels were others. The file may have been edited or come from elsewhere: every number is checked, and a bad file is the same as
 * none, said in the log. */
#include "api_int.h"
#include "base/log.h"
#include <ctype.h>

enum { FORM = 1, FILE_BYTES_MAX = 1 << 20 };

typedef struct floor_field {
    const char *key;
    size_t at;
} floor_field;
#define FIELD(name) {#name, offsetof(wa_run_floors, name)}
static const floor_field floor_fields[] = {FIELD(pass_us), FIELD(dispatch_us), FIELD(near_bytes), FIELD(near_bytes_per_s), FIELD(far_bytes_per_s), FIELD(f32_per_s), FIELD(f16_per_s), FIELD(matrix_per_s)};
enum { FLOOR_FIELDS = sizeof floor_fields / sizeof *floor_fields, FLOORS_NEEDED = 6 };

void api_tuned_name(const api_session *s, api_tuned *out)
{
    wa_browser_machine m;
    char whole[400], hex[9], cpu[128];
    uint8_t hash[32] = {0};
    *out = (api_tuned){0};
    if (!s->browser) {
        wa__os_cpu_name(cpu, sizeof cpu);
        snprintf(out->adapter, sizeof out->adapter, "cpu %s, %u threads", cpu, wa__cpu_threads(s->runner));
    } else {
        const wa_run_target *t = s->runner->ops->target(s->runner);
        const char *version = strchr(wa__browser_version(s->browser), '/');
        wa__browser_machine_scan(NULL, &m);
        snprintf(out->adapter, sizeof out->adapter, "%s%.40s %.40s %.40s %.60s", s->webnn[0] ? "webnn " : "", t->adapter_vendor, t->adapter_architecture, t->adapter_device, t->adapter_description);
        snprintf(out->driver, sizeof out->driver, "%s", t->adapter_software ? "" : m.driver);
        snprintf(out->browser, sizeof out->browser, "%.20s %.40s", s->family, version ? version + 1 : t->browser_version);
    }
    int n = snprintf(whole, sizeof whole, "%s|%s|%s", out->adapter, out->driver, out->browser);
    wa_status st = wa__sha256(whole, (size_t)n, hash, NULL);
    (void)st; /* it fails on no memory only; then files of one name may be shared */
    wa__hex(hash, 4, hex);
    for (char *p = whole; *p; p++)
        if (!isalnum((unsigned char)*p)) *p = '-';
    snprintf(out->name, sizeof out->name, "%.100s-%s", whole, hex);
}

static wa_status parse_floors(const json_t *o, const char *name, api_tuned *out, wa_error *err)
{
    wa_run_floors f = {0};
    if (!json_is_object(o)) return wa__fail(err, WA_CORRUPT, "%s: \"floors\" is not an object", name);
    for (size_t i = 0; i < FLOOR_FIELDS; i++) {
        const json_t *v = json_object_get(o, floor_fields[i].key);
        double d = json_is_number(v) ? json_number_value(v) : 0;
        if ((v && !json_is_number(v)) || !(d >= 0 && d < 1e18) || (i < FLOORS_NEEDED && !(d > 0)))
            return wa__fail(err, WA_CORRUPT, "%s: floors: \"%s\" is no positive number", name, floor_fields[i].key);
        memcpy((char *)&f + floor_fields[i].at, &d, sizeof d);
    }
    out->floors = f;
    out->has_floors = true;
    return WA_OK;
}

static bool whole(const json_t *o, const char *key, uint32_t *out)
{
    const json_t *v = json_object_get(o, key);
    json_int_t i = json_is_integer(v) ? json_integer_value(v) : 0;
    if (i < 1 || i > 1 << 24) return false;
    *out = (uint32_t)i;
    return true;
}

static double time_of(const json_t *o, const char *key)
{
    double v = json_number_value(json_object_get(o, key));
    return v > 0 && v < 1e12 ? v : -1;
}

bool api_tuned_add(api_tuned *t, bool half, const wa_gpu_tile_row *row, double us, double default_us)
{
    api_tiles *l = &t->tiles[half];
    uint32_t i = 0;
    while (i < l->count && !(l->rows[i].n == row->n && l->rows[i].k == row->k && l->rows[i].m_max == row->m_max)) i++;
    if (i == l->count) {
        if (l->count == API_TILES_MAX) return false;
        while (i > 0 && l->rows[i - 1].m_max > row->m_max) { /* the planner takes the first that fits */
            l->rows[i] = l->rows[i - 1];
            l->us[i] = l->us[i - 1];
            l->default_us[i] = l->default_us[i - 1];
            i--;
        }
        l->count++;
    }
    l->rows[i] = *row;
    l->us[i] = us;
    l->default_us[i] = default_us;
    return true;
}

static wa_status parse_tiles(const json_t *list, const char *name, api_tuned *out, wa_error *err)
{
    if (!json_is_array(list)) return wa__fail(err, WA_CORRUPT, "%s: \"tiles\" is not an array", name);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *o = json_array_get(list, i);
        const char *text = json_string_value(json_object_get(o, "tile"));
        wa_gpu_tile_row row = {0};
        uint32_t bits = 0;
        bool ok = whole(o, "bits", &bits) && (bits == 32 || bits == 16) && whole(o, "m_min", &row.m_min) && whole(o, "m_max", &row.m_max) && row.m_min <= row.m_max &&
                  whole(o, "n", &row.n) && whole(o, "k", &row.k);
        if (!ok) return wa__fail(err, WA_CORRUPT, "%s: tile %zu: bits must be 32 or 16, m_min, m_max, n, k from 1 to 2^24", name, i + 1);
        if (!text || !wa__gpu_tile_parse(text, &row.tile)) return wa__fail(err, WA_CORRUPT, "%s: tile %zu: \"%.60s\" is no tile", name, i + 1, text ? text : "");
        if (!api_tuned_add(out, bits == 16, &row, time_of(o, "us"), time_of(o, "default_us"))) return wa__fail(err, WA_LIMIT, "%s: more than %d tiles", name, API_TILES_MAX);
    }
    return WA_OK;
}

static void kernels_hex(char out[65])
{
    uint8_t hash[32];
    wa__kernels_hash(hash);
    wa__hex(hash, 32, out);
}

wa_status api_tuned_parse(const char *bytes, size_t n, const char *name, api_tuned *out, wa_error *err)
{
    json_error_t e;
    char here[65];
    api_tuned *t = wa__alloc(1, sizeof *t);
    if (!t) return wa__no_memory(err, "a tune file");
    *t = *out;
    json_t *o = json_loadb(bytes, n, JSON_REJECT_DUPLICATES, &e);
    wa_status s = WA_OK;
    if (!json_is_object(o)) s = wa__fail(err, WA_CORRUPT, "%s: line %d: %s", name, o ? 1 : e.line, o ? "not an object" : e.text);
    else if (!json_is_integer(json_object_get(o, "webaccel_tune")) || json_integer_value(json_object_get(o, "webaccel_tune")) != FORM)
        s = wa__fail(err, WA_CORRUPT, "%s: not a tune file of form %d", name, FORM);
    if (s == WA_OK && json_object_get(o, "floors")) s = parse_floors(json_object_get(o, "floors"), name, t, err);
    const char *kernels = json_string_value(json_object_get(o, "kernels"));
    kernels_hex(here);
    if (s == WA_OK && json_object_get(o, "tiles") && kernels && strcmp(kernels, here) == 0) s = parse_tiles(json_object_get(o, "tiles"), name, t, err);
    else if (s == WA_OK && json_object_get(o, "tiles")) wa__log(WA_LOG_INFO, "api", "%s: its tiles are another build's, passed over", name);
    json_decref(o);
    if (s == WA_OK) *out = *t;
    wa__free(t);
    return s;
}

static char *path_of(const wa_accelerator *a, const api_tuned *t) { return wa__format("%s/tune/%s.json", a->home, t->name); }

void api_tuned_read(const wa_accelerator *a, api_tuned *t)
{
    char *path = path_of(a, t);
    wa_file_info info;
    wa_error err = {0};
    wa_buf b;
    wa__buf_init(&b, FILE_BYTES_MAX);
    if (path && wa__os_stat(path, true, &info, NULL) == WA_OK && info.kind == WA_FILE_REGULAR) {
        wa_status s = wa__os_read_file(path, &b, &err);
        if (s == WA_OK) s = api_tuned_parse(b.ptr ? b.ptr : "", b.len, path, t, &err);
        if (s != WA_OK) wa__log(WA_LOG_WARN, "api", "%s; shipped defaults are used, webaccel tune writes the file anew", err.message);
    }
    wa__buf_done(&b);
    wa__free(path);
}

static void put_tiles(json_t *o, const api_tuned *t)
{
    char text[WA_GPU_TILE_TEXT], here[65];
    json_t *list = json_array();
    kernels_hex(here);
    for (int half = 0; half < 2; half++) {
        const api_tiles *l = &t->tiles[half];
        for (uint32_t i = 0; i < l->count; i++) {
            const wa_gpu_tile_row *r = &l->rows[i];
            wa__gpu_tile_print(&r->tile, text);
            json_t *one = json_pack("{s:i, s:i, s:i, s:i, s:i, s:s}", "bits", half ? 16 : 32, "m_min", (int)r->m_min, "m_max", (int)r->m_max, "n", (int)r->n, "k", (int)r->k, "tile", text);
            if (l->us[i] > 0) json_object_set_new(one, "us", json_real(l->us[i]));
            if (l->default_us[i] > 0) json_object_set_new(one, "default_us", json_real(l->default_us[i]));
            json_array_append_new(list, one);
        }
    }
    if (json_array_size(list)) {
        json_object_set_new(o, "kernels", json_string(here));
        json_object_set(o, "tiles", list);
    }
    json_decref(list);
}

wa_status api_tuned_write(const wa_accelerator *a, const api_tuned *t, wa_error *err)
{
    char *path = path_of(a, t), *folder = wa__path_join(a->home, "tune");
    json_t *o = json_pack("{s:i, s:s, s:s, s:s}", "webaccel_tune", FORM, "adapter", t->adapter, "driver", t->driver, "browser", t->browser), *floors = json_object();
    for (size_t i = 0; i < FLOOR_FIELDS && t->has_floors; i++) {
        double d;
        memcpy(&d, (const char *)&t->floors + floor_fields[i].at, sizeof d);
        if (d > 0) json_object_set_new(floors, floor_fields[i].key, json_real(d));
    }
    if (o && t->has_floors) json_object_set(o, "floors", floors);
    json_decref(floors);
    if (o) put_tiles(o, t);
    char *text = o ? json_dumps(o, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(o);
    wa_status s = path && folder && text ? wa__os_mkdirs(folder, 0700, err) : wa__no_memory(err, "a tune file");
    if (s == WA_OK) s = wa__os_write_file(path, text, strlen(text), 0600, err);
    wa_string_free(text);
    wa__free(path);
    wa__free(folder);
    return s;
}

/* Text of one key of a tune file that is not trusted otherwise. */
static bool says(const json_t *o, const char *key, const char *begin, bool all)
{
    const char *v = json_string_value(json_object_get(o, key));
    return v && (all ? strcmp(v, begin) == 0 : strncmp(v, begin, strlen(begin)) == 0);
}

bool api_tuned_firefox(const wa_accelerator *a, api_tuned *t)
{
    char *folder = wa__path_join(a->home, "tune"), **names = NULL;
    size_t count = 0;
    api_tuned *other = wa__alloc(1, sizeof *other);
    bool found = false;
    if (folder && other && wa__os_list(folder, &names, &count, NULL) == WA_OK) {
        for (size_t i = 0; i < count && !found; i++) {
            wa_buf b;
            char *path = wa__path_join(folder, names[i]);
            wa__buf_init(&b, FILE_BYTES_MAX);
            json_t *o = path && wa__os_read_file(path, &b, NULL) == WA_OK && b.len ? json_loadb(b.ptr, b.len, 0, NULL) : NULL;
            *other = (api_tuned){0};
            /* Firefox names no adapter: the driver tells whether it is this one's */
            if (o && says(o, "browser", "firefox ", false) && says(o, "driver", t->driver, true) && api_tuned_parse(b.ptr, b.len, path, other, NULL) == WA_OK)
                found = other->tiles[0].count + other->tiles[1].count > 0;
            json_decref(o);
            wa__buf_done(&b);
            wa__free(path);
        }
        wa__os_list_free(names, count);
    }
    if (found) {
        memcpy(t->tiles, other->tiles, sizeof t->tiles);
        t->foreign = strncmp(t->browser, "firefox ", 8) != 0;
    }
    wa__free(other);
    wa__free(folder);
    return found;
}

wa_status api_floors(wa_accelerator *a, api_session *s, api_tuned *t, wa_error *err)
{
    if (t->has_floors) return WA_OK;
    WA_TRY(s->browser ? wa__bridge_floors(s->runner, &t->floors, err) : wa__cpu_floors(s->runner, &t->floors, err));
    t->has_floors = true;
    wa_error why = {0};
    if (api_tuned_write(a, t, &why) != WA_OK) wa__log(WA_LOG_INFO, "api", "%s", why.message);
    return WA_OK;
}
