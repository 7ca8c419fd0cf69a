/* Both demo models against their references (tests/fixtures/reference): onnxruntime for L3's ONNX,
 * PyTorch for L6's folder, through the public API.
 * usage: models_grid cpu|chromium|firefox|webnn      WA_CHECK_FULL=1: the whole grid in browsers too
 * Checks each case: cosine >= 0.99999, max abs difference <= 1e-4, predicted == actual bytes, ran
 * where it was told to, no CPU segment on a GPU target. */
#include "webaccel/webaccel.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const cases[] = {"b1_s2", "b1_s7", "b1_s64", "b1_s128", "b1_s256", "b3_mixed", "b32_s128"};

static bool exists(const char *path) { return access(path, R_OK) == 0; }

/* ids (u16) to the model's three i64 inputs. */
static void expand(const wa_tensor_type *t, const void *data, int64_t *ids, int64_t *mask, int64_t *types)
{
    int64_t n = t->dims[0] * t->dims[1];
    for (int64_t i = 0; i < n; i++) {
        uint16_t id;
        memcpy(&id, (const char *)data + i * 2, 2);
        ids[i] = id;
        mask[i] = id != 0;
        types[i] = 0;
    }
}

static int compare(const char *name, const wa_named_tensor *got, const float *want, int64_t rows, int64_t width)
{
    double worst = 0, cosine = 1;
    if (!got || got->type.rank != 2 || got->type.dims[0] != rows || got->type.dims[1] != width) {
        fprintf(stderr, "%s: the output has the wrong shape\n", name);
        return 1;
    }
    for (int64_t r = 0; r < rows; r++) {
        double xx = 0, yy = 0, xy = 0;
        for (int64_t i = 0; i < width; i++) {
            double x = (double)((const float *)got->data)[r * width + i], y = (double)want[r * width + i];
            xx += x * x;
            yy += y * y;
            xy += x * y;
            if (!(fabs(x - y) <= worst)) worst = fabs(x - y);
        }
        double c = xy / sqrt(xx * yy);
        if (!(c >= cosine)) cosine = c;
    }
    bool ok = cosine >= 0.99999 && worst <= 1e-4;
    printf("%-28s cosine %.8f  max abs %.2e  %s\n", name, cosine, worst, ok ? "ok" : "WRONG");
    return !ok;
}

static int check_where(const char *name, const wa_result *r, const char *target)
{
    double predicted = -1, actual = -2, segments = 0;
    bool bytes = wa_result_number(r, "memory_predicted_bytes", &predicted) && wa_result_number(r, "memory_actual_bytes", &actual);
    wa_result_number(r, "cpu_segments", &segments);
    if (!bytes || predicted != actual) {
        fprintf(stderr, "%s: %.0f bytes predicted, %.0f made\n", name, predicted, actual);
        return 1;
    }
    if (segments != 0 || !wa_result_text(r, "target") || strcmp(wa_result_text(r, "target"), target) != 0 || wa_result_text(r, "fallback")) {
        fprintf(stderr, "%s: ran on %s with %.0f CPU segments\n", name, wa_result_text(r, "target"), segments);
        return 1;
    }
    return 0;
}

static int run_case(wa_accelerator *a, const char *browser, const char *dir, const char *model, const char *which)
{
    char path[4096], name[128];
    wa_error err = {0};
    wa_tensor_file *ids_file = NULL, *want_file = NULL;
    wa_result *r = NULL;
    const void *ids_data, *want;
    size_t bytes;
    int bad = 1;
    bool webnn = browser && strcmp(browser, "webnn") == 0;
    snprintf(name, sizeof name, "%s %s %s", model, which, browser ? browser : "cpu");
    snprintf(path, sizeof path, "%s/fixtures/reference/%s.ids.npy", WA_TEST_DIR, which);
    wa_status s = wa_tensor_read(path, NULL, &ids_file, &err);
    snprintf(path, sizeof path, "%s/fixtures/reference/%s.%s.npy", WA_TEST_DIR, which, model);
    if (s == WA_OK) s = wa_tensor_read(path, NULL, &want_file, &err);
    if (s == WA_OK) {
        const wa_tensor_type *t = wa_tensor_file_type(ids_file, &ids_data, &bytes);
        const wa_tensor_type *w = wa_tensor_file_type(want_file, &want, &bytes);
        size_t n = (size_t)(t->dims[0] * t->dims[1]);
        int64_t *buf = malloc(n * 3 * sizeof *buf);
        float *expected = malloc(bytes);
        if (!buf || !expected) abort();
        memcpy(expected, want, bytes);
        expand(t, ids_data, buf, buf + n, buf + 2 * n);
        wa_tensor_type it = {WA_I64, 2, {t->dims[0], t->dims[1]}};
        wa_named_tensor in[3] = {{"input_ids", it, buf, n * 8}, {"attention_mask", it, buf + n, n * 8}, {"token_type_ids", it, buf + 2 * n, n * 8}};
        wa_accelerate_options o = WA_ACCELERATE_OPTIONS_INIT;
        o.model = dir;
        o.task = "embed";
        o.inputs = in;
        o.input_count = strcmp(model, "l6") == 0 ? 3 : 2; /* the L3 export has no token types */
        o.target = webnn ? "webnn" : browser ? "webgpu" : "cpu";
        o.browser = webnn ? NULL : browser;
        o.no_fallback = true;
        s = wa_accelerate(a, &o, &r, &err);
        if (s == WA_OK) bad = compare(name, wa_result_output(r, 0), expected, w->dims[0], w->dims[1]) | check_where(name, r, o.target);
        free(buf);
        free(expected);
    }
    if (s != WA_OK) fprintf(stderr, "%s: %s\n", name, err.message);
    wa_result_free(r);
    wa_tensor_file_free(ids_file);
    wa_tensor_file_free(want_file);
    fflush(stdout);
    return bad;
}

int main(int argc, char **argv)
{
    const char *browser = argc > 1 && strcmp(argv[1], "cpu") != 0 ? argv[1] : NULL, *full = getenv("WA_CHECK_FULL");
    wa_accelerator *a = NULL;
    wa_accelerator_options o = WA_ACCELERATOR_OPTIONS_INIT;
    wa_error err = {0};
    char home[] = "/tmp/wa-grid-XXXXXX", model[4096];
    int bad = 0, ran = 0;
    if (!mkdtemp(home)) return 1;
    o.home = home;
    if (wa_accelerator_create(&o, &a, &err) != WA_OK) {
        fprintf(stderr, "models_grid: %s\n", err.message);
        return 1;
    }
    if (browser) { /* a browser that is not there skips; one that fails is a failure */
        char *doctor = NULL, want[64];
        if (strcmp(browser, "webnn") == 0) snprintf(want, sizeof want, "\"name\":\"Chromium with WebNN\"");
        else snprintf(want, sizeof want, "\"family\":\"%s\"", browser);
        if (wa_doctor(a, false, &doctor, &err) != WA_OK || !strstr(doctor, want)) {
            printf("SKIPPED: no %s on this machine\n", browser);
            ran = -1;
        }
        wa_string_free(doctor);
    }
    for (int m = 0; m < 2 && ran >= 0; m++) {
        const char *which = m ? "l6" : "l3";
        snprintf(model, sizeof model, "%s/models/%s", WA_DEPS_DIR, which);
        if (!exists(model)) {
            printf("SKIPPED: %s is not here; make deps fetches it\n", model);
            continue;
        }
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
            if (browser && !(full && *full) && strcmp(cases[c], "b32_s128") == 0) continue;
            bad |= run_case(a, browser, model, which, cases[c]);
            ran++;
        }
    }
    wa_accelerator_free(a);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", home);
    if (system(command) != 0) bad = 1;
    return ran <= 0 ? 77 : bad;
}
