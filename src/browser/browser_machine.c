/* What GPUs and Vulkan drivers this machine has, without loading any. In: /dev, /proc, /sys and
 * Vulkan's JSON files. Out: wa_browser_machine. Called by doctor and browser_ladder.c. */
#include "browser/browser_int.h"
#include <stdio.h>
#include <stdlib.h>

#define VENDOR_NVIDIA 0x10deu
#define VENDOR_AMD    0x1002u
#define VENDOR_INTEL  0x8086u
#define VENDOR_APPLE  0x106bu
#define VENDOR_QCOM   0x5143u

static bool exists(const char *root, const char *path)
{
    wa_file_info info;
    char *p = wa__format("%s%s", root, path);
    bool yes = p && wa__os_stat(p, true, &info, NULL) == WA_OK && info.kind != WA_FILE_NONE;
    wa__free(p);
    return yes;
}

/* First n-1 bytes of a small file, "" when unreadable. */
static void read_text(const char *root, const char *path, char *out, size_t n)
{
    out[0] = 0;
    char *p = wa__format("%s%s", root, path);
    FILE *f = p ? fopen(p, "re") : NULL; /* files of /proc and /sys tell no size */
    if (f) {
        size_t r = fread(out, 1, n - 1, f);
        out[r] = 0;
        fclose(f);
    }
    wa__free(p);
}

static uint16_t read_hex(const char *root, const char *folder, const char *name)
{
    char path[256], text[32];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return 0;
    read_text(root, path, text, sizeof text);
    unsigned long v = strtoul(text, NULL, 16);
    return v > 0xffff ? 0 : (uint16_t)v;
}

static void add_gpu(wa_browser_machine *m, uint16_t vendor, uint16_t device)
{
    const char *maker = vendor == VENDOR_NVIDIA ? "NVIDIA" : vendor == VENDOR_AMD ? "AMD" : vendor == VENDOR_INTEL ? "Intel"
                        : vendor == VENDOR_QCOM ? "Qualcomm" : vendor == VENDOR_APPLE ? "Apple" : "GPU";
    m->has_nvidia = m->has_nvidia || vendor == VENDOR_NVIDIA;
    m->has_amd = m->has_amd || vendor == VENDOR_AMD;
    m->has_intel = m->has_intel || vendor == VENDOR_INTEL;
    if (m->gpu_count == WA_BROWSER_GPUS_MAX) return;
    wa_browser_gpu *g = &m->gpus[m->gpu_count++];
    *g = (wa_browser_gpu){.vendor = vendor, .device = device};
    (void)snprintf(g->name, sizeof g->name, "%s %04x:%04x", maker, vendor, device);
}

static bool is_virtual(uint16_t vendor)
{
    /* Displays of QEMU (Bochs, QXL), VMware, VirtualBox, Cirrus, Hyper-V, ASPEED and Matrox BMCs. */
    static const uint16_t ids[] = {0x1234, 0x1b36, 0x15ad, 0x80ee, 0x1013, 0x1414, 0x1a03, 0x102b, 0};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (vendor == ids[i]) return true;
    return false;
}

/* /sys/class/drm/cardN, N alone: connectors are cardN-HDMI-1. */
static void scan_drm(const char *root, wa_browser_machine *m)
{
    char **names = NULL;
    size_t count = 0;
    char *folder = wa__format("%s/sys/class/drm", root);
    if (!folder || wa__os_list(folder, &names, &count, NULL) != WA_OK) count = 0;
    wa__free(folder);
    for (size_t i = 0; i < count; i++) {
        if (strncmp(names[i], "card", 4) || strchr(names[i], '-') || strlen(names[i]) > 20) continue;
        char device[64];
        (void)snprintf(device, sizeof device, "/sys/class/drm/%s/device", names[i]);
        uint16_t vendor = read_hex(root, device, "vendor");
        if (!is_virtual(vendor)) add_gpu(m, vendor, read_hex(root, device, "device"));
    }
    wa__os_list_free(names, count);
}

/* NVIDIA's own driver shows no DRM card in many containers: /dev/nvidiaN and /proc say it. */
static void scan_nvidia(const char *root, wa_browser_machine *m)
{
    char text[512];
    read_text(root, "/proc/driver/nvidia/version", text, sizeof text);
    const char *p = strstr(text, "Kernel Module");
    size_t skip = p ? strcspn(p, "0123456789") : 0;
    if (p && p[skip]) {
        p += skip;
        (void)snprintf(m->driver, sizeof m->driver, "NVIDIA %.*s", (int)strspn(p, "0123456789."), p);
    }
    size_t drm = 0;
    for (size_t i = 0; i < m->gpu_count; i++) drm += m->gpus[i].vendor == VENDOR_NVIDIA;
    size_t seen = 0;
    for (unsigned i = 0; i < WA_BROWSER_GPUS_MAX; i++) {
        char path[32];
        (void)snprintf(path, sizeof path, "/dev/nvidia%u", i);
        if (exists(root, path) && ++seen > drm) add_gpu(m, VENDOR_NVIDIA, 0);
    }
}

/* Drivers the loader finds by itself stand in these; the last two are where GPU containers mount
 * NVIDIA's, which it does not look into. */
static const char *const icd_folders[] = {"/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/usr/share/vulkan/icd.d",
                                          "/usr/local/etc/vulkan/icd.d", "/usr/local/nvidia/share/vulkan/icd.d",
                                          "/usr/local/nvidia/vulkan/icd.d"};
#define ICD_FOLDERS_SEARCHED 4u

static void scan_icds(const char *root, wa_browser_machine *m)
{
    bool nvidia_found = false;
    for (size_t d = 0; d < sizeof icd_folders / sizeof *icd_folders; d++) {
        char **names = NULL;
        size_t count = 0;
        char *folder = wa__format("%s%s", root, icd_folders[d]);
        if (!folder || wa__os_list(folder, &names, &count, NULL) != WA_OK) count = 0;
        for (size_t i = 0; i < count; i++) {
            if (!wa__str_ends(wa__str(names[i]), ".json")) continue;
            size_t used = strlen(m->icds);
            (void)snprintf(m->icds + used, sizeof m->icds - used, "%s%.*s", used ? "," : "", (int)strcspn(names[i], "."), names[i]);
            bool nvidia = strstr(names[i], "nvidia") != NULL;
            if (strncmp(names[i], "lvp", 3) == 0 && !m->lavapipe[0])
                (void)snprintf(m->lavapipe, sizeof m->lavapipe, "%s/%s", folder, names[i]);
            if (nvidia && d >= ICD_FOLDERS_SEARCHED && !nvidia_found)
                (void)snprintf(m->vk_driver_files, sizeof m->vk_driver_files, "%s/%s", folder, names[i]);
            nvidia_found = nvidia_found || nvidia;
        }
        wa__os_list_free(names, count);
        wa__free(folder);
    }
    if (strlen(m->vk_driver_files) + 1 >= sizeof m->vk_driver_files) m->vk_driver_files[0] = 0; /* cut: useless */
    if (strlen(m->lavapipe) + 1 >= sizeof m->lavapipe) m->lavapipe[0] = 0;
}

void wa__browser_machine_scan(const char *root, wa_browser_machine *out)
{
    const char *r = root ? root : "";
    wa_browser_machine m = {0};
    scan_drm(r, &m);
    scan_nvidia(r, &m);
    scan_icds(r, &m);
    m.has_wsl = exists(r, "/dev/dxg");
    if (m.has_wsl && m.gpu_count == 0) add_gpu(&m, 0, 0);
    const char *x = getenv("DISPLAY"), *w = getenv("WAYLAND_DISPLAY");
    m.has_display = (x && *x) || (w && *w);
    *out = m;
}
