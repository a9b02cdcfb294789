/* What is seen of background work while it goes on: written by its fibers, looked at by any thread, and told the
 * metrics. */
#ifndef ARCA_STORE_JOBS_REPORT_H
#define ARCA_STORE_JOBS_REPORT_H

#include <pthread.h>
#include "meter.h"
#include "store/jobs/jobs.h"

struct report {
    pthread_mutex_t lock;
    struct job_view view; /* but state, rate and ETA, which are made when it is looked at */
    struct meter meter;
    bool idle, paused;
    unsigned metrics;
};

void report_init(struct report *report, const char *name); /* a name that is too long is cut */
void report_fini(struct report *report);

/* Another step, with what was done of it before. */
void report_begin(struct report *report, const char *step, const struct job_view *counts);
/* Adds up. */
void report_add(struct report *report, uint64_t done, uint64_t bytes, uint64_t found, uint64_t missed);
void report_total(struct report *report, uint64_t total);
/* Why it waits; NULL: it goes on. */
void report_why(struct report *report, const char *why);
void report_idle(struct report *report, bool idle);
void report_paused(struct report *report, bool paused);

/* Any thread. */
void report_view(struct report *report, struct job_view *out);

#endif
