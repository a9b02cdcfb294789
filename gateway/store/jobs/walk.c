#include "walk.h"

#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/loop.h"
#include "store/replicas.h"

#define BATCH       128 /* blobs */
#define ARENA_LIMIT ((size_t)16 << 20)

/* A blob of the batch that is being walked. */
struct step {
    uint8_t id[BLOB_ID_SIZE];
    uint32_t extents; /* to visit; 0: it is passed over */
    uint32_t begun, ended;
    bool missed, broken; /* a visit could not finish it; it was ended before it had */
};

struct walk;

struct visit {
    struct walk *walk;
    struct fiber *fiber; /* NULL: idle */
    struct arena *arena;
    struct step *step;
    struct blob_name name;
};

struct walk {
    struct job *job;
    const struct walk_options *options;
    struct fiber *fiber;
    struct arena *rows;
    struct step batch[BATCH];
    size_t count, passed;
    struct visit visits[WALK_WIDTH_MAX];
    unsigned active;
    bool broken;
    struct completion *drained; /* who waits for the last visit */
};

/* --- visits --- */

static int visit_extent(struct visit *visit) SUSPENDS
{
    const struct walk_options *options = visit->walk->options;
    struct walk_extent extent = {.name = visit->name, .arena = visit->arena};
    arena_reset(visit->arena);
    int rc = replicas_find(options->index, &visit->name, visit->arena, &extent.blob, &extent.replicas,
                           &extent.replica_count);
    if (rc == ERR_NOT_FOUND || (rc == 0 && extent.blob->references == 0))
        return 0; /* it went meanwhile */
    return rc != 0 ? rc : options->visit(options->arg, &extent);
}

static void run_visit(void *arg) SUSPENDS
{
    struct visit *visit = arg;
    struct walk *walk = visit->walk;
    int rc = visit_extent(visit);
    visit->step->ended++;
    visit->step->broken = visit->step->broken || rc == ERR_CANCELED;
    visit->step->missed = visit->step->missed || rc != 0;
    walk->broken = walk->broken || rc == ERR_CANCELED;
    visit->fiber = NULL;
    walk->active--;
    if (walk->drained == NULL)
        fiber_wake(walk->fiber);
    else if (walk->active == 0)
        completion_post(walk->drained, 0);
}

static struct visit *idle_visit(struct walk *walk)
{
    for (unsigned i = 0; i < walk->options->width; i++) {
        if (walk->visits[i].fiber == NULL)
            return &walk->visits[i];
    }
    return NULL;
}

/* All visits end, also when the waiting fiber is cancelled: their memory is the walk's. */
static void drain(struct walk *walk) SUSPENDS
{
    struct completion drained;
    if (walk->active == 0)
        return;
    completion_init(&drained);
    walk->drained = &drained;
    for (unsigned i = 0; i < walk->options->width; i++) {
        if (walk->visits[i].fiber != NULL)
            fiber_cancel(walk->visits[i].fiber);
    }
    completion_wait(&drained);
    walk->drained = NULL;
}

/* --- the order of the blobs --- */

/* Moves the cursor over the blobs that all before are done with. */
static int advance(struct walk *walk) SUSPENDS
{
    struct step *step = &walk->batch[walk->passed];
    while (walk->passed < walk->count && step->begun == step->extents && step->ended == step->extents &&
           !step->broken) {
        job_passed(walk->job, 1, span_of(step->id, BLOB_ID_SIZE));
        if (step->missed)
            job_count(walk->job, 0, 0, 1);
        walk->passed++;
        step++;
    }
    return job_save_soon(walk->job);
}

static int wait_for_visit(struct walk *walk) SUSPENDS
{
    int rc = fiber_wait(DEADLINE_NONE);
    if (rc == 0 && walk->broken)
        rc = ERR_CANCELED;
    return rc != 0 ? rc : advance(walk);
}

static int read_batch(struct walk *walk) SUSPENDS
{
    const struct walk_options *options = walk->options;
    Arca__Blob **blobs;
    size_t count;
    arena_reset(walk->rows);
    int rc = index_blob_list(options->index, job_after(walk->job), BATCH, walk->rows, &blobs, &count);
    if (rc != 0)
        return rc;
    walk->count = walk->passed = 0;
    for (size_t i = 0; i < count; i++) {
        const Arca__Blob *blob = blobs[i];
        bool within = options->placement.len == 0 || span_eq(options->placement, span_str(blob->placement));
        if (blob->id.len != BLOB_ID_SIZE)
            return ERR_CORRUPT;
        struct step *step = &walk->batch[walk->count++];
        *step = (struct step){.extents = within && blob->references > 0 ? blob->extent_count : 0};
        memcpy(step->id, blob->id.data, BLOB_ID_SIZE);
    }
    return 0;
}

static int walk_blob(struct walk *walk, struct step *step) SUSPENDS
{
    int rc = 0;
    while (rc == 0 && step->begun < step->extents) {
        struct visit *visit = idle_visit(walk);
        if (visit == NULL) {
            rc = wait_for_visit(walk);
            continue;
        }
        if ((rc = job_check(walk->job)) != 0)
            break;
        visit->step = step;
        replica_name(step->id, step->begun, &visit->name);
        if ((rc = fiber_spawn(walk->options->loop, run_visit, visit, &visit->fiber)) == 0) {
            walk->active++;
            step->begun++;
        }
    }
    return rc;
}

static int walk_batch(struct walk *walk) SUSPENDS
{
    int rc = job_check(walk->job);
    for (size_t i = 0; rc == 0 && i < walk->count; i++)
        rc = walk_blob(walk, &walk->batch[i]);
    while (rc == 0 && walk->active > 0)
        rc = wait_for_visit(walk);
    drain(walk);
    int saved = advance(walk);
    return rc != 0 ? rc : walk->broken ? ERR_CANCELED : saved;
}

static void walk_free(struct walk *walk)
{
    for (unsigned i = 0; i < walk->options->width; i++) {
        if (walk->visits[i].arena != NULL)
            arena_free(walk->visits[i].arena);
    }
    if (walk->rows != NULL)
        arena_free(walk->rows);
    free(walk);
}

static int walk_create(struct job *job, const struct walk_options *options, struct walk **out)
{
    struct walk *walk = calloc(1, sizeof(*walk));
    if (walk == NULL)
        return ERR_NOMEM;
    *walk = (struct walk){.job = job, .options = options, .fiber = fiber_self()};
    walk->rows = arena_create(ARENA_LIMIT);
    bool whole = walk->rows != NULL;
    for (unsigned i = 0; i < options->width; i++) {
        walk->visits[i].walk = walk;
        walk->visits[i].arena = arena_create(ARENA_LIMIT);
        whole = whole && walk->visits[i].arena != NULL;
    }
    if (!whole) {
        walk_free(walk);
        return ERR_NOMEM;
    }
    *out = walk;
    return 0;
}

int walk(struct job *job, const struct walk_options *options) SUSPENDS
{
    struct walk *walk;
    uint64_t total;
    if (options->width == 0 || options->width > WALK_WIDTH_MAX)
        return ERR_INVALID;
    int rc = walk_create(job, options, &walk);
    if (rc != 0)
        return rc;
    if ((rc = index_blob_count(options->index, &total)) == 0)
        job_total(job, total);
    walk->count = 1;
    while (rc == 0 && walk->count > 0) {
        if ((rc = read_batch(walk)) == 0)
            rc = walk_batch(walk);
        fiber_yield(); /* blobs that are passed over wait for nothing */
    }
    walk_free(walk);
    int saved = job_save(job); /* also when it is to stop */
    return rc != 0 ? rc : saved;
}
