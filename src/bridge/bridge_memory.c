/* Which buffers of the page a load uses: those of earlier loads where they serve, else new ones. In: a plan to
 * load. Out: an index a buffer, and the bytes that the page must say it has. Runner's thread. */
#include "bridge/bridge_int.h"
#include "base/mem.h"

static bool by_identity(uint32_t kind) { return kind == WA_BUFFER_KIND_WEIGHTS || kind == WA_BUFFER_KIND_CONST; }
static bool by_size(uint32_t kind) { return kind == WA_BUFFER_KIND_ARENA || kind == WA_BUFFER_KIND_STAGING; }

static bool taken(const bridge_load *l, uint32_t before, uint32_t memory)
{
    for (uint32_t i = 0; i < before; i++)
        if (l->memory[i] == memory) return true;
    return false;
}

/* A memory of another load that can be buffer i of this one, WA_NONE when there is none; of arenas the smallest. */
static uint32_t shared(const bridge_session *s, const bridge_load *l, uint32_t i)
{
    const wa_plan_buffer *b = &l->plan->buffers[i];
    uint32_t best = WA_NONE;
    if (b->target != WA_TARGET_WEBGPU || (!by_identity(b->kind) && !by_size(b->kind))) return WA_NONE;
    for (uint32_t k = 0; k < BRIDGE_LOADS_MAX; k++) {
        const bridge_load *o = &s->loads[k];
        for (uint32_t j = 0; o->used && o->memory && j < o->plan->buffer_count; j++) {
            uint32_t m = o->memory[j];
            if (m == WA_NONE || s->memories[m].kind != b->kind || s->memories[m].size < b->size || o->plan->buffers[j].target != b->target) continue;
            if (by_identity(b->kind) ? !wa__run_same_weights(o->plan, o->sources, j, l->plan, l->sources, i) : taken(l, i, m)) continue;
            if (best == WA_NONE || s->memories[m].size < s->memories[best].size) best = m;
        }
    }
    return best;
}

static uint32_t make(bridge_session *s, const wa_plan_buffer *b)
{
    size_t i = 0;
    while (i < s->memory_count && s->memories[i].refs) i++;
    if (i == s->memory_count) {
        void *grown = s->memories;
        if (!wa__array_reserve(&grown, &s->memory_cap, i + 1, sizeof *s->memories)) return WA_NONE;
        s->memories = grown;
        s->memory_count++;
    }
    s->memories[i] = (bridge_memory){.kind = b->kind, .size = b->size};
    return (uint32_t)i;
}

wa_status wa__memory_take(bridge_session *s, bridge_load *l, wa_error *err)
{
    const wa_plan *p = l->plan;
    l->memory = wa__alloc(p->buffer_count + 1u, sizeof *l->memory);
    l->fresh = wa__alloc(p->buffer_count + 1u, sizeof *l->fresh);
    if (!l->memory || !l->fresh) return wa__no_memory(err, "a load");
    for (uint32_t i = 0; i < p->buffer_count; i++) l->memory[i] = WA_NONE;
    for (uint32_t i = 0; i < p->buffer_count; i++) {
        const wa_plan_buffer *b = &p->buffers[i];
        if (b->target == WA_TARGET_CPU) continue;
        uint32_t m = shared(s, l, i);
        l->fresh[i] = m == WA_NONE;
        if (m == WA_NONE) m = make(s, b);
        if (m == WA_NONE) {
            wa__memory_give(s, l);
            return wa__no_memory(err, "a load");
        }
        s->memories[m].refs++;
        l->memory[i] = m;
        if (b->kind == WA_BUFFER_KIND_READBACK && b->target == WA_TARGET_WEBGPU) l->lane_bytes += (l->lanes - 1) * b->size;
    }
    return WA_OK;
}

void wa__memory_give(bridge_session *s, bridge_load *l)
{
    for (uint32_t i = 0; l->memory && i < l->plan->buffer_count; i++)
        if (l->memory[i] != WA_NONE) s->memories[l->memory[i]].refs--;
    wa__free(l->memory);
    wa__free(l->fresh);
    l->memory = NULL;
    l->fresh = NULL;
    l->lane_bytes = 0;
}

uint64_t wa__memory_bytes(const bridge_session *s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s->memory_count; i++)
        if (s->memories[i].refs) n += s->memories[i].size;
    for (uint32_t i = 0; i < BRIDGE_LOADS_MAX; i++) n += s->loads[i].used ? s->loads[i].lane_bytes : 0;
    return n;
}
