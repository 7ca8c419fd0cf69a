/* Runs a folder of ONNX backend test cases on a target.
 * usage: see usage() below. Each case is a folder with model.onnx (or one .onnx) and test_data_set_*.
 * A case passes when every output of every data set is within tolerance and, on webgpu and webnn, every
 * compute node ran there; one that needed another target is `mixed`: correct, not passed. */
#include "api/api_int.h"
#include "program/program.h"
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>

enum { TENSORS_MAX = 256, SETS_MAX = 64 };
typedef enum verdict { PASS, FAIL, UNSUPPORTED, MIXED, VERDICTS } verdict;
static const char *const verdict_names[VERDICTS] = {"pass", "fail", "unsupported", "mixed"};

typedef struct options {
    const char *dir, *target, *browser, *filter, *json, *list, *known, *models;
    double rtol, atol, to_max; /* to_max > 0: |a-b| <= to_max * max |b| of the tensor instead */
    unsigned part, parts;      /* run cases with index % parts == part */
    bool quiet, bind_values;
} options;

typedef struct runner {
    const options *o;
    wa_accelerator *a;
    api_session *session;
    json_t *report, *known;
    unsigned count[VERDICTS], surprises;
    double on_target; /* of the case going on: the least share of its floating-point operations; < 0 unknown */
} runner;

typedef struct tensors {
    wa_view v[TENSORS_MAX];
    uint32_t count;
} tensors;

static int usage(FILE *to)
{
    fputs("usage: onnx-conformance DIR [--target cpu|webgpu|webnn] [--browser NAME] [--filter REGEX] [--json FILE]\n"
          "  --list FILE       only the cases that FILE (JSON: {case: \"in\" or a reason}) has \"in\"\n"
          "  --known FILE      JSON {case: reason} of cases that do not pass: any other that does not, or one of\n"
          "                    them that does, makes the exit code 1\n"
          "  --models DIR      where a case without a model.onnx finds it: DIR/CASE/model.onnx\n"
          "  --part I/N        every Nth case, from the Ith\n"
          "  --to-max R        tolerance R times the largest element of the tensor, not ONNX's rtol 1e-3 atol 1e-7\n"
          "  --bind-values     bind small integer inputs that reach a shape, as for real models\n"
          "  --quiet           print only what did not pass\n", to);
    return to == stdout ? 0 : 2;
}

/* --- data sets ----------------------------------------------------------------------------------- */

static void tensors_done(tensors *t)
{
    for (uint32_t i = 0; i < t->count; i++) wa__free(t->v[i].data);
    t->count = 0;
}

static wa_status read_tensors(const char *dir, const char *prefix, tensors *out, wa_error *err)
{
    out->count = 0;
    for (uint32_t i = 0; i < TENSORS_MAX; i++) {
        wa_buf file;
        wa_file_info info = {0};
        char *path = wa__format("%s/%s_%u.pb", dir, prefix, i);
        if (!path) return wa__no_memory(err, "a path");
        wa_status s = wa__os_stat(path, true, &info, err);
        bool there = s == WA_OK && info.kind == WA_FILE_REGULAR;
        wa__buf_init(&file, (size_t)1 << 31);
        if (there) s = wa__os_read_file(path, &file, err);
        if (there && s == WA_OK) s = wa__import_tensor(file.ptr, file.len, path, &out->v[i].type, &out->v[i].data, err);
        if (there && s == WA_OK) out->count++;
        wa__buf_done(&file);
        wa__free(path);
        if (s != WA_OK || !there) return s;
    }
    return WA_OK;
}

static bool close_enough(const options *o, double want, double have, double largest)
{
    if (isnan(want) || isnan(have)) return isnan(want) && isnan(have);
    if (isinf(want) || isinf(have)) return want == have;
    if (o->to_max > 0) return fabs(want - have) <= o->atol + o->to_max * largest;
    return fabs(want - have) <= o->atol + o->rtol * fabs(want);
}

static bool same(const options *o, uint32_t index, const wa_view *want, const wa_view *have, char *why, size_t n)
{
    char a[160], b[160];
    if (!wa__type_eq(&want->type, &have->type)) {
        wa__type_text(&want->type, a, sizeof a);
        wa__type_text(&have->type, b, sizeof b);
        snprintf(why, n, "output %u is %s, expected %s", index, b, a);
        return false;
    }
    int64_t count = wa__count(&want->type), bad = 0, worst_at = 0;
    double largest = 0, worst = -1;
    wa_dtype d = want->type.dtype;
    bool exact = d == WA_I64 || d == WA_U64 || d == WA_I32 || d == WA_U32 || d == WA_BOOL || d == WA_I16 || d == WA_U16 || d == WA_I8 || d == WA_U8;
    for (int64_t i = 0; !exact && i < count; i++) {
        double x = fabs(wa__get_f64(want, i));
        if (isfinite(x) && x > largest) largest = x;
    }
    for (int64_t i = 0; i < count; i++) {
        if (exact ? wa__get_i64(want, i) == wa__get_i64(have, i) : close_enough(o, wa__get_f64(want, i), wa__get_f64(have, i), largest)) continue;
        double e = fabs(wa__get_f64(want, i) - wa__get_f64(have, i)) / (fabs(wa__get_f64(want, i)) + 1e-30);
        if (!(e <= worst)) worst = e, worst_at = i;
        bad++;
    }
    if (!bad) return true;
    snprintf(why, n, "output %u: %lld of %lld elements differ; the worst, element %lld, is %.9g, expected %.9g", index, (long long)bad, (long long)count,
             (long long)worst_at, wa__get_f64(have, worst_at), wa__get_f64(want, worst_at));
    return false;
}

/* --- one case ------------------------------------------------------------------------------------- */

static verdict of_status(wa_status s) { return s == WA_UNSUPPORTED || s == WA_DYNAMIC ? UNSUPPORTED : FAIL; }

/* Bernoulli-22: "may not produce the same values in different implementations (even if a seed is
 * specified)", and so RandomNormal, RandomUniform and their likes: for a graph that draws, type and shape
 * must match, and every value must be one that the reference drew too (Bernoulli) or be finite. */
static bool draws(const wa_graph *g)
{
    for (uint32_t i = 0; i < g->node_count; i++)
        if (wa__op_info(g->nodes[i].op)->random) return true;
    return false;
}

static bool plausible(uint32_t index, const wa_view *want, const wa_view *have, char *why, size_t n)
{
    int64_t count = wa__count(&want->type);
    bool coins = true;
    if (!wa__type_eq(&want->type, &have->type)) {
        snprintf(why, n, "output %u has another type or shape", index);
        return false;
    }
    for (int64_t i = 0; i < count; i++) coins = coins && (wa__get_f64(want, i) == 0 || wa__get_f64(want, i) == 1);
    for (int64_t i = 0; i < count; i++) {
        double v = wa__get_f64(have, i);
        if (coins ? v == 0 || v == 1 : isfinite(v)) continue;
        snprintf(why, n, "output %u: element %lld is %g", index, (long long)i, v);
        return false;
    }
    return true;
}

/* A few cases declare other dims for an input than their data has: the data decides. */
static void redeclare(wa_graph *g, const tensors *in)
{
    for (uint32_t i = 0; i < in->count && i < g->input_count; i++) {
        wa_tensor_type *t = &g->values[g->inputs[i]].type;
        bool differs = t->rank != in->v[i].type.rank;
        for (uint32_t d = 0; !differs && d < t->rank; d++) differs = t->dims[d] >= 0 && t->dims[d] != in->v[i].type.dims[d];
        if (!differs || t->rank == WA_RANK_UNKNOWN) continue;
        t->rank = in->v[i].type.rank;
        memcpy(t->dims, in->v[i].type.dims, sizeof t->dims);
    }
}

/* ONNX 1.12 stores bfloat16 data as uint16 of the same bits. */
static void retype(wa_view *v, wa_dtype d)
{
    if (v->type.dtype == WA_U16 && d == WA_BF16) v->type.dtype = d;
}

static verdict run_set(runner *r, wa_program *p, const wa_graph *g, const char *dir, char *why, size_t n, wa_status *status)
{
    tensors in = {.count = 0}, want = {.count = 0};
    wa_view have[TENSORS_MAX];
    wa_error err = {0};
    wa_program_stats stats = {0};
    wa_run_control control = {.timeout_ms = 120000};
    verdict v = PASS;
    wa_status s = read_tensors(dir, "input", &in, &err);
    if (s == WA_OK) s = read_tensors(dir, "output", &want, &err);
    for (uint32_t i = 0; i < in.count && i < g->input_count; i++) retype(&in.v[i], g->values[g->inputs[i]].type.dtype);
    if (s == WA_OK && g->output_count > TENSORS_MAX) s = wa__fail(&err, WA_UNSUPPORTED, "%u outputs", g->output_count);
    if (s == WA_OK) s = wa__program_run(p, in.v, in.count, have, g->output_count, &control, &stats, &err);
    if (s != WA_OK) {
        v = of_status(s);
        snprintf(why, n, "%s", err.message);
    }
    for (uint32_t i = 0; s == WA_OK && v == PASS && i < g->output_count; i++) {
        if (i >= want.count) {
            v = FAIL;
            snprintf(why, n, "no reference for output %u", i);
        } else if (draws(g)) {
            retype(&want.v[i], have[i].type.dtype);
            if (!plausible(i, &want.v[i], &have[i], why, n)) v = FAIL;
        } else if (retype(&want.v[i], have[i].type.dtype), !same(r->o, i, &want.v[i], &have[i], why, n)) v = FAIL;
    }
    if (s == WA_OK && stats.flops) {
        double share = (double)stats.flops_on_target / (double)stats.flops;
        if (r->on_target < 0 || share < r->on_target) r->on_target = share;
    }
    if (v == PASS && stats.nodes_elsewhere) {
        v = MIXED;
        snprintf(why, n, "%s", stats.elsewhere);
    }
    *status = s;
    tensors_done(&in);
    tensors_done(&want);
    return v;
}

static bool session_open(runner *r, wa_error *err)
{
    if (r->session) return true;
    wa_status s;
    if (strcmp(r->o->target, "cpu") == 0) s = api_session_cpu(r->a, &r->session, err);
    else if (strcmp(r->o->target, "webnn") == 0) s = api_session_webnn(r->a, r->o->browser, NULL, 120000, &r->session, err);
    else s = api_session_browser(r->a, r->o->browser, true, 120000, &r->session, err);
    return s == WA_OK;
}

static void redeclare_from(wa_graph *g, const char *dir)
{
    tensors in = {.count = 0};
    char *set = wa__format("%s/test_data_set_0", dir);
    if (set && read_tensors(set, "input", &in, NULL) == WA_OK) redeclare(g, &in);
    tensors_done(&in);
    wa__free(set);
}

static verdict run_sets(runner *r, const char *dir, wa_graph *g, const wa_model_file *file, char *why, size_t n)
{
    wa_error err = {0};
    wa_program *p = NULL;
    wa_run_source source = {file->data, file->size};
    wa_program_options po = {.runner = r->session->runner, .sources = &source, .source_count = 1, .bind_values = r->o->bind_values};
    po.plan.target = r->session->target;
    verdict v = PASS;
    redeclare_from(g, dir);
    wa_status s = wa__program_create(g, &po, &p, &err);
    if (s != WA_OK) {
        snprintf(why, n, "%s", err.message);
        return of_status(s);
    }
    for (unsigned i = 0, found = 0; i < SETS_MAX && v == PASS; i++) {
        wa_file_info info = {0};
        char *set = wa__format("%s/test_data_set_%u", dir, i);
        bool there = set && wa__os_stat(set, true, &info, NULL) == WA_OK && info.kind == WA_FILE_DIR;
        if (there) v = run_set(r, p, g, set, why, n, &s);
        found += there;
        wa__free(set);
        if (!there) {
            if (!found) {
                v = FAIL;
                snprintf(why, n, "no test_data_set_0");
            }
            break;
        }
    }
    bool lost = s == WA_TIMEOUT || s == WA_DEVICE_LOST || s == WA_PROTOCOL || s == WA_BROWSER;
    wa__program_free(p);
    if (lost && r->session->browser) {
        api_session_close(r->a, r->session);
        r->session = NULL;
    }
    return v;
}

/* The case's own model, or the one kept elsewhere; NULL when there is none. wa__free it. */
static char *model_of(const options *o, const char *dir, const char *name)
{
    wa_file_info info = {0};
    char *own = wa__path_join(dir, "model.onnx");
    if (own && wa__os_stat(own, true, &info, NULL) == WA_OK && info.kind == WA_FILE_REGULAR) return own;
    wa__free(own);
    if (!o->models) return NULL;
    own = wa__format("%s/%s/model.onnx", o->models, name);
    if (own && wa__os_stat(own, true, &info, NULL) == WA_OK && info.kind == WA_FILE_REGULAR) return own;
    wa__free(own);
    return NULL;
}

static verdict run_case(runner *r, const char *dir, const char *path, char *why, size_t n)
{
    wa_error err = {0};
    wa_map map = {0};
    wa_graph *g = NULL;
    verdict v = FAIL;
    why[0] = 0;
    r->on_target = -1;
    wa_status s = wa__os_map(path, &map, &err);
    wa_model_file file = {WA_STR("model.onnx"), map.data, map.size};
    wa_model_files files = {&file, 1};
    if (s == WA_OK) {
        s = wa__import_onnx(&files, &file, &g, &err);
        if (s == WA_OK && !session_open(r, &err)) s = WA_BROWSER;
        if (s == WA_OK) v = run_sets(r, dir, g, &file, why, n);
        wa__graph_free(g);
        wa__os_unmap(&map);
    }
    if (s != WA_OK) {
        v = of_status(s);
        snprintf(why, n, "%s", err.message);
    }
    return v;
}

/* --- all -------------------------------------------------------------------------------------------- */

static void note(runner *r, const char *name, verdict v, const char *why)
{
    char ran_on[64];
    r->count[v]++;
    snprintf(ran_on, sizeof ran_on, "%s", v == UNSUPPORTED ? "" : r->o->target);
    if (v == MIXED) snprintf(ran_on, sizeof ran_on, "%s+cpu", r->o->target);
    const char *excuse = r->known ? json_string_value(json_object_get(r->known, name)) : NULL;
    bool surprise = r->known ? (v == PASS) == (excuse != NULL) : v == FAIL;
    r->surprises += surprise;
    if (r->known && surprise) printf("%s\n", excuse ? "listed as not passing, yet passes:" : "should pass, and does not:");
    if ((v != PASS && !(r->o->quiet && r->known && !surprise)) || surprise || !r->o->quiet) printf("%-12s %s%s%s\n", verdict_names[v], name, why[0] ? ": " : "", why);
    fflush(stdout);
    json_t *row = json_pack("{s:s, s:s, s:s}", "verdict", verdict_names[v], "reason", why, "ran_on", ran_on);
    if (r->on_target >= 0) json_object_set_new(row, "on_target", json_real(r->on_target));
    json_object_set_new(r->report, name, row);
}

static bool listed(const json_t *list, const char *name)
{
    const char *in = list ? json_string_value(json_object_get(list, name)) : "in";
    return in && strcmp(in, "in") == 0;
}

static int run_all(runner *r)
{
    char **names = NULL;
    size_t count = 0;
    wa_error err = {0};
    regex_t filter;
    json_error_t je;
    json_t *list = r->o->list ? json_load_file(r->o->list, 0, &je) : NULL;
    if (r->o->known) r->known = json_load_file(r->o->known, 0, &je);
    if ((r->o->list && !list) || (r->o->known && !r->known)) {
        fprintf(stderr, "onnx-conformance: %s: %s\n", r->o->list && !list ? r->o->list : r->o->known, je.text);
        return 2;
    }
    if (regcomp(&filter, r->o->filter, REG_EXTENDED | REG_NOSUB) != 0) {
        fprintf(stderr, "onnx-conformance: --filter %s is no regular expression\n", r->o->filter);
        return 2;
    }
    wa_file_info where = {0};
    if (wa__os_stat(r->o->dir, true, &where, NULL) != WA_OK || where.kind != WA_FILE_DIR) {
        fprintf(stderr, "onnx-conformance: SKIPPED, no folder %s (Debian's libonnx-testdata has ONNX's cases)\n", r->o->dir);
        return 77;
    }
    wa_status s = wa__os_list(r->o->dir, &names, &count, &err);
    unsigned index = 0;
    if (s == WA_OK && !session_open(r, &err)) { /* ctest: skipped */
        fprintf(stderr, "onnx-conformance: SKIPPED, no %s here: %s\n", r->o->target, err.message);
        return 77;
    }
    for (size_t i = 0; s == WA_OK && i < count; i++) {
        char why[1200];
        if (regexec(&filter, names[i], 0, NULL, 0) != 0 || !listed(list, names[i])) continue;
        char *dir = wa__path_join(r->o->dir, names[i]), *model = dir ? model_of(r->o, dir, names[i]) : NULL;
        if (model && index++ % r->o->parts == r->o->part) {
            verdict v = run_case(r, dir, model, why, sizeof why);
            note(r, names[i], v, why);
        }
        wa__free(model);
        wa__free(dir);
    }
    wa__os_list_free(names, count);
    regfree(&filter);
    json_decref(list);
    json_decref(r->known);
    if (s != WA_OK || index == 0) {
        fprintf(stderr, "onnx-conformance: %s\n", s != WA_OK ? err.message : r->o->models ? "SKIPPED, no model was fetched for any case" : "no case in that folder fits");
        return s == WA_OK && r->o->models ? 77 : 2;
    }
    if (r->o->json && json_dump_file(r->report, r->o->json, JSON_INDENT(1) | JSON_SORT_KEYS) != 0) {
        fprintf(stderr, "onnx-conformance: cannot write %s\n", r->o->json);
        return 2;
    }
    if (r->count[MIXED]) printf("%u mixed (correct, but a node ran elsewhere)\n", r->count[MIXED]);
    printf("%u passed, %u failed, %u skipped\n", r->count[PASS], r->count[FAIL], r->count[UNSUPPORTED]);
    return r->surprises ? 1 : 0;
}

static bool parse(int argc, char **argv, options *o)
{
    *o = (options){.target = "cpu", .filter = "", .rtol = 1e-3, .atol = 1e-7, .parts = 1};
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(a, "--quiet") == 0) o->quiet = true;
        else if (strcmp(a, "--bind-values") == 0) o->bind_values = true;
        else if (a[0] != '-' && !o->dir) o->dir = a;
        else if (!v) return false;
        else if (strcmp(a, "--target") == 0) o->target = v, i++;
        else if (strcmp(a, "--browser") == 0) o->browser = v, i++;
        else if (strcmp(a, "--filter") == 0) o->filter = v, i++;
        else if (strcmp(a, "--json") == 0) o->json = v, i++;
        else if (strcmp(a, "--list") == 0) o->list = v, i++;
        else if (strcmp(a, "--models") == 0) o->models = v, i++;
        else if (strcmp(a, "--known") == 0) o->known = v, i++;
        else if (strcmp(a, "--to-max") == 0) o->to_max = strtod(v, NULL), i++;
        else if (strcmp(a, "--part") == 0 && sscanf(v, "%u/%u", &o->part, &o->parts) == 2 && o->parts && o->part < o->parts) i++;
        else return false;
    }
    if (!o->browser) o->browser = strcmp(o->target, "webnn") == 0 ? "chromium-webnn" : "chromium";
    return o->dir && (strcmp(o->target, "cpu") == 0 || strcmp(o->target, "webgpu") == 0 || strcmp(o->target, "webnn") == 0);
}

int main(int argc, char **argv)
{
    options o;
    wa_error err = {0};
    wa_accelerator_options ao = WA_ACCELERATOR_OPTIONS_INIT;
    char *home = NULL;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0) return usage(stdout);
    if (!parse(argc, argv, &o)) return usage(stderr);
    runner r = {.o = &o, .report = json_object()};
    if (wa__os_temp_dir("/tmp", "wa-conformance-", &home, &err) != WA_OK) {
        fprintf(stderr, "onnx-conformance: %s\n", err.message);
        return 1;
    }
    ao.home = home;
    ao.store_results = false;
    ao.enable_ipfs = false;
    wa_status s = wa_accelerator_create(&ao, &r.a, &err);
    int rc = s == WA_OK ? run_all(&r) : 1;
    if (s != WA_OK) fprintf(stderr, "onnx-conformance: %s\n", err.message);
    wa_accelerator_free(r.a);
    json_decref(r.report);
    if (wa__os_remove_tree(home, &err) != WA_OK) fprintf(stderr, "onnx-conformance: %s\n", err.message);
    wa__free(home);
    return rc;
}
