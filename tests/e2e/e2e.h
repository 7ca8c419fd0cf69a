/* What the end-to-end tests share: a real browser started directly on a URL, ended with its group. */
#ifndef WA_E2E_H
#define WA_E2E_H
#include "base/os.h"
#include "bridge/bridge.h"
#include <stdio.h>
#include <stdlib.h>

typedef struct e2e_browser {
    int pid;
    char *dir;
} e2e_browser;

#define CHECK(s, err) \
    do { \
        if ((s) != WA_OK) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, (err).message); return 1; } \
    } while (0)

/* "chromium" or "firefox"; NULL path when it is not installed. wa__free it. */
char *e2e_find(const char *name);
/* Starts it headless on url with a temporary profile and its software adapter allowed. */
int e2e_start(const char *name, const char *url, e2e_browser *out);
bool e2e_alive(void *browser);
void e2e_stop(e2e_browser *b);

#endif
