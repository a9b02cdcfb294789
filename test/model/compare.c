/* What the backends hold, compared with what the index names, and where that belongs. */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "fault_backend.h"
#include "memory_backend.h"
#include "world_private.h"

#define ARENA_LIMIT ((size_t)64 << 20)
#define KEYS        1000 /* of a bucket; the model has a few */

struct held {
    struct blob_name name;
    uint64_t size;
    bool named;
};

struct comparison {
    struct world *world;
    struct backend *backends[WORLD_BACKENDS]; /* that never fail */
    struct held *held[WORLD_BACKENDS]; /* in the order of their names */
    size_t held_count[WORLD_BACKENDS];
    struct world_set sets[WORLD_PLACEMENTS];
    unsigned members[WORLD_PLACEMENTS];
    struct world_difference *out;
    bool bytes;
    const struct blob_name *name; /* of the extent in hand, */
    bool live;                    /* which somebody refers to */
};

/* --- what is there --- */

static void list_backends(struct comparison *all) SUSPENDS
{
    struct blob_batch *batch = malloc(sizeof(*batch));
    for (unsigned b = 0; b < WORLD_BACKENDS; b++) {
        struct backend *backend = all->backends[b];
        struct blob_cursor cursor = {0};
        while (!cursor.end) {
            world_must(batch != NULL ? backend->ops->list(backend, &cursor, batch) : ERR_NOMEM, "list");
            all->held[b] = reallocarray(all->held[b], all->held_count[b] + batch->count + 1, sizeof(struct held));
            if (all->held[b] == NULL)
                abort();
            for (size_t i = 0; i < batch->count; i++)
                all->held[b][all->held_count[b]++] =
                    (struct held){.name = batch->entries[i].name, .size = batch->entries[i].size};
        }
    }
    free(batch);
}

/* --- what belongs to a placement --- */

static unsigned placement_number(const char *placement)
{
    unsigned p = 0;
    while (p < WORLD_PLACEMENTS && strcmp(world_placements[p], placement) != 0)
        p++;
    world_must(p < WORLD_PLACEMENTS ? 0 : ERR_NOT_FOUND, placement);
    return p;
}

static bool set_has(const struct world_set *set, unsigned backend)
{
    for (unsigned i = 0; i < set->count; i++) {
        if (set->backends[i] == backend)
            return true;
    }
    return false;
}

static void count_holdings(struct comparison *all, struct arena *arena) SUSPENDS
{
    Arca__Holding **holdings;
    size_t count;
    world_must(index_holding_list(all->world->index, arena, &holdings, &count), "holdings");
    for (size_t i = 0; i < count; i++) {
        if (!set_has(&all->sets[placement_number(holdings[i]->placement)], world_number_of(holdings[i]->backend)))
            all->out->elsewhere += holdings[i]->replicas;
    }
}

static void place_blob(struct comparison *all, const Arca__Bucket *bucket, ProtobufCBinaryData id,
                       struct arena *arena) SUSPENDS
{
    Arca__Blob *blob;
    if (id.len == 0)
        return;
    world_must(index_blob_get(all->world->index, span_of(id.data, id.len), arena, &blob), "a blob");
    all->out->elsewhere += strcmp(blob->placement, bucket->placement) != 0;
}

static void place_object(struct comparison *all, const Arca__Bucket *bucket, struct span key,
                         struct arena *arena) SUSPENDS
{
    struct index *index = all->world->index;
    Arca__Object *object;
    Arca__Part **parts;
    size_t count = 0;
    world_must(index_object_get(index, bucket->id, key, arena, &object, NULL), "an object");
    struct span manifest = span_of(object->manifest_id.data, object->manifest_id.len);
    if (manifest.len > 0)
        world_must(index_part_list(index, manifest, 0, KEYS, arena, &parts, &count), "parts");
    for (size_t i = 0; i < count; i++)
        place_blob(all, bucket, parts[i]->blob_id, arena);
    place_blob(all, bucket, object->blob_id, arena);
}

/* What is in a bucket is in its placement, also when it was copied from another. */
static void place_objects(struct comparison *all, struct arena *arena) SUSPENDS
{
    struct index *index = all->world->index;
    Arca__Bucket **buckets;
    struct index_listing listing;
    size_t count;
    world_must(index_bucket_list(index, SPAN_NONE, KEYS, arena, &buckets, &count), "buckets");
    for (size_t b = 0; b < count; b++) {
        struct index_list_query query = {.node = buckets[b]->id, .max = KEYS};
        world_must(index_list(index, &query, arena, &listing), "a bucket");
        for (size_t i = 0; i < listing.count; i++)
            place_object(all, buckets[b], listing.entries[i].key, arena);
    }
}

static void look(void *arg) SUSPENDS
{
    struct comparison *all = arg;
    struct arena *arena = arena_create(ARENA_LIMIT);
    for (unsigned p = 0; p < WORLD_PLACEMENTS; p++) {
        (void)world_is(all->world, p, &all->sets[p]);
        all->members[p] = world_members(all->world, p);
    }
    list_backends(all);
    count_holdings(all, arena);
    place_objects(all, arena);
    all->out->open_leases = world_open_leases(all->world);
    arena_free(arena);
}

/* --- what the index names --- */

static int by_name(const void *a, const void *b)
{
    return memcmp(a, b, BLOB_NAME_SIZE);
}

static bool is_whole(struct backend *backend, const struct held *held)
{
    struct locator locator = {0};
    uint8_t *data = malloc(held->size);
    bool whole = data != NULL && backend->ops->get(backend, &held->name, &locator, 0, held->size, data) == 0 &&
                 fault_is_true(&held->name, data, held->size);
    free(data);
    return whole;
}

static void compare_replica(struct comparison *all, const Arca__Replica *replica)
{
    const struct blob_name *name = all->name;
    unsigned number = world_number_of(replica->backend);
    struct held *held = bsearch(name, all->held[number], all->held_count[number], sizeof(*held), by_name);
    if (held != NULL)
        held->named = true;
    if (held != NULL && (!all->bytes || is_whole(all->backends[number], held)))
        return;
    all->out->missing += held == NULL;
    all->out->lost += held == NULL && all->live && replica->state == ARCA__REPLICA__STATE__GOOD &&
                      !world_may_lie(all->world, number, name);
    all->out->damaged += held != NULL;
}

static int compare_extent(const Arca__Blob *blob, const Arca__Extent *extent, void *arg)
{
    struct comparison *all = arg;
    struct blob_name name;
    memcpy(name.bytes, blob->id.data, BLOB_ID_SIZE);
    for (int i = 0; i < 4; i++)
        name.bytes[BLOB_ID_SIZE + i] = (uint8_t)(extent->number >> (24 - 8 * i));
    all->out->extents++;
    all->name = &name;
    all->live = blob->references > 0;
    unsigned p = placement_number(blob->placement), placed = 0;
    for (size_t i = 0; i < extent->n_replicas; i++) {
        const Arca__Replica *replica = extent->replicas[i];
        compare_replica(all, replica);
        unsigned number = world_number_of(replica->backend);
        all->out->outside += (all->members[p] >> number & 1) == 0;
        placed += replica->state == ARCA__REPLICA__STATE__GOOD && set_has(&all->sets[p], number);
    }
    all->out->elsewhere += extent->n_replicas + all->sets[p].count - 2 * placed;
    return 0;
}

void world_compare(struct world *world, bool bytes, struct world_difference *out)
{
    struct comparison all = {.world = world, .bytes = bytes, .out = out};
    *out = (struct world_difference){0};
    for (unsigned b = 0; b < WORLD_BACKENDS; b++)
        world_must(memory_open(world_backends[b], world_backends[b], &all.backends[b]), "a backend");
    world_run(world, look, &all);
    world_must(index_extents_each(world->index, compare_extent, &all), "extents");
    for (unsigned b = 0; b < WORLD_BACKENDS; b++) {
        for (size_t i = 0; i < all.held_count[b]; i++) {
            const struct held *held = &all.held[b][i];
            out->orphans += !held->named;
            out->strays += !held->named && !world_may_lie(world, b, &held->name);
        }
        free(all.held[b]);
        all.backends[b]->ops->close(all.backends[b]);
    }
}
