/* The command's own framework: one table of commands gives parsing, --help, the man page and shell
 * completion. Only the public API is used. */
#ifndef CLI_H
#define CLI_H
#include "webaccel/webaccel.h"
#include <jansson.h>
#include <stdio.h>

enum { CLI_EXIT_USAGE = 2, CLI_OPTIONS_MAX = 40, CLI_VALUES_MAX = 64 };

typedef struct cli_option {
    const char *name; /* long, without dashes; NULL ends the table */
    const char *arg;  /* its argument's name, NULL for a switch */
    const char *help;
    char letter;      /* short form, 0 for none */
    const char *words; /* completion: space-separated values, NULL for none */
} cli_option;

typedef struct cli_args {
    const struct cli_command *command;
    const char *values[CLI_OPTIONS_MAX]; /* by option index: last value, "" for a set switch, NULL */
    struct { uint32_t option; const char *value; } all[CLI_VALUES_MAX]; /* in order, repeated ones too */
    uint32_t all_count;
    char **words; /* positional */
    int word_count;
} cli_args;

typedef struct cli_command {
    const char *name, *synopsis, *summary, *text, *examples;
    const cli_option *options; /* without the global ones */
    int words_min, words_max;  /* positional; -1: any */
    int (*run)(const cli_args *a);
} cli_command;

extern const cli_command *const cli_commands[]; /* NULL-terminated */
extern const cli_option cli_global_options[];

/* Value of an option, from the flag, the environment (WEBACCEL_<NAME>) or the config file; NULL when
 * not given. */
const char *cli_get(const cli_args *a, const char *name);
bool cli_has(const cli_args *a, const char *name);
/* Whether the i-th option given (a->all) is the one named. */
bool cli_is(const cli_args *a, uint32_t i, const char *name);
/* As number in [min,max]; false after a message. Untouched when the option is absent. */
bool cli_number(const cli_args *a, const char *name, uint32_t min, uint32_t max, uint32_t *out);

int cli_parse(const cli_command *c, int argc, char **argv, cli_args *out); /* 0, or an exit code + 1 */
void cli_print_help(const cli_command *c, FILE *out);
void cli_print_usage(FILE *out);
void cli_print_man(FILE *out);
int cli_print_completion(const char *shell, FILE *out);
const char *cli_config(const char *key); /* from the config file, NULL when absent */
void cli_config_free(void);

/* Makes the accelerator by the global options; on failure prints and returns NULL with *code set. */
wa_accelerator *cli_accelerator(const cli_args *a, int *code);
/* Prints "webaccel: message" (as JSON with --json) and returns the exit code. */
int cli_fail(const cli_args *a, wa_status s, const wa_error *err);

/* --- cli_measure.c: what plan, profile, tune and bench parse alike --- */
enum { CLI_INPUTS_MAX = 64, CLI_WORD_BYTES = 64 };
typedef struct cli_shapes { /* --input NAME=TYPE[DIMS] */
    char names[CLI_INPUTS_MAX][256];
    wa_named_tensor list[CLI_INPUTS_MAX]; /* without data */
    size_t count;
} cli_shapes;
int cli_shapes_parse(const cli_args *a, cli_shapes *out); /* 0, or an exit code after a message */
/* Fills the request from the options that the command has; it borrows shapes. 0, or an exit code after a message. */
int cli_measure_parse(const cli_args *a, cli_shapes *shapes, wa_measure_request *q);
/* "a,b,c" into words; their number, 0 for an empty or malformed list or more than `most`. */
size_t cli_words(const char *list, char out[][CLI_WORD_BYTES], size_t most);
/* A member of what a measurement gave: "" or -1 where it is absent or null. */
const char *cli_json_text(const json_t *o, const char *key);
double cli_json_number(const json_t *o, const char *key);
#define CLI_TUNE_OPTION \
    {"tune", "on|off", "kernel choices measured on the adapter, at first use for 2 s at most (default: on hardware adapters)", 0, "on off"}
/* Options of that kind for a command's table. */
#define CLI_MEASURE_OPTIONS                                                                                                                  \
    {"batch", "N", "rows of the made-up inputs (default 1)", 0, NULL}, {"tokens", "N", "tokens a row (default 128)", 0, NULL},                 \
        {"input", "NAME=TYPE[DIMS]", "shape of a named input that batch and tokens do not give; repeatable", 'i', NULL},                       \
        {"mixed-precision", NULL, "keep the sensitive parts in 32 bits", 0, NULL},                                                             \
        {"warmup", "MS", "runs before the measured ones go on this long (default 500)", 0, NULL},                                              \
        {"timeout", "SECONDS", "of one run (default 300)", 0, NULL},                                                                           \
        CLI_TUNE_OPTION, {"precompile-shaders", "on|off", "compile every pipeline before the first run (default on)", 0, "on off"},                             \
        {"firefox-optimizations", "on|off", "use the kernel choices measured in Firefox, where there are any (default: in Firefox)", 0, "on off"}

/* Progress on a terminal's stderr; silent otherwise or with --quiet. */
void cli_progress(const char *what, uint64_t done, uint64_t total, bool bytes);
void cli_progress_end(void);
void cli_progress_enable(bool on);

extern const cli_command cli_run, cli_inspect, cli_plan, cli_add, cli_get_command, cli_ls, cli_rm, cli_results, cli_doctor,
    cli_version_command, cli_help_command, cli_completion, cli_bench, cli_profile, cli_tune;

#endif
