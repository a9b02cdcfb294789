#include "replicas.h"

#include <stdlib.h>
#include <string.h>
#include "base/byteorder.h"
#include "base/clock.h"
#include "base/err.h"
#include "crypto/envelope.h"

#define ARENA_LIMIT ((size_t)1 << 20)

static int compare_lease(const void *name, const void *lease)
{
    return memcmp(((const struct blob_name *)name)->bytes, (*(Arca__Lease *const *)lease)->id.data, LEASE_ID_SIZE);
}

bool lease_made(Arca__Lease *const *leases, size_t count, const struct blob_name *name)
{
    return count > 0 && bsearch(name, leases, count, sizeof(*leases), compare_lease) != NULL;
}

void replica_name(const uint8_t blob_id[16], uint32_t extent, struct blob_name *out)
{
    memcpy(out->bytes, blob_id, 16);
    be32_put(out->bytes + 16, extent);
}

uint32_t replica_extent(const struct blob_name *name)
{
    return be32_get(name->bytes + 16);
}

void replica_fill(Arca__Replica *replica, const struct backend *backend, const struct locator *locator)
{
    replica->backend = (char *)(uintptr_t)backend->name;
    replica->locator.len = locator->length;
    if (replica->locator.data == NULL)
        replica->locator.data = (uint8_t *)(uintptr_t)locator->bytes;
    else
        memcpy(replica->locator.data, locator->bytes, locator->length);
}

int replicas_find(struct index *index, const struct blob_name *name, struct arena *arena, Arca__Blob **blob,
                  Arca__Replica ***replicas, size_t *count) SUSPENDS
{
    struct span id = span_of(name->bytes, 16);
    Arca__Extent **extents;
    int rc = index_blob_get(index, id, arena, blob);
    if (rc != 0)
        return rc;
    if (replica_extent(name) >= (*blob)->extent_count)
        return ERR_NOT_FOUND;
    if ((*blob)->extent_count == 1) {
        *replicas = (*blob)->replicas;
        *count = (*blob)->n_replicas;
        return 0;
    }
    if ((rc = index_extents_get(index, id, replica_extent(name), 1, arena, &extents)) != 0)
        return rc;
    *replicas = extents[0]->replicas;
    *count = extents[0]->n_replicas;
    return 0;
}

int replica_is_named(struct index *index, const struct backend *backend, const struct blob_name *name,
                     const struct locator *locator, struct arena *arena) SUSPENDS
{
    Arca__Blob *blob;
    Arca__Replica **replicas;
    size_t count;
    int rc = replicas_find(index, name, arena, &blob, &replicas, &count);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(replicas[i]->backend, backend->name) == 0 &&
            span_eq(span_of(replicas[i]->locator.data, replicas[i]->locator.len),
                    span_of(locator->bytes, locator->length)))
            return 1;
    }
    return 0;
}

/* Another put of the same name may have been quicker, and its locator may be the same. */
static int take_back(struct index *index, struct backend *backend, const struct blob_name *name,
                     const struct locator *locator) SUSPENDS
{
    struct arena *arena = arena_create(ARENA_LIMIT);
    if (arena == NULL)
        return ERR_NOMEM;
    int named = replica_is_named(index, backend, name, locator, arena);
    arena_free(arena);
    if (named != 0)
        return named < 0 ? named : 0;
    return backend->ops->remove(backend, name, locator);
}

int replica_adopt(struct index *index, struct backend *backend, const struct blob_name *name,
                  const struct locator *locator, const Arca__Replica *instead) SUSPENDS
{
    Arca__Replica replica = ARCA__REPLICA__INIT;
    Arca__AddReplica add = ARCA__ADD_REPLICA__INIT;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    replica_fill(&replica, backend, locator);
    add.blob_id = (ProtobufCBinaryData){16, (uint8_t *)(uintptr_t)name->bytes};
    add.extent = replica_extent(name);
    add.replica = &replica;
    add.instead = (Arca__Replica *)(uintptr_t)instead;
    mutation.time_ms = clock_wall_ms();
    mutation.op_case = ARCA__MUTATION__OP_ADD_REPLICA;
    mutation.add_replica = &add;
    int rc = index_apply(index, &mutation);
    if (rc == 0 || rc == ERR_READONLY || rc == ERR_IO) /* the journal may have it */
        return rc;
    int taken = take_back(index, backend, name, locator);
    return taken != 0 && taken != ERR_NOT_FOUND ? taken : rc;
}

uint64_t replica_size(const Arca__Blob *blob, uint32_t extent)
{
    return envelope_blob_extent_size((enum envelope_suite)blob->suite, blob->size, blob->extent_size,
                                     blob->extent_count, extent);
}

int replica_check(const Arca__Blob *blob, const struct blob_name *name, struct span stored)
{
    struct envelope_header header;
    if (envelope_parse_header(span_take(stored, ENVELOPE_HEADER_SIZE), &header) != 0 ||
        header.suite != (enum envelope_suite)blob->suite || header.extent_number != replica_extent(name) ||
        memcmp(header.blob_id, name->bytes, sizeof(header.blob_id)) != 0)
        return ERR_CORRUPT;
    return 0;
}

int replica_repair_later(struct index *index, const struct blob_name *name, int64_t delay_ms) SUSPENDS
{
    Arca__RepairFailed failed = ARCA__REPAIR_FAILED__INIT;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    failed.blob_id = (ProtobufCBinaryData){16, (uint8_t *)(uintptr_t)name->bytes};
    failed.extent = replica_extent(name);
    mutation.time_ms = clock_wall_ms();
    failed.next_ms = mutation.time_ms + delay_ms;
    mutation.op_case = ARCA__MUTATION__OP_REPAIR_FAILED;
    mutation.repair_failed = &failed;
    return index_apply(index, &mutation);
}
