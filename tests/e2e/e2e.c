/* See e2e.h. */
#include "e2e.h"
#include "base/str.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

char *e2e_find(const char *name)
{
    if (strcmp(name, "chromium") != 0) {
        char *esr = wa__os_which("firefox-esr");
        return esr ? esr : wa__os_which("firefox");
    }
    char *c = wa__os_which("chromium");
    return c ? c : wa__os_which("google-chrome");
}

int e2e_start(const char *name, const char *url, e2e_browser *out)
{
    wa_error err;
    char *path = e2e_find(name), *profile = NULL, *dir = NULL;
    if (!path) return -1;
    CHECK(wa__os_temp_dir("/tmp", "wa-e2e-", &dir, &err), err);
    bool chromium = strcmp(name, "chromium") == 0;
    profile = wa__format(chromium ? "--user-data-dir=%s" : "%s", dir);
    if (!chromium) {
        char *prefs = wa__path_join(dir, "user.js");
        static const char text[] = "user_pref('dom.webgpu.enabled', true);\nuser_pref('dom.webgpu.workers.enabled', true);\n"
                                   "user_pref('gfx.webgpu.ignore-blocklist', true);\nuser_pref('browser.shell.checkDefaultBrowser', false);\n"
                                   "user_pref('datareporting.policy.dataSubmissionEnabled', false);\nuser_pref('app.update.enabled', false);\n";
        CHECK(wa__os_write_file(prefs, text, sizeof text - 1, 0600, &err), err);
        wa__free(prefs);
    }
    int pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        setenv("TMPDIR", dir, 1);
        setenv("HOME", dir, 1);
        setenv("XDG_CACHE_HOME", dir, 1);
        int null = open(getenv("E2E_LOG") ? getenv("E2E_LOG") : "/dev/null", O_RDWR | O_CREAT, 0600);
        dup2(null, 1), dup2(null, 2);
        if (chromium) execl(path, path, "--headless", "--no-sandbox", "--enable-unsafe-webgpu", "--no-first-run", "--disable-extensions", profile, url,
                           (char *)NULL);
        else execl(path, path, "-headless", "-no-remote", "-profile", profile, url, (char *)NULL);
        _exit(127);
    }
    setpgid(pid, pid);
    wa__free(path);
    wa__free(profile);
    *out = (e2e_browser){pid, dir};
    return 0;
}

bool e2e_alive(void *browser)
{
    int status;
    return waitpid(((e2e_browser *)browser)->pid, &status, WNOHANG) == 0;
}

void e2e_stop(e2e_browser *b)
{
    kill(-b->pid, SIGTERM);
    for (int i = 0; i < 30 && kill(-b->pid, 0) == 0; i++) {
        waitpid(-b->pid, NULL, WNOHANG);
        wa__os_sleep_ms(100);
    }
    kill(-b->pid, SIGKILL);
    waitpid(-b->pid, NULL, WNOHANG);
    wa_error err;
    for (int i = 0; i < 20 && wa__os_remove_tree(b->dir, &err) != WA_OK; i++) wa__os_sleep_ms(100);
    wa__free(b->dir);
}
