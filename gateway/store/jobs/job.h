/* One piece of work over all blobs that outlives the process: its row in the index, what is seen of it, its share of
 * bandwidth, its pause. Its work runs on one fiber of the jobs' loop (and those of a walk, see walk.h). A job is used
 * on that loop, but for what says "any thread". */
#ifndef ARCA_STORE_JOBS_JOB_H
#define ARCA_STORE_JOBS_JOB_H

#include "store/jobs/jobs.h"

#define JOB_SAVE_MS 1000 /* what a kill costs: work of so long is done again */

struct job;

struct job_options {
    struct index *index;
    struct loop *loop;
    const char *name;      /* of its row and view; copied */
    struct jobs_rate rate; /* of job_spend; 0: no limit */
    void (*run)(void *arg, struct job *job) SUSPENDS; /* the work: until it is done, or a call gives ERR_CANCELED */
    void (*free)(void *arg); /* with the job; NULL: nothing is to be freed */
    void *arg;
};

/* ERR_NOMEM, ERR_INVALID (the name is too long): `arg` is still the caller's. */
int job_create(const struct job_options *options, struct job **out);
/* Any thread: spawns the fiber. Once. ERR_NOMEM */
int job_start(struct job *job);
/* Any thread: ends its fibers at their next step; the loop's end waits for them. */
void job_stop(struct job *job);
/* The same, and waits until it has ended; not cancellable. On a fiber of any loop. ERR_NOMEM: it goes on. */
int job_end(struct job *job) SUSPENDS;
/* After the loop has ended, or before job_start: with those that were linked to it. NULL is fine. */
void job_free(struct job *job);
/* `before` has ended, and is freed with this one. */
void job_link(struct job *job, struct job *before);

/* run has returned. Any thread. */
bool job_ended(const struct job *job);
void *job_arg(const struct job *job); /* of its options */

/* --- its row --- */
/* Reads the row, so that the work goes on where it was. ERR_NOT_FOUND: it has none; it is as job_begin(NONE) would
 * leave it, without a row. Errors of the index. */
int job_load(struct job *job) SUSPENDS;
Arca__Job__Step job_step(const struct job *job);
/* The last blob that this step is done with; empty: at the start. Valid until the job goes on. */
struct span job_after(const struct job *job);
int64_t job_step_ms(const struct job *job); /* when the step began, since 1970; 0: it did not */
/* Begins a step: no cursor, no counts, now; saves it. Errors of the index. */
int job_begin(struct job *job, Arca__Job__Step step) SUSPENDS;
/* The row that job_begin would save, for who applies it within a mutation of his own (SetPlacement) and then calls
 * job_load. It points into the job. */
void job_fill_next(struct job *job, Arca__Job__Step step, Arca__Job *out);
/* Writes what has changed since the last time to the index. Errors of the index. */
int job_save(struct job *job) SUSPENDS;
/* The same, but not before JOB_SAVE_MS after the last time. */
int job_save_soon(struct job *job) SUSPENDS;
/* The row goes; the view stays. */
int job_remove(struct job *job) SUSPENDS;

/* --- its progress --- */
/* This many blobs more are done; the last of them is `after` (empty: the cursor stays). */
void job_passed(struct job *job, uint64_t blobs, struct span after);
void job_count(struct job *job, uint64_t bytes, uint64_t found, uint64_t missed);
uint64_t job_bytes(const struct job *job);
uint64_t job_found(const struct job *job);  /* of this step */
uint64_t job_missed(const struct job *job);
void job_total(struct job *job, uint64_t blobs); /* 0: not known, as after job_begin and job_load */

/* --- going on --- */
/* Between two pieces of work: 0 go on, after waiting while it is paused; ERR_CANCELED. */
int job_check(struct job *job) SUSPENDS;
/* job_check, and waits for the job's share. ERR_CANCELED */
int job_spend(struct job *job, uint64_t bytes, size_t operations) SUSPENDS;
/* ERR_CANCELED; 0 after that time. */
int job_sleep(struct job *job, int64_t ms) SUSPENDS;
bool job_stopping(const struct job *job);

/* --- what is seen --- */
/* It waits for something, in words; NULL: it goes on. */
void job_waits(struct job *job, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Nothing is to be done for now, or ever; job_begin ends it. `why` may be NULL. */
void job_idle(struct job *job, const char *why);
/* Any thread, never waits for the job. */
void job_view(struct job *job, struct job_view *out);
const char *job_name(const struct job *job); /* any thread */
/* On a fiber of any loop; durable when it returns. Errors of the index. */
int job_pause(struct job *job, bool paused) SUSPENDS;

#endif
