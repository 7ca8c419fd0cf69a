/* A program: a model whose plans cannot all be made before it runs. Where every shape follows from the
 * inputs' shapes it is one plan and costs nothing more. Where a shape depends on data (NonZero, a
 * Reshape to computed sizes) or control flow on a value (If, Loop), the graph is cut there: what can
 * be typed runs as one stage on the target, its results come to the host, shapes are bound, the next
 * stage is planned, and so on. Stages are remembered by shapes and by the values that shapes were
 * made of, so that a second run with the same ones plans nothing.
 *
 * In: an imported graph (symbols open). Out: the outputs of each run. Called by api, the conformance
 * runner, tests. One thread at a time. */
#ifndef WA_PROGRAM_H
#define WA_PROGRAM_H
#include "opt/opt.h"
#include "plan/plan.h"
#include "run/run.h"

typedef struct wa_program wa_program;

typedef struct wa_program_options {
    wa_plan_options plan;          /* target and limits; batch and length are set by the program */
    wa_runner *runner;             /* of that target; borrowed */
    const wa_run_source *sources;  /* as the graph's sources; borrowed */
    uint32_t source_count;
    /* Integer inputs of a few elements that reach a shape or a condition are bound by value, as real
     * models want. Off: only inputs that are shape-like by their operator's schema are. */
    bool bind_values;
} wa_program_options;

typedef struct wa_program_stats { /* of one run */
    uint32_t stages;       /* plans run */
    uint32_t planned;      /* of them made in this run */
    uint32_t host_steps;   /* conditions, loops, trimmed results */
    uint32_t dispatches, cpu_segments, transfers, submits;
    uint32_t nodes_on_target, nodes_elsewhere; /* compute nodes, views and constants not counted */
    uint64_t flops_on_target, flops; /* floating-point operations of products, convolutions, attention, norms */
    double wall_ms, device_ms, gpu_ms; /* < 0 unknown */
    char elsewhere[256];   /* the first operator that ran elsewhere, and why; "" */
} wa_program_stats;

/* The graph is copied. */
wa_status wa__program_create(const wa_graph *g, const wa_program_options *o, wa_program **out, wa_error *err) WA_MUST_CHECK;
/* inputs: as the graph's inputs, in order, types and shapes checked against it. outputs: as the graph's, filled by
 * the program with types and memory of its own, valid until the next run or free. stats may be NULL. */
wa_status wa__program_run(wa_program *p, const wa_view *inputs, uint32_t input_count, wa_view *outputs, uint32_t output_count,
                          const wa_run_control *c, wa_program_stats *stats, wa_error *err) WA_MUST_CHECK;
/* Predicted bytes of every plan loaded now, in the target's memory. */
uint64_t wa__program_bytes(const wa_program *p);
void wa__program_free(wa_program *p); /* unloads its plans; NULL is legal */

#endif
