/* webaccel profile: every kernel's time beside its work and its floor, and a trace. */
#include "cli.h"
#include "table.h"
#include <errno.h>
#include <jansson.h>
#include <string.h>

static double times(double v, double factor) { return v < 0 ? -1 : v * factor; }

static void print_numbers(table *t, const json_t *r)
{
    table_number(t, cli_json_number(r, "us"));
    table_number(t, cli_json_number(r, "predicted_us"));
    table_number(t, times(cli_json_number(r, "share"), 100));
    table_number(t, cli_json_number(r, "flops") / 1e6);
    table_number(t, times(cli_json_number(r, "bytes"), 1e-3));
    table_number(t, cli_json_number(r, "gflops"));
    table_number(t, cli_json_number(r, "gb_s"));
    table_number(t, times(cli_json_number(r, "of_floor"), 100));
}

static void heads(table *t, const char *const *names)
{
    for (; *names; names++) table_cell(t, "%s", *names);
}

static void print_kernels(const json_t *list)
{
    static const char *const names[] = {"#", "us", "predicted", "%", "MFLOP", "kB", "GFLOP/s", "GB/s", "% of floor", "kernel", "grid", "label", NULL};
    table t;
    size_t i;
    json_t *r;
    table_begin(&t, "rrrrrrrrrlll");
    t.max_width = 60;
    heads(&t, names);
    json_array_foreach(list, i, r) {
        json_t *g = json_object_get(r, "grid");
        table_cell(&t, "%zu", i);
        print_numbers(&t, r);
        table_cell(&t, "%s", cli_json_text(r, "kernel"));
        if (json_is_array(g)) table_cell(&t, "%lldx%lldx%lld", (long long)json_integer_value(json_array_get(g, 0)), (long long)json_integer_value(json_array_get(g, 1)), (long long)json_integer_value(json_array_get(g, 2)));
        else table_cell(&t, "-");
        table_cell(&t, "%s", cli_json_text(r, "label"));
    }
    table_end(&t, stdout);
}

static void print_kinds(const json_t *list)
{
    static const char *const names[] = {"calls", "us", "predicted", "%", "MFLOP", "kB", "GFLOP/s", "GB/s", "% of floor", "operator", NULL};
    table t;
    size_t i;
    json_t *r;
    table_begin(&t, "rrrrrrrrrl");
    heads(&t, names);
    json_array_foreach(list, i, r) {
        table_cell(&t, "%.0f", cli_json_number(r, "count"));
        print_numbers(&t, r);
        table_cell(&t, "%s", cli_json_text(r, "kind"));
    }
    table_end(&t, stdout);
}

static void print_head(const json_t *o)
{
    const json_t *f = json_object_get(o, "floors");
    printf("%s, batch %.0f", cli_json_text(o, "model"), cli_json_number(o, "batch"));
    if (cli_json_number(o, "tokens") > 0) printf(", %.0f tokens", cli_json_number(o, "tokens"));
    printf(", on %s%s%s", cli_json_text(o, "target"), *cli_json_text(o, "browser") ? " in " : "", cli_json_text(o, "browser"));
    if (*cli_json_text(o, "adapter_name")) printf(" (%s)", cli_json_text(o, "adapter_name"));
    printf("\nrun %.3f ms", cli_json_number(o, "wall_ms"));
    if (cli_json_number(o, "gpu_ms") >= 0) printf(", of it the GPU %.3f", cli_json_number(o, "gpu_ms"));
    if (cli_json_number(o, "profiled_runs") > 0) printf("; kernels timed one by one %.3f ms (median of %.0f)", cli_json_number(o, "kernels_ms"), cli_json_number(o, "profiled_runs"));
    if (json_is_object(f)) {
        printf("\nfloors: %.3g TFLOP/s", cli_json_number(f, "f32_per_s") / 1e12);
        if (cli_json_number(f, "f16_per_s") > 0) printf(", f16 %.3g", cli_json_number(f, "f16_per_s") / 1e12);
        if (cli_json_number(f, "matrix_per_s") > 0) printf(", matrix units %.3g", cli_json_number(f, "matrix_per_s") / 1e12);
        printf(", copy %.4g GB/s (%.4g within %.3g MB), %.3g us a %s", cli_json_number(f, "far_bytes_per_s") / 1e9, cli_json_number(f, "near_bytes_per_s") / 1e9, cli_json_number(f, "near_bytes") / 1e6, cli_json_number(f, "pass_us"),
               *cli_json_text(o, "browser") ? "dispatch" : "call");
    }
    printf("\n\n");
}

static int write_trace(const cli_args *a, const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    bool ok = f && fputs(text, f) >= 0;
    if (f && fclose(f) != 0) ok = false;
    if (ok) return 0;
    wa_error err = {0};
    snprintf(err.message, sizeof err.message, "--trace %s: %s", path, strerror(errno));
    return cli_fail(a, WA_IO, &err);
}

static int profile(const cli_args *a)
{
    static cli_shapes shapes;
    wa_measure_request q = WA_MEASURE_REQUEST_INIT;
    const char *path = cli_get(a, "trace");
    int code = cli_measure_parse(a, &shapes, &q);
    wa_error err = {0};
    char *json = NULL, *trace = NULL;
    if (code || !cli_number(a, "precision", 4, 32, &q.precision)) return code ? code : CLI_EXIT_USAGE;
    wa_accelerator *acc = cli_accelerator(a, &code);
    if (!acc) return code;
    wa_status s = wa_profile_kernels(acc, &q, &json, path ? &trace : NULL, &err);
    cli_progress_end();
    if (s != WA_OK) code = cli_fail(a, s, &err);
    else if (cli_has(a, "json")) puts(json);
    else {
        json_t *o = json_loads(json, 0, NULL);
        print_head(o);
        print_kernels(json_object_get(o, "kernels"));
        printf("\n");
        print_kinds(json_object_get(o, "kinds"));
        json_decref(o);
    }
    if (s == WA_OK && path) code = write_trace(a, path, trace);
    wa_string_free(json);
    wa_string_free(trace);
    wa_accelerator_free(acc);
    return code;
}

static const cli_option profile_options[] = {{"target", "TARGET", "cpu, webgpu or webnn (default as for run)", 0, "cpu webgpu webnn"},
                                             {"browser", "NAME", "as for run", 'b', "chrome chromium edge firefox"},
                                             {"precision", "BITS", "4, 8, 16 or 32; default what the model file holds", 0, "4 8 16 32"},
                                             {"runs", "N", "profiled runs, of which the medians are taken (default 7)", 'n', NULL},
                                             CLI_MEASURE_OPTIONS,
                                             {"trace", "FILE", "write the last run as a trace that ui.perfetto.dev and chrome://tracing open", 0, NULL},
                                             {NULL, NULL, NULL, 0, NULL}};
const cli_command cli_profile = {
    "profile", "MODEL [--target T] [--browser B] [--batch N] [--tokens N] [--trace FILE]", "time every kernel of a model beside its prediction and its floor",
    "Each dispatch runs in a pass of its own between two timestamps, behind arithmetic that keeps the GPU's clock\n"
    "up; on the CPU each call is timed by the clock. WebNN runs a graph whole: it has one row. Shown: time, what\n"
    "the plan predicted, share, the work that cannot be left out (arithmetic, and bytes read and written once), the\n"
    "rates that makes, and how near that is to the floor, the time that the same work takes at the speed measured\n"
    "of this adapter for multiply-adds, copies and an empty dispatch (kept under $WEBACCEL_HOME/tune). Totals by\n"
    "operator follow. The times are remembered: webaccel plan --print shows them.\n",
    "  webaccel profile ./all-MiniLM-L6-v2 --target cpu\n"
    "  webaccel profile bafybei... --target webgpu --browser chromium --batch 32 --trace l6.json\n"
    "  webaccel profile model.onnx -i x=f32[1,3,224,224] --json\n",
    profile_options, 1, 1, profile};
