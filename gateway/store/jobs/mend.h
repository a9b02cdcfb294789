/* Brings one extent to the replicas that its placement wants: reads a replica that verifies, puts it where one is
 * lacking or suspect, makes it known to the index, and only then takes the suspect one away. Repair and changes of
 * placements share one, so that both together keep to one rate. Used on the jobs' loop, by several fibers at once. */
#ifndef ARCA_STORE_JOBS_MEND_H
#define ARCA_STORE_JOBS_MEND_H

#include "store/jobs/doubts.h"
#include "store/jobs/garbage.h"
#include "store/jobs/jobs.h"

struct mend;

struct mended {
    unsigned lacking; /* replicas that are still missing or suspect; 0: the extent is whole */
    unsigned made;
    uint64_t bytes;   /* that were stored */
};

/* `options`, `garbage` and `doubts` must outlive it. ERR_NOMEM */
int mend_create(const struct jobs_options *options, const struct garbage *garbage, struct doubts *doubts,
                struct mend **out);
void mend_free(struct mend *mend); /* NULL is fine */

/* `arena` is the caller's, for rows; what is in it stays. 0: what could be done was done, and *out says what is
 * lacking: a backend that refused a put, or that was not yet searched for orphans, is left alone for a while, and its
 * replicas are counted in without an attempt. ERR_NOT_FOUND: the blob is gone or garbage. ERR_CORRUPT: no replica
 * verifies. ERR_CANCELED; else the first error of the store or the index, after trying all. *out is filled in whatever
 * is returned. */
int mend_extent(struct mend *mend, struct arena *arena, const struct blob_name *name, struct mended *out) SUSPENDS;

/* Replicas whose copying was begun so far. */
uint64_t mend_begun(const struct mend *mend);

#endif
