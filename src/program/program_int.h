/* What the files of src/program share.
 *
 * A stage is a graph whose inputs are host tensors. For each set of input shapes (and values of the
 * inputs that shapes are made of) it has a variant: the graph bound and folded, cut into
 *   a plan   everything that could be typed, run on the target,
 *   trims    data-dependent results (their bounded forms ran in the plan) cut to what was found,
 *   steps    If, Loop, Scan, whose children are stages of their own,
 *   next     the stage made of what is left; its inputs are results of the above.
 * Slots number the host tensors of one run of a variant: first the stage's inputs, then the plan's
 * outputs, constants, trimmed and step results. */
#ifndef WA_PROGRAM_INT_H
#define WA_PROGRAM_INT_H
#include "kernels/kernels.h"
#include "program/program.h"

typedef struct program_stage program_stage;

typedef struct program_trim {
    uint32_t node;          /* of the variant's graph: NonZero, Compress, Unique, NonMaxSuppression */
    uint32_t from[4], found; /* slots: results of the bounded form; the count */
    uint32_t to[4], count;   /* slots of the node's outputs */
} program_trim;

typedef struct program_step {
    uint32_t node;
    uint32_t *from;         /* slots of the node's inputs, WA_NONE for an omitted one */
    uint32_t *to;           /* slots of its outputs */
    program_stage *child[2]; /* then_branch or body, else_branch */
} program_step;

typedef struct program_variant {
    struct program_variant *older;
    void *key;
    size_t key_bytes;
    wa_graph *graph;        /* bound, resolved */
    wa_plan *plan;          /* NULL: nothing to run */
    uint32_t handle;
    bool loaded;
    uint32_t *kept;         /* per input of the graph: which of the stage's (bound ones are constants) */
    uint32_t *plan_from;    /* per plan input: slot */
    uint32_t *plan_to;      /* per plan output: slot */
    uint32_t plan_inputs, plan_outputs;
    uint32_t *slot;         /* per value of the graph: its slot, WA_NONE */
    uint32_t slot_count;
    uint32_t *constants;    /* values that are slots by their own bytes */
    uint32_t constant_count;
    program_trim *trims;
    program_step *steps;
    uint32_t trim_count, step_count;
    program_stage *next;    /* NULL: done */
    uint32_t *next_from;    /* per input of next: slot */
    uint32_t *outputs;      /* per output of the stage: slot, or WA_NONE: next gives it */
    uint32_t nodes_on_target, nodes_elsewhere;
    uint64_t flops, flops_on_target;
} program_variant;

struct program_stage {
    wa_graph *graph;        /* open: input types are set for each variant */
    bool *bound;            /* per input: its value is part of the variant's key */
    program_variant *variants;
    uint32_t variant_count;
};

struct wa_program {
    wa_program_options o;
    program_stage *root;
    wa_view *outputs;       /* of the last run; memory owned */
    uint32_t output_count;
    wa_program_stats stats; /* of the run going on */
    const wa_run_control *control;
    uint32_t depth;         /* stages of this run so far */
    uint64_t bytes;         /* of every plan loaded now */
};

/* program_stage.c: takes the graph, also on failure. */
wa_status program_stage_new(wa_program *p, wa_graph *g, program_stage **out, wa_error *err) WA_MUST_CHECK;
void program_stage_free(wa_program *p, program_stage *s);
/* Finds or makes the variant for these inputs. */
wa_status program_variant_of(wa_program *p, program_stage *s, const wa_view *inputs, program_variant **out, wa_error *err) WA_MUST_CHECK;
/* program_cut.c: what runs now, what is left. Fills the variant's lists from its graph. */
wa_status program_cut(wa_program *p, program_stage *s, program_variant *v, wa_error *err) WA_MUST_CHECK;
/* program_run.c: outputs get memory of their own (wa__free their data). */
wa_status program_stage_run(wa_program *p, program_stage *s, const wa_view *inputs, wa_view *outputs, wa_error *err) WA_MUST_CHECK;
/* program_control.c */
wa_status program_step_run(wa_program *p, const program_variant *v, const program_step *s, wa_view *slots, wa_error *err) WA_MUST_CHECK;
/* A dense copy in memory of its own. */
wa_status program_copy(const wa_view *from, wa_view *to, wa_error *err) WA_MUST_CHECK;
static inline bool program_is_control(wa_op op) { return op == WA_OP_If || op == WA_OP_Loop || op == WA_OP_Scan; }
/* The bounded form of a data-dependent operator, WA_OP_NONE for others. */
wa_op program_bounded(wa_op op);

#endif
