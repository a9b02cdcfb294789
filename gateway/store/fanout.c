#include "fanout.h"

#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"

struct fanout;

struct branch {
    struct fanout *fanout;
    struct backend *backend;
    bool done;
    bool kept; /* the caller has its locator */
    struct fanout_result result;
};

/* Shared by the caller and the branches, all of them fibers of one loop: no locks. The last one out frees it. */
struct fanout {
    unsigned references;
    struct fiber *caller; /* NULL once it has left */
    struct blob_name name;
    struct block *data;
    size_t count;
    size_t done;
    size_t stored;
    struct branch branches[PLACEMENT_MAX];
};

int fanout_error(int rc)
{
    switch (rc) {
    case 0:
    case ERR_NOSPC:
    case ERR_READONLY:
    case ERR_CANCELED:
    case ERR_NOMEM:
    case ERR_TOO_LARGE:
        return rc;
    default:
        return ERR_UNAVAILABLE;
    }
}

static void fanout_free(struct fanout *fanout)
{
    block_unref(fanout->data);
    free(fanout);
}

/* Takes back what was stored and nobody refers to. */
static void abandon(struct branch *branch) SUSPENDS
{
    if (!branch->done || branch->result.rc != 0 || branch->kept)
        return;
    struct backend *backend = branch->backend;
    int rc = backend->ops->remove(backend, &branch->fanout->name, &branch->result.locator);
    branch->result.rc = ERR_BUSY;
    if (rc != 0)
        log_warn("store_leftover", "backend %s keeps an extent that nobody refers to: %s", backend->name, err_text(rc));
}

static void sweep(void *arg) SUSPENDS
{
    struct fanout *fanout = arg;
    for (size_t i = 0; i < fanout->count; i++)
        abandon(&fanout->branches[i]);
    fanout_free(fanout);
}

static void run_branch(void *arg) SUSPENDS
{
    struct branch *branch = arg;
    struct fanout *fanout = branch->fanout;
    struct backend *backend = branch->backend;
    int rc = backend->ops->put(backend, &fanout->name, fanout->data, &branch->result.locator);
    branch->result.rc = rc;
    branch->done = true;
    fanout->done++;
    fanout->stored += rc == 0;
    if (rc != 0)
        log_warn("store_put", "backend %s: %s", backend->name, err_text(rc));
    else if (fanout->caller == NULL)
        log_info("store_straggler", "backend %s stored an extent after its write was answered", backend->name);
    if (fanout->caller != NULL)
        fiber_wake(fanout->caller);
    if (--fanout->references == 0)
        sweep(fanout);
}

/* The worst that may be told: a full or read-only backend before one that is not reached. */
static int missed_because(const struct fanout *fanout)
{
    int why = ERR_UNAVAILABLE;
    for (size_t i = 0; i < fanout->count; i++) {
        int rc = fanout->branches[i].done ? fanout_error(fanout->branches[i].result.rc) : 0;
        if (rc == ERR_NOSPC || (rc != 0 && rc != ERR_CANCELED && why == ERR_UNAVAILABLE))
            why = rc;
    }
    return why;
}

static int await_quorum(const struct fanout *fanout, unsigned quorum) SUSPENDS
{
    while (fanout->stored < quorum) {
        if (fanout->count - (fanout->done - fanout->stored) < quorum)
            return missed_because(fanout);
        int rc = fiber_wait(DEADLINE_NONE);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* The caller goes. What it does not keep is swept by the last branch, or by a fiber of its own: the caller may be
 * cancelled and could not wait for it. */
static void leave(struct fanout *fanout)
{
    fanout->caller = NULL;
    if (--fanout->references != 0)
        return;
    bool leftovers = false;
    for (size_t i = 0; i < fanout->count; i++)
        leftovers = leftovers || (fanout->branches[i].result.rc == 0 && !fanout->branches[i].kept);
    struct fiber *fiber;
    if (!leftovers) {
        fanout_free(fanout);
    } else if (fiber_spawn(fiber_loop(fiber_self()), sweep, fanout, &fiber) != 0) {
        log_warn("store_leftover", "no fiber to remove an extent that nobody refers to");
        fanout_free(fanout);
    }
}

int fanout_put(struct backend *const *backends, size_t count, unsigned quorum, const struct blob_name *name,
               struct block *data, struct fanout_result *results) SUSPENDS
{
    struct fanout *fanout = calloc(1, sizeof(*fanout));
    if (fanout == NULL)
        return ERR_NOMEM;
    fanout->references = 1;
    fanout->caller = fiber_self();
    fanout->name = *name;
    fanout->data = block_ref(data);
    fanout->count = count;
    for (size_t i = 0; i < count; i++) {
        struct branch *branch = &fanout->branches[i];
        *branch = (struct branch){.fanout = fanout, .backend = backends[i], .result = {.rc = ERR_BUSY}};
        struct fiber *fiber;
        int rc = fiber_spawn(fiber_loop(fiber_self()), run_branch, branch, &fiber);
        if (rc == 0) {
            fanout->references++;
        } else {
            branch->result.rc = rc;
            branch->done = true;
            fanout->done++;
        }
    }
    int rc = await_quorum(fanout, quorum);
    for (size_t i = 0; i < count; i++) {
        struct branch *branch = &fanout->branches[i];
        branch->kept = rc == 0 && branch->done && branch->result.rc == 0;
        results[i] = branch->result;
    }
    leave(fanout);
    return rc;
}
