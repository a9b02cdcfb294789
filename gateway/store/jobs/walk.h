/* All blobs of the index in the order of their ids, each extent with its replicas handed to a visitor; several side by
 * side. The job's cursor moves only over blobs that are done with, so that a walk that was ended, or killed, goes on
 * where it was and misses none. Blobs that come meanwhile with greater ids are walked, too; garbage is passed over. */
#ifndef ARCA_STORE_JOBS_WALK_H
#define ARCA_STORE_JOBS_WALK_H

#include "store/jobs/job.h"

#define WALK_WIDTH_MAX 16

/* As the index has it when the visit begins. Rows and list are in the visit's arena. */
struct walk_extent {
    struct blob_name name;
    Arca__Blob *blob; /* referred to by someone: references > 0 */
    Arca__Replica **replicas;
    size_t replica_count;
    struct arena *arena; /* of this visit, reset by the next */
};

struct walk_options {
    struct index *index;
    struct loop *loop;
    struct span placement; /* only blobs under it; SPAN_NONE: all */
    unsigned width;        /* visits side by side, up to WALK_WIDTH_MAX */
    /* On a fiber of its own. 0: the extent is done with. Anything else but ERR_CANCELED: it is counted as missed, and
     * the walk goes on. ERR_CANCELED, also what job_check gives: it is not done with, and the walk ends. */
    int (*visit)(void *arg, const struct walk_extent *extent) SUSPENDS;
    void *arg;
};

/* From the job's cursor to the last blob: counts the blobs done and those missed in the job, saves it about once a
 * second, and at the end. Waits while it is paused. On the job's fiber; all visits have ended when it returns. 0: all
 * blobs were walked. ERR_CANCELED: the job is to stop. Errors of the index: the cursor is where it was, call it again
 * later. */
int walk(struct job *job, const struct walk_options *options) SUSPENDS;

#endif
