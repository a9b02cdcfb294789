/* What backends hold, as the index says. */
#ifndef ARCA_STORE_HOLDINGS_H
#define ARCA_STORE_HOLDINGS_H

#include "index/index.h"

/* Replicas on a backend, under all placements: of rows that index_holding_list gave. */
uint64_t holdings_on(Arca__Holding *const *rows, size_t count, const char *backend);

#define HOLDINGS_BATCH 500 /* blobs that are looked at, at a time */

/* Visits the blobs that someone refers to, in the order of their ids; of up to `max` rows, about `skip` being passed
 * over behind every HOLDINGS_BATCH of them. The row is the visit's until it returns; an error of a visit ends the walk.
 * ERR_NOMEM, the index's, the visit's. */
int holdings_walk(struct index *index, size_t max, uint64_t skip,
                  int (*visit)(void *arg, const Arca__Blob *blob) SUSPENDS, void *arg) SUSPENDS;

/* Extents that someone refers to, of which this backend has a replica, and none that stays has a good one: `stays` says
 * it of each of the others. Walks all blobs. ERR_NOMEM, the index's. */
int holdings_sole(struct index *index, const char *backend, bool (*stays)(const void *arg, const char *other),
                  const void *arg, uint64_t *sole) SUSPENDS;

#endif
