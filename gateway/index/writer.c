#include "index/writer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/worker.h"
#include "index/apply.h"
#include "index/reserve.h"

#define BATCH_REQUESTS 1024
#define BATCH_BYTES    (4U << 20)
#define RETRIES_MAX    8
#define SCRATCH_LIMIT  (64U << 20)
#define PACKED_STACK   4096
#define NOSPC_HOLDS_MS 10000 /* how long a full disk is reported after the last failure: then somebody may try again */

/* The requests of one call share a completion. */
struct group {
    struct completion completion;
    size_t left; /* the writer's own once queued */
};

struct request {
    struct request *next;
    struct group *group;
    const Arca__Mutation *mutation;
    struct span packed;
    int *result;
    bool left_out; /* it has its result: it broke a transaction, or there is no room for it */
};

struct writer {
    struct view *view;
    struct journal *journal;
    struct snapshots *snapshots;
    struct meta meta;
    struct reserve reserve;
    struct arena *arena;
    struct thread *thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct request *first, **last; /* queue; under the lock */
    bool idle, stop;
    atomic_int state;
    _Atomic int64_t state_ms;
};

/* --- one batch --- */

static bool machine_error(int rc)
{
    switch (rc) {
    case ERR_NOMEM:
    case ERR_IO:
    case ERR_NOSPC:
    case ERR_READONLY:
    case ERR_CORRUPT:
    case ERR_BUSY:
    case ERR_BUG:
        return true;
    default:
        return false;
    }
}

static void fail_all(struct request *batch, int rc)
{
    for (struct request *request = batch; request != NULL; request = request->next)
        if (!request->left_out)
            *request->result = rc;
}

static int apply_request(struct writer *writer, struct txn *txn, struct meta *meta, const struct request *request)
{
    struct apply apply = {.txn = txn, .meta = meta, .arena = writer->arena};
    arena_reset(writer->arena);
    txn->touched = false;
    int rc = apply_mutation(&apply, request->mutation);
    if (rc == 0 && txn->touched) {
        if ((rc = journal_add(writer->journal, request->packed)) == 0)
            meta->sequence++;
    }
    return rc;
}

/* Applies all requests in one transaction. ERR_CANCELED: one spoilt it and is marked; to be done again without it. */
static int apply_batch(struct writer *writer, struct request *batch, struct txn *txn, struct meta *meta)
{
    for (struct request *request = batch; request != NULL; request = request->next) {
        if (request->left_out)
            continue;
        int rc = apply_request(writer, txn, meta, request);
        *request->result = rc;
        if (rc != 0 && (txn->touched || machine_error(rc))) {
            log_error("index_apply", "a mutation failed: %s", err_text(rc));
            request->left_out = true;
            return ERR_CANCELED;
        }
    }
    return 0;
}

static int attempt_batch(struct writer *writer, struct request *batch)
{
    struct txn txn;
    struct meta meta = writer->meta;
    int rc = journal_begin(writer->journal);
    if (rc != 0 || (rc = view_write(writer->view, &txn)) != 0)
        return rc;
    rc = apply_batch(writer, batch, &txn, &meta);
    if (rc != 0 || meta.sequence == writer->meta.sequence) {
        txn_abort(&txn);
        return rc;
    }
    memcpy(meta.last_hash, journal_hash(writer->journal), META_HASH_SIZE);
    if ((rc = meta_put(&txn, &meta)) != 0 || (rc = journal_write(writer->journal)) != 0) {
        txn_abort(&txn);
        return rc;
    }
    if ((rc = txn_commit(&txn)) != 0) {
        log_error("index_commit", "%s", err_text(rc));
        return journal_revert(writer->journal) != 0 ? ERR_READONLY : rc;
    }
    writer->meta = meta;
    snapshots_grown(writer->snapshots, journal_added(writer->journal));
    return 0;
}

static int attempt_without_spoilers(struct writer *writer, struct request *batch)
{
    unsigned tries = 0;
    int rc;
    do {
        rc = attempt_batch(writer, batch);
    } while (rc == ERR_CANCELED && ++tries < RETRIES_MAX);
    return rc == ERR_CANCELED ? ERR_BUSY : rc;
}

/* --- a full disk --- */

static bool brings_more(const Arca__Mutation *mutation)
{
    switch (mutation->op_case) {
    case ARCA__MUTATION__OP_CREATE_BUCKET:
    case ARCA__MUTATION__OP_PUT_OBJECT:
    case ARCA__MUTATION__OP_CREATE_UPLOAD:
    case ARCA__MUTATION__OP_PUT_PART:
    case ARCA__MUTATION__OP_COMPLETE_UPLOAD:
        return true;
    default:
        return false;
    }
}

static void refuse_more(struct request *batch)
{
    for (struct request *request = batch; request != NULL; request = request->next) {
        if (!request->left_out && brings_more(request->mutation)) {
            *request->result = ERR_NOSPC;
            request->left_out = true;
        }
    }
}

/* The reserve's room is for what takes away, and for the little that the daemon notes for itself. */
static int attempt_with_reserve(struct writer *writer, struct request *batch)
{
    if (!reserve_held(&writer->reserve))
        refuse_more(batch);
    int rc = attempt_without_spoilers(writer, batch);
    if (rc != ERR_NOSPC || !reserve_release(&writer->reserve))
        return rc;
    refuse_more(batch);
    return attempt_without_spoilers(writer, batch);
}

static void run_batch(struct writer *writer, struct request *batch)
{
    int rc = attempt_with_reserve(writer, batch);
    if (rc != 0)
        fail_all(batch, rc);
    if (rc == ERR_READONLY || atomic_load(&writer->state) != ERR_READONLY) {
        atomic_store(&writer->state_ms, clock_monotonic_ms());
        atomic_store(&writer->state, rc == ERR_READONLY ? rc : rc == ERR_NOSPC || writer->reserve.missing ? ERR_NOSPC : 0);
    }
    for (struct request *request = batch, *next; request != NULL; request = next) {
        struct group *group = request->group;
        next = request->next;
        if (--group->left == 0)
            completion_post(&group->completion, 0);
    }
}

/* --- the thread --- */

/* The first requests of the queue, within the limits of a batch. */
static struct request *take_batch(struct writer *writer)
{
    struct request *batch = writer->first, *end = batch;
    size_t count = 1, bytes = end->packed.len;
    while (end->next != NULL && count < BATCH_REQUESTS && bytes + end->next->packed.len <= BATCH_BYTES) {
        end = end->next;
        bytes += end->packed.len;
        count++;
    }
    writer->first = end->next;
    if (writer->first == NULL)
        writer->last = &writer->first;
    end->next = NULL;
    return batch;
}

static void run(void *arg)
{
    struct writer *writer = arg;
    pthread_mutex_lock(&writer->lock);
    for (;;) {
        while (writer->first == NULL && !writer->stop) {
            writer->idle = true;
            pthread_cond_wait(&writer->wake, &writer->lock);
            writer->idle = false;
        }
        if (writer->first == NULL)
            break;
        struct request *batch = take_batch(writer);
        pthread_mutex_unlock(&writer->lock);
        run_batch(writer, batch);
        pthread_mutex_lock(&writer->lock);
    }
    pthread_mutex_unlock(&writer->lock);
}

int writer_start(const struct recovered *recovered, struct snapshots *snapshots, const char *folder, uint64_t reserve,
                 struct writer **out)
{
    struct writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL)
        return ERR_NOMEM;
    writer->view = recovered->view;
    writer->journal = recovered->journal;
    writer->snapshots = snapshots;
    writer->meta = recovered->meta;
    writer->last = &writer->first;
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->wake, NULL);
    writer->arena = arena_create(SCRATCH_LIMIT);
    int rc = writer->arena != NULL ? reserve_init(&writer->reserve, folder, reserve) : ERR_NOMEM;
    if (rc == 0)
        rc = thread_start("arca-index", run, writer, &writer->thread);
    if (rc != 0) {
        writer_stop(writer);
        return rc;
    }
    *out = writer;
    return 0;
}

void writer_stop(struct writer *writer)
{
    if (writer == NULL)
        return;
    pthread_mutex_lock(&writer->lock);
    writer->stop = true;
    pthread_cond_signal(&writer->wake);
    pthread_mutex_unlock(&writer->lock);
    thread_join(writer->thread);
    arena_free(writer->arena);
    pthread_cond_destroy(&writer->wake);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}

/* --- callers --- */

static void enqueue(struct writer *writer, struct request *first, struct request *last)
{
    last->next = NULL;
    pthread_mutex_lock(&writer->lock);
    *writer->last = first;
    writer->last = &last->next;
    bool wake = writer->idle;
    pthread_mutex_unlock(&writer->lock);
    if (wake)
        pthread_cond_signal(&writer->wake);
}

static int run_group(struct writer *writer, struct request *requests, const Arca__Mutation *const *mutations,
                     size_t count, uint8_t *packed, int *results)
{
    struct group group = {.left = count};
    completion_init(&group.completion);
    for (size_t i = 0; i < count; i++) {
        size_t len = arca__mutation__pack(mutations[i], packed);
        requests[i] = (struct request){.next = i + 1 < count ? &requests[i + 1] : NULL,
                                       .group = &group,
                                       .mutation = mutations[i],
                                       .packed = span_of(packed, len),
                                       .result = &results[i]};
        packed += len;
    }
    enqueue(writer, &requests[0], &requests[count - 1]);
    return completion_wait(&group.completion);
}

void writer_apply(struct writer *writer, const Arca__Mutation *const *mutations, size_t count, int *results)
{
    uint8_t packed_stack[PACKED_STACK], *packed = packed_stack;
    struct request one, *requests = &one;
    size_t size = 0;
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++)
        size += arca__mutation__get_packed_size(mutations[i]);
    if (size > sizeof(packed_stack))
        packed = malloc(size);
    if (count > 1)
        requests = calloc(count, sizeof(*requests));
    int rc = ERR_NOMEM;
    if (packed != NULL && requests != NULL)
        rc = run_group(writer, requests, mutations, count, packed, results);
    for (size_t i = 0; i < count && rc != 0; i++)
        results[i] = rc;
    if (packed != packed_stack)
        free(packed);
    if (requests != &one)
        free(requests);
}

int writer_ready(struct writer *writer)
{
    int state = atomic_load(&writer->state);
    if (state == ERR_NOSPC && clock_monotonic_ms() - atomic_load(&writer->state_ms) > NOSPC_HOLDS_MS)
        return 0;
    return state;
}
