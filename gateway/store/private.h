/* What the files of this room share about a store. */
#ifndef ARCA_STORE_PRIVATE_H
#define ARCA_STORE_PRIVATE_H

#include "fanout.h"
#include "store.h"
#include "suspects.h"

struct suspects *store_suspects(struct store *store);
struct fanout_shared *store_shared(struct store *store);

/* The backends that are to have a replica of what is under this placement. 0: there is no such placement. */
size_t store_placement_backends(const struct store *store, struct span name, struct backend *const **out);
int store_find_backend(const struct store *store, const char *name, struct backend **out); /* ERR_NOT_FOUND */

/* The backend was searched for orphans, or there is no need to: what is put on it is not taken for one. On the garbage
 * fiber's loop only. */
bool garbage_swept(const struct garbage *garbage, const struct backend *backend);

#endif
