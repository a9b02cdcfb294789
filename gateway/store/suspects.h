/* Replicas that readers found to be damaged or missing, on their way to the index. */
#ifndef ARCA_STORE_SUSPECTS_H
#define ARCA_STORE_SUSPECTS_H

#include <pthread.h>
#include <stdatomic.h>
#include "backends/backend.h"
#include "index/index.h"

#define SUSPECTS_MAX 256

struct suspect {
    struct blob_name name;
    char backend[33];
    struct locator locator;
};

/* A queue; each replica stands in it once. */
struct suspects {
    pthread_mutex_t lock;
    atomic_size_t count;
    struct suspect all[SUSPECTS_MAX];
};

void suspects_init(struct suspects *suspects);
void suspects_fini(struct suspects *suspects);

/* Any thread. Does nothing when the queue is full, or the replica is suspect already. */
void suspects_add(struct suspects *suspects, const Arca__Replica *replica, const uint8_t blob_id[16], uint32_t extent);
/* Takes up to `max` of them. */
size_t suspects_take(struct suspects *suspects, struct suspect *out, size_t max);

/* A replica as the queue has it. ERR_CORRUPT: its locator is none. */
int suspect_fill(struct suspect *suspect, const Arca__Replica *replica, const struct blob_name *name);
/* Makes it suspect in the index, which puts its extent up for repair; logs and counts it. Nothing happens when just
 * this replica is not there any more. Errors of the index. */
int suspect_quarantine(struct suspect *suspect, struct index *index) SUSPENDS;
/* It was found to be good after all. Errors of the index. */
int suspect_release(struct suspect *suspect, struct index *index) SUSPENDS;

#endif
