/* webaccel doctor: one screen on machine, browsers, adapters, and what will be used. */
#include "cli.h"
#include <jansson.h>
#include <string.h>

static const char *str(const json_t *x, const char *key)
{
    const char *v = json_string_value(json_object_get(x, key));
    return v ? v : "";
}

static void print_doctor(const char *text)
{
    json_t *o = json_loads(text, 0, NULL), *x, *sys = json_object_get(o, "system");
    size_t i;
    printf("machine    %s, %lld cores, %.1f GB, %s\n", str(sys, "cpu"), (long long)json_integer_value(json_object_get(sys, "cores")),
           json_number_value(json_object_get(sys, "memory_bytes")) / 1e9, str(sys, "os"));
    json_array_foreach(json_object_get(o, "gpus"), i, x) printf("gpu        %s %s\n", str(x, "name"), str(x, "note"));
    if (json_array_size(json_object_get(o, "gpus")) == 0) printf("gpu        none found\n");
    json_array_foreach(json_object_get(o, "browsers"), i, x) {
        printf("browser    %-9s %-18s %s%s%s\n", str(x, "family"), str(x, "version"), str(x, "path"), *str(x, "problem") ? ": " : "", str(x, "problem"));
        if (json_is_object(json_object_get(x, "adapter"))) {
            json_t *ad = json_object_get(x, "adapter");
            printf("             adapter: %s (%s), features: %s\n", str(ad, "name"), json_is_true(json_object_get(ad, "software")) ? "software" : "hardware", str(x, "features"));
        } else if (*str(x, "probe")) printf("             %s\n", str(x, "probe"));
        json_t *nn = json_object_get(x, "webnn");
        if (json_is_true(json_object_get(nn, "available")))
            printf("             WebNN: %lld methods, asked for %s, placement %s\n", (long long)json_integer_value(json_object_get(nn, "methods")), str(nn, "device_type"), str(nn, "placement"));
        else if (nn) printf("             WebNN: %s\n", str(nn, "reason"));
    }
    if (json_array_size(json_object_get(o, "browsers")) == 0) printf("browser    none found: models run on the CPU\n");
    printf("store      %s\nresults    %s%s\n", str(o, "home"), str(o, "db"), json_is_true(json_object_get(o, "duckdb")) ? "" : " (no libduckdb here: rows stay spooled)");
    printf("verdict    %s\n", str(o, "verdict"));
    json_decref(o);
}

static int doctor(const cli_args *a)
{
    int code = 0;
    wa_error err = {0};
    char *json = NULL;
    wa_accelerator *acc = cli_accelerator(a, &code);
    if (!acc) return code;
    cli_progress("probing browsers", 0, 0, false);
    wa_status s = wa_doctor(acc, !cli_has(a, "no-probe"), &json, &err);
    cli_progress_end();
    if (s != WA_OK) code = cli_fail(a, s, &err);
    else if (cli_has(a, "json")) puts(json);
    else print_doctor(json);
    wa_string_free(json);
    wa_accelerator_free(acc);
    return code;
}

static const cli_option doctor_options[] = {{"no-probe", NULL, "do not start the browsers", 0, NULL}, {NULL, NULL, NULL, 0, NULL}};
const cli_command cli_doctor = {"doctor", "", "what this machine has, what will be used, and why", "Starts each browser once to see its adapter.\n", "  webaccel doctor --json\n", doctor_options, 0, 0, doctor};
