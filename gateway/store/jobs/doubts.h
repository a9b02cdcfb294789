/* Replicas that a store does not give, although it works otherwise: some answer with an error of their own what they
 * find to be damaged. Each is looked at again a while later, and once more. When it fails each time, while the store
 * answers and gives other replicas, and another backend has one that verifies, it is quarantined. Never because a store
 * is in trouble as a whole. Used on the jobs' loop. */
#ifndef ARCA_STORE_JOBS_DOUBTS_H
#define ARCA_STORE_JOBS_DOUBTS_H

#include "store/jobs/jobs.h"

#define DOUBTS_LOOKS 3
#define DOUBTS_MS    10000 /* between two looks, unless the options say otherwise */
#define DOUBTS_MAX   8     /* of a backend at a time: others are noted when they are met again */
#define DOUBTS_FEW   4     /* when nothing is known that it gives */

struct doubts;
/* Any thread; what the options name must outlive the loop. ERR_NOMEM. */
int doubts_start(const struct jobs_options *options, struct doubts **out);
/* Any thread: ends its fiber at its next step; the loop's end waits for it. */
void doubts_stop(struct doubts *doubts);
/* After the loop has ended. NULL is fine. */
void doubts_free(struct doubts *doubts);

/* Reading a replica ended with this error, and the backend gave nothing of it. False: this says nothing about that
 * replica: it is well, damaged or missing, its backend is known to be down, or who reads had a problem of his own. */
bool doubts_refused(int rc);
/* It was refused, of an extent that has others. */
void doubts_note(struct doubts *doubts, const Arca__Replica *replica, const struct blob_name *name);
/* It is being looked at: others need not. */
bool doubts_has(const struct doubts *doubts, const Arca__Replica *replica, const struct blob_name *name);
/* Its backend gave it, and it is whole. */
void doubts_given(struct doubts *doubts, const Arca__Replica *replica, const struct blob_name *name);

#endif
