/* What plan, profile, tune and bench parse alike: shapes of named inputs, batch and tokens, words in lists. */
#include "cli.h"
#include <string.h>

int cli_shapes_parse(const cli_args *a, cli_shapes *out)
{
    wa_error err = {0};
    out->count = 0;
    for (uint32_t i = 0; i < a->all_count; i++) {
        const char *v = a->all[i].value, *eq = strchr(v, '=');
        if (!cli_is(a, i, "input")) continue;
        if (out->count == CLI_INPUTS_MAX) {
            fprintf(stderr, "webaccel %s: more than %d inputs\n", a->command->name, CLI_INPUTS_MAX);
            return CLI_EXIT_USAGE;
        }
        if (!eq || eq == v || (size_t)(eq - v) >= sizeof out->names[0]) {
            fprintf(stderr, "webaccel %s: --input %s: expected NAME=TYPE[DIMS]\n", a->command->name, v);
            return CLI_EXIT_USAGE;
        }
        snprintf(out->names[out->count], sizeof out->names[0], "%.*s", (int)(eq - v), v);
        out->list[out->count] = (wa_named_tensor){.name = out->names[out->count]};
        wa_status s = wa_tensor_type_parse(eq + 1, &out->list[out->count].type, &err);
        if (s != WA_OK) return cli_fail(a, s, &err);
        out->count++;
    }
    return 0;
}

static void on_progress(void *user, const wa_progress *p)
{
    (void)user;
    cli_progress(p->stage, p->done, p->total, strcmp(p->stage, "load") == 0);
}

int cli_measure_parse(const cli_args *a, cli_shapes *shapes, wa_measure_request *q)
{
    static const struct { const char *name; size_t at; } choices[] = {{"precompile-shaders", offsetof(wa_measure_request, precompile_shaders)},
                                                                      {"firefox-optimizations", offsetof(wa_measure_request, use_firefox_optimizations)},
                                                                      {"tune", offsetof(wa_measure_request, tune)}};
    uint32_t timeout_s = 0;
    int code = cli_shapes_parse(a, shapes);
    if (code) return code;
    q->model = a->words[0];
    q->target = cli_get(a, "target");
    q->browser = cli_get(a, "browser");
    q->inputs = shapes->list;
    q->input_count = shapes->count;
    q->mixed_precision = cli_has(a, "mixed-precision");
    q->progress = on_progress;
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        const char *v = cli_get(a, choices[i].name);
        wa_choice c = !v ? WA_CHOICE_DEFAULT : strcmp(v, "on") == 0 ? WA_CHOICE_ON : WA_CHOICE_OFF;
        memcpy((char *)q + choices[i].at, &c, sizeof c);
    }
    bool ok = cli_number(a, "batch", 1, 65536, &q->batch) && cli_number(a, "tokens", 1, 1000000, &q->tokens) && cli_number(a, "runs", 1, 100000, &q->runs) &&
              cli_number(a, "warmup", 0, 600000, &q->warmup_ms) && cli_number(a, "timeout", 1, 86400, &timeout_s);
    if (timeout_s) q->timeout_ms = timeout_s * 1000;
    return ok ? 0 : CLI_EXIT_USAGE;
}

size_t cli_words(const char *list, char out[][CLI_WORD_BYTES], size_t most)
{
    size_t n = 0;
    while (list && *list && n < most) {
        size_t len = strcspn(list, ",");
        if (len == 0 || len >= CLI_WORD_BYTES) return 0;
        memcpy(out[n], list, len);
        out[n++][len] = 0;
        list += len;
        if (*list == ',' && !*++list) return 0;
    }
    return list && *list ? 0 : n;
}

const char *cli_json_text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

double cli_json_number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : -1;
}
