#include "store.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "backends/registry.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "fanout.h"
#include "hedge.h"
#include "private.h"
#include "replicas.h"
#include "suspects.h"
#include "watched.h"

#define TRIED_MAX 32 /* bits in `tried` */

struct member {
    struct backend *backend; /* watched */
    unsigned preference;     /* of reads, the lowest first */
};

struct placement {
    const char *name; /* the config's */
    struct backend *backends[PLACEMENT_MAX];
    size_t count;
    unsigned quorum;
};

#define STRAGGLER_MS 30000 /* how long repair leaves an extent alone whose stragglers may still arrive */
#define REPAIR_MS    1000  /* and one that has none */

struct store {
    struct fanout_shared shared;
    struct suspects suspects;
    struct member *members;
    size_t member_count;
    struct placement *placements;
    size_t placement_count;
};

/* --- open --- */

static int open_member(const struct backend_settings *settings, struct member *out)
{
    struct backend *inner;
    int rc = backend_open(settings, &inner);
    if (rc != 0)
        return rc;
    if ((rc = watched_create(inner, &out->backend)) != 0)
        inner->ops->close(inner);
    /* Behind the cost, and in front of the order of the replicas: the place in the placements, see open_placement. */
    out->preference = settings->cost * PLACEMENT_MAX + PLACEMENT_MAX - 1;
    return rc;
}

static struct member *find_member(const struct store *store, const char *name)
{
    for (size_t i = 0; i < store->member_count; i++) {
        if (strcmp(store->members[i].backend->name, name) == 0)
            return &store->members[i];
    }
    return NULL;
}

static const struct placement *find_placement(const struct store *store, struct span name)
{
    for (size_t i = 0; i < store->placement_count; i++) {
        if (span_eq_str(name, store->placements[i].name))
            return &store->placements[i];
    }
    return NULL;
}

static int open_placement(const struct store *store, const struct config *all, const struct config_placement *config,
                          struct placement *out)
{
    *out = (struct placement){.name = config->name, .quorum = config->write_quorum};
    if (config->backend_count > PLACEMENT_MAX || config->write_quorum == 0 ||
        config->write_quorum > config->backend_count) {
        log_error("store_placement", "placement %s: 1 to %d backends, and a write quorum of 1 to their number",
                  config->name, PLACEMENT_MAX);
        return ERR_INVALID;
    }
    const char *unmet = config_unmet(all, config);
    if (unmet != NULL) {
        log_error("store_placement", "placement %s: backend %s lacks a label that is demanded", config->name, unmet);
        return ERR_INVALID;
    }
    for (size_t i = 0; i < config->backend_count; i++) {
        struct member *member = find_member(store, config->backends[i]);
        if (member == NULL) {
            log_error("store_placement", "placement %s: there is no backend %s", config->name, config->backends[i]);
            return ERR_INVALID;
        }
        unsigned cost = member->preference / PLACEMENT_MAX * PLACEMENT_MAX;
        if (member->preference - cost > i)
            member->preference = cost + (unsigned)i;
        out->backends[out->count++] = member->backend;
    }
    return 0;
}

int store_open(const struct config *config, struct store **out)
{
    int rc = 0;
    struct store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return ERR_NOMEM;
    suspects_init(&store->suspects);
    store->members = calloc(config->backend_count + 1, sizeof(struct member));
    store->placements = calloc(config->placement_count + 1, sizeof(struct placement));
    if (store->members == NULL || store->placements == NULL)
        rc = ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < config->backend_count; i++) {
        rc = open_member(&config->backends[i], &store->members[i]);
        store->member_count += rc == 0;
    }
    for (size_t i = 0; rc == 0 && i < config->placement_count; i++) {
        rc = open_placement(store, config, &config->placements[i], &store->placements[i]);
        store->placement_count += rc == 0;
    }
    if (rc != 0) {
        store_close(store);
        return rc;
    }
    *out = store;
    return 0;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    for (size_t i = 0; i < store->member_count; i++) {
        struct backend *backend = store->members[i].backend;
        backend->ops->close(backend);
    }
    suspects_fini(&store->suspects);
    free(store->placements);
    free(store->members);
    free(store);
}

bool store_has_placement(const struct store *store, struct span name)
{
    return find_placement(store, name) != NULL;
}

struct backend *store_backend(struct store *store, size_t i)
{
    return i < store->member_count ? store->members[i].backend : NULL;
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
    const struct placement *place = find_placement(store, placement);
    if (place == NULL)
        return ERR_NOT_FOUND;
    /* Allocated before anything is stored: what is stored can then always be told. */
    Arca__Replica **replicas = arena_alloc(arena, place->count * sizeof(Arca__Replica *));
    if (replicas == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < place->count; i++) {
        if ((replicas[i] = new_replica(arena)) == NULL)
            return ERR_NOMEM;
    }
    struct blob_name name;
    replica_name(blob_id, extent, &name);
    *out = replicas;
    *out_count = 0;
    body->wanted = (unsigned)place->count;
    if (place->count == 1) {
        struct backend *backend = place->backends[0];
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
    int rc = fanout_put(&store->shared, place->backends, place->count, place->quorum, &name, data, results, &open);
    for (size_t i = 0; rc == 0 && i < place->count; i++) {
        if (results[i].rc == 0)
            replica_fill(replicas[(*out_count)++], place->backends[i], &results[i].locator);
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
}

bool store_leftovers(const struct store *store)
{
    return atomic_load(&store->shared.leftovers);
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
    const struct placement *place = find_placement(store, name);
    *out = place != NULL ? place->backends : NULL;
    return place != NULL ? place->count : 0;
}

int store_find_backend(const struct store *store, const char *name, struct backend **out)
{
    const struct member *member = find_member(store, name);
    if (member == NULL)
        return ERR_NOT_FOUND;
    *out = member->backend;
    return 0;
}

/* The member that holds the replica, and its locator. */
static int resolve(const struct store *store, const Arca__Replica *replica, struct member **member,
                   struct locator *locator)
{
    *member = find_member(store, replica->backend);
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

/* The untried replica to read next: of a backend that works, in good state, cheap, named early in its placement. -1: none. */
static int choose(const struct store *store, Arca__Replica *const *replicas, size_t count, uint32_t tried)
{
    int best = -1;
    unsigned best_rank = UINT_MAX;
    int64_t now_ms = loop_now_ms();
    for (size_t i = 0; i < count && i < TRIED_MAX; i++) {
        if (tried >> i & 1)
            continue;
        const struct member *member = find_member(store, replicas[i]->backend);
        unsigned rank = member == NULL ? 3 : health_rank(watched_health(member->backend), now_ms);
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
    Arca__Replica *const *replicas;
    size_t count;
    struct blob_name name;
    uint64_t offset, length;
    uint8_t *dst;
    uint32_t *tried;
    int why; /* what it fails with when no replica is left */
};

static void note_tried(struct extent_read *read, int i, int rc)
{
    *read->tried |= (uint32_t)1 << i;
    if (rc == 0)
        return;
    /* That it is down was told once, and resolve tells what it does not find. */
    if (rc != ERR_DOWN && find_member(read->store, read->replicas[i]->backend) != NULL)
        log_warn("store_get", "backend %s: %s", read->replicas[i]->backend, err_text(rc));
    if (read->count > 1 && (rc == ERR_CORRUPT || rc == ERR_NOT_FOUND))
        store_suspect(read->store, read->replicas[i], read->name.bytes, replica_extent(&read->name));
    if (rc == ERR_CORRUPT)
        read->why = ERR_CORRUPT;
    else if (rc != ERR_NOT_FOUND && read->why != ERR_CORRUPT)
        read->why = ERR_UNAVAILABLE;
}

/* From replica i, with j to help out when i is slow. ERR_BUSY: there is no room for that. */
static int read_hedged(struct extent_read *read, int i, struct member *member, const struct locator *locator,
                       int j) SUSPENDS
{
    struct hedge_side sides[2] = {{.backend = member->backend, .locator = *locator, .rc = ERR_BUSY}, {.rc = ERR_BUSY}};
    struct member *other;
    int winner = -1;
    if (resolve(read->store, read->replicas[j], &other, &sides[1].locator) != 0)
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
    struct member *member;
    struct locator locator;
    int rc = resolve(read->store, read->replicas[i], &member, &locator);
    if (rc == 0 && read->count > 1 && watched_hedged(member->backend)) {
        int j = choose(read->store, read->replicas, read->count, *read->tried | (uint32_t)1 << i);
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
                     uint32_t extent, uint64_t offset, uint64_t length, uint8_t *dst, uint32_t *tried) SUSPENDS
{
    struct extent_read read = {
        .store = store,
        .replicas = replicas,
        .count = count,
        .offset = offset,
        .length = length,
        .dst = dst,
        .tried = tried,
        /* One damaged replica says more than others that are gone or not reached. */
        .why = *tried != 0 ? ERR_CORRUPT : ERR_NOT_FOUND,
    };
    int i;
    replica_name(blob_id, extent, &read.name);
    while ((i = choose(store, replicas, count, *tried)) >= 0) {
        int rc = read_next(&read, i);
        if (rc == 0 || rc == ERR_CANCELED)
            return rc;
    }
    return read.why;
}

int store_remove_extent(struct store *store, Arca__Replica *const *replicas, size_t count, const uint8_t blob_id[16],
                        uint32_t extent) SUSPENDS
{
    struct blob_name name;
    replica_name(blob_id, extent, &name);
    int first = 0;
    for (size_t i = 0; i < count; i++) {
        struct member *member;
        struct locator locator;
        int rc = resolve(store, replicas[i], &member, &locator);
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
    const struct placement *place = find_placement(store, placement);
    int64_t now_ms = loop_now_ms(), wait_ms = INT64_MAX;
    unsigned able = 0;
    int why = ERR_UNAVAILABLE;
    if (place == NULL)
        return ERR_NOT_FOUND;
    for (size_t i = 0; i < place->count; i++) {
        const struct health *health = watched_health(place->backends[i]);
        int rc = health_writable(health);
        int64_t retry_ms = health_retry_ms(health, now_ms);
        able += rc == 0;
        if (rc == ERR_UNAVAILABLE && retry_ms < wait_ms)
            wait_ms = retry_ms;
        else if (rc == ERR_READONLY)
            why = rc;
    }
    if (able >= place->quorum)
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
    for (size_t i = 0; i < place->count; i++) {
        const struct health *health = watched_health(place->backends[i]);
        int rc = health_writable(health) != 0 ? health_writable(health) : health->writes;
        able += rc == 0;
        if (rc == 0)
            continue;
        say(why, why_size, "%s backend %s: %s", first == 0 ? "" : ";", place->backends[i]->name,
            err_text(rc == ERR_UNAVAILABLE ? health->last_error : rc));
        first = first == 0 ? rc : first;
    }
    return able >= place->quorum ? 0 : first;
}

int store_ready(const struct store *store, char *why, size_t why_size)
{
    int rc = 0;
    if (why_size == 0)
        return ERR_INVALID;
    for (size_t i = 0; rc == 0 && i < store->placement_count; i++) {
        why[0] = '\0';
        rc = placement_ready(&store->placements[i], why, why_size);
    }
    if (rc == 0)
        why[0] = '\0';
    return rc;
}
