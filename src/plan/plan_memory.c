/* Memory planning: blocks with life times in, offsets in arenas out. Blocks are placed in the order
 * in which they come alive, each in the tightest gap between the blocks alive then, in an arena
 * that none of its conflicts uses. Called by plan_build.c. */
#include "plan/plan_int.h"
#include <stdlib.h>

typedef struct arena {
    uint32_t *live; /* block ids sorted by offset */
    size_t count, cap;
    uint64_t size;
} arena;

/* Sort key packs the birth step and the id, so that qsort needs no context. */
static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}
static int compare_conflict(const void *a, const void *b)
{
    const wa_plan_conflict *x = a, *y = b;
    return x->a != y->a ? (x->a < y->a ? -1 : 1) : x->b < y->b ? -1 : x->b > y->b;
}

static void expire(arena *a, const wa_plan_block *blocks, uint32_t step)
{
    size_t n = 0;
    for (size_t i = 0; i < a->count; i++)
        if (blocks[a->live[i]].last >= step) a->live[n++] = a->live[i];
    a->count = n;
}

/* The tightest gap for `bytes`; growth is how much the arena would grow. */
static uint64_t find_gap(const arena *a, const wa_plan_block *blocks, uint64_t bytes, size_t *at, uint64_t *growth)
{
    uint64_t end = 0, best = UINT64_MAX, best_gap = UINT64_MAX;
    size_t best_at = a->count;
    for (size_t i = 0; i < a->count; i++) {
        const wa_plan_block *l = &blocks[a->live[i]];
        uint64_t gap = l->offset - end;
        if (gap >= bytes && gap < best_gap) {
            best_gap = gap;
            best = end;
            best_at = i;
        }
        end = l->offset + l->bytes;
    }
    if (best == UINT64_MAX) best = end;
    *at = best_at;
    *growth = best + bytes > a->size ? best + bytes - a->size : 0;
    return best;
}

static bool insert(arena *a, size_t at, uint32_t block)
{
    void *ptr = a->live;
    if (!wa__array_reserve(&ptr, &a->cap, a->count + 1, sizeof *a->live)) return false;
    a->live = ptr;
    memmove(a->live + at + 1, a->live + at, (a->count - at) * sizeof *a->live);
    a->live[at] = block;
    a->count++;
    return true;
}

/* Bit per arena that a placed conflict of block `id` lies in. */
static uint64_t forbidden(const wa_plan_block *blocks, const wa_plan_conflict *c, uint32_t count, uint32_t id)
{
    uint64_t mask = 0;
    uint32_t lo = 0, hi = count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (c[mid].a < id) lo = mid + 1;
        else hi = mid;
    }
    for (; lo < count && c[lo].a == id; lo++)
        if (blocks[c[lo].b].buffer != WA_NONE) mask |= (uint64_t)1 << blocks[c[lo].b].buffer;
    return mask;
}

static wa_status place(wa_plan_block *blocks, uint32_t id, uint64_t mask, arena *arenas, uint32_t *arena_count, uint64_t limit,
                       wa_error *err)
{
    wa_plan_block *b = &blocks[id];
    uint64_t best_growth = UINT64_MAX, best_offset = 0;
    uint32_t best = WA_NONE;
    size_t best_at = 0;
    for (uint32_t k = 0; k < *arena_count; k++) {
        size_t at;
        uint64_t growth;
        expire(&arenas[k], blocks, b->first);
        if (mask >> k & 1) continue;
        uint64_t offset = find_gap(&arenas[k], blocks, b->bytes, &at, &growth);
        if (offset + b->bytes > limit || growth >= best_growth) continue;
        best_growth = growth;
        best = k;
        best_at = at;
        best_offset = offset;
    }
    if (best == WA_NONE) {
        if (b->bytes > limit)
            return wa__fail(err, WA_LIMIT, "an activation of %llu bytes passes the target's buffer limit of %llu",
                            (unsigned long long)b->bytes, (unsigned long long)limit);
        if (*arena_count == WA_PLAN_ARENAS_MAX) return wa__fail(err, WA_LIMIT, "activations need more than %u buffers", WA_PLAN_ARENAS_MAX);
        best = (*arena_count)++;
        best_offset = 0;
        best_at = 0;
    }
    b->buffer = best;
    b->offset = best_offset;
    if (best_offset + b->bytes > arenas[best].size) arenas[best].size = best_offset + b->bytes;
    return insert(&arenas[best], best_at, id) ? WA_OK : wa__no_memory(err, "the memory plan");
}

wa_status wa__plan_memory(wa_plan_block *blocks, uint32_t count, wa_plan_conflict *conflicts, uint32_t conflict_count,
                          uint32_t alignment, uint64_t limit, uint64_t sizes[WA_PLAN_ARENAS_MAX], uint32_t *arena_count,
                          wa_error *err)
{
    arena arenas[WA_PLAN_ARENAS_MAX] = {0};
    wa_status s = WA_OK;
    *arena_count = 0;
    uint64_t *order = wa__alloc(count ? count : 1, sizeof *order);
    if (!order) return wa__no_memory(err, "the memory plan");
    for (uint32_t i = 0; i < count; i++) {
        order[i] = (uint64_t)blocks[i].first << 32 | i;
        blocks[i].bytes = wa__align_up(blocks[i].bytes ? blocks[i].bytes : 1, alignment);
        blocks[i].buffer = WA_NONE;
    }
    qsort(order, count, sizeof *order, compare_u64);
    if (conflict_count) qsort(conflicts, conflict_count, sizeof *conflicts, compare_conflict);
    for (uint32_t i = 0; i < count && s == WA_OK; i++) {
        uint32_t id = (uint32_t)order[i];
        s = place(blocks, id, forbidden(blocks, conflicts, conflict_count, id), arenas, arena_count, limit, err);
    }
    for (uint32_t k = 0; k < WA_PLAN_ARENAS_MAX; k++) {
        sizes[k] = arenas[k].size;
        wa__free(arenas[k].live);
    }
    wa__free(order);
    return s;
}
