/* Looks at every stored replica, round after round, and puts up for repair what is damaged or missing. */
#ifndef ARCA_STORE_JOBS_SCRUB_H
#define ARCA_STORE_JOBS_SCRUB_H

#include "store/jobs/doubts.h"
#include "store/jobs/job.h"

#define SCRUB_NAME "scrub"

/* A job for jobs_add. `options` and `doubts` must outlive it. ERR_NOMEM */
int scrub_create(const struct jobs_options *options, struct doubts *doubts, struct job **out);

#endif
