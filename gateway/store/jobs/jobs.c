#include "jobs.h"

#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "change.h"
#include "private.h"
#include "scrub.h"

const char *job_state_name(enum job_state state)
{
    static const char *const names[] = {"running", "waiting", "paused", "idle"};
    return names[state];
}

/* --- the list --- */

/* Where a job of this name stands, or may stand: when there are too many, in the place of any that has ended. ERR_BUSY.
 * Under the lock. */
static int find_place(const struct jobs *jobs, const char *name, size_t *out)
{
    for (*out = 0; *out < jobs->count; ++*out) {
        if (strcmp(job_name(jobs->all[*out]), name) == 0)
            return job_ended(jobs->all[*out]) ? 0 : ERR_BUSY;
    }
    if (jobs->count < JOBS_MAX)
        return 0;
    for (*out = 0; *out < jobs->count; ++*out) {
        if (job_ended(jobs->all[*out]))
            return 0;
    }
    return ERR_BUSY;
}

int jobs_add(struct jobs *jobs, struct job *job)
{
    size_t place;
    pthread_mutex_lock(&jobs->lock);
    int rc = jobs->stopping ? ERR_CANCELED : find_place(jobs, job_name(job), &place);
    if (rc == 0)
        rc = job_start(job);
    if (rc == 0 && place < jobs->count) {
        /* Somebody may still hold it: it is freed with the others. */
        job_link(job, jobs->all[place]);
        jobs->all[place] = job;
    } else if (rc == 0) {
        jobs->all[jobs->count++] = job;
    }
    pthread_mutex_unlock(&jobs->lock);
    return rc;
}

struct job *jobs_find(struct jobs *jobs, struct span name)
{
    struct job *job = NULL;
    pthread_mutex_lock(&jobs->lock);
    for (size_t i = 0; i < jobs->count && job == NULL; i++)
        job = span_eq_str(name, job_name(jobs->all[i])) ? jobs->all[i] : NULL;
    pthread_mutex_unlock(&jobs->lock);
    return job;
}

/* --- start and end --- */

static int start_scrub(struct jobs *jobs)
{
    struct job *job;
    if (jobs->options.scrub.bytes == 0)
        return 0;
    int rc = scrub_create(&jobs->options, jobs->doubts, &job);
    if (rc == 0 && (rc = jobs_add(jobs, job)) != 0)
        job_free(job);
    return rc;
}

int jobs_start(const struct jobs_options *options, struct jobs **out)
{
    struct jobs *jobs = calloc(1, sizeof(*jobs));
    if (jobs == NULL)
        return ERR_NOMEM;
    jobs->options = *options;
    pthread_mutex_init(&jobs->lock, NULL);
    int rc = garbage_start(&jobs->options, &jobs->garbage);
    if (rc == 0)
        rc = doubts_start(&jobs->options, &jobs->doubts);
    if (rc == 0)
        rc = mend_create(&jobs->options, jobs->garbage, jobs->doubts, &jobs->mend);
    if (rc == 0)
        rc = repair_start(&jobs->options, jobs->mend, &jobs->repair);
    if (rc == 0)
        rc = start_scrub(jobs);
    if (rc == 0)
        rc = changes_start(jobs);
    *out = jobs; /* what was started goes on until it is stopped and its loop has ended */
    return rc;
}

void jobs_stop(struct jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    jobs->stopping = true;
    for (size_t i = 0; i < jobs->count; i++)
        job_stop(jobs->all[i]);
    pthread_mutex_unlock(&jobs->lock);
    if (jobs->repair != NULL)
        repair_stop(jobs->repair);
    if (jobs->doubts != NULL)
        doubts_stop(jobs->doubts);
    if (jobs->garbage != NULL)
        garbage_stop(jobs->garbage);
}

void jobs_free(struct jobs *jobs)
{
    if (jobs == NULL)
        return;
    for (size_t i = 0; i < jobs->count; i++)
        job_free(jobs->all[i]);
    repair_free(jobs->repair);
    mend_free(jobs->mend);
    doubts_free(jobs->doubts);
    garbage_free(jobs->garbage);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
}

/* --- what an administrator sees --- */

size_t jobs_view(struct jobs *jobs, struct job_view *out, size_t max)
{
    size_t count = 0;
    if (jobs->garbage != NULL && count < max)
        garbage_view(jobs->garbage, &out[count++]);
    if (jobs->repair != NULL && count < max)
        repair_view(jobs->repair, &out[count++]);
    pthread_mutex_lock(&jobs->lock);
    for (size_t i = 0; i < jobs->count && count < max; i++)
        job_view(jobs->all[i], &out[count++]);
    pthread_mutex_unlock(&jobs->lock);
    return count;
}

int jobs_pause(struct jobs *jobs, struct span name, bool paused) SUSPENDS
{
    if (span_eq_str(name, GARBAGE_NAME) || span_eq_str(name, REPAIR_NAME))
        return ERR_UNSUPPORTED;
    struct job *job = jobs_find(jobs, name);
    return job == NULL || job_ended(job) ? ERR_NOT_FOUND : job_pause(job, paused);
}
