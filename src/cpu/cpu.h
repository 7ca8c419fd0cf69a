/* `run` on this machine's CPU: executes the CPU calls of a plan. */
#ifndef WA_CPU_H
#define WA_CPU_H
#include "run/run.h"

/* threads 0 means the usable cores. */
wa_status wa__cpu_runner_create(uint32_t threads, wa_runner **out, wa_error *err) WA_MUST_CHECK;

uint32_t wa__cpu_threads(wa_runner *r);
/* What this CPU does at best with the runner's threads, measured in about 0.2 s. */
wa_status wa__cpu_floors(wa_runner *r, wa_run_floors *out, wa_error *err) WA_MUST_CHECK;

/* Runs one CPU segment of any plan over host memory, for mixed plans: buffers[i] is the memory of
 * plan buffer i (NULL for GPU ones); weights come from sources. */
typedef struct wa_cpu_segment wa_cpu_segment;
wa_status wa__cpu_segment_create(const wa_plan *p, const wa_run_source *sources, uint32_t source_count, wa_pool *pool, wa_cpu_segment **out, wa_error *err) WA_MUST_CHECK;
wa_status wa__cpu_segment_run(wa_cpu_segment *s, uint32_t segment, uint8_t *const *buffers, wa_error *err) WA_MUST_CHECK;
void wa__cpu_segment_free(wa_cpu_segment *s);

#endif
