/* wa_accelerate: model -> target -> plan -> runs -> result. Texts that fit one run are padded to one bucket;
 * more of them, or a source without end, become a stream (api_stream.c); named tensors go in as they are. */
#include "api_stream.h"
#include "base/log.h"
#include "plan/plan_nn.h"
#include <stdlib.h>

/* What one request carries from stage to stage. */
typedef struct job {
    wa_accelerator *a;
    const wa_accelerate_options *o;
    api_model *m;
    api_choice choice;
    api_shape shape;
    api_stream *stream; /* NULL: one bucket for all */
    api_stream_report streamed;
    wa_encoding *texts; /* one a text */
    uint32_t *order;    /* of the texts: as they came */
    size_t token_count;
    wa_view *inputs;    /* in the plan entry's order; memory owned */
    wa_view *outputs;
    uint32_t entry, input_count, output_count;
    float *rows;        /* embeddings of all texts, [text_count, D] */
    int64_t row_floats;
    double *run_ms, gpu_ms, load_ms, first_ms;
    uint32_t run_count;
    wa_run_stats stats;
    bool plan_cached, staged;
    wa_program_stats stages; /* of the last run of a staged model */
    double on_target;        /* share of the floating-point operations, < 0 unknown */
    double tune_ms; /* not counted in load_ms: measuring kernels at first use */
    uint64_t predicted, actual;
    api_error error; /* against 32 bits on the CPU */
    bool judged;
    api_ahead *ahead;     /* choosing where to run; NULL: not begun, or taken */
    wa_plan *expected;    /* made before the target was known; NULL: none */
    double model_at_ms, tokens_at_ms, expected_at_ms, plan_at_ms, loaded_at_ms; /* wa__os_now_ms, 0: was not */
    api_samples *samples; /* NULL: nobody measures */
    wa_result *r;
} job;

static void report(const job *j, const char *stage, uint64_t done, uint64_t total)
{
    if (j->samples) api_samples_stage(j->samples, stage);
    wa_progress p = {stage, done, total, j->predicted};
    if (j->o->progress) j->o->progress(j->o->user, &p);
}

static void on_load(void *user, const wa_run_progress *p) { report(user, "load", p->bytes_done, p->bytes_total); }

static wa_run_control control(job *j)
{
    return (wa_run_control){j->o->timeout_ms ? j->o->timeout_ms : 300000, &j->a->cancel, on_load, j, 0};
}

enum { BATCH_MAX = 32 }; /* rows of a run where neither the user nor a stream says */

/* More texts than one run takes, run once. Measuring repeats a whole request, in one bucket. */
static bool streams(const job *j)
{
    const wa_accelerate_options *o = j->o;
    return o->next || (o->text_count > (o->batch_max ? o->batch_max : BATCH_MAX) && o->runs <= 1 && !o->profile && !j->samples);
}

/* --- inputs ----------------------------------------------------------------------------------- */

static wa_status tokenize(job *j, wa_error *err)
{
    uint32_t longest = 1, limit;
    WA_TRY(api_model_tokenizer(j->m, err));
    WA_TRY(api_model_embed(j->m, err));
    limit = j->m->embed.length_max;
    j->texts = wa__alloc(j->o->text_count, sizeof *j->texts);
    if (!j->texts) return wa__no_memory(err, "tokens");
    for (size_t i = 0; i < j->o->text_count; i++) {
        wa_str text = wa__str(j->o->texts[i]);
        if (text.len > WA_LIMIT_TEXT_BYTES) return wa__fail(err, WA_LIMIT, "text %zu has %zu bytes; at most %zu", i + 1, text.len, WA_LIMIT_TEXT_BYTES);
        wa_status s = api_encode(j->m, text, &j->texts[i], err);
        if (s != WA_OK) return wa__fail_in(err, s, "text %zu", i + 1);
        if (j->texts[i].count > longest) longest = j->texts[i].count;
        j->token_count += j->texts[i].count;
    }
    uint32_t batch_max = j->o->batch_max ? j->o->batch_max : BATCH_MAX;
    uint32_t batch = wa__bucket_batch(j->o->text_count < batch_max ? (uint32_t)j->o->text_count : batch_max, batch_max);
    j->order = wa__alloc(j->o->text_count, sizeof *j->order);
    if (!j->order) return wa__no_memory(err, "tokens");
    for (uint32_t i = 0; i < j->o->text_count; i++) j->order[i] = i;
    return api_shape_embed(j->m, batch, wa__bucket_length(longest, limit), &j->shape, err);
}

static wa_status named_inputs(job *j, wa_error *err)
{
    const wa_accelerate_options *o = j->o;
    bool embed = strcmp(j->shape.task, "embed") == 0;
    if (o->input_count == 0) return wa__fail(err, WA_INVALID_ARGUMENT, "nothing to run: give texts, or named inputs with --input");
    if (o->input_count > 64) return wa__fail(err, WA_LIMIT, "more than 64 inputs");
    for (size_t i = 0; i < o->input_count; i++) {
        uint64_t bytes;
        if (!wa__type_bytes(&o->inputs[i].type, &bytes) || bytes != o->inputs[i].bytes)
            return wa__fail(err, WA_INVALID_ARGUMENT, "input \"%s\": %zu bytes do not fill its type and shape", o->inputs[i].name, o->inputs[i].bytes);
        if (wa__graph_find(j->m->graph, wa__str(o->inputs[i].name)) == WA_NONE)
            return wa__fail(err, WA_INVALID_ARGUMENT, "the model has no input \"%s\"; webaccel inspect lists them", o->inputs[i].name);
        j->shape.names[i] = o->inputs[i].name;
        j->shape.types[i] = o->inputs[i].type;
        if (embed && i == 0 && o->inputs[i].type.rank == 2) {
            j->shape.batch = (uint32_t)o->inputs[i].type.dims[0];
            j->shape.length = (uint32_t)o->inputs[i].type.dims[1];
        }
    }
    j->shape.input_count = (uint32_t)o->input_count;
    return WA_OK;
}

/* Views for the entry's ios; named inputs are borrowed, text inputs and outputs allocated. */
static wa_status make_views(job *j, const wa_plan *p, wa_error *err)
{
    const wa_plan_entry *e = &p->entries[j->entry];
    j->inputs = wa__alloc(e->io_count, sizeof *j->inputs);
    j->outputs = wa__alloc(e->io_count, sizeof *j->outputs);
    if (!j->inputs || !j->outputs) return wa__no_memory(err, "inputs and outputs");
    for (uint32_t i = 0; i < e->io_count; i++) {
        const wa_plan_io *io = &p->ios[e->io_first + i];
        wa_view v = {{(wa_dtype)io->dtype, io->rank, {0}}, NULL};
        memcpy(v.type.dims, io->dims, sizeof v.type.dims);
        const char *name = wa__plan_text(p, io->name);
        for (size_t k = 0; !io->is_output && k < j->o->input_count; k++)
            if (strcmp(j->o->inputs[k].name, name) == 0) v.data = (void *)(uintptr_t)j->o->inputs[k].data;
        if (!v.data && (io->is_output || j->texts)) v.data = wa__alloc(1, (size_t)wa__bytes(&v.type));
        if (!v.data) return wa__fail(err, WA_NO_MEMORY, "no memory, or no value, for \"%s\"", name);
        if (io->is_output) j->outputs[j->output_count++] = v;
        else j->inputs[j->input_count++] = v;
    }
    return WA_OK;
}

static void free_views(job *j)
{
    for (uint32_t i = 0; i < j->input_count; i++)
        if (j->texts) wa__free(j->inputs[i].data);
    for (uint32_t i = 0; i < j->output_count && !j->staged; i++) wa__free(j->outputs[i].data);
    wa__free(j->inputs);
    wa__free(j->outputs);
    j->inputs = j->outputs = NULL;
    j->input_count = j->output_count = 0;
}

/* The same for a staged model, whose outputs the program makes. */
static wa_status staged_views(job *j, wa_error *err)
{
    const wa_graph *g = j->m->graph;
    j->inputs = wa__alloc(g->input_count + 1u, sizeof *j->inputs);
    j->outputs = wa__alloc(g->output_count + 1u, sizeof *j->outputs);
    if (!j->inputs || !j->outputs) return wa__no_memory(err, "inputs and outputs");
    for (uint32_t i = 0; i < g->input_count; i++) {
        wa_str name = g->values[g->inputs[i]].name;
        for (size_t k = 0; k < j->o->input_count; k++)
            if (wa__str_is(name, j->o->inputs[k].name)) j->inputs[i] = (wa_view){j->o->inputs[k].type, (void *)(uintptr_t)j->o->inputs[k].data};
        if (!j->inputs[i].data) return wa__fail(err, WA_INVALID_ARGUMENT, "the model's input \"%.*s\" was not given", WA_STR_ARG(name));
    }
    j->input_count = g->input_count;
    j->output_count = g->output_count;
    return WA_OK;
}

/* Rows [first, first+count) of the texts into the input views; the bucket's other rows are padding. */
static wa_status fill_texts(job *j, const wa_plan *p, size_t first, size_t count, wa_error *err)
{
    const wa_plan_entry *e = &p->entries[j->entry];
    wa_batch b = {j->shape.batch, j->shape.length, (uint32_t)first, (uint32_t)count, 0};
    for (uint32_t i = 0, k = 0; i < e->io_count; i++) {
        const wa_plan_io *io = &p->ios[e->io_first + i];
        if (io->is_output) continue;
        wa_view *v = &j->inputs[k++];
        WA_TRY(wa__batch_fill(&b, j->order, j->texts, wa__tokenizer_pad_id(j->m->tokenizer), wa__str(wa__plan_text(p, io->name)), v, err));
    }
    return WA_OK;
}

/* --- running ------------------------------------------------------------------------------------ */

/* Whole wall time: between stages the host plans, trims and decides. */
static wa_status once_staged(job *j, wa_run_stats *stats, const wa_run_control *c, wa_error *err)
{
    double start = wa__os_now_ms();
    WA_TRY(wa__program_run(j->choice.session->program, j->inputs, j->input_count, j->outputs, j->output_count, c, &j->stages, err));
    stats->wall_ms = wa__os_now_ms() - start;
    stats->device_ms = j->stages.device_ms;
    stats->gpu_ms = j->stages.gpu_ms;
    stats->dispatches = j->stages.dispatches;
    stats->submits = j->stages.submits;
    stats->cpu_segments = j->stages.cpu_segments;
    stats->transfers = j->stages.transfers;
    if (j->stages.flops) j->on_target = (double)j->stages.flops_on_target / (double)j->stages.flops;
    return WA_OK;
}

static wa_status once(job *j, double *ms, wa_error *err)
{
    api_session *s = j->choice.session;
    wa_run_control c = control(j);
    wa_run_stats stats = {0};
    stats.gpu_ms = stats.device_ms = -1;
    wa_status st = j->staged ? once_staged(j, &stats, &c, err)
                             : s->runner->ops->run(s->runner, s->handle, j->entry, j->inputs, j->input_count, j->outputs, j->output_count, &c, &stats, err);
    if (st != WA_OK) return st;
    *ms = stats.wall_ms;
    j->stats = stats;
    if (j->first_ms < 0) j->first_ms = wa__os_now_ms() - j->a->created_ms;
    return WA_OK;
}

/* --- precision ------------------------------------------------------------------------------------ */
static bool on_or_default(wa_choice c, bool otherwise) { return c == WA_CHOICE_DEFAULT ? otherwise : c == WA_CHOICE_ON; }

static api_trial trial_of(job *j, size_t texts, const wa_run_control *c)
{
    return (api_trial){j->a, j->choice.session, j->m, &j->shape, j->inputs, j->outputs, NULL, j->input_count, j->output_count,
                       j->texts ? (int64_t)texts : -1, c};
}

/* What of the plan was found by running it: its keep, its numbers. */
static void took_plan(job *j)
{
    const api_session *s = j->choice.session;
    j->predicted = wa__plan_bytes(s->plan, s->target.target);
    j->actual = s->runner->ops->actual_bytes(s->runner);
}

static wa_status search_mixed(job *j, api_trial *t, wa_error *err)
{
    WA_TRY(api_reference(t, err));
    wa_status s = api_precision_search(t, &j->error, err);
    api_reference_free(t);
    WA_TRY(s);
    took_plan(j);
    api_precision_remember(t, &j->error);
    return WA_OK;
}

/* 16 bits will not do: the request goes on in mixed precision, and says so. t has its reference. */
static wa_status go_mixed(job *j, api_trial *t, const char *why, wa_error *err)
{
    char kept[256];
    j->shape.mixed = true;
    WA_TRY(api_precision_search(t, &j->error, err));
    api_precision_groups(j->shape.keep, kept, sizeof kept);
    snprintf(j->choice.fallback, sizeof j->choice.fallback, "%s: in 32 bits are now %s", why, kept);
    j->judged = true;
    took_plan(j);
    return WA_OK;
}

static bool all_finite(const wa_view *v, const api_trial *t)
{
    bool finite = true;
    for (uint32_t i = 0; i < t->output_count; i++) finite = finite && api_finite(&v[i], t->rows);
    return finite;
}

/* An output that is not finite where 32 bits give a finite one. */
static wa_status overflowed(job *j, api_trial *t, wa_error *err)
{
    if (all_finite(t->outputs, t)) return WA_OK;
    WA_TRY(api_reference(t, err));
    wa_status s = all_finite(t->want, t) ? go_mixed(j, t, "numbers passed what 16-bit floats hold", err) : WA_OK;
    api_reference_free(t);
    return s;
}

/* What 16 bits' rounding does not explain: an infinity on the way that a later operator hid. */
static bool lost(const api_error *e) { return e->known && !(e->cosine >= 0.99); }

/* After the first run of a request: how far it is from 32 bits, and once for a mixed plan what it keeps. */
static wa_status judge(job *j, size_t texts, wa_error *err)
{
    wa_run_control c = control(j);
    api_trial t = trial_of(j, texts, &c);
    bool fewer = j->shape.precision && j->shape.precision != 32, first = !j->judged;
    bool half = fewer && !j->shape.mixed && !j->staged && j->choice.session->plan->info.precision == 16;
    uint32_t keep;
    if (j->staged) return WA_OK;
    if (half) WA_TRY(overflowed(j, &t, err));
    if (!first || j->judged) return WA_OK;
    j->judged = true;
    if (j->shape.mixed) return j->error.known ? WA_OK : search_mixed(j, &t, err);
    if (!on_or_default(j->o->precision_error, fewer)) return WA_OK;
    if (api_precision_recall(&t, &j->error, &keep) && !(half && lost(&j->error))) return WA_OK;
    WA_TRY(api_reference(&t, err));
    api_precision_compare(&t, &j->error);
    api_precision_remember(&t, &j->error);
    wa_status s = half && lost(&j->error) ? go_mixed(j, &t, "16-bit floats lost the result", err) : WA_OK;
    api_reference_free(&t);
    return s;
}

static wa_status run_batches(job *j, bool keep, double *ms, wa_error *err)
{
    size_t n = j->texts ? j->o->text_count : 0, step = j->shape.batch ? j->shape.batch : 1;
    double one, total = 0;
    for (size_t first = 0; first == 0 || first < n; first += step) {
        size_t count = n - first < step ? n - first : step;
        if (n) WA_TRY(fill_texts(j, j->choice.session->plan, first, count, err));
        WA_TRY(once(j, &one, err));
        if (keep) WA_TRY(judge(j, count, err));
        total += one;
        if (!n || !keep) continue;
        for (size_t i = 0; i < count; i++) {
            float *row = j->rows + (int64_t)(first + i) * j->row_floats;
            memcpy(row, (const float *)j->outputs[0].data + (int64_t)i * j->row_floats, (size_t)j->row_floats * sizeof *row);
            if (j->o->row) j->o->row(j->o->user, first + i, row, (size_t)j->row_floats);
        }
        report(j, "run", first + count, n);
    }
    *ms = total;
    return WA_OK;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* How many runs a benchmark makes when not told. */
enum { FITTING_RUNS_MIN = 5, FITTING_RUNS_MAX = 100 };
#define FITTING_MS 3000.0

/* Runs until the time for that is over: what the first runs pay once (caches, clocks that idled) is not measured. */
static wa_status warm_up(job *j, double *last, wa_error *err)
{
    double start = wa__os_now_ms();
    *last = j->samples->first_ms = j->run_ms[0];
    while (wa__os_now_ms() - start < j->samples->warmup_ms) WA_TRY(run_batches(j, false, last, err));
    return WA_OK;
}

/* Runs after the measured ones, with each dispatch in a pass of its own: slower, so not among them. */
static wa_status profile(job *j, wa_error *err)
{
    const api_session *s = j->choice.session;
    uint32_t runs = j->samples && j->samples->profile_runs ? j->samples->profile_runs : 1;
    wa_status st = WA_OK;
    double ms;
    if (s->browser) wa__bridge_profile(s->runner, true);
    for (uint32_t i = 0; i < runs && st == WA_OK; i++) {
        st = run_batches(j, false, &ms, err);
        if (st == WA_OK && j->samples && s->plan) st = api_samples_profile(j->samples, s->plan, &j->stats, err);
    }
    if (s->browser) wa__bridge_profile(s->runner, false);
    return st;
}

/* The first run warms up and gives the answer; then `runs` measured ones. With one run asked for,
 * the first is the one reported. */
static wa_status measure(job *j, wa_error *err)
{
    uint32_t runs = j->o->runs ? j->o->runs : j->samples ? FITTING_RUNS_MAX : 1;
    j->run_ms = wa__alloc(runs, sizeof *j->run_ms);
    if (j->texts && j->output_count) {
        j->row_floats = j->outputs[0].type.rank == 2 ? j->outputs[0].type.dims[1] : 0;
        if (j->outputs[0].type.dtype != WA_F32 || j->row_floats <= 0) return wa__fail(err, WA_UNSUPPORTED, "the model gives no f32 vector a text");
        j->rows = wa__alloc(j->o->text_count, (size_t)j->row_floats * sizeof *j->rows);
    }
    if (!j->run_ms || (j->texts && !j->rows)) return wa__no_memory(err, "results");
    report(j, "run", 0, j->texts ? j->o->text_count : 0);
    WA_TRY(run_batches(j, true, &j->run_ms[0], err));
    if (j->samples) {
        double last;
        WA_TRY(warm_up(j, &last, err));
        if (!j->o->runs) runs = last > 0 && last < FITTING_MS / FITTING_RUNS_MAX ? FITTING_RUNS_MAX : last > FITTING_MS / FITTING_RUNS_MIN ? FITTING_RUNS_MIN : (uint32_t)(FITTING_MS / last);
    }
    for (uint32_t i = 0; i < runs && (runs > 1 || j->samples); i++) {
        WA_TRY(run_batches(j, false, &j->run_ms[i], err));
        if (j->samples) WA_TRY(api_samples_run(j->samples, runs, &j->stats, j->run_ms[i], err));
    }
    j->run_count = runs;
    if (j->o->profile) WA_TRY(profile(j, err));
    qsort(j->run_ms, runs, sizeof *j->run_ms, by_value);
    return WA_OK;
}

/* --- a stream ------------------------------------------------------------------------------------- */
static wa_status stream_shape(job *j, const wa_plan_target *t, wa_error *err)
{
    uint32_t batch, length;
    api_shape shape;
    WA_TRY(api_stream_bucket(j->stream, t, &batch, &length, err));
    WA_TRY(api_shape_embed(j->m, batch, length, &shape, err));
    shape.precision = j->shape.precision;
    shape.mixed = j->shape.mixed;
    shape.keep = j->shape.keep;
    j->shape = shape;
    return WA_OK;
}

/* In fewer bits than 32 the first batch is run once before the stream, as a request of its own, and judged. */
static wa_status judge_stream(job *j, wa_error *err)
{
    const wa_plan *p = j->choice.session->plan;
    double ms;
    uint32_t count = api_stream_first(j->stream, &j->texts, &j->order);
    wa_status s = make_views(j, p, err);
    if (s == WA_OK) s = fill_texts(j, p, 0, count, err);
    if (s == WA_OK) s = once(j, &ms, err);
    if (s == WA_OK) s = judge(j, count, err);
    free_views(j);
    j->texts = NULL;
    j->order = NULL;
    return s;
}

static wa_status run_stream(job *j, wa_error *err)
{
    wa_runner *r = j->choice.session->runner;
    if (j->shape.precision && j->shape.precision != 32) WA_TRY(judge_stream(j, err));
    wa_status s = api_stream_run(j->stream, j->choice.session, &j->shape, &j->streamed, err);
    j->rows = j->streamed.rows;
    if (s != WA_OK) return s;
    j->row_floats = j->streamed.row_floats;
    j->token_count = (size_t)j->streamed.tokens;
    j->stats = j->streamed.last;
    j->run_count = j->streamed.run_count;
    j->predicted = r->ops->predicted_bytes(r);
    j->actual = r->ops->actual_bytes(r);
    if (j->streamed.first_ms >= 0) j->first_ms = j->streamed.first_ms - j->a->created_ms;
    return WA_OK;
}

static json_t *stream_json(const job *j)
{
    const api_stream_report *s = &j->streamed;
    double seconds = s->wall_ms / 1e3;
    return json_pack("{s:I, s:I, s:I, s:I, s:i, s:i, s:f, s:f}", "texts", (json_int_t)s->texts, "tokens", (json_int_t)s->tokens, "padded_tokens", (json_int_t)s->padded_tokens,
                     "runs", (json_int_t)s->runs, "buckets", (int)s->buckets, "in_flight", (int)s->lanes, "wall_ms", s->wall_ms, "tokens_per_s",
                     seconds > 0 ? (double)s->tokens / seconds : 0.0);
}

/* Shapes or control flow that depend on data: planned stage by stage while it runs. */
static wa_status prepare_staged(job *j, double start, wa_error *err)
{
    j->staged = true;
    WA_TRY(api_session_stage(j->a, j->choice.session, j->m, &j->shape, err));
    j->load_ms = wa__os_now_ms() - start;
    return staged_views(j, err);
}

static double share_on_target(const wa_plan *p)
{
    uint64_t there = 0;
    for (uint32_t i = 0; i < p->segment_count; i++)
        if (p->segments[i].target == p->info.target) there += p->segments[i].flops;
    return p->info.flops ? (double)there / (double)p->info.flops : -1;
}

/* A mixed plan that an earlier request found. */
static void recall_mixed(job *j, const wa_run_control *c)
{
    api_trial t = trial_of(j, 0, c);
    uint32_t keep;
    if (j->shape.mixed && api_precision_recall(&t, &j->error, &keep)) j->shape.keep = keep;
}

static bool halves(const job *j) { return j->shape.precision == 16 || j->shape.mixed; }

/* What nobody measured on this adapter yet is measured now, and the model planned again where that chooses
 * otherwise. *start moves on by the time that took: loading is something else. */
static wa_status tuned_plan(job *j, wa_plan **p, double *start, wa_error *err)
{
    double before = wa__os_now_ms();
    api_session *s = j->choice.session;
    bool again = api_tune_first_use(j->a, s, *p, j->o, halves(j));
    j->tune_ms = wa__os_now_ms() - before;
    *start += j->tune_ms;
    if (!again) return WA_OK;
    wa__plan_free(*p);
    *p = NULL;
    return api_compile(j->a, j->m, &j->shape, &s->target, p, &j->plan_cached, err);
}

static wa_status compile(job *j, const wa_plan_target *t, wa_plan **out, wa_error *err);

static wa_status prepare(job *j, wa_error *err)
{
    api_session *s = j->choice.session;
    wa_plan *p = NULL;
    wa_run_control c = control(j);
    double start = wa__os_now_ms();
    report(j, "compile", 0, 0);
    if (j->stream) WA_TRY(stream_shape(j, &s->target, err));
    api_tune_target(j->a, s, j->o, halves(j));
    recall_mixed(j, &c);
    wa_status st = compile(j, &s->target, &p, err);
    if (st == WA_OK) st = tuned_plan(j, &p, &start, err);
    if (st == WA_DYNAMIC && strcmp(j->shape.task, "tensors") == 0) return prepare_staged(j, start, err);
    WA_TRY(st);
    j->predicted = wa__plan_bytes(p, s->target.target);
    j->on_target = share_on_target(p);
    j->plan_at_ms = wa__os_now_ms();
    report(j, "load", 0, 0);
    if (j->stream) c.lanes = api_stream_lanes(p, s->runner);
    c.lazy = j->o->precompile_shaders == WA_CHOICE_OFF;
    WA_TRY(api_session_load(j->a, s, j->m, p, &c, err));
    j->entry = 0;
    j->loaded_at_ms = wa__os_now_ms();
    j->load_ms = j->loaded_at_ms - start;
    j->actual = s->runner->ops->actual_bytes(s->runner);
    return j->stream ? WA_OK : make_views(j, s->plan, err);
}

/* --- the record ------------------------------------------------------------------------------------ */

static json_t *text(const char *s) { return s && *s ? json_string(s) : json_null(); }

static json_t *adapter_json(const wa_run_target *t, bool webnn)
{
    if (!t->browser) return json_null();
    if (webnn) return json_pack("{s:s, s:s, s:s, s:i}", "kind", "webnn", "device_type", t->webnn_device, "placement", t->webnn_placement, "methods", (int)t->nn->ops);
    return json_pack("{s:s?, s:s?, s:s?, s:s?, s:b, s:s}", "vendor", t->adapter_vendor, "architecture", t->adapter_architecture, "device", t->adapter_device,
                     "description", t->adapter_description, "software", t->adapter_software, "kind", t->adapter_software ? "software" : "hardware");
}

static json_t *kernels_json(const job *j)
{
    const wa_plan *p = j->choice.session->plan;
    if (!j->stats.dispatch_us || p->info.target == WA_TARGET_WEBNN) return NULL; /* a graph is one dispatch */
    json_t *list = json_array();
    const wa_plan_entry *e = &p->entries[j->entry];
    for (uint32_t s = 0, at = 0; s < e->segment_count; s++) {
        const wa_plan_segment *seg = &p->segments[e->segment_first + s];
        for (uint32_t i = 0; i < seg->count; i++, at++) {
            bool gpu = seg->target == WA_TARGET_WEBGPU;
            if (gpu != (p->info.target == WA_TARGET_WEBGPU)) break; /* a CPU segment between: not measured */
            const char *label = wa__plan_text(p, gpu ? p->dispatches[seg->first + i].label : p->calls[seg->first + i].label);
            double predicted = gpu ? p->dispatches[seg->first + i].predicted_ns / 1e3 : 0;
            if (j->stats.dispatch_us[at] < 0) continue;
            json_array_append_new(list, json_pack("{s:s, s:f, s:f}", "label", label, "us", j->stats.dispatch_us[at], "predicted_us", predicted));
        }
    }
    return list;
}

static bool record_where(job *j)
{
    wa_result *r = j->r;
    const wa_run_target *t = j->choice.session->runner->ops->target(j->choice.session->runner);
    const wa_browser *b = j->choice.session->browser; /* it knows its whole version, the page a shortened one */
    const char *version = b && strchr(wa__browser_version(b), '/') ? strchr(wa__browser_version(b), '/') + 1 : t->browser_version;
    bool webnn = j->choice.session->target.target == WA_TARGET_WEBNN;
    bool ok = api_result_set(r, "target", text(webnn ? "webnn" : t->target)) && api_result_set(r, "browser", t->browser ? text(j->choice.session->family) : NULL) &&
              api_result_set(r, "browser_version", text(version)) &&
              api_result_set(r, "adapter", adapter_json(t, webnn)) && api_result_set(r, "adapter_is_software", t->browser && !webnn ? json_boolean(t->adapter_software) : NULL) &&
              api_result_set(r, "simulated", json_boolean(j->choice.simulated)) && api_result_set(r, "real", json_boolean(!j->choice.simulated)) &&
              api_result_set(r, "fallback", text(j->choice.fallback)) && api_result_set(r, "reason", text(j->choice.reason));
    if (t->browser) ok = ok && api_result_set(r, "adapter_name", webnn ? json_sprintf("WebNN asked for %s, placement %s", t->webnn_device, t->webnn_placement) : text(api_adapter_name(t)));
    return ok;
}

static bool record_numbers(job *j)
{
    wa_result *r = j->r;
    const api_session *s = j->choice.session;
    const double *ms = j->stream ? j->streamed.run_ms : j->run_ms;
    double median = ms[j->run_count / 2], p90 = ms[(uint64_t)j->run_count * 9 / 10 < j->run_count ? (uint64_t)j->run_count * 9 / 10 : j->run_count - 1];
    double items = j->stream ? (double)j->streamed.texts : j->texts ? (double)j->o->text_count : j->shape.batch ? (double)j->shape.batch : 1;
    double spent = j->stream ? j->streamed.wall_ms : median; /* a stream's runs overlap */
    return api_result_set(r, "latency_ms", json_real(median)) && api_result_set(r, "latency_p90_ms", json_real(p90)) &&
           api_result_set(r, "inference_time", json_real(median / 1e3)) && api_result_set(r, "throughput", spent > 0 ? json_real(items * 1e3 / spent) : NULL) &&
           api_result_set(r, "runs", json_integer(j->run_count)) && api_result_set(r, "gpu_ms", j->stats.gpu_ms >= 0 ? json_real(j->stats.gpu_ms) : NULL) &&
           api_result_set(r, "load_ms", json_real(j->load_ms)) && api_result_set(r, "tune_ms", j->tune_ms >= 1 ? json_real(j->tune_ms) : NULL) && api_result_set(r, "first_result_ms", json_real(j->first_ms)) &&
           api_result_set(r, "memory_bytes", json_pack("{s:I, s:I}", "predicted", (json_int_t)j->predicted, "actual", (json_int_t)j->actual)) &&
           api_result_set(r, "memory_predicted_bytes", json_integer((json_int_t)j->predicted)) && api_result_set(r, "memory_actual_bytes", json_integer((json_int_t)j->actual)) &&
           api_result_set(r, "memory_usage_mb", json_real((double)j->actual / 1e6)) && api_result_set(r, "dispatches", json_integer(j->stats.dispatches)) &&
           api_result_set(r, "cpu_segments", json_integer(s->target.target == WA_TARGET_CPU ? 0 : j->stats.cpu_segments)) &&
           api_result_set(r, "on_target", j->on_target >= 0 ? json_real(j->on_target) : NULL) &&
           api_result_set(r, "stages", json_integer(j->staged ? j->stages.stages : 1)) &&
           api_result_set(r, "transfers", json_integer(j->stats.transfers)) && api_result_set(r, "batch", json_integer(j->shape.batch)) && api_result_set(r, "tokens", j->texts || j->stream ? json_integer((json_int_t)j->token_count) : NULL);
}

static bool record_model(job *j)
{
    wa_result *r = j->r;
    const wa_accelerate_options *o = j->o;
    char now[32], hex[65], host[128], cpu[128], os[256];
    uint8_t id[16];
    if (wa__os_random(id, sizeof id, NULL) != WA_OK) memset(id, 0, sizeof id);
    const char *family = j->choice.session->family;
    bool measured = j->choice.session->target.tile_count > 0; /* kernel choices of this adapter were at hand */
    bool images = strcmp(j->m->model_type, "vision") == 0 || strcmp(j->m->model_type, "multimodal") == 0;
    wa__os_utc(now);
    wa__os_host(host, sizeof host);
    wa__os_cpu_name(cpu, sizeof cpu);
    wa__os_name(os, sizeof os);
    bool ok = api_result_set(r, "status", json_string("success")) && api_result_set(r, "timestamp", json_string(now)) &&
              api_result_set(r, "model_name", text(o->model)) && api_result_set(r, "model_type", text(j->m->model_type)) &&
              api_result_set(r, "model_cid", text(j->m->cid)) && api_result_set(r, "task", text(j->shape.task)) &&
              api_result_set(r, "precision", json_integer(j->staged ? (j->shape.precision ? j->shape.precision : 32) : j->choice.session->plan->info.precision)) && api_result_set(r, "mixed_precision", json_boolean(j->shape.mixed)) &&
              api_result_set(r, "precision_error", api_precision_json(&j->error)) &&
              api_result_set(r, "ipfs_accelerated", json_boolean(j->m->by_cid)) && api_result_set(r, "ipfs_cache_hit", json_boolean(j->m->cache_hit)) &&
              api_result_set(r, "use_firefox_optimizations", json_boolean(measured && (strcmp(family, "firefox") == 0 || j->choice.session->tuned->foreign))) &&
              api_result_set(r, "compute_shaders", json_boolean(measured)) &&
              api_result_set(r, "precompile_shaders", json_boolean(on_or_default(o->precompile_shaders, true))) &&
              api_result_set(r, "parallel_loading", json_boolean(on_or_default(o->parallel_loading, images))) && api_result_set(r, "energy_efficiency_score", NULL) &&
              api_result_set(r, "host", json_string(host)) && api_result_set(r, "version", json_string(wa_version())) &&
              api_result_set(r, "plan_cached", json_boolean(j->plan_cached)) &&
              api_result_set(r, "system", json_pack("{s:s, s:i, s:I, s:s}", "cpu", cpu, "cores", (int)wa__os_cores(), "memory_bytes", (json_int_t)wa__os_memory_bytes(), "os", os));
    wa__hex(id, 16, hex);
    ok = ok && api_result_set(r, "run_id", json_string(hex));
    if (j->staged) return ok; /* many plans, or none that lasts */
    wa__hex(j->choice.session->plan->info.key, 32, hex);
    return ok && api_result_set(r, "plan_key", json_string(hex));
}

static wa_status collect_staged(job *j, wa_error *err)
{
    const wa_graph *g = j->m->graph;
    for (uint32_t i = 0; i < g->output_count; i++) {
        size_t n = (size_t)wa__bytes(&j->outputs[i].type);
        void *copy = wa__alloc(1, n + 1);
        wa_str name = g->values[g->outputs[i]].name;
        char *text_name = wa__strndup(name.ptr, name.len);
        if (copy && n) memcpy(copy, j->outputs[i].data, n);
        bool ok = copy && text_name && api_result_output(j->r, text_name, &j->outputs[i].type, copy);
        wa__free(text_name);
        if (!ok) {
            wa__free(copy);
            return wa__no_memory(err, "outputs");
        }
        j->outputs[i].data = NULL; /* the program's */
    }
    return WA_OK;
}

static wa_status collect_outputs(job *j, wa_error *err)
{
    if (j->staged) return collect_staged(j, err);
    const wa_plan *p = j->choice.session->plan;
    const wa_plan_entry *e = &p->entries[j->entry];
    bool ok = true;
    if (j->stream && !j->rows) return WA_OK; /* each went out as it came */
    if (j->texts || j->stream) {
        wa_tensor_type t = {WA_F32, 2, {(int64_t)(j->stream ? j->streamed.texts : j->o->text_count), j->row_floats}};
        ok = api_result_output(j->r, "embedding", &t, j->rows);
        if (ok) j->rows = NULL;
        j->r->embedding = true;
    }
    for (uint32_t i = 0, k = 0; !j->texts && !j->stream && ok && i < e->io_count; i++) {
        const wa_plan_io *io = &p->ios[e->io_first + i];
        if (!io->is_output) continue;
        ok = api_result_output(j->r, wa__plan_text(p, io->name), &j->outputs[k].type, j->outputs[k].data);
        if (ok) j->outputs[k].data = NULL;
        k++;
    }
    if (!j->texts && !j->stream) j->r->embedding = strcmp(j->shape.task, "embed") == 0;
    return ok ? WA_OK : wa__no_memory(err, "outputs");
}

static void done(job *j)
{
    api_stream_close(j->stream);
    free_views(j);
    for (size_t i = 0; j->texts && i < j->o->text_count; i++) wa__encoding_done(&j->texts[i]);
    wa__free(j->texts);
    wa__free(j->order);
    wa__free(j->rows);
    wa__free(j->run_ms);
}

static wa_status check_options(const wa_accelerate_options *o, wa_error *err)
{
    static const char *const tasks[] = {"embed", "tensors"};
    bool known = !o->task;
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) known = known || strcmp(o->task, tasks[i]) == 0;
    if (!known) return wa__fail(err, WA_UNSUPPORTED, "task \"%s\" is not known; this build has embed and tensors", o->task);
    if (o->precision != 0 && o->precision != 32 && o->precision != 16 && o->precision != 8 && o->precision != 4)
        return wa__fail(err, WA_INVALID_ARGUMENT, "precision %u: it is 32, 16, 8 or 4", o->precision);
    if (o->text_count > UINT32_MAX / 2) return wa__fail(err, WA_LIMIT, "%zu texts at once; split them", o->text_count);
    if (o->next && (o->text_count || o->runs > 1 || o->profile)) return wa__fail(err, WA_INVALID_ARGUMENT, "a source of texts is read once: give no texts beside it, one run, no profile");
    if ((o->text_count || o->next) && o->input_count) return wa__fail(err, WA_INVALID_ARGUMENT, "give texts or named inputs, not both");
    return WA_OK;
}

/* Says what GPU memory the run will take before any browser starts: the plan for what its last session
 * offered, which is the one that runs unless the adapter changed. */
static wa_status predict(job *j, wa_error *err)
{
    wa_plan_target t;
    wa_plan *p = NULL;
    bool cached;
    char name[128];
    api_tuned *tuned;
    if (!api_target_expected(j->a, j->o, j->m->model_type, &t, name)) return WA_OK;
    if (j->stream) WA_TRY(stream_shape(j, &t, err));
    api_tune_expected(j->a, name, j->o, halves(j), &t, &tuned);
    wa_error why = {0};
    wa_status s = api_compile(j->a, j->m, &j->shape, &t, &p, &cached, &why);
    wa__free(tuned);
    if (s == WA_DYNAMIC) return WA_OK; /* known stage by stage */
    if (s == WA_UNSUPPORTED) return WA_OK; /* by what is known of the adapter: the adapter itself decides */
    if (s != WA_OK && err) *err = why;
    WA_TRY(s);
    j->predicted = wa__plan_bytes(p, WA_TARGET_WEBGPU);
    j->expected = p;
    j->expected_at_ms = wa__os_now_ms();
    return WA_OK;
}

/* The plan for the session's target: often the one that was expected. */
static wa_status compile(job *j, const wa_plan_target *t, wa_plan **out, wa_error *err)
{
    wa_plan *p = j->expected;
    j->expected = NULL;
    if (p && api_compiled_for(j->m, &j->shape, t, p)) {
        *out = p;
        return WA_OK;
    }
    wa__plan_free(p);
    return api_compile(j->a, j->m, &j->shape, t, out, &j->plan_cached, err);
}

static wa_status choose(job *j, api_session *pinned, wa_error *err)
{
    if (pinned) {
        j->choice.session = pinned;
        snprintf(j->choice.reason, sizeof j->choice.reason, "the bridge asked for");
        return WA_OK;
    }
    if (!j->ahead) return api_target_choose(j->a, j->o, j->m->model_type, &j->choice, err);
    api_ahead *h = j->ahead;
    j->ahead = NULL;
    return api_ahead_take(h, &j->choice, err);
}

/* Everything that does not need the target. */
static wa_status read_request(job *j, bool pinned, wa_error *err)
{
    if (streams(j)) WA_TRY(api_stream_open(j->a, j->m, j->o, &j->stream, err));
    else WA_TRY(j->o->text_count ? tokenize(j, err) : named_inputs(j, err));
    j->tokens_at_ms = wa__os_now_ms();
    j->shape.precision = j->o->precision;
    j->shape.mixed = j->o->mixed_precision;
    if (j->shape.mixed && (j->shape.precision == 0 || j->shape.precision == 32)) j->shape.precision = 16;
    return pinned ? WA_OK : predict(j, err);
}

static json_t *since(const job *j, double at_ms) { return at_ms > 0 ? json_real(at_ms - j->a->created_ms) : json_null(); }

/* When what was there, in milliseconds from the accelerator's creation; `page`: lengths of the page's own steps. */
static json_t *timeline_json(const job *j)
{
    const api_session *s = j->choice.session;
    json_t *o = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f}", "model", since(j, j->model_at_ms), "tokens", since(j, j->tokens_at_ms), "expected_plan", since(j, j->expected_at_ms),
                          "browser", since(j, s->launched_at_ms), "hello", since(j, s->hello_at_ms), "plan", since(j, j->plan_at_ms), "loaded", since(j, j->loaded_at_ms), "first_result",
                          j->first_ms);
    if (!o || !s->browser || j->staged) return o;
    wa_bridge_load_times t = wa__bridge_load_times(s->runner);
    const wa_bridge_hello *h = wa__bridge_hello(s->runner);
    json_t *page = json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "hello", h->opened_ms, "adapter", h->adapter_ms, "manifest", t.manifest_ms, "weights", t.weights_ms, "pipelines", t.pipelines_ms,
                             "load", t.load_ms);
    if (json_object_set_new(o, "page", page) == 0) return o;
    json_decref(o);
    return NULL;
}

static wa_status execute(job *j, api_session *pinned, wa_error *err)
{
    WA_TRY(check_options(j->o, err));
    report(j, "import", 0, 0);
    WA_TRY(api_model_open(j->a, j->o->model, j->o->model_type, &j->m, err));
    j->shape.task = j->o->task ? j->o->task : j->o->text_count || j->o->next ? "embed" : "tensors";
    if (strcmp(j->shape.task, "tensors") == 0 && (j->o->text_count || j->o->next))
        return wa__fail(err, WA_INVALID_ARGUMENT, "task tensors takes named inputs (--input), not texts");
    j->model_at_ms = wa__os_now_ms();
    if (!pinned) j->ahead = api_ahead_start(j->a, j->o, j->m->model_type);
    WA_TRY(read_request(j, pinned != NULL, err));
    report(j, "browser", 0, 0);
    WA_TRY(choose(j, pinned, err));
    WA_TRY(prepare(j, err));
    WA_TRY(j->stream ? run_stream(j, err) : measure(j, err));
    if (j->staged) {
        j->predicted = wa__program_bytes(j->choice.session->program);
        j->actual = j->choice.session->runner->ops->actual_bytes(j->choice.session->runner);
    }
    if (!record_model(j) || !record_where(j) || !record_numbers(j)) return wa__no_memory(err, "the result");
    if (!api_result_set(j->r, "timeline_ms", timeline_json(j))) return wa__no_memory(err, "the result");
    if (j->stream && !api_result_set(j->r, "stream", stream_json(j))) return wa__no_memory(err, "the result");
    json_t *kernels = j->o->profile && !j->staged ? kernels_json(j) : NULL;
    if (kernels && !api_result_set(j->r, "kernels", kernels)) return wa__no_memory(err, "the result");
    return collect_outputs(j, err);
}

wa_status api_run(wa_accelerator *a, api_session *pinned, const wa_accelerate_options *o, wa_result **out, wa_error *err)
{
    return api_run_sampled(a, pinned, o, NULL, out, err);
}

wa_status api_run_sampled(wa_accelerator *a, api_session *pinned, const wa_accelerate_options *o, api_samples *samples, wa_result **out, wa_error *err)
{
    job j = {0};
    j.a = a;
    j.o = o;
    j.samples = samples;
    j.first_ms = j.on_target = -1;
    j.r = api_result_new();
    if (!j.r) return wa__no_memory(err, "the result");
    wa_status s = execute(&j, pinned, err);
    if (j.ahead) { /* failed meanwhile: the browser stays, for the next request */
        wa_status other = api_ahead_take(j.ahead, &j.choice, NULL);
        (void)other;
    }
    wa__plan_free(j.expected);
    /* A page that stopped answering is not used again. */
    if (j.choice.session && j.choice.session->browser && (s == WA_TIMEOUT || s == WA_DEVICE_LOST || s == WA_PROTOCOL || s == WA_BROWSER))
        api_session_close(a, j.choice.session);
    if (samples) samples->session = j.choice.session;
    done(&j);
    if (s == WA_OK) {
        if (a->store_results && !samples) api_result_store(a, j.r);
        *out = j.r;
    } else wa_result_free(j.r);
    return s;
}
