/* CPU segments of mixed plans. See cpu.h. */
#include "cpu/cpu_int.h"

struct wa_cpu_segment {
    wa_cpu_program program;
    wa_pool *pool;
    bool filled; /* the host's weight buffers */
};

wa_status wa__cpu_segment_create(const wa_plan *p, const wa_run_source *sources, uint32_t source_count, wa_pool *pool, wa_cpu_segment **out, wa_error *err)
{
    wa_cpu_segment *s = wa__alloc(1, sizeof *s);
    if (!s) return wa__no_memory(err, "a CPU segment");
    s->pool = pool;
    wa_status status = wa__cpu_program_init(&s->program, p, sources, source_count, err);
    if (status != WA_OK) {
        wa__cpu_segment_free(s);
        return status;
    }
    *out = s;
    return WA_OK;
}

wa_status wa__cpu_segment_run(wa_cpu_segment *s, uint32_t segment, uint8_t *const *buffers, wa_error *err)
{
    const wa_plan *p = s->program.plan;
    if (segment >= p->segment_count || p->segments[segment].target != WA_TARGET_CPU)
        return wa__fail(err, WA_INVALID_ARGUMENT, "segment %u is not one for the CPU", segment);
    if (!s->filled) {
        WA_TRY(wa__cpu_program_weights(&s->program, buffers, NULL, NULL, err));
        s->filled = true;
    }
    for (uint32_t i = 0; i < p->segments[segment].count; i++) WA_TRY(wa__cpu_program_call(&s->program, p->segments[segment].first + i, buffers, s->pool, err));
    return WA_OK;
}

void wa__cpu_segment_free(wa_cpu_segment *s)
{
    if (!s) return;
    wa__cpu_program_done(&s->program);
    wa__free(s);
}
