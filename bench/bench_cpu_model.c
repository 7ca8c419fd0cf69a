/* An encoder's ONNX file on the CPU runner: latency and time by operator.
 * usage: bench_cpu_model MODEL.onnx BATCH TOKENS THREADS [OUT N]: writes output N */
#include "base/os.h"
#include "cpu/cpu.h"
#include "import/import.h"
#include "opt/opt.h"
#include <stdio.h>
#include <stdlib.h>

#define TRY(e) do { if ((e) != WA_OK) { fprintf(stderr, "%s\n", err.message); return 1; } } while (0)
static wa_error err;

static int by_time(const void *a, const void *b)
{
    double x = ((const double *)a)[1], y = ((const double *)b)[1];
    return x < y ? 1 : x > y ? -1 : 0;
}

static void profile(const wa_plan *p, const wa_run_stats *st)
{
    double total[WA_OP_COUNT][2] = {{0}};
    for (uint32_t i = 0; i < WA_OP_COUNT; i++) total[i][0] = i;
    for (uint32_t i = 0; i < st->dispatches; i++) total[p->calls[i].op][1] += st->dispatch_us[i];
    qsort(total, WA_OP_COUNT, sizeof *total, by_time);
    for (uint32_t i = 0; i < 12 && total[i][1] > 0; i++) printf("  %-24s %9.1f us\n", wa__op_info((uint32_t)total[i][0])->name, total[i][1]);
}

int main(int argc, char **argv)
{
    wa_map map;
    wa_graph *g = NULL;
    wa_plan *p = NULL;
    wa_runner *r = NULL;
    uint32_t handle;
    if (argc < 5) return 2;
    int64_t batch = strtol(argv[2], NULL, 10), tokens = strtol(argv[3], NULL, 10);
    TRY(wa__os_map(argv[1], &map, &err));
    wa_model_file file = {WA_STR("model.onnx"), map.data, map.size};
    wa_model_files files = {&file, 1};
    TRY(wa__import(&files, &g, &err));
    wa_binding_dim bind[64];
    uint32_t bound = 0;
    for (uint32_t i = 0; i < g->input_count; i++) {
        const wa_tensor_type *type = &g->values[g->inputs[i]].type;
        for (uint32_t d = 0; d < type->rank && bound < 64; d++)
            if (type->dims[d] < 0) bind[bound++] = (wa_binding_dim){g->symbols[-1 - type->dims[d]], d ? tokens : batch};
    }
    TRY(wa__graph_bind(g, bind, bound, &err));
    TRY(wa__opt_run(g, &(wa_opt_options){.eval = wa__kernel_eval}, &err));
    TRY(wa__plan_build(g, &(wa_plan_options){.target = {.target = WA_TARGET_CPU}, .model_cid = "", .batch = (uint32_t)batch, .length = (uint32_t)tokens}, &p, &err));
    TRY(wa__cpu_runner_create((uint32_t)strtoul(argv[4], NULL, 10), &r, &err));
    wa_run_source source = {map.data, map.size};
    double t = wa__os_now_ms();
    TRY(r->ops->load(r, p, &source, 1, NULL, &handle, &err));
    printf("%u calls, load %.1f ms, predicted %llu bytes, actual %llu\n", p->call_count, wa__os_now_ms() - t, (unsigned long long)wa__plan_bytes(p, WA_TARGET_CPU), (unsigned long long)r->ops->actual_bytes(r));
    wa_view in[8], out[8];
    uint32_t in_count = 0, out_count = 0;
    for (uint32_t i = 0; i < p->entries[0].io_count; i++) {
        const wa_plan_io *io = &p->ios[p->entries[0].io_first + i];
        wa_view *v = io->is_output ? &out[out_count++] : &in[in_count++];
        *v = (wa_view){{(wa_dtype)io->dtype, io->rank, {0}}, NULL};
        memcpy(v->type.dims, io->dims, sizeof io->dims);
        v->data = calloc(1, (size_t)wa__bytes(&v->type) + 1);
        const char *name = wa__plan_text(p, io->name);
        for (int64_t k = 0; k < wa__count(&v->type) && !io->is_output; k++) wa__set_i64(v, k, strstr(name, "mask") ? 1 : strstr(name, "type") ? 0 : 1000 + k * 37 % 20000);
    }
    double times[400];
    uint32_t runs = 0;
    wa_run_stats st, best = {.wall_ms = 1e30};
    for (double end = wa__os_now_ms() + 3000; runs < 400 && (runs < 5 || wa__os_now_ms() < end);) {
        TRY(r->ops->run(r, handle, 0, in, in_count, out, out_count, NULL, &st, &err));
        if (st.wall_ms < best.wall_ms) best = st;
        times[runs++] = st.wall_ms;
    }
    for (uint32_t i = 1; i < runs; i++)
        for (uint32_t k = i; k > 0 && times[k] < times[k - 1]; k--) {
            double x = times[k];
            times[k] = times[k - 1];
            times[k - 1] = x;
        }
    printf("%u runs: best %.2f ms, median %.2f ms\n", runs, times[0], times[runs / 2]);
    profile(p, &st);
    uint32_t n = argc > 6 ? (uint32_t)strtoul(argv[6], NULL, 10) : 0;
    if (argc > 5 && n < out_count) TRY(wa__os_write_file(argv[5], out[n].data, (size_t)wa__bytes(&out[n].type), 0644, &err));
    for (uint32_t i = 0; i < in_count; i++) free(in[i].data);
    for (uint32_t i = 0; i < out_count; i++) free(out[i].data);
    r->ops->free(r);
    wa__plan_free(p);
    wa__graph_free(g);
    wa__os_unmap(&map);
    return 0;
}
