/* A hash table from value names to values. In: values of a graph. Called by import_onnx*.c. */
#include "import/import_int.h"

void wa__names_init(wa_names *n, const wa_graph *g) { *n = (wa_names){.g = g}; }

void wa__names_done(wa_names *n)
{
    wa__free(n->slots);
    n->slots = NULL;
    n->cap = n->count = 0;
}

/* The slot of `name`, or the empty one where it belongs. */
static size_t slot_of(const wa_names *n, wa_str name)
{
    size_t at = (size_t)wa__hash_bytes(name.ptr, name.len) & (n->cap - 1);
    while (n->slots[at] && !wa__str_eq(n->g->values[n->slots[at] - 1].name, name))
        at = (at + 1) & (n->cap - 1);
    return at;
}

uint32_t wa__names_find(const wa_names *n, wa_str name)
{
    if (n->cap == 0) return WA_NONE;
    uint32_t v = n->slots[slot_of(n, name)];
    return v ? v - 1 : WA_NONE;
}

static bool grow(wa_names *n)
{
    wa_names old = *n;
    n->cap = old.cap ? old.cap * 2 : 256;
    n->slots = wa__alloc(n->cap, sizeof *n->slots);
    if (!n->slots) {
        *n = old;
        return false;
    }
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i]) n->slots[slot_of(n, n->g->values[old.slots[i] - 1].name)] = old.slots[i];
    wa__free(old.slots);
    return true;
}

bool wa__names_add(wa_names *n, uint32_t value)
{
    if (n->count * 2 >= n->cap && !grow(n)) return false;
    n->slots[slot_of(n, n->g->values[value].name)] = value + 1;
    n->count++;
    return true;
}
