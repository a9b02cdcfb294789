/* Replicas that come to an extent after its blob came into the index, and how the index is asked about them. */
#ifndef ARCA_STORE_REPLICAS_H
#define ARCA_STORE_REPLICAS_H

#include "backends/backend.h"
#include "index/index.h"

/* What is stored under this name was made under one of the leases, which are those of index_lease_list. */
bool lease_made(Arca__Lease *const *leases, size_t count, const struct blob_name *name);

void replica_name(const uint8_t blob_id[16], uint32_t extent, struct blob_name *out);
uint32_t replica_extent(const struct blob_name *name);

/* `replica` has room for LOCATOR_MAX bytes, or none and refers to the locator's. */
void replica_fill(Arca__Replica *replica, const struct backend *backend, const struct locator *locator);

/* A blob's row and the replicas of one of its extents. ERR_NOT_FOUND, and the index's. */
int replicas_find(struct index *index, const struct blob_name *name, struct arena *arena, Arca__Blob **blob,
                  Arca__Replica ***replicas, size_t *count) SUSPENDS;
/* Whether the index has a replica on that backend with just this locator: 1, 0, or an error. */
int replica_is_named(struct index *index, const struct backend *backend, const struct blob_name *name,
                     const struct locator *locator, struct arena *arena) SUSPENDS;

/* Makes what was stored a replica of its blob, in the place of the suspect `instead` (NULL: none). ERR_NOT_FOUND (the
 * blob is gone), ERR_EXISTS (it has another there), ERR_NOSPC (of the index): it was removed again. Other errors, of the index or of the removal: the backend may hold what nobody refers to. */
int replica_adopt(struct index *index, struct backend *backend, const struct blob_name *name,
                  const struct locator *locator, const Arca__Replica *instead) SUSPENDS;

/* The bytes that an extent is stored as. 0: the row contradicts itself, or there is no such extent. */
uint64_t replica_size(const Arca__Blob *blob, uint32_t extent);
/* Whether the first bytes of an extent tell that it is this one: what can be checked without a key. ERR_CORRUPT. */
int replica_check(const Arca__Blob *blob, const struct blob_name *name, struct span stored);

/* The repair of an extent failed; it is due again after that time. */
int replica_repair_later(struct index *index, const struct blob_name *name, int64_t delay_ms) SUSPENDS;

#endif
