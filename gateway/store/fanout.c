#include "fanout.h"

#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "replicas.h"

#define STRAGGLERS_PART 4    /* of the body budget, one part may wait for stragglers */
#define HANGING_PART    2    /* and one for those of one backend that cannot be ended, until it is passed over */
#define FIBER_MEMORY    32768 /* bytes, about: a straggler holds its fiber's stack, too */
#define RETRY_MS        2000 /* after a straggler failed, repair takes over */

/* What becomes of what is stored and not kept. */
enum fate { FATE_OPEN, FATE_ADOPT, FATE_REMOVE };

struct branch {
    struct fanout *fanout;
    struct backend *backend;
    struct fiber *fiber; /* NULL once its put is done */
    bool done;
    bool kept;  /* the caller has its locator, or its fate is being seen to */
    bool known; /* it had failed before the index was told */
    size_t straggling; /* what its backend is charged with */
    struct fanout_result result;
};

/* Shared by the caller and the branches, all of them fibers of one loop: no locks. The last one out frees it. */
struct fanout {
    struct fanout_shared *shared;
    atomic_size_t *writes;
    unsigned references;
    struct fiber *caller; /* NULL once it has left */
    struct blob_name name;
    struct block *data; /* NULL once all branches are done */
    size_t straggling;  /* what all stragglers are charged with */
    enum fate fate;
    struct index *index; /* to adopt */
    struct fanout *next;
    Arca__Replica **replicas;
    size_t *replica_count;
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

bool fanout_uncertain(int rc)
{
    return rc != 0 && rc != ERR_NOSPC && rc != ERR_NOMEM && rc != ERR_TOO_LARGE && rc != ERR_DOWN;
}

static void leftover(struct fanout *fanout, const char *backend, int rc)
{
    atomic_store(&fanout->shared->leftovers, true);
    log_warn("store_leftover", "backend %s keeps an extent that nobody refers to: %s", backend, err_text(rc));
}

static void release_data(struct fanout *fanout)
{
    if (fanout->straggling > 0)
        atomic_fetch_sub(&fanout->shared->straggling, fanout->straggling);
    fanout->straggling = 0;
    block_unref(fanout->data);
    fanout->data = NULL;
}

static void fanout_unref(struct fanout *fanout)
{
    if (--fanout->references > 0)
        return;
    atomic_fetch_sub(fanout->writes, 1);
    free(fanout);
}

/* --- branches --- */

/* Something is left to be done about it. */
static bool is_open(const struct branch *branch)
{
    return branch->done && !branch->kept && (branch->result.rc == 0 || branch->fanout->fate == FATE_ADOPT);
}

/* Sees to what a branch has stored, once its fate is known, or lets repair do what it failed to do. */
static void conclude(struct branch *branch) SUSPENDS
{
    struct fanout *fanout = branch->fanout;
    struct backend *backend = branch->backend;
    int rc = 0;
    if (!is_open(branch))
        return;
    branch->kept = true;
    if (branch->result.rc != 0) {
        if ((rc = replica_repair_later(fanout->index, &fanout->name, RETRY_MS)) != 0)
            log_warn("store_straggler", "the repair of an extent has to wait: %s", err_text(rc));
        return;
    }
    if (fanout->fate == FATE_ADOPT)
        rc = replica_adopt(fanout->index, backend, &fanout->name, &branch->result.locator, NULL);
    else
        rc = backend->ops->remove(backend, &fanout->name, &branch->result.locator);
    if (rc != 0 && rc != ERR_NOT_FOUND && rc != ERR_EXISTS && rc != ERR_NOSPC)
        leftover(fanout, backend->name, rc);
}

static void conclude_all(void *arg) SUSPENDS
{
    struct fanout *fanout = arg;
    for (size_t i = 0; i < fanout->count; i++)
        conclude(&fanout->branches[i]);
    fanout_unref(fanout);
}

static void branch_done(struct branch *branch, int rc)
{
    struct fanout *fanout = branch->fanout;
    branch->result.rc = rc;
    branch->done = true;
    if (branch->straggling > 0)
        atomic_fetch_sub(&branch->backend->straggling, branch->straggling);
    branch->straggling = 0;
    fanout->stored += rc == 0;
    if (++fanout->done == fanout->count)
        release_data(fanout);
}

static void run_branch(void *arg) SUSPENDS
{
    struct branch *branch = arg;
    struct fanout *fanout = branch->fanout;
    struct backend *backend = branch->backend;
    int rc = backend->ops->put(backend, &fanout->name, fanout->data, &branch->result.locator);
    branch->fiber = NULL;
    branch_done(branch, rc);
    if (rc != 0 && rc != ERR_DOWN)
        log_warn("store_put", "backend %s: %s", backend->name, err_text(rc));
    if (fanout_uncertain(rc))
        atomic_store(&fanout->shared->leftovers, true);
    if (fanout->caller != NULL)
        fiber_wake(fanout->caller);
    if (fanout->fate != FATE_OPEN)
        conclude(branch);
    fanout_unref(fanout);
}

/* --- the caller --- */

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

/* From now on the block is there for stragglers only. A backend that hangs must not take the memory of all bodies. */
static void limit_stragglers(struct fanout *fanout)
{
    size_t charge = fanout->data->capacity + FIBER_MEMORY;
    size_t before = atomic_fetch_add(&fanout->shared->straggling, charge);
    bool too_many = before + charge > budget_limit(fanout->data->budget) / STRAGGLERS_PART;
    fanout->straggling = charge;
    for (size_t i = 0; i < fanout->count; i++) {
        struct branch *branch = &fanout->branches[i];
        if (branch->fiber == NULL)
            continue;
        branch->straggling = charge;
        atomic_fetch_add(&branch->backend->straggling, charge);
        if (too_many)
            fiber_cancel(branch->fiber);
    }
}

/* The caller goes. It may be cancelled and must not wait: what is to be done now, a fiber of its own does. */
static void leave(struct fanout *fanout, enum fate fate)
{
    bool work = false;
    struct fiber *fiber;
    fanout->fate = fate;
    for (size_t i = 0; i < fanout->count; i++)
        work = work || is_open(&fanout->branches[i]);
    if (!work)
        fanout_unref(fanout);
    else if (fiber_spawn(fiber_loop(fiber_self()), conclude_all, fanout, &fiber) != 0) {
        leftover(fanout, "?", ERR_BUSY);
        fanout_unref(fanout);
    }
}

/* Not every driver can end a put that hangs. One that is merely the slowest is left in. */
static void begin(struct fanout *fanout, struct branch *branch)
{
    int rc = ERR_BUSY;
    if (atomic_load(&branch->backend->straggling) < budget_limit(fanout->data->budget) / HANGING_PART)
        rc = fiber_spawn(fiber_loop(fiber_self()), run_branch, branch, &branch->fiber);
    if (rc == 0) {
        fanout->references++;
        return;
    }
    branch->fiber = NULL;
    branch_done(branch, rc);
}

int fanout_put(struct fanout_shared *shared, const struct fanout_set *set, atomic_size_t *writes,
               const struct blob_name *name, struct block *data, struct fanout_result *results,
               struct fanout **open) SUSPENDS
{
    struct fanout *fanout = calloc(1, sizeof(*fanout));
    size_t count = set->count;
    *open = NULL;
    if (fanout == NULL)
        return ERR_NOMEM;
    fanout->shared = shared;
    fanout->writes = writes;
    atomic_fetch_add(writes, 1);
    fanout->references = 1;
    fanout->caller = fiber_self();
    fanout->name = *name;
    fanout->data = block_ref(data);
    fanout->count = count;
    for (size_t i = 0; i < count; i++) {
        struct branch *branch = &fanout->branches[i];
        *branch = (struct branch){.fanout = fanout, .backend = set->backends[i], .result = {.rc = ERR_BUSY}};
        begin(fanout, branch);
    }
    int rc = await_quorum(fanout, set->quorum);
    fanout->caller = NULL;
    for (size_t i = 0; i < count; i++) {
        struct branch *branch = &fanout->branches[i];
        branch->kept = rc == 0 && branch->done && branch->result.rc == 0;
        results[i] = branch->result;
    }
    if (fanout->done < count)
        limit_stragglers(fanout);
    if (rc == 0 && fanout->stored < count)
        *open = fanout;
    else
        leave(fanout, FATE_REMOVE);
    return rc;
}

/* --- an open one --- */

void fanout_expose(struct fanout *fanout, Arca__Replica **replicas, size_t *count, struct fanout *next)
{
    fanout->replicas = replicas;
    fanout->replica_count = count;
    fanout->next = next;
}

struct fanout *fanout_next(const struct fanout *fanout)
{
    return fanout->next;
}

bool fanout_gather(struct fanout *fanout)
{
    for (size_t i = 0; i < fanout->count; i++) {
        struct branch *branch = &fanout->branches[i];
        branch->known = branch->done && branch->result.rc != 0;
        if (!branch->done || branch->kept || branch->known)
            continue;
        branch->kept = true;
        replica_fill(fanout->replicas[(*fanout->replica_count)++], branch->backend, &branch->result.locator);
    }
    return fanout->done < fanout->count;
}

void fanout_settle(struct fanout *fanout, struct index *index, bool hurry)
{
    fanout->index = index;
    for (size_t i = 0; i < fanout->count; i++)
        fanout->branches[i].kept = fanout->branches[i].kept || (fanout->branches[i].known && !hurry);
    leave(fanout, index != NULL ? FATE_ADOPT : FATE_REMOVE);
}
