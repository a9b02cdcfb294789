/* A share of bandwidth and operations, kept by all who take from the same one. On one loop. */
#ifndef ARCA_STORE_JOBS_THROTTLE_H
#define ARCA_STORE_JOBS_THROTTLE_H

#include "base/fiber.h"
#include "store/jobs/jobs.h"

struct throttle {
    struct jobs_rate rate; /* 0 of either: no limit */
    uint64_t free_ns;      /* when the next may begin */
};

/* Waits for its turn, and books what is to be moved. ERR_CANCELED. */
int throttle_wait(struct throttle *throttle, uint64_t bytes, size_t operations) SUSPENDS;

#endif
