/* webaccel results: what ran, where and how fast. */
#include "cli.h"
#include <jansson.h>
#include <string.h>

static const char *str(const json_t *x, const char *key)
{
    const char *v = json_string_value(json_object_get(x, key));
    return v ? v : "-";
}

static void print_table(const char *text)
{
    json_t *list = json_loads(text, 0, NULL), *x;
    size_t i;
    if (json_array_size(list) == 0) printf("no results match\n");
    else printf("%5s  %-23s  %-7s %-9s %10s %10s %9s  %s\n", "id", "when (UTC)", "target", "browser", "ms", "items/s", "MB", "model");
    json_array_foreach(list, i, x)
        printf("%5lld  %-23.23s  %-7s %-9s %10.2f %10.1f %9.1f  %s\n", (long long)json_integer_value(json_object_get(x, "id")), str(x, "timestamp"),
               str(x, "target"), str(x, "browser"), json_number_value(json_object_get(x, "latency_ms")), json_number_value(json_object_get(x, "throughput")),
               json_number_value(json_object_get(x, "memory_usage_mb")), str(x, "model_name"));
    json_decref(list);
}

static const char *format_of(const cli_args *a, const char *path)
{
    if (cli_get(a, "format")) return cli_get(a, "format");
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : "";
}

static int results(const cli_args *a)
{
    wa_results_query q = WA_RESULTS_QUERY_INIT;
    int code = 0;
    wa_error err = {0};
    char *json = NULL;
    const char *path = cli_get(a, "export");
    q.model = cli_get(a, "model");
    q.target = cli_get(a, "target");
    q.browser = cli_get(a, "browser");
    q.since = cli_get(a, "since");
    if (path) q.limit = 0;
    if (!cli_number(a, "limit", 0, 1000000000, &q.limit)) return CLI_EXIT_USAGE;
    wa_accelerator *acc = cli_accelerator(a, &code);
    if (!acc) return code;
    wa_status s = path ? wa_results_export(acc, &q, format_of(a, path), path, &err) : wa_results(acc, &q, &json, &err);
    if (s != WA_OK) code = cli_fail(a, s, &err);
    else if (path) printf(cli_has(a, "json") ? "{\"exported\":\"%s\"}\n" : "%s\n", path);
    else if (cli_has(a, "json")) puts(json);
    else print_table(json);
    wa_string_free(json);
    wa_accelerator_free(acc);
    return code;
}

static const cli_option result_options[] = {{"model", "TEXT", "only models whose name or CID holds this", 0, NULL},
                                            {"target", "TARGET", "only this target", 0, "cpu webgpu webnn"},
                                            {"browser", "NAME", "only this browser", 'b', NULL},
                                            {"since", "TIME", "only from this time on (ISO 8601)", 0, NULL},
                                            {"limit", "N", "newest N; 0 for all (default 20)", 'n', NULL},
                                            {"export", "FILE", "write them to a file instead", 'o', NULL},
                                            {"format", "FORMAT", "csv, json or parquet (default: by the file's name)", 0, "csv json parquet"},
                                            {NULL, NULL, NULL, 0, NULL}};
const cli_command cli_results = {"results", "[OPTIONS]", "list, filter and export recorded runs",
                                 "Every run is a row of table webnn_webgpu_results in DuckDB. Rows wait in a spool until somebody\n"
                                 "merges them; this command merges first.\n",
                                 "  webaccel results --target webgpu -n 5\n  webaccel results --export runs.parquet\n", result_options, 0, 0, results};
