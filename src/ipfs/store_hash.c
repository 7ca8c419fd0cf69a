/* Hashing a file's leaves on all cores, copying it in the same pass. In: an open file. Out: a digest a
 * leaf. Bytes are read with pread, never mapped: a file that shrinks meanwhile is an error, not a SIGBUS,
 * and what is stored is exactly what was hashed. Called by store_add.c and store_check.c. */
#include "ipfs/store_int.h"

enum { BATCH_LEAVES = 64, FLUSH_BYTES = 16 << 20 };

typedef struct batch {
    wa_store *store;
    const wa_hash_job *job;
    wa_digest *leaves;
    uint64_t first;
    atomic_bool failed;
    pthread_mutex_t mutex; /* guards err and status */
    wa_status status;
    wa_error err;
} batch;

static wa_status hash_leaf(batch *b, uint64_t leaf, uint32_t thread, wa_error *err)
{
    const wa_hash_job *j = b->job;
    uint64_t at = leaf * j->profile->chunk_bytes;
    size_t n = j->size - at < j->profile->chunk_bytes ? (size_t)(j->size - at) : j->profile->chunk_bytes;
    /* On a page's start: a copy by the kernel to an odd address costs several times the time. */
    uint8_t *chunk = (uint8_t *)(((uintptr_t)b->store->chunks[thread] + 4095) & ~(uintptr_t)4095);
    WA_TRY(wa__file_read_at(j->from, j->from_path, at, chunk, n, err));
    WA_TRY(wa__leaf_digest(j->profile, chunk, n, b->leaves[leaf], err));
    if (!j->to) return WA_OK;
    WA_TRY(wa__file_write_at(j->to, j->to_path, at, chunk, n, err));
    if (at % FLUSH_BYTES == 0 && at > 0) wa__file_flush_start(j->to, at - FLUSH_BYTES, FLUSH_BYTES);
    return WA_OK;
}

static void hash_task(void *user, uint32_t i, uint32_t thread)
{
    batch *b = user;
    if (atomic_load_explicit(&b->failed, memory_order_relaxed)) return;
    wa_error err = {0};
    wa_status s = b->job->cancel && atomic_load_explicit(b->job->cancel, memory_order_relaxed)
                      ? wa__fail(&err, WA_CANCELLED, "cancelled")
                      : hash_leaf(b, b->first + i, thread, &err);
    if (s == WA_OK) return;
    pthread_mutex_lock(&b->mutex);
    if (b->status == WA_OK) {
        b->status = s;
        b->err = err;
    }
    pthread_mutex_unlock(&b->mutex);
    atomic_store(&b->failed, true);
}

wa_status wa__store_hash(wa_store *s, const wa_hash_job *job, wa_digest **leaves, wa_error *err)
{
    uint64_t count = wa__leaf_count(job->profile, job->size);
    WA_TRY(wa__store_workers(s, err));
    batch b = {.store = s, .job = job, .leaves = wa__alloc((size_t)count, sizeof(wa_digest))};
    if (!b.leaves) return wa__no_memory(err, "a file's leaves");
    pthread_mutex_init(&b.mutex, NULL);
    uint64_t shown = 0;
    while (b.first < count && b.status == WA_OK) {
        uint32_t n = count - b.first < BATCH_LEAVES ? (uint32_t)(count - b.first) : BATCH_LEAVES;
        wa__pool_run(n > 1 ? s->pool : NULL, n, hash_task, &b);
        b.first += n;
        uint64_t done = b.first * job->profile->chunk_bytes < job->size ? b.first * job->profile->chunk_bytes : job->size;
        if (b.status == WA_OK && job->progress) job->progress(job->user, done - shown);
        shown = done;
    }
    pthread_mutex_destroy(&b.mutex);
    if (b.status != WA_OK) {
        if (err) *err = b.err;
        wa__free(b.leaves);
        return b.status;
    }
    *leaves = b.leaves;
    return WA_OK;
}
