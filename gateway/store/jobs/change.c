#include "change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "store/placements.h"
#include "store/private.h"
#include "store/replicas.h"
#include "store/watched.h"
#include "verify.h"
#include "walk.h"

#define WIDTH       8
#define REMOVALS    4096 /* that wait for the copies of the index, or are to be tried again */
#define LOOK_MS     500  /* how often what is waited for is looked at */
#define ATTEMPTS    5    /* at a replica that is damaged, before all are verified again */
#define RETRY_MS    1000 /* after what could not be finished, and longer each time, */
#define RETRY_MAX   30000
#define ARENA_LIMIT ((size_t)4 << 20)

#define NOT_SEARCHED "backend %s is first searched for what a crash left there"

/* Out of the index and still on its backend: an index that is rebuilt from its copies may not know the other replicas
 * yet. */
struct removal {
    Arca__Replica replica;
    struct blob_name name;
    int64_t since_ms;
    uint8_t locator[LOCATOR_MAX];
    char backend[sizeof(((struct backend *)NULL)->name)];
};

struct change {
    struct jobs *jobs;
    struct job *job;
    struct arena *arena;
    char placement[64];
    Arca__Placement *row;     /* as this step found it: it changes with its steps alone */
    unsigned failures;        /* in a row */
    struct removal *removals; /* a ring, in the order of their times */
    size_t first, count;
};

static bool has_role(const struct change *change, const char *backend, Arca__Member__Role role)
{
    const Arca__Member *member = placement_member(change->row, span_str(backend));
    return member != NULL && member->role == role;
}

static bool has_any(const struct change *change, Arca__Member__Role role)
{
    for (size_t i = 0; i < change->row->n_members; i++) {
        if (change->row->members[i]->role == role)
            return true;
    }
    return false;
}

/* --- waiting --- */

/* Longer each time, until something goes well. */
static int64_t back_off_ms(struct change *change)
{
    int64_t ms = (int64_t)RETRY_MS << (change->failures < 16 ? change->failures : 16);
    change->failures++;
    return ms < RETRY_MAX ? ms : RETRY_MAX;
}

static int back_off(struct change *change) SUSPENDS
{
    int rc = job_sleep(change->job, back_off_ms(change));
    job_waits(change->job, NULL);
    return rc;
}

/* Once a backend can be used, as far as is known. `write`: repair puts nothing on one that was not searched for
 * orphans. */
static int await_backend(struct change *change, const struct backend *backend, bool write) SUSPENDS
{
    const struct health *health = watched_health((struct backend *)(uintptr_t)backend);
    int rc = 0;
    bool waited = false;
    while (rc == 0) {
        bool down = health_state(health, loop_now_ms()) == HEALTH_DOWN;
        int refuses = write ? health_writable(health) : 0;
        if (!down && refuses == 0 && (!write || garbage_swept(change->jobs->garbage, backend)))
            break;
        if (down)
            job_waits(change->job, "backend %s is down: %s", backend->name, err_text(health->last_error));
        else if (refuses != 0)
            job_waits(change->job, "backend %s takes no writes: %s", backend->name, err_text(refuses));
        else
            job_waits(change->job, NOT_SEARCHED, backend->name);
        waited = true;
        rc = job_sleep(change->job, LOOK_MS);
        rc = rc == 0 ? job_check(change->job) : rc;
    }
    if (waited && rc == 0)
        job_waits(change->job, NULL);
    return rc;
}

/* --- an extent --- */

static const Arca__Replica *find_good(const struct walk_extent *extent, const char *backend)
{
    for (size_t i = 0; i < extent->replica_count; i++) {
        const Arca__Replica *replica = extent->replicas[i];
        if (replica->state == ARCA__REPLICA__STATE__GOOD && strcmp(replica->backend, backend) == 0)
            return replica;
    }
    return NULL;
}

/* What is lacking is waited for, one backend after the other. *lacking: whether there was any. */
static int await_lacking(struct change *change, const struct walk_extent *extent, bool *lacking) SUSPENDS
{
    struct backend *const *wanted;
    size_t count = store_placement_backends(change->jobs->options.store, span_str(change->placement), &wanted);
    *lacking = false;
    for (size_t i = 0; i < count; i++) {
        if (find_good(extent, wanted[i]->name) != NULL)
            continue;
        *lacking = true;
        int rc = await_backend(change, wanted[i], true);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Brings it to what the set wants; `extent` has its rows as they are then. ERR_NOT_FOUND: it is gone. ERR_UNAVAILABLE:
 * not now. */
static int fill(struct change *change, struct walk_extent *extent) SUSPENDS
{
    struct mended mended;
    bool lacking;
    int rc = await_lacking(change, extent, &lacking);
    if (rc != 0 || !lacking)
        return rc;
    rc = mend_extent(change->jobs->mend, extent->arena, &extent->name, &mended);
    job_count(change->job, mended.bytes, mended.made, 0);
    if (rc == 0 && mended.lacking > 0)
        rc = ERR_UNAVAILABLE;
    if (rc == 0)
        change->failures = 0;
    return rc != 0 ? rc
                   : replicas_find(change->jobs->options.index, &extent->name, extent->arena, &extent->blob,
                                   &extent->replicas, &extent->replica_count);
}

static int visit_backfill(void *arg, const struct walk_extent *walked) SUSPENDS
{
    struct walk_extent extent = *walked;
    int rc = fill(arg, &extent);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

/* Reads one that joined. */
static int check(struct change *change, const struct walk_extent *extent, const Arca__Replica *replica) SUSPENDS
{
    const struct jobs_options *options = &change->jobs->options;
    struct backend *backend;
    uint64_t bytes = 0;
    int rc = store_find_backend(options->store, replica->backend, &backend);
    if (rc == 0)
        rc = await_backend(change, backend, false);
    if (rc == 0)
        rc = job_spend(change->job, replica_size(extent->blob, replica_extent(&extent->name)), 1);
    if (rc != 0)
        return rc;
    rc = verify_replica(options, extent->blob, &extent->name, replica, false, &bytes);
    bool damaged = rc == ERR_CORRUPT || rc == ERR_NOT_FOUND;
    job_count(change->job, bytes, damaged, 0);
    if (damaged) {
        store_suspect(options->store, replica, extent->name.bytes, replica_extent(&extent->name));
        rc = ERR_CORRUPT;
    }
    return rc;
}

/* All of its replicas that joined. */
static int check_joined(struct change *change, const struct walk_extent *extent) SUSPENDS
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < extent->replica_count; i++) {
        if (extent->replicas[i]->state == ARCA__REPLICA__STATE__GOOD &&
            has_role(change, extent->replicas[i]->backend, ARCA__MEMBER__ROLE__JOINING))
            rc = check(change, extent, extent->replicas[i]);
    }
    return rc;
}

/* What is damaged is given the time to be repaired: were it missed, all blobs would be read once more. */
static int visit_verify(void *arg, const struct walk_extent *walked) SUSPENDS
{
    struct change *change = arg;
    struct walk_extent extent = *walked;
    int rc = ERR_CORRUPT;
    for (int attempt = 0; rc == ERR_CORRUPT && attempt < ATTEMPTS; attempt++) {
        rc = attempt > 0 ? job_sleep(change->job, LOOK_MS) : 0;
        if (rc == 0 && attempt > 0)
            rc = replicas_find(change->jobs->options.index, &extent.name, extent.arena, &extent.blob, &extent.replicas,
                               &extent.replica_count);
        if (rc == 0)
            rc = fill(change, &extent);
        if (rc == 0)
            rc = check_joined(change, &extent);
    }
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static void remove_later(struct change *change, const Arca__Replica *replica, const struct blob_name *name)
{
    struct removal *removal = &change->removals[(change->first + change->count++) % REMOVALS];
    *removal = (struct removal){.replica = *replica, .name = *name, .since_ms = clock_wall_ms()};
    snprintf(removal->backend, sizeof(removal->backend), "%s", replica->backend);
    if (replica->locator.len > 0)
        memcpy(removal->locator, replica->locator.data, replica->locator.len);
}

/* There is room for it to be done later, when it fails. */
static int remove_stored(struct change *change, Arca__Replica *replica, const struct blob_name *name) SUSPENDS
{
    int rc = store_remove_extent(change->jobs->options.store, &replica, 1, name->bytes, replica_extent(name));
    if (rc == 0 || rc == ERR_NOT_FOUND)
        return 0;
    remove_later(change, replica, name);
    return rc;
}

/* What has come back meanwhile stays. A store that knows one replica of a name would lose the one that another aim puts
 * there: it is left to the search for orphans. */
static bool is_away(const struct change *change, const struct removal *removal) SUSPENDS
{
    struct arena *arena = arena_create(ARENA_LIMIT);
    struct locator locator = {.length = (uint8_t)removal->replica.locator.len};
    struct backend *backend;
    bool away = arena != NULL && store_find_backend(change->jobs->options.store, removal->backend, &backend) == 0 &&
                (locator.length > 0 || has_role(change, removal->backend, ARCA__MEMBER__ROLE__DRAINING));
    memcpy(locator.bytes, removal->locator, sizeof(locator.bytes));
    away = away && replica_is_named(change->jobs->options.index, backend, &removal->name, &locator, arena) == 0;
    if (arena != NULL)
        arena_free(arena);
    return away;
}

/* Those of which all copies of the index know, until at most `left` remain. The first error. */
static int remove_known(struct change *change, size_t left) SUSPENDS
{
    int rc = 0;
    while (rc == 0 && change->count > 0) {
        struct removal *next = &change->removals[change->first % REMOVALS];
        if (next->since_ms <= index_safe_ms(change->jobs->options.index)) {
            struct removal removal = *next; /* another visit may take its place */
            removal.replica.backend = removal.backend;
            removal.replica.locator.data = removal.locator;
            change->first++;
            change->count--;
            if (is_away(change, &removal))
                rc = remove_stored(change, &removal.replica, &removal.name);
        } else if (change->count <= left) {
            break;
        } else {
            job_waits(change->job, "the copies of the index come first");
            rc = job_sleep(change->job, LOOK_MS);
            job_waits(change->job, NULL);
        }
    }
    return rc;
}

/* First out of the index, then off the backend: a kill in between leaves what the search for orphans finds. */
static int take_away(struct change *change, const struct walk_extent *extent, Arca__Replica *replica) SUSPENDS
{
    struct jobs_options *options = &change->jobs->options;
    Arca__RemoveReplica remove = ARCA__REMOVE_REPLICA__INIT;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    struct backend *backend;
    int rc = replica->locator.len <= LOCATOR_MAX ? remove_known(change, REMOVALS - 1 - WIDTH) : ERR_CORRUPT;
    if (rc == 0 && store_find_backend(options->store, replica->backend, &backend) == 0)
        rc = await_backend(change, backend, false);
    if (rc == 0)
        rc = job_spend(change->job, 0, 1);
    if (rc != 0)
        return rc;
    remove.blob_id = extent->blob->id;
    remove.extent = replica_extent(&extent->name);
    remove.replica = replica;
    mutation.time_ms = clock_wall_ms();
    mutation.op_case = ARCA__MUTATION__OP_REMOVE_REPLICA;
    mutation.remove_replica = &remove;
    rc = index_apply(options->index, &mutation);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    job_count(change->job, 0, 1, 0);
    if (index_safe_ms(options->index) == INT64_MAX)
        return remove_stored(change, replica, &extent->name);
    remove_later(change, replica, &extent->name);
    return 0;
}

static int visit_drain(void *arg, const struct walk_extent *walked) SUSPENDS
{
    struct change *change = arg;
    struct walk_extent extent = *walked;
    bool drains = false;
    for (size_t i = 0; i < extent.replica_count; i++)
        drains = drains || has_role(change, extent.replicas[i]->backend, ARCA__MEMBER__ROLE__DRAINING);
    int rc = drains ? fill(change, &extent) : 0;
    for (size_t i = 0; drains && rc == 0 && i < extent.replica_count; i++) {
        if (has_role(change, extent.replicas[i]->backend, ARCA__MEMBER__ROLE__DRAINING))
            rc = take_away(change, &extent, extent.replicas[i]);
    }
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

/* --- steps: each ends with the next one begun --- */

/* All blobs of the placement, again and again until none is missed. */
static int walk_all(struct change *change, int (*visit)(void *arg, const struct walk_extent *extent) SUSPENDS) SUSPENDS
{
    struct walk_options options = {
        .index = change->jobs->options.index,
        .loop = change->jobs->options.loop,
        .placement = span_str(change->placement),
        .width = WIDTH,
        .visit = visit,
        .arg = change,
    };
    for (;;) {
        uint64_t total;
        int rc = index_blob_count(options.index, &total);
        if (rc == 0)
            job_total(change->job, total);
        if (rc == 0)
            rc = walk(change->job, &options);
        if (rc != 0 || job_missed(change->job) == 0)
            return rc;
        job_waits(change->job, "%llu blobs could not be finished and are tried again",
                  (unsigned long long)job_missed(change->job));
        rc = back_off(change);
        if (rc == 0)
            rc = job_begin(change->job, job_step(change->job));
        if (rc != 0)
            return rc;
    }
}

static int backfill(struct change *change) SUSPENDS
{
    int rc = walk_all(change, visit_backfill);
    return rc != 0 ? rc : job_begin(change->job, ARCA__JOB__STEP__VERIFY);
}

static int verify(struct change *change) SUSPENDS
{
    int rc = has_any(change, ARCA__MEMBER__ROLE__JOINING) ? walk_all(change, visit_verify) : 0;
    return rc != 0 ? rc : job_begin(change->job, ARCA__JOB__STEP__PROMOTE);
}

/* The rows, and the store follows. */
static int set_placement(struct change *change, Arca__Placement *row, Arca__Job *job) SUSPENDS
{
    int rc = placement_set(change->jobs->options.index, row, job);
    return rc != 0 ? rc : placements_refresh(change->jobs->options.store, change->jobs->options.index, NULL);
}

static int promote(struct change *change) SUSPENDS
{
    Arca__Placement *row;
    Arca__Job next;
    int rc = placement_promote(change->row, change->arena, &row);
    job_fill_next(change->job, ARCA__JOB__STEP__DRAIN, &next);
    if (rc == 0)
        rc = set_placement(change, row, &next);
    if (rc == 0)
        log_info("placement", "placement %s: its new backends have everything", change->placement);
    return rc != 0 ? rc : job_load(change->job);
}

/* A set with members that come or leave is no more what was promoted. */
static bool is_promoted(const struct change *change)
{
    return !has_any(change, ARCA__MEMBER__ROLE__JOINING) && !has_any(change, ARCA__MEMBER__ROLE__LEAVING);
}

static int drain(struct change *change) SUSPENDS
{
    if (!is_promoted(change))
        return job_begin(change->job, ARCA__JOB__STEP__BACKFILL);
    int rc = has_any(change, ARCA__MEMBER__ROLE__DRAINING) ? walk_all(change, visit_drain) : 0;
    if (rc == 0)
        rc = remove_known(change, 0);
    return rc != 0 ? rc : job_begin(change->job, ARCA__JOB__STEP__REMOVE);
}

/* What a crash left behind is not known to the index: one that is out of the placement may soon be out of the config, and is
 * not searched any more. */
static bool waits_for_search(struct change *change)
{
    for (size_t i = 0; i < change->row->n_members; i++) {
        const Arca__Member *member = change->row->members[i];
        struct backend *backend;
        if (member->role != ARCA__MEMBER__ROLE__DRAINING ||
            store_find_backend(change->jobs->options.store, member->backend, &backend) != 0 ||
            garbage_swept(change->jobs->garbage, backend))
            continue;
        job_waits(change->job, NOT_SEARCHED, backend->name);
        return true;
    }
    return false;
}

/* What those that are being drained still hold. A body that began under an older set may bring more of it. */
static int count_held(struct change *change, uint64_t *out) SUSPENDS
{
    struct jobs_options *options = &change->jobs->options;
    struct arena *arena = arena_create(ARENA_LIMIT);
    Arca__Holding **holdings;
    size_t count = 0, writes = store_old_writes(options->store);
    int rc = arena != NULL ? index_holding_list(options->index, arena, &holdings, &count) : ERR_NOMEM;
    *out = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (strcmp(holdings[i]->placement, change->placement) == 0 &&
            has_role(change, holdings[i]->backend, ARCA__MEMBER__ROLE__DRAINING))
            *out += holdings[i]->replicas;
    }
    if (arena != NULL)
        arena_free(arena);
    if (*out > 0)
        job_waits(change->job, "%llu replicas of what was deleted or has just come are still there",
                  (unsigned long long)*out);
    else if (rc == 0 && waits_for_search(change))
        *out = 1;
    else if (writes > 0)
        job_waits(change->job, "%zu writes that began before have not ended", writes);
    *out += has_any(change, ARCA__MEMBER__ROLE__DRAINING) ? writes : 0;
    return rc;
}

static int finish(struct change *change) SUSPENDS
{
    Arca__Placement *row;
    int rc = placement_settle(change->row, change->arena, &row);
    if (rc == 0)
        rc = job_begin(change->job, ARCA__JOB__STEP__DONE);
    if (rc == 0)
        rc = set_placement(change, row, NULL);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < change->row->n_members; i++) {
        if (change->row->members[i]->role == ARCA__MEMBER__ROLE__DRAINING)
            log_info("placement", "placement %s: backend %s holds nothing of it any more and is out of it",
                     change->placement, change->row->members[i]->backend);
    }
    log_info("placement", "placement %s: the change is done", change->placement);
    job_idle(change->job, "the change is done");
    return ERR_CANCELED; /* nothing more is to be done */
}

static int settle(struct change *change) SUSPENDS
{
    uint64_t held;
    if (!is_promoted(change))
        return job_begin(change->job, ARCA__JOB__STEP__BACKFILL);
    int rc = count_held(change, &held);
    /* Most of it is garbage, which goes by itself: all blobs are walked again for the rest, and less and less often. */
    for (int64_t until_ms = loop_now_ms() + back_off_ms(change); rc == 0 && held > 0 && loop_now_ms() < until_ms;) {
        rc = job_sleep(change->job, LOOK_MS);
        rc = rc == 0 ? count_held(change, &held) : rc;
    }
    if (rc == 0 && held == 0)
        return finish(change);
    return rc != 0 ? rc : job_begin(change->job, ARCA__JOB__STEP__DRAIN);
}

static int take_step(struct change *change) SUSPENDS
{
    static int (*const steps[])(struct change *) = {
        [ARCA__JOB__STEP__BACKFILL] = backfill, [ARCA__JOB__STEP__VERIFY] = verify,
        [ARCA__JOB__STEP__PROMOTE] = promote,   [ARCA__JOB__STEP__DRAIN] = drain,
        [ARCA__JOB__STEP__REMOVE] = settle,     [ARCA__JOB__STEP__DONE] = settle,
    };
    size_t step = (size_t)job_step(change->job);
    arena_reset(change->arena);
    int rc = index_placement_get(change->jobs->options.index, span_str(change->placement), change->arena, &change->row);
    if (rc == 0)
        rc = job_check(change->job);
    if (rc != 0)
        return rc;
    return step < sizeof(steps) / sizeof(steps[0]) && steps[step] != NULL
               ? steps[step](change)
               : job_begin(change->job, ARCA__JOB__STEP__BACKFILL);
}

static void run(void *arg, struct job *job) SUSPENDS
{
    struct change *change = arg;
    change->job = job;
    int rc = job_load(job);
    while (rc != ERR_CANCELED && rc != ERR_NOT_FOUND) {
        Arca__Job__Step step = job_step(job);
        rc = rc == 0 ? take_step(change) : rc;
        if (rc == 0) {
            bool onward = job_step(job) > step && job_step(job) != ARCA__JOB__STEP__REMOVE; /* which may go back */
            change->failures = onward ? 0 : change->failures;
        } else if (rc != ERR_CANCELED && rc != ERR_NOT_FOUND) {
            job_waits(job, "%s", err_text(rc));
            log_warn("placement", "the change of placement %s is held up: %s", change->placement, err_text(rc));
            if ((rc = back_off(change)) == 0)
                rc = job_load(job);
        }
    }
    if (change->count > 0)
        atomic_store(&store_shared(change->jobs->options.store)->leftovers, true);
    if (rc == ERR_NOT_FOUND)
        job_idle(job, "there is nothing to change");
    if (!job_stopping(job))
        (void)changes_start(change->jobs); /* one that there was no place for has one when this has ended */
}

/* --- its life --- */

static void change_free(void *arg)
{
    struct change *change = arg;
    if (change->arena != NULL)
        arena_free(change->arena);
    free(change->removals);
    free(change);
}

/* What the job before it, which was ended for another aim or a reload, has not removed yet is this one's to remove. */
static void take_removals(struct change *change, const char *name)
{
    struct job *before = jobs_find(change->jobs, span_str(name));
    if (before != NULL && job_ended(before)) {
        struct change *ended = job_arg(before);
        change->removals = ended->removals;
        change->first = ended->first;
        change->count = ended->count;
        ended->removals = NULL;
        ended->count = 0;
    }
    if (change->removals == NULL)
        change->removals = malloc(REMOVALS * sizeof(*change->removals));
}

int change_start(struct jobs *jobs, const char *placement)
{
    struct change *change = calloc(1, sizeof(*change));
    char name[80];
    struct job *job;
    if (change == NULL)
        return ERR_NOMEM;
    change->jobs = jobs;
    snprintf(change->placement, sizeof(change->placement), "%s", placement);
    snprintf(name, sizeof(name), CHANGE_PREFIX "%s", change->placement);
    change->arena = arena_create(ARENA_LIMIT);
    take_removals(change, name);
    if (change->arena == NULL || change->removals == NULL) {
        change_free(change);
        return ERR_NOMEM;
    }
    struct job_options options = {
        .index = jobs->options.index,
        .loop = jobs->options.loop,
        .name = name,
        .rate = jobs->options.repair,
        .run = run,
        .free = change_free,
        .arg = change,
    };
    int rc = job_create(&options, &job);
    if (rc != 0) {
        change_free(change);
        return rc;
    }
    if ((rc = jobs_add(jobs, job)) != 0)
        job_free(job);
    return rc;
}
