/* The optional config file, $WEBACCEL_HOME/config: "name = value" lines, # comments. Read once. */
#include "cli.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct setting {
    struct setting *next;
    char *value;
    char name[];
} setting;

/* Read-only after the first call; the command is single-threaded where it parses. */
static setting *settings;
static bool loaded;

static char *trim(char *s)
{
    while (isspace((unsigned char)*s)) s++;
    for (size_t n = strlen(s); n && isspace((unsigned char)s[n - 1]);) s[--n] = 0;
    return s;
}

static void add(const char *name, const char *value)
{
    size_t n = strlen(name) + 1, m = strlen(value) + 1;
    setting *s = malloc(sizeof *s + n + m);
    if (!s) return;
    memcpy(s->name, name, n);
    s->value = s->name + n;
    memcpy(s->value, value, m);
    s->next = settings;
    settings = s;
}

static void load(void)
{
    char path[4096];
    const char *home = getenv("WEBACCEL_HOME"), *user = getenv("HOME");
    int n = home && *home ? snprintf(path, sizeof path, "%s/config", home) : snprintf(path, sizeof path, "%s/.webaccel/config", user ? user : "");
    loaded = true;
    FILE *f = n > 0 && (size_t)n < sizeof path ? fopen(path, "r") : NULL;
    if (!f) return;
    char line[4096];
    for (int number = 1; fgets(line, sizeof line, f); number++) {
        char *s = trim(line);
        if (*s == 0 || *s == '#') continue;
        char *eq = strchr(s, '=');
        if (!eq) {
            fprintf(stderr, "webaccel: %s:%d: expected \"name = value\", ignored\n", path, number);
            continue;
        }
        *eq = 0;
        add(trim(s), trim(eq + 1));
    }
    fclose(f);
}

const char *cli_config(const char *key)
{
    if (!loaded) load();
    for (const setting *s = settings; s; s = s->next)
        if (strcmp(s->name, key) == 0) return s->value;
    return NULL;
}

void cli_config_free(void)
{
    for (setting *s = settings, *next; s; s = next) {
        next = s->next;
        free(s);
    }
    settings = NULL;
}
