/* What plan_lanes.c (making the halves) and plan_lanes_rules.c (which rows an operator reads) share. */
#ifndef WA_PLAN_LANES_INT_H
#define WA_PLAN_LANES_INT_H
#include "plan/plan_int.h"
#include "plan/plan_lanes.h"

#define LANES_WHOLE 0xffu /* no axis: the value is not split */

/* Rows before the cut are the first half's. */
static inline int64_t wa__lanes_cut(int64_t rows) { return rows < 16 ? (rows + 1) / 2 : (rows / 2 + 7) / 8 * 8; }

/* How a node is done in halves. axis: per value, of its rows, or LANES_WHOLE. */
typedef struct lanes_rule {
    uint32_t axis;  /* of its result */
    bool tokens;    /* attention along the tokens: keys and values of both halves */
    bool positions; /* embedding whose positions are those of its tokens: input 3 is cut along axis 0 */
} lanes_rule;
/* False: the node is done whole. */
bool wa__lanes_rule(const wa_graph *g, const wa_node *n, const uint8_t *axis, lanes_rule *r);
/* The axis along which input i is cut for the halves of the node, LANES_WHOLE when both read all of it. */
uint32_t wa__lanes_input(const wa_graph *g, const wa_node *n, const lanes_rule *r, uint32_t i);

#endif
