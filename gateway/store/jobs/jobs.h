/* Background work: garbage, repair, scrub, and changes of placements. All of it survives a kill, keeps to its share of
 * bandwidth and operations, and can be looked at. Its fibers live on one loop. */
#ifndef ARCA_STORE_JOBS_JOBS_H
#define ARCA_STORE_JOBS_JOBS_H

#include "base/block.h"
#include "store/store.h"

struct jobs;

/* What moves or checks data keeps to. */
struct jobs_rate {
    uint64_t bytes;      /* a second */
    unsigned operations; /* a second */
};

struct jobs_options {
    struct store *store;
    struct index *index;
    struct loop *loop;
    struct budget *budget;
    uint8_t own_lease[8]; /* of this process: what is under it may be on its way into the index, and is no orphan */
    int64_t grace_ms;     /* how long garbage is kept for readers */
    struct jobs_rate garbage; /* removals; they move no bytes. 0: no limit */
    struct jobs_rate repair; /* repair, and copying to backends that join a placement */
    struct jobs_rate scrub;  /* bytes 0: no scrub */
    bool scrub_headers_only; /* else all tags are verified */
    int64_t doubt_ms; /* between two looks at a replica that a store refuses to give; 0: as jobs/doubts.h says */
    int64_t scrub_interval_ms; /* from the beginning of one round to that of the next, at least */
    /* Whether the stored bytes are what was sealed as this extent, all tags: 0, ERR_CORRUPT, ERR_NOMEM, other errors of
     * the index. Changes nothing in them. NULL: lengths and headers alone are looked at. */
    int (*verify)(void *arg, const Arca__Blob *blob, uint32_t extent, struct span stored) SUSPENDS;
    void *verify_arg;
};

/* Any thread; all that it is given must outlive the loop. ERR_NOMEM. */
int jobs_start(const struct jobs_options *options, struct jobs **out);
/* Any thread: ends the fibers at their next step; the loop's end waits for them. */
void jobs_stop(struct jobs *jobs);
void jobs_free(struct jobs *jobs); /* after the loop has ended. NULL is fine */

/* --- what an administrator sees --- */

enum job_state { JOB_RUNNING, JOB_WAITING, JOB_PAUSED, JOB_IDLE };
const char *job_state_name(enum job_state state); /* "running", ... */

struct job_view {
    char name[80]; /* "garbage", "repair", "scrub", "placement NAME" */
    char step[16]; /* "backfill", ... of a change; "" */
    enum job_state state;
    char why[160];        /* what it waits for, in words; "" */
    uint64_t done, total; /* blobs of this step or round; for garbage and repair rows. total 0: not known */
    uint64_t bytes;       /* of this step or round */
    uint64_t rate;        /* bytes a second of the last seconds */
    int64_t eta_ms;       /* from now; -1: not known */
    uint64_t found;       /* repaired, removed, damaged: what the job is for */
    uint64_t missed;      /* what could not be done and is tried again */
    int64_t started_ms;   /* since 1970; of the step or round; 0: not begun */
};
#define JOBS_VIEW_MAX (CONFIG_PLACEMENTS_MAX + 3) /* garbage, repair, scrub, and a change of each placement */
/* All jobs, as of now; returns how many were written. Any thread, never waits for a job. */
size_t jobs_view(struct jobs *jobs, struct job_view *out, size_t max);

/* A paused job stays so, over restarts, until it is resumed. Scrub and changes of placements. On a fiber of any loop.
 * ERR_NOT_FOUND (no such job), ERR_UNSUPPORTED (repair and garbage do not pause); errors of the index. */
int jobs_pause(struct jobs *jobs, struct span name, bool paused) SUSPENDS;

/* --- changes of placements --- */

/* Makes `placement` consist of these backends, in this order of preference, with this quorum (0: as it is), and starts
 * the job that gets there: joining backends are filled and verified, then leaving ones drained. While a change is under
 * way, another one is a new aim for it; the set that it was is a way back. Returns when the new set is durable and
 * every write that begins after it follows it. On a fiber of any loop. ERR_NOT_FOUND (no such placement), ERR_INVALID
 * (no such backend, a label that it lacks, a quorum larger than the set, none left); `why` says which and what to do.
 * Errors of the index. */
int jobs_change(struct jobs *jobs, struct span placement, const struct span *backends, size_t count, unsigned quorum,
                char *why, size_t why_size) SUSPENDS;

/* placements_follow (store/placements.h) while jobs run: changes that are under way follow what becomes of their
 * placements, others begin. On a fiber of any loop. */
int jobs_follow(struct jobs *jobs, const struct config *config, struct candidate *candidates, char *why,
                size_t why_size) SUSPENDS;

#endif
