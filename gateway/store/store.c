#include "store.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "fanout.h"
#include "hedge.h"
#include "private.h"
#include "readers.h"
#include "replicas.h"
#include "roster.h"
#include "suspects.h"
#include "topology.h"
#include "watched.h"

#define TRIED_MAX 32 /* bits in `tried` */

#define STRAGGLER_MS 30000 /* how long repair leaves an extent alone whose stragglers may still arrive */
#define REPAIR_MS    1000  /* and one that has none */

struct store {
    struct fanout_shared shared;
    struct suspects suspects;
    struct readers readers;
    struct roster roster;
    struct topology *_Atomic topology;
    atomic_bool changing;
};

/* --- what it serves from --- */

struct topology *store_topology(const struct store *store)
{
    return atomic_load(&store->topology);
}

struct roster *store_roster(struct store *store)
{
    return &store->roster;
}

atomic_bool *store_changing(struct store *store)
{
    return &store->changing;
}

bool store_swap(struct store *store, const struct topology *expected, struct topology *fresh)
{
    struct topology *present = (struct topology *)(uintptr_t)expected;
    fresh->older = present;
    return atomic_compare_exchange_strong(&store->topology, &present, fresh);
}

size_t store_old_writes(const struct store *store)
{
    size_t count = 0;
    for (const struct topology *old = store_topology(store)->older; old != NULL; old = old->older)
        count += atomic_load(&old->writes);
    return count;
}

/* Who counts the writes of old ones must not miss this: it is counted in before it is certain to be the present one. */
struct topology *store_pin(struct store *store)
{
    for (;;) {
        struct topology *topology = store_topology(store);
        atomic_fetch_add(&topology->writes, 1);
        if (topology == store_topology(store))
            return topology;
        store_unpin(topology);
    }
}

void store_unpin(struct topology *topology)
{
    atomic_fetch_sub(&topology->writes, 1);
}

static const struct placement *find_configured(const struct topology *topology, struct span name)
{
    const struct placement *place = topology_placement(topology, name);
    return place != NULL && place->configured ? place : NULL;
}

/* --- open --- */

int store_candidates(struct store *store, const struct config *config, struct candidate **out)
{
    struct candidate *candidates = calloc(config->backend_count + 1, sizeof(*candidates));
    int rc = candidates != NULL ? roster_open(&store->roster, config, candidates) : ERR_NOMEM;
    if (rc == 0)
        *out = candidates;
    else
        free(candidates);
    return rc;
}

void store_candidates_free(struct candidate *candidates, size_t count)
{
    if (candidates != NULL)
        roster_reject(candidates, count);
    free(candidates);
}

static int open_all(struct store *store, const struct config *config)
{
    struct candidate *candidates;
    struct topology *topology = NULL;
    int rc = store_candidates(store, config, &candidates);
    if (rc != 0)
        return rc;
    if ((rc = roster_seat(&store->roster, config, candidates)) == 0)
        rc = topology_create(config, &store->roster, NULL, 0, &topology);
    store_candidates_free(candidates, config->backend_count);
    atomic_store(&store->topology, topology);
    return rc;
}

int store_open(const struct config *config, struct store **out)
{
    struct store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return ERR_NOMEM;
    suspects_init(&store->suspects);
    readers_init(&store->readers);
    int rc = roster_init(&store->roster);
    if (rc == 0)
        rc = open_all(store, config);
    if (rc == 0)
        *out = store;
    else
        store_close(store);
    return rc;
}

void store_close(struct store *store)
{
    struct topology *older;
    if (store == NULL)
        return;
    for (struct topology *topology = atomic_load(&store->topology); topology != NULL; topology = older) {
        older = topology->older;
        topology_free(topology);
    }
    roster_fini(&store->roster);
    suspects_fini(&store->suspects);
    free(store);
}

bool store_has_placement(const struct store *store, struct span name)
{
    return find_configured(store_topology(store), name) != NULL;
}

const char *store_default_placement(const struct store *store)
{
    return store_topology(store)->config.default_placement;
}

struct backend *store_backend(const struct store *store, size_t i)
{
    return i < atomic_load(&store->roster.count) ? atomic_load(&store->roster.seats[i].backend) : NULL;
}

/* --- extents --- */

static Arca__Replica *new_replica(struct arena *arena)
{
    Arca__Replica *replica = arena_alloc(arena, sizeof(*replica));
    uint8_t *locator = arena_alloc(arena, LOCATOR_MAX);
    if (replica == NULL || locator == NULL)
        return NULL;
    arca__replica__init(replica);
    replica->locator.data = locator;
    return replica;
}

int store_put_extent(struct store *store, struct span placement, const uint8_t blob_id[16], uint32_t extent,
                     struct block *data, struct arena *arena, struct store_body *body, Arca__Replica ***out,
                     size_t *out_count) SUSPENDS
{
    if (body->topology == NULL)
        body->topology = store_pin(store);
    struct topology *topology = body->topology;
    const struct placement *place = find_configured(topology, placement);
    if (place == NULL)
        return ERR_NOT_FOUND;
    const struct fanout_set *set = &place->written;
    /* Allocated before anything is stored: what is stored can then always be told. */
    Arca__Replica **replicas = arena_alloc(arena, set->count * sizeof(Arca__Replica *));
    if (replicas == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < set->count; i++) {
        if ((replicas[i] = new_replica(arena)) == NULL)
            return ERR_NOMEM;
    }
    struct blob_name name;
    replica_name(blob_id, extent, &name);
    *out = replicas;
    *out_count = 0;
    body->wanted = (unsigned)set->count;
    if (set->count == 1) {
        struct backend *backend = set->backends[0];
        struct locator locator;
        int rc = backend->ops->put(backend, &name, data, &locator);
        if (rc != 0) {
            if (rc != ERR_CANCELED && rc != ERR_DOWN)
                log_warn("store_put", "backend %s: %s", backend->name, err_text(rc));
            return fanout_error(rc);
        }
        replica_fill(replicas[(*out_count)++], backend, &locator);
        return 0;
    }
    struct fanout_result results[PLACEMENT_MAX];
    struct fanout *open;
    int rc = fanout_put(&store->shared, set, &topology->writes, &name, data, results, &open);
    for (size_t i = 0; rc == 0 && i < set->count; i++) {
        if (results[i].rc == 0)
            replica_fill(replicas[(*out_count)++], set->backends[i], &results[i].locator);
    }
    if (open != NULL) {
        fanout_expose(open, replicas, out_count, body->open);
        body->open = open;
    }
    return rc;
}

int64_t store_body_gather(struct store_body *body)
{
    bool awaited = false;
    for (struct fanout *fanout = body->open; fanout != NULL; fanout = fanout_next(fanout))
        awaited = fanout_gather(fanout) || awaited;
    body->awaited = awaited;
    return awaited ? STRAGGLER_MS : REPAIR_MS;
}

void store_body_settle(struct store_body *body, struct index *index)
{
    struct fanout *next;
    for (struct fanout *fanout = body->open; fanout != NULL; fanout = next) {
        next = fanout_next(fanout);
        fanout_settle(fanout, index, body->awaited);
    }
    body->open = NULL;
    if (body->topology != NULL)
        store_unpin(body->topology);
    body->topology = NULL;
}

bool store_leftovers(const struct store *store)
{
    return atomic_load(&store->shared.leftovers);
}

void store_reader_enter(struct store *store, struct store_reader *reader)
{
    readers_enter(&store->readers, reader);
}

void store_reader_leave(struct store *store, struct store_reader *reader)
{
    readers_leave(&store->readers, reader);
}

int64_t store_oldest_reader_ms(const struct store *store)
{
    return readers_oldest_ms(&store->readers);
}

void store_suspect(struct store *store, const Arca__Replica *replica, const uint8_t blob_id[16], uint32_t extent)
{
    suspects_add(&store->suspects, replica, blob_id, extent);
}

void store_suspect_read(struct store *store, Arca__Replica *const *replicas, size_t count, const uint8_t blob_id[16],
                        uint32_t extent, uint32_t tried_before, uint32_t tried)
{
    uint32_t fresh = tried & ~tried_before;
    /* Of several, all but one were noted when they failed, and it is not known which that was. */
    if (count > 1 && fresh != 0 && (fresh & (fresh - 1)) == 0)
        store_suspect(store, replicas[__builtin_ctz(fresh)], blob_id, extent);
}

/* --- for the other files of the room --- */

struct suspects *store_suspects(struct store *store)
{
    return &store->suspects;
}

struct fanout_shared *store_shared(struct store *store)
{
    return &store->shared;
}

size_t store_placement_backends(const struct store *store, struct span name, struct backend *const **out)
{
    const struct placement *place = topology_placement(store_topology(store), name);
    *out = place != NULL ? place->wanted : NULL;
    return place != NULL ? place->wanted_count : 0;
}

int store_find_backend(const struct store *store, const char *name, struct backend **out)
{
    const struct member *member = topology_member(store_topology(store), name);
    if (member == NULL)
        return ERR_NOT_FOUND;
    *out = member->backend;
    return 0;
}

size_t store_backend_number(const struct store *store, const struct backend *backend)
{
    int number = roster_find(&store->roster, backend->name);
    return number >= 0 ? (size_t)number : 0; /* all that there are have a seat */
}

bool store_backend_used(const struct store *store, const char *name)
{
    return topology_member(store_topology(store), name) != NULL;
}

/* The member that holds the replica, and its locator. */
static int resolve(const struct topology *topology, const Arca__Replica *replica, const struct member **member,
                   struct locator *locator)
{
    *member = topology_holder(topology, replica->backend);
    if (*member == NULL) {
        log_warn("store_backend", "there is no backend %s, which holds a replica", replica->backend);
        return ERR_UNAVAILABLE;
    }
    if (replica->locator.len > LOCATOR_MAX)
        return ERR_CORRUPT;
    locator->length = (uint8_t)replica->locator.len;
    if (locator->length > 0)
        memcpy(locator->bytes, replica->locator.data, locator->length);
    return 0;
}

/* The untried replica to read next: of a backend that works, in good state, cheap, named early in its placement; of one that
 * is gone from the config when nothing else is left. -1: none. */
static int choose(const struct topology *topology, Arca__Replica *const *replicas, size_t count, uint32_t tried)
{
    int best = -1;
    unsigned best_rank = UINT_MAX;
    int64_t now_ms = loop_now_ms();
    for (size_t i = 0; i < count && i < TRIED_MAX; i++) {
        if (tried >> i & 1)
            continue;
        const struct member *member = topology_holder(topology, replicas[i]->backend);
        unsigned rank = member == NULL || member->gone ? 3 : health_rank(watched_health(member->backend), now_ms);
        rank = rank * 2 + (replicas[i]->state == ARCA__REPLICA__STATE__GOOD ? 0 : 1);
        rank = rank << 16 | (member != NULL ? member->preference : 0);
        if (rank < best_rank) {
            best_rank = rank;
            best = (int)i;
        }
    }
    return best;
}

/* One read of an extent, and what has come of it so far. */
struct extent_read {
    struct store *store;
    const struct topology *topology;
    Arca__Replica *const *replicas;
    size_t count;
    struct blob_name name;
    uint64_t offset, length;
    uint8_t *dst;
    struct store_tried *tried;
    int why; /* what it fails with when no replica is left */
};

static void note_tried(struct extent_read *read, int i, int rc)
{
    read->tried->all |= (uint32_t)1 << i;
    if (rc == 0)
        return;
    if (rc == ERR_CORRUPT || rc == ERR_NOT_FOUND)
        read->tried->lost |= (uint32_t)1 << i;
    /* That it is down was told once, and resolve tells what it does not find. */
    if (rc != ERR_DOWN && topology_holder(read->topology, read->replicas[i]->backend) != NULL) {
        log_warn("store_get", "backend %s: %s", read->replicas[i]->backend, err_text(rc));
        if (rc != ERR_CORRUPT && rc != ERR_NOT_FOUND)
            read->tried->refused |= (uint32_t)1 << i;
    }
    if (read->count > 1 && (rc == ERR_CORRUPT || rc == ERR_NOT_FOUND))
        store_suspect(read->store, read->replicas[i], read->name.bytes, replica_extent(&read->name));
    if (rc == ERR_CORRUPT)
        read->why = ERR_CORRUPT;
    else if (rc != ERR_NOT_FOUND && read->why != ERR_CORRUPT)
        read->why = ERR_UNAVAILABLE;
}

/* From replica i, with j to help out when i is slow. ERR_BUSY: there is no room for that. */
static int read_hedged(struct extent_read *read, int i, const struct member *member, const struct locator *locator,
                       int j) SUSPENDS
{
    struct hedge_side sides[2] = {{.backend = member->backend, .locator = *locator, .rc = ERR_BUSY}, {.rc = ERR_BUSY}};
    const struct member *other;
    int winner = -1;
    if (resolve(read->topology, read->replicas[j], &other, &sides[1].locator) != 0)
        return ERR_BUSY;
    sides[1].backend = other->backend;
    int rc = hedge_get(sides, &read->name, read->offset, read->length, read->dst, &winner);
    if (rc == ERR_CANCELED)
        return rc;
    /* A replica that was slow may be read again, if the other turns out to be damaged. */
    for (int side = 0; side < 2; side++) {
        if (sides[side].rc != ERR_BUSY && (sides[side].rc != 0 || side == winner))
            note_tried(read, side == 0 ? i : j, sides[side].rc);
    }
    return rc == ERR_NOMEM ? ERR_BUSY : rc;
}

/* From the replica that is to be read next. */
static int read_next(struct extent_read *read, int i) SUSPENDS
{
    const struct member *member;
    struct locator locator;
    int rc = resolve(read->topology, read->replicas[i], &member, &locator);
    if (rc == 0 && read->count > 1 && watched_hedged(member->backend)) {
        int j = choose(read->topology, read->replicas, read->count, read->tried->all | (uint32_t)1 << i);
        rc = j >= 0 ? read_hedged(read, i, member, &locator, j) : ERR_BUSY;
        if (rc != ERR_BUSY)
            return rc;
        rc = 0;
    }
    if (rc == 0)
        rc = member->backend->ops->get(member->backend, &read->name, &locator, read->offset, read->length, read->dst);
    if (rc != ERR_CANCELED)
        note_tried(read, i, rc);
    return rc;
}

int store_get_extent(struct store *store, Arca__Replica *const *replicas, size_t count, const uint8_t blob_id[16],
                     uint32_t extent, uint64_t offset, uint64_t length, uint8_t *dst,
                     struct store_tried *tried) SUSPENDS
{
    struct extent_read read = {
        .store = store,
        .topology = store_topology(store),
        .replicas = replicas,
        .count = count,
        .offset = offset,
        .length = length,
        .dst = dst,
        .tried = tried,
        /* One damaged replica says more than others that are gone or not reached. */
        .why = tried->all != 0 ? ERR_CORRUPT : ERR_NOT_FOUND,
    };
    int i;
    replica_name(blob_id, extent, &read.name);
    while ((i = choose(read.topology, replicas, count, tried->all)) >= 0) {
        int rc = read_next(&read, i);
        if (rc == 0 || rc == ERR_CANCELED)
            return rc;
    }
    return read.why;
}

int store_remove_extent(struct store *store, Arca__Replica *const *replicas, size_t count, const uint8_t blob_id[16],
                        uint32_t extent) SUSPENDS
{
    struct topology *topology = store_topology(store);
    struct blob_name name;
    replica_name(blob_id, extent, &name);
    int first = 0;
    for (size_t i = 0; i < count; i++) {
        const struct member *member;
        struct locator locator;
        if (topology_member(topology, replicas[i]->backend) == NULL) {
            atomic_store(&store->shared.leftovers, true);
            continue;
        }
        int rc = resolve(topology, replicas[i], &member, &locator);
        if (rc == 0)
            rc = member->backend->ops->remove(member->backend, &name, &locator);
        if (first == 0)
            first = rc;
    }
    return first;
}

/* --- health --- */

int store_writable(const struct store *store, struct span placement, unsigned *retry_after_s)
{
    const struct placement *place = find_configured(store_topology(store), placement);
    int64_t now_ms = loop_now_ms(), wait_ms = INT64_MAX;
    unsigned able = 0;
    int why = ERR_UNAVAILABLE;
    if (place == NULL)
        return ERR_NOT_FOUND;
    for (size_t i = 0; i < place->written.count; i++) {
        const struct health *health = watched_health(place->written.backends[i]);
        int rc = health_writable(health);
        int64_t retry_ms = health_retry_ms(health, now_ms);
        able += rc == 0;
        if (rc == ERR_UNAVAILABLE && retry_ms < wait_ms)
            wait_ms = retry_ms;
        else if (rc == ERR_READONLY)
            why = rc;
    }
    if (able >= place->written.quorum)
        return 0;
    if (wait_ms == INT64_MAX)
        return why;
    *retry_after_s = (unsigned)(wait_ms / 1000 + 1);
    return ERR_UNAVAILABLE;
}

/* Appends to a text that is cut where it is too long. */
static void say(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void say(char *text, size_t size, const char *format, ...)
{
    size_t length = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + length, size - length, format, args);
    va_end(args);
}

static int placement_ready(const struct placement *place, char *why, size_t why_size)
{
    unsigned able = 0;
    int first = 0;
    say(why, why_size, "placement %s cannot be written to:", place->name);
    for (size_t i = 0; i < place->written.count; i++) {
        const struct health *health = watched_health(place->written.backends[i]);
        int rc = health_writable(health) != 0 ? health_writable(health) : health->writes;
        able += rc == 0;
        if (rc == 0)
            continue;
        say(why, why_size, "%s backend %s: %s", first == 0 ? "" : ";", place->written.backends[i]->name,
            err_text(rc == ERR_UNAVAILABLE ? health->last_error : rc));
        first = first == 0 ? rc : first;
    }
    return able >= place->written.quorum ? 0 : first;
}

int store_ready(const struct store *store, char *why, size_t why_size)
{
    const struct topology *topology = store_topology(store);
    int rc = 0;
    if (why_size == 0)
        return ERR_INVALID;
    for (size_t i = 0; rc == 0 && i < topology->config.placement_count; i++) {
        why[0] = '\0';
        rc = placement_ready(&topology->placements[i], why, why_size);
    }
    if (rc == 0)
        why[0] = '\0';
    return rc;
}
