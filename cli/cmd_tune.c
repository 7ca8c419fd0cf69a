/* webaccel tune: measures which kernels are fastest on this adapter, in this browser, for a model's shapes. */
#include "cli.h"
#include "table.h"
#include <jansson.h>
#include <string.h>

static void print_products(const json_t *list)
{
    static const char *const names[] = {"M", "N", "K", "count", "default us", "best us", "speedup", "tried", "failed", "default", "best"};
    table t;
    size_t i;
    json_t *x;
    table_begin(&t, "rrrrrrrrrll");
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) table_cell(&t, "%s", names[k]);
    json_array_foreach(list, i, x) {
        static const char *const whole[] = {"m", "n", "k", "count"}, *const rest[] = {"tried", "failed"};
        for (size_t k = 0; k < 4; k++) table_cell(&t, "%.0f", cli_json_number(x, whole[k]));
        table_number(&t, cli_json_number(x, "default_us"));
        table_number(&t, cli_json_number(x, "us"));
        table_number(&t, cli_json_number(x, "speedup"));
        for (size_t k = 0; k < 2; k++) table_cell(&t, "%.0f", cli_json_number(x, rest[k]));
        table_cell(&t, "%s", cli_json_text(x, "default"));
        table_cell(&t, "%s", *cli_json_text(x, "tile") ? cli_json_text(x, "tile") : "not reached: give more --seconds");
    }
    table_end(&t, stdout);
    json_array_foreach(list, i, x)
        if (*cli_json_text(x, "failure")) printf("%.0fx%.0fx%.0f: a candidate failed: %s\n", cli_json_number(x, "m"), cli_json_number(x, "n"), cli_json_number(x, "k"), cli_json_text(x, "failure"));
}

static int tune(const cli_args *a)
{
    static cli_shapes shapes;
    wa_measure_request q = WA_MEASURE_REQUEST_INIT;
    uint32_t seconds = 0;
    int code = cli_measure_parse(a, &shapes, &q);
    wa_error err = {0};
    char *json = NULL;
    if (code || !cli_number(a, "precision", 4, 32, &q.precision) || !cli_number(a, "seconds", 1, 86400, &seconds)) return code ? code : CLI_EXIT_USAGE;
    q.warmup_ms = 0;
    wa_accelerator *acc = cli_accelerator(a, &code);
    if (!acc) return code;
    wa_status s = wa_tune(acc, &q, seconds, &json, &err);
    cli_progress_end();
    if (s != WA_OK) code = cli_fail(a, s, &err);
    else if (cli_has(a, "json")) puts(json);
    else {
        json_t *o = json_loads(json, 0, NULL);
        const char *adapter = cli_json_text(o, "adapter");
        adapter += strspn(adapter, " ");
        printf("%s in %s, %.1f s\n\n", *adapter ? adapter : "an adapter without a name", cli_json_text(o, "browser_version"), cli_json_number(o, "seconds"));
        print_products(json_object_get(o, "products"));
        if (cli_json_number(o, "default_us") > 0)
            printf("\nproducts of one run: %.1f us with the shipped choices, %.1f us with these; kept in %s\n", cli_json_number(o, "default_us"), cli_json_number(o, "us"), cli_json_text(o, "file"));
        json_decref(o);
    }
    wa_string_free(json);
    wa_accelerator_free(acc);
    return code;
}

static const cli_option tune_options[] = {
    {"browser", "NAME", "as for run; each browser has choices of its own", 'b', "chrome chromium edge firefox"},
    {"seconds", "N", "stop after so long (default 30)", 0, NULL},
    {"precision", "BITS", "32 or 16; default what the model file holds", 0, "16 32"},
    {"batch", "N", "rows of the made-up inputs (default 1)", 0, NULL},
    {"tokens", "N", "tokens a row (default 128)", 0, NULL},
    {"input", "NAME=TYPE[DIMS]", "shape of a named input that batch and tokens do not give; repeatable", 'i', NULL},
    {"mixed-precision", NULL, "keep the sensitive parts in 32 bits", 0, NULL},
    {NULL, NULL, NULL, 0, NULL}};
const cli_command cli_tune = {
    "tune", "MODEL [--browser B] [--seconds N] [--batch N] [--tokens N]", "measure which kernels are fastest on this adapter and keep the winners",
    "For each distinct product of the model's plan the page times the tiles that are legal on the adapter, by\n"
    "timestamp queries behind arithmetic that keeps the GPU's clock up. One whose results are not the default's is\n"
    "thrown out; one that is less than 3 % faster than the default does not replace it. Winners go to\n"
    "$WEBACCEL_HOME/tune/<adapter, driver and browser>.json; plans made for that adapter in that browser use them for\n"
    "the number of rows that was measured and down to half of it. A file that cannot be read is said in the log and\n"
    "the shipped choices are used; delete the file to go back to them for good.\n"
    "A run on a hardware adapter does the same for 2 s at most the first time it meets new shapes (--tune off: never;\n"
    "--tune on: also on software adapters).\n",
    "  webaccel tune ./all-MiniLM-L6-v2 --browser chromium\n"
    "  webaccel tune ./all-MiniLM-L6-v2 --browser firefox --batch 32 --seconds 120 --json\n",
    tune_options, 1, 1, tune};
