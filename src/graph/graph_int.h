/* What the files of src/graph share and nobody else needs. */
#ifndef WA_GRAPH_INT_H
#define WA_GRAPH_INT_H
#include "graph/graph.h"

/* Appends to an array that lives in the graph's arena and has no stored capacity: it is copied to
 * twice its size whenever count is 0 or a power of two. False when memory or `max` is passed. */
bool wa__graph_push(wa_graph *g, void *array_ptr, uint32_t *count, const void *element, size_t element_bytes, uint32_t max);
/* A copy of a string in the graph's arena; false when memory or the name limit is passed. */
bool wa__graph_copy_str(wa_graph *g, wa_str s, wa_str *out);
/* Node as "MatMul node 12 (encoder/query)" for messages. */
const char *wa__node_text(const wa_graph *g, uint32_t node, char *out, size_t n);
/* A copy of an attribute in g's arena; false when memory ran out. */
bool wa__graph_clone_attr(wa_graph *g, const wa_attr *in, wa_attr *out);
/* Gives a node of g copies of the children of `in`, which it was copied from. */
bool wa__graph_clone_children(wa_graph *g, uint32_t node, const wa_node *in);

#endif
