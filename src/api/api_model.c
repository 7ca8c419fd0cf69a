/* Opens a model: a CID in the store, or a path; maps its files, imports the graph, reads what the
 * files say of the task. In: the user's name for it. Out: an api_model, kept by the accelerator. */
#include "api_int.h"
#include "base/log.h"

enum { MODEL_FILES_MAX = 4096, MODEL_DEPTH_MAX = 4 };

void api_model_free(api_model *m)
{
    if (!m) return;
    wa__graph_free(m->graph);
    wa__tokenizer_free(m->tokenizer);
    for (uint32_t i = 0; i < m->file_count; i++) {
        wa__os_unmap(&m->maps[i]);
        wa__free(m->names[i]);
        wa__free(m->paths[i]);
    }
    wa__free(m->maps);
    wa__free(m->names);
    wa__free(m->paths);
    wa__free(m->files);
    wa__free(m->ref);
    wa__free(m->cid);
    wa__free(m);
}

/* Maps one file under its name inside the model. */
static wa_status add_file(api_model *m, size_t *cap, const char *name, const char *path, wa_error *err)
{
    if (m->file_count == MODEL_FILES_MAX) return wa__fail(err, WA_LIMIT, "%s: more than %d files", m->ref, MODEL_FILES_MAX);
    if (m->file_count == *cap) {
        size_t caps[4] = {*cap, *cap, *cap, *cap}, need = (size_t)m->file_count + 1;
        if (!wa__array_reserve((void **)&m->maps, &caps[0], need, sizeof *m->maps) || !wa__array_reserve((void **)&m->names, &caps[1], need, sizeof *m->names) ||
            !wa__array_reserve((void **)&m->paths, &caps[2], need, sizeof *m->paths) || !wa__array_reserve((void **)&m->files, &caps[3], need, sizeof *m->files))
            return wa__no_memory(err, "a model's files");
        *cap = caps[0];
    }
    uint32_t i = m->file_count;
    WA_TRY(wa__os_map(path, &m->maps[i], err));
    m->names[i] = wa__strdup(name);
    m->paths[i] = wa__strdup(path);
    m->file_count++;
    if (!m->names[i] || !m->paths[i]) return wa__no_memory(err, "a model's files");
    m->files[i] = (wa_model_file){wa__str(m->names[i]), m->maps[i].data, m->maps[i].size};
    return WA_OK;
}

static wa_status add_folder(api_model *m, size_t *cap, const char *path, const char *prefix, unsigned depth, wa_error *err)
{
    char **names = NULL;
    size_t count = 0;
    WA_TRY(wa__os_list(path, &names, &count, err));
    wa_status s = WA_OK;
    for (size_t i = 0; i < count && s == WA_OK; i++) {
        if (names[i][0] == '.') continue;
        char *full = wa__path_join(path, names[i]), *name = *prefix ? wa__path_join(prefix, names[i]) : wa__strdup(names[i]);
        wa_file_info info = {0};
        s = full && name ? wa__os_stat(full, true, &info, err) : wa__no_memory(err, path);
        if (s == WA_OK && info.kind == WA_FILE_REGULAR) s = add_file(m, cap, name, full, err);
        else if (s == WA_OK && info.kind == WA_FILE_DIR && depth < MODEL_DEPTH_MAX) s = add_folder(m, cap, full, name, depth + 1, err);
        wa__free(full);
        wa__free(name);
    }
    wa__os_list_free(names, count);
    return s;
}

/* A model that is one file goes by this name however it was reached, since its plans name it. */
static const char single_name[] = "model.onnx";

static wa_status open_cid(wa_accelerator *a, api_model *m, wa_error *err)
{
    wa_store *store;
    wa_store_tree tree = {0};
    size_t cap = 0;
    if (!a->enable_ipfs) return wa__fail(err, WA_INVALID_ARGUMENT, "%s is a CID, and content addressing is off (enable_ipfs)", m->ref);
    WA_TRY(api_store(a, &store, err));
    wa_status s = wa__store_resolve(store, m->ref, &tree, err);
    if (s != WA_OK) return s;
    char text[WA_CID_TEXT_MAX];
    wa__cid_text(&tree.root, text);
    m->cid = wa__strdup(text);
    m->by_cid = m->cache_hit = true;
    if (!m->cid) s = wa__no_memory(err, "a CID");
    for (size_t i = 0; i < tree.count && s == WA_OK; i++) {
        const wa_store_entry *e = &tree.entries[i];
        if (e->kind == WA_STORE_FILE) s = add_file(m, &cap, e->path[0] ? e->path : single_name, e->disk, err);
    }
    if (s == WA_OK) {
        wa_error ignored = {0};
        if (wa__store_touch(store, &tree.root, true, &ignored) != WA_OK) wa__log(WA_LOG_INFO, "api", "use not counted: %s", ignored.message);
    }
    wa__store_tree_done(&tree);
    return s;
}

/* A file, and what lies beside it under its name: external data ("x.onnx.data", "x.onnx_data", "x.bin"). */
static wa_status open_file(api_model *m, size_t *cap, wa_error *err)
{
    const char *slash = strrchr(m->ref, '/'), *base = slash ? slash + 1 : m->ref;
    size_t stem = strcspn(base, "."), count = 0;
    char **names = NULL;
    char *folder = slash ? wa__strndup(m->ref, (size_t)(slash - m->ref) + 1) : wa__strdup(".");
    wa_status s = folder ? wa__os_list(folder, &names, &count, err) : wa__no_memory(err, m->ref);
    for (size_t i = 0; i < count && s == WA_OK; i++) {
        wa_file_info info = {0};
        if (strncmp(names[i], base, stem) != 0 || (names[i][stem] != '.' && names[i][stem] != '_') || strcmp(names[i], base) == 0 || wa__str_ends(wa__str(names[i]), ".onnx")) continue;
        char *full = wa__path_join(folder, names[i]);
        s = full ? wa__os_stat(full, true, &info, err) : wa__no_memory(err, m->ref);
        if (s == WA_OK && info.kind == WA_FILE_REGULAR) s = add_file(m, cap, names[i], full, err);
        wa__free(full);
    }
    if (s == WA_OK) s = add_file(m, cap, m->file_count ? base : single_name, m->ref, err);
    wa__os_list_free(names, count);
    wa__free(folder);
    return s;
}

static wa_status open_path(wa_accelerator *a, api_model *m, wa_error *err)
{
    wa_file_info info;
    size_t cap = 0;
    WA_TRY(wa__os_stat(m->ref, true, &info, err));
    if (info.kind == WA_FILE_NONE) return wa__fail(err, WA_NOT_FOUND, "%s is neither a CID nor a path that exists", m->ref);
    if (info.kind == WA_FILE_DIR) WA_TRY(add_folder(m, &cap, m->ref, "", 0, err));
    else WA_TRY(open_file(m, &cap, err));
    if (!a->enable_ipfs || (info.kind != WA_FILE_DIR && m->file_count > 1)) return WA_OK; /* a file's CID does not cover those beside it */
    /* The content's CID names the plan in the cache and the run in the results; unchanged files are
     * known to the store and not hashed again. */
    wa_store *store;
    wa_store_added added;
    wa_error why = {0};
    wa_store_add_options o = {0};
    o.hash_only = true;
    o.cancel = &a->cancel;
    wa_status s = api_store(a, &store, &why);
    if (s == WA_OK) s = wa__store_add(store, m->ref, &o, &added, &why);
    if (s == WA_CANCELLED) return wa__fail(err, s, "%s", why.message);
    if (s != WA_OK) wa__log(WA_LOG_WARN, "api", "%s has no CID: %s", m->ref, why.message);
    else if (!(m->cid = wa__strdup(added.cid))) return wa__no_memory(err, "a CID");
    return WA_OK;
}

static wa_status describe(api_model *m, const char *model_type, wa_error *err)
{
    wa_model_files files = {m->files, m->file_count};
    WA_TRY(wa__import_detect(&files, &m->format, &m->main_file, err));
    WA_TRY(wa__import(&files, &m->graph, err));
    wa_task_files tf = {(const wa_task_file *)(const void *)m->files, m->file_count};
    wa_model_hints hints = {0};
    wa_model_type type;
    for (uint32_t i = 0; i < m->graph->input_count; i++) wa__model_hint(&hints, m->graph->values[m->graph->inputs[i]].name, false);
    for (uint32_t i = 0; i < m->graph->output_count; i++) wa__model_hint(&hints, m->graph->values[m->graph->outputs[i]].name, true);
    WA_TRY(wa__model_type_detect(m->ref, model_type, &tf, &hints, &type, err));
    m->model_type = type.type;
    snprintf(m->type_reason, sizeof m->type_reason, "%s", type.reason);
    m->task = strcmp(m->model_type, "text_embedding") == 0 ? "embed" : "tensors";
    return WA_OK;
}

wa_status api_model_tokenizer(api_model *m, wa_error *err)
{
    wa_task_files tf = {(const wa_task_file *)(const void *)m->files, m->file_count};
    if (m->tokenizer) return WA_OK;
    wa_status s = wa__tokenizer_load(&tf, &m->tokenizer, err);
    return s == WA_OK ? s : wa__fail_in(err, s, "%s", m->ref);
}

wa_status api_model_embed(api_model *m, wa_error *err)
{
    wa_task_files tf = {(const wa_task_file *)(const void *)m->files, m->file_count};
    if (m->embed_read) return WA_OK;
    wa_status s = wa__embed_read(&tf, m->tokenizer, &m->embed, err);
    m->embed_read = s == WA_OK && m->tokenizer;
    return s == WA_OK ? s : wa__fail_in(err, s, "%s", m->ref);
}

static wa_status open_new(wa_accelerator *a, const char *ref, const char *model_type, api_model **out, wa_error *err)
{
    api_model *m = wa__alloc(1, sizeof *m);
    if (m) m->ref = wa__strdup(ref);
    if (!m || !m->ref) {
        wa__free(m);
        return wa__no_memory(err, "a model");
    }
    wa_file_info info = {0};
    wa_status s = wa__os_stat(ref, true, &info, err);
    if (s == WA_OK) s = wa__store_is_cid(ref) && info.kind == WA_FILE_NONE ? open_cid(a, m, err) : open_path(a, m, err);
    if (s == WA_OK) {
        s = describe(m, model_type, err);
        if (s != WA_OK) s = wa__fail_in(err, s, "%s", ref);
    }
    if (s == WA_OK) *out = m;
    else api_model_free(m);
    return s;
}

wa_status api_model_open(wa_accelerator *a, const char *ref, const char *model_type, api_model **out, wa_error *err)
{
    api_model **slot = &a->models[0];
    if (!ref || !*ref) return wa__fail(err, WA_INVALID_ARGUMENT, "no model was named: give a path or a CID");
    for (uint32_t i = 0; i < API_MODELS_MAX; i++) {
        api_model *m = a->models[i];
        /* By CID the content cannot change; a path is opened anew, since its files may have. */
        if (m && m->by_cid && strcmp(m->ref, ref) == 0 && (!model_type || strcmp(model_type, m->model_type) == 0)) {
            m->used = ++a->clock;
            *out = m;
            return WA_OK;
        }
        if (!m || (*slot && m->used < (*slot)->used)) slot = &a->models[i];
    }
    api_model *m = NULL;
    WA_TRY(open_new(a, ref, model_type, &m, err));
    if (*slot) {
        for (uint32_t i = 0; i < a->session_count; i++)
            if (a->sessions[i].loaded && a->sessions[i].loaded == *slot) api_session_unload(&a->sessions[i]);
        if (a->cpu.loaded == *slot) api_session_unload(&a->cpu);
        api_model_free(*slot);
    }
    m->used = ++a->clock;
    *slot = m;
    *out = m;
    return WA_OK;
}
