/* Help, man page and completion, all from the command table. */
#include "cli.h"
#include <ctype.h>
#include <string.h>

static void print_options(const cli_option *o, FILE *out)
{
    for (; o && o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "%s%c%s --%s%s%s", o->letter ? "-" : " ", o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name,
                 o->arg ? " " : "", o->arg ? o->arg : "");
        fprintf(out, "  %-30s %s\n", left, o->help);
    }
}

void cli_print_help(const cli_command *c, FILE *out)
{
    fprintf(out, "webaccel %s - %s\n\nusage: webaccel %s %s\n\n%s", c->name, c->summary, c->name, c->synopsis, c->text);
    if (c->options) {
        fprintf(out, "\nOptions\n");
        print_options(c->options, out);
    }
    fprintf(out, "\nGlobal options\n");
    print_options(cli_global_options, out);
    if (c->examples) fprintf(out, "\nExamples\n%s", c->examples);
}

void cli_print_usage(FILE *out)
{
    fprintf(out, "webaccel %s - run models on the GPU behind any browser, delivered and verified by CID\n\n"
                 "usage: webaccel COMMAND [OPTIONS] [ARGUMENTS]\n\nCommands\n", wa_version());
    for (const cli_command *const *c = cli_commands; *c; c++) fprintf(out, "  %-12s %s\n", (*c)->name, (*c)->summary);
    fprintf(out, "\nwebaccel COMMAND --help tells more. First steps:\n"
                 "  webaccel doctor\n  cid=$(webaccel add ./all-MiniLM-L6-v2 | tail -n 1)\n  webaccel run $cid \"a cat sits on the mat\"\n");
}

/* roff: backslashes, and dots and quotes at a line's start, are escaped. */
static void roff(const char *s, FILE *out)
{
    bool start = true;
    for (; *s; s++) {
        if (start && (*s == '.' || *s == '\'')) fputs("\\&", out);
        if (*s == '\\') fputs("\\e", out);
        else if (*s == '-') fputs("\\-", out);
        else fputc(*s, out);
        start = *s == '\n';
    }
}

static void man_options(const cli_option *o, FILE *out)
{
    for (; o && o->name; o++) {
        fprintf(out, ".TP\n");
        if (o->letter) fprintf(out, "\\fB\\-%c\\fR, ", o->letter);
        fprintf(out, "\\fB\\-\\-");
        roff(o->name, out);
        fprintf(out, "\\fR%s%s\n", o->arg ? " " : "", o->arg ? o->arg : "");
        roff(o->help, out);
        fputc('\n', out);
    }
}

void cli_print_man(FILE *out)
{
    fprintf(out, ".TH WEBACCEL 1 \"\" \"webaccel %s\"\n.SH NAME\nwebaccel \\- run machine\\-learning models on the GPU behind any browser\n"
                 ".SH SYNOPSIS\n.B webaccel\nCOMMAND [OPTIONS] [ARGUMENTS]\n", wa_version());
    fprintf(out, ".SH GLOBAL OPTIONS\n");
    man_options(cli_global_options, out);
    fprintf(out, ".SH COMMANDS\n");
    for (const cli_command *const *c = cli_commands; *c; c++) {
        fprintf(out, ".SS webaccel %s ", (*c)->name);
        roff((*c)->synopsis, out);
        fputc('\n', out);
        roff((*c)->summary, out);
        fputs(".\n.PP\n", out);
        roff((*c)->text, out);
        if ((*c)->options) man_options((*c)->options, out);
        if ((*c)->examples) {
            fputs(".PP\nExamples:\n.nf\n", out);
            roff((*c)->examples, out);
            fputs(".fi\n", out);
        }
    }
    fprintf(out, ".SH EXIT STATUS\n");
    static const wa_status all[] = {WA_OK, WA_INVALID_ARGUMENT, WA_NOT_FOUND, WA_IO, WA_CORRUPT, WA_UNSUPPORTED, WA_LIMIT, WA_TIMEOUT,
                                    WA_BROWSER, WA_BUSY, WA_INTERNAL, WA_CANCELLED};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        fprintf(out, ".TP\n%d\n", wa_status_exit(all[i]));
        roff(wa_status_text(all[i]), out);
        fputc('\n', out);
    }
    fprintf(out, ".SH FILES\n.TP\n~/.webaccel/config\nDefaults for any option, one \"name = value\" a line; the environment "
                 "(WEBACCEL_NAME) and flags win over it.\n");
}

static void bash(FILE *out)
{
    fprintf(out, "_webaccel() {\n  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd=${COMP_WORDS[1]}\n"
                 "  if [ \"$COMP_CWORD\" = 1 ]; then COMPREPLY=($(compgen -W \"");
    for (const cli_command *const *c = cli_commands; *c; c++) fprintf(out, "%s ", (*c)->name);
    fprintf(out, "\" -- \"$cur\")); return; fi\n  case $prev in\n");
    for (const cli_command *const *c = cli_commands; *c; c++)
        for (const cli_option *o = (*c)->options; o && o->name; o++)
            if (o->words) fprintf(out, "  --%s) COMPREPLY=($(compgen -W \"%s\" -- \"$cur\")); return;;\n", o->name, o->words);
    fprintf(out, "  esac\n  case $cmd in\n");
    for (const cli_command *const *c = cli_commands; *c; c++) {
        fprintf(out, "  %s) opts=\"", (*c)->name);
        for (const cli_option *o = (*c)->options; o && o->name; o++) fprintf(out, "--%s ", o->name);
        for (const cli_option *o = cli_global_options; o->name; o++) fprintf(out, "--%s ", o->name);
        fprintf(out, "\";;\n");
    }
    fprintf(out, "  esac\n  if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W \"$opts\" -- \"$cur\")); else COMPREPLY=($(compgen -f -- \"$cur\")); fi\n"
                 "}\ncomplete -o filenames -F _webaccel webaccel\n");
}

static void fish(FILE *out)
{
    for (const cli_command *const *c = cli_commands; *c; c++) {
        fprintf(out, "complete -c webaccel -n __fish_use_subcommand -f -a %s -d '%s'\n", (*c)->name, (*c)->summary);
        for (const cli_option *o = (*c)->options; o && o->name; o++)
            fprintf(out, "complete -c webaccel -n '__fish_seen_subcommand_from %s' -l %s %s%s%s%s\n", (*c)->name, o->name, o->arg ? "-r " : "",
                    o->words ? "-a '" : "", o->words ? o->words : "", o->words ? "'" : "");
    }
    for (const cli_option *o = cli_global_options; o->name; o++) fprintf(out, "complete -c webaccel -l %s%s\n", o->name, o->arg ? " -r" : "");
}

int cli_print_completion(const char *shell, FILE *out)
{
    if (strcmp(shell, "bash") == 0) bash(out);
    else if (strcmp(shell, "zsh") == 0) {
        fprintf(out, "#compdef webaccel\nautoload -U +X bashcompinit && bashcompinit\n");
        bash(out);
    } else if (strcmp(shell, "fish") == 0) fish(out);
    else return CLI_EXIT_USAGE;
    return 0;
}
