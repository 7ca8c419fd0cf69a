/* webaccel inspect and plan. */
#include "cli.h"
#include <jansson.h>
#include <string.h>

static int print_inspection(const char *text)
{
    json_error_t e;
    json_t *o = json_loads(text, 0, &e);
    if (!o) return 1;
    const char *key;
    json_t *v;
    json_object_foreach(o, key, v) {
        if (json_is_string(v)) printf("%-14s %s\n", key, json_string_value(v));
        else if (json_is_integer(v)) printf("%-14s %lld\n", key, (long long)json_integer_value(v));
        else if (json_is_object(v)) {
            printf("%s\n", key);
            const char *k;
            json_t *x;
            json_object_foreach(v, k, x) {
                if (json_is_integer(x)) printf("  %-22s %lld\n", k, (long long)json_integer_value(x));
                else if (json_is_string(x)) printf("  %-22s %s\n", k, json_string_value(x));
            }
        } else if (json_is_array(v)) {
            printf("%s\n", key);
            size_t i;
            json_t *x;
            json_array_foreach(v, i, x) {
                if (json_is_string(x)) printf("  %s\n", json_string_value(x));
                else if (json_is_object(x)) printf("  %-22s %s\n", json_string_value(json_object_get(x, "name")), json_string_value(json_object_get(x, "type")));
            }
        }
    }
    json_decref(o);
    return 0;
}

static int inspect(const cli_args *a)
{
    int code = 0;
    wa_error err = {0};
    char *json = NULL;
    wa_accelerator *acc = cli_accelerator(a, &code);
    if (!acc) return code;
    wa_status s = wa_inspect(acc, a->words[0], &json, &err);
    if (s != WA_OK) code = cli_fail(a, s, &err);
    else if (cli_has(a, "json")) puts(json);
    else code = print_inspection(json);
    wa_string_free(json);
    wa_accelerator_free(acc);
    return code;
}

static int plan(const cli_args *a)
{
    wa_plan_request q = WA_PLAN_REQUEST_INIT;
    int code = 0;
    wa_error err = {0};
    char *text = NULL, *json = NULL;
    static cli_shapes shapes;
    if ((code = cli_shapes_parse(a, &shapes))) return code;
    q.model = a->words[0];
    q.inputs = shapes.list;
    q.input_count = shapes.count;
    if (cli_get(a, "target")) q.target = cli_get(a, "target");
    q.browser = cli_get(a, "browser");
    if (!cli_number(a, "batch", 1, 4096, &q.batch) || !cli_number(a, "length", 1, 1000000, &q.length)) return CLI_EXIT_USAGE;
    wa_accelerator *acc = cli_accelerator(a, &code);
    if (!acc) return code;
    wa_status s = wa_plan_describe(acc, &q, &text, &json, &err);
    if (s != WA_OK) code = cli_fail(a, s, &err);
    else if (cli_has(a, "json")) puts(json);
    else if (cli_has(a, "print")) fputs(text, stdout);
    else code = print_inspection(json);
    wa_string_free(text);
    wa_string_free(json);
    wa_accelerator_free(acc);
    return code;
}

const cli_command cli_inspect = {"inspect", "MODEL", "say what a model is: operators, shapes, parameters, type, memory",
                                 "MODEL is a CID or a path. Imports without running anything.\n", "  webaccel inspect ./model.onnx --json\n", NULL, 1, 1, inspect};

static const cli_option plan_options[] = {{"target", "TARGET", "webgpu or cpu (default webgpu)", 0, "webgpu cpu"},
                                          {"browser", "NAME", "the plan for that browser's adapter, as it was when last opened", 'b', "chrome chromium edge firefox"},
                                          {"batch", "N", "rows (default 1)", 0, NULL},
                                          {"length", "N", "tokens a row (default 128)", 0, NULL},
                                          {"input", "NAME=TYPE[DIMS]", "shape of a named input, for models that take no texts; repeatable", 'i', NULL},
                                          {"print", NULL, "the whole plan: buffers, pipelines, dispatches or calls", 0, NULL},
                                          {NULL, NULL, NULL, 0, NULL}};
const cli_command cli_plan = {"plan", "MODEL [--target webgpu|cpu] [--print]", "compile a model and show the plan",
                              "A plan is the static program that the page or the CPU replays: buffers with exact sizes, weights\n"
                              "with their transforms, and a flat list of dispatches or calls. Where webaccel profile timed this plan on\n"
                              "this CPU, or in the browser named, --print shows the times beside what was predicted.\n",
                              "  webaccel plan bafybei... --target webgpu --print\n"
                              "  webaccel plan bafybei... --target webgpu --browser chromium --print\n", plan_options, 1, 1, plan};
