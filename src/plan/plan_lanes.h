/* Two halves of the rows of a graph as parts that may run at the same time. */
#ifndef WA_PLAN_LANES_H
#define WA_PLAN_LANES_H
#include "plan/plan.h"

/* A graph that computes what g does with rows (tokens, or texts of a batch) in two halves, and the part of each
 * of its nodes: parts are segments, and two in a row that read nothing of each other may run at once. *out is
 * NULL where the halves would not pay. Owned by the caller: wa__graph_free, wa__free. */
wa_status wa__plan_lanes(const wa_graph *g, wa_graph **out, uint32_t **part, wa_error *err) WA_MUST_CHECK;

#endif
