/* What a crash left on the backends, and no row names. */
#include "orphans.h"

#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "store/private.h"
#include "store/replicas.h"
#include "store/ship/name.h"

#define AGAIN_PART    10           /* a search that fails is repeated after so many times its time, */
#define AGAIN_WAIT_MS (600 * 1000) /* or this, since repair waits for it */
#define ARENA_LIMIT   ((size_t)16 << 20)

struct orphans {
    const struct jobs_options *options;
    struct throttle *throttle;
    const atomic_bool *stop;
    bool done;
    int rc;                       /* of the last search that failed */
    int64_t again_at;             /* loop_now_ms: not before */
    const struct backend **swept; /* were searched */
    size_t swept_count;
    uint64_t refused; /* in all searches of this process */
    struct arena *arena;
    struct arena *scratch; /* reset for each blob */
};

/* One search. */
struct search {
    Arca__Lease **leases; /* all of this index, by id */
    size_t lease_count;
    ProtobufCBinaryData *left_open; /* by processes that are gone */
    size_t left_open_count;
    struct blob_batch *batch;
    uint64_t seen;
    uint64_t foreign;
    uint64_t removed;
    uint64_t refused; /* could not be removed, of backends that go on otherwise */
    uint64_t bytes;
};

static bool stopping(const struct orphans *orphans)
{
    return atomic_load(orphans->stop) || fiber_canceled(fiber_self());
}

static int read_leases(struct orphans *orphans, struct search *search) SUSPENDS
{
    arena_reset(orphans->arena);
    int rc = index_lease_list(orphans->options->index, orphans->arena, &search->leases, &search->lease_count);
    if (rc != 0 || search->lease_count == 0)
        return rc;
    search->left_open = arena_alloc(orphans->arena, search->lease_count * sizeof(*search->left_open));
    if (search->left_open == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < search->lease_count; i++) {
        const Arca__Lease *lease = search->leases[i];
        if (lease->closed_ms == 0 &&
            !span_eq(span_of(lease->id.data, lease->id.len), span_of(orphans->options->own_lease, LEASE_ID_SIZE)))
            search->left_open[search->left_open_count++] = lease->id;
    }
    return 0;
}

/* One that is stored: removed if it is nobody's. What is not let go keeps nothing else from being looked at. */
static int look_at(struct orphans *orphans, struct search *search, struct backend *backend,
                   const struct blob_entry *entry) SUSPENDS
{
    if (name_is_piece(&entry->name)) /* of a copy of the index */
        return 0;
    search->seen++;
    if (memcmp(entry->name.bytes, orphans->options->own_lease, LEASE_ID_SIZE) == 0)
        return 0;
    if (!lease_made(search->leases, search->lease_count, &entry->name)) {
        search->foreign++;
        return 0;
    }
    arena_reset(orphans->scratch);
    int rc = replica_is_named(orphans->options->index, backend, &entry->name, &entry->locator, orphans->scratch);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = throttle_wait(orphans->throttle, 0, 1);
    if (rc == 0)
        rc = backend->ops->remove(backend, &entry->name, &entry->locator);
    if (rc == ERR_DOWN || rc == ERR_CANCELED)
        return rc;
    search->refused += rc != 0;
    search->removed += rc == 0;
    search->bytes += rc == 0 ? entry->size : 0;
    return 0;
}

static int search_backend(struct orphans *orphans, struct search *search, struct backend *backend) SUSPENDS
{
    struct blob_cursor cursor = {0};
    int rc = 0;
    while (rc == 0 && !cursor.end) {
        rc = backend->ops->list(backend, &cursor, search->batch);
        for (size_t i = 0; rc == 0 && i < search->batch->count; i++)
            rc = look_at(orphans, search, backend, &search->batch->entries[i]);
        if (rc == 0 && stopping(orphans))
            rc = ERR_CANCELED;
        if (rc == 0)
            fiber_yield();
    }
    return rc;
}

static bool is_swept(const struct orphans *orphans, const struct backend *backend)
{
    size_t i = 0;
    while (i < orphans->swept_count && orphans->swept[i] != backend)
        i++;
    return i < orphans->swept_count;
}

static int add_swept(struct orphans *orphans, const struct backend *backend)
{
    if (is_swept(orphans, backend))
        return 0;
    const struct backend **more = realloc(orphans->swept, (orphans->swept_count + 1) * sizeof(*more));
    if (more == NULL)
        return ERR_NOMEM;
    orphans->swept = more;
    orphans->swept[orphans->swept_count++] = backend;
    return 0;
}

static int close_leases(struct orphans *orphans, const struct search *search) SUSPENDS
{
    Arca__CloseLeases close = ARCA__CLOSE_LEASES__INIT;
    close.ids = search->left_open;
    close.n_ids = search->left_open_count;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    mutation.time_ms = clock_wall_ms();
    mutation.op_case = ARCA__MUTATION__OP_CLOSE_LEASES;
    mutation.close_leases = &close;
    return index_apply(orphans->options->index, &mutation);
}

static int search_backends(struct orphans *orphans, struct search *search) SUSPENDS
{
    struct backend *backend;
    int rc = 0;
    for (size_t i = 0; (backend = store_backend(orphans->options->store, i)) != NULL && !stopping(orphans); i++) {
        if (!store_backend_used(orphans->options->store, backend->name))
            continue;
        int searched = is_swept(orphans, backend) ? 0 : search_backend(orphans, search, backend);
        if (searched == 0)
            searched = add_swept(orphans, backend);
        rc = rc == 0 ? searched : rc; /* one that is down keeps no other from being swept */
    }
    return rc == 0 && stopping(orphans) ? ERR_CANCELED : rc;
}

static void tell_orphans(const struct search *search)
{
    log_info("orphans_removed",
             "%zu processes had not stopped cleanly: of %llu blobs, %llu (%llu bytes) were nobody's and are removed",
             search->left_open_count, (unsigned long long)search->seen, (unsigned long long)search->removed,
             (unsigned long long)search->bytes);
    if (search->refused > 0)
        log_warn("orphans_refused", "%llu blobs that are nobody's could not be removed; the next start tries it again",
                 (unsigned long long)search->refused);
    if (search->foreign > 0)
        log_warn("orphans_foreign",
                 "%llu blobs were not made by this index and are left alone: does another gateway use the same place, "
                 "or was the index restored from an old copy?",
                 (unsigned long long)search->foreign);
}

/* A lease that another process left open tells of a crash. Then the blobs of all leases are compared, not only that
 * one's: a power loss may also have undone removals of blobs that the index forgot long ago. Blobs under leases that
 * this index never had are another gateway's, or newer than an index that was restored from a copy: they are never
 * removed. Leases are closed only after all backends were scanned, so that what fails is done again; by the next
 * process when a backend does not let something go, since repair waits for the search. */
static int search_all(struct orphans *orphans) SUSPENDS
{
    struct search search = {0};
    int rc = read_leases(orphans, &search);
    if (rc != 0 || search.left_open_count == 0)
        return rc;
    search.batch = malloc(sizeof(*search.batch));
    if (search.batch == NULL)
        return ERR_NOMEM;
    rc = search_backends(orphans, &search);
    free(search.batch);
    orphans->refused += search.refused;
    if (rc == 0 && orphans->refused == 0)
        rc = close_leases(orphans, &search);
    if (rc == 0)
        tell_orphans(&search);
    return rc;
}

/* The listings that it takes cost time and, of some stores, money. */
int orphans_search(struct orphans *orphans) SUSPENDS
{
    int64_t began_ms = loop_now_ms();
    if (orphans->done || began_ms < orphans->again_at)
        return orphans->done ? 0 : orphans->rc;
    orphans->rc = search_all(orphans);
    orphans->done = orphans->rc == 0;
    int64_t wait_ms = AGAIN_PART * (loop_now_ms() - began_ms);
    orphans->again_at = loop_now_ms() + (wait_ms < AGAIN_WAIT_MS ? wait_ms : AGAIN_WAIT_MS);
    return orphans->rc;
}

bool orphans_swept(const struct orphans *orphans, const struct backend *backend)
{
    return orphans->done || is_swept(orphans, backend);
}

struct orphans *orphans_create(const struct jobs_options *options, struct throttle *throttle, const atomic_bool *stop)
{
    struct orphans *orphans = calloc(1, sizeof(*orphans));
    if (orphans == NULL)
        return NULL;
    orphans->options = options;
    orphans->throttle = throttle;
    orphans->stop = stop;
    orphans->arena = arena_create(ARENA_LIMIT);
    orphans->scratch = arena_create(ARENA_LIMIT);
    if (orphans->arena != NULL && orphans->scratch != NULL)
        return orphans;
    orphans_free(orphans);
    return NULL;
}

void orphans_free(struct orphans *orphans)
{
    if (orphans == NULL)
        return;
    if (orphans->arena != NULL)
        arena_free(orphans->arena);
    if (orphans->scratch != NULL)
        arena_free(orphans->scratch);
    free(orphans->swept);
    free(orphans);
}
