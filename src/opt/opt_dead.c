/* dead: removes nodes whose results nobody uses. */
#include "opt/opt_int.h"

void wa__opt_dead(wa_rw *r)
{
    for (uint32_t i = r->g->node_count; i-- > 0 && r->status == WA_OK;) {
        wa_node *n = &r->g->nodes[i];
        bool used = n->dead;
        for (uint32_t k = 0; k < n->output_count; k++) used = used || r->uses[n->outputs[k]];
        if (used) continue;
        n->dead = true;
        r->changed = true;
        wa__rw_drop_inputs(r, i);
    }
}
