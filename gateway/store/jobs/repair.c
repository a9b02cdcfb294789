/* Brings every extent to the replicas that its placement wants. What is to be done are rows of the index, and each step
 * is durable there before the next one relies on it, so that a process that is killed leaves at most a copy that nobody
 * refers to, which the orphan scan finds. */
#include "repair.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "base/text.h"
#include "crypto/envelope.h"
#include "mend.h"
#include "report.h"
#include "store/private.h"
#include "store/replicas.h"

#define PERIOD_MS    500
#define IDLE_PART    10   /* looking at rows for which nothing can be done takes one part of the time at most */
#define BATCH        100 /* rows looked at, or suspects told the index, at a time */
#define JOBS         4   /* extents repaired side by side */
#define BACKOFF_MS   1000
#define BACKOFF_MAX  60000 /* of an extent */
#define ARENA_LIMIT  ((size_t)16 << 20)

/* One extent being repaired, on a fiber of its own. */
struct work {
    struct repair *repair;
    struct fiber *fiber; /* NULL: idle */
    struct arena *arena;
    struct blob_name name;
    uint32_t attempts;
};

struct repair {
    const struct jobs_options *options;
    struct mend *mend;
    struct fiber *fiber; /* of the loop's thread */
    atomic_bool stop;
    struct arena *batch;
    struct work jobs[JOBS];
    struct report report;
    int64_t pending;         /* as the gauge has it */
    uint64_t healed;         /* since nothing was left to be done */
    int64_t pass_ms;         /* loop_now_ms: when rows are looked at again */
};

static bool stopping(const struct repair *repair)
{
    return atomic_load(&repair->stop);
}

static int64_t backoff_ms(unsigned failures, int64_t max_ms)
{
    int64_t ms = BACKOFF_MS << (failures < 16 ? failures : 16);
    return ms < max_ms ? ms : max_ms;
}

static void quarantine(struct repair *repair) SUSPENDS
{
    struct suspect suspect;
    while (suspects_take(store_suspects(repair->options->store), &suspect, 1) > 0)
        suspect_quarantine(&suspect, repair->options->index);
}

/* --- an extent --- */

static int tell_done(struct work *job) SUSPENDS
{
    Arca__RepairDone done = ARCA__REPAIR_DONE__INIT;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    done.blob_id = (ProtobufCBinaryData){BLOB_ID_SIZE, job->name.bytes};
    done.extent = replica_extent(&job->name);
    mutation.time_ms = clock_wall_ms();
    mutation.op_case = ARCA__MUTATION__OP_REPAIR_DONE;
    mutation.repair_done = &done;
    return index_apply(job->repair->options->index, &mutation);
}

static void tell_failure(struct work *job, int rc) SUSPENDS
{
    char hex[2 * BLOB_ID_SIZE + 1];
    text_hex(span_of(job->name.bytes, BLOB_ID_SIZE), hex);
    if (job->attempts == 0)
        log_warn("repair", "blob %s, extent %u is not repaired yet: %s", hex, (unsigned)replica_extent(&job->name),
                 err_text(rc));
    metrics_add(METRIC_REPAIRS_FAILED, 1);
    rc = replica_repair_later(job->repair->options->index, &job->name, backoff_ms(job->attempts, BACKOFF_MAX));
    if (rc != 0)
        log_warn("repair", "the index takes no notes: %s", err_text(rc));
}

static void run_job(void *arg) SUSPENDS
{
    struct work *job = arg;
    struct repair *repair = job->repair;
    struct mended mended;
    arena_reset(job->arena);
    int rc = mend_extent(repair->mend, job->arena, &job->name, &mended);
    repair->healed += mended.made;
    report_add(&repair->report, rc == 0 && mended.lacking == 0, mended.bytes, mended.made,
               rc != 0 && rc != ERR_NOT_FOUND && rc != ERR_CANCELED);
    if (rc == 0 && mended.lacking == 0 && mended.made == 0)
        rc = tell_done(job);
    if (rc != 0 && rc != ERR_NOT_FOUND && rc != ERR_CANCELED)
        tell_failure(job, rc);
    job->fiber = NULL;
    if (repair->fiber != NULL)
        fiber_wake(repair->fiber);
}

/* --- the rows --- */

static int start_job(struct repair *repair, const Arca__Repair *row) SUSPENDS
{
    struct work *job = NULL;
    if (row->blob_id.len != BLOB_ID_SIZE)
        return 0;
    while (job == NULL) {
        for (size_t i = 0; i < JOBS && job == NULL; i++)
            job = repair->jobs[i].fiber == NULL ? &repair->jobs[i] : NULL;
        int rc = job == NULL ? fiber_wait(DEADLINE_NONE) : 0;
        if (rc != 0)
            return rc;
    }
    replica_name(row->blob_id.data, row->extent, &job->name);
    job->attempts = row->attempts;
    return fiber_spawn(repair->options->loop, run_job, job, &job->fiber);
}

static bool is_idle(const struct repair *repair)
{
    for (size_t i = 0; i < JOBS; i++) {
        if (repair->jobs[i].fiber != NULL)
            return false;
    }
    return true;
}

static int tell_pending(struct repair *repair) SUSPENDS
{
    uint64_t count;
    int rc = index_repair_count(repair->options->index, &count);
    if (rc != 0)
        return rc;
    metrics_add(METRIC_REPAIRS_PENDING, (int64_t)count - repair->pending);
    if (count > 0 && repair->pending == 0)
        report_begin(&repair->report, "", &(struct job_view){.started_ms = clock_wall_ms()});
    report_total(&repair->report, repair->report.view.done + count);
    report_idle(&repair->report, count == 0);
    repair->pending = (int64_t)count;
    if (count == 0 && repair->healed > 0) {
        log_info("repaired", "%llu replicas were made; every extent has all of them",
                 (unsigned long long)repair->healed);
        repair->healed = 0;
    }
    return 0;
}

/* All rows that are due, once. */
static int pass(struct repair *repair) SUSPENDS
{
    Arca__Repair **rows, last = ARCA__REPAIR__INIT;
    uint8_t last_id[BLOB_ID_SIZE];
    size_t count = BATCH;
    int64_t until_ms = clock_wall_ms(), began_ms = loop_now_ms();
    uint64_t copies = mend_begun(repair->mend);
    int rc = 0;
    if (began_ms < repair->pass_ms)
        return 0;
    if ((rc = index_ready(repair->options->index)) != 0)
        return rc; /* what is copied could not be noted */
    while (rc == 0 && count == BATCH) {
        arena_reset(repair->batch);
        rc = index_repair_list(repair->options->index, until_ms, last.blob_id.len > 0 ? &last : NULL, BATCH,
                               repair->batch, &rows, &count);
        for (size_t i = 0; rc == 0 && i < count; i++)
            rc = stopping(repair) ? ERR_CANCELED : start_job(repair, rows[i]);
        if (rc == 0)
            rc = tell_pending(repair); /* a pass may take minutes */
        if (rc == 0 && count == BATCH) {
            last = *rows[count - 1];
            memcpy(last_id, last.blob_id.data, sizeof(last_id));
            last.blob_id = (ProtobufCBinaryData){sizeof(last_id), last_id};
        }
    }
    while (rc == 0 && !is_idle(repair))
        rc = fiber_wait(DEADLINE_NONE);
    if (copies == mend_begun(repair->mend))
        repair->pass_ms = loop_now_ms() + IDLE_PART * (loop_now_ms() - began_ms);
    return rc;
}

/* --- the fiber --- */

static void run(void *arg) SUSPENDS
{
    struct repair *repair = arg;
    int last = 0;
    repair->fiber = fiber_self();
    (void)tell_pending(repair); /* of what was left: a pass may take long. If it fails, the pass does, and tells */
    while (!stopping(repair)) {
        quarantine(repair);
        int rc = pass(repair);
        if (rc == 0)
            rc = tell_pending(repair);
        if (rc != 0 && rc != last && rc != ERR_CANCELED)
            log_warn("repair", "repair is held up: %s", err_text(rc));
        last = rc;
        report_why(&repair->report, rc != 0 ? err_text(rc) : NULL);
        if (rc != 0)
            report_idle(&repair->report, false);
        int64_t until = loop_now_ms() + PERIOD_MS;
        while (!stopping(repair) && fiber_wait(until) == 0)
            continue;
        if (fiber_canceled(repair->fiber))
            break;
    }
    repair->fiber = NULL;
}

static void begin(void *arg)
{
    struct repair *repair = arg;
    if (stopping(repair))
        return;
    int rc = fiber_spawn(repair->options->loop, run, repair, &repair->fiber);
    if (rc != 0)
        log_error("repair", "repair does not start: %s", err_text(rc));
}

int repair_start(const struct jobs_options *options, struct mend *mend, struct repair **out)
{
    struct repair *repair = calloc(1, sizeof(*repair));
    if (repair == NULL)
        return ERR_NOMEM;
    repair->options = options;
    report_init(&repair->report, REPAIR_NAME);
    repair->mend = mend;
    repair->batch = arena_create(ARENA_LIMIT);
    bool whole = repair->batch != NULL;
    for (size_t i = 0; i < JOBS; i++) {
        repair->jobs[i].repair = repair;
        repair->jobs[i].arena = arena_create(ARENA_LIMIT);
        whole = whole && repair->jobs[i].arena != NULL;
    }
    if (!whole || loop_post(options->loop, begin, repair) != 0) {
        repair_free(repair);
        return ERR_NOMEM;
    }
    *out = repair;
    return 0;
}

static void cancel(void *arg)
{
    struct repair *repair = arg;
    if (repair->fiber != NULL)
        fiber_cancel(repair->fiber);
    for (size_t i = 0; i < JOBS; i++) {
        if (repair->jobs[i].fiber != NULL)
            fiber_cancel(repair->jobs[i].fiber);
    }
}

void repair_stop(struct repair *repair)
{
    atomic_store(&repair->stop, true);
    (void)loop_post(repair->options->loop, cancel, repair); /* without memory for it, it ends after its period */
}

void repair_free(struct repair *repair)
{
    if (repair == NULL)
        return;
    for (size_t i = 0; i < JOBS; i++) {
        if (repair->jobs[i].arena != NULL)
            arena_free(repair->jobs[i].arena);
    }
    metrics_add(METRIC_REPAIRS_PENDING, -repair->pending);
    report_fini(&repair->report);
    if (repair->batch != NULL)
        arena_free(repair->batch);
    free(repair);
}

void repair_view(struct repair *repair, struct job_view *out)
{
    report_view(&repair->report, out);
}
