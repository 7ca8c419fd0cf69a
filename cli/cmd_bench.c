/* webaccel bench: whole models timed on several targets and precisions, with a table, JSON and a plot; without
 * a model the smallest run that a browser allows. */
#include "cli.h"
#include "plot.h"
#include "table.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 8 };

static int small_run(const cli_args *a)
{
    wa_bridge_options o = WA_BRIDGE_OPTIONS_INIT;
    int code = 0;
    wa_error err = {0};
    wa_bridge *b = NULL;
    char *json = NULL;
    o.browser = cli_get(a, "browser");
    o.software = o.browser != NULL;
    wa_accelerator *acc = cli_accelerator(a, &code);
    if (!acc) return code;
    wa_status s = wa_bridge_create(acc, &o, &b, &err);
    if (s == WA_OK) s = wa_bridge_benchmark(b, &json, &err);
    if (s != WA_OK) code = cli_fail(a, s, &err);
    else puts(json);
    wa_string_free(json);
    wa_bridge_free(b);
    wa_accelerator_free(acc);
    return code;
}

typedef struct lists {
    char targets[WORDS_MAX][CLI_WORD_BYTES], browsers[WORDS_MAX][CLI_WORD_BYTES], precisions[WORDS_MAX][CLI_WORD_BYTES];
    size_t target_count, browser_count, precision_count;
} lists;

static bool list_of(const cli_args *a, const char *name, char out[][CLI_WORD_BYTES], size_t *count)
{
    const char *v = cli_get(a, name);
    *count = v ? cli_words(v, out, WORDS_MAX) : 0;
    if (!v || *count) return true;
    fprintf(stderr, "webaccel bench: --%s takes up to %d words with commas between, not \"%s\"\n", name, WORDS_MAX, v);
    return false;
}

/* "32", "f32", "16", "f16", "8", "int8", "4", "int4"; 0 when it is none of them. */
static uint32_t bits_of(const char *word)
{
    static const struct { const char *name; uint32_t bits; } known[] = {{"32", 32}, {"f32", 32}, {"16", 16}, {"f16", 16}, {"8", 8}, {"int8", 8}, {"4", 4}, {"int4", 4}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, word) == 0) return known[i].bits;
    return 0;
}

static bool lists_parse(const cli_args *a, lists *l)
{
    if (!list_of(a, "target", l->targets, &l->target_count) || !list_of(a, "browser", l->browsers, &l->browser_count) ||
        !list_of(a, "precision", l->precisions, &l->precision_count))
        return false;
    for (size_t i = 0; i < l->precision_count; i++) {
        if (bits_of(l->precisions[i])) continue;
        fprintf(stderr, "webaccel bench: --precision takes 4, 8, 16, 32 (or int4, int8, f16, f32), not \"%s\"\n", l->precisions[i]);
        return false;
    }
    return true;
}

/* One measurement, appended to results; a failure among several is kept as its error. */
static int one(const cli_args *a, wa_accelerator *acc, const wa_measure_request *q, bool only, json_t *results)
{
    wa_error err = {0};
    char *json = NULL;
    wa_status s = wa_benchmark(acc, q, &json, &err);
    cli_progress_end();
    if (s != WA_OK && only) return cli_fail(a, s, &err);
    if (s != WA_OK) {
        fprintf(stderr, "webaccel bench: %s on %s%s%s: %s\n", q->model, q->target ? q->target : "auto", q->browser ? " in " : "", q->browser ? q->browser : "", err.message);
        json_array_append_new(results, json_pack("{s:s, s:s?, s:s?, s:i, s:{s:s, s:s}}", "model", q->model, "target", q->target, "browser", q->browser, "precision", (int)q->precision,
                                                 "error", "status", wa_status_name(s), "message", err.message));
        return wa_status_exit(s);
    }
    json_array_append_new(results, json_loads(json, 0, NULL));
    wa_string_free(json);
    return 0;
}

static int all(const cli_args *a, wa_accelerator *acc, wa_measure_request q, const lists *l, json_t *results)
{
    int code = 0;
    size_t targets = l->target_count ? l->target_count : 1, precisions = l->precision_count ? l->precision_count : 1;
    bool only = a->word_count == 1 && targets == 1 && precisions == 1 && l->browser_count <= 1;
    for (int m = 0; m < a->word_count; m++) {
        for (size_t t = 0; t < targets; t++) {
            q.model = a->words[m];
            q.target = l->target_count ? l->targets[t] : NULL;
            size_t browsers = l->browser_count == 0 || (q.target && strcmp(q.target, "cpu") == 0) ? 0 : l->browser_count;
            for (size_t b = 0; b < (browsers ? browsers : 1); b++) {
                for (size_t p = 0; p < precisions; p++) {
                    q.browser = browsers ? l->browsers[b] : NULL;
                    q.precision = l->precision_count ? bits_of(l->precisions[p]) : 0;
                    int bad = one(a, acc, &q, only, results);
                    if (bad == wa_status_exit(WA_CANCELLED)) return bad;
                    if (bad) code = bad;
                }
            }
        }
    }
    return code;
}

static const char *short_name(const char *model)
{
    size_t n = strlen(model);
    while (n > 1 && model[n - 1] == '/') n--;
    const char *slash = memrchr(model, '/', n - (n > 0));
    return slash && slash[1] ? slash + 1 : model;
}

static void where(const json_t *r, char *out, size_t n)
{
    snprintf(out, n, "%s%s%s", cli_json_text(r, "target"), *cli_json_text(r, "browser") ? " " : "", cli_json_text(r, "browser"));
}

static void print_table(const json_t *results)
{
    static const char *const heads[] = {"model", "where", "bits", "batch", "tokens", "median ms", "p10", "p90", "first ms", "load ms", "GPU ms", "items/s", "MB", "runs", "steady"};
    table t;
    size_t i;
    json_t *r;
    table_begin(&t, "llrrrrrrrrrrrrl");
    t.max_width = 40;
    for (size_t k = 0; k < sizeof heads / sizeof *heads; k++) table_cell(&t, "%s", heads[k]);
    json_array_foreach(results, i, r) {
        char place[120];
        if (json_object_get(r, "error")) continue;
        where(r, place, sizeof place);
        table_cell(&t, "%s", short_name(cli_json_text(r, "model")));
        table_cell(&t, "%s", place);
        table_cell(&t, "%.0f", cli_json_number(r, "precision"));
        table_cell(&t, "%.0f", cli_json_number(r, "batch"));
        if (cli_json_number(r, "tokens") > 0) table_cell(&t, "%.0f", cli_json_number(r, "tokens"));
        else table_cell(&t, "-");
        static const char *const keys[] = {"median_ms", "p10_ms", "p90_ms", "first_ms", "load_ms", "gpu_ms", "throughput"};
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) table_number(&t, cli_json_number(r, keys[k]));
        table_number(&t, cli_json_number(r, "memory_bytes") / 1e6);
        table_cell(&t, "%.0f", cli_json_number(r, "runs"));
        table_cell(&t, "%s", json_is_true(json_object_get(r, "steady")) ? "yes" : "no");
    }
    table_end(&t, stdout);
}

static int draw(const cli_args *a, const json_t *results, const char *path)
{
    size_t n = 0, i;
    json_t *r;
    char why[400] = "out of memory";
    plot p = {0};
    plot_bar *bars = calloc(json_array_size(results) + 1, sizeof *bars);
    if (bars) json_array_foreach(results, i, r) {
        plot_bar *b = &bars[n];
        if (json_object_get(r, "error")) continue;
        char place[80];
        where(r, place, sizeof place);
        snprintf(b->series, sizeof b->series, "%s", place);
        snprintf(b->label, sizeof b->label, "%s, %.0f bits", place, cli_json_number(r, "precision"));
        int used = snprintf(b->group, sizeof b->group, "%.50s, batch %.0f", short_name(cli_json_text(r, "model")), cli_json_number(r, "batch"));
        if (cli_json_number(r, "tokens") > 0 && used > 0 && (size_t)used < sizeof b->group) snprintf(b->group + used, sizeof b->group - (size_t)used, ", %.0f tokens", cli_json_number(r, "tokens"));
        if (json_is_true(json_object_get(r, "adapter_is_software"))) snprintf(b->note, sizeof b->note, "software adapter");
        b->median = cli_json_number(r, "median_ms");
        b->p10 = cli_json_number(r, "p10_ms");
        b->p90 = cli_json_number(r, "p90_ms");
        n++;
    }
    bool ok = bars && plot_bars("webaccel bench: median time of a run, whiskers from p10 to p90", "ms", bars, n, &p) && plot_write(&p, path, why, sizeof why);
    plot_free(&p);
    free(bars);
    if (ok) return 0;
    wa_error err = {0};
    snprintf(err.message, sizeof err.message, "--plot: %s", why);
    return cli_fail(a, WA_IO, &err);
}

static int bench(const cli_args *a)
{
    static cli_shapes shapes;
    wa_measure_request q = WA_MEASURE_REQUEST_INIT;
    lists l = {0};
    int code = 0;
    const char *path = cli_get(a, "plot");
    if (a->word_count == 0) return small_run(a);
    if (!lists_parse(a, &l) || (code = cli_measure_parse(a, &shapes, &q))) return code ? code : CLI_EXIT_USAGE;
    wa_accelerator *acc = cli_accelerator(a, &code);
    if (!acc) return code;
    json_t *results = json_array();
    code = all(a, acc, q, &l, results);
    wa_accelerator_free(acc);
    if (json_array_size(results) == 1 && json_object_get(json_array_get(results, 0), "error")) json_array_clear(results); /* said already */
    if (json_array_size(results)) {
        if (cli_has(a, "json")) {
            json_t *shown = json_array_size(results) == 1 ? json_array_get(results, 0) : results;
            char *text = json_dumps(shown, JSON_COMPACT | JSON_REAL_PRECISION(9));
            if (text) puts(text);
            free(text);
        } else print_table(results);
        int bad = path ? draw(a, results, path) : 0;
        if (bad) code = bad;
    }
    json_decref(results);
    return code;
}

static const cli_option bench_options[] = {
    {"target", "TARGET,...", "cpu, webgpu, webnn; several with commas (default as for run)", 0, "cpu webgpu webnn"},
    {"browser", "NAME,...", "as for run; several with commas", 'b', "chrome chromium edge firefox"},
    {"precision", "BITS,...", "4, 8, 16, 32; several with commas (default what the model file holds)", 0, "4 8 16 32"},
    {"runs", "N", "measured runs (default: what fits 3 s, from 5 to 100)", 'n', NULL},
    CLI_MEASURE_OPTIONS,
    {"plot", "FILE", "draw the results side by side, as .svg or .png", 0, NULL},
    {NULL, NULL, NULL, 0, NULL}};
const cli_command cli_bench = {
    "bench", "[MODEL...] [--target T,...] [--precision P,...]", "time whole models; without a model the smallest run that a browser allows",
    "Inputs are made up: texts' ids and masks at --batch x --tokens, other inputs by their shapes. Runs before the\n"
    "measured ones warm caches and clocks up; runs that still drift are measured anew, and \"steady\" says how it\n"
    "ended. first_ms is the first run alone, load_ms from the model's file to ready, start_ms the browser's start.\n"
    "With --json: one object {median_ms, p10_ms, p90_ms, first_ms, load_ms, throughput, dispatches, gpu_ms,\n"
    "memory_bytes, target, browser, adapter, precision, runs_ms, ...}, an array of them where there are several;\n"
    "bench/compare tells a regression between two such files from noise. There is no falling back: what is not to\n"
    "be had is an error. Without MODEL: 10 dispatches and 4 KiB back, with plain mapAsync and with our completion\n"
    "kick, as JSON.\n",
    "  webaccel bench ./all-MiniLM-L6-v2 --target cpu,webgpu --browser chromium --plot l6.svg\n"
    "  webaccel bench model.onnx -i x=f32[1,3,224,224] --json > new.json\n"
    "  webaccel bench ./a ./b --precision f32,int8 --batch 32 --plot ab.png\n"
    "  webaccel bench --browser chromium\n",
    bench_options, 0, -1, bench};
