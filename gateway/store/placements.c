#include "placements.h"

#include <stdlib.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/loop.h"
#include "private.h"
#include "roster.h"
#include "topology.h"

#define ARENA_LIMIT ((size_t)16 << 20)
#define POLL_MS     5

/* --- one set --- */

/* As old, with room for more members and none yet. */
static Arca__Placement *copy_row(const Arca__Placement *old, size_t room, struct arena *arena)
{
    Arca__Placement *row = arena_alloc(arena, sizeof(*row));
    Arca__Member **members = arena_alloc(arena, (room + 1) * sizeof(*members));
    if (row == NULL || members == NULL)
        return NULL;
    arca__placement__init(row);
    if (old != NULL)
        *row = *old;
    row->members = members;
    row->n_members = 0;
    return row;
}

static int add_member(Arca__Placement *row, char *backend, Arca__Member__Role role, struct arena *arena)
{
    Arca__Member *member = arena_alloc(arena, sizeof(*member));
    if (member == NULL || backend == NULL)
        return ERR_NOMEM;
    arca__member__init(member);
    member->backend = backend;
    member->role = role;
    row->members[row->n_members++] = member;
    return 0;
}

const Arca__Member *placement_member(const Arca__Placement *placement, struct span backend)
{
    for (size_t i = 0; placement != NULL && i < placement->n_members; i++) {
        if (span_eq_str(backend, placement->members[i]->backend))
            return placement->members[i];
    }
    return NULL;
}

/* Of one that is to be in the set. */
static Arca__Member__Role role_in(const Arca__Placement *old, const Arca__Member *member)
{
    if (old == NULL)
        return ARCA__MEMBER__ROLE__MEMBER;
    if (member == NULL || member->role == ARCA__MEMBER__ROLE__DRAINING)
        return ARCA__MEMBER__ROLE__JOINING;
    return member->role == ARCA__MEMBER__ROLE__LEAVING ? ARCA__MEMBER__ROLE__MEMBER : member->role;
}

/* Of one that is not. */
static Arca__Member__Role role_out(const Arca__Member *member)
{
    bool has_all = member->role == ARCA__MEMBER__ROLE__MEMBER || member->role == ARCA__MEMBER__ROLE__LEAVING;
    return has_all ? ARCA__MEMBER__ROLE__LEAVING : ARCA__MEMBER__ROLE__DRAINING;
}

static bool aim_valid(const struct span *backends, size_t count, unsigned quorum)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (span_eq(backends[i], backends[j]))
                return false;
        }
    }
    return count > 0 && quorum > 0 && quorum <= count;
}

int placement_aim(const Arca__Placement *old, const char *name, const struct span *backends, size_t count,
                  unsigned quorum, struct arena *arena, Arca__Placement **out, bool *moves)
{
    if (!aim_valid(backends, count, quorum))
        return ERR_INVALID;
    Arca__Placement *row = copy_row(old, count + (old != NULL ? old->n_members : 0), arena);
    if (row == NULL || (row->name = arena_strdup(arena, span_str(name))) == NULL)
        return ERR_NOMEM;
    row->write_quorum = quorum;
    *moves = false;
    for (size_t i = 0; i < count; i++) {
        const Arca__Member *member = placement_member(old, backends[i]);
        Arca__Member__Role role = role_in(old, member);
        *moves = *moves || (old != NULL && (member == NULL || member->role != role));
        if (add_member(row, arena_strdup(arena, backends[i]), role, arena) != 0)
            return ERR_NOMEM;
    }
    for (size_t i = 0; old != NULL && i < old->n_members; i++) {
        const Arca__Member *member = old->members[i];
        if (placement_member(row, span_str(member->backend)) != NULL)
            continue;
        *moves = *moves || member->role != role_out(member);
        if (add_member(row, member->backend, role_out(member), arena) != 0)
            return ERR_NOMEM;
    }
    *out = row;
    return row->n_members <= PLACEMENT_MAX ? 0 : ERR_TOO_LARGE;
}

int placement_promote(const Arca__Placement *old, struct arena *arena, Arca__Placement **out)
{
    Arca__Placement *row = copy_row(old, old->n_members, arena);
    if (row == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < old->n_members; i++) {
        const Arca__Member *member = old->members[i];
        bool stays = member->role == ARCA__MEMBER__ROLE__MEMBER || member->role == ARCA__MEMBER__ROLE__JOINING;
        if (add_member(row, member->backend, stays ? ARCA__MEMBER__ROLE__MEMBER : ARCA__MEMBER__ROLE__DRAINING,
                       arena) != 0)
            return ERR_NOMEM;
    }
    *out = row;
    return 0;
}

int placement_settle(const Arca__Placement *old, struct arena *arena, Arca__Placement **out)
{
    Arca__Placement *row = copy_row(old, old->n_members, arena);
    if (row == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < old->n_members; i++) {
        const Arca__Member *member = old->members[i];
        if (member->role != ARCA__MEMBER__ROLE__DRAINING && add_member(row, member->backend, member->role, arena) != 0)
            return ERR_NOMEM;
    }
    *out = row;
    return 0;
}

bool placement_changing(const Arca__Placement *placement)
{
    for (size_t i = 0; i < placement->n_members; i++) {
        if (placement->members[i]->role != ARCA__MEMBER__ROLE__MEMBER)
            return true;
    }
    return false;
}

int placement_job(struct index *index, const Arca__Placement *row, bool moves, struct arena *arena,
                  Arca__Job **out) SUSPENDS
{
    char *name = arena_printf(arena, CHANGE_PREFIX "%s", row->name);
    Arca__Job *old = NULL;
    *out = NULL;
    if (name == NULL)
        return ERR_NOMEM;
    int rc = index_job_get(index, span_str(name), arena, &old);
    if (rc != 0 && rc != ERR_NOT_FOUND)
        return rc;
    *out = old;
    if (!moves && (old != NULL || !placement_changing(row)))
        return 0;
    if ((*out = arena_alloc(arena, sizeof(**out))) == NULL)
        return ERR_NOMEM;
    arca__job__init(*out);
    (*out)->name = name;
    (*out)->paused = old != NULL && old->paused;
    (*out)->step = ARCA__JOB__STEP__BACKFILL;
    (*out)->started_ms = (*out)->step_ms = clock_wall_ms();
    return 0;
}

int placement_set(struct index *index, Arca__Placement *row, Arca__Job *job) SUSPENDS
{
    Arca__SetPlacement set = ARCA__SET_PLACEMENT__INIT;
    Arca__Mutation mutation = ARCA__MUTATION__INIT;
    set.placement = row;
    set.job = job;
    mutation.time_ms = clock_wall_ms();
    mutation.op_case = ARCA__MUTATION__OP_SET_PLACEMENT;
    mutation.set_placement = &set;
    return index_apply(index, &mutation);
}

/* --- all of them --- */

int placements_begin(struct store *store) SUSPENDS
{
    int rc = 0;
    while (atomic_exchange(store_changing(store), true)) {
        rc = fiber_wait(loop_now_ms() + POLL_MS);
        if (rc != 0 && rc != ERR_TIMEOUT)
            return rc;
    }
    return 0;
}

void placements_end(struct store *store)
{
    atomic_store(store_changing(store), false);
}

int placements_refresh(struct store *store, struct index *index, const struct config *config) SUSPENDS
{
    struct arena *arena = arena_create(ARENA_LIMIT);
    int rc = arena != NULL ? 0 : ERR_NOMEM;
    for (bool done = false; rc == 0 && !done;) {
        /* In this order: what another puts in its place is made from rows that are at least as new. */
        struct topology *present = store_topology(store), *fresh;
        Arca__Placement **rows;
        size_t count;
        arena_reset(arena);
        rc = index_placement_list(index, arena, &rows, &count);
        if (rc == 0)
            rc = topology_create(config != NULL ? config : &present->config, store_roster(store), rows, count, &fresh);
        if (rc == 0 && !(done = store_swap(store, present, fresh)))
            topology_free(fresh);
    }
    if (arena != NULL)
        arena_free(arena);
    return rc;
}
