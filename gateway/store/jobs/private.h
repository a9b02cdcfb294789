/* What the files of this folder share about the jobs of a process. */
#ifndef ARCA_STORE_JOBS_PRIVATE_H
#define ARCA_STORE_JOBS_PRIVATE_H

#include <pthread.h>
#include "store/jobs/doubts.h"
#include "store/jobs/garbage.h"
#include "store/jobs/job.h"
#include "store/jobs/mend.h"
#include "store/jobs/repair.h"

#define JOBS_MAX (JOBS_VIEW_MAX - 2) /* garbage and repair are seen, too */

struct jobs {
    struct jobs_options options;
    struct garbage *garbage;
    struct doubts *doubts;
    struct mend *mend; /* one for repair and all changes */
    struct repair *repair;
    pthread_mutex_t lock; /* of what follows; never held across a suspension */
    struct job *all[JOBS_MAX];
    size_t count;
    bool stopping;
};

/* Takes a job over, to be seen, paused, stopped and freed with the others, in the place of an ended one of the same
 * name if there is one, and starts it. Any thread. ERR_BUSY (too many are at work, or one of this name is),
 * ERR_CANCELED (all are being stopped), ERR_NOMEM: it is still the caller's. */
int jobs_add(struct jobs *jobs, struct job *job);
/* The job of this name; it stays until jobs_free, or until jobs_add replaces it after its end. NULL. Any thread. */
struct job *jobs_find(struct jobs *jobs, struct span name);

#endif
