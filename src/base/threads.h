/* A thread pool for data-parallel loops, and the mutex types others need. */
#ifndef WA_THREADS_H
#define WA_THREADS_H
#include "base/error.h"
#include <pthread.h>

typedef struct wa_pool wa_pool;
/* thread_count counts the calling thread; 0 means the usable cores. Threads spin briefly, then
 * sleep. A pool belongs to one caller at a time. */
wa_status wa__pool_create(uint32_t thread_count, wa_pool **out, wa_error *err) WA_MUST_CHECK;
void wa__pool_free(wa_pool *p); /* NULL is legal */
uint32_t wa__pool_threads(const wa_pool *p); /* 1 for NULL */
/* Calls fn(user, i, thread) for every i in [0, count), spread over the pool's threads by an atomic
 * counter; returns when all are done. p may be NULL: all in the caller. Must not nest. */
void wa__pool_run(wa_pool *p, uint32_t count, void (*fn)(void *user, uint32_t i, uint32_t thread), void *user);

#endif
