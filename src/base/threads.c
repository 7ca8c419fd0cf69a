/* See threads.h. A loop is published as a ticket: the loop's number and the next index to take. Workers take
 * indices from it and spin for a short while when there are none, since the next loop of a model run comes within
 * microseconds; then they sleep on a condition. A loop is over when every index is done: a worker that the
 * system keeps from running holds up nothing but the index that it took. */
#include "base/threads.h"
#include "base/mem.h"
#include "base/os.h"
#include <sched.h>
#include <stdatomic.h>

enum { SPIN_NS = 100000, YIELD_SPINS = 1 << 16 }; /* the latter about a millisecond: a yield may cost several */
#define INDEX_NONE UINT32_MAX /* of a ticket while its loop is being set up */

struct wa_pool {
    uint32_t thread_count; /* with the caller */
    pthread_t *threads;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    _Atomic uint64_t ticket; /* loop << 32 | next index */
    atomic_uint count, left, sleepers;
    atomic_bool stop;
    void (*fn)(void *, uint32_t, uint32_t); /* stay as they are while an index of the loop is taken */
    void *user;
};

typedef struct worker_arg {
    wa_pool *pool;
    uint32_t thread;
} worker_arg;

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* The loop of the ticket, but `seen` while the next one is being set up. */
static uint32_t loop_of(uint64_t ticket, uint32_t seen) { return (uint32_t)ticket == INDEX_NONE ? seen : (uint32_t)(ticket >> 32); }

/* Takes an index. The count belongs to the ticket's loop if the ticket is still the same when it is taken: the
 * next loop's count is written only after a ticket of no index. */
static bool take(wa_pool *p, uint32_t *index)
{
    uint64_t t = atomic_load_explicit(&p->ticket, memory_order_acquire);
    while ((uint32_t)t < atomic_load_explicit(&p->count, memory_order_acquire))
        if (atomic_compare_exchange_weak_explicit(&p->ticket, &t, t + 1, memory_order_acq_rel, memory_order_acquire)) {
            *index = (uint32_t)t;
            return true;
        }
    return false;
}

static void drain(wa_pool *p, uint32_t thread)
{
    for (uint32_t i; take(p, &i);) {
        p->fn(p->user, i, thread);
        atomic_fetch_sub_explicit(&p->left, 1, memory_order_release);
    }
}

/* Returns when there is another loop than `seen`. */
static uint32_t await_loop(wa_pool *p, uint32_t seen)
{
    uint64_t end = wa__os_now_ns() + SPIN_NS;
    for (unsigned spins = 0;; spins++) {
        uint32_t now = loop_of(atomic_load_explicit(&p->ticket, memory_order_acquire), seen);
        if (now != seen || atomic_load_explicit(&p->stop, memory_order_relaxed)) return now;
        relax();
        if ((spins & 63) == 63 && wa__os_now_ns() > end) break;
    }
    pthread_mutex_lock(&p->mutex);
    atomic_fetch_add(&p->sleepers, 1);
    while (loop_of(atomic_load(&p->ticket), seen) == seen && !atomic_load(&p->stop)) pthread_cond_wait(&p->wake, &p->mutex);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->mutex);
    return loop_of(atomic_load(&p->ticket), seen);
}

static void *worker(void *arg)
{
    worker_arg a = *(worker_arg *)arg;
    wa__free(arg);
    uint32_t seen = 0;
    for (;;) {
        seen = await_loop(a.pool, seen);
        if (atomic_load(&a.pool->stop)) return NULL;
        drain(a.pool, a.thread);
    }
}

wa_status wa__pool_create(uint32_t thread_count, wa_pool **out, wa_error *err)
{
    if (thread_count == 0) thread_count = wa__os_cores();
    if (thread_count > 1024) return wa__fail(err, WA_INVALID_ARGUMENT, "%u threads: at most 1024", thread_count);
    wa_pool *p = wa__alloc(1, sizeof *p);
    if (p) p->threads = wa__alloc(thread_count, sizeof *p->threads);
    if (!p || !p->threads) {
        wa__free(p);
        return wa__no_memory(err, "a thread pool");
    }
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->thread_count = 1;
    for (uint32_t t = 1; t < thread_count; t++) {
        worker_arg *a = wa__alloc(1, sizeof *a);
        if (a) *a = (worker_arg){p, t};
        if (!a || pthread_create(&p->threads[t], NULL, worker, a) != 0) {
            wa__free(a);
            wa__pool_free(p);
            return wa__fail(err, WA_NO_MEMORY, "cannot start thread %u of %u", t + 1, thread_count);
        }
        p->thread_count = t + 1;
    }
    *out = p;
    return WA_OK;
}

void wa__pool_free(wa_pool *p)
{
    if (!p) return;
    pthread_mutex_lock(&p->mutex);
    atomic_store(&p->stop, true);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->mutex);
    for (uint32_t t = 1; t < p->thread_count; t++) pthread_join(p->threads[t], NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->mutex);
    wa__free(p->threads);
    wa__free(p);
}

uint32_t wa__pool_threads(const wa_pool *p) { return p ? p->thread_count : 1; }

void wa__pool_run(wa_pool *p, uint32_t count, void (*fn)(void *, uint32_t, uint32_t), void *user)
{
    if (!p || p->thread_count == 1 || count <= 1) {
        for (uint32_t i = 0; i < count; i++) fn(user, i, 0);
        return;
    }
    uint64_t loop = (atomic_load_explicit(&p->ticket, memory_order_relaxed) >> 32) + 1;
    atomic_store(&p->ticket, loop << 32 | INDEX_NONE);
    p->fn = fn;
    p->user = user;
    atomic_store_explicit(&p->left, count, memory_order_relaxed);
    atomic_store(&p->count, count);
    atomic_store(&p->ticket, loop << 32);
    if (atomic_load(&p->sleepers) > 0) {
        pthread_mutex_lock(&p->mutex);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->mutex);
    }
    drain(p, 0);
    for (unsigned spins = 0; atomic_load_explicit(&p->left, memory_order_acquire) > 0; spins++) {
        relax();
        if (spins >= YIELD_SPINS) sched_yield(); /* more threads than cores: let the one that is late run */
    }
}
