/* A plan's CPU calls made ready to run: what cpu.c's runner and its segments share. */
#ifndef WA_CPU_INT_H
#define WA_CPU_INT_H
#include "base/os.h"
#include "cpu/cpu.h"

typedef struct wa_cpu_call {
    wa_kernel_args args; /* views whose data comes from buffers are filled in before each run */
    wa_kernel_fn fn;
} wa_cpu_call;

/* All calls of a plan with their arguments; memory belongs to the arena. Plan and sources are borrowed. */
typedef struct wa_cpu_program {
    const wa_plan *plan;
    const wa_run_source *sources;
    wa_arena arena;
    wa_cpu_call *calls;  /* one a plan call */
    uint32_t scratch;    /* the buffer of that kind, or WA_NONE */
} wa_cpu_program;

wa_status wa__cpu_program_init(wa_cpu_program *g, const wa_plan *p, const wa_run_source *sources, uint32_t source_count, wa_error *err) WA_MUST_CHECK;
void wa__cpu_program_done(wa_cpu_program *g);
/* Fills the weights of host buffers (transforms and panels). fresh: per buffer, false where another load filled it;
 * NULL: all are. */
wa_status wa__cpu_program_weights(wa_cpu_program *g, uint8_t *const *buffers, const bool *fresh, const wa_run_control *c, wa_error *err) WA_MUST_CHECK;
/* One call over these buffers. */
wa_status wa__cpu_program_call(wa_cpu_program *g, uint32_t call, uint8_t *const *buffers, wa_pool *pool, wa_error *err) WA_MUST_CHECK;

/* The runner's threads. */
wa_pool *wa__cpu_pool(wa_runner *r);

#endif
