/* The search for orphans after a start that followed a crash (another process left a lease open): what backends hold
 * and no row names is removed. A part of garbage collection, on its fiber. */
#ifndef ARCA_STORE_JOBS_ORPHANS_H
#define ARCA_STORE_JOBS_ORPHANS_H

#include <stdatomic.h>
#include "store/jobs/throttle.h"

struct orphans;

/* Removals take from the throttle; a search ends soon after `stop` is set. All of it outlives this. NULL: no memory. */
struct orphans *orphans_create(const struct jobs_options *options, struct throttle *throttle, const atomic_bool *stop);
void orphans_free(struct orphans *orphans); /* NULL is fine */

/* Searches when it is to be done and due; one that fails is due again later, and until then this gives its error. 0:
 * there is nothing (more) to search. ERR_CANCELED, ERR_NOMEM, errors of the index and of the backends. */
int orphans_search(struct orphans *orphans) SUSPENDS;
/* As garbage_swept. */
bool orphans_swept(const struct orphans *orphans, const struct backend *backend);

#endif
