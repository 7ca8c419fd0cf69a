/* webaccel run: texts or named tensors through a model. */
#include "cli.h"
#include "cli_lines.h"
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INPUTS_MAX = 64 };

typedef struct run_state {
    const cli_args *args;
    bool jsonl, said_memory;
    cli_lines *lines; /* of standard input, NULL: texts from the command line */
    wa_accelerator *accelerator;
} run_state;

static void on_progress(void *user, const wa_progress *p)
{
    run_state *s = user;
    if (p->predicted_bytes && !s->said_memory) {
        s->said_memory = true;
        if (!cli_has(s->args, "quiet")) {
            cli_progress_end();
            fprintf(stderr, "memory: %.1f MB predicted on the target\n", (double)p->predicted_bytes / 1e6);
        }
    }
    uint64_t total = p->total;
    if (s->lines && strcmp(p->stage, "run") == 0) { /* an estimate until all is read */
        total = cli_lines_expected(s->lines);
        if (total && total <= p->done) total = p->done + 1;
    }
    if (s->jsonl && strcmp(p->stage, "run") == 0 && fflush(stdout) != 0 && s->accelerator) wa_accelerator_cancel(s->accelerator); /* nobody reads */
    /* Rows on a terminal and a bar do not go together. */
    if (!s->jsonl || strcmp(p->stage, "run") != 0 || !isatty(1)) cli_progress(p->stage, p->done, total, strcmp(p->stage, "load") == 0);
}

static void on_row(void *user, size_t index, const float *vector, size_t count)
{
    (void)user;
    if (isatty(1)) cli_progress_end();
    cli_print_row(stdout, index, vector, count);
}

static wa_next_status next_line(void *user, uint32_t wait_ms, const char **text)
{
    run_state *s = user;
    return cli_lines_next(s->lines, wait_ms, text);
}

/* "NAME=FILE" or "NAME=FILE:f32[1,3]". */
static wa_status read_input(const char *spec, char *name, size_t name_size, wa_tensor_file **file, wa_error *err)
{
    const char *eq = strchr(spec, '=');
    if (!eq || eq == spec || (size_t)(eq - spec) >= name_size) {
        snprintf(err->message, sizeof err->message, "--input %s: expected NAME=FILE or NAME=FILE:TYPE[DIMS]", spec);
        return WA_INVALID_ARGUMENT;
    }
    memcpy(name, spec, (size_t)(eq - spec));
    name[eq - spec] = 0;
    char path[4096];
    snprintf(path, sizeof path, "%s", eq + 1);
    char *shape = strrchr(path, ':');
    if (shape && shape[1] && path[strlen(path) - 1] == ']') *shape++ = 0;
    else shape = NULL;
    return wa_tensor_read(path, shape, file, err);
}

static wa_status write_outputs(const wa_result *r, const char *dir, wa_error *err)
{
    for (size_t i = 0; i < wa_result_output_count(r); i++) {
        const wa_named_tensor *t = wa_result_output(r, i);
        char path[4200], name[256];
        snprintf(name, sizeof name, "%s", t->name);
        for (char *p = name; *p; p++)
            if (*p == '/' || *p == ':' || *p == '\\') *p = '_';
        snprintf(path, sizeof path, "%s/%s.npy", dir, name[0] == '.' ? name + 1 : name);
        wa_status s = wa_tensor_write_npy(path, t, err);
        if (s != WA_OK) return s;
    }
    return WA_OK;
}

static const char *text_or(const wa_result *r, const char *key, const char *other)
{
    const char *t = wa_result_text(r, key);
    return t ? t : other;
}

static void print_vector(const float *v, int64_t n)
{
    printf("[");
    for (int64_t i = 0; i < n && i < 6; i++) printf(i ? ", %.4f" : "%.4f", (double)v[i]);
    printf(n > 6 ? ", ... %lld numbers]\n" : "]\n", (long long)n);
}

static void print_human(const wa_result *r, const cli_args *a)
{
    for (size_t i = 0; i < wa_result_output_count(r); i++) {
        const wa_named_tensor *t = wa_result_output(r, i);
        if (t->type.rank == 2 && t->type.dtype == WA_F32 && a->word_count > 1) {
            for (int64_t row = 0; row < t->type.dims[0]; row++) print_vector((const float *)t->data + row * t->type.dims[1], t->type.dims[1]);
        } else {
            printf("%s: %s[", t->name, wa_dtype_name(t->type.dtype));
            for (uint32_t d = 0; d < t->type.rank; d++) printf(d ? ",%lld" : "%lld", (long long)t->type.dims[d]);
            printf("]\n");
        }
    }
    double latency = 0, p90 = 0, rate = 0, predicted = 0, actual = 0, runs = 0;
    wa_result_number(r, "latency_ms", &latency);
    wa_result_number(r, "latency_p90_ms", &p90);
    wa_result_number(r, "throughput", &rate);
    wa_result_number(r, "memory_predicted_bytes", &predicted);
    wa_result_number(r, "memory_actual_bytes", &actual);
    wa_result_number(r, "runs", &runs);
    const char *browser = wa_result_text(r, "browser");
    printf("ran on %s", text_or(r, "target", "?"));
    if (browser) printf(" in %s %s", browser, text_or(r, "browser_version", ""));
    double software = 0;
    if (wa_result_number(r, "adapter_is_software", &software)) printf(" (%s adapter: %s)", software != 0 ? "software" : "hardware", text_or(r, "adapter_name", "unnamed"));
    else if (browser && wa_result_text(r, "adapter_name")) printf(" (%s)", wa_result_text(r, "adapter_name"));
    printf("\nlatency %.2f ms (p90 %.2f, %.0f runs), %.1f items/s, memory %.1f MB predicted, %.1f MB actual\n", latency, p90, runs, rate, predicted / 1e6, actual / 1e6);
    double cosine, relative;
    if (wa_result_number(r, "precision_error.cosine", &cosine) && wa_result_number(r, "precision_error.relative", &relative))
        printf("precision: cosine %.7f, relative error %.2g against 32 bits on the CPU\n", cosine, relative);
    printf("why there: %s\n", text_or(r, "reason", ""));
    if (wa_result_text(r, "fallback")) printf("fallback: %s\n", wa_result_text(r, "fallback"));
}

static wa_choice choice(const cli_args *a, const char *name)
{
    const char *v = cli_get(a, name);
    return !v ? WA_CHOICE_DEFAULT : strcmp(v, "on") == 0 ? WA_CHOICE_ON : WA_CHOICE_OFF;
}

/* --precision: bits, or "mixed" for 16 bits with the sensitive parts in 32. */
static bool precision(const cli_args *a, wa_accelerate_options *o)
{
    const char *v = cli_get(a, "precision");
    o->mixed_precision = cli_has(a, "mixed-precision");
    if (!v || strcmp(v, "mixed") != 0) return cli_number(a, "precision", 4, 32, &o->precision);
    o->precision = 16;
    return o->mixed_precision = true;
}

static bool options(const cli_args *a, wa_accelerate_options *o)
{
    uint32_t timeout_s = 0;
    o->model = a->words[0];
    o->model_type = cli_get(a, "model-type");
    o->task = cli_get(a, "task");
    o->target = cli_get(a, "target");
    if (!o->target) o->target = cli_get(a, "platform");
    o->browser = cli_get(a, "browser");
    o->simulate = cli_has(a, "simulate");
    o->no_fallback = cli_has(a, "no-fallback");
    o->precision_error = choice(a, "precision-error");
    o->profile = cli_has(a, "profile");
    o->use_firefox_optimizations = choice(a, "firefox-optimizations");
    o->compute_shaders = choice(a, "compute-shaders");
    o->precompile_shaders = choice(a, "precompile-shaders");
    o->parallel_loading = choice(a, "parallel-loading");
    o->tune = choice(a, "tune");
    bool ok = cli_number(a, "runs", 1, 1000000, &o->runs) && cli_number(a, "timeout", 1, 86400, &timeout_s) &&
              cli_number(a, "batch", 1, 4096, &o->batch_max) && precision(a, o);
    if (timeout_s) o->timeout_ms = timeout_s * 1000;
    return ok;
}

static int finish(const cli_args *a, wa_result *r, bool jsonl)
{
    const char *dir = cli_get(a, "output");
    wa_error err = {0};
    wa_status s = dir ? write_outputs(r, dir, &err) : WA_OK;
    cli_progress_end();
    if (s != WA_OK) return cli_fail(a, s, &err);
    const char *text = cli_has(a, "json") || jsonl ? wa_result_json(r) : NULL;
    if (jsonl && text) {
        json_t *o = json_loads(text, 0, NULL);
        if (o) json_object_del(o, "output");
        char *summary = o ? json_dumps(o, JSON_COMPACT) : NULL;
        json_decref(o);
        if (summary) printf("{\"summary\":%s}\n", summary);
        wa_string_free(summary);
    } else if (text) puts(text);
    else print_human(r, a);
    return 0;
}

static int run(const cli_args *a)
{
    wa_accelerate_options o = WA_ACCELERATE_OPTIONS_INIT;
    if (!options(a, &o)) return CLI_EXIT_USAGE;
    run_state state = {a, cli_has(a, "jsonl"), false, NULL, NULL};
    o.progress = on_progress;
    o.user = &state;
    if (state.jsonl) o.row = on_row;

    wa_named_tensor inputs[INPUTS_MAX] = {0};
    wa_tensor_file *files[INPUTS_MAX] = {0};
    static char names[INPUTS_MAX][256];
    wa_error err = {0};
    wa_status s = WA_OK;
    int code = 0;
    wa_result *r = NULL;
    for (uint32_t i = 0; i < a->all_count && s == WA_OK; i++) {
        if (!cli_is(a, i, "input")) continue;
        size_t n = o.input_count;
        if (n == INPUTS_MAX) break;
        s = read_input(a->all[i].value, names[n], sizeof names[n], &files[n], &err);
        if (s != WA_OK) break;
        inputs[n].name = names[n];
        inputs[n].type = *wa_tensor_file_type(files[n], &inputs[n].data, &inputs[n].bytes);
        o.input_count++;
    }
    o.inputs = inputs;
    wa_accelerator *acc = s == WA_OK ? cli_accelerator(a, &code) : NULL;
    if (s != WA_OK) code = cli_fail(a, s, &err);
    if (!acc) goto done;
    state.accelerator = acc;
    o.texts = (const char *const *)a->words + 1;
    o.text_count = (size_t)a->word_count - 1;
    if (o.text_count == 1 && strcmp(o.texts[0], "-") == 0) {
        state.lines = cli_lines_open(STDIN_FILENO);
        o.texts = NULL;
        o.text_count = 0;
        o.next = next_line;
    }
    s = o.next && !state.lines ? WA_NO_MEMORY : wa_accelerate(acc, &o, &r, &err);
    if (s == WA_OK && state.lines && cli_lines_error(state.lines)) {
        snprintf(err.message, sizeof err.message, "standard input cannot be read: %s", strerror(cli_lines_error(state.lines)));
        s = WA_IO;
    }
    code = s == WA_OK ? finish(a, r, state.jsonl) : cli_fail(a, s, &err);
done:
    wa_result_free(r);
    wa_accelerator_free(acc);
    cli_lines_close(state.lines);
    for (size_t i = 0; i < INPUTS_MAX; i++) wa_tensor_file_free(files[i]);
    return code;
}

static const cli_option run_options[] = {
    {"input", "NAME=FILE", "a named input: .npy, ONNX TensorProto .pb, or raw as NAME=FILE:f32[1,3,224,224]; repeatable", 'i', NULL},
    {"output", "DIR", "write every output there as .npy", 'o', NULL},
    {"task", "TASK", "embed (texts) or tensors (named inputs); default by model type", 't', "embed tensors"},
    {"target", "TARGET", "auto, cpu, webgpu, webnn, or webnn:cpu, webnn:gpu, webnn:npu (default auto)", 0, "auto cpu webgpu webnn webnn:cpu webnn:gpu webnn:npu"},
    {"platform", "TARGET", "the original's name for --target", 0, "cpu webgpu webnn"},
    {"browser", "NAME", "chrome, chromium, edge, firefox, or a browser's path; naming one allows its software adapter", 'b', "chrome chromium edge firefox"},
    {"model-type", "TYPE", "text_embedding, text_generation, ...; default detected", 0, "text_embedding text_generation text2text vision audio multimodal"},
    {"precision", "BITS", "32, 16, 8, 4, or mixed: 16 with the sensitive parts in 32; default what the model file holds", 0, "32 16 8 4 mixed"},
    {"precision-error", "on|off", "compare the first outputs with 32 bits on the CPU (default: on below 32 bits)", 0, "on off"},
    {"mixed-precision", NULL, "keep the sensitive parts in 32 bits, at any --precision", 0, NULL},
    {"runs", "N", "measured runs after the first (default 1)", 'n', NULL},
    {"batch", "N", "texts in one run at most (default 32; of more lines than that as many as a budget of tokens allows)", 0, NULL},
    {"timeout", "SECONDS", "of one run (default 300)", 0, NULL},
    {"simulate", NULL, "run on the CPU in place of the browser asked for, and say so", 0, NULL},
    {"no-fallback", NULL, "fail when the target asked for is not to be had", 0, NULL},
    {"jsonl", NULL, "one JSON object a text, in input order as they come, and a summary last", 0, NULL},
    {"visible", NULL, "show the browser's window", 0, NULL},
    CLI_TUNE_OPTION,
    {"compute-shaders", "on|off", "the original's name for --tune", 0, "on off"},
    {"firefox-optimizations", "on|off", "kernel choices measured in Firefox, where there are any (default: in Firefox)", 0, "on off"},
    {"precompile-shaders", "on|off", "compile every pipeline before the first run (default on)", 0, "on off"},
    {"parallel-loading", "on|off", "fetch weights in parallel ranges (default: for vision and multimodal)", 0, "on off"},
    {NULL, NULL, NULL, 0, NULL}};

const cli_command cli_run = {
    "run", "MODEL [TEXT... | -] [OPTIONS]", "run a model on texts or named tensors",
    "MODEL is a CID (with an optional /path) or a path: a folder as Hugging Face lays it out, or an ONNX\n"
    "file or folder. \"-\" reads one text a line from stdin. Where it runs: the target or browser asked for;\n"
    "else a hardware GPU behind a browser; else this CPU. A software adapter is used only when its browser\n"
    "is named. The result says where it ran and why.\n",
    "  webaccel run bafybei... \"a cat sits on the mat\" \"a dog\"\n"
    "  webaccel run ./all-MiniLM-L6-v2 \"hello\" --target webgpu --browser chromium --json\n"
    "  cat lines.txt | webaccel run bafybei... - --jsonl > vectors.jsonl\n"
    "  webaccel run model.onnx -i input_ids=ids.npy -i attention_mask=mask.npy -o out/\n",
    run_options, 1, -1, run};
