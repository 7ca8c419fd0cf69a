/* See mem.h. */
#include "base/mem.h"
#include "base/checked.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Test hook; the one mutable global of base, written only by wa__alloc_fail_at. */
static uint64_t fail_at;
static uint64_t alloc_count;

uint64_t wa__alloc_fail_at(uint64_t n)
{
    uint64_t old = __atomic_exchange_n(&alloc_count, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&fail_at, n, __ATOMIC_RELAXED);
    return old;
}

static bool inject(void)
{
    uint64_t n = __atomic_add_fetch(&alloc_count, 1, __ATOMIC_RELAXED);
    uint64_t at = __atomic_load_n(&fail_at, __ATOMIC_RELAXED);
    return at != 0 && n == at;
}

void *wa__alloc(size_t count, size_t size)
{
    size_t bytes;
    if (!wa__mul_size(count, size, &bytes) || inject()) return NULL;
    return calloc(1, bytes ? bytes : 1);
}

void *wa__realloc(void *p, size_t bytes)
{
    if (inject()) return NULL;
    return realloc(p, bytes ? bytes : 1);
}

void wa__free(void *p) { free(p); }

char *wa__strndup(const char *s, size_t n)
{
    char *r = n < SIZE_MAX ? wa__alloc(n + 1, 1) : NULL;
    if (r && n) memcpy(r, s, n);
    return r;
}

char *wa__strdup(const char *s) { return wa__strndup(s, strlen(s)); }

char *wa__format(const char *format, ...)
{
    va_list ap, ap2;
    va_start(ap, format);
    va_copy(ap2, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    char *r = n < 0 ? NULL : wa__alloc((size_t)n + 1, 1);
    if (r) vsnprintf(r, (size_t)n + 1, format, ap2);
    va_end(ap2);
    return r;
}

typedef struct wa_arena_chunk {
    struct wa_arena_chunk *next;
    size_t cap;
    _Alignas(16) unsigned char data[];
} wa_arena_chunk;

void wa__arena_init(wa_arena *a, size_t bytes_max)
{
    memset(a, 0, sizeof *a);
    a->bytes_max = bytes_max;
}

void *wa__arena_alloc(wa_arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (!wa__mul_size(count, size, &bytes) || bytes > SIZE_MAX / 2) return NULL;
    bytes = (size_t)wa__align_up(bytes ? bytes : 1, 16);
    if (!a->head || a->head->cap - a->used < bytes) {
        size_t cap = bytes > 65536 ? bytes : 65536;
        if (a->bytes_max - a->bytes_total < bytes) return NULL;
        wa_arena_chunk *c = wa__alloc(1, sizeof *c + cap);
        if (!c) return NULL;
        c->cap = cap;
        c->next = a->head;
        a->head = c;
        a->used = 0;
    }
    if (a->bytes_max - a->bytes_total < bytes) return NULL;
    void *p = a->head->data + a->used;
    a->used += bytes;
    a->bytes_total += bytes;
    return p;
}

char *wa__arena_strndup(wa_arena *a, const char *s, size_t n)
{
    char *r = n < SIZE_MAX ? wa__arena_alloc(a, n + 1, 1) : NULL;
    if (r && n) memcpy(r, s, n);
    return r;
}

char *wa__arena_format(wa_arena *a, const char *format, ...)
{
    va_list ap, ap2;
    va_start(ap, format);
    va_copy(ap2, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    char *r = n < 0 ? NULL : wa__arena_alloc(a, (size_t)n + 1, 1);
    if (r) vsnprintf(r, (size_t)n + 1, format, ap2);
    va_end(ap2);
    return r;
}

void wa__arena_done(wa_arena *a)
{
    for (wa_arena_chunk *c = a->head, *next; c; c = next) {
        next = c->next;
        wa__free(c);
    }
    a->head = NULL;
    a->used = a->bytes_total = 0;
}

void wa__buf_init(wa_buf *b, size_t len_max)
{
    memset(b, 0, sizeof *b);
    b->len_max = len_max;
}

void *wa__buf_grow(wa_buf *b, size_t n)
{
    if (n > b->len_max || b->len > b->len_max - n) return NULL;
    size_t need = b->len + n + 1;
    if (need > b->cap) {
        size_t cap = b->cap < 64 ? 64 : b->cap;
        while (cap < need) cap = cap > SIZE_MAX / 2 ? need : cap * 2;
        char *p = wa__realloc(b->ptr, cap);
        if (!p) return NULL;
        b->ptr = p;
        b->cap = cap;
    }
    char *at = b->ptr + b->len;
    memset(at, 0, n + 1);
    b->len += n;
    return at;
}

wa_status wa__buf_append(wa_buf *b, const void *bytes, size_t n, wa_error *err)
{
    size_t at = b->len;
    if (n > b->len_max || at > b->len_max - n)
        return wa__fail(err, WA_LIMIT, "buffer would pass its cap of %zu bytes", b->len_max);
    char *p = wa__buf_grow(b, n);
    if (!p) return wa__no_memory(err, "a buffer");
    if (n) memcpy(p, bytes, n);
    return WA_OK;
}

wa_status wa__buf_printf(wa_buf *b, wa_error *err, const char *format, ...)
{
    va_list ap, ap2;
    va_start(ap, format);
    va_copy(ap2, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    char *p = n < 0 ? NULL : wa__buf_grow(b, (size_t)n);
    if (p) vsnprintf(p, (size_t)n + 1, format, ap2);
    va_end(ap2);
    if (!p) return wa__fail(err, WA_LIMIT, "text would pass its cap of %zu bytes, or memory ran out", b->len_max);
    return WA_OK;
}

void wa__buf_clear(wa_buf *b)
{
    b->len = 0;
    if (b->ptr) b->ptr[0] = 0;
}

void wa__buf_done(wa_buf *b)
{
    wa__free(b->ptr);
    b->ptr = NULL;
    b->len = b->cap = 0;
}

bool wa__array_reserve(void **ptr, size_t *cap, size_t need, size_t element_bytes)
{
    if (need <= *cap) return true;
    size_t n = *cap ? *cap : 8, bytes;
    while (n < need) {
        if (n > SIZE_MAX / 2) return false;
        n *= 2;
    }
    if (!wa__mul_size(n, element_bytes, &bytes)) return false;
    void *p = wa__realloc(*ptr, bytes);
    if (!p) return false;
    memset((char *)p + *cap * element_bytes, 0, bytes - *cap * element_bytes);
    *ptr = p;
    *cap = n;
    return true;
}
