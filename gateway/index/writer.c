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
#define QUEUE_MS       1000  /* a mutation is queued by then, after its time was taken */
#define NOSPC_HOLDS_MS 10000 /* how long a full disk is reported after the last failure: then somebody may try again */

/* The requests of one call share a completion. */
struct group {
    struct completion completion;
    struct request *requests; /* `count` of them */
    size_t count;
    size_t left;   /* the writer's own once queued */
    bool shipped;  /* they return only when they are shipped, if that is what is wanted */
    uint64_t sequence; /* while it is held for that: what must be shipped, and until when it waits */
    int64_t until_ms;
    struct group *next;
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
    struct tally *tally; /* as of the last commit, and of the open transaction */
    struct thread *thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct request *first, **last; /* queue; under the lock */
    bool idle, stop;
    atomic_int state;
    _Atomic int64_t state_ms;
    /* shipping; under the lock */
    struct index_mark mark;
    int64_t batch_ms; /* the earliest time in the batch that is under way */
    struct index_shipping shipping;
    uint64_t shipped;
    struct group *held, **held_end; /* done, and not shipped yet; in the order of their sequences */
    atomic_bool stalled;
    _Atomic int64_t safe_ms;
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
    struct apply apply = {.txn = txn, .meta = meta, .arena = writer->arena, .tally = writer->tally};
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

static int give_up(struct writer *writer, struct txn *txn, int rc)
{
    txn_abort(txn);
    tally_reset(writer->tally);
    return rc;
}

/* After the commit: a batch that is taken out of the journal again was never shipped. */
static void publish_mark(struct writer *writer)
{
    struct index_mark mark = {.sequence = writer->meta.sequence};
    journal_place(writer->journal, &mark.segment, &mark.end);
    pthread_mutex_lock(&writer->lock);
    writer->mark = mark;
    if (writer->shipping.grown != NULL)
        writer->shipping.grown(writer->shipping.arg);
    pthread_mutex_unlock(&writer->lock);
}

static int attempt_batch(struct writer *writer, struct request *batch)
{
    struct txn txn;
    struct meta meta = writer->meta;
    int rc = journal_begin(writer->journal);
    if (rc != 0 || (rc = view_write(writer->view, &txn)) != 0)
        return rc;
    rc = apply_batch(writer, batch, &txn, &meta);
    if (rc != 0)
        return give_up(writer, &txn, rc);
    if (meta.sequence == writer->meta.sequence) {
        txn_abort(&txn);
        return 0;
    }
    memcpy(meta.last_hash, journal_hash(writer->journal), META_HASH_SIZE);
    if ((rc = tally_write(writer->tally, &txn)) != 0 || (rc = meta_put(&txn, &meta)) != 0 ||
        (rc = journal_write(writer->journal)) != 0)
        return give_up(writer, &txn, rc);
    if ((rc = txn_commit(&txn)) != 0) {
        tally_reset(writer->tally);
        log_error("index_commit", "%s", err_text(rc));
        return journal_revert(writer->journal) != 0 ? ERR_READONLY : rc;
    }
    writer->meta = meta;
    publish_mark(writer);
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

/* What a client is told the outcome of. */
static bool is_clients(const Arca__Mutation *mutation)
{
    switch (mutation->op_case) {
    case ARCA__MUTATION__OP_CREATE_BUCKET:
    case ARCA__MUTATION__OP_DELETE_BUCKET:
    case ARCA__MUTATION__OP_PUT_OBJECT:
    case ARCA__MUTATION__OP_DELETE_OBJECT:
    case ARCA__MUTATION__OP_CREATE_UPLOAD:
    case ARCA__MUTATION__OP_PUT_PART:
    case ARCA__MUTATION__OP_COMPLETE_UPLOAD:
    case ARCA__MUTATION__OP_ABORT_UPLOAD:
        return true;
    default:
        return false;
    }
}

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

/* A request that changed nothing waits, too: it may repeat one that did and was not confirmed. */
static bool hold(struct writer *writer, struct group *group)
{
    if (!group->shipped)
        return false;
    pthread_mutex_lock(&writer->lock);
    bool held = writer->shipping.sync && writer->shipped < writer->meta.sequence;
    if (held) {
        group->sequence = writer->meta.sequence;
        group->until_ms = clock_monotonic_ms() + writer->shipping.patience_ms;
        group->next = NULL;
        *writer->held_end = group;
        writer->held_end = &group->next;
    }
    pthread_mutex_unlock(&writer->lock);
    return held;
}

static void run_batch(struct writer *writer, struct request *batch)
{
    int rc = attempt_with_reserve(writer, batch);
    if (rc != 0)
        fail_all(batch, rc);
    if (rc == ERR_READONLY || atomic_load(&writer->state) != ERR_READONLY) {
        atomic_store(&writer->state_ms, clock_monotonic_ms());
        bool full = rc == ERR_NOSPC || writer->reserve.missing;
        atomic_store(&writer->state, rc == ERR_READONLY ? rc : full ? ERR_NOSPC : 0);
    }
    for (struct request *request = batch, *next; request != NULL; request = next) {
        struct group *group = request->group;
        next = request->next;
        if (--group->left == 0 && !hold(writer, group))
            completion_post(&group->completion, 0);
    }
}

/* --- the thread --- */

/* The first requests of the queue, within the limits of a batch. */
static struct request *take_batch(struct writer *writer)
{
    struct request *batch = writer->first, *end = batch;
    size_t count = 1, bytes = end->packed.len;
    writer->batch_ms = batch->mutation->time_ms;
    while (end->next != NULL && count < BATCH_REQUESTS && bytes + end->next->packed.len <= BATCH_BYTES) {
        end = end->next;
        bytes += end->packed.len;
        count++;
        writer->batch_ms = end->mutation->time_ms < writer->batch_ms ? end->mutation->time_ms : writer->batch_ms;
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
        writer->batch_ms = INT64_MAX;
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
    writer->held_end = &writer->held;
    writer->batch_ms = INT64_MAX;
    writer->mark.sequence = writer->meta.sequence;
    journal_place(writer->journal, &writer->mark.segment, &writer->mark.end);
    atomic_init(&writer->safe_ms, INT64_MAX);
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->wake, NULL);
    writer->arena = arena_create(SCRATCH_LIMIT);
    writer->tally = tally_create();
    int rc = writer->arena != NULL && writer->tally != NULL ? reserve_init(&writer->reserve, folder, reserve)
                                                            : ERR_NOMEM;
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
    tally_free(writer->tally);
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
    struct group group = {.requests = requests, .count = count, .left = count};
    completion_init(&group.completion);
    for (size_t i = 0; i < count; i++) {
        size_t len = arca__mutation__pack(mutations[i], packed);
        requests[i] = (struct request){.next = i + 1 < count ? &requests[i + 1] : NULL,
                                       .group = &group,
                                       .mutation = mutations[i],
                                       .packed = span_of(packed, len),
                                       .result = &results[i]};
        packed += len;
        group.shipped = group.shipped || is_clients(mutations[i]);
    }
    enqueue(writer, &requests[0], &requests[count - 1]);
    return completion_wait(&group.completion);
}

static bool refused(const struct writer *writer, const Arca__Mutation *const *mutations, size_t count)
{
    bool clients = false;
    for (size_t i = 0; i < count && atomic_load(&writer->stalled); i++)
        clients = clients || is_clients(mutations[i]);
    return clients;
}

void writer_apply(struct writer *writer, const Arca__Mutation *const *mutations, size_t count, int *results)
{
    uint8_t packed_stack[PACKED_STACK], *packed = packed_stack;
    struct request one, *requests = &one;
    size_t size = 0;
    if (count == 0)
        return;
    if (refused(writer, mutations, count)) {
        for (size_t i = 0; i < count; i++)
            results[i] = ERR_UNAVAILABLE;
        return;
    }
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

/* --- shipping --- */

void writer_mark(struct writer *writer, struct index_mark *out)
{
    pthread_mutex_lock(&writer->lock);
    *out = writer->mark;
    out->safe_ms = clock_wall_ms();
    if (writer->batch_ms < out->safe_ms)
        out->safe_ms = writer->batch_ms;
    for (const struct request *request = writer->first; request != NULL; request = request->next)
        if (request->mutation->time_ms < out->safe_ms)
            out->safe_ms = request->mutation->time_ms;
    pthread_mutex_unlock(&writer->lock);
    out->safe_ms -= QUEUE_MS;
}

/* Lets those go on that wait for no more than `sequence`, and those that have waited too long. Under the lock. */
static void release(struct writer *writer, uint64_t sequence, int64_t now_ms)
{
    struct group *group;
    while ((group = writer->held) != NULL && (group->sequence <= sequence || group->until_ms <= now_ms)) {
        for (size_t i = 0; i < group->count && group->sequence > sequence; i++)
            if (*group->requests[i].result == 0)
                *group->requests[i].result = ERR_UNSHIPPED;
        if ((writer->held = group->next) == NULL)
            writer->held_end = &writer->held;
        completion_post(&group->completion, 0);
    }
}

void writer_shipping_begin(struct writer *writer, const struct index_shipping *shipping)
{
    atomic_store(&writer->safe_ms, 0);
    pthread_mutex_lock(&writer->lock);
    writer->shipping = *shipping;
    pthread_mutex_unlock(&writer->lock);
}

void writer_shipping_end(struct writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    writer->shipping = (struct index_shipping){0};
    release(writer, writer->shipped, INT64_MAX);
    pthread_mutex_unlock(&writer->lock);
    atomic_store(&writer->stalled, false);
}

void writer_shipped(struct writer *writer, uint64_t sequence, int64_t safe_ms, bool stalled)
{
    pthread_mutex_lock(&writer->lock);
    if (sequence > writer->shipped)
        writer->shipped = sequence;
    release(writer, writer->shipped, clock_monotonic_ms());
    atomic_store(&writer->stalled, stalled && writer->shipping.sync);
    pthread_mutex_unlock(&writer->lock);
    atomic_store(&writer->safe_ms, safe_ms);
}

int64_t writer_safe_ms(const struct writer *writer)
{
    return atomic_load(&writer->safe_ms);
}
