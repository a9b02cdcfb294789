/* Brings every extent to the replicas that its placement wants. What is to be done are rows of the index, and each step
 * is durable there before the next one relies on it, so that a process that is killed leaves at most a copy that nobody
 * refers to, which the orphan scan finds. */
#include "store.h"

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
#include "private.h"
#include "replicas.h"

#define PERIOD_MS    500
#define IDLE_PART    10   /* looking at rows for which nothing can be done takes one part of the time at most */
#define BATCH        100 /* rows looked at, or suspects told the index, at a time */
#define JOBS         4   /* extents repaired side by side */
#define BACKOFF_MS   1000
#define BACKOFF_MAX  60000 /* of an extent */
#define AVOID_MAX    30000 /* of a backend that refuses writes */
#define ARENA_LIMIT  ((size_t)16 << 20)
#define REPLICAS_MAX (2 * PLACEMENT_MAX)

struct repair;

/* One extent being repaired, on a fiber of its own. */
struct job {
    struct repair *repair;
    struct fiber *fiber; /* NULL: idle */
    struct arena *arena;
    struct blob_name name;
    uint32_t attempts;
};

/* A backend that refused a write is left alone for a while: its rows stay as they are and cost nothing. */
struct avoided {
    int64_t until_ms; /* loop_now_ms */
    unsigned failures;
};

struct repair {
    struct repair_options options;
    struct fiber *fiber; /* of the loop's thread */
    atomic_bool stop;
    struct arena *batch;
    struct job jobs[JOBS];
    struct avoided *avoided; /* by the backend's number */
    int64_t pending;         /* as the gauge has it */
    uint64_t healed;         /* since nothing was left to be done */
    uint64_t free_ns;        /* when the next copy may begin */
    uint64_t copies;         /* begun so far */
    int64_t pass_ms;         /* loop_now_ms: when rows are looked at again */
};

/* What an extent has and what it lacks. */
struct plan {
    Arca__Blob *blob;
    uint64_t size; /* as stored */
    Arca__Replica *good[REPLICAS_MAX];
    size_t good_count;
    struct target {
        struct backend *backend;
        const Arca__Replica *instead; /* suspect; NULL: there is none */
    } targets[REPLICAS_MAX];
    size_t target_count;
    uint32_t wanted; /* good replicas when all is done */
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

/* --- quarantine --- */

static void tell_quarantine(const struct suspect *suspect, int rc)
{
    char hex[2 * BLOB_ID_SIZE + 1];
    text_hex(span_of(suspect->name.bytes, BLOB_ID_SIZE), hex);
    if (rc == 0)
        log_warn("quarantine", "blob %s, extent %u on backend %s is damaged or missing; it will be repaired", hex,
                 (unsigned)replica_extent(&suspect->name), suspect->backend);
    else if (rc != ERR_NOT_FOUND)
        log_warn("quarantine", "blob %s on backend %s cannot be put up for repair: %s", hex, suspect->backend,
                 err_text(rc));
    metrics_add(METRIC_QUARANTINED, rc == 0);
}

static int quarantine_one(struct repair *repair, struct suspect *suspect) SUSPENDS
{
    Arca__Replica replica = ARCA__REPLICA__INIT;
    Arca__MarkReplica mark = ARCA__MARK_REPLICA__INIT;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    replica.backend = suspect->backend;
    replica.locator = (ProtobufCBinaryData){suspect->locator.length, suspect->locator.bytes};
    replica.state = ARCA__REPLICA__STATE__SUSPECT;
    mark.blob_id = (ProtobufCBinaryData){BLOB_ID_SIZE, suspect->name.bytes};
    mark.extent = replica_extent(&suspect->name);
    mark.replica = &replica;
    mutation.time_ms = clock_wall_ms();
    mutation.op_case = ARCA__MUTATION__OP_MARK_REPLICA;
    mutation.mark_replica = &mark;
    return index_apply(repair->options.index, &mutation);
}

static void quarantine(struct repair *repair) SUSPENDS
{
    struct suspect suspect;
    while (suspects_take(store_suspects(repair->options.store), &suspect, 1) > 0)
        tell_quarantine(&suspect, quarantine_one(repair, &suspect));
}

/* --- an extent --- */

static const Arca__Replica *find_replica(Arca__Replica *const *replicas, size_t count, const char *backend)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(replicas[i]->backend, backend) == 0)
            return replicas[i];
    }
    return NULL;
}

static bool is_wanted(struct backend *const *wanted, size_t count, const char *backend)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(wanted[i]->name, backend) == 0)
            return true;
    }
    return false;
}

static void add_target(struct plan *plan, struct backend *backend, const Arca__Replica *instead)
{
    if (plan->target_count < REPLICAS_MAX)
        plan->targets[plan->target_count++] = (struct target){backend, instead};
}

/* ERR_NOT_FOUND: nothing is to be repaired any more; the row goes with the blob. */
static int make_plan(struct job *job, struct plan *plan) SUSPENDS
{
    struct store *store = job->repair->options.store;
    Arca__Replica **replicas;
    struct backend *const *wanted, *other;
    size_t count;
    arena_reset(job->arena);
    *plan = (struct plan){0};
    int rc = replicas_find(job->repair->options.index, &job->name, job->arena, &plan->blob, &replicas, &count);
    if (rc != 0)
        return rc;
    if (plan->blob->references == 0)
        return ERR_NOT_FOUND;
    plan->size = replica_size(plan->blob, replica_extent(&job->name));
    if (plan->size == 0)
        return ERR_CORRUPT;
    size_t wanted_count = store_placement_backends(store, span_str(plan->blob->placement), &wanted);
    plan->wanted = (uint32_t)wanted_count;
    for (size_t i = 0; i < wanted_count; i++) {
        const Arca__Replica *replica = find_replica(replicas, count, wanted[i]->name);
        if (replica == NULL || replica->state == ARCA__REPLICA__STATE__SUSPECT)
            add_target(plan, wanted[i], replica);
    }
    for (size_t i = 0; i < count; i++) {
        bool suspect = replicas[i]->state == ARCA__REPLICA__STATE__SUSPECT;
        bool within = is_wanted(wanted, wanted_count, replicas[i]->backend);
        plan->wanted += !within;
        if (!suspect && plan->good_count < REPLICAS_MAX)
            plan->good[plan->good_count++] = replicas[i];
        if (suspect && !within && store_find_backend(store, replicas[i]->backend, &other) == 0)
            add_target(plan, other, replicas[i]);
    }
    return 0;
}

static struct avoided *avoided_of(struct repair *repair, const struct backend *backend)
{
    size_t i = 0;
    while (store_backend(repair->options.store, i) != backend)
        i++;
    return &repair->avoided[i];
}

/* Leaves the targets that can be written to now. A backend that was not searched for orphans yet is none of them: the
 * search could take the new copy, which the index does not name for a moment, for one. */
static void drop_avoided(struct repair *repair, struct plan *plan)
{
    size_t kept = 0;
    for (size_t i = 0; i < plan->target_count; i++) {
        struct backend *backend = plan->targets[i].backend;
        if (loop_now_ms() >= avoided_of(repair, backend)->until_ms && garbage_swept(repair->options.garbage, backend))
            plan->targets[kept++] = plan->targets[i];
    }
    plan->target_count = kept;
}

/* From a good replica that can be told to be this extent. */
static int read_good(struct job *job, const struct plan *plan, struct block *block) SUSPENDS
{
    struct store *store = job->repair->options.store;
    uint32_t tried = 0, extent = replica_extent(&job->name);
    for (;;) {
        uint32_t before = tried;
        int rc = store_get_extent(store, plan->good, plan->good_count, job->name.bytes, extent, 0, plan->size,
                                  block->data, &tried);
        if (rc != 0 || replica_check(plan->blob, &job->name, span_of(block->data, plan->size)) == 0)
            return rc;
        store_suspect_read(store, plan->good, plan->good_count, job->name.bytes, extent, before, tried);
    }
}

static void leftover(struct repair *repair, const struct backend *backend, int rc)
{
    atomic_store(&store_shared(repair->options.store)->leftovers, true);
    log_warn("store_leftover", "backend %s keeps an extent that nobody refers to: %s", backend->name, err_text(rc));
}

/* The copy that was suspect is garbage now that the new one is durable and the index names it. */
static void remove_suspect(struct job *job, struct target *target, const struct locator *locator) SUSPENDS
{
    struct locator old = {.length = (uint8_t)target->instead->locator.len};
    if (target->instead->locator.len > LOCATOR_MAX)
        return;
    if (old.length > 0)
        memcpy(old.bytes, target->instead->locator.data, old.length);
    if (span_eq(span_of(old.bytes, old.length), span_of(locator->bytes, locator->length)))
        return; /* it was overwritten */
    int rc = target->backend->ops->remove(target->backend, &job->name, &old);
    if (rc != 0)
        leftover(job->repair, target->backend, rc);
}

static int copy_to(struct job *job, const struct plan *plan, struct target *target, struct block *block) SUSPENDS
{
    struct repair *repair = job->repair;
    struct backend *backend = target->backend;
    struct avoided *avoided = avoided_of(repair, backend);
    struct locator locator;
    int rc = backend->ops->put(backend, &job->name, block, &locator);
    if (fanout_uncertain(rc))
        atomic_store(&store_shared(repair->options.store)->leftovers, true);
    if (rc == ERR_CANCELED)
        return rc;
    if (rc != 0) {
        if (avoided->failures == 0)
            log_warn("repair", "backend %s takes no repaired extents: %s", backend->name, err_text(rc));
        if (loop_now_ms() >= avoided->until_ms) /* else another job has just seen the same */
            avoided->until_ms = loop_now_ms() + backoff_ms(avoided->failures++, AVOID_MAX);
        return rc;
    }
    *avoided = (struct avoided){0};
    metrics_add(METRIC_REPAIR_BYTES, (int64_t)plan->size);
    rc = replica_adopt(repair->options.index, backend, &job->name, &locator, target->instead, plan->wanted);
    if (rc == ERR_NOT_FOUND || rc == ERR_EXISTS)
        return 0;
    if (rc != 0) {
        if (rc != ERR_NOSPC)
            leftover(repair, backend, rc);
        return rc;
    }
    metrics_add(METRIC_REPAIRS, 1);
    repair->healed++;
    if (target->instead != NULL)
        remove_suspect(job, target, &locator);
    return 0;
}

/* Copies come as fast as bandwidth and operations allow, all jobs together. */
static int throttle(struct repair *repair, uint64_t bytes, size_t operations) SUSPENDS
{
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t start_ns = repair->free_ns > now_ns ? repair->free_ns : now_ns;
    double for_bytes = (double)bytes * 1e9 / (double)repair->options.rate;
    double for_operations = (double)operations * 1e9 / (double)repair->options.operations;
    repair->free_ns = start_ns + (uint64_t)(for_bytes > for_operations ? for_bytes : for_operations);
    int64_t until_ms = loop_now_ms() + (int64_t)((start_ns - now_ns + 999999) / 1000000);
    int rc = 0;
    while (rc == 0 && loop_now_ms() < until_ms)
        rc = fiber_wait(until_ms);
    return rc == ERR_TIMEOUT ? 0 : rc;
}

static int copy(struct job *job, struct plan *plan) SUSPENDS
{
    struct repair *repair = job->repair;
    struct block *block;
    if (plan->good_count == 0)
        return ERR_CORRUPT;
    int rc = throttle(repair, plan->size * plan->target_count, plan->target_count);
    if (rc == 0)
        rc = block_create(repair->options.budget, plan->size, DEADLINE_NONE, &block);
    if (rc != 0)
        return rc;
    block->length = plan->size;
    repair->copies++;
    rc = read_good(job, plan, block);
    int first = rc;
    for (size_t i = 0; rc == 0 && i < plan->target_count; i++) {
        int copied = copy_to(job, plan, &plan->targets[i], block);
        first = first == 0 ? copied : first;
    }
    block_unref(block);
    return first;
}

static int tell_done(struct job *job, uint32_t wanted) SUSPENDS
{
    Arca__RepairDone done = ARCA__REPAIR_DONE__INIT;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    done.blob_id = (ProtobufCBinaryData){BLOB_ID_SIZE, job->name.bytes};
    done.extent = replica_extent(&job->name);
    done.wanted = wanted;
    mutation.time_ms = clock_wall_ms();
    mutation.op_case = ARCA__MUTATION__OP_REPAIR_DONE;
    mutation.repair_done = &done;
    return index_apply(job->repair->options.index, &mutation);
}

static void tell_failure(struct job *job, int rc) SUSPENDS
{
    char hex[2 * BLOB_ID_SIZE + 1];
    text_hex(span_of(job->name.bytes, BLOB_ID_SIZE), hex);
    if (job->attempts == 0)
        log_warn("repair", "blob %s, extent %u is not repaired yet: %s", hex, (unsigned)replica_extent(&job->name),
                 err_text(rc));
    metrics_add(METRIC_REPAIRS_FAILED, 1);
    rc = replica_repair_later(job->repair->options.index, &job->name, backoff_ms(job->attempts, BACKOFF_MAX));
    if (rc != 0)
        log_warn("repair", "the index takes no notes: %s", err_text(rc));
}

static void run_job(void *arg) SUSPENDS
{
    struct job *job = arg;
    struct repair *repair = job->repair;
    struct plan plan;
    int rc = make_plan(job, &plan);
    if (rc == 0 && plan.target_count == 0) {
        rc = tell_done(job, plan.wanted);
    } else if (rc == 0) {
        drop_avoided(repair, &plan);
        rc = plan.target_count > 0 ? copy(job, &plan) : 0;
    }
    if (rc != 0 && rc != ERR_NOT_FOUND && rc != ERR_CANCELED)
        tell_failure(job, rc);
    job->fiber = NULL;
    if (repair->fiber != NULL)
        fiber_wake(repair->fiber);
}

/* --- the rows --- */

static int start_job(struct repair *repair, const Arca__Repair *row) SUSPENDS
{
    struct job *job = NULL;
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
    return fiber_spawn(repair->options.loop, run_job, job, &job->fiber);
}

static bool is_idle(const struct repair *repair)
{
    for (size_t i = 0; i < JOBS; i++) {
        if (repair->jobs[i].fiber != NULL)
            return false;
    }
    return true;
}

/* All rows that are due, once. */
static int pass(struct repair *repair) SUSPENDS
{
    Arca__Repair **rows, last = ARCA__REPAIR__INIT;
    uint8_t last_id[BLOB_ID_SIZE];
    size_t count = BATCH;
    int64_t until_ms = clock_wall_ms(), began_ms = loop_now_ms();
    uint64_t copies = repair->copies;
    int rc = 0;
    if (began_ms < repair->pass_ms)
        return 0;
    if ((rc = index_ready(repair->options.index)) != 0)
        return rc; /* what is copied could not be noted */
    while (rc == 0 && count == BATCH) {
        arena_reset(repair->batch);
        rc = index_repair_list(repair->options.index, until_ms, last.blob_id.len > 0 ? &last : NULL, BATCH,
                               repair->batch, &rows, &count);
        for (size_t i = 0; rc == 0 && i < count; i++)
            rc = stopping(repair) ? ERR_CANCELED : start_job(repair, rows[i]);
        if (rc == 0 && count == BATCH) {
            last = *rows[count - 1];
            memcpy(last_id, last.blob_id.data, sizeof(last_id));
            last.blob_id = (ProtobufCBinaryData){sizeof(last_id), last_id};
        }
    }
    while (rc == 0 && !is_idle(repair))
        rc = fiber_wait(DEADLINE_NONE);
    if (copies == repair->copies)
        repair->pass_ms = loop_now_ms() + IDLE_PART * (loop_now_ms() - began_ms);
    return rc;
}

static int tell_pending(struct repair *repair) SUSPENDS
{
    uint64_t count;
    int rc = index_repair_count(repair->options.index, &count);
    if (rc != 0)
        return rc;
    metrics_add(METRIC_REPAIRS_PENDING, (int64_t)count - repair->pending);
    repair->pending = (int64_t)count;
    if (count == 0 && repair->healed > 0) {
        log_info("repaired", "%llu replicas were made; every extent has all of them",
                 (unsigned long long)repair->healed);
        repair->healed = 0;
    }
    return 0;
}

/* --- the fiber --- */

static void run(void *arg) SUSPENDS
{
    struct repair *repair = arg;
    int last = 0;
    repair->fiber = fiber_self();
    while (!stopping(repair)) {
        quarantine(repair);
        int rc = pass(repair);
        if (rc == 0)
            rc = tell_pending(repair);
        if (rc != 0 && rc != last && rc != ERR_CANCELED)
            log_warn("repair", "repair is held up: %s", err_text(rc));
        last = rc;
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
    int rc = fiber_spawn(repair->options.loop, run, repair, &repair->fiber);
    if (rc != 0)
        log_error("repair", "repair does not start: %s", err_text(rc));
}

int repair_start(const struct repair_options *options, struct repair **out)
{
    struct repair *repair = calloc(1, sizeof(*repair));
    size_t backends = 0;
    if (repair == NULL)
        return ERR_NOMEM;
    repair->options = *options;
    while (store_backend(options->store, backends) != NULL)
        backends++;
    repair->avoided = calloc(backends + 1, sizeof(struct avoided));
    repair->batch = arena_create(ARENA_LIMIT);
    bool whole = repair->avoided != NULL && repair->batch != NULL;
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
    (void)loop_post(repair->options.loop, cancel, repair); /* without memory for it, it ends after its period */
}

void repair_free(struct repair *repair)
{
    if (repair == NULL)
        return;
    for (size_t i = 0; i < JOBS; i++) {
        if (repair->jobs[i].arena != NULL)
            arena_free(repair->jobs[i].arena);
    }
    if (repair->batch != NULL)
        arena_free(repair->batch);
    free(repair->avoided);
    free(repair);
}
