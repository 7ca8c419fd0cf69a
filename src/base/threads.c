/* See threads.h. Workers wait on a generation number: they spin for a short while, since the next
 * loop of a model run comes within microseconds, then sleep on a condition. */
#include "base/threads.h"
#include "base/mem.h"
#include "base/os.h"
#include <stdatomic.h>

enum { SPIN_NS = 100000 };

struct wa_pool {
    uint32_t thread_count; /* with the caller */
    pthread_t *threads;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    atomic_uint generation, next, busy, sleepers;
    atomic_bool stop;
    uint32_t count;
    void (*fn)(void *, uint32_t, uint32_t);
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

static void drain(wa_pool *p, uint32_t thread)
{
    for (uint32_t i; (i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed)) < p->count;) p->fn(p->user, i, thread);
}

static unsigned await_generation(wa_pool *p, unsigned seen)
{
    uint64_t end = wa__os_now_ns() + SPIN_NS;
    for (unsigned spins = 0;; spins++) {
        unsigned g = atomic_load_explicit(&p->generation, memory_order_acquire);
        if (g != seen || atomic_load_explicit(&p->stop, memory_order_relaxed)) return g;
        relax();
        if ((spins & 63) == 63 && wa__os_now_ns() > end) break;
    }
    pthread_mutex_lock(&p->mutex);
    atomic_fetch_add(&p->sleepers, 1);
    while (atomic_load(&p->generation) == seen && !atomic_load(&p->stop)) pthread_cond_wait(&p->wake, &p->mutex);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->mutex);
    return atomic_load(&p->generation);
}

static void *worker(void *arg)
{
    worker_arg a = *(worker_arg *)arg;
    wa__free(arg);
    unsigned seen = 0;
    for (;;) {
        seen = await_generation(a.pool, seen);
        if (atomic_load(&a.pool->stop)) return NULL;
        drain(a.pool, a.thread);
        atomic_fetch_sub_explicit(&a.pool->busy, 1, memory_order_release);
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
    p->fn = fn;
    p->user = user;
    p->count = count;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    atomic_store_explicit(&p->busy, p->thread_count - 1, memory_order_relaxed);
    atomic_fetch_add(&p->generation, 1);
    if (atomic_load(&p->sleepers) > 0) {
        pthread_mutex_lock(&p->mutex);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->mutex);
    }
    drain(p, 0);
    while (atomic_load_explicit(&p->busy, memory_order_acquire) > 0) relax();
}
