#include "holdings.h"

#include <string.h>
#include "base/byteorder.h"
#include "base/err.h"

#define ARENA_LIMIT ((size_t)64 << 20)
#define EXTENTS     100 /* of a blob, looked at, at a time */

uint64_t holdings_on(Arca__Holding *const *rows, size_t count, const char *backend)
{
    uint64_t replicas = 0;
    for (size_t i = 0; i < count; i++)
        replicas += strcmp(rows[i]->backend, backend) == 0 ? rows[i]->replicas : 0;
    return replicas;
}

/* Ids are counted up behind that of their lease: so many are passed over. */
static void pass_over(uint8_t id[BLOB_ID_SIZE], uint64_t ids)
{
    uint64_t counter = be64_get(id + 8);
    be64_put(id + 8, counter > UINT64_MAX - ids ? UINT64_MAX : counter + ids);
}

int holdings_walk(struct index *index, size_t max, uint64_t skip,
                  int (*visit)(void *arg, const Arca__Blob *blob) SUSPENDS, void *arg) SUSPENDS
{
    struct arena *arena = arena_create(ARENA_LIMIT);
    uint8_t last[BLOB_ID_SIZE];
    struct span after = SPAN_NONE;
    size_t count = HOLDINGS_BATCH;
    int rc = arena != NULL ? 0 : ERR_NOMEM;
    for (size_t looked = 0; rc == 0 && count == HOLDINGS_BATCH && looked < max; looked += count) {
        Arca__Blob **blobs;
        arena_reset(arena);
        rc = index_blob_list(index, after, HOLDINGS_BATCH, arena, &blobs, &count);
        for (size_t i = 0; rc == 0 && i < count; i++) {
            if (blobs[i]->references > 0)
                rc = visit(arg, blobs[i]);
        }
        if (rc == 0 && count > 0 && blobs[count - 1]->id.len == sizeof(last)) {
            memcpy(last, blobs[count - 1]->id.data, sizeof(last));
            pass_over(last, skip);
            after = span_of(last, sizeof(last));
        }
        fiber_yield();
    }
    if (arena != NULL)
        arena_free(arena);
    return rc;
}

struct sole {
    struct index *index;
    struct arena *arena; /* of extents */
    const char *backend;
    bool (*stays)(const void *arg, const char *other);
    const void *arg;
    uint64_t count;
};

static bool is_sole(const struct sole *sole, Arca__Replica *const *replicas, size_t count)
{
    bool there = false;
    for (size_t i = 0; i < count; i++) {
        bool here = strcmp(replicas[i]->backend, sole->backend) == 0;
        if (!here && replicas[i]->state == ARCA__REPLICA__STATE__GOOD && sole->stays(sole->arg, replicas[i]->backend))
            return false;
        there = there || here;
    }
    return there;
}

static int count_in_blob(void *arg, const Arca__Blob *blob) SUSPENDS
{
    struct sole *sole = arg;
    if (blob->extent_count <= 1) {
        sole->count += is_sole(sole, blob->replicas, blob->n_replicas);
        return 0;
    }
    for (uint32_t first = 0; first < blob->extent_count; first += EXTENTS) {
        uint32_t count = blob->extent_count - first < EXTENTS ? blob->extent_count - first : EXTENTS;
        Arca__Extent **extents;
        arena_reset(sole->arena);
        int rc =
            index_extents_get(sole->index, span_of(blob->id.data, blob->id.len), first, count, sole->arena, &extents);
        if (rc == ERR_NOT_FOUND)
            return 0; /* it went meanwhile */
        if (rc != 0)
            return rc;
        for (uint32_t i = 0; i < count; i++)
            sole->count += is_sole(sole, extents[i]->replicas, extents[i]->n_replicas);
        fiber_yield();
    }
    return 0;
}

int holdings_sole(struct index *index, const char *backend, bool (*stays)(const void *arg, const char *other),
                  const void *arg, uint64_t *out) SUSPENDS
{
    struct sole sole = {
        .index = index, .arena = arena_create(ARENA_LIMIT), .backend = backend, .stays = stays, .arg = arg};
    int rc = sole.arena != NULL ? holdings_walk(index, SIZE_MAX, 0, count_in_blob, &sole) : ERR_NOMEM;
    if (sole.arena != NULL)
        arena_free(sole.arena);
    *out = sole.count;
    return rc;
}
