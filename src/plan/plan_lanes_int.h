/* What plan_lanes.c (halves of a graph), plan_lanes_rules.c (which rows an operator reads) and plan_lanes_make.c
 * (the new graph) share. */
#ifndef WA_PLAN_LANES_INT_H
#define WA_PLAN_LANES_INT_H
#include "plan/plan_int.h"
#include "plan/plan_lanes.h"

enum { LANES = 2, NO_ITEM = -1 };
#define LANES_WHOLE 0xffu /* no axis: the value is not split */

/* Rows before the cut are the first half's. */
static inline int64_t wa__lanes_cut(int64_t rows) { return (rows + 1) / 2; }

typedef enum lanes_how {
    LANES_ROWS,      /* the rows of its inputs that wa__lanes_input says, cut where the result is */
    LANES_TOKENS,    /* attention along the tokens: keys and values of both halves */
    LANES_POSITIONS, /* an embedding whose positions are those of its tokens: rows, and input 3 is cut along axis 0 */
    LANES_TAKE,      /* Gather by constant places along the rows */
    LANES_SUM,       /* a sum or mean over the rows: of both halves' sums, in each lane that wants it; the result is whole */
} lanes_how;

/* How a node is done in halves. */
typedef struct lanes_rule {
    uint32_t axis; /* of the rows in its result; LANES_WHOLE: the result is whole */
    lanes_how how;
} lanes_rule;
/* False: the node is done whole. axis: per value, of its rows, or LANES_WHOLE. */
bool wa__lanes_rule(const wa_graph *g, const wa_node *n, const uint8_t *axis, lanes_rule *r);
/* The axis along which input i is cut for the halves of the node, LANES_WHOLE when both read all of it. */
uint32_t wa__lanes_input(const wa_graph *g, const wa_node *n, const lanes_rule *r, uint32_t i);

typedef struct lanes_ref { /* a value of the new graph, before it is made */
    int32_t item;          /* NO_ITEM: value `output` of the old graph itself */
    uint32_t output;
} lanes_ref;

typedef enum lanes_kind {
    LANES_COPY,  /* the node, or (ATTENTION of a QkvAttention) its op with the node's attributes */
    LANES_PLACES, /* the node with places [from, to) of its constant input 1, counted from `low` */
    LANES_SLICE, /* [from, to) along axis */
    LANES_JOIN,  /* along axis */
    LANES_PART,  /* the node's sum: over its axes, kept or not as it says */
    LANES_ADD,
    LANES_SCALE, /* times */
} lanes_kind;

typedef struct lanes_item { /* a node of the new graph */
    uint32_t node;          /* of the old graph, whose name it has */
    wa_op op;
    lanes_kind kind;
    lanes_ref in[8];
    lanes_ref *more;        /* in place of `in` where there are more */
    uint32_t in_count, out_count, first_out;
    uint32_t lane, stage;
    uint32_t axis;
    int64_t from, to, low;
    double times;
} lanes_item;

typedef struct lanes {
    wa_graph *g;       /* a copy: the new nodes are appended, the old ones go */
    uint32_t nodes;    /* old ones */
    uint8_t *axis;     /* per value */
    lanes_ref (*half)[LANES], (*whole)[LANES]; /* per value: made so far */
    uint8_t *need;     /* per node: bit z: lane z wants its whole result; 4: its halves are wanted */
    lanes_rule *rule;  /* per node, where has_rule */
    bool *has_rule;
    bool *shared;      /* per node: an expression of constants */
    wa_plan_vec items; /* lanes_item */
    uint32_t stages;
    uint64_t flops;    /* done in halves */
    uint32_t *part;
    wa_error *err;
    wa_status status;
} lanes;

static inline lanes_item *wa__lanes_item(const lanes *l, int32_t i) { return (lanes_item *)l->items.ptr + i; }
/* plan_lanes_make.c: the items as nodes, by part; out: per output of the graph. l->status says how it went. */
void wa__lanes_make(lanes *l, const lanes_ref *out);

#endif
