/* Allocation, arenas, growing buffers. All allocation in the library goes through wa__alloc, so
 * that tests can fail each one in turn (wa__alloc_fail_at). */
#ifndef WA_MEM_H
#define WA_MEM_H
#include "base/error.h"

/* Zeroed memory of count*size bytes; NULL on overflow or exhaustion. Free with wa__free. */
void *wa__alloc(size_t count, size_t size);
/* Grows or shrinks; contents beyond the old size are undefined. NULL leaves the old block alive. */
void *wa__realloc(void *p, size_t bytes);
void wa__free(void *p); /* NULL is legal */
char *wa__strdup(const char *s);
char *wa__strndup(const char *s, size_t n);
/* printf into a fresh string; NULL on exhaustion. Free with wa__free. */
char *wa__format(const char *format, ...) WA_PRINTF(1, 2);

/* Tests: the n-th allocation from now (1 is the next) fails; 0 turns injection off. Returns how
 * many allocations were made since the last call. Not thread-safe. */
uint64_t wa__alloc_fail_at(uint64_t n);

/* An arena: many allocations, one free. Belongs to one thread. bytes_max is its cap. */
typedef struct wa_arena {
    struct wa_arena_chunk *head;
    size_t used, bytes_total, bytes_max;
} wa_arena;

void wa__arena_init(wa_arena *a, size_t bytes_max);
/* Zeroed, 16-aligned; NULL on overflow, exhaustion or past the cap. */
void *wa__arena_alloc(wa_arena *a, size_t count, size_t size);
char *wa__arena_strndup(wa_arena *a, const char *s, size_t n);
char *wa__arena_format(wa_arena *a, const char *format, ...) WA_PRINTF(2, 3);
void wa__arena_done(wa_arena *a); /* frees all; the arena may be used again */

#define WA_ARENA_NEW(a, type, count) ((type *)wa__arena_alloc((a), (count), sizeof(type)))

/* A growing byte buffer with a cap set at birth; always NUL-terminated once not empty. */
typedef struct wa_buf {
    char *ptr;
    size_t len, cap, len_max;
} wa_buf;

void wa__buf_init(wa_buf *b, size_t len_max);
wa_status wa__buf_append(wa_buf *b, const void *bytes, size_t n, wa_error *err) WA_MUST_CHECK;
wa_status wa__buf_printf(wa_buf *b, wa_error *err, const char *format, ...) WA_PRINTF(3, 4) WA_MUST_CHECK;
/* Appends n zero bytes and returns where they are, NULL past the cap or on exhaustion. */
void *wa__buf_grow(wa_buf *b, size_t n);
void wa__buf_clear(wa_buf *b); /* keeps memory */
void wa__buf_done(wa_buf *b);

/* Appends one element to a heap array {ptr, count, cap}; grows by doubling. False on exhaustion. */
bool wa__array_reserve(void **ptr, size_t *cap, size_t need, size_t element_bytes);

#endif
