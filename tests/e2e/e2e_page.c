/* The page in a real browser: hello, the small-run benchmark, and plans made by hand.
 * usage: e2e_page chromium|firefox [page folder]     exits 77 when the browser is not installed */
#include "e2e.h"
#include "base/str.h"

static int hello(wa_runner *r)
{
    const wa_bridge_hello *h = wa__bridge_hello(r);
    const wa_run_target *t = r->ops->target(r);
    printf("hello: %s %s, worker %d, isolated %d, webnn %d\n", h->browser, h->version, h->worker, h->isolated, h->webnn);
    printf("adapter: '%s' '%s' '%s' '%s', software %d (%s)\n", t->adapter_vendor, t->adapter_architecture, t->adapter_device,
           t->adapter_description, t->adapter_software, h->software_reason);
    printf("limits: buffer %llu, binding %llu, workgroup %u, invocations %u, features %u\n", (unsigned long long)t->limit_buffer,
           (unsigned long long)t->limit_binding, t->workgroup_bytes, t->invocations, t->features);
    printf("adapter %.0f ms, URL to hello %.0f ms\n", h->adapter_ms, h->hello_ms);
    if (!h->worker || !h->isolated || !h->webgpu || t->limit_buffer < 256u << 20) {
        fprintf(stderr, "the session is not what it should be: %s\n", h->json);
        return 1;
    }
    return 0;
}

static int bench(wa_runner *r, bool firefox)
{
    wa_bridge_bench b;
    wa_error err = {0};
    CHECK(wa__bridge_bench(r, 60, &b, &err), err);
    printf("small run: ours %.2f ms (min %.2f, p90 %.2f), plain mapAsync %.2f (min %.2f, p90 %.2f); trip %.3f ms; upload %.2f GB/s, fetch %.2f\n", b.ours_ms, b.ours_min_ms,
           b.ours_p90_ms, b.plain_ms, b.plain_min_ms, b.plain_p90_ms, b.trip_ms, b.upload_gbps, b.fetch_gbps);
    (void)firefox;
    return 0;
}

/* --- a plan made by hand -------------------------------------------------------------------------- */
/* Weights: 5 MiB as they are (two records that merge), a [1500, 1600] f16 matrix transposed to f32 in
 * several pieces. Entry: an i64 input copied to an output, and the weights copied to another. */
enum { PLAIN = 5 << 20, ROWS = 1500, COLS = 1600, N = 100000 /* an input that does not go inline */, COPY_KERNEL = 10, SRC_PAD = 6 };
#define MATRIX_BYTES ((uint64_t)ROWS * COLS * 4)

typedef struct hand {
    wa_plan p;
    wa_plan_source source;
    wa_plan_buffer buffers[10];
    wa_plan_weight weights[3];
    wa_plan_entry entry;
    wa_plan_io ios[3];
    wa_plan_segment segment;
    wa_plan_pipeline pipeline;
    wa_plan_bind binds[4];
    wa_plan_dispatch dispatches[2];
    uint8_t data[512];
} hand;

static void dispatch(hand *m, uint32_t i, uint32_t words)
{
    uint32_t params[8] = {1, words, words, 0, 0, 0, words, 0}, groups = (words + 63) / 64, x = groups < 65535 ? groups : 65535;
    memcpy(m->data + i * 256, params, sizeof params);
    m->dispatches[i] = (wa_plan_dispatch){.bind_first = 2 * i, .bind_count = 2, .grid = {x, (groups + x - 1) / x, 1}, .params_offset = 256 * i,
                                          .params_size = 32, .indirect_buffer = WA_NONE, .label = 1, .predicted_ns = 1000};
}

static void make_plan(hand *m, uint64_t source_size)
{
    static char text[] = "\0copy\0timestamps";
    uint64_t weights = PLAIN + MATRIX_BYTES;
    const uint64_t sizes[10] = {weights, N * 4, N * 4, 512, 1 << 20, N * 4, weights, weights, 256, 256};
    const uint32_t kinds[10] = {WA_BUFFER_KIND_WEIGHTS, WA_BUFFER_KIND_ARENA, WA_BUFFER_KIND_ARENA, WA_BUFFER_KIND_PARAMS, WA_BUFFER_KIND_STAGING,
                               WA_BUFFER_KIND_READBACK, WA_BUFFER_KIND_ARENA, WA_BUFFER_KIND_READBACK, WA_BUFFER_KIND_QUERY, WA_BUFFER_KIND_READBACK};
    for (int i = 0; i < 10; i++) m->buffers[i] = (wa_plan_buffer){sizes[i], kinds[i], WA_TARGET_WEBGPU, i == 9 ? 6 : 0, 0};
    m->source = (wa_plan_source){source_size, 0, 0};
    m->weights[0] = (wa_plan_weight){.offset = SRC_PAD, .length = 1 << 20, .dst_length = 1 << 20, .dtype = WA_F32};
    m->weights[1] = (wa_plan_weight){.offset = SRC_PAD + (1 << 20), .length = 4 << 20, .dst_offset = 1 << 20, .dst_length = 4 << 20, .dtype = WA_F32};
    m->weights[2] = (wa_plan_weight){.offset = SRC_PAD + PLAIN, .length = (uint64_t)ROWS * COLS * 2, .dst_offset = PLAIN, .dst_length = MATRIX_BYTES,
                                     .transform = WA_TRANSFORM_TRANSPOSE2D, .p = {ROWS, COLS, WA_F16, ROWS, 0}, .dtype = WA_F16};
    m->ios[0] = (wa_plan_io){.dtype = WA_I64, .device_dtype = WA_I32, .rank = 1, .buffer = 1, .dims = {N}, .length = N * 4, .readback = WA_NONE, .name = 6};
    m->ios[1] = (wa_plan_io){.is_output = 1, .dtype = WA_I64, .device_dtype = WA_I32, .rank = 1, .buffer = 2, .dims = {N}, .length = N * 4, .readback = 5};
    m->ios[2] = (wa_plan_io){.is_output = 1, .dtype = WA_F32, .device_dtype = WA_F32, .rank = 1, .buffer = 6, .dims = {(int64_t)weights / 4},
                             .length = weights, .readback = 7};
    m->binds[0] = (wa_plan_bind){0, N * 4, 1, 0};
    m->binds[1] = (wa_plan_bind){0, N * 4, 2, 1};
    m->binds[2] = (wa_plan_bind){0, weights, 0, 0};
    m->binds[3] = (wa_plan_bind){0, weights, 6, 1};
    m->pipeline.spec = (wa_wgsl_spec){.kernel = COPY_KERNEL, .spec = {WA_TRANSFORM_COPY2D, WA_F32}};
    dispatch(m, 0, N);
    dispatch(m, 1, (uint32_t)(weights / 4));
    m->segment = (wa_plan_segment){.target = WA_TARGET_WEBGPU, .count = 2, .predicted_ns = 2000};
    m->entry = (wa_plan_entry){.io_count = 3, .segment_count = 1};
    m->p = (wa_plan){.sources = &m->source, .source_count = 1, .buffers = m->buffers, .buffer_count = 10, .weights = m->weights, .weight_count = 3,
                     .entries = &m->entry, .entry_count = 1, .ios = m->ios, .io_count = 3, .segments = &m->segment, .segment_count = 1,
                     .pipelines = &m->pipeline, .pipeline_count = 1, .binds = m->binds, .bind_count = 4, .dispatches = m->dispatches,
                     .dispatch_count = 2, .data = m->data, .data_length = sizeof m->data, .text = text, .text_length = sizeof text};
    m->p.info = (wa_plan_info){.target = WA_TARGET_WEBGPU, .params_buffer = 3, .params_length = 512};
}

static int check_weights(const uint8_t *source, const float *got)
{
    if (memcmp(got, source + SRC_PAD, PLAIN) != 0) {
        fprintf(stderr, "weights uploaded as they are came back changed\n");
        return 1;
    }
    got += PLAIN / 4;
    for (uint64_t i = 0; i < (uint64_t)ROWS * COLS; i++) {
        uint16_t half;
        memcpy(&half, source + SRC_PAD + PLAIN + i * 2, 2);
        float want = wa__f16_to_f32(half), have = got[i % COLS * ROWS + i / COLS];
        if (want == have) continue;
        fprintf(stderr, "the transposed matrix at [%llu, %llu] is %g, not %g\n", (unsigned long long)(i / COLS), (unsigned long long)(i % COLS), (double)have, (double)want);
        return 1;
    }
    return 0;
}

static int runs(wa_runner *r, hand *m, uint32_t handle, const uint8_t *source)
{
    wa_error err = {0};
    int64_t *in = calloc(N, 8), *out = calloc(N, 8);
    float *big = malloc(PLAIN + MATRIX_BYTES);
    for (int i = 0; i < N; i++) in[i] = i % 1000 * 1000003LL - 500000000;
    wa_view input = {{WA_I64, 1, {N}}, in}, outputs[2] = {{{WA_I64, 1, {N}}, out}, {{WA_F32, 1, {(int64_t)(PLAIN + MATRIX_BYTES) / 4}}, big}};
    wa_run_stats st;
    const wa_run_control c = {.timeout_ms = 60000};
    for (int i = 0; i < 4; i++) {
        memset(out, 0, N * 8);
        wa__bridge_profile(r, i == 3 && (r->ops->target(r)->features & WA_FEATURE_TIMESTAMP));
        CHECK(r->ops->run(r, handle, 0, &input, 1, outputs, 2, &c, &st, &err), err);
        printf("run %d: wall %.1f ms, page %.1f, gpu %.2f, %u dispatches, %u submits%s\n", i, st.wall_ms, st.device_ms, st.gpu_ms, st.dispatches, st.submits,
               st.dispatch_us ? ", profiled" : "");
        if (memcmp(in, out, N * 8) != 0 || st.dispatches != 2 || check_weights(source, big) ||
            ((r->ops->target(r)->features & WA_FEATURE_TIMESTAMP) && st.gpu_ms <= 0)) {
            fprintf(stderr, "run %d gave wrong results\n", i);
            return 1;
        }
    }
    in[7] = 1LL << 40;
    if (r->ops->run(r, handle, 0, &input, 1, outputs, 2, &c, &st, &err) != WA_UNSUPPORTED || !strstr(err.message, "element 7")) {
        fprintf(stderr, "an input beyond 32 bits was not refused: %s\n", err.message);
        return 1;
    }
    (void)m;
    free(in), free(out), free(big);
    return 0;
}

/* The same plan twice: the second load shares weights, arenas and staging, and has three runs in flight whose
 * results must not mix. */
static int in_flight(wa_runner *r, hand *m, const wa_run_source *source)
{
    enum { LANES = 3, ROUNDS = 9 };
    wa_error err = {0};
    const wa_run_control c = {.timeout_ms = 60000, .lanes = LANES};
    uint32_t first, second;
    CHECK(r->ops->load(r, &m->p, source, 1, &(wa_run_control){.timeout_ms = 60000}, &first, &err), err);
    uint64_t one = r->ops->actual_bytes(r), own = 512 + 3 * (N * 4 + 256 + PLAIN + MATRIX_BYTES) + 256; /* parameters, readbacks, query */
    CHECK(r->ops->load(r, &m->p, source, 1, &c, &second, &err), err);
    printf("a second load of the plan, for %d runs in flight: %llu bytes more\n", LANES, (unsigned long long)(r->ops->actual_bytes(r) - one));
    if (r->ops->actual_bytes(r) != one + own || r->ops->predicted_bytes(r) != one + own) return 1;
    CHECK(r->ops->unload(r, first, &err), err); /* what is shared stays */
    int64_t in[LANES][N], *out = calloc(N, 8);
    uint64_t tickets[LANES];
    float *big = malloc(PLAIN + MATRIX_BYTES);
    wa_view outputs[2] = {{{WA_I64, 1, {N}}, out}, {{WA_F32, 1, {(int64_t)(PLAIN + MATRIX_BYTES) / 4}}, big}};
    for (int i = 0; i < ROUNDS + LANES; i++) {
        int k = i % LANES;
        if (i >= LANES) {
            CHECK(r->ops->finish(r, tickets[k], outputs, 2, &c, NULL, &err), err);
            if (memcmp(in[k], out, N * 8) != 0 || check_weights(source->data, big)) {
                fprintf(stderr, "run %d in flight gave another's results\n", i - LANES);
                return 1;
            }
        }
        if (i >= ROUNDS) continue;
        for (int e = 0; e < N; e++) in[k][e] = i * 1000 + e;
        wa_view input = {{WA_I64, 1, {N}}, in[k]};
        CHECK(r->ops->begin(r, second, 0, &input, 1, &tickets[k], &err), err);
    }
    if (r->ops->finish(r, tickets[0], outputs, 2, &c, NULL, &err) != WA_NOT_FOUND) return 1;
    CHECK(r->ops->unload(r, second, &err), err);
    free(out), free(big);
    return r->ops->actual_bytes(r) != 0;
}

static int plans(wa_runner *r)
{
    wa_error err = {0};
    hand *m = calloc(1, sizeof *m);
    uint64_t size = SRC_PAD + PLAIN + (uint64_t)ROWS * COLS * 2;
    uint8_t *source = malloc(size);
    for (uint64_t i = 0; i < size; i++) source[i] = (uint8_t)((i * 2654435761u) >> 13) & 0xbb; /* no NaN as f16 or f32 */
    make_plan(m, size);
    if (wa__wgsl_check(&m->pipeline.spec, NULL, NULL, &err) != WA_OK) {
        fprintf(stderr, "SKIPPED the plan made by hand: this build has no WGSL kernels (%s)\n", err.message);
        return 0;
    }
    wa_run_source s = {source, size};
    const wa_run_control c = {.timeout_ms = 60000};
    uint32_t handle;
    double start = wa__os_now_ms();
    CHECK(r->ops->load(r, &m->p, &s, 1, &c, &handle, &err), err);
    printf("load: %.0f ms, %llu bytes made, %llu predicted\n", wa__os_now_ms() - start, (unsigned long long)r->ops->actual_bytes(r),
           (unsigned long long)wa__plan_bytes(&m->p, WA_TARGET_WEBGPU));
    if (runs(r, m, handle, source)) return 1;
    CHECK(r->ops->unload(r, handle, &err), err);
    if (in_flight(r, m, &s)) return 1;
    m->pipeline.spec.spec[1] = WA_I4; /* a spec that its kernel refuses */
    if (r->ops->load(r, &m->p, &s, 1, &c, &handle, &err) == WA_OK) return 1;
    m->pipeline.spec.spec[1] = WA_F32;
    m->binds[1].buffer = 1; /* reads and writes one buffer: the browser's validation must name the dispatch */
    CHECK(r->ops->load(r, &m->p, &s, 1, &c, &handle, &err), err);
    int64_t *in = calloc(N, 8);
    float *big = malloc(PLAIN + MATRIX_BYTES);
    wa_view input = {{WA_I64, 1, {N}}, in}, outputs[2] = {{{WA_I64, 1, {N}}, in}, {{WA_F32, 1, {(int64_t)(PLAIN + MATRIX_BYTES) / 4}}, big}};
    wa_status bad = r->ops->run(r, handle, 0, &input, 1, outputs, 2, &c, NULL, &err);
    printf("a broken dispatch: %s\n", err.message);
    if (bad == WA_OK || !strstr(err.message, "copy")) return 1;
    CHECK(r->ops->unload(r, handle, &err), err);
    const char *why = "";
    if (r->ops->actual_bytes(r) != 0 || !wa__bridge_alive(r, &why)) {
        fprintf(stderr, "after it all: %llu bytes, %s\n", (unsigned long long)r->ops->actual_bytes(r), why);
        return 1;
    }
    free(in), free(big), free(source), free(m);
    return 0;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "chromium";
    char *path = e2e_find(name), *url = NULL;
    if (!path) {
        fprintf(stderr, "SKIPPED: %s is not installed, so nothing of the page was tested in it\n", name);
        return 77;
    }
    wa__free(path);
    wa_error err = {0};
    wa_bridge_host *h;
    uint64_t ticket;
    CHECK(wa__bridge_host_create(argc > 2 ? argv[2] : NULL, &h, &err), err);
    CHECK(wa__bridge_host_url(h, NULL, &url, &ticket, &err), err);
    e2e_browser b;
    if (e2e_start(name, url, &b)) return 1;
    wa__free(url);
    wa_bridge_wants w = {.timeout_ms = 60000, .alive = e2e_alive, .user = &b, .probably_software = true};
    wa_runner *r = NULL;
    int bad = 1;
    if (wa__bridge_host_wait(h, ticket, &w, &r, &err) != WA_OK) fprintf(stderr, "no session: %s\n", err.message);
    else bad = hello(r) || plans(r) || bench(r, name[0] == 'f');
    if (r) r->ops->free(r);
    e2e_stop(&b);
    wa__bridge_host_free(h);
    return bad;
}
