/* A hash table from names to values. In: names of a model file (borrowed). Called by import_onnx*.c. */
#include "import/import_int.h"

void wa__names_done(wa_names *n)
{
    wa__free(n->slots);
    *n = (wa_names){0};
}

/* The slot of `name`, or the empty one where it belongs. */
static size_t slot_of(const wa_names *n, wa_str name)
{
    size_t at = (size_t)wa__hash_bytes(name.ptr, name.len) & (n->cap - 1);
    while (n->slots[at].name.len && !wa__str_eq(n->slots[at].name, name)) at = (at + 1) & (n->cap - 1);
    return at;
}

bool wa__names_find(const wa_names *n, wa_str name, uint32_t *value)
{
    if (n->cap == 0 || name.len == 0) return false;
    const wa_name *s = &n->slots[slot_of(n, name)];
    if (s->name.len) *value = s->value;
    return s->name.len > 0;
}

static bool grow(wa_names *n)
{
    wa_names old = *n;
    n->cap = old.cap ? old.cap * 2 : 64;
    n->slots = wa__alloc(n->cap, sizeof *n->slots);
    if (!n->slots) {
        *n = old;
        return false;
    }
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].name.len) n->slots[slot_of(n, old.slots[i].name)] = old.slots[i];
    wa__free(old.slots);
    return true;
}

bool wa__names_put(wa_names *n, wa_str name, uint32_t value)
{
    if (n->count * 2 >= n->cap && !grow(n)) return false;
    wa_name *s = &n->slots[slot_of(n, name)];
    n->count += s->name.len == 0;
    *s = (wa_name){name, value};
    return true;
}
