/* Takes back what nobody refers to. Blobs become garbage in the index when their last reference goes, and stay readable for
 * the grace. What a crash left on the backends, the index does not know: it is found by the lease that its names begin
 * with. */
#include "store.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "private.h"
#include "replicas.h"

#define PERIOD_MS        5000 /* or half of the grace, if that is shorter */
#define PERIOD_MIN_MS    100
#define BATCH            500
#define STUCK_MAX        5000 /* rows of blobs that a backend does not let go, passed over each time */
#define FORGET_PERIOD_MS (60 * 1000) /* a mutation forgets 1000 uploads at most: 10^6 a day and more must be kept up with */
#define FORGET_AFTER_MS  (24 * 3600 * 1000LL) /* for as long a repeated CompleteMultipartUpload succeeds */
#define SCAN_PART        10 /* a search for orphans that fails is repeated after so many times its time, */
#define SCAN_WAIT_MS     (600 * 1000) /* or this, since repair waits for it */
#define LEASE_SIZE       8
#define ARENA_LIMIT      ((size_t)16 << 20)

struct garbage {
    struct store *store;
    struct index *index;
    struct loop *loop;
    uint8_t own_lease[LEASE_SIZE];
    int64_t grace_ms;
    struct fiber *fiber; /* of the loop's thread */
    atomic_bool stop;
    bool scanned;
    int scan_rc;     /* of the last search that failed */
    int64_t scan_at; /* loop_now_ms: not again before */
    bool *swept; /* backends, by number: searched for orphans */
    int64_t forget_at; /* loop_now_ms */
    struct arena *batch;
    struct arena *scratch; /* reset for each blob or extent */
};

static bool stopping(const struct garbage *garbage)
{
    return atomic_load(&garbage->stop) || fiber_canceled(garbage->fiber);
}

static int apply(struct garbage *garbage, Arca__Mutation *mutation) SUSPENDS
{
    mutation->time_ms = clock_wall_ms();
    return index_apply(garbage->index, mutation);
}

/* --- the garbage table --- */

static int remove_blob(struct garbage *garbage, const Arca__Blob *blob) SUSPENDS
{
    if (blob->extent_count <= 1)
        return store_remove_extent(garbage->store, blob->replicas, blob->n_replicas, blob->id.data, 0);
    struct span id = span_of(blob->id.data, blob->id.len);
    for (uint32_t i = 0; i < blob->extent_count; i++) {
        Arca__Extent **extents;
        arena_reset(garbage->scratch);
        int rc = index_extents_get(garbage->index, id, i, 1, garbage->scratch, &extents);
        if (rc == 0)
            rc = store_remove_extent(garbage->store, extents[0]->replicas, extents[0]->n_replicas, blob->id.data, i);
        if (rc != 0 && rc != ERR_NOT_FOUND)
            return rc;
        if (stopping(garbage))
            return ERR_CANCELED;
    }
    return 0;
}

/* Through the table once. What could not be removed stays at its head, and is not tried again. */
struct pass {
    bool more;    /* there may be another batch */
    size_t stuck; /* rows at the head */
    int failure;  /* why, of the last of them */
};

/* One batch. */
static int collect(struct garbage *garbage, struct pass *pass) SUSPENDS
{
    Arca__Blob **blobs;
    size_t count, max = pass->stuck + BATCH;
    arena_reset(garbage->batch);
    int rc = index_garbage_list(garbage->index, clock_wall_ms() - garbage->grace_ms, max, garbage->batch, &blobs,
                                &count);
    pass->more = rc == 0 && count == max && pass->stuck < STUCK_MAX;
    if (rc != 0 || count <= pass->stuck)
        return rc;
    ProtobufCBinaryData *ids = arena_alloc(garbage->batch, count * sizeof(*ids));
    if (ids == NULL)
        return ERR_NOMEM;
    size_t removed = 0, first = pass->stuck;
    for (size_t i = first; i < count && !stopping(garbage); i++) {
        /* An id of another length is in no backend: the row can only be forgotten. */
        rc = blobs[i]->id.len == 16 ? remove_blob(garbage, blobs[i]) : 0;
        if (rc == 0) {
            ids[removed++] = blobs[i]->id;
        } else {
            pass->stuck++;
            pass->failure = rc;
        }
    }
    if (removed == 0)
        return 0;
    Arca__Collected collected = ARCA__COLLECTED__INIT;
    collected.blob_ids = ids;
    collected.n_blob_ids = removed;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    mutation.op_case = ARCA__MUTATION__OP_COLLECTED;
    mutation.collected = &collected;
    if ((rc = apply(garbage, &mutation)) != 0)
        return rc;
    metrics_add(METRIC_GARBAGE_COLLECTED, (int64_t)removed);
    return 0;
}

static int forget_uploads(struct garbage *garbage) SUSPENDS
{
    if (loop_now_ms() < garbage->forget_at)
        return 0;
    Arca__ForgetUploads forget = ARCA__FORGET_UPLOADS__INIT;
    forget.completed_before_ms = clock_wall_ms() - FORGET_AFTER_MS;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    mutation.op_case = ARCA__MUTATION__OP_FORGET_UPLOADS;
    mutation.forget_uploads = &forget;
    int rc = apply(garbage, &mutation);
    garbage->forget_at = loop_now_ms() + FORGET_PERIOD_MS;
    return rc;
}

/* --- orphans of a crash --- */

struct orphans {
    Arca__Lease **leases; /* all of this index, by id */
    size_t lease_count;
    ProtobufCBinaryData *left_open; /* by processes that are gone */
    size_t left_open_count;
    struct blob_batch *batch;
    uint64_t seen;
    uint64_t foreign;
    uint64_t removed;
    uint64_t bytes;
};

static int read_leases(struct garbage *garbage, struct orphans *orphans) SUSPENDS
{
    arena_reset(garbage->batch);
    int rc = index_lease_list(garbage->index, garbage->batch, &orphans->leases, &orphans->lease_count);
    if (rc != 0 || orphans->lease_count == 0)
        return rc;
    orphans->left_open = arena_alloc(garbage->batch, orphans->lease_count * sizeof(*orphans->left_open));
    if (orphans->left_open == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < orphans->lease_count; i++) {
        const Arca__Lease *lease = orphans->leases[i];
        if (lease->closed_ms == 0 &&
            !span_eq(span_of(lease->id.data, lease->id.len), span_of(garbage->own_lease, LEASE_SIZE)))
            orphans->left_open[orphans->left_open_count++] = lease->id;
    }
    return 0;
}

static int compare_lease(const void *name, const void *lease)
{
    return memcmp(((const struct blob_name *)name)->bytes, (*(Arca__Lease *const *)lease)->id.data, LEASE_SIZE);
}

/* Made under a lease of this index. */
static bool is_ours(const struct orphans *orphans, const struct blob_name *name)
{
    return bsearch(name, orphans->leases, orphans->lease_count, sizeof(*orphans->leases), compare_lease) != NULL;
}

static int scan_backend(struct garbage *garbage, struct orphans *orphans, struct backend *backend) SUSPENDS
{
    struct blob_cursor cursor = {0};
    while (!cursor.end) {
        int rc = backend->ops->list(backend, &cursor, orphans->batch);
        if (rc != 0)
            return rc;
        for (size_t i = 0; i < orphans->batch->count; i++) {
            const struct blob_entry *entry = &orphans->batch->entries[i];
            orphans->seen++;
            if (memcmp(entry->name.bytes, garbage->own_lease, LEASE_SIZE) == 0)
                continue;
            if (!is_ours(orphans, &entry->name)) {
                orphans->foreign++;
                continue;
            }
            arena_reset(garbage->scratch);
            rc = replica_is_named(garbage->index, backend, &entry->name, &entry->locator, garbage->scratch);
            if (rc < 0)
                return rc;
            if (rc > 0)
                continue;
            if ((rc = backend->ops->remove(backend, &entry->name, &entry->locator)) != 0)
                return rc;
            orphans->removed++;
            orphans->bytes += entry->size;
        }
        if (stopping(garbage))
            return ERR_CANCELED;
        fiber_yield();
    }
    return 0;
}

static int close_leases(struct garbage *garbage, const struct orphans *orphans) SUSPENDS
{
    Arca__CloseLeases close = ARCA__CLOSE_LEASES__INIT;
    close.ids = orphans->left_open;
    close.n_ids = orphans->left_open_count;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    mutation.op_case = ARCA__MUTATION__OP_CLOSE_LEASES;
    mutation.close_leases = &close;
    return apply(garbage, &mutation);
}

/* A lease that another process left open tells of a crash. Then the blobs of all leases are compared, not only that one's: a
 * power loss may also have undone removals of blobs that the index forgot long ago. Blobs under leases that this index never
 * had are another gateway's, or newer than an index that was restored from a copy: they are never removed. Leases are closed
 * only after all backends were scanned, so that what fails is done again. */
static int scan_orphans(struct garbage *garbage) SUSPENDS
{
    struct orphans orphans = {0};
    int rc = read_leases(garbage, &orphans);
    if (rc != 0 || orphans.left_open_count == 0)
        return rc;
    orphans.batch = malloc(sizeof(*orphans.batch));
    if (orphans.batch == NULL)
        return ERR_NOMEM;
    struct backend *backend;
    for (size_t i = 0; (backend = store_backend(garbage->store, i)) != NULL && !stopping(garbage); i++) {
        int scanned = garbage->swept[i] ? 0 : scan_backend(garbage, &orphans, backend);
        garbage->swept[i] = scanned == 0;
        rc = rc == 0 ? scanned : rc; /* one that is down keeps no other from being swept */
    }
    free(orphans.batch);
    if (rc == 0 && stopping(garbage))
        return ERR_CANCELED;
    if (rc == 0)
        rc = close_leases(garbage, &orphans);
    if (rc == 0)
        log_info("orphans_removed",
                 "%zu processes had not stopped cleanly: of %llu blobs, %llu (%llu bytes) were nobody's and are removed",
                 orphans.left_open_count, (unsigned long long)orphans.seen, (unsigned long long)orphans.removed,
                 (unsigned long long)orphans.bytes);
    if (rc == 0 && orphans.foreign > 0)
        log_warn("orphans_foreign",
                 "%llu blobs were not made by this index and are left alone: does another gateway use the same place, or "
                 "was the index restored from an old copy?",
                 (unsigned long long)orphans.foreign);
    return rc;
}

bool garbage_swept(const struct garbage *garbage, const struct backend *backend)
{
    const struct backend *other;
    for (size_t i = 0; !garbage->scanned && (other = store_backend(garbage->store, i)) != NULL; i++) {
        if (other == backend)
            return garbage->swept[i];
    }
    return garbage->scanned;
}

/* --- the fiber --- */

/* The listings that a search takes cost time and, of some stores, money. */
static int scan(struct garbage *garbage) SUSPENDS
{
    int64_t began_ms = loop_now_ms();
    if (garbage->scanned || began_ms < garbage->scan_at)
        return garbage->scanned ? 0 : garbage->scan_rc;
    garbage->scan_rc = scan_orphans(garbage);
    garbage->scanned = garbage->scan_rc == 0;
    int64_t wait_ms = SCAN_PART * (loop_now_ms() - began_ms);
    garbage->scan_at = loop_now_ms() + (wait_ms < SCAN_WAIT_MS ? wait_ms : SCAN_WAIT_MS);
    return garbage->scan_rc;
}

/* Its steps do not wait for each other: a backend that is down holds up what is on it, and nothing else. The first error. */
static int cycle(struct garbage *garbage) SUSPENDS
{
    int rc = scan(garbage), collected = 0, forgot = 0;
    struct pass pass = {.more = true};
    while (collected == 0 && pass.more && !stopping(garbage))
        collected = collect(garbage, &pass);
    if (!stopping(garbage))
        forgot = forget_uploads(garbage);
    rc = rc != 0 ? rc : collected != 0 ? collected : pass.failure;
    return rc != 0 ? rc : forgot;
}

static void run(void *arg) SUSPENDS
{
    struct garbage *garbage = arg;
    int64_t period = garbage->grace_ms / 2 < PERIOD_MS ? garbage->grace_ms / 2 : PERIOD_MS;
    period = period < PERIOD_MIN_MS ? PERIOD_MIN_MS : period;
    int last = 0;
    garbage->fiber = fiber_self();
    while (!stopping(garbage)) {
        int rc = cycle(garbage);
        if (rc != 0 && rc != last && rc != ERR_CANCELED)
            log_warn("garbage", "collection is held up: %s", err_text(rc));
        last = rc;
        int64_t until = loop_now_ms() + period;
        while (!stopping(garbage) && fiber_wait(until) == 0)
            continue;
    }
    garbage->fiber = NULL;
}

static void begin(void *arg)
{
    struct garbage *garbage = arg;
    if (atomic_load(&garbage->stop))
        return;
    int rc = fiber_spawn(garbage->loop, run, garbage, &garbage->fiber);
    if (rc != 0)
        log_error("garbage", "collection does not start: %s", err_text(rc));
}

int garbage_start(struct store *store, struct index *index, struct loop *loop, const uint8_t own_lease[8],
                  int64_t grace_ms, struct garbage **out)
{
    struct garbage *garbage = calloc(1, sizeof(*garbage));
    if (garbage == NULL)
        return ERR_NOMEM;
    *garbage = (struct garbage){.store = store, .index = index, .loop = loop, .grace_ms = grace_ms};
    memcpy(garbage->own_lease, own_lease, LEASE_SIZE);
    size_t backends = 0;
    while (store_backend(store, backends) != NULL)
        backends++;
    garbage->swept = calloc(backends + 1, sizeof(bool));
    garbage->batch = arena_create(ARENA_LIMIT);
    garbage->scratch = arena_create(ARENA_LIMIT);
    if (garbage->swept == NULL || garbage->batch == NULL || garbage->scratch == NULL ||
        loop_post(loop, begin, garbage) != 0) {
        garbage_free(garbage);
        return ERR_NOMEM;
    }
    *out = garbage;
    return 0;
}

static void cancel(void *arg)
{
    struct garbage *garbage = arg;
    if (garbage->fiber != NULL)
        fiber_cancel(garbage->fiber);
}

void garbage_stop(struct garbage *garbage)
{
    atomic_store(&garbage->stop, true);
    (void)loop_post(garbage->loop, cancel, garbage); /* without memory for it, the fiber ends after its period */
}

void garbage_free(struct garbage *garbage)
{
    if (garbage == NULL)
        return;
    if (garbage->batch != NULL)
        arena_free(garbage->batch);
    if (garbage->scratch != NULL)
        arena_free(garbage->scratch);
    free(garbage->swept);
    free(garbage);
}
