/* What the files of src/browser share: processes, instance folders, the control link. */
#ifndef WA_BROWSER_INT_H
#define WA_BROWSER_INT_H
#include <jansson.h>
#include <sys/types.h>
#include "base/log.h"
#include "base/os.h"
#include "base/str.h"
#include "browser/browser.h"

/* --- browser_process.c: one child process in its own session ---------------------------------- */
typedef struct wa_process {
    pid_t pid;          /* 0: none, or already reaped */
    pid_t watcher;      /* the shell that ends the group when we are gone; 0: none */
    int watcher_fd;     /* write end of its pipe */
    bool exited;
    int exit_code;
    uint64_t start_time; /* of pid, /proc/<pid>/stat field 22; 0 unknown */
} wa_process;

typedef struct wa_spawn {
    char *const *argv, *const *envp; /* NULL-terminated; argv[0] is the program's path */
    int fd_out;   /* stdout and stderr; -1: /dev/null */
    int fd3, fd4; /* given to the child as 3 and 4; -1: none */
    bool drop;    /* become uid, gid (we are root) */
    uid_t uid;
    gid_t gid;
    const char *remove_dir, *remove_dir2; /* what the watcher removes if we die; NULL: no watcher, "" none */
} wa_spawn;
/* Forks and executes: no descriptor but 0 to 4 is inherited, signals are at their defaults, a
 * failing exec is reported. */
wa_status wa__process_spawn(const wa_spawn *s, wa_process *out, wa_error *err) WA_MUST_CHECK;
/* Reaps if it has ended (its whole group is killed then). True while it runs. */
bool wa__process_poll(wa_process *p);
/* Waits at most limit_ms; true once ended. */
bool wa__process_wait(wa_process *p, uint32_t limit_ms);
/* SIGTERM, term_ms, SIGKILL to the group, reap; dismisses the watcher. */
void wa__process_end(wa_process *p, uint32_t term_ms);
/* Start time of a living process, 0 when there is none (a zombie counts as none). */
uint64_t wa__process_start_time(pid_t pid);
/* Runs argv at most limit_ms, its stdout into out; WA_TIMEOUT, or WA_BROWSER when it fails. */
wa_status wa__process_output(char *const *argv, uint32_t limit_ms, wa_buf *out, wa_error *err) WA_MUST_CHECK;
/* A pipe with both ends close-on-exec and above 9. */
wa_status wa__process_pipe(int fds[2], wa_error *err) WA_MUST_CHECK;

/* --- browser_instance.c: the folders of one launch --------------------------------------------- */
typedef struct wa_instance {
    char *dir;     /* <home>/tmp/b-XXXXXX */
    char *tmp;     /* TMPDIR of the browser: <dir>/t, or a short path under /tmp when that is too long */
    char *extra;   /* that short path's folder, to be removed too; NULL when inside dir */
    char *profile; /* in dir, or <home>/browsers/<id>/profile */
    char *log;     /* <dir>/log: the browser's stdout and stderr */
    wa_lock lock;  /* of a persistent profile; fd -1: temporary */
    bool drop;     /* the browser runs as uid, gid */
    uid_t uid;
    gid_t gid;
} wa_instance;
wa_status wa__instance_create(const char *home, const char *id, bool temporary, wa_instance *out, wa_error *err) WA_MUST_CHECK;
/* Notes pid and start time beside ours, for a later sweep. */
wa_status wa__instance_mark(const wa_instance *in, const wa_process *p, wa_error *err) WA_MUST_CHECK;
/* The last n bytes of the log as one printable line. */
void wa__instance_log_tail(const wa_instance *in, char *out, size_t n);
/* Removes the folders (a few tries) and frees; a persistent profile stays. */
void wa__instance_done(wa_instance *in);

/* --- browser_link.c: JSON messages over a pipe pair or a WebSocket ------------------------------ */
typedef struct wa_link {
    int read_fd, write_fd; /* the same for a socket; -1: closed */
    bool websocket;
    uint64_t next_id;
    wa_buf in;       /* bytes received, not yet consumed */
    size_t consumed; /* of them */
    wa_buf partial;  /* fragments of one WebSocket message */
    /* Called with each event (a message without an answered id). */
    void (*on_event)(void *user, const char *method, const json_t *params);
    void *user;
    bool (*cancelled)(void *user); /* polled while waiting; may be NULL */
    void *cancelled_user;
} wa_link;
void wa__link_init_pipe(wa_link *l, int read_fd, int write_fd);
/* Connects to ws://127.0.0.1:port/path and upgrades. */
wa_status wa__link_connect(wa_link *l, uint16_t port, const char *path, uint32_t limit_ms, wa_error *err) WA_MUST_CHECK;
/* Sends {id, method, params, sessionId?} and waits for its answer; *result (may be NULL) is new.
 * params is taken. Events met on the way go to on_event. */
wa_status wa__link_call(wa_link *l, const char *session, const char *method, json_t *params, uint32_t limit_ms,
                        json_t **result, wa_error *err) WA_MUST_CHECK;
/* Reads what has come without waiting; WA_BROWSER when the other side closed. */
wa_status wa__link_drain(wa_link *l, wa_error *err) WA_MUST_CHECK;
void wa__link_done(wa_link *l); /* closes the descriptors */

/* --- browser_flags.c: command lines, environment, preferences ----------------------------------- */
typedef struct wa_strings { /* a NULL-terminated growing list */
    char **items;
    size_t count, cap;
    bool failed; /* memory ran out; checked once at the end */
} wa_strings;
void wa__strings_add(wa_strings *s, const char *format, ...) WA_PRINTF(2, 3);
void wa__strings_free(wa_strings *s);
typedef struct wa_flags_in {
    const wa_browser_options *o;
    const wa_instance *in;
    bool no_sandbox;
    bool small_shm; /* /dev/shm is too small to hold buffers */
} wa_flags_in;
/* Chromium's arguments, argv[0] first, one --enable-features and one --disable-features. */
void wa__flags_chromium(const wa_flags_in *f, wa_strings *argv);
void wa__flags_firefox(const wa_flags_in *f, wa_strings *argv);
/* Our environment less what steers loaders and snaps, plus TMPDIR, HOME, the layer and drivers. */
void wa__flags_env(const wa_flags_in *f, const char *layer_share, wa_strings *env);
/* Text of user.js. */
wa_status wa__flags_user_js(const wa_browser_step *step, wa_buf *out, wa_error *err) WA_MUST_CHECK;
/* Writes the layer's manifest under <dir>/share/vulkan/implicit_layer.d; *share is that share
 * folder. WA_NOT_FOUND when the layer's library is not beside us. */
wa_status wa__flags_layer(const char *dir, char **share, wa_error *err) WA_MUST_CHECK;

/* --- browser_launch.c, browser.c ---------------------------------------------------------------------------------- */
struct wa_browser {
    wa_browser_family family;
    char id[32], version[64];
    wa_instance in;
    wa_process process;
    wa_link link;
    char session[64]; /* CDP: of the page; BiDi: empty */
    char target[128]; /* CDP target id; BiDi browsing context */
    bool page_crashed, no_sandbox, gone;
    double start_ms;
};
/* browser_chromium.c, browser_firefox.c: connect once the process is there. */
wa_status wa__chromium_attach(wa_browser *b, uint32_t limit_ms, wa_error *err) WA_MUST_CHECK;
wa_status wa__chromium_navigate(wa_browser *b, const char *url, uint32_t limit_ms, wa_error *err) WA_MUST_CHECK;
wa_status wa__firefox_attach(wa_browser *b, uint32_t limit_ms, wa_error *err) WA_MUST_CHECK;
wa_status wa__firefox_navigate(wa_browser *b, const char *url, uint32_t limit_ms, wa_error *err) WA_MUST_CHECK;
/* wrapped: an expression whose (awaited) value is a string or undefined; *text, "null" for undefined, is wa__free's. */
wa_status wa__chromium_evaluate(wa_browser *b, const char *wrapped, uint32_t limit_ms, char **text, wa_error *err) WA_MUST_CHECK;
wa_status wa__firefox_evaluate(wa_browser *b, const char *wrapped, uint32_t limit_ms, char **text, wa_error *err) WA_MUST_CHECK;
wa_status wa__chromium_gpu_pid(wa_browser *b, uint32_t limit_ms, int *pid, wa_error *err) WA_MUST_CHECK;

/* browser_version.c: fills the versions of the usable ones; cache may be NULL. */
void wa__browser_versions(wa_browser_list *l, const char *cache);
void wa__browser_version_parse(const char *text, char *out, size_t n); /* "" when there is none */

/* browser_ladder.c: the remembered step. */
char *wa__ladder_recall(const char *home, const char *key); /* its name, NULL; wa__free it */
void wa__ladder_remember(const char *home, const char *key, const char *step);

static inline uint32_t wa__ms_left(double end_ms)
{
    double left = end_ms - wa__os_now_ms();
    return left <= 0 ? 0 : left > 3600000 ? 3600000 : (uint32_t)left;
}

#endif
