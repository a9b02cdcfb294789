#include "job.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "report.h"
#include "throttle.h"

#define ARENA_LIMIT ((size_t)1 << 20)

struct job {
    struct job_options options;
    struct job *before; /* that had the same name */
    struct throttle throttle;
    struct fiber *fiber; /* of the loop's thread */
    struct arena *arena;
    Arca__Job__Step step;
    uint8_t after[BLOB_ID_SIZE];
    size_t after_length;
    int64_t job_started_ms;
    int64_t saved_ms; /* loop_now_ms */
    bool unsaved;
    atomic_bool stop, ended, paused;
    struct ending *endings; /* who waits for its end */
    struct report report;
};

int job_create(const struct job_options *options, struct job **out)
{
    if (strlen(options->name) >= sizeof(((struct job_view *)NULL)->name))
        return ERR_INVALID;
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return ERR_NOMEM;
    if ((job->arena = arena_create(ARENA_LIMIT)) == NULL) {
        free(job);
        return ERR_NOMEM;
    }
    job->options = *options;
    job->throttle.rate = options->rate;
    report_init(&job->report, options->name);
    job->options.name = job->report.view.name;
    *out = job;
    return 0;
}

void job_free(struct job *job)
{
    struct job *before;
    for (; job != NULL; job = before) {
        before = job->before;
        if (job->options.free != NULL)
            job->options.free(job->options.arg);
        report_fini(&job->report);
        arena_free(job->arena);
        free(job);
    }
}

void job_link(struct job *job, struct job *before)
{
    job->before = before;
}

/* --- its fiber --- */

struct ending {
    struct ending *next;
    struct job *job;
    struct completion done;
};

static void run(void *arg) SUSPENDS
{
    struct job *job = arg;
    struct ending *next;
    job->fiber = fiber_self();
    job->options.run(job->options.arg, job);
    job->fiber = NULL;
    atomic_store(&job->ended, true);
    for (struct ending *ending = job->endings; ending != NULL; ending = next) {
        next = ending->next;
        completion_post(&ending->done, 0);
    }
}

static void begin(void *arg)
{
    struct job *job = arg;
    int rc = job_stopping(job) ? ERR_CANCELED : fiber_spawn(job->options.loop, run, job, &job->fiber);
    if (rc == 0)
        return;
    if (rc != ERR_CANCELED)
        log_error("job", "%s does not start: %s", job->options.name, err_text(rc));
    atomic_store(&job->ended, true);
}

int job_start(struct job *job)
{
    return loop_post(job->options.loop, begin, job);
}

static void cancel(void *arg)
{
    struct job *job = arg;
    if (job->fiber != NULL)
        fiber_cancel(job->fiber);
}

void job_stop(struct job *job)
{
    atomic_store(&job->stop, true);
    (void)loop_post(job->options.loop, cancel, job); /* without memory for it, it ends with its next wait */
}

static void await_end(void *arg)
{
    struct ending *ending = arg;
    struct job *job = ending->job;
    if (job_ended(job)) {
        completion_post(&ending->done, 0);
        return;
    }
    ending->next = job->endings;
    job->endings = ending;
}

int job_end(struct job *job) SUSPENDS
{
    struct ending ending = {.job = job};
    completion_init(&ending.done);
    int rc = loop_post(job->options.loop, await_end, &ending);
    if (rc != 0)
        return rc;
    job_stop(job);
    return completion_wait(&ending.done);
}

bool job_ended(const struct job *job)
{
    return atomic_load(&job->ended);
}

void *job_arg(const struct job *job)
{
    return job->options.arg;
}

bool job_stopping(const struct job *job)
{
    return atomic_load(&job->stop) || (job->fiber != NULL && fiber_canceled(job->fiber));
}

/* --- its row --- */

static const char *step_name(Arca__Job__Step step)
{
    static const char *const names[] = {"", "backfill", "verify", "promote", "drain", "remove", "done"};
    return (size_t)step < sizeof(names) / sizeof(names[0]) ? names[step] : "";
}

static void take(struct job *job, const Arca__Job *row)
{
    job->step = row->step;
    job->after_length = row->after.len <= BLOB_ID_SIZE ? row->after.len : 0;
    if (job->after_length > 0)
        memcpy(job->after, row->after.data, job->after_length);
    job->job_started_ms = row->started_ms;
    job->unsaved = false;
    job->saved_ms = loop_now_ms();
    report_paused(&job->report, row->paused);
    report_begin(&job->report, step_name(row->step),
                 &(struct job_view){.done = row->done,
                                    .bytes = row->bytes,
                                    .found = row->found,
                                    .missed = row->missed,
                                    .started_ms = row->step_ms});
}

int job_load(struct job *job) SUSPENDS
{
    Arca__Job *row, none = ARCA__JOB__INIT;
    arena_reset(job->arena);
    int rc = index_job_get(job->options.index, span_str(job->options.name), job->arena, &row);
    if (rc == 0) {
        atomic_store(&job->paused, row->paused);
        take(job, row);
    } else if (rc == ERR_NOT_FOUND) {
        none.paused = atomic_load(&job->paused);
        take(job, &none);
    }
    return rc;
}

static void fill(struct job *job, Arca__Job *out)
{
    arca__job__init(out);
    out->name = job->report.view.name;
    out->paused = atomic_load(&job->paused);
    out->started_ms = job->job_started_ms != 0 ? job->job_started_ms : clock_wall_ms();
}

static void fill_now(struct job *job, Arca__Job *out)
{
    fill(job, out);
    out->step = job->step;
    out->after = (ProtobufCBinaryData){job->after_length, job->after};
    out->done = job->report.view.done; /* only this thread writes them */
    out->bytes = job->report.view.bytes;
    out->found = job->report.view.found;
    out->missed = job->report.view.missed;
    out->step_ms = job->report.view.started_ms;
}

void job_fill_next(struct job *job, Arca__Job__Step step, Arca__Job *out)
{
    fill(job, out);
    out->step = step;
    out->step_ms = clock_wall_ms();
}

/* Whatever the loop's fibers write of it is applied in the order in which they took it from here: none overwrites
 * newer. */
static int write_row(struct job *job, Arca__Job *row) SUSPENDS
{
    Arca__SetJob set = ARCA__SET_JOB__INIT;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    set.job = row;
    mutation.time_ms = clock_wall_ms();
    mutation.op_case = ARCA__MUTATION__OP_SET_JOB;
    mutation.set_job = &set;
    return index_apply(job->options.index, &mutation);
}

int job_begin(struct job *job, Arca__Job__Step step) SUSPENDS
{
    Arca__Job row;
    job_fill_next(job, step, &row);
    int rc = write_row(job, &row);
    if (rc == 0)
        take(job, &row);
    return rc;
}

int job_save(struct job *job) SUSPENDS
{
    Arca__Job row;
    uint8_t after[BLOB_ID_SIZE]; /* the job's may move while the index reads the row */
    if (!job->unsaved)
        return 0;
    fill_now(job, &row);
    memcpy(after, job->after, sizeof(after));
    row.after.data = after;
    job->unsaved = false;
    job->saved_ms = loop_now_ms();
    int rc = write_row(job, &row);
    job->unsaved = job->unsaved || rc != 0;
    return rc;
}

int job_save_soon(struct job *job) SUSPENDS
{
    return loop_now_ms() < job->saved_ms + JOB_SAVE_MS ? 0 : job_save(job);
}

int job_remove(struct job *job) SUSPENDS
{
    Arca__RemoveJob remove = ARCA__REMOVE_JOB__INIT;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    remove.name = job->report.view.name;
    mutation.time_ms = clock_wall_ms();
    mutation.op_case = ARCA__MUTATION__OP_REMOVE_JOB;
    mutation.remove_job = &remove;
    job->unsaved = false;
    return index_apply(job->options.index, &mutation);
}

Arca__Job__Step job_step(const struct job *job)
{
    return job->step;
}

struct span job_after(const struct job *job)
{
    return span_of(job->after, job->after_length);
}

int64_t job_step_ms(const struct job *job)
{
    return job->report.view.started_ms;
}

/* --- its progress --- */

void job_passed(struct job *job, uint64_t blobs, struct span after)
{
    if (after.len == BLOB_ID_SIZE) {
        memcpy(job->after, after.ptr, BLOB_ID_SIZE);
        job->after_length = BLOB_ID_SIZE;
    }
    job->unsaved = true;
    report_add(&job->report, blobs, 0, 0, 0);
}

void job_count(struct job *job, uint64_t bytes, uint64_t found, uint64_t missed)
{
    job->unsaved = true;
    report_add(&job->report, 0, bytes, found, missed);
}

uint64_t job_bytes(const struct job *job)
{
    return job->report.view.bytes;
}

uint64_t job_found(const struct job *job)
{
    return job->report.view.found;
}

uint64_t job_missed(const struct job *job)
{
    return job->report.view.missed;
}

void job_total(struct job *job, uint64_t blobs)
{
    report_total(&job->report, blobs);
}

/* --- going on --- */

int job_check(struct job *job) SUSPENDS
{
    int rc = 0;
    while (rc == 0 && !job_stopping(job) && atomic_load(&job->paused)) {
        rc = fiber_wait(loop_now_ms() + JOB_SAVE_MS); /* visits wait here, too, which nobody wakes */
        rc = rc == ERR_TIMEOUT ? 0 : rc;
    }
    return rc == 0 && job_stopping(job) ? ERR_CANCELED : rc;
}

int job_spend(struct job *job, uint64_t bytes, size_t operations) SUSPENDS
{
    int rc = job_check(job);
    return rc != 0 ? rc : throttle_wait(&job->throttle, bytes, operations);
}

int job_sleep(struct job *job, int64_t ms) SUSPENDS
{
    int64_t until_ms = loop_now_ms() + ms;
    int rc = 0;
    while (rc == 0 && !job_stopping(job) && loop_now_ms() < until_ms)
        rc = fiber_wait(until_ms);
    return rc == ERR_CANCELED || job_stopping(job) ? ERR_CANCELED : 0;
}

/* --- what is seen --- */

void job_waits(struct job *job, const char *format, ...)
{
    char why[sizeof(job->report.view.why)] = "";
    va_list args;
    if (format != NULL) {
        va_start(args, format);
        vsnprintf(why, sizeof(why), format, args);
        va_end(args);
    }
    report_why(&job->report, why);
}

void job_idle(struct job *job, const char *why)
{
    report_why(&job->report, why);
    report_idle(&job->report, true);
}

void job_view(struct job *job, struct job_view *out)
{
    report_view(&job->report, out);
}

const char *job_name(const struct job *job)
{
    return job->options.name;
}

/* --- pauses --- */

struct pause {
    struct job *job;
    bool paused;
    struct completion done;
};

static void run_pause(void *arg) SUSPENDS
{
    struct pause *pause = arg;
    struct job *job = pause->job;
    bool before = atomic_exchange(&job->paused, pause->paused);
    job->unsaved = true;
    int rc = job_save(job);
    if (rc != 0)
        atomic_store(&job->paused, before);
    report_paused(&job->report, atomic_load(&job->paused));
    if (job->fiber != NULL)
        fiber_wake(job->fiber);
    completion_post(&pause->done, rc);
}

static void begin_pause(void *arg)
{
    struct pause *pause = arg;
    int rc = fiber_spawn(pause->job->options.loop, run_pause, pause, NULL);
    if (rc != 0)
        completion_post(&pause->done, rc);
}

int job_pause(struct job *job, bool paused) SUSPENDS
{
    struct pause pause = {.job = job, .paused = paused};
    completion_init(&pause.done);
    int rc = loop_post(job->options.loop, begin_pause, &pause);
    return rc != 0 ? rc : completion_wait(&pause.done);
}
