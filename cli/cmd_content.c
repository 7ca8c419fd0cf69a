/* webaccel add, get, ls, rm: the local content store. */
#include "cli.h"
#include <jansson.h>
#include <string.h>

static void on_add_progress(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    cli_progress("adding", done, total, true);
}

static void on_followed(void *user, const char *path, const char *target)
{
    cli_progress_end();
    fprintf(*(bool *)user ? stderr : stdout, "followed link %s -> %s\n", path, target);
}

static int add(const cli_args *a)
{
    int code = 0;
    bool json = cli_has(a, "json");
    wa_accelerator *acc = cli_accelerator(a, &code);
    if (!acc) return code;
    for (int i = 0; i < a->word_count && code == 0; i++) {
        wa_add_options o = WA_ADD_OPTIONS_INIT;
        wa_error err = {0};
        char *cid = NULL;
        o.hidden = cli_has(a, "hidden");
        o.progress = on_add_progress;
        o.followed = on_followed;
        o.user = &json;
        wa_status s = wa_add(acc, a->words[i], &o, &cid, &err);
        cli_progress_end();
        if (s != WA_OK) code = cli_fail(a, s, &err);
        else if (json) {
            json_t *j = json_pack("{s:s, s:s}", "path", a->words[i], "cid", cid);
            char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
            if (text) puts(text);
            wa_string_free(text);
            json_decref(j);
        } else {
            if (a->word_count > 1) printf("%s\n", a->words[i]);
            printf("%s\n", cid);
        }
        wa_string_free(cid);
    }
    wa_accelerator_free(acc);
    return code;
}

static int get(const cli_args *a)
{
    int code = 0;
    wa_error err = {0};
    const char *to = cli_get(a, "output") ? cli_get(a, "output") : a->word_count > 1 ? a->words[1] : a->words[0];
    if (strchr(to, '/') && to == a->words[0]) to = strrchr(to, '/') + 1;
    wa_accelerator *acc = cli_accelerator(a, &code);
    if (!acc) return code;
    wa_status s = wa_get(acc, a->words[0], to, &err);
    if (s != WA_OK) code = cli_fail(a, s, &err);
    else if (cli_has(a, "json")) printf("{\"cid\":\"%s\",\"path\":\"%s\"}\n", a->words[0], to);
    else printf("%s\n", to);
    wa_accelerator_free(acc);
    return code;
}

static int ls(const cli_args *a)
{
    int code = 0;
    wa_error err = {0};
    char *json = NULL;
    wa_accelerator *acc = cli_accelerator(a, &code);
    if (!acc) return code;
    wa_status s = wa_list(acc, &json, &err);
    if (s != WA_OK) code = cli_fail(a, s, &err);
    else if (cli_has(a, "json")) puts(json);
    else {
        json_t *list = json_loads(json, 0, NULL), *x;
        size_t i;
        if (json_array_size(list) == 0) printf("the store is empty; webaccel add PATH fills it\n");
        json_array_foreach(list, i, x)
            printf("%-60s %10.1f MB  %3lld files  %s\n", json_string_value(json_object_get(x, "cid")), json_number_value(json_object_get(x, "bytes")) / 1e6,
                   (long long)json_integer_value(json_object_get(x, "files")), json_string_value(json_object_get(x, "name")));
        json_decref(list);
    }
    wa_string_free(json);
    wa_accelerator_free(acc);
    return code;
}

static int rm(const cli_args *a)
{
    int code = 0;
    wa_accelerator *acc = cli_accelerator(a, &code);
    if (!acc) return code;
    for (int i = 0; i < a->word_count && code == 0; i++) {
        wa_error err = {0};
        wa_status s = wa_remove(acc, a->words[i], &err);
        if (s != WA_OK) code = cli_fail(a, s, &err);
        else printf(cli_has(a, "json") ? "{\"removed\":\"%s\"}\n" : "removed %s\n", a->words[i]);
    }
    wa_accelerator_free(acc);
    return code;
}

static const cli_option add_options[] = {{"hidden", NULL, "take hidden files too (Kubo's add skips them as we do)", 'H', NULL}, {NULL, NULL, NULL, 0, NULL}};
const cli_command cli_add = {"add", "PATH...", "add a file or folder to the local store; the last line is its CID",
                             "The CID is the one that Kubo gives under profile unixfs-v1-2025. Content is kept once. Links that\n"
                             "lead out of a folder, as in Hugging Face's cache, are followed and named.\n",
                             "  cid=$(webaccel add ./all-MiniLM-L6-v2 | tail -n 1)\n", add_options, 1, -1, add};
static const cli_option get_options[] = {{"output", "PATH", "where to (default: named after the CID)", 'o', NULL}, {NULL, NULL, NULL, 0, NULL}};
const cli_command cli_get_command = {"get", "CID [PATH]", "write a CID's content to a path", "Every block is verified on the way.\n", "  webaccel get bafybei... ./model\n", get_options, 1, 2, get};
const cli_command cli_ls = {"ls", "", "list what the local store holds", "", NULL, NULL, 0, 0, ls};
const cli_command cli_rm = {"rm", "CID...", "remove content from the local store", "Files that another CID uses stay.\n", NULL, NULL, 1, -1, rm};
