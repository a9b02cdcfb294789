/* A background fiber that mends extents as the index's repair rows tell, and quarantines what store_suspect notes. */
#ifndef ARCA_STORE_JOBS_REPAIR_H
#define ARCA_STORE_JOBS_REPAIR_H

#include "store/jobs/jobs.h"

#define REPAIR_NAME "repair"

struct mend;
struct repair;
/* Any thread; what the options name and `mend` must outlive the loop. ERR_NOMEM. */
int repair_start(const struct jobs_options *options, struct mend *mend, struct repair **out);
/* Any thread: ends its fibers at their next step; the loop's end waits for them. */
void repair_stop(struct repair *repair);
/* After the loop has ended. NULL is fine. */
void repair_free(struct repair *repair);

/* Any thread. done: rows since the last time that there were none; total: with those that are left. */
void repair_view(struct repair *repair, struct job_view *out);

#endif
