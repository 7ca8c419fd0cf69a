/* webaccel: the command. Finds the sub-command, parses, runs; Ctrl-C cancels what runs. */
#include "cli.h"
#include <jansson.h>
#include <locale.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

const cli_command *const cli_commands[] = {
    &cli_run, &cli_inspect, &cli_plan, &cli_profile, &cli_tune, &cli_add, &cli_get_command, &cli_ls, &cli_rm, &cli_results,
    &cli_doctor, &cli_bench, &cli_version_command, &cli_help_command, &cli_completion, NULL};

/* What the signal handler cancels; set before a run starts, cleared after. */
static wa_accelerator *volatile running;

static void on_signal(int sig)
{
    wa_accelerator *a = running;
    if (!a) _exit(128 + sig);
    wa_accelerator_cancel(a);
    running = NULL; /* a second signal ends at once; the browsers end with us */
}

static void on_log(void *user, int level, const char *module, const char *text)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    (void)user;
    cli_progress_end();
    fprintf(stderr, "webaccel: %s: %s: %s\n", names[level < 0 || level > 3 ? 3 : level], module, text);
}

wa_accelerator *cli_accelerator(const cli_args *a, int *code)
{
    wa_accelerator_options o = WA_ACCELERATOR_OPTIONS_INIT;
    wa_accelerator *acc = NULL;
    wa_error err = {0};
    o.home = cli_get(a, "home");
    o.db_path = cli_get(a, "db");
    o.offline = cli_has(a, "offline");
    o.headless = !cli_has(a, "visible");
    o.log = on_log;
    o.log_level = cli_has(a, "verbose") ? 3 : 0;
    cli_progress_enable(!cli_has(a, "quiet") && !cli_has(a, "verbose"));
    if (!cli_number(a, "threads", 1, 1024, &o.threads)) {
        *code = CLI_EXIT_USAGE;
        return NULL;
    }
    wa_status s = wa_accelerator_create(&o, &acc, &err);
    if (s != WA_OK) {
        *code = cli_fail(a, s, &err);
        return NULL;
    }
    running = acc;
    return acc;
}

int cli_fail(const cli_args *a, wa_status s, const wa_error *err)
{
    cli_progress_end();
    if (cli_has(a, "json") || cli_has(a, "jsonl")) {
        json_t *o = json_pack("{s:{s:s, s:s}}", "error", "status", wa_status_name(s), "message", err->message);
        char *text = o ? json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
        if (text) puts(text);
        if (text) wa_string_free(text);
        json_decref(o);
    }
    fprintf(stderr, "webaccel: %s\n", err->message[0] ? err->message : wa_status_text(s));
    return wa_status_exit(s);
}

static int run_version(const cli_args *a)
{
    if (cli_has(a, "json")) printf("{\"version\":\"%s\"}\n", wa_version());
    else printf("webaccel %s\n", wa_version());
    return 0;
}

static const cli_command *find(const char *name)
{
    for (const cli_command *const *c = cli_commands; *c; c++)
        if (strcmp((*c)->name, name) == 0) return *c;
    return NULL;
}

static int run_help(const cli_args *a)
{
    if (cli_has(a, "man")) cli_print_man(stdout);
    else if (a->word_count == 0) cli_print_usage(stdout);
    else {
        const cli_command *c = find(a->words[0]);
        if (!c) {
            fprintf(stderr, "webaccel help: no command \"%s\"\n", a->words[0]);
            return CLI_EXIT_USAGE;
        }
        cli_print_help(c, stdout);
    }
    return 0;
}

static int run_completion(const cli_args *a)
{
    int bad = cli_print_completion(a->words[0], stdout);
    if (bad) fprintf(stderr, "webaccel completion: \"%s\" is not bash, zsh or fish\n", a->words[0]);
    return bad;
}

const cli_command cli_version_command = {"version", "", "print the version", "", NULL, NULL, 0, 0, run_version};
static const cli_option help_options[] = {{"man", NULL, "the man page, in roff", 0, NULL}, {NULL, NULL, NULL, 0, NULL}};
const cli_command cli_help_command = {"help", "[COMMAND]", "explain a command", "", "  webaccel help run\n  webaccel help --man | man -l -\n", help_options, 0, 1, run_help};
const cli_command cli_completion = {"completion", "bash|zsh|fish", "print a shell completion script", "", "  source <(webaccel completion bash)\n", NULL, 1, 1, run_completion};

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");
    struct sigaction sa = {0};
    sa.sa_handler = on_signal;
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGHUP, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        cli_print_usage(stderr);
        return CLI_EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) name = "version";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) name = "help";
    const cli_command *c = find(name);
    if (!c) {
        fprintf(stderr, "webaccel: no command \"%s\"; webaccel help lists them\n", name);
        return CLI_EXIT_USAGE;
    }
    cli_args args;
    int code = cli_parse(c, argc - 2, argv + 2, &args);
    code = code ? code - 1 : c->run(&args);
    cli_progress_end();
    running = NULL;
    if (fflush(stdout) != 0 && code == 0) code = wa_status_exit(WA_IO);
    cli_config_free();
    return code;
}
