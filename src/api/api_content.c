/* wa_add, wa_get, wa_list, wa_remove over the content store. */
#include "api_int.h"
#include <time.h>

wa_status wa_add(wa_accelerator *a, const char *path, const wa_add_options *options, char **cid, wa_error *err)
{
    wa_add_options o = WA_ADD_OPTIONS_INIT;
    wa_store_add_options so = {0};
    wa_store_added added;
    wa_store *store;
    if (options && (options->struct_size == 0 || options->struct_size > sizeof o))
        return wa__fail(err, WA_INVALID_ARGUMENT, "add options: struct_size is wrong; start from WA_ADD_OPTIONS_INIT");
    if (options) memcpy(&o, options, options->struct_size);
    atomic_store(&a->cancel, false);
    so.hidden = o.hidden;
    so.cancel = &a->cancel;
    so.progress = o.progress;
    so.followed = o.followed;
    so.user = o.user;
    WA_TRY(api_store(a, &store, err));
    WA_TRY(wa__store_add(store, path, &so, &added, err));
    char *text = wa__strdup(added.cid);
    if (!text) return wa__no_memory(err, "a CID");
    *cid = text;
    return WA_OK;
}

wa_status wa_get(wa_accelerator *a, const char *cid, const char *path, wa_error *err)
{
    wa_store *store;
    atomic_store(&a->cancel, false);
    WA_TRY(api_store(a, &store, err));
    return wa__store_get(store, cid, path, &a->cancel, err);
}

static json_t *time_json(int64_t ms)
{
    char text[32];
    struct tm tm;
    time_t t = (time_t)(ms / 1000);
    if (ms <= 0 || !gmtime_r(&t, &tm) || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) return json_null();
    return json_string(text);
}

wa_status wa_list(wa_accelerator *a, char **json, wa_error *err)
{
    wa_store *store;
    wa_store_root *roots;
    size_t count;
    WA_TRY(api_store(a, &store, err));
    WA_TRY(wa__store_list(store, &roots, &count, err));
    json_t *list = json_array();
    for (size_t i = 0; i < count && list; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I, s:b, s:o, s:o, s:I, s:I}", "cid", roots[i].cid, "name", roots[i].name ? roots[i].name : "", "bytes",
                                              (json_int_t)roots[i].size_bytes, "files", (json_int_t)roots[i].file_count, "folder", roots[i].is_dir, "added",
                                              time_json(roots[i].added_ms), "used", time_json(roots[i].used_ms), "hits", (json_int_t)roots[i].hit_count, "misses",
                                              (json_int_t)roots[i].miss_count));
    wa__store_list_free(roots, count);
    char *text = api_json_text(list);
    if (!text) return wa__no_memory(err, "the list");
    *json = text;
    return WA_OK;
}

wa_status wa_remove(wa_accelerator *a, const char *cid, wa_error *err)
{
    wa_store *store;
    WA_TRY(api_store(a, &store, err));
    for (uint32_t i = 0; i < API_MODELS_MAX; i++) /* an opened model keeps its mapping; it is not found again */
        if (a->models[i] && strcmp(a->models[i]->ref, cid) == 0) a->models[i]->by_cid = false;
    return wa__store_remove(store, cid, NULL, err);
}
