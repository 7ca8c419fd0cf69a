/* Two plans of one model in, whether a weight buffer of one can serve the other out. Called by the runners
 * when they load: buckets of one model differ in activations, not in weights. */
#include "run/run.h"
#include <string.h>

static const uint8_t *bytes_of(const wa_plan *p, const wa_run_source *sources, const wa_plan_weight *w)
{
    return (w->source == WA_NONE ? p->data : sources[w->source].data) + w->offset;
}

/* Bytes of a file are the same when they lie in the same place of memory; a plan's own are compared. */
static bool same_weight(const wa_plan *a, const wa_run_source *as, const wa_plan_weight *x, const wa_plan *b, const wa_run_source *bs, const wa_plan_weight *y)
{
    if (x->length != y->length || x->dst_offset != y->dst_offset || x->dst_length != y->dst_length || x->transform != y->transform ||
        x->dtype != y->dtype || (x->source == WA_NONE) != (y->source == WA_NONE) || memcmp(x->p, y->p, sizeof x->p) != 0)
        return false;
    const uint8_t *p = bytes_of(a, as, x), *q = bytes_of(b, bs, y);
    return p == q || (x->source == WA_NONE && memcmp(p, q, (size_t)x->length) == 0);
}

static const wa_plan_weight *next_of(const wa_plan *p, uint32_t buffer, uint32_t *at)
{
    while (*at < p->weight_count && p->weights[*at].buffer != buffer) ++*at;
    return *at < p->weight_count ? &p->weights[(*at)++] : NULL;
}

bool wa__run_same_weights(const wa_plan *a, const wa_run_source *a_sources, uint32_t a_buffer, const wa_plan *b, const wa_run_source *b_sources,
                          uint32_t b_buffer)
{
    const wa_plan_buffer *x = &a->buffers[a_buffer], *y = &b->buffers[b_buffer];
    if (x->size != y->size || x->kind != y->kind || x->target != y->target) return false;
    for (uint32_t i = 0, k = 0;;) {
        const wa_plan_weight *u = next_of(a, a_buffer, &i), *v = next_of(b, b_buffer, &k);
        if (!u || !v) return !u && !v;
        if (!same_weight(a, a_sources, u, b, b_sources, v)) return false;
    }
}
