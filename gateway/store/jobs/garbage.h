/* A background fiber that removes what nobody refers to: blobs in the index's garbage table once they are older than
 * the grace, and after a start that followed a crash (another process left a lease open), whatever backends hold and no
 * row names. */
#ifndef ARCA_STORE_JOBS_GARBAGE_H
#define ARCA_STORE_JOBS_GARBAGE_H

#include "store/jobs/jobs.h"

#define GARBAGE_NAME "garbage"

struct garbage;
/* Any thread; what the options name must outlive the loop. ERR_NOMEM. */
int garbage_start(const struct jobs_options *options, struct garbage **out);
/* Any thread: ends the fiber at its next step; the loop's end waits for it. */
void garbage_stop(struct garbage *garbage);
/* After the loop has ended. NULL is fine. */
void garbage_free(struct garbage *garbage);

/* Any thread. done: blobs collected since they were last all gone; total: with those that are due, as far as is
 * known. */
void garbage_view(struct garbage *garbage, struct job_view *out);

/* The backend was searched for orphans, or there is no need to: what is put on it is not taken for one. On the garbage
 * fiber's loop only. */
bool garbage_swept(const struct garbage *garbage, const struct backend *backend);

#endif
