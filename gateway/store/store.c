#include "store.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "backends/registry.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "fanout.h"

#define AVOID_MS 10000 /* how long reads prefer other replicas after a backend failed one */
#define TRIED_MAX 32   /* bits in `tried` */

struct member {
    struct backend *backend;
    _Atomic int64_t avoid_until; /* loop_now_ms */
};

struct placement {
    const char *name; /* the config's */
    struct backend *backends[PLACEMENT_MAX];
    size_t count;
    unsigned quorum;
};

struct store {
    struct member *members;
    size_t member_count;
    struct placement *placements;
    size_t placement_count;
};

/* --- open --- */

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

static int open_placement(const struct store *store, const struct config_placement *config, struct placement *out)
{
    *out = (struct placement){.name = config->name, .quorum = config->write_quorum};
    if (config->backend_count > PLACEMENT_MAX || config->write_quorum == 0 ||
        config->write_quorum > config->backend_count) {
        log_error("store_placement", "placement %s: 1 to %d backends, and a write quorum of 1 to their number",
                  config->name, PLACEMENT_MAX);
        return ERR_INVALID;
    }
    for (size_t i = 0; i < config->backend_count; i++) {
        const struct member *member = find_member(store, config->backends[i]);
        if (member == NULL) {
            log_error("store_placement", "placement %s: there is no backend %s", config->name, config->backends[i]);
            return ERR_INVALID;
        }
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
    store->members = calloc(config->backend_count + 1, sizeof(struct member));
    store->placements = calloc(config->placement_count + 1, sizeof(struct placement));
    if (store->members == NULL || store->placements == NULL)
        rc = ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < config->backend_count; i++) {
        rc = backend_open(&config->backends[i], &store->members[i].backend);
        store->member_count += rc == 0;
    }
    for (size_t i = 0; rc == 0 && i < config->placement_count; i++) {
        rc = open_placement(store, &config->placements[i], &store->placements[i]);
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

static void extent_name(const uint8_t blob_id[16], uint32_t extent, struct blob_name *out)
{
    memcpy(out->bytes, blob_id, 16);
    for (int i = 0; i < 4; i++)
        out->bytes[16 + i] = (uint8_t)(extent >> (24 - 8 * i));
}

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

static void fill_replica(Arca__Replica *replica, struct backend *backend, const struct locator *locator)
{
    replica->backend = backend->name;
    replica->locator.len = locator->length;
    memcpy(replica->locator.data, locator->bytes, locator->length);
}

int store_put_extent(struct store *store, struct span placement, const uint8_t blob_id[16], uint32_t extent,
                     struct block *data, struct arena *arena, Arca__Replica ***out, size_t *out_count) SUSPENDS
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
    extent_name(blob_id, extent, &name);
    *out = replicas;
    *out_count = 0;
    if (place->count == 1) {
        struct backend *backend = place->backends[0];
        struct locator locator;
        int rc = backend->ops->put(backend, &name, data, &locator);
        if (rc != 0) {
            if (rc != ERR_CANCELED)
                log_warn("store_put", "backend %s: %s", backend->name, err_text(rc));
            return fanout_error(rc);
        }
        fill_replica(replicas[(*out_count)++], backend, &locator);
        return 0;
    }
    struct fanout_result results[PLACEMENT_MAX];
    int rc = fanout_put(place->backends, place->count, place->quorum, &name, data, results);
    for (size_t i = 0; rc == 0 && i < place->count; i++) {
        if (results[i].rc == 0)
            fill_replica(replicas[(*out_count)++], place->backends[i], &results[i].locator);
    }
    return rc;
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

/* The untried replica to read next: those in good state on a backend that has not failed lately come first. -1: none. */
static int choose(const struct store *store, Arca__Replica *const *replicas, size_t count, uint32_t tried)
{
    int best = -1;
    int best_rank = 4;
    for (size_t i = 0; i < count && i < TRIED_MAX; i++) {
        if (tried >> i & 1)
            continue;
        const struct member *member = find_member(store, replicas[i]->backend);
        bool avoid = member == NULL || (member->avoid_until != 0 && member->avoid_until > loop_now_ms());
        int rank = (avoid ? 2 : 0) + (replicas[i]->state == ARCA__REPLICA__STATE__GOOD ? 0 : 1);
        if (rank < best_rank) {
            best_rank = rank;
            best = (int)i;
        }
    }
    return best;
}

int store_get_extent(struct store *store, Arca__Replica *const *replicas, size_t count, const uint8_t blob_id[16],
                     uint32_t extent, uint64_t offset, uint64_t length, uint8_t *dst, uint32_t *tried) SUSPENDS
{
    struct blob_name name;
    extent_name(blob_id, extent, &name);
    /* One damaged replica says more than others that are gone or not reached. */
    int why = *tried != 0 ? ERR_CORRUPT : ERR_NOT_FOUND;
    int i;
    while ((i = choose(store, replicas, count, *tried)) >= 0) {
        *tried |= (uint32_t)1 << i;
        struct member *member;
        struct locator locator;
        int rc = resolve(store, replicas[i], &member, &locator);
        if (rc == 0)
            rc = member->backend->ops->get(member->backend, &name, &locator, offset, length, dst);
        if (rc == 0 || rc == ERR_CANCELED)
            return rc;
        if (member != NULL) {
            log_warn("store_get", "backend %s: %s", member->backend->name, err_text(rc));
            if (rc != ERR_CORRUPT && rc != ERR_NOT_FOUND)
                member->avoid_until = loop_now_ms() + AVOID_MS;
        }
        if (rc == ERR_CORRUPT)
            why = ERR_CORRUPT;
        else if (rc != ERR_NOT_FOUND && why != ERR_CORRUPT)
            why = ERR_UNAVAILABLE;
    }
    return why;
}

int store_remove_extent(struct store *store, Arca__Replica *const *replicas, size_t count, const uint8_t blob_id[16],
                        uint32_t extent) SUSPENDS
{
    struct blob_name name;
    extent_name(blob_id, extent, &name);
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

static int placement_ready(const struct placement *placement, char *why, size_t why_size) SUSPENDS
{
    unsigned healthy = 0;
    int rc = 0;
    struct backend_health health;
    for (size_t i = 0; i < placement->count; i++) {
        struct backend *backend = placement->backends[i];
        int probed = backend->ops->probe(backend, &health);
        if (probed == 0 && health.state == BACKEND_HEALTHY) {
            healthy++;
        } else if (rc == 0) {
            rc = probed == 0 && health.state == BACKEND_READONLY ? ERR_READONLY : ERR_UNAVAILABLE;
            snprintf(why, why_size, "backend %s: %s", backend->name, probed == 0 ? health.why : err_text(probed));
        }
    }
    return healthy >= placement->quorum ? 0 : rc;
}

int store_ready(struct store *store, char *why, size_t why_size) SUSPENDS
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < store->placement_count; i++)
        rc = placement_ready(&store->placements[i], why, why_size);
    if (rc == 0 && why_size > 0)
        why[0] = '\0';
    return rc;
}
