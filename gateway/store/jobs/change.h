/* A change of a placement: takes it from one set of backends to another while it is read and written.
 *
 * BACKFILL   every extent is brought to what the new set wants
 * VERIFY     what backends that join hold is read and checked
 * PROMOTE    they are members; those that leave get nothing more
 * DRAIN      what those hold is taken away, where all others have theirs
 * REMOVE     they hold nothing, and are out of the placement
 *
 * Each step is done again until nothing is left to do. Where it is, is a row of the index: it goes on after a kill. */
#ifndef ARCA_STORE_JOBS_CHANGE_H
#define ARCA_STORE_JOBS_CHANGE_H

#include "store/jobs/private.h"

/* A job that goes on with the change of this placement. Between placements_begin and placements_end, any thread. ERR_BUSY
 * (it is at work), and jobs_add's. */
int change_start(struct jobs *jobs, const char *placement);
/* The same for all that the index has rows of, in a while. ERR_NOMEM */
int changes_start(struct jobs *jobs);

#endif
