/* Browsers as compute workers: find them, launch them, open a page, watch, end. Knows nothing of
 * tensors: the page it opens talks to the bridge by its own WebSocket.
 *
 *   wa__browser_discover -> list of browsers     wa__browser_machine_scan -> GPUs, Vulkan drivers
 *   wa__browser_launch_ladder: for each flag set: launch, probe (the caller's), keep or end
 *   wa__browser_navigate, _evaluate, _ping, _poll; wa__browser_close ends it and leaves nothing
 *
 * Chromium family: CDP over a pipe (no port; closing the pipe ends it). Firefox: WebDriver BiDi.
 * Every browser runs in its own session (process group), with TMPDIR in an instance folder under
 * $WEBACCEL_HOME/tmp, watched by a shell that kills the group and removes the folder once our
 * process is gone, however it went. A wa_browser belongs to one thread at a time. */
#ifndef WA_BROWSER_H
#define WA_BROWSER_H
#include "base/error.h"
#include "base/mem.h"

typedef enum wa_browser_family {
    WA_BROWSER_NONE = 0,
    WA_BROWSER_CHROME,
    WA_BROWSER_CHROMIUM,
    WA_BROWSER_EDGE,
    WA_BROWSER_FIREFOX,
    WA_BROWSER_FAMILY_COUNT
} wa_browser_family;

/* "chrome", "chromium", "edge", "firefox"; "none" otherwise. */
const char *wa__browser_family_name(wa_browser_family f);
/* By that name; WA_BROWSER_NONE when unknown. */
wa_browser_family wa__browser_family_find(const char *name);

/* --- discovery (browser_find.c) --------------------------------------------------------------- */
typedef struct wa_browser_info {
    wa_browser_family family;
    char id[32];        /* a folder name, stable: "chromium", "chrome-beta", "firefox-esr", "chromium-1a2b3c4d" */
    char name[48];      /* "Chromium", "Google Chrome Beta" */
    char channel[16];   /* "stable", "beta", "dev", "canary", "esr", "nightly", "headless-shell" */
    char version[48];   /* "156.0.8078.79"; empty when the program did not say in time */
    char found_by[48];  /* "CHROME", "PATH (google-chrome)", "/opt/google/chrome", "desktop file" */
    char unusable[160]; /* why it cannot be used (snap, flatpak); empty when it can */
    char *path;         /* what was found; owned by the list */
    char *exec;         /* the program started: path, or the binary behind its wrapper script; owned */
} wa_browser_info;

typedef struct wa_browser_list {
    wa_browser_info *items;
    size_t count;
} wa_browser_list;

/* Where to look; tests point it at a made-up machine. Strings are borrowed, any may be NULL. */
typedef struct wa_browser_places {
    const char *root;        /* put before fixed paths; "" for this machine */
    const char *path;        /* $PATH */
    const char *home;        /* the user's home folder */
    const char *chrome_path; /* $CHROME_PATH */
    const char *chrome;      /* $CHROME */
    const char *webnn;       /* $WEBACCEL_CHROMIUM_WEBNN */
    const char *cache;       /* $WEBACCEL_HOME, for the versions' cache; NULL: no cache */
    bool skip_versions;      /* run no program */
} wa_browser_places;

/* This machine's; *own holds what must be freed with wa__free after use. */
void wa__browser_places_here(wa_browser_places *out, char **own);

/* Every browser found, usable ones first in order of discovery; a program reached by two ways is
 * listed once. places NULL: this machine. Versions come from `--version` (3 s at most), cached in
 * <cache>/browsers/versions.json by path, mtime and size. None found is WA_OK with count 0. */
wa_status wa__browser_discover(const wa_browser_places *places, wa_browser_list *out, wa_error *err) WA_MUST_CHECK;
void wa__browser_list_free(wa_browser_list *l);
/* The usable browser that `name` means: an id, a family, or a path of one in the list. "chrome"
 * falls to Chromium where Chrome is absent only if or_relative. NULL when there is none. */
const wa_browser_info *wa__browser_pick(const wa_browser_list *l, const char *name, bool or_relative);

/* The original's choice of browser by model type and target, extended by what else could run it:
 * audio on WebGPU: Firefox first; text kinds on WebNN: Edge; vision on WebGPU and multimodal:
 * Chrome; else WebNN: Edge, WebGPU: Chrome. model_type: "audio", "text", "text_embedding",
 * "text_generation", "text2text", "vision", "multimodal", or anything; target: "webgpu", "webnn".
 * Fills out[] with every family that can serve the target, best first; returns how many. */
size_t wa__browser_priors(const char *model_type, const char *target, wa_browser_family out[WA_BROWSER_FAMILY_COUNT]);

/* --- the machine (browser_machine.c) ---------------------------------------------------------- */
#define WA_BROWSER_GPUS_MAX 16
typedef struct wa_browser_gpu {
    uint16_t vendor, device; /* PCI ids; 0 when unknown */
    char name[64];           /* "NVIDIA 10de:2330" */
} wa_browser_gpu;

typedef struct wa_browser_machine {
    wa_browser_gpu gpus[WA_BROWSER_GPUS_MAX]; /* hardware that a driver serves; virtual displays left out */
    size_t gpu_count;
    bool has_nvidia, has_amd, has_intel, has_wsl; /* has_wsl: /dev/dxg */
    bool has_display;          /* X11 or Wayland session */
    char driver[64];           /* "NVIDIA 570.86.15"; empty when unknown */
    char icds[256];            /* names of Vulkan drivers found, comma-separated */
    char vk_driver_files[256]; /* what VK_DRIVER_FILES must say, "" when the loader finds all itself */
    char lavapipe[256];        /* the software driver's JSON, "" when absent */
} wa_browser_machine;

/* Reads /dev, /proc, /sys and Vulkan's JSON files below root (NULL or "": this machine); loads no
 * GPU library. Never fails: what cannot be read is absent. */
void wa__browser_machine_scan(const char *root, wa_browser_machine *out);

/* --- the ladder of flag sets (browser_ladder.c) ----------------------------------------------- */
typedef struct wa_browser_step {
    const char *name;         /* "defaults", "unsafe-webgpu", "vulkan", "headless-server", "software" */
    const char *flags[12];    /* NULL-terminated switches; for Firefox: none */
    const char *features;     /* for --enable-features, comma-separated; may be NULL */
    const char *dawn;         /* for --enable-dawn-features; may be NULL */
    const char *prefs[8];     /* Firefox: "name=value" lines for user.js, NULL-terminated */
    bool layer;               /* put our headless-surface Vulkan layer in the browser's way */
    bool icd;                 /* set VK_DRIVER_FILES as the machine's scan found it */
    bool software;            /* expected to give a software adapter */
    uint32_t limit_ms;        /* for start and probe together */
} wa_browser_step;
#define WA_BROWSER_STEPS_MAX 8

typedef struct wa_browser_wants {
    const wa_browser_machine *machine; /* borrowed; NULL: scan this machine */
    bool hardware; /* hardware adapters are welcome */
    bool software; /* a software adapter was asked for by name */
    bool webnn;    /* also turn WebNN on */
} wa_browser_wants;

/* The steps to try for a family, best first; 0 when the machine has no GPU and software is not
 * wanted. Strings are static. */
size_t wa__browser_ladder(wa_browser_family f, const wa_browser_wants *wants, wa_browser_step steps[WA_BROWSER_STEPS_MAX]);

/* --- launching (browser_launch.c) ------------------------------------------------------------- */
typedef struct wa_browser wa_browser;

typedef struct wa_browser_options {
    const wa_browser_info *info; /* borrowed during the call */
    const char *home;            /* $WEBACCEL_HOME; NULL: wa__os_home */
    const char *url;             /* opened once started; NULL: about:blank. Never put on the command line */
    const char *start_url;       /* the first page, on the command line, so nothing secret; NULL: about:blank */
    bool headful;                /* default: headless */
    bool temporary_profile;      /* default: the persistent one, a temporary one when it is in use */
    bool required_sandbox;       /* fail instead of starting without Chromium's sandbox */
    const wa_browser_step *step; /* borrowed; NULL: no extra flags */
    const wa_browser_machine *machine; /* borrowed; for VK_DRIVER_FILES; may be NULL */
    uint32_t limit_ms;           /* to be started and reachable; 0: 30,000 */
    bool (*cancelled)(void *user); /* polled while waiting; may be NULL */
    void *cancelled_user;
} wa_browser_options;

/* Starts a browser and connects. WA_BROWSER with the reason (end of its stderr) when it does not
 * come up, WA_TIMEOUT, WA_CANCELLED; nothing is left behind then. */
wa_status wa__browser_launch(const wa_browser_options *o, wa_browser **out, wa_error *err) WA_MUST_CHECK;

typedef struct wa_browser_attempt { /* what the probe says of a step */
    bool accepted;
    char adapter[128]; /* for the log and memory: what the page saw */
    char reason[256];  /* why not, when not accepted */
} wa_browser_attempt;
/* Called once the browser is up and at options.url (navigation asked for). Must return within
 * limit_ms. A status other than WA_OK counts as not accepted, WA_CANCELLED ends the ladder. */
typedef wa_status (*wa_browser_probe)(void *user, wa_browser *b, const wa_browser_step *step, uint32_t limit_ms,
                                      wa_browser_attempt *attempt, wa_error *err);

/* Tries the ladder's steps in order, the one remembered for this browser, version and driver first,
 * each bounded; the first accepted stays open in *out and is remembered in
 * <home>/browsers/ladder.json. *used (may be NULL) is its step. All refused: WA_ADAPTER, the message naming
 * each step and its reason. o->step is ignored. */
wa_status wa__browser_launch_ladder(const wa_browser_options *o, const wa_browser_wants *wants, wa_browser_probe probe,
                                    void *user, wa_browser **out, wa_browser_step *used, wa_error *err) WA_MUST_CHECK;

/* Opens a URL in the browser's page; returns once the navigation is committed. */
wa_status wa__browser_navigate(wa_browser *b, const char *url, uint32_t limit_ms, wa_error *err) WA_MUST_CHECK;
/* Evaluates an expression (promises awaited) in the page; *json is the value as JSON text, wa__free it. */
wa_status wa__browser_evaluate(wa_browser *b, const char *expression, uint32_t limit_ms, char **json, wa_error *err) WA_MUST_CHECK;
/* Does the browser answer? Does the page's main thread? Each within limit_ms; a dead browser is
 * WA_BROWSER. A page that hangs leaves *page_ok false and WA_OK. */
wa_status wa__browser_ping(wa_browser *b, uint32_t limit_ms, bool *browser_ok, bool *page_ok, wa_error *err) WA_MUST_CHECK;
/* Stops a script that hangs the page. WA_UNSUPPORTED on Firefox: close it and launch again. */
wa_status wa__browser_interrupt(wa_browser *b, uint32_t limit_ms, wa_error *err) WA_MUST_CHECK;

typedef struct wa_browser_state {
    bool running;
    bool page_crashed;   /* the page's renderer crashed; navigate again to recover */
    int exit_code;       /* exit code, or 128 + signal; -1 until the process has ended */
    bool temporary_profile, no_sandbox;
    int pid;             /* of the browser's main process, its process group */
    double start_ms;     /* from fork to connected */
} wa_browser_state;
/* Looks without waiting: reads pending events, reaps. */
void wa__browser_poll(wa_browser *b, wa_browser_state *out);
/* "Chromium/156.0.8078.79" as the browser itself says; borrowed. */
const char *wa__browser_version(const wa_browser *b);
const char *wa__browser_id(const wa_browser *b); /* borrowed */
/* Process id of the GPU process, for a kill when a shader hangs; WA_UNSUPPORTED on Firefox. */
wa_status wa__browser_gpu_pid(wa_browser *b, uint32_t limit_ms, int *pid, wa_error *err) WA_MUST_CHECK;

/* Ends it: asks, SIGTERM, SIGKILL to the group, waits; about 2 s at most. Removes its temporary
 * files and frees b. NULL is legal. */
void wa__browser_close(wa_browser *b);

/* --- leftovers (browser_instance.c) ----------------------------------------------------------- */
/* Ends and removes what dead processes of ours left under <home>/tmp: a browser is killed only if
 * its pid still has the start time noted in its marker. Returns how many folders went. Called by
 * every launch; never fails. */
size_t wa__browser_sweep(const char *home);

#endif
