/* The accelerator's life, the shared one, synchronous and asynchronous runs. */
#include "api_int.h"
#include "base/log.h"
#include <stdlib.h>

const char *wa_version(void) { return WA_VERSION; }
const char *wa_status_name(wa_status s) { return wa__status_name(s); }
const char *wa_status_text(wa_status s) { return wa__status_text(s); }
int wa_status_exit(wa_status s) { return wa__status_exit(s); }
const char *wa_dtype_name(wa_dtype d) { return wa__dtype_info(d)->name; }
void wa_string_free(char *s) { free(s); }

static void on_log(wa_log_level level, const char *module, const char *text, void *user)
{
    const wa_accelerator *a = user;
    a->log(a->log_user, (int)level, module, text);
}

static char *db_path(const wa_accelerator *a, const char *given)
{
    const char *env = getenv("BENCHMARK_DB_PATH");
    if (given && *given) return wa__strdup(given);
    return env && *env ? wa__strdup(env) : wa__path_join(a->home, "results.duckdb");
}

wa_status wa_accelerator_create(const wa_accelerator_options *options, wa_accelerator **out, wa_error *err)
{
    wa_accelerator_options o = WA_ACCELERATOR_OPTIONS_INIT;
    if (options && (options->struct_size == 0 || options->struct_size > sizeof o))
        return wa__fail(err, WA_INVALID_ARGUMENT, "accelerator options: struct_size %zu; start from WA_ACCELERATOR_OPTIONS_INIT", options->struct_size);
    if (options) memcpy(&o, options, options->struct_size);
    if (o.max_connections < 1 || o.max_connections > API_SESSIONS_MAX)
        return wa__fail(err, WA_INVALID_ARGUMENT, "max_connections %u: from 1 to %d", o.max_connections, API_SESSIONS_MAX);
    wa_accelerator *a = wa__alloc(1, sizeof *a);
    if (!a) return wa__no_memory(err, "an accelerator");
    a->created_ms = wa__os_now_ms();
    a->home = o.home && *o.home ? wa__strdup(o.home) : wa__os_home();
    a->db_path = a->home ? db_path(a, o.db_path) : NULL;
    a->max_connections = o.max_connections;
    a->threads = o.threads;
    a->headless = o.headless;
    a->enable_ipfs = o.enable_ipfs;
    a->offline = o.offline;
    a->store_results = o.store_results;
    a->log = o.log;
    a->log_user = o.log_user;
    pthread_mutex_init(&a->async_mutex, NULL);
    wa_status s = a->db_path ? wa__os_mkdirs(a->home, 0700, err) : wa__no_memory(err, "an accelerator");
    if (s == WA_OK && a->log) wa__log_set(on_log, a, (wa_log_level)o.log_level);
    if (s == WA_OK) *out = a;
    else wa_accelerator_free(a);
    return s;
}

void wa_accelerator_free(wa_accelerator *a)
{
    if (!a) return;
    while (a->session_count) api_session_close(a, &a->sessions[a->session_count - 1]);
    api_session_unload(&a->cpu);
    if (a->cpu.runner) a->cpu.runner->ops->free(a->cpu.runner);
    api_host_close(a);
    for (uint32_t i = 0; i < API_MODELS_MAX; i++) api_model_free(a->models[i]);
    wa__store_close(a->store);
    if (a->log) wa__log_set(NULL, NULL, WA_LOG_ERROR);
    pthread_mutex_destroy(&a->async_mutex);
    wa__free(a->home);
    wa__free(a->db_path);
    wa__free(a);
}

void wa_accelerator_cancel(wa_accelerator *a) { atomic_store(&a->cancel, true); }

wa_status api_store(wa_accelerator *a, wa_store **out, wa_error *err)
{
    if (!a->store) {
        char *folder = wa__path_join(a->home, "store");
        if (!folder) return wa__no_memory(err, "a path");
        wa_status s = wa__store_open(folder, &a->store, err);
        wa__free(folder);
        if (s != WA_OK) return s;
    }
    *out = a->store;
    return WA_OK;
}

/* The one mutable global of the library: the shared accelerator, behind its lock. */
static pthread_mutex_t shared_mutex = PTHREAD_MUTEX_INITIALIZER;
static wa_accelerator *shared;

wa_status wa_accelerator_shared(const wa_accelerator_options *options, wa_accelerator **out, wa_error *err)
{
    pthread_mutex_lock(&shared_mutex);
    wa_status s = shared ? WA_OK : wa_accelerator_create(options, &shared, err);
    if (s == WA_OK) *out = shared;
    pthread_mutex_unlock(&shared_mutex);
    return s;
}

void wa_accelerator_shared_close(void)
{
    pthread_mutex_lock(&shared_mutex);
    wa_accelerator_free(shared);
    shared = NULL;
    pthread_mutex_unlock(&shared_mutex);
}

static wa_status checked(const wa_accelerate_options *o, wa_accelerate_options *out, wa_error *err)
{
    wa_accelerate_options d = WA_ACCELERATE_OPTIONS_INIT;
    if (!o || o->struct_size == 0 || o->struct_size > sizeof d)
        return wa__fail(err, WA_INVALID_ARGUMENT, "run options: struct_size is wrong; start from WA_ACCELERATE_OPTIONS_INIT");
    memcpy(&d, o, o->struct_size);
    *out = d;
    return WA_OK;
}

wa_status wa_accelerate(wa_accelerator *a, const wa_accelerate_options *o, wa_result **out, wa_error *err)
{
    wa_accelerate_options full;
    WA_TRY(checked(o, &full, err));
    pthread_mutex_lock(&a->async_mutex);
    atomic_store(&a->cancel, false);
    wa_status s = api_run(a, NULL, &full, out, err);
    pthread_mutex_unlock(&a->async_mutex);
    return s;
}

wa_status wa_accelerate_with_browser(wa_accelerator *a, const wa_accelerate_options *o, wa_result **out, wa_error *err)
{
    return wa_accelerate(a, o, out, err);
}

/* --- asynchronous --------------------------------------------------------------------------------- */
struct wa_job {
    wa_accelerator *a;
    wa_accelerate_options o;
    wa_arena arena; /* copies of the strings and tensors named in the options */
    wa_done_callback done;
    void *user;
    pthread_t thread;
    atomic_bool cancelled, running;
};

static const char *copy_text(wa_job *j, const char *s, bool *ok)
{
    if (!s || !*ok) return NULL;
    const char *r = wa__arena_strndup(&j->arena, s, strlen(s));
    *ok = r != NULL;
    return r;
}

static bool copy_options(wa_job *j, const wa_accelerate_options *o)
{
    bool ok = true;
    j->o = *o;
    j->o.model = copy_text(j, o->model, &ok);
    j->o.model_type = copy_text(j, o->model_type, &ok);
    j->o.task = copy_text(j, o->task, &ok);
    j->o.target = copy_text(j, o->target, &ok);
    j->o.browser = copy_text(j, o->browser, &ok);
    const char **texts = ok ? WA_ARENA_NEW(&j->arena, const char *, o->text_count) : NULL;
    wa_named_tensor *inputs = texts ? WA_ARENA_NEW(&j->arena, wa_named_tensor, o->input_count) : NULL;
    if (!inputs) return false;
    for (size_t i = 0; ok && i < o->text_count; i++) texts[i] = copy_text(j, o->texts[i], &ok);
    for (size_t i = 0; ok && i < o->input_count; i++) {
        inputs[i] = o->inputs[i];
        inputs[i].name = copy_text(j, o->inputs[i].name, &ok);
        void *data = wa__arena_alloc(&j->arena, o->inputs[i].bytes, 1);
        if (data && o->inputs[i].bytes) memcpy(data, o->inputs[i].data, o->inputs[i].bytes);
        inputs[i].data = data;
        ok = ok && data;
    }
    j->o.texts = texts;
    j->o.inputs = inputs;
    return ok;
}

static void *job_main(void *arg)
{
    wa_job *j = arg;
    wa_error err = {0};
    wa_result *r = NULL;
    wa_status s;
    pthread_mutex_lock(&j->a->async_mutex);
    atomic_store(&j->running, true);
    atomic_store(&j->a->cancel, atomic_load(&j->cancelled));
    s = atomic_load(&j->cancelled) ? wa__fail(&err, WA_CANCELLED, "the job was cancelled before it ran") : api_run(j->a, NULL, &j->o, &r, &err);
    atomic_store(&j->running, false);
    pthread_mutex_unlock(&j->a->async_mutex);
    j->done(j->user, s, r, s == WA_OK ? NULL : &err);
    return NULL;
}

wa_status wa_accelerate_async(wa_accelerator *a, const wa_accelerate_options *o, wa_done_callback done, void *user, wa_job **out, wa_error *err)
{
    wa_accelerate_options full;
    WA_TRY(checked(o, &full, err));
    wa_job *j = wa__alloc(1, sizeof *j);
    if (!j) return wa__no_memory(err, "a job");
    j->a = a;
    j->done = done;
    j->user = user;
    wa__arena_init(&j->arena, WA_LIMIT_COMPILE_ARENA_BYTES);
    wa_status s = copy_options(j, &full) ? WA_OK : wa__no_memory(err, "a job's inputs");
    if (s == WA_OK && pthread_create(&j->thread, NULL, job_main, j) != 0) s = wa__fail(err, WA_NO_MEMORY, "cannot start the job's thread");
    if (s == WA_OK) *out = j;
    else {
        wa__arena_done(&j->arena);
        wa__free(j);
    }
    return s;
}

void wa_job_cancel(wa_job *j)
{
    atomic_store(&j->cancelled, true);
    if (atomic_load(&j->running)) atomic_store(&j->a->cancel, true);
}

void wa_job_free(wa_job *j)
{
    if (!j) return;
    pthread_join(j->thread, NULL);
    wa__arena_done(&j->arena);
    wa__free(j);
}
