/* Parses a command line by its table; config file and environment stand behind the flags. */
#include "cli.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const cli_option cli_global_options[] = {
    {"json", NULL, "print one JSON object (or an array) on stdout", 'j', NULL},
    {"home", "DIR", "where everything is kept (default $WEBACCEL_HOME, else ~/.webaccel)", 0, NULL},
    {"db", "FILE", "DuckDB file of results (default $BENCHMARK_DB_PATH, else results.duckdb in the home)", 0, NULL},
    {"threads", "N", "CPU threads (default: the usable cores)", 0, NULL},
    {"offline", NULL, "never use the network", 0, NULL},
    {"quiet", NULL, "no progress on stderr", 'q', NULL},
    {"verbose", NULL, "log what happens on stderr", 'v', NULL},
    {"help", NULL, "this text", 'h', NULL},
    {NULL, NULL, NULL, 0, NULL},
};

/* Index of an option: the command's own first, the global ones after them. */
static const cli_option *option_at(const cli_command *c, uint32_t i)
{
    const cli_option *o = c->options;
    for (; o && o->name; o++, i--)
        if (i == 0) return o;
    for (o = cli_global_options; o->name; o++, i--)
        if (i == 0) return o;
    return NULL;
}

static int option_index(const cli_command *c, const char *name, size_t n, char letter)
{
    const cli_option *o;
    for (uint32_t i = 0; (o = option_at(c, i)); i++)
        if (letter ? o->letter == letter : strlen(o->name) == n && strncmp(o->name, name, n) == 0) return (int)i;
    return -1;
}

static int usage_error(const cli_command *c, const char *format, const char *what)
{
    fprintf(stderr, "webaccel %s: ", c->name);
    fprintf(stderr, format, what);
    fprintf(stderr, "\nusage: webaccel %s %s\n       webaccel %s --help tells more\n", c->name, c->synopsis, c->name);
    return CLI_EXIT_USAGE + 1;
}

static int take(const cli_command *c, cli_args *out, uint32_t i, const char *value)
{
    out->values[i] = value;
    if (out->all_count == CLI_VALUES_MAX) return usage_error(c, "too many options at --%s", option_at(c, i)->name);
    out->all[out->all_count].option = i;
    out->all[out->all_count++].value = value;
    return 0;
}

static int parse_long(const cli_command *c, cli_args *out, char **argv, int argc, int *at)
{
    const char *name = argv[*at] + 2, *eq = strchr(name, '=');
    int i = option_index(c, name, eq ? (size_t)(eq - name) : strlen(name), 0);
    if (i < 0) return usage_error(c, "unknown option %s", argv[*at]);
    const cli_option *o = option_at(c, (uint32_t)i);
    if (!o->arg) return eq ? usage_error(c, "--%s takes no value", o->name) : take(c, out, (uint32_t)i, "");
    if (eq) return take(c, out, (uint32_t)i, eq + 1);
    if (*at + 1 >= argc) return usage_error(c, "--%s needs a value", o->name);
    return take(c, out, (uint32_t)i, argv[++*at]);
}

int cli_parse(const cli_command *c, int argc, char **argv, cli_args *out)
{
    memset(out, 0, sizeof *out);
    out->command = c;
    out->words = argv; /* positional words are moved to the front */
    bool raw = false;
    for (int at = 0; at < argc; at++) {
        char *s = argv[at];
        int bad = 0;
        if (raw || s[0] != '-' || s[1] == 0) out->words[out->word_count++] = s;
        else if (strcmp(s, "--") == 0) raw = true;
        else if (s[1] == '-') bad = parse_long(c, out, argv, argc, &at);
        else {
            int i = option_index(c, NULL, 0, s[1]);
            const cli_option *o = i < 0 ? NULL : option_at(c, (uint32_t)i);
            if (!o) bad = usage_error(c, "unknown option %s", s);
            else if (!o->arg) bad = s[2] ? usage_error(c, "unknown option %s (switches stand alone)", s) : take(c, out, (uint32_t)i, "");
            else if (s[2]) bad = take(c, out, (uint32_t)i, s + 2);
            else if (at + 1 < argc) bad = take(c, out, (uint32_t)i, argv[++at]);
            else bad = usage_error(c, "%s needs a value", s);
        }
        if (bad) return bad;
    }
    if (cli_has(out, "help")) {
        cli_print_help(c, stdout);
        return 1;
    }
    if (out->word_count < c->words_min) return usage_error(c, "%s", "too few arguments");
    if (c->words_max >= 0 && out->word_count > c->words_max)
        return usage_error(c, "unexpected argument \"%s\"", out->words[c->words_max]);
    return 0;
}

const char *cli_get(const cli_args *a, const char *name)
{
    int i = option_index(a->command, name, strlen(name), 0);
    if (i < 0) return NULL;
    if (a->values[i]) return a->values[i];
    if (!option_at(a->command, (uint32_t)i)->arg) return NULL;
    char env[64] = "WEBACCEL_";
    size_t n = strlen(env);
    for (const char *p = name; *p && n < sizeof env - 1; p++) env[n++] = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
    env[n] = 0;
    const char *v = getenv(env);
    return v && *v ? v : cli_config(name);
}

bool cli_has(const cli_args *a, const char *name)
{
    int i = option_index(a->command, name, strlen(name), 0);
    if (i < 0) return false;
    if (a->values[i]) return true;
    const char *v = cli_config(name);
    return v && (strcmp(v, "true") == 0 || strcmp(v, "yes") == 0 || strcmp(v, "1") == 0);
}

bool cli_is(const cli_args *a, uint32_t i, const char *name)
{
    return strcmp(option_at(a->command, a->all[i].option)->name, name) == 0;
}

bool cli_number(const cli_args *a, const char *name, uint32_t min, uint32_t max, uint32_t *out)
{
    const char *v = cli_get(a, name);
    if (!v) return true;
    char *end;
    errno = 0;
    unsigned long n = strtoul(v, &end, 10);
    if (errno || *v < '0' || *v > '9' || *end || n < min || n > max) {
        fprintf(stderr, "webaccel %s: --%s takes a number from %u to %u, not \"%s\"\n", a->command->name, name, min, max, v);
        return false;
    }
    *out = (uint32_t)n;
    return true;
}
